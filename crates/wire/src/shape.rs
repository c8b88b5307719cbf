//! Typed shapes: how generated structs are filled from a [`Value`] and written to a [`Writer`].

use crate::schema::{Kind, Schema, UNIT};
use crate::value::Value;
use std::collections::BTreeMap;
use std::fmt;
use types::Timestamp;

/// Any JSON.
pub type Document = serde_json::Value;

/// A generated structure.
pub trait Shape: Default + Clone + fmt::Debug + Send + Sync + 'static {
    /// Its description.
    const SCHEMA: &'static Schema;

    /// Takes over `value` as the member at `position` of the schema.
    fn set(&mut self, position: usize, value: Value);

    /// Writes the members that are present, in the schema's order.
    fn write_members(&self, writer: &mut dyn Writer);

    /// The structure that `value` holds.
    fn from_value(value: Value) -> Self {
        let mut shape = Self::default();
        if let Value::Structure(members) = value {
            for (position, member) in members {
                shape.set(position, member);
            }
        }
        shape
    }
}

/// Where shapes are written to. One implementation a protocol.
///
/// Each value comes with its schema. Inside a structure, [`Writer::member`] comes before each value.
pub trait Writer {
    /// The next value is that of `Schema::members()[position]` of `schema`.
    fn member(&mut self, schema: &'static Schema, position: usize);
    /// A boolean.
    fn boolean(&mut self, schema: &'static Schema, value: bool);
    /// An integer or a long.
    fn integer(&mut self, schema: &'static Schema, value: i64);
    /// A float or a double.
    fn double(&mut self, schema: &'static Schema, value: f64);
    /// Text.
    fn string(&mut self, schema: &'static Schema, value: &str);
    /// Bytes.
    fn blob(&mut self, schema: &'static Schema, value: &[u8]);
    /// An instant.
    fn timestamp(&mut self, schema: &'static Schema, value: Timestamp);
    /// Any JSON.
    fn document(&mut self, schema: &'static Schema, value: &serde_json::Value);
    /// A list begins; `length` values follow.
    fn begin_list(&mut self, schema: &'static Schema, length: usize);
    /// The list that began last ends.
    fn end_list(&mut self, schema: &'static Schema);
    /// A map begins; `length` times a key and a value follow.
    fn begin_map(&mut self, schema: &'static Schema, length: usize);
    /// The key of the next value.
    fn key(&mut self, schema: &'static Schema, key: &str);
    /// The map that began last ends.
    fn end_map(&mut self, schema: &'static Schema);
    /// A structure begins.
    fn begin_structure(&mut self, schema: &'static Schema);
    /// The structure that began last ends.
    fn end_structure(&mut self, schema: &'static Schema);
}

/// Anything that a member can hold.
pub trait Datum: Sized {
    /// The datum in `value`; the default where the kinds differ, which decoders rule out.
    fn from_value(value: Value) -> Self;
    /// Writes it.
    fn write(&self, schema: &'static Schema, writer: &mut dyn Writer);
}

macro_rules! datum {
    ($($type:ty: $variant:ident($value:ident) => $take:expr, $method:ident($this:ident) => $give:expr;)*) => {$(
        impl Datum for $type {
            fn from_value(value: Value) -> Self {
                match value {
                    Value::$variant($value) => $take,
                    _ => Self::default(),
                }
            }

            fn write(&self, schema: &'static Schema, writer: &mut dyn Writer) {
                let $this = self;
                writer.$method(schema, $give);
            }
        }
    )*};
}

datum! {
    bool: Boolean(value) => value, boolean(this) => *this;
    i32: Integer(value) => i32::try_from(value).unwrap_or_default(), integer(this) => i64::from(*this);
    i64: Integer(value) => value, integer(this) => *this;
    f64: Double(value) => value, double(this) => *this;
    String: String(value) => value, string(this) => this;
    Vec<u8>: Blob(value) => value, blob(this) => this;
    Timestamp: Timestamp(value) => value, timestamp(this) => *this;
    serde_json::Value: Document(value) => value, document(this) => this;
}

impl<T: Shape> Datum for T {
    fn from_value(value: Value) -> Self {
        <T as Shape>::from_value(value)
    }

    fn write(&self, schema: &'static Schema, writer: &mut dyn Writer) {
        writer.begin_structure(schema);
        self.write_members(writer);
        writer.end_structure(schema);
    }
}

/// What a list can hold: every datum but a byte, which would make [`Vec<u8>`] ambiguous.
pub trait Element: Datum {}
impl Element for bool {}
impl Element for i32 {}
impl Element for i64 {}
impl Element for f64 {}
impl Element for String {}
impl Element for Timestamp {}
impl Element for Vec<u8> {}
impl Element for Document {}
impl<T: Element> Element for Vec<T> {}
impl<T: Element> Element for BTreeMap<String, T> {}
impl<T: Shape> Element for T {}

impl<T: Element> Datum for Vec<T> {
    fn from_value(value: Value) -> Self {
        match value {
            Value::List(items) => items.into_iter().map(T::from_value).collect(),
            _ => Self::default(),
        }
    }

    fn write(&self, schema: &'static Schema, writer: &mut dyn Writer) {
        let Kind::List(list) = &schema.kind else { return };
        writer.begin_list(schema, self.len());
        for item in self {
            item.write(list.member, writer);
        }
        writer.end_list(schema);
    }
}

impl<T: Element> Datum for BTreeMap<String, T> {
    fn from_value(value: Value) -> Self {
        match value {
            Value::Map(entries) => entries.into_iter().map(|(key, value)| (key, T::from_value(value))).collect(),
            _ => Self::default(),
        }
    }

    fn write(&self, schema: &'static Schema, writer: &mut dyn Writer) {
        let Kind::Map(map) = &schema.kind else { return };
        writer.begin_map(schema, self.len());
        for (key, value) in self {
            writer.key(map.key, key);
            value.write(map.value, writer);
        }
        writer.end_map(schema);
    }
}

/// Writes a required member. For generated code.
pub fn required<T: Datum>(writer: &mut dyn Writer, schema: &'static Schema, position: usize, value: &T) {
    writer.member(schema, position);
    value.write(schema.members()[position].schema, writer);
}

/// Writes a member if it is present. For generated code.
pub fn optional<T: Datum>(writer: &mut dyn Writer, schema: &'static Schema, position: usize, value: Option<&T>) {
    if let Some(value) = value {
        required(writer, schema, position, value);
    }
}

/// An operation's output, ready to be written in any protocol.
pub trait Output: Send {
    /// Its description.
    fn schema(&self) -> &'static Schema;
    /// Writes the members that are present.
    fn write_members(&self, writer: &mut dyn Writer);
}

impl<T: Shape> Output for T {
    fn schema(&self) -> &'static Schema {
        T::SCHEMA
    }

    fn write_members(&self, writer: &mut dyn Writer) {
        Shape::write_members(self, writer);
    }
}

/// The input or output of an operation that has none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unit;

impl Shape for Unit {
    const SCHEMA: &'static Schema = &UNIT;

    fn set(&mut self, _: usize, _: Value) {}

    fn write_members(&self, _: &mut dyn Writer) {}
}
