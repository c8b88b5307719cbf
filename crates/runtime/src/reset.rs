//! Clearing a host of what a dead instance left, without its daemon's state.

use crate::cgroup::{Cgroups, Group};
use crate::paths::{Paths, remove_all};
use crate::protocol::{ShimState, birth};
use crate::status::ContainerState;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io;
use std::path::Path;

/// The shims that live, of a daemon that does or of one that is gone.
pub fn survivors(run_dir: &Path) -> Vec<i32> {
    let paths = Paths { run: run_dir.to_owned(), data: run_dir.to_owned() };
    shims(&paths).map(|state| state.pid).collect()
}

fn shims(paths: &Paths) -> impl Iterator<Item = ShimState> {
    fs::read_dir(paths.run_tasks()).into_iter().flatten().flatten().filter_map(|entry| {
        let state = fs::read(entry.path().join("state.json")).ok()?;
        serde_json::from_slice(&state).ok().filter(ShimState::is_alive)
    })
}

/// Kills the launcher, companions, shims and containers of the instance whose run directory this is, and removes their control groups and states.
/// Nothing of it is mounted in the host's namespace. Blocks for a moment. Not while a daemon of the instance runs.
pub fn reset_host(run_dir: &Path, instance: &str) -> io::Result<()> {
    let paths = Paths { run: run_dir.to_owned(), data: run_dir.to_owned() };
    // Shims first: they take their containers along. The states name them where control groups cannot.
    let mut dying = Vec::new();
    for state in shims(&paths) {
        let containers = state.status.containers.iter().filter_map(|container| match container.state {
            ContainerState::Running { pid, .. } => i32::try_from(pid).ok(),
            _ => None,
        });
        dying.push((state.pid, state.born));
        dying.extend(containers.filter_map(|pid| Some((pid, birth(pid)?))));
        let _ = kill(Pid::from_raw(state.pid), Signal::SIGKILL);
    }
    wait_until_dead(&dying);
    let cgroups = Cgroups::discover(instance)?;
    cgroups.kill(Group::Shims);
    cgroups.kill(Group::Companions);
    cgroups.sweep(|_| false);
    wait_until_removed(&cgroups)?;
    remove_all(&paths.run_tasks())
}

/// Where there are no control groups that would tell when they are empty.
#[expect(clippy::disallowed_methods, reason = "a command for a host without a daemon, hence without a clock")]
fn wait_until_dead(dying: &[(i32, u64)]) {
    for _ in 0..200 {
        if dying.iter().all(|(pid, born)| birth(*pid) != Some(*born)) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// The kernel needs a moment to bury the dead.
#[expect(clippy::disallowed_methods, reason = "a command for a host without a daemon, hence without a clock")]
fn wait_until_removed(cgroups: &Cgroups) -> io::Result<()> {
    let mut last = Ok(());
    for _ in 0..200 {
        cgroups.sweep(|_| false);
        cgroups.kill(Group::Shims);
        cgroups.kill(Group::Companions);
        cgroups.remove_instance();
        last = if cgroups.is_gone() { Ok(()) } else { Err(io::ErrorKind::ResourceBusy.into()) };
        if last.is_ok() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    last
}
