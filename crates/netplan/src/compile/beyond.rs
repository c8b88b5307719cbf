//! What lies beyond a VPC's router besides the internet: other VPCs behind peering connections, and AWS's services behind
//! gateway endpoints.
//!
//! Each is a link of its own from the router. What comes in by it must come from there; and no route leads it further than to
//! this VPC's addresses.

use super::{
    Index, address, attachment_namespace, cable, end, host_route, mac_of, neighbour, router::put, router_netns,
    short_name,
};
use crate::{
    Chain, FabricPlan, Family, Match, Namespace, PlanParts, Route, RouteAction, Rule, Ruleset, Value, Verdict, Vpc,
    ruleset::{Action, Range},
};
use ipnet::{IpNet, Ipv4Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The set of the devices of these links.
pub(super) const BEYOND: &str = "beyond";
/// The chain that holds the sources of what comes in by them against where they lead.
pub(super) const ARRIVING: &str = "arriving";
/// The next hop on each of these links, whichever its end.
fn hop(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => Ipv4Addr::new(169, 254, 1, 3).into(),
        Family::Ipv6 => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 3).into(),
    }
}
/// A gateway endpoint's own device.
const DEVICE: &str = "eth0";

/// The router's device for a peering connection or a gateway endpoint.
fn link_of(id: &str) -> String {
    short_name(if id.starts_with("pcx-") { 'p' } else { 'g' }, id)
}

/// What a route to a peering connection or a gateway endpoint does.
pub(super) fn towards(id: &str, family: Family) -> RouteAction {
    RouteAction::Link { link: link_of(id), via: Some(hop(family)), source: None }
}

/// A VPC's part in its router.
pub(super) fn lay(index: &Index<'_>, vpc: &Vpc, router: &mut Namespace, filter: &mut Ruleset) {
    let mut sides: Vec<(String, Vec<IpNet>)> =
        index.peers(&vpc.id).map(|(id, peer)| (link_of(id.as_str()), peer.cidrs.clone())).collect();
    let services = IpNet::from(IpAddr::V4(index.state.ground.gateway_endpoint_address()));
    let endpoints = index.state.gateway_endpoints.iter().filter(|endpoint| endpoint.vpc == vpc.id);
    sides.extend(endpoints.map(|endpoint| (link_of(endpoint.id.as_str()), vec![services])));
    if sides.is_empty() {
        return;
    }
    let mut rules = Vec::new();
    for (link, sources) in sides {
        put(filter, BEYOND, vec![Range::Link(link.clone())], Value::None);
        router.any_source.insert(link.clone());
        rules.extend(sources.iter().filter(|source| vpc.has(Family::of_block(source))).map(|source| {
            let when = vec![Match::From(link.clone()), Match::Source(*source)];
            Rule { when, then: Action::Verdict(Verdict::Return) }
        }));
    }
    rules.push(Rule { when: Vec::new(), then: Action::Verdict(Verdict::Drop) });
    filter.chains.insert(ARRIVING.to_owned(), Chain { hook: None, accept_at_end: false, rules });
}

/// The links of all peering connections between VPCs that are there.
pub(super) fn lay_peerings(index: &Index<'_>, plan: &mut PlanParts) {
    for peering in &index.state.peerings {
        let [a, b] = &peering.vpcs;
        if !(index.vpcs.contains_key(a) && index.vpcs.contains_key(b)) || a == b {
            plan.leave_out(format!("{}: it does not connect two VPCs", peering.id));
            continue;
        }
        let link = link_of(peering.id.as_str());
        let names = [router_netns(a), router_netns(b)];
        let macs = [a, b].map(|vpc| mac_of(&format!("{}/{vpc}", peering.id)));
        let mut part = FabricPlan::default();
        let vpcs = [a, b].map(|id| index.vpcs[id]);
        for ((name, vpc), there) in names.iter().zip(vpcs).zip([macs[1], macs[0]]) {
            let router = part.namespaces.entry(name.clone()).or_default();
            for family in vpc.families() {
                router.neighbours.insert(neighbour(&link, hop(family), there));
            }
        }
        let [near, far] = [0, 1].map(|n| end(&names[n], &link, macs[n]));
        part.cables.insert(peering.id.as_str().to_owned(), cable(near, far));
        plan.add(peering.id.as_str(), part);
    }
}

/// The links and namespaces of all gateway endpoints.
pub(super) fn lay_endpoints(index: &Index<'_>, plan: &mut PlanParts) {
    for endpoint in &index.state.gateway_endpoints {
        if !index.vpcs.contains_key(&endpoint.vpc) {
            plan.leave_out(format!("{}: no VPC {}", endpoint.id, endpoint.vpc));
            continue;
        }
        let (link, name, hop) = (link_of(endpoint.id.as_str()), endpoint.id.as_str(), hop(Family::Ipv4));
        let router_name = router_netns(&endpoint.vpc);
        let (router_mac, own_mac) = (mac_of(&format!("{name}/router")), mac_of(name));
        let mut part = FabricPlan::default();
        let router = part.namespaces.entry(router_name.clone()).or_default();
        router.neighbours.insert(neighbour(&link, hop, own_mac));
        let services = index.state.ground.gateway_endpoint_address();
        let namespace = attachment_namespace(&mut part, name);
        namespace.addresses.insert(address(DEVICE, services, 32));
        namespace.neighbours.insert(neighbour(DEVICE, hop, router_mac));
        namespace.routes.insert(host_route(Route::MAIN, hop, DEVICE, None));
        let action = RouteAction::Link { link: DEVICE.to_owned(), via: Some(hop), source: Some(services.into()) };
        namespace.routes.insert(Route { table: Route::MAIN, destination: Ipv4Net::default().into(), action });
        part.cables.insert(name.to_owned(), cable(end(&router_name, &link, router_mac), end(name, DEVICE, own_mac)));
        plan.add(name, part);
    }
}
