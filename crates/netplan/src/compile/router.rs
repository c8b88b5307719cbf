//! A VPC's router: its devices, its local services, and the filter's frame.
//!
//! A packet passes: `prerouting` (is the source its own? which route table?) → routing → `acl_out` (stateless) → `egress`
//! (the sender's groups) → `acl_in` (stateless) → `ingress` (the receiver's groups) → out. The groups let known
//! connections through. They are separate chains on the same hook, so that an accept in one does not skip the others, and
//! the sender's side comes first, so that what it refuses is nothing that the receiver's side has seen.

use super::{
    EGRESS_ONLY, IGW, Index, acls, address,
    beyond::{self, BEYOND},
    forwarding, groups, internet, name_and_family, of_family, router_netns, routes, set,
};
use crate::{
    Chain, ChainHook, FabricPlan, Family, Field, Match, Namespace, Rule, Ruleset, Selector, Set, Value, ValueKind,
    Verdict, Vpc,
    ruleset::{Action, Range, accept},
};
use ipnet::IpNet;
use std::collections::BTreeMap;
use types::id::VpcId;

pub(super) const SOURCES: &str = "sources";
pub(super) const UNCHECKED: &str = "unchecked";
pub(super) const MARKS: &str = "route_table_of";
pub(super) const PUBLIC_OF: &str = "public_of";
pub(super) const PRIVATE_OF: &str = "private_of";
/// The IPv6 addresses of the VPC's interfaces: those that gateways take packets from.
pub(super) const OWN: &str = "own";
/// What is kept with connections that went out by an egress-only gateway.
const WENT_OUT: u32 = 1;
const LOCAL_SERVICES: &str = "services";

/// The router's own part: what is there whatever is attached.
pub(super) fn lay(index: &Index<'_>, vpc: &Vpc, marks: &routes::Marks<'_>) -> FabricPlan {
    let mut part = FabricPlan::default();
    let name = router_netns(&vpc.id);
    let mut router = Namespace::default();
    let ipv6 = vpc.has(Family::Ipv6);
    forwarding(&mut router, ipv6);
    // A connection whose packets take unusual ways is still that connection.
    set(&mut router, "netfilter/nf_conntrack_tcp_be_liberal", "1");

    let mut filter = frame(ipv6);
    for (ip, answers) in Index::local_services(vpc) {
        router.addresses.insert(address("lo", ip, IpNet::from(ip).prefix_len()));
        if answers {
            put(&mut filter, &of_family(LOCAL_SERVICES, Family::of(ip)), vec![Range::Address(ip, ip)], Value::None);
        }
    }
    internet::lay_gateways(index, vpc, &mut router, &mut part);
    routes::lay(index, vpc, marks, &mut router, &mut part);
    beyond::lay_filter(index, vpc, &mut filter);
    leave_out(&mut filter, index.gateway_of(&vpc.id).is_none(), index.egress_only_of(&vpc.id).is_none());
    router.filter = Some(filter);
    part.namespaces.insert(name, router);
    part
}

/// The filter of a VPC's router, or what a part of the plan adds to it.
pub(super) fn filter_of<'p>(part: &'p mut FabricPlan, vpc: &VpcId) -> &'p mut Ruleset {
    part.namespaces.entry(router_netns(vpc)).or_default().filter.get_or_insert_default()
}

/// Adds an element to one of the sets that every router has.
pub(super) fn put(filter: &mut Ruleset, set: &str, key: Vec<Range>, value: Value) {
    if !filter.sets.contains_key(set) {
        filter.sets.insert(set.to_owned(), empty(set));
    }
    if let Some(set) = filter.sets.get_mut(set) {
        set.elements.insert(key, value);
    }
}

/// The sets that every router has.
const SETS: [&str; 11] = [
    SOURCES,
    UNCHECKED,
    MARKS,
    BEYOND,
    LOCAL_SERVICES,
    PUBLIC_OF,
    PRIVATE_OF,
    acls::OUT,
    acls::IN,
    groups::EGRESS,
    groups::INGRESS,
];

/// Those that the router of a VPC with IPv6 has besides.
fn sets_ipv6() -> [String; 3] {
    [of_family(SOURCES, Family::Ipv6), of_family(LOCAL_SERVICES, Family::Ipv6), OWN.to_owned()]
}

/// Such a set without elements.
fn empty(set: &str) -> Set {
    let (name, family) = name_and_family(set);
    let (key, value) = match name {
        SOURCES => (vec![Field::Link, Field::Address(family)], ValueKind::None),
        MARKS => (vec![Field::Link], ValueKind::Mark),
        LOCAL_SERVICES => (vec![Field::Address(family)], ValueKind::None),
        OWN => (vec![Field::Address(Family::Ipv6)], ValueKind::None),
        PUBLIC_OF | PRIVATE_OF => (vec![Field::Address(Family::Ipv4)], ValueKind::Address),
        acls::OUT | acls::IN | groups::EGRESS | groups::INGRESS => (vec![Field::Link], ValueKind::Verdict),
        _ => (vec![Field::Link], ValueKind::None),
    };
    Set { key, interval: false, value, elements: BTreeMap::new() }
}

/// Leaves out what speaks of devices that the router has not, for every packet would be held against it.
fn leave_out(filter: &mut Ruleset, no_igw: bool, no_egress_only: bool) {
    let nothing_beyond = filter.sets.get(BEYOND).is_none_or(|set| set.elements.is_empty());
    let absent = |condition: &Match| match condition {
        Match::From(link) | Match::To(link) => no_igw && link == IGW || no_egress_only && link == EGRESS_ONLY,
        Match::In(_, set) => nothing_beyond && set == BEYOND,
        _ => false,
    };
    for chain in filter.chains.values_mut() {
        chain.rules.retain(|rule| !rule.when.iter().any(absent));
    }
    let translates = |chain: &Chain| matches!(chain.hook, Some(ChainHook::DestinationNat | ChainHook::SourceNat));
    filter.chains.retain(|_, chain| !(translates(chain) && chain.rules.is_empty()));
}

