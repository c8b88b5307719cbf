//! The live tasks, sorted by what they are to a deployment, and how that deployment is kept at a number: what is lacking
//! is started, what is too much or unhealthy is stopped, between the minimum and the maximum.

use crate::balance::{Taken, by_fullest_zone};
use crate::decide::{Decision, Plan, StopReason};
use crate::health::{Cause, ContainerHealth, TargetHealth, Verdict};
use crate::lifecycle::TaskStatus;
use crate::state::{Deployment, RolloutState, ServiceState, Task};
use types::Timestamp;

/// A task and what its health checks mean.
pub(crate) struct Judged<'a> {
    pub(crate) task: &'a Task,
    pub(crate) verdict: Verdict,
}

/// The live tasks.
pub(crate) struct Fleet<'a> {
    /// Of the deployment, healthy.
    pub(crate) healthy: Vec<&'a Task>,
    /// Of the deployment, on their way, or excused within the grace period.
    pub(crate) starting: Vec<&'a Task>,
    /// Of the deployment, failed a check.
    pub(crate) unhealthy: Vec<&'a Task>,
    /// Of others, healthy.
    pub(crate) old_healthy: Vec<&'a Task>,
    /// Of others, running, though they do not count as healthy yet: they may well serve.
    pub(crate) old_running: Vec<&'a Task>,
    /// Of others, failed a check.
    pub(crate) old_unhealthy: Vec<&'a Task>,
    /// Of others, not running yet.
    pub(crate) old_pending: Vec<&'a Task>,
    /// All live ones.
    pub(crate) live: Vec<&'a Task>,
    /// Leaving, but not yet out of the target groups.
    pub(crate) draining: usize,
}

/// What was done for a fleet.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Moved {
    /// Tasks that were started.
    pub(crate) started: usize,
    /// Tasks that were told to stop.
    pub(crate) stopped: usize,
    /// Tasks that would have been, were they not protected.
    pub(crate) protected: usize,
}

impl Moved {
    pub(crate) fn any(self) -> bool {
        self.started + self.stopped > 0
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            started: self.started + other.started,
            stopped: self.stopped + other.stopped,
            protected: self.protected + other.protected,
        }
    }
}

