//! The answer: every way between two ends, with what stands in each and what to change.

use crate::places::{self, Found, KnownPort, Member, Somebody};
use crate::probe::Probed;
use crate::remedy::{self, Change, Standing};
use crate::{Error, Protocol, Question, metadata, names};
use netplan::walk::{Content, Fix, Origin, Walk, walk, walk_from_any_port};
use netplan::{Family, Ground, NetworkState};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use store::View;
use types::Scope;
use types::id::{EniId, VpcId};

/// How many ways are gone: a large service has many tasks, and all are alike.
const WAYS: usize = 16;
/// Where AWS's services listen.
const HTTPS: KnownPort = KnownPort { number: 443, why: "where AWS's services listen" };

/// Whether one end reaches the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// Where packets start.
    pub from: String,
    /// Where they should arrive.
    pub to: String,
    /// What is sent.
    pub protocol: Protocol,
    /// To which port; a ping has none.
    pub port: Option<u16>,
    /// Why that port, if nobody named one.
    pub port_because: Option<String>,
    /// Whether every way passes.
    pub reachable: bool,
    /// The ways: from each interface of the one to each address of the other.
    pub ways: Vec<Way>,
    /// How many more there are.
    pub more: usize,
    /// Names of what the ways pass, by id.
    pub names: BTreeMap<String, String>,
}

/// One way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Way {
    /// Where it starts.
    pub from: Place,
    /// Where it should end.
    pub to: Place,
    /// Hop by hop.
    pub walk: Walk,
    /// What to change, in this order, for packets to pass.
    pub changes: Vec<Change>,
    /// Whether they pass then.
    pub then_passes: bool,
    /// What became of a real packet, if one was sent.
    pub probe: Option<Probed>,
}

/// An end of a way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// Its address there.
    pub address: IpAddr,
    /// Its interface, if it has one that is known.
    pub interface: Option<EniId>,
    /// The namespace that holds it.
    pub namespace: Option<String>,
    /// Whose it is.
    pub what: String,
}

/// Where packets start.
struct Start {
    origin: Origin,
    place: Place,
    /// Its address in ways to IPv6 addresses, if it has one.
    ipv6: Option<IpAddr>,
    /// Its VPC, if it is in one.
    vpc: Option<(Scope, VpcId)>,
}

impl Answer {
    /// The answer, from the rows in `view` and the network that is compiled from them.
    pub fn to(question: &Question, view: &View, ground: &Ground) -> Result<Self, Error> {
        let state = vpc::controller::network_state(view, ground);
        let (from, starts) = starts(question, view, ground)?;
        let end = places::find_end(view, &question.to)?;
        let (to, known_port) = title(&end, question)?;
        let (protocol, port, port_because) = packet(question, known_port)?;
        let mut ways = Vec::new();
        let (mut more, mut itself) = (0, false);
        for start in &starts {
            for place in goals(&end, start, view, ground, &state)? {
                // Who asks itself sends nothing.
                if place.address == start.place.address
                    || Some(place.address) == start.ipv6
                    || (start.place.interface.is_some() && place.interface == start.place.interface)
                {
                    itself = true;
                    continue;
                }
                if ways.len() == WAYS {
                    more += 1;
                    continue;
                }
                ways.push(way(start, place, protocol, port, view, &state));
            }
        }
        if ways.is_empty() {
            return Err(Error::Unfit(if itself {
                format!("{from} and {to} are one and the same: nothing is sent between them")
            } else {
                format!("{from} or {to} has no address yet: ask again in a moment")
            }));
        }
        let names = names::of(
            view,
            ways.iter().map(|way| &way.walk),
            ways.iter().flat_map(|way| &way.changes).map(|change| &change.fix),
        );
        let reachable = ways.iter().all(|way| way.walk.passes());
        Ok(Self { from, to, protocol, port, port_because, reachable, ways, more, names })
    }
}

impl Protocol {
    /// A first packet from a port of the sender's.
    pub(crate) fn content(self, family: Family, source_port: u16, port: Option<u16>) -> Content {
        let port = port.unwrap_or_default();
        match self {
            Self::Tcp => Content::Tcp { source_port, port },
            Self::Udp => Content::Udp { source_port, port },
            Self::Icmp => Content::echo_request(family),
        }
    }
}

