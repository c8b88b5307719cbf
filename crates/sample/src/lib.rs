//! The HTTP service that `windtunnel demo` packs into images and runs: a small application as users write them.
//!
//! It listens on `$PORT` (3000), answers `GET /health`, says who it is under `/api/`, learns its task from the metadata
//! endpoint as an application on AWS does, logs one line a request, and finishes open requests when told to stop. It
//! knows nothing of the rest of the project. The image's entry point is the `windtunnel` executable itself.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};

/// How long requests that are open at SIGTERM may still take.
const GRACE: Duration = Duration::from_secs(20);

struct Service {
    name: String,
    task: Option<Value>,
    served: AtomicU64,
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// If the port cannot be opened or a signal handler cannot be set.
pub fn main() -> std::io::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve())
}

async fn serve() -> std::io::Result<()> {
    let name = std::env::var("SERVICE_NAME").unwrap_or_else(|_| "sample".to_owned());
    let port = std::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(3000);
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await?;
    let task = task_metadata().await;
    println!("{name} listens on port {port}");
    let service = Arc::new(Service { name, task, served: AtomicU64::new(0) });
    let graceful = GracefulShutdown::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let service = service.clone();
                let connection = hyper::server::conn::http1::Builder::new().timer(TokioTimer::new()).serve_connection(
                    TokioIo::new(stream),
                    service_fn(move |request| {
                        let service = service.clone();
                        async move { Ok::<_, Infallible>(service.answer(&request)) }
                    }),
                );
                let watched = graceful.watch(connection);
                tokio::spawn(async move { drop(watched.await) });
            }
            _ = term.recv() => break,
            _ = int.recv() => break,
        }
    }
    println!("{} stops", service.name);
    drop(tokio::time::timeout(GRACE, graceful.shutdown()).await);
    Ok(())
}

impl Service {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        if path == "/health" {
            return reply(StatusCode::OK, &json!({ "status": "ok" }));
        }
        let (status, body) = if !path.starts_with("/api/") {
            (StatusCode::NOT_FOUND, json!({ "error": "not found", "service": self.name }))
        } else if matches!(*request.method(), Method::GET | Method::HEAD) {
            (StatusCode::OK, self.describe(path, request))
        } else {
            (StatusCode::METHOD_NOT_ALLOWED, json!({ "error": "method not allowed", "service": self.name }))
        };
        println!("{} {path} {}", request.method(), status.as_u16());
        reply(status, &body)
    }

    fn describe(&self, path: &str, request: &Request<Incoming>) -> Value {
        let of_task = |key: &str| self.task.as_ref().and_then(|task| task.get(key)).cloned();
        json!({
            "service": self.name,
            "path": path,
            "task": of_task("TaskARN"),
            "zone": of_task("AvailabilityZone"),
            "revision": of_task("Revision"),
            "environment": std::env::var("NODE_ENV").ok(),
            // Whether the secret arrived; never what it says.
            "databaseUrl": if std::env::var_os("DATABASE_URL").is_some() { "set" } else { "not set" },
            "client": request.headers().get("x-forwarded-for").and_then(|value| value.to_str().ok()),
            "served": self.served.fetch_add(1, Ordering::Relaxed) + 1,
        })
    }
}

fn reply(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(format!("{body}\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

/// What the task metadata endpoint (version 4) says of this task; nothing where there is none.
async fn task_metadata() -> Option<Value> {
    let uri: http::Uri = format!("{}/task", std::env::var("ECS_CONTAINER_METADATA_URI_V4").ok()?).parse().ok()?;
    let host = uri.host()?.to_owned();
    let ask = async {
        let stream = TcpStream::connect((host.as_str(), uri.port_u16().unwrap_or(80))).await.ok()?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(connection);
        let request = Request::get(uri.path()).header(header::HOST, host.as_str()).body(Empty::<Bytes>::new()).ok()?;
        let answer = sender.send_request(request).await.ok()?;
        let body = answer.into_body().collect().await.ok()?.to_bytes();
        serde_json::from_slice(&body).ok()
    };
    tokio::time::timeout(Duration::from_secs(2), ask).await.ok().flatten()
}
