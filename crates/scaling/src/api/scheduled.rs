//! Scheduled actions.

use super::targets::capacity;
use super::{check_namespace, check_resource, page, registered};
use crate::rows::{DIMENSION, NAMESPACE, Scheduled};
use crate::{Scaling, texts};
use gateway::Context;
use model::application_autoscaling::{
    DeleteScheduledActionRequest, DeleteScheduledActionResponse, DescribeScheduledActionsRequest,
    DescribeScheduledActionsResponse, PutScheduledActionRequest, PutScheduledActionResponse, ScalableTargetAction,
    ScheduledAction,
};
use std::sync::Arc;
use tracking::schedule::{Schedule, Zone};
use types::ApiError;

pub(super) fn put(
    _: &Scaling,
    cx: &mut Context,
    input: PutScheduledActionRequest,
) -> Result<PutScheduledActionResponse, ApiError> {
    check_resource(&input.service_namespace, &input.resource_id, &input.scalable_dimension)?;
    let (scope, now) = (cx.scope.clone(), cx.now);
    let (resource, name) = (input.resource_id, input.scheduled_action_name);
    let tx = cx.tx();
    registered(tx, &scope, &resource)?;
    if name.contains(['#', '\0']) {
        return Err(texts::validation("Scheduled action names cannot contain these characters."));
    }
    let before = tx.get::<Scheduled>(&scope, &Scheduled::key(&resource, &name));
    let schedule = input.schedule.or_else(|| before.as_ref().map(|row| row.schedule.clone()));
    let schedule = schedule.ok_or_else(|| texts::validation("Schedule must be provided"))?;
    if Schedule::parse(&schedule).is_none() {
        return Err(texts::validation(format!("Invalid schedule expression: {schedule}")));
    }
    let timezone = input.timezone.or_else(|| before.as_ref().and_then(|row| row.timezone.clone()));
    if Zone::named(timezone.as_deref()).is_none() {
        return Err(texts::validation(format!("Invalid timezone: {}", timezone.unwrap_or_default())));
    }
    let start = input.start_time.or(before.as_ref().and_then(|row| row.start));
    let end = input.end_time.or(before.as_ref().and_then(|row| row.end));
    if start.zip(end).is_some_and(|(start, end)| start >= end) {
        return Err(texts::validation("EndTime must be after StartTime"));
    }
    let (min, max) = match input.scalable_target_action {
        Some(action) => (capacity(action.min_capacity, "Minimum")?, capacity(action.max_capacity, "Maximum")?),
        None => before.as_ref().map_or((None, None), |row| (row.min, row.max)),
    };
    match (min, max) {
        (None, None) => return Err(texts::action_needs_capacity()),
        (Some(min), Some(max)) if max < min => return Err(texts::max_below_min()),
        _ => {}
    }
    let arn = before.as_ref().map_or_else(
        || texts::scheduled_arn(&scope, &types::id::random_uuid(), &resource, &name),
        |row| row.arn.clone(),
    );
    let created = before.map_or(now, |row| row.created);
    tx.put(&scope, Scheduled { resource, name, arn, schedule, timezone, start, end, min, max, created, done: now });
    Ok(PutScheduledActionResponse {})
}

pub(super) fn delete(
    _: &Scaling,
    cx: &mut Context,
    input: DeleteScheduledActionRequest,
) -> Result<DeleteScheduledActionResponse, ApiError> {
    check_resource(&input.service_namespace, &input.resource_id, &input.scalable_dimension)?;
    let scope = cx.scope.clone();
    let key = Scheduled::key(&input.resource_id, &input.scheduled_action_name);
    let gone = cx.tx().delete::<Scheduled>(&scope, &key);
    gone.ok_or_else(|| texts::no_scheduled_action(&input.resource_id, &input.scheduled_action_name))?;
    Ok(DeleteScheduledActionResponse {})
}

pub(super) fn describe(
    _: &Scaling,
    cx: &mut Context,
    input: DescribeScheduledActionsRequest,
) -> Result<DescribeScheduledActionsResponse, ApiError> {
    check_namespace(&input.service_namespace)?;
    if input.scalable_dimension.as_deref().is_some_and(|dimension| dimension != DIMENSION) {
        return Err(texts::unsupported());
    }
    let names = input.scheduled_action_names.filter(|names| !names.is_empty());
    let scope = cx.scope.clone();
    let fits = |row: &&Arc<Scheduled>| {
        input.resource_id.as_ref().is_none_or(|resource| *resource == row.resource)
            && names.as_ref().is_none_or(|names| names.contains(&row.name))
    };
    let rows = cx.view().scan::<Scheduled>(&scope).filter(fits);
    let key = |row: &&Arc<Scheduled>| Scheduled::key(&row.resource, &row.name);
    let (rows, next_token) = page(rows, key, input.next_token.as_deref(), input.max_results)?;
    let shape = |row: &Arc<Scheduled>| ScheduledAction {
        scheduled_action_name: row.name.clone(),
        scheduled_action_arn: row.arn.clone(),
        service_namespace: NAMESPACE.to_owned(),
        schedule: row.schedule.clone(),
        timezone: row.timezone.clone(),
        resource_id: row.resource.clone(),
        scalable_dimension: Some(DIMENSION.to_owned()),
        start_time: row.start,
        end_time: row.end,
        scalable_target_action: Some(ScalableTargetAction {
            min_capacity: row.min.and_then(|n| i32::try_from(n).ok()),
            max_capacity: row.max.and_then(|n| i32::try_from(n).ok()),
        }),
        creation_time: row.created,
    };
    Ok(DescribeScheduledActionsResponse { scheduled_actions: Some(rows.into_iter().map(shape).collect()), next_token })
}
