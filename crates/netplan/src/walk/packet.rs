//! A packet as the rules see it.

use crate::{Family, Match, Traffic, rules::traffic_matches};
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

/// A packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packet {
    /// From where.
    pub source: IpAddr,
    /// To where.
    pub destination: IpAddr,
    /// What it carries.
    #[serde(flatten)]
    pub content: Content,
}

/// What a packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "protocol", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Content {
    /// A segment of a TCP connection.
    Tcp {
        /// The sender's port.
        source_port: u16,
        /// The receiver's port.
        port: u16,
    },
    /// A datagram.
    Udp {
        /// The sender's port.
        source_port: u16,
        /// The receiver's port.
        port: u16,
    },
    /// A control message of IPv4.
    Icmp {
        /// Its type.
        kind: u8,
        /// Its code.
        code: u8,
    },
    /// A control message of IPv6.
    Icmpv6 {
        /// Its type.
        kind: u8,
        /// Its code.
        code: u8,
    },
}

impl Content {
    /// A ping.
    pub fn echo_request(family: Family) -> Self {
        match family {
            Family::Ipv4 => Self::Icmp { kind: 8, code: 0 },
            Family::Ipv6 => Self::Icmpv6 { kind: 128, code: 0 },
        }
    }

    /// What answers it.
    fn reply(self) -> Self {
        match self {
            Self::Tcp { source_port, port } => Self::Tcp { source_port: port, port: source_port },
            Self::Udp { source_port, port } => Self::Udp { source_port: port, port: source_port },
            Self::Icmp { .. } => Self::Icmp { kind: 0, code: 0 },
            Self::Icmpv6 { .. } => Self::Icmpv6 { kind: 129, code: 0 },
        }
    }

    /// Whether a rule for `traffic` speaks of it.
    pub(super) fn is(self, traffic: Traffic) -> bool {
        traffic_matches(traffic).iter().all(|condition| match (condition, self) {
            (Match::Protocol(number), _) => *number == self.number(),
            (Match::Port(from, to), Self::Tcp { port, .. } | Self::Udp { port, .. }) => (*from..=*to).contains(&port),
            (Match::IcmpType(wanted), Self::Icmp { kind, .. } | Self::Icmpv6 { kind, .. }) => *wanted == kind,
            (Match::IcmpCode(wanted), Self::Icmp { code, .. } | Self::Icmpv6 { code, .. }) => *wanted == code,
            _ => false,
        })
    }

    fn number(self) -> u8 {
        match self {
            Self::Icmp { .. } => 1,
            Self::Icmpv6 { .. } => 58,
            Self::Tcp { .. } => 6,
            Self::Udp { .. } => 17,
        }
    }
}

impl Packet {
    /// The packet that answers it.
    pub(super) fn reply(self) -> Self {
        Self { source: self.destination, destination: self.source, content: self.content.reply() }
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, destination, content } = self;
        let at = |ip: &IpAddr, port: &u16| SocketAddr::from((*ip, *port));
        match content {
            Content::Tcp { source_port, port } => {
                write!(f, "tcp {} → {}", at(source, source_port), at(destination, port))
            }
            Content::Udp { source_port, port } => {
                write!(f, "udp {} → {}", at(source, source_port), at(destination, port))
            }
            Content::Icmp { kind, code } => write!(f, "icmp {kind}/{code} {source} → {destination}"),
            Content::Icmpv6 { kind, code } => write!(f, "icmpv6 {kind}/{code} {source} → {destination}"),
        }
    }
}
