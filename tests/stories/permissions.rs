//! Policies hold for what a request means, however it names it; and nobody but the user's own tools may call.

use crate::harness::api::{Api, Refused};
use crate::harness::http;
use crate::harness::possible;
use crate::harness::server::Server;
use serde_json::{Value, json};
use std::time::Duration;
use wire::sigv4::{Secret, Signer};

/// A user with one policy, and a caller with its key.
fn user(api: &Api, name: &str, statements: &Value) -> Api {
    api.query("iam", "CreateUser", &[("UserName", name)]);
    let policy = json!({ "Version": "2012-10-17", "Statement": statements }).to_string();
    api.query("iam", "PutUserPolicy", &[("UserName", name), ("PolicyName", "own"), ("PolicyDocument", &policy)]);
    let key = api.query("iam", "CreateAccessKey", &[("UserName", name)]);
    Api { access_key: key.get("AccessKeyId").to_owned(), secret: key.get("SecretAccessKey").to_owned(), ..api.clone() }
}

fn denied(what: &str, answer: Result<Value, Refused>) {
    let refused = answer.expect_err(&format!("expected to be denied: {what}"));
    assert!(refused.code.contains("AccessDenied"), "{what}: {refused:?}");
}

#[test]
fn a_denial_holds_however_the_resource_is_named() {
    if !possible(&[]) {
        return;
    }
    let server = Server::start();
    let api = server.api();
    for cluster in ["prod", "test"] {
        api.ecs("CreateCluster", json!({ "clusterName": cluster }));
    }
    let made = api.json("secretsmanager", "CreateSecret", json!({ "Name": "db", "SecretString": "hidden" }));
    let (secret, cluster) = (made["ARN"].as_str().unwrap(), "arn:aws:ecs:us-east-1:123456789012:cluster/prod");
    let bob = user(
        &api,
        "bob",
        &json!([
            { "Effect": "Allow", "Action": "*", "Resource": "*" },
            { "Effect": "Deny", "Action": "ecs:DeleteCluster", "Resource": cluster },
            {
                "Effect": "Deny", "Action": "secretsmanager:GetSecretValue",
                "Resource": "arn:aws:secretsmanager:us-east-1:123456789012:secret:db-??????",
            },
        ]),
    );
    for name in ["prod", cluster] {
        denied(name, bob.try_json("ecs", "DeleteCluster", json!({ "cluster": name })));
    }
    bob.ecs("DeleteCluster", json!({ "cluster": "test" }));
    for name in ["db", secret] {
        denied(name, bob.try_json("secretsmanager", "GetSecretValue", json!({ "SecretId": name })));
    }
    // Another region's clusters are not this region's.
    let abroad = cluster.replace("us-east-1", "eu-west-1");
    for operation in ["DeleteCluster", "ListServices", "ListTasks"] {
        let refused = api.try_json("ecs", operation, json!({ "cluster": abroad })).unwrap_err();
        assert_eq!(refused.code, "InvalidParameterException", "{operation}: {refused:?}");
    }
    server.leave();
}

#[test]
fn what_a_value_says_is_no_resource() {
    if !possible(&[]) {
        return;
    }
    let server = Server::start();
    let api = server.api();
    let mine = "arn:aws:secretsmanager:us-east-1:123456789012:secret:mine-x";
    api.json("secretsmanager", "CreateSecret", json!({ "Name": "db", "SecretString": "hidden" }));
    let eve = user(
        &api,
        "eve",
        &json!([{
            "Effect": "Allow", "Action": "secretsmanager:*",
            "Resource": "arn:aws:secretsmanager:us-east-1:123456789012:secret:mine-*",
        }]),
    );
    for value in [mine, "x"] {
        let input = json!({ "SecretId": "db", "SecretString": value });
        denied(value, eve.try_json("secretsmanager", "PutSecretValue", input));
    }
    eve.json("secretsmanager", "CreateSecret", json!({ "Name": "mine-1", "SecretString": "x" }));
    eve.json("secretsmanager", "GetSecretValue", json!({ "SecretId": "mine-1" }));
    // And text that looks like another account's resource is text.
    let foreign = "arn:aws:iam::999999999999:role/partner";
    api.json("ssm", "PutParameter", json!({ "Name": "role", "Type": "String", "Value": foreign }));
    api.json("secretsmanager", "CreateSecret", json!({ "Name": "role", "SecretString": foreign }));
    server.leave();
}

