//! What daemon and shim say to each other: one JSON document a line, over a stream socket.
//!
//! The shim sends its whole state at the beginning of a connection and after each change, so that it does not matter what an earlier daemon has heard.

use crate::spec::{ExecSpec, SessionSpec};
use crate::status::{ContainerState, ExecOutcome, StorageUsage, TaskStatus};
use serde::{Deserialize, Serialize};

/// The longest line that either takes.
pub(crate) const MAX_LINE: usize = 1 << 20;

/// From the daemon.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Start a container; answered by [`Report::Started`] with the same number.
    Start { number: u64, container: String },
    /// The stop signal to one container or all, and SIGKILL after the grace.
    Stop { container: Option<String>, grace_millis: Option<u64> },
    /// SIGKILL to all.
    Kill,
    /// One more process; answered by [`Report::Executed`] with the same number.
    Execute { number: u64, container: String, spec: ExecSpec },
    /// How full the task's own file system is; answered by [`Report::Storage`] with the same number.
    Storage { number: u64 },
    /// Kill all, and end.
    End,
    /// The stop signal to all, SIGKILL after their stop timeouts but not later than this, and end.
    Leave { most_millis: u64 },
}

/// From the shim.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    State(ShimState),
    /// New output of a container.
    Log(String),
    Started {
        number: u64,
        result: Result<ContainerState, Refusal>,
    },
    Executed {
        number: u64,
        result: Result<ExecOutcome, Refusal>,
    },
    Storage {
        number: u64,
        result: Result<Option<StorageUsage>, Refusal>,
    },
    /// The task cannot be made; the shim ends.
    Fatal(String),
}

/// What opens a session, over a connection of its own to the socket for that. The answer, a `Result<(), Refusal>`, brings the
/// descriptors of the process: a terminal's, or those of its three streams. The session lasts as long as the connection.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SessionRequest {
    pub(crate) container: String,
    pub(crate) spec: SessionSpec,
}

/// From the daemon, in a session.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum SessionOrder {
    /// A signal to the process.
    Signal(i32),
}

/// From the shim, as the last word in a session.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum SessionReport {
    /// The process has ended.
    Ended { code: i32 },
}

/// Why a request was not done.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Refusal {
    NoContainer,
    WrongState(String),
    Failed(String),
}

/// What the shim knows; its state file holds the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ShimState {
    /// The shim's process and when the kernel started it, in ticks: a number that is used again is not mistaken for it.
    pub(crate) pid: i32,
    pub(crate) born: u64,
    pub(crate) status: TaskStatus,
}

/// When the process was started, in ticks since the start of the machine.
pub(crate) fn birth(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may have anything in it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    // The dead whom nobody has buried yet do not live.
    fields.next().filter(|state| !matches!(*state, "Z" | "X"))?;
    fields.nth(18)?.parse().ok()
}

impl ShimState {
    /// Whether the shim that wrote this lives.
    pub(crate) fn is_alive(&self) -> bool {
        birth(self.pid) == Some(self.born)
    }
}
