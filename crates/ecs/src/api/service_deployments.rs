//! Service deployments and service revisions: what a service deployed, and how an attempt that is under way is stopped or
//! let go on.

use super::clusters::missing;
use super::{cluster, paging, shapes};
use crate::control::record;
use crate::rows::{
    DeploymentRow, MonitorStatus, ServiceDeploymentRow, ServiceRevisionRow, ServiceRow, TASKS_BY_SERVICE, TaskRow,
};
use crate::{Ecs, names, texts};
use gateway::Context;
use model::ecs::{
    ContainerImage, ContinueServiceDeploymentRequest, ContinueServiceDeploymentResponse, DeploymentLifecycleHookDetail,
    DescribeServiceDeploymentsRequest, DescribeServiceDeploymentsResponse, DescribeServiceRevisionsRequest,
    DescribeServiceRevisionsResponse, ListServiceDeploymentsRequest, ListServiceDeploymentsResponse,
    ResolvedConfiguration, Rollback, ServiceDeployment, ServiceDeploymentAlarms, ServiceDeploymentBrief,
    ServiceDeploymentCircuitBreaker, ServiceRevision, ServiceRevisionLoadBalancer, ServiceRevisionSummary,
    StopServiceDeploymentRequest, StopServiceDeploymentResponse,
};
use rollout::{DesiredStatus, PauseStatus, RolloutState, Stage, StopRequest};
use store::{Row, View};
use types::{ApiError, Scope};

/// The most ARNs that are described at once.
const MOST: usize = 20;

pub(super) fn list(
    _: &Ecs,
    cx: &mut Context,
    input: ListServiceDeploymentsRequest,
) -> Result<ListServiceDeploymentsResponse, ApiError> {
    let scope = cx.scope.clone();
    let view = cx.view();
    let cluster = cluster(view, &scope, input.cluster.as_deref())?;
    let name = names::in_cluster(&scope, &input.service, "service", &cluster.name)?;
    let key = ServiceRow::key(&cluster.name, &name);
    if !view.contains::<ServiceRow>(&scope, &key) {
        return Err(texts::service_not_found());
    }
    let (before, after) = input.created_at.map_or((None, None), |range| (range.before, range.after));
    let first = format!("{key}/");
    let rows = view.scan_from::<ServiceDeploymentRow>(&scope, &first).take_while(|row| row.id().starts_with(&first));
    let wanted = rows.filter(|row| {
        input.status.as_ref().is_none_or(|list| list.is_empty() || list.iter().any(|it| it == row.status.as_str()))
            && before.is_none_or(|before| row.created_at < before)
            && after.is_none_or(|after| row.created_at > after)
    });
    // The newest first: keys that sort as they were made.
    let keyed = wanted.map(|row| (format!("{:016x}", row.number), brief(&scope, row)));
    let mut keyed: Vec<_> = keyed.collect();
    keyed.sort_by(|a, b| a.0.cmp(&b.0));
    let (page, next_token) = paging::page_down(keyed, input.next_token.as_deref(), input.max_results, MOST)?;
    Ok(ListServiceDeploymentsResponse { service_deployments: Some(page), next_token })
}

fn brief(scope: &Scope, row: &ServiceDeploymentRow) -> ServiceDeploymentBrief {
    ServiceDeploymentBrief {
        service_deployment_arn: Some(arn(scope, row)),
        service_arn: Some(names::service_arn(scope, &row.cluster, &row.service)),
        cluster_arn: Some(names::cluster_arn(scope, &row.cluster)),
        started_at: row.started_at,
        created_at: Some(row.created_at),
        finished_at: row.finished_at,
        target_service_revision_arn: Some(revision_arn(scope, row, &row.target)),
        status: Some(row.status.as_str().to_owned()),
        status_reason: row.reason.clone(),
    }
}

fn arn(scope: &Scope, row: &ServiceDeploymentRow) -> String {
    names::service_deployment_arn(scope, &row.cluster, &row.service, &row.id)
}

fn revision_arn(scope: &Scope, row: &ServiceDeploymentRow, digits: &str) -> String {
    names::service_revision_arn(scope, &row.cluster, &row.service, digits)
}

fn check_count(arns: &[String], member: &str) -> Result<(), ApiError> {
    if arns.is_empty() {
        return Err(texts::invalid(format!("{member} cannot be empty.")));
    }
    if arns.len() > MOST {
        return Err(texts::invalid(format!("{member} cannot have more than {MOST} elements")));
    }
    Ok(())
}

