//! A packet filter as data: sets, maps and chains, close to what nf_tables runs.

use crate::Family;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

/// One table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ruleset {
    /// Sets and maps by name.
    pub sets: BTreeMap<String, Set>,
    /// Chains by name.
    pub chains: BTreeMap<String, Chain>,
}

/// A set, or a map if its elements have values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Set {
    /// What a key is made of.
    pub key: Vec<Field>,
    /// Whether keys are ranges. They never overlap.
    pub interval: bool,
    /// What a key leads to.
    pub value: ValueKind,
    /// The elements.
    #[serde(with = "pairs")]
    pub elements: BTreeMap<Element, Value>,
}

/// A part of a set's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Field {
    /// A device's name.
    Link,
    /// An address.
    Address(Family),
    /// A protocol's number.
    Protocol,
    /// A port.
    Port,
    /// A source's and a destination's port in one.
    Ports,
    /// A number that is nothing of these.
    Byte,
}

/// A key: one range per field.
pub type Element = Vec<Range>;

/// A range, both ends included; a single value has equal ends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Range {
    /// A device's name.
    Link(String),
    /// Addresses of one family.
    Address(IpAddr, IpAddr),
    /// Protocols.
    Protocol(u8, u8),
    /// Ports.
    Port(u16, u16),
    /// A source's port and a destination's.
    Ports(u16, u16),
    /// Numbers that are nothing of these.
    Byte(u8, u8),
}

/// What a set's elements lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ValueKind {
    /// Nothing: it is a set.
    None,
    /// A verdict.
    Verdict,
    /// An IPv4 address.
    Address,
    /// A counter. The kernel makes the elements itself, by [`Action::Count`], and takes away those that nothing was
    /// added to for [`Self::COUNT_LIFE`]. A plan has none of them, and leaves them alone.
    Count,
}

impl ValueKind {
    /// How long a counter stays that nothing is added to.
    pub const COUNT_LIFE: Duration = Duration::from_secs(20);
    /// How many counters a set has room for.
    pub const COUNT_MOST: u32 = 1 << 18;
}

/// An element's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Value {
    /// Nothing.
    None,
    /// A verdict.
    Verdict(Verdict),
    /// An IPv4 address.
    Address(Ipv4Addr),
}

/// What becomes of a packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// It passes this hook.
    Accept,
    /// It is gone, without an answer.
    Drop,
    /// Back to the calling chain.
    Return,
    /// Into another chain, and back here if that has no verdict.
    Jump(String),
}

/// A chain of rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// Where the kernel enters it; none if only other chains do.
    pub hook: Option<ChainHook>,
    /// What becomes of a packet at its end; only for a chain with a hook.
    pub accept_at_end: bool,
    /// Its rules.
    pub rules: Vec<Rule>,
}

/// Where the kernel enters a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChainHook {
    /// Each packet that came in, before routing.
    Prerouting,
    /// Each packet that is to be routed on; the lower the number, the earlier.
    Forward(i32),
    /// Each packet for this namespace itself.
    Input,
    /// A connection's first packet that came in: where it is really for.
    DestinationNat,
    /// A connection's first packet that the namespace's own processes send: where it is really for.
    OwnDestinationNat,
    /// A connection's first packet on its way out: who it is really from.
    SourceNat,
}

/// A rule: if all of `when` hold, then `then`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The conditions.
    pub when: Vec<Match>,
    /// The effect.
    pub then: Action,
}

/// A rule's effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// A verdict.
    Verdict(Verdict),
    /// The verdict that a map has for these parts of the packet; none: go on.
    VerdictOf(Vec<Selector>, String),
    /// Set this mark, and go back to the calling chain.
    Mark(u32),
    /// Send it to the address that a map has for these parts.
    DestinationNat(Vec<Selector>, String),
    /// Send it to this address and port.
    DestinationNatTo(Ipv4Addr, u16),
    /// Send it from the address that a map has for these parts.
    SourceNat(Vec<Selector>, String),
    /// Send it from the outgoing device's own address.
    Masquerade,
    /// Add it to the counter that a set has for these parts, and go back to the calling chain; no room: go on.
    Count(Vec<Selector>, String),
    /// Tell of it, under this name, those who listen to this group; go on.
    Log(u16, String),
    /// Keep this number with its connection.
    Remember(u32),
}

/// Lets through what fulfils all of `when`.
pub(crate) fn accept(when: Vec<Match>) -> Rule {
    Rule { when, then: Action::Verdict(Verdict::Accept) }
}

/// A condition. What speaks of addresses holds for packets of their family alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Match {
    /// It is part of a known connection, or speaks of one.
    Established,
    /// It cannot be part of any connection.
    Invalid,
    /// It begins a connection, or nobody has answered yet.
    New,
    /// It goes the other way than its connection's first packet went.
    Answers,
    /// This number is not kept with its connection.
    NotRemembered(u32),
    /// It has this mark.
    Marked(u32),
    /// It came in by this device.
    From(String),
    /// It goes out by this device.
    To(String),
    /// Its source is in this block.
    Source(IpNet),
    /// Its destination is in this block.
    Destination(IpNet),
    /// Its protocol is this one.
    Protocol(u8),
    /// Its destination port is in this range, ends included.
    Port(u16, u16),
    /// Its ICMP type is this one.
    IcmpType(u8),
    /// Its ICMP code is this one.
    IcmpCode(u8),
    /// A set has these parts of the packet.
    In(Vec<Selector>, String),
    /// A map has these parts of the packet, whatever it leads them to.
    InMap(Vec<Selector>, String),
}

/// A part of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Selector {
    /// The device that it came in by.
    From,
    /// The device that it goes out by.
    To,
    /// Its source address.
    Source(Family),
    /// Its destination address.
    Destination(Family),
    /// Its protocol.
    Protocol,
    /// Its destination port.
    Port,
    /// Its source port and its destination port.
    Ports,
    /// Those of TCP's flags that flow logs know: FIN, SYN, RST, ACK.
    TcpFlags,
    /// This number, whatever the packet.
    Byte(u8),
}

/// Elements as a list of pairs, for formats whose maps have text for keys.
mod pairs {
    use super::{Element, Value};
    use serde::{Deserialize, Deserializer, Serializer};
    use std::collections::BTreeMap;

    pub(super) fn serialize<S: Serializer>(map: &BTreeMap<Element, Value>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<Element, Value>, D::Error> {
        Ok(Vec::<(Element, Value)>::deserialize(deserializer)?.into_iter().collect())
    }
}
