//! Tasks that fail, each for its own reason, with the codes and the words that people know from AWS.

use crate::harness::api::Api;
use crate::harness::image;
use crate::harness::network::vpc;
use crate::harness::server::Server;
use crate::harness::tasks::{self, CLUSTER};
use crate::harness::{eventually, possible, rooted, seconds};
use serde_json::{Value, json};

/// How a task ends, but for its id and what else nobody can foresee, which stand between the parts.
struct End {
    name: &'static str,
    definition: Value,
    code: &'static str,
    reason: Vec<String>,
    /// The exit code and the reason of the application's container.
    container: (Value, Vec<String>),
}

impl End {
    /// One that does not start, for this reason, which the container does not repeat.
    fn unstarted(name: &'static str, definition: Value, reason: Vec<String>) -> Self {
        Self { name, definition, code: "TaskFailedToStart", reason, container: (Value::Null, vec![]) }
    }
}

/// Whether the text is these parts with something between them; without parts, whether there is none.
fn is_made_of(text: &Value, parts: &[String]) -> bool {
    let Some(mut rest) = text.as_str() else { return parts.is_empty() };
    let Some((first, more)) = parts.split_first() else { return false };
    let Some(after) = rest.strip_prefix(first.as_str()) else { return false };
    rest = after;
    for part in more {
        let Some(at) = rest.find(part.as_str()) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.is_empty()
}

/// A role that tasks may have, with a policy of these statements.
fn role(api: &Api, name: &str, service: &str, statements: &Value) -> String {
    let trust = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": { "Service": service }, "Action": "sts:AssumeRole",
    }] });
    let fields = [("RoleName", name), ("AssumeRolePolicyDocument", &trust.to_string())];
    let role = api.query("iam", "CreateRole", &fields).get("Arn").to_owned();
    if statements.as_array().is_some_and(|list| !list.is_empty()) {
        let policy = json!({ "Version": "2012-10-17", "Statement": statements }).to_string();
        let fields = [("RoleName", name), ("PolicyName", "own"), ("PolicyDocument", &policy)];
        api.query("iam", "PutRolePolicy", &fields);
    }
    role
}

fn denied(role: &str, action: &str, resource: &str) -> [String; 2] {
    [
        format!("AccessDeniedException: User: arn:aws:sts::123456789012:assumed-role/{role}/"),
        format!(
            " is not authorized to perform: {action} on resource: {resource} because no identity-based policy allows the {action} action"
        ),
    ]
}

