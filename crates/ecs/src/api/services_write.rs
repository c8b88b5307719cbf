//! Services written: CreateService, UpdateService, DeleteService.

use super::capacity::{Capacity, capacity, strategy};
use super::services::shape;
use super::tasks::check_platform;
use super::{cluster, placement, registries, runnable, shapes};
use crate::placing::{self, is_on_instances};
use crate::rows::{
    DefinitionRow, DeploymentRow, EventsRow, NetworkMode, NetworkRow, PlacementRow, ServiceRow, ServiceStatus,
    TASKS_BY_SERVICE, TargetRow,
};
use crate::{Ecs, launch, names, ports, texts};
use gateway::Context;
use model::Stored;
use model::ecs::{
    CreateServiceRequest, CreateServiceResponse, DeleteServiceRequest, DeleteServiceResponse, DeploymentCircuitBreaker,
    DeploymentConfiguration, LoadBalancer, NetworkConfiguration, TaskOverride, UpdateServiceRequest,
    UpdateServiceResponse,
};
use rollout::{CircuitBreaker, DeploymentStatus, StrategyItem, TaskStatus, Threshold};
use store::View;
use types::{ApiError, Scope, Timestamp};

pub(super) fn create(
    ecs: &Ecs,
    cx: &mut Context,
    input: CreateServiceRequest,
) -> Result<CreateServiceResponse, ApiError> {
    let (scope, now, created_by) = (cx.scope.clone(), cx.now, cx.principal.arn.clone());
    if !names::is_plain(&input.service_name) {
        return Err(texts::invalid("Service name contains invalid characters."));
    }
    let tags = shapes::tag_rows(input.tags.as_deref().unwrap_or_default())?;
    let tx = cx.tx();
    let cluster = cluster(tx, &scope, input.cluster.as_deref())?;
    let key = ServiceRow::key(&cluster.name, &input.service_name);
    if let Some(existing) = tx.get::<ServiceRow>(&scope, &key).filter(|row| row.status != ServiceStatus::Inactive) {
        let again = existing.client_token.is_some() && existing.client_token == input.client_token;
        if again && existing.status == ServiceStatus::Active {
            return Ok(CreateServiceResponse { service: Some(shape(tx, &scope, &existing, true)) });
        }
        return Err(texts::invalid(if existing.status == ServiceStatus::Draining {
            "Unable to Start a service that is still Draining."
        } else {
            texts::NOT_IDEMPOTENT
        }));
    }
    refuse_unknown(&input)?;
    let daemon = input.scheduling_strategy.as_deref() == Some("DAEMON");
    if daemon && input.desired_count.is_some() {
        return Err(texts::invalid(texts::DAEMON_WITH_COUNT));
    }
    let desired = input.desired_count.unwrap_or(0);
    let desired = u32::try_from(desired).map_err(|_| texts::invalid("desiredCount should not be negative."))?;
    let definition = input.task_definition.as_deref().unwrap_or_default();
    if definition.is_empty() {
        return Err(texts::client("TaskDefinition can not be blank."));
    }
    let definition = runnable(tx, &scope, definition)?;
    let capacity = capacity(&cluster, input.launch_type.as_deref(), input.capacity_provider_strategy.as_deref())?;
    let on_instances = capacity.is_on_instances();
    let (launch_type, strategy) = match capacity {
        Capacity::Fargate => (Some("FARGATE".to_owned()), vec![]),
        Capacity::Strategy(strategy) => (None, strategy),
        Capacity::Ec2 => (Some("EC2".to_owned()), vec![]),
    };
    let placement = PlacementRow {
        constraints: placement::constraints(input.placement_constraints.as_deref().unwrap_or_default())?,
        strategies: placement::strategies(input.placement_strategy.as_deref().unwrap_or_default())?,
        daemon,
        complaint: None,
    };
    check_placement(&placement, on_instances, &strategy)?;
    let platform_version = platform(input.platform_version.as_deref(), on_instances)?;
    check_definition(&definition, on_instances)?;
    let configured = input.network_configuration.as_ref();
    let network = network(ecs, tx, &scope, &definition, configured, on_instances)?;
    let targets = targets(ecs, tx, &scope, &definition, input.load_balancers.as_deref().unwrap_or_default())?;
    let registries = input.service_registries.as_deref().unwrap_or_default();
    let registries = registries::checked(ecs, tx, &scope, &definition, registries)?;
    let grace_seconds = grace(input.health_check_grace_period_seconds, &targets)?;
    let of_daemons = DeploymentConfiguration {
        minimum_healthy_percent: Some(0),
        maximum_percent: Some(100),
        ..DeploymentConfiguration::default()
    };
    let given = input.deployment_configuration.unwrap_or_default();
    let configuration = configuration(given, daemon.then_some(&of_daemons))?;

    let mut row = ServiceRow {
        cluster: cluster.name.clone(),
        name: input.service_name,
        status: ServiceStatus::Active,
        desired,
        launch_type,
        strategy,
        placement,
        minimum_healthy_percent: configuration.minimum,
        maximum_percent: configuration.maximum,
        circuit_breaker: configuration.breaker,
        deployment_configuration: Stored(configuration.shape),
        grace_seconds,
        targets: targets.clone(),
        registries,
        enable_execute_command: input.enable_execute_command.unwrap_or(false),
        managed_tags: input.enable_ecs_managed_tags.unwrap_or(false),
        propagate_tags: input.propagate_tags.filter(|value| value != "NONE"),
        zone_rebalancing: input.availability_zone_rebalancing.unwrap_or_else(|| "ENABLED".to_owned()),
        created_by,
        created_at: now,
        client_token: input.client_token,
        deployments: vec![],
        last_completed: None,
        steady_since: None,
        stuck_since: None,
        impaired: false,
        deleted_at: None,
        tags,
    };
    deploy(&mut row, &definition, platform_version, network, targets, now);
    tx.put(&scope, EventsRow { service: key, ..EventsRow::default() });
    let row = tx.put(&scope, row);
    Ok(CreateServiceResponse { service: Some(shape(tx, &scope, &row, true)) })
}

