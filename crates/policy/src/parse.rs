//! Text to [`Document`], with IAM's `MalformedPolicyDocument` texts. Total: any text gives a document or an error.

use crate::condition::Condition;
use crate::document::{Document, Effect, Element, Statement};
use crate::json::Json;
use crate::pattern::Pattern;
use crate::principal::PrincipalSet;
use std::collections::BTreeSet;
use std::fmt;

/// Longer documents are refused unread (the API's own limit of a policy's length in characters).
pub const MAX_SIZE: usize = 131_072;

/// What a document is for: it decides which elements it must and must not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Attached to a user or role, a permissions boundary, or a session's policy.
    Identity,
    /// Who may assume a role.
    Trust,
    /// Attached to a resource of another service. These may be of version 2008-10-17.
    Resource,
}

/// Why a document is refused, in AWS's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed(pub String);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Malformed {}

const SYNTAX: &str = "Syntax errors in policy.";

fn malformed(text: impl Into<String>) -> Malformed {
    Malformed(text.into())
}

/// Parses a document of that kind.
pub fn parse(kind: Kind, text: &str) -> Result<Document, Malformed> {
    if text.len() > MAX_SIZE {
        return Err(malformed(SYNTAX));
    }
    let json = Json::parse(text)
        .ok_or_else(|| malformed(if kind == Kind::Trust { "This policy contains invalid Json" } else { SYNTAX }))?;
    let members = json.object().ok_or_else(|| malformed(SYNTAX))?;
    let mut version = None;
    let mut statements = None;
    for (name, value) in members {
        match name.as_str() {
            "Version" => match value.text() {
                Some(text @ ("2012-10-17" | "2008-10-17")) => version = Some(text),
                _ => return Err(malformed(SYNTAX)),
            },
            "Id" if value.text().is_some() => {}
            "Statement" => statements = Some(value.one_or_many()),
            _ => return Err(malformed(SYNTAX)),
        }
    }
    let current = version == Some("2012-10-17");
    let statements = statements.filter(|list| !list.is_empty()).ok_or_else(|| malformed(SYNTAX))?;
    if kind == Kind::Identity && !current {
        return Err(malformed("Policy document must be version 2012-10-17 or greater."));
    }
    let raw = statements.iter().map(|json| RawStatement::read(json, current)).collect::<Option<Vec<_>>>();
    let raw = raw.ok_or_else(|| malformed(SYNTAX))?;
    let mut sids = BTreeSet::new();
    if raw.iter().filter_map(|s| s.sid.filter(|sid| !sid.is_empty())).any(|sid| !sids.insert(sid)) {
        return Err(malformed("Statement IDs (SID) in a single policy must be unique."));
    }
    let statements = raw.into_iter().map(|s| s.build(kind, current)).collect::<Result<_, _>>()?;
    Ok(Document { current, statements })
}

/// A statement whose elements have the right JSON types.
struct RawStatement<'a> {
    sid: Option<&'a str>,
    effect: Effect,
    actions: Option<Element<Vec<&'a str>>>,
    resources: Option<Element<Vec<&'a str>>>,
    principals: Option<Element<PrincipalSet>>,
    conditions: Vec<Condition>,
}

impl<'a> RawStatement<'a> {
    fn read(json: &'a Json, current: bool) -> Option<Self> {
        let mut statement = Self {
            sid: None,
            effect: Effect::Deny,
            actions: None,
            resources: None,
            principals: None,
            conditions: Vec::new(),
        };
        let mut effect = None;
        for (name, value) in json.object()? {
            match name.as_str() {
                "Sid" => statement.sid = Some(value.text()?),
                "Effect" => {
                    effect = Some(match value.text()? {
                        "Allow" => Effect::Allow,
                        "Deny" => Effect::Deny,
                        _ => return None,
                    });
                }
                "Action" => put(&mut statement.actions, Element::Is(texts(value)?))?,
                "NotAction" => put(&mut statement.actions, Element::Not(texts(value)?))?,
                "Resource" => put(&mut statement.resources, Element::Is(texts(value)?))?,
                "NotResource" => put(&mut statement.resources, Element::Not(texts(value)?))?,
                "Principal" => put(&mut statement.principals, Element::Is(principals(value)?))?,
                "NotPrincipal" => put(&mut statement.principals, Element::Not(principals(value)?))?,
                "Condition" => statement.conditions = Condition::parse_block(value, current)?,
                _ => return None,
            }
        }
        statement.effect = effect?;
        Some(statement)
    }

