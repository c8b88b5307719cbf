//! Auto Scaling groups: EC2 instances, as many as are wanted, over the zones of a group's subnets.
//!
//! [`rows`] are groups, the instances in them and their activities as stored; `api` turns requests into rows; [`plan`]
//! decides, from rows alone, what a group lacks and what it has too much; [`control`] does that through `vpc` and `elb`.
//! Lifecycle hooks: [`waiting`] has instances wait for them and takes their results, and [`hooks`] says what comes of those.
//! [`query`] is what other services may read and [`intent`] what they may ask for. What an instance is, `vpc` knows.

mod api;
pub mod control;
pub mod hooks;
pub mod intent;
pub mod plan;
pub mod query;
pub mod rows;
mod texts;
pub mod waiting;

use gateway::Context;
use store::TableDef;
use types::Pace;
use vpc::intent::PublicPool;

/// What the handlers need besides the context.
#[derive(Debug, Clone)]
pub struct AutoScaling {
    /// Where instances' public addresses come from.
    pub pool: PublicPool,
    /// What AWS's waiting times are divided by.
    pub pace: Pace,
}

/// The tables of this service.
pub fn tables() -> Vec<TableDef> {
    vec![
        TableDef::of::<rows::Group>(),
        TableDef::of::<rows::GroupInstance>(),
        TableDef::of::<rows::Activity>(),
        TableDef::of::<rows::Hook>(),
    ]
}

/// The handlers of the API.
pub fn handlers() -> model::autoscaling::Handlers<AutoScaling, Context> {
    api::handlers()
}