/// Refuses by name what is not here yet.
fn refuse_unknown(input: &CreateServiceRequest) -> Result<(), ApiError> {
    let refuse = |what: &str| Err(ApiError::not_implemented(what));
    if input.deployment_controller.as_ref().is_some_and(|controller| controller.type_ != "ECS") {
        return refuse("deployment controllers other than ECS");
    }
    if input.service_connect_configuration.as_ref().is_some_and(|configuration| configuration.enabled) {
        return refuse("Service Connect");
    }
    if input.vpc_lattice_configurations.as_ref().is_some_and(|list| !list.is_empty()) {
        return refuse("VPC Lattice");
    }
    if input.volume_configurations.as_ref().is_some_and(|list| !list.is_empty()) {
        return refuse("volumeConfigurations (Amazon EBS)");
    }
    if input.gateway_connectors.as_ref().is_some_and(|list| !list.is_empty()) {
        return refuse("gatewayConnectors");
    }
    Ok(())
}

/// Refuses what only instances have, and what daemons have not.
fn check_placement(placement: &PlacementRow, on_instances: bool, strategy: &[StrategyItem]) -> Result<(), ApiError> {
    let refused = [
        (placement.daemon && !on_instances, texts::DAEMON_ON_FARGATE),
        (placement.daemon && !strategy.is_empty(), texts::DAEMON_ON_PROVIDER),
        (placement.daemon && !placement.strategies.is_empty(), texts::DAEMON_WITH_STRATEGY),
        (!placement.constraints.is_empty() && !on_instances, texts::NO_PLACEMENT_CONSTRAINTS),
        (!placement.strategies.is_empty() && !on_instances, texts::NO_PLACEMENT_STRATEGY),
    ];
    match refused.into_iter().find(|(refused, _)| *refused) {
        Some((_, text)) => Err(texts::invalid(text)),
        None => Ok(()),
    }
}

