//! Packets as containers write them, which those who follow verdicts are told of.

use netplan::verdicts::Seen;
use netplan::walk::Content;
use std::net::IpAddr;

/// Any bytes are a packet or none; what is read of a packet stands in it.
pub fn packet(data: &[u8]) {
    let Some(seen) = Seen::read(data) else { return };
    let octets = |ip| match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let (source, destination, protocol) = if seen.source.is_ipv4() { (12, 16, 9) } else { (8, 24, 6) };
    for (at, ip) in [(source, seen.source), (destination, seen.destination)] {
        let stands = octets(ip);
        assert_eq!(data.get(at..at + stands.len()), Some(&stands[..]), "{seen:?}");
    }
    assert_eq!(data.get(protocol), Some(&seen.protocol), "{seen:?}");
    let expected = match seen.content {
        Some(Content::Tcp { .. }) => 6,
        Some(Content::Udp { .. }) => 17,
        Some(Content::Icmp { .. }) => 1,
        Some(Content::Icmpv6 { .. }) => 58,
        None => seen.protocol,
    };
    assert_eq!(seen.protocol, expected, "{seen:?}");
    assert!(seen.begins || seen.protocol == 6, "what is no segment begins something: {seen:?}");
}
