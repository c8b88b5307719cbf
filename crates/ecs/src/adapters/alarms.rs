//! The port of alarms on the `observe` crate.

use crate::ports::{Alarm, Alarms};
use observe::alarms::Alarm as Row;
use std::time::Duration;
use store::{Row as _, View};
use tracking::alarm::State;
use types::Scope;

/// Alarms as CloudWatch has them.
pub struct RealAlarms;

impl Alarms for RealAlarms {
    fn alarm(&self, view: &View, scope: &Scope, name: &str) -> Option<Alarm> {
        let row = observe::query::alarm(view, scope, name)?;
        let seconds = u64::from(row.watched.period) * u64::try_from(row.rule.periods).unwrap_or(1);
        Some(Alarm { alarming: row.state == State::Alarm, window: Duration::from_secs(seconds) })
    }

    fn tables(&self) -> &'static [&'static str] {
        &[Row::TABLE]
    }
}
