//! Stories of CloudWatch Logs and CloudWatch through their handlers, with a store in memory.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use controller::{Controller, Key};
use gateway::{Context, Principal};
use model::cloudwatch::{
    Dimension, GetMetricDataInput, ListMetricsInput, Metric, MetricDataQuery, MetricDatum, MetricStat,
    PutMetricDataInput,
};
use model::logs::{
    CreateLogGroupRequest, CreateLogStreamRequest, DeleteLogGroupRequest, DescribeLogGroupsRequest,
    DescribeLogStreamsRequest, FilterLogEventsRequest, FilterLogEventsResponse, GetLogEventsRequest,
    GetLogEventsResponse, InputLogEvent, PutLogEventsRequest, PutRetentionPolicyRequest,
};
use observe::{LogEvent, Observe};
use std::sync::Arc;
use store::Store;
use types::{AccountId, ApiError, Scope, SimClock, Timestamp};

const NOW: Timestamp = Timestamp(1_790_000_000_000);
const GROUP: &str = "/ecs/web";

struct World {
    store: Store,
    api: model::logs::Handlers<Observe, Context>,
    metrics: model::cloudwatch::Handlers<Observe, Context>,
}

impl World {
    fn new() -> Self {
        let store = Store::in_memory(observe::tables());
        Self { store, api: observe::handlers(), metrics: observe::cloudwatch_handlers() }
    }

    fn with_streams(names: &[&str]) -> Self {
        let world = Self::new();
        let group = CreateLogGroupRequest { log_group_name: GROUP.to_owned(), ..Default::default() };
        world.call(|o, cx| (world.api.create_log_group)(o, cx, group)).unwrap();
        for name in names {
            world.create_stream(name).unwrap();
        }
        world
    }

    fn call<T>(&self, run: impl FnOnce(&Observe, &mut Context) -> Result<T, ApiError>) -> Result<T, ApiError> {
        let principal = Principal::root(&AccountId::default(), "test");
        let mut cx = Context::new(self.store.clone(), Scope::default(), principal, NOW);
        let outcome = run(&Observe, &mut cx);
        let tx = cx.take_tx();
        if outcome.is_ok()
            && let Some(tx) = tx
        {
            tx.commit().wait_blocking().expect("a store in memory commits");
        }
        outcome
    }

    fn create_stream(&self, name: &str) -> Result<wire::Unit, ApiError> {
        let input = CreateLogStreamRequest { log_group_name: GROUP.to_owned(), log_stream_name: name.to_owned() };
        self.call(|o, cx| (self.api.create_log_stream)(o, cx, input))
    }

    fn put(&self, stream: &str, events: &[(i64, &str)]) -> Result<model::logs::PutLogEventsResponse, ApiError> {
        let event = |(at, message): &(i64, &str)| InputLogEvent {
            timestamp: NOW.millis() + at,
            message: (*message).to_owned(),
        };
        let input = PutLogEventsRequest {
            log_group_name: GROUP.to_owned(),
            log_stream_name: stream.to_owned(),
            log_events: events.iter().map(event).collect(),
            ..Default::default()
        };
        self.call(|o, cx| (self.api.put_log_events)(o, cx, input))
    }

    fn get(&self, stream: &str, from_head: bool, token: Option<&str>, limit: i32) -> GetLogEventsResponse {
        let input = GetLogEventsRequest {
            log_group_name: Some(GROUP.to_owned()),
            log_stream_name: stream.to_owned(),
            start_from_head: Some(from_head),
            next_token: token.map(str::to_owned),
            limit: Some(limit),
            ..Default::default()
        };
        self.call(|o, cx| (self.api.get_log_events)(o, cx, input)).unwrap()
    }

    fn filter(&self, pattern: &str, token: Option<String>, limit: i32) -> FilterLogEventsResponse {
        let input = FilterLogEventsRequest {
            log_group_name: Some(GROUP.to_owned()),
            filter_pattern: Some(pattern.to_owned()),
            next_token: token,
            limit: Some(limit),
            ..Default::default()
        };
        self.call(|o, cx| (self.api.filter_log_events)(o, cx, input)).unwrap()
    }
}

fn messages(answer: &GetLogEventsResponse) -> Vec<String> {
    answer.events.iter().flatten().map(|event| event.message.clone().unwrap()).collect()
}

fn filtered(answer: &FilterLogEventsResponse) -> Vec<String> {
    answer.events.iter().flatten().map(|event| event.message.clone().unwrap()).collect()
}

