//! RegisterTaskDefinition: AWS's checks, in AWS's words, and the defaults that it fills in.

use super::{container_definition, fargate, placement, shapes, volumes};
use crate::control::{dependencies, health};
use crate::rows::{DefinitionRow, FamilyRow};
use crate::{Ecs, names, texts};
use gateway::Context;
use model::Stored;
use model::ecs::{
    Attribute, ContainerDefinition, RegisterTaskDefinitionRequest, RegisterTaskDefinitionResponse, TaskDefinition,
};
use rollout::fargate::{self as sizes, Size};
use std::collections::BTreeSet;
use types::ApiError;

/// The most bytes that a definition may have, as JSON.
const MAX_DEFINITION: usize = 65_536;

pub(super) fn register(
    _: &Ecs,
    cx: &mut Context,
    mut input: RegisterTaskDefinitionRequest,
) -> Result<RegisterTaskDefinitionResponse, ApiError> {
    if !names::is_plain(&input.family) {
        return Err(texts::client("Family contains invalid characters."));
    }
    let tags = shapes::tag_rows(input.tags.as_deref().unwrap_or_default())?;
    for role in [&mut input.task_role_arn, &mut input.execution_role_arn] {
        // An empty one is none.
        let given = role.take().filter(|reference| !reference.is_empty());
        let arn =
            given.map(|given| names::role_arn(&cx.scope, &given).ok_or_else(|| texts::client(texts::ROLE_NOT_VALID)));
        *role = arn.transpose()?;
    }
    if input.inference_accelerators.as_ref().is_some_and(|list| !list.is_empty()) {
        return Err(texts::client(texts::unsupported_field("inferenceAccelerators")));
    }
    let fargate_wanted = wants(&input, "FARGATE");
    let size = check_size(&mut input, fargate_wanted)?;
    let awsvpc = input.network_mode.as_deref() == Some("awsvpc");
    if fargate_wanted && !awsvpc {
        return Err(texts::client(texts::FARGATE_NETWORK_MODE));
    }
    volumes::check(&mut input)?;
    check_containers(&mut input)?;
    if fargate_wanted {
        fargate::check(&input)?;
    }
    if let Some(storage) = &input.ephemeral_storage
        && !(21..=200).contains(&storage.size_in_gi_b)
    {
        return Err(texts::client(texts::STORAGE_SIZE));
    }

    for constraint in input.placement_constraints.iter().flatten() {
        placement::of_definition(constraint)?;
    }
    let length = serde_json::to_vec(&Stored(input.clone())).map_or(0, |bytes| bytes.len());
    if length > MAX_DEFINITION {
        return Err(texts::client(texts::definition_too_long(length)));
    }
    let requires_attributes = attributes(&input, awsvpc);
    let compatibilities = compatibilities(&input, awsvpc, size);
    let (scope, now) = (cx.scope.clone(), cx.now);
    let registered_by = cx.principal.arn.clone();
    let tx = cx.tx();
    let revision = tx.get::<FamilyRow>(&scope, &input.family).map_or(0, |row| row.latest) + 1;
    tx.put(&scope, FamilyRow { family: input.family.clone(), latest: revision });
    let shape = TaskDefinition {
        task_definition_arn: Some(names::definition_arn(&scope, &input.family, revision)),
        container_definitions: Some(input.container_definitions),
        family: Some(input.family.clone()),
        task_role_arn: input.task_role_arn,
        execution_role_arn: input.execution_role_arn,
        network_mode: input.network_mode,
        revision: i32::try_from(revision).ok(),
        volumes: Some(input.volumes.unwrap_or_default()),
        status: Some("ACTIVE".to_owned()),
        requires_attributes: Some(requires_attributes),
        placement_constraints: Some(input.placement_constraints.unwrap_or_default()),
        compatibilities: Some(compatibilities),
        runtime_platform: input.runtime_platform,
        requires_compatibilities: input.requires_compatibilities,
        cpu: input.cpu,
        memory: input.memory,
        inference_accelerators: input.inference_accelerators,
        pid_mode: input.pid_mode,
        ipc_mode: input.ipc_mode,
        proxy_configuration: input.proxy_configuration,
        registered_at: Some(now),
        registered_by: Some(registered_by),
        ephemeral_storage: input.ephemeral_storage,
        enable_fault_injection: Some(input.enable_fault_injection.unwrap_or(false)),
        trusted_execution_configuration: input.trusted_execution_configuration,
        ..TaskDefinition::default()
    };
    let family = input.family;
    let row = tx.put(
        &scope,
        DefinitionRow { family, revision, active: true, delete_requested_at: None, shape: Stored(shape), tags },
    );
    Ok(RegisterTaskDefinitionResponse {
        task_definition: Some(row.shape.0.clone()),
        tags: Some(shapes::tags(&row.tags)),
    })
}

