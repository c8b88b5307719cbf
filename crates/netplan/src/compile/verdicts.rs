//! The rules that count packets for flow logs, and tell verdicts to those who watch.
//!
//! What refuses a packet leads to a chain that counts it, tells of it and drops it; what passed the sender's side is counted
//! before the receiver's is asked, and what passed both after the filter. Packets from and to the router itself (the resolver, metadata) pass none of these chains, and
//! neither do those that are dropped for a false source or have no route: AWS records none of them either.

use super::{
    Index, acls,
    router::{FORWARD, SENDER},
};
use crate::{
    Chain, ChainHook, Family, Field, Match, Range, Rule, Ruleset, Selector, Set, Value, ValueKind, Verdict, Vpc,
    ruleset::Action,
    verdicts::{FLOWS, GROUP, MISSED, Outcome},
};
use std::collections::BTreeMap;

/// The devices whose packets are counted.
const COUNTED: &str = "counted";

/// Whether anybody asks for a VPC's verdicts.
pub(super) fn asked(index: &Index<'_>, vpc: &Vpc) -> bool {
    let counted = &index.state.counted;
    let counts = || index.attached_in(&vpc.id).any(|attached| counted.contains(&attached.interface.id));
    index.state.traced.contains(&vpc.id) || (!counted.is_empty() && counts())
}

/// Has the router's own part of the filter, which is complete but for this, count and tell what is asked for; only where
/// something is.
pub(super) fn lay<'l>(
    index: &Index<'_>,
    vpc: &Vpc,
    acls: impl Iterator<Item = &'l acls::Laid> + Clone,
    filter: &mut Ruleset,
) {
    let counted = index.attached_in(&vpc.id).filter(|attached| index.state.counted.contains(&attached.interface.id));
    let elements: BTreeMap<_, _> = counted.map(|attached| (vec![Range::Link(attached.link())], Value::None)).collect();
    let (counts, traced) = (!elements.is_empty(), index.state.traced.contains(&vpc.id));
    if counts {
        let mut declare = |name: &str, key: &[Field], value, elements| {
            filter.sets.insert(name.to_owned(), Set { key: key.to_vec(), interval: false, value, elements });
        };
        declare(COUNTED, &[Field::Link], ValueKind::None, elements);
        for (_, (name, key)) in flows_of(vpc) {
            declare(name, key, ValueKind::Count, BTreeMap::new());
        }
        declare(MISSED, &[Field::Link], ValueKind::Count, BTreeMap::new());
    }
    redirect(filter, acls.clone().filter_map(|laid| laid.out.as_deref()).chain([SENDER, FORWARD]), Outcome::NotSent);
    redirect(filter, acls.filter_map(|laid| laid.in_.as_deref()), Outcome::NotReceived);
    // What the sender's side refuses is gone by then, so what comes to the end was not received.
    if let Some(chain) = filter.chains.get_mut(FORWARD) {
        chain.rules.push(lead_to(Outcome::NotReceived));
    }
    for outcome in Outcome::ALL {
        let mut rules = Vec::new();
        if counts {
            let chain = format!("count_{}", outcome.name());
            let is_counted = vec![Match::In(vec![device(outcome)], COUNTED.to_owned())];
            rules.push(Rule { when: is_counted, then: Action::Verdict(Verdict::Jump(chain.clone())) });
            filter.chains.insert(chain, Chain { hook: None, accept_at_end: false, rules: counting(vpc, outcome) });
        }
        let log = |when| Rule { when, then: Action::Log(GROUP, outcome.name().to_owned()) };
        // The others are led to.
        let hook = (outcome == Outcome::Received).then_some(ChainHook::Forward(20));
        match outcome {
            // A connection is told of once it has passed everybody.
            Outcome::Received if traced => rules.push(log(vec![Match::New])),
            Outcome::Sent | Outcome::Received => {}
            Outcome::NotSent | Outcome::NotReceived => {
                if traced {
                    rules.push(log(Vec::new()));
                }
                rules.push(Rule { when: Vec::new(), then: Action::Verdict(Verdict::Drop) });
            }
        }
        filter.chains.insert(outcome.name().to_owned(), Chain { hook, accept_at_end: true, rules });
    }
}

/// The device of the side that an outcome is about.
fn device(outcome: Outcome) -> Selector {
    match outcome {
        Outcome::Sent | Outcome::NotSent => Selector::From,
        Outcome::Received | Outcome::NotReceived => Selector::To,
    }
}

/// The rule that leads everything to an outcome's chain.
pub(super) fn lead_to(outcome: Outcome) -> Rule {
    Rule { when: Vec::new(), then: Action::Verdict(Verdict::Jump(outcome.name().to_owned())) }
}

/// Leads what a side's chains drop to the chain of that outcome.
fn redirect<'c>(filter: &mut Ruleset, chains: impl Iterator<Item = &'c str>, outcome: Outcome) {
    for name in chains {
        let Some(chain) = filter.chains.get_mut(name) else { continue };
        for rule in chain.rules.iter_mut().filter(|rule| rule.then == Action::Verdict(Verdict::Drop)) {
            rule.then = lead_to(outcome).then;
        }
    }
}

/// The sets of counters that a VPC's packets need, by family.
fn flows_of(vpc: &Vpc) -> impl Iterator<Item = (Family, (&'static str, &'static [Field]))> + '_ {
    Family::ALL.into_iter().zip(FLOWS).filter(|(family, _)| vpc.has(*family))
}

/// The rules that count a packet once, where there is room.
fn counting(vpc: &Vpc, outcome: Outcome) -> Vec<Rule> {
    use Selector::{Byte, Destination, Ports, Protocol, Source, TcpFlags};
    let of_family = |(family, (set, _)): (Family, (&str, _))| {
        let count = |when, ports, flags| {
            let (from, to) = (Source(family), Destination(family));
            let key = vec![Byte(outcome.number()), device(outcome), from, to, Protocol, ports, flags];
            Rule { when, then: Action::Count(key, set.to_owned()) }
        };
        [
            count(vec![Match::Protocol(6)], Ports, TcpFlags),
            count(vec![Match::Protocol(17)], Ports, Byte(0)),
            count(Vec::new(), Byte(0), Byte(0)),
        ]
    };
    let missed = Rule { when: Vec::new(), then: Action::Count(vec![device(outcome)], MISSED.to_owned()) };
    flows_of(vpc).flat_map(of_family).chain([missed]).collect()
}
