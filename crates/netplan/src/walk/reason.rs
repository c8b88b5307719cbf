//! Why a packet does not pass, as data.

use super::{Direction, Fix};
use crate::Family;
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
};
use types::id::{
    EniId, NatGatewayId, NetworkAclId, RouteTableId, SecurityGroupId, SubnetId, VpcId, VpcPeeringConnectionId,
};

/// The end of a way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// The smallest change that lets it through here, if one does.
    pub fix: Option<Fix>,
}

/// Why a packet does not pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Reason {
    /// The interface that it starts from is not attached to anything, or not there.
    NotAttached {
        /// The interface.
        interface: EniId,
    },
    /// No rule of the interface's groups speaks of it.
    NoGroupRule {
        /// The interface.
        interface: EniId,
        /// Its groups.
        groups: Vec<SecurityGroupId>,
        /// Which rules.
        direction: Direction,
    },
    /// A network ACL denies it.
    AclDenies {
        /// The ACL.
        acl: NetworkAclId,
        /// Which entries.
        direction: Direction,
        /// The entry's number; none is `*`.
        entry: Option<u16>,
    },
    /// The route table has no route for its destination.
    NoRoute {
        /// The table.
        table: RouteTableId,
    },
    /// Its route leads nowhere, since the target is gone.
    Blackhole {
        /// The table.
        table: RouteTableId,
    },
    /// Its route's target cannot be used.
    UnusableTarget {
        /// The table.
        table: RouteTableId,
        /// What is wrong with it.
        problem: String,
    },
    /// Instance metadata answers nobody else.
    NoInstance {
        /// The interface that asks.
        interface: EniId,
    },
    /// No interface of the VPC has the address.
    NobodyThere {
        /// The VPC.
        vpc: VpcId,
        /// The address.
        address: IpAddr,
    },
    /// It asks the resolver of a VPC that has none.
    NoDnsSupport {
        /// The VPC.
        vpc: VpcId,
    },
    /// An internet gateway takes only those who have a public address.
    NoPublicAddress {
        /// The sender's private address.
        private: Ipv4Addr,
    },
    /// Nobody outside has the address: it is none of the real internet, or that is not reached from here.
    NobodyOutside {
        /// The address.
        address: IpAddr,
    },
    /// It is one of a VPC's own addresses, which mean nothing outside.
    PrivateOutside {
        /// The address.
        address: IpAddr,
    },
    /// No internet gateway leads into the VPC of an IPv6 address.
    NoWayIn {
        /// The VPC.
        vpc: VpcId,
    },
    /// The interface has no address of the destination's family.
    NoAddressOfFamily {
        /// The interface.
        interface: EniId,
        /// The family.
        family: Family,
    },
    /// A NAT gateway takes no connections itself.
    NatGatewayTakesNone {
        /// The gateway.
        nat_gateway: NatGatewayId,
    },
    /// The route out of the NAT gateway's subnet leads back to it.
    NatGatewayLoop {
        /// The gateway.
        nat_gateway: NatGatewayId,
        /// Its subnet.
        subnet: SubnetId,
    },
    /// The answer goes to a NAT gateway which did not see the question.
    UnknownToNatGateway {
        /// The gateway.
        nat_gateway: NatGatewayId,
    },
    /// A peering connection leads to the other VPC's own addresses and no further.
    NotBeyond {
        /// The connection.
        connection: VpcPeeringConnectionId,
        /// The VPC there.
        vpc: VpcId,
        /// The address that it does not have.
        address: IpAddr,
    },
    /// The interface gets the packet, and nothing there hands it on.
    NotForwarded {
        /// The interface.
        interface: EniId,
    },
    /// The answer leaves another way than the one that leads back.
    AnotherWay {
        /// The table that sends it there.
        table: RouteTableId,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAttached { interface } => write!(f, "{interface} is not attached to anything"),
            Self::NoGroupRule { interface, groups, .. } if groups.is_empty() => {
                write!(f, "{interface} has no security group")
            }
            Self::NoGroupRule { direction, groups, .. } => {
                let ids: Vec<&str> = groups.iter().map(SecurityGroupId::as_str).collect();
                write!(f, "no {direction} rule of {} allows it", ids.join(", "))
            }
            Self::AclDenies { acl, direction, entry: Some(number) } => {
                write!(f, "{direction} entry {number} of {acl} denies it")
            }
            Self::AclDenies { acl, direction, entry: None } => {
                write!(f, "no {direction} entry of {acl} allows it, so its last one (*) denies it")
            }
            Self::NoRoute { table } => write!(f, "{table} has no route for it"),
            Self::Blackhole { table } => write!(f, "its route in {table} is a black hole"),
            Self::UnusableTarget { table, problem } => write!(f, "its route in {table} cannot be used: {problem}"),
            Self::NoInstance { interface } => {
                write!(f, "instance metadata answers instances alone, and {interface} is no instance's")
            }
            Self::NobodyThere { vpc, address } => write!(f, "no interface in {vpc} has {address}"),
            Self::NoDnsSupport { vpc } => write!(f, "{vpc} has enableDnsSupport off, so that its resolver is silent"),
            Self::NoPublicAddress { private } => {
                write!(f, "{private} has no public address, and an internet gateway takes only those that have one")
            }
            Self::NobodyOutside { address } => {
                write!(f, "nobody has {address} here, and nothing leads to it in the real internet")
            }
            Self::PrivateOutside { address } => {
                write!(f, "{address} is a VPC's own address, and from outside only public ones lead into a VPC")
            }
            Self::NoWayIn { vpc } => write!(f, "no internet gateway leads into {vpc} from outside"),
            Self::NoAddressOfFamily { interface, family } => write!(f, "{interface} has no {family} address"),
            Self::NatGatewayTakesNone { nat_gateway } => write!(f, "{nat_gateway} takes no connections itself"),
            Self::NatGatewayLoop { nat_gateway, .. } => {
                write!(f, "{nat_gateway} has no way out: the route of its own subnet leads back to it")
            }
            Self::UnknownToNatGateway { nat_gateway } => {
                write!(f, "the answer goes to {nat_gateway}, which knows no such connection")
            }
            Self::NotBeyond { connection, vpc, address } => {
                write!(f, "{connection} leads to {vpc} and no further, and {address} is not in its blocks")
            }
            Self::NotForwarded { interface } => write!(f, "{interface} gets it, and nothing there hands it on"),
            Self::AnotherWay { table } => write!(f, "{table} sends the answer another way than the one back"),
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        })
    }
}
