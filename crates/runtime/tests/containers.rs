//! What a program in a container finds, may do, and leaves behind.

#![allow(clippy::unwrap_used, reason = "tests")]

mod host;

use host::{Host, container, output, run, shell, task, wait_for, wait_for_exit};
use runtime::{
    Capabilities, ContainerState, CpuLimit, ExecSpec, Limits, LogBuffer, Mount, MountSource, Resource, Runtime,
    RuntimeError, StartWhen, TaskEventKind, Tmpfs, Ulimit,
};
use std::time::Duration;

#[tokio::test]
async fn a_container_runs_and_its_end_is_told() {
    let Some(host) = Host::new() else { return };
    let native = host.open().await;
    let mut events = native.watch();
    let spec = task(vec![shell("echo out; echo err >&2; exit 7")]);
    let id = spec.id.clone();
    native.start(spec).await.unwrap();
    let exit = wait_for_exit(&native, &id).await;
    assert_eq!((exit.code, exit.signal, exit.oom), (7, None, false));
    let mut lines = output(&native, &id, "app").await;
    lines.sort();
    assert_eq!(lines, ["err", "out"]);
    assert!(native.read_logs(&id, "app", u64::MAX / 2, 100).await.unwrap().ended, "the log of the dead has no end");
    native.remove(&id).await.unwrap();
    host.assert_gone(&id);
    let mut seen = Vec::new();
    while let Ok(event) = events.try_recv() {
        seen.push(match event.kind {
            TaskEventKind::Started { .. } => "started",
            TaskEventKind::Exited(_) => "exited",
            TaskEventKind::LogAvailable => continue,
            _ => "other",
        });
    }
    assert_eq!(seen, ["started", "exited"]);
    native.shutdown().await;
    assert_eq!(host.cgroups(), [] as [std::path::PathBuf; 0], "control groups were left");
}

#[tokio::test]
async fn environment_user_and_directory_are_the_task_definitions() {
    let Some(host) = Host::new() else { return };
    let native = host.open().await;
    let mut spec = shell("id -u; id -g; id -G; pwd; echo $FROM $HOME $EXTRA; hostname; umask; echo x > /dev/stdout");
    spec.user = Some("web".into());
    spec.working_dir = Some("/made/for/it".into());
    spec.env = vec![("EXTRA".into(), "a b".into())];
    spec.hostname = Some("ip-10-0-1-7".into());
    let (exit, lines) = run(&native, spec).await;
    assert_eq!(lines, ["101", "102", "102 103", "/made/for/it", "image /home/web a b", "ip-10-0-1-7", "0022", "x"]);
    assert_eq!(exit.code, 0);
}

