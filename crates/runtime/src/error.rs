//! What can go wrong, and for whom.
//!
//! Texts are for the people who wrote the task definition; paths of the host do not appear in them.

use crate::spec::{InvalidSpec, TaskId};

/// An image could not be unpacked. A retry helps only for [`PrepareError::Host`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrepareError {
    /// The blob store does not have the layer.
    #[error("layer {digest} not found")]
    Missing {
        /// The layer's digest.
        digest: String,
    },
    /// The layer is not what it should be: broken compression, a path out of the root, a wrong checksum, a bomb.
    #[error("failed to extract layer {digest}: {reason}")]
    Corrupt {
        /// The layer's digest.
        digest: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The host failed: no space, no permission.
    #[error("failed to extract layer {digest}: {source}")]
    Host {
        /// The layer's digest.
        digest: String,
        /// What the host said.
        source: std::io::Error,
    },
}

/// A task could not be made at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A volume that outlives tasks, and that was not to be made, is not there.
    #[error("no directory {path:?} in {store}")]
    NoVolume {
        /// Its store.
        store: String,
        /// Where it was looked for.
        path: String,
    },
    /// The caller's mistake.
    #[error(transparent)]
    Invalid(#[from] InvalidSpec),
    /// An image could not be unpacked.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// The task exists already.
    #[error("task {0} exists already")]
    AlreadyExists(TaskId),
    /// The host failed.
    #[error("{0}")]
    Host(String),
}

/// An operation on a task failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// No such task, or it was removed.
    #[error("task {0} not found")]
    NoTask(TaskId),
    /// The task has no such container.
    #[error("container {container} not found in task {task}")]
    NoContainer {
        /// The task.
        task: TaskId,
        /// The name that it has not.
        container: String,
    },
    /// The container is not in a state that allows the operation.
    #[error("container {container} is {state}")]
    WrongState {
        /// The container.
        container: String,
        /// The state that it is in.
        state: &'static str,
    },
    /// The task's shim or the host failed.
    #[error("{0}")]
    Host(String),
}

impl RuntimeError {
    /// A failure of the host, with what was tried.
    pub(crate) fn host(what: &str, why: impl std::fmt::Display) -> Self {
        Self::Host(format!("{what}: {why}"))
    }
}
