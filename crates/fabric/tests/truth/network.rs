//! Small networks by chance: one VPC or two, with everything in them that decides about a packet.
//!
//! They lean towards what lets packets through: where everything is closed there is nothing to see.

use crate::{
    chance::Chance,
    lab::{eni, id, net, sg},
};
use ipnet::{IpNet, Ipv6Net};
use netplan::{
    AclEntry, Attachment, Destination, EgressOnlyInternetGateway, Family, GatewayEndpoint, Ground, GroupRule,
    InterfaceAddress, InternetGateway, MacAddress, NatGateway, NetworkAcl, NetworkInterface, NetworkState, Peer,
    PortRange, RouteEntry, RouteTable, RouteTarget, SecurityGroup, Subnet, Traffic, Vpc, VpcPeering,
};
use std::net::{Ipv4Addr, Ipv6Addr};
use types::id::{
    EgressOnlyInternetGatewayId, InternetGatewayId, NatGatewayId, NetworkAclId, RouteTableId, SecurityGroupId,
    SubnetId, VpcEndpointId, VpcId, VpcPeeringConnectionId,
};

/// What probes are sent to; rules speak of these ports and of those around them.
pub(crate) const PORTS: [u16; 2] = [80, 5000];

const LIST: &str = "pl-0123";
/// The prefix list of the services behind gateway endpoints.
const SERVICES: &str = "pl-63a5";

fn peering() -> VpcPeeringConnectionId {
    id(VpcPeeringConnectionId::parse, "pcx-", 1)
}

fn gateway(vpc: u64) -> InternetGatewayId {
    id(InternetGatewayId::parse, "igw-", vpc)
}

fn egress_only(vpc: u64) -> EgressOnlyInternetGatewayId {
    id(EgressOnlyInternetGatewayId::parse, "eigw-", vpc)
}

/// The IPv6 block of a VPC, or what would be it.
fn ipv6_block(ground: &Ground, vpc: u64) -> Ipv6Net {
    ground.ipv6_blocks().nth(vpc as usize - 1).unwrap()
}

/// The nth /64 of it.
fn ipv6_subnet(ground: &Ground, vpc: u64, n: u64) -> Ipv6Net {
    ipv6_block(ground, vpc).subnets(64).unwrap().nth(n as usize).unwrap()
}

fn endpoint(vpc: u64) -> VpcEndpointId {
    id(VpcEndpointId::parse, "vpce-", vpc)
}

/// The network of a seed.
pub(crate) fn network(ground: &Ground, seed: u64) -> NetworkState {
    let mut chance = Chance::new(seed);
    let mut state = NetworkState::new(ground.clone());
    let vpcs = *chance.one(&[1, 2, 2]);
    for n in 1..=vpcs {
        Draft { chance: &mut chance, state: &mut state, n }.vpc();
    }
    if let [a, b] = state.vpcs.as_slice()
        && !a.cidrs.iter().any(|ours| b.cidrs.iter().any(|theirs| ours.contains(theirs) || theirs.contains(ours)))
        && chance.percent(80)
    {
        let vpcs = [a.id.clone(), b.id.clone()];
        state.peerings.push(VpcPeering { id: peering(), vpcs });
    }
    let services = ground.gateway_endpoint_address();
    state.prefix_lists.insert(SERVICES.to_owned(), vec![ipnet::Ipv4Net::from(services).into()]);
    let list = block(&mut chance, &state, 0);
    state.prefix_lists.insert(LIST.to_owned(), vec![list.parse().unwrap()]);
    state.vpcs.iter_mut().for_each(|vpc| vpc.dns_support = chance.percent(80));
    // Who watches changes nothing.
    if chance.percent(50) {
        state.counted = state.network_interfaces.iter().map(|interface| interface.id.clone()).collect();
        state.traced = state.vpcs.iter().map(|vpc| vpc.id.clone()).collect();
    }
    state
}

/// A VPC in the making.
struct Draft<'d> {
    chance: &'d mut Chance,
    state: &'d mut NetworkState,
    /// Which VPC.
    n: u64,
}

