//! Whole stories of a load and the capacity that follows it, minute by minute, with real alarms and no clock.

use proptest::prelude::*;
use std::time::Duration;
use tracking::alarm::{Measured, Rule, Slot, State, Verdict, evaluate};
use tracking::capacity::{Alarm, Bounds, Change, Cooldown, Direction, Kind, Policy, Situation, decide};
use tracking::step::{Adjustment, Step, Steps};
use tracking::target::{Side, rule};
use types::Timestamp;

const MINUTE: i64 = 60_000;

/// An alarm that follows a series.
struct Watch {
    name: &'static str,
    rule: Rule,
    state: State,
}

impl Watch {
    fn new(name: &'static str, rule: Rule) -> Self {
        Self { name, rule, state: State::InsufficientData }
    }

    fn see(&mut self, series: &[Option<f64>]) -> Alarm {
        let slots: Vec<Slot> = series
            .iter()
            .enumerate()
            .map(|(at, value)| Slot {
                at: Timestamp(at as i64 * MINUTE),
                point: value.map(|value| Measured { value, samples: 1.0 }),
            })
            .collect();
        if let Verdict::Is(finding) = evaluate(&self.rule, &slots) {
            self.state = finding.state;
        }
        let looked: Vec<f64> = series.iter().rev().take(self.rule.periods).copied().flatten().collect();
        Alarm {
            name: self.name.to_owned(),
            state: self.state,
            threshold: self.rule.threshold,
            newest: series.last().copied().flatten(),
            greatest: looked.iter().copied().reduce(f64::max),
        }
    }
}

/// A service whose tasks share a load and can do no more than they can.
struct World {
    capacity: u32,
    bounds: Bounds,
    target: f64,
    high: Watch,
    low: Watch,
    cpu: Vec<Option<f64>>,
    cooldown: Option<Cooldown>,
    changes: Vec<(usize, u32)>,
}

impl World {
    fn new(target: f64) -> Self {
        Self {
            capacity: 2,
            bounds: Bounds { min: 2, max: 20 },
            target,
            high: Watch::new("high", rule(Side::High, target)),
            low: Watch::new("low", rule(Side::Low, target)),
            cpu: Vec::new(),
            cooldown: None,
            changes: Vec::new(),
        }
    }

    /// A minute in which the load would keep so many tasks busy.
    fn minute(&mut self, load: f64) -> Option<Change> {
        self.cpu.push(Some((load / f64::from(self.capacity) * 100.0).min(100.0)));
        let situation = Situation {
            capacity: self.capacity,
            bounds: self.bounds,
            out_suspended: false,
            in_suspended: false,
            policies: vec![Policy {
                name: "cpu".to_owned(),
                cooldown_out: Duration::from_secs(60),
                cooldown_in: Duration::from_secs(300),
                kind: Kind::Tracking {
                    target: self.target,
                    high: self.high.see(&self.cpu),
                    low: Some(self.low.see(&self.cpu)),
                },
            }],
            cooldown: self.cooldown,
        };
        let change = decide(&situation, Timestamp(self.cpu.len() as i64 * MINUTE));
        if let Some(change) = &change {
            self.capacity = change.to;
            self.cooldown = Some(change.cooldown);
            self.changes.push((self.cpu.len(), change.to));
        }
        change
    }
}

#[test]
fn load_takes_a_service_from_two_to_twenty_and_back() {
    let mut world = World::new(70.0);
    // Two tasks idle for twenty minutes, then a load of fourteen whole tasks for forty, then next to none.
    for _ in 0..20 {
        world.minute(0.2);
    }
    assert_eq!(world.changes, [], "idle tasks are at their minimum");
    for _ in 0..40 {
        world.minute(13.9);
    }
    // The alarm needs three minutes above 70. Tasks at 100 percent hide how much there is to do: each minute makes
    // ceil(n * 100 / 70) of n, until the load is visible: 13.9 of 18 tasks are 77.2 percent, and 20 are what is needed.
    assert_eq!(world.changes, [(23, 3), (24, 5), (25, 8), (26, 12), (27, 18), (28, 20)]);
    assert!(world.cpu[40].is_some_and(|cpu| cpu < 70.0));
    world.changes.clear();
    for _ in 0..60 {
        world.minute(0.2);
    }
    // Fifteen minutes below 63, of which the greatest must fit: the last busy one is gone after fifteen idle ones.
    assert_eq!(world.changes, [(75, 2)]);
    assert_eq!(world.capacity, 2);
}

