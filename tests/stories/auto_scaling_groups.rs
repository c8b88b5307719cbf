//! An Auto Scaling group keeps as many instances as it is told, which register with their cluster, and takes them with it.

use super::events;
use crate::harness::api::{Api, Xml};
use crate::harness::network::vpc;
use crate::harness::server::Server;
use crate::harness::tasks::{self, CLUSTER};
use crate::harness::{eventually, possible, seconds};
use serde_json::{Value, json};

/// The agent's configuration, as user data has it: `ECS_CLUSTER=production`.
const USER_DATA: &str = "IyEvYmluL2Jhc2gKZWNobyBFQ1NfQ0xVU1RFUj1wcm9kdWN0aW9uID4+IC9ldGMvZWNzL2Vjcy5jb25maWcK";

fn groups(api: &Api, operation: &str, fields: &[(&str, &str)]) -> Xml {
    api.query("autoscaling", operation, &[&[("AutoScalingGroupName", "nodes")], fields].concat())
}

/// The EC2 instances that are registered with the cluster, in order.
fn registered(api: &Api) -> Vec<String> {
    let list = api.ecs("ListContainerInstances", json!({ "cluster": CLUSTER }))["containerInstanceArns"].clone();
    if list == json!([]) {
        return Vec::new();
    }
    let told = api.ecs("DescribeContainerInstances", json!({ "cluster": CLUSTER, "containerInstances": list }));
    let id = |one: &Value| one["ec2InstanceId"].as_str().unwrap().to_owned();
    let mut ids: Vec<_> = told["containerInstances"].as_array().unwrap().iter().map(id).collect();
    ids.sort();
    ids
}

#[test]
fn a_group_replaces_what_ends_scales_in_and_goes() {
    if !possible(&[]) {
        return;
    }
    let server = Server::start_brisk();
    let api = server.api();
    let vpc = vpc(&api);
    tasks::ground(&api, "nodes");
    events::write_down(&api, &json!({ "detail-type": ["ECS Container Instance State Change"] }));
    let ami = api.ec2("DescribeImages", &[]).get("imageId").to_owned();
    api.ec2(
        "CreateLaunchTemplate",
        &[
            ("LaunchTemplateName", "nodes"),
            ("LaunchTemplateData.ImageId", &ami),
            ("LaunchTemplateData.InstanceType", "t3.small"),
            ("LaunchTemplateData.UserData", USER_DATA),
        ],
    );
    groups(
        &api,
        "CreateAutoScalingGroup",
        &[
            ("MinSize", "0"),
            ("MaxSize", "4"),
            ("DesiredCapacity", "2"),
            ("VPCZoneIdentifier", &vpc.subnets.join(",")),
            ("LaunchTemplate.LaunchTemplateName", "nodes"),
        ],
    );
    let settled = |count: usize| {
        eventually(&format!("{count} instances of the group are registered"), seconds(20), || {
            let ids = registered(&api);
            let told = api.query("autoscaling", "DescribeAutoScalingInstances", &[]);
            let serving = told.all("LifecycleState").iter().filter(|state| **state == "InService").count();
            if (ids.len(), serving) == (count, count) { Ok(ids) } else { Err((ids, told)) }
        })
    };
    let first = settled(2);
    let zones = api.query("autoscaling", "DescribeAutoScalingInstances", &[]);
    let mut zones = zones.all("AvailabilityZone");
    zones.sort_unstable();
    assert_eq!(zones, ["us-east-1a", "us-east-1b"]);

    // One is terminated by hand, and another comes in its place.
    api.ec2("TerminateInstances", &[("InstanceId.1", &first[0])]);
    let second = eventually("the ended instance is replaced", seconds(20), || {
        let ids = registered(&api);
        if ids.len() == 2 && !ids.contains(&first[0]) { Ok(ids) } else { Err(ids) }
    });
    assert!(second.contains(&first[1]), "the other one stays: {second:?}");

    eventually("events tell of both", seconds(10), || {
        let told: Vec<Value> = events::written_down(&api).into_iter().map(|event| event["detail"].clone()).collect();
        let of = |id: &str, status: &str, connected: bool| {
            let is_it = |detail: &&Value| {
                detail["ec2InstanceId"] == id && detail["status"] == status && detail["agentConnected"] == connected
            };
            told.iter().find(is_it)
        };
        let came = second.iter().all(|id| {
            of(id, "ACTIVE", true).is_some_and(|detail| {
                let arn = detail["clusterArn"].as_str().unwrap_or_default();
                arn.ends_with(CLUSTER) && detail["registeredAt"].is_string() && detail["remainingResources"].is_array()
            })
        });
        if came && of(&first[0], "INACTIVE", false).is_some() { Ok(()) } else { Err(told) }
    });

    // The protected one stays when there are too many.
    let kept = &first[1];
    settled(2);
    groups(&api, "SetInstanceProtection", &[("InstanceIds.member.1", kept), ("ProtectedFromScaleIn", "true")]);
    groups(&api, "SetDesiredCapacity", &[("DesiredCapacity", "0")]);
    assert_eq!(settled(1), std::slice::from_ref(kept));

    groups(&api, "DeleteAutoScalingGroup", &[("ForceDelete", "true")]);
    eventually("the group is gone", seconds(20), || {
        let told = api.query("autoscaling", "DescribeAutoScalingGroups", &[]);
        if told.all("AutoScalingGroupName").is_empty() { Ok(()) } else { Err(told) }
    });
    eventually("nothing is registered any more", seconds(10), || {
        let ids = registered(&api);
        if ids.is_empty() { Ok(()) } else { Err(ids) }
    });
    let left = api.ec2("DescribeNetworkInterfaces", &[("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", &vpc.id)]);
    assert!(left.all("networkInterfaceId").is_empty(), "{left:?}");
    server.leave();
}
