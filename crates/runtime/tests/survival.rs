//! What goes on when processes of the product are killed.

#![allow(clippy::unwrap_used, reason = "tests")]

mod host;

use host::{Host, output, shell, task, wait_for, wait_for_exit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use runtime::{ContainerState, Runtime, TaskStatus, reset_host};
use std::time::Duration;

/// Dead is also what only waits for its parent to take note.
fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

fn pid_of(status: &TaskStatus) -> u32 {
    match status.containers[0].state {
        ContainerState::Running { pid, .. } => pid,
        ref other => panic!("does not run: {other:?}"),
    }
}

/// The process that holds the shims' end: parent of the container's first process.
fn shim_of(pid: u32) -> u32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(')').unwrap().1.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_later_daemon_adopts_tasks_and_learns_of_ends_that_happened_meanwhile() {
    let Some(host) = Host::new() else { return };
    let (lives, dies) = (
        task(vec![shell("trap 'exit 6' TERM; echo one; while :; do sleep 0.05; done")]),
        task(vec![shell("sleep 0.3; echo last; exit 9")]),
    );
    let (lives_id, dies_id) = (lives.id.clone(), dies.id.clone());
    let pid;
    {
        // Dropped with its runtime: connections close and the launcher dies, as at a kill of the daemon.
        let native = host.open().await;
        pid = pid_of(&native.start(lives).await.unwrap());
        native.start(dies).await.unwrap();
        let launcher = Pid::from_raw(native.launcher_pid().unwrap() as i32);
        kill(launcher, Signal::SIGKILL).unwrap();
    }
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(is_alive(pid), "a container died with the daemon");
    let native = host.open().await;
    let ids: Vec<_> = native.list().await.unwrap().into_iter().map(|s| s.task).collect();
    assert!(ids.contains(&lives_id) && ids.contains(&dies_id));
    let exit = wait_for_exit(&native, &dies_id).await;
    assert_eq!((exit.code, output(&native, &dies_id, "app").await), (9, vec!["last".to_owned()]));
    assert_eq!(pid_of(&native.status(&lives_id).await.unwrap()), pid, "another process was adopted");
    native.stop(&lives_id, None).await.unwrap();
    assert_eq!(wait_for_exit(&native, &lives_id).await.code, 6);
    for id in [&lives_id, &dies_id] {
        native.remove(id).await.unwrap();
        host.assert_gone(id);
    }
}

#[tokio::test]
async fn a_killed_launcher_is_replaced_and_tasks_do_not_notice() {
    let Some(host) = Host::new() else { return };
    let native = host.open().await;
    let first = task(vec![shell("sleep 60")]);
    let first_id = first.id.clone();
    let pid = pid_of(&native.start(first).await.unwrap());
    let launcher = native.launcher_pid().unwrap();
    kill(Pid::from_raw(launcher as i32), Signal::SIGKILL).unwrap();
    // An order that is sent while it is dying is lost with it, and the start says so; what is promised is for after that.
    while is_alive(launcher) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let second = task(vec![shell("exit 0")]);
    let second_id = second.id.clone();
    native.start(second).await.unwrap();
    assert_ne!(native.launcher_pid().unwrap(), launcher);
    assert_eq!(wait_for_exit(&native, &second_id).await.code, 0);
    assert!(is_alive(pid));
    native.remove(&first_id).await.unwrap();
    assert!(!is_alive(pid));
}

#[tokio::test]
async fn a_killed_shim_takes_its_containers_along_and_that_is_told() {
    let Some(host) = Host::new() else { return };
    let native = host.open().await;
    let spec = task(vec![shell("trap '' TERM; sleep 60; sleep 60")]);
    let id = spec.id.clone();
    let pid = pid_of(&native.start(spec).await.unwrap());
    kill(Pid::from_raw(shim_of(pid) as i32), Signal::SIGKILL).unwrap();
    let exit = wait_for_exit(&native, &id).await;
    assert_eq!((exit.code, exit.reason.as_deref()), (137, Some("the task's supervisor was killed")));
    for _ in 0..500 {
        if !is_alive(pid) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!is_alive(pid), "the container outlived its shim");
    native.remove(&id).await.unwrap();
    host.assert_gone(&id);
}

#[tokio::test]
async fn a_shutdown_waits_until_the_processes_that_it_killed_are_buried() {
    let Some(host) = Host::new() else { return };
    let native = host.open().await;
    if !Host::limits(&native) {
        return;
    }
    let idle: Vec<std::ffi::OsString> = ["/bin/busybox", "sleep", "60"].map(Into::into).into();
    for _ in 0..50 {
        native.start_companion(&idle).unwrap();
    }
    let group = host.cgroups().remove(0).join("companions/cgroup.procs");
    while std::fs::read_to_string(&group).unwrap_or_default().lines().count() < 50 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    native.shutdown().await;
    assert_eq!(host.cgroups(), [] as [std::path::PathBuf; 0], "control groups were left");
}

#[tokio::test]
async fn a_shutdown_lets_containers_end_by_themselves_and_is_remembered() {
    let Some(host) = Host::new() else { return };
    let native = host.open().await;
    let polite = shell("trap 'echo bye; exit 6' TERM; echo up; while :; do sleep 0.05; done");
    let deaf = shell("trap '' TERM; echo up; while :; do sleep 0.05; done");
    let mut hasty = deaf.clone();
    hasty.stop_timeout = Duration::from_millis(100);
    let over = shell("exit 9");
    let mut ids = Vec::new();
    for container in [polite, deaf, hasty, over] {
        let spec = task(vec![container]);
        ids.push(spec.id.clone());
        native.start(spec).await.unwrap();
    }
    wait_for_exit(&native, &ids[3]).await;
    for id in &ids[..3] {
        while output(&native, id, "app").await.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    let left = tokio::time::timeout(Duration::from_secs(4), native.shutdown()).await;
    left.expect("tasks were not told to end at the same time, or one held the shutdown up");
    drop(native);
    // As the server does: nothing of it is left there.
    std::fs::remove_dir_all(host.run_dir()).unwrap();

    let native = host.open().await;
    let mut ends = Vec::new();
    for id in &ids {
        let exit = wait_for_exit(&native, id).await;
        ends.push((exit.code, exit.reason));
    }
    let stopped = Some("Windtunnel was stopped".to_owned());
    assert_eq!(ends, [(6, stopped.clone()), (137, stopped.clone()), (137, stopped), (9, None)]);
    assert_eq!(output(&native, &ids[0], "app").await, ["up", "bye"], "the last words are kept");
    for id in &ids {
        native.remove(id).await.unwrap();
        host.assert_gone(id);
    }
}

#[tokio::test]
async fn a_host_can_be_cleared_without_a_daemon() {
    let Some(host) = Host::new() else { return };
    let pid;
    {
        let native = host.open().await;
        pid = pid_of(&native.start(task(vec![shell("sleep 60")])).await.unwrap());
    }
    assert!(is_alive(pid));
    reset_host(&host.run_dir(), &host.instance).unwrap();
    assert!(!is_alive(pid), "a container survived the reset");
    assert_eq!(host.cgroups(), [] as [std::path::PathBuf; 0]);
    // The next daemon knows how it ended.
    let native = host.open().await;
    let list = native.list().await.unwrap();
    assert!(list[0].is_over(), "{list:?}");
    let id = list[0].task.clone();
    native.remove(&id).await.unwrap();
    host.assert_gone(&id);
}

#[tokio::test]
async fn shims_are_small() {
    let Some(host) = Host::new() else { return };
    let native = host.open().await;
    let mut pids = Vec::new();
    let mut ids = Vec::new();
    for _ in 0..5 {
        let spec = task(vec![shell("sleep 60")]);
        ids.push(spec.id.clone());
        pids.push(pid_of(&native.start(spec).await.unwrap()));
    }
    let pss = |pid: u32| {
        let text = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", shim_of(pid))).unwrap();
        let line = text.lines().find(|l| l.starts_with("Pss:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let sizes: Vec<_> = pids.iter().map(|pid| pss(*pid)).collect();
    println!("PSS of shims in KiB: {sizes:?}");
    assert!(sizes.iter().all(|kib| *kib < 1024), "a shim is larger than 1 MiB: {sizes:?} KiB");
    for id in ids {
        native.stop(&id, Some(Duration::ZERO)).await.unwrap();
        wait_for(&native, &id, TaskStatus::is_over).await;
    }
}
