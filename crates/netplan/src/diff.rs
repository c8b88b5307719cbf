//! From one plan to another: what to do, in which order.
//!
//! The order keeps every moment closed. New namespaces get their filter before any device. Links that go do so first, with
//! what they carry, and devices whose sources are to be checked are before what else would refuse them is taken away.
//! Filters come before new links: they speak of names, so a permission may come before its device. What picks routes is
//! taken away last, so that there is no moment in which packets take neither the old way nor the new one.

use crate::{
    Address, Cable, Chain, Element, FabricPlan, Namespace, Neighbour, Place, Route, RouteAction, RoutingRule, Rule,
    Ruleset, Set, Value,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Make a namespace.
    CreateNamespace(String),
    /// Write a setting under `/proc/sys/net`.
    Set {
        /// Where.
        place: Place,
        /// Its path.
        path: String,
        /// Its value.
        value: String,
    },
    /// Change a namespace's filter, all at once.
    Filter {
        /// Where.
        place: Place,
        /// The changes, in order.
        changes: Vec<FilterChange>,
    },
    /// Hold the source of what comes in by a device against the way back to it.
    CheckSource(Place, String),
    /// Remove a routing rule.
    RemoveRule(Place, RoutingRule),
    /// Remove a route.
    RemoveRoute(Place, Route),
    /// Remove a neighbour.
    RemoveNeighbour(Place, Neighbour),
    /// Remove an address.
    RemoveAddress(Place, Address),
    /// Remove a link.
    RemoveCable(Cable),
    /// Remove a namespace.
    RemoveNamespace(String),
    /// Make a link of this name, and bring it up.
    AddCable(String, Cable),
    /// Add an address.
    AddAddress(Place, Address),
    /// Add a neighbour.
    AddNeighbour(Place, Neighbour),
    /// Add a route.
    AddRoute(Place, Route),
    /// Add a routing rule.
    AddRule(Place, RoutingRule),
    /// Take what comes in by a device whatever its source.
    AllowAnySource(Place, String),
}

/// A change of a filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FilterChange {
    /// Start with an empty table, whatever there was.
    Reset,
    /// Remove the table.
    Remove,
    /// A set, without its elements.
    AddSet(String, Set),
    /// A chain, without its rules.
    AddChain(String, Chain),
    /// These rules instead of the chain's.
    ReplaceRules(String, Vec<Rule>),
    /// Elements out of a set. The set is there for its shape.
    RemoveElements(String, Set),
    /// Elements into a set. The set is there for its shape.
    AddElements(String, Set),
    /// A chain that nothing leads to any more.
    RemoveChain(String),
    /// A set that no rule looks into any more.
    RemoveSet(String),
}

impl FabricPlan {
    /// What leads from `old` to this plan.
    pub fn diff(&self, old: &Self) -> Vec<Step> {
        let mut steps = Vec::new();
        let named = |name: &String| Place::Namespace(name.clone());
        let fresh = Namespace::default();
        for name in self.namespaces.keys().filter(|name| !old.namespaces.contains_key(*name)) {
            steps.push(Step::CreateNamespace(name.clone()));
        }
        for (name, namespace) in &self.namespaces {
            let before = old.namespaces.get(name).unwrap_or(&fresh);
            for (path, value) in &namespace.settings {
                if before.settings.get(path) != Some(value) {
                    steps.push(Step::Set { place: named(name), path: path.clone(), value: value.clone() });
                }
            }
        }
        let gone: Vec<&Cable> = old
            .cables
            .iter()
            .filter(|(name, cable)| self.cables.get(*name) != Some(cable))
            .map(|(_, cable)| cable)
            .collect();
        let gone_links: BTreeSet<(&Place, &str)> = gone
            .iter()
            .flat_map(|cable| [&cable.near, &cable.far])
            .map(|end| (&end.place, end.link.as_str()))
            .collect();
        steps.extend(gone.iter().map(|cable| Step::RemoveCable((*cable).clone())));
        let mut allowances = Vec::new();
        for (name, namespace) in &self.namespaces {
            let (before, place) = (old.namespaces.get(name).unwrap_or(&fresh), named(name));
            let mut change = Changes { place: &place, remove: &mut steps, add: &mut allowances };
            let alive = |link: &String| !gone_links.contains(&(&place, link.as_str()));
            change.of(&namespace.any_source, &before.any_source, alive, Step::CheckSource, Step::AllowAnySource);
        }
        for (name, namespace) in &self.namespaces {
            let before = old.namespaces.get(name).unwrap_or(&fresh);
            let changes = filter_changes(namespace.filter.as_ref(), before.filter.as_ref());
            if !changes.is_empty() {
                steps.push(Step::Filter { place: named(name), changes });
            }
        }

        let (mut additions, mut last) = (Vec::new(), Vec::new());
        let mut place = |place: Place, new: &Namespace, old: &Namespace| {
            let alive = |link: &str| !gone_links.contains(&(&place, link));
            let mut change = Changes { place: &place, remove: &mut last, add: &mut additions };
            change.of(&new.rules, &old.rules, |_| true, Step::RemoveRule, Step::AddRule);
            // A route that only changes what it does is replaced where it stands, without a gap.
            let planned: BTreeMap<_, _> = new.routes.iter().map(|r| ((r.table, r.destination), &r.action)).collect();
            let alive_route = |route: &Route| {
                let replaced = planned.get(&(route.table, route.destination)).is_some_and(|a| **a != route.action);
                match &route.action {
                    _ if replaced => false,
                    RouteAction::Link { link, .. } => alive(link),
                    RouteAction::Blackhole => true,
                }
            };
            change.of(&new.routes, &old.routes, alive_route, Step::RemoveRoute, Step::AddRoute);
            let mut change = Changes { place: &place, remove: &mut steps, add: &mut additions };
            let alive_neighbour = |neighbour: &Neighbour| alive(&neighbour.link);
            change.of(&new.neighbours, &old.neighbours, alive_neighbour, Step::RemoveNeighbour, Step::AddNeighbour);
            let alive_address = |address: &Address| alive(&address.link);
            change.of(&new.addresses, &old.addresses, alive_address, Step::RemoveAddress, Step::AddAddress);
        };
        place(Place::Host, &self.host, &old.host);
        for (name, namespace) in &self.namespaces {
            place(named(name), namespace, old.namespaces.get(name).unwrap_or(&fresh));
        }
        for name in old.namespaces.keys().filter(|name| !self.namespaces.contains_key(*name)) {
            steps.push(Step::RemoveNamespace(name.clone()));
        }
        for (name, cable) in &self.cables {
            if old.cables.get(name) != Some(cable) {
                steps.push(Step::AddCable(name.clone(), cable.clone()));
            }
        }
        // Each place's additions were found rules first; a route needs its address, and a rule its routes. A device takes any
        // source once what it leads to is there.
        additions.reverse();
        steps.extend(additions);
        steps.extend(allowances);
        steps.extend(last);
        steps
    }
}

