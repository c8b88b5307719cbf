//! The internet namespace: between the host and the VPCs that have an internet gateway.
//!
//! It knows the public addresses that are in use and nothing else, so a private address is unreachable from there, and
//! the world outside the host is unreachable from a VPC.

use super::{address, attachment_namespace, cable, end, forwarding, host_route, mac_of, neighbour, set, short_name};
use crate::{
    Chain, ChainHook, End, FabricPlan, Ground, INTERNET, Match, Namespace, Neighbour, Place, Route, RouteAction,
    RoutingRule, Rule, Ruleset, Verdict,
    ruleset::{Action, accept},
};
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;
use types::id::VpcId;

/// The next hop from a router to the internet namespace.
pub(super) const INTERNET_HOP: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
/// The next hop from the internet namespace to a router.
const ROUTER_HOP: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 2);
/// The internet namespace's device towards the host.
const HOST: &str = "host";

/// The namespace, and the host's way to it.
pub(super) fn lay(ground: &Ground) -> FabricPlan {
    let mut plan = FabricPlan::default();
    let mut internet = Namespace::default();
    forwarding(&mut internet);
    internet.addresses.insert(address("lo", ground.service_address(), 32));
    internet.addresses.insert(address("lo", ground.gateway_endpoint_address(), 32));
    // An address that nobody has is silence, not an error.
    internet.rules.insert(RoutingRule { priority: 40_000, mark: None, table: None });

    let host_link = format!("wt-{}", ground.instance);
    let (host_mac, internet_mac) = (mac_of(&format!("{host_link}/host")), mac_of(&format!("{host_link}/internet")));
    internet.routes.insert(host_route(Route::MAIN, ground.host_address(), HOST, None));
    internet.neighbours.insert(neighbour(HOST, ground.host_address(), host_mac));
    plan.host.addresses.insert(address(&host_link, ground.host_address(), 32));
    plan.host.neighbours.insert(Neighbour { link: host_link.clone(), ip: ground.service_address(), mac: internet_mac });
    plan.host.routes.insert(Route {
        table: Route::MAIN,
        destination: ground.pool,
        action: RouteAction::Link {
            link: host_link.clone(),
            via: Some(ground.service_address()),
            source: Some(ground.host_address()),
        },
    });
    let host_end = End { place: Place::Host, link: host_link, mac: host_mac };
    plan.cables.insert("host".to_owned(), cable(end(INTERNET, HOST, internet_mac), host_end));

    plan.namespaces.insert(INTERNET.to_owned(), internet);
    plan
}

/// The way from the internet to these public addresses of a VPC.
pub(super) fn lay_addresses(vpc: &VpcId, addresses: impl Iterator<Item = Ipv4Addr>, part: &mut FabricPlan) {
    let link = short_name('v', vpc.as_str());
    for public in addresses {
        let internet = part.namespaces.entry(INTERNET.to_owned()).or_default();
        internet.routes.insert(host_route(Route::MAIN, public, &link, Some(ROUTER_HOP)));
    }
}

/// The link from a VPC's router to the internet namespace.
pub(super) fn lay_gateway(vpc: &VpcId, router_name: &str, router: &mut Namespace, part: &mut FabricPlan) {
    let link = short_name('v', vpc.as_str());
    let (router_mac, internet_mac) = (mac_of(&format!("{vpc}/igw")), mac_of(&format!("{vpc}/internet")));
    router.neighbours.insert(neighbour(super::IGW, INTERNET_HOP, internet_mac));
    let internet = part.namespaces.entry(INTERNET.to_owned()).or_default();
    internet.neighbours.insert(neighbour(&link, ROUTER_HOP, router_mac));
    let (near, far) = (end(INTERNET, &link, internet_mac), end(router_name, super::IGW, router_mac));
    part.cables.insert(format!("{vpc}/igw"), cable(near, far));
}

/// What makes an attachment's namespace a NAT gateway: it forwards, and everything leaves with its own address.
pub(super) fn lay_nat(plan: &mut FabricPlan, name: &str, own: Ipv4Addr, device: &str) {
    let namespace = attachment_namespace(plan, name);
    forwarding(namespace);
    set(namespace, "ipv4/conf/default/promote_secondaries", "1");
    let masquerade = Rule { when: vec![Match::To(device.to_owned())], then: Action::Masquerade };
    let own_already = Rule {
        when: vec![Match::To(device.to_owned()), Match::Source(Ipv4Net::from(own))],
        then: Action::Verdict(Verdict::Accept),
    };
    let mut filter = Ruleset::default();
    filter.chains.insert(
        "nat".to_owned(),
        Chain { hook: Some(ChainHook::SourceNat), accept_at_end: true, rules: vec![own_already, masquerade] },
    );
    // A NAT gateway takes no connections of its own: nothing is established here that it did not forward.
    filter.chains.insert(
        "input".to_owned(),
        Chain { hook: Some(ChainHook::Input), accept_at_end: false, rules: vec![accept(vec![Match::Established])] },
    );
    // An answer whose question did not come by here is no connection of the gateway's, and goes no further.
    filter.chains.insert(
        "forward".to_owned(),
        Chain {
            hook: Some(ChainHook::Forward(0)),
            accept_at_end: true,
            rules: vec![Rule { when: vec![Match::Invalid], then: Action::Verdict(Verdict::Drop) }],
        },
    );
    namespace.filter = Some(filter);
}
