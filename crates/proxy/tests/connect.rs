//! Service Connect's sidecars, in network namespaces of their own: who calls an alias gets to whose turn it is.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use routing::ProxyConfig;
use routing::connect::{Destination, Endpoint, InsteadOf, Listener, Mesh, Protocol, Sidecar};
use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::net::{SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Duration;
use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A network namespace with its loopback up; `None` where none may be made.
struct Place {
    _dir: tempfile::TempDir,
    path: PathBuf,
    file: File,
}

impl Place {
    fn new() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("task");
        let file = fabric::netns::make(&path).ok()?;
        Some(Self { _dir: dir, path, file })
    }

    fn listen(&self, address: &str) -> (TcpListener, SocketAddr) {
        let listener = fabric::netns::within_file(&self.file, || TcpListener::bind(address)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    fn connect(&self, address: &str) -> io::Result<tokio::net::TcpStream> {
        let stream = fabric::netns::within_file(&self.file, || TcpStream::connect(address))?;
        stream.set_nonblocking(true)?;
        tokio::net::TcpStream::from_std(stream)
    }

    /// An application that answers each connection with its name, and then with what it is sent.
    fn echo(&self, address: &str, name: &'static str) -> SocketAddr {
        let (listener, address) = self.listen(address);
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    stream.write_all(name.as_bytes()).await?;
                    let (mut read, mut write) = stream.split();
                    tokio::io::copy(&mut read, &mut write).await
                });
            }
        });
        address
    }

    /// An application that answers requests with its name, the path, the body and a header of the proxy's.
    fn web(&self, http2: bool, name: &'static str) -> SocketAddr {
        let (listener, address) = self.listen("127.0.0.1:0");
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let service =
                    hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| async move {
                        let path = request.uri().path().to_owned();
                        if path == "/slow" {
                            tokio::time::sleep(Duration::from_secs(60)).await;
                        }
                        let traced = request.headers().contains_key("x-request-id");
                        let body = request.into_body().collect().await.unwrap().to_bytes();
                        let text = format!("{name} {path} {} {traced}", String::from_utf8_lossy(&body));
                        Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::from(text))))
                    });
                tokio::spawn(async move {
                    let io = TokioIo::new(stream);
                    if http2 {
                        hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                            .serve_connection(io, service)
                            .await
                    } else {
                        hyper::server::conn::http1::Builder::new().serve_connection(io, service).await
                    }
                });
            }
        });
        address
    }

    fn sidecar(&self, listeners: Vec<Listener>) -> Sidecar {
        Sidecar { task: "task".to_owned(), netns: self.path.clone(), listeners }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = nix::mount::umount2(&self.path, nix::mount::MntFlags::MNT_DETACH);
    }
}

/// The alias `127.255.0.1:8080`, which leads to the endpoint `e`.
fn alias(protocol: Protocol) -> Listener {
    let at = |port| SocketAddrV4::new([127, 255, 0, 1].into(), port);
    Listener {
        address: at(61_001),
        instead_of: Some(InsteadOf::Leaving(at(8080))),
        protocol,
        to: Destination::Endpoint("e".to_owned()),
        idle_ms: 60_000,
        request_ms: 1_000,
    }
}

async fn apply(rig: &mut Rig, generation: u64, sidecar: &Sidecar, targets: &[SocketAddr]) {
    let endpoints = vec![Endpoint { arn: "e".to_owned(), targets: targets.to_vec() }];
    let mesh = Mesh { sidecars: vec![sidecar.clone()], endpoints };
    rig.handle.apply(ProxyConfig { generation, mesh, ..ProxyConfig::default() }).await.unwrap();
    rig.until("the mesh in force", |seen| seen.applied >= generation).await;
    assert_eq!(rig.seen.borrow().failures, [], "all listeners could be opened");
}

async fn ask(place: &Place, path: &str, body: &'static str) -> (u16, String) {
    let stream = place.connect("127.255.0.1:8080").unwrap();
    let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(driver);
    answer_of(sender.send_request(request(path, body)).await.unwrap()).await
}

fn request(path: &str, body: &'static str) -> http::Request<Full<Bytes>> {
    let method = if body.is_empty() { "GET" } else { "POST" };
    let body = Full::new(Bytes::from_static(body.as_bytes()));
    http::Request::builder()
        .method(method)
        .uri(format!("http://api:8080{path}"))
        .header("host", "api")
        .body(body)
        .unwrap()
}

