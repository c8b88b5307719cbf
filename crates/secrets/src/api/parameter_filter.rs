//! `ParameterFilters` of DescribeParameters and GetParametersByPath.

use crate::rows::Parameter;
use crate::texts;
use model::ssm::ParameterStringFilter;
use types::ApiError;

/// What DescribeParameters filters by.
pub(super) const DESCRIBE: &[&str] = &["DataType", "Description", "KeyId", "Label", "Name", "Path", "Tier", "Type"];
/// What GetParametersByPath filters by.
pub(super) const BY_PATH: &[&str] = &["KeyId", "Label", "Type"];

/// Refuses filters that the operation does not have.
pub(super) fn check(filters: &[ParameterStringFilter], valid: &[&str]) -> Result<(), ApiError> {
    for filter in filters {
        let tag = filter.key.starts_with("tag:") && valid == DESCRIBE;
        if !tag && !valid.contains(&filter.key.as_str()) {
            return Err(texts::bad_filter_key(&filter.key, &valid.join(", ")));
        }
        let options: &[&str] = match filter.key.as_str() {
            "Path" => &["Recursive", "OneLevel"],
            "Name" => &["BeginsWith", "Equals", "Contains"],
            _ => &["BeginsWith", "Equals"],
        };
        let option = filter.option.as_deref().filter(|option| !options.contains(option));
        if let Some(option) = option {
            return Err(texts::bad_filter_option(option, &options.join(", ")));
        }
        if filter.key == "Path" {
            let bad = filter.values.iter().flatten().find(|value| !value.starts_with('/'));
            if let Some(bad) = bad {
                return Err(texts::path_must_begin_with_slash(bad));
            }
        }
    }
    Ok(())
}

/// Whether the parameter passes the filter: one of its values must match.
pub(super) fn fits(parameter: &Parameter, filter: &ParameterStringFilter) -> bool {
    let values = filter.values.as_deref().unwrap_or_default();
    let Some(newest) = parameter.newest() else { return false };
    if let Some(tag) = filter.key.strip_prefix("tag:") {
        let Some(have) = parameter.tags.get(tag) else { return false };
        return values.is_empty() || matches(have, filter.option.as_deref(), values);
    }
    let have = match filter.key.as_str() {
        "Path" => {
            let recursive = filter.option.as_deref() == Some("Recursive");
            return values.iter().any(|path| lies_under(&parameter.name, path, recursive));
        }
        "Name" => {
            // Names match with and without the leading slash.
            let bare = parameter.name.trim_start_matches('/');
            let wanted: Vec<String> = values.iter().map(|v| v.trim_start_matches('/').to_owned()).collect();
            return matches(bare, filter.option.as_deref(), &wanted);
        }
        "Type" => Some(newest.kind.as_str()),
        "Tier" => Some(newest.tier.as_str()),
        "DataType" => Some(newest.data_type.as_str()),
        "KeyId" => newest.key_id.as_deref(),
        "Description" => newest.description.as_deref(),
        // Versions cannot be labelled.
        _ => None,
    };
    have.is_some_and(|have| matches(have, filter.option.as_deref(), values))
}

fn matches(have: &str, option: Option<&str>, values: &[String]) -> bool {
    values.iter().any(|value| match option {
        Some("BeginsWith") => have.starts_with(value.as_str()),
        Some("Contains") => have.contains(value.as_str()),
        _ => have == value,
    })
}

/// Whether the name lies under the path: at any depth, or directly.
pub(super) fn lies_under(name: &str, path: &str, recursive: bool) -> bool {
    let path = path.trim_end_matches('/');
    // The root holds plain names as well.
    let rest = if path.is_empty() { Some(name.trim_start_matches('/')) } else { name.strip_prefix(path) };
    let rest = if path.is_empty() { rest } else { rest.and_then(|rest| rest.strip_prefix('/')) };
    rest.is_some_and(|rest| !rest.is_empty() && (recursive || !rest.contains('/')))
}

#[cfg(test)]
mod tests {
    use super::lies_under;

    #[test]
    fn paths_hold_what_is_beneath_them() {
        assert!(lies_under("/a/b", "/a", false));
        assert!(lies_under("/a/b", "/a/", false));
        assert!(!lies_under("/a/b/c", "/a", false));
        assert!(lies_under("/a/b/c", "/a", true));
        assert!(!lies_under("/ab", "/a", true));
        assert!(!lies_under("/a", "/a", true));
        assert!(lies_under("plain", "/", false));
        assert!(lies_under("/a/b", "/", true));
    }
}
