//! What a service deployed and when: service deployments, service revisions, and how traffic is shifted between them.
//!
//! A deployment of the scheduler (`ecs-svc/<digits>`, in the service's row) deploys the revision of the same digits. A
//! service deployment is the record of one attempt: it targets a revision, and may end with the one before. The service's
//! row is what controllers work with; these rows tell of it, and are written with it.

use super::{DeploymentRow, NetworkRow, Tag};
use model::Stored;
use model::ecs as shape;
use rollout::{Pause, Stage, StrategyItem};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use store::Row;
use types::Timestamp;

/// Where the traffic of a load balancer entry is shifted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShiftRow {
    /// The target group's ARN, as the entry names it.
    pub group: String,
    /// `alternateTargetGroupArn`.
    pub alternate: String,
    /// `productionListenerRule`.
    pub production: String,
    /// `testListenerRule`.
    pub test: Option<String>,
    /// `roleArn`.
    pub role: String,
}

impl ShiftRow {
    /// The group of a deployment's tasks.
    pub fn group_of(&self, alternate: bool) -> &str {
        if alternate { &self.alternate } else { &self.group }
    }
}

/// What a task set has besides a deployment's part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskSetRow {
    /// `externalId`.
    pub external_id: Option<String>,
    /// `launchType`.
    pub launch_type: Option<String>,
    /// `capacityProviderStrategy`.
    pub strategy: Vec<StrategyItem>,
    /// `clientToken`.
    pub client_token: Option<String>,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// `deploymentController`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum ControllerType {
    /// Amazon ECS deploys.
    #[default]
    #[serde(rename = "ECS")]
    Ecs,
    /// Somebody outside makes task sets.
    #[serde(rename = "EXTERNAL")]
    External,
}

impl ControllerType {
    /// As AWS writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ecs => "ECS",
            Self::External => "EXTERNAL",
        }
    }
}

macro_rules! statuses {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $text)] $variant,)*
        }

        impl $name {
            /// As AWS writes it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }
    };
}

statuses! {
    /// `ServiceDeploymentStatus`.
    ServiceDeploymentStatus {
        /// Nobody has looked at it yet.
        Pending = "PENDING",
        /// Under way.
        InProgress = "IN_PROGRESS",
        /// Reached its goal.
        Successful = "SUCCESSFUL",
        /// Is to be given up.
        StopRequested = "STOP_REQUESTED",
        /// Was given up.
        Stopped = "STOPPED",
        /// Is to go back.
        RollbackRequested = "ROLLBACK_REQUESTED",
        /// Goes back.
        RollbackInProgress = "ROLLBACK_IN_PROGRESS",
        /// Went back.
        RollbackSuccessful = "ROLLBACK_SUCCESSFUL",
        /// Could not go back.
        RollbackFailed = "ROLLBACK_FAILED",
    }
}

impl ServiceDeploymentStatus {
    /// Nothing will come of it any more.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Successful | Self::Stopped | Self::RollbackSuccessful | Self::RollbackFailed)
    }
}

statuses! {
    /// `ServiceDeploymentRollbackMonitorsStatus`.
    MonitorStatus {
        /// It made the deployment fail.
        Triggered = "TRIGGERED",
        /// It watches.
        Monitoring = "MONITORING",
        /// It has watched, and found nothing.
        Complete = "MONITORING_COMPLETE",
        /// It does not watch.
        Disabled = "DISABLED",
    }
}

impl MonitorStatus {
    /// When the deployment is over.
    pub(crate) fn end(&mut self) {
        if *self == Self::Monitoring {
            *self = Self::Complete;
        }
    }
}

/// `rollback` of a service deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollbackRow {
    /// `reason`.
    pub reason: String,
    /// `startedAt`.
    pub started_at: Timestamp,
    /// The digits of the revision that is gone back to.
    pub revision: String,
}

/// A service deployment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceDeploymentRow {
    /// The cluster's name.
    pub cluster: String,
    /// The service's name.
    pub service: String,
    /// 21 characters.
    pub id: String,
    /// Which of the service's it is, counted from 1.
    pub number: u64,
    /// The digits of the revision that is deployed.
    pub target: String,
    /// The digits of those that it takes over from.
    pub sources: Vec<String>,
    /// `status`.
    pub status: ServiceDeploymentStatus,
    /// `statusReason`.
    pub reason: Option<String>,
    /// `lifecycleStage`.
    pub stage: Option<Stage>,
    /// `lifecycleHookDetails`.
    pub pauses: Vec<Pause>,
    /// `deploymentConfiguration`, as it was when it began.
    pub configuration: Stored<shape::DeploymentConfiguration>,
    /// `rollback`.
    pub rollback: Option<RollbackRow>,
    /// The circuit breaker's status.
    pub breaker: MonitorStatus,
    /// The failures that it counted.
    pub failures: u32,
    /// Where it trips.
    pub threshold: u32,
    /// The alarms' status.
    pub alarms: MonitorStatus,
    /// The alarms that went off.
    pub triggered: Vec<String>,
    /// `createdAt`.
    pub created_at: Timestamp,
    /// `startedAt`.
    pub started_at: Option<Timestamp>,
    /// `finishedAt`.
    pub finished_at: Option<Timestamp>,
    /// `stoppedAt`.
    pub stopped_at: Option<Timestamp>,
    /// `updatedAt`.
    pub updated_at: Timestamp,
}

impl ServiceDeploymentRow {
    /// The key of a service deployment.
    pub fn key(cluster: &str, service: &str, id: &str) -> String {
        format!("{cluster}/{service}/{id}")
    }
}

impl Row for ServiceDeploymentRow {
    const TABLE: &'static str = "ecs-service-deployments";

    fn id(&self) -> Cow<'_, str> {
        Cow::Owned(Self::key(&self.cluster, &self.service, &self.id))
    }
}

/// A service revision: what was to run, whole. It never changes, but for the digests that become known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceRevisionRow {
    /// The cluster's name.
    pub cluster: String,
    /// The service's name.
    pub service: String,
    /// 19 digits.
    pub id: String,
    /// `taskDefinition`.
    pub definition_arn: String,
    /// `launchType`.
    pub launch_type: Option<String>,
    /// `capacityProviderStrategy`.
    pub strategy: Vec<StrategyItem>,
    /// `networkConfiguration`.
    pub network: NetworkRow,
    /// `loadBalancers`.
    pub load_balancers: Vec<Stored<shape::LoadBalancer>>,
    /// `resolvedConfiguration`: the groups that its tasks are in, and the rules that lead there.
    pub resolved: Vec<(String, Option<String>)>,
    /// `serviceConnectConfiguration`.
    #[serde(default)]
    pub connect: Option<Stored<shape::ServiceConnectConfiguration>>,
    /// `containerImages`: names and images.
    pub images: Vec<(String, String)>,
    /// By container: the digest of the image that its first task got.
    #[serde(default)]
    pub digests: BTreeMap<String, String>,
    /// `createdAt`.
    pub created_at: Timestamp,
}

impl ServiceRevisionRow {
    /// The key of a revision.
    pub fn key(cluster: &str, service: &str, id: &str) -> String {
        format!("{cluster}/{service}/{id}")
    }
}

impl Row for ServiceRevisionRow {
    const TABLE: &'static str = "ecs-service-revisions";

    fn id(&self) -> Cow<'_, str> {
        Cow::Owned(Self::key(&self.cluster, &self.service, &self.id))
    }
}

impl DeploymentRow {
    /// The digits of its id, which are those of its service revision.
    pub fn digits(&self) -> &str {
        self.state.id.rsplit('/').next().unwrap_or_default()
    }
}
