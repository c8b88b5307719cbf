//! HTTP/1.1 by hand, so that a story sees each byte and each way in which a request can fail.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a peer may be silent.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection that may carry several requests.
pub(crate) struct Connection {
    reader: BufReader<TcpStream>,
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether the connection may carry another request.
    fn keeps_alive(&self) -> bool {
        !self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { reader: BufReader::new(stream) })
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    /// Says that nothing more will be sent.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.reader.get_mut().shutdown(std::net::Shutdown::Write)
    }

    /// Reads one answer; `None` if the peer has closed the connection instead of beginning one.
    pub(crate) fn receive(&mut self) -> io::Result<Option<Answer>> {
        let Some(status_line) = self.line()? else { return Ok(None) };
        let status = status_line.split(' ').nth(1).and_then(|text| text.parse().ok());
        let status = status.ok_or_else(|| broken(&format!("not a status line: {status_line:?}")))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?.ok_or_else(|| broken("the answer ended in its head"))?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        let mut answer = Answer { status, headers, body: Vec::new() };
        if let Some(length) = answer.header("content-length") {
            let length = length.parse().map_err(|_| broken("an unreadable length"))?;
            answer.body.resize(length, 0);
            self.reader.read_exact(&mut answer.body)?;
        } else if answer.header("transfer-encoding").is_some() {
            self.chunks(&mut answer.body)?;
        } else if status != 204 && status != 304 {
            self.reader.read_to_end(&mut answer.body)?;
        }
        Ok(Some(answer))
    }

    fn chunks(&mut self, body: &mut Vec<u8>) -> io::Result<()> {
        loop {
            let size = self.line()?.ok_or_else(|| broken("the answer ended between chunks"))?;
            let size = usize::from_str_radix(&size, 16).map_err(|_| broken("an unreadable chunk"))?;
            let from = body.len();
            body.resize(from + size, 0);
            self.reader.read_exact(&mut body[from..])?;
            self.line()?;
            if size == 0 {
                return Ok(());
            }
        }
    }

    fn line(&mut self) -> io::Result<Option<String>> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        Ok(Some(line.trim_end_matches(['\r', '\n']).to_owned()))
    }
}

fn broken(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// One request with a body on a connection of its own.
pub(crate) fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Answer> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        let _ = write!(head, "host: {address}\r\n");
    }
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    head.push_str("\r\n");
    let mut connection = Connection::open(address)?;
    connection.send(&[head.as_bytes(), body].concat())?;
    connection.receive()?.ok_or_else(|| broken("the connection was closed without an answer"))
}

/// A client of one page that keeps its connection as browsers do: what the server closes between two requests is opened
/// again without ado, and counted.
pub(crate) struct KeepAlive {
    address: SocketAddr,
    host: String,
    connection: Option<Connection>,
    pub(crate) opened: u64,
}

impl KeepAlive {
    pub(crate) fn new(address: SocketAddr, host: &str) -> Self {
        Self { address, host: host.to_owned(), connection: None, opened: 0 }
    }

    pub(crate) fn get(&mut self, path: &str) -> io::Result<Answer> {
        let head = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.host);
        if let Some(mut connection) = self.connection.take()
            && connection.send(head.as_bytes()).is_ok()
            && let Some(answer) = connection.receive()?
        {
            return Ok(self.keep(connection, answer));
        }
        self.opened += 1;
        let mut connection = Connection::open(self.address)?;
        connection.send(head.as_bytes())?;
        let answer = connection.receive()?.ok_or_else(|| broken("the connection was closed without an answer"))?;
        Ok(self.keep(connection, answer))
    }

    fn keep(&mut self, connection: Connection, answer: Answer) -> Answer {
        self.connection = answer.keeps_alive().then_some(connection);
        answer
    }
}
