//! Protection of tasks from scaling in and from being replaced: UpdateTaskProtection, GetTaskProtection.
//! Source: developer guide, "Protect your Amazon ECS tasks from being terminated by scale-in events".

use super::cluster;
use super::clusters::missing;
use crate::rows::{ClusterRow, TASKS_BY_CLUSTER, TaskRow};
use crate::{Ecs, names, texts};
use gateway::Context;
use model::ecs::{
    Failure, GetTaskProtectionRequest, GetTaskProtectionResponse, ProtectedTask, UpdateTaskProtectionRequest,
    UpdateTaskProtectionResponse,
};
use rollout::DesiredStatus;
use std::time::Duration;
use store::{Tx, View};
use types::{ApiError, Scope, Timestamp};

/// How long a task is protected where nothing is said.
const DEFAULT_MINUTES: i32 = 120;
/// How long it can be.
const MOST_MINUTES: i32 = 2880;

/// What somebody wants of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Protection {
    pub(crate) enabled: bool,
    pub(crate) minutes: Option<i32>,
}

impl Protection {
    /// Until when. The time is the user's own, and passes as it is whatever the pace.
    fn until(self, now: Timestamp) -> Result<Option<Timestamp>, ApiError> {
        let minutes = self.minutes.unwrap_or(DEFAULT_MINUTES);
        if !(1..=MOST_MINUTES).contains(&minutes) {
            return Err(texts::invalid("expiresInMinutes should be between 1 and 2880."));
        }
        let minutes = u64::try_from(minutes).unwrap_or_default();
        Ok(self.enabled.then(|| now.plus(Duration::from_mins(minutes))))
    }
}

/// Protects the task, or ends its protection; what stands then.
pub(crate) fn protect(
    tx: &mut Tx,
    scope: &Scope,
    task: &TaskRow,
    wanted: Protection,
    now: Timestamp,
) -> Result<Result<ProtectedTask, Failure>, ApiError> {
    let until = wanted.until(now)?;
    let invalid = |detail: &str| Failure {
        arn: Some(names::task_arn(scope, &task.cluster, &task.id)),
        reason: Some("TASK_NOT_VALID".to_owned()),
        detail: Some(detail.to_owned()),
    };
    if task.service.is_none() {
        return Ok(Err(invalid("The task is not part of a service.")));
    }
    if task.desired == DesiredStatus::Stopped {
        return Ok(Err(invalid("The task is stopping or has stopped.")));
    }
    tx.update::<TaskRow>(scope, &task.id, |row| row.protected_until = until);
    Ok(Ok(shape(scope, &TaskRow { protected_until: until, ..task.clone() }, now)))
}

/// The task's protection as it stands.
pub(crate) fn shape(scope: &Scope, task: &TaskRow, now: Timestamp) -> ProtectedTask {
    let until = task.protected_until.filter(|until| now < *until);
    ProtectedTask {
        task_arn: Some(names::task_arn(scope, &task.cluster, &task.id)),
        protection_enabled: Some(until.is_some()),
        expiration_date: until,
    }
}

/// The task that a reference means, or the failure that is told of it.
fn find(
    view: &View,
    scope: &Scope,
    cluster: &ClusterRow,
    reference: &str,
) -> Result<Result<TaskRow, Failure>, ApiError> {
    let id = names::in_cluster(scope, reference, "task", &cluster.name)?;
    let row = view.get::<TaskRow>(scope, &id).filter(|row| row.cluster == cluster.name);
    Ok(row.map(|row| TaskRow::clone(&row)).ok_or_else(|| missing(names::task_arn(scope, &cluster.name, &id))))
}

pub(super) fn update(
    _: &Ecs,
    cx: &mut Context,
    input: UpdateTaskProtectionRequest,
) -> Result<UpdateTaskProtectionResponse, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let cluster = cluster(tx, &scope, Some(&input.cluster))?;
    if input.tasks.is_empty() {
        return Err(texts::invalid(texts::TASKS_EMPTY));
    }
    if input.tasks.len() > 10 {
        return Err(texts::invalid("Tasks cannot have more than 10 elements"));
    }
    let wanted = Protection { enabled: input.protection_enabled, minutes: input.expires_in_minutes };
    let (mut protected, mut failures) = (vec![], vec![]);
    for reference in &input.tasks {
        let outcome = match find(tx, &scope, &cluster, reference)? {
            Ok(task) => protect(tx, &scope, &task, wanted, now)?,
            Err(failure) => Err(failure),
        };
        match outcome {
            Ok(task) => protected.push(task),
            Err(failure) => failures.push(failure),
        }
    }
    Ok(UpdateTaskProtectionResponse { protected_tasks: Some(protected), failures: Some(failures) })
}

pub(super) fn get(
    _: &Ecs,
    cx: &mut Context,
    input: GetTaskProtectionRequest,
) -> Result<GetTaskProtectionResponse, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let view = cx.view();
    let cluster = cluster(view, &scope, Some(&input.cluster))?;
    let given = input.tasks.unwrap_or_default();
    if given.len() > 100 {
        return Err(texts::invalid("Tasks cannot have more than 100 elements"));
    }
    let (mut protected, mut failures) = (vec![], vec![]);
    if given.is_empty() {
        let all = view.by_index(&TASKS_BY_CLUSTER, &scope, &cluster.name);
        let shown = all.filter(|task| task.service.is_some() && task.desired == DesiredStatus::Running);
        protected.extend(shown.map(|task| shape(&scope, task, now)));
    }
    for reference in &given {
        match find(view, &scope, &cluster, reference)? {
            Ok(task) => protected.push(shape(&scope, &task, now)),
            Err(failure) => failures.push(failure),
        }
    }
    Ok(GetTaskProtectionResponse { protected_tasks: Some(protected), failures: Some(failures) })
}
