//! A container's processes: the first one in new namespaces, and further ones in those of a running container.
//!
//! Why not a library such as youki's libcontainer: it spends three times the CPU of what is below (14 ms against 4 ms a start, measured), as it makes
//! several processes and reads a bundle from disk; and its clone3 is a hazard in a program with threads. What a container
//! needs here is a fixed list of steps, each a line or two, in one process that came from a small shim.

mod files;
mod mounts;
mod process;
mod program;
mod session;
mod target;
mod terminal;

pub(crate) use process::{Attach, Launched, Making, attach, launch};
pub(crate) use session::{Opened, open};

use crate::cgroup::Cgroups;
use crate::paths::Paths;
use crate::spec::{ContainerSpec, TaskSpec};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// All that a shim must know of its task.
#[derive(Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) paths: Paths,
    pub(crate) cgroups: Cgroups,
    pub(crate) spec: TaskSpec,
    /// The directories of each container's layers, the lowest first.
    pub(crate) layers: Vec<Vec<PathBuf>>,
}

impl Order {
    /// The container's place in the spec.
    pub(crate) fn container(&self, index: usize) -> &ContainerSpec {
        &self.spec.containers[index]
    }

    /// The directory of all that containers write and that ends with the task.
    fn written(&self) -> PathBuf {
        let id = &self.spec.id;
        if self.spec.storage_bytes.is_some() { self.paths.storage(id) } else { self.paths.data_task(id) }
    }

    /// Where a container's writable layer is, `upper/` and `work/`.
    pub(crate) fn writable(&self, index: usize) -> PathBuf {
        self.written().join("containers").join(&self.container(index).name)
    }

    pub(crate) fn volume(&self, name: &str) -> PathBuf {
        self.written().join("volumes").join(name)
    }

    pub(crate) fn declared(&self, container: &str, number: usize) -> PathBuf {
        self.written().join("declared").join(format!("{container}-{number}"))
    }

    /// The host name that a container sees.
    pub(crate) fn hostname(&self, index: usize) -> &str {
        self.container(index).hostname.as_deref().unwrap_or(&self.spec.id.as_str()[..12])
    }
}
