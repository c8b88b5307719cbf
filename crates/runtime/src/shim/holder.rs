//! The first process of a process namespace that the containers of a task share. It does nothing but bury the dead, and with it all
//! processes of the namespace end.

use crate::sys::{self, Cloned};
use nix::sched::CloneFlags;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use std::fs::File;
use std::io;

/// The shim's hold on the namespace.
pub(crate) struct Holder {
    pid: Pid,
    /// The namespace.
    pub(crate) namespace: File,
}

impl Holder {
    /// Makes the namespace.
    pub(super) fn new() -> io::Result<Self> {
        match sys::clone_process(CloneFlags::CLONE_NEWPID)? {
            Cloned::Child => hold(),
            Cloned::Parent(pid) => Ok(Self { pid, namespace: File::open(format!("/proc/{pid}/ns/pid"))? }),
        }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = kill(self.pid, Signal::SIGKILL);
        let _ = waitpid(self.pid, None);
    }
}

fn hold() -> ! {
    let _ = rustix::thread::set_name(c"wt-pause");
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    sys::hide_memory();
    sys::close_from(3);
    let all = SigSet::all();
    let _ = all.thread_block();
    loop {
        // Others than the dead's are nobody's to send: they are heard and nothing comes of them.
        let _ = all.wait();
        while let Ok(status) = waitpid(None, Some(nix::sys::wait::WaitPidFlag::WNOHANG)) {
            if status == nix::sys::wait::WaitStatus::StillAlive {
                break;
            }
        }
    }
}
