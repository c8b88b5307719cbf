//! What ECS keeps in the store.
//!
//! Intent and observation stand side by side in a row: API handlers write the intent (`desired`, `deployments`), the
//! controllers write what they saw. The ids, which double as keys, are AWS's names:
//!
//! | row | id |
//! |---|---|
//! | [`ClusterRow`] | cluster name |
//! | [`FamilyRow`] | family |
//! | [`DefinitionRow`] | `family:0000000001` |
//! | [`ServiceRow`], [`EventsRow`] | `cluster/service` |
//! | [`TaskRow`] | 32 hexadecimal digits |
//! | [`ShippedRow`] | `task/container` |

use model::Stored;
use model::ecs as shape;
use rollout::{CircuitBreaker, DesiredStatus, Marks, Placement, StopCode, TaskStatus};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::VecDeque;
use store::{Index, Row, TableDef};
use types::Timestamp;

/// The tables of this crate, to be registered when the store opens.
pub fn tables() -> Vec<TableDef> {
    vec![
        TableDef::of::<ClusterRow>(),
        TableDef::of::<FamilyRow>(),
        TableDef::of::<DefinitionRow>(),
        TableDef::of::<ServiceRow>(),
        TableDef::of::<EventsRow>(),
        TableDef::of::<TaskRow>(),
        TableDef::of::<ShippedRow>(),
        TableDef::of::<TokenRow>(),
    ]
}

/// A tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// A cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClusterRow {
    /// Its name.
    pub name: String,
    /// Deleted clusters stay `INACTIVE` for a while.
    pub active: bool,
    /// `settings`.
    pub settings: Vec<(String, String)>,
    /// `configuration`.
    pub configuration: Option<Stored<shape::ClusterConfiguration>>,
    /// `capacityProviders`.
    pub capacity_providers: Vec<String>,
    /// `defaultCapacityProviderStrategy`.
    pub default_strategy: Vec<StrategyItem>,
    /// `serviceConnectDefaults.namespace`.
    pub service_connect_namespace: Option<String>,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was deleted.
    pub deleted_at: Option<Timestamp>,
}

impl Row for ClusterRow {
    const TABLE: &'static str = "ecs-clusters";

    fn id(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.name)
    }
}

/// An item of a capacity provider strategy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StrategyItem {
    /// `FARGATE`, `FARGATE_SPOT`.
    pub provider: String,
    /// `weight`.
    pub weight: i32,
    /// `base`.
    pub base: i32,
}

/// A task definition family's counter of revisions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FamilyRow {
    /// The family.
    pub family: String,
    /// The revision given out last; never given out again.
    pub latest: u32,
}

impl Row for FamilyRow {
    const TABLE: &'static str = "ecs-families";

    fn id(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.family)
    }
}

/// A revision of a task definition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DefinitionRow {
    /// The family.
    pub family: String,
    /// The revision.
    pub revision: u32,
    /// ACTIVE, or INACTIVE after DeregisterTaskDefinition.
    pub active: bool,
    /// As DescribeTaskDefinition shows it.
    pub shape: Stored<shape::TaskDefinition>,
    /// Its tags.
    pub tags: Vec<Tag>,
}

impl DefinitionRow {
    /// The key of a revision: zero-padded, so that a scan is in numeric order.
    pub fn key(family: &str, revision: u32) -> String {
        format!("{family}:{revision:010}")
    }

    /// The containers.
    pub fn containers(&self) -> &[shape::ContainerDefinition] {
        self.shape.container_definitions.as_deref().unwrap_or_default()
    }

    /// Its ARN.
    pub fn arn(&self) -> &str {
        self.shape.task_definition_arn.as_deref().unwrap_or_default()
    }
}

impl Row for DefinitionRow {
    const TABLE: &'static str = "ecs-task-definitions";

    fn id(&self) -> Cow<'_, str> {
        Cow::Owned(Self::key(&self.family, self.revision))
    }
}

/// Where tasks get their network interfaces.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NetworkRow {
    /// Subnets with their zones.
    pub places: Vec<Placement>,
    /// Security groups; filled with the VPC's default group if none were named.
    pub security_groups: Vec<String>,
    /// The groups were named by the user, so they are shown.
    pub groups_named: bool,
    /// `assignPublicIp` is ENABLED.
    pub assign_public_ip: bool,
}

/// A load balancer entry of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetRow {
    /// The target group's ARN.
    pub group: String,
    /// The container whose port is registered.
    pub container: String,
    /// The port.
    pub port: u16,
}

