//! A content-addressed store of files: image layers, configurations and manifests, each under the SHA-256 of its bytes.
//!
//! It knows nothing of repositories, tags or AWS: who may see a blob, and which blobs are still wanted, is decided
//! above. All calls are synchronous; asynchronous callers run them on a blocking thread.
//!
//! Data goes in through an [`Upload`] (hashed while it is written, resumable, also after a restart) or, when small,
//! through [`BlobStore::put`]. In both cases the bytes lie in a temporary file which is made durable and only then
//! renamed to its digest, so a blob that can be seen is whole. Data comes out as a plain [`std::fs::File`].
//!
//! ```text
//! <data>/blobs/sha256/<first two digits>/<64 digits>   whole blobs
//! <data>/blobs/uploads/<id>/{owner,data}               what clients have sent so far
//! <data>/blobs/tmp/                                    emptied when the store opens
//! ```

mod collect;
mod digest;
mod error;
mod store;
mod upload;

pub use collect::Collected;
pub use digest::{Digest, Hasher};
pub use error::BlobError;
pub use store::{Blob, BlobStore};
pub use upload::Upload;
