//! Discovery by the API: DiscoverInstances, DiscoverInstancesRevision.

use super::instances::status;
use crate::rows::{Health, Instance, Namespace, Service};
use crate::{Discovery, query, texts};
use gateway::Context;
use model::servicediscovery::{
    DiscoverInstancesRequest, DiscoverInstancesResponse, DiscoverInstancesRevisionRequest,
    DiscoverInstancesRevisionResponse, HttpInstanceSummary,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::View;
use types::{ApiError, Scope};

/// As many instances as are told where nobody says. Source: API reference, `DiscoverInstances`.
const MOST: usize = 100;

fn find(
    view: &View,
    scope: &Scope,
    namespace: &str,
    service: &str,
) -> Result<(Arc<Namespace>, Arc<Service>), ApiError> {
    let namespaces = query::namespaces_named(view, scope, namespace);
    if namespaces.is_empty() {
        return Err(texts::namespace_not_found());
    }
    // VPCs may have zones of the same name.
    let found = namespaces.into_iter().find_map(|home| {
        let service = query::service_named(view, scope, &home, service)?;
        Some((home, service))
    });
    found.ok_or_else(texts::service_not_found)
}

fn check_owner(scope: &Scope, owner: Option<&str>) -> Result<(), ApiError> {
    match owner {
        Some(owner) if owner != scope.account.as_str() => {
            Err(ApiError::not_implemented("namespaces shared by other accounts"))
        }
        _ => Ok(()),
    }
}

pub(super) fn discover(
    _: &Discovery,
    cx: &mut Context,
    input: DiscoverInstancesRequest,
) -> Result<DiscoverInstancesResponse, ApiError> {
    let scope = cx.scope.clone();
    check_owner(&scope, input.owner_account.as_deref())?;
    let now = cx.now;
    let view = cx.view();
    let (home, service) = find(view, &scope, &input.namespace_name, &input.service_name)?;
    let has = |row: &Instance, wanted: &BTreeMap<String, String>| {
        wanted.iter().all(|(key, value)| row.attributes.get(key) == Some(value))
    };
    let mut rows = query::instances(view, &scope, &service.id);
    rows.retain(|row| input.query_parameters.as_ref().is_none_or(|wanted| has(row, wanted)));
    if let Some(wished) = &input.optional_parameters
        && rows.iter().any(|row| has(row, wished))
    {
        rows.retain(|row| has(row, wished));
    }
    if service.custom_health {
        let healthy = |row: &Arc<Instance>| row.health == Health::Healthy;
        match input.health_status.as_deref().unwrap_or("HEALTHY_OR_ELSE_ALL") {
            "HEALTHY" => rows.retain(healthy),
            "UNHEALTHY" => rows.retain(|row| !healthy(row)),
            "HEALTHY_OR_ELSE_ALL" if rows.iter().any(healthy) => rows.retain(healthy),
            _ => {}
        }
    }
    // In no order, so that those who take the first spread over all.
    if let Ok(by) = usize::try_from(now.millis())
        && let Some(by) = by.checked_rem(rows.len())
    {
        rows.rotate_left(by);
    }
    rows.truncate(input.max_results.and_then(|most| usize::try_from(most).ok()).unwrap_or(MOST));
    let summary = |row: &Arc<Instance>| HttpInstanceSummary {
        instance_id: Some(row.id.clone()),
        namespace_name: Some(home.name.clone()),
        service_name: Some(service.name.clone()),
        health_status: Some(status(&service, row).to_owned()),
        attributes: Some(row.attributes.clone()),
    };
    let instances = rows.iter().map(summary).collect();
    Ok(DiscoverInstancesResponse { instances: Some(instances), instances_revision: Some(service.revision) })
}

pub(super) fn revision(
    _: &Discovery,
    cx: &mut Context,
    input: DiscoverInstancesRevisionRequest,
) -> Result<DiscoverInstancesRevisionResponse, ApiError> {
    let scope = cx.scope.clone();
    check_owner(&scope, input.owner_account.as_deref())?;
    let (_, service) = find(cx.view(), &scope, &input.namespace_name, &input.service_name)?;
    Ok(DiscoverInstancesRevisionResponse { instances_revision: Some(service.revision) })
}
