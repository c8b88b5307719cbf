//! A verdict as it fell: what the kernel did with a packet, and the rule by which it did so.
//!
//! The kernel says which packet and what became of it; `netplan::walk` says, of the network as it is now, which rule that
//! was. Where no rule says so (a rule that was changed a moment ago, a segment of no connection), that is told as well.

use crate::names::{self, find, owner};
use crate::places::{Found, Somebody, at_address, find_end};
use crate::{Error, text};
use netplan::verdicts::{Outcome, Seen};
use netplan::walk::{Content, Direction, GroupDecision, Hop, Origin, Reason, Station, Walk, walk};
use netplan::{Family, InterfaceAddress, NetworkInterface, NetworkState, link_name};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use store::View;
use types::Timestamp;
use types::id::{EniId, VpcId};
use vpc::rows;

/// The router's devices towards the gateways that lead out.
const OUTWARDS: [&str; 2] = ["igw", "eigw"];

/// What somebody wants to see.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Whose verdicts: a task, a service, a load balancer, an interface, an address. None is everybody's.
    pub who: Option<String>,
    /// Of which VPC. None is each.
    pub vpc: Option<String>,
    /// Refusals alone.
    #[serde(default)]
    pub rejected: bool,
}

/// Who that is, as far as rows tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lens {
    /// The VPC; none is each.
    pub vpc: Option<VpcId>,
    ends: Option<Ends>,
    rejected: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Ends {
    interfaces: BTreeSet<EniId>,
    address: Option<IpAddr>,
}

impl Wanted {
    /// Who is meant.
    pub fn lens(&self, view: &View) -> Result<Lens, Error> {
        let of_vpc = self.vpc.as_ref().map(|id| {
            let row = find::<rows::Vpc>(view, id).map(|(_, row)| row.id.clone());
            row.ok_or_else(|| Error::NotFound {
                what: format!("VPC {id}"),
                next: "List them with `aws ec2 describe-vpcs`.".to_owned(),
            })
        });
        let (mut vpc, mut ends) = (of_vpc.transpose()?, None);
        if let Some(who) = &self.who {
            let all = |somebody: Somebody| {
                let of = |member: &crate::places::Member| (member.interface.id.clone(), member.interface.vpc.clone());
                somebody.members.iter().map(of).collect::<Vec<_>>()
            };
            let (members, address) = match find_end(view, who)? {
                Found::Somebody(somebody) => (all(somebody), None),
                // Whoever has it shows under other addresses, too: a public one is a private one within.
                Found::Address(address) => (at_address(view, address)?.map(all).unwrap_or_default(), Some(address)),
                Found::Internet | Found::Name(_) => {
                    return Err(Error::Unfit(format!(
                        "{who} is in no VPC: name a task, a load balancer, an eni or an address"
                    )));
                }
            };
            let vpcs: BTreeSet<&VpcId> = members.iter().map(|(_, vpc)| vpc).collect();
            if let (None, [one]) = (&vpc, vpcs.into_iter().collect::<Vec<_>>().as_slice()) {
                vpc = Some((*one).clone());
            }
            ends = Some(Ends { interfaces: members.into_iter().map(|(interface, _)| interface).collect(), address });
        }
        Ok(Lens { vpc, ends, rejected: self.rejected })
    }
}

impl Lens {
    /// Whether that is to be seen.
    pub fn shows(&self, verdict: &Verdict) -> bool {
        let at = |end: &End, ends: &Ends| {
            end.interface.as_ref().is_some_and(|interface| ends.interfaces.contains(interface))
                || ends.address == Some(end.address)
        };
        self.vpc.as_ref().is_none_or(|vpc| *vpc == verdict.vpc)
            && (!self.rejected || verdict.action == Action::Reject)
            && self.ends.as_ref().is_none_or(|ends| at(&verdict.from, ends) || at(&verdict.to, ends))
    }
}

/// What the kernel did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Action {
    /// It let a connection's packet through.
    Accept,
    /// It dropped a packet.
    Reject,
}

/// A verdict of a VPC's router.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// When it was heard of.
    pub time: String,
    /// Where it fell.
    pub vpc: VpcId,
    /// What the kernel did.
    pub action: Action,
    /// On whose side it refused: the sender's (egress) or the receiver's (ingress).
    pub refused_on: Option<Direction>,
    /// `tcp`, `udp`, `icmp`, `icmpv6`, or a protocol's number.
    pub protocol: String,
    /// The sender.
    pub from: End,
    /// The receiver.
    pub to: End,
    /// The security groups or the network ACL that decided, by id.
    pub decided_by: Vec<String>,
    /// What they say, in words.
    pub rule: Option<String>,
    /// Whether the rules as they are now say what the kernel did.
    pub explained: bool,
}

