//! The walk itself: a packet goes from interface to interface. Its answer's way back is in [`super::back`].

use super::{
    Content, Direction, GroupDecision, Hop, Origin, Packet, Reason, Refusal, RouteTaken, Station,
    fix::{self, Fix},
};
use crate::{
    Family, SecurityGroup, Subnet, Vpc,
    index::{Attached, Index},
    rules::{
        Way, acl, crosses,
        group::{self, Others},
        route::{self, Found, Next},
    },
};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};
use types::id::{EgressOnlyInternetGatewayId, NatGatewayId, VpcEndpointId, VpcPeeringConnectionId};

/// A part of the way that a packet was sent over, which its answer must come back over.
#[derive(Clone, Copy)]
pub(super) enum Leg<'i, 'a> {
    /// From one interface to another, in the same VPC or beyond a peering connection.
    Between(&'i Attached<'a>, &'i Attached<'a>, Packet),
    /// To a gateway endpoint.
    Endpoint(&'i Attached<'a>, Packet),
    /// Out by the internet gateway; the packet as the interface sent it.
    Out(&'i Attached<'a>, Packet),
    /// Out by the egress-only internet gateway.
    OutOnly(&'i Attached<'a>, &'a EgressOnlyInternetGatewayId, Packet),
    /// In by the internet gateway; the packet as the interface gets it.
    In(&'i Attached<'a>, Packet),
}

/// Where a route table sends a packet.
#[derive(Clone, Copy)]
pub(super) enum Onward<'i, 'a> {
    /// To an interface of the VPC.
    Interface(&'i Attached<'a>),
    /// Out by the internet gateway.
    Internet,
    /// Out by the egress-only internet gateway.
    EgressOnly(&'a EgressOnlyInternetGatewayId),
    /// To another VPC.
    Peering(&'a VpcPeeringConnectionId, &'a Vpc),
    /// To a gateway endpoint.
    Endpoint(&'a VpcEndpointId),
}

/// A packet on its way.
pub(super) struct Journey<'i, 'a> {
    pub(super) index: &'i Index<'a>,
    pub(super) hops: Vec<Hop>,
    pub(super) legs: Vec<Leg<'i, 'a>>,
    /// Whether it answers: groups know it.
    pub(super) answers: bool,
}

/// Boxed, for most packets pass.
pub(super) type Passes<T = ()> = Result<T, Box<Refusal>>;

impl<'i, 'a> Journey<'i, 'a> {
    pub(super) fn new(index: &'i Index<'a>) -> Self {
        Self { index, hops: Vec::new(), legs: Vec::new(), answers: false }
    }

    /// The first packet's way.
    pub(super) fn request(&mut self, from: &Origin, to: IpAddr, content: Content) -> Passes {
        match from {
            Origin::Outside(source) => {
                let packet = Packet { source: *source, destination: to, content };
                self.pass(Station::Outside, packet);
                self.outside(packet)
            }
            Origin::Interface(id) => {
                let (attached, family) = (self.index.attached_as(id), Family::of(to));
                let Some((attached, source)) = attached.and_then(|a| Some((a, a.primary(family)?))) else {
                    let subnet = self.index.state.network_interfaces.iter().find(|i| i.id == *id);
                    let subnet = subnet.map(|interface| interface.subnet.clone());
                    let nothing: IpAddr = match family {
                        Family::Ipv4 => Ipv4Addr::UNSPECIFIED.into(),
                        Family::Ipv6 => Ipv6Addr::UNSPECIFIED.into(),
                    };
                    let packet = Packet { source: nothing, destination: to, content };
                    let station = Station::Interface { interface: id.clone(), subnet };
                    let reason = match attached {
                        Some(_) => Reason::NoAddressOfFamily { interface: id.clone(), family },
                        None => Reason::NotAttached { interface: id.clone() },
                    };
                    return self.stop(station, packet, reason, None);
                };
                let packet = Packet { source, destination: to, content };
                self.pass(interface(attached), packet);
                self.leave(attached, packet)
            }
        }
    }

    pub(super) fn pass(&mut self, station: Station, packet: Packet) {
        self.hops.push(Hop { station, packet, passes: true });
    }

    pub(super) fn stop<T>(&mut self, station: Station, packet: Packet, reason: Reason, fix: Option<Fix>) -> Passes<T> {
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
            Onward::EgressOnly(gateway) => {
                self.pass(egress_only_station(sender, gateway), packet);
                self.legs.push(Leg::OutOnly(sender, gateway, packet));
                self.outside(packet)
            }
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
        if !vpc.contains(address) {
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
    pub(super) fn route(&mut self, sender: &'i Attached<'a>, packet: Packet) -> Passes<Onward<'i, 'a>> {
        let Attached { subnet, .. } = sender;
        let vpc = self.vpc(subnet);
        let found = route::lookup(self.index, vpc, subnet, packet.destination);
        let leads_out = match found {
            Found::Local(_, Some(receiver)) => crosses(Some(subnet), Some(receiver.subnet)),
            Found::Route(route::InForce { next: Next::Interface(via), .. }) => crosses(Some(subnet), Some(via.subnet)),
            Found::Route(route::InForce {
                next: Next::InternetGateway | Next::EgressOnly(_) | Next::Peering(..) | Next::GatewayEndpoint(_),
                ..
            }) => true,
            // It gets nowhere; what is meant for the subnet itself would not have left it.
            _ => !subnet.contains(packet.destination),
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
                    Next::EgressOnly(gateway) => {
                        self.pass(station, packet);
                        return Ok(Onward::EgressOnly(gateway));
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
        let Some(address) = receiver.primary(Family::Ipv4).filter(|_| !own) else {
            let reason = Reason::NatGatewayTakesNone { nat_gateway: nat.clone() };
            return self.stop(nat_station(receiver, nat, packet.destination), packet, reason, None);
        };
        let station = nat_station(receiver, nat.clone(), address);
        let seen = self
            .hops
            .iter()
            .any(|hop| matches!(&hop.station, Station::NatGateway { nat_gateway, .. } if *nat_gateway == nat));
        if seen {
            let fix = fix::table_out(self.index, receiver, packet, &self.hops);
            let reason = Reason::NatGatewayLoop { nat_gateway: nat, subnet: receiver.subnet.id.clone() };
            return self.stop(station, packet, reason, fix);
        }
        self.pass(station, packet);
        self.leave(receiver, Packet { source: address, ..packet })
    }

    /// A packet leaves the VPC by the internet gateway.
    fn exit(&mut self, sender: &'i Attached<'a>, packet: Packet) -> Passes {
        let Some(public) = self.index.outside_of(&sender.subnet.vpc, packet.source) else {
            let station = self.gateway_station(sender, packet.source);
            let IpAddr::V4(private) = packet.source else {
                let reason = Reason::NobodyThere { vpc: sender.subnet.vpc.clone(), address: packet.source };
                return self.stop(station, packet, reason, None);
            };
            let reason = Reason::NoPublicAddress { private };
            let fix = Fix::GivePublicAddress { interface: sender.interface.id.clone(), private };
            return self.stop(station, packet, reason, Some(fix));
        };
        self.gateway(sender, packet.source, packet);
        self.legs.push(Leg::Out(sender, packet));
        self.outside(Packet { source: public, ..packet })
    }

    /// A packet is outside.
    fn outside(&mut self, packet: Packet) -> Passes {
        let ground = &self.index.state.ground;
        let answers = match packet.destination {
            IpAddr::V4(ip) => {
                [ground.service_address(), ground.gateway_endpoint_address(), ground.host_address()].contains(&ip)
            }
            IpAddr::V6(ip) => [ground.service_address_ipv6(), ground.host_address_ipv6()].contains(&ip),
        };
        if answers {
            self.pass(Station::Outside, packet);
            return Ok(());
        }
        let Some((receiver, private)) = self.index.attached_behind(packet.destination) else {
            let address = packet.destination;
            if ground.leads_out(address) {
                self.pass(Station::Outside, packet);
                return Ok(());
            }
            let vpc = self.index.vpcs.values().find(|vpc| vpc.contains(address)).map(|vpc| vpc.id.clone());
            let (reason, fix) = match (vpc, Family::of(address)) {
                (None, _) => (Reason::NobodyOutside { address }, None),
                (Some(_), Family::Ipv4) => (Reason::PrivateOutside { address }, None),
                (Some(vpc), Family::Ipv6) if self.index.gateway_of(&vpc).is_some() => {
                    (Reason::NobodyThere { vpc, address }, None)
                }
                (Some(vpc), Family::Ipv6) => {
                    (Reason::NoWayIn { vpc: vpc.clone() }, Some(Fix::AttachInternetGateway { vpc }))
                }
            };
            return self.stop(Station::Outside, packet, reason, fix);
        };
        self.gateway(receiver, private, packet);
        let packet = Packet { destination: private, ..packet };
        self.legs.push(Leg::In(receiver, packet));
        self.enter(receiver, packet, None)
    }

    /// An interface's groups look at a packet. A NAT gateway has none.
    pub(super) fn groups(&mut self, way: Way, at: &Attached<'a>, packet: Packet) -> Passes {
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
    pub(super) fn acl(&mut self, way: Way, subnet: &Subnet, packet: Packet) -> Passes {
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
    pub(super) fn gateway(&mut self, at: &Attached<'a>, private: IpAddr, packet: Packet) {
        let station = self.gateway_station(at, private);
        self.pass(station, packet);
    }

    pub(super) fn gateway_station(&self, at: &Attached<'a>, private: IpAddr) -> Station {
        let vpc = &at.subnet.vpc;
        match self.index.gateway_of(vpc) {
            Some(gateway) => Station::InternetGateway {
                gateway: gateway.id.clone(),
                vpc: vpc.clone(),
                private,
                public: self.index.outside_of(vpc, private),
            },
            None => Station::Outside,
        }
    }

    pub(super) fn nat_of(&self, attached: &Attached<'a>) -> Option<NatGatewayId> {
        let nats = &self.index.state.nat_gateways;
        nats.iter().find(|nat| attached.nat && nat.interface == attached.interface.id).map(|nat| nat.id.clone())
    }
}

pub(super) fn peering_station(connection: &VpcPeeringConnectionId, vpc: &Vpc) -> Station {
    Station::Peering { connection: connection.clone(), vpc: vpc.id.clone() }
}

pub(super) fn egress_only_station(at: &Attached<'_>, gateway: &EgressOnlyInternetGatewayId) -> Station {
    Station::EgressOnlyInternetGateway { gateway: gateway.clone(), vpc: at.subnet.vpc.clone() }
}

pub(super) fn direction(way: Way) -> Direction {
    if way == Way::In { Direction::Ingress } else { Direction::Egress }
}

pub(super) fn interface(attached: &Attached<'_>) -> Station {
    Station::Interface { interface: attached.interface.id.clone(), subnet: Some(attached.subnet.id.clone()) }
}

pub(super) fn nat_station(attached: &Attached<'_>, nat_gateway: NatGatewayId, address: IpAddr) -> Station {
    Station::NatGateway { nat_gateway, interface: attached.interface.id.clone(), address }
}
