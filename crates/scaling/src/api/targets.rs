//! Scalable targets.

use super::{check_namespace, check_resource, page};
use crate::rows::{Activity, DIMENSION, NAMESPACE, Policy, Scheduled, Suspended, Target};
use crate::{Scaling, texts};
use gateway::Context;
use model::application_autoscaling::{
    DeregisterScalableTargetRequest, DeregisterScalableTargetResponse, DescribeScalableTargetsRequest,
    DescribeScalableTargetsResponse, RegisterScalableTargetRequest, RegisterScalableTargetResponse, ScalableTarget,
    SuspendedState,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::Row;
use tracking::capacity::Bounds;
use types::ApiError;

const MOST_TAGS: usize = 50;

/// A capacity of a request.
pub(super) fn capacity(given: Option<i32>, which: &str) -> Result<Option<u32>, ApiError> {
    given.map(|number| u32::try_from(number).map_err(|_| texts::negative_capacity(which))).transpose()
}

pub(super) fn register(
    scaling: &Scaling,
    cx: &mut Context,
    input: RegisterScalableTargetRequest,
) -> Result<RegisterScalableTargetResponse, ApiError> {
    check_resource(&input.service_namespace, &input.resource_id, &input.scalable_dimension)?;
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let before = tx.get::<Target>(&scope, &input.resource_id);
    if scaling.services.capacity(tx, &scope, &input.resource_id).is_none() {
        return Err(texts::no_such_service(&input.resource_id));
    }
    let (min, max) = (capacity(input.min_capacity, "Minimum")?, capacity(input.max_capacity, "Maximum")?);
    let bounds = match (&before, min, max) {
        (Some(before), min, max) => {
            Bounds { min: min.unwrap_or(before.bounds.min), max: max.unwrap_or(before.bounds.max) }
        }
        (None, Some(min), Some(max)) => Bounds { min, max },
        (None, ..) => return Err(texts::capacity_needed()),
    };
    if bounds.max < bounds.min {
        return Err(texts::max_below_min());
    }
    let mut suspended = before.as_ref().map(|before| before.suspended).unwrap_or_default();
    if let Some(given) = input.suspended_state {
        suspended = Suspended {
            scaling_in: given.dynamic_scaling_in_suspended.unwrap_or(suspended.scaling_in),
            scaling_out: given.dynamic_scaling_out_suspended.unwrap_or(suspended.scaling_out),
            scheduled: given.scheduled_scaling_suspended.unwrap_or(suspended.scheduled),
        };
    }
    let row = match before {
        Some(before) => {
            Target { unbound: before.unbound || bounds != before.bounds, bounds, suspended, ..Target::clone(&before) }
        }
        None => Target {
            arn: texts::target_arn(&scope, &types::id::random_hex(36)),
            resource: input.resource_id,
            bounds,
            suspended,
            created: now,
            tags: check_tags(input.tags.unwrap_or_default().into_iter().collect())?,
            unbound: true,
            cooldown: None,
            decided: None,
        },
    };
    let row = tx.put(&scope, row);
    Ok(RegisterScalableTargetResponse { scalable_target_arn: Some(row.arn.clone()) })
}

pub(super) fn check_tags(tags: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, ApiError> {
    if tags.len() > MOST_TAGS { Err(texts::too_many_tags()) } else { Ok(tags) }
}

pub(super) fn deregister(
    _: &Scaling,
    cx: &mut Context,
    input: DeregisterScalableTargetRequest,
) -> Result<DeregisterScalableTargetResponse, ApiError> {
    check_resource(&input.service_namespace, &input.resource_id, &input.scalable_dimension)?;
    let scope = cx.scope.clone();
    let resource = &input.resource_id;
    cx.tx().delete::<Target>(&scope, resource).ok_or_else(|| texts::no_target_found(resource))?;
    let policies: Vec<Arc<Policy>> = Policy::of(cx.view(), &scope, resource).cloned().collect();
    for policy in policies {
        super::policies::remove(cx, &policy)?;
    }
    let tx = cx.tx();
    let scheduled: Vec<String> = Scheduled::of(tx, &scope, resource).map(|row| row.id().into_owned()).collect();
    for id in scheduled {
        tx.delete::<Scheduled>(&scope, &id);
    }
    // What is on its way goes on, and nobody looks whether it arrives.
    let waiting: Vec<Arc<Activity>> = Activity::of(tx, &scope, resource)
        .filter(|row| row.status == crate::rows::Status::InProgress)
        .cloned()
        .collect();
    for row in waiting {
        tx.update::<Activity>(&scope, &row.id(), |row| row.status = crate::rows::Status::Overridden);
    }
    Ok(DeregisterScalableTargetResponse {})
}

pub(super) fn describe(
    _: &Scaling,
    cx: &mut Context,
    input: DescribeScalableTargetsRequest,
) -> Result<DescribeScalableTargetsResponse, ApiError> {
    check_namespace(&input.service_namespace)?;
    if input.scalable_dimension.as_deref().is_some_and(|dimension| dimension != DIMENSION) {
        return Err(texts::unsupported());
    }
    let wanted = input.resource_ids.filter(|ids| !ids.is_empty());
    let scope = cx.scope.clone();
    let fits = |row: &&Arc<Target>| wanted.as_ref().is_none_or(|ids| ids.contains(&row.resource));
    let rows = cx.view().scan::<Target>(&scope).filter(fits);
    let (rows, next_token) = page(rows, |row| row.resource.clone(), input.next_token.as_deref(), input.max_results)?;
    let shape = |row: &Arc<Target>| ScalableTarget {
        service_namespace: NAMESPACE.to_owned(),
        resource_id: row.resource.clone(),
        scalable_dimension: DIMENSION.to_owned(),
        min_capacity: i32::try_from(row.bounds.min).unwrap_or(i32::MAX),
        max_capacity: i32::try_from(row.bounds.max).unwrap_or(i32::MAX),
        predicted_capacity: None,
        role_arn: texts::role_arn(&scope),
        creation_time: row.created,
        suspended_state: Some(SuspendedState {
            dynamic_scaling_in_suspended: Some(row.suspended.scaling_in),
            dynamic_scaling_out_suspended: Some(row.suspended.scaling_out),
            scheduled_scaling_suspended: Some(row.suspended.scheduled),
        }),
        scalable_target_arn: Some(row.arn.clone()),
    };
    Ok(DescribeScalableTargetsResponse { scalable_targets: Some(rows.into_iter().map(shape).collect()), next_token })
}
