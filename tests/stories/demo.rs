//! `windtunnel demo` as a person meets it: built, tried with curl, hurt, and ended with Ctrl-C.

use crate::harness::clients::{client, curl, succeed};
use crate::harness::host::Process;
use crate::harness::load::Load;
use crate::harness::server::Server;
use crate::harness::{eventually, network, possible, rooted, seconds, tasks};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::process::Command;
use std::time::Instant;

const CLUSTER: &str = tasks::CLUSTER;
const SERVICE: &str = "user-service";

/// How the demo said it is reached.
struct Reach {
    name: String,
    /// The option by which curl finds the name's port 443: `--resolve` to a public address, or `--connect-to` a loopback port.
    option: [String; 2],
    /// The command lines that it printed.
    lines: Vec<String>,
}

impl Reach {
    fn read(printed: &str) -> Self {
        let lines: Vec<String> =
            printed.lines().map(str::trim).filter(|line| line.starts_with("curl ")).map(str::to_owned).collect();
        let words: Vec<&str> = lines.first().map(|line| line.split(' ').collect()).unwrap_or_default();
        let way = if rooted() { "--resolve" } else { "--connect-to" };
        let found = words.iter().position(|word| *word == way).and_then(|at| words.get(at + 1));
        let Some((name, there)) = found.and_then(|text| text.split_once(":443:")) else {
            panic!("expected the demo to print how curl reaches it, but: {printed}");
        };
        Self { name: name.to_owned(), option: [way.to_owned(), there.to_owned()], lines }
    }

    /// What curl needs to find `name` where the load balancer is.
    fn at(&self, name: &str) -> [String; 2] {
        let [option, there] = &self.option;
        [option.clone(), format!("{name}:443:{there}")]
    }

    /// curl for a page of the load balancer, which answers with its body, a line, and the status.
    fn get(&self, path: &str) -> Command {
        let [option, there] = self.at(&self.name);
        curl(&["-k", "-w", "\n%{http_code}", &option, &there, &format!("https://{}{path}", self.name)])
    }
}

#[test]
fn the_demo_answers_survives_the_death_of_a_task_and_ends_without_a_trace() {
    if !possible(&["curl", "aws"]) {
        return;
    }
    let mut server = Server::prepare();
    server.demo();
    let begun = Instant::now();
    server.await_line("windtunnel demo", "Ctrl-C ends the demo and its server.", seconds(120));
    println!("built after {:?}", begun.elapsed());
    let reach = Reach::read(&server.printed());

    it_answers(&server, &reach);
    a_task_dies(&server, &reach);

    let processes = server.traces.processes();
    assert!(processes.len() > 10, "the story sees the demo's processes: {processes:#?}");
    let status = server.end(Signal::SIGINT);
    assert_eq!(status.code(), Some(0), "expected the demo to end well at Ctrl-C");
    server.assert_host_as_before(&processes);
}

/// What the demo promises is so, in the words that it printed.
fn it_answers(server: &Server, reach: &Reach) {
    let (secure, plain): (Vec<_>, Vec<_>) = reach.lines.iter().partition(|line| line.contains(":443:"));
    assert_eq!((secure.len(), plain.len()), (3, 1), "a line a service and one for port 80: {:#?}", reach.lines);
    for (line, service) in secure.iter().zip(["user-service", "order-service", "payment-service"]) {
        let answer = succeed(client("sh").args(["-c", line]));
        let answer: Value = serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{line} answered {answer:?}"));
        assert_eq!(answer["service"], service, "{line} reached another service");
        assert_eq!(answer["databaseUrl"], "set", "expected {service} to have got its secret");
    }
    let answer = succeed(client("sh").args(["-c", plain[0]]));
    let location = format!("https://{}:443/", reach.name);
    assert!(answer.starts_with("HTTP/1.1 301 "), "expected port 80 to answer 301, but: {answer}");
    assert!(
        answer.to_lowercase().contains(&format!("location: {location}")),
        "expected port 80 to lead to {location}, but: {answer}"
    );
    let answer = succeed(&mut reach.get("/nowhere"));
    assert_eq!(answer, "{\"error\":\"no such service\"}\n404", "expected the fixed response for an unknown path");

    // The certificate is one that holds, for whoever trusts the demo's authority.
    let name = "demo.windtunnel.internal";
    let [option, there] = reach.at(name);
    let authority = server.data().join("demo-ca.pem");
    let authority = authority.to_str().unwrap();
    let page = format!("https://{name}/api/users/1");
    let answer = succeed(&mut curl(&["--fail", "--cacert", authority, &option, &there, &page]));
    assert!(answer.contains("user-service"), "{answer}");
}

