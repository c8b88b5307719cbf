//! What the command line asks of the server that runs: plain HTTP to the pages under `/_windtunnel/`.

use crate::daemon::Beacon;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The page at `path`. With a body it is posted. `patience` is how long the answer may take.
pub(crate) fn ask(beacon: &Beacon, path: &str, body: Option<&Value>, patience: Duration) -> Result<Value, String> {
    let unreachable = |error: std::io::Error| format!("{} does not answer: {error}", beacon.endpoint);
    let address: SocketAddr =
        beacon.endpoint.trim_start_matches("http://").parse().map_err(|_| "the server's address is unreadable")?;
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2)).map_err(unreachable)?;
    stream.set_read_timeout(Some(patience)).map_err(unreachable)?;
    let (method, body) = body.map_or(("GET", String::new()), |body| ("POST", body.to_string()));
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).map_err(unreachable)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(unreachable)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    if head.split(' ').nth(1) == Some("200") {
        serde_json::from_str(body).map_err(|error| format!("{} answers something else: {error}", beacon.endpoint))
    } else {
        Err(body.trim().to_owned())
    }
}
