//! What became of scalable targets, newest first.

use super::{check_namespace, page};
use crate::rows::{Activity, DIMENSION, NAMESPACE};
use crate::{Scaling, texts};
use gateway::Context;
use model::application_autoscaling::{
    DescribeScalingActivitiesRequest, DescribeScalingActivitiesResponse, ScalingActivity,
};
use std::cmp::Reverse;
use std::sync::Arc;
use store::Row;
use types::ApiError;

pub(super) fn describe(
    _: &Scaling,
    cx: &mut Context,
    input: DescribeScalingActivitiesRequest,
) -> Result<DescribeScalingActivitiesResponse, ApiError> {
    check_namespace(&input.service_namespace)?;
    if input.scalable_dimension.as_deref().is_some_and(|dimension| dimension != DIMENSION) {
        return Err(texts::unsupported());
    }
    if input.include_not_scaled_activities == Some(true) {
        return Err(ApiError::not_implemented("activities that scaled nothing"));
    }
    let scope = cx.scope.clone();
    let fits = |row: &&Arc<Activity>| input.resource_id.as_ref().is_none_or(|resource| *resource == row.resource);
    let mut rows: Vec<&Arc<Activity>> = cx.view().scan::<Activity>(&scope).filter(fits).collect();
    rows.sort_by_key(|row| Reverse((row.start, row.number, row.resource.clone())));
    let key = |row: &&Arc<Activity>| row.id().into_owned();
    let (rows, next_token) = page(rows.into_iter(), key, input.next_token.as_deref(), input.max_results)?;
    let shape = |row: &Arc<Activity>| ScalingActivity {
        activity_id: row.uuid.clone(),
        service_namespace: NAMESPACE.to_owned(),
        resource_id: row.resource.clone(),
        scalable_dimension: DIMENSION.to_owned(),
        description: row.description.clone(),
        cause: row.cause.clone(),
        start_time: row.start,
        end_time: row.end,
        status_code: row.status.as_str().to_owned(),
        status_message: Some(row.message.clone()),
        ..ScalingActivity::default()
    };
    Ok(DescribeScalingActivitiesResponse {
        scaling_activities: Some(rows.into_iter().map(shape).collect()),
        next_token,
    })
}
