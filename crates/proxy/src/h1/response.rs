//! A target's answer head, parsed strictly. Pure.

use super::body::Framing;
use super::request::content_length;
use std::mem::MaybeUninit;
use std::ops::Range;

/// User guide, "Quotas": an answer's headers.
const MAX_HEAD: usize = 32 * 1024;
const MAX_HEADERS: usize = 256;

/// An answer's head. Kept by its connection and refilled.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    bytes: Vec<u8>,
    reason: Range<usize>,
    headers: Vec<(Range<usize>, Range<usize>)>,
    /// The status.
    pub(crate) status: u16,
    /// The target lets the connection be used again.
    pub(crate) keep_alive: bool,
    /// Where the body ends, if there may be one.
    framing: Option<Framing>,
}

/// The answer is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadAnswer;

impl Answer {
    /// Parses the head at the beginning of `input`: how long it is, or `None` if more must be read.
    pub(crate) fn parse(&mut self, input: &[u8]) -> Result<Option<usize>, BadAnswer> {
        let mut fields = [const { MaybeUninit::uninit() }; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut []);
        let parser = httparse::ParserConfig::default();
        let length = match parser.parse_response_with_uninit_headers(&mut response, input, &mut fields) {
            Ok(httparse::Status::Complete(length)) if length <= MAX_HEAD => length,
            Ok(httparse::Status::Partial) if input.len() <= MAX_HEAD => return Ok(None),
            _ => return Err(BadAnswer),
        };
        let base = input.as_ptr() as usize;
        let span = |part: &[u8]| {
            let start = (part.as_ptr() as usize).wrapping_sub(base);
            start..start + part.len()
        };
        self.bytes.clear();
        self.bytes.extend_from_slice(&input[..length]);
        self.status = response.code.ok_or(BadAnswer)?;
        let reason = response.reason.unwrap_or_default();
        // an empty reason may be a constant of the parser's
        self.reason = if reason.is_empty() { 0..0 } else { span(reason.as_bytes()) };
        self.headers.clear();
        self.headers.extend(response.headers.iter().map(|header| {
            (span(header.name.as_bytes()), if header.value.is_empty() { 0..0 } else { span(header.value) })
        }));
        if !(100..=599).contains(&self.status) {
            return Err(BadAnswer);
        }
        self.understand(response.version == Some(1))?;
        Ok(Some(length))
    }

    fn understand(&mut self, is_11: bool) -> Result<(), BadAnswer> {
        let (mut length, mut chunked, mut close, mut keep) = (None, false, false, false);
        for (name, value) in &self.headers {
            let (name, text) = (&self.bytes[name.clone()], &self.bytes[value.clone()]);
            match name.len() {
                14 if name.eq_ignore_ascii_case(b"content-length") => {
                    let this = content_length(text).ok_or(BadAnswer)?;
                    if length.is_some_and(|other| other != this) {
                        return Err(BadAnswer);
                    }
                    length = Some(this);
                }
                17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                    if chunked || !text.eq_ignore_ascii_case(b"chunked") {
                        return Err(BadAnswer);
                    }
                    chunked = true;
                }
                10 if name.eq_ignore_ascii_case(b"connection") => {
                    for option in text.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                        close |= option.eq_ignore_ascii_case(b"close");
                        keep |= option.eq_ignore_ascii_case(b"keep-alive");
                    }
                }
                _ => {}
            }
        }
        if chunked && length.is_some() {
            return Err(BadAnswer);
        }
        self.framing = if chunked { Some(Framing::Chunked) } else { length.map(Framing::Length) };
        self.keep_alive = if is_11 { !close } else { keep && !close };
        Ok(())
    }

    /// Where the body ends, given the request's method.
    pub(crate) fn framing(&self, method: &str) -> Framing {
        if method == "HEAD" || self.status < 200 || matches!(self.status, 204 | 304) {
            return Framing::Length(0);
        }
        self.framing.unwrap_or(Framing::UntilEnd)
    }

    /// The length that the headers tell, which a HEAD's answer has without a body.
    pub(crate) fn told_length(&self) -> Option<u64> {
        match self.framing {
            Some(Framing::Length(length)) => Some(length),
            _ => None,
        }
    }

    /// The reason phrase.
    pub(crate) fn reason(&self) -> &[u8] {
        &self.bytes[self.reason.clone()]
    }

    /// Calls `take` with each header.
    pub(crate) fn each_header<'a>(&'a self, take: &mut dyn FnMut(&'a str, &'a [u8])) {
        for (name, value) in &self.headers {
            let name = std::str::from_utf8(&self.bytes[name.clone()]).unwrap_or_default();
            take(name, &self.bytes[value.clone()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Answer, BadAnswer> {
        let mut answer = Answer::default();
        answer.parse(text.as_bytes()).map(|_| answer)
    }

    #[test]
    fn bodies_end_where_the_rfc_says() {
        let answer = parse("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").unwrap();
        assert_eq!(answer.framing("GET"), Framing::Length(5));
        assert_eq!(answer.framing("HEAD"), Framing::Length(0));
        assert_eq!(answer.told_length(), Some(5));
        assert_eq!(answer.reason(), b"OK");
        let answer = parse("HTTP/1.0 200 \r\n\r\n").unwrap();
        assert_eq!(answer.framing("GET"), Framing::UntilEnd);
        assert!(!answer.keep_alive);
        assert_eq!(parse("HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n").unwrap().framing("GET"), Framing::Length(0));
    }

    #[test]
    fn an_ambiguous_answer_is_none() {
        for headers in [
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Content-Length: -5\r\n",
            "X : y\r\n",
            "X: y\r\n folded\r\n",
        ] {
            assert!(parse(&format!("HTTP/1.1 200 OK\r\n{headers}\r\n")).is_err(), "{headers:?}");
        }
        assert!(parse("HTTP/1.1 700 OK\r\n\r\n").is_err());
        assert!(parse("hello\r\n\r\n").is_err());
        let long = format!("HTTP/1.1 200 OK\r\n{}\r\n", format!("X: {}\r\n", "a".repeat(8000)).repeat(5));
        assert!(parse(&long).is_err(), "more than 32 K of headers");
    }

    proptest! {
        #[test]
        fn garbage_never_panics(input in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Answer::default().parse(&input);
        }
    }
}
