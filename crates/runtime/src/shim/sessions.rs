//! The sessions of a task: processes that somebody talks with, each as long-lived as the connection that asked for it.
//!
//! The shim hands their terminals and pipes over and keeps none, so that they end with whoever has them.

use crate::container::Opened;
use crate::protocol::{MAX_LINE, Refusal, SessionOrder, SessionReport, SessionRequest};
use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nix::unistd::Pid;
use std::fs;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

/// Sessions at a time, and callers that have not yet said what they want.
const MOST: usize = 64;

pub(super) struct Sessions {
    listener: UnixListener,
    callers: Vec<Line>,
    open: Vec<Session>,
}

struct Session {
    pid: Pid,
    /// None once the other end is gone and the process was told to end.
    line: Option<Line>,
}

/// A connection, read by lines.
pub(super) struct Line {
    stream: UnixStream,
    heard: Vec<u8>,
    closed: bool,
}

impl Sessions {
    pub(super) fn listen(path: &Path) -> io::Result<Self> {
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, callers: Vec::new(), open: Vec::new() })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Adds what is to be waited for.
    pub(super) fn watch<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        fds.push(PollFd::new(self.listener.as_fd(), PollFlags::POLLIN));
        let lines = self.callers.iter().chain(self.open.iter().filter_map(|session| session.line.as_ref()));
        fds.extend(lines.map(|line| PollFd::new(line.stream.as_fd(), PollFlags::POLLIN)));
    }

    /// Passes signals on, ends what nobody holds any more, and gives the requests that have come.
    pub(super) fn asked(&mut self) -> Vec<(Line, SessionRequest)> {
        for session in &mut self.open {
            session.heed();
        }
        while let Ok((stream, _)) = self.listener.accept() {
            // One too many is closed, which tells it.
            if self.callers.len() + self.open.len() < MOST && stream.set_nonblocking(true).is_ok() {
                self.callers.push(Line { stream, heard: Vec::new(), closed: false });
            }
        }
        let mut asked = Vec::new();
        for mut caller in std::mem::take(&mut self.callers) {
            match caller.next::<SessionRequest>() {
                Some(request) => asked.push((caller, request)),
                None if caller.closed => {}
                None => self.callers.push(caller),
            }
        }
        asked
    }

    /// Hands over what was opened, or says why nothing was.
    pub(super) fn answer(&mut self, mut caller: Line, opened: Result<Opened, Refusal>) {
        match opened {
            Ok(opened) => {
                let ends: Vec<_> = opened.ends.iter().map(AsRawFd::as_raw_fd).collect();
                let _ = caller.say(&Ok::<(), Refusal>(()), &ends);
                self.open.push(Session { pid: opened.pid, line: Some(caller) });
            }
            Err(refusal) => drop(caller.say(&Err::<(), _>(refusal), &[])),
        }
    }

    /// A process has ended, which may have been a session's.
    pub(super) fn ended(&mut self, pid: Pid, code: i32) {
        let Some(at) = self.open.iter().position(|session| session.pid == pid) else { return };
        if let Some(mut line) = self.open.swap_remove(at).line {
            let _ = line.say(&SessionReport::Ended { code }, &[]);
        }
    }
}

impl Session {
    fn heed(&mut self) {
        let Some(line) = &mut self.line else { return };
        while let Some(SessionOrder::Signal(signal)) = line.next() {
            if let Ok(signal) = Signal::try_from(signal) {
                let _ = kill(self.pid, signal);
            }
        }
        if line.closed {
            self.line = None;
            self.hang_up();
        }
    }

    /// The process is killed, and what it has started hears that the line is dead, as under any terminal: what ignores that,
    /// goes on in the container.
    fn hang_up(&self) {
        for pid in session_of(self.pid) {
            let _ = kill(pid, Signal::SIGHUP);
            // What is stopped could not heed it.
            let _ = kill(pid, Signal::SIGCONT);
        }
        let _ = kill(self.pid, Signal::SIGKILL);
    }
}

/// The processes of the session that `leader` began, without it.
fn session_of(leader: Pid) -> Vec<Pid> {
    let Ok(all) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = all.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let belongs = |pid: &i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The name, in parentheses, may have anything in it; then come state, parent, group, session.
        let session = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(3)?.parse::<i32>().ok());
        session == Some(leader.as_raw())
    };
    pids.filter(|pid| *pid != leader.as_raw()).filter(belongs).map(Pid::from_raw).collect()
}

impl Line {
    /// The next thing that was said. What makes no sense closes the line.
    fn next<T: serde::de::DeserializeOwned>(&mut self) -> Option<T> {
        self.fill();
        let end = self.heard.iter().position(|byte| *byte == b'\n')?;
        let line: Vec<u8> = self.heard.drain(..=end).collect();
        let said = serde_json::from_slice(&line).ok();
        self.closed |= said.is_none();
        said
    }

    fn fill(&mut self) {
        let mut chunk = [0; 4096];
        while !self.closed && self.heard.len() <= MAX_LINE {
            match self.stream.read(&mut chunk) {
                Ok(0) => self.closed = true,
                Ok(n) => self.heard.extend_from_slice(&chunk[..n]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.closed = true,
            }
        }
        self.closed |= self.heard.len() > MAX_LINE;
    }

    /// Says a line, with descriptors at its first byte. Lines are few and short: one that finds no room is for nobody.
    fn say<T: serde::Serialize>(&mut self, what: &T, ends: &[i32]) -> io::Result<()> {
        let mut line = serde_json::to_vec(what)?;
        line.push(b'\n');
        if ends.is_empty() {
            return self.stream.write_all(&line);
        }
        let rights = [ControlMessage::ScmRights(ends)];
        let flags = MsgFlags::MSG_NOSIGNAL;
        let sent = sendmsg::<()>(self.stream.as_raw_fd(), &[IoSlice::new(&line)], &rights, flags, None)?;
        self.stream.write_all(&line[sent..])
    }
}
