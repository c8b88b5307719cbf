//! VPC endpoints: a private task starts once it has all those that it needs, and their policies hold for the agent and for
//! what containers call.

use crate::harness::api::{Api, now};
use crate::harness::network::{Source, allow, gateway_endpoint, interface_endpoint, isolated, vpc};
use crate::harness::server::Server;
use crate::harness::tasks::{self, WEB, reason_of, run_in};
use crate::harness::{eventually, image, possible, seconds};
use serde_json::{Value, json};
use std::time::Duration;
use wire::sigv4::{Secret, Signer};

/// Gives an endpoint a policy of one statement that allows these actions on this resource.
fn allow_only(api: &Api, endpoint: &str, actions: &Value, resource: &str) {
    let policy = json!({ "Statement": [
        { "Effect": "Allow", "Principal": "*", "Action": actions, "Resource": resource },
    ] });
    api.ec2("ModifyVpcEndpoint", &[("VpcEndpointId", endpoint), ("PolicyDocument", &policy.to_string())]);
}

fn reset(api: &Api, endpoint: &str) {
    api.ec2("ModifyVpcEndpoint", &[("VpcEndpointId", endpoint), ("ResetPolicy", "true")]);
}

#[test]
fn a_private_task_starts_when_every_endpoint_lets_it() {
    if !possible(&["skopeo"]) {
        return;
    }
    let server = Server::start_brisk();
    let api = server.api();
    let vpc = vpc(&api);
    let image = image::push(&server, "quiet", image::busybox());
    let role = tasks::ground(&api, "quiet");
    let (subnet, table) = isolated(&api, &vpc, "10.0.10.0/24");
    let (app, doors) = (vpc.group(&api, "app"), vpc.group(&api, "endpoints"));
    allow(&api, &doors, 443, Source::Group(&app));
    let definition = tasks::register(&api, tasks::definition("quiet", &role, &image, WEB));
    let [ecr_api, ecr_dkr, logs] =
        ["ecr.api", "ecr.dkr", "logs"].map(|service| interface_endpoint(&api, &vpc, service, &subnet, &doors));
    let fails_with = |parts: &[&str]| {
        let reason = reason_of(&api, &run_in(&api, &subnet, &definition, &app));
        assert!(parts.iter().all(|part| reason.contains(part)), "expected {parts:?} in the reason, but: {reason}");
    };

    // The layers are in Amazon S3, to which nothing leads.
    let layers =
        "CannotPullContainerError: ref pull has been retried 1 time(s): failed to copy: httpReadSeeker: failed open: ";
    let bucket = "https://prod-us-east-1-starport-layer-bucket.s3.us-east-1.amazonaws.com/123456789012/quiet/";
    fails_with(&[layers, "failed to do request: Get \"", bucket, "i/o timeout"]);

    // An interface endpoint for it, with its name, which this VPC itself is to ask for.
    let s3 = interface_endpoint(&api, &vpc, "s3", &subnet, &doors);
    let task = run_in(&api, &subnet, &definition, &app);
    tasks::wait_for(&api, &task, "RUNNING", seconds(30));
    api.ec2("DeleteVpcEndpoints", &[("VpcEndpointId.1", &s3)]);

    // A way there, whose policy is for other buckets.
    let s3 = gateway_endpoint(&api, &vpc, &table);
    allow_only(&api, &s3, &json!("s3:*"), "arn:aws:s3:::my-bucket/*");
    fails_with(&[layers, "unexpected status from GET request to ", bucket, "403 Forbidden"]);

    // What AWS's documentation says is the least that ECR needs.
    allow_only(&api, &s3, &json!("s3:GetObject"), "arn:aws:s3:::prod-us-east-1-starport-layer-bucket/*");
    let task = run_in(&api, &subnet, &definition, &app);
    tasks::wait_for(&api, &task, "RUNNING", seconds(30));

    // The interface endpoints' policies hold for the agent, too.
    let because = |action: &str| format!("because no VPC endpoint policy allows the {action} action");
    allow_only(&api, &ecr_api, &json!("ecr:Describe*"), "*");
    let words = "ResourceInitializationError: unable to pull secrets or registry auth: ";
    fails_with(&[words, "AccessDeniedException", &because("ecr:GetAuthorizationToken")]);
    reset(&api, &ecr_api);
    allow_only(&api, &ecr_dkr, &json!("ecr:*"), "arn:aws:ecr:us-east-1:123456789012:repository/other");
    fails_with(&["CannotPullContainerError", "HEAD request", "403 Forbidden"]);
    reset(&api, &ecr_dkr);
    allow_only(&api, &logs, &json!("logs:PutLogEvents"), "*");
    let words = "ResourceInitializationError: failed to validate logger args: ";
    fails_with(&[words, "AccessDeniedException", &because("logs:CreateLogStream")]);
    reset(&api, &logs);
    let secrets = interface_endpoint(&api, &vpc, "secretsmanager", &subnet, &doors);
    let secret = api.json("secretsmanager", "CreateSecret", json!({ "Name": "db", "SecretString": "hidden" }));
    let policy = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": secret["ARN"],
          "Condition": { "StringEquals": { "aws:SourceVpce": &secrets } } },
    ] });
    let fields = [("RoleName", "execution"), ("PolicyName", "db"), ("PolicyDocument", &policy.to_string())];
    api.query("iam", "PutRolePolicy", &fields);
    let mut told = tasks::definition("told", &role, &image, "echo $DB; sleep 1");
    told["containerDefinitions"][0]["secrets"] = json!([{ "name": "DB", "valueFrom": secret["ARN"] }]);
    api.json("logs", "CreateLogGroup", json!({ "logGroupName": "/ecs/told" }));
    let told = tasks::register(&api, told);
    allow_only(&api, &secrets, &json!("secretsmanager:ListSecrets"), "*");
    let reason = reason_of(&api, &run_in(&api, &subnet, &told, &app));
    assert!(reason.contains(&because("secretsmanager:GetSecretValue")), "{reason}");
    reset(&api, &secrets);

    // What may not be written is lost without a word, as with the awslogs driver.
    let lines_of = |told: &str| {
        let task = run_in(&api, &subnet, told, &app);
        eventually("the task ends", seconds(30), || {
            let found = tasks::describe(&api, &task);
            if found["lastStatus"] == "STOPPED" { Ok(()) } else { Err(found["lastStatus"].clone()) }
        });
        let found = tasks::describe(&api, &task);
        assert_eq!(found["containers"][0]["exitCode"], 0, "expected the task to have run, but: {found}");
        tasks::log_lines(&api, "told")
    };
    allow_only(&api, &logs, &json!("logs:CreateLogStream"), "*");
    assert_eq!(lines_of(&told), Vec::<String>::new());
    reset(&api, &logs);
    assert_eq!(lines_of(&told), ["hidden"]);
    server.leave();
}

