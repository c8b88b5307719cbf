//! A session as the daemon has it: the ends of a process's streams, and the line to the shim that started it.
//!
//! Whoever holds it calls [`Session::next`] in a loop, and may drop that call at any time. Input is buffered here without a limit:
//! [`Session::backlog`] says when to take no more of it. Output waits in the kernel until it is asked for.

use crate::protocol::{MAX_LINE, SessionOrder, SessionReport};
use crate::spec::TerminalSize;
use nix::errno::Errno;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use tokio::net::UnixStream;
use tokio::net::unix::pipe::{self, Receiver, Sender};

/// One read's most.
const CHUNK: usize = 4096;
/// More than a pipe or a terminal can hold: what is left of a process's output is not longer than this.
const HELD: usize = 128 << 10;
/// The character by which a terminal's user says that there is no more input.
const END_OF_INPUT: u8 = 4;

/// What happens in a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionEvent {
    /// The process has written this; in a terminal, or to its standard output.
    Output(Vec<u8>),
    /// The process has written this to its standard error, which it has without a terminal alone.
    Errors(Vec<u8>),
    /// The process has ended, and all that it wrote was told. The code is missing where its supervisor died with it.
    Ended(Option<i32>),
}

/// A process that is talked with. Dropping it kills the process.
#[derive(Debug)]
pub struct Session {
    terminal: bool,
    input: Option<Sender>,
    output: Stream,
    errors: Stream,
    /// Input that the process has not taken yet.
    pending: Vec<u8>,
    /// No more input comes.
    finishing: bool,
    line: UnixStream,
    heard: Vec<u8>,
    ended: Option<Option<i32>>,
}

/// A stream that the process writes, and how much of it may still be read after its end.
#[derive(Debug)]
struct Stream {
    receiver: Option<Receiver>,
    held: usize,
}

impl Session {
    /// The session with these ends: a terminal's one, or standard input, output and error.
    pub(crate) fn new(terminal: bool, ends: Vec<OwnedFd>, line: StdStream) -> io::Result<Self> {
        let line = UnixStream::from_std(line)?;
        let mut ends = ends.into_iter();
        let mut end = || ends.next().ok_or_else(|| io::Error::from(ErrorKind::InvalidData));
        let (input, output, errors) = if terminal {
            // A terminal is no pipe, but is read, written and waited for as one.
            let ours = end()?;
            rustix::fs::fcntl_setfl(&ours, rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NONBLOCK)?;
            (Sender::from_owned_fd_unchecked(ours.try_clone()?)?, Receiver::from_owned_fd_unchecked(ours)?, None)
        } else {
            (Sender::from_owned_fd(end()?)?, Receiver::from_owned_fd(end()?)?, Some(Receiver::from_owned_fd(end()?)?))
        };
        Ok(Self {
            terminal,
            input: Some(input),
            output: Stream { receiver: Some(output), held: HELD },
            errors: Stream { receiver: errors, held: HELD },
            pending: Vec::new(),
            finishing: false,
            line,
            heard: Vec::new(),
            ended: None,
        })
    }

    /// The session of a process that has printed this and ended, for [`crate::Sim`].
    pub(crate) fn played(printed: &[u8], code: i32) -> io::Result<Self> {
        let (input, _) = pipe::pipe()?;
        let (feed, output) = pipe::pipe()?;
        let (shim, line) = UnixStream::pair()?;
        feed.try_write(printed)?;
        let mut report = serde_json::to_vec(&SessionReport::Ended { code })?;
        report.push(b'\n');
        shim.try_write(&report)?;
        Ok(Self {
            terminal: false,
            input: Some(input),
            output: Stream { receiver: Some(output), held: HELD },
            errors: Stream { receiver: None, held: 0 },
            pending: Vec::new(),
            finishing: false,
            line,
            heard: Vec::new(),
            ended: None,
        })
    }

    /// Input for the process. It is taken there while [`Session::next`] is waited for.
    pub fn write(&mut self, bytes: &[u8]) {
        if self.input.is_some() && !self.finishing {
            self.pending.extend_from_slice(bytes);
        }
    }

    /// No more input will come: a pipe is closed behind what was written, in a terminal the user says so.
    pub fn finish_input(&mut self) {
        if self.terminal {
            self.write(&[END_OF_INPUT]);
        }
        self.finishing = true;
        self.close_finished();
    }

    /// How much input the process has not taken yet.
    pub fn backlog(&self) -> usize {
        self.pending.len()
    }

