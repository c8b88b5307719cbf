//! The rolling scheduler: from a service's observed state to what is to be done now.
//!
//! [`decide`] is called whenever anything of the service changes and again at [`Plan::wake_at`]. It never waits: what
//! must not happen yet is simply not in the plan. The order of the decisions is the order in which they are applied.
//!
//! Contract (held by the tests at the end of the crate's `tests/`):
//! - a plan never takes the number of live tasks above the maximum by starting;
//! - a plan never takes the number of healthy tasks below the minimum by stopping;
//! - each failure, first health and end of a task is booked once;
//! - while the primary deployment is failed, a plan starts nothing and stops only what is more than `desired`;
//! - applied again and again while tasks behave, it ends in an empty plan. If the primary deployment is not failed, and
//!   the maximum is at least `desired` and above the minimum (or nothing is wanted), exactly `desired` healthy tasks of
//!   it are left then.
//!
//! Of a failed deployment AWS documents only that it launches no new tasks. So its service can still be scaled in, and
//! deleted; which tasks go first is our choice.

use crate::balance::{by_fullest_zone, emptiest};
use crate::health::{Cause, Verdict, verdict};
use crate::lifecycle::TaskStatus;
use crate::state::{Deployment, DeploymentStatus, Placement, RolloutState, ServiceState, Task};
use serde::{Deserialize, Serialize};
use types::Timestamp;

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decision {
    /// A task counts as healthy for the first time: [`Deployment::count_success`], and mark it.
    MarkHealthy {
        /// The task.
        task: String,
    },
    /// A task failed a check: announce it, mark it and, if `failure`, [`Deployment::count_failure`].
    MarkUnhealthy {
        /// The task.
        task: String,
        /// Which check.
        cause: Cause,
        /// Counts against the deployment.
        failure: bool,
    },
    /// A task's end was seen: mark it and, if `failure`, [`Deployment::count_failure`].
    MarkEnded {
        /// The task.
        task: String,
        /// Counts against the deployment.
        failure: bool,
    },
    /// Start a task of `deployment`.
    StartTask {
        /// The deployment.
        deployment: String,
        /// Where.
        placement: Placement,
        /// It stands in for an unhealthy one.
        replaces_unhealthy: bool,
    },
    /// Stop a task.
    StopTask {
        /// The task.
        task: String,
        /// Why.
        reason: StopReason,
    },
    /// The deployment reached its goal.
    CompleteDeployment {
        /// The deployment.
        deployment: String,
    },
    /// The breaker tripped.
    FailDeployment {
        /// The deployment.
        deployment: String,
    },
    /// Make `to` the primary deployment again; `from` becomes active and failed.
    RollBack {
        /// The failed deployment.
        from: String,
        /// The last one that completed.
        to: String,
    },
    /// Nothing of this replaced deployment is left.
    RemoveDeployment {
        /// The deployment.
        deployment: String,
    },
    /// Forget that the service was steady.
    Unsteady,
    /// Forget that the service was stuck.
    Unstuck,
    /// Tell the user, and note the time.
    Announce(Event),
}

/// Why the scheduler stops a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopReason {
    /// Scaling in, or replaced by a newer deployment.
    Scaling,
    /// A failed check.
    Unhealthy(Cause),
}

/// What is announced without anything being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// `has reached a steady state.`
    Steady,
    /// `was unable to stop or start tasks during a deployment because of the service deployment configuration.`
    Stuck,
}

/// All that is to be done now, and when to ask again if nothing happens.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Plan {
    /// In order.
    pub decisions: Vec<Decision>,
    /// The next instant at which time alone changes the answer.
    pub wake_at: Option<Timestamp>,
}

impl Plan {
    fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }
}

