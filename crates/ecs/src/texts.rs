//! AWS's words, each with where it was seen.
//!
//! *doc*: Amazon ECS developer guide or API reference. *seen*: copied from answers of the real service in public reports.
//! *own*: AWS's wording is not known to us.

pub mod connect;
pub mod exec;

use rollout::FailCause;
use rollout::placement::Lack;
use std::net::{Ipv4Addr, SocketAddrV4};
use types::ApiError;

/// A `ClientException`.
pub fn client(message: impl Into<String>) -> ApiError {
    ApiError::new("ClientException", message)
}

/// An `InvalidParameterException`.
pub fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidParameterException", message)
}

// --- errors: seen ---

/// seen
pub fn cluster_not_found() -> ApiError {
    ApiError::new("ClusterNotFoundException", "Cluster not found.")
}

/// seen
pub fn service_not_found() -> ApiError {
    ApiError::new("ServiceNotFoundException", "Service not found.")
}

/// seen
pub fn service_not_active() -> ApiError {
    ApiError::new("ServiceNotActiveException", "Service was not ACTIVE.")
}

/// seen
pub fn cluster_inactive() -> ApiError {
    client("The referenced cluster was inactive.")
}

/// seen
pub fn cluster_contains_services() -> ApiError {
    ApiError::new("ClusterContainsServicesException", "The Cluster cannot be deleted while Services are active.")
}

/// seen
pub fn cluster_contains_tasks() -> ApiError {
    ApiError::new("ClusterContainsTasksException", "The Cluster cannot be deleted while Tasks are active.")
}

/// seen
pub const DESCRIBE_DEFINITION: &str = "Unable to describe task definition.";
/// seen
pub const DEFINITION_NOT_FOUND: &str = "TaskDefinition not found.";
/// seen
pub const DEFINITION_INACTIVE: &str = "TaskDefinition is inactive";
/// seen
pub const DEFINITION_ABSENT: &str =
    "The specified task definition does not exist. Specify a valid account, family, revision and try again.";
/// doc
pub const DEFINITION_STILL_ACTIVE: &str =
    "The specified task definition is still in ACTIVE status. Please deregister the target and try again.";
/// own
pub const DEFINITIONS_EMPTY: &str = "Task definitions cannot be empty.";
/// own
pub const DEFINITIONS_TOO_MANY: &str = "Task definitions cannot have more than 10 elements.";
/// seen
pub const REVISION_MISSING: &str = "Revision is missing.";
/// seen
pub const TASK_NOT_FOUND: &str = "The referenced task was not found.";
/// seen
pub const NOT_IDEMPOTENT: &str = "Creation of service was not idempotent.";
/// seen
pub const SCALED_ABOVE_ZERO: &str = "The service cannot be stopped while it is scaled above 0.";
/// seen
pub const NETWORK_NEEDED: &str = "Network Configuration must be provided when networkMode 'awsvpc' is specified.";
/// seen
pub const SUBNETS_EMPTY: &str = "subnets can not be empty.";
/// seen
pub const NO_INSTANCES: &str = "No Container Instances were found in your cluster.";

// --- capacity ---

/// seen
pub const LAUNCH_TYPE_AND_STRATEGY: &str =
    "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again.";
/// seen
pub const PROVIDER_NOT_ASSOCIATED: &str = "The specified capacity provider strategy cannot contain a capacity provider that is not associated with the cluster. Associate the capacity provider with the cluster and try again.";
/// seen
pub const PROVIDER_NOT_FOUND: &str =
    "The specified capacity provider was not found. Specify a valid capacity provider and try again.";
/// seen
pub const PROVIDER_ABSENT: &str =
    "The specified capacity provider does not exist. Specify a valid name or ARN and try again.";
/// own
pub const PROVIDER_RESERVED: &str =
    "The FARGATE and FARGATE_SPOT capacity providers are reserved and cannot be changed or deleted.";
/// own
pub const PROVIDER_NAME: &str = "The capacity provider name is invalid. Up to 255 letters, numbers, underscores, and hyphens are allowed, and the name cannot begin with aws, ecs, or fargate.";
/// own
pub const ONE_KIND_OF_PROVIDER: &str =
    "Exactly one of autoScalingGroupProvider and managedInstancesProvider must be specified.";
/// seen
pub const PROVIDER_EXISTS: &str = "The specified capacity provider already exists. To change the configuration of an existing capacity provider, update the capacity provider.";
/// seen
pub const GROUP_NOT_VALID: &str =
    "The specified Auto Scaling group ARN is not valid. Specify a valid ARN and try again.";
/// seen
pub const GROUP_TAKEN: &str = "The specified Auto Scaling group ARN is already being used by another capacity provider. Specify a unique Auto Scaling group ARN and try again.";
/// seen
pub const PROTECTION_NOT_VALID: &str = "The managed termination protection setting for the capacity provider is invalid. To enable managed termination protection for a capacity provider, the Auto Scaling group must have instance protection from scale in enabled.";
/// own
pub const PROTECTION_WITHOUT_SCALING: &str = "The managed termination protection setting for the capacity provider is invalid. It needs managed scaling to be enabled.";
/// own
pub fn cannot_drain(why: &str) -> String {
    format!(
        "The managed draining setting for the capacity provider is invalid. The lifecycle hook that it needs cannot be put on the Auto Scaling group: {why}"
    )
}
/// own
pub const SCALING_OUT_OF_RANGE: &str = "The managed scaling configuration is invalid: targetCapacity is from 1 to 100, the step sizes from 1 to 10000 with the minimum not above the maximum, and instanceWarmupPeriod from 0 to 10000 seconds.";
/// own
pub const PROVIDER_OF_ANOTHER_CLUSTER: &str = "A capacity provider with managed scaling can be associated with one cluster at a time, and the specified capacity provider is associated with another one.";
/// own
pub const PROVIDER_OF_CLUSTER: &str = "The specified capacity provider is associated with a cluster and cannot be deleted. Remove it from the cluster and try again.";

/// own
pub fn scaled(now: types::Timestamp, from: u32, to: u32) -> String {
    let at = now.iso8601();
    format!(
        "At {}Z Amazon ECS managed scaling changed the desired capacity from {from} to {to}.",
        at.get(..19).unwrap_or_default()
    )
}

