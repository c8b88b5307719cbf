//! The record of a service deployment: begun when something is deployed, kept while it is under way, closed when it is over.

use crate::rows::{
    DeploymentRow, MonitorStatus, RollbackRow, ServiceDeploymentRow, ServiceDeploymentStatus as Status,
    ServiceRevisionRow, ServiceRow,
};
use crate::texts;
use model::Stored;
use model::ecs::LoadBalancer;
use rollout::{FailCause, Pause, RolloutState, StopRequest};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use store::{Row, Tx, View};
use types::{Scope, Timestamp};

/// How long a service deployment that is over is kept. Source: developer guide, "View service history using Amazon ECS
/// service deployments".
const KEPT_FOR: Duration = Duration::from_hours(90 * 24);
/// And how many of a service.
const MOST: usize = 500;

/// The letters of AWS's ids.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// So many random letters.
fn letters(count: usize) -> String {
    let hex = types::id::random_hex(count * 2);
    let pair = |at: usize| u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).unwrap_or_default();
    (0..count).map(|at| char::from(LETTERS[usize::from(pair(at)) % LETTERS.len()])).collect()
}

/// The id of a pause.
pub(super) fn pause_id() -> String {
    format!("ecs-pause-{}", letters(43))
}

fn newest(view: &View, scope: &Scope, row: &ServiceRow) -> Option<Arc<ServiceDeploymentRow>> {
    let id = row.service_deployment.as_ref()?;
    view.get::<ServiceDeploymentRow>(scope, &ServiceDeploymentRow::key(&row.cluster, &row.name, id))
}

/// The record of the service's newest deployment, if it is not over.
pub(super) fn open(view: &View, scope: &Scope, row: &ServiceRow) -> Option<ServiceDeploymentRow> {
    newest(view, scope, row)
        .filter(|record| !record.status.is_over())
        .map(|record| ServiceDeploymentRow::clone(&record))
}

/// Begins a service deployment of the service's primary deployment, and gives up the one before. `load_balancers` are as
/// the service shows them; `images` are the containers' names and images.
pub(crate) fn begin(
    tx: &mut Tx,
    scope: &Scope,
    row: &mut ServiceRow,
    load_balancers: Vec<LoadBalancer>,
    images: Vec<(String, String)>,
    now: Timestamp,
) {
    let number = newest(tx, scope, row).map_or(0, |newest| newest.number) + 1;
    if let Some(mut before) = open(tx, scope, row) {
        before.status = Status::Stopped;
        before.reason = Some(texts::SUPERSEDED.to_owned());
        (before.stopped_at, before.finished_at) = (Some(now), Some(now));
        close(&mut before, now);
        tx.put(scope, before);
    }
    let Some(primary) = row.primary() else { return };
    let resolved = primary
        .targets
        .iter()
        .enumerate()
        .map(|(index, target)| (target.group.clone(), row.shifts.get(index).map(|shift| shift.production.clone())));
    tx.put(
        scope,
        ServiceRevisionRow {
            cluster: row.cluster.clone(),
            service: row.name.clone(),
            id: primary.digits().to_owned(),
            definition_arn: primary.definition_arn.clone(),
            launch_type: row.launch_type.clone(),
            strategy: row.strategy.clone(),
            network: primary.network.clone(),
            load_balancers: load_balancers.into_iter().map(Stored).collect(),
            resolved: resolved.collect(),
            connect: primary.connect.as_ref().map(|connect| connect.configuration.clone()),
            images,
            digests: BTreeMap::new(),
            created_at: now,
        },
    );
    let configuration = primary.configuration.clone().unwrap_or_else(|| row.deployment_configuration.clone());
    let on = |is: bool| if is { MonitorStatus::Monitoring } else { MonitorStatus::Disabled };
    let alarms = row.deployment_configuration.alarms.as_ref().is_some_and(|alarms| alarms.enable);
    let record = ServiceDeploymentRow {
        cluster: row.cluster.clone(),
        service: row.name.clone(),
        id: letters(21),
        number,
        target: primary.digits().to_owned(),
        sources: row.deployments.iter().skip(1).map(|old| old.digits().to_owned()).collect(),
        status: Status::Pending,
        reason: None,
        stage: None,
        pauses: vec![],
        configuration,
        rollback: None,
        breaker: on(row.circuit_breaker.is_some()),
        failures: 0,
        threshold: 0,
        alarms: on(alarms),
        triggered: vec![],
        created_at: now,
        started_at: None,
        finished_at: None,
        stopped_at: None,
        updated_at: now,
    };
    row.service_deployment = Some(record.id.clone());
    tx.put(scope, record);
    prune(tx, scope, row, now);
}

