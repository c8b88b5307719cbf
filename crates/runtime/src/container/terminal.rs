//! A container's own terminal: made among its own devices, so that programs find its name there, and handed to the shim.

use crate::sys;
use nix::sys::socket::{AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg, socketpair};
use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use std::fs;
use std::io::IoSlice;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// The two ends of what a terminal is handed over by: the shim's and the container's.
pub(super) fn channel() -> Result<(OwnedFd, OwnedFd), String> {
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
        .map_err(|e| format!("making the terminal's channel: {e}"))
}

/// In the container: makes the terminal, has it as standard streams and controlling terminal, and sends its other end.
pub(super) fn take(channel: &OwnedFd) -> Result<(), String> {
    let failed = |e: &dyn std::fmt::Display| format!("making the terminal: {e}");
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let other = open("/dev/ptmx", flags, Mode::empty()).map_err(|e| failed(&e))?;
    unlockpt(&other).map_err(|e| failed(&e))?;
    let peer = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let terminal = ioctl_tiocgptpeer(&other, peer).map_err(|e| failed(&e))?;
    rustix::process::ioctl_tiocsctty(&terminal).map_err(|e| failed(&e))?;
    nix::unistd::dup2_stdin(&terminal).map_err(|e| failed(&e))?;
    nix::unistd::dup2_stdout(&terminal).map_err(|e| failed(&e))?;
    nix::unistd::dup2_stderr(&terminal).map_err(|e| failed(&e))?;
    // Programs that write to the console mean their terminal, as in Docker.
    let name = fs::read_link(format!("/proc/self/fd/{}", terminal.as_raw_fd())).map_err(|e| failed(&e))?;
    super::mounts::cover(&name, Path::new("/dev/console")).map_err(|e| failed(&e))?;
    let descriptors = [other.as_raw_fd()];
    let parts = [ControlMessage::ScmRights(&descriptors)];
    sendmsg::<()>(channel.as_raw_fd(), &[IoSlice::new(b"t")], &parts, MsgFlags::MSG_NOSIGNAL, None)
        .map_err(|e| failed(&e))?;
    Ok(())
}

/// In the shim, once the container runs: the terminal's other end.
pub(super) fn receive(channel: &OwnedFd) -> Option<OwnedFd> {
    sys::receive(channel, &mut [0; 1]).ok()?.1.into_iter().next()
}