/// own
pub const PROVIDER_TWICE: &str = "The capacity provider strategy cannot name a capacity provider twice.";
/// own
pub const STRATEGY_OUT_OF_RANGE: &str = "The capacity provider strategy has a weight or base out of range.";
/// own
pub const STRATEGY_TOO_LONG: &str = "A capacity provider strategy can contain at most 20 capacity providers.";
/// own
pub const SEVERAL_BASES: &str = "Only one capacity provider in a capacity provider strategy can have a base defined.";
/// own
pub const NO_WEIGHT: &str = "The capacity provider strategy must have at least one weight greater than 0.";
/// seen
pub const MIXED_STRATEGY: &str = "A capacity provider strategy cannot contain a mix of capacity providers using Auto Scaling groups and Fargate providers. Specify one or the other and try again.";
/// seen
pub const NETWORK_NOT_VALID: &str =
    "Network Configuration is not valid for the given networkMode of this task definition.";
/// seen
pub const PUBLIC_IP_ON_INSTANCE: &str = "Assign public IP is not supported for this launch type.";
/// seen
pub const DISTINCT_WITH_EXPRESSION: &str = "distinctInstance expression should not be specified.";
/// own
pub const DAEMON_ON_FARGATE: &str = "The DAEMON scheduling strategy is not supported with FARGATE launch type.";
/// own
pub const DAEMON_WITH_STRATEGY: &str = "Placement strategies are not supported with the DAEMON scheduling strategy.";
/// own
pub const DAEMON_SHIFTS: &str =
    "The DAEMON scheduling strategy is only supported with the ROLLING deployment strategy.";
/// own
pub const DAEMON_WITH_COUNT: &str = "The desired count cannot be set with the DAEMON scheduling strategy.";
/// own
pub const DAEMON_ON_PROVIDER: &str =
    "A capacity provider strategy is not supported with the DAEMON scheduling strategy.";
/// seen
pub const INSTANCE_HAS_TASKS: &str = "Found running tasks on the instance.";
/// own
pub const INSTANCES_EMPTY: &str = "Container instances cannot be empty.";
/// doc
pub const DEREGISTRATION_FORCED: &str = "Container instance deregistration forced by user";

/// seen
pub const NO_INSTANCES_OF_PROVIDER: &str = "No Container Instances were found in your capacity provider.";
/// own
pub const PLATFORM_ON_INSTANCE: &str = "The platform version cannot be set for tasks on container instances.";
/// own
pub const IDENTITY_DOCUMENT: &str = "The instance identity document names no instance that runs here.";
/// own; the rules are the API reference's
pub const ATTRIBUTE_NAME: &str = "The attribute name must contain between 1 and 128 letters, numbers, hyphens, underscores, slashes, backslashes, or periods.";
/// own; the rules are the API reference's
pub const ATTRIBUTE_VALUE: &str = "The attribute value must contain between 1 and 128 letters, numbers, hyphens, underscores, periods, at signs, slashes, backslashes, colons, or spaces, and cannot start or end with a space.";
/// own
pub const ATTRIBUTE_RESERVED: &str =
    "Attributes that begin with ecs. or com.amazonaws.ecs. are set by the container agent.";

/// seen
pub fn instance_not_found(reference: &str) -> String {
    format!("Referenced container instance {reference} not found.")
}

/// seen
pub fn constraint_unsupported(kind: &str) -> String {
    format!("constraint.type '{kind}' is not supported.")
}

/// own
pub fn strategy_invalid(kind: &str, field: &str) -> String {
    format!("The placement strategy of type '{kind}' with field '{field}' is not valid.")
}

/// own: the code is the API reference's
pub fn target_not_found() -> ApiError {
    ApiError::new("TargetNotFoundException", "The specified target wasn't found.")
}

/// own: the code is the API reference's
pub fn too_many_attributes() -> ApiError {
    ApiError::new("AttributeLimitExceededException", "You can apply up to 10 custom attributes for each resource.")
}

/// own; the frame is that of task definitions' constraints
pub fn expression_malformed(why: &impl std::fmt::Display) -> String {
    format!("Invalid expression: {why}.")
}

/// doc
pub fn host_ended(instance: &str, how: &str) -> String {
    format!("Host EC2 (instance {instance}) {how}.")
}

/// doc: API failure reasons
pub fn lack(lack: Lack) -> &'static str {
    match lack {
        Lack::Agent => "AGENT",
        Lack::Attribute => "ATTRIBUTE",
        Lack::MemberOf => "MemberOf placement constraint unsatisfied.",
        Lack::Distinct => "DistinctInstance placement constraint unsatisfied.",
        Lack::Interfaces => "RESOURCE:ENI",
        Lack::Ports => "RESOURCE:PORTS",
        Lack::Cpu => "RESOURCE:CPU",
        Lack::Memory => "RESOURCE:MEMORY",
    }
}

/// seen: `closest` is the instance that comes closest; without one there is none, of the provider's or at all
pub fn unplaced(service: &str, closest: Option<(&str, Lack)>, of_provider: bool) -> String {
    let why = match closest {
        None if of_provider => "Reason: No Container Instances were found in your capacity provider.".to_owned(),
        None => format!("Reason: {NO_INSTANCES}"),
        Some((instance, lack)) => {
            let what = match lack {
                Lack::Attribute => "is missing an attribute required by your task".to_owned(),
                Lack::Ports => "is already using a port required by your task".to_owned(),
                Lack::Cpu => "has insufficient CPU units available".to_owned(),
                Lack::Memory => "has insufficient memory available".to_owned(),
                other => format!("encountered error \"{}\"", self::lack(other)),
            };
            format!("The closest matching (container-instance {instance}) {what}.")
        }
    };
    format!(
        "(service {service}) was unable to place a task because no container instance met all of its requirements. {why} For more information, see the Troubleshooting section of the Amazon ECS Developer Guide."
    )
}

/// What an event says of a message that a task could not be placed: the reason, and the container instance that came closest.
/// A reason that is none of [`lack`]'s is the message's own.
pub fn placement_failure(message: &str) -> (String, Option<&str>) {
    let between = |start: &str, end: &str| Some(message.split_once(start)?.1.split_once(end)?.0);
    let instance = between("(container-instance ", ")");
    let told = [
        ("is missing an attribute", Lack::Attribute),
        ("is already using a port", Lack::Ports),
        ("has insufficient CPU units", Lack::Cpu),
        ("has insufficient memory", Lack::Memory),
    ];
    let reason = if instance.is_some() {
        let known = told.into_iter().find(|(part, _)| message.contains(part)).map(|(_, lacking)| lack(lacking));
        known.or_else(|| between("encountered error \"", "\"")).unwrap_or_default()
    } else {
        let reason = message.split_once("Reason: ").map_or(message, |(_, reason)| reason);
        reason.split(" For more information").next().unwrap_or(reason)
    };
    (reason.to_owned(), instance)
}

