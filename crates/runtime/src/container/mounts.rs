//! What a container sees as its files. Runs in the container's own mount namespace, so all of it ends with the container.
//!
//! Sources on the host are opened before the root is exchanged, targets are looked up after: then no link in the image or in a volume can
//! lead out of the container. What the kernel shows is masked before a volume is put anywhere, and no volume comes into `/proc`; what a new
//! volume takes over is the image's, read from a view of the root that has nothing mounted on it. Every mount is `nodev`; devices are single bind mounts of the host's nodes. So a device
//! node that a container makes cannot be opened, without a device controller. All of this holds because a container cannot mount: CAP_SYS_ADMIN
//! would undo it, and no container gets that ([`crate::capability::GRANTABLE`]).

use super::target::{self, Refused};
use super::{Order, files};
use crate::ids::Ids;
use crate::spec::{ContainerSpec, MountSource, Tmpfs};
use crate::storage::Disk;
use crate::sys;
use crate::volume::{fill, open_kept};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use rustix::fs::{CWD, Gid, Mode, OFlags, ResolveFlags, Uid, openat2};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create, fsmount, fsopen,
    move_mount, open_tree,
};
use std::fmt::Write;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
const MASKED: [&str; 13] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/kernel/debug",
];
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

const RDONLY: u64 = 0x1;
const NOSUID: u64 = 0x2;
const NODEV: u64 = 0x4;
const NOEXEC: u64 = 0x8;

/// Settings of the kernel that are each IPC namespace's own.
const KERNEL: [&str; 8] = ["msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced"];

type Step = Result<(), String>;

/// A mount that waits for its place.
struct Detached {
    tree: OwnedFd,
    target: PathBuf,
    directory: bool,
    /// A task's volume that nobody has used yet takes over what it covers: owner, mode and files.
    fresh: bool,
    /// Not to be written once it is in its place.
    read_only: bool,
}

/// Builds the container's file system and makes it the root.
pub(super) fn enter(order: &Order, index: usize, disk: Option<&Disk>) -> Step {
    let container = order.container(index);
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .map_err(|e| format!("making the mounts private: {e}"))?;
    if let Some(disk) = disk {
        disk.mount_at(&order.paths.storage(&order.spec.id)).map_err(|e| format!("mounting the task's storage: {e}"))?;
    }
    let detached = detach_sources(order, index)?;
    let devices: Vec<_> = DEVICES.iter().map(|d| bind(Path::new("/dev").join(d), NOSUID | NOEXEC)).collect();
    let shared =
        order.spec.shared_ipc.then(|| bind(order.paths.shared_memory(&order.spec.id), NOSUID | NODEV | NOEXEC));
    let shared = shared.transpose().map_err(|e| format!("finding the shared memory: {e}"))?;
    // The kernel lets a user namespace have these only as long as it sees the host's.
    let proc = kernel_files("proc", NOSUID | NODEV | NOEXEC)?;
    let sys = kernel_files("sysfs", NOSUID | NODEV | NOEXEC | RDONLY)?;
    overlay(order, index)?;
    nix::unistd::pivot_root(".", ".").map_err(|e| format!("pivot_root: {e}"))?;
    umount2(".", MntFlags::MNT_DETACH).map_err(|e| format!("leaving the host's files: {e}"))?;
    std::env::set_current_dir("/").map_err(|e| format!("chdir /: {e}"))?;

    // Before anything is mounted on it.
    let image = bind("/", RDONLY | NOSUID | NODEV | NOEXEC).map_err(|e| format!("keeping the image's files: {e}"))?;
    put_files(&proc, "proc", "/proc")?;
    dev(container, devices, shared.as_ref())?;
    put_files(&sys, "sysfs", "/sys")?;
    cgroups(order);
    sysctls(order, container)?;
    // On the kernel's files themselves, whatever a volume covers them with later.
    protect()?;
    let mut rest: Vec<Place> = detached.into_iter().map(Place::Bind).collect();
    rest.extend(container.tmpfs.iter().map(Place::Tmpfs));
    // Outer ones first, so that none covers another.
    rest.sort_by_key(|place| place.target().components().count());
    rest.into_iter().try_for_each(|place| place.put(&image))?;
    if container.readonly_rootfs {
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | MsFlags::MS_NODEV;
        mount(None::<&str>, "/", None::<&str>, flags, None::<&str>)
            .map_err(|e| format!("making the root read-only: {e}"))?;
    }
    Ok(())
}

