//! Rules of listeners. The default rule is part of its listener's row.

use super::page::page;
use super::{actions, conditions, is_arn, listener, listeners, load_balancer, refuse, tags};
use crate::rows::{Listener, Rule};
use crate::{Elb, texts};
use gateway::Context;
use model::elbv2::{
    CreateRuleInput, CreateRuleOutput, DeleteRuleInput, DeleteRuleOutput, DescribeRulesInput, DescribeRulesOutput,
    ModifyRuleInput, ModifyRuleOutput, Rule as Shown, SetRulePrioritiesInput, SetRulePrioritiesOutput,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use store::View;
use types::id::random_hex;
use types::{ApiError, Scope};

/// How many a load balancer may have, default ones not counted.
const MOST: usize = 100;

/// A fresh ARN for a rule of the listener.
pub(super) fn fresh_arn(listener: &str) -> String {
    format!("{}/{}", listener.replacen(":listener/", ":listener-rule/", 1), random_hex(16))
}

/// The rule of that ARN, which must not be a default one for what is to be `done`.
fn rule(view: &View, scope: &Scope, arn: &str, done: &str) -> Result<Arc<Rule>, ApiError> {
    if !is_arn(arn, "listener-rule") {
        return Err(texts::bad_arn(arn, "listener rule"));
    }
    if let Some(row) = view.get::<Rule>(scope, arn) {
        return Ok(row);
    }
    match listeners::of_default_rule(view, scope, arn) {
        Some(_) => Err(texts::default_rule(arn, done)),
        None => Err(texts::rule_not_found()),
    }
}

pub(super) fn create(_: &Elb, cx: &mut Context, input: CreateRuleInput) -> Result<CreateRuleOutput, ApiError> {
    refuse(input.transforms.is_some_and(|transforms| !transforms.is_empty()), "transforms of rules")?;
    let tags = tags::at_creation(input.tags)?;
    let priority = priority(input.priority)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let owner = listener(tx, &scope, &input.listener_arn)?;
    let balancer = load_balancer(tx, &scope, &owner.load_balancer)?;
    let conditions = conditions::read(input.conditions)?;
    let actions = actions::read(tx, &scope, &balancer, input.actions)?;
    if tx.by_index(&Rule::BY_LISTENER, &scope, &owner.arn).any(|other| other.priority == priority) {
        return Err(texts::priority_in_use(priority));
    }
    let siblings = tx.by_index(&Listener::BY_LOAD_BALANCER, &scope, &balancer.arn);
    let count: usize = siblings.map(|row| tx.by_index(&Rule::BY_LISTENER, &scope, &row.arn).count()).sum();
    if count >= MOST {
        return Err(texts::too_many_rules());
    }
    let row = tx.put(
        &scope,
        Rule {
            arn: fresh_arn(&owner.arn),
            listener: owner.arn.clone(),
            load_balancer: balancer.arn.clone(),
            priority,
            conditions,
            actions,
            tags,
        },
    );
    Ok(CreateRuleOutput { rules: Some(vec![show(&row)]) })
}

fn priority(given: i32) -> Result<u32, ApiError> {
    let fine = u32::try_from(given).ok().filter(|priority| (1..=50_000).contains(priority));
    fine.ok_or_else(|| texts::invalid(format!("Priority '{given}' must be between 1 and 50000")))
}

fn show(row: &Rule) -> Shown {
    Shown {
        rule_arn: Some(row.arn.clone()),
        priority: Some(row.priority.to_string()),
        conditions: Some(row.conditions.iter().map(|condition| condition.0.clone()).collect()),
        actions: Some(row.actions.iter().map(|action| action.0.clone()).collect()),
        is_default: Some(false),
        transforms: Some(vec![]),
    }
}

fn show_default(row: &Listener) -> Shown {
    Shown {
        rule_arn: Some(row.default_rule.clone()),
        priority: Some("default".to_owned()),
        conditions: Some(vec![]),
        actions: Some(row.default_actions.iter().map(|action| action.0.clone()).collect()),
        is_default: Some(true),
        transforms: Some(vec![]),
    }
}

pub(super) fn describe(_: &Elb, cx: &mut Context, input: DescribeRulesInput) -> Result<DescribeRulesOutput, ApiError> {
    let scope = cx.scope.clone();
    let view = cx.view();
    let arns = input.rule_arns.unwrap_or_default();
    let shown: Vec<Shown> = match &input.listener_arn {
        Some(_) if !arns.is_empty() => {
            return Err(texts::invalid("Only one of a listener ARN and rule ARNs can be specified"));
        }
        Some(arn) => {
            let owner = listener(view, &scope, arn)?;
            let mut rows: Vec<&Arc<Rule>> = view.by_index(&Rule::BY_LISTENER, &scope, arn).collect();
            rows.sort_by_key(|row| row.priority);
            rows.into_iter().map(|row| show(row)).chain([show_default(&owner)]).collect()
        }
        None if arns.is_empty() => return Err(texts::invalid("A listener ARN or rule ARNs must be specified")),
        None => {
            let mut shown = Vec::with_capacity(arns.len());
            for arn in &arns {
                let default = listeners::of_default_rule(view, &scope, arn).map(|owner| show_default(&owner));
                shown.push(match default {
                    Some(default) => default,
                    None => show(&*rule(view, &scope, arn, "described")?),
                });
            }
            shown
        }
    };
    let id = |one: &Shown| one.rule_arn.clone().unwrap_or_default();
    let (rules, next_marker) = page(shown, id, input.marker.as_deref(), input.page_size)?;
    Ok(DescribeRulesOutput { rules: Some(rules), next_marker })
}

pub(super) fn modify(_: &Elb, cx: &mut Context, input: ModifyRuleInput) -> Result<ModifyRuleOutput, ApiError> {
    refuse(input.transforms.is_some_and(|transforms| !transforms.is_empty()), "transforms of rules")?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let mut row = Rule::clone(&*rule(tx, &scope, &input.rule_arn, "modified")?);
    let balancer = load_balancer(tx, &scope, &row.load_balancer)?;
    if let Some(given) = input.conditions {
        row.conditions = conditions::read(given)?;
    }
    if let Some(given) = input.actions {
        row.actions = actions::read(tx, &scope, &balancer, given)?;
    }
    let row = tx.put(&scope, row);
    Ok(ModifyRuleOutput { rules: Some(vec![show(&row)]) })
}

pub(super) fn delete(_: &Elb, cx: &mut Context, input: DeleteRuleInput) -> Result<DeleteRuleOutput, ApiError> {
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let row = rule(tx, &scope, &input.rule_arn, "deleted")?;
    tx.delete::<Rule>(&scope, &row.arn);
    Ok(DeleteRuleOutput::default())
}

pub(super) fn set_priorities(
    _: &Elb,
    cx: &mut Context,
    input: SetRulePrioritiesInput,
) -> Result<SetRulePrioritiesOutput, ApiError> {
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let mut wanted: BTreeMap<String, u32> = BTreeMap::new();
    let mut taken = BTreeSet::new();
    let mut listeners = BTreeSet::new();
    for pair in input.rule_priorities {
        let row = rule(tx, &scope, &pair.rule_arn.unwrap_or_default(), "given a priority")?;
        let priority = priority(pair.priority.unwrap_or_default())?;
        if !taken.insert((row.listener.clone(), priority)) {
            return Err(texts::priority_in_use(priority));
        }
        listeners.insert(row.listener.clone());
        wanted.insert(row.arn.clone(), priority);
    }
    for owner in &listeners {
        for other in tx.by_index(&Rule::BY_LISTENER, &scope, owner) {
            if !wanted.contains_key(&other.arn) && taken.contains(&(owner.clone(), other.priority)) {
                return Err(texts::priority_in_use(other.priority));
            }
        }
    }
    let mut shown = Vec::with_capacity(wanted.len());
    for (arn, priority) in wanted {
        let row = tx.update::<Rule>(&scope, &arn, |row| row.priority = priority);
        shown.extend(row.map(|row| show(&row)));
    }
    Ok(SetRulePrioritiesOutput { rules: Some(shown) })
}
