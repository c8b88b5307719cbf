//! From an event to its deliveries: what the rules of the moment make of it.

use crate::event::Event;
use crate::rows::{Delivery, Rule};
use crate::transform::{self, Facts};
use serde_json::Value;
use std::sync::Arc;
use store::{Tx, View};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use types::arn::Arn;
use types::{Scope, Timestamp};

/// Whether any rule could care about events at the moment: where not, there is no need to make them.
pub fn is_awaited(view: &View, scope: &Scope) -> bool {
    view.scan::<Rule>(scope).any(|rule| rule.enabled && !rule.targets.is_empty())
}

/// Tells of an event, in the transaction in which it happens. Its id.
pub fn publish(tx: &mut Tx, scope: &Scope, event: &Event, now: Timestamp) -> String {
    let id = types::id::random_uuid();
    let rules: Vec<Arc<Rule>> = tx.scan::<Rule>(scope).filter(|rule| rule.enabled).cloned().collect();
    if rules.is_empty() {
        return id;
    }
    let envelope = event.envelope(scope, &id);
    for rule in rules {
        if !rule.matcher().is_some_and(|pattern| pattern.matches(&envelope)) {
            continue;
        }
        let arn = rule.arn(scope);
        let facts = Facts { rule_arn: &arn, rule_name: &rule.name, ingested: now };
        for target in rule.targets.values() {
            let Some(group) = log_group(scope, &target.arn) else { continue };
            let input = transform::input(&target.0, &envelope, &facts);
            let (at, message) = log_event(input, event.at);
            let rule = arn.clone();
            tx.put(scope, Delivery { id: types::id::random_uuid(), rule, group, at, message });
        }
    }
    id
}

/// The log group that an ARN names, if it is one of the scope.
pub(crate) fn log_group(scope: &Scope, arn: &str) -> Option<String> {
    let arn: Arn = arn.parse().ok()?;
    let home = arn.service == "logs" && arn.region == scope.region.as_str() && arn.account == scope.account.as_str();
    let group = arn.resource.strip_prefix("log-group:").filter(|_| home)?;
    let group = group.strip_suffix(":*").unwrap_or(group);
    (!group.is_empty() && !group.contains(':')).then(|| group.to_owned())
}

/// What CloudWatch Logs is given: of `{"timestamp": …, "message": …}` the two, of all else itself.
fn log_event(input: Value, at: Timestamp) -> (Timestamp, String) {
    let text = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    match input {
        Value::Object(mut object) if object.len() == 2 && object.contains_key("message") => {
            let said = object.get("timestamp").and_then(instant);
            let known = object.contains_key("timestamp");
            match object.remove("message").filter(|_| known) {
                Some(message) => (said.unwrap_or(at), text(message)),
                None => (at, text(Value::Object(object))),
            }
        }
        other => (at, text(other)),
    }
}

/// A time as templates write it: that of the event, or milliseconds.
fn instant(value: &Value) -> Option<Timestamp> {
    if let Some(millis) = value.as_i64() {
        return Some(Timestamp(millis));
    }
    let at = OffsetDateTime::parse(value.as_str()?, &Rfc3339).ok()?;
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok().map(Timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_log_event_may_say_its_time() {
        let at = Timestamp(5);
        assert_eq!(log_event(json!({ "timestamp": 7, "message": "x" }), at), (Timestamp(7), "x".to_owned()));
        let said = json!({ "timestamp": "2027-01-15T08:00:00Z", "message": "x" });
        assert_eq!(log_event(said, at), (Timestamp(1_800_000_000_000), "x".to_owned()));
        assert_eq!(log_event(json!({ "timestamp": "now", "message": { "a": 1 } }), at), (at, "{\"a\":1}".to_owned()));
        assert_eq!(log_event(json!({ "a": 1 }), at), (at, "{\"a\":1}".to_owned()));
        assert_eq!(log_event(json!("plain"), at), (at, "plain".to_owned()));
    }

    #[test]
    fn a_log_group_is_of_the_same_account_and_region() {
        let scope = Scope::default();
        let of = |arn: &str| log_group(&scope, arn);
        assert_eq!(of("arn:aws:logs:us-east-1:123456789012:log-group:/e").as_deref(), Some("/e"));
        assert_eq!(of("arn:aws:logs:us-east-1:123456789012:log-group:/e:*").as_deref(), Some("/e"));
        assert_eq!(of("arn:aws:logs:eu-west-1:123456789012:log-group:/e"), None);
        assert_eq!(of("arn:aws:logs:us-east-1:123456789012:log-group:/e:log-stream:x"), None);
        assert_eq!(of("arn:aws:sqs:us-east-1:123456789012:q"), None);
    }
}
