//! The launcher: a small process with one thread, from which the shims and other long-lived processes are forked.
//!
//! The daemon executes it from its own binary (the hidden subcommand `__launcher`) with a packet socket as standard input. A packet [`TASK`] brings two descriptors: a
//! file with the task's order and the daemon's end of the shim's first connection. It needs no answer: the shim's first report, or the closing of
//! the connection, is it. A packet [`COMPANION`] brings a file with a command line, whose arguments end in zeros; the process is to be spoken to by a
//! socket of its own. When the daemon's end closes, the launcher ends; what it forked goes on.

use crate::cgroup::{Cgroups, Group};
use crate::shim;
use crate::sys::{self, Cloned};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::Signal;
use nix::sys::socket::{AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg, socketpair};
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, IoSlice, Read, Seek, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

/// The hidden subcommand that a binary must pass on to [`main`].
pub const SUBCOMMAND: &str = "__launcher";
/// The packet that asks for a shim.
const TASK: &[u8] = b"task";
/// The packet that asks for a process that is no shim.
const COMPANION: &[u8] = b"companion";

/// The launcher's whole life. To be called from `main` before any thread is started; `args` is what follows the subcommand.
pub fn main(args: impl IntoIterator<Item = OsString>) -> std::process::ExitCode {
    match serve(args) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "launcher: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn serve(args: impl IntoIterator<Item = OsString>) -> io::Result<()> {
    let instance = args.into_iter().next().unwrap_or_default();
    let socket = sys::inherited(0)?;
    // The daemon's descriptors are closed by exec; this is for whoever started the daemon with more than three.
    let keep = socket.as_raw_fd();
    sys::close_from(keep + 1);
    let _ = nix::unistd::setsid();
    let _ = rustix::thread::set_name(c"wt-launcher");
    std::env::set_current_dir("/")?;
    nix::sys::stat::umask(nix::sys::stat::Mode::empty());
    // Shims are reaped by the kernel; each resets this for its own children.
    sys::ignore(Signal::SIGCHLD);
    let cgroups = match instance.to_str().filter(|i| !i.is_empty()) {
        Some(instance) => Some(Cgroups::discover(instance)?),
        None => None,
    };
    // Every shim is born into this group.
    join(cgroups.as_ref(), Group::Shims);
    sys::give_back_start();
    let mut buffer = [0; 16];
    loop {
        let (length, fds) = match sys::receive(&socket, &mut buffer) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if length == 0 {
            return Ok(());
        }
        let mut fds = fds.into_iter();
        let (Some(order), second) = (fds.next(), fds.next()) else { continue };
        // The daemon sees its connection close, or nobody behind the socket, and tries again or gives up.
        let Ok(Cloned::Child) = sys::fork_process() else { continue };
        drop(socket);
        match (buffer.get(..length), second) {
            (Some(TASK), Some(daemon)) => shim::run(order, daemon),
            (Some(COMPANION), _) => {
                join(cgroups.as_ref(), Group::Companions);
                if let Err(error) = become_companion(File::from(order)) {
                    let _ = writeln!(io::stderr(), "launcher: {error}");
                }
            }
            _ => {}
        }
        sys::exit_now(0);
    }
}

fn join(cgroups: Option<&Cgroups>, group: Group<'_>) {
    let Some(cgroups) = cgroups else { return };
    let joined = cgroups.create(group, &crate::spec::Limits::default()).and_then(|()| cgroups.join(group));
    if let Err(error) = joined {
        let _ = writeln!(io::stderr(), "launcher: no control group {group:?}: {error}");
    }
}

/// Turns this process into the one that the file's arguments name. Returns only if that fails.
fn become_companion(mut order: File) -> io::Result<()> {
    let mut line = Vec::new();
    order.rewind()?;
    order.read_to_end(&mut line)?;
    let arguments: Vec<CString> = line
        .split_inclusive(|byte| *byte == 0)
        .filter_map(|one| CString::from_vec_with_nul(one.to_vec()).ok())
        .collect();
    let program = arguments.first().ok_or(io::ErrorKind::InvalidInput)?;
    let _ = nix::unistd::setsid();
    sys::reset_signals();
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    let null = File::options().read(true).open("/dev/null")?;
    nix::unistd::dup2_stdin(&null)?;
    nix::unistd::execv(program, &arguments)?;
    Ok(())
}

/// The daemon's side: the running launcher.
pub(crate) struct Launcher {
    socket: OwnedFd,
    child: Child,
}

impl Launcher {
    /// Starts one: `program` with [`SUBCOMMAND`]. The standard library starts it without copying the daemon's memory.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that starts a process that stays")]
    pub(crate) fn spawn(program: &OsStr, instance: &str) -> io::Result<Self> {
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        let mut command = Command::new(program);
        command.arg(SUBCOMMAND).arg(instance).stdin(Stdio::from(theirs)).stdout(Stdio::null());
        Ok(Self { socket: ours, child: command.spawn()? })
    }

    /// Has a shim forked for an order. An error means that the launcher is gone or stuck.
    pub(crate) fn launch(&self, order: &[u8]) -> io::Result<UnixStream> {
        let (ours, theirs) = UnixStream::pair()?;
        self.send(TASK, order, Some(&theirs))?;
        ours.set_nonblocking(true)?;
        Ok(ours)
    }

    /// Has a process started that outlives the daemon. Whether it runs shows where it is spoken to.
    pub(crate) fn start_companion(&self, command_line: &[OsString]) -> io::Result<()> {
        let mut order = Vec::new();
        for argument in command_line {
            order.extend_from_slice(argument.as_bytes());
            order.push(0);
        }
        self.send(COMPANION, &order, None)
    }

    fn send(&self, what: &[u8], order: &[u8], connection: Option<&UnixStream>) -> io::Result<()> {
        let mut file = File::from(memfd_create("order", MFdFlags::MFD_CLOEXEC)?);
        file.write_all(order)?;
        let fds: Vec<_> = std::iter::once(file.as_raw_fd()).chain(connection.map(AsRawFd::as_raw_fd)).collect();
        let parts = [ControlMessage::ScmRights(&fds)];
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        sendmsg::<()>(self.socket.as_raw_fd(), &[IoSlice::new(what)], &parts, flags, None)?;
        Ok(())
    }

    /// The launcher's process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Launcher {
    fn drop(&mut self) {
        // It has nothing that must be finished: a shim is forked or it is not.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
