//! The facts of a service model: what a machine needs of it, and no prose.
//!
//! The same structures read botocore's JSON (whose documentation they skip) and read and write ours.

use super::Outcome;
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::marker::PhantomData;

/// A JSON object whose order counts.
pub(super) struct Pairs<T>(pub(super) Vec<(String, T)>);

impl<T> Default for Pairs<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Pairs<T> {
    pub(super) fn get(&self, name: &str) -> Option<&T> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

impl<T: Serialize> Serialize for Pairs<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Pairs<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
            type Value = Pairs<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Pairs<T>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = access.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Reader(PhantomData))
    }
}

/// A service. `all` is ours: the names of every operation, of which `operations` keeps those that are implemented.
#[derive(Serialize, Deserialize)]
pub(super) struct Facts {
    pub(super) metadata: Metadata,
    #[serde(default)]
    pub(super) all: Vec<String>,
    pub(super) operations: Pairs<Operation>,
    pub(super) shapes: Pairs<Shape>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata {
    pub(super) api_version: String,
    pub(super) endpoint_prefix: String,
    pub(super) protocols: Vec<String>,
    pub(super) service_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) json_version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) target_prefix: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) xml_namespace: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) aws_query_compatible: Option<serde_json::Value>,
}

#[derive(Serialize, Deserialize, Clone)]
#[serde(rename_all = "camelCase")]
pub(super) struct Operation {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) input: Option<Reference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) output: Option<Reference>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) errors: Vec<Reference>,
}

/// A reference to a shape from an operation, a member, a list or a map.
#[derive(Serialize, Deserialize, Clone)]
#[serde(rename_all = "camelCase")]
pub(super) struct Reference {
    pub(super) shape: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) location_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) query_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) result_wrapper: Option<String>,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shape {
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) required: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) members: Option<Pairs<Reference>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) member: Option<Reference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<Reference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<Reference>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) flattened: bool,
    #[serde(default, rename = "enum", skip_serializing_if = "Vec::is_empty")]
    pub(super) values: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) min: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) max: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pattern: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) sensitive: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) document: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) exception: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) fault: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<ErrorTrait>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ErrorTrait {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) http_status_code: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sender_fault: Option<bool>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) fault: bool,
}

impl Facts {
    pub(super) fn parse(text: &str) -> Outcome<Self> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    /// JSON with one operation and one shape a line, so that a diff shows what changed.
    pub(super) fn to_text(&self) -> Outcome<String> {
        let line = |value: serde_json::Result<String>| value.map_err(|error| error.to_string());
        let metadata = line(serde_json::to_string(&self.metadata))?;
        let all = line(serde_json::to_string(&self.all))?;
        let lines =
            |pairs: Vec<Outcome<String>>| Ok::<_, String>(pairs.into_iter().collect::<Outcome<Vec<_>>>()?.join(",\n"));
        let entry = |name: &str, value: serde_json::Result<String>| Ok(format!("    {name:?}: {}", line(value)?));
        let operations =
            lines(self.operations.0.iter().map(|(name, value)| entry(name, serde_json::to_string(value))).collect())?;
        let shapes =
            lines(self.shapes.0.iter().map(|(name, value)| entry(name, serde_json::to_string(value))).collect())?;
        Ok(format!(
            "{{\n  \"metadata\": {metadata},\n  \"all\": {all},\n  \"operations\": {{\n{operations}\n  }},\n  \"shapes\": {{\n{shapes}\n  }}\n}}\n"
        ))
    }
}
