//! The peers of a single start: crun on a bundle, and a process of the same program without any container.

use crate::{Outcome, peers};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// An OCI bundle with busybox in it.
pub(super) struct Bundle {
    folder: PathBuf,
    out: PathBuf,
}

impl Bundle {
    pub(super) fn new(folder: &Path) -> Outcome<Self> {
        let folder = folder.join("bundle");
        let out = folder.join("out");
        let made = || {
            fs::create_dir_all(folder.join("rootfs/bin"))?;
            for name in ["out", "proc", "dev"] {
                fs::create_dir_all(folder.join("rootfs").join(name))?;
            }
            fs::create_dir_all(&out)?;
            fs::copy(peers::BUSYBOX, folder.join("rootfs/bin/busybox"))?;
            std::os::unix::fs::symlink("busybox", folder.join("rootfs/bin/sh"))?;
            fs::write(folder.join("config.json"), config(&out).to_string())
        };
        made().map_err(|error| format!("cannot make a bundle: {error}"))?;
        hide_unified().map_err(|error| format!("cannot make a mount namespace for crun: {error}"))?;
        Ok(Self { folder, out })
    }

    /// How many milliseconds `crun run` takes until the container's process has made a file.
    pub(super) fn crun(&self) -> Outcome<f64> {
        let mut command = Command::new("crun");
        command.args(["--cgroup-manager", "disabled", "run", "--bundle"]).arg(&self.folder).arg("wt-bench");
        self.until_ready(command)
    }

    /// The same of a process.
    pub(super) fn bare(&self) -> Outcome<f64> {
        let mut command = Command::new(peers::BUSYBOX);
        command.args(["sh", "-c"]).arg(format!(": > {}", self.out.join("ready").display()));
        self.until_ready(command)
    }

    fn until_ready(&self, mut command: Command) -> Outcome<f64> {
        let ready = self.out.join("ready");
        let _ = fs::remove_file(&ready);
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let begun = Instant::now();
        let child = command.spawn().map_err(|error| format!("{name}: {error}"))?;
        while !ready.exists() && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_micros(100));
        }
        let wall_ms = begun.elapsed().as_secs_f64() * 1e3;
        let output = child.wait_with_output().map_err(|error| format!("{name}: {error}"))?;
        if output.status.success() && ready.exists() {
            return Ok(wall_ms);
        }
        Err(format!("{name} does not run: {}", String::from_utf8_lossy(&output.stderr)))
    }
}

/// Gives this thread, and what it starts from now on, a mount namespace without the tree of control groups of version 2:
/// crun refuses a host that mounts both versions.
fn hide_unified() -> nix::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    // There is none where only one version is mounted.
    let _ = umount2("/sys/fs/cgroup/unified", MntFlags::MNT_DETACH);
    Ok(())
}

/// What `crun spec` writes, but for the command, one mount, and no control group.
fn config(out: &Path) -> serde_json::Value {
    let namespaces: Vec<_> =
        ["pid", "network", "ipc", "uts", "mount"].map(|kind| serde_json::json!({ "type": kind })).into();
    serde_json::json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false, "user": { "uid": 0, "gid": 0 }, "cwd": "/", "env": ["PATH=/bin"],
            "args": ["/bin/sh", "-c", ": > /out/ready"], "noNewPrivileges": true,
        },
        "root": { "path": "rootfs", "readonly": false },
        "hostname": "bench",
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"] },
            { "destination": "/out", "type": "bind", "source": out, "options": ["bind", "rw"] },
        ],
        "linux": { "namespaces": namespaces },
    })
}
