//! Resource policies: PutResourcePolicy, DescribeResourcePolicies, DeleteResourcePolicy.

use super::page;
use crate::access::ResourcePolicy;
use crate::{Observe, texts};
use gateway::Context;
use model::logs::{
    DeleteResourcePolicyRequest, DescribeResourcePoliciesRequest, DescribeResourcePoliciesResponse,
    PutResourcePolicyRequest, PutResourcePolicyResponse, ResourcePolicy as Shape, policy_scope,
};
use types::ApiError;

/// As many as an account has. Source: CloudWatch Logs user guide, "Quotas".
const MOST: usize = 10;
/// The longest document, in bytes.
const LONGEST: usize = 5120;
/// The most that a page holds.
const PAGE: usize = 50;

/// Policies of single log groups are not there.
fn check_scope(resource: Option<&String>, revision: Option<&String>) -> Result<(), ApiError> {
    match (resource, revision) {
        (None, None) => Ok(()),
        _ => Err(ApiError::not_implemented("resource policies of single log groups (resourceArn)")),
    }
}

fn needed(name: &str, value: Option<String>) -> Result<String, ApiError> {
    value.filter(|text| !text.is_empty()).ok_or_else(|| texts::needed(name))
}

fn shape(row: &ResourcePolicy) -> Shape {
    Shape {
        policy_name: Some(row.name.clone()),
        policy_document: Some(row.document.clone()),
        last_updated_time: Some(row.updated.millis()),
        policy_scope: Some(policy_scope::ACCOUNT.to_owned()),
        ..Shape::default()
    }
}

pub(super) fn put(
    _: &Observe,
    cx: &mut Context,
    input: PutResourcePolicyRequest,
) -> Result<PutResourcePolicyResponse, ApiError> {
    check_scope(input.resource_arn.as_ref(), input.expected_revision_id.as_ref())?;
    let name = needed("policyName", input.policy_name)?;
    let document = needed("policyDocument", input.policy_document)?;
    if document.len() > LONGEST {
        return Err(texts::policy_too_long(LONGEST));
    }
    policy::parse(policy::Kind::Resource, &document).map_err(|why| texts::invalid_parameter(why.0))?;
    let (scope, updated) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    if !tx.contains::<ResourcePolicy>(&scope, &name) && tx.scan::<ResourcePolicy>(&scope).count() >= MOST {
        return Err(texts::limit_exceeded());
    }
    let row = tx.put(&scope, ResourcePolicy { name, document, updated });
    Ok(PutResourcePolicyResponse { resource_policy: Some(shape(&row)), revision_id: None })
}

pub(super) fn describe(
    _: &Observe,
    cx: &mut Context,
    input: DescribeResourcePoliciesRequest,
) -> Result<DescribeResourcePoliciesResponse, ApiError> {
    check_scope(input.resource_arn.as_ref(), None)?;
    let after = input.next_token.as_deref().map(|token| page::key(token).ok_or_else(texts::bad_next_token));
    let after = after.transpose()?;
    let of_account = input.policy_scope.as_deref() != Some(policy_scope::RESOURCE);
    let scope = cx.scope.clone();
    let rows = cx.view().scan::<ResourcePolicy>(&scope);
    let rows = rows.filter(|row| of_account && after.as_ref().is_none_or(|after| row.name > *after));
    let (rows, next_token) = page::take(rows, page::limit(input.limit, PAGE), |row| row.name.clone());
    let policies = rows.into_iter().map(|row| shape(row)).collect();
    Ok(DescribeResourcePoliciesResponse { resource_policies: Some(policies), next_token })
}

pub(super) fn delete(
    _: &Observe,
    cx: &mut Context,
    input: DeleteResourcePolicyRequest,
) -> Result<wire::Unit, ApiError> {
    check_scope(input.resource_arn.as_ref(), input.expected_revision_id.as_ref())?;
    let name = needed("policyName", input.policy_name)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    if !tx.contains::<ResourcePolicy>(&scope, &name) {
        return Err(texts::no_such_policy(&name));
    }
    tx.delete::<ResourcePolicy>(&scope, &name);
    Ok(wire::Unit)
}
