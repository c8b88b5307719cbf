//! A task definition is honoured whole: who waits for whom, what they share, who they are, and what they run.

use crate::harness::image;
use crate::harness::network::vpc;
use crate::harness::server::Server;
use crate::harness::tasks::{self, CLUSTER};
use crate::harness::{eventually, possible, seconds};
use serde_json::{Value, json};

/// A server with waiting times of a twentieth.
fn start() -> Server {
    let mut server = Server::prepare();
    server.begin(&["serve", "--pace", "20"]);
    server.await_line("windtunnel serve", "windtunnel ready endpoint=", seconds(20));
    server
}

/// What the application says of itself, as one event of several lines; it ends after its first turn.
const APP: &str = "n=$(cat /files/turn 2>/dev/null); echo \"EVENT turn ${n:-0}\"; cat /shared/made; cat /conf/declared; \
                   (echo x >/shared/mine) 2>/dev/null || echo shared is fixed; \
                   (echo x >/mine) 2>/dev/null || echo root is fixed; [ -t 0 ] && [ -t 1 ] && echo terminal $TERM; id; \
                   busybox ps | grep -v grep | grep -q 'sleep 12345' && echo sees the others; \
                   printf \"GET /v4/${ECS_CONTAINER_METADATA_URI_V4##*/} HTTP/1.0\\r\\n\\r\\n\" | nc -w 2 169.254.170.2 80 | \
                   grep -o '\"RestartCount\":[0-9]*'; \
                   if [ -z \"$n\" ]; then echo 1 >/files/turn; sleep 4; exit 7; fi; trap 'exit 0' TERM; while :; do sleep 0.1; done";

fn blueprint(role: &str, image: &str) -> Value {
    let mut definition = tasks::definition("blueprint", role, image, APP);
    definition["pidMode"] = json!("task");
    definition["volumes"] = json!([
        { "name": "shared" },
        { "name": "files", "efsVolumeConfiguration": { "fileSystemId": "fs-0123456789abcdef0" } },
    ]);
    let (shared, files) = ("shared", "files");
    let mount = |volume: &str, path: &str, fixed: bool| json!({ "sourceVolume": volume, "containerPath": path, "readOnly": fixed });
    let app = &mut definition["containerDefinitions"][0];
    app["dependsOn"] = json!([
        { "containerName": "first", "condition": "SUCCESS" },
        { "containerName": "side", "condition": "HEALTHY" },
    ]);
    app["mountPoints"] = json!([mount(shared, "/shared", true), mount(files, "/files", false)]);
    app["volumesFrom"] = json!([{ "sourceContainer": "side", "readOnly": true }]);
    app["restartPolicy"] = json!({ "enabled": true, "ignoredExitCodes": [0], "restartAttemptPeriod": 60 });
    (app["pseudoTerminal"], app["user"], app["readonlyRootFilesystem"]) =
        (json!(true), json!("1000:1000"), json!(true));
    app["linuxParameters"] = json!({ "initProcessEnabled": true });
    app["logConfiguration"]["options"]["awslogs-multiline-pattern"] = json!("^EVENT");
    let others = json!([
        {
            "name": "first", "image": image, "essential": false,
            "command": ["/bin/sh", "-c", "echo made by first >/shared/made; busybox chmod 777 /files"],
            "mountPoints": [mount(shared, "/shared", false), mount(files, "/files", false)],
        },
        {
            "name": "side", "image": image, "essential": true,
            "command": ["/bin/sh", "-c", "sleep 0.5; echo ok >/tmp/ok; trap 'exit 0' TERM; sleep 12345 & wait"],
            "healthCheck": { "command": ["CMD-SHELL", "cat /tmp/ok"], "interval": 5, "retries": 10 },
        },
    ]);
    definition["containerDefinitions"].as_array_mut().unwrap().extend(others.as_array().unwrap().clone());
    definition
}

