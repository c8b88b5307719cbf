//! What the kernel must hold: the output of [`compile`](crate::compile).

use crate::{Family, MacAddress, Ruleset};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
};

/// The name of the namespace that stands for the internet.
pub const INTERNET: &str = "internet";
/// The name of the namespace between that and the real internet, where there is a way to it.
pub const OUTBOUND: &str = "outbound";
/// The device there that a program outside of the namespace makes, which carries packets on into the real internet.
pub const OUTBOUND_DEVICE: &str = "tap";

/// Every namespace and every link.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FabricPlan {
    /// The namespaces by name.
    pub namespaces: BTreeMap<String, Namespace>,
    /// What the host itself holds: addresses and routes on its link to the internet namespace.
    pub host: Namespace,
    /// The links, by a name of their own.
    pub cables: BTreeMap<String, Cable>,
    /// What the state asked for and could not be planned, with the reason.
    pub omitted: BTreeSet<String>,
}

/// A network namespace's content.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Namespace {
    /// Settings under `/proc/sys/net`, by path.
    pub settings: BTreeMap<String, String>,
    /// Addresses.
    pub addresses: BTreeSet<Address>,
    /// Neighbours that are known without asking.
    pub neighbours: BTreeSet<Neighbour>,
    /// Routes.
    pub routes: BTreeSet<Route>,
    /// Which routing table is for which packets.
    pub rules: BTreeSet<RoutingRule>,
    /// The devices of a router that take IPv4 packets whatever their source. By all others come only those whose source is
    /// where the way to it leads by the same device.
    pub any_source: BTreeSet<String>,
    /// The packet filter, if it has one.
    pub filter: Option<Ruleset>,
}

/// Where a link's end stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Place {
    /// In the host's own namespace.
    Host,
    /// In the namespace of this name.
    Namespace(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "host",
            Self::Namespace(name) => name,
        })
    }
}

/// A pair of virtual Ethernet devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cable {
    /// The end in a router.
    pub near: End,
    /// The end at an attachment or at another router.
    pub far: End,
    /// The largest packet.
    pub mtu: u32,
}

/// One end of a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Where.
    pub place: Place,
    /// The device's name there.
    pub link: String,
    /// Its hardware address.
    pub mac: MacAddress,
}

/// An address on a device. It brings no route of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Address {
    /// The device.
    pub link: String,
    /// The address.
    pub ip: IpAddr,
    /// Its prefix, for those who look.
    pub prefix: u8,
}

/// A permanent neighbour entry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Neighbour {
    /// The device.
    pub link: String,
    /// The neighbour's address.
    pub ip: IpAddr,
    /// Its hardware address.
    pub mac: MacAddress,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Route {
    /// The kernel's number of the table; 254 is the main one.
    pub table: u32,
    /// Packets to where.
    pub destination: IpNet,
    /// What becomes of them.
    pub action: RouteAction,
}

impl Route {
    /// The main table's number.
    pub const MAIN: u32 = 254;
}

/// What a route does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RouteAction {
    /// Send over a device.
    Link {
        /// The device.
        link: String,
        /// The next hop, taken to be on that device; none is the destination itself.
        via: Option<IpAddr>,
        /// The source address of what starts here.
        source: Option<IpAddr>,
    },
    /// Drop without a word.
    Blackhole,
}

/// A rule that picks a routing table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RoutingRule {
    /// For packets of this family.
    pub family: Family,
    /// Lower ones come first.
    pub priority: u32,
    /// Packets whose source is in this block; none is all.
    pub source: Option<IpNet>,
    /// Packets that came in by this device; none is all.
    pub from: Option<String>,
    /// Packets with this mark; none is all.
    pub mark: Option<u32>,
    /// The table; none drops.
    pub table: Option<u32>,
}

impl RoutingRule {
    /// The rule that leads all packets of a family to a table, or nowhere.
    pub(crate) fn all(family: Family, priority: u32, table: Option<u32>) -> Self {
        Self { family, priority, source: None, from: None, mark: None, table }
    }
}
