//! The birth of a task: from a definition, overrides and a place to a row in PROVISIONING. The task controller does the rest.

use crate::control::health;
use crate::rows::{
    ConnectRow, ContainerRow, DefinitionRow, EniRow, Health, HostRow, NetworkRow, RegistryRow, Tag, TargetRow, TaskRow,
    WaitRow,
};
use crate::{connect, logging, names, texts};
use model::Stored;
use model::ecs::{ContainerDefinition, TaskOverride, Volume};
use rollout::fargate::{self, Size};
use rollout::{DesiredStatus, Marks, Placement, TaskStatus};
use types::{ApiError, Scope, Timestamp};

/// What a new task is made from.
pub(crate) struct Birth<'a> {
    pub(crate) cluster: &'a str,
    pub(crate) definition: &'a DefinitionRow,
    pub(crate) overrides: TaskOverride,
    pub(crate) size: Size,
    pub(crate) service: Option<&'a str>,
    pub(crate) group: String,
    pub(crate) started_by: Option<String>,
    pub(crate) launch_type: Option<String>,
    pub(crate) capacity_provider: Option<String>,
    pub(crate) network: &'a NetworkRow,
    pub(crate) placement: Placement,
    /// The container instance that it goes to, and its interface where the task has none of its own.
    pub(crate) host: Option<HostRow>,
    pub(crate) eni: Option<EniRow>,
    /// What it waits for in place of an instance.
    pub(crate) waits: Option<WaitRow>,
    pub(crate) targets: Vec<TargetRow>,
    pub(crate) registries: Vec<RegistryRow>,
    pub(crate) connect: Option<&'a ConnectRow>,
    pub(crate) enable_execute_command: bool,
    pub(crate) tags: Vec<Tag>,
    pub(crate) now: Timestamp,
}

/// The size that a task of this definition with these overrides gets on Fargate.
pub(crate) fn size(definition: &DefinitionRow, overrides: &TaskOverride) -> Result<Size, ApiError> {
    let cpu = overrides.cpu.as_deref().or(definition.shape.cpu.as_deref());
    let memory = overrides.memory.as_deref().or(definition.shape.memory.as_deref());
    fargate::size(cpu, memory).map_err(|error| texts::client(error.to_string()))
}

/// A new task.
pub(crate) fn task(scope: &Scope, birth: Birth) -> TaskRow {
    let id = types::id::random_hex(32);
    let shape = &birth.definition.shape;
    let containers = birth.definition.containers().iter().map(|container| {
        let given = birth.overrides.container_overrides.iter().flatten();
        let over = given.into_iter().find(|over| over.name == container.name);
        let runtime_id = format!("{id}-{}", types::id::random_digits(10));
        ContainerRow {
            name: container.name.clone().unwrap_or_default(),
            uuid: types::id::random_uuid(),
            image: container.image.clone().unwrap_or_default(),
            digest: None,
            last: TaskStatus::Pending,
            exit_code: None,
            reason: None,
            essential: container.essential.unwrap_or(true),
            checked: container.health_check.as_ref().is_some_and(|check| health::argv(check).is_some()),
            restarts: 0,
            health: Health::Unknown,
            cpu: over.and_then(|over| over.cpu).or(container.cpu).unwrap_or(0),
            memory: over.and_then(|over| over.memory).or(container.memory),
            memory_reservation: over.and_then(|over| over.memory_reservation).or(container.memory_reservation),
            log: logging::target(scope, container, &id, &runtime_id),
            runtime_id,
            started_at: None,
            finished_at: None,
        }
    });
    let role = |over: &Option<String>, own: &Option<String>| {
        over.as_ref()
            .or(own.as_ref())
            .map(|role| names::role_arn(scope, role).unwrap_or_else(|| role.clone()))
            .filter(|role| !role.is_empty())
    };
    let storage = birth.overrides.ephemeral_storage.as_ref().or(shape.ephemeral_storage.as_ref());
    TaskRow {
        containers: containers.collect(),
        cluster: birth.cluster.to_owned(),
        family: birth.definition.family.clone(),
        revision: birth.definition.revision,
        definition_arn: birth.definition.arn().to_owned(),
        service: birth.service.map(str::to_owned),
        group: birth.group,
        started_by: birth.started_by,
        launch_type: birth.launch_type,
        capacity_provider: birth.capacity_provider,
        cpu: birth.size.cpu,
        memory: birth.size.memory,
        storage_gib: storage.map_or(20, |storage| storage.size_in_gi_b),
        execution_role: role(&birth.overrides.execution_role_arn, &shape.execution_role_arn),
        task_role: role(&birth.overrides.task_role_arn, &shape.task_role_arn),
        overrides: Stored(birth.overrides),
        last: TaskStatus::Provisioning,
        desired: DesiredStatus::Running,
        version: 1,
        stop: None,
        ended_by_itself: false,
        marks: Marks::default(),
        protected_until: None,
        placement: birth.placement,
        host: birth.host,
        waits: birth.waits,
        placed_at: None,
        security_groups: birth.network.security_groups.clone(),
        assign_public_ip: birth.network.assign_public_ip,
        attachment_id: types::id::random_uuid(),
        eni: birth.eni,
        targets: birth.targets,
        registries: birth.registries,
        connect: birth.connect.map(|row| connect::of_task(row, &id)),
        registered: false,
        credentials_id: types::id::random_uuid(),
        enable_execute_command: birth.enable_execute_command,
        tags: birth.tags,
        created_at: birth.now,
        connectivity_at: None,
        pull_started_at: None,
        pull_stopped_at: None,
        started_at: None,
        stopping_at: None,
        execution_stopped_at: None,
        stopped_at: None,
        id,
    }
}

