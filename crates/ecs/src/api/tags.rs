//! Tags of clusters, container instances, services, tasks and task definitions.

use super::shapes;
use crate::rows::{
    ClusterRow, ContainerInstanceRow, DefinitionRow, InstanceStatus, ProviderRow, ServiceRow, ServiceStatus, Tag,
    TaskRow,
};
use crate::{Ecs, names, texts};
use gateway::Context;
use model::ecs::{
    ListTagsForResourceRequest, ListTagsForResourceResponse, TagResourceRequest, TagResourceResponse,
    UntagResourceRequest, UntagResourceResponse,
};
use store::{Tx, View};
use types::arn::Arn;
use types::{ApiError, Scope};

/// A thing that has tags.
enum Tagged {
    Cluster(String),
    Service(String),
    Task(String),
    Definition(String),
    Instance(String),
    Provider(String),
}

fn find(scope: &Scope, text: &str) -> Result<Tagged, ApiError> {
    let invalid = || texts::invalid(texts::INVALID_ARN);
    let arn: Arn = text.parse().map_err(|_| invalid())?;
    if arn.service != "ecs" {
        return Err(invalid());
    }
    names::check_home(scope, &arn)?;
    let parts: Vec<&str> = arn.resource.split('/').collect();
    match parts[..] {
        ["cluster", name] => Ok(Tagged::Cluster(name.to_owned())),
        ["service", cluster, name] => Ok(Tagged::Service(ServiceRow::key(cluster, name))),
        ["task", _, id] => Ok(Tagged::Task(id.to_owned())),
        ["capacity-provider", name] => Ok(Tagged::Provider(name.to_owned())),
        ["container-instance", _, id] => Ok(Tagged::Instance(id.to_owned())),
        ["task-definition", name] => match names::definition(scope, name)? {
            (family, Some(revision)) => Ok(Tagged::Definition(DefinitionRow::key(&family, revision))),
            _ => Err(invalid()),
        },
        _ => Err(invalid()),
    }
}

fn absent() -> ApiError {
    ApiError::new("ResourceNotFoundException", "The specified resource was not found.")
}

fn tags_of(view: &View, scope: &Scope, what: &Tagged) -> Result<Vec<Tag>, ApiError> {
    Ok(match what {
        Tagged::Cluster(id) => {
            let row = view.get::<ClusterRow>(scope, id).filter(|row| row.active);
            row.ok_or_else(texts::cluster_not_found)?.tags.clone()
        }
        Tagged::Service(id) => {
            let row = view.get::<ServiceRow>(scope, id).filter(|row| row.status != ServiceStatus::Inactive);
            row.ok_or_else(absent)?.tags.clone()
        }
        Tagged::Task(id) => view.get::<TaskRow>(scope, id).ok_or_else(absent)?.tags.clone(),
        Tagged::Definition(id) => view.get::<DefinitionRow>(scope, id).ok_or_else(absent)?.tags.clone(),
        Tagged::Provider(id) => view.get::<ProviderRow>(scope, id).ok_or_else(absent)?.tags.clone(),
        Tagged::Instance(id) => {
            let row = view.get::<ContainerInstanceRow>(scope, id).filter(|row| row.status != InstanceStatus::Inactive);
            row.ok_or_else(absent)?.tags.clone()
        }
    })
}

fn put(tx: &mut Tx, scope: &Scope, what: &Tagged, tags: Vec<Tag>) {
    match what {
        Tagged::Cluster(id) => drop(tx.update::<ClusterRow>(scope, id, |row| row.tags = tags)),
        Tagged::Service(id) => drop(tx.update::<ServiceRow>(scope, id, |row| row.tags = tags)),
        Tagged::Task(id) => drop(tx.update::<TaskRow>(scope, id, |row| row.tags = tags)),
        Tagged::Definition(id) => drop(tx.update::<DefinitionRow>(scope, id, |row| row.tags = tags)),
        Tagged::Provider(id) => drop(tx.update::<ProviderRow>(scope, id, |row| row.tags = tags)),
        Tagged::Instance(id) => drop(tx.update::<ContainerInstanceRow>(scope, id, |row| row.tags = tags)),
    }
}

pub(super) fn tag(_: &Ecs, cx: &mut Context, input: TagResourceRequest) -> Result<TagResourceResponse, ApiError> {
    let scope = cx.scope.clone();
    let what = find(&scope, &input.resource_arn)?;
    let given = shapes::tag_rows(&input.tags)?;
    let tx = cx.tx();
    let mut tags = tags_of(tx, &scope, &what)?;
    for tag in given {
        match tags.iter_mut().find(|old| old.key == tag.key) {
            Some(old) => old.value = tag.value,
            None => tags.push(tag),
        }
    }
    if tags.len() > 50 {
        return Err(texts::invalid("The number of tags exceeds the maximum of 50."));
    }
    put(tx, &scope, &what, tags);
    Ok(TagResourceResponse {})
}

pub(super) fn untag(_: &Ecs, cx: &mut Context, input: UntagResourceRequest) -> Result<UntagResourceResponse, ApiError> {
    let scope = cx.scope.clone();
    let what = find(&scope, &input.resource_arn)?;
    let tx = cx.tx();
    let mut tags = tags_of(tx, &scope, &what)?;
    tags.retain(|tag| !input.tag_keys.contains(&tag.key));
    put(tx, &scope, &what, tags);
    Ok(UntagResourceResponse {})
}

pub(super) fn list(
    _: &Ecs,
    cx: &mut Context,
    input: ListTagsForResourceRequest,
) -> Result<ListTagsForResourceResponse, ApiError> {
    let scope = cx.scope.clone();
    let what = find(&scope, &input.resource_arn)?;
    let tags = tags_of(cx.view(), &scope, &what)?;
    Ok(ListTagsForResourceResponse { tags: Some(shapes::tags(&tags)) })
}
