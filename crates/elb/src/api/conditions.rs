//! When rules apply. Both forms of a request (`Values`, and the `…Config` of the field) are taken, and shown as AWS does.
//!
//! Source: user guide, "Condition types for listener rules", and its quotas.

use super::refuse;
use crate::texts;
use ipnet::IpNet;
use model::Stored;
use model::elbv2::{
    HostHeaderConditionConfig, HttpHeaderConditionConfig, HttpRequestMethodConditionConfig, PathPatternConditionConfig,
    QueryStringConditionConfig, RuleCondition, SourceIpConditionConfig,
};
use std::collections::BTreeSet;
use types::ApiError;

/// How many values all conditions of a rule may have.
const VALUES: usize = 5;
/// How many wildcards.
const WILDCARDS: usize = 5;

/// The conditions of a rule.
pub(super) fn read(conditions: Vec<RuleCondition>) -> Result<Vec<Stored<RuleCondition>>, ApiError> {
    if conditions.is_empty() {
        return Err(texts::invalid("A condition must be specified"));
    }
    let mut single = BTreeSet::new();
    let (mut values, mut wildcards) = (0, 0);
    let mut read = Vec::with_capacity(conditions.len());
    for condition in conditions {
        let (condition, texts_) = one(condition)?;
        let field = condition.field.clone().unwrap_or_default();
        let repeatable = matches!(field.as_str(), "http-header" | "query-string");
        if !repeatable && !single.insert(field.clone()) {
            return Err(texts::invalid(format!("A rule can only have one '{field}' condition")));
        }
        values += texts_.len();
        let wild = |text: &String| text.bytes().filter(|b| matches!(b, b'*' | b'?')).count();
        wildcards += if field == "source-ip" { 0 } else { texts_.iter().map(wild).sum() };
        read.push(Stored(condition));
    }
    if values > VALUES {
        return Err(texts::too_many_values());
    }
    if wildcards > WILDCARDS {
        return Err(texts::invalid("A rule can only have '5' condition wildcards"));
    }
    Ok(read)
}

