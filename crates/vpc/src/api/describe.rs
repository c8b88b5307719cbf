//! What all Describe operations share: ids, filters with wildcards, order, pages.

use crate::rows::Tags;
use crate::texts;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway::Context;
use model::ec2;
use std::sync::Arc;
use store::{Row, View};
use types::{ApiError, Scope};

/// The parts of a Describe request that select resources.
#[derive(Default)]
pub(crate) struct Selection {
    pub(crate) ids: Option<Vec<String>>,
    pub(crate) filters: Option<Vec<ec2::Filter>>,
    pub(crate) max_results: Option<i32>,
    pub(crate) next_token: Option<String>,
}

/// The values that a filter has on a resource.
pub(crate) type Values<R> = Box<dyn Fn(&View, &Scope, &R) -> Vec<String>>;

/// How a kind of resource is selected.
pub(crate) struct Kind<R> {
    /// The error for an id that is not there.
    pub(crate) not_found: fn(&str) -> ApiError,
    /// The tags that an account sees on it.
    pub(crate) tags: for<'a> fn(&Scope, &'a R) -> &'a Tags,
    /// The filter of this name, but for tags; `None` if there is none.
    pub(crate) filter: fn(&str) -> Option<Values<R>>,
}

/// A page of rows, and the token of the next one.
pub(crate) type Page<R> = (Vec<Arc<R>>, Option<String>);

/// The rows that `selection` selects, in order of id.
pub(crate) fn rows<R: Row>(cx: &mut Context, kind: &Kind<R>, selection: Selection) -> Result<Page<R>, ApiError> {
    let scope = cx.scope.clone();
    let view = cx.view();
    let found: Vec<Arc<R>> = match selection.ids.as_ref().filter(|ids| !ids.is_empty()) {
        Some(ids) => {
            let found = ids.iter().map(|id| view.get::<R>(&scope, id).ok_or_else(|| (kind.not_found)(id)));
            found.collect::<Result<_, _>>()?
        }
        None => view.scan::<R>(&scope).cloned().collect(),
    };
    of(view, &scope, kind, found, selection)
}

/// Those of `found`, which are in order of id, that `selection`'s filters and page select.
pub(crate) fn of<R: Row>(
    view: &View,
    scope: &Scope,
    kind: &Kind<R>,
    found: Vec<Arc<R>>,
    selection: Selection,
) -> Result<Page<R>, ApiError> {
    // A misspelt one is told whether or not there is anything to look at.
    let filters =
        selection.filters.iter().flatten().map(|filter| sieve(kind, filter)).collect::<Result<Vec<_>, _>>()?;
    let kept = found.into_iter().filter(|row| filters.iter().all(|keeps| keeps(view, scope, row))).collect();
    page(kept, selection.max_results, selection.next_token.as_deref(), |row| row.id().into_owned())
}

/// What a filter keeps.
fn sieve<'f, R: 'static>(
    kind: &Kind<R>,
    filter: &'f ec2::Filter,
) -> Result<impl Fn(&View, &Scope, &R) -> bool + use<'f, R>, ApiError> {
    let name = filter.name.as_deref().unwrap_or_default();
    let wanted = filter.values.as_deref().unwrap_or_default();
    let tags = kind.tags;
    let values: Values<R> = if let Some(key) = name.strip_prefix("tag:") {
        let key = key.to_owned();
        Box::new(move |_, scope, row| tags(scope, row).get(&key).cloned().into_iter().collect())
    } else if name == "tag-key" {
        Box::new(move |_, scope, row| tags(scope, row).keys().cloned().collect())
    } else {
        (kind.filter)(name).ok_or_else(|| texts::invalid_filter(name))?
    };
    Ok(move |view: &View, scope: &Scope, row: &R| {
        let values = values(view, scope, row);
        wanted.iter().any(|pattern| values.iter().any(|value| wildcard(pattern, value)))
    })
}

/// Whether what has `values` for a filter's name is kept by all of the filters.
pub(crate) fn kept(
    filters: Option<&[ec2::Filter]>,
    values: impl Fn(&str) -> Option<Vec<String>>,
) -> Result<bool, ApiError> {
    let mut all = true;
    for filter in filters.into_iter().flatten() {
        let name = filter.name.as_deref().unwrap_or_default();
        let values = values(name).ok_or_else(|| texts::invalid_filter(name))?;
        let mut wanted = filter.values.iter().flatten();
        // Goes on to the next one, which may be misspelt.
        all &= wanted.any(|pattern| values.iter().any(|value| wildcard(pattern, value)));
    }
    Ok(all)
}

