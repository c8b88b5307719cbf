//! Event patterns: which events a rule waits for. Pure. Source: EventBridge user guide, "Creating event patterns" and
//! "Comparison operators".
//!
//! A pattern is an object like the event: each member must be there with one of the values that it lists. What stands in
//! a list of the event is looked at item by item, and what a pattern says of an object in a list must be true of one item.

mod filter;
mod wildcard;

use filter::Filter;
use serde_json::{Map, Value};

/// As many characters as a pattern may have, and objects in objects.
const LONGEST: usize = 4096;
const DEEPEST: usize = 64;
/// As many ways as `$or` may open in all.
const MOST_WAYS: usize = 1000;

/// A pattern.
#[derive(Debug, Clone, PartialEq)]
pub struct Pattern(Node);

#[derive(Debug, Clone, PartialEq)]
enum Node {
    /// All of the members, and of each `$or` one way.
    Object { members: Vec<(String, Node)>, ways: Vec<Vec<Node>> },
    /// One of the filters.
    Leaf(Vec<Filter>),
}

impl Pattern {
    /// The pattern that `text` writes; what is wrong with it otherwise.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err("It has more than 4096 characters".to_owned());
        }
        let value: Value = serde_json::from_str(text).map_err(|error| format!("It is not JSON: {error}"))?;
        let Value::Object(object) = value else { return Err("Filter is not an object".to_owned()) };
        if object.is_empty() {
            return Err("Empty patterns are not allowed".to_owned());
        }
        let mut ways = 0;
        Ok(Self(node(&object, 0, &mut ways)?))
    }

    /// Whether `event` is one of those that are waited for.
    pub fn matches(&self, event: &Value) -> bool {
        self.0.matches(Some(event))
    }
}

fn node(object: &Map<String, Value>, depth: usize, total: &mut usize) -> Result<Node, String> {
    if depth > DEEPEST {
        return Err("It is nested too deeply".to_owned());
    }
    let (mut members, mut ways) = (Vec::new(), Vec::new());
    for (key, value) in object {
        match value {
            Value::Array(items) if key == "$or" => {
                if items.len() < 2 {
                    return Err("$or must have at least two alternatives".to_owned());
                }
                *total = (*total).max(1).saturating_mul(items.len());
                if *total > MOST_WAYS {
                    return Err("It has too many combinations of $or".to_owned());
                }
                let way = |item: &Value| match item {
                    Value::Object(object) if !object.is_empty() => node(object, depth + 1, &mut 0),
                    _ => Err("An alternative of $or must be an object".to_owned()),
                };
                ways.push(items.iter().map(way).collect::<Result<_, _>>()?);
            }
            Value::Array(items) if items.is_empty() => return Err("Empty arrays are not allowed".to_owned()),
            Value::Array(items) => {
                let filters = items.iter().map(Filter::parse).collect::<Result<_, _>>()?;
                members.push((key.clone(), Node::Leaf(filters)));
            }
            Value::Object(inner) if inner.is_empty() => return Err("Empty objects are not allowed".to_owned()),
            Value::Object(inner) => members.push((key.clone(), node(inner, depth + 1, total)?)),
            _ => return Err(format!("\"{key}\" must be an object or an array")),
        }
    }
    Ok(Node::Object { members, ways })
}

impl Node {
    fn matches(&self, value: Option<&Value>) -> bool {
        match (self, value) {
            // Of a list of objects one must be right in all respects. A list without any is as good as none.
            (Self::Object { .. }, Some(Value::Array(items))) => {
                let objects: Vec<&Value> = items.iter().filter(|item| item.is_object() || item.is_array()).collect();
                if objects.is_empty() {
                    self.matches(None)
                } else {
                    objects.iter().any(|item| self.matches(Some(item)))
                }
            }
            (Self::Object { members, ways }, value) => {
                let member = |(key, node): &(String, Self)| node.matches(value.and_then(|value| value.get(key)));
                members.iter().all(member) && ways.iter().all(|ways| ways.iter().any(|way| way.matches(value)))
            }
            (Self::Leaf(filters), value) => filters.iter().any(|filter| holds(filter, value)),
        }
    }
}

/// Whether a filter holds of what stands in the event: of an item, where that is a list.
fn holds(filter: &Filter, value: Option<&Value>) -> bool {
    match value {
        Some(Value::Array(items)) if items.is_empty() => filter.holds(None),
        // That there is nothing must be true of all that is there.
        Some(Value::Array(items)) if *filter == Filter::Exists(false) => {
            items.iter().all(|item| holds(filter, Some(item)))
        }
        Some(Value::Array(items)) => items.iter().any(|item| holds(filter, Some(item))),
        // Objects are no values: what is below them is asked for by its own name, and at theirs there is none.
        Some(Value::Object(_)) => filter.holds(None),
        other => filter.holds(other),
    }
}

#[cfg(test)]
mod tests;
