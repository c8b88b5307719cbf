//! AWS's rules, read plainly: a second opinion that shares no code with the compiler or the walk.
//!
//! A packet is carried from place to place. Gateways translate it, NAT gateways remember what they translated, and the
//! answer is carried back like any other packet, except that security groups let it pass. Sources: Amazon VPC user
//! guide, "Security group rules", "Network ACL basics", "Route priority", "NAT gateway basics".

use netplan::{
    Destination, NetworkAcl, NetworkInterface, NetworkState, Peer, PortRange, RouteTarget, Subnet, Traffic, Vpc,
    VpcPeering,
    walk::{Content, Origin},
};
use std::net::{IpAddr, Ipv6Addr};
use types::id::VpcId;

#[derive(Clone, Copy, PartialEq, Eq)]
struct Packet {
    from: IpAddr,
    to: IpAddr,
    content: Content,
    answer: bool,
}

/// Where a packet ended up.
#[derive(Clone, Copy)]
enum Arrival<'n> {
    /// At an interface, which may answer.
    At(&'n NetworkInterface),
    /// Outside.
    Outside,
    /// In the VPC's own services, which answer at once.
    Service,
    /// Behind a gateway endpoint of this VPC.
    Endpoint(&'n Vpc),
}

/// What a NAT gateway remembers: the packet as it came, and as it was sent on.
struct Memory<'n> {
    gateway: &'n NetworkInterface,
    came: Packet,
    sent: Packet,
}

/// Whether a connection comes about.
pub(crate) fn passes(net: &NetworkState, origin: &Origin, to: IpAddr, content: Content) -> bool {
    let mut carrier = Carrier { net, memories: Vec::new(), went_out: Vec::new() };
    let (arrival, question, asked) = match origin {
        Origin::Outside(from) => {
            let question = Packet { from: *from, to, content, answer: false };
            (carrier.outside(question), question, None)
        }
        Origin::Interface(id) => {
            let Some(sender) = net.network_interfaces.iter().find(|interface| interface.id == *id) else {
                return false;
            };
            if sender.attachment.is_none() {
                return false;
            }
            // Who has no address of the family cannot even begin.
            let mut own = sender.addresses.iter().map(|address| address.private);
            let Some(from) = own.find(|ip| ip.is_ipv6() == to.is_ipv6()) else { return false };
            let question = Packet { from, to, content, answer: false };
            (carrier.send(sender, question, 0), question, Some(sender))
        }
    };
    let Some((arrival, arrived)) = arrival else { return false };
    let content = match content {
        Content::Tcp { source_port, port } => Content::Tcp { source_port: port, port: source_port },
        Content::Udp { source_port, port } => Content::Udp { source_port: port, port: source_port },
        Content::Icmp { .. } => Content::Icmp { kind: 0, code: 0 },
        Content::Icmpv6 { .. } => Content::Icmpv6 { kind: 129, code: 0 },
    };
    let answer = Packet { from: arrived.to, to: arrived.from, content, answer: true };
    let back = match arrival {
        Arrival::Service => return true,
        Arrival::At(receiver) => carrier.send(receiver, answer, 0),
        Arrival::Outside => carrier.outside(answer),
        Arrival::Endpoint(vpc) => carrier.come_in(vpc, answer),
    };
    // It must come to who asked, from whom was asked.
    back.is_some_and(|(arrival, back)| {
        let right = back.from == question.to && back.to == question.from;
        right
            && match (arrival, asked) {
                (Arrival::At(interface), Some(asked)) => interface.id == asked.id,
                (Arrival::Outside, None) => true,
                _ => false,
            }
    })
}

struct Carrier<'n> {
    net: &'n NetworkState,
    memories: Vec<Memory<'n>>,
    /// What egress-only gateways remember: who sent what out.
    went_out: Vec<Packet>,
}

