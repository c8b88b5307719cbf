//! What a router tells of its verdicts: counters for flow logs, and messages for those who watch.
//!
//! The compiler lays the rules for [`NetworkState::counted`](crate::NetworkState::counted) and
//! [`NetworkState::traced`](crate::NetworkState::traced); this is how what they say is read. A router without either has
//! none of it.

use crate::{Element, Family, Field, Range, walk::Content};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The sets of counters, by family: one counter for each [`Passage`].
pub const FLOWS: [(&str, &[Field]); 2] =
    [("flows", &Passage::key(Family::Ipv4)), ("flows6", &Passage::key(Family::Ipv6))];
/// The set of counters of packets for which [`FLOWS`] had no room, by device.
pub const MISSED: &str = "missed";
/// All of them, with what their keys are made of.
pub const COUNTERS: [(&str, &[Field]); 3] = [FLOWS[0], FLOWS[1], (MISSED, &[Field::Link])];
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
    pub source: IpAddr,
    /// Their destination.
    pub destination: IpAddr,
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
    /// What a counter's key in [`FLOWS`] is made of. The kernel has room for 64 bytes, which those of IPv6 fill.
    const fn key(family: Family) -> [Field; 7] {
        let address = Field::Address(family);
        [Field::Byte, Field::Link, address, address, Field::Protocol, Field::Ports, Field::Byte]
    }

    /// The passage that a counter's key in [`FLOWS`] stands for.
    pub fn read(key: &Element) -> Option<Self> {
        use Range::{Address, Byte, Link, Ports, Protocol};
        let [
            Byte(outcome, _),
            Link(link),
            Address(source, _),
            Address(destination, _),
            Protocol(protocol, _),
            Ports(source_port, destination_port),
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
    pub source: IpAddr,
    /// Its destination.
    pub destination: IpAddr,
    /// Its protocol's number.
    pub protocol: u8,
    /// What it carries, if rules know more of that than the protocol.
    pub content: Option<Content>,
    /// Whether it can be the first of a connection: of TCP, a SYN alone.
    pub begins: bool,
}

impl Seen {
    /// The packet that begins with these bytes; none if it is neither of IPv4 nor of IPv6, or too short to say. Headers
    /// that extend IPv6's are not looked behind.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        const SYN_OR_ACK: u8 = 0x12;
        const SYN: u8 = 0x02;
        let ipv4 = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes.get(at..at + 4)?).ok()?).into());
        let ipv6 = |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes.get(at..at + 16)?).ok()?).into());
        let first = *bytes.first()?;
        let (source, destination, protocol, header): (IpAddr, IpAddr, u8, usize) = match (first >> 4, first & 0xf) {
            (4, words @ 5..) => (ipv4(12)?, ipv4(16)?, *bytes.get(9)?, usize::from(words) * 4),
            (6, _) => (ipv6(8)?, ipv6(24)?, *bytes.get(6)?, 40),
            _ => return None,
        };
        let rest = bytes.get(header..).unwrap_or_default();
        let port = |at: usize| Some(u16::from_be_bytes(rest.get(at..at + 2)?.try_into().ok()?));
        let ports = port(0).zip(port(2));
        let message = rest.first().zip(rest.get(1));
        let content = match (protocol, Family::of(source)) {
            (1, Family::Ipv4) => message.map(|(kind, code)| Content::Icmp { kind: *kind, code: *code }),
            (58, Family::Ipv6) => message.map(|(kind, code)| Content::Icmpv6 { kind: *kind, code: *code }),
            (6, _) => ports.map(|(source_port, port)| Content::Tcp { source_port, port }),
            (17, _) => ports.map(|(source_port, port)| Content::Udp { source_port, port }),
            _ => None,
        };
        let flags = rest.get(13).copied().unwrap_or(SYN);
        let begins = protocol != 6 || flags & SYN_OR_ACK == SYN;
        Some(Self { source, destination, protocol, content, begins })
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
        assert_eq!((seen.source, seen.destination), (IpAddr::from([10, 0, 1, 4]), IpAddr::from([10, 0, 2, 5])));
        assert_eq!(seen.content, Some(Content::Tcp { source_port: 40_000, port: 3000 }));
        assert!(seen.begins);
        tcp[13] = 0x12;
        assert!(!Seen::read(&packet(6, &tcp)).unwrap().begins, "an answer begins nothing");
        let ping = Seen::read(&packet(1, &[8, 0, 0, 0])).unwrap();
        assert_eq!(ping.content, Some(Content::echo_request(Family::Ipv4)));
        assert_eq!(Seen::read(&packet(50, &[1, 2, 3])).unwrap().content, None);
    }

    #[test]
    fn packets_of_ipv6_are_read_as_well() {
        let packet = |next: u8, rest: &[u8]| {
            let mut bytes = vec![0x60, 0, 0, 0, 0, 8, next, 64];
            for ip in ["3fff:120::4", "3fff:120::5"] {
                bytes.extend_from_slice(&ip.parse::<Ipv6Addr>().unwrap().octets());
            }
            [bytes.as_slice(), rest].concat()
        };
        let seen = Seen::read(&packet(58, &[128, 0, 0, 0])).unwrap();
        let ends: (IpAddr, IpAddr) = ("3fff:120::4".parse().unwrap(), "3fff:120::5".parse().unwrap());
        assert_eq!((seen.source, seen.destination), ends);
        assert_eq!(seen.content, Some(Content::echo_request(Family::Ipv6)));
        let seen = Seen::read(&packet(17, &[0, 53, 0x9c, 0x40])).unwrap();
        assert_eq!(seen.content, Some(Content::Udp { source_port: 53, port: 40_000 }));
        assert_eq!(Seen::read(&packet(1, &[8, 0])).unwrap().content, None, "a message of IPv4 means nothing in IPv6");
        assert_eq!(Seen::read(&packet(44, &[6, 0, 0, 0])).unwrap().content, None, "a piece of a packet");
        for len in 0..40 {
            assert_eq!(Seen::read(&packet(17, &[])[..len]), None, "of {len} bytes");
        }
    }

    #[test]
    fn what_is_cut_short_or_no_packet_is_none() {
        let whole = packet(17, &[0, 53, 0, 53]);
        for len in 0..20 {
            assert_eq!(Seen::read(&whole[..len]), None, "of {len} bytes");
        }
        assert_eq!(Seen::read(&whole[..22]).unwrap().content, None);
        assert_eq!(Seen::read(&[0x75; 40]), None, "of no version");
        assert_eq!(Seen::read(&[0x41; 40]), None, "a header of one word");
        let options = Seen::read(&[&[0x4f], &whole[1..]].concat()).unwrap();
        assert_eq!(options.content, None, "its options go beyond its end");
    }
}
