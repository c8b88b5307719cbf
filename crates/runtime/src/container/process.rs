//! From a fork of the shim to the container's program. Each step of the child is in the order that the kernel's rules ask for.

use super::{Order, mounts, program, terminal};
use crate::cgroup::Group;
use crate::ids::Ids;
use crate::shim::Holder;
use crate::spec::{ContainerSpec, Network, Resource};
use crate::storage::Disk;
use crate::sys::{self, Cloned};
use crate::{capability, seccomp, user};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Gid, Pid, Uid, pipe2};
use rustix::process::{Resource as Rlimit, getrlimit, setrlimit};
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// How long a further process may take to come to its program: it is waited for, and nothing else is done meanwhile. What is slower
/// hangs, such as on a file system that does not answer.
const ATTACH_MILLIS: u16 = 5000;

/// The most that is read of a file of accounts.
const MOST_ACCOUNTS: u64 = 4 << 20;

/// A child on its way to its program.
struct Child {
    pid: Pid,
    stdout: OwnedFd,
    stderr: OwnedFd,
    /// Closed once the program runs or the child is dead; before, it says why there will be no program.
    failure: OwnedFd,
    reason: Vec<u8>,
}

/// A container that is being made.
pub(crate) struct Making {
    child: Child,
    stdin: Option<OwnedFd>,
    console: Option<OwnedFd>,
}

impl Making {
    /// The container's first process, which has no program yet.
    pub(crate) fn pid(&self) -> Pid {
        self.child.pid
    }

    /// Has something to read when it went on.
    pub(crate) fn watched(&self) -> BorrowedFd<'_> {
        self.child.failure.as_fd()
    }

    /// Hears what there is to hear, without waiting. Once it is true there is an end to tell of: [`Making::end`].
    pub(crate) fn is_done(&mut self) -> bool {
        self.child.is_done()
    }

    /// The container that came of it; an error is fit for the task's owner.
    pub(crate) fn end(self) -> Result<Launched, String> {
        let (pid, stdout, stderr) = self.child.end().map_err(|reason| failure(&reason))?;
        let terminal = self.console.and_then(|shims| terminal::receive(&shims));
        Ok(Launched { pid, stdout, stderr, stdin: self.stdin, terminal })
    }
}

/// A container's first process, running its program.
pub(crate) struct Launched {
    pub(crate) pid: Pid,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
    /// The other end of its standard input, where that stays open.
    pub(crate) stdin: Option<OwnedFd>,
    /// The other end of its terminal, where it has one; nothing then comes from the pipes.
    pub(crate) terminal: Option<OwnedFd>,
}

/// A further process in a container.
pub(crate) struct Attach<'a> {
    /// The container's first process.
    pub(crate) init: Pid,
    pub(crate) argv: &'a [String],
}

/// What a container's failed start is called on Fargate.
fn failure(reason: &str) -> String {
    format!(
        "ResourceInitializationError: failed to create new container runtime task: failed to create shim task: OCI \
         runtime create failed: runc create failed: unable to start container process: {reason}: unknown"
    )
}

