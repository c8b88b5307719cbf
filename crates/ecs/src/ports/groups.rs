//! The port of Auto Scaling groups.

use super::Equipment;
use store::{Tx, View};
use types::{Pace, Scope, Timestamp};

/// Seconds that an instance waits for ECS without hearing from it.
pub const HEARTBEAT: u32 = 3600;

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
    /// Its instances that are to end and wait for ECS.
    pub waiting: Vec<Waiting>,
    /// What its next instance would be, in each of its subnets; nothing where its template cannot be launched.
    pub launches: Vec<Equipment>,
}

/// An instance that is to end and waits until ECS lets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its id.
    pub instance: String,
    /// Until when it waits, if nothing more is heard.
    pub until: Timestamp,
    /// Until when at most.
    pub last: Timestamp,
}

/// Auto Scaling.
pub trait Groups: Send + Sync {
    /// The group of this name or ARN.
    fn group(&self, view: &View, scope: &Scope, reference: &str) -> Option<Group>;
    /// Has a group have another number of instances, within its bounds. `cause` is told with what follows.
    fn set_desired(&self, tx: &mut Tx, scope: &Scope, group: &str, desired: u32, cause: String);
    /// Protects an instance of a group from scale-in, or does so no more.
    fn protect(&self, tx: &mut Tx, scope: &Scope, instance: &str, protected: bool);
    /// Has instances of a group wait for ECS before they end, or does so no more: those that wait then go on. Whoever asks
    /// for what is so already changes nothing. The error says why it cannot be.
    fn drain(&self, tx: &mut Tx, scope: &Scope, group: &str, on: bool) -> Result<(), String>;
    /// Has an instance that waits do so for as long again.
    fn hold(&self, tx: &mut Tx, scope: &Scope, group: &str, instance: &str, pace: Pace, now: Timestamp);
    /// Lets an instance that waits end.
    fn let_go(&self, tx: &mut Tx, scope: &Scope, group: &str, instance: &str, now: Timestamp);
    /// The tables in which a group's change shows.
    fn tables(&self) -> &'static [&'static str];
}
