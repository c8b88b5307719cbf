//! Parameters: put, get, delete.

use super::{parameter_tags, public_parameter};
use crate::query::{choose, find_parameter, find_secret, split_version};
use crate::rows::{Parameter, ParameterVersion};
use crate::{Secrets, texts};
use gateway::Context;
use model::ssm::{
    DeleteParameterRequest, DeleteParameterResult, GetParameterRequest, GetParameterResult, GetParametersRequest,
    GetParametersResult, PutParameterRequest, PutParameterResult,
};
use std::collections::BTreeMap;
use store::View;
use types::{ApiError, Scope, Timestamp};

pub(super) const SECURE: &str = "SecureString";
const STANDARD: &str = "Standard";
const ADVANCED: &str = "Advanced";
const STANDARD_SIZE: usize = 4096;
const ADVANCED_SIZE: usize = 8192;
const MOST_VERSIONS: usize = 100;
const MOST_LEVELS: usize = 15;
/// Through this name a parameter's reader gets a secret of Secrets Manager.
const SECRETS: &str = "/aws/reference/secretsmanager/";

pub(super) fn put(
    secrets: &Secrets,
    cx: &mut Context,
    input: PutParameterRequest,
) -> Result<PutParameterResult, ApiError> {
    let overwrite = input.overwrite == Some(true);
    let given_tags = input.tags.unwrap_or_default();
    if overwrite && !given_tags.is_empty() {
        return Err(texts::tags_with_overwrite());
    }
    if input.policies.as_deref().is_some_and(|policies| !matches!(policies.trim(), "" | "[]" | "[{}]")) {
        return Err(ApiError::not_implemented("parameter policies"));
    }
    check_name(&input.name)?;
    let data_type = input.data_type.unwrap_or_else(|| "text".to_owned());
    if !matches!(data_type.as_str(), "text" | "aws:ec2:image" | "aws:ssm:integration") {
        return Err(texts::bad_data_type(&data_type));
    }
    let (scope, now) = (cx.scope.clone(), cx.now);
    let modified_by = cx.principal.arn.clone();
    let tx = cx.tx();
    let present = tx.get::<Parameter>(&scope, &input.name);
    if present.is_some() && !overwrite {
        return Err(texts::parameter_exists());
    }
    let before = present.as_ref().and_then(|parameter| parameter.newest());
    let kind = input.type_.or_else(|| before.map(|before| before.kind.clone()));
    let kind = kind.ok_or_else(texts::parameter_type_needed)?;
    let tier = tier(input.tier.as_deref(), before.map(|before| before.tier.as_str()), input.value.len())?;
    let allowed_pattern = input.allowed_pattern.or_else(|| before.and_then(|before| before.allowed_pattern.clone()));
    if let Some(pattern) = &allowed_pattern {
        let regex = regex::RegexBuilder::new(pattern).size_limit(1 << 20).build();
        if !regex.map_err(|_| texts::bad_pattern())?.is_match(&input.value) {
            return Err(texts::pattern_mismatch(pattern));
        }
    }
    let number = before.map_or(1, |before| before.number + 1);
    let default_key = || (kind == SECURE).then(|| "alias/aws/ssm".to_owned());
    let version = ParameterVersion {
        number,
        value: secrets.vault.seal(&Parameter::context(&scope, &input.name, number), input.value.as_bytes()),
        description: input.description.or_else(|| before.and_then(|before| before.description.clone())),
        key_id: input.key_id.or_else(|| before.and_then(|before| before.key_id.clone())).or_else(default_key),
        allowed_pattern,
        tier: tier.to_owned(),
        data_type,
        modified: now,
        modified_by,
        kind,
    };
    let mut parameter = match &present {
        Some(present) => (**present).clone(),
        None => Parameter {
            name: input.name,
            tags: parameter_tags::merge(&BTreeMap::new(), given_tags)?,
            versions: Vec::new(),
        },
    };
    parameter.versions.push(version);
    let surplus = parameter.versions.len().saturating_sub(MOST_VERSIONS);
    parameter.versions.drain(..surplus);
    tx.put(&scope, parameter);
    Ok(PutParameterResult { version: Some(number), tier: Some(tier.to_owned()) })
}

