//! Capacity providers: CreateCapacityProvider, DescribeCapacityProviders, UpdateCapacityProvider, DeleteCapacityProvider.
//!
//! `FARGATE` and `FARGATE_SPOT` are in every account. Those of Auto Scaling groups are rows, which `control::managed_scaling`
//! and `control::managed_draining` act on; those of managed instances are refused.

use super::capacity::FARGATE_PROVIDERS;
use super::clusters::missing;
use super::{capacity, cluster, paging, shapes};
use crate::ports::Group;
use crate::rows::{ProviderRow, ScalingRow};
use crate::{Ecs, names, texts};
use gateway::Context;
use model::ecs::{
    AutoScalingGroupProvider, CapacityProvider, CreateCapacityProviderRequest, CreateCapacityProviderResponse,
    DeleteCapacityProviderRequest, DeleteCapacityProviderResponse, DescribeCapacityProvidersRequest,
    DescribeCapacityProvidersResponse, ManagedScaling, UpdateCapacityProviderRequest, UpdateCapacityProviderResponse,
};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use store::View;
use types::{ApiError, Scope};

/// As many as DescribeCapacityProviders gives in a page, at most and unasked.
const PAGE: usize = 10;

pub(super) fn create(
    ecs: &Ecs,
    cx: &mut Context,
    input: CreateCapacityProviderRequest,
) -> Result<CreateCapacityProviderResponse, ApiError> {
    let lower = input.name.to_ascii_lowercase();
    if !names::is_plain(&input.name) || ["aws", "ecs", "fargate"].iter().any(|start| lower.starts_with(start)) {
        return Err(texts::invalid(texts::PROVIDER_NAME));
    }
    let tags = shapes::tag_rows(input.tags.as_deref().unwrap_or_default())?;
    let given = match (input.auto_scaling_group_provider, input.managed_instances_provider) {
        (Some(given), None) => given,
        (None, Some(_)) => {
            return Err(ApiError::not_implemented("capacity providers of Amazon ECS Managed Instances"));
        }
        _ => return Err(texts::invalid(texts::ONE_KIND_OF_PROVIDER)),
    };
    let drains = switched(given.managed_draining.as_deref())?.unwrap_or(true);
    let scope = cx.scope.clone();
    let tx = cx.tx();
    if tx.contains::<ProviderRow>(&scope, &input.name) {
        return Err(texts::client(texts::PROVIDER_EXISTS));
    }
    let group = ecs.ports.groups.group(tx, &scope, &given.auto_scaling_group_arn);
    let group = group.ok_or_else(|| texts::client(texts::GROUP_NOT_VALID))?;
    if tx.scan::<ProviderRow>(&scope).any(|row| row.group_arn == group.arn) {
        return Err(texts::client(texts::GROUP_TAKEN));
    }
    let unset = ScalingRow { enabled: false, target: 100, least: 1, most: 10_000, warmup: 300 };
    let scaling = scaling(unset, given.managed_scaling)?;
    let protects = switched(given.managed_termination_protection.as_deref())?.unwrap_or(false);
    check_protection(protects, &scaling, &group)?;
    let row = ProviderRow {
        name: input.name,
        group: group.name,
        group_arn: group.arn,
        scaling,
        protects,
        drains,
        updated: false,
        looked: None,
        idle_since: None,
        tags,
    };
    if drains {
        ecs.ports.groups.drain(tx, &scope, &row.group, true).map_err(|why| texts::client(texts::cannot_drain(&why)))?;
    }
    let row = tx.put(&scope, row);
    Ok(CreateCapacityProviderResponse { capacity_provider: Some(of_group(&scope, &row)) })
}

/// What AWS turns on and off with a word.
fn switched(given: Option<&str>) -> Result<Option<bool>, ApiError> {
    match given.filter(|word| !word.is_empty()) {
        None => Ok(None),
        Some("ENABLED") => Ok(Some(true)),
        Some("DISABLED") => Ok(Some(false)),
        Some(other) => Err(texts::invalid(format!("'{other}' is neither ENABLED nor DISABLED."))),
    }
}