/// An end of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct End {
    /// The address in the packet.
    pub address: IpAddr,
    /// The port, if the protocol has ports.
    pub port: Option<u16>,
    /// The interface, if it is one of this VPC's or of a peer's.
    pub interface: Option<EniId>,
    /// Whose it is.
    pub name: String,
}

/// A packet that a router told of.
#[derive(Debug, Clone)]
pub struct Told<'a> {
    /// When.
    pub at: Timestamp,
    /// The router's VPC.
    pub vpc: &'a VpcId,
    /// What became of it.
    pub outcome: Outcome,
    /// The device that it came in by.
    pub from: Option<&'a str>,
    /// The device that it left by, or would have.
    pub to: Option<&'a str>,
    /// The packet.
    pub seen: Seen,
}

impl Verdict {
    /// What was told, with names and rules from `view` and the network that is compiled from it.
    pub fn of(told: &Told<'_>, view: &View, state: &NetworkState) -> Self {
        let Told { at, vpc, outcome, from, to, seen } = told;
        let scene = Scene { vpc, state };
        let (protocol, source_port, port) = match seen.content {
            Some(Content::Tcp { source_port, port }) => ("tcp".to_owned(), Some(source_port), Some(port)),
            Some(Content::Udp { source_port, port }) => ("udp".to_owned(), Some(source_port), Some(port)),
            Some(Content::Icmp { .. }) => ("icmp".to_owned(), None, None),
            Some(Content::Icmpv6 { .. }) => ("icmpv6".to_owned(), None, None),
            None => (seen.protocol.to_string(), None, None),
        };
        let end = |device: Option<&str>, address: IpAddr, port| {
            let interface = scene.interface(device, address).map(|interface| interface.id.clone());
            let row = interface.as_ref().and_then(|id| find::<rows::NetworkInterface>(view, id.as_str()));
            let name = match row {
                Some((scope, row)) => owner(view, scope, row),
                None if outwards(device) => "internet".to_owned(),
                None => String::new(),
            };
            End { address, port, interface, name }
        };
        let found = seen.content.and_then(|content| scene.explain(*outcome, (*from, *to), seen, content));
        let (decided_by, rule) = match &found {
            Some((walk, station)) => {
                let names = names::of(view, std::iter::once(walk), std::iter::empty());
                let (place, says) = text::station(station, |text| text::with_names(text, &names, str::to_owned));
                (deciders(station), Some(format!("{place}: {says}")))
            }
            None => (Vec::new(), None),
        };
        Self {
            time: at.iso8601(),
            vpc: (*vpc).clone(),
            action: if refused_on(*outcome).is_some() { Action::Reject } else { Action::Accept },
            refused_on: refused_on(*outcome),
            protocol,
            from: end(*from, seen.source, source_port),
            to: end(*to, seen.destination, port),
            decided_by,
            rule,
            explained: found.is_some(),
        }
    }

    /// The verdict as a person reads it, in one line; with `colours` for a terminal that shows them.
    pub fn line(&self, colours: bool) -> String {
        let paint = |code: u8, text: &str| if colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() };
        let time = self.time.split('T').nth(1).map_or(self.time.as_str(), |time| time.trim_end_matches('Z'));
        let verdict = match self.action {
            Action::Accept => paint(32, "ACCEPT"),
            Action::Reject => paint(31, "REJECT"),
        };
        let end = |end: &End| {
            let address = |port| SocketAddr::new(end.address, port).to_string();
            let mut text = end.port.map_or_else(|| end.address.to_string(), address);
            let name = match (&end.interface, end.name.as_str()) {
                (Some(interface), "") => interface.as_str(),
                (_, name) => name,
            };
            if !name.is_empty() {
                let _ = write!(text, " {}", paint(2, &format!("({name})")));
            }
            text
        };
        let why = match (&self.rule, self.action) {
            (Some(rule), _) => rule.clone(),
            (None, Action::Accept) => "no rule lets it through any more".to_owned(),
            (None, Action::Reject) => "it is of no connection, or rules have changed since".to_owned(),
        };
        let Self { protocol, from, to, .. } = self;
        format!("{} {verdict} {protocol} {} → {}  {why}", paint(2, time), end(from), end(to))
    }
}

fn refused_on(outcome: Outcome) -> Option<Direction> {
    match outcome {
        Outcome::NotSent => Some(Direction::Egress),
        Outcome::NotReceived => Some(Direction::Ingress),
        Outcome::Sent | Outcome::Received => None,
    }
}

/// The ids of who decided at a station.
fn deciders(station: &Station) -> Vec<String> {
    match station {
        Station::SecurityGroups { decision: GroupDecision::Rule { group, .. }, .. } => vec![group.to_string()],
        Station::SecurityGroups { groups, .. } => groups.iter().map(ToString::to_string).collect(),
        Station::NetworkAcl { acl, .. } => vec![acl.to_string()],
        _ => Vec::new(),
    }
}

