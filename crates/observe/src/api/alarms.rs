//! Alarms: shown, deleted, set, and their tags.

use super::{internal, page};
use crate::alarms::controller::{refused_actions, set};
use crate::alarms::history::{self, Item};
use crate::alarms::row::Alarm;
use crate::{Observe, texts};
use gateway::Context;
use model::cloudwatch::{
    DeleteAlarmsInput, DescribeAlarmsForMetricInput, DescribeAlarmsForMetricOutput, DescribeAlarmsInput,
    DescribeAlarmsOutput, DisableAlarmActionsInput, EnableAlarmActionsInput, ListTagsForResourceInput,
    ListTagsForResourceOutput, SetAlarmStateInput, Tag, TagResourceInput, TagResourceOutput, UntagResourceInput,
    UntagResourceOutput, alarm_type,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tracking::alarm::State;
use types::{ApiError, Scope};

const MOST: usize = 100;
const PAGE: i32 = 50;
const MOST_TAGS: usize = 50;

pub(super) fn describe(
    _: &Observe,
    cx: &mut Context,
    input: DescribeAlarmsInput,
) -> Result<DescribeAlarmsOutput, ApiError> {
    if input.children_of_alarm_name.is_some() || input.parents_of_alarm_name.is_some() {
        return Err(ApiError::not_implemented("composite alarms"));
    }
    let names = input.alarm_names.filter(|names| !names.is_empty());
    if names.is_some() && input.alarm_name_prefix.is_some() {
        return Err(texts::exclusive("AlarmNames", "AlarmNamePrefix"));
    }
    let after = input.next_token.as_deref().map(|token| page::key(token).ok_or_else(texts::bad_metrics_token));
    let after = after.transpose()?;
    let wants_metric_alarms = input
        .alarm_types
        .is_none_or(|types| types.is_empty() || types.iter().any(|wanted| wanted == alarm_type::METRIC_ALARM));
    let names: Option<BTreeSet<String>> = names.map(|names| names.into_iter().collect());
    let prefix = input.alarm_name_prefix.unwrap_or_default();
    let fits = |alarm: &Alarm| {
        let begins = |action: &String| input.action_prefix.as_ref().is_none_or(|prefix| action.starts_with(prefix));
        let actions = &alarm.actions;
        let mut all = actions.ok.iter().chain(&actions.alarm).chain(&actions.insufficient_data);
        wants_metric_alarms
            && alarm.name.starts_with(&prefix)
            && names.as_ref().is_none_or(|names| names.contains(&alarm.name))
            && input.state_value.as_ref().is_none_or(|state| state == alarm.state.as_str())
            && (input.action_prefix.is_none() || all.any(begins))
            && after.as_ref().is_none_or(|after| alarm.name > *after)
    };
    let scope = cx.scope.clone();
    let found = cx.view().scan::<Alarm>(&scope).filter(|alarm| fits(alarm));
    let limit = page::limit(input.max_records.or(Some(PAGE)), MOST);
    let (found, next_token) = page::take(found, limit, |alarm| alarm.name.clone());
    Ok(DescribeAlarmsOutput {
        composite_alarms: Some(Vec::new()),
        metric_alarms: Some(found.iter().map(|alarm| alarm.shape(&scope)).collect()),
        log_alarms: Some(Vec::new()),
        next_token,
    })
}

pub(super) fn describe_for_metric(
    _: &Observe,
    cx: &mut Context,
    input: DescribeAlarmsForMetricInput,
) -> Result<DescribeAlarmsForMetricOutput, ApiError> {
    let wanted = super::metrics::dimensions(input.dimensions.unwrap_or_default(), "Dimensions")?;
    let statistic = input.statistic.or(input.extended_statistic);
    let fits = |alarm: &Alarm| {
        let watched = &alarm.watched;
        watched.namespace == input.namespace
            && watched.metric == input.metric_name
            && watched.dimensions.iter().cloned().collect::<BTreeMap<_, _>>() == wanted
            && statistic.as_ref().is_none_or(|statistic| *statistic == watched.statistic)
            && input.period.is_none_or(|period| i64::from(period) == i64::from(watched.period))
            && (input.unit.is_none() || input.unit == watched.unit)
    };
    let scope = cx.scope.clone();
    let found = cx.view().scan::<Alarm>(&scope).filter(|alarm| fits(alarm)).map(|alarm| alarm.shape(&scope));
    Ok(DescribeAlarmsForMetricOutput { metric_alarms: Some(found.collect()) })
}

/// Names that are no alarm's are passed over, as AWS does.
pub(super) fn delete(_: &Observe, cx: &mut Context, input: DeleteAlarmsInput) -> Result<wire::Unit, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let deleted: Vec<Arc<Alarm>> =
        input.alarm_names.iter().filter_map(|name| tx.delete::<Alarm>(&scope, name)).collect();
    let items: Vec<Item> = deleted.iter().map(|alarm| Item::deleted(&scope, alarm)).collect();
    tell(cx, &scope, now, &items)?;
    Ok(wire::Unit)
}

