//! New revisions: traffic is shifted to a canary in a share that can be measured, and a broken image never gets any.

use crate::harness::api::Api;
use crate::harness::load::Load;
use crate::harness::network::{Balancer, Source, Vpc, allow, balancer, vpc};
use crate::harness::server::Server;
use crate::harness::tasks::{self, CLUSTER};
use crate::harness::{eventually, http, image, possible, seconds};
use serde_json::{Value, json};

const SERVICE: &str = "shop";

/// A web server that answers `/health`, and says under `/version` which revision it is.
fn web(version: &str) -> String {
    format!(
        "trap 'exit 0' TERM; mkdir -p /tmp/w; echo ok >/tmp/w/health; echo {version} >/tmp/w/version; \
         httpd -f -p 3000 -h /tmp/w & wait"
    )
}

struct Shop {
    server: Server,
    api: Api,
    vpc: Vpc,
    group: String,
    balancer: Balancer,
    role: String,
    image: String,
}

impl Shop {
    fn open() -> Self {
        let server = Server::start_brisk();
        let api = server.api();
        let vpc = vpc(&api);
        let (front, group) = (vpc.group(&api, "front"), vpc.group(&api, "tasks"));
        allow(&api, &front, 80, Source::World);
        allow(&api, &group, 3000, Source::Group(&front));
        let balancer = balancer(&api, &vpc, SERVICE, &front);
        let image = image::push(&server, "shop", image::busybox());
        let role = tasks::ground(&api, SERVICE);
        Self { server, api, vpc, group, balancer, role, image }
    }

    fn register(&self, image: &str, version: &str) -> String {
        tasks::register(&self.api, tasks::definition(SERVICE, &self.role, image, &web(version)))
    }

    /// Makes the service with its first revision, and waits until that is deployed.
    fn create(&self, load_balancer: Value, configuration: Value) {
        let definition = self.register(&self.image, "one");
        let input = json!({
            "cluster": CLUSTER, "serviceName": SERVICE, "taskDefinition": definition, "desiredCount": 2,
            "launchType": "FARGATE", "networkConfiguration": tasks::placed(&self.vpc, &[&self.group]),
            "loadBalancers": [load_balancer], "deploymentConfiguration": configuration,
        });
        self.api.ecs("CreateService", input);
        self.until("SUCCESSFUL");
    }

    fn deploy(&self, definition: &str) {
        let input = json!({ "cluster": CLUSTER, "service": SERVICE, "taskDefinition": definition });
        self.api.ecs("UpdateService", input);
    }

    /// The newest service deployment.
    fn newest(&self) -> Value {
        let listed = self.api.ecs("ListServiceDeployments", json!({ "cluster": CLUSTER, "service": SERVICE }));
        let arn = listed["serviceDeployments"][0]["serviceDeploymentArn"].clone();
        let input = json!({ "serviceDeploymentArns": [arn] });
        self.api.ecs("DescribeServiceDeployments", input)["serviceDeployments"][0].clone()
    }

    fn until(&self, status: &str) -> Value {
        eventually(&format!("the deployment becomes {status}"), seconds(90), || {
            let found = self.newest();
            if found["status"] == status { Ok(found) } else { Err((found, self.events())) }
        })
    }

    fn events(&self) -> Vec<String> {
        tasks::messages(&tasks::service(&self.api, CLUSTER, SERVICE))
    }

    /// How many of `requests` the second revision answers.
    fn share_of_two(&self, requests: usize) -> usize {
        let host = [("host", self.balancer.dns_name.as_str())];
        let ask = |_| {
            let answer = http::request(self.balancer.address, "GET", "/version", &host, b"").unwrap();
            assert_eq!(answer.status, 200, "expected every request to be answered: {}", answer.text());
            answer.text().trim() == "two"
        };
        (0..requests).map(ask).filter(|two| *two).count()
    }
}