pub(super) fn describe(
    _: &Ecs,
    cx: &mut Context,
    input: DescribeServiceDeploymentsRequest,
) -> Result<DescribeServiceDeploymentsResponse, ApiError> {
    let scope = cx.scope.clone();
    let view = cx.view();
    check_count(&input.service_deployment_arns, "serviceDeploymentArns")?;
    let (mut found, mut failures) = (vec![], vec![]);
    for arn in input.service_deployment_arns {
        let key = names::of_service(&scope, &arn, "service-deployment")?;
        match view.get::<ServiceDeploymentRow>(&scope, &key) {
            Some(row) => found.push(shape(view, &scope, &row)),
            None => failures.push(missing(arn)),
        }
    }
    Ok(DescribeServiceDeploymentsResponse { service_deployments: Some(found), failures: Some(failures) })
}

fn shape(view: &View, scope: &Scope, row: &ServiceDeploymentRow) -> ServiceDeployment {
    let key = ServiceRow::key(&row.cluster, &row.service);
    let service = view.get::<ServiceRow>(scope, &key);
    let tasks: Vec<&TaskRow> = view.by_index(&TASKS_BY_SERVICE, scope, &key).map(AsRef::as_ref).collect();
    let shifts = super::deployment_configuration::shifts(&row.configuration);
    let summary = |digits: &String| {
        let id = format!("ecs-svc/{digits}");
        let deployment = service.iter().flat_map(|service| &service.deployments).find(|it| it.state.id == id);
        let tested = deployment.is_some_and(|it| it.state.tested);
        let test = shifts && (tested || *digits == row.target || came_shifted(view, scope, row, digits));
        let weighs = Weighs { production: shifts, test };
        summary(scope, row, digits, deployment, &tasks, weighs)
    };
    let pauses = row.pauses.iter().map(|pause| DeploymentLifecycleHookDetail {
        hook_id: Some(pause.id.clone()),
        target_type: Some("PAUSE".to_owned()),
        target_arn: None,
        status: Some(pause.status.to_string()),
        expires_at: Some(pause.expires_at),
        timeout_action: Some(pause.on_timeout.to_string()),
    });
    let pauses: Vec<_> = pauses.collect();
    let alarms = row.configuration.alarms.as_ref().map(|alarms| alarms.alarm_names.clone()).unwrap_or_default();
    ServiceDeployment {
        service_deployment_arn: Some(arn(scope, row)),
        service_arn: Some(names::service_arn(scope, &row.cluster, &row.service)),
        cluster_arn: Some(names::cluster_arn(scope, &row.cluster)),
        created_at: Some(row.created_at),
        started_at: row.started_at,
        finished_at: row.finished_at,
        stopped_at: row.stopped_at,
        updated_at: Some(row.updated_at),
        source_service_revisions: Some(row.sources.iter().map(summary).collect()),
        target_service_revision: Some(summary(&row.target)),
        status: Some(row.status.as_str().to_owned()),
        status_reason: row.reason.clone(),
        lifecycle_stage: row.stage.map(shown_stage),
        lifecycle_hook_details: (!pauses.is_empty()).then_some(pauses),
        deployment_configuration: Some(row.configuration.0.clone()),
        // One without a way back did not happen.
        rollback: row.rollback.as_ref().filter(|rollback| !rollback.revision.is_empty()).map(|rollback| Rollback {
            reason: Some(rollback.reason.clone()),
            started_at: Some(rollback.started_at),
            service_revision_arn: Some(revision_arn(scope, row, &rollback.revision)),
        }),
        deployment_circuit_breaker: Some(ServiceDeploymentCircuitBreaker {
            status: Some(row.breaker.as_str().to_owned()),
            failure_count: Some(if row.breaker == MonitorStatus::Disabled { 0 } else { shapes::count(row.failures) }),
            threshold: Some(shapes::count(row.threshold)),
        }),
        alarms: Some(ServiceDeploymentAlarms {
            status: Some(row.alarms.as_str().to_owned()),
            alarm_names: Some(alarms),
            triggered_alarm_names: Some(row.triggered.clone()),
        }),
    }
}

/// The model knows no stage for the hooks before a step of production traffic.
fn shown_stage(stage: Stage) -> String {
    match stage {
        Stage::PreProductionTrafficShift => Stage::ProductionTrafficShift,
        other => other,
    }
    .to_string()
}