/// `status` of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceStatus {
    /// In use.
    #[serde(rename = "ACTIVE")]
    Active,
    /// Deleted, tasks are stopping.
    #[serde(rename = "DRAINING")]
    Draining,
    /// Gone; still describable for a while.
    #[serde(rename = "INACTIVE")]
    Inactive,
}

impl ServiceStatus {
    /// As AWS writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Draining => "DRAINING",
            Self::Inactive => "INACTIVE",
        }
    }
}

/// A service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceRow {
    /// The cluster's name.
    pub cluster: String,
    /// Its name.
    pub name: String,
    /// `status`.
    pub status: ServiceStatus,
    /// `desiredCount`.
    pub desired: u32,
    /// `FARGATE`, unless a capacity provider strategy stands in its place.
    pub launch_type: Option<String>,
    /// `capacityProviderStrategy`.
    pub strategy: Vec<StrategyItem>,
    /// `minimumHealthyPercent`.
    pub minimum_healthy_percent: u32,
    /// `maximumPercent`.
    pub maximum_percent: u32,
    /// The circuit breaker as asked for.
    pub circuit_breaker: Option<CircuitBreaker>,
    /// The circuit breaker, as it is shown.
    pub deployment_configuration: Stored<shape::DeploymentConfiguration>,
    /// `healthCheckGracePeriodSeconds`.
    pub grace_seconds: Option<u32>,
    /// The load balancers of the service as a whole; a deployment has its own copy.
    pub targets: Vec<TargetRow>,
    /// `enableExecuteCommand`.
    pub enable_execute_command: bool,
    /// `enableECSManagedTags`.
    pub managed_tags: bool,
    /// `propagateTags`.
    pub propagate_tags: Option<String>,
    /// `availabilityZoneRebalancing`.
    pub zone_rebalancing: String,
    /// `createdBy`.
    pub created_by: String,
    /// `createdAt`.
    pub created_at: Timestamp,
    /// `clientToken` of its creation.
    pub client_token: Option<String>,
    /// The deployments, the primary first, then newest first.
    pub deployments: Vec<DeploymentRow>,
    /// The last deployment that completed.
    pub last_completed: Option<String>,
    /// When the steady state was announced.
    pub steady_since: Option<Timestamp>,
    /// When the stuck configuration was announced.
    pub stuck_since: Option<Timestamp>,
    /// "unable to consistently start tasks" was announced for the present row of failures.
    pub impaired: bool,
    /// When it became INACTIVE.
    pub deleted_at: Option<Timestamp>,
    /// Its tags.
    pub tags: Vec<Tag>,
}

impl ServiceRow {
    /// The key of a service.
    pub fn key(cluster: &str, name: &str) -> String {
        format!("{cluster}/{name}")
    }

    /// The deployment that the service is going to. A service always has one.
    pub fn primary(&self) -> Option<&DeploymentRow> {
        self.deployments.iter().find(|d| d.state.status == rollout::DeploymentStatus::Primary)
    }
}

/// The services of a target group, for health changes to find them.
pub const SERVICES_BY_TARGET_GROUP: Index<ServiceRow> =
    Index::new("target-group", |row| row.targets.iter().map(|target| target.group.clone()).collect());
/// The services of a cluster.
pub const SERVICES_BY_CLUSTER: Index<ServiceRow> = Index::new("cluster", |row| vec![row.cluster.clone()]);

impl Row for ServiceRow {
    const TABLE: &'static str = "ecs-services";

    fn id(&self) -> Cow<'_, str> {
        Cow::Owned(Self::key(&self.cluster, &self.name))
    }

    fn indexes() -> &'static [Index<Self>] {
        &[SERVICES_BY_TARGET_GROUP, SERVICES_BY_CLUSTER]
    }
}

/// A deployment of a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeploymentRow {
    /// The scheduler's part.
    pub state: rollout::Deployment,
    /// `rolloutStateReason`.
    pub reason: String,
    /// The task definition's family.
    pub family: String,
    /// Its revision.
    pub revision: u32,
    /// Its ARN.
    pub definition_arn: String,
    /// `platformVersion` as asked for: `LATEST`, `1.4.0`.
    pub platform_version: String,
    /// The network of its tasks.
    pub network: NetworkRow,
    /// The load balancers of its tasks.
    pub targets: Vec<TargetRow>,
    /// `createdAt`.
    pub created_at: Timestamp,
    /// `updatedAt`.
    pub updated_at: Timestamp,
}

