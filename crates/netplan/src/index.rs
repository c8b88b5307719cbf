//! The state by id, and what of it can be had: the first look at it, which the compiler and the walk share.

use crate::{
    EgressOnlyInternetGateway, Family, InternetGateway, NatGateway, NetworkAcl, NetworkInterface, NetworkState,
    RouteTable, SecurityGroup, Subnet, Vpc,
    compile::{link_digits, link_name},
};
use foldhash::{HashMap, HashSet};
use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet},
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
    /// That namespace's number.
    space: usize,
    /// The number of its combination of groups.
    pub(crate) combination: usize,
    /// Whether it is a NAT gateway's: no groups, and it forwards.
    pub(crate) nat: bool,
}

impl Attached<'_> {
    /// The router's device for it.
    pub(crate) fn link(&self) -> String {
        link_name(&self.interface.id)
    }

    /// Whether it may send what is from other addresses than its own.
    pub(crate) fn sends_for_others(&self) -> bool {
        self.nat || !self.interface.source_dest_check
    }

    /// Whether an address is one of its own.
    pub(crate) fn has(&self, private: IpAddr) -> bool {
        self.interface.addresses.iter().any(|address| address.private == private)
    }

    /// Its first address of a family.
    pub(crate) fn primary(&self, family: Family) -> Option<IpAddr> {
        self.interface.primary(family)
    }
}

/// Where in [`Index::attached`] an interface is, by what it is asked for by. VPCs are numbers here: as short as can be, since all
/// of this is made anew for each plan.
#[derive(Default)]
struct Places<'a> {
    vpcs: HashMap<&'a VpcId, usize>,
    /// Made when it is first asked for, which most plans never do.
    id: OnceCell<HashMap<&'a EniId, usize>>,
    /// By the VPC's number.
    vpc: Vec<Vec<usize>>,
    address: HashMap<(usize, IpAddr), usize>,
    outside: HashMap<IpAddr, usize>,
    /// The number of each namespace in which something is attached.
    netns: HashMap<&'a str, usize>,
    /// By that number: its VPC, and how many are attached there.
    spaces: Vec<(usize, usize)>,
}

impl<'a> Places<'a> {
    fn new(state: &'a NetworkState) -> Self {
        let mut places = Self {
            vpcs: state.vpcs.iter().enumerate().map(|(number, vpc)| (&vpc.id, number)).collect(),
            vpc: vec![Vec::new(); state.vpcs.len()],
            ..Self::default()
        };
        let expected = state.network_interfaces.len();
        places.address.reserve(expected);
        places.netns.reserve(expected);
        places
    }

    fn add(&mut self, at: usize, vpc: usize, attached: &Attached<'a>) {
        self.spaces[attached.space].1 += 1;
        self.vpc[vpc].push(at);
        for address in &attached.interface.addresses {
            self.address.insert((vpc, address.private), at);
            self.outside.extend(address.outside().map(|outside| (outside, at)));
        }
    }

    /// The number of a namespace, with its VPC; `vpc` if nothing is attached there yet.
    fn space(&mut self, netns: &'a str, vpc: usize) -> (usize, usize) {
        let space = *self.netns.entry(netns).or_insert(self.spaces.len());
        if space == self.spaces.len() {
            self.spaces.push((vpc, 0));
        }
        let (there, count) = &mut self.spaces[space];
        if *count == 0 {
            *there = vpc;
        }
        (space, *there)
    }

    fn of_vpc(&self, vpc: &VpcId) -> &[usize] {
        self.vpcs.get(vpc).and_then(|number| self.vpc.get(*number)).map_or(&[], Vec::as_slice)
    }
}

