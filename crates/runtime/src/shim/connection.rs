//! A daemon at the other end of a socket. It may be slow or dead; the shim never waits for it.

use crate::protocol::{MAX_LINE, Report, Request};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

/// Reports that a daemon has not taken yet; beyond this it counts as dead and may connect anew.
const MAX_BACKLOG: usize = 4 << 20;

pub(super) struct Connection {
    stream: UnixStream,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    closed: bool,
}

impl Connection {
    pub(super) fn new(stream: UnixStream) -> Self {
        let closed = stream.set_nonblocking(true).is_err();
        Self { stream, incoming: Vec::new(), outgoing: Vec::new(), closed }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Whether to wake when there is room.
    pub(super) fn has_backlog(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether the other end was gone when it was last listened to.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Asks the socket whether the other end is still there. What it has said stays to be read.
    pub(super) fn is_gone(&mut self) -> bool {
        self.fill();
        self.closed
    }

    pub(super) fn send(&mut self, report: &Report) {
        if self.closed {
            return;
        }
        let Ok(line) = serde_json::to_vec(report) else { return };
        self.outgoing.extend_from_slice(&line);
        self.outgoing.push(b'\n');
        self.flush();
        self.closed |= self.outgoing.len() > MAX_BACKLOG;
    }

    pub(super) fn flush(&mut self) {
        while !self.outgoing.is_empty() && !self.closed {
            match self.stream.write(&self.outgoing) {
                Ok(0) => self.closed = true,
                Ok(n) => drop(self.outgoing.drain(..n)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.closed = true,
            }
        }
    }

    /// What has been asked since the last call.
    pub(super) fn requests(&mut self) -> Vec<Request> {
        self.fill();
        let mut requests = Vec::new();
        while let Some(end) = self.incoming.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.incoming.drain(..=end).collect();
            match serde_json::from_slice(&line) {
                Ok(request) => requests.push(request),
                Err(_) => self.closed = true,
            }
        }
        self.closed |= self.incoming.len() > MAX_LINE;
        requests
    }

    fn fill(&mut self) {
        let mut chunk = [0; 4096];
        while !self.closed && self.incoming.len() <= MAX_LINE {
            match self.stream.read(&mut chunk) {
                Ok(0) => self.closed = true,
                Ok(n) => self.incoming.extend_from_slice(&chunk[..n]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.closed = true,
            }
        }
    }
}
