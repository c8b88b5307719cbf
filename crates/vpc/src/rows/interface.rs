//! A network interface.

use super::{Tags, row};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use store::Index;
use types::Timestamp;
use types::id::{AttachmentId, EniId, InstanceId, SecurityGroupId, SubnetId, VpcId};

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkInterface {
    /// Its id.
    pub id: EniId,
    /// Its VPC.
    pub vpc: VpcId,
    /// Its subnet.
    pub subnet: SubnetId,
    /// Its zone.
    pub zone: String,
    /// Its description.
    pub description: String,
    /// Its kind.
    pub kind: InterfaceType,
    /// Six bytes, `02:…`.
    pub mac: [u8; 6],
    /// Its private addresses, the primary one first.
    pub private_ips: Vec<Ipv4Addr>,
    /// Its IPv6 addresses, in the order in which it was given them.
    #[serde(default)]
    pub ipv6: Vec<Ipv6Addr>,
    /// The public address that it was given automatically. Elastic ones stand in [`super::Address`].
    pub auto_public_ip: Option<Ipv4Addr>,
    /// Its security groups.
    pub groups: Vec<SecurityGroupId>,
    /// Whether packets must be from or to its own addresses.
    pub source_dest_check: bool,
    /// Whose it is if a service made it, e.g. `amazon-elb`; its user may not delete it.
    pub requester: Option<String>,
    /// What it is attached to.
    pub attachment: Option<Attachment>,
    /// What the fabric made of it.
    pub state: InterfaceState,
    /// When it was made.
    pub created: Timestamp,
    /// Its tags.
    pub tags: Tags,
}

/// The kinds of interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum InterfaceType {
    /// `interface`: a task's, or a user's own.
    Interface,
    /// `nat_gateway`.
    NatGateway,
    /// `vpc_endpoint`.
    VpcEndpoint,
    /// A load balancer's node, which AWS also calls `interface`.
    LoadBalancer,
}

impl InterfaceType {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Interface | Self::LoadBalancer => "interface",
            Self::NatGateway => "nat_gateway",
            Self::VpcEndpoint => "vpc_endpoint",
        }
    }
}

/// What an interface is attached to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Its id.
    pub id: AttachmentId,
    /// The account that owns what it is attached to, or a service such as `amazon-elb`.
    pub owner: String,
    /// The network namespace that holds its other end; `None` where the router itself does (NAT gateways, endpoints).
    pub namespace: Option<String>,
    /// When it was attached.
    pub at: Timestamp,
    /// Whether it ends with what it is attached to.
    #[serde(default)]
    pub delete_on_termination: bool,
    /// The instance that it is attached to, if it is one.
    #[serde(default)]
    pub instance: Option<InstanceId>,
    /// Its place among that instance's interfaces.
    #[serde(default)]
    pub device_index: u8,
}

impl Attachment {
    /// Which of its namespace's devices it is: an instance's namespace has all of its interfaces, others have one.
    pub fn device(&self) -> u8 {
        let of_instance = self.instance.as_ref().map(InstanceId::as_str) == self.namespace.as_deref();
        if of_instance { self.device_index } else { 0 }
    }

    /// Whether it is attached to an instance that does not run.
    pub fn rests(&self) -> bool {
        self.instance.is_some() && self.namespace.is_none()
    }
}

/// What the fabric made of an interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum InterfaceState {
    /// Not in the kernel yet.
    Pending,
    /// In the kernel: packets flow.
    Attached,
    /// The fabric could not make it; it goes on trying.
    Failed(String),
}

impl NetworkInterface {
    /// Interfaces by subnet.
    pub const BY_SUBNET: Index<Self> = Index::new("subnet", |interface| vec![interface.subnet.to_string()]);
    /// Interfaces by VPC.
    pub const BY_VPC: Index<Self> = Index::new("vpc", |interface| vec![interface.vpc.to_string()]);
    /// Interfaces by security group.
    pub const BY_GROUP: Index<Self> =
        Index::new("group", |interface| interface.groups.iter().map(ToString::to_string).collect());
    /// Interfaces by the instance that they are attached to.
    pub const BY_INSTANCE: Index<Self> = Index::new("instance", |interface| {
        interface
            .attachment
            .iter()
            .filter_map(|attachment| attachment.instance.as_ref())
            .map(ToString::to_string)
            .collect()
    });
    /// Interfaces by VPC and address, private or IPv6: `vpc-…/10.0.0.4`.
    pub const BY_PRIVATE_IP: Index<Self> = Index::new("private_ip", |interface| {
        interface.addresses().map(|ip| format!("{}/{ip}", interface.vpc)).collect()
    });
    /// Interfaces by automatic public address.
    pub const BY_PUBLIC_IP: Index<Self> =
        Index::new("public_ip", |interface| interface.auto_public_ip.iter().map(ToString::to_string).collect());

    /// The primary private address.
    pub fn private_ip(&self) -> Option<Ipv4Addr> {
        self.private_ips.first().copied()
    }

    /// All its addresses in its VPC, the primary private one first.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.private_ips.iter().copied().map(IpAddr::V4).chain(self.ipv6.iter().copied().map(IpAddr::V6))
    }

    /// The MAC address as AWS writes it.
    pub fn mac_text(&self) -> String {
        self.mac.map(|byte| format!("{byte:02x}")).join(":")
    }

    /// AWS's `status`: `in-use` once attached to something, else `available`.
    pub fn status(&self) -> &'static str {
        if self.attachment.is_some() { "in-use" } else { "available" }
    }
}

row!(
    NetworkInterface,
    "vpc.network_interface",
    id,
    BY_SUBNET,
    BY_VPC,
    BY_GROUP,
    BY_INSTANCE,
    BY_PRIVATE_IP,
    BY_PUBLIC_IP
);
