//! The walk itself: a packet goes from interface to interface, and its answer back over the same legs.

use super::{
    Content, Direction, GroupDecision, Hop, Origin, Packet, Reason, Refusal, RouteTaken, Station,
    fix::{self, Fix},
};
use crate::{
    SecurityGroup, Subnet, Vpc,
    index::{Attached, Index},
    rules::{
        Way, acl, crosses,
        group::{self, Others},
        route::{self, Found, Next},
    },
};
use std::{net::Ipv4Addr, sync::Arc};
use types::id::{NatGatewayId, VpcEndpointId, VpcPeeringConnectionId};

/// A part of the way that a packet was sent over, which its answer must come back over.
#[derive(Clone, Copy)]
enum Leg<'i, 'a> {
    /// From one interface to another, in the same VPC or beyond a peering connection.
    Between(&'i Attached<'a>, &'i Attached<'a>, Packet),
    /// To a gateway endpoint.
    Endpoint(&'i Attached<'a>, Packet),
    /// Out by the internet gateway; the packet as the interface sent it.
    Out(&'i Attached<'a>, Packet),
    /// In by the internet gateway; the packet as the interface gets it.
    In(&'i Attached<'a>, Packet),
}

/// Where a route table sends a packet.
#[derive(Clone, Copy)]
enum Onward<'i, 'a> {
    /// To an interface of the VPC.
    Interface(&'i Attached<'a>),
    /// Out by the internet gateway.
    Internet,
    /// To another VPC.
    Peering(&'a VpcPeeringConnectionId, &'a Vpc),
    /// To a gateway endpoint.
    Endpoint(&'a VpcEndpointId),
}

/// A packet on its way.
pub(super) struct Journey<'i, 'a> {
    index: &'i Index<'a>,
    pub(super) hops: Vec<Hop>,
    legs: Vec<Leg<'i, 'a>>,
    /// Whether it answers: groups know it.
    answers: bool,
}

/// Boxed, for most packets pass.
type Passes<T = ()> = Result<T, Box<Refusal>>;

impl<'i, 'a> Journey<'i, 'a> {
    pub(super) fn new(index: &'i Index<'a>) -> Self {
        Self { index, hops: Vec::new(), legs: Vec::new(), answers: false }
    }

    /// The first packet's way.
    pub(super) fn request(&mut self, from: &Origin, to: Ipv4Addr, content: Content) -> Passes {
        match from {
            Origin::Outside(source) => {
                let packet = Packet { source: *source, destination: to, content };
                self.pass(Station::Outside, packet);
                self.outside(packet)
            }
            Origin::Interface(id) => {
                let attached = self.index.attached_as(id);
                let Some((attached, source)) = attached.and_then(|a| Some((a, a.primary()?))) else {
                    let subnet = self.index.state.network_interfaces.iter().find(|i| i.id == *id);
                    let subnet = subnet.map(|interface| interface.subnet.clone());
                    let packet = Packet { source: Ipv4Addr::UNSPECIFIED, destination: to, content };
                    let station = Station::Interface { interface: id.clone(), subnet };
                    return self.stop(station, packet, Reason::NotAttached { interface: id.clone() }, None);
                };
                let packet = Packet { source, destination: to, content };
                self.pass(interface(attached), packet);
                self.leave(attached, packet)
            }
        }
    }

    /// The answer's way, over the legs of the request.
    pub(super) fn reply(&mut self) -> Passes {
        self.answers = true;
        for leg in std::mem::take(&mut self.legs).into_iter().rev() {
            match leg {
                Leg::Between(home, sender, packet) => self.back_to(home, sender, packet.reply())?,
                Leg::Endpoint(home, packet) => {
                    self.acl(Way::In, home.subnet, packet.reply())?;
                    self.arrive_back(home, packet.reply());
                }
                Leg::Out(home, packet) => {
                    let back = packet.reply();
                    let public = self.index.public_of(&home.subnet.vpc, packet.source);
                    let outside = Packet { destination: public.unwrap_or(packet.source), ..back };
                    self.gateway(home, packet.source, outside);
                    self.acl(Way::In, home.subnet, back)?;
                    self.arrive_back(home, back);
                }
                Leg::In(sender, packet) => self.back_outside(sender, packet.reply())?,
            }
        }
        Ok(())
    }

