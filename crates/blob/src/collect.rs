//! Garbage: blobs that nothing names any more.
//!
//! The store keeps no reference counts. Its owner says which digests are live; whatever else is older than the grace
//! goes. The grace is what lets a client push layers first and their manifest after.

use crate::store::modified;
use crate::{BlobError, BlobStore, Digest};
use std::collections::HashSet;
use std::fs;
use types::Timestamp;

/// What a collection removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Collected {
    /// How many blobs.
    pub blobs: usize,
    /// Their bytes.
    pub bytes: u64,
}

impl BlobStore {
    /// Deletes the blobs that are not `live` and were neither stored nor vouched for since `before`.
    pub fn collect(&self, live: &HashSet<Digest>, before: Timestamp) -> Result<Collected, BlobError> {
        let mut collected = Collected::default();
        for shelf in fs::read_dir(&self.blobs)? {
            let shelf = shelf?.path();
            if !shelf.is_dir() {
                continue;
            }
            for entry in fs::read_dir(&shelf)? {
                let entry = entry?;
                let name = entry.file_name();
                let digest = name.to_str().and_then(|hex| format!("{}{hex}", Digest::PREFIX).parse::<Digest>().ok());
                let Some(digest) = digest.filter(|digest| !live.contains(digest)) else { continue };
                // Looked at under the lock: a push may vouch for it at this very moment.
                let _appearing = self.appearing();
                let path = self.path(&digest);
                let Ok(meta) = fs::metadata(&path) else { continue };
                if modified(&meta)? < before {
                    fs::remove_file(&path)?;
                    collected.blobs += 1;
                    collected.bytes += meta.len();
                }
            }
        }
        Ok(collected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;
    use types::{Clock, SimClock};

    #[test]
    fn dead_blobs_go_once_their_grace_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let clock = SimClock::new(Timestamp(1_000_000));
        let store = BlobStore::open(dir.path(), Arc::new(clock.clone())).unwrap();
        let live = HashSet::from([store.put(b"live").unwrap()]);
        let dead = store.put(b"dead").unwrap();
        let vouched = store.put(b"vouched").unwrap();
        assert_eq!(store.collect(&live, clock.now()).unwrap(), Collected::default(), "within its grace");
        clock.advance(Duration::from_mins(1));
        assert_eq!(store.vouch(&vouched).unwrap(), Some(7));
        assert_eq!(store.collect(&live, clock.now()).unwrap(), Collected { blobs: 1, bytes: 4 });
        assert_eq!(store.size(&dead).unwrap(), None);
        assert_eq!(store.size(&vouched).unwrap(), Some(7));
    }
}
