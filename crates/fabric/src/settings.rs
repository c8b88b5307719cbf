//! Settings under `/proc/sys/net`, written without looking through those of every other namespace.
//!
//! A path below `/proc/sys/net` means another file in each network namespace, and the kernel keeps all that were looked at
//! in one list, which it goes along for each part of a path. With a thousand namespaces that takes a good part of what a new
//! one takes. An instance of `/proc` of one's own has lists of its own.

use rustix::{
    fs::{Mode, OFlags},
    mount::{FsMountFlags, FsOpenFlags, MountAttrFlags},
};
use std::{
    fs::File,
    io::{self, Write},
    os::fd::{AsFd, OwnedFd},
};

/// How many settings are written by one instance: its own lists grow, and taking one down is work, too.
const WRITES: usize = 256;

/// The settings of whichever network namespace the thread is in.
#[derive(Default)]
pub(crate) struct Settings {
    root: Option<OwnedFd>,
    written: usize,
}

impl Settings {
    /// Writes the setting at this path below `/proc/sys/net`.
    pub(crate) fn write(&mut self, path: &str, value: &str) -> io::Result<()> {
        if self.written == WRITES {
            *self = Self::default();
        }
        let root = match self.root.take() {
            Some(root) => root,
            None => own_proc().or_else(|_| everyones_proc())?,
        };
        self.written += 1;
        let root = self.root.insert(root);
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(root.as_fd(), format!("sys/net/{path}"), flags, Mode::empty())?;
        File::from(file).write_all(value.as_bytes())
    }
}

fn own_proc() -> rustix::io::Result<OwnedFd> {
    let context = rustix::mount::fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_create(context.as_fd())?;
    let hidden =
        MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, hidden)
}

/// Where a process may not mount `/proc`, the common one does.
fn everyones_proc() -> rustix::io::Result<OwnedFd> {
    rustix::fs::open("/proc", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}
