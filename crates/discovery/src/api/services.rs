//! Services.

use super::{fits, namespace, page, service, tags};
use crate::rows::{Instance, Namespace, Service, Tags};
use crate::{Discovery, ids, intent, query, texts};
use gateway::Context;
use model::Stored;
use model::servicediscovery::{
    CreateServiceRequest, CreateServiceResponse, DeleteServiceRequest, DeleteServiceResponse, DnsConfig, DnsRecord,
    GetServiceRequest, GetServiceResponse, HealthCheckCustomConfig, ListServicesRequest, ListServicesResponse,
    Service as Shape, ServiceFilter, ServiceSummary, UpdateServiceRequest, UpdateServiceResponse,
};
use std::collections::BTreeMap;
use store::View;
use types::{ApiError, Scope};

pub(super) fn create(
    _: &Discovery,
    cx: &mut Context,
    input: CreateServiceRequest,
) -> Result<CreateServiceResponse, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    if input.name.len() > 127 {
        return Err(texts::invalid("The name of a service has at most 127 characters."));
    }
    // Older clients name it with the records.
    let older = input.dns_config.as_ref().and_then(|dns| dns.namespace_id.clone());
    let within = input.namespace_id.or(older).ok_or_else(|| texts::invalid("A service needs a NamespaceId."))?;
    let tags = tags::merged(&Tags::new(), input.tags.unwrap_or_default())?;
    let tx = cx.tx();
    let home = namespace(tx, &scope, &within)?;
    if let Some(present) = query::service_named(tx, &scope, &home, &input.name) {
        // A retry of the call that made it succeeds.
        let again = input.creator_request_id.is_some() && present.creator_request == input.creator_request_id;
        if !again {
            return Err(texts::service_exists());
        }
        return Ok(CreateServiceResponse { service: Some(shape(tx, &scope, &present)) });
    }
    if input.health_check_config.is_some() {
        return Err(if input.health_check_custom_config.is_some() {
            texts::invalid("HealthCheckConfig and HealthCheckCustomConfig cannot both be given.")
        } else if home.zone.is_some() {
            texts::invalid("HealthCheckConfig is for public DNS namespaces and HTTP namespaces only.")
        } else {
            ApiError::not_implemented("HealthCheckConfig (Route 53 health checks)")
        });
    }
    let dns = match input.dns_config {
        Some(_) if input.type_.is_some() => {
            return Err(texts::invalid("A service of the type HTTP has no DnsConfig."));
        }
        Some(dns) => Some(Stored(checked(dns, &home)?)),
        None if home.zone.is_some() && input.type_.is_none() => {
            return Err(texts::invalid("A service in a DNS namespace needs a DnsConfig, or the type HTTP."));
        }
        None => None,
    };
    let row = Service {
        id: ids::service(),
        namespace: home.id.clone(),
        name: input.name,
        description: input.description,
        dns,
        custom_health: input.health_check_custom_config.is_some(),
        attributes: BTreeMap::new(),
        revision: 1,
        created: now,
        creator_request: input.creator_request_id,
        tags,
    };
    let row = tx.put(&scope, row);
    Ok(CreateServiceResponse { service: Some(shape(tx, &scope, &row)) })
}

/// The records of a new service. Source: API reference, `DnsRecord`: A, AAAA, both of these, SRV, or CNAME.
fn checked(dns: DnsConfig, home: &Namespace) -> Result<DnsConfig, ApiError> {
    if home.zone.is_none() {
        return Err(texts::invalid("A service in an HTTP namespace has no DnsConfig."));
    }
    let mut kinds: Vec<&str> = dns.dns_records.iter().map(|record| record.type_.as_str()).collect();
    kinds.sort_unstable();
    if !matches!(kinds[..], ["A" | "AAAA" | "SRV" | "CNAME"] | ["A", "AAAA"]) {
        return Err(texts::invalid(format!("The combination of record types {} is not valid.", kinds.join(", "))));
    }
    let policy = dns.routing_policy.clone().unwrap_or_else(|| "MULTIVALUE".to_owned());
    if kinds == ["CNAME"] && policy != "WEIGHTED" {
        return Err(texts::invalid("CNAME records need the routing policy WEIGHTED."));
    }
    Ok(DnsConfig { namespace_id: Some(home.id.clone()), routing_policy: Some(policy), ..dns })
}

pub(super) fn get(_: &Discovery, cx: &mut Context, input: GetServiceRequest) -> Result<GetServiceResponse, ApiError> {
    let scope = cx.scope.clone();
    let view = cx.view();
    let row = service(view, &scope, &input.id)?;
    Ok(GetServiceResponse { service: Some(shape(view, &scope, &row)) })
}