/// The newest events of a service, newest first. Apart from the service, which is written far more often.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EventsRow {
    /// `cluster/service`.
    pub service: String,
    /// At most [`EventsRow::MOST`].
    pub events: VecDeque<Event>,
}

impl EventsRow {
    /// As many as AWS keeps.
    pub const MOST: usize = 100;
}

impl Row for EventsRow {
    const TABLE: &'static str = "ecs-service-events";

    fn id(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.service)
    }
}

/// An event of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// A UUID.
    pub id: String,
    /// When.
    pub at: Timestamp,
    /// What.
    pub message: String,
}

/// Why a task is stopping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// `stopCode`.
    pub code: StopCode,
    /// `stoppedReason`.
    pub reason: String,
}

/// The network interface of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EniRow {
    /// `eni-…`.
    pub id: String,
    /// Its address.
    pub ip: std::net::Ipv4Addr,
    /// Its MAC address.
    pub mac: String,
    /// Its host name in the VPC.
    pub private_dns: Option<String>,
    /// Its VPC.
    pub vpc: String,
    /// `10.0.1.0/24`.
    pub subnet_cidr: String,
}

/// A task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskRow {
    /// 32 hexadecimal digits.
    pub id: String,
    /// The cluster's name.
    pub cluster: String,
    /// The task definition's family.
    pub family: String,
    /// Its revision.
    pub revision: u32,
    /// Its ARN.
    pub definition_arn: String,
    /// The service's name, if a service started it.
    pub service: Option<String>,
    /// `group`.
    pub group: String,
    /// `startedBy`; for a service's task the deployment's id.
    pub started_by: Option<String>,
    /// `FARGATE`, unless a capacity provider stands in its place.
    pub launch_type: Option<String>,
    /// `capacityProviderName`.
    pub capacity_provider: Option<String>,
    /// `cpu`, in units.
    pub cpu: u32,
    /// `memory`, in MiB.
    pub memory: u32,
    /// `ephemeralStorage.sizeInGiB`.
    pub storage_gib: i32,
    /// `executionRoleArn`, overrides applied.
    pub execution_role: Option<String>,
    /// `taskRoleArn`, overrides applied.
    pub task_role: Option<String>,
    /// `overrides`, as given.
    pub overrides: Stored<shape::TaskOverride>,
    /// `lastStatus`.
    pub last: TaskStatus,
    /// `desiredStatus`.
    pub desired: DesiredStatus,
    /// Grows with every change that a client can see.
    pub version: i64,
    /// Why it stops.
    pub stop: Option<Stop>,
    /// It ended by itself.
    pub ended_by_itself: bool,
    /// What the service's scheduler has booked.
    pub marks: Marks,
    /// Where it is.
    pub placement: Placement,
    /// Its security groups.
    pub security_groups: Vec<String>,
    /// It gets a public address.
    pub assign_public_ip: bool,
    /// The id of the network interface's attachment, a UUID.
    pub attachment_id: String,
    /// Its network interface, once there is one.
    pub eni: Option<EniRow>,
    /// Its load balancer entries.
    pub targets: Vec<TargetRow>,
    /// The entries are registered.
    pub registered: bool,
    /// Its containers, in the definition's order.
    pub containers: Vec<ContainerRow>,
    /// The path segment of its credentials, a UUID.
    pub credentials_id: String,
    /// `enableExecuteCommand`.
    pub enable_execute_command: bool,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// `createdAt`.
    pub created_at: Timestamp,
    /// `connectivityAt`.
    pub connectivity_at: Option<Timestamp>,
    /// `pullStartedAt`.
    pub pull_started_at: Option<Timestamp>,
    /// `pullStoppedAt`.
    pub pull_stopped_at: Option<Timestamp>,
    /// `startedAt`: RUNNING.
    pub started_at: Option<Timestamp>,
    /// `stoppingAt`.
    pub stopping_at: Option<Timestamp>,
    /// `executionStoppedAt`.
    pub execution_stopped_at: Option<Timestamp>,
    /// `stoppedAt`.
    pub stopped_at: Option<Timestamp>,
}

impl TaskRow {
    /// The service's key, if a service started it.
    pub fn service_key(&self) -> Option<String> {
        self.service.as_ref().map(|name| ServiceRow::key(&self.cluster, name))
    }

