//! The model's constraints, checked before any handler runs, with AWS's texts.
//!
//! All violations are reported at once: `2 validation errors detected: Value null at 'taskDefinition' failed to satisfy
//! constraint: Member must not be null; Value …`. Some services differ, see [`Manner`].

use crate::schema::{Kind, Schema, Traits};
use crate::service::{Protocol, ServiceInfo};
use crate::value::Value;
use types::ApiError;

/// How many violations are told; AWS cuts its list as well.
const MAX_VIOLATIONS: usize = 10;

/// How a service tells violations.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// `N validation errors detected: …` under this code.
    List(&'static str),
    /// `Invalid parameter at 'repositoryName' failed to satisfy constraint: 'must …'`, the first alone.
    Ecr,
    /// Constraints as with [`Manner::List`], but what is absent counts as blank, of which the handlers tell: `Family can
    /// not be blank.`
    Ecs,
    /// The first missing parameter alone. All else is told by the handlers.
    Ec2,
}

impl Manner {
    fn of(service: &ServiceInfo, protocol: Protocol) -> Self {
        match service.name {
            _ if protocol == Protocol::Ec2 => Self::Ec2,
            "ecr" => Self::Ecr,
            "ecs" => Self::Ecs,
            "logs" => Self::List("InvalidParameterException"),
            "servicediscovery" => Self::List("InvalidInput"),
            "autoscaling" | "iam" | "sts" | "elbv2" | "cloudwatch" => Self::List("ValidationError"),
            _ => Self::List("ValidationException"),
        }
    }
}

/// Checks `input`, which was decoded by `schema`, against the constraints of `schema`.
pub fn validate(
    service: &ServiceInfo,
    protocol: Protocol,
    schema: &'static Schema,
    input: &Value,
) -> Result<(), ApiError> {
    let manner = Manner::of(service, protocol);
    let mut check = Check { manner, path: String::new(), violations: Vec::new() };
    check.value(schema, input);
    let Some(first) = check.violations.first() else { return Ok(()) };
    let code = match manner {
        Manner::Ec2 => return Err(ApiError::new("MissingParameter", first)),
        Manner::Ecr => return Err(ApiError::new("InvalidParameterException", first)),
        Manner::Ecs => "InvalidParameterException",
        Manner::List(code) => code,
    };
    let count = check.violations.len();
    let noun = if count == 1 { "error" } else { "errors" };
    let message = format!("{count} validation {noun} detected: {}", check.violations.join("; "));
    Err(ApiError::new(code, message))
}

struct Check {
    manner: Manner,
    path: String,
    violations: Vec<String>,
}

impl Check {
    fn value(&mut self, schema: &'static Schema, value: &Value) {
        if self.violations.len() >= MAX_VIOLATIONS {
            return;
        }
        let ec2 = self.manner == Manner::Ec2;
        if !ec2 {
            self.own(schema, value);
        }
        match (&schema.kind, value) {
            (Kind::Structure(members), Value::Structure(present)) => {
                for (position, member) in members.iter().enumerate() {
                    let found = present.iter().find(|(at, _)| *at == position);
                    if found.is_none() && !member.required {
                        continue;
                    }
                    let name = if ec2 { member.query.to_owned() } else { lower_first(member.name) };
                    self.within(&name, |check| match found {
                        Some((_, value)) => check.value(member.schema, value),
                        None => check.absent(),
                    });
                }
            }
            (Kind::List(list), Value::List(items)) => {
                for (at, item) in items.iter().enumerate() {
                    let suffix = if ec2 { "" } else { ".member" };
                    let name = format!("{}{suffix}", at + 1);
                    // What lists hold is told of the whole list, unless it is a structure.
                    if matches!(list.member.kind, Kind::Structure(_) | Kind::List(_) | Kind::Map(_)) {
                        self.within(&name, |check| check.value(list.member, item));
                    }
                }
            }
            (Kind::Map(map), Value::Map(entries)) => {
                for (key, value) in entries {
                    if matches!(map.value.kind, Kind::Structure(_) | Kind::List(_) | Kind::Map(_)) {
                        self.within(&format!("{key}.member"), |check| check.value(map.value, value));
                    }
                }
            }
            _ => {}
        }
    }

    fn within(&mut self, name: &str, step: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        if length > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        step(self);
        self.path.truncate(length);
    }

    fn absent(&mut self) {
        let path = &self.path;
        let text = match self.manner {
            Manner::Ecs => return,
            Manner::Ec2 => format!("The request must contain the parameter {path}"),
            Manner::Ecr => format!("Invalid parameter at '{path}' failed to satisfy constraint: 'must not be null'"),
            Manner::List(_) => {
                format!("Value null at '{path}' failed to satisfy constraint: Member must not be null")
            }
        };
        self.violations.push(text);
    }

