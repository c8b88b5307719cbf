//! `serviceConnectConfiguration` of services: checked against the definition and Cloud Map, and shown; and what a deployment finds in its
//! namespace when it begins. Source: ECS developer guide, "Service Connect"; API reference, `ServiceConnectConfiguration`.

use crate::rows::{ClusterRow, ConnectRow, DefinitionRow, EndpointRow, OfferRow, ServiceRow, ServiceStatus};
use crate::{Ecs, names, texts};
use model::Stored;
use model::ecs::{
    PortMapping, ServiceConnectClientAlias, ServiceConnectConfiguration, ServiceConnectService,
    ServiceConnectServiceResource,
};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use store::{Tx, View};
use types::{ApiError, Scope, Timestamp};

/// The first address of names in a task.
const FIRST: u32 = u32::from_be_bytes([127, 255, 0, 1]);
/// The first port that the proxy listens on at each of them.
const LISTENS: u16 = 15_001;
/// How many names a task can know.
const MOST: usize = 65_000;
/// How long a request may take, and a connection be silent, unless told otherwise. Source: API reference, `TimeoutConfiguration`.
const REQUEST_MS: u64 = 15_000;
const IDLE_MS: u64 = 3_600_000;

/// The service that a configuration is for.
pub(super) struct About<'a> {
    pub(super) cluster: &'a ClusterRow,
    pub(super) service: &'a str,
    pub(super) definition: &'a DefinitionRow,
    pub(super) now: Timestamp,
}

/// A configuration as given, checked; its services of Cloud Map are made. None if it is off.
pub(super) fn read(
    ecs: &Ecs,
    tx: &mut Tx,
    scope: &Scope,
    about: &About<'_>,
    mut given: ServiceConnectConfiguration,
) -> Result<Option<ConnectRow>, ApiError> {
    if !given.enabled {
        return Ok(None);
    }
    refuse_unknown(&given)?;
    if about.definition.shape.network_mode.as_deref() != Some("awsvpc") {
        return Err(ApiError::not_implemented("Service Connect in other network modes than awsvpc"));
    }
    let named = given.namespace.clone().filter(|name| !name.is_empty());
    let named = named.or_else(|| about.cluster.service_connect_namespace.clone());
    let named = named.ok_or_else(|| texts::invalid(texts::CONNECT_WITHOUT_NAMESPACE))?;
    let found = ecs.ports.registries.namespaces(tx, scope, &named);
    let namespace = found.into_iter().next().ok_or_else(|| texts::namespace_not_found(&named))?;
    given.namespace = Some(named.clone());
    let domain = ecs.ports.registries.namespace_name(tx, scope, &namespace).unwrap_or_default();
    let owner = names::service_arn(scope, &about.cluster.name, about.service);
    let mut taken = taken(tx, scope, &namespace, (&about.cluster.name, about.service));
    let mut offers: Vec<OfferRow> = Vec::new();
    for service in given.services.iter().flatten() {
        let (container, mapping) = mapping(about.definition, &service.port_name)?;
        let port = mapping.container_port.and_then(|port| u16::try_from(port).ok()).unwrap_or_default();
        // HTTP/2 and gRPC are relayed as they are.
        let http = mapping.app_protocol.as_deref() == Some("http");
        let discovery_name = service.discovery_name.clone().filter(|name| !name.is_empty());
        let discovery_name = discovery_name.unwrap_or_else(|| service.port_name.clone());
        if offers.iter().any(|offer| offer.discovery_name == discovery_name) {
            return Err(texts::invalid(texts::connect_name_twice(&discovery_name)));
        }
        let aliases = aliases(service, &discovery_name, &domain, port)?;
        for (name, port) in &aliases {
            if !taken.insert((name.clone(), *port)) {
                return Err(texts::invalid(texts::connect_alias_taken(name, *port)));
            }
        }
        let registry = ecs.ports.registries.offer(tx, scope, &namespace, &discovery_name, &owner, about.now);
        let registry = registry.ok_or_else(|| texts::invalid(texts::connect_name_taken(&discovery_name)))?;
        let patience_ms = patience(service, mapping.app_protocol.as_deref())?;
        offers.push(OfferRow { discovery_name, registry, container, port, aliases, http, patience_ms });
    }
    Ok(Some(ConnectRow { configuration: Stored(given), namespace, offers }))
}

fn refuse_unknown(given: &ServiceConnectConfiguration) -> Result<(), ApiError> {
    let services = || given.services.iter().flatten();
    let tests = |service: &ServiceConnectService| {
        service.client_aliases.iter().flatten().any(|alias| alias.test_traffic_rules.is_some())
    };
    let refused = [
        (given.access_log_configuration.is_some(), "accessLogConfiguration of Service Connect"),
        (services().any(|service| service.tls.is_some()), "TLS of Service Connect"),
        (services().any(|service| service.ingress_port_override.is_some()), "ingressPortOverride of Service Connect"),
        (services().any(tests), "testTrafficRules of Service Connect"),
    ];
    match refused.iter().find(|(given, _)| *given) {
        Some((_, what)) => Err(ApiError::not_implemented(what)),
        None => Ok(()),
    }
}

/// The port mapping of this name, and the container that has it.
fn mapping<'d>(definition: &'d DefinitionRow, name: &str) -> Result<(String, &'d PortMapping), ApiError> {
    let containers = definition.containers().iter();
    let mut all = containers.flat_map(|it| it.port_mappings.iter().flatten().map(move |mapping| (&it.name, mapping)));
    let found = all.find(|(_, mapping)| mapping.name.as_deref() == Some(name));
    let (container, mapping) = found.ok_or_else(|| texts::invalid(texts::port_name_missing(name, definition.arn())))?;
    if mapping.protocol.as_deref() == Some("udp") {
        return Err(texts::invalid(texts::CONNECT_OVER_UDP));
    }
    Ok((container.clone().unwrap_or_default(), mapping))
}

