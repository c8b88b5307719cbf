//! `Condition` blocks: every condition of a statement must hold.

use crate::context::Context;
use crate::json::Json;
use crate::pattern::Pattern;
use crate::value::{Range, instant, number};
use std::cmp::Ordering;

/// One operator applied to one key.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Condition {
    quantifier: Quantifier,
    test: Test,
    negated: bool,
    if_exists: bool,
    key: String,
    values: Vec<Pattern>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantifier {
    /// The key has one value; where it has more, one that fits is enough.
    Single,
    ForAllValues,
    ForAnyValue,
}

/// What an operator compares, without its negation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Test {
    Text,
    TextIgnoringCase,
    Like,
    Number(Comparison),
    Date(Comparison),
    Bool,
    Binary,
    Address,
    Arn,
    Null,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

/// The operator of that name and whether it is a negation. Names are not sensitive to case.
fn operator(name: &str) -> Option<(Test, bool)> {
    use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual};
    Some(match name.to_ascii_lowercase().as_str() {
        "stringequals" => (Test::Text, false),
        "stringnotequals" => (Test::Text, true),
        "stringequalsignorecase" => (Test::TextIgnoringCase, false),
        "stringnotequalsignorecase" => (Test::TextIgnoringCase, true),
        "stringlike" => (Test::Like, false),
        "stringnotlike" => (Test::Like, true),
        "numericequals" => (Test::Number(Equal), false),
        "numericnotequals" => (Test::Number(Equal), true),
        "numericlessthan" => (Test::Number(Less), false),
        "numericlessthanequals" => (Test::Number(LessOrEqual), false),
        "numericgreaterthan" => (Test::Number(Greater), false),
        "numericgreaterthanequals" => (Test::Number(GreaterOrEqual), false),
        "dateequals" => (Test::Date(Equal), false),
        "datenotequals" => (Test::Date(Equal), true),
        "datelessthan" => (Test::Date(Less), false),
        "datelessthanequals" => (Test::Date(LessOrEqual), false),
        "dategreaterthan" => (Test::Date(Greater), false),
        "dategreaterthanequals" => (Test::Date(GreaterOrEqual), false),
        "bool" => (Test::Bool, false),
        "binaryequals" => (Test::Binary, false),
        "ipaddress" => (Test::Address, false),
        "notipaddress" => (Test::Address, true),
        "arnequals" | "arnlike" => (Test::Arn, false),
        "arnnotequals" | "arnnotlike" => (Test::Arn, true),
        "null" => (Test::Null, false),
        _ => return None,
    })
}

impl Condition {
    /// The conditions of a `Condition` element; none if it is not well formed.
    pub(crate) fn parse_block(block: &Json, variables: bool) -> Option<Vec<Self>> {
        let mut conditions = Vec::new();
        for (name, keys) in block.object()? {
            let (quantifier, bare) = match name.split_once(':') {
                None => (Quantifier::Single, name.as_str()),
                Some((prefix, bare)) if prefix.eq_ignore_ascii_case("ForAllValues") => (Quantifier::ForAllValues, bare),
                Some((prefix, bare)) if prefix.eq_ignore_ascii_case("ForAnyValue") => (Quantifier::ForAnyValue, bare),
                Some(_) => return None,
            };
            let stem = bare
                .len()
                .checked_sub("IfExists".len())
                .and_then(|at| bare.get(at..).filter(|end| end.eq_ignore_ascii_case("IfExists")).map(|_| &bare[..at]));
            let (test, negated) = operator(stem.unwrap_or(bare))?;
            if test == Test::Null && stem.is_some() {
                return None;
            }
            for (key, values) in keys.object()? {
                let mut patterns = Vec::new();
                for value in values.one_or_many() {
                    let text = value.scalar()?;
                    if !acceptable(test, &text) {
                        return None;
                    }
                    patterns.push(Pattern::parse(&text, variables));
                }
                conditions.push(Self {
                    quantifier,
                    test,
                    negated,
                    if_exists: stem.is_some(),
                    key: key.to_ascii_lowercase(),
                    values: patterns,
                });
            }
        }
        Some(conditions)
    }

    pub(crate) fn holds(&self, context: &Context) -> bool {
        let present = context.get(&self.key).filter(|values| !values.is_empty());
        if self.test == Test::Null {
            let wanted_absent = |p: &Pattern| p.resolve(context).is_some_and(|v| v.eq_ignore_ascii_case("true"));
            return self.values.iter().any(|value| wanted_absent(value) == present.is_none());
        }
        let Some(present) = present else {
            return match self.quantifier {
                Quantifier::ForAllValues => true,
                Quantifier::ForAnyValue => self.if_exists,
                Quantifier::Single => self.if_exists || self.negated,
            };
        };
        let fits = |value: &String| self.values.iter().any(|pattern| self.compare(context, pattern, value));
        match self.quantifier {
            Quantifier::Single => present.iter().any(fits) != self.negated,
            Quantifier::ForAllValues => present.iter().all(|value| fits(value) != self.negated),
            Quantifier::ForAnyValue => present.iter().any(|value| fits(value) != self.negated),
        }
    }

