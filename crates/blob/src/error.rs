//! What can go wrong with a blob.

use crate::Digest;
use std::io;

/// Why the store refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// No blob has this digest. Retrying does not help.
    #[error("blob {0} is not in the store")]
    Unknown(Digest),
    /// No upload has this id, or it belongs to another owner, or it has been finished.
    #[error("upload {0:?} does not exist")]
    UnknownUpload(String),
    /// Another request is writing to this upload. A retry helps once that has ended.
    #[error("upload {0:?} is being written by another request")]
    Busy(String),
    /// The bytes are not those that were promised. The upload is gone.
    #[error("the content's digest is {actual}, not {expected}")]
    Mismatch {
        /// What the client said.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// The disk (or a quota) is full. What was stored before stays whole.
    #[error("the disk is full")]
    DiskFull(#[source] io::Error),
    /// The file system failed in another way.
    #[error("blob store: {0}")]
    Io(#[source] io::Error),
}

impl From<io::Error> for BlobError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull(error),
            _ => Self::Io(error),
        }
    }
}
