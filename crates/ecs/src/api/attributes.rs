//! Attributes of container instances: PutAttributes, DeleteAttributes, ListAttributes.

use super::{cluster, instances, paging};
use crate::rows::{ContainerInstanceRow, INSTANCES_BY_CLUSTER, InstanceStatus};
use crate::{Ecs, names, texts};
use gateway::Context;
use model::ecs::{
    Attribute, DeleteAttributesRequest, DeleteAttributesResponse, ListAttributesRequest, ListAttributesResponse,
    PutAttributesRequest, PutAttributesResponse,
};
use std::sync::Arc;
use store::View;
use types::{ApiError, Scope};

/// Source: API reference, `PutAttributes`.
const MOST: usize = 10;

/// Attributes that the agent sets, and nobody else.
fn is_built_in(name: &str) -> bool {
    name.starts_with("ecs.") || name.starts_with("com.amazonaws.ecs.")
}

fn check(attribute: &Attribute, with_value: bool) -> Result<(), ApiError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./\\".contains(c);
    let name = &attribute.name;
    if name.is_empty() || name.chars().count() > 128 || !name.chars().all(plain) {
        return Err(texts::invalid(texts::ATTRIBUTE_NAME));
    }
    if is_built_in(name) {
        return Err(texts::invalid(texts::ATTRIBUTE_RESERVED));
    }
    let Some(value) = attribute.value.as_deref().filter(|_| with_value) else { return Ok(()) };
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_.@/\\: ".contains(c);
    let length = value.chars().count();
    if length == 0 || length > 128 || value.trim() != value || !value.chars().all(fine) {
        return Err(texts::invalid(texts::ATTRIBUTE_VALUE));
    }
    Ok(())
}

/// The instance that an attribute is of.
fn target(
    view: &View,
    scope: &Scope,
    cluster: &str,
    attribute: &Attribute,
) -> Result<Arc<ContainerInstanceRow>, ApiError> {
    let id = attribute.target_id.as_deref().unwrap_or_default();
    if !id.starts_with("arn:") && attribute.target_type.as_deref() != Some("container-instance") {
        return Err(texts::invalid("targetType must be specified with the short form of a targetId."));
    }
    let row = instances::find(view, scope, id, cluster)?.filter(|row| row.status != InstanceStatus::Inactive);
    row.ok_or_else(texts::target_not_found)
}

fn shown(scope: &Scope, row: &ContainerInstanceRow, name: &str, value: Option<&String>) -> Attribute {
    Attribute {
        name: name.to_owned(),
        value: value.cloned(),
        target_type: Some("container-instance".to_owned()),
        target_id: Some(names::container_instance_arn(scope, &row.cluster, &row.id)),
    }
}

pub(super) fn put(_: &Ecs, cx: &mut Context, input: PutAttributesRequest) -> Result<PutAttributesResponse, ApiError> {
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let cluster = cluster(tx, &scope, input.cluster.as_deref())?;
    if input.attributes.len() > MOST {
        return Err(texts::invalid("attributes can have at most 10 items."));
    }
    let mut answer = Vec::with_capacity(input.attributes.len());
    for attribute in input.attributes {
        check(&attribute, true)?;
        let row = target(tx, &scope, &cluster.name, &attribute)?;
        let mut changed = ContainerInstanceRow::clone(&row);
        changed.attributes.insert(attribute.name.clone(), attribute.value.clone());
        if changed.attributes.keys().filter(|name| !is_built_in(name)).count() > MOST {
            return Err(texts::too_many_attributes());
        }
        changed.version += 1;
        answer.push(shown(&scope, &row, &attribute.name, attribute.value.as_ref()));
        tx.put(&scope, changed);
    }
    Ok(PutAttributesResponse { attributes: Some(answer) })
}

pub(super) fn delete(
    _: &Ecs,
    cx: &mut Context,
    input: DeleteAttributesRequest,
) -> Result<DeleteAttributesResponse, ApiError> {
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let cluster = cluster(tx, &scope, input.cluster.as_deref())?;
    if input.attributes.len() > MOST {
        return Err(texts::invalid("attributes can have at most 10 items."));
    }
    let mut answer = Vec::with_capacity(input.attributes.len());
    for attribute in input.attributes {
        check(&attribute, false)?;
        let row = target(tx, &scope, &cluster.name, &attribute)?;
        let mut changed = ContainerInstanceRow::clone(&row);
        if let Some(value) = changed.attributes.remove(&attribute.name) {
            changed.version += 1;
            answer.push(shown(&scope, &row, &attribute.name, value.as_ref()));
            tx.put(&scope, changed);
        }
    }
    Ok(DeleteAttributesResponse { attributes: Some(answer) })
}

pub(super) fn list(
    _: &Ecs,
    cx: &mut Context,
    input: ListAttributesRequest,
) -> Result<ListAttributesResponse, ApiError> {
    let scope = cx.scope.clone();
    let view = cx.view();
    let cluster = cluster(view, &scope, input.cluster.as_deref())?;
    if input.attribute_value.is_some() && input.attribute_name.is_none() {
        return Err(texts::invalid("attributeName must be specified with attributeValue."));
    }
    let rows = view.by_index(&INSTANCES_BY_CLUSTER, &scope, &cluster.name);
    let rows = rows.filter(|row| row.status != InstanceStatus::Inactive);
    let items = rows.flat_map(|row| {
        let wanted = row.attributes.iter().filter(|(name, value)| {
            input.attribute_name.as_ref().is_none_or(|wanted| wanted == *name)
                && input.attribute_value.as_ref().is_none_or(|wanted| Some(wanted) == value.as_ref())
        });
        let shown = |(name, value): (&String, &Option<String>)| {
            (format!("{}/{name}", row.id), shown(&scope, row, name, value.as_ref()))
        };
        wanted.map(shown).collect::<Vec<_>>()
    });
    let (attributes, next_token) = paging::page(items, input.next_token.as_deref(), input.max_results, 100)?;
    Ok(ListAttributesResponse { attributes: Some(attributes), next_token })
}
