//! Values of secrets: versions, and the staging labels that say which one is meant.

use super::page::{limit, page};
use super::secret::{find, find_live};
use crate::query::choose;
use crate::rows::{CURRENT, Secret, SecretVersion, day};
use crate::{Secrets, texts};
use gateway::Context;
use model::secretsmanager::{
    GetSecretValueRequest, GetSecretValueResponse, ListSecretVersionIdsRequest, ListSecretVersionIdsResponse,
    PutSecretValueRequest, PutSecretValueResponse, SecretVersionsListEntry,
};
use std::collections::BTreeSet;
use types::id::random_uuid;
use types::{ApiError, Timestamp};

/// Deprecated versions are kept up to this many versions in all.
const MOST_VERSIONS: usize = 100;

/// A value as a request gives it.
pub(super) struct Given {
    bytes: Vec<u8>,
    binary: bool,
}

impl Given {
    /// The value of a request, if it has one.
    pub(super) fn of(string: Option<String>, binary: Option<Vec<u8>>) -> Result<Option<Self>, ApiError> {
        match (string, binary) {
            (Some(_), Some(_)) => Err(texts::two_values()),
            (Some(text), None) => Ok(Some(Self { bytes: text.into_bytes(), binary: false })),
            (None, Some(bytes)) => Ok(Some(Self { bytes, binary: true })),
            (None, None) => Ok(None),
        }
    }

    /// Whether that version of the secret has this value.
    pub(super) fn is(&self, secrets: &Secrets, secret: &Secret, version: &str) -> bool {
        secret.versions.get(version).is_some_and(|present| present.binary == self.binary)
            && secret.open(&secrets.vault, version).is_some_and(|plain| plain.bytes() == self.bytes)
    }
}

/// A token names a version: it may be used again for the same value only.
pub(super) fn check_token(secrets: &Secrets, secret: &Secret, token: &str, given: &Given) -> Result<(), ApiError> {
    if secret.versions.contains_key(token) && !given.is(secrets, secret, token) {
        return Err(texts::token_in_use(token, &secret.arn));
    }
    Ok(())
}

/// Adds a version (unless it is there already) and puts the labels on it.
pub(super) fn add(secrets: &Secrets, secret: &mut Secret, id: &str, given: &Given, stages: &[String], now: Timestamp) {
    if secret.versions.contains_key(id) {
        // A retry: the labels are where the first call put them, or have moved on since.
        return;
    }
    let value = secrets.vault.seal(&Secret::context(&secret.arn, id), &given.bytes);
    let version = SecretVersion { created: now, accessed: None, stages: BTreeSet::new(), binary: given.binary, value };
    secret.versions.insert(id.to_owned(), version);
    for stage in stages {
        secret.stage(stage, id);
    }
    if secret.staged(CURRENT).is_none() {
        // The first version is current whatever else it is.
        secret.stage(CURRENT, id);
    }
    secret.changed = now;
    while secret.versions.len() > MOST_VERSIONS {
        let deprecated = secret.versions.iter().filter(|(_, version)| version.stages.is_empty());
        let Some(oldest) = deprecated.min_by_key(|(_, version)| version.created).map(|(id, _)| id.clone()) else {
            return;
        };
        secret.versions.remove(&oldest);
    }
}

pub(super) fn put(
    secrets: &Secrets,
    cx: &mut Context,
    input: PutSecretValueRequest,
) -> Result<PutSecretValueResponse, ApiError> {
    let given = Given::of(input.secret_string, input.secret_binary)?.ok_or_else(texts::no_value)?;
    let token = input.client_request_token.unwrap_or_else(random_uuid);
    let stages = input.version_stages.unwrap_or_else(|| vec![CURRENT.to_owned()]);
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let mut secret = (*find_live(tx, &scope, &input.secret_id, now)?).clone();
    check_token(secrets, &secret, &token, &given)?;
    add(secrets, &mut secret, &token, &given, &stages, now);
    let secret = tx.put(&scope, secret);
    let version_stages = secret.versions.get(&token).map(|version| version.stages.iter().cloned().collect());
    Ok(PutSecretValueResponse {
        arn: Some(secret.arn.clone()),
        name: Some(secret.name.clone()),
        version_id: Some(token),
        version_stages,
    })
}

pub(super) fn get(
    secrets: &Secrets,
    cx: &mut Context,
    input: GetSecretValueRequest,
) -> Result<GetSecretValueResponse, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let secret = find_live(cx.view(), &scope, &input.secret_id, now)?;
    let id = choose(&secret, input.version_id.as_deref(), input.version_stage.as_deref())?;
    let plain = secret.open(&secrets.vault, id).ok_or_else(ApiError::internal)?;
    let version = secret.versions.get(id).ok_or_else(ApiError::internal)?;
    let today = Some(day(now));
    if secret.accessed != today || version.accessed != today {
        // At most one write a day and version.
        cx.tx().update::<Secret>(&scope, &secret.name, |row| {
            row.accessed = today;
            if let Some(version) = row.versions.get_mut(id) {
                version.accessed = today;
            }
        });
    }
    let (text, bytes) =
        if version.binary { (None, Some(plain.into_bytes())) } else { (plain.text().map(str::to_owned), None) };
    Ok(GetSecretValueResponse {
        arn: Some(secret.arn.clone()),
        name: Some(secret.name.clone()),
        version_id: Some(id.to_owned()),
        secret_binary: bytes,
        secret_string: text,
        version_stages: Some(version.stages.iter().cloned().collect()),
        created_date: Some(version.created),
    })
}

pub(super) fn list_versions(
    _: &Secrets,
    cx: &mut Context,
    input: ListSecretVersionIdsRequest,
) -> Result<ListSecretVersionIdsResponse, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let secret = find(cx.view(), &scope, &input.secret_id, now)?;
    let all = input.include_deprecated == Some(true);
    let mut shown: Vec<_> = secret.versions.iter().filter(|(_, version)| all || !version.stages.is_empty()).collect();
    shown.sort_by_key(|(_, version)| std::cmp::Reverse(version.created));
    let size = limit(input.max_results, 100, 100);
    let (shown, next_token) = page(shown, input.next_token.as_deref(), size).ok_or_else(texts::bad_next_token)?;
    let versions = shown.into_iter().map(|(id, version)| SecretVersionsListEntry {
        version_id: Some(id.clone()),
        version_stages: (!version.stages.is_empty()).then(|| version.stages.iter().cloned().collect()),
        last_accessed_date: version.accessed,
        created_date: Some(version.created),
        kms_key_ids: Some(vec![secret.kms_key_id.clone().unwrap_or_else(|| "DefaultEncryptionKey".to_owned())]),
    });
    Ok(ListSecretVersionIdsResponse {
        versions: Some(versions.collect()),
        next_token,
        arn: Some(secret.arn.clone()),
        name: Some(secret.name.clone()),
    })
}
