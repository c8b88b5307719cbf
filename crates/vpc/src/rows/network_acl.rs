//! A network ACL with its entries.

use super::{Tags, row};
use serde::{Deserialize, Serialize};
use store::Index;
use types::id::{NetworkAclId, VpcId};

/// A network ACL. The final `*` entry, which denies all, always holds and is not stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkAcl {
    /// Its id.
    pub id: NetworkAclId,
    /// Its VPC.
    pub vpc: VpcId,
    /// Whether it is the VPC's default.
    pub is_default: bool,
    /// Its entries.
    pub entries: Vec<AclEntry>,
    /// Its tags.
    pub tags: Tags,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AclEntry {
    /// Its number, 1 to 32766; lower ones come first.
    pub number: i32,
    /// Whether it is for egress.
    pub egress: bool,
    /// Allow or deny.
    pub allow: bool,
    /// The protocol's number as text, `-1` for all.
    pub protocol: String,
    /// Ports, or ICMP type and code.
    pub traffic: AclTraffic,
    /// The block, canonical: IPv4 or IPv6.
    pub cidr: String,
}

/// What an entry says besides the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AclTraffic {
    /// Nothing.
    All,
    /// A range of ports.
    Ports(i32, i32),
    /// ICMP type and code, -1 for all.
    Icmp(i32, i32),
}

impl NetworkAcl {
    /// ACLs by VPC.
    pub const BY_VPC: Index<Self> = Index::new("vpc", |acl| vec![acl.vpc.to_string()]);
}

row!(NetworkAcl, "vpc.network_acl", id, BY_VPC);
