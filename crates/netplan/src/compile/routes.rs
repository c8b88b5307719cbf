//! Route tables: each is a routing table of the kernel's, picked by a mark that the subnet's interfaces set.
//!
//! Order: routes more specific than a VPC's own block, then the VPC itself, then the rest of the route table, then
//! silence. Within each the kernel takes the longest prefix.

use super::{Index, hash, host_route, internet};
use crate::{
    Destination, FabricPlan, Namespace, Route, RouteAction, RouteTable, RouteTarget, RoutingRule, Subnet, Vpc,
};
use ipnet::{IpNet, Ipv4Net};
use std::collections::{BTreeMap, BTreeSet};
use types::id::RouteTableId;

const SPECIFIC: u32 = 100;
const WITHIN: u32 = 200;
const TABLE: u32 = 300;
const NOWHERE: u32 = 400;

/// The mark of each route table that a subnet of the VPC uses.
pub(super) type Marks<'a> = BTreeMap<&'a RouteTableId, u32>;

/// A mark for each route table, which is also its number in the kernel: the same as long as the table lives, so that
/// nothing else moves when another table comes or goes.
pub(super) fn marks<'a>(subnets: impl Iterator<Item = &'a Subnet>) -> Marks<'a> {
    let mut taken = BTreeSet::new();
    let mut marks = Marks::new();
    let ids: BTreeSet<&RouteTableId> = subnets.map(|subnet| &subnet.route_table).collect();
    for id in ids {
        // Even numbers are for the table, the odd one after for its specific routes.
        let mut number = (hash(id.as_str()) as u32 & 0x3fff_fffe) + 0x1_0000;
        while !taken.insert(number) {
            number += 2;
        }
        marks.insert(id, number);
    }
    marks
}

pub(super) fn lay(index: &Index<'_>, vpc: &Vpc, marks: &Marks<'_>, router: &mut Namespace, plan: &mut FabricPlan) {
    for cidr in &vpc.cidrs {
        router.routes.insert(Route { table: Route::MAIN, destination: *cidr, action: RouteAction::Blackhole });
    }
    for attached in index.attached_in(&vpc.id) {
        for address in &attached.interface.addresses {
            router.routes.insert(host_route(Route::MAIN, address.private, &attached.link, None));
        }
    }
    router.rules.insert(RoutingRule { priority: WITHIN, mark: None, table: Some(Route::MAIN) });
    router.rules.insert(RoutingRule { priority: NOWHERE, mark: None, table: None });
    for (id, mark) in marks {
        let Some(table) = index.tables.get(id) else {
            plan.omitted.insert(format!("{id}: no such route table"));
            continue;
        };
        router.rules.insert(RoutingRule { priority: TABLE, mark: Some(*mark), table: Some(*mark) });
        for (destination, action) in routes(index, vpc, table, plan) {
            let specific = vpc.cidrs.iter().any(|cidr| cidr.contains(&destination) && *cidr != destination);
            let number = if specific { mark + 1 } else { *mark };
            if specific {
                router.rules.insert(RoutingRule { priority: SPECIFIC, mark: Some(*mark), table: Some(number) });
            }
            router.routes.insert(Route { table: number, destination, action });
        }
    }
}

/// A table's routes as the kernel takes them: one for each destination, the first if there are several.
fn routes(index: &Index<'_>, vpc: &Vpc, table: &RouteTable, plan: &mut FabricPlan) -> BTreeMap<Ipv4Net, RouteAction> {
    let mut routes = BTreeMap::new();
    for route in table.routes.iter().filter(|route| route.target != RouteTarget::Local) {
        let action = action(index, vpc, &route.target).unwrap_or_else(|reason| {
            plan.omitted.insert(format!("{}: {reason}", table.id));
            RouteAction::Blackhole
        });
        let blocks = match &route.destination {
            Destination::Cidr(cidr) => std::slice::from_ref(cidr),
            Destination::PrefixList(id) => index.state.prefix_lists.get(id).map_or(&[][..], Vec::as_slice),
        };
        for block in blocks {
            if let IpNet::V4(block) = block {
                routes.entry(block.trunc()).or_insert_with(|| action.clone());
            }
        }
    }
    routes
}

fn action(index: &Index<'_>, vpc: &Vpc, target: &RouteTarget) -> Result<RouteAction, String> {
    let through = |id: &types::id::EniId, forwards: bool| {
        let attached = index
            .attached_as(id)
            .filter(|attached| attached.subnet.vpc == vpc.id)
            .ok_or_else(|| format!("a route leads to {id}, which is not attached in this VPC"))?;
        if !forwards && attached.interface.source_dest_check {
            return Err(format!("a route leads to {id}, which has its source/destination check on"));
        }
        Ok(RouteAction::Link { link: attached.link.clone(), via: attached.primary(), source: None })
    };
    match target {
        RouteTarget::Local | RouteTarget::Blackhole => Ok(RouteAction::Blackhole),
        RouteTarget::InternetGateway(id) => {
            if !index.state.internet_gateways.iter().any(|gateway| gateway.id == *id && gateway.vpc == vpc.id) {
                return Err(format!("a route leads to {id}, which is not attached to this VPC"));
            }
            Ok(RouteAction::Link { link: super::IGW.to_owned(), via: Some(internet::INTERNET_HOP), source: None })
        }
        RouteTarget::NatGateway(id) => {
            let nat = index.nats.get(id).ok_or_else(|| format!("a route leads to {id}, which is gone"))?;
            through(&nat.interface, true)
        }
        RouteTarget::NetworkInterface(id) => through(id, false),
        RouteTarget::GatewayEndpoint(id) => Err(format!("{id}: gateway endpoints carry no packets")),
    }
}
