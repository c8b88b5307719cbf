//! `NextToken` pages. A token says how many items came before.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// One page, and the token of the next. `None` if the token is not ours.
pub(super) fn page<T>(items: Vec<T>, token: Option<&str>, limit: usize) -> Option<(Vec<T>, Option<String>)> {
    let start: usize = match token {
        None => 0,
        Some(token) => {
            let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
            std::str::from_utf8(&bytes).ok()?.strip_prefix("after:")?.parse().ok()?
        }
    };
    let end = start.saturating_add(limit.max(1));
    let next = (end < items.len()).then(|| URL_SAFE_NO_PAD.encode(format!("after:{end}")));
    Some((items.into_iter().skip(start).take(limit.max(1)).collect(), next))
}

/// A page size: what is asked for, within the most.
pub(super) fn limit(asked: Option<i32>, default: usize, most: usize) -> usize {
    asked.and_then(|n| usize::try_from(n).ok()).unwrap_or(default).clamp(1, most)
}

#[cfg(test)]
mod tests {
    use super::page;

    #[test]
    fn pages_follow_each_other_to_the_end() {
        let (first, token) = page(vec![1, 2, 3], None, 2).unwrap();
        assert_eq!(first, [1, 2]);
        let (second, token) = page(vec![1, 2, 3], token.as_deref(), 2).unwrap();
        assert_eq!((second, token), (vec![3], None));
        assert!(page(vec![1], Some("x"), 2).is_none());
    }
}
