//! Opening a session: the daemon asks the task's shim and is handed the ends of the process's streams.

use super::blocking;
use crate::protocol::{MAX_LINE, Refusal, SessionRequest};
use crate::sys;
use crate::{Session, SessionSpec};
use std::io::{self, ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// Starting a process takes milliseconds; a shim that is silent for this long will not answer.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) async fn open(
    socket: PathBuf,
    container: String,
    spec: SessionSpec,
) -> io::Result<Result<Session, Refusal>> {
    let terminal = spec.terminal.is_some();
    let asked = blocking(move || {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut line = serde_json::to_vec(&SessionRequest { container, spec })?;
        line.push(b'\n');
        stream.write_all(&line)?;
        let (answer, ends) = answer(&stream)?;
        stream.set_nonblocking(true)?;
        Ok((answer, ends, stream))
    });
    let (answer, ends, stream) = asked.await?;
    match answer {
        Ok(()) => Session::new(terminal, ends, stream).map(Ok),
        Err(refusal) => Ok(Err(refusal)),
    }
}

/// The first line, and the descriptors that come with it.
fn answer(stream: &UnixStream) -> io::Result<(Result<(), Refusal>, Vec<OwnedFd>)> {
    let (mut heard, mut ends) = (Vec::new(), Vec::new());
    // Byte by byte: the process may have ended already, and the report of that, which follows, is for the session.
    let mut byte = [0];
    while heard.len() < MAX_LINE {
        let (length, mut more) = match sys::receive(stream, &mut byte) {
            Ok(received) => received,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        ends.append(&mut more);
        if length == 0 {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, "the task has ended, or has too many sessions"));
        }
        if byte == *b"\n" {
            return Ok((serde_json::from_slice(&heard)?, ends));
        }
        heard.extend_from_slice(&byte);
    }
    Err(ErrorKind::InvalidData.into())
}
