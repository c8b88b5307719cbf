//! A plan in parts, so that what did not change need not be looked at: the compiler hands on the parts that stayed the
//! same, and [`PlanParts::steps_from`] passes over them.
//!
//! A part is a small plan. A router's own part declares its namespace and the sets of its filter, and others add to them:
//! each attachment, group, peering connection its own. Nothing is in two parts, so a part's going takes away what it held.

use crate::{FabricPlan, FilterChange, INTERNET, Namespace, Place, Ruleset, Step, name::Name};
use foldhash::{HashMap, HashSet};
use std::{collections::BTreeSet, sync::Arc};

/// A [`FabricPlan`] in parts; its sum is [`PlanParts::whole`].
#[derive(Debug, Clone, Default)]
pub struct PlanParts {
    parts: HashMap<Name, Arc<FabricPlan>>,
    omitted: BTreeSet<String>,
}

impl PlanParts {
    pub(crate) fn leaving_out(omitted: BTreeSet<String>) -> Self {
        Self { omitted, ..Self::default() }
    }

    /// Has room for so many parts.
    pub(crate) fn expect(&mut self, count: usize) {
        self.parts.reserve(count);
    }

    /// How many parts there are.
    pub(crate) fn count(&self) -> usize {
        self.parts.len()
    }

    pub(crate) fn leave_out(&mut self, what: String) {
        self.omitted.insert(what);
    }

    /// What the state asked for and could not be planned, with the reason.
    pub fn omitted(&self) -> BTreeSet<String> {
        let of_parts = self.parts.values().flat_map(|part| &part.omitted);
        self.omitted.iter().chain(of_parts).cloned().collect()
    }

    pub(crate) fn add(&mut self, name: &str, part: FabricPlan) {
        self.share(Name::from(name), Arc::new(part));
    }

    pub(crate) fn share(&mut self, name: Name, part: Arc<FabricPlan>) {
        self.parts.insert(name, part);
    }

    /// Takes over what `before` has the same of, of the parts that nobody else holds: those that others hold were handed on
    /// already. `before` has them then, and nothing else.
    pub(crate) fn share_with(&mut self, before: &mut HashMap<Name, Arc<FabricPlan>>) {
        let mut held = HashMap::default();
        for (name, part) in self.parts.iter_mut().filter(|(_, part)| Arc::strong_count(part) == 1) {
            if let Some(same) = before.get(name).filter(|old| *old == part) {
                *part = same.clone();
            }
            held.insert(name.clone(), part.clone());
        }
        *before = held;
    }

    /// The plan.
    pub fn whole(&self) -> FabricPlan {
        FabricPlan { omitted: self.omitted(), ..sum(self.parts.values()) }
    }

    /// Whether links begin here: in routers, the internet's namespace, those with somebody behind them, and on the host.
    pub fn begins_links(&self, place: &Place) -> bool {
        let Place::Namespace(name) = place else { return true };
        if is_router(name) && self.parts.contains_key(&Name::from(name.as_str())) {
            return true;
        }
        // A plan of one part has all in it.
        let behind = format!("{name}/behind");
        let parts = [behind.as_str(), ""].into_iter().filter_map(|name| self.parts.get(&Name::from(name)));
        parts.into_iter().flat_map(|part| part.cables.values()).any(|cable| cable.near.place == *place)
    }

    /// The parts that one of the two has not, or not the same.
    fn changed_since(&self, old: &Self) -> BTreeSet<Name> {
        let differs = |name: &Name, part| old.parts.get(name).is_none_or(|old| !Arc::ptr_eq(old, part));
        let new = self.parts.iter().filter(|(name, part)| differs(name, part)).map(|(name, _)| name);
        let gone = old.parts.keys().filter(|name| !self.parts.contains_key(*name));
        new.chain(gone).cloned().collect()
    }

