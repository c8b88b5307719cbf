//! Lifecycle and repository policies: kept and checked for form. Neither has an effect yet; `docs/fidelity.md` says so.

use super::{change, registry_id, repository};
use crate::service::Ecr;
use crate::texts;
use gateway::Context;
use model::ecr::{
    DeleteLifecyclePolicyRequest, DeleteLifecyclePolicyResponse, DeleteRepositoryPolicyRequest,
    DeleteRepositoryPolicyResponse, GetLifecyclePolicyRequest, GetLifecyclePolicyResponse, GetRepositoryPolicyRequest,
    GetRepositoryPolicyResponse, PutLifecyclePolicyRequest, PutLifecyclePolicyResponse, SetRepositoryPolicyRequest,
    SetRepositoryPolicyResponse,
};
use serde_json::Value;
use std::collections::BTreeSet;
use types::ApiError;

pub(super) fn put_lifecycle_policy(
    _: &Ecr,
    cx: &mut Context,
    input: PutLifecyclePolicyRequest,
) -> Result<PutLifecyclePolicyResponse, ApiError> {
    let PutLifecyclePolicyRequest { registry_id: registry, repository_name, lifecycle_policy_text: text } = input;
    check_lifecycle_policy(&text).map_err(|why| {
        texts::invalid_parameter("LifecyclePolicyText", &format!("Lifecycle policy validation failure: {why}"))
    })?;
    tracing::warn!(repository = %repository_name, "the lifecycle policy is kept, but not executed yet");
    change(cx, registry.as_deref(), &repository_name, |row| row.lifecycle_policy = Some(text.clone()))?;
    Ok(PutLifecyclePolicyResponse {
        registry_id: Some(registry_id(cx)),
        repository_name: Some(repository_name),
        lifecycle_policy_text: Some(text),
    })
}

pub(super) fn get_lifecycle_policy(
    _: &Ecr,
    cx: &mut Context,
    input: GetLifecyclePolicyRequest,
) -> Result<GetLifecyclePolicyResponse, ApiError> {
    let scope = cx.scope.clone();
    let name = input.repository_name;
    let row = repository(cx.view(), &scope, input.registry_id.as_deref(), &name)?;
    let missing = || texts::lifecycle_policy_not_found(&name, scope.account.as_str());
    let text = row.lifecycle_policy.clone().ok_or_else(missing)?;
    Ok(GetLifecyclePolicyResponse {
        registry_id: Some(registry_id(cx)),
        repository_name: Some(name),
        lifecycle_policy_text: Some(text),
        last_evaluated_at: None,
    })
}

pub(super) fn delete_lifecycle_policy(
    _: &Ecr,
    cx: &mut Context,
    input: DeleteLifecyclePolicyRequest,
) -> Result<DeleteLifecyclePolicyResponse, ApiError> {
    let name = input.repository_name;
    let mut old = None;
    change(cx, input.registry_id.as_deref(), &name, |row| old = row.lifecycle_policy.take())?;
    let text = old.ok_or_else(|| texts::lifecycle_policy_not_found(&name, cx.scope.account.as_str()))?;
    Ok(DeleteLifecyclePolicyResponse {
        registry_id: Some(registry_id(cx)),
        repository_name: Some(name),
        lifecycle_policy_text: Some(text),
        last_evaluated_at: None,
    })
}

pub(super) fn set_repository_policy(
    _: &Ecr,
    cx: &mut Context,
    input: SetRepositoryPolicyRequest,
) -> Result<SetRepositoryPolicyResponse, ApiError> {
    let SetRepositoryPolicyRequest { registry_id: registry, repository_name, policy_text: text, .. } = input;
    let document: Option<Value> = serde_json::from_str(&text).ok();
    if !document.as_ref().and_then(|document| document.get("Statement")).is_some_and(is_statements) {
        return Err(texts::invalid_parameter("PolicyText", "Invalid repository policy provided"));
    }
    tracing::warn!(repository = %repository_name, "the repository policy is kept, but not evaluated yet");
    change(cx, registry.as_deref(), &repository_name, |row| row.policy = Some(text.clone()))?;
    Ok(SetRepositoryPolicyResponse {
        registry_id: Some(registry_id(cx)),
        repository_name: Some(repository_name),
        policy_text: Some(text),
    })
}

pub(super) fn get_repository_policy(
    _: &Ecr,
    cx: &mut Context,
    input: GetRepositoryPolicyRequest,
) -> Result<GetRepositoryPolicyResponse, ApiError> {
    let scope = cx.scope.clone();
    let name = input.repository_name;
    let row = repository(cx.view(), &scope, input.registry_id.as_deref(), &name)?;
    let missing = || texts::repository_policy_not_found(&name, scope.account.as_str());
    let text = row.policy.clone().ok_or_else(missing)?;
    Ok(GetRepositoryPolicyResponse {
        registry_id: Some(registry_id(cx)),
        repository_name: Some(name),
        policy_text: Some(text),
    })
}