impl<'a> Fleet<'a> {
    /// All tasks, as `deployment` sees them.
    pub(crate) fn of_all(judged: &[Judged<'a>], deployment: &str) -> Self {
        Self::of(judged.iter(), deployment)
    }

    /// The tasks of `deployment` alone.
    pub(crate) fn of_one(judged: &[Judged<'a>], deployment: &str) -> Self {
        Self::of(judged.iter().filter(|judged| judged.task.deployment == deployment), deployment)
    }

    /// All tasks, as `deployment` sees them that does not touch those which `is_apart` tells: they count as live alone.
    pub(crate) fn beside(judged: &[Judged<'a>], deployment: &str, is_apart: impl Fn(&Judged) -> bool) -> Self {
        let mut fleet = Self::of(judged.iter().filter(|judged| !is_apart(judged)), deployment);
        let apart = judged.iter().filter(|judged| is_apart(judged) && judged.verdict != Verdict::Gone);
        fleet.live.extend(apart.map(|judged| judged.task));
        fleet
    }

    fn of<'j>(judged: impl Iterator<Item = &'j Judged<'a>>, deployment: &str) -> Self
    where
        'a: 'j,
    {
        let mut fleet = Fleet {
            healthy: vec![],
            starting: vec![],
            unhealthy: vec![],
            old_healthy: vec![],
            old_running: vec![],
            old_unhealthy: vec![],
            old_pending: vec![],
            live: vec![],
            draining: 0,
        };
        for Judged { task, verdict } in judged {
            let own = task.deployment == deployment;
            match verdict {
                Verdict::Gone => {
                    fleet.draining += usize::from(task.is_leaving());
                    continue;
                }
                Verdict::Healthy if own => fleet.healthy.push(task),
                Verdict::Healthy => fleet.old_healthy.push(task),
                Verdict::Unhealthy(_) if own => fleet.unhealthy.push(task),
                Verdict::Unhealthy(_) => fleet.old_unhealthy.push(task),
                _ if !own && task.last < TaskStatus::Running => fleet.old_pending.push(task),
                _ if !own => fleet.old_running.push(task),
                Verdict::Starting(_) | Verdict::Excused(_) => fleet.starting.push(task),
            }
            fleet.live.push(task);
        }
        fleet
    }

    /// How many tasks the deployment lacks.
    pub(crate) fn missing(&self, wanted: u32) -> usize {
        (wanted as usize).saturating_sub(self.healthy.len() + self.starting.len())
    }

    pub(crate) fn has_old(&self) -> bool {
        [&self.old_healthy, &self.old_running, &self.old_unhealthy, &self.old_pending].iter().any(|old| !old.is_empty())
    }

    /// Nothing of it is there, nor in its target groups.
    pub(crate) fn is_gone(&self) -> bool {
        self.live.is_empty() && self.draining == 0
    }

    /// What a service with a failed deployment has beyond `wanted`; of the healthy ones no more than `budget`. First
    /// what does not serve, then the tasks of the failed deployment, then those that served before it.
    fn too_many(&self, wanted: usize, budget: usize) -> Vec<&'a Task> {
        let ordered = |group: &Vec<&'a Task>| by_fullest_zone(group.clone(), &self.live);
        let (young, pending): (Vec<_>, Vec<_>) = self.starting.iter().copied().partition(|task| is_running(task));
        // What runs and does not count as healthy yet may well serve; what served before may still, whatever its checks say.
        let idle = [&self.unhealthy, &pending, &self.old_pending, &young, &self.old_unhealthy, &self.old_running];
        let idle = idle.into_iter().flat_map(ordered);
        let serving = [&self.healthy, &self.old_healthy].into_iter().flat_map(ordered).take(budget);
        idle.chain(serving).take(self.live.len().saturating_sub(wanted)).collect()
    }
}

/// Keeps `deployment`, whose tasks `fleet` shows, at `wanted` tasks; others' tasks in `fleet` make way.
pub(crate) fn keep(
    service: &ServiceState,
    fleet: &Fleet,
    deployment: &Deployment,
    wanted: u32,
    plan: &mut Plan,
    now: Timestamp,
) -> Moved {
    let started = start(service, fleet, deployment, wanted, plan, now);
    let mut stopping = Stopping { plan, now, moved: Moved { started, ..Moved::default() } };
    stop(service, fleet, deployment, wanted, &mut stopping);
    stopping.moved
}

/// Stops all of `fleet`.
pub(crate) fn stop_all(fleet: &Fleet, plan: &mut Plan, now: Timestamp) -> Moved {
    let mut stopping = Stopping { plan, now, moved: Moved::default() };
    for task in by_fullest_zone(fleet.live.clone(), &fleet.live) {
        stopping.stop(task, StopReason::Scaling);
    }
    stopping.moved
}

/// Starts what the deployment lacks, as far as the maximum allows.
fn start(
    service: &ServiceState,
    fleet: &Fleet,
    deployment: &Deployment,
    wanted: u32,
    plan: &mut Plan,
    now: Timestamp,
) -> usize {
    let missing = fleet.missing(wanted);
    let room = (service.maximum_of(wanted) as usize).saturating_sub(fleet.live.len());
    let count = missing.min(room);
    if count == 0 || deployment.rollout == RolloutState::Failed {
        return 0;
    }
    if now < deployment.not_before {
        plan.wake(deployment.not_before);
        return 0;
    }
    let own = fleet.live.iter().filter(|task| task.deployment == deployment.id);
    let mut taken = Taken::by(own.map(|task| &task.placement));
    for index in 0..count {
        let Some(placement) = taken.emptiest(service.places_of(&deployment.id)) else { return index };
        taken.add(placement);
        plan.decisions.push(Decision::StartTask {
            deployment: deployment.id.clone(),
            placement: placement.clone(),
            replaces_unhealthy: index < fleet.unhealthy.len(),
            rebalances: false,
        });
    }
    count
}

/// Stops tasks, but for those that are protected.
struct Stopping<'p> {
    plan: &'p mut Plan,
    now: Timestamp,
    moved: Moved,
}

impl Stopping<'_> {
    /// Whether the task stops.
    fn stop(&mut self, task: &Task, reason: StopReason) -> bool {
        // A task that fails its checks is replaced, whoever protects it.
        if let Some(until) = task.protected_until.filter(|_| task.is_protected(self.now))
            && !matches!(reason, StopReason::Unhealthy(_))
        {
            self.moved.protected += 1;
            self.plan.wake(until);
            return false;
        }
        self.moved.stopped += 1;
        self.plan.decisions.push(Decision::StopTask { task: task.id.clone(), reason });
        true
    }

    /// Stops `count` of `tasks`, the first that may be.
    fn stop_some(&mut self, tasks: Vec<&Task>, count: usize, reason: StopReason) -> usize {
        let mut stopped = 0;
        for task in tasks {
            if stopped == count {
                break;
            }
            stopped += usize::from(self.stop(task, reason));
        }
        stopped
    }
}