/// own: of a task that no instance of its capacity provider has had room for
pub fn waited_too_long(provider: &str) -> String {
    format!("No container instance of the capacity provider {provider} has had room for the task.")
}

/// seen
pub fn cluster_contains_instances() -> ApiError {
    ApiError::new(
        "ClusterContainsContainerInstancesException",
        "The Cluster cannot be deleted while Container Instances are active or draining.",
    )
}

/// doc
pub const SPOT_INTERRUPTED: &str = "Your Spot Task was interrupted.";

/// seen
pub fn provider_in_use() -> ApiError {
    ApiError::new("ResourceInUseException", "The specified capacity provider is in use and cannot be removed.")
}

/// seen
pub const TASKS_EMPTY: &str = "Tasks cannot be empty.";
/// seen
pub const SERVICES_EMPTY: &str = "Services cannot be empty.";
/// seen, typographic quotes included
pub const FARGATE_NETWORK_MODE: &str = "Fargate only supports network mode ‘awsvpc’.";
/// seen
pub const FARGATE_ROLE_FOR_ECR: &str =
    "Fargate requires task definition to have execution role ARN to support ECR images.";
/// seen
pub const HOST_PORTS_MUST_MATCH: &str =
    "When networkMode=awsvpc, the host ports and container ports in port mappings must match.";
/// Modelled on the one of awsvpc.
pub const HOST_MODE_PORTS_MUST_MATCH: &str =
    "When networkMode=host, the host ports and container ports in port mappings must match.";
/// seen
pub const NO_CONTAINERS: &str = "Container list cannot be empty.";
/// seen
pub const INVALID_ARN: &str = "The ARN provided is invalid.";

/// seen
pub fn fargate_role_for_log_driver(driver: &str) -> String {
    format!("Fargate requires task definition to have execution role ARN to support log driver {driver}.")
}

/// seen
pub const AWSVPC_LINKS: &str = "Links are not supported when networkMode=awsvpc.";
/// seen
pub const AWSVPC_HOSTNAME: &str = "hostname is not supported on container when networkMode=awsvpc.";
/// seen
pub const AWSVPC_EXTRA_HOSTS: &str = "Extra hosts are not supported on container when networkMode=awsvpc.";
/// seen
pub const AWSVPC_DNS_SERVERS: &str = "DNS servers are not supported on container when networkMode=awsvpc.";
/// Modelled on the one for servers.
pub const AWSVPC_DNS_SEARCH_DOMAINS: &str =
    "DNS search domains are not supported on container when networkMode=awsvpc.";
/// seen
pub const AWSVPC_DISABLE_NETWORKING: &str = "Disable Networking is not supported on container when networkMode=awsvpc.";
/// seen
pub const FARGATE_PRIVILEGED: &str = "Fargate requires that the 'privileged' setting be 'false'.";
/// seen
pub const FARGATE_IPC_MODE: &str = "Tasks using the Fargate launch type do not support ipcMode.";
/// seen
pub const CPU_SUM_ABOVE_TASK: &str =
    "The sum of all container 'cpu' values cannot be greater than the value of the task 'cpu'.";
/// own: only one container's memory above the task's is seen
pub const MEMORY_SUM_ABOVE_TASK: &str = "The sum of the containers' memory is greater than for the task.";

/// seen, of containerPort
pub fn container_setting(setting: &str, container: &str) -> String {
    format!("Invalid '{setting}' setting for container '{container}'.")
}

/// own
pub fn firelens_type(container: &str) -> String {
    format!(
        "Invalid 'type' setting in the firelensConfiguration for container '{container}'. The type must be fluentd or \
         fluentbit."
    )
}

/// own; of a variable of the environment it is said to be AWS's
pub fn blank(what: &str) -> String {
    format!("{what} cannot be null or blank.")
}

/// seen, of TCP
pub fn port_twice(protocol: &str, port: i32) -> String {
    format!("{} host port '{port}' is mapped multiple times in task.", protocol.to_ascii_uppercase())
}

/// seen
pub fn port_in_two_mappings(container: &str, port: i32) -> String {
    format!("Container port {port} is used in more than one port mapping for container {container}")
}

/// own; the rule is doc
pub fn port_name(container: &str) -> String {
    format!(
        "Invalid 'name' setting in a port mapping for container '{container}'. The name must have 1 to 64 lowercase \
         letters, numbers, underscores and hyphens, and must not start with a hyphen."
    )
}

/// own
pub fn port_name_twice(name: &str) -> String {
    format!("Port mapping names should be unique. Duplicate name: {name}.")
}

/// own
pub fn health_check_command(container: &str) -> String {
    format!("Invalid 'command' setting in the health check for container '{container}'. The command must not be empty.")
}

/// own
pub fn duplicate_tag(key: &str) -> String {
    format!("Tag keys must be unique. Duplicate key: {key}.")
}

/// seen
pub const PORT_AND_RANGE: &str = "cannot specify both single port and port range";
/// seen
pub const PORT_RANGE_INVALID: &str = "Invalid 'containerPortRange' setting";

/// seen
pub fn fargate_pid_mode(mode: &str) -> String {
    format!(
        "Tasks using the Fargate launch type do not support pidMode '{mode}'. The supported value for pidMode is 'task'."
    )
}

/// seen, of devices, maxSwap, sharedMemorySize, dockerSecurityOptions, sourcePath, constraints and dockerVolumeConfiguration;
/// modelled on these of resourceRequirements
pub fn fargate_lacks(member: &str) -> String {
    format!("Fargate compatible task definitions do not support {member}")
}

/// seen
pub fn fargate_log_driver(driver: &str) -> String {
    format!("{driver} is not a valid log driver. Must be one of [awslogs, splunk, awsfirelens]")
}

/// seen
pub fn memory_above_task(setting: &str, container: &str) -> String {
    format!("The '{setting}' setting for container '{container}' is greater than for the task.")
}

/// seen
pub fn soft_above_hard(ulimit: &str) -> String {
    format!("Soft limit exceeds hard limit for ulimit {ulimit}")
}

/// seen
pub fn definition_too_long(length: usize) -> String {
    format!("Actual length: '{length}'. Max allowed length is '65536' bytes.")
}