    fn build(self, kind: Kind, current: bool) -> Result<Statement, Malformed> {
        let Some(actions) = self.actions.filter(|list| !inner(list).is_empty()) else {
            return Err(malformed("Policy statement must contain actions."));
        };
        for action in inner(&actions) {
            check_action(action)?;
            if kind == Kind::Trust && !is_trust_action(action) {
                return Err(malformed("AssumeRole policy may only specify STS AssumeRole actions."));
            }
        }
        match kind {
            Kind::Identity => {
                if self.principals.is_some() {
                    return Err(malformed("Policy document should not specify a principal."));
                }
                if self.resources.as_ref().is_none_or(|list| inner(list).is_empty()) {
                    return Err(malformed("Policy statement must contain resources."));
                }
            }
            Kind::Trust => {
                if self.resources.is_some() {
                    return Err(malformed("Has prohibited field Resource"));
                }
                if self.principals.is_none() {
                    return Err(malformed("Missing required field Principal"));
                }
            }
            Kind::Resource => {
                if self.principals.is_none() {
                    return Err(malformed("Missing required field Principal"));
                }
            }
        }
        if let Some(resources) = &self.resources {
            inner(resources).iter().try_for_each(|resource| check_resource(resource))?;
        }
        Ok(Statement {
            sid: self.sid.map(str::to_owned),
            effect: self.effect,
            principals: self.principals,
            // Variables have no meaning in actions.
            actions: map(actions, |action| Pattern::parse(action, false)),
            resources: self.resources.map(|list| map(list, |resource| Pattern::parse(resource, current))),
            conditions: self.conditions,
        })
    }
}

/// Fills an element; it and its `Not…` form exclude each other.
fn put<T>(place: &mut Option<T>, value: T) -> Option<()> {
    place.replace(value).is_none().then_some(())
}

fn texts(json: &Json) -> Option<Vec<&str>> {
    json.one_or_many().iter().map(Json::text).collect()
}

fn inner<T>(element: &Element<T>) -> &T {
    match element {
        Element::Is(list) | Element::Not(list) => list,
    }
}

fn map<A, B>(element: Element<Vec<A>>, f: impl Fn(A) -> B) -> Element<Vec<B>> {
    match element {
        Element::Is(list) => Element::Is(list.into_iter().map(f).collect()),
        Element::Not(list) => Element::Not(list.into_iter().map(f).collect()),
    }
}

fn principals(json: &Json) -> Option<PrincipalSet> {
    if let Some(text) = json.text() {
        return (text == "*").then_some(PrincipalSet::Anyone);
    }
    let mut listed = Vec::new();
    for (kind, values) in json.object()? {
        if !matches!(kind.as_str(), "AWS" | "Service" | "Federated" | "CanonicalUser") {
            return None;
        }
        for value in texts(values)? {
            listed.push((kind.clone(), value.to_owned()));
        }
    }
    (!listed.is_empty()).then_some(PrincipalSet::Listed(listed))
}

fn check_action(action: &str) -> Result<(), Malformed> {
    let Some((vendor, name)) = action.split_once(':') else {
        return if action == "*" {
            Ok(())
        } else {
            Err(malformed("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."))
        };
    };
    if name.contains(':') {
        return Err(malformed("Actions/Condition can contain only one colon."));
    }
    let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
    if vendor != "*" && (vendor.is_empty() || !vendor.bytes().all(fine)) {
        return Err(malformed(format!("Vendor {vendor} is not valid")));
    }
    Ok(())
}

fn is_trust_action(action: &str) -> bool {
    let name = action.strip_prefix("sts:").unwrap_or_default();
    matches!(
        name,
        "AssumeRole" | "AssumeRoleWithSAML" | "AssumeRoleWithWebIdentity" | "SetSourceIdentity" | "TagSession"
    ) || matches!(name, "*" | "Assume*" | "AssumeRole*")
}

fn check_resource(resource: &str) -> Result<(), Malformed> {
    if resource == "*" {
        return Ok(());
    }
    let not_arn = || malformed(format!("Resource {resource} must be in ARN format or \"*\"."));
    let parts: Vec<&str> = resource.splitn(6, ':').collect();
    if parts.len() < 2 || (parts[0] != "arn" && !parts[0].contains(['*', '?'])) {
        return Err(not_arn());
    }
    let part = |i: usize| parts.get(i).copied().filter(|p| !p.is_empty()).unwrap_or("*");
    let partition = parts[1];
    if !matches!(partition, "aws" | "aws-cn" | "aws-us-gov" | "aws-iso" | "aws-iso-b")
        && !partition.contains(['*', '?', '$'])
    {
        return Err(malformed(format!(
            "Partition \"{partition}\" is not valid for resource \"arn:{partition}:{}:{}:{}:{}\".",
            part(2),
            part(3),
            part(4),
            part(5)
        )));
    }
    let service = parts.get(2).copied().unwrap_or_default();
    if service.is_empty() || (service != "*" && service.contains(['*', '?'])) {
        return Err(malformed("Resource vendor must be fully qualified and cannot contain regexes."));
    }
    if parts.len() < 6 && !resource.ends_with('*') {
        return Err(malformed("The policy failed legacy parsing"));
    }
    if service == "iam" {
        if parts.get(3).is_some_and(|region| !region.is_empty() && *region != "*") {
            return Err(malformed(format!("IAM resource {resource} cannot contain region information.")));
        }
        let path = parts.get(5).copied().unwrap_or("*");
        if !path.starts_with('*') && !IAM_PATHS.iter().any(|start| path.starts_with(start)) {
            return Err(malformed(format!(
                "IAM resource path must either be \"*\" or start with {}.",
                IAM_PATHS.join(", ")
            )));
        }
    }
    Ok(())
}

