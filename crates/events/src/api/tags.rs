//! Tags of rules.

use crate::rows::Rule;
use crate::{Events, texts};
use gateway::Context;
use model::events::{
    ListTagsForResourceRequest, ListTagsForResourceResponse, Tag, TagResourceRequest, TagResourceResponse,
    UntagResourceRequest, UntagResourceResponse,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::View;
use types::arn::Arn;
use types::{ApiError, Scope};

/// As many as a rule has. Source: EventBridge user guide, "Tagging".
const MOST: usize = 50;

pub(super) fn merged(
    present: &BTreeMap<String, String>,
    given: Vec<Tag>,
) -> Result<BTreeMap<String, String>, ApiError> {
    let mut tags = present.clone();
    tags.extend(given.into_iter().map(|tag| (tag.key, tag.value)));
    if tags.len() > MOST { Err(texts::limit_exceeded()) } else { Ok(tags) }
}

fn find(view: &View, scope: &Scope, arn: &str) -> Result<Arc<Rule>, ApiError> {
    let parsed: Option<Arn> = arn.parse().ok();
    let name = parsed.filter(|arn| arn.service == "events").and_then(|arn| {
        let name = arn.resource.strip_prefix("rule/")?;
        Some(name.strip_prefix("default/").unwrap_or(name).to_owned())
    });
    name.and_then(|name| view.get::<Rule>(scope, &name)).ok_or_else(|| texts::resource_not_found(arn))
}

pub(super) fn tag(_: &Events, cx: &mut Context, input: TagResourceRequest) -> Result<TagResourceResponse, ApiError> {
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let row = find(tx, &scope, &input.resource_arn)?;
    let tags = merged(&row.tags, input.tags)?;
    tx.put(&scope, Rule { tags, ..Rule::clone(&row) });
    Ok(TagResourceResponse {})
}

pub(super) fn untag(
    _: &Events,
    cx: &mut Context,
    input: UntagResourceRequest,
) -> Result<UntagResourceResponse, ApiError> {
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let mut row = Rule::clone(&*find(tx, &scope, &input.resource_arn)?);
    row.tags.retain(|key, _| !input.tag_keys.contains(key));
    tx.put(&scope, row);
    Ok(UntagResourceResponse {})
}

pub(super) fn list(
    _: &Events,
    cx: &mut Context,
    input: ListTagsForResourceRequest,
) -> Result<ListTagsForResourceResponse, ApiError> {
    let scope = cx.scope.clone();
    // The bus itself has none.
    let tags = if input.resource_arn == super::bus_arn(&scope) {
        vec![]
    } else {
        let row = find(cx.view(), &scope, &input.resource_arn)?;
        row.tags.iter().map(|(key, value)| Tag { key: key.clone(), value: value.clone() }).collect()
    };
    Ok(ListTagsForResourceResponse { tags: Some(tags) })
}
