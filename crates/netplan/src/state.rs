//! What the user asked for, in AWS's nouns: the input of [`compile`](crate::compile).
//!
//! The VPC API's controller fills this from its tables. Nothing is validated here: what points at something that is not
//! there is left out of the plan and named in [`FabricPlan::omitted`](crate::FabricPlan::omitted).

use crate::{Family, Ground};
use foldhash::HashMap;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, Ipv4Addr},
    str::FromStr,
    sync::Arc,
};
use types::id::{
    EgressOnlyInternetGatewayId, EniId, InternetGatewayId, NatGatewayId, NetworkAclId, RouteTableId, SecurityGroupId,
    SubnetId, VpcEndpointId, VpcId, VpcPeeringConnectionId,
};

/// The whole network of one instance of Windtunnel. What there are many of is shared, so that a [`Planner`](crate::Planner)
/// sees at once that it is what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkState {
    /// Where on the host it stands; crate `fabric` says.
    pub ground: Ground,
    /// The VPCs.
    pub vpcs: Vec<Vpc>,
    /// Their subnets.
    pub subnets: Vec<Subnet>,
    /// Their route tables.
    pub route_tables: Vec<RouteTable>,
    /// Their security groups.
    pub security_groups: Vec<Arc<SecurityGroup>>,
    /// Their network ACLs.
    pub network_acls: Vec<NetworkAcl>,
    /// Prefix lists by id, those of AWS included.
    pub prefix_lists: BTreeMap<String, Vec<IpNet>>,
    /// Network interfaces, attached or not.
    pub network_interfaces: Vec<Arc<NetworkInterface>>,
    /// Internet gateways that are attached to a VPC.
    pub internet_gateways: Vec<InternetGateway>,
    /// Egress-only internet gateways.
    pub egress_only_internet_gateways: Vec<EgressOnlyInternetGateway>,
    /// NAT gateways that are not deleted.
    pub nat_gateways: Vec<NatGateway>,
    /// Gateway endpoints: each a way to the services behind [`Ground::gateway_endpoint_address`].
    pub gateway_endpoints: Vec<GatewayEndpoint>,
    /// VPC peering connections that are active.
    pub peerings: Vec<VpcPeering>,
    /// Networks behind attachments.
    pub behind: Vec<Behind>,
    /// Namespaces that must exist though no interface is attached to them yet.
    pub namespaces: Vec<String>,
    /// Interfaces whose packets are counted, by flow and by what became of them.
    pub counted: BTreeSet<EniId>,
    /// VPCs in which each verdict on a connection is told when it falls.
    pub traced: BTreeSet<VpcId>,
}

impl NetworkState {
    /// A network with nothing in it.
    pub fn new(ground: Ground) -> Self {
        Self {
            ground,
            vpcs: Vec::new(),
            subnets: Vec::new(),
            route_tables: Vec::new(),
            security_groups: Vec::new(),
            network_acls: Vec::new(),
            prefix_lists: BTreeMap::new(),
            network_interfaces: Vec::new(),
            internet_gateways: Vec::new(),
            egress_only_internet_gateways: Vec::new(),
            nat_gateways: Vec::new(),
            gateway_endpoints: Vec::new(),
            peerings: Vec::new(),
            behind: Vec::new(),
            namespaces: Vec::new(),
            counted: BTreeSet::new(),
            traced: BTreeSet::new(),
        }
    }
}

impl NetworkState {
    /// Takes over what `last` has the same of.
    pub fn share_with(&mut self, last: &Self) {
        let interfaces: HashMap<_, _> = last.network_interfaces.iter().map(|row| (&row.id, row)).collect();
        for row in &mut self.network_interfaces {
            if let Some(same) = interfaces.get(&row.id).filter(|last| **last == row) {
                *row = Arc::clone(same);
            }
        }
        let groups: HashMap<_, _> = last.security_groups.iter().map(|row| (&row.id, row)).collect();
        for row in &mut self.security_groups {
            if let Some(same) = groups.get(&row.id).filter(|last| **last == row) {
                *row = Arc::clone(same);
            }
        }
    }
}

