//! Texts in policies: wildcards `*` and `?`, and policy variables such as `${aws:username}`.
//!
//! A variable's value is taken literally: a `*` in a user's name matches a star, not everything.

use crate::context::Context;

/// A text of a policy, split into what it is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// As written; wildcards in it count where the operator has wildcards.
    Text(String),
    /// `${*}`, `${?}`, `${$}`: that character itself.
    Escaped(char),
    /// `${key}` or `${key, 'default'}`.
    Variable { key: String, default: Option<String> },
}

/// One step of a pattern when it is matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Char(char),
    One,
    Many,
}

impl Pattern {
    /// `variables` is false for policies of version 2008-10-17, where `${` has no meaning.
    pub(crate) fn parse(text: &str, variables: bool) -> Self {
        let mut parts = Vec::new();
        let mut rest = text;
        let next = |rest: &'_ str| -> Option<(usize, usize)> {
            let open = rest.find("${").filter(|_| variables)?;
            Some((open, open + rest[open..].find('}')?))
        };
        while let Some((open, close)) = next(rest) {
            let (before, inside, after) = (&rest[..open], &rest[open + 2..close], &rest[close + 1..]);
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(match inside {
                "*" => Part::Escaped('*'),
                "?" => Part::Escaped('?'),
                "$" => Part::Escaped('$'),
                _ => variable(inside),
            });
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Self { parts }
    }

    /// The text with its variables filled in; none if one has no value. Wildcards stay as they are written.
    pub(crate) fn resolve(&self, context: &Context) -> Option<String> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(t) => text.push_str(t),
                Part::Escaped(c) => text.push(*c),
                Part::Variable { key, default } => text.push_str(context.single(key).or(default.as_deref())?),
            }
        }
        Some(text)
    }

    /// Whether the pattern, with wildcards, covers the whole of `text`.
    pub(crate) fn matches(&self, context: &Context, text: &str) -> bool {
        match self.parts.as_slice() {
            [Part::Text(one)] if one == "*" => true,
            [Part::Text(one)] if !one.contains(['*', '?']) => one == text,
            _ => self.tokens(context).is_some_and(|tokens| glob(&tokens, &chars(text))),
        }
    }

    pub(crate) fn matches_ignoring_case(&self, context: &Context, text: &str) -> bool {
        match self.parts.as_slice() {
            [Part::Text(one)] if one == "*" => true,
            [Part::Text(one)] if !one.contains(['*', '?']) => one.eq_ignore_ascii_case(text),
            _ => self.tokens(context).is_some_and(|tokens| {
                let tokens: Vec<Token> = tokens
                    .into_iter()
                    .map(|token| match token {
                        Token::Char(c) => Token::Char(c.to_ascii_lowercase()),
                        other => other,
                    })
                    .collect();
                glob(&tokens, &chars(&text.to_ascii_lowercase()))
            }),
        }
    }

    /// Whether the pattern covers the ARN: each of the six parts by itself, so that a `*` does not run over a colon
    /// (except in the last part, which may hold colons). Parts that an incomplete pattern lacks match anything.
    pub(crate) fn matches_arn(&self, context: &Context, arn: &str) -> bool {
        if let [Part::Text(one)] = self.parts.as_slice()
            && (one == "*" || one == arn)
        {
            return true;
        }
        let Some(tokens) = self.tokens(context) else { return false };
        let pattern: Vec<&[Token]> = tokens.splitn(6, |token| *token == Token::Char(':')).collect();
        let text: Vec<&str> = arn.splitn(6, ':').collect();
        if text.len() < 6 {
            // Not an ARN (`*` stands for "no particular resource"): only a pattern that covers it as text fits.
            return glob(&tokens, &chars(arn));
        }
        text.iter().enumerate().all(|(i, part)| pattern.get(i).is_none_or(|tokens| glob(tokens, &chars(part))))
    }

    fn tokens(&self, context: &Context) -> Option<Vec<Token>> {
        let mut tokens = Vec::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => tokens.extend(text.chars().map(|c| match c {
                    '*' => Token::Many,
                    '?' => Token::One,
                    other => Token::Char(other),
                })),
                Part::Escaped(c) => tokens.push(Token::Char(*c)),
                Part::Variable { key, default } => {
                    tokens.extend(context.single(key).or(default.as_deref())?.chars().map(Token::Char));
                }
            }
        }
        Some(tokens)
    }
}

fn variable(inside: &str) -> Part {
    let (key, default) = match inside.split_once(',') {
        Some((key, default)) => {
            let default = default.trim();
            let bare = default.strip_prefix('\'').and_then(|d| d.strip_suffix('\'')).unwrap_or(default);
            (key.trim(), Some(bare.to_owned()))
        }
        None => (inside.trim(), None),
    };
    Part::Variable { key: key.to_ascii_lowercase(), default }
}

fn chars(text: &str) -> Vec<char> {
    text.chars().collect()
}

/// Backtracks to the last star only, which is enough; time is at most the product of both lengths.
fn glob(pattern: &[Token], text: &[char]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(Token::Many) => {
                star = Some((p, t));
                p += 1;
            }
            Some(Token::One) => {
                p += 1;
                t += 1;
            }
            Some(Token::Char(c)) if *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((at, from)) = star else { return false };
                p = at + 1;
                t = from + 1;
                star = Some((at, from + 1));
            }
        }
    }
    pattern[p..].iter().all(|token| *token == Token::Many)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fits(pattern: &str, text: &str) -> bool {
        Pattern::parse(pattern, true).matches(&Context::default().with("aws:username", "a*b"), text)
    }

    fn fits_arn(pattern: &str, arn: &str) -> bool {
        Pattern::parse(pattern, true).matches_arn(&Context::default(), arn)
    }

    #[test]
    fn variables_are_literal_and_may_have_defaults() {
        assert!(fits("home/${aws:username}/*", "home/a*b/x"));
        assert!(
            !fits("home/${aws:username}/*", "home/azzb/x"),
            "the star of a variable's value must not be a wildcard"
        );
        assert!(!fits("home/${aws:missing}", "home/"), "a variable without a value matches nothing");
        assert!(fits("${aws:missing, 'all'}-${*}${$}", "all-*$"));
        assert!(fits("${", "${"));
    }

    #[test]
    fn a_star_stays_within_its_part_of_an_arn() {
        let task = "arn:aws:ecs:us-east-1:123456789012:task/c/1:2";
        assert!(fits_arn("arn:aws:ecs:*:123456789012:task/*", task));
        assert!(fits_arn("*", task));
        assert!(fits_arn("arn:aws:ecs:*", task), "missing parts match anything");
        assert!(!fits_arn("arn:aws:ec*:task/c/1:2", task));
        assert!(!fits_arn("arn:aws:ecs:us-east-1:*", "*"), "no particular resource is not some resource");
    }

    fn naive(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|n| naive(rest, &text[n..])),
            Some(('?', rest)) => !text.is_empty() && naive(rest, &text[1..]),
            Some((c, rest)) => text.first() == Some(c) && naive(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn wildcards_agree_with_the_obvious_matcher(pattern in "[ab*?]{0,8}", text in "[ab]{0,10}") {
            prop_assert_eq!(fits(&pattern, &text), naive(&chars(&pattern), &chars(&text)));
        }
    }
}
