//! Texts with `*` for anything in their place. `\*` is an asterisk, `\\` a backslash.

/// A wildcard pattern: what stands between its asterisks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wildcard(Vec<String>);

impl Wildcard {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = vec![String::new()];
        let mut characters = text.chars();
        let mut star = false;
        while let Some(character) = characters.next() {
            let was_star = std::mem::take(&mut star);
            let plain = match character {
                '*' if was_star => return Err("Consecutive wildcard characters".to_owned()),
                '*' => {
                    star = true;
                    pieces.push(String::new());
                    continue;
                }
                '\\' => match characters.next() {
                    Some(escaped @ ('*' | '\\')) => escaped,
                    _ => return Err("Invalid escape character".to_owned()),
                },
                other => other,
            };
            if let Some(last) = pieces.last_mut() {
                last.push(plain);
            }
        }
        Ok(Self(pieces))
    }

    /// Takes each piece where it comes first, which is enough: asterisks stand for anything. The time is that of searching
    /// the text once for each piece.
    pub(super) fn matches(&self, text: &str) -> bool {
        let (first, rest) = match self.0.split_first() {
            Some((only, [])) => return text == only,
            Some(split) => split,
            None => return text.is_empty(),
        };
        let Some(mut left) = text.strip_prefix(first.as_str()) else { return false };
        let Some((last, between)) = rest.split_last() else { return false };
        for piece in between {
            match left.find(piece.as_str()) {
                Some(at) => left = &left[at + piece.len()..],
                None => return false,
            }
        }
        left.ends_with(last.as_str())
    }
}
