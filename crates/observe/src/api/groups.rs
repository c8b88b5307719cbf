//! Log groups.

use super::{internal, page};
use crate::rows::{LogGroup, LogStream};
use crate::{Observe, texts};
use gateway::Context;
use model::logs::{
    CreateLogGroupRequest, DeleteLogGroupRequest, DeleteRetentionPolicyRequest, DescribeLogGroupsRequest,
    DescribeLogGroupsResponse, PutRetentionPolicyRequest, log_group_class,
};
use std::sync::Arc;
use store::{Streams, View};
use types::{ApiError, Scope};

/// The retentions that can be asked for, in days.
const RETENTIONS: &[i32] =
    &[1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];
const MOST: usize = 50;

pub(super) fn find(view: &View, scope: &Scope, name: &str) -> Result<Arc<LogGroup>, ApiError> {
    view.get::<LogGroup>(scope, name).ok_or_else(texts::no_such_group)
}

/// The name that an identifier stands for: a name, or an ARN with or without its `:*`.
pub(super) fn name_of(identifier: &str) -> &str {
    match identifier.split_once(":log-group:") {
        Some((_, rest)) => rest.split(':').next().unwrap_or(rest),
        None => identifier,
    }
}

/// The group that a request names by either of two members.
pub(super) fn chosen(
    view: &View,
    scope: &Scope,
    name: Option<&str>,
    identifier: Option<&str>,
) -> Result<Arc<LogGroup>, ApiError> {
    match (name, identifier) {
        (Some(_), Some(_)) => Err(texts::name_and_identifier()),
        (Some(name), None) => find(view, scope, name),
        (None, Some(identifier)) => find(view, scope, name_of(identifier)),
        (None, None) => Err(texts::name_or_identifier_needed()),
    }
}

pub(super) fn create(_: &Observe, cx: &mut Context, input: CreateLogGroupRequest) -> Result<wire::Unit, ApiError> {
    let class = input.log_group_class.unwrap_or_else(|| log_group_class::STANDARD.to_owned());
    if !matches!(class.as_str(), log_group_class::STANDARD | log_group_class::INFREQUENT_ACCESS) {
        return Err(ApiError::not_implemented(format_args!("log groups of class {class}")));
    }
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    if tx.contains::<LogGroup>(&scope, &input.log_group_name) {
        return Err(texts::group_exists());
    }
    tx.put(
        &scope,
        LogGroup {
            name: input.log_group_name,
            created: now,
            retention: None,
            kms_key_id: input.kms_key_id,
            class,
            protected: input.deletion_protection_enabled == Some(true),
            tags: input.tags.unwrap_or_default(),
        },
    );
    Ok(wire::Unit)
}

/// Deletes the group and its streams; their records are deleted by the keeper.
pub(super) fn delete(_: &Observe, cx: &mut Context, input: DeleteLogGroupRequest) -> Result<wire::Unit, ApiError> {
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let group = find(tx, &scope, &input.log_group_name)?;
    if group.protected {
        return Err(texts::group_is_protected());
    }
    let streams: Vec<String> = LogStream::all(tx, &scope, &group.name, "").map(|s| s.name.clone()).collect();
    for stream in streams {
        tx.delete::<LogStream>(&scope, &LogStream::key(&group.name, &stream));
    }
    tx.delete::<LogGroup>(&scope, &group.name);
    Ok(wire::Unit)
}

pub(super) fn put_retention(
    _: &Observe,
    cx: &mut Context,
    input: PutRetentionPolicyRequest,
) -> Result<wire::Unit, ApiError> {
    let days = input.retention_in_days;
    if !RETENTIONS.contains(&days) {
        return Err(texts::bad_retention(days, RETENTIONS));
    }
    set_retention(cx, &input.log_group_name, Some(days))
}

pub(super) fn delete_retention(
    _: &Observe,
    cx: &mut Context,
    input: DeleteRetentionPolicyRequest,
) -> Result<wire::Unit, ApiError> {
    set_retention(cx, &input.log_group_name, None)
}

fn set_retention(cx: &mut Context, name: &str, days: Option<i32>) -> Result<wire::Unit, ApiError> {
    let scope = cx.scope.clone();
    let changed = cx.tx().update::<LogGroup>(&scope, name, |group| group.retention = days);
    changed.map(|_| wire::Unit).ok_or_else(texts::no_such_group)
}

pub(super) fn describe(
    _: &Observe,
    cx: &mut Context,
    input: DescribeLogGroupsRequest,
) -> Result<DescribeLogGroupsResponse, ApiError> {
    if input.account_identifiers.is_some() || input.include_linked_accounts == Some(true) {
        return Err(ApiError::not_implemented("log groups of linked accounts"));
    }
    if input.log_group_name_prefix.is_some() && input.log_group_name_pattern.is_some() {
        return Err(texts::prefix_and_pattern());
    }
    let after = input.next_token.as_deref().map(|token| page::key(token).ok_or_else(texts::bad_next_token));
    let after = after.transpose()?;
    let scope = cx.scope.clone();
    let streams = cx.store().streams().map_err(internal)?;
    let prefix = input.log_group_name_prefix.unwrap_or_default();
    // A pattern is a part of the name, whatever its case.
    let pattern = input.log_group_name_pattern.map(|pattern| pattern.to_lowercase());
    let identifiers = input.log_group_identifiers.unwrap_or_default();
    let class = input.log_group_class;
    let view = cx.view();
    let found = view
        .scan_from::<LogGroup>(&scope, after.as_deref().unwrap_or(&prefix))
        .filter(|group| after.as_ref() != Some(&group.name))
        .take_while(|group| group.name.starts_with(&prefix) || group.name < prefix)
        .filter(|group| pattern.as_ref().is_none_or(|pattern| group.name.to_lowercase().contains(pattern)))
        .filter(|group| class.as_ref().is_none_or(|class| *class == group.class))
        .filter(|group| identifiers.is_empty() || identifiers.iter().any(|id| name_of(id) == group.name));
    let (found, next_token) = page::take(found, page::limit(input.limit, MOST), |group| group.name.clone());
    let described: Result<_, ApiError> =
        found.into_iter().map(|group| described(view, &streams, &scope, group)).collect();
    Ok(DescribeLogGroupsResponse { log_groups: Some(described?), next_token })
}

fn described(
    view: &View,
    records: &Streams,
    scope: &Scope,
    group: &LogGroup,
) -> Result<model::logs::LogGroup, ApiError> {
    let mut stored = 0u64;
    for stream in LogStream::all(view, scope, &group.name, "") {
        stored += records.stats(&stream.records).map_err(internal)?.map_or(0, |stats| stats.bytes);
    }
    let arn = group.arn(scope);
    Ok(model::logs::LogGroup {
        log_group_name: Some(group.name.clone()),
        creation_time: Some(group.created.millis()),
        retention_in_days: group.retention,
        metric_filter_count: Some(0),
        arn: Some(format!("{arn}:*")),
        stored_bytes: Some(i64::try_from(stored).unwrap_or(i64::MAX)),
        kms_key_id: group.kms_key_id.clone(),
        log_group_class: Some(group.class.clone()),
        log_group_arn: Some(arn),
        deletion_protection_enabled: Some(group.protected),
        ..Default::default()
    })
}
