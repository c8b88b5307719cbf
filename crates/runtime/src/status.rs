//! The state of tasks and containers, as the shim writes it down and a runtime reports it.

use crate::spec::TaskId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use types::Timestamp;

/// A task's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskStatus {
    /// The task.
    pub task: TaskId,
    /// Its containers, in the spec's order.
    pub containers: Vec<ContainerStatus>,
}

impl TaskStatus {
    /// The container of this name.
    pub fn container(&self, name: &str) -> Option<&ContainerStatus> {
        self.containers.iter().find(|c| c.name == name)
    }

    /// No container runs or will run without being asked to.
    pub fn is_over(&self) -> bool {
        self.containers.iter().all(|c| c.state.is_over())
    }
}

/// A container's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerStatus {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub state: ContainerState,
    /// How often its shim has started it again.
    #[serde(default)]
    pub restarts: u32,
}

/// Where a container stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum ContainerState {
    /// Made, not started.
    Created,
    /// Its first process runs.
    Running {
        /// The process, as the host sees it.
        pid: u32,
        /// Since when.
        started_at: Timestamp,
    },
    /// It ran and ended.
    Exited(Exit),
    /// It could not be started.
    Failed {
        /// Why, in the words of the container runtime that AWS uses.
        reason: String,
        /// When.
        at: Timestamp,
    },
}

impl ContainerState {
    /// Ended, or never began.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Exited(_) | Self::Failed { .. })
    }

    /// A word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running { .. } => "running",
            Self::Exited(_) => "exited",
            Self::Failed { .. } => "failed",
        }
    }
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The exit code; 128 + the signal for a killed process.
    pub code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// The kernel killed a process of the container for want of memory.
    pub oom: bool,
    /// When it had started, if it had.
    pub started_at: Option<Timestamp>,
    /// When it ended, as far as known.
    pub at: Timestamp,
    /// Why, where the code alone does not say it: the shim died, the host restarted, the server was
    /// stopped ([`crate::SERVER_STOPPED`]), stopped before its start.
    pub reason: Option<String>,
}

/// What a container uses. What the host's control groups do not count is none or empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ContainerUsage {
    /// The container.
    pub name: String,
    /// CPU time since its start.
    pub cpu: CpuUsage,
    /// Memory.
    pub memory: MemoryUsage,
    /// Processes and threads.
    pub pids: u64,
    /// How many it may have.
    pub pids_limit: Option<u64>,
    /// What went through each interface of its network but the loopback; containers of a task share them.
    pub networks: BTreeMap<String, Traffic>,
}

/// How full a task's own file system is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageUsage {
    /// Its size.
    pub total: u64,
    /// Of it, in use.
    pub used: u64,
}

/// CPU time in nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CpuUsage {
    /// The container's.
    pub total: u64,
    /// Of it, in programs.
    pub user: u64,
    /// Of it, in the kernel.
    pub kernel: u64,
    /// Of it, on each processor.
    pub per_cpu: Vec<u64>,
    /// All time that the host's processors have spent, idle or not.
    pub host: u64,
    /// The host's processors.
    pub online: u64,
    /// Periods that a hard limit has been in force.
    pub periods: u64,
    /// Of them, those in which it held the container back.
    pub throttled_periods: u64,
    /// For how long.
    pub throttled: u64,
}

/// Memory in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MemoryUsage {
    /// In use, page cache included.
    pub used: u64,
    /// The most that was.
    pub peak: Option<u64>,
    /// The container's limit, if it has one of its own.
    pub limit: Option<u64>,
    /// The kernel's own account, by its names.
    pub stats: BTreeMap<String, u64>,
}

/// What went through a network interface since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Traffic {
    /// In.
    pub received: Counted,
    /// Out.
    pub sent: Counted,
}

/// One direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counted {
    /// Bytes.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// Packets that were broken.
    pub errors: u64,
    /// Packets that there was no room for.
    pub dropped: u64,
}

/// How an extra process in a container ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecOutcome {
    /// The exit code; 128 + signal for a killed process; `None` where its time was up (it was killed).
    pub code: Option<i32>,
    /// The first bytes that it wrote, standard output and standard error together (at most 4 KiB).
    pub output: Vec<u8>,
}
