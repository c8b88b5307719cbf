//! A full disk is an error that names itself, and harms nothing that was stored before.
#![allow(clippy::unwrap_used)]

use blob::{BlobError, BlobStore, Digest};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::path::PathBuf;
use std::sync::Arc;
use types::SimClock;

/// A small file system of its own, unmounted however the test ends.
struct SmallDisk(PathBuf);

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

#[test]
fn a_full_disk_is_told_and_harms_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_owned();
    if let Err(why) = mount(Some("tmpfs"), &path, Some("tmpfs"), MsFlags::empty(), Some("size=1m")) {
        println!("SKIPPED: cannot mount a file system: {why}");
        return;
    }
    let disk = SmallDisk(path);
    let store = Arc::new(BlobStore::open(&disk.0, Arc::new(SimClock::default())).unwrap());
    let kept = store.put(b"kept").unwrap();
    let id = store.begin_upload("r").unwrap();
    let mut upload = store.resume_upload(&id, "r").unwrap();
    let piece = vec![1_u8; 100_000];
    upload.write(&piece).unwrap();
    let full = (0..20).find_map(|_| {
        let before = upload.size();
        upload.write(&piece).err().map(|error| (before, error))
    });
    let (before, error) = full.unwrap();
    assert!(matches!(error, BlobError::DiskFull(_)), "{error}");
    assert_eq!(upload.size(), before, "half a piece was counted");
    assert!(matches!(store.put(&vec![2; 1 << 20]), Err(BlobError::DiskFull(_))));
    assert_eq!(std::fs::read_dir(disk.0.join("blobs/tmp")).unwrap().count(), 0, "half a file was left");
    // What fitted is whole, and can still be finished.
    let whole = piece.repeat(usize::try_from(before).unwrap() / piece.len());
    assert_eq!(upload.finish(&Digest::of(&whole)).unwrap(), before);
    assert_eq!(store.read_small(&kept, 10).unwrap(), b"kept");
}
