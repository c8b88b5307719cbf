//! What the store keeps of log groups, log streams and metrics. Their records lie in the store's event streams.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use store::{Row, View};
use types::{Scope, Timestamp};

/// A log group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogGroup {
    /// Unique in account and region.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// Days that events are kept; for ever if none.
    pub retention: Option<i32>,
    /// The KMS key that was asked for.
    pub kms_key_id: Option<String>,
    /// `STANDARD` or `INFREQUENT_ACCESS`.
    pub class: String,
    /// Whether it may be deleted.
    pub protected: bool,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

impl LogGroup {
    /// `arn:aws:logs:<region>:<account>:log-group:<name>`, without the `:*` that most answers add.
    pub fn arn(&self, scope: &Scope) -> String {
        format!("arn:aws:logs:{}:{}:log-group:{}", scope.region, scope.account, self.name)
    }
}

impl Row for LogGroup {
    const TABLE: &'static str = "logs.group";

    fn id(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.name)
    }
}

/// A log stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogStream {
    /// Its group's name.
    pub group: String,
    /// Unique in its group.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// The event stream of its records; another one for each stream that ever was, so that none inherits records.
    pub records: String,
}

/// What the names of all event streams of logs begin with.
pub(crate) const LOG_RECORDS: &str = "logs/";
/// What the names of all event streams of metrics begin with.
pub(crate) const METRIC_RECORDS: &str = "metrics/";

impl LogStream {
    /// A new stream.
    pub fn new(group: &str, name: &str, now: Timestamp) -> Self {
        let records = format!("{LOG_RECORDS}{}", types::id::random_uuid());
        Self { group: group.to_owned(), name: name.to_owned(), created: now, records }
    }

    /// A stream's id. Neither names of groups nor of streams hold colons.
    pub fn key(group: &str, name: &str) -> String {
        format!("{group}:{name}")
    }

    /// The streams of a group whose names begin with `prefix`, in order of name.
    pub fn all<'a>(
        view: &'a View,
        scope: &Scope,
        group: &str,
        prefix: &str,
    ) -> impl Iterator<Item = &'a std::sync::Arc<Self>> {
        let (group, prefix) = (group.to_owned(), prefix.to_owned());
        view.scan_from::<Self>(scope, &Self::key(&group, &prefix))
            .take_while(move |stream| stream.group == group && stream.name.starts_with(&prefix))
    }

    /// `arn:aws:logs:<region>:<account>:log-group:<group>:log-stream:<name>`.
    pub fn arn(&self, scope: &Scope) -> String {
        format!("arn:aws:logs:{}:{}:log-group:{}:log-stream:{}", scope.region, scope.account, self.group, self.name)
    }
}

impl Row for LogStream {
    const TABLE: &'static str = "logs.stream";

    fn id(&self) -> Cow<'_, str> {
        Cow::Owned(Self::key(&self.group, &self.name))
    }
}

/// A metric: one for each namespace, name and set of dimensions that data was ever put for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metric {
    /// `AWS/ECS`.
    pub namespace: String,
    /// `CPUUtilization`.
    pub name: String,
    /// Dimensions, by name.
    pub dimensions: BTreeMap<String, String>,
    /// The event stream of its data points.
    pub records: String,
}

impl Metric {
    /// A new metric.
    pub fn new(namespace: &str, name: &str, dimensions: BTreeMap<String, String>) -> Self {
        let records = format!("{METRIC_RECORDS}{}", types::id::random_uuid());
        Self { namespace: namespace.to_owned(), name: name.to_owned(), dimensions, records }
    }

    /// A metric's id: unambiguous whatever characters its parts hold.
    pub fn key(namespace: &str, name: &str, dimensions: &BTreeMap<String, String>) -> String {
        let mut key = format!("{namespace}\u{0}{name}");
        for (name, value) in dimensions {
            key.push('\u{0}');
            key.push_str(name);
            key.push('\u{1}');
            key.push_str(value);
        }
        key
    }
}

impl Row for Metric {
    const TABLE: &'static str = "cloudwatch.metric";

    fn id(&self) -> Cow<'_, str> {
        Cow::Owned(Self::key(&self.namespace, &self.name, &self.dimensions))
    }
}