/// Mounts the layers with a writable one on top and goes there.
///
/// The directories are named by open descriptors: 127 paths would not fit into the page that the kernel takes, and a path may have a colon in it.
fn overlay(order: &Order, index: usize) -> Step {
    let container = order.container(index);
    let (home, writable) = (order.paths.container(&order.spec.id, &container.name), order.writable(index));
    let open = |path: &Path| {
        rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|e| format!("opening a layer: {e}"))
    };
    let mut kept = Vec::new();
    let mut options = String::from("lowerdir=");
    for (place, layer) in order.layers[index].iter().rev().enumerate() {
        let fd = open(layer)?;
        let _ = write!(options, "{}/proc/self/fd/{}", if place > 0 { ":" } else { "" }, fd.as_raw_fd());
        kept.push(fd);
    }
    for (name, directory) in [("upperdir", "upper"), ("workdir", "work")] {
        let path = writable.join(directory);
        fs::create_dir_all(&path).map_err(|e| format!("making the writable layer: {e}"))?;
        if directory == "upper" {
            // The root directory's mode is the uppermost layer's.
            let mode = order.layers[index].last().and_then(|l| fs::metadata(l).ok()).map_or(0o755, |m| m.mode());
            let _ = fs::set_permissions(&path, fs::Permissions::from_mode(mode & 0o7777));
        }
        let fd = open(&path)?;
        let _ = write!(options, ",{name}=/proc/self/fd/{}", fd.as_raw_fd());
        kept.push(fd);
    }
    if !Ids::here().whole {
        // The attributes that mark what hides what is below are then those that users may set.
        options.push_str(",userxattr");
    }
    let root = home.join("root");
    fs::create_dir_all(&root).map_err(|e| format!("making the mount point: {e}"))?;
    mount(Some("overlay"), &root, Some("overlay"), MsFlags::MS_NODEV, Some(options.as_str()))
        .map_err(|e| format!("stacking the layers: {e}"))?;
    std::env::set_current_dir(&root).map_err(|e| format!("entering the root: {e}"))
}

fn detach_sources(order: &Order, index: usize) -> Result<Vec<Detached>, String> {
    let container = order.container(index);
    let mut all = Vec::new();
    for (path, target) in files::write(order, index).map_err(|e| format!("writing the container's files: {e}"))? {
        let tree = bind(&path, NOSUID | NODEV).map_err(|e| format!("{target}: {e}"))?;
        all.push(Detached { tree, target: target.into(), directory: false, fresh: false, read_only: false });
    }
    for wanted in &container.mounts {
        let failed = |e: io::Error| format!("error mounting volume to rootfs at {:?}: {e}", wanted.target);
        let (source, fresh) = match &wanted.source {
            MountSource::TaskVolume(name) => fresh_directory(order.volume(name)).map_err(failed)?,
            MountSource::ImageVolume(name, number) => fresh_directory(order.declared(name, *number)).map_err(failed)?,
            MountSource::Kept(volume) => {
                let directory = open_kept(&order.paths, volume).map_err(failed)?;
                let tree = bind_directory(&directory).map_err(failed)?;
                all.push(Detached {
                    tree,
                    target: wanted.target.clone().into(),
                    directory: true,
                    fresh: false,
                    read_only: wanted.read_only,
                });
                continue;
            }
            MountSource::HostPath(path) => {
                if !path.exists() {
                    fs::create_dir_all(path).map_err(failed)?;
                }
                (path.clone(), false)
            }
        };
        let directory = fs::metadata(&source).map_err(failed)?.is_dir();
        let tree = bind(&source, NODEV).map_err(failed)?;
        all.push(Detached {
            tree,
            target: wanted.target.clone().into(),
            directory,
            fresh,
            read_only: wanted.read_only,
        });
    }
    Ok(all)
}

