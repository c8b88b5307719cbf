//! Clusters, task definitions, tasks and services.

use super::api::Api;
use super::network::Vpc;
use super::{eventually, seconds};
use serde_json::{Value, json};
use std::time::Duration;

/// The cluster that stories use.
pub(crate) const CLUSTER: &str = "production";

/// A web server on port 3000 that answers `/health` and says under `/who` which task it is. It ends at SIGTERM.
pub(crate) const WEB: &str = "trap 'exit 0' TERM; mkdir -p /tmp/w; echo ok >/tmp/w/health; hostname >/tmp/w/who; \
                              httpd -f -p 3000 -h /tmp/w & wait";

/// Makes the cluster, the execution role and the log group of `family`, and gives the role's ARN.
pub(crate) fn ground(api: &Api, family: &str) -> String {
    api.ecs("CreateCluster", json!({ "clusterName": CLUSTER }));
    api.json("logs", "CreateLogGroup", json!({ "logGroupName": format!("/ecs/{family}") }));
    let trust = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Principal": { "Service": "ecs-tasks.amazonaws.com" },
        "Action": "sts:AssumeRole",
    }] });
    let fields = [("RoleName", "execution"), ("AssumeRolePolicyDocument", &trust.to_string())];
    let role = api.query("iam", "CreateRole", &fields).get("Arn").to_owned();
    let policy = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy";
    api.query("iam", "AttachRolePolicy", &[("RoleName", "execution"), ("PolicyArn", policy)]);
    role
}

/// The input of RegisterTaskDefinition: one container, `app`, that runs `script` and logs to `/ecs/<family>`.
pub(crate) fn definition(family: &str, role: &str, image: &str, script: &str) -> Value {
    json!({
        "family": family,
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "256",
        "memory": "512",
        "executionRoleArn": role,
        "containerDefinitions": [{
            "name": "app",
            "image": image,
            "essential": true,
            "command": ["/bin/sh", "-c", script],
            "portMappings": [{ "containerPort": 3000, "protocol": "tcp" }],
            "stopTimeout": 5,
            "logConfiguration": { "logDriver": "awslogs", "options": {
                "awslogs-group": format!("/ecs/{family}"),
                "awslogs-region": "us-east-1",
                "awslogs-stream-prefix": "app",
            } },
        }],
    })
}

/// Registers a definition and gives its ARN.
pub(crate) fn register(api: &Api, definition: Value) -> String {
    let made = api.ecs("RegisterTaskDefinition", definition);
    made["taskDefinition"]["taskDefinitionArn"].as_str().unwrap().to_owned()
}

/// Where tasks run: both subnets of the VPC, with public addresses.
pub(crate) fn placed(vpc: &Vpc, groups: &[&str]) -> Value {
    json!({ "awsvpcConfiguration": {
        "subnets": vpc.subnets, "securityGroups": groups, "assignPublicIp": "ENABLED",
    } })
}

/// Starts one task and gives its ARN.
pub(crate) fn run(api: &Api, vpc: &Vpc, definition: &str, groups: &[&str]) -> String {
    let made = api.ecs(
        "RunTask",
        json!({
            "cluster": CLUSTER,
            "taskDefinition": definition,
            "launchType": "FARGATE",
            "networkConfiguration": placed(vpc, groups),
        }),
    );
    let arn = made["tasks"][0]["taskArn"].as_str();
    arn.unwrap_or_else(|| panic!("expected RunTask to start a task, but: {made}")).to_owned()
}

/// Starts one task in one subnet, without a public address.
pub(crate) fn run_in(api: &Api, subnet: &str, definition: &str, group: &str) -> String {
    let made = api.ecs(
        "RunTask",
        json!({
            "cluster": CLUSTER, "taskDefinition": definition, "launchType": "FARGATE",
            "networkConfiguration": { "awsvpcConfiguration": {
                "subnets": [subnet], "securityGroups": [group], "assignPublicIp": "DISABLED",
            } },
        }),
    );
    made["tasks"][0]["taskArn"].as_str().unwrap_or_else(|| panic!("expected a task, but: {made}")).to_owned()
}

