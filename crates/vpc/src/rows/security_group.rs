//! A security group with its rules.

use super::{Tags, row};
use serde::{Deserialize, Serialize};
use store::Index;
use types::AccountId;
use types::id::{SecurityGroupId, SecurityGroupRuleId, VpcId, VpcPeeringConnectionId};

/// A security group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityGroup {
    /// Its id.
    pub id: SecurityGroupId,
    /// Its VPC.
    pub vpc: VpcId,
    /// Its name, unique in the VPC.
    pub name: String,
    /// Its description.
    pub description: String,
    /// Its rules in the order in which they were made.
    pub rules: Vec<Rule>,
    /// Its tags.
    pub tags: Tags,
}

/// One rule: one protocol and port range, one peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Its id.
    pub id: SecurityGroupRuleId,
    /// Whether it is for egress.
    pub egress: bool,
    /// `tcp`, `udp`, `icmp`, `icmpv6`, `-1` or a number.
    pub protocol: String,
    /// The first port or the ICMP type; -1 where all.
    pub from_port: i32,
    /// The last port or the ICMP code; -1 where all.
    pub to_port: i32,
    /// The other side.
    pub peer: Peer,
    /// Its description.
    pub description: Option<String>,
    /// Its tags.
    pub tags: Tags,
}

/// The other side of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Peer {
    /// An IPv4 block, as canonical text.
    Ipv4(String),
    /// An IPv6 block, as canonical text.
    Ipv6(String),
    /// Another group or the same.
    Group(SecurityGroupId),
    /// A prefix list's id.
    PrefixList(String),
    /// A group of a VPC beyond a peering connection.
    Peered(PeeredGroup),
}

/// A group of another VPC, as it was when the rule was made. What has become of it since is for the rule's readers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeeredGroup {
    /// The group.
    pub group: SecurityGroupId,
    /// Whose it is.
    pub account: AccountId,
    /// Its VPC.
    pub vpc: VpcId,
    /// Through what it is reached.
    pub connection: VpcPeeringConnectionId,
}

impl Rule {
    /// Whether both allow the same, whatever their ids and descriptions.
    pub fn same(&self, other: &Self) -> bool {
        (self.egress, &self.protocol, self.from_port, self.to_port, &self.peer)
            == (other.egress, &other.protocol, other.from_port, other.to_port, &other.peer)
    }
}

impl SecurityGroup {
    /// Groups by VPC.
    pub const BY_VPC: Index<Self> = Index::new("vpc", |group| vec![group.vpc.to_string()]);
    /// Groups by the groups that their rules refer to.
    pub const BY_REFERENCE: Index<Self> = Index::new("reference", |group| {
        let referred = group.rules.iter().filter_map(|rule| match &rule.peer {
            Peer::Group(id) => Some(id.to_string()),
            _ => None,
        });
        referred.collect()
    });
    /// Groups by their rules' ids.
    pub const BY_RULE: Index<Self> =
        Index::new("rule", |group| group.rules.iter().map(|rule| rule.id.to_string()).collect());
}

row!(SecurityGroup, "vpc.security_group", id, BY_VPC, BY_REFERENCE, BY_RULE);