/// Whether the service deployment that brought the revision shifted traffic.
fn came_shifted(view: &View, scope: &Scope, row: &ServiceDeploymentRow, digits: &str) -> bool {
    let first = format!("{}/", ServiceRow::key(&row.cluster, &row.service));
    let all = view.scan_from::<ServiceDeploymentRow>(scope, &first).take_while(|other| other.id().starts_with(&first));
    all.filter(|other| other.target == digits)
        .any(|other| super::deployment_configuration::shifts(&other.configuration))
}

/// Which traffic of a revision is told of: without a shift there are no weights, and what came without one has never been
/// tested beside another.
#[derive(Clone, Copy)]
struct Weighs {
    production: bool,
    test: bool,
}

/// A revision with its tasks and its traffic at this moment; of one that is gone, none.
fn summary(
    scope: &Scope,
    row: &ServiceDeploymentRow,
    digits: &str,
    deployment: Option<&DeploymentRow>,
    tasks: &[&TaskRow],
    weighs: Weighs,
) -> ServiceRevisionSummary {
    let (requested, running, pending) = counts(deployment, tasks);
    let percent = |thousandths: u16| f64::from(thousandths) / 10.0;
    let state = deployment.map(|deployment| &deployment.state);
    let production = state.map_or(0.0, |state| percent(state.weight));
    let test = state.map_or(0.0, |state| if state.tested { 100.0 } else { 0.0 });
    ServiceRevisionSummary {
        arn: Some(revision_arn(scope, row, digits)),
        requested_task_count: Some(requested),
        running_task_count: Some(running),
        pending_task_count: Some(pending),
        requested_test_traffic_weight: weighs.test.then_some(test),
        requested_production_traffic_weight: weighs.production.then_some(production),
    }
}

/// How many tasks of the deployment are wanted, run, and are on their way.
pub(super) fn counts(deployment: Option<&DeploymentRow>, tasks: &[&TaskRow]) -> (i32, i32, i32) {
    let Some(deployment) = deployment else { return (0, 0, 0) };
    let own = tasks.iter().copied().filter(|task| task.started_by.as_ref() == Some(&deployment.state.id));
    let wanted = own.clone().filter(|task| task.desired == DesiredStatus::Running).count();
    let counts = shapes::Counts::of(own);
    (i32::try_from(wanted).unwrap_or(i32::MAX), counts.running, counts.pending)
}

pub(super) fn describe_revisions(
    _: &Ecs,
    cx: &mut Context,
    input: DescribeServiceRevisionsRequest,
) -> Result<DescribeServiceRevisionsResponse, ApiError> {
    let scope = cx.scope.clone();
    let view = cx.view();
    check_count(&input.service_revision_arns, "serviceRevisionArns")?;
    let (mut found, mut failures) = (vec![], vec![]);
    for arn in input.service_revision_arns {
        let key = names::of_service(&scope, &arn, "service-revision")?;
        match view.get::<ServiceRevisionRow>(&scope, &key) {
            Some(row) => found.push(revision(view, &scope, &row)),
            None => failures.push(missing(arn)),
        }
    }
    Ok(DescribeServiceRevisionsResponse { service_revisions: Some(found), failures: Some(failures) })
}

fn revision(view: &View, scope: &Scope, row: &ServiceRevisionRow) -> ServiceRevision {
    let resolved = row.resolved.iter().map(|(group, rule)| ServiceRevisionLoadBalancer {
        target_group_arn: Some(group.clone()),
        production_listener_rule: rule.clone(),
    });
    // The digest is known once a task has pulled the image. What older versions started, its tasks alone know.
    let started_by = format!("ecs-svc/{}", row.id);
    let key = ServiceRow::key(&row.cluster, &row.service);
    let tasks = view.by_index(&TASKS_BY_SERVICE, scope, &key).filter(|it| it.started_by.as_ref() == Some(&started_by));
    let tasks: Vec<_> = tasks.collect();
    let digest = |name: &String| {
        let containers = tasks.iter().flat_map(|task| &task.containers);
        containers.filter(|container| container.name == *name).find_map(|container| container.digest.clone())
    };
    let images = row.images.iter().map(|(name, image)| ContainerImage {
        container_name: Some(name.clone()),
        image_digest: row.digests.get(name).cloned().or_else(|| digest(name)),
        image: Some(image.clone()),
    });
    ServiceRevision {
        service_revision_arn: Some(names::service_revision_arn(scope, &row.cluster, &row.service, &row.id)),
        service_arn: Some(names::service_arn(scope, &row.cluster, &row.service)),
        cluster_arn: Some(names::cluster_arn(scope, &row.cluster)),
        task_definition: Some(row.definition_arn.clone()),
        capacity_provider_strategy: (!row.strategy.is_empty()).then(|| shapes::strategy(&row.strategy)),
        launch_type: row.launch_type.clone(),
        platform_version: Some(shapes::PLATFORM_VERSION.to_owned()),
        platform_family: Some("Linux".to_owned()),
        load_balancers: Some(row.load_balancers.iter().map(|entry| entry.0.clone()).collect()),
        network_configuration: shapes::shown_network(&row.network),
        container_images: Some(images.collect()),
        guard_duty_enabled: Some(false),
        service_connect_configuration: row.connect.as_ref().map(|connect| connect.0.clone()),
        created_at: Some(row.created_at),
        resolved_configuration: (!row.resolved.is_empty())
            .then(|| ResolvedConfiguration { load_balancers: Some(resolved.collect()), ..Default::default() }),
        ..ServiceRevision::default()
    }
}

