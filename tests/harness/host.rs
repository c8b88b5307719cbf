//! What an instance has on this host, read from the kernel and the file system and not from the product.
//!
//! Other servers may run here at the same time. All that an instance makes carries its eight digits, so these are
//! what is looked for; and since a thing could be made without them, devices and mounts are compared whole as well, but
//! for what carries another instance's digits or is known to be a container engine's.

use super::rooted;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// An instance's place on this host.
#[derive(Debug, Clone)]
pub(crate) struct Traces {
    pub(crate) instance: String,
    data: PathBuf,
    run_root: PathBuf,
}

/// Where all instances of this user have their run directories.
fn run_root() -> PathBuf {
    let user = nix::unistd::geteuid();
    match std::env::var_os("XDG_RUNTIME_DIR") {
        _ if user.is_root() => "/run/windtunnel".into(),
        Some(dir) => PathBuf::from(dir).join("windtunnel"),
        None => format!("/tmp/windtunnel-{user}").into(),
    }
}

/// A process, told apart from a later one with the same number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    born: u64,
    shown: String,
}

impl Process {
    /// The process `pid`, if it lives: one that only waits for its parent to take note does not.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_ascii_whitespace();
        if fields.next()? == "Z" {
            return None;
        }
        let born = fields.nth(18)?.parse().ok()?;
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let shown = String::from_utf8_lossy(&line).replace('\0', " ");
        Some(Self { pid, born, shown })
    }

    pub(crate) fn command(&self) -> &str {
        &self.shown
    }

    pub(crate) fn is_alive(&self) -> bool {
        Self::of(self.pid).is_some_and(|now| now.born == self.born)
    }

    pub(crate) fn parent(&self) -> Option<i32> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
    }
}

impl Traces {
    /// Of the instance with the data directory `data`, which exists.
    pub(crate) fn of(data: &Path) -> Self {
        let data = data.canonicalize().unwrap();
        let instance = hex::encode(&Sha256::digest(data.as_os_str().as_bytes())[..4]);
        Self { instance, data, run_root: run_root() }
    }

    /// The same with a runtime directory that no other instance has.
    pub(crate) fn apart(self, runtime: &Path) -> Self {
        Self { run_root: runtime.join("windtunnel"), ..self }
    }

    /// Where it keeps what lives as long as it runs.
    pub(crate) fn run(&self) -> PathBuf {
        self.run_root.join(&self.instance)
    }

    /// Where one of its network namespaces is.
    pub(crate) fn netns(&self, name: &str) -> PathBuf {
        self.run().join("netns").join(name)
    }

    /// Its control groups, in all trees.
    pub(crate) fn cgroups(&self) -> Vec<PathBuf> {
        let trees = entries(Path::new("/sys/fs/cgroup"));
        let roots = trees.iter().map(|tree| tree.join("windtunnel")).chain(["/sys/fs/cgroup/windtunnel".into()]);
        roots.map(|root| root.join(&self.instance)).filter(|group| group.exists()).collect()
    }

    /// The processes in the control group of a task's container, or in another one of the instance. Without root there are no
    /// groups, and a container's processes are those below its shim.
    pub(crate) fn processes_in(&self, group: &str) -> Vec<Process> {
        if !rooted() {
            return self.processes_without_groups(group);
        }
        let mut pids = BTreeSet::new();
        for root in self.cgroups() {
            let text = fs::read_to_string(root.join(group).join("cgroup.procs")).unwrap_or_default();
            pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
        }
        pids.into_iter().filter_map(Process::of).collect()
    }

    fn processes_without_groups(&self, group: &str) -> Vec<Process> {
        let run = self.run().display().to_string();
        match group.split_once('/') {
            None if group == "shims" => {
                let shims = names(&self.run().join("tasks")).into_iter().filter_map(|task| self.shim(&task));
                let launcher =
                    |process: &Process| process.shown.contains("__launcher") && process.shown.contains(&self.instance);
                // Shims are forks of a launcher, and are shown as it is; they have a parent of their own.
                let all = all_processes().into_iter().filter(launcher);
                shims.chain(all).collect::<BTreeSet<_>>().into_iter().collect()
            }
            None => {
                let ours = |process: &Process| process.shown.contains("windtunnel __") && process.shown.contains(&run);
                all_processes().into_iter().filter(ours).collect()
            }
            Some((task, _)) => {
                let Some(shim) = self.shim(task) else { return Vec::new() };
                let (all, mut parents) = (all_processes(), BTreeSet::from([shim.pid]));
                while all.iter().any(|process| {
                    process.parent().is_some_and(|at| parents.contains(&at)) && parents.insert(process.pid)
                }) {}
                all.into_iter().filter(|process| process.pid != shim.pid && parents.contains(&process.pid)).collect()
            }
        }
    }

