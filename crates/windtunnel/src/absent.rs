//! The ports of ECS whose services are not here yet. They refuse by name; nothing is pretended.

use ecs::ports::{Target, TargetGroup, TargetState, Targets};
use store::{Tx, View};
use types::{Scope, Timestamp};

/// Elastic Load Balancing, which has no target groups yet: a service that names one is refused.
pub(crate) struct NoTargets;

impl Targets for NoTargets {
    fn group(&self, _: &View, _: &Scope, _: &str) -> Option<TargetGroup> {
        None
    }

    fn register(&self, _: &mut Tx, _: &Scope, _: &str, _: Target, _: Timestamp) {}

    fn deregister(&self, _: &mut Tx, _: &Scope, _: &str, _: Target, _: Timestamp) {}

    fn state(&self, _: &View, _: &Scope, _: &str, _: Target) -> TargetState {
        TargetState::Gone
    }

    fn tables(&self) -> &'static [&'static str] {
        &[]
    }
}
