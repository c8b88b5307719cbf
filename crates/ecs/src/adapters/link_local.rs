//! 169.254.170.2: serves [`Endpoint`] over HTTP in every VPC.
//!
//! A VPC's router has the address; a listener there sees each task by its own address in the VPC. The listeners are this
//! process's: after a restart they are opened again, and applications retry meanwhile, as their SDKs do.

use crate::endpoint::{Answer, Endpoint};
use controller::Key;
use fabric::Fabric;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, header};
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use vpc::router_connections;
use vpc::router_sockets::RouterService;
use vpc::rows::Vpc;

/// Where tasks look for their credentials and metadata.
pub(super) const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)), 80);
/// Connections of one VPC at a time.
const MOST_CONNECTIONS: usize = 512;

/// What answers there. Its keys are the VPCs' ids.
pub struct LinkLocal(Arc<Endpoint>);

impl LinkLocal {
    /// Serves `endpoint`.
    pub fn new(endpoint: Endpoint) -> Self {
        Self(Arc::new(endpoint))
    }
}

impl RouterService for LinkLocal {
    type Sockets = std::net::TcpListener;

    const NAME: &'static str = "ecs-link-local";

    fn wanted(&self, _: &Vpc) -> bool {
        true
    }

    fn addresses(_: &Vpc) -> Vec<SocketAddr> {
        vec![ADDRESS]
    }

    fn bind(fabric: &Fabric, router: &str, _: &[SocketAddr]) -> io::Result<Self::Sockets> {
        let listener = fabric.listen_tcp(router, ADDRESS)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    }

    fn serve(&self, key: &Key, listener: Self::Sockets) -> io::Result<Vec<JoinHandle<()>>> {
        let listener = TcpListener::from_std(listener)?;
        Ok(vec![tokio::spawn(serve(listener, self.0.clone(), key.id.clone()))])
    }
}

async fn serve(listener: TcpListener, endpoint: Arc<Endpoint>, vpc: String) {
    router_connections::serve_each(listener, MOST_CONNECTIONS, |stream, peer| {
        let (endpoint, vpc) = (endpoint.clone(), vpc.clone());
        async move {
            let IpAddr::V4(peer) = peer.ip() else { return };
            let service = service_fn(|request| respond(&endpoint, &vpc, peer, request));
            router_connections::speak_http(stream, service).await;
        }
    })
    .await;
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
