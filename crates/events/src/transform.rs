//! What a log group is given of an event: all of it, or a time and a message of a template with parts of it. Pure.
//! Sources: EventBridge user guide, "Input transformation"; that log groups take no other template and no constants is reported
//! of the AWS CDK, pull request 20748.

use model::events::{InputTransformer, Target};
use serde_json::Value;
use types::Timestamp;

/// What templates may know besides the event.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The rule's ARN.
    pub rule_arn: &'a str,
    /// The rule's name.
    pub rule_name: &'a str,
    /// When EventBridge got the event.
    pub ingested: Timestamp,
}

/// The input of a target. What is not JSON is a text.
pub fn input(target: &Target, event: &Value, facts: &Facts<'_>) -> Value {
    match &target.input_transformer {
        Some(transformer) => filled(transformer, event, facts),
        None => event.clone(),
    }
}

/// Why a transformer cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// What it makes is no JSON object.
    NotJson,
    /// Something else.
    Other(String),
}

/// Whether a transformer can be used: it makes an object of `timestamp` and `message`, of variables that are known.
pub fn check(transformer: &InputTransformer) -> Result<(), Wrong> {
    for (name, path) in transformer.input_paths_map.iter().flatten() {
        if name.starts_with("aws.") || name.is_empty() {
            return Err(Wrong::Other(format!("{name:?} is not a name for a variable.")));
        }
        if Path::parse(path).is_none() {
            return Err(Wrong::Other(format!("{path:?} is not a path.")));
        }
    }
    let mut text = String::new();
    for piece in pieces(&transformer.input_template) {
        match piece {
            Piece::Text(piece) => text.push_str(piece),
            Piece::Variable { name, quoted } => {
                let known = transformer.input_paths_map.iter().flatten().any(|(key, _)| key == name);
                if !known && !PREDEFINED.contains(&name) {
                    return Err(Wrong::Other(format!("It has a variable {name} which is not in InputPathsMap.")));
                }
                // Anything may come in its place.
                text.push_str(if quoted { "x" } else { "\"x\"" });
            }
        }
    }
    let Ok(Value::Object(object)) = serde_json::from_str(&text) else { return Err(Wrong::NotJson) };
    if object.len() != 2 || !object.contains_key("timestamp") || !object.contains_key("message") {
        let form = "{\"timestamp\": <timestamp>, \"message\": <message>}";
        return Err(Wrong::Other(format!("For a log group it must have the form {form}.")));
    }
    Ok(())
}

const PREDEFINED: [&str; 5] = [
    "aws.events.event",
    "aws.events.event.ingestion-time",
    "aws.events.event.json",
    "aws.events.rule-arn",
    "aws.events.rule-name",
];

fn filled(transformer: &InputTransformer, event: &Value, facts: &Facts<'_>) -> Value {
    let value = |name: &str| match name {
        "aws.events.event" | "aws.events.event.json" => Some(event.clone()),
        "aws.events.event.ingestion-time" => Some(Value::String(facts.ingested.iso8601())),
        "aws.events.rule-arn" => Some(Value::String(facts.rule_arn.to_owned())),
        "aws.events.rule-name" => Some(Value::String(facts.rule_name.to_owned())),
        _ => {
            let path = transformer.input_paths_map.as_ref()?.get(name)?;
            Path::parse(path)?.of(event)
        }
    };
    let mut text = String::new();
    for piece in pieces(&transformer.input_template) {
        match piece {
            Piece::Text(piece) => text.push_str(piece),
            Piece::Variable { name, quoted } => match value(name) {
                // Within a text it is written as it is, as far as a text can hold it.
                Some(Value::String(value)) if quoted => text.push_str(&escaped(&value)),
                Some(value) if quoted => text.push_str(&escaped(&value.to_string())),
                Some(value) => text.push_str(&value.to_string()),
                // What the event lacks is an empty text in a text, and null elsewhere.
                None if quoted => {}
                None => text.push_str("null"),
            },
        }
    }
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

/// The inside of a JSON text.
fn escaped(text: &str) -> String {
    let whole = Value::String(text.to_owned()).to_string();
    whole[1..whole.len() - 1].to_owned()
}

enum Piece<'t> {
    Text(&'t str),
    /// `<name>`, inside quotation marks or not.
    Variable {
        name: &'t str,
        quoted: bool,
    },
}

/// A template taken apart. A `<` that begins no name is text.
fn pieces(template: &str) -> Vec<Piece<'_>> {
    let mut found = Vec::new();
    let (mut rest, mut quoted) = (template, false);
    let is_name = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
    };
    while let Some(at) = rest.find('<') {
        let (before, after) = rest.split_at(at);
        quoted ^= marks(before) % 2 == 1;
        if let Some((name, tail)) = after[1..].split_once('>').filter(|(name, _)| is_name(name)) {
            found.push(Piece::Text(before));
            found.push(Piece::Variable { name, quoted });
            rest = tail;
        } else {
            found.push(Piece::Text(&rest[..=at]));
            rest = &after[1..];
        }
    }
    found.push(Piece::Text(rest));
    found
}

