//! What an instance holds of the host, and its own addresses there.

use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, Ipv6Addr};

/// What an instance holds of the host: its name there, and its public addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ground {
    /// Eight hexadecimal digits.
    pub instance: String,
    /// The public addresses, a /20.
    pub pool: Ipv4Net,
    /// Whether the host's kernel speaks IPv6; without it nothing may be planned that does.
    pub ipv6: bool,
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
