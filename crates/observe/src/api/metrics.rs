//! Metrics: data put, and the list of what there is.

use super::{internal, page};
use crate::record::{self, Point};
use crate::rows::Metric;
use crate::{Observe, texts};
use gateway::Context;
use model::cloudwatch::{Dimension, ListMetricsInput, ListMetricsOutput, MetricDatum, PutMetricDataInput};
use std::collections::BTreeMap;
use std::sync::Arc;
use types::{ApiError, Timestamp};

const HOUR: i64 = 3_600_000;
/// Source of the limits: CloudWatch API reference, PutMetricData and ListMetrics.
const FUTURE: i64 = 2 * HOUR;
const PAST: i64 = 14 * 24 * HOUR;
const MOST_DATA: usize = 1000;
const MOST_DIMENSIONS: usize = 30;
const PAGE: usize = 500;
const RECENTLY: i64 = 3 * HOUR;

pub(super) fn put(_: &Observe, cx: &mut Context, input: PutMetricDataInput) -> Result<wire::Unit, ApiError> {
    if input.entity_metric_data.as_ref().is_some_and(|data| !data.is_empty()) {
        return Err(ApiError::not_implemented("metrics of entities"));
    }
    let data = input.metric_data.unwrap_or_default();
    if data.len() > MOST_DATA {
        return Err(texts::validation(format!(
            "The collection MetricData must not have a size greater than {MOST_DATA}."
        )));
    }
    let (scope, now) = (cx.scope.clone(), cx.now);
    let mut batches: BTreeMap<String, Vec<(Timestamp, Vec<u8>)>> = BTreeMap::new();
    let mut fresh = Vec::new();
    {
        let view = cx.view();
        let mut known: BTreeMap<String, Arc<Metric>> = BTreeMap::new();
        for (index, datum) in data.into_iter().enumerate() {
            if datum.storage_resolution.is_some_and(|seconds| seconds != 1 && seconds != 60) {
                return Err(texts::invalid_value(format!(
                    "The parameter MetricData.member.{}.StorageResolution must be 1 or 60.",
                    index + 1
                )));
            }
            let at = datum.timestamp.unwrap_or(now);
            let name = datum.metric_name.clone();
            let (point, dimensions) = point(datum, index + 1, now)?;
            let key = Metric::key(&input.namespace, &name, &dimensions);
            let metric = known.entry(key).or_insert_with_key(|key| {
                view.get::<Metric>(&scope, key).unwrap_or_else(|| {
                    let metric = Arc::new(Metric::new(&input.namespace, &name, dimensions));
                    fresh.push(Arc::clone(&metric));
                    metric
                })
            });
            batches.entry(metric.records.clone()).or_default().push((at, record::encode(&point)));
        }
    }
    if !fresh.is_empty() {
        let tx = cx.tx();
        for metric in &fresh {
            // Another call may have made it since the view was taken: its records are then where data goes.
            let key = Metric::key(&metric.namespace, &metric.name, &metric.dimensions);
            match tx.get::<Metric>(&scope, &key) {
                Some(present) => {
                    if let Some(batch) = batches.remove(&metric.records) {
                        batches.entry(present.records.clone()).or_default().extend(batch);
                    }
                }
                None => {
                    tx.put::<Metric>(&scope, Arc::clone(metric));
                }
            }
        }
    }
    let streams = cx.store().streams().map_err(internal)?;
    let tickets: Vec<_> = batches.into_iter().map(|(stream, batch)| streams.append(&stream, batch)).collect();
    for ticket in tickets {
        ticket.wait_blocking().map_err(internal)?;
    }
    Ok(wire::Unit)
}

