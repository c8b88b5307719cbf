//! A client of Service Connect that has ports of its own, and two services under one name, of which one says nothing of HTTP.

use crate::harness::api::Api;
use crate::harness::network::{Source, Vpc, allow, revoke, vpc};
use crate::harness::server::Server;
use crate::harness::tasks::{self, CLUSTER};
use crate::harness::{eventually, image, possible, seconds};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Asks `api` for its task's name again and again, by HTTP and by a connection of which nobody knows what it carries. It has port 80
/// for itself, which is `api`'s too.
const ASKS: &str = "trap 'exit 0' TERM; mkdir -p /tmp/w; httpd -p 80 -h /tmp/w; grep api /etc/hosts; while :; do \
                    for port in 80 81; do a=$({ printf 'GET /who HTTP/1.0\\r\\n\\r\\n'; sleep 0.5; } | nc -w 3 api $port 2>&1 | \
                    busybox tail -n 1); echo \"$port ${a:-nobody}\"; done; done";

struct Shop {
    server: Server,
    api: Api,
    vpc: Vpc,
    role: String,
    image: String,
}

impl Shop {
    fn service(&self, name: &str, script: &str, count: u32, group: &str, ports: Value, connect: Value) {
        let mut definition = tasks::definition(name, &self.role, &self.image, script);
        definition["containerDefinitions"][0]["portMappings"] = ports;
        let definition = tasks::register(&self.api, definition);
        self.api.ecs(
            "CreateService",
            json!({
                "cluster": CLUSTER, "serviceName": name, "taskDefinition": definition, "desiredCount": count,
                "launchType": "FARGATE", "networkConfiguration": tasks::placed(&self.vpc, &[group]),
                "serviceConnectConfiguration": connect,
            }),
        );
        tasks::wait_until_stable(&self.api, CLUSTER, name, seconds(60));
    }

    /// What the client was told since its `seen`th line, once `right`.
    fn until(&self, what: &str, right: impl Fn(&[String]) -> bool) {
        let seen = tasks::log_lines(&self.api, "client").len();
        eventually(what, seconds(40), || {
            let lines = tasks::log_lines(&self.api, "client").split_off(seen);
            if right(&lines) { Ok(()) } else { Err(lines) }
        });
    }
}

/// Who answered on a port.
fn who(lines: &[String], port: &str) -> BTreeSet<String> {
    let start = format!("{port} ip-");
    lines.iter().filter(|line| line.starts_with(&start)).cloned().collect()
}

#[test]
fn services_meet_under_a_short_name_over_the_vpc() {
    if !possible(&["skopeo"]) {
        return;
    }
    let server = Server::start_brisk();
    let api = server.api();
    let vpc = vpc(&api);
    let role = tasks::ground(&api, "api");
    for name in ["/ecs/raw", "/ecs/client"] {
        api.json("logs", "CreateLogGroup", json!({ "logGroupName": name }));
    }
    let image = image::push(&server, "shop", image::busybox());
    let made =
        api.ecs("UpdateCluster", json!({ "cluster": CLUSTER, "serviceConnectDefaults": { "namespace": "corp" } }));
    let namespace = made["cluster"]["serviceConnectDefaults"]["namespace"].as_str().unwrap().to_owned();
    assert!(namespace.starts_with("arn:aws:servicediscovery:us-east-1:123456789012:namespace/ns-"), "{namespace}");
    let (inside, outside) = (vpc.group(&api, "api"), vpc.group(&api, "client"));
    allow(&api, &inside, 3000, Source::Group(&outside));
    let shop = Shop { server, api, vpc, role, image };
    let api = &shop.api;
    shop.service(
        "api",
        tasks::WEB,
        2,
        &inside,
        json!([
            { "containerPort": 3000, "name": "web", "appProtocol": "http" },
        ]),
        json!({ "enabled": true, "services": [
            { "portName": "web", "discoveryName": "api", "clientAliases": [{ "port": 80, "dnsName": "api" }] },
        ] }),
    );
    // The same port again, of which this service says nothing.
    let taken = json!({
        "cluster": CLUSTER, "serviceName": "other", "taskDefinition": "api", "desiredCount": 0, "launchType": "FARGATE",
        "networkConfiguration": tasks::placed(&shop.vpc, &[&inside]),
        "serviceConnectConfiguration": { "enabled": true, "services": [
            { "portName": "web", "discoveryName": "other", "clientAliases": [{ "port": 80, "dnsName": "api" }] },
        ] },
    });
    assert_eq!(api.try_json("ecs", "CreateService", taken).unwrap_err().code, "InvalidParameterException");
    shop.service(
        "raw",
        tasks::WEB,
        1,
        &inside,
        json!([{ "containerPort": 3000, "name": "raw" }]),
        json!({ "enabled": true, "services": [
            { "portName": "raw", "clientAliases": [{ "port": 81, "dnsName": "api" }] },
        ] }),
    );
    let found = tasks::service(api, CLUSTER, "api");
    let resources = &found["deployments"][0]["serviceConnectResources"];
    assert_eq!(resources[0]["discoveryName"], "api", "{found}");
    let shown = &found["deployments"][0]["serviceConnectConfiguration"];
    assert_eq!((shown["enabled"].as_bool(), shown["namespace"].as_str()), (Some(true), Some(namespace.as_str())));

    shop.service("client", ASKS, 1, &outside, json!([]), json!({ "enabled": true }));
    let answer = |lines: &[String]| (who(lines, "80").len(), who(lines, "81").len());
    shop.until("both tasks of api answer, and raw's", |lines| answer(lines) == (2, 1));
    let hosts = tasks::log_lines(api, "client");
    assert!(hosts.iter().any(|line| line == "127.255.0.1\tapi" || line == "127.255.0.1 api"), "{hosts:?}");

    // Another task takes its share.
    api.ecs("UpdateService", json!({ "cluster": CLUSTER, "service": "api", "desiredCount": 3 }));
    shop.until("the third answers too", |lines| who(lines, "80").len() == 3);

    // Every packet passes the groups; requests over connections that stand go on, as everywhere.
    revoke(api, &inside, 3000, Source::Group(&outside));
    shop.until("no new connection comes about", |lines| lines.iter().any(|line| line == "81 nobody"));
    allow(api, &inside, 3000, Source::Group(&outside));
    shop.until("it is reached again", |lines| who(lines, "81").len() == 1);

    // What is gone is not told of any more.
    let listed = |expected: usize| {
        eventually("Cloud Map follows", seconds(20), || {
            let found = api.json("servicediscovery", "ListServices", json!({}));
            if found["Services"].as_array().is_some_and(|all| all.len() == expected) { Ok(()) } else { Err(found) }
        });
    };
    listed(2);
    api.ecs("DeleteService", json!({ "cluster": CLUSTER, "service": "raw", "force": true }));
    listed(1);
    eventually("two services are left in the namespace", seconds(20), || {
        let found = api.ecs("ListServicesByNamespace", json!({ "namespace": "corp" }));
        if found["serviceArns"].as_array().is_some_and(|all| all.len() == 2) { Ok(()) } else { Err(found) }
    });
    shop.server.leave();
}
