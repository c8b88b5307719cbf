//! Roles.

use super::page::{Page, page};
use super::{owner, tags};
use crate::rows::{Entity, InstanceProfile, Owner, PolicyText, Role, User};
use crate::{Iam, ids, rows, texts};
use gateway::Context;
use model::iam::{
    CreateRoleRequest, CreateRoleResponse, DeleteRoleRequest, GetRoleRequest, GetRoleResponse, ListRoleTagsRequest,
    ListRoleTagsResponse, ListRolesRequest, ListRolesResponse, RoleLastUsed, TagRoleRequest, UntagRoleRequest,
    UpdateAssumeRolePolicyRequest,
};
use policy::Kind;
use std::collections::BTreeMap;
use store::View;
use types::arn::Arn;
use types::{AccountId, ApiError};

/// The longest trust policy, without white space.
const TRUST_QUOTA: usize = 2048;

pub(super) fn create(_: &Iam, cx: &mut Context, input: CreateRoleRequest) -> Result<CreateRoleResponse, ApiError> {
    let (scope, now) = (cx.global_scope(), cx.now);
    let tx = cx.tx();
    owner::check_free::<Role>(tx, &scope, &input.role_name)?;
    let trust = trust(tx, &scope.account, input.assume_role_policy_document)?;
    owner::check_boundary(tx, &scope.account, input.permissions_boundary.as_deref())?;
    let role = Role {
        owner: Owner {
            name: input.role_name,
            path: input.path.unwrap_or_else(|| "/".to_owned()),
            id: ids::unique("AROA"),
            created: now,
            boundary: input.permissions_boundary,
            tags: tags::merge(&BTreeMap::new(), input.tags)?,
            inline: BTreeMap::new(),
            attached: Vec::new(),
        },
        trust,
        description: input.description,
        max_session_duration: input.max_session_duration.unwrap_or(3600),
    };
    // AWS's answer to CreateRole holds neither description nor duration unless they were given.
    let mut shown = described(&role, &scope.account);
    shown.max_session_duration = input.max_session_duration;
    shown.role_last_used = None;
    tx.put(&scope, role);
    Ok(CreateRoleResponse { role: shown })
}

pub(super) fn get(_: &Iam, cx: &mut Context, input: GetRoleRequest) -> Result<GetRoleResponse, ApiError> {
    let scope = cx.global_scope();
    let role = owner::find::<Role>(cx.view(), &scope, &input.role_name)?;
    Ok(GetRoleResponse { role: described(&role, &scope.account) })
}

pub(super) fn list(_: &Iam, cx: &mut Context, input: ListRolesRequest) -> Result<ListRolesResponse, ApiError> {
    let scope = cx.global_scope();
    let prefix = input.path_prefix.unwrap_or_else(|| "/".to_owned());
    let rows = cx.view().scan::<Role>(&scope).filter(|role| role.owner.path.starts_with(&prefix));
    let Page { items, is_truncated, marker } =
        page(rows, |role| role.owner.name.clone(), input.marker.as_deref(), input.max_items)?;
    // The list leaves out what takes AWS a look at each role.
    let roles = items.into_iter().map(|role| model::iam::Role {
        tags: None,
        permissions_boundary: None,
        role_last_used: None,
        ..described(role, &scope.account)
    });
    Ok(ListRolesResponse { roles: roles.collect(), is_truncated, marker })
}

pub(super) fn delete(_: &Iam, cx: &mut Context, input: DeleteRoleRequest) -> Result<wire::Unit, ApiError> {
    let scope = cx.global_scope();
    let tx = cx.tx();
    let role = owner::find::<Role>(tx, &scope, &input.role_name)?;
    if tx.by_index(&InstanceProfile::BY_ROLE, &scope, &input.role_name).next().is_some() {
        return Err(texts::must_remove_roles());
    }
    owner::check_bare(&role.owner)?;
    tx.delete::<Role>(&scope, &input.role_name);
    Ok(wire::Unit)
}

pub(super) fn update_trust(
    _: &Iam,
    cx: &mut Context,
    input: UpdateAssumeRolePolicyRequest,
) -> Result<wire::Unit, ApiError> {
    let scope = cx.global_scope();
    let tx = cx.tx();
    let role = owner::find::<Role>(tx, &scope, &input.role_name)?;
    let trust = trust(tx, &scope.account, input.policy_document)?;
    tx.put(&scope, Role { trust, ..(*role).clone() });
    Ok(wire::Unit)
}

