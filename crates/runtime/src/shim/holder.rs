//! Holds the namespaces that the containers of a task share. Of a process namespace it is the first process: it buries the dead, and
//! with it all processes of the namespace end.

use crate::container::Order;
use crate::sys::{self, Cloned};
use nix::fcntl::OFlag;
use nix::mount::{MsFlags, mount};
use nix::sched::CloneFlags;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, pipe2};
use std::fs::{self, File};
use std::io::{self, Read};

/// The shim's hold on the namespaces.
pub(crate) struct Holder {
    pid: Pid,
    /// The process namespace, if that is shared.
    pub(crate) processes: Option<File>,
    /// The IPC namespace and the mount namespace that has its `/dev/shm`, if they are shared.
    pub(crate) ipc: Option<(File, File)>,
}

impl Holder {
    /// Makes the namespaces that the task's containers are to share; none if there are none.
    pub(super) fn new(order: &Order) -> io::Result<Option<Self>> {
        let (processes, ipc) = (order.spec.shared_processes, order.spec.shared_ipc);
        if !processes && !ipc {
            return Ok(None);
        }
        let mut flags = CloneFlags::empty();
        flags.set(CloneFlags::CLONE_NEWPID, processes);
        flags.set(CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWNS, ipc);
        let (told, tell) = pipe2(OFlag::O_CLOEXEC)?;
        let pid = match sys::clone_process(flags)? {
            Cloned::Child => {
                drop(told);
                let ready = !ipc || shared_memory(order).is_ok();
                // The shim waits for this.
                let _ = nix::unistd::write(&tell, if ready { b"1" } else { b"0" });
                hold()
            }
            Cloned::Parent(pid) => pid,
        };
        drop(tell);
        let mut ready = [0];
        let heard = File::from(told).read_exact(&mut ready);
        let mut holder = Self { pid, processes: None, ipc: None };
        heard?;
        if ready != *b"1" {
            return Err(io::Error::other("mounting the shared memory failed"));
        }
        let namespace = |name| File::open(format!("/proc/{pid}/ns/{name}"));
        if processes {
            holder.processes = Some(namespace("pid")?);
        }
        if ipc {
            holder.ipc = Some((namespace("ipc")?, namespace("mnt")?));
        }
        Ok(Some(holder))
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = kill(self.pid, Signal::SIGKILL);
        let _ = waitpid(self.pid, None);
    }
}

/// Mounts the memory that the containers see as `/dev/shm`, in this namespace alone.
fn shared_memory(order: &Order) -> io::Result<()> {
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    let place = order.paths.shared_memory(&order.spec.id);
    fs::create_dir_all(&place)?;
    let size = order.spec.containers.iter().map(|container| container.shm_bytes).max().unwrap_or_default();
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let options = format!("mode=1777,size={size}");
    Ok(mount(Some("tmpfs"), &place, Some("tmpfs"), flags, Some(options.as_str()))?)
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
        while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            if status == WaitStatus::StillAlive {
                break;
            }
        }
    }
}
