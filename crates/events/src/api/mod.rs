//! The operations of EventBridge. One file a resource.

mod buses;
mod page;
mod put_events;
mod rules;
mod tags;
mod targets;

use crate::rows::Rule;
use crate::{Events, texts};
use gateway::Context;
use model::events::Handlers;
use std::sync::Arc;
use store::View;
use types::arn::Arn;
use types::{ApiError, Scope};

/// The one event bus.
pub(crate) const BUS: &str = "default";

pub(crate) fn handlers() -> Handlers<Events, Context> {
    Handlers {
        put_rule: rules::put,
        describe_rule: rules::describe,
        list_rules: rules::list,
        delete_rule: rules::delete,
        enable_rule: rules::enable,
        disable_rule: rules::disable,
        put_targets: targets::put,
        remove_targets: targets::remove,
        list_targets_by_rule: targets::list,
        list_rule_names_by_target: targets::list_rules,
        put_events: put_events::put,
        test_event_pattern: put_events::test,
        describe_event_bus: buses::describe,
        list_event_buses: buses::list,
        tag_resource: tags::tag,
        untag_resource: tags::untag,
        list_tags_for_resource: tags::list,
    }
}

fn bus_arn(scope: &Scope) -> String {
    Arn::new("events", scope, format!("event-bus/{BUS}")).to_string()
}

/// There is the default bus, by its name, its ARN, or no word.
fn check_bus(scope: &Scope, named: Option<&str>) -> Result<(), ApiError> {
    match named {
        None | Some(BUS) => Ok(()),
        Some(arn) if arn == bus_arn(scope) => Ok(()),
        Some(other) => Err(texts::bus_not_found(other.rsplit('/').next().unwrap_or(other))),
    }
}

fn rule(view: &View, scope: &Scope, name: &str) -> Result<Arc<Rule>, ApiError> {
    view.get::<Rule>(scope, name).ok_or_else(|| texts::rule_not_found(name))
}
