//! A client's request head, parsed strictly: what another parser might read differently is refused, so that nothing can be
//! smuggled past the rules. Pure; fuzzed through [`crate::fuzz`].

use super::body::Framing;
use routing::Headers;
use std::mem::MaybeUninit;
use std::ops::Range;

/// User guide, "Quotas": the request line, one header, and all of them together.
const MAX_LINE: usize = 16 * 1024;
const MAX_HEADER: usize = 16 * 1024;
const MAX_HEAD: usize = 64 * 1024;
const MAX_HEADERS: usize = 256;

/// A request head. Kept by its connection and refilled for each request.
#[derive(Debug, Default)]
pub(crate) struct Head {
    bytes: Vec<u8>,
    method: Range<usize>,
    target: Range<usize>,
    host: Range<usize>,
    headers: Vec<(Range<usize>, Range<usize>)>,
    /// Where the body ends.
    pub(crate) framing: Option<Framing>,
    /// HTTP/1.1 rather than 1.0.
    pub(crate) is_11: bool,
    /// The connection may carry another request.
    pub(crate) keep_alive: bool,
    /// The client asks for another protocol.
    pub(crate) upgrade: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub(crate) expects_continue: bool,
}

/// Why a request is refused: the status of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) u16);

const BAD: Refused = Refused(400);

