//! Clusters: CreateCluster, DescribeClusters, ListClusters, DeleteCluster.

use super::account_settings::{CONTAINER_INSIGHTS, container_insights};
use super::{capacity, connect, exec, includes, paging, shapes};
use crate::placing::is_on_instances;
use crate::rows::{
    ClusterRow, INSTANCES_BY_CLUSTER, InstanceStatus, SERVICES_BY_CLUSTER, ServiceStatus, TASKS_BY_CLUSTER, TaskRow,
};
use crate::{Ecs, names, texts};
use gateway::Context;
use model::ecs::{
    Cluster, ClusterServiceConnectDefaults, ClusterSetting, CreateClusterRequest, CreateClusterResponse,
    DeleteClusterRequest, DeleteClusterResponse, DescribeClustersRequest, DescribeClustersResponse, Failure,
    KeyValuePair, ListClustersRequest, ListClustersResponse,
};
use rollout::TaskStatus;
use store::View;
use types::{ApiError, Scope};

pub(super) fn create(
    ecs: &Ecs,
    cx: &mut Context,
    input: CreateClusterRequest,
) -> Result<CreateClusterResponse, ApiError> {
    let name = input.cluster_name.unwrap_or_else(|| "default".to_owned());
    if !names::is_plain(&name) {
        return Err(texts::invalid("Cluster name must match ^[a-zA-Z][a-zA-Z0-9_-]{0,254}$"));
    }
    let (scope, now, principal) = (cx.scope.clone(), cx.now, cx.principal.clone());
    let providers = input.capacity_providers.unwrap_or_default();
    let capacity_providers = capacity::check_providers(cx.view(), &scope, &name, providers)?;
    let default_strategy = input.default_capacity_provider_strategy.unwrap_or_default();
    let default_strategy = capacity::strategy(&default_strategy, &capacity_providers)?;
    let insights = container_insights(cx.view(), &scope, &principal);
    let settings =
        settings(vec![(CONTAINER_INSIGHTS.to_owned(), insights)], input.settings.as_deref().unwrap_or_default())?;
    let tags = shapes::tag_rows(input.tags.as_deref().unwrap_or_default())?;
    exec::check_configuration(input.configuration.as_ref())?;
    let tx = cx.tx();
    if let Some(existing) = tx.get::<ClusterRow>(&scope, &name).filter(|row| row.active) {
        let include = ["SETTINGS".to_owned(), "TAGS".to_owned()];
        return Ok(CreateClusterResponse { cluster: Some(shape(tx, &scope, &existing, &include)) });
    }
    let namespace = input.service_connect_defaults.map(|defaults| defaults.namespace);
    let service_connect_namespace = connect::default_namespace(ecs, tx, &scope, namespace.as_deref(), now)?;
    let row = tx.put(
        &scope,
        ClusterRow {
            name,
            active: true,
            settings,
            configuration: input.configuration.map(model::Stored),
            capacity_providers,
            default_strategy,
            service_connect_namespace,
            tags,
            created_at: now,
            deleted_at: None,
        },
    );
    let include = ["SETTINGS".to_owned(), "TAGS".to_owned(), "CONFIGURATIONS".to_owned()];
    Ok(CreateClusterResponse { cluster: Some(shape(tx, &scope, &row, &include)) })
}

pub(super) fn describe(
    _: &Ecs,
    cx: &mut Context,
    input: DescribeClustersRequest,
) -> Result<DescribeClustersResponse, ApiError> {
    let scope = cx.scope.clone();
    let wanted = input.clusters.filter(|list| !list.is_empty()).unwrap_or_else(|| vec!["default".to_owned()]);
    if wanted.len() > 100 {
        return Err(texts::invalid("Clusters cannot have more than 100 elements"));
    }
    let include = input.include.unwrap_or_default();
    let (mut clusters, mut failures) = (Vec::new(), Vec::new());
    let view = cx.view();
    for reference in wanted {
        let name = names::cluster_name(&scope, Some(&reference))?;
        match view.get::<ClusterRow>(&scope, &name) {
            Some(row) => clusters.push(shape(view, &scope, &row, &include)),
            None => failures.push(missing(names::cluster_arn(&scope, &name))),
        }
    }
    Ok(DescribeClustersResponse { clusters: Some(clusters), failures: Some(failures) })
}

pub(super) fn list(_: &Ecs, cx: &mut Context, input: ListClustersRequest) -> Result<ListClustersResponse, ApiError> {
    let scope = cx.scope.clone();
    let active = cx.view().scan::<ClusterRow>(&scope).filter(|row| row.active);
    let items = active.map(|row| (row.name.clone(), names::cluster_arn(&scope, &row.name)));
    let (arns, next_token) = paging::page(items, input.next_token.as_deref(), input.max_results, 100)?;
    Ok(ListClustersResponse { cluster_arns: Some(arns), next_token })
}

