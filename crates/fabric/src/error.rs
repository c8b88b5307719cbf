//! What can go wrong with the network on this host.

use std::{io, path::PathBuf};

/// An effect on the host that did not come about.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The host cannot do it at all: a right or a part of the kernel is missing. Trying again does not help.
    #[error("this host lacks {what}, which {needed_for} needs: {source}")]
    Missing {
        /// What is missing.
        what: &'static str,
        /// What it is for.
        needed_for: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel refused a step. Applying the plan again starts from what the kernel has by then.
    #[error("{doing} in {place}: {source}")]
    Kernel {
        /// The step.
        doing: String,
        /// The namespace.
        place: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A file of the run directory.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Another process has this instance's network.
    #[error("the network of instance {0} is held by another process")]
    Held(String),
    /// Every block of public addresses is in use on this host.
    #[error("no block of 198.18.0.0/15 is free on this host for public addresses")]
    NoPool,
    /// The instance's network was taken down.
    #[error("the network has been taken down")]
    Destroyed,
    /// A thread of ours panicked.
    #[error("the network's worker broke off")]
    Broken,
}

impl Error {
    pub(crate) fn kernel(doing: impl Into<String>, place: impl ToString, source: io::Error) -> Self {
        let (doing, place) = (doing.into(), place.to_string());
        match source.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => Self::Missing {
                what: "the rights of root (CAP_NET_ADMIN and CAP_SYS_ADMIN)",
                needed_for: doing,
                source,
            },
            Some(libc::EPROTONOSUPPORT | libc::EOPNOTSUPP) => Self::Missing {
                what: "a part of its kernel (veth, nf_tables or nf_conntrack)",
                needed_for: doing,
                source,
            },
            _ => Self::Kernel { doing, place, source },
        }
    }

    pub(crate) fn file(path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::File { path: path.into(), source }
    }
}
