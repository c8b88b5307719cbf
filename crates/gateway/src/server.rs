//! HTTP in front of the calls: listeners, limits, routing of what is not the AWS API, and an orderly end.
//!
//! One task a connection. A request's body is read whole up to [`MAX_BODY`]; the registry and the like, which stream,
//! are [`Extra`]s and get the request untouched.

use crate::Context;
use crate::call::{Call, Caller, WholeArn};
use crate::door::{Door, Origin};
use crate::identity::Identity;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use tokio::net::TcpListener;
use tokio::sync::watch;
use types::Clock;
use wire::service::Service;

/// The largest body that an API call may have. AWS's own limits lie between 64 KiB and 10 MiB.
pub const MAX_BODY: usize = 10 * 1024 * 1024;

/// How long a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a client may take to send a request's body.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// How long open requests may still take at shutdown.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// A response's body.
pub type Body = BoxBody<Bytes, std::io::Error>;

/// A body that is wholly here.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

/// Something besides the AWS API that the same port answers, such as the registry.
pub trait Extra: Send + Sync + 'static {
    /// Whether requests to this host (without its port) and path are its own.
    fn takes(&self, host: &str, path: &str) -> bool;
    /// The last part of `com.amazonaws.<region>.<service>`, for the VPC endpoints that lead to it. No other one does.
    fn service(&self) -> Option<&'static str>;
    /// Answers one of them.
    fn answer(&self, request: Request<Incoming>, origin: Origin) -> BoxFuture<'_, Response<Body>>;
}

/// The front door with all that it needs. Cheap to clone.
#[derive(Clone)]
pub struct Gateway(Arc<Inner>);

struct Inner {
    caller: Caller,
    extras: Vec<Box<dyn Extra>>,
}

impl Gateway {
    /// A gateway to `services`. The order decides where two share a signing name.
    pub fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        identity: Arc<dyn Identity>,
        services: Vec<Box<dyn Service<Context>>>,
        extras: Vec<Box<dyn Extra>>,
        whole_arn: WholeArn,
    ) -> Self {
        let caller = Caller::new(store, clock, identity, services, whole_arn);
        Self(Arc::new(Inner { caller, extras }))
    }

    /// Accepts connections at `door` until `stop` turns true, then lets open requests end.
    pub async fn serve(self, listener: TcpListener, door: Door, mut stop: watch::Receiver<bool>) {
        let graceful = GracefulShutdown::new();
        let mut builder = auto::Builder::new(TokioExecutor::new());
        // A client that has said all that it will still wants its answer.
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).half_close(true);
        builder.http2().timer(TokioTimer::new()).max_concurrent_streams(128);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, mostly: wait for some to be freed instead of spinning.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            drop(stream.set_nodelay(true));
            let (gateway, origin) = (self.clone(), Origin::new(peer, &door));
            let service = service_fn(move |request| {
                let (gateway, origin) = (gateway.clone(), origin.clone());
                async move { Ok::<_, Infallible>(gateway.answer(request, origin).await) }
            });
            let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
            let watched = graceful.watch(connection);
            tokio::spawn(async move {
                if let Err(error) = watched.await {
                    tracing::debug!(%peer, %error, "a connection ended badly");
                }
            });
        }
        drop(tokio::time::timeout(SHUTDOWN_GRACE, graceful.shutdown()).await);
    }

    async fn answer(&self, request: Request<Incoming>, origin: Origin) -> Response<Body> {
        if from_another_site(request.headers()) {
            let text = "Requests that a web page of another site makes are refused.";
            let error = types::ApiError::new("AccessDenied", text).with_status(403);
            return self.0.caller.refuse(&request.into_parts().0, error);
        }
        if let Some(extra) = self.extra(&request, &origin) {
            // A panic there must not take the connection down without an answer.
            let answer = AssertUnwindSafe(extra.answer(request, origin)).catch_unwind().await;
            return answer.unwrap_or_else(|_| plain(StatusCode::INTERNAL_SERVER_ERROR, "internal error\n"));
        }
        let (mut parts, body) = request.into_parts();
        // HTTP/2 names the host in the URI; signatures cover it as a header.
        if !parts.headers.contains_key(http::header::HOST)
            && let Some(host) = parts.uri.authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok())
        {
            parts.headers.insert(http::header::HOST, host);
        }
        let read = Limited::new(body, MAX_BODY).collect();
        let body = match tokio::time::timeout(BODY_TIMEOUT, read).await {
            Ok(Ok(collected)) => collected.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                return self.0.caller.refuse(
                    &parts,
                    types::ApiError::new(
                        "RequestEntityTooLarge",
                        format!("Request body is larger than {MAX_BODY} bytes."),
                    )
                    .with_status(413),
                );
            }
            Ok(Err(_)) => return plain(StatusCode::BAD_REQUEST, "the request's body broke off\n"),
            Err(_) => {
                return self.0.caller.refuse(&parts, types::ApiError::new(
                    "RequestTimeout",
                    "Your socket connection to the server was not read from or written to within the timeout period.",
                ));
            }
        };
        self.0.caller.call(Call { parts, body, origin }).await
    }

    fn extra(&self, request: &Request<Incoming>, origin: &Origin) -> Option<&dyn Extra> {
        let named = request.headers().get(http::header::HOST).and_then(|value| value.to_str().ok());
        let authority = request.uri().authority().map(http::uri::Authority::as_str).or(named).unwrap_or_default();
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        let leads_there = |extra: &dyn Extra| match origin.endpoint() {
            Some(endpoint) => extra.service() == Some(endpoint.service.as_str()),
            None => true,
        };
        let found = self.0.extras.iter().find(|extra| extra.takes(host, request.uri().path()))?;
        Some(&**found).filter(|extra| leads_there(*extra))
    }
}

/// Whether a browser sends it for a page that is not this server's own. The keys of the account's root are known to
/// everybody, so any page that a user has open could otherwise use the API. Source: W3C, "Fetch Metadata Request Headers".
fn from_another_site(headers: &http::HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let foreign = text("sec-fetch-site").is_some_and(|site| !matches!(site, "same-origin" | "none"));
    let origin = headers.get(http::header::ORIGIN);
    let host = text("host").unwrap_or_default();
    let own = |origin: &HeaderValue| {
        let origin = origin.to_str().ok().and_then(|text| text.split_once("://"));
        origin.is_some_and(|(_, name)| name.eq_ignore_ascii_case(host))
    };
    foreign || origin.is_some_and(|origin| !own(origin))
}

/// A short text answer.
pub fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(full(text));
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
