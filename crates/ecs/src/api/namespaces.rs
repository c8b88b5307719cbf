//! Services by Cloud Map namespace: ListServicesByNamespace.

use super::paging;
use crate::rows::{ServiceRow, ServiceStatus};
use crate::{Ecs, names, texts};
use gateway::Context;
use model::ecs::{ListServicesByNamespaceRequest, ListServicesByNamespaceResponse};
use store::Row;
use types::ApiError;

pub(super) fn list_services(
    ecs: &Ecs,
    cx: &mut Context,
    input: ListServicesByNamespaceRequest,
) -> Result<ListServicesByNamespaceResponse, ApiError> {
    let scope = cx.scope.clone();
    let view = cx.view();
    let registries = &ecs.ports.registries;
    let namespaces = registries.namespaces(view, &scope, &input.namespace);
    if namespaces.is_empty() {
        return Err(texts::namespace_not_found(&input.namespace));
    }
    let is_in = |row: &ServiceRow| {
        let of = |arn: &str| registries.registry(view, &scope, arn).map(|registry| registry.namespace);
        let connected = row.connect.as_ref().and_then(|connect| connect.namespace.rsplit('/').next());
        connected.is_some_and(|id| namespaces.iter().any(|namespace| namespace == id))
            || row.registries.iter().any(|entry| of(&entry.arn).is_some_and(|id| namespaces.contains(&id)))
    };
    let rows = view.scan::<ServiceRow>(&scope).filter(|row| row.status != ServiceStatus::Inactive && is_in(row));
    let items = rows.map(|row| (row.id().into_owned(), names::service_arn(&scope, &row.cluster, &row.name)));
    let (arns, next_token) = paging::page(items, input.next_token.as_deref(), input.max_results, 10)?;
    Ok(ListServicesByNamespaceResponse { service_arns: Some(arns), next_token })
}