    /// The shim of a task, as its state file names it.
    fn shim(&self, task: &str) -> Option<Process> {
        let state = fs::read(self.run().join("tasks").join(task).join("state.json")).ok()?;
        let state: serde_json::Value = serde_json::from_slice(&state).ok()?;
        Process::of(i32::try_from(state["pid"].as_i64()?).ok()?)
    }

    /// All its processes: those in its control groups, and those that name it or its directory.
    pub(crate) fn processes(&self) -> BTreeSet<Process> {
        let mut found = BTreeSet::new();
        let mut groups = self.cgroups();
        while let Some(group) = groups.pop() {
            let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
            found.extend(text.lines().filter_map(|line| Process::of(line.parse().ok()?)));
            groups.extend(entries(&group).into_iter().filter(|path| path.is_dir()));
        }
        let data = self.data.display().to_string();
        found.extend(all_processes().into_iter().filter(|process| {
            let ours = process.shown.contains("windtunnel");
            ours && (process.shown.contains(&self.instance) || process.shown.contains(&data))
        }));
        found
    }

    /// Loop devices with its tasks' files.
    pub(crate) fn loops(&self) -> Vec<String> {
        let file = |device: &PathBuf| fs::read_to_string(device.join("loop/backing_file")).unwrap_or_default();
        let all = entries(Path::new("/sys/block")).into_iter();
        let data = self.data.display().to_string();
        let ours = all.filter(|device| file(device).contains(&data));
        ours.map(|device| format!("{}: {}", device.display(), file(&device).trim())).collect()
    }

    /// Whatever carries its name now. Empty before it is started and after it has gone.
    pub(crate) fn all(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.run().exists() {
            found.push(format!("the directory {}", self.run().display()));
        }
        for slot in entries(&self.run_root.join("slots")) {
            if fs::read_to_string(&slot).is_ok_and(|owner| owner.contains(&self.instance)) {
                found.push(format!("the block of addresses {}", slot.display()));
            }
        }
        let device = format!("wt-{}", self.instance);
        found.extend(devices().into_iter().filter(|name| *name == device).map(|name| format!("the device {name}")));
        let routes = fs::read_to_string("/proc/net/route").unwrap();
        found.extend(routes.lines().filter(|line| line.contains(&device)).map(|line| format!("the route {line}")));
        let data = self.data.display().to_string();
        let ours = |line: &&String| line.contains(&self.instance) || line.contains(&data);
        found.extend(mounts().iter().filter(ours).map(|line| format!("the mount {line}")));
        found.extend(self.cgroups().iter().map(|group| format!("the control group {}", group.display())));
        found.extend(self.processes().iter().map(|p| format!("the process {} {}", p.pid, p.shown)));
        found
    }

    /// The whole host but for what is somebody else's.
    pub(crate) fn host(&self) -> BTreeSet<String> {
        let engines = |name: &str| name.starts_with("veth") || name.starts_with("cni-");
        let devices = devices().into_iter().filter(|name| !self.is_anothers(name) && !engines(name));
        let mounts = mounts()
            .into_iter()
            .filter(|line| !self.is_anothers(line) && !line.contains("/containers/") && !line.contains("/netns/cni-"));
        let forwarding = fs::read_to_string("/proc/sys/net/ipv4/conf/lo/forwarding").unwrap();
        devices
            .map(|name| format!("device {name}"))
            .chain(mounts.map(|line| format!("mount {line}")))
            .chain([format!("forwarding on lo: {}", forwarding.trim())])
            .collect()
    }

    /// Whether a device or a mount carries the digits of another instance, or lies in another test's directory.
    fn is_anothers(&self, text: &str) -> bool {
        let digits = |after: &str| {
            text.split_once(after).is_some_and(|(_, rest)| {
                rest.get(..8).is_some_and(|name| name.bytes().all(|b| b.is_ascii_hexdigit()) && name != self.instance)
            })
        };
        digits("wt-") || digits("/run/windtunnel/") || (text.contains(" /tmp/") && !text.contains("wt-story-"))
    }
}

fn all_processes() -> Vec<Process> {
    let all = entries(Path::new("/proc")).into_iter();
    all.filter_map(|path| Process::of(path.file_name()?.to_str()?.parse().ok()?)).collect()
}

/// The names in a directory; none where there is no such directory.
pub(crate) fn names(dir: &Path) -> BTreeSet<String> {
    entries(dir).iter().filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect()
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn devices() -> Vec<String> {
    let names = entries(Path::new("/sys/class/net")).into_iter();
    names.filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect()
}

fn mounts() -> Vec<String> {
    fs::read_to_string("/proc/self/mounts").unwrap().lines().map(str::to_owned).collect()
}
