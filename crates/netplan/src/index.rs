//! The state by id, and what of it can be had: the first look at it, which the compiler and the walk share.

use crate::{
    EgressOnlyInternetGateway, Family, InternetGateway, NatGateway, NetworkAcl, NetworkInterface, NetworkState,
    RouteTable, SecurityGroup, Subnet, Vpc,
    compile::{link_digits, link_name},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};
use types::id::{
    EniId, NatGatewayId, NetworkAclId, RouteTableId, SecurityGroupId, SubnetId, VpcId, VpcPeeringConnectionId,
};

/// The addresses that answer in every VPC: instance metadata, task credentials and metadata.
const SERVICES: [Ipv4Addr; 2] = [Ipv4Addr::new(169, 254, 169, 254), Ipv4Addr::new(169, 254, 170, 2)];
/// The resolver's address in every VPC; its other one is the third of the VPC's first block.
const RESOLVER: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 253);
/// The resolver's address in VPCs that have IPv6. Source: Amazon VPC user guide, "Amazon DNS server".
const RESOLVER_IPV6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x253);

/// An interface that is attached, with all that the plan needs of it.
pub(crate) struct Attached<'a> {
    pub(crate) interface: &'a Arc<NetworkInterface>,
    pub(crate) subnet: &'a Subnet,
    /// The namespace that it is attached in, and which device it is there.
    pub(crate) netns: &'a str,
    pub(crate) device_index: u8,
    pub(crate) link: String,
    /// Whether it is a NAT gateway's: no groups, and it forwards.
    pub(crate) nat: bool,
}

impl Attached<'_> {
    /// Whether an address is one of its own.
    pub(crate) fn has(&self, private: IpAddr) -> bool {
        self.interface.addresses.iter().any(|address| address.private == private)
    }

    /// Its first address of a family.
    pub(crate) fn primary(&self, family: Family) -> Option<IpAddr> {
        self.interface.primary(family)
    }
}

/// Where in [`Index::attached`] an interface is, by what it is asked for by.
#[derive(Default)]
struct Places<'a> {
    id: HashMap<&'a EniId, usize>,
    vpc: HashMap<&'a VpcId, Vec<usize>>,
    address: HashMap<(&'a VpcId, IpAddr), usize>,
    outside: HashMap<IpAddr, usize>,
    /// The VPC of each namespace in which something is attached.
    netns: HashMap<&'a str, &'a VpcId>,
}

impl<'a> Places<'a> {
    fn add(&mut self, at: usize, attached: &Attached<'a>) {
        let vpc = &attached.subnet.vpc;
        self.netns.insert(attached.netns, vpc);
        self.id.entry(&attached.interface.id).or_insert(at);
        self.vpc.entry(vpc).or_default().push(at);
        for address in &attached.interface.addresses {
            self.address.insert((vpc, address.private), at);
            self.outside.extend(address.outside().map(|outside| (outside, at)));
        }
    }
}

/// The state by id.
pub(crate) struct Index<'a> {
    pub(crate) state: &'a NetworkState,
    /// What the state asks for and cannot be had, with the reason.
    pub(crate) omitted: BTreeSet<String>,
    pub(crate) attached: Vec<Attached<'a>>,
    places: Places<'a>,
    pub(crate) vpcs: BTreeMap<&'a VpcId, &'a Vpc>,
    pub(crate) subnets: BTreeMap<&'a SubnetId, &'a Subnet>,
    pub(crate) tables: BTreeMap<&'a RouteTableId, &'a RouteTable>,
    pub(crate) groups: BTreeMap<&'a SecurityGroupId, &'a Arc<SecurityGroup>>,
    pub(crate) acls: BTreeMap<&'a NetworkAclId, &'a NetworkAcl>,
    pub(crate) nats: BTreeMap<&'a NatGatewayId, &'a NatGateway>,
}