fn platform(version: Option<&str>, on_instances: bool) -> Result<String, ApiError> {
    match version {
        Some(version) if on_instances && !version.is_empty() => Err(texts::invalid(texts::PLATFORM_ON_INSTANCE)),
        version => check_platform(version),
    }
}

fn network(
    ecs: &Ecs,
    view: &View,
    scope: &Scope,
    definition: &DefinitionRow,
    given: Option<&NetworkConfiguration>,
    on_instances: bool,
) -> Result<NetworkRow, ApiError> {
    if on_instances {
        placing::network(&ecs.ports, view, scope, definition, given)
    } else {
        ports::resolve_network(&ecs.ports, view, scope, given)
    }
}

fn has_interface(definition: &DefinitionRow) -> bool {
    placing::mode(definition) == Some(NetworkMode::Awsvpc)
}

/// Refuses a definition that cannot run where the service's tasks do.
fn check_definition(definition: &DefinitionRow, on_instances: bool) -> Result<(), ApiError> {
    if on_instances {
        return placing::check_runnable(definition);
    }
    let fargate =
        definition.shape.compatibilities.as_ref().is_some_and(|list| list.iter().any(|item| item == "FARGATE"));
    if !fargate {
        return Err(texts::invalid("Task definition does not support launch_type FARGATE."));
    }
    launch::size(definition, &TaskOverride::default())?;
    launch::check_runnable(definition)
}

/// The load balancer entries, checked against the definition and the target groups.
fn targets(
    ecs: &Ecs,
    view: &View,
    scope: &Scope,
    definition: &DefinitionRow,
    given: &[LoadBalancer],
) -> Result<Vec<TargetRow>, ApiError> {
    let mut rows = Vec::with_capacity(given.len());
    for entry in given {
        let group = entry.target_group_arn.clone().unwrap_or_default();
        if group.is_empty() {
            return Err(if entry.load_balancer_name.is_some() {
                ApiError::not_implemented("classic load balancers")
            } else {
                texts::invalid("loadBalancerName and targetGroupArn cannot both be empty.")
            });
        }
        if entry.advanced_configuration.is_some() {
            return Err(ApiError::not_implemented("loadBalancers.advancedConfiguration (blue/green deployments)"));
        }
        let name = entry.container_name.clone().unwrap_or_default();
        let port = entry.container_port.unwrap_or(0);
        let container = definition.containers().iter().find(|container| container.name.as_ref() == Some(&name));
        let container = container.ok_or_else(|| texts::invalid(texts::container_missing(&name)))?;
        if !container.port_mappings.iter().flatten().any(|mapping| mapping.container_port == Some(port)) {
            return Err(texts::invalid(texts::container_port_missing(&name, port)));
        }
        let found = ecs.ports.targets.group(view, scope, &group);
        let found = found.ok_or_else(|| texts::invalid(texts::TARGET_GROUP_UNKNOWN))?;
        let wanted = if has_interface(definition) { "ip" } else { "instance" };
        if found.target_type != wanted {
            let mode = definition.shape.network_mode.as_deref().unwrap_or("bridge");
            return Err(texts::invalid(texts::target_type(&group, &found.target_type, mode)));
        }
        if !found.has_load_balancer {
            return Err(texts::invalid(texts::no_load_balancer(&group)));
        }
        let port = u16::try_from(port).map_err(|_| texts::invalid(texts::container_port_missing(&name, port)))?;
        rows.push(TargetRow { group, container: name, port });
    }
    if rows.len() > 5 {
        return Err(texts::invalid("loadBalancers can have at most 5 items."));
    }
    Ok(rows)
}