/// What to do for `service` at `now`.
pub fn decide(service: &ServiceState, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some(primary) = service.primary() else { return plan };
    let judged: Vec<Judged> =
        service.tasks.iter().map(|task| Judged { task, verdict: verdict(service, task, now) }).collect();

    // What is booked now counts now: the breaker must not lag a round behind.
    let mut booked = primary.clone();
    book(service, &judged, &mut booked, &mut plan, now);
    if trip_breaker(service, &booked, &mut plan) {
        // The next round sees the service with its new primary.
        return plan;
    }

    let fleet = Fleet::of(service, &judged, &booked);
    let started = start(service, &fleet, &booked, &mut plan, now);
    let stopped = stop(service, &fleet, &booked, &mut plan, started);
    finish(service, &fleet, &booked, &mut plan, now, started + stopped > 0);
    plan
}

struct Judged<'a> {
    task: &'a Task,
    verdict: Verdict,
}

/// Books first healths, failed checks and ends; finds the next instant of interest.
fn book(service: &ServiceState, judged: &[Judged], primary: &mut Deployment, plan: &mut Plan, now: Timestamp) {
    let reset = service.circuit_breaker.is_none_or(|breaker| breaker.reset_on_healthy_task);
    for Judged { task, verdict } in judged {
        let of_primary = task.deployment == primary.id;
        match *verdict {
            Verdict::Healthy if !task.marks.was_healthy => {
                plan.decisions.push(Decision::MarkHealthy { task: task.id.clone() });
                if of_primary {
                    primary.count_success(reset);
                }
            }
            Verdict::Unhealthy(cause) if !task.marks.was_unhealthy => {
                let failure = of_primary && primary.rollout == RolloutState::InProgress;
                plan.decisions.push(Decision::MarkUnhealthy { task: task.id.clone(), cause, failure });
                if failure {
                    primary.count_failure(true, &service.timing, now);
                }
            }
            Verdict::Starting(Some(at)) | Verdict::Excused(at) => plan.wake(at),
            Verdict::Gone if !task.marks.end_seen && (task.ended_by_itself || task.last == TaskStatus::Stopped) => {
                // A task whose failed check was booked is not booked again when it ends.
                let failure =
                    task.ended_by_itself && of_primary && !task.marks.was_healthy && !task.marks.was_unhealthy;
                plan.decisions.push(Decision::MarkEnded { task: task.id.clone(), failure });
                if failure {
                    primary.count_failure(task.running_since.is_some(), &service.timing, now);
                }
            }
            _ => {}
        }
    }
}

/// Fails the primary deployment at the breaker's threshold and goes back where there is somewhere to go.
fn trip_breaker(service: &ServiceState, primary: &Deployment, plan: &mut Plan) -> bool {
    let Some(breaker) = &service.circuit_breaker else { return false };
    if primary.rollout != RolloutState::InProgress || primary.failed_tasks < breaker.trips_at(service.desired) {
        return false;
    }
    plan.decisions.push(Decision::FailDeployment { deployment: primary.id.clone() });
    match &service.last_completed {
        Some(to) if breaker.rollback && *to != primary.id => {
            plan.decisions.push(Decision::RollBack { from: primary.id.clone(), to: to.clone() });
        }
        _ => {}
    }
    true
}

/// The live tasks, sorted by what they are to the scheduler.
struct Fleet<'a> {
    /// Of the primary deployment, healthy.
    healthy: Vec<&'a Task>,
    /// Of the primary deployment, on their way, or excused within the grace period.
    starting: Vec<&'a Task>,
    /// Of the primary deployment, failed a check.
    unhealthy: Vec<&'a Task>,
    /// Of older deployments, healthy.
    old_healthy: Vec<&'a Task>,
    /// Of older deployments, not healthy.
    old_idle: Vec<&'a Task>,
    /// All live ones.
    live: Vec<&'a Task>,
    /// Leaving, but not yet out of the target groups.
    draining: usize,
}

