//! What a container uses, as control groups of either version, the host and the container's network count it.

use super::{Cgroups, Group, Tree, field, number};
use crate::status::{ContainerUsage, Counted, CpuUsage, MemoryUsage, Traffic};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A unit of `cpuacct.stat` and `/proc/stat` in nanoseconds: the kernel shows a hundredth of a second on every machine
/// that this runs on.
const TICK: u64 = 10_000_000;

impl Cgroups {
    /// What the group uses.
    pub(crate) fn usage(&self, group: Group<'_>, name: &str) -> ContainerUsage {
        let mut usage = ContainerUsage { name: name.to_owned(), ..ContainerUsage::default() };
        let host = fs::read_to_string("/proc/stat").unwrap_or_default();
        (usage.cpu.host, usage.cpu.online) = host_cpu(&host);
        for tree in &self.trees {
            let path = group.below(&tree.base);
            tree.cpu(&path, &mut usage.cpu);
            tree.memory(&path, &mut usage.memory);
            if tree.version_of("pids").is_some() {
                usage.pids = number(&path.join("pids.current")).unwrap_or(0);
                usage.pids_limit = number(&path.join("pids.max"));
            }
        }
        // Any of them tells of the network that all are in.
        let devices = |pid: &i32| fs::read_to_string(format!("/proc/{pid}/net/dev")).ok();
        usage.networks = networks(&self.processes(group).iter().find_map(devices).unwrap_or_default());
        usage
    }
}

impl Tree {
    fn cpu(&self, path: &Path, cpu: &mut CpuUsage) {
        let stat = path.join("cpu.stat");
        if self.is_v2() {
            let micros = |name| field(&stat, name).unwrap_or(0).saturating_mul(1000);
            cpu.total = micros("usage_usec");
            cpu.user = micros("user_usec");
            cpu.kernel = micros("system_usec");
            cpu.throttled = micros("throttled_usec");
        } else if self.version_of("cpuacct").is_some() {
            let ticks = |name| field(&path.join("cpuacct.stat"), name).unwrap_or(0).saturating_mul(TICK);
            cpu.total = number(&path.join("cpuacct.usage")).unwrap_or(0);
            cpu.user = ticks("user");
            cpu.kernel = ticks("system");
            let each = fs::read_to_string(path.join("cpuacct.usage_percpu")).unwrap_or_default();
            cpu.per_cpu = each.split_whitespace().filter_map(|text| text.parse().ok()).collect();
        }
        if self.version_of("cpu").is_some() {
            cpu.periods = field(&stat, "nr_periods").unwrap_or(0);
            cpu.throttled_periods = field(&stat, "nr_throttled").unwrap_or(0);
            if !self.is_v2() {
                cpu.throttled = field(&stat, "throttled_time").unwrap_or(0);
            }
        }
    }

    fn memory(&self, path: &Path, memory: &mut MemoryUsage) {
        let (used, peak, limit) = match self.version_of("memory") {
            Some(1) => ("memory.usage_in_bytes", "memory.max_usage_in_bytes", "memory.limit_in_bytes"),
            Some(_) => ("memory.current", "memory.peak", "memory.max"),
            None => return,
        };
        memory.used = number(&path.join(used)).unwrap_or(0);
        memory.peak = number(&path.join(peak));
        // Version 1 writes "no limit" as the largest number of whole pages.
        memory.limit = number(&path.join(limit)).filter(|limit| *limit < 1 << 62);
        let stat = fs::read_to_string(path.join("memory.stat")).unwrap_or_default();
        memory.stats = stat.lines().filter_map(named).collect();
    }
}

/// `total_rss 4096`.
fn named(line: &str) -> Option<(String, u64)> {
    let (name, value) = line.split_once(' ')?;
    Some((name.to_owned(), value.parse().ok()?))
}

/// The time that all processors have spent, and how many there are, of `/proc/stat`.
fn host_cpu(stat: &str) -> (u64, u64) {
    let total = stat.lines().find_map(|line| line.strip_prefix("cpu ")).unwrap_or_default();
    // The guests' time that follows the first eight is contained in them.
    let ticks = total.split_whitespace().take(8).filter_map(|text| text.parse::<u64>().ok());
    let each = |line: &&str| line.starts_with("cpu") && !line.starts_with("cpu ");
    (ticks.fold(0, u64::saturating_add).saturating_mul(TICK), stat.lines().filter(each).count() as u64)
}

