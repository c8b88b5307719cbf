//! The layer's directory while it is being filled. Every path goes through the kernel's resolution inside the root.

use super::{Entry, Kind, UnpackError};
use crate::ids::Ids;
use rustix::fs::{self, AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Which of the two overlayfs heeds depends on who mounts it.
const OPAQUE_XATTR: &str = "trusted.overlay.opaque";
const OPAQUE_XATTR_OF_USERS: &str = "user.overlay.opaque";

pub(super) struct Tree<'a> {
    root: &'a OwnedFd,
    /// The directory of the last entry, as most entries follow their siblings.
    parent: Option<(PathBuf, OwnedFd)>,
    /// Times of directories, set last: filling a directory changes its own.
    directories: Vec<(PathBuf, (i64, u32))>,
    /// How much more may be made, and how much that was at first.
    room: u64,
    limit: u64,
}

impl<'a> Tree<'a> {
    /// Takes `limit` entries, the directories among them that no entry names but that its path needs.
    pub(super) fn new(root: &'a OwnedFd, limit: u64) -> Result<Self, UnpackError> {
        fs::fchmod(root, Mode::from_raw_mode(0o755)).map_err(io::Error::from)?;
        Ok(Self { root, parent: None, directories: Vec::new(), room: limit, limit })
    }

    pub(super) fn add(&mut self, entry: &Entry, content: &mut impl Read) -> Result<(), UnpackError> {
        self.take_room()?;
        let Some(name) = entry.path.file_name() else { return self.describe_root(entry) };
        let parent = self.parent_of(&entry.path)?;
        let done = self.make(&parent, name, entry, content);
        let keep = done.is_ok();
        if keep {
            let directory = entry.path.parent().unwrap_or(Path::new("")).to_owned();
            // A directory that was replaced may be what the kept one stood for; adding forgets it (see `remove`).
            self.parent.get_or_insert((directory, parent));
        }
        done.map_err(|error| match error {
            UnpackError::Io(error) => with_path(error, &entry.path),
            other @ UnpackError::Archive(_) => other,
        })
    }

    fn take_room(&mut self) -> Result<(), UnpackError> {
        let more = || UnpackError::archive(format!("more than {} entries", self.limit));
        self.room = self.room.checked_sub(1).ok_or_else(more)?;
        Ok(())
    }

    /// Sets the times that filling the directories has changed.
    pub(super) fn finish(self) -> Result<(), UnpackError> {
        for (path, mtime) in &self.directories {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let target = if path.as_os_str().is_empty() { Path::new(".") } else { path };
            match fs::openat2(self.root, target, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
                // By its own descriptor's path, as utimensat takes no O_PATH descriptor.
                Ok(fd) => set_mtime(&fd, OsStr::new(""), *mtime, AtFlags::EMPTY_PATH)?,
                // Replaced by a later entry.
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(error) => return Err(with_path(error.into(), path)),
            }
        }
        Ok(())
    }

    fn describe_root(&mut self, entry: &Entry) -> Result<(), UnpackError> {
        describe(self.root, entry)?;
        self.directories.push((PathBuf::new(), entry.mtime));
        Ok(())
    }

