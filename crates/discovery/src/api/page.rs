//! Pages: tokens that name the last item given.

use crate::texts;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use types::ApiError;

/// The most that a page holds, and what it holds where nobody says.
const MOST: usize = 100;

/// The page of `items` (in order of their keys) that follows `token`, and the token of the next.
pub(super) fn page<T>(
    items: Vec<(String, T)>,
    token: Option<&str>,
    most: Option<i32>,
) -> Result<(Vec<T>, Option<String>), ApiError> {
    let most = most.and_then(|most| usize::try_from(most).ok()).unwrap_or(MOST).clamp(1, MOST);
    let after = token.map(decode).transpose()?;
    let mut rest = items.into_iter().skip_while(|(key, _)| after.as_ref().is_some_and(|after| key <= after));
    let (keys, page): (Vec<String>, Vec<T>) = rest.by_ref().take(most).unzip();
    let next = rest.next().and(keys.last()).map(|key| URL_SAFE_NO_PAD.encode(key));
    Ok((page, next))
}

fn decode(token: &str) -> Result<String, ApiError> {
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| texts::bad_token())?;
    String::from_utf8(bytes).map_err(|_| texts::bad_token())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_join_to_the_whole() {
        let items: Vec<_> = (0..5).map(|n| (format!("k{n}"), n)).collect();
        let (first, token) = page(items.clone(), None, Some(3)).unwrap();
        let (second, end) = page(items.clone(), token.as_deref(), Some(3)).unwrap();
        assert_eq!((first, second, end), (vec![0, 1, 2], vec![3, 4], None));
        assert!(page(items, Some("%"), None).is_err());
    }
}
