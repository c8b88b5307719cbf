//! Secrets, apart from their values.

use super::secret_tags;
use super::secret_value::{self, Given};
use crate::query::find_secret;
use crate::rows::{CURRENT, Deletion, Secret, days};
use crate::{Secrets, texts};
use gateway::Context;
use model::secretsmanager::{
    CreateSecretRequest, CreateSecretResponse, DeleteSecretRequest, DeleteSecretResponse, DescribeSecretRequest,
    DescribeSecretResponse, GetResourcePolicyRequest, GetResourcePolicyResponse, RestoreSecretRequest,
    RestoreSecretResponse, UpdateSecretRequest, UpdateSecretResponse,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::View;
use types::arn::Arn;
use types::id::random_uuid;
use types::{ApiError, Scope, Timestamp};

/// The secret of that id, whether or not it is deleted.
pub(super) fn find(view: &View, scope: &Scope, id: &str, now: Timestamp) -> Result<Arc<Secret>, ApiError> {
    find_secret(view, scope, id, now).ok_or_else(texts::no_such_secret)
}

/// The secret of that id, which must not be marked for deletion.
pub(super) fn find_live(view: &View, scope: &Scope, id: &str, now: Timestamp) -> Result<Arc<Secret>, ApiError> {
    let secret = find(view, scope, id, now)?;
    if secret.deletion.is_some() { Err(texts::marked_for_deletion()) } else { Ok(secret) }
}

pub(super) fn create(
    secrets: &Secrets,
    cx: &mut Context,
    input: CreateSecretRequest,
) -> Result<CreateSecretResponse, ApiError> {
    if input.add_replica_regions.as_ref().is_some_and(|regions| !regions.is_empty()) {
        return Err(ApiError::not_implemented("replication of secrets"));
    }
    if input.type_.is_some() || input.cross_account_primary_arn.is_some() {
        return Err(ApiError::not_implemented("secrets of partners and of other accounts"));
    }
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"-/_+=.@!".contains(&b);
    if !input.name.bytes().all(fine) {
        return Err(texts::invalid_secret_name());
    }
    let given = Given::of(input.secret_string, input.secret_binary)?;
    let token = input.client_request_token.unwrap_or_else(random_uuid);
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    if let Some(present) = tx.get::<Secret>(&scope, &input.name).filter(|present| !present.is_gone(now)) {
        if present.deletion.is_some() {
            return Err(texts::name_is_scheduled_for_deletion());
        }
        // A retry of the call that made it succeeds.
        let same = given.as_ref().is_some_and(|given| given.is(secrets, &present, &token));
        return if same { Ok(created(&present, Some(token))) } else { Err(texts::secret_exists(&input.name)) };
    }
    let mut secret = Secret {
        arn: Arn::new("secretsmanager", &scope, format!("secret:{}-{}", input.name, suffix())).to_string(),
        name: input.name,
        description: input.description,
        kms_key_id: input.kms_key_id,
        created: now,
        changed: now,
        accessed: None,
        deletion: None,
        tags: secret_tags::merge(&BTreeMap::new(), input.tags.unwrap_or_default())?,
        versions: BTreeMap::new(),
    };
    let version = given.map(|given| {
        secret_value::add(secrets, &mut secret, &token, &given, &[CURRENT.to_owned()], now);
        token
    });
    let secret = tx.put(&scope, secret);
    Ok(created(&secret, version))
}

fn created(secret: &Secret, version_id: Option<String>) -> CreateSecretResponse {
    CreateSecretResponse {
        arn: Some(secret.arn.clone()),
        name: Some(secret.name.clone()),
        version_id,
        replication_status: None,
    }
}

/// Six letters and digits, as at the end of every secret's ARN.
fn suffix() -> String {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut bytes = [0; 6];
    getrandom::fill(&mut bytes).expect("the kernel gives random bytes");
    bytes.iter().map(|b| char::from(LETTERS[usize::from(*b) % LETTERS.len()])).collect()
}

pub(super) fn describe(
    _: &Secrets,
    cx: &mut Context,
    input: DescribeSecretRequest,
) -> Result<DescribeSecretResponse, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let secret = find(cx.view(), &scope, &input.secret_id, now)?;
    let stages = staged_versions(&secret);
    Ok(DescribeSecretResponse {
        arn: Some(secret.arn.clone()),
        name: Some(secret.name.clone()),
        description: secret.description.clone(),
        kms_key_id: secret.kms_key_id.clone(),
        last_changed_date: Some(secret.changed),
        last_accessed_date: secret.accessed,
        deleted_date: secret.deletion.map(|deletion| deletion.asked),
        tags: (!secret.tags.is_empty()).then(|| secret_tags::listed(&secret.tags)),
        version_ids_to_stages: (!stages.is_empty()).then_some(stages),
        created_date: Some(secret.created),
        ..Default::default()
    })
}

