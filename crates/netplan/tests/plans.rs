//! Plans of random networks: sound in themselves, and reached from each other by their steps in the order given.

#![allow(clippy::unwrap_used, reason = "a test")]

use ipnet::{IpNet, Ipv4Net};
use netplan::{
    AclEntry, Action, Attachment, ChainHook, Destination, EgressOnlyInternetGateway, Element, FabricPlan, Family,
    FilterChange, Ground, GroupRule, InterfaceAddress, InternetGateway, MacAddress, Match, Namespace, NatGateway,
    NetworkAcl, NetworkInterface, NetworkState, Peer, Place, PlanParts, Planner, PortRange, Range, RouteEntry,
    RouteTable, RouteTarget, Ruleset, SecurityGroup, Step, Subnet, Traffic, Value, Verdict, Vpc, VpcPeering, compile,
};
use proptest::prelude::*;
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

fn id<T>(parse: fn(&str) -> Option<T>, prefix: &str, n: u8) -> T {
    parse(&format!("{prefix}{n:02x}0000000000000{n:02x}")).unwrap()
}

macro_rules! ids {
    ($($name:ident: $kind:ident = $prefix:literal;)*) => {$(
        fn $name(n: u8) -> types::id::$kind {
            id(types::id::$kind::parse, $prefix, n)
        }
    )*};
}

ids! {
    vpc: VpcId = "vpc-";
    subnet: SubnetId = "subnet-";
    table: RouteTableId = "rtb-";
    acl: NetworkAclId = "acl-";
    sg: SecurityGroupId = "sg-";
    eni: EniId = "eni-";
    igw: InternetGatewayId = "igw-";
    nat: NatGatewayId = "nat-";
    eigw: EgressOnlyInternetGatewayId = "eigw-";
    pcx: VpcPeeringConnectionId = "pcx-";
}

fn cidr() -> impl Strategy<Value = IpNet> {
    let text = prop_oneof![
        Just("0.0.0.0/0"),
        Just("10.0.0.0/16"),
        Just("10.0.1.0/24"),
        Just("10.0.1.128/25"),
        Just("192.168.0.0/16"),
        Just("255.255.255.255/32"),
        Just("::/0"),
        Just("3fff:0:0:100::/56"),
        Just("3fff:0:0:101::/64"),
        Just("3fff:0:0:101:8000::/65"),
        Just("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"),
    ];
    text.prop_map(|text| text.parse().unwrap())
}

fn traffic() -> impl Strategy<Value = Traffic> {
    let ports = || (0u16..4, 0u16..4).prop_map(|(a, b)| PortRange { from: a.min(b), to: a.max(b) });
    prop_oneof![
        Just(Traffic::All),
        ports().prop_map(Traffic::Tcp),
        ports().prop_map(Traffic::Udp),
        Just(Traffic::Tcp(PortRange::ALL)),
        Just(Traffic::Icmp { kind: Some(8), code: None }),
        Just(Traffic::Icmpv6 { kind: Some(128), code: None }),
        Just(Traffic::Protocol(50)),
    ]
}

fn rules() -> impl Strategy<Value = Vec<GroupRule>> {
    let peer = prop_oneof![
        3 => cidr().prop_map(Peer::Cidr),
        2 => (1u8..5).prop_map(|n| Peer::Group(sg(n))),
        1 => Just(Peer::PrefixList("pl-1".to_owned())),
    ];
    proptest::collection::vec((traffic(), peer).prop_map(|(traffic, peer)| GroupRule { traffic, peer }), 0..5)
}

/// What groups let through that are as AWS makes them: all that is sent.
fn everything() -> Vec<GroupRule> {
    let everywhere = ["0.0.0.0/0", "::/0"].map(|cidr| Peer::Cidr(cidr.parse().unwrap()));
    everywhere.map(|peer| GroupRule { traffic: Traffic::All, peer }).into()
}

fn entries() -> impl Strategy<Value = Vec<AclEntry>> {
    let entry = (1u16..5, any::<bool>(), traffic(), cidr());
    proptest::collection::vec(
        entry.prop_map(|(number, allow, traffic, cidr)| AclEntry { number, allow, traffic, cidr }),
        0..4,
    )
}

