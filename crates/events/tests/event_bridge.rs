//! EventBridge through its handlers: what a rule waits for is in its log group, once, whatever ends in between.

#![allow(clippy::unwrap_used, reason = "tests")]

use controller::{Limits, Runner};
use events::{Deliverer, Events};
use gateway::{Context, Principal};
use model::events as shape;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use types::{AccountId, ApiError, Clock, Scope, SimClock, Timestamp};

const GROUP: &str = "arn:aws:logs:us-east-1:123456789012:log-group:/e";

struct Server {
    store: Store,
    clock: SimClock,
    handlers: shape::Handlers<Events, Context>,
}

type Handler<I, O> = fn(&Events, &mut Context, I) -> Result<O, ApiError>;

impl Server {
    fn new() -> Self {
        let store = Store::in_memory([events::tables(), observe::tables()].concat());
        let server = Self { store, clock: SimClock::new(Timestamp(1_800_000_000_000)), handlers: events::handlers() };
        let mut tx = server.store.begin();
        observe::create_stream(&mut tx, &Scope::default(), "/e", "first", true, server.clock.now()).unwrap();
        tx.commit().wait_blocking().unwrap();
        server
    }

    fn context(&self) -> Context {
        let principal = Principal::root(&AccountId::default(), "test");
        Context::new(self.store.clone(), Scope::default(), principal, self.clock.now())
    }

    fn call<I, O>(&self, handler: Handler<I, O>, input: I) -> Result<O, ApiError> {
        let mut cx = self.context();
        let answer = handler(&Events, &mut cx, input)?;
        if let Some(tx) = cx.take_tx() {
            tx.commit().wait_blocking().unwrap();
        }
        Ok(answer)
    }

    /// Lets the rule `rule` write into the log group, and no other.
    fn allow(&self, rule: &str) {
        let document = json!({ "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": { "Service": ["events.amazonaws.com", "delivery.logs.amazonaws.com"] },
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"], "Resource": format!("{GROUP}:*"),
            "Condition": { "ArnEquals": { "aws:SourceArn": format!("arn:aws:events:us-east-1:123456789012:rule/{rule}") } },
        }] });
        let input = model::logs::PutResourcePolicyRequest {
            policy_name: Some("events".to_owned()),
            policy_document: Some(document.to_string()),
            ..Default::default()
        };
        let mut cx = self.context();
        (observe::handlers().put_resource_policy)(&observe::Observe, &mut cx, input).unwrap();
        cx.take_tx().unwrap().commit().wait_blocking().unwrap();
    }

    fn rule(&self, name: &str, pattern: Value) -> Result<(), ApiError> {
        let input = shape::PutRuleRequest {
            name: name.to_owned(),
            event_pattern: Some(pattern.to_string()),
            ..Default::default()
        };
        self.call(self.handlers.put_rule, input).map(|_| ())
    }

    fn target(&self, rule: &str, target: shape::Target) -> Result<(), ApiError> {
        let input = shape::PutTargetsRequest { rule: rule.to_owned(), targets: vec![target], event_bus_name: None };
        self.call(self.handlers.put_targets, input).map(|_| ())
    }

    fn put(&self, source: &str, detail: &Value) -> shape::PutEventsResultEntry {
        let entry = shape::PutEventsRequestEntry {
            source: Some(source.to_owned()),
            detail_type: Some("t".to_owned()),
            detail: Some(detail.to_string()),
            ..Default::default()
        };
        let input = shape::PutEventsRequest { entries: vec![entry], endpoint_id: None };
        self.call(self.handlers.put_events, input).unwrap().entries.unwrap().remove(0)
    }

    /// Lets what waits be delivered, and gives the messages of the log group in order.
    async fn delivered(&self) -> Vec<String> {
        let clock: Arc<dyn Clock> = Arc::new(self.clock.clone());
        let deliverer = Arc::new(Deliverer::new(self.store.clone(), clock.clone()));
        let runner = Runner::start(&self.store, clock, vec![deliverer], Limits::default());
        runner.idle().await;
        let _ = runner.shutdown(Duration::ZERO).await;
        let input = model::logs::FilterLogEventsRequest { log_group_name: Some("/e".to_owned()), ..Default::default() };
        let found = (observe::handlers().filter_log_events)(&observe::Observe, &mut self.context(), input).unwrap();
        let mut messages: Vec<String> =
            found.events.unwrap_or_default().into_iter().filter_map(|event| event.message).collect();
        messages.sort_unstable();
        messages
    }
}

fn to_group(id: &str) -> shape::Target {
    shape::Target { id: id.to_owned(), arn: GROUP.to_owned(), ..Default::default() }
}

