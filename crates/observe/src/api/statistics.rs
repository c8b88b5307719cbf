//! `GetMetricStatistics`: several statistics of one metric over time.

use super::internal;
use super::metrics::dimensions;
use crate::aggregate::Statistic;
use crate::rows::Metric;
use crate::series::{self, Grid};
use crate::{Observe, texts};
use gateway::Context;
use model::cloudwatch::{Datapoint, GetMetricStatisticsInput, GetMetricStatisticsOutput};
use types::ApiError;

/// Source: CloudWatch API reference, GetMetricStatistics.
const MOST_POINTS: i64 = 1440;

pub(super) fn get(
    _: &Observe,
    cx: &mut Context,
    input: GetMetricStatisticsInput,
) -> Result<GetMetricStatisticsOutput, ApiError> {
    let (start, end) = (input.start_time, input.end_time);
    if start >= end {
        return Err(texts::invalid_value("The parameter StartTime must be less than the parameter EndTime."));
    }
    let period = i64::from(input.period);
    if !(matches!(period, 1 | 5 | 10 | 20 | 30) || period > 0 && period % 60 == 0) {
        return Err(texts::invalid_value("The parameter Period must be a multiple of 60."));
    }
    let plain = input.statistics.unwrap_or_default();
    let extended = input.extended_statistics.unwrap_or_default();
    if plain.is_empty() && extended.is_empty() {
        return Err(texts::missing_parameter("Statistics"));
    }
    let percentiles = extended.iter().map(|text| match Statistic::parse(text) {
        Some(statistic @ Statistic::Percentile(_)) => Ok((text.clone(), statistic)),
        _ => Err(ApiError::not_implemented(format!("the extended statistic {text}"))),
    });
    let percentiles = percentiles.collect::<Result<Vec<_>, _>>()?;
    let step = period * 1000;
    let asked = end.0.saturating_sub(start.0).saturating_add(step - 1) / step;
    if asked > MOST_POINTS {
        return Err(texts::too_many_datapoints(asked, MOST_POINTS));
    }
    let dimensions = dimensions(input.dimensions.unwrap_or_default(), "Dimensions")?;
    let scope = cx.scope.clone();
    let streams = cx.store().streams().map_err(internal)?;
    let row = cx.view().get::<Metric>(&scope, &Metric::key(&input.namespace, &input.metric_name, &dimensions));
    let mut datapoints = Vec::new();
    if let Some(row) = row {
        let grid = Grid { origin: types::Timestamp(0), step };
        let unit = input.unit.as_deref();
        let windows = series::windows(&streams, &row.records, (start, end), grid, unit).map_err(internal)?;
        for (at, window) in windows {
            let wanted = |statistic: Statistic, name: &str| {
                plain.iter().any(|asked| asked == name).then(|| window.value(statistic)).flatten()
            };
            let percentiles =
                percentiles.iter().filter_map(|(name, statistic)| Some((name.clone(), window.value(*statistic)?)));
            datapoints.push(Datapoint {
                timestamp: Some(at),
                sample_count: wanted(Statistic::SampleCount, "SampleCount"),
                average: wanted(Statistic::Average, "Average"),
                sum: wanted(Statistic::Sum, "Sum"),
                minimum: wanted(Statistic::Minimum, "Minimum"),
                maximum: wanted(Statistic::Maximum, "Maximum"),
                unit: Some(window.unit().to_owned()),
                extended_statistics: (!extended.is_empty()).then(|| percentiles.collect()),
            });
        }
    }
    Ok(GetMetricStatisticsOutput { label: Some(input.metric_name), datapoints: Some(datapoints) })
}