impl<'n> Carrier<'n> {
    /// An interface sends a packet.
    fn send(&mut self, sender: &'n NetworkInterface, packet: Packet, depth: usize) -> Option<(Arrival<'n>, Packet)> {
        if depth > 8 {
            return None;
        }
        let subnet = self.subnet(sender);
        let vpc = self.net.vpcs.iter().find(|vpc| vpc.id == subnet.vpc)?;
        if let Some(answers) = local_service(vpc, packet.to) {
            return answers.then_some((Arrival::Service, packet));
        }
        if !self.is_nat(sender) && !packet.answer && !self.groups_allow(sender, packet.to, packet.content, true) {
            return None;
        }
        let within = packet.to.is_ipv6() && vpc.cidrs.iter().any(|cidr| cidr.contains(&packet.to));
        match self.route(vpc, subnet, packet.to)? {
            // What is inside is not found outside.
            Hop::Gateway | Hop::EgressOnly if within => None,
            Hop::Gateway => {
                self.acl_allows(subnet, packet.to, packet.content, true).then_some(())?;
                let own = sender.addresses.iter().find(|address| address.private == packet.from)?;
                // Over IPv6 everybody is outside who they are inside.
                let from = if packet.from.is_ipv6() { packet.from } else { own.public?.into() };
                self.outside(Packet { from, ..packet })
            }
            Hop::EgressOnly => {
                self.acl_allows(subnet, packet.to, packet.content, true).then_some(())?;
                // It knows no answers to what did not go out by it.
                (!packet.answer).then_some(())?;
                self.went_out.push(packet);
                self.outside(packet)
            }
            Hop::Vpc(peer) => {
                self.acl_allows(subnet, packet.to, packet.content, true).then_some(())?;
                self.come_in(peer, packet)
            }
            Hop::Endpoint => {
                self.acl_allows(subnet, packet.to, packet.content, true).then_some(())?;
                let served = packet.to == IpAddr::V4(self.net.ground.gateway_endpoint_address());
                served.then_some((Arrival::Endpoint(vpc), packet))
            }
            Hop::Interface(next) => {
                let other = self.subnet(next);
                if other.id != subnet.id {
                    self.acl_allows(subnet, packet.to, packet.content, true).then_some(())?;
                    self.acl_allows(other, packet.from, packet.content, false).then_some(())?;
                }
                self.receive(next, packet, depth)
            }
        }
    }

    /// A packet comes into a VPC from another one, or from a gateway endpoint.
    fn come_in(&mut self, vpc: &Vpc, packet: Packet) -> Option<(Arrival<'n>, Packet)> {
        let receiver = self.net.network_interfaces.iter().find(|found| {
            let there = found.attachment.is_some() || self.is_nat(found);
            let has = found.addresses.iter().any(|address| address.private == packet.to);
            there && has && self.subnet(found).vpc == vpc.id
        })?;
        self.acl_allows(self.subnet(receiver), packet.from, packet.content, false).then_some(())?;
        self.receive(receiver, packet, 0)
    }

    /// A packet is outside of all VPCs.
    fn outside(&mut self, packet: Packet) -> Option<(Arrival<'n>, Packet)> {
        let ground = &self.net.ground;
        let known = [ground.host_address(), ground.service_address(), ground.gateway_endpoint_address()];
        let known_ipv6 = [ground.host_address_ipv6(), ground.service_address_ipv6()];
        if known.iter().any(|ip| packet.to == *ip) || known_ipv6.iter().any(|ip| packet.to == *ip) {
            return Some((Arrival::Outside, packet));
        }
        for interface in &self.net.network_interfaces {
            for address in &interface.addresses {
                let subnet = self.subnet(interface);
                let open = self.net.internet_gateways.iter().any(|gateway| gateway.vpc == subnet.vpc);
                let there = interface.attachment.is_some() || self.is_nat(interface);
                let outside =
                    if address.private.is_ipv6() { Some(address.private) } else { address.public.map(IpAddr::V4) };
                let asked = |out: &Packet| packet.answer && (out.from, out.to) == (packet.to, packet.from);
                let open = open || self.went_out.iter().any(asked);
                if outside == Some(packet.to) && open && there {
                    self.acl_allows(subnet, packet.from, packet.content, false).then_some(())?;
                    return self.receive(interface, Packet { to: address.private, ..packet }, 0);
                }
            }
        }
        None
    }

