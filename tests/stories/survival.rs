//! Whatever is killed, traffic goes on, and what was killed comes back.

use crate::harness::api::Api;
use crate::harness::clients::succeed;
use crate::harness::host::{Process, names};
use crate::harness::load::Load;
use crate::harness::network::{Balancer, Source, Vpc, allow, balancer, vpc};
use crate::harness::server::Server;
use crate::harness::tasks::{self, CLUSTER, WEB};
use crate::harness::{eventually, image, possible, rooted, seconds};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const WEB_SERVICE: &str = "web";

/// A service of three behind a load balancer.
struct World {
    server: Server,
    api: Api,
    vpc: Vpc,
    balancer: Balancer,
    role: String,
    image: String,
}

fn build(server: Server) -> World {
    let api = server.api();
    let vpc = vpc(&api);
    let (sg_alb, sg_ecs) = (vpc.group(&api, "alb"), vpc.group(&api, "ecs"));
    allow(&api, &sg_alb, 80, Source::World);
    allow(&api, &sg_ecs, 3000, Source::Group(&sg_alb));
    let balancer = balancer(&api, &vpc, "web", &sg_alb);
    let image = image::push(&server, "web", image::busybox());
    let role = tasks::ground(&api, WEB_SERVICE);
    let definition = tasks::register(&api, tasks::definition(WEB_SERVICE, &role, &image, WEB));
    api.ecs(
        "CreateService",
        json!({
            "cluster": CLUSTER,
            "serviceName": WEB_SERVICE,
            "taskDefinition": definition,
            "desiredCount": 3,
            "launchType": "FARGATE",
            "networkConfiguration": tasks::placed(&vpc, &[&sg_ecs]),
            "loadBalancers": [
                { "targetGroupArn": balancer.target_group, "containerName": "app", "containerPort": 3000 },
            ],
        }),
    );
    let world = World { server, api, vpc, balancer, role, image };
    world.wait_until_well();
    world
}

impl World {
    /// Three tasks running, three targets healthy, nothing under way.
    fn wait_until_well(&self) -> Value {
        let service = tasks::wait_until_stable(&self.api, CLUSTER, WEB_SERVICE, seconds(60));
        eventually("the load balancer finds three healthy targets and no others", seconds(40), || {
            let targets = self.balancer.targets(&self.api);
            let well = targets.len() == 3 && targets.iter().all(|target| target.ends_with(" healthy"));
            if well { Ok(()) } else { Err(targets) }
        });
        service
    }

    /// The service's tasks, each with the processes of its container.
    fn tasks(&self) -> BTreeMap<String, Vec<Process>> {
        let tasks = tasks::tasks_of(&self.api, CLUSTER, WEB_SERVICE);
        tasks.into_iter().map(|task| (task.clone(), self.first_processes(&task))).collect()
    }

    /// The shell that is a container's first process; the web server's forks come and go.
    fn first_processes(&self, task: &str) -> Vec<Process> {
        let all = self.server.traces.processes_in(&format!("{}/app", tasks::id_of(task)));
        let pids: Vec<i32> = all.iter().map(|process| process.pid).collect();
        all.into_iter().filter(|process| process.parent().is_some_and(|parent| !pids.contains(&parent))).collect()
    }

    fn one_process(&self, group: &str, mark: &str) -> Process {
        let all = self.server.traces.processes_in(group);
        let found = all.into_iter().find(|process| process.command().contains(mark));
        found.unwrap_or_else(|| panic!("expected a process {mark} to run in the control group {group}"))
    }
}

fn kill_9(process: &Process) {
    kill(Pid::from_raw(process.pid), Signal::SIGKILL).unwrap();
}

#[test]
fn traffic_goes_on_whatever_is_killed() {
    if !possible(&["skopeo"]) {
        return;
    }
    let mut world = build(Server::start());
    let load = Load::start(world.balancer.address, &world.balancer.dns_name, "/who");
    load.for_another(seconds(1)).assert_undisturbed("nothing happens");

    the_server(&mut world, &load);
    the_launcher(&world, &load);
    the_proxy(&world, &load);
    a_shim(&world, &load);

    // A crash, and nobody who comes back.
    let processes = world.server.traces.processes();
    assert!(processes.len() > 6, "the story sees the server's processes: {processes:#?}");
    drop(load);
    world.server.kill();
    world.server.reset();
    world.server.assert_host_as_before(&processes);
}

