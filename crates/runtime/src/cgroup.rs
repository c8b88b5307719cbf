//! Limits and accounting by control groups, of version 1 (each controller its own tree) and version 2 (one tree).
//!
//! A task's groups are `windtunnel/<instance>/<task>/<container>` below each tree's root, and
//! `windtunnel/<instance>/shims` holds the launcher and the shims, whose memory is not the tasks', and `…/companions` what else
//! outlives the daemon. The names alone tell what to remove.
//! Where no tree can be written (no root, no delegation) limits are not enforced: [`Cgroups::unenforced`] says which.

mod usage;

use crate::spec::Limits;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The group of launcher and shims.
pub(crate) const SHIMS: &str = "shims";
/// The group of processes that belong to no task and outlive the daemon.
const COMPANIONS: &str = "companions";
/// The period over which a hard CPU limit counts, in microseconds; the kernel's default.
const PERIOD: u64 = 100_000;
/// A container may keep this many processes and threads where nothing else is said: enough for any server, too few for a fork bomb.
const DEFAULT_PIDS: u64 = 32_768;

/// The trees of this host, and the instance's place in them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Cgroups {
    trees: Vec<Tree>,
}

/// One mounted hierarchy.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Tree {
    /// The directory of the instance.
    base: PathBuf,
    /// Its controllers; of version 2 if there are none.
    controllers: Vec<String>,
}

/// Which group of a task.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Group<'a> {
    Task(&'a str),
    Container(&'a str, &'a str),
    Shims,
    Companions,
}

impl Group<'_> {
    fn below(self, base: &Path) -> PathBuf {
        match self {
            Self::Task(task) => base.join(task),
            Self::Container(task, name) => base.join(task).join(name),
            Self::Shims => base.join(SHIMS),
            Self::Companions => base.join(COMPANIONS),
        }
    }
}

impl Cgroups {
    /// Finds the mounted trees whose controllers matter here.
    pub(crate) fn discover(instance: &str) -> io::Result<Self> {
        let mut trees = Self::from_mounts(&fs::read_to_string("/proc/self/mounts")?, instance);
        trees.trees.retain(|tree| make(&tree.base).is_ok() && (!tree.is_v2() || tree.delegate(&tree.base).is_ok()));
        Ok(trees)
    }