/// A VPC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vpc {
    /// Its id.
    pub id: VpcId,
    /// Its blocks of both families, the primary IPv4 one first.
    pub cidrs: Vec<IpNet>,
    /// Whether its resolver may be asked. If not, questions are met with silence.
    pub dns_support: bool,
}

impl Vpc {
    /// Whether an address is in one of its blocks.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.cidrs.iter().any(|cidr| cidr.contains(&ip))
    }

    /// Its primary block.
    pub fn primary(&self) -> Option<Ipv4Net> {
        self.cidrs.iter().find_map(|cidr| if let IpNet::V4(cidr) = cidr { Some(*cidr) } else { None })
    }

    /// The families that it has blocks of.
    pub fn families(&self) -> impl Iterator<Item = Family> + '_ {
        Family::ALL.into_iter().filter(|family| self.has(*family))
    }

    /// Whether it has blocks of a family.
    pub fn has(&self, family: Family) -> bool {
        self.cidrs.iter().any(|cidr| Family::of_block(cidr) == family)
    }
}

/// A subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// Its id.
    pub id: SubnetId,
    /// The VPC that it is part of.
    pub vpc: VpcId,
    /// Its block.
    pub cidr: Ipv4Net,
    /// Its IPv6 block, if it has one.
    pub ipv6: Option<Ipv6Net>,
    /// Its availability zone.
    pub zone: String,
    /// The route table in force: the one associated, or else the VPC's main one.
    pub route_table: RouteTableId,
    /// The network ACL in force.
    pub network_acl: NetworkAclId,
}

impl Subnet {
    /// Whether an address is in one of its blocks.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => self.cidr.contains(&ip),
            IpAddr::V6(ip) => self.ipv6.is_some_and(|cidr| cidr.contains(&ip)),
        }
    }
}

/// A route table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTable {
    /// Its id.
    pub id: RouteTableId,
    /// The VPC that it is part of.
    pub vpc: VpcId,
    /// Its routes. The local ones may be left out: they always hold.
    pub routes: Vec<RouteEntry>,
}

/// One route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteEntry {
    /// Packets to where.
    pub destination: Destination,
    /// Go where.
    pub target: RouteTarget,
}

/// What a route is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Destination {
    /// A block of addresses.
    Cidr(IpNet),
    /// Each block of a prefix list, by its id.
    PrefixList(String),
}

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RouteTarget {
    /// Within the VPC.
    Local,
    /// To the internet namespace; over IPv4, only a source with a public address gets through.
    InternetGateway(InternetGatewayId),
    /// Over IPv6 to the internet namespace, for connections that begin inside.
    EgressOnlyInternetGateway(EgressOnlyInternetGatewayId),
    /// Through a NAT gateway.
    NatGateway(NatGatewayId),
    /// To an interface, which must have its source/destination check off.
    NetworkInterface(EniId),
    /// To AWS's services behind a gateway endpoint.
    GatewayEndpoint(VpcEndpointId),
    /// To another VPC, through a peering connection.
    Peering(VpcPeeringConnectionId),
    /// Nowhere: what the route pointed at is gone.
    Blackhole,
}

/// A security group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityGroup {
    /// Its id.
    pub id: SecurityGroupId,
    /// The VPC that it is part of.
    pub vpc: VpcId,
    /// What may come in.
    pub ingress: Vec<GroupRule>,
    /// What may go out.
    pub egress: Vec<GroupRule>,
}

/// One permission of a security group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRule {
    /// What may pass.
    pub traffic: Traffic,
    /// From whom (ingress), to whom (egress).
    pub peer: Peer,
}

/// The other side of a security group's rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Peer {
    /// A block of addresses.
    Cidr(IpNet),
    /// The addresses of a group's members in their VPC.
    Group(SecurityGroupId),
    /// Each block of a prefix list, by its id.
    PrefixList(String),
}

