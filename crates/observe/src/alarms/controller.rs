//! The evaluator: looks at each alarm every minute of metrics, as crate `tracking` decides, and writes another state down.
//!
//! A minute is looked at shortly after its end, when its data points have come. A state that was set by hand, and a new
//! alarm, wait for the end of the running minute.

use super::history::{self, Item};
use super::row::Alarm;
use super::texts;
use crate::aggregate::{Statistic, Window};
use crate::rows::Metric;
use crate::series::{self, Grid};
use async_trait::async_trait;
use controller::{Controller, Failure, Key, Next};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use store::{Change, Op, Row, Store, View};
use tracking::Minute;
use tracking::alarm::{Measured, Slot, State, Verdict, evaluate};
use types::{Clock, Pace, Scope, Timestamp};

/// Which part of a minute is left for data points to come in.
const LAG: i64 = 6;
/// The ARNs of scaling policies; those whose policies they are watch the states of alarms.
const SCALING: &str = "arn:aws:autoscaling:";

/// The controller. Its key is the alarm's name.
pub struct Evaluator {
    store: Store,
    clock: Arc<dyn Clock>,
    minute: Minute,
}

impl Evaluator {
    /// The evaluator of `store`'s alarms.
    pub fn new(store: Store, clock: Arc<dyn Clock>, pace: Pace) -> Self {
        Self { store, clock, minute: Minute::at(pace) }
    }

    /// Writes another state down, and what the alarm does at it.
    async fn change(&self, key: &Key, before: &Alarm, after: Alarm) -> Result<(), Failure> {
        let mut items = vec![Item::state(before, &after)];
        items.extend(refused_actions(&after));
        history::append(&self.store, &key.scope, after.updated, &items)?.wait().await?;
        let ticket = {
            let mut tx = self.store.begin();
            // Put, deleted or set meanwhile: then this was about another alarm.
            if tx.get::<Alarm>(&key.scope, &key.id).as_deref() == Some(before) {
                tx.put(&key.scope, after);
            }
            tx.commit()
        };
        ticket.await?;
        Ok(())
    }
}

/// How often an alarm is looked at: every minute, or every period where that is shorter.
fn step(minute: Minute, alarm: &Alarm) -> i64 {
    minute.period(alarm.watched.period.min(60))
}

/// The periods that an alarm looks at now, oldest first.
pub fn look(
    store: &Store,
    scope: &Scope,
    minute: Minute,
    alarm: &Alarm,
    now: Timestamp,
) -> Result<Vec<Slot>, store::Error> {
    let end = newest_end(step(minute, alarm), now);
    let period = minute.period(alarm.watched.period);
    let count = i64::try_from(alarm.rule.range()).unwrap_or(0);
    let from = Timestamp(end.0 - count * period);
    let statistic = Statistic::parse(&alarm.watched.statistic);
    let metric = store.view().get::<Metric>(scope, &alarm.watched.metric_key());
    let windows: BTreeMap<Timestamp, Window> = match metric {
        Some(metric) => {
            let grid = Grid { origin: end, step: period };
            series::windows(&store.streams()?, &metric.records, (from, end), grid, alarm.watched.unit.as_deref())?
        }
        None => BTreeMap::new(),
    };
    let slot = |index: i64| {
        let at = Timestamp(from.0 + index * period);
        let measured = windows.get(&at).and_then(|window| {
            let value = window.value(statistic?)?;
            Some(Measured { value, samples: window.value(Statistic::SampleCount)? })
        });
        Slot { at, point: measured }
    };
    Ok((0..count).map(slot).collect())
}

/// The newest end of a period whose data points have come.
fn newest_end(step: i64, now: Timestamp) -> Timestamp {
    let now = now.0 - step / LAG;
    Timestamp(now - now.rem_euclid(step))
}

/// What an alarm that has this state now would do, and nothing here does.
pub(crate) fn refused_actions(alarm: &Alarm) -> Vec<Item> {
    if !alarm.actions_enabled {
        return Vec::new();
    }
    let others = alarm.actions.of(alarm.state).iter().filter(|action| !action.starts_with(SCALING));
    let refused = |action: &String| {
        let service = action.split(':').nth(2).unwrap_or_default();
        let error = format!("Windtunnel does not implement alarm actions of {service}. See docs/fidelity.md.");
        tracing::warn!(alarm = alarm.name, action, "an alarm's action is not there");
        Item::action(alarm, action, Err(&error))
    };
    others.map(refused).collect()
}

#[async_trait]
impl Controller for Evaluator {
    fn name(&self) -> &'static str {
        "cloudwatch-alarms"
    }

    fn tables(&self) -> &'static [&'static str] {
        &[Alarm::TABLE]
    }

    fn keys(&self, _: &View, change: &Change) -> Vec<Key> {
        if change.op == Op::Delete { Vec::new() } else { vec![Key::new(&change.scope, change.id.to_string())] }
    }

    fn all_keys(&self, view: &View) -> Vec<Key> {
        view.scan_all::<Alarm>().map(|(scope, alarm)| Key::new(scope, alarm.name.clone())).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Failure> {
        let Some(alarm) = self.store.view().get::<Alarm>(&key.scope, &key.id) else { return Ok(Next::Done) };
        let now = self.clock.now();
        let step = step(self.minute, &alarm);
        let end = newest_end(step, now);
        // When these periods were first complete.
        let due = end.0 + step / LAG;
        if due > alarm.updated.max(alarm.configured).0 {
            let slots = look(&self.store, &key.scope, self.minute, &alarm, now)?;
            if let Verdict::Is(finding) = evaluate(&alarm.rule, &slots)
                && finding.state != alarm.state
            {
                let after = Alarm {
                    state: finding.state,
                    reason: texts::reason(&finding, alarm.rule.comparison, alarm.rule.threshold),
                    reason_data: Some(texts::reason_data(&alarm, &finding, now)),
                    updated: now,
                    transitioned: now,
                    ..(*alarm).clone()
                };
                self.change(key, &alarm, after).await?;
            }
        }
        let wait = u64::try_from((due + step).saturating_sub(now.0)).unwrap_or(0);
        Ok(Next::After(Duration::from_millis(wait.max(1))))
    }
}

/// An alarm's state, as it is set by hand.
pub(crate) fn set(alarm: &Alarm, state: State, reason: String, reason_data: Option<String>, now: Timestamp) -> Alarm {
    let transitioned = if state == alarm.state { alarm.transitioned } else { now };
    Alarm { state, reason, reason_data, updated: now, transitioned, ..alarm.clone() }
}