/// What a request says of managed scaling, on top of what held before.
fn scaling(before: ScalingRow, given: Option<ManagedScaling>) -> Result<ScalingRow, ApiError> {
    let Some(given) = given else { return Ok(before) };
    let within = |value: Option<i32>, usual: u32, bounds: RangeInclusive<u32>| match value {
        None => Ok(usual),
        Some(value) => {
            let valid = u32::try_from(value).ok().filter(|value| bounds.contains(value));
            valid.ok_or_else(|| texts::invalid(texts::SCALING_OUT_OF_RANGE))
        }
    };
    let row = ScalingRow {
        // Whoever says something of it wants it.
        enabled: switched(given.status.as_deref())?.unwrap_or(true),
        target: within(given.target_capacity, before.target, 1..=100)?,
        least: within(given.minimum_scaling_step_size, before.least, 1..=10_000)?,
        most: within(given.maximum_scaling_step_size, before.most, 1..=10_000)?,
        warmup: within(given.instance_warmup_period, before.warmup, 0..=10_000)?,
    };
    if row.least > row.most { Err(texts::invalid(texts::SCALING_OUT_OF_RANGE)) } else { Ok(row) }
}

fn check_protection(protects: bool, scaling: &ScalingRow, group: &Group) -> Result<(), ApiError> {
    if protects && !scaling.enabled {
        return Err(texts::invalid(texts::PROTECTION_WITHOUT_SCALING));
    }
    if protects && !group.protects_new {
        return Err(texts::client(texts::PROTECTION_NOT_VALID));
    }
    Ok(())
}

pub(super) fn describe(
    _: &Ecs,
    cx: &mut Context,
    input: DescribeCapacityProvidersRequest,
) -> Result<DescribeCapacityProvidersResponse, ApiError> {
    let scope = cx.scope.clone();
    if input.max_results.is_some_and(|most| !(1..=10).contains(&most)) {
        return Err(texts::invalid("maxResults should be between 1 and 10."));
    }
    let wanted = input.capacity_providers.unwrap_or_default();
    if wanted.len() > 100 {
        return Err(texts::invalid("capacityProviders can have at most 100 items."));
    }
    let own: BTreeMap<String, Arc<ProviderRow>> =
        cx.view().scan::<ProviderRow>(&scope).map(|row| (row.name.clone(), row.clone())).collect();
    let mut known: Vec<String> = FARGATE_PROVIDERS.map(str::to_owned).into();
    known.extend(own.keys().cloned());
    if let Some(reference) = input.cluster.as_deref().filter(|reference| !reference.is_empty()) {
        let cluster = cluster(cx.view(), &scope, Some(reference))?;
        known.retain(|name| cluster.capacity_providers.contains(name));
    }
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    if wanted.is_empty() {
        found = known;
    } else {
        for reference in wanted {
            let name = names::provider(&scope, &reference)?;
            if known.contains(&name) {
                found.push(name);
            } else {
                failures.push(missing(names::provider_arn(&scope, &name)));
            }
        }
        found.sort();
        found.dedup();
    }
    let shown = |name: &String| own.get(name).map_or_else(|| shape(&scope, name), |row| of_group(&scope, row));
    let items = found.into_iter().map(|name| (name.clone(), shown(&name)));
    let (providers, next_token) = paging::page(items, input.next_token.as_deref(), input.max_results, PAGE)?;
    Ok(DescribeCapacityProvidersResponse { capacity_providers: Some(providers), failures: Some(failures), next_token })
}

fn shape(scope: &Scope, name: &str) -> CapacityProvider {
    CapacityProvider {
        capacity_provider_arn: Some(names::provider_arn(scope, name)),
        name: Some(name.to_owned()),
        status: Some("ACTIVE".to_owned()),
        type_: Some(name.to_owned()),
        tags: Some(vec![]),
        ..CapacityProvider::default()
    }
}

