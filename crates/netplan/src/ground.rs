//! What an instance holds of the host, and its own addresses there.

use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const NOT_OUTSIDE: [([u8; 4], u8); 11] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
];

fn ipv4_net((address, prefix): ([u8; 4], u8)) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::from(address), prefix)
}

/// What an instance holds of the host: its name there, and its public addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ground {
    /// Eight hexadecimal digits.
    pub instance: String,
    /// The public addresses, a /20.
    pub pool: Ipv4Net,
    /// Whether the host's kernel speaks IPv6; without it nothing may be planned that does.
    pub ipv6: bool,
    /// Whether something leads out of the namespace [`OUTBOUND`](crate::OUTBOUND) into the real internet.
    pub outbound: bool,
}

impl Ground {
    /// How many addresses at the pool's start are never given to anyone.
    pub const RESERVED: u32 = 16;

    /// The host's own address on its link to the internet namespace.
    pub fn host_address(&self) -> Ipv4Addr {
        self.nth(1)
    }

    /// Where AWS's own services answer in the internet namespace.
    pub fn service_address(&self) -> Ipv4Addr {
        self.nth(2)
    }

    /// Where the services behind gateway endpoints answer (Amazon S3): what their prefix list should hold.
    pub fn gateway_endpoint_address(&self) -> Ipv4Addr {
        self.nth(3)
    }

    /// Whether packets to this address leave the machine: it is one of the real internet's, and something leads there.
    pub fn leads_out(&self, address: IpAddr) -> bool {
        let IpAddr::V4(address) = address else { return false };
        self.outbound && !NOT_OUTSIDE.iter().any(|block| ipv4_net(*block).contains(&address))
    }

    /// The blocks that the real internet has not: private ones, where a machine's own neighbours are, and all that has a
    /// use of its own. Source: IANA, "IPv4 Special-Purpose Address Space".
    pub(crate) fn not_outside() -> impl Iterator<Item = Ipv4Net> {
        NOT_OUTSIDE.iter().map(|block| ipv4_net(*block))
    }

    /// The addresses that elastic IPs and automatic public addresses may be taken from.
    pub fn assignable(&self) -> impl Iterator<Item = Ipv4Addr> + use<> {
        let (first, last) = (u32::from(self.pool.network()) + Self::RESERVED, u32::from(self.pool.broadcast()));
        (first..last).map(Ipv4Addr::from)
    }

    /// The IPv6 addresses, a /32: the first /56 is the instance's own, the others are for VPCs. 3fff::/20 is set aside for
    /// documentation and never routed (RFC 9637), so a block out of it looks as one of Amazon's does, is preferred to
    /// IPv4 as one of theirs would be (RFC 6724), unlike one out of fc00::/7, and can never be somebody's. Which part of
    /// it is the instance's follows from its public addresses.
    pub fn ipv6_pool(&self) -> Ipv6Net {
        let slot = u32::from(self.pool.network()) >> (32 - self.pool.prefix_len()) & 0xfff;
        Ipv6Net::new_assert(Ipv6Addr::new(0x3fff, slot as u16, 0, 0, 0, 0, 0, 0), 32)
    }

    /// The blocks that VPCs may be given.
    pub fn ipv6_blocks(&self) -> impl Iterator<Item = Ipv6Net> + use<> {
        self.ipv6_pool().subnets(56).into_iter().flatten().skip(1)
    }

    /// The host's own IPv6 address on its link to the internet namespace.
    pub fn host_address_ipv6(&self) -> Ipv6Addr {
        self.nth_ipv6(1)
    }

    /// Where AWS's own services answer over IPv6 in the internet namespace.
    pub fn service_address_ipv6(&self) -> Ipv6Addr {
        self.nth_ipv6(2)
    }

    fn nth_ipv6(&self, n: u128) -> Ipv6Addr {
        Ipv6Addr::from(u128::from(self.ipv6_pool().network()) + n)
    }

    fn nth(&self, n: u32) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.pool.network()) + n)
    }
}
