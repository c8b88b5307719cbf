//! Volumes on disk: those that outlive tasks, and what a new one gets from the image below it.

use crate::paths::Paths;
use crate::spec::KeptVolume;
use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Uid, chownat, mkdirat, mknodat, open, openat2,
};
use rustix::io::Errno;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Opens the directory of a volume. Links on the way are followed within the store alone: its top is their root.
pub(crate) fn open_kept(paths: &Paths, volume: &KeptVolume) -> io::Result<OwnedFd> {
    let store = paths.kept(&volume.store);
    fs::create_dir_all(&store)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let top = open(&store, flags, Mode::empty())?;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let mut at = PathBuf::new();
    let mut directory = openat2(&top, ".", flags, Mode::empty(), resolve)?;
    for part in volume.path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        at.push(part);
        directory = match openat2(&top, &at, flags, Mode::empty(), resolve) {
            Err(Errno::NOENT) if volume.create && part != ".." => {
                match mkdirat(&directory, part, Mode::from_raw_mode(0o755)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
                openat2(&top, &at, flags, Mode::empty(), resolve)?
            }
            other => other?,
        };
    }
    Ok(directory)
}

/// Fills the new volume `to` with what the image has at its place, as Docker does: directories, files, links and named pipes with their
/// owners and modes. An image has nothing else, and nothing is opened that could make the reader wait.
pub(crate) fn fill(from: &Path, to: &Path) -> io::Result<()> {
    // Not recursion: how deep the image is, its author decides.
    let mut open = vec![PathBuf::new()];
    while let Some(below) = open.pop() {
        for entry in fs::read_dir(from.join(&below))? {
            let entry = entry?;
            let kind = entry.file_type()?;
            let name = below.join(entry.file_name());
            let (source, target) = (from.join(&name), to.join(&name));
            let meta = fs::symlink_metadata(&source)?;
            if kind.is_dir() {
                fs::create_dir(&target)?;
                open.push(name);
            } else if kind.is_symlink() {
                symlink(fs::read_link(&source)?, &target)?;
            } else if kind.is_file() {
                fs::copy(&source, &target)?;
            } else if kind.is_fifo() {
                mknodat(CWD, &target, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
            } else {
                continue;
            }
            let (uid, gid) = (Uid::from_raw(meta.uid()), Gid::from_raw(meta.gid()));
            chownat(CWD, &target, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
            if !kind.is_symlink() {
                // After the owner, whose change takes set-user-ID bits away.
                fs::set_permissions(&target, fs::Permissions::from_mode(meta.mode() & 0o7777))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(dir: &Path) -> Paths {
        Paths { run: dir.join("run"), data: dir.join("data") }
    }

    fn kept(path: &str, create: bool) -> KeptVolume {
        KeptVolume { store: "efs/fs-1".to_owned(), path: path.to_owned(), create }
    }

    fn place(fd: &OwnedFd) -> PathBuf {
        use std::os::fd::AsRawFd;
        fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap()
    }

    #[test]
    fn a_kept_directory_is_found_or_made_or_missed() {
        let dir = tempfile::tempdir().unwrap();
        let paths = paths(dir.path());
        let store = dir.path().join("data/kept/efs/fs-1");
        assert_eq!(place(&open_kept(&paths, &kept("/", false)).unwrap()), store, "a store begins empty");
        let missing = open_kept(&paths, &kept("/a/b", false)).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        assert_eq!(place(&open_kept(&paths, &kept("/a/b", true)).unwrap()), store.join("a/b"));
        assert_eq!(place(&open_kept(&paths, &kept("a//b/", false)).unwrap()), store.join("a/b"));
    }

    #[test]
    fn no_link_leads_out_of_the_store() {
        let dir = tempfile::tempdir().unwrap();
        let paths = paths(dir.path());
        open_kept(&paths, &kept("/in", true)).unwrap();
        let store = dir.path().join("data/kept/efs/fs-1");
        symlink("/etc", store.join("out")).unwrap();
        symlink("/in", store.join("inside")).unwrap();
        symlink("../../../../../../../../etc", store.join("up")).unwrap();
        for way in ["/out", "/up", "/out/x"] {
            let found = open_kept(&paths, &kept(way, false));
            assert!(found.is_err(), "{way} led to {:?}", found.map(|fd| place(&fd)));
        }
        assert_eq!(place(&open_kept(&paths, &kept("/../../..", false)).unwrap()), store, "the top is the top");
        assert_eq!(place(&open_kept(&paths, &kept("/inside", false)).unwrap()), store.join("in"));
    }

    #[test]
    fn a_new_volume_has_what_the_image_had() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("deep/er")).unwrap();
        fs::create_dir(&to).unwrap();
        fs::write(from.join("deep/er/file"), "text").unwrap();
        fs::set_permissions(from.join("deep"), fs::Permissions::from_mode(0o750)).unwrap();
        symlink("/etc/passwd", from.join("link")).unwrap();
        mknodat(CWD, from.join("deep/pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        fill(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(to.join("deep/er/file")).unwrap(), "text");
        assert_eq!(fs::metadata(to.join("deep")).unwrap().mode() & 0o7777, 0o750);
        assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("/etc/passwd"), "a link stays one");
        assert!(fs::metadata(to.join("deep/pipe")).unwrap().file_type().is_fifo(), "a pipe stays one and is not read");
    }
}
