//! EC2 instances that the ECS agent runs on, as far as ECS cares.
//!
//! An instance is a share of this machine: a network namespace with interfaces, and as much processor and memory as its type
//! says. Its agent is this crate.

use crate::rows::EniRow;
use std::collections::BTreeMap;
use store::View;
use types::{Scope, Timestamp};

/// An instance that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ec2Instance {
    /// `i-…`.
    pub id: String,
    /// Its type: `t3.small`.
    pub kind: String,
    /// The image that it was launched from.
    pub image: String,
    /// The agent's version in that image.
    pub agent_version: String,
    /// Its zone.
    pub zone: String,
    /// Its subnet.
    pub subnet: String,
    /// CPU units of its type.
    pub cpu: u32,
    /// MiB of its type.
    pub memory: u32,
    /// How many network interfaces it can have besides its primary one.
    pub interfaces: u32,
    /// Its network namespace.
    pub namespace: String,
    /// Its primary network interface, attached.
    pub eni: EniRow,
    /// The ARN of its instance profile's role.
    pub role: Option<String>,
    /// The agent's configuration: `ECS_CLUSTER` and others.
    pub config: BTreeMap<String, String>,
    /// The Auto Scaling group that launched it.
    pub group: Option<String>,
    /// When it booted last: what ran on it before has ended.
    pub booted: Timestamp,
}

/// What of an instance decides which tasks it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Equipment {
    /// Its type: `t3.small`.
    pub kind: String,
    /// The image that it is launched from.
    pub image: String,
    /// The agent's version in that image.
    pub agent_version: String,
    /// Its zone.
    pub zone: String,
    /// Its subnet.
    pub subnet: String,
    /// Its VPC.
    pub vpc: String,
    /// CPU units of its type.
    pub cpu: u32,
    /// MiB of its type.
    pub memory: u32,
    /// How many network interfaces it can have besides its primary one.
    pub interfaces: u32,
    /// The agent's configuration.
    pub config: BTreeMap<String, String>,
}

impl Ec2Instance {
    /// What of it decides which tasks it takes.
    pub fn equipment(&self) -> Equipment {
        Equipment {
            kind: self.kind.clone(),
            image: self.image.clone(),
            agent_version: self.agent_version.clone(),
            zone: self.zone.clone(),
            subnet: self.subnet.clone(),
            vpc: self.eni.vpc.clone(),
            cpu: self.cpu,
            memory: self.memory,
            interfaces: self.interfaces,
            config: self.config.clone(),
        }
    }
}

/// Where an instance stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It runs the agent.
    Ready(Box<Ec2Instance>),
    /// It does not run: not yet, or it is stopped.
    Away,
    /// It is terminated.
    Gone,
}

/// EC2.
pub trait Instances: Send + Sync {
    /// Where the instance stands.
    fn standing(&self, view: &View, scope: &Scope, id: &str) -> Standing;
    /// The ids of all instances.
    fn all(&self, view: &View) -> Vec<(Scope, String)>;
    /// The tables in which an instance's change shows.
    fn tables(&self) -> &'static [&'static str];
}