fn grace(given: Option<i32>, targets: &[TargetRow]) -> Result<Option<u32>, ApiError> {
    let Some(seconds) = given else { return Ok(None) };
    let seconds =
        u32::try_from(seconds).map_err(|_| texts::invalid("healthCheckGracePeriodSeconds should not be negative."))?;
    if targets.is_empty() && seconds > 0 {
        return Err(texts::invalid(
            "Health check grace period is only valid for services configured to use load balancers",
        ));
    }
    Ok(Some(seconds))
}

struct Configuration {
    minimum: u32,
    maximum: u32,
    breaker: Option<CircuitBreaker>,
    shape: DeploymentConfiguration,
}

/// The deployment configuration with defaults filled in; an update keeps what it does not name.
fn configuration(
    given: DeploymentConfiguration,
    before: Option<&DeploymentConfiguration>,
) -> Result<Configuration, ApiError> {
    let strategy =
        given.strategy.as_deref().or(before.and_then(|before| before.strategy.as_deref())).unwrap_or("ROLLING");
    if strategy != "ROLLING" {
        return Err(ApiError::not_implemented(format_args!("the {strategy} deployment strategy")));
    }
    if given.alarms.as_ref().is_some_and(|alarms| alarms.enable) {
        return Err(ApiError::not_implemented("deployment alarms"));
    }
    if given.lifecycle_hooks.as_ref().is_some_and(|hooks| !hooks.is_empty()) {
        return Err(ApiError::not_implemented("deployment lifecycle hooks"));
    }
    let percent = |value: i32, name: &str| {
        u32::try_from(value).map_err(|_| texts::invalid(format!("{name} should not be negative.")))
    };
    let minimum =
        given.minimum_healthy_percent.or(before.and_then(|before| before.minimum_healthy_percent)).unwrap_or(100);
    let maximum = given.maximum_percent.or(before.and_then(|before| before.maximum_percent)).unwrap_or(200);
    let (minimum_healthy, most) = (percent(minimum, "minimumHealthyPercent")?, percent(maximum, "maximumPercent")?);
    if minimum_healthy > 100 {
        return Err(texts::invalid("minimumHealthyPercent should be less than or equal to 100."));
    }
    if most == 0 {
        return Err(texts::invalid(
            "Both maximumPercent and minimumHealthyPercent cannot be 0 as this will block deployments.",
        ));
    }
    if most < minimum_healthy {
        return Err(texts::invalid("maximumPercent should be greater than or equal to minimumHealthyPercent."));
    }
    if most == 100 && minimum_healthy == 100 {
        return Err(texts::invalid(
            "Both maximumPercent and minimumHealthyPercent cannot be 100 as this will block deployments.",
        ));
    }
    let shown = given
        .deployment_circuit_breaker
        .or_else(|| before.and_then(|before| before.deployment_circuit_breaker.clone()))
        .unwrap_or(DeploymentCircuitBreaker { enable: false, rollback: false, ..DeploymentCircuitBreaker::default() });
    let threshold = match &shown.threshold_configuration {
        None => Threshold::default(),
        Some(configuration) => {
            let value = u32::try_from(configuration.value).ok().filter(|value| *value > 0);
            let value =
                value.ok_or_else(|| texts::invalid("The circuit breaker's threshold value must be greater than 0."))?;
            match configuration.type_.as_str() {
                "COUNT" => Threshold::Count(value),
                "UNBOUNDED_PERCENT" => Threshold::UnboundedPercent(value),
                _ => Threshold::BoundedPercent(value),
            }
        }
    };
    let reset_on_healthy_task = shown.reset_on_healthy_task.unwrap_or(true);
    let breaker = shown.enable.then_some(CircuitBreaker { rollback: shown.rollback, threshold, reset_on_healthy_task });
    let shape = DeploymentConfiguration {
        deployment_circuit_breaker: Some(shown),
        maximum_percent: Some(maximum),
        minimum_healthy_percent: Some(minimum),
        strategy: Some("ROLLING".to_owned()),
        bake_time_in_minutes: Some(0),
        alarms: given.alarms.or_else(|| before.and_then(|before| before.alarms.clone())),
        ..DeploymentConfiguration::default()
    };
    Ok(Configuration { minimum: minimum_healthy, maximum: most, breaker, shape })
}

