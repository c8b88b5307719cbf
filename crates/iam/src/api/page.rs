//! IAM's pagination: `Marker` and `IsTruncated`, at most 1000 items a page, 100 unless said otherwise.

use crate::texts;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use types::ApiError;

/// One page of a list.
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    pub(crate) is_truncated: Option<bool>,
    pub(crate) marker: Option<String>,
}

/// The page that begins after `marker`. A marker is the key of the last item seen, so that a list which changes between
/// two pages neither repeats nor skips what stayed.
pub(crate) fn page<T>(
    items: impl IntoIterator<Item = T>,
    key: impl Fn(&T) -> String,
    marker: Option<&str>,
    max_items: Option<i32>,
) -> Result<Page<T>, ApiError> {
    let after = marker
        .map(|marker| {
            let bytes = URL_SAFE_NO_PAD.decode(marker).map_err(|_| texts::invalid_marker(marker))?;
            String::from_utf8(bytes).map_err(|_| texts::invalid_marker(marker))
        })
        .transpose()?;
    let limit = usize::try_from(max_items.unwrap_or(100)).unwrap_or(100).clamp(1, 1000);
    let mut items: Vec<T> = items.into_iter().collect();
    items.sort_by_cached_key(&key);
    let mut rest = items.into_iter().skip_while(|item| after.as_ref().is_some_and(|after| key(item) <= *after));
    let shown: Vec<T> = rest.by_ref().take(limit).collect();
    let more = rest.next().is_some();
    let marker = shown.last().filter(|_| more).map(|last| URL_SAFE_NO_PAD.encode(key(last)));
    Ok(Page { items: shown, is_truncated: Some(more), marker })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_to_the_end() {
        let names = ["c", "a", "b"];
        let key = |name: &&str| (*name).to_owned();
        let first = page(names, key, None, Some(2)).unwrap();
        assert_eq!((first.items, first.is_truncated), (vec!["a", "b"], Some(true)));
        let second = page(names, key, first.marker.as_deref(), Some(2)).unwrap();
        assert_eq!((second.items, second.is_truncated, second.marker), (vec!["c"], Some(false), None));
        assert!(page(names, key, Some("%"), None).is_err());
    }
}