fn interface() -> impl Strategy<Value = (u8, NetworkInterface)> {
    let place = proptest::option::weighted(0.9, (1u8..6, 0u8..2));
    let groups = proptest::collection::btree_set(1u8..5, 0..4);
    let flags = any::<[bool; 3]>();
    (1u8..9, 1u8..4, groups, flags, place).prop_map(|(n, net, groups, [public, check, ipv6], place)| {
        let ipv6 = ipv6.then(|| InterfaceAddress {
            private: Ipv6Addr::new(0x3fff, 0, 0, 0x100 + u16::from(net), 0, 0, 0, u16::from(n) + 10).into(),
            public: None,
        });
        let interface = NetworkInterface {
            id: eni(n),
            subnet: subnet(net),
            mac: MacAddress([2, 0, 0, 0, 0, n]),
            addresses: [InterfaceAddress {
                private: IpAddr::V4(Ipv4Addr::new(10, 0, net, n + 10)),
                public: public.then(|| Ipv4Addr::new(198, 18, 0, n + 20)),
            }]
            .into_iter()
            .chain(ipv6)
            .collect(),
            groups: groups.into_iter().map(sg).collect(),
            source_dest_check: check,
            // One interface a namespace and index: the API sees to that.
            attachment: place.map(|(_, index)| Attachment { netns: format!("n{n}"), device_index: index }),
        };
        (n, interface)
    })
}

fn routes() -> impl Strategy<Value = Vec<RouteEntry>> {
    let target = prop_oneof![
        Just(RouteTarget::Local),
        Just(RouteTarget::Blackhole),
        Just(RouteTarget::InternetGateway(igw(1))),
        Just(RouteTarget::NatGateway(nat(1))),
        Just(RouteTarget::EgressOnlyInternetGateway(eigw(1))),
        Just(RouteTarget::Peering(pcx(1))),
        (1u8..9).prop_map(|n| RouteTarget::NetworkInterface(eni(n))),
    ];
    let route = (cidr(), target);
    proptest::collection::vec(
        route.prop_map(|(cidr, target)| RouteEntry { destination: Destination::Cidr(cidr), target }),
        0..4,
    )
}

fn state() -> impl Strategy<Value = NetworkState> {
    let counted = proptest::collection::btree_set((1u8..9).prop_map(eni), 0..3);
    (unwatched(), counted, any::<bool>()).prop_map(|(mut state, counted, traced)| {
        state.counted = counted;
        state.traced.extend(traced.then(|| vpc(1)));
        state
    })
}

/// A state in which nobody asks for verdicts.
fn unwatched() -> impl Strategy<Value = NetworkState> {
    let egress = prop_oneof![rules(), Just(everything())];
    let groups = proptest::collection::btree_map(1u8..5, (rules(), egress), 0..5);
    let acls = proptest::collection::btree_map(1u8..3, (entries(), entries()), 0..3);
    let tables = proptest::collection::btree_map(1u8..4, routes(), 0..4);
    let interfaces = proptest::collection::vec(interface(), 0..8);
    (groups, acls, tables, interfaces, any::<[bool; 5]>()).prop_map(
        |(groups, acls, tables, interfaces, [gateway, nats, ipv6, egress_only, peered])| {
            let pool: Ipv4Net = "198.18.0.0/20".parse().unwrap();
            let mut state =
                NetworkState::new(Ground { instance: "0123abcd".to_owned(), pool, ipv6: true, outbound: gateway });
            let blocks = [Some("10.0.0.0/16"), ipv6.then_some("3fff:0:0:100::/56")].into_iter().flatten();
            let cidrs = blocks.map(|block| block.parse().unwrap()).collect();
            state.vpcs.push(Vpc { id: vpc(1), cidrs, dns_support: true });
            if peered {
                let cidrs = vec!["192.168.0.0/16".parse().unwrap(), "3fff:0:0:200::/56".parse().unwrap()];
                state.vpcs.push(Vpc { id: vpc(2), cidrs, dns_support: true });
                state.peerings.push(VpcPeering { id: pcx(1), vpcs: [vpc(1), vpc(2)] });
            }
            if egress_only {
                state.egress_only_internet_gateways.push(EgressOnlyInternetGateway { id: eigw(1), vpc: vpc(1) });
            }
            state.prefix_lists.insert("pl-1".to_owned(), vec!["10.0.1.0/24".parse().unwrap()]);
            for n in 1..4 {
                state.subnets.push(Subnet {
                    id: subnet(n),
                    vpc: vpc(1),
                    cidr: Ipv4Net::new(Ipv4Addr::new(10, 0, n, 0), 24).unwrap(),
                    ipv6: ipv6.then(|| format!("3fff:0:0:1{n:02x}::/64").parse().unwrap()),
                    zone: "us-east-1a".to_owned(),
                    route_table: table(n),
                    network_acl: acl(1 + n % 2),
                });
            }
            let groups = groups.into_iter();
            state.security_groups.extend(
                groups
                    .map(|(n, (ingress, egress))| Arc::new(SecurityGroup { id: sg(n), vpc: vpc(1), ingress, egress })),
            );
            let acls = acls.into_iter();
            state.network_acls.extend(acls.map(|(n, (ingress, egress))| NetworkAcl {
                id: acl(n),
                vpc: vpc(1),
                ingress,
                egress,
            }));
            let tables = tables.into_iter();
            state.route_tables.extend(tables.map(|(n, routes)| RouteTable { id: table(n), vpc: vpc(1), routes }));
            let mut interfaces: BTreeMap<u8, NetworkInterface> = interfaces.into_iter().collect();
            if !ipv6 {
                interfaces.values_mut().for_each(|interface| interface.addresses.truncate(1));
            }
            state.network_interfaces.extend(interfaces.into_values().map(Arc::new));
            if gateway {
                state.internet_gateways.push(InternetGateway { id: igw(1), vpc: vpc(1) });
            }
            if nats {
                state.nat_gateways.push(NatGateway { id: nat(1), interface: eni(1) });
            }
            state
        },
    )
}

