//! Policies of users, attached and inline.

use super::owner;
use super::page::Page;
use crate::Iam;
use crate::rows::User;
use gateway::Context;
use model::iam::{
    AttachUserPolicyRequest, DeleteUserPolicyRequest, DetachUserPolicyRequest, GetUserPolicyRequest,
    GetUserPolicyResponse, ListAttachedUserPoliciesRequest, ListAttachedUserPoliciesResponse, ListUserPoliciesRequest,
    ListUserPoliciesResponse, PutUserPolicyRequest,
};
use types::ApiError;

pub(super) fn attach(_: &Iam, cx: &mut Context, input: AttachUserPolicyRequest) -> Result<wire::Unit, ApiError> {
    owner::attach::<User>(cx, &input.user_name, input.policy_arn)
}

pub(super) fn detach(_: &Iam, cx: &mut Context, input: DetachUserPolicyRequest) -> Result<wire::Unit, ApiError> {
    owner::detach::<User>(cx, &input.user_name, &input.policy_arn)
}

pub(super) fn list_attached(
    _: &Iam,
    cx: &mut Context,
    input: ListAttachedUserPoliciesRequest,
) -> Result<ListAttachedUserPoliciesResponse, ApiError> {
    let (prefix, marker) = (input.path_prefix.as_deref(), input.marker.as_deref());
    let Page { items, is_truncated, marker } =
        owner::list_attached::<User>(cx, &input.user_name, prefix, marker, input.max_items)?;
    Ok(ListAttachedUserPoliciesResponse { attached_policies: Some(items), is_truncated, marker })
}

pub(super) fn put(_: &Iam, cx: &mut Context, input: PutUserPolicyRequest) -> Result<wire::Unit, ApiError> {
    owner::put_inline::<User>(cx, &input.user_name, input.policy_name, input.policy_document)
}

pub(super) fn get(_: &Iam, cx: &mut Context, input: GetUserPolicyRequest) -> Result<GetUserPolicyResponse, ApiError> {
    let policy_document = owner::get_inline::<User>(cx, &input.user_name, &input.policy_name)?;
    Ok(GetUserPolicyResponse { user_name: input.user_name, policy_name: input.policy_name, policy_document })
}

pub(super) fn delete(_: &Iam, cx: &mut Context, input: DeleteUserPolicyRequest) -> Result<wire::Unit, ApiError> {
    owner::delete_inline::<User>(cx, &input.user_name, &input.policy_name)
}

pub(super) fn list(
    _: &Iam,
    cx: &mut Context,
    input: ListUserPoliciesRequest,
) -> Result<ListUserPoliciesResponse, ApiError> {
    let Page { items, is_truncated, marker } =
        owner::list_inline::<User>(cx, &input.user_name, input.marker.as_deref(), input.max_items)?;
    Ok(ListUserPoliciesResponse { policy_names: items, is_truncated, marker })
}
