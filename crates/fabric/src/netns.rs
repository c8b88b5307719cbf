//! Sockets in other network namespaces.
//!
//! A namespace is given by the path of its bind mount; nothing else of the fabric is needed, so any process may use this.
//! The calling thread enters the namespace, makes the socket and comes back before the function returns (6 µs); the
//! socket stays there for good. Nothing here waits or awaits while inside.

use crate::netlink::{route, socket::Socket};
use nix::{
    errno::Errno,
    mount::{MsFlags, mount},
    sched::{CloneFlags, setns, unshare},
    sys::socket::{
        AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, SockaddrIn6, bind, connect, listen, setsockopt, socket,
        sockopt,
    },
};
use std::{
    fs::File,
    io,
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::{AsRawFd, OwnedFd},
    path::Path,
};

/// Runs `work` with the calling thread in the network namespace at `netns`, and comes back.
///
/// `work` must not wait: other tasks of an executor would run in the wrong namespace if it could yield, which a plain
/// function cannot.
pub fn within<T>(netns: &Path, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let target = File::open(netns)?;
    within_file(&target, work)
}

/// [`within`], for a namespace that is open already.
pub fn within_file<T>(netns: &File, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let home = Home(File::open("/proc/thread-self/ns/net")?);
    setns(netns, CloneFlags::CLONE_NEWNET)?;
    let result = work();
    drop(home);
    result
}

/// Whether there is a device of this name in the namespace.
pub fn has_device(netns: &Path, device: &str) -> io::Result<bool> {
    within(netns, || Ok(route::links(&mut Socket::route()?)?.iter().any(|link| link.name == device)))
}

/// Makes a namespace, binds it at `path`, and brings its loopback up. What is at `path` is replaced.
pub fn make(path: &Path) -> io::Result<File> {
    let work = || {
        unshare(CloneFlags::CLONE_NEWNET)?;
        File::create(path)?;
        mount(Some("/proc/thread-self/ns/net"), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
        match Socket::route()?.each(&[route::bring_up("lo", None)])?.first() {
            Some(refused) => Err(refused.errno.into()),
            None => File::open(path),
        }
    };
    // A thread of its own, since it ends up there.
    std::thread::scope(|scope| scope.spawn(work).join()).unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
}

/// Brings the thread back, however the work ended.
struct Home(File);

impl Drop for Home {
    fn drop(&mut self) {
        if setns(&self.0, CloneFlags::CLONE_NEWNET).is_err() {
            // A thread lost in another namespace would make sockets that reach what they must not reach.
            std::process::abort();
        }
    }
}

/// A listening socket in a namespace; it does not block.
pub fn listen_tcp(netns: &Path, address: SocketAddr) -> io::Result<TcpListener> {
    let fd = within(netns, || {
        let fd = new_socket(address, SockType::Stream)?;
        setsockopt(&fd, sockopt::ReuseAddr, &true)?;
        bind_to(&fd, address)?;
        listen(&fd, Backlog::new(1024).unwrap_or(Backlog::MAXCONN))?;
        Ok(fd)
    })?;
    Ok(fd.into())
}

/// A datagram socket in a namespace; it does not block.
pub fn udp_socket(netns: &Path, address: SocketAddr) -> io::Result<UdpSocket> {
    let fd = within(netns, || {
        let fd = new_socket(address, SockType::Datagram)?;
        bind_to(&fd, address)?;
        Ok(fd)
    })?;
    Ok(fd.into())
}

/// A connection from a namespace, begun but not waited for: it does not block, and is writable once established.
pub fn connect_tcp(netns: &Path, address: SocketAddr) -> io::Result<TcpStream> {
    let fd = within(netns, || begin_connection(address))?;
    Ok(fd.into())
}

fn begin_connection(address: SocketAddr) -> io::Result<OwnedFd> {
    let fd = new_socket(address, SockType::Stream)?;
    let begun = match address {
        SocketAddr::V4(v4) => connect(fd.as_raw_fd(), &SockaddrIn::from(v4)),
        SocketAddr::V6(v6) => connect(fd.as_raw_fd(), &SockaddrIn6::from(v6)),
    };
    match begun {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(fd),
        Err(errno) => Err(errno.into()),
    }
}

fn new_socket(address: SocketAddr, kind: SockType) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    Ok(socket(family, kind, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?)
}

fn bind_to(fd: &OwnedFd, address: SocketAddr) -> io::Result<()> {
    match address {
        SocketAddr::V4(v4) => bind(fd.as_raw_fd(), &SockaddrIn::from(v4))?,
        SocketAddr::V6(v6) => bind(fd.as_raw_fd(), &SockaddrIn6::from(v6))?,
    }
    Ok(())
}
