//! The rules that count packets for flow logs, and tell verdicts to those who watch.
//!
//! What refuses a packet leads to a chain that counts it, tells of it and drops it; what passed a side is counted after
//! that side's last chain. Packets from and to the router itself (the resolver, metadata) pass none of these chains, and
//! neither do those that are dropped for a false source or have no route: AWS records none of them either.

use super::{Index, acls};
use crate::{
    Chain, ChainHook, Family, Field, Match, Range, Rule, Ruleset, Selector, Set, Value, ValueKind, Verdict, Vpc,
    ruleset::Action,
    verdicts::{FLOWS, GROUP, MISSED, Outcome},
};
use std::collections::BTreeMap;

/// The devices whose packets are counted.
const COUNTED: &str = "counted";

/// Has the router's own part of the filter, which is complete but for this, count and tell what is asked for.
pub(super) fn lay<'l>(
    index: &Index<'_>,
    vpc: &Vpc,
    acls: impl Iterator<Item = &'l acls::Laid> + Clone,
    filter: &mut Ruleset,
) {
    let counted = index.attached_in(&vpc.id).filter(|attached| index.state.counted.contains(&attached.interface.id));
    let elements: BTreeMap<_, _> =
        counted.map(|attached| (vec![Range::Link(attached.link.clone())], Value::None)).collect();
    let (counts, traced) = (!elements.is_empty(), index.state.traced.contains(&vpc.id));
    if !counts && !traced {
        return;
    }
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
    redirect(filter, acls.clone().filter_map(|laid| laid.out.as_deref()).chain(["egress"]), Outcome::NotSent);
    redirect(filter, acls.filter_map(|laid| laid.in_.as_deref()).chain(["ingress"]), Outcome::NotReceived);
    for outcome in Outcome::ALL {
        let mut rules = Vec::new();
        if counts {
            let chain = format!("count_{}", outcome.name());
            let is_counted = vec![Match::In(vec![device(outcome)], COUNTED.to_owned())];
            rules.push(Rule { when: is_counted, then: Action::Verdict(Verdict::Jump(chain.clone())) });
            filter.chains.insert(chain, Chain { hook: None, accept_at_end: false, rules: counting(vpc, outcome) });
        }
        let log = |when| Rule { when, then: Action::Log(GROUP, outcome.name().to_owned()) };
        let hook = match outcome {
            Outcome::Sent => Some(ChainHook::Forward(2)),
            Outcome::Received => Some(ChainHook::Forward(20)),
            Outcome::NotSent | Outcome::NotReceived => None,
        };
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

/// Leads what a side's chains drop to the chain of that outcome; what comes to a groups' chain's end is dropped, too.
fn redirect<'c>(filter: &mut Ruleset, chains: impl Iterator<Item = &'c str>, outcome: Outcome) {
    let refuse = || Action::Verdict(Verdict::Jump(outcome.name().to_owned()));
    for name in chains {
        let Some(chain) = filter.chains.get_mut(name) else { continue };
        if chain.hook.is_some() {
            chain.rules.push(Rule { when: Vec::new(), then: refuse() });
        }
        for rule in chain.rules.iter_mut().filter(|rule| rule.then == Action::Verdict(Verdict::Drop)) {
            rule.then = refuse();
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
