//! Where an instance keeps its things.
//!
//! An instance is a data directory. All that it makes outside of it, in `/run` and in the kernel, carries eight
//! hexadecimal digits hashed from the directory's canonical path, so that several instances live side by side.

use sha2::{Digest, Sha256};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The directories of one instance.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    /// What must be kept.
    pub(crate) data: PathBuf,
    /// What lives as long as the machine is up: sockets, namespaces, tasks' state.
    pub(crate) run: PathBuf,
    /// Under which the run directories of all the user's instances lie.
    pub(crate) run_root: PathBuf,
    /// The eight digits.
    pub(crate) instance: String,
}

/// Under which all the user's instances' run directories lie: root's, or the user's own, which must be nobody else's.
pub(crate) fn run_root() -> Result<PathBuf, String> {
    let user = nix::unistd::geteuid();
    if user.is_root() {
        return Ok(fabric::RUN_ROOT.into());
    }
    let is_ours =
        |dir: &Path| std::fs::symlink_metadata(dir).is_ok_and(|found| found.is_dir() && found.uid() == user.as_raw());
    let runtime =
        std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|dir| dir.is_absolute() && is_ours(dir));
    if let Some(runtime) = runtime {
        return Ok(runtime.join("windtunnel"));
    }
    let shared = PathBuf::from(format!("/tmp/windtunnel-{user}"));
    if shared.symlink_metadata().is_ok() && !is_ours(&shared) {
        return Err(format!("{} is somebody else's. Set XDG_RUNTIME_DIR to a directory of yours.", shared.display()));
    }
    Ok(shared)
}

/// Makes a directory, and those above it, for its owner alone.
pub(crate) fn make_private(dir: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

impl Paths {
    /// The paths of the instance whose data directory is `data`, which is made if it does not exist.
    pub(crate) fn open(data: &Path) -> Result<Self, String> {
        let failed = |error: std::io::Error| {
            format!("cannot make the data directory {}: {error}. Choose another with --data-dir.", data.display())
        };
        make_private(data).map_err(failed)?;
        let user = nix::unistd::geteuid().as_raw();
        let owner = std::fs::metadata(data.join("store")).map_or(user, |found| found.uid());
        if owner != user {
            return Err(format!(
                "what is in the data directory {} belongs to user {owner}, and its containers' files would get other \
                 owners. Choose another with --data-dir.",
                data.display()
            ));
        }
        // The directory may have been there before, and be open to others; what is within is not.
        for part in ["store", "blobs", "keys"] {
            let part = data.join(part);
            make_private(&part).map_err(failed)?;
            std::fs::set_permissions(&part, std::fs::Permissions::from_mode(0o700)).map_err(failed)?;
        }
        Self::look(data)
    }

    /// The paths of the instance whose data directory is `data`, whether it exists or not.
    pub(crate) fn look(data: &Path) -> Result<Self, String> {
        let data = data
            .canonicalize()
            .or_else(|_| std::path::absolute(data))
            .map_err(|error| format!("cannot resolve {}: {error}", data.display()))?;
        let digest = Sha256::digest(data.as_os_str().as_bytes());
        let instance = hex::encode(&digest[..4]);
        let run_root = run_root()?;
        Ok(Self { run: run_root.join(&instance), run_root, data, instance })
    }

    /// Makes the run directory.
    pub(crate) fn make_run(&self) -> Result<(), String> {
        make_private(&self.run).map_err(|error| format!("cannot make {}: {error}", self.run.display()))
    }

    /// The data directory used where none is given: `$WINDTUNNEL_DATA_DIR`, else root's or the user's own.
    pub(crate) fn default_data() -> PathBuf {
        if let Some(dir) = std::env::var_os("WINDTUNNEL_DATA_DIR") {
            return dir.into();
        }
        if nix::unistd::geteuid().is_root() {
            return "/var/lib/windtunnel".into();
        }
        let home = || std::env::var_os("HOME").map_or_else(|| PathBuf::from("."), PathBuf::from);
        std::env::var_os("XDG_DATA_HOME").map_or_else(|| home().join(".local/share"), PathBuf::from).join("windtunnel")
    }

    /// Where the running daemon says how to reach it.
    pub(crate) fn beacon(&self) -> PathBuf {
        self.run.join("daemon.json")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_of_another_user_is_left_alone() {
        if !nix::unistd::geteuid().is_root() {
            println!("SKIPPED: needs root");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        make_private(&data).unwrap();
        std::os::unix::fs::chown(&data, Some(1234), None).unwrap();
        Paths::open(&data).expect("a directory that somebody made for root is root's to use");
        std::os::unix::fs::chown(data.join("store"), Some(1234), None).unwrap();
        let told = Paths::open(&data).unwrap_err();
        assert!(told.contains("user 1234") && told.contains("--data-dir"), "{told}");
    }
}