/// Refuses filters that are not `known`, where there may be nothing to look at.
pub(crate) fn check_filters(filters: Option<&[ec2::Filter]>, known: impl Fn(&str) -> bool) -> Result<(), ApiError> {
    let names = filters.into_iter().flatten().map(|filter| filter.name.as_deref().unwrap_or_default());
    names.filter(|name| !known(name)).map(texts::invalid_filter).next().map_or(Ok(()), Err)
}

/// Whether `value` is like `pattern`, in which `*` stands for any run and `?` for any one character; `\` makes the next
/// character stand for itself. Takes time in proportion to both lengths' product at worst.
pub(crate) fn wildcard(pattern: &str, value: &str) -> bool {
    #[derive(PartialEq)]
    enum Part {
        Run,
        One,
        Is(char),
    }
    let mut parts = Vec::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        parts.push(match character {
            '*' => Part::Run,
            '?' => Part::One,
            '\\' => Part::Is(characters.next().unwrap_or('\\')),
            other => Part::Is(other),
        });
    }
    let value: Vec<char> = value.chars().collect();
    let (mut at, mut seen, mut retry) = (0, 0, None);
    while seen < value.len() {
        match parts.get(at) {
            Some(Part::Run) => {
                retry = Some((at, seen));
                at += 1;
            }
            Some(Part::One) => (at, seen) = (at + 1, seen + 1),
            Some(Part::Is(character)) if *character == value[seen] => (at, seen) = (at + 1, seen + 1),
            _ => match retry {
                Some((run, from)) => {
                    retry = Some((run, from + 1));
                    (at, seen) = (run + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    parts[at..].iter().all(|part| *part == Part::Run)
}

/// The page of `items` after the one that `token` continues; items are in order of `key`.
pub(crate) fn page<T>(
    mut items: Vec<T>,
    max_results: Option<i32>,
    token: Option<&str>,
    key: impl Fn(&T) -> String,
) -> Result<(Vec<T>, Option<String>), ApiError> {
    // A page of nothing would look like the last one.
    if let Some(few) = max_results.filter(|most| *most < 1) {
        return Err(texts::invalid_value(few, "maxResults", "Expecting a value greater than 0."));
    }
    if let Some(token) = token.filter(|token| !token.is_empty()) {
        let after = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let after = after.ok_or_else(|| texts::invalid_token(token))?;
        items.retain(|item| key(item) > after);
    }
    let Some(max) = max_results else { return Ok((items, None)) };
    let max = usize::try_from(max).unwrap_or_default();
    if items.len() <= max {
        return Ok((items, None));
    }
    items.truncate(max);
    let next = items.last().map(|item| URL_SAFE_NO_PAD.encode(key(item)));
    Ok((items, next))
}

/// The value of a filter that a resource may lack.
pub(crate) fn maybe(value: Option<impl ToString>) -> Vec<String> {
    value.iter().map(ToString::to_string).collect()
}

/// The value of a filter that every resource has.
pub(crate) fn one(value: impl ToString) -> Vec<String> {
    vec![value.to_string()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_runs_and_single_characters() {
        for (pattern, value, expected) in [
            ("ELB app/demo/*", "ELB app/demo/0af", true),
            ("*", "", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(wildcard(pattern, value), expected, "{pattern:?} against {value:?}");
        }
    }

    #[test]
    fn pages_follow_each_other_without_gap_or_repeat() {
        let all: Vec<String> = (0..10).map(|n| format!("id-{n}")).collect();
        let (mut seen, mut token) = (Vec::new(), None::<String>);
        loop {
            let (items, next) = page(all.clone(), Some(3), token.as_deref(), Clone::clone).unwrap();
            seen.extend(items);
            match next {
                Some(next) => token = Some(next),
                None => break,
            }
        }
        assert_eq!(seen, all);
        assert!(page(all.clone(), Some(3), Some("not a token!"), Clone::clone).is_err());
        for few in [0, -5, i32::MIN] {
            assert!(page(all.clone(), Some(few), None, Clone::clone).is_err(), "{few}");
        }
    }
}
