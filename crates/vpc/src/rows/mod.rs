//! The resources as the store holds them, in AWS's nouns. Ids are AWS's; every row carries its tags.

mod address;
mod behind;
mod client_token;
mod dhcp_options;
mod flow_log;
mod gateway;
mod insights;
mod instance;
mod interface;
mod launch_template;
mod network_acl;
mod peering;
mod prefix_list;
mod route_table;
mod security_group;
mod subnet;
mod vpc;

pub use address::Address;
pub use behind::Behind;
pub use client_token::ClientToken;
pub use dhcp_options::{DhcpOptions, RegionDefaults};
pub use flow_log::FlowLog;
pub use gateway::{EgressOnlyInternetGateway, InternetGateway, NatGateway, NatGatewayState, VpcEndpoint};
pub use insights::{NetworkInsightsAnalysis, NetworkInsightsPath};
pub use instance::{Instance, InstanceState, MetadataOptions};
pub use interface::{Attachment, InterfaceState, InterfaceType, NetworkInterface};
pub use launch_template::{LaunchTemplate, LaunchTemplateVersion};
pub use network_acl::{AclEntry, AclTraffic, NetworkAcl};
pub use peering::{PeeringSide, PeeringState, VpcPeeringConnection};
pub use prefix_list::{ManagedPrefixList, PrefixListEntry, PrefixListState};
pub use route_table::{Route, RouteTable, RouteTableAssociation, Target};
pub use security_group::{Peer, PeeredGroup, Rule, SecurityGroup};
pub use subnet::Subnet;
pub use vpc::Vpc;

/// A resource's tags, by key.
pub type Tags = std::collections::BTreeMap<String, String>;

/// The row type's table, its id, and its indexes.
macro_rules! row {
    ($type:ty, $table:literal, $id:ident $(, $index:ident)*) => {
        impl store::Row for $type {
            const TABLE: &'static str = $table;

            fn id(&self) -> std::borrow::Cow<'_, str> {
                std::borrow::Cow::Borrowed(self.$id.as_ref())
            }

            fn indexes() -> &'static [store::Index<Self>] {
                const { &[$(Self::$index),*] }
            }
        }
    };
}
pub(crate) use row;