pub(super) fn tag(_: &Iam, cx: &mut Context, input: TagRoleRequest) -> Result<wire::Unit, ApiError> {
    let scope = cx.global_scope();
    let tx = cx.tx();
    let mut role = (*owner::find::<Role>(tx, &scope, &input.role_name)?).clone();
    role.owner.tags = tags::merge(&role.owner.tags, Some(input.tags))?;
    tx.put(&scope, role);
    Ok(wire::Unit)
}

pub(super) fn untag(_: &Iam, cx: &mut Context, input: UntagRoleRequest) -> Result<wire::Unit, ApiError> {
    let scope = cx.global_scope();
    let tx = cx.tx();
    let mut role = (*owner::find::<Role>(tx, &scope, &input.role_name)?).clone();
    role.owner.tags.retain(|key, _| !input.tag_keys.contains(key));
    tx.put(&scope, role);
    Ok(wire::Unit)
}

pub(super) fn list_tags(
    _: &Iam,
    cx: &mut Context,
    input: ListRoleTagsRequest,
) -> Result<ListRoleTagsResponse, ApiError> {
    let scope = cx.global_scope();
    let role = owner::find::<Role>(cx.view(), &scope, &input.role_name)?;
    let Page { items, is_truncated, marker } =
        page(tags::listed(&role.owner.tags), |tag| tag.key.clone(), input.marker.as_deref(), input.max_items)?;
    Ok(ListRoleTagsResponse { tags: items, is_truncated, marker })
}

/// Parses a trust policy and refuses principals that cannot exist.
fn trust(view: &View, account: &AccountId, text: String) -> Result<PolicyText, ApiError> {
    if owner::weight(&text) > TRUST_QUOTA {
        return Err(texts::quota("ACLSizePerRole", TRUST_QUOTA));
    }
    let parsed = PolicyText::parse(Kind::Trust, text).map_err(|why| texts::malformed_policy(why.0))?;
    let refused = {
        let mut principals = parsed.document().statements().iter().flat_map(policy::Statement::named_principals);
        principals
            .find(|(kind, value)| !can_exist(view, account, kind, value))
            .map(|(kind, value)| texts::invalid_principal(kind, value))
    };
    refused.map_or(Ok(parsed), Err)
}

fn can_exist(view: &View, account: &AccountId, kind: &str, value: &str) -> bool {
    match kind {
        "Service" => {
            let name = value.strip_suffix(".amazonaws.com").or_else(|| value.strip_suffix(".amazonaws.com.cn"));
            let fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
            name.is_some_and(|name| !name.is_empty() && name.bytes().all(fine))
        }
        "AWS" => principal_can_exist(view, account, value),
        // Federations are outside the account.
        _ => true,
    }
}

fn principal_can_exist(view: &View, account: &AccountId, value: &str) -> bool {
    if value == "*" || value.parse::<AccountId>().is_ok() {
        return true;
    }
    let unique = |prefix: &str| value.starts_with(prefix) && value.len() == 21;
    if unique("AROA") || unique("AIDA") {
        return true;
    }
    let Ok(arn) = value.parse::<Arn>() else { return false };
    if arn.account.parse::<AccountId>().is_err() || !arn.region.is_empty() {
        return false;
    }
    // Other accounts' users and roles cannot be seen from here.
    let foreign = arn.account != account.as_str();
    let scope = rows::scope(account);
    let name = |path: &str| path.rsplit_once('/').map_or(path, |(_, name)| name).to_owned();
    match (arn.service.as_str(), arn.resource.split_once('/')) {
        ("iam", None) => arn.resource == "root",
        ("iam", Some(("user", path))) => {
            foreign || view.get::<User>(&scope, &name(path)).is_some_and(|user| user.arn(account) == value)
        }
        ("iam", Some(("role", path))) => {
            foreign || view.get::<Role>(&scope, &name(path)).is_some_and(|role| role.arn(account) == value)
        }
        ("sts", Some(("assumed-role" | "federated-user", _))) => true,
        _ => false,
    }
}

pub(super) fn described(role: &Role, account: &AccountId) -> model::iam::Role {
    model::iam::Role {
        path: role.owner.path.clone(),
        role_name: role.owner.name.clone(),
        role_id: role.owner.id.clone(),
        arn: role.arn(account),
        create_date: role.owner.created,
        assume_role_policy_document: Some(role.trust.encoded()),
        description: role.description.clone(),
        max_session_duration: Some(role.max_session_duration),
        permissions_boundary: owner::boundary(&role.owner),
        tags: tags::shown(&role.owner.tags),
        role_last_used: Some(RoleLastUsed::default()),
        source_role_template: None,
    }
}
