//! Task sets of services with the EXTERNAL deployment controller. A task set is a deployment that nobody replaces.

use super::capacity::{Capacity, capacity};
use super::clusters::missing;
use super::tasks::check_platform;
use super::{cluster, includes, load_balancers, registries, runnable, services_write, shapes};
use crate::rows::{
    ClusterRow, ControllerType, DeploymentRow, ServiceRow, ServiceStatus, TASKS_BY_SERVICE, TaskRow, TaskSetRow,
};
use crate::{Ecs, names, ports, texts};
use gateway::Context;
use model::ecs::{
    CreateTaskSetRequest, CreateTaskSetResponse, DeleteTaskSetRequest, DeleteTaskSetResponse, DescribeTaskSetsRequest,
    DescribeTaskSetsResponse, Scale, TaskSet, UpdateServicePrimaryTaskSetRequest, UpdateServicePrimaryTaskSetResponse,
    UpdateTaskSetRequest, UpdateTaskSetResponse,
};
use rollout::{DeploymentStatus, TaskStatus};
use store::View;
use types::{ApiError, Scope};

/// Source: developer guide, "Amazon ECS service quotas".
const MOST: usize = 5;

/// The service that a request names; its task sets are somebody's outside.
fn service(view: &View, scope: &Scope, cluster: &ClusterRow, reference: &str) -> Result<ServiceRow, ApiError> {
    let name = names::in_cluster(scope, reference, "service", &cluster.name)?;
    let row = view.get::<ServiceRow>(scope, &ServiceRow::key(&cluster.name, &name));
    let row = row.ok_or_else(texts::service_not_found)?;
    if row.status != ServiceStatus::Active {
        return Err(texts::service_not_active());
    }
    if row.controller != ControllerType::External {
        return Err(texts::invalid(texts::NOT_EXTERNAL));
    }
    Ok(ServiceRow::clone(&row))
}

/// A percentage in hundredths.
fn scale(given: Option<&Scale>) -> Result<u32, ApiError> {
    let value = given.and_then(|scale| scale.value).unwrap_or(0.0);
    if !value.is_finite() || !(0.0..=100.0).contains(&value) {
        return Err(texts::invalid("The task set's scale should be between 0 and 100."));
    }
    Ok((value * 100.0).round() as u32)
}

pub(super) fn create(
    ecs: &Ecs,
    cx: &mut Context,
    input: CreateTaskSetRequest,
) -> Result<CreateTaskSetResponse, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tags = shapes::tag_rows(input.tags.as_deref().unwrap_or_default())?;
    let tx = cx.tx();
    let cluster = cluster(tx, &scope, Some(&input.cluster))?;
    let mut row = service(tx, &scope, &cluster, &input.service)?;
    let token = input.client_token.filter(|token| !token.is_empty());
    let again = row
        .deployments
        .iter()
        .find(|set| token.is_some() && set.task_set.as_ref().is_some_and(|facts| facts.client_token == token));
    if let Some(again) = again {
        let shown = shape(&scope, &row, again, &tasks(tx, &scope, &row), true);
        return Ok(CreateTaskSetResponse { task_set: Some(shown) });
    }
    if row.deployments.iter().filter(|set| set.state.status != DeploymentStatus::Inactive).count() >= MOST {
        return Err(ApiError::new("LimitExceededException", "A service can have at most 5 task sets."));
    }
    let definition = runnable(tx, &scope, &input.task_definition)?;
    let capacity = capacity(&cluster, input.launch_type.as_deref(), input.capacity_provider_strategy.as_deref())?;
    if capacity.is_on_instances() {
        return Err(ApiError::not_implemented("task sets on container instances"));
    }
    let (launch_type, strategy) = match capacity {
        Capacity::Strategy(strategy) => (None, strategy),
        _ => (Some("FARGATE".to_owned()), vec![]),
    };
    let platform_version = check_platform(input.platform_version.as_deref())?;
    services_write::check_definition(&definition, false)?;
    let network = ports::resolve_network(&ecs.ports, tx, &scope, input.network_configuration.as_ref())?;
    let given = input.load_balancers.as_deref().unwrap_or_default();
    let (targets, shifts) = load_balancers::read(ecs, tx, &scope, &definition, given)?;
    if !shifts.is_empty() {
        return Err(texts::invalid(texts::external_lacks("advancedConfiguration")));
    }
    let given = input.service_registries.as_deref().unwrap_or_default();
    let registries = registries::checked(ecs, tx, &scope, &definition, given)?;
    let id = format!("ecs-svc/{}", types::id::random_digits(19));
    let set = DeploymentRow {
        reason: String::new(),
        state: rollout::Deployment {
            status: DeploymentStatus::Active,
            scale: Some(scale(input.scale.as_ref())?),
            ..rollout::Deployment::new(id)
        },
        family: definition.family.clone(),
        revision: definition.revision,
        definition_arn: definition.arn().to_owned(),
        platform_version,
        network,
        targets,
        registries,
        connect: None,
        configuration: None,
        task_set: Some(TaskSetRow { external_id: input.external_id, launch_type, strategy, client_token: token, tags }),
        created_at: now,
        updated_at: now,
    };
    let shown = shape(&scope, &row, &set, &[], true);
    row.deployments.insert(0, set);
    tx.put(&scope, row);
    Ok(CreateTaskSetResponse { task_set: Some(shown) })
}