/// A stop with Ctrl-C is no crash: tasks may say their last words, and the next server tells the truth about their ends.
#[test]
fn a_stop_of_the_server_ends_tasks_politely_and_is_told() {
    if !possible(&["skopeo"]) {
        return;
    }
    let mut server = Server::start();
    let api = server.api();
    let vpc = vpc(&api);
    let group = vpc.group(&api, "tasks");
    let image = image::push(&server, "app", image::busybox());
    let role = tasks::ground(&api, "stop");
    let ways = [
        ("trap 'echo bye; exit 6' TERM; echo up; while :; do sleep 1 & wait; done", 6),
        ("trap '' TERM; echo up; while :; do sleep 1; done", 137),
    ];
    let started = ways.map(|(script, code)| {
        let definition = tasks::register(&api, tasks::definition("stop", &role, &image, script));
        (tasks::run(&api, &vpc, &definition, &[&group]), code)
    });
    for (task, _) in &started {
        tasks::wait_for(&api, task, "RUNNING", seconds(60));
    }
    let begun = std::time::Instant::now();
    assert!(server.end(Signal::SIGINT).success(), "expected the server to end well at SIGINT");
    let took = begun.elapsed();
    assert!(took < seconds(8), "expected a task that heeds no signal to hold the server up for 2 s, not {took:?}");

    server.serve();
    let api = server.api();
    for (task, code) in &started {
        let task = tasks::wait_for(&api, task, "STOPPED", seconds(60));
        let told = (&task["stopCode"], &task["stoppedReason"], &task["containers"][0]["exitCode"]);
        let wanted = (&json!("TerminationNotice"), &json!("Windtunnel was stopped"), &json!(code));
        assert_eq!(told, wanted, "what DescribeTasks says of a task that ended with the server: {task:#}");
    }
    eventually("the last words of a task arrive in its log", seconds(20), || {
        let lines = tasks::log_lines(&api, "stop");
        if lines.iter().any(|line| line == "bye") { Ok(()) } else { Err(lines) }
    });
    server.leave();
}

/// Without the server, tasks and load balancer go on; the next one takes them over as they are, and can deploy.
fn the_server(world: &mut World, load: &Load) {
    let before = world.tasks();
    assert!(before.values().all(|processes| processes.len() == 1), "one container a task: {before:#?}");
    let events = tasks::messages(&world.wait_until_well());
    let tally = load.tally();
    world.server.kill();
    load.for_another(seconds(3)).assert_undisturbed("the server is dead");
    world.server.serve();
    load.for_another(seconds(6)).assert_undisturbed("a new server takes over");
    // Of all of it, the moments of death and of coming back included.
    let whole = load.since(&tally);
    whole.assert_undisturbed("the server dies and comes back");
    assert_eq!(whole.opened, 0, "expected connections to stay open while the server dies and comes back");
    assert_eq!(world.tasks(), before, "expected the new server to take over the same tasks with the same processes");
    let service = world.wait_until_well();
    assert_eq!(service["runningCount"], 3);
    assert_eq!(tasks::messages(&service), events, "expected ECS to have had nothing to do");

    // It does not only look on: a deployment replaces all three without a request that fails.
    let tally = load.tally();
    let script = format!("echo second; {WEB}");
    let definition = tasks::definition(WEB_SERVICE, &world.role, &world.image, &script);
    let definition = tasks::register(&world.api, definition);
    let update = json!({ "cluster": CLUSTER, "service": WEB_SERVICE, "taskDefinition": definition });
    world.api.ecs("UpdateService", update);
    world.wait_until_well();
    let after = world.tasks();
    assert!(
        after.len() == 3 && after.keys().all(|task| !before.contains_key(task)),
        "expected the deployment to replace all tasks: {before:#?} {after:#?}"
    );
    load.since(&tally).assert_undisturbed("a deployment replaces all tasks");
}

