//! Stories of CloudWatch alarms through their handlers and the evaluator, with a store in memory and a simulated clock.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use controller::{Controller, Key, Next};
use gateway::{Context, Principal};
use model::cloudwatch::{
    DeleteAlarmsInput, DescribeAlarmHistoryInput, DescribeAlarmsInput, Dimension, DisableAlarmActionsInput,
    GetMetricStatisticsInput, MetricAlarm, MetricDatum, PutMetricAlarmInput, PutMetricDataInput, SetAlarmStateInput,
    Tag,
};
use observe::Observe;
use observe::alarms::Evaluator;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use types::{AccountId, ApiError, Clock, Pace, Scope, SimClock, Timestamp};

/// The start of a minute.
const NOW: Timestamp = Timestamp(1_790_000_040_000);

struct World {
    store: Store,
    clock: SimClock,
    metrics: model::cloudwatch::Handlers<Observe, Context>,
    evaluator: Evaluator,
}

impl World {
    fn new(pace: Pace) -> Self {
        let (store, clock) = (Store::in_memory(observe::tables()), SimClock::new(NOW));
        let evaluator = Evaluator::new(store.clone(), Arc::new(clock.clone()), pace);
        Self { store, clock, metrics: observe::cloudwatch_handlers(), evaluator }
    }

    fn call<T>(&self, run: impl FnOnce(&Observe, &mut Context) -> Result<T, ApiError>) -> Result<T, ApiError> {
        let principal = Principal::root(&AccountId::default(), "test");
        let mut cx = Context::new(self.store.clone(), Scope::default(), principal, self.clock.now());
        let outcome = run(&Observe, &mut cx);
        let tx = cx.take_tx();
        if outcome.is_ok()
            && let Some(tx) = tx
        {
            tx.commit().wait_blocking().expect("a store in memory commits");
        }
        outcome
    }

    fn put_alarm(&self, input: PutMetricAlarmInput) -> Result<wire::Unit, ApiError> {
        self.call(|o, cx| (self.metrics.put_metric_alarm)(o, cx, input))
    }

    fn alarms(&self, input: DescribeAlarmsInput) -> Vec<MetricAlarm> {
        self.call(|o, cx| (self.metrics.describe_alarms)(o, cx, input)).unwrap().metric_alarms.unwrap()
    }

    fn alarm(&self) -> MetricAlarm {
        self.alarms(DescribeAlarmsInput::default()).remove(0)
    }

    fn state(&self) -> String {
        self.alarm().state_value.unwrap()
    }

    /// A data point of the minute that has just ended.
    fn datum(&self, value: f64, minute: i64) {
        let datum = MetricDatum {
            metric_name: "Load".to_owned(),
            dimensions: Some(dimensions()),
            timestamp: Some(Timestamp(self.clock.now().0 - minute)),
            value: Some(value),
            ..Default::default()
        };
        let input =
            PutMetricDataInput { namespace: "App".to_owned(), metric_data: Some(vec![datum]), ..Default::default() };
        self.call(|o, cx| (self.metrics.put_metric_data)(o, cx, input)).unwrap();
    }

    /// Lets a minute pass, puts its data point, and evaluates the alarm a third into the next minute.
    async fn minute(&self, minute: Duration, value: Option<f64>) -> String {
        let length = i64::try_from(minute.as_millis()).unwrap();
        self.clock.advance(minute);
        if let Some(value) = value {
            self.datum(value, length + self.clock.now().0.rem_euclid(length));
        }
        if self.clock.now().0.rem_euclid(length) == 0 {
            self.clock.advance(minute / 3);
        }
        self.evaluate().await;
        self.state()
    }

    async fn evaluate(&self) -> Next {
        self.evaluator.reconcile(&Key::new(&Scope::default(), "load")).await.unwrap()
    }

    fn history(&self) -> Vec<String> {
        let input = DescribeAlarmHistoryInput::default();
        let answer = self.call(|o, cx| (self.metrics.describe_alarm_history)(o, cx, input)).unwrap();
        answer.alarm_history_items.unwrap().into_iter().map(|item| item.history_summary.unwrap()).collect()
    }
}

fn dimensions() -> Vec<Dimension> {
    vec![Dimension { name: "Service".to_owned(), value: "web".to_owned() }]
}

fn load() -> PutMetricAlarmInput {
    PutMetricAlarmInput {
        alarm_name: "load".to_owned(),
        namespace: Some("App".to_owned()),
        metric_name: Some("Load".to_owned()),
        dimensions: Some(dimensions()),
        statistic: Some("Average".to_owned()),
        period: Some(60),
        evaluation_periods: Some(3),
        threshold: Some(70.0),
        comparison_operator: Some("GreaterThanThreshold".to_owned()),
        ..Default::default()
    }
}