/// The record that an ARN names, and its service.
fn named(view: &View, scope: &Scope, arn: &str) -> Result<(ServiceDeploymentRow, ServiceRow), ApiError> {
    let key = names::of_service(scope, arn, "service-deployment")?;
    let record = view.get::<ServiceDeploymentRow>(scope, &key).ok_or_else(texts::service_deployment_not_found)?;
    let service = view.get::<ServiceRow>(scope, &ServiceRow::key(&record.cluster, &record.service));
    let service = service.ok_or_else(texts::service_deployment_not_found)?;
    Ok((ServiceDeploymentRow::clone(&record), ServiceRow::clone(&service)))
}

pub(super) fn stop(
    _: &Ecs,
    cx: &mut Context,
    input: StopServiceDeploymentRequest,
) -> Result<StopServiceDeploymentResponse, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let (mut record, mut service) = named(tx, &scope, &input.service_deployment_arn)?;
    if record.status.is_over() {
        return Err(texts::stop_in_terminal_state());
    }
    let request = match input.stop_type.as_deref() {
        Some("ABORT") => StopRequest::Abort,
        _ => StopRequest::RollBack,
    };
    let primary = service.deployments.iter_mut().find(|it| it.digits() == record.target);
    // What goes back already goes on going back.
    if let Some(primary) =
        primary.filter(|it| record.rollback.is_none() && it.state.rollout == RolloutState::InProgress)
    {
        if primary.state.stage == Some(Stage::CleanUp) {
            return Err(texts::stop_in_clean_up());
        }
        primary.state.stop = Some(request);
        record::request_stop(&mut record, request, now);
        tx.put(&scope, service);
        tx.put(&scope, record);
    }
    Ok(StopServiceDeploymentResponse { service_deployment_arn: Some(input.service_deployment_arn) })
}

pub(super) fn proceed(
    _: &Ecs,
    cx: &mut Context,
    input: ContinueServiceDeploymentRequest,
) -> Result<ContinueServiceDeploymentResponse, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let id = input.hook_id;
    let parts = id.strip_prefix("ecs-").and_then(|rest| rest.split_once('-'));
    if parts.is_none_or(|(kind, rest)| kind.is_empty() || rest.is_empty()) {
        return Err(texts::invalid(texts::HOOK_ID_FORMAT));
    }
    let tx = cx.tx();
    let (mut record, mut service) = named(tx, &scope, &input.service_deployment_arn)?;
    if record.status.is_over() {
        return Err(texts::invalid(texts::CONTINUE_IN_TERMINAL_STATE));
    }
    let status = match input.action.as_deref() {
        Some("ROLLBACK") => PauseStatus::Failed,
        _ => PauseStatus::Succeeded,
    };
    let current = service.deployments.iter_mut().filter(|it| it.digits() == record.target);
    let mut pauses = current.flat_map(|it| &mut it.state.pauses);
    let pause = pauses.find(|pause| pause.id == id && pause.status == PauseStatus::Awaiting && now < pause.expires_at);
    let Some(pause) = pause else { return Err(texts::invalid(texts::HOOK_ID_UNKNOWN)) };
    pause.status = status;
    for known in record.pauses.iter_mut().filter(|known| known.id == id) {
        known.status = status;
    }
    record.updated_at = now;
    tx.put(&scope, service);
    tx.put(&scope, record);
    Ok(ContinueServiceDeploymentResponse { service_deployment_arn: Some(input.service_deployment_arn) })
}
