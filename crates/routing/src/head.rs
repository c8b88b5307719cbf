//! What of a request its rules look at.

use crate::config::Protocol;
use std::net::IpAddr;

/// A request before its body, borrowed from whichever parser read it.
#[derive(Clone, Copy)]
pub struct RequestHead<'a> {
    /// The method, as sent.
    pub method: &'a str,
    /// How the client spoke.
    pub protocol: Protocol,
    /// The host without its port; any case.
    pub host: &'a str,
    /// The listener's port.
    pub port: u16,
    /// The path without the query.
    pub path: &'a str,
    /// The query without its question mark.
    pub query: Option<&'a str>,
    /// The other end of the connection.
    pub source: IpAddr,
    /// The headers.
    pub headers: &'a dyn Headers,
}

/// Access to a request's headers.
pub trait Headers {
    /// Whether `test` holds for some value of the header `name` (any case), tried in their order.
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool;
}

impl Headers for [(&str, &str)] {
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name)).any(|(_, value)| test(value.as_bytes()))
    }
}

impl<const N: usize> Headers for [(&str, &str); N] {
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.as_slice().any(name, test)
    }
}

/// `host` without the port that may follow it; the brackets of an IPv6 address stay.
pub fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if port.bytes().all(|b| b.is_ascii_digit()) && (!name.contains(':') || name.ends_with(']')) =>
        {
            name
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::without_port;

    #[test]
    fn a_port_is_taken_off_and_nothing_else() {
        for (given, expected) in [
            ("a.b", "a.b"),
            ("a.b:80", "a.b"),
            ("a.b:", "a.b"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("::1", "::1"),
            ("", ""),
        ] {
            assert_eq!(without_port(given), expected);
        }
    }
}
