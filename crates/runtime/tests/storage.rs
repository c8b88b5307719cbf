//! A task's own file system: how much fits into it, what becomes of it, and that it is gone with the task whoever is killed.

#![allow(clippy::unwrap_used, reason = "tests")]

mod host;

use host::{Host, container, loops, output, shell, task, wait_for, wait_for_exit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use runtime::{
    ContainerState, ExecSpec, Mount, MountSource, Native, Restart, Runtime, StartWhen, TaskId, TaskSpec, TaskStatus,
};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const MIB: u64 = 1 << 20;
/// The least that makes sense: one group of ext4's, into which a little more fits.
const SIZE: u64 = 64 * MIB;

/// None, and a word why, where tasks can have no file systems.
fn host() -> Option<Host> {
    if !Path::new("/dev/loop-control").exists() {
        println!("SKIPPED: needs loop devices");
        return None;
    }
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    if map.split_whitespace().ne(["0", "0", "4294967295"]) {
        println!("SKIPPED: needs root, as a user namespace is given no loop device");
        return None;
    }
    if !["/sbin", "/usr/sbin", "/usr/bin"].iter().any(|dir| Path::new(dir).join("mke2fs").exists()) {
        println!("SKIPPED: needs mke2fs (package e2fsprogs)");
        return None;
    }
    Host::new()
}

fn limited(containers: Vec<runtime::ContainerSpec>) -> TaskSpec {
    TaskSpec { storage_bytes: Some(SIZE), ..task(containers) }
}

fn image(host: &Host, id: &TaskId) -> PathBuf {
    host.data_dir().join("tasks").join(id.as_str()).join("storage.ext4")
}

/// Runs a script in the first container, which must not fail.
async fn exec(native: &Native, id: &TaskId, script: &str) -> String {
    let argv = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    let done = native.exec(id, "app", ExecSpec { argv, timeout: host::PATIENCE }).await.unwrap();
    let text = String::from_utf8_lossy(&done.output).into_owned();
    assert_eq!(done.code, Some(0), "{script}: {text}");
    text
}

async fn used(native: &Native, id: &TaskId) -> u64 {
    native.storage(id).await.unwrap().expect("the task has a file system of its own").used
}

#[tokio::test]
async fn what_containers_write_into_layers_and_volumes_counts_together() {
    let Some(host) = host() else { return };
    let native = host.open().await;
    let mut first = shell("dd if=/dev/zero of=/layer bs=1M count=80 2>/dev/null && echo wrote; sleep 60");
    let mut second = container("second", &["/bin/sh", "-c", "dd if=/dev/zero of=/data/file bs=1M count=80; exit $?"]);
    for spec in [&mut first, &mut second] {
        let source = MountSource::TaskVolume("shared".into());
        spec.mounts = vec![Mount { source, target: "/data".into(), read_only: false }];
    }
    second.start = StartWhen::Asked;
    let spec = limited(vec![first, second]);
    let id = spec.id.clone();
    native.start(spec).await.unwrap();
    while output(&native, &id, "app").await.is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let usage = native.storage(&id).await.unwrap().unwrap();
    assert!(usage.total >= SIZE && usage.total < SIZE + 128 * MIB, "{usage:?}");
    native.start_container(&id, "second").await.unwrap();
    let status = wait_for(&native, &id, |s| s.container("second").unwrap().state.is_over()).await;
    let ContainerState::Exited(exit) = &status.container("second").unwrap().state else { panic!("{status:?}") };
    let lines = output(&native, &id, "second").await;
    assert!(exit.code == 1 && lines.iter().any(|l| l.contains("No space left on device")), "{exit:?} {lines:?}");
    assert!(used(&native, &id).await >= 80 * MIB);
    native.remove(&id).await.unwrap();
    host.assert_gone(&id);
}

#[tokio::test]
async fn what_is_deleted_inside_takes_no_room_outside() {
    let Some(host) = host() else { return };
    let native = host.open().await;
    let spec = limited(vec![shell("sleep 60")]);
    let id = spec.id.clone();
    native.start(spec).await.unwrap();
    let taken = || std::fs::metadata(image(&host, &id)).unwrap().blocks() * 512;
    let fresh = taken();
    assert!(fresh < 2 * MIB, "an empty one takes {fresh} bytes");
    exec(&native, &id, "dd if=/dev/zero of=/file bs=1M count=40 conv=fsync 2>&1").await;
    assert!(taken() > 40 * MIB && used(&native, &id).await > 40 * MIB);
    exec(&native, &id, "rm /file && sync").await;
    assert!(used(&native, &id).await < MIB, "it is still counted");
    assert!(taken() < 4 * MIB, "{} bytes are taken by what was deleted", taken());
    native.remove(&id).await.unwrap();
    host.assert_gone(&id);
}

#[tokio::test]
async fn a_container_that_starts_again_finds_what_it_wrote_and_another_task_does_not() {
    let Some(host) = host() else { return };
    let native = host.open().await;
    let mut first = shell("[ -e /tmp/mark ] && cat /tmp/mark && exit 0; echo before > /tmp/mark; exit 1");
    first.restart = Some(Restart { ignored_codes: vec![0], after: Duration::ZERO });
    let spec = limited(vec![first]);
    let id = spec.id.clone();
    native.start(spec).await.unwrap();
    assert_eq!(wait_for_exit(&native, &id).await.code, 0);
    assert_eq!(output(&native, &id, "app").await, ["before"]);
    // Made of the same template at the same time.
    let other = limited(vec![shell("ls /tmp; exit 0")]);
    let other_id = other.id.clone();
    native.start(other).await.unwrap();
    assert_eq!(wait_for_exit(&native, &other_id).await.code, 0);
    assert!(output(&native, &other_id, "app").await.is_empty());
    for id in [&id, &other_id] {
        native.remove(id).await.unwrap();
        host.assert_gone(id);
    }
}

#[tokio::test]
async fn containers_that_share_namespaces_have_it_too() {
    let Some(host) = host() else { return };
    let native = host.open().await;
    let mut spec = limited(vec![shell("dd if=/dev/zero of=/file bs=1M count=200; exit $?")]);
    (spec.shared_ipc, spec.shared_processes) = (true, true);
    let id = spec.id.clone();
    native.start(spec).await.unwrap();
    let (exit, lines) = (wait_for_exit(&native, &id).await, output(&native, &id, "app").await);
    assert!(exit.code == 1 && lines.iter().any(|l| l.contains("No space left on device")), "{exit:?} {lines:?}");
    native.remove(&id).await.unwrap();
    host.assert_gone(&id);
}

#[tokio::test]
async fn many_tasks_at_once_find_a_device_each() {
    let Some(host) = host() else { return };
    let native = host.open().await;
    let mut starting = tokio::task::JoinSet::new();
    for number in 0..12 {
        let native = native.clone();
        starting.spawn(async move {
            let spec = limited(vec![shell(&format!("echo {number} > /mine; sleep 60"))]);
            let id = spec.id.clone();
            native.start(spec).await.unwrap();
            id
        });
    }
    for id in starting.join_all().await {
        assert_eq!(loops(&id).len(), 1);
        exec(&native, &id, "cat /mine").await;
        native.remove(&id).await.unwrap();
        host.assert_gone(&id);
    }
}

#[tokio::test]
async fn a_later_daemon_finds_it_as_it_was() {
    let Some(host) = host() else { return };
    let spec = limited(vec![shell("echo early > /mark; while :; do sleep 0.05; done")]);
    let id = spec.id.clone();
    {
        let native = host.open().await;
        native.start(spec).await.unwrap();
        exec(&native, &id, "while [ ! -e /mark ]; do sleep 0.01; done; dd if=/dev/zero of=/file bs=1M count=20 2>&1")
            .await;
        kill(Pid::from_raw(native.launcher_pid().unwrap() as i32), Signal::SIGKILL).unwrap();
    }
    let native = host.open().await;
    assert_eq!(exec(&native, &id, "cat /mark").await, "early\n");
    assert!(used(&native, &id).await >= 20 * MIB);
    native.remove(&id).await.unwrap();
    host.assert_gone(&id);
}

#[tokio::test]
async fn a_killed_shim_leaves_nothing_of_it() {
    let Some(host) = host() else { return };
    let native = host.open().await;
    let spec = limited(vec![
        shell("dd if=/dev/zero of=/file bs=1M count=20; sleep 60"),
        container("b", &["/bin/sleep", "60"]),
    ]);
    let id = spec.id.clone();
    native.start(spec).await.unwrap();
    let state = std::fs::read(host.run_dir().join("tasks").join(id.as_str()).join("state.json")).unwrap();
    let shim: serde_json::Value = serde_json::from_slice(&state).unwrap();
    kill(Pid::from_raw(i32::try_from(shim["pid"].as_i64().unwrap()).unwrap()), Signal::SIGKILL).unwrap();
    wait_for(&native, &id, TaskStatus::is_over).await;
    native.remove(&id).await.unwrap();
    host.assert_gone(&id);
}

#[tokio::test]
async fn shims_that_are_killed_while_they_start_leave_nothing_either() {
    let Some(host) = host() else { return };
    let native = host.open().await;
    if !Host::limits(&native) {
        return;
    }
    for round in 0u64..20 {
        let spec = limited(vec![shell("sleep 60")]);
        let id = spec.id.clone();
        let starting = tokio::spawn({
            let native = native.clone();
            async move { native.start(spec).await.is_ok() }
        });
        tokio::time::sleep(Duration::from_micros(500 + round * 900)).await;
        let launcher = native.launcher_pid().unwrap();
        for group in host.cgroups() {
            let all = std::fs::read_to_string(group.join("shims/cgroup.procs")).unwrap_or_default();
            for pid in all.lines().filter_map(|line| line.parse::<u32>().ok()).filter(|pid| *pid != launcher) {
                let _ = kill(Pid::from_raw(pid as i32), Signal::SIGKILL);
            }
        }
        if starting.await.unwrap() {
            native.remove(&id).await.unwrap();
        }
        host.assert_gone(&id);
    }
}

#[tokio::test]
async fn what_a_daemon_left_that_died_before_the_start_is_swept() {
    let Some(host) = Host::new() else { return };
    drop(host.open().await);
    let id = TaskId::generate();
    let home = host.data_dir().join("tasks").join(id.as_str());
    std::fs::create_dir_all(home.join("storage")).unwrap();
    std::fs::create_dir_all(home.join("containers/app")).unwrap();
    std::fs::File::create(image(&host, &id)).unwrap().set_len(SIZE).unwrap();
    let native = host.open().await;
    assert!(native.list().await.unwrap().is_empty());
    host.assert_gone(&id);
}

#[tokio::test]
async fn a_task_that_asks_for_none_has_none() {
    let Some(host) = Host::new() else { return };
    let native = host.open().await;
    let spec = task(vec![shell("sleep 60")]);
    let id = spec.id.clone();
    native.start(spec).await.unwrap();
    assert!(native.storage(&id).await.unwrap().is_none() && loops(&id).is_empty());
    assert!(!image(&host, &id).exists());
    native.remove(&id).await.unwrap();
    host.assert_gone(&id);
}