#[tokio::test]
async fn what_a_rule_waits_for_is_delivered_once() {
    let server = Server::new();
    server.rule("r", json!({ "source": ["mine"], "detail": { "n": [{ "numeric": [">", 1] }] } })).unwrap();
    server.allow("r");
    let paths = [("n", "$.detail.n"), ("time", "$.time")];
    let template = shape::InputTransformer {
        input_paths_map: Some(paths.map(|(name, path)| (name.to_owned(), path.to_owned())).into()),
        input_template: r#"{"timestamp": <time>, "message": "n is <n>"}"#.to_owned(),
    };
    server.target("r", shape::Target { input_transformer: Some(template), ..to_group("a") }).unwrap();
    for n in 1..=3 {
        assert!(server.put("mine", &json!({ "n": n })).event_id.is_some());
    }
    server.put("yours", &json!({ "n": 9 }));
    assert_eq!(server.delivered().await, ["n is 2", "n is 3"]);
    assert_eq!(server.delivered().await.len(), 2, "and not again");
    server
        .call(server.handlers.disable_rule, shape::DisableRuleRequest { name: "r".to_owned(), event_bus_name: None })
        .unwrap();
    server.put("mine", &json!({ "n": 5 }));
    assert_eq!(server.delivered().await.len(), 2, "a disabled rule waits for nothing");
}

#[tokio::test]
async fn what_no_resource_policy_allows_is_lost() {
    let server = Server::new();
    server.rule("r", json!({ "source": ["mine"] })).unwrap();
    server.target("r", to_group("a")).unwrap();
    server.put("mine", &json!({ "n": 1 }));
    assert_eq!(server.delivered().await.len(), 0, "nothing lets EventBridge write");
    server.allow("another");
    server.put("mine", &json!({ "n": 2 }));
    assert_eq!(server.delivered().await.len(), 0, "it is another rule that may");
    server.allow("r");
    server.put("mine", &json!({ "n": 3 }));
    let told = server.delivered().await;
    let event: Value = serde_json::from_str(&told[0]).unwrap();
    assert_eq!((told.len(), &event["detail"]["n"], &event["source"]), (1, &json!(3), &json!("mine")));
}

#[test]
fn what_is_wrong_with_an_entry_is_told_of_that_entry() {
    let server = Server::new();
    let code = |entry: shape::PutEventsResultEntry| entry.error_code.unwrap();
    assert_eq!(code(server.put("aws.ecs", &json!({}))), "NotAuthorizedForSourceException");
    assert_eq!(code(server.put("", &json!({}))), "InvalidArgument");
    assert_eq!(code(server.put("mine", &json!([1]))), "MalformedDetail");
}

#[test]
fn what_cannot_be_done_is_refused_by_name() {
    let server = Server::new();
    server.rule("r", json!({ "source": ["mine"] })).unwrap();
    let queue = shape::Target { arn: "arn:aws:sqs:us-east-1:123456789012:q".to_owned(), ..to_group("q") };
    let refused = server.target("r", queue).unwrap_err();
    assert!(refused.code == "NotImplemented" && refused.message.contains("sqs"), "{refused}");
    let other = shape::Target { arn: "arn:aws:logs:eu-west-1:123456789012:log-group:/e".to_owned(), ..to_group("q") };
    assert_eq!(server.target("r", other).unwrap_err().code, "NotImplemented");
    let constant = shape::Target { input: Some("{}".to_owned()), ..to_group("q") };
    assert_eq!(server.target("r", constant).unwrap_err().code, "ValidationException");
    let text = shape::InputTransformer { input_paths_map: None, input_template: "\"x\"".to_owned() };
    let text = shape::Target { input_transformer: Some(text), ..to_group("q") };
    assert_eq!(server.target("r", text).unwrap_err().message, "Input for target q is not a valid JSON text.");
    assert_eq!(server.target("none", to_group("a")).unwrap_err().code, "ResourceNotFoundException");
    assert_eq!(server.rule("x", json!({ "source": "mine" })).unwrap_err().code, "InvalidEventPatternException");
    let scheduled = shape::PutRuleRequest {
        name: "s".to_owned(),
        schedule_expression: Some("rate(5 minutes)".to_owned()),
        ..Default::default()
    };
    assert_eq!(server.call(server.handlers.put_rule, scheduled).unwrap_err().code, "NotImplemented");

    server.target("r", to_group("a")).unwrap();
    let delete = || shape::DeleteRuleRequest { name: "r".to_owned(), ..Default::default() };
    let refused = server.call(server.handlers.delete_rule, delete()).unwrap_err();
    assert_eq!(refused.message, "Rule can't be deleted since it has targets.");
    let input = shape::RemoveTargetsRequest { rule: "r".to_owned(), ids: vec!["a".to_owned()], ..Default::default() };
    server.call(server.handlers.remove_targets, input).unwrap();
    server.call(server.handlers.delete_rule, delete()).unwrap();
    server.call(server.handlers.delete_rule, delete()).unwrap();
}

#[test]
fn a_pattern_is_tried_on_an_event() {
    let server = Server::new();
    let event = json!({
        "id": "1", "account": "123456789012", "source": "mine", "time": "2027-01-15T08:00:00Z", "region": "us-east-1",
        "resources": [], "detail-type": "t", "detail": { "n": 1 },
    });
    let test = |pattern: Value, event: Value| {
        let input = shape::TestEventPatternRequest { event_pattern: pattern.to_string(), event: event.to_string() };
        server.call(server.handlers.test_event_pattern, input).map(|answer| answer.result)
    };
    assert_eq!(test(json!({ "detail": { "n": [1] } }), event.clone()), Ok(Some(true)));
    assert_eq!(test(json!({ "detail": { "n": [2] } }), event), Ok(Some(false)));
    assert_eq!(test(json!({ "source": ["x"] }), json!({ "source": "x" })).unwrap_err().code, "ValidationException");
}
