//! The network part of the EC2 API, and the controller that makes the kernel's network agree with it.
//!
//! [`rows`] are the resources as stored; [`api`] turns requests into rows; [`query`] is what other services may read and
//! [`intent`] what they may ask for (an interface for a task or a load balancer's node); [`names`] is how AWS calls things;
//! [`client_tokens`] has each creation done once; [`launch`] makes instances, of the types and images in
//! [`instance_types`] and [`images`], [`instances`] leads them through their life, [`metadata`] answers inside them and [`user_data`] reads what they say to the
//! ECS agent; [`controller`] compiles all rows into a `netplan::NetworkState` and has the
//! fabric apply it; [`router_sockets`] keeps the sockets of others in the VPCs' routers. Packets are the fabric's business,
//! not this crate's.

pub mod api;
pub mod client_tokens;
pub mod controller;
pub mod flow_logs;
pub mod images;
pub mod instance_types;
pub mod instances;
pub mod intent;
pub mod launch;
pub mod metadata;
pub mod names;
pub mod query;
pub mod router_connections;
pub mod router_sockets;
pub mod rows;
mod texts;
pub mod user_data;

use store::TableDef;

/// The tables of this service.
pub fn tables() -> Vec<TableDef> {
    vec![
        TableDef::of::<rows::Vpc>(),
        TableDef::of::<rows::Subnet>(),
        TableDef::of::<rows::RouteTable>(),
        TableDef::of::<rows::InternetGateway>(),
        TableDef::of::<rows::EgressOnlyInternetGateway>(),
        TableDef::of::<rows::NatGateway>(),
        TableDef::of::<rows::Address>(),
        TableDef::of::<rows::SecurityGroup>(),
        TableDef::of::<rows::NetworkAcl>(),
        TableDef::of::<rows::NetworkInterface>(),
        TableDef::of::<rows::VpcEndpoint>(),
        TableDef::of::<rows::DhcpOptions>(),
        TableDef::of::<rows::FlowLog>(),
        TableDef::of::<rows::RegionDefaults>(),
        TableDef::of::<rows::ManagedPrefixList>(),
        TableDef::of::<rows::NetworkInsightsPath>(),
        TableDef::of::<rows::NetworkInsightsAnalysis>(),
        TableDef::of::<rows::VpcPeeringConnection>(),
        TableDef::of::<rows::ClientToken>(),
        TableDef::of::<rows::Instance>(),
        TableDef::of::<rows::LaunchTemplate>(),
        TableDef::of::<rows::Behind>(),
    ]
}
