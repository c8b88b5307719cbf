//! ECS on EC2: tasks behind their instances' networks, reached by the instances' ports through a load balancer, and moved
//! away when one drains.

use crate::harness::network::{self, Source, allow, balancer_of};
use crate::harness::server::Server;
use crate::harness::tasks::{self, CLUSTER};
use crate::harness::{eventually, http, image, possible, seconds};
use serde_json::{Value, json};

/// The agent's configuration, as user data has it: `ECS_CLUSTER=production`.
const USER_DATA: &str = "IyEvYmluL2Jhc2gKZWNobyBFQ1NfQ0xVU1RFUj1wcm9kdWN0aW9uID4+IC9ldGMvZWNzL2Vjcy5jb25maWcK";

#[test]
fn a_service_in_bridge_mode_is_spread_over_instances_and_drained() {
    if !possible(&[]) {
        return;
    }
    let server = Server::start_brisk();
    let api = server.api();
    let image = image::push(&server, "web", image::busybox());
    let vpc = network::vpc(&api);
    let (group, outside) = (vpc.group(&api, "instances"), vpc.group(&api, "outside"));
    allow(&api, &outside, 80, Source::World);
    for port in [49_153, 49_154] {
        allow(&api, &group, port, Source::Group(&outside));
    }
    let front = balancer_of(&api, &vpc, "front", &outside, "instance");
    let role = tasks::ground(&api, "web");
    let ami = api.ec2("DescribeImages", &[]).get("imageId").to_owned();
    for subnet in &vpc.subnets {
        let launched = api.ec2(
            "RunInstances",
            &[
                ("ImageId", &ami),
                ("InstanceType", "t3.small"),
                ("MinCount", "1"),
                ("MaxCount", "1"),
                ("UserData", USER_DATA),
                ("NetworkInterface.1.DeviceIndex", "0"),
                ("NetworkInterface.1.SubnetId", subnet),
                ("NetworkInterface.1.SecurityGroupId.1", &group),
                ("NetworkInterface.1.AssociatePublicIpAddress", "true"),
            ],
        );
        assert!(launched.get("instanceId").starts_with("i-"));
    }
    let list = || api.ecs("ListContainerInstances", json!({ "cluster": CLUSTER }))["containerInstanceArns"].clone();
    let instances = eventually("both instances register", seconds(20), || match list() {
        Value::Array(arns) if arns.len() == 2 => Ok(arns),
        other => Err(other),
    });
    let mut definition = tasks::definition("web", &role, &image, tasks::WEB);
    definition["networkMode"] = json!("bridge");
    definition["requiresCompatibilities"] = json!(["EC2"]);
    let definition = tasks::register(&api, definition);
    api.ecs(
        "CreateService",
        json!({
            "cluster": CLUSTER, "serviceName": "web", "taskDefinition": definition, "launchType": "EC2",
            "desiredCount": 2, "deploymentConfiguration": { "minimumHealthyPercent": 0, "maximumPercent": 100 },
            "loadBalancers": [{ "targetGroupArn": front.target_group, "containerName": "app", "containerPort": 3000 }],
        }),
    );
    let running =
        || tasks::tasks_of(&api, CLUSTER, "web").iter().map(|arn| tasks::describe(&api, arn)).collect::<Vec<_>>();
    let on = |task: &Value| task["containerInstanceArn"].as_str().unwrap_or_default().to_owned();
    let found = eventually("a task runs on each instance", seconds(40), || {
        let found = running();
        let all = found.len() == 2 && found.iter().all(|task| task["lastStatus"] == "RUNNING");
        if all && on(&found[0]) != on(&found[1]) { Ok(found) } else { Err(found) }
    });
    for task in &found {
        let binding = &task["containers"][0]["networkBindings"][0];
        assert_eq!((&binding["containerPort"], &binding["hostPort"]), (&json!(3000), &json!(49_153)), "{task}");
        assert_eq!(task["attachments"], json!([]), "its instance's interface is not the task's");
    }
    let ids = || {
        let registered =
            api.ecs("DescribeContainerInstances", json!({ "cluster": CLUSTER, "containerInstances": list() }));
        let id = |one: &Value| one["ec2InstanceId"].as_str().unwrap().to_owned();
        registered["containerInstances"].as_array().unwrap().iter().map(id).collect::<Vec<_>>()
    };
    let mut expected: Vec<String> = ids().iter().map(|id| format!("{id} healthy")).collect();
    expected.sort();
    eventually("both instances are healthy targets", seconds(30), || {
        let told = front.targets(&api);
        if told == expected { Ok(()) } else { Err(told) }
    });
    let answer = http::request(front.address, "GET", "/health", &[], &[]).expect("expected an answer through a port");
    assert_eq!(answer.status, 200);

    // One instance drains: its task moves to the other, on another port.
    let draining = instances[0].as_str().unwrap().to_owned();
    let drain = json!({ "cluster": CLUSTER, "containerInstances": [draining], "status": "DRAINING" });
    api.ecs("UpdateContainerInstancesState", drain);
    let moved = eventually("both tasks are on the other instance", seconds(40), || {
        let found: Vec<Value> = running().into_iter().filter(|task| task["lastStatus"] == "RUNNING").collect();
        if found.len() == 2 && found.iter().all(|task| on(task) != draining) { Ok(found) } else { Err(found) }
    });
    let mut ports: Vec<_> =
        moved.iter().map(|task| task["containers"][0]["networkBindings"][0]["hostPort"].as_u64()).collect();
    ports.sort_unstable();
    assert_eq!(ports, [Some(49_153), Some(49_154)]);
    // A task that stops is counted no more and yet there, so it is not the counts that tell.
    let told = json!({ "cluster": CLUSTER, "containerInstance": draining });
    eventually("the task that left has stopped, and the instance can go", seconds(20), || {
        api.try_json("ecs", "DeregisterContainerInstance", told.clone())
    });

    // The other is terminated under its tasks.
    let left = ids()[0].clone();
    api.ec2("TerminateInstances", &[("InstanceId.1", &left)]);
    let arn = moved[0]["taskArn"].as_str().unwrap();
    let stopped = tasks::wait_for(&api, arn, "STOPPED", seconds(20));
    assert_eq!(stopped["stoppedReason"], format!("Host EC2 (instance {left}) terminated."));
    eventually("the service says why it starts nothing", seconds(20), || {
        let said = tasks::messages(&tasks::service(&api, CLUSTER, "web"));
        let expected = "(service web) was unable to place a task because no container instance met all of its \
                        requirements. Reason: No Container Instances were found in your cluster.";
        if said.iter().any(|message| message.starts_with(expected)) { Ok(()) } else { Err(said) }
    });
    server.leave();
}
