//! What ECS needs of others, as narrow traits: the network, target groups, images, secrets, logs, roles.
//!
//! The daemon plugs in the adapters to the real services; simulation plugs in fakes. A port reads through the view or
//! transaction that it is given, so that what ECS decides and what it decided upon are one snapshot.

mod groups;
mod instances;
mod namespaces;
mod registries;

pub use groups::{Group, Groups, HEARTBEAT, Waiting};
pub use instances::{Ec2Instance, Equipment, Instances, Standing};
pub use namespaces::{Namespace, Namespaces, Proxy};
pub use registries::{Instance, Registries, Registry};

use crate::rows::{EniRow, HostRow, LogTarget, NetworkRow};
use rollout::{Placement, TargetHealth};
use runtime::ImageSnapshot;
use std::path::PathBuf;
use std::sync::Arc;
use store::{Tx, View};
use types::{Scope, Timestamp};

/// All ports.
#[derive(Clone)]
pub struct Ports {
    /// Subnets and network interfaces.
    pub network: Arc<dyn Network>,
    /// EC2 instances.
    pub instances: Arc<dyn Instances>,
    /// Auto Scaling groups.
    pub groups: Arc<dyn Groups>,
    /// Target groups.
    pub targets: Arc<dyn Targets>,
    /// Service discovery.
    pub registries: Arc<dyn Registries>,
    /// Namespaces of Service Connect.
    pub namespaces: Arc<dyn Namespaces>,
    /// Service Connect's proxy.
    pub proxy: Arc<dyn Proxy>,
    /// Images.
    pub images: Arc<dyn Images>,
    /// Secrets and parameters.
    pub secrets: Arc<dyn Secrets>,
    /// Log groups.
    pub logs: Arc<dyn Logs>,
    /// Roles.
    pub roles: Arc<dyn Roles>,
    /// Alarms, where there are any.
    pub alarms: Option<Arc<dyn Alarms>>,
    /// Session Manager's channels.
    pub messages: Arc<dyn Messages>,
}

/// A subnet, as far as ECS cares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subnet {
    /// Its VPC.
    pub vpc: String,
    /// Its zone's name.
    pub zone: String,
}

/// A network interface to be made for a task.
#[derive(Debug, Clone)]
pub struct EniRequest<'a> {
    /// Where.
    pub placement: &'a Placement,
    /// Its security groups.
    pub groups: &'a [String],
    /// With a public address.
    pub public: bool,
    /// The network namespace that it goes into, by name. Making it twice for one namespace gives the same interface.
    pub netns: &'a str,
    /// `arn:aws:ecs:…:attachment/<uuid>`.
    pub description: &'a str,
    /// Now.
    pub now: Timestamp,
}

/// The VPC.
#[async_trait::async_trait]
pub trait Network: Send + Sync {
    /// The subnet, if there is one.
    fn subnet(&self, view: &View, scope: &Scope, id: &str) -> Option<Subnet>;
    /// The VPC of a security group, if there is one.
    fn group_vpc(&self, view: &View, scope: &Scope, id: &str) -> Option<String>;
    /// The default security group of a VPC.
    fn default_group(&self, view: &View, scope: &Scope, vpc: &str) -> Option<String>;
    /// Writes the intent of a network interface. The error is the code that EC2 answers.
    fn create(&self, tx: &mut Tx, scope: &Scope, request: &EniRequest) -> Result<EniRow, String>;
    /// Whether the interface stands in its namespace, ready for packets.
    fn is_attached(&self, view: &View, scope: &Scope, eni: &str) -> bool;
    /// Waits until credentials and metadata are answered in the namespace, or it is clear that they will not soon be.
    async fn await_metadata(&self, netns: &str);
    /// Takes the intent back. One that is gone is no error.
    fn delete(&self, tx: &mut Tx, scope: &Scope, eni: &str);
    /// Writes the intent of a network for the task behind its instance's.
    fn create_behind(&self, tx: &mut Tx, scope: &Scope, netns: &str, host: &HostRow);
    /// Whether the network behind an instance's stands, ready for packets.
    fn stands_behind(&self, view: &View, scope: &Scope, netns: &str) -> bool;
    /// Takes that intent back. One that is gone is no error.
    fn delete_behind(&self, tx: &mut Tx, scope: &Scope, netns: &str);
    /// Where the namespace is mounted.
    fn netns_path(&self, netns: &str) -> PathBuf;
    /// The tables in which an interface's change shows; the id of a changed row is the interface's, or the namespace of a
    /// network behind an instance's.
    fn tables(&self) -> &'static [&'static str];
}

