//! Task definitions read and retired: Describe, List, ListFamilies, Deregister. Registering has a file of its own.

use super::{definition, includes, paging, shapes};
use crate::rows::{DefinitionRow, FamilyRow};
use crate::{Ecs, names, texts};
use gateway::Context;
use model::ecs::{
    DeregisterTaskDefinitionRequest, DeregisterTaskDefinitionResponse, DescribeTaskDefinitionRequest,
    DescribeTaskDefinitionResponse, ListTaskDefinitionFamiliesRequest, ListTaskDefinitionFamiliesResponse,
    ListTaskDefinitionsRequest, ListTaskDefinitionsResponse,
};
use types::ApiError;

pub(super) fn describe(
    _: &Ecs,
    cx: &mut Context,
    input: DescribeTaskDefinitionRequest,
) -> Result<DescribeTaskDefinitionResponse, ApiError> {
    let scope = cx.scope.clone();
    let row = definition(cx.view(), &scope, &input.task_definition)?
        .ok_or_else(|| texts::client(texts::DESCRIBE_DEFINITION))?;
    let tags = includes(input.include.as_ref(), "TAGS").then(|| shapes::tags(&row.tags));
    Ok(DescribeTaskDefinitionResponse { task_definition: Some(row.shape.0.clone()), tags: tags.or(Some(vec![])) })
}

pub(super) fn deregister(
    _: &Ecs,
    cx: &mut Context,
    input: DeregisterTaskDefinitionRequest,
) -> Result<DeregisterTaskDefinitionResponse, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let (family, revision) = names::definition(&scope, &input.task_definition)?;
    let revision = revision.ok_or_else(|| texts::client(texts::REVISION_MISSING))?;
    let tx = cx.tx();
    let row = tx.get::<DefinitionRow>(&scope, &DefinitionRow::key(&family, revision)).ok_or_else(|| {
        texts::client(
            "The specified task definition does not exist. Specify a valid account, family, revision and try again.",
        )
    })?;
    let mut row = DefinitionRow::clone(&row);
    if row.active {
        row.active = false;
        row.shape.status = Some("INACTIVE".to_owned());
        row.shape.deregistered_at = Some(now);
    }
    let row = tx.put(&scope, row);
    Ok(DeregisterTaskDefinitionResponse { task_definition: Some(row.shape.0.clone()) })
}

pub(super) fn list(
    _: &Ecs,
    cx: &mut Context,
    input: ListTaskDefinitionsRequest,
) -> Result<ListTaskDefinitionsResponse, ApiError> {
    let scope = cx.scope.clone();
    let active = input.status.as_deref().unwrap_or("ACTIVE") == "ACTIVE";
    // A "prefix" is the whole family here: that is what the service does.
    let family = input.family_prefix.filter(|family| !family.is_empty());
    let rows = cx.view().scan::<DefinitionRow>(&scope);
    let wanted = rows.filter(|row| row.active == active && family.as_ref().is_none_or(|family| row.family == *family));
    let items = wanted.map(|row| (DefinitionRow::key(&row.family, row.revision), row.arn().to_owned()));
    let (token, most) = (input.next_token.as_deref(), input.max_results);
    let (arns, next_token) = match input.sort.as_deref() {
        Some("DESC") => paging::page_down(items.collect(), token, most, 100)?,
        _ => paging::page(items, token, most, 100)?,
    };
    Ok(ListTaskDefinitionsResponse { task_definition_arns: Some(arns), next_token })
}

pub(super) fn list_families(
    _: &Ecs,
    cx: &mut Context,
    input: ListTaskDefinitionFamiliesRequest,
) -> Result<ListTaskDefinitionFamiliesResponse, ApiError> {
    let scope = cx.scope.clone();
    let status = input.status.as_deref().unwrap_or("ACTIVE");
    let prefix = input.family_prefix.unwrap_or_default();
    let view = cx.view();
    let is_active = |family: &FamilyRow| {
        view.scan_from::<DefinitionRow>(&scope, &DefinitionRow::key(&family.family, 0))
            .take_while(|row| row.family == family.family)
            .any(|row| row.active)
    };
    let families = view.scan::<FamilyRow>(&scope).filter(|row| row.family.starts_with(&prefix));
    let wanted = families.filter(|row| match status {
        "ALL" => true,
        "INACTIVE" => !is_active(row),
        _ => is_active(row),
    });
    let items = wanted.map(|row| (row.family.clone(), row.family.clone()));
    let (families, next_token) = paging::page(items, input.next_token.as_deref(), input.max_results, 100)?;
    Ok(ListTaskDefinitionFamiliesResponse { families: Some(families), next_token })
}
