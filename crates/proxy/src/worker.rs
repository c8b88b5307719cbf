//! A worker: one thread with its own sockets, connections and pools.
//!
//! The kernel spreads connections over the workers' listening sockets. A worker shares nothing that it writes with another, but for the
//! targets' load. Each request looks at the [`View`] that is in force when it begins, so that a new configuration takes effect at once,
//! on old connections too.

use crate::h1;
use crate::shared::{
    self, BalancerCount, EndpointKey, GroupCount, ListenerPlan, NodePlace, NodeView, Snapshot, TargetLife,
};
use crate::upstream::Pool;
use routing::config::{Algorithm, Attributes, Node, Protocol};
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

/// What the main thread tells a worker.
pub(crate) struct Update {
    pub(crate) snapshot: Arc<Snapshot>,
    /// This worker's sockets of endpoints that are new.
    pub(crate) opened: Vec<(EndpointKey, std::net::TcpListener)>,
    /// Told once every later request meets the snapshot.
    pub(crate) applied: oneshot::Sender<()>,
}

/// Runs until the main thread drops the channel.
pub(crate) async fn run(index: usize, mut updates: mpsc::UnboundedReceiver<Update>) {
    let mut worker = Worker { index, doors: HashMap::new(), pools: HashMap::new() };
    while let Some(update) = updates.recv().await {
        worker.apply(update);
    }
}

struct Worker {
    index: usize,
    doors: HashMap<EndpointKey, (Rc<Door>, tokio::task::JoinHandle<()>)>,
    pools: HashMap<PoolKey, Rc<Seat>>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct PoolKey {
    group: String,
    node: Node,
    target: SocketAddr,
}

/// An endpoint as connections hold it: its view changes with the configuration, and is gone when the endpoint is.
pub(crate) struct Door {
    view: RefCell<Option<Rc<View>>>,
}

impl Door {
    /// What is in force now.
    pub(crate) fn view(&self) -> Option<Rc<View>> {
        self.view.borrow().clone()
    }
}

/// All that a request needs to know.
pub(crate) struct View {
    pub(crate) listener: Arc<ListenerPlan>,
    pub(crate) attributes: Attributes,
    pub(crate) node: Arc<NodePlace>,
    pub(crate) groups: HashMap<String, Rc<LocalGroup>>,
    pub(crate) counters: Arc<BalancerCount>,
}

impl View {
    pub(crate) fn idle(&self) -> Duration {
        Duration::from_millis(self.attributes.idle_timeout_ms.max(1))
    }
}

/// A target group as one worker serves it from one node.
pub(crate) struct LocalGroup {
    pub(crate) algorithm: Algorithm,
    pub(crate) protocol: Protocol,
    pub(crate) slow_start_ms: u64,
    pub(crate) targets: Vec<LocalTarget>,
    pub(crate) turn: Cell<usize>,
    pub(crate) counters: Arc<GroupCount>,
}

/// A target as one worker serves it from one node.
pub(crate) struct LocalTarget {
    pub(crate) address: SocketAddr,
    pub(crate) active: bool,
    pub(crate) life: Arc<TargetLife>,
    pub(crate) health: Arc<NodeView>,
    pub(crate) seat: Rc<Seat>,
}

/// What a worker keeps for a target from one configuration to the next.
#[derive(Default)]
pub(crate) struct Seat {
    pub(crate) pool: Pool,
    running: RefCell<Running>,
}

/// Requests in flight: whom to wake when they are cut off.
#[derive(Default)]
struct Running {
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
}

/// A request in flight. Ends with its drop.
pub(crate) struct Ticket {
    seat: Rc<Seat>,
    life: Arc<TargetLife>,
    slot: Cell<Option<usize>>,
}

impl Ticket {
    /// Begins a request.
    pub(crate) fn new(target: &LocalTarget) -> Self {
        target.life.in_flight.fetch_add(1, Ordering::Relaxed);
        Self { seat: Rc::clone(&target.seat), life: Arc::clone(&target.life), slot: Cell::new(None) }
    }

