//! The list of secrets, with its filters and orders.

use super::page::{limit, page};
use super::{secret, secret_tags};
use crate::rows::Secret;
use crate::{Secrets, texts};
use gateway::Context;
use model::secretsmanager::{Filter, ListSecretsRequest, ListSecretsResponse, SecretListEntry};
use std::sync::Arc;
use types::ApiError;

pub(super) fn list(_: &Secrets, cx: &mut Context, input: ListSecretsRequest) -> Result<ListSecretsResponse, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let filters = input.filters.unwrap_or_default();
    let deleted_too = input.include_planned_deletion == Some(true);
    let mut found: Vec<Arc<Secret>> = cx
        .view()
        .scan::<Secret>(&scope)
        .filter(|secret| !secret.is_gone(now) && (deleted_too || secret.deletion.is_none()))
        .filter(|secret| filters.iter().all(|filter| fits(secret, filter)))
        .cloned()
        .collect();
    // The store's order is that of names.
    match input.sort_by.as_deref() {
        Some("name") => {}
        Some("last-changed-date") => found.sort_by_key(|secret| secret.changed),
        Some("last-accessed-date") => found.sort_by_key(|secret| secret.accessed),
        _ => found.sort_by_key(|secret| secret.created),
    }
    if input.sort_order.as_deref() == Some("desc") {
        found.reverse();
    }
    let size = limit(input.max_results, 100, 100);
    let (found, next_token) = page(found, input.next_token.as_deref(), size).ok_or_else(texts::bad_next_token)?;
    Ok(ListSecretsResponse { secret_list: Some(found.iter().map(|secret| entry(secret)).collect()), next_token })
}

fn entry(row: &Secret) -> SecretListEntry {
    let stages = secret::staged_versions(row);
    SecretListEntry {
        arn: Some(row.arn.clone()),
        name: Some(row.name.clone()),
        description: row.description.clone(),
        kms_key_id: row.kms_key_id.clone(),
        last_changed_date: Some(row.changed),
        last_accessed_date: row.accessed,
        deleted_date: row.deletion.map(|deletion| deletion.asked),
        tags: (!row.tags.is_empty()).then(|| secret_tags::listed(&row.tags)),
        secret_versions_to_stages: (!stages.is_empty()).then_some(stages),
        created_date: Some(row.created),
        ..Default::default()
    }
}

/// Whether a secret passes a filter: one of its values must match, where `!` turns a value around. Names and tags match
/// by prefix with regard to case, descriptions by the prefix of a word without.
fn fits(secret: &Secret, filter: &Filter) -> bool {
    let values = filter.values.as_deref().unwrap_or_default();
    values.iter().any(|value| match value.strip_prefix('!') {
        Some(value) => !fits_value(secret, filter.key.as_deref(), value),
        None => fits_value(secret, filter.key.as_deref(), value),
    })
}

fn fits_value(secret: &Secret, key: Option<&str>, value: &str) -> bool {
    let description = || {
        let text = secret.description.as_deref().unwrap_or_default().to_lowercase();
        text.split_whitespace().any(|word| word.starts_with(&value.to_lowercase()))
    };
    let tag_key = || secret.tags.keys().any(|key| key.starts_with(value));
    let tag_value = || secret.tags.values().any(|tag| tag.starts_with(value));
    match key {
        Some("name") => secret.name.starts_with(value),
        Some("description") => description(),
        Some("tag-key") => tag_key(),
        Some("tag-value") => tag_value(),
        Some("all") => {
            let folded = value.to_lowercase();
            secret.name.to_lowercase().contains(&folded) || description() || tag_key() || tag_value()
        }
        // No secret is a replica, and none belongs to a service.
        _ => false,
    }
}
