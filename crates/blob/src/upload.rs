//! Uploads: bytes that arrive over several requests, perhaps across restarts of the daemon, and become a blob at the end.
//!
//! The state of a hash cannot be saved, so after a restart the first request that resumes an upload reads what is
//! there and hashes it again. While an upload rests it holds no file open, only a hasher in memory.

use crate::store::{modified, sync_dir};
use crate::{BlobError, BlobStore, Digest, Hasher};
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, MutexGuard, PoisonError};
use types::Timestamp;

/// What is remembered of each upload between requests.
pub(crate) type Sessions = HashMap<String, Session>;

#[derive(Debug)]
pub(crate) enum Session {
    Resting(Progress),
    Writing,
}

#[derive(Debug, Default)]
pub(crate) struct Progress {
    hasher: Hasher,
    size: u64,
}

/// The sole writer of an upload. Dropped, it leaves the bytes taken so far for a later request to go on with.
pub struct Upload {
    store: Arc<BlobStore>,
    id: String,
    file: File,
    /// Empty only while the upload ends.
    progress: Option<Progress>,
}

impl BlobStore {
    /// Begins an upload for `owner` (any text; resuming must name the same) and returns its id, a UUID.
    pub fn begin_upload(&self, owner: &str) -> Result<String, BlobError> {
        let id = types::id::random_uuid();
        let dir = self.upload_dir(&id);
        fs::create_dir(&dir)?;
        let made = fs::write(dir.join("data"), b"").and_then(|()| fs::write(dir.join("owner"), owner));
        if let Err(error) = made {
            let _ = fs::remove_dir_all(&dir);
            return Err(error.into());
        }
        self.sessions().insert(id.clone(), Session::Resting(Progress::default()));
        Ok(id)
    }

    /// How many bytes the upload has.
    pub fn upload_size(&self, id: &str, owner: &str) -> Result<u64, BlobError> {
        self.check_owner(id, owner)?;
        Ok(fs::metadata(self.upload_dir(id).join("data"))?.len())
    }

    /// Takes the upload up where it stands, for writing. One request at a time may.
    pub fn resume_upload(self: &Arc<Self>, id: &str, owner: &str) -> Result<Upload, BlobError> {
        self.check_owner(id, owner)?;
        let known = match self.sessions().insert(id.to_owned(), Session::Writing) {
            Some(Session::Writing) => return Err(BlobError::Busy(id.to_owned())),
            Some(Session::Resting(progress)) => Some(progress),
            None => None,
        };
        let opened = OpenOptions::new().read(true).append(true).open(self.upload_dir(id).join("data"));
        let progress = opened.and_then(|file| Ok((progress_of(known, &file)?, file)));
        match progress {
            Ok((progress, file)) => {
                Ok(Upload { store: Arc::clone(self), id: id.to_owned(), file, progress: Some(progress) })
            }
            Err(error) => {
                // It was ended between the check and here, or cannot be read: the next attempt starts from the file.
                self.sessions().remove(id);
                if error.kind() == io::ErrorKind::NotFound {
                    return Err(BlobError::UnknownUpload(id.to_owned()));
                }
                Err(error.into())
            }
        }
    }

