//! Tags of certificates.

use super::find;
use crate::rows::Certificate;
use crate::{Acm, texts};
use gateway::Context;
use model::acm::{
    AddTagsToCertificateRequest, ListTagsForCertificateRequest, ListTagsForCertificateResponse,
    RemoveTagsFromCertificateRequest, Tag,
};
use std::collections::BTreeMap;
use types::ApiError;

pub(super) fn merge(present: &BTreeMap<String, String>, given: Vec<Tag>) -> Result<BTreeMap<String, String>, ApiError> {
    let mut tags = present.clone();
    tags.extend(given.into_iter().map(|tag| (tag.key, tag.value.unwrap_or_default())));
    if tags.len() > 50 { Err(texts::too_many_tags()) } else { Ok(tags) }
}

pub(super) fn add(_: &Acm, cx: &mut Context, input: AddTagsToCertificateRequest) -> Result<wire::Unit, ApiError> {
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let row = find(tx, &scope, &input.certificate_arn)?;
    let tags = merge(&row.tags, input.tags)?;
    tx.put(&scope, Certificate { tags, ..Certificate::clone(&row) });
    Ok(wire::Unit)
}

pub(super) fn remove(
    _: &Acm,
    cx: &mut Context,
    input: RemoveTagsFromCertificateRequest,
) -> Result<wire::Unit, ApiError> {
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let mut row = Certificate::clone(&*find(tx, &scope, &input.certificate_arn)?);
    for tag in input.tags {
        // A value that is given must be the tag's.
        if row.tags.get(&tag.key).is_some_and(|value| tag.value.is_none_or(|wanted| wanted == *value)) {
            row.tags.remove(&tag.key);
        }
    }
    tx.put(&scope, row);
    Ok(wire::Unit)
}

pub(super) fn list(
    _: &Acm,
    cx: &mut Context,
    input: ListTagsForCertificateRequest,
) -> Result<ListTagsForCertificateResponse, ApiError> {
    let scope = cx.scope.clone();
    let row = find(cx.view(), &scope, &input.certificate_arn)?;
    let tags = row.tags.iter().map(|(key, value)| Tag { key: key.clone(), value: Some(value.clone()) });
    Ok(ListTagsForCertificateResponse { tags: Some(tags.collect()) })
}