/// The launcher only starts things; another takes its place when one is needed.
fn the_launcher(world: &World, load: &Load) {
    let before = world.tasks();
    let tally = load.tally();
    let launcher = world.server.traces.processes_in("shims");
    let launcher = launcher.into_iter().find(|process| process.parent() == Some(world.server.pid()));
    let launcher = launcher.expect("the server has a launcher");
    kill_9(&launcher);
    eventually("the killed launcher is gone", seconds(5), || if launcher.is_alive() { Err(()) } else { Ok(()) });
    let definition = tasks::definition(WEB_SERVICE, &world.role, &world.image, "echo once");
    let definition = tasks::register(&world.api, definition);
    let once = tasks::run(&world.api, &world.vpc, &definition, &[]);
    let ended = eventually("a task runs and ends after the launcher was killed", seconds(20), || {
        let task = tasks::describe(&world.api, &once);
        if task["lastStatus"] == "STOPPED" { Ok(task) } else { Err(task["lastStatus"].clone()) }
    });
    assert_eq!(ended["containers"][0]["exitCode"], 0, "expected a task to run without the old launcher: {ended}");
    assert_eq!(world.tasks(), before, "expected other tasks not to notice that the launcher was killed");
    load.since(&tally).assert_undisturbed("the launcher is replaced");
}

/// Load balancing is interrupted for as long as a process takes to start.
fn the_proxy(world: &World, load: &Load) {
    let proxy = world.one_process("companions", "__proxy");
    kill_9(&proxy);
    eventually("another proxy serves soon after one was killed", seconds(2), || {
        let tally = load.for_another(std::time::Duration::from_millis(200));
        if tally.answered > 0 && tally.failed.is_empty() { Ok(()) } else { Err(tally) }
    });
    let tally = load.tally();
    assert_ne!(world.one_process("companions", "__proxy"), proxy);
    world.wait_until_well();
    std::thread::sleep(seconds(1));
    load.since(&tally).assert_undisturbed("another proxy serves");
}

/// A shim takes its containers along; the service replaces the task.
fn a_shim(world: &World, load: &Load) {
    let before = world.tasks();
    let (task, processes) = before.iter().next().unwrap();
    let container = &processes[0];
    let shim = Process::of(container.parent().unwrap()).unwrap();
    assert!(world.server.traces.processes_in("shims").contains(&shim), "a container's parent is its shim: {shim:?}");
    kill_9(&shim);
    let stopped = eventually("the task whose shim was killed is stopped", seconds(10), || {
        let task = tasks::describe(&world.api, task);
        if task["lastStatus"] == "STOPPED" { Ok(task) } else { Err(task["lastStatus"].clone()) }
    });
    assert_eq!(stopped["stopCode"], "EssentialContainerExited", "{stopped}");
    let address = tasks::address_of(&stopped);
    eventually("the load balancer does without the dead task", seconds(10), || {
        let targets = world.balancer.targets(&world.api);
        if targets.contains(&format!("{address} healthy")) { Err(targets) } else { Ok(()) }
    });
    // What was on its way to the dead task when it was found dead.
    std::thread::sleep(seconds(1));
    let tally = load.tally();
    assert!(
        stopped["stoppedReason"].as_str().is_some_and(|reason| !reason.is_empty()),
        "expected ECS to say why the task stopped: {stopped}"
    );
    assert!(!container.is_alive(), "expected the container to die with its shim");
    world.wait_until_well();
    let after = world.tasks();
    assert!(
        after.len() == 3 && !after.contains_key(task),
        "expected the service to replace the task {task}: {after:#?}"
    );
    std::thread::sleep(seconds(1));
    load.since(&tally).assert_undisturbed("the dead task is replaced");
}

/// All processes at once: the server, the load balancers' and the tasks'. Without root nothing but files can be left then; with
/// root the network is. Either way the next server goes on from what the store says, and leaves nothing.
#[test]
fn everything_is_killed_at_once() {
    if !possible(&["skopeo"]) {
        return;
    }
    let mut world = build(Server::start_apart());
    let before = world.tasks();
    kill_all(&mut world.server);
    let processes = world.server.traces.processes();
    assert!(processes.is_empty(), "expected no process to come back by itself: {processes:#?}");

    world.server.serve();
    eventually("the service replaces the tasks that were killed", seconds(30), || {
        let after = world.tasks();
        if after.len() == 3 && after.keys().all(|task| !before.contains_key(task)) { Ok(()) } else { Err(after) }
    });
    world.wait_until_well();
    let load = Load::start(world.balancer.address, &world.balancer.dns_name, "/who");
    eventually("requests are answered again", seconds(20), || {
        let tally = load.for_another(std::time::Duration::from_millis(200));
        if tally.answered > 0 && tally.failed.is_empty() { Ok(()) } else { Err(tally.failed.len()) }
    });
    load.for_another(seconds(1)).assert_undisturbed("another server has taken over");
    drop(load);

    // And if no server comes back: whoever owns the instance clears it away, and its data stay.
    let processes = world.server.traces.processes();
    world.server.kill();
    if rooted() {
        // This would clear away what other stories have left to be taken over.
        world.server.reset();
    } else {
        let told = succeed(&mut world.server.command(&["reset", "--host"]));
        let cleared = format!("cleared instance {}", world.server.traces.instance);
        assert!(told.contains(&cleared), "expected reset --host to say {cleared:?}, but: {told}");
    }
    world.server.assert_host_as_before(&processes);
}

