//! What goes wrong for everybody once, each with the words by which people find its cause.
//!
//! Other stories have their share: failed pulls and starts, and what is refused at once (`failures`), no way to the registry
//! (`negative_space`), no room on instances (`bridge_mode`).

use crate::harness::api::Api;
use crate::harness::network::{Balancer, Source, Vpc, allow, balancer, vpc};
use crate::harness::server::Server;
use crate::harness::tasks::{self, CLUSTER};
use crate::harness::{eventually, http, image, possible, seconds};
use serde_json::{Value, json};

/// A web server that is up after four seconds, and has an application that hangs up instead of answering.
const LATE: &str = "trap 'exit 0' TERM; mkdir -p /tmp/w/cgi-bin; echo ok >/tmp/w/health; \
                    printf '#!/bin/sh\\nkill -9 $PPID\\n' >/tmp/w/cgi-bin/hangs-up; busybox chmod 755 /tmp/w/cgi-bin/hangs-up; \
                    sleep 4 & wait $!; httpd -f -p 3000 -h /tmp/w & wait";

/// Says what the task's role is here.
const ROLE: &str = "printf \"GET $AWS_CONTAINER_CREDENTIALS_RELATIVE_URI HTTP/1.0\\r\\n\\r\\n\" | nc -w 2 169.254.170.2 80 | grep AccessKeyId";

struct Shop {
    server: Server,
    api: Api,
    vpc: Vpc,
    group: String,
    execution: String,
    image: String,
}

impl Shop {
    fn open() -> Self {
        let server = Server::start_brisk();
        let api = server.api();
        let vpc = vpc(&api);
        let group = vpc.group(&api, "tasks");
        let image = image::push(&server, "shop", image::busybox());
        let execution = tasks::ground(&api, "shop");
        Self { server, api, vpc, group, execution, image }
    }

    fn definition(&self, script: &str) -> Value {
        tasks::definition("shop", &self.execution, &self.image, script)
    }

    fn service(&self, name: &str, script: &str, more: Value) {
        let definition = tasks::register(&self.api, self.definition(script));
        let mut input = json!({
            "cluster": CLUSTER, "serviceName": name, "taskDefinition": definition, "desiredCount": 1,
            "launchType": "FARGATE", "networkConfiguration": tasks::placed(&self.vpc, &[&self.group]),
        });
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.api.ecs("CreateService", input);
    }

    /// Waits for an event of the service that is `start`, anything, and `end`.
    fn event(&self, service: &str, start: &str, end: &str) {
        eventually(&format!("an event {start}…{end}"), seconds(40), || {
            let events = tasks::messages(&tasks::service(&self.api, CLUSTER, service));
            let found = events.iter().any(|event| event.starts_with(start) && event.ends_with(end));
            if found { Ok(()) } else { Err(events) }
        });
    }

