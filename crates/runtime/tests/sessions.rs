//! Processes in containers that somebody talks with.

#![allow(clippy::unwrap_used, reason = "tests")]

mod host;

use host::{Host, PATIENCE, shell, task, wait_for_exit};
use runtime::{Native, Runtime, RuntimeError, Session, SessionEvent, SessionSpec, TaskId, TerminalSize};
use std::time::Duration;

const SIZE: TerminalSize = TerminalSize { rows: 40, columns: 132 };

async fn open(native: &Native, id: &TaskId, script: &str, terminal: Option<TerminalSize>) -> Session {
    let argv = vec!["sh".into(), "-c".into(), script.into()];
    native.open(id, "app", SessionSpec { argv, terminal }).await.unwrap()
}

async fn next(session: &mut Session) -> SessionEvent {
    tokio::time::timeout(PATIENCE, session.next(true)).await.expect("nothing happens in the session")
}

/// Reads until the output has `mark` in it.
async fn until(session: &mut Session, mark: &str) -> String {
    let mut seen = String::new();
    while !seen.contains(mark) {
        match next(session).await {
            SessionEvent::Output(bytes) => seen.push_str(&String::from_utf8_lossy(&bytes)),
            other => panic!("expected {mark:?} after {seen:?}, but: {other:?}"),
        }
    }
    seen
}

/// All that is written, standard error marked, and the exit code.
async fn to_the_end(mut session: Session) -> (String, String, Option<i32>) {
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    loop {
        match next(&mut session).await {
            SessionEvent::Output(bytes) => output.extend(bytes),
            SessionEvent::Errors(bytes) => errors.extend(bytes),
            SessionEvent::Ended(code) => {
                let text = |bytes| String::from_utf8(bytes).unwrap();
                return (text(output), text(errors), code);
            }
        }
    }
}

/// Processes of the container whose command line has `mark` in it, as the host sees them.
fn processes(mark: &str) -> usize {
    lines().filter(|line| line.contains(mark)).count()
}

/// Processes with this command line and no other: a shell that has yet to become it is none.
fn exactly(line: &str) -> usize {
    lines().filter(|other| other.trim_end() == line).count()
}

fn lines() -> impl Iterator<Item = String> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let line = |entry: std::fs::DirEntry| std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
    all.map(move |entry| String::from_utf8_lossy(&line(entry)).replace('\0', " "))
}

