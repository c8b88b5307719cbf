//! Policies of roles, attached and inline.

use super::owner;
use super::page::Page;
use crate::Iam;
use crate::rows::Role;
use gateway::Context;
use model::iam::{
    AttachRolePolicyRequest, DeleteRolePolicyRequest, DetachRolePolicyRequest, GetRolePolicyRequest,
    GetRolePolicyResponse, ListAttachedRolePoliciesRequest, ListAttachedRolePoliciesResponse, ListRolePoliciesRequest,
    ListRolePoliciesResponse, PutRolePolicyRequest,
};
use types::ApiError;

pub(super) fn attach(_: &Iam, cx: &mut Context, input: AttachRolePolicyRequest) -> Result<wire::Unit, ApiError> {
    owner::attach::<Role>(cx, &input.role_name, input.policy_arn)
}

pub(super) fn detach(_: &Iam, cx: &mut Context, input: DetachRolePolicyRequest) -> Result<wire::Unit, ApiError> {
    owner::detach::<Role>(cx, &input.role_name, &input.policy_arn)
}

pub(super) fn list_attached(
    _: &Iam,
    cx: &mut Context,
    input: ListAttachedRolePoliciesRequest,
) -> Result<ListAttachedRolePoliciesResponse, ApiError> {
    let (prefix, marker) = (input.path_prefix.as_deref(), input.marker.as_deref());
    let Page { items, is_truncated, marker } =
        owner::list_attached::<Role>(cx, &input.role_name, prefix, marker, input.max_items)?;
    Ok(ListAttachedRolePoliciesResponse { attached_policies: Some(items), is_truncated, marker })
}

pub(super) fn put(_: &Iam, cx: &mut Context, input: PutRolePolicyRequest) -> Result<wire::Unit, ApiError> {
    owner::put_inline::<Role>(cx, &input.role_name, input.policy_name, input.policy_document)
}

pub(super) fn get(_: &Iam, cx: &mut Context, input: GetRolePolicyRequest) -> Result<GetRolePolicyResponse, ApiError> {
    let policy_document = owner::get_inline::<Role>(cx, &input.role_name, &input.policy_name)?;
    Ok(GetRolePolicyResponse { role_name: input.role_name, policy_name: input.policy_name, policy_document })
}

pub(super) fn delete(_: &Iam, cx: &mut Context, input: DeleteRolePolicyRequest) -> Result<wire::Unit, ApiError> {
    owner::delete_inline::<Role>(cx, &input.role_name, &input.policy_name)
}

pub(super) fn list(
    _: &Iam,
    cx: &mut Context,
    input: ListRolePoliciesRequest,
) -> Result<ListRolePoliciesResponse, ApiError> {
    let Page { items, is_truncated, marker } =
        owner::list_inline::<Role>(cx, &input.role_name, input.marker.as_deref(), input.max_items)?;
    Ok(ListRolePoliciesResponse { policy_names: items, is_truncated, marker })
}
