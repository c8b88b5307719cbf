//! What became of alarms: configured, another state, actions. It outlives the alarm itself.
//!
//! Items are records of one event stream for each account and region, so that they are on disk alone. They are written
//! before the row that they tell of: a crash in between tells a thing twice, and never leaves it out.

use super::{row::Alarm, texts};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use store::{Store, Streams};
use types::{Scope, Timestamp};

/// What the names of the event streams of histories begin with.
const RECORDS: &str = "alarm-history/";
/// How long items are kept. Source: CloudWatch API reference, DescribeAlarmHistory.
pub(crate) const KEPT: Duration = Duration::from_hours(30 * 24);

/// `HistoryItemType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// It was put or deleted.
    ConfigurationUpdate,
    /// It has another state.
    StateUpdate,
    /// Something was done for it.
    Action,
}

impl Kind {
    /// As AWS writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConfigurationUpdate => "ConfigurationUpdate",
            Self::StateUpdate => "StateUpdate",
            Self::Action => "Action",
        }
    }
}

/// An item. Its time is the record's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// The alarm's name.
    #[serde(rename = "n")]
    pub alarm: String,
    /// What it tells of.
    #[serde(rename = "k")]
    pub kind: Kind,
    /// `HistorySummary`.
    #[serde(rename = "s")]
    pub summary: String,
    /// `HistoryData`: JSON.
    #[serde(rename = "d")]
    pub data: String,
}

impl Item {
    /// An alarm was put, over one that was there or not.
    pub(crate) fn put(scope: &Scope, alarm: &Alarm, is_new: bool) -> Self {
        let (kind, what) = if is_new { ("Create", "created") } else { ("Update", "updated") };
        Self::configured(scope, alarm, kind, what)
    }

    /// An alarm was deleted.
    pub(crate) fn deleted(scope: &Scope, alarm: &Alarm) -> Self {
        Self::configured(scope, alarm, "Delete", "deleted")
    }

    fn configured(scope: &Scope, alarm: &Alarm, kind: &'static str, what: &str) -> Self {
        let data = texts::configuration_data(kind, scope, alarm);
        let summary = texts::configured(&alarm.name, what);
        Self { alarm: alarm.name.clone(), kind: Kind::ConfigurationUpdate, summary, data }
    }

    /// An alarm has another state.
    pub(crate) fn state(before: &Alarm, after: &Alarm) -> Self {
        let summary = texts::updated(before.state, after.state);
        let data = texts::state_data(before, after);
        Self { alarm: after.name.clone(), kind: Kind::StateUpdate, summary, data }
    }

    /// An action was done for an alarm, or could not be.
    pub fn action(alarm: &Alarm, action: &str, outcome: Result<(), &str>) -> Self {
        let summary = match outcome {
            Ok(()) => texts::executed(action),
            Err(error) => texts::not_executed(action, error),
        };
        let data = texts::action_data(alarm, action, outcome.err());
        Self { alarm: alarm.name.clone(), kind: Kind::Action, summary, data }
    }
}

/// The name of the event stream of a scope's history.
pub(crate) fn stream(scope: &Scope) -> String {
    format!("{RECORDS}{scope}")
}

/// Adds items. They are durable when the ticket says so.
pub fn append(store: &Store, scope: &Scope, at: Timestamp, items: &[Item]) -> Result<store::Ticket, store::Error> {
    let records = items.iter().map(|item| (at, crate::record::encode(item))).collect();
    Ok(store.streams()?.append(&stream(scope), records))
}

/// Has items that are too old forgotten.
pub(crate) async fn trim(streams: &Streams, now: Timestamp) -> Result<(), store::Error> {
    let oldest = Timestamp(now.0.saturating_sub(i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX)));
    for name in streams.names(RECORDS)? {
        let first = streams.stats(&name)?.and_then(|stats| stats.first);
        if first.is_some_and(|first| first.timestamp < oldest) {
            streams.trim(&name, oldest).wait().await?;
        }
    }
    Ok(())
}
