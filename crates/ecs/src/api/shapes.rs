//! Rows as AWS's shapes.

use super::{connect, placement};
use crate::placing::is_on_instances;
use crate::rows::{
    BindingRow, ContainerRow, ControllerType, DeploymentRow, Health, NetworkRow, ServiceRow, Tag as TagRow, TargetRow,
    TaskRow,
};
use crate::{names, texts};
use model::ecs::{
    AdvancedConfiguration, Attachment, Attribute, AwsVpcConfiguration, CapacityProviderStrategyItem, Container,
    Deployment, DeploymentController, EphemeralStorage, KeyValuePair, LoadBalancer, ManagedAgent, NetworkBinding,
    NetworkConfiguration, NetworkInterface, Service, ServiceCurrentRevisionSummary, ServiceEvent, Tag, Task,
    TaskEphemeralStorage,
};
use rollout::{DesiredStatus, StrategyItem, TaskStatus};
use types::{ApiError, Scope};

/// The newest Fargate platform of Linux tasks.
pub(crate) const PLATFORM_VERSION: &str = "1.4.0";

pub(super) fn tags(rows: &[TagRow]) -> Vec<Tag> {
    rows.iter().map(|row| Tag { key: Some(row.key.clone()), value: Some(row.value.clone()) }).collect()
}

/// Tags as given, checked.
pub(super) fn tag_rows(given: &[Tag]) -> Result<Vec<TagRow>, ApiError> {
    let mut rows: Vec<TagRow> = Vec::with_capacity(given.len());
    for tag in given {
        let (key, value) = (tag.key.clone().unwrap_or_default(), tag.value.clone().unwrap_or_default());
        if key.is_empty() || key.chars().count() > 128 {
            return Err(texts::invalid(
                "Tag key must have length greater than or equal to 1 and less than or equal to 128.",
            ));
        }
        if value.chars().count() > 256 {
            return Err(texts::invalid("Tag value must have length less than or equal to 256."));
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(texts::invalid("Tag keys must not start with aws:"));
        }
        if rows.iter().any(|row| row.key == key) {
            return Err(texts::invalid(texts::duplicate_tag(&key)));
        }
        rows.push(TagRow { key, value });
    }
    if rows.len() > 50 {
        return Err(texts::invalid("The number of tags exceeds the maximum of 50."));
    }
    Ok(rows)
}

pub(super) fn strategy(rows: &[StrategyItem]) -> Vec<CapacityProviderStrategyItem> {
    let item = |row: &StrategyItem| CapacityProviderStrategyItem {
        capacity_provider: row.provider.clone(),
        weight: Some(count(row.weight)),
        base: Some(count(row.base)),
    };
    rows.iter().map(item).collect()
}

pub(super) fn network(row: &NetworkRow) -> NetworkConfiguration {
    let vpc = AwsVpcConfiguration {
        subnets: row.places.iter().map(|place| place.subnet.clone()).collect(),
        security_groups: Some(if row.groups_named { row.security_groups.clone() } else { vec![] }),
        assign_public_ip: Some(if row.assign_public_ip { "ENABLED" } else { "DISABLED" }.to_owned()),
    };
    NetworkConfiguration { awsvpc_configuration: Some(vpc) }
}

/// Tasks without interfaces of their own have none.
pub(super) fn shown_network(row: &NetworkRow) -> Option<NetworkConfiguration> {
    (!row.places.is_empty()).then(|| network(row))
}

/// Load balancer entries without more.
pub(super) fn plain_load_balancers(rows: &[TargetRow]) -> Vec<LoadBalancer> {
    let entry = |row: &TargetRow| LoadBalancer {
        target_group_arn: Some(row.group.clone()),
        container_name: Some(row.container.clone()),
        container_port: Some(i32::from(row.port)),
        ..LoadBalancer::default()
    };
    rows.iter().map(entry).collect()
}

