//! What roles and users have in common: names, attached and inline policies, boundaries.

use super::page::{Page, page};
use crate::rows::{self, Entity, ManagedPolicy, Owner, PolicyText};
use crate::{managed, texts};
use gateway::Context;
use model::iam::{AttachedPermissionsBoundary, AttachedPolicy};
use policy::Kind;
use std::sync::Arc;
use store::{Tx, View};
use types::arn::Arn;
use types::{AccountId, ApiError, Scope};

/// The entity of that name. Names are found as they are written.
pub(crate) fn find<E: Entity>(view: &View, scope: &Scope, name: &str) -> Result<Arc<E>, ApiError> {
    view.get::<E>(scope, name).ok_or_else(|| texts::cannot_be_found(E::KIND, name))
}

/// Refuses a name that is taken in whatever case.
pub(crate) fn check_free<E: Entity>(view: &View, scope: &Scope, name: &str) -> Result<(), ApiError> {
    match view.by_index(&E::BY_FOLDED_NAME, scope, &name.to_lowercase()).next() {
        Some(_) => Err(texts::already_exists(E::TITLE, name)),
        None => Ok(()),
    }
}

/// Refuses to delete an entity that still has policies.
pub(crate) fn check_bare(owner: &Owner) -> Result<(), ApiError> {
    if !owner.attached.is_empty() {
        return Err(texts::must_detach_policies());
    }
    if !owner.inline.is_empty() {
        return Err(texts::must_delete_policies());
    }
    Ok(())
}

fn change<E: Entity>(
    tx: &mut Tx,
    scope: &Scope,
    name: &str,
    edit: impl FnOnce(&mut Owner) -> Result<(), ApiError>,
) -> Result<(), ApiError> {
    let row = find::<E>(tx, scope, name)?;
    let mut changed = (*row).clone();
    edit(changed.owner_mut())?;
    if changed != *row {
        tx.put(scope, changed);
    }
    Ok(())
}

/// Whether the ARN is one of a managed policy at all.
fn check_policy_arn(arn: &str) -> Result<(), ApiError> {
    match arn.parse::<Arn>() {
        Ok(parsed) if parsed.service == "iam" && parsed.resource.starts_with("policy/") => Ok(()),
        _ => Err(texts::invalid_arn(arn)),
    }
}

pub(crate) fn policy_exists(view: &View, account: &AccountId, arn: &str) -> bool {
    managed::get(arn).is_some() || view.contains::<ManagedPolicy>(&rows::scope(account), arn)
}

pub(crate) fn check_boundary(view: &View, account: &AccountId, arn: Option<&str>) -> Result<(), ApiError> {
    match arn {
        Some(arn) if !policy_exists(view, account, arn) => Err(texts::boundary_not_found(arn)),
        _ => Ok(()),
    }
}

pub(crate) fn boundary(owner: &Owner) -> Option<AttachedPermissionsBoundary> {
    owner.boundary.as_ref().map(|arn| AttachedPermissionsBoundary {
        permissions_boundary_type: Some(
            model::iam::permissions_boundary_attachment_type::PERMISSIONS_BOUNDARY_POLICY.to_owned(),
        ),
        permissions_boundary_arn: Some(arn.clone()),
    })
}

pub(crate) fn attach<E: Entity>(cx: &mut Context, name: &str, arn: String) -> Result<wire::Unit, ApiError> {
    check_policy_arn(&arn)?;
    let scope = cx.global_scope();
    let tx = cx.tx();
    find::<E>(tx, &scope, name)?;
    if !policy_exists(tx, &scope.account, &arn) {
        return Err(texts::policy_not_attachable(&arn));
    }
    change::<E>(tx, &scope, name, |owner| {
        if owner.attached.contains(&arn) {
            return Ok(());
        }
        let (quota, most) = E::ATTACHED;
        if owner.attached.len() >= most {
            return Err(texts::quota(quota, most));
        }
        owner.attached.push(arn);
        Ok(())
    })?;
    Ok(wire::Unit)
}

pub(crate) fn detach<E: Entity>(cx: &mut Context, name: &str, arn: &str) -> Result<wire::Unit, ApiError> {
    check_policy_arn(arn)?;
    let scope = cx.global_scope();
    change::<E>(cx.tx(), &scope, name, |owner| {
        let at = owner.attached.iter().position(|have| have == arn).ok_or_else(|| texts::policy_not_found(arn))?;
        owner.attached.remove(at);
        Ok(())
    })?;
    Ok(wire::Unit)
}

pub(crate) fn list_attached<E: Entity>(
    cx: &mut Context,
    name: &str,
    path_prefix: Option<&str>,
    marker: Option<&str>,
    max_items: Option<i32>,
) -> Result<Page<AttachedPolicy>, ApiError> {
    let scope = cx.global_scope();
    let row = find::<E>(cx.view(), &scope, name)?;
    let wanted = path_prefix.unwrap_or("/");
    let attached = row.owner().attached.iter().filter_map(|arn| {
        let (_, path) = arn.split_once(":policy")?;
        let (_, name) = path.rsplit_once('/')?;
        path.starts_with(wanted)
            .then(|| AttachedPolicy { policy_name: Some(name.to_owned()), policy_arn: Some(arn.clone()) })
    });
    page(attached, |policy| policy.policy_arn.clone().unwrap_or_default(), marker, max_items)
}

pub(crate) fn put_inline<E: Entity>(
    cx: &mut Context,
    name: &str,
    policy: String,
    text: String,
) -> Result<wire::Unit, ApiError> {
    let scope = cx.global_scope();
    let tx = cx.tx();
    find::<E>(tx, &scope, name)?;
    let text = PolicyText::parse(Kind::Identity, text).map_err(|why| texts::malformed_policy(why.0))?;
    change::<E>(tx, &scope, name, |owner| {
        owner.inline.insert(policy, text);
        // AWS does not count white space.
        if owner.inline.values().map(|policy| weight(policy.text())).sum::<usize>() > E::INLINE_BYTES {
            return Err(texts::inline_too_large(E::KIND, name, E::INLINE_BYTES));
        }
        Ok(())
    })?;
    Ok(wire::Unit)
}

/// How much of a quota a policy takes: its characters without white space.
pub(crate) fn weight(text: &str) -> usize {
    text.chars().filter(|c| !c.is_whitespace()).count()
}

/// The inline policy's text as responses carry it.
pub(crate) fn get_inline<E: Entity>(cx: &mut Context, name: &str, policy: &str) -> Result<String, ApiError> {
    let scope = cx.global_scope();
    let row = find::<E>(cx.view(), &scope, name)?;
    let found = row.owner().inline.get(policy).map(PolicyText::encoded);
    found.ok_or_else(|| texts::cannot_be_found(&format!("{} policy", E::KIND), policy))
}

pub(crate) fn delete_inline<E: Entity>(cx: &mut Context, name: &str, policy: &str) -> Result<wire::Unit, ApiError> {
    let scope = cx.global_scope();
    change::<E>(cx.tx(), &scope, name, |owner| {
        let removed = owner.inline.remove(policy);
        removed.map(drop).ok_or_else(|| texts::cannot_be_found(&format!("{} policy", E::KIND), policy))
    })?;
    Ok(wire::Unit)
}

pub(crate) fn list_inline<E: Entity>(
    cx: &mut Context,
    name: &str,
    marker: Option<&str>,
    max_items: Option<i32>,
) -> Result<Page<String>, ApiError> {
    let scope = cx.global_scope();
    let row = find::<E>(cx.view(), &scope, name)?;
    page(row.owner().inline.keys().cloned(), Clone::clone, marker, max_items)
}
