//! An event, and its envelope in JSON. Source: EventBridge user guide, "Event structure".

use serde_json::{Value, json};
use types::{Scope, Timestamp};

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// `aws.ecs`, or whatever a caller of PutEvents says.
    pub source: String,
    /// `ECS Task State Change` and the like.
    pub detail_type: String,
    /// The ARNs of what it is about.
    pub resources: Vec<String>,
    /// When.
    pub at: Timestamp,
    /// What, as an object.
    pub detail: Value,
}

impl Event {
    /// The event as rules and targets see it, under the id `id`.
    pub fn envelope(&self, scope: &Scope, id: &str) -> Value {
        json!({
            "version": "0",
            "id": id,
            "detail-type": self.detail_type,
            "source": self.source,
            "account": scope.account.as_str(),
            "time": seconds(self.at),
            "region": scope.region.as_str(),
            "resources": self.resources,
            "detail": self.detail,
        })
    }
}

/// `2026-11-23T08:47:00Z`: events tell the time to the second.
fn seconds(at: Timestamp) -> String {
    let text = at.iso8601();
    text.split_once('.').map_or(text.clone(), |(whole, _)| format!("{whole}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_to_the_second() {
        assert_eq!(seconds(Timestamp(1_800_000_000_123)), "2027-01-15T08:00:00Z");
    }
}
