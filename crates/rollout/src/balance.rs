//! Spread over availability zones: where the next task goes, and which task goes first.
//! Source: developer guide, "Amazon ECS services": Fargate keeps the zones balanced both ways; "Balancing an Amazon ECS
//! service across Availability Zones": what became uneven is evened out by a task more in the emptiest zone, for which
//! one of the fullest goes.

use crate::decide::{Decision, Event, Plan, is_due};
use crate::fleet::{Fleet, Moved};
use crate::state::{Deployment, Placement, RolloutState, ServiceState, Task};
use std::collections::BTreeMap;
use types::Timestamp;

/// How many tasks there are in each zone and subnet.
#[derive(Default)]
pub(crate) struct Taken<'a> {
    zones: BTreeMap<&'a str, usize>,
    subnets: BTreeMap<&'a str, usize>,
}

impl<'a> Taken<'a> {
    /// Those of `tasks`.
    pub(crate) fn by(tasks: impl Iterator<Item = &'a Placement>) -> Self {
        let mut taken = Self::default();
        tasks.for_each(|place| taken.add(place));
        taken
    }

    /// A task more.
    pub(crate) fn add(&mut self, place: &'a Placement) {
        *self.zones.entry(&place.zone).or_default() += 1;
        *self.subnets.entry(&place.subnet).or_default() += 1;
    }

    /// The place with the fewest in its zone, then in its subnet, then the first named.
    pub(crate) fn emptiest<'p>(&self, places: &'p [Placement]) -> Option<&'p Placement> {
        let of = |counts: &BTreeMap<&str, usize>, name: &str| counts.get(name).copied().unwrap_or_default();
        places.iter().min_by_key(|place| (of(&self.zones, &place.zone), of(&self.subnets, &place.subnet)))
    }
}

/// Orders `victims` so that stopping them one after the other keeps the zones of `all` as even as can be. Among the
/// tasks of the fullest zone the youngest goes first.
pub(crate) fn by_fullest_zone<'a>(mut victims: Vec<&'a Task>, all: &[&'a Task]) -> Vec<&'a Task> {
    let mut counts = BTreeMap::<&str, usize>::new();
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

/// How many live tasks the deployment has in each of its zones, the fullest first.
pub(crate) fn zones(service: &ServiceState, fleet: &Fleet, deployment: &Deployment) -> Vec<(String, usize)> {
    let places = service.places_of(&deployment.id).iter();
    let mut counts: BTreeMap<&str, usize> = places.map(|place| (place.zone.as_str(), 0)).collect();
    for task in fleet.live.iter().filter(|task| task.deployment == deployment.id) {
        *counts.entry(&task.placement.zone).or_default() += 1;
    }
    let mut zones: Vec<(String, usize)> = counts.into_iter().map(|(zone, tasks)| (zone.to_owned(), tasks)).collect();
    zones.sort_by_key(|(_, tasks)| std::cmp::Reverse(*tasks));
    zones
}

/// Starts a task more in the emptiest zone where a calm service is uneven and the maximum leaves room.
pub(crate) fn even_out(
    service: &ServiceState,
    fleet: &Fleet,
    deployment: &Deployment,
    moved: Moved,
    plan: &mut Plan,
    now: Timestamp,
) -> Moved {
    let desired = service.desired as usize;
    let calm = !moved.any()
        && moved.protected == 0
        && fleet.draining == 0
        && deployment.rollout == RolloutState::Completed
        && fleet.healthy.len() == desired
        && fleet.live.len() == desired;
    let zones = zones(service, fleet, deployment);
    let skew = zones.first().zip(zones.last()).map_or(0, |(most, least)| most.1 - least.1);
    if !service.rebalance || !calm || skew <= 1 || service.maximum() <= service.desired {
        return Moved::default();
    }
    if is_due(service, service.uneven_since, now) {
        plan.decisions.push(Decision::Announce(Event::Uneven(zones)));
    }
    if now < deployment.not_before {
        plan.wake(deployment.not_before);
        return Moved::default();
    }
    let taken = Taken::by(fleet.live.iter().map(|task| &task.placement));
    let Some(placement) = taken.emptiest(service.places_of(&deployment.id)) else { return Moved::default() };
    plan.decisions.push(Decision::StartTask {
        deployment: deployment.id.clone(),
        placement: placement.clone(),
        replaces_unhealthy: false,
        rebalances: true,
    });
    Moved { started: 1, ..Moved::default() }
}
