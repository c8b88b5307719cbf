//! Tags of load balancers, target groups, listeners and rules.

use super::{is_arn, listener, listeners, load_balancer, target_group};
use crate::rows::{Listener, LoadBalancer, Rule, Tags, TargetGroup};
use crate::{Elb, texts};
use gateway::Context;
use model::elbv2::{
    AddTagsInput, AddTagsOutput, DescribeTagsInput, DescribeTagsOutput, RemoveTagsInput, RemoveTagsOutput, Tag,
    TagDescription,
};
use store::{Tx, View};
use types::{ApiError, Scope};

/// How many a resource may have.
const MOST: usize = 50;

/// The tags of a request that makes something.
pub(super) fn at_creation(given: Option<Vec<Tag>>) -> Result<Tags, ApiError> {
    merged(Tags::new(), given.unwrap_or_default())
}

fn merged(present: Tags, given: Vec<Tag>) -> Result<Tags, ApiError> {
    let mut new = Tags::new();
    for Tag { key, value } in given {
        if new.insert(key.clone(), value.unwrap_or_default()).is_some() {
            return Err(texts::duplicate_tag(&key));
        }
    }
    let mut tags = present;
    tags.extend(new);
    if tags.len() > MOST { Err(texts::too_many_tags()) } else { Ok(tags) }
}

/// The tags of the resource of that ARN, of whatever kind.
fn tags_of(view: &View, scope: &Scope, arn: &str) -> Result<Tags, ApiError> {
    if is_arn(arn, "loadbalancer") {
        Ok(load_balancer(view, scope, arn)?.tags.clone())
    } else if is_arn(arn, "targetgroup") {
        Ok(target_group(view, scope, arn)?.tags.clone())
    } else if is_arn(arn, "listener") {
        Ok(listener(view, scope, arn)?.tags.clone())
    } else if is_arn(arn, "listener-rule") {
        match listeners::of_default_rule(view, scope, arn) {
            Some(owner) => Ok(owner.default_rule_tags.clone()),
            None => view.get::<Rule>(scope, arn).map(|row| row.tags.clone()).ok_or_else(texts::rule_not_found),
        }
    } else {
        Err(texts::invalid(format!("'{arn}' is not a valid ARN")))
    }
}

/// Puts the tags on a resource that [`tags_of`] found.
fn put(tx: &mut Tx, scope: &Scope, arn: &str, tags: Tags) {
    if is_arn(arn, "loadbalancer") {
        tx.update::<LoadBalancer>(scope, arn, |row| row.tags = tags);
    } else if is_arn(arn, "targetgroup") {
        tx.update::<TargetGroup>(scope, arn, |row| row.tags = tags);
    } else if is_arn(arn, "listener") {
        tx.update::<Listener>(scope, arn, |row| row.tags = tags);
    } else if let Some(owner) = listeners::of_default_rule(tx, scope, arn) {
        tx.update::<Listener>(scope, &owner.arn, |row| row.default_rule_tags = tags);
    } else {
        tx.update::<Rule>(scope, arn, |row| row.tags = tags);
    }
}

pub(super) fn add(_: &Elb, cx: &mut Context, input: AddTagsInput) -> Result<AddTagsOutput, ApiError> {
    let scope = cx.scope.clone();
    let tx = cx.tx();
    for arn in &input.resource_arns {
        let tags = merged(tags_of(tx, &scope, arn)?, input.tags.clone())?;
        put(tx, &scope, arn, tags);
    }
    Ok(AddTagsOutput::default())
}

pub(super) fn remove(_: &Elb, cx: &mut Context, input: RemoveTagsInput) -> Result<RemoveTagsOutput, ApiError> {
    let scope = cx.scope.clone();
    let tx = cx.tx();
    for arn in &input.resource_arns {
        let mut tags = tags_of(tx, &scope, arn)?;
        tags.retain(|key, _| !input.tag_keys.contains(key));
        put(tx, &scope, arn, tags);
    }
    Ok(RemoveTagsOutput::default())
}

pub(super) fn describe(_: &Elb, cx: &mut Context, input: DescribeTagsInput) -> Result<DescribeTagsOutput, ApiError> {
    let scope = cx.scope.clone();
    let view = cx.view();
    let mut shown = Vec::with_capacity(input.resource_arns.len());
    for arn in input.resource_arns {
        let tags = tags_of(view, &scope, &arn)?;
        let tags = tags.into_iter().map(|(key, value)| Tag { key, value: Some(value) });
        shown.push(TagDescription { tags: Some(tags.collect()), resource_arn: Some(arn) });
    }
    Ok(DescribeTagsOutput { tag_descriptions: Some(shown) })
}
