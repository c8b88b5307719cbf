//! What a request says of capacity: a launch type, a capacity provider strategy, or nothing.

use crate::placing::on_instances;
use crate::rows::{ClusterRow, ProviderRow};
use crate::{names, texts};
use model::ecs::CapacityProviderStrategyItem;
use rollout::StrategyItem;
use std::sync::Arc;
use store::View;
use types::{ApiError, Scope};

/// The capacity providers that every account has.
pub(super) const FARGATE_PROVIDERS: [&str; 2] = ["FARGATE", "FARGATE_SPOT"];

/// Source: API reference, `PutClusterCapacityProviders` and `CreateService`.
const MOST_PROVIDERS: usize = 20;

/// Where tasks run: a launch type, or a capacity provider in its place.
pub(super) enum Capacity {
    Fargate,
    Strategy(Vec<StrategyItem>),
    Ec2,
}

impl Capacity {
    /// Whether tasks run on container instances.
    pub(super) fn is_on_instances(&self) -> bool {
        match self {
            Self::Fargate => false,
            Self::Ec2 => true,
            Self::Strategy(strategy) => on_instances(None, strategy),
        }
    }
}

/// What a request says of capacity; without a word the cluster's default strategy, without one EC2, as on AWS.
pub(super) fn capacity(
    cluster: &ClusterRow,
    launch_type: Option<&str>,
    given: Option<&[CapacityProviderStrategyItem]>,
) -> Result<Capacity, ApiError> {
    let given = given.unwrap_or_default();
    match launch_type.filter(|name| !name.is_empty()) {
        Some(_) if !given.is_empty() => Err(texts::invalid(texts::LAUNCH_TYPE_AND_STRATEGY)),
        Some("FARGATE") => Ok(Capacity::Fargate),
        Some("EC2") => Ok(Capacity::Ec2),
        Some(other) => Err(ApiError::not_implemented(format_args!("the launch type {other}"))),
        None if !given.is_empty() => Ok(Capacity::Strategy(strategy(given, &cluster.capacity_providers)?)),
        None if !cluster.default_strategy.is_empty() => Ok(Capacity::Strategy(cluster.default_strategy.clone())),
        None => Ok(Capacity::Ec2),
    }
}

/// A strategy as given, if each of its providers is among the cluster's, and it can place tasks.
pub(super) fn strategy(
    given: &[CapacityProviderStrategyItem],
    providers: &[String],
) -> Result<Vec<StrategyItem>, ApiError> {
    let mut items: Vec<StrategyItem> = Vec::with_capacity(given.len());
    for item in given {
        let name = &item.capacity_provider;
        if !providers.contains(name) {
            return Err(texts::invalid(texts::PROVIDER_NOT_ASSOCIATED));
        }
        if items.iter().any(|other| other.provider == *name) {
            return Err(texts::invalid(texts::PROVIDER_TWICE));
        }
        let within = |value: Option<i32>, most: u32| u32::try_from(value.unwrap_or(0)).ok().filter(|n| *n <= most);
        let (Some(weight), Some(base)) = (within(item.weight, 1000), within(item.base, 100_000)) else {
            return Err(texts::invalid(texts::STRATEGY_OUT_OF_RANGE));
        };
        items.push(StrategyItem { provider: name.clone(), weight, base });
    }
    if items.len() > MOST_PROVIDERS {
        return Err(texts::invalid(texts::STRATEGY_TOO_LONG));
    }
    if items.iter().filter(|item| item.base > 0).count() > 1 {
        return Err(texts::invalid(texts::SEVERAL_BASES));
    }
    if !items.is_empty() && items.iter().all(|item| item.weight == 0) {
        return Err(texts::invalid(texts::NO_WEIGHT));
    }
    let fargate = |item: &StrategyItem| FARGATE_PROVIDERS.contains(&item.provider.as_str());
    if items.iter().any(fargate) && !items.iter().all(fargate) {
        return Err(texts::invalid(texts::MIXED_STRATEGY));
    }
    Ok(items)
}

/// The clusters that have a provider.
pub(super) fn clusters<'a>(
    view: &'a View,
    scope: &Scope,
    provider: &'a str,
) -> impl Iterator<Item = &'a Arc<ClusterRow>> + use<'a> {
    let has = move |row: &&Arc<ClusterRow>| row.active && row.capacity_providers.iter().any(|it| it == provider);
    view.scan::<ClusterRow>(scope).filter(has)
}

/// The providers that a cluster is to have: each must exist, and one with managed scaling be in no other.
pub(super) fn check_providers(
    view: &View,
    scope: &Scope,
    cluster: &str,
    given: Vec<String>,
) -> Result<Vec<String>, ApiError> {
    let mut providers: Vec<String> = Vec::with_capacity(given.len());
    for reference in given {
        let name = names::provider(scope, &reference)?;
        if !FARGATE_PROVIDERS.contains(&name.as_str()) {
            let row = view.get::<ProviderRow>(scope, &name).ok_or_else(|| texts::invalid(texts::PROVIDER_NOT_FOUND))?;
            if row.scaling.enabled && clusters(view, scope, &name).any(|other| other.name != cluster) {
                return Err(texts::invalid(texts::PROVIDER_OF_ANOTHER_CLUSTER));
            }
        }
        if !providers.contains(&name) {
            providers.push(name);
        }
    }
    if providers.len() > MOST_PROVIDERS {
        return Err(texts::invalid("A cluster can have at most 20 capacity providers."));
    }
    Ok(providers)
}
