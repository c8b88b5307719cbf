//! The canonical request: one spelling for all spellings of the same request.

use super::{Parts, UNSIGNED_PAYLOAD};
use percent_encoding::percent_decode_str;
use std::fmt::Write;

/// How a request is canonicalised.
pub(super) struct Style {
    /// The path is normalised and encoded once more; every service but S3.
    pub(super) encode_path: bool,
    /// The signature stands in the query string and is left out of it.
    pub(super) presigned: bool,
}

impl Style {
    /// The style of `service`.
    pub(super) fn of(service: &str, presigned: bool) -> Self {
        Self { encode_path: service != "s3", presigned }
    }
}

/// The canonical request over `signed_headers`, which are lower case and sorted. None if one of them is absent.
pub(super) fn request(parts: &Parts<'_>, style: &Style, signed_headers: &[String], payload: &str) -> Option<String> {
    let mut out = String::with_capacity(512);
    out.push_str(parts.method);
    out.push('\n');
    path(&mut out, parts.path, style.encode_path);
    out.push('\n');
    query(&mut out, parts.query, style.presigned);
    out.push('\n');
    for name in signed_headers {
        let mut values = parts.headers.get_all(name.as_str()).iter().peekable();
        values.peek()?;
        out.push_str(name);
        for (at, value) in values.enumerate() {
            out.push(if at == 0 { ':' } else { ',' });
            let mut words = value.to_str().ok()?.split_ascii_whitespace();
            out.push_str(words.next().unwrap_or_default());
            for word in words {
                out.push(' ');
                out.push_str(word);
            }
        }
        out.push('\n');
    }
    out.push('\n');
    out.push_str(&signed_headers.join(";"));
    out.push('\n');
    out.push_str(payload);
    Some(out)
}

/// What stands for the body: the hash that the client declares, unless it is not that of the body, or the body's.
/// None if what is declared is not true.
pub(super) fn payload<'a>(parts: &Parts<'a>, style: &Style) -> Option<&'a str> {
    match parts.header("x-amz-content-sha256") {
        Some(UNSIGNED_PAYLOAD) => Some(UNSIGNED_PAYLOAD),
        Some(declared) => (declared == parts.payload_hash).then_some(declared),
        None if style.presigned && !style.encode_path => Some(UNSIGNED_PAYLOAD),
        None => Some(parts.payload_hash),
    }
}

fn path(out: &mut String, path: &str, encode: bool) {
    if !encode {
        out.push_str(if path.is_empty() { "/" } else { path });
        return;
    }
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    for segment in &segments {
        out.push('/');
        escape(out, segment.as_bytes());
    }
    if segments.is_empty() || path.ends_with('/') {
        out.push('/');
    }
}

fn query(out: &mut String, query: &str, presigned: bool) {
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(|(name, _)| !(presigned && *name == "X-Amz-Signature"))
        .map(|(name, value)| (again(name), again(value)))
        .collect();
    pairs.sort_unstable();
    for (at, (name, value)) in pairs.iter().enumerate() {
        let separator = if at == 0 { "" } else { "&" };
        let _ = write!(out, "{separator}{name}={value}");
    }
}

/// Decoded and encoded in the canonical spelling.
fn again(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let bytes: Vec<u8> = percent_decode_str(text).collect();
    escape(&mut out, &bytes);
    out
}

/// Percent-encodes all but RFC 3986's unreserved characters.
pub(super) fn escape(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(*byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}
