//! The smallest change that lets a packet pass where it was stopped.

use super::{Content, Direction, Hop, Packet, RouteTaken, Station};
use crate::{
    AclEntry, Destination, Family, GroupRule, NetworkAcl, NetworkState, Peer, PortRange, RouteEntry, RouteTarget,
    SecurityGroup, Subnet, Traffic,
    index::{Attached, Index},
    rules::{
        Way, acl, group,
        route::{self, Found, InForce, Next},
    },
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};
use types::id::{EniId, NetworkAclId, RouteTableId, SecurityGroupId, SubnetId, VpcId};

/// The ports that answers must be let through to, for all kinds of clients. Source: Amazon VPC user guide, "Ephemeral
/// ports".
const ANSWERS: PortRange = PortRange { from: 1024, to: 65535 };
/// The highest number of an ACL's entry. Source: EC2 API reference, CreateNetworkAclEntry.
const LAST_NUMBER: u16 = 32766;

/// A change of the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Fix {
    /// Give a group one more rule.
    AllowInGroup {
        /// The group.
        group: SecurityGroupId,
        /// For which direction.
        direction: Direction,
        /// The rule.
        rule: GroupRule,
    },
    /// Give an ACL one more entry, before the one that denies.
    AllowInAcl {
        /// The ACL.
        acl: NetworkAclId,
        /// For which direction.
        direction: Direction,
        /// The entry.
        entry: AclEntry,
    },
    /// Take the entry that denies out of an ACL: it is the first, and nothing can come before it.
    DeleteAclEntry {
        /// The ACL.
        acl: NetworkAclId,
        /// In which direction.
        direction: Direction,
        /// Its number.
        number: u16,
    },
    /// Give a table one more route.
    AddRoute {
        /// The table.
        table: RouteTableId,
        /// The route.
        route: RouteEntry,
    },
    /// Have a route lead elsewhere.
    ReplaceRoute {
        /// The table.
        table: RouteTableId,
        /// The route as it should be.
        route: RouteEntry,
    },
    /// Take a route out of a table.
    DeleteRoute {
        /// The table.
        table: RouteTableId,
        /// The route's destination.
        destination: Destination,
    },
    /// Give a subnet another route table.
    AssociateRouteTable {
        /// The subnet.
        subnet: SubnetId,
        /// The table.
        table: RouteTableId,
    },
    /// Attach an internet gateway.
    AttachInternetGateway {
        /// To this VPC.
        vpc: VpcId,
    },
    /// Give an address a public one: an elastic IP.
    GivePublicAddress {
        /// The interface.
        interface: EniId,
        /// Its private address.
        private: Ipv4Addr,
    },
}

impl Fix {
    /// The network with the change made; `None` if what it needs, a new gateway or a free public address, is not there.
    pub fn apply(&self, state: &NetworkState) -> Option<NetworkState> {
        let mut state = state.clone();
        match self {
            Self::AllowInGroup { group, direction, rule } => {
                let group = Arc::make_mut(state.security_groups.iter_mut().find(|g| g.id == *group)?);
                let rules = if *direction == Direction::Ingress { &mut group.ingress } else { &mut group.egress };
                rules.push(rule.clone());
            }
            Self::AllowInAcl { acl, direction, entry } => entries(&mut state, acl, *direction)?.push(entry.clone()),
            Self::DeleteAclEntry { acl, direction, number } => {
                entries(&mut state, acl, *direction)?.retain(|entry| entry.number != *number);
            }
            Self::AddRoute { table, route } => routes(&mut state, table)?.push(route.clone()),
            Self::ReplaceRoute { table, route } => {
                let routes = routes(&mut state, table)?;
                routes.retain(|r| r.destination != route.destination);
                routes.push(route.clone());
            }
            Self::DeleteRoute { table, destination } => {
                routes(&mut state, table)?.retain(|route| route.destination != *destination);
            }
            Self::AssociateRouteTable { subnet, table } => {
                state.subnets.iter_mut().find(|s| s.id == *subnet)?.route_table = table.clone();
            }
            Self::AttachInternetGateway { .. } => return None,
            Self::GivePublicAddress { interface, private } => {
                let taken =
                    |ip| state.network_interfaces.iter().flat_map(|i| &i.addresses).any(|a| a.public == Some(ip));
                let free = state.ground.assignable().find(|ip| !taken(*ip))?;
                let interface = Arc::make_mut(state.network_interfaces.iter_mut().find(|i| i.id == *interface)?);
                interface.addresses.iter_mut().find(|a| a.private == IpAddr::V4(*private))?.public = Some(free);
            }
        }
        Some(state)
    }
}

fn entries<'s>(state: &'s mut NetworkState, id: &NetworkAclId, way: Direction) -> Option<&'s mut Vec<AclEntry>> {
    let acl = state.network_acls.iter_mut().find(|acl| acl.id == *id)?;
    Some(if way == Direction::Ingress { &mut acl.ingress } else { &mut acl.egress })
}

