//! Processes that are measured: started, ended, and what they and their children use.

use crate::{Outcome, stop};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::HashMap;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// How long a process may take to end by itself.
const END: Duration = Duration::from_secs(15);

/// A process that is ended when this is dropped.
pub(crate) struct Running {
    child: Child,
    name: String,
}

impl Running {
    /// Starts the command, out of reach of the terminal's signals.
    pub(crate) fn start(command: &mut Command) -> Outcome<Self> {
        stop::check()?;
        command.process_group(0);
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().map_err(|error| format!("cannot start {name}: {error}"))?;
        Ok(Self { child, name })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its standard output, if that was asked for.
    pub(crate) fn stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
        let begun = Instant::now();
        while begun.elapsed() < END {
            if self.has_ended() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        eprintln!("bench: {} does not end; it is killed", self.name);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The process `root` and all that descend from it.
pub(crate) fn tree(root: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        if let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok())
            && let Some(parent) = stat(pid).and_then(|fields| fields.get(1)?.parse().ok())
        {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = vec![root];
    let mut at = 0;
    while let Some(pid) = found.get(at) {
        found.extend(children.remove(pid).unwrap_or_default());
        at += 1;
    }
    found
}

/// The fields of `/proc/PID/stat` after the name.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(text.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}

/// CPU time in milliseconds of a process tree as it is now.
///
/// Of each process the larger of two counts: ticks know threads that have ended, `schedstat` knows less than a tick.
pub(crate) fn cpu_ms(root: u32) -> f64 {
    let ticks = |pid| {
        let fields = stat(pid)?;
        let sum = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
        Some(sum as f64 * 10.0)
    };
    let threads = |pid: u32| {
        let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        threads.filter_map(|thread| nanos(&thread.path().join("schedstat"))).sum::<f64>() / 1e6
    };
    tree(root).into_iter().map(|pid| ticks(pid).unwrap_or(0.0).max(threads(pid))).sum()
}

fn nanos(path: &std::path::Path) -> Option<f64> {
    fs::read_to_string(path).ok()?.split_whitespace().next()?.parse().ok()
}

/// Memory of a process tree.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Memory {
    /// Resident, shared pages counted for each process.
    pub(crate) rss_mb: f64,
    /// Resident, shared pages divided by their users.
    pub(crate) pss_mb: f64,
}

/// What a process tree has resident.
pub(crate) fn memory(root: u32) -> Memory {
    memory_of(root, |_| true)
}

/// What those of a process tree have resident whose executable's path is wanted.
pub(crate) fn memory_of(root: u32, wanted: impl Fn(&str) -> bool) -> Memory {
    sum(tree(root).into_iter().filter(|pid| {
        let executable = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        wanted(&executable.to_string_lossy())
    }))
}

/// What these processes have resident.
pub(crate) fn sum(processes: impl IntoIterator<Item = u32>) -> Memory {
    let mut sum = Memory::default();
    for pid in processes {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<f64>().ok()
        };
        sum.rss_mb += field("Rss:").unwrap_or(0.0) / 1024.0;
        sum.pss_mb += field("Pss:").unwrap_or(0.0) / 1024.0;
    }
    sum
}

/// CPU time in milliseconds of all children that were waited for.
pub(crate) fn waited_cpu_ms() -> f64 {
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::TimeValLike;
    getrusage(UsageWho::RUSAGE_CHILDREN).map_or(0.0, |usage| {
        (usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1e3
    })
}

/// A TCP port of loopback that is free now.
pub(crate) fn free_port() -> Outcome<u16> {
    let bound = std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    bound.map(|address| address.port()).map_err(|error| format!("no free port: {error}"))
}

/// The cores: the first for what is measured, the others for load and targets.
pub(crate) fn cores() -> (String, String) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let others = if cores < 2 { "0".to_owned() } else { format!("1-{}", cores - 1) };
    ("0".to_owned(), others)
}

/// A command that is kept on these cores.
pub(crate) fn on_cores(cores: &str, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", cores]).arg(program);
    command
}