/// How many rounds of deaths a run has, unless `WINDTUNNEL_ROUNDS` says otherwise.
const ROUNDS: u64 = 3;

/// While a service is being updated, the server, a shim or a container dies at some moment; each time the service is what it
/// should be in the end: three tasks of the newest deployment, each once, and nothing of any other.
#[test]
fn no_task_is_lost_or_doubled_whoever_dies_under_a_rolling_update() {
    if !possible(&["skopeo"]) {
        return;
    }
    let rounds = std::env::var("WINDTUNNEL_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS);
    let mut world = build(Server::start_brisk());
    for round in 0..rounds {
        let update = json!({ "cluster": CLUSTER, "service": WEB_SERVICE, "forceNewDeployment": true });
        world.api.ecs("UpdateService", update);
        // Anywhere from the first decision to the last task's end.
        let moment = round.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
        std::thread::sleep(std::time::Duration::from_millis(moment % 2500));
        world.strike(round);
        let service = tasks::wait_until_stable(&world.api, CLUSTER, WEB_SERVICE, seconds(90));
        assert_eq!(service["runningCount"], 3, "round {round}: {service:#}");
        world.assert_each_task_once(round);
    }
    world.server.leave();
}

impl World {
    /// Kills, by turns, the server, the parent of a container, or what runs in one.
    fn strike(&mut self, round: u64) {
        let turn = round % 3;
        if turn == 0 {
            self.server.kill();
            return self.server.serve_brisk();
        }
        // A task that starts or ends has no process at this moment; another one has.
        let victim = eventually(&format!("round {round}: there is somebody to kill"), seconds(20), || {
            let all: Vec<Process> = self.tasks().into_values().flatten().collect();
            let victim = all.get(round as usize / 3 % all.len().max(1)).cloned();
            let victim = if turn == 1 { victim.and_then(|it| Process::of(it.parent()?)) } else { victim };
            victim.filter(|process| process.pid > 1).ok_or(all)
        });
        // It may have ended by itself meanwhile.
        let _ = kill(Pid::from_raw(victim.pid), Signal::SIGKILL);
    }

    /// The host runs the tasks that the API tells of, once each, and no others.
    fn assert_each_task_once(&self, round: u64) {
        eventually(
            &format!("round {round}: the host runs the service's three tasks and no others"),
            seconds(40),
            || {
                let told = self.tasks();
                let here: Vec<String> = names(&self.server.traces.run().join("tasks")).into_iter().collect();
                let mut wanted: Vec<String> = told.keys().map(|task| tasks::id_of(task).to_owned()).collect();
                wanted.sort_unstable();
                let well = wanted.len() == 3 && here == wanted && told.values().all(|processes| processes.len() == 1);
                if well { Ok(()) } else { Err((told, here)) }
            },
        );
    }
}

/// Kills until there is nobody left: whoever dies last may have started another meanwhile.
fn kill_all(server: &mut Server) {
    server.kill();
    eventually("all processes of the instance are dead", seconds(10), || {
        let processes = server.traces.processes();
        let tasks = names(&server.traces.run().join("tasks"));
        let below = tasks.iter().flat_map(|task| server.traces.processes_in(&format!("{task}/app")));
        let shims = server.traces.processes_in("shims");
        let all: Vec<_> = processes.into_iter().chain(below).chain(shims).collect();
        for process in &all {
            // It may have died with another one.
            let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
        }
        if all.is_empty() { Ok(()) } else { Err(all) }
    });
}