/// The service replaces a task whose process was killed, and the load balancer does without it meanwhile.
fn a_task_dies(server: &Server, reach: &Reach) {
    let api = server.api();
    let group = api.elb("DescribeTargetGroups", &[("Names.member.1", SERVICE)]).get("TargetGroupArn").to_owned();
    let before = tasks::tasks_of(&api, CLUSTER, SERVICE);
    assert_eq!(before.len(), 3, "expected three tasks of {SERVICE}: {before:?}");
    let mut load = Load::none();
    for _ in 0..2 {
        let mut command = reach.get("/api/users/1");
        load.client(move || {
            let output = command.output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let status = text.lines().last().and_then(|line| line.parse().ok()).filter(|status| *status != 0);
            (status.ok_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned()), 0)
        });
    }
    load.for_another(seconds(1)).assert_undisturbed("nothing happens");

    let victim = &before[0];
    let address = tasks::address_of(&tasks::describe(&api, victim));
    let processes = server.traces.processes_in(&format!("{}/{SERVICE}", tasks::id_of(victim)));
    let process: &Process = processes.first().unwrap_or_else(|| panic!("expected {victim} to have a process"));
    let tally = load.tally();
    kill(Pid::from_raw(process.pid), Signal::SIGKILL).unwrap();
    eventually("the dead task's target is out of the load balancer", seconds(10), || {
        let targets = network::targets(&api, &group);
        if targets.contains(&format!("{address} healthy")) { Err(targets) } else { Ok(()) }
    });
    let out = Instant::now();

    eventually("the service runs three tasks again, one of them new", seconds(60), || {
        let now = tasks::tasks_of(&api, CLUSTER, SERVICE);
        let found = tasks::service(&api, CLUSTER, SERVICE);
        let replaced = !now.contains(victim) && before[1..].iter().all(|task| now.contains(task));
        if now.len() == 3 && replaced && found["runningCount"] == 3 {
            return Ok(());
        }
        Err((now, tasks::messages(&found)))
    });
    eventually("the load balancer finds three healthy targets", seconds(40), || {
        let targets = network::targets(&api, &group);
        let healthy = targets.iter().filter(|target| target.ends_with(" healthy")).count();
        if healthy == 3 { Ok(()) } else { Err(targets) }
    });
    let whole = load.since(&tally);
    let late: Vec<_> = whole.failed.iter().filter(|(asked, _)| *asked > out).collect();
    assert!(late.is_empty(), "expected no request to fail once the dead task's target was out, but: {late:#?}");
    // What was on its way to the dead task, and what came before its death was noticed.
    let odd: Vec<_> = whole.failed.iter().filter(|(_, why)| why != "status 502").collect();
    assert!(odd.is_empty(), "expected nothing but 502 for requests to the dying task, but: {odd:#?}");
    assert!(whole.answered > 10, "expected requests to go on: {whole:?}");
    println!("{} of {} requests failed before the target was out", whole.failed.len(), whole.answered);

    // As a person would look it up.
    let mut aws = client("aws");
    aws.args(["--endpoint-url", &server.endpoint(), "--output", "json", "ecs", "describe-services"]);
    aws.args(["--cluster", CLUSTER, "--services", SERVICE]);
    for (name, value) in [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")] {
        aws.env(name, value);
    }
    aws.env("AWS_DEFAULT_REGION", "us-east-1").env("AWS_EC2_METADATA_DISABLED", "true").env_remove("AWS_PROFILE");
    let found: Value = serde_json::from_str(&succeed(&mut aws)).unwrap();
    let found = &found["services"][0];
    assert_eq!((&found["runningCount"], &found["desiredCount"]), (&3.into(), &3.into()), "{found}");
    let new = tasks::tasks_of(&api, CLUSTER, SERVICE).into_iter().find(|task| !before.contains(task)).unwrap();
    let started = format!("(service {SERVICE}) has started 1 tasks: (task {}).", tasks::id_of(&new));
    let messages = tasks::messages(found);
    assert!(messages.contains(&started), "expected the event {started:?} among {messages:#?}");
}
