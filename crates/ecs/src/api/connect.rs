//! Service Connect: what is asked of it checked and shown, and what a deployment begins with.

use crate::connect::{self, IDLE, IDLE_TCP, REQUEST};
use crate::placing;
use crate::ports::Namespace;
use crate::rows::{
    ClusterRow, ConnectRow, ConnectServiceRow, DefinitionRow, MadeEndpointRow, NetworkMode, ServiceRow, ServiceStatus,
    TaskRow,
};
use crate::texts::connect as words;
use crate::{Ecs, names, texts};
use model::Stored;
use model::ecs::{
    Attachment, Container, KeyValuePair, NetworkInterface, PortMapping, ServiceConnectConfiguration,
    ServiceConnectService, ServiceConnectServiceResource,
};
use rollout::TaskStatus;
use routing::connect::Protocol;
use std::collections::BTreeSet;
use store::{Tx, View};
use types::{ApiError, Scope, Timestamp};

/// `serviceConnectDefaults` of a cluster: the namespace's ARN. A name that is nobody's gets a namespace; an empty one takes the default
/// away.
pub(super) fn default_namespace(
    ecs: &Ecs,
    tx: &mut Tx,
    scope: &Scope,
    given: Option<&str>,
    now: Timestamp,
) -> Result<Option<String>, ApiError> {
    let Some(reference) = given.filter(|reference| !reference.is_empty()) else { return Ok(None) };
    let namespaces = &ecs.ports.namespaces;
    match namespaces.namespace(tx, scope, reference) {
        Some(found) => Ok(Some(found.arn)),
        None if reference.starts_with("arn:") => Err(texts::namespace_not_found(reference)),
        None if reference.len() > 1024 => Err(texts::invalid(words::NAMESPACE_TOO_LONG)),
        None => Ok(Some(namespaces.create_namespace(tx, scope, reference, now).arn)),
    }
}

/// `serviceConnectConfiguration` of a service as given, checked; none if it is not enabled. Endpoints are not made yet.
pub(super) fn checked(
    ecs: &Ecs,
    view: &View,
    scope: &Scope,
    (row, cluster): (&ServiceRow, &ClusterRow),
    definition: &DefinitionRow,
    given: Option<&ServiceConnectConfiguration>,
) -> Result<Option<ConnectRow>, ApiError> {
    let Some(given) = given.filter(|given| given.enabled) else { return Ok(None) };
    refuse_unknown(row, given)?;
    match placing::mode(definition) {
        Some(NetworkMode::Awsvpc) => {}
        Some(NetworkMode::Bridge) => {
            return Err(ApiError::not_implemented("Service Connect of tasks in the network mode bridge"));
        }
        _ => return Err(texts::invalid(words::NETWORK_MODE)),
    }
    let named = given.namespace.as_deref().filter(|name| !name.is_empty());
    let reference = named.or(cluster.service_connect_namespace.as_deref());
    let reference = reference.ok_or_else(|| texts::invalid(words::NO_NAMESPACE))?;
    let namespace =
        ecs.ports.namespaces.namespace(view, scope, reference).ok_or_else(|| texts::namespace_not_found(reference))?;
    let (mut services, mut ports) = (Vec::new(), BTreeSet::new());
    for entry in given.services.iter().flatten() {
        if !ports.insert(&entry.port_name) {
            return Err(texts::invalid(words::port_twice(&entry.port_name)));
        }
        services.push(service(definition, &namespace, entry)?);
    }
    let found = ConnectRow {
        configuration: Stored(ServiceConnectConfiguration {
            namespace: Some(named.unwrap_or(&namespace.arn).to_owned()),
            ..given.clone()
        }),
        namespace: namespace.arn,
        namespace_name: namespace.name,
        services,
        aliases: vec![],
    };
    check_unique(ecs, view, scope, row, &found)?;
    Ok(Some(found))
}

/// Refuses by name what is not here yet.
fn refuse_unknown(row: &ServiceRow, given: &ServiceConnectConfiguration) -> Result<(), ApiError> {
    let services = || given.services.iter().flatten();
    let tests =
        |it: &ServiceConnectService| it.client_aliases.iter().flatten().any(|it| it.test_traffic_rules.is_some());
    let refused = [
        (services().any(|it| it.tls.is_some()), "tls of Service Connect (AWS Private CA)"),
        (services().any(tests), "testTrafficRules of Service Connect"),
        (given.access_log_configuration.is_some(), "accessLogConfiguration of Service Connect"),
        (
            given.container_configurations.as_ref().is_some_and(|list| !list.is_empty()),
            "containerConfigurations of Service Connect",
        ),
        (
            super::deployment_configuration::shifts(&row.deployment_configuration),
            "Service Connect with a deployment strategy that shifts traffic",
        ),
    ];
    match refused.into_iter().find(|(refused, _)| *refused) {
        Some((_, what)) => Err(ApiError::not_implemented(what)),
        None => Ok(()),
    }
}