    fn own(&mut self, schema: &'static Schema, value: &Value) {
        for constraint in broken(schema, value) {
            self.tell(schema, value, &constraint);
        }
        let (label, inner): (_, Vec<(&'static Schema, String)>) = match (&schema.kind, value) {
            (Kind::List(list), Value::List(items)) => {
                let fails = items.iter().find_map(|item| first_broken(list.member, item));
                ("Member", fails.map(|_| (list.member, String::new())).into_iter().collect())
            }
            (Kind::Map(map), Value::Map(entries)) => {
                let key_fails = entries.iter().any(|(key, _)| !fits(map.key, key));
                let value_fails = entries.iter().any(|(_, value)| first_broken(map.value, value).is_some());
                let mut inner = Vec::new();
                if key_fails {
                    inner.push((map.key, "Map keys must satisfy constraint: ".to_owned()));
                }
                if value_fails {
                    inner.push((map.value, "Map value must satisfy constraint: ".to_owned()));
                }
                ("", inner)
            }
            _ => return,
        };
        for (part, lead) in inner {
            let lead = if lead.is_empty() { format!("{label} must satisfy constraint: ") } else { lead };
            self.tell(schema, value, &format!("{lead}[{}]", all_constraints(part).join(", ")));
        }
    }

    fn tell(&mut self, schema: &'static Schema, value: &Value, constraint: &str) {
        let path = &self.path;
        let text = if self.manner == Manner::Ecr {
            let must = constraint.strip_prefix("Member ").unwrap_or(constraint);
            let must = match must.strip_prefix("must satisfy regular expression pattern: ") {
                Some(pattern) => format!("must satisfy regular expression '{pattern}'"),
                None => must.to_owned(),
            };
            format!("Invalid parameter at '{path}' failed to satisfy constraint: '{must}'")
        } else {
            let shown = if schema.traits.sensitive { "***".to_owned() } else { show(schema, value) };
            format!("Value '{shown}' at '{path}' failed to satisfy constraint: {constraint}")
        };
        self.violations.push(text);
    }
}

fn fits(schema: &'static Schema, text: &str) -> bool {
    broken(schema, &Value::String(text.to_owned())).is_empty()
}

fn first_broken(schema: &'static Schema, value: &Value) -> Option<String> {
    match schema.kind {
        Kind::Structure(_) | Kind::List(_) | Kind::Map(_) => None,
        _ => broken(schema, value).into_iter().next(),
    }
}

/// The constraints of `schema` itself that `value` breaks.
fn broken(schema: &'static Schema, value: &Value) -> Vec<String> {
    let Traits { min, max, pattern, values, .. } = &schema.traits;
    let measure = match value {
        Value::String(text) => Some(text.chars().count() as f64),
        Value::Blob(bytes) => Some(bytes.len() as f64),
        Value::List(items) => Some(items.len() as f64),
        Value::Map(entries) => Some(entries.len() as f64),
        Value::Integer(number) => Some(*number as f64),
        Value::Double(number) => Some(*number),
        _ => None,
    };
    let mut broken = Vec::new();
    if let Value::String(text) = value {
        broken.extend(pattern.iter().filter(|pattern| !pattern.matches(text)).map(|pattern| expression(pattern.text)));
    }
    if let Some(measure) = measure {
        if max.is_some_and(|max| measure > max) {
            broken.extend(bound(schema, "less", *max));
        }
        if min.is_some_and(|min| measure < min) {
            broken.extend(bound(schema, "greater", *min));
        }
    }
    if let Value::String(text) = value
        && !values.is_empty()
        && !values.contains(&text.as_str())
    {
        broken.push(value_set(values));
    }
    broken
}

/// Every constraint of `schema`, in the order in which AWS lists them for a list's members.
fn all_constraints(schema: &'static Schema) -> Vec<String> {
    let Traits { min, max, pattern, values, .. } = &schema.traits;
    let mut all: Vec<String> = Vec::new();
    all.extend(bound(schema, "less", *max));
    all.extend(bound(schema, "greater", *min));
    all.extend(pattern.iter().map(|pattern| expression(pattern.text)));
    if !values.is_empty() {
        all.push(value_set(values));
    }
    all
}

fn bound(schema: &Schema, than: &str, limit: Option<f64>) -> Option<String> {
    let property = match schema.kind {
        Kind::Integer | Kind::Long | Kind::Double => "value",
        _ => "length",
    };
    limit.map(|limit| format!("Member must have {property} {than} than or equal to {limit}"))
}

fn expression(text: &str) -> String {
    format!("Member must satisfy regular expression pattern: {text}")
}

fn value_set(values: &[&str]) -> String {
    format!("Member must satisfy enum value set: [{}]", values.join(", "))
}

/// A value as Java's `toString` shows it.
fn show(schema: &'static Schema, value: &Value) -> String {
    match (value, &schema.kind) {
        (Value::Boolean(value), _) => value.to_string(),
        (Value::Integer(value), _) => value.to_string(),
        (Value::Double(value), _) => format!("{value:?}"),
        (Value::String(value), _) => value.clone(),
        (Value::Blob(value), _) => format!("java.nio.HeapByteBuffer[pos=0 lim={0} cap={0}]", value.len()),
        (Value::Timestamp(value), _) => value.iso8601(),
        (Value::Document(value), _) => value.to_string(),
        (Value::List(items), Kind::List(list)) => {
            let items: Vec<String> = items.iter().map(|item| show(list.member, item)).collect();
            format!("[{}]", items.join(", "))
        }
        (Value::Map(entries), Kind::Map(map)) => {
            let entries: Vec<String> =
                entries.iter().map(|(key, value)| format!("{key}={}", show(map.value, value))).collect();
            format!("{{{}}}", entries.join(", "))
        }
        (Value::Structure(present), Kind::Structure(members)) => {
            let shown = present.iter().map(|(at, value)| {
                let member = &members[*at];
                format!("{}={}", lower_first(member.name), show(member.schema, value))
            });
            format!("{}({})", schema.name, shown.collect::<Vec<_>>().join(", "))
        }
        _ => String::new(),
    }
}

/// AWS's messages spell members as Java does.
fn lower_first(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}
