//! Tasks: RunTask, StopTask, DescribeTasks, ListTasks.

use super::capacity::{Capacity, capacity};
use super::clusters::missing;
use super::{cluster, exec, includes, on_instances, paging, runnable, shapes};
use crate::launch::{self, Birth};
use crate::rows::{DefinitionRow, ServiceRow, TASKS_BY_CLUSTER, TASKS_BY_SERVICE, Tag, TaskRow, TokenRow};
use crate::{Ecs, names, ports, texts};
use gateway::Context;
use model::Stored;
use model::ecs::{
    DescribeTasksRequest, DescribeTasksResponse, ListTasksRequest, ListTasksResponse, RunTaskRequest, RunTaskResponse,
    StopTaskRequest, StopTaskResponse, TaskOverride,
};
use rollout::capacity::next_provider;
use rollout::{DesiredStatus, StopCode, TaskStatus};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use store::View;
use types::{ApiError, Scope};

/// The most bytes that overrides may have, as JSON.
const MAX_OVERRIDES: usize = 8192;

/// The Fargate platform versions that a Linux task may ask for.
pub(super) fn check_platform(version: Option<&str>) -> Result<String, ApiError> {
    match version {
        None | Some("LATEST" | "") => Ok("LATEST".to_owned()),
        Some("1.4.0") => Ok("1.4.0".to_owned()),
        Some("1.3.0" | "1.2.0" | "1.1.0" | "1.0.0") => {
            Err(ApiError::not_implemented("Fargate platform versions before 1.4.0"))
        }
        Some(_) => Err(ApiError::new("PlatformUnknownException", "The specified platform does not exist.")),
    }
}

/// Whether the task's roles can be had. Those of a service are found wanting when its tasks start.
fn check_roles(ecs: &Ecs, view: &View, scope: &Scope, row: &TaskRow) -> Result<(), ApiError> {
    let refused = |role: &&String| ecs.ports.roles.assume(view, scope, role, &row.id).is_err();
    match row.execution_role.iter().chain(&row.task_role).find(refused) {
        Some(role) => Err(texts::client(texts::unable_to_assume(role))),
        None => Ok(()),
    }
}