/// The tier of a value of that length, which never goes back from `Advanced`.
fn tier(asked: Option<&str>, before: Option<&str>, length: usize) -> Result<&'static str, ApiError> {
    let large = length > STANDARD_SIZE;
    let tier = match asked {
        Some(ADVANCED) => ADVANCED,
        Some(STANDARD) if before == Some(ADVANCED) => return Err(texts::tier_cannot_shrink()),
        Some("Intelligent-Tiering") if large => ADVANCED,
        _ => before.filter(|before| *before == ADVANCED).map_or(STANDARD, |_| ADVANCED),
    };
    match tier {
        STANDARD if large => Err(texts::standard_tier_is_small()),
        ADVANCED if length > ADVANCED_SIZE => Err(texts::advanced_tier_is_small()),
        _ => Ok(tier),
    }
}

fn check_name(name: &str) -> Result<(), ApiError> {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"_.-/".contains(&b);
    if name.is_empty() || !name.bytes().all(fine) {
        return Err(texts::bad_parameter_name());
    }
    if name.contains('/') && !name.starts_with('/') || name.ends_with('/') || name.contains("//") {
        return Err(texts::not_fully_qualified());
    }
    let folded = name.trim_start_matches('/').to_ascii_lowercase();
    let is_path = name.matches('/').count() > 1;
    if folded.starts_with("aws") && is_path && name.starts_with('/') {
        return Err(texts::reserved_name(name));
    }
    if folded.starts_with("aws") || folded.starts_with("ssm") {
        return Err(texts::reserved_prefix(is_path));
    }
    if name.matches('/').count() > MOST_LEVELS {
        return Err(texts::too_deep());
    }
    Ok(())
}

pub(super) fn get(
    secrets: &Secrets,
    cx: &mut Context,
    input: GetParameterRequest,
) -> Result<GetParameterResult, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let parameter = one(secrets, cx.view(), &scope, &input.name, input.with_decryption == Some(true), now)?;
    Ok(GetParameterResult { parameter: Some(parameter) })
}

pub(super) fn get_many(
    secrets: &Secrets,
    cx: &mut Context,
    input: GetParametersRequest,
) -> Result<GetParametersResult, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let decrypt = input.with_decryption == Some(true);
    let (mut parameters, mut invalid) = (Vec::new(), Vec::new());
    for name in input.names {
        match one(secrets, cx.view(), &scope, &name, decrypt, now) {
            Ok(parameter) => parameters.push(parameter),
            Err(error) if error.status >= 500 => return Err(error),
            Err(_) => invalid.push(name),
        }
    }
    Ok(GetParametersResult { parameters: Some(parameters), invalid_parameters: Some(invalid) })
}

fn one(
    secrets: &Secrets,
    view: &View,
    scope: &Scope,
    name: &str,
    decrypt: bool,
    now: Timestamp,
) -> Result<model::ssm::Parameter, ApiError> {
    if let Some(secret) = name.strip_prefix(SECRETS) {
        return secret_as_parameter(secrets, view, scope, secret, decrypt, now);
    }
    if let Some(public) = public_parameter::find(scope, name) {
        return Ok(public);
    }
    let (bare, selector) = split_version(name);
    let parameter = find_parameter(view, scope, bare).ok_or_else(texts::no_such_parameter)?;
    let version = match selector {
        None => parameter.newest(),
        Some(number) => number.parse().ok().and_then(|number| parameter.version(number)),
    };
    let Some(version) = version else {
        return Err(texts::no_such_parameter_version(selector.unwrap_or_default(), bare));
    };
    let mut shown = described(secrets, scope, &parameter, version, decrypt).ok_or_else(ApiError::internal)?;
    shown.selector = selector.map(|selector| format!(":{selector}"));
    Ok(shown)
}

