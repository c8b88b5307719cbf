//! Clusters changed: UpdateCluster, UpdateClusterSettings, PutClusterCapacityProviders.

use super::clusters::{settings, shape};
use super::{capacity, cluster, connect, exec};
use crate::rows::{ClusterRow, SERVICES_BY_CLUSTER, ServiceStatus, TASKS_BY_CLUSTER};
use crate::{Ecs, texts};
use gateway::Context;
use model::ecs::{
    Cluster, PutClusterCapacityProvidersRequest, PutClusterCapacityProvidersResponse, UpdateClusterRequest,
    UpdateClusterResponse, UpdateClusterSettingsRequest, UpdateClusterSettingsResponse,
};
use rollout::TaskStatus;
use store::View;
use types::{ApiError, Scope};

/// Writes the row and shows it whole, as these operations do.
fn put(cx: &mut Context, row: ClusterRow) -> Cluster {
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let row = tx.put(&scope, row);
    let include = ["ATTACHMENTS", "CONFIGURATIONS", "SETTINGS", "STATISTICS", "TAGS"].map(str::to_owned);
    shape(tx, &scope, &row, &include)
}

pub(super) fn update(
    ecs: &Ecs,
    cx: &mut Context,
    input: UpdateClusterRequest,
) -> Result<UpdateClusterResponse, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    exec::check_configuration(input.configuration.as_ref())?;
    let row = cluster(cx.tx(), &scope, Some(&input.cluster))?;
    let mut row = ClusterRow::clone(&row);
    if let Some(given) = &input.settings {
        row.settings = settings(row.settings, given)?;
    }
    if let Some(configuration) = input.configuration {
        row.configuration = Some(model::Stored(configuration));
    }
    if let Some(defaults) = input.service_connect_defaults {
        // An empty name takes the default away.
        row.service_connect_namespace =
            connect::default_namespace(ecs, cx.tx(), &scope, Some(&defaults.namespace), now)?;
    }
    Ok(UpdateClusterResponse { cluster: Some(put(cx, row)) })
}

pub(super) fn update_settings(
    _: &Ecs,
    cx: &mut Context,
    input: UpdateClusterSettingsRequest,
) -> Result<UpdateClusterSettingsResponse, ApiError> {
    let scope = cx.scope.clone();
    let row = cluster(cx.tx(), &scope, Some(&input.cluster))?;
    let mut row = ClusterRow::clone(&row);
    row.settings = settings(row.settings, &input.settings)?;
    Ok(UpdateClusterSettingsResponse { cluster: Some(put(cx, row)) })
}

pub(super) fn put_providers(
    _: &Ecs,
    cx: &mut Context,
    input: PutClusterCapacityProvidersRequest,
) -> Result<PutClusterCapacityProvidersResponse, ApiError> {
    let scope = cx.scope.clone();
    let row = cluster(cx.tx(), &scope, Some(&input.cluster))?;
    let providers = capacity::check_providers(cx.view(), &scope, &row.name, input.capacity_providers)?;
    let default_strategy = capacity::strategy(&input.default_capacity_provider_strategy, &providers)?;
    let mut leaving = row.capacity_providers.iter().filter(|name| !providers.contains(name));
    if leaving.any(|name| in_use(cx.view(), &scope, &row.name, name)) {
        return Err(texts::provider_in_use());
    }
    let row = ClusterRow { capacity_providers: providers, default_strategy, ..ClusterRow::clone(&row) };
    Ok(PutClusterCapacityProvidersResponse { cluster: Some(put(cx, row)) })
}

/// Whether a service or a task of the cluster needs the provider.
fn in_use(view: &View, scope: &Scope, cluster: &str, provider: &str) -> bool {
    let mut services = view.by_index(&SERVICES_BY_CLUSTER, scope, cluster);
    let mut tasks = view.by_index(&TASKS_BY_CLUSTER, scope, cluster);
    services.any(|service| {
        service.status != ServiceStatus::Inactive && service.strategy.iter().any(|item| item.provider == provider)
    }) || tasks.any(|task| task.last != TaskStatus::Stopped && task.capacity_provider.as_deref() == Some(provider))
}
