//! Services, their deployments and their events.

use super::{
    ConnectRow, ControllerType, MadeEndpointRow, NetworkRow, PlacementRow, RegistryRow, ShiftRow, Tag, TaskSetRow,
};
use model::Stored;
use model::ecs as shape;
use rollout::{CircuitBreaker, StrategyItem};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};
use store::{Index, Row};
use types::Timestamp;

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
    /// `FARGATE` or `EC2`, unless a capacity provider strategy stands in its place.
    pub launch_type: Option<String>,
    /// `capacityProviderStrategy`.
    pub strategy: Vec<StrategyItem>,
    /// What it asks for on instances.
    #[serde(default)]
    pub placement: PlacementRow,
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
    /// `serviceRegistries` of the service as a whole; a deployment has its own copy.
    #[serde(default)]
    pub registries: Vec<RegistryRow>,
    /// Service Connect, of the service as a whole; a deployment has its own copy.
    #[serde(default)]
    pub connect: Option<ConnectRow>,
    /// What was made for it in Cloud Map, and is still there.
    #[serde(default)]
    pub made_endpoints: Vec<MadeEndpointRow>,
    /// Where the traffic of `targets` is shifted, one for each; empty if it never is.
    #[serde(default)]
    pub shifts: Vec<ShiftRow>,
    /// `deploymentController`.
    #[serde(default)]
    pub controller: ControllerType,
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
    /// When it was announced that zones are uneven.
    #[serde(default)]
    pub uneven_since: Option<Timestamp>,
    /// When it was announced that protected tasks are in the way.
    #[serde(default)]
    pub protected_since: Option<Timestamp>,
    /// The id of the newest service deployment.
    #[serde(default)]
    pub service_deployment: Option<String>,
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
pub const SERVICES_BY_TARGET_GROUP: Index<ServiceRow> = Index::new("target-group", |row| {
    let sets = row.deployments.iter().flat_map(|deployment| &deployment.targets);
    let groups = row.targets.iter().chain(sets).map(|target| &target.group);
    let alternates = row.shifts.iter().map(|shift| &shift.alternate);
    groups.chain(alternates).cloned().collect::<BTreeSet<_>>().into_iter().collect()
});
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
    /// Where its tasks are told of.
    #[serde(default)]
    pub registries: Vec<RegistryRow>,
    /// Service Connect.
    #[serde(default)]
    pub connect: Option<ConnectRow>,
    /// The deployment configuration when it began; without one the service's.
    #[serde(default)]
    pub configuration: Option<Stored<shape::DeploymentConfiguration>>,
    /// What it has as a task set.
    #[serde(default)]
    pub task_set: Option<TaskSetRow>,
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
