//! The system calls that no safe wrapper offers. The only unsafe code of the crate.
//!
//! All of it runs in the launcher, the shims and the first processes of containers, which have one thread each.

#![allow(
    unsafe_code,
    reason = "fork, clone3, descriptor passing, madvise, mount_setattr and loop devices have no safe wrapper"
)]

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use nix::unistd::{ForkResult, Pid};
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

/// What [`clone_process`] did: the caller is the parent or the child.
pub(crate) enum Cloned {
    Parent(Pid),
    Child,
}

/// Forks into new namespaces, or on behalf of the parent (`CLONE_PARENT`). The caller must have one thread.
pub(crate) fn clone_process(flags: nix::sched::CloneFlags) -> nix::Result<Cloned> {
    // A sibling has the caller's own signal, and the kernel refuses to be told one.
    let sibling = flags.contains(nix::sched::CloneFlags::CLONE_PARENT);
    let args = libc::clone_args {
        flags: flags.bits() as u64,
        pidfd: 0,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: if sibling { 0 } else { libc::SIGCHLD as u64 },
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: 0,
    };
    // SAFETY: `args` is a valid clone_args of the size given. Without CLONE_VM and with no stack this is a fork: the child
    // has a copy of everything. There is one thread, so no lock can be held by a thread that the child lacks.
    let result = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<libc::clone_args>()) };
    match Errno::result(result)? {
        0 => Ok(Cloned::Child),
        pid => Ok(Cloned::Parent(Pid::from_raw(pid as i32))),
    }
}

/// Forks. The caller must have one thread.
pub(crate) fn fork_process() -> nix::Result<Cloned> {
    // SAFETY: the caller has one thread, so the child may do whatever the parent may.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(Cloned::Parent(child)),
        ForkResult::Child => Ok(Cloned::Child),
    }
}

/// Gives the pages of files back that only the start needed: of mappings in which nothing was written. They are read
/// again if they are wanted again.
pub(crate) fn give_back_start() {
    let Ok(maps) = std::fs::read_to_string("/proc/self/smaps") else { return };
    let mut range = None;
    for line in maps.lines() {
        let mut words = line.split_ascii_whitespace();
        let first = words.next().unwrap_or_default();
        if let Some((from, to)) = first.split_once('-') {
            let ends = (usize::from_str_radix(from, 16), usize::from_str_radix(to, 16));
            let readable = words.next().is_some_and(|rights| rights.starts_with("r-"));
            range = if let ((Ok(from), Ok(to)), true) = (ends, readable && line.contains(" /")) {
                Some((from, to))
            } else {
                None
            };
        } else if first == "Anonymous:"
            && words.next() == Some("0")
            && let Some((from, to)) = range.take()
        {
            // SAFETY: the range is a mapping of this process, of a file, that cannot be written to and has no page that
            // was: what is dropped is what the file has.
            unsafe { libc::madvise(from as *mut libc::c_void, to.saturating_sub(from), libc::MADV_DONTNEED) };
        }
    }
}

/// Receives a packet with the descriptors that were sent along. An empty packet: the other end is closed.
pub(crate) fn receive(socket: &impl AsFd, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = cmsg_space!([RawFd; 4]);
    let mut iov = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket.as_fd().as_raw_fd(), &mut iov, Some(&mut space), flags)?;
    let mut fds = Vec::new();
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(received) = part {
            // SAFETY: the kernel has just made these descriptors for this process; nobody else owns them.
            fds.extend(received.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
        }
    }
    Ok((message.bytes, fds))
}

/// Takes over a descriptor that this process was started with.
pub(crate) fn inherited(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl with F_DUPFD_CLOEXEC takes any number and refuses what is not an open descriptor.
    let copy = Errno::result(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) })?;
    // SAFETY: the copy was made just now and belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Closes all descriptors from `first` on. Only before anything in this process owns one of them.
pub(crate) fn close_from(first: RawFd) {
    // SAFETY: the caller says that nothing owns these descriptors; those that are not open do not matter.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
}

/// Marks all descriptors from `first` on to be closed by exec.
pub(crate) fn close_from_on_exec(first: RawFd) {
    // SAFETY: a flag of descriptors is changed, whatever they are; no memory is touched.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
}

