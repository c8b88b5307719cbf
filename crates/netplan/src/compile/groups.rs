//! Security groups: a chain each way for a group, a chain for each combination of groups that some interface has.
//!
//! A rule for addresses and ports is an element of an interval set, so matching does not grow with the number of rules.
//! A rule for another group looks its members up in a set that follows membership. The rest (ICMP types, other
//! protocols) are few and stand as rules.

use super::{Attached, Index, hash, hex_digits};
use crate::{
    Chain, FabricPlan, Field, GroupRule, Match, PortRange, Rule, Ruleset, SecurityGroup, Selector, Set, Traffic, Value,
    ValueKind, Verdict, Vpc,
    boxes::{Area, disjoint},
    rules::{
        Way,
        group::{self, Others},
        traffic_matches,
    },
    ruleset::{Action, Range, accept},
};
use ipnet::Ipv4Net;
use std::collections::{BTreeMap, BTreeSet};
use types::id::SecurityGroupId;

/// The map from a device to the chain for what its interface sends.
pub(super) const EGRESS: &str = "egress_of";
/// The map from a device to the chain for what its interface gets.
pub(super) const INGRESS: &str = "ingress_of";

impl Way {
    fn letter(self) -> char {
        if self == Self::In { 'i' } else { 'e' }
    }

    /// The other side's address in the packet.
    fn other_side(self) -> Selector {
        if self == Self::In { Selector::Source } else { Selector::Destination }
    }

    fn in_block(self, block: Ipv4Net) -> Match {
        if self == Self::In { Match::Source(block) } else { Match::Destination(block) }
    }
}

/// The chains of every group that an interface of the VPC has, and each interface's way into them.
pub(super) fn lay(index: &Index<'_>, vpc: &Vpc, filter: &mut Ruleset, plan: &mut FabricPlan) {
    let used: BTreeSet<&SecurityGroupId> = index.attached_in(&vpc.id).flat_map(|a| &a.interface.groups).collect();
    let mut referenced = BTreeSet::new();
    for id in used {
        let Some(group) = group::in_vpc(index, &vpc.id, id) else {
            plan.omitted.insert(format!("{id}: no such security group in {}", vpc.id));
            continue;
        };
        lay_group(index, group, Way::In, &mut referenced, filter);
        lay_group(index, group, Way::Out, &mut referenced, filter);
    }
    for id in referenced {
        filter.sets.insert(members_set(id), members(index, vpc, id));
    }
    for attached in index.attached_in(&vpc.id) {
        for (way, map) in [(Way::In, INGRESS), (Way::Out, EGRESS)] {
            let verdict = entrance(index, attached, way, filter);
            if let (Some(verdict), Some(set)) = (verdict, filter.sets.get_mut(map)) {
                set.elements.insert(vec![Range::Link(attached.link.clone())], Value::Verdict(verdict));
            }
        }
    }
}

fn group_chain(id: &SecurityGroupId, way: Way) -> String {
    format!("g{}_{}", way.letter(), hex_digits(id.as_str()))
}

fn members_set(id: &SecurityGroupId) -> String {
    format!("members_{}", hex_digits(id.as_str()))
}

/// The addresses of the group's members.
fn members(index: &Index<'_>, vpc: &Vpc, id: &SecurityGroupId) -> Set {
    let elements = group::members(index, &vpc.id, id).map(|ip| (vec![Range::Address(ip, ip)], Value::None)).collect();
    Set { key: vec![Field::Address], interval: false, value: ValueKind::None, elements }
}

/// What an interface's packets go through: its one group's chain, or a chain that tries each of its groups.
fn entrance<'a>(index: &Index<'a>, attached: &Attached<'a>, way: Way, filter: &mut Ruleset) -> Option<Verdict> {
    if attached.nat {
        return Some(Verdict::Accept);
    }
    let chains: Vec<String> = group::of(index, attached).into_iter().map(|group| group_chain(&group.id, way)).collect();
    match chains.as_slice() {
        [] => None,
        [one] => Some(Verdict::Jump(one.clone())),
        several => {
            let name = format!("c{}_{:016x}", way.letter(), hash(&several.join(",")));
            let rules = several
                .iter()
                .map(|chain| Rule { when: Vec::new(), then: Action::Verdict(Verdict::Jump(chain.clone())) })
                .collect();
            filter.chains.insert(name.clone(), Chain { hook: None, accept_at_end: false, rules });
            Some(Verdict::Jump(name))
        }
    }
}