/// A target group, as far as ECS cares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetGroup {
    /// `ip`, `instance`, `lambda`, `alb`.
    pub target_type: String,
    /// A listener forwards to it.
    pub has_load_balancer: bool,
}

/// Where a target stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetState {
    /// Registered; what its health check says.
    Registered(TargetHealth),
    /// Leaving; connections go on until the deregistration delay is over.
    Draining,
    /// Not there.
    Gone,
}

/// Elastic Load Balancing.
pub trait Targets: Send + Sync {
    /// The target group of this ARN.
    fn group(&self, view: &View, scope: &Scope, arn: &str) -> Option<TargetGroup>;
    /// Adds the target. Twice is once.
    fn register(&self, tx: &mut Tx, scope: &Scope, group: &str, target: &Target, now: Timestamp);
    /// Begins to take it out. One that is not there is no error.
    fn deregister(&self, tx: &mut Tx, scope: &Scope, group: &str, target: &Target, now: Timestamp);
    /// Where it stands.
    fn state(&self, view: &View, scope: &Scope, group: &str, target: &Target) -> TargetState;
    /// The groups that a listener rule forwards to, with their weights. `None`: there is no such rule.
    fn forwards(&self, view: &View, scope: &Scope, rule: &str) -> Option<Vec<(String, u32)>>;
    /// Has the rule forward to these groups with these weights.
    fn forward(&self, tx: &mut Tx, scope: &Scope, rule: &str, weights: &[(&str, u32)]);
    /// The tables in which a target's change shows; the id of a changed row begins with the group's ARN or is one.
    fn tables(&self) -> &'static [&'static str];
}

/// A target of a target group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// An address, or an instance.
    pub id: String,
    /// The port.
    pub port: u16,
}

/// An alarm, as far as a deployment cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alarm {
    /// It is in ALARM.
    pub alarming: bool,
    /// How long what it looks at takes: its period as often as it evaluates.
    pub window: std::time::Duration,
}

/// CloudWatch alarms.
pub trait Alarms: Send + Sync {
    /// The alarm of this name, if there is one.
    fn alarm(&self, view: &View, scope: &Scope, name: &str) -> Option<Alarm>;
    /// The tables in which an alarm's state shows; the id of a changed row is the alarm's name.
    fn tables(&self) -> &'static [&'static str];
}

/// A role's session, as the agent uses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The role.
    pub role_arn: String,
    /// The session's name: the task's id.
    pub name: String,
    /// `arn:aws:sts::…:assumed-role/<role>/<task id>`.
    pub arn: String,
}

/// Temporary credentials for an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// `ASIA…`.
    pub access_key_id: String,
    /// The secret.
    pub secret_access_key: String,
    /// The session token.
    pub token: String,
    /// When they end.
    pub expires_at: Timestamp,
}

/// IAM and STS.
pub trait Roles: Send + Sync {
    /// A session of the role for `ecs-tasks.amazonaws.com`. The error is STS's text.
    fn assume(&self, view: &View, scope: &Scope, role_arn: &str, session: &str) -> Result<Session, String>;
    /// Whether the role lets `ecs.amazonaws.com` change the listener rule for a deployment.
    fn may_shift(&self, view: &View, scope: &Scope, role_arn: &str, rule: &str) -> bool;
    /// Credentials of such a session, written to the store.
    fn credentials(&self, tx: &mut Tx, scope: &Scope, session: &Session, now: Timestamp)
    -> Result<Credentials, String>;
}

/// An image to be pulled.
#[derive(Debug, Clone)]
pub struct Pull<'a> {
    /// As the task definition names it.
    pub image: &'a str,
    /// As whom, if the task has an execution role.
    pub session: Option<&'a Session>,
    /// From which network namespace.
    pub netns: &'a str,
    /// The task's address, for messages.
    pub ip: std::net::Ipv4Addr,
}

/// An image that was found.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// The digest of its manifest.
    pub digest: String,
    /// Its layers and configuration.
    pub snapshot: ImageSnapshot,
}

