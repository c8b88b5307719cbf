//! Where an instance keeps its things.
//!
//! An instance is a data directory. All that it makes outside of it, in `/run` and in the kernel, carries eight
//! hexadecimal digits hashed from the directory's canonical path, so that several instances live side by side.

use sha2::{Digest, Sha256};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The directories of one instance.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    /// What must be kept.
    pub(crate) data: PathBuf,
    /// What lives as long as the machine is up: sockets, namespaces, tasks' state.
    pub(crate) run: PathBuf,
    /// The eight digits.
    pub(crate) instance: String,
}

/// Under which all instances' run directories lie.
pub(crate) const RUN_ROOT: &str = "/run/windtunnel";

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
        Ok(Self { run: Path::new(RUN_ROOT).join(&instance), data, instance })
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
