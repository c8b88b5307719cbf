//! The cluster query language: which container instances an expression selects.
//! Source: ECS developer guide, "Create expressions to define container instances for Amazon ECS tasks" (the cluster query
//! language).
//!
//! Of a subject with several values (the groups of an instance's tasks) an operator holds if it does for one of them, and a
//! negated operator is its negation; so it is for a subject without value, too. Java's regular expressions are read as
//! Rust's: without look-around and back references.

use super::Instance;
use regex::bytes::{Regex, RegexBuilder};
use std::cmp::Ordering;
use time::format_description::well_known::{Iso8601, Rfc3339};
use time::{Date, OffsetDateTime, PrimitiveDateTime};

/// An expression's longest text. Source: API reference, `PlacementConstraint.expression`.
pub const LONGEST: usize = 2000;
/// Parentheses and negations within each other; a bound on recursion.
const DEEPEST: usize = 64;
/// What a compiled pattern may take.
const PATTERN_BYTES: usize = 1 << 18;

/// A parsed expression.
#[derive(Debug, Clone)]
pub struct Expression(Node);

#[derive(Debug, Clone)]
enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    Test(Subject, Test),
}

/// What is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Subject {
    Attribute(String),
    TaskGroup,
    AgentVersion,
    AgentConnected,
    RunningTasksCount,
    RegisteredAt,
    Ec2InstanceId,
}

#[derive(Debug, Clone)]
enum Test {
    Exists,
    Equals(String),
    In(Vec<String>),
    Matches(Regex),
    /// The orderings that pass, and what is compared with.
    Ordered(&'static [Ordering], String),
}

/// Why a text is no expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed(String);

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Malformed {}

impl Expression {
    /// Reads an expression.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        if text.len() > LONGEST {
            return Err(Malformed(format!("it is longer than {LONGEST} characters")));
        }
        let mut parser = Parser { rest: text };
        let node = parser.any(0)?;
        parser.space();
        if parser.rest.is_empty() { Ok(Self(node)) } else { Err(parser.unexpected("the end")) }
    }

    /// Whether it selects the instance.
    pub fn selects(&self, instance: &Instance) -> bool {
        self.0.holds(instance)
    }
}

impl Node {
    fn holds(&self, instance: &Instance) -> bool {
        match self {
            Self::All(nodes) => nodes.iter().all(|node| node.holds(instance)),
            Self::Any(nodes) => nodes.iter().any(|node| node.holds(instance)),
            Self::Not(node) => !node.holds(instance),
            Self::Test(subject, test) => subject.values(instance).iter().any(|value| test.passes(subject, value)),
        }
    }
}

impl Subject {
    fn values(&self, instance: &Instance) -> Vec<String> {
        match self {
            Self::Attribute(name) => {
                instance.attributes.get(name).map(|value| value.clone().unwrap_or_default()).into_iter().collect()
            }
            Self::TaskGroup => instance.groups.clone(),
            Self::AgentVersion => vec![instance.agent_version.clone()],
            Self::AgentConnected => vec![instance.agent_connected.to_string()],
            Self::RunningTasksCount => vec![instance.running_tasks.to_string()],
            Self::RegisteredAt => vec![instance.registered_at.iso8601()],
            Self::Ec2InstanceId => vec![instance.ec2_id.clone()],
        }
    }

    /// How a value stands to the argument; `None` where they do not compare.
    fn compare(&self, value: &str, argument: &str) -> Option<Ordering> {
        match self {
            Self::AgentVersion => Some(version(value)?.cmp(&version(argument)?)),
            Self::RunningTasksCount => Some(value.parse::<u64>().ok()?.cmp(&argument.parse::<u64>().ok()?)),
            Self::RegisteredAt => Some(date(value)?.cmp(&date(argument)?)),
            _ => match (value.parse::<f64>(), argument.parse::<f64>()) {
                (Ok(value), Ok(argument)) => value.partial_cmp(&argument),
                _ => Some(value.cmp(argument)),
            },
        }
    }

    /// The operators of the subject, as the developer guide lists them.
    fn takes(&self, test: &Test) -> bool {
        match self {
            Self::Attribute(_) | Self::TaskGroup => true,
            Self::AgentConnected | Self::Ec2InstanceId => !matches!(test, Test::Ordered(..) | Test::Exists),
            Self::AgentVersion | Self::RunningTasksCount | Self::RegisteredAt => {
                matches!(test, Test::Equals(_) | Test::Ordered(..))
            }
        }
    }

