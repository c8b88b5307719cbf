//! One filter: what may stand in a pattern's list.

use super::wildcard::Wildcard;
use ipnet::IpNet;
use serde_json::{Map, Value};
use std::net::IpAddr;

/// A condition on a single value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Filter {
    /// The value itself.
    Is(Value),
    /// A text, without regard to case.
    IgnoresCase(String),
    /// A text that begins so, without regard to case where that is said.
    Prefix { text: String, ignores_case: bool },
    /// A text that ends so.
    Suffix { text: String, ignores_case: bool },
    /// A text of that form.
    Wildcard(Wildcard),
    /// Something else than what any of these holds of.
    Not(Vec<Filter>),
    /// A number within bounds.
    Numeric(Vec<(Comparison, f64)>),
    /// An address of a block.
    Cidr(IpNet),
    /// Whether there is a value at all.
    Exists(bool),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Less,
    AtMost,
    Equal,
    AtLeast,
    More,
}

/// The numbers that can be compared. Source: EventBridge user guide, "Numeric matching".
const LARGEST: f64 = 5.0e9;

impl Filter {
    pub(super) fn parse(item: &Value) -> Result<Self, String> {
        match item {
            Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null => Ok(Self::Is(item.clone())),
            Value::Object(object) => Self::operator(object),
            Value::Array(_) => Err("Match value must be String, number, true, false, or null".to_owned()),
        }
    }

    fn operator(object: &Map<String, Value>) -> Result<Self, String> {
        let mut entries = object.iter();
        let (Some((name, value)), None) = (entries.next(), entries.next()) else {
            return Err("Only one key allowed in match expression".to_owned());
        };
        match name.as_str() {
            "exists" => value
                .as_bool()
                .map(Self::Exists)
                .ok_or_else(|| "exists match pattern must be either true or false.".to_owned()),
            "prefix" => affix(name, value).map(|(text, ignores_case)| Self::Prefix { text, ignores_case }),
            "suffix" => affix(name, value).map(|(text, ignores_case)| Self::Suffix { text, ignores_case }),
            "equals-ignore-case" => string(name, value).map(|text| Self::IgnoresCase(text.to_lowercase())),
            "wildcard" => Wildcard::parse(string(name, value)?).map(Self::Wildcard),
            "cidr" => cidr(string(name, value)?).map(Self::Cidr),
            "numeric" => numeric(value).map(Self::Numeric),
            "anything-but" => anything_but(value).map(Self::Not),
            _ => Err(format!("Unrecognized match type {name}")),
        }
    }

    /// Whether it holds of a value that is no list and no object, or of there being none.
    pub(super) fn holds(&self, value: Option<&Value>) -> bool {
        if let Self::Exists(there) = self {
            return value.is_some() == *there;
        }
        let Some(value) = value else { return false };
        let text = |fits: &dyn Fn(&str) -> bool| value.as_str().is_some_and(fits);
        match self {
            Self::Exists(_) => false,
            Self::Is(Value::Number(wanted)) => value.as_f64().is_some() && value.as_f64() == wanted.as_f64(),
            Self::Is(wanted) => value == wanted,
            Self::IgnoresCase(wanted) => text(&|found| found.to_lowercase() == *wanted),
            Self::Prefix { text: wanted, ignores_case: false } => text(&|found| found.starts_with(wanted.as_str())),
            Self::Prefix { text: wanted, .. } => text(&|found| found.to_lowercase().starts_with(wanted.as_str())),
            Self::Suffix { text: wanted, ignores_case: false } => text(&|found| found.ends_with(wanted.as_str())),
            Self::Suffix { text: wanted, .. } => text(&|found| found.to_lowercase().ends_with(wanted.as_str())),
            Self::Wildcard(wanted) => text(&|found| wanted.matches(found)),
            Self::Not(refused) => !refused.iter().any(|filter| filter.holds(Some(value))),
            Self::Numeric(bounds) => value.as_f64().is_some_and(|found| {
                bounds.iter().all(|(comparison, bound)| match comparison {
                    Comparison::Less => found < *bound,
                    Comparison::AtMost => found <= *bound,
                    Comparison::Equal => (found - *bound).abs() < f64::EPSILON,
                    Comparison::AtLeast => found >= *bound,
                    Comparison::More => found > *bound,
                })
            }),
            Self::Cidr(block) => text(&|found| found.parse::<IpAddr>().is_ok_and(|ip| block.contains(&ip))),
        }
    }
}

