//! What EventBridge keeps in the store.

use crate::pattern::Pattern;
use model::Stored;
use model::events as shape;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use store::Row;
use types::arn::Arn;
use types::{Scope, Timestamp};

/// A rule of the default event bus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// `EventPattern`, as it was given.
    pub pattern: String,
    /// It is ENABLED.
    pub enabled: bool,
    /// A description.
    pub description: Option<String>,
    /// `RoleArn`.
    pub role: Option<String>,
    /// Its targets, by id.
    pub targets: BTreeMap<String, Stored<shape::Target>>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

impl Rule {
    /// Its ARN.
    pub fn arn(&self, scope: &Scope) -> String {
        Arn::new("events", scope, format!("rule/{}", self.name)).to_string()
    }

    /// What it waits for. One that was kept is valid.
    pub fn matcher(&self) -> Option<Pattern> {
        Pattern::parse(&self.pattern).ok()
    }
}

impl Row for Rule {
    const TABLE: &'static str = "events-rules";

    fn id(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.name)
    }
}

/// An event on its way to a log group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// A UUID: the name of the log stream that it goes into.
    pub id: String,
    /// The ARN of the rule that sends it.
    pub rule: String,
    /// The log group.
    pub group: String,
    /// The time of the log event.
    pub at: Timestamp,
    /// The log event's message.
    pub message: String,
}

impl Row for Delivery {
    const TABLE: &'static str = "events-deliveries";

    fn id(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.id)
    }
}
