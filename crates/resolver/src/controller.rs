//! Keeps the resolver's sockets in each VPC's router.
//!
//! A router is removed with the last interface of its VPC and made anew with the next one. Sockets stay in the namespace
//! that they were made in, and keep it alive; so they are closed when nothing is attached any more, and opened again
//! where the router is not the one that they are in. Nothing is kept: after a restart they are opened as if for the first time.

use crate::sockets::{Asked, serve_tcp, serve_udp};
use crate::zone::{IPV6, LINK_LOCAL};
use async_trait::async_trait;
use controller::{Controller, Failure, Key, Next};
use fabric::Fabric;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::{Change, Row, Store, View};
use tokio::task::JoinHandle;
use types::Clock;
use vpc::query;
use vpc::rows::{NetworkInterface, Vpc};

/// Where DNS is spoken.
const PORT: u16 = 53;
/// A look again where the router is about to change.
const POLL: Duration = Duration::from_millis(500);

/// Keeps the sockets. Its key is the VPC's id.
pub struct Resolvers {
    store: Store,
    fabric: Arc<Fabric>,
    clock: Arc<dyn Clock>,
    open: Mutex<HashMap<Key, Open>>,
}

/// The sockets of one VPC.
struct Open {
    router: u64,
    addresses: Vec<IpAddr>,
    serving: Vec<JoinHandle<()>>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.serving.iter().for_each(JoinHandle::abort);
    }
}

impl Resolvers {
    /// The resolvers of this fabric's VPCs.
    pub fn new(store: Store, fabric: Arc<Fabric>, clock: Arc<dyn Clock>) -> Self {
        Self { store, fabric, clock, open: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, key: &Key, router: u64, addresses: Vec<IpAddr>, sockets: Sockets) -> io::Result<Open> {
        let asked = Arc::new(Asked {
            store: self.store.clone(),
            fabric: self.fabric.clone(),
            clock: self.clock.clone(),
            scope: key.scope.clone(),
            vpc: key.id.clone(),
            turn: AtomicUsize::new(0),
        });
        let mut open = Open { router, addresses, serving: Vec::new() };
        for (udp, tcp) in sockets {
            let (udp, tcp) = (tokio::net::UdpSocket::from_std(udp)?, tokio::net::TcpListener::from_std(tcp)?);
            open.serving.push(tokio::spawn(serve_udp(udp, asked.clone())));
            open.serving.push(tokio::spawn(serve_tcp(tcp, asked.clone())));
        }
        Ok(open)
    }
}

type Sockets = Vec<(UdpSocket, TcpListener)>;

fn bind(fabric: &Fabric, router: &str, addresses: &[IpAddr]) -> io::Result<Sockets> {
    let bind = |ip: &IpAddr| {
        let place = SocketAddr::from((*ip, PORT));
        Ok((fabric.udp_socket(router, place)?, fabric.listen_tcp(router, place)?))
    };
    addresses.iter().map(bind).collect()
}

#[async_trait]
impl Controller for Resolvers {
    fn name(&self) -> &'static str {
        "resolver"
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
        let vpc = query::vpc(&view, &key.scope, &key.id).filter(|vpc| vpc.dns_support);
        let Some(vpc) = vpc.filter(|_| query::has_router(&view, &key.scope, &key.id)) else {
            self.lock().remove(key);
            return Ok(Next::Done);
        };
        let name = netplan::router_netns(&vpc.id);
        let Some(router) = self.fabric.netns_identity(&name) else { return Ok(Next::After(POLL)) };
        let mut addresses: Vec<IpAddr> = vec![vpc::names::resolver(&vpc).into(), LINK_LOCAL.into()];
        addresses.extend((!vpc.ipv6.is_empty()).then_some(IpAddr::V6(IPV6)));
        let same = |open: &Open| open.router == router && open.addresses == addresses;
        let stands = |open: &Open| same(open) && !open.serving.iter().any(JoinHandle::is_finished);
        if self.lock().get(key).is_some_and(stands) {
            return Ok(Next::Done);
        }
        self.lock().remove(key);
        let (fabric, places) = (self.fabric.clone(), addresses.clone());
        // Entering a namespace takes a thread of its own.
        let bound = tokio::task::spawn_blocking(move || bind(&fabric, &name, &places)).await?;
        // The sockets closed above may not be quite gone, or the router not quite there.
        let Ok(sockets) = bound else { return Ok(Next::After(POLL)) };
        let open = self.serve(key, router, addresses, sockets)?;
        self.lock().insert(key.clone(), open);
        Ok(Next::Done)
    }
}
