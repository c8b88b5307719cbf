//! A capacity provider of an Auto Scaling group: a service without instances gets them, and those with tasks are protected.

use crate::harness::api::Api;
use crate::harness::network::vpc;
use crate::harness::server::Server;
use crate::harness::tasks::{self, CLUSTER};
use crate::harness::{eventually, image, possible, seconds};
use serde_json::{Value, json};

/// The agent's configuration, as user data has it: `ECS_CLUSTER=production`.
const USER_DATA: &str = "IyEvYmluL2Jhc2gKZWNobyBFQ1NfQ0xVU1RFUj1wcm9kdWN0aW9uID4+IC9ldGMvZWNzL2Vjcy5jb25maWcK";

/// A group of up to four t3.small, and its capacity provider, which is the cluster's default.
fn nodes(api: &Api, subnets: &str, security_group: &str, group: &[(&str, &str)], provider: Value) {
    let ami = api.ec2("DescribeImages", &[]).get("imageId").to_owned();
    let fields = [
        ("LaunchTemplateName", "nodes"),
        ("LaunchTemplateData.ImageId", ami.as_str()),
        ("LaunchTemplateData.InstanceType", "t3.small"),
        ("LaunchTemplateData.UserData", USER_DATA),
        ("LaunchTemplateData.NetworkInterface.1.DeviceIndex", "0"),
        ("LaunchTemplateData.NetworkInterface.1.AssociatePublicIpAddress", "true"),
        ("LaunchTemplateData.NetworkInterface.1.SecurityGroupId.1", security_group),
    ];
    api.ec2("CreateLaunchTemplate", &fields);
    let fields = [
        ("AutoScalingGroupName", "nodes"),
        ("MinSize", "0"),
        ("MaxSize", "4"),
        ("VPCZoneIdentifier", subnets),
        ("LaunchTemplate.LaunchTemplateName", "nodes"),
    ];
    api.query("autoscaling", "CreateAutoScalingGroup", &[&fields, group].concat());
    api.ecs("CreateCapacityProvider", json!({ "name": "nodes", "autoScalingGroupProvider": provider }));
    let strategy = json!([{ "capacityProvider": "nodes", "weight": 1 }]);
    api.ecs(
        "PutClusterCapacityProviders",
        json!({ "cluster": CLUSTER, "capacityProviders": ["nodes"], "defaultCapacityProviderStrategy": strategy }),
    );
}

