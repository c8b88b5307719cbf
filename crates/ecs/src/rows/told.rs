//! What EventBridge was told of tasks and services.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use store::Row;

/// How far what became of a task or a service was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldRow {
    /// `task/<id>` or `service/<cluster>/<name>`.
    pub what: String,
    /// Of a task: the version that was told last.
    pub version: i64,
    /// Of a service: the newest of its events then.
    pub event: Option<String>,
    /// Of a service: its deployments and the states that were told.
    pub deployments: BTreeMap<String, String>,
}

impl ToldRow {
    /// The key of a task's row.
    pub fn task(id: &str) -> String {
        format!("task/{id}")
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
