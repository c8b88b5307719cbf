//! Network ACLs: stateless and ordered, looked at for each packet that crosses a subnet's edge, before connections are.

use super::{Index, hex_digits};
use crate::{
    AclEntry, Chain, FabricPlan, Field, Match, Rule, Ruleset, Selector, Set, Subnet, Value, ValueKind, Verdict,
    rules::{Way, acl, traffic_matches},
    ruleset::{Action, Range},
};
use ipnet::Ipv4Net;

/// The map from a device to the chain for what leaves its subnet.
pub(super) const OUT: &str = "acl_out";
/// The map from a device to the chain for what enters its subnet.
pub(super) const IN: &str = "acl_in";

/// The chains of a subnet's ACL, and the elements that lead its devices there. An ACL that allows everything has none.
pub(super) fn lay(index: &Index<'_>, subnet: &Subnet, links: &[&str], filter: &mut Ruleset, plan: &mut FabricPlan) {
    let acl = index.acls.get(&subnet.network_acl);
    if acl.is_none() {
        plan.omitted.insert(format!("{}: no such network ACL; its subnet is closed", subnet.network_acl));
    }
    let digits = hex_digits(subnet.id.as_str());
    let within = format!("within_{digits}");
    let keys = || links.iter().map(|link| vec![Range::Link((*link).to_owned())]);
    let mut laid = false;
    for (way, map, letter) in [(Way::Out, OUT, 'o'), (Way::In, IN, 'i')] {
        let entries = acl::entries(acl.copied(), way);
        if acl::open(&entries) {
            continue;
        }
        laid = true;
        let chain = format!("n{letter}_{digits}");
        let rules = rules(&entries, way, &within);
        filter.chains.insert(chain.clone(), Chain { hook: None, accept_at_end: false, rules });
        if let Some(set) = filter.sets.get_mut(map) {
            set.elements.extend(keys().map(|key| (key, Value::Verdict(Verdict::Jump(chain.clone())))));
        }
    }
    if laid {
        let elements = keys().map(|key| (key, Value::None)).collect();
        let set = Set { key: vec![Field::Link], interval: false, value: ValueKind::None, elements };
        filter.sets.insert(within, set);
    }
}

/// The entries as rules, for what crosses the subnet's edge: what comes from or goes to none of the devices `within`.
fn rules(entries: &[(&AclEntry, Ipv4Net)], way: Way, within: &str) -> Vec<Rule> {
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
