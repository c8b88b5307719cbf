//! Each listener of an internet-facing load balancer has a port of 127.0.0.1, by which the user's machine reaches it whether or not it can
//! reach public addresses. A listener keeps its port as long as it lives, in this daemon's life and the next ones', unless another
//! program has taken it meanwhile.

use super::{Listener, LoadBalancer};
use crate::query::{self, Reach};
use async_trait::async_trait;
use controller::{Controller, Failure, Key, Next};
use proxy::loopback::client::KeeperProcess;
use proxy::loopback::{Port, Refused};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::{Change, Row, Store, View};
use types::Scope;

/// How often the keeper of the ports is looked after.
const TICK: Duration = Duration::from_secs(1);
/// Where ports are chosen: below those that the kernel gives to connections, above those that people like to choose.
const FIRST: u16 = 10_000;
const COUNT: u16 = 10_000;
/// After so many ports that were taken the listener waits for the next tick.
const ATTEMPTS: u16 = 50;

/// Keeps loopback ports open.
#[async_trait]
pub trait Keeper: Send + Sync + 'static {
    /// Has these ports open and no others. Returns those that could not be opened.
    async fn apply(&self, ports: Vec<Port>) -> io::Result<Vec<Refused>>;
}

#[async_trait]
impl Keeper for KeeperProcess {
    async fn apply(&self, ports: Vec<Port>) -> io::Result<Vec<Refused>> {
        KeeperProcess::apply(self, ports).await
    }
}

/// Whom to tell of a port that was opened.
pub type Told = Box<dyn Fn(&Reach) + Send + Sync>;

/// The controller of loopback ports. It has one key: there is one keeper, which is told all ports whole.
pub struct LoopbackPorts {
    store: Store,
    keeper: Arc<dyn Keeper>,
    told: Told,
    /// What was told of already.
    known: Mutex<BTreeMap<String, u16>>,
}

/// A listener that is to have a port.
struct Wanted {
    scope: Scope,
    arn: String,
    to: Vec<SocketAddr>,
    /// The port that it has.
    has: Option<u16>,
    /// How many ports were tried that it cannot have.
    refused: u16,
}

impl LoopbackPorts {
    /// Ports that `keeper` keeps. `told` hears of each when it is opened, and of all of them in each of the daemon's lives.
    pub fn new(store: Store, keeper: Arc<dyn Keeper>, told: Told) -> Self {
        Self { store, keeper, told, known: Mutex::default() }
    }

    fn tell(&self, view: &View, open: &BTreeMap<String, u16>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for reach in query::reaches(view) {
            if open.contains_key(&reach.listener) && known.get(&reach.listener) != reach.loopback_port.as_ref() {
                (self.told)(&reach);
            }
        }
        known.clone_from(open);
    }
}

fn wanted(view: &View) -> Vec<Wanted> {
    let mut all = Vec::new();
    for (scope, balancer) in view.scan_all::<LoadBalancer>().filter(|(_, row)| !row.internal) {
        let addresses = query::addresses(view, scope, &balancer.dns_name, true);
        if addresses.is_empty() {
            continue;
        }
        for listener in view.by_index(&Listener::BY_LOAD_BALANCER, scope, &balancer.arn) {
            all.push(Wanted {
                scope: scope.clone(),
                arn: listener.arn.clone(),
                to: addresses.iter().map(|address| SocketAddr::from((*address, listener.port))).collect(),
                has: listener.loopback_port,
                refused: 0,
            });
        }
    }
    all
}

/// A port for each, no two the same: the one that it has, else the first free one of a row that its ARN decides.
fn assign(wanted: &[Wanted]) -> Vec<Port> {
    let mut used: BTreeSet<u16> = wanted.iter().filter_map(|one| one.has).collect();
    let port = |one: &Wanted| {
        let port = one.has.unwrap_or_else(|| {
            let candidates = (one.refused..COUNT).map(|attempt| candidate(&one.arn, attempt));
            candidates.into_iter().find(|port| used.insert(*port)).unwrap_or(FIRST)
        });
        Port { name: one.arn.clone(), port, to: one.to.clone() }
    };
    wanted.iter().map(port).collect()
}