    fn pass(&mut self, station: Station, packet: Packet) {
        self.hops.push(Hop { station, packet, passes: true });
    }

    fn stop<T>(&mut self, station: Station, packet: Packet, reason: Reason, fix: Option<Fix>) -> Passes<T> {
        self.hops.push(Hop { station, packet, passes: false });
        Err(Box::new(Refusal { reason, fix }))
    }

    fn vpc(&self, subnet: &Subnet) -> &'a Vpc {
        // What is attached has a VPC: the index sees to that.
        self.index.vpcs[&subnet.vpc]
    }

    /// A packet leaves an interface.
    fn leave(&mut self, sender: &'i Attached<'a>, packet: Packet) -> Passes {
        let vpc = self.vpc(sender.subnet);
        if let Some((_, answers)) = Index::local_services(vpc).find(|(ip, _)| *ip == packet.destination) {
            let station = Station::LocalService { vpc: vpc.id.clone() };
            if !answers {
                return self.stop(station, packet, Reason::NoDnsSupport { vpc: vpc.id.clone() }, None);
            }
            self.pass(station, packet);
            return Ok(());
        }
        self.groups(Way::Out, sender, packet)?;
        match self.route(sender, packet)? {
            Onward::Interface(receiver) => {
                self.legs.push(Leg::Between(sender, receiver, packet));
                self.enter(receiver, packet, Some(sender.subnet))
            }
            Onward::Internet => self.exit(sender, packet),
            Onward::Peering(connection, vpc) => self.cross(sender, connection, vpc, packet),
            Onward::Endpoint(endpoint) => {
                let station = Station::GatewayEndpoint { endpoint: endpoint.clone() };
                if packet.destination != self.index.state.ground.gateway_endpoint_address() {
                    let reason = Reason::NobodyOutside { address: packet.destination };
                    return self.stop(station, packet, reason, None);
                }
                self.pass(station, packet);
                self.legs.push(Leg::Endpoint(sender, packet));
                Ok(())
            }
        }
    }

    /// A packet goes over a peering connection.
    fn cross(
        &mut self,
        sender: &'i Attached<'a>,
        connection: &VpcPeeringConnectionId,
        vpc: &Vpc,
        packet: Packet,
    ) -> Passes {
        let station = peering_station(connection, vpc);
        let address = packet.destination;
        if !vpc.cidrs.iter().any(|cidr| cidr.contains(&address)) {
            let reason = Reason::NotBeyond { connection: connection.clone(), vpc: vpc.id.clone(), address };
            let fix = fix::unrouted(&self.hops);
            return self.stop(station, packet, reason, fix);
        }
        let Some(receiver) = self.index.attached_at(&vpc.id, address) else {
            return self.stop(station, packet, Reason::NobodyThere { vpc: vpc.id.clone(), address }, None);
        };
        self.pass(station, packet);
        self.legs.push(Leg::Between(sender, receiver, packet));
        self.enter(receiver, packet, None)
    }

