//! A subnet.

use super::{Tags, row};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use store::Index;
use types::id::{NetworkAclAssociationId, NetworkAclId, SubnetId, VpcId};

/// A subnet. Its route table stands in the route tables' associations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// Its id.
    pub id: SubnetId,
    /// Its VPC.
    pub vpc: VpcId,
    /// Its block.
    pub cidr: Ipv4Net,
    /// Its zone's name, e.g. `us-east-1a`.
    pub zone: String,
    /// Whether it is its zone's default subnet.
    pub default_for_zone: bool,
    /// Whether new interfaces get a public address.
    pub map_public_ip_on_launch: bool,
    /// `ip-name` or `resource-name`.
    pub hostname_type: String,
    /// Whether resource names resolve to addresses.
    pub resource_name_dns_a_record: bool,
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
    pub fn usable(&self) -> impl Iterator<Item = std::net::Ipv4Addr> + use<> {
        let (first, last) = (u32::from(self.cidr.network()), u32::from(self.cidr.broadcast()));
        (first.saturating_add(4)..last).map(std::net::Ipv4Addr::from)
    }

    /// How many addresses interfaces may have in all.
    pub fn capacity(&self) -> usize {
        (1usize << (32 - self.cidr.prefix_len())).saturating_sub(5)
    }
}

row!(Subnet, "vpc.subnet", id, BY_VPC, BY_NETWORK_ACL);
