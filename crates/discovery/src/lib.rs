//! AWS Cloud Map: namespaces, the services in them, and where their instances are.
//!
//! The way of the data: `api/` turns requests into rows; [`intent`] is how ECS registers its tasks without the API. A
//! namespace of a VPC is a private zone there: [`zone`] says what its names stand for, from the rows alone, and the VPC's
//! resolver answers with that. [`Keeper`] lets a reported change of health take effect when its time has come.
//!
//! What it is not: it checks nobody's health, and there is no Route 53. A zone has what Cloud Map puts into it.

mod api;
mod ids;
pub mod intent;
mod keeper;
pub mod query;
pub mod rows;
mod texts;
pub mod zone;

pub use keeper::Keeper;

use gateway::Context;
use store::TableDef;
use types::Pace;

/// What the handlers share.
#[derive(Debug, Clone, Copy)]
pub struct Discovery {
    /// How much faster than on AWS waiting times pass.
    pub pace: Pace,
}

/// The tables to register when the store opens.
pub fn tables() -> Vec<TableDef> {
    vec![
        TableDef::of::<rows::Namespace>(),
        TableDef::of::<rows::Service>(),
        TableDef::of::<rows::Instance>(),
        TableDef::of::<rows::Operation>(),
    ]
}

/// Every operation.
pub fn handlers() -> model::servicediscovery::Handlers<Discovery, Context> {
    api::handlers()
}
