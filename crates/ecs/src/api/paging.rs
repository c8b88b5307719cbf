//! Pages: `maxResults` from 1 to 100, tokens that name the last item given.

use crate::texts;
use types::ApiError;

/// The page of `items` (in order of their keys) that follows `token`, and the token of the next.
pub(super) fn page<T>(
    items: impl Iterator<Item = (String, T)>,
    token: Option<&str>,
    most: Option<i32>,
    default: usize,
) -> Result<(Vec<T>, Option<String>), ApiError> {
    let most = match most {
        None => default,
        Some(n @ 1..=100) => n as usize,
        Some(_) => return Err(texts::invalid("maxResults should be between 1 and 100.")),
    };
    let after = token.filter(|token| !token.is_empty()).map(decode).transpose()?;
    let mut rest = items.skip_while(|(key, _)| after.as_ref().is_some_and(|after| key <= after));
    let mut page = Vec::new();
    let mut last = String::new();
    for (key, item) in rest.by_ref().take(most) {
        page.push(item);
        last = key;
    }
    let next = rest.next().is_some().then(|| encode(&last));
    Ok((page, next))
}

/// As [`page`], for items in descending order of their keys.
pub(super) fn page_down<T>(
    items: Vec<(String, T)>,
    token: Option<&str>,
    most: Option<i32>,
    default: usize,
) -> Result<(Vec<T>, Option<String>), ApiError> {
    let after = token.filter(|token| !token.is_empty()).map(decode).transpose()?;
    let rest = items.into_iter().rev().skip_while(|(key, _)| after.as_ref().is_some_and(|after| key >= after));
    let keyed: Vec<(String, T)> = rest.collect();
    let most = match most {
        None => default,
        Some(n @ 1..=100) => n as usize,
        Some(_) => return Err(texts::invalid("maxResults should be between 1 and 100.")),
    };
    let more = keyed.len() > most;
    let mut last = None;
    let mut page = Vec::new();
    for (key, item) in keyed.into_iter().take(most) {
        last = Some(key);
        page.push(item);
    }
    Ok((page, last.filter(|_| more).map(|key| encode(&key))))
}

/// Hexadecimal: opaque to clients, and any key can stand in it.
fn encode(key: &str) -> String {
    key.bytes().fold(String::with_capacity(key.len() * 2), |mut text, byte| {
        text.extend([byte >> 4, byte & 15].map(|digit| char::from_digit(u32::from(digit), 16).unwrap_or('0')));
        text
    })
}

fn decode(token: &str) -> Result<String, ApiError> {
    let invalid = || texts::invalid("Invalid token: nextToken is not valid.");
    if !token.len().is_multiple_of(2) || token.len() > 2048 || !token.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(invalid());
    }
    let bytes = (0..token.len()).step_by(2).map(|at| u8::from_str_radix(&token[at..at + 2], 16).unwrap_or_default());
    String::from_utf8(bytes.collect()).map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_join_to_the_whole() {
        let items: Vec<(String, u32)> = (0..7).map(|n| (format!("k{n}"), n)).collect();
        let (mut token, mut seen) = (None, vec![]);
        loop {
            let (page, next) = page(items.clone().into_iter(), token.as_deref(), Some(3), 100).unwrap();
            seen.extend(page);
            token = next;
            if token.is_none() {
                break;
            }
        }
        assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6]);
        let (down, next) = page_down(items.clone(), None, Some(5), 100).unwrap();
        assert_eq!(down, [6, 5, 4, 3, 2]);
        assert_eq!(page_down(items.clone(), next.as_deref(), Some(5), 100).unwrap().0, [1, 0]);
        assert!(page(items.into_iter(), Some("zz"), None, 100).is_err());
    }
}