/// Ports, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortRange {
    /// The first.
    pub from: u16,
    /// The last.
    pub to: u16,
}

impl PortRange {
    /// Every port.
    pub const ALL: Self = Self { from: 0, to: u16::MAX };
}

/// Which packets a rule speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Traffic {
    /// Every protocol.
    All,
    /// TCP to these ports.
    Tcp(PortRange),
    /// UDP to these ports.
    Udp(PortRange),
    /// ICMP of this type and code; none is all of them.
    Icmp {
        /// The type.
        kind: Option<u8>,
        /// The code.
        code: Option<u8>,
    },
    /// ICMPv6 of this type and code; none is all of them.
    Icmpv6 {
        /// The type.
        kind: Option<u8>,
        /// The code.
        code: Option<u8>,
    },
    /// All of another protocol, by its number.
    Protocol(u8),
}

impl Traffic {
    /// A rule's protocol and ports as EC2's API has them: a name or a number (`-1` for all), then two ports, or ICMP's
    /// type and code with -1 for all. `None` if there is no such protocol or port.
    pub fn from_ec2(protocol: &str, from: Option<i32>, to: Option<i32>) -> Option<Self> {
        let number = match protocol {
            "-1" | "all" => return Some(Self::All),
            "tcp" => 6,
            "udp" => 17,
            "icmp" => 1,
            "icmpv6" => 58,
            other => other.parse::<u8>().ok()?,
        };
        let wild = |value: Option<i32>| match value {
            None | Some(-1) => Some(None),
            Some(value) => u8::try_from(value).ok().map(Some),
        };
        Some(match number {
            6 | 17 => {
                let ports = match (from, to) {
                    (None | Some(-1), None | Some(-1)) => PortRange::ALL,
                    (Some(from), to) => {
                        let from = u16::try_from(from).ok()?;
                        PortRange { from, to: to.map_or(Some(from), |to| u16::try_from(to).ok())? }
                    }
                    (None, Some(_)) => return None,
                };
                if ports.from > ports.to {
                    return None;
                }
                if number == 6 { Self::Tcp(ports) } else { Self::Udp(ports) }
            }
            1 => Self::Icmp { kind: wild(from)?, code: wild(to)? },
            58 => Self::Icmpv6 { kind: wild(from)?, code: wild(to)? },
            other => Self::Protocol(other),
        })
    }
}

/// A network ACL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkAcl {
    /// Its id.
    pub id: NetworkAclId,
    /// The VPC that it is part of.
    pub vpc: VpcId,
    /// Entries for what enters a subnet. Their numbers order them; what none matches is dropped.
    pub ingress: Vec<AclEntry>,
    /// Entries for what leaves a subnet.
    pub egress: Vec<AclEntry>,
}

/// An entry of a network ACL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AclEntry {
    /// Lower ones are looked at first.
    pub number: u16,
    /// Whether it allows or denies.
    pub allow: bool,
    /// Which packets.
    pub traffic: Traffic,
    /// From or to where.
    pub cidr: IpNet,
}

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkInterface {
    /// Its id.
    pub id: EniId,
    /// The subnet that it stands in.
    pub subnet: SubnetId,
    /// Its hardware address.
    pub mac: MacAddress,
    /// Its addresses of both families, the primary IPv4 one first.
    pub addresses: Vec<InterfaceAddress>,
    /// Its security groups.
    pub groups: Vec<SecurityGroupId>,
    /// Whether it may only send and get packets of its own addresses.
    pub source_dest_check: bool,
    /// Where it is attached, if it is. Leave it out for a NAT gateway's: the plan attaches those itself.
    pub attachment: Option<Attachment>,
}

/// An address of an interface, with the public one that stands for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceAddress {
    /// In the subnet. One of IPv6 means the same outside.
    pub private: IpAddr,
    /// Elastic or automatically assigned, out of the pool; for IPv4 alone.
    pub public: Option<Ipv4Addr>,
}

