//! A person looks into a running container: with a client of Session Manager, and with `windtunnel exec`.

use crate::harness::api::{Api, Refused};
use crate::harness::channel::DataChannel;
use crate::harness::clients::both;
use crate::harness::network::vpc;
use crate::harness::server::Server;
use crate::harness::tasks::{self, CLUSTER};
use crate::harness::{eventually, image, possible, seconds};
use serde_json::{Value, json};
use std::io::Write;
use std::process::Stdio;

/// A role that tasks may have, with these permissions or none.
fn role(api: &Api, name: &str) -> String {
    let trust = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": { "Service": "ecs-tasks.amazonaws.com" }, "Action": "sts:AssumeRole",
    }] });
    let fields = [("RoleName", name), ("AssumeRolePolicyDocument", &trust.to_string())];
    api.query("iam", "CreateRole", &fields).get("Arn").to_owned()
}

fn permit(api: &Api, role: &str, actions: &Value) {
    let policy = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": actions, "Resource": "*",
    }] });
    let policy = policy.to_string();
    api.query("iam", "PutRolePolicy", &[("RoleName", role), ("PolicyName", "own"), ("PolicyDocument", &policy)]);
}

fn execute(api: &Api, task: &str, command: &str) -> Result<Value, Refused> {
    let input =
        json!({ "cluster": CLUSTER, "task": task, "container": "app", "interactive": true, "command": command });
    api.try_json("ecs", "ExecuteCommand", input)
}

/// Opens a session that must come about.
fn session(api: &Api, task: &str, command: &str) -> DataChannel {
    let answer = execute(api, task, command);
    DataChannel::open(&answer.unwrap_or_else(|refused| panic!("expected a session, but: {refused:?}")))
}

