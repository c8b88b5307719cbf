//! ROLLING: the primary deployment's tasks take the others' places between the minimum and the maximum. It is also what
//! keeps a service that has nowhere to go.

use crate::balance::{even_out, zones};
use crate::decide::{Decision, Event, Plan, is_due, tell_of_protection, tell_of_steadiness};
use crate::fleet::{Fleet, Judged, Moved, keep};
use crate::health::Verdict;
use crate::state::{ALL_TRAFFIC, Deployment, DeploymentStatus, RolloutState, ServiceState};
use std::time::Duration;
use types::Timestamp;

/// What to do for a service whose primary deployment replaces the others task by task.
pub(crate) fn advance(
    service: &ServiceState,
    bake: Duration,
    judged: &[Judged],
    booked: &[Deployment],
    primary: &Deployment,
    plan: &mut Plan,
    now: Timestamp,
) {
    // What was shifted to a deployment in other target groups, by a strategy of before, comes back first: as soon as enough is
    // healthy on this side. Until then what serves there stays.
    let strays = booked.iter().filter(|old| old.status != DeploymentStatus::Primary);
    let away: Vec<&Deployment> =
        strays.filter(|old| old.alternate != primary.alternate && (old.weight > 0 || old.tested)).collect();
    if !away.is_empty() {
        let is_away = |judged: &Judged| away.iter().any(|old| old.id == judged.task.deployment);
        let fleet = Fleet::beside(judged, &primary.id, is_away);
        let there = judged.iter().filter(|judged| is_away(judged) && judged.verdict == Verdict::Healthy).count();
        let here = fleet.healthy.len() + fleet.old_healthy.len();
        if away.iter().all(|old| old.weight == 0) || here >= service.minimum() as usize || here >= there {
            let to = || primary.id.clone();
            plan.decisions.push(Decision::ShiftTraffic { to: to(), from: None, share: ALL_TRAFFIC });
            if away.iter().any(|old| old.tested) {
                plan.decisions.push(Decision::ShiftTestTraffic { to: to() });
            }
        } else {
            let moved = keep(service, &fleet, primary, service.desired, plan, now);
            tell_of_protection(service, moved, plan, now);
        }
        return;
    }
    let fleet = Fleet::of_all(judged, &primary.id);
    let moved = keep(service, &fleet, primary, service.desired, plan, now);
    let moved = moved.and(even_out(service, &fleet, primary, moved, plan, now));
    finish(service, bake, &fleet, primary, plan, now, moved);
}

/// Completes the deployment, announces what is to be told.
fn finish(
    service: &ServiceState,
    bake: Duration,
    fleet: &Fleet,
    primary: &Deployment,
    plan: &mut Plan,
    now: Timestamp,
    moved: Moved,
) {
    let desired = service.desired as usize;
    let settled = !moved.any()
        && fleet.draining == 0
        && !fleet.has_old()
        && fleet.healthy.len() == desired
        && fleet.live.len() == desired
        && primary.rollout != RolloutState::Failed;
    let baked = settled && (primary.rollout == RolloutState::Completed || is_baked(primary, bake, plan, now));

    if baked {
        for old in service.deployments.iter().filter(|old| old.status != DeploymentStatus::Primary) {
            plan.decisions.push(Decision::RemoveDeployment { deployment: old.id.clone() });
        }
        if primary.rollout == RolloutState::InProgress {
            plan.decisions.push(Decision::CompleteDeployment { deployment: primary.id.clone() });
        }
    }
    tell_of_steadiness(service, baked, plan, now);
    tell_of_protection(service, moved, plan, now);

    let everything_waits = fleet.starting.is_empty() && fleet.draining == 0 && !moved.any();
    let throttled = now < primary.not_before;
    let stuck = everything_waits
        && !throttled
        && moved.protected == 0
        && primary.rollout == RolloutState::InProgress
        && fleet.missing(service.desired) > 0
        && !service.places_of(&primary.id).is_empty();
    if stuck && is_due(service, service.stuck_since, now) {
        plan.decisions.push(Decision::Announce(Event::Stuck));
    } else if !stuck && service.stuck_since.is_some() {
        plan.decisions.push(Decision::Unstuck);
    }

    // Zones are told of when all is calm, and forgotten when something else begins.
    let zones = zones(service, fleet, primary);
    let even = zones.first().zip(zones.last()).is_none_or(|(most, least)| most.1 - least.1 <= 1);
    if service.uneven_since.is_some() {
        let busy = primary.rollout != RolloutState::Completed || !service.rebalance;
        if busy {
            plan.decisions.push(Decision::Evened);
        } else if even && settled {
            plan.decisions.push(Decision::Announce(Event::Even(zones)));
        }
    }
}

/// Whether the bake time is over; it begins now if it has not.
fn is_baked(primary: &Deployment, bake: Duration, plan: &mut Plan, now: Timestamp) -> bool {
    if bake.is_zero() || primary.goes_back {
        return true;
    }
    let Some(since) = primary.settled_since else {
        plan.decisions.push(Decision::BeginBake { deployment: primary.id.clone() });
        plan.wake(now.plus(bake));
        return false;
    };
    let ends = since.plus(bake);
    if now < ends {
        plan.wake(ends);
    }
    now >= ends
}