fn secret_as_parameter(
    secrets: &Secrets,
    view: &View,
    scope: &Scope,
    name: &str,
    decrypt: bool,
    now: Timestamp,
) -> Result<model::ssm::Parameter, ApiError> {
    if !decrypt {
        return Err(ApiError::new(
            "ValidationException",
            "WithDecryption flag must be True for retrieving a Secret Manager secret.",
        ));
    }
    let secret = find_secret(view, scope, name, now).filter(|secret| secret.deletion.is_none());
    let secret = secret.ok_or_else(texts::no_such_parameter)?;
    let id = choose(&secret, None, None).map_err(|_| texts::no_such_parameter())?;
    let plain = secret.open(&secrets.vault, id).ok_or_else(ApiError::internal)?;
    let full = format!("{SECRETS}{name}");
    Ok(model::ssm::Parameter {
        type_: Some(SECURE.to_owned()),
        value: Some(plain.text().ok_or_else(texts::no_such_parameter)?.to_owned()),
        version: Some(0),
        last_modified_date: secret.versions.get(id).map(|version| version.created),
        arn: Some(Parameter::arn(scope, &full)),
        name: Some(full),
        data_type: Some("text".to_owned()),
        ..Default::default()
    })
}

/// A version as the API shows it. A `SecureString` that is not to be decrypted shows its sealed form.
pub(super) fn described(
    secrets: &Secrets,
    scope: &Scope,
    parameter: &Parameter,
    version: &ParameterVersion,
    decrypt: bool,
) -> Option<model::ssm::Parameter> {
    let value = if version.kind == SECURE && !decrypt {
        version.value.as_str().to_owned()
    } else {
        parameter.open(&secrets.vault, scope, version)?
    };
    Some(model::ssm::Parameter {
        name: Some(parameter.name.clone()),
        type_: Some(version.kind.clone()),
        value: Some(value),
        version: Some(version.number),
        last_modified_date: Some(version.modified),
        arn: Some(Parameter::arn(scope, &parameter.name)),
        data_type: Some(version.data_type.clone()),
        ..Default::default()
    })
}

pub(super) fn delete(
    _: &Secrets,
    cx: &mut Context,
    input: DeleteParameterRequest,
) -> Result<DeleteParameterResult, ApiError> {
    let scope = cx.scope.clone();
    let gone = cx.tx().delete::<Parameter>(&scope, &input.name);
    gone.map(|_| DeleteParameterResult::default()).ok_or_else(texts::no_such_parameter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_as_aws_does() {
        for name in ["plain", "/a/b.c_d-e", "/x"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for (name, code) in [
            ("", "ValidationException"),
            ("a/b", "ValidationException"),
            ("/a/", "ValidationException"),
            ("a b", "ValidationException"),
            ("awsome", "ValidationException"),
            ("/SSM/x/y", "ValidationException"),
            ("/aws/x", "AccessDeniedException"),
            ("/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16", "HierarchyLevelLimitExceededException"),
        ] {
            assert_eq!(check_name(name).map_err(|error| error.code), Err(code.to_owned()), "{name}");
        }
    }

    #[test]
    fn tiers_grow_only() {
        assert_eq!(tier(None, None, 4096), Ok(STANDARD));
        assert!(tier(None, None, 4097).is_err());
        assert_eq!(tier(Some("Intelligent-Tiering"), None, 4097), Ok(ADVANCED));
        assert_eq!(tier(None, Some(ADVANCED), 5), Ok(ADVANCED));
        assert!(tier(Some(STANDARD), Some(ADVANCED), 5).is_err());
        assert!(tier(Some(ADVANCED), None, 8193).is_err());
    }
}
