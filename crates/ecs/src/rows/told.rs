//! What EventBridge was told of tasks, container instances and services.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use store::Row;

/// How far what became of a task, a container instance or a service was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldRow {
    /// `task/<id>`, `instance/<id>` or `service/<cluster>/<name>`.
    pub what: String,
    /// Of a task or an instance: the version that was told last.
    pub version: i64,
    /// Of a service: the newest of its events then.
    pub event: Option<String>,
    /// Of a service: its deployments and the states that were told.
    pub deployments: BTreeMap<String, String>,
}

impl ToldRow {
    /// The key of the row of a task or a container instance.
    pub fn of(kind: &str, id: &str) -> String {
        format!("{kind}/{id}")
    }

    /// The key of a service's row; `key` is the service's own.
    pub fn service(key: &str) -> String {
        format!("service/{key}")
    }
}

impl Row for ToldRow {
    const TABLE: &'static str = "ecs-told-events";

    fn id(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.what)
    }
}
