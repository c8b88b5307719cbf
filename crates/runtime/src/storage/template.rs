//! Fresh file systems, made once for each size and copied for each task.
//!
//! The first is made by `mke2fs` in a file in memory, of which a few hundred kilobytes are not holes. Copying those takes a tenth of the time
//! of starting the program again.

use rustix::fs::{MemfdFlags, SeekFrom, memfd_create, seek};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

const PROGRAM: &str = "mke2fs";
/// Where it is if `PATH` is an ordinary user's.
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin";

/// What the file system can do. No journal: after a crash of the machine nobody asks for it. No checksums and no room to grow either.
const FEATURES: &str = "none,ext_attr,dir_index,filetype,extent,flex_bg,sparse_super,large_file,huge_file,dir_nlink,\
                        extra_isize,uninit_bg";
/// The unit in which ext4 divides a file system: as much as a block of bits can say of.
const GROUP: u64 = 128 << 20;
/// What a group has for inodes, one for 16 KiB as is ext4's custom, and for its maps.
const GROUP_OVERHEAD: u64 = (2 << 20) + (2 << 12);
/// What the whole has for itself: 16 MiB that ext4 sets aside for its own needs, and the descriptions of groups.
const OVERHEAD: u64 = 24 << 20;

/// The file systems that were made so far, by the bytes that fit into them.
#[derive(Default)]
pub(crate) struct Templates(Mutex<BTreeMap<u64, Arc<File>>>);

impl Templates {
    /// Makes the file `image`, which must not be there, into a file system that `bytes` fit into.
    pub(crate) fn copy_to(&self, image: &Path, bytes: u64) -> io::Result<()> {
        let template = self.template(bytes)?;
        let image = File::options().write(true).create_new(true).mode(0o600).open(image)?;
        image.set_len(template.metadata()?.len())?;
        copy_data(&template, &image)
    }

    fn template(&self, bytes: u64) -> io::Result<Arc<File>> {
        // Held while the program runs: who wants the same meanwhile waits for it rather than make another.
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(template) = made.get(&bytes) {
            return Ok(Arc::clone(template));
        }
        let template = Arc::new(make(file_length(bytes))?);
        made.insert(bytes, Arc::clone(&template));
        Ok(template)
    }
}

/// The length of a file into whose file system `bytes` fit: whole groups.
fn file_length(bytes: u64) -> u64 {
    bytes.saturating_add(OVERHEAD).div_ceil(GROUP - GROUP_OVERHEAD).saturating_mul(GROUP)
}

#[expect(
    clippy::disallowed_methods,
    reason = "once for each size, without copying the daemon's memory; nothing of it stays"
)]
fn make(length: u64) -> io::Result<File> {
    let program = find().ok_or_else(|| io::Error::other("mke2fs is not installed (package e2fsprogs)"))?;
    let file = File::from(memfd_create("storage", MemfdFlags::CLOEXEC)?);
    file.set_len(length)?;
    let mut command = Command::new(program);
    // Options alone decide, not the machine's configuration.
    command.env("MKE2FS_CONFIG", "/dev/null");
    command.args(["-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-i", "16384", "-m", "0", "-O", FEATURES]);
    command.args(["-E", "lazy_itable_init=1,nodiscard,packed_meta_blocks=1", "/proc/self/fd/0"]);
    let output = command.stdin(Stdio::from(OwnedFd::from(file.try_clone()?))).output()?;
    if output.status.success() {
        return Ok(file);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("mke2fs failed: {}", said.trim().lines().last().unwrap_or("it was killed"))))
}

/// By its path: to have it looked up in another `PATH` than its own a process must fork.
fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(std::env::split_paths(SYSTEM_PATH));
    places.map(|place| place.join(PROGRAM)).find(|program| program.is_absolute() && program.is_file())
}

/// Copies all but the holes.
fn copy_data(from: &File, to: &File) -> io::Result<()> {
    // A position of one's own: the template's file may be read by several at a time.
    let from = File::open(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(from)))?;
    let mut buffer = vec![0; 64 << 10];
    let mut at = 0;
    loop {
        at = match seek(&from, SeekFrom::Data(at)) {
            Ok(data) => data,
            Err(Errno::NXIO) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let end = seek(&from, SeekFrom::Hole(at))?;
        while at < end {
            let most = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
            from.read_exact_at(&mut buffer[..most], at)?;
            to.write_all_at(&buffer[..most], at)?;
            at += most as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_file_has_room_for_what_the_file_system_needs_itself() {
        for gib in [21u64, 100, 200] {
            let (bytes, length) = (gib << 30, file_length(gib << 30));
            assert_eq!(length % GROUP, 0);
            let room = length / GROUP * (GROUP - GROUP_OVERHEAD);
            assert!(room >= bytes + OVERHEAD && room < bytes + OVERHEAD + GROUP, "{gib} GiB have {room} bytes");
        }
        assert_eq!(file_length(u64::MAX), u64::MAX, "an absurd size is not a small one");
    }

    #[test]
    fn copies_are_alike_and_take_little() {
        if find().is_none() {
            println!("SKIPPED: needs mke2fs");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let templates = Templates::default();
        let images = ["one", "two"].map(|name| dir.path().join(name));
        for image in &images {
            templates.copy_to(image, 21 << 30).unwrap();
            let found = image.metadata().unwrap();
            assert_eq!(found.len(), file_length(21 << 30));
            assert!(found.blocks() * 512 < 2 << 20, "a copy takes {} bytes", found.blocks() * 512);
        }
        assert_eq!(templates.0.lock().unwrap().len(), 1);
        let magic = |image: &Path| {
            let mut found = [0; 2];
            File::open(image).unwrap().read_exact_at(&mut found, 1024 + 56).unwrap();
            found
        };
        assert_eq!(images.each_ref().map(|image| magic(image)), [[0x53, 0xef]; 2], "no file system of ext4's kind");
        let again = templates.copy_to(&images[0], 21 << 30).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists, "a file system in use was overwritten");
    }
}
