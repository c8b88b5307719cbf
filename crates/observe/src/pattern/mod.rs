//! Filter patterns: which log events somebody wants to see. Total: any text gives a pattern or is refused.
//!
//! Source: CloudWatch Logs User Guide, "Filter pattern syntax". Patterns for space-delimited events (`[a, b]`) are not here.

mod json;

use regex::{Regex, RegexBuilder};

/// A pattern, ready to be matched.
#[derive(Debug)]
pub(crate) enum Pattern {
    /// Fits every event.
    All,
    /// Words that must, may and must not be in the message.
    Terms { must: Vec<Term>, any: Vec<Term>, never: Vec<Term> },
    /// A condition on an event that is a JSON object.
    Json(json::Condition),
}

/// A word, a quoted phrase, or a regular expression between percent signs.
#[derive(Debug)]
pub(crate) enum Term {
    Text(String),
    Regex(Regex),
}

/// Why a pattern cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It is not well formed.
    Invalid,
    /// It is for space-delimited events.
    NotHere,
}

impl Term {
    fn is_in(&self, message: &str) -> bool {
        match self {
            Self::Text(text) => message.contains(text.as_str()),
            Self::Regex(regex) => regex.is_match(message),
        }
    }
}

impl Pattern {
    pub(crate) fn parse(text: &str) -> Result<Self, Refused> {
        let text = text.trim();
        match text.chars().next() {
            None => Ok(Self::All),
            Some('{') => json::Condition::parse(text).map(Self::Json).ok_or(Refused::Invalid),
            Some('[') => Err(Refused::NotHere),
            Some(_) => terms(text).ok_or(Refused::Invalid),
        }
    }

    pub(crate) fn fits(&self, message: &str) -> bool {
        match self {
            Self::All => true,
            Self::Json(condition) => condition.fits(message),
            Self::Terms { must, any, never } => {
                let is_in = |term: &Term| term.is_in(message);
                // Beside terms that must be there, terms that may be are without effect, as on AWS.
                let wanted =
                    if must.is_empty() { any.is_empty() || any.iter().any(is_in) } else { must.iter().all(is_in) };
                wanted && !never.iter().any(is_in)
            }
        }
    }
}

/// A regular expression that cannot take much memory.
fn regex(text: &str) -> Option<Regex> {
    RegexBuilder::new(text).size_limit(1 << 20).build().ok()
}

fn terms(text: &str) -> Option<Pattern> {
    let (mut must, mut any, mut never) = (Vec::new(), Vec::new(), Vec::new());
    let mut rest = text;
    while !rest.is_empty() {
        let (list, body) = match rest.as_bytes()[0] {
            b'?' => (&mut any, &rest[1..]),
            b'-' => (&mut never, &rest[1..]),
            _ => (&mut must, rest),
        };
        let (term, after) = term(body)?;
        list.push(term);
        rest = after.trim_start();
    }
    Some(Pattern::Terms { must, any, never })
}

/// The term that `text` begins with, and what follows.
fn term(text: &str) -> Option<(Term, &str)> {
    if let Some(inside) = text.strip_prefix('"') {
        let (phrase, after) = quoted(inside)?;
        return Some((Term::Text(phrase), after));
    }
    if let Some((inside, after)) = text.strip_prefix('%').and_then(|inside| inside.split_once('%')) {
        return Some((Term::Regex(regex(inside)?), after));
    }
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let (word, after) = text.split_at(end);
    (!word.is_empty()).then(|| (Term::Text(word.to_owned()), after))
}

/// The text up to the closing quote, and what follows the quote. A backslash takes a quote's or a backslash's meaning away.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut phrase = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((phrase, &text[at + 1..])),
            '\\' => match chars.next()? {
                (_, escaped @ ('"' | '\\')) => phrase.push(escaped),
                (_, other) => phrase.extend(['\\', other]),
            },
            other => phrase.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fits(pattern: &str, message: &str) -> bool {
        Pattern::parse(pattern).expect("a pattern").fits(message)
    }

    #[test]
    fn words_phrases_and_exclusions() {
        let message = "[ERROR] connection to db refused: code 111";
        for (pattern, expected) in [
            ("", true),
            ("ERROR", true),
            ("error", false),
            ("ERROR db", true),
            ("ERROR cache", false),
            (r#""to db refused""#, true),
            (r#""refused to db""#, false),
            ("?WARN ?ERROR", true),
            ("?WARN ?INFO", false),
            ("ERROR -db", false),
            ("-WARN", true),
            ("-\"to db\"", false),
            ("%code [0-9]{3}%", true),
            ("%code [0-9]{4}%", false),
        ] {
            assert_eq!(fits(pattern, message), expected, "{pattern}");
        }
        assert_eq!(Pattern::parse("\"open").err(), Some(Refused::Invalid));
        assert_eq!(Pattern::parse("[ip, user]").err(), Some(Refused::NotHere));
    }

    #[test]
    fn json_events() {
        let message = r#"{"level":"error","status":503,"user":{"name":"jo","tags":["a","b"]},"ok":false,"none":null}"#;
        for (pattern, expected) in [
            (r#"{ $.level = "error" }"#, true),
            ("{ $.level = error }", true),
            (r#"{ $.level = "err*" }"#, true),
            (r#"{ $.level != "info" }"#, true),
            ("{ $.status >= 500 }", true),
            ("{ $.status < 500 }", false),
            ("{ $.status = 503 && $.user.name = \"jo\" }", true),
            ("{ ($.status = 1 || $.level = \"error\") && $.ok IS FALSE }", true),
            ("{ $.user.tags[1] = \"b\" }", true),
            ("{ $.user.tags[2] = \"c\" }", false),
            ("{ $.none IS NULL }", true),
            ("{ $.missing NOT EXISTS }", true),
            ("{ $.user.name EXISTS }", true),
            ("{ $.missing = \"x\" }", false),
            ("{ $.level = %^err% }", true),
        ] {
            assert_eq!(fits(pattern, message), expected, "{pattern}");
        }
        assert!(!fits("{ $.a = 1 }", "not json"));
        for bad in ["{", "{}", "{ $.a }", "{ $.a = }", "{ $.a = 1 ", "{ a = 1 }", "{ ($.a = 1 }", "{ $.a = 1 } x"] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
        assert!(Pattern::parse(&format!("{{{}", "(".repeat(100_000))).is_err());
    }

    proptest! {
        #[test]
        fn any_text_gives_a_pattern_or_is_refused(text in ".{0,60}", message in ".{0,60}") {
            if let Ok(pattern) = Pattern::parse(&text) {
                let _ = pattern.fits(&message);
            }
        }

        #[test]
        fn any_condition_like_text_gives_a_pattern_or_is_refused(text in r#"\{[ $.a-c=<>!&|()"*0-9\[\]]{0,30}\}"#) {
            let _ = Pattern::parse(&text);
        }
    }
}
