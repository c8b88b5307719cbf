//! A request's head as the target gets it: hop-by-hop headers taken off, the load balancer's added.

use crate::clock;
use routing::config::{Attributes, Protocol, XffMode};
use std::io::Write;
use std::net::{IpAddr, SocketAddr};

/// More addresses than this in X-Forwarded-For are answered with 463.
const MAX_FORWARDED: usize = 30;
/// A longer trace header is written anew.
const MAX_TRACE: usize = 7 * 1024;

/// A request of either version of HTTP.
pub(crate) trait Incoming {
    fn method(&self) -> &str;
    /// Path and query.
    fn target(&self) -> &str;
    /// The host with its port, as the client wrote it.
    fn host(&self) -> &str;
    fn each_header<'a>(&'a self, take: &mut dyn FnMut(&'a str, &'a [u8]));
}

/// The body that goes with the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    None,
    Length(u64),
    Chunked,
}

/// How a client is connected.
pub(crate) struct Hop<'a> {
    pub(crate) attributes: &'a Attributes,
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
    pub(crate) client: SocketAddr,
    /// Cipher suite and version, if the target is to be told.
    pub(crate) tls: Option<(&'a str, &'a str)>,
}

/// The request cannot be sent on: the status of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unsendable(pub(crate) u16);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Pass,
    Drop,
    ForwardedFor,
    Trace,
    Upgrade,
}

/// Adds the head that the target gets.
pub(crate) fn write_head(
    out: &mut Vec<u8>,
    request: &dyn Incoming,
    body: Body,
    upgrade: bool,
    hop: &Hop<'_>,
) -> Result<(), Unsendable> {
    for part in [request.method(), " ", request.target(), " HTTP/1.1\r\nHost: "] {
        out.extend_from_slice(part.as_bytes());
    }
    write_host(out, request.host(), hop);
    let (mut forwarded, mut addresses, mut trace): (Vec<u8>, usize, Option<&[u8]>) = (Vec::new(), 0, None);
    request.each_header(&mut |name, value| match fate(name) {
        Fate::Drop => {}
        Fate::Upgrade if !upgrade => {}
        Fate::ForwardedFor => {
            addresses += value.split(|byte| *byte == b',').count();
            if !forwarded.is_empty() {
                forwarded.extend_from_slice(b", ");
            }
            forwarded.extend_from_slice(value);
        }
        Fate::Trace => trace = Some(value),
        Fate::Pass if hop.attributes.drop_invalid_header_fields && !is_regular(name) => {}
        Fate::Pass | Fate::Upgrade => header(out, name, value),
    });
    if addresses > MAX_FORWARDED {
        return Err(Unsendable(463));
    }
    if upgrade {
        out.extend_from_slice(b"Connection: upgrade\r\n");
    }
    match body {
        Body::None => {}
        Body::Length(length) => {
            let _ = write!(out, "Content-Length: {length}\r\n");
        }
        Body::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
    }
    match hop.attributes.xff_mode {
        XffMode::Remove => {}
        XffMode::Preserve if forwarded.is_empty() => {}
        XffMode::Preserve => header(out, "X-Forwarded-For", &forwarded),
        XffMode::Append => {
            out.extend_from_slice(b"X-Forwarded-For: ");
            if !forwarded.is_empty() {
                out.extend_from_slice(&forwarded);
                out.extend_from_slice(b", ");
            }
            write_address(out, hop.client, hop.attributes.xff_client_port);
            out.extend_from_slice(b"\r\n");
        }
    }
    let _ = write!(out, "X-Forwarded-Proto: {}\r\nX-Forwarded-Port: {}\r\n", hop.protocol.scheme(), hop.port);
    if let Some((cipher, version)) = hop.tls {
        let _ = write!(out, "X-Amzn-Tls-Version: {version}\r\nX-Amzn-Tls-Cipher-Suite: {cipher}\r\n");
    }
    out.extend_from_slice(b"X-Amzn-Trace-Id: ");
    write_trace(out, trace);
    out.extend_from_slice(b"\r\n\r\n");
    Ok(())
}

