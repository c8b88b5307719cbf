//! What a task's containers write fits into its ephemeral storage or does not, and is gone with the task, whoever is killed meanwhile.

use crate::harness::network::{Vpc, vpc};
use crate::harness::server::Server;
use crate::harness::tasks::{self, CLUSTER};
use crate::harness::{eventually, image, possible, rooted, seconds};
use serde_json::{Value, json};
use std::path::Path;

/// Takes 300 MiB, has the task's metadata say how much is in use, and then wants more than the least that AWS gives. Nothing is
/// written to what is taken, so that all of it costs no disk.
const FILL: &str = "busybox fallocate -l 300M /kept; \
                    printf \"GET /v4/${ECS_CONTAINER_METADATA_URI_V4##*/}/task HTTP/1.0\\r\\n\\r\\n\" | nc -w 2 169.254.170.2 80 \
                    | grep -o '\"EphemeralStorageMetrics\":{[^}]*}'; \
                    busybox fallocate -l 22G /big";

/// Holds nearly all, and wants more when it is told to end.
const HOLD: &str = "trap 'busybox fallocate -l 2G /more; exit $?' TERM; busybox fallocate -l 20G /held && echo held; \
                    while :; do sleep 0.1; done";

fn can_be_told() -> bool {
    if !rooted() || !Path::new("/dev/loop-control").exists() {
        println!("SKIPPED: needs root and loop devices");
        return false;
    }
    if !["/sbin", "/usr/sbin", "/usr/bin"].iter().any(|dir| Path::new(dir).join("mke2fs").exists()) {
        println!("SKIPPED: needs mke2fs (package e2fsprogs)");
        return false;
    }
    possible(&["skopeo"])
}

/// Starts a task; with a size, that instead of its definition's.
fn run(server: &Server, vpc: &Vpc, definition: &str, gib: Option<u32>) -> String {
    let overrides = gib.map_or_else(|| json!({}), |gib| json!({ "ephemeralStorage": { "sizeInGiB": gib } }));
    let made = server.api().ecs(
        "RunTask",
        json!({
            "cluster": CLUSTER, "taskDefinition": definition, "launchType": "FARGATE", "overrides": overrides,
            "networkConfiguration": tasks::placed(vpc, &[]),
        }),
    );
    made["tasks"][0]["taskArn"].as_str().unwrap_or_else(|| panic!("expected a task, but: {made}")).to_owned()
}

fn until_stopped(server: &Server, task: &str) -> Value {
    eventually("the task stops", seconds(60), || {
        let found = tasks::describe(&server.api(), task);
        if found["lastStatus"] == "STOPPED" { Ok(found) } else { Err(found["lastStatus"].clone()) }
    })
}

fn register(server: &Server, family: &str, script: &str) -> String {
    let image = image::push(server, family, image::busybox());
    let role = tasks::ground(&server.api(), family);
    let mut definition = tasks::definition(family, &role, &image, script);
    definition["ephemeralStorage"] = json!({ "sizeInGiB": 21 });
    tasks::register(&server.api(), definition)
}

fn wait_until_gone(server: &Server) {
    eventually("nothing is left of the tasks' storage", seconds(20), || {
        let left: Vec<_> = std::fs::read_dir(server.data().join("tasks")).unwrap().flatten().collect();
        let loops = server.traces.loops();
        if left.is_empty() && loops.is_empty() { Ok(()) } else { Err((left, loops)) }
    });
}

#[test]
fn a_task_cannot_write_more_than_its_storage_holds() {
    if !can_be_told() {
        return;
    }
    let server = Server::start();
    let (api, vpc) = (server.api(), vpc(&server.api()));
    let definition = register(&server, "fill", FILL);

    let small = until_stopped(&server, &run(&server, &vpc, &definition, None));
    assert_eq!(small["ephemeralStorage"]["sizeInGiB"], 21, "{small}");
    assert_eq!(small["fargateEphemeralStorage"]["sizeInGiB"], 21, "{small}");
    assert_eq!(small["containers"][0]["exitCode"], 1, "expected 22 GiB not to fit into 21: {small}");
    let lines = eventually("the task has told", seconds(10), || {
        let lines = tasks::log_lines(&api, "fill");
        if lines.len() >= 2 { Ok(lines) } else { Err(lines) }
    });
    assert!(lines[1].contains("No space left on device"), "{lines:?}");
    let metrics: Value = serde_json::from_str(&format!("{{{}}}", lines[0])).unwrap();
    let metrics = &metrics["EphemeralStorageMetrics"];
    assert_eq!(metrics["Reserved"], 21 * 1024 + 16);
    assert!((300..310).contains(&metrics["Utilized"].as_u64().unwrap()), "{metrics}");

    let large = until_stopped(&server, &run(&server, &vpc, &definition, Some(25)));
    assert_eq!(large["ephemeralStorage"]["sizeInGiB"], 25, "{large}");
    assert_eq!(large["containers"][0]["exitCode"], 0, "expected 22 GiB to fit into 25: {large}");
    wait_until_gone(&server);
    server.leave();
}

#[test]
fn storage_outlives_the_server_and_ends_with_the_task() {
    if !can_be_told() {
        return;
    }
    let mut server = Server::start();
    let (api, vpc) = (server.api(), vpc(&server.api()));
    let definition = register(&server, "hold", HOLD);
    let hold = |server: &Server, number: usize| {
        let task = run(server, &vpc, &definition, None);
        tasks::wait_for(&api, &task, "RUNNING", seconds(40));
        eventually("the task holds 20 GiB", seconds(20), || {
            let lines = tasks::log_lines(&api, "hold");
            if lines.iter().filter(|line| *line == "held").count() == number { Ok(()) } else { Err(lines) }
        });
        task
    };
    let task = hold(&server, 1);
    server.kill();
    assert_eq!(server.traces.loops().len(), 1, "expected the task's storage to outlive the server");
    server.serve();
    api.ecs("StopTask", json!({ "cluster": CLUSTER, "task": task }));
    let stopped = until_stopped(&server, &task);
    assert_eq!(stopped["containers"][0]["exitCode"], 1, "expected 2 GiB more not to fit: {stopped}");
    let lines = eventually("the task has told", seconds(10), || {
        let lines = tasks::log_lines(&api, "hold");
        if lines.len() >= 2 { Ok(lines) } else { Err(lines) }
    });
    assert!(lines[1].contains("No space left on device"), "{lines:?}");
    wait_until_gone(&server);

    // A crash, and nobody who comes back.
    hold(&server, 2);
    let processes = server.traces.processes();
    server.kill();
    server.reset();
    server.assert_host_as_before(&processes);
}