    /// Whether the argument can be compared with the subject's values.
    fn understands(&self, argument: &str) -> bool {
        match self {
            Self::AgentVersion => version(argument).is_some(),
            Self::RunningTasksCount => argument.parse::<u64>().is_ok(),
            Self::RegisteredAt => date(argument).is_some(),
            _ => true,
        }
    }
}

impl Test {
    fn passes(&self, subject: &Subject, value: &str) -> bool {
        match self {
            Self::Exists => true,
            Self::Equals(argument) => {
                value == argument
                    || (matches!(subject, Subject::AgentVersion | Subject::RunningTasksCount | Subject::RegisteredAt)
                        && subject.compare(value, argument) == Some(Ordering::Equal))
            }
            Self::In(arguments) => arguments.iter().any(|argument| argument == value),
            Self::Matches(pattern) => pattern.is_match(value.as_bytes()),
            Self::Ordered(passing, argument) => {
                subject.compare(value, argument).is_some_and(|order| passing.contains(&order))
            }
        }
    }
}

/// `1.14.5` as numbers.
fn version(text: &str) -> Option<Vec<u64>> {
    text.trim_start_matches('v').split('.').map(|part| part.parse().ok()).collect()
}

/// `2018-06-18T22:28:28+00:00`, `2018-06-18T22:28:28Z`, `2018-06-18T22:28:28`, `2018-06-18`.
fn date(text: &str) -> Option<OffsetDateTime> {
    let without_zone = || PrimitiveDateTime::parse(text, &Iso8601::PARSING).ok().map(PrimitiveDateTime::assume_utc);
    let day = || Date::parse(text, &Iso8601::PARSING).ok().map(|day| day.midnight().assume_utc());
    OffsetDateTime::parse(text, &Rfc3339).ok().or_else(without_zone).or_else(day)
}

struct Parser<'t> {
    rest: &'t str,
}

/// Longer signs before those that they begin with.
const ORDERS: [(&str, &str, &[Ordering]); 4] = [
    (">=", "greater_than_equal", &[Ordering::Greater, Ordering::Equal]),
    ("<=", "less_than_equal", &[Ordering::Less, Ordering::Equal]),
    (">", "greater_than", &[Ordering::Greater]),
    ("<", "less_than", &[Ordering::Less]),
];