    /// A packet is at an interface.
    fn receive(&mut self, at: &'n NetworkInterface, packet: Packet, depth: usize) -> Option<(Arrival<'n>, Packet)> {
        let own = at.addresses.iter().any(|address| address.private == packet.to);
        if self.is_nat(at) {
            // It knows no IPv6, also where a route names its interface.
            if packet.to.is_ipv6() {
                return None;
            }
            if packet.answer {
                let sent = |memory: &Memory<'_>| {
                    memory.sent.from == packet.to && memory.sent.to == packet.from && memory.gateway.id == at.id
                };
                let memory = self.memories.iter().find(|memory| sent(memory))?;
                let back = Packet { from: memory.came.to, to: memory.came.from, ..packet };
                return self.send(at, back, depth + 1);
            }
            if own {
                return None;
            }
            let sent = Packet { from: at.addresses[0].private, ..packet };
            self.memories.push(Memory { gateway: at, came: packet, sent });
            return self.send(at, sent, depth + 1);
        }
        let allowed = packet.answer || self.groups_allow(at, packet.from, packet.content, false);
        // What is not its own it does not take (source/destination check) or does not hand on.
        (own && allowed).then_some((Arrival::At(at), packet))
    }

    fn subnet(&self, interface: &NetworkInterface) -> &'n Subnet {
        self.net.subnets.iter().find(|subnet| subnet.id == interface.subnet).unwrap()
    }

    fn is_nat(&self, interface: &NetworkInterface) -> bool {
        self.net.nat_gateways.iter().any(|nat| nat.interface == interface.id)
    }

    /// The route of the longest prefix; the VPC's own is one of them.
    fn route(&self, vpc: &Vpc, subnet: &Subnet, to: IpAddr) -> Option<Hop<'n>> {
        let table = self.net.route_tables.iter().find(|table| table.id == subnet.route_table)?;
        let local = vpc.cidrs.iter().find(|cidr| cidr.contains(&to)).map(|cidr| (cidr.prefix_len(), None));
        let mut matching: Vec<(u8, Option<&RouteTarget>)> = local.into_iter().collect();
        for route in &table.routes {
            let blocks = match &route.destination {
                Destination::Cidr(block) => vec![*block],
                Destination::PrefixList(list) => self.net.prefix_lists[list].clone(),
            };
            let fitting = blocks.into_iter().filter(|block| block.contains(&to));
            matching.extend(fitting.map(|block| (block.prefix_len(), Some(&route.target))));
        }
        // Of two equal ones a static route comes before one by a prefix list, which the table has last here; the VPC's
        // own comes before both.
        let best = matching.iter().map(|(prefix, _)| *prefix).max()?;
        let (_, target) = matching.into_iter().find(|(prefix, _)| *prefix == best)?;
        let interface = |id| {
            let found = self.net.network_interfaces.iter().find(|interface| interface.id == id)?;
            let there = found.attachment.is_some() || self.is_nat(found);
            (there && self.subnet(found).vpc == vpc.id).then_some(Hop::Interface(found))
        };
        match target {
            None => self.net.network_interfaces.iter().find_map(|found| {
                let there = found.attachment.is_some() || self.is_nat(found);
                let has = found.addresses.iter().any(|address| address.private == to);
                (there && has && self.subnet(found).vpc == vpc.id).then_some(Hop::Interface(found))
            }),
            Some(RouteTarget::InternetGateway(id)) => {
                let attached = self.net.internet_gateways.iter().any(|igw| igw.id == *id && igw.vpc == vpc.id);
                attached.then_some(Hop::Gateway)
            }
            Some(RouteTarget::EgressOnlyInternetGateway(id)) => {
                let gateways = &self.net.egress_only_internet_gateways;
                let here = gateways.iter().any(|found| found.id == *id && found.vpc == vpc.id);
                (here && to.is_ipv6()).then_some(Hop::EgressOnly)
            }
            // NAT gateways and gateway endpoints know no IPv6.
            Some(RouteTarget::NatGateway(_) | RouteTarget::GatewayEndpoint(_)) if to.is_ipv6() => None,
            Some(RouteTarget::NatGateway(id)) => {
                interface(self.net.nat_gateways.iter().find(|nat| nat.id == *id)?.interface.clone())
            }
            Some(RouteTarget::NetworkInterface(id)) => interface(id.clone()),
            Some(RouteTarget::GatewayEndpoint(id)) => {
                let here = self.net.gateway_endpoints.iter().any(|found| found.id == *id && found.vpc == vpc.id);
                here.then_some(Hop::Endpoint)
            }
            Some(RouteTarget::Peering(id)) => {
                let peer = Self::peer(&vpc.id, self.net.peerings.iter().find(|peering| peering.id == *id)?)?;
                self.net.vpcs.iter().find(|vpc| vpc.id == *peer).map(Hop::Vpc)
            }
            Some(RouteTarget::Local | RouteTarget::Blackhole) => None,
        }
    }

    fn peer(vpc: &VpcId, peering: &'n VpcPeering) -> Option<&'n VpcId> {
        let [a, b] = &peering.vpcs;
        if a == vpc { Some(b) } else { (b == vpc).then_some(a) }
    }

    fn groups_allow(&self, at: &NetworkInterface, other: IpAddr, content: Content, out: bool) -> bool {
        at.groups.iter().any(|id| {
            let group = self.net.security_groups.iter().find(|group| group.id == *id).unwrap();
            let rules = if out { &group.egress } else { &group.ingress };
            rules.iter().any(|rule| speaks_of(rule.traffic, content) && self.is_peer(&rule.peer, at, other))
        })
    }

    fn is_peer(&self, peer: &Peer, at: &NetworkInterface, other: IpAddr) -> bool {
        match peer {
            Peer::Cidr(block) => block.contains(&other),
            Peer::PrefixList(id) => self.net.prefix_lists[id].iter().any(|block| block.contains(&other)),
            Peer::Group(id) => self.net.network_interfaces.iter().any(|member| {
                let has = member.addresses.iter().any(|address| address.private == other);
                let (home, other) = (&self.subnet(at).vpc, &self.subnet(member).vpc);
                let mut peers = self.net.peerings.iter().filter_map(|peering| Self::peer(home, peering));
                has && member.groups.contains(id) && (home == other || peers.any(|peer| peer == other))
            }),
        }
    }

    fn acl_allows(&self, subnet: &Subnet, other: IpAddr, content: Content, out: bool) -> bool {
        let acl: &NetworkAcl = self.net.network_acls.iter().find(|acl| acl.id == subnet.network_acl).unwrap();
        let entries = if out { &acl.egress } else { &acl.ingress };
        let speaking = entries.iter().filter(|entry| entry.cidr.contains(&other) && speaks_of(entry.traffic, content));
        speaking.min_by_key(|entry| entry.number).is_some_and(|entry| entry.allow)
    }
}

