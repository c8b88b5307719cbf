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
pub(crate) struct LayerStore {
    root: PathBuf,
    source: Arc<dyn LayerSource>,
    limits: UnpackLimits,
    /// One lock a layer, so that two tasks of a new image unpack it once.
    busy: Mutex<HashMap<String, Arc<Mutex<()>>>>,
}

impl LayerStore {
    /// Opens the store in `data`, dropping what a crash of the machine or of an unpacking daemon left.
    pub(crate) fn open(data: &Path, source: Arc<dyn LayerSource>, limits: UnpackLimits) -> io::Result<Self> {
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
    pub(crate) fn path(&self, layer: &LayerRef) -> PathBuf {
        self.root.join(layer.diff_id.trim_start_matches("sha256:"))
    }

    /// Unpacks the layer if it is not there. Blocks.
    pub(crate) fn ensure(&self, layer: &LayerRef) -> Result<(), PrepareError> {
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
    pub(crate) fn prune(&self, keep: &HashSet<String>) -> io::Result<usize> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};
    use std::io::{Cursor, Write};
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    use tar::EntryType;

    /// (path, type, link or content)
    type Parts<'a> = &'a [(&'a str, EntryType, &'a str)];

    fn archive(parts: Parts<'_>) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, kind, text) in parts {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(0o644);
            header.set_uid(7);
            header.set_gid(8);
            header.set_mtime(1_600_000_000);
            // Raw, as the builder refuses the names that matter here.
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            let linked = matches!(kind, EntryType::Symlink | EntryType::Link);
            if linked {
                header.as_old_mut().linkname[..text.len()].copy_from_slice(text.as_bytes());
            }
            let content = if linked { "" } else { text };
            header.set_size(content.len() as u64);
            header.set_cksum();
            tar.append(&header, content.as_bytes()).unwrap();
        }
        tar.into_inner().unwrap()
    }

    struct Case {
        dir: tempfile::TempDir,
        layer: LayerRef,
        result: Result<(), PrepareError>,
        files: PathBuf,
    }

    fn sha(bytes: &[u8]) -> String {
        format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
    }

    fn unpack_blob(blob: Vec<u8>, diff_id: String, limits: UnpackLimits) -> Case {
        let dir = tempfile::tempdir().unwrap();
        let layer = LayerRef { digest: sha(&blob), diff_id };
        let source = move |_: &str| Ok(Box::new(Cursor::new(blob.clone())) as Box<dyn Read + Send>);
        let store = LayerStore::open(dir.path(), Arc::new(source), limits).unwrap();
        let result = store.ensure(&layer);
        Case { files: store.path(&layer), dir, layer, result }
    }

    fn unpack(parts: Parts<'_>) -> Case {
        let tar = archive(parts);
        let diff_id = sha(&tar);
        unpack_blob(tar, diff_id, UnpackLimits::default())
    }

    impl Case {
        fn assert_refused(&self, why: &str) {
            let Err(PrepareError::Corrupt { reason, .. }) = &self.result else { panic!("{:?}", self.result) };
            assert!(reason.contains(why), "{reason:?} does not say {why:?}");
            let left = fs::read_dir(self.dir.path().join("layers")).unwrap().count();
            assert_eq!(left, 1, "more than the boot's mark is left of {}", self.layer.digest);
        }
    }

    const FILE: EntryType = EntryType::Regular;
    const DIR: EntryType = EntryType::Directory;

    fn is_root() -> bool {
        let root = nix::unistd::geteuid().is_root();
        if !root {
            println!("SKIPPED: needs root");
        }
        root
    }

    #[test]
    fn files_keep_their_owner_time_and_links() {
        if !is_root() {
            return;
        }
        let case = unpack(&[
            ("a/", DIR, ""),
            ("a/file", FILE, "hello"),
            ("a/hard", EntryType::Link, "a/file"),
            ("a/soft", EntryType::Symlink, "../../../etc/shadow"),
            ("missing/parents/file", FILE, "x"),
        ]);
        case.result.as_ref().unwrap();
        let file = fs::metadata(case.files.join("a/file")).unwrap();
        assert_eq!((file.uid(), file.gid(), file.mtime(), file.nlink()), (7, 8, 1_600_000_000, 2));
        assert_eq!(fs::read_to_string(case.files.join("a/hard")).unwrap(), "hello");
        assert_eq!(fs::metadata(case.files.join("a")).unwrap().mtime(), 1_600_000_000, "filling it changed its time");
        assert_eq!(fs::read_link(case.files.join("a/soft")).unwrap(), Path::new("../../../etc/shadow"));
        assert!(case.files.join("missing/parents/file").exists());
    }

    #[test]
    fn whiteouts_become_overlayfs_own() {
        if !is_root() {
            return;
        }
        let case = unpack(&[
            (".wh.gone", FILE, ""),
            ("kept/", DIR, ""),
            ("kept/new", FILE, "x"),
            ("kept/.wh..wh..opq", FILE, ""),
            (".wh.again", FILE, ""),
            ("again/", DIR, ""),
        ]);
        case.result.as_ref().unwrap();
        let gone = fs::symlink_metadata(case.files.join("gone")).unwrap();
        assert!(gone.file_type().is_char_device() && gone.rdev() == 0, "not a whiteout");
        for directory in ["kept", "again"] {
            let mut value = [0; 1];
            let path = case.files.join(directory);
            let name = if crate::ids::Ids::here().whole { "trusted.overlay.opaque" } else { "user.overlay.opaque" };
            rustix::fs::getxattr(&path, name, &mut value).unwrap();
            assert_eq!(&value, b"y", "{directory} does not hide what is below");
        }
    }

