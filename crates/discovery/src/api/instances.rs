//! Instances.

use super::{page, service};
use crate::rows::{Health, Instance, Service};
use crate::{Discovery, intent, query, texts};
use gateway::Context;
use model::Unit;
use model::servicediscovery::{
    DeregisterInstanceRequest, DeregisterInstanceResponse, GetInstanceRequest, GetInstanceResponse,
    GetInstancesHealthStatusRequest, GetInstancesHealthStatusResponse, Instance as Shape, InstanceSummary,
    ListInstancesRequest, ListInstancesResponse, RegisterInstanceRequest, RegisterInstanceResponse,
    UpdateInstanceCustomHealthStatusRequest,
};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;
use store::View;
use types::{ApiError, Scope};

/// How long Cloud Map waits for a second thought. Source: API reference, `HealthCheckCustomConfig`.
const SECOND_THOUGHT: Duration = Duration::from_secs(30);
/// As many attributes of its own as an instance has, and their length together. Source: API reference, `RegisterInstance`.
const MOST_ATTRIBUTES: usize = 30;
const LONGEST_ATTRIBUTES: usize = 5000;

pub(super) fn register(
    _: &Discovery,
    cx: &mut Context,
    input: RegisterInstanceRequest,
) -> Result<RegisterInstanceResponse, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let row = service(tx, &scope, &input.service_id)?;
    let key = Instance::key(&row.id, &input.instance_id);
    if let Some(present) = tx.get::<Instance>(&scope, &key)
        && input.creator_request_id.is_some()
        && present.creator_request == input.creator_request_id
    {
        return Ok(RegisterInstanceResponse { operation_id: Some(present.operation.clone()) });
    }
    let health = check(&row, &input.attributes)?;
    let instance = Instance {
        service: row.id.clone(),
        id: input.instance_id,
        attributes: input.attributes,
        health,
        reported: None,
        creator_request: input.creator_request_id,
        operation: String::new(),
    };
    intent::put(tx, &scope, instance, now).ok_or_else(texts::service_not_found)?;
    let operation_id = tx.get::<Instance>(&scope, &key).map(|row| row.operation.clone());
    Ok(RegisterInstanceResponse { operation_id })
}

/// Whether an instance has what its service's records need; its health to begin with.
fn check(service: &Service, attributes: &BTreeMap<String, String>) -> Result<Health, ApiError> {
    let get = |name: &str| attributes.get(name).map(String::as_str);
    let own = attributes.keys().filter(|key| !key.starts_with("AWS_")).count();
    let length: usize = attributes.iter().map(|(key, value)| key.len() + value.len()).sum();
    if own > MOST_ATTRIBUTES || length > LONGEST_ATTRIBUTES {
        return Err(texts::invalid("An instance has at most 30 attributes of its own, and 5000 characters of all."));
    }
    if get("AWS_EC2_INSTANCE_ID").is_some() {
        return Err(ApiError::not_implemented("the attribute AWS_EC2_INSTANCE_ID"));
    }
    let wrong = |name: &str, fine: fn(&str) -> bool| get(name).is_some_and(|value| !fine(value));
    for (name, fine) in [
        ("AWS_INSTANCE_IPV4", (|value| value.parse::<Ipv4Addr>().is_ok()) as fn(&str) -> bool),
        ("AWS_INSTANCE_IPV6", |value| value.parse::<Ipv6Addr>().is_ok()),
        ("AWS_INSTANCE_PORT", |value| value.parse::<u16>().is_ok()),
        ("AWS_INIT_HEALTH_STATUS", |value| Health::parse(value).is_some()),
    ] {
        if wrong(name, fine) {
            return Err(texts::attribute_invalid(name, get(name).unwrap_or_default()));
        }
    }
    let needs = |record: &str, name: &str| match get(name) {
        None if service.ttl(record).is_some() => Err(texts::attribute_missing(name, record)),
        _ => Ok(()),
    };
    if get("AWS_ALIAS_DNS_NAME").is_some() {
        if !service.is_weighted() || (service.ttl("A").is_none() && service.ttl("AAAA").is_none()) {
            return Err(texts::invalid("An alias needs A or AAAA records and the routing policy WEIGHTED."));
        }
        if attributes.keys().any(|key| key.starts_with("AWS_INSTANCE_")) {
            return Err(texts::invalid("An alias has none of the AWS_INSTANCE attributes."));
        }
    } else {
        needs("A", "AWS_INSTANCE_IPV4")?;
        needs("AAAA", "AWS_INSTANCE_IPV6")?;
        needs("CNAME", "AWS_INSTANCE_CNAME")?;
        needs("SRV", "AWS_INSTANCE_PORT")?;
        if get("AWS_INSTANCE_IPV6").is_none() {
            needs("SRV", "AWS_INSTANCE_IPV4")?;
        }
    }
    match get("AWS_INIT_HEALTH_STATUS") {
        Some(_) if !service.custom_health => {
            Err(texts::invalid("AWS_INIT_HEALTH_STATUS is for services with HealthCheckCustomConfig."))
        }
        Some(text) => Ok(Health::parse(text).unwrap_or(Health::Healthy)),
        None => Ok(Health::Healthy),
    }
}

