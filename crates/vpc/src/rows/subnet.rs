//! A subnet.

use super::{Tags, row};
use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, Ipv6Addr};
use store::Index;
use types::id::{NetworkAclAssociationId, NetworkAclId, SubnetCidrAssociationId, SubnetId, VpcId};

/// A subnet. Its route table stands in the route tables' associations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// Its id.
    pub id: SubnetId,
    /// Its VPC.
    pub vpc: VpcId,
    /// Its block.
    pub cidr: Ipv4Net,
    /// Its IPv6 block with its association.
    #[serde(default)]
    pub ipv6: Option<(SubnetCidrAssociationId, Ipv6Net)>,
    /// Whether new interfaces get an IPv6 address.
    #[serde(default)]
    pub assign_ipv6_on_creation: bool,
    /// Its zone's name, e.g. `us-east-1a`.
    pub zone: String,
    /// Whether it is its zone's default subnet.
    pub default_for_zone: bool,
    /// Whether new interfaces get a public address.
    pub map_public_ip_on_launch: bool,
    /// `ip-name` or `resource-name`.
    pub hostname_type: String,
    /// Whether resource names, which only instances have, resolve to addresses.
    pub resource_name_dns_a_record: bool,
    /// Whether they resolve to IPv6 addresses.
    #[serde(default)]
    pub resource_name_dns_aaaa_record: bool,
    /// The network ACL in force.
    pub network_acl: NetworkAclId,
    /// That ACL's association.
    pub network_acl_association: NetworkAclAssociationId,
    /// Its tags.
    pub tags: Tags,
}

impl Subnet {
    /// Subnets by VPC.
    pub const BY_VPC: Index<Self> = Index::new("vpc", |subnet| vec![subnet.vpc.to_string()]);
    /// Subnets by network ACL.
    pub const BY_NETWORK_ACL: Index<Self> = Index::new("network_acl", |subnet| vec![subnet.network_acl.to_string()]);

    /// The addresses that interfaces may have, in order: AWS keeps the first four and the last.
    /// Source: VPC user guide, "Subnet CIDR blocks".
    pub fn usable(&self) -> impl Iterator<Item = Ipv4Addr> + use<> {
        let (first, last) = (u32::from(self.cidr.network()), u32::from(self.cidr.broadcast()));
        (first.saturating_add(4)..last).map(Ipv4Addr::from)
    }

    /// The IPv6 addresses that interfaces may have, in order: none without an IPv6 block. AWS keeps the first four and the
    /// last of these, too. Source: VPC user guide, "Subnet sizing for IPv6".
    pub fn usable_ipv6(&self) -> impl Iterator<Item = Ipv6Addr> + use<> {
        self.ipv6_bounds().map(Ipv6Addr::from)
    }

    /// Whether an interface may have the IPv6 address.
    pub fn may_have_ipv6(&self, ip: Ipv6Addr) -> bool {
        self.ipv6_bounds().contains(&u128::from(ip))
    }

    fn ipv6_bounds(&self) -> std::ops::Range<u128> {
        let bounds = self.ipv6.as_ref().map(|(_, cidr)| (u128::from(cidr.network()), u128::from(cidr.broadcast())));
        bounds.map_or(0..0, |(first, last)| first + 4..last)
    }

    /// How many IPv4 addresses interfaces may have in all.
    pub fn capacity(&self) -> usize {
        (1usize << (32 - self.cidr.prefix_len())).saturating_sub(5)
    }
}

row!(Subnet, "vpc.subnet", id, BY_VPC, BY_NETWORK_ACL);
