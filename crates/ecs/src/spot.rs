//! Fargate Spot takes its capacity back. Here is no spot market, so somebody says when.
//!
//! As on AWS the containers get SIGTERM at once, and SIGKILL after their `stopTimeout`, which is two minutes at most; the
//! task leaves its target groups meanwhile. Source: ECS developer guide, "Fargate Spot termination notices".

use crate::control::Control;
use crate::rows::TaskRow;
use crate::{names, texts};
use rollout::{DesiredStatus, StopCode};
use store::View;
use types::Scope;
use types::arn::Arn;

/// The capacity provider whose tasks can be interrupted.
const PROVIDER: &str = "FARGATE_SPOT";

/// Why nothing was interrupted. `Display` is for whoever asked.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No task of that id, or several.
    NotFound(String),
    /// It runs elsewhere.
    NotSpot(String),
    /// It is on its way out already.
    Stopping(String),
    /// The store failed.
    Store,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotFound(task) => write!(f, "there is no task {task}"),
            Self::NotSpot(task) => write!(f, "the task {task} does not run on {PROVIDER}"),
            Self::Stopping(task) => write!(f, "the task {task} is stopping already"),
            Self::Store => f.write_str("it could not be written down"),
        }
    }
}

impl std::error::Error for Refusal {}

/// Interrupts the task of this id or ARN; answers its ARN.
pub async fn interrupt(control: &Control, reference: &str) -> Result<String, Refusal> {
    let now = control.now();
    let (outcome, ticket) = control.write(|tx| {
        let (scope, row) = find(tx, reference).ok_or_else(|| Refusal::NotFound(reference.to_owned()))?;
        if row.capacity_provider.as_deref() != Some(PROVIDER) {
            return Err(Refusal::NotSpot(row.id));
        }
        if row.desired == DesiredStatus::Stopped {
            return Err(Refusal::Stopping(row.id));
        }
        tx.update::<TaskRow>(&scope, &row.id, |row| {
            row.stop(StopCode::SpotInterruption, texts::SPOT_INTERRUPTED, now);
        });
        Ok(names::task_arn(&scope, &row.cluster, &row.id))
    });
    let arn = outcome?;
    ticket.await.map_err(|_| Refusal::Store)?;
    Ok(arn)
}

/// The task and whose it is. An id alone is unique, as good as.
fn find(view: &View, reference: &str) -> Option<(Scope, TaskRow)> {
    let arn: Option<Arn> = reference.parse().ok();
    let id = match &arn {
        Some(arn) => arn.resource.rsplit('/').next().unwrap_or_default(),
        None => reference,
    };
    let mut tasks = view.scan_all::<TaskRow>();
    let (scope, row) = tasks.find(|(scope, row)| {
        row.id == id
            && arn
                .as_ref()
                .is_none_or(|arn| arn.region == scope.region.as_str() && arn.account == scope.account.as_str())
    })?;
    Some((scope.clone(), TaskRow::clone(row)))
}
