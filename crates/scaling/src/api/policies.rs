//! Scaling policies. A target tracking policy keeps two alarms of its own.

use super::{check_namespace, check_resource, page, registered};
use crate::rows::{DIMENSION, NAMESPACE, Policy, PolicyKind};
use crate::steps::steps;
use crate::{Scaling, texts};
use gateway::Context;
use model::Stored;
use model::application_autoscaling::{
    Alarm, CustomizedMetricSpecification, DeleteScalingPolicyRequest, DeleteScalingPolicyResponse,
    DescribeScalingPoliciesRequest, DescribeScalingPoliciesResponse, PutScalingPolicyRequest, PutScalingPolicyResponse,
    ScalingPolicy, TargetTrackingScalingPolicyConfiguration,
};
use observe::alarms::row::{Actions, Draft, Watched};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::View;
use tracking::target::{PERIOD, Side, alarm_name, rule};
use types::{ApiError, Scope};

pub(super) fn put(
    _: &Scaling,
    cx: &mut Context,
    input: PutScalingPolicyRequest,
) -> Result<PutScalingPolicyResponse, ApiError> {
    check_resource(&input.service_namespace, &input.resource_id, &input.scalable_dimension)?;
    let (scope, now) = (cx.scope.clone(), cx.now);
    let (resource, name) = (input.resource_id, input.policy_name);
    registered(cx.tx(), &scope, &resource)?;
    if name.contains(['#', '\0']) {
        return Err(texts::validation("Policy names cannot contain these characters."));
    }
    let before = cx.view().get::<Policy>(&scope, &Policy::key(&resource, &name));
    let arn = before
        .as_ref()
        .map_or_else(|| texts::policy_arn(&scope, &types::id::random_uuid(), &resource, &name), |row| row.arn.clone());
    let was_tracking = before.as_ref().map(|row| matches!(row.kind, PolicyKind::Tracking { .. }));
    let default = match was_tracking {
        Some(true) => "TargetTrackingScaling",
        _ => "StepScaling",
    };
    let kind = match input.policy_type.as_deref().unwrap_or(default) {
        "StepScaling" => {
            if was_tracking == Some(true) || input.target_tracking_scaling_policy_configuration.is_some() {
                return Err(mixed());
            }
            let given = input.step_scaling_policy_configuration.map(|given| (steps(&given), given));
            let Some((steps, given)) = given else { return Err(missing("StepScalingPolicyConfiguration")) };
            steps?;
            PolicyKind::Steps(Stored(given))
        }
        "TargetTrackingScaling" => {
            if was_tracking == Some(false) || input.step_scaling_policy_configuration.is_some() {
                return Err(mixed());
            }
            let given = input.target_tracking_scaling_policy_configuration;
            let given = given.ok_or_else(|| missing("TargetTrackingScalingPolicyConfiguration"))?;
            tracking(cx, &resource, &name, &arn, given, before.as_deref())?
        }
        other => return Err(ApiError::not_implemented(format!("{other} policies"))),
    };
    let created = before.map_or(now, |row| row.created);
    let row = cx.tx().put(&scope, Policy { resource, name, arn, kind, created });
    Ok(PutScalingPolicyResponse { policy_arn: row.arn.clone(), alarms: Some(alarms(cx.view(), &scope, &row)) })
}

/// Unverified.
fn missing(what: &str) -> ApiError {
    texts::validation(format!("{what} must be provided for this policy type"))
}

/// Unverified.
fn mixed() -> ApiError {
    texts::validation("The configuration does not belong to the type of the policy")
}