/// A signed request of `api` that asks STS who it is, ready to be sent to `host`.
fn who_am_i(api: &Api, host: &str) -> String {
    let signer = Signer {
        access_key: api.access_key.clone(),
        secret: Secret { key: api.secret.clone(), token: None },
        region: "us-east-1".to_owned(),
        service: "sts".to_owned(),
    };
    let query = "Action=GetCallerIdentity&Version=2011-06-15";
    let signed = signer.presign(host, "/", query, Duration::from_mins(10), now()).unwrap();
    // What printf would take for its own.
    let signed = signed.replace('%', "%%");
    format!("GET /?{signed} HTTP/1.0\\r\\nHost: {host}\\r\\n\\r\\n")
}

#[test]
fn what_a_container_calls_through_an_endpoint_meets_its_policy() {
    if !possible(&["skopeo"]) {
        return;
    }
    let server = Server::start();
    let api = server.api();
    let vpc = vpc(&api);
    let image = image::push(&server, "calls", image::busybox());
    let role = tasks::ground(&api, "calls");
    let doors = vpc.group(&api, "endpoints");
    allow(&api, &doors, 80, Source::World);
    let sts = interface_endpoint(&api, &vpc, "sts", &vpc.subnets[0], &doors);
    // The same call to the service's own host, which is the endpoint here, and to another service's endpoint.
    let monitoring = interface_endpoint(&api, &vpc, "monitoring", &vpc.subnets[0], &doors);
    assert_ne!(sts, monitoring);
    let (own, other) = ("sts.us-east-1.amazonaws.com", "monitoring.us-east-1.amazonaws.com");
    let call = |name: &str, host: &str| {
        let request = who_am_i(&api, host);
        format!(
            "echo {name} $(printf '{request}' | nc -w 2 {host} 80 | grep -o -e '<Message>.*</Message>' -e '<Arn>.*</Arn>')"
        )
    };
    let script = format!(
        "set -f; trap 'exit 0' TERM; while :; do {}; {}; sleep 0.5; done",
        call("own", own),
        call("other", other)
    );
    let definition = tasks::register(&api, tasks::definition("calls", &role, &image, &script));
    let task = tasks::run(&api, &vpc, &definition, &[]);
    tasks::wait_for(&api, &task, "RUNNING", seconds(30));
    let says = |what: &str, line: &str| {
        eventually(what, seconds(20), || {
            let last: Vec<_> = tasks::log_lines(&api, "calls").into_iter().rev().take(2).collect();
            if last.iter().any(|found| found == line) { Ok(()) } else { Err(last) }
        });
    };
    says("the call is answered", "own <Arn>arn:aws:iam::123456789012:root</Arn>");
    says(
        "the other service refuses it",
        "other <Message>Credential should be scoped to correct service: 'monitoring'.</Message>",
    );
    allow_only(&api, &sts, &json!("sts:AssumeRole"), "*");
    let denied = "User: arn:aws:iam::123456789012:root is not authorized to perform: sts:GetCallerIdentity on resource: * \
                  because no VPC endpoint policy allows the sts:GetCallerIdentity action";
    says("the call is denied", &format!("own <Message>{denied}</Message>"));
    let policy = json!({ "Statement": [
        { "Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*" },
        { "Effect": "Deny", "Principal": "*", "Action": "sts:*", "Resource": "*" },
    ] });
    api.ec2("ModifyVpcEndpoint", &[("VpcEndpointId", &sts), ("PolicyDocument", &policy.to_string())]);
    let denied = "User: arn:aws:iam::123456789012:root is not authorized to perform: sts:GetCallerIdentity on resource: * \
                  with an explicit deny in a VPC endpoint policy";
    says("the call is denied outright", &format!("own <Message>{denied}</Message>"));
    // Without the endpoint the name leads out again, and there nobody has a policy.
    api.ec2("DeleteVpcEndpoints", &[("VpcEndpointId.1", &sts)]);
    says("the call goes out", "own <Arn>arn:aws:iam::123456789012:root</Arn>");
    server.leave();
}

#[test]
fn a_gateway_endpoint_answers_whenever_its_network_comes_back() {
    if !possible(&["skopeo"]) {
        return;
    }
    let server = Server::start_brisk();
    let api = server.api();
    let vpc = vpc(&api);
    let image = image::push(&server, "brief", image::busybox());
    let role = tasks::ground(&api, "brief");
    let tables = api.ec2("DescribeRouteTables", &[("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", &vpc.id)]);
    gateway_endpoint(&api, &vpc, tables.get("routeTableId"));
    let definition = tasks::register(&api, tasks::definition("brief", &role, &image, "exit 7"));
    for number in 1..=3 {
        let task = tasks::run(&api, &vpc, &definition, &[]);
        // The next one begins when this one's interface is gone, and with the last interface the endpoint's namespace.
        let found = eventually(&format!("task {number} ends"), seconds(30), || {
            let found = tasks::describe(&api, &task);
            if found["lastStatus"] == "STOPPED" { Ok(found) } else { Err(found["lastStatus"].clone()) }
        });
        assert_eq!(found["containers"][0]["exitCode"], 7, "expected task {number} to have run, but: {found}");
    }
    server.leave();
}