    /// The limits that nothing enforces here, in words; none if all are.
    pub(crate) fn unenforced(&self) -> Vec<&'static str> {
        let has = |controller: &&str| self.trees.iter().any(|tree| tree.version_of(controller).is_some());
        ["cpu", "memory", "pids"].into_iter().filter(|controller| !has(controller)).collect()
    }

    fn from_mounts(mounts: &str, instance: &str) -> Self {
        const WANTED: [&str; 4] = ["cpu", "cpuacct", "memory", "pids"];
        let mut v1 = Vec::new();
        let mut v2 = Vec::new();
        for line in mounts.lines() {
            let mut fields = line.split(' ').skip(1);
            let (Some(path), Some(kind), Some(options)) = (fields.next(), fields.next(), fields.next()) else {
                continue;
            };
            let base = Path::new(path).join("windtunnel").join(instance);
            let controllers: Vec<String> =
                options.split(',').filter(|o| WANTED.contains(o)).map(str::to_owned).collect();
            match kind {
                "cgroup" if !controllers.is_empty() => v1.push(Tree { base, controllers }),
                "cgroup2" => v2.push(Tree { base, controllers: Vec::new() }),
                _ => {}
            }
        }
        // A hybrid host has the controllers in version 1's trees and an idle tree of version 2 beside them.
        Self { trees: if v1.is_empty() { v2.into_iter().take(1).collect() } else { v1 } }
    }

    /// Makes a group with its limits. It may exist.
    pub(crate) fn create(&self, group: Group<'_>, limits: &Limits) -> io::Result<()> {
        for tree in &self.trees {
            let path = group.below(&tree.base);
            make(&path)?;
            if tree.is_v2() && !matches!(group, Group::Container(..)) {
                tree.delegate(&path)?;
            }
            tree.limit(&path, limits, matches!(group, Group::Container(..)))?;
        }
        Ok(())
    }

    /// Moves the calling process, which must have one thread.
    pub(crate) fn join(&self, group: Group<'_>) -> io::Result<()> {
        // A thread that moves itself waits for nobody; a process waits until no other forks or ends, which takes milliseconds. Version 2
        // knows only processes here.
        let file = |tree: &Tree| if tree.is_v2() { "cgroup.procs" } else { "tasks" };
        self.trees.iter().try_for_each(|tree| fs::write(group.below(&tree.base).join(file(tree)), "0"))
    }

    /// How often the kernel has killed a process of the group for want of memory.
    pub(crate) fn oom_kills(&self, group: Group<'_>) -> u64 {
        let count = |tree: &Tree| {
            let file = match tree.version_of("memory")? {
                1 => "memory.oom_control",
                _ => "memory.events",
            };
            field(&group.below(&tree.base).join(file), "oom_kill")
        };
        self.trees.iter().find_map(count).unwrap_or(0)
    }

    /// Kills all processes of a group and of those below it.
    pub(crate) fn kill(&self, group: Group<'_>) {
        for tree in &self.trees {
            kill_below(&group.below(&tree.base));
        }
    }

    /// Removes a group and those below it, which must have no processes left; [`io::ErrorKind::ResourceBusy`] if one has.
    pub(crate) fn remove(&self, group: Group<'_>) -> io::Result<()> {
        self.trees.iter().try_for_each(|tree| remove_below(&group.below(&tree.base)))
    }

    /// The processes of a group itself.
    pub(crate) fn processes(&self, group: Group<'_>) -> Vec<i32> {
        let mut all: Vec<i32> = self.trees.iter().flat_map(|tree| processes(&group.below(&tree.base))).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Kills and removes the groups of all tasks but those in `keep`.
    pub(crate) fn sweep(&self, keep: impl Fn(&str) -> bool) {
        for tree in &self.trees {
            for child in directories(&tree.base) {
                let name = child.file_name().unwrap_or_default().to_string_lossy().into_owned();
                if name != SHIMS && name != COMPANIONS && !keep(&name) {
                    kill_below(&child);
                    if let Err(error) = remove_below(&child) {
                        tracing::debug!(%error, path = %child.display(), "control group not removed yet");
                    }
                }
            }
        }
    }

    /// Removes the instance's own directories, as far as they are empty.
    pub(crate) fn remove_instance(&self) {
        for tree in &self.trees {
            let _ = remove_below(&tree.base);
            // Another instance may be in it, which keeps it.
            let _ = tree.base.parent().map(fs::remove_dir);
        }
    }

    /// Whether nothing of the instance is left.
    pub(crate) fn is_gone(&self) -> bool {
        self.trees.iter().all(|tree| !tree.base.exists())
    }

    /// For mounting into a container: (controllers of a version 1 tree, empty for version 2; the name of its mount point).
    pub(crate) fn mounts(&self) -> impl Iterator<Item = (&[String], String)> {
        self.trees.iter().map(|tree| {
            let name = tree.base.ancestors().nth(2).and_then(Path::file_name).unwrap_or_default();
            (&tree.controllers[..], name.to_string_lossy().into_owned())
        })
    }
}

impl Tree {
    fn is_v2(&self) -> bool {
        self.controllers.is_empty()
    }

    /// The version by which this tree has the controller; cpu accounting is not apart from cpu in version 2.
    fn version_of(&self, controller: &str) -> Option<u8> {
        if self.is_v2() {
            return Some(2);
        }
        self.controllers.iter().any(|c| c == controller).then_some(1)
    }