impl Draft<'_> {
    fn vpc(&mut self) {
        let vpc = id(VpcId::parse, "vpc-", self.n);
        // Two VPCs may have the same block: they must not meet.
        let second = u64::from(self.n > 1 && !self.chance.percent(50));
        // One block, or two side by side that have the same subnets in them.
        let blocks: &[&str] = if self.chance.percent(75) { &["0.0/16"] } else { &["0.0/23", "2.0/23"] };
        let mut cidrs: Vec<IpNet> = blocks.iter().map(|rest| net(&format!("10.{second}.{rest}")).into()).collect();
        let ipv6 = self.chance.percent(70);
        if ipv6 {
            cidrs.push(ipv6_block(&self.state.ground, self.n).into());
        }
        self.state.vpcs.push(Vpc { id: vpc.clone(), cidrs, dns_support: true });
        if self.chance.percent(60) {
            let gateway = EgressOnlyInternetGateway { id: egress_only(self.n), vpc: vpc.clone() };
            self.state.egress_only_internet_gateways.push(gateway);
        }
        if self.chance.percent(85) {
            self.state.internet_gateways.push(InternetGateway { id: gateway(self.n), vpc: vpc.clone() });
        }
        if self.chance.percent(60) {
            self.state.gateway_endpoints.push(GatewayEndpoint { id: endpoint(self.n), vpc: vpc.clone() });
        }
        let (tables, acls) = (*self.chance.one(&[1, 2, 2, 3]), self.chance.between(1, 3) as u64);
        let subnets = *self.chance.one(&[1, 2, 2, 3]);
        for n in 1..=subnets {
            // The first subnet is the public one, as far as there is one.
            let first = if n == 1 || tables == 1 { 1 } else { 2 };
            let table = if n == 1 { 1 } else { self.chance.between(first, tables as usize) };
            let acl = self.chance.between(1, acls as usize);
            self.state.subnets.push(Subnet {
                id: self.subnet(n),
                vpc: vpc.clone(),
                cidr: net(&format!("10.{second}.{n}.0/24")),
                ipv6: (ipv6 && self.chance.percent(85)).then(|| ipv6_subnet(&self.state.ground, self.n, n)),
                zone: format!("us-east-1{}", *self.chance.one(&['a', 'b'])),
                route_table: self.table(table as u64),
                network_acl: self.acl(acl as u64),
            });
        }
        let groups = self.chance.between(1, 4) as u64;
        self.interfaces(second, subnets, groups);
        for n in 1..=groups {
            let (ingress, egress) = (self.rules(groups, false), self.rules(groups, true));
            let id = self.group(n);
            let group = SecurityGroup { id, vpc: vpc.clone(), ingress, egress };
            self.state.security_groups.push(group.into());
        }
        for n in 1..=acls {
            let (ingress, egress) = (self.entries(), self.entries());
            let id = self.acl(n);
            self.state.network_acls.push(NetworkAcl { id, vpc: vpc.clone(), ingress, egress });
        }
        for n in 1..=tables {
            let routes = self.routes(n == 1, second);
            let id = self.table(n);
            self.state.route_tables.push(RouteTable { id, vpc: vpc.clone(), routes });
        }
    }

    fn subnet(&self, n: u64) -> SubnetId {
        id(SubnetId::parse, "subnet-", self.n * 16 + n)
    }

    fn table(&self, n: u64) -> RouteTableId {
        id(RouteTableId::parse, "rtb-", self.n * 16 + n)
    }

    fn acl(&self, n: u64) -> NetworkAclId {
        id(NetworkAclId::parse, "acl-", self.n * 16 + n)
    }

    fn group(&self, n: u64) -> SecurityGroupId {
        sg(self.n * 16 + n)
    }

    fn some_group(&mut self, groups: u64) -> SecurityGroupId {
        let n = self.chance.between(1, groups as usize);
        self.group(n as u64)
    }

    fn interfaces(&mut self, second: u64, subnets: u64, groups: u64) {
        let (interfaces, nats) = (self.chance.between(2, 6), *self.chance.one(&[0, 1, 1, 2]));
        for n in 1..=(interfaces + nats) as u64 {
            let number = self.n * 16 + n;
            let nat = n > interfaces as u64;
            let subnet = self.chance.between(1, subnets as usize) as u64;
            let subnet = if nat && self.chance.percent(70) { 1 } else { subnet };
            let address = |n: u64| format!("10.{second}.{subnet}.{n}").parse().unwrap();
            let mut addresses = vec![self.address(address(n + 9), if nat { 90 } else { 50 })];
            if !nat && self.chance.percent(15) {
                addresses.push(self.address(address(n + 159), 50));
            }
            if let Some(ip) = self.ipv6_address(subnet, n + 9).filter(|_| !nat) {
                addresses.push(InterfaceAddress { private: ip.into(), public: None });
            }
            let count = if nat { 0 } else { *self.chance.one(&[1, 1, 1, 2, 2, 3, 0]) };
            let groups = (0..count).map(|_| self.some_group(groups));
            let groups = groups.collect::<Vec<_>>();
            let attached = !nat && self.chance.percent(95);
            let interface = NetworkInterface {
                id: eni(number),
                subnet: self.subnet(subnet),
                mac: MacAddress([2, 0, 0, 0, 0, number as u8]),
                addresses,
                groups,
                // A NAT gateway's has none: the API sees to that.
                source_dest_check: self.chance.percent(70) && !nat,
                attachment: attached.then(|| Attachment { netns: format!("n{number}"), device_index: 0 }),
            };
            self.state.network_interfaces.push(interface.into());
            if nat {
                let id = id(NatGatewayId::parse, "nat-", number);
                self.state.nat_gateways.push(NatGateway { id, interface: eni(number) });
            }
        }
    }

    /// The nth address of the subnet's IPv6 block, if it has one; not everybody is given it.
    fn ipv6_address(&mut self, subnet: u64, n: u64) -> Option<Ipv6Addr> {
        let id = self.subnet(subnet);
        let block = self.state.subnets.iter().find(|subnet| subnet.id == id)?.ipv6?;
        let ip = Ipv6Addr::from(u128::from(block.network()) + u128::from(n));
        self.chance.percent(80).then_some(ip)
    }

    fn address(&mut self, private: Ipv4Addr, percent: usize) -> InterfaceAddress {
        let taken = self.state.network_interfaces.len() * 2 + usize::from(private.octets()[3] > 150);
        let public = self.state.ground.assignable().nth(taken);
        InterfaceAddress { private: private.into(), public: public.filter(|_| self.chance.percent(percent)) }
    }

    fn rules(&mut self, groups: u64, egress: bool) -> Vec<GroupRule> {
        if self.chance.percent(if egress { 70 } else { 25 }) {
            let everyone = |block: &str| GroupRule { traffic: Traffic::All, peer: Peer::Cidr(block.parse().unwrap()) };
            let ipv6 = self.chance.percent(85).then(|| everyone("::/0"));
            return [everyone("0.0.0.0/0")].into_iter().chain(ipv6).collect();
        }
        let count = self.chance.between(0, 4);
        let rule = |draft: &mut Self| GroupRule {
            traffic: traffic(draft.chance),
            peer: match draft.chance.between(1, 10) {
                1..=3 => Peer::Group(draft.some_group(groups)),
                // Of the other VPC.
                4 => Peer::Group(sg((3 - draft.n) * 16 + 1)),
                5 => Peer::PrefixList(LIST.to_owned()),
                _ => Peer::Cidr(block(draft.chance, draft.state, draft.n).parse().unwrap()),
            },
        };
        (0..count).map(|_| rule(self)).collect()
    }

    fn entries(&mut self) -> Vec<AclEntry> {
        let entry =
            |number, cidr: &str| AclEntry { number, allow: true, traffic: Traffic::All, cidr: cidr.parse().unwrap() };
        if self.chance.percent(65) {
            let ipv6 = self.chance.percent(85).then(|| entry(101, "::/0"));
            return [entry(100, "0.0.0.0/0")].into_iter().chain(ipv6).collect();
        }
        let count = self.chance.between(0, 4);
        let mut entries: Vec<AclEntry> = Vec::new();
        for _ in 0..count {
            let entry = AclEntry {
                number: self.chance.between(1, 20) as u16 * 10,
                allow: self.chance.percent(60),
                traffic: traffic(self.chance),
                cidr: block(self.chance, self.state, self.n).parse().unwrap(),
            };
            // A number is there once: the API sees to that.
            if entries.iter().all(|other| other.number != entry.number) {
                entries.push(entry);
            }
        }
        if self.chance.percent(70) {
            entries.push(entry(300, "0.0.0.0/0"));
            if self.chance.percent(80) {
                entries.push(entry(301, "::/0"));
            }
        }
        entries
    }

    fn routes(&mut self, public: bool, second: u64) -> Vec<RouteEntry> {
        let mut destinations: Vec<Destination> = Vec::new();
        if self.chance.percent(15) {
            let pool = self.state.ground.pool;
            let part = *self.chance.one(&[20, 25, 26, 28]);
            destinations.push(Destination::Cidr(ipnet::Ipv4Net::new(pool.network(), part).unwrap().trunc().into()));
        }
        if self.chance.percent(15) {
            let subnet = self.chance.between(1, 3);
            destinations.push(Destination::Cidr(format!("10.{second}.{subnet}.0/24").parse().unwrap()));
        }
        if self.chance.percent(8) {
            destinations.push(Destination::PrefixList(LIST.to_owned()));
        }
        let mut routes: Vec<RouteEntry> = Vec::new();
        if self.chance.percent(85) {
            let own = |nat: &&NatGateway| nat.interface.as_str() > eni(self.n * 16).as_str();
            let nat = self.state.nat_gateways.iter().find(own).map(|nat| RouteTarget::NatGateway(nat.id.clone()));
            let target = match (public, nat) {
                (true, _) if self.chance.percent(75) => RouteTarget::InternetGateway(gateway(self.n)),
                (false, Some(nat)) if self.chance.percent(60) => nat,
                _ => self.target(),
            };
            routes.push(RouteEntry { destination: Destination::Cidr("0.0.0.0/0".parse().unwrap()), target });
        }
        let others: Vec<RouteEntry> =
            destinations.into_iter().map(|destination| RouteEntry { destination, target: self.target() }).collect();
        routes.extend(others);
        if self.chance.percent(60) {
            // To the other VPC's block, or what would be it.
            let target = if self.chance.percent(90) { RouteTarget::Peering(peering()) } else { self.target() };
            let peers = if self.n == 1 { "10.1.0.0/16" } else { "10.0.0.0/16" };
            let block = *self.chance.one(&[peers, peers, peers, "10.1.1.0/24", "10.0.2.0/24", "10.0.0.0/8"]);
            routes.push(RouteEntry { destination: Destination::Cidr(block.parse().unwrap()), target });
        }
        self.ipv6_routes(public, &mut routes);
        if self.chance.percent(50) {
            let vpc = if self.chance.percent(90) { self.n } else { 3 - self.n };
            let target = RouteTarget::GatewayEndpoint(endpoint(vpc));
            routes.push(RouteEntry { destination: Destination::PrefixList(SERVICES.to_owned()), target });
        }
        routes
    }

    fn ipv6_routes(&mut self, public: bool, routes: &mut Vec<RouteEntry>) {
        let ground = self.state.ground.clone();
        let mut add = |block: IpNet, target| {
            let destination = Destination::Cidr(block);
            // A destination is there once: the API sees to that.
            if routes.iter().all(|route: &RouteEntry| route.destination != destination) {
                routes.push(RouteEntry { destination, target });
            }
        };
        if self.chance.percent(85) {
            let target = match self.chance.between(1, 10) {
                1..=5 if public => RouteTarget::InternetGateway(gateway(self.n)),
                1..=7 => RouteTarget::EgressOnlyInternetGateway(egress_only(self.n)),
                _ => self.target(),
            };
            add("::/0".parse().unwrap(), target);
        }
        if self.chance.percent(60) {
            let target = if self.chance.percent(90) { RouteTarget::Peering(peering()) } else { self.target() };
            let other = 3 - self.n;
            let blocks = [ipv6_block(&ground, other), ipv6_block(&ground, other), ipv6_subnet(&ground, other, 1)];
            add((*self.chance.one(&blocks)).into(), target);
        }
        if self.chance.percent(15) {
            let subnet = self.chance.between(1, 3) as u64;
            add(ipv6_subnet(&ground, self.n, subnet).into(), self.target());
        }
        if self.chance.percent(10) {
            add(ground.ipv6_pool().into(), self.target());
        }
    }

    fn target(&mut self) -> RouteTarget {
        match self.chance.between(1, 100) {
            1..=50 => RouteTarget::InternetGateway(gateway(self.n)),
            51..=80 => match self.state.nat_gateways.as_slice() {
                [] => RouteTarget::InternetGateway(gateway(self.n)),
                // Rarely another VPC's.
                nats => RouteTarget::NatGateway(self.chance.one(nats).id.clone()),
            },
            81..=92 => RouteTarget::NetworkInterface(self.chance.one(&self.state.network_interfaces).id.clone()),
            93..=94 => RouteTarget::InternetGateway(gateway(3 - self.n)),
            95..=96 => RouteTarget::GatewayEndpoint(endpoint(1)),
            // Rarely another VPC's; for IPv4 it is good for nothing.
            97..=98 => RouteTarget::EgressOnlyInternetGateway(egress_only(1)),
            _ => RouteTarget::Blackhole,
        }
    }
}