/// seen
pub const DEPENDENCY_ON_ESSENTIAL: &str =
    "A dependency container with SUCCESS or COMPLETE condition cannot be an essential container";

/// seen
pub const ONE_VOLUME_TYPE: &str =
    "When the volume parameter is specified, only one volume configuration type should be used.";
/// seen
pub const EFS_ROOT_AND_ACCESS_POINT: &str =
    "When using an EFS access point, the root directory must either be set to \"/\" or be omitted.";
/// own
pub const EFS_NEEDS_ENCRYPTION: &str =
    "Transit encryption must be enabled when an EFS access point or IAM authorization is used.";
/// seen: a source volume that is not given is `null`
pub fn volume_unknown(volume: Option<&str>) -> String {
    format!("Unknown volume '{}'.", volume.unwrap_or("null"))
}

/// own
pub const VOLUME_NAME_INVALID: &str = "Volume name contains invalid characters.";

/// own
pub fn volume_twice(name: &str) -> String {
    format!("Volume names should be unique. Duplicate name: {name}.")
}

/// own
pub fn efs_id_invalid(id: &str) -> String {
    format!("Invalid EFS file system ID '{id}'.")
}

/// own
pub fn volumes_from_missing(container: &str) -> String {
    format!("Unknown container '{container}' in volumesFrom.")
}

/// own
pub const TMPFS_SIZE: &str = "The size of a tmpfs must be at least 1 MiB.";
/// own
pub const LINUX_SIZE: &str = "sharedMemorySize and maxSwap cannot be negative.";
/// own
pub const SWAPPINESS: &str = "swappiness must be between 0 and 100.";
/// own
pub const IGNORED_EXIT_CODES_TOO_MANY: &str = "ignoredExitCodes can have at most 50 items.";
/// own
pub const RESTART_ATTEMPT_PERIOD: &str = "restartAttemptPeriod must be between 60 and 1800 seconds.";

/// own
pub fn health_check_setting(setting: &str, least: i32, most: i32) -> String {
    format!("Health check {setting} must be between {least} and {most}.")
}

/// own
pub const NO_PLACEMENT_CONSTRAINTS: &str = "Placement constraints are not supported with FARGATE launch type.";
/// own
pub const NO_PLACEMENT_STRATEGY: &str = "Placement strategies are not supported with FARGATE launch type.";
/// Modelled on what is seen of a task's id.
pub const STARTED_BY_TOO_LONG: &str = "startedBy longer than 128.";
/// Modelled on what is seen of a task's id.
pub const REASON_TOO_LONG: &str = "reason longer than 255.";
/// Modelled on what is seen of a task's id.
pub const REFERENCE_ID_TOO_LONG: &str = "referenceId longer than 1024.";
/// own
pub const GROUP_OF_A_SERVICE: &str = "group cannot begin with 'service:'.";
/// own
pub const TAGS_OF_NO_SERVICE: &str = "Tasks that are run on their own cannot have tags of a service propagated.";
/// own
pub const STORAGE_SIZE: &str = "EphemeralStorage size should be between 21 and 200 GiB.";
/// own
pub const STARTED_BY_INVALID: &str = "startedBy contains invalid characters.";
/// seen
pub const OVERRIDES_TOO_LONG: &str = "Container Overrides length must be at most 8192.";

/// seen
pub fn unsupported_field(field: &str) -> String {
    format!("Unsupported field '{field}'.")
}

/// seen
pub fn capability_not_allowed(capability: &str) -> String {
    format!("{capability} is not allowed on Fargate.")
}

/// seen
pub fn target_type(group: &str, kind: &str, mode: &str) -> String {
    format!(
        "The provided target group {group} has target type {kind}, which is incompatible with the {mode} network mode specified in the task definition."
    )
}

/// seen
pub fn no_load_balancer(group: &str) -> String {
    format!("The target group with targetGroupArn {group} does not have an associated load balancer.")
}

/// seen
pub const TARGET_GROUP_UNKNOWN: &str = "Unable to assume role and validate the specified targetGroupArn. Please verify that the ECS service role being passed has the proper permissions.";

/// seen
pub fn container_missing(container: &str) -> String {
    format!("The container {container} does not exist in the task definition.")
}

/// seen
pub fn container_port_missing(container: &str, port: i32) -> String {
    format!("The container {container} did not have a container port {port} defined.")
}

/// The frame is seen.
pub fn namespace_not_found(namespace: &str) -> ApiError {
    ApiError::new("NamespaceNotFoundException", format!("Failed to retrieve namespace for {namespace}"))
}

/// own
pub const PRINCIPAL_INVALID: &str =
    "The principalArn is invalid. Specify a user, a role or the root user of the account.";
/// own
pub const SETTING_VALUE_WITHOUT_NAME: &str = "An account setting name must be specified with an account setting value.";

/// own
pub fn setting_denied() -> ApiError {
    ApiError::new(
        "AccessDeniedException",
        "You must be the root user to change the account settings of other principals.",
    )
}

/// own
pub fn setting_unknown(name: &str) -> String {
    format!("The account setting {name} is not valid.")
}

/// own
pub fn setting_value(name: &str, value: &str) -> String {
    format!("The value {value} is not valid for the account setting {name}.")
}

/// own
pub fn registry_missing(arn: &str) -> String {
    format!("The service registry {arn} was not found.")
}

/// Modelled on the API reference, `ServiceRegistry`.
pub const REGISTRY_PORT_MISSING: &str = "When the service registry has SRV records, either a port or both containerName and containerPort must be specified.";
/// Modelled on the API reference, `ServiceRegistry`.
pub const REGISTRY_PORT_TWICE: &str =
    "A service registry cannot have both a port and containerName with containerPort.";

/// seen
pub fn override_container_missing(container: &str) -> String {
    format!("Override for container named {container} is not a container in the TaskDefinition.")
}

/// seen
pub fn subnet_missing(subnet: &str) -> String {
    format!(
        "Error retrieving subnet information for [{subnet}]: The subnet ID '{subnet}' does not exist (ErrorCode: InvalidSubnetID.NotFound)"
    )
}

/// seen
pub fn group_missing(group: &str) -> String {
    format!(
        "Error retrieving security group information for [{group}]: The security group '{group}' does not exist (ErrorCode: InvalidGroup.NotFound)"
    )
}

