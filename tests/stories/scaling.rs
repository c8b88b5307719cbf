//! A user has a service follow its load: two tasks that burn their processor become twenty, and two again when they rest.

use crate::harness::api::Api;
use crate::harness::network::vpc;
use crate::harness::server::Server;
use crate::harness::tasks::{self, CLUSTER};
use crate::harness::{eventually, image, possible, rooted, seconds};
use serde_json::{Value, json};

/// Burns some hundredths of a processor until the machine has been up for END seconds, and rests then: until the next tick of
/// that clock, five times a second.
const BURNS: &str = "trap 'exit 0' TERM; while read n _ </proc/uptime; [ ${n%%.*} -lt $END ]; do \
                     while read m _ </proc/uptime; [ $m = $n ]; do :; done; sleep 0.2; done; sleep 1000 & wait";

const RESOURCE: &str = "service/production/busy";

fn scaling(api: &Api, operation: &str, mut input: Value) -> Value {
    input["ServiceNamespace"] = json!("ecs");
    api.json("application-autoscaling", operation, input)
}

#[test]
fn a_service_follows_its_load_out_and_in() {
    if !possible(&["skopeo"]) {
        return;
    }
    if !rooted() {
        println!("SKIPPED: an ordinary user's tasks may have no control groups, which count what they use");
        return;
    }
    // A minute of metrics is a second.
    let server = Server::start_at_pace("60");
    let api = server.api();
    let vpc = vpc(&api);
    let role = tasks::ground(&api, "busy");
    let image = image::push(&server, "busy", image::busybox());
    let up = std::fs::read_to_string("/proc/uptime").unwrap();
    let up: u64 = up.split('.').next().and_then(|text| text.parse().ok()).unwrap();
    let mut definition = tasks::definition("busy", &role, &image, BURNS);
    definition["containerDefinitions"][0]["environment"] = json!([{ "name": "END", "value": (up + 25).to_string() }]);
    let definition = tasks::register(&api, definition);
    let group = vpc.group(&api, "busy");
    api.ecs(
        "CreateService",
        json!({
            "cluster": CLUSTER, "serviceName": "busy", "taskDefinition": definition, "desiredCount": 2,
            "launchType": "FARGATE", "networkConfiguration": tasks::placed(&vpc, &[&group]),
        }),
    );
    let target = json!({ "ResourceId": RESOURCE, "ScalableDimension": "ecs:service:DesiredCount" });
    let with = |more: Value| {
        let mut input = target.clone();
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        input
    };
    scaling(&api, "RegisterScalableTarget", with(json!({ "MinCapacity": 2, "MaxCapacity": 20 })));
    let policy = json!({
        "PolicyName": "cpu", "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": {
            "TargetValue": 4.0, "ScaleOutCooldown": 0, "ScaleInCooldown": 0,
            "PredefinedMetricSpecification": { "PredefinedMetricType": "ECSServiceAverageCPUUtilization" },
        },
    });
    let made = scaling(&api, "PutScalingPolicy", with(policy));
    assert_eq!(made["Alarms"].as_array().map(Vec::len), Some(2), "{made}");

    let desired = |wanted: u64, within| {
        eventually(&format!("the service wants {wanted} tasks"), within, || {
            let found = tasks::service(&api, CLUSTER, "busy");
            if found["desiredCount"] == wanted { Ok(()) } else { Err(activities(&api)) }
        });
    };
    desired(20, seconds(30));
    eventually("twenty tasks run", seconds(20), || {
        let found = tasks::service(&api, CLUSTER, "busy");
        if found["runningCount"] == 20 { Ok(()) } else { Err(found["runningCount"].clone()) }
    });
    desired(2, seconds(90));
    eventually("two tasks run", seconds(20), || {
        let found = tasks::service(&api, CLUSTER, "busy");
        if found["runningCount"] == 2 { Ok(()) } else { Err(found["runningCount"].clone()) }
    });
    let told = activities(&api);
    let causes: Vec<_> = told.as_array().into_iter().flatten().filter_map(|it| it["Cause"].as_str()).collect();
    let (last, first) = (causes.first().copied().unwrap_or_default(), causes.last().copied().unwrap_or_default());
    assert!(last.contains("-AlarmLow-") && first.contains("-AlarmHigh-"), "{told}");
    let event =
        "Message: Successfully set desired count to 20. Change successfully fulfilled by ecs. Cause: monitor alarm";
    let events = tasks::messages(&tasks::service(&api, CLUSTER, "busy"));
    assert!(events.iter().any(|message| message.starts_with(event)), "{events:?}");
    server.leave();
}

fn activities(api: &Api) -> Value {
    scaling(api, "DescribeScalingActivities", json!({ "ResourceId": RESOURCE }))["ScalingActivities"].clone()
}