/// Forgets what is too old, and revisions that nobody names any more.
fn prune(tx: &mut Tx, scope: &Scope, row: &ServiceRow, now: Timestamp) {
    let first = format!("{}/", ServiceRow::key(&row.cluster, &row.name));
    let all = tx.scan_from::<ServiceDeploymentRow>(scope, &first);
    let mut all: Vec<_> = all.take_while(|record| record.id().starts_with(&first)).cloned().collect();
    all.sort_by_key(|record| std::cmp::Reverse(record.number));
    let (mut named, mut gone) = (BTreeSet::new(), vec![]);
    for (index, record) in all.iter().enumerate() {
        if record.status.is_over() && (index >= MOST || now.since(record.created_at) >= KEPT_FOR) {
            gone.push(record.id().into_owned());
        } else {
            named.insert(record.target.clone());
            named.extend(record.sources.iter().cloned());
        }
    }
    if gone.is_empty() {
        return;
    }
    named.extend(row.deployments.iter().map(|deployment| deployment.digits().to_owned()));
    let revisions = tx.scan_from::<ServiceRevisionRow>(scope, &first).take_while(|it| it.id().starts_with(&first));
    gone.extend(revisions.filter(|it| !named.contains(&it.id)).map(|it| it.id().into_owned()));
    for id in gone {
        tx.delete::<ServiceDeploymentRow>(scope, &id);
        tx.delete::<ServiceRevisionRow>(scope, &id);
    }
}

/// It reached its goal, or the way back has.
pub(super) fn complete(record: &mut ServiceDeploymentRow, now: Timestamp) {
    let back = record.rollback.is_some();
    record.status = if back { Status::RollbackSuccessful } else { Status::Successful };
    record.finished_at = Some(now);
    close(record, now);
}

/// It failed. If it is to go back and can, [`roll_back`] comes next.
pub(super) fn fail(
    record: &mut ServiceDeploymentRow,
    cause: &FailCause,
    reason: String,
    rollback: bool,
    now: Timestamp,
) {
    match cause {
        FailCause::CircuitBreaker => record.breaker = MonitorStatus::Triggered,
        FailCause::Alarms(names) => {
            record.alarms = MonitorStatus::Triggered;
            record.triggered.clone_from(names);
        }
        _ => {}
    }
    if record.rollback.is_some() {
        record.status = Status::RollbackFailed;
        record.reason = Some(reason);
    } else if rollback {
        // Until somewhere to go is found.
        record.status = Status::RollbackFailed;
        record.reason = Some(texts::NO_ROLLBACK_CANDIDATE.to_owned());
        record.rollback = Some(RollbackRow { reason, started_at: now, revision: String::new() });
    } else {
        record.status = Status::Stopped;
        record.reason = Some(reason);
        record.stopped_at = Some(now);
    }
    record.finished_at = Some(now);
    close(record, now);
}

/// There is somewhere to go back to.
pub(super) fn roll_back(record: &mut ServiceDeploymentRow, to: &str, now: Timestamp) {
    record.status = Status::RollbackInProgress;
    record.finished_at = None;
    if let Some(rollback) = &mut record.rollback {
        to.clone_into(&mut rollback.revision);
        record.reason = Some(rollback.reason.clone());
    }
    record.updated_at = now;
}

/// Its service is gone, and so is what it was on its way to.
pub(super) fn abandon(tx: &mut Tx, scope: &Scope, row: &ServiceRow, now: Timestamp) {
    if let Some(mut record) = open(tx, scope, row) {
        (record.status, record.reason) = (Status::Stopped, Some(texts::SERVICE_GONE.to_owned()));
        (record.stopped_at, record.finished_at) = (Some(now), Some(now));
        close(&mut record, now);
        tx.put(scope, record);
    }
}

fn close(record: &mut ServiceDeploymentRow, now: Timestamp) {
    record.breaker.end();
    record.alarms.end();
    record.pauses.iter_mut().for_each(Pause::give_up);
    record.updated_at = now;
}

/// Writes the record, brought up to date with the service, if anything of it changed.
pub(super) fn keep(tx: &mut Tx, scope: &Scope, mut record: ServiceDeploymentRow, row: &ServiceRow, now: Timestamp) {
    if record.status == Status::Pending {
        record.status = Status::InProgress;
        record.started_at = Some(now);
    }
    if let Some(breaker) = row.circuit_breaker {
        record.threshold = breaker.trips_at(row.desired);
    }
    note_pauses(&mut record, row);
    if let Some(target) = target(&record, row) {
        record.failures = target.state.failed_tasks;
    }
    if let Some(stage) = row.primary().filter(|primary| is_under_way(primary)).and_then(|it| it.state.stage) {
        record.stage = Some(stage);
    }
    let before = tx.get::<ServiceDeploymentRow>(scope, &record.id());
    if before.is_none_or(|before| *before != record) {
        record.updated_at = now;
        tx.put(scope, record);
    }
}

fn target<'r>(record: &ServiceDeploymentRow, row: &'r ServiceRow) -> Option<&'r DeploymentRow> {
    row.deployments.iter().find(|deployment| deployment.digits() == record.target)
}

/// Takes over how the pauses stand that the service's row knows.
pub(super) fn note_pauses(record: &mut ServiceDeploymentRow, row: &ServiceRow) {
    for pause in target(record, row).iter().flat_map(|target| &target.state.pauses) {
        match record.pauses.iter_mut().find(|known| known.id == pause.id) {
            Some(known) => known.clone_from(pause),
            None => record.pauses.push(pause.clone()),
        }
    }
}

fn is_under_way(deployment: &DeploymentRow) -> bool {
    deployment.state.rollout != RolloutState::Completed
}

/// Asks for the end of the deployment that is under way, on behalf of the user.
pub(crate) fn request_stop(record: &mut ServiceDeploymentRow, request: StopRequest, now: Timestamp) {
    record.status = match request {
        StopRequest::Abort => Status::StopRequested,
        StopRequest::RollBack => Status::RollbackRequested,
    };
    record.updated_at = now;
}
