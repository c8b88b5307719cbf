//! Log events of one stream: put and get.

use super::{groups, internal, streams};
use crate::controller::kept_since;
use crate::record::{self, Event};
use crate::{Observe, texts};
use gateway::Context;
use model::logs::{
    GetLogEventsRequest, GetLogEventsResponse, InputLogEvent, OutputLogEvent, PutLogEventsRequest,
    PutLogEventsResponse, RejectedLogEventsInfo,
};
use std::ops::Bound;
use store::{Entry, Position};
use types::{ApiError, Timestamp};

/// Source of the limits: CloudWatch Logs API reference, PutLogEvents.
const BATCH_BYTES: usize = 1_048_576;
const EVENT_OVERHEAD: usize = 26;
const HOUR: i64 = 3_600_000;
const SPAN: i64 = 24 * HOUR;
const FUTURE: i64 = 2 * HOUR;
const PAST: i64 = 14 * 24 * HOUR;
/// The most that one answer holds.
pub(super) const ANSWER_EVENTS: usize = 10_000;
pub(super) const ANSWER_BYTES: usize = 1_048_576;

/// A sequence token, which clients may send and nobody looks at any more.
pub(super) fn sequence_token(appended: u64) -> String {
    format!("49{appended:054}")
}

pub(super) fn put(_: &Observe, cx: &mut Context, input: PutLogEventsRequest) -> Result<PutLogEventsResponse, ApiError> {
    let events = input.log_events;
    let bytes: usize = events.iter().map(|event| event.message.len() + EVENT_OVERHEAD).sum();
    if bytes > BATCH_BYTES {
        return Err(texts::upload_too_large(bytes, BATCH_BYTES));
    }
    if events.windows(2).any(|pair| pair[0].timestamp > pair[1].timestamp) {
        return Err(texts::not_chronological());
    }
    if let (Some(first), Some(last)) = (events.first(), events.last())
        && last.timestamp.saturating_sub(first.timestamp) > SPAN
    {
        return Err(texts::spans_too_long());
    }
    let (scope, now) = (cx.scope.clone(), cx.now);
    let view = cx.view();
    let stream = streams::find(view, &scope, &input.log_group_name, &input.log_stream_name)?;
    let retention = groups::find(view, &scope, &input.log_group_name)?.retention;
    let (kept, rejected) = sift(&events, now, retention);
    let records: Vec<(Timestamp, Vec<u8>)> = events
        .get(kept)
        .unwrap_or_default()
        .iter()
        .map(|event| {
            let record = Event { ingested: now, message: event.message.clone(), position: None };
            (Timestamp(event.timestamp), record::encode(&record))
        })
        .collect();
    let store = cx.store().streams().map_err(internal)?;
    let appended = if records.is_empty() {
        store.stats(&stream.records).map_err(internal)?.map_or(0, |stats| stats.appended)
    } else {
        // What is acknowledged is on the disk. The wait is that of one sync, which concurrent calls share.
        store.append(&stream.records, records).wait_blocking().map_err(internal)?
    };
    Ok(PutLogEventsResponse {
        next_sequence_token: Some(sequence_token(appended)),
        rejected_log_events_info: rejected,
        rejected_entity_info: None,
    })
}

/// Which of the events, which are in order of time, are neither too old, expired nor too new.
fn sift(
    events: &[InputLogEvent],
    now: Timestamp,
    retention: Option<i32>,
) -> (std::ops::Range<usize>, Option<RejectedLogEventsInfo>) {
    let before = |limit: i64| events.partition_point(|event| event.timestamp < limit);
    let too_old = before(now.millis() - PAST);
    let expired = retention.map_or(0, |days| before(kept_since(days, now).millis()));
    let too_new = events.partition_point(|event| event.timestamp <= now.millis() + FUTURE);
    let start = too_old.max(expired);
    let index = |at: usize| i32::try_from(at).ok();
    let info = RejectedLogEventsInfo {
        too_new_log_event_start_index: index(too_new).filter(|_| too_new < events.len()),
        too_old_log_event_end_index: index(too_old).filter(|_| too_old > 0),
        expired_log_event_end_index: index(expired).filter(|_| expired > 0),
    };
    let rejected = start > 0 || too_new < events.len();
    (start..too_new.max(start), rejected.then_some(info))
}