/// seen
pub const ROLE_NOT_VALID: &str = "Role is not valid";
/// seen
pub const IMAGE_TOO_LONG: &str = "Container.image should be 255 characters or less";
/// seen
pub const IMAGE_CHARACTERS: &str = "Container.image contains invalid characters.";

/// seen
pub fn secret_not_unique(name: &str) -> String {
    format!(
        "The secret name must be unique and not shared with any new or existing environment variables set on the container, such as '{name}'."
    )
}

/// seen
pub fn property_missing(property: &str) -> String {
    format!("Container.{property} should not be null or empty.")
}

/// seen
pub fn memory_missing(container: &str) -> String {
    format!(
        "Invalid setting for container '{container}'. At least one of 'memory' or 'memoryReservation' must be specified."
    )
}

// --- events of a service: the live form is "(service NAME) …" ---

/// seen
pub fn started(service: &str, tasks: &[String], replaced: usize) -> String {
    let replaced = match replaced {
        0 => String::new(),
        n => format!(" Amazon ECS replaced {n} tasks due to an unhealthy status."),
    };
    format!("(service {service}) has started {} tasks: {}.{replaced}", tasks.len(), list(tasks))
}

/// seen
pub fn stopped_running(service: &str, tasks: &[String]) -> String {
    format!("(service {service}) has stopped {} running tasks: {}.", tasks.len(), list(tasks))
}

/// seen
pub fn stopped_pending(service: &str, count: usize) -> String {
    format!("(service {service}) stopped {count} pending tasks.")
}

/// seen
pub fn registered(service: &str, count: usize, group: &str) -> String {
    format!("(service {service}) registered {count} targets in (target-group {group})")
}

/// seen
pub fn deregistered(service: &str, count: usize, group: &str) -> String {
    format!("(service {service}) deregistered {count} targets in (target-group {group})")
}

/// seen
pub fn draining(service: &str, deployment: Option<&str>, count: usize) -> String {
    match deployment {
        Some(id) => format!("(service {service}, taskSet {id}) has begun draining connections on {count} tasks."),
        None => format!("(service {service}) has begun draining connections on {count} tasks."),
    }
}

/// seen
pub fn unhealthy(service: &str, task: &str, port: u16, group: &str, reason: &str) -> String {
    format!(
        "(service {service}) (task {task}) (port {port}) is unhealthy in (target-group {group}) due to (reason {reason})."
    )
}

/// seen
pub fn completed(service: &str, deployment: &str) -> String {
    format!("(service {service}) (deployment {deployment}) deployment completed.")
}

/// seen
pub fn failed(service: &str, deployment: &str) -> String {
    format!("(service {service}) (deployment {deployment}) deployment failed: tasks failed to start.")
}

/// seen
pub fn rolling_back(service: &str, deployment: &str) -> String {
    format!("(service {service}) rolling back to deployment {deployment}.")
}

/// seen
pub fn steady(service: &str) -> String {
    format!("(service {service}) has reached a steady state.")
}

/// seen
pub fn stuck(service: &str) -> String {
    format!(
        "(service {service}) was unable to stop or start tasks during a deployment because of the service deployment configuration. Update the minimumHealthyPercent or maximumPercent value and try again."
    )
}

/// seen
pub const TASK_ID_LENGTH: &str = "taskId length should be one of [32,36]";

/// seen
pub const ROLE_OF_SERVICE: &str = "You cannot specify an IAM role for services that require a service linked role.";

/// own: the quota is AWS's
pub fn too_many_tasks(most: u32) -> String {
    format!("desiredCount should not be greater than {most}, the quota of tasks per service.")
}

/// seen
pub fn unable_to_assume(role: &str) -> String {
    format!(
        "{UNABLE_TO_ASSUME}'{role}' that was provided for this task. Please verify that the role being passed has the proper trust relationship and permissions and that your IAM user has permissions to pass this role."
    )
}

/// seen: how [`unable_to_assume`] begins
pub const UNABLE_TO_ASSUME: &str = "ECS was unable to assume the role ";

/// seen
pub fn unable_to_launch(service: &str, reason: &str) -> String {
    format!("(service {service}) failed to launch a task with (error {reason}).")
}

/// seen
pub fn unable_to_place(service: &str, reason: &str) -> String {
    let dot = if reason.ends_with('.') { "" } else { "." };
    format!("(service {service}) was unable to place a task. Reason: {reason}{dot}")
}

/// doc: of a strategy that shifts traffic; the reason is a service deployment's
pub fn failed_for(service: &str, deployment: &str, reason: &str) -> String {
    format!("(service {service}) (deployment {deployment}) deployment failed: {reason}")
}

/// own
pub const ALARM_DETECTED: &str = "alarm detected.";

/// seen
pub fn protected(service: &str, deployment: &str, tasks: usize) -> String {
    format!(
        "(service {service}) was unable to reach steady state because (taskSet {deployment}) was unable to scale in due to (reason {tasks} tasks under protection)"
    )
}

/// seen
pub fn uneven(service: &str, zones: &[(String, usize)]) -> String {
    format!("(service {service}) is not AZ balanced with {}. AZ Rebalancing in progress.", in_zones(zones))
}

/// seen
pub fn even(service: &str, zones: &[(String, usize)]) -> String {
    format!("(service {service}) is AZ balanced with {}.", in_zones(zones))
}

fn in_zones(zones: &[(String, usize)]) -> String {
    zones.iter().map(|(zone, tasks)| format!("{tasks} tasks in {zone}")).collect::<Vec<_>>().join(", ")
}

/// seen
pub fn started_to_even(service: &str, zone: &str, task: &str) -> String {
    format!("(service {service}) has started 1 tasks in {zone} to AZ Rebalance: (task {task}).")
}

/// doc
pub fn stopped_to_even(service: &str, zone: &str, task: &str) -> String {
    format!("(service {service}) has stopped 1 running tasks in {zone} due to AZ rebalancing: (task {task}).")
}

/// seen
pub fn impaired(service: &str) -> String {
    format!(
        "(service {service}) is unable to consistently start tasks successfully. For more information, see the Troubleshooting section."
    )
}

fn list(tasks: &[String]) -> String {
    tasks.iter().map(|task| format!("(task {task})")).collect::<Vec<_>>().join(" ")
}

// --- rolloutStateReason: seen ---

/// seen
pub fn rollout_in_progress(deployment: &str) -> String {
    format!("ECS deployment {deployment} in progress.")
}

/// seen
pub fn rollout_completed(deployment: &str) -> String {
    format!("ECS deployment {deployment} completed.")
}

