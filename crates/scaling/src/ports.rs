//! What automatic scaling needs of the services that it scales. The daemon plugs in ECS, tests plug in fakes.

use store::{Change, Tx, View};
use types::{Scope, Timestamp};

/// How much of a service there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// What was asked for.
    pub desired: u32,
    /// What runs.
    pub running: u32,
}

/// Services with a desired count. A resource is `service/<cluster>/<name>`.
pub trait Services: Send + Sync + 'static {
    /// How much there is; none if there is no such service, or it is being deleted.
    fn capacity(&self, view: &View, scope: &Scope, resource: &str) -> Option<Capacity>;
    /// Writes the intent of another desired count. The error is why it cannot be.
    fn set_desired(&self, tx: &mut Tx, scope: &Scope, resource: &str, count: u32, now: Timestamp)
    -> Result<(), String>;
    /// Tells the service's users of it.
    fn announce(&self, tx: &mut Tx, scope: &Scope, resource: &str, message: &str, now: Timestamp);
    /// The tables in which a change of capacity shows.
    fn tables(&self) -> &'static [&'static str];
    /// The resource that a change in one of these tables is about.
    fn resource(&self, view: &View, change: &Change) -> Option<String>;
}