/// The names and ports of a service's clients: `discoveryName.namespace` and the container's port unless told otherwise.
fn aliases(
    service: &ServiceConnectService,
    discovery_name: &str,
    domain: &str,
    port: u16,
) -> Result<Vec<(String, u16)>, ApiError> {
    let full = || format!("{discovery_name}.{domain}");
    let one = |alias: &ServiceConnectClientAlias| {
        let port = u16::try_from(alias.port).ok().filter(|port| *port > 0);
        let port = port.ok_or_else(|| texts::invalid(format!("Invalid port {}.", alias.port)))?;
        let name = alias.dns_name.clone().filter(|name| !name.is_empty()).unwrap_or_else(full);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if name.len() > 127 || !name.bytes().all(plain) {
            return Err(texts::invalid(texts::connect_alias_invalid(&name)));
        }
        Ok((name, port))
    };
    match service.client_aliases.as_deref().unwrap_or_default() {
        [] => Ok(vec![(full(), port)]),
        [alias] => Ok(vec![one(alias)?]),
        _ => Err(texts::invalid("clientAliases can have at most 1 items.")),
    }
}

fn patience(service: &ServiceConnectService, protocol: Option<&str>) -> Result<u64, ApiError> {
    let millis = |seconds: i32| u64::try_from(seconds).map(|seconds| seconds * 1000);
    let invalid = |_| texts::invalid("A timeout should not be negative.");
    let timeout = service.timeout.as_ref();
    let request = timeout.and_then(|timeout| timeout.per_request_timeout_seconds);
    if protocol.is_none() && request.is_some() {
        return Err(texts::invalid("perRequestTimeoutSeconds is not supported for appProtocol TCP."));
    }
    let idle = timeout.and_then(|timeout| timeout.idle_timeout_seconds);
    let (given, default) = if protocol == Some("http") { (request, REQUEST_MS) } else { (idle, IDLE_MS) };
    // Zero takes the limit away; a day is as good as none.
    let given = given.map(millis).transpose().map_err(invalid)?;
    Ok(given.map_or(default, |given| if given == 0 { 86_400_000 } else { given }))
}

/// The services of a namespace, but for one.
fn others<'v>(
    view: &'v View,
    scope: &Scope,
    namespace: &'v str,
    (cluster, service): (&'v str, &'v str),
) -> impl Iterator<Item = &'v ConnectRow> {
    view.scan::<ServiceRow>(scope)
        .filter(move |row| row.status == ServiceStatus::Active && !(row.cluster == cluster && row.name == service))
        .filter_map(|row| row.connect.as_ref())
        .filter(move |connect| connect.namespace == namespace)
}

/// The names and ports that others have there already.
fn taken(view: &View, scope: &Scope, namespace: &str, but: (&str, &str)) -> BTreeSet<(String, u16)> {
    let offers = others(view, scope, namespace, but).flat_map(|connect| &connect.offers);
    offers.flat_map(|offer| offer.aliases.iter().cloned()).collect()
}

/// What the tasks of a deployment find that begins now: nothing that comes later.
pub(super) fn endpoints(view: &View, scope: &Scope, row: &ServiceRow) -> Vec<EndpointRow> {
    let Some(connect) = &row.connect else { return vec![] };
    let all = others(view, scope, &connect.namespace, (&row.cluster, &row.name)).chain([connect]);
    let mut found: Vec<_> = all
        .flat_map(|connect| &connect.offers)
        .flat_map(|offer| offer.aliases.iter().map(move |it| (it, offer)))
        .collect();
    found.sort_by_key(|(alias, _)| *alias);
    let mut endpoints: Vec<EndpointRow> = Vec::new();
    let mut number = 0;
    for ((name, port), offer) in found.into_iter().take(MOST) {
        let listens = match endpoints.last() {
            Some(last) if last.name == *name => last.listens + 1,
            Some(_) => {
                number += 1;
                LISTENS
            }
            None => LISTENS,
        };
        endpoints.push(EndpointRow {
            name: name.clone(),
            address: Ipv4Addr::from(FIRST + number),
            port: *port,
            listens,
            registry: offer.registry.clone(),
            http: offer.http,
            patience_ms: offer.patience_ms,
        });
    }
    endpoints
}

/// Takes what is not offered any more out of Cloud Map.
pub(super) fn withdraw(ecs: &Ecs, tx: &mut Tx, scope: &Scope, before: Option<&ConnectRow>, now: Option<&ConnectRow>) {
    let kept: BTreeSet<_> = now.iter().flat_map(|row| &row.offers).map(|offer| &offer.registry).collect();
    for offer in before.iter().flat_map(|row| &row.offers).filter(|offer| !kept.contains(&offer.registry)) {
        ecs.ports.registries.withdraw(tx, scope, &offer.registry);
    }
}

/// `serviceConnectResources` of a deployment.
pub(super) fn resources(connect: &ConnectRow) -> Vec<ServiceConnectServiceResource> {
    let one = |offer: &OfferRow| ServiceConnectServiceResource {
        discovery_name: Some(offer.discovery_name.clone()),
        discovery_arn: Some(offer.registry.clone()),
    };
    connect.offers.iter().map(one).collect()
}
