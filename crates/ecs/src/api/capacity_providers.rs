//! Capacity providers: CreateCapacityProvider, DescribeCapacityProviders, UpdateCapacityProvider, DeleteCapacityProvider.
//!
//! `FARGATE` and `FARGATE_SPOT` are in every account. Those of Auto Scaling groups and of managed instances are refused.

use super::capacity::FARGATE_PROVIDERS;
use super::clusters::missing;
use super::{cluster, paging, shapes};
use crate::{Ecs, names, texts};
use gateway::Context;
use model::ecs::{
    CapacityProvider, CreateCapacityProviderRequest, CreateCapacityProviderResponse, DeleteCapacityProviderRequest,
    DeleteCapacityProviderResponse, DescribeCapacityProvidersRequest, DescribeCapacityProvidersResponse,
    UpdateCapacityProviderRequest, UpdateCapacityProviderResponse,
};
use types::{ApiError, Scope};

/// As many as DescribeCapacityProviders gives in a page, at most and unasked.
const PAGE: usize = 10;

pub(super) fn create(
    _: &Ecs,
    _: &mut Context,
    input: CreateCapacityProviderRequest,
) -> Result<CreateCapacityProviderResponse, ApiError> {
    let lower = input.name.to_ascii_lowercase();
    if !names::is_plain(&input.name) || ["aws", "ecs", "fargate"].iter().any(|start| lower.starts_with(start)) {
        return Err(texts::invalid(texts::PROVIDER_NAME));
    }
    shapes::tag_rows(input.tags.as_deref().unwrap_or_default())?;
    match (&input.auto_scaling_group_provider, &input.managed_instances_provider) {
        (Some(_), None) => Err(ApiError::not_implemented("capacity providers of Auto Scaling groups")),
        (None, Some(_)) => Err(ApiError::not_implemented("capacity providers of Amazon ECS Managed Instances")),
        _ => Err(texts::invalid(texts::ONE_KIND_OF_PROVIDER)),
    }
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
    let mut known: Vec<String> = FARGATE_PROVIDERS.map(str::to_owned).into();
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
    let items = found.into_iter().map(|name| (name.clone(), shape(&scope, &name)));
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

pub(super) fn update(
    _: &Ecs,
    cx: &mut Context,
    input: UpdateCapacityProviderRequest,
) -> Result<UpdateCapacityProviderResponse, ApiError> {
    Err(reserved_or_absent(&cx.scope, &input.name))
}

pub(super) fn delete(
    _: &Ecs,
    cx: &mut Context,
    input: DeleteCapacityProviderRequest,
) -> Result<DeleteCapacityProviderResponse, ApiError> {
    Err(reserved_or_absent(&cx.scope, &input.capacity_provider))
}

fn reserved_or_absent(scope: &Scope, reference: &str) -> ApiError {
    match names::provider(scope, reference) {
        Err(error) => error,
        Ok(name) if FARGATE_PROVIDERS.contains(&name.as_str()) => texts::invalid(texts::PROVIDER_RESERVED),
        Ok(_) => texts::client(texts::PROVIDER_ABSENT),
    }
}
