//! What Fargate refuses in a task definition, in AWS's words. A definition that passes is compatible with FARGATE.

use crate::{launch, texts};
use model::ecs::{ContainerDefinition, LinuxParameters, RegisterTaskDefinitionRequest};
use types::ApiError;

/// Refuses what Fargate does not run.
pub(super) fn check(input: &RegisterTaskDefinitionRequest) -> Result<(), ApiError> {
    if input.placement_constraints.as_ref().is_some_and(|list| !list.is_empty()) {
        return Err(texts::client(texts::fargate_lacks("constraints")));
    }
    if let Some(mode) = input.pid_mode.as_deref().filter(|mode| *mode != "task") {
        return Err(texts::client(texts::fargate_pid_mode(mode)));
    }
    if input.ipc_mode.is_some() {
        return Err(texts::client(texts::FARGATE_IPC_MODE));
    }
    for container in &input.container_definitions {
        launch::check_capabilities(container)?;
        if container.privileged == Some(true) {
            return Err(texts::client(texts::FARGATE_PRIVILEGED));
        }
        if let Some(member) = lacks(container) {
            return Err(texts::client(texts::fargate_lacks(member)));
        }
        if let Some(log) = &container.log_configuration {
            if !["awslogs", "splunk", "awsfirelens"].contains(&log.log_driver.as_str()) {
                return Err(texts::client(texts::fargate_log_driver(&log.log_driver)));
            }
            if input.execution_role_arn.is_none() {
                return Err(texts::client(texts::fargate_role_for_log_driver(&log.log_driver)));
            }
            check_awslogs(log)?;
        }
        if input.execution_role_arn.is_none() {
            if container.image.as_deref().is_some_and(is_ecr_image) {
                return Err(texts::client(texts::FARGATE_ROLE_FOR_ECR));
            }
            if container.secrets.as_ref().is_some_and(|secrets| !secrets.is_empty()) {
                return Err(texts::client(
                    "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'.",
                ));
            }
        }
        if container.stop_timeout.is_some_and(|seconds| !(0..=120).contains(&seconds)) {
            return Err(texts::client("The stopTimeout value must be between 0 and 120 seconds on Fargate."));
        }
        if container.start_timeout.is_some_and(|seconds| !(2..=120).contains(&seconds)) {
            return Err(texts::client("The startTimeout value must be between 2 and 120 seconds on Fargate."));
        }
    }
    for volume in input.volumes.iter().flatten() {
        if volume.host.as_ref().is_some_and(|host| host.source_path.as_ref().is_some_and(|path| !path.is_empty())) {
            return Err(texts::client(texts::fargate_lacks("sourcePath")));
        }
        if volume.docker_volume_configuration.is_some() {
            return Err(texts::client(texts::fargate_lacks("dockerVolumeConfiguration")));
        }
    }
    Ok(())
}

/// What a container asks for that only its own instance could give. Memory file systems are not among it: Fargate has had
/// them since January 2026.
fn lacks(container: &ContainerDefinition) -> Option<&'static str> {
    let linux = container.linux_parameters.as_ref();
    let given = |member: fn(&LinuxParameters) -> bool| linux.is_some_and(member);
    let members = [
        (container.resource_requirements.as_ref().is_some_and(|list| !list.is_empty()), "resourceRequirements"),
        (container.docker_security_options.as_ref().is_some_and(|list| !list.is_empty()), "dockerSecurityOptions"),
        (given(|linux| linux.devices.as_ref().is_some_and(|list| !list.is_empty())), "devices"),
        (given(|linux| linux.shared_memory_size.is_some()), "sharedMemorySize"),
        (given(|linux| linux.max_swap.is_some()), "maxSwap"),
        (given(|linux| linux.swappiness.is_some()), "swappiness"),
    ];
    members.into_iter().find_map(|(given, member)| given.then_some(member))
}

fn check_awslogs(log: &model::ecs::LogConfiguration) -> Result<(), ApiError> {
    let has = |option: &str| log.options.as_ref().is_some_and(|options| options.contains_key(option));
    if log.log_driver == "awslogs" && !has("awslogs-stream-prefix") {
        return Err(texts::client(texts::log_options("awslogs", "requires", &["awslogs-stream-prefix"])));
    }
    Ok(())
}

/// Whether Fargate takes the image's name for one of ECR.
pub(super) fn is_ecr_image(image: &str) -> bool {
    image.split('/').next().is_some_and(|host| host.contains(".dkr.ecr."))
}
