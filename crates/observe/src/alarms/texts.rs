//! CloudWatch's words for what alarms find. Sources: state reasons, reason data and history items as AWS's documentation and
//! users' notifications quote them (`Threshold Crossed: 2 out of the last 2 datapoints [5.53 (27/09/21 01:36:00), …]`).

use super::row::Alarm;
use serde::Serialize;
use serde_json::Value;
use tracking::alarm::{Comparison, Finding, Slot, State, Why};
use types::{Scope, Timestamp};

/// The reason of an alarm that was never evaluated.
pub(crate) const UNCHECKED: &str = "Unchecked: Initial alarm creation";

/// With so many data points the reason names the newest of them alone, and so many of those.
const MOST_NAMED: usize = 5;

/// `StateReason`.
pub(crate) fn reason(finding: &Finding, comparison: Comparison, threshold: f64) -> String {
    match &finding.why {
        Why::Crossed { points, of, minimum } => {
            let is_alarm = finding.state == State::Alarm;
            let count = points.len();
            let named: Vec<String> = points
                .iter()
                .take(MOST_NAMED)
                .map(|(at, value)| format!("{} ({})", number(*value), day_and_time(*at)))
                .collect();
            let named = named.join(", ");
            let verb = if count == 1 { "was" } else { "were" };
            let not = if is_alarm { "" } else { "not " };
            let said = format!("{verb} {not}{} the threshold ({})", words(comparison), number(threshold));
            let of_last = format!("Threshold Crossed: {count} out of the last {of} datapoints");
            let transition = if is_alarm { "OK -> ALARM" } else { "ALARM -> OK" };
            let minimum = format!("(minimum {} for {transition} transition).", counted(*minimum, "datapoint"));
            if count < MOST_NAMED {
                format!("{of_last} [{named}] {said} {minimum}")
            } else {
                let which = if is_alarm { "crossed" } else { "did not cross" };
                format!("{of_last} {said}. The most recent datapoints which {which} the threshold: [{named}] {minimum}")
            }
        }
        Why::Filled { received, periods, missing, as_breaching } => {
            let received = match received {
                0 => "no datapoints were received".to_owned(),
                1 => "1 datapoint was received".to_owned(),
                n => format!("{n} datapoints were received"),
            };
            let verb = if *missing == 1 { "was" } else { "were" };
            format!(
                "Threshold Crossed: {received} for {} and {} {verb} treated as [{}].",
                counted(*periods, "period"),
                counted(*missing, "missing datapoint"),
                if *as_breaching { "Breaching" } else { "NonBreaching" }
            )
        }
        Why::Unknown { periods } => {
            let verb = if *periods == 1 { "was" } else { "were" };
            format!("Insufficient Data: {} {verb} unknown.", counted(*periods, "datapoint"))
        }
    }
}

fn words(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::GreaterOrEqual => "greater than or equal to",
        Comparison::Greater => "greater than",
        Comparison::Less => "less than",
        Comparison::LessOrEqual => "less than or equal to",
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A number as Java writes a double: `70.0`, `1.0E-4`, `1.5E7`.
fn number(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 || (1e-3..1e7).contains(&size) || !value.is_finite() {
        return format!("{value:?}");
    }
    let text = format!("{value:E}");
    match text.split_once('E') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => format!("{mantissa}.0E{exponent}"),
        _ => text,
    }
}

fn date(at: Timestamp) -> time::OffsetDateTime {
    let at = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.0) * 1_000_000);
    at.unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
}

/// `27/09/21 01:36:00`.
fn day_and_time(at: Timestamp) -> String {
    let at = date(at);
    let (year, month, day) = (at.year().rem_euclid(100), u8::from(at.month()), at.day());
    format!("{day:02}/{month:02}/{year:02} {:02}:{:02}:{:02}", at.hour(), at.minute(), at.second())
}

/// `2024-07-16T13:14:42.817+0000`.
fn zoned(at: Timestamp) -> String {
    at.iso8601().replace('Z', "+0000")
}