/// Leads what leaves or enters subnets to their ACLs' chains.
pub(super) fn ask_acls(filter: &mut Ruleset, chain: &str, selector: Selector, map: &str) {
    let rule = Rule { when: Vec::new(), then: Action::VerdictOf(vec![selector], map.to_owned()) };
    if let Some(chain) = filter.chains.get_mut(chain).filter(|chain| chain.rules.is_empty()) {
        chain.rules.push(rule);
    }
}

/// The chains that every router has, and the sets that they look into.
fn frame(ipv6: bool) -> Ruleset {
    use Selector::{Destination, From, Source, To};
    let families = || [Some(Family::Ipv4), ipv6.then_some(Family::Ipv6)].into_iter().flatten();
    let if_ipv6 = |rules: &[Rule]| if ipv6 { rules.to_vec() } else { Vec::new() };
    let mut filter = Ruleset::default();
    filter.sets.extend(SETS.map(|name| (name.to_owned(), empty(name))));
    if ipv6 {
        filter.sets.extend(sets_ipv6().map(|name| (name.clone(), empty(&name))));
    }

    let rule = |when, then| Rule { when, then };
    let by = |selector, map: &str| rule(Vec::new(), Action::VerdictOf(vec![selector], map.to_owned()));
    let invalid = || rule(vec![Match::Invalid], Action::Verdict(Verdict::Drop));
    let (igw, egress_only) = (|| IGW.to_owned(), || EGRESS_ONLY.to_owned());
    let own = || Match::In(vec![Source(Family::Ipv6)], OWN.to_owned());
    let mut chain = |name: &str, hook, accept_at_end, rules| {
        filter.chains.insert(name.to_owned(), Chain { hook: Some(hook), accept_at_end, rules });
    };
    chain(
        "prerouting",
        ChainHook::Prerouting,
        false,
        [accept(vec![Match::From(igw())]), accept(vec![Match::From("lo".to_owned())])]
            .into_iter()
            .chain(if_ipv6(&[accept(vec![Match::From(egress_only())])]))
            .chain([rule(Vec::new(), Action::MarkOf(vec![From], MARKS.to_owned()))])
            .chain(
                families()
                    .map(|family| accept(vec![Match::In(vec![From, Source(family)], of_family(SOURCES, family))])),
            )
            .chain([accept(vec![Match::In(vec![From], UNCHECKED.to_owned())])])
            .collect(),
    );
    // What leads to the ACLs' chains is added with the first of them: most allow everything and have none.
    chain("acl_out", ChainHook::Forward(-10), true, Vec::new());
    chain(
        "egress",
        ChainHook::Forward(0),
        false,
        // An egress-only gateway knows what went out by it, and neither asks nor answers anything else.
        if_ipv6(&[
            rule(vec![Match::To(egress_only()), Match::Answers], Action::Verdict(Verdict::Drop)),
            rule(vec![Match::To(egress_only())], Action::Remember(WENT_OUT)),
            rule(vec![Match::From(egress_only()), Match::NotRemembered(WENT_OUT)], Action::Verdict(Verdict::Drop)),
        ])
        .into_iter()
        .chain([
            accept(vec![Match::Established]),
            invalid(),
            accept(vec![Match::From(igw())]),
            accept(vec![Match::In(vec![From], BEYOND.to_owned())]),
            by(From, groups::EGRESS),
        ])
        .collect(),
    );
    chain("acl_in", ChainHook::Forward(5), true, Vec::new());
    chain(
        "ingress",
        ChainHook::Forward(10),
        false,
        [
            accept(vec![Match::Established]),
            // The gateway takes only those who have a public address.
            accept(vec![Match::To(igw()), Match::InMap(vec![Source(Family::Ipv4)], PUBLIC_OF.to_owned())]),
        ]
        .into_iter()
        .chain(if_ipv6(&[accept(vec![Match::To(igw()), own()]), accept(vec![Match::To(egress_only()), own()])]))
        .chain([accept(vec![Match::In(vec![To], BEYOND.to_owned())]), by(To, groups::INGRESS)])
        .collect(),
    );
    chain(
        "input",
        ChainHook::Input,
        false,
        [
            accept(vec![Match::Established]),
            accept(vec![Match::From("lo".to_owned())]),
            rule(vec![Match::From(igw())], Action::Verdict(Verdict::Drop)),
            rule(vec![Match::In(vec![From], BEYOND.to_owned())], Action::Verdict(Verdict::Drop)),
        ]
        .into_iter()
        .chain(if_ipv6(&[rule(vec![Match::From(egress_only())], Action::Verdict(Verdict::Drop))]))
        // No group and no ACL can forbid these.
        .chain(
            families()
                .map(|family| accept(vec![Match::In(vec![Destination(family)], of_family(LOCAL_SERVICES, family))])),
        )
        .collect(),
    );
    let nat = |when, then| vec![rule(vec![when], then)];
    chain(
        "dnat",
        ChainHook::DestinationNat,
        true,
        nat(Match::From(igw()), Action::DestinationNat(vec![Destination(Family::Ipv4)], PRIVATE_OF.to_owned())),
    );
    chain(
        "snat",
        ChainHook::SourceNat,
        true,
        nat(Match::To(igw()), Action::SourceNat(vec![Source(Family::Ipv4)], PUBLIC_OF.to_owned())),
    );
    filter
}
