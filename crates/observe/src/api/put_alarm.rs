//! `PutMetricAlarm`: what an alarm may ask for.

use super::internal;
use super::metrics::dimensions;
use crate::aggregate::Statistic;
use crate::alarms::history::{self, Item};
use crate::alarms::row::{Actions, Alarm, Draft, Watched};
use crate::{Observe, texts};
use gateway::Context;
use model::cloudwatch::PutMetricAlarmInput;
use std::collections::BTreeMap;
use tracking::alarm::{Comparison, Missing, Rule};
use types::ApiError;

const DAY: i64 = 86_400;
const HOUR: u32 = 3600;

pub(super) fn put(_: &Observe, cx: &mut Context, input: PutMetricAlarmInput) -> Result<wire::Unit, ApiError> {
    refuse(&input)?;
    let draft = draft(input)?;
    let (scope, now) = (cx.scope.clone(), cx.now);
    let before = cx.tx().get::<Alarm>(&scope, &draft.name);
    let alarm = Alarm::put(draft, before.as_deref(), now);
    let item = Item::put(&scope, &alarm, before.is_none());
    history::append(cx.store(), &scope, now, &[item]).map_err(internal)?.wait_blocking().map_err(internal)?;
    cx.tx().put(&scope, alarm);
    Ok(wire::Unit)
}

/// What AWS has and that is not here.
fn refuse(input: &PutMetricAlarmInput) -> Result<(), ApiError> {
    let absent = if input.metrics.as_ref().is_some_and(|metrics| !metrics.is_empty()) {
        "metric math in cloudwatch:PutMetricAlarm"
    } else if input.threshold_metric_id.is_some() {
        "anomaly detection in cloudwatch:PutMetricAlarm"
    } else if input.evaluation_window.is_some()
        || input.warm_up_configuration.is_some()
        || input.evaluation_criteria.is_some()
        || input.evaluation_interval.is_some()
        || input.action_configuration.is_some()
    {
        "evaluation windows, criteria and intervals, warm-up and action configurations in cloudwatch:PutMetricAlarm"
    } else {
        return Ok(());
    };
    Err(ApiError::not_implemented(absent))
}

fn required<T>(value: Option<T>, name: &str) -> Result<T, ApiError> {
    value.ok_or_else(|| texts::missing_parameter(name))
}

fn draft(input: PutMetricAlarmInput) -> Result<Draft, ApiError> {
    let metric = required(input.metric_name, "MetricName")?;
    let namespace = required(input.namespace, "Namespace")?;
    let period = period(required(input.period, "Period")?)?;
    let statistic = match (input.statistic, input.extended_statistic) {
        (Some(_), Some(_)) => return Err(texts::exclusive("Statistic", "ExtendedStatistic")),
        (Some(statistic), None) => statistic,
        (None, Some(extended)) => match Statistic::parse(&extended) {
            Some(Statistic::Percentile(_)) => extended,
            _ => return Err(ApiError::not_implemented(format!("the extended statistic {extended}"))),
        },
        (None, None) => return Err(texts::missing_parameter("Statistic")),
    };
    let periods = required(input.evaluation_periods, "EvaluationPeriods")?;
    let to_alarm = input.datapoints_to_alarm.unwrap_or(periods);
    if to_alarm > periods {
        return Err(texts::validation(format!(
            "The parameter DatapointsToAlarm must be less than or equal to EvaluationPeriods ({periods})."
        )));
    }
    let (most, said) = if period < HOUR { (DAY, "a day") } else { (7 * DAY, "a week") };
    if i64::from(periods) * i64::from(period) > most {
        return Err(texts::validation(format!(
            "Metrics cannot be checked across more than {said} (EvaluationPeriods * Period must be <= {most})."
        )));
    }
    let threshold = required(input.threshold, "Threshold")?;
    if !threshold.is_finite() {
        return Err(texts::invalid_value(format!("The value {threshold} for parameter Threshold is invalid.")));
    }
    let missing = match input.treat_missing_data.as_deref() {
        None | Some("missing") => Missing::Missing,
        Some("ignore") => Missing::Ignore,
        Some("breaching") => Missing::Breaching,
        Some("notBreaching") => Missing::NotBreaching,
        Some(other) => return Err(texts::not_supported("TreatMissingData", other)),
    };
    let percentile = match Statistic::parse(&statistic) {
        Some(Statistic::Percentile(percent)) => Some(percent),
        _ => None,
    };
    let patient_percentile = match input.evaluate_low_sample_count_percentile.as_deref() {
        None | Some("evaluate") => None,
        Some("ignore") => percentile,
        Some(other) => return Err(texts::not_supported("EvaluateLowSampleCountPercentile", other)),
    };
    let given = input.dimensions.unwrap_or_default();
    let pairs = given.iter().map(|dimension| (dimension.name.clone(), dimension.value.clone())).collect();
    dimensions(given, "Dimensions")?;
    let tags: BTreeMap<_, _> = input.tags.into_iter().flatten().map(|tag| (tag.key, tag.value)).collect();
    super::alarms::check_tags(&tags)?;
    Ok(Draft {
        name: input.alarm_name,
        description: input.alarm_description,
        actions_enabled: input.actions_enabled.unwrap_or(true),
        actions: Actions {
            ok: actions(input.ok_actions, "OKActions")?,
            alarm: actions(input.alarm_actions, "AlarmActions")?,
            insufficient_data: actions(input.insufficient_data_actions, "InsufficientDataActions")?,
        },
        watched: Watched { namespace, metric, dimensions: pairs, statistic, period, unit: input.unit },
        rule: Rule {
            comparison: comparison(&required(input.comparison_operator, "ComparisonOperator")?)?,
            threshold,
            // The model's constraints have seen to it that these are positive.
            periods: usize::try_from(periods).unwrap_or(1),
            to_alarm: usize::try_from(to_alarm).unwrap_or(1),
            missing,
            patient_percentile,
        },
        datapoints_to_alarm: input.datapoints_to_alarm,
        treat_missing_data: input.treat_missing_data,
        low_samples: input.evaluate_low_sample_count_percentile,
        tags,
    })
}

fn period(seconds: i32) -> Result<u32, ApiError> {
    match u32::try_from(seconds) {
        Ok(seconds) if matches!(seconds, 10 | 20 | 30) || (seconds > 0 && seconds % 60 == 0) => Ok(seconds),
        _ => Err(texts::validation("Period must be 10, 20, 30 or a multiple of 60")),
    }
}

fn comparison(operator: &str) -> Result<Comparison, ApiError> {
    Comparison::ALL
        .into_iter()
        .find(|comparison| comparison.as_str() == operator)
        .ok_or_else(|| ApiError::not_implemented(format!("anomaly detection, whose operator {operator} is,")))
}

fn actions(given: Option<Vec<String>>, member: &str) -> Result<Vec<String>, ApiError> {
    let given = given.unwrap_or_default();
    match given.iter().find(|action| !action.starts_with("arn:")) {
        Some(bad) => Err(texts::validation(format!("Invalid arn syntax: {bad} of parameter {member}"))),
        None => Ok(given),
    }
}
