//! Generated shapes in rows of the store, and in `Debug` output.

use crate::encode::Json;
use crate::schema::Schema;
use crate::seed::Seed;
use crate::shape::{Output, Shape, Writer};
use crate::value::Value;
use serde::de::DeserializeSeed;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::ops::{Deref, DerefMut};
use types::Timestamp;

/// A generated shape that serde reads and writes, in the form that awsJson gives it.
///
/// Members that a later model drops are skipped when old rows are read; new ones are absent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stored<T>(pub T);

impl<T> Deref for Stored<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Stored<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T> From<T> for Stored<T> {
    fn from(shape: T) -> Self {
        Self(shape)
    }
}

impl<T: Shape> Serialize for Stored<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut json = Json::default();
        json.whole(&self.0);
        let value: serde_json::Value = serde_json::from_slice(&json.out).map_err(S::Error::custom)?;
        value.serialize(serializer)
    }
}

impl<'de, T: Shape> Deserialize<'de> for Stored<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Seed(T::SCHEMA).deserialize(deserializer)?;
        Ok(Self(<T as Shape>::from_value(value.unwrap_or(Value::EMPTY))))
    }
}

/// Shows a shape as JSON with its sensitive members hidden. For generated code.
pub fn debug<T: Shape>(shape: &T, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut shown = Redacting::default();
    shown.begin_structure(T::SCHEMA);
    Output::write_members(shape, &mut shown);
    shown.end_structure(T::SCHEMA);
    f.write_str(T::SCHEMA.name)?;
    f.write_str(&String::from_utf8_lossy(&shown.json.out))
}

/// Writes JSON with `***` for what is sensitive.
#[derive(Default)]
struct Redacting {
    json: Json,
    /// How many containers are open inside a sensitive one, itself included.
    hidden: usize,
}

impl Redacting {
    fn scalar(&mut self, schema: &'static Schema, write: impl FnOnce(&mut Json)) {
        if self.hidden > 0 {
            return;
        }
        if schema.traits.sensitive {
            self.json.string(schema, "***");
        } else {
            write(&mut self.json);
        }
    }

    fn begin(&mut self, schema: &'static Schema, write: impl FnOnce(&mut Json)) {
        if self.hidden > 0 {
            self.hidden += 1;
        } else if schema.traits.sensitive {
            self.hidden = 1;
            self.json.string(schema, "***");
        } else {
            write(&mut self.json);
        }
    }

    fn end(&mut self, write: impl FnOnce(&mut Json)) {
        if self.hidden > 0 {
            self.hidden -= 1;
        } else {
            write(&mut self.json);
        }
    }
}

impl Writer for Redacting {
    fn member(&mut self, schema: &'static Schema, position: usize) {
        if self.hidden == 0 {
            self.json.member(schema, position);
        }
    }

    fn boolean(&mut self, schema: &'static Schema, value: bool) {
        self.scalar(schema, |json| json.boolean(schema, value));
    }

    fn integer(&mut self, schema: &'static Schema, value: i64) {
        self.scalar(schema, |json| json.integer(schema, value));
    }

    fn double(&mut self, schema: &'static Schema, value: f64) {
        self.scalar(schema, |json| json.double(schema, value));
    }

    fn string(&mut self, schema: &'static Schema, value: &str) {
        self.scalar(schema, |json| json.string(schema, value));
    }

    fn blob(&mut self, schema: &'static Schema, value: &[u8]) {
        self.scalar(schema, |json| json.blob(schema, value));
    }

    fn timestamp(&mut self, schema: &'static Schema, value: Timestamp) {
        self.scalar(schema, |json| json.timestamp(schema, value));
    }

    fn document(&mut self, schema: &'static Schema, value: &serde_json::Value) {
        self.scalar(schema, |json| json.document(schema, value));
    }

    fn begin_list(&mut self, schema: &'static Schema, length: usize) {
        self.begin(schema, |json| json.begin_list(schema, length));
    }

    fn end_list(&mut self, schema: &'static Schema) {
        self.end(|json| json.end_list(schema));
    }

    fn begin_map(&mut self, schema: &'static Schema, length: usize) {
        self.begin(schema, |json| json.begin_map(schema, length));
    }

    fn key(&mut self, schema: &'static Schema, key: &str) {
        if self.hidden == 0 {
            self.json.key(schema, key);
        }
    }

    fn end_map(&mut self, schema: &'static Schema) {
        self.end(|json| json.end_map(schema));
    }

    fn begin_structure(&mut self, schema: &'static Schema) {
        self.begin(schema, |json| json.begin_structure(schema));
    }

    fn end_structure(&mut self, schema: &'static Schema) {
        self.end(|json| json.end_structure(schema));
    }
}
