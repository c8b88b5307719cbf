//! The state by id, and what of it can be had: the first look at it, which the compiler and the walk share.

use crate::{
    Attachment, InternetGateway, NatGateway, NetworkAcl, NetworkInterface, NetworkState, RouteTable, SecurityGroup,
    Subnet, Vpc, compile::link_name,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};
use types::id::{
    EniId, NatGatewayId, NetworkAclId, RouteTableId, SecurityGroupId, SubnetId, VpcId, VpcPeeringConnectionId,
};

/// The addresses that answer in every VPC: instance metadata, task credentials and metadata.
const SERVICES: [Ipv4Addr; 2] = [Ipv4Addr::new(169, 254, 169, 254), Ipv4Addr::new(169, 254, 170, 2)];
/// The resolver's address in every VPC; its other one is the third of the VPC's first block.
const RESOLVER: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 253);

/// An interface that is attached, with all that the plan needs of it.
pub(crate) struct Attached<'a> {
    pub(crate) interface: &'a NetworkInterface,
    pub(crate) subnet: &'a Subnet,
    pub(crate) attachment: Attachment,
    pub(crate) link: String,
    /// Whether it is a NAT gateway's: no groups, and it forwards.
    pub(crate) nat: bool,
}

impl Attached<'_> {
    /// Whether an address is one of its own.
    pub(crate) fn has(&self, private: Ipv4Addr) -> bool {
        self.interface.addresses.iter().any(|address| address.private == private)
    }

    pub(crate) fn primary(&self) -> Option<Ipv4Addr> {
        self.interface.addresses.first().map(|a| a.private)
    }
}

/// The state by id.
pub(crate) struct Index<'a> {
    pub(crate) state: &'a NetworkState,
    /// What the state asks for and cannot be had, with the reason.
    pub(crate) omitted: BTreeSet<String>,
    pub(crate) attached: Vec<Attached<'a>>,
    pub(crate) vpcs: BTreeMap<&'a VpcId, &'a Vpc>,
    pub(crate) subnets: BTreeMap<&'a SubnetId, &'a Subnet>,
    pub(crate) tables: BTreeMap<&'a RouteTableId, &'a RouteTable>,
    pub(crate) groups: BTreeMap<&'a SecurityGroupId, &'a SecurityGroup>,
    pub(crate) acls: BTreeMap<&'a NetworkAclId, &'a NetworkAcl>,
    pub(crate) nats: BTreeMap<&'a NatGatewayId, &'a NatGateway>,
}

impl<'a> Index<'a> {
    pub(crate) fn new(state: &'a NetworkState) -> Self {
        let vpcs: BTreeMap<_, _> = state.vpcs.iter().map(|v| (&v.id, v)).collect();
        let subnets: BTreeMap<_, _> = state.subnets.iter().map(|s| (&s.id, s)).collect();
        let nat_interfaces: BTreeMap<_, _> = state.nat_gateways.iter().map(|n| (&n.interface, n)).collect();
        let mut attached = Vec::new();
        let mut taken = BTreeSet::new();
        let mut omitted = BTreeSet::new();
        for interface in &state.network_interfaces {
            let nat = nat_interfaces.get(&interface.id);
            let attachment = match nat {
                Some(nat) => Attachment { netns: nat.id.as_str().to_owned(), device_index: 0 },
                None => match &interface.attachment {
                    Some(attachment) => attachment.clone(),
                    None => continue,
                },
            };
            let Some(subnet) = subnets.get(&interface.subnet).filter(|s| vpcs.contains_key(&s.vpc)) else {
                omitted.insert(format!("{}: no subnet {} in a VPC", interface.id, interface.subnet));
                continue;
            };
            if interface.addresses.is_empty() || !good_netns_name(&attachment.netns) {
                omitted.insert(format!("{}: no address, or no good namespace name", interface.id));
                continue;
            }
            // What two would share, the second goes without: the kernel would refuse it, and everything with it.
            let mut shared = vec![
                format!("{}/{}", attachment.netns, attachment.device_index),
                format!("{}/{}", subnet.vpc, link_name(&interface.id)),
            ];
            for address in &interface.addresses {
                shared.push(format!("{}/{}", subnet.vpc, address.private));
                shared.extend(address.public.map(|public| public.to_string()));
            }
            if let Some(conflict) = shared.iter().find(|name| taken.contains(*name)) {
                omitted.insert(format!("{}: {conflict} is another interface's", interface.id));
                continue;
            }
            taken.extend(shared);
            attached.push(Attached {
                interface,
                subnet,
                attachment,
                link: link_name(&interface.id),
                nat: nat.is_some(),
            });
        }
        Self {
            state,
            omitted,
            attached,
            vpcs,
            subnets,
            tables: state.route_tables.iter().map(|t| (&t.id, t)).collect(),
            groups: state.security_groups.iter().map(|g| (&g.id, g)).collect(),
            acls: state.network_acls.iter().map(|a| (&a.id, a)).collect(),
            nats: state.nat_gateways.iter().map(|n| (&n.id, n)).collect(),
        }
    }

