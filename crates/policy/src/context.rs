//! The condition keys of a request: names without regard to case, one or more values each.

use std::collections::BTreeMap;

/// Condition keys and their values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context(BTreeMap<String, Vec<String>>);

impl Context {
    /// No keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with `key` holding one value.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.set(key, value);
        self
    }

    /// Has `key` hold one value, in place of those that it held.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.0.insert(key.to_ascii_lowercase(), vec![value.into()]);
    }

    /// Has `key` hold these values; `ForAllValues` and `ForAnyValue` are for such keys.
    pub fn set_all(&mut self, key: &str, values: Vec<String>) {
        self.0.insert(key.to_ascii_lowercase(), values);
    }

    /// Fills in a key that the request does not hold yet.
    pub(crate) fn set_default(&mut self, key: &str, value: &str) {
        self.0.entry(key.to_ascii_lowercase()).or_insert_with(|| vec![value.to_owned()]);
    }

    /// The key's values; none if it is absent.
    pub fn get(&self, key: &str) -> Option<&[String]> {
        if key.bytes().any(|b| b.is_ascii_uppercase()) {
            self.0.get(&key.to_ascii_lowercase()).map(Vec::as_slice)
        } else {
            self.0.get(key).map(Vec::as_slice)
        }
    }

    /// The key's value, if it has exactly one: only such keys may stand as policy variables.
    pub fn single(&self, key: &str) -> Option<&str> {
        match self.get(key) {
            Some([one]) => Some(one),
            _ => None,
        }
    }
}
