//! Sockets in the VPCs' routers: whatever answers to all of a VPC at an address of its router's.
//!
//! A router is removed with the last interface of its VPC and made anew with the next one. Sockets stay in the namespace
//! that they were made in, and keep it alive; so they are closed when nothing is attached any more, and opened again
//! where the router is not the one that they are in. Nothing is kept: after a restart they are opened as if for the first time.

use crate::query;
use crate::rows::{NetworkInterface, Vpc};
use async_trait::async_trait;
use controller::{Controller, Failure, Key, Next};
use fabric::Fabric;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::{Change, Row, Store, View};
use tokio::task::JoinHandle;

/// A look again where the router does not stand yet, or the sockets just closed are not quite gone.
const AGAIN: Duration = Duration::from_millis(50);

/// What answers in each VPC's router.
pub trait RouterService: Send + Sync + 'static {
    /// Its sockets, just opened.
    type Sockets: Send + 'static;

    /// The name of the controller that keeps them.
    const NAME: &'static str;

    /// Whether it answers in this VPC.
    fn wanted(&self, vpc: &Vpc) -> bool;

    /// Where it answers in this VPC. Its sockets are opened anew when that changes.
    fn addresses(vpc: &Vpc) -> Vec<SocketAddr>;

    /// Opens the sockets in the namespace of the router. It runs on a thread that may wait.
    fn bind(fabric: &Fabric, router: &str, addresses: &[SocketAddr]) -> io::Result<Self::Sockets>;

    /// Serves the sockets of the VPC that the key names, each in a task that frees them when it is aborted.
    fn serve(&self, key: &Key, sockets: Self::Sockets) -> io::Result<Vec<JoinHandle<()>>>;
}

/// The controller that keeps a service's sockets. Its key is the VPC's id.
pub struct RouterSockets<S> {
    store: Store,
    fabric: Arc<Fabric>,
    service: S,
    open: Mutex<HashMap<Key, Open>>,
}

/// The sockets of one VPC.
struct Open {
    router: u64,
    addresses: Vec<SocketAddr>,
    serving: Vec<JoinHandle<()>>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.serving.iter().for_each(JoinHandle::abort);
    }
}

impl<S: RouterService> RouterSockets<S> {
    /// The sockets of `service` on this fabric.
    pub fn new(store: Store, fabric: Arc<Fabric>, service: S) -> Self {
        Self { store, fabric, service, open: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl<S: RouterService> Controller for RouterSockets<S> {
    fn name(&self) -> &'static str {
        S::NAME
    }

    fn tables(&self) -> &'static [&'static str] {
        &[<Vpc as Row>::TABLE, <NetworkInterface as Row>::TABLE]
    }

    fn keys(&self, view: &View, change: &Change) -> Vec<Key> {
        if change.table == <Vpc as Row>::TABLE {
            return vec![Key::new(&change.scope, change.id.to_string())];
        }
        let before = change.before::<NetworkInterface>();
        let interface = query::interface(view, &change.scope, &change.id).or(before);
        interface.map(|interface| Key::new(&change.scope, interface.vpc.as_str())).into_iter().collect()
    }

    fn all_keys(&self, view: &View) -> Vec<Key> {
        view.scan_all::<Vpc>().map(|(scope, row)| Key::new(scope, row.id.as_str())).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Failure> {
        let view = self.store.view();
        let vpc = query::vpc(&view, &key.scope, &key.id).filter(|vpc| self.service.wanted(vpc));
        let Some(vpc) = vpc.filter(|_| query::has_router(&view, &key.scope, &key.id)) else {
            self.lock().remove(key);
            return Ok(Next::Done);
        };
        let name = netplan::router_netns(&vpc.id);
        let Some(router) = self.fabric.netns_identity(&name) else { return Ok(Next::After(AGAIN)) };
        let addresses = S::addresses(&vpc);
        let same = |open: &Open| open.router == router && open.addresses == addresses;
        let stands = |open: &Open| same(open) && !open.serving.iter().any(JoinHandle::is_finished);
        if self.lock().get(key).is_some_and(stands) {
            return Ok(Next::Done);
        }
        self.lock().remove(key);
        let (fabric, places) = (self.fabric.clone(), addresses.clone());
        // Entering a namespace takes a thread of its own.
        let bound = tokio::task::spawn_blocking(move || S::bind(&fabric, &name, &places)).await?;
        let Ok(sockets) = bound else { return Ok(Next::After(AGAIN)) };
        let serving = self.service.serve(key, sockets)?;
        self.lock().insert(key.clone(), Open { router, addresses, serving });
        Ok(Next::Done)
    }
}
