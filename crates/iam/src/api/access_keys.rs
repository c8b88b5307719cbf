//! Users' access keys. A secret is shown once, when its key is made, and kept sealed.

use super::owner;
use super::page::{Page, page};
use super::users::name_or_caller;
use crate::rows::{AccessKey, User};
use crate::{Iam, ids, rows, texts};
use gateway::Context;
use model::iam::{
    AccessKeyMetadata, CreateAccessKeyRequest, CreateAccessKeyResponse, DeleteAccessKeyRequest, ListAccessKeysRequest,
    ListAccessKeysResponse, status_type,
};
use std::sync::Arc;
use types::ApiError;

const PER_USER: usize = 2;

pub(super) fn create(
    iam: &Iam,
    cx: &mut Context,
    input: CreateAccessKeyRequest,
) -> Result<CreateAccessKeyResponse, ApiError> {
    let name = name_or_caller(cx, input.user_name)?;
    let (scope, now) = (cx.global_scope(), cx.now);
    let tx = cx.tx();
    owner::find::<User>(tx, &scope, &name)?;
    let owned = AccessKey::user_value(&scope.account, &name);
    if tx.by_index(&AccessKey::BY_USER, &rows::keys(), &owned).count() >= PER_USER {
        return Err(texts::quota("AccessKeysPerUser", PER_USER));
    }
    let (id, secret) = (ids::access_key("AKIA"), ids::secret());
    let row = AccessKey {
        id: id.clone(),
        account: scope.account,
        user: name.clone(),
        active: true,
        created: now,
        secret: iam.vault.seal(&AccessKey::context(&id), secret.as_bytes()),
    };
    tx.put(&rows::keys(), row);
    let access_key = model::iam::AccessKey {
        user_name: name,
        access_key_id: id,
        status: status_type::ACTIVE.to_owned(),
        secret_access_key: secret,
        create_date: Some(now),
    };
    Ok(CreateAccessKeyResponse { access_key })
}

pub(super) fn list(
    _: &Iam,
    cx: &mut Context,
    input: ListAccessKeysRequest,
) -> Result<ListAccessKeysResponse, ApiError> {
    let name = name_or_caller(cx, input.user_name)?;
    let scope = cx.global_scope();
    let view = cx.view();
    owner::find::<User>(view, &scope, &name)?;
    let owned = AccessKey::user_value(&scope.account, &name);
    let keys: Vec<Arc<AccessKey>> = view.by_index(&AccessKey::BY_USER, &rows::keys(), &owned).cloned().collect();
    let Page { items, is_truncated, marker } =
        page(keys, |key| key.id.clone(), input.marker.as_deref(), input.max_items)?;
    let status = |active| if active { status_type::ACTIVE } else { status_type::INACTIVE };
    let access_key_metadata = items.into_iter().map(|key| AccessKeyMetadata {
        user_name: Some(key.user.clone()),
        access_key_id: Some(key.id.clone()),
        status: Some(status(key.active).to_owned()),
        create_date: Some(key.created),
    });
    Ok(ListAccessKeysResponse { access_key_metadata: access_key_metadata.collect(), is_truncated, marker })
}

pub(super) fn delete(_: &Iam, cx: &mut Context, input: DeleteAccessKeyRequest) -> Result<wire::Unit, ApiError> {
    let name = name_or_caller(cx, input.user_name)?;
    let scope = cx.global_scope();
    let tx = cx.tx();
    owner::find::<User>(tx, &scope, &name)?;
    let key = tx.get::<AccessKey>(&rows::keys(), &input.access_key_id);
    if key.is_none_or(|key| key.account != scope.account || key.user != name) {
        return Err(texts::access_key_cannot_be_found(&input.access_key_id));
    }
    tx.delete::<AccessKey>(&rows::keys(), &input.access_key_id);
    Ok(wire::Unit)
}
