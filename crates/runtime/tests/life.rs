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

/// A file system that answers nothing: whoever looks into it waits.
struct Hung {
    at: std::path::PathBuf,
    _device: std::fs::File,
}

impl Hung {
    fn new(host: &Host, name: &str) -> Option<Self> {
        use std::os::fd::AsRawFd;
        let Ok(device) = std::fs::File::options().read(true).write(true).open("/dev/fuse") else {
            println!("SKIPPED: needs /dev/fuse");
            return None;
        };
        let at = host.root.path().join(name);
        std::fs::create_dir(&at).unwrap();
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
        nix::mount::mount(Some("hung"), &at, Some("fuse"), nix::mount::MsFlags::empty(), Some(options.as_str()))
            .unwrap();
        Some(Self { at, _device: device })
    }

    fn mount(&self) -> Mount {
        Mount { source: MountSource::HostPath(self.at.join("in")), target: "/data".into(), read_only: false }
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        let _ = nix::mount::umount2(&self.at, nix::mount::MntFlags::MNT_DETACH);
    }
}

#[tokio::test]
async fn a_container_whose_making_hangs_is_stopped_all_the_same() {
    let Some(host) = Host::new() else { return };
    let Some(hung) = Hung::new(&host, "hung") else { return };
    let native = host.open().await;
    let mut beside = shell("trap 'exit 3' TERM; echo up; while :; do sleep 0.05; done");
    beside.name = "beside".into();
    let mut stuck = shell("echo never");
    stuck.mounts = vec![hung.mount()];
    let mut after = shell("echo never");
    after.name = "after".into();
    let spec = task(vec![beside, stuck, after]);
    let id = spec.id.clone();
    let status = native.start(spec).await.unwrap();
    assert!(matches!(status.container("beside").unwrap().state, ContainerState::Running { .. }), "{status:?}");
    assert_eq!(status.container("app").unwrap().state, ContainerState::Created);
    native.stop(&id, None).await.unwrap();
    let status = wait_for(&native, &id, runtime::TaskStatus::is_over).await;
    let code = |name: &str| match &status.container(name).unwrap().state {
        ContainerState::Exited(exit) => (exit.code, exit.started_at.is_some()),
        other => panic!("{name} is {other:?}"),
    };
    assert_eq!(code("beside"), (3, true), "the stop of one that runs waits for one that does not");
    assert_eq!((code("app"), code("after")), ((137, false), (137, false)));
    native.remove(&id).await.unwrap();
    host.assert_gone(&id);
}

#[tokio::test]
async fn a_task_whose_making_hangs_is_removed_and_the_server_stops() {
    let Some(host) = Host::new() else { return };
    // One each: who looks into it while another does, waits for that one and cannot be killed.
    let (Some(first), Some(second)) = (Hung::new(&host, "first"), Hung::new(&host, "second")) else { return };
    let native = host.open().await;
    let mut ids = Vec::new();
    for (hung, shared) in [(&first, false), (&second, true)] {
        let mut stuck = shell("echo never");
        (stuck.mounts, stuck.start) = (vec![hung.mount()], runtime::StartWhen::Asked);
        let mut spec = task(vec![stuck]);
        (spec.shared_processes, spec.shared_ipc) = (shared, shared);
        ids.push(spec.id.clone());
        native.start(spec).await.unwrap();
        let asked = native.start_container(ids.last().unwrap(), "app").await.unwrap();
        assert_eq!(asked.state, ContainerState::Created, "it is still being made");
    }
    native.remove(&ids[1]).await.unwrap();
    host.assert_gone(&ids[1]);
    let before = std::time::Duration::from_secs(4);
    tokio::time::timeout(before, native.shutdown()).await.expect("the server does not wait for what hangs");
    assert_eq!(host.cgroups(), [] as [std::path::PathBuf; 0], "control groups were left");
}

#[tokio::test]
async fn a_pipe_in_place_of_the_accounts_keeps_nobody_waiting() {
    let Some(host) = Host::new() else { return };
    let native = host.open().await;
    let spec = task(vec![shell("rm /etc/passwd; mkfifo /etc/passwd || busybox mkfifo /etc/passwd; echo up; sleep 60")]);
    let id = spec.id.clone();
    native.start(spec).await.unwrap();
    while output(&native, &id, "app").await.last().is_none_or(|line| line != "up") {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let argv = ["/bin/sh", "-c", "[ -p /etc/passwd ] && echo pipe"].map(str::to_owned).to_vec();
    let done = native.exec(&id, "app", runtime::ExecSpec { argv, timeout: host::PATIENCE }).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&done.output), "pipe\n");
    native.remove(&id).await.unwrap();
}
