//! The instances in groups: shown, protected, found unhealthy, and ended by their user.

use super::activities::show as show_activity;
use super::describe::{health, template};
use super::{find_standing, page, refuse};
use crate::rows::{Group, GroupInstance, Lifecycle, Unhealthy};
use crate::{AutoScaling, intent, query, texts};
use gateway::Context;
use model::autoscaling::{
    ActivityType, AutoScalingInstanceDetails, AutoScalingInstancesType, DescribeAutoScalingInstancesType,
    SetInstanceHealthQuery, SetInstanceProtectionAnswer, SetInstanceProtectionQuery,
    TerminateInstanceInAutoScalingGroupType,
};
use std::sync::Arc;
use std::time::Duration;
use types::ApiError;
use wire::Unit;

pub(super) fn describe(
    _: &AutoScaling,
    cx: &mut Context,
    input: DescribeAutoScalingInstancesType,
) -> Result<AutoScalingInstancesType, ApiError> {
    let scope = cx.scope.clone();
    let view = cx.view();
    let named = input.instance_ids.unwrap_or_default();
    let rows = view.scan::<GroupInstance>(&scope).filter(|row| named.is_empty() || named.contains(&row.instance));
    let rows: Vec<Arc<GroupInstance>> = rows.cloned().collect();
    let (rows, next_token) = page(rows, input.next_token.as_deref(), input.max_records, (50, 50))?;
    let shown = rows.iter().map(|row| AutoScalingInstanceDetails {
        instance_id: row.instance.clone(),
        instance_type: Some(row.kind.clone()),
        auto_scaling_group_name: row.group.clone(),
        availability_zone: row.zone.clone(),
        lifecycle_state: row.lifecycle.as_str().to_owned(),
        // AWS shouts here, and does not in DescribeAutoScalingGroups.
        health_status: health(row).to_uppercase(),
        launch_template: Some(template(row)),
        image_id: vpc::query::instance(view, &scope, &row.instance).map(|instance| instance.image.to_string()),
        protected_from_scale_in: row.protected,
        ..Default::default()
    });
    Ok(AutoScalingInstancesType { auto_scaling_instances: Some(shown.collect()), next_token })
}

pub(super) fn set_protection(
    _: &AutoScaling,
    cx: &mut Context,
    input: SetInstanceProtectionQuery,
) -> Result<SetInstanceProtectionAnswer, ApiError> {
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let group = find_standing(tx, &scope, &input.auto_scaling_group_name)?;
    for id in &input.instance_ids {
        let row = query::instance(tx, &scope, id).filter(|row| row.group == group.name);
        let row = row.ok_or_else(|| texts::not_of_group(id, &group.name))?;
        if row.lifecycle != Lifecycle::InService {
            return Err(texts::not_in_service(id));
        }
        intent::protect(tx, &scope, id, input.protected_from_scale_in);
    }
    Ok(SetInstanceProtectionAnswer::default())
}

pub(super) fn set_health(
    service: &AutoScaling,
    cx: &mut Context,
    input: SetInstanceHealthQuery,
) -> Result<Unit, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let id = &input.instance_id;
    let row = query::instance(tx, &scope, id).ok_or_else(|| texts::instance_not_found(id))?;
    let group = query::group(tx, &scope, &row.group).ok_or_else(|| texts::group_not_found(&row.group))?;
    let healthy = match input.health_status.as_str() {
        "Healthy" => true,
        "Unhealthy" => false,
        other => return Err(texts::bad_value("Health Status", other, "Healthy and Unhealthy")),
    };
    let grace = service.pace.scale(Duration::from_secs(group.grace.into()));
    let spared = input.should_respect_grace_period != Some(false) && now.since(row.since) < grace;
    if (healthy || !spared) && !row.lifecycle.is_ending() {
        tx.update::<GroupInstance>(&scope, id, |row| {
            row.unhealthy = if healthy { None } else { row.unhealthy.or(Some(Unhealthy::User)) };
        });
    }
    Ok(Unit)
}

pub(super) fn terminate(
    service: &AutoScaling,
    cx: &mut Context,
    input: TerminateInstanceInAutoScalingGroupType,
) -> Result<ActivityType, ApiError> {
    refuse(input.instance_ids.is_some(), "ending several instances of a group at once")?;
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let id = input.instance_id.as_deref().unwrap_or_default();
    let row = query::instance(tx, &scope, id).ok_or_else(|| texts::instance_not_found(id))?;
    let group = find_standing(tx, &scope, &row.group)?;
    if input.auto_scaling_group_name.as_ref().is_some_and(|name| *name != group.name) {
        return Err(texts::not_of_group(id, input.auto_scaling_group_name.as_deref().unwrap_or_default()));
    }
    if row.lifecycle.is_ending() {
        // It is the group's still, and ends by an activity of its own.
        return Err(texts::blocked_by(row.activity.as_deref().unwrap_or_default()));
    }
    let mut shrunk = None;
    if input.should_decrement_desired_capacity {
        if group.desired <= group.min {
            return Err(texts::below_min(group.min));
        }
        shrunk = Some((group.desired, group.desired - 1));
        tx.update::<Group>(&scope, &group.name, |group| group.desired -= 1);
    }
    let cause = texts::taken_out(now, id, shrunk);
    if shrunk.is_none() {
        // What is launched in its place says why.
        tx.update::<Group>(&scope, &group.name, |group| group.cause.clone_from(&cause));
    }
    let activity = intent::end(tx, &scope, service, &row, cause, now);
    Ok(ActivityType { activity: Some(show_activity(tx, &scope, &activity)), ..Default::default() })
}