/// What the resource of an ARN of IAM may begin with.
const IAM_PATHS: [&str; 13] = [
    "user/",
    "federated-user/",
    "role/",
    "group/",
    "instance-profile/",
    "mfa/",
    "server-certificate/",
    "policy/",
    "sms-mfa/",
    "saml-provider/",
    "oidc-provider/",
    "report/",
    "access-report/",
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn error(kind: Kind, text: &str) -> String {
        parse(kind, text).map_or_else(|e| e.0, |_| String::new())
    }

    fn identity(statement: &str) -> String {
        error(Kind::Identity, &format!(r#"{{"Version":"2012-10-17","Statement":{statement}}}"#))
    }

    #[test]
    fn aws_texts_for_malformed_documents() {
        let actions = "Policy statement must contain actions.";
        for (statement, expected) in [
            (r#"{"Effect":"Allow","Action":"ecs:*","Resource":"*"}"#, ""),
            (r#"[{"Effect":"Allow","NotAction":["ecs:*"],"NotResource":["arn:aws:ecs:*"]}]"#, ""),
            ("[]", SYNTAX),
            (r#"{"Effect":"allow","Action":"ecs:*","Resource":"*"}"#, SYNTAX),
            (r#"{"Action":"ecs:*","Resource":"*"}"#, SYNTAX),
            (r#"{"Effect":"Allow","Action":"a:b","NotAction":"a:b","Resource":"*"}"#, SYNTAX),
            (r#"{"Effect":"Allow","Resource":"*"}"#, actions),
            (r#"{"Effect":"Allow","Action":[],"Resource":"*"}"#, actions),
            (r#"{"Effect":"Allow","Action":"ecs:*"}"#, "Policy statement must contain resources."),
            (r#"{"Effect":"Allow","Action":"a:b:c","Resource":"*"}"#, "Actions/Condition can contain only one colon."),
            (r#"{"Effect":"Allow","Action":"a b:c","Resource":"*"}"#, "Vendor a b is not valid"),
            (
                r#"{"Effect":"Allow","Action":"run","Resource":"*"}"#,
                "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
            ),
            (
                r#"{"Effect":"Allow","Action":"a:b","Resource":"bucket"}"#,
                "Resource bucket must be in ARN format or \"*\".",
            ),
            (
                r#"{"Effect":"Allow","Action":"a:b","Resource":"arn:amz:s3:::b"}"#,
                "Partition \"amz\" is not valid for resource \"arn:amz:s3:*:*:b\".",
            ),
            (
                r#"{"Effect":"Allow","Action":"a:b","Resource":"*","Principal":"*"}"#,
                "Policy document should not specify a principal.",
            ),
            (
                r#"[{"Sid":"a","Effect":"Allow","Action":"a:b","Resource":"*"},{"Sid":"a","Effect":"Allow","Action":"a:b","Resource":"*"}]"#,
                "Statement IDs (SID) in a single policy must be unique.",
            ),
        ] {
            assert_eq!(identity(statement), expected, "{statement}");
        }
        assert_eq!(
            error(Kind::Identity, r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#),
            "Policy document must be version 2012-10-17 or greater."
        );
        assert_eq!(error(Kind::Trust, "{"), "This policy contains invalid Json");
    }

    #[test]
    fn a_trust_policy_names_principals_and_no_resources() {
        let trust = |s: &str| error(Kind::Trust, &format!(r#"{{"Version":"2012-10-17","Statement":[{s}]}}"#));
        let ecs = r#""Principal":{"Service":"ecs-tasks.amazonaws.com"}"#;
        assert_eq!(trust(&format!(r#"{{"Effect":"Allow",{ecs},"Action":"sts:AssumeRole"}}"#)), "");
        assert_eq!(trust(r#"{"Effect":"Allow","Action":"sts:AssumeRole"}"#), "Missing required field Principal");
        assert_eq!(
            trust(&format!(r#"{{"Effect":"Allow",{ecs},"Action":"sts:AssumeRole","Resource":"*"}}"#)),
            "Has prohibited field Resource"
        );
        assert_eq!(
            trust(&format!(r#"{{"Effect":"Allow",{ecs},"Action":"ecs:RunTask"}}"#)),
            "AssumeRole policy may only specify STS AssumeRole actions."
        );
    }

    proptest! {
        #[test]
        fn any_text_gives_a_document_or_an_error(text in ".{0,200}") {
            for kind in [Kind::Identity, Kind::Trust, Kind::Resource] {
                let _ = parse(kind, &text);
            }
        }

        #[test]
        fn any_policy_like_text_gives_a_document_or_an_error(
            action in "[a-z*:]{0,12}", resource in "(arn:)?[a-z*:/${}]{0,20}", operator in "[A-Za-z:]{0,20}", value in ".{0,8}",
        ) {
            let quoted = serde_json::to_string(&value).expect("a string");
            let text = format!(
                r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":"{action}","Resource":"{resource}",
                "Condition":{{"{operator}":{{"aws:x":{quoted}}}}}}}}}"#
            );
            let _ = parse(Kind::Identity, &text);
        }
    }
}
