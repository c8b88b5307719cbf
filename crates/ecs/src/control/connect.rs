//! Service Connect at work: what the proxy is to serve, tasks that wait for it, and endpoints that nobody needs any more.

use super::Control;
use super::task::TaskController;
use crate::connect;
use crate::ports::Ports;
use crate::rows::{ServiceRow, ServiceStatus, TaskRow};
use async_trait::async_trait;
use controller::{Controller, Failure, Key, Next};
use routing::connect::{Endpoint, Mesh};
use std::collections::BTreeSet;
use store::{Change, Row, Tx, View};
use types::Scope;

/// What the proxy is to do in tasks' networks.
pub struct Sidecars {
    ports: Ports,
    tables: &'static [&'static str],
}

impl Sidecars {
    /// Made once for each process: its list of tables lives as long as that.
    pub fn new(ports: Ports) -> Self {
        let tables = std::iter::once(TaskRow::TABLE).chain(ports.namespaces.tables().iter().copied());
        let tables = Box::leak(tables.collect::<Vec<_>>().into_boxed_slice());
        Self { ports, tables }
    }
}

impl elb::MeshSource for Sidecars {
    fn tables(&self) -> &'static [&'static str] {
        self.tables
    }

    fn mesh(&self, view: &View) -> Mesh {
        let (mut sidecars, mut called) = (Vec::new(), BTreeSet::new());
        for (scope, row) in view.scan_all::<TaskRow>().filter(|(_, row)| row.connect.is_some()) {
            let Some(sidecar) = connect::sidecar(row, self.ports.network.netns_path(&row.netns())) else { continue };
            sidecars.push(sidecar);
            called
                .extend(row.connect.iter().flat_map(|it| &it.aliases).map(|alias| (scope.clone(), alias.arn.clone())));
        }
        let endpoint = |(scope, arn): (Scope, String)| {
            let targets = self.ports.namespaces.addresses(view, &scope, &arn);
            Endpoint { arn, targets }
        };
        Mesh { sidecars, endpoints: called.into_iter().map(endpoint).collect() }
    }
}

impl TaskController {
    /// Waits until the proxy serves a task that needs it: its containers may call somebody with their first breath.
    pub(super) async fn await_proxy(&self, scope: &Scope, row: &TaskRow) -> Result<(), Failure> {
        if row.connect.as_ref().is_none_or(|connect| connect.serving_since.is_some()) {
            return Ok(());
        }
        if !self.control.ports.proxy.await_serving(&row.id).await {
            return Err(Failure::new("the proxy of Service Connect does not serve the task yet"));
        }
        self.change(scope, row, |fresh, now| {
            if let Some(connect) = &mut fresh.connect {
                connect.serving_since = Some(now);
                fresh.version += 1;
            }
        })
        .await
    }
}

/// Takes endpoints away that no deployment of their service has any more. Its key is `cluster/service`.
pub struct ConnectKeeper {
    control: Control,
}

impl ConnectKeeper {
    /// The controller.
    pub fn new(control: Control) -> Self {
        Self { control }
    }
}

/// Endpoints that were made for the service and are not wanted.
fn stale(row: &ServiceRow) -> Vec<String> {
    let deployed = row.deployments.iter().map(|deployment| &deployment.connect).chain([&row.connect]);
    let services = deployed.filter_map(Option::as_ref).flat_map(|connect| &connect.services);
    let is_over = row.status == ServiceStatus::Inactive;
    let wanted: BTreeSet<&String> = services.filter(|_| !is_over).map(|service| &service.arn).collect();
    row.made_endpoints.iter().map(|made| &made.arn).filter(|arn| !wanted.contains(arn)).cloned().collect()
}

#[async_trait]
impl Controller for ConnectKeeper {
    fn name(&self) -> &'static str {
        "ecs-service-connect"
    }

    fn tables(&self) -> &'static [&'static str] {
        &[ServiceRow::TABLE, TaskRow::TABLE]
    }

    fn keys(&self, view: &View, change: &Change) -> Vec<Key> {
        let of = |row: &ServiceRow| !row.made_endpoints.is_empty();
        let id = if change.table == ServiceRow::TABLE {
            Some(change.id.to_string())
        } else {
            // A task that is told of no more may have been the last one.
            let row = view.get::<TaskRow>(&change.scope, &change.id).or_else(|| change.before::<TaskRow>());
            row.filter(|row| row.connect.is_some() && !row.registered).and_then(|row| row.service_key())
        };
        let found = id.filter(|id| view.get::<ServiceRow>(&change.scope, id).is_some_and(|row| of(&row)));
        found.map(|id| Key::new(&change.scope, id)).into_iter().collect()
    }

    fn all_keys(&self, view: &View) -> Vec<Key> {
        let made = view.scan_all::<ServiceRow>().filter(|(_, row)| !row.made_endpoints.is_empty());
        made.map(|(scope, row)| Key::new(scope, row.id().into_owned())).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Failure> {
        let row = self.control.store.view().get::<ServiceRow>(&key.scope, &key.id);
        if row.is_none_or(|row| stale(&row).is_empty()) {
            return Ok(Next::Done);
        }
        let namespaces = &self.control.ports.namespaces;
        let ((), ticket) = self.control.write(|tx: &mut Tx| {
            let Some(row) = tx.get::<ServiceRow>(&key.scope, &key.id) else { return };
            let mut gone = stale(&row);
            gone.retain(|arn| namespaces.delete_endpoint(tx, &key.scope, arn));
            if !gone.is_empty() {
                tx.update::<ServiceRow>(&key.scope, &key.id, |row| {
                    row.made_endpoints.retain(|made| !gone.contains(&made.arn));
                });
            }
        });
        ticket.await?;
        Ok(Next::Done)
    }
}
