//! What a name means in a VPC: a function from the rows and a question to an answer, with no I/O and no state.
//!
//! Names of hosts stand for addresses whether anybody has them or not, as on AWS; names of load balancers, endpoints and
//! public addresses for what the rows hold; names of services for an endpoint's interfaces, where the VPC has one with
//! private DNS, or else for where AWS's own services answer.

use crate::amazon;
use discovery::zone::{Data, Found};
use netplan::Ground;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use store::View;
use types::{Region, Scope};
use vpc::names::{self, AMAZON};
use vpc::query;
use vpc::rows::{NetworkInterface, PeeringState, Vpc, VpcPeeringConnection};

/// Where every VPC's resolver answers, besides the VPC's third address.
pub const LINK_LOCAL: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 253);
/// Where it answers besides in VPCs that have IPv6. Source: VPC user guide, "Amazon DNS server".
pub(crate) const IPV6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x253);
/// How long an answer holds, in seconds: that of load balancers' and hosts' names on AWS.
pub const TTL: u32 = 60;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Hosts and ports.
    Srv,
    /// Another name in its place.
    Cname,
    /// The name of an address.
    Ptr,
    /// Something that no name here has: mail exchangers, texts …
    Other,
}

/// What the resolver says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// These addresses, in this order.
    Addresses(Vec<Ipv4Addr>),
    /// This name.
    Name(String),
    /// What a private zone has.
    Records(Vec<Record>),
    /// The name exists, and has nothing of that kind.
    NoData,
    /// There is no such name.
    NoSuchName,
    /// Whoever knows was not reached.
    Unavailable,
}

impl Answer {
    /// The addresses that it tells, if it tells any.
    pub fn addresses(self) -> Option<Vec<Ipv4Addr>> {
        let addresses = match self {
            Self::Addresses(addresses) => addresses,
            Self::Records(records) => {
                let address = |record: Record| if let Data::A(ip) = record.data { Some(ip) } else { None };
                records.into_iter().filter_map(address).collect()
            }
            Self::Name(_) | Self::NoData | Self::NoSuchName | Self::Unavailable => Vec::new(),
        };
        (!addresses.is_empty()).then_some(addresses)
    }
}

/// A record of a private zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Whose it is, where that is not the name asked for: an alias stands before what it stands for.
    pub owner: Option<String>,
    /// How long it holds, in seconds.
    pub ttl: u32,
    /// What it says.
    pub data: Data,
}

/// The names of a VPC.
pub struct Zone<'a> {
    view: &'a View,
    scope: &'a Scope,
    vpc: Arc<Vpc>,
    ground: &'a Ground,
}

impl<'a> Zone<'a> {
    /// The names in the VPC of that id, if there is one. `ground` says where AWS's own services answer.
    pub fn of(view: &'a View, scope: &'a Scope, vpc: &str, ground: &'a Ground) -> Option<Self> {
        Some(Self { view, scope, vpc: query::vpc(view, scope, vpc)?, ground })
    }

    /// Whether questions are answered at all: `enableDnsSupport`.
    pub fn answers(&self) -> bool {
        self.vpc.dns_support
    }

    /// The answer to whoever has the address `asker` in the VPC. Of several addresses a service's begin with those in the
    /// asker's zone; beyond that, each `turn` begins with another one, as AWS's do.
    pub fn answer(&self, asker: impl Into<IpAddr>, name: &str, kind: Kind, turn: usize) -> Answer {
        let (name, asker) = (name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase(), asker.into());
        if let Some(answer) = self.private(asker, &name, kind, turn) {
            return answer;
        }
        match (self.meaning(asker, &name, turn), kind) {
            (Some(Answer::Addresses(found)), Kind::A) if !found.is_empty() => Answer::Addresses(found),
            (Some(Answer::Name(found)), Kind::Ptr) => Answer::Name(found),
            (Some(_), _) => Answer::NoData,
            (None, _) => Answer::NoSuchName,
        }
    }

    /// Whether a name is in a private zone of the VPC, which then answers alone: nobody else is asked for it.
    pub fn is_private(&self, name: &str) -> bool {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let kind = discovery::zone::Kind::A;
        let found = || discovery::zone::lookup(self.view, self.scope, self.vpc.id.as_str(), (&name, kind), 0);
        self.vpc.dns_hostnames && found().is_some()
    }

