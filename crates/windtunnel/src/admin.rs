//! `/_windtunnel/`: what AWS's API has no words for: whether the server is well, what it holds, and why packets pass or
//! do not.

use crate::daemon::Beacon;
use crate::verdicts::Verdicts;
use ecs::rows::{ClusterRow, ServiceRow, TaskRow};
use explain::{Answer, Question};
use fabric::Fabric;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use gateway::server::{full, plain};
use gateway::{Body, Extra, Origin};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use store::Store;
use tokio::task::block_in_place;

/// Answers requests under `/_windtunnel/`.
pub(crate) struct Admin {
    beacon: Beacon,
    listen: SocketAddr,
    store: Store,
    fabric: Arc<Fabric>,
    verdicts: Arc<Verdicts>,
    tasks: ecs::Control,
}

/// Where it is posted whose verdicts are to be followed.
pub(crate) const TRACE: &str = "/_windtunnel/trace";
/// Where it is posted which task of Fargate Spot is to be interrupted.
pub(crate) const INTERRUPT: &str = "/_windtunnel/interrupt";
/// Where questions about paths are posted.
pub(crate) const EXPLAIN_PATH: &str = "/_windtunnel/explain/path";

impl Admin {
    /// The pages of the server that `beacon` describes.
    pub(crate) fn new(
        beacon: Beacon,
        listen: SocketAddr,
        store: Store,
        fabric: Arc<Fabric>,
        verdicts: Arc<Verdicts>,
        tasks: ecs::Control,
    ) -> Self {
        Self { beacon, listen, store, fabric, verdicts, tasks }
    }

    fn status(&self) -> Value {
        let view = self.store.view();
        json!({
            "status": "running",
            "version": env!("CARGO_PKG_VERSION"),
            "endpoint": self.beacon.endpoint,
            "dataDir": self.beacon.data_dir,
            "pid": self.beacon.pid,
            "publicAddressesRouted": self.beacon.routed,
            "unenforcedLimits": self.beacon.unenforced_limits,
            "internet": self.beacon.internet,
            "resources": {
                "clusters": view.scan_all::<ClusterRow>().filter(|(_, row)| row.active).count(),
                "services": view.scan_all::<ServiceRow>().filter(|(_, row)| row.deleted_at.is_none()).count(),
                "tasks": view.scan_all::<TaskRow>().filter(|(_, row)| row.stopped_at.is_none()).count(),
                "repositories": view.count::<ecr::rows::Repository>(),
                "loadBalancers": view.count::<elb::rows::LoadBalancer>(),
                "vpcs": view.count::<vpc::rows::Vpc>(),
                "networkInterfaces": view.count::<vpc::rows::NetworkInterface>(),
                "roles": view.count::<iam::rows::Role>(),
            },
            "reach": elb::query::reaches(&view).iter().map(|reach| json!({
                "loadBalancer": reach.load_balancer,
                "dnsName": reach.dns_name,
                "listener": format!("{}:{}", reach.protocol, reach.port),
                "url": reach.url(),
            })).collect::<Vec<_>>(),
        })
    }
}

/// A question about a path, as the command line posts it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PathQuestion {
    from: String,
    to: String,
    protocol: Option<String>,
    #[serde(default)]
    probe: bool,
}

/// Which task is to be interrupted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Interruption {
    task: String,
}

/// A question's longest body. Two ARNs fit in.
const LONGEST: usize = 16 * 1024;

impl Admin {
    async fn explain_path(&self, request: Request<Incoming>) -> Response<Body> {
        let PathQuestion { from, to, protocol, probe } = match question(request).await {
            Ok(question) => question,
            Err(refusal) => return refusal,
        };
        let answer = match Question::parse(&from, &to, protocol.as_deref()) {
            Err(error) => Err(error),
            Ok(question) if probe => explain::probe::answer(&question, &self.store, &self.fabric).await,
            // Walks through a large network take a while, and other requests go on meanwhile.
            Ok(question) => block_in_place(|| Answer::to(&question, &self.store.view(), self.fabric.ground())),
        };
        answer.map_or_else(|error| refused(&error), |answer| json_page(&json!(answer)))
    }