    /// The network namespace of the task: named by its id.
    pub fn netns(&self) -> String {
        format!("task-{}", self.id)
    }

    /// Tells it to stop. A task that is stopping already keeps its first reason.
    pub fn stop(&mut self, code: StopCode, reason: impl Into<String>, now: Timestamp) {
        if self.desired == DesiredStatus::Stopped {
            return;
        }
        self.desired = DesiredStatus::Stopped;
        self.stop = Some(Stop { code, reason: reason.into() });
        self.stopping_at = Some(now);
        self.version += 1;
    }
}

/// The tasks of a service, under `cluster/service`.
pub const TASKS_BY_SERVICE: Index<TaskRow> = Index::new("service", |row| row.service_key().into_iter().collect());
/// The tasks of a cluster.
pub const TASKS_BY_CLUSTER: Index<TaskRow> = Index::new("cluster", |row| vec![row.cluster.clone()]);
/// The task of a network interface.
pub const TASKS_BY_ENI: Index<TaskRow> = Index::new("eni", |row| row.eni.iter().map(|eni| eni.id.clone()).collect());
/// The task of a credentials id.
pub const TASKS_BY_CREDENTIALS: Index<TaskRow> = Index::new("credentials", |row| vec![row.credentials_id.clone()]);

impl Row for TaskRow {
    const TABLE: &'static str = "ecs-tasks";

    fn id(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.id)
    }

    fn indexes() -> &'static [Index<Self>] {
        &[TASKS_BY_SERVICE, TASKS_BY_CLUSTER, TASKS_BY_ENI, TASKS_BY_CREDENTIALS]
    }
}

/// `healthStatus` of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Health {
    /// No check, or no answer yet.
    #[default]
    #[serde(rename = "UNKNOWN")]
    Unknown,
    /// The check succeeds.
    #[serde(rename = "HEALTHY")]
    Healthy,
    /// The check fails.
    #[serde(rename = "UNHEALTHY")]
    Unhealthy,
}

impl Health {
    /// As AWS writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Healthy => "HEALTHY",
            Self::Unhealthy => "UNHEALTHY",
        }
    }
}

/// A container of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerRow {
    /// Its name.
    pub name: String,
    /// The UUID in its ARN.
    pub uuid: String,
    /// The image as the task definition names it.
    pub image: String,
    /// `imageDigest`.
    pub digest: Option<String>,
    /// `runtimeId`: the task's id, a dash, ten digits.
    pub runtime_id: String,
    /// PENDING, RUNNING or STOPPED.
    pub last: TaskStatus,
    /// `exitCode`.
    pub exit_code: Option<i32>,
    /// `reason`.
    pub reason: Option<String>,
    /// The task ends with it.
    pub essential: bool,
    /// It has a health check.
    pub checked: bool,
    /// `healthStatus`.
    pub health: Health,
    /// `cpu`.
    pub cpu: i32,
    /// `memory`.
    pub memory: Option<i32>,
    /// `memoryReservation`.
    pub memory_reservation: Option<i32>,
    /// Where its output goes.
    pub log: Option<LogTarget>,
    /// When it started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// The log stream of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogTarget {
    /// The region.
    pub region: String,
    /// The log group.
    pub group: String,
    /// The stream.
    pub stream: String,
    /// `awslogs-create-group`.
    pub create_group: bool,
}

/// How much of a container's output has reached its log stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShippedRow {
    /// The task.
    pub task: String,
    /// The container.
    pub container: String,
    /// Where the next read begins.
    pub offset: u64,
    /// All of it has been shipped and no more will come.
    pub ended: bool,
}

impl ShippedRow {
    /// The key of a container's row.
    pub fn key(task: &str, container: &str) -> String {
        format!("{task}/{container}")
    }
}

impl Row for ShippedRow {
    const TABLE: &'static str = "ecs-shipped-logs";

    fn id(&self) -> Cow<'_, str> {
        Cow::Owned(Self::key(&self.task, &self.container))
    }
}

/// The tasks that a `RunTask` with a client token started, so that a repetition starts none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRow {
    /// `cluster/token`.
    pub token: String,
    /// What was asked, to tell a repetition from a conflict.
    pub request: String,
    /// The tasks' ids.
    pub tasks: Vec<String>,
    /// When.
    pub at: Timestamp,
}

impl Row for TokenRow {
    const TABLE: &'static str = "ecs-client-tokens";

    fn id(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.token)
    }
}