fn ends(api: &Api, execution: &str, image: &str) -> Vec<End> {
    let definition = |script: &str| tasks::definition("failures", execution, image, script);
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut definition = definition("exit 0");
        change(&mut definition);
        definition
    };
    let bare = role(api, "bare", "ecs-tasks.amazonaws.com", &json!([]));
    let made = api.json("secretsmanager", "CreateSecret", json!({ "Name": "db", "SecretString": "hidden" }));
    let secret = made["ARN"].as_str().unwrap();
    let reads = json!([{ "Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": secret }]);
    let reader = role(api, "reader", "ecs-tasks.amazonaws.com", &reads);
    let absent = image.replace(":v1", ":absent");
    let auth =
        "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: ";
    let [no_registry, no_registry_end] = denied("bare", "ecr:GetAuthorizationToken", "*");
    let [no_secret, no_secret_end] = denied("execution", "secretsmanager:GetSecretValue", secret);
    let logger = "ResourceInitializationError: failed to validate logger args: ";
    let text = str::to_owned;
    vec![
        End {
            container: (
                Value::Null,
                vec![format!(
                    "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref {absent}: not found"
                )],
            ),
            ..End::unstarted(
                "the image has no such tag",
                changed(&|it| it["containerDefinitions"][0]["image"] = json!(absent)),
                vec![format!(
                    "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref {absent}: not found"
                )],
            )
        },
        End {
            container: (
                Value::Null,
                vec![
                    format!(
                        "{auth}unable to retrieve ecr registry auth: service call has been retried 1 time(s): {no_registry}"
                    ),
                    no_registry_end.clone(),
                ],
            ),
            ..End::unstarted(
                "the execution role may not use the registry",
                changed(&|it| it["executionRoleArn"] = json!(bare)),
                vec![
                    format!(
                        "{auth}unable to retrieve ecr registry auth: service call has been retried 1 time(s): {no_registry}"
                    ),
                    no_registry_end,
                ],
            )
        },
        End::unstarted(
            "the execution role may not read what the task role may",
            changed(&|it| {
                it["taskRoleArn"] = json!(reader);
                it["containerDefinitions"][0]["secrets"] = json!([{ "name": "DB", "valueFrom": secret }]);
            }),
            vec![
                format!(
                    "{auth}unable to retrieve secret from asm: service call has been retried 1 time(s): failed to fetch secret {secret} from secrets manager: {no_secret}"
                ),
                no_secret_end,
            ],
        ),
        End::unstarted(
            "there is no log group",
            changed(&|it| {
                it["containerDefinitions"][0]["logConfiguration"]["options"]["awslogs-group"] = json!("/none");
            }),
            vec![
                format!(
                    "{logger}create stream has been retried 1 times: failed to create Cloudwatch log stream: operation error CloudWatch Logs: CreateLogStream, https response error StatusCode: 400, RequestID: "
                ),
                text(", ResourceNotFoundException: The specified log group does not exist."),
            ],
        ),
        End::unstarted(
            "the log driver is told two things at once",
            changed(&|it| {
                let options = &mut it["containerDefinitions"][0]["logConfiguration"]["options"];
                (options["awslogs-multiline-pattern"], options["awslogs-datetime-format"]) = (json!("^x"), json!("%Y"));
            }),
            vec![format!(
                "{logger}you cannot configure log opt 'awslogs-datetime-format' and 'awslogs-multiline-pattern' at the same time"
            )],
        ),
        End::unstarted(
            "the file system has no such directory",
            changed(&|it| {
                it["volumes"] = json!([{ "name": "efs", "efsVolumeConfiguration": {
                    "fileSystemId": "fs-0123", "rootDirectory": "/none",
                } }]);
                it["containerDefinitions"][0]["mountPoints"] =
                    json!([{ "sourceVolume": "efs", "containerPath": "/efs" }]);
            }),
            vec![text(
                "ResourceInitializationError: failed to invoke EFS utils commands to set up EFS volumes: stderr: b'mount.nfs4: mounting fs-0123.efs.us-east-1.amazonaws.com:/none failed, reason given by server: No such file or directory' : unsuccessful EFS utils command execution; code: 32",
            )],
        ),
        End {
            container: (
                Value::Null,
                vec![text(
                    "CannotStartContainerError: ResourceInitializationError: failed to create new container runtime task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: \"/none\": stat /none: no such file or directory: unknown",
                )],
            ),
            ..End::unstarted(
                "there is no such program",
                changed(&|it| it["containerDefinitions"][0]["command"] = json!(["/none"])),
                vec![text("Task failed to start")],
            )
        },
        End {
            container: (
                Value::Null,
                vec![text(
                    "CannotStartContainerError: ResourceInitializationError: failed to create new container runtime task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error during container init: open /proc/sys/net/core/none: no such file or directory: unknown",
                )],
            ),
            ..End::unstarted(
                "the container has no such system control",
                changed(&|it| {
                    it["containerDefinitions"][0]["systemControls"] =
                        json!([{ "namespace": "net.core.none", "value": "1" }]);
                }),
                vec![text("Task failed to start")],
            )
        },
        End {
            name: "the application crashes",
            definition: definition("echo this is why; exit 3"),
            code: "EssentialContainerExited",
            reason: vec![text("Essential container in task exited")],
            container: (json!(3), vec![]),
        },
        End {
            name: "the application wants too much memory",
            definition: {
                let mut definition = definition("busybox dd if=/dev/zero of=/dev/null bs=300M");
                // The program itself, so that its end is the container's.
                definition["containerDefinitions"][0]["command"] =
                    json!(["busybox", "dd", "if=/dev/zero", "of=/dev/null", "bs=300M"]);
                definition["containerDefinitions"][0]["memory"] = json!(32);
                definition
            },
            code: "EssentialContainerExited",
            reason: vec![text("Essential container in task exited")],
            container: (json!(137), vec![text("OutOfMemoryError: Container killed due to memory usage")]),
        },
    ]
}

