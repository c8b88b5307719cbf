//! The launcher: a small process with one thread, from which the shims are forked.
//!
//! The daemon executes it from its own binary (the hidden subcommand `__launcher`) with a packet socket as standard input. Each packet brings two descriptors: a file with
//! the task's order and the daemon's end of the shim's first connection. It needs no answer: the shim's first report, or the closing of the
//! connection, is it. When the daemon's end closes, the launcher ends; its shims go on.

use crate::cgroup::{Cgroups, Group};
use crate::shim;
use crate::sys::{self, Cloned};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::Signal;
use nix::sys::socket::{AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg, socketpair};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

/// The hidden subcommand that a binary must pass on to [`main`].
pub const SUBCOMMAND: &str = "__launcher";

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
    if let Some(instance) = instance.to_str().filter(|i| !i.is_empty()) {
        // Every shim is born into this group.
        let cgroups = Cgroups::discover(instance)?;
        let joined =
            cgroups.create(Group::Shims, &crate::spec::Limits::default()).and_then(|()| cgroups.join(Group::Shims));
        if let Err(error) = joined {
            let _ = writeln!(io::stderr(), "launcher: no control group for shims: {error}");
        }
    }
    loop {
        let (length, fds) = match sys::receive(&socket, &mut [0; 16]) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if length == 0 {
            return Ok(());
        }
        let Ok([order, daemon]) = <[OwnedFd; 2]>::try_from(fds) else { continue };
        match sys::fork_process() {
            Ok(Cloned::Child) => {
                drop(socket);
                shim::run(order, daemon);
                sys::exit_now(0);
            }
            // The daemon sees its connection close and tries again or gives up.
            Ok(Cloned::Parent(_)) | Err(_) => {}
        }
    }
}

/// The daemon's side: the running launcher.
pub(crate) struct Launcher {
    socket: OwnedFd,
    child: Child,
}

impl Launcher {
    /// Starts one: `program` with [`SUBCOMMAND`]. The standard library starts it without copying the daemon's memory.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that starts a process")]
    pub(crate) fn spawn(program: &OsStr, instance: &str) -> io::Result<Self> {
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        let mut command = Command::new(program);
        command.arg(SUBCOMMAND).arg(instance).stdin(Stdio::from(theirs)).stdout(Stdio::null());
        Ok(Self { socket: ours, child: command.spawn()? })
    }

    /// Has a shim forked for an order. An error means that the launcher is gone or stuck.
    pub(crate) fn launch(&self, order: &[u8]) -> io::Result<UnixStream> {
        let mut file = File::from(memfd_create("task", MFdFlags::MFD_CLOEXEC)?);
        file.write_all(order)?;
        let (ours, theirs) = UnixStream::pair()?;
        let fds = [file.as_raw_fd(), theirs.as_raw_fd()];
        let parts = [ControlMessage::ScmRights(&fds)];
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        sendmsg::<()>(self.socket.as_raw_fd(), &[IoSlice::new(b"task")], &parts, flags, None)?;
        ours.set_nonblocking(true)?;
        Ok(ours)
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
