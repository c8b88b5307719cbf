//! Netlink sockets. The kernel works on a message before the send returns, so what went wrong is there to be read then:
//! no acknowledgement is asked for, and silence is success.

use super::message::{DUMP, Message, Received, messages, u32_at};
use nix::{
    errno::Errno,
    sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, setsockopt, socket, sockopt},
};
use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// What one send may hold of messages that stand alone: replies to all of them must fit into the socket's buffer.
const AT_ONCE: usize = 64;
/// A filter's batch is one send, however long.
const SEND_BUFFER: usize = 64 << 20;

/// What a message went wrong with.
#[derive(Debug)]
pub(crate) struct Refused {
    /// Which of the messages.
    pub(crate) index: usize,
    /// Why.
    pub(crate) errno: Errno,
}

/// A socket in the namespace where it was made.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// A socket for links, addresses and routes.
    pub(crate) fn route() -> io::Result<Self> {
        Self::new(SockProtocol::NetlinkRoute)
    }

    /// A socket for packet filters.
    pub(crate) fn filter() -> io::Result<Self> {
        let socket = Self::new(SockProtocol::NetlinkNetFilter)?;
        if setsockopt(&socket.fd, sockopt::SndBufForce, &SEND_BUFFER).is_err() {
            // Without the right to go over the system's limit, the limit itself must do.
            let _ = setsockopt(&socket.fd, sockopt::SndBuf, &SEND_BUFFER);
        }
        Ok(socket)
    }

    fn new(protocol: SockProtocol) -> io::Result<Self> {
        let fd = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
        Ok(Self { fd, sequence: 1, buffer: vec![0; 64 << 10] })
    }

    /// What has come without being asked for; does not wait. `ENOBUFS` says that something was lost.
    pub(crate) fn heard(&mut self, mut take: impl FnMut(Received<'_>)) -> io::Result<()> {
        loop {
            match recv(self.fd.as_raw_fd(), &mut self.buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(0) | Err(Errno::EAGAIN) => return Ok(()),
                Ok(len) => messages(&self.buffer[..len]).for_each(&mut take),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Sends messages that stand alone. Returns the refused ones; the others were done.
    pub(crate) fn each(&mut self, batch: &[Message]) -> io::Result<Vec<Refused>> {
        let mut refused = Vec::new();
        for (part, chunk) in batch.chunks(AT_ONCE).enumerate() {
            refused.extend(self.send(chunk.iter().cloned(), part * AT_ONCE)?);
        }
        Ok(refused)
    }

    /// Sends messages that the kernel does all of, or none.
    pub(crate) fn together(&mut self, batch: Vec<Message>) -> io::Result<Vec<Refused>> {
        self.send(batch.into_iter(), 0)
    }

    fn send(&mut self, batch: impl Iterator<Item = Message>, offset: usize) -> io::Result<Vec<Refused>> {
        let first = self.sequence;
        let mut bytes = Vec::new();
        for message in batch {
            bytes.extend(message.finish(self.sequence));
            self.sequence = self.sequence.wrapping_add(1).max(1);
        }
        send(self.fd.as_raw_fd(), &bytes, MsgFlags::empty())?;
        let mut refused = Vec::new();
        loop {
            match recv(self.fd.as_raw_fd(), &mut self.buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(0) | Err(Errno::EAGAIN) => return Ok(refused),
                Ok(len) => {
                    for message in messages(&self.buffer[..len]) {
                        if let Some(errno) = error_of(&message) {
                            let index = message.sequence.wrapping_sub(first) as usize + offset;
                            refused.push(Refused { index, errno });
                        }
                    }
                }
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Asks for all of something, and passes each answer to `take`.
    pub(crate) fn dump(&mut self, kind: u16, fixed: &[u8], take: impl FnMut(Received<'_>)) -> io::Result<()> {
        self.ask(Message::new(kind, DUMP, fixed), true, take)
    }

    /// Asks for all of something by a request of more than a fixed part.
    pub(crate) fn dump_of(&mut self, request: Message, take: impl FnMut(Received<'_>)) -> io::Result<()> {
        self.ask(request, true, take)
    }

    /// Asks for one thing.
    pub(crate) fn get(&mut self, request: Message, take: impl FnMut(Received<'_>)) -> io::Result<()> {
        self.ask(request, false, take)
    }

    fn ask(&mut self, request: Message, many: bool, mut take: impl FnMut(Received<'_>)) -> io::Result<()> {
        let sequence = self.sequence;
        self.sequence = self.sequence.wrapping_add(1).max(1);
        send(self.fd.as_raw_fd(), &request.finish(sequence), MsgFlags::empty())?;
        loop {
            let len = match recv(self.fd.as_raw_fd(), &mut self.buffer, MsgFlags::empty()) {
                Ok(len) => len,
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno.into()),
            };
            for message in messages(&self.buffer[..len]).filter(|message| message.sequence == sequence) {
                match message.kind {
                    NLMSG_DONE => return Ok(()),
                    NLMSG_ERROR => return error_of(&message).map_or(Ok(()), |errno| Err(errno.into())),
                    _ => take(message),
                }
            }
            if !many {
                return Ok(());
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn error_of(message: &Received<'_>) -> Option<Errno> {
    if message.kind != NLMSG_ERROR {
        return None;
    }
    let code = u32_at(message.body, 0)? as i32;
    (code != 0).then(|| Errno::from_raw(-code))
}