/// How many quotation marks there are that no backslash precedes.
fn marks(text: &str) -> usize {
    let (mut count, mut skip) = (0, false);
    for byte in text.bytes() {
        if skip {
            skip = false;
        } else if byte == b'\\' {
            skip = true;
        } else if byte == b'"' {
            count += 1;
        }
    }
    count
}

/// `$.detail.containers[0].name`: the part of JSONPath that EventBridge takes.
#[derive(Debug, PartialEq, Eq)]
pub struct Path(Vec<Step>);

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Member(String),
    Item(usize),
}

impl Path {
    /// The path that `text` writes.
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = text.strip_prefix('$')?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('.') {
                let end = after.find(['.', '[']).unwrap_or(after.len());
                let (name, tail) = after.split_at(end);
                if name.is_empty() {
                    return None;
                }
                steps.push(Step::Member(name.to_owned()));
                rest = tail;
            } else {
                let (inside, tail) = rest.strip_prefix('[')?.split_once(']')?;
                let name = ['\'', '"'].into_iter().find_map(|mark| inside.strip_prefix(mark)?.strip_suffix(mark));
                steps.push(match name {
                    Some(name) => Step::Member(name.to_owned()),
                    None => Step::Item(inside.parse().ok()?),
                });
                rest = tail;
            }
        }
        Some(Self(steps))
    }

    /// What stands there in `value`, if anything does.
    pub fn of(&self, value: &Value) -> Option<Value> {
        let mut at = value;
        for step in &self.0 {
            at = match step {
                Step::Member(name) => at.get(name.as_str())?,
                Step::Item(index) => at.get(index)?,
            };
        }
        Some(at.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn event() -> Value {
        json!({ "time": "2027-01-15T08:00:00Z", "detail-type": "T", "detail": { "n": 3, "list": ["a", "b"], "say": "\"hi\"" } })
    }

    fn transformer(template: &str, paths: &[(&str, &str)]) -> InputTransformer {
        InputTransformer {
            input_paths_map: Some(paths.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()),
            input_template: template.to_owned(),
        }
    }

    /// What becomes of `message` as the message of a template.
    fn transformed(message: &str, paths: &[(&str, &str)]) -> Value {
        let transformer = transformer(&format!("{{\"timestamp\": \"\", \"message\": {message}}}"), paths);
        check(&transformer).unwrap();
        let target = Target { input_transformer: Some(transformer), ..Target::default() };
        let facts = Facts { rule_arn: "arn:rule", rule_name: "rule", ingested: Timestamp(0) };
        input(&target, &event(), &facts)["message"].clone()
    }

    #[test]
    fn paths_lead_to_parts() {
        let of = |path: &str| Path::parse(path).and_then(|path| path.of(&event()));
        assert_eq!(of("$.detail.list[1]"), Some(json!("b")));
        assert_eq!(of("$['detail-type']"), Some(json!("T")));
        assert_eq!(of("$.detail-type"), Some(json!("T")));
        assert_eq!(of("$"), Some(event()));
        assert_eq!(of("$.no.such"), None);
        for wrong in ["", "detail", "$.", "$..n", "$.list[x]", "$.list[0"] {
            assert_eq!(Path::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn templates_are_filled() {
        let paths = [("n", "$.detail.n"), ("list", "$.detail.list"), ("say", "$.detail.say"), ("no", "$.detail.no")];
        assert_eq!(
            transformed("{\"n\": <n>, \"list\": <list>, \"t\": \"n is <n>, <say>\", \"no\": <no>}", &paths),
            json!({ "n": 3, "list": ["a", "b"], "t": "n is 3, \"hi\"", "no": null })
        );
        assert_eq!(transformed("\"<n> of <list>, <no>.\"", &paths), json!("3 of [\"a\",\"b\"], ."));
        assert_eq!(transformed("\"<aws.events.rule-name> 1 < 2\"", &[]), json!("rule 1 < 2"));
        assert_eq!(transformed("<aws.events.event.json>", &[]), event());
    }

    #[test]
    fn what_a_log_group_does_not_take_is_refused() {
        let why = |template: &str| check(&transformer(template, &[("t", "$.time")])).unwrap_err();
        assert_eq!(why("\"at <t>\""), Wrong::NotJson);
        assert_eq!(why("{\"timestamp\": <t>, \"message\": }"), Wrong::NotJson);
        for (template, part) in [
            ("{\"at\": <t>}", "the form"),
            ("{\"timestamp\": <t>, \"message\": \"\", \"more\": 1}", "the form"),
            ("{\"timestamp\": <t>, \"message\": <x>}", "variable x"),
        ] {
            assert!(matches!(why(template), Wrong::Other(why) if why.contains(part)), "{template}");
        }
    }

    proptest! {
        #[test]
        fn any_template_is_filled_or_refused(template in ".{0,60}", path in ".{0,20}") {
            let paths = [("x".to_owned(), path)].into();
            let transformer = InputTransformer { input_paths_map: Some(paths), input_template: template };
            if check(&transformer).is_ok() {
                let facts = Facts { rule_arn: "a", rule_name: "b", ingested: Timestamp(0) };
                filled(&transformer, &event(), &facts);
            }
        }
    }
}
