//! What a real SDK sends: `data/requests.jsonl` holds requests as botocore 1.43 made and signed them, a request a line,
//! with the parameters that they were made from. Each must verify, decode to just those parameters, and pass validation.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use model::SERVICES;
use serde_json::{Value as Json, json};
use types::Timestamp;
use wire::schema::{Kind, Schema};
use wire::sigv4::{Authorization, Parts, Secret, Verifier, payload_hash};
use wire::{Protocol, Value, decode, validate};

/// The JSON that botocore's user would write for `value`.
fn parameters(schema: &'static Schema, value: &Value) -> Json {
    match (value, &schema.kind) {
        (Value::Boolean(value), _) => json!(value),
        (Value::Integer(value), _) => json!(value),
        (Value::Double(value), _) => json!(value),
        (Value::String(value), _) => json!(value),
        (Value::Blob(value), _) => json!(STANDARD.encode(value)),
        (Value::Timestamp(value), _) => json!(value.seconds()),
        (Value::Document(value), _) => value.clone(),
        (Value::List(items), Kind::List(list)) => items.iter().map(|item| parameters(list.member, item)).collect(),
        (Value::Map(entries), Kind::Map(map)) => {
            entries.iter().map(|(key, value)| (key.clone(), parameters(map.value, value))).collect()
        }
        (Value::Structure(present), Kind::Structure(members)) => present
            .iter()
            .map(|(at, value)| (members[*at].name.to_owned(), parameters(members[*at].schema, value)))
            .collect(),
        (value, _) => panic!("{value:?} does not fit {}", schema.name),
    }
}

fn text<'a>(case: &'a Json, name: &str) -> &'a str {
    case[name].as_str().unwrap_or_default()
}

#[test]
fn requests_of_botocore_verify_and_decode() {
    for line in include_str!("data/requests.jsonl").lines() {
        let case: Json = serde_json::from_str(line).expect("JSON");
        let protocol = match text(&case, "protocol") {
            "json" => Protocol::Json11,
            "query" => Protocol::Query,
            "ec2" => Protocol::Ec2,
            "smithy-rpc-v2-cbor" => Protocol::Cbor,
            other => panic!("no protocol {other}"),
        };
        let name = format!("{}:{} {protocol:?}", text(&case, "service"), text(&case, "operation"));
        let body = STANDARD.decode(text(&case, "body")).expect("base64");

        let mut headers = HeaderMap::new();
        for pair in case["headers"].as_array().expect("headers") {
            let header = HeaderName::from_bytes(pair[0].as_str().unwrap_or_default().as_bytes());
            let value = HeaderValue::from_str(pair[1].as_str().expect("a value")).expect("a header's value");
            headers.append(header.expect("a header's name"), value);
        }
        let hash = payload_hash(&body);
        let parts = Parts {
            method: "POST",
            path: text(&case, "path"),
            query: text(&case, "query"),
            headers: &headers,
            payload_hash: &hash,
        };
        let authorization = Authorization::find(&parts).expect("is whole").expect("is signed");
        assert_eq!(authorization.access_key, "AKIDEXAMPLE");
        let token = Some("a/session+token==".to_owned());
        let secret = Secret { key: "secret/with+odd=signs".to_owned(), token };
        // 2026-11-23T09:00:00Z, when they were signed.
        let then = Timestamp(1_795_424_400_000);
        assert_eq!(Verifier::default().verify(&authorization, &parts, &secret, then), Ok(()), "{name}");

        let service = SERVICES.iter().find(|service| service.name == text(&case, "service")).expect("a service");
        assert!(service.signing_names.contains(&authorization.scope.service.as_str()), "{name}");
        let (_, operation) = service.operation(text(&case, "operation")).expect("an operation");
        let input = decode(protocol, operation.input, &body).expect(&name);
        assert_eq!(parameters(operation.input, &input), case["params"], "{name}");
        assert_eq!(validate(service, protocol, operation.input, &input), Ok(()), "{name}");
    }
}