/// A text. An empty prefix is one that every text has: `{"prefix": ""}` is how people ask for all events.
fn string<'v>(name: &str, value: &'v Value) -> Result<&'v str, String> {
    value.as_str().ok_or_else(|| format!("{name} match pattern must be a string"))
}

/// A text, or `{"equals-ignore-case": text}`, which comes in small letters.
fn affix(name: &str, value: &Value) -> Result<(String, bool), String> {
    let Some(object) = value.as_object() else { return Ok((string(name, value)?.to_owned(), false)) };
    match (object.len(), object.get("equals-ignore-case")) {
        (1, Some(text)) => Ok((string(name, text)?.to_lowercase(), true)),
        _ => Err(format!("Unsupported {name} pattern")),
    }
}

fn cidr(text: &str) -> Result<IpNet, String> {
    let wrong = || format!("Malformed CIDR, one '/' required: {text}");
    match text.parse::<IpAddr>() {
        Ok(ip) => Ok(IpNet::from(ip)),
        Err(_) => text.parse().map_err(|_| wrong()),
    }
}

fn numeric(value: &Value) -> Result<Vec<(Comparison, f64)>, String> {
    let items = value.as_array().ok_or("Value of numeric must be an array.")?;
    if items.is_empty() || items.len() > 4 || items.len() % 2 == 1 {
        return Err("Invalid numeric range".to_owned());
    }
    let bound = |pair: &[Value]| {
        let comparison = match pair[0].as_str() {
            Some("<") => Comparison::Less,
            Some("<=") => Comparison::AtMost,
            Some("=") => Comparison::Equal,
            Some(">=") => Comparison::AtLeast,
            Some(">") => Comparison::More,
            _ => return Err("Unrecognized numeric range operator".to_owned()),
        };
        let number = pair[1].as_f64().ok_or("Value of a numeric range must be numeric")?;
        if number.abs() > LARGEST {
            return Err("Value must be between -5.0E9 and 5.0E9, inclusive".to_owned());
        }
        Ok((comparison, number))
    };
    let bounds: Vec<_> = items.chunks_exact(2).map(bound).collect::<Result<_, String>>()?;
    let lower = |c: Comparison| matches!(c, Comparison::More | Comparison::AtLeast);
    let upper = |c: Comparison| matches!(c, Comparison::Less | Comparison::AtMost);
    if let [(first, low), (second, high)] = bounds[..]
        && !(lower(first) && upper(second) && low < high)
    {
        return Err("Bad numeric range: bottom must be less than top".to_owned());
    }
    Ok(bounds)
}

/// What `anything-but` refuses: values, or texts of a form.
fn anything_but(value: &Value) -> Result<Vec<Filter>, String> {
    let plain = |item: &Value| match item {
        Value::String(_) | Value::Number(_) => Ok(Filter::Is(item.clone())),
        _ => Err("Value of anything-but must be an array or single string/number value.".to_owned()),
    };
    match value {
        Value::Array(items) if items.is_empty() => Err("Empty arrays are not allowed".to_owned()),
        Value::Array(items) if items.iter().any(Value::is_string) && items.iter().any(Value::is_number) => {
            let rule = "either all values are number or string, mixed type is not supported";
            Err(format!("Inside anything but list, {rule}"))
        }
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(object) => {
            let (1, Some((name, inner))) = (object.len(), object.iter().next()) else {
                return Err("Only one key allowed in match expression".to_owned());
            };
            if !matches!(name.as_str(), "prefix" | "suffix" | "equals-ignore-case" | "wildcard") {
                return Err(format!("Unsupported anything-but pattern: {name}"));
            }
            let each = |text: &Value| match text.as_str() {
                Some("") if matches!(name.as_str(), "prefix" | "suffix") => {
                    Err("Null prefix/suffix not allowed".to_owned())
                }
                _ => Filter::operator(&Map::from_iter([(name.clone(), text.clone())])),
            };
            match inner {
                Value::Array(items) if items.is_empty() => Err("Empty arrays are not allowed".to_owned()),
                Value::Array(items) => items.iter().map(each).collect(),
                text => Ok(vec![each(text)?]),
            }
        }
        single => Ok(vec![plain(single)?]),
    }
}