    /// The ACL and the route table of the sender's subnet: where to.
    fn route(&mut self, sender: &'i Attached<'a>, packet: Packet) -> Passes<Onward<'i, 'a>> {
        let Attached { subnet, .. } = sender;
        let vpc = self.vpc(subnet);
        let found = route::lookup(self.index, vpc, subnet, packet.destination);
        let leads_out = match found {
            Found::Local(_, Some(receiver)) => crosses(Some(subnet), Some(receiver.subnet)),
            Found::Route(route::InForce { next: Next::Interface(via), .. }) => crosses(Some(subnet), Some(via.subnet)),
            Found::Route(route::InForce {
                next: Next::InternetGateway | Next::Peering(..) | Next::GatewayEndpoint(_),
                ..
            }) => true,
            // It gets nowhere; what is meant for the subnet itself would not have left it.
            _ => !subnet.cidr.contains(&packet.destination),
        };
        if leads_out {
            self.acl(Way::Out, subnet, packet)?;
        }
        let table = || subnet.route_table.clone();
        let station = |route| Station::RouteTable { subnet: subnet.id.clone(), table: table(), route };
        match found {
            Found::Local(block, Some(receiver)) => {
                self.pass(station(RouteTaken::Local { block }), packet);
                Ok(Onward::Interface(receiver))
            }
            Found::Local(block, None) => {
                let reason = Reason::NobodyThere { vpc: vpc.id.clone(), address: packet.destination };
                self.stop(station(RouteTaken::Local { block }), packet, reason, None)
            }
            Found::None => {
                let fix = fix::route_out(self.index, sender, packet, None);
                self.stop(station(RouteTaken::None), packet, Reason::NoRoute { table: table() }, fix)
            }
            Found::Route(found) => {
                let station = station(RouteTaken::Route { block: found.block, route: found.entry.clone() });
                let reason = match found.next {
                    Next::Interface(via) => {
                        self.pass(station, packet);
                        return Ok(Onward::Interface(via));
                    }
                    Next::InternetGateway => {
                        self.pass(station, packet);
                        return Ok(Onward::Internet);
                    }
                    Next::Peering(connection, vpc) => {
                        self.pass(station, packet);
                        return Ok(Onward::Peering(connection, vpc));
                    }
                    Next::GatewayEndpoint(endpoint) => {
                        self.pass(station, packet);
                        return Ok(Onward::Endpoint(endpoint));
                    }
                    Next::Blackhole => Reason::Blackhole { table: table() },
                    Next::Unusable(problem) => Reason::UnusableTarget { table: table(), problem: problem.to_string() },
                };
                let fix = fix::route_out(self.index, sender, packet, Some(&found));
                self.stop(station, packet, reason, fix)
            }
        }
    }

    /// A packet comes to an interface, from another subnet, the same, or (none) from outside.
    fn enter(&mut self, receiver: &'i Attached<'a>, packet: Packet, from: Option<&Subnet>) -> Passes {
        if crosses(Some(receiver.subnet), from) {
            self.acl(Way::In, receiver.subnet, packet)?;
        }
        let own = receiver.has(packet.destination);
        let Some(nat) = self.nat_of(receiver) else {
            self.groups(Way::In, receiver, packet)?;
            if own {
                self.pass(interface(receiver), packet);
                return Ok(());
            }
            let fix = fix::unrouted(&self.hops);
            let reason = Reason::NotForwarded { interface: receiver.interface.id.clone() };
            return self.stop(interface(receiver), packet, reason, fix);
        };
        let Some(address) = receiver.primary().filter(|_| !own) else {
            let reason = Reason::NatGatewayTakesNone { nat_gateway: nat.clone() };
            return self.stop(nat_station(receiver, nat, packet.destination), packet, reason, None);
        };
        let station = nat_station(receiver, nat.clone(), address);
        let seen = self
            .hops
            .iter()
            .any(|hop| matches!(&hop.station, Station::NatGateway { nat_gateway, .. } if *nat_gateway == nat));
        if seen {
            return self.stop(station, packet, Reason::NatGatewayLoop { nat_gateway: nat }, None);
        }
        self.pass(station, packet);
        self.leave(receiver, Packet { source: address, ..packet })
    }

    /// A packet leaves the VPC by the internet gateway.
    fn exit(&mut self, sender: &'i Attached<'a>, packet: Packet) -> Passes {
        let Some(public) = self.index.public_of(&sender.subnet.vpc, packet.source) else {
            let station = self.gateway_station(sender, packet.source);
            let reason = Reason::NoPublicAddress { private: packet.source };
            let fix = Fix::GivePublicAddress { interface: sender.interface.id.clone(), private: packet.source };
            return self.stop(station, packet, reason, Some(fix));
        };
        self.gateway(sender, packet.source, packet);
        self.legs.push(Leg::Out(sender, packet));
        self.outside(Packet { source: public, ..packet })
    }

    /// A packet is outside.
    fn outside(&mut self, packet: Packet) -> Passes {
        let ground = &self.index.state.ground;
        let answering = [ground.service_address(), ground.gateway_endpoint_address(), ground.host_address()];
        if answering.contains(&packet.destination) {
            self.pass(Station::Outside, packet);
            return Ok(());
        }
        let Some((receiver, private)) = self.index.attached_behind(packet.destination) else {
            let address = packet.destination;
            let vpcs = || self.index.vpcs.values().flat_map(|vpc| &vpc.cidrs);
            let reason = if vpcs().any(|cidr| cidr.contains(&address)) {
                Reason::PrivateOutside { address }
            } else {
                Reason::NobodyOutside { address }
            };
            return self.stop(Station::Outside, packet, reason, None);
        };
        self.gateway(receiver, private, packet);
        let packet = Packet { destination: private, ..packet };
        self.legs.push(Leg::In(receiver, packet));
        self.enter(receiver, packet, None)
    }