fn routes<'s>(state: &'s mut NetworkState, id: &RouteTableId) -> Option<&'s mut Vec<RouteEntry>> {
    state.route_tables.iter_mut().find(|table| table.id == *id).map(|table| &mut table.routes)
}

/// Just what the packet is.
fn traffic(content: Content, answers: bool) -> Traffic {
    let ports = |port| {
        let wide = answers && (ANSWERS.from..=ANSWERS.to).contains(&port);
        if wide { ANSWERS } else { PortRange { from: port, to: port } }
    };
    match content {
        Content::Tcp { port, .. } => Traffic::Tcp(ports(port)),
        Content::Udp { port, .. } => Traffic::Udp(ports(port)),
        Content::Icmp { kind, code } => Traffic::Icmp { kind: Some(kind), code: Some(code) },
        Content::Icmpv6 { kind, code } => Traffic::Icmpv6 { kind: Some(kind), code: Some(code) },
    }
}

fn only(address: IpAddr) -> IpNet {
    address.into()
}

/// A rule for the first of the groups that refuse: for the other side's group if it has one, else for its address.
pub(super) fn group_rule(
    index: &Index<'_>,
    way: Way,
    vpc: &VpcId,
    groups: &[&Arc<SecurityGroup>],
    packet: Packet,
) -> Option<Fix> {
    let other = if way == Way::In { packet.source } else { packet.destination };
    let others_group = index.attached_at(vpc, other).and_then(|a| group::of(index, a).first().copied());
    let peer = others_group.map_or(Peer::Cidr(only(other)), |group| Peer::Group(group.id.clone()));
    let rule = GroupRule { traffic: traffic(packet.content, false), peer };
    Some(Fix::AllowInGroup { group: groups.first()?.id.clone(), direction: super::journey::direction(way), rule })
}

/// An entry before the one that denies, or at the end.
pub(super) fn acl_entry(acl: &NetworkAcl, way: Way, packet: Packet, denied: Option<u16>, answers: bool) -> Option<Fix> {
    let direction = super::journey::direction(way);
    let numbers: Vec<u16> = acl::entries(Some(acl), way).iter().map(|(entry, _)| entry.number).collect();
    let free = |number: &u16| !numbers.contains(number);
    // In steps of ten after the last, as people number them.
    let next = numbers.iter().max().map_or(100, |last| (last / 10 + 1).saturating_mul(10));
    let at_the_end = || Some(next).filter(|n| *n <= LAST_NUMBER).or_else(|| (1..=LAST_NUMBER).rev().find(free));
    let number = denied.map_or_else(at_the_end, |denied| (1..denied).rev().find(free));
    let Some(number) = number else {
        return Some(Fix::DeleteAclEntry { acl: acl.id.clone(), direction, number: denied? });
    };
    let other = if way == Way::In { packet.source } else { packet.destination };
    let entry = AclEntry { number, allow: true, traffic: traffic(packet.content, answers), cidr: only(other) };
    Some(Fix::AllowInAcl { acl: acl.id.clone(), direction, entry })
}

/// A way out for a packet that has no route, or one that leads nowhere.
pub(super) fn route_out(
    index: &Index<'_>,
    sender: &Attached<'_>,
    packet: Packet,
    found: Option<&InForce<'_, '_>>,
) -> Option<Fix> {
    let table = sender.subnet.route_table.clone();
    if let Some(found) = found.filter(|found| found.specific) {
        return Some(Fix::DeleteRoute { table, destination: found.entry.destination.clone() });
    }
    if !index.tables.contains_key(&table) {
        return None;
    }
    let vpc = &sender.subnet.vpc;
    if let Some(fix) = peering_route(index, sender, packet) {
        return Some(fix);
    }
    // Nothing outside has a private address.
    if matches!(packet.destination, IpAddr::V4(ip) if ip.is_private()) {
        return None;
    }
    // Over IPv6 everybody leaves with their own address, by one of two gateways.
    let family = Family::of(packet.destination);
    let direct = sender.nat || index.outside_of(vpc, packet.source).is_some();
    let nat = index.state.nat_gateways.iter().find(|nat| !direct && leads_out(index, vpc, &nat.interface, packet));
    let target = match nat {
        Some(nat) => RouteTarget::NatGateway(nat.id.clone()),
        None => match index.gateway_of(vpc) {
            Some(gateway) => RouteTarget::InternetGateway(gateway.id.clone()),
            None if family == Family::Ipv6 && index.egress_only_of(vpc).is_some() => {
                RouteTarget::EgressOnlyInternetGateway(index.egress_only_of(vpc)?.id.clone())
            }
            None => return Some(Fix::AttachInternetGateway { vpc: vpc.clone() }),
        },
    };
    Some(if let Some(found) = found {
        Fix::ReplaceRoute { table, route: RouteEntry { destination: found.entry.destination.clone(), target } }
    } else {
        let destination = Destination::Cidr(match family {
            Family::Ipv4 => Ipv4Net::default().into(),
            Family::Ipv6 => Ipv6Net::default().into(),
        });
        Fix::AddRoute { table, route: RouteEntry { destination, target } }
    })
}