fn header(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// What becomes of a client's header. Headers that `Connection` names are not taken off for that alone: a client must not be able to strip
/// what a target relies on.
fn fate(name: &str) -> Fate {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    match name.len() {
        2 if is("te") => Fate::Drop,
        4 if is("host") => Fate::Drop,
        7 if is("upgrade") => Fate::Upgrade,
        7 if is("trailer") => Fate::Drop,
        10 if is("connection") || is("keep-alive") => Fate::Drop,
        14 if is("content-length") || is("http2-settings") => Fate::Drop,
        15 if is("x-forwarded-for") => Fate::ForwardedFor,
        15 if is("x-amzn-trace-id") => Fate::Trace,
        16 if is("proxy-connection") || is("x-forwarded-port") => Fate::Drop,
        17 if is("transfer-encoding") || is("x-forwarded-proto") => Fate::Drop,
        18 if is("x-amzn-tls-version") => Fate::Drop,
        23 if is("x-amzn-tls-cipher-suite") => Fate::Drop,
        _ => Fate::Pass,
    }
}

/// Only letters, digits and hyphens: what `drop_invalid_header_fields` lets pass.
fn is_regular(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Unless the host is preserved, a listener's port that is not the usual one is added (user guide, "Host header preservation").
fn write_host(out: &mut Vec<u8>, host: &str, hop: &Hop<'_>) {
    out.extend_from_slice(host.as_bytes());
    let has_port = routing::head::without_port(host).len() != host.len();
    if !hop.attributes.preserve_host_header && !matches!(hop.port, 80 | 443) && !has_port && !host.is_empty() {
        let _ = write!(out, ":{}", hop.port);
    }
    out.extend_from_slice(b"\r\n");
}

fn write_address(out: &mut Vec<u8>, client: SocketAddr, with_port: bool) {
    let address = match client.ip() {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4),
        v4 @ IpAddr::V4(_) => v4,
    };
    let _ = match address {
        _ if !with_port => write!(out, "{address}"),
        IpAddr::V4(_) => write!(out, "{address}:{}", client.port()),
        IpAddr::V6(_) => write!(out, "[{address}]:{}", client.port()),
    };
}

/// User guide, "Request tracing": no header, a new Root; a Root, our Self before it; a Self, replaced by ours.
fn write_trace(out: &mut Vec<u8>, given: Option<&[u8]>) {
    let given = given
        .filter(|value| value.len() <= MAX_TRACE)
        .and_then(|value| std::str::from_utf8(value).ok())
        .filter(|value| value.split(';').any(|field| field.trim_start().starts_with("Root=")));
    let Some(given) = given else {
        out.extend_from_slice(b"Root=");
        write_trace_id(out);
        return;
    };
    out.extend_from_slice(b"Self=");
    write_trace_id(out);
    for field in given.split(';').map(str::trim).filter(|field| !field.is_empty() && !field.starts_with("Self=")) {
        out.push(b';');
        out.extend_from_slice(field.as_bytes());
    }
}

/// `1-<time>-<24 hex digits>`.
fn write_trace_id(out: &mut Vec<u8>) {
    out.extend_from_slice(b"1-");
    write_hex(out, clock::since_epoch().as_secs(), 8);
    out.push(b'-');
    write_hex(out, clock::random(), 12);
    write_hex(out, clock::random(), 12);
}

fn write_hex(out: &mut Vec<u8>, value: u64, digits: u32) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.extend((0..digits).rev().map(|at| HEX[(value >> (4 * at) & 15) as usize]));
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Get<'a>(&'a str, &'a [(&'a str, &'a str)]);

    impl Incoming for Get<'_> {
        fn method(&self) -> &'static str {
            "GET"
        }
        fn target(&self) -> &'static str {
            "/p?q"
        }
        fn host(&self) -> &str {
            self.0
        }
        fn each_header<'a>(&'a self, take: &mut dyn FnMut(&'a str, &'a [u8])) {
            self.1.iter().for_each(|(name, value)| take(name, value.as_bytes()));
        }
    }

    fn sent(attributes: &Attributes, host: &str, headers: &[(&str, &str)]) -> Result<String, Unsendable> {
        let hop = Hop {
            attributes,
            protocol: Protocol::Https,
            port: 8443,
            client: "192.0.2.1:5000".parse().unwrap(),
            tls: None,
        };
        let mut out = Vec::new();
        write_head(&mut out, &Get(host, headers), Body::None, false, &hop)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn hop_by_hop_headers_go_and_ours_come() {
        let text = sent(
            &Attributes::default(),
            "h",
            &[
                ("Connection", "close, x-secret"),
                ("Keep-Alive", "1"),
                ("X-Secret", "s"),
                ("Upgrade", "h2c"),
                ("x-forwarded-for", "1.1.1.1"),
                ("X-Forwarded-Proto", "spoofed"),
                ("Transfer-Encoding", "chunked"),
            ],
        )
        .unwrap();
        let (head, trace) = text.split_once("X-Amzn-Trace-Id: ").unwrap();
        assert_eq!(
            head,
            "GET /p?q HTTP/1.1\r\nHost: h:8443\r\nX-Secret: s\r\nX-Forwarded-For: 1.1.1.1, 192.0.2.1\r\n\
             X-Forwarded-Proto: https\r\nX-Forwarded-Port: 8443\r\n"
        );
        assert_eq!(trace.len(), "Root=1-67891233-abcdef012345678912345678\r\n\r\n".len());
    }

    #[test]
    fn forwarded_for_follows_its_mode() {
        let given = [("X-Forwarded-For", "1.1.1.1")];
        let with = |xff_mode, xff_client_port| Attributes { xff_mode, xff_client_port, ..Attributes::default() };
        let line = |attributes: &Attributes| {
            let text = sent(attributes, "h", &given).unwrap();
            text.lines().find_map(|line| line.strip_prefix("X-Forwarded-For: ")).map(str::to_owned)
        };
        assert_eq!(line(&with(XffMode::Append, true)).as_deref(), Some("1.1.1.1, 192.0.2.1:5000"));
        assert_eq!(line(&with(XffMode::Preserve, false)).as_deref(), Some("1.1.1.1"));
        assert_eq!(line(&with(XffMode::Remove, false)), None);
        let many = ["1.1.1.1"; 31].join(",");
        assert_eq!(sent(&Attributes::default(), "h", &[("X-Forwarded-For", &many)]), Err(Unsendable(463)));
    }

    #[test]
    fn a_trace_is_continued() {
        let trace = |given: &str| {
            let text = sent(&Attributes::default(), "h", &[("X-Amzn-Trace-Id", given)]).unwrap();
            text.lines().find_map(|line| line.strip_prefix("X-Amzn-Trace-Id: ")).unwrap().to_owned()
        };
        let continued = trace("Self=1-1-2;Root=1-67891233-abc;CalledFrom=app");
        assert!(
            continued.starts_with("Self=1-") && continued.ends_with(";Root=1-67891233-abc;CalledFrom=app"),
            "{continued}"
        );
        assert!(!continued.contains("1-1-2"), "an older Self stays: {continued}");
        assert!(trace(&format!("Root=1-2-3;X={}", "a".repeat(8000))).len() < 60);
    }

    #[test]
    fn the_host_is_kept_where_asked_or_complete() {
        let preserve = Attributes { preserve_host_header: true, ..Attributes::default() };
        assert!(sent(&preserve, "h", &[]).unwrap().contains("Host: h\r\n"));
        assert!(sent(&Attributes::default(), "h:99", &[]).unwrap().contains("Host: h:99\r\n"));
    }
}
