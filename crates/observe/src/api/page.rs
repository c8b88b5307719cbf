//! Pages of lists. A token holds the key of the last item seen.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The token that stands for a key.
pub(super) fn token(key: &str) -> String {
    URL_SAFE_NO_PAD.encode(key)
}

/// The key that a token stands for; none if it is not ours.
pub(super) fn key(token: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()
}

/// A page size: what is asked for, within the most.
pub(super) fn limit(asked: Option<i32>, most: usize) -> usize {
    asked.and_then(|n| usize::try_from(n).ok()).unwrap_or(most).clamp(1, most)
}

/// Takes `limit` items, and the token of the next page if more follow.
pub(super) fn take<T>(
    items: impl Iterator<Item = T>,
    limit: usize,
    key: impl Fn(&T) -> String,
) -> (Vec<T>, Option<String>) {
    let mut items = items;
    let page: Vec<T> = items.by_ref().take(limit).collect();
    let next = page.last().filter(|_| items.next().is_some()).map(|last| token(&key(last)));
    (page, next)
}