/// Refuses by name what a task definition asks for and this version cannot run, so that nothing is silently left out.
pub(crate) fn check_runnable(definition: &DefinitionRow) -> Result<(), ApiError> {
    let shape = &definition.shape;
    let refuse = |what: &str| Err(ApiError::not_implemented(what));
    if let Some(platform) = &shape.runtime_platform {
        if platform.operating_system_family.as_deref().is_some_and(|family| family != "LINUX") {
            return refuse("Windows containers");
        }
        let host = if cfg!(target_arch = "aarch64") { "ARM64" } else { "X86_64" };
        if platform.cpu_architecture.as_deref().is_some_and(|wanted| wanted != host) {
            return refuse("tasks of another CPU architecture than this machine's");
        }
    }
    if shape.trusted_execution_configuration.is_some() {
        return refuse("trustedExecutionConfiguration (Amazon ECS Managed Instances)");
    }
    if shape.proxy_configuration.is_some() {
        return refuse("proxyConfiguration (App Mesh)");
    }
    for volume in shape.volumes.iter().flatten() {
        check_volume(volume)?;
    }
    if let Some(mode) = shape.pid_mode.as_deref().filter(|mode| *mode != "task") {
        return refuse(&format!("pidMode {mode}"));
    }
    if let Some(mode) = shape.ipc_mode.as_deref().filter(|mode| !["none", "task"].contains(mode)) {
        return refuse(&format!("ipcMode {mode}"));
    }
    for container in definition.containers() {
        // Registration has refused it already, unless an earlier version registered it.
        check_capabilities(container)?;
        if container.firelens_configuration.is_some() {
            return refuse("FireLens log routing");
        }
        if container.log_configuration.as_ref().is_some_and(|log| log.log_driver != "awslogs") {
            return refuse("log drivers other than awslogs");
        }
        let log = container.log_configuration.as_ref();
        if log.and_then(|log| log.secret_options.as_ref()).is_some_and(|secrets| !secrets.is_empty()) {
            return refuse("logConfiguration.secretOptions");
        }
        if container.privileged == Some(true) {
            return refuse("privileged containers, to whom this machine would belong");
        }
        if container.disable_networking == Some(true) {
            return refuse("disableNetworking");
        }
        let options = container.docker_security_options.iter().flatten();
        if let Some(option) = options.into_iter().find(|option| *option != "no-new-privileges") {
            return refuse(&format!("the docker security option {option}"));
        }
        let linux = container.linux_parameters.as_ref();
        if linux.and_then(|linux| linux.devices.as_ref()).is_some_and(|devices| !devices.is_empty()) {
            return refuse("linuxParameters.devices");
        }
        if container.credential_specs.as_ref().is_some_and(|list| !list.is_empty()) {
            return refuse("credentialSpecs (gMSA)");
        }
        if container.environment_files.as_ref().is_some_and(|files| !files.is_empty()) {
            return refuse("environmentFiles (Amazon S3)");
        }
        if container.repository_credentials.is_some() {
            return refuse("repositoryCredentials (private registries other than Amazon ECR)");
        }
        if container.resource_requirements.as_ref().is_some_and(|list| !list.is_empty()) {
            return refuse("resourceRequirements (GPUs and accelerators)");
        }
    }
    Ok(())
}

fn check_volume(volume: &Volume) -> Result<(), ApiError> {
    let refuse = |what: &str| Err(ApiError::not_implemented(what));
    if volume.fsx_windows_file_server_volume_configuration.is_some() {
        return refuse("volumes of FSx for Windows File Server");
    }
    if volume.s3files_volume_configuration.is_some() {
        return refuse("volumes of Amazon S3 Files");
    }
    if volume.configured_at_launch == Some(true) {
        return refuse("volumes that are configured at launch (Amazon EBS)");
    }
    let efs = volume.efs_volume_configuration.as_ref().and_then(|efs| efs.authorization_config.as_ref());
    if efs.and_then(|efs| efs.access_point_id.as_ref()).is_some_and(|id| !id.is_empty()) {
        return refuse("access points of Amazon EFS");
    }
    let Some(docker) = &volume.docker_volume_configuration else { return Ok(()) };
    if let Some(driver) = docker.driver.as_deref().filter(|driver| *driver != "local") {
        return refuse(&format!("the Docker volume driver {driver}"));
    }
    if docker.driver_opts.as_ref().is_some_and(|options| !options.is_empty()) {
        return refuse("driverOpts of Docker volumes");
    }
    Ok(())
}

/// A container may drop what it likes and gain one capability: every other would open the host.
pub(crate) fn check_capabilities(container: &ContainerDefinition) -> Result<(), ApiError> {
    let linux = container.linux_parameters.as_ref();
    let added = linux.and_then(|linux| linux.capabilities.as_ref()).and_then(|capabilities| capabilities.add.as_ref());
    match added.into_iter().flatten().find(|name| *name != "SYS_PTRACE") {
        Some(name) => Err(texts::client(texts::capability_not_allowed(name))),
        None => Ok(()),
    }
}