fn service(
    definition: &DefinitionRow,
    namespace: &Namespace,
    entry: &ServiceConnectService,
) -> Result<ConnectServiceRow, ApiError> {
    let invalid = |text: String| Err(texts::invalid(text));
    let mapping = mapping(definition, &entry.port_name);
    let mapping = mapping.ok_or_else(|| texts::invalid(words::port_missing(&entry.port_name)))?;
    if mapping.protocol.as_deref() == Some("udp") {
        return invalid(words::port_udp(&entry.port_name));
    }
    let port = |given: i32| u16::try_from(given).ok().filter(|port| *port > 0);
    let container_port = mapping.container_port.and_then(port);
    let container_port = container_port.ok_or_else(|| texts::invalid(words::port_missing(&entry.port_name)))?;
    let discovery_name = entry.discovery_name.clone().filter(|name| !name.is_empty());
    let discovery_name = discovery_name.unwrap_or_else(|| entry.port_name.clone());
    if !connect::is_discovery_name(&discovery_name) {
        return invalid(words::discovery_name(&discovery_name));
    }
    let alias = match entry.client_aliases.as_deref().unwrap_or_default() {
        [] => None,
        [alias] => Some(alias),
        _ => return invalid(words::ALIASES_MOST.to_owned()),
    };
    let alias_port = match alias {
        Some(alias) => port(alias.port).ok_or_else(|| texts::invalid(words::bad_port(alias.port)))?,
        None => container_port,
    };
    let dns_name = alias.and_then(|alias| alias.dns_name.clone()).filter(|name| !name.is_empty());
    if let Some(name) = dns_name.as_ref().filter(|name| !connect::is_dns_name(name)) {
        return invalid(words::dns_name(name));
    }
    let ingress = entry.ingress_port_override;
    let ingress = ingress.map(|given| port(given).ok_or_else(|| texts::invalid(words::bad_port(given)))).transpose()?;
    let protocol = connect::protocol(mapping.app_protocol.as_deref());
    let (idle, request) = if protocol == Protocol::Tcp { (IDLE_TCP, 0) } else { (IDLE, REQUEST) };
    let timeout = entry.timeout.clone().unwrap_or_default();
    if protocol == Protocol::Tcp && timeout.per_request_timeout_seconds.is_some() {
        return invalid(words::REQUEST_TIMEOUT_TCP.to_owned());
    }
    let seconds =
        |given: Option<i32>, default| given.map_or(default, |seconds| u32::try_from(seconds).unwrap_or(default));
    Ok(ConnectServiceRow {
        alias: dns_name.unwrap_or_else(|| format!("{discovery_name}.{}", namespace.name)),
        discovery_name,
        arn: String::new(),
        container_port,
        ingress: ingress.filter(|ingress| *ingress != container_port),
        protocol,
        alias_port,
        idle_seconds: seconds(timeout.idle_timeout_seconds, idle),
        request_seconds: seconds(timeout.per_request_timeout_seconds, request),
    })
}

fn mapping<'a>(definition: &'a DefinitionRow, name: &str) -> Option<&'a PortMapping> {
    let mut all = definition.containers().iter().flat_map(|container| container.port_mappings.iter().flatten());
    all.find(|mapping| mapping.name.as_deref() == Some(name))
}

/// Names and aliases are unique in the namespace, and ports of a task are one listener's each.
fn check_unique(ecs: &Ecs, view: &View, scope: &Scope, row: &ServiceRow, wanted: &ConnectRow) -> Result<(), ApiError> {
    let others = services_of(view, scope, &wanted.namespace, row);
    let mut aliases: BTreeSet<(&str, u16)> =
        others.iter().map(|other| (other.alias.as_str(), other.alias_port)).collect();
    let (mut discovered, mut arriving) = (BTreeSet::new(), BTreeSet::new());
    for service in &wanted.services {
        let known = ecs.ports.namespaces.endpoint(view, scope, &wanted.namespace, &service.discovery_name);
        let foreign = known.is_some_and(|arn| !row.made_endpoints.iter().any(|made| made.arn == arn));
        if foreign || !discovered.insert(&service.discovery_name) {
            return Err(texts::invalid(words::service_used(&wanted.namespace)));
        }
        if !aliases.insert((&service.alias, service.alias_port)) {
            return Err(texts::invalid(words::alias_used(&service.alias, service.alias_port, &wanted.namespace)));
        }
        if !arriving.insert(service.told_port()) {
            return Err(texts::invalid(words::ingress_twice(service.told_port())));
        }
    }
    Ok(())
}