/// The chains that a filter's rules and elements lead to, and the sets that its rules look into.
fn references(filter: &Ruleset) -> (Vec<String>, Vec<String>) {
    let (mut chains, mut sets) = (Vec::new(), Vec::new());
    let mut verdict = |verdict: &Verdict| {
        if let Verdict::Jump(chain) = verdict {
            chains.push(chain.clone());
        }
    };
    for rule in filter.chains.values().flat_map(|chain| &chain.rules) {
        sets.extend(rule.when.iter().filter_map(|condition| match condition {
            Match::In(_, set) | Match::InMap(_, set) => Some(set.clone()),
            _ => None,
        }));
        match &rule.then {
            Action::Verdict(v) => verdict(v),
            Action::VerdictOf(_, map)
            | Action::SourceNat(_, map)
            | Action::DestinationNat(_, map)
            | Action::Count(_, map) => sets.push(map.clone()),
            Action::DestinationNatTo(..)
            | Action::Masquerade
            | Action::Mark(_)
            | Action::Remember(_)
            | Action::Log(..) => {}
        }
    }
    for value in filter.sets.values().flat_map(|set| set.elements.values()) {
        if let Value::Verdict(v) = value {
            verdict(v);
        }
    }
    (chains, sets)
}

/// Whether these rules let everything through, in each family that the VPC has.
fn lets_all_through(rules: &[GroupRule], state: &NetworkState) -> bool {
    let everything = everything();
    state.vpcs[0].families().all(|family| {
        let of_family = |rule: &&GroupRule| matches!(rule.peer, Peer::Cidr(cidr) if Family::of_block(&cidr) == family);
        everything.iter().filter(of_family).all(|rule| rules.contains(rule))
    })
}

/// What nf_tables makes of the changes; it refuses what it would refuse.
fn change(filter: &mut Ruleset, changes: Vec<FilterChange>) {
    for change in changes {
        match change {
            FilterChange::Reset | FilterChange::Remove => *filter = Ruleset::default(),
            FilterChange::AddSet(name, set) => {
                assert!(set.elements.is_empty() && filter.sets.insert(name, set).is_none());
            }
            FilterChange::AddChain(name, chain) => {
                assert!(chain.rules.is_empty() && filter.chains.insert(name, chain).is_none());
            }
            FilterChange::ReplaceRules(name, rules) => filter.chains.get_mut(&name).unwrap().rules = rules,
            FilterChange::RemoveElements(name, gone) => {
                let set = filter.sets.get_mut(&name).unwrap();
                for key in gone.elements.keys() {
                    assert!(set.elements.remove(key).is_some(), "an element that is not there is not removed");
                }
            }
            FilterChange::AddElements(name, new) => {
                let set = filter.sets.get_mut(&name).unwrap();
                for (key, value) in new.elements {
                    assert!(set.elements.insert(key, value).is_none(), "an element is not added twice");
                }
            }
            FilterChange::RemoveChain(name) => {
                assert!(filter.chains[&name].rules.is_empty());
                assert!(!references(filter).0.contains(&name), "{name} is still led to");
                filter.chains.remove(&name);
            }
            FilterChange::RemoveSet(name) => {
                assert!(!references(filter).1.contains(&name), "{name} is still looked into");
                filter.sets.remove(&name);
            }
        }
        let (chains, sets) = references(filter);
        assert!(chains.iter().all(|chain| filter.chains.contains_key(chain)), "every chain led to is there");
        assert!(sets.iter().all(|set| filter.sets.contains_key(set)), "every set looked into is there");
    }
}

