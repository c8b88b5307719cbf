//! A metric's data points, taken together by periods.

use crate::aggregate::Window;
use crate::record::{self, Point};
use std::collections::BTreeMap;
use std::ops::Bound;
use store::{Position, Streams};
use types::Timestamp;

/// How many records are read at once.
const CHUNK: usize = 4096;

/// Periods of time: so long, one of which begins at `origin`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grid {
    pub(crate) origin: Timestamp,
    pub(crate) step: i64,
}

impl Grid {
    fn start(self, at: Timestamp) -> Timestamp {
        Timestamp(at.0 - (at.0 - self.origin.0).rem_euclid(self.step))
    }
}

/// What each period from `from` until before `to` holds, by the period's start; periods without data are left out.
pub(crate) fn windows(
    streams: &Streams,
    records: &str,
    (from, to): (Timestamp, Timestamp),
    grid: Grid,
    unit: Option<&str>,
) -> Result<BTreeMap<Timestamp, Window>, store::Error> {
    let mut windows: BTreeMap<Timestamp, Window> = BTreeMap::new();
    if from >= to {
        return Ok(windows);
    }
    let upper = Bound::Excluded(Position::at(to));
    let mut lower = Bound::Included(Position::at(from));
    loop {
        let entries = streams.read(records, (lower, upper), CHUNK)?;
        for entry in &entries {
            let Some(point) = record::decode::<Point>(&entry.data) else { continue };
            if unit.is_some() && unit != point.unit.as_deref() {
                continue;
            }
            windows.entry(grid.start(entry.position.timestamp)).or_default().add(&point);
        }
        match entries.last() {
            Some(last) if entries.len() == CHUNK => lower = Bound::Excluded(last.position),
            _ => return Ok(windows),
        }
    }
}
