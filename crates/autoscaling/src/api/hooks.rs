//! Lifecycle hooks of groups, and the results of the actions that wait for them.

use super::{find, find_standing, refuse};
use crate::hooks::global_timeout;
use crate::rows::{Hook, Outcome, Transition};
use crate::waiting::{self, Named};
use crate::{AutoScaling, query, texts};
use gateway::Context;
use model::autoscaling::{
    CompleteLifecycleActionAnswer, CompleteLifecycleActionType, DeleteLifecycleHookAnswer, DeleteLifecycleHookType,
    DescribeLifecycleHookTypesAnswer, DescribeLifecycleHooksAnswer, DescribeLifecycleHooksType, LifecycleHook,
    LifecycleHookSpecification, PutLifecycleHookAnswer, PutLifecycleHookType, RecordLifecycleActionHeartbeatAnswer,
    RecordLifecycleActionHeartbeatType,
};
use store::Tx;
use types::{ApiError, Scope};
use wire::Unit;

/// Seconds between heartbeats where nothing is said, and the bounds of what may be said.
const HEARTBEAT: u32 = 3600;
const HEARTBEATS: std::ops::RangeInclusive<u32> = 30..=7200;

pub(super) fn put(
    _: &AutoScaling,
    cx: &mut Context,
    input: PutLifecycleHookType,
) -> Result<PutLifecycleHookAnswer, ApiError> {
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let group = find_standing(tx, &scope, &input.auto_scaling_group_name)?;
    put_one(tx, &scope, PutLifecycleHookType { auto_scaling_group_name: group.name.clone(), ..input })?;
    Ok(PutLifecycleHookAnswer::default())
}

/// Puts on a new group the hooks that came with it.
pub(super) fn put_all(
    tx: &mut Tx,
    scope: &Scope,
    group: &str,
    given: Vec<LifecycleHookSpecification>,
) -> Result<(), ApiError> {
    for one in given {
        let input = PutLifecycleHookType {
            lifecycle_hook_name: one.lifecycle_hook_name,
            auto_scaling_group_name: group.to_owned(),
            lifecycle_transition: Some(one.lifecycle_transition),
            role_arn: one.role_arn,
            notification_target_arn: one.notification_target_arn,
            notification_metadata: one.notification_metadata,
            heartbeat_timeout: one.heartbeat_timeout,
            default_result: one.default_result,
        };
        put_one(tx, scope, input)?;
    }
    Ok(())
}

/// What is not said stays as it was.
fn put_one(tx: &mut Tx, scope: &Scope, input: PutLifecycleHookType) -> Result<(), ApiError> {
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let target = given(input.notification_target_arn);
    refuse(
        target.is_some(),
        "notifications of lifecycle hooks to SNS and SQS; EventBridge is told of lifecycle actions",
    )?;
    refuse(given(input.role_arn).is_some(), "roles of lifecycle hooks, as there are no notification targets")?;
    let before = query::hook(tx, scope, &input.auto_scaling_group_name, &input.lifecycle_hook_name);
    let transition = match given(input.lifecycle_transition) {
        Some(word) => {
            let expected = Transition::ALL.map(Transition::as_str).join(" and ");
            let found = Transition::ALL.into_iter().find(|one| one.as_str() == word);
            found.ok_or_else(|| texts::bad_value("Lifecycle Transition", &word, &expected))?
        }
        None => before.as_ref().map(|row| row.transition).ok_or_else(texts::no_transition)?,
    };
    let heartbeat = match input.heartbeat_timeout {
        Some(seconds) => {
            let valid = u32::try_from(seconds).ok().filter(|seconds| HEARTBEATS.contains(seconds));
            valid.ok_or_else(texts::bad_heartbeat)?
        }
        None => before.as_ref().map_or(HEARTBEAT, |row| row.heartbeat),
    };
    let default = match given(input.default_result) {
        Some(word) => outcome("Default Result", &word)?,
        None => before.as_ref().map_or(Outcome::Abandon, |row| row.default),
    };
    let metadata = input.notification_metadata.or_else(|| before.as_ref().and_then(|row| row.metadata.clone()));
    let (group, name) = (input.auto_scaling_group_name, input.lifecycle_hook_name);
    waiting::put(tx, scope, Hook { group, name, transition, heartbeat, default, metadata })
}

