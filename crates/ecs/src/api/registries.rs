//! `serviceRegistries` of services: checked against the definition and Cloud Map, and shown.

use crate::rows::{DefinitionRow, RegistryRow};
use crate::{Ecs, texts};
use model::ecs::ServiceRegistry;
use store::View;
use types::{ApiError, Scope};

/// The entries as given, checked.
pub(super) fn checked(
    ecs: &Ecs,
    view: &View,
    scope: &Scope,
    definition: &DefinitionRow,
    given: &[ServiceRegistry],
) -> Result<Vec<RegistryRow>, ApiError> {
    let entry = match given {
        [] => return Ok(vec![]),
        [entry] => entry,
        // Source: API reference, `CreateService`, `serviceRegistries`.
        _ => return Err(texts::invalid("serviceRegistries can have at most 1 items.")),
    };
    let arn = entry.registry_arn.clone().unwrap_or_default();
    if arn.is_empty() {
        return Err(texts::invalid("registryArn can not be blank."));
    }
    let registry = ecs.ports.registries.registry(view, scope, &arn);
    let registry = registry.ok_or_else(|| texts::invalid(texts::registry_missing(&arn)))?;
    if definition.shape.network_mode.as_deref() != Some("awsvpc") {
        return Err(ApiError::not_implemented("service discovery of tasks in other network modes than awsvpc"));
    }
    let container = entry.container_name.clone().filter(|name| !name.is_empty());
    let port = |given: Option<i32>| {
        let valid = |port: i32| u16::try_from(port).ok().filter(|port| *port > 0);
        given.map(|port| valid(port).ok_or_else(|| texts::invalid(format!("Invalid port {port}.")))).transpose()
    };
    let (container_port, port) = (port(entry.container_port)?, port(entry.port)?);
    if (container.is_some() || container_port.is_some()) && port.is_some() {
        return Err(texts::invalid(texts::REGISTRY_PORT_TWICE));
    }
    if container.is_none() && container_port.is_some() {
        return Err(texts::invalid(texts::REGISTRY_PORT_MISSING));
    }
    let row = RegistryRow { arn, container, container_port, port };
    check_kept(definition, std::slice::from_ref(&row))?;
    if registry.needs_port && row.told_port().is_none() {
        return Err(texts::invalid(texts::REGISTRY_PORT_MISSING));
    }
    if registry.needs_ipv6 {
        return Err(ApiError::not_implemented("service discovery of tasks with AAAA records"));
    }
    Ok(vec![row])
}

/// The entries as they are shown.
pub(super) fn shown(rows: &[RegistryRow]) -> Vec<ServiceRegistry> {
    let entry = |row: &RegistryRow| ServiceRegistry {
        registry_arn: Some(row.arn.clone()),
        port: row.port.map(i32::from),
        container_name: row.container.clone(),
        container_port: row.container_port.map(i32::from),
    };
    rows.iter().map(entry).collect()
}

/// Whether a definition has what a service's registries tell of.
pub(super) fn check_kept(definition: &DefinitionRow, registries: &[RegistryRow]) -> Result<(), ApiError> {
    for row in registries {
        let Some(name) = &row.container else { continue };
        let found = definition.containers().iter().find(|container| container.name.as_ref() == Some(name));
        let found = found.ok_or_else(|| texts::invalid(texts::container_missing(name)))?;
        if let Some(port) = row.container_port.map(i32::from)
            && !found.port_mappings.iter().flatten().any(|mapping| mapping.container_port == Some(port))
        {
            return Err(texts::invalid(texts::container_port_missing(name, port)));
        }
    }
    Ok(())
}
