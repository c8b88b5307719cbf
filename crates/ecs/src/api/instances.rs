//! Container instances: Register, Deregister, Describe, List, UpdateContainerInstancesState.

use super::clusters::missing;
use super::{cluster, includes, paging, shapes};
use crate::control::instances as agent;
use crate::placing::Member;
use crate::ports::Standing;
use crate::rows::{
    ContainerInstanceRow, INSTANCES_BY_CLUSTER, INSTANCES_BY_EC2, InstanceStatus, TASKS_BY_INSTANCE, TaskRow,
};
use crate::{Ecs, names, texts};
use gateway::Context;
use model::ecs::{
    Attribute, ContainerInstance, DeregisterContainerInstanceRequest, DeregisterContainerInstanceResponse,
    DescribeContainerInstancesRequest, DescribeContainerInstancesResponse, DiscoverPollEndpointRequest,
    DiscoverPollEndpointResponse, ListContainerInstancesRequest, ListContainerInstancesResponse,
    RegisterContainerInstanceRequest, RegisterContainerInstanceResponse, Resource, UpdateContainerAgentRequest,
    UpdateContainerAgentResponse, UpdateContainerInstancesStateRequest, UpdateContainerInstancesStateResponse,
    VersionInfo,
};
use rollout::TaskStatus;
use rollout::placement::{Expression, Protocol};
use std::sync::Arc;
use store::View;
use types::{ApiError, Scope};

/// The container instance that a request names, deregistered or not.
pub(super) fn find(
    view: &View,
    scope: &Scope,
    reference: &str,
    cluster: &str,
) -> Result<Option<Arc<ContainerInstanceRow>>, ApiError> {
    let id = names::in_cluster(scope, reference, "container-instance", cluster)?;
    Ok(view.get::<ContainerInstanceRow>(scope, &id).filter(|row| row.cluster == cluster))
}

pub(super) fn absent(scope: &Scope, reference: &str, cluster: &str) -> model::ecs::Failure {
    let id = reference.rsplit('/').next().unwrap_or(reference);
    missing(names::container_instance_arn(scope, cluster, id))
}

pub(super) fn register(
    ecs: &Ecs,
    cx: &mut Context,
    input: RegisterContainerInstanceRequest,
) -> Result<RegisterContainerInstanceResponse, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    if input.total_resources.is_some() || input.version_info.is_some() || input.platform_devices.is_some() {
        return Err(ApiError::not_implemented("agents other than its own: an instance has what its type has"));
    }
    let document: serde_json::Value = input
        .instance_identity_document
        .as_deref()
        .and_then(|text| serde_json::from_str(text).ok())
        .ok_or_else(|| texts::invalid(texts::IDENTITY_DOCUMENT))?;
    let id = document["instanceId"].as_str().unwrap_or_default().to_owned();
    let tags = shapes::tag_rows(input.tags.as_deref().unwrap_or_default())?;
    let tx = cx.tx();
    let cluster = cluster(tx, &scope, input.cluster.as_deref())?;
    let Standing::Ready(instance) = ecs.ports.instances.standing(tx, &scope, &id) else {
        return Err(texts::invalid(texts::IDENTITY_DOCUMENT));
    };
    let known = tx.by_index(&INSTANCES_BY_EC2, &scope, &id).find(|row| row.status != InstanceStatus::Inactive);
    if let Some(known) = known.cloned() {
        if known.cluster != cluster.name {
            return Err(texts::invalid("The instance is registered with another cluster."));
        }
        return Ok(RegisterContainerInstanceResponse { container_instance: Some(shape(tx, &scope, &known, true)) });
    }
    let mut row = agent::enrol(&instance, cluster.name.clone(), now);
    for attribute in input.attributes.unwrap_or_default() {
        row.attributes.entry(attribute.name).or_insert(attribute.value);
    }
    row.tags.extend(tags);
    let row = tx.put(&scope, row);
    Ok(RegisterContainerInstanceResponse { container_instance: Some(shape(tx, &scope, &row, true)) })
}