/// Whether a device leads to a gateway that leads out.
fn outwards(device: Option<&str>) -> bool {
    device.is_some_and(|device| OUTWARDS.contains(&device))
}

/// A VPC as it is now.
struct Scene<'a> {
    vpc: &'a VpcId,
    state: &'a NetworkState,
}

impl Scene<'_> {
    fn vpc_of(&self, interface: &NetworkInterface) -> Option<&VpcId> {
        self.state.subnets.iter().find(|subnet| subnet.id == interface.subnet).map(|subnet| &subnet.vpc)
    }

    /// The interface behind a device of the router's; behind one that leads to a peer, the one with that address there.
    fn interface(&self, device: Option<&str>, address: IpAddr) -> Option<&NetworkInterface> {
        let device = device?;
        let mut all = self.state.network_interfaces.iter().map(AsRef::as_ref);
        if let Some(own) = all.clone().find(|row| link_name(&row.id) == device && self.vpc_of(row) == Some(self.vpc)) {
            return Some(own);
        }
        let peers = self.state.peerings.iter().filter(|peering| peering.vpcs.contains(self.vpc));
        let peers: Vec<&VpcId> = peers.flat_map(|peering| &peering.vpcs).filter(|vpc| *vpc != self.vpc).collect();
        let there = |row: &&NetworkInterface| {
            row.addresses.iter().any(|entry| entry.private == address)
                && self.vpc_of(row).is_some_and(|vpc| peers.contains(&vpc))
        };
        if outwards(Some(device)) { None } else { all.find(there) }
    }

    /// Who sends from `address` over a device, if the walk can start there.
    fn origin(&self, device: Option<&str>, address: IpAddr) -> Option<Origin> {
        if outwards(device) {
            return Some(Origin::Outside(address));
        }
        let interface = self.interface(device, address)?;
        let starts = interface.primary(Family::of(address)) == Some(address);
        starts.then(|| Origin::Interface(interface.id.clone()))
    }

    /// The address by which a sender calls one who has `address` behind a device.
    fn called(&self, from: &Origin, device: Option<&str>, address: IpAddr) -> IpAddr {
        let inside = match from {
            Origin::Interface(_) => None,
            Origin::Outside(_) => self.interface(device, address),
        };
        let entry = inside.and_then(|row| row.addresses.iter().find(|entry| entry.private == address));
        entry.and_then(InterfaceAddress::outside).unwrap_or(address)
    }

    /// The walk that does as the kernel did, and the station that decided: the packet's own, or, since it may be an answer,
    /// that of the connection the other way.
    fn explain(
        &self,
        outcome: Outcome,
        (from, to): (Option<&str>, Option<&str>),
        seen: &Seen,
        content: Content,
    ) -> Option<(Walk, Station)> {
        let own = || {
            let origin = self.origin(from, seen.source)?;
            let walk = walk(self.state, &origin, self.called(&origin, to, seen.destination), content);
            let station = decided(&walk, &walk.request, walk.reply.is_empty(), outcome)?;
            Some((walk, station))
        };
        let other = || {
            let origin = self.origin(to, seen.destination)?;
            let walk = walk(self.state, &origin, self.called(&origin, from, seen.source), reversed(content));
            let station = decided(&walk, &walk.reply, !walk.reply.is_empty(), outcome)?;
            Some((walk, station))
        };
        if seen.begins { own().or_else(other) } else { other().or_else(own) }
    }
}

fn reversed(content: Content) -> Content {
    match content {
        Content::Tcp { source_port, port } => Content::Tcp { source_port: port, port: source_port },
        Content::Udp { source_port, port } => Content::Udp { source_port: port, port: source_port },
        // Of the messages that are answered, only pings matter.
        Content::Icmp { .. } => Content::echo_request(Family::Ipv4),
        Content::Icmpv6 { .. } => Content::echo_request(Family::Ipv6),
    }
}

/// The station among a walk's `hops` that did what the kernel did; `last` says whether a refusal of the walk is among them.
fn decided(walk: &Walk, hops: &[Hop], last: bool, outcome: Outcome) -> Option<Station> {
    let refused = walk.refusal.as_ref().filter(|_| last);
    match (refused_on(outcome), refused) {
        (Some(side), Some(refusal)) => {
            let told = match &refusal.reason {
                Reason::NoGroupRule { direction, .. } | Reason::AclDenies { direction, .. } => Some(*direction),
                _ => None,
            };
            (told == Some(side)).then(|| hops.last().map(|hop| hop.station.clone()))?
        }
        (None, None) => {
            let rules = hops.iter().rev().map(|hop| &hop.station).find(|station| {
                matches!(station, Station::SecurityGroups { decision: GroupDecision::Rule { .. }, .. })
            });
            rules.cloned()
        }
        _ => None,
    }
}
