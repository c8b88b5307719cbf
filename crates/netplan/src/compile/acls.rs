//! Network ACLs: stateless and ordered, looked at for each packet that crosses a subnet's edge, before connections are.

use super::{
    Index, hex_digits,
    router::{filter_of, put},
};
use crate::{
    AclEntry, Chain, FabricPlan, Field, Match, Rule, Ruleset, Selector, Set, Subnet, Value, ValueKind, Verdict, Vpc,
    rules::{Way, acl, traffic_matches},
    ruleset::{Action, Range},
};
use ipnet::IpNet;
use std::{collections::BTreeMap, sync::Arc};

/// The map from a device to the chain for what leaves its subnet.
pub(super) const OUT: &str = "acl_out";
/// The map from a device to the chain for what enters its subnet.
pub(super) const IN: &str = "acl_in";

/// The chains that a subnet's packets go through, out and in; an ACL that allows everything has none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Laid {
    pub(super) out: Option<Arc<str>>,
    within: Option<Arc<str>>,
    pub(super) in_: Option<Arc<str>>,
}

/// The chains of a subnet's ACL.
pub(super) fn lay(index: &Index<'_>, vpc: &Vpc, subnet: &Subnet, router: &mut FabricPlan) -> Laid {
    let mut laid = Laid::default();
    if index.attached_in(&subnet.vpc).all(|attached| attached.subnet.id != subnet.id) {
        return laid;
    }
    let acl = index.acls.get(&subnet.network_acl);
    if acl.is_none() {
        router.omitted.insert(format!("{}: no such network ACL; its subnet is closed", subnet.network_acl));
    }
    let filter = filter_of(router, &subnet.vpc);
    let digits = hex_digits(subnet.id.as_str());
    let within = format!("within_{digits}");
    for (way, letter) in [(Way::Out, 'o'), (Way::In, 'i')] {
        let entries = acl::entries(acl.copied(), way);
        if vpc.families().all(|family| acl::open(&entries, family)) {
            continue;
        }
        let chain = format!("n{letter}_{digits}");
        let rules = rules(&entries, way, &within);
        filter.chains.insert(chain.clone(), Chain { hook: None, accept_at_end: false, rules });
        filter.sets.entry(within.clone()).or_insert_with(links);
        laid.within = Some(Arc::from(within.as_str()));
        *(if way == Way::Out { &mut laid.out } else { &mut laid.in_ }) = Some(Arc::from(chain));
    }
    laid
}

/// The elements that lead a device of the subnet's there.
pub(super) fn lay_link(laid: &Laid, link: &Range, filter: &mut Ruleset) {
    for (map, chain) in [(OUT, &laid.out), (IN, &laid.in_)] {
        if let Some(chain) = chain {
            put(filter, map, vec![link.clone()], Value::Verdict(Verdict::Jump(chain.to_string())));
        }
    }
    if let Some(within) = &laid.within {
        filter.sets.entry(within.to_string()).or_insert_with(links).elements.insert(vec![link.clone()], Value::None);
    }
}

/// A set of devices.
fn links() -> Set {
    Set { key: vec![Field::Link], interval: false, value: ValueKind::None, elements: BTreeMap::new() }
}

/// The entries as rules, for what crosses the subnet's edge: what comes from or goes to none of the devices `within`.
fn rules(entries: &[(&AclEntry, IpNet)], way: Way, within: &str) -> Vec<Rule> {
    let other_side = |cidr| if way == Way::In { Match::Source(cidr) } else { Match::Destination(cidr) };
    let other_device = if way == Way::In { Selector::From } else { Selector::To };
    let within = Match::In(vec![other_device], within.to_owned());
    let mut rules = vec![Rule { when: vec![within], then: Action::Verdict(Verdict::Return) }];
    for (entry, cidr) in entries {
        let mut when = vec![other_side(*cidr)];
        when.extend(traffic_matches(entry.traffic));
        let verdict = if entry.allow { Verdict::Return } else { Verdict::Drop };
        rules.push(Rule { when, then: Action::Verdict(verdict) });
    }
    rules.push(Rule { when: Vec::new(), then: Action::Verdict(Verdict::Drop) });
    rules
}
