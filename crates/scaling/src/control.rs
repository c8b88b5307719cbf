//! The scaler: moves each scalable target's capacity as its bounds, schedules and alarms say.
//!
//! A reconciliation of a target goes through them in this order: scheduled actions that are due set the bounds; bounds that were set bring
//! the capacity within them; policies whose alarms are off have crate `tracking` decide, once a minute at most; the last
//! activity is closed once as many tasks run as it asked for. Each step is a transaction of its own that reads what it decides upon.

use crate::ports::Services;
use crate::rows::{Activity, Policy, PolicyKind, Scheduled, Status, Target, resource_of};
use crate::steps::steps;
use crate::texts;
use async_trait::async_trait;
use controller::{Controller, Failure, Key, Next};
use observe::alarms::history::{self, Item};
use observe::alarms::{Alarm, look};
use std::sync::Arc;
use std::time::Duration;
use store::{Change, Op, Row, Store, Tx, View};
use tracking::alarm::State;
use tracking::capacity::{self, Bounds, Kind, Situation};
use tracking::schedule::{Schedule, Zone};
use tracking::{Minute, alarm};
use types::{Clock, Pace, Scope, Timestamp};

/// How long activities are kept. Source: Application Auto Scaling API reference, DescribeScalingActivities.
const KEPT: Duration = Duration::from_hours(6 * 7 * 24);
/// The cooldown of ECS services where none is given. Source: API reference, TargetTrackingScalingPolicyConfiguration.
const COOLDOWN: i32 = 300;
/// The longest rest: a schedule may be further away than a timer should be.
const LONGEST: Duration = Duration::from_hours(1);

/// The controller. Its key is the target's resource.
pub struct Scaler {
    store: Store,
    clock: Arc<dyn Clock>,
    pace: Pace,
    minute: Minute,
    services: Arc<dyn Services>,
    tables: &'static [&'static str],
}

/// A capacity that is to be, and why.
struct Wanted {
    to: u32,
    cause: String,
}

impl Scaler {
    /// The scaler of `store`'s targets.
    pub fn new(store: Store, clock: Arc<dyn Clock>, pace: Pace, services: Arc<dyn Services>) -> Self {
        let own = [Target::TABLE, Policy::TABLE, Scheduled::TABLE, Alarm::TABLE];
        // One for the life of the process.
        let tables = Vec::leak(own.into_iter().chain(services.tables().iter().copied()).collect());
        Self { store, clock, pace, minute: Minute::at(pace), services, tables }
    }

    async fn write<T>(&self, change: impl FnOnce(&mut Tx) -> T) -> Result<T, Failure> {
        let (answer, ticket) = {
            let mut tx = self.store.begin();
            let answer = change(&mut tx);
            (answer, tx.commit())
        };
        ticket.await?;
        Ok(answer)
    }

    /// Does what scheduled actions say that are due.
    async fn follow_schedule(&self, key: &Key, now: Timestamp) -> Result<(), Failure> {
        let view = self.store.view();
        let is_due = |row: &&Arc<Scheduled>| due(row).is_some_and(|at| at <= now);
        if !Scheduled::of(&view, &key.scope, &key.id).any(|row| is_due(&row)) {
            return Ok(());
        }
        self.write(|tx| {
            let rows: Vec<Arc<Scheduled>> =
                Scheduled::of(tx, &key.scope, &key.id).filter(|row| is_due(row)).cloned().collect();
            for row in rows {
                let Some(target) = tx.get::<Target>(&key.scope, &key.id) else { return };
                tx.put(&key.scope, Scheduled { done: now, ..Scheduled::clone(&row) });
                if !target.suspended.scheduled {
                    run(tx, &key.scope, &target, &row, now);
                }
            }
        })
        .await
    }

    /// Brings the capacity within bounds that were set.
    async fn bind(&self, key: &Key, now: Timestamp) -> Result<(), Failure> {
        if self.store.view().get::<Target>(&key.scope, &key.id).is_none_or(|target| !target.unbound) {
            return Ok(());
        }
        self.write(|tx| {
            let Some(target) = tx.get::<Target>(&key.scope, &key.id) else { return };
            tx.put(&key.scope, Target { unbound: false, ..Target::clone(&target) });
            let Some(capacity) = self.services.capacity(tx, &key.scope, &key.id) else { return };
            let to = target.bounds.clamp(capacity.desired);
            let cause = if to > capacity.desired { texts::min_cause(to) } else { texts::max_cause(to) };
            if to != capacity.desired {
                self.set(tx, &key.scope, &key.id, Wanted { to, cause }, now);
            }
        })
        .await
    }

