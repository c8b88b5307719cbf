//! Log events of several streams, in order of time, as far as they fit a pattern.

use super::events::{ANSWER_BYTES, ANSWER_EVENTS};
use super::{groups, internal, page};
use crate::controller::kept_since;
use crate::pattern::{Pattern, Refused};
use crate::record::{self, Event};
use crate::rows::LogStream;
use crate::{Observe, texts};
use gateway::Context;
use model::logs::{FilterLogEventsRequest, FilterLogEventsResponse, FilteredLogEvent};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use store::{Entry, Position, Streams, View};
use types::{ApiError, Scope, Timestamp};

/// How many events one call looks at before it answers with what it has and a token.
const MOST_LOOKED_AT: usize = 200_000;
/// How many events are read from a stream at once.
const CHUNK: usize = 128;

pub(super) fn filter(
    _: &Observe,
    cx: &mut Context,
    input: FilterLogEventsRequest,
) -> Result<FilterLogEventsResponse, ApiError> {
    if input.start_from_head == Some(false) {
        return Err(ApiError::not_implemented("the latest events first in logs:FilterLogEvents"));
    }
    let pattern = Pattern::parse(input.filter_pattern.as_deref().unwrap_or_default());
    let pattern = pattern.map_err(|refused| match refused {
        Refused::Invalid => texts::bad_filter_pattern(),
        Refused::NotHere => ApiError::not_implemented("filter patterns for space-delimited events"),
    })?;
    let after = input.next_token.as_deref().map(|token| Place::parse(token).ok_or_else(texts::bad_next_token));
    let after = after.transpose()?;
    let scope = cx.scope.clone();
    let now = cx.now;
    let records = cx.store().streams().map_err(internal)?;
    let view = cx.view();
    let group = groups::chosen(view, &scope, input.log_group_name.as_deref(), input.log_group_identifier.as_deref())?;
    let rows = chosen(view, &scope, &group.name, input.log_stream_names, input.log_stream_name_prefix)?;
    let retained = group.retention.map_or(0, |days| kept_since(days, now).millis());
    let start = Position::at(Timestamp(input.start_time.unwrap_or(0).max(retained)));
    // The end time is inclusive here, unlike that of GetLogEvents.
    let end = input.end_time.map(|end| Position::at(Timestamp(end.saturating_add(1))));
    let mut merge = Merge::new(&records, &rows, start, end, after.as_ref())?;

    let limit = page::limit(input.limit, ANSWER_EVENTS);
    let (mut events, mut bytes, mut looked_at) = (Vec::new(), 0, 0);
    let mut last = None;
    while let Some((stream, entry)) = merge.next()? {
        looked_at += 1;
        last = Some(Place { at: entry.position, stream: rows[stream].name.clone() });
        let Some(event) = record::decode::<Event>(&entry.data) else { continue };
        if pattern.fits(&event.message) {
            bytes += entry.data.len();
            events.push(shown(&rows[stream], entry.position, event));
        }
        if events.len() >= limit || bytes >= ANSWER_BYTES || looked_at >= MOST_LOOKED_AT {
            break;
        }
    }
    let more = merge.next()?.is_some();
    Ok(FilterLogEventsResponse {
        events: Some(events),
        // AWS has answered an empty list since 2020.
        searched_log_streams: Some(Vec::new()),
        next_token: last.filter(|_| more).map(|place| place.text()),
    })
}

fn chosen(
    view: &View,
    scope: &Scope,
    group: &str,
    names: Option<Vec<String>>,
    prefix: Option<String>,
) -> Result<Vec<Arc<LogStream>>, ApiError> {
    match (names, prefix) {
        (Some(_), Some(_)) => Err(texts::names_and_prefix()),
        (Some(mut names), None) => {
            names.sort();
            names.dedup();
            let find = |name: &String| view.get::<LogStream>(scope, &LogStream::key(group, name));
            names.iter().map(|name| find(name).ok_or_else(texts::no_such_stream)).collect()
        }
        (None, prefix) => {
            Ok(LogStream::all(view, scope, group, prefix.as_deref().unwrap_or_default()).cloned().collect())
        }
    }
}

