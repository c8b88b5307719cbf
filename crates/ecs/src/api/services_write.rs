//! Services written: CreateService, UpdateService, DeleteService.

use super::capacity::{Capacity, capacity, strategy};
use super::deploy::{Wanted, deploy};
use super::services::shape;
use super::tasks::check_platform;
use super::{
    cluster, connect, deployment_configuration, exec, load_balancers, placement, registries, runnable, shapes,
};
use crate::placing::{self, is_on_instances};
use crate::rows::{
    ControllerType, DefinitionRow, EventsRow, NetworkMode, NetworkRow, PlacementRow, ServiceRow, ServiceStatus,
    TASKS_BY_SERVICE,
};
use crate::{Ecs, launch, names, ports, scaled, texts};
use gateway::Context;
use model::Stored;
use model::ecs::{
    CreateServiceRequest, CreateServiceResponse, DeleteServiceRequest, DeleteServiceResponse, DeploymentConfiguration,
    NetworkConfiguration, TaskOverride, UpdateServiceRequest, UpdateServiceResponse,
};
use rollout::{DeploymentStatus, StrategyItem, TaskStatus};
use store::View;
use types::{ApiError, Scope};

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
    let desired = desired_count(input.desired_count.unwrap_or(0))?;
    let controller = controller(&input)?;
    let of_daemons = DeploymentConfiguration {
        minimum_healthy_percent: Some(0),
        maximum_percent: Some(100),
        ..DeploymentConfiguration::default()
    };
    let given = input.deployment_configuration.unwrap_or_default();
    let configuration = deployment_configuration::read(ecs, given, daemon.then_some(&of_daemons))?;
    if daemon && deployment_configuration::shifts(&configuration.shape) {
        return Err(texts::invalid(texts::DAEMON_SHIFTS));
    }
    let placement = PlacementRow {
        constraints: placement::constraints(input.placement_constraints.as_deref().unwrap_or_default())?,
        strategies: placement::strategies(input.placement_strategy.as_deref().unwrap_or_default())?,
        daemon,
        complaint: None,
    };
    let enabled = input.enable_execute_command.unwrap_or(false);
    let mut row = ServiceRow {
        cluster: cluster.name.clone(),
        name: input.service_name,
        status: ServiceStatus::Active,
        desired,
        launch_type: None,
        strategy: vec![],
        placement,
        minimum_healthy_percent: configuration.minimum,
        maximum_percent: configuration.maximum,
        circuit_breaker: configuration.breaker,
        deployment_configuration: Stored(configuration.shape),
        grace_seconds: None,
        targets: vec![],
        shifts: vec![],
        registries: vec![],
        connect: None,
        // Those of a service of that name before are the next one's, until they are gone.
        made_endpoints: tx.get::<ServiceRow>(&scope, &key).map(|old| old.made_endpoints.clone()).unwrap_or_default(),
        controller,
        enable_execute_command: enabled,
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
        uneven_since: None,
        protected_since: None,
        service_deployment: None,
        impaired: false,
        deleted_at: None,
        tags,
    };
    if controller == ControllerType::External {
        check_placement(&row.placement, false, &[])?;
        row.grace_seconds = grace(input.health_check_grace_period_seconds, true)?;
    } else {
        let definition = input.task_definition.as_deref().unwrap_or_default();
        if definition.is_empty() {
            return Err(texts::client("TaskDefinition can not be blank."));
        }
        let definition = runnable(tx, &scope, definition)?;
        exec::check_role(enabled, definition.shape.task_role_arn.as_deref(), "service", "created")?;
        let capacity = capacity(&cluster, input.launch_type.as_deref(), input.capacity_provider_strategy.as_deref())?;
        let on_instances = capacity.is_on_instances();
        (row.launch_type, row.strategy) = match capacity {
            Capacity::Fargate => (Some("FARGATE".to_owned()), vec![]),
            Capacity::Strategy(strategy) => (None, strategy),
            Capacity::Ec2 => (Some("EC2".to_owned()), vec![]),
        };
        check_placement(&row.placement, on_instances, &row.strategy)?;
        let platform_version = platform(input.platform_version.as_deref(), on_instances)?;
        check_definition(&definition, on_instances)?;
        if has_interface(&definition) && input.role.as_ref().is_some_and(|role| !role.is_empty()) {
            return Err(texts::invalid(texts::ROLE_OF_SERVICE));
        }
        let configured = input.network_configuration.as_ref();
        let network = network(ecs, tx, &scope, &definition, configured, on_instances)?;
        let given = input.load_balancers.as_deref().unwrap_or_default();
        (row.targets, row.shifts) = load_balancers::read(ecs, tx, &scope, &definition, given)?;
        check_shifts(&row)?;
        let given = input.service_registries.as_deref().unwrap_or_default();
        row.registries = registries::checked(ecs, tx, &scope, &definition, given)?;
        let given = input.service_connect_configuration.as_ref();
        row.connect = connect::checked(ecs, tx, &scope, (&row, &cluster), &definition, given)?;
        row.grace_seconds = grace(input.health_check_grace_period_seconds, !row.targets.is_empty())?;
        let wanted = Wanted { platform_version, network, targets: row.targets.clone() };
        deploy(ecs, tx, &scope, &mut row, &definition, wanted, now);
    }
    tx.put(&scope, EventsRow { service: key, ..EventsRow::default() });
    let row = tx.put(&scope, row);
    Ok(CreateServiceResponse { service: Some(shape(tx, &scope, &row, true)) })
}

