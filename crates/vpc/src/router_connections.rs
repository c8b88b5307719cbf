//! Connections to a socket in a VPC's router: how many at a time, how long each may take, and how they end with the socket.
//!
//! What they say is the caller's affair; where the socket comes from is [`router_sockets`](crate::router_sockets)'s.

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// How long a request's head may take.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);

/// Hands each connection, with the peer's address, to `serve`; `most` are served at a time, and the next ones wait. The
/// connections end with this future, so that aborting it frees the router.
pub async fn serve_each<F>(listener: TcpListener, most: usize, serve: impl Fn(TcpStream, SocketAddr) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(most));
    let mut connections = JoinSet::new();
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(_) => continue,
            },
            Some(_) = connections.join_next() => continue,
        };
        let served = serve(stream, peer);
        connections.spawn(async move {
            served.await;
            drop(permit);
        });
    }
}

/// Answers HTTP requests on a connection until either side has enough.
pub async fn speak_http<S>(stream: TcpStream, service: S)
where
    S: Service<Request<Incoming>, Response = Response<Full<Bytes>>, Error = Infallible>,
{
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    // A client that goes away harms nobody.
    let _ = connection.await;
}
