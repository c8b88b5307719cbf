//! Events: a rule has what becomes of a task written into a log group, as far as a resource policy lets it.

use crate::harness::api::Api;
use crate::harness::network::vpc;
use crate::harness::server::Server;
use crate::harness::tasks::{self, CLUSTER};
use crate::harness::{eventually, image, possible, seconds};
use serde_json::{Value, json};

const GROUP: &str = "/aws/events/ecs";

/// Has the events of a pattern written into a log group, which EventBridge may write into.
pub(super) fn write_down(api: &Api, pattern: &Value) {
    api.json("logs", "CreateLogGroup", json!({ "logGroupName": GROUP }));
    let arn = format!("arn:aws:logs:us-east-1:123456789012:log-group:{GROUP}");
    let policy = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": { "Service": "events.amazonaws.com" },
        "Action": ["logs:CreateLogStream", "logs:PutLogEvents"], "Resource": format!("{arn}:*"),
    }] });
    let policy = json!({ "policyName": "events", "policyDocument": policy.to_string() });
    api.json("logs", "PutResourcePolicy", policy);
    api.json("events", "PutRule", json!({ "Name": "told", "EventPattern": pattern.to_string() }));
    api.json("events", "PutTargets", json!({ "Rule": "told", "Targets": [{ "Id": "log", "Arn": arn }] }));
}

/// The events that are there.
pub(super) fn written_down(api: &Api) -> Vec<Value> {
    let found = api.json("logs", "FilterLogEvents", json!({ "logGroupName": GROUP }));
    let events = found["events"].as_array().into_iter().flatten();
    events.map(|event| serde_json::from_str(event["message"].as_str().unwrap()).unwrap()).collect()
}

#[test]
fn a_rule_tells_of_tasks() {
    if !possible(&["skopeo"]) {
        return;
    }
    let server = Server::start();
    let api = server.api();
    let vpc = vpc(&api);
    let group = vpc.group(&api, "quiet");
    let image = image::push(&server, "tools", image::busybox());
    let role = tasks::ground(&api, "told");

    let pattern = json!({
        "source": ["aws.ecs"], "detail-type": ["ECS Task State Change"],
        "detail": { "lastStatus": ["RUNNING", "STOPPED"], "clusterArn": [{ "suffix": format!("/{CLUSTER}") }] },
    });
    write_down(&api, &pattern);

    let definition = tasks::register(&api, tasks::definition("told", &role, &image, tasks::WEB));
    let task = tasks::run(&api, &vpc, &definition, &[&group]);
    tasks::wait_for(&api, &task, "RUNNING", seconds(40));
    api.ecs("StopTask", json!({ "cluster": CLUSTER, "task": task, "reason": "enough" }));
    let told = eventually("its end is told", seconds(20), || {
        let told = written_down(&api);
        let ended = told.iter().any(|event| event["detail"]["lastStatus"] == "STOPPED");
        if ended { Ok(told) } else { Err(told.len()) }
    });

    let of = |status: &str| {
        let found = told.iter().find(|event| event["detail"]["lastStatus"] == status);
        found.unwrap_or_else(|| panic!("expected an event of {status}, but: {told:?}"))
    };
    let (runs, ended) = (of("RUNNING"), of("STOPPED"));
    for event in [runs, ended] {
        assert_eq!(event["detail-type"], "ECS Task State Change");
        assert_eq!(
            (&event["source"], &event["account"], &event["region"], &event["version"]),
            (&json!("aws.ecs"), &json!("123456789012"), &json!("us-east-1"), &json!("0"))
        );
        assert_eq!(event["resources"], json!([task]));
        let detail = &event["detail"];
        assert_eq!(
            (&detail["taskArn"], &detail["taskDefinitionArn"], &detail["group"], &detail["launchType"]),
            (&json!(task), &json!(definition), &json!("family:told"), &json!("FARGATE"))
        );
        assert_eq!((&detail["containers"][0]["name"], &detail["cpu"]), (&json!("app"), &json!("256")));
        assert_eq!(detail["attachments"][0]["type"], "eni");
        let at = detail["createdAt"].as_str().unwrap_or_default();
        assert!(at.ends_with('Z'), "expected times to be texts, but: {detail}");
    }
    assert!(runs["detail"]["startedAt"].is_string() && runs["detail"]["stoppedAt"].is_null(), "{runs}");
    let detail = &ended["detail"];
    assert_eq!(
        (&detail["stopCode"], &detail["stoppedReason"], &detail["desiredStatus"]),
        (&json!("UserInitiated"), &json!("enough"), &json!("STOPPED"))
    );
    assert!(detail["stoppedAt"].is_string() && detail["containers"][0]["exitCode"] == 0, "{detail}");
    assert!(detail["version"].as_i64() > runs["detail"]["version"].as_i64(), "versions grow");
    server.leave();
}
