//! What was done to groups.

use super::{find, page, refuse};
use crate::rows::Activity;
use crate::{AutoScaling, query};
use gateway::Context;
use model::autoscaling::{ActivitiesType, DescribeScalingActivitiesType};
use serde_json::json;
use std::sync::Arc;
use store::View;
use types::{ApiError, Scope};

pub(super) fn describe(
    _: &AutoScaling,
    cx: &mut Context,
    input: DescribeScalingActivitiesType,
) -> Result<ActivitiesType, ApiError> {
    refuse(input.filters.is_some(), "filters of activities")?;
    let scope = cx.scope.clone();
    let view = cx.view();
    let mut found: Vec<Arc<Activity>> = match &input.auto_scaling_group_name {
        Some(name) => query::activities(view, &scope, &find(view, &scope, name)?.name),
        None => view.scan::<Activity>(&scope).cloned().collect(),
    };
    if let Some(ids) = input.activity_ids.filter(|ids| !ids.is_empty()) {
        found.retain(|activity| ids.contains(&activity.id));
    }
    found.sort_by(|a, b| (b.started, &b.id).cmp(&(a.started, &a.id)));
    let (rows, next_token) = page(found, input.next_token.as_deref(), input.max_records, (100, 100))?;
    Ok(ActivitiesType { activities: rows.iter().map(|row| show(view, &scope, row)).collect(), next_token })
}

pub(super) fn show(view: &View, scope: &Scope, row: &Activity) -> model::autoscaling::Activity {
    let details = row.place.as_ref().map(|(subnet, zone)| json!({ "Subnet ID": subnet, "Availability Zone": zone }));
    model::autoscaling::Activity {
        activity_id: row.id.clone(),
        auto_scaling_group_name: row.group.clone(),
        auto_scaling_group_arn: query::group(view, scope, &row.group).map(|group| group.arn(scope)),
        description: Some(row.description.clone()),
        cause: row.cause.clone(),
        start_time: row.started,
        end_time: row.ended,
        status_code: row.status.as_str().to_owned(),
        status_message: row.message.clone(),
        progress: Some(if row.status.goes_on() { 50 } else { 100 }),
        details: Some(details.map(|details| details.to_string()).unwrap_or_default()),
        ..Default::default()
    }
}
