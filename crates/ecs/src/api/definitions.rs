//! Task definitions read and retired: Describe, List, ListFamilies, Deregister, Delete. Registering has a file of its own.

use super::{definition, includes, paging, shapes};
use crate::rows::{DefinitionRow, FamilyRow};
use crate::{Ecs, names, texts};
use gateway::Context;
use model::ecs::{
    DeleteTaskDefinitionsRequest, DeleteTaskDefinitionsResponse, DeregisterTaskDefinitionRequest,
    DeregisterTaskDefinitionResponse, DescribeTaskDefinitionRequest, DescribeTaskDefinitionResponse, Failure,
    ListTaskDefinitionFamiliesRequest, ListTaskDefinitionFamiliesResponse, ListTaskDefinitionsRequest,
    ListTaskDefinitionsResponse,
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
    let row = tx
        .get::<DefinitionRow>(&scope, &DefinitionRow::key(&family, revision))
        .ok_or_else(|| texts::client(texts::DEFINITION_ABSENT))?;
    let mut row = DefinitionRow::clone(&row);
    if row.active {
        row.active = false;
        row.shape.status = Some("INACTIVE".to_owned());
        row.shape.deregistered_at = Some(now);
    }
    let row = tx.put(&scope, row);
    Ok(DeregisterTaskDefinitionResponse { task_definition: Some(row.shape.0.clone()) })
}

pub(super) fn delete(
    _: &Ecs,
    cx: &mut Context,
    input: DeleteTaskDefinitionsRequest,
) -> Result<DeleteTaskDefinitionsResponse, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    if input.task_definitions.is_empty() {
        return Err(texts::invalid(texts::DEFINITIONS_EMPTY));
    }
    if input.task_definitions.len() > 10 {
        return Err(texts::invalid(texts::DEFINITIONS_TOO_MANY));
    }
    let tx = cx.tx();
    let (mut deleted, mut failures) = (Vec::new(), Vec::new());
    for reference in &input.task_definitions {
        let (family, revision) = names::definition(&scope, reference)?;
        let revision = revision.ok_or_else(|| texts::client(texts::REVISION_MISSING))?;
        let mut fail = |reason: &str| {
            let arn = Some(names::definition_arn(&scope, &family, revision));
            failures.push(Failure { arn, reason: Some(reason.to_owned()), detail: None });
        };
        let Some(row) = tx.get::<DefinitionRow>(&scope, &DefinitionRow::key(&family, revision)) else {
            fail(texts::DEFINITION_ABSENT);
            continue;
        };
        if row.active {
            fail(texts::DEFINITION_STILL_ACTIVE);
            continue;
        }
        let mut row = DefinitionRow::clone(&row);
        let since = *row.delete_requested_at.get_or_insert(now);
        row.shape.status = Some(row.status().to_owned());
        row.shape.delete_requested_at = Some(since);
        deleted.push(tx.put(&scope, row).shape.0.clone());
    }
    Ok(DeleteTaskDefinitionsResponse { task_definitions: Some(deleted), failures: Some(failures) })
}

pub(super) fn list(
    _: &Ecs,
    cx: &mut Context,
    input: ListTaskDefinitionsRequest,
) -> Result<ListTaskDefinitionsResponse, ApiError> {
    let scope = cx.scope.clone();
    let status = input.status.unwrap_or_else(|| "ACTIVE".to_owned());
    // A "prefix" is the whole family here: that is what the service does.
    let family = input.family_prefix.filter(|family| !family.is_empty());
    let rows = cx.view().scan::<DefinitionRow>(&scope);
    let wanted =
        rows.filter(|row| row.status() == status && family.as_ref().is_none_or(|family| row.family == *family));
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
    let revisions = |family: &FamilyRow| {
        let from = DefinitionRow::key(&family.family, 0);
        let name = family.family.clone();
        view.scan_from::<DefinitionRow>(&scope, &from).take_while(move |row| row.family == name)
    };
    let is_active = |family: &FamilyRow| revisions(family).any(|row| row.active);
    // The counter outlives the revisions, the name is not shown without any.
    let is_there = |family: &FamilyRow| revisions(family).next().is_some();
    let families = view.scan::<FamilyRow>(&scope).filter(|row| row.family.starts_with(&prefix));
    let wanted = families.filter(|row| match status {
        "ALL" => is_there(row),
        "INACTIVE" => is_there(row) && !is_active(row),
        _ => is_active(row),
    });
    let items = wanted.map(|row| (row.family.clone(), row.family.clone()));
    let (families, next_token) = paging::page(items, input.next_token.as_deref(), input.max_results, 100)?;
    Ok(ListTaskDefinitionFamiliesResponse { families: Some(families), next_token })
}
