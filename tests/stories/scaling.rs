//! A user has a service follow its load: tasks that burn their processor bring another one, and it goes when they rest.

use crate::harness::api::Api;
use crate::harness::network::vpc;
use crate::harness::server::Server;
use crate::harness::tasks::{self, CLUSTER};
use crate::harness::{eventually, image, possible, rooted, seconds};
use serde_json::{Value, json};

/// Burns its processor for six seconds, and rests then.
const BURNS: &str = "trap 'exit 0' TERM; read s _ </proc/uptime; s=$((${s%%.*}+6)); \
                     while read n _ </proc/uptime; [ ${n%%.*} -lt $s ]; do :; done; while :; do sleep 1; done";

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
    let definition = tasks::register(&api, tasks::definition("busy", &role, &image, BURNS));
    let group = vpc.group(&api, "busy");
    api.ecs(
        "CreateService",
        json!({
            "cluster": CLUSTER, "serviceName": "busy", "taskDefinition": definition, "desiredCount": 1,
            "launchType": "FARGATE", "networkConfiguration": tasks::placed(&vpc, &[&group]),
        }),
    );
    let target = json!({ "ResourceId": RESOURCE, "ScalableDimension": "ecs:service:DesiredCount" });
    let with = |more: Value| {
        let mut input = target.clone();
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        input
    };
    scaling(&api, "RegisterScalableTarget", with(json!({ "MinCapacity": 1, "MaxCapacity": 2 })));
    let policy = json!({
        "PolicyName": "cpu", "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": {
            "TargetValue": 50.0, "ScaleOutCooldown": 0, "ScaleInCooldown": 0,
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
    desired(2, seconds(20));
    desired(1, seconds(40));
    let told = activities(&api);
    let cause = |at: usize| told[at]["Cause"].as_str().unwrap_or_default().to_owned();
    assert!(cause(0).contains("-AlarmLow-") && cause(1).contains("-AlarmHigh-"), "{told}");
    let event =
        "Message: Successfully set desired count to 2. Change successfully fulfilled by ecs. Cause: monitor alarm";
    let events = tasks::messages(&tasks::service(&api, CLUSTER, "busy"));
    assert!(events.iter().any(|message| message.starts_with(event)), "{events:?}");
    server.leave();
}

fn activities(api: &Api) -> Value {
    scaling(api, "DescribeScalingActivities", json!({ "ResourceId": RESOURCE }))["ScalingActivities"].clone()
}
