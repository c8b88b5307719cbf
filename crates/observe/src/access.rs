//! Resource policies: which AWS services may write into the log groups of an account.
//!
//! They bind services alone; users and roles have policies of their own. Source: API reference, `PutResourcePolicy`.

use policy::{Caller, Context, Decision, Denial, Kind, Named, Policies, Reason, Request, evaluate};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use store::{Row, View};
use types::{Scope, Timestamp};

/// A resource policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourcePolicy {
    /// Unique in account and region.
    pub name: String,
    /// The document, as it was given.
    pub document: String,
    /// When it was put.
    pub updated: Timestamp,
}

impl Row for ResourcePolicy {
    const TABLE: &'static str = "logs.policy";

    fn id(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.name)
    }
}

/// A service that writes into log groups.
#[derive(Debug, Clone, Copy)]
pub struct Writer<'a> {
    /// Its principal: `events.amazonaws.com`.
    pub service: &'a str,
    /// The ARN of what it writes for, which policies know as `aws:SourceArn`.
    pub source: &'a str,
}

/// Whether a service may make a stream in a group and write into it.
pub fn may_write(
    view: &View,
    scope: &Scope,
    writer: &Writer<'_>,
    (group, stream): (&str, &str),
) -> Result<(), Box<Denial>> {
    let resource = format!("arn:aws:logs:{}:{}:log-group:{group}:log-stream:{stream}", scope.region, scope.account);
    let documents: Vec<&str> = view.scan::<ResourcePolicy>(scope).map(|row| row.document.as_str()).collect();
    for action in ["logs:CreateLogStream", "logs:PutLogEvents"] {
        allowed(&documents, scope, writer, action, &resource)?;
    }
    Ok(())
}

/// One policy must allow, and none deny.
fn allowed(
    documents: &[&str],
    scope: &Scope,
    writer: &Writer<'_>,
    action: &str,
    resource: &str,
) -> Result<(), Box<Denial>> {
    let context = Context::new().with("aws:SourceArn", writer.source).with("aws:SourceAccount", scope.account.as_str());
    let caller = Caller::Service { name: writer.service.to_owned() };
    let request = Request { caller: &caller, action, resources: &[resource], context };
    let mut outcome = evaluate(&request, &Policies::default()).into_result();
    for document in documents {
        // One that was kept is valid.
        let Ok(document) = policy::parse(Kind::Resource, document) else { continue };
        let resource = Some(Named { name: "", document: &document });
        match evaluate(&request, &Policies { resource, ..Policies::default() }) {
            Decision::Allow(_) => outcome = Ok(()),
            Decision::Deny(denial) if matches!(denial.reason, Reason::Explicit(..)) => return Err(denial),
            Decision::Deny(_) => {}
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str = "arn:aws:events:us-east-1:123456789012:rule/r";
    const STREAM: &str = "arn:aws:logs:us-east-1:123456789012:log-group:/aws/events/e:log-stream:s";

    fn asked(documents: &[String], service: &str) -> bool {
        let documents: Vec<&str> = documents.iter().map(String::as_str).collect();
        let writer = Writer { service, source: RULE };
        allowed(&documents, &Scope::default(), &writer, "logs:PutLogEvents", STREAM).is_ok()
    }

    fn document(effect: &str, resource: &str, more: &str) -> String {
        format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"{effect}","Principal":{{"Service":"events.amazonaws.com"}},
            "Action":"logs:*","Resource":"{resource}"{more}}}]}}"#
        )
    }

    #[test]
    fn one_policy_must_name_the_service_and_none_deny() {
        let events = "events.amazonaws.com";
        let of = |group: &str| document("Allow", &format!("arn:aws:logs:us-east-1:123456789012:log-group:{group}"), "");
        assert!(!asked(&[], events), "without any policy");
        // As the CDK, Terraform's documentation and the user guide write it.
        for group in ["/aws/events/e:*", "/aws/events/e:*:*", "/aws/events/*:*"] {
            assert!(asked(&[of("/other:*"), of(group)], events), "{group}");
            assert!(!asked(&[of(group)], "route53.amazonaws.com"), "{group}");
            assert!(!asked(&[of(group), document("Deny", "*", "")], events), "{group}");
        }
        assert!(!asked(&[of("/other:*")], events));
    }

    #[test]
    fn policies_may_ask_for_the_rule() {
        let of = |rule: &str| {
            let condition = format!(r#","Condition":{{"ArnEquals":{{"aws:SourceArn":"{rule}"}}}}"#);
            document("Allow", "*", &condition)
        };
        assert!(asked(&[of(RULE)], "events.amazonaws.com"));
        assert!(!asked(&[of("arn:aws:events:us-east-1:123456789012:rule/x")], "events.amazonaws.com"));
    }
}
