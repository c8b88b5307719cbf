//! Route tables: each is a routing table of the kernel's, picked by a mark that the subnet's interfaces set.
//!
//! The order of [`route`](crate::rules::route) is one of routing rules here. Within each the kernel takes the longest
//! prefix.

use super::{Index, beyond, hash, internet};
use crate::{
    FabricPlan, Family, Namespace, Route, RouteAction, RoutingRule, Subnet, Vpc,
    rules::route::{self, Next},
};
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
    for family in vpc.families() {
        router.rules.insert(RoutingRule { family, priority: WITHIN, mark: None, table: Some(Route::MAIN) });
        router.rules.insert(RoutingRule { family, priority: NOWHERE, mark: None, table: None });
    }
    for (id, mark) in marks {
        let Some(table) = index.tables.get(id) else {
            plan.omitted.insert(format!("{id}: no such route table"));
            continue;
        };
        for family in vpc.families() {
            router.rules.insert(RoutingRule { family, priority: TABLE, mark: Some(*mark), table: Some(*mark) });
        }
        for (destination, route) in route::in_force(index, vpc, table) {
            let family = Family::of_block(&destination);
            if !vpc.has(family) {
                continue;
            }
            if let Next::Unusable(reason) = &route.next {
                plan.omitted.insert(format!("{}: {reason}", table.id));
            }
            let number = if route.specific { mark + 1 } else { *mark };
            if route.specific {
                let (mark, table) = (Some(*mark), Some(number));
                router.rules.insert(RoutingRule { family, priority: SPECIFIC, mark, table });
            }
            router.routes.insert(Route { table: number, destination, action: action(&route.next, family) });
        }
    }
}

/// What the kernel does for a route.
fn action(next: &Next<'_, '_>, family: Family) -> RouteAction {
    let way_out = |device: &str| RouteAction::Link {
        link: device.to_owned(),
        via: Some(internet::internet_hop(family)),
        source: None,
    };
    match next {
        Next::Interface(attached) => {
            RouteAction::Link { link: attached.link(), via: attached.primary(family), source: None }
        }
        Next::InternetGateway => way_out(super::IGW),
        Next::EgressOnly(_) => way_out(super::EGRESS_ONLY),
        Next::Peering(id, _) => beyond::towards(id.as_str(), family),
        Next::GatewayEndpoint(id) => beyond::towards(id.as_str(), family),
        Next::Blackhole | Next::Unusable(_) => RouteAction::Blackhole,
    }
}