#[test]
fn scaling_in_is_gradual_where_the_load_falls_slowly() {
    let mut world = World::new(70.0);
    world.capacity = 20;
    let mut load = 14.0;
    for _ in 0..240 {
        world.minute(load);
        load = f64::max(load - 0.1, 0.5);
    }
    let capacities: Vec<u32> = world.changes.iter().map(|(_, to)| *to).collect();
    assert!(capacities.len() > 5 && capacities.is_sorted_by(|a, b| a > b), "{capacities:?}");
    assert_eq!(capacities.last(), Some(&2));
    let pauses = world.changes.windows(2).map(|pair| pair[1].0 - pair[0].0);
    assert!(pauses.into_iter().all(|minutes| minutes >= 5), "a cooldown was cut short: {:?}", world.changes);
    assert!(world.cpu.iter().flatten().all(|cpu| *cpu <= 71.0), "scaling in has overloaded what was left");
}

fn off(name: &str, newest: f64) -> Alarm {
    Alarm { name: name.to_owned(), state: State::Alarm, threshold: 50.0, newest: Some(newest), greatest: Some(newest) }
}

fn quiet(name: &str) -> Alarm {
    Alarm { state: State::Ok, ..off(name, 50.0) }
}

fn tracking(name: &str, high: Alarm, low: Option<Alarm>) -> Policy {
    let (out, inward) = (Duration::from_secs(60), Duration::from_secs(300));
    let kind = Kind::Tracking { target: 50.0, high, low };
    Policy { name: name.to_owned(), cooldown_out: out, cooldown_in: inward, kind }
}

fn stepping(name: &str, by: i32, alarms: Vec<Alarm>) -> Policy {
    let steps =
        Steps { adjustment: Adjustment::Change, steps: vec![Step { lower: None, upper: None, by }], least: None };
    let cooldown = Duration::from_secs(300);
    Policy { name: name.to_owned(), cooldown_out: cooldown, cooldown_in: cooldown, kind: Kind::Steps { steps, alarms } }
}

fn situation(policies: Vec<Policy>) -> Situation {
    Situation {
        capacity: 10,
        bounds: Bounds { min: 1, max: 100 },
        out_suspended: false,
        in_suspended: false,
        policies,
        cooldown: None,
    }
}

const NOW: Timestamp = Timestamp(1_000_000);

#[test]
fn of_several_policies_the_largest_capacity_counts() {
    let both = situation(vec![
        tracking("cpu", off("cpu-high", 60.0), None),
        tracking("memory", off("memory-high", 90.0), None),
        stepping("steps", 3, vec![off("queue", 99.0)]),
    ]);
    let change = decide(&both, NOW).unwrap();
    assert_eq!((change.to, change.policy.as_str(), change.alarm.as_str()), (18, "memory", "memory-high"));
}

#[test]
fn scaling_in_waits_until_all_are_ready() {
    let ready = tracking("cpu", quiet("cpu-high"), Some(off("cpu-low", 20.0)));
    let busy = tracking("memory", quiet("memory-high"), Some(quiet("memory-low")));
    let unknown = Alarm { state: State::InsufficientData, ..quiet("memory-low") };
    let blind = tracking("memory", quiet("memory-high"), Some(unknown));
    let never = tracking("memory", quiet("memory-high"), None);
    assert_eq!(decide(&situation(vec![ready.clone(), busy]), NOW), None);
    assert_eq!(decide(&situation(vec![ready.clone(), blind]), NOW), None, "nobody knows whether it is ready");
    let change = decide(&situation(vec![ready.clone(), never]), NOW).unwrap();
    assert_eq!((change.to, change.cooldown.direction), (4, Direction::In));
    let also = tracking("memory", quiet("memory-high"), Some(off("memory-low", 40.0)));
    assert_eq!(decide(&situation(vec![ready, also]), NOW).map(|change| change.to), Some(8));
}