pub(super) fn delete(
    _: &Ecs,
    cx: &mut Context,
    input: DeleteClusterRequest,
) -> Result<DeleteClusterResponse, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let name = names::cluster_name(&scope, Some(&input.cluster))?;
    let tx = cx.tx();
    let row = tx.get::<ClusterRow>(&scope, &name).ok_or_else(texts::cluster_not_found)?;
    if tx.by_index(&SERVICES_BY_CLUSTER, &scope, &name).any(|service| service.status != ServiceStatus::Inactive) {
        return Err(texts::cluster_contains_services());
    }
    if tx.by_index(&TASKS_BY_CLUSTER, &scope, &name).any(|task| task.last != TaskStatus::Stopped) {
        return Err(texts::cluster_contains_tasks());
    }
    if tx.by_index(&INSTANCES_BY_CLUSTER, &scope, &name).any(|row| row.status != InstanceStatus::Inactive) {
        return Err(texts::cluster_contains_instances());
    }
    let row = if row.active {
        tx.put(&scope, ClusterRow { active: false, deleted_at: Some(now), ..ClusterRow::clone(&row) })
    } else {
        row
    };
    let include = ["SETTINGS".to_owned()];
    Ok(DeleteClusterResponse { cluster: Some(shape(tx, &scope, &row, &include)) })
}

/// The settings of a cluster that has `settings`, with those `given`.
pub(super) fn settings(
    mut settings: Vec<(String, String)>,
    given: &[ClusterSetting],
) -> Result<Vec<(String, String)>, ApiError> {
    if settings.is_empty() {
        // Container Insights is off unless the account says otherwise.
        settings.push(("containerInsights".to_owned(), "disabled".to_owned()));
    }
    for setting in given {
        let name = setting.name.clone().unwrap_or_default();
        let value = setting.value.clone().unwrap_or_default();
        if name != "containerInsights" || !["enabled", "disabled", "enhanced"].contains(&value.as_str()) {
            return Err(texts::invalid(format!("Invalid cluster setting value: {value}")));
        }
        settings[0].1 = value;
    }
    Ok(settings)
}

pub(super) fn missing(arn: String) -> Failure {
    Failure { arn: Some(arn), reason: Some("MISSING".to_owned()), detail: None }
}

pub(super) fn shape(view: &View, scope: &Scope, row: &ClusterRow, include: &[String]) -> Cluster {
    let include = Some(include.to_vec());
    let with = |what: &str| includes(include.as_ref(), what);
    let tasks = || view.by_index(&TASKS_BY_CLUSTER, scope, &row.name).map(AsRef::as_ref);
    let on_instances = shapes::Counts::of(tasks().filter(|task: &&TaskRow| task.is_on_instance()));
    let on_fargate = shapes::Counts::of(tasks().filter(|task: &&TaskRow| !task.is_on_instance()));
    let services: Vec<_> = view.by_index(&SERVICES_BY_CLUSTER, scope, &row.name).collect();
    let count = |status: ServiceStatus, on_instances: bool| {
        let counted = services.iter().filter(|service| service.status == status);
        i32::try_from(counted.filter(|service| is_on_instances(service) == on_instances).count()).unwrap_or(i32::MAX)
    };
    let instances = view.by_index(&INSTANCES_BY_CLUSTER, scope, &row.name);
    let instances = instances.filter(|instance| instance.status != InstanceStatus::Inactive).count();
    let active_services = services.iter().filter(|service| service.status != ServiceStatus::Inactive).count();
    let pair = |name: &str, value: i32| KeyValuePair { name: Some(name.to_owned()), value: Some(value.to_string()) };
    let statistics = vec![
        pair("runningEC2TasksCount", on_instances.running),
        pair("runningFargateTasksCount", on_fargate.running),
        pair("pendingEC2TasksCount", on_instances.pending),
        pair("pendingFargateTasksCount", on_fargate.pending),
        pair("activeEC2ServiceCount", count(ServiceStatus::Active, true)),
        pair("activeFargateServiceCount", count(ServiceStatus::Active, false)),
        pair("drainingEC2ServiceCount", count(ServiceStatus::Draining, true)),
        pair("drainingFargateServiceCount", count(ServiceStatus::Draining, false)),
    ];
    let setting =
        |(name, value): &(String, String)| ClusterSetting { name: Some(name.clone()), value: Some(value.clone()) };
    Cluster {
        cluster_arn: Some(names::cluster_arn(scope, &row.name)),
        cluster_name: Some(row.name.clone()),
        status: Some(if row.active { "ACTIVE" } else { "INACTIVE" }.to_owned()),
        registered_container_instances_count: i32::try_from(instances).ok(),
        running_tasks_count: Some(on_instances.running + on_fargate.running),
        pending_tasks_count: Some(on_instances.pending + on_fargate.pending),
        active_services_count: i32::try_from(active_services).ok(),
        statistics: Some(if with("STATISTICS") { statistics } else { vec![] }),
        tags: Some(if with("TAGS") { shapes::tags(&row.tags) } else { vec![] }),
        settings: Some(if with("SETTINGS") { row.settings.iter().map(setting).collect() } else { vec![] }),
        configuration: row.configuration.as_ref().filter(|_| with("CONFIGURATIONS")).map(|stored| stored.0.clone()),
        capacity_providers: Some(row.capacity_providers.clone()),
        default_capacity_provider_strategy: Some(shapes::strategy(&row.default_strategy)),
        service_connect_defaults: row
            .service_connect_namespace
            .as_ref()
            .map(|namespace| ClusterServiceConnectDefaults { namespace: Some(namespace.clone()) }),
        ..Cluster::default()
    }
}
