//! Placement against a plain model, and the cluster query language against what its documentation says.

use proptest::prelude::*;
use proptest::strategy::Strategy as _;
use rollout::placement::{
    Constraint, Expression, Instance, Lack, Needs, Protocol, Request, Strategy, ZONE, lack, place,
};
use std::collections::{BTreeMap, BTreeSet};
use types::Timestamp;

fn instance(id: u32) -> Instance {
    let attributes =
        [(ZONE, Some("us-east-1a")), ("ecs.instance-type", Some("t3.small")), ("stack", Some("prod")), ("gpu", None)];
    Instance {
        id: format!("{id:032x}"),
        ec2_id: format!("i-{id:017x}"),
        agent_connected: true,
        agent_version: "1.89.2".to_owned(),
        registered_at: Timestamp(1_700_000_000_000),
        attributes: attributes.into_iter().map(|(name, value)| (name.to_owned(), value.map(str::to_owned))).collect(),
        groups: vec!["service:production".to_owned(), "family:batch".to_owned()],
        running_tasks: 2,
        cpu: 1024,
        memory: 2000,
        interfaces: 2,
        ports: BTreeSet::from([(Protocol::Tcp, 22)]),
    }
}

#[test]
fn expressions_select_as_documented() {
    let one = instance(1);
    let selects = |text: &str| Expression::parse(text).unwrap_or_else(|why| panic!("{text}: {why}")).selects(&one);
    for text in [
        "attribute:ecs.instance-type == t3.small",
        "attribute:ecs.availability-zone in [us-east-1a, us-east-1b]",
        "attribute:ecs.instance-type =~ t3.* and attribute:ecs.availability-zone != us-east-1d",
        "attribute:ecs.instance-type =~ 't(2|3)\\.\\w+'",
        "attribute:ecs.instance-type not_matches t3",
        "task:group == service:production",
        "not(task:group == database)",
        "!(task:group==database)",
        "task:group != database",
        "runningTasksCount == 2",
        "runningTasksCount less_than 10 && runningTasksCount >= 2",
        "agentVersion > 1.9.0",
        "agentVersion == v1.89.2",
        "agentConnected == true",
        "registeredAt < 2024-02-13",
        "registeredAt >= 2023-11-14T22:13:20Z and registeredAt <= 2023-11-14T22:13:20+00:00",
        "registeredAt > 2023-11-14T22:13:19",
        "ec2InstanceId in ['i-00000000000000001', \"i-2\"]",
        "ec2InstanceId !in [i-2]",
        "attribute:gpu exists",
        "attribute:gone !exists",
        "attribute:gone not_exists",
        "!attribute:gone exists",
        "attribute:gone != x",
        "attribute:stack equals dev or attribute:stack equals prod",
        "attribute:stack == dev or attribute:stack == prod and attribute:gpu exists",
        "(attribute:stack == dev or attribute:stack == prod) and (attribute:gpu exists)",
    ] {
        assert!(selects(text), "{text}");
    }
    for text in [
        "attribute:stack == prod and attribute:stack == dev",
        "not not attribute:gone exists",
        "task:group =~ service:.*x",
        "attribute:ecs.instance-type =~ t3",
        "runningTasksCount > 2",
        "agentVersion < 1.14.5",
        "attribute:gone > 1",
    ] {
        assert!(!selects(text), "{text}");
    }
}

#[test]
fn what_is_no_expression_is_refused() {
    let long = format!("attribute:a == {}", "x".repeat(2000));
    let deep = format!("{}attribute:a exists{}", "(".repeat(900), ")".repeat(900));
    let negated = format!("{} attribute:a exists", "!".repeat(1900));
    for text in [
        "",
        "attribute:a",
        "attribute: == x",
        "attribute:a == ",
        "attribute:a in x",
        "attribute:a in []",
        "attribute:a in [x",
        "attribute:a == 'x",
        "attribute:a == x y",
        "attribute:a =~ [",
        "attribute:a =~ '(x'",
        "(attribute:a exists",
        "attribute:a exists)",
        "attribute:a exists and",
        "colour == red",
        "agentVersion exists",
        "agentVersion > new",
        "runningTasksCount =~ 1",
        "registeredAt < yesterday",
        "ec2InstanceId > i-1",
        "attribute:a =~ '(a{1000}){1000}'",
        &long,
        &deep,
        &negated,
    ] {
        assert!(Expression::parse(text).is_err(), "{text}");
    }
}