fn find(view: &View, scope: &Scope, service: &str, id: &str) -> Result<Arc<Instance>, ApiError> {
    view.get::<Instance>(scope, &Instance::key(service, id)).ok_or_else(texts::instance_not_found)
}

pub(super) fn deregister(
    _: &Discovery,
    cx: &mut Context,
    input: DeregisterInstanceRequest,
) -> Result<DeregisterInstanceResponse, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let row = service(tx, &scope, &input.service_id)?;
    find(tx, &scope, &row.id, &input.instance_id)?;
    tx.delete::<Instance>(&scope, &Instance::key(&row.id, &input.instance_id));
    intent::touch(tx, &scope, &row.id);
    let targets = [("SERVICE", row.id.as_str()), ("INSTANCE", input.instance_id.as_str())];
    let operation = intent::operation(tx, &scope, "DEREGISTER_INSTANCE", &targets, now);
    Ok(DeregisterInstanceResponse { operation_id: Some(operation) })
}

pub(super) fn get(_: &Discovery, cx: &mut Context, input: GetInstanceRequest) -> Result<GetInstanceResponse, ApiError> {
    let scope = cx.scope.clone();
    let view = cx.view();
    let home = service(view, &scope, &input.service_id)?;
    let row = find(view, &scope, &home.id, &input.instance_id)?;
    let instance = Shape {
        id: row.id.clone(),
        creator_request_id: row.creator_request.clone(),
        attributes: Some(row.attributes.clone()),
        created_by_account: Some(scope.account.to_string()),
    };
    Ok(GetInstanceResponse { resource_owner: Some(scope.account.to_string()), instance: Some(instance) })
}

pub(super) fn list(
    _: &Discovery,
    cx: &mut Context,
    input: ListInstancesRequest,
) -> Result<ListInstancesResponse, ApiError> {
    let scope = cx.scope.clone();
    let view = cx.view();
    let home = service(view, &scope, &input.service_id)?;
    let account = scope.account.to_string();
    let summary = |row: Arc<Instance>| InstanceSummary {
        id: Some(row.id.clone()),
        attributes: Some(row.attributes.clone()),
        created_by_account: Some(account.clone()),
    };
    let rows = query::instances(view, &scope, &home.id);
    let found = rows.into_iter().map(|row| (row.id.clone(), summary(row))).collect();
    let (instances, next_token) = page::page(found, input.next_token.as_deref(), input.max_results)?;
    Ok(ListInstancesResponse { resource_owner: Some(account.clone()), instances: Some(instances), next_token })
}

pub(super) fn health(
    _: &Discovery,
    cx: &mut Context,
    input: GetInstancesHealthStatusRequest,
) -> Result<GetInstancesHealthStatusResponse, ApiError> {
    let scope = cx.scope.clone();
    let view = cx.view();
    let home = service(view, &scope, &input.service_id)?;
    let mut rows = query::instances(view, &scope, &home.id);
    if let Some(wanted) = &input.instances {
        for id in wanted {
            find(view, &scope, &home.id, id)?;
        }
        rows.retain(|row| wanted.contains(&row.id));
    }
    let status = |row: &Instance| status(&home, row).to_owned();
    let found = rows.iter().map(|row| (row.id.clone(), (row.id.clone(), status(row)))).collect();
    let (page, next_token) = page::page(found, input.next_token.as_deref(), input.max_results)?;
    Ok(GetInstancesHealthStatusResponse { status: Some(page.into_iter().collect()), next_token })
}

/// The health of an instance, as it is told.
pub(super) fn status(service: &Service, instance: &Instance) -> &'static str {
    if service.custom_health { instance.health.as_str() } else { "UNKNOWN" }
}

pub(super) fn report_health(
    discovery: &Discovery,
    cx: &mut Context,
    input: UpdateInstanceCustomHealthStatusRequest,
) -> Result<Unit, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let health = Health::parse(&input.status).ok_or_else(|| texts::invalid("The status is not valid."))?;
    let tx = cx.tx();
    let home = service(tx, &scope, &input.service_id)?;
    let row = find(tx, &scope, &home.id, &input.instance_id)?;
    if !home.custom_health {
        return Err(texts::custom_health_not_found());
    }
    let reported = match row.reported {
        // Saying it again does not bring it nearer.
        Some((before, due)) if before == health => Some((before, due)),
        _ if row.health == health => None,
        _ => Some((health, now.plus(discovery.pace.scale(SECOND_THOUGHT)))),
    };
    tx.update::<Instance>(&scope, &Instance::key(&home.id, &row.id), |row| row.reported = reported);
    Ok(Unit)
}
