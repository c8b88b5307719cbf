//! Connections in an attachment's own namespace that a listener there is given, though they are for somebody else.
//!
//! A plan says nothing of the filters of such namespaces, and leaves them alone. As [`crate::netns`], this needs nothing else of the
//! fabric: who listens in a namespace may say what is led there.

use crate::netlink::{filter, socket::Socket};
use crate::netns;
use ipnet::{IpNet, Ipv4Net};
use netplan::{Action, Chain, ChainHook, FilterChange, Match, Rule};
use std::{fs::File, io, net::SocketAddrV4};

/// TCP's number.
const TCP: u8 = 6;

/// Some connections, and the listener that is given them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capture {
    /// Which connections.
    pub of: Captured,
    /// The listener, in the same namespace.
    pub to: SocketAddrV4,
}

/// Which connections are captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Captured {
    /// Those that the namespace's own processes make to this address.
    Leaving(SocketAddrV4),
    /// Those that come in by a device for this port.
    Arriving {
        /// The device's name.
        device: String,
        /// The port.
        port: u16,
    },
}

/// Captures these connections in the namespace, and no others, from now on; connections that stand are not touched. Does not wait.
pub fn capture(netns: &File, all: &[Capture]) -> io::Result<()> {
    let (mut leaving, mut arriving) = (Vec::new(), Vec::new());
    for Capture { of, to } in all {
        let (rules, mut when, port) = match of {
            Captured::Leaving(address) => {
                let only = IpNet::V4(Ipv4Net::from(*address.ip()));
                (&mut leaving, vec![Match::Destination(only)], address.port())
            }
            Captured::Arriving { device, port } => (&mut arriving, vec![Match::From(device.clone())], *port),
        };
        when.extend([Match::Protocol(TCP), Match::Port(port, port)]);
        rules.push(Rule { when, then: Action::DestinationNatTo(*to.ip(), to.port()) });
    }
    let mut changes = vec![FilterChange::Reset];
    for (name, hook, rules) in
        [("leaving", ChainHook::OwnDestinationNat, leaving), ("arriving", ChainHook::DestinationNat, arriving)]
    {
        let empty = Chain { hook: Some(hook), accept_at_end: true, rules: Vec::new() };
        changes.extend([
            FilterChange::AddChain(name.to_owned(), empty),
            FilterChange::ReplaceRules(name.to_owned(), rules),
        ]);
    }
    netns::within_file(netns, || {
        let refused = Socket::filter()?.together(filter::batch(&changes))?;
        refused.first().map_or(Ok(()), |refused| Err(refused.errno.into()))
    })
}
