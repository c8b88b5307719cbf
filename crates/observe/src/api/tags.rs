//! Tags of log groups.

use super::groups::name_of;
use crate::rows::LogGroup;
use crate::{Observe, texts};
use gateway::Context;
use model::logs::{ListTagsForResourceRequest, ListTagsForResourceResponse, TagResourceRequest, UntagResourceRequest};
use types::ApiError;

/// The name of the group whose ARN it is.
fn group_name(arn: &str) -> Result<&str, ApiError> {
    if arn.contains(":log-group:") { Ok(name_of(arn)) } else { Err(texts::no_such_resource()) }
}

pub(super) fn tag(_: &Observe, cx: &mut Context, input: TagResourceRequest) -> Result<wire::Unit, ApiError> {
    let scope = cx.scope.clone();
    let name = group_name(&input.resource_arn)?;
    let tx = cx.tx();
    let group = tx.get::<LogGroup>(&scope, name).ok_or_else(texts::no_such_resource)?;
    let mut tags = group.tags.clone();
    tags.extend(input.tags);
    if tags.len() > 50 {
        return Err(texts::too_many_tags());
    }
    tx.put(&scope, LogGroup { tags, ..(*group).clone() });
    Ok(wire::Unit)
}

pub(super) fn untag(_: &Observe, cx: &mut Context, input: UntagResourceRequest) -> Result<wire::Unit, ApiError> {
    let scope = cx.scope.clone();
    let name = group_name(&input.resource_arn)?;
    let changed = cx.tx().update::<LogGroup>(&scope, name, |group| {
        group.tags.retain(|key, _| !input.tag_keys.contains(key));
    });
    changed.map(|_| wire::Unit).ok_or_else(texts::no_such_resource)
}

pub(super) fn list(
    _: &Observe,
    cx: &mut Context,
    input: ListTagsForResourceRequest,
) -> Result<ListTagsForResourceResponse, ApiError> {
    let scope = cx.scope.clone();
    let group = cx.view().get::<LogGroup>(&scope, group_name(&input.resource_arn)?);
    let tags = group.ok_or_else(texts::no_such_resource)?.tags.clone();
    Ok(ListTagsForResourceResponse { tags: Some(tags) })
}