/// Registries.
#[async_trait::async_trait]
pub trait Images: Send + Sync {
    /// Finds the image, as the session, from the task's own network. The error is the whole stopped reason, with its name in
    /// front (`CannotPullContainerError: …`, `ResourceInitializationError: …`).
    async fn pull(&self, scope: &Scope, pull: Pull<'_>) -> Result<Pulled, String>;
}

/// Secrets Manager and Parameter Store.
#[async_trait::async_trait]
pub trait Secrets: Send + Sync {
    /// The value that `value_from` names, read as the session from the task's own network. The error is what stands in
    /// the stopped reason behind `ResourceInitializationError: `.
    async fn value(
        &self,
        scope: &Scope,
        value_from: &str,
        session: Option<&Session>,
        netns: &str,
    ) -> Result<String, String>;
}

/// A line for a log stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEvent {
    /// When it was written.
    pub at: Timestamp,
    /// The text.
    pub message: String,
}

/// CloudWatch Logs.
#[async_trait::async_trait]
pub trait Logs: Send + Sync {
    /// Makes the stream (and, if the target says so, the group), as the session from the task's own network. One that is there
    /// is no error. The error is what stands in the stopped reason behind `ResourceInitializationError: `.
    async fn create_stream(
        &self,
        scope: &Scope,
        log: &LogTarget,
        session: Option<&Session>,
        netns: &str,
    ) -> Result<(), String>;

    /// Appends to the stream, as the session from the task's own network; what it may not write is lost, as the driver
    /// tells nobody. `position` grows with each call for a stream and is repeated only with the same events, after a crash
    /// between this and the caller's commit: then nothing is appended again.
    async fn append(
        &self,
        scope: &Scope,
        log: &LogTarget,
        (position, events): (u64, Vec<LogEvent>),
        session: Option<&Session>,
        netns: &str,
    ) -> Result<(), String>;
}

/// Session Manager's messages, as the agent of ECS Exec in a container uses them.
#[async_trait::async_trait]
pub trait Messages: Send + Sync {
    /// Opens channels as the session, a task role's, from the task's own network. The error is for logs: nobody is told it.
    async fn open(&self, scope: &Scope, session: &Session, task_arn: &str, netns: &str) -> Result<(), String>;
}

/// Fills in zones and the default security group, and refuses what does not exist.
pub(crate) fn resolve_network(
    ports: &Ports,
    view: &View,
    scope: &Scope,
    configuration: Option<&model::ecs::NetworkConfiguration>,
) -> Result<NetworkRow, types::ApiError> {
    use crate::texts;
    let vpc = configuration
        .and_then(|configuration| configuration.awsvpc_configuration.as_ref())
        .ok_or_else(|| texts::invalid(texts::NETWORK_NEEDED))?;
    if vpc.subnets.is_empty() {
        return Err(texts::invalid(texts::SUBNETS_EMPTY));
    }
    if vpc.subnets.len() > 16 {
        return Err(texts::invalid("subnets can have at most 16 items."));
    }
    let mut places = Vec::with_capacity(vpc.subnets.len());
    let mut home: Option<String> = None;
    for id in &vpc.subnets {
        let subnet = ports.network.subnet(view, scope, id).ok_or_else(|| texts::invalid(texts::subnet_missing(id)))?;
        if home.get_or_insert_with(|| subnet.vpc.clone()) != &subnet.vpc {
            return Err(texts::invalid("Subnets must belong to the same VPC."));
        }
        places.push(Placement { subnet: id.clone(), zone: subnet.zone });
    }
    let home = home.unwrap_or_default();
    let named = vpc.security_groups.clone().unwrap_or_default();
    if named.len() > 5 {
        return Err(texts::invalid("securityGroups can have at most 5 items."));
    }
    for id in &named {
        match ports.network.group_vpc(view, scope, id) {
            Some(group_vpc) if group_vpc == home => {}
            Some(_) => {
                return Err(texts::invalid(format!(
                    "Security group {id} does not appear to belong to the same VPC as the input subnets."
                )));
            }
            None => return Err(texts::invalid(texts::group_missing(id))),
        }
    }
    let groups_named = !named.is_empty();
    let security_groups =
        if groups_named { named } else { ports.network.default_group(view, scope, &home).into_iter().collect() };
    let assign_public_ip = vpc.assign_public_ip.as_deref() == Some("ENABLED");
    Ok(NetworkRow { places, security_groups, groups_named, assign_public_ip })
}