/// What the kernel makes of the steps.
fn carry_out(plan: &mut FabricPlan, steps: Vec<Step>) {
    fn at<'p>(plan: &'p mut FabricPlan, place: &Place) -> &'p mut Namespace {
        match place {
            Place::Host => &mut plan.host,
            Place::Namespace(name) => plan.namespaces.get_mut(name).expect("the namespace is there"),
        }
    }
    for step in steps {
        match step {
            Step::CreateNamespace(name) => assert!(plan.namespaces.insert(name, Namespace::default()).is_none()),
            Step::RemoveNamespace(name) => {
                assert!(
                    plan.cables
                        .values()
                        .all(|c| [&c.near, &c.far].iter().all(|e| e.place != Place::Namespace(name.clone())))
                );
                plan.namespaces.remove(&name).expect("the namespace is there");
            }
            Step::Set { place, path, value } => {
                at(plan, &place).settings.insert(path, value);
            }
            Step::Filter { place, changes } => {
                let mut filter = at(plan, &place).filter.take().unwrap_or_default();
                let removed = changes.contains(&FilterChange::Remove);
                change(&mut filter, changes);
                at(plan, &place).filter = (!removed).then_some(filter);
            }
            Step::AddCable(name, cable) => {
                assert!(plan.cables.insert(name, cable).is_none(), "the old link is gone");
            }
            Step::RemoveCable(cable) => {
                plan.cables.retain(|_, c| *c != cable);
                for end in [&cable.near, &cable.far] {
                    let namespace = at(plan, &end.place);
                    namespace.any_source.remove(&end.link);
                    namespace.addresses.retain(|a| a.link != end.link);
                    namespace.neighbours.retain(|n| n.link != end.link);
                    namespace.routes.retain(|r| match &r.action {
                        netplan::RouteAction::Link { link, .. } => *link != end.link,
                        netplan::RouteAction::Blackhole => true,
                    });
                }
            }
            Step::CheckSource(place, thing) => assert!(at(plan, &place).any_source.remove(&thing)),
            Step::AllowAnySource(place, thing) => assert!(at(plan, &place).any_source.insert(thing)),
            Step::RemoveRule(place, thing) => assert!(at(plan, &place).rules.remove(&thing)),
            Step::RemoveRoute(place, thing) => assert!(at(plan, &place).routes.remove(&thing)),
            Step::RemoveNeighbour(place, thing) => assert!(at(plan, &place).neighbours.remove(&thing)),
            Step::RemoveAddress(place, thing) => assert!(at(plan, &place).addresses.remove(&thing)),
            Step::AddRule(place, thing) => assert!(at(plan, &place).rules.insert(thing)),
            Step::AddRoute(place, thing) => {
                let routes = &mut at(plan, &place).routes;
                routes.retain(|r| (r.table, r.destination) != (thing.table, thing.destination));
                routes.insert(thing);
            }
            Step::AddNeighbour(place, thing) => assert!(at(plan, &place).neighbours.insert(thing)),
            Step::AddAddress(place, thing) => assert!(at(plan, &place).addresses.insert(thing)),
        }
    }
}

/// Whether what goes is closed before the filter forgets it, and what leads elsewhere leads somewhere all the time.
fn nothing_is_open_between(steps: &[Step]) -> bool {
    let before = |first: fn(&Step) -> bool, second: fn(&Step) -> bool| {
        let (last, next) = (steps.iter().rposition(first), steps.iter().position(second));
        last.zip(next).is_none_or(|(last, next)| last < next)
    };
    let closes = |step: &Step| matches!(step, Step::RemoveCable(_) | Step::CheckSource(..));
    before(closes, |step| matches!(step, Step::Filter { .. }))
        && before(|step| matches!(step, Step::Filter { .. }), |step| matches!(step, Step::AllowAnySource(..)))
        && before(|step| matches!(step, Step::AddRule(..)), |step| matches!(step, Step::RemoveRule(..)))
}

