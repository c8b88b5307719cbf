//! Route tables: each is a routing table of the kernel's, picked by the subnet that a packet's source is in, or by the device of
//! an interface that sends for others.
//!
//! The order of [`route`](crate::rules::route) is one of routing rules here. Within each the kernel takes the longest
//! prefix. What comes from a gateway, and what begins in the router, reaches nothing but the VPC's own addresses.
//!
//! The kernel holds an IPv4 packet's source against the way that an answer to it would take. By the device of an interface
//! that sends for itself alone, no way leads but that to its own addresses.

use super::{EGRESS_ONLY, IGW, Index, beyond, hash, internet};
use crate::{
    FabricPlan, Family, Match, Namespace, Route, RouteAction, RoutingRule, Rule, Subnet, Verdict, Vpc,
    rules::route::{self, Next},
    ruleset::Action,
};
use ipnet::{IpNet, Ipv4Net};
use std::collections::{BTreeMap, BTreeSet};
use types::id::RouteTableId;

const SPECIFIC_BY_DEVICE: u32 = 90;
const WITHIN_BY_DEVICE: u32 = 95;
const SPECIFIC: u32 = 100;
const WITHIN: u32 = 200;
const NO_FURTHER: u32 = 250;
const TABLE_BY_DEVICE: u32 = 290;
const NO_FURTHER_BY_DEVICE: u32 = 291;
const TABLE: u32 = 300;
const NOWHERE: u32 = 400;

/// The device that stands in a rule for what begins in the router.
const BEGINS_HERE: &str = "lo";

/// A route table's numbers in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Numbers {
    /// The routes that come after the VPC's own addresses.
    table: u32,
    /// Those that come before.
    specific: Option<u32>,
}

/// The numbers of each route table that a subnet of the VPC uses and that is there.
pub(super) type Tables<'a> = BTreeMap<&'a RouteTableId, Numbers>;

/// The same numbers for a route table as long as it lives, so that nothing else moves when another one comes or goes.
pub(super) fn tables<'i>(index: &'i Index<'_>, vpc: &Vpc) -> Tables<'i> {
    let mut taken = BTreeSet::new();
    let mut tables = Tables::new();
    let ids: BTreeSet<&RouteTableId> = index.subnets_of(&vpc.id).map(|subnet| &subnet.route_table).collect();
    for id in ids {
        // Even numbers are for the table, the odd one after for its specific routes.
        let mut number = (hash(id.as_str()) as u32 & 0x3fff_fffe) + 0x1_0000;
        while !taken.insert(number) {
            number += 2;
        }
        let Some(table) = index.tables.get(id) else { continue };
        let specific = route::in_force(index, vpc, table)
            .iter()
            .any(|(to, route)| route.specific && vpc.has(Family::of_block(to)))
            .then_some(number + 1);
        tables.insert(id, Numbers { table: number, specific });
    }
    tables
}

/// A rule for what comes by a device.
fn by_device(link: &str, family: Family, priority: u32, table: Option<u32>) -> RoutingRule {
    RoutingRule { from: Some(link.to_owned()), ..RoutingRule::all(family, priority, table) }
}

/// The rules for what comes by the device of an interface that sends for others: the table of its subnet and no other,
/// whatever the source. None is a table that is not there.
pub(super) fn rules_of_sender_for_others(numbers: Option<Numbers>, ipv6: bool, link: &str) -> Vec<RoutingRule> {
    let mut rules = Vec::new();
    for family in [Some(Family::Ipv4), ipv6.then_some(Family::Ipv6)].into_iter().flatten() {
        if family == Family::Ipv6 {
            // The tables of other subnets come before the VPC's own addresses by their source; IPv4's by a mark that this has not.
            let specific = numbers.and_then(|numbers| numbers.specific);
            rules.extend(specific.map(|table| by_device(link, family, SPECIFIC_BY_DEVICE, Some(table))));
            rules.push(by_device(link, family, WITHIN_BY_DEVICE, Some(Route::MAIN)));
        }
        rules.extend(numbers.map(|numbers| by_device(link, family, TABLE_BY_DEVICE, Some(numbers.table))));
        rules.push(by_device(link, family, NO_FURTHER_BY_DEVICE, None));
    }
    rules
}

