//! A VPC's router: its devices, its local services, and the filter's frame.
//!
//! A packet passes: `prerouting` (is the source its own? which route table?) → routing → `acls` (stateless) → `egress`
//! (the sender's groups) → `ingress` (the receiver's groups) → out. The last two let known connections through.
//! They are separate chains on the same hook, so that an accept in one does not skip the other.

use super::{
    Attached, IGW, Index, acls, address, attachment_namespace,
    beyond::{self, BEYOND},
    cable, end, forwarding, groups, host_route, internet, mac_of, neighbour, router_netns, routes, set,
};
use crate::{
    Chain, ChainHook, FabricPlan, Field, Match, Namespace, Route, RouteAction, Rule, Ruleset, Selector, Set, Value,
    ValueKind, Verdict, Vpc,
    ruleset::{Action, Range, accept},
};
use ipnet::Ipv4Net;
use std::{collections::BTreeMap, net::Ipv4Addr};

const SOURCES: &str = "sources";
const UNCHECKED: &str = "unchecked";
const MARKS: &str = "route_table_of";
const PUBLIC_OF: &str = "public_of";
const PRIVATE_OF: &str = "private_of";
const LOCAL_SERVICES: &str = "services";

pub(super) fn lay(index: &Index<'_>, vpc: &Vpc, plan: &mut FabricPlan) {
    let name = router_netns(&vpc.id);
    let mut router = Namespace::default();
    forwarding(&mut router);
    // A connection whose packets take unusual ways is still that connection.
    set(&mut router, "netfilter/nf_conntrack_tcp_be_liberal", "1");

    let mut filter = frame();
    for (ip, answers) in Index::local_services(vpc) {
        router.addresses.insert(address("lo", ip, 32));
        if answers {
            put(&mut filter, LOCAL_SERVICES, vec![Range::Address(ip, ip)], Value::None);
        }
    }
    if index.gateway_of(&vpc.id).is_some() {
        internet::lay_gateway(&vpc.id, &name, &mut router, plan);
    }
    let marks = routes::marks(index.subnets_of(&vpc.id));
    routes::lay(index, vpc, &marks, &mut router, plan);
    for attached in index.attached_in(&vpc.id) {
        plug(attached, &name, &mut router, plan);
        filter_interface(attached, marks.get(&attached.subnet.route_table).copied(), &mut filter);
    }
    for subnet in index.subnets_of(&vpc.id) {
        let attached = index.attached_in(&vpc.id).filter(|attached| attached.subnet.id == subnet.id);
        let links: Vec<&str> = attached.map(|attached| attached.link.as_str()).collect();
        if !links.is_empty() {
            acls::lay(index, subnet, &links, &mut filter, plan);
        }
    }
    groups::lay(index, vpc, &mut filter, plan);
    beyond::lay_filter(index, vpc, &mut filter);
    router.filter = Some(filter);
    plan.namespaces.insert(name, router);
}

/// An interface's two devices, and what its namespace holds.
fn plug(attached: &Attached<'_>, router_name: &str, router: &mut Namespace, plan: &mut FabricPlan) {
    let Attached { interface, subnet, attachment, link, nat } = attached;
    let device = format!("eth{}", attachment.device_index);
    let gateway = Ipv4Addr::from(u32::from(subnet.cidr.network()) + 1);
    let near_mac = mac_of(interface.id.as_str());
    if let Some(own) = attached.primary().filter(|_| *nat) {
        internet::lay_nat(plan, &attachment.netns, own, &device);
    }
    let namespace = attachment_namespace(plan, &attachment.netns);
    for ip in interface.addresses.iter().map(|a| a.private) {
        namespace.addresses.insert(address(&device, ip, subnet.cidr.prefix_len()));
        router.neighbours.insert(neighbour(link, ip, interface.mac));
    }
    namespace.neighbours.insert(neighbour(&device, gateway, near_mac));
    namespace.routes.insert(host_route(Route::MAIN, gateway, &device, None));
    // The first device has the way out; another one only its subnet, over the router like everything.
    let reach = if attachment.device_index == 0 { Ipv4Net::default() } else { subnet.cidr.trunc() };
    namespace.routes.insert(Route {
        table: Route::MAIN,
        destination: reach,
        action: RouteAction::Link { link: device.clone(), via: Some(gateway), source: attached.primary() },
    });
    let (near, far) = (end(router_name, link, near_mac), end(&attachment.netns, &device, interface.mac));
    plan.cables.insert(interface.id.as_str().to_owned(), cable(near, far));
}