#[test]
fn an_instance_is_emptied_before_its_group_ends_it() {
    if !possible(&[]) {
        return;
    }
    let server = Server::start_brisk();
    let api = server.api();
    let image = image::push(&server, "web", image::busybox());
    let vpc = vpc(&api);
    let role = tasks::ground(&api, "web");
    let group = vpc.group(&api, "nodes");
    // Managed draining is on where nothing is said of it.
    let provider = json!({ "autoScalingGroupArn": "nodes" });
    nodes(&api, &vpc.subnets.join(","), &group, &[("DesiredCapacity", "2")], provider);
    let hooks = api.query("autoscaling", "DescribeLifecycleHooks", &[("AutoScalingGroupName", "nodes")]);
    assert_eq!(hooks.all("LifecycleHookName"), ["ecs-managed-draining-termination-hook"], "{hooks:?}");
    let instances = || {
        let told = api.query("autoscaling", "DescribeAutoScalingInstances", &[]);
        let (ids, states) = (told.all("InstanceId"), told.all("LifecycleState"));
        ids.into_iter().map(str::to_owned).zip(states.into_iter().map(str::to_owned)).collect::<Vec<_>>()
    };
    let registered = || api.ecs("ListContainerInstances", json!({ "cluster": CLUSTER, "status": "ACTIVE" }));
    eventually("both instances register", seconds(20), || {
        let told = registered();
        if told["containerInstanceArns"].as_array().map(Vec::len) == Some(2) { Ok(()) } else { Err(told) }
    });
    let mut definition = tasks::definition("web", &role, &image, tasks::WEB);
    definition["networkMode"] = json!("bridge");
    definition["requiresCompatibilities"] = json!(["EC2"]);
    let definition = tasks::register(&api, definition);
    api.ecs(
        "CreateService",
        json!({ "cluster": CLUSTER, "serviceName": "web", "taskDefinition": definition, "desiredCount": 1 }),
    );
    let running = || {
        let tasks = tasks::tasks_of(&api, CLUSTER, "web");
        let told: Vec<Value> = tasks.iter().map(|arn| tasks::describe(&api, arn)).collect();
        told.into_iter().filter(|task| task["lastStatus"] == "RUNNING").collect::<Vec<_>>()
    };
    let first = eventually("the service runs", seconds(30), || {
        let found = running();
        found.first().cloned().ok_or_else(|| tasks::messages(&tasks::service(&api, CLUSTER, "web")))
    });
    let host = first["containerInstanceArn"].as_str().unwrap().to_owned();
    let told = api.ecs("DescribeContainerInstances", json!({ "cluster": CLUSTER, "containerInstances": [host] }));
    let ending = told["containerInstances"][0]["ec2InstanceId"].as_str().unwrap().to_owned();

    let fields = [("InstanceId", ending.as_str()), ("ShouldDecrementDesiredCapacity", "true")];
    api.query("autoscaling", "TerminateInstanceInAutoScalingGroup", &fields);
    let state = |id: &str| instances().into_iter().find(|one| one.0 == id).map(|one| one.1);
    let mut waited = false;
    eventually("the instance has ended", seconds(60), || {
        assert!(!running().is_empty(), "the service never has a gap");
        let state = state(&ending);
        waited |= state.as_deref() == Some("Terminating:Wait");
        if state.is_none() { Ok(()) } else { Err((state, tasks::messages(&tasks::service(&api, CLUSTER, "web")))) }
    });
    assert!(waited, "it waits for ECS");
    let moved = running();
    assert_eq!(moved.len(), 1, "{moved:?}");
    assert_ne!(moved[0]["containerInstanceArn"], host.as_str(), "it runs on the other one");
    assert_eq!(instances().len(), 1);
    let fields = [("AutoScalingGroupName", "nodes"), ("ForceDelete", "true")];
    api.query("autoscaling", "DeleteAutoScalingGroup", &fields);
    eventually("the group goes by force, whatever runs there", seconds(20), || {
        let left = instances();
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
    server.leave();
}

#[test]
fn a_service_gets_the_instances_that_it_needs() {
    if !possible(&[]) {
        return;
    }
    let server = Server::start_brisk();
    let api = server.api();
    let image = image::push(&server, "web", image::busybox());
    let vpc = vpc(&api);
    let role = tasks::ground(&api, "web");
    let group = vpc.group(&api, "nodes");
    nodes(
        &api,
        &vpc.subnets.join(","),
        &group,
        &[("NewInstancesProtectedFromScaleIn", "true")],
        json!({
            "autoScalingGroupArn": "nodes",
            "managedScaling": { "status": "ENABLED", "targetCapacity": 100 },
            "managedTerminationProtection": "ENABLED",
        }),
    );
    // One fills a t3.small, of whose 2048 MiB the agent registers 1952.
    let mut definition = tasks::definition("web", &role, &image, tasks::WEB);
    definition["networkMode"] = json!("bridge");
    definition["requiresCompatibilities"] = json!(["EC2"]);
    definition["memory"] = json!("1500");
    let definition = tasks::register(&api, definition);
    api.ecs(
        "CreateService",
        json!({ "cluster": CLUSTER, "serviceName": "web", "taskDefinition": definition, "desiredCount": 2 }),
    );
    let running =
        || tasks::tasks_of(&api, CLUSTER, "web").iter().map(|arn| tasks::describe(&api, arn)).collect::<Vec<_>>();
    let found = eventually("the group grows, and both tasks run", seconds(30), || {
        let found: Vec<Value> = running().into_iter().filter(|task| task["lastStatus"] == "RUNNING").collect();
        if found.len() == 2 { Ok(found) } else { Err((found, tasks::messages(&tasks::service(&api, CLUSTER, "web")))) }
    });
    for task in &found {
        assert_eq!(task["capacityProviderName"], "nodes", "{task}");
    }
    let told = api.query("autoscaling", "DescribeAutoScalingInstances", &[]);
    assert_eq!(told.all("ProtectedFromScaleIn"), ["true", "true"], "instances with tasks are protected: {told:?}");
    let causes = api.query("autoscaling", "DescribeScalingActivities", &[]);
    assert!(causes.0.contains("Amazon ECS managed scaling"), "expected the reason, but: {causes:?}");

    api.ecs("UpdateService", json!({ "cluster": CLUSTER, "service": "web", "desiredCount": 0 }));
    eventually("idle instances are protected no more", seconds(20), || {
        let told = api.query("autoscaling", "DescribeAutoScalingInstances", &[]);
        if told.all("ProtectedFromScaleIn") == ["false", "false"] { Ok(()) } else { Err(told) }
    });
    a_task_waits_for_room(&api, &definition);
    api.ecs("DeleteService", json!({ "cluster": CLUSTER, "service": "web", "force": true }));
    let fields = [("AutoScalingGroupName", "nodes"), ("ForceDelete", "true")];
    api.query("autoscaling", "DeleteAutoScalingGroup", &fields);
    eventually("the group is gone", seconds(20), || {
        let told = api.query("autoscaling", "DescribeAutoScalingGroups", &[]);
        if told.all("AutoScalingGroupName").is_empty() { Ok(()) } else { Err(told) }
    });
    server.leave();
}

/// Three tasks where two instances have room for one each: the third waits, until there is one more instance.
fn a_task_waits_for_room(api: &Api, definition: &str) {
    let input = json!({ "cluster": CLUSTER, "taskDefinition": definition, "count": 3 });
    let told = api.ecs("RunTask", input);
    assert_eq!(told["failures"], json!([]), "{told}");
    let tasks: Vec<&str> =
        told["tasks"].as_array().unwrap().iter().map(|task| task["taskArn"].as_str().unwrap()).collect();
    assert_eq!(tasks.len(), 3);
    for task in &told["tasks"].as_array().unwrap()[..] {
        assert_eq!((&task["lastStatus"], &task["launchType"]), (&json!("PROVISIONING"), &json!("EC2")), "{task}");
    }
    for task in &tasks {
        tasks::wait_for(api, task, "RUNNING", seconds(30));
    }
    let list = api.ecs("ListContainerInstances", json!({ "cluster": CLUSTER }));
    assert_eq!(list["containerInstanceArns"].as_array().map(Vec::len), Some(3), "a third instance was made for it");
    for task in tasks {
        api.ecs("StopTask", json!({ "cluster": CLUSTER, "task": task }));
    }
}
