//! Where a task's things are, and how trees of hostile shape are removed.
//!
//! ```text
//! <run>/tasks/<task>/state.json               what the shim knows, replaced whole
//! <run>/tasks/<task>/control                  the shim's socket
//! <run>/tasks/<task>/sessions                 its socket for sessions
//! <data>/tasks/<task>/ended.json             how it ended, if the daemon was stopped in an orderly way
//! <data>/tasks/<task>/containers/<name>/      upper/ work/ root/ files/ logs/ of a container
//! <data>/tasks/<task>/volumes/<name>/         a volume that containers share
//! <data>/tasks/<task>/declared/<name>-<n>/    volume number n that a container's image declares
//! <data>/tasks/<task>/storage.ext4            the task's own file system, if it has one
//! <data>/tasks/<task>/storage/                where containers' mount namespaces have that: with upper/, work/, volumes/ and declared/
//! <data>/kept/<store>/                        volumes that outlive tasks
//! ```

use crate::spec::TaskId;
use rustix::fs::{self as rfs, AtFlags, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The two directories of an instance that the runtime writes to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Paths {
    /// Lost with a restart of the machine.
    pub(crate) run: PathBuf,
    /// Kept.
    pub(crate) data: PathBuf,
}

impl Paths {
    pub(crate) fn run_tasks(&self) -> PathBuf {
        self.run.join("tasks")
    }

    pub(crate) fn data_tasks(&self) -> PathBuf {
        self.data.join("tasks")
    }

    pub(crate) fn run_task(&self, task: &TaskId) -> PathBuf {
        self.run_tasks().join(task.as_str())
    }

    pub(crate) fn data_task(&self, task: &TaskId) -> PathBuf {
        self.data_tasks().join(task.as_str())
    }

    pub(crate) fn state(&self, task: &TaskId) -> PathBuf {
        self.run_task(task).join("state.json")
    }

    pub(crate) fn control(&self, task: &TaskId) -> PathBuf {
        self.run_task(task).join("control")
    }

    pub(crate) fn sessions(&self, task: &TaskId) -> PathBuf {
        self.run_task(task).join("sessions")
    }

    pub(crate) fn ended(&self, task: &TaskId) -> PathBuf {
        self.data_task(task).join("ended.json")
    }

    pub(crate) fn containers(&self, task: &TaskId) -> PathBuf {
        self.data_task(task).join("containers")
    }

    pub(crate) fn container(&self, task: &TaskId, name: &str) -> PathBuf {
        self.containers(task).join(name)
    }

    pub(crate) fn logs(&self, task: &TaskId, name: &str) -> PathBuf {
        self.container(task, name).join("logs")
    }

    pub(crate) fn storage_image(&self, task: &TaskId) -> PathBuf {
        self.data_task(task).join("storage.ext4")
    }

    pub(crate) fn storage(&self, task: &TaskId) -> PathBuf {
        self.data_task(task).join("storage")
    }

    /// Where a task's shared memory is mounted in namespaces of its own.
    pub(crate) fn shared_memory(&self, task: &TaskId) -> PathBuf {
        self.data_task(task).join("shm")
    }

    pub(crate) fn kept(&self, store: &str) -> PathBuf {
        self.data.join("kept").join(store)
    }
}

/// Makes a directory, and those above it, which only its owner may enter. Being there already is fine.
pub(crate) fn make_private(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Removes a directory with all in it. Being gone already is fine.
pub(crate) fn remove_all(path: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    match open_directory(rfs::CWD, parent.as_os_str()) {
        Ok(parent) => remove_tree(&parent, name),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// As [`remove_all`], below an open directory.
///
/// The tree may be as deep as a hostile archive made it: what lies deeper than one level is moved up, so that neither the
/// stack nor the number of open descriptors grows with the depth. Links are not followed.
pub(crate) fn remove_tree(parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    let top = match open_directory(parent, name) {
        Ok(top) => top,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut serial = 0u64;
    loop {
        let level = empty_of_files(&top)?;
        if level.is_empty() {
            break;
        }
        for child in level {
            let directory = open_directory(&top, &child)?;
            for deeper in empty_of_files(&directory)? {
                loop {
                    serial += 1;
                    match rfs::renameat(&directory, &deeper, &top, format!(".moved-{serial}")) {
                        Ok(()) => break,
                        Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
            }
            rfs::unlinkat(&top, &child, AtFlags::REMOVEDIR)?;
        }
    }
    match rfs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Removes what is not a directory and names the directories.
fn empty_of_files(directory: &OwnedFd) -> io::Result<Vec<OsString>> {
    let mut directories = Vec::new();
    for entry in rfs::Dir::read_from(directory)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        if entry.file_type() == rfs::FileType::Directory {
            directories.push(name.to_owned());
            continue;
        }
        match rfs::unlinkat(directory, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            // A file system that does not tell types.
            Err(Errno::ISDIR | Errno::PERM) => directories.push(name.to_owned()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(directories)
}

fn open_directory(at: impl AsFd, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rfs::openat(at, name, flags, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_deeper_than_descriptors_allow_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("top");
        fs::create_dir(&top).unwrap();
        let mut at = open_directory(rfs::CWD, top.as_os_str()).unwrap();
        for _ in 0..1200 {
            rfs::mkdirat(&at, "d", Mode::RWXU).unwrap();
            rfs::symlinkat("/", &at, "link").unwrap();
            at = open_directory(&at, OsStr::new("d")).unwrap();
        }
        remove_all(&top).unwrap();
        assert!(!top.exists(), "something was left");
        assert!(Path::new("/etc").exists());
        remove_all(&top).expect("removing what is gone succeeds");
    }
}