#[test]
fn traffic_is_recorded_by_those_who_may_and_as_a_role_that_they_may_hand_on() {
    if !possible(&[]) {
        return;
    }
    let server = Server::start();
    let api = server.api();
    let vpc = |block: &str| api.ec2("CreateVpc", &[("CidrBlock", block)]).get("vpcId").to_owned();
    let (own, other) = (vpc("10.1.0.0/16"), vpc("10.2.0.0/16"));
    let arn = |what: &str| format!("arn:aws:ec2:us-east-1:123456789012:{what}");
    let role = "arn:aws:iam::123456789012:role/flow-logs";
    let may = json!({
        "Effect": "Allow",
        "Action": ["ec2:CreateFlowLogs", "ec2:DeleteFlowLogs", "ec2:DescribeFlowLogs"],
        "Resource": [arn(&format!("vpc/{own}")), arn("vpc-flow-log/*"), "*"],
    });
    let not_other = json!({ "Effect": "Deny", "Action": "ec2:*", "Resource": arn(&format!("vpc/{other}")) });
    let pass = json!({
        "Effect": "Allow", "Action": "iam:PassRole", "Resource": role,
        "Condition": { "StringEquals": { "iam:PassedToService": "vpc-flow-logs.amazonaws.com" } },
    });
    let record = |who: &Api, vpc: &str| {
        let fields = [
            ("ResourceType", "VPC"),
            ("ResourceId.1", vpc),
            ("TrafficType", "ALL"),
            ("LogGroupName", "flows"),
            ("DeliverLogsPermissionArn", role),
        ];
        who.try_query("ec2", "CreateFlowLogs", &fields)
    };
    let ann = user(&api, "ann", &json!([may, not_other]));
    let refused = record(&ann, &own).expect_err("expected the role not to be hers to hand on");
    assert!(refused.code == "UnauthorizedOperation" && refused.message.contains("iam:PassRole"), "{refused:?}");
    let bea = user(&api, "bea", &json!([may, not_other, pass]));
    let refused = record(&bea, &other).expect_err("expected the VPC to be forbidden");
    assert!(refused.code == "UnauthorizedOperation" && refused.message.contains(&other), "{refused:?}");
    let made = record(&bea, &own).expect("expected her to record her own VPC");
    let id = made.0.split("<item>").nth(1).and_then(|rest| rest.split("</item>").next()).unwrap();
    let refused = ann.try_query("ec2", "CreateTags", &[("ResourceId.1", id), ("Tag.1.Key", "a"), ("Tag.1.Value", "b")]);
    assert!(refused.is_err(), "expected tagging to need a permission");
    ann.query("ec2", "DeleteFlowLogs", &[("FlowLogId.1", id)]);
    server.leave();
}

#[test]
fn pages_of_other_sites_are_refused() {
    if !possible(&[]) {
        return;
    }
    let server = Server::start();
    let api = server.api();
    let signer = Signer {
        access_key: api.access_key.clone(),
        secret: Secret { key: api.secret.clone(), token: None },
        region: "us-east-1".to_owned(),
        service: "ec2".to_owned(),
    };
    let host = api.address.to_string();
    let query = "Action=CreateVpc&CidrBlock=10.1.0.0%2F16&Version=2016-11-15";
    let ask = |headers: &[(&str, &str)]| {
        let now = crate::harness::api::now();
        let signed = signer.presign(&host, "/", query, Duration::from_secs(60), now).unwrap();
        http::request(api.address, "GET", &format!("/?{signed}"), headers, b"").unwrap()
    };
    for headers in [("origin", "http://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")] {
        let answer = ask(&[headers]);
        assert_eq!(answer.status, 403, "expected a page of another site to be refused: {headers:?} {}", answer.text());
    }
    let own = format!("http://{host}");
    for headers in [vec![], vec![("origin", own.as_str())], vec![("sec-fetch-site", "none")]] {
        assert_eq!(ask(&headers).status, 200, "expected the user's own tools to be let in: {headers:?}");
    }
    server.leave();
}