    /// An answer goes to `home`, from the interface that got the question.
    fn back_to(&mut self, home: &'i Attached<'a>, sender: &'i Attached<'a>, packet: Packet) -> Passes {
        if !sender.nat {
            self.groups(Way::Out, sender, packet)?;
        }
        let to = self.route(sender, packet)?;
        let there = match to {
            Onward::Interface(to) => to.interface.id == home.interface.id,
            Onward::Peering(_, vpc) => vpc.id == home.subnet.vpc,
            Onward::Internet | Onward::Endpoint(_) => false,
        };
        if there {
            let mut from = Some(sender.subnet);
            if let Onward::Peering(connection, vpc) = to {
                self.pass(peering_station(connection, vpc), packet);
                from = None;
            }
            if crosses(from, Some(home.subnet)) {
                self.acl(Way::In, home.subnet, packet)?;
            }
            self.arrive_back(home, packet);
            return Ok(());
        }
        self.astray(sender, Some(home), to, packet)
    }

    /// An answer goes back to somebody outside.
    fn back_outside(&mut self, sender: &'i Attached<'a>, packet: Packet) -> Passes {
        self.groups(Way::Out, sender, packet)?;
        let to = self.route(sender, packet)?;
        if !matches!(to, Onward::Internet) {
            return self.astray(sender, None, to, packet);
        }
        self.gateway(sender, packet.source, packet);
        let public = self.index.public_of(&sender.subnet.vpc, packet.source).unwrap_or(packet.source);
        self.pass(Station::Outside, Packet { source: public, ..packet });
        Ok(())
    }

    /// An answer takes a way that its question did not come by. It should go to `home`, or outside.
    fn astray(
        &mut self,
        sender: &Attached<'a>,
        home: Option<&Attached<'a>>,
        to: Onward<'i, 'a>,
        packet: Packet,
    ) -> Passes {
        let fix = fix::route_back(self.index, sender, home, packet, &self.hops);
        let station = match to {
            Onward::Interface(via) => return self.astray_at(via, sender, packet, fix),
            Onward::Internet => self.gateway_station(sender, packet.source),
            Onward::Peering(connection, vpc) => peering_station(connection, vpc),
            Onward::Endpoint(endpoint) => Station::GatewayEndpoint { endpoint: endpoint.clone() },
        };
        self.stop(station, packet, Reason::AnotherWay { table: sender.subnet.route_table.clone() }, fix)
    }

    /// An answer comes to an interface that its question did not come from.
    fn astray_at(&mut self, via: &'i Attached<'a>, sender: &Attached<'a>, packet: Packet, fix: Option<Fix>) -> Passes {
        if crosses(Some(via.subnet), Some(sender.subnet)) {
            self.acl(Way::In, via.subnet, packet)?;
        }
        if let Some(nat) = self.nat_of(via) {
            let reason = Reason::UnknownToNatGateway { nat_gateway: nat.clone() };
            let address = via.primary().unwrap_or(packet.source);
            return self.stop(nat_station(via, nat, address), packet, reason, fix);
        }
        let reason = Reason::NotForwarded { interface: via.interface.id.clone() };
        self.stop(interface(via), packet, reason, fix)
    }

    /// An answer is where its question started, or at the NAT gateway that asked it.
    fn arrive_back(&mut self, home: &'i Attached<'a>, packet: Packet) {
        if let Some(nat) = self.nat_of(home) {
            self.pass(nat_station(home, nat, packet.destination), packet);
        } else {
            // They know it, and cannot refuse.
            let _ = self.groups(Way::In, home, packet);
            self.pass(interface(home), packet);
        }
    }