    #[test]
    fn nothing_is_written_outside() {
        if !is_root() {
            return;
        }
        let outside = tempfile::tempdir().unwrap();
        let target = outside.path().to_str().unwrap();
        let case = unpack(&[("link", EntryType::Symlink, target), ("link/evil", FILE, "x")]);
        assert!(!outside.path().join("evil").exists(), "a symlink led out of the layer");
        // The link is resolved below the layer's root, as a container would.
        case.result.as_ref().unwrap();
        let climbing = unpack(&[("up", EntryType::Symlink, "../../../.."), ("up/tmp/wt-evil", FILE, "x")]);
        climbing.result.as_ref().unwrap();
        assert!(!Path::new("/tmp/wt-evil").exists() && climbing.files.join("tmp/wt-evil").exists());
    }

    #[test]
    fn hostile_archives_are_refused_and_leave_nothing() {
        if !is_root() {
            return;
        }
        unpack(&[("../evil", FILE, "x")]).assert_refused("leads out");
        unpack(&[("/evil", FILE, "x")]).assert_refused("absolute");
        unpack(&[("dev/sda", EntryType::Block, "")]).assert_refused("device node");
        unpack(&[("dev/null", EntryType::Char, "")]).assert_refused("device node");
        unpack(&[("hard", EntryType::Link, "../../etc/passwd")]).assert_refused("leads out");
        unpack(&[("hard", EntryType::Link, "etc/passwd")]).assert_refused("not in the layer");
        unpack(&[("a", EntryType::Symlink, "b"), ("b", EntryType::Symlink, "a"), ("a/x", FILE, "")])
            .assert_refused("loop");
        unpack(&[("a/", DIR, ""), ("b", EntryType::Link, "a")]).assert_refused("not a file");
        unpack(&[(".wh...", FILE, "")]).assert_refused("whiteout");
        unpack(&[("pax", EntryType::XHeader, "18 uid=4294967295\n"), ("file", FILE, "x")]).assert_refused("owner");
        let tar = archive(&[("file", FILE, "x")]);
        let wrong = unpack_blob(tar.clone(), sha(b"other"), UnpackLimits::default());
        wrong.assert_refused("wrong diff id");
        unpack_blob(tar[..700].to_vec(), sha(&tar), UnpackLimits::default()).assert_refused("");
        unpack_blob(b"garbage".repeat(200), sha(b""), UnpackLimits::default()).assert_refused("");
    }

    #[test]
    fn an_attribute_that_no_file_system_takes_is_left_out() {
        if !is_root() {
            return;
        }
        let value = "x".repeat(70_000);
        let record = format!("70027 SCHILY.xattr.user.x={value}\n");
        assert!(record.starts_with(&record.len().to_string()));
        let case = unpack(&[("pax", EntryType::XHeader, &record), ("file", FILE, "hello")]);
        case.result.as_ref().unwrap();
        assert!(case.files.join("file").exists());
    }

    #[test]
    fn bombs_are_stopped_at_the_limit() {
        if !is_root() {
            return;
        }
        let content = "0".repeat(4 << 20);
        let tar = archive(&[("zeros", FILE, &content)]);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(&tar).unwrap();
        let small = gzip.finish().unwrap();
        let limits = UnpackLimits { bytes: 1 << 20, entries: 10 };
        unpack_blob(small.clone(), sha(&tar), limits).assert_refused("larger than");
        unpack_blob(small, sha(&tar), UnpackLimits::default()).result.unwrap();
        let zstd = zstd::encode_all(&tar[..], 3).unwrap();
        unpack_blob(zstd.clone(), sha(&tar), limits).assert_refused("larger than");
        unpack_blob(zstd, sha(&tar), UnpackLimits::default()).result.unwrap();
        let many: Vec<_> = (0..11).map(|i| format!("f{i}")).collect();
        let many: Vec<_> = many.iter().map(|name| (name.as_str(), FILE, "")).collect();
        let tar = archive(&many);
        unpack_blob(tar.clone(), sha(&tar), limits).assert_refused("entries");
        let tar = archive(&[("d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/file", FILE, "")]);
        unpack_blob(tar.clone(), sha(&tar), limits).assert_refused("entries");
    }

    #[test]
    fn a_later_entry_replaces_an_earlier_one() {
        if !is_root() {
            return;
        }
        let case = unpack(&[
            ("a/", DIR, ""),
            ("a/b", FILE, "1"),
            ("a", FILE, "now a file"),
            ("c", FILE, "1"),
            ("c/d", FILE, "now a directory"),
            ("e", FILE, "first"),
            ("e", FILE, "second"),
            ("e", EntryType::Link, "e"),
        ]);
        case.result.as_ref().unwrap();
        assert_eq!(fs::read_to_string(case.files.join("a")).unwrap(), "now a file");
        assert_eq!(fs::read_to_string(case.files.join("c/d")).unwrap(), "now a directory");
        assert_eq!(fs::read_to_string(case.files.join("e")).unwrap(), "second");
    }

    #[test]
    fn layers_of_an_earlier_boot_are_dropped() {
        if !is_root() {
            return;
        }
        let case = unpack(&[("file", FILE, "x")]);
        let reopen = || {
            LayerStore::open(
                case.dir.path(),
                Arc::new(|_: &str| Err(io::ErrorKind::NotFound.into())),
                UnpackLimits::default(),
            )
            .unwrap()
        };
        let store = reopen();
        assert!(store.path(&case.layer).exists(), "a restart of the daemon alone drops layers");
        fs::write(case.dir.path().join("layers/boot-id"), "another").unwrap();
        let store = reopen();
        assert!(!store.path(&case.layer).exists(), "a layer that was perhaps not flushed is used");
        assert!(matches!(store.ensure(&case.layer), Err(PrepareError::Missing { .. })));
    }
}
