//! Signatures: AWS's published test suite, requests that botocore signed, and what must be refused.
//!
//! `data/sigv4-suite.jsonl` holds the signed requests of AWS's Signature Version 4 test suite (those that normalise
//! paths; without the one whose session token is added after signing, which only IoT accepts), a request a line.

use http::{HeaderMap, HeaderName, HeaderValue};
use std::time::Duration;
use types::Timestamp;
use wire::Protocol;
use wire::sigv4::{Authorization, Parts, Secret, SignatureError, Signer, Verifier, payload_hash};

/// 2015-08-30T12:36:00Z.
const THEN: Timestamp = Timestamp(1_440_938_160_000);
const KEY: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

fn text<'a>(case: &'a serde_json::Value, name: &str) -> &'a str {
    case[name].as_str().unwrap_or_default()
}

fn headers(case: &serde_json::Value) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for pair in case["headers"].as_array().expect("headers") {
        let (name, value) = (pair[0].as_str().expect("name"), pair[1].as_str().expect("value"));
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header's name");
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("a header's value"));
    }
    headers
}

fn verify(parts: &Parts<'_>, secret: &Secret, now: Timestamp) -> Result<(), SignatureError> {
    let authorization = Authorization::find(parts)?.ok_or(SignatureError::Missing)?;
    Verifier::default().verify(&authorization, parts, secret, now)
}