fn wants(input: &RegisterTaskDefinitionRequest, what: &str) -> bool {
    input.requires_compatibilities.as_ref().is_some_and(|list| list.iter().any(|item| item == what))
}

/// Checks the task's size and writes it as units and MiB.
fn check_size(input: &mut RegisterTaskDefinitionRequest, fargate_wanted: bool) -> Result<Option<Size>, ApiError> {
    let error = |error: sizes::SizeError| texts::client(error.to_string());
    let size = if fargate_wanted {
        Some(sizes::size(input.cpu.as_deref(), input.memory.as_deref()).map_err(error)?)
    } else {
        let cpu = input.cpu.as_deref().map(sizes::parse_cpu).transpose().map_err(error)?;
        let memory = input.memory.as_deref().map(sizes::parse_memory).transpose().map_err(error)?;
        if cpu.is_some_and(|units| !(128..=196_608).contains(&units)) {
            return Err(texts::client(sizes::SizeError::InvalidCpu.to_string()));
        }
        input.cpu = cpu.map(|units| units.to_string());
        input.memory = memory.map(|mib| mib.to_string());
        cpu.zip(memory).map(|(cpu, memory)| Size { cpu, memory })
    };
    if let Some(size) = size {
        input.cpu = Some(size.cpu.to_string());
        input.memory = Some(size.memory.to_string());
    }
    Ok(size)
}

fn check_containers(input: &mut RegisterTaskDefinitionRequest) -> Result<(), ApiError> {
    let task_cpu = input.cpu.as_deref().and_then(|cpu| cpu.parse::<i64>().ok());
    let task_memory = input.memory.as_deref().and_then(|memory| memory.parse::<i64>().ok());
    let network_mode = input.network_mode.as_deref();
    let containers = &mut input.container_definitions;
    if containers.is_empty() {
        return Err(texts::client(texts::NO_CONTAINERS));
    }
    if containers.len() > 10 {
        return Err(texts::client("Too many containers: a task definition can have at most 10 containers."));
    }
    let mut names_seen = BTreeSet::new();
    for container in containers.iter_mut() {
        let name = container.name.clone().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| texts::client(texts::property_missing("name")))?;
        if !names::is_plain(&name) {
            return Err(texts::client("Container name contains invalid characters."));
        }
        container_definition::check(container, &name, task_memory, network_mode)?;
        if !names_seen.insert(name.clone()) {
            return Err(texts::client(format!("Container names should be unique. Duplicate name: {name}.")));
        }
    }
    check_ports_of_all(containers)?;
    if !containers.iter().any(|container| container.essential == Some(true)) {
        return Err(texts::client("Task definition must have at least one essential container."));
    }
    let reserved = |c: &ContainerDefinition| i64::from(c.memory_reservation.or(c.memory).unwrap_or(0));
    if task_memory.is_some_and(|task| containers.iter().map(reserved).sum::<i64>() > task) {
        return Err(texts::client(texts::MEMORY_SUM_ABOVE_TASK));
    }
    let cpu = containers.iter().map(|container| i64::from(container.cpu.unwrap_or(0))).sum::<i64>();
    if task_cpu.is_some_and(|task| cpu > task) {
        return Err(texts::client(texts::CPU_SUM_ABOVE_TASK));
    }
    check_dependencies(containers)
}

/// What containers cannot both have: a port of the task's interface or of the instance, and a port's name.
fn check_ports_of_all(containers: &[ContainerDefinition]) -> Result<(), ApiError> {
    let (mut ports, mut names) = (BTreeSet::new(), BTreeSet::new());
    for mapping in containers.iter().flat_map(|container| container.port_mappings.iter().flatten()) {
        let protocol = mapping.protocol.as_deref().unwrap_or("tcp");
        let host = mapping.host_port.filter(|port| *port > 0);
        if let Some(port) = host.filter(|port| !ports.insert((protocol, *port))) {
            return Err(texts::client(texts::port_twice(protocol, port)));
        }
        if let Some(name) = mapping.name.as_deref().filter(|name| !names.insert(*name)) {
            return Err(texts::client(texts::port_name_twice(name)));
        }
    }
    Ok(())
}