impl Parser<'_> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn unexpected(&self, wanted: &str) -> Malformed {
        let found: String = self.rest.chars().take(20).collect();
        Malformed(if found.is_empty() {
            format!("{wanted} is missing at the end")
        } else {
            format!("{wanted} is missing before '{found}'")
        })
    }

    fn sign(&mut self, sign: &str) -> bool {
        self.space();
        let rest = self.rest.strip_prefix(sign);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// A word of letters and underscores, as a whole.
    fn word(&mut self, word: &str) -> bool {
        self.space();
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        let found = self.rest[..end].eq_ignore_ascii_case(word);
        if found {
            self.rest = &self.rest[end..];
        }
        found
    }

    fn any(&mut self, depth: usize) -> Result<Node, Malformed> {
        let mut nodes = vec![self.all(depth)?];
        while self.sign("||") || self.word("or") {
            nodes.push(self.all(depth)?);
        }
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { Node::Any(nodes) })
    }

    fn all(&mut self, depth: usize) -> Result<Node, Malformed> {
        let mut nodes = vec![self.one(depth)?];
        while self.sign("&&") || self.word("and") {
            nodes.push(self.one(depth)?);
        }
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { Node::All(nodes) })
    }

    fn one(&mut self, depth: usize) -> Result<Node, Malformed> {
        if depth > DEEPEST {
            return Err(Malformed("it is nested too deeply".to_owned()));
        }
        if self.sign("!") || self.word("not") {
            return Ok(Node::Not(Box::new(self.one(depth + 1)?)));
        }
        if self.sign("(") {
            let node = self.any(depth + 1)?;
            return if self.sign(")") { Ok(node) } else { Err(self.unexpected("a closing parenthesis")) };
        }
        self.test()
    }

    fn test(&mut self) -> Result<Node, Malformed> {
        let subject = self.subject()?;
        let (negated, test) = self.operator()?;
        if !subject.takes(&test) {
            return Err(Malformed("the operator is not valid for its subject".to_owned()));
        }
        let argument = match &test {
            Test::Equals(argument) | Test::Ordered(_, argument) => Some(argument),
            _ => None,
        };
        if let Some(argument) = argument.filter(|argument| !subject.understands(argument)) {
            return Err(Malformed(format!("'{argument}' cannot be compared with its subject")));
        }
        let node = Node::Test(subject, test);
        Ok(if negated { Node::Not(Box::new(node)) } else { node })
    }

    fn subject(&mut self) -> Result<Subject, Malformed> {
        self.space();
        let end = self.rest.find(|c: char| c.is_whitespace() || "=!<>()[],'\"".contains(c)).unwrap_or(self.rest.len());
        let subject = match &self.rest[..end] {
            "task:group" => Subject::TaskGroup,
            "agentVersion" => Subject::AgentVersion,
            "agentConnected" => Subject::AgentConnected,
            "runningTasksCount" => Subject::RunningTasksCount,
            "registeredAt" => Subject::RegisteredAt,
            "ec2InstanceId" => Subject::Ec2InstanceId,
            other => match other.strip_prefix("attribute:") {
                Some(name) if !name.is_empty() => Subject::Attribute(name.to_owned()),
                _ => return Err(self.unexpected("a subject")),
            },
        };
        self.rest = &self.rest[end..];
        Ok(subject)
    }

    /// An operator with its argument, and whether it is negated.
    fn operator(&mut self) -> Result<(bool, Test), Malformed> {
        for (sign, word) in [("!exists", "not_exists"), ("", "exists")] {
            if (!sign.is_empty() && self.sign(sign)) || self.word(word) {
                return Ok((!sign.is_empty(), Test::Exists));
            }
        }
        if self.sign("==") || self.word("equals") {
            return Ok((false, Test::Equals(self.argument()?)));
        }
        if self.sign("!=") || self.word("not_equals") {
            return Ok((true, Test::Equals(self.argument()?)));
        }
        if self.sign("=~") || self.word("matches") {
            return Ok((false, self.pattern()?));
        }
        if self.sign("!~") || self.word("not_matches") {
            return Ok((true, self.pattern()?));
        }
        if self.sign("!in") || self.word("not_in") {
            return Ok((true, Test::In(self.list()?)));
        }
        if self.word("in") {
            return Ok((false, Test::In(self.list()?)));
        }
        for (sign, word, passing) in ORDERS {
            if self.sign(sign) || self.word(word) {
                return Ok((false, Test::Ordered(passing, self.argument()?)));
            }
        }
        Err(self.unexpected("an operator"))
    }

    /// A word up to what can follow it, or anything within quotes.
    fn argument(&mut self) -> Result<String, Malformed> {
        self.space();
        if let Some(quote) = self.rest.chars().next().filter(|c| *c == '\'' || *c == '"') {
            let inside = &self.rest[1..];
            let Some(end) = inside.find(quote) else { return Err(self.unexpected("a closing quote")) };
            self.rest = &inside[end + 1..];
            return Ok(inside[..end].to_owned());
        }
        let end = self.rest.find(|c: char| c.is_whitespace() || "()[],".contains(c)).unwrap_or(self.rest.len());
        if end == 0 {
            return Err(self.unexpected("an argument"));
        }
        let (argument, rest) = self.rest.split_at(end);
        self.rest = rest;
        Ok(argument.to_owned())
    }

    fn list(&mut self) -> Result<Vec<String>, Malformed> {
        if !self.sign("[") {
            return Err(self.unexpected("an argument list"));
        }
        let mut arguments = vec![self.argument()?];
        while self.sign(",") {
            arguments.push(self.argument()?);
        }
        if self.sign("]") { Ok(arguments) } else { Err(self.unexpected("a closing bracket")) }
    }

    /// A whole value must match, as Java's `matches` has it.
    fn pattern(&mut self) -> Result<Test, Malformed> {
        let pattern = self.argument()?;
        let compiled = RegexBuilder::new(&format!("^(?:{pattern})$")).unicode(false).size_limit(PATTERN_BYTES).build();
        compiled.map(Test::Matches).map_err(|_| Malformed(format!("'{pattern}' is not a regular expression")))
    }
}
