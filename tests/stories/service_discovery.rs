//! Service discovery: a task finds another service by its name, and nobody once that has ended.

use crate::harness::api::Api;
use crate::harness::network::{Source, allow, vpc};
use crate::harness::server::Server;
use crate::harness::tasks::{self, CLUSTER};
use crate::harness::{eventually, image, possible, seconds};
use serde_json::{Value, json};

/// Shell: asks for the name's address, and who answers there.
const ASK: &str = r#"trap 'exit 0' TERM
while :; do
    ip=$(nslookup -type=a back.corp.local | while read -r key value more; do
        case $key$value in Address:*:53) ;; Address:*) echo $value;; esac
    done)
    echo "found $(printf 'GET /who HTTP/1.0\r\n\r\n' | nc -w 2 $ip 3000 | grep -o 'ip-10-0-.*' || echo nobody)"
    sleep 0.3
done"#;

fn cloud_map(api: &Api, operation: &str, input: Value) -> Value {
    api.json("servicediscovery", operation, input)
}

/// What the asking task has found last.
fn newest(api: &Api) -> Option<String> {
    let lines = tasks::log_lines(api, "discovery");
    lines.iter().rev().find_map(|line| line.strip_prefix("found ")).map(str::to_owned)
}

#[test]
fn a_task_finds_a_service_by_name_until_it_ends() {
    if !possible(&["skopeo"]) {
        return;
    }
    let server = Server::start();
    let api = server.api();
    let vpc = vpc(&api);
    api.ec2("ModifyVpcAttribute", &[("VpcId", &vpc.id), ("EnableDnsHostnames.Value", "true")]);
    let group = vpc.group(&api, "both");
    allow(&api, &group, 3000, Source::Group(&group));
    let image = image::push(&server, "tools", image::busybox());
    let role = tasks::ground(&api, "discovery");

    let made = cloud_map(&api, "CreatePrivateDnsNamespace", json!({ "Name": "corp.local", "Vpc": vpc.id }));
    let operation = cloud_map(&api, "GetOperation", json!({ "OperationId": made["OperationId"] }));
    let namespace = operation["Operation"]["Targets"]["NAMESPACE"].clone();
    let service = cloud_map(
        &api,
        "CreateService",
        json!({
            "Name": "back", "NamespaceId": namespace, "HealthCheckCustomConfig": {},
            "DnsConfig": { "DnsRecords": [{ "Type": "A", "TTL": 10 }] },
        }),
    );
    let service = &service["Service"];
    let asking = tasks::register(&api, tasks::definition("discovery", &role, &image, ASK));
    let serving = tasks::register(&api, tasks::definition("discovery", &role, &image, tasks::WEB));
    tasks::run(&api, &vpc, &asking, &[&group]);
    api.ecs(
        "CreateService",
        json!({
            "cluster": CLUSTER, "serviceName": "back", "taskDefinition": serving, "desiredCount": 1,
            "launchType": "FARGATE", "networkConfiguration": tasks::placed(&vpc, &[&group]),
            "serviceRegistries": [{ "registryArn": service["Arn"] }],
        }),
    );
    eventually("the task finds the service", seconds(40), || match newest(&api) {
        Some(found) if found.starts_with("ip-10-0-") => Ok(()),
        other => Err((other, tasks::messages(&tasks::service(&api, CLUSTER, "back")))),
    });
    let instances = || cloud_map(&api, "ListInstances", json!({ "ServiceId": service["Id"] }))["Instances"].clone();
    let told = &instances()[0]["Attributes"];
    assert_eq!((&told["ECS_SERVICE_NAME"], &told["AWS_INIT_HEALTH_STATUS"]), (&json!("back"), &json!("HEALTHY")));

    api.ecs("UpdateService", json!({ "cluster": CLUSTER, "service": "back", "desiredCount": 0 }));
    eventually("the task finds nobody any more", seconds(40), || match newest(&api) {
        Some(found) if found == "nobody" => Ok(()),
        other => Err(other),
    });
    assert_eq!(instances(), json!([]), "nobody is told of");
    server.leave();
}
