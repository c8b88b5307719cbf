//! The server of an ordinary user: in user, mount and network namespaces of its own, where it may do all that root may.
//!
//! The process itself goes there and no other stays outside, so that nothing is left of it when it is killed. Its main thread stays in
//! the user's network, and opens there what the user reaches; the server's threads are *inside* ([`Inside::spawn`]).
//!
//! The namespaces live as long as a process in them does. Shims, the load balancers' proxy and the keeper of loopback ports outlive a server that
//! crashed; the next one finds one of them and goes where it is. When the last is gone, the kernel takes everything away by itself.

mod ids;

pub(crate) use ids::{SUBCOMMAND, main};

use crate::paths::Paths;
use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MntFlags, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;

/// The server's first thread has a main thread's stack.
const STACK: usize = 8 << 20;

/// Where the server's threads live.
pub(crate) struct Inside {
    /// None if that is where the user is.
    network: Option<File>,
    outside: Option<Outside>,
    /// Held as long as the process lives: two servers would take each other's namespaces away.
    _held: Option<Flock<File>>,
}

/// Where the network that stands for the host's is bound.
pub(crate) fn network(run: &Path) -> PathBuf {
    run.join("host")
}

impl Inside {
    /// Goes to the instance's namespaces: those of an earlier server, of which something still lives, or new ones. Root needs none.
    /// To be called before the process has a second thread.
    pub(crate) fn enter(paths: &Paths) -> Result<Self, String> {
        if nix::unistd::geteuid().is_root() {
            return Ok(Self { network: None, outside: None, _held: None });
        }
        paths.make_run()?;
        let lock = paths.run.join("namespaces.lock");
        let lock = File::options().create(true).append(true).open(&lock).map_err(|error| failed(&lock, error))?;
        let held = Flock::lock(lock, FlockArg::LockExclusiveNonblock).map_err(|_| already(paths))?;
        let network = match survivor(&paths.run) {
            Some(pid) => join(pid, &paths.run)?,
            // Nothing of it lives: a failure leaves nothing either.
            None => found(&paths.run).inspect_err(|_| drop(fs::remove_dir_all(&paths.run)))?,
        };
        Ok(Self { network: Some(network), outside: Some(Outside::open()?), _held: Some(held) })
    }

    /// The way out, if inside is not where the user is.
    pub(crate) fn outside(&self) -> Option<Outside> {
        self.outside.clone()
    }

    /// Runs `work` on a thread inside; threads that it starts are inside as well.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, String> + Send + 'static,
    ) -> Result<JoinHandle<Result<T, String>>, String> {
        let network = self.network.as_ref().map(File::try_clone).transpose().map_err(|error| error.to_string())?;
        let inside = move || {
            if let Some(network) = network {
                setns(&network, CloneFlags::CLONE_NEWNET)
                    .map_err(|error| format!("cannot enter the server's network: {error}"))?;
            }
            work()
        };
        let thread = std::thread::Builder::new().name("server".to_owned()).stack_size(STACK);
        thread.spawn(inside).map_err(|error| format!("cannot start a thread: {error}"))
    }
}

/// A thread in the user's network that starts processes and opens sockets there.
#[derive(Clone)]
pub(crate) struct Outside(mpsc::Sender<Order>);

/// What is to be done there. It must not wait.
type Order = Box<dyn FnOnce() + Send>;

impl Outside {
    fn open() -> Result<Self, String> {
        let (orders, received) = mpsc::channel::<Order>();
        let thread = std::thread::Builder::new().name("outside".to_owned());
        let work = move || {
            for order in received {
                order();
            }
        };
        thread.spawn(work).map_err(|error| format!("cannot start a thread: {error}"))?;
        Ok(Self(orders))
    }

    /// Starts a process in the user's network that outlives this one. Whether it runs shows where it is spoken to.
    pub(crate) fn start(&self, command_line: Vec<OsString>) -> std::io::Result<()> {
        self.run(move || start(&command_line))?
    }

    /// Does something in the user's network, and comes back with what it gives. It must not wait.
    pub(crate) fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> std::io::Result<T> {
        let (tell, told) = mpsc::channel();
        let order = Box::new(move || {
            let _ = tell.send(work());
        });
        self.0.send(order).map_err(|_| std::io::ErrorKind::BrokenPipe)?;
        told.recv().map_err(std::io::Error::other)
    }
}

