//! Tags of groups.

use super::{find_standing, page};
use crate::rows::{Group, Tag};
use crate::{AutoScaling, texts};
use gateway::Context;
use model::autoscaling::{CreateOrUpdateTagsType, DeleteTagsType, DescribeTagsType, TagDescription, TagsType};
use types::ApiError;
use wire::Unit;

/// How many tags a group may have. Source: EC2 Auto Scaling user guide, "Tagging restrictions".
const MOST: usize = 50;
const KIND: &str = "auto-scaling-group";

/// `given` on top of `present`.
pub(super) fn of(
    group: &str,
    given: Vec<model::autoscaling::Tag>,
    mut present: Vec<Tag>,
) -> Result<Vec<Tag>, ApiError> {
    for tag in given {
        let (key, value) = (tag.key, tag.value.unwrap_or_default());
        if tag.resource_type.as_deref().is_some_and(|kind| kind != KIND) {
            return Err(texts::bad_value("resource type", tag.resource_type.as_deref().unwrap_or_default(), KIND));
        }
        if tag.resource_id.as_deref().is_some_and(|id| id != group) {
            return Err(texts::bad_tag(format!("Tag resource id must be {group}.")));
        }
        if key.is_empty() || key.chars().count() > 128 || value.chars().count() > 256 {
            return Err(texts::bad_tag("Tag keys have 1 to 128 characters, values 256 at most."));
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(texts::bad_tag("Tag keys starting with 'aws:' are reserved for internal use."));
        }
        present.retain(|have| have.key != key);
        present.push(Tag { key, value, at_launch: tag.propagate_at_launch.unwrap_or_default() });
    }
    if present.len() > MOST {
        return Err(ApiError::new("LimitExceeded", format!("A group may have {MOST} tags at most.")));
    }
    present.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(present)
}

pub(super) fn show(group: &str, tag: &Tag) -> TagDescription {
    TagDescription {
        resource_id: Some(group.to_owned()),
        resource_type: Some(KIND.to_owned()),
        key: Some(tag.key.clone()),
        value: Some(tag.value.clone()),
        propagate_at_launch: Some(tag.at_launch),
    }
}

pub(super) fn create_or_update(
    _: &AutoScaling,
    cx: &mut Context,
    input: CreateOrUpdateTagsType,
) -> Result<Unit, ApiError> {
    let scope = cx.scope.clone();
    let tx = cx.tx();
    for tag in input.tags {
        let name = tag.resource_id.clone().unwrap_or_default();
        let group = find_standing(tx, &scope, &name)?;
        let tags = of(&group.name, vec![tag], group.tags.clone())?;
        tx.update::<Group>(&scope, &group.name, |group| group.tags = tags);
    }
    Ok(Unit)
}

pub(super) fn delete(_: &AutoScaling, cx: &mut Context, input: DeleteTagsType) -> Result<Unit, ApiError> {
    let scope = cx.scope.clone();
    let tx = cx.tx();
    for tag in input.tags {
        let name = tag.resource_id.clone().unwrap_or_default();
        let group = find_standing(tx, &scope, &name)?;
        tx.update::<Group>(&scope, &group.name, |group| group.tags.retain(|have| have.key != tag.key));
    }
    Ok(Unit)
}

pub(super) fn describe(_: &AutoScaling, cx: &mut Context, input: DescribeTagsType) -> Result<TagsType, ApiError> {
    let scope = cx.scope.clone();
    let view = cx.view();
    let mut found = Vec::new();
    for group in view.scan::<Group>(&scope) {
        for tag in &group.tags {
            let mut fits = true;
            for filter in input.filters.iter().flatten() {
                let name = filter.name.as_deref().unwrap_or_default();
                let wanted = filter.values.as_deref().unwrap_or_default();
                let value = match name {
                    "auto-scaling-group" => group.name.clone(),
                    "key" => tag.key.clone(),
                    "value" => tag.value.clone(),
                    "propagate-at-launch" => tag.at_launch.to_string(),
                    other => return Err(texts::invalid_filter(other)),
                };
                fits &= wanted.contains(&value);
            }
            if fits {
                found.push(show(&group.name, tag));
            }
        }
    }
    let (tags, next_token) = page(found, input.next_token.as_deref(), input.max_records, (50, 100))?;
    Ok(TagsType { tags: Some(tags), next_token })
}