/// Refuses by name what is not here yet.
fn refuse_unknown(input: &CreateServiceRequest) -> Result<(), ApiError> {
    let refuse = |what: &str| Err(ApiError::not_implemented(what));
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

pub(super) fn has_interface(definition: &DefinitionRow) -> bool {
    placing::mode(definition) == Some(NetworkMode::Awsvpc)
}

/// Refuses a definition that cannot run where the service's tasks do.
pub(super) fn check_definition(definition: &DefinitionRow, on_instances: bool) -> Result<(), ApiError> {
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

/// The deployment controller. To one outside nothing is said that is each task set's own.
fn controller(input: &CreateServiceRequest) -> Result<ControllerType, ApiError> {
    match input.deployment_controller.as_ref().map(|controller| controller.type_.as_str()) {
        None | Some("ECS") => return Ok(ControllerType::Ecs),
        Some("EXTERNAL") => {}
        Some(other) => return Err(ApiError::not_implemented(format_args!("the deployment controller {other}"))),
    }
    let given = [
        ("taskDefinition", input.task_definition.is_some()),
        ("loadBalancers", input.load_balancers.as_ref().is_some_and(|list| !list.is_empty())),
        ("networkConfiguration", input.network_configuration.is_some()),
        ("launchType", input.launch_type.is_some()),
        ("capacityProviderStrategy", input.capacity_provider_strategy.as_ref().is_some_and(|list| !list.is_empty())),
        ("platformVersion", input.platform_version.is_some()),
        ("serviceRegistries", input.service_registries.as_ref().is_some_and(|list| !list.is_empty())),
        ("serviceConnectConfiguration", input.service_connect_configuration.as_ref().is_some_and(|it| it.enabled)),
    ];
    if let Some((member, _)) = given.iter().find(|(_, given)| *given) {
        return Err(texts::invalid(texts::external_lacks(member)));
    }
    let configuration = input.deployment_configuration.as_ref();
    let shifts = configuration.is_some_and(deployment_configuration::shifts);
    let watches = configuration.is_some_and(|it| {
        it.deployment_circuit_breaker.as_ref().is_some_and(|breaker| breaker.enable)
            || it.alarms.as_ref().is_some_and(|alarms| alarms.enable)
    });
    if shifts || watches {
        return Err(texts::invalid(texts::external_lacks("a strategy, a circuit breaker or alarms")));
    }
    Ok(ControllerType::External)
}

/// A strategy that shifts traffic needs to know where.
fn check_shifts(row: &ServiceRow) -> Result<(), ApiError> {
    if !deployment_configuration::shifts(&row.deployment_configuration) {
        return Ok(());
    }
    if row.shifts.is_empty() && !row.targets.is_empty() {
        return Err(texts::invalid(texts::ADVANCED_NEEDED));
    }
    let strategy = row.deployment_configuration.strategy.as_deref().unwrap_or_default();
    if row.shifts.is_empty() && strategy != "BLUE_GREEN" {
        return Err(texts::invalid(format!("The {strategy} deployment strategy needs a load balancer.")));
    }
    Ok(())
}

fn desired_count(given: i32) -> Result<u32, ApiError> {
    let desired = u32::try_from(given).map_err(|_| texts::invalid("desiredCount should not be negative."))?;
    if desired > scaled::MOST_TASKS {
        Err(texts::invalid(texts::too_many_tasks(scaled::MOST_TASKS)))
    } else {
        Ok(desired)
    }
}

fn grace(given: Option<i32>, balanced: bool) -> Result<Option<u32>, ApiError> {
    let Some(seconds) = given else { return Ok(None) };
    let seconds =
        u32::try_from(seconds).map_err(|_| texts::invalid("healthCheckGracePeriodSeconds should not be negative."))?;
    if !balanced && seconds > 0 {
        return Err(texts::invalid(
            "Health check grace period is only valid for services configured to use load balancers",
        ));
    }
    Ok(Some(seconds))
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
        row.desired = desired_count(desired)?;
    }
    if let Some(given) = input.deployment_configuration.clone() {
        if row.controller == ControllerType::External && deployment_configuration::shifts(&given) {
            return Err(texts::invalid(texts::external_lacks("a strategy")));
        }
        if row.placement.daemon && deployment_configuration::shifts(&given) {
            return Err(texts::invalid(texts::DAEMON_SHIFTS));
        }
        let configuration = deployment_configuration::read(ecs, given, Some(&row.deployment_configuration.0))?;
        row.minimum_healthy_percent = configuration.minimum;
        row.maximum_percent = configuration.maximum;
        row.circuit_breaker = configuration.breaker;
        row.deployment_configuration = Stored(configuration.shape);
    }
    if let Some(enabled) = input.enable_ecs_managed_tags {
        row.managed_tags = enabled;
    }
    if let Some(propagate) = input.propagate_tags.clone() {
        row.propagate_tags = Some(propagate).filter(|value| value != "NONE");
    }
    if let Some(rebalancing) = input.availability_zone_rebalancing.clone() {
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
    if row.controller == ControllerType::External {
        check_external_update(&input)?;
        row.grace_seconds = grace(input.health_check_grace_period_seconds, true)?.or(row.grace_seconds);
        let row = tx.put(&scope, row);
        return Ok(UpdateServiceResponse { service: Some(shape(tx, &scope, &row, true)) });
    }
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
    let (targets, shifts) = if let Some(given) = input.load_balancers.as_deref() {
        load_balancers::read(ecs, tx, &scope, &definition, given)?
    } else {
        load_balancers::check_kept(&definition, &row.targets)?;
        (row.targets.clone(), row.shifts.clone())
    };
    let registries = if let Some(given) = input.service_registries.as_deref() {
        registries::checked(ecs, tx, &scope, &definition, given)?
    } else {
        registries::check_kept(&definition, &row.registries)?;
        row.registries.clone()
    };
    let kept = row.connect.as_ref().map(|connect| &connect.configuration.0);
    let given = input.service_connect_configuration.as_ref().or(kept);
    let wanted_connect = connect::checked(ecs, tx, &scope, (&row, &cluster), &definition, given)?;
    row.grace_seconds = grace(input.health_check_grace_period_seconds, !targets.is_empty())?.or(row.grace_seconds);
    let enabled = input.enable_execute_command.unwrap_or(row.enable_execute_command);
    exec::check_role(enabled, definition.shape.task_role_arn.as_deref(), "service", "updated")?;
    let changed = definition.arn() != before.definition_arn
        || platform_version != before.platform_version
        || network != before.network
        || targets != row.targets
        || shifts != row.shifts
        || registries != row.registries
        || connect::differs(wanted_connect.as_ref(), row.connect.as_ref())
        || enabled != row.enable_execute_command;
    row.enable_execute_command = enabled;
    (row.targets, row.shifts, row.registries, row.connect) = (targets, shifts, registries, wanted_connect);
    check_shifts(&row)?;
    if changed || input.force_new_deployment == Some(true) {
        check_definition(&definition, on_instances)?;
        let wanted = Wanted { platform_version, network, targets: row.targets.clone() };
        deploy(ecs, tx, &scope, &mut row, &definition, wanted, now);
    } else if let Some(primary) = row.deployments.first_mut() {
        primary.updated_at = now;
    }
    let row = tx.put(&scope, row);
    Ok(UpdateServiceResponse { service: Some(shape(tx, &scope, &row, true)) })
}

/// What is each task set's own is not the service's.
fn check_external_update(input: &UpdateServiceRequest) -> Result<(), ApiError> {
    let given = [
        ("taskDefinition", input.task_definition.is_some()),
        ("loadBalancers", input.load_balancers.as_ref().is_some_and(|list| !list.is_empty())),
        ("networkConfiguration", input.network_configuration.is_some()),
        ("platformVersion", input.platform_version.is_some()),
        ("forceNewDeployment", input.force_new_deployment == Some(true)),
        ("serviceConnectConfiguration", input.service_connect_configuration.as_ref().is_some_and(|it| it.enabled)),
    ];
    match given.iter().find(|(_, given)| *given) {
        Some((member, _)) => Err(texts::invalid(texts::external_lacks(member))),
        None => Ok(()),
    }
}

fn refuse_unknown_update(input: &UpdateServiceRequest) -> Result<(), ApiError> {
    let refuse = |what: &str| Err(ApiError::not_implemented(what));
    if input.deployment_controller.as_ref().is_some_and(|controller| controller.type_ != "ECS") {
        return refuse("deployment controllers other than ECS");
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
        if row.controller == ControllerType::External {
            let live = row.deployments.iter().any(|set| set.state.status != DeploymentStatus::Inactive);
            if live && input.force != Some(true) {
                return Err(texts::invalid("The service cannot be deleted while it has task sets."));
            }
            for set in &mut row.deployments {
                set.state.status = DeploymentStatus::Inactive;
            }
        }
        row.desired = 0;
        let busy = tx.by_index(&TASKS_BY_SERVICE, &scope, &key).any(|task| task.last != TaskStatus::Stopped);
        row.status = if busy { ServiceStatus::Draining } else { ServiceStatus::Inactive };
        row.deleted_at = (!busy).then_some(now);
    }
    let row = tx.put(&scope, row);
    Ok(DeleteServiceResponse { service: Some(shape(tx, &scope, &row, true)) })
}