impl Head {
    /// Parses the head at the beginning of `input`: how long it is, or `None` if more must be read.
    pub(crate) fn parse(&mut self, input: &[u8]) -> Result<Option<usize>, Refused> {
        let mut fields = [const { MaybeUninit::uninit() }; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut []);
        let length = match request.parse_with_uninit_headers(input, &mut fields) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return too_long(input).map_or(Ok(None), Err),
            Err(httparse::Error::Version) => return Err(unknown_version(input)),
            Err(_) => return Err(BAD),
        };
        // empty lines before a request are tolerated by the parser, and are no part of the head
        let lead = input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let raw = &input[..length];
        if length > MAX_HEAD {
            return Err(BAD);
        }
        if line_feeds_without_return(raw) {
            return Err(BAD);
        }
        let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
            return Err(BAD);
        };
        if lead + method.len() + target.len() + 12 > MAX_LINE {
            return Err(Refused(414));
        }
        let base = input.as_ptr() as usize;
        let span = |part: &[u8]| {
            let start = part.as_ptr() as usize - base;
            start..start + part.len()
        };
        self.bytes.clear();
        self.bytes.extend_from_slice(raw);
        self.method = span(method.as_bytes());
        self.target = span(target.as_bytes());
        self.is_11 = version == 1;
        self.headers.clear();
        for header in request.headers.iter() {
            if header.name.len() + header.value.len() > MAX_HEADER {
                return Err(BAD);
            }
            self.headers.push((span(header.name.as_bytes()), span(header.value)));
        }
        self.understand()?;
        Ok(Some(length))
    }

    fn understand(&mut self) -> Result<(), Refused> {
        let (mut length, mut chunked, mut host) = (None, false, None);
        let (mut close, mut keep, mut upgrade_header, mut upgrade_option) = (false, false, false, false);
        self.expects_continue = false;
        for (name, value) in &self.headers {
            let (name, text) = (&self.bytes[name.clone()], &self.bytes[value.clone()]);
            match name.len() {
                4 if name.eq_ignore_ascii_case(b"host") => {
                    if host.is_some() || !valid_host(text) {
                        return Err(BAD);
                    }
                    host = Some(value.clone());
                }
                14 if name.eq_ignore_ascii_case(b"content-length") => {
                    if length.is_some() {
                        return Err(BAD);
                    }
                    length = Some(content_length(text).ok_or(BAD)?);
                }
                17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                    if chunked {
                        return Err(BAD);
                    }
                    match text {
                        _ if text.eq_ignore_ascii_case(b"chunked") => chunked = true,
                        _ if text.eq_ignore_ascii_case(b"identity") => {}
                        // what hides "chunked" from one parser and shows it to another is an attack, not a coding
                        _ if text.to_ascii_lowercase().windows(7).any(|part| part == b"chunked") => return Err(BAD),
                        _ if text.is_empty() => return Err(BAD),
                        _ => return Err(Refused(501)),
                    }
                }
                10 if name.eq_ignore_ascii_case(b"connection") => {
                    for option in text.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                        close |= option.eq_ignore_ascii_case(b"close");
                        keep |= option.eq_ignore_ascii_case(b"keep-alive");
                        upgrade_option |= option.eq_ignore_ascii_case(b"upgrade");
                    }
                }
                7 if name.eq_ignore_ascii_case(b"upgrade") => upgrade_header = true,
                6 if name.eq_ignore_ascii_case(b"expect") => {
                    self.expects_continue |= text.eq_ignore_ascii_case(b"100-continue");
                }
                _ => {}
            }
        }
        if chunked && (length.is_some() || !self.is_11) {
            return Err(BAD);
        }
        if host.is_none() && self.is_11 {
            return Err(BAD);
        }
        self.framing = Some(if chunked { Framing::Chunked } else { Framing::Length(length.unwrap_or(0)) });
        self.keep_alive = if self.is_11 { !close } else { keep && !close };
        self.upgrade = self.is_11 && upgrade_header && upgrade_option;
        self.host = host.unwrap_or(0..0);
        self.split_target()
    }

    /// Finds path and query in each of a target's forms (RFC 9112, 3.2).
    fn split_target(&mut self) -> Result<(), Refused> {
        let target = &self.bytes[self.target.clone()];
        if target.iter().any(|byte| *byte <= b' ' || *byte == 0x7f || *byte == b'#') {
            return Err(BAD);
        }
        let asterisk = target == b"*" && self.method() == "OPTIONS";
        if !asterisk && !target.starts_with(b"/") {
            let scheme = [&b"http://"[..], b"https://"]
                .into_iter()
                .find(|scheme| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
                .ok_or(BAD)?
                .len();
            let rest = &target[scheme..];
            let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
            let start = self.target.start + scheme;
            // the target's authority goes before the Host header
            self.host = start..start + end;
            if end == 0 || !valid_host(&self.bytes[self.host.clone()]) {
                return Err(BAD);
            }
            self.target.start = start + end;
            if self.bytes.get(self.target.start) != Some(&b'/') {
                // "http://host" and "http://host?query" have the path "/"
                let query = self.bytes[self.target.clone()].to_vec();
                let at = self.bytes.len();
                self.bytes.push(b'/');
                self.bytes.extend_from_slice(&query);
                self.target = at..self.bytes.len();
            }
        }
        let target = &self.bytes[self.target.clone()];
        if std::str::from_utf8(target).is_err() {
            return Err(BAD);
        }
        Ok(())
    }

    /// The method.
    pub(crate) fn method(&self) -> &str {
        self.text(&self.method)
    }

    /// Path and query.
    pub(crate) fn target(&self) -> &str {
        self.text(&self.target)
    }

    /// The host with its port, as the client wrote it.
    pub(crate) fn host(&self) -> &str {
        self.text(&self.host)
    }

    /// Calls `take` with each header.
    pub(crate) fn each_header<'a>(&'a self, take: &mut dyn FnMut(&'a str, &'a [u8])) {
        for (name, value) in &self.headers {
            take(self.text(name), &self.bytes[value.clone()]);
        }
    }

    fn text(&self, range: &Range<usize>) -> &str {
        std::str::from_utf8(self.bytes.get(range.clone()).unwrap_or_default()).unwrap_or_default()
    }
}

impl Headers for Head {
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.headers.iter().any(|(key, value)| {
            self.bytes[key.clone()].eq_ignore_ascii_case(name.as_bytes()) && test(&self.bytes[value.clone()])
        })
    }
}

/// Why a head that is not complete can no longer become a good one.
fn too_long(input: &[u8]) -> Option<Refused> {
    if input.len() > MAX_HEAD {
        return Some(BAD);
    }
    let line = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    (line > MAX_LINE).then_some(Refused(414))
}

/// 505 for a well-formed line with another version, 400 for a line that has no version where one belongs.
fn unknown_version(input: &[u8]) -> Refused {
    let line = input.split(|byte| matches!(byte, b'\r' | b'\n')).find(|line| !line.is_empty()).unwrap_or_default();
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    match words[..] {
        [_, _, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Refused(505)
        }
        _ => BAD,
    }
}

fn line_feeds_without_return(raw: &[u8]) -> bool {
    let mut before = 0;
    raw.iter().any(|byte| {
        let lone = *byte == b'\n' && before != b'\r';
        before = *byte;
        lone
    })
}