/// A volume of the task's own, and whether nobody has used it yet.
fn fresh_directory(path: PathBuf) -> io::Result<(PathBuf, bool)> {
    let new = !path.exists();
    fs::create_dir_all(&path)?;
    Ok((path, new))
}

/// A detached copy of an open directory.
fn bind_directory(directory: &OwnedFd) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = open_tree(directory, "", flags)?;
    sys::set_mount_attributes(&tree, NODEV)?;
    Ok(tree)
}

/// A detached copy of what is mounted at `path`.
fn bind(path: impl AsRef<Path>, attributes: u64) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(CWD, path.as_ref(), flags)?;
    sys::set_mount_attributes(&tree, attributes)?;
    Ok(tree)
}

/// Shows `source` at `target` as well, which is a file of the container's.
pub(super) fn cover(source: &Path, target: &Path) -> io::Result<()> {
    fs::write(target, "")?;
    attach(&bind(source, NOSUID | NOEXEC)?, target)
}

fn attach(tree: &OwnedFd, target: &Path) -> io::Result<()> {
    Ok(move_mount(tree, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

/// A file system of the kernel's, mounted nowhere yet.
fn kernel_files(kind: &'static str, attributes: u64) -> Result<OwnedFd, String> {
    let make = || {
        let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_create(&context)?;
        let attributes = MountAttrFlags::from_bits_retain(attributes as u32);
        fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
    };
    make().map_err(|e: rustix::io::Errno| format!("error mounting {kind:?}: {e}"))
}

/// Puts it on a directory of the image.
fn put_files(tree: &OwnedFd, kind: &str, target: &str) -> Step {
    directory_for(kind, target)?;
    attach(tree, Path::new(target)).map_err(|e| format!("error mounting {kind:?} to rootfs at {target:?}: {e}"))
}

/// Mounts a file system on a directory of the image.
fn file_system(kind: &str, target: &str, flags: MsFlags, data: &str) -> Step {
    directory_for(kind, target)?;
    mount(Some(kind), target, Some(kind), flags, Some(data))
        .map_err(|e| format!("error mounting {kind:?} to rootfs at {target:?}: {e}"))
}

/// A directory of the image, made if it is missing, which must not be a link.
fn directory_for(kind: &str, target: &str) -> Step {
    let failed = |e: &dyn std::fmt::Display| format!("error mounting {kind:?} to rootfs at {target:?}: {e}");
    match fs::symlink_metadata(target) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(failed(&"not a directory")),
        Err(_) => fs::create_dir_all(target).map_err(|e| failed(&e)),
    }
}

fn dev(container: &ContainerSpec, devices: Vec<io::Result<OwnedFd>>, shared: Option<&OwnedFd>) -> Step {
    let failed = |what: &str, e: io::Error| format!("error creating device nodes: {what}: {e}");
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    file_system("tmpfs", "/dev", MsFlags::MS_NOSUID | MsFlags::MS_NODEV, "mode=755,size=65536k")?;
    for (name, tree) in DEVICES.iter().zip(devices) {
        let path = Path::new("/dev").join(name);
        fs::write(&path, "").and_then(|()| attach(&tree?, &path)).map_err(|e| failed(name, e))?;
    }
    let pts = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    // Where the group tty has no number in the user namespace, the file system goes without.
    file_system("devpts", "/dev/pts", pts, "newinstance,ptmxmode=0666,mode=0620,gid=5")
        .or_else(|_| file_system("devpts", "/dev/pts", pts, "newinstance,ptmxmode=0666,mode=0620"))?;
    match shared {
        Some(memory) => put_files(memory, "tmpfs", "/dev/shm")?,
        None => file_system("tmpfs", "/dev/shm", quiet, &format!("mode=1777,size={}", container.shm_bytes))?,
    }
    // Absent from some kernels, and rarely used.
    let _ = file_system("mqueue", "/dev/mqueue", quiet, "");
    let links = [
        ("pts/ptmx", "ptmx"),
        ("/proc/self/fd", "fd"),
        ("/proc/self/fd/0", "stdin"),
        ("/proc/self/fd/1", "stdout"),
        ("/proc/self/fd/2", "stderr"),
    ];
    links.iter().try_for_each(|(to, name)| symlink(to, Path::new("/dev").join(name)).map_err(|e| failed(name, e)))
}

/// Shows the container its own limits, read-only, as language runtimes size themselves by them. It works without as well.
fn cgroups(order: &Order) {
    let base = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let place = "/sys/fs/cgroup";
    for (controllers, name) in order.cgroups.mounts() {
        if controllers.is_empty() {
            let _ = mount(Some("cgroup"), place, Some("cgroup2"), base | MsFlags::MS_RDONLY, None::<&str>);
            return;
        }
        if fs::symlink_metadata(format!("{place}/{name}")).is_err() {
            let _ = mount(Some("tmpfs"), place, Some("tmpfs"), base, Some("mode=755,size=64k"));
            for (_, name) in order.cgroups.mounts() {
                let _ = fs::create_dir(format!("{place}/{name}"));
            }
        }
        let (target, options) = (format!("{place}/{name}"), controllers.join(","));
        let flags = base | MsFlags::MS_RDONLY;
        let _ = mount(Some("cgroup"), target.as_str(), Some("cgroup"), flags, Some(options.as_str()));
    }
    let flags = base | MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
    let _ = mount(None::<&str>, place, None::<&str>, flags, None::<&str>);
}

fn sysctls(order: &Order, container: &ContainerSpec) -> Step {
    if order.spec.network != crate::spec::Network::Host {
        // Docker's default: any user may bind any port of the container's own network.
        let _ = fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
    }
    for (name, value) in &container.sysctls {
        let own = name.starts_with("net.")
            || name.starts_with("fs.mqueue.")
            || name.strip_prefix("kernel.").is_some_and(|rest| KERNEL.contains(&rest));
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) && !name.contains("..");
        if !own || !plain {
            return Err(format!("sysctl {name:?} is not in a separate kernel namespace"));
        }
        let path = Path::new("/proc/sys").join(name.replace('.', "/"));
        fs::write(&path, value).map_err(|error| sysctl_failed(&path, &error))?;
    }
    Ok(())
}

/// As runc says it.
fn sysctl_failed(path: &Path, error: &io::Error) -> String {
    let what = error
        .raw_os_error()
        .map_or_else(|| error.to_string(), |number| Errno::from_raw(number).desc().to_ascii_lowercase());
    // Opened it is first, and a value that the kernel does not take is told of by the write.
    let step = if error.raw_os_error() == Some(Errno::EINVAL as i32) { "write" } else { "open" };
    format!("error during container init: {step} {}: {what}", path.display())
}

enum Place<'a> {
    Bind(Detached),
    Tmpfs(&'a Tmpfs),
}

impl Place<'_> {
    fn target(&self) -> &Path {
        match self {
            Self::Bind(detached) => &detached.target,
            Self::Tmpfs(tmpfs) => Path::new(&tmpfs.target),
        }
    }

    fn put(self, image: &OwnedFd) -> Step {
        let wanted = target::cleaned(self.target());
        let failed = |e: io::Error| format!("error mounting to rootfs at {:?}: {e}", wanted.display());
        let found = target::resolve(&wanted).map_err(failed)?;
        target::check(&found).map_err(|refusal| match refusal {
            Refused::Root => refusal.to_string(),
            Refused::Proc(_) => failed(io::Error::other(refusal)),
        })?;
        match self {
            Self::Bind(detached) => put_bind(&detached, image, &wanted, &found),
            Self::Tmpfs(tmpfs) => put_tmpfs(tmpfs, &found),
        }
        .map_err(failed)
    }
}

