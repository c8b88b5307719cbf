//! Requests to rows. One file a resource; [`attributes`], [`page`] and [`tags`] are what they share.

mod actions;
mod attributes;
mod conditions;
mod listeners;
mod load_balancers;
mod page;
mod rules;
mod subnets;
mod tags;
mod target_groups;
mod targets;

pub(crate) use attributes::{LOAD_BALANCER, TARGET_GROUP};
pub(crate) use subnets::namespace;

use attributes::LISTENER;

use crate::Elb;
use crate::rows::{Listener, LoadBalancer, TargetGroup};
use crate::texts;
use gateway::Context;
use model::elbv2::Handlers;
use std::sync::Arc;
use store::View;
use types::arn::Arn;
use types::{ApiError, Scope};

pub(crate) fn handlers() -> Handlers<Elb, Context> {
    Handlers {
        add_tags: tags::add,
        create_listener: listeners::create,
        create_load_balancer: load_balancers::create,
        create_rule: rules::create,
        create_target_group: target_groups::create,
        delete_listener: listeners::delete,
        delete_load_balancer: load_balancers::delete,
        delete_rule: rules::delete,
        delete_target_group: target_groups::delete,
        deregister_targets: targets::deregister,
        describe_capacity_reservation: load_balancers::describe_capacity,
        describe_listener_attributes: listeners::describe_attributes,
        describe_listener_certificates: listeners::describe_certificates,
        describe_listeners: listeners::describe,
        describe_load_balancer_attributes: load_balancers::describe_attributes,
        describe_load_balancers: load_balancers::describe,
        describe_rules: rules::describe,
        describe_tags: tags::describe,
        describe_target_group_attributes: target_groups::describe_attributes,
        describe_target_groups: target_groups::describe,
        describe_target_health: targets::describe_health,
        modify_listener: listeners::modify,
        modify_listener_attributes: listeners::modify_attributes,
        modify_load_balancer_attributes: load_balancers::modify_attributes,
        modify_rule: rules::modify,
        modify_target_group: target_groups::modify,
        modify_target_group_attributes: target_groups::modify_attributes,
        register_targets: targets::register,
        remove_tags: tags::remove,
        set_ip_address_type: subnets::set_ip_address_type,
        set_rule_priorities: rules::set_priorities,
        set_security_groups: subnets::set_security_groups,
        set_subnets: subnets::set_subnets,
    }
}

/// A member that the caller gave. Terraform's provider writes those that its user left out as empty strings, which AWS takes as absent.
fn given(member: Option<String>) -> Option<String> {
    member.filter(|value| !value.is_empty())
}

/// Refuses a parameter that is given and not implemented.
fn refuse(given: bool, what: &str) -> Result<(), ApiError> {
    if given { Err(ApiError::not_implemented(what)) } else { Ok(()) }
}

/// Whether `arn` is of this service and kind (`loadbalancer`, `listener`, …).
fn is_arn(arn: &str, kind: &str) -> bool {
    arn.parse::<Arn>().is_ok_and(|arn| {
        arn.service == "elasticloadbalancing" && arn.resource.split('/').next().is_some_and(|first| first == kind)
    })
}

fn load_balancer(view: &View, scope: &Scope, arn: &str) -> Result<Arc<LoadBalancer>, ApiError> {
    if !is_arn(arn, "loadbalancer") {
        return Err(texts::bad_arn(arn, "load balancer"));
    }
    view.get(scope, arn).ok_or_else(texts::load_balancer_not_found)
}

fn target_group(view: &View, scope: &Scope, arn: &str) -> Result<Arc<TargetGroup>, ApiError> {
    if !is_arn(arn, "targetgroup") {
        return Err(texts::bad_arn(arn, "target group"));
    }
    view.get(scope, arn).ok_or_else(texts::target_group_not_found)
}

fn listener(view: &View, scope: &Scope, arn: &str) -> Result<Arc<Listener>, ApiError> {
    if !is_arn(arn, "listener") {
        return Err(texts::bad_arn(arn, "listener"));
    }
    view.get(scope, arn).ok_or_else(texts::listener_not_found)
}

/// Letters, digits and dashes, at most 32, no dash at either end. `what` begins the text.
fn check_name(name: &str, what: &str) -> Result<(), ApiError> {
    if name.len() > 32 {
        return Err(texts::invalid(format!("{what} name '{name}' cannot be longer than '32' characters")));
    }
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Err(texts::invalid(format!(
            "{what} name '{name}' can only contain characters that are alphanumeric characters and hyphens(-)"
        )));
    }
    if name.starts_with('-') || name.ends_with('-') {
        return Err(texts::invalid(format!("{what} name '{name}' cannot begin or end with a hyphen(-)")));
    }
    Ok(())
}
