//! Internet gateways, egress-only ones, NAT gateways and VPC endpoints.

use super::{Tags, row};
use serde::{Deserialize, Serialize};
use store::Index;
use types::Timestamp;
use types::id::{
    EgressOnlyInternetGatewayId, EniId, InternetGatewayId, NatGatewayId, RouteTableId, SecurityGroupId, SubnetId,
    VpcEndpointId, VpcId,
};

/// An internet gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InternetGateway {
    /// Its id.
    pub id: InternetGatewayId,
    /// The VPC that it is attached to.
    pub vpc: Option<VpcId>,
    /// Its tags.
    pub tags: Tags,
}

impl InternetGateway {
    /// Internet gateways by VPC.
    pub const BY_VPC: Index<Self> = Index::new("vpc", |gateway| gateway.vpc.iter().map(ToString::to_string).collect());
}

row!(InternetGateway, "vpc.internet_gateway", id, BY_VPC);

/// An egress-only internet gateway, for IPv6. It is its VPC's as long as it lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EgressOnlyInternetGateway {
    /// Its id.
    pub id: EgressOnlyInternetGatewayId,
    /// Its VPC.
    pub vpc: VpcId,
    /// What makes a repeated request the same one.
    pub client_token: Option<String>,
    /// Its tags.
    pub tags: Tags,
}

impl EgressOnlyInternetGateway {
    /// Egress-only internet gateways by VPC.
    pub const BY_VPC: Index<Self> = Index::new("vpc", |gateway| vec![gateway.vpc.to_string()]);
}

row!(EgressOnlyInternetGateway, "vpc.egress_only_internet_gateway", id, BY_VPC);

/// How far a NAT gateway is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NatGatewayState {
    /// Its interface is being attached.
    Pending,
    /// It passes traffic.
    Available,
    /// It is being taken down.
    Deleting,
    /// It is gone and shown for an hour.
    Deleted,
    /// It could not be made.
    Failed,
}

impl NatGatewayState {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Available => "available",
            Self::Deleting => "deleting",
            Self::Deleted => "deleted",
            Self::Failed => "failed",
        }
    }
}

/// A NAT gateway. Its addresses are those of its interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatGateway {
    /// Its id.
    pub id: NatGatewayId,
    /// Its VPC.
    pub vpc: VpcId,
    /// Its subnet.
    pub subnet: SubnetId,
    /// `public` or `private`.
    pub connectivity: String,
    /// Its interface.
    pub interface: EniId,
    /// Its private address, kept after the interface is gone.
    pub private_ip: std::net::Ipv4Addr,
    /// Its elastic address, for public ones: allocation, association, address.
    pub address: Option<(String, String, std::net::Ipv4Addr)>,
    /// How far it is.
    pub state: NatGatewayState,
    /// Code and text of a failure.
    pub failure: Option<(String, String)>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was deleted.
    pub deleted: Option<Timestamp>,
    /// Its tags.
    pub tags: Tags,
}

impl NatGateway {
    /// NAT gateways by VPC.
    pub const BY_VPC: Index<Self> = Index::new("vpc", |gateway| vec![gateway.vpc.to_string()]);
}

row!(NatGateway, "vpc.nat_gateway", id, BY_VPC);

/// A VPC endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VpcEndpoint {
    /// Its id.
    pub id: VpcEndpointId,
    /// Its VPC.
    pub vpc: VpcId,
    /// `com.amazonaws.us-east-1.logs`.
    pub service: String,
    /// `Interface` or `Gateway`.
    pub kind: String,
    /// The policy document; `None` is full access.
    pub policy: Option<String>,
    /// An interface endpoint's subnets with the interface in each.
    pub interfaces: Vec<(SubnetId, EniId)>,
    /// An interface endpoint's security groups.
    pub security_groups: Vec<SecurityGroupId>,
    /// Whether the service's own name resolves to the endpoint within the VPC.
    pub private_dns: bool,
    /// Whether it does so only for those who ask from outside of the VPC, through an inbound resolver endpoint.
    #[serde(default)]
    pub inbound_only: bool,
    /// A gateway endpoint's route tables.
    pub route_tables: Vec<RouteTableId>,
    /// When it was made.
    pub created: Timestamp,
    /// Its tags.
    pub tags: Tags,
}

impl VpcEndpoint {
    /// Endpoints by VPC.
    pub const BY_VPC: Index<Self> = Index::new("vpc", |endpoint| vec![endpoint.vpc.to_string()]);

    /// Whether routes lead to it; else it has interfaces.
    pub fn is_gateway(&self) -> bool {
        self.kind == "Gateway"
    }
}

row!(VpcEndpoint, "vpc.endpoint", id, BY_VPC);
