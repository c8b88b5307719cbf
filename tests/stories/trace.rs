//! A user watches verdicts as they fall: who connects to whom, who is refused, and by which rule; then is killed, and
//! nothing of the watching stays.

use crate::harness::clients::{both, client, succeed};
use crate::harness::network::{Source, allow, vpc};
use crate::harness::server::Server;
use crate::harness::tasks::{self, WEB};
use crate::harness::{eventually, image, possible, rooted, seconds};
use nix::sched::{CloneFlags, setns};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};

/// A trace that runs.
struct Trace {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Trace {
    fn start(server: &Server, arguments: &[&str]) -> Self {
        let mut command = server.command(&[&["trace"], arguments].concat());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Its lines until one that fits, or a hundred.
    fn until(&mut self, fits: impl Fn(&str) -> bool) -> Vec<String> {
        let mut lines = Vec::new();
        for line in self.lines.by_ref().take(100) {
            lines.push(line.unwrap());
            if lines.last().is_some_and(|line| fits(line)) {
                return lines;
            }
        }
        panic!("expected a line that fits, but: {lines:#?}")
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Who listens to verdicts in a router: a line each.
fn listeners(server: &Server, router: &Path) -> Vec<String> {
    if !rooted() {
        // The server's namespaces first: from outside of them nothing leads to the router's.
        let (pid, net) = (server.pid().to_string(), format!("--net={}", router.display()));
        let mut inside = client("nsenter");
        inside.args(["--target", &pid, "--user", "--mount", "--preserve-credentials", "nsenter", &net]);
        let read = succeed(inside.args(["cat", "/proc/thread-self/net/netfilter/nfnetlink_log"]));
        return read.lines().map(str::to_owned).collect();
    }
    let file = File::open(router).unwrap();
    let read = move || {
        setns(&file, CloneFlags::CLONE_NEWNET).unwrap();
        fs::read_to_string("/proc/thread-self/net/netfilter/nfnetlink_log").unwrap()
    };
    std::thread::spawn(read).join().unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn verdicts_are_shown_as_they_fall_and_leave_nothing_behind() {
    if !possible(&["skopeo"]) {
        return;
    }
    let server = Server::start();
    let api = server.api();
    let vpc = vpc(&api);
    let (sg_web, sg_client) = (vpc.group(&api, "web"), vpc.group(&api, "client"));
    allow(&api, &sg_web, 3000, Source::Group(&sg_client));
    let image = image::push(&server, "tools", image::busybox());
    let role = tasks::ground(&api, "trace");
    let start = |script: &str, group: &str| {
        let definition = tasks::register(&api, tasks::definition("trace", &role, &image, script));
        let task = tasks::run(&api, &vpc, &definition, &[group]);
        let address = tasks::address_of(&tasks::wait_for(&api, &task, "RUNNING", seconds(30)));
        (tasks::id_of(&task)[..8].to_owned(), address)
    };
    let (web, web_ip) = start(WEB, &sg_web);
    let asks = format!(
        "trap 'exit 0' TERM; while :; do nc -w 1 {web_ip} 3000 </dev/null; nc -w 1 {web_ip} 3001 </dev/null; sleep 0.2; done"
    );
    let (asker, asker_ip) = start(&asks, &sg_client);

    let mut all = Trace::start(&server, &["--json", "--vpc", &vpc.id]);
    let of = |line: &str, port: u16| -> Option<Value> {
        let verdict: Value = serde_json::from_str(line).unwrap();
        (verdict["from"]["address"] == asker_ip.as_str() && verdict["to"]["port"] == port).then_some(verdict)
    };
    let lines = all.until(|line| of(line, 3000).is_some());
    let let_in = of(lines.last().unwrap(), 3000).unwrap();
    assert_eq!((&let_in["action"], &let_in["explained"]), (&"ACCEPT".into(), &true.into()), "{let_in:#}");
    assert_eq!(let_in["from"]["name"], format!("task {asker} of trace"), "{let_in:#}");
    assert_eq!(let_in["decidedBy"][0], sg_web.as_str(), "{let_in:#}");
    let rule = let_in["rule"].as_str().unwrap();
    assert!(rule.contains("allows tcp 3000 from") && rule.contains(&sg_client), "{rule}");
    let lines = all.until(|line| of(line, 3001).is_some());
    let refused = of(lines.last().unwrap(), 3001).unwrap();
    assert_eq!((&refused["action"], &refused["refusedOn"]), (&"REJECT".into(), &"ingress".into()), "{refused:#}");
    assert_eq!((&refused["explained"], refused["to"]["address"].as_str()), (&true.into(), Some(web_ip.as_str())));

    // Another follows one task's refusals alone, in words and without colours.
    let mut one = Trace::start(&server, &[&asker, "--rejected"]);
    let lines = one.until(|line| line.contains(":3001"));
    assert!(lines.iter().all(|line| line.contains(" REJECT tcp ") && !line.contains('\u{1b}')), "{lines:?}");
    let said = format!("{web_ip}:3001 (task {web} of trace)  security group, in: {sg_web} (web) has no rule for it");
    assert!(lines.last().unwrap().ends_with(&said), "{lines:?}");

    let router = server.traces.netns(&vpc.id);
    assert_eq!(listeners(&server, &router).len(), 1, "expected one listener for both");
    all.kill();
    one.until(|line| line.contains(":3001"));
    one.kill();
    eventually("nothing of the watching stays", seconds(10), || {
        let listeners = listeners(&server, &router);
        if listeners.is_empty() { Ok(()) } else { Err(listeners) }
    });

    let output = server.command(&["trace", "nobody"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", both(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains("aws ecs list-tasks"), "{}", both(&output));
    server.leave();
}