#[test]
fn every_failure_has_its_code_and_its_words() {
    if !possible(&["skopeo"]) {
        return;
    }
    let server = Server::start_brisk();
    let api = server.api();
    let vpc = vpc(&api);
    let image = image::push(&server, "failures", image::busybox());
    let execution = tasks::ground(&api, "failures");
    let mut ends = ends(&api, &execution, &image);
    // An ordinary user seldom may limit memory.
    ends.retain(|end| rooted() || end.container.0 != json!(137));
    let started: Vec<_> = ends
        .iter()
        .map(|end| {
            let definition = tasks::register(&api, end.definition.clone());
            tasks::run(&api, &vpc, &definition, &[])
        })
        .collect();

    // Meanwhile: a subnet whose addresses are all taken, and a service whose application is never healthy.
    let fields = [("VpcId", vpc.id.as_str()), ("CidrBlock", "10.0.9.0/28"), ("AvailabilityZone", "us-east-1a")];
    let full = api.ec2("CreateSubnet", &fields).get("subnetId").to_owned();
    for _ in 0..11 {
        api.ec2("CreateNetworkInterface", &[("SubnetId", &full)]);
    }
    let lives = tasks::register(&api, tasks::definition("failures", &execution, &image, tasks::WEB));
    let group = vpc.group(&api, "any");
    let stuck = tasks::run_in(&api, &full, &lives, &group);
    let foreign = role(&api, "foreign", "ec2.amazonaws.com", &json!([]));
    let mut definition = tasks::definition("failures", &execution, &image, tasks::WEB);
    definition["taskRoleArn"] = json!(foreign);
    let foreigner = tasks::register(&api, definition);
    let network = tasks::placed(&vpc, &[]);
    let wish = json!({
        "cluster": CLUSTER, "taskDefinition": foreigner, "launchType": "FARGATE", "networkConfiguration": network,
    });
    let refused = api.try_json("ecs", "RunTask", wish).expect_err("tasks may not have the role");
    let no_role = format!(
        "ECS was unable to assume the role '{foreign}' that was provided for this task. Please verify that the role being passed has the proper trust relationship and permissions and that your IAM user has permissions to pass this role."
    );
    assert_eq!((refused.code.as_str(), refused.message.as_str()), ("ClientException", no_role.as_str()));
    let mut sick = tasks::definition("failures", &execution, &image, tasks::WEB);
    sick["containerDefinitions"][0]["healthCheck"] =
        json!({ "command": ["CMD-SHELL", "exit 1"], "interval": 5, "retries": 1 });
    let sick = tasks::register(&api, sick);
    api.ecs(
        "CreateService",
        json!({
            "cluster": CLUSTER, "serviceName": "sick", "taskDefinition": sick, "desiredCount": 1,
            "launchType": "FARGATE", "networkConfiguration": tasks::placed(&vpc, &[]),
        }),
    );

    for (end, task) in ends.iter().zip(&started) {
        let found = eventually(&format!("the task ends: {}", end.name), seconds(40), || {
            let found = tasks::describe(&api, task);
            if found["lastStatus"] == "STOPPED" { Ok(found) } else { Err(found["lastStatus"].clone()) }
        });
        let container = &found["containers"][0];
        let as_expected = found["stopCode"] == end.code
            && is_made_of(&found["stoppedReason"], &end.reason)
            && container["exitCode"] == end.container.0
            && is_made_of(&container["reason"], &end.container.1);
        assert!(
            as_expected,
            "{}: expected {} {:?} {:?}, but: {} {} {}",
            end.name, end.code, end.reason, end.container, found["stopCode"], found["stoppedReason"], container
        );
    }
    assert!(tasks::log_lines(&api, "failures").contains(&"this is why".to_owned()), "its output says why it crashed");
    let reason = tasks::reason_of(&api, &stuck);
    let none_left = format!(
        "Unexpected EC2 error while attempting to Create Network Interface in subnet '{full}': InsufficientFreeAddressesInSubnet"
    );
    assert_eq!(reason, none_left);

    let unhealthy = eventually("a task is replaced for its health", seconds(30), || {
        let asked = json!({ "cluster": CLUSTER, "serviceName": "sick", "desiredStatus": "STOPPED" });
        let arns = api.ecs("ListTasks", asked)["taskArns"].clone();
        arns.as_array().and_then(|arns| arns.first()?.as_str().map(str::to_owned)).ok_or(arns)
    });
    let found = tasks::describe(&api, &unhealthy);
    let told = (found["stopCode"].as_str(), found["stoppedReason"].as_str());
    assert_eq!(told, (Some("ServiceSchedulerInitiated"), Some("Task failed container health checks")), "{found}");

    // And what is refused at once.
    let refused = |operation: &str, input: Value| api.try_json("ecs", operation, input).unwrap_err();
    let mut wrong = tasks::definition("failures", &execution, &image, "exit 0");
    wrong["memory"] = json!("256");
    let answer = refused("RegisterTaskDefinition", wrong);
    assert_eq!(
        (answer.code.as_str(), answer.message.as_str()),
        ("ClientException", "No Fargate configuration exists for given values.")
    );
    let group = api.elb(
        "CreateTargetGroup",
        &[
            ("Name", "by-instance"),
            ("Protocol", "HTTP"),
            ("Port", "80"),
            ("VpcId", &vpc.id),
            ("TargetType", "instance"),
        ],
    );
    let group = group.get("TargetGroupArn");
    let balanced = json!({
        "cluster": CLUSTER, "serviceName": "balanced", "taskDefinition": lives, "desiredCount": 1, "launchType": "FARGATE",
        "networkConfiguration": tasks::placed(&vpc, &[]),
        "loadBalancers": [{ "targetGroupArn": group, "containerName": "app", "containerPort": 3000 }],
    });
    let answer = refused("CreateService", balanced);
    let incompatible = format!(
        "The provided target group {group} has target type instance, which is incompatible with the awsvpc network mode specified in the task definition."
    );
    assert_eq!((answer.code.as_str(), answer.message), ("InvalidParameterException", incompatible));
    let long = json!({ "cluster": CLUSTER, "task": tasks::id_of(&unhealthy), "reason": "x".repeat(256) });
    assert_eq!(refused("StopTask", long).code, "InvalidParameterException");
    server.leave();
}
