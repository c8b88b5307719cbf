//! Instance profiles: what an EC2 instance has its role by. A profile holds one role at most.

use super::page::{Page, page};
use super::{owner, roles, tags};
use crate::rows::{InstanceProfile, Role};
use crate::{Iam, ids, texts};
use gateway::Context;
use model::iam::{
    AddRoleToInstanceProfileRequest, CreateInstanceProfileRequest, CreateInstanceProfileResponse,
    DeleteInstanceProfileRequest, GetInstanceProfileRequest, GetInstanceProfileResponse,
    ListInstanceProfileTagsRequest, ListInstanceProfileTagsResponse, ListInstanceProfilesForRoleRequest,
    ListInstanceProfilesForRoleResponse, ListInstanceProfilesRequest, ListInstanceProfilesResponse,
    RemoveRoleFromInstanceProfileRequest, TagInstanceProfileRequest, UntagInstanceProfileRequest,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::View;
use types::{ApiError, Scope};

fn find(view: &View, scope: &Scope, name: &str) -> Result<Arc<InstanceProfile>, ApiError> {
    view.get(scope, name).ok_or_else(|| texts::instance_profile_not_found(name))
}

pub(super) fn create(
    _: &Iam,
    cx: &mut Context,
    input: CreateInstanceProfileRequest,
) -> Result<CreateInstanceProfileResponse, ApiError> {
    let (scope, now) = (cx.global_scope(), cx.now);
    let tx = cx.tx();
    let name = input.instance_profile_name;
    if tx.by_index(&InstanceProfile::BY_FOLDED_NAME, &scope, &name.to_lowercase()).next().is_some() {
        return Err(texts::instance_profile_exists(&name));
    }
    let profile = InstanceProfile {
        name,
        path: input.path.unwrap_or_else(|| "/".to_owned()),
        id: ids::unique("AIPA"),
        created: now,
        role: None,
        tags: tags::merge(&BTreeMap::new(), input.tags)?,
    };
    let profile = tx.put(&scope, profile);
    Ok(CreateInstanceProfileResponse { instance_profile: described(tx, &scope, &profile) })
}

pub(super) fn get(
    _: &Iam,
    cx: &mut Context,
    input: GetInstanceProfileRequest,
) -> Result<GetInstanceProfileResponse, ApiError> {
    let scope = cx.global_scope();
    let view = cx.view();
    let profile = find(view, &scope, &input.instance_profile_name)?;
    Ok(GetInstanceProfileResponse { instance_profile: described(view, &scope, &profile) })
}

pub(super) fn list(
    _: &Iam,
    cx: &mut Context,
    input: ListInstanceProfilesRequest,
) -> Result<ListInstanceProfilesResponse, ApiError> {
    let scope = cx.global_scope();
    let prefix = input.path_prefix.unwrap_or_else(|| "/".to_owned());
    let view = cx.view();
    let rows = view.scan::<InstanceProfile>(&scope).filter(|row| row.path.starts_with(&prefix));
    let Page { items, is_truncated, marker } =
        page(rows, |row| row.name.clone(), input.marker.as_deref(), input.max_items)?;
    // As everywhere in IAM, lists leave tags out.
    let shown = |row: &Arc<InstanceProfile>| model::iam::InstanceProfile { tags: None, ..described(view, &scope, row) };
    Ok(ListInstanceProfilesResponse { instance_profiles: items.into_iter().map(shown).collect(), is_truncated, marker })
}

pub(super) fn list_for_role(
    _: &Iam,
    cx: &mut Context,
    input: ListInstanceProfilesForRoleRequest,
) -> Result<ListInstanceProfilesForRoleResponse, ApiError> {
    let scope = cx.global_scope();
    let view = cx.view();
    owner::find::<Role>(view, &scope, &input.role_name)?;
    let rows = view.by_index(&InstanceProfile::BY_ROLE, &scope, &input.role_name);
    let Page { items, is_truncated, marker } =
        page(rows, |row| row.name.clone(), input.marker.as_deref(), input.max_items)?;
    let instance_profiles = items.into_iter().map(|row| described(view, &scope, row)).collect();
    Ok(ListInstanceProfilesForRoleResponse { instance_profiles, is_truncated, marker })
}

pub(super) fn delete(_: &Iam, cx: &mut Context, input: DeleteInstanceProfileRequest) -> Result<wire::Unit, ApiError> {
    let scope = cx.global_scope();
    let tx = cx.tx();
    if find(tx, &scope, &input.instance_profile_name)?.role.is_some() {
        return Err(texts::must_remove_roles());
    }
    tx.delete::<InstanceProfile>(&scope, &input.instance_profile_name);
    Ok(wire::Unit)
}

pub(super) fn add_role(
    _: &Iam,
    cx: &mut Context,
    input: AddRoleToInstanceProfileRequest,
) -> Result<wire::Unit, ApiError> {
    let scope = cx.global_scope();
    let tx = cx.tx();
    let profile = find(tx, &scope, &input.instance_profile_name)?;
    owner::find::<Role>(tx, &scope, &input.role_name)?;
    if profile.role.is_some() {
        return Err(texts::quota("InstanceSessionsPerInstanceProfile", 1));
    }
    tx.put(&scope, InstanceProfile { role: Some(input.role_name), ..(*profile).clone() });
    Ok(wire::Unit)
}

pub(super) fn remove_role(
    _: &Iam,
    cx: &mut Context,
    input: RemoveRoleFromInstanceProfileRequest,
) -> Result<wire::Unit, ApiError> {
    let scope = cx.global_scope();
    let tx = cx.tx();
    let profile = find(tx, &scope, &input.instance_profile_name)?;
    if profile.role.as_ref() != Some(&input.role_name) {
        return Err(texts::cannot_be_found("role", &input.role_name));
    }
    tx.put(&scope, InstanceProfile { role: None, ..(*profile).clone() });
    Ok(wire::Unit)
}

pub(super) fn tag(_: &Iam, cx: &mut Context, input: TagInstanceProfileRequest) -> Result<wire::Unit, ApiError> {
    let scope = cx.global_scope();
    let tx = cx.tx();
    let mut profile = (*find(tx, &scope, &input.instance_profile_name)?).clone();
    profile.tags = tags::merge(&profile.tags, Some(input.tags))?;
    tx.put(&scope, profile);
    Ok(wire::Unit)
}

pub(super) fn untag(_: &Iam, cx: &mut Context, input: UntagInstanceProfileRequest) -> Result<wire::Unit, ApiError> {
    let scope = cx.global_scope();
    let tx = cx.tx();
    let mut profile = (*find(tx, &scope, &input.instance_profile_name)?).clone();
    profile.tags.retain(|key, _| !input.tag_keys.contains(key));
    tx.put(&scope, profile);
    Ok(wire::Unit)
}

pub(super) fn list_tags(
    _: &Iam,
    cx: &mut Context,
    input: ListInstanceProfileTagsRequest,
) -> Result<ListInstanceProfileTagsResponse, ApiError> {
    let scope = cx.global_scope();
    let profile = find(cx.view(), &scope, &input.instance_profile_name)?;
    let Page { items, is_truncated, marker } =
        page(tags::listed(&profile.tags), |tag| tag.key.clone(), input.marker.as_deref(), input.max_items)?;
    Ok(ListInstanceProfileTagsResponse { tags: items, is_truncated, marker })
}

fn described(view: &View, scope: &Scope, profile: &InstanceProfile) -> model::iam::InstanceProfile {
    let role = profile.role.as_ref().and_then(|name| view.get::<Role>(scope, name));
    model::iam::InstanceProfile {
        path: profile.path.clone(),
        instance_profile_name: profile.name.clone(),
        instance_profile_id: profile.id.clone(),
        arn: profile.arn(&scope.account),
        create_date: profile.created,
        roles: role.iter().map(|role| roles::described(role, &scope.account)).collect(),
        tags: tags::shown(&profile.tags),
    }
}
