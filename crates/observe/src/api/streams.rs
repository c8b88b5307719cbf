//! Log streams.

use super::{groups, internal, page};
use crate::record::{self, Event};
use crate::rows::{LogGroup, LogStream};
use crate::{Observe, texts};
use gateway::Context;
use model::logs::{
    CreateLogStreamRequest, DeleteLogStreamRequest, DescribeLogStreamsRequest, DescribeLogStreamsResponse, order_by,
};
use std::sync::Arc;
use store::{Streams, View};
use types::{ApiError, Scope};

const MOST: usize = 50;

/// The stream, or AWS's word that it or its group is not there.
pub(super) fn find(view: &View, scope: &Scope, group: &str, stream: &str) -> Result<Arc<LogStream>, ApiError> {
    groups::find(view, scope, group)?;
    view.get::<LogStream>(scope, &LogStream::key(group, stream)).ok_or_else(texts::no_such_stream)
}

pub(super) fn create(_: &Observe, cx: &mut Context, input: CreateLogStreamRequest) -> Result<wire::Unit, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let group: Arc<LogGroup> = groups::find(tx, &scope, &input.log_group_name)?;
    if tx.contains::<LogStream>(&scope, &LogStream::key(&group.name, &input.log_stream_name)) {
        return Err(texts::stream_exists());
    }
    tx.put(&scope, LogStream::new(&group.name, &input.log_stream_name, now));
    Ok(wire::Unit)
}

/// Deletes the stream; its records are deleted by the keeper.
pub(super) fn delete(_: &Observe, cx: &mut Context, input: DeleteLogStreamRequest) -> Result<wire::Unit, ApiError> {
    let scope = cx.scope.clone();
    let tx = cx.tx();
    find(tx, &scope, &input.log_group_name, &input.log_stream_name)?;
    tx.delete::<LogStream>(&scope, &LogStream::key(&input.log_group_name, &input.log_stream_name));
    Ok(wire::Unit)
}

pub(super) fn describe(
    _: &Observe,
    cx: &mut Context,
    input: DescribeLogStreamsRequest,
) -> Result<DescribeLogStreamsResponse, ApiError> {
    let by_time = input.order_by.as_deref() == Some(order_by::LAST_EVENT_TIME);
    if by_time && input.log_stream_name_prefix.is_some() {
        return Err(texts::prefix_with_last_event_time());
    }
    let after = input.next_token.as_deref().map(|token| page::key(token).ok_or_else(texts::bad_next_token));
    let after = after.transpose()?;
    let scope = cx.scope.clone();
    let records = cx.store().streams().map_err(internal)?;
    let view = cx.view();
    let group = groups::chosen(view, &scope, input.log_group_name.as_deref(), input.log_group_identifier.as_deref())?;
    let prefix = input.log_stream_name_prefix.unwrap_or_default();
    let mut rows: Vec<&Arc<LogStream>> = LogStream::all(view, &scope, &group.name, &prefix).collect();
    if by_time {
        let mut timed = Vec::with_capacity(rows.len());
        for row in rows {
            let last = records.stats(&row.records).map_err(internal)?.and_then(|stats| stats.last);
            timed.push((last.map(|last| last.timestamp), row));
        }
        timed.sort_by_key(|(last, row)| (*last, row.name.clone()));
        rows = timed.into_iter().map(|(_, row)| row).collect();
    }
    if input.descending == Some(true) {
        rows.reverse();
    }
    let start = after.map_or(0, |after| rows.iter().position(|row| row.name == after).map_or(rows.len(), |at| at + 1));
    let rest = rows.into_iter().skip(start);
    let (rows, next_token) = page::take(rest, page::limit(input.limit, MOST), |row| row.name.clone());
    let described: Result<_, ApiError> = rows.into_iter().map(|row| described(&records, &scope, row)).collect();
    Ok(DescribeLogStreamsResponse { log_streams: Some(described?), next_token })
}

fn described(records: &Streams, scope: &Scope, row: &LogStream) -> Result<model::logs::LogStream, ApiError> {
    let stats = records.stats(&row.records).map_err(internal)?;
    let newest = records.read_back(&row.records, .., 1).map_err(internal)?;
    let ingested = newest.first().and_then(|entry| record::decode::<Event>(&entry.data)).map(|event| event.ingested);
    let first = stats.and_then(|stats| stats.first);
    let last = stats.and_then(|stats| stats.last);
    Ok(model::logs::LogStream {
        log_stream_name: Some(row.name.clone()),
        creation_time: Some(row.created.millis()),
        first_event_timestamp: first.map(|first| first.timestamp.millis()),
        last_event_timestamp: last.map(|last| last.timestamp.millis()),
        last_ingestion_time: ingested.map(types::Timestamp::millis),
        upload_sequence_token: Some(super::events::sequence_token(stats.map_or(0, |stats| stats.appended))),
        arn: Some(row.arn(scope)),
        // AWS has shown 0 for every stream since 2019.
        stored_bytes: Some(0),
    })
}
