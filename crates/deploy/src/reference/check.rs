//! One HTTPS request to the load balancer, as a user's browser would send it.

use super::Deployment;
use crate::Failure;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(15);

pub(super) async fn get(deployment: &Deployment, address: SocketAddr, path: &str) -> Result<String, Failure> {
    let step = format!("GET https://{}{path}", deployment.dns_name);
    let asked = tokio::time::timeout(PATIENCE, ask(deployment, address, path)).await;
    let (status, body) =
        asked.map_err(|_| Failure::new(&step, "no answer in time"))?.map_err(|cause| Failure::new(&step, cause))?;
    let text = String::from_utf8_lossy(&body).trim().to_owned();
    if status == StatusCode::OK { Ok(text) } else { Err(Failure::new(&step, format!("{status} {text}"))) }
}

async fn ask(
    deployment: &Deployment,
    address: SocketAddr,
    path: &str,
) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(deployment.certificate.as_bytes()) {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // The certificate is for the deployment's own domain, which no resolver knows.
    let name = ServerName::try_from(super::DOMAIN)?;
    let stream = TcpStream::connect(address).await?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::get(path).header(header::HOST, &deployment.dns_name).body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    Ok((status, answer.into_body().collect().await?.to_bytes()))
}
