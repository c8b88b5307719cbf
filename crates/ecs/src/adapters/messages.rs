//! The messages port: Session Manager's channels, opened as the task role from the task's own network.

use super::Reach;
use crate::ports::{Messages, Session};
use async_trait::async_trait;
use types::Scope;

/// What the agent in a container must be allowed to do. Source: ECS developer guide, "ECS Exec IAM permissions".
const ACTIONS: [&str; 4] = [
    "ssmmessages:CreateControlChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenDataChannel",
];

const SERVICE: &str = "ssmmessages";

/// Session Manager, as the agent in a container uses it.
pub struct RealMessages {
    reach: Reach,
}

impl RealMessages {
    /// The port.
    pub fn new(reach: Reach) -> Self {
        Self { reach }
    }
}

#[async_trait]
impl Messages for RealMessages {
    async fn open(&self, scope: &Scope, session: &Session, task_arn: &str, netns: &str) -> Result<(), String> {
        let host = format!("ssmmessages.{}.amazonaws.com", scope.region);
        let origin = self.reach.connect(scope, netns, &host).await?;
        let (view, now) = (self.reach.view(), self.reach.clock().now());
        let named = || iam::query::role_names_service(&view, &session.role_arn, &session.name, SERVICE);
        for action in ACTIONS {
            let how = (now, Some(&origin));
            match iam::query::role_may(&view, &session.role_arn, &session.name, action, &[task_arn], how) {
                Ok(()) => {}
                // A role without a word about Session Manager is let pass, so that a task that was written without a
                // thought of ECS Exec can be looked into here; one that has a word must have all that it takes.
                Err(denied) if denied.is_silence() && !named() => {}
                Err(denied) => return Err(denied.to_string()),
            }
        }
        Ok(())
    }
}
