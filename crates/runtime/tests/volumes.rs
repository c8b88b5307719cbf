//! What a volume may cover in a container, and what a new one takes over: the image's, never the host's.

#![allow(clippy::unwrap_used, reason = "tests")]

mod host;

use host::{Host, container, output, run, shell, task, wait_for};
use runtime::{ContainerSpec, ContainerState, Mount, MountSource, Native, Runtime, Tmpfs};

fn volume(target: &str) -> Mount {
    Mount { source: MountSource::TaskVolume("data".into()), target: target.into(), read_only: false }
}

fn with_volume(target: &str, script: &str) -> ContainerSpec {
    let mut spec = shell(script);
    spec.mounts = vec![volume(target)];
    spec
}

/// Why the container does not start.
async fn refusal(host: &Host, native: &Native, container: ContainerSpec) -> String {
    let spec = task(vec![container]);
    let id = spec.id.clone();
    let status = native.start(spec).await.unwrap();
    let ContainerState::Failed { reason, .. } = status.containers[0].state.clone() else { panic!("{status:?}") };
    native.remove(&id).await.unwrap();
    host.assert_gone(&id);
    reason
}

#[tokio::test]
async fn nothing_is_mounted_into_proc_or_over_the_root() {
    let Some(host) = Host::new() else { return };
    let native = host.open().await;
    let inside = |path: &str| {
        format!(
            "unable to start container process: error mounting to rootfs at {path:?}: {path:?} cannot be mounted because \
             it is inside /proc: unknown"
        )
    };
    for path in ["/proc", "/proc/bus", "/proc/sys/kernel", "/proc/new"] {
        let reason = refusal(&host, &native, with_volume(path, "true")).await;
        assert!(reason.ends_with(&inside(path)), "{reason}");
        let mut memory = shell("true");
        memory.tmpfs = vec![Tmpfs { target: path.into(), bytes: 1 << 20, options: vec![] }];
        let reason = refusal(&host, &native, memory).await;
        assert!(reason.ends_with(&inside(path)), "{reason}");
        let mut bound = shell("true");
        let source = MountSource::HostPath(host.root.path().join("bound"));
        bound.mounts = vec![Mount { source, target: path.into(), read_only: true }];
        let reason = refusal(&host, &native, bound).await;
        assert!(reason.ends_with(&inside(path)), "{reason}");
    }
    for path in ["/", "//", "/tmp/.."] {
        let reason = refusal(&host, &native, with_volume(path, "true")).await;
        assert!(reason.contains("invalid specification: destination can't be '/'"), "{reason}");
    }
}

#[tokio::test]
async fn a_link_in_another_volume_does_not_lead_into_proc() {
    let Some(host) = Host::new() else { return };
    let native = host.open().await;
    let first = with_volume("/data", "ln -s /proc /data/link || busybox ln -s /proc /data/link; echo made; sleep 60");
    let mut second = container("second", &["true"]);
    second.start = runtime::StartWhen::Asked;
    let inner = Mount { source: MountSource::TaskVolume("inner".into()), ..volume("/data/link/bus") };
    second.mounts = vec![volume("/data"), inner];
    let spec = task(vec![first, second]);
    let id = spec.id.clone();
    native.start(spec).await.unwrap();
    while output(&native, &id, "app").await.last().is_none_or(|line| line != "made") {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let second = native.start_container(&id, "second").await.unwrap();
    let ContainerState::Failed { reason, .. } = second.state else { panic!("{second:?}") };
    assert!(reason.contains("\"/proc/bus\" cannot be mounted because it is inside /proc"), "{reason}");
    native.remove(&id).await.unwrap();
}

#[tokio::test]
async fn a_volume_over_the_kernels_files_shows_none_of_them_elsewhere() {
    let Some(host) = Host::new() else { return };
    let native = host.open().await;
    for path in ["/sys", "/sys/firmware", "/sys/kernel/debug", "/sys/fs"] {
        let mut seen = container("seen", &["/bin/sh", "-c", "ls -A /x | head -5; echo end"]);
        seen.mounts = vec![volume("/x")];
        let spec = task(vec![with_volume(path, "true"), seen]);
        let id = spec.id.clone();
        native.start(spec).await.unwrap();
        wait_for(&native, &id, runtime::TaskStatus::is_over).await;
        assert_eq!(output(&native, &id, "seen").await, ["end"], "of {path}");
        native.remove(&id).await.unwrap();
        host.assert_gone(&id);
    }
    // What is masked has no room for a volume below it.
    let reason = refusal(&host, &native, with_volume("/sys/firmware/acpi/tables", "true")).await;
    assert!(
        reason.contains("error mounting to rootfs at \"/sys/firmware/acpi/tables\": Read-only file system"),
        "{reason}"
    );
    let (_, lines) = run(&native, with_volume("/sys/kernel/debug", "ls /sys/firmware /sys/kernel/debug | wc -l")).await;
    assert_eq!(lines, ["3"], "two names and an empty line, and no masked file");
}

#[tokio::test]
async fn a_volume_over_the_devices_is_as_the_image_has_it() {
    let Some(host) = Host::new() else { return };
    let native = host.open().await;
    let (exit, lines) = run(&native, with_volume("/dev", "ls -A /dev; cat /proc/interrupts; echo end")).await;
    assert_eq!((exit.code, lines), (0, vec!["end".to_owned()]), "the host's devices, or what is masked");
}

#[tokio::test]
async fn a_new_volume_takes_over_what_the_image_has_below_other_volumes() {
    let Some(host) = Host::new() else { return };
    let native = host.open().await;
    let mut spec =
        shell("cat /etc/group | head -1; ls /home; stat -c '%a %u' /home/web /home/new; cat /etc/hosts | grep -c .");
    let named = |name: &str, target: &str| Mount { source: MountSource::TaskVolume(name.into()), ..volume(target) };
    spec.mounts = vec![named("a", "/home"), named("b", "/home/web"), named("c", "/home/new"), named("d", "/etc")];
    let (exit, lines) = run(&native, spec).await;
    assert_eq!(exit.code, 0, "{lines:?}");
    assert_eq!(lines[..5], ["root:x:0:", "new", "web", "755 0", "755 0"], "{lines:?}");
}
