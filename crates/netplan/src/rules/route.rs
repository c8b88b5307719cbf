//! Which routes of a table are in force, and which of them a packet takes.
//!
//! Order: routes more specific than a VPC's own block, then the VPC itself, then the rest of the route table, then
//! silence. Within each the longest prefix wins.

use crate::{
    Destination, Family, RouteEntry, RouteTable, RouteTarget, Subnet, Vpc,
    index::{Attached, Index},
};
use ipnet::IpNet;
use std::{collections::BTreeMap, fmt, net::IpAddr};
use types::id::{
    EgressOnlyInternetGatewayId, EniId, InternetGatewayId, NatGatewayId, VpcEndpointId, VpcPeeringConnectionId,
};

/// A route in force: one for each destination, the first if there are several.
#[derive(Clone, Copy)]
pub(crate) struct InForce<'i, 'a> {
    /// As the user wrote it.
    pub(crate) entry: &'a RouteEntry,
    /// Its block, or the one of its prefix list's.
    pub(crate) block: IpNet,
    /// Whether it comes before the VPC's own addresses.
    pub(crate) specific: bool,
    /// Where it leads.
    pub(crate) next: Next<'i, 'a>,
}

/// Where a route leads.
#[derive(Clone, Copy)]
pub(crate) enum Next<'i, 'a> {
    /// To an interface: an appliance's or a NAT gateway's.
    Interface(&'i Attached<'a>),
    /// Out of the VPC.
    InternetGateway,
    /// Out of the VPC over IPv6, for connections that begin inside.
    EgressOnly(&'a EgressOnlyInternetGatewayId),
    /// To another VPC, over a peering connection.
    Peering(&'a VpcPeeringConnectionId, &'a Vpc),
    /// To AWS's services behind a gateway endpoint.
    GatewayEndpoint(&'a VpcEndpointId),
    /// Nowhere.
    Blackhole,
    /// Nowhere, for its target cannot be used.
    Unusable(Unusable<'a>),
}

/// Why a route's target cannot be used.
#[derive(Clone, Copy)]
pub(crate) enum Unusable<'a> {
    /// The internet gateway is attached elsewhere, or nowhere.
    GatewayNotAttached(&'a InternetGatewayId),
    /// The egress-only internet gateway is gone, or another VPC's.
    EgressOnlyGone(&'a EgressOnlyInternetGatewayId),
    /// It leads out of the VPC, where the destination is not. Over IPv4 a VPC's own addresses mean nothing there anyway.
    LeadsOut,
    /// It takes packets of the other family only.
    OtherFamily(&'a str, Family),
    /// The NAT gateway is gone.
    NatGatewayGone(&'a NatGatewayId),
    /// The interface is not attached in this VPC.
    InterfaceNotAttached(&'a EniId),
    /// The interface takes no packets for others.
    SourceDestCheck(&'a EniId),
    /// The gateway endpoint is gone, or another VPC's.
    EndpointGone(&'a VpcEndpointId),
    /// The peering connection is not active, or other VPCs'.
    PeeringNotActive(&'a VpcPeeringConnectionId),
}

impl fmt::Display for Unusable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GatewayNotAttached(id) => write!(f, "a route leads to {id}, which is not attached to this VPC"),
            Self::EgressOnlyGone(id) => write!(f, "a route leads to {id}, which is not this VPC's"),
            Self::LeadsOut => f.write_str("a route for addresses of the VPC leads out of it"),
            Self::OtherFamily(id, family) => {
                write!(f, "a route for {family} leads to {id}, which takes none")
            }
            Self::NatGatewayGone(id) => write!(f, "a route leads to {id}, which is gone"),
            Self::InterfaceNotAttached(id) => write!(f, "a route leads to {id}, which is not attached in this VPC"),
            Self::SourceDestCheck(id) => {
                write!(f, "a route leads to {id}, which has its source/destination check on")
            }
            Self::EndpointGone(id) => write!(f, "a route leads to {id}, which is not there"),
            Self::PeeringNotActive(id) => write!(f, "a route leads to {id}, which does not connect this VPC"),
        }
    }
}

/// A table's routes as they are in force, by destination.
pub(crate) fn in_force<'i, 'a>(
    index: &'i Index<'a>,
    vpc: &Vpc,
    table: &'a RouteTable,
) -> BTreeMap<IpNet, InForce<'i, 'a>> {
    let mut routes = BTreeMap::new();
    for entry in table.routes.iter().filter(|route| route.target != RouteTarget::Local) {
        let blocks = match &entry.destination {
            Destination::Cidr(cidr) => std::slice::from_ref(cidr),
            Destination::PrefixList(id) => index.state.prefix_lists.get(id).map_or(&[][..], Vec::as_slice),
        };
        for block in blocks.iter().map(IpNet::trunc) {
            let next = next(index, vpc, &entry.target, Family::of_block(&block));
            let specific = vpc.cidrs.iter().any(|cidr| cidr.contains(&block) && *cidr != block);
            let next = match next {
                Next::InternetGateway | Next::EgressOnly(_) if specific && Family::of_block(&block) == Family::Ipv6 => {
                    Next::Unusable(Unusable::LeadsOut)
                }
                next => next,
            };
            routes.entry(block).or_insert(InForce { entry, block, specific, next });
        }
    }
    let own = own_addresses(index, &routes);
    routes.extend(own);
    routes
}

/// What an interface that takes no packets for others still gets by routes that lead to it: those for itself.
fn own_addresses<'i, 'a>(
    index: &'i Index<'a>,
    routes: &BTreeMap<IpNet, InForce<'i, 'a>>,
) -> Vec<(IpNet, InForce<'i, 'a>)> {
    let checked = routes.values().filter_map(|route| match route.next {
        Next::Unusable(Unusable::SourceDestCheck(id)) => Some((route, index.attached_as(id)?)),
        _ => None,
    });
    let each = checked.flat_map(|(route, at)| at.interface.addresses.iter().map(move |a| (route, at, a.private)));
    let taken = each.filter(|(route, _, own)| {
        let longest = routes.values().filter(|r| r.specific == route.specific && r.block.contains(own));
        longest.max_by_key(|r| r.block.prefix_len()).is_some_and(|longest| longest.block == route.block)
    });
    let for_itself = |(route, at, own): (&InForce<'i, 'a>, &'i Attached<'a>, IpAddr)| {
        let block = IpNet::from(own);
        (block, InForce { block, next: Next::Interface(at), ..*route })
    };
    taken.map(for_itself).collect()
}

fn next<'i, 'a>(index: &'i Index<'a>, vpc: &Vpc, target: &'a RouteTarget, family: Family) -> Next<'i, 'a> {
    let through = |id: &'a EniId, forwards: bool| {
        let attached = index.attached_as(id).filter(|attached| attached.subnet.vpc == vpc.id);
        match attached {
            None => Next::Unusable(Unusable::InterfaceNotAttached(id)),
            Some(attached) if attached.primary(family).is_none() => {
                Next::Unusable(Unusable::OtherFamily(id.as_str(), family))
            }
            Some(attached) if !forwards && attached.interface.source_dest_check => {
                Next::Unusable(Unusable::SourceDestCheck(id))
            }
            Some(attached) => Next::Interface(attached),
        }
    };
    match target {
        RouteTarget::Local | RouteTarget::Blackhole => Next::Blackhole,
        RouteTarget::InternetGateway(id) => {
            let here = index.state.internet_gateways.iter().any(|gateway| gateway.id == *id && gateway.vpc == vpc.id);
            if here { Next::InternetGateway } else { Next::Unusable(Unusable::GatewayNotAttached(id)) }
        }
        RouteTarget::EgressOnlyInternetGateway(id) if family == Family::Ipv4 => {
            Next::Unusable(Unusable::OtherFamily(id.as_str(), family))
        }
        RouteTarget::EgressOnlyInternetGateway(id) => {
            let here = index.egress_only_of(&vpc.id).is_some_and(|gateway| gateway.id == *id);
            if here { Next::EgressOnly(id) } else { Next::Unusable(Unusable::EgressOnlyGone(id)) }
        }
        RouteTarget::NatGateway(id) if family == Family::Ipv6 => {
            Next::Unusable(Unusable::OtherFamily(id.as_str(), family))
        }
        RouteTarget::NatGateway(id) => match index.nats.get(id) {
            Some(nat) => through(&nat.interface, true),
            None => Next::Unusable(Unusable::NatGatewayGone(id)),
        },
        RouteTarget::NetworkInterface(id) => through(id, false),
        RouteTarget::GatewayEndpoint(id) if family == Family::Ipv6 => {
            Next::Unusable(Unusable::OtherFamily(id.as_str(), family))
        }
        RouteTarget::GatewayEndpoint(id) => {
            let here =
                index.state.gateway_endpoints.iter().any(|endpoint| endpoint.id == *id && endpoint.vpc == vpc.id);
            if here { Next::GatewayEndpoint(id) } else { Next::Unusable(Unusable::EndpointGone(id)) }
        }
        RouteTarget::Peering(id) => match index.beyond(&vpc.id, id) {
            Some(peer) => Next::Peering(id, peer),
            None => Next::Unusable(Unusable::PeeringNotActive(id)),
        },
    }
}

/// What a packet meets in a subnet's route table.
#[derive(Clone, Copy)]
pub(crate) enum Found<'i, 'a> {
    /// A route of the table.
    Route(InForce<'i, 'a>),
    /// The VPC's own route, by this block, to the interface that has the address, if one does.
    Local(IpNet, Option<&'i Attached<'a>>),
    /// Nothing.
    None,
}

/// The route that a packet to `destination` takes out of `subnet`.
pub(crate) fn lookup<'i, 'a>(index: &'i Index<'a>, vpc: &Vpc, subnet: &Subnet, destination: IpAddr) -> Found<'i, 'a> {
    let routes = index.tables.get(&subnet.route_table).map(|table| in_force(index, vpc, table)).unwrap_or_default();
    let longest = |specific: bool| {
        let matching = routes.values().filter(|r| r.specific == specific && r.block.contains(&destination));
        matching.max_by_key(|route| route.block.prefix_len()).copied()
    };
    let own = vpc.cidrs.iter().filter(|cidr| cidr.contains(&destination)).max_by_key(|cidr| cidr.prefix_len());
    if let Some(route) = longest(true) {
        Found::Route(route)
    } else if let Some(cidr) = own {
        Found::Local(*cidr, index.attached_at(&vpc.id, destination))
    } else {
        longest(false).map_or(Found::None, Found::Route)
    }
}
