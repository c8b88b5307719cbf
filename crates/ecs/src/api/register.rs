//! RegisterTaskDefinition: AWS's checks, in AWS's words, and the defaults that it fills in.

use super::{fargate, placement, shapes, volumes};
use crate::control::{dependencies, health};
use crate::rows::{DefinitionRow, FamilyRow};
use crate::{Ecs, logging, names, texts};
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
    check_containers(&mut input, awsvpc)?;
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

fn check_containers(input: &mut RegisterTaskDefinitionRequest, awsvpc: bool) -> Result<(), ApiError> {
    let task_cpu = input.cpu.as_deref().and_then(|cpu| cpu.parse::<i64>().ok());
    let task_memory = input.memory.as_deref().and_then(|memory| memory.parse::<i64>().ok());
    let host_mode = input.network_mode.as_deref() == Some("host");
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
        check_image(container.image.as_deref().unwrap_or_default())?;
        if task_memory.is_none() && container.memory.is_none() && container.memory_reservation.is_none() {
            return Err(texts::client(texts::memory_missing(&name)));
        }
        check_memory(container, &name, task_memory)?;
        fill_defaults(container);
        check_ports(container, &name, awsvpc, host_mode)?;
        if awsvpc {
            check_awsvpc(container)?;
        }
        check_secrets(container)?;
        check_health(container, &name)?;
        check_restart(container)?;
        check_log(container)?;
        check_ulimits(container)?;
        check_linux(container)?;
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

/// Source: API reference, `ContainerDefinition.image`.
fn check_image(image: &str) -> Result<(), ApiError> {
    if image.is_empty() {
        return Err(texts::client(texts::property_missing("image")));
    }
    if image.chars().count() > 255 {
        return Err(texts::client(texts::IMAGE_TOO_LONG));
    }
    if !image.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_:./#@".contains(&byte)) {
        return Err(texts::client(texts::IMAGE_CHARACTERS));
    }
    Ok(())
}

/// A variable has one value: a secret's, or the environment's.
fn check_secrets(container: &ContainerDefinition) -> Result<(), ApiError> {
    let variables = container.environment.iter().flatten().filter_map(|pair| pair.name.as_deref());
    let mut known: BTreeSet<&str> = variables.collect();
    match container.secrets.iter().flatten().find(|secret| !known.insert(&secret.name)) {
        Some(secret) => Err(texts::client(texts::secret_not_unique(&secret.name))),
        None => Ok(()),
    }
}

fn check_memory(container: &ContainerDefinition, name: &str, task: Option<i64>) -> Result<(), ApiError> {
    let above = |mib: Option<i32>| mib.zip(task).is_some_and(|(mib, task)| i64::from(mib) > task);
    for (mib, setting) in [(container.memory, "memory"), (container.memory_reservation, "memoryReservation")] {
        if above(mib) {
            return Err(texts::client(texts::memory_above_task(setting, name)));
        }
    }
    let too_small = |mib: Option<i32>| mib.is_some_and(|mib| mib < 4);
    if too_small(container.memory) || too_small(container.memory_reservation) {
        return Err(texts::client(format!("Invalid setting for container '{name}'. Memory must be at least 4 MiB.")));
    }
    if let (Some(hard), Some(soft)) = (container.memory, container.memory_reservation)
        && hard < soft
    {
        return Err(texts::client(format!(
            "Invalid setting for container '{name}'. The 'memory' setting must be greater than or equal to 'memoryReservation'."
        )));
    }
    Ok(())
}

/// What DescribeTaskDefinition shows although nobody said it.
fn fill_defaults(container: &mut ContainerDefinition) {
    container.cpu.get_or_insert(0);
    container.essential.get_or_insert(true);
    container.environment.get_or_insert_default();
    container.mount_points.get_or_insert_default();
    container.volumes_from.get_or_insert_default();
    container.port_mappings.get_or_insert_default();
    container.system_controls.get_or_insert_default();
    if let Some(check) = &mut container.health_check {
        check.interval.get_or_insert(30);
        check.timeout.get_or_insert(5);
        check.retries.get_or_insert(3);
    }
}

fn check_ports(container: &mut ContainerDefinition, name: &str, awsvpc: bool, host_mode: bool) -> Result<(), ApiError> {
    for mapping in container.port_mappings.iter_mut().flatten() {
        mapping.protocol.get_or_insert_with(|| "tcp".to_owned());
        if let Some(range) = &mapping.container_port_range {
            if mapping.container_port.is_some() || mapping.host_port.is_some() {
                return Err(texts::client(texts::PORT_AND_RANGE));
            }
            if !is_port_range(range) {
                return Err(texts::client(texts::PORT_RANGE_INVALID));
            }
        }
        if mapping.name.as_deref().is_some_and(|name| !is_port_name(name)) {
            return Err(texts::client(texts::port_name(name)));
        }
        if mapping.container_port_range.is_some() {
            continue;
        }
        let Some(port) = mapping.container_port.filter(|port| (1..=65535).contains(port)) else {
            return Err(texts::client(texts::container_port(name)));
        };
        if awsvpc {
            match mapping.host_port {
                None | Some(0) => mapping.host_port = Some(port),
                Some(host) if host == port => {}
                Some(_) => return Err(texts::client(texts::HOST_PORTS_MUST_MATCH)),
            }
        } else if host_mode {
            match mapping.host_port {
                None | Some(0) => mapping.host_port = Some(port),
                Some(host) if host == port => {}
                Some(_) => return Err(texts::client(texts::HOST_MODE_PORTS_MUST_MATCH)),
            }
        } else {
            mapping.host_port.get_or_insert(0);
        }
    }
    Ok(())
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

/// Source: API reference, `PortMapping.name`.
fn is_port_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
    (1..=64).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with('-')
}

