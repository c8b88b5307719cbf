//! Images become containers: layers are unpacked, stacked and run in namespaces under limits, and their output is kept.
//!
//! This crate knows Linux and nothing of AWS's API. Whoever uses it sees [`Runtime`]: a task is described by a
//! [`TaskSpec`], started once, watched through [`TaskEvent`]s and removed. There are two runtimes behind the trait:
//! [`Native`], which runs real containers, and [`Sim`], which plays scripts on a clock and touches nothing.
//!
//! How a native task comes to be:
//! 1. [`Runtime::prepare`] unpacks the image's layers from a [`LayerSource`], each once (`layers`, [`unpack`]).
//! 2. The daemon passes the task's spec in an anonymous file to the *launcher* ([`launcher`]), a small single-threaded
//!    process, which forks a *shim* for the task. Forking the daemon itself would copy its page tables: a hundred times
//!    dearer with a gigabyte resident.
//! 3. The shim (`shim`) clones each container's first process into new namespaces, reaps it, keeps its exit code in
//!    a state file and its output in a log on disk. It outlives the daemon; a later daemon adopts it over its socket.
//!
//! A session, a process that somebody talks with ([`Runtime::open`]), is started by the shim as well, which hands its terminal or
//! pipes to the daemon and keeps none of them: when the daemon dies the kernel hangs the terminal up, and the shim, whose connection
//! closes, kills what is left.
//!
//! Invariants: the daemon never forks; nothing is mounted in the host's mount namespace (each container's overlay lives in the
//! container's own and ends with it, and so does a file system of the task's own, [`TaskSpec::storage_bytes`]); what a task left is found
//! by its id alone, under the run directory, the data directory and the cgroup tree.

mod capability;
mod cgroup;
mod container;
mod error;
mod event;
mod ids;
mod image;
pub mod launcher;
mod layers;
mod log;
mod native;
mod paths;
mod protocol;
mod reset;
mod seccomp;
mod session;
mod shim;
mod sim;
mod spec;
mod status;
mod storage;
mod sys;
pub mod unpack;
mod user;
mod volume;

pub use error::{PrepareError, RuntimeError, StartError};
pub use event::{LogChunk, LogRecord, LogStream, TaskEvent, TaskEventKind};
pub use image::{ImageConfig, ImageError, ImageSnapshot, LayerRef, LayerSource};
pub use native::{Native, NativeConfig, SERVER_STOPPED};
pub use reset::{reset_host, survivors};
pub use session::{Session, SessionEvent};
pub use sim::{NEVER_STARTED, Sim, SimScript};
pub use spec::{
    Capabilities, ContainerSpec, CpuLimit, ExecSpec, HostEntry, InvalidSpec, KeptVolume, Limits, LogBuffer, Mount,
    MountSource, Network, Resource, Restart, SessionSpec, StartWhen, TaskId, TaskSpec, TerminalSize, Tmpfs, Ulimit,
};
pub use status::{
    ContainerState, ContainerStatus, ContainerUsage, Counted, CpuUsage, ExecOutcome, Exit, MemoryUsage, StorageUsage,
    TaskStatus, Traffic,
};

use std::time::Duration;
use tokio::sync::broadcast;

/// What runs tasks.
///
/// Every method may be called again after a crash of the caller: starting a task that exists is refused with
/// [`RuntimeError::AlreadyExists`], stopping what has stopped and removing what is gone succeed.
#[async_trait::async_trait]
pub trait Runtime: Send + Sync + 'static {
    /// Unpacks the image's layers, so that a later start finds them. Done already: returns at once.
    async fn prepare(&self, image: &ImageSnapshot) -> Result<(), PrepareError>;

    /// Makes the task and starts those of its containers that are to start at once ([`StartWhen::Now`]), in order.
    /// Prepares the images that are not yet. A container that cannot start does not fail the call: its state in the
    /// answer is [`ContainerState::Failed`], and one that takes long is still [`ContainerState::Created`]: what becomes of it
    /// comes as an event, and it can be stopped meanwhile. After an error nothing of the task is left.
    async fn start(&self, spec: TaskSpec) -> Result<TaskStatus, StartError>;

    /// Starts a container of a started task which is [`ContainerState::Created`], or again one that exited.
    async fn start_container(&self, task: &TaskId, container: &str) -> Result<ContainerStatus, RuntimeError>;

    /// Asks a container to stop: its stop signal now, SIGKILL after `grace` (the container's own stop timeout if
    /// `None`). Returns once asked; the exit comes as an event. A container not yet started becomes exited.
    async fn stop_container(&self, task: &TaskId, container: &str, grace: Option<Duration>)
    -> Result<(), RuntimeError>;

    /// As [`Runtime::stop_container`], for all containers of the task at once.
    async fn stop(&self, task: &TaskId, grace: Option<Duration>) -> Result<(), RuntimeError>;

    /// Kills all of the task's containers at once. Returns once asked; the exits come as events.
    async fn kill(&self, task: &TaskId) -> Result<(), RuntimeError>;

    /// Runs one more process in a running container and returns when it has ended or its time is up.
    async fn exec(&self, task: &TaskId, container: &str, spec: ExecSpec) -> Result<ExecOutcome, RuntimeError>;

    /// Starts one more process in a running container, to be talked with. It is killed when the session is dropped.
    async fn open(&self, task: &TaskId, container: &str, spec: SessionSpec) -> Result<Session, RuntimeError>;

    /// The state of one task.
    async fn status(&self, task: &TaskId) -> Result<TaskStatus, RuntimeError>;

    /// All tasks that were started and not removed, those of an earlier daemon included, in order of their ids.
    async fn list(&self) -> Result<Vec<TaskStatus>, RuntimeError>;

    /// Kills what still runs and removes all that the task left: processes, cgroups, snapshot, logs, state.
    /// A task that is not there is no error. Ship its logs before.
    async fn remove(&self, task: &TaskId) -> Result<(), RuntimeError>;

    /// What happens from now on. The channel is bounded: a receiver that lags asks [`Runtime::list`] anew.
    fn watch(&self) -> broadcast::Receiver<TaskEvent>;

    /// A container's output from `offset` (0, or an earlier [`LogChunk::next`]) on, at most about `max_bytes` of it.
    /// An empty chunk means no more for now, and [`LogChunk::ended`] that there will never be more.
    async fn read_logs(
        &self,
        task: &TaskId,
        container: &str,
        offset: u64,
        max_bytes: usize,
    ) -> Result<LogChunk, RuntimeError>;

    /// The output before `offset` is safe elsewhere and may be dropped. A blocking container that waits for room goes on.
    async fn release_logs(&self, task: &TaskId, container: &str, offset: u64) -> Result<(), RuntimeError>;

    /// What the running containers of the task use at this moment.
    async fn usage(&self, task: &TaskId) -> Result<Vec<ContainerUsage>, RuntimeError>;

    /// How full the file system of a task that has one of its own is at this moment; none if it has none.
    async fn storage(&self, task: &TaskId) -> Result<Option<StorageUsage>, RuntimeError>;
}
