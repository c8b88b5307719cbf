//! The tree between bytes and typed shapes. Every decoder yields it, the validator reads it, shapes take it apart.

use types::Timestamp;

/// A decoded value. It always fits the schema that guided its decoder.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `boolean`.
    Boolean(bool),
    /// `integer` and `long`.
    Integer(i64),
    /// `float` and `double`.
    Double(f64),
    /// `string`.
    String(String),
    /// `blob`.
    Blob(Vec<u8>),
    /// `timestamp`.
    Timestamp(Timestamp),
    /// `document`.
    Document(serde_json::Value),
    /// `list`.
    List(Vec<Value>),
    /// `map`, in the request's order.
    Map(Vec<(String, Value)>),
    /// `structure`: positions in the schema's members, and their values. Absent members are absent.
    Structure(Vec<(usize, Value)>),
}

impl Value {
    /// The structure without members.
    pub const EMPTY: Self = Self::Structure(Vec::new());

    /// The member at `position` of a structure.
    pub fn member(&self, position: usize) -> Option<&Value> {
        match self {
            Self::Structure(members) => members.iter().find(|(at, _)| *at == position).map(|(_, value)| value),
            _ => None,
        }
    }
}
