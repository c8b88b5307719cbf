//! TLS of both sides: certificates chosen by SNI towards clients, none verified towards targets (as ALB).

use routing::config::{Certificate, Listener};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme, SupportedProtocolVersion, version};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

/// The TLS settings of an HTTPS listener.
pub(crate) fn server(listener: &Listener, http2: bool) -> Result<Arc<ServerConfig>, String> {
    let resolver = Certificates::new(&listener.certificates)?;
    let versions = versions(listener.ssl_policy.as_deref().unwrap_or_default());
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&versions)
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    config.ticketer = ring::Ticketer::new().map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if http2 {
        config.alpn_protocols.insert(0, b"h2".to_vec());
    }
    Ok(Arc::new(config))
}

/// The TLS settings towards targets.
pub(crate) fn client() -> Arc<ClientConfig> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    Arc::clone(CONFIG.get_or_init(|| {
        let provider = provider();
        let verifier = Arc::new(Unverified(provider.signature_verification_algorithms));
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])
            .expect("ring knows both versions")
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        Arc::new(config)
    }))
}

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(ring::default_provider())))
}

/// The versions of a security policy (user guide, "Security policies"). TLS 1.0 and 1.1, which the oldest policies
/// also allow, are not offered.
fn versions(policy: &str) -> Vec<&'static SupportedProtocolVersion> {
    if policy.contains("TLS13-1-3") {
        vec![&version::TLS13]
    } else if policy.contains("TLS13") || policy.is_empty() {
        vec![&version::TLS13, &version::TLS12]
    } else {
        vec![&version::TLS12]
    }
}

/// A listener's certificates by the names that they are good for.
#[derive(Debug)]
struct Certificates {
    default: Arc<CertifiedKey>,
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// By what follows `*.`.
    wildcard: HashMap<String, Arc<CertifiedKey>>,
}

impl Certificates {
    fn new(certificates: &[Certificate]) -> Result<Self, String> {
        let keys = certificates.iter().map(key).collect::<Result<Vec<_>, _>>()?;
        let default = keys.first().ok_or("an HTTPS listener needs a certificate")?;
        let mut this = Self { default: Arc::clone(default), exact: HashMap::new(), wildcard: HashMap::new() };
        for (certificate, key) in certificates.iter().zip(&keys) {
            for name in &certificate.names {
                let name = name.to_ascii_lowercase();
                let (drawer, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut this.wildcard, parent),
                    None => (&mut this.exact, name.as_str()),
                };
                drawer.entry(name.to_owned()).or_insert_with(|| Arc::clone(key));
            }
        }
        Ok(this)
    }

    fn find(&self, name: &str) -> &Arc<CertifiedKey> {
        let name = name.to_ascii_lowercase();
        let parent = name.split_once('.').map(|(_, parent)| parent);
        self.exact.get(&name).or_else(|| self.wildcard.get(parent?)).unwrap_or(&self.default)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(hello.server_name().map_or(&self.default, |name| self.find(name))))
    }
}

fn key(certificate: &Certificate) -> Result<Arc<CertifiedKey>, String> {
    // the errors say what is wrong without showing any of the key
    let arn = &certificate.arn;
    let chain = CertificateDer::pem_slice_iter(certificate.chain_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| format!("{arn}: the certificate is not PEM"))?;
    if chain.is_empty() {
        return Err(format!("{arn}: there is no certificate"));
    }
    let key = PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes())
        .map_err(|_| format!("{arn}: the private key is not PEM"))?;
    let key =
        ring::sign::any_supported_type(&key).map_err(|_| format!("{arn}: the private key is of no known type"))?;
    let certified = CertifiedKey::new(chain, key);
    certified.keys_match().map_err(|_| format!("{arn}: the private key is not the certificate's"))?;
    Ok(Arc::new(certified))
}

/// Takes any certificate: "the load balancer does not validate these certificates" (user guide, "Target groups").
#[derive(Debug)]
struct Unverified(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
