//! Patterns with `*` for any run of characters and `?` for exactly one; `\` takes the next character literally.

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    tokens: Vec<Token>,
    fold: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Byte(u8),
    One,
    Run,
}

/// What a pattern amounts to, for those that an index can hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// No wildcard: these bytes.
    Exact(Vec<u8>),
    /// These bytes, then anything.
    Prefix(Vec<u8>),
    /// Anything, then these bytes.
    Suffix(Vec<u8>),
    /// Anything else.
    Other,
}

impl Pattern {
    /// A pattern that regards case.
    pub fn exact_case(text: &str) -> Self {
        Self { tokens: tokens(text.as_bytes()), fold: false }
    }

    /// A pattern that disregards ASCII case.
    pub fn any_case(text: &str) -> Self {
        Self { tokens: tokens(text.to_ascii_lowercase().as_bytes()), fold: true }
    }

    /// Whether the whole of `text` fits.
    pub fn matches(&self, text: &[u8]) -> bool {
        let (mut at, mut token) = (0, 0);
        // where to go on from when the last run has to take one byte more
        let mut retry: Option<(usize, usize)> = None;
        loop {
            match self.tokens.get(token) {
                Some(Token::Run) => {
                    retry = Some((at, token + 1));
                    token += 1;
                    continue;
                }
                Some(Token::One) if at < text.len() => {
                    at += 1;
                    token += 1;
                    continue;
                }
                Some(Token::Byte(byte)) if text.get(at).is_some_and(|b| self.folded(*b) == *byte) => {
                    at += 1;
                    token += 1;
                    continue;
                }
                None if at == text.len() => return true,
                _ => {}
            }
            match retry {
                Some((from, after)) if from < text.len() => {
                    retry = Some((from + 1, after));
                    at = from + 1;
                    token = after;
                }
                _ => return false,
            }
        }
    }

    /// What the pattern amounts to; in lower case if case is disregarded.
    pub fn shape(&self) -> Shape {
        let bytes = |tokens: &[Token]| {
            tokens
                .iter()
                .map(|token| if let Token::Byte(byte) = token { Some(*byte) } else { None })
                .collect::<Option<Vec<u8>>>()
        };
        if let Some(all) = bytes(&self.tokens) {
            return Shape::Exact(all);
        }
        if let [head @ .., Token::Run] = self.tokens.as_slice()
            && let Some(prefix) = bytes(head)
        {
            return Shape::Prefix(prefix);
        }
        if let [Token::Run, tail @ ..] = self.tokens.as_slice()
            && let Some(suffix) = bytes(tail)
        {
            return Shape::Suffix(suffix);
        }
        Shape::Other
    }

    fn folded(&self, byte: u8) -> u8 {
        if self.fold { byte.to_ascii_lowercase() } else { byte }
    }
}

fn tokens(text: &[u8]) -> Vec<Token> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        let token = match byte {
            // several stars in a row say no more than one
            b'*' if out.last() == Some(&Token::Run) => continue,
            b'*' => Token::Run,
            b'?' => Token::One,
            b'\\' => Token::Byte(bytes.next().unwrap_or(b'\\')),
            other => Token::Byte(other),
        };
        out.push(token);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|skip| naive(rest, &text[skip..])),
            Some((b'?', rest)) => !text.is_empty() && naive(rest, &text[1..]),
            Some((byte, rest)) => text.first() == Some(byte) && naive(rest, &text[1..]),
        }
    }

    #[test]
    fn the_documented_examples_hold() {
        // user guide, "Path conditions" and "Host conditions"
        for (pattern, yes, no) in
            [("/img/*", "/img/a/b.png", "/img"), ("/img/*/pics", "/img/a/b/pics", "/img/pics"), ("/?.x", "/a.x", "/.x")]
        {
            assert!(Pattern::exact_case(pattern).matches(yes.as_bytes()), "{pattern} {yes}");
            assert!(!Pattern::exact_case(pattern).matches(no.as_bytes()), "{pattern} {no}");
        }
        assert!(Pattern::any_case("*.Example.com").matches(b"TEST.example.COM"));
        assert!(!Pattern::any_case("*.example.com").matches(b"example.com"));
        assert!(!Pattern::exact_case("/API").matches(b"/api"), "paths regard case");
        assert!(Pattern::any_case(r"a\*b").matches(b"a*b") && !Pattern::any_case(r"a\*b").matches(b"axb"));
    }

    #[test]
    fn shapes_are_told_apart() {
        assert_eq!(Pattern::exact_case("/a").shape(), Shape::Exact(b"/a".to_vec()));
        assert_eq!(Pattern::exact_case("/a/*").shape(), Shape::Prefix(b"/a/".to_vec()));
        assert_eq!(Pattern::any_case("*.A.b").shape(), Shape::Suffix(b".a.b".to_vec()));
        assert_eq!(Pattern::exact_case("/*/b*").shape(), Shape::Other);
        assert_eq!(Pattern::exact_case("*").shape(), Shape::Prefix(vec![]));
    }

    proptest! {
        #[test]
        fn matches_as_the_plain_definition_does(pattern in "[ab*?]{0,8}", text in "[ab]{0,10}") {
            prop_assert_eq!(
                Pattern::exact_case(&pattern).matches(text.as_bytes()),
                naive(pattern.as_bytes(), text.as_bytes())
            );
        }
    }
}
