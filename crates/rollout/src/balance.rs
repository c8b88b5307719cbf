//! Spread over availability zones: where the next task goes, and which task goes first.
//! Source: developer guide, "Amazon ECS services": Fargate keeps the zones balanced both ways.

use crate::state::{Placement, Task};

/// The place with the fewest of `taken` in its zone, then in its subnet, then the first named.
pub(crate) fn emptiest<'a>(places: &'a [Placement], taken: &[&'a Placement]) -> Option<&'a Placement> {
    let in_zone = |place: &Placement| taken.iter().filter(|other| other.zone == place.zone).count();
    let in_subnet = |place: &Placement| taken.iter().filter(|other| other.subnet == place.subnet).count();
    places.iter().min_by_key(|place| (in_zone(place), in_subnet(place)))
}

/// Orders `victims` so that stopping them one after the other keeps the zones of `all` as even as can be. Among the
/// tasks of the fullest zone the youngest goes first.
pub(crate) fn by_fullest_zone<'a>(mut victims: Vec<&'a Task>, all: &[&'a Task]) -> Vec<&'a Task> {
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    for task in all {
        *counts.entry(&task.placement.zone).or_default() += 1;
    }
    let mut ordered = Vec::with_capacity(victims.len());
    while let Some(next) = victims
        .iter()
        .enumerate()
        .max_by_key(|(_, task)| (counts.get(task.placement.zone.as_str()).copied(), task.created_at, &task.id))
        .map(|(index, _)| index)
    {
        let victim = victims.swap_remove(next);
        if let Some(count) = counts.get_mut(victim.placement.zone.as_str()) {
            *count = count.saturating_sub(1);
        }
        ordered.push(victim);
    }
    ordered
}
