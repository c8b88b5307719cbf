//! Signature Version 4: what requests claim, and whether it holds.
//!
//! The data is a request as HTTP/1.1 writes it: request line, headers, an empty line, body.

use http::{HeaderMap, HeaderName, HeaderValue};
use std::sync::LazyLock;
use std::time::Duration;
use types::Timestamp;
use wire::sigv4::{Authorization, Parts, Secret, Signer, Verifier, payload_hash};

/// 2015-08-30T12:36:00Z and the secret of AWS's examples, so that the seeds' signatures hold.
const NOW: Timestamp = Timestamp(1_440_938_160_000);
const KEY: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// One for all runs, so that its cache of keys fills up.
static VERIFIER: LazyLock<Verifier> = LazyLock::new(Verifier::default);

/// Any request is judged; one that we sign passes, and does not once its body is another.
pub fn sigv4(data: &[u8]) {
    let (line, mut rest) = crate::first_line(data);
    let Ok(line) = std::str::from_utf8(line) else { return };
    let (method, target) = line.split_once(' ').unwrap_or(("GET", line));
    let target = target.strip_suffix(" HTTP/1.1").unwrap_or(target);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = HeaderMap::new();
    loop {
        let (line, after) = crate::first_line(rest);
        rest = after;
        if line.is_empty() {
            break;
        }
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (name, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value.trim_ascii()))
            && headers.try_append(name, value).is_err()
        {
            return;
        }
    }

    let hash = payload_hash(rest);
    let secret = Secret { key: KEY.to_owned(), token: None };
    let parts = Parts { method, path, query, headers: &headers, payload_hash: &hash };
    if let Ok(Some(claims)) = Authorization::find(&parts) {
        let first = VERIFIER.verify(&claims, &parts, &secret, NOW);
        assert_eq!(VERIFIER.verify(&claims, &parts, &secret, NOW), first, "the cache of keys changes the verdict");
    }
    signed_by_us(&parts, headers.clone());
    presigned_by_us(path, query);
}

fn signer() -> Signer {
    Signer {
        access_key: "AKIDEXAMPLE".to_owned(),
        secret: Secret { key: KEY.to_owned(), token: Some("token".to_owned()) },
        region: "us-east-1".to_owned(),
        service: "ecs".to_owned(),
    }
}

fn signed_by_us(parts: &Parts<'_>, mut headers: HeaderMap) {
    let signer = signer();
    headers.insert("host", HeaderValue::from_static("localhost:4566"));
    let Parts { method, path, query, payload_hash, .. } = *parts;
    if signer.sign(method, path, query, &mut headers, payload_hash, NOW).is_none() {
        return;
    }
    let verify = |payload_hash: &str| {
        let parts = Parts { method, path, query, headers: &headers, payload_hash };
        let claims = Authorization::find(&parts).ok().flatten().expect("what we sign is signed");
        VERIFIER.verify(&claims, &parts, &signer.secret, NOW)
    };
    assert_eq!(verify(payload_hash), Ok(()), "{method} {path}?{query} {headers:?}");
    let unsigned = headers.get("x-amz-content-sha256").is_some_and(|value| value == "UNSIGNED-PAYLOAD");
    assert!(unsigned || verify(&"0".repeat(64)).is_err(), "another body passes: {headers:?}");
}

fn presigned_by_us(path: &str, query: &str) {
    // Parameters of a signature that are there already are the caller's mistake.
    if query.contains("X-Amz-") {
        return;
    }
    let signer = signer();
    let Some(query) = signer.presign("localhost", path, query, Duration::from_secs(60), NOW) else { return };
    let mut headers = HeaderMap::new();
    headers.insert("host", HeaderValue::from_static("localhost"));
    let empty = payload_hash(b"");
    let parts = Parts { method: "GET", path, query: &query, headers: &headers, payload_hash: &empty };
    let claims = Authorization::find(&parts).ok().flatten().expect("what we presign is signed");
    assert_eq!(VERIFIER.verify(&claims, &parts, &signer.secret, NOW), Ok(()), "{path}?{query}");
}