fn tasks<'v>(view: &'v View, scope: &Scope, row: &ServiceRow) -> Vec<&'v TaskRow> {
    let key = ServiceRow::key(&row.cluster, &row.name);
    view.by_index(&TASKS_BY_SERVICE, scope, &key).map(AsRef::as_ref).collect()
}

/// A task set as it stands.
pub(super) fn shape(
    scope: &Scope,
    service: &ServiceRow,
    set: &DeploymentRow,
    tasks: &[&TaskRow],
    with_tags: bool,
) -> TaskSet {
    let own = tasks.iter().copied().filter(|task| task.started_by.as_ref() == Some(&set.state.id));
    let leaving = own.clone().any(|task| (TaskStatus::Deactivating..TaskStatus::Stopped).contains(&task.last));
    let counts = shapes::Counts::of(own);
    let wanted = shapes::count(set.state.share_of(service.desired));
    let steady = counts.running == wanted && counts.pending == 0 && !leaving;
    let facts = set.task_set.as_ref();
    let strategy = facts.map(|facts| facts.strategy.as_slice()).unwrap_or_default();
    TaskSet {
        id: Some(set.state.id.clone()),
        task_set_arn: Some(names::task_set_arn(scope, &service.cluster, &service.name, &set.state.id)),
        service_arn: Some(names::service_arn(scope, &service.cluster, &service.name)),
        cluster_arn: Some(names::cluster_arn(scope, &service.cluster)),
        external_id: facts.and_then(|facts| facts.external_id.clone()),
        status: Some(match set.state.status {
            DeploymentStatus::Inactive => "DRAINING".to_owned(),
            other => other.to_string(),
        }),
        task_definition: Some(set.definition_arn.clone()),
        computed_desired_count: Some(wanted),
        pending_count: Some(counts.pending),
        running_count: Some(counts.running),
        created_at: Some(set.created_at),
        updated_at: Some(set.updated_at),
        launch_type: facts.and_then(|facts| facts.launch_type.clone()),
        capacity_provider_strategy: (!strategy.is_empty()).then(|| shapes::strategy(strategy)),
        platform_version: Some(shapes::PLATFORM_VERSION.to_owned()),
        platform_family: Some("Linux".to_owned()),
        network_configuration: Some(shapes::network(&set.network)),
        load_balancers: Some(shapes::plain_load_balancers(&set.targets)),
        service_registries: Some(registries::shown(&set.registries)),
        scale: Some(Scale {
            value: Some(f64::from(set.state.scale.unwrap_or(10_000)) / 100.0),
            unit: Some("PERCENT".to_owned()),
        }),
        stability_status: Some(if steady { "STEADY_STATE" } else { "STABILIZING" }.to_owned()),
        stability_status_at: Some(set.updated_at),
        tags: with_tags.then(|| facts.map(|facts| shapes::tags(&facts.tags)).unwrap_or_default()),
        ..TaskSet::default()
    }
}

