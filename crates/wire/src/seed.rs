//! Reading a [`Value`] guided by its schema out of anything that serde reads: JSON requests, and rows of the store.
//!
//! Unknown members and nulls are skipped, as AWS does. Kinds are strict; the texts of mismatches are AWS's.

use crate::schema::{Kind, Schema};
use crate::timestamp;
use crate::value::Value;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Reads a value of this schema. `None` stands for null.
#[derive(Clone, Copy)]
pub(crate) struct Seed(pub(crate) &'static Schema);

impl<'de> DeserializeSeed<'de> for Seed {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        match self.0.kind {
            Kind::Document => serde::Deserialize::deserialize(deserializer).map(|value| Some(Value::Document(value))),
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl Seed {
    fn mismatch<E: Error>(self, found: &str) -> E {
        let text = match self.0.kind {
            Kind::Structure(_) | Kind::Map(_) | Kind::List(_) => match found {
                "START_OBJECT" => "Start of structure or map found where not expected.".to_owned(),
                "START_ARRAY" => "Start of list found where not expected".to_owned(),
                _ => "Unexpected token received from parser".to_owned(),
            },
            _ => match found {
                "START_OBJECT" => "Start of structure or map found where not expected.".to_owned(),
                "START_ARRAY" => "Start of list found where not expected".to_owned(),
                _ => format!("{found} cannot be converted to {}", wanted(&self.0.kind)),
            },
        };
        E::custom(text)
    }

    fn whole<E: Error>(self, value: i64) -> Result<Option<Value>, E> {
        match self.0.kind {
            Kind::Integer if i32::try_from(value).is_err() => {
                Err(E::custom(format!("NUMBER_VALUE {value} is out of the range of an Integer")))
            }
            Kind::Integer | Kind::Long => Ok(Some(Value::Integer(value))),
            Kind::Double => Ok(Some(Value::Double(value as f64))),
            Kind::Timestamp => Ok(timestamp::from_seconds(value as f64).map(Value::Timestamp)),
            _ => Err(self.mismatch("NUMBER_VALUE")),
        }
    }
}

fn wanted(kind: &Kind) -> &'static str {
    match kind {
        Kind::Boolean => "Boolean",
        Kind::Integer => "Integer",
        Kind::Long => "Long",
        Kind::Double => "Double",
        Kind::Blob => "Blob",
        Kind::Timestamp => "Timestamp",
        _ => "String",
    }
}

impl<'de> Visitor<'de> for Seed {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        match self.0.kind {
            Kind::Boolean => Ok(Some(Value::Boolean(value))),
            _ => Err(self.mismatch(if value { "TRUE_VALUE" } else { "FALSE_VALUE" })),
        }
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        self.whole(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        match i64::try_from(value) {
            Ok(value) => self.whole(value),
            Err(_) => self.visit_f64(value as f64),
        }
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        match self.0.kind {
            Kind::Double => Ok(Some(Value::Double(value))),
            Kind::Timestamp => match timestamp::from_seconds(value) {
                Some(at) => Ok(Some(Value::Timestamp(at))),
                None => Err(self.mismatch("NUMBER_VALUE")),
            },
            // `1.0` is a whole number too; 2^53 is as far as a double can tell them apart.
            Kind::Integer | Kind::Long if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 => {
                self.whole(value as i64)
            }
            _ => Err(self.mismatch("NUMBER_VALUE")),
        }
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        match self.0.kind {
            Kind::String => Ok(Some(Value::String(value.to_owned()))),
            Kind::Blob => match STANDARD.decode(value) {
                Ok(bytes) => Ok(Some(Value::Blob(bytes))),
                Err(_) => Err(self.mismatch("STRING_VALUE")),
            },
            Kind::Double => match value {
                "NaN" => Ok(Some(Value::Double(f64::NAN))),
                "Infinity" => Ok(Some(Value::Double(f64::INFINITY))),
                "-Infinity" => Ok(Some(Value::Double(f64::NEG_INFINITY))),
                _ => Err(self.mismatch("STRING_VALUE")),
            },
            Kind::Timestamp => match timestamp::parse(value) {
                Some(at) => Ok(Some(Value::Timestamp(at))),
                None => Err(self.mismatch("STRING_VALUE")),
            },
            _ => Err(self.mismatch("STRING_VALUE")),
        }
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Self::Value, E> {
        match self.0.kind {
            Kind::String => Ok(Some(Value::String(value))),
            _ => self.visit_str(&value),
        }
    }

    fn visit_bytes<E: Error>(self, value: &[u8]) -> Result<Self::Value, E> {
        match self.0.kind {
            Kind::Blob => Ok(Some(Value::Blob(value.to_vec()))),
            _ => Err(self.mismatch("BINARY_VALUE")),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let Kind::List(list) = &self.0.kind else { return Err(self.mismatch("START_ARRAY")) };
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(Seed(list.member))? {
            items.extend(item);
        }
        Ok(Some(Value::List(items)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        match &self.0.kind {
            Kind::Structure(_) => {
                let mut members: Vec<(usize, Value)> = Vec::new();
                while let Some(position) = access.next_key_seed(Name(self.0))? {
                    let Some(position) = position else {
                        access.next_value::<IgnoredAny>()?;
                        continue;
                    };
                    let value = access.next_value_seed(Seed(self.0.members()[position].schema))?;
                    members.retain(|(at, _)| *at != position);
                    members.extend(value.map(|value| (position, value)));
                }
                Ok(Some(Value::Structure(members)))
            }
            Kind::Map(map) => {
                let mut entries = Vec::new();
                while let Some(key) = access.next_key::<String>()? {
                    let value = access.next_value_seed(Seed(map.value))?;
                    entries.extend(value.map(|value| (key, value)));
                }
                Ok(Some(Value::Map(entries)))
            }
            _ => Err(self.mismatch("START_OBJECT")),
        }
    }
}

/// Reads a key as the position of a member.
struct Name(&'static Schema);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.position(name))
    }
}
