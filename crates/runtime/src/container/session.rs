//! A process in a running container that somebody talks with, through a terminal or three pipes.
//!
//! The terminal is one of the container's own, so that `tty` and `who` tell what is there. Its end, and those of the pipes, are
//! for somebody else: nothing here reads or writes them.

use super::Order;
use super::process::{Birth, Inside, Program, in_child, join_cgroup};
use crate::spec::{SessionSpec, TerminalSize};
use nix::fcntl::OFlag;
use nix::unistd::{Pid, pipe2};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::pty::OpenptFlags;
use std::os::fd::OwnedFd;

/// What terminals are today. Source: the SSM agent, `agent/session/shell/shell_unix.go`.
const KIND: &str = "xterm-256color";
/// The kernel's number of the file system of terminals.
const DEVPTS: u64 = 0x1cd1;

/// A process that was started, and the ends of its streams: a terminal's one, or standard input, output and error.
pub(crate) struct Opened {
    pub(crate) pid: Pid,
    pub(crate) ends: Vec<OwnedFd>,
}

/// Starts the process in the container whose first process is `init`. An error is fit for whoever asked.
pub(crate) fn open(order: &Order, index: usize, init: Pid, spec: &SessionSpec) -> Result<Opened, String> {
    match spec.terminal {
        Some(size) => in_terminal(order, index, init, spec, size),
        None => with_pipes(order, index, init, spec),
    }
}

fn in_terminal(
    order: &Order,
    index: usize,
    init: Pid,
    spec: &SessionSpec,
    size: TerminalSize,
) -> Result<Opened, String> {
    let (ours, theirs) = terminal(init, size).map_err(|e| format!("opening a terminal: {e}"))?;
    let inside = Inside::of(init)?;
    let container = order.container(index);
    let (pid, _, _) = in_child(Birth::Into(&inside.pid), |_, _| {
        join_cgroup(order, container)?;
        let _ = nix::unistd::setsid();
        let failed = |e: &dyn std::fmt::Display| format!("taking the terminal: {e}");
        rustix::process::ioctl_tiocsctty(&theirs).map_err(|e| failed(&e))?;
        nix::unistd::dup2_stdin(&theirs).map_err(|e| failed(&e))?;
        nix::unistd::dup2_stdout(&theirs).map_err(|e| failed(&e))?;
        nix::unistd::dup2_stderr(&theirs).map_err(|e| failed(&e))?;
        inside.enter()?;
        Ok(Program { user: Some(ROOT), terminal: Some(KIND), ..Program::of(container, spec.argv.clone()) })
    })?;
    Ok(Opened { pid, ends: vec![ours] })
}

fn with_pipes(order: &Order, index: usize, init: Pid, spec: &SessionSpec) -> Result<Opened, String> {
    let (input, feed) = pipe2(OFlag::O_CLOEXEC).map_err(|e| format!("pipe: {e}"))?;
    let inside = Inside::of(init)?;
    let container = order.container(index);
    let (pid, output, errors) = in_child(Birth::Into(&inside.pid), |stdout, stderr| {
        join_cgroup(order, container)?;
        let _ = nix::unistd::setsid();
        let failed = |e: nix::errno::Errno| format!("standard streams: {e}");
        nix::unistd::dup2_stdin(&input).map_err(failed)?;
        nix::unistd::dup2_stdout(stdout).map_err(failed)?;
        nix::unistd::dup2_stderr(stderr).map_err(failed)?;
        inside.enter()?;
        Ok(Program { user: Some(ROOT), ..Program::of(container, spec.argv.clone()) })
    })?;
    Ok(Opened { pid, ends: vec![feed, output, errors] })
}

/// Whoever the container runs as.
const ROOT: &str = "0:0";

/// A new terminal of the container: our end and the process's.
fn terminal(init: Pid, size: TerminalSize) -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    let path = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, format!("/proc/{init}/root"), path, Mode::empty())?;
    // No link of the image's leads anywhere else, and what is there is a terminal's and nothing that looks like one.
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let ours = rustix::fs::openat2(&root, "dev/pts/ptmx", flags, Mode::empty(), inside)?;
    if rustix::fs::fstatfs(&ours)?.f_type as u64 != DEVPTS {
        return Err(rustix::io::Errno::NOTTY);
    }
    rustix::pty::unlockpt(&ours)?;
    let theirs = rustix::pty::ioctl_tiocgptpeer(&ours, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    rustix::termios::tcsetwinsize(&ours, size.winsize())?;
    Ok((ours, theirs))
}
