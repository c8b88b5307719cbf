//! Newtyped resource ids, and fresh ones in AWS's forms.
//!
//! EC2 ids are a prefix and 17 lower-case hexadecimal digits (`vpc-0123456789abcdef0`); ECS task ids are 32.

use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::fmt;

thread_local! {
    /// Where the ids of a simulation come from.
    static DRAWN: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Has all ids that this thread makes from now on follow from `seed`, so that a simulation repeats exactly. For tests alone.
pub fn draw_from(seed: u64) {
    DRAWN.set(Some(seed));
}

fn fill(bytes: &mut [u8]) {
    let Some(mut state) = DRAWN.get() else {
        return getrandom::fill(bytes).expect("the kernel gives random bytes");
    };
    for byte in bytes {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        *byte = (mixed >> 56) as u8;
    }
    DRAWN.set(Some(state));
}

/// `n` random lower-case hexadecimal digits.
pub fn random_hex(n: usize) -> String {
    let mut bytes = vec![0u8; n.div_ceil(2)];
    fill(&mut bytes);
    let mut text = hex::encode(bytes);
    text.truncate(n);
    text
}

/// `n` random decimal digits, the first not zero.
pub fn random_digits(n: usize) -> String {
    let mut bytes = vec![0u8; n];
    fill(&mut bytes);
    bytes.iter().enumerate().map(|(i, b)| char::from(if i == 0 { b'1' + b % 9 } else { b'0' + b % 10 })).collect()
}

/// A random UUID, version 4, lower case with dashes.
pub fn random_uuid() -> String {
    let mut b = [0u8; 16];
    fill(&mut b);
    b[6] = b[6] & 0x0f | 0x40;
    b[8] = b[8] & 0x3f | 0x80;
    let h = hex::encode(b);
    format!("{}-{}-{}-{}-{}", &h[..8], &h[8..12], &h[12..16], &h[16..20], &h[20..])
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(String);

        impl $name {
            /// What every id of this kind begins with.
            pub const PREFIX: &'static str = $prefix;

            /// A fresh one.
            pub fn generate() -> Self {
                Self(format!("{}{}", Self::PREFIX, random_hex(17)))
            }

            /// The id in `text`, if it has this kind's prefix and hexadecimal digits after it (8 or 17).
            pub fn parse(text: &str) -> Option<Self> {
                let digits = text.strip_prefix(Self::PREFIX)?;
                let fine = matches!(digits.len(), 8 | 17)
                    && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
                fine.then(|| Self(text.to_owned()))
            }

            /// The id as AWS writes it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    )*};
}

ids! {
    /// An elastic IP address.
    AllocationId = "eipalloc-";
    /// An elastic IP address's association.
    AssociationId = "eipassoc-";
    /// A network interface's attachment.
    AttachmentId = "eni-attach-";
    /// A set of DHCP options.
    DhcpOptionsId = "dopt-";
    /// An egress-only internet gateway.
    EgressOnlyInternetGatewayId = "eigw-";
    /// A network interface.
    EniId = "eni-";
    /// A flow log.
    FlowLogId = "fl-";
    /// A machine image.
    ImageId = "ami-";
    /// An instance.
    InstanceId = "i-";
    /// An internet gateway.
    InternetGatewayId = "igw-";
    /// A launch template.
    LaunchTemplateId = "lt-";
    /// A NAT gateway.
    NatGatewayId = "nat-";
    /// A network ACL's association with a subnet.
    NetworkAclAssociationId = "aclassoc-";
    /// A network ACL.
    NetworkAclId = "acl-";
    /// An analysis of a network insights path.
    NetworkInsightsAnalysisId = "nia-";
    /// A network insights path.
    NetworkInsightsPathId = "nip-";
    /// A prefix list.
    PrefixListId = "pl-";
    /// What instances that were launched together have in common.
    ReservationId = "r-";
    /// A route table's association with a subnet.
    RouteTableAssociationId = "rtbassoc-";
    /// A route table.
    RouteTableId = "rtb-";
    /// A security group.
    SecurityGroupId = "sg-";
    /// A security group's rule.
    SecurityGroupRuleId = "sgr-";
    /// A subnet's IPv6 block.
    SubnetCidrAssociationId = "subnet-cidr-assoc-";
    /// A subnet.
    SubnetId = "subnet-";
    /// A VPC's further CIDR block.
    VpcCidrAssociationId = "vpc-cidr-assoc-";
    /// A VPC endpoint.
    VpcEndpointId = "vpce-";
    /// A VPC.
    VpcId = "vpc-";
    /// A VPC peering connection.
    VpcPeeringConnectionId = "pcx-";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_their_prefix_and_seventeen_digits() {
        let id = VpcId::generate();
        assert_eq!(id.as_str().len(), "vpc-".len() + 17);
        assert_eq!(VpcId::parse(id.as_str()), Some(id));
        assert_eq!(VpcId::parse("vpc-xyz"), None);
        assert_eq!(VpcId::parse("subnet-0123456789abcdef0"), None);
    }

    #[test]
    fn uuids_are_version_four() {
        let id = random_uuid();
        assert_eq!((id.len(), id.as_bytes()[14]), (36, b'4'));
    }
}
