//! Namespaces.

use super::{fits, namespace, page, tags};
use crate::rows::{Namespace, Operation, PrivateZone, Service, Tags};
use crate::{Discovery, ids, intent, query, texts};
use gateway::Context;
use model::servicediscovery::{
    CreateHttpNamespaceRequest, CreateHttpNamespaceResponse, CreatePrivateDnsNamespaceRequest,
    CreatePrivateDnsNamespaceResponse, DeleteNamespaceRequest, DeleteNamespaceResponse, DnsProperties,
    GetNamespaceRequest, GetNamespaceResponse, HttpProperties, ListNamespacesRequest, ListNamespacesResponse,
    Namespace as Shape, NamespaceFilter, NamespaceProperties, NamespaceSummary, SOA, UpdateHttpNamespaceRequest,
    UpdateHttpNamespaceResponse, UpdatePrivateDnsNamespaceRequest, UpdatePrivateDnsNamespaceResponse,
};
use std::collections::BTreeMap;
use store::{Tx, View};
use types::{ApiError, Scope, Timestamp};

/// The TTL of a new zone's SOA record. Source: Route 53 developer guide, "SOA record".
const SOA_TTL: u32 = 15;

pub(super) fn create_http(
    _: &Discovery,
    cx: &mut Context,
    input: CreateHttpNamespaceRequest,
) -> Result<CreateHttpNamespaceResponse, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    check_name(&input.name)?;
    let tags = tags::merged(&Tags::new(), input.tags.unwrap_or_default())?;
    let tx = cx.tx();
    let present = query::namespaces_named(tx, &scope, &input.name);
    if let Some(present) = present.iter().find(|row| row.zone.is_none()) {
        // A retry of the call that made it succeeds.
        let again = input.creator_request_id.is_some() && present.creator_request == input.creator_request_id;
        let operation_id = again.then(|| present.operation.clone()).ok_or_else(texts::namespace_exists)?;
        return Ok(CreateHttpNamespaceResponse { operation_id: Some(operation_id) });
    }
    let made = New { name: input.name, description: input.description, request: input.creator_request_id, tags };
    let operation_id = create(tx, &scope, made, None, now);
    Ok(CreateHttpNamespaceResponse { operation_id: Some(operation_id) })
}

pub(super) fn create_private_dns(
    _: &Discovery,
    cx: &mut Context,
    input: CreatePrivateDnsNamespaceRequest,
) -> Result<CreatePrivateDnsNamespaceResponse, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    check_name(&input.name)?;
    check_domain(&input.name)?;
    let tags = tags::merged(&Tags::new(), input.tags.unwrap_or_default())?;
    let soa_ttl = input.properties.map_or(Ok(SOA_TTL), |properties| ttl(properties.dns_properties.soa.ttl))?;
    let tx = cx.tx();
    if vpc::query::vpc(tx, &scope, &input.vpc).is_none() {
        return Ok(failed(tx, &scope, texts::no_such_vpc(&input.vpc), now));
    }
    let present = query::namespaces_named(tx, &scope, &input.name);
    for row in present {
        let Some(zone) = row.zone.as_ref().filter(|zone| zone.vpc == input.vpc) else { continue };
        if input.creator_request_id.is_some() && row.creator_request == input.creator_request_id {
            return Ok(CreatePrivateDnsNamespaceResponse { operation_id: Some(row.operation.clone()) });
        }
        let text = texts::conflicting_domain(&zone.vpc, scope.region.as_str(), &zone.hosted_zone);
        return Ok(failed(tx, &scope, text, now));
    }
    let zone = PrivateZone { vpc: input.vpc, hosted_zone: ids::hosted_zone(), soa_ttl };
    let made = New { name: input.name, description: input.description, request: input.creator_request_id, tags };
    let operation_id = create(tx, &scope, made, Some(zone), now);
    Ok(CreatePrivateDnsNamespaceResponse { operation_id: Some(operation_id) })
}

/// What Route 53 refuses, is told by the operation.
fn failed(tx: &mut Tx, scope: &Scope, text: String, now: Timestamp) -> CreatePrivateDnsNamespaceResponse {
    let row = Operation {
        id: ids::operation(),
        kind: "CREATE_NAMESPACE".to_owned(),
        failure: Some((texts::CANNOT_CREATE_HOSTED_ZONE.to_owned(), text)),
        at: now,
        targets: BTreeMap::new(),
    };
    CreatePrivateDnsNamespaceResponse { operation_id: Some(tx.put(scope, row).id.clone()) }
}

struct New {
    name: String,
    description: Option<String>,
    request: Option<String>,
    tags: Tags,
}

fn create(tx: &mut Tx, scope: &Scope, new: New, zone: Option<PrivateZone>, now: Timestamp) -> String {
    let id = ids::namespace();
    let operation = intent::operation(tx, scope, "CREATE_NAMESPACE", &[("NAMESPACE", &id)], now);
    tx.put(
        scope,
        Namespace {
            id,
            name: new.name,
            zone,
            description: new.description,
            created: now,
            creator_request: new.request,
            operation: operation.clone(),
            tags: new.tags,
        },
    );
    operation
}

fn check_name(name: &str) -> Result<(), ApiError> {
    if name.is_empty() || name.starts_with("arn:") {
        return Err(texts::invalid("The name of a namespace must not be empty, nor begin with arn:"));
    }
    Ok(())
}

/// A name that can be asked for.
fn check_domain(name: &str) -> Result<(), ApiError> {
    let label = |label: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(plain)
    };
    if name.split('.').all(label) { Ok(()) } else { Err(texts::invalid(format!("{name:?} is not a domain name."))) }
}

