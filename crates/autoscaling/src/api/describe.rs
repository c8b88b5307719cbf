//! Groups as the API shows them.

use super::create::BEST_EFFORT;
use super::{page, tags};
use crate::rows::{Group, GroupInstance};
use crate::{AutoScaling, query, texts};
use gateway::Context;
use model::autoscaling::{
    AutoScalingGroup, AutoScalingGroupNamesType, AutoScalingGroupsType, AvailabilityZoneDistribution, Filter, Instance,
    LaunchTemplateSpecification, SuspendedProcess,
};
use std::sync::Arc;
use store::View;
use types::{ApiError, Scope};

pub(super) fn describe(
    _: &AutoScaling,
    cx: &mut Context,
    input: AutoScalingGroupNamesType,
) -> Result<AutoScalingGroupsType, ApiError> {
    let scope = cx.scope.clone();
    let view = cx.view();
    let named = input.auto_scaling_group_names.unwrap_or_default();
    let mut found: Vec<Arc<Group>> = Vec::new();
    for group in view.scan::<Group>(&scope) {
        let wanted = named.is_empty() || named.contains(&group.name) || named.contains(&group.arn(&scope));
        if wanted && kept(group, input.filters.as_deref())? {
            found.push(group.clone());
        }
    }
    let (rows, next_token) = page(found, input.next_token.as_deref(), input.max_records, (50, 100))?;
    let with = input.include_instances != Some(false);
    let auto_scaling_groups = rows.iter().map(|group| show(view, &scope, group, with)).collect();
    Ok(AutoScalingGroupsType { auto_scaling_groups, next_token })
}

fn kept(group: &Group, filters: Option<&[Filter]>) -> Result<bool, ApiError> {
    for filter in filters.into_iter().flatten() {
        let name = filter.name.as_deref().unwrap_or_default();
        let wanted = filter.values.as_deref().unwrap_or_default();
        let fits = match name.strip_prefix("tag:") {
            Some(key) => group.tags.iter().any(|tag| tag.key == key && wanted.contains(&tag.value)),
            None if name == "tag-key" => group.tags.iter().any(|tag| wanted.contains(&tag.key)),
            None if name == "tag-value" => group.tags.iter().any(|tag| wanted.contains(&tag.value)),
            None => return Err(texts::invalid_filter(name)),
        };
        if !fits {
            return Ok(false);
        }
    }
    Ok(true)
}

fn show(view: &View, scope: &Scope, group: &Group, with_instances: bool) -> AutoScalingGroup {
    let mut zones: Vec<String> = group
        .subnets
        .iter()
        .filter_map(|id| vpc::query::subnet(view, scope, id))
        .map(|subnet| subnet.zone.clone())
        .collect();
    zones.sort();
    zones.dedup();
    let signed = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    let instances = query::instances(view, scope, &group.name);
    let suspended = group.suspended.iter().map(|(name, reason)| SuspendedProcess {
        process_name: Some(name.clone()),
        suspension_reason: Some(reason.clone()),
    });
    AutoScalingGroup {
        auto_scaling_group_name: group.name.clone(),
        auto_scaling_group_arn: Some(group.arn(scope)),
        launch_template: Some(LaunchTemplateSpecification {
            launch_template_id: Some(group.template.id.clone()),
            launch_template_name: Some(group.template.name.clone()),
            version: group.template.version.clone(),
        }),
        min_size: signed(group.min),
        max_size: signed(group.max),
        desired_capacity: signed(group.desired),
        default_cooldown: signed(group.cooldown),
        availability_zones: zones,
        load_balancer_names: Some(Vec::new()),
        target_group_ar_ns: Some(group.target_groups.clone()),
        health_check_type: group.health_check.clone(),
        health_check_grace_period: Some(signed(group.grace)),
        instances: with_instances.then(|| instances.iter().map(|row| show_instance(view, scope, row)).collect()),
        created_time: group.created,
        suspended_processes: Some(suspended.collect()),
        vpc_zone_identifier: Some(group.subnets.join(",")),
        enabled_metrics: Some(Vec::new()),
        status: group.deleting.then(|| "Delete in progress".to_owned()),
        tags: Some(group.tags.iter().map(|tag| tags::show(&group.name, tag)).collect()),
        termination_policies: Some(group.termination_policies.clone()),
        new_instances_protected_from_scale_in: Some(group.protect_new),
        service_linked_role_arn: Some(format!(
            "arn:aws:iam::{}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling",
            scope.account
        )),
        availability_zone_distribution: Some(AvailabilityZoneDistribution {
            capacity_distribution_strategy: Some(BEST_EFFORT.to_owned()),
        }),
        default_instance_warmup: group.warmup,
        deletion_protection: Some(group.deletion_protection.clone()),
        ..Default::default()
    }
}

pub(super) fn template(row: &GroupInstance) -> LaunchTemplateSpecification {
    LaunchTemplateSpecification {
        launch_template_id: Some(row.template.id.clone()),
        launch_template_name: Some(row.template.name.clone()),
        version: row.template.version.clone(),
    }
}

pub(super) fn health(row: &GroupInstance) -> &'static str {
    if row.unhealthy.is_none() { "Healthy" } else { "Unhealthy" }
}

fn show_instance(view: &View, scope: &Scope, row: &GroupInstance) -> Instance {
    Instance {
        instance_id: row.instance.clone(),
        instance_type: Some(row.kind.clone()),
        availability_zone: row.zone.clone(),
        lifecycle_state: row.lifecycle.as_str().to_owned(),
        health_status: health(row).to_owned(),
        launch_template: Some(template(row)),
        image_id: vpc::query::instance(view, scope, &row.instance).map(|instance| instance.image.to_string()),
        protected_from_scale_in: row.protected,
        ..Default::default()
    }
}
