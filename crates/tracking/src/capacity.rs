//! What capacity a scalable target should have, from its policies and their alarms.
//!
//! Sources: Application Auto Scaling user guide, "How target tracking scaling works", "How step scaling works", "Define the
//! cooldown period"; what is not published (how far target tracking scales in) is said where it is decided.
//!
//! One decision a minute at most: an alarm that stays has its policies asked again each minute, as CloudWatch does.

use crate::alarm::State;
use crate::step::{self, Steps};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use types::Timestamp;

/// The least and the most capacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// `MinCapacity`.
    pub min: u32,
    /// `MaxCapacity`; not less.
    pub max: u32,
}

impl Bounds {
    /// The nearest capacity within.
    pub fn clamp(self, capacity: u32) -> u32 {
        capacity.min(self.max).max(self.min)
    }
}

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Direction {
    /// More.
    Out,
    /// Less.
    In,
}

/// The time after a scaling activity in which others wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cooldown {
    /// What the activity did.
    pub direction: Direction,
    /// When it ends.
    pub until: Timestamp,
    /// The capacity before the activity.
    pub base: u32,
}

/// A policy with its alarms as they are now.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// After scaling out.
    pub cooldown_out: Duration,
    /// After scaling in.
    pub cooldown_in: Duration,
    /// What it goes by.
    pub kind: Kind,
}

/// What a policy goes by.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// `TargetTrackingScaling`.
    Tracking {
        /// `TargetValue`, greater than zero.
        target: f64,
        /// Above the target.
        high: Alarm,
        /// Well below it; none where scaling in is disabled.
        low: Option<Alarm>,
    },
    /// `StepScaling`.
    Steps {
        /// The steps.
        steps: Steps,
        /// Those that have the policy as an action.
        alarms: Vec<Alarm>,
    },
}

/// An alarm as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct Alarm {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: State,
    /// Its threshold.
    pub threshold: f64,
    /// The newest data point.
    pub newest: Option<f64>,
    /// The greatest of those that it looks at.
    pub greatest: Option<f64>,
}

impl Alarm {
    fn is_off(&self) -> bool {
        self.state == State::Alarm
    }
}

/// A scalable target as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct Situation {
    /// How much there is meant to be.
    pub capacity: u32,
    /// The bounds.
    pub bounds: Bounds,
    /// `DynamicScalingOutSuspended`.
    pub out_suspended: bool,
    /// `DynamicScalingInSuspended`.
    pub in_suspended: bool,
    /// The policies.
    pub policies: Vec<Policy>,
    /// That of the last activity.
    pub cooldown: Option<Cooldown>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The capacity.
    pub to: u32,
    /// The policy that wants it.
    pub policy: String,
    /// The alarm that went off.
    pub alarm: String,
    /// What begins with it.
    pub cooldown: Cooldown,
}

/// What a policy wants.
struct Wish<'a> {
    to: u32,
    policy: &'a Policy,
    alarm: &'a Alarm,
}

/// What the policies say now; none where all is to stay.
pub fn decide(situation: &Situation, now: Timestamp) -> Option<Change> {
    let change = decide_out(situation, now).or_else(|| decide_in(situation, now));
    if let Some(change) = &change {
        assert_eq!(situation.bounds.clamp(change.to), change.to, "a decision leaves the bounds");
        assert_ne!(change.to, situation.capacity, "a decision that changes nothing");
    }
    change
}

/// The running cooldown, if it is of that direction.
fn running(situation: &Situation, direction: Direction, now: Timestamp) -> Option<Cooldown> {
    situation.cooldown.filter(|cooldown| cooldown.direction == direction && now < cooldown.until)
}

