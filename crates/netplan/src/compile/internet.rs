//! The internet namespace: between the host and the VPCs that have an internet gateway.
//!
//! It knows the public addresses that are in use, so a private address is unreachable from there. Where there is a way to
//! the real internet, what goes to other public addresses takes it: through a namespace that gives it an address of its own.

use super::{
    Index, address, attachment_namespace, cable, end, forwarding, host_route, mac_of, neighbour, router_netns, set,
    short_name,
};
use crate::{
    Chain, ChainHook, End, FabricPlan, Family, Ground, INTERNET, Match, Namespace, OUTBOUND, OUTBOUND_DEVICE, Place,
    Route, RouteAction, RoutingRule, Rule, Ruleset, Verdict, Vpc,
    ruleset::{Action, accept},
};
use ipnet::{IpNet, Ipv4Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use types::id::VpcId;

/// The next hop from a router to the internet namespace.
pub(super) fn internet_hop(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => Ipv4Addr::new(169, 254, 1, 1).into(),
        Family::Ipv6 => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1).into(),
    }
}

/// The next hop from the internet namespace to a router.
fn router_hop(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => Ipv4Addr::new(169, 254, 1, 2).into(),
        Family::Ipv6 => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2).into(),
    }
}
/// The internet namespace's device towards the host.
const HOST: &str = "host";

/// The namespace, and the host's way to it; `ipv6` says whether a VPC is reached over IPv6.
pub(super) fn lay(ground: &Ground, ipv6: bool) -> FabricPlan {
    let mut plan = FabricPlan::default();
    let mut internet = Namespace::default();
    forwarding(&mut internet, ipv6);
    internet.addresses.insert(address("lo", ground.gateway_endpoint_address(), 32));

    let host_link = format!("wt-{}", ground.instance);
    let (host_mac, internet_mac) = (mac_of(&format!("{host_link}/host")), mac_of(&format!("{host_link}/internet")));
    for family in [Some(Family::Ipv4), ipv6.then_some(Family::Ipv6)].into_iter().flatten() {
        let Own { host, service, pool } = own(ground, family);
        let whole = if family == Family::Ipv4 { 32 } else { 128 };
        internet.addresses.insert(address("lo", service, whole));
        // An address that nobody has is silence, not an error.
        internet.rules.insert(RoutingRule::all(family, 40_000, None));
        internet.routes.insert(host_route(Route::MAIN, host, HOST, None));
        internet.neighbours.insert(neighbour(HOST, host, host_mac));
        plan.host.addresses.insert(address(&host_link, host, whole));
        plan.host.neighbours.insert(neighbour(&host_link, service, internet_mac));
        let action = RouteAction::Link { link: host_link.clone(), via: Some(service), source: Some(host) };
        plan.host.routes.insert(Route { table: Route::MAIN, destination: pool, action });
    }
    let host_end = End { place: Place::Host, link: host_link, mac: host_mac };
    plan.cables.insert("host".to_owned(), cable(end(INTERNET, HOST, internet_mac), host_end));

    if ground.outbound {
        lay_way_outbound(ground, &mut internet, &mut plan);
    }
    plan.namespaces.insert(INTERNET.to_owned(), internet);
    plan
}

/// The way into the real internet: a namespace from which everything leaves with the address of a device that a program
/// makes there. Private addresses are the machine's neighbours', not the internet's, and are not led to.
fn lay_way_outbound(ground: &Ground, internet: &mut Namespace, plan: &mut FabricPlan) {
    const OUT: &str = "outbound";
    const IN: &str = "internet";
    let (near, far) = (end(INTERNET, OUT, mac_of("outbound/internet")), end(OUTBOUND, IN, mac_of("outbound")));
    for block in Ground::not_outside() {
        let route = Route { table: Route::MAIN, destination: block.into(), action: RouteAction::Blackhole };
        internet.routes.insert(route);
    }
    let via = |link: &str, via| RouteAction::Link { link: link.to_owned(), via: Some(via), source: None };
    let (internet_side, outbound_side) = (internet_hop(Family::Ipv4), router_hop(Family::Ipv4));
    let everywhere = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0));
    internet.routes.insert(Route { table: Route::MAIN, destination: everywhere, action: via(OUT, outbound_side) });
    internet.neighbours.insert(neighbour(OUT, outbound_side, far.mac));

    let mut outbound = Namespace::default();
    forwarding(&mut outbound, false);
    outbound.neighbours.insert(neighbour(IN, internet_side, near.mac));
    outbound.routes.insert(Route {
        table: Route::MAIN,
        destination: ground.pool.into(),
        action: via(IN, internet_side),
    });
    let masquerade = Rule { when: vec![Match::To(OUTBOUND_DEVICE.to_owned())], then: Action::Masquerade };
    let begins = Match::From(IN.to_owned());
    let mut filter = Ruleset::default();
    filter.chains.insert(
        "nat".to_owned(),
        Chain { hook: Some(ChainHook::SourceNat), accept_at_end: true, rules: vec![masquerade] },
    );
    // Nobody begins a connection from outside, and nothing here is to be talked to.
    filter.chains.insert(
        "forward".to_owned(),
        Chain {
            hook: Some(ChainHook::Forward(0)),
            accept_at_end: false,
            rules: vec![accept(vec![Match::Established]), accept(vec![begins, Match::New])],
        },
    );
    filter
        .chains
        .insert("input".to_owned(), Chain { hook: Some(ChainHook::Input), accept_at_end: false, rules: vec![] });
    outbound.filter = Some(filter);
    plan.cables.insert("outbound".to_owned(), cable(near, far));
    plan.namespaces.insert(OUTBOUND.to_owned(), outbound);
}