    /// An interface's groups look at a packet. A NAT gateway has none.
    fn groups(&mut self, way: Way, at: &Attached<'a>, packet: Packet) -> Passes {
        if at.nat {
            return Ok(());
        }
        let groups = group::of(self.index, at);
        let decision = if self.answers {
            GroupDecision::Known
        } else {
            self.allowing(way, &groups, packet).unwrap_or(GroupDecision::NoRule)
        };
        let refused = decision == GroupDecision::NoRule;
        let ids: Vec<_> = groups.iter().map(|group| group.id.clone()).collect();
        let (interface, direction) = (at.interface.id.clone(), direction(way));
        let station =
            Station::SecurityGroups { interface: interface.clone(), groups: ids.clone(), direction, decision };
        if refused {
            let fix = fix::group_rule(self.index, way, &at.subnet.vpc, &groups, packet);
            return self.stop(station, packet, Reason::NoGroupRule { interface, groups: ids, direction }, fix);
        }
        self.pass(station, packet);
        Ok(())
    }

    /// The first rule that lets the packet pass.
    fn allowing(&self, way: Way, groups: &[&'a Arc<SecurityGroup>], packet: Packet) -> Option<GroupDecision> {
        let other = if way == Way::In { packet.source } else { packet.destination };
        groups.iter().find_map(|group| {
            let mut rules = group::rules(group, way).iter().filter(|rule| packet.content.is(rule.traffic));
            let rule =
                rules.find(|rule| match group::others(&rule.peer, |list| group::list(self.index.state, list)) {
                    Others::Blocks(blocks) => blocks.iter().any(|block| block.contains(&other)),
                    Others::Members(id) => group::members(self.index, &group.vpc, id).any(|member| member == other),
                })?;
            Some(GroupDecision::Rule { group: group.id.clone(), rule: rule.clone() })
        })
    }

    /// A subnet's ACL looks at a packet that crosses its edge.
    fn acl(&mut self, way: Way, subnet: &Subnet, packet: Packet) -> Passes {
        let acl = self.index.acls.get(&subnet.network_acl).copied();
        let other = if way == Way::In { packet.source } else { packet.destination };
        let entries = acl::entries(acl, way);
        let decides = entries.iter().find(|(entry, block)| block.contains(&other) && packet.content.is(entry.traffic));
        let entry = decides.map(|(entry, _)| (*entry).clone());
        let direction = direction(way);
        let (allows, number) = (entry.as_ref().is_some_and(|e| e.allow), entry.as_ref().map(|e| e.number));
        let id = subnet.network_acl.clone();
        let station = Station::NetworkAcl { subnet: subnet.id.clone(), acl: id.clone(), direction, entry };
        if allows {
            self.pass(station, packet);
            return Ok(());
        }
        let fix = acl.and_then(|acl| fix::acl_entry(acl, way, packet, number, self.answers));
        self.stop(station, packet, Reason::AclDenies { acl: id, direction, entry: number }, fix)
    }

    /// The internet gateway between `at` and outside lets a packet pass.
    fn gateway(&mut self, at: &Attached<'a>, private: Ipv4Addr, packet: Packet) {
        let station = self.gateway_station(at, private);
        self.pass(station, packet);
    }

    fn gateway_station(&self, at: &Attached<'a>, private: Ipv4Addr) -> Station {
        let vpc = &at.subnet.vpc;
        match self.index.gateway_of(vpc) {
            Some(gateway) => Station::InternetGateway {
                gateway: gateway.id.clone(),
                vpc: vpc.clone(),
                private,
                public: self.index.public_of(vpc, private),
            },
            None => Station::Outside,
        }
    }

    fn nat_of(&self, attached: &Attached<'a>) -> Option<NatGatewayId> {
        let nats = &self.index.state.nat_gateways;
        nats.iter().find(|nat| attached.nat && nat.interface == attached.interface.id).map(|nat| nat.id.clone())
    }
}

fn peering_station(connection: &VpcPeeringConnectionId, vpc: &Vpc) -> Station {
    Station::Peering { connection: connection.clone(), vpc: vpc.id.clone() }
}

pub(super) fn direction(way: Way) -> Direction {
    if way == Way::In { Direction::Ingress } else { Direction::Egress }
}

fn interface(attached: &Attached<'_>) -> Station {
    Station::Interface { interface: attached.interface.id.clone(), subnet: Some(attached.subnet.id.clone()) }
}

fn nat_station(attached: &Attached<'_>, nat_gateway: NatGatewayId, address: Ipv4Addr) -> Station {
    Station::NatGateway { nat_gateway, interface: attached.interface.id.clone(), address }
}