/// Puts a new primary deployment in front.
fn deploy(
    row: &mut ServiceRow,
    definition: &DefinitionRow,
    platform_version: String,
    network: NetworkRow,
    targets: Vec<TargetRow>,
    now: Timestamp,
) {
    for old in &mut row.deployments {
        old.state.status = DeploymentStatus::Active;
        old.updated_at = now;
    }
    let id = format!("ecs-svc/{}", types::id::random_digits(19));
    let deployment = DeploymentRow {
        reason: texts::rollout_in_progress(&id),
        state: rollout::Deployment::new(id),
        family: definition.family.clone(),
        revision: definition.revision,
        definition_arn: definition.arn().to_owned(),
        platform_version,
        network,
        targets,
        registries: row.registries.clone(),
        created_at: now,
        updated_at: now,
    };
    row.deployments.insert(0, deployment);
    row.impaired = false;
}

pub(super) fn update(
    ecs: &Ecs,
    cx: &mut Context,
    input: UpdateServiceRequest,
) -> Result<UpdateServiceResponse, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let cluster = cluster(tx, &scope, input.cluster.as_deref())?;
    let name = names::in_cluster(&scope, &input.service, "service", &cluster.name)?;
    let row = tx.get::<ServiceRow>(&scope, &ServiceRow::key(&cluster.name, &name));
    let mut row = row.map(|row| ServiceRow::clone(&row)).ok_or_else(texts::service_not_found)?;
    if row.status != ServiceStatus::Active {
        return Err(texts::service_not_active());
    }
    refuse_unknown_update(&input)?;
    if input.desired_count.is_some() && row.placement.daemon {
        return Err(texts::invalid(texts::DAEMON_WITH_COUNT));
    }
    if let Some(desired) = input.desired_count {
        row.desired = u32::try_from(desired).map_err(|_| texts::invalid("desiredCount should not be negative."))?;
    }
    if let Some(given) = input.deployment_configuration {
        let configuration = configuration(given, Some(&row.deployment_configuration.0))?;
        row.minimum_healthy_percent = configuration.minimum;
        row.maximum_percent = configuration.maximum;
        row.circuit_breaker = configuration.breaker;
        row.deployment_configuration = Stored(configuration.shape);
    }
    if let Some(enabled) = input.enable_ecs_managed_tags {
        row.managed_tags = enabled;
    }
    if let Some(propagate) = input.propagate_tags {
        row.propagate_tags = Some(propagate).filter(|value| value != "NONE");
    }
    if let Some(rebalancing) = input.availability_zone_rebalancing {
        row.zone_rebalancing = rebalancing;
    }

    if let Some(given) = input.capacity_provider_strategy.as_deref() {
        // It holds for tasks to come; those that run stay where they are, unless a new deployment is forced.
        let before = is_on_instances(&row);
        row.strategy = strategy(given, &cluster.capacity_providers)?;
        let launch_type = row.launch_type.take().unwrap_or_else(|| if before { "EC2" } else { "FARGATE" }.to_owned());
        row.launch_type = Some(launch_type).filter(|_| row.strategy.is_empty());
        if is_on_instances(&row) != before {
            return Err(ApiError::not_implemented("moving a service between Fargate and container instances"));
        }
    }
    if let Some(given) = &input.placement_constraints {
        row.placement.constraints = placement::constraints(given)?;
    }
    if let Some(given) = &input.placement_strategy {
        row.placement.strategies = placement::strategies(given)?;
    }
    let on_instances = is_on_instances(&row);
    check_placement(&row.placement, on_instances, &row.strategy)?;

    let before = row.primary().cloned().ok_or_else(ApiError::internal)?;
    let definition = match input.task_definition.as_deref() {
        Some(reference) => runnable(tx, &scope, reference)?,
        None => tx
            .get::<DefinitionRow>(&scope, &DefinitionRow::key(&before.family, before.revision))
            .ok_or_else(|| texts::client(texts::DEFINITION_NOT_FOUND))?,
    };
    let platform_version = match input.platform_version.as_deref() {
        Some(version) => platform(Some(version), on_instances)?,
        None => before.platform_version.clone(),
    };
    let network = match &input.network_configuration {
        Some(configuration) => network(ecs, tx, &scope, &definition, Some(configuration), on_instances)?,
        // With another definition what there is may be too much, or too little.
        None if on_instances && has_interface(&definition) == before.network.places.is_empty() => {
            network(ecs, tx, &scope, &definition, None, on_instances)?
        }
        None => before.network.clone(),
    };
    let load_balancers = input.load_balancers.as_deref();
    let targets = match load_balancers {
        Some(given) => targets(ecs, tx, &scope, &definition, given)?,
        None => before.targets.clone(),
    };
    let registries = match input.service_registries.as_deref() {
        Some(given) => registries::checked(ecs, tx, &scope, &definition, given)?,
        None => before.registries.clone(),
    };
    row.grace_seconds = grace(input.health_check_grace_period_seconds, &targets)?.or(row.grace_seconds);
    let exec = input.enable_execute_command.unwrap_or(row.enable_execute_command);
    let changed = definition.arn() != before.definition_arn
        || platform_version != before.platform_version
        || network != before.network
        || targets != before.targets
        || registries != before.registries
        || exec != row.enable_execute_command;
    row.enable_execute_command = exec;
    if changed || input.force_new_deployment == Some(true) {
        check_definition(&definition, on_instances)?;
        row.targets.clone_from(&targets);
        row.registries = registries;
        deploy(&mut row, &definition, platform_version, network, targets, now);
    } else if let Some(primary) = row.deployments.first_mut() {
        primary.updated_at = now;
    }
    let row = tx.put(&scope, row);
    Ok(UpdateServiceResponse { service: Some(shape(tx, &scope, &row, true)) })
}

