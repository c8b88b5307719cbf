//! Application Auto Scaling: scalable targets, their policies and scheduled actions, and what became of them.
//!
//! A request's handler ([`handlers`]) checks it in AWS's words and writes rows, and the alarms of a target tracking policy
//! through `observe`'s intent. [`Scaler`] watches alarms and schedules, has crate `tracking` decide, and moves the desired
//! count of the service through its port ([`ports::Services`]).
//!
//! What it is not: it evaluates no alarms, which is `observe`'s work, and starts no tasks. It knows ECS services and nothing
//! else that scales.

pub mod adapters;
mod api;
mod control;
pub mod ports;
pub mod rows;
mod steps;
mod texts;

pub use api::handlers;
pub use control::Scaler;

use ports::Services;
use std::sync::Arc;
use store::TableDef;

/// What the handlers need besides the context.
#[derive(Clone)]
pub struct Scaling {
    /// The services that scale.
    pub services: Arc<dyn Services>,
}

/// The tables of this service.
pub fn tables() -> Vec<TableDef> {
    vec![
        TableDef::of::<rows::Target>(),
        TableDef::of::<rows::Policy>(),
        TableDef::of::<rows::Scheduled>(),
        TableDef::of::<rows::Activity>(),
    ]
}