    /// Gives the terminal another size, of which the process is told by SIGWINCH. Without a terminal nothing happens.
    pub fn resize(&self, size: TerminalSize) {
        if let Some(output) = self.output.receiver.as_ref().filter(|_| self.terminal) {
            // A terminal whose other end is gone has no size.
            let _ = rustix::termios::tcsetwinsize(output.as_fd(), size.winsize());
        }
    }

    /// Sends the process a signal. One that has ended hears nothing.
    pub fn signal(&self, signal: i32) {
        if let Ok(mut line) = serde_json::to_vec(&SessionOrder::Signal(signal)) {
            line.push(b'\n');
            let _ = self.line.try_write(&line);
        }
    }

    /// What happens next. Without `listen` output waits, and with it the end.
    pub async fn next(&mut self, listen: bool) -> SessionEvent {
        loop {
            if let Some(code) = self.ended {
                if !listen {
                    return std::future::pending().await;
                }
                if let Some(rest) = self.output.rest() {
                    return SessionEvent::Output(rest);
                }
                if let Some(rest) = self.errors.rest() {
                    return SessionEvent::Errors(rest);
                }
                return SessionEvent::Ended(code);
            }
            tokio::select! {
                bytes = self.output.read(), if listen && self.output.receiver.is_some() => {
                    if let Some(bytes) = bytes {
                        return SessionEvent::Output(bytes);
                    }
                }
                bytes = self.errors.read(), if listen && self.errors.receiver.is_some() => {
                    if let Some(bytes) = bytes {
                        return SessionEvent::Errors(bytes);
                    }
                }
                () = feed(&mut self.input, &mut self.pending), if !self.pending.is_empty() && self.input.is_some() => {
                    self.close_finished();
                }
                code = hear(&self.line, &mut self.heard) => self.ended = Some(code),
            }
        }
    }

    fn close_finished(&mut self) {
        if self.finishing && self.pending.is_empty() && !self.terminal {
            self.input = None;
        }
    }
}

impl Stream {
    /// What was written next; none once nobody can write any more.
    async fn read(&mut self) -> Option<Vec<u8>> {
        let receiver = self.receiver.as_ref()?;
        let mut buffer = vec![0; CHUNK];
        loop {
            let read = match receiver.readable().await {
                Ok(()) => receiver.try_read(&mut buffer),
                Err(error) => Err(error),
            };
            match read {
                Ok(0) => break,
                Ok(length) => {
                    buffer.truncate(length);
                    return Some(buffer);
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                // EIO: nobody has the terminal's other end open.
                Err(_) => break,
            }
        }
        self.receiver = None;
        None
    }

    /// What was written before the end of the process and not read yet. Others may still have the stream and go on.
    fn rest(&mut self) -> Option<Vec<u8>> {
        let receiver = self.receiver.as_ref()?;
        let mut buffer = vec![0; CHUNK.min(self.held)];
        // The kernel is asked itself: the runtime may not have heard yet that there is something.
        let read = loop {
            match nix::unistd::read(receiver, &mut buffer) {
                Err(Errno::EINTR) => {}
                Ok(length) => break length,
                Err(_) => break 0,
            }
        };
        if read == 0 {
            self.receiver = None;
            return None;
        }
        self.held -= read;
        buffer.truncate(read);
        Some(buffer)
    }
}

/// Hands on as much input as the process takes at once.
async fn feed(input: &mut Option<Sender>, pending: &mut Vec<u8>) {
    let Some(sender) = input else { return };
    let written = match sender.writable().await {
        Ok(()) => sender.try_write(pending),
        Err(error) => Err(error),
    };
    match written {
        Ok(length) => drop(pending.drain(..length)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
        // The process reads no more.
        Err(_) => {
            *input = None;
            pending.clear();
        }
    }
}

/// The exit code, once the shim tells it or is gone.
async fn hear(line: &UnixStream, heard: &mut Vec<u8>) -> Option<i32> {
    let mut chunk = [0; 256];
    loop {
        if let Some(end) = heard.iter().position(|byte| *byte == b'\n') {
            let SessionReport::Ended { code } = serde_json::from_slice(&heard[..end]).ok()?;
            return Some(code);
        }
        line.readable().await.ok()?;
        match line.try_read(&mut chunk) {
            Ok(0) => return None,
            Ok(length) if heard.len() < MAX_LINE => heard.extend_from_slice(&chunk[..length]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Ok(_) | Err(_) => return None,
        }
    }
}