    /// Lets the groups below `path` have controllers.
    fn delegate(&self, path: &Path) -> io::Result<()> {
        let mut chain: Vec<&Path> = path.ancestors().take_while(|p| *p != self.base.parent().unwrap_or(p)).collect();
        // From the mount point down, each must pass its controllers on.
        chain.extend(self.base.ancestors().skip(1).take(2));
        for directory in chain.into_iter().rev() {
            fs::write(directory.join("cgroup.subtree_control"), "+cpu +memory +pids")?;
        }
        Ok(())
    }

    fn limit(&self, path: &Path, limits: &Limits, container: bool) -> io::Result<()> {
        let set = |file: &str, value: u64| fs::write(path.join(file), value.to_string());
        let v2 = self.is_v2();
        if self.version_of("cpu").is_some()
            && let Some(cpu) = limits.cpu
        {
            let units = u64::from(cpu.units.max(2));
            // Quotas below a millisecond are refused.
            let quota = (units * PERIOD / 1024).max(1000);
            if v2 {
                // 2..=262144 shares onto 1..=10000, as the container runtimes do it.
                set("cpu.weight", 1 + (units.min(262_144) - 2) * 9999 / 262_142)?;
                if cpu.hard {
                    fs::write(path.join("cpu.max"), format!("{quota} {PERIOD}"))?;
                }
            } else {
                set("cpu.shares", units)?;
                if cpu.hard {
                    set("cpu.cfs_period_us", PERIOD)?;
                    set("cpu.cfs_quota_us", quota)?;
                }
            }
        }
        if self.version_of("memory").is_some() {
            if let Some(bytes) = limits.memory_bytes {
                set(if v2 { "memory.max" } else { "memory.limit_in_bytes" }, bytes)?;
                // Absent where the kernel does not account for swap.
                let most = limits.swap_bytes.unwrap_or(0);
                let swap = if v2 {
                    ("memory.swap.max", most)
                } else {
                    ("memory.memsw.limit_in_bytes", bytes.saturating_add(most))
                };
                if path.join(swap.0).exists() {
                    set(swap.0, swap.1)?;
                }
            }
            if let Some(swappiness) = limits.swappiness.filter(|_| !v2) {
                set("memory.swappiness", swappiness)?;
            }
            if let Some(bytes) = limits.memory_reservation_bytes {
                set(if v2 { "memory.low" } else { "memory.soft_limit_in_bytes" }, bytes)?;
            }
        }
        if self.version_of("pids").is_some() && (container || limits.pids.is_some()) {
            set("pids.max", limits.pids.unwrap_or(DEFAULT_PIDS))?;
        }
        Ok(())
    }
}