    /// Does what policies say whose alarms are off. Whether it has to look again next minute.
    async fn follow_alarms(&self, key: &Key, now: Timestamp) -> Result<bool, Failure> {
        let view = self.store.view();
        let Some(target) = view.get::<Target>(&key.scope, &key.id) else { return Ok(false) };
        let (policies, is_off) = self.policies(&view, key, now)?;
        let minute = self.minute.start(now);
        if !is_off || target.decided.is_some_and(|decided| decided >= minute) {
            return Ok(is_off);
        }
        let Some(capacity) = self.services.capacity(&view, &key.scope, &key.id) else { return Ok(false) };
        let situation = Situation {
            capacity: capacity.desired,
            bounds: target.bounds,
            out_suspended: target.suspended.scaling_out,
            in_suspended: target.suspended.scaling_in,
            policies,
            cooldown: target.cooldown,
        };
        let Some(change) = capacity::decide(&situation, now) else { return Ok(true) };
        let executed = view
            .get::<Policy>(&key.scope, &Policy::key(&key.id, &change.policy))
            .zip(observe::query::alarm(&view, &key.scope, &change.alarm));
        if let Some((policy, alarm)) = executed {
            let action = alarm.actions.alarm.iter().find(|action| action.starts_with(&policy.arn));
            let item = Item::action(&alarm, action.unwrap_or(&policy.arn), Ok(()));
            history::append(&self.store, &key.scope, now, &[item])?.wait().await?;
        }
        self.write(|tx| {
            // What it was decided upon must still be so.
            let is_same = tx.get::<Target>(&key.scope, &key.id).as_deref() == Some(&*target)
                && self.services.capacity(tx, &key.scope, &key.id).is_some_and(|now| now.desired == capacity.desired);
            if !is_same {
                return;
            }
            let cause = texts::alarm_cause(&change.alarm, &change.policy);
            self.set(tx, &key.scope, &key.id, Wanted { to: change.to, cause }, now);
            let cooldown = Some(change.cooldown);
            tx.put(&key.scope, Target { cooldown, decided: Some(minute), ..Target::clone(&target) });
        })
        .await?;
        Ok(true)
    }

    /// The policies with their alarms as they are now, and whether any alarm is off.
    fn policies(&self, view: &View, key: &Key, now: Timestamp) -> Result<(Vec<capacity::Policy>, bool), store::Error> {
        let mut is_off = false;
        let mut seen = |alarm: &Alarm| {
            is_off |= alarm.state == State::Alarm;
            self.alarm(&key.scope, alarm, now)
        };
        let mut policies = Vec::new();
        for policy in Policy::of(view, &key.scope, &key.id) {
            let (kind, out, inward) = match &policy.kind {
                PolicyKind::Tracking { configuration, high, low } => {
                    let find = |name: &String| observe::query::alarm(view, &key.scope, name);
                    // A policy whose alarm somebody has deleted does nothing.
                    let Some(high) = find(high) else { continue };
                    let low = match low {
                        Some(low) => Some(find(low).map_or_else(|| Ok(unknown(low)), |low| seen(&low))?),
                        None => None,
                    };
                    let kind = Kind::Tracking { target: configuration.target_value, high: seen(&high)?, low };
                    (kind, configuration.scale_out_cooldown, configuration.scale_in_cooldown)
                }
                PolicyKind::Steps(given) => {
                    let Ok(steps) = steps(given) else { continue };
                    let alarms = observe::query::alarms_with_action(view, &key.scope, &policy.arn)
                        .filter(|alarm| alarm.actions_enabled)
                        .map(|alarm| seen(alarm))
                        .collect::<Result<Vec<_>, _>>()?;
                    (Kind::Steps { steps, alarms }, given.cooldown, given.cooldown)
                }
            };
            let cooldown = |seconds: Option<i32>| {
                let seconds = u64::try_from(seconds.unwrap_or(COOLDOWN)).unwrap_or(0);
                self.pace.scale(Duration::from_secs(seconds))
            };
            let (cooldown_out, cooldown_in) = (cooldown(out), cooldown(inward));
            policies.push(capacity::Policy { name: policy.name.clone(), cooldown_out, cooldown_in, kind });
        }
        Ok((policies, is_off))
    }

