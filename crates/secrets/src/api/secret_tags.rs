//! Tags of secrets.

use super::secret::find_live;
use crate::rows::Secret;
use crate::{Secrets, texts};
use gateway::Context;
use model::secretsmanager::{Tag, TagResourceRequest, UntagResourceRequest};
use std::collections::{BTreeMap, BTreeSet};
use types::ApiError;

pub(super) fn merge(present: &BTreeMap<String, String>, given: Vec<Tag>) -> Result<BTreeMap<String, String>, ApiError> {
    let mut tags = present.clone();
    let mut seen = BTreeSet::new();
    for Tag { key, value } in given {
        let key = key.unwrap_or_default();
        if !seen.insert(key.clone()) {
            return Err(texts::duplicate_tag(&key));
        }
        tags.insert(key, value.unwrap_or_default());
    }
    if tags.len() > 50 { Err(texts::too_many_tags()) } else { Ok(tags) }
}

pub(super) fn listed(tags: &BTreeMap<String, String>) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag { key: Some(key.clone()), value: Some(value.clone()) }).collect()
}

pub(super) fn tag(_: &Secrets, cx: &mut Context, input: TagResourceRequest) -> Result<wire::Unit, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let secret = find_live(tx, &scope, &input.secret_id, now)?;
    let tags = merge(&secret.tags, input.tags)?;
    tx.put(&scope, Secret { tags, ..(*secret).clone() });
    Ok(wire::Unit)
}

pub(super) fn untag(_: &Secrets, cx: &mut Context, input: UntagResourceRequest) -> Result<wire::Unit, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let mut secret = (*find_live(tx, &scope, &input.secret_id, now)?).clone();
    secret.tags.retain(|key, _| !input.tag_keys.contains(key));
    tx.put(&scope, secret);
    Ok(wire::Unit)
}
