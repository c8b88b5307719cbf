//! Where in a container a volume comes to lie, and where none may.
//!
//! The root is the container's own by then, so that no link leads out of it. But links decide what a path means: it is followed to its end
//! first, looked at then, and mounted on by a descriptor, since a neighbour may change the links of a volume that both have.

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, fstatfs, openat2};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

/// The kernel's number of the file system of processes.
const PROC: u64 = 0x9fa0;
/// As many links as the kernel follows.
const MOST_LINKS: usize = 40;
/// What tools such as lxcfs show in place of the kernel's. Source: runc, `libcontainer/rootfs_linux.go`, `checkProcMount`.
const INSIDE_PROC: [&str; 8] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
];

/// The path without detours: as Docker reads it, before any link is looked at.
pub(super) fn cleaned(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => cleaned.push(name),
            Component::ParentDir => drop(cleaned.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    cleaned
}

/// Where a cleaned path leads to; what is not there yet is no link.
pub(super) fn resolve(path: &Path) -> io::Result<PathBuf> {
    let parts = |path: &Path| -> Vec<OsString> {
        path.components()
            .filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir))
            .map(|part| part.as_os_str().to_owned())
            .rev()
            .collect()
    };
    let (mut found, mut rest, mut links) = (PathBuf::from("/"), parts(path), 0);
    while let Some(part) = rest.pop() {
        if part == ".." {
            found.pop();
            continue;
        }
        found.push(&part);
        let Ok(to) = fs::read_link(&found) else { continue };
        links += 1;
        if links > MOST_LINKS {
            return Err(rustix::io::Errno::LOOP.into());
        }
        if to.is_absolute() {
            found = PathBuf::from("/");
        } else {
            found.pop();
        }
        rest.extend(parts(&to));
    }
    Ok(found)
}

/// Where no volume may be, in the words of Docker and of runc.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("invalid specification: destination can't be '/'")]
    Root,
    #[error("{0:?} cannot be mounted because it is inside /proc")]
    Proc(String),
}

/// Refuses what Docker and runc refuse.
pub(super) fn check(found: &Path) -> Result<(), Refused> {
    if found == Path::new("/") {
        return Err(Refused::Root);
    }
    let shown = INSIDE_PROC.iter().any(|shown| found == Path::new(shown));
    if found.starts_with("/proc") && !shown {
        return Err(Refused::Proc(found.display().to_string()));
    }
    Ok(())
}

/// Opens the place, which is made if there is none.
pub(super) fn open(found: &Path, directory: bool) -> io::Result<OwnedFd> {
    if directory {
        fs::create_dir_all(found)?;
    } else {
        if let Some(parent) = found.parent() {
            fs::create_dir_all(parent)?;
        }
        if fs::symlink_metadata(found).is_err() {
            fs::File::create_new(found)?;
        }
    }
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let place = openat2(CWD, found, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)?;
    // A neighbour may have moved what was looked at.
    if fstatfs(&place)?.f_type as u64 == PROC && !found.starts_with("/proc") {
        return Err(io::Error::other(Refused::Proc(found.display().to_string())));
    }
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_cleaned_before_links_are_looked_at() {
        let of = |path: &str| cleaned(Path::new(path)).display().to_string();
        assert_eq!((of("/a//b/./c/"), of("/a/../.."), of("/a/../b")), ("/a/b/c".into(), "/".into(), "/b".into()));
    }

    #[test]
    fn links_are_followed_to_their_end() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, top.join(name)).unwrap();
        fs::create_dir(top.join("real")).unwrap();
        link("real/../up", "first");
        link("/proc", "up");
        link("circle", "circle");
        let of = |name: &str| resolve(&top.join(name));
        assert_eq!(of("first/sys").unwrap(), Path::new("/proc/sys"));
        assert_eq!(of("real/new/er").unwrap(), top.join("real/new/er"));
        assert_eq!(of("circle").unwrap_err().raw_os_error(), Some(40));
    }

    #[test]
    fn the_root_and_proc_are_no_places_for_a_volume() {
        let of = |path: &str| check(Path::new(path));
        assert_eq!(of("/").unwrap_err().to_string(), "invalid specification: destination can't be '/'");
        for path in ["/proc", "/proc/sys", "/proc/1/ns"] {
            let words = format!("\"{path}\" cannot be mounted because it is inside /proc");
            assert_eq!(of(path).unwrap_err().to_string(), words);
        }
        for path in ["/proc/cpuinfo", "/procs", "/sys", "/dev", "/data"] {
            assert_eq!(of(path), Ok(()), "{path}");
        }
    }
}
