//! Tasks, their containers, and what is kept beside them.

use super::{HostRow, NetworkMode, RegistryRow, ServiceRow, Tag, TargetRow, TaskConnectRow, WaitRow};
use crate::ports::Target;
use model::Stored;
use model::ecs as shape;
use rollout::{DesiredStatus, Marks, Placement, StopCode, TaskStatus};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::time::Duration;
use store::{Index, Row, View};
use types::{Scope, Timestamp};

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
    /// Its IPv6 address, where its subnet has them.
    #[serde(default)]
    pub ipv6: Option<std::net::Ipv6Addr>,
    /// Its MAC address.
    pub mac: String,
    /// Its host name in the VPC.
    pub private_dns: Option<String>,
    /// Its VPC.
    pub vpc: String,
    /// `10.0.1.0/24`.
    pub subnet_cidr: String,
    /// Its subnet's IPv6 block.
    #[serde(default)]
    pub subnet_ipv6_cidr: Option<String>,
    /// Whom its VPC's DHCP said to ask for names. It was not kept at first, when all asked the link-local resolver.
    #[serde(default = "EniRow::dns_servers_at_first")]
    pub dns_servers: Vec<std::net::Ipv4Addr>,
    /// Where its VPC's DHCP said to look for short names.
    #[serde(default)]
    pub dns_search: Vec<String>,
}

impl EniRow {
    fn dns_servers_at_first() -> Vec<std::net::Ipv4Addr> {
        vec![resolver::LINK_LOCAL]
    }
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
    /// `FARGATE` or `EC2`, unless a capacity provider stands in its place.
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
    /// Until when it is protected from scaling in.
    #[serde(default)]
    pub protected_until: Option<Timestamp>,
    /// Where it is.
    pub placement: Placement,
    /// The container instance that it is on; none on Fargate.
    #[serde(default)]
    pub host: Option<HostRow>,
    /// It is to be on an instance, which is not there yet.
    #[serde(default)]
    pub waits: Option<WaitRow>,
    /// When it was given an instance that it had waited for.
    #[serde(default)]
    pub placed_at: Option<Timestamp>,
    /// Its security groups.
    pub security_groups: Vec<String>,
    /// It gets a public address.
    pub assign_public_ip: bool,
    /// The id of the network interface's attachment, a UUID.
    pub attachment_id: String,
    /// Its network interface, once there is one; that of its instance where it shares the instance's network.
    pub eni: Option<EniRow>,
    /// Its load balancer entries.
    pub targets: Vec<TargetRow>,
    /// Where it is told of.
    #[serde(default)]
    pub registries: Vec<RegistryRow>,
    /// Service Connect.
    #[serde(default)]
    pub connect: Option<TaskConnectRow>,
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

    /// The network namespace that its containers are in: its own, named by its id, or its instance's.
    pub fn netns(&self) -> String {
        match &self.host {
            Some(host) if host.mode == NetworkMode::Host => host.namespace.clone(),
            _ => format!("task-{}", self.id),
        }
    }

    /// The network namespace that the agent acts from: on Fargate the task's, else its instance's.
    pub fn agent_netns(&self) -> String {
        self.host.as_ref().map_or_else(|| self.netns(), |host| host.namespace.clone())
    }

    /// Whether it runs, or is to run, on a container instance.
    pub fn is_on_instance(&self) -> bool {
        self.host.is_some() || self.waits.is_some()
    }

    /// Whether it has a network interface of its own.
    pub fn has_own_interface(&self) -> bool {
        let mode = self.host.as_ref().map(|host| host.mode).or(self.waits.as_ref().map(|wait| wait.mode));
        mode.is_none_or(|mode| mode == NetworkMode::Awsvpc)
    }

    /// What is registered for an entry of its load balancers: its address, or its instance and the port there.
    pub fn target(&self, entry: &TargetRow) -> Option<Target> {
        let Some(host) = self.host.as_ref().filter(|_| !self.has_own_interface()) else {
            return self.eni.as_ref().map(|eni| Target { id: eni.ip.to_string(), port: entry.port });
        };
        let bound =
            |binding: &&super::BindingRow| binding.container == entry.container && binding.container_port == entry.port;
        let binding = host.bindings.iter().find(bound)?;
        Some(Target { id: host.ec2.clone(), port: binding.host_port })
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
/// The tasks of a container instance.
pub const TASKS_BY_INSTANCE: Index<TaskRow> =
    Index::new("instance", |row| row.host.iter().map(|host| host.instance.clone()).collect());
/// The tasks of a cluster that wait for room on an instance.
pub const WAITING_TASKS: Index<TaskRow> = Index::new("waiting", |row| {
    let waits = row.waits.is_some() && row.desired == DesiredStatus::Running;
    waits.then(|| row.cluster.clone()).into_iter().collect()
});
/// The task of a credentials id.
pub const TASKS_BY_CREDENTIALS: Index<TaskRow> = Index::new("credentials", |row| vec![row.credentials_id.clone()]);

impl Row for TaskRow {
    const TABLE: &'static str = "ecs-tasks";

    fn id(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.id)
    }

    fn indexes() -> &'static [Index<Self>] {
        &[TASKS_BY_SERVICE, TASKS_BY_CLUSTER, TASKS_BY_ENI, TASKS_BY_INSTANCE, WAITING_TASKS, TASKS_BY_CREDENTIALS]
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
    /// It has a health check that is not switched off.
    pub checked: bool,
    /// How often it was started again by its restart policy, if it has one.
    #[serde(default)]
    pub restarts: u32,
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
    /// The expression that an event begins with, where not each line is one.
    #[serde(default)]
    pub event_start: Option<String>,
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
    /// How many records from there on were handed over, and in which batches: the running count after each. Empty once
    /// all of a read has arrived.
    #[serde(default)]
    pub batches: Vec<usize>,
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

/// How long a client token holds at most. Source: Amazon ECS API reference, "Ensuring idempotency".
pub const TOKEN_LASTS: Duration = Duration::from_hours(24);

/// The tasks that a `RunTask` with a client token started, so that a repetition starts none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRow {
    /// `cluster/token`.
    pub token: String,
    /// The SHA-256 of what was asked, to tell a repetition from a conflict.
    pub request: String,
    /// The tasks' ids.
    pub tasks: Vec<String>,
    /// When.
    pub at: Timestamp,
}

impl TokenRow {
    /// Whether a repetition is still answered with these tasks: for a day, or until they are all forgotten.
    pub fn holds(&self, view: &View, scope: &Scope, now: Timestamp) -> bool {
        now.since(self.at) < TOKEN_LASTS && self.tasks.iter().any(|id| view.contains::<TaskRow>(scope, id))
    }
}

impl Row for TokenRow {
    const TABLE: &'static str = "ecs-client-tokens";

    fn id(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.token)
    }
}