fn make(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

fn directories(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    let is_directory = |e: &fs::DirEntry| e.file_type().is_ok_and(|t| t.is_dir());
    entries.flatten().filter(is_directory).map(|e| e.path()).collect()
}

fn processes(path: &Path) -> Vec<i32> {
    let text = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

fn kill_below(path: &Path) {
    if fs::write(path.join("cgroup.kill"), "1").is_ok() {
        return;
    }
    for child in directories(path) {
        kill_below(&child);
    }
    // Version 1 cannot kill a group at once. Containers have process namespaces of their own, so the death of their
    // first process is that of all; what was being forked meanwhile is caught in the next round.
    for _ in 0..16 {
        let found = processes(path);
        if found.is_empty() {
            return;
        }
        for pid in found {
            if pid > 1 {
                let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
            }
        }
    }
}

fn remove_below(path: &Path) -> io::Result<()> {
    for child in directories(path) {
        remove_below(&child)?;
    }
    match fs::remove_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn field(path: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hybrid_hosts_idle_version_2_tree_is_not_used() {
        let mounts = "\
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0
cgroup /sys/fs/cgroup/blkio cgroup rw,blkio 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0
";
        let found = Cgroups::from_mounts(mounts, "0011aabb");
        let names: Vec<_> = found.mounts().map(|(c, name)| (c.join("+"), name)).collect();
        assert_eq!(names, [("cpu+cpuacct".into(), "cpu,cpuacct".into()), ("memory".to_owned(), "memory".to_owned())]);
    }

    /// A tree of version 2 as the kernel shows it, made of plain files.
    fn version_2(dir: &Path) -> Cgroups {
        let cgroups = Cgroups::from_mounts(&format!("cgroup2 {} cgroup2 rw 0 0\n", dir.display()), "0011aabb");
        let task = dir.join("windtunnel/0011aabb/task/app");
        fs::create_dir_all(&task).unwrap();
        for group in [&task, task.parent().unwrap()] {
            fs::write(group.join("memory.swap.max"), "max").unwrap();
        }
        cgroups
    }

    #[test]
    fn limits_are_written_as_version_2_has_them() {
        let dir = tempfile::tempdir().unwrap();
        let cgroups = version_2(dir.path());
        let limits = Limits {
            cpu: Some(crate::spec::CpuLimit { units: 512, hard: true }),
            memory_bytes: Some(64 << 20),
            memory_reservation_bytes: Some(32 << 20),
            swap_bytes: Some(16 << 20),
            swappiness: Some(10),
            pids: None,
        };
        cgroups.create(Group::Task("task"), &limits).unwrap();
        cgroups
            .create(
                Group::Container("task", "app"),
                &Limits {
                    cpu: limits.cpu.map(|cpu| crate::spec::CpuLimit { hard: false, ..cpu }),
                    ..Limits::default()
                },
            )
            .unwrap();
        let base = dir.path().join("windtunnel/0011aabb");
        let read = |path: &str| fs::read_to_string(base.join(path)).unwrap();
        assert_eq!(read("task/cpu.max"), "50000 100000", "half a processor");
        assert_eq!(read("task/cpu.weight"), "20", "512 of 2 to 262144 on 1 to 10000");
        assert_eq!(read("task/memory.max"), (64 << 20).to_string());
        assert_eq!(read("task/memory.low"), (32 << 20).to_string());
        assert_eq!(read("task/memory.swap.max"), (16 << 20).to_string());
        assert!(!base.join("task/memory.swappiness").exists(), "version 2 has no such file");
        assert_eq!(read("task/cgroup.subtree_control"), "+cpu +memory +pids");
        assert_eq!(read("../cgroup.subtree_control"), "+cpu +memory +pids", "each group on the way passes them on");
        assert!(!base.join("task/app/cpu.max").exists(), "a container's units are a share");
        assert_eq!(read("task/app/pids.max"), DEFAULT_PIDS.to_string());
        assert!(
            !base.join("task/app/cgroup.subtree_control").exists(),
            "processes and controllers do not share a group"
        );
    }

    #[test]
    fn version_2_tells_of_kills_and_usage() {
        let dir = tempfile::tempdir().unwrap();
        let cgroups = version_2(dir.path());
        let group = dir.path().join("windtunnel/0011aabb/task/app");
        fs::write(group.join("memory.events"), "low 0\nmax 3\noom 1\noom_kill 2\n").unwrap();
        fs::write(group.join("cpu.stat"), "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\n").unwrap();
        let app = Group::Container("task", "app");
        assert_eq!(cgroups.oom_kills(app), 2);
        assert_eq!(cgroups.usage(app, "app").cpu.total, 1_500_000);
        cgroups.kill(Group::Task("task"));
        assert_eq!(fs::read_to_string(dir.path().join("windtunnel/0011aabb/task/cgroup.kill")).unwrap(), "1");
    }

    #[test]
    fn a_version_2_host_has_one_tree() {
        let found = Cgroups::from_mounts("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n", "0011aabb");
        assert_eq!(found.trees.len(), 1);
        assert_eq!(found.trees[0].base, Path::new("/sys/fs/cgroup/windtunnel/0011aabb"));
        assert_eq!(found.trees[0].version_of("memory"), Some(2));
    }
}