impl<'a> Index<'a> {
    pub(crate) fn new(state: &'a NetworkState) -> Self {
        let vpcs: BTreeMap<_, _> = state.vpcs.iter().map(|v| (&v.id, v)).collect();
        let subnets: BTreeMap<_, _> = state.subnets.iter().map(|s| (&s.id, s)).collect();
        let nat_interfaces: BTreeMap<_, _> = state.nat_gateways.iter().map(|n| (&n.interface, n)).collect();
        let mut omitted = BTreeSet::new();
        let mut attached: Vec<Attached<'_>> = Vec::new();
        let mut places = Places::default();
        let (mut devices, mut links) = (HashSet::new(), HashSet::new());
        for interface in &state.network_interfaces {
            let nat = nat_interfaces.get(&interface.id);
            let (netns, device_index) = match (nat, &interface.attachment) {
                (Some(nat), _) => (nat.id.as_str(), 0),
                (None, Some(attachment)) => (attachment.netns.as_str(), attachment.device_index),
                (None, None) => continue,
            };
            let Some(subnet) = subnets.get(&interface.subnet).filter(|s| vpcs.contains_key(&s.vpc)) else {
                omitted.insert(format!("{}: no subnet {} in a VPC", interface.id, interface.subnet));
                continue;
            };
            if interface.primary(Family::Ipv4).is_none() || !good_netns_name(netns) {
                omitted.insert(format!("{}: no IPv4 address, or no good namespace name", interface.id));
                continue;
            }
            // What two would share, the second goes without: the kernel would refuse it, and everything with it.
            let link = link_digits(&interface.id);
            let place = (netns, device_index);
            let elsewhere = places.netns.get(netns).is_some_and(|vpc| **vpc != subnet.vpc);
            let mut private = interface.addresses.iter().map(|address| (&subnet.vpc, address.private));
            let mut outside = interface.addresses.iter().filter_map(crate::InterfaceAddress::outside);
            let conflict = if elsewhere || devices.contains(&place) {
                Some(format!("{netns}/{device_index}"))
            } else if links.contains(&(&subnet.vpc, link)) {
                Some(format!("{}/{}", subnet.vpc, link_name(&interface.id)))
            } else if let Some((vpc, ip)) = private.find(|address| places.address.contains_key(address)) {
                Some(format!("{vpc}/{ip}"))
            } else {
                outside.find(|ip| places.outside.contains_key(ip)).map(|ip| ip.to_string())
            };
            if let Some(conflict) = conflict {
                omitted.insert(format!("{}: {conflict} is another interface's", interface.id));
                continue;
            }
            devices.insert(place);
            links.insert((&subnet.vpc, link));
            let at = attached.len();
            let one =
                Attached { interface, subnet, netns, device_index, link: link_name(&interface.id), nat: nat.is_some() };
            places.add(at, &one);
            attached.push(one);
        }
        Self {
            state,
            omitted,
            attached,
            places,
            vpcs,
            subnets,
            tables: state.route_tables.iter().map(|t| (&t.id, t)).collect(),
            groups: state.security_groups.iter().map(|g| (&g.id, g)).collect(),
            acls: state.network_acls.iter().map(|a| (&a.id, a)).collect(),
            nats: state.nat_gateways.iter().map(|n| (&n.id, n)).collect(),
        }
    }

    pub(crate) fn attached_in<'b>(&'b self, vpc: &'b VpcId) -> impl Iterator<Item = &'b Attached<'a>> + 'b {
        self.places.vpc.get(vpc).into_iter().flatten().map(|at| &self.attached[*at])
    }

    /// What is attached in this namespace.
    pub(crate) fn attached_to<'b>(&'b self, netns: &'b str) -> impl Iterator<Item = &'b Attached<'a>> + 'b {
        let vpc = self.places.netns.get(netns);
        let all = vpc.into_iter().flat_map(|vpc| self.attached_in(vpc));
        all.filter(move |attached| attached.netns == netns)
    }

    /// Whether something is attached in this namespace.
    pub(crate) fn has_attached_in(&self, netns: &str) -> bool {
        self.places.netns.contains_key(netns)
    }

