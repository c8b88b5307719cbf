//! Pings from other network namespaces. Source: RFC 792 and RFC 4443.

use crate::netns;
use netplan::Family;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use std::{io, net::UdpSocket, path::Path};

/// A socket for pings in a namespace; it does not block. It gets every control message that comes there.
pub fn ping_socket(path: &Path, family: Family) -> io::Result<UdpSocket> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let (of_family, protocol) = match family {
        Family::Ipv4 => (AddressFamily::Inet, SockProtocol::Icmp),
        Family::Ipv6 => (AddressFamily::Inet6, SockProtocol::IcmpV6),
    };
    let fd = netns::within(path, || Ok(socket(of_family, SockType::Raw, flags, Some(protocol))?))?;
    // A raw socket sends and receives as one for datagrams does.
    Ok(UdpSocket::from(fd))
}

/// A ping of that number. The sum of one of IPv6 is the kernel's to make.
pub fn echo_request(number: u16, family: Family) -> [u8; 8] {
    let [high, low] = number.to_be_bytes();
    let sum = 0x0800 + u32::from(number);
    if family == Family::Ipv6 {
        return [128, 0, 0, 0, high, low, 0, 0];
    }
    let [a, b] = (!((sum & 0xffff) + (sum >> 16)) as u16).to_be_bytes();
    [8, 0, a, b, high, low, 0, 0]
}

/// The number of the ping that a packet answers, as the socket gives it: over IPv4 with its header.
pub fn echo_reply(packet: &[u8], family: Family) -> Option<u16> {
    let (message, reply) = match family {
        Family::Ipv4 => (packet.get(usize::from(packet.first()? & 15) * 4..)?, 0),
        Family::Ipv6 => (packet, 129),
    };
    (message.first() == Some(&reply)).then(|| message.get(4..6).map(|id| u16::from_be_bytes([id[0], id[1]])))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_carries_its_number_and_a_sum_that_adds_up() {
        for number in [0, 1, 0x1234, u16::MAX] {
            let words = echo_request(number, Family::Ipv4)
                .chunks(2)
                .map(|w| u32::from(u16::from_be_bytes([w[0], w[1]])))
                .sum::<u32>();
            assert_eq!((words & 0xffff) + (words >> 16), 0xffff, "{number}");
        }
    }

    #[test]
    fn replies_are_told_from_everything_else() {
        let packet = |kind: u8| [&[0x45; 1][..], &[0; 19], &[kind, 0, 0, 0, 0x12, 0x34, 0, 0]].concat();
        let reply = |packet: &[u8]| echo_reply(packet, Family::Ipv4);
        assert_eq!(reply(&packet(0)), Some(0x1234));
        assert_eq!(reply(&packet(8)), None);
        assert_eq!(reply(&packet(0)[..23]), None);
        assert_eq!(reply(&[0x4f]), None);
        assert_eq!(reply(&[]), None);
        let ipv6 = |kind: u8| echo_reply(&[kind, 0, 0, 0, 0x12, 0x34, 0, 0], Family::Ipv6);
        assert_eq!(ipv6(129), Some(0x1234));
        assert_eq!(ipv6(128), None);
        assert_eq!(echo_reply(&[129, 0], Family::Ipv6), None);
    }
}