/// Checks a target tracking policy, and puts its alarms.
fn tracking(
    cx: &mut Context,
    resource: &str,
    name: &str,
    arn: &str,
    given: TargetTrackingScalingPolicyConfiguration,
    before: Option<&Policy>,
) -> Result<PolicyKind, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    if !(given.target_value.is_finite() && given.target_value > 0.0) {
        return Err(texts::validation("TargetValue must be greater than 0"));
    }
    if [given.scale_out_cooldown, given.scale_in_cooldown].into_iter().flatten().any(|seconds| seconds < 0) {
        return Err(texts::validation("Cooldown cannot be less than 0"));
    }
    let watched = watched(resource, &given)?;
    let same = |policy: &&Arc<Policy>| {
        policy.name != name
            && matches!(&policy.kind, PolicyKind::Tracking { configuration, .. }
                if self::watched(resource, configuration).is_ok_and(|other| other == watched))
    };
    if Policy::of(cx.view(), &scope, resource).any(|policy| same(&policy)) {
        return Err(texts::same_metric());
    }
    // Alarms of before keep their names.
    let (old_high, old_low) = match before.map(|policy| &policy.kind) {
        Some(PolicyKind::Tracking { high, low, .. }) => (Some(high.clone()), low.clone()),
        _ => (None, None),
    };
    let named = |old: &Option<String>, side| {
        old.clone().unwrap_or_else(|| alarm_name(resource, side, &types::id::random_uuid()))
    };
    let high = named(&old_high, Side::High);
    let low = (given.disable_scale_in != Some(true)).then(|| named(&old_low, Side::Low));
    let acts = format!("{arn}:createdBy/{}", types::id::random_uuid());
    let draft = |name: &str, side| Draft {
        name: name.to_owned(),
        description: Some(texts::alarm_description(arn)),
        actions_enabled: true,
        actions: Actions { alarm: vec![acts.clone()], ..Actions::default() },
        watched: watched.clone(),
        rule: rule(side, given.target_value),
        datapoints_to_alarm: None,
        treat_missing_data: None,
        low_samples: None,
        tags: BTreeMap::new(),
    };
    let mut drafts = vec![draft(&high, Side::High)];
    drafts.extend(low.as_ref().map(|low| draft(low, Side::Low)));
    let store = cx.store().clone();
    if let Some(gone) = old_low.filter(|_| low.is_none()) {
        observe::intent::delete_alarms(&store, cx.tx(), &scope, &[gone], now).map_err(|_| ApiError::internal())?;
    }
    observe::intent::put_alarms(&store, cx.tx(), &scope, drafts, now).map_err(|_| ApiError::internal())?;
    Ok(PolicyKind::Tracking { configuration: Stored(given), high, low })
}

/// What a target tracking policy watches.
fn watched(resource: &str, given: &TargetTrackingScalingPolicyConfiguration) -> Result<Watched, ApiError> {
    match (&given.predefined_metric_specification, &given.customized_metric_specification) {
        (Some(predefined), None) => {
            let label = predefined.resource_label.as_deref();
            predefined_metric(resource, &predefined.predefined_metric_type, label)
        }
        (None, Some(customized)) => customized_metric(customized),
        _ => Err(texts::validation(
            "Exactly one of PredefinedMetricSpecification and CustomizedMetricSpecification must be provided",
        )),
    }
}

fn predefined_metric(resource: &str, kind: &str, label: Option<&str>) -> Result<Watched, ApiError> {
    let of_service = |metric: &str| {
        let mut names = resource.split('/').skip(1).map(str::to_owned);
        let dimensions = vec![
            ("ClusterName".to_owned(), names.next().unwrap_or_default()),
            ("ServiceName".to_owned(), names.next().unwrap_or_default()),
        ];
        let (namespace, metric) = ("AWS/ECS".to_owned(), metric.to_owned());
        Watched { namespace, metric, dimensions, statistic: "Average".to_owned(), period: PERIOD, unit: None }
    };
    match (kind, label) {
        ("ECSServiceAverageCPUUtilization", None) => Ok(of_service("CPUUtilization")),
        ("ECSServiceAverageMemoryUtilization", None) => Ok(of_service("MemoryUtilization")),
        ("ALBRequestCountPerTarget", Some(label)) => {
            let (balancer, group) = label
                .find("/targetgroup/")
                .filter(|_| label.starts_with("app/"))
                .map(|at| (label[..at].to_owned(), label[at + 1..].to_owned()))
                .ok_or_else(|| texts::validation(format!("Invalid resource label: {label}")))?;
            Ok(Watched {
                namespace: "AWS/ApplicationELB".to_owned(),
                metric: "RequestCountPerTarget".to_owned(),
                dimensions: vec![("LoadBalancer".to_owned(), balancer), ("TargetGroup".to_owned(), group)],
                statistic: "Sum".to_owned(),
                period: PERIOD,
                unit: None,
            })
        }
        ("ALBRequestCountPerTarget", None) => {
            Err(texts::validation("ResourceLabel must be provided for the metric type ALBRequestCountPerTarget"))
        }
        (kind, _) if kind.ends_with("HighResolution") => {
            Err(ApiError::not_implemented(format!("the metric type {kind}")))
        }
        (_, Some(_)) if kind.starts_with("ECSService") => {
            Err(texts::validation(format!("ResourceLabel is not supported for the metric type {kind}")))
        }
        (kind, _) => Err(texts::validation(format!(
            "The metric type {kind} is not supported for the service namespace {NAMESPACE}"
        ))),
    }
}

