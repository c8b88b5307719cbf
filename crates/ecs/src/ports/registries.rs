//! The port of service discovery.

use std::collections::BTreeMap;
use store::{Tx, View};
use types::{Scope, Timestamp};

/// A service of Cloud Map, as far as ECS cares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registry {
    /// The id of its namespace.
    pub namespace: String,
    /// It has SRV records, which need a port.
    pub needs_port: bool,
    /// It has AAAA records, which need an IPv6 address.
    pub needs_ipv6: bool,
    /// It wants to be told of health.
    pub custom_health: bool,
}

/// Cloud Map. A registry is named by its ARN.
pub trait Registries: Send + Sync {
    /// The registry of this ARN.
    fn registry(&self, view: &View, scope: &Scope, arn: &str) -> Option<Registry>;
    /// The ids of the namespaces that an ARN or a name means.
    fn namespaces(&self, view: &View, scope: &Scope, reference: &str) -> Vec<String>;
    /// Tells of a task, which is the instance of its id. Twice is once; of a registry that is gone nobody is told.
    fn register(&self, tx: &mut Tx, scope: &Scope, arn: &str, instance: Instance<'_>, now: Timestamp);
    /// What was told of a task's health, if it is there.
    fn is_healthy(&self, view: &View, scope: &Scope, arn: &str, task: &str) -> Option<bool>;
    /// Tells of a task's health. One that is not there is no error.
    fn set_health(&self, tx: &mut Tx, scope: &Scope, arn: &str, task: &str, healthy: bool);
    /// Takes a task out. One that is not there is no error.
    fn deregister(&self, tx: &mut Tx, scope: &Scope, arn: &str, task: &str, now: Timestamp);
}

/// A task, as it is told of.
#[derive(Debug, Clone)]
pub struct Instance<'a> {
    /// The task's id.
    pub task: &'a str,
    /// What is told.
    pub attributes: BTreeMap<String, String>,
    /// Its health to begin with.
    pub healthy: bool,
}
