//! 169.254.169.254: serves [`Metadata`] over HTTP in every VPC that has instances.
//!
//! A VPC's router has the address; a listener there sees each instance by its address in the VPC. Whoever asks from an
//! address that is no instance's is refused with a reset, as there is nothing for a task on Fargate.

use super::{Answer, Metadata, Request};
use crate::router_connections;
use crate::router_sockets::RouterService;
use crate::rows::Vpc;
use controller::Key;
use fabric::Fabric;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Response, StatusCode};
use nix::sys::socket::{setsockopt, sockopt};
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use types::id::VpcId;

/// Where instances look for their metadata.
const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)), 80);
/// Connections of one VPC at a time.
const MOST_CONNECTIONS: usize = 512;
/// How many hops answers may go that bring no token.
const USUAL_HOPS: u8 = 64;

const TOKEN: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token");
const TOKEN_TTL: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");
const FORWARDED: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What answers there. Its keys are the VPCs' ids.
pub struct MetadataService(Arc<Metadata>);

impl MetadataService {
    /// Serves `metadata`.
    pub fn new(metadata: Metadata) -> Self {
        Self(Arc::new(metadata))
    }
}

impl RouterService for MetadataService {
    type Sockets = std::net::TcpListener;

    const NAME: &'static str = "vpc.instance-metadata";

    fn wanted(&self, vpc: &Vpc) -> bool {
        self.0.wanted(&vpc.id)
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
        let Some(vpc) = VpcId::parse(&key.id) else { return Ok(Vec::new()) };
        let place = Arc::new(Place { metadata: self.0.clone(), key: key.clone(), vpc });
        Ok(vec![tokio::spawn(serve(listener, place))])
    }
}

/// A VPC in which metadata is served.
struct Place {
    metadata: Arc<Metadata>,
    key: Key,
    vpc: VpcId,
}

async fn serve(listener: TcpListener, place: Arc<Place>) {
    router_connections::serve_each(listener, MOST_CONNECTIONS, |stream, peer| converse(stream, peer, place.clone()))
        .await;
}

async fn converse(stream: TcpStream, peer: SocketAddr, place: Arc<Place>) {
    let IpAddr::V4(peer) = peer.ip() else { return };
    if Metadata::asker(&place.metadata.store.view(), &place.key.scope, &place.vpc, peer).is_none() {
        return reset(&stream);
    }
    let Ok(socket) = stream.as_fd().try_clone_to_owned() else { return };
    let socket = Arc::new(socket);
    let service = service_fn(|request| {
        let (place, socket) = (place.clone(), socket.clone());
        async move { respond(&place, peer, &socket, request).await }
    });
    router_connections::speak_http(stream, service).await;
}

/// Has the connection end with a reset once it is dropped.
fn reset(stream: &TcpStream) {
    let at_once = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    let _ = setsockopt(stream, sockopt::Linger, &at_once);
}

async fn respond(
    place: &Place,
    peer: Ipv4Addr,
    socket: &OwnedFd,
    request: hyper::Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let asked = read(request.method(), request.uri().path(), request.headers());
    let answer = match asked {
        Some(asked) => place.metadata.answer(&place.key.scope, &place.vpc, peer, &asked).await,
        None => Some(Answer::error(405, "Not Allowed")),
    };
    let answer = answer.unwrap_or_else(Answer::not_found);
    // What goes further than the instance itself, such as into a container behind a bridge, is for the limit to say.
    let hops = answer.token.map_or(USUAL_HOPS, |(_, hops)| hops);
    let _ = setsockopt(socket, sockopt::Ipv4Ttl, &i32::from(hops));
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    headers.insert(header::SERVER, HeaderValue::from_static("EC2ws"));
    if let Some((seconds, _)) = answer.token {
        headers.insert(TOKEN_TTL, HeaderValue::from(seconds));
    }
    Ok(response)
}

/// The request, unless it is of a kind that is not answered.
fn read(method: &Method, path: &str, headers: &HeaderMap) -> Option<Request> {
    let put = match *method {
        Method::PUT => true,
        Method::GET | Method::HEAD => false,
        _ => return None,
    };
    // A header that is no text proves nothing, which is another thing than proving nothing at all.
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default().to_owned());
    let forwarded = headers.contains_key(FORWARDED);
    Some(Request { put, path: path.to_owned(), token: text(&TOKEN), ttl: text(&TOKEN_TTL), forwarded })
}