async fn eventually(what: &str, mut look: impl FnMut() -> bool) {
    let begun = tokio::time::Instant::now();
    while !look() {
        assert!(begun.elapsed() < PATIENCE, "never came to pass: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn pipes_carry_input_output_errors_and_the_exit_code() {
    let Some(host) = Host::new() else { return };
    let native = host.open().await;
    let mut spec = shell("sleep 600");
    spec.user = Some("web".into());
    spec.working_dir = Some("/made/for/it".into());
    spec.env = vec![("EXTRA".into(), "a b".into())];
    let spec = task(vec![spec]);
    let id = spec.id.clone();
    native.start(spec).await.unwrap();
    // Root, wherever the container runs, in its directory and with its environment and its capabilities.
    let script = "id -u; pwd; echo $FROM $EXTRA $HOME; grep CapEff /proc/self/status; cat; echo err >&2; exit 7";
    let mut session = open(&native, &id, script, None).await;
    session.write(b"spoken\n");
    session.finish_input();
    let (output, errors, code) = to_the_end(session).await;
    let wanted = "0\n/made/for/it\nimage a b /root\nCapEff:\t00000000a80425fb\nspoken\n";
    assert_eq!((output.as_str(), errors.as_str(), code), (wanted, "err\n", Some(7)));
    // More than pipes hold, both ways.
    let mut session = open(&native, &id, "wc -c; seq 1 100000", None).await;
    session.write(&vec![b'x'; 300_000]);
    session.finish_input();
    let (output, _, code) = to_the_end(session).await;
    assert_eq!((output.lines().next(), output.lines().count(), code), (Some("300000"), 100_001, Some(0)));
    native.remove(&id).await.unwrap();
    host.assert_gone(&id);
}

#[tokio::test]
async fn a_terminal_is_the_containers_own_and_has_the_size_that_it_is_given() {
    let Some(host) = Host::new() else { return };
    let native = host.open().await;
    let spec = task(vec![shell("sleep 600")]);
    let id = spec.id.clone();
    native.start(spec).await.unwrap();
    let script = "busybox tty; busybox stty size; echo $TERM $LANG; trap 'busybox stty size; exit 5' WINCH; \
                  echo ready; while :; do sleep 0.05; done";
    let mut session = open(&native, &id, script, Some(SIZE)).await;
    let seen = until(&mut session, "ready").await;
    assert_eq!(seen, "/dev/pts/0\r\n40 132\r\nxterm-256color C.UTF-8\r\nready\r\n");
    session.resize(TerminalSize { rows: 10, columns: 20 });
    let (output, _, code) = to_the_end(session).await;
    assert_eq!((output.as_str(), code), ("10 20\r\n", Some(5)));
    // Its user's keys are those of a terminal: an interrupt, the end of the input.
    let mut session = open(&native, &id, "trap 'echo struck' INT; cat; cat; exit 3", Some(SIZE)).await;
    session.write(b"typed\n");
    until(&mut session, "typed\r\ntyped\r\n").await;
    session.write(&[3]);
    until(&mut session, "struck").await;
    session.finish_input();
    assert_eq!(to_the_end(session).await.2, Some(3));
    let mut session = open(&native, &id, "trap 'exit 9' USR1; echo up; while :; do sleep 0.05; done", None).await;
    until(&mut session, "up").await;
    session.signal(10);
    assert_eq!(to_the_end(session).await.2, Some(9));
    native.remove(&id).await.unwrap();
    host.assert_gone(&id);
}

#[tokio::test]
async fn what_cannot_be_opened_is_refused() {
    let Some(host) = Host::new() else { return };
    let native = host.open().await;
    let spec = task(vec![shell("sleep 0.5")]);
    let id = spec.id.clone();
    native.start(spec).await.unwrap();
    let spec = SessionSpec { argv: vec!["nosuch".into()], terminal: Some(SIZE) };
    let error = native.open(&id, "app", spec.clone()).await.unwrap_err().to_string();
    assert_eq!(error, "exec: \"nosuch\": executable file not found in $PATH");
    assert!(matches!(native.open(&id, "other", spec.clone()).await, Err(RuntimeError::NoContainer { .. })));
    wait_for_exit(&native, &id).await;
    let refused = native.open(&id, "app", spec.clone()).await;
    assert!(matches!(refused, Err(RuntimeError::WrongState { state: "exited", .. })), "{refused:?}");
    native.remove(&id).await.unwrap();
    assert!(matches!(native.open(&id, "app", spec).await, Err(RuntimeError::NoTask(_))));
}

#[tokio::test]
async fn a_session_ends_with_whoever_holds_it_and_with_its_container() {
    let Some(host) = Host::new() else { return };
    let native = host.open().await;
    let spec = task(vec![shell("sleep 600")]);
    let id = spec.id.clone();
    native.start(spec).await.unwrap();
    // Dropped: the process and what it began are gone, but for what does not heed a hang-up.
    for (terminal, mark) in [(Some(SIZE), "7001"), (None, "7002")] {
        let script = format!("(trap '' HUP; exec sleep 1{mark}) & sleep 2{mark} & trap '' HUP; echo up; sleep 3{mark}");
        let mut session = open(&native, &id, &script, terminal).await;
        until(&mut session, "up").await;
        eventually("all three run", || (1..=3).all(|n| exactly(&format!("sleep {n}{mark}")) == 1)).await;
        drop(session);
        eventually("the session is gone", || {
            processes(&format!("sleep 2{mark}")) + processes(&format!("echo up; sleep 3{mark}")) == 0
        })
        .await;
        assert_eq!(exactly(&format!("sleep 1{mark}")), 1, "what ignores a hang-up was ended");
    }
    // One whose daemon dies: all of its connections close.
    let mut session = open(&native, &id, "trap '' HUP; echo up; sleep 7003", Some(SIZE)).await;
    until(&mut session, "up").await;
    drop((native, session));
    eventually("the session of a daemon that has died is gone", || processes("echo up; sleep 7003") == 0).await;
    let native = host.open().await;
    // And with the container.
    let mut session = open(&native, &id, "echo up; sleep 7004", Some(SIZE)).await;
    until(&mut session, "up").await;
    native.kill(&id).await.unwrap();
    assert_eq!(to_the_end(session).await.2, Some(137));
    wait_for_exit(&native, &id).await;
    native.remove(&id).await.unwrap();
    assert_eq!(processes("sleep 700"), 0, "something of a session was left");
    host.assert_gone(&id);
}
