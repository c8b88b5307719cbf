//! Network ACLs: stateless and ordered, looked at for each packet that crosses a subnet's edge, before connections are.

use super::{Index, hex_digits};
use crate::{
    AclEntry, Chain, FabricPlan, Match, Rule, Ruleset, Subnet, Value, Verdict,
    rules::{Way, acl, traffic_matches},
    ruleset::{Action, Element, Range},
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
    for (way, map, letter) in [(Way::Out, OUT, 'o'), (Way::In, IN, 'i')] {
        let entries = acl::entries(acl.copied(), way);
        if acl::open(&entries) {
            continue;
        }
        let rules = rules(&entries, way, subnet.cidr);
        let chain = format!("n{letter}_{}", hex_digits(subnet.id.as_str()));
        filter.chains.insert(chain.clone(), Chain { hook: None, accept_at_end: false, rules });
        if let Some(set) = filter.sets.get_mut(map) {
            for link in links {
                let key: Element = vec![Range::Link((*link).to_owned())];
                set.elements.insert(key, Value::Verdict(Verdict::Jump(chain.clone())));
            }
        }
    }
}

/// The entries as rules.
fn rules(entries: &[(&AclEntry, Ipv4Net)], way: Way, subnet: Ipv4Net) -> Vec<Rule> {
    let other_side = |cidr| if way == Way::In { Match::Source(cidr) } else { Match::Destination(cidr) };
    let within = Rule { when: vec![other_side(subnet)], then: Action::Verdict(Verdict::Return) };
    let mut rules = vec![within];
    for (entry, cidr) in entries {
        let mut when = vec![other_side(*cidr)];
        when.extend(traffic_matches(entry.traffic));
        let verdict = if entry.allow { Verdict::Return } else { Verdict::Drop };
        rules.push(Rule { when, then: Action::Verdict(verdict) });
    }
    rules.push(Rule { when: Vec::new(), then: Action::Verdict(Verdict::Drop) });
    rules
}