    /// The digests of the images that the running tasks of a service have, each once.
    fn digests(&self, service: &str) -> Vec<String> {
        let digest = |task: &String| {
            let container = &tasks::describe(&self.api, task)["containers"][0];
            container["imageDigest"].as_str().unwrap_or_else(|| panic!("no digest: {container}")).to_owned()
        };
        let mut found: Vec<_> = tasks::tasks_of(&self.api, CLUSTER, service).iter().map(digest).collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}

#[test]
fn a_grace_period_that_is_too_short_kills_a_slow_application_and_one_that_hangs_up_is_a_502() {
    if !possible(&["skopeo"]) {
        return;
    }
    let shop = Shop::open();
    let api = &shop.api;
    let front = shop.vpc.group(api, "front");
    allow(api, &front, 80, Source::World);
    allow(api, &shop.group, 3000, Source::Group(&front));
    let Balancer { dns_name, address, target_group, .. } = balancer(api, &shop.vpc, "shop", &front);
    let balanced = json!({
        "loadBalancers": [{ "targetGroupArn": target_group, "containerName": "app", "containerPort": 3000 }],
    });
    shop.service("late", LATE, balanced);
    let reason =
        format!(") (port 3000) is unhealthy in (target-group {target_group}) due to (reason Health checks failed).");
    shop.event("late", "(service late) (task ", &reason);
    let ended = eventually("a task is ended for its health", seconds(20), || {
        let asked = json!({ "cluster": CLUSTER, "serviceName": "late", "desiredStatus": "STOPPED" });
        let arns = api.ecs("ListTasks", asked)["taskArns"].clone();
        arns[0].as_str().map(|arn| tasks::describe(api, arn)).ok_or(arns)
    });
    let told = (ended["stopCode"].as_str(), ended["stoppedReason"].as_str());
    let wanted = format!("Task failed ELB health checks in (target-group {target_group})");
    assert_eq!(told, (Some("ServiceSchedulerInitiated"), Some(wanted.as_str())), "{ended}");

    // Ten times AWS's pace: twelve seconds here.
    let patience = json!({ "cluster": CLUSTER, "service": "late", "healthCheckGracePeriodSeconds": 120 });
    api.ecs("UpdateService", patience);
    eventually("its target is healthy", seconds(40), || {
        let found = crate::harness::network::targets(api, &target_group);
        if found.iter().any(|target| target.ends_with(" healthy")) { Ok(()) } else { Err(found) }
    });
    let host = [("host", dns_name.as_str())];
    let answer = http::request(address, "GET", "/cgi-bin/hangs-up", &host, b"").unwrap();
    assert_eq!((answer.status, answer.header("server")), (502, Some("awselb/2.0")), "{}", answer.text());
    let page = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n";
    assert_eq!(answer.text(), page);
    shop.server.leave();
}

#[test]
fn roles_addresses_tags_and_logins_are_what_they_are() {
    if !possible(&["skopeo"]) {
        return;
    }
    let shop = Shop::open();
    let api = &shop.api;

    // A service whose subnet has no free address stays at zero.
    let fields = [("VpcId", shop.vpc.id.as_str()), ("CidrBlock", "10.0.9.0/28"), ("AvailabilityZone", "us-east-1a")];
    let full = api.ec2("CreateSubnet", &fields).get("subnetId").to_owned();
    for _ in 0..11 {
        api.ec2("CreateNetworkInterface", &[("SubnetId", &full)]);
    }
    let there = json!({ "networkConfiguration": { "awsvpcConfiguration": { "subnets": [&full], "securityGroups": [shop.group] } } });
    shop.service("stuck", tasks::WEB, there);

    // The application may do what its task role may, and nothing that the execution role may.
    let made = api.json("secretsmanager", "CreateSecret", json!({ "Name": "db", "SecretString": "hidden" }));
    let secret = made["ARN"].as_str().unwrap();
    let statement = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": secret,
    }] });
    let fields = [("RoleName", "execution"), ("PolicyName", "reads"), ("PolicyDocument", &statement.to_string())];
    api.query("iam", "PutRolePolicy", &fields);
    let trust = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": { "Service": "ecs-tasks.amazonaws.com" }, "Action": "sts:AssumeRole",
    }] });
    let fields = [("RoleName", "app"), ("AssumeRolePolicyDocument", &trust.to_string())];
    let role = api.query("iam", "CreateRole", &fields).get("Arn").to_owned();
    let mut definition = shop.definition(ROLE);
    definition["taskRoleArn"] = json!(role);
    definition["containerDefinitions"][0]["secrets"] = json!([{ "name": "DB", "valueFrom": secret }]);
    let asks = tasks::run(api, &shop.vpc, &tasks::register(api, definition), &[&shop.group]);
    let credentials: Value = eventually("the task tells its credentials", seconds(30), || {
        let lines = tasks::log_lines(api, "shop");
        lines.iter().find_map(|line| serde_json::from_str(line).ok()).ok_or(lines)
    });
    let text = |name: &str| credentials[name].as_str().unwrap().to_owned();
    let app = Api {
        access_key: text("AccessKeyId"),
        secret: text("SecretAccessKey"),
        token: Some(text("Token")),
        ..api.clone()
    };
    let refused = app.try_json("secretsmanager", "GetSecretValue", json!({ "SecretId": "db" })).unwrap_err();
    let told = format!(
        "User: arn:aws:sts::123456789012:assumed-role/app/{} is not authorized to perform: secretsmanager:GetSecretValue on resource: {secret} because no identity-based policy allows the secretsmanager:GetSecretValue action",
        tasks::id_of(&asks)
    );
    assert_eq!((refused.code.as_str(), refused.message), ("AccessDeniedException", told));

    // A tag is moved: a deployment keeps the image that it began with, and single tasks and new deployments take the other.
    shop.service("shop", tasks::WEB, json!({}));
    tasks::wait_until_stable(api, CLUSTER, "shop", seconds(40));
    let before = shop.digests("shop");
    let mut other = image::busybox();
    image::entry(&mut other, "etc/other", tar::EntryType::Regular, 0o644, "", b"other");
    image::push_again(&shop.server, &shop.image, other);
    api.ecs("UpdateService", json!({ "cluster": CLUSTER, "service": "shop", "desiredCount": 2 }));
    tasks::wait_until_stable(api, CLUSTER, "shop", seconds(40));
    assert_eq!(shop.digests("shop"), before, "tasks of one deployment have one image");
    let alone = tasks::run(api, &shop.vpc, &tasks::register(api, shop.definition(tasks::WEB)), &[&shop.group]);
    let alone = tasks::wait_for(api, &alone, "RUNNING", seconds(40));
    assert_ne!(alone["containers"][0]["imageDigest"], before[0]);
    api.ecs("UpdateService", json!({ "cluster": CLUSTER, "service": "shop", "forceNewDeployment": true }));
    tasks::wait_until_stable(api, CLUSTER, "shop", seconds(60));
    assert_eq!(shop.digests("shop"), [alone["containers"][0]["imageDigest"].as_str().unwrap()]);

    // A push without a login: clients say `no basic auth credentials` of this answer.
    let (registry, _) = shop.image.split_once('/').unwrap();
    let answer = http::request(api.address, "POST", "/v2/shop/blobs/uploads/", &[("host", registry)], b"").unwrap();
    let asked = format!("Basic realm=\"http://{registry}/\",service=\"ecr.amazonaws.com\"");
    assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some(asked.as_str())));
    assert_eq!(answer.text(), "Not Authorized\n");

    let none_left = format!(
        "was unable to place a task. Reason: Unexpected EC2 error while attempting to Create Network Interface in subnet '{full}': InsufficientFreeAddressesInSubnet."
    );
    shop.event("stuck", "(service stuck) ", &none_left);
    let found = tasks::service(api, CLUSTER, "stuck");
    assert_eq!((found["runningCount"].as_u64(), found["desiredCount"].as_u64()), (Some(0), Some(1)));
    shop.server.leave();
}
