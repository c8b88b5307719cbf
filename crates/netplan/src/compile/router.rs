//! A VPC's router: its devices, its local services, and the filter's frame.
//!
//! A packet passes: routing → `forward` → out. Routing asks whether an IPv4 packet's source is its own, which costs nothing there:
//! the kernel looks up the way back in any case. It has no such thing for IPv6, which `prerouting` is for. In `forward` a packet
//! passes the sender's ACL (stateless) → the sender's groups → the receiver's ACL (stateless) → the receiver's groups. The
//! groups let known connections through.
//!
//! The sender's side comes first, so that what it refuses is nothing that the receiver's side has seen. It is a chain that
//! is come back from, so that letting a packet through does not skip the receiver. Both are on one hook, and a known
//! connection is the first thing that is asked for, because most packets are of one: entering another chain costs each of
//! them more than the rules that it passes there.

use super::{
    EGRESS_ONLY, IGW, Index, acls, address,
    beyond::{self, ARRIVING, BEYOND},
    forwarding, groups, internet, name_and_family, of_family, router_netns, routes, set, verdicts,
};
use crate::{
    Chain, ChainHook, FabricPlan, Family, Field, Match, Namespace, Rule, Ruleset, Selector, Set, Value, ValueKind,
    Verdict, Vpc,
    ruleset::{Action, Range, accept},
    verdicts::Outcome,
};
use ipnet::{IpNet, Ipv4Net};
use std::collections::BTreeMap;
use types::id::VpcId;

/// The IPv6 addresses that may come in by each device.
pub(super) const SOURCES: &str = "sources6";
/// The devices by which any IPv6 address may.
pub(super) const UNCHECKED: &str = "unchecked6";
pub(super) const PUBLIC_OF: &str = "public_of";
pub(super) const PRIVATE_OF: &str = "private_of";
/// The IPv6 addresses of the VPC's interfaces: those that gateways take packets from.
pub(super) const OWN: &str = "own";
/// The chain that each packet passes that is routed on.
pub(super) const FORWARD: &str = "forward";
/// The chain that asks the sender's groups about what is of no known connection.
pub(super) const SENDER: &str = "sender";
/// The chain for what is of a known connection, where that alone does not let it through.
const KNOWN: &str = "known";
/// The mark of what the sender's groups let through.
pub(super) const PASSED: u32 = 1;
/// What is kept with connections that went out by an egress-only gateway.
const WENT_OUT: u32 = 1;
const LOCAL_SERVICES: &str = "services";