    /// Whether the request is cut off; if not, `waker` is woken when it is.
    pub(crate) fn is_cut(&self, waker: &Waker) -> bool {
        if self.life.cut.load(Ordering::Relaxed) {
            return true;
        }
        let mut running = self.seat.running.borrow_mut();
        let slot = self.slot.get().unwrap_or_else(|| {
            let slot = running.free.pop().unwrap_or_else(|| {
                running.wakers.push(None);
                running.wakers.len() - 1
            });
            self.slot.set(Some(slot));
            slot
        });
        if let Some(place) = running.wakers.get_mut(slot)
            && !place.as_ref().is_some_and(|have| have.will_wake(waker))
        {
            *place = Some(waker.clone());
        }
        false
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.life.in_flight.fetch_sub(1, Ordering::Relaxed);
        if let Some(slot) = self.slot.get() {
            let mut running = self.seat.running.borrow_mut();
            if let Some(place) = running.wakers.get_mut(slot) {
                *place = None;
            }
            running.free.push(slot);
        }
    }
}

impl Worker {
    fn apply(&mut self, update: Update) {
        let Update { snapshot, opened, applied } = update;
        let mut sockets: HashMap<EndpointKey, std::net::TcpListener> = opened.into_iter().collect();
        let mut seats = HashSet::new();
        let wanted: HashSet<&EndpointKey> = snapshot.endpoints.iter().map(|endpoint| &endpoint.key).collect();
        self.doors.retain(|key, (door, accepting)| {
            let stays = wanted.contains(key) && !sockets.contains_key(key);
            if !stays {
                accepting.abort();
                *door.view.borrow_mut() = None;
            }
            stays
        });
        for endpoint in &snapshot.endpoints {
            let view = Rc::new(View {
                listener: Arc::clone(&endpoint.listener),
                attributes: endpoint.balancer.attributes.clone(),
                node: Arc::clone(&endpoint.node),
                groups: self.groups(&snapshot, endpoint, &mut seats),
                counters: Arc::clone(&endpoint.balancer.counters[self.index]),
            });
            if let Some((door, _)) = self.doors.get(&endpoint.key) {
                *door.view.borrow_mut() = Some(view);
            } else if let Some(socket) = sockets.remove(&endpoint.key) {
                let door = Rc::new(Door { view: RefCell::new(Some(view)) });
                let accepting = tokio::task::spawn_local(accept(socket, Rc::clone(&door)));
                self.doors.insert(endpoint.key.clone(), (door, accepting));
            }
        }
        self.pools.retain(|key, _| seats.contains(key));
        let _ = applied.send(());
    }

    fn groups(
        &mut self,
        snapshot: &Snapshot,
        endpoint: &shared::Endpoint,
        seats: &mut HashSet<PoolKey>,
    ) -> HashMap<String, Rc<LocalGroup>> {
        let mut groups = HashMap::new();
        for arn in crate::plan::groups_of(&endpoint.listener.config) {
            let Some(group) = snapshot.groups.get(arn) else { continue };
            let cross_zone = group.config.attributes.cross_zone.unwrap_or(endpoint.balancer.attributes.cross_zone);
            let node = &endpoint.node.node;
            let near = |zone: &Option<String>| cross_zone || zone.as_ref().is_none_or(|zone| *zone == node.zone);
            let mut targets = Vec::with_capacity(group.targets.len());
            for (target, life) in group.targets.iter().filter(|(target, _)| near(&target.zone)) {
                let key = PoolKey { group: arn.to_owned(), node: node.clone(), target: target.id() };
                let seat = Rc::clone(self.pools.entry(key.clone()).or_default());
                seats.insert(key);
                let active = shared::is_active(target);
                if !active {
                    seat.pool.clear();
                }
                if life.cut.load(Ordering::Relaxed) {
                    seat.running.borrow().wakers.iter().flatten().for_each(Waker::wake_by_ref);
                }
                targets.push(LocalTarget {
                    address: target.id(),
                    active,
                    life: Arc::clone(life),
                    health: life.view(node),
                    seat,
                });
            }
            let local = LocalGroup {
                algorithm: group.config.attributes.algorithm,
                protocol: group.config.protocol,
                slow_start_ms: group.config.attributes.slow_start_ms,
                targets,
                turn: Cell::new(self.index),
                counters: Arc::clone(&group.counters[self.index]),
            };
            groups.insert(arn.to_owned(), Rc::new(local));
        }
        groups
    }
}

async fn accept(socket: std::net::TcpListener, door: Rc<Door>) {
    let listener = match TcpListener::from_std(socket) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "cannot serve a listening socket"),
    };
    loop {
        match listener.accept().await {
            Ok((stream, client)) => {
                if let Some(view) = door.view() {
                    tokio::task::spawn_local(connection(stream, client, Rc::clone(&door), view));
                }
            }
            Err(error) => {
                // out of descriptors, most likely: others end meanwhile
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Counts a connection while it lasts.
struct Counted(Arc<BalancerCount>);

impl Counted {
    fn new(counters: &Arc<BalancerCount>) -> Self {
        shared::add(&counters.connections, 1);
        shared::add(&counters.active, 1);
        Self(Arc::clone(counters))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        shared::add(&self.0.active, u64::MAX);
    }
}

async fn connection(stream: TcpStream, client: SocketAddr, door: Rc<Door>, view: Rc<View>) {
    let _counted = Counted::new(&view.counters);
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let Some(tls) = view.listener.tls.clone() else {
        return h1::serve::serve(crate::stream::Stream::Plain(stream), client, door, None).await;
    };
    let handshake = tokio_rustls::TlsAcceptor::from(tls).accept(stream);
    let Ok(Ok(stream)) = tokio::time::timeout(view.idle(), handshake).await else { return };
    let (_, session) = stream.get_ref();
    if session.alpn_protocol() == Some(b"h2") {
        return crate::h2::serve(stream, client, door).await;
    }
    let described = crate::h1::serve::TlsFacts::of(session);
    drop(view);
    h1::serve::serve(crate::stream::Stream::Client(Box::new(stream)), client, door, Some(described)).await;
}
