//! A file with a file system in it, attached and mounted for as long as somebody needs it.

use super::CONTROL;
use crate::status::StorageUsage;
use crate::sys;
use nix::errno::Errno;
use rustix::fs::{CWD, fstatvfs};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string,
    fsmount, fsopen, move_mount,
};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

/// A loop device that was free and is taken by another when it is asked for: tried again as often.
const ATTEMPTS: usize = 1000;

/// `discard`: what is deleted inside gives its blocks back outside. `noinit_itable`: what a sparse file has never held is zeros already.
/// `nobarrier`: nobody asks for it after a crash of the machine.
const OPTIONS: [&str; 3] = ["discard", "noinit_itable", "nobarrier"];

/// The file system, which lasts as long as this, or as a mount of it in some container's namespace.
pub(crate) struct Disk {
    device: String,
    /// Mounted nowhere: it is gone with its descriptor.
    mount: OwnedFd,
}

impl Disk {
    /// Attaches and mounts the file.
    pub(crate) fn attach(image: &Path) -> io::Result<Self> {
        let failed = |what: &str, e: io::Error| io::Error::other(format!("{what}: {e}"));
        let image = File::options().read(true).write(true).open(image).map_err(|e| failed("its storage", e))?;
        let (device, attached) = attach(&image).map_err(|e| failed("a loop device for its storage", e))?;
        let mount = mount(&device).map_err(|e| failed("mounting its storage", e))?;
        // From here on the mount alone holds the device.
        drop(attached);
        Ok(Self { device, mount })
    }

    /// Mounts it at `place` too, in the calling process's mount namespace, which must not be the host's.
    pub(crate) fn mount_at(&self, place: &Path) -> io::Result<()> {
        // Not a copy of the shim's mount: older kernels copy none that is mounted nowhere.
        let mount = mount(&self.device)?;
        Ok(move_mount(&mount, "", CWD, place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
    }

    /// How full it is.
    pub(crate) fn usage(&self) -> io::Result<StorageUsage> {
        let found = fstatvfs(&self.mount)?;
        let used = found.f_blocks.saturating_sub(found.f_bfree);
        Ok(StorageUsage {
            total: found.f_blocks.saturating_mul(found.f_frsize),
            used: used.saturating_mul(found.f_frsize),
        })
    }
}

/// Takes a free loop device for the file, which lets go of it with its last user.
fn attach(image: &File) -> io::Result<(String, File)> {
    let control = File::options().read(true).write(true).open(CONTROL)?;
    for _ in 0..ATTEMPTS {
        let device = format!("/dev/loop{}", sys::free_loop(&control)?);
        let writer = File::options().read(true).write(true).open(&device)?;
        match sys::attach_loop(&writer, image) {
            // Some kernels mount nothing that is open for writing otherwise.
            Ok(()) => return Ok((device.clone(), File::open(&device)?)),
            // Another was faster.
            Err(Errno::EBUSY) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::ErrorKind::ResourceBusy.into())
}

/// A mount of the device that is mounted nowhere. All of one device show the same file system.
fn mount(device: &str) -> io::Result<OwnedFd> {
    let context = fsopen("ext4", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", device)?;
    for option in OPTIONS {
        fsconfig_set_flag(&context, option)?;
    }
    fsconfig_create(&context)?;
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_NODEV)?)
}