impl NetworkInterface {
    /// Its first address of a family.
    pub fn primary(&self, family: Family) -> Option<IpAddr> {
        self.addresses.iter().map(|address| address.private).find(|ip| Family::of(*ip) == family)
    }
}

impl InterfaceAddress {
    /// What it is outside of the VPC, if anything.
    pub fn outside(&self) -> Option<IpAddr> {
        if self.private.is_ipv6() { Some(self.private) } else { self.public.map(IpAddr::V4) }
    }
}

/// Where an interface is attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// A namespace's name: letters, digits, `-` and `_`. The plan creates it.
    pub netns: String,
    /// The interface is `eth<device_index>` there; 0 has the default route.
    pub device_index: u8,
}

/// A network behind an attachment's, as a container's is behind its host's in ECS's bridge mode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Behind {
    /// Its namespace, which the plan creates.
    pub netns: String,
    /// The namespace that it is behind; an interface is attached there.
    pub host: String,
    /// Its address, out of 172.17.0.0/16. Others behind the same host know it, and nobody else.
    pub address: Ipv4Addr,
    /// The host's ports that lead to it.
    pub ports: Vec<ForwardedPort>,
}

/// A port of a host that leads to what is behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForwardedPort {
    /// The protocol's number.
    pub protocol: u8,
    /// The host's port.
    pub host: u16,
    /// The port that it leads to.
    pub own: u16,
}

/// An internet gateway's attachment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InternetGateway {
    /// Its id.
    pub id: InternetGatewayId,
    /// The VPC that it is attached to.
    pub vpc: VpcId,
}

/// An egress-only internet gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EgressOnlyInternetGateway {
    /// Its id.
    pub id: EgressOnlyInternetGatewayId,
    /// Its VPC.
    pub vpc: VpcId,
}

/// A NAT gateway. Its elastic IP is its interface's public address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatGateway {
    /// Its id.
    pub id: NatGatewayId,
    /// Its interface.
    pub interface: EniId,
}

/// A gateway endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayEndpoint {
    /// Its id.
    pub id: VpcEndpointId,
    /// The VPC whose route tables may lead to it.
    pub vpc: VpcId,
}

/// A VPC peering connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VpcPeering {
    /// Its id.
    pub id: VpcPeeringConnectionId,
    /// The two VPCs, whose blocks have no address in common.
    pub vpcs: [VpcId; 2],
}

/// A hardware address, written `02:00:00:00:00:01`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddress(pub [u8; 6]);

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, byte) in self.0.iter().enumerate() {
            write!(f, "{}{byte:02x}", if n == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

impl FromStr for MacAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is not a hardware address");
        let mut bytes = [0u8; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part =
                parts.next().filter(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit())).ok_or_else(bad)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| bad())?;
        }
        if parts.next().is_some() { Err(bad()) } else { Ok(Self(bytes)) }
    }
}

impl Serialize for MacAddress {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MacAddress {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ec2_protocols_and_ports() {
        assert_eq!(Traffic::from_ec2("-1", None, None), Some(Traffic::All));
        assert_eq!(Traffic::from_ec2("tcp", Some(80), Some(90)), Some(Traffic::Tcp(PortRange { from: 80, to: 90 })));
        assert_eq!(Traffic::from_ec2("6", Some(90), Some(80)), None);
        assert_eq!(Traffic::from_ec2("icmp", Some(8), Some(-1)), Some(Traffic::Icmp { kind: Some(8), code: None }));
        assert_eq!(Traffic::from_ec2("50", None, None), Some(Traffic::Protocol(50)));
        assert_eq!(Traffic::from_ec2("300", None, None), None);
    }

    #[test]
    fn hardware_addresses_are_read_and_written() {
        let mac: MacAddress = "02:0a:00:00:00:ff".parse().unwrap();
        assert_eq!(mac.to_string(), "02:0a:00:00:00:ff");
        assert!("02:0a:00:00:00".parse::<MacAddress>().is_err());
        assert!("02:0a:00:00:00:+f".parse::<MacAddress>().is_err());
    }
}
