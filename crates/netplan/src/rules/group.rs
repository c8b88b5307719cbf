//! Which security groups an interface has, and whom their rules speak of.

use super::Way;
use crate::{
    GroupRule, Peer, SecurityGroup,
    index::{Attached, Index},
};
use ipnet::{IpNet, Ipv4Net};
use std::{collections::BTreeSet, net::Ipv4Addr};
use types::id::{SecurityGroupId, VpcId};

/// The interface's groups that are there, each once.
pub(crate) fn of<'a>(index: &Index<'a>, attached: &Attached<'a>) -> Vec<&'a SecurityGroup> {
    let ids: BTreeSet<&SecurityGroupId> = attached.interface.groups.iter().collect();
    ids.into_iter().filter_map(|id| in_vpc(index, &attached.subnet.vpc, id)).collect()
}

/// The group, if it is one of the VPC's.
pub(crate) fn in_vpc<'a>(index: &Index<'a>, vpc: &VpcId, id: &SecurityGroupId) -> Option<&'a SecurityGroup> {
    index.groups.get(id).copied().filter(|group| group.vpc == *vpc)
}

/// The group's rules for one direction.
pub(crate) fn rules(group: &SecurityGroup, way: Way) -> &[GroupRule] {
    if way == Way::In { &group.ingress } else { &group.egress }
}

/// Whom a rule speaks of.
pub(crate) enum Others<'a> {
    /// Addresses in these blocks.
    Blocks(Vec<Ipv4Net>),
    /// The group's members.
    Members(&'a SecurityGroupId),
}

/// Whom `peer` stands for.
pub(crate) fn others<'a>(index: &Index<'a>, peer: &'a Peer) -> Others<'a> {
    let blocks = match peer {
        Peer::Group(id) => return Others::Members(id),
        Peer::Cidr(cidr) => std::slice::from_ref(cidr),
        Peer::PrefixList(id) => index.state.prefix_lists.get(id).map_or(&[][..], Vec::as_slice),
    };
    let v4 = |block: &IpNet| if let IpNet::V4(block) = block { Some(block.trunc()) } else { None };
    Others::Blocks(blocks.iter().filter_map(v4).collect())
}

/// The private addresses of the interfaces that have the group, attached or not, in the VPC and beyond its peering
/// connections.
pub(crate) fn members<'s>(
    index: &'s Index<'_>,
    vpc: &'s VpcId,
    id: &'s SecurityGroupId,
) -> impl Iterator<Item = Ipv4Addr> + 's {
    let peers: Vec<&VpcId> = index.peers(vpc).map(|(_, peer)| &peer.id).collect();
    let interfaces = index.state.network_interfaces.iter().filter(move |interface| {
        interface.groups.contains(id)
            && index.subnets.get(&interface.subnet).is_some_and(|s| s.vpc == *vpc || peers.contains(&&s.vpc))
    });
    interfaces.flat_map(|interface| &interface.addresses).map(|address| address.private)
}
