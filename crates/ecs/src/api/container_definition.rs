//! What RegisterTaskDefinition says of each container by itself, and what it fills in.

use crate::{logging, texts};
use model::ecs::ContainerDefinition;
use std::collections::BTreeSet;
use types::ApiError;

/// Checks the container and fills in its defaults. `memory` and `network_mode` are the task's.
pub(super) fn check(
    container: &mut ContainerDefinition,
    name: &str,
    memory: Option<i64>,
    network_mode: Option<&str>,
) -> Result<(), ApiError> {
    check_image(container.image.as_deref().unwrap_or_default())?;
    check_memory(container, name, memory)?;
    check_no_negatives(container, name)?;
    fill_defaults(container);
    check_ports(container, name, network_mode)?;
    if network_mode == Some("awsvpc") {
        check_awsvpc(container)?;
    }
    check_environment(container)?;
    check_secrets(container)?;
    check_firelens(container, name)?;
    check_health(container, name)?;
    check_restart(container)?;
    check_log(container)?;
    check_ulimits(container)?;
    check_linux(container)
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

fn check_environment(container: &ContainerDefinition) -> Result<(), ApiError> {
    if container.environment.iter().flatten().any(|pair| pair.name.as_deref().is_none_or(is_blank)) {
        return Err(texts::client(texts::blank("Environment variable name")));
    }
    Ok(())
}

/// What the request does not have is empty here.
fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

/// A secret says where it comes from, and a variable has one value: a secret's, or the environment's.
fn check_secrets(container: &ContainerDefinition) -> Result<(), ApiError> {
    for secret in container.secrets.iter().flatten() {
        if is_blank(&secret.name) {
            return Err(texts::client(texts::blank("Secret name")));
        }
        if is_blank(&secret.value_from) {
            return Err(texts::client(texts::blank("Secret valueFrom")));
        }
    }
    let variables = container.environment.iter().flatten().filter_map(|pair| pair.name.as_deref());
    let mut known: BTreeSet<&str> = variables.collect();
    match container.secrets.iter().flatten().find(|secret| !known.insert(&secret.name)) {
        Some(secret) => Err(texts::client(texts::secret_not_unique(&secret.name))),
        None => Ok(()),
    }
}

fn check_memory(container: &ContainerDefinition, name: &str, task: Option<i64>) -> Result<(), ApiError> {
    if task.is_none() && container.memory.is_none() && container.memory_reservation.is_none() {
        return Err(texts::client(texts::memory_missing(name)));
    }
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

fn check_no_negatives(container: &ContainerDefinition, name: &str) -> Result<(), ApiError> {
    let settings =
        [("cpu", container.cpu), ("startTimeout", container.start_timeout), ("stopTimeout", container.stop_timeout)];
    match settings.into_iter().find(|(_, value)| value.is_some_and(|value| value < 0)) {
        Some((setting, _)) => Err(texts::client(texts::container_setting(setting, name))),
        None => Ok(()),
    }
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

fn check_ports(container: &mut ContainerDefinition, name: &str, network_mode: Option<&str>) -> Result<(), ApiError> {
    let (awsvpc, host_mode) = (network_mode == Some("awsvpc"), network_mode == Some("host"));
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
            return Err(texts::client(texts::container_setting("containerPort", name)));
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

fn check_firelens(container: &ContainerDefinition, name: &str) -> Result<(), ApiError> {
    let router = container.firelens_configuration.as_ref();
    if router.is_some_and(|router| !["fluentd", "fluentbit"].contains(&router.type_.as_str())) {
        return Err(texts::client(texts::firelens_type(name)));
    }
    Ok(())
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