fn refuse_unknown_update(input: &UpdateServiceRequest) -> Result<(), ApiError> {
    let refuse = |what: &str| Err(ApiError::not_implemented(what));
    if input.deployment_controller.as_ref().is_some_and(|controller| controller.type_ != "ECS") {
        return refuse("deployment controllers other than ECS");
    }
    if input.service_connect_configuration.as_ref().is_some_and(|configuration| configuration.enabled) {
        return refuse("Service Connect");
    }
    if input.vpc_lattice_configurations.as_ref().is_some_and(|list| !list.is_empty()) {
        return refuse("VPC Lattice");
    }
    if input.volume_configurations.as_ref().is_some_and(|list| !list.is_empty()) {
        return refuse("volumeConfigurations (Amazon EBS)");
    }
    Ok(())
}

pub(super) fn delete(
    _: &Ecs,
    cx: &mut Context,
    input: DeleteServiceRequest,
) -> Result<DeleteServiceResponse, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let cluster = cluster(tx, &scope, input.cluster.as_deref())?;
    let name = names::in_cluster(&scope, &input.service, "service", &cluster.name)?;
    let key = ServiceRow::key(&cluster.name, &name);
    let row = tx.get::<ServiceRow>(&scope, &key);
    let mut row = row.map(|row| ServiceRow::clone(&row)).ok_or_else(texts::service_not_found)?;
    if row.status == ServiceStatus::Active {
        if row.desired > 0 && input.force != Some(true) {
            return Err(texts::invalid(texts::SCALED_ABOVE_ZERO));
        }
        row.desired = 0;
        let busy = tx.by_index(&TASKS_BY_SERVICE, &scope, &key).any(|task| task.last != TaskStatus::Stopped);
        row.status = if busy { ServiceStatus::Draining } else { ServiceStatus::Inactive };
        row.deleted_at = (!busy).then_some(now);
    }
    let row = tx.put(&scope, row);
    Ok(DeleteServiceResponse { service: Some(shape(tx, &scope, &row, true)) })
}