#[tokio::test]
async fn a_stop_is_a_signal_first_and_a_kill_after_the_grace() {
    let Some(host) = Host::new() else { return };
    let native = host.open().await;
    let heeds = task(vec![shell("trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.05; done")]);
    let deaf = task(vec![shell("trap '' TERM; echo up; while :; do sleep 0.05; done")]);
    let (heeds_id, deaf_id) = (heeds.id.clone(), deaf.id.clone());
    native.start(heeds).await.unwrap();
    native.start(deaf).await.unwrap();
    for id in [&heeds_id, &deaf_id] {
        while output(&native, id, "app").await.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    native.stop(&heeds_id, None).await.unwrap();
    native.stop(&deaf_id, Some(Duration::from_millis(300))).await.unwrap();
    let exit = wait_for_exit(&native, &heeds_id).await;
    assert_eq!((exit.code, exit.signal), (3, None));
    assert_eq!(output(&native, &heeds_id, "app").await, ["up", "bye"]);
    let exit = wait_for_exit(&native, &deaf_id).await;
    assert_eq!((exit.code, exit.signal, exit.oom), (137, Some(9), false));
    let lasted = exit.at.since(exit.started_at.unwrap());
    assert!(lasted >= Duration::from_millis(300), "killed {lasted:?} after its start, before its grace was over");
}

#[tokio::test]
async fn a_read_only_root_can_be_written_in_its_mounts_only() {
    let Some(host) = Host::new() else { return };
    let native = host.open().await;
    let mut spec = shell("touch /x; touch /scratch/x && echo scratch; touch /shared/x && echo shared; touch /fixed/x");
    spec.readonly_rootfs = true;
    spec.tmpfs = vec![Tmpfs { target: "/scratch".into(), bytes: 1 << 20, options: vec!["mode=1777".into()] }];
    let volume = |target: &str, read_only| Mount {
        source: MountSource::TaskVolume("data".into()),
        target: target.into(),
        read_only,
    };
    spec.mounts = vec![volume("/shared", false), volume("/fixed", true)];
    let (_, lines) = run(&native, spec).await;
    let good: Vec<_> = lines.iter().filter(|l| !l.contains("touch:")).collect();
    assert_eq!(good, ["scratch", "shared"], "of {lines:?}");
    assert_eq!(lines.iter().filter(|l| l.contains("Read-only file system")).count(), 2, "of {lines:?}");
}

#[tokio::test]
async fn too_much_memory_is_an_out_of_memory_kill() {
    let Some(host) = Host::new() else { return };
    let native = host.open().await;
    if !Host::limits(&native) {
        return;
    }
    let mut spec = shell("echo up; head -c 200000000 /dev/zero | tr '\\0' x | dd of=/dev/shm/x bs=1M; sleep 30");
    spec.shm_bytes = 1 << 30;
    // A process that holds the memory itself, as a file in memory is not the first process's.
    spec.command = Some(vec!["/bin/dd".into(), "if=/dev/zero".into(), "of=/dev/null".into(), "bs=300M".into()]);
    spec.limits = Limits { memory_bytes: Some(32 << 20), ..Limits::default() };
    let (exit, lines) = run(&native, spec).await;
    assert!(exit.oom, "not reported as out of memory: {exit:?} {lines:?}");
    assert_eq!((exit.code, exit.signal), (137, Some(9)));
}

#[tokio::test]
async fn what_docker_forbids_is_forbidden() {
    let Some(host) = Host::new() else { return };
    let native = host.open().await;
    let script = "
        mount -t tmpfs none /tmp && echo mounted
        unshare -m true && echo unshared
        mknod /tmp/disk b 254 0 && head -c 1 /tmp/disk && echo opened
        echo 1 > /proc/sys/kernel/panic && echo wrote
        echo b > /proc/sysrq-trigger && echo triggered
        hostname changed && echo renamed
        cat /proc/kcore | head -c 1 | wc -c
        grep -c . /proc/1/status > /dev/null && grep NoNewPrivs /proc/self/status
        grep Seccomp: /proc/self/status
        grep CapEff /proc/self/status
        grep CapBnd /proc/self/status
    ";
    let (_, lines) = run(&native, shell(script)).await;
    let done = ["mounted", "unshared", "opened", "wrote", "triggered", "renamed"];
    assert!(!lines.iter().any(|l| done.contains(&l.as_str())), "something forbidden was done: {lines:?}");
    let has = |text: &str| assert!(lines.iter().any(|l| l.replace('\t', " ") == text), "no {text:?} in {lines:?}");
    has("NoNewPrivs: 1");
    has("Seccomp: 2");
    has("CapEff: 00000000a80425fb");
    has("CapBnd: 00000000a80425fb");
}

#[tokio::test]
async fn capabilities_can_be_dropped_and_added() {
    let Some(host) = Host::new() else { return };
    let native = host.open().await;
    let mut spec = shell("chown 1 /tmp || echo refused; grep CapEff /proc/self/status");
    spec.capabilities = Capabilities { add: vec!["SYS_PTRACE".into()], drop: vec!["ALL".into()] };
    let (_, lines) = run(&native, spec).await;
    assert!(lines.iter().any(|l| l == "refused") && lines.iter().any(|l| l.ends_with("0000000000080000")), "{lines:?}");
}

#[tokio::test]
async fn a_capability_that_opens_the_host_is_never_given() {
    let Some(host) = Host::new() else { return };
    let native = host.open().await;
    for name in ["ALL", "SYS_ADMIN"] {
        let mut container = shell("grep CapBnd /proc/self/status; sleep 60");
        container.capabilities = Capabilities { add: vec![name.into()], drop: vec![] };
        let spec = task(vec![container]);
        let id = spec.id.clone();
        let status = native.start(spec).await.unwrap();
        let ContainerState::Failed { reason, .. } = &status.containers[0].state else { panic!("{status:?}") };
        assert!(reason.contains(&format!("capability may not be added: {name:?}")), "{reason}");
        native.remove(&id).await.unwrap();
    }
}

#[tokio::test]
async fn a_missing_program_fails_the_start_in_fargates_words() {
    let Some(host) = Host::new() else { return };
    let native = host.open().await;
    let cases = [
        ("nosuch", "exec: \"nosuch\": executable file not found in $PATH"),
        ("/opt/run.sh", "exec: \"/opt/run.sh\": stat /opt/run.sh: no such file or directory"),
        ("/etc/passwd", "exec: \"/etc/passwd\": permission denied"),
    ];
    for (program, wanted) in cases {
        let spec = task(vec![container("app", &[program])]);
        let id = spec.id.clone();
        let status = native.start(spec).await.unwrap();
        let ContainerState::Failed { reason, .. } = &status.containers[0].state else { panic!("{status:?}") };
        let whole = format!(
            "ResourceInitializationError: failed to create new container runtime task: failed to create shim task: \
             OCI runtime create failed: runc create failed: unable to start container process: {wanted}: unknown"
        );
        assert_eq!(*reason, whole);
        native.remove(&id).await.unwrap();
        host.assert_gone(&id);
    }
    // The kernel refuses it after the start, as under runc.
    let (exit, lines) = run(&native, container("app", &["notaprogram"])).await;
    assert_eq!((exit.code, lines), (255, vec!["exec /bin/notaprogram: exec format error".to_owned()]));
}

#[tokio::test]
async fn limits_hold_and_are_seen_inside() {
    let Some(host) = Host::new() else { return };
    let native = host.open().await;
    if !Host::limits(&native) {
        return;
    }
    let mut spec =
        shell("ulimit -n; cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max; sleep 60");
    spec.ulimits = vec![Ulimit { resource: Resource::Nofile, soft: 77, hard: 99 }];
    spec.limits.memory_bytes = Some(64 << 20);
    let mut spec = task(vec![spec]);
    spec.limits =
        Limits { cpu: Some(CpuLimit { units: 256, hard: true }), memory_bytes: Some(128 << 20), ..Limits::default() };
    let id = spec.id.clone();
    native.start(spec).await.unwrap();
    while output(&native, &id, "app").await.len() < 3 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let lines = output(&native, &id, "app").await;
    assert_eq!(lines[0], "77");
    assert!(lines.iter().any(|l| l == "67108864"), "{lines:?}");
    let quota = host.cgroups().into_iter().find_map(|group| {
        let group = group.join(id.as_str());
        let v1 = std::fs::read_to_string(group.join("cpu.cfs_quota_us")).ok();
        v1.or_else(|| std::fs::read_to_string(group.join("cpu.max")).ok())
    });
    assert!(quota.as_deref().is_some_and(|q| q.starts_with("25000")), "a quarter of a processor is {quota:?}");
    let usage = native.usage(&id).await.unwrap();
    let (cpu, memory) = (&usage[0].cpu, &usage[0].memory);
    assert_eq!(memory.limit, Some(64 << 20));
    assert!(memory.used > 0 && memory.peak.is_none_or(|peak| peak >= memory.used), "{usage:?}");
    assert!(memory.stats.contains_key("pgfault"), "{usage:?}");
    assert!(cpu.total > 0 && cpu.host > cpu.total && cpu.online > 0, "{usage:?}");
    assert!(usage[0].pids >= 1 && usage[0].pids_limit == Some(32_768), "{usage:?}");
    native.remove(&id).await.unwrap();
    host.assert_gone(&id);
}

#[tokio::test]
async fn containers_start_when_asked_and_share_the_network_and_volumes() {
    let Some(host) = Host::new() else { return };
    let native = host.open().await;
    let mut first = shell("echo hello > /data/word; nc -l -p 4000 < /data/word");
    let mut second = container("second", &["/bin/sh", "-c", "cat /data/word; nc 127.0.0.1 4000 < /dev/null"]);
    for spec in [&mut first, &mut second] {
        let source = MountSource::TaskVolume("shared".into());
        spec.mounts = vec![Mount { source, target: "/data".into(), read_only: false }];
    }
    second.start = StartWhen::Asked;
    let spec = task(vec![first, second]);
    let id = spec.id.clone();
    let status = native.start(spec).await.unwrap();
    assert_eq!(status.container("second").unwrap().state, ContainerState::Created);
    let listening = ExecSpec {
        argv: vec!["/bin/sh".into(), "-c".into(), "grep -q :0FA0 /proc/net/tcp /proc/net/tcp6".into()],
        timeout: host::PATIENCE,
    };
    while native.exec(&id, "app", listening.clone()).await.unwrap().code != Some(0) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    native.start_container(&id, "second").await.unwrap();
    wait_for(&native, &id, |s| s.container("second").unwrap().state.is_over()).await;
    assert_eq!(output(&native, &id, "second").await, ["hello", "hello"]);
    assert!(matches!(native.start_container(&id, "third").await, Err(RuntimeError::NoContainer { .. })));
}

#[tokio::test]
async fn a_process_can_be_executed_in_a_running_container() {
    let Some(host) = Host::new() else { return };
    let native = host.open().await;
    let mut spec = shell("sleep 60");
    spec.user = Some("web".into());
    let spec = task(vec![spec]);
    let id = spec.id.clone();
    native.start(spec).await.unwrap();
    let exec = |script: &str, millis| ExecSpec {
        argv: vec!["sh".into(), "-c".into(), script.into()],
        timeout: Duration::from_millis(millis),
    };
    let done = native
        .exec(
            &id,
            "app",
            exec("id -u; ps | grep -c 'sleep [6]0'; grep -c . /proc/self/cgroup >/dev/null; exit 4", 60_000),
        )
        .await;
    let done = done.unwrap();
    assert_eq!((done.code, String::from_utf8_lossy(&done.output).as_ref()), (Some(4), "101\n1\n"));
    let late = native.exec(&id, "app", exec("echo begun; sleep 60", 500)).await.unwrap();
    assert_eq!(late.code, None, "a process outlived its time");
    let missing = ExecSpec { argv: vec!["nosuch".into()], timeout: host::PATIENCE };
    let error = native.exec(&id, "app", missing).await.unwrap_err().to_string();
    assert_eq!(error, "exec: \"nosuch\": executable file not found in $PATH");
    native.remove(&id).await.unwrap();
    host.assert_gone(&id);
}

#[tokio::test]
async fn an_init_passes_signals_on_and_reaps() {
    let Some(host) = Host::new() else { return };
    let native = host.open().await;
    let mut spec = shell("(sleep 0.01 &); trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done");
    spec.init = true;
    let spec = task(vec![spec]);
    let id = spec.id.clone();
    native.start(spec).await.unwrap();
    while output(&native, &id, "app").await.is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    native.stop(&id, None).await.unwrap();
    assert_eq!(wait_for_exit(&native, &id).await.code, 5);
    native.remove(&id).await.unwrap();
}

#[tokio::test]
async fn a_blocking_log_holds_the_writer_up_and_loses_nothing() {
    let Some(host) = Host::new() else { return };
    let native = host.open().await;
    let mut spec = shell("seq 1 60000");
    spec.log_buffer = LogBuffer::Blocking { bytes: 256 << 10 };
    let spec = task(vec![spec]);
    let id = spec.id.clone();
    native.start(spec).await.unwrap();
    let (mut offset, mut next) = (0, 1u32);
    loop {
        let chunk = native.read_logs(&id, "app", offset, 50_000).await.unwrap();
        for record in &chunk.records {
            assert_eq!(String::from_utf8_lossy(&record.line), next.to_string(), "out of order, lost or twice");
            next += 1;
        }
        offset = chunk.next;
        native.release_logs(&id, "app", offset).await.unwrap();
        if chunk.ended {
            break;
        }
        if chunk.records.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    assert_eq!(next, 60_001);
    native.remove(&id).await.unwrap();
    host.assert_gone(&id);
}

/// A network namespace at a path, gone when this is dropped.
struct Netns(std::path::PathBuf);

impl Netns {
    fn new(path: std::path::PathBuf) -> Self {
        use nix::mount::{MsFlags, mount};
        std::fs::write(&path, "").unwrap();
        let target = path.clone();
        // A thread of its own, as the namespace that it enters is its own too.
        let made = std::thread::spawn(move || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            let own = Some("/proc/thread-self/ns/net");
            mount(own, &target, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
        });
        made.join().unwrap();
        Self(path)
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = nix::mount::umount2(&self.0, nix::mount::MntFlags::MNT_DETACH);
    }
}

#[tokio::test]
async fn containers_join_the_network_that_they_are_given() {
    use std::os::unix::fs::MetadataExt;
    let Some(host) = Host::new() else { return };
    let native = host.open().await;
    let netns = Netns::new(host.root.path().join("netns"));
    let inode = std::fs::metadata(&netns.0).unwrap().ino();
    let mut spec = task(vec![shell("stat -L -c %i /proc/self/ns/net; ls /sys/class/net")]);
    spec.network = runtime::Network::Namespace(netns.0.clone());
    let id = spec.id.clone();
    native.start(spec).await.unwrap();
    wait_for_exit(&native, &id).await;
    assert_eq!(output(&native, &id, "app").await, [inode.to_string(), "lo".to_owned()]);
    native.remove(&id).await.unwrap();
    let mut missing = task(vec![shell("true")]);
    missing.network = runtime::Network::Namespace(host.root.path().join("nothing"));
    let id = missing.id.clone();
    let status = native.start(missing).await.unwrap();
    assert!(matches!(status.containers[0].state, ContainerState::Failed { .. }), "{status:?}");
    native.remove(&id).await.unwrap();
    host.assert_gone(&id);
}

#[tokio::test]
async fn as_many_layers_as_docker_stacks_can_be_stacked() {
    let Some(host) = Host::new() else { return };
    let native = host.open().await;
    let mut spec = shell("cat /word");
    spec.image = host::deep_image(127);
    let (exit, lines) = run(&native, spec).await;
    assert_eq!((exit.code, lines), (0, vec!["layer 126".to_owned()]));
    let mut spec = task(vec![shell("cat /word")]);
    spec.containers[0].image = host::deep_image(128);
    assert!(matches!(native.start(spec).await, Err(runtime::StartError::Invalid(_))));
}

#[tokio::test]
async fn a_task_that_cannot_be_made_leaves_nothing() {
    let Some(host) = Host::new() else { return };
    let native = host.open().await;
    let mut spec = task(vec![shell("true")]);
    let unknown = format!("sha256:{}", "0".repeat(64));
    let layer = runtime::LayerRef { digest: unknown.clone(), diff_id: unknown };
    spec.containers[0].image.layers.push(layer);
    let id = spec.id.clone();
    let error = native.start(spec).await.unwrap_err();
    assert!(matches!(error, runtime::StartError::Prepare(runtime::PrepareError::Missing { .. })), "{error}");
    assert!(matches!(native.status(&id).await, Err(RuntimeError::NoTask(_))));
    host.assert_gone(&id);
    // The same task twice is refused, and the first goes on.
    let spec = task(vec![shell("sleep 60")]);
    native.start(spec.clone()).await.unwrap();
    assert!(matches!(native.start(spec.clone()).await, Err(runtime::StartError::AlreadyExists(_))));
    assert!(!native.status(&spec.id).await.unwrap().is_over());
}
