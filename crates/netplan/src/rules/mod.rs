//! What decides about a packet, read once: the compiler turns it into the kernel's rules, the walk into an answer.
//!
//! Which groups, entries and routes apply, in which order, and what a rule speaks of, is said here and nowhere else.

pub(crate) mod acl;
pub(crate) mod group;
pub(crate) mod route;

use crate::{Match, PortRange, Subnet, Traffic};

/// Which way packets go, seen from the interface or the subnet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    In,
    Out,
}

/// Whether a packet from one place to another crosses a subnet's edge; no subnet is outside of the VPC. Network ACLs have
/// a say only then, and it is the interfaces' subnets that count, not the packet's addresses.
pub(crate) fn crosses(from: Option<&Subnet>, to: Option<&Subnet>) -> bool {
    from.map(|subnet| &subnet.id) != to.map(|subnet| &subnet.id)
}

/// The conditions on protocol and ports.
pub(crate) fn traffic_matches(traffic: Traffic) -> Vec<Match> {
    let ports = |protocol, ports: PortRange| {
        let mut when = vec![Match::Protocol(protocol)];
        if ports != PortRange::ALL {
            when.push(Match::Port(ports.from, ports.to));
        }
        when
    };
    let icmp = |protocol, kind: Option<u8>, code: Option<u8>| {
        let mut when = vec![Match::Protocol(protocol)];
        when.extend(kind.map(Match::IcmpType));
        when.extend(code.map(Match::IcmpCode));
        when
    };
    match traffic {
        Traffic::All => Vec::new(),
        Traffic::Tcp(range) => ports(6, range),
        Traffic::Udp(range) => ports(17, range),
        Traffic::Protocol(number) => vec![Match::Protocol(number)],
        Traffic::Icmp { kind, code } => icmp(1, kind, code),
        Traffic::Icmpv6 { kind, code } => icmp(58, kind, code),
    }
}