fn shown(stream: &LogStream, at: Position, event: Event) -> FilteredLogEvent {
    FilteredLogEvent {
        log_stream_name: Some(stream.name.clone()),
        timestamp: Some(at.timestamp.millis()),
        message: Some(event.message),
        ingestion_time: Some(event.ingested.millis()),
        event_id: Some(event_id(stream, at)),
    }
}

/// 56 digits, which differ between any two events of an account and order a stream's events.
fn event_id(stream: &LogStream, at: Position) -> String {
    // FNV-1a of the unique name of the stream's records.
    let hash = stream
        .records
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    format!("3{:015}{hash:020}{:020}", at.timestamp.millis().clamp(0, 999_999_999_999_999), at.sequence)
}

/// Where an answer ended: at an event of a stream. Events of one instant are in order of their streams' names.
struct Place {
    at: Position,
    stream: String,
}

impl Place {
    fn text(&self) -> String {
        page::token(&format!("{}/{}/{}", self.at.timestamp.millis(), self.at.sequence, self.stream))
    }

    fn parse(token: &str) -> Option<Self> {
        let key = page::key(token)?;
        let mut parts = key.splitn(3, '/');
        let at = Position { timestamp: Timestamp(parts.next()?.parse().ok()?), sequence: parts.next()?.parse().ok()? };
        Some(Self { at, stream: parts.next()?.to_owned() })
    }
}

/// The events of several streams in order of time, then of the streams' names. Holds a chunk of each stream at most.
struct Merge<'a> {
    records: &'a Streams,
    rows: &'a [Arc<LogStream>],
    end: Bound<Position>,
    cursors: Vec<Cursor>,
    heads: BinaryHeap<Reverse<(Timestamp, usize)>>,
}

struct Cursor {
    chunk: VecDeque<Entry>,
    from: Bound<Position>,
    exhausted: bool,
}

impl<'a> Merge<'a> {
    fn new(
        records: &'a Streams,
        rows: &'a [Arc<LogStream>],
        start: Position,
        end: Option<Position>,
        after: Option<&Place>,
    ) -> Result<Self, ApiError> {
        let end = end.map_or(Bound::Unbounded, Bound::Excluded);
        let mut merge = Self { records, rows, end, cursors: Vec::with_capacity(rows.len()), heads: BinaryHeap::new() };
        for (index, row) in rows.iter().enumerate() {
            let from = match after {
                // Of the instant where the last answer ended, streams of earlier names are through.
                Some(place) if row.name < place.stream => {
                    Bound::Excluded(Position { timestamp: place.at.timestamp, sequence: u64::MAX })
                }
                Some(place) if row.name == place.stream => Bound::Excluded(place.at),
                Some(place) => Bound::Included(Position::at(place.at.timestamp)),
                None => Bound::Included(start),
            };
            let from = match from {
                Bound::Included(at) | Bound::Excluded(at) if at < start => Bound::Included(start),
                other => other,
            };
            merge.cursors.push(Cursor { chunk: VecDeque::new(), from, exhausted: false });
            merge.advance(index)?;
        }
        Ok(merge)
    }

    /// Sees to it that the stream's next event is among the heads.
    fn advance(&mut self, index: usize) -> Result<(), ApiError> {
        let cursor = &mut self.cursors[index];
        if cursor.chunk.is_empty() && !cursor.exhausted {
            let is_empty = match (cursor.from, self.end) {
                (Bound::Included(a) | Bound::Excluded(a), Bound::Excluded(b)) => a >= b,
                _ => false,
            };
            let read = if is_empty {
                Vec::new()
            } else {
                self.records.read(&self.rows[index].records, (cursor.from, self.end), CHUNK).map_err(internal)?
            };
            cursor.exhausted = read.len() < CHUNK;
            if let Some(last) = read.last() {
                cursor.from = Bound::Excluded(last.position);
            }
            cursor.chunk = read.into();
        }
        if let Some(head) = cursor.chunk.front() {
            self.heads.push(Reverse((head.position.timestamp, index)));
        }
        Ok(())
    }

    fn next(&mut self) -> Result<Option<(usize, Entry)>, ApiError> {
        let Some(Reverse((_, index))) = self.heads.pop() else { return Ok(None) };
        let entry = self.cursors[index].chunk.pop_front();
        self.advance(index)?;
        Ok(entry.map(|entry| (index, entry)))
    }
}
