//! Unpacks one layer: an archive, perhaps compressed, into a directory as overlayfs wants it.
//!
//! The archive is hostile. Every path is resolved by the kernel inside the destination (`RESOLVE_IN_ROOT`), so no name and no
//! symlink leads out of it; absolute names, `..`, device nodes and anything beyond the [`UnpackLimits`] fail the
//! whole layer. Not here: where layers live and that they appear whole or not at all, which is [`crate::layers`].
//!
//! Whiteouts (`.wh.name`) become overlayfs's device nodes 0:0, opaque directories its extended attribute. Of the archive's extended attributes
//! `security.capability` and `user.*` are kept; `trusted.overlay.*` and `user.overlay.*` in particular are not the archive's to set.

mod entry;
mod stream;
mod tree;

pub use stream::Unpacked;

use entry::{Entry, Kind};
use std::io::{self, Read};
use std::os::fd::OwnedFd;

/// How much a layer may be.
#[derive(Debug, Clone, Copy)]
pub struct UnpackLimits {
    /// Bytes of the archive, decompressed; file contents are a part of them.
    pub bytes: u64,
    /// Files, directories, links; directories too that only stand in other entries' paths.
    pub entries: u64,
}

impl Default for UnpackLimits {
    /// What fits into Fargate's default ephemeral storage, with room to spare.
    fn default() -> Self {
        Self { bytes: 32 << 30, entries: 4_000_000 }
    }
}

/// Why a layer was not unpacked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// The archive is bad; it will be as bad the next time.
    #[error("{0}")]
    Archive(String),
    /// Reading the archive or writing the files failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl UnpackError {
    fn archive(text: impl Into<String>) -> Self {
        Self::Archive(text.into())
    }
}

/// Unpacks the layer that `reader` gives (plain, gzip or zstd) into the empty directory `dest`.
///
/// After an error the directory holds an unspecified part of the layer.
pub fn unpack_layer(reader: impl Read, dest: &OwnedFd, limits: UnpackLimits) -> Result<Unpacked, UnpackError> {
    let mut stream = stream::open(reader, limits.bytes)?;
    let mut tree = tree::Tree::new(dest, limits.entries)?;
    let mut entries = 0;
    {
        let mut archive = tar::Archive::new(&mut stream);
        let mut extensions = entry::Extensions::default();
        for raw in archive.entries().map_err(broken)?.raw(true) {
            let mut raw = raw.map_err(broken)?;
            if extensions.absorb(&mut raw)? {
                continue;
            }
            entries += 1;
            let entry = Entry::read(&raw, std::mem::take(&mut extensions))?;
            tree.add(&entry, &mut raw)?;
        }
    }
    tree.finish()?;
    stream.finish(entries)
}

/// An error of the archive's reader: bad data, unless it says that the reading below it failed.
fn broken(error: io::Error) -> UnpackError {
    match error.kind() {
        io::ErrorKind::InvalidData
        | io::ErrorKind::InvalidInput
        | io::ErrorKind::UnexpectedEof
        | io::ErrorKind::Other => UnpackError::Archive(format!("invalid tar header or data: {error}")),
        _ => UnpackError::Io(error),
    }
}
