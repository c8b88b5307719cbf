//! The shim: one small process a task. It starts the task's containers, reaps them, keeps their exit codes, writes their output down, and answers the daemon.
//!
//! It is a fork of the launcher and shares its memory; it has one thread and one loop over everything that can happen. Nothing that the daemon does, dying included, stops it.
//! It ends when it is told to, or when all containers have ended and no daemon listens. Killed, it takes the containers along.

mod connection;
mod holder;
mod sessions;
mod supervisor;

use crate::container::Order;
use crate::protocol::{Report, ShimState, birth};
use crate::spec::Network;
use crate::status::TaskStatus;
use crate::storage::Disk;
use crate::sys;
use connection::Connection;
pub(crate) use holder::Holder;
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, Signal};
use rustix::time::{ClockId, clock_gettime};
use sessions::Sessions;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use supervisor::Supervisor;
use types::Timestamp;

/// Runs the shim of the task that the sealed file `order` describes. Returns when it is over.
pub(crate) fn run(order: OwnedFd, daemon: OwnedFd) {
    detach();
    let mut daemon = Connection::new(UnixStream::from(daemon));
    match prepare(File::from(order)) {
        Ok((mut supervisor, listener)) => {
            // A daemon that has died since it asked does not know of this task; its successor removes what there is of it.
            if daemon.is_gone() {
                return;
            }
            supervisor.want_all();
            supervisor.serve(daemon, &listener);
        }
        Err(error) => daemon.send(&Report::Fatal(format!("making the task: {error}"))),
    }
}

/// Becomes a process of its own right: no terminal, no output of the daemon's, no signals that were meant for others.
fn detach() {
    let _ = nix::unistd::setsid();
    let _ = rustix::thread::set_name(c"wt-shim");
    sys::adopt_orphans();
    sys::reset_signals();
    let mut handled = SigSet::empty();
    for signal in [
        Signal::SIGCHLD,
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGPIPE,
        Signal::SIGQUIT,
        Signal::SIGTERM,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
    ] {
        handled.add(signal);
    }
    let _ = handled.thread_block();
    // Killed last when memory is short. Not always allowed.
    let _ = std::fs::write("/proc/self/oom_score_adj", "-998");
    if let Ok(null) = File::options().read(true).write(true).open("/dev/null") {
        let _ = nix::unistd::dup2_stdin(&null);
        let _ = nix::unistd::dup2_stdout(&null);
        let _ = nix::unistd::dup2_stderr(&null);
    }
}

fn prepare(order_file: File) -> io::Result<(Supervisor, UnixListener)> {
    let order = read_order(&order_file)?;
    let id = &order.spec.id;
    let listener = UnixListener::bind(order.paths.control(id))?;
    listener.set_nonblocking(true)?;
    let sessions = Sessions::listen(&order.paths.sessions(id))?;
    let holder = Holder::new(&order)?;
    let disk = order.spec.storage_bytes.map(|_| Disk::attach(&order.paths.storage_image(id))).transpose()?;
    let supervisor = Supervisor::new(order_file, &order, sessions, holder, disk)?;
    supervisor.save()?;
    if order.spec.network == Network::Isolated {
        // All containers are born into it, and it ends with the last process in it.
        unshare(CloneFlags::CLONE_NEWNET)?;
        sys::loopback_up()?;
    }
    let task = crate::cgroup::Group::Task(id.as_str());
    order.cgroups.create(task, &order.spec.limits)?;
    for container in &order.spec.containers {
        let group = crate::cgroup::Group::Container(id.as_str(), &container.name);
        order.cgroups.create(group, &container.limits)?;
    }
    Ok((supervisor, listener))
}

/// Parses the order anew. It stays in the file between starts, not in memory: it is large and seldom needed.
fn read_order(file: &File) -> io::Result<Order> {
    let mut bytes = vec![0; usize::try_from(file.metadata()?.len()).unwrap_or(0)];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// Replaces the state file as a whole.
pub(crate) fn save_state(path: &Path, state: &ShimState) -> io::Result<()> {
    let fresh = path.with_extension("new");
    std::fs::write(&fresh, serde_json::to_vec(state)?)?;
    std::fs::rename(fresh, path)
}

/// This process's state.
fn own_state(status: TaskStatus) -> ShimState {
    let pid = nix::unistd::getpid().as_raw();
    ShimState { pid, born: birth(pid).unwrap_or(0), status }
}

/// The time. A shim has no clock but the machine's.
fn now() -> Timestamp {
    let now = clock_gettime(ClockId::Realtime);
    Timestamp(now.tv_sec * 1000 + now.tv_nsec / 1_000_000)
}

/// Milliseconds that only ever grow, for deadlines.
fn ticks() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}
