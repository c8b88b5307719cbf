//! Security groups: a chain each way for a group, a chain for each combination of groups that some interface has.
//!
//! The widest rules for addresses and ports stand first, one after the other: they let most packets through, and a look into
//! an interval set costs as much as many of them. All others of that kind are elements of such a set, so matching does not
//! grow with the number of rules. A rule for another group looks its members up in a set that follows membership. The rest
//! (ICMP types, other protocols) are few and stand as rules.
//!
//! What the receiver's groups let through is accepted. What the sender's groups let through goes back with a mark, for the
//! receiver is asked next.

use super::{
    Index, hash, hex_digits, of_family,
    router::{PASSED, filter_of},
};
use crate::{
    Chain, FabricPlan, Family, Field, GroupRule, Match, Peer, PortRange, Rule, Ruleset, SecurityGroup, Selector, Set,
    Traffic, Value, ValueKind, Verdict, Vpc,
    boxes::{Area, disjoint},
    name::Name,
    rules::{
        Way,
        group::{self, Others},
        traffic_matches,
    },
    ruleset::{Action, Range, accept},
};
use foldhash::{HashMap, HashSet};
use ipnet::IpNet;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
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
    fn other_side(self, family: Family) -> Selector {
        if self == Self::In { Selector::Source(family) } else { Selector::Destination(family) }
    }

    /// What a group's rule does that lets a packet through.
    fn let_through(self, when: Vec<Match>) -> Rule {
        if self == Self::In { accept(when) } else { Rule { when, then: Action::Mark(PASSED) } }
    }

    /// The rule after a group's chain that keeps what it let through from the next group, where it comes back.
    fn passed(self) -> Option<Rule> {
        let passed = Rule { when: vec![Match::Marked(PASSED)], then: Action::Verdict(Verdict::Return) };
        (self == Self::Out).then_some(passed)
    }

    fn in_block(self, block: IpNet) -> Match {
        if self == Self::In { Match::Source(block) } else { Match::Destination(block) }
    }
}

/// Everything that a group's part of the plan is made of.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Input {
    group: Arc<SecurityGroup>,
    /// Those of its VPC.
    families: Vec<Family>,
    /// The blocks of the prefix lists that it speaks of.
    lists: Vec<(String, Vec<IpNet>)>,
}

impl Input {
    pub(super) fn of(index: &Index<'_>, vpc: &Vpc, group: &Arc<SecurityGroup>) -> Self {
        let peers = group.ingress.iter().chain(&group.egress).map(|rule| &rule.peer);
        let lists = peers.filter_map(|peer| match peer {
            Peer::PrefixList(id) => Some((id.clone(), group::list(index.state, id).to_vec())),
            _ => None,
        });
        Self { group: group.clone(), families: vpc.families().collect(), lists: lists.collect() }
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
    pub(super) open: Open,
    /// The groups that its rules speak of.
    pub(super) referenced: Arc<BTreeSet<SecurityGroupId>>,
}

/// Which ways a group lets everything through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Open {
    ingress: bool,
    egress: bool,
}

/// A group's chains, each way.
pub(super) fn lay(input: &Input) -> Laid {
    let (mut part, mut referenced) = (FabricPlan::default(), BTreeSet::new());
    let filter = filter_of(&mut part, &input.group.vpc);
    let [ingress, egress] = [Way::In, Way::Out].map(|way| lay_way(input, way, &mut referenced, filter));
    Laid { part: Arc::new(part), open: Open { ingress, egress }, referenced: Arc::new(referenced) }
}

/// The chains that an interface's packets go through, in and out; none lets nothing through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Entrance {
    pub(super) ingress: Option<Arc<str>>,
    pub(super) egress: Option<Arc<str>>,
}

/// What the packets of an interface with certain groups go through.
pub(super) struct Entered {
    groups: Vec<(SecurityGroupId, Open)>,
    pub(super) entrance: Entrance,
    /// The chains that try each of several groups: a part of the plan, with its name.
    pub(super) part: Option<(Name, Arc<FabricPlan>)>,
}

