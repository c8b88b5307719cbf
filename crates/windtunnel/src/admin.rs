//! `/_windtunnel/`: what AWS's API has no words for. So far: whether the server is well, and what it holds.

use crate::daemon::Beacon;
use ecs::rows::{ClusterRow, ServiceRow, TaskRow};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use gateway::server::{full, plain};
use gateway::{Body, Extra};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use serde_json::{Value, json};
use std::net::SocketAddr;
use store::Store;

/// Answers requests under `/_windtunnel/`.
pub(crate) struct Admin {
    beacon: Beacon,
    store: Store,
}

impl Admin {
    /// The pages of the server that `beacon` describes.
    pub(crate) fn new(beacon: Beacon, store: Store) -> Self {
        Self { beacon, store }
    }

    fn status(&self) -> Value {
        let view = self.store.view();
        json!({
            "status": "running",
            "version": env!("CARGO_PKG_VERSION"),
            "endpoint": self.beacon.endpoint,
            "dataDir": self.beacon.data_dir,
            "pid": self.beacon.pid,
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
        })
    }
}

impl Extra for Admin {
    fn takes(&self, path: &str) -> bool {
        path.starts_with("/_windtunnel/")
    }

    fn answer(&self, request: Request<Incoming>, _: SocketAddr) -> BoxFuture<'_, Response<Body>> {
        let response = match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/_windtunnel/status") => {
                let mut response = Response::new(full(format!("{}\n", self.status())));
                response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
                response
            }
            (_, "/_windtunnel/status") => plain(StatusCode::METHOD_NOT_ALLOWED, "GET only\n"),
            _ => plain(StatusCode::NOT_FOUND, "no such page; there is /_windtunnel/status\n"),
        };
        async move { response }.boxed()
    }
}