    fn make(
        &mut self,
        parent: &OwnedFd,
        name: &OsStr,
        entry: &Entry,
        content: &mut impl Read,
    ) -> Result<(), UnpackError> {
        let bytes = name.as_bytes();
        if bytes == OPAQUE {
            return Ok(set_opaque(parent)?);
        }
        if let Some(hidden) = bytes.strip_prefix(WHITEOUT) {
            // `.wh..wh.` are aufs's own files, which mean nothing to others.
            return if hidden.starts_with(WHITEOUT) { Ok(()) } else { whiteout(parent, OsStr::from_bytes(hidden)) };
        }
        match &entry.kind {
            Kind::Directory => {
                self.directory(parent, name)?;
                let fd = open_directory(parent, name)?;
                describe(&fd, entry)?;
                self.directories.push((entry.path.clone(), entry.mtime));
                return Ok(());
            }
            Kind::File => {
                self.remove(parent, name)?;
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let fd = fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR).map_err(io::Error::from)?;
                let mut file = File::from(fd);
                io::copy(content, &mut file).map_err(|error| match error.kind() {
                    io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => {
                        UnpackError::Archive(error.to_string())
                    }
                    _ => UnpackError::Io(error),
                })?;
                describe(&file, entry)?;
                set_mtime(&file, OsStr::new(""), entry.mtime, AtFlags::EMPTY_PATH)?;
                return Ok(());
            }
            Kind::Fifo => {
                self.remove(parent, name)?;
                fs::mknodat(parent, name, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).map_err(io::Error::from)?;
                fs::chmodat(parent, name, Mode::from_raw_mode(entry.mode), AtFlags::empty())
                    .map_err(io::Error::from)?;
            }
            Kind::Symlink(target) => {
                self.remove(parent, name)?;
                fs::symlinkat(target, parent, name).map_err(io::Error::from)?;
            }
            Kind::HardLink(target) => return self.hard_link(parent, name, target),
        }
        chown(parent, name, entry)?;
        set_mtime(parent, name, entry.mtime, AtFlags::SYMLINK_NOFOLLOW)
    }

    fn hard_link(&mut self, parent: &OwnedFd, name: &OsStr, target: &Path) -> Result<(), UnpackError> {
        let missing = || UnpackError::archive(format!("the link target {} is not in the layer", target.display()));
        let file = target.file_name().ok_or_else(missing)?;
        let directory = target.parent().unwrap_or(Path::new(""));
        let from = match self.resolve(directory) {
            Ok(fd) => fd,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Err(missing()),
            Err(error) => return Err(with_path(error.into(), target)),
        };
        let kind = match fs::statat(&from, file, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => FileType::from_raw_mode(stat.st_mode),
            Err(Errno::NOENT) => return Err(missing()),
            Err(error) => return Err(with_path(error.into(), target)),
        };
        // A link to itself would be removed before it is made.
        let same = |a: &OwnedFd, b: &OwnedFd| -> io::Result<bool> {
            let (a, b) = (fs::fstat(a)?, fs::fstat(b)?);
            Ok((a.st_dev, a.st_ino) == (b.st_dev, b.st_ino))
        };
        if file == name && same(&from, parent)? {
            return Ok(());
        }
        if !matches!(kind, FileType::RegularFile | FileType::Symlink | FileType::Fifo) {
            return Err(UnpackError::archive(format!("a hard link to {}, which is not a file", target.display())));
        }
        self.remove(parent, name)?;
        fs::linkat(&from, file, parent, name, AtFlags::empty()).map_err(io::Error::from)?;
        Ok(())
    }

    /// Makes the directory unless it is there. One that takes the place of a whiteout hides what is below it.
    fn directory(&mut self, parent: &OwnedFd, name: &OsStr) -> Result<(), UnpackError> {
        let mut opaque = false;
        if let Some(stat) = stat(parent, name)? {
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => return Ok(()),
                kind => {
                    opaque = kind == FileType::CharacterDevice;
                    self.remove(parent, name)?;
                }
            }
        }
        fs::mkdirat(parent, name, Mode::from_raw_mode(0o755)).map_err(io::Error::from)?;
        if opaque {
            set_opaque(&open_directory(parent, name)?)?;
        }
        Ok(())
    }

    /// Removes whatever has this name, a whole directory too.
    fn remove(&mut self, parent: &OwnedFd, name: &OsStr) -> Result<(), UnpackError> {
        let Some(found) = stat(parent, name)? else { return Ok(()) };
        self.parent = None;
        if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
            crate::paths::remove_tree(parent, name)?;
        } else {
            fs::unlinkat(parent, name, AtFlags::empty()).map_err(io::Error::from)?;
        }
        Ok(())
    }

    /// The directory that holds `path`, made if it is missing. Taken out of the cache; the caller puts it back.
    fn parent_of(&mut self, path: &Path) -> Result<OwnedFd, UnpackError> {
        let directory = path.parent().unwrap_or(Path::new(""));
        if let Some((_, fd)) = self.parent.take_if(|(known, _)| known == directory) {
            return Ok(fd);
        }
        self.parent = None;
        match self.resolve(directory) {
            Ok(fd) => return Ok(fd),
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(Errno::LOOP) => return Err(UnpackError::archive(format!("a loop of links at {}", path.display()))),
            Err(error) => return Err(with_path(error.into(), path)),
        }
        let mut prefix = PathBuf::new();
        let mut at = self.resolve(&prefix).map_err(io::Error::from)?;
        for name in directory {
            prefix.push(name);
            at = match self.resolve(&prefix) {
                Ok(fd) => fd,
                Err(Errno::NOENT | Errno::NOTDIR) => {
                    self.take_room()?;
                    // A file or a dangling link in the way is replaced, as a later entry replaces an earlier one.
                    self.directory(&at, name)?;
                    open_directory(&at, name)?
                }
                Err(Errno::LOOP) => return Err(UnpackError::archive(format!("a loop of links at {}", path.display()))),
                Err(error) => return Err(with_path(error.into(), path)),
            };
        }
        Ok(at)
    }

    fn resolve(&self, directory: &Path) -> Result<OwnedFd, Errno> {
        let path = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        fs::openat2(self.root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
    }
}

