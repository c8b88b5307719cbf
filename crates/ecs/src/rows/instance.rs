//! Container instances, and what a task is to the one that it runs on.

use super::{EniRow, NetworkRow, Tag};
use crate::ports::Session;
use rollout::placement::Protocol;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use store::{Index, Row};
use types::{Scope, Timestamp};

/// `status` of a container instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum InstanceStatus {
    /// It takes tasks.
    #[serde(rename = "ACTIVE")]
    Active,
    /// It takes no more, and services move theirs away.
    #[serde(rename = "DRAINING")]
    Draining,
    /// Deregistered.
    #[serde(rename = "INACTIVE")]
    Inactive,
}

impl InstanceStatus {
    /// As AWS writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Draining => "DRAINING",
            Self::Inactive => "INACTIVE",
        }
    }
}

/// A container instance: an EC2 instance in a cluster. What of it is taken is not kept here: its tasks say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerInstanceRow {
    /// 32 hexadecimal digits.
    pub id: String,
    /// The cluster's name.
    pub cluster: String,
    /// `i-…`.
    pub ec2: String,
    /// `status`.
    pub status: InstanceStatus,
    /// `agentConnected`: the instance runs.
    pub connected: bool,
    /// The agent's version.
    pub agent_version: String,
    /// Its network namespace.
    pub namespace: String,
    /// Its primary network interface.
    pub eni: EniRow,
    /// The ARN of its instance profile's role.
    pub role: Option<String>,
    /// CPU units that tasks can have.
    pub cpu: u32,
    /// MiB that tasks can have.
    pub memory: u32,
    /// How many tasks can have a network interface of their own.
    pub interfaces: u32,
    /// Ports that the agent keeps from tasks.
    pub reserved_ports: BTreeSet<(Protocol, u16)>,
    /// Its attributes, the built-in ones included.
    pub attributes: BTreeMap<String, Option<String>>,
    /// `capacityProviderName`.
    pub capacity_provider: Option<String>,
    /// When its instance booted last.
    pub booted: Timestamp,
    /// `registeredAt`.
    pub registered_at: Timestamp,
    /// Grows with every change that a client can see.
    pub version: i64,
    /// When it became INACTIVE.
    pub deregistered_at: Option<Timestamp>,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// The container instances of a cluster.
pub const INSTANCES_BY_CLUSTER: Index<ContainerInstanceRow> = Index::new("cluster", |row| vec![row.cluster.clone()]);
/// The container instances that an EC2 instance is and was.
pub const INSTANCES_BY_EC2: Index<ContainerInstanceRow> = Index::new("ec2", |row| vec![row.ec2.clone()]);

/// The container instance in a network namespace.
pub const INSTANCES_BY_NAMESPACE: Index<ContainerInstanceRow> =
    Index::new("namespace", |row| vec![row.namespace.clone()]);

impl Row for ContainerInstanceRow {
    const TABLE: &'static str = "ecs-container-instances";

    fn id(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.id)
    }

    fn indexes() -> &'static [Index<Self>] {
        &[INSTANCES_BY_CLUSTER, INSTANCES_BY_EC2, INSTANCES_BY_NAMESPACE]
    }
}

/// `networkMode` of a task on an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetworkMode {
    /// An interface of its own.
    #[serde(rename = "awsvpc")]
    Awsvpc,
    /// The instance's network.
    #[serde(rename = "host")]
    Host,
    /// A network behind the instance's.
    #[serde(rename = "bridge")]
    Bridge,
}

/// What a task is to the container instance that it is on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRow {
    /// The container instance's id.
    pub instance: String,
    /// `i-…`.
    pub ec2: String,
    /// The instance's network namespace, from where the agent acts for the task.
    pub namespace: String,
    /// The ARN of the instance profile's role, which pulls and logs for a task without an execution role.
    pub role: Option<String>,
    /// How the task is on the network.
    pub mode: NetworkMode,
    /// Its address behind the instance's, in bridge mode.
    pub behind: Option<Ipv4Addr>,
    /// Its ports on the instance.
    pub bindings: Vec<BindingRow>,
}

impl HostRow {
    /// The session that the instance's own credentials are of.
    pub fn session(&self, scope: &Scope) -> Option<Session> {
        let role_arn = self.role.clone()?;
        let role = role_arn.rsplit('/').next().unwrap_or_default();
        let arn = format!("arn:aws:sts::{}:assumed-role/{role}/{}", scope.account, self.ec2);
        Some(Session { name: self.ec2.clone(), arn, role_arn })
    }
}

/// A port of a container and the instance's port that leads there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindingRow {
    /// The container.
    pub container: String,
    /// `protocol`.
    pub protocol: Protocol,
    /// `containerPort`.
    pub container_port: u16,
    /// `hostPort`.
    pub host_port: u16,
}

/// What a task that waits for room on an instance is to be placed by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitRow {
    /// Its network mode.
    pub mode: NetworkMode,
    /// `placementConstraints`: type and expression.
    pub constraints: Vec<(String, Option<String>)>,
    /// `placementStrategy`: type and field.
    pub strategies: Vec<(String, Option<String>)>,
    /// Where it may have its network interface.
    pub network: NetworkRow,
}

/// What a service asks for on instances.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PlacementRow {
    /// `placementConstraints`: type and expression.
    pub constraints: Vec<(String, Option<String>)>,
    /// `placementStrategy`: type and field.
    pub strategies: Vec<(String, Option<String>)>,
    /// `schedulingStrategy` is DAEMON.
    pub daemon: bool,
    /// Why its last task could not be placed, and when that was said.
    pub complaint: Option<(String, Timestamp)>,
}