/// An interface's elements in the filter, but for its groups.
fn filter_interface(attached: &Attached<'_>, mark: Option<u32>, filter: &mut Ruleset) {
    let link = || Range::Link(attached.link.clone());
    if let Some(mark) = mark {
        put(filter, MARKS, vec![link()], Value::Mark(mark));
    }
    if attached.nat || !attached.interface.source_dest_check {
        put(filter, UNCHECKED, vec![link()], Value::None);
    }
    for entry in &attached.interface.addresses {
        let private = entry.private;
        put(filter, SOURCES, vec![link(), Range::Address(private, private)], Value::None);
        if let Some(public) = entry.public {
            put(filter, PUBLIC_OF, vec![Range::Address(private, private)], Value::Address(public));
            put(filter, PRIVATE_OF, vec![Range::Address(public, public)], Value::Address(private));
        }
    }
}

fn put(filter: &mut Ruleset, set: &str, key: Vec<Range>, value: Value) {
    if let Some(set) = filter.sets.get_mut(set) {
        set.elements.insert(key, value);
    }
}

/// The chains that every router has, and the sets that they look into.
fn frame() -> Ruleset {
    use Selector::{Destination, From, Source, To};
    let mut filter = Ruleset::default();
    let mut declare = |name: &str, key: Vec<Field>, value| {
        filter.sets.insert(name.to_owned(), Set { key, interval: false, value, elements: BTreeMap::new() });
    };
    declare(SOURCES, vec![Field::Link, Field::Address], ValueKind::None);
    declare(UNCHECKED, vec![Field::Link], ValueKind::None);
    declare(MARKS, vec![Field::Link], ValueKind::Mark);
    declare(BEYOND, vec![Field::Link], ValueKind::None);
    declare(LOCAL_SERVICES, vec![Field::Address], ValueKind::None);
    declare(PUBLIC_OF, vec![Field::Address], ValueKind::Address);
    declare(PRIVATE_OF, vec![Field::Address], ValueKind::Address);
    for map in [acls::OUT, acls::IN, groups::EGRESS, groups::INGRESS] {
        declare(map, vec![Field::Link], ValueKind::Verdict);
    }

    let rule = |when, then| Rule { when, then };
    let by = |selector, map: &str| rule(Vec::new(), Action::VerdictOf(vec![selector], map.to_owned()));
    let invalid = || rule(vec![Match::Invalid], Action::Verdict(Verdict::Drop));
    let igw = || IGW.to_owned();
    let mut chain = |name: &str, hook, accept_at_end, rules| {
        filter.chains.insert(name.to_owned(), Chain { hook: Some(hook), accept_at_end, rules });
    };
    chain(
        "prerouting",
        ChainHook::Prerouting,
        false,
        vec![
            accept(vec![Match::Ipv4, Match::From(igw())]),
            accept(vec![Match::Ipv4, Match::From("lo".to_owned())]),
            rule(Vec::new(), Action::MarkOf(vec![From], MARKS.to_owned())),
            accept(vec![Match::Ipv4, Match::In(vec![From, Source], SOURCES.to_owned())]),
            accept(vec![Match::Ipv4, Match::In(vec![From], UNCHECKED.to_owned())]),
        ],
    );
    chain("acls", ChainHook::Forward(-10), true, vec![by(From, acls::OUT), by(To, acls::IN)]);
    chain(
        "egress",
        ChainHook::Forward(0),
        false,
        vec![
            accept(vec![Match::Established]),
            invalid(),
            accept(vec![Match::From(igw())]),
            accept(vec![Match::In(vec![From], BEYOND.to_owned())]),
            by(From, groups::EGRESS),
        ],
    );
    chain(
        "ingress",
        ChainHook::Forward(10),
        false,
        vec![
            accept(vec![Match::Established]),
            // The gateway takes only those who have a public address.
            accept(vec![Match::To(igw()), Match::In(vec![Source], PUBLIC_OF.to_owned())]),
            accept(vec![Match::In(vec![To], BEYOND.to_owned())]),
            by(To, groups::INGRESS),
        ],
    );
    chain(
        "input",
        ChainHook::Input,
        false,
        vec![
            accept(vec![Match::Established]),
            accept(vec![Match::From("lo".to_owned())]),
            rule(vec![Match::From(igw())], Action::Verdict(Verdict::Drop)),
            rule(vec![Match::In(vec![From], BEYOND.to_owned())], Action::Verdict(Verdict::Drop)),
            // No group and no ACL can forbid these.
            accept(vec![Match::In(vec![Destination], LOCAL_SERVICES.to_owned())]),
        ],
    );
    let nat = |when, then| vec![rule(vec![when], then)];
    chain(
        "dnat",
        ChainHook::DestinationNat,
        true,
        nat(Match::From(igw()), Action::DestinationNat(vec![Destination], PRIVATE_OF.to_owned())),
    );
    chain(
        "snat",
        ChainHook::SourceNat,
        true,
        nat(Match::To(igw()), Action::SourceNat(vec![Source], PUBLIC_OF.to_owned())),
    );
    filter
}