#[tokio::test]
async fn an_alarm_goes_off_at_its_third_breaching_minute_and_back() {
    for pace in [1.0, 10.0] {
        let minute = Duration::from_secs(60).div_f64(pace);
        let world = World::new(Pace::new(pace).unwrap());
        world.put_alarm(load()).unwrap();
        let fresh = world.alarm();
        assert_eq!(fresh.state_reason.as_deref(), Some("Unchecked: Initial alarm creation"));
        assert_eq!(fresh.alarm_arn.as_deref(), Some("arn:aws:cloudwatch:us-east-1:123456789012:alarm:load"));
        let mut seen = Vec::new();
        for value in [None, Some(80.0), Some(90.0), Some(75.0), Some(10.0), None] {
            seen.push(world.minute(minute, value).await);
        }
        let (unknown, alarm, ok) = ("INSUFFICIENT_DATA", "ALARM", "OK");
        assert_eq!(seen, [unknown, unknown, unknown, alarm, ok, ok], "pace {pace}");
        let history = world.history();
        assert_eq!(history.last().unwrap(), "Alarm \"load\" created", "{history:?}");
        assert!(history.contains(&"Alarm updated from ALARM to OK".to_owned()), "{history:?}");
    }
}

#[tokio::test]
async fn reasons_and_their_data_tell_what_was_seen() {
    let world = World::new(Pace::REAL);
    world.put_alarm(PutMetricAlarmInput { evaluation_periods: Some(1), ..load() }).unwrap();
    assert_eq!(world.minute(Duration::from_secs(60), Some(80.0)).await, "ALARM");
    let alarm = world.alarm();
    assert_eq!(
        alarm.state_reason.as_deref(),
        Some(
            "Threshold Crossed: 1 out of the last 1 datapoints [80.0 (21/09/26 14:14:00)] was greater than the threshold \
             (70.0) (minimum 1 datapoint for OK -> ALARM transition)."
        )
    );
    let data: serde_json::Value = serde_json::from_str(alarm.state_reason_data.as_deref().unwrap()).unwrap();
    assert_eq!(data["recentDatapoints"], serde_json::json!([80.0]));
    assert_eq!(data["evaluatedDatapoints"][0]["sampleCount"], serde_json::json!(1.0));
    assert_eq!(data["startDate"], "2026-09-21T14:14:00.000+0000");
    // Deleted, its history stays.
    let input = DeleteAlarmsInput { alarm_names: vec!["load".to_owned(), "other".to_owned()] };
    world.call(|o, cx| (world.metrics.delete_alarms)(o, cx, input)).unwrap();
    assert_eq!(world.evaluate().await, Next::Done);
    assert_eq!(world.history()[0], "Alarm \"load\" deleted");
}

#[tokio::test]
async fn a_state_set_by_hand_holds_until_the_minute_ends() {
    let world = World::new(Pace::REAL);
    let put = PutMetricAlarmInput {
        alarm_actions: Some(vec!["arn:aws:sns:us-east-1:123456789012:page".to_owned()]),
        treat_missing_data: Some("notBreaching".to_owned()),
        ..load()
    };
    world.put_alarm(put).unwrap();
    assert_eq!(world.minute(Duration::from_secs(60), None).await, "OK");
    let set = |state: &str, data: Option<&str>| {
        let input = SetAlarmStateInput {
            alarm_name: "load".to_owned(),
            state_value: state.to_owned(),
            state_reason: "testing".to_owned(),
            state_reason_data: data.map(str::to_owned),
        };
        world.call(|o, cx| (world.metrics.set_alarm_state)(o, cx, input))
    };
    assert_eq!(set("ALARM", Some("{")).unwrap_err().code, "InvalidFormat");
    world.clock.advance(Duration::from_secs(20));
    set("ALARM", None).unwrap();
    world.evaluate().await;
    assert_eq!(world.state(), "ALARM", "its state was evaluated away within the minute");
    let history = world.history();
    assert!(history[0].starts_with("Failed to execute action arn:aws:sns"), "{history:?}");
    assert_eq!(history[1], "Alarm updated from OK to ALARM");
    world.clock.advance(Duration::from_secs(60));
    world.evaluate().await;
    assert_eq!(world.state(), "OK");
    let input = DisableAlarmActionsInput { alarm_names: vec!["load".to_owned()] };
    world.call(|o, cx| (world.metrics.disable_alarm_actions)(o, cx, input)).unwrap();
    set("ALARM", None).unwrap();
    assert_eq!(world.history()[0], "Alarm updated from OK to ALARM", "an alarm's action was tried though disabled");
}