/// A condition in AWS's form, and the values that count.
fn one(given: RuleCondition) -> Result<(RuleCondition, Vec<String>), ApiError> {
    let regex = given.regex_values.is_some()
        || given.host_header_config.as_ref().is_some_and(|config| config.regex_values.is_some())
        || given.path_pattern_config.as_ref().is_some_and(|config| config.regex_values.is_some())
        || given.http_header_config.as_ref().is_some_and(|config| config.regex_values.is_some());
    refuse(regex, "regular expressions in rules")?;
    let field = given.field.ok_or_else(|| texts::invalid("The condition field must be specified"))?;
    let plain = given.values.filter(|values| !values.is_empty());
    let mut made = RuleCondition { field: Some(field.clone()), ..Default::default() };
    // One of the two forms, not empty.
    let choose = |config: Option<Vec<String>>| match (plain.clone(), config.filter(|values| !values.is_empty())) {
        (Some(_), Some(_)) => {
            Err(texts::invalid(format!("Only one of Values and the configuration can be specified for '{field}'")))
        }
        (Some(values), None) | (None, Some(values)) => Ok(values),
        (None, None) => Err(texts::invalid("A condition value must be specified")),
    };
    let values = match field.as_str() {
        "path-pattern" => {
            let values = choose(given.path_pattern_config.and_then(|config| config.values))?;
            check(&values, 128, "path pattern", is_path_byte)?;
            made.values = Some(values.clone());
            made.path_pattern_config =
                Some(PathPatternConditionConfig { values: Some(values.clone()), ..Default::default() });
            values
        }
        "host-header" => {
            let values = choose(given.host_header_config.and_then(|config| config.values))?;
            check(&values, 128, "host header", |b| b.is_ascii_alphanumeric() || b"-.*?_".contains(&b))?;
            made.values = Some(values.clone());
            made.host_header_config =
                Some(HostHeaderConditionConfig { values: Some(values.clone()), ..Default::default() });
            values
        }
        "http-header" => {
            let config = given.http_header_config.unwrap_or_default();
            let name = config.http_header_name.filter(|name| (1..=40).contains(&name.len()));
            let name = name.ok_or_else(|| texts::invalid("The HTTP header name must have 1 to 40 characters"))?;
            if name.eq_ignore_ascii_case("host") || name.contains(['*', '?']) {
                return Err(texts::invalid(format!("The HTTP header name '{name}' is not valid")));
            }
            let values = choose(config.values)?;
            check(&values, 128, "HTTP header value", |b| (0x20..0x7f).contains(&b))?;
            made.http_header_config = Some(HttpHeaderConditionConfig {
                http_header_name: Some(name),
                values: Some(values.clone()),
                ..Default::default()
            });
            values
        }
        "http-request-method" => {
            let values = choose(given.http_request_method_config.and_then(|config| config.values))?;
            check(&values, 40, "HTTP request method", |b| b.is_ascii_uppercase() || b == b'-' || b == b'_')?;
            made.http_request_method_config = Some(HttpRequestMethodConditionConfig { values: Some(values.clone()) });
            values
        }
        "source-ip" => {
            let values = choose(given.source_ip_config.and_then(|config| config.values))?;
            if let Some(bad) = values.iter().find(|value| value.parse::<IpNet>().is_err()) {
                return Err(texts::invalid(format!("The source IP value '{bad}' is not a valid CIDR block")));
            }
            made.source_ip_config =
                Some(SourceIpConditionConfig { values: Some(values.clone()), ..Default::default() });
            values
        }
        "query-string" => {
            let pairs = given.query_string_config.and_then(|config| config.values).unwrap_or_default();
            if pairs.is_empty() {
                return Err(texts::invalid("A condition value must be specified"));
            }
            let mut values = Vec::new();
            for pair in &pairs {
                let value = pair.value.clone().filter(|value| !value.is_empty());
                let value = value.ok_or_else(|| texts::invalid("A query string value must be specified"))?;
                values.push(format!("{}{value}", pair.key.as_deref().unwrap_or_default()));
            }
            check(&values, 256, "query string", |b| (0x20..0x7f).contains(&b))?;
            made.query_string_config = Some(QueryStringConditionConfig { values: Some(pairs) });
            values
        }
        other => {
            return Err(texts::invalid(format!(
                "Condition field '{other}' must be one of '[path-pattern, host-header, http-header, \
                 http-request-method, query-string, source-ip]'"
            )));
        }
    };
    Ok((made, values))
}

fn check(values: &[String], most: usize, what: &str, fine: impl Fn(u8) -> bool) -> Result<(), ApiError> {
    let bad = |value: &&String| !(1..=most).contains(&value.len()) || !value.bytes().all(&fine);
    match values.iter().find(bad) {
        Some(bad) => Err(texts::invalid(format!("The {what} '{bad}' is not valid"))),
        None => Ok(()),
    }
}

fn is_path_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"_-.$/~\"'@:+&*?%=,;!()".contains(&b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(values: &[&str]) -> RuleCondition {
        RuleCondition {
            field: Some("path-pattern".to_owned()),
            values: Some(values.iter().map(|value| (*value).to_owned()).collect()),
            ..Default::default()
        }
    }

    #[test]
    fn the_old_form_is_shown_in_both() {
        let read = read(vec![path(&["/api/*"])]).unwrap();
        assert_eq!(read[0].values.as_deref(), Some(&["/api/*".to_owned()][..]));
        assert_eq!(read[0].path_pattern_config.as_ref().unwrap().values, read[0].values);
    }

    #[test]
    fn what_aws_refuses_is_refused() {
        let refused = |conditions| read(conditions).unwrap_err().message;
        assert!(refused(vec![path(&[])]).contains("condition value"));
        assert!(refused(vec![path(&["/1", "/2", "/3", "/4", "/5", "/6"])]).contains("condition values"));
        assert!(refused(vec![path(&["/ä"])]).contains("not valid"));
        assert!(refused(vec![path(&["/a"]), path(&["/b"])]).contains("only have one"));
        let mut other = path(&["/a"]);
        other.field = Some("colour".to_owned());
        assert!(refused(vec![other]).contains("must be one of"));
    }
}
