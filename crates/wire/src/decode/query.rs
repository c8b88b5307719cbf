//! awsQuery and ec2Query requests: form parameters whose dotted names are paths into the input.
//!
//! The names are sorted by their segments, so that whatever belongs together stands together: no tree is built, and
//! memory stays proportional to the form.

use super::DecodeError;
use crate::schema::{Kind, Schema};
use crate::service::Protocol;
use crate::timestamp;
use crate::value::Value;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode;
use std::borrow::Cow;

/// More parameters than this are refused: the longest legal EC2 request has some thousands.
const MAX_PARAMETERS: usize = 20_000;
/// A value nested deeper than this fits no shape.
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
        let mut entries: Vec<Entry<'_>> = self.pairs.iter().map(|(name, value)| Entry { rest: name, value }).collect();
        // Sorting by segments puts all parameters of a structure, and of each of its members, side by side. It is
        // stable: of parameters with the same name, the last holds.
        entries.sort_by(|a, b| a.rest.split('.').cmp(b.rest.split('.')));
        let mut reader = Reader { protocol, path: Vec::new() };
        Ok(reader.read(schema, Node::of(&mut entries))?.unwrap_or(Value::EMPTY))
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

/// A parameter, and what is left of its name below the node that is being read.
struct Entry<'a> {
    rest: &'a str,
    value: &'a str,
}

/// What stands below one path: its own value, and the sorted parameters with longer names.
struct Node<'a, 'e> {
    value: Option<&'a str>,
    below: &'e mut [Entry<'a>],
}

impl<'a, 'e> Node<'a, 'e> {
    /// The node of sorted entries; those with nothing left of their names come first and are the node's own value.
    fn of(entries: &'e mut [Entry<'a>]) -> Self {
        let own = entries.iter().take_while(|entry| entry.rest.is_empty()).count();
        let (own, below) = entries.split_at_mut(own);
        Self { value: own.last().map(|entry| entry.value), below }
    }

    /// The children in order: the first segment of their names, and what stands below it.
    fn children(self) -> Vec<(&'a str, Node<'a, 'e>)> {
        let mut children = Vec::new();
        let mut ahead = self.below;
        while let Some(first) = ahead.first() {
            let segment = head(first.rest);
            let length = ahead.iter().take_while(|entry| head(entry.rest) == segment).count();
            let (group, after) = ahead.split_at_mut(length);
            for entry in group.iter_mut() {
                entry.rest = entry.rest.get(segment.len() + 1..).unwrap_or_default();
            }
            children.push((segment, Node::of(group)));
            ahead = after;
        }
        children
    }

    /// The children whose names are numbers, in the numbers' order. A number that is none of a list's places is the last one:
    /// what is asked for must not vanish.
    fn numbered(self) -> Vec<Node<'a, 'e>> {
        let number = |(name, node): (&str, _)| {
            let digits = name.strip_prefix('-').unwrap_or(name);
            let counts = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            counts.then(|| (name.parse::<u32>().unwrap_or(u32::MAX), node))
        };
        let mut items: Vec<(u32, Node<'a, 'e>)> = self.children().into_iter().filter_map(number).collect();
        items.sort_by_key(|(number, _)| *number);
        items.into_iter().map(|(_, node)| node).collect()
    }

    /// The only child, if it is called `name`; else this node. Lists and maps may have one element around their items.
    fn inside(self, name: &str) -> Self {
        let (first, last) = (self.below.first(), self.below.last());
        let wrapped =
            first.is_some_and(|entry| head(entry.rest) == name) && last.is_some_and(|entry| head(entry.rest) == name);
        if !wrapped {
            return self;
        }
        let value = self.value;
        match self.children().pop() {
            Some((_, node)) => Self { value: node.value.or(value), below: node.below },
            None => Self { value, below: &mut [] },
        }
    }
}

/// The first segment of a dotted name.
fn head(name: &str) -> &str {
    name.split('.').next().unwrap_or_default()
}

/// Whether a parameter is no operation's own but says which operation, and who asks. Source: EC2 API reference, "Common
/// query parameters".
fn is_envelope(name: &str) -> bool {
    const OTHERS: [&str; 9] = [
        "Action",
        "Version",
        "AWSAccessKeyId",
        "Expires",
        "SecurityToken",
        "Signature",
        "SignatureMethod",
        "SignatureVersion",
        "Timestamp",
    ];
    OTHERS.contains(&name) || name.starts_with("X-Amz-")
}

struct Reader<'a> {
    protocol: Protocol,
    path: Vec<&'a str>,
}

impl<'a> Reader<'a> {
    /// The value of `schema` at `node`; none if nothing of it is there.
    fn read(&mut self, schema: &'static Schema, node: Node<'a, '_>) -> Result<Option<Value>, DecodeError> {
        // No schema's recursion is this deep; a form could be.
        if self.path.len() > MAX_DEPTH {
            return Ok(None);
        }
        match &schema.kind {
            Kind::Structure(members) => {
                let mut found = Vec::new();
                for (name, child) in node.children() {
                    let Some(position) = members.iter().position(|member| member.query == name) else {
                        // EC2 alone minds what it does not know.
                        if self.protocol == Protocol::Ec2 && !(self.path.is_empty() && is_envelope(name)) {
                            self.path.push(name);
                            return Err(DecodeError::unknown(self.protocol, self.path.join(".")));
                        }
                        continue;
                    };
                    self.path.push(name);
                    if let Some(value) = self.read(members[position].schema, child)? {
                        found.push((position, value));
                    }
                    self.path.pop();
                }
                Ok(Some(Value::Structure(found)))
            }
            Kind::List(list) => {
                let empty = node.value.is_some();
                // EC2's lists are flattened (`Filter.1`), those of other services not (`Names.member.1`); some
                // clients leave `member` out.
                let items = if self.protocol == Protocol::Ec2 { node } else { node.inside("member") };
                let mut values = Vec::new();
                for item in items.numbered() {
                    values.extend(self.read(list.member, item)?);
                }
                let present = !values.is_empty() || empty;
                Ok(present.then_some(Value::List(values)))
            }
            Kind::Map(map) => {
                let empty = node.value.is_some();
                let mut values = Vec::new();
                for entry in node.inside("entry").numbered() {
                    let (mut key, mut value) = (None, None);
                    for (name, child) in entry.children() {
                        match name {
                            "key" => key = child.value,
                            "value" => value = self.read(map.value, child)?,
                            _ => {}
                        }
                    }
                    values.extend(key.zip(value).map(|(key, value)| (key.to_owned(), value)));
                }
                let present = !values.is_empty() || empty;
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