pub(super) fn get(_: &Observe, cx: &mut Context, input: GetLogEventsRequest) -> Result<GetLogEventsResponse, ApiError> {
    let scope = cx.scope.clone();
    let view = cx.view();
    let group = groups::chosen(view, &scope, input.log_group_name.as_deref(), input.log_group_identifier.as_deref())?;
    let stream = streams::find(view, &scope, &group.name, &input.log_stream_name)?;
    let token = input.next_token.as_deref().map(|token| Token::parse(token).ok_or_else(texts::bad_next_token));
    let token = token.transpose()?;
    let retained = group.retention.map_or(0, |days| kept_since(days, cx.now).millis());
    let start = Position::at(Timestamp(input.start_time.unwrap_or(0).max(retained)));
    let end = input.end_time.map(|end| Position::at(Timestamp(end)));
    let limit = super::page::limit(input.limit, ANSWER_EVENTS);
    let from_head = input.start_from_head == Some(true);
    let forward = token.map_or(from_head, |token| token.forward);

    let lower = match token {
        Some(Token { forward: true, at }) if at >= start => Bound::Excluded(at),
        _ => Bound::Included(start),
    };
    let upper = match (token, end) {
        (Some(Token { forward: false, at }), end) => Bound::Excluded(end.map_or(at, |end| end.min(at))),
        (_, Some(end)) => Bound::Excluded(end),
        (_, None) => Bound::Unbounded,
    };
    let entries = if is_empty(lower, upper) {
        Vec::new()
    } else {
        let records = cx.store().streams().map_err(internal)?;
        let mut entries = if forward {
            records.read(&stream.records, (lower, upper), limit).map_err(internal)?
        } else {
            records.read_back(&stream.records, (lower, upper), limit).map_err(internal)?
        };
        fit(&mut entries);
        if !forward {
            entries.reverse();
        }
        entries
    };
    // Where nothing more is there, the token that was sent comes back: that is how clients know.
    let rest = token.map_or(end.filter(|_| !forward).unwrap_or(start), |token| token.at);
    let (first, last) = match (entries.first(), entries.last()) {
        (Some(first), Some(last)) => (first.position, last.position),
        _ => (rest, rest),
    };
    let events = entries.iter().filter_map(|entry| {
        let event: Event = record::decode(&entry.data)?;
        Some(OutputLogEvent {
            timestamp: Some(entry.position.timestamp.millis()),
            message: Some(event.message),
            ingestion_time: Some(event.ingested.millis()),
        })
    });
    Ok(GetLogEventsResponse {
        events: Some(events.collect()),
        next_forward_token: Some(Token { forward: true, at: last }.text()),
        next_backward_token: Some(Token { forward: false, at: first }.text()),
    })
}

/// Whether no position lies between the bounds; such a range must not be asked for.
fn is_empty(lower: Bound<Position>, upper: Bound<Position>) -> bool {
    match (lower, upper) {
        (Bound::Included(a) | Bound::Excluded(a), Bound::Excluded(b)) => a >= b,
        _ => false,
    }
}

/// Leaves what one answer holds.
fn fit(entries: &mut Vec<Entry>) {
    let mut bytes = 0;
    let mut kept = 0;
    for entry in entries.iter() {
        bytes += entry.data.len();
        if bytes > ANSWER_BYTES && kept > 0 {
            break;
        }
        kept += 1;
    }
    entries.truncate(kept);
}

/// Where to go on: after or before a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Token {
    forward: bool,
    at: Position,
}

impl Token {
    /// `f/` or `b/`, 56 digits, `/s`.
    fn text(self) -> String {
        let Position { timestamp, sequence } = self.at;
        format!("{}/{:036}{sequence:020}/s", if self.forward { 'f' } else { 'b' }, timestamp.millis())
    }

    fn parse(text: &str) -> Option<Self> {
        let forward = match text.get(..2)? {
            "f/" => true,
            "b/" => false,
            _ => return None,
        };
        let digits = text[2..].strip_suffix("/s").filter(|d| d.len() == 56 && d.bytes().all(|b| b.is_ascii_digit()))?;
        let (timestamp, sequence) = digits.split_at(36);
        let at = Position { timestamp: Timestamp(timestamp.parse().ok()?), sequence: sequence.parse().ok()? };
        Some(Self { forward, at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_a_round_trip() {
        let token = Token { forward: false, at: Position { timestamp: Timestamp(1_790_000_000_000), sequence: 7 } };
        assert_eq!(token.text().len(), 60);
        assert_eq!(Token::parse(&token.text()), Some(token));
        for text in ["", "f/", "f/12/s", "x/00", "€uro"] {
            assert_eq!(Token::parse(text), None, "{text}");
        }
    }

    #[test]
    fn events_out_of_their_time_are_rejected() {
        let now = Timestamp(1_790_000_000_000);
        let event = |offset: i64| InputLogEvent { timestamp: now.millis() + offset, message: "m".to_owned() };
        let (kept, info) = sift(&[event(-15 * 24 * HOUR), event(-HOUR), event(0), event(3 * HOUR)], now, None);
        let info = info.expect("some are rejected");
        assert_eq!(kept, 1..3);
        assert_eq!((info.too_old_log_event_end_index, info.too_new_log_event_start_index), (Some(1), Some(3)));
        assert_eq!(sift(&[event(0)], now, Some(1)), (0..1, None));
        let (kept, info) = sift(&[event(-25 * HOUR), event(0)], now, Some(1));
        assert_eq!((kept, info.and_then(|info| info.expired_log_event_end_index)), (1..2, Some(1)));
    }
}
