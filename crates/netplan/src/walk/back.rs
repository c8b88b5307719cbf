//! The way of an answer: over the legs of its question, or another one where that leads there as well.

use super::{
    Packet, Reason, Station,
    fix::{self, Fix},
    journey::{Journey, Leg, Onward, Passes, egress_only_station, interface, nat_station, peering_station},
};
use crate::{
    Family,
    index::Attached,
    rules::{Way, crosses},
};

impl<'i, 'a> Journey<'i, 'a> {
    /// The answer's way, over the legs of the request.
    pub(super) fn reply(&mut self) -> Passes {
        self.answers = true;
        let mut legs = std::mem::take(&mut self.legs);
        while let Some(leg) = legs.pop() {
            match leg {
                Leg::Between(home, sender, packet) => self.back_to(home, sender, packet.reply())?,
                Leg::Endpoint(home, packet) => {
                    self.acl(Way::In, home.subnet, packet.reply())?;
                    self.arrive_back(home, packet.reply());
                }
                Leg::Out(home, packet) => {
                    let back = packet.reply();
                    let public = self.index.outside_of(&home.subnet.vpc, packet.source);
                    let outside = Packet { destination: public.unwrap_or(packet.source), ..back };
                    self.gateway(home, packet.source, outside);
                    self.acl(Way::In, home.subnet, back)?;
                    self.arrive_back(home, back);
                }
                Leg::OutOnly(home, gateway, packet) => {
                    self.pass(egress_only_station(home, gateway), packet.reply());
                    self.acl(Way::In, home.subnet, packet.reply())?;
                    self.arrive_back(home, packet.reply());
                }
                Leg::In(sender, packet) => {
                    // Who asked, if that was an interface.
                    let asked = match legs.last() {
                        Some(Leg::Out(home, _) | Leg::OutOnly(home, ..)) => Some(*home),
                        _ => None,
                    };
                    if self.back_outside(sender, asked, packet.reply())? {
                        legs.pop();
                    }
                }
            }
        }
        Ok(())
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
            Onward::Internet | Onward::EgressOnly(_) | Onward::Endpoint(_) => false,
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
        // Over IPv6 the way out leads there as well, for addresses are the same outside.
        let outside = matches!(to, Onward::Internet) && packet.destination.is_ipv6();
        if outside && self.index.attached_behind(packet.destination).is_some() {
            self.gateway(sender, packet.source, packet);
            self.gateway(home, packet.destination, packet);
            self.acl(Way::In, home.subnet, packet)?;
            self.arrive_back(home, packet);
            return Ok(());
        }
        self.astray(sender, Some(home), to, packet)
    }

    /// An answer goes back to somebody outside, or, as IPv6 may, straight to the interface that `asked` from another VPC.
    /// True if it is there.
    fn back_outside(
        &mut self,
        sender: &'i Attached<'a>,
        asked: Option<&'i Attached<'a>>,
        packet: Packet,
    ) -> Passes<bool> {
        self.groups(Way::Out, sender, packet)?;
        let to = self.route(sender, packet)?;
        if let (Onward::Peering(connection, vpc), Some(home)) = (to, asked)
            && home.subnet.vpc == vpc.id
            && home.has(packet.destination)
        {
            self.pass(peering_station(connection, vpc), packet);
            self.acl(Way::In, home.subnet, packet)?;
            self.arrive_back(home, packet);
            return Ok(true);
        }
        if !matches!(to, Onward::Internet) {
            return self.astray(sender, None, to, packet).map(|()| false);
        }
        self.gateway(sender, packet.source, packet);
        let public = self.index.outside_of(&sender.subnet.vpc, packet.source).unwrap_or(packet.source);
        self.pass(Station::Outside, Packet { source: public, ..packet });
        Ok(false)
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
            Onward::EgressOnly(gateway) => egress_only_station(sender, gateway),
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
            let address = via.primary(Family::Ipv4).unwrap_or(packet.source);
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
}
