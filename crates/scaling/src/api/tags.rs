//! Tags of scalable targets.

use super::targets::check_tags;
use crate::rows::Target;
use crate::{Scaling, texts};
use gateway::Context;
use model::application_autoscaling::{
    ListTagsForResourceRequest, ListTagsForResourceResponse, TagResourceRequest, TagResourceResponse,
    UntagResourceRequest, UntagResourceResponse,
};
use std::sync::Arc;
use store::View;
use types::{ApiError, Scope};

fn find(view: &View, scope: &Scope, arn: &str) -> Result<Arc<Target>, ApiError> {
    view.scan::<Target>(scope).find(|row| row.arn == arn).cloned().ok_or_else(texts::no_such_resource)
}

pub(super) fn tag(_: &Scaling, cx: &mut Context, input: TagResourceRequest) -> Result<TagResourceResponse, ApiError> {
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let row = find(tx, &scope, &input.resource_arn)?;
    let mut tags = row.tags.clone();
    tags.extend(input.tags);
    let tags = check_tags(tags)?;
    tx.update::<Target>(&scope, &row.resource, |row| row.tags = tags);
    Ok(TagResourceResponse {})
}

pub(super) fn untag(
    _: &Scaling,
    cx: &mut Context,
    input: UntagResourceRequest,
) -> Result<UntagResourceResponse, ApiError> {
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let row = find(tx, &scope, &input.resource_arn)?;
    tx.update::<Target>(&scope, &row.resource, |row| row.tags.retain(|key, _| !input.tag_keys.contains(key)));
    Ok(UntagResourceResponse {})
}

pub(super) fn list(
    _: &Scaling,
    cx: &mut Context,
    input: ListTagsForResourceRequest,
) -> Result<ListTagsForResourceResponse, ApiError> {
    let scope = cx.scope.clone();
    let row = find(cx.view(), &scope, &input.resource_arn)?;
    Ok(ListTagsForResourceResponse { tags: Some(row.tags.clone()) })
}