fn candidate(arn: &str, attempt: u16) -> u16 {
    let digest = Sha256::digest(arn.as_bytes());
    let start = u16::from_be_bytes([digest[0], digest[1]]) % COUNT;
    FIRST + (start + attempt) % COUNT
}

#[async_trait]
impl Controller for LoopbackPorts {
    fn name(&self) -> &'static str {
        "elb.loopback"
    }

    fn tables(&self) -> &'static [&'static str] {
        &[LoadBalancer::TABLE, Listener::TABLE, vpc::rows::NetworkInterface::TABLE, vpc::rows::Address::TABLE]
    }

    fn keys(&self, view: &View, _: &Change) -> Vec<Key> {
        self.all_keys(view)
    }

    fn all_keys(&self, _: &View) -> Vec<Key> {
        vec![Key::new(&Scope::default(), "loopback")]
    }

    async fn reconcile(&self, _: &Key) -> Result<Next, Failure> {
        let mut wanted = wanted(&self.store.view());
        let mut ports = assign(&wanted);
        let mut refused = self.keeper.apply(ports.clone()).await?;
        for _ in 0..ATTEMPTS {
            if refused.is_empty() {
                break;
            }
            for one in &mut wanted {
                if refused.iter().any(|refused| refused.name == one.arn) {
                    // The port that it had is tried first, then the row from its beginning.
                    one.refused += u16::from(one.has.take().is_none());
                }
            }
            ports = assign(&wanted);
            refused = self.keeper.apply(ports.clone()).await?;
        }
        for Refused { name, error } in &refused {
            tracing::warn!(listener = name, error, "no loopback port could be opened");
        }
        let open: BTreeMap<String, u16> = ports
            .into_iter()
            .filter(|port| !refused.iter().any(|refused| refused.name == port.name))
            .map(|port| (port.name, port.port))
            .collect();
        let changed: Vec<_> = wanted
            .iter()
            .filter_map(|one| Some((one, *open.get(&one.arn)?)))
            .filter(|(one, port)| one.has != Some(*port))
            .collect();
        if !changed.is_empty() {
            let ticket = {
                let mut tx = self.store.begin();
                for (one, port) in changed {
                    tx.update::<Listener>(&one.scope, &one.arn, |row| row.loopback_port = Some(port));
                }
                tx.commit()
            };
            ticket.await?;
        }
        self.tell(&self.store.view(), &open);
        // Nobody tells when the keeper dies.
        Ok(if wanted.is_empty() { Next::Done } else { Next::After(TICK) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(arn: &str, has: Option<u16>) -> Wanted {
        Wanted { scope: Scope::default(), arn: arn.to_owned(), to: vec![], has, refused: 0 }
    }

    fn ports(wanted: &[Wanted]) -> Vec<u16> {
        assign(wanted).into_iter().map(|port| port.port).collect()
    }

    #[test]
    fn each_listener_has_a_port_of_its_own_and_keeps_it() {
        let many: Vec<_> = (0..3000).map(|n| wanted(&format!("listener/{n}"), None)).collect();
        let first = ports(&many);
        assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), many.len(), "two listeners have one port");
        assert!(first.iter().all(|port| (FIRST..FIRST + COUNT).contains(port)));
        assert_eq!(ports(&many), first, "the same listeners, the same ports");
        // A new one does not take the port of one that has it.
        let other = candidate("listener/new", 0);
        let pair = [wanted("listener/new", None), wanted("listener/old", Some(other))];
        assert_eq!(ports(&pair)[1], other);
        assert_ne!(ports(&pair)[0], other);
    }

    #[test]
    fn a_port_that_is_refused_is_not_chosen_again() {
        let mut one = wanted("listener/1", None);
        let mut seen = BTreeSet::new();
        for _ in 0..ATTEMPTS {
            let [port] = ports(std::slice::from_ref(&one))[..] else { panic!("one port") };
            assert!(seen.insert(port), "{port} was refused before");
            one.refused += 1;
        }
    }
}
