//! A VPC.

use super::{Tags, row};
use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use types::id::{DhcpOptionsId, NetworkAclId, RouteTableId, SecurityGroupId, VpcCidrAssociationId, VpcId};

/// A VPC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vpc {
    /// Its id.
    pub id: VpcId,
    /// Its primary block.
    pub cidr: Ipv4Net,
    /// The primary block's association.
    pub cidr_association: VpcCidrAssociationId,
    /// Its further blocks with their associations.
    #[serde(default)]
    pub secondary: Vec<(VpcCidrAssociationId, Ipv4Net)>,
    /// Its IPv6 blocks with their associations.
    #[serde(default)]
    pub ipv6: Vec<(VpcCidrAssociationId, Ipv6Net)>,
    /// `default` or `dedicated`.
    pub instance_tenancy: String,
    /// Whether it is the region's default VPC.
    pub is_default: bool,
    /// `enableDnsSupport`.
    pub dns_support: bool,
    /// `enableDnsHostnames`.
    pub dns_hostnames: bool,
    /// `enableNetworkAddressUsageMetrics`.
    #[serde(default)]
    pub usage_metrics: bool,
    /// Its DHCP options; `None` is the set called `default`.
    pub dhcp_options: Option<DhcpOptionsId>,
    /// The main route table.
    pub main_route_table: RouteTableId,
    /// The default network ACL.
    pub default_network_acl: NetworkAclId,
    /// The default security group.
    pub default_security_group: SecurityGroupId,
    /// Its tags.
    pub tags: Tags,
}

impl Vpc {
    /// Its IPv4 blocks, the primary one first.
    pub fn cidrs(&self) -> impl Iterator<Item = Ipv4Net> + '_ {
        std::iter::once(self.cidr).chain(self.secondary.iter().map(|(_, cidr)| *cidr))
    }

    /// Its IPv6 blocks.
    pub fn ipv6_cidrs(&self) -> impl Iterator<Item = Ipv6Net> + '_ {
        self.ipv6.iter().map(|(_, cidr)| *cidr)
    }
}

row!(Vpc, "vpc.vpc", id);