#[test]
fn cooldowns_hold_back_and_give_way_as_documented() {
    let hot = |cpu| vec![tracking("cpu", off("high", cpu), None)];
    let cooldown = |direction, base| Some(Cooldown { direction, until: Timestamp(NOW.0 + 1), base });
    // Within a scale-in's cooldown scaling out is immediate.
    let change = decide(&Situation { cooldown: cooldown(Direction::In, 20), ..situation(hot(60.0)) }, NOW);
    assert_eq!(change.map(|change| (change.to, change.cooldown.direction)), Some((12, Direction::Out)));
    // Within a scale-out's, from 5 to 10, only what is more than that counts.
    let within = |cpu| Situation { cooldown: cooldown(Direction::Out, 5), ..situation(hot(cpu)) };
    assert_eq!(decide(&within(100.0), NOW), None, "5 * 100 / 50 is what there is");
    assert_eq!(decide(&within(120.0), NOW).map(|change| change.to), Some(12));
    // Any cooldown holds scaling in back.
    let cold = vec![tracking("cpu", quiet("high"), Some(off("low", 10.0)))];
    for direction in [Direction::In, Direction::Out] {
        assert_eq!(decide(&Situation { cooldown: cooldown(direction, 5), ..situation(cold.clone()) }, NOW), None);
    }
    let over = Some(Cooldown { direction: Direction::In, until: NOW, base: 5 });
    assert_eq!(decide(&Situation { cooldown: over, ..situation(cold) }, NOW).map(|change| change.to), Some(2));
}

#[test]
fn what_is_suspended_does_not_happen() {
    let hot = situation(vec![tracking("cpu", off("high", 90.0), None)]);
    assert_eq!(decide(&Situation { out_suspended: true, ..hot }, NOW), None);
    let cold = situation(vec![stepping("in", -2, vec![off("idle", 0.0)])]);
    assert_eq!(decide(&cold, NOW).map(|change| change.to), Some(8));
    assert_eq!(decide(&Situation { in_suspended: true, ..cold }, NOW), None);
}

fn alarms() -> impl Strategy<Value = Alarm> {
    let state = prop_oneof![Just(State::Ok), Just(State::Alarm), Just(State::InsufficientData)];
    (state, proptest::option::of(0.0f64..1e6), proptest::option::of(0.0f64..1e6))
        .prop_map(|(state, newest, greatest)| Alarm { name: "a".to_owned(), state, threshold: 50.0, newest, greatest })
}

fn policies() -> impl Strategy<Value = Policy> {
    prop_oneof![
        (alarms(), proptest::option::of(alarms())).prop_map(|(high, low)| tracking("t", high, low)),
        (-50i32..50, proptest::collection::vec(alarms(), 0..3)).prop_map(|(by, alarms)| stepping("s", by, alarms)),
    ]
}

proptest! {
    /// Whatever alarms say: the bounds hold, what is suspended stays, and each change is of its direction.
    #[test]
    fn decisions_keep_their_promises(
        policies in proptest::collection::vec(policies(), 0..5),
        capacity in 0u32..200,
        (min, more) in (0u32..100, 0u32..100),
        (out_suspended, in_suspended) in (any::<bool>(), any::<bool>()),
        cooldown in proptest::option::of((any::<bool>(), -100i64..100, 0u32..200)),
    ) {
        let cooldown = cooldown.map(|(out, left, base)| Cooldown {
            direction: if out { Direction::Out } else { Direction::In },
            until: Timestamp(NOW.0 + left),
            base,
        });
        let bounds = Bounds { min, max: min + more };
        let situation = Situation { capacity, bounds, out_suspended, in_suspended, policies, cooldown };
        if let Some(change) = decide(&situation, NOW) {
            prop_assert!((bounds.min..=bounds.max).contains(&change.to));
            match change.cooldown.direction {
                Direction::Out => prop_assert!(change.to > capacity && !out_suspended),
                Direction::In => {
                    prop_assert!(change.to < capacity && !in_suspended);
                    prop_assert!(cooldown.is_none_or(|cooldown| cooldown.until <= NOW));
                }
            }
        }
    }
}
