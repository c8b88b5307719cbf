//! What a task definition's `valueFrom` names, and its value.
//!
//! Two steps, so that the agent can ask IAM in between: [`Reference::parse`] says what is meant, [`resolve`] reads it.
//! Source: Amazon ECS Developer Guide, "Pass sensitive data to an Amazon ECS container".

use crate::Secrets;
use crate::rows::{CURRENT, Parameter, Secret};
use crate::texts;
use std::sync::Arc;
use store::View;
use types::arn::Arn;
use types::{ApiError, Scope, Timestamp};

/// What a `valueFrom` means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// A secret of Secrets Manager, by ARN, possibly one key of its JSON.
    Secret {
        /// Where it lies.
        scope: Scope,
        /// The secret's ARN, with or without its six characters.
        arn: String,
        /// The key in the JSON of its value.
        json_key: Option<String>,
        /// A staging label; `AWSCURRENT` where neither it nor a version is given.
        stage: Option<String>,
        /// A version's id.
        version: Option<String>,
    },
    /// A parameter of Systems Manager.
    Parameter {
        /// Where it lies.
        scope: Scope,
        /// Its name, possibly with `:version`.
        name: String,
        /// Its ARN.
        arn: String,
    },
}

impl Reference {
    /// Reads a `valueFrom`: `arn:…:secret:<name>-<6>:<json key>:<stage>:<version>` (the last three may be empty or left
    /// out), a parameter's ARN, or a parameter's name in the task's own region.
    pub fn parse(scope: &Scope, value_from: &str) -> Option<Self> {
        let Ok(arn) = value_from.parse::<Arn>() else {
            return (!value_from.is_empty()).then(|| Self::Parameter {
                scope: scope.clone(),
                name: value_from.to_owned(),
                arn: Parameter::arn(scope, value_from),
            });
        };
        let there = Scope::new(arn.account.parse().ok()?, arn.region.parse().ok()?);
        match arn.service.as_str() {
            "secretsmanager" => {
                let mut parts = arn.resource.split(':');
                let (kind, name) = (parts.next()?, parts.next().filter(|name| !name.is_empty())?);
                let mut next = || parts.next().filter(|part| !part.is_empty()).map(str::to_owned);
                let (json_key, stage, version) = (next(), next(), next());
                (kind == "secret" && parts.next().is_none()).then(|| Self::Secret {
                    arn: Arn::new("secretsmanager", &there, format!("secret:{name}")).to_string(),
                    scope: there,
                    json_key,
                    stage,
                    version,
                })
            }
            "ssm" => {
                let name = arn.resource.strip_prefix("parameter")?.to_owned();
                let bare = name.strip_prefix('/').filter(|bare| !bare.is_empty())?;
                // A path keeps its slash; a plain name has none.
                let name = if bare.contains('/') { name.clone() } else { bare.to_owned() };
                Some(Self::Parameter { scope: there, name, arn: value_from.to_owned() })
            }
            _ => None,
        }
    }

    /// The IAM action that reading it takes, as the agent calls it.
    pub fn action(&self) -> &'static str {
        match self {
            Self::Secret { .. } => "secretsmanager:GetSecretValue",
            Self::Parameter { .. } => "ssm:GetParameters",
        }
    }

    /// The resource of that action. For a secret ask with [`secret_arn`], which knows the whole ARN.
    pub fn arn(&self) -> &str {
        match self {
            Self::Secret { arn, .. } | Self::Parameter { arn, .. } => arn,
        }
    }
}

/// Why a value cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// The service refused, with its error.
    #[error("{}: {}", .0.code, .0.message)]
    Service(ApiError),
    /// The parameter does not exist; the agent's words.
    #[error("invalid ssm parameters: {0}")]
    InvalidParameters(String),
    /// The value has no such key; the agent's words.
    #[error("retrieved secret from Secrets Manager did not contain json key {0}")]
    NoJsonKey(String),
    /// The value is not a JSON object; the agent's words.
    #[error("unable to parse secret value as JSON while looking for json key {0}")]
    NotJson(String),
}

/// The whole ARN of the secret that `arn` names, with or without its six characters.
pub fn secret_arn(view: &View, scope: &Scope, arn: &str, now: Timestamp) -> Option<String> {
    find_secret(view, scope, arn, now).map(|secret| secret.arn.clone())
}

/// The value that `reference` names. Whether the reader may have it has been decided before.
pub fn resolve(secrets: &Secrets, view: &View, reference: &Reference, now: Timestamp) -> Result<String, Unresolved> {
    match reference {
        Reference::Secret { scope, arn, json_key, stage, version } => {
            let secret = find_secret(view, scope, arn, now).ok_or_else(|| failed(texts::no_such_secret()))?;
            let id = choose(&secret, version.as_deref(), stage.as_deref()).map_err(failed)?;
            let plain = secret.open(&secrets.vault, id).ok_or_else(|| failed(ApiError::internal()))?;
            let text = plain.text().ok_or_else(|| failed(texts::no_value()))?;
            match json_key {
                None => Ok(text.to_owned()),
                Some(key) => json_member(text, key),
            }
        }
        Reference::Parameter { scope, name, .. } => {
            let invalid = || Unresolved::InvalidParameters(name.clone());
            let (bare, version) = split_version(name);
            let parameter = find_parameter(view, scope, bare).ok_or_else(invalid)?;
            let version = match version {
                None => parameter.newest(),
                Some(number) => number.parse().ok().and_then(|number| parameter.version(number)),
            };
            let version = version.ok_or_else(invalid)?;
            parameter.open(&secrets.vault, scope, version).ok_or_else(|| failed(ApiError::internal()))
        }
    }
}

