//! Signing: for our own clients and tests.

use super::authorization::CredentialScope;
use super::canonical::{self, Style};
use super::verify::signature;
use super::{ALGORITHM, Authorization, Parts, Secret, date};
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::fmt::Write;
use std::time::Duration;
use types::Timestamp;

/// Signs requests of one set of credentials to one service in one region.
#[derive(Clone)]
pub struct Signer {
    /// The access key id.
    pub access_key: String,
    /// What it signs with.
    pub secret: Secret,
    /// `us-east-1`.
    pub region: String,
    /// `ecs`.
    pub service: String,
}

impl Signer {
    /// Adds `x-amz-date`, the session token and `authorization` to `headers`, which must already have `host`.
    ///
    /// Covers `host`, `content-type` and every `x-amz-` header. Fails only where a header's text is not ASCII.
    pub fn sign(
        &self,
        method: &str,
        path: &str,
        query: &str,
        headers: &mut HeaderMap,
        payload_hash: &str,
        now: Timestamp,
    ) -> Option<()> {
        let mut claims = self.claims(now, None);
        headers.insert(HeaderName::from_static("x-amz-date"), HeaderValue::from_str(&claims.at_text).ok()?);
        if let Some(token) = &self.secret.token {
            headers.insert(HeaderName::from_static("x-amz-security-token"), HeaderValue::from_str(token).ok()?);
        }
        let covered =
            |name: &&HeaderName| **name == HOST || *name == "content-type" || name.as_str().starts_with("x-amz-");
        claims.signed_headers = headers.keys().filter(covered).map(ToString::to_string).collect();
        claims.signed_headers.sort_unstable();
        let parts = Parts { method, path, query, headers, payload_hash };
        let style = Style::of(&self.service, false);
        let canonical =
            canonical::request(&parts, &style, &claims.signed_headers, canonical::payload(&parts, &style)?)?;
        let signed = claims.signed_headers.join(";");
        let signature = signature(&claims, &canonical, &self.secret.key);
        let text = format!(
            "{ALGORITHM} Credential={}, SignedHeaders={signed}, Signature={signature}",
            self.credential(&claims)
        );
        headers.insert(AUTHORIZATION, HeaderValue::from_str(&text).ok()?);
        Some(())
    }

    /// The query string of a presigned `GET` of `path` on `host`, which holds for `expires`.
    pub fn presign(&self, host: &str, path: &str, query: &str, expires: Duration, now: Timestamp) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_str(host).ok()?);
        let claims = self.claims(now, Some(expires.as_secs()));
        let mut out = query.to_owned();
        let mut add = |name: &str, value: &str| {
            let separator = if out.is_empty() { "" } else { "&" };
            let _ = write!(out, "{separator}{name}=");
            canonical::escape(&mut out, value.as_bytes());
        };
        add("X-Amz-Algorithm", ALGORITHM);
        add("X-Amz-Credential", &self.credential(&claims));
        add("X-Amz-Date", &claims.at_text);
        add("X-Amz-Expires", &expires.as_secs().to_string());
        add("X-Amz-SignedHeaders", "host");
        if let Some(token) = &self.secret.token {
            add("X-Amz-Security-Token", token);
        }
        let empty = super::payload_hash(b"");
        let parts = Parts { method: "GET", path, query: &out, headers: &headers, payload_hash: &empty };
        let style = Style::of(&self.service, true);
        let canonical =
            canonical::request(&parts, &style, &claims.signed_headers, canonical::payload(&parts, &style)?)?;
        let signature = signature(&claims, &canonical, &self.secret.key);
        let _ = write!(out, "&X-Amz-Signature={signature}");
        Some(out)
    }

    fn credential(&self, claims: &Authorization) -> String {
        let CredentialScope { date, region, service } = &claims.scope;
        format!("{}/{date}/{region}/{service}/aws4_request", self.access_key)
    }

    fn claims(&self, now: Timestamp, expires: Option<u64>) -> Authorization {
        let at_text = date::basic(now);
        let scope = CredentialScope {
            date: at_text[..8].to_owned(),
            region: self.region.clone(),
            service: self.service.clone(),
        };
        Authorization {
            access_key: self.access_key.clone(),
            scope,
            session_token: self.secret.token.clone(),
            signed_headers: vec!["host".to_owned()],
            signature: [0; 32],
            at: now,
            at_text,
            expires,
        }
    }
}