    /// What a private zone of the VPC says, if the name is in one. Source: Route 53 developer guide, "Considerations when
    /// using private hosted zones": the VPC must have both DNS support and DNS names.
    fn private(&self, asker: IpAddr, name: &str, kind: Kind, turn: usize) -> Option<Answer> {
        if !self.vpc.dns_hostnames {
            return None;
        }
        let of =
            |name: &str, kind| discovery::zone::lookup(self.view, self.scope, self.vpc.id.as_str(), (name, kind), turn);
        let wanted = match kind {
            Kind::A => discovery::zone::Kind::A,
            Kind::Aaaa => discovery::zone::Kind::Aaaa,
            Kind::Srv => discovery::zone::Kind::Srv,
            Kind::Cname => discovery::zone::Kind::Cname,
            // Nothing else is in a zone, but names are.
            Kind::Ptr | Kind::Other => {
                return of(name, discovery::zone::Kind::A).map(|found| match found {
                    Found::NoSuchName => Answer::NoSuchName,
                    Found::Records(..) | Found::NoData => Answer::NoData,
                });
            }
        };
        let (ttl, found) = match of(name, wanted)? {
            Found::Records(ttl, found) => (ttl, found),
            Found::NoData => return Some(Answer::NoData),
            Found::NoSuchName => return Some(Answer::NoSuchName),
        };
        let mut records = Vec::new();
        for data in found {
            let target = match &data {
                Data::Alias(target) | Data::Cname(target) => target.to_ascii_lowercase(),
                _ => {
                    records.push(Record { owner: None, ttl, data });
                    continue;
                }
            };
            let target = target.trim_end_matches('.').to_owned();
            let alias = matches!(data, Data::Alias(_));
            if !alias {
                records.push(Record { owner: None, ttl, data });
            }
            if kind == Kind::A {
                // One step: what the other name stands for is not gone after.
                let addresses = match of(&target, wanted) {
                    Some(Found::Records(ttl, found)) => found.into_iter().map(|data| (ttl, data)).collect(),
                    Some(_) => Vec::new(),
                    None => match self.meaning(asker, &target, turn) {
                        Some(Answer::Addresses(found)) => found.into_iter().map(|ip| (TTL, Data::A(ip))).collect(),
                        _ => Vec::new(),
                    },
                };
                let addresses = addresses.into_iter().filter(|(_, data)| matches!(data, Data::A(_)));
                let owner = (!alias).then_some(target);
                records.extend(addresses.map(|(ttl, data)| Record { owner: owner.clone(), ttl, data }));
            }
        }
        Some(if records.is_empty() { Answer::NoData } else { Answer::Records(records) })
    }

    fn meaning(&self, asker: IpAddr, name: &str, turn: usize) -> Option<Answer> {
        if let Some(reversed) = name.strip_suffix(".in-addr.arpa") {
            return self.name_of(reversed).map(Answer::Name);
        }
        let addresses = if let Some(host) = below(name, &names::internal_domain(&self.scope.region)) {
            vec![self.host(host)?]
        } else if name.ends_with(&format!(".elb.{AMAZON}")) {
            self.load_balancer(name, turn)?
        } else if let Some(labels) = below(name, &format!("vpce.{AMAZON}")) {
            self.endpoint(name, labels, turn)?
        } else if let Some((public, region)) = public_host(name) {
            vec![self.holder(public, &region)?]
        } else {
            self.service(asker, name, turn)?
        };
        Some(Answer::Addresses(addresses))
    }

    /// `ip-10-0-1-5`, of any address of the VPC.
    fn host(&self, label: &str) -> Option<Ipv4Addr> {
        names::parse_dashed(label.strip_prefix("ip-")?).filter(|ip| self.is_ours(*ip))
    }

    fn is_ours(&self, ip: Ipv4Addr) -> bool {
        self.vpc.cidrs().any(|block| block.contains(&ip))
    }

    /// The name of `5.1.0.10`.
    fn name_of(&self, reversed: &str) -> Option<String> {
        let octets: Vec<&str> = reversed.split('.').rev().collect();
        let text = octets.join(".");
        let ip = text.parse::<Ipv4Addr>().ok().filter(|ip| ip.to_string() == text)?;
        if self.is_ours(ip) {
            return Some(names::private_name(&self.scope.region, ip));
        }
        self.holder(ip, &self.scope.region).map(|_| names::public_name(&self.scope.region, ip))
    }

    /// What a public address's name means: within the VPC of who has it the private address, and where that VPC lets
    /// its peers know; elsewhere itself.
    fn holder(&self, public: Ipv4Addr, region: &Region) -> Option<Ipv4Addr> {
        let holder = |scope: Scope| query::holder(self.view, &scope, public).map(|found| (scope, found));
        let (scope, (interface, private)) = self.scopes_in(region).into_iter().find_map(holder)?;
        let home = query::vpc(self.view, &scope, interface.vpc.as_str()).filter(|vpc| vpc.dns_hostnames)?;
        let within = home.id == self.vpc.id || self.is_told_by(&home);
        Some(if within { private } else { public })
    }

