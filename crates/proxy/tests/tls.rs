//! HTTPS: certificates by name, HTTP/2, and targets that speak TLS themselves.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use routing::config::Protocol;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use std::sync::{Arc, Mutex};
use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Takes any certificate and remembers it.
#[derive(Debug, Default)]
struct Remember(Mutex<Vec<u8>>);

impl ServerCertVerifier for Remember {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.0.lock().unwrap() = certificate.to_vec();
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

async fn connect(port: u16, name: &str, alpn: &[&str]) -> (tokio_rustls::client::TlsStream<TcpStream>, Vec<u8>) {
    let remember = Arc::new(Remember::default());
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&remember) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    let certificate = remember.0.lock().unwrap().clone();
    (stream, certificate)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_certificate_follows_the_name_that_is_asked_for() {
    let mut rig = Rig::start().await;
    let port = free_port().await;
    let front = https(port, &[&["default.test"], &["*.wild.test"], &["a.wild.test"]], fixed(200, "secret"));
    let of = |at: usize| {
        use rustls::pki_types::pem::PemObject;
        CertificateDer::from_pem_slice(front.certificates[at].chain_pem.as_bytes()).unwrap().to_vec()
    };
    let expected = [
        ("default.test", of(0)),
        ("unknown.test", of(0)),
        ("b.wild.test", of(1)),
        ("A.wild.test", of(2)),
        ("x.b.wild.test", of(0)),
    ];
    rig.apply(vec![balancer(vec![front])], vec![]).await;
    for (name, certificate) in expected {
        let (mut stream, got) = connect(port, name, &["http/1.1"]).await;
        assert!(got == certificate, "{name} was shown another certificate");
        stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\nsecret"), "{text}");
    }
    // a certificate without its key is told, and takes nothing else down
    let mut broken = https(free_port().await, &[&["x.test"]], fixed(200, "x"));
    broken.certificates[0].key_pem = "nonsense".to_owned();
    let whole = listener(free_port().await, fixed(200, "plain"));
    let plain = whole.port;
    rig.apply(vec![balancer(vec![broken, whole])], vec![]).await;
    let failures = rig.seen.borrow().failures.clone();
    assert!(failures.len() == 1 && failures[0].error.contains("private key"), "{failures:?}");
    assert_eq!(get(plain, "/").await.1, "plain");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_clients_are_served_from_http1_targets() {
    let mut rig = Rig::start().await;
    let echo = Backend::with(|mut peer, head| async move {
        if head.contains("/cookies") {
            let cookie = field(&head, "cookie").unwrap_or_default();
            peer.send(&format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: keep-alive\r\n\r\n{cookie}",
                cookie.len()
            ))
            .await;
            return Some(peer);
        }
        let body = peer.body(&head).await;
        peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        for part in body.chunks(60_000) {
            peer.send(&format!("{:x}\r\n", part.len())).await;
            peer.stream.write_all(part).await.unwrap();
            peer.send("\r\n").await;
        }
        peer.send("0\r\n\r\n").await;
        Some(peer)
    })
    .await;
    let port = free_port().await;
    let mut front = https(port, &[&["h2.test"]], forward("g"));
    front.rules =
        vec![rule(1, vec![routing::config::Condition::PathPattern(vec!["/none".to_owned()])], forward("empty"))];
    rig.serve(vec![balancer(vec![front])], vec![group("g", &[echo.address]), group("empty", &[])]).await;
    let (stream, _) = connect(port, "h2.test", &["h2", "http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (send, connection) =
        hyper::client::conn::http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let ask = |path: &str, body: Vec<u8>| {
        let mut send = send.clone();
        let method = if body.is_empty() { "GET" } else { "POST" };
        let request = http::Request::builder().method(method).uri(format!("https://h2.test{path}"));
        let request =
            request.header("cookie", "a=1").header("cookie", "b=2").body(Full::new(Bytes::from(body))).unwrap();
        async move {
            let answer = send.send_request(request).await.unwrap();
            let (parts, body) = answer.into_parts();
            (parts, body.collect().await.unwrap().to_bytes())
        }
    };
    let mut all = tokio::task::JoinSet::new();
    for size in [0usize, 10, 10_000, 1_000_000] {
        for _ in 0..5 {
            let body: Vec<u8> = (0..size).map(|at| (at % 253) as u8).collect();
            let asking = ask("/echo", body.clone());
            all.spawn(async move {
                let (parts, got) = asking.await;
                assert_eq!(parts.status, 200);
                assert!(got == body, "{size} became {}", got.len());
            });
        }
    }
    while let Some(done) = all.join_next().await {
        done.unwrap();
    }
    assert_eq!(ask("/cookies", vec![]).await.1, "a=1; b=2");
    let (parts, body) = ask("/none", vec![]).await;
    assert_eq!((parts.status.as_u16(), body.len()), (503, 162));
    assert_eq!(parts.headers["server"], "awselb/2.0");
    let head = &echo.heads()[0];
    assert_eq!(field(head, "host").as_deref(), Some(format!("h2.test:{port}").as_str()));
    assert_eq!(field(head, "x-forwarded-proto").as_deref(), Some("https"));
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn targets_may_speak_tls_with_any_certificate() {
    let mut rig = Rig::start().await;
    let made = rcgen::generate_simple_self_signed(vec!["whatever".to_owned()]).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], made.signing_key.serialize_der().try_into().unwrap())
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = server.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while let Ok(1..) = stream.read(&mut buffer).await {
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsealed").await.unwrap();
                }
            });
        }
    });
    let port = free_port().await;
    let mut targets = group("g", &[address]);
    targets.protocol = Protocol::Https;
    targets.health_check.protocol = Protocol::Https;
    rig.serve(vec![balancer(vec![listener(port, forward("g"))])], vec![targets]).await;
    for _ in 0..3 {
        assert_eq!(get(port, "/").await.1, "sealed");
    }
    task.abort();
    rig.stop().await;
}