pub(super) fn deregister(
    _: &Ecs,
    cx: &mut Context,
    input: DeregisterContainerInstanceRequest,
) -> Result<DeregisterContainerInstanceResponse, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let cluster = cluster(tx, &scope, input.cluster.as_deref())?;
    let row = find(tx, &scope, &input.container_instance, &cluster.name)?;
    let row = row.filter(|row| row.status != InstanceStatus::Inactive);
    let row = row.ok_or_else(|| texts::client(texts::instance_not_found(&input.container_instance)))?;
    let busy = tx.by_index(&TASKS_BY_INSTANCE, &scope, &row.id).any(|task| task.last < TaskStatus::Stopped);
    if busy && input.force != Some(true) {
        return Err(texts::invalid(texts::INSTANCE_HAS_TASKS));
    }
    agent::end_tasks(tx, &scope, &row.id, texts::DEREGISTRATION_FORCED, now);
    agent::deregister(tx, &scope, &row.id, now);
    let row = tx.get::<ContainerInstanceRow>(&scope, &row.id).ok_or_else(ApiError::internal)?;
    Ok(DeregisterContainerInstanceResponse { container_instance: Some(shape(tx, &scope, &row, true)) })
}

pub(super) fn describe(
    _: &Ecs,
    cx: &mut Context,
    input: DescribeContainerInstancesRequest,
) -> Result<DescribeContainerInstancesResponse, ApiError> {
    if includes(input.include.as_ref(), "CONTAINER_INSTANCE_HEALTH") {
        // An instance's runtime is the machine's, which nobody checks for it.
        return Err(ApiError::not_implemented("the health of container instances (CONTAINER_INSTANCE_HEALTH)"));
    }
    let scope = cx.scope.clone();
    let view = cx.view();
    let cluster = cluster(view, &scope, input.cluster.as_deref())?;
    if input.container_instances.is_empty() {
        return Err(texts::invalid(texts::INSTANCES_EMPTY));
    }
    if input.container_instances.len() > 100 {
        return Err(texts::invalid("Container instances cannot have more than 100 elements"));
    }
    let with_tags = includes(input.include.as_ref(), "TAGS");
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for reference in &input.container_instances {
        match find(view, &scope, reference, &cluster.name)? {
            Some(row) => found.push(shape(view, &scope, &row, with_tags)),
            None => failures.push(absent(&scope, reference, &cluster.name)),
        }
    }
    Ok(DescribeContainerInstancesResponse { container_instances: Some(found), failures: Some(failures) })
}

pub(super) fn list(
    _: &Ecs,
    cx: &mut Context,
    input: ListContainerInstancesRequest,
) -> Result<ListContainerInstancesResponse, ApiError> {
    let scope = cx.scope.clone();
    let view = cx.view();
    let cluster = cluster(view, &scope, input.cluster.as_deref())?;
    let filter = input.filter.as_deref().filter(|text| !text.is_empty()).map(Expression::parse).transpose();
    let filter = filter.map_err(|why| texts::invalid(texts::expression_malformed(&why)))?;
    let status = input.status.as_deref();
    let rows = view.by_index(&INSTANCES_BY_CLUSTER, &scope, &cluster.name);
    let wanted = rows.filter(|row| {
        row.status != InstanceStatus::Inactive
            && status.is_none_or(|status| row.status.as_str() == status)
            && filter.as_ref().is_none_or(|filter| filter.selects(&Member::of(view, &scope, row).seen))
    });
    let items = wanted.map(|row| (row.id.clone(), names::container_instance_arn(&scope, &row.cluster, &row.id)));
    let (arns, next_token) = paging::page(items, input.next_token.as_deref(), input.max_results, 100)?;
    Ok(ListContainerInstancesResponse { container_instance_arns: Some(arns), next_token })
}

