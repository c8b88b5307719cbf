//! What a record of an event stream holds.

use serde::{Deserialize, Serialize};
use types::Timestamp;

/// A log event. Its time is the record's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Event {
    /// When it came in.
    #[serde(rename = "i")]
    pub(crate) ingested: Timestamp,
    /// The message.
    #[serde(rename = "m")]
    pub(crate) message: String,
    /// Where its batch stands in the source that it comes from, if the source says so.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub(crate) position: Option<u64>,
}

/// A data point of a metric: values with how often each came, or a summary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Point {
    #[serde(rename = "n")]
    pub(crate) count: f64,
    #[serde(rename = "s")]
    pub(crate) sum: f64,
    #[serde(rename = "l")]
    pub(crate) least: f64,
    #[serde(rename = "h")]
    pub(crate) most: f64,
    /// Single values and their counts, for percentiles; absent where only a summary is known.
    #[serde(rename = "v", default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) values: Vec<(f64, f64)>,
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    pub(crate) unit: Option<String>,
}

/// The bytes of a record.
pub(crate) fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    serde_json::to_vec(record).expect("records are plain data, and numbers in them are finite")
}

/// What a record holds; none if it is not ours.
pub(crate) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<T> {
    serde_json::from_slice(bytes).ok()
}
