//! Pages: tokens that name the last item given.

use crate::texts;
use types::ApiError;

/// The most that a page holds, and what it holds where nobody says.
const MOST: usize = 100;

/// The page of `items` (in order of their keys, which are names or ids) that follows `token`, and the token of the next.
pub(super) fn page<T>(
    items: impl Iterator<Item = (String, T)>,
    token: Option<&str>,
    most: Option<i32>,
) -> Result<(Vec<T>, Option<String>), ApiError> {
    let most = most.and_then(|most| usize::try_from(most).ok()).unwrap_or(MOST).clamp(1, MOST);
    let after = match token {
        None => None,
        Some(token) => Some(token.strip_prefix("after:").ok_or_else(texts::bad_token)?),
    };
    let mut rest = items.skip_while(|(key, _)| after.is_some_and(|after| key.as_str() <= after));
    let (keys, page): (Vec<String>, Vec<T>) = rest.by_ref().take(most).unzip();
    let next = rest.next().and(keys.last()).map(|key| format!("after:{key}"));
    Ok((page, next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_join_to_the_whole() {
        let items = || (0..5).map(|n| (format!("k{n}"), n));
        let (first, token) = page(items(), None, Some(3)).unwrap();
        let (second, end) = page(items(), token.as_deref(), Some(3)).unwrap();
        assert_eq!((first, second, end), (vec![0, 1, 2], vec![3, 4], None));
        assert!(page(items(), Some("k2"), None).is_err());
    }
}