impl Entered {
    /// Whether everything may be sent: one of the groups lets it.
    pub(super) fn lets_all_out(&self) -> bool {
        self.groups.iter().any(|(_, open)| open.egress)
    }

    /// Whether it was made of these groups.
    pub(super) fn is_of(&self, groups: &[(&SecurityGroupId, Open)]) -> bool {
        self.groups.iter().map(|(id, open)| (id, *open)).eq(groups.iter().copied())
    }
}

/// What an interface's packets go through that has these groups of its VPC: its one group's chains, or chains that try
/// each of its groups.
pub(super) fn enter(vpc: &VpcId, groups: &[(&SecurityGroupId, Open)]) -> Entered {
    let each: BTreeSet<&SecurityGroupId> = groups.iter().map(|(id, _)| *id).collect();
    let chains = |way| -> Vec<String> { each.iter().map(|id| group_chain(id, way)).collect() };
    let opens = |way| groups.iter().any(|(_, open)| if way == Way::In { open.ingress } else { open.egress });
    let opens = [Way::In, Way::Out].map(opens);
    let groups = groups.iter().map(|(id, open)| ((*id).clone(), *open)).collect();
    if each.len() < 2 {
        let [ingress, egress] = [Way::In, Way::Out].map(|way| chains(way).pop().map(Arc::from));
        return Entered { groups, entrance: Entrance { ingress, egress }, part: None };
    }
    let mut part = FabricPlan::default();
    let filter = filter_of(&mut part, vpc);
    let [ingress, egress] = [(Way::In, opens[0]), (Way::Out, opens[1])].map(|(way, open)| {
        let chains = chains(way);
        let name = format!("c{}_{:016x}", way.letter(), hash(&chains.join(",")));
        let jump = |chain: String| Rule { when: Vec::new(), then: Action::Verdict(Verdict::Jump(chain)) };
        let rules = if open {
            // What one of them lets through needs no look at the others.
            vec![way.let_through(Vec::new())]
        } else {
            chains.into_iter().flat_map(|chain| [Some(jump(chain)), way.passed()]).flatten().collect()
        };
        filter.chains.insert(name.clone(), Chain { hook: None, accept_at_end: false, rules });
        name
    });
    let name = Name::from(&*format!("{ingress}/{vpc}"));
    let entrance = Entrance { ingress: Some(Arc::from(ingress)), egress: Some(Arc::from(egress)) };
    Entered { groups, entrance, part: Some((name, Arc::new(part))) }
}

/// The addresses of a group's members.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Members {
    /// Those that a set is laid for.
    families: Vec<Family>,
    addresses: Vec<IpAddr>,
}

/// The addresses of each of these groups' members, in the VPC and beyond its peering connections.
pub(super) fn members<'r>(
    index: &Index<'_>,
    vpc: &Vpc,
    referenced: &HashSet<&'r SecurityGroupId>,
) -> HashMap<&'r SecurityGroupId, Members> {
    let ids: Vec<&SecurityGroupId> = referenced.iter().copied().collect();
    let mut addresses = vec![Vec::new(); ids.len()];
    // Interfaces are many and their combinations of groups few, so the groups are looked up once for each of those.
    let place: HashMap<&SecurityGroupId, usize> = ids.iter().enumerate().map(|(place, id)| (*id, place)).collect();
    let places: Vec<Vec<usize>> = index
        .combinations
        .iter()
        .map(|groups| groups.iter().filter_map(|id| place.get(id).copied()).collect())
        .collect();
    for (interface, combination) in group::interfaces_around(index, &vpc.id) {
        for place in &places[combination] {
            addresses[*place].extend(interface.addresses.iter().map(|address| address.private));
        }
    }
    let members = |addresses| Members { families: vpc.families().collect(), addresses };
    ids.into_iter().zip(addresses.into_iter().map(members)).collect()
}

