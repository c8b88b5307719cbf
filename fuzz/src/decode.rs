//! The wire's decoders and the validator, on every operation's input in every protocol.
//!
//! The first line of the data chooses: `cbor ecs RunTask`. What follows is the request's body.

use crate::pick;
use types::ApiError;
use wire::schema::{Kind, Schema};
use wire::{OperationInfo, Output, Protocol, ServiceInfo, Value, Writer, encode};

const PROTOCOLS: [(&str, Protocol); 4] =
    [("json", Protocol::Json11), ("query", Protocol::Query), ("ec2", Protocol::Ec2), ("cbor", Protocol::Cbor)];

/// Any bytes are refused or give a value that the validator takes, every encoder writes, and JSON and CBOR bring back.
pub fn decode(data: &[u8]) {
    let (line, body) = crate::first_line(data);
    let mut words = line.splitn(3, |byte| *byte == b' ').chain(std::iter::repeat(&b""[..]));
    let mut word = || words.next().unwrap_or_default();
    let (_, protocol) = pick(&PROTOCOLS, word(), |(name, _)| name);
    let service = pick(model::SERVICES, word(), |service| service.name);
    let operation = pick(service.operations, word(), |operation| operation.name);

    match wire::decode(*protocol, operation.input, body) {
        Ok(value) => {
            let _ = wire::validate(service, *protocol, operation.input, &value);
            comes_back(service, &Decoded { schema: operation.input, value });
        }
        Err(error) => {
            let error = ApiError::from(error);
            encode::error(*protocol, Some(service), &error, "request");
        }
    }
}

fn comes_back(service: &ServiceInfo, decoded: &Decoded) {
    let schema = decoded.schema;
    let echo = OperationInfo { name: "Echo", input: schema, output: schema, wrapper: "EchoResult" };
    for protocol in [Protocol::Query, Protocol::Ec2] {
        let body = encode::output(protocol, service, &echo, decoded, "request").body;
        let text = String::from_utf8(body).expect("XML is UTF-8");
        let legal = |char| matches!(char, '\t' | '\r' | '\n' | ' '..='\u{fffd}' | '\u{10000}'..);
        assert!(text.chars().all(legal), "XML does not have all of {text:?}");
    }
    for protocol in [Protocol::Json11, Protocol::Cbor] {
        // CBOR has no place for documents in requests.
        if protocol == Protocol::Cbor && holds_document(&decoded.value) {
            continue;
        }
        let body = encode::output(protocol, service, &echo, decoded, "request").body;
        let again = wire::decode(protocol, schema, &body);
        let same = again.as_ref().is_ok_and(|again| is_same(again, &decoded.value));
        assert!(same, "{protocol:?} of {}\n{:?}\nis read as\n{again:?}", schema.name, decoded.value);
    }
}

/// A decoded input, as if a handler gave it back.
struct Decoded {
    schema: &'static Schema,
    value: Value,
}

impl Output for Decoded {
    fn schema(&self) -> &'static Schema {
        self.schema
    }

    fn write_members(&self, writer: &mut dyn Writer) {
        write_members(writer, self.schema, &self.value);
    }
}

fn write_members(writer: &mut dyn Writer, schema: &'static Schema, value: &Value) {
    let Value::Structure(present) = value else { panic!("{} is not a structure: {value:?}", schema.name) };
    for (position, value) in present {
        writer.member(schema, *position);
        write(writer, schema.members()[*position].schema, value);
    }
}

fn write(writer: &mut dyn Writer, schema: &'static Schema, value: &Value) {
    match (&schema.kind, value) {
        (Kind::Boolean, Value::Boolean(value)) => writer.boolean(schema, *value),
        (Kind::Integer | Kind::Long, Value::Integer(value)) => writer.integer(schema, *value),
        (Kind::Double, Value::Double(value)) => writer.double(schema, *value),
        (Kind::String, Value::String(value)) => writer.string(schema, value),
        (Kind::Blob, Value::Blob(value)) => writer.blob(schema, value),
        (Kind::Timestamp, Value::Timestamp(value)) => {
            assert!(value.seconds().abs() < 1e12, "a time that no calendar has: {value:?}");
            writer.timestamp(schema, *value);
        }
        (Kind::Document, Value::Document(value)) => writer.document(schema, value),
        (Kind::List(list), Value::List(items)) => {
            writer.begin_list(schema, items.len());
            items.iter().for_each(|item| write(writer, list.member, item));
            writer.end_list(schema);
        }
        (Kind::Map(map), Value::Map(entries)) => {
            writer.begin_map(schema, entries.len());
            for (key, value) in entries {
                writer.key(map.key, key);
                write(writer, map.value, value);
            }
            writer.end_map(schema);
        }
        (Kind::Structure(_), Value::Structure(_)) => {
            writer.begin_structure(schema);
            write_members(writer, schema, value);
            writer.end_structure(schema);
        }
        _ => panic!("{} does not fit its schema: {value:?}", schema.name),
    }
}

fn holds_document(value: &Value) -> bool {
    match value {
        Value::Document(_) => true,
        Value::List(items) => items.iter().any(holds_document),
        Value::Map(entries) => entries.iter().any(|(_, value)| holds_document(value)),
        Value::Structure(members) => members.iter().any(|(_, value)| holds_document(value)),
        _ => false,
    }
}

/// Equality, but any two NaN are the same.
fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Double(a), Value::Double(b)) => a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan(),
        (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b)),
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && is_same(&a.1, &b.1))
        }
        (Value::Structure(a), Value::Structure(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && is_same(&a.1, &b.1))
        }
        _ => a == b,
    }
}