/// One place's removals and additions.
struct Changes<'a> {
    place: &'a Place,
    remove: &'a mut Vec<Step>,
    add: &'a mut Vec<Step>,
}

impl Changes<'_> {
    /// Compares two sets of things; those of the old for which `alive` is false are gone already.
    fn of<T: Ord + Clone>(
        &mut self,
        new: &BTreeSet<T>,
        old: &BTreeSet<T>,
        alive: impl Fn(&T) -> bool,
        remove: fn(Place, T) -> Step,
        add: fn(Place, T) -> Step,
    ) {
        let removed = old.iter().filter(|thing| alive(thing) && !new.contains(*thing));
        self.remove.extend(removed.map(|thing| remove(self.place.clone(), thing.clone())));
        let added = new.iter().rev().filter(|thing| !(old.contains(*thing) && alive(thing)));
        self.add.extend(added.map(|thing| add(self.place.clone(), thing.clone())));
    }
}

fn filter_changes(new: Option<&Ruleset>, old: Option<&Ruleset>) -> Vec<FilterChange> {
    let Some(new) = new else {
        return old.map(|_| FilterChange::Remove).into_iter().collect();
    };
    let nothing = Ruleset::default();
    let mut changes = Vec::new();
    let old = match old {
        Some(old) if same_shape(new, old) => old,
        _ => {
            changes.push(FilterChange::Reset);
            &nothing
        }
    };
    for (name, set) in &new.sets {
        if !old.sets.contains_key(name) {
            changes.push(FilterChange::AddSet(name.clone(), with(set, BTreeMap::new())));
        }
    }
    for (name, chain) in &new.chains {
        if !old.chains.contains_key(name) {
            let empty = Chain { rules: Vec::new(), ..chain.clone() };
            changes.push(FilterChange::AddChain(name.clone(), empty));
        }
    }
    for (name, chain) in &new.chains {
        if old.chains.get(name).map_or(&[][..], |old| &old.rules) != chain.rules {
            changes.push(FilterChange::ReplaceRules(name.clone(), chain.rules.clone()));
        }
    }
    for name in old.chains.keys().filter(|name| !new.chains.contains_key(*name)) {
        // Rules of chains that go may lead to each other.
        changes.push(FilterChange::ReplaceRules(name.clone(), Vec::new()));
    }
    for (name, set) in &old.sets {
        let kept = new.sets.get(name).map(|new| &new.elements);
        let gone = difference(&set.elements, kept);
        if !gone.is_empty() {
            changes.push(FilterChange::RemoveElements(name.clone(), with(set, gone)));
        }
    }
    for (name, set) in &new.sets {
        let added = difference(&set.elements, old.sets.get(name).map(|old| &old.elements));
        if !added.is_empty() {
            changes.push(FilterChange::AddElements(name.clone(), with(set, added)));
        }
    }
    for name in old.chains.keys().filter(|name| !new.chains.contains_key(*name)) {
        changes.push(FilterChange::RemoveChain(name.clone()));
    }
    for name in old.sets.keys().filter(|name| !new.sets.contains_key(*name)) {
        changes.push(FilterChange::RemoveSet(name.clone()));
    }
    changes
}

/// Whether what has the same name in both is the same but for its content.
fn same_shape(new: &Ruleset, old: &Ruleset) -> bool {
    let sets = new.sets.iter().all(|(name, set)| {
        old.sets.get(name).is_none_or(|old| (&old.key, old.interval, old.value) == (&set.key, set.interval, set.value))
    });
    let chains = new.chains.iter().all(|(name, chain)| {
        old.chains.get(name).is_none_or(|old| (old.hook, old.accept_at_end) == (chain.hook, chain.accept_at_end))
    });
    sets && chains
}

fn with(set: &Set, elements: BTreeMap<Element, Value>) -> Set {
    Set { key: set.key.clone(), interval: set.interval, value: set.value, elements }
}

/// The elements of `these` that `those` has not, or has with another value.
fn difference(these: &BTreeMap<Element, Value>, those: Option<&BTreeMap<Element, Value>>) -> BTreeMap<Element, Value> {
    these
        .iter()
        .filter(|(key, value)| those.and_then(|those| those.get(*key)) != Some(value))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}
