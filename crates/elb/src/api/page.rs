//! `Marker` pages. A marker names the item that the page before ended with.

use crate::texts;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use types::ApiError;

/// One page of `items` and the marker of the next. Items are told apart by `id`.
pub(super) fn page<T>(
    mut items: Vec<T>,
    id: impl Fn(&T) -> String,
    marker: Option<&str>,
    size: Option<i32>,
) -> Result<(Vec<T>, Option<String>), ApiError> {
    if let Some(marker) = marker {
        let last = URL_SAFE_NO_PAD.decode(marker).map_err(|_| texts::bad_marker())?;
        let at = items.iter().position(|item| id(item).as_bytes() == last).ok_or_else(texts::bad_marker)?;
        items.drain(..=at);
    }
    let most = size.and_then(|n| usize::try_from(n).ok()).unwrap_or(400).clamp(1, 400);
    let more = items.len() > most;
    items.truncate(most);
    let next = items.last().filter(|_| more).map(|item| URL_SAFE_NO_PAD.encode(id(item)));
    Ok((items, next))
}

#[cfg(test)]
mod tests {
    use super::page;

    #[test]
    fn pages_follow_each_other_to_the_end() {
        let id = |n: &i32| n.to_string();
        let (first, marker) = page(vec![1, 2, 3], id, None, Some(2)).unwrap();
        assert_eq!(first, [1, 2]);
        let (second, marker) = page(vec![1, 2, 3], id, marker.as_deref(), Some(2)).unwrap();
        assert_eq!((second, marker), (vec![3], None));
        assert!(page(vec![1], id, Some("x!"), None).is_err());
    }
}