fn put_bind(detached: &Detached, image: &OwnedFd, wanted: &Path, found: &Path) -> io::Result<()> {
    let place = target::open(found, detached.directory)?;
    if detached.fresh {
        take_over(image, wanted, &detached.tree)?;
    }
    if detached.read_only {
        sys::set_mount_attributes(&detached.tree, RDONLY)?;
    }
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(&detached.tree, "", &place, "", flags)?)
}

/// Gives a new volume what the image has at its place: owner, mode and files.
fn take_over(image: &OwnedFd, wanted: &Path, volume: &OwnedFd) -> io::Result<()> {
    let at = |fd: &OwnedFd| PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()));
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    let covered = match openat2(image, wanted, flags, Mode::empty(), resolve) {
        Ok(covered) => covered,
        // It lies in another volume.
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => {
            return fs::set_permissions(at(volume), fs::Permissions::from_mode(0o755));
        }
        Err(error) => return Err(error.into()),
    };
    let meta = fs::metadata(at(&covered))?;
    let (uid, gid) = (Uid::from_raw(meta.uid()), Gid::from_raw(meta.gid()));
    rustix::fs::chownat(volume, "", Some(uid), Some(gid), rustix::fs::AtFlags::EMPTY_PATH)?;
    fs::set_permissions(at(volume), fs::Permissions::from_mode(meta.mode() & 0o7777))?;
    fill(&at(&covered), &at(volume))
}

