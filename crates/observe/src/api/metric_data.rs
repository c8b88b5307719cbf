//! Statistics of metrics over time.

use super::internal;
use super::metrics::dimensions;
use crate::aggregate::Statistic;
use crate::rows::Metric;
use crate::series::{self, Grid};
use crate::{Observe, texts};
use gateway::Context;
use model::cloudwatch::{
    GetMetricDataInput, GetMetricDataOutput, MetricDataQuery, MetricDataResult, MetricStat, scan_by, status_code,
};
use std::collections::BTreeMap;
use store::{Streams, View};
use types::{ApiError, Scope, Timestamp};

/// The most data points that one answer holds.
const MOST_POINTS: usize = 100_800;

pub(super) fn get(_: &Observe, cx: &mut Context, input: GetMetricDataInput) -> Result<GetMetricDataOutput, ApiError> {
    if input.start_time >= input.end_time {
        return Err(texts::validation("The parameter StartTime must be less than the parameter EndTime."));
    }
    if input.label_options.is_some() {
        return Err(ApiError::not_implemented("time zones of metrics' labels"));
    }
    if input.next_token.is_some() {
        return Err(texts::bad_metrics_token());
    }
    let scope = cx.scope.clone();
    let streams = cx.store().streams().map_err(internal)?;
    let descending = input.scan_by.as_deref() != Some(scan_by::TIMESTAMP_ASCENDING);
    let most = input.max_datapoints.and_then(|n| usize::try_from(n).ok()).unwrap_or(MOST_POINTS).clamp(1, MOST_POINTS);
    let mut left = most;
    let mut results = Vec::new();
    for (index, query) in input.metric_data_queries.into_iter().enumerate() {
        let MetricDataQuery { id, metric_stat, expression, label, return_data, account_id, .. } = query;
        if expression.is_some() {
            return Err(ApiError::not_implemented("metric math in cloudwatch:GetMetricData"));
        }
        if account_id.is_some_and(|account| account != scope.account.as_str()) {
            return Err(ApiError::not_implemented("metrics of other accounts"));
        }
        let Some(stat) = metric_stat else {
            let text =
                format!("The parameter MetricDataQueries.member.{}.MetricStat or Expression is required.", index + 1);
            return Err(texts::validation(text));
        };
        if return_data == Some(false) {
            continue;
        }
        let name = stat.metric.metric_name.clone().unwrap_or_default();
        let series = values(cx.view(), &streams, &scope, stat, (input.start_time, input.end_time))?;
        let mut points: Vec<(Timestamp, f64)> = series.into_iter().collect();
        if descending {
            points.reverse();
        }
        let whole = points.len() <= left;
        points.truncate(left);
        left -= points.len();
        let (timestamps, values) = points.into_iter().unzip();
        results.push(MetricDataResult {
            id: Some(id),
            label: Some(label.unwrap_or(name)),
            timestamps: Some(timestamps),
            values: Some(values),
            status_code: Some(if whole { status_code::COMPLETE } else { status_code::PARTIAL_DATA }.to_owned()),
            messages: None,
        });
    }
    Ok(GetMetricDataOutput { metric_data_results: Some(results), next_token: None, messages: Some(Vec::new()) })
}

/// The statistic of each period in which there is data, by the period's start.
fn values(
    view: &View,
    streams: &Streams,
    scope: &Scope,
    stat: MetricStat,
    (start, end): (Timestamp, Timestamp),
) -> Result<BTreeMap<Timestamp, f64>, ApiError> {
    let period = i64::from(stat.period);
    if !(matches!(period, 1 | 5 | 10 | 20 | 30) || period > 0 && period % 60 == 0) {
        let text = format!("Period must be 1, 5, 10, 20, 30 or a multiple of 60; it is {period}.");
        return Err(texts::invalid_value(text));
    }
    let statistic = Statistic::parse(&stat.stat)
        .ok_or_else(|| texts::invalid_value(format!("The value {} for parameter Stat is not supported.", stat.stat)))?;
    let metric = stat.metric;
    let dimensions = dimensions(metric.dimensions.unwrap_or_default(), "Dimensions")?;
    let (namespace, name) = (metric.namespace.unwrap_or_default(), metric.metric_name.unwrap_or_default());
    let Some(row) = view.get::<Metric>(scope, &Metric::key(&namespace, &name, &dimensions)) else {
        return Ok(BTreeMap::new());
    };
    let grid = Grid { origin: Timestamp(0), step: period * 1000 };
    let windows = series::windows(streams, &row.records, (start, end), grid, stat.unit.as_deref()).map_err(internal)?;
    Ok(windows.into_iter().filter_map(|(at, window)| Some((at, window.value(statistic)?))).collect())
}
