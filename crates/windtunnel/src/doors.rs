//! The doors inside the network: where tasks reach AWS's services, their credentials and their metadata.
//!
//! In each VPC that has interfaces, 169.254.170.2 answers tasks by their own address; the service address in the internet
//! namespace and each interface endpoint open onto the gateway. One controller opens and closes the doors as the network
//! changes. A door opened too early, before its namespace is there, is tried again.

use async_trait::async_trait;
use controller::{Controller, Failure, Key, Next};
use ecs::endpoint::Endpoint;
use fabric::Fabric;
use futures_util::future::BoxFuture;
use gateway::Gateway;
use gateway::server::full;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::{Change, Row, Store, View};
use tokio::net::TcpListener;
use tokio::sync::watch;
use types::Scope;
use vpc::rows::{InterfaceState, InterfaceType, NetworkInterface};

/// Where the agent answers inside a task. Source: ECS developer guide, "Task metadata endpoint".
const AGENT: Ipv4Addr = Ipv4Addr::new(169, 254, 170, 2);
/// How long a task may take to ask.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a door stands: a namespace and an address there.
type Place = (String, SocketAddr);

/// What is behind a door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behind {
    Agent,
    Gateway,
}

/// Opens and closes the doors.
pub(crate) struct Doors {
    store: Store,
    fabric: Arc<Fabric>,
    gateway: Gateway,
    agent: Arc<Endpoint>,
    open: Mutex<BTreeMap<Place, watch::Sender<bool>>>,
}

impl Doors {
    /// Doors onto `gateway` and `agent`.
    pub(crate) fn new(store: Store, fabric: Arc<Fabric>, gateway: Gateway, agent: Arc<Endpoint>) -> Self {
        Self { store, fabric, gateway, agent, open: Mutex::default() }
    }

    fn wanted(&self, view: &View) -> BTreeMap<Place, Behind> {
        let mut wanted = BTreeMap::new();
        let attached = view.scan_all::<NetworkInterface>().filter(|(_, row)| row.state == InterfaceState::Attached);
        for (_, interface) in attached {
            wanted.insert((netplan::router_netns(&interface.vpc), SocketAddr::from((AGENT, 80))), Behind::Agent);
            for port in [80, 443] {
                let everyone = SocketAddr::from((self.fabric.service_address(), port));
                wanted.insert((netplan::INTERNET.to_owned(), everyone), Behind::Gateway);
                let namespace = interface.attachment.as_ref().and_then(|attachment| attachment.namespace.clone());
                if let (InterfaceType::VpcEndpoint, Some(namespace), Some(ip)) =
                    (interface.kind, namespace, interface.private_ip())
                {
                    wanted.insert((namespace, SocketAddr::from((ip, port))), Behind::Gateway);
                }
            }
        }
        wanted
    }

    fn open(&self, place: &Place, behind: Behind) -> std::io::Result<watch::Sender<bool>> {
        let listener = self.fabric.listen_tcp(&place.0, place.1)?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let (stop, stopped) = watch::channel(false);
        match behind {
            Behind::Gateway => drop(tokio::spawn(self.gateway.clone().serve(listener, stopped))),
            Behind::Agent => drop(tokio::spawn(serve_agent(listener, self.agent.clone(), stopped))),
        }
        Ok(stop)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Place, watch::Sender<bool>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Controller for Doors {
    fn name(&self) -> &'static str {
        "doors"
    }

    fn tables(&self) -> &'static [&'static str] {
        &[NetworkInterface::TABLE]
    }

    fn keys(&self, view: &View, _: &Change) -> Vec<Key> {
        self.all_keys(view)
    }

    fn all_keys(&self, _: &View) -> Vec<Key> {
        vec![Key::new(&Scope::default(), "doors")]
    }

    async fn reconcile(&self, _: &Key) -> Result<Next, Failure> {
        let wanted = self.wanted(&self.store.view());
        // A closed door's stop signal goes with its sender.
        self.lock().retain(|place, stop| {
            let stays = wanted.contains_key(place);
            if !stays {
                stop.send_replace(true);
            }
            stays
        });
        let mut failure = None;
        for (place, behind) in wanted {
            if self.lock().contains_key(&place) {
                continue;
            }
            match self.open(&place, behind) {
                Ok(stop) => drop(self.lock().insert(place, stop)),
                Err(error) => failure = Some(Failure::new(format_args!("{} in {}: {error}", place.1, place.0))),
            }
        }
        failure.map_or(Ok(Next::Done), Err)
    }
}

impl Drop for Doors {
    fn drop(&mut self) {
        for stop in self.lock().values() {
            stop.send_replace(true);
        }
    }
}

async fn serve_agent(listener: TcpListener, agent: Arc<Endpoint>, mut stop: watch::Receiver<bool>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let Ok((stream, peer)) = accepted else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let agent = agent.clone();
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(PATIENCE)
            .serve_connection(TokioIo::new(stream), service_fn(move |request| answer(agent.clone(), peer, request)));
        tokio::spawn(async move { drop(connection.await) });
    }
}

fn answer(
    agent: Arc<Endpoint>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> BoxFuture<'static, Result<Response<gateway::Body>, Infallible>> {
    Box::pin(async move {
        let mut response = match (peer.ip(), request.method()) {
            (IpAddr::V4(peer), &Method::GET) => {
                let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
                let answer = agent.answer(peer, path).await;
                let mut response = Response::new(full(answer.body));
                *response.status_mut() =
                    StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                response
            }
            _ => {
                let mut response = Response::new(full("405 method not allowed\n"));
                *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
                response
            }
        };
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(response)
    })
}
