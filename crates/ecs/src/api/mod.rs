//! The handlers: requests become intent in the store, rows become answers.

mod account_settings;
mod attributes;
mod capacity;
mod capacity_providers;
mod cluster_updates;
mod clusters;
mod connect;
mod container_definition;
mod definitions;
mod deploy;
mod deployment_configuration;
mod exec;
mod fargate;
mod instances;
mod load_balancers;
mod namespaces;
mod on_instances;
mod paging;
mod placement;
mod register;
mod registries;
mod service_deployments;
mod services;
mod services_write;
mod shapes;
mod tags;
pub(crate) mod task_protection;
mod task_sets;
mod tasks;
mod volumes;

use crate::Ecs;
use crate::rows::{ClusterRow, DefinitionRow, FamilyRow};
use crate::{names, texts};
use gateway::Context;
use model::ecs::Handlers;
use std::sync::Arc;
use store::View;
use types::{ApiError, Scope};

/// Every operation.
pub fn handlers() -> Handlers<Ecs, Context> {
    Handlers {
        create_cluster: clusters::create,
        update_cluster: cluster_updates::update,
        update_cluster_settings: cluster_updates::update_settings,
        put_cluster_capacity_providers: cluster_updates::put_providers,
        delete_cluster: clusters::delete,
        create_capacity_provider: capacity_providers::create,
        describe_capacity_providers: capacity_providers::describe,
        update_capacity_provider: capacity_providers::update,
        delete_capacity_provider: capacity_providers::delete,
        register_container_instance: instances::register,
        deregister_container_instance: instances::deregister,
        describe_container_instances: instances::describe,
        list_container_instances: instances::list,
        update_container_instances_state: instances::update_state,
        update_container_agent: instances::update_agent,
        discover_poll_endpoint: instances::poll_endpoint,
        put_attributes: attributes::put,
        delete_attributes: attributes::delete,
        list_attributes: attributes::list,
        start_task: on_instances::start,
        describe_clusters: clusters::describe,
        list_clusters: clusters::list,
        register_task_definition: register::register,
        deregister_task_definition: definitions::deregister,
        delete_task_definitions: definitions::delete,
        describe_task_definition: definitions::describe,
        list_task_definitions: definitions::list,
        list_task_definition_families: definitions::list_families,
        run_task: tasks::run,
        execute_command: exec::execute,
        stop_task: tasks::stop,
        describe_tasks: tasks::describe,
        list_tasks: tasks::list,
        create_service: services_write::create,
        update_service: services_write::update,
        delete_service: services_write::delete,
        describe_services: services::describe,
        list_services: services::list,
        list_service_deployments: service_deployments::list,
        describe_service_deployments: service_deployments::describe,
        describe_service_revisions: service_deployments::describe_revisions,
        stop_service_deployment: service_deployments::stop,
        continue_service_deployment: service_deployments::proceed,
        create_task_set: task_sets::create,
        update_task_set: task_sets::update,
        delete_task_set: task_sets::delete,
        describe_task_sets: task_sets::describe,
        update_service_primary_task_set: task_sets::make_primary,
        update_task_protection: task_protection::update,
        get_task_protection: task_protection::get,
        tag_resource: tags::tag,
        put_account_setting: account_settings::put,
        put_account_setting_default: account_settings::put_default,
        delete_account_setting: account_settings::delete,
        list_account_settings: account_settings::list,
        list_services_by_namespace: namespaces::list_services,
        untag_resource: tags::untag,
        list_tags_for_resource: tags::list,
    }
}

/// The active cluster that a request names.
fn cluster(view: &View, scope: &Scope, reference: Option<&str>) -> Result<Arc<ClusterRow>, ApiError> {
    let name = names::cluster_name(scope, reference)?;
    match view.get::<ClusterRow>(scope, &name) {
        Some(row) if row.active => Ok(row),
        Some(_) => Err(texts::cluster_inactive()),
        None => Err(texts::cluster_not_found()),
    }
}

/// The revision that a request names; of a family alone the newest active one.
fn definition(view: &View, scope: &Scope, reference: &str) -> Result<Option<Arc<DefinitionRow>>, ApiError> {
    let (family, revision) = names::definition(scope, reference)?;
    if let Some(revision) = revision {
        return Ok(view.get::<DefinitionRow>(scope, &DefinitionRow::key(&family, revision)));
    }
    let Some(latest) = view.get::<FamilyRow>(scope, &family).map(|row| row.latest) else { return Ok(None) };
    let newest_first = (1..=latest).rev();
    Ok(newest_first
        .filter_map(|revision| view.get::<DefinitionRow>(scope, &DefinitionRow::key(&family, revision)))
        .find(|row| row.active))
}

/// The revision to be run: it must exist and be active.
fn runnable(view: &View, scope: &Scope, reference: &str) -> Result<Arc<DefinitionRow>, ApiError> {
    let row = definition(view, scope, reference)?.ok_or_else(|| texts::client(texts::DEFINITION_NOT_FOUND))?;
    if row.active { Ok(row) } else { Err(texts::client(texts::DEFINITION_INACTIVE)) }
}

/// A task as answers and events tell it, without its tags.
pub(crate) fn task_shape(scope: &Scope, row: &crate::rows::TaskRow) -> model::ecs::Task {
    shapes::task(scope, row, false)
}

/// A container instance as answers and events tell it, without its tags.
pub(crate) fn instance_shape(
    view: &View,
    scope: &Scope,
    row: &std::sync::Arc<crate::rows::ContainerInstanceRow>,
) -> model::ecs::ContainerInstance {
    instances::shape(view, scope, row, false)
}

pub(crate) use shapes::health;

fn includes(include: Option<&Vec<String>>, what: &str) -> bool {
    include.is_some_and(|list| list.iter().any(|item| item == what))
}