/// The state by id.
pub(crate) struct Index<'a> {
    pub(crate) state: &'a NetworkState,
    /// What the state asks for and cannot be had, with the reason.
    pub(crate) omitted: BTreeSet<String>,
    pub(crate) attached: Vec<Attached<'a>>,
    /// The different lists of groups that interfaces have.
    pub(crate) combinations: Vec<&'a [SecurityGroupId]>,
    /// The number of each interface's, in the state's order.
    pub(crate) combination_of: Vec<usize>,
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
        let mut places = Places::new(state);
        let homes: HashMap<&SubnetId, (&Subnet, usize)> = subnets
            .values()
            .filter_map(|subnet| Some((&subnet.id, (*subnet, *places.vpcs.get(&subnet.vpc)?))))
            .collect();
        let mut numbers: HashMap<&[SecurityGroupId], usize> = HashMap::default();
        let (mut combinations, mut combination_of) = (Vec::new(), Vec::new());
        let (mut devices, mut links) = (HashSet::default(), HashSet::default());
        for interface in &state.network_interfaces {
            let combination = *numbers.entry(&interface.groups).or_insert_with(|| {
                combinations.push(interface.groups.as_slice());
                combinations.len() - 1
            });
            combination_of.push(combination);
            let nat = nat_interfaces.get(&interface.id);
            let (netns, device_index) = match (nat, &interface.attachment) {
                (Some(nat), _) => (nat.id.as_str(), 0),
                (None, Some(attachment)) => (attachment.netns.as_str(), attachment.device_index),
                (None, None) => continue,
            };
            let Some((subnet, vpc)) = homes.get(&interface.subnet).copied() else {
                omitted.insert(format!("{}: no subnet {} in a VPC", interface.id, interface.subnet));
                continue;
            };
            if interface.primary(Family::Ipv4).is_none() || !good_netns_name(netns) {
                omitted.insert(format!("{}: no IPv4 address, or no good namespace name", interface.id));
                continue;
            }
            // What two would share, the second goes without: the kernel would refuse it, and everything with it.
            let link = link_digits(&interface.id);
            let (space, there) = places.space(netns, vpc);
            let place = (space, device_index);
            let taken = there != vpc || devices.contains(&place);
            let mut private = interface.addresses.iter().map(|address| address.private);
            let mut outside = interface.addresses.iter().filter_map(crate::InterfaceAddress::outside);
            let conflict = if taken {
                Some(format!("{netns}/{device_index}"))
            } else if links.contains(&(vpc, link)) {
                Some(format!("{}/{}", subnet.vpc, link_name(&interface.id)))
            } else if let Some(ip) = private.find(|ip| places.address.contains_key(&(vpc, *ip))) {
                Some(format!("{}/{ip}", subnet.vpc))
            } else {
                outside.find(|ip| places.outside.contains_key(ip)).map(|ip| ip.to_string())
            };
            if let Some(conflict) = conflict {
                omitted.insert(format!("{}: {conflict} is another interface's", interface.id));
                continue;
            }
            devices.insert(place);
            links.insert((vpc, link));
            let at = attached.len();
            let one = Attached { interface, subnet, netns, device_index, space, combination, nat: nat.is_some() };
            places.add(at, vpc, &one);
            attached.push(one);
        }
        Self {
            state,
            omitted,
            attached,
            combinations,
            combination_of,
            places,
            vpcs,
            subnets,
            tables: state.route_tables.iter().map(|t| (&t.id, t)).collect(),
            groups: state.security_groups.iter().map(|g| (&g.id, g)).collect(),
            acls: state.network_acls.iter().map(|a| (&a.id, a)).collect(),
            nats: state.nat_gateways.iter().map(|n| (&n.id, n)).collect(),
        }
    }

    pub(crate) fn attached_in<'b>(&'b self, vpc: &VpcId) -> impl Iterator<Item = &'b Attached<'a>> + use<'a, 'b> {
        self.places.of_vpc(vpc).iter().map(|at| &self.attached[*at])
    }

    /// What is attached in this namespace.
    pub(crate) fn attached_to<'b>(&'b self, netns: &'b str) -> impl Iterator<Item = &'b Attached<'a>> + 'b {
        let space = self.places.netns.get(netns);
        let all = space
            .into_iter()
            .flat_map(|space| &self.places.vpc[self.places.spaces[*space].0])
            .map(|at| &self.attached[*at]);
        all.filter(move |attached| attached.netns == netns)
    }

    /// Whether nothing else is attached in its namespace.
    pub(crate) fn is_alone(&self, attached: &Attached<'_>) -> bool {
        self.places.spaces[attached.space].1 == 1
    }

    /// Whether something is attached in this namespace.
    pub(crate) fn has_attached_in(&self, netns: &str) -> bool {
        self.places.netns.get(netns).is_some_and(|space| self.places.spaces[*space].1 > 0)
    }

    pub(crate) fn attached_as(&self, id: &EniId) -> Option<&Attached<'a>> {
        let by_id = self.places.id.get_or_init(|| {
            let all = self.attached.iter().enumerate();
            // Of two with one id the first counts.
            all.rev().map(|(at, attached)| (&attached.interface.id, at)).collect()
        });
        by_id.get(id).map(|at| &self.attached[*at])
    }

    pub(crate) fn subnets_of<'b>(&'b self, vpc: &'b VpcId) -> impl Iterator<Item = &'a Subnet> + 'b {
        self.subnets.values().copied().filter(move |s| s.vpc == *vpc)
    }

    /// The interface that has an address in a VPC.
    pub(crate) fn attached_at(&self, vpc: &VpcId, private: IpAddr) -> Option<&Attached<'a>> {
        let vpc = *self.places.vpcs.get(vpc)?;
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