/// More, if any policy wants more: the most that one wants. It does not wait for the end of a scale-in's cooldown. Within
/// that of a scale-out, only a larger scale-out than that one counts, reckoned from where that one began.
fn decide_out(situation: &Situation, now: Timestamp) -> Option<Change> {
    if situation.out_suspended {
        return None;
    }
    let base = running(situation, Direction::Out, now).map_or(situation.capacity, |cooldown| cooldown.base);
    let wishes = situation.policies.iter().filter_map(|policy| match &policy.kind {
        Kind::Tracking { target, high, .. } if high.is_off() => {
            Some(Wish { to: proportional(base.max(1), high.newest?, *target), policy, alarm: high })
        }
        Kind::Tracking { .. } => None,
        Kind::Steps { steps, alarms } => step_wishes(steps, alarms, policy, base).max_by_key(|wish| wish.to),
    });
    let wish = wishes.max_by_key(|wish| wish.to)?;
    let to = situation.bounds.clamp(wish.to);
    (to > situation.capacity).then(|| change(&wish, to, Direction::Out, base, wish.policy.cooldown_out, now))
}

/// Less, once no cooldown runs: the most that is wanted by those who want less. Target tracking scales in only where all
/// policies of that kind that may do so are ready to.
fn decide_in(situation: &Situation, now: Timestamp) -> Option<Change> {
    let waits = situation.cooldown.is_some_and(|cooldown| now < cooldown.until);
    if situation.in_suspended || waits || wants_more(situation) {
        return None;
    }
    let capacity = situation.capacity;
    let mut lows = situation.policies.iter().filter_map(|policy| match &policy.kind {
        Kind::Tracking { low: Some(low), .. } => Some(low),
        _ => None,
    });
    let all_ready = lows.all(Alarm::is_off);
    let wishes = situation.policies.iter().filter_map(|policy| match &policy.kind {
        // How far AWS scales in is not published: "more gradually". Here the greatest of the data points that the alarm
        // looked at must fit under the target in what remains.
        Kind::Tracking { target, low: Some(low), .. } if all_ready && low.is_off() => {
            Some(Wish { to: proportional(capacity, low.greatest?, *target), policy, alarm: low })
        }
        Kind::Tracking { .. } => None,
        Kind::Steps { steps, alarms } => step_wishes(steps, alarms, policy, capacity).max_by_key(|wish| wish.to),
    });
    let wish = wishes.filter(|wish| wish.to < capacity).max_by_key(|wish| wish.to)?;
    let to = situation.bounds.clamp(wish.to);
    (to < capacity).then(|| change(&wish, to, Direction::In, capacity, wish.policy.cooldown_in, now))
}

/// Whether an alarm that has capacity added is off, even if it cannot be added now.
fn wants_more(situation: &Situation) -> bool {
    situation.policies.iter().any(|policy| match &policy.kind {
        Kind::Tracking { high, .. } => high.is_off(),
        Kind::Steps { steps, alarms } => {
            step_wishes(steps, alarms, policy, situation.capacity).any(|wish| wish.to > situation.capacity)
        }
    })
}

fn step_wishes<'a>(
    steps: &'a Steps,
    alarms: &'a [Alarm],
    policy: &'a Policy,
    base: u32,
) -> impl Iterator<Item = Wish<'a>> {
    alarms.iter().filter(|alarm| alarm.is_off()).filter_map(move |alarm| {
        let to = step::adjusted(steps, base, alarm.newest? - alarm.threshold)?;
        Some(Wish { to, policy, alarm })
    })
}

fn change(wish: &Wish, to: u32, direction: Direction, base: u32, cooldown: Duration, now: Timestamp) -> Change {
    Change {
        to,
        policy: wish.policy.name.clone(),
        alarm: wish.alarm.name.clone(),
        cooldown: Cooldown { direction, until: now.plus(cooldown), base },
    }
}

/// The capacity in which a metric that is `metric` now would be no more than `target`.
fn proportional(capacity: u32, metric: f64, target: f64) -> u32 {
    let wanted = f64::from(capacity) * metric / target;
    // What floating point adds to a whole number is no task.
    let wanted = (wanted - 1e-9).ceil();
    if wanted.is_nan() { capacity } else { wanted.clamp(0.0, f64::from(u32::MAX)) as u32 }
}