/// Begins to make the container. Nothing is waited for: what it is made of may hang. An error is fit for the task's owner.
pub(crate) fn launch(
    order: &Order,
    index: usize,
    shared: Option<&Holder>,
    disk: Option<&Disk>,
) -> Result<Making, String> {
    let ipc = shared.and_then(|holder| holder.ipc.as_ref());
    let mut own = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS;
    own.set(CloneFlags::CLONE_NEWIPC, ipc.is_none());
    // Where something is shared the rest is taken once the child is there.
    let birth = match shared.map(|holder| holder.processes.as_ref()) {
        None => Birth::With(own | CloneFlags::CLONE_NEWPID),
        Some(None) => Birth::With(CloneFlags::CLONE_NEWPID),
        Some(Some(processes)) => Birth::Into(processes),
    };
    let network = match &order.spec.network {
        Network::Namespace(path) => {
            Some(File::open(path).map_err(|e| failure(&format!("opening the network namespace: {e}")))?)
        }
        // The shim is in it.
        Network::Isolated | Network::Host => None,
    };
    let container = order.container(index);
    let pipe = || pipe2(OFlag::O_CLOEXEC).map_err(|e| failure(&format!("pipe: {e}")));
    let input = if container.stdin && !container.terminal { Some(pipe()?) } else { None };
    let console = if container.terminal { Some(terminal::channel().map_err(|e| failure(&e))?) } else { None };
    let begun = begin(birth, |stdout, stderr| {
        if let Some((ipc, mounts)) = ipc {
            setns(ipc, CloneFlags::CLONE_NEWIPC).map_err(|e| format!("joining the IPC namespace: {e}"))?;
            setns(mounts, CloneFlags::CLONE_NEWNS).map_err(|e| format!("joining the shared memory: {e}"))?;
        }
        if shared.is_some() {
            unshare(own).map_err(|e| format!("unsharing namespaces: {e}"))?;
        }
        join_cgroup(order, container)?;
        // After joining, so that the container's group is the root that it sees.
        let _ = unshare(CloneFlags::CLONE_NEWCGROUP);
        if let Some(network) = &network {
            setns(network, CloneFlags::CLONE_NEWNET).map_err(|e| format!("joining the network namespace: {e}"))?;
        }
        let _ = nix::unistd::setsid();
        stdio(input.as_ref().map(|(read, _)| read), stdout, stderr)?;
        nix::unistd::sethostname(order.hostname(index)).map_err(|e| format!("sethostname: {e}"))?;
        mounts::enter(order, index, disk)?;
        if let Some((_, ours)) = &console {
            terminal::take(ours)?;
        }
        Ok(Program { init: container.init, ..Program::of(container, container.argv()) })
    });
    let child = begun.map_err(|reason| failure(&reason))?;
    Ok(Making { child, stdin: input.map(|(_, write)| write), console: console.map(|(shims, _)| shims) })
}

/// Starts one more process in a running container. Its output comes through one pipe.
pub(crate) fn attach(order: &Order, index: usize, what: &Attach<'_>) -> Result<(Pid, OwnedFd), String> {
    let container = order.container(index);
    let inside = Inside::of(what.init)?;
    let (pid, output, _) = in_child(Birth::Into(&inside.pid), |stdout, _| {
        join_cgroup(order, container)?;
        let _ = nix::unistd::setsid();
        stdio(None, stdout, stdout)?;
        inside.enter()?;
        Ok(Program::of(container, what.argv.to_vec()))
    })?;
    Ok((pid, output))
}

/// The namespaces of a running container.
pub(super) struct Inside {
    /// Processes are born into this one.
    pub(super) pid: File,
    /// The mount namespace first.
    rest: Vec<File>,
}

impl Inside {
    /// Those of the container with this first process.
    pub(super) fn of(init: Pid) -> Result<Self, String> {
        let open = |ns| File::open(format!("/proc/{init}/ns/{ns}")).map_err(|e| format!("the container is gone: {e}"));
        let rest: Result<_, _> = ["mnt", "uts", "ipc", "net", "cgroup"].into_iter().map(open).collect();
        Ok(Self { pid: open("pid")?, rest: rest? })
    }

    /// Takes the calling process there.
    pub(super) fn enter(&self) -> Result<(), String> {
        // The mount namespace last: the others are opened already, but joining it changes the root.
        for namespace in self.rest.iter().rev() {
            setns(namespace, CloneFlags::empty()).map_err(|e| format!("joining a namespace: {e}"))?;
        }
        Ok(())
    }
}

/// What a child becomes.
pub(super) struct Program<'a> {
    pub(super) container: &'a ContainerSpec,
    pub(super) argv: Vec<String>,
    pub(super) init: bool,
    /// In place of the container's user.
    pub(super) user: Option<&'a str>,
    /// It has a terminal of this kind, which speaks UTF-8 unless the container says otherwise.
    pub(super) terminal: Option<&'a str>,
}

impl<'a> Program<'a> {
    pub(super) fn of(container: &'a ContainerSpec, argv: Vec<String>) -> Self {
        Self { container, argv, init: false, user: None, terminal: None }
    }
}

/// How a child comes to its process namespace.
pub(super) enum Birth<'a> {
    /// With new namespaces.
    With(CloneFlags),
    /// Into a process namespace that is there.
    Into(&'a File),
}

