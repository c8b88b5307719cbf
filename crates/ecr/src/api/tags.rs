//! The tags of repositories (the resource's, not the images').

use super::{change, repository};
use crate::service::Ecr;
use crate::texts;
use gateway::Context;
use model::ecr::{
    ListTagsForResourceRequest, ListTagsForResourceResponse, Tag, TagResourceRequest, TagResourceResponse,
    UntagResourceRequest, UntagResourceResponse,
};
use std::collections::BTreeMap;
use types::ApiError;
use types::arn::Arn;

const MAX_TAGS: usize = 50;

pub(super) fn tag_resource(
    _: &Ecr,
    cx: &mut Context,
    input: TagResourceRequest,
) -> Result<TagResourceResponse, ApiError> {
    let (registry, name) = named(cx, &input.resource_arn)?;
    let new = checked(input.tags)?;
    let row = change(cx, Some(&registry), &name, |row| row.tags.extend(new))?;
    if row.tags.len() > MAX_TAGS {
        return Err(too_many());
    }
    Ok(TagResourceResponse::default())
}

pub(super) fn untag_resource(
    _: &Ecr,
    cx: &mut Context,
    input: UntagResourceRequest,
) -> Result<UntagResourceResponse, ApiError> {
    let (registry, name) = named(cx, &input.resource_arn)?;
    change(cx, Some(&registry), &name, |row| row.tags.retain(|key, _| !input.tag_keys.contains(key)))?;
    Ok(UntagResourceResponse::default())
}

pub(super) fn list_tags_for_resource(
    _: &Ecr,
    cx: &mut Context,
    input: ListTagsForResourceRequest,
) -> Result<ListTagsForResourceResponse, ApiError> {
    let (registry, name) = named(cx, &input.resource_arn)?;
    let scope = cx.scope.clone();
    let row = repository(cx.view(), &scope, Some(&registry), &name)?;
    let tags = row.tags.iter().map(|(key, value)| Tag { key: key.clone(), value: value.clone() }).collect();
    Ok(ListTagsForResourceResponse { tags: Some(tags) })
}

/// The tags of a request, if they are few enough and well-formed.
pub(super) fn checked(tags: Vec<Tag>) -> Result<BTreeMap<String, String>, ApiError> {
    if tags.len() > MAX_TAGS {
        return Err(too_many());
    }
    let invalid = |why: &str| ApiError::new("InvalidTagParameterException", texts::invalid_parameter_text("tags", why));
    let mut checked = BTreeMap::new();
    for Tag { key, value } in tags {
        if key.is_empty() || key.chars().count() > 128 {
            return Err(invalid("tag keys must have between 1 and 128 characters"));
        }
        if value.chars().count() > 256 {
            return Err(invalid("tag values must have at most 256 characters"));
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(invalid("tag keys must not begin with aws:"));
        }
        if checked.insert(key, value).is_some() {
            return Err(invalid("tag keys must be unique"));
        }
    }
    Ok(checked)
}

fn too_many() -> ApiError {
    ApiError::new(
        "TooManyTagsException",
        "The list of tags on the repository is over the limit. The maximum number of tags that can be applied to a repository is 50.",
    )
}

/// The registry and the name of the repository that has the ARN.
fn named(cx: &Context, text: &str) -> Result<(String, String), ApiError> {
    let arn = text.parse::<Arn>().ok().filter(|arn| arn.service == "ecr" && arn.region == cx.scope.region.as_str());
    let name = arn.as_ref().and_then(|arn| arn.resource.strip_prefix("repository/"));
    match (&arn, name) {
        (Some(arn), Some(name)) => Ok((arn.account.clone(), name.to_owned())),
        _ => Err(texts::invalid_parameter("resourceArn", "Invalid ARN")),
    }
}
