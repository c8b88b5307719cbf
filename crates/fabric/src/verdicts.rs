//! What packet filters tell of packets as they decide about them.
//!
//! A rule's message goes to a group within its namespace, which one socket hears. Where nobody listens the kernel makes no
//! message; where one is too slow it loses some, and is told so.

use crate::{
    Fabric,
    netlink::{
        message::{Message, Received, attributes, text, u32_be},
        route,
        socket::Socket,
    },
    netns,
};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use std::{collections::HashMap, io, os::fd::AsFd, time::Duration};

const SUBSYSTEM: u16 = 4;
const PACKET: u16 = 0;
const CONFIGURE: u16 = 1;
const BIND: u8 = 1;
const COPY_PACKET: u8 = 2;
/// How much of a packet is told: headers, whatever their options.
const SNAP: u32 = 128;

/// A packet that a rule told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The rule's name for it.
    pub name: String,
    /// The device that it came in by.
    pub from: Option<String>,
    /// The device that it was to leave by.
    pub to: Option<String>,
    /// Its first bytes, from the network header on.
    pub packet: Vec<u8>,
}

/// Hears what a namespace's rules tell.
pub struct Listener {
    socket: Socket,
    route: Socket,
    names: HashMap<u32, String>,
}

impl Fabric {
    /// Listens to a group in a namespace. There can be one listener.
    pub fn listen_verdicts(&self, name: &str, group: u16) -> io::Result<Listener> {
        let (mut socket, route) = netns::within(&self.netns_path(name), || Ok((Socket::filter()?, Socket::route()?)))?;
        let [high, low] = group.to_be_bytes();
        let mut message = Message::new(SUBSYSTEM << 8 | CONFIGURE, 0, &[0, 0, high, low]);
        let [a, b, c, d] = SNAP.to_be_bytes();
        message.put(1, &[BIND]).put(2, &[a, b, c, d, COPY_PACKET, 0]);
        match socket.each(&[message])?.first() {
            Some(refused) => Err(refused.errno.into()),
            None => Ok(Listener { socket, route, names: HashMap::new() }),
        }
    }
}

impl Listener {
    /// What was told since; waits for the first until the patience ends. `None` in the list stands for what was lost.
    pub fn hear(&mut self, patience: Duration) -> io::Result<Vec<Option<Told>>> {
        let limit = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)], limit) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let mut heard = Vec::new();
        let outcome = self.socket.heard(|message| heard.extend(Heard::read(&message)));
        let mut told: Vec<Option<Told>> = heard.into_iter().map(|heard| Some(self.named(heard))).collect();
        match outcome {
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => told.push(None),
            other => other?,
        }
        Ok(told)
    }

    fn named(&mut self, heard: Heard) -> Told {
        let Heard { name, from, to, packet } = heard;
        Told { name, from: self.device(from), to: self.device(to), packet }
    }

    /// A device's name by its number; none if it is gone.
    fn device(&mut self, index: Option<u32>) -> Option<String> {
        let index = index?;
        if !self.names.contains_key(&index)
            && let Ok(links) = route::links(&mut self.route)
        {
            self.names = links.into_iter().map(|link| (link.index, link.name)).collect();
        }
        self.names.get(&index).cloned()
    }
}

/// A message of the kernel's.
#[derive(Default)]
struct Heard {
    name: String,
    from: Option<u32>,
    to: Option<u32>,
    packet: Vec<u8>,
}

impl Heard {
    fn read(message: &Received<'_>) -> Option<Self> {
        if message.kind != SUBSYSTEM << 8 | PACKET {
            return None;
        }
        let mut heard = Self::default();
        for (kind, value) in attributes(message.body.get(4..)?) {
            match kind {
                4 => heard.from = u32_be(value),
                5 => heard.to = u32_be(value),
                9 => heard.packet = value.to_vec(),
                10 => heard.name = text(value),
                _ => {}
            }
        }
        Some(heard)
    }
}
