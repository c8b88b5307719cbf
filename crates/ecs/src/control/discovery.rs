//! Service discovery: which task stands where is told when it comes up and taken back before it stops; a controller
//! tells of its containers' health in between.

use super::Control;
use crate::ports::{Instance, Registries};
use crate::rows::{ConnectServiceRow, Health, TaskRow};
use async_trait::async_trait;
use controller::{Controller, Failure, Key, Next};
use rollout::TaskStatus;
use std::collections::BTreeMap;
use store::{Change, Row, Tx, View};
use types::{Scope, Timestamp};

/// What is told of a task. Source: ECS developer guide, "Service discovery".
fn attributes(scope: &Scope, row: &TaskRow, port: Option<u16>) -> BTreeMap<String, String> {
    let address = row.eni.as_ref().map(|eni| eni.ip.to_string());
    let told = [
        ("AVAILABILITY_ZONE", Some(row.placement.zone.clone())),
        ("AWS_INSTANCE_IPV4", address),
        ("AWS_INSTANCE_PORT", port.map(|port| port.to_string())),
        ("ECS_CLUSTER_NAME", Some(row.cluster.clone())),
        ("ECS_SERVICE_NAME", row.service.clone()),
        ("ECS_TASK_DEFINITION_FAMILY", Some(row.family.clone())),
        ("REGION", Some(scope.region.to_string())),
    ];
    told.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

/// What is told of a task that Service Connect leads to.
fn connect_attributes(row: &TaskRow, port: u16) -> BTreeMap<String, String> {
    let told = [
        ("AWS_INSTANCE_IPV4", row.eni.as_ref().map(|eni| eni.ip.to_string())),
        ("AWS_INSTANCE_PORT", Some(port.to_string())),
        ("AvailabilityZone", Some(row.placement.zone.clone())),
        ("DeploymentId", row.started_by.clone()),
    ];
    told.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

/// The endpoints of Service Connect that a task is at.
fn endpoints(row: &TaskRow) -> impl Iterator<Item = &ConnectServiceRow> {
    row.connect.iter().flat_map(|connect| &connect.services)
}

/// Service Connect leads to a task while it is well, and is told of no others.
fn tell_endpoint(
    registries: &dyn Registries,
    tx: &mut Tx,
    scope: &Scope,
    row: &TaskRow,
    endpoint: &ConnectServiceRow,
    now: Timestamp,
) {
    if is_healthy(row) {
        let attributes = connect_attributes(row, endpoint.told_port());
        registries.register(tx, scope, &endpoint.arn, Instance { task: &row.id, attributes, healthy: true }, now);
    } else {
        registries.deregister(tx, scope, &endpoint.arn, &row.id, now);
    }
}

/// Whether traffic may come: always where no essential container has a check of its own.
fn is_healthy(row: &TaskRow) -> bool {
    let checked = row.containers.iter().any(|container| container.checked && container.essential);
    !checked || crate::api::health(row) == Health::Healthy
}

/// Tells of a task that comes up.
pub(super) fn register(registries: &dyn Registries, tx: &mut Tx, scope: &Scope, row: &TaskRow, now: Timestamp) {
    for entry in &row.registries {
        let custom = registries.registry(tx, scope, &entry.arn).is_some_and(|registry| registry.custom_health);
        let healthy = is_healthy(row);
        let mut attributes = attributes(scope, row, entry.told_port());
        if custom {
            let health = if healthy { Health::Healthy } else { Health::Unhealthy };
            attributes.insert("AWS_INIT_HEALTH_STATUS".to_owned(), health.as_str().to_owned());
        }
        registries.register(tx, scope, &entry.arn, Instance { task: &row.id, attributes, healthy }, now);
    }
    for endpoint in endpoints(row) {
        tell_endpoint(registries, tx, scope, row, endpoint, now);
    }
}

/// Takes back what was told of a task.
pub(super) fn deregister(registries: &dyn Registries, tx: &mut Tx, scope: &Scope, row: &TaskRow, now: Timestamp) {
    for entry in &row.registries {
        registries.deregister(tx, scope, &entry.arn, &row.id, now);
    }
    for endpoint in endpoints(row) {
        registries.deregister(tx, scope, &endpoint.arn, &row.id, now);
    }
}

/// Tells of tasks' health while they run. Its key is the task's id.
pub struct DiscoveryHealth {
    control: Control,
}

impl DiscoveryHealth {
    /// The controller.
    pub fn new(control: Control) -> Self {
        Self { control }
    }
}

fn is_told_of(row: &TaskRow) -> bool {
    let told = !row.registries.is_empty() || endpoints(row).next().is_some();
    told && row.registered && row.last == TaskStatus::Running
}

#[async_trait]
impl Controller for DiscoveryHealth {
    fn name(&self) -> &'static str {
        "ecs-service-discovery"
    }

    fn tables(&self) -> &'static [&'static str] {
        &[TaskRow::TABLE]
    }

    fn keys(&self, view: &View, change: &Change) -> Vec<Key> {
        let row = view.get::<TaskRow>(&change.scope, &change.id).filter(|row| is_told_of(row));
        row.map(|row| Key::new(&change.scope, row.id.as_str())).into_iter().collect()
    }

    fn all_keys(&self, view: &View) -> Vec<Key> {
        let told = view.scan_all::<TaskRow>().filter(|(_, row)| is_told_of(row));
        told.map(|(scope, row)| Key::new(scope, row.id.as_str())).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Failure> {
        let registries = &*self.control.ports.registries;
        let view = self.control.store.view();
        let differs = |view: &View, row: &TaskRow, arn: &str| {
            registries.is_healthy(view, &key.scope, arn, &row.id).is_some_and(|told| told != is_healthy(row))
        };
        let Some(row) = view.get::<TaskRow>(&key.scope, &key.id).filter(|row| is_told_of(row)) else {
            return Ok(Next::Done);
        };
        let astray = |view: &View, row: &TaskRow, arn: &str| {
            registries.is_healthy(view, &key.scope, arn, &row.id).is_some() != is_healthy(row)
        };
        let (told, led) = (row.registries.iter(), &mut endpoints(&row));
        if !told.into_iter().any(|entry| differs(&view, &row, &entry.arn))
            && !led.any(|endpoint| astray(&view, &row, &endpoint.arn))
        {
            return Ok(Next::Done);
        }
        let ((), ticket) = self.control.write(|tx| {
            let Some(row) = tx.get::<TaskRow>(&key.scope, &key.id).filter(|row| is_told_of(row)) else { return };
            for entry in &row.registries {
                registries.set_health(tx, &key.scope, &entry.arn, &row.id, is_healthy(&row));
            }
            for endpoint in endpoints(&row) {
                if astray(tx, &row, &endpoint.arn) {
                    tell_endpoint(registries, tx, &key.scope, &row, endpoint, self.control.now());
                }
            }
        });
        ticket.await?;
        Ok(Next::Done)
    }
}