    /// What leads from `old` to this plan: the same as [`FabricPlan::diff`] of the two, in time that grows with what is
    /// different.
    pub fn steps_from(&self, old: &Self) -> Vec<Step> {
        let mut looked_at: BTreeSet<Name> = self.changed_since(old);
        if looked_at.is_empty() {
            return Vec::new();
        }
        // What a changed part adds to is told by the part that declares it.
        let declaring: BTreeSet<Name> = [self, old]
            .iter()
            .flat_map(|plan| looked_at.iter().filter_map(|name| plan.parts.get(name)))
            .flat_map(|part| part.namespaces.keys())
            .filter(|namespace| is_router(namespace))
            .map(|namespace| Name::from(namespace.as_str()))
            .collect();
        // A namespace that is no router's may be of several parts, whose names begin with its own.
        let of_namespaces: HashSet<u64> = [self, old]
            .iter()
            .flat_map(|plan| looked_at.iter().filter_map(|name| plan.parts.get(name)))
            .flat_map(|part| part.namespaces.keys())
            .filter(|namespace| !is_router(namespace))
            .map(|namespace| Name::from(namespace.as_str()).first())
            .collect();
        if !of_namespaces.is_empty() {
            // One too many is the same in both plans.
            let of_them = |name: &&Name| of_namespaces.contains(&name.first());
            let besides: Vec<Name> =
                [self, old].iter().flat_map(|plan| plan.parts.keys()).filter(of_them).cloned().collect();
            looked_at.extend(besides);
        }
        looked_at.extend(declaring);
        let of = |plan: &Self| sum(looked_at.iter().filter_map(|name| plan.parts.get(name)));
        let steps = of(self).diff(&of(old));
        let passed_over = |namespace: &str| {
            let others = self.parts.iter().filter(|(name, _)| !looked_at.contains(*name));
            others.into_iter().any(|(_, part)| part.namespaces.contains_key(namespace))
        };
        let incomplete = |step: &Step| match step {
            Step::Filter { place: Place::Namespace(name), changes } => {
                changes.contains(&FilterChange::Reset) && passed_over(name)
            }
            _ => false,
        };
        // A filter that starts anew needs all that is in it.
        if steps.iter().any(incomplete) { self.whole().diff(&old.whole()) } else { steps }
    }
}

impl From<&FabricPlan> for PlanParts {
    /// The plan as one part.
    fn from(plan: &FabricPlan) -> Self {
        let mut parts = Self::default();
        parts.add("", plan.clone());
        parts
    }
}

impl From<&Self> for PlanParts {
    fn from(plan: &Self) -> Self {
        plan.clone()
    }
}

/// Whether a namespace is one that a part of its name declares.
pub fn is_router(namespace: &str) -> bool {
    namespace == INTERNET || namespace.starts_with("vpc-")
}

fn sum<'p>(parts: impl Iterator<Item = &'p Arc<FabricPlan>>) -> FabricPlan {
    let mut sum = FabricPlan::default();
    for part in parts {
        for (name, namespace) in &part.namespaces {
            add_namespace(sum.namespaces.entry(name.clone()).or_default(), namespace);
        }
        add_namespace(&mut sum.host, &part.host);
        sum.cables.extend(part.cables.iter().map(|(name, cable)| (name.clone(), cable.clone())));
    }
    sum
}

fn add_namespace(sum: &mut Namespace, part: &Namespace) {
    let Namespace { settings, addresses, neighbours, routes, rules, any_source, filter } = part;
    sum.settings.extend(settings.iter().map(|(path, value)| (path.clone(), value.clone())));
    sum.addresses.extend(addresses.iter().cloned());
    sum.neighbours.extend(neighbours.iter().cloned());
    sum.routes.extend(routes.iter().cloned());
    sum.rules.extend(rules.iter().cloned());
    sum.any_source.extend(any_source.iter().cloned());
    if let Some(Ruleset { sets, chains }) = filter {
        let filter = sum.filter.get_or_insert_default();
        for (name, set) in sets {
            match filter.sets.get_mut(name) {
                Some(sum) => sum.elements.extend(set.elements.iter().map(|(key, value)| (key.clone(), value.clone()))),
                None => {
                    filter.sets.insert(name.clone(), set.clone());
                }
            }
        }
        filter.chains.extend(chains.iter().map(|(name, chain)| (name.clone(), chain.clone())));
    }
}