/// `StateReasonData`.
pub(crate) fn reason_data(alarm: &Alarm, finding: &Finding, asked: Timestamp) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Data<'a> {
        version: &'static str,
        query_date: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        start_date: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        unit: Option<&'a str>,
        statistic: &'a str,
        period: u32,
        recent_datapoints: Vec<f64>,
        threshold: f64,
        evaluated_datapoints: Vec<Evaluated>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Evaluated {
        timestamp: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        sample_count: Option<f64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        value: Option<f64>,
    }
    let evaluated = |slot: &Slot| Evaluated {
        timestamp: zoned(slot.at),
        sample_count: slot.point.map(|point| point.samples),
        value: slot.point.map(|point| point.value),
    };
    let real: Vec<&Slot> = finding.evaluated.iter().rev().filter(|slot| slot.point.is_some()).collect();
    let data = Data {
        version: "1.0",
        query_date: zoned(asked),
        start_date: real.first().map(|slot| zoned(slot.at)),
        unit: alarm.watched.unit.as_deref(),
        statistic: &alarm.watched.statistic,
        period: alarm.watched.period,
        recent_datapoints: real.iter().filter_map(|slot| slot.point.map(|point| point.value)).collect(),
        threshold: alarm.rule.threshold,
        evaluated_datapoints: finding.evaluated.iter().map(evaluated).collect(),
    };
    serde_json::to_string(&data).unwrap_or_default()
}

/// `HistorySummary` of a new state.
pub(crate) fn updated(from: State, to: State) -> String {
    format!("Alarm updated from {} to {}", from.as_str(), to.as_str())
}

/// `HistorySummary` of an alarm that was `created`, `updated` or `deleted`.
pub(crate) fn configured(name: &str, what: &str) -> String {
    format!("Alarm \"{name}\" {what}")
}

/// `HistorySummary` of an action that was done.
pub(crate) fn executed(action: &str) -> String {
    format!("Successfully executed action {action}")
}

/// `HistorySummary` of an action that could not be done.
pub(crate) fn not_executed(action: &str, error: &str) -> String {
    format!("Failed to execute action {action}. Received error: \"{error}\"")
}

/// `HistoryData` of a new state.
pub(crate) fn state_data(before: &Alarm, after: &Alarm) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Data {
        version: &'static str,
        old_state: Told,
        new_state: Told,
    }
    #[derive(Serialize)]
    struct Told {
        #[serde(rename = "stateValue")]
        state: State,
        #[serde(rename = "stateReason")]
        reason: String,
        #[serde(rename = "stateReasonData", skip_serializing_if = "Option::is_none")]
        data: Option<Value>,
    }
    let told = |alarm: &Alarm| Told {
        state: alarm.state,
        reason: alarm.reason.clone(),
        data: alarm.reason_data.as_deref().and_then(|data| serde_json::from_str(data).ok()),
    };
    let data = Data { version: "1.0", old_state: told(before), new_state: told(after) };
    serde_json::to_string(&data).unwrap_or_default()
}

/// `HistoryData` of an alarm that was put or deleted; `kind` is `Create`, `Update` or `Delete`.
pub(crate) fn configuration_data(kind: &'static str, scope: &Scope, alarm: &Alarm) -> String {
    let member = match kind {
        "Create" => "createdAlarm",
        "Update" => "updatedAlarm",
        _ => "deletedAlarm",
    };
    let dimensions: Vec<Value> = alarm
        .watched
        .dimensions
        .iter()
        .map(|(name, value)| serde_json::json!({ "name": name, "value": value }))
        .collect();
    let mut described = serde_json::json!({
        "alarmName": alarm.name,
        "alarmArn": alarm.arn(scope),
        "actionsEnabled": alarm.actions_enabled,
        "okactions": alarm.actions.ok,
        "alarmActions": alarm.actions.alarm,
        "insufficientDataActions": alarm.actions.insufficient_data,
        "alarmConfigurationUpdatedTimestamp": zoned(alarm.configured),
        "stateValue": alarm.state,
        "stateUpdatedTimestamp": zoned(alarm.updated),
        "namespace": alarm.watched.namespace,
        "metricName": alarm.watched.metric,
        "dimensions": dimensions,
        "period": alarm.watched.period,
        "evaluationPeriods": alarm.rule.periods,
        "threshold": alarm.rule.threshold,
        "comparisonOperator": alarm.rule.comparison.as_str(),
    });
    let optional = [
        ("alarmDescription", alarm.description.clone()),
        ("statistic", alarm.watched.plain_statistic()),
        ("extendedStatistic", alarm.watched.extended_statistic()),
        ("unit", alarm.watched.unit.clone()),
        ("treatMissingData", alarm.treat_missing_data.clone()),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            described[name] = Value::String(value);
        }
    }
    serde_json::json!({ "version": "1.0", "type": kind, member: described }).to_string()
}

