//! Security groups: a chain each way for a group, a chain for each combination of groups that some interface has.
//!
//! A rule for addresses and ports is an element of an interval set, so matching does not grow with the number of rules.
//! A rule for another group looks its members up in a set that follows membership. The rest (ICMP types, other
//! protocols) are few and stand as rules.

use super::{Index, hash, hex_digits, router::filter_of};
use crate::{
    Chain, FabricPlan, Field, GroupRule, Match, Peer, PortRange, Rule, Ruleset, SecurityGroup, Selector, Set, Traffic,
    Value, ValueKind, Verdict, Vpc,
    boxes::{Area, disjoint},
    rules::{
        Way,
        group::{self, Others},
        traffic_matches,
    },
    ruleset::{Action, Range, accept},
};
use ipnet::{IpNet, Ipv4Net};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::Ipv4Addr,
    sync::Arc,
};
use types::id::{SecurityGroupId, VpcId};

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

/// Everything that a group's part of the plan is made of.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Input {
    group: Arc<SecurityGroup>,
    /// The blocks of the prefix lists that it speaks of.
    lists: Vec<(String, Vec<IpNet>)>,
}

impl Input {
    pub(super) fn of(index: &Index<'_>, group: &Arc<SecurityGroup>) -> Self {
        let peers = group.ingress.iter().chain(&group.egress).map(|rule| &rule.peer);
        let lists = peers.filter_map(|peer| match peer {
            Peer::PrefixList(id) => Some((id.clone(), group::list(index.state, id).to_vec())),
            _ => None,
        });
        Self { group: group.clone(), lists: lists.collect() }
    }

    /// A prefix list's blocks.
    fn list(&self, id: &str) -> &[IpNet] {
        self.lists.iter().find(|(list, _)| list == id).map_or(&[], |(_, blocks)| blocks)
    }
}

/// A group's part of the plan.
#[derive(Clone)]
pub(super) struct Laid {
    pub(super) part: Arc<FabricPlan>,
    /// The groups that its rules speak of.
    pub(super) referenced: Arc<BTreeSet<SecurityGroupId>>,
}

/// A group's chains, each way.
pub(super) fn lay(input: &Input) -> Laid {
    let (mut part, mut referenced) = (FabricPlan::default(), BTreeSet::new());
    let filter = filter_of(&mut part, &input.group.vpc);
    for way in [Way::In, Way::Out] {
        lay_way(input, way, &mut referenced, filter);
    }
    Laid { part: Arc::new(part), referenced: Arc::new(referenced) }
}

/// The chains that an interface's packets go through, in and out; none lets nothing through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Entrance {
    pub(super) ingress: Option<Arc<str>>,
    pub(super) egress: Option<Arc<str>>,
}

/// What the packets of an interface with certain groups go through.
pub(super) struct Entered {
    groups: Vec<SecurityGroupId>,
    pub(super) entrance: Entrance,
    /// The chains that try each of several groups: a part of the plan, with its name.
    pub(super) part: Option<(Arc<str>, Arc<FabricPlan>)>,
}

impl Entered {
    /// Whether it was made of these groups.
    pub(super) fn is_of(&self, groups: &[&SecurityGroupId]) -> bool {
        self.groups.iter().eq(groups.iter().copied())
    }
}

/// What an interface's packets go through that has these groups of its VPC: its one group's chains, or chains that try
/// each of its groups.
pub(super) fn enter(vpc: &VpcId, groups: &[&SecurityGroupId]) -> Entered {
    let each: BTreeSet<&SecurityGroupId> = groups.iter().copied().collect();
    let chains = |way| -> Vec<String> { each.iter().map(|id| group_chain(id, way)).collect() };
    let groups = groups.iter().copied().cloned().collect();
    if each.len() < 2 {
        let [ingress, egress] = [Way::In, Way::Out].map(|way| chains(way).pop().map(Arc::from));
        return Entered { groups, entrance: Entrance { ingress, egress }, part: None };
    }
    let mut part = FabricPlan::default();
    let filter = filter_of(&mut part, vpc);
    let [ingress, egress] = [Way::In, Way::Out].map(|way| {
        let chains = chains(way);
        let name = format!("c{}_{:016x}", way.letter(), hash(&chains.join(",")));
        let jump = |chain: String| Rule { when: Vec::new(), then: Action::Verdict(Verdict::Jump(chain)) };
        let rules = chains.into_iter().map(jump).collect();
        filter.chains.insert(name.clone(), Chain { hook: None, accept_at_end: false, rules });
        name
    });
    let name = Arc::from(format!("{ingress}/{vpc}"));
    let entrance = Entrance { ingress: Some(Arc::from(ingress)), egress: Some(Arc::from(egress)) };
    Entered { groups, entrance, part: Some((name, Arc::new(part))) }
}

/// The addresses of each of these groups' members, in the VPC and beyond its peering connections.
pub(super) fn members<'r>(
    index: &Index<'_>,
    vpc: &Vpc,
    referenced: &HashSet<&'r SecurityGroupId>,
) -> HashMap<&'r SecurityGroupId, Vec<Ipv4Addr>> {
    let mut members: HashMap<&SecurityGroupId, Vec<Ipv4Addr>> = referenced.iter().map(|id| (*id, Vec::new())).collect();
    for interface in group::interfaces_around(index, &vpc.id) {
        for id in &interface.groups {
            if let Some(members) = members.get_mut(id) {
                members.extend(interface.addresses.iter().map(|address| address.private));
            }
        }
    }
    members
}

/// The set of a group's members.
pub(super) fn lay_members(vpc: &VpcId, id: &SecurityGroupId, members: &[Ipv4Addr]) -> FabricPlan {
    let elements = members.iter().map(|ip| (vec![Range::Address(*ip, *ip)], Value::None)).collect();
    let set = Set { key: vec![Field::Address], interval: false, value: ValueKind::None, elements };
    let mut part = FabricPlan::default();
    filter_of(&mut part, vpc).sets.insert(members_set(id), set);
    part
}

fn group_chain(id: &SecurityGroupId, way: Way) -> String {
    format!("g{}_{}", way.letter(), hex_digits(id.as_str()))
}

fn members_set(id: &SecurityGroupId) -> String {
    format!("members_{}", hex_digits(id.as_str()))
}

fn lay_way(input: &Input, way: Way, referenced: &mut BTreeSet<SecurityGroupId>, filter: &mut Ruleset) {
    let group = &*input.group;
    let chain = group_chain(&group.id, way);
    let mut blocks = Blocks::default();
    let mut rules = Vec::new();
    for rule in group::rules(group, way) {
        let GroupRule { traffic, peer } = rule;
        let cidrs = match group::others(peer, |list| input.list(list)) {
            Others::Blocks(cidrs) => cidrs,
            Others::Members(id) => {
                referenced.insert(id.clone());
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
