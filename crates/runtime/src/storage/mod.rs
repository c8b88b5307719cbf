//! A task's own file system, of the size that its containers may fill together: their writable layers, and the volumes that end with it.
//!
//! It is a sparse file in the task's directory ([`Templates`], the daemon's part), behind a loop device and mounted ([`Disk`], the shim's part).
//! Nothing that the kernel holds of it has a name that somebody would have to take away: the loop device lets go with its last user, and the
//! mounts are the shim's, which is mounted nowhere, and those in the containers' own namespaces. So all of it ends with the processes, however they
//! end, and the file with the task's directory.
//!
//! Why not a quota: few machines have a file system with project quotas turned on, and all have loop devices.

mod disk;
mod template;

pub(crate) use disk::Disk;
pub(crate) use template::Templates;

use crate::ids::Ids;
use std::path::Path;

/// The limit's name among those that are not enforced, where [`possible`] says no.
pub(crate) const LIMIT: &str = "ephemeralStorage";

/// What gives out loop devices.
const CONTROL: &str = "/dev/loop-control";

/// Whether tasks can have file systems of their own here: a user namespace is given no loop device.
pub(crate) fn possible() -> bool {
    Ids::here().whole && Path::new(CONTROL).exists()
}
