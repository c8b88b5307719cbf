//! The connection to the proxy, kept as long as there is something to serve.

use super::meter::Totals;
use super::{Channel, Connector, Control, mesh};
use crate::query;
use crate::rows::{LoadBalancer, LoadBalancerState, Target, TargetState};
use routing::{ProxyConfig, Status};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use store::Tx;
use tokio::sync::watch;
use types::Scope;
use types::arn::Arn;

/// The pause before another attempt at connecting.
const PAUSE: Duration = Duration::from_millis(250);
/// How many reports go into one transaction at most.
const BATCH: usize = 256;

/// Sends configurations to the proxy, and writes what it reports into the rows.
pub struct Link {
    control: Control,
    newest: watch::Receiver<Arc<ProxyConfig>>,
    counted: watch::Sender<Option<Arc<Totals>>>,
}

impl Link {
    pub(super) fn new(
        control: Control,
        newest: watch::Receiver<Arc<ProxyConfig>>,
        counted: watch::Sender<Option<Arc<Totals>>>,
    ) -> Self {
        Self { control, newest, counted }
    }

    /// Keeps the connection until the controller is dropped. A proxy that is lost is started again.
    ///
    /// A proxy that was there before is taken over at once; one is started when the first load balancer needs it.
    pub async fn run(mut self, connector: impl Connector) {
        let mut start = false;
        loop {
            match connector.connect(start).await {
                Ok(channel) => {
                    if !self.serve(channel).await {
                        return;
                    }
                    tracing::warn!("the load balancers' proxy was lost");
                }
                Err(error) if start => tracing::warn!(%error, "cannot start the load balancers' proxy"),
                Err(_) => {}
            }
            // Nothing to serve needs no proxy.
            if self.newest.wait_for(|config| !config.is_empty()).await.is_err() {
                return;
            }
            if start {
                self.control.clock.sleep(PAUSE).await;
            }
            start = true;
        }
    }

    /// Serves one connection; `false` when the controller is gone.
    async fn serve(&mut self, mut channel: Channel) -> bool {
        // The first configuration of a life is the controller's first: an empty one before it would close everything.
        let mut pending = self.newest.borrow_and_update().generation > 0;
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            if pending {
                let config = self.newest.borrow_and_update().clone();
                if channel.configs.send(config).await.is_err() {
                    return true;
                }
            }
            tokio::select! {
                changed = self.newest.changed() => {
                    if changed.is_err() {
                        return false;
                    }
                    pending = true;
                }
                count = channel.statuses.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        return true;
                    }
                    pending = false;
                    self.write(batch.drain(..)).await;
                }
            }
        }
    }

    async fn write(&self, statuses: impl Iterator<Item = Status>) {
        let newest = self.newest.borrow().clone();
        let ticket = {
            let mut tx = self.control.store.begin();
            for status in statuses {
                self.hand_over(&status);
                self.tell_served(&newest, &status);
                note(&mut tx, &newest, status);
            }
            tx.commit()
        };
        if let Err(error) = ticket.await {
            tracing::error!(%error, "cannot keep what the load balancers' proxy reports");
        }
    }

    /// Tells which tasks the proxy serves, once it has the newest configuration.
    fn tell_served(&self, newest: &ProxyConfig, status: &Status) {
        let served = match status {
            // A proxy that was started anew serves nobody yet.
            Status::Hello { generation: 0, .. } => BTreeSet::new(),
            Status::Applied { generation, failures } if *generation == newest.generation => {
                mesh::served(&newest.mesh, failures)
            }
            _ => return,
        };
        self.control.serving.send_if_modified(|before| {
            let changed = **before != served;
            *before = Arc::new(served);
            changed
        });
    }

    /// Hands what the proxy has counted to the meter.
    fn hand_over(&self, status: &Status) {
        match status {
            // One that serves nothing yet has counted nothing.
            Status::Hello { generation: 0, .. } => {
                self.counted.send_replace(Some(Arc::new(Totals { fresh: true, ..Totals::default() })));
            }
            Status::Counters { load_balancers, target_groups } => self.counted.send_modify(|counted| {
                let fresh = counted.as_ref().is_some_and(|before| before.fresh);
                let load_balancers = load_balancers.iter().map(|row| (row.arn.clone(), row.clone())).collect();
                let target_groups = target_groups.iter().map(|row| (row.arn.clone(), row.clone())).collect();
                *counted = Some(Arc::new(Totals { fresh, load_balancers, target_groups }));
            }),
            _ => {}
        }
    }
}

/// Writes one report into the rows.
fn note(tx: &mut Tx, newest: &ProxyConfig, status: Status) {
    match status {
        Status::Hello { pid, generation } => tracing::debug!(pid, generation, "connected to the load balancers' proxy"),
        Status::Applied { generation, failures } => {
            let (early, failures): (Vec<_>, Vec<_>) = failures.into_iter().partition(|failure| failure.early);
            if !early.is_empty() {
                // A node's interface is attached a moment after its row is there.
                tracing::debug!(count = early.len(), "listeners wait for their addresses");
            }
            for failure in failures {
                tracing::warn!(
                    listener = failure.listener,
                    address = %failure.address,
                    error = failure.error,
                    "a listener does not listen yet"
                );
            }
            if generation == newest.generation {
                activate(tx, newest);
            }
        }
        Status::Health { target_group, target, health } => {
            let Some(scope) = scope_of(&target_group) else { return };
            let id = query::target_at(tx, &scope, &target_group, target);
            tx.update::<Target>(&scope, &id, |row| {
                if row.state == TargetState::Registered {
                    row.health = health;
                }
            });
        }
        Status::Draining { target_group, target, in_flight } => {
            let Some(scope) = scope_of(&target_group) else { return };
            let id = query::target_at(tx, &scope, &target_group, target);
            let since = tx.get::<Target>(&scope, &id).and_then(|row| match row.state {
                TargetState::Draining { since } => Some(since),
                TargetState::Registered | TargetState::Drained { .. } => None,
            });
            // AWS: draining ends early where nothing is in flight.
            if let Some(since) = since.filter(|_| in_flight == 0) {
                tx.update::<Target>(&scope, &id, |row| row.state = TargetState::Drained { since });
            }
        }
        Status::Counters { .. } => {}
    }
}

/// Load balancers all of whose nodes are in force are active.
fn activate(tx: &mut Tx, config: &ProxyConfig) {
    for balancer in &config.load_balancers {
        let Some(scope) = scope_of(&balancer.arn) else { continue };
        tx.update::<LoadBalancer>(&scope, &balancer.arn, |row| {
            if row.nodes.len() == balancer.nodes.len() {
                row.state = LoadBalancerState::Active;
            }
        });
    }
}

/// The scope that an ARN tells.
fn scope_of(arn: &str) -> Option<Scope> {
    let arn: Arn = arn.parse().ok()?;
    Some(Scope::new(arn.account.parse().ok()?, arn.region.parse().ok()?))
}