fn failed(error: ApiError) -> Unresolved {
    Unresolved::Service(error)
}

fn json_member(text: &str, key: &str) -> Result<String, Unresolved> {
    let object: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(text).map_err(|_| Unresolved::NotJson(key.to_owned()))?;
    match object.get(key) {
        None => Err(Unresolved::NoJsonKey(key.to_owned())),
        Some(serde_json::Value::String(value)) => Ok(value.clone()),
        Some(other) => Ok(other.to_string()),
    }
}

/// The secret that an id of the API names: a name, an ARN, or an ARN without the six characters.
pub(crate) fn find_secret(view: &View, scope: &Scope, id: &str, now: Timestamp) -> Option<Arc<Secret>> {
    let found = if id.starts_with("arn:") {
        let whole = view.by_index(&Secret::BY_ARN, scope, id).next().cloned();
        whole.or_else(|| {
            let arn: Arn = id.parse().ok()?;
            let ours = arn.service == "secretsmanager"
                && arn.region == scope.region.as_str()
                && arn.account == scope.account.as_str();
            view.get::<Secret>(scope, arn.resource.strip_prefix("secret:").filter(|_| ours)?)
        })
    } else {
        view.get::<Secret>(scope, id)
    };
    found.filter(|secret| !secret.is_gone(now))
}

/// The version meant by a version id and a label, either of which may be absent.
pub(crate) fn choose<'a>(secret: &'a Secret, version: Option<&str>, stage: Option<&str>) -> Result<&'a str, ApiError> {
    match (version, stage) {
        (Some(id), stage) => {
            let (id, found) = secret.versions.get_key_value(id).ok_or_else(|| texts::no_value_for_version(id))?;
            match stage {
                Some(stage) if !found.stages.contains(stage) => Err(texts::stage_is_not_of_version()),
                _ => Ok(id),
            }
        }
        (None, stage) => {
            let stage = stage.unwrap_or(CURRENT);
            secret.staged(stage).ok_or_else(|| texts::no_value_for_label(stage))
        }
    }
}

/// The parameter of that name, or the one whose ARN is given.
pub(crate) fn find_parameter(view: &View, scope: &Scope, name: &str) -> Option<Arc<Parameter>> {
    if let Some(arn) = name.parse::<Arn>().ok().filter(|arn| arn.service == "ssm") {
        let there = Scope::new(arn.account.parse().ok()?, arn.region.parse().ok()?);
        let path = arn.resource.strip_prefix("parameter")?;
        let bare = path.strip_prefix('/')?;
        return view.get::<Parameter>(&there, path).or_else(|| view.get::<Parameter>(&there, bare));
    }
    view.get::<Parameter>(scope, name)
}

/// `name:3` → the name and what follows the colon. The colons of an ARN are not meant.
pub(crate) fn split_version(name: &str) -> (&str, Option<&str>) {
    let from = if name.starts_with("arn:") { name.find(":parameter").map_or(0, |at| at + 1) } else { 0 };
    match name[from..].find(':') {
        Some(at) => (&name[..from + at], Some(&name[from + at + 1..])),
        None => (name, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_from_is_read_in_all_its_forms() {
        let scope = Scope::default();
        let secret = |json_key: Option<&str>, stage: Option<&str>, version: Option<&str>| Reference::Secret {
            scope: scope.clone(),
            arn: "arn:aws:secretsmanager:us-east-1:123456789012:secret:app/db-AbCdEf".to_owned(),
            json_key: json_key.map(str::to_owned),
            stage: stage.map(str::to_owned),
            version: version.map(str::to_owned),
        };
        let base = "arn:aws:secretsmanager:us-east-1:123456789012:secret:app/db-AbCdEf";
        for (tail, expected) in [
            ("", secret(None, None, None)),
            (":url::", secret(Some("url"), None, None)),
            (":url:AWSPREVIOUS:", secret(Some("url"), Some("AWSPREVIOUS"), None)),
            (":::1a2b", secret(None, None, Some("1a2b"))),
        ] {
            assert_eq!(Reference::parse(&scope, &format!("{base}{tail}")), Some(expected), "{tail}");
        }
        let name = |text: &str| match Reference::parse(&scope, text) {
            Some(Reference::Parameter { name, .. }) => name,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(name("plain"), "plain");
        assert_eq!(name("arn:aws:ssm:us-east-1:123456789012:parameter/plain"), "plain");
        assert_eq!(name("arn:aws:ssm:us-east-1:123456789012:parameter/a/b"), "/a/b");
        assert_eq!(Reference::parse(&scope, "arn:aws:s3:::bucket"), None);
        assert_eq!(Reference::parse(&scope, &format!("{base}:a:b:c:d")), None);
    }

    #[test]
    fn a_version_follows_the_name() {
        assert_eq!(split_version("/a/b:3"), ("/a/b", Some("3")));
        assert_eq!(split_version("/a/b"), ("/a/b", None));
        let arn = "arn:aws:ssm:us-east-1:123456789012:parameter/a";
        assert_eq!(split_version(arn), (arn, None));
        assert_eq!(split_version(&format!("{arn}:2")), (arn, Some("2")));
    }
}