/// The router's own part: what is there whatever is attached.
pub(super) fn lay(index: &Index<'_>, vpc: &Vpc, tables: &routes::Tables<'_>) -> FabricPlan {
    let mut part = FabricPlan::default();
    let name = router_netns(&vpc.id);
    let mut router = Namespace::default();
    let ipv6 = vpc.has(Family::Ipv6);
    forwarding(&mut router, ipv6);
    // A new device takes only what comes from where the way back leads by it, until it is said that it takes more.
    set(&mut router, "ipv4/conf/default/rp_filter", "1");
    // The host's own settings are taken over: the way back is to be looked up without the mark, the router's own addresses are
    // nobody's source, and what is dropped is not for the host's log.
    for which in ["all", "default"] {
        for setting in ["src_valid_mark", "accept_local", "log_martians"] {
            set(&mut router, &format!("ipv4/conf/{which}/{setting}"), "0");
        }
    }
    // A connection whose packets take unusual ways is still that connection.
    set(&mut router, "netfilter/nf_conntrack_tcp_be_liberal", "1");

    let mut filter = frame(ipv6, routes::marking(index, vpc, tables));
    for (ip, answers) in Index::local_services(vpc) {
        router.addresses.insert(address("lo", ip, IpNet::from(ip).prefix_len()));
        if answers {
            put(&mut filter, &of_family(LOCAL_SERVICES, Family::of(ip)), vec![Range::Address(ip, ip)], Value::None);
        }
    }
    internet::lay_gateways(index, vpc, &mut router, &mut part);
    routes::lay(index, vpc, tables, &mut router, &mut part);
    beyond::lay(index, vpc, &mut router, &mut filter);
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
const SETS: [&str; 8] =
    [BEYOND, LOCAL_SERVICES, PUBLIC_OF, PRIVATE_OF, acls::OUT, acls::IN, groups::EGRESS, groups::INGRESS];

/// Those that the router of a VPC with IPv6 has besides.
fn sets_ipv6() -> [String; 4] {
    [SOURCES.to_owned(), UNCHECKED.to_owned(), of_family(LOCAL_SERVICES, Family::Ipv6), OWN.to_owned()]
}

/// Such a set without elements.
fn empty(set: &str) -> Set {
    let (name, family) = name_and_family(set);
    let (key, value) = match set {
        SOURCES => (vec![Field::Link, Field::Address(Family::Ipv6)], ValueKind::None),
        OWN => (vec![Field::Address(Family::Ipv6)], ValueKind::None),
        _ if name == LOCAL_SERVICES => (vec![Field::Address(family)], ValueKind::None),
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

/// What there is for packets to pass besides groups.
pub(super) struct Asked {
    /// An ACL for what leaves a subnet.
    pub(super) acls_out: bool,
    /// An ACL for what enters one.
    pub(super) acls_in: bool,
    /// Somebody whose groups do not let everything be sent. Where nobody is, it is not asked who sent something: that it came
    /// from an interface at all, routing has asked.
    pub(super) senders: bool,
    /// Somebody who wants to know of verdicts.
    pub(super) verdicts: bool,
}

/// The chains of what is routed on, once it is known what there is to pass; what the others lay into the frame is there.
pub(super) fn lay_forward(index: &Index<'_>, vpc: &Vpc, asked: &Asked, filter: &mut Ruleset) {
    use Selector::{From, Source, To};
    let ipv6 = vpc.has(Family::Ipv6);
    let (igw, egress_only) = (|| IGW.to_owned(), || EGRESS_ONLY.to_owned());
    let own = || Match::In(vec![Source(Family::Ipv6)], OWN.to_owned());
    let beyond = |way| Match::In(vec![way], BEYOND.to_owned());
    let goes_on = |when| Rule { when, then: Action::Verdict(Verdict::Return) };
    let jump = |when, chain: &str| Rule { when, then: Action::Verdict(Verdict::Jump(chain.to_owned())) };

    // What each packet passes between the sender's groups and the receiver's, whether its connection is known or not.
    let mut between = Vec::new();
    if asked.verdicts {
        between.push(verdicts::lead_to(Outcome::Sent));
    }
    if asked.acls_in {
        between.push(by(To, acls::IN));
    }
    let known = if between.is_empty() {
        accept(vec![Match::Established])
    } else {
        let rules = between.iter().cloned().chain([accept(Vec::new())]).collect();
        filter.chains.insert(KNOWN.to_owned(), Chain { hook: None, accept_at_end: false, rules });
        jump(vec![Match::Established], KNOWN)
    };
    if asked.senders {
        let sender = vec![
            goes_on(vec![Match::From(igw())]),
            goes_on(vec![beyond(From)]),
            by(From, groups::EGRESS),
            goes_on(vec![Match::Marked(PASSED)]),
            refuse(Vec::new()),
        ];
        filter.chains.insert(SENDER.to_owned(), Chain { hook: None, accept_at_end: false, rules: sender });
    }

    // What comes from beyond has its source held against the link, as routing does with what interfaces send.
    let mut rules = vec![jump(vec![beyond(From)], ARRIVING)];
    if asked.acls_out {
        rules.push(by(From, acls::OUT));
    }
    if ipv6 {
        // An egress-only gateway knows what went out by it, and neither asks nor answers anything else.
        rules.extend([
            refuse(vec![Match::To(egress_only()), Match::Answers]),
            Rule { when: vec![Match::To(egress_only())], then: Action::Remember(WENT_OUT) },
            refuse(vec![Match::From(egress_only()), Match::NotRemembered(WENT_OUT)]),
        ]);
    }
    rules.extend([known, refuse(vec![Match::Invalid])]);
    rules.extend(asked.senders.then(|| jump(Vec::new(), SENDER)));
    rules.extend(between);
    // The gateway takes only those who have a public address.
    rules.push(accept(vec![Match::To(igw()), Match::InMap(vec![Source(Family::Ipv4)], PUBLIC_OF.to_owned())]));
    if ipv6 {
        rules.extend([accept(vec![Match::To(igw()), own()]), accept(vec![Match::To(egress_only()), own()])]);
    }
    rules.extend([accept(vec![beyond(To)]), by(To, groups::INGRESS)]);
    let forward = Chain { hook: Some(ChainHook::Forward(0)), accept_at_end: false, rules };
    filter.chains.insert(FORWARD.to_owned(), forward);
    leave_out(filter, index.gateway_of(&vpc.id).is_none(), index.egress_only_of(&vpc.id).is_none());
}

/// The verdict that a map has for a device.
fn by(device: Selector, map: &str) -> Rule {
    Rule { when: Vec::new(), then: Action::VerdictOf(vec![device], map.to_owned()) }
}

fn refuse(when: Vec<Match>) -> Rule {
    Rule { when, then: Action::Verdict(Verdict::Drop) }
}

/// The chains that every router has besides those of what is routed on, and the sets that all of them look into; `marking` are
/// the rules that mark packets before they are routed.
fn frame(ipv6: bool, marking: Vec<Rule>) -> Ruleset {
    use Selector::{Destination, From, Source};
    let families = || [Some(Family::Ipv4), ipv6.then_some(Family::Ipv6)].into_iter().flatten();
    let if_ipv6 = |rules: &[Rule]| if ipv6 { rules.to_vec() } else { Vec::new() };
    let mut filter = Ruleset::default();
    filter.sets.extend(SETS.map(|name| (name.to_owned(), empty(name))));
    if ipv6 {
        filter.sets.extend(sets_ipv6().map(|name| (name.clone(), empty(&name))));
    }

    let (igw, egress_only) = (|| IGW.to_owned(), || EGRESS_ONLY.to_owned());
    let beyond = |way| Match::In(vec![way], BEYOND.to_owned());
    let mut chain = |name: &str, hook, accept_at_end, rules| {
        filter.chains.insert(name.to_owned(), Chain { hook: Some(hook), accept_at_end, rules });
    };
    let own = Match::In(vec![From, Source(Family::Ipv6)], SOURCES.to_owned());
    let checking = if_ipv6(&[
        // Routing does the same for IPv4.
        accept(vec![Match::Source(Ipv4Net::default().into())]),
        accept(vec![own]),
        accept(vec![Match::From("lo".to_owned())]),
        accept(vec![Match::From(egress_only())]),
        accept(vec![beyond(From)]),
        accept(vec![Match::In(vec![From], UNCHECKED.to_owned())]),
        refuse(Vec::new()),
    ]);
    if !(marking.is_empty() && checking.is_empty()) {
        let from_gateway = accept(vec![Match::From(igw())]);
        let rules = [from_gateway].into_iter().chain(marking).chain(checking).collect();
        chain("prerouting", ChainHook::Prerouting, true, rules);
    }
    chain(
        "input",
        ChainHook::Input,
        false,
        [
            refuse(vec![beyond(From)]),
            accept(vec![Match::Established]),
            accept(vec![Match::From("lo".to_owned())]),
            refuse(vec![Match::From(igw())]),
        ]
        .into_iter()
        .chain(if_ipv6(&[refuse(vec![Match::From(egress_only())])]))
        // No group and no ACL can forbid these.
        .chain(
            families()
                .map(|family| accept(vec![Match::In(vec![Destination(family)], of_family(LOCAL_SERVICES, family))])),
        )
        .collect(),
    );
    let nat = |when, then| vec![Rule { when: vec![when], then }];
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