/// What the other services in a namespace offer.
fn services_of(view: &View, scope: &Scope, namespace: &str, but: &ServiceRow) -> Vec<ConnectServiceRow> {
    let is_other = |row: &ServiceRow| (&row.cluster, &row.name) != (&but.cluster, &but.name);
    let rows = view.scan::<ServiceRow>(scope).filter(|row| row.status == ServiceStatus::Active && is_other(row));
    let connected = rows.filter_map(|row| row.connect.as_ref()).filter(|connect| connect.namespace == namespace);
    connected.flat_map(|connect| connect.services.iter().cloned()).collect()
}

/// Whether a service is to be deployed anew for it.
pub(super) fn differs(wanted: Option<&ConnectRow>, before: Option<&ConnectRow>) -> bool {
    let asked = |row: &ConnectRow| {
        let mut row = row.clone();
        row.aliases.clear();
        row.services.iter_mut().for_each(|service| service.arn.clear());
        row
    };
    wanted.map(asked) != before.map(asked)
}

/// Makes the endpoints of a service that is deployed now, and has it know the aliases that there are.
pub(super) fn begin(ecs: &Ecs, tx: &mut Tx, scope: &Scope, row: &mut ServiceRow, now: Timestamp) {
    let Some(mut connect) = row.connect.take() else { return };
    let namespaces = &ecs.ports.namespaces;
    for service in &mut connect.services {
        let made = namespaces.create_endpoint(tx, scope, &connect.namespace, &service.discovery_name, now);
        service.arn = made.unwrap_or_default();
        if !row.made_endpoints.iter().any(|made| made.arn == service.arn) {
            row.made_endpoints.push(MadeEndpointRow { arn: service.arn.clone() });
        }
    }
    let others = services_of(tx, scope, &connect.namespace, row);
    connect.aliases = connect::aliases(others.iter().chain(&connect.services));
    row.connect = Some(connect);
}

/// `serviceConnectResources`.
pub(super) fn resources(row: &ConnectRow) -> Vec<ServiceConnectServiceResource> {
    let resource = |service: &ConnectServiceRow| ServiceConnectServiceResource {
        discovery_name: Some(service.discovery_name.clone()),
        discovery_arn: Some(service.arn.clone()),
    };
    row.services.iter().map(resource).collect()
}

/// The container that stands for the proxy in a task: it runs since the proxy serves the task.
pub(super) fn container(scope: &Scope, task: &TaskRow) -> Option<Container> {
    let row = task.connect.as_ref()?;
    let (status, health) = match row.serving_since {
        _ if task.last >= TaskStatus::Deprovisioning => ("STOPPED", "UNKNOWN"),
        Some(_) => ("RUNNING", "HEALTHY"),
        None => ("PENDING", "UNKNOWN"),
    };
    let interface = task.eni.as_ref().map(|eni| NetworkInterface {
        attachment_id: Some(task.attachment_id.clone()),
        private_ipv4_address: Some(eni.ip.to_string()),
        ipv6_address: eni.ipv6.map(|ip| ip.to_string()),
    });
    Some(Container {
        container_arn: Some(names::container_arn(scope, &task.cluster, &task.id, &row.uuid)),
        task_arn: Some(names::task_arn(scope, &task.cluster, &task.id)),
        name: Some(row.container.clone()),
        runtime_id: row.serving_since.map(|_| row.runtime_id.clone()),
        last_status: Some(status.to_owned()),
        network_interfaces: Some(interface.into_iter().collect()),
        health_status: Some(health.to_owned()),
        cpu: Some("0".to_owned()),
        ..Container::default()
    })
}

/// The attachment by which a task has it.
pub(super) fn attachment(task: &TaskRow) -> Option<Attachment> {
    let row = task.connect.as_ref()?;
    let status = match task.last {
        TaskStatus::Stopped | TaskStatus::Deprovisioning => "DELETED",
        _ if row.serving_since.is_some() => "ATTACHED",
        _ => "ATTACHING",
    };
    Some(Attachment {
        id: Some(row.attachment_id.clone()),
        type_: Some("Service Connect".to_owned()),
        status: Some(status.to_owned()),
        details: Some(vec![KeyValuePair {
            name: Some("ContainerName".to_owned()),
            value: Some(row.container.clone()),
        }]),
    })
}