    pub(crate) fn attached_as(&self, id: &EniId) -> Option<&Attached<'a>> {
        self.places.id.get(id).map(|at| &self.attached[*at])
    }

    pub(crate) fn subnets_of<'b>(&'b self, vpc: &'b VpcId) -> impl Iterator<Item = &'a Subnet> + 'b {
        self.subnets.values().copied().filter(move |s| s.vpc == *vpc)
    }

    /// The interface that has an address in a VPC.
    pub(crate) fn attached_at(&self, vpc: &VpcId, private: IpAddr) -> Option<&Attached<'a>> {
        self.places.address.get(&(vpc, private)).map(|at| &self.attached[*at])
    }

    /// The interface behind an address outside, and its address in the VPC, if packets from there get that far.
    pub(crate) fn attached_behind(&self, outside: IpAddr) -> Option<(&Attached<'a>, IpAddr)> {
        let attached = self.places.outside.get(&outside).map(|at| &self.attached[*at])?;
        self.gateway_of(&attached.subnet.vpc)?;
        let found = attached.interface.addresses.iter().find(|address| address.outside() == Some(outside))?;
        Some((attached, found.private))
    }

    /// The address that stands for one of a VPC's outside.
    pub(crate) fn outside_of(&self, vpc: &VpcId, private: IpAddr) -> Option<IpAddr> {
        self.attached_at(vpc, private)?.interface.addresses.iter().find(|a| a.private == private)?.outside()
    }

    /// The VPC's internet gateway, if it has one.
    pub(crate) fn gateway_of(&self, vpc: &VpcId) -> Option<&'a InternetGateway> {
        self.state.internet_gateways.iter().find(|gateway| gateway.vpc == *vpc)
    }

    /// The VPC's egress-only internet gateway, if it has one.
    pub(crate) fn egress_only_of(&self, vpc: &VpcId) -> Option<&'a EgressOnlyInternetGateway> {
        self.state.egress_only_internet_gateways.iter().find(|gateway| gateway.vpc == *vpc)
    }

    /// Whether a VPC is reached from the internet namespace over IPv6, or reaches it.
    pub(crate) fn ipv6_outside(&self, vpc: &Vpc) -> bool {
        vpc.has(Family::Ipv6) && (self.gateway_of(&vpc.id).is_some() || self.egress_only_of(&vpc.id).is_some())
    }

    /// The VPC beyond a peering connection of this one.
    pub(crate) fn beyond(&self, vpc: &VpcId, connection: &VpcPeeringConnectionId) -> Option<&'a Vpc> {
        let connection = self.state.peerings.iter().find(|peering| peering.id == *connection)?;
        let [a, b] = &connection.vpcs;
        let other = if a == vpc { b } else { Some(a).filter(|_| b == vpc)? };
        self.vpcs.get(other).copied()
    }

    /// The VPCs that a connection leads to from this one, with the connections.
    pub(crate) fn peers<'b>(
        &'b self,
        vpc: &'b VpcId,
    ) -> impl Iterator<Item = (&'a VpcPeeringConnectionId, &'a Vpc)> + 'b {
        self.state.peerings.iter().filter_map(|peering| Some((&peering.id, self.beyond(vpc, &peering.id)?)))
    }

    /// The addresses of a VPC's router itself, and whether they answer, whatever groups, ACLs and routes say.
    pub(crate) fn local_services(vpc: &Vpc) -> impl Iterator<Item = (IpAddr, bool)> + use<> {
        let third = vpc.primary().map(|cidr| Ipv4Addr::from(u32::from(cidr.network()) + 2));
        let ipv6 = vpc.has(Family::Ipv6).then_some(IpAddr::V6(RESOLVER_IPV6));
        let dns = vpc.dns_support;
        let resolvers = [RESOLVER].into_iter().chain(third).map(IpAddr::V4).chain(ipv6).map(move |ip| (ip, dns));
        SERVICES.map(|ip| (IpAddr::V4(ip), true)).into_iter().chain(resolvers)
    }
}

/// Names end up in paths.
pub(crate) fn good_netns_name(name: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    (1..=128).contains(&name.len()) && name.bytes().all(fine) && name != crate::INTERNET && !name.starts_with("vpc-")
}
