//! Whole blobs: look up, read, put, delete.

use crate::upload::Sessions;
use crate::{BlobError, Digest};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use types::{Clock, Timestamp};

/// The store of one data directory. Share it behind an [`Arc`].
pub struct BlobStore {
    pub(crate) blobs: PathBuf,
    pub(crate) uploads: PathBuf,
    pub(crate) sessions: Mutex<Sessions>,
    /// Held while a blob appears, is touched, or is removed: the collector must not delete what was just vouched for.
    appearing: Mutex<()>,
    temporary: PathBuf,
    clock: Arc<dyn Clock>,
}

/// An open blob. Its file is never written again, only unlinked, so reading goes on even if it is deleted meanwhile.
#[derive(Debug)]
pub struct Blob {
    /// Positioned at the beginning.
    pub file: File,
    /// In bytes.
    pub size: u64,
}

impl Blob {
    /// The bytes from `start`, at most `length` of them.
    pub fn range(mut self, start: u64, length: u64) -> io::Result<io::Take<File>> {
        self.file.seek(SeekFrom::Start(start))?;
        Ok(self.file.take(length))
    }
}

impl BlobStore {
    /// Opens (or creates) the store below the data directory `data`, and removes what a crash left half-written.
    /// Uploads that clients may resume are kept.
    pub fn open(data: &Path, clock: Arc<dyn Clock>) -> Result<Self, BlobError> {
        let root = data.join("blobs");
        let store = Self {
            blobs: root.join("sha256"),
            uploads: root.join("uploads"),
            temporary: root.join("tmp"),
            sessions: Mutex::default(),
            appearing: Mutex::default(),
            clock,
        };
        match fs::remove_dir_all(&store.temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        for dir in [&store.blobs, &store.uploads, &store.temporary] {
            fs::create_dir_all(dir)?;
        }
        sync_dir(&root)?;
        Ok(store)
    }

    /// The blob's size, if it is here. A caller who tells a client "you need not send this" must use
    /// [`vouch`](Self::vouch) instead.
    pub fn size(&self, digest: &Digest) -> Result<Option<u64>, BlobError> {
        match fs::metadata(self.path(digest)) {
            Ok(meta) => Ok(Some(meta.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The blob's size, if it is here; it counts as new from now on, so that the collector's grace covers the manifest
    /// that will name it.
    pub fn vouch(&self, digest: &Digest) -> Result<Option<u64>, BlobError> {
        let _appearing = self.appearing();
        let file = match File::open(self.path(digest)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        file.set_modified(self.file_time())?;
        Ok(Some(file.metadata()?.len()))
    }

    /// Whether the blob is missing, or was neither stored nor vouched for since `before`.
    pub fn is_older(&self, digest: &Digest, before: Timestamp) -> Result<bool, BlobError> {
        match fs::metadata(self.path(digest)) {
            Ok(meta) => Ok(modified(&meta)? < before),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the blob for reading.
    pub fn read(&self, digest: &Digest) -> Result<Blob, BlobError> {
        match File::open(self.path(digest)) {
            Ok(file) => {
                let size = file.metadata()?.len();
                Ok(Blob { file, size })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(BlobError::Unknown(digest.clone())),
            Err(error) => Err(error.into()),
        }
    }

    /// The whole of a blob that is known to be small, such as a manifest or an image configuration; one larger than
    /// `limit` is an error of kind [`io::ErrorKind::FileTooLarge`].
    pub fn read_small(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, BlobError> {
        let blob = self.read(digest)?;
        if blob.size > limit {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge).into());
        }
        let mut bytes = Vec::with_capacity(usize::try_from(blob.size).unwrap_or(0));
        blob.range(0, limit)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Stores small `bytes`, durably, and returns their digest.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, BlobError> {
        let digest = Digest::of(bytes);
        if self.vouch(&digest)?.is_some() {
            return Ok(digest);
        }
        let path = self.temporary.join(types::id::random_uuid());
        let written = OpenOptions::new().write(true).create_new(true).open(&path).and_then(|mut file| {
            file.write_all(bytes)?;
            Ok(file)
        });
        let landed = written.map_err(BlobError::from).and_then(|file| self.land(&file, &path, &digest));
        if landed.is_err() {
            // Half a file is of no use to anyone; if even this fails, the next start removes it.
            let _ = fs::remove_file(&path);
        }
        landed.map(|()| digest)
    }

    /// Removes the blob. `false` if it was not there.
    pub fn delete(&self, digest: &Digest) -> Result<bool, BlobError> {
        let _appearing = self.appearing();
        match fs::remove_file(self.path(digest)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Where the blob lies, whether or not it is there.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.blobs.join(&hex[..2]).join(hex)
    }

    /// Makes the whole temporary file at `path` durable and visible under `digest`, whose bytes it holds.
    pub(crate) fn land(&self, file: &File, path: &Path, digest: &Digest) -> Result<(), BlobError> {
        file.set_modified(self.file_time())?;
        file.sync_all()?;
        let target = self.path(digest);
        let shelf = target.parent().unwrap_or(&self.blobs);
        let _appearing = self.appearing();
        match fs::create_dir(shelf) {
            Ok(()) => sync_dir(&self.blobs)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.into()),
        }
        // A second upload of the same content replaces the first by the same bytes, with the newer time.
        fs::rename(path, &target)?;
        sync_dir(shelf)?;
        Ok(())
    }

    pub(crate) fn appearing(&self) -> MutexGuard<'_, ()> {
        self.appearing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn file_time(&self) -> SystemTime {
        let millis = u64::try_from(self.clock.now().millis()).unwrap_or(0);
        UNIX_EPOCH + Duration::from_millis(millis)
    }
}

/// When the file was last written or vouched for, on our clock.
pub(crate) fn modified(meta: &fs::Metadata) -> io::Result<Timestamp> {
    let since = meta.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)))
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::SimClock;

    fn store(dir: &Path) -> BlobStore {
        BlobStore::open(dir, Arc::new(SimClock::new(Timestamp(1_000_000)))).unwrap()
    }

    #[test]
    fn a_blob_is_read_back_whole_and_in_ranges() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let digest = store.put(b"hello, layer").unwrap();
        assert_eq!(digest, Digest::of(b"hello, layer"));
        assert_eq!(store.size(&digest).unwrap(), Some(12));
        assert_eq!(store.read_small(&digest, 100).unwrap(), b"hello, layer");
        let mut part = String::new();
        store.read(&digest).unwrap().range(7, 3).unwrap().read_to_string(&mut part).unwrap();
        assert_eq!(part, "lay");
        assert!(store.read_small(&digest, 11).is_err(), "the limit must hold");
        assert!(store.delete(&digest).unwrap() && !store.delete(&digest).unwrap());
        assert!(matches!(store.read(&digest), Err(BlobError::Unknown(_))));
    }

    #[test]
    fn opening_removes_half_written_files_and_keeps_blobs() {
        let dir = tempfile::tempdir().unwrap();
        let digest = store(dir.path()).put(b"kept").unwrap();
        fs::write(dir.path().join("blobs/tmp/half"), b"ke").unwrap();
        let again = store(dir.path());
        assert_eq!(fs::read_dir(dir.path().join("blobs/tmp")).unwrap().count(), 0);
        assert_eq!(again.size(&digest).unwrap(), Some(4));
    }
}