/// The set of a group's members, one of each family.
pub(super) fn lay_members(vpc: &VpcId, id: &SecurityGroupId, members: &Members) -> FabricPlan {
    let mut part = FabricPlan::default();
    for family in &members.families {
        let addresses = members.addresses.iter().filter(|ip| Family::of(**ip) == *family);
        let elements = addresses.map(|ip| (vec![Range::Address(*ip, *ip)], Value::None)).collect();
        let set = Set { key: vec![Field::Address(*family)], interval: false, value: ValueKind::None, elements };
        filter_of(&mut part, vpc).sets.insert(members_set(id, *family), set);
    }
    part
}

fn group_chain(id: &SecurityGroupId, way: Way) -> String {
    format!("g{}_{}", way.letter(), hex_digits(id.as_str()))
}

fn members_set(id: &SecurityGroupId, family: Family) -> String {
    of_family(&format!("members_{}", hex_digits(id.as_str())), family)
}

/// A group's chain and sets for one way. Returns whether it lets everything through.
fn lay_way(input: &Input, way: Way, referenced: &mut BTreeSet<SecurityGroupId>, filter: &mut Ruleset) -> bool {
    let group = &*input.group;
    let chain = group_chain(&group.id, way);
    let let_through = |traffic, cidr| {
        let mut when = vec![way.in_block(cidr)];
        when.extend(traffic_matches(traffic));
        way.let_through(when)
    };
    let mut blocks: BTreeMap<Family, Vec<(Traffic, IpNet)>> = BTreeMap::new();
    let mut rules = Vec::new();
    for rule in group::rules(group, way) {
        let GroupRule { traffic, peer } = rule;
        let cidrs = match group::others(peer, |list| input.list(list)) {
            Others::Blocks(cidrs) => cidrs,
            Others::Members(id) => {
                referenced.insert(id.clone());
                for family in &input.families {
                    let mut when = vec![Match::In(vec![way.other_side(*family)], members_set(id, *family))];
                    when.extend(traffic_matches(*traffic));
                    rules.push(way.let_through(when));
                }
                continue;
            }
        };
        for cidr in cidrs.into_iter().filter(|cidr| input.families.contains(&Family::of_block(cidr))) {
            if Blocks::takes(*traffic) {
                blocks.entry(Family::of_block(&cidr)).or_default().push((*traffic, cidr));
            } else {
                rules.push(let_through(*traffic, cidr));
            }
        }
    }
    let everything = |(traffic, cidr): &(Traffic, IpNet)| *traffic == Traffic::All && cidr.prefix_len() == 0;
    let open = |family: &Family| blocks.get(family).is_some_and(|blocks| blocks.iter().any(everything));
    if input.families.iter().all(open) {
        let rules = vec![way.let_through(Vec::new())];
        filter.chains.insert(chain, Chain { hook: None, accept_at_end: false, rules });
        return true;
    }
    let mut fast = Vec::new();
    for (family, mut blocks) in blocks {
        blocks.sort_by_key(widest_first);
        if blocks.first().is_some_and(everything) {
            // The others say nothing more.
            blocks.truncate(1);
        }
        let (standing, others) = blocks.split_at(STANDING.min(blocks.len()));
        fast.extend(standing.iter().map(|(traffic, cidr)| let_through(*traffic, *cidr)));
        let mut rest = Blocks::default();
        others.iter().for_each(|(traffic, cidr)| rest.add(*traffic, *cidr));
        let (ports, any) = (rest.port_set(family), rest.any_set(family));
        if !ports.elements.is_empty() {
            let name = of_family(&format!("{chain}_ports"), family);
            filter.sets.insert(name.clone(), ports);
            let parts = vec![Selector::Protocol, way.other_side(family), Selector::Port];
            fast.push(way.let_through(vec![Match::In(parts, name)]));
        }
        if !any.elements.is_empty() {
            let name = of_family(&format!("{chain}_any"), family);
            filter.sets.insert(name.clone(), any);
            fast.push(way.let_through(vec![Match::In(vec![way.other_side(family)], name)]));
        }
    }
    fast.append(&mut rules);
    filter.chains.insert(chain, Chain { hook: None, accept_at_end: false, rules: fast });
    false
}