/// The place of the task set that a reference means among the service's.
fn position(scope: &Scope, row: &ServiceRow, reference: &str) -> Result<usize, ApiError> {
    let id = names::task_set(scope, reference, &row.cluster, &row.name)?;
    let found = row.deployments.iter().position(|set| set.state.id == id);
    found.ok_or_else(texts::task_set_not_found)
}

pub(super) fn update(
    _: &Ecs,
    cx: &mut Context,
    input: UpdateTaskSetRequest,
) -> Result<UpdateTaskSetResponse, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let cluster = cluster(tx, &scope, Some(&input.cluster))?;
    let mut row = service(tx, &scope, &cluster, &input.service)?;
    let at = position(&scope, &row, &input.task_set)?;
    let set = &mut row.deployments[at];
    set.state.scale = Some(scale(Some(&input.scale))?);
    set.updated_at = now;
    let shown = shape(&scope, &row, &row.deployments[at], &tasks(tx, &scope, &row), true);
    tx.put(&scope, row);
    Ok(UpdateTaskSetResponse { task_set: Some(shown) })
}

pub(super) fn make_primary(
    _: &Ecs,
    cx: &mut Context,
    input: UpdateServicePrimaryTaskSetRequest,
) -> Result<UpdateServicePrimaryTaskSetResponse, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let cluster = cluster(tx, &scope, Some(&input.cluster))?;
    let mut row = service(tx, &scope, &cluster, &input.service)?;
    let at = position(&scope, &row, &input.primary_task_set)?;
    if row.deployments[at].state.status == DeploymentStatus::Inactive {
        return Err(texts::task_set_not_found());
    }
    for set in row.deployments.iter_mut().filter(|set| set.state.status == DeploymentStatus::Primary) {
        set.state.status = DeploymentStatus::Active;
        set.updated_at = now;
    }
    row.deployments[at].state.status = DeploymentStatus::Primary;
    row.deployments[at].updated_at = now;
    let shown = shape(&scope, &row, &row.deployments[at], &tasks(tx, &scope, &row), true);
    tx.put(&scope, row);
    Ok(UpdateServicePrimaryTaskSetResponse { task_set: Some(shown) })
}

pub(super) fn delete(
    _: &Ecs,
    cx: &mut Context,
    input: DeleteTaskSetRequest,
) -> Result<DeleteTaskSetResponse, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let cluster = cluster(tx, &scope, Some(&input.cluster))?;
    let mut row = service(tx, &scope, &cluster, &input.service)?;
    let at = position(&scope, &row, &input.task_set)?;
    let scaled = row.deployments[at].state.share_of(row.desired) > 0;
    if scaled && input.force != Some(true) {
        return Err(texts::invalid("The task set cannot be deleted while it is scaled above 0."));
    }
    row.deployments[at].state.status = DeploymentStatus::Inactive;
    row.deployments[at].updated_at = now;
    let shown = shape(&scope, &row, &row.deployments[at], &tasks(tx, &scope, &row), true);
    tx.put(&scope, row);
    Ok(DeleteTaskSetResponse { task_set: Some(shown) })
}

pub(super) fn describe(
    _: &Ecs,
    cx: &mut Context,
    input: DescribeTaskSetsRequest,
) -> Result<DescribeTaskSetsResponse, ApiError> {
    let scope = cx.scope.clone();
    let view = cx.view();
    let cluster = cluster(view, &scope, Some(&input.cluster))?;
    let row = service(view, &scope, &cluster, &input.service)?;
    let tasks = tasks(view, &scope, &row);
    let with_tags = includes(input.include.as_ref(), "TAGS");
    let given = input.task_sets.unwrap_or_default();
    let (mut found, mut failures) = (vec![], vec![]);
    if given.is_empty() {
        found.extend(row.deployments.iter().map(|set| shape(&scope, &row, set, &tasks, with_tags)));
    }
    for reference in &given {
        match position(&scope, &row, reference) {
            Ok(at) => found.push(shape(&scope, &row, &row.deployments[at], &tasks, with_tags)),
            Err(_) => failures.push(missing(reference.clone())),
        }
    }
    Ok(DescribeTaskSetsResponse { task_sets: Some(found), failures: Some(failures) })
}
