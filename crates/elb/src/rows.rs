//! The resources as the store holds them. All but targets are kept under their ARNs; a target's id begins with the ARN
//! of its group, so that a group's targets are neighbours.

use model::Stored;
use model::elbv2::{Action, RuleCondition};
use routing::TargetHealth;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use store::{Index, Row};
use types::Timestamp;
use types::id::{EniId, SecurityGroupId, SubnetId, VpcId};

/// A resource's tags, by key.
pub type Tags = BTreeMap<String, String>;

/// An application load balancer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoadBalancer {
    /// `arn:aws:elasticloadbalancing:…:loadbalancer/app/<name>/<id>`.
    pub arn: String,
    /// Unique in account and region.
    pub name: String,
    /// Its DNS name.
    pub dns_name: String,
    /// Whether it has private addresses alone.
    pub internal: bool,
    /// Its VPC.
    pub vpc: VpcId,
    /// Its security groups.
    pub security_groups: Vec<SecurityGroupId>,
    /// One a subnet.
    pub nodes: Vec<Node>,
    /// When it was made.
    pub created: Timestamp,
    /// Whether it serves.
    pub state: LoadBalancerState,
    /// The attributes that were set; others have their defaults.
    pub attributes: BTreeMap<String, String>,
    /// Its tags.
    pub tags: Tags,
}

/// A load balancer's presence in a subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// The subnet.
    pub subnet: SubnetId,
    /// The subnet's zone.
    pub zone: String,
    /// The network interface.
    pub interface: EniId,
}

/// `State.Code` of a load balancer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoadBalancerState {
    /// `provisioning`: not all nodes serve yet.
    Provisioning,
    /// `active`.
    Active,
}

impl LoadBalancerState {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Provisioning => "provisioning",
            Self::Active => "active",
        }
    }
}

impl LoadBalancer {
    /// Load balancers by name.
    pub const BY_NAME: Index<Self> = Index::new("name", |row| vec![row.name.clone()]);
    /// Load balancers by DNS name.
    pub const BY_DNS_NAME: Index<Self> = Index::new("dns_name", |row| vec![row.dns_name.to_ascii_lowercase()]);

    /// `app/<name>/<id>`.
    pub fn path(&self) -> &str {
        self.arn.split_once(":loadbalancer/").map_or("", |(_, path)| path)
    }
}

impl Row for LoadBalancer {
    const TABLE: &'static str = "elb.load_balancer";

    fn id(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.arn)
    }

    fn indexes() -> &'static [Index<Self>] {
        &[Self::BY_NAME, Self::BY_DNS_NAME]
    }
}

/// A target group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetGroup {
    /// `arn:aws:elasticloadbalancing:…:targetgroup/<name>/<id>`.
    pub arn: String,
    /// Unique in account and region.
    pub name: String,
    /// `HTTP` or `HTTPS`.
    pub protocol: String,
    /// `HTTP1`, `HTTP2` or `GRPC`.
    pub protocol_version: String,
    /// The port of targets that name none.
    pub port: u16,
    /// Its VPC.
    pub vpc: VpcId,
    /// `ip` or `instance`.
    pub target_type: String,
    /// How targets are checked.
    pub check: HealthCheck,
    /// The attributes that were set; others have their defaults.
    pub attributes: BTreeMap<String, String>,
    /// When it was made.
    pub created: Timestamp,
    /// Its tags.
    pub tags: Tags,
}

/// A target group's health check, in AWS's words and seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// Whether targets are checked.
    pub enabled: bool,
    /// `HTTP` or `HTTPS`.
    pub protocol: String,
    /// A port, or `traffic-port`.
    pub port: String,
    /// The path.
    pub path: String,
    /// Between checks.
    pub interval: u32,
    /// Until a check has failed.
    pub timeout: u32,
    /// Passes that make an unhealthy target healthy.
    pub healthy: u32,
    /// Failures that make a target unhealthy.
    pub unhealthy: u32,
    /// The codes that pass: `200`, `200-299`, …
    pub matcher: String,
}

impl TargetGroup {
    /// Target groups by name.
    pub const BY_NAME: Index<Self> = Index::new("name", |row| vec![row.name.clone()]);
}

impl Row for TargetGroup {
    const TABLE: &'static str = "elb.target_group";

    fn id(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.arn)
    }

    fn indexes() -> &'static [Index<Self>] {
        &[Self::BY_NAME]
    }
}