    /// Whether the request's `value` fits one value of the policy, the negation aside.
    fn compare(&self, context: &Context, pattern: &Pattern, value: &str) -> bool {
        match self.test {
            Test::Like => return pattern.matches(context, value),
            Test::Arn => return pattern.matches_arn(context, value),
            _ => {}
        }
        let Some(wanted) = pattern.resolve(context) else { return false };
        match self.test {
            Test::Text | Test::Binary => wanted == value,
            Test::TextIgnoringCase => wanted.to_lowercase() == value.to_lowercase(),
            Test::Bool => wanted.eq_ignore_ascii_case(value),
            Test::Number(comparison) => number(value)
                .zip(number(&wanted))
                .and_then(|(value, wanted)| value.partial_cmp(&wanted))
                .is_some_and(|order| comparison.holds(order)),
            Test::Date(comparison) => {
                instant(value).zip(instant(&wanted)).is_some_and(|(value, wanted)| comparison.holds(value.cmp(&wanted)))
            }
            Test::Address => {
                Range::parse(&wanted).zip(value.parse().ok()).is_some_and(|(range, address)| range.contains(address))
            }
            Test::Like | Test::Arn | Test::Null => false,
        }
    }
}

/// Whether a policy may hold this value for such an operator. Values with variables are judged when they are used.
fn acceptable(test: Test, text: &str) -> bool {
    if text.contains("${") {
        return true;
    }
    match test {
        Test::Number(_) => number(text).is_some(),
        Test::Date(_) => instant(text).is_some(),
        Test::Address => Range::parse(text).is_some(),
        Test::Bool | Test::Null => text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false"),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(block: &str, context: &Context) -> bool {
        let block = Json::parse(block).expect("the test's JSON");
        Condition::parse_block(&block, true).expect("a well-formed block").iter().all(|c| c.holds(context))
    }

    #[test]
    fn operators_compare_what_they_say() {
        let cx = Context::new()
            .with("aws:SourceIp", "203.0.113.7")
            .with("aws:CurrentTime", "2026-11-23T09:00:00Z")
            .with("s3:max-keys", "10")
            .with("aws:SecureTransport", "false")
            .with("aws:PrincipalArn", "arn:aws:iam::123456789012:role/app/web")
            .with("aws:username", "Jo");
        for (block, expected) in [
            (r#"{"IpAddress":{"aws:SourceIp":["10.0.0.0/8","203.0.113.0/24"]}}"#, true),
            (r#"{"NotIpAddress":{"aws:sourceip":"203.0.113.0/24"}}"#, false),
            (r#"{"DateLessThan":{"aws:CurrentTime":"2027-01-01"}}"#, true),
            (r#"{"DateGreaterThan":{"aws:CurrentTime":"2027-01-01T00:00:00Z"}}"#, false),
            (r#"{"NumericLessThanEquals":{"s3:max-keys":10}}"#, true),
            (r#"{"NumericLessThan":{"s3:max-keys":"10"}}"#, false),
            (r#"{"Bool":{"aws:SecureTransport":false}}"#, true),
            (r#"{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/app/*"}}"#, true),
            (r#"{"ArnNotLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/app/*"}}"#, false),
            (r#"{"StringEquals":{"aws:username":["jo","Jo"]}}"#, true),
            (r#"{"StringEquals":{"aws:username":"J*"}}"#, false),
            (r#"{"StringLike":{"aws:username":"J*"}}"#, true),
            (r#"{"StringEqualsIgnoreCase":{"aws:username":"JO"}}"#, true),
            (r#"{"StringNotEquals":{"aws:username":["x","Jo"]}}"#, false),
            (r#"{"StringEquals":{"aws:username":"${aws:username}"}}"#, true),
        ] {
            assert_eq!(holds(block, &cx), expected, "{block}");
        }
    }

    #[test]
    fn a_missing_key_fails_unless_negated_or_if_exists() {
        let cx = Context::new();
        assert!(!holds(r#"{"StringEquals":{"k":"v"}}"#, &cx));
        assert!(holds(r#"{"StringNotEquals":{"k":"v"}}"#, &cx));
        assert!(holds(r#"{"StringEqualsIfExists":{"k":"v"}}"#, &cx));
        assert!(holds(r#"{"Null":{"k":"true"}}"#, &cx));
        assert!(!holds(r#"{"Null":{"k":false}}"#, &cx));
        assert!(holds(r#"{"ForAllValues:StringEquals":{"k":"v"}}"#, &cx));
        assert!(!holds(r#"{"ForAnyValue:StringEquals":{"k":"v"}}"#, &cx));
    }

    #[test]
    fn quantifiers_look_at_every_value() {
        let mut cx = Context::new();
        cx.set_all("aws:TagKeys", vec!["team".to_owned(), "cost".to_owned()]);
        assert!(holds(r#"{"ForAllValues:StringEquals":{"aws:TagKeys":["team","cost","x"]}}"#, &cx));
        assert!(!holds(r#"{"ForAllValues:StringEquals":{"aws:TagKeys":["team"]}}"#, &cx));
        assert!(holds(r#"{"ForAnyValue:StringEquals":{"aws:TagKeys":["team"]}}"#, &cx));
        assert!(!holds(r#"{"ForAllValues:StringNotEquals":{"aws:TagKeys":["team"]}}"#, &cx));
        assert!(holds(r#"{"ForAnyValue:StringNotEquals":{"aws:TagKeys":["team"]}}"#, &cx));
    }

    #[test]
    fn ill_formed_blocks_are_refused() {
        for block in [
            r#"{"StringIs":{"a":"b"}}"#,
            r#"{"StringEquals":"a"}"#,
            r#"{"StringEquals":{"a":{}}}"#,
            r#"{"NullIfExists":{"a":"true"}}"#,
            r#"{"Some:StringEquals":{"a":"b"}}"#,
            r#"{"IpAddress":{"aws:SourceIp":"10.0.0.0/40"}}"#,
            r#"{"DateLessThan":{"aws:CurrentTime":"yesterday"}}"#,
        ] {
            assert_eq!(Condition::parse_block(&Json::parse(block).unwrap(), true), None, "{block}");
        }
    }
}