    /// Removes the uploads last written before `before` that no request is writing to. Returns how many.
    pub fn expire_uploads(&self, before: Timestamp) -> Result<usize, BlobError> {
        let mut removed = 0;
        for entry in fs::read_dir(&self.uploads)? {
            let entry = entry?;
            let Ok(id) = entry.file_name().into_string() else { continue };
            let Ok(meta) = fs::metadata(entry.path().join("data")) else { continue };
            if modified(&meta)? >= before {
                continue;
            }
            let mut sessions = self.sessions();
            if !matches!(sessions.get(&id), Some(Session::Writing)) {
                sessions.remove(&id);
                fs::remove_dir_all(entry.path())?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    fn check_owner(&self, id: &str, owner: &str) -> Result<(), BlobError> {
        let unknown = || BlobError::UnknownUpload(id.to_owned());
        // The id comes from a client and becomes a path.
        if id.len() != 36 || !id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') {
            return Err(unknown());
        }
        match fs::read_to_string(self.upload_dir(id).join("owner")) {
            Ok(text) if text == owner => Ok(()),
            Ok(_) => Err(unknown()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(unknown()),
            Err(error) => Err(error.into()),
        }
    }

    fn upload_dir(&self, id: &str) -> PathBuf {
        self.uploads.join(id)
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was remembered, if it is true of the file, or else the file hashed again.
fn progress_of(known: Option<Progress>, mut file: &File) -> io::Result<Progress> {
    let size = file.metadata()?.len();
    if let Some(known) = known.filter(|known| known.size == size) {
        return Ok(known);
    }
    let mut progress = Progress::default();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(progress),
            n => {
                progress.hasher.update(&buffer[..n]);
                progress.size += n as u64;
            }
        }
    }
}

impl Upload {
    /// The upload's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// How many bytes it has.
    pub fn size(&self) -> u64 {
        self.progress.as_ref().map_or(0, |progress| progress.size)
    }

    /// Appends `bytes`. After an error the upload is as it was before the call.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        let Some(progress) = &mut self.progress else { return Ok(()) };
        if let Err(error) = self.file.write_all(bytes) {
            self.file.set_len(progress.size)?;
            return Err(error.into());
        }
        progress.hasher.update(bytes);
        progress.size += bytes.len() as u64;
        Ok(())
    }

    /// Makes the upload a blob if its digest is `expected`, and returns its size. The upload is gone afterwards, unless
    /// the file system failed.
    pub fn finish(mut self, expected: &Digest) -> Result<u64, BlobError> {
        let Some(progress) = self.progress.take() else { return Ok(0) };
        let actual = progress.hasher.clone().finish();
        if actual != *expected {
            self.remove()?;
            return Err(BlobError::Mismatch { expected: expected.clone(), actual });
        }
        let size = progress.size;
        if let Err(error) = self.store.land(&self.file, &self.store.upload_dir(&self.id).join("data"), expected) {
            self.progress = Some(progress);
            return Err(error);
        }
        self.remove()?;
        Ok(size)
    }

    /// Throws the upload away.
    pub fn cancel(mut self) -> Result<(), BlobError> {
        self.progress = None;
        self.remove()
    }

    fn remove(&self) -> Result<(), BlobError> {
        let removed = fs::remove_dir_all(self.store.upload_dir(&self.id));
        self.store.sessions().remove(&self.id);
        removed?;
        sync_dir(&self.store.uploads)?;
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(progress) = self.progress.take() {
            self.store.sessions().insert(std::mem::take(&mut self.id), Session::Resting(progress));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use types::SimClock;

    fn store(dir: &Path) -> Arc<BlobStore> {
        Arc::new(BlobStore::open(dir, Arc::new(SimClock::new(Timestamp(5_000)))).unwrap())
    }

    fn uploads_left(dir: &Path) -> usize {
        fs::read_dir(dir.join("blobs/uploads")).unwrap().count()
    }

    #[test]
    fn an_upload_in_pieces_becomes_a_blob_only_when_it_is_finished() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let digest = Digest::of(b"onetwo");
        let id = store.begin_upload("team/app").unwrap();
        store.resume_upload(&id, "team/app").unwrap().write(b"one").unwrap();
        assert_eq!(store.upload_size(&id, "team/app").unwrap(), 3);
        let mut upload = store.resume_upload(&id, "team/app").unwrap();
        upload.write(b"two").unwrap();
        assert_eq!(store.size(&digest).unwrap(), None, "visible before it was finished");
        assert_eq!(upload.finish(&digest).unwrap(), 6);
        assert_eq!(store.read_small(&digest, 10).unwrap(), b"onetwo");
        assert_eq!(uploads_left(dir.path()), 0);
        assert!(matches!(store.resume_upload(&id, "team/app"), Err(BlobError::UnknownUpload(_))));
    }

    #[test]
    fn an_upload_goes_on_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let id = {
            let store = store(dir.path());
            let id = store.begin_upload("r").unwrap();
            store.resume_upload(&id, "r").unwrap().write(b"before ").unwrap();
            id
        };
        let store = store(dir.path());
        let mut upload = store.resume_upload(&id, "r").unwrap();
        assert_eq!(upload.size(), 7);
        upload.write(b"after").unwrap();
        assert_eq!(upload.finish(&Digest::of(b"before after")).unwrap(), 12);
    }

    #[test]
    fn wrong_content_is_refused_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let id = store.begin_upload("r").unwrap();
        let mut upload = store.resume_upload(&id, "r").unwrap();
        upload.write(b"forged").unwrap();
        let promised = Digest::of(b"real");
        assert!(matches!(upload.finish(&promised), Err(BlobError::Mismatch { .. })));
        assert_eq!((store.size(&promised).unwrap(), uploads_left(dir.path())), (None, 0));
    }

    #[test]
    fn an_upload_has_one_owner_and_one_writer() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let id = store.begin_upload("mine").unwrap();
        let upload = store.resume_upload(&id, "mine").unwrap();
        assert!(matches!(store.resume_upload(&id, "mine"), Err(BlobError::Busy(_))));
        assert!(matches!(store.resume_upload(&id, "yours"), Err(BlobError::UnknownUpload(_))));
        for id in ["", "..", "../../../../etc/passwd/aaaaaaaaaaaaaa", "no-such-upload"] {
            assert!(matches!(store.upload_size(id, "mine"), Err(BlobError::UnknownUpload(_))), "{id:?}");
        }
        upload.cancel().unwrap();
        assert_eq!(uploads_left(dir.path()), 0);
    }

    #[test]
    fn abandoned_uploads_expire_and_written_ones_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        store.begin_upload("r").unwrap();
        let busy = store.begin_upload("r").unwrap();
        let writing = store.resume_upload(&busy, "r").unwrap();
        assert_eq!(store.expire_uploads(Timestamp(0)).unwrap(), 0, "both are newer");
        assert_eq!(store.expire_uploads(Timestamp(i64::MAX)).unwrap(), 1);
        drop(writing);
        assert_eq!(uploads_left(dir.path()), 1);
    }
}
