//! Capacity provider strategies: which provider takes the next task.
//! Source: API reference, `CapacityProviderStrategyItem`: the base is filled first, then tasks are shared out in proportion
//! to the weights, and a provider without weight gets nothing but its base.

use serde::{Deserialize, Serialize};

/// An item of a capacity provider strategy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StrategyItem {
    /// `FARGATE`, `FARGATE_SPOT`, or the name of one of the account's own.
    pub provider: String,
    /// `weight`.
    pub weight: u32,
    /// `base`.
    pub base: u32,
}

/// The provider that takes the next task where `count` says how many each has. Of providers that are equally far behind
/// their share the one with more weight, then the one named first. `None`: nobody may take it.
pub fn next_provider(strategy: &[StrategyItem], count: impl Fn(&str) -> u32) -> Option<&str> {
    if let Some(item) = strategy.iter().find(|item| count(&item.provider) < item.base) {
        return Some(&item.provider);
    }
    // The share of a provider after one more task is (beyond its base + 1) / weight; fractions are compared crosswise.
    let beyond = |item: &StrategyItem| u64::from(count(&item.provider).saturating_sub(item.base)) + 1;
    let mut best: Option<&StrategyItem> = None;
    for item in strategy.iter().filter(|item| item.weight > 0) {
        let better = best.is_none_or(|best| {
            let (mine, other) = (beyond(item) * u64::from(best.weight), beyond(best) * u64::from(item.weight));
            mine < other || (mine == other && item.weight > best.weight)
        });
        if better {
            best = Some(item);
        }
    }
    best.map(|item| item.provider.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn item(provider: &str, weight: u32, base: u32) -> StrategyItem {
        StrategyItem { provider: provider.to_owned(), weight, base }
    }

    fn place(strategy: &[StrategyItem], tasks: usize) -> Vec<String> {
        let mut counts = BTreeMap::<String, u32>::new();
        let mut placed = Vec::new();
        for _ in 0..tasks {
            let next = next_provider(strategy, |name| counts.get(name).copied().unwrap_or(0));
            let Some(next) = next.map(str::to_owned) else { break };
            *counts.entry(next.clone()).or_default() += 1;
            placed.push(next);
        }
        placed
    }

    #[test]
    fn bases_come_first_and_then_the_weights() {
        let strategy = [item("FARGATE", 1, 2), item("FARGATE_SPOT", 2, 0)];
        assert_eq!(
            place(&strategy, 6),
            ["FARGATE", "FARGATE", "FARGATE_SPOT", "FARGATE_SPOT", "FARGATE", "FARGATE_SPOT"]
        );
        assert_eq!(place(&[], 1), [""; 0]);
        assert_eq!(place(&[item("FARGATE", 0, 1)], 3), ["FARGATE"], "without weight there is nothing but the base");
    }

    #[test]
    fn a_lost_task_is_replaced_where_it_is_missing() {
        let strategy = [item("FARGATE", 1, 1), item("FARGATE_SPOT", 3, 0)];
        let counts = |name: &str| if name == "FARGATE" { 0 } else { 3 };
        assert_eq!(next_provider(&strategy, counts), Some("FARGATE"), "the base is short");
        assert_eq!(next_provider(&strategy, |_| 2), Some("FARGATE_SPOT"));
    }

    proptest! {
        /// Whatever the strategy, after any number of tasks each provider has its base, and what is beyond is within one
        /// task of its exact share.
        #[test]
        fn everybody_gets_their_share(
            weights in prop::collection::vec(0u32..20, 1..5),
            base in 0u32..6,
            at in 0usize..5,
            tasks in 0u32..60,
        ) {
            let strategy: Vec<StrategyItem> = weights
                .iter()
                .enumerate()
                .map(|(index, weight)| item(&format!("p{index}"), *weight, if index == at { base } else { 0 }))
                .collect();
            let total: u32 = weights.iter().sum();
            let based = if at < weights.len() { base } else { 0 };
            let placed = place(&strategy, tasks as usize);
            let expected = if total == 0 { tasks.min(based) } else { tasks };
            prop_assert_eq!(placed.len() as u32, expected);
            let shared = expected.saturating_sub(based);
            for share in &strategy {
                let has = placed.iter().filter(|name| **name == share.provider).count() as u32;
                prop_assert!(has >= share.base.min(expected));
                let beyond = f64::from(has.saturating_sub(share.base));
                if total > 0 {
                    let exact = f64::from(shared) * f64::from(share.weight) / f64::from(total);
                    // The method of greatest divisors never gives less than the whole part of an exact share.
                    prop_assert!(beyond + 1e-9 >= exact.floor(), "{} has {beyond} of {exact}", share.provider);
                }
                prop_assert!(share.weight > 0 || beyond == 0.0);
            }
        }
    }
}
