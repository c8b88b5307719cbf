//! awsQuery and ec2Query requests: form parameters whose dotted names are paths into the input.
//!
//! The names are gathered in a trie first, so that the cost is linear in the form, whatever the order of its parameters.

use super::DecodeError;
use crate::schema::{Kind, Schema};
use crate::service::Protocol;
use crate::timestamp;
use crate::value::Value;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// More parameters than this are refused: the longest legal EC2 request has some thousands.
const MAX_PARAMETERS: usize = 20_000;
/// A dotted name with more segments than this fits no shape.
const MAX_DEPTH: usize = 64;

/// The decoded parameters of a form, in the request's order.
#[derive(Debug, Default)]
pub struct Form<'a> {
    pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Form<'a> {
    /// Splits and percent-decodes `bytes`.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, &'static str> {
        let mut pairs = Vec::new();
        for pair in bytes.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            if pairs.len() == MAX_PARAMETERS {
                return Err("The query string has too many parameters.");
            }
            let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &pair[..0]),
            };
            pairs.push((unescape(name)?, unescape(value)?));
        }
        Ok(Self { pairs })
    }

    /// The first parameter called `name`: `Action`, `Version`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_ref())
    }

    /// The input that the parameters spell.
    pub fn decode(&self, protocol: Protocol, schema: &'static Schema) -> Result<Value, DecodeError> {
        let mut root = Node::default();
        for (name, value) in &self.pairs {
            if name.split('.').count() > MAX_DEPTH {
                let message = format!("The parameter {name} is not recognized");
                return Err(DecodeError::parameter(protocol, name.clone(), message));
            }
            let mut node = &mut root;
            for segment in name.split('.') {
                node = node.children.entry(segment).or_default();
            }
            node.value = Some(value);
        }
        let mut reader = Reader { protocol, path: Vec::new() };
        Ok(reader.read(schema, &root)?.unwrap_or(Value::EMPTY))
    }
}

fn unescape(bytes: &[u8]) -> Result<Cow<'_, str>, &'static str> {
    let text = "The query string is not valid UTF-8.";
    if bytes.contains(&b'+') {
        let spaced: Vec<u8> = bytes.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
        return percent_decode(&spaced).decode_utf8().map(|text| Cow::Owned(text.into_owned())).map_err(|_| text);
    }
    percent_decode(bytes).decode_utf8().map_err(|_| text)
}

#[derive(Default)]
struct Node<'a> {
    value: Option<&'a str>,
    children: BTreeMap<&'a str, Node<'a>>,
}

impl Node<'_> {
    /// The children whose names are numbers, in the numbers' order.
    fn numbered(&self) -> Vec<(u32, &Self)> {
        let mut items: Vec<(u32, &Self)> =
            self.children.iter().filter_map(|(name, node)| Some((name.parse().ok()?, node))).collect();
        items.sort_unstable_by_key(|(number, _)| *number);
        items
    }
}

struct Reader<'a> {
    protocol: Protocol,
    path: Vec<&'a str>,
}

impl<'a> Reader<'a> {
    /// The value of `schema` at `node`; none if nothing of it is there.
    fn read(&mut self, schema: &'static Schema, node: &Node<'a>) -> Result<Option<Value>, DecodeError> {
        match &schema.kind {
            Kind::Structure(members) => {
                let mut found = Vec::new();
                for (position, member) in members.iter().enumerate() {
                    let Some((name, child)) = node.children.get_key_value(member.query) else { continue };
                    self.path.push(name);
                    if let Some(value) = self.read(member.schema, child)? {
                        found.push((position, value));
                    }
                    self.path.pop();
                }
                Ok(Some(Value::Structure(found)))
            }
            Kind::List(list) => {
                // EC2's lists are flattened (`Filter.1`), those of other services not (`Names.member.1`); some
                // clients leave `member` out.
                let items = node.children.get("member").filter(|_| self.protocol != Protocol::Ec2).unwrap_or(node);
                let mut values = Vec::new();
                for (_, item) in items.numbered() {
                    values.extend(self.read(list.member, item)?);
                }
                let present = !values.is_empty() || node.value.is_some();
                Ok(present.then_some(Value::List(values)))
            }
            Kind::Map(map) => {
                let entries = node.children.get("entry").unwrap_or(node);
                let mut values = Vec::new();
                for (_, entry) in entries.numbered() {
                    let Some(key) = entry.children.get("key").and_then(|key| key.value) else { continue };
                    let value = entry.children.get("value").map(|value| self.read(map.value, value)).transpose()?;
                    values.extend(value.flatten().map(|value| (key.to_owned(), value)));
                }
                let present = !values.is_empty() || node.value.is_some();
                Ok(present.then_some(Value::Map(values)))
            }
            _ => node.value.map(|text| self.scalar(schema, text)).transpose(),
        }
    }

    fn scalar(&self, schema: &'static Schema, text: &str) -> Result<Value, DecodeError> {
        let value = match schema.kind {
            Kind::Boolean => match text {
                "true" | "True" | "TRUE" => Some(Value::Boolean(true)),
                "false" | "False" | "FALSE" => Some(Value::Boolean(false)),
                _ => None,
            },
            Kind::Integer => text.trim().parse::<i32>().ok().map(|value| Value::Integer(value.into())),
            Kind::Long => text.trim().parse().ok().map(Value::Integer),
            Kind::Double => text.trim().parse().ok().map(Value::Double),
            Kind::Blob => STANDARD.decode(text).ok().map(Value::Blob),
            Kind::Timestamp => timestamp::parse(text).map(Value::Timestamp),
            Kind::Document => serde_json::from_str(text).ok().map(Value::Document),
            _ => Some(Value::String(text.to_owned())),
        };
        value.ok_or_else(|| self.invalid(schema, text))
    }

    fn invalid(&self, schema: &'static Schema, text: &str) -> DecodeError {
        let kind = match schema.kind {
            Kind::Boolean => "boolean",
            Kind::Integer | Kind::Long => "integer",
            Kind::Double => "double",
            Kind::Timestamp => "timestamp",
            _ => "value",
        };
        let path = self.path.join(".");
        let message = match self.protocol {
            Protocol::Ec2 => format!("Value ({text}) for parameter {path} is invalid. Expected a valid {kind}."),
            _ => format!("Invalid {kind} value for parameter {path}: {text}"),
        };
        DecodeError::parameter(self.protocol, path, message)
    }
}