/// The rules for what a subnet's interfaces send.
fn rules_of_subnet(numbers: Numbers, subnet: &Subnet) -> impl Iterator<Item = RoutingRule> {
    let from = |block: IpNet, priority, table| RoutingRule {
        source: Some(block.trunc()),
        ..RoutingRule::all(Family::of_block(&block), priority, Some(table))
    };
    let (ipv4, ipv6) = (IpNet::V4(subnet.cidr), subnet.ipv6.map(IpNet::V6));
    let specific = numbers
        .specific
        .map(|number| RoutingRule { mark: Some(number), ..RoutingRule::all(Family::Ipv4, SPECIFIC, Some(number)) });
    let specific_ipv6 = ipv6.zip(numbers.specific).map(|(block, number)| from(block, SPECIFIC, number));
    let rest = [Some(ipv4), ipv6].into_iter().flatten().map(move |block| from(block, TABLE, numbers.table));
    rest.chain(specific).chain(specific_ipv6)
}

/// The rules of the filter that mark, before routing, the IPv4 packets for which some routes come before the VPC's own
/// addresses. The kernel looks the way back to a packet's source up without a mark: it is the VPC's own addresses that
/// tell by which device a source is reached, wherever answers are sent.
pub(super) fn marking(index: &Index<'_>, vpc: &Vpc, tables: &Tables<'_>) -> Vec<Rule> {
    let specific = |subnet: &Subnet| tables.get(&subnet.route_table).and_then(|numbers| numbers.specific);
    if tables.values().all(|numbers| numbers.specific.is_none()) {
        return Vec::new();
    }
    let everything = || Match::Source(Ipv4Net::default().into());
    let mark = |when, number| Rule { when, then: Action::Mark(number) };
    let mut rules = Vec::new();
    for attached in index.attached_in(&vpc.id).filter(|attached| attached.sends_for_others()) {
        let from = vec![Match::From(attached.link()), everything()];
        // What has none is not to be taken for its source's subnet's.
        rules.push(match specific(attached.subnet) {
            Some(number) => mark(from, number),
            None => Rule { when: from, then: Action::Verdict(Verdict::Return) },
        });
    }
    for subnet in index.subnets_of(&vpc.id) {
        rules.extend(specific(subnet).map(|number| mark(vec![Match::Source(subnet.cidr.trunc().into())], number)));
    }
    rules
}

pub(super) fn lay(index: &Index<'_>, vpc: &Vpc, tables: &Tables<'_>, router: &mut Namespace, plan: &mut FabricPlan) {
    for cidr in &vpc.cidrs {
        router.routes.insert(Route { table: Route::MAIN, destination: *cidr, action: RouteAction::Blackhole });
    }
    let gateway = index.gateway_of(&vpc.id).map(|_| IGW);
    let egress_only = index.egress_only_of(&vpc.id).map(|_| EGRESS_ONLY);
    for family in vpc.families() {
        router.rules.insert(RoutingRule::all(family, WITHIN, Some(Route::MAIN)));
        router.rules.insert(RoutingRule::all(family, NOWHERE, None));
        for link in gateway.into_iter().chain(egress_only) {
            if family == Family::Ipv6 {
                router.rules.insert(by_device(link, family, WITHIN_BY_DEVICE, Some(Route::MAIN)));
            }
            router.rules.insert(by_device(link, family, NO_FURTHER, None));
        }
        router.rules.insert(by_device(BEGINS_HERE, family, NO_FURTHER, None));
    }
    for subnet in index.subnets_of(&vpc.id) {
        match tables.get(&subnet.route_table) {
            Some(numbers) => router.rules.extend(rules_of_subnet(*numbers, subnet)),
            None => {
                plan.omitted.insert(format!("{}: no such route table", subnet.route_table));
            }
        }
    }
    for (id, numbers) in tables {
        let Some(table) = index.tables.get(id) else { continue };
        for (destination, route) in route::in_force(index, vpc, table) {
            let family = Family::of_block(&destination);
            if !vpc.has(family) {
                continue;
            }
            if let Next::Unusable(reason) = &route.next {
                plan.omitted.insert(format!("{}: {reason}", table.id));
            }
            let number = numbers.specific.filter(|_| route.specific).unwrap_or(numbers.table);
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
