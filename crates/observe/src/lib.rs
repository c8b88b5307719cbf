//! CloudWatch Logs, and CloudWatch's metrics and alarms.
//!
//! The way of the data: groups, streams and metrics are rows; events and data points are records of the store's event
//! streams, on disk and never resident. [`append()`] is how a task's output comes in without the API. [`controller`] trims
//! what a group's retention has outlived and deletes the records of streams that are gone.
//!
//! [`access`] says which services may write into log groups, as resource policies have it.
//!
//! [`alarms`] are evaluated minute by minute, as crate `tracking` decides.
//!
//! [`publish`](mod@publish) is how other services' metrics come in without the API.
//!
//! What it is not: it does not collect anything itself, and knows no tasks.

pub mod access;
mod aggregate;
pub mod alarms;
mod api;
mod append;
pub mod controller;
pub mod intent;
mod pattern;
pub mod publish;
pub mod query;
mod record;
pub mod rows;
mod series;
mod texts;

pub use append::{AppendError, LogEvent, append, create_stream};

use gateway::Context;
use store::TableDef;

/// What the handlers of Logs and CloudWatch share: nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Observe;

/// The tables to register when the store opens.
pub fn tables() -> Vec<TableDef> {
    vec![
        TableDef::of::<rows::LogGroup>(),
        TableDef::of::<rows::LogStream>(),
        TableDef::of::<access::ResourcePolicy>(),
        TableDef::of::<rows::Metric>(),
        TableDef::of::<alarms::Alarm>(),
    ]
}

/// The handlers of CloudWatch Logs.
pub fn handlers() -> model::logs::Handlers<Observe, Context> {
    api::handlers()
}

/// The handlers of CloudWatch.
pub fn cloudwatch_handlers() -> model::cloudwatch::Handlers<Observe, Context> {
    api::cloudwatch_handlers()
}