/// `HistoryData` of an action.
pub(crate) fn action_data(alarm: &Alarm, action: &str, error: Option<&str>) -> String {
    let mut data = serde_json::json!({
        "actionState": if error.is_none() { "Succeeded" } else { "Failed" },
        "stateUpdateTimestamp": alarm.updated.millis(),
        "notificationResource": action,
    });
    if let Some(error) = error {
        data["error"] = Value::String(error.to_owned());
    }
    data.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crossed(state: State, values: &[f64], of: usize, minimum: usize) -> Finding {
        // 27 September 2021, 01:36, and the minutes before.
        let at = |minutes: usize| Timestamp(1_632_706_560_000 - minutes as i64 * 60_000);
        let points = values.iter().enumerate().map(|(minutes, value)| (at(minutes), *value)).collect();
        Finding { state, why: Why::Crossed { points, of, minimum }, evaluated: Vec::new() }
    }

    #[test]
    fn reasons_are_cloudwatchs() {
        let alarm = crossed(State::Alarm, &[5.535_714_886_726_143, 1.751_424_457_355_242_2], 2, 2);
        assert_eq!(
            reason(&alarm, Comparison::Greater, 1.0),
            "Threshold Crossed: 2 out of the last 2 datapoints [5.535714886726143 (27/09/21 01:36:00), \
             1.7514244573552422 (27/09/21 01:35:00)] were greater than the threshold (1.0) (minimum 2 datapoints for \
             OK -> ALARM transition)."
        );
        let ok = crossed(State::Ok, &[48.0], 50, 1);
        assert_eq!(
            reason(&ok, Comparison::Greater, 50.0),
            "Threshold Crossed: 1 out of the last 50 datapoints [48.0 (27/09/21 01:36:00)] was not greater than the \
             threshold (50.0) (minimum 1 datapoint for ALARM -> OK transition)."
        );
        let long = crossed(State::Alarm, &[0.0; 15], 15, 15);
        assert_eq!(
            reason(&long, Comparison::Less, 65.0),
            "Threshold Crossed: 15 out of the last 15 datapoints were less than the threshold (65.0). The most recent \
             datapoints which crossed the threshold: [0.0 (27/09/21 01:36:00), 0.0 (27/09/21 01:35:00), \
             0.0 (27/09/21 01:34:00), 0.0 (27/09/21 01:33:00), 0.0 (27/09/21 01:32:00)] (minimum 15 datapoints for \
             OK -> ALARM transition)."
        );
        let filled = |received, periods, missing, as_breaching| Finding {
            state: State::Alarm,
            why: Why::Filled { received, periods, missing, as_breaching },
            evaluated: Vec::new(),
        };
        assert_eq!(
            reason(&filled(0, 1, 1, false), Comparison::Greater, 0.0),
            "Threshold Crossed: no datapoints were received for 1 period and 1 missing datapoint was treated as [NonBreaching]."
        );
        assert_eq!(
            reason(&filled(1, 3, 2, true), Comparison::Greater, 0.0),
            "Threshold Crossed: 1 datapoint was received for 3 periods and 2 missing datapoints were treated as [Breaching]."
        );
        let unknown =
            Finding { state: State::InsufficientData, why: Why::Unknown { periods: 3 }, evaluated: Vec::new() };
        assert_eq!(reason(&unknown, Comparison::Greater, 0.0), "Insufficient Data: 3 datapoints were unknown.");
    }

    #[test]
    fn numbers_are_javas() {
        for (value, text) in
            [(70.0, "70.0"), (0.0, "0.0"), (1e-4, "1.0E-4"), (15e6, "1.5E7"), (1e7, "1.0E7"), (-0.25, "-0.25")]
        {
            assert_eq!(number(value), text);
        }
    }
}