impl Birth<'_> {
    /// Clones. The child is the calling process's own.
    fn give(&self) -> Result<Cloned, String> {
        let failed = |e: &dyn std::fmt::Display| format!("clone: {e}");
        let namespace = match self {
            Self::With(namespaces) => return sys::clone_process(*namespaces).map_err(|e| failed(&e)),
            Self::Into(namespace) => namespace,
        };
        // Children are born into the namespace that is set before, and whoever has no right to the host's can never set that back. So a process
        // in between does it, gives the calling process a child, and ends.
        let (told, tell) = pipe2(OFlag::O_CLOEXEC).map_err(|e| failed(&e))?;
        let between = match sys::fork_process().map_err(|e| failed(&e))? {
            Cloned::Parent(between) => between,
            Cloned::Child => {
                let born = setns(namespace, CloneFlags::CLONE_NEWPID)
                    .and_then(|()| sys::clone_process(CloneFlags::CLONE_PARENT));
                match born {
                    Ok(Cloned::Child) => return Ok(Cloned::Child),
                    Ok(Cloned::Parent(pid)) => drop(File::from(tell).write_all(&pid.as_raw().to_ne_bytes())),
                    Err(errno) => drop(File::from(tell).write_all(&(-(errno as i32)).to_ne_bytes())),
                }
                sys::exit_now(0)
            }
        };
        drop(tell);
        let mut number = [0; 4];
        let heard = File::from(told).read_exact(&mut number);
        let _ = waitpid(between, None);
        heard.map_err(|e| failed(&e))?;
        match i32::from_ne_bytes(number) {
            pid if pid > 0 => Ok(Cloned::Parent(Pid::from_raw(pid))),
            errno => Err(format!("joining the process namespace: {}", Errno::from_raw(-errno))),
        }
    }
}

/// Clones, and runs `prepare` and then the program in the child.
fn begin<'a>(
    birth: Birth<'_>,
    prepare: impl FnOnce(&OwnedFd, &OwnedFd) -> Result<Program<'a>, String>,
) -> Result<Child, String> {
    let pipe = || pipe2(OFlag::O_CLOEXEC).map_err(|e| format!("pipe: {e}"));
    let ((stdout, out_write), (stderr, err_write), (failure, fail_write)) = (pipe()?, pipe()?, pipe()?);
    match birth.give()? {
        Cloned::Child => {
            drop((stdout, stderr, failure));
            sys::reset_signals();
            // It may hang where it is, and does not outlive its shim there either.
            let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
            let reason = match prepare(&out_write, &err_write).and_then(|program| become_program(&program)) {
                Ok(never) => match never {},
                Err(reason) => reason,
            };
            let _ = File::from(fail_write).write_all(reason.as_bytes());
            sys::exit_now(255)
        }
        Cloned::Parent(pid) => {
            drop((out_write, err_write, fail_write));
            let _ = nix::fcntl::fcntl(&failure, nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK));
            Ok(Child { pid, stdout, stderr, failure, reason: Vec::new() })
        }
    }
}

impl Child {
    /// Reads on. True once the pipe is closed, by exec or by the end of the child, whichever comes.
    fn is_done(&mut self) -> bool {
        let mut chunk = [0; 1024];
        loop {
            match nix::unistd::read(&self.failure, &mut chunk) {
                Ok(0) => return true,
                Ok(n) if self.reason.len() < 4096 => self.reason.extend_from_slice(&chunk[..n]),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return false,
                Err(_) => return true,
            }
        }
    }

    /// What came of it, once it is done.
    fn end(self) -> Result<(Pid, OwnedFd, OwnedFd), String> {
        if self.reason.is_empty() {
            return Ok((self.pid, self.stdout, self.stderr));
        }
        let _ = waitpid(self.pid, None);
        Err(String::from_utf8_lossy(&self.reason).into_owned())
    }
}