#[test]
fn what_an_alarm_cannot_be_is_refused() {
    let world = World::new(Pace::REAL);
    let refused = |input: PutMetricAlarmInput| {
        let error = world.put_alarm(input).unwrap_err();
        (error.code, error.message)
    };
    let (code, message) = refused(PutMetricAlarmInput { period: Some(3600), evaluation_periods: Some(169), ..load() });
    assert_eq!((code.as_str(), message.contains("604800")), ("ValidationError", true), "{message}");
    let (code, message) = refused(PutMetricAlarmInput { evaluation_periods: Some(1441), ..load() });
    assert_eq!(
        (code.as_str(), message.as_str()),
        (
            "ValidationError",
            "Metrics cannot be checked across more than a day (EvaluationPeriods * Period must be <= 86400)."
        )
    );
    assert_eq!(refused(PutMetricAlarmInput { period: Some(61), ..load() }).0, "ValidationError");
    assert_eq!(refused(PutMetricAlarmInput { datapoints_to_alarm: Some(4), ..load() }).0, "ValidationError");
    assert_eq!(refused(PutMetricAlarmInput { threshold: Some(f64::NAN), ..load() }).0, "InvalidParameterValue");
    assert_eq!(refused(PutMetricAlarmInput { threshold: None, ..load() }).0, "MissingParameter");
    let operator = Some("GreaterThanUpperThreshold".to_owned());
    assert_eq!(refused(PutMetricAlarmInput { comparison_operator: operator, ..load() }).0, "NotImplemented");
    assert!(world.alarms(DescribeAlarmsInput::default()).is_empty());
}

#[test]
fn alarms_are_found_by_name_prefix_state_and_action() {
    let world = World::new(Pace::REAL);
    for (name, action) in [("a-1", "arn:aws:sns:x"), ("a-2", "arn:aws:autoscaling:y"), ("b-1", "arn:aws:sns:z")] {
        let tags = Some(vec![Tag { key: "team".to_owned(), value: name.to_owned() }]);
        let actions = Some(vec![action.to_owned()]);
        world
            .put_alarm(PutMetricAlarmInput { alarm_name: name.to_owned(), ok_actions: actions, tags, ..load() })
            .unwrap();
    }
    let names = |input| -> Vec<String> {
        world.alarms(input).into_iter().map(|alarm: MetricAlarm| alarm.alarm_name.unwrap()).collect()
    };
    let prefix = |text: &str| DescribeAlarmsInput { alarm_name_prefix: Some(text.to_owned()), ..Default::default() };
    assert_eq!(names(prefix("a-")), ["a-1", "a-2"]);
    let by_action = DescribeAlarmsInput { action_prefix: Some("arn:aws:sns".to_owned()), ..Default::default() };
    assert_eq!(names(by_action), ["a-1", "b-1"]);
    let by_state = DescribeAlarmsInput { state_value: Some("OK".to_owned()), ..Default::default() };
    assert!(names(by_state).is_empty());
    let composite = DescribeAlarmsInput { alarm_types: Some(vec!["CompositeAlarm".to_owned()]), ..Default::default() };
    assert!(names(composite).is_empty());
    let page = |token| {
        let input = DescribeAlarmsInput { max_records: Some(2), next_token: token, ..Default::default() };
        world.call(|o, cx| (world.metrics.describe_alarms)(o, cx, input)).unwrap()
    };
    let first = page(None);
    assert_eq!(first.metric_alarms.unwrap().len(), 2);
    let second = page(first.next_token);
    assert_eq!((second.metric_alarms.unwrap().len(), second.next_token), (1, None));
}

#[test]
fn statistics_come_by_period_with_their_unit() {
    let world = World::new(Pace::REAL);
    world.datum(3.0, 60_000);
    world.datum(5.0, 50_000);
    let input = |hours: i64| GetMetricStatisticsInput {
        namespace: "App".to_owned(),
        metric_name: "Load".to_owned(),
        dimensions: Some(dimensions()),
        start_time: Timestamp(NOW.0 - hours * 3_600_000),
        end_time: NOW,
        period: 60,
        statistics: Some(vec!["Average".to_owned(), "SampleCount".to_owned()]),
        ..Default::default()
    };
    let get = |hours| world.call(|o, cx| (world.metrics.get_metric_statistics)(o, cx, input(hours)));
    let points = get(1).unwrap().datapoints.unwrap();
    assert_eq!(points.len(), 1);
    assert_eq!((points[0].average, points[0].sample_count, points[0].sum), (Some(4.0), Some(2.0), None));
    assert_eq!(points[0].unit.as_deref(), Some("None"));
    let error = get(48).unwrap_err();
    assert_eq!(error.code, "InvalidParameterCombination");
    assert!(error.message.contains("2,880 datapoints, which exceeds the limit of 1,440"), "{}", error.message);
}