#[test]
fn a_command_is_executed_in_a_running_container() {
    if !possible(&["skopeo"]) {
        return;
    }
    let mut server = Server::start_brisk();
    let api = server.api();
    let vpc = vpc(&api);
    let image = image::push(&server, "app", image::busybox());
    let execution = tasks::ground(&api, "exec");
    let agent = role(&api, "agent");
    permit(&api, "agent", &json!(["ssmmessages:OpenControlChannel"]));
    api.json("logs", "CreateLogGroup", json!({ "logGroupName": "/sessions" }));
    let logging = json!({ "executeCommandConfiguration": {
        "logging": "OVERRIDE", "logConfiguration": { "cloudWatchLogGroupName": "/sessions" },
    } });
    api.ecs("UpdateCluster", json!({ "cluster": CLUSTER, "configuration": logging }));

    // A task without a role cannot have it; one with a role can, and its agents run.
    let mut definition = tasks::definition("exec", &execution, &image, "sleep 600");
    let run = |definition: &Value, enabled: bool| {
        let registered = tasks::register(&api, definition.clone());
        let input = json!({
            "cluster": CLUSTER, "taskDefinition": registered, "launchType": "FARGATE",
            "networkConfiguration": tasks::placed(&vpc, &[]), "enableExecuteCommand": enabled,
        });
        let made = api.try_json("ecs", "RunTask", input)?;
        Ok::<_, Refused>(made["tasks"][0]["taskArn"].as_str().unwrap().to_owned())
    };
    let refused = run(&definition, true).unwrap_err();
    assert!(refused.message.contains("because a valid taskRoleArn is not being used"), "{refused:?}");
    let plain = run(&definition, false).unwrap();
    definition["taskRoleArn"] = json!(agent);
    let mut second = definition["containerDefinitions"][0].clone();
    second["name"] = json!("second");
    second["portMappings"] = json!([]);
    definition["containerDefinitions"].as_array_mut().unwrap().push(second);
    let task = run(&definition, true).unwrap();
    let running = tasks::wait_for(&api, &task, "RUNNING", seconds(60));
    let managed = &running["containers"][1]["managedAgents"][0];
    assert_eq!((&managed["name"], &managed["lastStatus"]), (&json!("ExecuteCommandAgent"), &json!("RUNNING")));
    tasks::wait_for(&api, &plain, "RUNNING", seconds(60));

    refusals(&api, &task, &plain);
    // The agent is nobody as long as its role may do too little, and finds out by itself when it may.
    let refused = execute(&api, &task, "sh").unwrap_err();
    assert_eq!(refused.code, "TargetNotConnectedException", "{refused:?}");
    permit(&api, "agent", &json!(["ssmmessages:*", "logs:CreateLogStream", "logs:PutLogEvents"]));
    let answer = eventually("the agent connects once its role may", seconds(20), || {
        execute(&api, &task, r#"/bin/sh -c "id && echo exec-done""#)
    });
    assert_eq!(answer["containerName"], "app", "{answer}");
    let stream = answer["session"]["streamUrl"].as_str().unwrap();
    assert!(stream.starts_with(&format!("ws://{}/v1/data-channel/ecs-execute-command-", server.address)), "{stream}");

    in_terminals(&api, &task, &answer);
    with_our_own_client(&server, &task);
    in_spite_of_a_crash(&mut server, &task);
    server.leave();
}

fn refusals(api: &Api, task: &str, plain: &str) {
    let refused = |changed: &str, to: Value| {
        let mut input = json!({
            "cluster": CLUSTER, "task": task, "container": "app", "interactive": true, "command": "sh",
        });
        input[changed] = to;
        let refused = api.try_json("ecs", "ExecuteCommand", input).unwrap_err();
        assert_eq!(refused.code, "InvalidParameterException", "{changed}: {refused:?}");
        refused.message
    };
    assert!(refused("interactive", json!(false)).contains("Interactive must be true"));
    assert_eq!(refused("task", json!("0".repeat(32))), "The referenced task was not found.");
    assert_eq!(refused("task", json!("short")), "task length should be one of [32,36]");
    assert_eq!(refused("container", json!("nosuch")), "Unable to start session because the container doesn't exist.");
    assert!(refused("container", json!(null)).contains("more than one container"));
    assert!(refused("task", json!(plain)).starts_with("The execute command failed because execute command was not"));
}

fn in_terminals(api: &Api, task: &str, answer: &Value) {
    let mut channel = DataChannel::open(answer);
    let output = channel.until("exec-done\r\n");
    assert!(output.starts_with("uid=0(root) gid=0"), "{output:?}");
    assert_eq!(channel.end(), (String::new(), String::new()));

    let mut channel = session(api, task, "/bin/sh");
    channel.resize(100, 30);
    channel.input("busybox stty size\r");
    channel.until("\r\n30 100\r\n");
    channel.resize(50, 20);
    channel.input_out_of_order("busybox stty", " size\r");
    channel.until("\r\n20 50\r\n");
    channel.input("echo $TERM; exit 3\r");
    channel.until("\r\nxterm-256color\r\n");
    assert_eq!(channel.end().0, "");

    let missing = session(api, task, "/bin/bash");
    let why = "Unable to start command: Failed to start pty: fork/exec /bin/bash: no such file or directory";
    assert_eq!(missing.end().0, format!("----------ERROR-------\n{why}"));
    let mut endless = session(api, task, "sleep 600");
    endless.terminate();
    assert_eq!(endless.end().0, "");
    // A token opens one session, once.
    let used = answer["session"]["streamUrl"].as_str().unwrap().split('/').next_back().unwrap().to_owned();
    let again = crate::harness::http::request(
        api.address,
        "GET",
        &format!("/v1/data-channel/{used}"),
        &[
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ],
        b"",
    );
    assert_eq!(again.unwrap().status, 404);

    let id = answer["session"]["sessionId"].as_str().unwrap();
    let input = json!({ "logGroupName": "/sessions", "logStreamName": id });
    let lines: Vec<String> = eventually("the session is written down", seconds(10), || {
        let found = api.try_json("logs", "GetLogEvents", input.clone())?;
        let events = found["events"].as_array().into_iter().flatten();
        Ok::<_, Refused>(events.filter_map(|event| event["message"].as_str().map(str::to_owned)).collect())
    });
    assert_eq!(lines.last().map(String::as_str), Some("exec-done"), "{lines:?}");
}

fn with_our_own_client(server: &Server, task: &str) {
    let exec = ["exec", task, "--container", "app", "sh", "-c", "cat; echo \"it's\" >&2; exit 7"];
    let mut command = server.command(&exec);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all("spoken\n".repeat(5000).as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", both(&output));
    assert_eq!(output.stdout, "spoken\n".repeat(5000).as_bytes(), "{}", both(&output));
    assert_eq!(output.stderr, b"it's\n");
    let output = server.command(&["exec", task, "sh"]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", both(&output));
    assert!(both(&output).contains("InvalidParameterException: Unable to start session"), "{}", both(&output));
}

fn in_spite_of_a_crash(server: &mut Server, task: &str) {
    let mut channel = session(&server.api(), task, r#"sh -c "echo up; sleep 7777; echo down""#);
    channel.until("up");
    let group = format!("{}/app", tasks::id_of(task));
    let of_the_session = |server: &Server| {
        let processes = server.traces.processes_in(&group);
        processes.into_iter().filter(|process| process.command().contains("sleep 7777")).collect::<Vec<_>>()
    };
    eventually("the session's processes run in the container's group", seconds(10), || {
        let found = of_the_session(server);
        if found.len() == 2 { Ok(()) } else { Err(found) }
    });
    server.kill();
    eventually("the session ends with the server", seconds(10), || {
        let found = of_the_session(server);
        if found.is_empty() { Ok(()) } else { Err(found) }
    });
    server.serve_brisk();
    tasks::wait_for(&server.api(), task, "RUNNING", seconds(10));
    eventually("a session can be opened again", seconds(20), || execute(&server.api(), task, "true"));
}