fn meets(a: &Range, b: &Range) -> bool {
    match (a, b) {
        (Range::Link(a), Range::Link(b)) => a == b,
        (Range::Address(a, b), Range::Address(c, d)) => a <= d && c <= b,
        (Range::Protocol(a, b), Range::Protocol(c, d)) => a <= d && c <= b,
        (Range::Port(a, b), Range::Port(c, d)) => a <= d && c <= b,
        _ => panic!("fields of one set have one kind"),
    }
}

/// Settings stay when a namespace stops being a NAT gateway's; nothing forwards there any more.
fn without_settings(mut plan: FabricPlan) -> FabricPlan {
    plan.namespaces.values_mut().for_each(|namespace| namespace.settings.clear());
    plan
}

/// The states, and between each two of them some that have most rows of the first, as from one transaction to the next.
fn with_small_changes(states: &[NetworkState]) -> Vec<NetworkState> {
    let mut all = Vec::new();
    for pair in states.windows(2) {
        let [one, other] = pair else { continue };
        let mut state = one.clone();
        all.push(state.clone());
        state.route_tables.clone_from(&other.route_tables);
        state.network_acls.clone_from(&other.network_acls);
        all.push(state.clone());
        state.internet_gateways.clone_from(&other.internet_gateways);
        state.nat_gateways.clone_from(&other.nat_gateways);
        state.behind.clone_from(&other.behind);
        all.push(state.clone());
        state.security_groups.clone_from(&other.security_groups);
        all.push(state.clone());
        let others = other.network_interfaces.iter().skip(1).step_by(2);
        state.network_interfaces = one.network_interfaces.iter().step_by(2).chain(others).cloned().collect();
        all.push(state);
    }
    all.extend(states.last().cloned());
    all
}