/// Every dependency names another container, and none waits for itself, however long the way round.
fn check_dependencies(containers: &[ContainerDefinition]) -> Result<(), ApiError> {
    let name = |container: &ContainerDefinition| container.name.clone().unwrap_or_default();
    let mut open: Vec<&ContainerDefinition> = containers.iter().collect();
    let mut done = BTreeSet::new();
    for container in containers {
        for dependency in container.depends_on.iter().flatten() {
            let target = containers.iter().find(|other| name(other) == dependency.container_name);
            let Some(target) = target.filter(|other| name(other) != name(container)) else {
                return Err(texts::client(
                    "Container dependency is invalid: the container does not exist in the task definition.",
                ));
            };
            if ["SUCCESS", "COMPLETE"].contains(&dependency.condition.as_str()) && target.essential == Some(true) {
                return Err(texts::client(texts::DEPENDENCY_ON_ESSENTIAL));
            }
            let checked = target.health_check.as_ref().is_some_and(|check| health::argv(check).is_some());
            if dependency.condition == "HEALTHY" && !checked {
                return Err(texts::client(format!(
                    "Container {} has a dependency on the health of container {}, which has no health check.",
                    name(container),
                    name(target)
                )));
            }
        }
    }
    while !open.is_empty() {
        let before = open.len();
        open.retain(|container| {
            let ready = dependencies::awaited(container).all(|other| done.contains(other));
            if ready {
                done.insert(name(container));
            }
            !ready
        });
        if open.len() == before {
            return Err(texts::client("Container dependency contains a cycle."));
        }
    }
    Ok(())
}

fn compatibilities(input: &RegisterTaskDefinitionRequest, awsvpc: bool, size: Option<Size>) -> Vec<String> {
    let mut list = Vec::new();
    let fargate = awsvpc && size.is_some_and(sizes::is_offered) && fargate::check(input).is_ok();
    if !awsvpc {
        list.push("EXTERNAL".to_owned());
    }
    list.push("EC2".to_owned());
    if fargate {
        list.push("FARGATE".to_owned());
    }
    list
}

/// What a container instance would need to run this. Source: developer guide, "Container agent attributes".
fn attributes(input: &RegisterTaskDefinitionRequest, awsvpc: bool) -> Vec<Attribute> {
    let mut wanted = BTreeSet::new();
    wanted.insert("com.amazonaws.ecs.capability.docker-remote-api.1.18");
    for container in &input.container_definitions {
        if let Some(log) = &container.log_configuration {
            if log.log_driver == "awslogs" {
                wanted.insert("com.amazonaws.ecs.capability.logging-driver.awslogs");
                if input.execution_role_arn.is_some() {
                    wanted.insert("ecs.capability.execution-role-awslogs");
                }
            }
            wanted.insert("com.amazonaws.ecs.capability.docker-remote-api.1.19");
        }
        if container.image.as_deref().is_some_and(fargate::is_ecr_image) {
            wanted.insert("com.amazonaws.ecs.capability.ecr-auth");
            wanted.insert("com.amazonaws.ecs.capability.docker-remote-api.1.19");
            if input.execution_role_arn.is_some() {
                wanted.insert("ecs.capability.execution-role-ecr-pull");
            }
        }
        for secret in container.secrets.iter().flatten() {
            wanted.insert(if secret.value_from.contains(":secretsmanager:") {
                "ecs.capability.secrets.asm.environment-variables"
            } else {
                "ecs.capability.secrets.ssm.environment-variables"
            });
        }
        if container.health_check.is_some() {
            wanted.insert("ecs.capability.container-health-check");
            wanted.insert("com.amazonaws.ecs.capability.docker-remote-api.1.29");
        }
        if container.depends_on.as_ref().is_some_and(|list| !list.is_empty()) {
            wanted.insert("ecs.capability.container-ordering");
        }
    }
    if awsvpc {
        wanted.insert("ecs.capability.task-eni");
    }
    if input.task_role_arn.is_some() {
        wanted.insert("com.amazonaws.ecs.capability.task-iam-role");
    }
    if input.ephemeral_storage.is_some() {
        wanted.insert("ecs.capability.extensible-ephemeral-storage");
    }
    wanted.into_iter().map(|name| Attribute { name: name.to_owned(), ..Attribute::default() }).collect()
}
