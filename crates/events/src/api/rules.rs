//! Rules.

use super::{BUS, check_bus, page, rule, tags};
use crate::pattern::Pattern;
use crate::rows::Rule;
use crate::{Events, texts};
use gateway::Context;
use model::Unit;
use model::events::{
    DeleteRuleRequest, DescribeRuleRequest, DescribeRuleResponse, DisableRuleRequest, EnableRuleRequest,
    ListRulesRequest, ListRulesResponse, PutRuleRequest, PutRuleResponse, Rule as Shape,
};
use std::collections::BTreeMap;
use types::{ApiError, Scope};

/// As many rules as a bus has. Source: EventBridge user guide, "Quotas".
const MOST: usize = 300;

pub(super) fn put(_: &Events, cx: &mut Context, input: PutRuleRequest) -> Result<PutRuleResponse, ApiError> {
    let scope = cx.scope.clone();
    check_bus(&scope, input.event_bus_name.as_deref())?;
    if input.schedule_expression.as_ref().is_some_and(|text| !text.is_empty()) {
        return Err(ApiError::not_implemented("ScheduleExpression (scheduled rules)"));
    }
    let pattern = input.event_pattern.filter(|text| !text.is_empty()).ok_or_else(texts::pattern_or_schedule)?;
    Pattern::parse(&pattern).map_err(|reason| texts::pattern_invalid(&reason))?;
    let enabled = match input.state.as_deref() {
        None | Some("ENABLED") => true,
        Some("DISABLED") => false,
        Some(other) => return Err(ApiError::not_implemented(format_args!("rules in the state {other}"))),
    };
    let given = tags::merged(&BTreeMap::new(), input.tags.unwrap_or_default())?;
    let tx = cx.tx();
    let before = tx.get::<Rule>(&scope, &input.name);
    if before.is_none() && tx.scan::<Rule>(&scope).count() >= MOST {
        return Err(texts::limit_exceeded());
    }
    let row = Rule {
        name: input.name,
        pattern,
        enabled,
        description: input.description,
        role: input.role_arn,
        // Tags of a rule that is there stay as they are. Source: API reference, `PutRule`.
        tags: before.as_ref().map_or(given, |before| before.tags.clone()),
        targets: before.map(|before| before.targets.clone()).unwrap_or_default(),
    };
    let arn = row.arn(&scope);
    tx.put(&scope, row);
    Ok(PutRuleResponse { rule_arn: Some(arn) })
}

fn state(row: &Rule) -> Option<String> {
    Some(if row.enabled { "ENABLED" } else { "DISABLED" }.to_owned())
}

pub(super) fn describe(
    _: &Events,
    cx: &mut Context,
    input: DescribeRuleRequest,
) -> Result<DescribeRuleResponse, ApiError> {
    let scope = cx.scope.clone();
    check_bus(&scope, input.event_bus_name.as_deref())?;
    let row = rule(cx.view(), &scope, &input.name)?;
    Ok(DescribeRuleResponse {
        name: Some(row.name.clone()),
        arn: Some(row.arn(&scope)),
        event_pattern: Some(row.pattern.clone()),
        state: state(&row),
        description: row.description.clone(),
        role_arn: row.role.clone(),
        event_bus_name: Some(BUS.to_owned()),
        created_by: Some(scope.account.to_string()),
        ..Default::default()
    })
}

pub(super) fn list(_: &Events, cx: &mut Context, input: ListRulesRequest) -> Result<ListRulesResponse, ApiError> {
    let scope = cx.scope.clone();
    check_bus(&scope, input.event_bus_name.as_deref())?;
    let prefix = input.name_prefix.unwrap_or_default();
    let rows = cx.view().scan::<Rule>(&scope).filter(|row| row.name.starts_with(&prefix));
    let items = rows.map(|row| (row.name.clone(), shape(&scope, row)));
    let (rules, next_token) = page::page(items, input.next_token.as_deref(), input.limit)?;
    Ok(ListRulesResponse { rules: Some(rules), next_token })
}

fn shape(scope: &Scope, row: &Rule) -> Shape {
    Shape {
        name: Some(row.name.clone()),
        arn: Some(row.arn(scope)),
        event_pattern: Some(row.pattern.clone()),
        state: state(row),
        description: row.description.clone(),
        role_arn: row.role.clone(),
        event_bus_name: Some(BUS.to_owned()),
        ..Default::default()
    }
}

pub(super) fn delete(_: &Events, cx: &mut Context, input: DeleteRuleRequest) -> Result<Unit, ApiError> {
    let scope = cx.scope.clone();
    check_bus(&scope, input.event_bus_name.as_deref())?;
    let tx = cx.tx();
    if tx.get::<Rule>(&scope, &input.name).is_some_and(|row| !row.targets.is_empty()) {
        return Err(texts::rule_has_targets());
    }
    // One that is not there is no error.
    tx.delete::<Rule>(&scope, &input.name);
    Ok(Unit)
}

pub(super) fn enable(_: &Events, cx: &mut Context, input: EnableRuleRequest) -> Result<Unit, ApiError> {
    set(cx, &input.name, input.event_bus_name.as_deref(), true)
}

pub(super) fn disable(_: &Events, cx: &mut Context, input: DisableRuleRequest) -> Result<Unit, ApiError> {
    set(cx, &input.name, input.event_bus_name.as_deref(), false)
}

fn set(cx: &mut Context, name: &str, bus: Option<&str>, enabled: bool) -> Result<Unit, ApiError> {
    let scope = cx.scope.clone();
    check_bus(&scope, bus)?;
    let tx = cx.tx();
    rule(tx, &scope, name)?;
    tx.update::<Rule>(&scope, name, |row| row.enabled = enabled);
    Ok(Unit)
}