fn tell(cx: &mut Context, scope: &Scope, now: types::Timestamp, items: &[Item]) -> Result<(), ApiError> {
    if items.is_empty() {
        return Ok(());
    }
    let ticket = history::append(cx.store(), scope, now, items).map_err(internal)?;
    ticket.wait_blocking().map(drop).map_err(internal)
}

pub(super) fn set_state(_: &Observe, cx: &mut Context, input: SetAlarmStateInput) -> Result<wire::Unit, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let before = cx.tx().get::<Alarm>(&scope, &input.alarm_name).ok_or_else(texts::no_such_alarm)?;
    let state =
        State::parse(&input.state_value).ok_or_else(|| texts::not_supported("StateValue", &input.state_value))?;
    if let Some(data) = &input.state_reason_data
        && serde_json::from_str::<serde_json::Value>(data).is_err()
    {
        return Err(texts::bad_reason_data());
    }
    let after = set(&before, state, input.state_reason, input.state_reason_data, now);
    if after.state != before.state {
        let mut items = vec![Item::state(&before, &after)];
        items.extend(refused_actions(&after));
        tell(cx, &scope, now, &items)?;
    }
    cx.tx().put(&scope, after);
    Ok(wire::Unit)
}

pub(super) fn enable_actions(
    _: &Observe,
    cx: &mut Context,
    input: EnableAlarmActionsInput,
) -> Result<wire::Unit, ApiError> {
    switch_actions(cx, &input.alarm_names, true)
}

pub(super) fn disable_actions(
    _: &Observe,
    cx: &mut Context,
    input: DisableAlarmActionsInput,
) -> Result<wire::Unit, ApiError> {
    switch_actions(cx, &input.alarm_names, false)
}

fn switch_actions(cx: &mut Context, names: &[String], enabled: bool) -> Result<wire::Unit, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let mut items = Vec::new();
    for name in names {
        let Some(before) = tx.get::<Alarm>(&scope, name).filter(|alarm| alarm.actions_enabled != enabled) else {
            continue;
        };
        let after = tx.put(&scope, Alarm { actions_enabled: enabled, configured: now, ..(*before).clone() });
        items.push(Item::put(&scope, &after, false));
    }
    tell(cx, &scope, now, &items)?;
    Ok(wire::Unit)
}

/// The name of the alarm whose ARN it is.
fn named(arn: &str) -> Result<&str, ApiError> {
    let parts: Vec<&str> = arn.splitn(7, ':').collect();
    match parts[..] {
        ["arn", _, "cloudwatch", _, _, "alarm", name] => Ok(name),
        _ => Err(texts::no_such_metric_resource()),
    }
}

pub(super) fn check_tags(tags: &BTreeMap<String, String>) -> Result<(), ApiError> {
    if tags.keys().any(|key| key.to_ascii_lowercase().starts_with("aws:")) {
        return Err(texts::invalid_value("Tag keys that begin with aws: are reserved."));
    }
    if tags.len() > MOST_TAGS {
        return Err(texts::validation(format!("A resource can have no more than {MOST_TAGS} tags.")));
    }
    Ok(())
}

pub(super) fn tag(_: &Observe, cx: &mut Context, input: TagResourceInput) -> Result<TagResourceOutput, ApiError> {
    let scope = cx.scope.clone();
    let name = named(&input.resource_arn)?;
    let tx = cx.tx();
    let alarm = tx.get::<Alarm>(&scope, name).ok_or_else(texts::no_such_metric_resource)?;
    let mut tags = alarm.tags.clone();
    tags.extend(input.tags.into_iter().map(|tag| (tag.key, tag.value)));
    check_tags(&tags)?;
    tx.update::<Alarm>(&scope, name, |alarm| alarm.tags = tags);
    Ok(TagResourceOutput {})
}

pub(super) fn untag(_: &Observe, cx: &mut Context, input: UntagResourceInput) -> Result<UntagResourceOutput, ApiError> {
    let scope = cx.scope.clone();
    let changed = cx.tx().update::<Alarm>(&scope, named(&input.resource_arn)?, |alarm| {
        alarm.tags.retain(|key, _| !input.tag_keys.contains(key));
    });
    changed.map(|_| UntagResourceOutput {}).ok_or_else(texts::no_such_metric_resource)
}

pub(super) fn list_tags(
    _: &Observe,
    cx: &mut Context,
    input: ListTagsForResourceInput,
) -> Result<ListTagsForResourceOutput, ApiError> {
    let scope = cx.scope.clone();
    let alarm = cx.view().get::<Alarm>(&scope, named(&input.resource_arn)?);
    let alarm = alarm.ok_or_else(texts::no_such_metric_resource)?;
    let tags = alarm.tags.iter().map(|(key, value)| Tag { key: key.clone(), value: value.clone() });
    Ok(ListTagsForResourceOutput { tags: Some(tags.collect()) })
}
