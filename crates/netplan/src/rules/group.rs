//! Which security groups an interface has, and whom their rules speak of.

use super::Way;
use crate::{
    GroupRule, NetworkInterface, NetworkState, Peer, SecurityGroup,
    index::{Attached, Index},
};
use foldhash::HashSet;
use ipnet::IpNet;
use std::{collections::BTreeSet, net::IpAddr, sync::Arc};
use types::id::{SecurityGroupId, SubnetId, VpcId};

/// The interface's groups that are there, each once.
pub(crate) fn of<'a>(index: &Index<'a>, attached: &Attached<'a>) -> Vec<&'a Arc<SecurityGroup>> {
    let ids: BTreeSet<&SecurityGroupId> = attached.interface.groups.iter().collect();
    ids.into_iter().filter_map(|id| in_vpc(index, &attached.subnet.vpc, id)).collect()
}

/// The group, if it is one of the VPC's.
pub(crate) fn in_vpc<'a>(index: &Index<'a>, vpc: &VpcId, id: &SecurityGroupId) -> Option<&'a Arc<SecurityGroup>> {
    index.groups.get(id).copied().filter(|group| group.vpc == *vpc)
}

/// The group's rules for one direction.
pub(crate) fn rules(group: &SecurityGroup, way: Way) -> &[GroupRule] {
    if way == Way::In { &group.ingress } else { &group.egress }
}

/// Whom a rule speaks of.
pub(crate) enum Others<'a> {
    /// Addresses in these blocks.
    Blocks(Vec<IpNet>),
    /// The group's members.
    Members(&'a SecurityGroupId),
}

/// A prefix list's blocks.
pub(crate) fn list<'a>(state: &'a NetworkState, id: &str) -> &'a [IpNet] {
    state.prefix_lists.get(id).map_or(&[], Vec::as_slice)
}

/// Whom `peer` stands for; `list` knows the prefix lists.
pub(crate) fn others<'a>(peer: &'a Peer, list: impl Fn(&str) -> &'a [IpNet]) -> Others<'a> {
    let blocks = match peer {
        Peer::Group(id) => return Others::Members(id),
        Peer::Cidr(cidr) => std::slice::from_ref(cidr),
        Peer::PrefixList(id) => list(id),
    };
    Others::Blocks(blocks.iter().map(IpNet::trunc).collect())
}

/// The interfaces, attached or not, in a VPC and beyond its peering connections: among whom a group's members are. Each with the
/// number of its combination of groups.
pub(crate) fn interfaces_around<'s, 'a>(
    index: &'s Index<'a>,
    vpc: &VpcId,
) -> impl Iterator<Item = (&'a Arc<NetworkInterface>, usize)> + use<'s, 'a> {
    let vpcs: BTreeSet<&VpcId> =
        index.peers(vpc).map(|(_, peer)| &peer.id).chain(index.vpcs.get(vpc).map(|vpc| &vpc.id)).collect();
    let subnets: HashSet<&SubnetId> =
        index.subnets.values().filter(|subnet| vpcs.contains(&subnet.vpc)).map(|subnet| &subnet.id).collect();
    let all = index.state.network_interfaces.iter().zip(index.combination_of.iter().copied());
    all.filter(move |(interface, _)| subnets.contains(&interface.subnet))
}

/// The addresses of the interfaces that have the group.
pub(crate) fn members<'s>(
    index: &'s Index<'_>,
    vpc: &VpcId,
    id: &'s SecurityGroupId,
) -> impl Iterator<Item = IpAddr> + 's {
    let all = interfaces_around(index, vpc).map(|(interface, _)| interface);
    let members = all.filter(|interface| interface.groups.contains(id));
    members.flat_map(|interface| &interface.addresses).map(|address| address.private)
}
