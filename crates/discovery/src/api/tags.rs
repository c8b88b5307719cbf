//! Tags of namespaces and services.

use crate::rows::{Namespace, Service, Tags};
use crate::{Discovery, query, texts};
use gateway::Context;
use model::servicediscovery::{
    ListTagsForResourceRequest, ListTagsForResourceResponse, Tag, TagResourceRequest, TagResourceResponse,
    UntagResourceRequest, UntagResourceResponse,
};
use std::sync::Arc;
use store::View;
use types::{ApiError, Scope};

/// As many as a resource has. Source: Cloud Map developer guide, "Tagging".
const MOST: usize = 50;

/// A thing that has tags.
enum Tagged {
    Namespace(Arc<Namespace>),
    Service(Arc<Service>),
}

impl Tagged {
    fn tags(&self) -> &Tags {
        match self {
            Self::Namespace(row) => &row.tags,
            Self::Service(row) => &row.tags,
        }
    }
}

fn find(view: &View, scope: &Scope, arn: &str) -> Result<Tagged, ApiError> {
    let found = if arn.starts_with("arn:") {
        let namespace = query::namespace(view, scope, arn).map(Tagged::Namespace);
        namespace.or_else(|| query::service(view, scope, arn).map(Tagged::Service))
    } else {
        None
    };
    found.ok_or_else(texts::resource_not_found)
}

/// The tags present with those given added.
pub(super) fn merged(present: &Tags, given: Vec<Tag>) -> Result<Tags, ApiError> {
    let mut tags = present.clone();
    for tag in given {
        if tag.key.to_ascii_lowercase().starts_with("aws:") {
            return Err(texts::invalid("Tag keys must not start with aws:"));
        }
        tags.insert(tag.key, tag.value);
    }
    if tags.len() > MOST { Err(texts::too_many_tags()) } else { Ok(tags) }
}

fn write(cx: &mut Context, arn: &str, change: impl FnOnce(&Tags) -> Result<Tags, ApiError>) -> Result<(), ApiError> {
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let what = find(tx, &scope, arn)?;
    let tags = change(what.tags())?;
    match what {
        Tagged::Namespace(row) => drop(tx.put(&scope, Namespace { tags, ..Namespace::clone(&row) })),
        Tagged::Service(row) => drop(tx.put(&scope, Service { tags, ..Service::clone(&row) })),
    }
    Ok(())
}

pub(super) fn tag(_: &Discovery, cx: &mut Context, input: TagResourceRequest) -> Result<TagResourceResponse, ApiError> {
    write(cx, &input.resource_arn, |present| merged(present, input.tags))?;
    Ok(TagResourceResponse {})
}

pub(super) fn untag(
    _: &Discovery,
    cx: &mut Context,
    input: UntagResourceRequest,
) -> Result<UntagResourceResponse, ApiError> {
    write(cx, &input.resource_arn, |present| {
        let mut tags = present.clone();
        tags.retain(|key, _| !input.tag_keys.contains(key));
        Ok(tags)
    })?;
    Ok(UntagResourceResponse {})
}

pub(super) fn list(
    _: &Discovery,
    cx: &mut Context,
    input: ListTagsForResourceRequest,
) -> Result<ListTagsForResourceResponse, ApiError> {
    let scope = cx.scope.clone();
    let what = find(cx.view(), &scope, &input.resource_arn)?;
    let tags = what.tags().iter().map(|(key, value)| Tag { key: key.clone(), value: value.clone() });
    Ok(ListTagsForResourceResponse { tags: Some(tags.collect()) })
}
