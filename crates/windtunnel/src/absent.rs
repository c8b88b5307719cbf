//! The ports of ECS whose services are not here yet. They refuse by name; nothing is pretended.

use async_trait::async_trait;
use ecs::ports::{LogEvent, Logs, Session, Target, TargetGroup, TargetState, Targets};
use ecs::rows::LogTarget;
use store::{Store, Tx, View};
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

/// CloudWatch Logs, which has no groups yet: a container that names one fails to start.
pub(crate) struct NoLogs;

#[async_trait]
impl Logs for NoLogs {
    async fn create_stream(&self, _: &Scope, _: &LogTarget, _: Option<&Session>, _: &str) -> Result<(), String> {
        Err("failed to validate logger args: Windtunnel does not implement CloudWatch Logs yet".to_owned())
    }

    async fn append(&self, _: &Store, _: &Scope, _: &LogTarget, _: u64, _: Vec<LogEvent>) -> Result<(), String> {
        Err("Windtunnel does not implement CloudWatch Logs yet".to_owned())
    }
}
