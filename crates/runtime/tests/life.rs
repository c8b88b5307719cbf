//! What becomes of a container between its start and its end: restarts, standard input, terminals.

#![allow(clippy::unwrap_used, reason = "tests")]

mod host;

use host::{Host, output, run, shell, task, wait_for, wait_for_exit};
use runtime::{ContainerState, Restart, Runtime};
use std::time::Duration;

#[tokio::test]
async fn a_container_starts_again_by_its_policy_with_its_files_and_its_log() {
    let Some(host) = Host::new() else { return };
    let native = host.open().await;
    let mut spec = shell("n=$(cat /n || echo 0); n=$((n+1)); echo $n >/n; echo run $n; sleep 0.3; exit $n");
    spec.restart = Some(Restart { ignored_codes: vec![3], after: Duration::from_millis(200) });
    let spec = task(vec![spec]);
    let id = spec.id.clone();
    native.start(spec).await.unwrap();
    let exit = wait_for_exit(&native, &id).await;
    assert_eq!(exit.code, 3, "an ignored code ends it for good");
    assert_eq!(native.status(&id).await.unwrap().containers[0].restarts, 2);
    let lines = output(&native, &id, "app").await;
    let runs: Vec<_> = lines.iter().filter(|line| line.starts_with("run")).collect();
    assert_eq!(runs, ["run 1", "run 2", "run 3"], "of {lines:?}");
    native.remove(&id).await.unwrap();
    host.assert_gone(&id);
}

#[tokio::test]
async fn one_that_ends_too_soon_or_was_told_to_ends_for_good() {
    let Some(host) = Host::new() else { return };
    let native = host.open().await;
    let policy = |millis| Some(Restart { ignored_codes: vec![], after: Duration::from_millis(millis) });
    let mut soon = shell("exit 1");
    soon.restart = policy(10_000);
    let (exit, _) = run(&native, soon).await;
    assert_eq!(exit.code, 1);
    let mut told = shell("trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done");
    told.restart = policy(0);
    let told = task(vec![told]);
    let id = told.id.clone();
    native.start(told).await.unwrap();
    while output(&native, &id, "app").await.is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    native.stop(&id, None).await.unwrap();
    let status = wait_for(&native, &id, runtime::TaskStatus::is_over).await;
    let ContainerState::Exited(exit) = &status.containers[0].state else { panic!("{status:?}") };
    assert_eq!((exit.code, status.containers[0].restarts), (5, 0));
    native.remove(&id).await.unwrap();
}

#[tokio::test]
async fn standard_input_is_at_its_end_unless_it_is_to_stay_open() {
    let Some(host) = Host::new() else { return };
    let native = host.open().await;
    let read = "read line && echo read || echo end";
    assert_eq!(run(&native, shell(read)).await.1, ["end"]);
    let mut open = shell(read);
    open.stdin = true;
    let open = task(vec![open]);
    let id = open.id.clone();
    native.start(open).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!native.status(&id).await.unwrap().is_over(), "it read to an end that is not there");
    native.remove(&id).await.unwrap();
    host.assert_gone(&id);
}

#[tokio::test]
async fn a_terminal_is_one_of_the_containers_own() {
    let Some(host) = Host::new() else { return };
    let native = host.open().await;
    let script = "for fd in 0 1 2; do [ -t $fd ] && echo $fd is a terminal; done; ls -l /proc/self/fd/0 | grep -o '/dev/pts/.*'; \
                  echo error >&2; echo told >/dev/console; id -u";
    for init in [false, true] {
        let mut spec = shell(script);
        (spec.terminal, spec.init, spec.user) = (true, init, Some("web".into()));
        let (exit, lines) = run(&native, spec).await;
        let expected = ["0 is a terminal", "1 is a terminal", "2 is a terminal", "/dev/pts/0", "error", "told", "101"];
        let lines: Vec<_> = lines.iter().map(|line| line.trim_end_matches('\r')).collect();
        assert_eq!((exit.code, lines.as_slice()), (0, expected.as_slice()), "with init: {init}");
    }
}
