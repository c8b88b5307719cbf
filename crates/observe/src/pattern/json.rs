//! Conditions on events that are JSON objects: `{ ($.a = "b") && $.c[0] > 3 }`.

use regex::Regex;
use serde_json::Value;

/// A condition, possibly made of others.
#[derive(Debug)]
pub(crate) enum Condition {
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    Test(Vec<Step>, Test),
}

/// A step of a selector such as `$.a[0]`.
#[derive(Debug)]
pub(crate) enum Step {
    Member(String),
    Item(usize),
}

/// What a selected value must be.
#[derive(Debug)]
pub(crate) enum Test {
    Number(Comparison, f64),
    /// A text with `*` for anything; whether it must not fit.
    Text(String, bool),
    Regex(Regex, bool),
    IsNull,
    Is(bool),
    Exists,
    NotExists,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Parentheses may be nested this deep.
const DEEPEST: usize = 16;

impl Condition {
    /// Parses `{ … }`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let inside = text.strip_prefix('{')?.strip_suffix('}')?;
        let mut parser = Parser { rest: inside, depth: 0 };
        let condition = parser.either()?;
        parser.skip();
        parser.rest.is_empty().then_some(condition)
    }

    pub(super) fn fits(&self, message: &str) -> bool {
        // Most events that are not JSON are told by their first character.
        message.trim_start().starts_with('{')
            && serde_json::from_str::<Value>(message).is_ok_and(|event| self.holds(&event))
    }

    fn holds(&self, event: &Value) -> bool {
        match self {
            Self::And(a, b) => a.holds(event) && b.holds(event),
            Self::Or(a, b) => a.holds(event) || b.holds(event),
            Self::Test(path, test) => {
                let selected = path.iter().try_fold(event, |value, step| match step {
                    Step::Member(name) => value.get(name.as_str()),
                    Step::Item(at) => value.get(at),
                });
                test.holds(selected)
            }
        }
    }
}

impl Test {
    fn holds(&self, value: Option<&Value>) -> bool {
        let Some(value) = value else { return matches!(self, Self::NotExists) };
        match self {
            Self::Exists => true,
            Self::NotExists => false,
            Self::IsNull => value.is_null(),
            Self::Is(wanted) => value.as_bool() == Some(*wanted),
            Self::Number(comparison, wanted) => match value.as_f64() {
                Some(value) => comparison.holds(value, *wanted),
                None => *comparison == Comparison::NotEqual,
            },
            Self::Text(wanted, not) => text_of(value).is_some_and(|text| glob(wanted, &text)) != *not,
            Self::Regex(regex, not) => text_of(value).is_some_and(|text| regex.is_match(&text)) != *not,
        }
    }
}

impl Comparison {
    #[allow(clippy::float_cmp, reason = "a number in a pattern means that very number")]
    fn holds(self, value: f64, wanted: f64) -> bool {
        match self {
            Self::Equal => value == wanted,
            Self::NotEqual => value != wanted,
            Self::Less => value < wanted,
            Self::LessOrEqual => value <= wanted,
            Self::Greater => value > wanted,
            Self::GreaterOrEqual => value >= wanted,
        }
    }
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

/// `*` stands for anything; it may stand anywhere.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

struct Parser<'a> {
    rest: &'a str,
    depth: usize,
}

impl Parser<'_> {
    fn skip(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, token: &str) -> bool {
        self.skip();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// A keyword, which must not go on as a word.
    fn word(&mut self, word: &str) -> bool {
        self.skip();
        let Some(head) = self.rest.get(..word.len()) else { return false };
        let after = &self.rest[word.len()..];
        if head.eq_ignore_ascii_case(word) && !after.starts_with(|c: char| c.is_alphanumeric() || c == '_') {
            self.rest = after;
            return true;
        }
        false
    }

    fn either(&mut self) -> Option<Condition> {
        let mut left = self.both()?;
        while self.take("||") {
            left = Condition::Or(Box::new(left), Box::new(self.both()?));
        }
        Some(left)
    }

    fn both(&mut self) -> Option<Condition> {
        let mut left = self.single()?;
        while self.take("&&") {
            left = Condition::And(Box::new(left), Box::new(self.single()?));
        }
        Some(left)
    }

    fn single(&mut self) -> Option<Condition> {
        if self.take("(") {
            self.depth += 1;
            if self.depth > DEEPEST {
                return None;
            }
            let inside = self.either()?;
            self.depth -= 1;
            return self.take(")").then_some(inside);
        }
        let path = self.selector()?;
        Some(Condition::Test(path, self.test()?))
    }

    fn selector(&mut self) -> Option<Vec<Step>> {
        if !self.take("$") {
            return None;
        }
        let mut path = Vec::new();
        loop {
            if let Some(rest) = self.rest.strip_prefix('.') {
                let end = rest.find(|c: char| !(c.is_alphanumeric() || "_-@:/".contains(c))).unwrap_or(rest.len());
                let (name, rest) = rest.split_at(end);
                path.push(Step::Member((!name.is_empty()).then(|| name.to_owned())?));
                self.rest = rest;
            } else if let Some(rest) = self.rest.strip_prefix('[') {
                let (inside, rest) = rest.split_once(']')?;
                let name = inside.trim();
                let quoted = name.strip_prefix(['"', '\'']).and_then(|name| name.strip_suffix(['"', '\'']));
                path.push(match quoted {
                    Some(name) => Step::Member(name.to_owned()),
                    None => Step::Item(name.parse().ok()?),
                });
                self.rest = rest;
            } else {
                return (!path.is_empty()).then_some(path);
            }
        }
    }

    fn test(&mut self) -> Option<Test> {
        if self.word("IS") {
            return match () {
                () if self.word("NULL") => Some(Test::IsNull),
                () if self.word("TRUE") => Some(Test::Is(true)),
                () if self.word("FALSE") => Some(Test::Is(false)),
                () => None,
            };
        }
        if self.word("EXISTS") {
            return Some(Test::Exists);
        }
        if self.word("NOT") {
            return self.word("EXISTS").then_some(Test::NotExists);
        }
        let comparison = [
            ("!=", Comparison::NotEqual),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("=", Comparison::Equal),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        let comparison = comparison.into_iter().find(|(token, _)| self.take(token))?.1;
        self.skip();
        let not = comparison == Comparison::NotEqual;
        let is_text = not || comparison == Comparison::Equal;
        if let Some(inside) = self.rest.strip_prefix('"') {
            let (text, after) = super::quoted(inside)?;
            self.rest = after;
            return is_text.then_some(Test::Text(text, not));
        }
        if let Some((inside, after)) = self.rest.strip_prefix('%').and_then(|inside| inside.split_once('%')) {
            self.rest = after;
            return if is_text { Some(Test::Regex(super::regex(inside)?, not)) } else { None };
        }
        let end = self.rest.find(|c: char| c.is_whitespace() || "()&|=<>!".contains(c)).unwrap_or(self.rest.len());
        let (word, after) = self.rest.split_at(end);
        self.rest = after;
        match word.parse::<f64>() {
            Ok(number) if number.is_finite() => Some(Test::Number(comparison, number)),
            _ => (is_text && !word.is_empty()).then(|| Test::Text(word.to_owned(), not)),
        }
    }
}