/// `8080-8090`.
fn is_port_range(text: &str) -> bool {
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    let ports = text.split_once('-').and_then(|(first, last)| port(first).zip(port(last)));
    ports.is_some_and(|(first, last)| first < last)
}

/// What the task's network interface takes out of the containers' hands.
fn check_awsvpc(container: &ContainerDefinition) -> Result<(), ApiError> {
    let some = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
    let given = [
        (some(&container.links), texts::AWSVPC_LINKS),
        (container.hostname.as_ref().is_some_and(|name| !name.is_empty()), texts::AWSVPC_HOSTNAME),
        (container.extra_hosts.as_ref().is_some_and(|hosts| !hosts.is_empty()), texts::AWSVPC_EXTRA_HOSTS),
        (some(&container.dns_servers), texts::AWSVPC_DNS_SERVERS),
        (some(&container.dns_search_domains), texts::AWSVPC_DNS_SEARCH_DOMAINS),
        (container.disable_networking == Some(true), texts::AWSVPC_DISABLE_NETWORKING),
    ];
    match given.into_iter().find(|(given, _)| *given) {
        Some((_, text)) => Err(texts::client(text)),
        None => Ok(()),
    }
}

fn check_health(container: &ContainerDefinition, name: &str) -> Result<(), ApiError> {
    let Some(check) = &container.health_check else { return Ok(()) };
    let command = match check.command.first().map(String::as_str) {
        Some("CMD" | "CMD-SHELL") => &check.command[1..],
        _ => &check.command[..],
    };
    if command.iter().all(|word| word.trim().is_empty()) {
        return Err(texts::client(texts::health_check_command(name)));
    }
    let ranges = [
        ("interval", check.interval, 5..=300),
        ("timeout", check.timeout, 2..=60),
        ("retries", check.retries, 1..=10),
        ("startPeriod", check.start_period, 0..=300),
    ];
    for (setting, value, range) in ranges {
        if value.is_some_and(|value| !range.contains(&value)) {
            return Err(texts::client(texts::health_check_setting(setting, *range.start(), *range.end())));
        }
    }
    Ok(())
}

/// Sizes that would mean something else to the kernel: of a memory file system, none is no limit.
fn check_linux(container: &ContainerDefinition) -> Result<(), ApiError> {
    let Some(linux) = &container.linux_parameters else { return Ok(()) };
    if linux.tmpfs.iter().flatten().any(|tmpfs| tmpfs.size < 1) {
        return Err(texts::client(texts::TMPFS_SIZE));
    }
    if linux.shared_memory_size.is_some_and(|mib| mib < 0) || linux.max_swap.is_some_and(|mib| mib < 0) {
        return Err(texts::client(texts::LINUX_SIZE));
    }
    if linux.swappiness.is_some_and(|value| !(0..=100).contains(&value)) {
        return Err(texts::client(texts::SWAPPINESS));
    }
    Ok(())
}

/// The options that the awslogs driver must have, and those that it may.
fn check_log(container: &ContainerDefinition) -> Result<(), ApiError> {
    let Some(log) = container.log_configuration.as_ref().filter(|log| log.log_driver == "awslogs") else {
        return Ok(());
    };
    let given = |name: &str| log.options.as_ref().is_some_and(|options| options.contains_key(name));
    let missing: Vec<&str> = ["awslogs-region", "awslogs-group"].into_iter().filter(|name| !given(name)).collect();
    if !missing.is_empty() {
        return Err(texts::client(texts::log_options("awslogs", "requires", &missing)));
    }
    let names = log.options.iter().flatten().map(|(name, _)| name.as_str());
    let foreign: Vec<&str> = names.filter(|name| !logging::AWSLOGS.contains(name)).collect();
    if !foreign.is_empty() {
        return Err(texts::client(texts::log_options("awslogs", "disallows", &foreign)));
    }
    Ok(())
}

fn check_restart(container: &ContainerDefinition) -> Result<(), ApiError> {
    let Some(policy) = &container.restart_policy else { return Ok(()) };
    if policy.restart_attempt_period.is_some_and(|seconds| !(60..=1800).contains(&seconds)) {
        return Err(texts::client(texts::RESTART_ATTEMPT_PERIOD));
    }
    if policy.ignored_exit_codes.as_ref().is_some_and(|codes| codes.len() > 50) {
        return Err(texts::client(texts::IGNORED_EXIT_CODES_TOO_MANY));
    }
    Ok(())
}

fn check_ulimits(container: &ContainerDefinition) -> Result<(), ApiError> {
    // Below zero there is no limit.
    let amount = |value: i32| u32::try_from(value).unwrap_or(u32::MAX);
    let over = |limit: &&model::ecs::Ulimit| amount(limit.soft_limit) > amount(limit.hard_limit);
    match container.ulimits.iter().flatten().find(over) {
        Some(limit) => Err(texts::client(texts::soft_above_hard(&limit.name))),
        None => Ok(()),
    }
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
