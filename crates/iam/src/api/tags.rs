//! Tags of roles, users and policies: keys are unique without regard to case, fifty at most.

use crate::texts;
use model::iam::Tag;
use std::collections::{BTreeMap, BTreeSet};
use types::ApiError;

/// `given` on top of `present`.
pub(crate) fn merge(
    present: &BTreeMap<String, String>,
    given: Option<Vec<Tag>>,
) -> Result<BTreeMap<String, String>, ApiError> {
    let given = given.unwrap_or_default();
    let mut folded = BTreeSet::new();
    if given.iter().any(|tag| !folded.insert(tag.key.to_lowercase())) {
        return Err(texts::duplicate_tags());
    }
    let mut tags = present.clone();
    for Tag { key, value } in given {
        tags.retain(|have, _| have == &key || have.to_lowercase() != key.to_lowercase());
        tags.insert(key, value);
    }
    if tags.len() > 50 {
        return Err(texts::quota("TagsPerEntity", 50));
    }
    Ok(tags)
}

/// Tags as responses show them: absent if there are none.
pub(crate) fn shown(tags: &BTreeMap<String, String>) -> Option<Vec<Tag>> {
    let all = listed(tags);
    (!all.is_empty()).then_some(all)
}

pub(crate) fn listed(tags: &BTreeMap<String, String>) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag { key: key.clone(), value: value.clone() }).collect()
}