/// Ten times AWS's pace: canaries bake for six seconds.
#[test]
fn a_canary_gets_its_share_of_real_requests_and_then_all() {
    if !possible(&["skopeo"]) {
        return;
    }
    let shop = Shop::open();
    let api = &shop.api;
    let vpc_id = ("VpcId", shop.vpc.id.as_str());
    let fields = [
        ("Name", "green"),
        ("Protocol", "HTTP"),
        ("Port", "3000"),
        ("TargetType", "ip"),
        vpc_id,
        ("HealthCheckPath", "/health"),
        ("HealthCheckIntervalSeconds", "5"),
        ("HealthCheckTimeoutSeconds", "2"),
        ("HealthyThresholdCount", "2"),
    ];
    let green = api.elb("CreateTargetGroup", &fields).get("TargetGroupArn").to_owned();
    let delay = [
        ("TargetGroupArn", green.as_str()),
        ("Attributes.member.1.Key", "deregistration_delay.timeout_seconds"),
        ("Attributes.member.1.Value", "5"),
    ];
    api.elb("ModifyTargetGroupAttributes", &delay);
    let found = api.elb("DescribeLoadBalancers", &[("Names.member.1", SERVICE)]);
    let listeners = api.elb("DescribeListeners", &[("LoadBalancerArn", found.get("LoadBalancerArn"))]);
    let listener = listeners.get("ListenerArn").to_owned();
    let fields = [
        ("ListenerArn", listener.as_str()),
        ("Priority", "10"),
        ("Conditions.member.1.Field", "path-pattern"),
        ("Conditions.member.1.Values.member.1", "/*"),
        ("Actions.member.1.Type", "forward"),
        ("Actions.member.1.ForwardConfig.TargetGroups.member.1.TargetGroupArn", &shop.balancer.target_group),
        ("Actions.member.1.ForwardConfig.TargetGroups.member.1.Weight", "1"),
        ("Actions.member.1.ForwardConfig.TargetGroups.member.2.TargetGroupArn", &green),
        ("Actions.member.1.ForwardConfig.TargetGroups.member.2.Weight", "0"),
    ];
    let rule = api.elb("CreateRule", &fields).get("RuleArn").to_owned();
    let trust = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": { "Service": "ecs.amazonaws.com" }, "Action": "sts:AssumeRole",
    }] });
    let fields = [("RoleName", "shifter"), ("AssumeRolePolicyDocument", &trust.to_string())];
    let shifter = api.query("iam", "CreateRole", &fields).get("Arn").to_owned();
    let policy = "arn:aws:iam::aws:policy/AmazonECSInfrastructureRolePolicyForLoadBalancers";
    api.query("iam", "AttachRolePolicy", &[("RoleName", "shifter"), ("PolicyArn", policy)]);
    shop.create(
        json!({
            "targetGroupArn": shop.balancer.target_group, "containerName": "app", "containerPort": 3000,
            "advancedConfiguration": {
                "alternateTargetGroupArn": green, "productionListenerRule": rule, "roleArn": shifter,
            },
        }),
        json!({
            "strategy": "CANARY", "canaryConfiguration": { "canaryPercent": 25.0, "canaryBakeTimeInMinutes": 1 },
        }),
    );
    assert_eq!(shop.share_of_two(40), 0);

    let load = Load::start(shop.balancer.address, &shop.balancer.dns_name, "/version");
    shop.deploy(&shop.register(&shop.image, "two"));
    let canary = |found: &Value| found["targetServiceRevision"]["requestedProductionTrafficWeight"] == 25.0;
    eventually("the canary gets its share", seconds(60), || {
        let found = shop.newest();
        if canary(&found) { Ok(()) } else { Err((found, shop.events())) }
    });
    let two = shop.share_of_two(400);
    assert!(canary(&shop.newest()), "expected the canary to bake for six seconds");
    assert!((60..=140).contains(&two), "expected about 100 of 400 requests to reach the canary, but: {two}");
    shop.until("SUCCESSFUL");
    assert_eq!(shop.share_of_two(40), 40);
    load.tally().assert_undisturbed("traffic is shifted");
    drop(load);
    shop.server.leave();
}

#[test]
fn a_broken_image_trips_the_breaker_while_the_old_tasks_serve() {
    if !possible(&["skopeo"]) {
        return;
    }
    let shop = Shop::open();
    shop.create(
        json!({ "targetGroupArn": shop.balancer.target_group, "containerName": "app", "containerPort": 3000 }),
        json!({ "deploymentCircuitBreaker": { "enable": true, "rollback": true } }),
    );
    let load = Load::start(shop.balancer.address, &shop.balancer.dns_name, "/version");
    let missing = shop.image.replace(":v1", ":v2");
    shop.deploy(&shop.register(&missing, "two"));
    let over = shop.until("ROLLBACK_SUCCESSFUL");
    let reason = "Service deployment rolled back because the circuit breaker threshold was exceeded.";
    assert_eq!(over["statusReason"], reason, "{over}");
    assert_eq!(over["deploymentCircuitBreaker"]["status"], "TRIGGERED");
    assert_eq!(shop.share_of_two(20), 0);
    let events = shop.events();
    let at = |part: &str| events.iter().rposition(|event| event.contains(part));
    let (failed, back) = (at("deployment failed: tasks failed to start."), at("rolling back to deployment ecs-svc/"));
    assert!(failed.is_some() && back < failed, "expected both, in this order, but: {events:#?}");
    load.tally().assert_undisturbed("a deployment fails and goes back");
    drop(load);
    shop.server.leave();
}

/// Tasks count as healthy only forty seconds after their start; an update before that must not take them away.
#[test]
fn a_broken_revision_takes_no_task_of_one_that_has_just_come_up() {
    if !possible(&["skopeo"]) {
        return;
    }
    let shop = Shop::open();
    let api = &shop.api;
    let input = json!({
        "cluster": CLUSTER, "serviceName": SERVICE, "taskDefinition": shop.register(&shop.image, "one"),
        "desiredCount": 2, "launchType": "FARGATE",
        "networkConfiguration": tasks::placed(&shop.vpc, &[&shop.group]),
        "deploymentConfiguration": { "deploymentCircuitBreaker": { "enable": true, "rollback": true } },
    });
    api.ecs("CreateService", input);
    let running = || {
        let input = json!({ "cluster": CLUSTER, "serviceName": SERVICE, "desiredStatus": "RUNNING" });
        let tasks = api.ecs("ListTasks", input)["taskArns"].clone();
        if tasks.as_array().is_none_or(Vec::is_empty) {
            return vec![];
        }
        let told = api.ecs("DescribeTasks", json!({ "cluster": CLUSTER, "tasks": tasks }))["tasks"].clone();
        let told = told.as_array().cloned().unwrap_or_default();
        let up = told.iter().filter(|task| task["lastStatus"] == "RUNNING");
        up.map(|task| task["taskArn"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let mut first = eventually("both tasks run", seconds(60), || {
        let up = running();
        if up.len() == 2 { Ok(up) } else { Err(up) }
    });
    shop.deploy(&shop.register(&shop.image.replace(":v1", ":v2"), "two"));
    let over = shop.until("ROLLBACK_FAILED");
    assert_eq!(over["statusReason"], "No rollback candidate was found to run the rollback.", "{over}");
    let mut left = running();
    first.sort();
    left.sort();
    assert_eq!(left, first, "{:#?}", shop.events());
    shop.server.leave();
}