proptest! {
    #[test]
    fn a_plan_is_sound(state in state()) {
        let plan = compile(&state);
        let mut ends = std::collections::BTreeSet::new();
        for end in plan.cables.values().flat_map(|cable| [&cable.near, &cable.far]) {
            prop_assert!(ends.insert((end.place.clone(), end.link.clone())), "{end:?} is there once");
            prop_assert!(end.link.len() < 16);
        }
        for (name, namespace) in &plan.namespaces {
            let mut destinations = std::collections::BTreeSet::new();
            for route in &namespace.routes {
                prop_assert!(destinations.insert((route.table, route.destination)), "one route a destination");
                if let netplan::RouteAction::Link { link, .. } = &route.action {
                    prop_assert!(ends.contains(&(Place::Namespace(name.clone()), link.clone())), "{link} is planned");
                }
            }
            let Some(filter) = &namespace.filter else { continue };
            let (chains, sets) = references(filter);
            prop_assert!(chains.iter().all(|chain| filter.chains.contains_key(chain)));
            prop_assert!(sets.iter().all(|set| filter.sets.contains_key(set)));
            for set in filter.sets.values() {
                let keys: Vec<&Element> = set.elements.keys().collect();
                for (n, a) in keys.iter().enumerate() {
                    for b in &keys[n + 1..] {
                        let overlap = a.iter().zip(b.iter()).all(|(a, b)| meets(a, b));
                        prop_assert!(!overlap, "{a:?} and {b:?} overlap");
                    }
                }
            }
        }
    }

    #[test]
    fn the_steps_lead_from_any_plan_to_any_other(states in proptest::collection::vec(state(), 2..5)) {
        let (mut planner, mut last) = (Planner::default(), PlanParts::default());
        let mut reached = FabricPlan::default();
        for state in &with_small_changes(&states) {
            let plan = planner.plan(state);
            prop_assert_eq!(plan.whole(), compile(state), "what was planned before makes no difference");
            prop_assert_eq!(plan.steps_from(&plan), Vec::new());
            prop_assert_eq!(planner.plan(state).steps_from(&plan), Vec::new());
            let steps = plan.steps_from(&last);
            prop_assert!(nothing_is_open_between(&steps), "{:?}", steps);
            carry_out(&mut reached, steps);
            reached.omitted = plan.omitted();
            prop_assert_eq!(without_settings(reached.clone()), without_settings(plan.whole()));
            let from_scratch = PlanParts::from(&reached);
            prop_assert!(plan.steps_from(&from_scratch).iter().all(|step| matches!(step, Step::Set { .. })), "it is what was read back");
            last = plan;
        }
    }

    #[test]
    fn verdicts_are_told_only_where_somebody_asks_and_then_every_refusal_is(state in state()) {
        let plan = compile(&state);
        let Some(filter) = plan.namespaces.get(vpc(1).as_str()).and_then(|router| router.filter.as_ref()) else {
            return Ok(());
        };
        let asked = filter.chains.contains_key("not_sent");
        let attached = plan.cables.keys().any(|name| state.counted.iter().any(|eni| eni.as_str() == name));
        prop_assert_eq!(asked, attached || !state.traced.is_empty());
        let of_verdicts = ["not_sent", "not_received", "arriving", "prerouting", "input"];
        for (name, chain) in &filter.chains {
            for rule in &chain.rules {
                let tells = matches!(rule.then, Action::Count(..) | Action::Log(..));
                prop_assert!(asked || !tells, "{} tells, and nobody asks", name);
                let drops = rule.then == Action::Verdict(Verdict::Drop);
                prop_assert!(!asked || !drops || of_verdicts.contains(&name.as_str()), "{} drops without a word", name);
            }
        }
    }

    #[test]
    fn a_packet_enters_one_chain_and_only_the_last_side_lets_it_out(state in state()) {
        let plan = compile(&state);
        let Some(filter) = plan.namespaces.get(vpc(1).as_str()).and_then(|router| router.filter.as_ref()) else {
            return Ok(());
        };
        let asked = filter.chains.contains_key("not_sent");
        let entered: Vec<&str> = filter.chains.iter()
            .filter(|(_, chain)| matches!(chain.hook, Some(ChainHook::Forward(_))))
            .map(|(name, _)| name.as_str())
            .collect();
        prop_assert_eq!(entered, if asked { vec!["forward", "received"] } else { vec!["forward"] });
        let rules = &filter.chains["forward"].rules;
        let acl_in = rules.iter().any(|rule| matches!(&rule.then, Action::VerdictOf(_, map) if map == "acl_in"));
        let at_once = rules.iter().any(|rule| {
            rule.when == [Match::Established] && rule.then == Action::Verdict(Verdict::Accept)
        });
        prop_assert_eq!(at_once, !asked && !acl_in, "a known connection passes what is left, and nothing else");

        // What is asked before the receiver's groups must come back, or they would not be asked.
        let elements = ["egress_of", "acl_out", "acl_in"].map(|map| filter.sets[map].elements.values());
        let mut verdicts: Vec<Verdict> = elements.into_iter().flatten()
            .filter_map(|value| if let Value::Verdict(verdict) = value { Some(verdict.clone()) } else { None })
            .collect();
        // Senders are asked unless all of them may send whatever they like.
        let restricted = state.network_interfaces.iter().any(|interface| {
            let nat = state.nat_gateways.iter().any(|nat| nat.interface == interface.id);
            let groups = state.security_groups.iter().filter(|group| interface.groups.contains(&group.id));
            let mut groups = groups.map(|group| &group.egress);
            plan.cables.contains_key(interface.id.as_str()) && !nat && !groups.any(|egress| lets_all_through(egress, &state))
        });
        prop_assert_eq!(filter.chains.contains_key("sender"), restricted);
        if restricted {
            verdicts.push(Verdict::Jump("sender".to_owned()));
        }
        while let Some(verdict) = verdicts.pop() {
            prop_assert_ne!(&verdict, &Verdict::Accept);
            let Verdict::Jump(chain) = verdict else { continue };
            verdicts.extend(filter.chains[&chain].rules.iter().filter_map(|rule| match &rule.then {
                Action::Verdict(verdict) => Some(verdict.clone()),
                _ => None,
            }));
        }
    }

    #[test]
    fn a_plan_survives_being_written_down(state in state()) {
        let plan = compile(&state);
        let text = serde_json::to_string(&plan).unwrap();
        prop_assert_eq!(serde_json::from_str::<FabricPlan>(&text).unwrap(), plan);
    }
}
