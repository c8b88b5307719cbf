//! What a new user does first: start the server, point a tool at it, look, make mistakes, and leave.

use crate::harness::clients::{both, client, succeed};
use crate::harness::server::{Server, WINDTUNNEL};
use crate::harness::{eventually, http, possible, rooted, seconds};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

#[test]
fn a_server_is_started_used_looked_at_and_left() {
    if !possible(&[]) {
        return;
    }
    let mut server = Server::start();
    let ready = server.printed();
    let expected = format!(
        "windtunnel ready endpoint={} data-dir={} pid={}\n",
        server.endpoint(),
        shown_data(&server),
        server.pid()
    );
    assert_eq!(ready, expected, "expected one ready line that tells all that a script needs");
    state_is_for_its_owner_alone(&server);
    exports_are_for_a_shell(&server);
    tools_find_it_by_the_exports(&server);
    status_tells_what_it_holds(&server);
    mistakes_are_told_with_the_next_step(&server);
    a_reader_may_go_away(&server);

    let processes = server.traces.processes();
    let status = server.end(Signal::SIGINT);
    assert!(status.success(), "expected Ctrl-C to be a clean end, but: {status}");
    server.assert_host_as_before(&processes);
    let stopped: Value = serde_json::from_str(&succeed(&mut server.command(&["status", "--json"]))).unwrap();
    assert_eq!(stopped["status"], "stopped");
    let told = succeed(&mut server.command(&["status"]));
    assert!(told.contains("windtunnel serve"), "expected status to say how to start it, but: {told}");
}

fn shown_data(server: &Server) -> String {
    server.data().display().to_string()
}

fn state_is_for_its_owner_alone(server: &Server) {
    let parts: Vec<_> = fs::read_dir(server.data()).unwrap().map(Result::unwrap).collect();
    assert!(parts.len() > 3, "expected state in {parts:?}");
    for part in parts {
        let mode = part.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "expected nobody else to get at {}: {mode:o}", part.path().display());
    }
}

fn exports_are_for_a_shell(server: &Server) {
    let exports = succeed(&mut server.command(&["env"]));
    assert!(
        exports.lines().all(|line| line.starts_with("export AWS_") && line.contains('=')),
        "expected nothing but exports, but: {exports}"
    );
    assert!(exports.contains(&format!("export AWS_ENDPOINT_URL={}\n", server.endpoint())), "{exports}");
    let json: Value = serde_json::from_str(&succeed(&mut server.command(&["env", "--json"]))).unwrap();
    assert_eq!(json["AWS_ENDPOINT_URL"], server.endpoint().as_str());
}

/// As the README says it: `eval "$(windtunnel env)"`, and then any tool.
fn tools_find_it_by_the_exports(server: &Server) {
    if !possible(&["aws"]) {
        return;
    }
    let script = "eval \"$(\"$0\" --data-dir \"$1\" env)\" && aws sts get-caller-identity --query Account --output text \
                  && aws ec2 describe-vpcs --query 'Vpcs[].CidrBlock' --output text \
                  && aws ecs create-cluster --cluster-name first --query cluster.status --output text";
    let mut shell = client("sh");
    shell.args(["-c", script, WINDTUNNEL]).arg(server.data());
    for name in ["AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_REGION"] {
        shell.env_remove(name);
    }
    assert_eq!(succeed(&mut shell), "123456789012\n172.31.0.0/16\nACTIVE\n");
}

fn status_tells_what_it_holds(server: &Server) {
    let status: Value = serde_json::from_str(&succeed(&mut server.command(&["status", "--json"]))).unwrap();
    assert_eq!((&status["status"], &status["pid"]), (&"running".into(), &server.pid().into()));
    assert_eq!(status["endpoint"], server.endpoint().as_str());
    let clusters = usize::from(possible(&["aws"]));
    assert_eq!(status["resources"]["clusters"], clusters);
    let told = succeed(&mut server.command(&["status"]));
    let unenforced = status["unenforcedLimits"].as_array().cloned().unwrap_or_default();
    let (storage, others): (Vec<_>, Vec<_>) = unenforced.iter().partition(|limit| *limit == "ephemeralStorage");
    let enforced = !server.traces.cgroups().is_empty();
    assert_eq!(others.is_empty(), enforced, "expected status to tell whether limits are enforced, but: {status}");
    let limited = rooted() && Path::new("/dev/loop-control").exists();
    assert_eq!(storage.is_empty(), limited, "expected status to tell whether storage is limited, but: {status}");
    assert_eq!(told.contains("not enforced"), !(enforced && limited), "{told}");
    assert!(
        told.contains(&server.endpoint()) && !told.contains('\u{1b}'),
        "expected plain text in a pipe, but: {told}"
    );
}

