//! AWS Signature Version 4: who signed a request, whether rightly, and how to sign one.
//!
//! A verifier's way: [`Authorization::find`] reads what the request claims; the caller looks the access key up; then
//! [`Verifier::verify`] computes the signature anew. Source: AWS, "Signature Version 4 for API requests".

mod authorization;
mod canonical;
mod date;
mod error;
mod keys;
mod sign;
mod verify;

pub use authorization::{Authorization, CredentialScope};
pub use error::SignatureError;
pub use sign::Signer;
pub use verify::Verifier;

use http::HeaderMap;
use sha2::{Digest, Sha256};

/// The parts of a request that a signature covers.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// `POST`.
    pub method: &'a str,
    /// The path as it came, percent-encoded.
    pub path: &'a str,
    /// The query string as it came, without the question mark.
    pub query: &'a str,
    /// The headers. Over HTTP/2 the caller adds `host` from `:authority`.
    pub headers: &'a HeaderMap,
    /// The body's SHA-256 in lower-case hexadecimal: [`payload_hash`].
    pub payload_hash: &'a str,
}

impl<'a> Parts<'a> {
    /// The header `name` if it is there and readable.
    fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// A secret access key, and the session token that must come with it where the credentials are temporary.
#[derive(Clone)]
pub struct Secret {
    /// The secret access key.
    pub key: String,
    /// The session token of temporary credentials.
    pub token: Option<String>,
}

/// The SHA-256 of `body` in lower-case hexadecimal.
pub fn payload_hash(body: &[u8]) -> String {
    hex::encode(Sha256::digest(body))
}

/// The algorithm's name, as it stands in headers and strings to sign.
const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// What stands for the body's hash where the body is not signed.
const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";