/// The interfaces of `/proc/<pid>/net/dev` but the loopback.
fn networks(dev: &str) -> BTreeMap<String, Traffic> {
    let device = |line: &str| {
        let (name, numbers) = line.split_once(':')?;
        let numbers: Vec<u64> = numbers.split_whitespace().map(|text| text.parse().unwrap_or(0)).collect();
        // Eight columns in, eight out.
        let counted = |at: usize| {
            let of = |n: usize| numbers.get(at + n).copied();
            Some(Counted { bytes: of(0)?, packets: of(1)?, errors: of(2)?, dropped: of(3)? })
        };
        Some((name.trim().to_owned(), Traffic { received: counted(0)?, sent: counted(8)? }))
    };
    dev.lines().filter_map(device).filter(|(name, _)| name != "lo").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_time_is_that_of_all_its_processors() {
        let stat = "cpu  10 1 2 30 4 0 1 2 9 9\ncpu0 5 0 1 15 2 0 0 1 4 4\ncpu1 5 1 1 15 2 0 1 1 5 5\nintr 5\nctxt 1\n";
        assert_eq!(host_cpu(stat), (50 * TICK, 2));
        assert_eq!(host_cpu(""), (0, 0));
    }

    #[test]
    fn interfaces_are_read_both_ways() {
        let dev = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 100 1 0 0 0 0 0 0 100 1 0 0 0 0 0 0
  eth0: 2150 9 1 2 0 0 0 0 564 7 0 3 0 0 0 0
";
        let found = networks(dev);
        let received = Counted { bytes: 2150, packets: 9, errors: 1, dropped: 2 };
        let sent = Counted { bytes: 564, packets: 7, errors: 0, dropped: 3 };
        assert_eq!(found, BTreeMap::from([("eth0".to_owned(), Traffic { received, sent })]));
        assert!(networks("eth0: 1 2").is_empty(), "a line that is cut short");
    }

    #[test]
    fn both_versions_count_alike() {
        let write = |dir: &Path, files: &[(&str, &str)]| {
            files.iter().for_each(|(name, text)| fs::write(dir.join(name), text).unwrap());
        };
        let dir = tempfile::tempdir().unwrap();
        write(
            dir.path(),
            &[
                ("cpuacct.usage", "5000000000\n"),
                ("cpuacct.usage_percpu", "2000000000 3000000000 \n"),
                ("cpuacct.stat", "user 300\nsystem 200\n"),
                ("cpu.stat", "nr_periods 10\nnr_throttled 4\nthrottled_time 7000\n"),
                ("memory.usage_in_bytes", "4096\n"),
                ("memory.max_usage_in_bytes", "8192\n"),
                ("memory.limit_in_bytes", "9223372036854771712\n"),
                ("memory.stat", "cache 1024\nrss 3072\nodd\n"),
            ],
        );
        let all = ["cpu", "cpuacct", "memory"].map(str::to_owned).to_vec();
        let (mut cpu, mut memory) = (CpuUsage::default(), MemoryUsage::default());
        let one = Tree { base: dir.path().to_owned(), controllers: all };
        one.cpu(dir.path(), &mut cpu);
        one.memory(dir.path(), &mut memory);
        assert_eq!((cpu.total, cpu.user, cpu.kernel), (5_000_000_000, 3_000_000_000, 2_000_000_000));
        assert_eq!((cpu.periods, cpu.throttled_periods, cpu.throttled), (10, 4, 7000));
        assert_eq!(cpu.per_cpu, [2_000_000_000, 3_000_000_000]);
        assert_eq!((memory.used, memory.peak, memory.limit), (4096, Some(8192), None));
        assert_eq!(memory.stats, BTreeMap::from([("cache".to_owned(), 1024), ("rss".to_owned(), 3072)]));

        let dir = tempfile::tempdir().unwrap();
        write(
            dir.path(),
            &[
                (
                    "cpu.stat",
                    "usage_usec 5000000\nuser_usec 3000000\nsystem_usec 2000000\nnr_periods 10\nnr_throttled 4\nthrottled_usec 7\n",
                ),
                ("memory.current", "4096\n"),
                ("memory.max", "max\n"),
                ("memory.stat", "anon 3072\n"),
            ],
        );
        let two = Tree { base: dir.path().to_owned(), controllers: Vec::new() };
        let (mut cpu_2, mut memory) = (CpuUsage::default(), MemoryUsage::default());
        two.cpu(dir.path(), &mut cpu_2);
        two.memory(dir.path(), &mut memory);
        assert_eq!(CpuUsage { per_cpu: cpu.per_cpu.clone(), ..cpu_2 }, cpu);
        assert_eq!((memory.used, memory.peak, memory.limit), (4096, None, None));
    }
}
