//! Targets of rules.

use super::{check_bus, page, rule};
use crate::publish::log_group;
use crate::rows::Rule;
use crate::{Events, texts, transform};
use gateway::Context;
use model::Stored;
use model::events::{
    ListRuleNamesByTargetRequest, ListRuleNamesByTargetResponse, ListTargetsByRuleRequest, ListTargetsByRuleResponse,
    PutTargetsRequest, PutTargetsResponse, RemoveTargetsRequest, RemoveTargetsResponse, Target,
};
use types::arn::Arn;
use types::{ApiError, Scope};

/// As many targets as a rule has. Source: EventBridge user guide, "Quotas".
const MOST: usize = 5;

pub(super) fn put(_: &Events, cx: &mut Context, input: PutTargetsRequest) -> Result<PutTargetsResponse, ApiError> {
    let scope = cx.scope.clone();
    check_bus(&scope, input.event_bus_name.as_deref())?;
    for target in &input.targets {
        check(&scope, target)?;
    }
    let tx = cx.tx();
    let mut row = Rule::clone(&*rule(tx, &scope, &input.rule)?);
    row.targets.extend(input.targets.into_iter().map(|target| (target.id.clone(), Stored(target))));
    if row.targets.len() > MOST {
        return Err(texts::limit_exceeded());
    }
    tx.put(&scope, row);
    Ok(PutTargetsResponse { failed_entry_count: Some(0), failed_entries: Some(vec![]) })
}

/// Refuses by name what events cannot be sent to, and what is said of such targets.
fn check(scope: &Scope, target: &Target) -> Result<(), ApiError> {
    let arn: Arn = target.arn.parse().map_err(|_| texts::target_arn_invalid(&target.arn))?;
    if arn.service != "logs" {
        return Err(ApiError::not_implemented(format_args!("event targets of {}", arn.service)));
    }
    if log_group(scope, &target.arn).is_none() {
        return Err(if arn.region == scope.region.as_str() && arn.account == scope.account.as_str() {
            texts::target_arn_invalid(&target.arn)
        } else {
            ApiError::not_implemented("event targets of other accounts and regions")
        });
    }
    let given = [
        ("EcsParameters", target.ecs_parameters.is_some()),
        ("BatchParameters", target.batch_parameters.is_some()),
        ("KinesisParameters", target.kinesis_parameters.is_some()),
        ("RunCommandParameters", target.run_command_parameters.is_some()),
        ("SqsParameters", target.sqs_parameters.is_some()),
        ("HttpParameters", target.http_parameters.is_some()),
        ("RedshiftDataParameters", target.redshift_data_parameters.is_some()),
        ("SageMakerPipelineParameters", target.sage_maker_pipeline_parameters.is_some()),
        ("AppSyncParameters", target.app_sync_parameters.is_some()),
        ("DeadLetterConfig", target.dead_letter_config.is_some()),
    ];
    if let Some((name, _)) = given.into_iter().find(|(_, given)| *given) {
        return Err(ApiError::not_implemented(format_args!("{name} of event targets")));
    }
    // A log group takes whole events, or a time and a message made of one.
    if target.input.is_some() || target.input_path.is_some() {
        return Err(texts::input_of_log_group(&target.id));
    }
    match &target.input_transformer {
        Some(transformer) => transform::check(transformer).map_err(|reason| match reason {
            transform::Wrong::NotJson => texts::input_not_json(&target.id),
            transform::Wrong::Other(reason) => texts::template_invalid(&target.id, &reason),
        }),
        None => Ok(()),
    }
}

pub(super) fn remove(
    _: &Events,
    cx: &mut Context,
    input: RemoveTargetsRequest,
) -> Result<RemoveTargetsResponse, ApiError> {
    let scope = cx.scope.clone();
    check_bus(&scope, input.event_bus_name.as_deref())?;
    let tx = cx.tx();
    let mut row = Rule::clone(&*rule(tx, &scope, &input.rule)?);
    row.targets.retain(|id, _| !input.ids.contains(id));
    tx.put(&scope, row);
    Ok(RemoveTargetsResponse { failed_entry_count: Some(0), failed_entries: Some(vec![]) })
}

pub(super) fn list(
    _: &Events,
    cx: &mut Context,
    input: ListTargetsByRuleRequest,
) -> Result<ListTargetsByRuleResponse, ApiError> {
    let scope = cx.scope.clone();
    check_bus(&scope, input.event_bus_name.as_deref())?;
    let row = rule(cx.view(), &scope, &input.rule)?;
    let items = row.targets.iter().map(|(id, target)| (id.clone(), target.0.clone()));
    let (targets, next_token) = page::page(items, input.next_token.as_deref(), input.limit)?;
    Ok(ListTargetsByRuleResponse { targets: Some(targets), next_token })
}

pub(super) fn list_rules(
    _: &Events,
    cx: &mut Context,
    input: ListRuleNamesByTargetRequest,
) -> Result<ListRuleNamesByTargetResponse, ApiError> {
    let scope = cx.scope.clone();
    check_bus(&scope, input.event_bus_name.as_deref())?;
    let has = |row: &Rule| row.targets.values().any(|target| target.arn == input.target_arn);
    let rows = cx.view().scan::<Rule>(&scope).filter(|row| has(row));
    let items = rows.map(|row| (row.name.clone(), row.name.clone()));
    let (rule_names, next_token) = page::page(items, input.next_token.as_deref(), input.limit)?;
    Ok(ListRuleNamesByTargetResponse { rule_names: Some(rule_names), next_token })
}