fn outcome(what: &str, word: &str) -> Result<Outcome, ApiError> {
    let found = Outcome::ALL.into_iter().find(|one| one.as_str() == word);
    found.ok_or_else(|| texts::bad_value(what, word, &Outcome::ALL.map(Outcome::as_str).join(" and ")))
}

pub(super) fn delete(
    _: &AutoScaling,
    cx: &mut Context,
    input: DeleteLifecycleHookType,
) -> Result<DeleteLifecycleHookAnswer, ApiError> {
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let group = find(tx, &scope, &input.auto_scaling_group_name)?;
    if waiting::remove(tx, &scope, &group.name, &input.lifecycle_hook_name) {
        Ok(DeleteLifecycleHookAnswer::default())
    } else {
        Err(texts::hook_not_found(&input.lifecycle_hook_name, &group.name))
    }
}

pub(super) fn describe(
    _: &AutoScaling,
    cx: &mut Context,
    input: DescribeLifecycleHooksType,
) -> Result<DescribeLifecycleHooksAnswer, ApiError> {
    let scope = cx.scope.clone();
    let view = cx.view();
    let group = find(view, &scope, &input.auto_scaling_group_name)?;
    let named = input.lifecycle_hook_names.unwrap_or_default();
    let wanted = query::hooks(view, &scope, &group.name).into_iter();
    let wanted = wanted.filter(|row| named.is_empty() || named.contains(&row.name));
    let number = |seconds: u32| i32::try_from(seconds).ok();
    let shown = wanted.map(|row| LifecycleHook {
        lifecycle_hook_name: Some(row.name.clone()),
        auto_scaling_group_name: Some(row.group.clone()),
        lifecycle_transition: Some(row.transition.as_str().to_owned()),
        notification_metadata: row.metadata.clone(),
        heartbeat_timeout: number(row.heartbeat),
        global_timeout: number(global_timeout(row.heartbeat)),
        default_result: Some(row.default.as_str().to_owned()),
        ..Default::default()
    });
    Ok(DescribeLifecycleHooksAnswer { lifecycle_hooks: Some(shown.collect()) })
}

pub(super) fn describe_types(
    _: &AutoScaling,
    _: &mut Context,
    _: Unit,
) -> Result<DescribeLifecycleHookTypesAnswer, ApiError> {
    let types = Transition::ALL.map(|transition| transition.as_str().to_owned());
    Ok(DescribeLifecycleHookTypesAnswer { lifecycle_hook_types: Some(types.into()) })
}

/// What names the action in a request: a token goes before an instance.
fn named<'a>(token: Option<&'a str>, instance: Option<&'a str>) -> Result<Named<'a>, ApiError> {
    token.map(Named::Token).or(instance.map(Named::Instance)).ok_or_else(texts::action_not_named)
}

pub(super) fn complete(
    _: &AutoScaling,
    cx: &mut Context,
    input: CompleteLifecycleActionType,
) -> Result<CompleteLifecycleActionAnswer, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let group = find(tx, &scope, &input.auto_scaling_group_name)?;
    let result = outcome("Lifecycle Action Result", &input.lifecycle_action_result)?;
    let named = named(input.lifecycle_action_token.as_deref(), input.instance_id.as_deref())?;
    waiting::complete(tx, &scope, (&group.name, &input.lifecycle_hook_name), named, result, now)?;
    Ok(CompleteLifecycleActionAnswer::default())
}

pub(super) fn heartbeat(
    service: &AutoScaling,
    cx: &mut Context,
    input: RecordLifecycleActionHeartbeatType,
) -> Result<RecordLifecycleActionHeartbeatAnswer, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let group = find(tx, &scope, &input.auto_scaling_group_name)?;
    let named = named(input.lifecycle_action_token.as_deref(), input.instance_id.as_deref())?;
    let hook = (group.name.as_str(), input.lifecycle_hook_name.as_str());
    waiting::heartbeat(tx, &scope, hook, named, service.pace, now)?;
    Ok(RecordLifecycleActionHeartbeatAnswer::default())
}