    /// An alarm with the data points that it looks at.
    fn alarm(&self, scope: &Scope, row: &Alarm, now: Timestamp) -> Result<capacity::Alarm, store::Error> {
        let slots: Vec<alarm::Slot> =
            if row.state == State::Alarm { look(&self.store, scope, self.minute, row, now)? } else { Vec::new() };
        let values: Vec<f64> = slots.iter().rev().filter_map(|slot| slot.point.map(|point| point.value)).collect();
        Ok(capacity::Alarm {
            name: row.name.clone(),
            state: row.state,
            threshold: row.rule.threshold,
            newest: values.first().copied(),
            greatest: values.iter().take(row.rule.periods).copied().reduce(f64::max),
        })
    }

    /// Sets the desired count, and opens an activity of it.
    fn set(&self, tx: &mut Tx, scope: &Scope, resource: &str, wanted: Wanted, now: Timestamp) {
        let Wanted { to, cause } = wanted;
        let open: Vec<Arc<Activity>> = opened(tx, scope, resource);
        for row in open {
            close(tx, scope, &row, Status::Overridden, now);
        }
        let (status, message, end) = match self.services.set_desired(tx, scope, resource, to, now) {
            Ok(()) => (Status::InProgress, texts::waiting(to), None),
            Err(reason) => (Status::Failed, texts::failed(to, &reason), Some(now)),
        };
        let description = texts::setting(to);
        let activity = Activity { end, to: Some(to), ..new_activity(tx, scope, resource, description, cause, now) };
        tx.put(scope, Activity { status, message, ..activity });
    }

    /// Closes the activity that is over, and forgets old ones.
    async fn settle(&self, key: &Key, now: Timestamp) -> Result<(), Failure> {
        let oldest = Timestamp(now.0.saturating_sub(i64::try_from(KEPT.as_millis())?));
        let verdict = |view: &View, row: &Activity| {
            let capacity = self.services.capacity(view, &key.scope, &key.id);
            match (capacity, row.to) {
                (Some(capacity), Some(to)) if capacity.desired == to => {
                    (capacity.running == to).then_some(Status::Successful)
                }
                _ => Some(Status::Overridden),
            }
        };
        let view = self.store.view();
        let is_over = opened(&view, &key.scope, &key.id).iter().any(|row| verdict(&view, row).is_some());
        let is_old = Activity::of(&view, &key.scope, &key.id).next().is_some_and(|row| row.start < oldest);
        if !(is_over || is_old) {
            return Ok(());
        }
        self.write(|tx| {
            for row in opened(tx, &key.scope, &key.id) {
                let Some(status) = verdict(tx, &row) else { continue };
                close(tx, &key.scope, &row, status, now);
                if let (Status::Successful, Some(to)) = (status, row.to) {
                    let message = texts::event(&texts::fulfilled(to), &row.cause);
                    self.services.announce(tx, &key.scope, &key.id, &message, now);
                }
            }
            let old: Vec<String> = Activity::of(tx, &key.scope, &key.id)
                .take_while(|row| row.start < oldest)
                .map(|row| row.id().into_owned())
                .collect();
            for id in old {
                tx.delete::<Activity>(&key.scope, &id);
            }
        })
        .await
    }
}

/// When a scheduled action of a target is next due.
fn next_due(view: &View, key: &Key) -> Option<Timestamp> {
    Scheduled::of(view, &key.scope, &key.id).filter_map(|row| due(row)).min()
}

/// An alarm that is not there.
fn unknown(name: &str) -> capacity::Alarm {
    let state = State::InsufficientData;
    capacity::Alarm { name: name.to_owned(), state, threshold: 0.0, newest: None, greatest: None }
}

/// When a scheduled action is due that is not done yet.
fn due(row: &Scheduled) -> Option<Timestamp> {
    let (schedule, zone) = (Schedule::parse(&row.schedule)?, Zone::named(row.timezone.as_deref())?);
    let after = row.done.max(row.start.map_or(row.done, |start| Timestamp(start.0.saturating_sub(1))));
    // From when a rate counts.
    let begin = row.start.unwrap_or(row.created);
    schedule.next(&zone, begin, after).filter(|at| row.end.is_none_or(|end| *at <= end))
}