/// seen
pub const ROLLOUT_FAILED: &str = "ECS deployment circuit breaker: tasks failed to start.";

/// seen
pub fn rollout_back_to(deployment: &str) -> String {
    format!("ECS deployment circuit breaker: rolling back to deploymentId {deployment}.")
}

/// The breaker's is seen, the others are own.
pub fn rollout_failed(cause: &FailCause) -> String {
    match cause {
        FailCause::CircuitBreaker => ROLLOUT_FAILED.to_owned(),
        FailCause::Alarms(_) => "ECS deployment alarms: alarm detected.".to_owned(),
        other => failure(other, false),
    }
}

// --- statusReason of a service deployment ---

/// Why a service deployment failed. Seen: the circuit breaker's, and how that of the network begins; doc: a pause that timed
/// out; own: the others.
pub fn failure(cause: &FailCause, goes_back: bool) -> String {
    let begin = if goes_back { "Service deployment rolled back because" } else { "Service deployment failed because" };
    match cause {
        FailCause::CircuitBreaker => format!("{begin} the circuit breaker threshold was exceeded."),
        FailCause::Alarms(names) => format!("{begin} of alarms in ALARM state: {}.", names.join(", ")),
        FailCause::HookTimedOut(stage) => format!("{begin} {stage} pause hook timed out."),
        FailCause::HookRejected(stage) => format!("{begin} {stage} pause hook was answered with ROLLBACK."),
        FailCause::StageTimedOut(stage) => format!("{begin} {stage} timed out."),
        FailCause::Network(why) => format!("{begin} of invalid networking configuration. {why}"),
        FailCause::Stopped(_) => format!("{begin} it was stopped by StopServiceDeployment."),
    }
}

/// seen
pub const NO_ROLLBACK_CANDIDATE: &str = "No rollback candidate was found to run the rollback.";
/// own
pub const SERVICE_GONE: &str = "Service deployment was stopped because its service was deleted.";
/// own
pub const SUPERSEDED: &str = "Service deployment was replaced by a newer one.";
/// seen
pub const RULES_NOT_FOUND: &str = "One or more rules not found";

/// doc
pub fn infrastructure_role(role: &str) -> String {
    format!(
        "ECS was unable to manage the ELB resources due to missing permissions on ECS Infrastructure Role '{role}'."
    )
}

/// doc
pub fn several_serve(rule: &str, groups: usize) -> String {
    format!(
        "productionListenerRule {rule} should have exactly one target group serving traffic but found {groups} target groups which are serving traffic"
    )
}

/// doc
pub fn unexpected_group(found: &str, group: &str, alternate: &str) -> String {
    format!(
        "Production listener rule is forwarding traffic to unexpected target group {found}. Expected traffic to be forwarded to either targetGroupArn: {group} or alternateTargetGroupArn: {alternate}"
    )
}

/// doc
pub fn group_unled(group: &str) -> String {
    format!("Target group {group} is not associated with either productionListenerRule or testListenerRule.")
}

// --- service deployments, hooks and load balancers with two target groups ---

/// doc
pub fn service_deployment_not_found() -> ApiError {
    ApiError::new("ServiceDeploymentNotFoundException", "The service deployment does not exist.")
}

/// Modelled on the one for continuing.
pub fn stop_in_terminal_state() -> ApiError {
    ApiError::new(
        "ConflictException",
        "Stopping a service deployment is not allowed for service deployment in terminal states.",
    )
}

/// own
pub fn stop_in_clean_up() -> ApiError {
    ApiError::new("ConflictException", "The service deployment is in CLEAN_UP and can not be rolled back.")
}

/// doc
pub const CONTINUE_IN_TERMINAL_STATE: &str =
    "Continuing a service deployment is not allowed for service deployment in terminal states.";
/// doc
pub const HOOK_ID_FORMAT: &str = "Invalid hookId: hookId must follow the format: ecs-{hookType}-{id}";
/// doc
pub const HOOK_ID_UNKNOWN: &str =
    "Provided hookId is either completed, unavailable, or not associated with the given Resource ARN";
/// doc
pub const PAUSE_STAGE: &str = "Invalid lifecycle stage provided for Pause Hook";
/// doc
pub const SOME_ADVANCED: &str =
    "Either all or none of the provided loadBalancers must have advancedConfiguration defined";
/// doc
pub const ADVANCED_NEEDED: &str =
    "advancedConfiguration field is required for all loadBalancers when using a non-ROLLING deployment strategy";
/// doc
pub const ADVANCED_CLASSIC: &str = "advancedConfiguration field is not allowed with ELBv1 loadBalancers";
/// doc
pub const TEST_RULE_NEEDED: &str = "For Application LoadBalancer, testListenerRule is required when productionListenerRule is not associated with both targetGroup and alternateTargetGroup";
/// own
pub const HOOKS_OF_ROLLING: &str = "lifecycleHooks are not supported with the ROLLING deployment strategy.";

/// doc
pub fn rule_arn(member: &str, arn: &str) -> String {
    format!("{member} has an invalid ARN format. Must be RuleArn for ALB or ListenerArn for NLB. Got: {arn}")
}

/// doc
pub fn rule_twice(rule: &str) -> String {
    format!("The following rules cannot be used as both production and test listener rules: {rule}")
}

/// doc
pub fn group_twice(group: &str) -> String {
    format!("Duplicate targetGroupArn found: {group}")
}

/// own
pub fn only_with(member: &str, strategy: &str) -> String {
    format!("{member} is only valid with the {strategy} deployment strategy.")
}

/// own
pub fn out_of_range(member: &str, range: &str) -> String {
    format!("{member} should be {range}.")
}

/// Modelled on what is seen of CODE_DEPLOY.
pub fn external_lacks(member: &str) -> String {
    format!("Unable to set {member} on services with an EXTERNAL deployment controller. Use task sets.")
}

/// doc
pub fn task_set_not_found() -> ApiError {
    ApiError::new("TaskSetNotFoundException", "The specified task set was not found.")
}

/// own
pub const NOT_EXTERNAL: &str = "Task sets are only supported with the EXTERNAL deployment controller.";

// --- stoppedReason ---

/// seen
pub const ESSENTIAL_EXITED: &str = "Essential container in task exited";
/// seen
pub const STOPPED_BY_USER: &str = "Task stopped by user";
/// seen: of a container that could not be started, whose own reason says why
pub const FAILED_TO_START: &str = "Task failed to start";
/// doc
pub const CONTAINER_CHECKS_FAILED: &str = "Task failed container health checks";
/// seen
pub const ENI_TIMEOUT: &str = "Timeout waiting for network interface provisioning to complete.";