/// Starts a further process and waits until its program runs or a step has failed, but not for long.
pub(super) fn in_child<'a>(
    birth: Birth<'_>,
    prepare: impl FnOnce(&OwnedFd, &OwnedFd) -> Result<Program<'a>, String>,
) -> Result<(Pid, OwnedFd, OwnedFd), String> {
    let mut child = begin(birth, prepare)?;
    while !child.is_done() {
        let mut fds = [PollFd::new(child.failure.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, PollTimeout::from(ATTACH_MILLIS)) == Ok(0) {
            // Whoever reaps the shim's children finds it.
            let _ = kill(child.pid, Signal::SIGKILL);
            return Err("the process does not come to its program".to_owned());
        }
    }
    child.end()
}

pub(super) fn join_cgroup(order: &Order, container: &ContainerSpec) -> Result<(), String> {
    let group = Group::Container(order.spec.id.as_str(), &container.name);
    order.cgroups.join(group).map_err(|e| format!("joining the control group: {e}"))?;
    // The shim's score is not the container's.
    let _ = fs::write("/proc/self/oom_score_adj", "0");
    Ok(())
}

fn stdio(stdin: Option<&OwnedFd>, stdout: &OwnedFd, stderr: &OwnedFd) -> Result<(), String> {
    let failed = |e: &dyn std::fmt::Display| format!("standard streams: {e}");
    if let Some(stdin) = stdin {
        nix::unistd::dup2_stdin(stdin).map_err(|e| failed(&e))?;
    } else {
        let null = File::open("/dev/null").map_err(|e| failed(&e))?;
        nix::unistd::dup2_stdin(&null).map_err(|e| failed(&e))?;
    }
    nix::unistd::dup2_stdout(stdout).map_err(|e| failed(&e))?;
    nix::unistd::dup2_stderr(stderr).map_err(|e| failed(&e))
}

/// In the container's root and namespaces, with all of the host's rights: gives them up and becomes the program.
fn become_program(program: &Program<'_>) -> Result<std::convert::Infallible, String> {
    let container = program.container;
    let Some(name) = program.argv.first() else { return Err("no command specified".to_owned()) };
    let wanted = program.user.or(container.user.as_deref()).unwrap_or(&container.image.config.user);
    let read = |path: &str| accounts(path).unwrap_or_default();
    let user = user::resolve(wanted, &read("/etc/passwd"), &read("/etc/group"))?;
    let directory = container.working_dir.as_deref().unwrap_or(&container.image.config.working_dir);
    let directory = if directory.is_empty() { "/" } else { directory };
    limits(container)?;
    own_streams(&user);
    let _ = fs::create_dir_all(directory);
    let keep = capability::resolve(&container.capabilities)?;
    let filters = seccomp::Filters::new(keep).map_err(|e| format!("seccomp: {e}"))?;
    if container.no_new_privileges {
        rustix::thread::set_no_new_privs(true).map_err(|e| format!("no_new_privs: {e}"))?;
    } else {
        // Without no_new_privs only CAP_SYS_ADMIN may install a filter, and that is about to go.
        filters.install().map_err(|e| format!("seccomp: {e}"))?;
    }
    capability::bound(keep).map_err(|e| format!("capabilities: {e}"))?;
    let ids = Ids::here();
    if !ids.can_be(user.uid, user.gid) {
        return Err(format!(
            "user {}:{} has no id on this host: the server runs without root, see subuid(5)",
            user.uid, user.gid
        ));
    }
    // A group that has no id here owns nothing here either.
    let groups = user.groups.iter().filter(|group| ids.can_be(user.uid, **group));
    let groups: Vec<Gid> = groups.map(|group| Gid::from_raw(*group)).collect();
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    if ids.groups_can_be_set {
        nix::unistd::setgroups(&groups).map_err(|e| format!("setgroups: {e}"))?;
    }
    nix::unistd::setresgid(gid, gid, gid).map_err(|e| format!("setgid: {e}"))?;
    nix::unistd::setresuid(uid, uid, uid).map_err(|e| format!("setuid: {e}"))?;
    if uid.is_root() {
        capability::set(keep).map_err(|e| format!("capabilities: {e}"))?;
    }
    nix::unistd::chdir(directory)
        .map_err(|e| format!("chdir to cwd ({directory:?}) set in config.json failed: {}", program::text(e)))?;
    // Changing the user has cleared it. A container does not outlive its shim.
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    // Docker's; ours lets no bit out of what we make.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    let mut environment = container.environment();
    if !environment.iter().any(|line| line.starts_with("HOME=")) {
        environment.push(format!("HOME={}", user.home));
    }
    if !environment.iter().any(|line| line.starts_with("HOSTNAME=")) {
        let hostname = nix::unistd::gethostname().unwrap_or_default();
        environment.push(format!("HOSTNAME={}", hostname.to_string_lossy()));
    }
    if let Some(kind) = program.terminal {
        environment.retain(|line| !line.starts_with("TERM="));
        environment.push(format!("TERM={kind}"));
        if !environment.iter().any(|line| line.starts_with("LANG=")) {
            environment.push("LANG=C.UTF-8".to_owned());
        }
    }
    let path = environment.iter().find_map(|line| line.strip_prefix("PATH=")).unwrap_or_default();
    let file = program::find(name, path)?;
    let strings = |all: &[String]| {
        let converted: Result<Vec<_>, _> = all.iter().map(|text| CString::new(text.as_str())).collect();
        converted.map_err(|_| "a NUL byte in the command or environment".to_owned())
    };
    let (argv, environment) = (strings(&program.argv)?, strings(&environment)?);
    if container.no_new_privileges {
        filters.install().map_err(|e| format!("seccomp: {e}"))?;
    }
    sys::close_from_on_exec(3);
    if program.init {
        as_init(|| execute(&file, &argv, &environment));
    }
    execute(&file, &argv, &environment)
}

/// The text of a file of accounts. The container may have put a pipe there, which nobody waits at, or a file without an end.
fn accounts(path: &str) -> io::Result<String> {
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, rustix::fs::Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut text = String::new();
    file.take(MOST_ACCOUNTS).read_to_string(&mut text)?;
    Ok(text)
}

/// Replaces the process. What fails now is the program's own: it is told on its standard error, as runc does.
fn execute(file: &CString, argv: &[CString], environment: &[CString]) -> ! {
    let error = match nix::unistd::execve(file, argv, environment) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    let _ = writeln!(io::stderr(), "exec {}: {}", file.to_string_lossy(), program::text(error));
    sys::exit_now(255)
}

/// The first process of a container which only passes signals on and reaps; the program is its child.
fn as_init(program: impl FnOnce()) {
    // Where the namespace is shared, the orphans would otherwise be somebody else's.
    sys::adopt_orphans();
    let all = SigSet::all();
    let _ = all.thread_block();
    let child = match sys::fork_process() {
        Ok(Cloned::Child) => {
            let _ = SigSet::empty().thread_set_mask();
            program();
            sys::exit_now(255)
        }
        Ok(Cloned::Parent(child)) => child,
        Err(_) => sys::exit_now(255),
    };
    sys::hide_memory();
    // The pipe that tells of failures would otherwise stay open: nothing is executed in this process.
    sys::close_from(3);
    loop {
        match all.wait() {
            Ok(Signal::SIGCHLD) => loop {
                match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                    Ok(WaitStatus::Exited(pid, code)) if pid == child => sys::exit_now(code),
                    Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => sys::exit_now(128 + signal as i32),
                    Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => break,
                    Ok(_) | Err(_) => {}
                }
            },
            Ok(signal) => {
                let _ = nix::sys::signal::kill(child, signal);
            }
            Err(_) => {}
        }
    }
}

