//! Everything that can go wrong with the store.

use std::path::PathBuf;

/// Why the store could not be opened, or a commit was not made. Clones share the cause, as one failed sync fails many commits.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Another daemon works on this directory. Stop it, or use another directory.
    #[error("{path} is in use by another process{}", pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The holder, if it wrote its number already.
        pid: Option<u32>,
    },
    /// The directory holds rows of tables that this build does not know; opening it would lose them. Use a newer build.
    #[error("the data directory has tables that this version does not know: {}", names.join(", "))]
    UnknownTables {
        /// Their names, in order.
        names: Vec<String>,
    },
    /// The directory was written by a newer build.
    #[error("table {table} is of version {disk} on disk, and this build knows up to version {code}")]
    TooNew {
        /// The table.
        table: String,
        /// The version on disk.
        disk: u32,
        /// The version in the code.
        code: u32,
    },
    /// A row could not be read or migrated. Nothing was changed on disk.
    #[error("row {id} of table {table} cannot be read: {why}")]
    Unreadable {
        /// The table.
        table: String,
        /// Scope and id.
        id: String,
        /// The cause.
        why: String,
    },
    /// A row put into the transaction cannot be written as JSON. The transaction was dropped as a whole; the store goes on.
    #[error("row {id} of table {table} cannot be written: {why}")]
    Unwritable {
        /// The table.
        table: String,
        /// Scope and id.
        id: String,
        /// The cause.
        why: String,
    },
    /// The disk failed. The store accepts no commit from then on, and the process must exit.
    #[error("the store's disk failed: {0}")]
    Disk(String),
    /// The store was closed before the commit.
    #[error("the store is closed")]
    Closed,
}

impl Error {
    pub(crate) fn disk(why: impl std::fmt::Display) -> Self {
        Self::Disk(why.to_string())
    }
}