/// A provider of an Auto Scaling group.
fn of_group(scope: &Scope, row: &ProviderRow) -> CapacityProvider {
    let word = |on: bool| Some(if on { "ENABLED" } else { "DISABLED" }.to_owned());
    let number = |number: u32| i32::try_from(number).ok();
    CapacityProvider {
        auto_scaling_group_provider: Some(AutoScalingGroupProvider {
            auto_scaling_group_arn: row.group_arn.clone(),
            managed_scaling: Some(ManagedScaling {
                status: word(row.scaling.enabled),
                target_capacity: number(row.scaling.target),
                minimum_scaling_step_size: number(row.scaling.least),
                maximum_scaling_step_size: number(row.scaling.most),
                instance_warmup_period: number(row.scaling.warmup),
            }),
            managed_termination_protection: word(row.protects),
            managed_draining: word(row.drains),
        }),
        update_status: row.updated.then(|| "UPDATE_COMPLETE".to_owned()),
        type_: Some("EC2_AUTOSCALING".to_owned()),
        tags: Some(shapes::tags(&row.tags)),
        ..shape(scope, &row.name)
    }
}

/// The account's own provider that a request names.
fn own(view: &View, scope: &Scope, reference: &str) -> Result<Arc<ProviderRow>, ApiError> {
    let name = names::provider(scope, reference)?;
    if FARGATE_PROVIDERS.contains(&name.as_str()) {
        return Err(texts::invalid(texts::PROVIDER_RESERVED));
    }
    view.get::<ProviderRow>(scope, &name).ok_or_else(|| texts::client(texts::PROVIDER_ABSENT))
}

pub(super) fn update(
    ecs: &Ecs,
    cx: &mut Context,
    input: UpdateCapacityProviderRequest,
) -> Result<UpdateCapacityProviderResponse, ApiError> {
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let before = own(tx, &scope, &input.name)?;
    let Some(given) = input.auto_scaling_group_provider.filter(|_| input.managed_instances_provider.is_none()) else {
        return Err(texts::invalid(texts::ONE_KIND_OF_PROVIDER));
    };
    let asked = switched(given.managed_draining.as_deref())?;
    let drains = asked.unwrap_or(before.drains);
    let scaling = scaling(before.scaling.clone(), given.managed_scaling)?;
    let protects = switched(given.managed_termination_protection.as_deref())?.unwrap_or(before.protects);
    let group = ecs.ports.groups.group(tx, &scope, &before.group_arn);
    check_protection(protects, &scaling, &group.ok_or_else(|| texts::client(texts::GROUP_NOT_VALID))?)?;
    if scaling.enabled && !before.scaling.enabled && capacity::clusters(tx, &scope, &before.name).nth(1).is_some() {
        return Err(texts::invalid(texts::PROVIDER_OF_ANOTHER_CLUSTER));
    }
    // Somebody may have taken the hook off meanwhile.
    if drains != before.drains || asked == Some(true) {
        let drained = ecs.ports.groups.drain(tx, &scope, &before.group, drains);
        drained.map_err(|why| texts::client(texts::cannot_drain(&why)))?;
    }
    let row =
        ProviderRow { scaling, protects, drains, updated: true, looked: None, idle_since: None, ..(*before).clone() };
    let row = tx.put(&scope, row);
    Ok(UpdateCapacityProviderResponse { capacity_provider: Some(of_group(&scope, &row)) })
}

pub(super) fn delete(
    ecs: &Ecs,
    cx: &mut Context,
    input: DeleteCapacityProviderRequest,
) -> Result<DeleteCapacityProviderResponse, ApiError> {
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let row = own(tx, &scope, &input.capacity_provider)?;
    if capacity::clusters(tx, &scope, &row.name).next().is_some() {
        return Err(texts::client(texts::PROVIDER_OF_CLUSTER));
    }
    if row.drains {
        ecs.ports
            .groups
            .drain(tx, &scope, &row.group, false)
            .map_err(|why| texts::client(texts::cannot_drain(&why)))?;
    }
    tx.delete::<ProviderRow>(&scope, &row.name);
    let shown = CapacityProvider {
        status: Some("INACTIVE".to_owned()),
        update_status: Some("DELETE_COMPLETE".to_owned()),
        ..of_group(&scope, &row)
    };
    Ok(DeleteCapacityProviderResponse { capacity_provider: Some(shown) })
}
