//! Pages of a list: at most so many items, and a token that says where the next page begins.

use crate::texts;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use types::ApiError;

/// The page size where a request names none.
const DEFAULT: usize = 100;

/// One page.
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    pub(super) next_token: Option<String>,
}

/// The page of `items`, which come in the order of their keys, that follows the key in `token`.
pub(super) fn page<T>(
    items: impl Iterator<Item = T>,
    key: impl Fn(&T) -> String,
    token: Option<&str>,
    max: Option<i32>,
) -> Result<Page<T>, ApiError> {
    let after = token.map(decode).transpose()?;
    let size = max.and_then(|max| usize::try_from(max).ok()).unwrap_or(DEFAULT);
    let mut rest = items.skip_while(|item| after.as_ref().is_some_and(|after| key(item) <= *after));
    let items: Vec<T> = rest.by_ref().take(size).collect();
    let more = rest.next().is_some();
    let next_token = items.last().filter(|_| more).map(|last| URL_SAFE_NO_PAD.encode(key(last)));
    Ok(Page { items, next_token })
}

fn decode(token: &str) -> Result<String, ApiError> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    text.ok_or_else(|| texts::invalid_parameter("nextToken", "Invalid next token"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_cover_the_list_once() {
        let items = ["a", "b", "c", "d", "e"];
        let mut seen = Vec::new();
        let mut token = None;
        loop {
            let page = page(items.iter(), |item| (**item).to_owned(), token.as_deref(), Some(2)).unwrap();
            seen.extend(page.items.into_iter().copied());
            token = page.next_token;
            if token.is_none() {
                break;
            }
        }
        assert_eq!(seen, items);
        assert!(page(items.iter(), |item| (**item).to_owned(), Some("%%"), None).is_err());
    }
}