#[test]
fn the_closest_instance_is_named() {
    let needs = Needs { cpu: 2048, memory: 512, ..Needs::default() };
    let request = |needs| Request { needs, constraints: &[], strategies: &[], group: "g", seed: 0 };
    let mut lost = instance(2);
    lost.agent_connected = false;
    let refusal = place(&[lost.clone(), instance(1)], &request(&needs)).expect_err("nothing has two CPUs");
    assert_eq!((refusal.closest(), refusal.0.len()), (Some((1, Lack::Cpu)), 2));
    assert_eq!(place(&[], &request(&needs)).expect_err("nothing is there").closest(), None);
    let ports = Needs { ports: BTreeSet::from([(Protocol::Tcp, 22)]), ..Needs::default() };
    assert_eq!(place(&[instance(1)], &request(&ports)).expect_err("it is taken").0, [Lack::Ports]);
    let udp = Needs { ports: BTreeSet::from([(Protocol::Udp, 22)]), ..Needs::default() };
    assert_eq!(place(&[instance(1)], &request(&udp)), Ok(0));
    let zones = Some(BTreeSet::from(["us-east-1b".to_owned()]));
    let elsewhere = Needs { interface: true, zones, ..Needs::default() };
    assert_eq!(place(&[instance(1)], &request(&elsewhere)).expect_err("no subnet there").0, [Lack::Attribute]);
    assert_eq!(place(&[lost], &request(&Needs::default())).expect_err("nobody answers").0, [Lack::Agent]);
}

#[test]
fn chance_reaches_everybody() {
    let fleet: Vec<Instance> = (0..5).map(instance).collect();
    let needs = Needs::default();
    let chosen: BTreeSet<usize> = (0..100)
        .filter_map(|seed| {
            let strategies = [Strategy::Random];
            let request = Request { needs: &needs, constraints: &[], strategies: &strategies, group: "g", seed };
            place(&fleet, &request).ok()
        })
        .collect();
    assert_eq!(chosen.len(), 5);
}

// --- the plain model ---

fn arbitrary_instance() -> impl proptest::strategy::Strategy<Value = Instance> {
    let groups = prop::collection::vec(prop::sample::select(vec!["a", "b"]), 0..4);
    let ports = prop::collection::btree_set(80u16..84, 0..3);
    (0u32..3, 0u32..5, 0u32..5, 0u32..2, groups, ports, prop::bool::weighted(0.9), prop::option::of(0u32..2)).prop_map(
        |(zone, cpu, memory, interfaces, groups, ports, agent_connected, stack)| {
            let mut one = instance(zone * 100 + cpu * 10 + memory);
            one.attributes = BTreeMap::from([(ZONE.to_owned(), Some(format!("z{zone}")))]);
            one.attributes.extend(stack.map(|stack| ("stack".to_owned(), Some(format!("s{stack}")))));
            one.groups = groups.into_iter().map(str::to_owned).collect();
            one.running_tasks = one.groups.len() as u32;
            one.ports = ports.into_iter().map(|port| (Protocol::Tcp, port)).collect();
            Instance { cpu, memory, interfaces, agent_connected, ..one }
        },
    )
}

#[derive(Debug, Clone)]
struct Wish {
    needs: Needs,
    distinct: bool,
    stack: Option<u32>,
    strategies: Vec<Strategy>,
}

fn arbitrary_wish() -> impl proptest::strategy::Strategy<Value = Wish> {
    let strategy = prop::sample::select(vec![
        Strategy::Random,
        Strategy::SpreadByAttribute(ZONE.to_owned()),
        Strategy::SpreadByAttribute("stack".to_owned()),
        Strategy::SpreadByInstance,
        Strategy::BinpackCpu,
        Strategy::BinpackMemory,
    ]);
    let zones = prop::option::of(prop::collection::btree_set((0u32..3).prop_map(|zone| format!("z{zone}")), 1..3));
    let ports = prop::collection::btree_set(80u16..84, 0..2);
    (
        (0u32..4, 0u32..4, ports, any::<bool>(), zones),
        (prop::bool::weighted(0.3), prop::option::of(0u32..2), prop::collection::vec(strategy, 0..4)),
    )
        .prop_map(|((cpu, memory, ports, interface, zones), (distinct, stack, strategies))| {
            let ports = ports.into_iter().map(|port| (Protocol::Tcp, port)).collect();
            let zones = zones.filter(|_| interface);
            let needs = Needs { cpu, memory, ports, interface, zones, attributes: BTreeMap::new() };
            Wish { needs, distinct, stack, strategies }
        })
}