/// The route to a VPC beyond a peering connection, if the packet is meant for one.
fn peering_route(index: &Index<'_>, sender: &Attached<'_>, packet: Packet) -> Option<Fix> {
    let (connection, block) = index.peers(&sender.subnet.vpc).find_map(|(connection, peer)| {
        let block = peer.cidrs.iter().find(|cidr| cidr.contains(&packet.destination))?;
        Some((connection, *block))
    })?;
    let target = RouteTarget::Peering(connection.clone());
    let route = RouteEntry { destination: Destination::Cidr(block), target };
    add_or_replace(index, &sender.subnet.route_table, route)
}

/// The route in the table, instead of the one to the same destination if there is one.
fn add_or_replace(index: &Index<'_>, table: &RouteTableId, route: RouteEntry) -> Option<Fix> {
    let standing = index.tables.get(table)?.routes.iter().find(|r| r.destination == route.destination);
    let table = table.clone();
    match standing {
        Some(standing) if standing.target == route.target => None,
        Some(_) => Some(Fix::ReplaceRoute { table, route }),
        None => Some(Fix::AddRoute { table, route }),
    }
}

/// Whether a NAT gateway could send the packet out.
fn leads_out(index: &Index<'_>, vpc: &VpcId, nat: &EniId, packet: Packet) -> bool {
    let Some(at) = index.attached_as(nat).filter(|at| at.subnet.vpc == *vpc) else { return false };
    let found = index.vpcs.get(vpc).map(|vpc| route::lookup(index, vpc, at.subnet, packet.destination));
    let out = matches!(found, Some(Found::Route(InForce { next: Next::InternetGateway, .. })));
    out && at.primary(Family::Ipv4).is_some_and(|private| index.outside_of(vpc, private).is_some())
}

/// Another table for the subnet of a NAT gateway whose own leads back to it: one of the VPC's that leads out. The table that
/// it has stays as it is, for whoever sent the packet may have it too; and so it keeps its subnet's, if that is the same.
pub(super) fn table_out(index: &Index<'_>, nat: &Attached<'_>, packet: Packet, hops: &[Hop]) -> Option<Fix> {
    let senders = hops
        .iter()
        .any(|hop| matches!(&hop.station, Station::Interface { subnet: Some(subnet), .. } if *subnet == nat.subnet.id));
    if senders {
        return None;
    }
    let vpc = index.vpcs.get(&nat.subnet.vpc)?;
    let everywhere = Destination::Cidr(Ipv4Net::default().into());
    let table = index.tables.values().filter(|table| table.vpc == vpc.id).find(|table| {
        let by_default = table.routes.iter().find(|route| route.destination == everywhere);
        let with_it = Subnet { route_table: table.id.clone(), ..nat.subnet.clone() };
        let found = route::lookup(index, vpc, &with_it, packet.destination);
        by_default.is_some_and(|route| matches!(route.target, RouteTarget::InternetGateway(_)))
            && matches!(found, Found::Route(InForce { next: Next::InternetGateway, .. }))
    })?;
    Some(Fix::AssociateRouteTable { subnet: nat.subnet.id.clone(), table: table.id.clone() })
}

/// Without the route that led to somebody who does not hand the packet on.
pub(super) fn unrouted(hops: &[Hop]) -> Option<Fix> {
    hops.iter().rev().find_map(|hop| match &hop.station {
        Station::RouteTable { table, route: RouteTaken::Route { route, .. }, .. } => {
            Some(Fix::DeleteRoute { table: table.clone(), destination: route.destination.clone() })
        }
        _ => None,
    })
}

/// A way back for an answer that leaves another way: within the VPC without a detour, to `home` in another VPC over a
/// peering connection, to one outside by the gateway. The route is for that address alone, so that no other comes before.
pub(super) fn route_back(
    index: &Index<'_>,
    sender: &Attached<'_>,
    home: Option<&Attached<'_>>,
    packet: Packet,
    hops: &[Hop],
) -> Option<Fix> {
    let vpc = &sender.subnet.vpc;
    let target = match home.map(|home| &home.subnet.vpc) {
        Some(beyond) if beyond == vpc => return unrouted(hops),
        Some(beyond) => {
            let (connection, _) = index.peers(vpc).find(|(_, peer)| peer.id == *beyond)?;
            RouteTarget::Peering(connection.clone())
        }
        None => RouteTarget::InternetGateway(index.gateway_of(vpc)?.id.clone()),
    };
    let route = RouteEntry { destination: Destination::Cidr(only(packet.destination)), target };
    add_or_replace(index, &sender.subnet.route_table, route)
}