pub(super) fn run(ecs: &Ecs, cx: &mut Context, input: RunTaskRequest) -> Result<RunTaskResponse, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let count = input.count.unwrap_or(1);
    if !(1..=10).contains(&count) {
        return Err(texts::invalid("count should be between 1 and 10."));
    }
    refuse_unsupported(&input)?;
    let tags = shapes::tag_rows(input.tags.as_deref().unwrap_or_default())?;
    let request = digest(&input)?;
    let tx = cx.tx();
    let cluster = cluster(tx, &scope, input.cluster.as_deref())?;
    let token =
        input.client_token.clone().filter(|token| !token.is_empty()).map(|token| format!("{}/{token}", cluster.name));
    let known = token.as_ref().and_then(|token| tx.get::<TokenRow>(&scope, token));
    if let Some(known) = known.filter(|known| known.holds(tx, &scope, now)) {
        if known.request != request {
            return Err(ApiError::new(
                "ConflictException",
                "The clientToken is already in use with different parameters.",
            ));
        }
        let rows = known.tasks.iter().filter_map(|id| tx.get::<TaskRow>(&scope, id));
        let tasks = rows.map(|row| shapes::task(&scope, &row, true)).collect();
        return Ok(RunTaskResponse { tasks: Some(tasks), failures: Some(vec![]) });
    }
    let definition = runnable(tx, &scope, &input.task_definition)?;
    let capacity = capacity(&cluster, input.launch_type.as_deref(), input.capacity_provider_strategy.as_deref())?;
    if capacity.is_on_instances() {
        let what = (&*cluster, definition, &capacity);
        let (rows, failures) = on_instances::run(ecs, tx, &scope, what, &input, (tags, now))?;
        rows.first().map_or(Ok(()), |row| check_roles(ecs, tx, &scope, row))?;
        if let Some(token) = token {
            let tasks = rows.iter().map(|row| row.id.clone()).collect();
            tx.put(&scope, TokenRow { token, request, tasks, at: now });
        }
        let tasks = rows.iter().map(|row| shapes::task(&scope, row, true)).collect();
        return Ok(RunTaskResponse { tasks: Some(tasks), failures: Some(failures) });
    }
    let fargate =
        definition.shape.compatibilities.as_ref().is_some_and(|list| list.iter().any(|item| item == "FARGATE"));
    if !fargate {
        return Err(texts::invalid("Task definition does not support launch_type FARGATE."));
    }
    if input.placement_constraints.as_ref().is_some_and(|list| !list.is_empty()) {
        return Err(texts::invalid(texts::NO_PLACEMENT_CONSTRAINTS));
    }
    if input.placement_strategy.as_ref().is_some_and(|list| !list.is_empty()) {
        return Err(texts::invalid(texts::NO_PLACEMENT_STRATEGY));
    }
    check_platform(input.platform_version.as_deref())?;
    let overrides = input.overrides.unwrap_or_default();
    check_overrides(&definition, &overrides)?;
    let role = overrides.task_role_arn.as_deref().or(definition.shape.task_role_arn.as_deref());
    exec::check_role(input.enable_execute_command == Some(true), role, "task", "run")?;
    let size = launch::size(&definition, &overrides)?;
    let network = ports::resolve_network(&ecs.ports, tx, &scope, input.network_configuration.as_ref())?;
    launch::check_runnable(&definition)?;

    let mut tags = tags;
    if input.propagate_tags.as_deref() == Some("TASK_DEFINITION") {
        inherit(&mut tags, &definition.tags);
    }
    if input.enable_ecs_managed_tags == Some(true) {
        tags.push(Tag { key: "aws:ecs:clusterName".to_owned(), value: cluster.name.clone() });
    }
    let strategy = if let Capacity::Strategy(strategy) = &capacity { Some(strategy) } else { None };
    let mut taken: Vec<String> = Vec::new();
    let mut tasks = Vec::new();
    let mut ids = Vec::new();
    for index in 0..count as usize {
        let has =
            |provider: &str| u32::try_from(taken.iter().filter(|name| *name == provider).count()).unwrap_or(u32::MAX);
        let provider = strategy.and_then(|strategy| next_provider(strategy, has)).map(str::to_owned);
        taken.extend(provider.clone());
        let birth = Birth {
            cluster: &cluster.name,
            definition: &definition,
            overrides: overrides.clone(),
            size,
            service: None,
            group: input.group.clone().unwrap_or_else(|| format!("family:{}", definition.family)),
            started_by: input.started_by.clone(),
            launch_type: strategy.is_none().then(|| "FARGATE".to_owned()),
            capacity_provider: provider,
            network: &network,
            placement: network.places[index % network.places.len()].clone(),
            host: None,
            eni: None,
            waits: None,
            targets: vec![],
            registries: vec![],
            connect: None,
            enable_execute_command: input.enable_execute_command.unwrap_or(false),
            tags: tags.clone(),
            now,
        };
        let row = tx.put(&scope, launch::task(&scope, birth));
        if index == 0 {
            check_roles(ecs, tx, &scope, &row)?;
        }
        ids.push(row.id.clone());
        tasks.push(shapes::task(&scope, &row, true));
    }
    if let Some(token) = token {
        tx.put(&scope, TokenRow { token, request, tasks: ids, at: now });
    }
    Ok(RunTaskResponse { tasks: Some(tasks), failures: Some(vec![]) })
}

/// Tells a repetition from another request with the same token. A digest, as overrides may hold what is secret.
fn digest(input: &RunTaskRequest) -> Result<String, ApiError> {
    let bytes = serde_json::to_vec(&Stored(input.clone())).map_err(|_| ApiError::internal())?;
    Ok(hex::encode(Sha256::digest(bytes)))
}

