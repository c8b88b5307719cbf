//! Notices what others do to the network behind our back, so that it can be put right.
//!
//! The kernel tells of links, addresses, routes and routing rules that come and go in the routers and at the host's own
//! device, of devices that are told to take any source, and of namespaces' files that are removed. What we did ourselves is told too, and read away when we have done
//! it. A packet filter has a number that changes with it. What others do within an attachment's own namespace shows in its
//! router where it takes the link away; other than that it is for those who own that namespace.

use crate::netlink::{
    message::{Received, attributes, messages, u32_at},
    route,
};
use nix::{
    errno::Errno,
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags},
        inotify::{AddWatchFlags, InitFlags, Inotify},
        socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket},
    },
};
use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
};

/// What is heard of: links, IPv4's and IPv6's addresses, routes and (the bit of group 19) rules, and (that of group 24)
/// IPv4's settings of devices.
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x80 | 0x100 | 0x400 | 1 << 18 | 1 << 23;

/// Everything that is listened to, as one descriptor that is readable when something was heard.
pub(crate) struct Ears {
    all: Epoll,
    files: Inotify,
}

impl Ears {
    /// Listens to the folder of the namespaces.
    pub(crate) fn open(netns: &Path) -> io::Result<Self> {
        let all = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let files = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        files.add_watch(netns, AddWatchFlags::IN_DELETE | AddWatchFlags::IN_MOVED_FROM)?;
        all.add(files.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
        Ok(Self { all, files })
    }

    /// Readable when something was heard.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.all.0.as_fd()
    }

    /// An ear in the namespace that the thread is in.
    pub(crate) fn listen_here(&self) -> io::Result<Ear> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, GROUPS))?;
        self.all.add(fd.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
        Ok(Ear { fd })
    }

    /// Whether a namespace's file was removed since this was asked last.
    pub(crate) fn lost_files(&self) -> bool {
        let mut lost = false;
        while let Ok(events) = self.files.read_events() {
            lost |= !events.is_empty();
        }
        lost
    }
}

/// Hears what changes in one namespace. It is no longer listened to once it is dropped.
#[derive(Debug)]
pub(crate) struct Ear {
    fd: OwnedFd,
}

impl Ear {
    /// Whether something went or came since this was asked last; with `only`, on the device of that number.
    pub(crate) fn heard(&self, only: Option<u32>) -> bool {
        let (mut heard, mut buffer) = (false, vec![0; 32 << 10]);
        loop {
            match recv(self.fd.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(len) => heard |= messages(&buffer[..len]).any(|message| matters(&message, only)),
                Err(Errno::EINTR) => {}
                // More happened than there was room to tell.
                Err(Errno::ENOBUFS) => heard |= only.is_none(),
                Err(_) => return heard,
            }
        }
    }
}

/// Whether a message is of something that a plan speaks of.
fn matters(message: &Received<'_>, only: Option<u32>) -> bool {
    const OUT_DEVICE: u16 = 4;
    /// The device of settings, and the one that a plan speaks of.
    const SETTINGS_OF: u16 = 1;
    const REVERSE_PATH_FILTER: u16 = 3;
    /// The mark of the routes that the kernel makes by itself.
    const KERNEL: u8 = 2;
    let device = match message.kind {
        // New links matter when they are down: one that we made was brought up at once.
        route::NEW_LINK if u32_at(message.body, 8).is_some_and(|flags| flags & route::IFF_UP == 0) => {
            u32_at(message.body, 4)
        }
        // The kernel itself gives devices IPv6 addresses and routes, a while after they came.
        route::NEW_ROUTE if message.body.first() != Some(&route::INET) && message.body.get(5) == Some(&KERNEL) => {
            return false;
        }
        route::DELETE_LINK | route::DELETE_ADDRESS => u32_at(message.body, 4),
        route::NEW_ROUTE | route::DELETE_ROUTE => attributes(message.body.get(12..).unwrap_or_default())
            .find(|(kind, _)| *kind == OUT_DEVICE)
            .and_then(|(_, value)| u32_at(value, 0)),
        route::NEW_RULE | route::DELETE_RULE => None,
        route::NEW_DEVICE_SETTINGS => {
            let of_kind = |wanted: u16| {
                let settings = attributes(message.body.get(4..).unwrap_or_default());
                settings.into_iter().find(|(kind, _)| *kind == wanted).and_then(|(_, value)| u32_at(value, 0))
            };
            match of_kind(REVERSE_PATH_FILTER) {
                Some(_) => of_kind(SETTINGS_OF),
                None => return false,
            }
        }
        _ => return false,
    };
    only.is_none_or(|only| device == Some(only))
}