/// doc
pub fn scaling_activity(deployment: &str) -> String {
    format!("Scaling activity initiated by (deployment {deployment})")
}

/// doc
pub fn elb_checks_failed(group: &str) -> String {
    format!("Task failed ELB health checks in (target-group {group})")
}

/// seen
pub fn eni_failed(subnet: &str, public: bool, code: &str) -> String {
    let public = if public { " with public IP assignment enabled" } else { "" };
    format!("Unexpected EC2 error while attempting to Create Network Interface{public} in subnet '{subnet}': {code}")
}

/// The agent's source, `dockerapi/errors.go`.
pub const OUT_OF_MEMORY: &str = "OutOfMemoryError: Container killed due to memory usage";

/// seen
pub fn efs_directory_missing(file_system: &str, region: &str, path: &str) -> String {
    format!(
        "ResourceInitializationError: failed to invoke EFS utils commands to set up EFS volumes: stderr: b'mount.nfs4: mounting {file_system}.efs.{region}.amazonaws.com:{path} failed, reason given by server: No such file or directory' : unsuccessful EFS utils command execution; code: 32"
    )
}

/// Docker's words for a named volume that nobody has made
pub fn volume_missing(name: &str) -> String {
    format!("CannotCreateContainerError: Error response from daemon: get {name}: no such volume")
}

/// seen: the reason of a container that could not be started
pub fn cannot_start(why: &str) -> String {
    format!("CannotStartContainerError: {why}")
}

/// seen (amazon-ecs-agent#3218): a dependency on a success that failed
pub fn dependency_unsuccessful(dependency: &str, target: &str) -> String {
    cannot_start(&format!(
        "dependency graph: failed to resolve container ordering dependency [{dependency}] for target [{target}] as dependency did not exit successfully."
    ))
}

/// The agent's source, `dependencygraph/graph.go`
pub fn dependency_never_starts(dependency: &str, target: &str) -> String {
    cannot_start(&format!(
        "dependency graph: failed to resolve container ordering dependency [{dependency}] for target [{target}] because dependency will never start"
    ))
}

/// The agent's source, `dependencygraph/graph.go`
pub fn dependency_timed_out(dependency: &str, target: &str) -> String {
    cannot_start(&format!(
        "dependency graph: container ordering dependency [{dependency}] for target [{target}] has timed out."
    ))
}

/// The agent's source, `dependencygraph/graph.go`
pub fn dependency_unmet(dependency: &str, target: &str) -> String {
    cannot_start(&format!(
        "dependency graph: failed to resolve the container ordering dependency [{dependency}] for target [{target}]"
    ))
}

/// The agent's source, `dependencygraph/graph.go`
pub fn dependency_absent(dependency: &str, target: &str) -> String {
    cannot_start(&format!(
        "dependency graph: container ordering dependency [{dependency}] for target [{target}] does not exist."
    ))
}

// --- why an image, a secret or a log stream could not be had ---

/// seen
pub fn image_not_found(image: &str) -> String {
    format!(
        "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref {image}: not found"
    )
}

/// seen
pub fn no_platform(architecture: &str) -> String {
    format!(
        "CannotPullContainerError: pull image manifest has been retried 7 time(s): image Manifest does not contain descriptor matching platform 'linux/{architecture}'"
    )
}

/// The frame is seen; the cause is ours.
pub fn pull_failed(image: &str, why: &str) -> String {
    format!(
        "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref {image}: {why}"
    )
}

/// seen
pub fn no_basic_auth(image: &str) -> String {
    pull_failed(
        image,
        "pull access denied, repository does not exist or may require authorization: authorization failed: no basic auth credentials",
    )
}

/// seen. Nothing leads from here to other registries, so that is what a task without a way out sees.
pub fn other_registry(host: &str, image: &str) -> String {
    format!(
        "CannotPullContainerError: failed to resolve ref {image}: {host} is not reached from here. Windtunnel pulls from its own registry alone: push the image there, and name it as describe-repositories does"
    )
}

/// The URL of a manifest, as it stands in error texts.
fn manifest_url(reference: &ecr::query::Reference) -> String {
    let tag = reference.image.digest.clone().or_else(|| reference.image.tag.clone()).unwrap_or_default();
    let (scope, repository) = (&reference.scope, &reference.repository);
    format!("https://{}.dkr.ecr.{}.amazonaws.com/v2/{repository}/manifests/{tag}", scope.account, scope.region)
}

/// seen
pub fn pull_forbidden(image: &str, reference: &ecr::query::Reference) -> String {
    let url = manifest_url(reference);
    pull_failed(image, &format!("unexpected status from HEAD request to {url}: 403 Forbidden"))
}

/// seen
pub fn registry_out_of_reach(image: &str, reference: &ecr::query::Reference, dial: &str) -> String {
    let url = manifest_url(reference);
    pull_failed(image, &format!("failed to do request: Head \"{url}\": {dial}"))
}

/// seen
fn layer_failed(why: &str) -> String {
    format!(
        "CannotPullContainerError: ref pull has been retried 1 time(s): failed to copy: httpReadSeeker: failed open: {why}"
    )
}

/// seen: Amazon S3 is not reached, which has the layers
pub fn layer_out_of_reach(address: &ecr::LayerAddress, why: &str) -> String {
    layer_failed(&format!("failed to do request: Get \"{}\": {why}", https(address)))
}

/// containerd's source, `core/remotes/errors`
pub fn layer_refused(address: &ecr::LayerAddress, status: &str) -> String {
    layer_failed(&format!("unexpected status from GET request to {}: {status}", https(address)))
}

/// containerd's source, `plugins/content/local/writer.go`: what came is not what was asked for
pub fn layer_corrupt(expected: &str, found: &str) -> String {
    format!(
        "CannotPullContainerError: ref pull has been retried 1 time(s): failed to commit: unexpected commit digest {found}, expected {expected}: failed precondition"
    )
}

/// As it stands in error texts.
fn https(address: &ecr::LayerAddress) -> String {
    format!("https://{}{}", address.host, address.target)
}