/// Marks `name` as removed from the layers below.
fn whiteout(parent: &OwnedFd, name: &OsStr) -> Result<(), UnpackError> {
    if matches!(name.as_bytes(), b"" | b"." | b"..") {
        return Err(UnpackError::archive("a whiteout of nothing"));
    }
    match stat(parent, name)? {
        // What this layer has itself stays; a directory of it hides the one below.
        Some(found) if FileType::from_raw_mode(found.st_mode) == FileType::Directory => {
            Ok(set_opaque(&open_directory(parent, name)?)?)
        }
        Some(_) => Ok(()),
        None => {
            let mode = Mode::empty();
            Ok(fs::mknodat(parent, name, FileType::CharacterDevice, mode, 0).map_err(io::Error::from)?)
        }
    }
}

fn stat(parent: &OwnedFd, name: &OsStr) -> io::Result<Option<fs::Stat>> {
    match fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn open_directory(parent: &OwnedFd, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(fs::openat(parent, name, flags, Mode::empty())?)
}

fn set_opaque(directory: &OwnedFd) -> io::Result<()> {
    let name = if Ids::here().whole { OPAQUE_XATTR } else { OPAQUE_XATTR_OF_USERS };
    Ok(fs::fsetxattr(directory, name, b"y", XattrFlags::empty())?)
}

/// Owner, then mode (changing the owner clears set-user-ID), then attributes (which changing the owner clears as well).
fn describe(fd: impl AsFd, entry: &Entry) -> Result<(), UnpackError> {
    let (uid, gid) = owner(entry);
    fs::fchown(&fd, Some(uid), Some(gid)).map_err(io::Error::from)?;
    fs::fchmod(&fd, Mode::from_raw_mode(entry.mode)).map_err(io::Error::from)?;
    for (name, value) in &entry.xattrs {
        match fs::fsetxattr(&fd, name.as_str(), value, XattrFlags::empty()) {
            Ok(()) => {}
            // A file system without user attributes, or a value that it or the kernel does not take, is not worth an image.
            Err(
                Errno::OPNOTSUPP
                | Errno::INVAL
                | Errno::PERM
                | Errno::RANGE
                | Errno::NAMETOOLONG
                | Errno::TOOBIG
                | Errno::NOSPC,
            ) => {
                tracing::debug!(name, path = %entry.path.display(), "extended attribute left out");
            }
            Err(error) => return Err(io::Error::from(error).into()),
        }
    }
    Ok(())
}

fn chown(parent: &OwnedFd, name: &OsStr, entry: &Entry) -> Result<(), UnpackError> {
    let (uid, gid) = owner(entry);
    Ok(fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW).map_err(io::Error::from)?)
}

fn owner(entry: &Entry) -> (Uid, Gid) {
    let (uid, gid) = Ids::here().owner(entry.uid, entry.gid);
    (Uid::from_raw(uid), Gid::from_raw(gid))
}

fn set_mtime(at: impl AsFd, name: &OsStr, mtime: (i64, u32), flags: AtFlags) -> Result<(), UnpackError> {
    let time = Timespec { tv_sec: mtime.0, tv_nsec: mtime.1.into() };
    let times = Timestamps { last_access: time, last_modification: time };
    match fs::utimensat(at, name, &times, flags) {
        // Beyond what the file system can hold.
        Ok(()) | Err(Errno::INVAL | Errno::OVERFLOW) => Ok(()),
        Err(error) => Err(io::Error::from(error).into()),
    }
}

fn with_path(error: io::Error, path: &Path) -> UnpackError {
    // A name or path that this file system cannot hold is the archive's fault.
    match error.raw_os_error() {
        Some(libc::ENAMETOOLONG | libc::ELOOP | libc::ENOTDIR | libc::EINVAL) => {
            UnpackError::Archive(format!("{}: {error}", path.display()))
        }
        _ => UnpackError::Io(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
    }
}
