//! A VPC's router: its devices, its local services, and the filter's frame.
//!
//! A packet passes: `prerouting` (is the source its own? which route table?) → routing → `acl_out` (stateless) → `egress`
//! (the sender's groups) → `acl_in` (stateless) → `ingress` (the receiver's groups) → out. The groups let known
//! connections through. They are separate chains on the same hook, so that an accept in one does not skip the others, and
//! the sender's side comes first, so that what it refuses is nothing that the receiver's side has seen.

use super::{
    IGW, Index, acls, address,
    beyond::{self, BEYOND},
    forwarding, groups, internet, router_netns, routes, set,
};
use crate::{
    Chain, ChainHook, FabricPlan, Field, Match, Namespace, Rule, Ruleset, Selector, Set, Value, ValueKind, Verdict,
    Vpc,
    ruleset::{Action, Range, accept},
};
use std::collections::BTreeMap;
use types::id::VpcId;

pub(super) const SOURCES: &str = "sources";
pub(super) const UNCHECKED: &str = "unchecked";
pub(super) const MARKS: &str = "route_table_of";
pub(super) const PUBLIC_OF: &str = "public_of";
pub(super) const PRIVATE_OF: &str = "private_of";
const LOCAL_SERVICES: &str = "services";

/// The router's own part: what is there whatever is attached.
pub(super) fn lay(index: &Index<'_>, vpc: &Vpc, marks: &routes::Marks<'_>) -> FabricPlan {
    let mut part = FabricPlan::default();
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
        internet::lay_gateway(&vpc.id, &name, &mut router, &mut part);
    }
    routes::lay(index, vpc, marks, &mut router, &mut part);
    beyond::lay_filter(index, vpc, &mut filter);
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

/// Such a set without elements.
fn empty(set: &str) -> Set {
    let (key, value) = match set {
        SOURCES => (vec![Field::Link, Field::Address], ValueKind::None),
        MARKS => (vec![Field::Link], ValueKind::Mark),
        LOCAL_SERVICES => (vec![Field::Address], ValueKind::None),
        PUBLIC_OF | PRIVATE_OF => (vec![Field::Address], ValueKind::Address),
        acls::OUT | acls::IN | groups::EGRESS | groups::INGRESS => (vec![Field::Link], ValueKind::Verdict),
        _ => (vec![Field::Link], ValueKind::None),
    };
    Set { key, interval: false, value, elements: BTreeMap::new() }
}

/// The chains that every router has, and the sets that they look into.
fn frame() -> Ruleset {
    use Selector::{Destination, From, Source, To};
    let mut filter = Ruleset::default();
    filter.sets.extend(SETS.map(|name| (name.to_owned(), empty(name))));

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
    chain("acl_out", ChainHook::Forward(-10), true, vec![by(From, acls::OUT)]);
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
    chain("acl_in", ChainHook::Forward(5), true, vec![by(To, acls::IN)]);
    chain(
        "ingress",
        ChainHook::Forward(10),
        false,
        vec![
            accept(vec![Match::Established]),
            // The gateway takes only those who have a public address.
            accept(vec![Match::To(igw()), Match::InMap(vec![Source], PUBLIC_OF.to_owned())]),
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