#[test]
fn events_are_read_forwards_and_backwards_to_the_end() {
    let world = World::with_streams(&["s"]);
    world.put("s", &[(0, "a"), (0, "b"), (1, "c")]).unwrap();
    world.put("s", &[(2, "d"), (3, "e")]).unwrap();
    let first = world.get("s", true, None, 2);
    assert_eq!(messages(&first), ["a", "b"]);
    let second = world.get("s", true, first.next_forward_token.as_deref(), 2);
    assert_eq!(messages(&second), ["c", "d"]);
    let third = world.get("s", true, second.next_forward_token.as_deref(), 2);
    assert_eq!(messages(&third), ["e"]);
    let end = world.get("s", true, third.next_forward_token.as_deref(), 2);
    assert!(messages(&end).is_empty());
    assert_eq!(end.next_forward_token, third.next_forward_token, "the same token tells that this is the end");
    world.put("s", &[(4, "f")]).unwrap();
    assert_eq!(messages(&world.get("s", true, end.next_forward_token.as_deref(), 2)), ["f"], "a tail goes on");

    let latest = world.get("s", false, None, 2);
    assert_eq!(messages(&latest), ["e", "f"]);
    let earlier = world.get("s", false, latest.next_backward_token.as_deref(), 10);
    assert_eq!(messages(&earlier), ["a", "b", "c", "d"]);
    let start = world.get("s", false, earlier.next_backward_token.as_deref(), 10);
    assert_eq!((messages(&start).len(), start.next_backward_token), (0, earlier.next_backward_token));
}

#[test]
fn batches_are_checked_as_aws_does() {
    let world = World::with_streams(&["s"]);
    let text = |outcome: Result<model::logs::PutLogEventsResponse, ApiError>| outcome.unwrap_err().message;
    assert_eq!(
        text(world.put("s", &[(1, "a"), (0, "b")])),
        "Log events in a single PutLogEvents request must be in chronological order."
    );
    assert_eq!(text(world.put("none", &[(0, "a")])), "The specified log stream does not exist.");
    let large = "x".repeat(1_048_576);
    assert_eq!(text(world.put("s", &[(0, &large)])), "Upload too large: 1048602 bytes exceeds limit of 1048576");
    assert_eq!(world.create_stream("s").unwrap_err().message, "The specified log stream already exists");
    let future = world.put("s", &[(0, "now"), (3 * 3_600_000, "later")]).unwrap();
    assert_eq!(future.rejected_log_events_info.unwrap().too_new_log_event_start_index, Some(1));
    assert_eq!(messages(&world.get("s", true, None, 10)), ["now"]);
}

#[test]
fn a_filter_merges_streams_in_order_of_time() {
    let world = World::with_streams(&["a", "b", "c"]);
    world.put("a", &[(0, "one ERROR"), (2, "three"), (4, "five ERROR")]).unwrap();
    world.put("b", &[(1, "two ERROR"), (3, "four")]).unwrap();
    assert_eq!(filtered(&world.filter("", None, 100)), ["one ERROR", "two ERROR", "three", "four", "five ERROR"]);
    assert_eq!(filtered(&world.filter("ERROR", None, 100)), ["one ERROR", "two ERROR", "five ERROR"]);
    let (mut token, mut seen) = (None, Vec::new());
    for _ in 0..5 {
        let page = world.filter("", token, 1);
        seen.extend(filtered(&page));
        token = page.next_token;
    }
    assert_eq!(seen.len(), 5);
    assert_eq!(token, None, "the last page has no token");
    assert_eq!(seen, ["one ERROR", "two ERROR", "three", "four", "five ERROR"]);
}

#[test]
fn groups_and_streams_are_described_in_pages() {
    let world = World::with_streams(&["b", "a"]);
    world.put("b", &[(0, "x")]).unwrap();
    world.put("a", &[(5, "y")]).unwrap();
    let describe = |order: &str, descending: bool| {
        let input = DescribeLogStreamsRequest {
            log_group_name: Some(GROUP.to_owned()),
            order_by: Some(order.to_owned()),
            descending: Some(descending),
            limit: Some(1),
            ..Default::default()
        };
        let page = world.call(|o, cx| (world.api.describe_log_streams)(o, cx, input)).unwrap();
        (page.log_streams.unwrap()[0].clone(), page.next_token)
    };
    let (first, token) = describe("LogStreamName", false);
    assert_eq!((first.log_stream_name.as_deref(), token.is_some()), (Some("a"), true));
    assert_eq!(first.last_event_timestamp, Some(NOW.millis() + 5));
    assert_eq!(describe("LastEventTime", false).0.log_stream_name.as_deref(), Some("b"));
    let groups = DescribeLogGroupsRequest { log_group_name_prefix: Some("/ecs".to_owned()), ..Default::default() };
    let groups = world.call(|o, cx| (world.api.describe_log_groups)(o, cx, groups)).unwrap().log_groups.unwrap();
    assert_eq!(groups[0].arn.as_deref(), Some("arn:aws:logs:us-east-1:123456789012:log-group:/ecs/web:*"));
    let none = DescribeLogGroupsRequest { log_group_name_prefix: Some("/ecz".to_owned()), ..Default::default() };
    let none = world.call(|o, cx| (world.api.describe_log_groups)(o, cx, none)).unwrap().log_groups.unwrap();
    assert!(none.is_empty());
}