/// The documentation's sentences, one by one.
fn may(one: &Instance, wish: &Wish) -> bool {
    let text = |name: &str| one.attributes.get(name).cloned().flatten();
    let zone_is_fine = match &wish.needs.zones {
        Some(zones) => zones.iter().any(|zone| Some(zone.clone()) == text(ZONE)),
        None => true,
    };
    one.agent_connected
        && one.cpu >= wish.needs.cpu
        && one.memory >= wish.needs.memory
        && wish.needs.ports.iter().all(|port| !one.ports.contains(port))
        && (!wish.needs.interface || one.interfaces > 0)
        && zone_is_fine
        && (!wish.distinct || !one.groups.contains(&"a".to_owned()))
        && wish.stack.is_none_or(|stack| text("stack") == Some(format!("s{stack}")))
}

/// How many tasks of the group are where the strategy looks, or how much is left: the fewest and the least is best.
fn badness(at: usize, fleet: &[Instance], strategy: &Strategy) -> usize {
    let tasks = |one: &Instance| one.groups.iter().filter(|group| *group == "a").count();
    let together = |name: &str| {
        let mut sum = 0;
        for other in fleet {
            if other.attributes.get(name) == fleet[at].attributes.get(name) {
                sum += tasks(other);
            }
        }
        sum
    };
    match strategy {
        Strategy::Random => 0,
        Strategy::SpreadByAttribute(name) => together(name),
        Strategy::SpreadByInstance => tasks(&fleet[at]),
        Strategy::BinpackCpu => fleet[at].cpu as usize,
        Strategy::BinpackMemory => fleet[at].memory as usize,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn placement_is_what_the_plain_model_says(
        fleet in prop::collection::vec(arbitrary_instance(), 0..8),
        wish in arbitrary_wish(),
        seed in any::<u64>(),
    ) {
        let mut constraints = Vec::new();
        if wish.distinct {
            constraints.push(Constraint::DistinctInstance);
        }
        if let Some(stack) = wish.stack {
            let text = format!("attribute:stack == s{stack}");
            constraints.push(Constraint::MemberOf(Expression::parse(&text).expect("it is one")));
        }
        let request =
            Request { needs: &wish.needs, constraints: &constraints, strategies: &wish.strategies, group: "a", seed };
        let possible: Vec<usize> = (0..fleet.len()).filter(|at| may(&fleet[*at], &wish)).collect();
        match place(&fleet, &request) {
            Err(refusal) => {
                prop_assert!(possible.is_empty(), "{:?} would do", possible);
                prop_assert_eq!(refusal.0.len(), fleet.len());
                for (one, said) in fleet.iter().zip(&refusal.0) {
                    prop_assert_eq!(lack(one, &request), Some(*said));
                }
            }
            Ok(at) => {
                prop_assert!(possible.contains(&at));
                // Nobody that is as good in all that comes before is better in what comes next, up to where chance decides.
                let deciding = wish.strategies.iter().take_while(|strategy| **strategy != Strategy::Random);
                let judged = |at: usize| deciding.clone().map(|strategy| badness(at, &fleet, strategy)).collect::<Vec<_>>();
                let mine = judged(at);
                for other in possible {
                    prop_assert!(mine <= judged(other), "{} is better than {}", other, at);
                }
            }
        }
    }

    /// Whatever is written, it is an expression or it is refused, at once and without harm.
    #[test]
    fn any_text_is_read_or_refused(text in "[a-z:!=~()<>\\[\\], '&|]{0,60}", more in "\\PC{0,40}") {
        let one = instance(1);
        for text in [&text, &more, &format!("attribute:a {text}"), &format!("task:group =~ {more}")] {
            if let Ok(expression) = Expression::parse(text) {
                expression.selects(&one);
            }
        }
    }

    /// `and` binds more tightly than `or`, and parentheses more tightly than both.
    #[test]
    fn precedence_is_that_of_logic(values in prop::collection::vec(any::<bool>(), 3), ors in any::<[bool; 2]>()) {
        let atom = |value: bool| if value { "attribute:gpu exists" } else { "attribute:gone exists" };
        let word = |or: bool| if or { "||" } else { "and" };
        let text = format!("{} {} {} {} {}", atom(values[0]), word(ors[0]), atom(values[1]), word(ors[1]), atom(values[2]));
        let expected = match ors {
            [true, true] => values[0] || values[1] || values[2],
            [true, false] => values[0] || (values[1] && values[2]),
            [false, true] => (values[0] && values[1]) || values[2],
            [false, false] => values[0] && values[1] && values[2],
        };
        prop_assert_eq!(Expression::parse(&text).expect("it is one").selects(&instance(1)), expected, "{}", text);
        let text = format!("not ({text})");
        prop_assert_eq!(Expression::parse(&text).expect("it is one").selects(&instance(1)), !expected, "{}", text);
    }
}