    async fn interrupt(&self, request: Request<Incoming>) -> Response<Body> {
        let Interruption { task } = match question(request).await {
            Ok(interruption) => interruption,
            Err(refusal) => return refusal,
        };
        match ecs::spot::interrupt(&self.tasks, &task).await {
            Ok(arn) => json_page(&json!({ "taskArn": arn })),
            Err(why @ ecs::spot::Refusal::NotFound(_)) => plain(StatusCode::NOT_FOUND, format!("{why}\n")),
            Err(why) => plain(StatusCode::CONFLICT, format!("{why}\n")),
        }
    }

    async fn trace(&self, request: Request<Incoming>) -> Response<Body> {
        match question(request).await.map(|wanted| self.verdicts.follow(wanted)) {
            Ok(Ok(body)) => {
                let mut response = Response::new(body);
                let lines = HeaderValue::from_static("application/x-ndjson");
                response.headers_mut().insert(header::CONTENT_TYPE, lines);
                response
            }
            Ok(Err(error)) => refused(&error),
            Err(refusal) => refusal,
        }
    }

    /// Whether somebody on this machine asks: the network's rules are nobody else's business, and nobody signs here.
    fn is_near(&self, peer: SocketAddr) -> bool {
        let peer = peer.ip().to_canonical();
        peer.is_loopback() || peer == self.listen.ip().to_canonical()
    }
}

/// What was posted, or the answer to what cannot be read.
async fn question<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, Response<Body>> {
    let Ok(body) = Limited::new(request.into_body(), LONGEST).collect().await else {
        return Err(plain(StatusCode::BAD_REQUEST, "the question is too long, or broke off\n"));
    };
    serde_json::from_slice(&body.to_bytes())
        .map_err(|error| plain(StatusCode::BAD_REQUEST, format!("not a question: {error}\n")))
}

fn refused(error: &explain::Error) -> Response<Body> {
    let status = match error {
        explain::Error::NotFound { .. } => StatusCode::NOT_FOUND,
        _ => StatusCode::BAD_REQUEST,
    };
    plain(status, format!("{error}\n"))
}

fn json_page(value: &Value) -> Response<Body> {
    let mut response = Response::new(full(format!("{value}\n")));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

impl Extra for Admin {
    fn takes(&self, _: &str, path: &str) -> bool {
        path.starts_with("/_windtunnel/")
    }

    fn service(&self) -> Option<&'static str> {
        None
    }

    fn answer(&self, request: Request<Incoming>, origin: Origin) -> BoxFuture<'_, Response<Body>> {
        let response = match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/_windtunnel/status") => json_page(&self.status()),
            (_, "/_windtunnel/status") => plain(StatusCode::METHOD_NOT_ALLOWED, "GET only\n"),
            (_, EXPLAIN_PATH | INTERRUPT | TRACE) if !self.is_near(origin.peer) => {
                plain(StatusCode::FORBIDDEN, "only for those on the server's own machine\n")
            }
            (&Method::POST, EXPLAIN_PATH) => return self.explain_path(request).boxed(),
            (&Method::POST, INTERRUPT) => return self.interrupt(request).boxed(),
            (&Method::POST, TRACE) => return self.trace(request).boxed(),
            (_, EXPLAIN_PATH | INTERRUPT | TRACE) => plain(StatusCode::METHOD_NOT_ALLOWED, "POST only\n"),
            _ => plain(
                StatusCode::NOT_FOUND,
                "no such page; there are /_windtunnel/status, /_windtunnel/explain/path, /_windtunnel/interrupt and \
                 /_windtunnel/trace\n",
            ),
        };
        async move { response }.boxed()
    }
}
