//! Which statuses a health check takes for success: `200`, `200,202` or `200-299`.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A set of status codes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Matcher(Vec<(u16, u16)>);

impl Matcher {
    /// Whether `code` is in the set.
    pub fn matches(&self, code: u16) -> bool {
        self.0.iter().any(|(from, to)| (*from..=*to).contains(&code))
    }

    /// The lowest and the highest code, against which the caller checks AWS's bounds (HTTP 200–499, gRPC 0–99).
    pub fn bounds(&self) -> (u16, u16) {
        let from = self.0.iter().map(|range| range.0).min().unwrap_or(0);
        let to = self.0.iter().map(|range| range.1).max().unwrap_or(0);
        (from, to)
    }
}

impl Default for Matcher {
    fn default() -> Self {
        Self(vec![(200, 200)])
    }
}

/// A text that is no set of status codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadMatcher(pub String);

impl fmt::Display for BadMatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a list of status codes: {:?}", self.0)
    }
}

impl std::error::Error for BadMatcher {}

impl FromStr for Matcher {
    type Err = BadMatcher;

    fn from_str(text: &str) -> Result<Self, BadMatcher> {
        let bad = || BadMatcher(text.to_owned());
        let code = |part: &str| {
            let digits = !part.is_empty() && part.len() <= 3 && part.bytes().all(|b| b.is_ascii_digit());
            if digits { part.parse::<u16>().map_err(|_| bad()) } else { Err(bad()) }
        };
        let ranges = text
            .split(',')
            .map(|part| match part.split_once('-') {
                None => code(part).map(|one| (one, one)),
                Some((from, to)) => {
                    let range = (code(from)?, code(to)?);
                    if range.0 <= range.1 { Ok(range) } else { Err(bad()) }
                }
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self(ranges))
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (from, to)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            if from == to { write!(f, "{comma}{from}")? } else { write!(f, "{comma}{from}-{to}")? }
        }
        Ok(())
    }
}

impl TryFrom<String> for Matcher {
    type Error = BadMatcher;

    fn try_from(text: String) -> Result<Self, BadMatcher> {
        text.parse()
    }
}

impl From<Matcher> for String {
    fn from(matcher: Matcher) -> Self {
        matcher.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_lists_and_ranges_are_understood() {
        let matcher: Matcher = "200,301-303".parse().unwrap();
        assert!(matcher.matches(200) && matcher.matches(302));
        assert!(!matcher.matches(201) && !matcher.matches(304));
        assert_eq!(matcher.to_string(), "200,301-303");
        assert_eq!(matcher.bounds(), (200, 303));
        for bad in ["", "2x0", "300-200", "200-", "200,,201", "-", "0200"] {
            assert!(bad.parse::<Matcher>().is_err(), "{bad:?} was taken");
        }
    }
}
