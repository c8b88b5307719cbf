//! From rows to the proxy, and back.
//!
//! [`LoadBalancers`] compiles all rows into one `ProxyConfig` whenever something changes, and ends what has drained. [`Link`]
//! keeps a connection to the proxy process: it sends the newest configuration, also to a proxy that was started anew,
//! and writes what the proxy reports into the rows. Neither knows how the proxy is started or spoken to:
//! that is a [`Connector`]'s work, [`ProxyProcess`] being the real one. What the proxy
//! serves besides load balancers, a [`MeshSource`] says. [`Meter`] publishes what the proxy counts. [`LoopbackPorts`] gives each listener a port on the user's machine.

mod compile;
mod connect;
mod link;
mod loopback;
mod mesh;
mod meter;
#[cfg(test)]
mod tests;

pub use connect::{Channel, Connector, ProxyProcess, Start};
pub use link::Link;
pub use loopback::{Keeper, LoopbackPorts, Told};
pub use mesh::{MeshSource, Served, Serving, serving};
pub use meter::Meter;

use crate::query;
use crate::rows::{Listener, LoadBalancer, Rule, Target, TargetGroup, TargetState};
use acm::Acm;
use async_trait::async_trait;
use controller::{Controller, Failure, Key, Next};
use routing::{ProxyConfig, TargetHealth};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use store::{Change, Row, Store, View};
use tokio::sync::watch;
use types::{Clock, Pace, Scope, Timestamp};

/// What the controller stands on.
#[derive(Clone)]
pub struct Control {
    /// The store.
    pub store: Store,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// How much faster than AWS waiting times pass.
    pub pace: Pace,
    /// Opens certificates' private keys.
    pub acm: Acm,
    /// Where network namespaces are mounted: `<run>/netns`.
    pub namespaces: PathBuf,
    /// What else the proxy serves.
    pub mesh: Option<Arc<dyn MeshSource>>,
    /// Who hears which of it the proxy serves.
    pub serving: Serving,
}

/// The controller, the meter of what the proxy counts, and the link to the proxy, which somebody must [`Link::run`]. Made once for
/// each process: the controller's list of tables lives as long as that.
pub fn controller(control: Control) -> (Arc<LoadBalancers>, Arc<Meter>, Link) {
    let (newest, seen) = watch::channel(Arc::new(ProxyConfig::default()));
    let (counted, totals) = watch::channel(None);
    let meter = Meter::new(control.store.clone(), control.clock.clone(), control.pace, totals);
    let tables = TABLES.iter().copied().chain(control.mesh.iter().flat_map(|mesh| mesh.tables()).copied());
    let tables = Box::leak(tables.collect::<Vec<_>>().into_boxed_slice());
    let balancers = LoadBalancers { control: control.clone(), newest, tables };
    (Arc::new(balancers), Arc::new(meter), Link::new(control, seen, counted))
}

/// The controller of all load balancers of the instance. It has one key: there is one proxy, with one configuration.
pub struct LoadBalancers {
    control: Control,
    newest: watch::Sender<Arc<ProxyConfig>>,
    tables: &'static [&'static str],
}

/// The tables that load balancers are made of.
const TABLES: [&str; 8] = [
    LoadBalancer::TABLE,
    Listener::TABLE,
    Rule::TABLE,
    TargetGroup::TABLE,
    Target::TABLE,
    acm::rows::Certificate::TABLE,
    vpc::rows::NetworkInterface::TABLE,
    vpc::rows::Instance::TABLE,
];

/// How long a draining target has; in the proxy's and our own counting the same.
fn drain_delay(group: Option<&TargetGroup>, pace: Pace) -> Duration {
    let seconds = group
        .map_or(0, |group| crate::api::TARGET_GROUP.number(&group.attributes, "deregistration_delay.timeout_seconds"));
    pace.scale(Duration::from_secs(seconds))
}

/// A target as it was seen, and what is to be written about it.
type Repairs = Vec<(Scope, Arc<Target>, Repair)>;

/// What is to be written about a target.
enum Repair {
    /// Its delay is over, or nobody sends it anything that it might finish.
    Remove,
    /// It is not checked any more: what was known of its health is void.
    Forget,
}

impl LoadBalancers {
    /// What is to be done about targets now, and when to look again.
    fn repairs(&self, view: &View, now: Timestamp) -> (Repairs, Option<Duration>) {
        let (mut repairs, mut soonest) = (Vec::new(), None::<Duration>);
        for (scope, row) in view.scan_all::<Target>() {
            let attached = query::is_attached(view, scope, &row.group);
            let repair = match row.state {
                // An instance that ends is a target no more.
                TargetState::Registered if query::is_over(view, scope, &row.target) => Repair::Remove,
                TargetState::Registered if !attached && row.health != TargetHealth::registering() => Repair::Forget,
                TargetState::Registered => continue,
                TargetState::Draining { since } | TargetState::Drained { since } => {
                    let group = view.get::<TargetGroup>(scope, &row.group);
                    let end = since.plus(drain_delay(group.as_deref(), self.control.pace));
                    if attached && now < end {
                        let left = end.since(now);
                        soonest = Some(soonest.map_or(left, |soonest| soonest.min(left)));
                        continue;
                    }
                    Repair::Remove
                }
            };
            repairs.push((scope.clone(), row.clone(), repair));
        }
        (repairs, soonest)
    }
}

#[async_trait]
impl Controller for LoadBalancers {
    fn name(&self) -> &'static str {
        "elb.proxy"
    }

    fn tables(&self) -> &'static [&'static str] {
        self.tables
    }

    fn keys(&self, view: &View, _: &Change) -> Vec<Key> {
        self.all_keys(view)
    }

    fn all_keys(&self, _: &View) -> Vec<Key> {
        vec![Key::new(&Scope::default(), "proxy")]
    }

    async fn reconcile(&self, _: &Key) -> Result<Next, Failure> {
        let view = self.control.store.view();
        let now = self.control.clock.now();
        let (repairs, soonest) = self.repairs(&view, now);
        if !repairs.is_empty() {
            let ticket = {
                let mut tx = self.control.store.begin();
                for (scope, seen, repair) in repairs {
                    let id = Target::key(&seen.group, &seen.target, seen.port);
                    // Somebody may have registered it again meanwhile.
                    if tx.get::<Target>(&scope, &id).is_none_or(|row| row.state != seen.state) {
                        continue;
                    }
                    match repair {
                        Repair::Remove => {
                            tx.delete::<Target>(&scope, &id);
                        }
                        Repair::Forget => {
                            tx.update::<Target>(&scope, &id, |row| row.health = TargetHealth::registering());
                        }
                    }
                }
                tx.commit()
            };
            // Its rows wake this controller again.
            ticket.await?;
        }
        let mut config = compile::config(&self.control, &self.control.store.view());
        self.newest.send_if_modified(|newest| {
            config.generation = newest.generation;
            // The first one is sent in any case: a proxy of before may serve what is gone.
            if newest.generation > 0 && **newest == config {
                return false;
            }
            // Greater than that of an earlier daemon too.
            config.generation = (newest.generation + 1).max(u64::try_from(now.millis()).unwrap_or(0));
            *newest = Arc::new(config);
            true
        });
        Ok(soonest.map_or(Next::Done, Next::After))
    }
}