    pub(crate) fn attached_in<'b>(&'b self, vpc: &'b VpcId) -> impl Iterator<Item = &'b Attached<'a>> + 'b {
        self.attached.iter().filter(move |a| a.subnet.vpc == *vpc)
    }

    pub(crate) fn attached_as(&self, id: &EniId) -> Option<&Attached<'a>> {
        self.attached.iter().find(|a| a.interface.id == *id)
    }

    pub(crate) fn subnets_of<'b>(&'b self, vpc: &'b VpcId) -> impl Iterator<Item = &'a Subnet> + 'b {
        self.subnets.values().copied().filter(move |s| s.vpc == *vpc)
    }

    /// The interface that has a private address in a VPC.
    pub(crate) fn attached_at(&self, vpc: &VpcId, private: Ipv4Addr) -> Option<&Attached<'a>> {
        self.attached.iter().find(|a| a.subnet.vpc == *vpc && a.has(private))
    }

    /// The interface behind a public address, and its private address, if packets from outside get that far.
    pub(crate) fn attached_behind(&self, public: Ipv4Addr) -> Option<(&Attached<'a>, Ipv4Addr)> {
        self.attached.iter().filter(|a| self.gateway_of(&a.subnet.vpc).is_some()).find_map(|attached| {
            let found = attached.interface.addresses.iter().find(|address| address.public == Some(public))?;
            Some((attached, found.private))
        })
    }

    /// The public address that stands for a private one outside its VPC.
    pub(crate) fn public_of(&self, vpc: &VpcId, private: Ipv4Addr) -> Option<Ipv4Addr> {
        self.attached_at(vpc, private)?.interface.addresses.iter().find(|a| a.private == private)?.public
    }

    /// The VPC's internet gateway, if it has one.
    pub(crate) fn gateway_of(&self, vpc: &VpcId) -> Option<&'a InternetGateway> {
        self.state.internet_gateways.iter().find(|gateway| gateway.vpc == *vpc)
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
    pub(crate) fn local_services(vpc: &Vpc) -> impl Iterator<Item = (Ipv4Addr, bool)> + use<> {
        let resolver = vpc.cidrs.first().map(|cidr| Ipv4Addr::from(u32::from(cidr.network()) + 2));
        let dns = vpc.dns_support;
        let resolvers = [RESOLVER].into_iter().chain(resolver).map(move |ip| (ip, dns));
        SERVICES.map(|ip| (ip, true)).into_iter().chain(resolvers)
    }
}

/// Names end up in paths.
fn good_netns_name(name: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    (1..=128).contains(&name.len()) && name.bytes().all(fine) && name != crate::INTERNET && !name.starts_with("vpc-")
}
