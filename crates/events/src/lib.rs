//! Amazon EventBridge: the default event bus, its rules, and their way to log groups.
//!
//! The way of the data: whoever has something to tell calls [`publish`] within the transaction in which it happens. What
//! the rules of the moment make of it ([`pattern`], [`transform`]) is written down in the same commit, as deliveries;
//! [`Deliverer`] carries those out, each once, whatever is killed in between. Where no rule waits for an event, nothing is written.
//!
//! What it is not: there are no other buses, schedules, archives or pipes, and CloudWatch Logs is the only target.

mod api;
mod deliver;
mod event;
pub mod pattern;
mod publish;
pub mod rows;
mod texts;
pub mod transform;

pub use deliver::Deliverer;
pub use event::Event;
pub use publish::{is_awaited, publish};

use gateway::Context;
use store::TableDef;

/// What the handlers share: nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Events;

/// The tables to register when the store opens.
pub fn tables() -> Vec<TableDef> {
    vec![TableDef::of::<rows::Rule>(), TableDef::of::<rows::Delivery>()]
}

/// Every operation.
pub fn handlers() -> model::events::Handlers<Events, Context> {
    api::handlers()
}
