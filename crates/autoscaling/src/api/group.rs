//! Changes of a group, and its end.

use super::create::{
    Caller, bounds, check_launch, desired, health_check, is_other_distribution, named, number, policies, protection,
    subnets,
};
use super::{find_standing, refuse};
use crate::rows::{Group, Lifecycle};
use crate::{AutoScaling, intent, query, texts};
use gateway::Context;
use model::autoscaling::{DeleteAutoScalingGroupType, SetDesiredCapacityType, UpdateAutoScalingGroupType};
use std::time::Duration;
use types::ApiError;
use wire::Unit;

pub(super) fn update(_: &AutoScaling, cx: &mut Context, input: UpdateAutoScalingGroupType) -> Result<Unit, ApiError> {
    let text = |given: Option<&str>| given.is_some_and(|given| !given.is_empty());
    for (given, what) in [
        (text(input.launch_configuration_name.as_deref()), "launch configurations, which AWS has retired"),
        (input.mixed_instances_policy.is_some(), "mixed instances policies"),
        (text(input.placement_group.as_deref()), "placement groups"),
        (input.capacity_rebalance == Some(true), "capacity rebalancing, as there are no spot instances"),
        (input.max_instance_lifetime.is_some_and(|seconds| seconds != 0), "maximum instance lifetimes"),
        (text(input.context.as_deref()), "contexts of groups"),
        (input.desired_capacity_type.is_some_and(|kind| kind != "units"), "capacity in processors or memory"),
        (input.instance_maintenance_policy.is_some(), "instance maintenance policies"),
        (
            is_other_distribution(input.availability_zone_distribution),
            "other distributions over zones than balanced-best-effort",
        ),
        (input.availability_zone_impairment_policy.is_some(), "policies on impaired zones"),
        (input.capacity_reservation_specification.is_some(), "capacity reservations"),
        (input.instance_lifecycle_policy.is_some(), "instance lifecycle policies"),
        (input.availability_zone_ids.is_some(), "zones by their ids"),
    ] {
        refuse(given, what)?;
    }
    let (scope, now, caller) = (cx.scope.clone(), cx.now, Caller::of(cx));
    let tx = cx.tx();
    let before = find_standing(tx, &scope, &input.auto_scaling_group_name)?;
    let mut group = (*before).clone();
    let old = |bound: u32| i32::try_from(bound).unwrap_or(i32::MAX);
    (group.min, group.max) =
        bounds(input.min_size.unwrap_or(old(before.min)), input.max_size.unwrap_or(old(before.max)))?;
    // Without a word of its own the number follows the bounds.
    group.desired = match input.desired_capacity {
        Some(given) => desired(Some(given), group.min, group.max)?,
        None => before.desired.clamp(group.min, group.max),
    };
    if group.desired != before.desired {
        group.cause = texts::updated(now, (group.min, group.max, group.desired), before.desired);
    }
    if let Some(template) = &input.launch_template {
        group.template = named(tx, &scope, template)?;
    }
    if input.vpc_zone_identifier.is_some() || input.availability_zones.is_some() {
        let zones = input.availability_zones.unwrap_or_default();
        group.subnets = subnets(tx, &scope, input.vpc_zone_identifier.as_deref(), &zones)?;
    }
    group.cooldown = number(input.default_cooldown, "DefaultCooldown")?.unwrap_or(group.cooldown);
    group.grace = number(input.health_check_grace_period, "HealthCheckGracePeriod")?.unwrap_or(group.grace);
    group.health_check = health_check(input.health_check_type.as_deref())?.unwrap_or(group.health_check);
    group.protect_new = input.new_instances_protected_from_scale_in.unwrap_or(group.protect_new);
    group.termination_policies = policies(input.termination_policies)?.unwrap_or(group.termination_policies);
    group.deletion_protection = protection(input.deletion_protection)?.unwrap_or(group.deletion_protection);
    group.warmup = input.default_instance_warmup.or(group.warmup);
    // What was wrong may be right now.
    group.failed = None;
    if group.template != before.template || group.subnets != before.subnets {
        check_launch(tx, &caller, &group)?;
    }
    tx.update::<Group>(&scope, &before.name, |row| *row = group);
    Ok(Unit)
}

pub(super) fn set_desired(
    service: &AutoScaling,
    cx: &mut Context,
    input: SetDesiredCapacityType,
) -> Result<Unit, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let group = find_standing(tx, &scope, &input.auto_scaling_group_name)?;
    let wanted = input.desired_capacity;
    let desired = u32::try_from(wanted).map_err(|_| texts::desired_below(wanted, group.min))?;
    if input.honor_cooldown == Some(true) {
        let cooldown = service.pace.scale(Duration::from_secs(group.cooldown.into()));
        let activities = query::activities(tx, &scope, &group.name);
        // What goes on is as recent as can be.
        let recent = |ended: Option<types::Timestamp>| ended.is_none_or(|ended| now.since(ended) < cooldown);
        if activities.iter().any(|activity| recent(activity.ended)) {
            return Err(texts::cooling_down());
        }
    }
    let cause = texts::set_desired(now, group.desired, desired);
    intent::set_desired(tx, &scope, &group.name, desired, cause)?;
    Ok(Unit)
}

pub(super) fn delete(_: &AutoScaling, cx: &mut Context, input: DeleteAutoScalingGroupType) -> Result<Unit, ApiError> {
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let group = find_standing(tx, &scope, &input.auto_scaling_group_name)?;
    let force = input.force_delete == Some(true);
    match group.deletion_protection.as_str() {
        protection @ "prevent-all-deletion" => return Err(texts::deletion_protected(&group.name, protection)),
        protection @ "prevent-force-deletion" if force => {
            return Err(texts::deletion_protected(&group.name, protection));
        }
        _ => {}
    }
    let rows = query::instances(tx, &scope, &group.name);
    if !force && (group.desired > 0 || rows.iter().any(|row| !row.lifecycle.is_ending())) {
        return Err(texts::instances_left());
    }
    if !force && rows.iter().any(|row| row.lifecycle == Lifecycle::TerminatingWait) {
        return Err(texts::activities_left());
    }
    tx.update::<Group>(&scope, &group.name, |row| {
        row.deleting = true;
        row.suspended.clear();
    });
    Ok(Unit)
}
