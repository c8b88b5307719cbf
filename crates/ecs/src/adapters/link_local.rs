//! 169.254.170.2: serves [`Endpoint`] over HTTP in every VPC.
//!
//! A VPC's router has the address; a listener there sees each task by its own address in the VPC. The listeners are this
//! process's: after a restart they are opened again, and applications retry meanwhile, as their SDKs do. A router goes with
//! the last interface of its VPC and comes anew with the next one; the listener, which would stay in the old one, follows.

use crate::endpoint::{Answer, Endpoint};
use async_trait::async_trait;
use controller::{Controller, Failure, Key, Next};
use fabric::Fabric;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::{Change, Row, Store, View};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use types::id::VpcId;
use vpc::rows::{NetworkInterface, Vpc};

/// Where tasks look for their credentials and metadata.
pub(super) const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)), 80);
/// Connections of one VPC at a time.
const MOST_CONNECTIONS: usize = 512;
/// How long a request's head may take.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);
/// A look again while the router does not stand yet.
const POLL: Duration = Duration::from_millis(50);

/// Keeps a listener in each VPC. Its key is the VPC's id.
pub struct LinkLocal {
    store: Store,
    fabric: Arc<Fabric>,
    endpoint: Arc<Endpoint>,
    listeners: Mutex<HashMap<Key, Listening>>,
}

/// A VPC's listener.
struct Listening {
    router: u64,
    serving: JoinHandle<()>,
}

impl Drop for Listening {
    /// An open socket would keep the router's namespace alive.
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl LinkLocal {
    /// Serves `endpoint` on this fabric.
    pub fn new(store: Store, fabric: Arc<Fabric>, endpoint: Endpoint) -> Self {
        Self { store, fabric, endpoint: Arc::new(endpoint), listeners: Mutex::default() }
    }

    fn listeners(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Listening>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Controller for LinkLocal {
    fn name(&self) -> &'static str {
        "ecs-link-local"
    }

    fn tables(&self) -> &'static [&'static str] {
        &[<Vpc as Row>::TABLE, <NetworkInterface as Row>::TABLE]
    }

    fn keys(&self, view: &View, change: &Change) -> Vec<Key> {
        if change.table == <Vpc as Row>::TABLE {
            return vec![Key::new(&change.scope, change.id.to_string())];
        }
        let before = change.before::<NetworkInterface>();
        let interface = vpc::query::interface(view, &change.scope, &change.id).or(before);
        interface.map(|interface| Key::new(&change.scope, interface.vpc.as_str())).into_iter().collect()
    }

    fn all_keys(&self, view: &View) -> Vec<Key> {
        view.scan_all::<Vpc>().map(|(scope, row)| Key::new(scope, row.id.as_str())).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Failure> {
        let Some(id) = VpcId::parse(&key.id) else { return Ok(Next::Done) };
        if !vpc::query::has_router(&self.store.view(), &key.scope, &key.id) {
            self.listeners().remove(key);
            return Ok(Next::Done);
        }
        let name = netplan::router_netns(&id);
        let Some(router) = self.fabric.netns_identity(&name) else { return Ok(Next::After(POLL)) };
        let stands = |open: &Listening| open.router == router && !open.serving.is_finished();
        if self.listeners().get(key).is_some_and(stands) {
            return Ok(Next::Done);
        }
        self.listeners().remove(key);
        let fabric = self.fabric.clone();
        // Entering a namespace takes a thread of its own.
        let opened = tokio::task::spawn_blocking(move || fabric.listen_tcp(&name, ADDRESS)).await?;
        let Ok(listener) = opened else { return Ok(Next::After(POLL)) };
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let serving = tokio::spawn(serve(listener, self.endpoint.clone(), key.id.clone()));
        self.listeners().insert(key.clone(), Listening { router, serving });
        Ok(Next::Done)
    }
}

async fn serve(listener: TcpListener, endpoint: Arc<Endpoint>, vpc: String) {
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    // The connections end with this future, so that aborting it frees the router.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(_) => continue,
            },
            Some(_) = connections.join_next() => continue,
        };
        let IpAddr::V4(peer) = peer.ip() else { continue };
        let (endpoint, vpc) = (endpoint.clone(), vpc.clone());
        connections.spawn(async move {
            let service = service_fn(|request| respond(&endpoint, &vpc, peer, request));
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_PATIENCE)
                .half_close(true)
                .serve_connection(TokioIo::new(stream), service);
            // A client that goes away harms nobody.
            let _ = connection.await;
            drop(permit);
        });
    }
}

async fn respond(
    endpoint: &Endpoint,
    vpc: &str,
    peer: Ipv4Addr,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let answer = if request.method() == Method::GET {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        endpoint.answer(vpc, peer, path).await
    } else {
        Answer { status: 405, body: "Method Not Allowed\n".to_owned() }
    };
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() = hyper::StatusCode::from_u16(answer.status).unwrap_or(hyper::StatusCode::OK);
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    Ok(response)
}