pub(super) fn update_state(
    _: &Ecs,
    cx: &mut Context,
    input: UpdateContainerInstancesStateRequest,
) -> Result<UpdateContainerInstancesStateResponse, ApiError> {
    let scope = cx.scope.clone();
    let status = match input.status.as_str() {
        "ACTIVE" => InstanceStatus::Active,
        "DRAINING" => InstanceStatus::Draining,
        _ => return Err(texts::invalid("Container instance status should be one of [ACTIVE, DRAINING].")),
    };
    let tx = cx.tx();
    let cluster = cluster(tx, &scope, input.cluster.as_deref())?;
    if input.container_instances.is_empty() {
        return Err(texts::invalid(texts::INSTANCES_EMPTY));
    }
    if input.container_instances.len() > 10 {
        return Err(texts::invalid("Container instances cannot have more than 10 elements"));
    }
    let (mut changed, mut failures) = (Vec::new(), Vec::new());
    for reference in &input.container_instances {
        let row = find(tx, &scope, reference, &cluster.name)?.filter(|row| row.status != InstanceStatus::Inactive);
        let Some(row) = row else {
            failures.push(absent(&scope, reference, &cluster.name));
            continue;
        };
        let row = tx.update::<ContainerInstanceRow>(&scope, &row.id, |row| {
            if row.status != status {
                row.status = status;
                row.version += 1;
            }
        });
        changed.extend(row.map(|row| shape(tx, &scope, &row, true)));
    }
    Ok(UpdateContainerInstancesStateResponse { container_instances: Some(changed), failures: Some(failures) })
}

pub(super) fn update_agent(
    _: &Ecs,
    _: &mut Context,
    _: UpdateContainerAgentRequest,
) -> Result<UpdateContainerAgentResponse, ApiError> {
    Err(ApiError::not_implemented("other versions of the container agent"))
}

pub(super) fn poll_endpoint(
    _: &Ecs,
    _: &mut Context,
    _: DiscoverPollEndpointRequest,
) -> Result<DiscoverPollEndpointResponse, ApiError> {
    Err(ApiError::not_implemented("agents other than its own"))
}

/// A container instance as it stands in `view`.
pub(super) fn shape(view: &View, scope: &Scope, row: &Arc<ContainerInstanceRow>, with_tags: bool) -> ContainerInstance {
    let seen = Member::of(view, scope, row).seen;
    let tasks = view.by_index(&TASKS_BY_INSTANCE, scope, &row.id).filter(|task| task.last < TaskStatus::Stopped);
    let counts = shapes::Counts::of(tasks.map(|task: &Arc<TaskRow>| task.as_ref()));
    let attribute = |(name, value): (&String, &Option<String>)| Attribute {
        name: name.clone(),
        value: value.clone(),
        ..Attribute::default()
    };
    ContainerInstance {
        container_instance_arn: Some(names::container_instance_arn(scope, &row.cluster, &row.id)),
        ec2_instance_id: Some(row.ec2.clone()),
        capacity_provider_name: row.capacity_provider.clone(),
        version: Some(row.version),
        version_info: Some(VersionInfo {
            agent_version: Some(row.agent_version.clone()),
            agent_hash: None,
            docker_version: None,
        }),
        remaining_resources: Some(resources(seen.cpu, seen.memory, &seen.ports)),
        registered_resources: Some(resources(row.cpu, row.memory, &row.reserved_ports)),
        status: Some(row.status.as_str().to_owned()),
        agent_connected: Some(row.connected),
        running_tasks_count: Some(counts.running),
        pending_tasks_count: Some(counts.pending),
        attributes: Some(row.attributes.iter().map(attribute).collect()),
        registered_at: Some(row.registered_at),
        attachments: Some(vec![]),
        tags: Some(if with_tags { shapes::tags(&row.tags) } else { vec![] }),
        ..ContainerInstance::default()
    }
}

fn resources(cpu: u32, memory: u32, ports: &std::collections::BTreeSet<(Protocol, u16)>) -> Vec<Resource> {
    let number = |name: &str, value: u32| Resource {
        name: Some(name.to_owned()),
        type_: Some("INTEGER".to_owned()),
        double_value: Some(0.0),
        long_value: Some(0),
        integer_value: Some(i32::try_from(value).unwrap_or(i32::MAX)),
        string_set_value: None,
    };
    let set = |name: &str, protocol: Protocol| Resource {
        name: Some(name.to_owned()),
        type_: Some("STRINGSET".to_owned()),
        double_value: Some(0.0),
        long_value: Some(0),
        integer_value: Some(0),
        string_set_value: Some(
            ports.iter().filter(|(of, _)| *of == protocol).map(|(_, port)| port.to_string()).collect(),
        ),
    };
    vec![number("CPU", cpu), number("MEMORY", memory), set("PORTS", Protocol::Tcp), set("PORTS_UDP", Protocol::Udp)]
}