pub(super) fn delete_repository_policy(
    _: &Ecr,
    cx: &mut Context,
    input: DeleteRepositoryPolicyRequest,
) -> Result<DeleteRepositoryPolicyResponse, ApiError> {
    let name = input.repository_name;
    let mut old = None;
    change(cx, input.registry_id.as_deref(), &name, |row| old = row.policy.take())?;
    let text = old.ok_or_else(|| texts::repository_policy_not_found(&name, cx.scope.account.as_str()))?;
    Ok(DeleteRepositoryPolicyResponse {
        registry_id: Some(registry_id(cx)),
        repository_name: Some(name),
        policy_text: Some(text),
    })
}

/// One statement or several, each an object with an effect, actions and a principal.
fn is_statements(value: &Value) -> bool {
    let fine = |statement: &Value| {
        let has = |one: &str, other: &str| statement.get(one).is_some() || statement.get(other).is_some();
        let effect = statement.get("Effect").and_then(Value::as_str);
        matches!(effect, Some("Allow" | "Deny")) && has("Action", "NotAction") && has("Principal", "NotPrincipal")
    };
    value.as_array().map_or_else(|| fine(value), |all| !all.is_empty() && all.iter().all(fine))
}

/// Whether the text has the form of a lifecycle policy. Source: Amazon ECR user guide, "Lifecycle policy parameters".
fn check_lifecycle_policy(text: &str) -> Result<(), String> {
    let document: Value = serde_json::from_str(text).map_err(|_| "the policy is not valid JSON".to_owned())?;
    let rules = document
        .get("rules")
        .and_then(Value::as_array)
        .ok_or("object has missing required properties ([\"rules\"])")?;
    if rules.is_empty() || rules.len() > 50 {
        return Err("a policy must have between 1 and 50 rules".to_owned());
    }
    let mut priorities = BTreeSet::new();
    for rule in rules {
        let priority = rule.get("rulePriority").and_then(Value::as_u64).filter(|priority| *priority > 0);
        let priority = priority.ok_or("rulePriority must be an integer greater than 0")?;
        if !priorities.insert(priority) {
            return Err(format!("rulePriority {priority} is not unique"));
        }
        check_rule(rule)?;
    }
    Ok(())
}

fn check_rule(rule: &Value) -> Result<(), String> {
    let selection = rule.get("selection").ok_or("object has missing required properties ([\"selection\"])")?;
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
    let lists = |name: &str| selection.get(name).and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    let by_tag = lists("tagPrefixList") || lists("tagPatternList");
    match text(selection, "tagStatus").as_str() {
        "tagged" if !by_tag => {
            return Err("tagPrefixList or tagPatternList is required if tagStatus is tagged".to_owned());
        }
        "untagged" | "any" if by_tag => return Err("tag lists are allowed only if tagStatus is tagged".to_owned()),
        "tagged" | "untagged" | "any" => {}
        other => return Err(format!("tagStatus {other:?} is not one of tagged, untagged, any")),
    }
    let days = text(selection, "countUnit") == "days";
    match text(selection, "countType").as_str() {
        "imageCountMoreThan" if selection.get("countUnit").is_some() => {
            return Err("countUnit is not allowed with imageCountMoreThan".to_owned());
        }
        "sinceImagePushed" | "sinceImagePulled" | "sinceImageTransitioned" if !days => {
            return Err("countUnit must be days".to_owned());
        }
        "imageCountMoreThan" | "sinceImagePushed" | "sinceImagePulled" | "sinceImageTransitioned" => {}
        other => return Err(format!("countType {other:?} is unknown")),
    }
    if selection.get("countNumber").and_then(Value::as_u64).is_none_or(|count| count == 0) {
        return Err("countNumber must be an integer greater than 0".to_owned());
    }
    match rule.get("action").map(|action| text(action, "type")).as_deref() {
        Some("expire" | "transition") => Ok(()),
        _ => Err("action type must be expire or transition".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lifecycle_policies_are_checked_for_form() {
        let rule = |selection: Value| {
            json!({"rules": [{"rulePriority": 1, "selection": selection, "action": {"type": "expire"}}]}).to_string()
        };
        let keep = json!({"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 5});
        let old =
            json!({"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 1});
        for good in [keep, old] {
            assert_eq!(check_lifecycle_policy(&rule(good.clone())), Ok(()), "{good}");
        }
        for bad in [
            json!({"tagStatus": "tagged", "countType": "imageCountMoreThan", "countNumber": 5}),
            json!({"tagStatus": "any", "countType": "sinceImagePushed", "countNumber": 5}),
            json!({"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 0}),
            json!({"tagStatus": "none", "countType": "imageCountMoreThan", "countNumber": 1}),
            json!({}),
        ] {
            assert!(check_lifecycle_policy(&rule(bad.clone())).is_err(), "{bad}");
        }
        assert!(check_lifecycle_policy("{").is_err() && check_lifecycle_policy("{\"rules\": []}").is_err());
    }
}
