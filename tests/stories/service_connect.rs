//! Service Connect: a task calls another service by a short name, through the proxy in its own network.

use crate::harness::api::Api;
use crate::harness::network::{Source, Vpc, allow, vpc};
use crate::harness::server::Server;
use crate::harness::tasks::{self, CLUSTER};
use crate::harness::{eventually, image, possible, seconds};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Shell: asks for who answers at the alias, which is in `/etc/hosts`, a few times a second. (A static busybox cannot look names up.)
const ASK: &str = r#"trap 'exit 0' TERM
while read -r address name more; do
    case $name in api) ip=$address;; esac
done </etc/hosts
echo "alias $ip"
while :; do
    echo "found $(printf 'GET /who HTTP/1.0\r\n\r\n' | nc -w 2 $ip 8080 | grep -o 'ip-10-0-.*' || echo nobody)"
    sleep 0.1
done"#;

/// Who has answered the asking task of late.
fn newest(api: &Api) -> BTreeSet<String> {
    let lines = tasks::log_lines(api, "client");
    lines.iter().rev().take(12).filter_map(|line| line.strip_prefix("found ")).map(str::to_owned).collect()
}

fn create(api: &Api, vpc: &Vpc, group: &str, (name, definition, count): (&str, &str, u32), services: Value) {
    api.ecs(
        "CreateService",
        json!({
            "cluster": CLUSTER, "serviceName": name, "taskDefinition": definition, "desiredCount": count,
            "launchType": "FARGATE", "networkConfiguration": tasks::placed(vpc, &[group]),
            "serviceConnectConfiguration": { "enabled": true, "services": services },
        }),
    );
}

#[test]
fn a_client_calls_an_alias_and_all_tasks_of_the_service_answer() {
    if !possible(&["skopeo"]) {
        return;
    }
    let server = Server::start();
    let api = server.api();
    let vpc = vpc(&api);
    let (serving, asking) = (vpc.group(&api, "api"), vpc.group(&api, "client"));
    let image = image::push(&server, "tools", image::busybox());
    let role = tasks::ground(&api, "client");
    api.json("logs", "CreateLogGroup", json!({ "logGroupName": "/ecs/api" }));
    let cluster = json!({ "cluster": CLUSTER, "serviceConnectDefaults": { "namespace": "internal" } });
    let cluster = api.ecs("UpdateCluster", cluster);
    let namespace = &cluster["cluster"]["serviceConnectDefaults"]["namespace"];
    assert!(namespace.as_str().is_some_and(|arn| arn.contains(":namespace/ns-")), "the default is an ARN: {cluster}");

    let mut web = tasks::definition("api", &role, &image, tasks::WEB);
    web["containerDefinitions"][0]["portMappings"] =
        json!([{ "name": "web", "containerPort": 3000, "appProtocol": "http" }]);
    let web = tasks::register(&api, web);
    let services =
        json!([{ "portName": "web", "discoveryName": "api", "clientAliases": [{ "port": 8080, "dnsName": "api" }] }]);
    create(&api, &vpc, &serving, ("api", &web, 2), services);
    let client = tasks::register(&api, tasks::definition("client", &role, &image, ASK));
    create(&api, &vpc, &asking, ("client", &client, 1), json!([]));

    let stable = tasks::wait_until_stable(&api, CLUSTER, "api", seconds(40));
    let resource = &stable["deployments"][0]["serviceConnectResources"][0];
    assert_eq!(resource["discoveryName"], "api", "{stable}");
    let arn = resource["discoveryArn"].as_str().unwrap_or_else(|| panic!("no endpoint: {stable}"));
    let instances = || {
        let service = arn.rsplit('/').next().unwrap();
        let found = api.json("servicediscovery", "ListInstances", json!({ "ServiceId": service }));
        found["Instances"].as_array().cloned().unwrap_or_default()
    };
    assert_eq!(instances().len(), 2, "Cloud Map knows both tasks");
    tasks::wait_until_stable(&api, CLUSTER, "client", seconds(40));
    let found = api.ecs("ListTasks", json!({ "cluster": CLUSTER, "serviceName": "client" }));
    let task = tasks::describe(&api, found["taskArns"][0].as_str().unwrap());
    let of_proxy =
        |container: &&Value| container["name"].as_str().is_some_and(|name| name.starts_with("ecs-service-connect-"));
    let proxy = task["containers"].as_array().unwrap().iter().find(of_proxy);
    assert_eq!(proxy.map(|proxy| &proxy["lastStatus"]), Some(&json!("RUNNING")), "{task}");

    eventually("nobody answers whom the group does not let in", seconds(20), || {
        let found = newest(&api);
        if found == BTreeSet::from(["nobody".to_owned()]) { Ok(()) } else { Err(found) }
    });
    assert!(tasks::log_lines(&api, "client").contains(&"alias 127.255.0.1".to_owned()), "the alias is in /etc/hosts");
    allow(&api, &serving, 3000, Source::Group(&asking));
    eventually("both tasks answer, and nobody fails", seconds(30), || {
        let found = newest(&api);
        if found.len() == 2 && !found.contains("nobody") { Ok(()) } else { Err(found) }
    });
    api.ecs("UpdateService", json!({ "cluster": CLUSTER, "service": "api", "desiredCount": 3 }));
    eventually("the third task answers too", seconds(30), || {
        let found = newest(&api);
        if found.len() == 3 && !found.contains("nobody") { Ok(()) } else { Err(found) }
    });
    api.ecs("UpdateService", json!({ "cluster": CLUSTER, "service": "api", "desiredCount": 0 }));
    eventually("nobody is left", seconds(30), || {
        let found = newest(&api);
        if found == BTreeSet::from(["nobody".to_owned()]) && instances().is_empty() { Ok(()) } else { Err(found) }
    });
    api.ecs("DeleteService", json!({ "cluster": CLUSTER, "service": "api" }));
    eventually("the endpoint goes with its service", seconds(10), || {
        let found = api.json("servicediscovery", "ListServices", json!({}));
        if found["Services"] == json!([]) { Ok(()) } else { Err(found) }
    });
    server.leave();
}