/// What a datum says, checked; `number` is its place in the request, from 1.
fn point(datum: MetricDatum, number: usize, now: Timestamp) -> Result<(Point, BTreeMap<String, String>), ApiError> {
    let member = |name: &str| format!("MetricData.member.{number}.{name}");
    let exclusive = |a: &str, b: &str| {
        texts::invalid_combination(format!(
            "The parameters {} and {} are mutually exclusive and you have specified both.",
            member(a),
            member(b)
        ))
    };
    if let Some(at) = datum.timestamp {
        if at.millis() < now.millis() - PAST {
            let text = format!(
                "The parameter {} must specify a time no more than two weeks in the past.",
                member("Timestamp")
            );
            return Err(texts::invalid_value(text));
        }
        if at.millis() > now.millis() + FUTURE {
            let text = format!(
                "The parameter {} must specify a time no more than two hours in the future.",
                member("Timestamp")
            );
            return Err(texts::invalid_value(text));
        }
    }
    let finite = |name: &str, value: f64| {
        if value.is_finite() {
            Ok(value)
        } else {
            Err(texts::invalid_value(format!("The value {value} for parameter {} is invalid.", member(name))))
        }
    };
    let values = datum.values.filter(|values| !values.is_empty());
    let weighted = match (datum.value, values, &datum.statistic_values) {
        (Some(_), Some(_), _) => return Err(exclusive("Value", "Values")),
        (Some(_), None, Some(_)) => return Err(exclusive("Value", "StatisticValues")),
        (None, Some(_), Some(_)) => return Err(exclusive("Values", "StatisticValues")),
        (Some(value), None, None) => vec![(finite("Value", value)?, 1.0)],
        (None, Some(values), None) => {
            let counts = datum.counts.unwrap_or_else(|| vec![1.0; values.len()]);
            if counts.len() != values.len() {
                return Err(texts::invalid_value(format!(
                    "The parameters {} and {} must be of the same size.",
                    member("Values"),
                    member("Counts")
                )));
            }
            let mut weighted = Vec::with_capacity(values.len());
            for (value, count) in values.into_iter().zip(counts) {
                weighted.push((finite("Values", value)?, finite("Counts", count)?));
            }
            weighted
        }
        (None, None, Some(_)) => Vec::new(),
        (None, None, None) => {
            return Err(texts::invalid_value(format!(
                "At least one of the parameters {}, {} or {} must be specified.",
                member("Value"),
                member("Values"),
                member("StatisticValues")
            )));
        }
    };
    let point = match datum.statistic_values {
        Some(set) => Point {
            count: finite("StatisticValues.SampleCount", set.sample_count)?,
            sum: finite("StatisticValues.Sum", set.sum)?,
            least: finite("StatisticValues.Minimum", set.minimum)?,
            most: finite("StatisticValues.Maximum", set.maximum)?,
            values: Vec::new(),
            unit: datum.unit,
        },
        None => Point {
            count: weighted.iter().map(|(_, count)| count).sum(),
            sum: weighted.iter().map(|(value, count)| value * count).sum(),
            least: weighted.iter().map(|(value, _)| *value).fold(f64::INFINITY, f64::min),
            most: weighted.iter().map(|(value, _)| *value).fold(f64::NEG_INFINITY, f64::max),
            values: weighted,
            unit: datum.unit,
        },
    };
    // Sums of finite values may still overflow.
    if !(point.sum.is_finite() && point.count.is_finite()) {
        return Err(texts::invalid_value(format!(
            "The value {} for parameter {} is invalid.",
            point.sum,
            member("Values")
        )));
    }
    Ok((point, dimensions(datum.dimensions.unwrap_or_default(), &member("Dimensions"))?))
}

pub(super) fn dimensions(given: Vec<Dimension>, member: &str) -> Result<BTreeMap<String, String>, ApiError> {
    let count = given.len();
    if count > MOST_DIMENSIONS {
        let text = format!("The collection {member} must not have a size greater than {MOST_DIMENSIONS}.");
        return Err(texts::invalid_value(text));
    }
    let dimensions: BTreeMap<String, String> = given.into_iter().map(|d| (d.name, d.value)).collect();
    if dimensions.len() < count {
        return Err(texts::invalid_value(format!("No Dimension name may be repeated in {member}.")));
    }
    Ok(dimensions)
}

pub(super) fn list(_: &Observe, cx: &mut Context, input: ListMetricsInput) -> Result<ListMetricsOutput, ApiError> {
    if input.owning_account.is_some() || input.include_linked_accounts == Some(true) {
        return Err(ApiError::not_implemented("metrics of linked accounts"));
    }
    let after = input.next_token.as_deref().map(|token| page::key(token).ok_or_else(texts::bad_metrics_token));
    let after = after.transpose()?;
    let scope = cx.scope.clone();
    let since = input.recently_active.is_some().then(|| cx.now.millis() - RECENTLY);
    let streams = cx.store().streams().map_err(internal)?;
    let wanted = input.dimensions.unwrap_or_default();
    let has = |metric: &Metric| {
        wanted.iter().all(|filter| {
            let have = metric.dimensions.get(&filter.name);
            have.is_some_and(|have| filter.value.as_ref().is_none_or(|value| value == have))
        })
    };
    let mut found = Vec::new();
    let mut failure = None;
    for metric in cx.view().scan_from::<Metric>(&scope, after.as_deref().unwrap_or_default()) {
        let key = Metric::key(&metric.namespace, &metric.name, &metric.dimensions);
        let fits = input.namespace.as_ref().is_none_or(|namespace| *namespace == metric.namespace)
            && input.metric_name.as_ref().is_none_or(|name| *name == metric.name)
            && after.as_ref() != Some(&key)
            && has(metric);
        if !fits {
            continue;
        }
        if let Some(since) = since {
            match streams.stats(&metric.records) {
                Ok(stats) if stats.and_then(|s| s.last).is_some_and(|last| last.timestamp.millis() >= since) => {}
                Ok(_) => continue,
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        found.push((key, Arc::clone(metric)));
        if found.len() > PAGE {
            break;
        }
    }
    if let Some(error) = failure {
        return Err(internal(error));
    }
    let (found, next_token) = page::take(found.into_iter(), PAGE, |(key, _)| key.clone());
    let metrics = found.iter().map(|(_, metric)| model::cloudwatch::Metric {
        namespace: Some(metric.namespace.clone()),
        metric_name: Some(metric.name.clone()),
        dimensions: Some(
            metric
                .dimensions
                .iter()
                .map(|(name, value)| Dimension { name: name.clone(), value: value.clone() })
                .collect(),
        ),
    });
    Ok(ListMetricsOutput { metrics: Some(metrics.collect()), next_token, owning_accounts: None })
}