#[test]
fn the_published_suite_verifies() {
    let mut wrong = Vec::new();
    for line in include_str!("data/sigv4-suite.jsonl").lines() {
        let case: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let headers = headers(&case);
        let hash = payload_hash(text(&case, "body").as_bytes());
        let parts = Parts {
            method: text(&case, "method"),
            path: text(&case, "path"),
            query: text(&case, "query"),
            headers: &headers,
            payload_hash: &hash,
        };
        let secret = Secret { key: KEY.to_owned(), token: None };
        if let Err(error) = verify(&parts, &secret, THEN) {
            wrong.push((text(&case, "name").to_owned(), error));
        }
        let secret = Secret { key: "another".to_owned(), token: None };
        assert_eq!(verify(&parts, &secret, THEN), Err(SignatureError::Mismatch), "{}", text(&case, "name"));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn signer(token: Option<&str>) -> Signer {
    Signer {
        access_key: "AKIDEXAMPLE".to_owned(),
        secret: Secret { key: KEY.to_owned(), token: token.map(str::to_owned) },
        region: "us-east-1".to_owned(),
        service: "ecs".to_owned(),
    }
}

fn signed(signer: &Signer, body: &[u8]) -> (HeaderMap, String) {
    let mut headers = HeaderMap::new();
    headers.insert("host", HeaderValue::from_static("localhost:4566"));
    headers.insert("content-type", HeaderValue::from_static("application/x-amz-json-1.1"));
    let hash = payload_hash(body);
    signer.sign("POST", "/", "", &mut headers, &hash, THEN).expect("signs");
    (headers, hash)
}

#[test]
fn what_we_sign_we_verify_and_any_change_shows() {
    let signer = signer(Some("token"));
    let (headers, hash) = signed(&signer, b"{}");
    let parts = Parts { method: "POST", path: "/", query: "", headers: &headers, payload_hash: &hash };
    let check = |parts: &Parts<'_>| verify(parts, &signer.secret, THEN);
    assert_eq!(check(&parts), Ok(()));
    let other_body = payload_hash(b"{ }");
    assert_eq!(check(&Parts { payload_hash: &other_body, ..parts }), Err(SignatureError::Mismatch));
    assert_eq!(check(&Parts { path: "/x", ..parts }), Err(SignatureError::Mismatch));
    assert_eq!(check(&Parts { query: "a=b", ..parts }), Err(SignatureError::Mismatch));
    assert_eq!(check(&Parts { method: "GET", ..parts }), Err(SignatureError::Mismatch));
    let mut changed = headers.clone();
    changed.insert("host", HeaderValue::from_static("elsewhere"));
    assert_eq!(check(&Parts { headers: &changed, ..parts }), Err(SignatureError::Mismatch));
    changed.clone_from(&headers);
    changed.insert("x-amz-security-token", HeaderValue::from_static("other"));
    assert_eq!(check(&Parts { headers: &changed, ..parts }), Err(SignatureError::UnknownKey));
}

#[test]
fn a_presigned_request_holds_until_it_expires() {
    let signer = signer(None);
    let query = signer.presign("h", "/a b", "Action=X&Version=1", Duration::from_secs(60), THEN).expect("presigns");
    let mut headers = HeaderMap::new();
    headers.insert("host", HeaderValue::from_static("h"));
    let hash = payload_hash(b"");
    let parts = Parts { method: "GET", path: "/a b", query: &query, headers: &headers, payload_hash: &hash };
    assert_eq!(verify(&parts, &signer.secret, THEN.plus(Duration::from_secs(60))), Ok(()));
    let late = verify(&parts, &signer.secret, THEN.plus(Duration::from_secs(61)));
    assert!(matches!(late, Err(SignatureError::Expired(_))), "{late:?}");
}

#[test]
fn clocks_may_be_off_by_five_minutes() {
    let signer = signer(None);
    let (headers, hash) = signed(&signer, b"");
    let parts = Parts { method: "POST", path: "/", query: "", headers: &headers, payload_hash: &hash };
    let at = |offset: i64| verify(&parts, &signer.secret, Timestamp(THEN.0 + offset * 1000));
    assert_eq!(at(300), Ok(()));
    assert_eq!(at(-300), Ok(()));
    assert_eq!(
        at(301),
        Err(SignatureError::Expired(
            "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T124101Z - 5 min.)"
                .to_owned()
        ))
    );
    assert_eq!(
        at(-301),
        Err(SignatureError::NotYetCurrent(
            "Signature not yet current: 20150830T123600Z is still later than 20150830T123559Z (20150830T123059Z + 5 min.)"
                .to_owned()
        ))
    );
}

#[test]
fn what_is_not_a_signature_is_told_apart() {
    let find = |header: Option<&str>, query: &str| {
        let mut headers = HeaderMap::new();
        if let Some(header) = header {
            headers.insert("authorization", HeaderValue::from_str(header).expect("a header's value"));
            headers.insert("x-amz-date", HeaderValue::from_static("20150830T123600Z"));
        }
        Authorization::find(&Parts { method: "GET", path: "/", query, headers: &headers, payload_hash: "" })
    };
    assert_eq!(find(None, "Action=X"), Ok(None));
    assert_eq!(find(Some("Basic QVdTOng="), ""), Ok(None));
    let sha = "0".repeat(64);
    for (header, part) in [
        ("AWS4-HMAC-SHA256".to_owned(), "'Credential'"),
        ("AWS4-HMAC-SHA256 Credential=a/20150830/r/s/aws4_request, SignedHeaders=host".to_owned(), "'Signature'"),
        (format!("AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature={sha}"), "slash-delimited"),
        (
            format!("AWS4-HMAC-SHA256 Credential=a/20150831/r/s/aws4_request, SignedHeaders=host, Signature={sha}"),
            "does not match",
        ),
        (
            format!("AWS4-HMAC-SHA256 Credential=a/20150830/r/s/aws4_request, SignedHeaders=date, Signature={sha}"),
            "'Host'",
        ),
    ] {
        let error = find(Some(&header), "").expect_err(&header).into_api(Protocol::Json11);
        assert!(error.message.contains(part), "{header}: {error}");
    }
    let short = "AWS4-HMAC-SHA256 Credential=a/20150830/r/s/aws4_request, SignedHeaders=host, Signature=00";
    assert_eq!(find(Some(short), ""), Err(SignatureError::Mismatch));
}

#[test]
fn each_protocol_has_its_own_words() {
    let told = |error: SignatureError, protocol| {
        let error = error.into_api(protocol);
        (error.code, error.status)
    };
    assert_eq!(told(SignatureError::UnknownKey, Protocol::Json11), ("UnrecognizedClientException".to_owned(), 400));
    assert_eq!(told(SignatureError::UnknownKey, Protocol::Query), ("InvalidClientTokenId".to_owned(), 403));
    assert_eq!(told(SignatureError::UnknownKey, Protocol::Ec2), ("AuthFailure".to_owned(), 401));
    assert_eq!(told(SignatureError::Mismatch, Protocol::Query), ("SignatureDoesNotMatch".to_owned(), 403));
}