fn lay_group<'a>(
    index: &Index<'a>,
    group: &'a SecurityGroup,
    way: Way,
    referenced: &mut BTreeSet<&'a SecurityGroupId>,
    filter: &mut Ruleset,
) {
    let chain = group_chain(&group.id, way);
    let mut blocks = Blocks::default();
    let mut rules = Vec::new();
    for rule in group::rules(group, way) {
        let GroupRule { traffic, peer } = rule;
        let cidrs = match group::others(index, peer) {
            Others::Blocks(cidrs) => cidrs,
            Others::Members(id) => {
                referenced.insert(id);
                let mut when = vec![Match::In(vec![way.other_side()], members_set(id))];
                when.extend(traffic_matches(*traffic));
                rules.push(accept(when));
                continue;
            }
        };
        for cidr in cidrs {
            if !blocks.add(*traffic, cidr) {
                let mut when = vec![way.in_block(cidr)];
                when.extend(traffic_matches(*traffic));
                rules.push(accept(when));
            }
        }
    }
    let mut fast = Vec::new();
    if !blocks.ports.is_empty() {
        let name = format!("{chain}_ports");
        filter.sets.insert(name.clone(), blocks.port_set());
        fast.push(accept(vec![Match::In(vec![Selector::Protocol, way.other_side(), Selector::Port], name)]));
    }
    if !blocks.any.is_empty() {
        let name = format!("{chain}_any");
        filter.sets.insert(name.clone(), blocks.any_set());
        fast.push(accept(vec![Match::In(vec![way.other_side()], name)]));
    }
    fast.append(&mut rules);
    filter.chains.insert(chain, Chain { hook: None, accept_at_end: false, rules: fast });
}

/// The rules of one group that go into sets.
#[derive(Default)]
struct Blocks {
    any: Vec<Area>,
    ports: Vec<(u8, Area)>,
}

impl Blocks {
    /// Takes the rule in, or says that it needs a rule of its own.
    fn add(&mut self, traffic: Traffic, cidr: Ipv4Net) -> bool {
        let addresses = (u32::from(cidr.network()), u32::from(cidr.broadcast()));
        let area = |ports: PortRange| Area { addresses, ports: (ports.from, ports.to) };
        match traffic {
            Traffic::All => self.any.push(area(PortRange::ALL)),
            Traffic::Tcp(ports) => self.ports.push((6, area(ports))),
            Traffic::Udp(ports) => self.ports.push((17, area(ports))),
            Traffic::Icmp { .. } | Traffic::Protocol(_) => return false,
        }
        true
    }

    fn port_set(&self) -> Set {
        let key = vec![Field::Protocol, Field::Address, Field::Port];
        let mut set = Set { key, interval: true, value: ValueKind::None, elements: BTreeMap::new() };
        for protocol in [6, 17] {
            let areas: Vec<Area> = self.ports.iter().filter(|(p, _)| *p == protocol).map(|(_, area)| *area).collect();
            for Area { addresses: (first, last), ports: (from, to) } in disjoint(&areas) {
                let key = vec![
                    Range::Protocol(protocol, protocol),
                    Range::Address(first.into(), last.into()),
                    Range::Port(from, to),
                ];
                set.elements.insert(key, Value::None);
            }
        }
        set
    }

    fn any_set(&self) -> Set {
        let elements = disjoint(&self.any)
            .into_iter()
            .map(|area| (vec![Range::Address(area.addresses.0.into(), area.addresses.1.into())], Value::None))
            .collect();
        Set { key: vec![Field::Address], interval: true, value: ValueKind::None, elements }
    }
}