/// The load balancer entries of a service, as they were given.
pub(super) fn load_balancers(service: &ServiceRow) -> Vec<LoadBalancer> {
    let mut entries = plain_load_balancers(&service.targets);
    for (entry, shift) in entries.iter_mut().zip(&service.shifts) {
        entry.advanced_configuration = Some(AdvancedConfiguration {
            alternate_target_group_arn: Some(shift.alternate.clone()),
            production_listener_rule: Some(shift.production.clone()),
            test_listener_rule: shift.test.clone(),
            role_arn: Some(shift.role.clone()),
        });
    }
    entries
}

/// A task.
pub(super) fn task(scope: &Scope, row: &TaskRow, with_tags: bool) -> Task {
    let on_fargate = !row.is_on_instance();
    let containers = row.containers.iter().map(|container| self::container(scope, row, container));
    let connectivity = row
        .connectivity_at
        .map(|_| if row.last >= TaskStatus::Deprovisioning { "DISCONNECTED" } else { "CONNECTED" }.to_owned());
    Task {
        attachments: Some(
            row.has_own_interface().then(|| attachment(row)).into_iter().chain(connect::attachment(row)).collect(),
        ),
        attributes: Some(vec![Attribute {
            name: "ecs.cpu-architecture".to_owned(),
            value: Some("x86_64".to_owned()),
            ..Attribute::default()
        }]),
        availability_zone: Some(row.placement.zone.clone()).filter(|zone| !zone.is_empty()),
        capacity_provider_name: row.capacity_provider.clone(),
        cluster_arn: Some(names::cluster_arn(scope, &row.cluster)),
        container_instance_arn: row
            .host
            .as_ref()
            .map(|host| names::container_instance_arn(scope, &row.cluster, &host.instance)),
        connectivity,
        connectivity_at: row.connectivity_at,
        containers: Some(containers.chain(connect::container(scope, row)).collect()),
        cpu: Some(row.cpu.to_string()),
        created_at: Some(row.created_at),
        desired_status: Some(row.desired.to_string()),
        enable_execute_command: Some(row.enable_execute_command),
        execution_stopped_at: row.execution_stopped_at,
        group: Some(row.group.clone()),
        health_status: Some(health(row).as_str().to_owned()),
        last_status: Some(row.last.to_string()),
        launch_type: Some(launch_type(row).to_owned()),
        memory: Some(row.memory.to_string()),
        overrides: Some(overrides(row)),
        platform_version: on_fargate.then(|| PLATFORM_VERSION.to_owned()),
        platform_family: on_fargate.then(|| "Linux".to_owned()),
        pull_started_at: row.pull_started_at,
        pull_stopped_at: row.pull_stopped_at,
        started_at: row.started_at,
        started_by: row.started_by.clone(),
        stop_code: row.stop.as_ref().map(|stop| stop.code.to_string()),
        stopped_reason: row.stop.as_ref().map(|stop| stop.reason.clone()),
        stopping_at: row.stopping_at,
        stopped_at: row.stopped_at,
        tags: Some(if with_tags { tags(&row.tags) } else { vec![] }),
        task_arn: Some(names::task_arn(scope, &row.cluster, &row.id)),
        task_definition_arn: Some(row.definition_arn.clone()),
        version: Some(row.version),
        inference_accelerators: Some(vec![]),
        ephemeral_storage: on_fargate.then_some(EphemeralStorage { size_in_gi_b: row.storage_gib }),
        fargate_ephemeral_storage: on_fargate
            .then_some(TaskEphemeralStorage { size_in_gi_b: Some(row.storage_gib), kms_key_id: None }),
        ..Task::default()
    }
}

/// `launchType`, which a task has with a capacity provider, too.
pub(super) fn launch_type(row: &TaskRow) -> &str {
    let of_capacity = if row.is_on_instance() { "EC2" } else { "FARGATE" };
    row.launch_type.as_deref().unwrap_or(of_capacity)
}