async fn answer_of(response: http::Response<hyper::body::Incoming>) -> (u16, String) {
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

async fn greeting(place: &Place, address: &str) -> String {
    let Ok(mut stream) = place.connect(address) else { return "refused".to_owned() };
    let mut text = [0; 3];
    if stream.read_exact(&mut text).await.is_err() {
        return "closed".to_owned();
    }
    stream.write_all(b"echo").await.unwrap();
    let mut back = [0; 4];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"echo");
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_take_turns_and_open_ones_go_on() {
    let Some(place) = Place::new() else {
        eprintln!("SKIPPED: network namespaces need root");
        return;
    };
    let mut rig = Rig::start().await;
    // One of the task's own containers has the alias's port on all addresses, and the proxy is not in its way.
    let own = place.echo("0.0.0.0:8080", "own");
    let (one, two) = (place.echo("127.0.0.1:0", "one"), place.echo("127.0.0.1:0", "two"));
    let sidecar = place.sidecar(vec![alias(Protocol::Tcp)]);
    apply(&mut rig, 1, &sidecar, &[one, two]).await;
    let mut told = Vec::new();
    for _ in 0..4 {
        told.push(greeting(&place, "127.255.0.1:8080").await);
    }
    assert_eq!(told, ["one", "two", "one", "two"]);
    assert_eq!(greeting(&place, &format!("127.0.0.1:{}", own.port())).await, "own");

    let mut open = place.connect("127.255.0.1:8080").unwrap();
    let mut text = [0; 3];
    open.read_exact(&mut text).await.unwrap();
    apply(&mut rig, 2, &sidecar, &[two]).await;
    assert_eq!(greeting(&place, "127.255.0.1:8080").await, "two", "who has gone is asked no more");
    open.write_all(b"more").await.unwrap();
    let mut back = [0; 4];
    open.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"more", "a connection that stands goes on");

    let (nobody, gone) = place.listen("127.0.0.1:0");
    drop(nobody);
    apply(&mut rig, 3, &sidecar, &[gone, two]).await;
    for _ in 0..4 {
        assert_eq!(greeting(&place, "127.255.0.1:8080").await, "two", "whom nobody reaches another stands in for");
    }
    apply(&mut rig, 4, &sidecar, &[]).await;
    assert_eq!(greeting(&place, "127.255.0.1:8080").await, "closed");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_take_turns_and_are_tried_once_more() {
    let Some(place) = Place::new() else {
        eprintln!("SKIPPED: network namespaces need root");
        return;
    };
    let mut rig = Rig::start().await;
    let (one, two) = (place.web(false, "one"), place.web(false, "two"));
    let sidecar = place.sidecar(vec![alias(Protocol::Http)]);
    apply(&mut rig, 1, &sidecar, &[one, two]).await;
    // Over one connection of the client's.
    let stream = place.connect("127.255.0.1:8080").unwrap();
    let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(driver);
    let mut told = Vec::new();
    for body in ["", "body", "", ""] {
        sender.ready().await.unwrap();
        told.push(answer_of(sender.send_request(request("/p", body)).await.unwrap()).await.1);
    }
    assert_eq!(told, ["one /p  true", "two /p body true", "one /p  true", "two /p  true"]);

    let (nobody, gone) = place.listen("127.0.0.1:0");
    drop(nobody);
    apply(&mut rig, 2, &sidecar, &[gone, one]).await;
    for body in ["", "body", "", "body"] {
        assert_eq!(ask(&place, "/", body).await, (200, format!("one / {body} true")), "nobody notices who is gone");
    }
    assert_eq!(ask(&place, "/slow", "").await, (504, "upstream request timeout".to_owned()));
    apply(&mut rig, 3, &sidecar, &[gone]).await;
    let (status, text) = ask(&place, "/", "").await;
    assert_eq!(status, 503);
    assert!(text.starts_with("upstream connect error or disconnect/reset before headers. reset reason: "), "{text}");
    apply(&mut rig, 4, &sidecar, &[]).await;
    assert_eq!(ask(&place, "/", "").await, (503, "no healthy upstream".to_owned()));
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_of_http2_take_turns() {
    let Some(place) = Place::new() else {
        eprintln!("SKIPPED: network namespaces need root");
        return;
    };
    let mut rig = Rig::start().await;
    let (one, two) = (place.web(true, "one"), place.web(true, "two"));
    apply(&mut rig, 1, &place.sidecar(vec![alias(Protocol::Http2)]), &[one, two]).await;
    let stream = place.connect("127.255.0.1:8080").unwrap();
    let (mut sender, driver) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(driver);
    let mut told = Vec::new();
    for body in ["", "body", ""] {
        told.push(answer_of(sender.send_request(request("/p", body)).await.unwrap()).await.1);
    }
    assert_eq!(told, ["one /p  true", "two /p body true", "one /p  true"]);
    apply(&mut rig, 2, &place.sidecar(vec![alias(Protocol::Http2)]), &[]).await;
    let mut grpc = request("/p", "");
    grpc.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
    let answer = sender.send_request(grpc).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["grpc-status"].to_str().unwrap()), (200, "14"));
    rig.stop().await;
}