/// A listener, with its default rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listener {
    /// `arn:aws:elasticloadbalancing:…:listener/app/<name>/<id>/<id>`.
    pub arn: String,
    /// The load balancer's ARN.
    pub load_balancer: String,
    /// Its port.
    pub port: u16,
    /// `HTTP` or `HTTPS`.
    pub protocol: String,
    /// The ARNs of its certificates, the default one first.
    pub certificates: Vec<String>,
    /// Its security policy, if it is HTTPS.
    pub ssl_policy: Option<String>,
    /// The default rule's actions.
    pub default_actions: Vec<Stored<Action>>,
    /// The default rule's ARN.
    pub default_rule: String,
    /// The default rule's tags.
    pub default_rule_tags: Tags,
    /// The attributes that were set; others have their defaults.
    pub attributes: BTreeMap<String, String>,
    /// Its tags.
    pub tags: Tags,
    /// The port of 127.0.0.1 by which the user's machine reaches it; none until it has one.
    #[serde(default)]
    pub loopback_port: Option<u16>,
}

impl Listener {
    /// Listeners by load balancer.
    pub const BY_LOAD_BALANCER: Index<Self> = Index::new("load_balancer", |row| vec![row.load_balancer.clone()]);
    /// Listeners by the target groups that their default rules forward to.
    pub const BY_TARGET_GROUP: Index<Self> = Index::new("target_group", |row| groups_of(&row.default_actions));
    /// Listeners by default rule.
    pub const BY_DEFAULT_RULE: Index<Self> = Index::new("default_rule", |row| vec![row.default_rule.clone()]);
}

impl Row for Listener {
    const TABLE: &'static str = "elb.listener";

    fn id(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.arn)
    }

    fn indexes() -> &'static [Index<Self>] {
        &[Self::BY_LOAD_BALANCER, Self::BY_TARGET_GROUP, Self::BY_DEFAULT_RULE]
    }
}

/// A rule besides the default one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// `arn:aws:elasticloadbalancing:…:listener-rule/app/<name>/<id>/<id>/<id>`.
    pub arn: String,
    /// The listener's ARN.
    pub listener: String,
    /// The load balancer's ARN.
    pub load_balancer: String,
    /// Unique in the listener.
    pub priority: u32,
    /// All must hold.
    pub conditions: Vec<Stored<RuleCondition>>,
    /// What is done then.
    pub actions: Vec<Stored<Action>>,
    /// Its tags.
    pub tags: Tags,
}

impl Rule {
    /// Rules by listener.
    pub const BY_LISTENER: Index<Self> = Index::new("listener", |row| vec![row.listener.clone()]);
    /// Rules by the target groups that they forward to.
    pub const BY_TARGET_GROUP: Index<Self> = Index::new("target_group", |row| groups_of(&row.actions));
}

impl Row for Rule {
    const TABLE: &'static str = "elb.rule";

    fn id(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.arn)
    }

    fn indexes() -> &'static [Index<Self>] {
        &[Self::BY_LISTENER, Self::BY_TARGET_GROUP]
    }
}

/// The ARNs of the target groups that the actions forward to, each once.
pub fn groups_of(actions: &[Stored<Action>]) -> Vec<String> {
    let tuples = actions
        .iter()
        .filter_map(|action| action.forward_config.as_ref())
        .flat_map(|forward| forward.target_groups.iter().flatten())
        .filter_map(|tuple| tuple.target_group_arn.clone());
    tuples.collect::<BTreeSet<_>>().into_iter().collect()
}

/// A target of a group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// The group's ARN.
    pub group: String,
    /// The address, or the instance's id.
    pub target: String,
    /// Its port.
    pub port: u16,
    /// Its zone; `None` is `all`.
    pub zone: Option<String>,
    /// Whether it is given requests.
    pub state: TargetState,
    /// What health checks last said, where its group is attached to a load balancer.
    pub health: TargetHealth,
    /// When it was registered.
    pub registered: Timestamp,
}

/// Whether a target is given requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TargetState {
    /// It is registered.
    Registered,
    /// It was deregistered, and may finish what it has begun.
    Draining {
        /// Since when.
        since: Timestamp,
    },
    /// It has finished all, and is still shown as draining until the deregistration delay is over. Source: user guide,
    /// "Deregistration delay".
    Drained {
        /// Since when it drained.
        since: Timestamp,
    },
}

impl Target {
    /// The id of a group's target.
    pub fn key(group: &str, target: &str, port: u16) -> String {
        format!("{group}#{target}:{port}")
    }
}

impl Row for Target {
    const TABLE: &'static str = "elb.target";

    fn id(&self) -> Cow<'_, str> {
        Cow::Owned(Self::key(&self.group, &self.target, self.port))
    }
}