/// All essential checked containers together.
pub(crate) fn health(row: &TaskRow) -> Health {
    let mut checked = row.containers.iter().filter(|container| container.checked && container.essential).peekable();
    if checked.peek().is_none() {
        return Health::Unknown;
    }
    let mut all = Health::Healthy;
    for container in checked {
        match container.health {
            Health::Unhealthy => return Health::Unhealthy,
            Health::Unknown => all = Health::Unknown,
            Health::Healthy => {}
        }
    }
    all
}

fn overrides(row: &TaskRow) -> model::ecs::TaskOverride {
    let mut overrides = row.overrides.0.clone();
    // Every container has an entry in the answer.
    let entries = overrides.container_overrides.get_or_insert_default();
    for container in &row.containers {
        if !entries.iter().any(|entry| entry.name.as_ref() == Some(&container.name)) {
            entries.push(model::ecs::ContainerOverride { name: Some(container.name.clone()), ..Default::default() });
        }
    }
    overrides.inference_accelerator_overrides.get_or_insert_default();
    overrides
}

fn attachment(row: &TaskRow) -> Attachment {
    let pair = |name: &str, value: String| KeyValuePair { name: Some(name.to_owned()), value: Some(value) };
    let mut details = vec![];
    // One that waits for an instance does not know its subnet yet.
    if !row.placement.subnet.is_empty() {
        details.push(pair("subnetId", row.placement.subnet.clone()));
    }
    if let Some(eni) = &row.eni {
        details.push(pair("networkInterfaceId", eni.id.clone()));
        details.push(pair("macAddress", eni.mac.clone()));
        details.extend(eni.private_dns.clone().map(|name| pair("privateDnsName", name)));
        details.push(pair("privateIPv4Address", eni.ip.to_string()));
        details.extend(eni.ipv6.map(|ip| pair("ipv6Address", ip.to_string())));
    }
    let status = match row.last {
        TaskStatus::Provisioning if row.eni.is_none() => "PRECREATED",
        TaskStatus::Provisioning => "ATTACHING",
        TaskStatus::Stopped | TaskStatus::Deprovisioning => "DELETED",
        _ => "ATTACHED",
    };
    Attachment {
        id: Some(row.attachment_id.clone()),
        type_: Some("ElasticNetworkInterface".to_owned()),
        status: Some(status.to_owned()),
        details: Some(details),
    }
}

fn container(scope: &Scope, task: &TaskRow, row: &ContainerRow) -> Container {
    let interface = |eni: &crate::rows::EniRow| NetworkInterface {
        attachment_id: Some(task.attachment_id.clone()),
        private_ipv4_address: Some(eni.ip.to_string()),
        ipv6_address: eni.ipv6.map(|ip| ip.to_string()),
    };
    Container {
        container_arn: Some(names::container_arn(scope, &task.cluster, &task.id, &row.uuid)),
        task_arn: Some(names::task_arn(scope, &task.cluster, &task.id)),
        name: Some(row.name.clone()),
        image: Some(row.image.clone()),
        image_digest: row.digest.clone(),
        runtime_id: row.started_at.map(|_| row.runtime_id.clone()),
        last_status: Some(row.last.to_string()),
        exit_code: row.exit_code,
        reason: row.reason.clone(),
        network_bindings: row.started_at.map(|_| bindings(task, &row.name)),
        network_interfaces: Some(task.eni.iter().filter(|_| task.has_own_interface()).map(interface).collect()),
        health_status: Some(row.health.as_str().to_owned()),
        managed_agents: task.enable_execute_command.then(|| vec![exec_agent(row)]),
        cpu: Some(row.cpu.to_string()),
        memory: row.memory.map(|mib| mib.to_string()),
        memory_reservation: row.memory_reservation.map(|mib| mib.to_string()),
        ..Container::default()
    }
}

