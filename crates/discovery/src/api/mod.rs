//! The operations of Cloud Map. One file a resource.

mod attributes;
mod discover;
mod instances;
mod namespaces;
mod operations;
mod page;
mod services;
mod tags;

use crate::rows::{Namespace, Service};
use crate::{Discovery, query, texts};
use gateway::Context;
use model::servicediscovery::Handlers;
use std::sync::Arc;
use store::View;
use types::{ApiError, Scope};

pub(crate) fn handlers() -> Handlers<Discovery, Context> {
    Handlers {
        create_http_namespace: namespaces::create_http,
        create_private_dns_namespace: namespaces::create_private_dns,
        get_namespace: namespaces::get,
        list_namespaces: namespaces::list,
        update_http_namespace: namespaces::update_http,
        update_private_dns_namespace: namespaces::update_private_dns,
        delete_namespace: namespaces::delete,
        create_service: services::create,
        get_service: services::get,
        list_services: services::list,
        update_service: services::update,
        delete_service: services::delete,
        get_service_attributes: attributes::get,
        update_service_attributes: attributes::update,
        delete_service_attributes: attributes::delete,
        register_instance: instances::register,
        deregister_instance: instances::deregister,
        get_instance: instances::get,
        list_instances: instances::list,
        get_instances_health_status: instances::health,
        update_instance_custom_health_status: instances::report_health,
        discover_instances: discover::discover,
        discover_instances_revision: discover::revision,
        get_operation: operations::get,
        list_operations: operations::list,
        tag_resource: tags::tag,
        untag_resource: tags::untag,
        list_tags_for_resource: tags::list,
    }
}

/// The namespace that a request names by id or ARN.
fn namespace(view: &View, scope: &Scope, reference: &str) -> Result<Arc<Namespace>, ApiError> {
    query::namespace(view, scope, reference).ok_or_else(texts::namespace_not_found)
}

/// The service that a request names by id or ARN.
fn service(view: &View, scope: &Scope, reference: &str) -> Result<Arc<Service>, ApiError> {
    query::service(view, scope, reference).ok_or_else(texts::service_not_found)
}

/// What a filter of a list says of a text: `EQ` unless it says otherwise.
fn fits(filter: (&str, Option<&str>), values: &[String], allowed: &[&str], text: &str) -> Result<bool, ApiError> {
    let (name, condition) = (filter.0, filter.1.unwrap_or("EQ"));
    if !allowed.contains(&condition) {
        return Err(texts::bad_filter(name, condition));
    }
    match condition {
        "EQ" if values.len() != 1 => Err(texts::invalid(format!("The filter {name} takes one value with EQ."))),
        "BEGINS_WITH" => Ok(values.iter().any(|value| text.starts_with(value.as_str()))),
        _ => Ok(values.iter().any(|value| value == text)),
    }
}