/// Gives all signals their default action and blocks none, as a program expects at its start.
pub(crate) fn reset_signals() {
    for signal in 1..=64 {
        // SAFETY: the default action installs no handler. Numbers that cannot be changed are refused.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    let _ = nix::sys::signal::SigSet::empty().thread_set_mask();
}

/// The attributes of [`set_mount_attributes`] in the kernel's layout.
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns: u64,
}

/// Sets attributes (`MOUNT_ATTR_…`) of a detached mount.
pub(crate) fn set_mount_attributes(mount: &OwnedFd, set: u64) -> io::Result<()> {
    let attr = MountAttr { set, clear: 0, propagation: 0, userns: 0 };
    // SAFETY: the path is an empty C string, and `attr` has the layout and the size that are passed.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    Errno::result(result)?;
    Ok(())
}

/// Installs a seccomp filter on the calling thread. Needs CAP_SYS_ADMIN or no_new_privs.
pub(crate) fn install_filter(program: &[seccompiler::sock_filter]) -> io::Result<()> {
    let len = u16::try_from(program.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // seccompiler's instruction has the kernel's layout: u16, u8, u8, u32.
    let filter = libc::sock_fprog { len, filter: program.as_ptr().cast::<libc::sock_filter>().cast_mut() };
    // SAFETY: `filter` points to `len` instructions, which the kernel only reads and checks.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const filter) };
    Errno::result(result)?;
    Ok(())
}

/// Ends the process at once, running nothing.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: does not return and touches no memory.
    unsafe { libc::_exit(code) }
}

/// Hides the process's memory from others of the same user, which may live in the same container.
pub(crate) fn hide_memory() {
    // SAFETY: plain numbers.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) };
}

/// Makes the process the parent of its descendants' orphans.
pub(crate) fn adopt_orphans() {
    // SAFETY: plain numbers.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
}

/// Sets what a signal does, other than by a handler.
pub(crate) fn ignore(signal: nix::sys::signal::Signal) {
    // SAFETY: no handler is installed.
    let _ = unsafe { nix::sys::signal::signal(signal, nix::sys::signal::SigHandler::SigIgn) };
}

/// What a loop device is configured by, in the kernel's layout: the file, and of the rest its flags alone.
#[repr(C)]
struct LoopConfig {
    file: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

/// `loop_info64`.
#[repr(C)]
struct LoopInfo {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encryption: u32,
    key_size: u32,
    flags: u32,
    names_and_key: [u8; 64 + 64 + 32],
    init: [u64; 2],
}

const LOOP_CONFIGURE: libc::Ioctl = 0x4c0a;
const LOOP_CTL_GET_FREE: libc::Ioctl = 0x4c82;
const LO_FLAGS_AUTOCLEAR: u32 = 4;

/// The number of a loop device that is free now; one is made if there is none. Others may ask for it as well.
pub(crate) fn free_loop(control: &impl AsFd) -> io::Result<i32> {
    // SAFETY: the call takes no argument and touches no memory.
    let number = unsafe { libc::ioctl(control.as_fd().as_raw_fd(), LOOP_CTL_GET_FREE) };
    Ok(Errno::result(number)?)
}

/// Puts the loop device before the file. In one step with the promise to let go with its last user: there is no moment at which a
/// process that is killed leaves it attached.
pub(crate) fn attach_loop(device: &impl AsFd, file: &impl AsFd) -> nix::Result<()> {
    // SAFETY: plain numbers, for which zeros are valid.
    let mut config: LoopConfig = unsafe { std::mem::zeroed() };
    config.file = file.as_fd().as_raw_fd().cast_unsigned();
    config.info.flags = LO_FLAGS_AUTOCLEAR;
    // SAFETY: `config` has the kernel's layout and is only read.
    Errno::result(unsafe { libc::ioctl(device.as_fd().as_raw_fd(), LOOP_CONFIGURE, &raw const config) })?;
    Ok(())
}

/// Brings the loopback interface of the present network namespace up.
pub(crate) fn loopback_up() -> io::Result<()> {
    let socket = nix::sys::socket::socket(
        nix::sys::socket::AddressFamily::Inet,
        nix::sys::socket::SockType::Datagram,
        nix::sys::socket::SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    // SAFETY: an ifreq is plain numbers, for which zeros are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: `request` is an ifreq with a name that ends with a zero, which is what this call reads.
    Errno::result(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) })?;
    Ok(())
}