/// Sets the bounds as a scheduled action says.
fn run(tx: &mut Tx, scope: &Scope, target: &Target, row: &Scheduled, now: Timestamp) {
    let bounds = Bounds { min: row.min.unwrap_or(target.bounds.min), max: row.max.unwrap_or(target.bounds.max) };
    let what = texts::bounds(row.min, row.max);
    let (status, message) = if bounds.max < bounds.min {
        (Status::Failed, format!("Failed to set {what}. Reason: {}", texts::max_below_min().message))
    } else {
        tx.put(scope, Target { bounds, unbound: true, ..target.clone() });
        (Status::Successful, format!("Successfully set {what}"))
    };
    let (description, cause) = (format!("Setting {what}"), texts::scheduled_cause(&row.name));
    let activity = new_activity(tx, scope, &target.resource, description, cause, now);
    tx.put(scope, Activity { status, message, ..activity });
}

fn new_activity(
    view: &View,
    scope: &Scope,
    resource: &str,
    description: String,
    cause: String,
    now: Timestamp,
) -> Activity {
    let number = Activity::of(view, scope, resource).last().map_or(0, |last| last.number.wrapping_add(1));
    Activity {
        resource: resource.to_owned(),
        uuid: types::id::random_uuid(),
        number,
        description,
        cause,
        start: now,
        end: None,
        status: Status::InProgress,
        message: String::new(),
        to: None,
    }
}

/// The activities that are on their way.
fn opened(view: &View, scope: &Scope, resource: &str) -> Vec<Arc<Activity>> {
    Activity::of(view, scope, resource).filter(|row| row.status == Status::InProgress).cloned().collect()
}

fn close(tx: &mut Tx, scope: &Scope, row: &Activity, status: Status, now: Timestamp) {
    let message = match (status, row.to) {
        (Status::Successful, Some(to)) => texts::fulfilled(to),
        _ => row.message.clone(),
    };
    tx.put(scope, Activity { status, message, end: Some(now), ..row.clone() });
}

#[async_trait]
impl Controller for Scaler {
    fn name(&self) -> &'static str {
        "scaling-targets"
    }

    fn tables(&self) -> &'static [&'static str] {
        self.tables
    }

    fn keys(&self, view: &View, change: &Change) -> Vec<Key> {
        let scope = &change.scope;
        let one = |resource: &str| vec![Key::new(scope, resource)];
        if [Target::TABLE, Policy::TABLE, Scheduled::TABLE].contains(&change.table) {
            return if change.op == Op::Delete { Vec::new() } else { one(resource_of(&change.id)) };
        }
        if change.table == Alarm::TABLE {
            let Some(alarm) = view.get::<Alarm>(scope, &change.id) else { return Vec::new() };
            let acts = |policy: &&Arc<Policy>| alarm.actions.alarm.iter().any(|action| action.starts_with(&policy.arn));
            return view.scan::<Policy>(scope).filter(acts).map(|policy| Key::new(scope, &policy.resource)).collect();
        }
        let resource = self.services.resource(view, change);
        resource.filter(|resource| view.contains::<Target>(scope, resource)).map_or_else(Vec::new, |r| one(&r))
    }

    fn all_keys(&self, view: &View) -> Vec<Key> {
        view.scan_all::<Target>().map(|(scope, target)| Key::new(scope, &target.resource)).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Failure> {
        let now = self.clock.now();
        self.follow_schedule(key, now).await?;
        self.bind(key, now).await?;
        let is_off = self.follow_alarms(key, now).await?;
        self.settle(key, now).await?;
        let view = self.store.view();
        if !view.contains::<Target>(&key.scope, &key.id) {
            return Ok(Next::Done);
        }
        // A third into the next minute, when alarms have been looked at.
        let again = is_off.then(|| self.minute.start(now).plus(self.minute.length() * 4 / 3));
        let next = again.into_iter().chain(next_due(&view, key)).min();
        let wait = |at: Timestamp| at.since(self.clock.now()).clamp(Duration::from_millis(1), LONGEST);
        Ok(next.map_or(Next::Done, |at| Next::After(wait(at))))
    }
}
