//! Elastic Load Balancing v2: application load balancers, listeners, rules, target groups and targets.
//!
//! [`rows`] are the resources as stored; `api` turns requests into rows; [`query`] is what other services may read, and
//! [`intent`] what they may ask for (a task registers itself as a target). The controller compiles all rows into one
//! `routing::ProxyConfig`, hands it to the proxy process, and writes back what that process sees of the targets.
//!
//! Requests to load balancers are the proxy's business, not this crate's, and decisions about them are `routing`'s.

mod api;
mod control;
pub mod intent;
pub mod query;
pub mod rows;
mod texts;

pub use control::{
    Channel, Connector, Control, Keeper, Link, LoadBalancers, LoopbackPorts, MeshSource, Meter, ProxyProcess, Served,
    Serving, Start, Told, controller, serving,
};

use gateway::Context;
use store::TableDef;
use vpc::intent::PublicPool;

/// What the handlers need besides the context.
#[derive(Debug, Clone)]
pub struct Elb {
    /// Where the nodes' public addresses come from.
    pub pool: PublicPool,
}

/// The handlers.
pub fn handlers() -> model::elbv2::Handlers<Elb, Context> {
    api::handlers()
}

/// The tables of this service.
pub fn tables() -> Vec<TableDef> {
    vec![
        TableDef::of::<rows::LoadBalancer>(),
        TableDef::of::<rows::TargetGroup>(),
        TableDef::of::<rows::Listener>(),
        TableDef::of::<rows::Rule>(),
        TableDef::of::<rows::Target>(),
    ]
}