fn ttl(given: i64) -> Result<u32, ApiError> {
    u32::try_from(given).map_err(|_| texts::invalid("The TTL is out of range."))
}

pub(super) fn get(
    _: &Discovery,
    cx: &mut Context,
    input: GetNamespaceRequest,
) -> Result<GetNamespaceResponse, ApiError> {
    let scope = cx.scope.clone();
    let view = cx.view();
    let row = namespace(view, &scope, &input.id)?;
    let summary = summary(view, &scope, &row);
    let shape = Shape {
        id: summary.id,
        arn: summary.arn,
        resource_owner: summary.resource_owner,
        name: summary.name,
        type_: summary.type_,
        description: summary.description,
        service_count: summary.service_count,
        properties: summary.properties,
        create_date: summary.create_date,
        creator_request_id: row.creator_request.clone(),
    };
    Ok(GetNamespaceResponse { namespace: Some(shape) })
}

fn summary(view: &View, scope: &Scope, row: &Namespace) -> NamespaceSummary {
    let services = view.by_index(&Service::BY_NAMESPACE, scope, &row.id).count();
    let dns = row.zone.as_ref().map(|zone| DnsProperties {
        hosted_zone_id: Some(zone.hosted_zone.clone()),
        soa: Some(SOA { ttl: i64::from(zone.soa_ttl) }),
    });
    let http = HttpProperties { http_name: Some(row.name.clone()) };
    NamespaceSummary {
        id: Some(row.id.clone()),
        arn: Some(row.arn(scope)),
        resource_owner: Some(scope.account.to_string()),
        name: Some(row.name.clone()),
        type_: Some(row.kind().to_owned()),
        description: row.description.clone(),
        service_count: Some(i32::try_from(services).unwrap_or(i32::MAX)),
        properties: Some(NamespaceProperties { dns_properties: dns, http_properties: Some(http) }),
        create_date: Some(row.created),
    }
}

pub(super) fn list(
    _: &Discovery,
    cx: &mut Context,
    input: ListNamespacesRequest,
) -> Result<ListNamespacesResponse, ApiError> {
    let scope = cx.scope.clone();
    let filters = input.filters.unwrap_or_default();
    let view = cx.view();
    let mut found = Vec::new();
    for row in view.scan::<Namespace>(&scope) {
        let mut wanted = true;
        for filter in &filters {
            wanted &= passes(row, filter)?;
        }
        if wanted {
            found.push((row.id.clone(), summary(view, &scope, row)));
        }
    }
    let (namespaces, next_token) = page::page(found, input.next_token.as_deref(), input.max_results)?;
    Ok(ListNamespacesResponse { namespaces: Some(namespaces), next_token })
}

fn passes(row: &Namespace, filter: &NamespaceFilter) -> Result<bool, ApiError> {
    let (name, condition) = (filter.name.as_str(), filter.condition.as_deref());
    let (text, allowed): (&str, &[&str]) = match name {
        "TYPE" => (row.kind(), &["EQ", "IN"]),
        "NAME" | "HTTP_NAME" => (&row.name, &["EQ", "BEGINS_WITH"]),
        _ => ("SELF", &["EQ"]),
    };
    fits((name, condition), &filter.values, allowed, text)
}

pub(super) fn update_http(
    _: &Discovery,
    cx: &mut Context,
    input: UpdateHttpNamespaceRequest,
) -> Result<UpdateHttpNamespaceResponse, ApiError> {
    let description = Some(input.namespace.description);
    let operation_id = update(cx, &input.id, |row| {
        if row.zone.is_some() {
            return Err(texts::namespace_not_found());
        }
        row.description = description;
        Ok(())
    })?;
    Ok(UpdateHttpNamespaceResponse { operation_id: Some(operation_id) })
}

pub(super) fn update_private_dns(
    _: &Discovery,
    cx: &mut Context,
    input: UpdatePrivateDnsNamespaceRequest,
) -> Result<UpdatePrivateDnsNamespaceResponse, ApiError> {
    let soa_ttl = input.namespace.properties.map(|properties| ttl(properties.dns_properties.soa.ttl)).transpose()?;
    let description = input.namespace.description;
    let operation_id = update(cx, &input.id, |row| {
        let zone = row.zone.as_mut().ok_or_else(texts::namespace_not_found)?;
        zone.soa_ttl = soa_ttl.unwrap_or(zone.soa_ttl);
        if description.is_some() {
            row.description = description;
        }
        Ok(())
    })?;
    Ok(UpdatePrivateDnsNamespaceResponse { operation_id: Some(operation_id) })
}

fn update(
    cx: &mut Context,
    id: &str,
    change: impl FnOnce(&mut Namespace) -> Result<(), ApiError>,
) -> Result<String, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let mut row = Namespace::clone(&*namespace(tx, &scope, id)?);
    change(&mut row)?;
    let operation = intent::operation(tx, &scope, "UPDATE_NAMESPACE", &[("NAMESPACE", &row.id)], now);
    tx.put(&scope, row);
    Ok(operation)
}

pub(super) fn delete(
    _: &Discovery,
    cx: &mut Context,
    input: DeleteNamespaceRequest,
) -> Result<DeleteNamespaceResponse, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let row = namespace(tx, &scope, &input.id)?;
    if tx.by_index(&Service::BY_NAMESPACE, &scope, &row.id).next().is_some() {
        return Err(texts::namespace_in_use());
    }
    tx.delete::<Namespace>(&scope, &row.id);
    let operation = intent::operation(tx, &scope, "DELETE_NAMESPACE", &[("NAMESPACE", &row.id)], now);
    Ok(DeleteNamespaceResponse { operation_id: Some(operation) })
}
