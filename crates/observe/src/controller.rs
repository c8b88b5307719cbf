//! The keeper of records: trims what a group's retention has outlived, and deletes the records of streams and metrics that
//! are gone.
//!
//! Records and rows are written apart from each other, so a crash may leave records without a row; they are found by their names.

use crate::rows::{LOG_RECORDS, LogGroup, LogStream, METRIC_RECORDS, Metric};
use async_trait::async_trait;
use controller::{Controller, Failure, Key, Next};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::{Change, Op, Row, Store, View};
use types::{Clock, Scope, Timestamp};

/// How often retention is looked at.
const PERIOD: Duration = Duration::from_hours(1);
/// How soon what seems to be left over is looked at again.
const SECOND_LOOK: Duration = Duration::from_secs(10);
/// How long data points are kept. Source: CloudWatch User Guide, "Metrics retention".
const METRICS_KEPT: Duration = Duration::from_hours(455 * 24);
/// The key under which all records are looked through.
const EVERYTHING: &str = "records";

/// The controller.
pub struct Keeper {
    store: Store,
    clock: Arc<dyn Clock>,
    /// Records without a row at the last look. A new metric's records may be there before its row is, so that only what is
    /// without one twice goes.
    suspects: Mutex<BTreeSet<String>>,
}

impl Keeper {
    /// The keeper of `store`'s records.
    pub fn new(store: Store, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, suspects: Mutex::default() }
    }
}

/// The earliest instant whose events a retention of that many days still keeps.
pub(crate) fn kept_since(days: i32, now: Timestamp) -> Timestamp {
    const DAY: i64 = 86_400_000;
    Timestamp(now.millis() - i64::from(days) * DAY)
}

#[async_trait]
impl Controller for Keeper {
    fn name(&self) -> &'static str {
        "log-records"
    }

    fn tables(&self) -> &'static [&'static str] {
        &[LogGroup::TABLE, LogStream::TABLE]
    }

    fn keys(&self, _: &View, change: &Change) -> Vec<Key> {
        // A new stream needs no keeping; a deleted one, and a group whose retention may have changed, do.
        let concerns = change.op == Op::Delete || change.table == LogGroup::TABLE;
        if concerns { vec![Key::new(&Scope::default(), EVERYTHING)] } else { Vec::new() }
    }

    fn all_keys(&self, _: &View) -> Vec<Key> {
        vec![Key::new(&Scope::default(), EVERYTHING)]
    }

    async fn reconcile(&self, _: &Key) -> Result<Next, Failure> {
        let now = self.clock.now();
        let streams = self.store.streams()?;
        // Names first: a stream that is made and filled in between has a row in the later view.
        let mut orphans: BTreeSet<String> = streams.names(LOG_RECORDS)?.into_iter().collect();
        orphans.extend(streams.names(METRIC_RECORDS)?);
        let view = self.store.view();
        for (scope, stream) in view.scan_all::<LogStream>() {
            let Some(group) = view.get::<LogGroup>(scope, &stream.group) else { continue };
            if orphans.remove(&stream.records)
                && let Some(days) = group.retention
            {
                streams.trim(&stream.records, kept_since(days, now)).wait().await?;
            }
        }
        let oldest = Timestamp(now.millis() - i64::try_from(METRICS_KEPT.as_millis())?);
        for (_, metric) in view.scan_all::<Metric>() {
            if orphans.remove(&metric.records) && is_before(&streams, &metric.records, oldest)? {
                streams.trim(&metric.records, oldest).wait().await?;
            }
        }
        crate::alarms::history::trim(&streams, now).await?;
        let before = {
            let mut suspects = self.suspects.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *suspects, orphans.clone())
        };
        let is_clean = orphans.is_subset(&before);
        for orphan in orphans.intersection(&before) {
            streams.delete(orphan).wait().await?;
        }
        Ok(Next::After(if is_clean { PERIOD } else { SECOND_LOOK }))
    }
}

fn is_before(streams: &store::Streams, records: &str, oldest: Timestamp) -> Result<bool, store::Error> {
    let first = streams.stats(records)?.and_then(|stats| stats.first);
    Ok(first.is_some_and(|first| first.timestamp < oldest))
}