fn traffic(chance: &mut Chance) -> Traffic {
    const RANGES: [(u16, u16); 8] =
        [(80, 80), (0, 79), (81, 5000), (80, 5000), (1024, 65535), (32768, 48000), (5000, 5000), (0, 65535)];
    let (from, to) = *chance.one(&RANGES);
    let ports = PortRange { from, to };
    match chance.between(1, 14) {
        1..=3 => Traffic::All,
        4..=7 => Traffic::Tcp(ports),
        8..=9 => Traffic::Udp(ports),
        10 => Traffic::Icmp { kind: None, code: None },
        11 => Traffic::Icmpv6 { kind: None, code: None },
        12 => Traffic::Icmpv6 { kind: Some(*chance.one(&[128, 129])), code: *chance.one(&[None, Some(0), Some(1)]) },
        13 => Traffic::Icmp { kind: Some(*chance.one(&[0, 8])), code: *chance.one(&[None, Some(0), Some(1)]) },
        _ => Traffic::Protocol(50),
    }
}

/// A block that somebody in the network, or around it, is in.
fn block(chance: &mut Chance, state: &NetworkState, vpc: u64) -> String {
    let anyone = (!state.network_interfaces.is_empty()).then(|| chance.one(&state.network_interfaces).clone());
    let ipv6 = anyone.as_ref().and_then(|anyone| anyone.primary(Family::Ipv6));
    let address = anyone.map(|anyone| anyone.addresses[0].clone());
    if chance.percent(40) {
        return match (chance.between(1, 9), ipv6) {
            (1..=2, Some(ip)) => format!("{ip}/128"),
            (3, Some(ip)) => format!("{ip}/65"),
            (4, _) => state.ground.ipv6_pool().to_string(),
            (5, _) => format!("{}/127", state.ground.service_address_ipv6()),
            (6..=7, _) => ipv6_subnet(&state.ground, vpc.clamp(1, 2), chance.between(1, 3) as u64).to_string(),
            (8, _) => ipv6_block(&state.ground, vpc.clamp(1, 2)).to_string(),
            _ => "::/0".to_owned(),
        };
    }
    match (chance.between(1, 10), address) {
        (1..=2, Some(address)) => format!("{}/32", address.private),
        (3, Some(InterfaceAddress { public: Some(public), .. })) => format!("{public}/32"),
        (4, _) => state.ground.pool.to_string(),
        (5, _) => format!("{}/31", state.ground.service_address()),
        (6..=7, _) => format!("10.{}.{}.0/24", vpc.saturating_sub(1).min(1), chance.between(1, 3)),
        (8, _) => "10.0.0.0/8".to_owned(),
        (9, Some(address)) => format!("{}/25", address.private),
        _ => "0.0.0.0/0".to_owned(),
    }
}