#[tokio::test]
async fn a_batch_that_comes_again_is_not_appended_again() {
    let world = World::with_streams(&["s"]);
    let scope = Scope::default();
    let batch = |message: &str| vec![LogEvent { timestamp: NOW, message: message.to_owned() }];
    let append =
        |position, message| observe::append(&world.store, &scope, (GROUP, "s"), Some(position), batch(message), NOW);
    append(1, "a").await.unwrap();
    append(1, "a").await.unwrap();
    append(2, "b").await.unwrap();
    append(2, "b").await.unwrap();
    assert_eq!(messages(&world.get("s", true, None, 10)), ["a", "b"]);
    let gone = observe::append(&world.store, &scope, (GROUP, "none"), None, batch("x"), NOW).await;
    assert_eq!(gone.unwrap_err().to_string(), "ResourceNotFoundException: The specified log stream does not exist.");
}

#[tokio::test]
async fn the_keeper_trims_and_removes_what_is_left_over() {
    let world = World::with_streams(&["s"]);
    world.put("s", &[(-3 * 86_400_000, "old")]).unwrap();
    world.put("s", &[(0, "new")]).unwrap();
    let retention = PutRetentionPolicyRequest { log_group_name: GROUP.to_owned(), retention_in_days: 1 };
    world.call(|o, cx| (world.api.put_retention_policy)(o, cx, retention)).unwrap();
    let bad = PutRetentionPolicyRequest { log_group_name: GROUP.to_owned(), retention_in_days: 2 };
    assert_eq!(
        world.call(|o, cx| (world.api.put_retention_policy)(o, cx, bad)).unwrap_err().code,
        "InvalidParameterException"
    );
    let keeper = observe::controller::Keeper::new(world.store.clone(), Arc::new(SimClock::new(NOW)));
    let key = Key::new(&Scope::default(), "records");
    keeper.reconcile(&key).await.unwrap();
    let streams = world.store.streams().unwrap();
    let names = streams.names("logs/").unwrap();
    assert_eq!(streams.read(&names[0], .., 10).unwrap().len(), 1, "what retention has outlived is gone");
    let delete = DeleteLogGroupRequest { log_group_name: GROUP.to_owned() };
    world.call(|o, cx| (world.api.delete_log_group)(o, cx, delete)).unwrap();
    keeper.reconcile(&key).await.unwrap();
    keeper.reconcile(&key).await.unwrap();
    assert!(streams.names("logs/").unwrap().is_empty(), "records outlive their stream");
}

#[test]
fn metrics_are_listed_and_aggregated() {
    let world = World::new();
    let dimension = || vec![Dimension { name: "ServiceName".to_owned(), value: "web".to_owned() }];
    let datum = |seconds: i64, value: f64| MetricDatum {
        metric_name: "CPU".to_owned(),
        dimensions: Some(dimension()),
        timestamp: Some(Timestamp(NOW.millis() - 600_000 + seconds * 1000)),
        value: Some(value),
        ..Default::default()
    };
    let put = |data: Vec<MetricDatum>| {
        let input = PutMetricDataInput { namespace: "App".to_owned(), metric_data: Some(data), ..Default::default() };
        world.call(|o, cx| (world.metrics.put_metric_data)(o, cx, input))
    };
    put(vec![datum(0, 1.0), datum(5, 3.0), datum(120, 10.0)]).unwrap();
    assert_eq!(put(vec![datum(0, f64::NAN)]).unwrap_err().code, "InvalidParameterValue");
    let list = world.call(|o, cx| (world.metrics.list_metrics)(o, cx, ListMetricsInput::default())).unwrap();
    assert_eq!(list.metrics.unwrap().len(), 1);
    let query = MetricDataQuery {
        id: "q".to_owned(),
        metric_stat: Some(MetricStat {
            metric: Metric {
                namespace: Some("App".to_owned()),
                metric_name: Some("CPU".to_owned()),
                dimensions: Some(dimension()),
            },
            period: 60,
            stat: "Average".to_owned(),
            unit: None,
        }),
        ..Default::default()
    };
    let input = GetMetricDataInput {
        metric_data_queries: vec![query],
        start_time: Timestamp(NOW.millis() - 3_600_000),
        end_time: NOW,
        scan_by: Some("TimestampAscending".to_owned()),
        ..Default::default()
    };
    let answer = world.call(|o, cx| (world.metrics.get_metric_data)(o, cx, input)).unwrap();
    let result = answer.metric_data_results.unwrap().remove(0);
    assert_eq!(result.values, Some(vec![2.0, 10.0]));
    assert_eq!(result.label.as_deref(), Some("CPU"));
}
