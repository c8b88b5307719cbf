//! A user asks why one task does not reach another, does what is told, and a real packet agrees at every step.

use crate::harness::clients::{both, client, succeed};
use crate::harness::network::{Source, allow, vpc};
use crate::harness::server::Server;
use crate::harness::tasks::{self, WEB};
use crate::harness::{image, possible, seconds};
use serde_json::Value;

/// Asks with a real packet, and expects that both agree.
fn ask(server: &Server, from: &str, to: &str) -> Value {
    let told = succeed(&mut server.command(&["explain", "path", from, to, "--probe", "--json"]));
    let answer: Value = serde_json::from_str(&told).unwrap();
    for way in answer["ways"].as_array().unwrap() {
        assert_eq!(way["probe"]["agrees"], true, "expected a real packet to do as explained: {way:#}");
    }
    answer
}

/// Expects that it is refused for this kind of reason.
fn refused(answer: &Value, kind: &str) {
    assert_eq!(answer["reachable"], false, "{answer:#}");
    assert_eq!(answer["ways"][0]["walk"]["refusal"]["reason"]["kind"], kind, "{answer:#}");
}

/// Expects that packets of this outcome get through.
fn passes(answer: &Value, outcome: &str) {
    assert_eq!(answer["reachable"], true, "{answer:#}");
    assert_eq!(answer["ways"][0]["probe"]["outcome"]["kind"], outcome, "{answer:#}");
}

#[test]
fn the_rule_that_is_told_helps_and_packets_agree() {
    if !possible(&["skopeo"]) {
        return;
    }
    let server = Server::start();
    let api = server.api();
    let vpc = vpc(&api);
    let (sg_web, sg_client) = (vpc.group(&api, "web"), vpc.group(&api, "client"));
    let image = image::push(&server, "tools", image::busybox());
    let role = tasks::ground(&api, "explain");
    let definition = tasks::register(&api, tasks::definition("explain", &role, &image, WEB));
    let start = |group: &str| {
        let task = tasks::run(&api, &vpc, &definition, &[group]);
        tasks::wait_for(&api, &task, "RUNNING", seconds(30));
        task
    };
    let (web, asker) = (start(&sg_web), start(&sg_client));
    let (web, asker) = (tasks::id_of(&web), tasks::id_of(&asker));

    // By its id's beginning, and to the port that its containers name.
    let answer = ask(&server, &asker[..8], &format!("task/{web}"));
    refused(&answer, "noGroupRule");
    assert_eq!(answer["port"], 3000);
    let command = answer["ways"][0]["changes"][0]["command"].as_str().unwrap();
    assert!(command.contains(&sg_web) && command.contains(&sg_client), "{command}");
    let shown = succeed(&mut server.command(&["explain", "path", asker, web]));
    assert!(shown.contains(&format!("no ingress rule of {sg_web} (web) allows it")), "{shown}");
    assert!(shown.contains(command) && !shown.contains('\u{1b}'), "expected plain text in a pipe, but: {shown}");

    if possible(&["aws"]) {
        let mut shell = client("sh");
        shell.args(["-c", command]).env("AWS_ENDPOINT_URL", server.endpoint()).env("AWS_DEFAULT_REGION", "us-east-1");
        succeed(shell.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test"));
    } else {
        allow(&api, &sg_web, 3000, Source::Group(&sg_client));
    }
    passes(&ask(&server, asker, web), "connected");
    let other_port = ask(&server, asker, &format!("{web}:3001"));
    refused(&other_port, "noGroupRule");

    // Those outside are not in the group.
    refused(&ask(&server, "internet", web), "noGroupRule");
    allow(&api, &sg_web, 3000, Source::World);
    passes(&ask(&server, "internet", web), "connected");
    // An address without a port is pinged.
    let address = tasks::address_of(&tasks::describe(&api, web));
    let ping = ask(&server, asker, &address);
    assert_eq!(ping["protocol"], "icmp");
    refused(&ping, "noGroupRule");
    passes(&ask(&server, asker, "api.ecr.us-east-1.amazonaws.com"), "connected");
    refused(&ask(&server, asker, "203.0.113.9:443"), "nobodyOutside");

    let output = server.command(&["explain", "path", "nobody", web]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", both(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains("aws ecs list-tasks"), "{}", both(&output));
    server.leave();
}