/// The program opens /dev/stdout by its path, whoever it runs as.
fn own_streams(user: &user::User) {
    for stream in [io::stdout().as_fd(), io::stderr().as_fd()] {
        let _ = nix::unistd::fchown(stream, Some(Uid::from_raw(user.uid)), Some(Gid::from_raw(user.gid)));
    }
}

fn limits(container: &ContainerSpec) -> Result<(), String> {
    for limit in &container.ulimits {
        let resource = rlimit(limit.resource);
        let mut wanted = rustix::process::Rlimit { current: Some(limit.soft), maximum: Some(limit.hard) };
        if setrlimit(resource, wanted).is_err() {
            // More than this host may give: as much as it may.
            let most = getrlimit(resource).maximum;
            let least = |value: u64| Some(most.map_or(value, |m| m.min(value)));
            wanted = rustix::process::Rlimit { current: least(limit.soft), maximum: least(limit.hard) };
            setrlimit(resource, wanted).map_err(|e| format!("error setting rlimit {:?}: {e}", limit.resource))?;
        }
    }
    Ok(())
}

fn rlimit(resource: Resource) -> Rlimit {
    match resource {
        Resource::Core => Rlimit::Core,
        Resource::Cpu => Rlimit::Cpu,
        Resource::Data => Rlimit::Data,
        Resource::Fsize => Rlimit::Fsize,
        Resource::Locks => Rlimit::Locks,
        Resource::Memlock => Rlimit::Memlock,
        Resource::Msgqueue => Rlimit::Msgqueue,
        Resource::Nice => Rlimit::Nice,
        Resource::Nofile => Rlimit::Nofile,
        Resource::Nproc => Rlimit::Nproc,
        Resource::Rss => Rlimit::Rss,
        Resource::Rtprio => Rlimit::Rtprio,
        Resource::Rttime => Rlimit::Rttime,
        Resource::Sigpending => Rlimit::Sigpending,
        Resource::Stack => Rlimit::Stack,
    }
}