#[expect(clippy::disallowed_methods, reason = "the launcher is inside, and cannot get out")]
fn start(command_line: &[OsString]) -> std::io::Result<()> {
    let mut words = command_line.iter();
    let program = words.next().ok_or(std::io::ErrorKind::InvalidInput)?;
    // What a terminal sends to end the server is not meant for it.
    let mut command = Command::new(program);
    let mut child =
        command.args(words).process_group(0).current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
    // Someone must take note of its end, or its number stays taken.
    std::thread::Builder::new().name("reaper".to_owned()).spawn(move || child.wait())?;
    Ok(())
}

/// The end of a thread that [`Inside::spawn`] has started.
pub(crate) fn end_of<T>(thread: JoinHandle<Result<T, String>>) -> Result<T, String> {
    thread.join().unwrap_or_else(|_| Err("the server broke".to_owned()))
}

/// Takes away what keeps the network that stands for the host's. Nothing happens where there is none.
pub(crate) fn forget(run: &Path) {
    let _ = umount2(&network(run), MntFlags::MNT_DETACH);
}

/// New namespaces for a command that needs no network, only the right to remove what belongs to the user's subordinate ids.
/// Root has that right. To be called before the process has a second thread.
pub(crate) fn alone() -> Result<(), String> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    become_root()?;
    unshare(CloneFlags::CLONE_NEWNET).map_err(|error| refused("a network namespace", error))
}

fn already(paths: &Paths) -> String {
    let pid = crate::daemon::running(paths).map_or_else(String::new, |beacon| format!(" (pid {})", beacon.pid));
    format!("another server{pid} runs on the data directory {}", paths.data.display())
}

fn failed(path: &Path, error: impl std::fmt::Display) -> String {
    format!("{}: {error}", path.display())
}

/// A process of an earlier server's.
fn survivor(run: &Path) -> Option<i32> {
    let sockets = [proxy::socket_path(run), proxy::loopback::socket_path(run)];
    let shim = runtime::survivors(run).into_iter().next();
    shim.or_else(|| sockets.iter().find_map(|socket| proxy::client::pid(socket)))
}

/// Namespaces of its own, of which this process is root.
fn become_root() -> Result<(), String> {
    let mapper = ids::Mapper::start()?;
    unshare(CloneFlags::CLONE_NEWUSER).map_err(|error| refused("a user namespace", error))?;
    mapper.map()?;
    unshare(CloneFlags::CLONE_NEWNS).map_err(|error| refused("a mount namespace", error))
}

fn refused(what: &str, error: nix::Error) -> String {
    format!(
        "this machine does not let {what} be made: {error}. An ordinary user needs unprivileged user namespaces: see \
         user.max_user_namespaces, kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns \
         (sysctl). Root needs none of them."
    )
}

/// Makes the namespaces anew. Nothing of an earlier server lives: what its network has left in the file system means nothing any more.
fn found(run: &Path) -> Result<File, String> {
    become_root()?;
    let left = run.join("netns");
    match fs::remove_dir_all(&left) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(&left, error)),
        _ => {}
    }
    let path = network(run);
    fabric::netns::make(&path).map_err(|error| format!("cannot make the server's network {}: {error}", path.display()))
}

/// Goes where `pid` is.
fn join(pid: i32, run: &Path) -> Result<File, String> {
    let cannot = |error: &dyn std::fmt::Display| {
        format!(
            "cannot join process {pid} of an earlier server: {error}. `windtunnel reset --host` ends what is left of it."
        )
    };
    let open = |name: &str| File::open(format!("/proc/{pid}/ns/{name}")).map_err(|error| cannot(&error));
    let (user, mounts) = (open("user")?, open("mnt")?);
    let inode = |file: &File| file.metadata().map(|found| found.ino()).map_err(|error| cannot(&error));
    let own = File::open("/proc/self/ns/user").map_err(|error| cannot(&error))?;
    if inode(&own)? == inode(&user)? {
        return Err(cannot(&"it is in no namespace of its own"));
    }
    // Joining a mount namespace leads to its root.
    let here = std::env::current_dir();
    setns(&user, CloneFlags::CLONE_NEWUSER).map_err(|error| cannot(&error))?;
    setns(&mounts, CloneFlags::CLONE_NEWNS).map_err(|error| cannot(&error))?;
    let _ = here.and_then(std::env::set_current_dir);
    File::open(network(run)).map_err(|error| cannot(&error))
}
