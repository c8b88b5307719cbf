//! Tags of parameters, which are the only taggable thing of Systems Manager that is here.

use crate::rows::Parameter;
use crate::{Secrets, texts};
use gateway::Context;
use model::ssm::{
    AddTagsToResourceRequest, AddTagsToResourceResult, ListTagsForResourceRequest, ListTagsForResourceResult,
    RemoveTagsFromResourceRequest, RemoveTagsFromResourceResult, Tag,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::View;
use types::{ApiError, Scope};

pub(super) fn merge(present: &BTreeMap<String, String>, given: Vec<Tag>) -> Result<BTreeMap<String, String>, ApiError> {
    let mut tags = present.clone();
    tags.extend(given.into_iter().map(|tag| (tag.key, tag.value)));
    if tags.len() > 50 { Err(texts::too_many_parameter_tags()) } else { Ok(tags) }
}

fn find(view: &View, scope: &Scope, kind: &str, id: &str) -> Result<Arc<Parameter>, ApiError> {
    match kind {
        "Parameter" => view.get::<Parameter>(scope, id).ok_or_else(texts::bad_resource_id),
        _ => Err(texts::bad_resource_type()),
    }
}

pub(super) fn add(
    _: &Secrets,
    cx: &mut Context,
    input: AddTagsToResourceRequest,
) -> Result<AddTagsToResourceResult, ApiError> {
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let parameter = find(tx, &scope, &input.resource_type, &input.resource_id)?;
    let tags = merge(&parameter.tags, input.tags)?;
    tx.put(&scope, Parameter { tags, ..(*parameter).clone() });
    Ok(AddTagsToResourceResult::default())
}

pub(super) fn remove(
    _: &Secrets,
    cx: &mut Context,
    input: RemoveTagsFromResourceRequest,
) -> Result<RemoveTagsFromResourceResult, ApiError> {
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let mut parameter = (*find(tx, &scope, &input.resource_type, &input.resource_id)?).clone();
    parameter.tags.retain(|key, _| !input.tag_keys.contains(key));
    tx.put(&scope, parameter);
    Ok(RemoveTagsFromResourceResult::default())
}

pub(super) fn list(
    _: &Secrets,
    cx: &mut Context,
    input: ListTagsForResourceRequest,
) -> Result<ListTagsForResourceResult, ApiError> {
    let scope = cx.scope.clone();
    let parameter = find(cx.view(), &scope, &input.resource_type, &input.resource_id)?;
    let tags = parameter.tags.iter().map(|(key, value)| Tag { key: key.clone(), value: value.clone() });
    Ok(ListTagsForResourceResult { tag_list: Some(tags.collect()) })
}