/// Why a task that must fail to start has stopped.
pub(crate) fn reason_of(api: &Api, task: &str) -> String {
    let stopped: Value = eventually("the task stops", seconds(40), || {
        let found = describe(api, task);
        assert_ne!(found["lastStatus"], "RUNNING", "expected the task to fail, but it runs");
        if found["lastStatus"] == "STOPPED" { Ok(found) } else { Err(found["lastStatus"].clone()) }
    });
    assert_eq!(stopped["stopCode"], "TaskFailedToStart", "{stopped}");
    stopped["stoppedReason"].as_str().unwrap_or_default().to_owned()
}

/// The description of one task.
pub(crate) fn describe(api: &Api, task: &str) -> Value {
    api.ecs("DescribeTasks", json!({ "cluster": CLUSTER, "tasks": [task] }))["tasks"][0].clone()
}

/// Waits until a task is in `status`, and gives its description. One that stopped instead is told at once.
pub(crate) fn wait_for(api: &Api, task: &str, status: &str, within: Duration) -> Value {
    eventually(&format!("the task becomes {status}"), within, || {
        let found = describe(api, task);
        let last = found["lastStatus"].as_str().unwrap_or_default().to_owned();
        assert!(last == status || last != "STOPPED", "expected the task to become {status}, but it stopped: {found}");
        if last == status { Ok(found) } else { Err(last) }
    })
}

/// The last part of a task's ARN.
pub(crate) fn id_of(task: &str) -> &str {
    task.rsplit('/').next().unwrap()
}

/// The private address of a task.
pub(crate) fn address_of(task: &Value) -> String {
    detail(task, "privateIPv4Address")
}

/// A detail of a task's network attachment.
pub(crate) fn detail(task: &Value, name: &str) -> String {
    let details = task["attachments"][0]["details"].as_array().unwrap_or_else(|| panic!("no attachment: {task}"));
    let found = details.iter().find(|detail| detail["name"] == name);
    found.and_then(|detail| detail["value"].as_str()).unwrap_or_else(|| panic!("no {name}: {task}")).to_owned()
}

/// The description of a service.
pub(crate) fn service(api: &Api, cluster: &str, name: &str) -> Value {
    let found = api.ecs("DescribeServices", json!({ "cluster": cluster, "services": [name] }));
    assert!(found["services"][0].is_object(), "expected ECS to know the service {name}, but: {found}");
    found["services"][0].clone()
}

/// Waits as the waiter ServicesStable does: one deployment, and as many running tasks as desired.
pub(crate) fn wait_until_stable(api: &Api, cluster: &str, name: &str, within: Duration) -> Value {
    eventually(&format!("the service {name} becomes stable"), within, || {
        let found = service(api, cluster, name);
        let one = found["deployments"].as_array().is_some_and(|deployments| deployments.len() == 1);
        let all = found["runningCount"] == found["desiredCount"] && found["pendingCount"] == 0;
        if one && all { Ok(found) } else { Err(messages(&found)) }
    })
}

/// The running tasks of a service, in order.
pub(crate) fn tasks_of(api: &Api, cluster: &str, name: &str) -> Vec<String> {
    let found = api.ecs("ListTasks", json!({ "cluster": cluster, "serviceName": name }));
    let mut tasks: Vec<String> =
        found["taskArns"].as_array().unwrap().iter().map(|arn| arn.as_str().unwrap().to_owned()).collect();
    tasks.sort_unstable();
    tasks
}

/// A service's events, newest first.
pub(crate) fn messages(service: &Value) -> Vec<String> {
    let events = service["events"].as_array().into_iter().flatten();
    events.filter_map(|event| event["message"].as_str().map(str::to_owned)).collect()
}

/// All log lines of `family`, oldest first.
pub(crate) fn log_lines(api: &Api, family: &str) -> Vec<String> {
    let found = api.json("logs", "FilterLogEvents", json!({ "logGroupName": format!("/ecs/{family}") }));
    let events = found["events"].as_array().into_iter().flatten();
    events.filter_map(|event| event["message"].as_str().map(str::to_owned)).collect()
}