/// Stops what is too much: older deployments, surplus, and unhealthy tasks that have been replaced. With a failed
/// deployment nothing is replaced any more, and only surplus goes.
fn stop(service: &ServiceState, fleet: &Fleet, deployment: &Deployment, wanted: u32, stopping: &mut Stopping) {
    let (minimum, maximum) = (service.minimum_of(wanted) as usize, service.maximum_of(wanted) as usize);
    let wanted = wanted as usize;
    let healthy = fleet.healthy.len() + fleet.old_healthy.len();
    let mut budget = healthy.saturating_sub(minimum);

    if deployment.rollout == RolloutState::Failed {
        for task in fleet.too_many(wanted, budget) {
            stopping.stop(task, StopReason::Scaling);
        }
        return;
    }

    budget -= replace_old(fleet, minimum, budget, stopping);

    // Surplus of the deployment itself: first what is not serving yet, then the healthy. While zones are being evened out
    // one more is on its way into the emptiest zone, and one of the fullest goes for it once it serves.
    let evens = service.uneven_since.is_some();
    let reason = if evens { StopReason::Rebalancing } else { StopReason::Scaling };
    let mut surplus = (fleet.healthy.len() + fleet.starting.len()).saturating_sub(wanted);
    let own: Vec<&Task> = fleet.live.iter().copied().filter(|task| task.deployment == deployment.id).collect();
    let spared = usize::from(evens && wanted > 0);
    // Of what does not count as healthy yet, first what does not even run: it may never.
    let (young, pending): (Vec<_>, Vec<_>) = fleet.starting.iter().copied().partition(|task| is_running(task));
    let starting = [pending, young].into_iter().flat_map(|tasks| by_fullest_zone(tasks, &own)).collect();
    surplus -= stopping.stop_some(starting, surplus.saturating_sub(spared), StopReason::Scaling);
    let serving = by_fullest_zone(fleet.healthy.clone(), &own);
    let surplus = if evens { fleet.healthy.len().saturating_sub(wanted) } else { surplus };
    stopping.stop_some(serving, surplus.min(budget), reason);

    // Unhealthy: one may go for each replacement that is healthy.
    let waiting = wanted.saturating_sub(fleet.healthy.len());
    let replaced = if wanted == 0 { fleet.unhealthy.len() } else { fleet.unhealthy.len().saturating_sub(waiting) };
    let mut unhealthy = fleet.unhealthy.clone();
    unhealthy.sort_by_key(|task| (task.created_at, &task.id));
    for task in unhealthy.iter().take(replaced) {
        stopping.stop(task, StopReason::Unhealthy(failed_check(task)));
    }

    // Where the maximum leaves no room for a replacement, one of the unhealthy goes first to make room.
    let rests = !stopping.moved.any() && fleet.starting.is_empty() && fleet.draining == 0;
    if rests && fleet.live.len() >= maximum {
        let old = by_fullest_zone(fleet.old_unhealthy.clone(), &fleet.live);
        if let Some(task) = old.first().or(unhealthy.first()) {
            stopping.stop(task, StopReason::Unhealthy(failed_check(task)));
        }
    }
}

/// Stops tasks of older deployments: at once what does not run yet; what runs only as far as `minimum` tasks stay that
/// serve or may be about to. Of the healthy ones no more than `budget` go; how many did is the answer.
///
/// A running task that does not count as healthy yet is not given up for one that has not even started: the new
/// revision may be broken.
fn replace_old<'a>(fleet: &Fleet<'a>, minimum: usize, budget: usize, stopping: &mut Stopping) -> usize {
    let ordered = |tasks: &Vec<&'a Task>| by_fullest_zone(tasks.clone(), &fleet.live);
    for task in ordered(&fleet.old_pending) {
        stopping.stop(task, StopReason::Scaling);
    }
    let serving = fleet.healthy.len() + fleet.old_healthy.len() + fleet.old_running.len();
    let sick = ordered(&fleet.old_unhealthy);
    let running = serving + fleet.old_unhealthy.len();
    stopping.stop_some(sick, running.saturating_sub(minimum), StopReason::Scaling);
    let spare = serving.saturating_sub(minimum);
    let spare = spare - stopping.stop_some(ordered(&fleet.old_running), spare, StopReason::Scaling);
    stopping.stop_some(ordered(&fleet.old_healthy), budget.min(spare), StopReason::Scaling)
}

fn is_running(task: &Task) -> bool {
    task.last == TaskStatus::Running
}

fn failed_check(task: &Task) -> Cause {
    match task.containers {
        Some(ContainerHealth::Unhealthy) => Cause::Container,
        _ => Cause::Target(
            task.targets.iter().position(|health| matches!(health, TargetHealth::Unhealthy(_))).unwrap_or(0),
        ),
    }
}