impl<'a> Fleet<'a> {
    fn of(service: &'a ServiceState, judged: &[Judged<'a>], primary: &Deployment) -> Self {
        let mut fleet = Fleet {
            healthy: vec![],
            starting: vec![],
            unhealthy: vec![],
            old_healthy: vec![],
            old_idle: vec![],
            live: vec![],
            draining: service
                .tasks
                .iter()
                .filter(|task| !task.is_live() && task.last <= TaskStatus::Deactivating)
                .count(),
        };
        for Judged { task, verdict } in judged {
            let of_primary = task.deployment == primary.id;
            match verdict {
                Verdict::Gone => continue,
                Verdict::Healthy if of_primary => fleet.healthy.push(task),
                Verdict::Healthy => fleet.old_healthy.push(task),
                _ if !of_primary => fleet.old_idle.push(task),
                Verdict::Unhealthy(_) => fleet.unhealthy.push(task),
                Verdict::Starting(_) | Verdict::Excused(_) => fleet.starting.push(task),
            }
            fleet.live.push(task);
        }
        fleet
    }

    /// How many tasks the primary deployment lacks.
    fn missing(&self, desired: u32) -> usize {
        (desired as usize).saturating_sub(self.healthy.len() + self.starting.len())
    }

    /// What a service with a failed deployment has beyond `desired`; of the healthy ones no more than `budget`. First
    /// what does not serve, then the tasks of the failed deployment, then those that served before it.
    fn too_many(&self, desired: usize, budget: usize) -> Vec<&'a Task> {
        let ordered = |group: &Vec<&'a Task>| by_fullest_zone(group.clone(), &self.live);
        let idle = [&self.unhealthy, &self.starting, &self.old_idle].into_iter().flat_map(ordered);
        let serving = [&self.healthy, &self.old_healthy].into_iter().flat_map(ordered).take(budget);
        idle.chain(serving).take(self.live.len().saturating_sub(desired)).collect()
    }

    fn has_old(&self) -> bool {
        !self.old_healthy.is_empty() || !self.old_idle.is_empty()
    }
}

/// Starts what the primary deployment lacks, as far as the maximum allows.
fn start(service: &ServiceState, fleet: &Fleet, primary: &Deployment, plan: &mut Plan, now: Timestamp) -> usize {
    let missing = fleet.missing(service.desired);
    let room = (service.maximum() as usize).saturating_sub(fleet.live.len());
    let count = missing.min(room);
    if count == 0 || primary.rollout == RolloutState::Failed {
        return 0;
    }
    if now < primary.not_before {
        plan.wake(primary.not_before);
        return 0;
    }
    let mut taken: Vec<&Placement> =
        fleet.live.iter().filter(|task| task.deployment == primary.id).map(|task| &task.placement).collect();
    for index in 0..count {
        let Some(placement) = emptiest(&service.places, &taken) else { return index };
        taken.push(placement);
        plan.decisions.push(Decision::StartTask {
            deployment: primary.id.clone(),
            placement: placement.clone(),
            replaces_unhealthy: index < fleet.unhealthy.len(),
        });
    }
    count
}

