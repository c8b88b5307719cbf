//! What the command line asks of the server that runs: plain HTTP to the pages under `/_windtunnel/`.

use crate::daemon::Beacon;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::ControlFlow;
use std::time::Duration;

/// The page at `path`. With a body it is posted. `patience` is how long the answer may take.
pub(crate) fn ask(beacon: &Beacon, path: &str, body: Option<&Value>, patience: Duration) -> Result<Value, String> {
    let unreachable = |error: std::io::Error| format!("{} does not answer: {error}", beacon.endpoint);
    let (address, mut stream) = connect(beacon)?;
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

fn connect(beacon: &Beacon) -> Result<(SocketAddr, TcpStream), String> {
    let address: SocketAddr =
        beacon.endpoint.trim_start_matches("http://").parse().map_err(|_| "the server's address is unreadable")?;
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(2));
    Ok((address, stream.map_err(|error| format!("{} does not answer: {error}", beacon.endpoint))?))
}

/// The longest silence of a page that goes on: the server says something every second.
const SILENCE: Duration = Duration::from_secs(30);

/// Posts to the page at `path`, which goes on, and hands each of its lines that is not empty to `take` until that breaks
/// off. The end of the page is an error: the server has stopped.
pub(crate) fn follow(
    beacon: &Beacon,
    path: &str,
    body: &Value,
    mut take: impl FnMut(&str) -> ControlFlow<Result<(), String>>,
) -> Result<(), String> {
    let broken = |error: std::io::Error| format!("{} says no more: {error}", beacon.endpoint);
    let (address, mut stream) = connect(beacon)?;
    stream.set_read_timeout(Some(SILENCE)).map_err(broken)?;
    let body = body.to_string();
    // To HTTP/1.0 a page without an end comes as it is, and not in chunks.
    let request = format!(
        "POST {path} HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).map_err(broken)?;
    let mut lines = BufReader::new(stream).lines();
    let status = lines.next().unwrap_or_else(|| Ok(String::new())).map_err(broken)?;
    for line in lines.by_ref() {
        if line.map_err(broken)?.is_empty() {
            break;
        }
    }
    if status.split(' ').nth(1) != Some("200") {
        let text: Vec<String> = lines.map_while(Result::ok).collect();
        return Err(text.join("\n").trim().to_owned());
    }
    for line in lines {
        let line = line.map_err(broken)?;
        if !line.is_empty()
            && let ControlFlow::Break(outcome) = take(&line)
        {
            return outcome;
        }
    }
    Err("the server has stopped".to_owned())
}
