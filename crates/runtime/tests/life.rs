//! What becomes of a container between its start and its end: restarts, standard input, terminals.

#![allow(clippy::unwrap_used, reason = "tests")]

mod host;

use host::{Host, output, run, shell, task, wait_for, wait_for_exit};
use runtime::{ContainerState, KeptVolume, Mount, MountSource, Restart, Runtime, StartError};
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

#[tokio::test]
async fn containers_that_share_processes_see_and_end_apart() {
    let Some(host) = Host::new() else { return };
    let native = host.open().await;
    let mut first = shell("trap 'exit 0' TERM; sleep 1000 & echo up; while :; do sleep 0.05; done");
    first.name = "first".into();
    let mut second =
        shell("until ps | grep -v grep | grep -q 'sleep 1000'; do sleep 0.05; done; echo seen; sleep 1000");
    (second.name, second.init) = ("second".into(), true);
    let mut spec = task(vec![first, second]);
    spec.shared_processes = true;
    let id = spec.id.clone();
    native.start(spec).await.unwrap();
    while output(&native, &id, "second").await != ["seen"] {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    native.stop_container(&id, "first", None).await.unwrap();
    let over = |status: &runtime::TaskStatus| status.container("first").unwrap().state.is_over();
    let status = wait_for(&native, &id, over).await;
    let second = &status.container("second").unwrap().state;
    assert!(matches!(second, ContainerState::Running { .. }), "the other one goes on: {second:?}");
    if Host::limits(&native) {
        let ask = runtime::ExecSpec {
            argv: ["/bin/sh", "-c", "ps | grep -v grep | grep -c 'sleep 1000'"].map(str::to_owned).into(),
            timeout: Duration::from_secs(5),
        };
        let seen = native.exec(&id, "second", ask).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&seen.output).trim(), "1", "what the first one left behind lives on");
    }
    native.remove(&id).await.unwrap();
    host.assert_gone(&id);
}

#[tokio::test]
async fn volumes_have_the_images_files_and_outlive_the_task_where_they_should() {
    let Some(host) = Host::new() else { return };
    let native = host.open().await;
    let mount = |source, target: &str, read_only| Mount { source, target: target.into(), read_only };
    let kept =
        |path: &str, create| MountSource::Kept(KeptVolume { store: "efs/fs-1".into(), path: path.into(), create });
    // What the image has at the volume's place is in the volume, whoever looks first, and a read-only root does not matter.
    let mut spec = shell(
        "cat /etc/group | head -n 1; touch /etc/new /own/x && echo written; stat -c %a:%u /home/web; echo k >/kept/k",
    );
    spec.readonly_rootfs = true;
    spec.mounts = vec![
        mount(MountSource::TaskVolume("etc".into()), "/etc", false),
        mount(MountSource::ImageVolume("app".into(), 0), "/own", false),
        mount(MountSource::TaskVolume("home".into()), "/home", true),
        mount(kept("/", false), "/kept", false),
    ];
    let (exit, lines) = run(&native, spec).await;
    assert_eq!((exit.code, lines), (0, ["root:x:0:", "written", "755:0"].map(str::to_owned).into()));
    let mut spec = shell("cat /kept/k; touch /kept/n || echo fixed");
    spec.mounts = vec![mount(kept("/", false), "/kept", true)];
    let (_, lines) = run(&native, spec).await;
    assert_eq!(lines.iter().filter(|line| !line.contains("touch:")).collect::<Vec<_>>(), ["k", "fixed"]);
    let mut spec = shell("true");
    spec.mounts = vec![mount(kept("/missing", false), "/kept", true)];
    let spec = task(vec![spec]);
    let id = spec.id.clone();
    let refused = native.start(spec).await.unwrap_err();
    assert!(matches!(refused, StartError::NoVolume { .. }), "{refused}");
    host.assert_gone(&id);
}

#[tokio::test]
async fn containers_that_share_ipc_share_memory_too() {
    let Some(host) = Host::new() else { return };
    let native = host.open().await;
    for processes in [false, true] {
        let mut first = shell("echo here >/dev/shm/word; sleep 1000");
        first.name = "first".into();
        let mut second = shell(
            "until cat /dev/shm/word 2>/dev/null; do sleep 0.05; done; ls -l /proc/self/ns/ipc | grep -o 'ipc:.*'",
        );
        second.name = "second".into();
        let mut spec = task(vec![first, second]);
        (spec.shared_ipc, spec.shared_processes) = (true, processes);
        let id = spec.id.clone();
        native.start(spec).await.unwrap();
        let over = |status: &runtime::TaskStatus| status.container("second").unwrap().state.is_over();
        wait_for(&native, &id, over).await;
        let lines = output(&native, &id, "second").await;
        let ask = runtime::ExecSpec {
            argv: ["/bin/sh", "-c", "ls -l /proc/self/ns/ipc | grep -o 'ipc:.*'"].map(str::to_owned).into(),
            timeout: Duration::from_secs(5),
        };
        let other = native.exec(&id, "first", ask).await.unwrap();
        assert_eq!(lines, ["here", String::from_utf8_lossy(&other.output).trim()], "one memory and one namespace");
        native.remove(&id).await.unwrap();
        host.assert_gone(&id);
    }
}