fn starts(question: &Question, view: &View, ground: &Ground) -> Result<(String, Vec<Start>), Error> {
    let outside = |address: IpAddr, ipv6: Option<IpAddr>| Start {
        origin: Origin::Outside(address),
        place: Place { address, interface: None, namespace: None, what: "outside of all VPCs".to_owned() },
        ipv6,
        vpc: None,
    };
    let somebody = match places::find_end(view, &question.from)? {
        Found::Internet => {
            let host = outside(ground.host_address().into(), Some(ground.host_address_ipv6().into()));
            return Ok(("the internet".to_owned(), vec![host]));
        }
        Found::Address(address) => match enters(address).and_then(|()| places::at_address(view, address))? {
            Some(somebody) => somebody,
            None if is_inside(view, address) => {
                return Err(Error::NotFound {
                    what: format!("interface with {address}"),
                    next: "A path starts at an interface; list them with `aws ec2 describe-network-interfaces`."
                        .to_owned(),
                });
            }
            None => return Ok((address.to_string(), vec![outside(address, None)])),
        },
        Found::Somebody(somebody) => somebody,
        Found::Name(name) => {
            return Err(Error::Unfit(format!(
                "{name} is no place to start from: name a task, a load balancer or an eni"
            )));
        }
    };
    let start = |member: &Member| {
        let address = member.interface.private_ip()?.into();
        Some(Start {
            origin: Origin::Interface(member.interface.id.clone()),
            place: place(member, address),
            ipv6: member.interface.ipv6.first().copied().map(IpAddr::V6),
            vpc: Some((member.scope.clone(), member.interface.vpc.clone())),
        })
    };
    Ok((somebody.title.clone(), somebody.members.iter().filter_map(start).collect()))
}

/// Whether the address is one of a VPC's.
fn is_inside(view: &View, address: IpAddr) -> bool {
    view.scan_all::<vpc::rows::Vpc>().any(|(_, vpc)| match address {
        IpAddr::V4(address) => vpc.cidrs().any(|cidr| cidr.contains(&address)),
        IpAddr::V6(address) => vpc.ipv6_cidrs().any(|cidr| cidr.contains(&address)),
    })
}

fn place(member: &Member, address: IpAddr) -> Place {
    let attachment = member.interface.attachment.as_ref();
    Place {
        address,
        interface: Some(member.interface.id.clone()),
        namespace: attachment.and_then(|attachment| attachment.namespace.clone()),
        what: member.what.clone(),
    }
}

/// What the end is called, and where it listens as far as rows tell.
fn title(end: &Found, question: &Question) -> Result<(String, Option<KnownPort>), Error> {
    Ok(match end {
        Found::Internet => {
            return Err(Error::Unfit(
                "the internet is where a path may start. To ask for a way out, name an address or a service, such as \
                 api.ecr.us-east-1.amazonaws.com"
                    .to_owned(),
            ));
        }
        Found::Address(_) => (question.to.clone(), None),
        Found::Somebody(somebody) => (somebody.title.clone(), somebody.port),
        Found::Name(name) if is_service(name) => (name.clone(), Some(HTTPS)),
        Found::Name(name) => (name.clone(), None),
    })
}

/// What is sent: as asked, or to the port that is known, or a ping.
fn packet(question: &Question, known: Option<KnownPort>) -> Result<(Protocol, Option<u16>, Option<String>), Error> {
    match (question.protocol, question.port, known) {
        (Some(Protocol::Icmp), _, _) | (None, None, None) => Ok((Protocol::Icmp, None, None)),
        (protocol, Some(port), _) => Ok((protocol.unwrap_or(Protocol::Tcp), Some(port), None)),
        (None | Some(Protocol::Tcp), None, Some(KnownPort { number, why })) => {
            Ok((Protocol::Tcp, Some(number), Some(why.to_owned())))
        }
        (Some(protocol), None, _) => {
            let to = &question.to;
            Err(Error::Unfit(format!("which {} port? Write it behind the name: {to}:<port>", protocol.as_str())))
        }
    }
}

/// The addresses that the end has for those who start there.
fn goals(end: &Found, start: &Start, view: &View, ground: &Ground, state: &NetworkState) -> Result<Vec<Place>, Error> {
    let bare = |address: IpAddr| {
        let in_vpc = |(scope, vpc): &(Scope, VpcId)| vpc::query::interface_by_ip(view, scope, vpc, address);
        let interface = start.vpc.as_ref().and_then(in_vpc);
        let scope = start.vpc.as_ref().map(|(scope, _)| scope);
        match (interface, scope) {
            (Some(interface), Some(scope)) => {
                let what = names::owner(view, scope, &interface);
                place(&Member { scope: scope.clone(), interface, what }, address)
            }
            _ => Place { address, interface: None, namespace: None, what: String::new() },
        }
    };
    Ok(match end {
        Found::Internet => Vec::new(),
        Found::Address(address) => {
            enters(*address)?;
            vec![bare(*address)]
        }
        Found::Somebody(somebody) => {
            somebody.members.iter().filter_map(|member| goal(somebody, member, start, view, state)).collect()
        }
        Found::Name(name) => {
            let Some((scope, vpc)) = &start.vpc else {
                return Err(Error::Unfit(format!(
                    "{name} means something to those in a VPC alone: from outside, name an address or a load balancer"
                )));
            };
            let IpAddr::V4(asker) = start.place.address else { return Ok(Vec::new()) };
            let found = places::resolve(view, ground, (scope, vpc), asker, name)?;
            found.iter().try_for_each(|address| enters((*address).into()))?;
            found.into_iter().map(|address| bare(address.into())).collect()
        }
    })
}