#[test]
fn a_definition_is_honoured_whole() {
    if !possible(&["skopeo"]) {
        return;
    }
    let server = start();
    let api = server.api();
    let vpc = vpc(&api);
    let mut layer = image::busybox();
    image::entry(&mut layer, "conf/", tar::EntryType::Directory, 0o755, "", b"");
    image::entry(&mut layer, "conf/declared", tar::EntryType::Regular, 0o644, "", b"declared by the image\n");
    let image = image::push_with(&server, "blueprint", layer, json!({ "Volumes": { "/conf": {} } }));
    let role = tasks::ground(&api, "blueprint");
    let definition = tasks::register(&api, blueprint(&role, &image));
    let task = tasks::run(&api, &vpc, &definition, &[]);
    tasks::wait_for(&api, &task, "RUNNING", seconds(30));
    let events = eventually("the application's second turn is told", seconds(30), || {
        let events = tasks::log_lines(&api, "blueprint");
        let told = events.last().is_some_and(|event| event.contains("\"RestartCount\":1"));
        if told { Ok(events) } else { Err((events, tasks::describe(&api, &task))) }
    });
    let expected = |turn: u32, restarts: u32| {
        [
            &format!("EVENT turn {turn}"),
            "made by first",
            "declared by the image",
            "shared is fixed",
            "root is fixed",
            "terminal xterm",
            "uid=1000 gid=1000",
            "sees the others",
            &format!("\"RestartCount\":{restarts}"),
            "",
        ]
        .join("\n")
    };
    assert_eq!(events.concat().replace('\r', ""), expected(0, 0) + &expected(1, 1));
    // An event that stalls is cut, so there may be more than two.
    assert!(events.len() < 9 && events.iter().any(|event| event.lines().count() > 1), "{events:?}");
    let found = tasks::describe(&api, &task);
    assert_eq!(found["lastStatus"], "RUNNING", "expected the task to outlive the end of its application: {found}");

    // In the reverse order: those who waited first.
    api.ecs("StopTask", json!({ "cluster": CLUSTER, "task": task, "reason": "enough" }));
    let stopped = eventually("the task stops", seconds(20), || {
        let found = tasks::describe(&api, &task);
        if found["lastStatus"] == "STOPPED" { Ok(found) } else { Err(found["lastStatus"].clone()) }
    });
    assert_eq!((&stopped["stopCode"], &stopped["stoppedReason"]), (&json!("UserInitiated"), &json!("enough")));
    let codes: Vec<_> = (0..3).map(|index| stopped["containers"][index]["exitCode"].clone()).collect();
    assert_eq!(codes, [json!(0), json!(0), json!(0)], "{stopped}");
    server.leave();
}

#[test]
fn a_deployment_runs_one_image_whatever_its_tag_means_later() {
    if !possible(&["skopeo"]) {
        return;
    }
    let server = start();
    let api = server.api();
    let vpc = vpc(&api);
    let image = image::push(&server, "moving", image::busybox());
    let role = tasks::ground(&api, "moving");
    for (name, consistency) in [("steady", "enabled"), ("loose", "disabled")] {
        let mut definition = tasks::definition("moving", &role, &image, tasks::WEB);
        definition["family"] = json!(name);
        definition["containerDefinitions"][0]["versionConsistency"] = json!(consistency);
        let definition = tasks::register(&api, definition);
        api.ecs(
            "CreateService",
            json!({
                "cluster": CLUSTER, "serviceName": name, "taskDefinition": definition, "desiredCount": 1,
                "launchType": "FARGATE", "networkConfiguration": tasks::placed(&vpc, &[]),
            }),
        );
    }
    let digests = |name: &str| {
        let tasks = tasks::tasks_of(&api, CLUSTER, name);
        let of =
            |task: &String| tasks::describe(&api, task)["containers"][0]["imageDigest"].as_str().map(str::to_owned);
        let mut digests: Vec<_> = tasks.iter().filter_map(of).collect();
        digests.sort_unstable();
        digests.dedup();
        digests
    };
    for name in ["steady", "loose"] {
        tasks::wait_until_stable(&api, CLUSTER, name, seconds(30));
    }
    let old = digests("steady");
    assert_eq!((old.len(), digests("loose")), (1, old.clone()));

    let mut layer = image::busybox();
    image::entry(&mut layer, "new", tar::EntryType::Regular, 0o644, "", b"new");
    image::push_again(&server, &image, layer);
    for name in ["steady", "loose"] {
        api.ecs("UpdateService", json!({ "cluster": CLUSTER, "service": name, "desiredCount": 2 }));
    }
    for name in ["steady", "loose"] {
        tasks::wait_until_stable(&api, CLUSTER, name, seconds(30));
    }
    assert_eq!(digests("steady"), old, "expected a task of the deployment to run the image that it began with");
    assert_eq!(digests("loose").len(), 2, "expected a task that does not care to run what the tag means now");

    // Another deployment asks anew.
    api.ecs("UpdateService", json!({ "cluster": CLUSTER, "service": "steady", "forceNewDeployment": true }));
    tasks::wait_until_stable(&api, CLUSTER, "steady", seconds(60));
    let new = digests("steady");
    assert!(new.len() == 1 && new != old, "expected the new deployment to run the new image: {old:?} {new:?}");
    server.leave();
}
