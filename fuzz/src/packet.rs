//! Packets as containers write them, which those who follow verdicts are told of.

use netplan::verdicts::Seen;
use netplan::walk::Content;

/// Any bytes are a packet or none; what is read of a packet stands in it.
pub fn packet(data: &[u8]) {
    let Some(seen) = Seen::read(data) else { return };
    assert_eq!(data.get(12..16), Some(&seen.source.octets()[..]), "{seen:?}");
    assert_eq!(data.get(16..20), Some(&seen.destination.octets()[..]), "{seen:?}");
    assert_eq!(data.get(9), Some(&seen.protocol), "{seen:?}");
    let expected = match seen.content {
        Some(Content::Tcp { .. }) => 6,
        Some(Content::Udp { .. }) => 17,
        Some(Content::Icmp { .. }) => 1,
        None => seen.protocol,
    };
    assert_eq!(seen.protocol, expected, "{seen:?}");
    assert!(seen.begins || seen.protocol == 6, "what is no segment begins something: {seen:?}");
}