enum Hop<'n> {
    Vpc(&'n Vpc),
    Endpoint,
    Gateway,
    EgressOnly,
    Interface(&'n NetworkInterface),
}

/// Whether metadata, credentials or the resolver answers, if `to` is one of them.
fn local_service(vpc: &Vpc, to: IpAddr) -> Option<bool> {
    let to = match to {
        IpAddr::V4(to) => to,
        IpAddr::V6(to) => {
            let dual_stack = vpc.cidrs.iter().any(|cidr| cidr.addr().is_ipv6());
            let resolver = to == "fd00:ec2::253".parse::<Ipv6Addr>().unwrap();
            return (dual_stack && resolver).then_some(vpc.dns_support);
        }
    };
    let IpAddr::V4(network) = vpc.cidrs[0].network() else { panic!("the first block is one of IPv4") };
    let mut base = network.octets();
    base[3] += 2;
    match to.octets() {
        [169, 254, 169, 254] | [169, 254, 170, 2] => Some(true),
        [169, 254, 169, 253] => Some(vpc.dns_support),
        other => (other == base).then_some(vpc.dns_support),
    }
}

fn speaks_of(traffic: Traffic, content: Content) -> bool {
    let within = |range: PortRange, port: u16| range.from <= port && port <= range.to;
    match (traffic, content) {
        (Traffic::All, _) => true,
        (Traffic::Tcp(range), Content::Tcp { port, .. }) | (Traffic::Udp(range), Content::Udp { port, .. }) => {
            within(range, port)
        }
        (Traffic::Icmp { kind, code }, Content::Icmp { kind: found, code: with })
        | (Traffic::Icmpv6 { kind, code }, Content::Icmpv6 { kind: found, code: with }) => {
            kind.is_none_or(|kind| kind == found) && code.is_none_or(|code| code == with)
        }
        _ => false,
    }
}
