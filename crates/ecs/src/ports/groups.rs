//! The port of Auto Scaling groups.

use store::{Tx, View};
use types::Scope;

/// An Auto Scaling group, as far as ECS cares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// How many instances it is to have.
    pub desired: u32,
    /// The least and the greatest number of them.
    pub bounds: (u32, u32),
    /// Whether new instances are protected from scale-in.
    pub protects_new: bool,
    /// Its instances that start or serve, with their protection from scale-in.
    pub instances: Vec<(String, bool)>,
    /// CPU units and MiB of the type that it launches.
    pub size: Option<(u32, u32)>,
}

/// Auto Scaling.
pub trait Groups: Send + Sync {
    /// The group of this name or ARN.
    fn group(&self, view: &View, scope: &Scope, reference: &str) -> Option<Group>;
    /// Has a group have another number of instances, within its bounds. `cause` is told with what follows.
    fn set_desired(&self, tx: &mut Tx, scope: &Scope, group: &str, desired: u32, cause: String);
    /// Protects an instance of a group from scale-in, or does so no more.
    fn protect(&self, tx: &mut Tx, scope: &Scope, instance: &str, protected: bool);
    /// The tables in which a group's change shows.
    fn tables(&self) -> &'static [&'static str];
}