/// Digits only: no sign, no list, no blank.
pub(crate) fn content_length(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 18 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn valid_host(text: &[u8]) -> bool {
    text.len() <= 255 + 6
        && text.iter().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'[' | b']' | b':' | b'%')
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Option<Head>, Refused> {
        let mut head = Head::default();
        head.parse(text.as_bytes()).map(|length| length.map(|_| head))
    }

    fn refused(text: &str) -> u16 {
        match parse(text) {
            Err(Refused(code)) => code,
            Ok(_) => 0,
        }
    }

    #[test]
    fn a_request_is_taken_apart() {
        let head = parse("GET /a/b?x=1 HTTP/1.1\r\nHost: Ex.com:80\r\nX-A:  v \r\n\r\n").unwrap().unwrap();
        assert_eq!((head.method(), head.target(), head.host()), ("GET", "/a/b?x=1", "Ex.com:80"));
        assert_eq!(head.framing, Some(Framing::Length(0)));
        assert!(head.keep_alive && head.any("x-a", &mut |value| value == b"v"));
    }

    #[test]
    fn an_absolute_target_names_the_host() {
        let head = parse("GET http://other?q HTTP/1.1\r\nHost: h\r\n\r\n").unwrap().unwrap();
        assert_eq!((head.host(), head.target()), ("other", "/?q"));
    }

    #[test]
    fn what_could_smuggle_a_request_is_refused() {
        let with = |headers: &str| refused(&format!("POST / HTTP/1.1\r\nHost: h\r\n{headers}\r\n"));
        for headers in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: 5, 5\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: -1\r\n",
            "Content-Length: 0x5\r\n",
            "Content-Length: \r\n",
            "Content-Length: 99999999999999999999\r\n",
            "Content-Length : 5\r\n",
            " Content-Length: 5\r\n",
            "X: a\r\n folded\r\n",
            "Transfer-Encoding: xchunked\r\n",
            "Transfer-Encoding: chunked, identity\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: \x0bchunked\r\n",
            "Transfer-Encoding : chunked\r\n",
            "Host: other\r\n",
            "X: a\nY: b\r\n",
            "X: a\rb\r\n",
            "X: a\0b\r\n",
            "X\0: a\r\n",
            ": empty\r\n",
        ] {
            assert_eq!(with(headers), 400, "{headers:?}");
        }
        assert_eq!(with("Transfer-Encoding: gzip\r\n"), 501);
        assert_eq!(refused("GET / HTTP/1.1\r\n\r\n"), 400, "a host is needed");
        assert_eq!(refused("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), 400);
        assert_eq!(refused("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"), 400);
        assert_eq!(refused("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), 505);
        assert_eq!(refused("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
        assert_eq!(refused("GET  / HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
        assert_eq!(refused("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
        assert_eq!(refused("GET / HTTP/1.1\nHost: a\n\n"), 400);
        assert_eq!(refused("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
    }

    #[test]
    fn the_quotas_hold() {
        let long = "a".repeat(16 * 1024);
        assert_eq!(refused(&format!("GET /{long} HTTP/1.1\r\nHost: h\r\n\r\n")), 414);
        assert_eq!(refused(&format!("GET /{long}")), 414, "a line without end");
        assert_eq!(refused(&format!("GET / HTTP/1.1\r\nHost: h\r\nX: {long}\r\n\r\n")), 400);
        let header = format!("X: {}\r\n", "a".repeat(10_000));
        assert_eq!(refused(&format!("GET / HTTP/1.1\r\nHost: h\r\n{}", header.repeat(7))), 400, "a head without end");
        assert_eq!(refused(&format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", header.repeat(6))), 0);
    }

    #[test]
    fn an_incomplete_head_waits() {
        assert!(parse("GET / HTTP/1.1\r\nHost: h\r\n").unwrap().is_none());
        assert!(parse("").unwrap().is_none());
    }

    proptest! {
        #[test]
        fn garbage_never_panics(input in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Head::default().parse(&input);
        }

        #[test]
        fn near_requests_never_panic(target in "[ -~]{0,30}", headers in "([A-Za-z:,\\- ;=0-9\t]{0,40}\r?\n){0,4}") {
            let mut head = Head::default();
            let text = format!("GET {target} HTTP/1.1\r\nHost: h\r\n{headers}\r\n");
            if let Ok(Some(length)) = head.parse(text.as_bytes()) {
                prop_assert!(length <= text.len());
                let _ = (head.method(), head.target(), head.host());
            }
        }
    }
}