fn mistakes_are_told_with_the_next_step(server: &Server) {
    let port = server.address.to_string();
    let elsewhere = server.scratch().join("other");
    let wrong = |arguments: &[&str], code: i32, words: &[&str]| {
        let output = Command::new(WINDTUNNEL).args(arguments).stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", both(&output));
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.stdout.is_empty(), "expected errors on the standard error: {}", both(&output));
        for words in words {
            assert!(told.contains(words), "expected {arguments:?} to say {words:?}, but: {told}");
        }
    };
    let (data, elsewhere) = (shown_data(server), elsewhere.display().to_string());
    let holder = format!("pid {}", server.pid());
    wrong(&["--data-dir", &data, "serve", "--listen", "127.0.0.1:0"], 1, &[&data, &holder]);
    wrong(&["--data-dir", &elsewhere, "serve", "--listen", &port], 1, &[&port, "--listen"]);
    wrong(&["--data-dir", &data, "reset", "--yes"], 1, &[&holder, "stop it first"]);
    wrong(&["--data-dir", &elsewhere, "explain", "path", "a", "b"], 1, &[&elsewhere, "windtunnel serve"]);
    wrong(&["--data-dir", &data, "explain", "path", "a", "b:0"], 1, &["from 1 to 65535"]);
    wrong(&["--data-dir", "/proc/nowhere", "serve", "--listen", "127.0.0.1:0"], 1, &["/proc/nowhere"]);
    wrong(&["serve", "--listen", "nowhere"], 2, &["--listen"]);
    wrong(&["serve", "--nonsense"], 2, &["--nonsense", "--help"]);
    wrong(&["fly"], 2, &["fly", "--help"]);
}

/// `windtunnel … | head -1`, and a disk that is full.
fn a_reader_may_go_away(server: &Server) {
    let (data, all) = (shown_data(server), ["status", "env", "coverage", "completion bash", "status --json"]);
    for asked in all {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let told = |stdout: Stdio| {
            let mut command = Command::new(WINDTUNNEL);
            command.args(["--data-dir", &data]).args(asked.split(' ')).stdout(stdout).output().unwrap()
        };
        let gone = told(writer.into());
        assert!(gone.status.success() && gone.stderr.is_empty(), "{asked} to nobody: {}", both(&gone));
        let full = told(File::options().write(true).open("/dev/full").unwrap().into());
        let words = String::from_utf8_lossy(&full.stderr).into_owned();
        assert_eq!(full.status.code(), Some(1), "{asked} to a full disk: {}", both(&full));
        assert!(words.starts_with("windtunnel: cannot write") && words.lines().count() == 1, "{asked}: {words}");
    }
}

/// Whenever Ctrl-C comes, also while the server starts, nothing is left.
#[test]
fn ctrl_c_while_it_starts_leaves_nothing() {
    if !possible(&[]) {
        return;
    }
    for milliseconds in [5, 20, 40, 80, 120, 200] {
        let mut server = Server::prepare();
        server.begin(&["serve"]);
        std::thread::sleep(Duration::from_millis(milliseconds));
        let status = server.end(Signal::SIGINT);
        // A process that has not come to its own first line yet is ended by the kernel, and has made nothing.
        let ended = status.success() || status.signal() == Some(Signal::SIGINT as i32);
        assert!(ended, "expected Ctrl-C after {milliseconds} ms to be a clean end, but: {status}");
        server.assert_host_as_before(&BTreeSet::new());
    }
}

#[test]
fn the_end_of_the_terminal_ends_the_server_in_order() {
    if !possible(&[]) {
        return;
    }
    let mut server = Server::start();
    let processes = server.traces.processes();
    let status = server.end(Signal::SIGHUP);
    assert!(status.success(), "expected SIGHUP to be a clean end, but: {status}");
    server.assert_host_as_before(&processes);
}

/// What starts the server may stop listening to what it says.
#[test]
fn a_server_that_nobody_listens_to_serves_and_leaves_nothing() {
    if !possible(&[]) {
        return;
    }
    let mut server = Server::prepare();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    server.begin_to(&["serve"], writer.into());
    eventually("a server that nobody listens to answers", seconds(20), || {
        let answer = http::request(server.address, "GET", "/_windtunnel/status", &[], b"");
        answer.map(|answer| assert_eq!(answer.status, 200))
    });
    server.leave();
}

#[test]
fn completions_are_there_for_the_shells() {
    for shell in ["bash", "zsh", "fish"] {
        let script = succeed(Command::new(WINDTUNNEL).args(["completion", shell]));
        assert!(script.contains("windtunnel") && script.contains("status"), "{shell}: {script}");
        assert!(!script.contains("__proxy"), "expected {shell} to complete nothing of the product's own processes");
    }
    if possible(&["bash"]) {
        let script = succeed(Command::new(WINDTUNNEL).args(["completion", "bash"]));
        let asked = format!(
            "{script}\nCOMP_WORDS=(windtunnel dem); COMP_CWORD=1; _windtunnel windtunnel dem windtunnel; echo \"${{COMPREPLY[@]}}\""
        );
        assert_eq!(succeed(client("bash").args(["-c", &asked])).trim(), "demo");
    }
}