fn customized_metric(given: &CustomizedMetricSpecification) -> Result<Watched, ApiError> {
    if given.metrics.as_ref().is_some_and(|metrics| !metrics.is_empty()) {
        return Err(ApiError::not_implemented("metric math in target tracking policies"));
    }
    let needed = |value: &Option<String>, name: &str| {
        value.clone().ok_or_else(|| texts::validation(format!("{name} must be provided for a customized metric")))
    };
    let dimensions = given.dimensions.iter().flatten();
    Ok(Watched {
        namespace: needed(&given.namespace, "Namespace")?,
        metric: needed(&given.metric_name, "MetricName")?,
        dimensions: dimensions.map(|dimension| (dimension.name.clone(), dimension.value.clone())).collect(),
        statistic: needed(&given.statistic, "Statistic")?,
        period: PERIOD,
        unit: given.unit.clone(),
    })
}

/// The alarms of a policy: its own, or those that users have it as an action of.
fn alarms(view: &View, scope: &Scope, policy: &Policy) -> Vec<Alarm> {
    let names = match &policy.kind {
        PolicyKind::Tracking { .. } => policy.own_alarms(),
        PolicyKind::Steps(_) => {
            observe::query::alarms_with_action(view, scope, &policy.arn).map(|alarm| alarm.name.clone()).collect()
        }
    };
    let shape = |name: String| Alarm { alarm_arn: observe::alarms::row::arn(scope, &name), alarm_name: name };
    names.into_iter().map(shape).collect()
}

/// Deletes a policy with the alarms that it keeps.
pub(super) fn remove(cx: &mut Context, policy: &Policy) -> Result<(), ApiError> {
    let (scope, now, store) = (cx.scope.clone(), cx.now, cx.store().clone());
    let tx = cx.tx();
    tx.delete::<Policy>(&scope, &Policy::key(&policy.resource, &policy.name));
    observe::intent::delete_alarms(&store, tx, &scope, &policy.own_alarms(), now).map_err(|_| ApiError::internal())
}

pub(super) fn delete(
    _: &Scaling,
    cx: &mut Context,
    input: DeleteScalingPolicyRequest,
) -> Result<DeleteScalingPolicyResponse, ApiError> {
    check_resource(&input.service_namespace, &input.resource_id, &input.scalable_dimension)?;
    let scope = cx.scope.clone();
    let key = Policy::key(&input.resource_id, &input.policy_name);
    let policy = cx.tx().get::<Policy>(&scope, &key);
    let policy = policy.ok_or_else(|| texts::no_policy(&input.resource_id, &input.policy_name))?;
    remove(cx, &policy)?;
    Ok(DeleteScalingPolicyResponse {})
}

pub(super) fn describe(
    _: &Scaling,
    cx: &mut Context,
    input: DescribeScalingPoliciesRequest,
) -> Result<DescribeScalingPoliciesResponse, ApiError> {
    check_namespace(&input.service_namespace)?;
    if input.scalable_dimension.as_deref().is_some_and(|dimension| dimension != DIMENSION) {
        return Err(texts::unsupported());
    }
    let names = input.policy_names.filter(|names| !names.is_empty());
    let scope = cx.scope.clone();
    let view = cx.view();
    let fits = |row: &&Arc<Policy>| {
        input.resource_id.as_ref().is_none_or(|resource| *resource == row.resource)
            && names.as_ref().is_none_or(|names| names.contains(&row.name) || names.contains(&row.arn))
    };
    let rows = view.scan::<Policy>(&scope).filter(fits);
    let key = |row: &&Arc<Policy>| Policy::key(&row.resource, &row.name);
    let (rows, next_token) = page(rows, key, input.next_token.as_deref(), input.max_results)?;
    let shape = |row: &Arc<Policy>| {
        let (kind, steps, tracking) = match &row.kind {
            PolicyKind::Steps(steps) => ("StepScaling", Some(steps.0.clone()), None),
            PolicyKind::Tracking { configuration, .. } => {
                ("TargetTrackingScaling", None, Some(configuration.0.clone()))
            }
        };
        ScalingPolicy {
            policy_arn: row.arn.clone(),
            policy_name: row.name.clone(),
            service_namespace: NAMESPACE.to_owned(),
            resource_id: row.resource.clone(),
            scalable_dimension: DIMENSION.to_owned(),
            policy_type: kind.to_owned(),
            step_scaling_policy_configuration: steps,
            target_tracking_scaling_policy_configuration: tracking,
            predictive_scaling_policy_configuration: None,
            alarms: Some(alarms(view, &scope, row)),
            creation_time: row.created,
        }
    };
    Ok(DescribeScalingPoliciesResponse { scaling_policies: Some(rows.into_iter().map(shape).collect()), next_token })
}
