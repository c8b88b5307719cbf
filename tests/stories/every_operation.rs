//! Every operation that a service of AWS's has is answered: by a result, by an error that its model names, or by a refusal that
//! names the operation. Nothing that is formed as the model says makes the server fail.

use crate::harness::api::{Api, Refused, json_error};
use crate::harness::possible;
use crate::harness::server::Server;
use serde_json::{Map, Value, json};
use std::fs;
use std::path::Path;

/// The services that speak JSON, by the names of their models and of their signatures.
const SERVICES: [(&str, &str); 9] = [
    ("acm", "acm"),
    ("application-autoscaling", "application-autoscaling"),
    ("ecr", "ecr"),
    ("ecs", "ecs"),
    ("events", "events"),
    ("logs", "logs"),
    ("secretsmanager", "secretsmanager"),
    ("servicediscovery", "servicediscovery"),
    ("ssm", "ssm"),
];
/// What any operation may say of its input, and of a part that is not here.
const COMMON: [&str; 3] = ["ValidationException", "InvalidParameterException", "NotImplemented"];
/// Shapes hold themselves; deeper than this nothing is sent.
const DEEPEST: usize = 8;

/// How much of its input an operation is given.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Given {
    Nothing,
    WhatIsRequired,
    Everything,
}

#[test]
fn every_operation_is_answered() {
    if !possible(&[]) {
        return;
    }
    let server = Server::start();
    let api = server.api();
    for (model, signed) in SERVICES {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../models/{model}.json"));
        let model: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let all = model["all"].as_array().unwrap();
        assert!(all.len() > 10, "expected the operations of {signed}, but: {all:?}");
        for operation in all {
            let operation = operation.as_str().unwrap();
            for given in [Given::Nothing, Given::WhatIsRequired, Given::Everything] {
                ask(&api, &model, (signed, operation), given);
            }
        }
    }
    server.leave();
}

fn ask(api: &Api, model: &Value, (service, operation): (&str, &str), given: Given) {
    let known = &model["operations"][operation];
    let input = match known["input"]["shape"].as_str() {
        Some(shape) if given != Given::Nothing => value(model, shape, given, 0),
        _ => json!({}),
    };
    let target = format!("{}.{operation}", model["metadata"]["targetPrefix"].as_str().unwrap());
    let headers = [("x-amz-target", target.as_str()), ("content-type", "application/x-amz-json-1.1")];
    let what = format!("{service}:{operation} with {input}");
    let answer = api.post(service, &headers, input.to_string().as_bytes());
    let answer = answer.unwrap_or_else(|error| panic!("expected an answer to {what}, but: {error}"));
    if answer.status == 200 {
        let body: Result<Value, _> = serde_json::from_slice(&answer.body);
        let is_result = answer.body.is_empty() || body.is_ok_and(|body| body.is_object());
        assert!(!known.is_null() && is_result, "the answer to {what}: {}", answer.text());
        return;
    }
    let Refused { status, code, message } = json_error(&answer);
    let code = code.rsplit('#').next().unwrap_or_default();
    if known.is_null() {
        let names = message.contains(&format!(":{operation}."));
        assert!(status == 501 && code == "NotImplemented" && names, "the answer to {what}: {status} {code} {message}");
        return;
    }
    let modelled = known["errors"].as_array().into_iter().flatten().any(|error| error["shape"] == code);
    let is_clients = (400..500).contains(&status) || code == "NotImplemented";
    assert!(
        is_clients && (modelled || COMMON.contains(&code)) && !message.is_empty(),
        "the answer to {what}: {status} {code} {message}"
    );
}

/// A value of a shape, as small as the model lets it be.
fn value(model: &Value, name: &str, given: Given, depth: usize) -> Value {
    let shape = &model["shapes"][name];
    let least = |key: &str| shape[key].as_u64().unwrap_or(1).max(1);
    let of = |member: &Value| value(model, member["shape"].as_str().unwrap(), given, depth + 1);
    match shape["type"].as_str().unwrap_or_else(|| panic!("the model has no shape {name}")) {
        "structure" => {
            let required: Vec<&str> =
                shape["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let mut members = Map::new();
            for (name, member) in shape["members"].as_object().into_iter().flatten() {
                if required.contains(&name.as_str()) || (given == Given::Everything && depth < DEEPEST) {
                    members.insert(name.clone(), of(member));
                }
            }
            Value::Object(members)
        }
        "list" if depth >= DEEPEST => json!([]),
        "list" => json!([of(&shape["member"])]),
        "map" if depth >= DEEPEST => json!({}),
        "map" => json!({ of(&shape["key"]).as_str().unwrap(): of(&shape["value"]) }),
        "string" => match shape["enum"].as_array() {
            Some(values) => values[0].clone(),
            None => Value::String("x".repeat(usize::try_from(least("min")).unwrap())),
        },
        "integer" | "long" => json!(least("min")),
        "float" | "double" | "timestamp" => json!(1.0),
        "boolean" => json!(true),
        "blob" => json!("eA=="),
        other => panic!("the story does not know how to write a {other}"),
    }
}