/// How many rules of each family stand before those that are in a set. A packet passes each in some ten nanoseconds, and a look
/// into a set takes more than a hundred of them.
const STANDING: usize = 8;

/// What brings rules that speak of more addresses, and then of more ports, before others.
fn widest_first((traffic, cidr): &(Traffic, IpNet)) -> (bool, u8, u16) {
    let ports = match traffic {
        Traffic::Tcp(ports) | Traffic::Udp(ports) => *ports,
        _ => PortRange::ALL,
    };
    (
        *traffic != Traffic::All || cidr.prefix_len() > 0,
        cidr.prefix_len(),
        u16::MAX - ports.to.saturating_sub(ports.from),
    )
}

/// An address as a number.
fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u32::from(ip).into(),
        IpAddr::V6(ip) => ip.into(),
    }
}

/// A number as an address of a family.
fn ip(family: Family, number: u128) -> IpAddr {
    match family {
        Family::Ipv4 => Ipv4Addr::from(number as u32).into(),
        Family::Ipv6 => Ipv6Addr::from(number).into(),
    }
}

/// The rules of one group that go into sets.
#[derive(Default)]
struct Blocks {
    any: Vec<(Family, Area)>,
    ports: Vec<(Family, u8, Area)>,
}

impl Blocks {
    /// Whether rules for such packets are taken.
    fn takes(traffic: Traffic) -> bool {
        matches!(traffic, Traffic::All | Traffic::Tcp(_) | Traffic::Udp(_))
    }

    /// Takes a rule in.
    fn add(&mut self, traffic: Traffic, cidr: IpNet) {
        let family = Family::of_block(&cidr);
        let addresses = (number(cidr.network()), number(cidr.broadcast()));
        let area = |ports: PortRange| Area { addresses, ports: (ports.from, ports.to) };
        match traffic {
            Traffic::All => self.any.push((family, area(PortRange::ALL))),
            Traffic::Tcp(ports) => self.ports.push((family, 6, area(ports))),
            Traffic::Udp(ports) => self.ports.push((family, 17, area(ports))),
            Traffic::Icmp { .. } | Traffic::Icmpv6 { .. } | Traffic::Protocol(_) => {}
        }
    }

    fn port_set(&self, family: Family) -> Set {
        let key = vec![Field::Protocol, Field::Address(family), Field::Port];
        let mut set = Set { key, interval: true, value: ValueKind::None, elements: BTreeMap::new() };
        for protocol in [6, 17] {
            let of = self.ports.iter().filter(|(of, p, _)| (*of, *p) == (family, protocol));
            let areas: Vec<Area> = of.map(|(_, _, area)| *area).collect();
            for Area { addresses: (first, last), ports: (from, to) } in disjoint(&areas) {
                let key = vec![
                    Range::Protocol(protocol, protocol),
                    Range::Address(ip(family, first), ip(family, last)),
                    Range::Port(from, to),
                ];
                set.elements.insert(key, Value::None);
            }
        }
        set
    }

    fn any_set(&self, family: Family) -> Set {
        let areas: Vec<Area> = self.any.iter().filter(|(of, _)| *of == family).map(|(_, area)| *area).collect();
        let range = |Area { addresses: (first, last), .. }| Range::Address(ip(family, first), ip(family, last));
        let elements = disjoint(&areas).into_iter().map(|area| (vec![range(area)], Value::None)).collect();
        Set { key: vec![Field::Address(family)], interval: true, value: ValueKind::None, elements }
    }
}
