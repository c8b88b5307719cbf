//! A new deployment of a service: in front of the others, in the target groups that are free, with its record.

use super::deployment_configuration::shifts;
use super::{connect, shapes};
use crate::Ecs;
use crate::control::record;
use crate::rows::{DefinitionRow, DeploymentRow, NetworkRow, ServiceRow, TargetRow};
use crate::texts;
use rollout::{ALL_TRAFFIC, DeploymentStatus};
use store::{Tx, View};
use types::{Scope, Timestamp};

/// What is deployed.
pub(super) struct Wanted {
    pub(super) platform_version: String,
    pub(super) network: NetworkRow,
    /// The load balancers as the service names them.
    pub(super) targets: Vec<TargetRow>,
}

/// Puts a new primary deployment in front.
pub(super) fn deploy(
    ecs: &Ecs,
    tx: &mut Tx,
    scope: &Scope,
    row: &mut ServiceRow,
    definition: &DefinitionRow,
    wanted: Wanted,
    now: Timestamp,
) {
    let alternate = takes_alternate(ecs, tx, scope, row);
    let mut targets = wanted.targets;
    for (target, shift) in targets.iter_mut().zip(&row.shifts) {
        shift.group_of(alternate).clone_into(&mut target.group);
    }
    mark_serving(row);
    for old in &mut row.deployments {
        old.state.status = DeploymentStatus::Active;
        old.updated_at = now;
    }
    connect::begin(ecs, tx, scope, row, now);
    let id = format!("ecs-svc/{}", types::id::random_digits(19));
    let deployment = DeploymentRow {
        reason: texts::rollout_in_progress(&id),
        state: rollout::Deployment { alternate, ..rollout::Deployment::new(id) },
        family: definition.family.clone(),
        revision: definition.revision,
        definition_arn: definition.arn().to_owned(),
        platform_version: wanted.platform_version,
        network: wanted.network,
        targets,
        registries: row.registries.clone(),
        connect: row.connect.clone(),
        configuration: Some(row.deployment_configuration.clone()),
        task_set: None,
        created_at: now,
        updated_at: now,
    };
    row.deployments.insert(0, deployment);
    row.impaired = false;
    let images = definition.containers().iter();
    let images = images.map(|it| (it.name.clone().unwrap_or_default(), it.image.clone().unwrap_or_default()));
    record::begin(tx, scope, row, shapes::load_balancers(row), images.collect(), now);
}

/// Whether a new deployment's tasks go into the alternate target groups: beside what serves, where traffic is shifted,
/// and with it, where tasks are replaced. Before anything is deployed the production rule says where the traffic is.
fn takes_alternate(ecs: &Ecs, view: &View, scope: &Scope, row: &ServiceRow) -> bool {
    let Some(shift) = row.shifts.first() else { return false };
    let states: Vec<_> = row.deployments.iter().map(|deployment| deployment.state.clone()).collect();
    let serving = match rollout::serving(&states, row.last_completed.as_deref(), "") {
        Some(serving) => serving.alternate,
        None => ecs.ports.targets.forwards(view, scope, &shift.production).is_some_and(|forwards| {
            let weight =
                |group: &str| forwards.iter().find(|(other, _)| other == group).map_or(0, |(_, weight)| *weight);
            weight(&shift.alternate) > weight(&shift.group)
        }),
    };
    serving != shifts(&row.deployment_configuration)
}

/// What serves has all traffic when the first is shifted.
fn mark_serving(row: &mut ServiceRow) {
    if !shifts(&row.deployment_configuration) || row.deployments.iter().any(|deployment| deployment.state.weight > 0) {
        return;
    }
    let last = row.last_completed.clone();
    if let Some(serving) = row.deployments.iter_mut().find(|row| Some(&row.state.id) == last.as_ref()) {
        serving.state.weight = ALL_TRAFFIC;
    }
}