/// Where a container's ports are on its instance.
fn bindings(task: &TaskRow, container: &str) -> Vec<NetworkBinding> {
    let rows = task.host.iter().flat_map(|host| &host.bindings).filter(|binding| binding.container == container);
    let shown = |row: &BindingRow| NetworkBinding {
        bind_ip: Some("0.0.0.0".to_owned()),
        container_port: Some(i32::from(row.container_port)),
        host_port: Some(i32::from(row.host_port)),
        protocol: Some(row.protocol.as_str().to_owned()),
        ..NetworkBinding::default()
    };
    rows.map(shown).collect()
}

/// The agent of ECS Exec, which runs as long as its container. Whether it can do anything, AWS does not tell here either.
fn exec_agent(row: &ContainerRow) -> ManagedAgent {
    let (status, reason) = match row.last {
        TaskStatus::Running => ("RUNNING", None),
        TaskStatus::Stopped => ("STOPPED", Some("Received Container Stopped event".to_owned())),
        _ => ("PENDING", None),
    };
    ManagedAgent {
        name: Some("ExecuteCommandAgent".to_owned()),
        last_status: Some(status.to_owned()),
        last_started_at: row.started_at,
        reason,
    }
}

/// How many tasks are where.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) running: i32,
    pub(super) pending: i32,
}

impl Counts {
    pub(super) fn of<'a>(tasks: impl Iterator<Item = &'a TaskRow>) -> Self {
        let mut counts = Self::default();
        for task in tasks {
            if task.last == TaskStatus::Running {
                counts.running += 1;
            } else if task.last.is_pending() && task.desired == DesiredStatus::Running {
                counts.pending += 1;
            }
        }
        counts
    }
}

pub(super) fn count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn deployment(service: &ServiceRow, row: &DeploymentRow, tasks: &[&TaskRow]) -> Deployment {
    let id = Some(row.state.id.as_str());
    let counts = Counts::of(tasks.iter().copied().filter(|task| task.started_by.as_deref() == id));
    let primary = row.state.status == rollout::DeploymentStatus::Primary;
    let on_fargate = !is_on_instances(service);
    // Where traffic is shifted, what serves is kept whole beside it.
    let shifting = super::deployment_configuration::shifts(&service.deployment_configuration);
    let serves = shifting && service.last_completed.as_deref() == id;
    Deployment {
        id: Some(row.state.id.clone()),
        status: Some(row.state.status.to_string()),
        task_definition: Some(row.definition_arn.clone()),
        desired_count: Some(if primary || serves { count(service.desired) } else { 0 }),
        pending_count: Some(counts.pending),
        running_count: Some(counts.running),
        failed_tasks: Some(count(row.state.failed_tasks)),
        created_at: Some(row.created_at),
        updated_at: Some(row.updated_at),
        capacity_provider_strategy: (!service.strategy.is_empty()).then(|| strategy(&service.strategy)),
        launch_type: service.launch_type.clone(),
        platform_version: on_fargate.then(|| PLATFORM_VERSION.to_owned()),
        platform_family: on_fargate.then(|| "Linux".to_owned()),
        network_configuration: shown_network(&row.network),
        rollout_state: Some(row.state.rollout.to_string()),
        rollout_state_reason: Some(row.reason.clone()),
        service_connect_configuration: row.connect.as_ref().map(|connect| connect.configuration.0.clone()),
        service_connect_resources: row.connect.as_ref().map(connect::resources),
        ..Deployment::default()
    }
}

/// One that was replaced is shown as long as it has tasks, ending ones among them, or is to have some: `services-stable` waits for
/// their end. Source: API reference, `Deployment.status`.
fn is_shown(shape: &Deployment, tasks: &[&TaskRow]) -> bool {
    let has_tasks = || tasks.iter().any(|task| task.started_by == shape.id && task.last != TaskStatus::Stopped);
    shape.status.as_deref() == Some("PRIMARY") || shape.desired_count.is_some_and(|count| count > 0) || has_tasks()
}