    /// Whether a peer has private addresses told here. Source: VPC peering guide, "Enable DNS resolution for a VPC peering
    /// connection": both must have DNS names, too.
    fn is_told_by(&self, peer: &Vpc) -> bool {
        let allows = |row: &Arc<VpcPeeringConnection>| {
            let side = row.beyond(&self.vpc.id).filter(|_| row.state == PeeringState::Active);
            side.is_some_and(|side| side.vpc == peer.id && side.allow_dns)
        };
        let named = [&*self.vpc, peer].into_iter().all(|vpc| vpc.dns_support && vpc.dns_hostnames);
        named && query::peerings(self.view, self.scope).iter().any(allows)
    }

    /// `<name>-<digits>.<region>.elb.amazonaws.com`, with or without `dualstack.` or `internal-` in front.
    fn load_balancer(&self, name: &str, turn: usize) -> Option<Vec<Ipv4Addr>> {
        let name = name.strip_prefix("dualstack.").unwrap_or(name);
        let region = name.split('.').nth(1)?.parse().ok()?;
        // Everybody gets the same answer: a load balancer that faces the internet has public addresses within, too.
        let addresses = |scope: Scope| elb::query::addresses(self.view, &scope, name, true);
        let found = self.scopes_in(&region).into_iter().map(addresses).find(|found| !found.is_empty())?;
        Some(rotated(found, turn))
    }

    /// `vpce-<id>-<letters>[-<zone>].<service>.<region>`: an endpoint's addresses, wherever one asks.
    fn endpoint(&self, name: &str, labels: &str, turn: usize) -> Option<Vec<Ipv4Addr>> {
        let region = labels.rsplit('.').next()?.parse().ok()?;
        // A registry's name may stand in front of its endpoint's.
        let name = &name[name.find("vpce-")?..];
        let id = name.match_indices('-').nth(1).map(|(at, _)| &name[..at])?;
        let endpoint = |scope: Scope| query::endpoint(self.view, &scope, id).map(|row| (scope, row));
        let (scope, endpoint) = self.scopes_in(&region).into_iter().find_map(endpoint)?;
        if endpoint.kind != "Interface" {
            return None;
        }
        let interfaces = query::endpoint_interfaces(self.view, &scope, &endpoint);
        let called = |zone: Option<&str>| names::endpoint_name(&scope.region, &endpoint, zone) == name;
        if called(None) {
            return Some(rotated(interfaces.iter().filter_map(|row| row.private_ip()).collect(), turn));
        }
        interfaces.iter().find(|row| called(Some(&row.zone))).map(|row| row.private_ip().into_iter().collect())
    }

    fn service(&self, asker: IpAddr, name: &str, turn: usize) -> Option<Vec<Ipv4Addr>> {
        let named = amazon::parse(name)?;
        let here = named.region.as_ref() == Some(&self.scope.region);
        let endpoint = query::private_dns_endpoint(self.view, self.scope, &self.vpc, named.service).filter(|_| here);
        if let Some(endpoint) = endpoint {
            let zone = query::interface_by_ip(self.view, self.scope, &self.vpc.id, asker).map(|row| row.zone.clone());
            let interfaces = query::endpoint_interfaces(self.view, self.scope, &endpoint);
            let mut interfaces = rotated(interfaces, turn);
            interfaces.sort_by_key(|row| Some(&row.zone) != zone.as_ref());
            let addresses = interfaces.iter().filter_map(|row: &Arc<NetworkInterface>| row.private_ip());
            return Some(addresses.collect());
        }
        let public = named.has_gateway_endpoints();
        Some(vec![if public { self.ground.gateway_endpoint_address() } else { self.ground.service_address() }])
    }

    /// Everybody who has something in a region: names that begin with nobody's account are the world's.
    fn scopes_in(&self, region: &Region) -> BTreeSet<Scope> {
        self.view.scan_all::<Vpc>().map(|(scope, _)| scope).filter(|scope| scope.region == *region).cloned().collect()
    }
}

/// What stands in front of a domain.
fn below<'n>(name: &'n str, domain: &str) -> Option<&'n str> {
    name.strip_suffix(domain)?.strip_suffix('.')
}

/// The address and region in `ec2-198-18-0-16.compute-1.amazonaws.com`.
fn public_host(name: &str) -> Option<(Ipv4Addr, Region)> {
    let (label, domain) = name.strip_prefix("ec2-")?.split_once('.')?;
    let region = match domain.strip_suffix(&format!(".compute.{AMAZON}")) {
        Some(region) => region.parse().ok()?,
        None => Region::default(),
    };
    (names::public_domain(&region) == domain).then_some((names::parse_dashed(label)?, region))
}

fn rotated<T>(mut list: Vec<T>, turn: usize) -> Vec<T> {
    if let Some(by) = turn.checked_rem(list.len()) {
        list.rotate_left(by);
    }
    list
}

#[cfg(test)]
mod tests;
