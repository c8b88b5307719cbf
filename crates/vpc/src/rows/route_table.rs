//! A route table with its routes and associations.

use super::{Tags, row};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use store::Index;
use types::id::{
    EgressOnlyInternetGatewayId, EniId, InternetGatewayId, NatGatewayId, RouteTableAssociationId, RouteTableId,
    SubnetId, VpcEndpointId, VpcId, VpcPeeringConnectionId,
};

/// A route table. The local route always holds and is not stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTable {
    /// Its id.
    pub id: RouteTableId,
    /// Its VPC.
    pub vpc: VpcId,
    /// The main association's id, if it is the VPC's main table.
    pub main_association: Option<RouteTableAssociationId>,
    /// Routes to blocks, and to prefix lists of gateway endpoints.
    pub routes: Vec<Route>,
    /// The subnets associated explicitly.
    pub associations: Vec<RouteTableAssociation>,
    /// Its tags.
    pub tags: Tags,
}

/// One route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// `Ok` a block, `Err` a prefix list's id.
    pub destination: Result<IpNet, String>,
    /// Where to.
    pub target: Target,
}

/// What a route points at. Whether that still exists decides `active` or `blackhole`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// An internet gateway.
    InternetGateway(InternetGatewayId),
    /// An egress-only internet gateway.
    EgressOnlyInternetGateway(EgressOnlyInternetGatewayId),
    /// A NAT gateway.
    NatGateway(NatGatewayId),
    /// A network interface.
    NetworkInterface(EniId),
    /// A gateway endpoint.
    Endpoint(VpcEndpointId),
    /// A VPC peering connection.
    Peering(VpcPeeringConnectionId),
}

impl Target {
    /// The id of what it points at.
    pub fn id(&self) -> &str {
        match self {
            Self::InternetGateway(id) => id.as_str(),
            Self::EgressOnlyInternetGateway(id) => id.as_str(),
            Self::NatGateway(id) => id.as_str(),
            Self::NetworkInterface(id) => id.as_str(),
            Self::Endpoint(id) => id.as_str(),
            Self::Peering(id) => id.as_str(),
        }
    }
}

/// A subnet's association.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTableAssociation {
    /// Its id.
    pub id: RouteTableAssociationId,
    /// The subnet.
    pub subnet: SubnetId,
}

impl RouteTable {
    /// Route tables by VPC.
    pub const BY_VPC: Index<Self> = Index::new("vpc", |table| vec![table.vpc.to_string()]);
    /// Route tables by associated subnet.
    pub const BY_SUBNET: Index<Self> = Index::new("subnet", |table| {
        table.associations.iter().map(|association| association.subnet.to_string()).collect()
    });
    /// Route tables by what their routes point at.
    pub const BY_TARGET: Index<Self> =
        Index::new("target", |table| table.routes.iter().map(|route| route.target.id().to_owned()).collect());
    /// Route tables by their associations' ids, the main one included.
    pub const BY_ASSOCIATION: Index<Self> = Index::new("association", |table| {
        let explicit = table.associations.iter().map(|association| association.id.to_string());
        explicit.chain(table.main_association.iter().map(ToString::to_string)).collect()
    });
}

row!(RouteTable, "vpc.route_table", id, BY_VPC, BY_SUBNET, BY_TARGET, BY_ASSOCIATION);
