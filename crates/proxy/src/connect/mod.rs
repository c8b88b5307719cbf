//! Service Connect's listeners: in each task's own network, one for each alias that its containers may call, and one for each port that
//! others call. They live in one thread.
//!
//! A listener's sidecar holds what it remembers of targets, and every task that serves its connections, which end with it. Where an
//! endpoint's tasks are changes under way: each connection, or each request, looks at where they are when it begins.

mod http;
mod sidecar;
mod tcp;

use crate::netns::Namespace;
use routing::connect::{Endpoint, Mesh};
use routing::status::ListenerFailure;
use sidecar::Sidecar;
use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, oneshot};

/// Where the tasks of all endpoints are, by the endpoints' ARNs.
type Endpoints = Rc<RefCell<HashMap<String, Rc<Vec<SocketAddr>>>>>;

enum Order {
    Apply(Mesh, oneshot::Sender<Vec<ListenerFailure>>),
    IsCurrent(oneshot::Sender<bool>),
}

/// What the main thread has of the other.
pub(crate) struct Handle {
    orders: mpsc::UnboundedSender<Order>,
    last: Option<Mesh>,
    failed: bool,
}

/// Starts the thread, with nothing to serve.
pub(crate) fn start() -> io::Result<Handle> {
    let (orders, mut received) = mpsc::unbounded_channel();
    let runtime = move || Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    std::thread::Builder::new().name("proxy-connect".to_owned()).spawn(move || match runtime() {
        Ok(runtime) => runtime.block_on(async move {
            let mut served = Served::default();
            while let Some(order) = received.recv().await {
                match order {
                    Order::Apply(mesh, told) => drop(told.send(served.apply(mesh))),
                    Order::IsCurrent(told) => drop(told.send(served.is_current())),
                }
            }
        }),
        Err(error) => tracing::error!(%error, "Service Connect cannot start"),
    })?;
    Ok(Handle { orders, last: None, failed: false })
}

impl Handle {
    /// Puts a configuration in force. What could not be opened is told, and is tried again with the next call.
    pub(crate) async fn apply(&mut self, mesh: &Mesh) -> Vec<ListenerFailure> {
        if !self.failed && self.last.as_ref() == Some(mesh) && self.is_current().await {
            return Vec::new();
        }
        let (told, failures) = oneshot::channel();
        let sent = self.orders.send(Order::Apply(mesh.clone(), told));
        let failures = if sent.is_ok() { failures.await.unwrap_or_default() } else { Vec::new() };
        self.last = Some(mesh.clone());
        self.failed = !failures.is_empty();
        failures
    }

    /// Whether all that listens does so where tasks are.
    pub(crate) async fn is_current(&self) -> bool {
        if self.last.as_ref().is_none_or(|mesh| mesh.sidecars.is_empty()) {
            return true;
        }
        let (told, answer) = oneshot::channel();
        self.orders.send(Order::IsCurrent(told)).is_ok() && answer.await.unwrap_or(true)
    }
}

/// What the thread serves.
#[derive(Default)]
struct Served {
    sidecars: HashMap<String, Sidecar>,
    endpoints: Endpoints,
}

impl Served {
    fn apply(&mut self, mesh: Mesh) -> Vec<ListenerFailure> {
        let Mesh { sidecars, endpoints } = mesh;
        let targets = |endpoint: Endpoint| (endpoint.arn, Rc::new(endpoint.targets));
        *self.endpoints.borrow_mut() = endpoints.into_iter().map(targets).collect();
        let mut before = std::mem::take(&mut self.sidecars);
        let mut failures = Vec::new();
        for wanted in sidecars {
            let task = wanted.task.clone();
            let sidecar = match before.remove(&task) {
                Some(sidecar) if sidecar.is(&wanted) => sidecar,
                stale => {
                    // Its sockets must be closed before others take their place.
                    drop(stale);
                    match Sidecar::open(wanted, &self.endpoints) {
                        Ok(sidecar) => sidecar,
                        Err((address, error)) => {
                            failures.push(ListenerFailure::of_socket(task, address, &error));
                            continue;
                        }
                    }
                }
            };
            self.sidecars.insert(task, sidecar);
        }
        // Who is left is wanted no more, and ends here.
        failures
    }

    fn is_current(&self) -> bool {
        self.sidecars.values().all(Sidecar::is_current)
    }
}

/// What a listener's connections share.
struct Place {
    namespace: Namespace,
    endpoints: Endpoints,
    known: RefCell<HashMap<(String, SocketAddr), sidecar::Known>>,
    turns: RefCell<HashMap<String, usize>>,
}
