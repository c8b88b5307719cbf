//! The cluster, the task definitions and the services; and the wait for their targets.

use super::network::Network;
use super::platform::Platform;
use super::traffic::Traffic;
use super::{CLUSTER, PORT, Progress, SERVICES, call, present};
use crate::Failure;
use crate::client::Clients;
use aws_sdk_ecs::types::{
    AssignPublicIp, AwsVpcConfiguration, Compatibility, ContainerDefinition, DeploymentCircuitBreaker,
    DeploymentConfiguration, KeyValuePair, LaunchType, LoadBalancer, LogConfiguration, LogDriver, NetworkConfiguration,
    NetworkMode, PortMapping, Secret, TransportProtocol,
};
use aws_sdk_elasticloadbalancingv2::types::TargetHealthStateEnum;
use std::time::Duration;

pub(crate) async fn build(
    clients: &Clients,
    network: &Network,
    platform: &Platform,
    traffic: &Traffic,
    progress: &mut dyn Progress,
) -> Result<(), Failure> {
    progress.begin("Create the cluster, task definitions and services");
    call!("create the cluster", clients.ecs.create_cluster().cluster_name(CLUSTER))?;
    for (at, service) in SERVICES.iter().enumerate() {
        progress.note(service.name);
        let definition = register(clients, platform, at).await?;
        let awsvpc = AwsVpcConfiguration::builder()
            .set_subnets(Some(network.private.clone()))
            .security_groups(&network.sg_ecs)
            .assign_public_ip(AssignPublicIp::Disabled)
            .build()
            .map_err(|error| Failure::new("describe the service's network", error))?;
        let breaker = DeploymentCircuitBreaker::builder().enable(true).rollback(true).build();
        call!(
            format!("create the service {}", service.name),
            clients
                .ecs
                .create_service()
                .cluster(CLUSTER)
                .service_name(service.name)
                .task_definition(definition)
                .desired_count(service.desired)
                .launch_type(LaunchType::Fargate)
                .network_configuration(NetworkConfiguration::builder().awsvpc_configuration(awsvpc).build())
                .load_balancers(
                    LoadBalancer::builder()
                        .target_group_arn(&traffic.target_groups[at])
                        .container_name(service.name)
                        .container_port(i32::from(PORT))
                        .build()
                )
                .deployment_configuration(
                    DeploymentConfiguration::builder()
                        .deployment_circuit_breaker(breaker)
                        .minimum_healthy_percent(100)
                        .maximum_percent(200)
                        .build()
                )
        )?;
    }
    progress.done("three services, seven tasks");
    Ok(())
}

async fn register(clients: &Clients, platform: &Platform, at: usize) -> Result<String, Failure> {
    let service = SERVICES[at];
    let step = format!("register the task definition {}", service.name);
    let region = clients.ecs.config().region().map_or_else(|| "us-east-1".to_owned(), ToString::to_string);
    let logs = LogConfiguration::builder()
        .log_driver(LogDriver::Awslogs)
        .options("awslogs-group", format!("/ecs/{}", service.name))
        .options("awslogs-region", region)
        .options("awslogs-stream-prefix", "app")
        .build()
        .map_err(|error| Failure::new(&step, error))?;
    let secret = Secret::builder()
        .name("DATABASE_URL")
        .value_from(&platform.database_secret)
        .build()
        .map_err(|error| Failure::new(&step, error))?;
    let container = ContainerDefinition::builder()
        .name(service.name)
        .image(&platform.images[at])
        .essential(true)
        .port_mappings(PortMapping::builder().container_port(i32::from(PORT)).protocol(TransportProtocol::Tcp).build())
        .environment(KeyValuePair::builder().name("NODE_ENV").value("production").build())
        .secrets(secret)
        .log_configuration(logs)
        .build();
    let made = call!(
        &step,
        clients
            .ecs
            .register_task_definition()
            .family(service.name)
            .requires_compatibilities(Compatibility::Fargate)
            .network_mode(NetworkMode::Awsvpc)
            .cpu("256")
            .memory("512")
            .execution_role_arn(&platform.execution_role)
            .task_role_arn(&platform.task_roles[at])
            .container_definitions(container)
    )?;
    present(made.task_definition.and_then(|definition| definition.task_definition_arn), "the task definition's ARN")
}

/// How often the targets are looked at.
const LOOK: Duration = Duration::from_millis(250);
/// After how many looks the wait is given up: five minutes.
const LOOKS: u32 = 1200;

/// Waits until every service has its desired count of healthy targets.
pub(crate) async fn wait_until_healthy(clients: &Clients, progress: &mut dyn Progress) -> Result<(), Failure> {
    progress.begin("Wait until every target is healthy");
    let wanted: i32 = SERVICES.iter().map(|service| service.desired).sum();
    let mut last = String::new();
    for _ in 0..LOOKS {
        let mut healthy = 0;
        for service in SERVICES {
            let groups = call!("describe the target group", clients.elb.describe_target_groups().names(service.name))?;
            let group =
                present(groups.target_groups().first().and_then(|g| g.target_group_arn.clone()), "the group's ARN")?;
            let found =
                call!("describe the targets' health", clients.elb.describe_target_health().target_group_arn(group))?;
            let well = found
                .target_health_descriptions()
                .iter()
                .filter(|target| {
                    target.target_health().and_then(|health| health.state()) == Some(&TargetHealthStateEnum::Healthy)
                })
                .count();
            healthy += i32::try_from(well).unwrap_or(i32::MAX).min(service.desired);
        }
        let note = format!("{healthy} of {wanted}");
        if note != last {
            progress.note(&note);
            last = note;
        }
        if healthy >= wanted {
            progress.done(&format!("{wanted} of {wanted}"));
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(Failure::new("wait until every target is healthy", why_not(clients, &last).await))
}

/// What a person would look at next: the services' newest events and the newest stopped task's reason.
async fn why_not(clients: &Clients, last: &str) -> String {
    let mut text = format!("{last} after five minutes");
    let names: Vec<String> = SERVICES.iter().map(|service| service.name.to_owned()).collect();
    if let Ok(found) = clients.ecs.describe_services().cluster(CLUSTER).set_services(Some(names)).send().await {
        for message in found.services().iter().filter_map(|service| service.events().first()?.message()) {
            text.push_str("\n  ");
            text.push_str(message);
        }
    }
    text
}