/// Refuses what Fargate does not take, and what is not here yet, as services do.
fn refuse_unsupported(input: &RunTaskRequest) -> Result<(), ApiError> {
    check_started_by(input.started_by.as_deref())?;
    if input.volume_configurations.as_ref().is_some_and(|list| !list.is_empty()) {
        return Err(ApiError::not_implemented("volumeConfigurations (Amazon EBS)"));
    }
    if input.reference_id.as_ref().is_some_and(|id| id.chars().count() > 1024) {
        return Err(texts::invalid(texts::REFERENCE_ID_TOO_LONG));
    }
    if input.group.as_ref().is_some_and(|group| group.starts_with("service:")) {
        return Err(texts::invalid(texts::GROUP_OF_A_SERVICE));
    }
    if input.propagate_tags.as_deref() == Some("SERVICE") {
        return Err(texts::invalid(texts::TAGS_OF_NO_SERVICE));
    }
    let overrides = input.overrides.as_ref();
    let storage = overrides.and_then(|overrides| overrides.ephemeral_storage.as_ref());
    if storage.is_some_and(|storage| !(21..=200).contains(&storage.size_in_gi_b)) {
        return Err(texts::client(texts::STORAGE_SIZE));
    }
    let accelerators = overrides.and_then(|overrides| overrides.inference_accelerator_overrides.as_ref());
    if accelerators.is_some_and(|list| !list.is_empty()) {
        return Err(texts::client(texts::unsupported_field("inferenceAcceleratorOverrides")));
    }
    Ok(())
}

pub(super) fn check_started_by(given: Option<&str>) -> Result<(), ApiError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'/');
    match given {
        Some(by) if by.len() > 128 => Err(texts::invalid(texts::STARTED_BY_TOO_LONG)),
        Some(by) if !by.bytes().all(plain) => Err(texts::invalid(texts::STARTED_BY_INVALID)),
        _ => Ok(()),
    }
}

/// Adds those of `from` whose key is not there yet.
pub(crate) fn inherit(tags: &mut Vec<Tag>, from: &[Tag]) {
    for tag in from {
        if !tags.iter().any(|own| own.key == tag.key) {
            tags.push(tag.clone());
        }
    }
}

pub(super) fn check_overrides(definition: &DefinitionRow, overrides: &TaskOverride) -> Result<(), ApiError> {
    let length = serde_json::to_vec(&Stored(overrides.clone())).map_or(0, |bytes| bytes.len());
    if length > MAX_OVERRIDES {
        return Err(texts::invalid(texts::OVERRIDES_TOO_LONG));
    }
    for over in overrides.container_overrides.iter().flatten() {
        let name = over.name.clone().unwrap_or_default();
        if !definition.containers().iter().any(|container| container.name.as_ref() == Some(&name)) {
            return Err(texts::invalid(texts::override_container_missing(&name)));
        }
        if over.environment_files.as_ref().is_some_and(|files| !files.is_empty()) {
            return Err(ApiError::not_implemented("environmentFiles (Amazon S3)"));
        }
        if over.resource_requirements.as_ref().is_some_and(|list| !list.is_empty()) {
            return Err(ApiError::not_implemented("resourceRequirements (GPUs and accelerators)"));
        }
    }
    Ok(())
}

pub(super) fn stop(_: &Ecs, cx: &mut Context, input: StopTaskRequest) -> Result<StopTaskResponse, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let cluster = cluster(tx, &scope, input.cluster.as_deref())?;
    let id = names::in_cluster(&scope, &input.task, "task", &cluster.name)?;
    if id.len() > 36 {
        return Err(texts::invalid("taskId longer than 36."));
    }
    if input.reason.as_ref().is_some_and(|reason| reason.chars().count() > 255) {
        return Err(texts::invalid(texts::REASON_TOO_LONG));
    }
    let row = tx.get::<TaskRow>(&scope, &id).filter(|row| row.cluster == cluster.name);
    let row = row.ok_or_else(|| texts::invalid(texts::TASK_NOT_FOUND))?;
    let mut row = TaskRow::clone(&row);
    let reason = input.reason.filter(|reason| !reason.is_empty()).unwrap_or_else(|| texts::STOPPED_BY_USER.to_owned());
    row.stop(StopCode::UserInitiated, reason, now);
    let row = tx.put(&scope, row);
    Ok(StopTaskResponse { task: Some(shapes::task(&scope, &row, true)) })
}