fn put_tmpfs(tmpfs: &Tmpfs, found: &Path) -> io::Result<()> {
    let place = target::open(found, true)?;
    let mut flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let mut data = format!("size={}", tmpfs.bytes);
    for option in &tmpfs.options {
        match option.as_str() {
            "defaults" | "rw" | "nodev" => {}
            "ro" => flags.insert(MsFlags::MS_RDONLY),
            "exec" => flags.remove(MsFlags::MS_NOEXEC),
            "noexec" => flags.insert(MsFlags::MS_NOEXEC),
            "suid" => flags.remove(MsFlags::MS_NOSUID),
            "nosuid" => flags.insert(MsFlags::MS_NOSUID),
            "sync" => flags.insert(MsFlags::MS_SYNCHRONOUS),
            "noatime" => flags.insert(MsFlags::MS_NOATIME),
            "nodiratime" => flags.insert(MsFlags::MS_NODIRATIME),
            "relatime" => flags.insert(MsFlags::MS_RELATIME),
            "strictatime" => flags.insert(MsFlags::MS_STRICTATIME),
            other => {
                let key = other.split('=').next().unwrap_or_default();
                if !matches!(key, "mode" | "uid" | "gid" | "nr_inodes" | "nr_blocks" | "size") || other.contains(',') {
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("tmpfs option {other:?}")));
                }
                let _ = write!(data, ",{other}");
            }
        }
    }
    // By its descriptor, as a neighbour may change the links of a volume that it lies in.
    let place = format!("/proc/self/fd/{}", place.as_raw_fd());
    Ok(mount(Some("tmpfs"), place.as_str(), Some("tmpfs"), flags, Some(data.as_str()))?)
}

/// Hides what tells of the host and fixes what would change it.
fn protect() -> Step {
    for path in MASKED {
        let Ok(found) = fs::symlink_metadata(path) else { continue };
        let done = if found.is_dir() {
            let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
            mount(Some("tmpfs"), path, Some("tmpfs"), flags, Some("size=0k,nr_inodes=2")).map_err(io::Error::from)
        } else {
            bind("/dev/null", RDONLY | NOSUID | NOEXEC).and_then(|tree| attach(&tree, Path::new(path)))
        };
        done.map_err(|e| format!("masking {path}: {e}"))?;
    }
    for path in READ_ONLY.iter().filter(|path| Path::new(path).exists()) {
        bind(path, RDONLY | NOSUID | NODEV | NOEXEC)
            .and_then(|tree| attach(&tree, Path::new(path)))
            .map_err(|e| format!("protecting {path}: {e}"))?;
    }
    Ok(())
}
