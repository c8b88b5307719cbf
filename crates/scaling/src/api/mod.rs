//! The operations. One file a resource.

mod activities;
mod policies;
mod scheduled;
mod tags;
mod targets;

use crate::rows::{DIMENSION, NAMESPACE, Target};
use crate::{Scaling, texts};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway::Context;
use model::application_autoscaling::Handlers;
use std::sync::Arc;
use store::View;
use types::{ApiError, Scope};

/// The handlers.
pub fn handlers() -> Handlers<Scaling, Context> {
    Handlers {
        delete_scaling_policy: policies::delete,
        delete_scheduled_action: scheduled::delete,
        deregister_scalable_target: targets::deregister,
        describe_scalable_targets: targets::describe,
        describe_scaling_activities: activities::describe,
        describe_scaling_policies: policies::describe,
        describe_scheduled_actions: scheduled::describe,
        list_tags_for_resource: tags::list,
        put_scaling_policy: policies::put,
        put_scheduled_action: scheduled::put,
        register_scalable_target: targets::register,
        tag_resource: tags::tag,
        untag_resource: tags::untag,
    }
}

/// Refuses what is not ECS.
fn check_namespace(namespace: &str) -> Result<(), ApiError> {
    if namespace == NAMESPACE {
        return Ok(());
    }
    Err(ApiError::not_implemented(format!("automatic scaling of {namespace}")))
}

/// Refuses what is not an ECS service's desired count.
fn check_resource(namespace: &str, resource: &str, dimension: &str) -> Result<(), ApiError> {
    check_namespace(namespace)?;
    let parts: Vec<&str> = resource.split('/').collect();
    let plain = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    match &parts[..] {
        ["service", names @ ..] if names.len() == 2 && names.iter().all(plain) && dimension == DIMENSION => Ok(()),
        _ => Err(texts::unsupported()),
    }
}

/// The target that something is put for.
fn registered(view: &View, scope: &Scope, resource: &str) -> Result<Arc<Target>, ApiError> {
    view.get::<Target>(scope, resource).ok_or_else(|| texts::no_target_registered(resource))
}

const PAGE: usize = 50;

/// A page of items that come in order of their keys: those after the token's, and the next token.
fn page<T>(
    items: impl Iterator<Item = T>,
    key: impl Fn(&T) -> String,
    token: Option<&str>,
    asked: Option<i32>,
) -> Result<(Vec<T>, Option<String>), ApiError> {
    let after = token.map(|token| {
        let key = URL_SAFE_NO_PAD.decode(token).ok().and_then(|key| String::from_utf8(key).ok());
        key.ok_or_else(texts::bad_token)
    });
    let after = after.transpose()?;
    let limit = asked.and_then(|n| usize::try_from(n).ok()).unwrap_or(PAGE).clamp(1, PAGE);
    let mut items = items.skip_while(|item| after.as_ref().is_some_and(|after| key(item) != *after)).peekable();
    if after.is_some() && items.next().is_none() {
        // What the last page ended with is gone.
        return Err(texts::bad_token());
    }
    let found: Vec<T> = items.by_ref().take(limit).collect();
    let next = found.last().filter(|_| items.peek().is_some()).map(|last| URL_SAFE_NO_PAD.encode(key(last)));
    Ok((found, next))
}