/// A service with its tasks and events.
pub(super) fn service(
    scope: &Scope,
    row: &ServiceRow,
    tasks: &[&TaskRow],
    events: Vec<ServiceEvent>,
    with_tags: bool,
) -> Service {
    let counts = Counts::of(tasks.iter().copied());
    let primary = row.primary();
    let external = row.controller == ControllerType::External;
    let shown = row.deployments.iter().filter(|_| !external).map(|it| (it, deployment(row, it, tasks)));
    let shown = shown.filter(|(_, shape)| is_shown(shape, tasks));
    let (kept, deployments): (Vec<&DeploymentRow>, Vec<Deployment>) = shown.unzip();
    let revisions = kept.into_iter().map(|deployment| {
        let (requested, running, pending) = super::service_deployments::counts(Some(deployment), tasks);
        ServiceCurrentRevisionSummary {
            arn: Some(names::service_revision_arn(scope, &row.cluster, &row.name, deployment.digits())),
            requested_task_count: Some(requested),
            running_task_count: Some(running),
            pending_task_count: Some(pending),
        }
    });
    let sets = external.then(|| {
        let sets = row.deployments.iter();
        sets.map(|set| super::task_sets::shape(scope, row, set, tasks, with_tags)).collect()
    });
    let newest = row.service_deployment.as_deref();
    let inactive = row.status == crate::rows::ServiceStatus::Inactive;
    let on_fargate = !is_on_instances(row);
    Service {
        service_arn: Some(names::service_arn(scope, &row.cluster, &row.name)),
        service_name: Some(row.name.clone()),
        cluster_arn: Some(names::cluster_arn(scope, &row.cluster)),
        load_balancers: Some(load_balancers(row)),
        service_registries: Some(super::registries::shown(&row.registries)),
        status: Some(row.status.as_str().to_owned()),
        desired_count: Some(count(row.desired)),
        running_count: Some(counts.running),
        pending_count: Some(counts.pending),
        launch_type: row.launch_type.clone(),
        capacity_provider_strategy: (!row.strategy.is_empty()).then(|| strategy(&row.strategy)),
        platform_version: primary.filter(|_| on_fargate).map(|deployment| deployment.platform_version.clone()),
        platform_family: on_fargate.then(|| "Linux".to_owned()),
        task_definition: primary.map(|deployment| deployment.definition_arn.clone()),
        deployment_configuration: Some(row.deployment_configuration.0.clone()),
        current_service_revisions: (!inactive && !external).then(|| revisions.collect()),
        current_service_deployment: newest
            .filter(|_| !inactive)
            .map(|id| names::service_deployment_arn(scope, &row.cluster, &row.name, id)),
        deployments: Some(if inactive { vec![] } else { deployments }),
        task_sets: sets,
        role_arn: Some(format!(
            "arn:aws:iam::{}:role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS",
            scope.account
        )),
        events: Some(events),
        created_at: Some(row.created_at),
        placement_constraints: Some(placement::shown_constraints(&row.placement)),
        placement_strategy: Some(placement::shown_strategies(&row.placement)),
        network_configuration: primary.and_then(|deployment| shown_network(&deployment.network)),
        health_check_grace_period_seconds: row.grace_seconds.map(count).or((!row.targets.is_empty()).then_some(0)),
        scheduling_strategy: Some(if row.placement.daemon { "DAEMON" } else { "REPLICA" }.to_owned()),
        deployment_controller: Some(DeploymentController { type_: row.controller.as_str().to_owned() }),
        tags: Some(if with_tags { tags(&row.tags) } else { vec![] }),
        created_by: Some(row.created_by.clone()),
        enable_ecs_managed_tags: Some(row.managed_tags),
        propagate_tags: Some(row.propagate_tags.clone().unwrap_or_else(|| "NONE".to_owned())),
        enable_execute_command: Some(row.enable_execute_command),
        availability_zone_rebalancing: Some(row.zone_rebalancing.clone()),
        resource_management_type: Some("CUSTOMER".to_owned()),
    }
}
