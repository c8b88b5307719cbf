//! podman with storage of its own, in namespaces of its own, so that the host's containers and links are left alone.

use super::{COMMAND, Took};
use crate::process::{Running, sum, waited_cpu_ms};
use crate::{Outcome, peers, stop};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// crun refuses a host that mounts both versions of control groups. Its locks lie in /dev/shm.
const NAMESPACES: &str = "umount /sys/fs/cgroup/unified 2>/dev/null; mount -t tmpfs none /dev/shm && \
     /bin/busybox ip link set lo up && echo ready && exec sleep 100000";
/// Root without CAP_SYS_RESOURCE cannot raise limits, which podman tries by default.
const CONFIGURATION: &str = "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n";
const IMAGE: &str = "localhost/bench:1";
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Podman {
    folder: PathBuf,
    namespaces: Running,
    /// Control groups that podman makes and leaves; those that are there already are not ours to remove.
    groups: Vec<PathBuf>,
}

impl Podman {
    /// podman with the image imported.
    pub(crate) fn new(folder: &Path) -> Outcome<Self> {
        let mut command = Command::new("unshare");
        command.args(["-m", "-n", "--propagation", "private", "sh", "-c", NAMESPACES]).stdout(Stdio::piped());
        let mut namespaces = Running::start(&mut command)?;
        let mut ready = String::new();
        let said = namespaces.stdout().map(|out| BufReader::new(out).read_line(&mut ready));
        if !matches!(said, Some(Ok(length)) if length > 0) {
            return Err("cannot make namespaces for podman".to_owned());
        }
        let folder = folder.join("podman");
        let made = fs::create_dir_all(folder.join("out")).and_then(|()| fs::write(folder.join("conf"), CONFIGURATION));
        made.and_then(|()| write_image(&folder.join("image.tar"))).map_err(|error| error.to_string())?;
        let podman = Self { folder, namespaces, groups: groups().into_iter().filter(|path| !path.exists()).collect() };
        let tar = podman.folder.join("image.tar");
        must(podman.command(true).arg("import").arg(tar).arg(IMAGE))?;
        Ok(podman)
    }

    /// podman in its namespaces; only with the host's network it reaches the host's loopback.
    fn command(&self, own_network: bool) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.namespaces.pid().to_string(), "-m"]);
        if own_network {
            command.arg("-n");
        }
        command.args(["podman", "--storage-driver", "overlay", "--cgroup-manager", "cgroupfs", "--runtime", "crun"]);
        command.args(["--events-backend", "none"]);
        for (option, name) in [("--root", "root"), ("--runroot", "run"), ("--tmpdir", "tmp")] {
            command.arg(option).arg(self.folder.join(name));
        }
        command.env("CONTAINERS_CONF", self.folder.join("conf")).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(Stdio::piped()).process_group(0);
        command
    }

    /// Sends the image to a registry, as root of our account.
    pub(crate) fn push(&self, to: &str, credentials: &str) -> Outcome {
        let mut command = self.command(false);
        command.args(["push", "--tls-verify=false", "--creds", credentials, IMAGE]).arg(format!("docker://{to}"));
        must(&mut command)
    }

    /// Runs a container until its process runs, and removes it.
    pub(crate) fn start(&self, network: &str) -> Outcome<Took> {
        stop::check()?;
        let out = self.folder.join("out");
        let ready = out.join("ready");
        let _ = fs::remove_file(&ready);
        let mut command = self.command(true);
        command.args(["run", "-d", "--network", network, "-v"]).arg(format!("{}:/out", out.display()));
        command.args([IMAGE, "/bin/sh", "-c", COMMAND]);
        let (cpu, begun) = (waited_cpu_ms(), Instant::now());
        let child = command.spawn().map_err(|error| format!("podman: {error}"))?;
        while !ready.exists() && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_micros(500));
        }
        let wall_ms = begun.elapsed().as_secs_f64() * 1e3;
        let output = child.wait_with_output().map_err(|error| format!("podman: {error}"))?;
        if !output.status.success() || !ready.exists() {
            return Err(format!("podman does not run: {}", String::from_utf8_lossy(&output.stderr)));
        }
        let cpu_ms = waited_cpu_ms() - cpu;
        must(self.command(true).args(["rm", "-f", "-t", "1", "-a"]))?;
        Ok(Took { wall_ms, cpu_ms })
    }
}

impl Podman {
    /// How many seconds it takes to replace so many containers one by one, as a script does: start the new one, then
    /// remove the old one.
    pub(crate) fn roll(&self, count: usize) -> Outcome<f64> {
        let name = |generation: &str, number: usize| format!("{generation}-{number}");
        for number in 0..count {
            self.run_named(&name("old", number))?;
        }
        let begun = Instant::now();
        for number in 0..count {
            self.run_named(&name("new", number))?;
            must(self.command(true).args(["rm", "-f", "-t", "1"]).arg(name("old", number)))?;
        }
        let took = begun.elapsed().as_secs_f64();
        must(self.command(true).args(["rm", "-f", "-t", "0", "-a"]))?;
        Ok(took)
    }

    /// What each of so many containers needs beside its application, in MiB: conmon.
    pub(crate) fn overhead_mb(&self, count: usize) -> Outcome<f64> {
        let names = (0..count).map(|number| format!("idle-{number}"));
        names.into_iter().try_for_each(|name| self.run_named(&name))?;
        let folder = self.folder.display().to_string();
        let conmons = fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|process| {
            let line = fs::read(process.path().join("cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line);
            let ours = line.split('\0').next()?.ends_with("conmon") && line.contains(&folder);
            if ours { process.file_name().to_str()?.parse::<u32>().ok() } else { None }
        });
        let used = sum(conmons.collect::<Vec<_>>()).pss_mb;
        must(self.command(true).args(["rm", "-f", "-t", "0", "-a"]))?;
        Ok(used / count as f64)
    }

    fn run_named(&self, name: &str) -> Outcome {
        stop::check()?;
        must(self.command(true).args([
            "run",
            "-d",
            "--network",
            "bridge",
            "--name",
            name,
            IMAGE,
            "/bin/sh",
            "-c",
            COMMAND,
        ]))
    }
}

fn must(command: &mut Command) -> Outcome {
    let output = command.output().map_err(|error| format!("podman: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("podman fails: {}", String::from_utf8_lossy(&output.stderr)))
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = must(self.command(true).args(["rm", "-f", "-t", "0", "-a"]));
        for group in &self.groups {
            remove(group);
        }
    }
}

/// Where podman makes control groups: in each hierarchy of version 1, and in version 2.
fn groups() -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut all: Vec<PathBuf> = hierarchies.filter(|path| path.is_dir()).collect();
    all.push(root.to_owned());
    all.into_iter().map(|path| path.join("libpod_parent")).collect()
}

/// Removes a control group and those in it; the kernel keeps one that is in use.
fn remove(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    let _ = fs::remove_dir(group);
}

/// An image's one layer: busybox and two of its names.
fn write_image(path: &Path) -> std::io::Result<()> {
    let mut tar = tar::Builder::new(File::create(path)?);
    tar.append_path_with_name(peers::BUSYBOX, "bin/busybox")?;
    for name in ["bin/sh", "bin/sleep"] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        header.set_mode(0o777);
        tar.append_link(&mut header, name, "busybox")?;
    }
    tar.finish()
}