fn shape(view: &View, scope: &Scope, row: &Service) -> Shape {
    let summary = summary(view, scope, row);
    Shape {
        id: summary.id,
        arn: summary.arn,
        resource_owner: summary.resource_owner,
        name: summary.name,
        namespace_id: Some(row.namespace.clone()),
        description: summary.description,
        instance_count: summary.instance_count,
        dns_config: summary.dns_config,
        type_: summary.type_,
        health_check_config: None,
        health_check_custom_config: summary.health_check_custom_config,
        create_date: summary.create_date,
        creator_request_id: row.creator_request.clone(),
        created_by_account: summary.created_by_account,
    }
}

fn summary(view: &View, scope: &Scope, row: &Service) -> ServiceSummary {
    let instances = view.by_index(&Instance::BY_SERVICE, scope, &row.id).count();
    ServiceSummary {
        id: Some(row.id.clone()),
        arn: Some(row.arn(scope)),
        resource_owner: Some(scope.account.to_string()),
        name: Some(row.name.clone()),
        type_: Some(row.kind().to_owned()),
        description: row.description.clone(),
        instance_count: Some(i32::try_from(instances).unwrap_or(i32::MAX)),
        dns_config: row.dns.as_ref().map(|dns| dns.0.clone()),
        health_check_config: None,
        // Whatever is asked for, it is 1. Source: API reference, `HealthCheckCustomConfig`.
        health_check_custom_config: row.custom_health.then_some(HealthCheckCustomConfig { failure_threshold: Some(1) }),
        create_date: Some(row.created),
        created_by_account: Some(scope.account.to_string()),
    }
}

pub(super) fn list(
    _: &Discovery,
    cx: &mut Context,
    input: ListServicesRequest,
) -> Result<ListServicesResponse, ApiError> {
    let scope = cx.scope.clone();
    let filters = input.filters.unwrap_or_default();
    let view = cx.view();
    let mut found = Vec::new();
    for row in view.scan::<Service>(&scope) {
        let mut wanted = true;
        for filter in &filters {
            wanted &= passes(&scope, row, filter)?;
        }
        if wanted {
            found.push((row.id.clone(), summary(view, &scope, row)));
        }
    }
    let (services, next_token) = page::page(found, input.next_token.as_deref(), input.max_results)?;
    Ok(ListServicesResponse { services: Some(services), next_token })
}

fn passes(scope: &Scope, row: &Service, filter: &ServiceFilter) -> Result<bool, ApiError> {
    let (name, condition) = (filter.name.as_str(), filter.condition.as_deref());
    if name == "NAMESPACE_ID" {
        let id = |value: &String| ids::of(scope, "namespace", value).unwrap_or(value).to_owned();
        let values: Vec<String> = filter.values.iter().map(id).collect();
        return fits((name, condition), &values, &["EQ", "IN"], &row.namespace);
    }
    fits((name, condition), &filter.values, &["EQ"], "SELF")
}

pub(super) fn update(
    _: &Discovery,
    cx: &mut Context,
    input: UpdateServiceRequest,
) -> Result<UpdateServiceResponse, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let change = input.service;
    if change.health_check_config.is_some() {
        return Err(ApiError::not_implemented("HealthCheckConfig (Route 53 health checks)"));
    }
    let tx = cx.tx();
    let mut row = Service::clone(&*service(tx, &scope, &input.id)?);
    if change.description.is_some() {
        row.description = change.description;
    }
    if let Some(given) = change.dns_config {
        let dns = row.dns.as_mut().ok_or_else(|| texts::invalid("The service has no DnsConfig."))?;
        // Their types stay, their TTLs may change. Source: API reference, `DnsConfig`.
        let types = |records: &[DnsRecord]| {
            let mut types: Vec<String> = records.iter().map(|record| record.type_.clone()).collect();
            types.sort_unstable();
            types
        };
        if types(&given.dns_records) != types(&dns.0.dns_records) {
            return Err(texts::invalid("The types of a service's records cannot be changed."));
        }
        dns.0.dns_records = given.dns_records;
    }
    let operation = intent::operation(tx, &scope, "UPDATE_SERVICE", &[("SERVICE", &row.id)], now);
    tx.put(&scope, row);
    Ok(UpdateServiceResponse { operation_id: Some(operation) })
}

pub(super) fn delete(
    _: &Discovery,
    cx: &mut Context,
    input: DeleteServiceRequest,
) -> Result<DeleteServiceResponse, ApiError> {
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let row = service(tx, &scope, &input.id)?;
    if tx.by_index(&Instance::BY_SERVICE, &scope, &row.id).next().is_some() {
        return Err(texts::service_in_use());
    }
    tx.delete::<Service>(&scope, &row.id);
    Ok(DeleteServiceResponse {})
}