/// Versions that bear labels, and these.
pub(super) fn staged_versions(secret: &Secret) -> BTreeMap<String, Vec<String>> {
    let staged = secret.versions.iter().filter(|(_, version)| !version.stages.is_empty());
    staged.map(|(id, version)| (id.clone(), version.stages.iter().cloned().collect())).collect()
}

/// Policies cannot be put on secrets yet, so there is none.
pub(super) fn get_resource_policy(
    _: &Secrets,
    cx: &mut Context,
    input: GetResourcePolicyRequest,
) -> Result<GetResourcePolicyResponse, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let secret = find(cx.view(), &scope, &input.secret_id, now)?;
    Ok(GetResourcePolicyResponse {
        arn: Some(secret.arn.clone()),
        name: Some(secret.name.clone()),
        ..Default::default()
    })
}

pub(super) fn update(
    secrets: &Secrets,
    cx: &mut Context,
    input: UpdateSecretRequest,
) -> Result<UpdateSecretResponse, ApiError> {
    if input.type_.is_some() {
        return Err(ApiError::not_implemented("secrets of partners"));
    }
    let given = Given::of(input.secret_string, input.secret_binary)?;
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let mut secret = (*find_live(tx, &scope, &input.secret_id, now)?).clone();
    if let Some(description) = input.description {
        secret.description = Some(description);
    }
    if let Some(key) = input.kms_key_id {
        secret.kms_key_id = Some(key);
    }
    let mut version_id = None;
    if let Some(given) = given {
        let token = input.client_request_token.unwrap_or_else(random_uuid);
        secret_value::check_token(secrets, &secret, &token, &given)?;
        secret_value::add(secrets, &mut secret, &token, &given, &[CURRENT.to_owned()], now);
        version_id = Some(token);
    }
    secret.changed = now;
    let secret = tx.put(&scope, secret);
    Ok(UpdateSecretResponse { arn: Some(secret.arn.clone()), name: Some(secret.name.clone()), version_id })
}

pub(super) fn delete(
    _: &Secrets,
    cx: &mut Context,
    input: DeleteSecretRequest,
) -> Result<DeleteSecretResponse, ApiError> {
    let force = input.force_delete_without_recovery == Some(true);
    if force && input.recovery_window_in_days.is_some() {
        return Err(texts::force_with_window());
    }
    let Ok(window @ 7..=30) = u64::try_from(input.recovery_window_in_days.unwrap_or(30)) else {
        return Err(texts::bad_recovery_window());
    };
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    sweep(tx, &scope, now);
    let secret = find(tx, &scope, &input.secret_id, now)?;
    let answer = |date| DeleteSecretResponse {
        arn: Some(secret.arn.clone()),
        name: Some(secret.name.clone()),
        deletion_date: Some(date),
    };
    if force {
        tx.delete::<Secret>(&scope, &secret.name);
        return Ok(answer(now));
    }
    if secret.deletion.is_some() {
        return Err(texts::already_deleted());
    }
    let due = now.plus(days(window));
    tx.put(&scope, Secret { deletion: Some(Deletion { asked: now, due }), ..(*secret).clone() });
    Ok(answer(due))
}

/// Removes secrets whose recovery window has passed. They are invisible before; this frees their rows.
fn sweep(tx: &mut store::Tx, scope: &Scope, now: Timestamp) {
    let gone: Vec<String> =
        tx.scan::<Secret>(scope).filter(|secret| secret.is_gone(now)).map(|secret| secret.name.clone()).collect();
    for name in gone {
        tx.delete::<Secret>(scope, &name);
    }
}

pub(super) fn restore(
    _: &Secrets,
    cx: &mut Context,
    input: RestoreSecretRequest,
) -> Result<RestoreSecretResponse, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let secret = find(tx, &scope, &input.secret_id, now)?;
    let secret = tx.put(&scope, Secret { deletion: None, ..(*secret).clone() });
    Ok(RestoreSecretResponse { arn: Some(secret.arn.clone()), name: Some(secret.name.clone()) })
}
