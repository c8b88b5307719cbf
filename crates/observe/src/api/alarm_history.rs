//! `DescribeAlarmHistory`.

use super::{internal, page};
use crate::alarms::history::{self, Item};
use crate::{Observe, texts};
use gateway::Context;
use model::cloudwatch::{AlarmHistoryItem, DescribeAlarmHistoryInput, DescribeAlarmHistoryOutput, alarm_type, scan_by};
use std::ops::Bound;
use store::{Entry, Position};
use types::{ApiError, Timestamp};

const MOST: usize = 100;
/// How many records are read at once.
const CHUNK: usize = 1024;

pub(super) fn describe(
    _: &Observe,
    cx: &mut Context,
    input: DescribeAlarmHistoryInput,
) -> Result<DescribeAlarmHistoryOutput, ApiError> {
    if input.alarm_contributor_id.is_some() {
        return Err(ApiError::not_implemented("contributors of alarms"));
    }
    let metric_alarms = input
        .alarm_types
        .as_ref()
        .is_none_or(|types| types.is_empty() || types.iter().any(|wanted| wanted == alarm_type::METRIC_ALARM));
    let newest_first = input.scan_by.as_deref() != Some(scan_by::TIMESTAMP_ASCENDING);
    let mut lower = Bound::Included(Position::at(input.start_date.unwrap_or(Timestamp(i64::MIN))));
    let end = input.end_date.map_or(i64::MAX, |end| end.0.saturating_add(1));
    let mut upper = Bound::Excluded(Position::at(Timestamp(end)));
    if let Some(token) = &input.next_token {
        let position = position(token).ok_or_else(texts::bad_metrics_token)?;
        *(if newest_first { &mut upper } else { &mut lower }) = Bound::Excluded(position);
    }
    let limit = page::limit(input.max_records, MOST);
    let streams = cx.store().streams().map_err(internal)?;
    let name = history::stream(&cx.scope);
    let mut found: Vec<(Position, Item)> = Vec::new();
    while metric_alarms && found.len() <= limit {
        let read = if newest_first {
            streams.read_back(&name, (lower, upper), CHUNK)
        } else {
            streams.read(&name, (lower, upper), CHUNK)
        };
        let entries: Vec<Entry> = read.map_err(internal)?;
        let Some(last) = entries.last().map(|entry| entry.position) else { break };
        *(if newest_first { &mut upper } else { &mut lower }) = Bound::Excluded(last);
        found.extend(entries.iter().filter_map(|entry| {
            let item: Item = crate::record::decode(&entry.data)?;
            let fits = input.alarm_name.as_ref().is_none_or(|name| *name == item.alarm)
                && input.history_item_type.as_ref().is_none_or(|kind| kind == item.kind.as_str());
            fits.then_some((entry.position, item))
        }));
        if entries.len() < CHUNK {
            break;
        }
    }
    let (found, next_token) =
        page::take(found.into_iter(), limit, |(at, _)| format!("{} {}", at.timestamp.0, at.sequence));
    let shape = |(at, item): (Position, Item)| AlarmHistoryItem {
        alarm_name: Some(item.alarm),
        alarm_type: Some(alarm_type::METRIC_ALARM.to_owned()),
        timestamp: Some(at.timestamp),
        history_item_type: Some(item.kind.as_str().to_owned()),
        history_summary: Some(item.summary),
        history_data: Some(item.data),
        ..AlarmHistoryItem::default()
    };
    Ok(DescribeAlarmHistoryOutput { alarm_history_items: Some(found.into_iter().map(shape).collect()), next_token })
}

/// Where a page ended.
fn position(token: &str) -> Option<Position> {
    let key = page::key(token)?;
    let (at, sequence) = key.split_once(' ')?;
    Some(Position { timestamp: Timestamp(at.parse().ok()?), sequence: sequence.parse().ok()? })
}