/// seen
pub fn registry_auth_out_of_reach(region: &str, dial: &str) -> String {
    format!(
        "ResourceInitializationError: unable to pull secrets or registry auth: The task cannot pull registry auth from Amazon ECR: There is a connection issue between the task and Amazon ECR. Check your task network configuration. operation error ECR: GetAuthorizationToken, exceeded maximum number of attempts, 3, https response error StatusCode: 0, RequestID: , request send failed, Post \"https://api.ecr.{region}.amazonaws.com/\": {dial}"
    )
}

/// seen
pub fn registry_auth_denied(denial: &str) -> String {
    format!(
        "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve ecr registry auth: service call has been retried 1 time(s): AccessDeniedException: {denial}"
    )
}

/// seen; what stands behind `ResourceInitializationError: `
pub fn secret_refused(arn: &str, why: &str) -> String {
    format!(
        "unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve secret from asm: service call has been retried 1 time(s): failed to fetch secret {arn} from secrets manager: {why}"
    )
}

/// seen; what stands behind `ResourceInitializationError: `
pub fn parameter_refused(why: &str) -> String {
    format!(
        "unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve secrets from ssm: service call has been retried 1 time(s): {why}"
    )
}

/// The frame is seen; what stands behind `ResourceInitializationError: `
pub fn secret_failed(why: &str) -> String {
    format!("unable to pull secrets or registry auth: execution resource retrieval failed: {why}")
}

/// Modelled on what is seen of Amazon ECR; what stands behind `ResourceInitializationError: `
pub fn service_out_of_reach(service: &str, region: &str, value_from: &str, dial: &str) -> String {
    let (name, operation) = match service {
        "ssm" => ("AWS Systems Manager", "SSM: GetParameters"),
        _ => ("AWS Secrets Manager", "Secrets Manager: GetSecretValue"),
    };
    format!(
        "unable to pull secrets or registry auth: unable to retrieve secret {value_from}: The task can't retrieve the secret from {name}. Check your task network configuration. operation error {operation}, exceeded maximum number of attempts, 3, https response error StatusCode: 0, RequestID: , request send failed, Post \"https://{service}.{region}.amazonaws.com/\": {dial}"
    )
}

/// seen: Go's network library, of a connection that did not come about
pub fn dial(address: Ipv4Addr, why: &str) -> String {
    format!("dial tcp {address}:443: {why}")
}

/// seen: Go's HTTP library, of a connection that ends before the answer does
pub const EOF: &str = "EOF";

/// seen: Go's HTTP library
pub const NO_HEADERS: &str = "net/http: timeout awaiting response headers";

/// seen: Go's network library, of a resolver that does not answer (`i/o timeout`) or where there is none (`read:
/// connection refused`)
pub fn no_answer(name: &str, server: Ipv4Addr, asker: SocketAddrV4, why: &str) -> String {
    format!("dial tcp: lookup {name} on {server}:53: read udp {asker}->{server}:53: {why}")
}

/// seen: Go's network library, of a name that is not there
pub const NO_SUCH_HOST: &str = "no such host";

/// seen: Go's network library, of an answer that is no address
pub fn misled(name: &str, server: Ipv4Addr, why: &str) -> String {
    format!("dial tcp: lookup {name} on {server}:53: {why}")
}

/// The frame is seen; the cause is in Docker's words
pub fn logger_refuses(why: &str) -> String {
    format!("ResourceInitializationError: failed to validate logger args: {why}")
}

/// seen
pub fn log_options(driver: &str, verb: &str, options: &[&str]) -> String {
    format!("Log driver {driver} {verb} options: {}", options.join(", "))
}

/// seen; what stands behind `ResourceInitializationError: `
pub fn log_stream_refused(request: &str, why: &str) -> String {
    format!(
        "failed to validate logger args: create stream has been retried 1 times: failed to create Cloudwatch log stream: operation error CloudWatch Logs: CreateLogStream, https response error StatusCode: 400, RequestID: {request}, {why}"
    )
}

/// seen; what stands behind `ResourceInitializationError: `
pub const LOGS_OUT_OF_REACH: &str = "failed to validate logger args: The task cannot find the Amazon CloudWatch log group defined in the task definition. There is a connection issue between the task and Amazon CloudWatch. Check your network configuration. : signal: killed";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_connect_reads_as_gos_library_writes_it() {
        let (ip, server) = (Ipv4Addr::new(10, 0, 1, 5), Ipv4Addr::new(10, 0, 0, 2));
        assert_eq!(dial(ip, "i/o timeout"), "dial tcp 10.0.1.5:443: i/o timeout");
        assert_eq!(
            misled("api.ecr.us-east-1.amazonaws.com", server, NO_SUCH_HOST),
            "dial tcp: lookup api.ecr.us-east-1.amazonaws.com on 10.0.0.2:53: no such host"
        );
        assert_eq!(
            no_answer("api.ecr.us-east-1.amazonaws.com", server, SocketAddrV4::new(ip, 40_000), "i/o timeout"),
            "dial tcp: lookup api.ecr.us-east-1.amazonaws.com on 10.0.0.2:53: read udp 10.0.1.5:40000->10.0.0.2:53: i/o timeout"
        );
    }

    #[test]
    fn events_read_as_the_live_service_writes_them() {
        let tasks = ["0a".to_owned(), "0b".to_owned()];
        assert_eq!(started("web", &tasks, 0), "(service web) has started 2 tasks: (task 0a) (task 0b).");
        assert_eq!(
            started("web", &tasks[..1], 1),
            "(service web) has started 1 tasks: (task 0a). Amazon ECS replaced 1 tasks due to an unhealthy status."
        );
        assert_eq!(
            draining("web", Some("ecs-svc/1"), 2),
            "(service web, taskSet ecs-svc/1) has begun draining connections on 2 tasks."
        );
        let zones = [("us-east-1a".to_owned(), 3), ("us-east-1b".to_owned(), 1)];
        assert_eq!(
            uneven("web", &zones),
            "(service web) is not AZ balanced with 3 tasks in us-east-1a, 1 tasks in us-east-1b. AZ Rebalancing in progress."
        );
        assert_eq!(
            failure(&FailCause::CircuitBreaker, true),
            "Service deployment rolled back because the circuit breaker threshold was exceeded."
        );
        assert_eq!(completed("web", "ecs-svc/1"), "(service web) (deployment ecs-svc/1) deployment completed.");
        assert_eq!(
            rollout_back_to("ecs-svc/1"),
            "ECS deployment circuit breaker: rolling back to deploymentId ecs-svc/1."
        );
    }
}