/// Whether packets to an address enter the network at all. Of the others the sender's kernel keeps some, and a VPC carries
/// no multicast and no broadcast. Source: Amazon VPC FAQs, "Does Amazon VPC support multicast or broadcast?"; RFC 6890.
fn enters(address: IpAddr) -> Result<(), Error> {
    let address = address.to_canonical();
    let of_no_host = matches!(address, IpAddr::V4(ip) if ip.octets()[0] == 0) || address.is_unspecified();
    let what = if address.is_loopback() {
        "is the sender's own"
    } else if address.is_multicast() {
        "is a multicast address"
    } else if address == IpAddr::V4(Ipv4Addr::BROADCAST) {
        "is the broadcast address"
    } else if of_no_host {
        "is no host's"
    } else {
        return Ok(());
    };
    Err(Error::Unfit(format!("{address} {what}: no packet to it enters the network")))
}

/// Whether a name is a service's of AWS's, and not a host's.
fn is_service(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name.strip_suffix(".amazonaws.com").is_some_and(|labels| !labels.starts_with("ec2-"))
}

/// A member's address: the private one within its VPC and beyond a peering connection, elsewhere the public one. A name
/// of DNS's means public addresses everywhere.
fn goal(somebody: &Somebody, member: &Member, start: &Start, view: &View, state: &NetworkState) -> Option<Place> {
    let private = member.interface.private_ip()?;
    let home = &member.interface.vpc;
    let near = start.vpc.as_ref().is_some_and(|(_, vpc)| {
        vpc == home || state.peerings.iter().any(|peering| peering.vpcs.contains(vpc) && peering.vpcs.contains(home))
    });
    let public = vpc::query::public_ip(view, &member.scope, &member.interface);
    let address = if near && !somebody.by_dns { private } else { public.unwrap_or(private) };
    Some(place(member, address.into()))
}

impl Start {
    /// It as it sends to an address.
    fn towards(&self, to: IpAddr) -> (Origin, Place) {
        let address = self.ipv6.filter(|_| to.is_ipv6()).unwrap_or(self.place.address);
        let origin = match &self.origin {
            Origin::Outside(_) => Origin::Outside(address),
            origin @ Origin::Interface(_) => origin.clone(),
        };
        (origin, Place { address, ..self.place.clone() })
    }
}

fn way(start: &Start, to: Place, protocol: Protocol, port: Option<u16>, view: &View, state: &NetworkState) -> Way {
    let ((origin, from), family) = (start.towards(to.address), Family::of(to.address));
    let go = |state: &NetworkState| {
        let walk = match protocol {
            Protocol::Icmp => walk(state, &origin, to.address, Content::echo_request(family)),
            _ => walk_from_any_port(state, &origin, to.address, |own| protocol.content(family, own, port)),
        };
        metadata::asked(view, walk)
    };
    let first = go(state);
    let fix = first.refusal.as_ref().and_then(|refusal| refusal.fix.clone());
    let again = |state: &NetworkState| go(state).refusal.map(|refusal| refusal.fix);
    let (fixes, then_passes) = if first.passes() { (Vec::new(), true) } else { remedy::all(state, fix, again) };
    let changes = fixes.into_iter().map(|fix| {
        let standing = standing(view, &fix);
        Change::new(fix, &standing)
    });
    Way { from, to, walk: first, changes: changes.collect(), then_passes, probe: None }
}

/// How the rows stand that a fix speaks of.
fn standing(view: &View, fix: &Fix) -> Standing {
    match fix {
        Fix::GivePublicAddress { interface, .. } => {
            let row = names::find::<vpc::rows::NetworkInterface>(view, interface.as_str());
            Standing { managed: row.is_some_and(|(_, row)| row.requester.is_some()), ..Standing::default() }
        }
        Fix::AssociateRouteTable { subnet, .. } => {
            let mut all = view.scan_all::<vpc::rows::RouteTable>().flat_map(|(_, table)| &table.associations);
            let own = all.find(|association| association.subnet == *subnet);
            Standing { association: own.map(|association| association.id.clone()), ..Standing::default() }
        }
        _ => Standing::default(),
    }
}
