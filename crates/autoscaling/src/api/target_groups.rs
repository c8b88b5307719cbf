//! The target groups in which a group's instances are targets.

use super::create::check_target_group;
use super::{find, find_standing, page};
use crate::rows::{Group, Lifecycle};
use crate::{AutoScaling, intent, query};
use gateway::Context;
use model::autoscaling::{
    AttachLoadBalancerTargetGroupsResultType, AttachLoadBalancerTargetGroupsType,
    DescribeLoadBalancerTargetGroupsRequest, DescribeLoadBalancerTargetGroupsResponse,
    DetachLoadBalancerTargetGroupsResultType, DetachLoadBalancerTargetGroupsType, LoadBalancerTargetGroupState,
};
use types::ApiError;

pub(super) fn attach(
    _: &AutoScaling,
    cx: &mut Context,
    input: AttachLoadBalancerTargetGroupsType,
) -> Result<AttachLoadBalancerTargetGroupsResultType, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let group = find_standing(tx, &scope, &input.auto_scaling_group_name)?;
    for arn in &input.target_group_ar_ns {
        check_target_group(tx, &scope, arn)?;
    }
    let group = tx.update::<Group>(&scope, &group.name, |group| {
        for arn in input.target_group_ar_ns {
            if !group.target_groups.contains(&arn) {
                group.target_groups.push(arn);
            }
        }
    });
    if let Some(group) = group {
        for row in query::instances(tx, &scope, &group.name) {
            if row.lifecycle == Lifecycle::InService {
                intent::register(tx, &scope, &row, &group, now);
            }
        }
    }
    Ok(AttachLoadBalancerTargetGroupsResultType::default())
}

pub(super) fn detach(
    _: &AutoScaling,
    cx: &mut Context,
    input: DetachLoadBalancerTargetGroupsType,
) -> Result<DetachLoadBalancerTargetGroupsResultType, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let group = find_standing(tx, &scope, &input.auto_scaling_group_name)?;
    for row in query::instances(tx, &scope, &group.name) {
        for arn in &input.target_group_ar_ns {
            if let Some(target) = elb::query::target_group(tx, &scope, arn) {
                elb::intent::deregister_target(tx, &scope, arn, &row.instance, target.port, now);
            }
        }
    }
    tx.update::<Group>(&scope, &group.name, |group| {
        group.target_groups.retain(|arn| !input.target_group_ar_ns.contains(arn));
    });
    Ok(DetachLoadBalancerTargetGroupsResultType::default())
}

pub(super) fn describe(
    _: &AutoScaling,
    cx: &mut Context,
    input: DescribeLoadBalancerTargetGroupsRequest,
) -> Result<DescribeLoadBalancerTargetGroupsResponse, ApiError> {
    let scope = cx.scope.clone();
    let group = find(cx.view(), &scope, &input.auto_scaling_group_name)?;
    let (arns, next_token) =
        page(group.target_groups.clone(), input.next_token.as_deref(), input.max_records, (100, 100))?;
    // Instances are registered in the transaction in which they come into service.
    let state = if group.health_check == "ELB" { "InService" } else { "Added" };
    let shown = arns.into_iter().map(|arn| LoadBalancerTargetGroupState {
        load_balancer_target_group_arn: Some(arn),
        state: Some(state.to_owned()),
    });
    Ok(DescribeLoadBalancerTargetGroupsResponse { load_balancer_target_groups: Some(shown.collect()), next_token })
}