/// An instance's own addresses of a family, and the block that leads to it.
struct Own {
    host: IpAddr,
    service: IpAddr,
    pool: IpNet,
}

fn own(ground: &Ground, family: Family) -> Own {
    match family {
        Family::Ipv4 => Own {
            host: ground.host_address().into(),
            service: ground.service_address().into(),
            pool: ground.pool.into(),
        },
        Family::Ipv6 => Own {
            host: ground.host_address_ipv6().into(),
            service: ground.service_address_ipv6().into(),
            pool: ground.ipv6_pool().into(),
        },
    }
}

/// The way from the internet to these public addresses of a VPC.
pub(super) fn lay_addresses(vpc: &VpcId, addresses: impl Iterator<Item = Ipv4Addr>, part: &mut FabricPlan) {
    let link = short_name('v', vpc.as_str());
    for public in addresses {
        let internet = part.namespaces.entry(INTERNET.to_owned()).or_default();
        internet.routes.insert(host_route(Route::MAIN, public, &link, Some(router_hop(Family::Ipv4))));
    }
}

/// The links from a VPC's router to the internet namespace, and the way back to its IPv6 blocks: by the internet gateway
/// where there is one, else by the egress-only one.
pub(super) fn lay_gateways(index: &Index<'_>, vpc: &Vpc, router: &mut Namespace, part: &mut FabricPlan) {
    let gateway = index.gateway_of(&vpc.id).is_some();
    if gateway {
        let internet = End { link: short_name('v', vpc.id.as_str()), ..internet_end(vpc, "internet") };
        lay_way_out(vpc, super::IGW, internet, vpc.families(), router, part);
        router.any_source.insert(super::IGW.to_owned());
    }
    if !index.ipv6_outside(vpc) {
        return;
    }
    if index.egress_only_of(&vpc.id).is_some() {
        let internet = End { link: short_name('o', vpc.id.as_str()), ..internet_end(vpc, "eigw/internet") };
        lay_way_out(vpc, super::EGRESS_ONLY, internet, [Family::Ipv6].into_iter(), router, part);
    }
    let back = RouteAction::Link {
        link: short_name(if gateway { 'v' } else { 'o' }, vpc.id.as_str()),
        via: Some(router_hop(Family::Ipv6)),
        source: None,
    };
    let internet = part.namespaces.entry(INTERNET.to_owned()).or_default();
    for cidr in vpc.cidrs.iter().filter(|cidr| Family::of_block(cidr) == Family::Ipv6) {
        internet.routes.insert(Route { table: Route::MAIN, destination: *cidr, action: back.clone() });
    }
}

/// The internet's end of a VPC's link, which has yet to get a name.
fn internet_end(vpc: &Vpc, which: &str) -> End {
    end(INTERNET, "", mac_of(&format!("{}/{which}", vpc.id)))
}

/// A link from a router's device to the internet namespace.
fn lay_way_out(
    vpc: &Vpc,
    device: &str,
    near: End,
    families: impl Iterator<Item = Family>,
    router: &mut Namespace,
    part: &mut FabricPlan,
) {
    let name = format!("{}/{device}", vpc.id);
    let far = end(&router_netns(&vpc.id), device, mac_of(&name));
    let internet = part.namespaces.entry(INTERNET.to_owned()).or_default();
    for family in families {
        router.neighbours.insert(neighbour(device, internet_hop(family), near.mac));
        internet.neighbours.insert(neighbour(&near.link, router_hop(family), far.mac));
    }
    part.cables.insert(name, cable(near, far));
}

/// What makes an attachment's namespace a NAT gateway: it forwards, and everything leaves with its own address.
pub(super) fn lay_nat(plan: &mut FabricPlan, name: &str, own: IpAddr, device: &str) {
    let namespace = attachment_namespace(plan, name);
    forwarding(namespace, false);
    set(namespace, "ipv4/conf/default/promote_secondaries", "1");
    let masquerade = Rule { when: vec![Match::To(device.to_owned())], then: Action::Masquerade };
    let own_already = Rule {
        when: vec![Match::To(device.to_owned()), Match::Source(IpNet::from(own))],
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