/// Stops what is too much: older deployments, surplus, and unhealthy tasks that have been replaced. With a failed
/// deployment nothing is replaced any more, and only surplus goes.
fn stop(service: &ServiceState, fleet: &Fleet, primary: &Deployment, plan: &mut Plan, started: usize) -> usize {
    let desired = service.desired as usize;
    let mut stopped = 0;
    let mut stop = |task: &Task, reason: StopReason| {
        stopped += 1;
        plan.decisions.push(Decision::StopTask { task: task.id.clone(), reason });
    };
    let healthy = fleet.healthy.len() + fleet.old_healthy.len();
    let mut budget = healthy.saturating_sub(service.minimum() as usize);

    if primary.rollout == RolloutState::Failed {
        for task in fleet.too_many(desired, budget) {
            stop(task, StopReason::Scaling);
        }
        return stopped;
    }

    // What does not serve costs nothing.
    for task in by_fullest_zone(fleet.old_idle.clone(), &fleet.live) {
        stop(task, StopReason::Scaling);
    }
    for task in by_fullest_zone(fleet.old_healthy.clone(), &fleet.live).into_iter().take(budget) {
        stop(task, StopReason::Scaling);
        budget -= 1;
    }

    // Surplus of the primary deployment itself: first what is not serving yet, then the healthy.
    let mut surplus = (fleet.healthy.len() + fleet.starting.len()).saturating_sub(desired);
    let of_primary: Vec<&Task> = fleet.live.iter().copied().filter(|task| task.deployment == primary.id).collect();
    for task in by_fullest_zone(fleet.starting.clone(), &of_primary).into_iter().take(surplus) {
        stop(task, StopReason::Scaling);
        surplus -= 1;
    }
    for task in by_fullest_zone(fleet.healthy.clone(), &of_primary).into_iter().take(surplus.min(budget)) {
        stop(task, StopReason::Scaling);
    }

    // Unhealthy: one may go for each replacement that is healthy. Where the maximum leaves no room for a replacement,
    // one goes first to make room.
    let waiting = desired.saturating_sub(fleet.healthy.len());
    let mut replaced = fleet.unhealthy.len().saturating_sub(waiting);
    if replaced == 0 && started == 0 && fleet.starting.is_empty() && fleet.draining == 0 {
        let full = fleet.live.len() >= service.maximum() as usize;
        replaced = usize::from(full && !fleet.unhealthy.is_empty());
    }
    if desired == 0 {
        replaced = fleet.unhealthy.len();
    }
    let mut unhealthy = fleet.unhealthy.clone();
    unhealthy.sort_by_key(|task| (task.created_at, &task.id));
    for task in unhealthy.into_iter().take(replaced) {
        let cause = match task.containers {
            Some(crate::health::ContainerHealth::Unhealthy) => Cause::Container,
            _ => Cause::Target(
                task.targets
                    .iter()
                    .position(|health| matches!(health, crate::health::TargetHealth::Unhealthy(_)))
                    .unwrap_or(0),
            ),
        };
        stop(task, StopReason::Unhealthy(cause));
    }
    stopped
}

/// Completes the deployment, announces the steady or the stuck state.
fn finish(service: &ServiceState, fleet: &Fleet, primary: &Deployment, plan: &mut Plan, now: Timestamp, moved: bool) {
    let desired = service.desired as usize;
    let settled = !moved
        && fleet.draining == 0
        && !fleet.has_old()
        && fleet.healthy.len() == desired
        && fleet.live.len() == desired
        && primary.rollout != RolloutState::Failed;
    let due = |since: Option<Timestamp>| since.is_none_or(|at| now.since(at) >= service.timing.repeat);

    if settled {
        for old in service.deployments.iter().filter(|old| old.status != DeploymentStatus::Primary) {
            plan.decisions.push(Decision::RemoveDeployment { deployment: old.id.clone() });
        }
        if primary.rollout == RolloutState::InProgress {
            plan.decisions.push(Decision::CompleteDeployment { deployment: primary.id.clone() });
        }
        if due(service.steady_since) {
            plan.decisions.push(Decision::Announce(Event::Steady));
        }
        plan.wake(
            if due(service.steady_since) { now } else { service.steady_since.unwrap_or(now) }
                .plus(service.timing.repeat),
        );
    } else if service.steady_since.is_some() {
        plan.decisions.push(Decision::Unsteady);
    }

    let everything_waits = fleet.starting.is_empty() && fleet.draining == 0 && !moved;
    let throttled = now < primary.not_before;
    let stuck = everything_waits
        && !throttled
        && primary.rollout == RolloutState::InProgress
        && fleet.missing(service.desired) > 0
        && !service.places.is_empty();
    if stuck && due(service.stuck_since) {
        plan.decisions.push(Decision::Announce(Event::Stuck));
    } else if !stuck && service.stuck_since.is_some() {
        plan.decisions.push(Decision::Unstuck);
    }
}
