//! The unpacked layers on disk: each once, whole or not there at all.
//!
//! ```text
//! <data>/layers/<64 digits of the diff id>/   the layer's files, a lower directory of overlayfs
//! <data>/layers/tmp-<digits>-<random>/        being unpacked; removed when the store opens
//! <data>/layers/boot-id                       the boot in which the layers were unpacked
//! ```
//! Layers are a cache of the blobs. They are not flushed to disk, which would cost more than unpacking; instead they
//! are all dropped when the machine has been restarted since, and unpacked anew when wanted.

use crate::error::PrepareError;
use crate::image::{LayerRef, LayerSource, is_sha256};
use crate::unpack::{UnpackError, UnpackLimits, unpack_layer};
use rustix::fs::{Mode, OFlags};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The layers of one data directory.
pub struct LayerStore {
    root: PathBuf,
    source: Arc<dyn LayerSource>,
    limits: UnpackLimits,
    /// One lock a layer, so that two tasks of a new image unpack it once.
    busy: Mutex<HashMap<String, Arc<Mutex<()>>>>,
}

impl LayerStore {
    /// Opens the store in `data`, dropping what a crash of the machine or of an unpacking daemon left.
    pub fn open(data: &Path, source: Arc<dyn LayerSource>, limits: UnpackLimits) -> io::Result<Self> {
        let root = data.join("layers");
        crate::paths::make_private(&root)?;
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        let mark = root.join("boot-id");
        let same_boot = fs::read_to_string(&mark).is_ok_and(|known| known == boot);
        for entry in fs::read_dir(&root)? {
            let entry = entry?;
            let half_done = entry.file_name().to_string_lossy().starts_with("tmp-");
            if entry.file_type()?.is_dir() && (half_done || !same_boot) {
                crate::paths::remove_all(&entry.path())?;
            }
        }
        if !same_boot {
            fs::write(&mark, boot)?;
        }
        Ok(Self { root, source, limits, busy: Mutex::default() })
    }

    /// Where the layer's files are, or will be.
    pub fn path(&self, layer: &LayerRef) -> PathBuf {
        self.root.join(layer.diff_id.trim_start_matches("sha256:"))
    }

    /// Unpacks the layer if it is not there. Blocks.
    pub fn ensure(&self, layer: &LayerRef) -> Result<(), PrepareError> {
        if !is_sha256(&layer.digest) || !is_sha256(&layer.diff_id) {
            let reason = format!("unsupported digest {:?}", layer.diff_id);
            return Err(PrepareError::Corrupt { digest: layer.digest.clone(), reason });
        }
        let target = self.path(layer);
        if target.exists() {
            return Ok(());
        }
        let lock = Arc::clone(self.lock_of_all().entry(layer.diff_id.clone()).or_default());
        let result = {
            let _held = lock.lock().unwrap_or_else(PoisonError::into_inner);
            if target.exists() { Ok(()) } else { self.unpack(layer, &target) }
        };
        let mut all = self.lock_of_all();
        // Ours and the map's: nobody else waits for it.
        if Arc::strong_count(&lock) == 2 {
            all.remove(&layer.diff_id);
        }
        result
    }

    /// Removes the layers that are not in `keep` (diff ids). Only with no start under way; returns how many went.
    pub fn prune(&self, keep: &HashSet<String>) -> io::Result<usize> {
        let mut removed = 0;
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let diff_id = format!("sha256:{name}");
            if is_sha256(&diff_id) && !keep.contains(&diff_id) {
                // Renamed first: a crash in between must not leave half of a layer.
                let away = self.root.join(format!("tmp-{name}-pruned"));
                fs::rename(entry.path(), &away)?;
                crate::paths::remove_all(&away)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    fn lock_of_all(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Mutex<()>>>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unpack(&self, layer: &LayerRef, target: &Path) -> Result<(), PrepareError> {
        let digest = &layer.digest;
        let host = |source| PrepareError::Host { digest: digest.clone(), source };
        let blob = self.source.open(digest).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => PrepareError::Missing { digest: digest.clone() },
            _ => host(source),
        })?;
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let work = self.root.join(format!("tmp-{name}-{}", types::id::random_hex(8)));
        fs::create_dir(&work).map_err(host)?;
        let done = self.unpack_into(&work, blob, layer).and_then(|()| fs::rename(&work, target).map_err(host));
        if done.is_err()
            && let Err(error) = crate::paths::remove_all(&work)
        {
            tracing::warn!(%error, path = %work.display(), "a half unpacked layer stays until the next start");
        }
        done
    }

    fn unpack_into(&self, work: &Path, blob: Box<dyn Read + Send>, layer: &LayerRef) -> Result<(), PrepareError> {
        let digest = || layer.digest.clone();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(work, flags, Mode::empty())
            .map_err(|e| PrepareError::Host { digest: digest(), source: e.into() })?;
        let unpacked = unpack_layer(blob, &dir, self.limits).map_err(|error| match error {
            UnpackError::Archive(reason) => PrepareError::Corrupt { digest: digest(), reason },
            UnpackError::Io(source) => PrepareError::Host { digest: digest(), source },
        })?;
        if unpacked.diff_id != layer.diff_id {
            let reason = format!("wrong diff id calculated on extraction {:?}", unpacked.diff_id);
            return Err(PrepareError::Corrupt { digest: digest(), reason });
        }
        Ok(())
    }
}
