//! Requests to rows. One file a resource; what all of them share is here: pages, and finding a group.

mod activities;
mod create;
mod describe;
mod group;
mod hooks;
mod instances;
mod processes;
mod tags;
mod target_groups;

use crate::rows::Group;
use crate::{AutoScaling, query, texts};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway::Context;
use model::autoscaling::Handlers;
use std::sync::Arc;
use store::View;
use types::{ApiError, Scope};

pub(crate) fn handlers() -> Handlers<AutoScaling, Context> {
    Handlers {
        attach_load_balancer_target_groups: target_groups::attach,
        complete_lifecycle_action: hooks::complete,
        create_auto_scaling_group: create::create,
        create_or_update_tags: tags::create_or_update,
        delete_auto_scaling_group: group::delete,
        delete_lifecycle_hook: hooks::delete,
        delete_tags: tags::delete,
        describe_auto_scaling_groups: describe::describe,
        describe_auto_scaling_instances: instances::describe,
        describe_lifecycle_hook_types: hooks::describe_types,
        describe_lifecycle_hooks: hooks::describe,
        describe_load_balancer_target_groups: target_groups::describe,
        describe_scaling_activities: activities::describe,
        describe_tags: tags::describe,
        detach_load_balancer_target_groups: target_groups::detach,
        put_lifecycle_hook: hooks::put,
        record_lifecycle_action_heartbeat: hooks::heartbeat,
        resume_processes: processes::resume,
        set_desired_capacity: group::set_desired,
        set_instance_health: instances::set_health,
        set_instance_protection: instances::set_protection,
        suspend_processes: processes::suspend,
        terminate_instance_in_auto_scaling_group: instances::terminate,
        update_auto_scaling_group: group::update,
    }
}

/// Refuses a parameter that is given and not implemented.
fn refuse(given: bool, what: &str) -> Result<(), ApiError> {
    if given { Err(ApiError::not_implemented(what)) } else { Ok(()) }
}

/// The group of that name, or ARN.
fn find(view: &View, scope: &Scope, name: &str) -> Result<Arc<Group>, ApiError> {
    let found = query::group(view, scope, name).or_else(|| query::group_by_arn(view, scope, name));
    found.ok_or_else(|| texts::group_not_found(name))
}

/// The same, which does not go.
fn find_standing(view: &View, scope: &Scope, name: &str) -> Result<Arc<Group>, ApiError> {
    let group = find(view, scope, name)?;
    if group.deleting { Err(texts::group_pending_delete(name)) } else { Ok(group) }
}

/// A page of items in their order, and the token of the next, which says how many came before.
fn page<T>(
    items: Vec<T>,
    token: Option<&str>,
    asked: Option<i32>,
    (usual, most): (usize, usize),
) -> Result<(Vec<T>, Option<String>), ApiError> {
    let start: usize = match token.filter(|token| !token.is_empty()) {
        None => 0,
        Some(token) => {
            let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| texts::bad_token())?;
            let text = String::from_utf8(bytes).map_err(|_| texts::bad_token())?;
            text.strip_prefix("after:").and_then(|count| count.parse().ok()).ok_or_else(texts::bad_token)?
        }
    };
    let limit = match asked {
        None => usual,
        Some(asked) if asked < 1 => return Err(texts::bad_max_records(asked)),
        Some(asked) => usize::try_from(asked).unwrap_or(most).min(most),
    };
    let end = start.saturating_add(limit);
    let next = (end < items.len()).then(|| URL_SAFE_NO_PAD.encode(format!("after:{end}")));
    Ok((items.into_iter().skip(start).take(limit).collect(), next))
}
