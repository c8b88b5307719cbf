//! The pure parsers for the fuzzer, and for nobody else: what they make of bytes, in plain types.

use crate::forwarded::{Body, Hop, Unsendable, write_head};
use crate::h1::body::{BadBody, Decoder, Framing, Piece};
use crate::h1::request::{Head, Refused};
use crate::h1::response::Answer;
use routing::config::{Attributes, Protocol};
use std::net::{Ipv4Addr, SocketAddr};

/// A request's head as a listener on port 80 understands it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// How many bytes it takes.
    pub length: usize,
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The host with its port.
    pub host: String,
    /// The length of its body; none if that is chunked.
    pub body: Option<u64>,
    /// Its headers.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The client asks for another protocol.
    pub upgrade: bool,
    /// The head that the target gets, or the status of the refusal. Only its trace identifier is new each time.
    pub forwarded: Result<Vec<u8>, u16>,
}

/// What the head at the beginning of `input` says; none if it is not whole, the answer's status if it is refused.
pub fn request(input: &[u8]) -> Result<Option<Request>, u16> {
    let mut head = Head::default();
    let Some(length) = head.parse(input).map_err(|Refused(status)| status)? else { return Ok(None) };
    let (body, onward) = match head.framing {
        Some(Framing::Length(length)) => (Some(length), Body::Length(length)),
        _ => (None, Body::Chunked),
    };
    let mut headers = Vec::new();
    head.each_header(&mut |name, value| headers.push((name.to_owned(), value.to_vec())));
    let attributes = Attributes::default();
    let client = SocketAddr::from((Ipv4Addr::LOCALHOST, 5000));
    let hop = Hop { attributes: &attributes, protocol: Protocol::Http, port: 80, client, tls: None };
    let mut out = Vec::new();
    let sent = write_head(&mut out, &head, onward, head.upgrade, &hop);
    Ok(Some(Request {
        length,
        method: head.method().to_owned(),
        target: head.target().to_owned(),
        host: head.host().to_owned(),
        body,
        headers,
        upgrade: head.upgrade,
        forwarded: sent.map(|()| out).map_err(|Unsendable(status)| status),
    }))
}

/// A body of `length` (chunked if there is none) that arrives `step` bytes at a time: its data, and how many bytes of
/// `input` it takes. None if it is broken or not whole.
pub fn body(length: Option<u64>, input: &[u8], step: usize) -> Option<(Vec<u8>, usize)> {
    let mut decoder = Decoder::new(length.map_or(Framing::Chunked, Framing::Length));
    let (mut data, mut at, mut arrived) = (Vec::new(), 0, 0);
    loop {
        let piece: Result<Piece, BadBody> = decoder.next(&input[at..arrived]);
        match piece.ok()? {
            Piece::Data { skip, length } => {
                data.extend_from_slice(&input[at + skip..at + skip + length]);
                at += skip + length;
            }
            Piece::End { skip } => return Some((data, at + skip)),
            Piece::More { skip } if arrived < input.len() => {
                at += skip;
                arrived = input.len().min(arrived + step.max(1));
            }
            Piece::More { .. } => return None,
        }
    }
}

/// Where the head of a target's answer ends; none if it is not whole or no answer.
pub fn answer(input: &[u8]) -> Option<usize> {
    let mut answer = Answer::default();
    let length = answer.parse(input).ok()??;
    answer.framing("GET");
    answer.reason();
    answer.each_header(&mut |_, _| {});
    Some(length)
}
