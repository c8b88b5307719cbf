//! Every task has its role's credentials and its metadata from its first moment, the first in a VPC and those that come
//! when all others have gone.

use crate::harness::network::vpc;
use crate::harness::server::Server;
use crate::harness::tasks;
use crate::harness::{eventually, image, possible, seconds};
use serde_json::json;

/// Asks for both at once, and says whether they came.
const ASK: &str = "ask() { printf \"GET $1 HTTP/1.0\\r\\n\\r\\n\" | nc -w 2 169.254.170.2 80; }; \
                   c=$(ask $AWS_CONTAINER_CREDENTIALS_RELATIVE_URI); m=$(ask /v4/${ECS_CONTAINER_METADATA_URI_V4##*/}); \
                   case $c in *AccessKeyId*) echo credentials;; *) echo \"no credentials: $c\";; esac; \
                   case $m in *DockerId*) echo metadata;; *) echo \"no metadata: $m\";; esac";

#[test]
fn each_task_has_credentials_from_its_first_moment() {
    if !possible(&["skopeo"]) {
        return;
    }
    let server = Server::start();
    let api = server.api();
    let vpc = vpc(&api);
    let image = image::push(&server, "asks", image::busybox());
    let role = tasks::ground(&api, "asks");
    let mut definition = tasks::definition("asks", &role, &image, ASK);
    definition["taskRoleArn"] = json!(role);
    let definition = tasks::register(&api, definition);
    for number in 1..=3 {
        let task = tasks::run(&api, &vpc, &definition, &[]);
        // The next one begins when this one's interface is gone, and with the last interface the VPC's router.
        eventually(&format!("task {number} ends"), seconds(30), || {
            let found = tasks::describe(&api, &task);
            if found["lastStatus"] == "STOPPED" { Ok(()) } else { Err(found["lastStatus"].clone()) }
        });
        let lines = eventually(&format!("task {number} has told"), seconds(10), || {
            let lines = tasks::log_lines(&api, "asks");
            if lines.len() >= 2 * number { Ok(lines) } else { Err(lines) }
        });
        let wrong: Vec<_> = lines.iter().filter(|line| line.starts_with("no ")).collect();
        assert!(wrong.is_empty(), "expected task {number} to have both at once, but: {wrong:?}");
    }
    server.leave();
}