pub(super) fn describe(
    _: &Ecs,
    cx: &mut Context,
    input: DescribeTasksRequest,
) -> Result<DescribeTasksResponse, ApiError> {
    let scope = cx.scope.clone();
    let view = cx.view();
    let cluster = cluster(view, &scope, input.cluster.as_deref())?;
    if input.tasks.is_empty() {
        return Err(texts::invalid(texts::TASKS_EMPTY));
    }
    if input.tasks.len() > 100 {
        return Err(texts::invalid("Tasks cannot have more than 100 elements"));
    }
    let with_tags = includes(input.include.as_ref(), "TAGS");
    let (mut tasks, mut failures) = (Vec::new(), Vec::new());
    for reference in &input.tasks {
        let id = names::in_cluster(&scope, reference, "task", &cluster.name)?;
        if id.len() > 36 {
            return Err(texts::invalid("taskId longer than 36."));
        }
        if !names::is_task_id(&id) {
            return Err(texts::invalid(texts::TASK_ID_LENGTH));
        }
        match view.get::<TaskRow>(&scope, &id).filter(|row| row.cluster == cluster.name) {
            Some(row) => tasks.push(shapes::task(&scope, &row, with_tags)),
            None => failures.push(missing(names::task_arn(&scope, &cluster.name, &id))),
        }
    }
    Ok(DescribeTasksResponse { tasks: Some(tasks), failures: Some(failures) })
}

pub(super) fn list(_: &Ecs, cx: &mut Context, input: ListTasksRequest) -> Result<ListTasksResponse, ApiError> {
    let scope = cx.scope.clone();
    let view = cx.view();
    let cluster = cluster(view, &scope, input.cluster.as_deref())?;
    let instance = input.container_instance.as_deref().filter(|text| !text.is_empty());
    let instance =
        instance.map(|text| names::in_cluster(&scope, text, "container-instance", &cluster.name)).transpose()?;
    let rows: Vec<&Arc<TaskRow>> = match input.service_name.as_deref().filter(|name| !name.is_empty()) {
        Some(reference) => {
            let name = names::in_cluster(&scope, reference, "service", &cluster.name)?;
            let key = ServiceRow::key(&cluster.name, &name);
            if view.get::<ServiceRow>(&scope, &key).is_none() {
                return Err(texts::service_not_found());
            }
            view.by_index(&TASKS_BY_SERVICE, &scope, &key).collect()
        }
        None => view.by_index(&TASKS_BY_CLUSTER, &scope, &cluster.name).collect(),
    };
    let desired = match input.desired_status.as_deref() {
        None | Some("RUNNING") => Some(DesiredStatus::Running),
        Some("STOPPED") => Some(DesiredStatus::Stopped),
        // No task ever has PENDING as its desired status; the service answers an empty list too.
        Some(_) => None,
    };
    let wanted = rows.into_iter().filter(|row| {
        desired == Some(row.desired)
            && row.last <= TaskStatus::Stopped
            && input.family.as_ref().is_none_or(|family| row.family == *family)
            && input.started_by.as_ref().is_none_or(|by| row.started_by.as_ref() == Some(by))
            && input.launch_type.as_deref().is_none_or(|launch| launch == shapes::launch_type(row))
            && instance.as_ref().is_none_or(|id| row.host.as_ref().is_some_and(|host| host.instance == *id))
            && input.daemon_name.is_none()
    });
    let items = wanted.map(|row| (row.id.clone(), names::task_arn(&scope, &row.cluster, &row.id)));
    let (arns, next_token) = paging::page(items, input.next_token.as_deref(), input.max_results, 100)?;
    Ok(ListTasksResponse { task_arns: Some(arns), next_token })
}
