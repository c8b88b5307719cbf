//! Whether a request was signed with a secret.

use super::canonical::{self, Style};
use super::keys::{self, Cache};
use super::{ALGORITHM, Authorization, Parts, Secret, SignatureError, date};
use hmac::Mac;
use sha2::{Digest, Sha256};
use std::time::Duration;
use types::Timestamp;

/// How far a client's clock may be off.
const SKEW: Duration = Duration::from_secs(5 * 60);

/// Verifies signatures, and remembers signing keys. One serves all threads.
#[derive(Default)]
pub struct Verifier {
    keys: Cache,
}

impl Verifier {
    /// Whether `authorization`, found in the request of `parts`, was made with `secret` and holds at `now`.
    pub fn verify(
        &self,
        authorization: &Authorization,
        parts: &Parts<'_>,
        secret: &Secret,
        now: Timestamp,
    ) -> Result<(), SignatureError> {
        if secret.token.is_some() && secret.token != authorization.session_token {
            return Err(SignatureError::UnknownKey);
        }
        let presigned = parts.header("authorization").is_none();
        let style = Style::of(&authorization.scope.service, presigned);
        let payload = canonical::payload(parts, &style).ok_or(SignatureError::Mismatch)?;
        let canonical = canonical::request(parts, &style, &authorization.signed_headers, payload)
            .ok_or(SignatureError::Mismatch)?;
        let key = self.keys.key(&secret.key, &authorization.scope);
        let mac = keys::mac(&key, string_to_sign(authorization, &canonical).as_bytes());
        // Compares in constant time.
        mac.verify_slice(&authorization.signature).map_err(|_| SignatureError::Mismatch)?;
        current(authorization, now)
    }
}

fn string_to_sign(authorization: &Authorization, canonical: &str) -> String {
    let scope = &authorization.scope;
    let (date, region, service) = (&scope.date, &scope.region, &scope.service);
    let hash = hex::encode(Sha256::digest(canonical));
    format!("{ALGORITHM}\n{}\n{date}/{region}/{service}/aws4_request\n{hash}", authorization.at_text)
}

/// Whether the signature is neither too old nor from the future.
fn current(authorization: &Authorization, now: Timestamp) -> Result<(), SignatureError> {
    let (at, at_text) = (authorization.at, &authorization.at_text);
    let now_text = date::basic(now);
    let latest = now.plus(SKEW);
    if at > latest {
        let latest = date::basic(latest);
        let text = format!("Signature not yet current: {at_text} is still later than {latest} ({now_text} + 5 min.)");
        return Err(SignatureError::NotYetCurrent(text));
    }
    if let Some(seconds) = authorization.expires {
        let end = at.plus(Duration::from_secs(seconds));
        if now > end {
            let text = format!("Signature expired: {} is now earlier than {now_text}", date::basic(end));
            return Err(SignatureError::Expired(text));
        }
        return Ok(());
    }
    if now.since(at) > SKEW {
        let earliest = date::basic(Timestamp(now.0.saturating_sub(SKEW.as_millis() as i64)));
        let text = format!("Signature expired: {at_text} is now earlier than {earliest} ({now_text} - 5 min.)");
        return Err(SignatureError::Expired(text));
    }
    Ok(())
}

/// The signature of a canonical request. For the signer.
pub(super) fn signature(authorization: &Authorization, canonical: &str, secret: &str) -> String {
    let key = keys::derive(secret, &authorization.scope);
    hex::encode(keys::mac(&key, string_to_sign(authorization, canonical).as_bytes()).finalize().into_bytes())
}
