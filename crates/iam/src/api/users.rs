//! Users.

use super::page::{Page, page};
use super::{owner, tags};
use crate::rows::{AccessKey, Entity, Owner, User};
use crate::{Iam, ids, rows, texts};
use gateway::{Context, PrincipalKind};
use model::iam::{
    CreateUserRequest, CreateUserResponse, DeleteUserRequest, GetUserRequest, GetUserResponse, ListUsersRequest,
    ListUsersResponse,
};
use std::collections::BTreeMap;
use types::{AccountId, ApiError, Timestamp};

pub(super) fn create(_: &Iam, cx: &mut Context, input: CreateUserRequest) -> Result<CreateUserResponse, ApiError> {
    let (scope, now) = (cx.global_scope(), cx.now);
    let tx = cx.tx();
    owner::check_free::<User>(tx, &scope, &input.user_name)?;
    owner::check_boundary(tx, &scope.account, input.permissions_boundary.as_deref())?;
    let user = User {
        owner: Owner {
            name: input.user_name,
            path: input.path.unwrap_or_else(|| "/".to_owned()),
            id: ids::unique("AIDA"),
            created: now,
            boundary: input.permissions_boundary,
            tags: tags::merge(&BTreeMap::new(), input.tags)?,
            inline: BTreeMap::new(),
            attached: Vec::new(),
        },
    };
    let shown = described(&user, &scope.account);
    tx.put(&scope, user);
    Ok(CreateUserResponse { user: Some(shown) })
}

pub(super) fn get(_: &Iam, cx: &mut Context, input: GetUserRequest) -> Result<GetUserResponse, ApiError> {
    let scope = cx.global_scope();
    if input.user_name.is_none() && cx.principal.kind == PrincipalKind::Root {
        // The root user has no name and no date of its own here.
        let user = model::iam::User {
            path: "/".to_owned(),
            user_id: cx.principal.user_id.clone(),
            arn: cx.principal.arn.clone(),
            create_date: Timestamp(0),
            ..Default::default()
        };
        return Ok(GetUserResponse { user });
    }
    let name = name_or_caller(cx, input.user_name)?;
    let user = owner::find::<User>(cx.view(), &scope, &name)?;
    Ok(GetUserResponse { user: described(&user, &scope.account) })
}

pub(super) fn list(_: &Iam, cx: &mut Context, input: ListUsersRequest) -> Result<ListUsersResponse, ApiError> {
    let scope = cx.global_scope();
    let prefix = input.path_prefix.unwrap_or_else(|| "/".to_owned());
    let rows = cx.view().scan::<User>(&scope).filter(|user| user.owner.path.starts_with(&prefix));
    let Page { items, is_truncated, marker } =
        page(rows, |user| user.owner.name.clone(), input.marker.as_deref(), input.max_items)?;
    let users = items.into_iter().map(|user| model::iam::User {
        tags: None,
        permissions_boundary: None,
        ..described(user, &scope.account)
    });
    Ok(ListUsersResponse { users: users.collect(), is_truncated, marker })
}

pub(super) fn delete(_: &Iam, cx: &mut Context, input: DeleteUserRequest) -> Result<wire::Unit, ApiError> {
    let scope = cx.global_scope();
    let tx = cx.tx();
    let user = owner::find::<User>(tx, &scope, &input.user_name)?;
    let keys = AccessKey::user_value(&scope.account, &input.user_name);
    if tx.by_index(&AccessKey::BY_USER, &rows::keys(), &keys).next().is_some() {
        return Err(texts::must_delete_access_keys());
    }
    owner::check_bare(&user.owner)?;
    tx.delete::<User>(&scope, &input.user_name);
    Ok(wire::Unit)
}

/// The user named, or the one who calls.
pub(super) fn name_or_caller(cx: &Context, name: Option<String>) -> Result<String, ApiError> {
    match (name, cx.principal.kind) {
        (Some(name), _) => Ok(name),
        (None, PrincipalKind::User) => {
            Ok(cx.principal.arn.rsplit_once('/').map_or_else(String::new, |(_, name)| name.to_owned()))
        }
        (None, _) => Err(texts::user_name_needed()),
    }
}

fn described(user: &User, account: &AccountId) -> model::iam::User {
    model::iam::User {
        path: user.owner.path.clone(),
        user_name: user.owner.name.clone(),
        user_id: user.owner.id.clone(),
        arn: user.arn(account),
        create_date: user.owner.created,
        password_last_used: None,
        permissions_boundary: owner::boundary(&user.owner),
        tags: tags::shown(&user.owner.tags),
    }
}
