//! What a router tells of its verdicts: counters for flow logs, and messages for those who watch.
//!
//! The compiler lays the rules for [`NetworkState::counted`](crate::NetworkState::counted) and
//! [`NetworkState::traced`](crate::NetworkState::traced); this is how what they say is read. A router without either has
//! none of it.

use crate::{Element, Field, Range, walk::Content};
use std::net::Ipv4Addr;

/// The set of counters: one for each [`Passage`].
pub const FLOWS: &str = "flows";
/// The set of counters of packets for which [`FLOWS`] had no room, by device.
pub const MISSED: &str = "missed";
/// Both, with what their keys are made of.
pub const COUNTERS: [(&str, &[Field]); 2] = [(FLOWS, Passage::KEY), (MISSED, &[Field::Link])];
/// The group that hears of verdicts as they fall.
pub const GROUP: u16 = 1;

/// What became of a packet on one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// The sender's groups and ACL let it leave.
    Sent,
    /// The receiver's ACL and groups let it arrive.
    Received,
    /// The sender's groups or ACL refused it.
    NotSent,
    /// The receiver's ACL or groups refused it.
    NotReceived,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Sent, Self::Received, Self::NotSent, Self::NotReceived];

    /// Its number in a counter's key.
    pub(crate) fn number(self) -> u8 {
        self as u8
    }

    /// The outcome of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.name() == name)
    }

    /// Its name in a message and in the filter.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Received => "received",
            Self::NotSent => "not_sent",
            Self::NotReceived => "not_received",
        }
    }
}

/// Packets that a counter counts together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Passage {
    /// What became of them.
    pub outcome: Outcome,
    /// The device of the interface on whose side that was.
    pub link: String,
    /// Their source.
    pub source: Ipv4Addr,
    /// Their destination.
    pub destination: Ipv4Addr,
    /// Their protocol's number.
    pub protocol: u8,
    /// The source's port; 0 where there is none.
    pub source_port: u16,
    /// The destination's port; 0 where there is none.
    pub destination_port: u16,
    /// TCP's flags FIN, SYN, RST and ACK, as in the header.
    pub tcp_flags: u8,
}

impl Passage {
    /// What a counter's key in [`FLOWS`] is made of.
    pub const KEY: &'static [Field] = &[
        Field::Byte,
        Field::Link,
        Field::Address,
        Field::Address,
        Field::Protocol,
        Field::Port,
        Field::Port,
        Field::Byte,
    ];

    /// The passage that a counter's key in [`FLOWS`] stands for.
    pub fn read(key: &Element) -> Option<Self> {
        use Range::{Address, Byte, Link, Port, Protocol};
        let [
            Byte(outcome, _),
            Link(link),
            Address(source, _),
            Address(destination, _),
            Protocol(protocol, _),
            Port(source_port, _),
            Port(destination_port, _),
            Byte(tcp_flags, _),
        ] = key.as_slice()
        else {
            return None;
        };
        Some(Self {
            outcome: *Outcome::ALL.get(usize::from(*outcome))?,
            link: link.clone(),
            source: *source,
            destination: *destination,
            protocol: *protocol,
            source_port: *source_port,
            destination_port: *destination_port,
            tcp_flags: *tcp_flags,
        })
    }
}

/// A packet that a rule told of, as far as its first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Its source.
    pub source: Ipv4Addr,
    /// Its destination.
    pub destination: Ipv4Addr,
    /// Its protocol's number.
    pub protocol: u8,
    /// What it carries, if rules know more of that than the protocol.
    pub content: Option<Content>,
    /// Whether it can be the first of a connection: of TCP, a SYN alone.
    pub begins: bool,
}

impl Seen {
    /// The packet that begins with these bytes; none if it is not IPv4 or too short to say.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        const SYN_OR_ACK: u8 = 0x12;
        const SYN: u8 = 0x02;
        let first = *bytes.first()?;
        let (version, words) = (first >> 4, usize::from(first & 0xf));
        if version != 4 || words < 5 {
            return None;
        }
        let address = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes.get(at..at + 4)?).ok()?));
        let protocol = *bytes.get(9)?;
        let rest = bytes.get(words * 4..).unwrap_or_default();
        let port = |at: usize| Some(u16::from_be_bytes(rest.get(at..at + 2)?.try_into().ok()?));
        let ports = port(0).zip(port(2));
        let content = match protocol {
            1 => rest.first().zip(rest.get(1)).map(|(kind, code)| Content::Icmp { kind: *kind, code: *code }),
            6 => ports.map(|(source_port, port)| Content::Tcp { source_port, port }),
            17 => ports.map(|(source_port, port)| Content::Udp { source_port, port }),
            _ => None,
        };
        let flags = rest.get(13).copied().unwrap_or(SYN);
        let begins = protocol != 6 || flags & SYN_OR_ACK == SYN;
        Some(Self { source: address(12)?, destination: address(16)?, protocol, content, begins })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(protocol: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x45, 0, 0, 40, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 1, 4, 10, 0, 2, 5];
        bytes.extend_from_slice(rest);
        bytes
    }

    #[test]
    fn packets_are_read_as_they_stand_on_the_wire() {
        let mut tcp = vec![0x9c, 0x40, 0x0b, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x02];
        let seen = Seen::read(&packet(6, &tcp)).unwrap();
        assert_eq!((seen.source, seen.destination), ([10, 0, 1, 4].into(), [10, 0, 2, 5].into()));
        assert_eq!(seen.content, Some(Content::Tcp { source_port: 40_000, port: 3000 }));
        assert!(seen.begins);
        tcp[13] = 0x12;
        assert!(!Seen::read(&packet(6, &tcp)).unwrap().begins, "an answer begins nothing");
        let ping = Seen::read(&packet(1, &[8, 0, 0, 0])).unwrap();
        assert_eq!(ping.content, Some(Content::ECHO_REQUEST));
        assert_eq!(Seen::read(&packet(50, &[1, 2, 3])).unwrap().content, None);
    }

    #[test]
    fn what_is_cut_short_or_no_packet_is_none() {
        let whole = packet(17, &[0, 53, 0, 53]);
        for len in 0..20 {
            assert_eq!(Seen::read(&whole[..len]), None, "of {len} bytes");
        }
        assert_eq!(Seen::read(&whole[..22]).unwrap().content, None);
        assert_eq!(Seen::read(&[0x65; 40]), None, "IPv6");
        assert_eq!(Seen::read(&[0x41; 40]), None, "a header of one word");
        let options = Seen::read(&[&[0x4f], &whole[1..]].concat()).unwrap();
        assert_eq!(options.content, None, "its options go beyond its end");
    }
}
