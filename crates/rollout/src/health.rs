//! When a task counts as healthy: the four cases of load balancer × container health check.
//! Source: API reference, `DeploymentConfiguration.minimumHealthyPercent`.
//!
//! | load balancer | container health check | healthy |
//! |---|---|---|
//! | no | no | 40 s after it reached RUNNING |
//! | no | yes | every essential container with a check is HEALTHY |
//! | yes | no | every target group reports `healthy` |
//! | yes | yes | both |

use crate::lifecycle::TaskStatus;
use crate::state::{ServiceState, Task};
use serde::{Deserialize, Serialize};
use types::Timestamp;

/// What the health checks of a task's essential containers say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContainerHealth {
    /// No answer yet.
    Unknown,
    /// All are fine.
    Healthy,
    /// One is not.
    Unhealthy,
}

/// What a target group says of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TargetHealth {
    /// Not registered, or no verdict yet (`initial`), or the group is unused by any listener (`unused`).
    Initial,
    /// `healthy`.
    Healthy,
    /// `unhealthy`, with the balancer's description.
    Unhealthy(String),
}

/// Whether a task counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Counts as healthy.
    Healthy,
    /// Not yet; if time alone will make it healthy, at this instant.
    Starting(Option<Timestamp>),
    /// Failed a health check and the grace period is over.
    Unhealthy(Cause),
    /// Failed a health check within the grace period, which ends then.
    Excused(Timestamp),
    /// Stopping or stopped.
    Gone,
}

/// Which check failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// The container health check.
    Container,
    /// The target group with this index among the service's.
    Target(usize),
}

/// Judges one task.
pub fn verdict(service: &ServiceState, task: &Task, now: Timestamp) -> Verdict {
    if !task.is_live() {
        return Verdict::Gone;
    }
    let Some(running_since) = task.running_since.filter(|_| task.last == TaskStatus::Running) else {
        return Verdict::Starting(None);
    };
    let failed_target = task.targets.iter().position(|health| matches!(health, TargetHealth::Unhealthy(_)));
    let failed = match (task.containers, failed_target) {
        (Some(ContainerHealth::Unhealthy), _) => Some(Cause::Container),
        (_, Some(index)) => Some(Cause::Target(index)),
        _ => None,
    };
    if let Some(cause) = failed {
        let grace_ends = running_since.plus(service.grace_period);
        return if now < grace_ends { Verdict::Excused(grace_ends) } else { Verdict::Unhealthy(cause) };
    }
    if task.targets.is_empty() && task.containers.is_none() {
        let ripe = running_since.plus(service.timing.healthy_after);
        return if now >= ripe { Verdict::Healthy } else { Verdict::Starting(Some(ripe)) };
    }
    let containers_fine = task.containers.is_none_or(|health| health == ContainerHealth::Healthy);
    let targets_fine = task.targets.iter().all(|health| *health == TargetHealth::Healthy);
    if containers_fine && targets_fine { Verdict::Healthy } else { Verdict::Starting(None) }
}
