//! What is asked, as people write it.

use crate::Error;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The longest name of an end: an ARN has at most 2048 letters.
const LONGEST: usize = 2048;

/// Can this reach that?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Where packets start.
    pub from: String,
    /// Where they should arrive.
    pub to: String,
    /// The port, if one is named.
    pub port: Option<u16>,
    /// The protocol, if one is named.
    pub protocol: Option<Protocol>,
}

/// What packets are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// A new connection.
    Tcp,
    /// A datagram.
    Udp,
    /// A ping.
    Icmp,
}

impl Question {
    /// The question in these words: `from`, `to[:port]` and perhaps a protocol. An IPv6 address with a port stands in
    /// brackets.
    pub fn parse(from: &str, to: &str, protocol: Option<&str>) -> Result<Self, Error> {
        let unfit = |text: String| Err(Error::Unfit(text));
        let (name, port) = match to.rsplit_once(':') {
            // The colons of an address are its own.
            _ if to.parse::<IpAddr>().is_ok() => (to, None),
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => match port.parse::<u16>() {
                Ok(port @ 1..) => (name, Some(port)),
                _ => return unfit(format!("a port is a number from 1 to 65535, not {port:?}")),
            },
            _ => (to, None),
        };
        for (which, text) in [("start", from), ("end", name)] {
            if text.is_empty() || text.len() > LONGEST || text.chars().any(char::is_control) {
                return unfit(format!(
                    "name the {which} of the path: a task, a service, a load balancer, an eni or an IP"
                ));
            }
        }
        let protocol = match protocol {
            None => None,
            Some("tcp") => Some(Protocol::Tcp),
            Some("udp") => Some(Protocol::Udp),
            Some("icmp" | "ping") => Some(Protocol::Icmp),
            Some(other) => return unfit(format!("a protocol is tcp, udp or icmp, not {other:?}")),
        };
        if protocol == Some(Protocol::Icmp) && port.is_some() {
            return unfit("ICMP has no ports: leave the port out, or choose tcp or udp".to_owned());
        }
        Ok(Self { from: from.to_owned(), to: name.to_owned(), port, protocol })
    }
}

impl Protocol {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_follows_the_last_colon_and_arns_have_colons_too() {
        let asked = |to| Question::parse("web", to, None).map(|question| (question.to, question.port));
        assert_eq!(asked("api:8080"), Ok(("api".to_owned(), Some(8080))));
        assert_eq!(asked("api"), Ok(("api".to_owned(), None)));
        let arn = "arn:aws:ecs:us-east-1:123456789012:task/shop/0123";
        assert_eq!(asked(arn), Ok((arn.to_owned(), None)));
        assert_eq!(asked("3fff:0:0:101::4"), Ok(("3fff:0:0:101::4".to_owned(), None)));
        assert_eq!(asked("[3fff:0:0:101::4]:80"), Ok(("[3fff:0:0:101::4]".to_owned(), Some(80))));
        assert!(asked("api:0").is_err() && asked("api:65536").is_err() && asked(":80").is_err() && asked("").is_err());
    }

    #[test]
    fn pings_have_no_port() {
        assert!(Question::parse("a", "b:80", Some("icmp")).is_err());
        assert!(Question::parse("a", "b", Some("sctp")).is_err());
        assert_eq!(Question::parse("a", "b", Some("ping")).unwrap().protocol, Some(Protocol::Icmp));
    }
}
