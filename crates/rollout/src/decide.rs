//! From a service's observed state to what is to be done now.
//!
//! [`decide`] is called whenever anything of the service changes and again at [`Plan::wake_at`]. It never waits: what
//! must not happen yet is simply not in the plan. The order of the decisions is the order in which they are applied.
//!
//! Contract (held by the tests in the crate's `tests/`):
//! - a plan never takes the number of live tasks above the maximum by starting; where traffic is shifted, each side has
//!   its own maximum;
//! - a plan never takes the number of healthy tasks below the minimum by stopping, and none that is protected;
//! - tasks of older deployments that run, healthy or not yet, are given up only as far as the minimum is left of what
//!   serves or is about to; those that do not run yet go at once;
//! - production traffic is given to a deployment only when all its tasks are healthy, or to go back;
//! - each failure, first health and end of a task is booked once;
//! - while the primary deployment is failed, a plan starts nothing of it and stops only what is more than `desired`;
//! - applied again and again while tasks behave, it ends in an empty plan. If the primary deployment is not failed, and
//!   the maximum is at least `desired` and above the minimum (or nothing is wanted), exactly `desired` healthy tasks of
//!   it are left then.
//!
//! Of a failed deployment AWS documents only that it launches no new tasks. So its service can still be scaled in, and
//! deleted; which tasks go first is our choice.

use crate::external;
use crate::fleet::{Judged, Moved};
use crate::health::{Cause, Verdict, verdict};
use crate::lifecycle::TaskStatus;
use crate::monitor::{self, FailCause};
use crate::rolling;
use crate::shifting;
use crate::state::{Deployment, DeploymentStatus, Placement, RolloutState, ServiceState};
use crate::strategy::{HookAction, Stage, Strategy};
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
        /// It evens the zones out.
        rebalances: bool,
    },
    /// Stop a task.
    StopTask {
        /// The task.
        task: String,
        /// Why.
        reason: StopReason,
    },
    /// Whether alarms are watched for the deployment.
    WatchAlarms {
        /// The deployment.
        deployment: String,
        /// They are.
        watch: bool,
    },
    /// All of the deployment is as it should be; it completes if that is so when its bake time is over.
    BeginBake {
        /// The deployment.
        deployment: String,
    },
    /// [`Deployment::enter`] the next stage. With [`Stage::CleanUp`] it is the one to go back to.
    EnterStage {
        /// The deployment.
        deployment: String,
        /// The stage.
        stage: Stage,
    },
    /// Wait for somebody's word, until `expires_at`.
    BeginPause {
        /// The deployment.
        deployment: String,
        /// Where.
        stage: Stage,
        /// Which of the hooks.
        hook: usize,
        /// Until when.
        expires_at: Timestamp,
        /// What happens then.
        on_timeout: HookAction,
    },
    /// Nobody said anything in time.
    EndPause {
        /// The deployment.
        deployment: String,
        /// The pause's id.
        pause: String,
    },
    /// Production traffic: `share` thousandths to `to`, the rest to `from`, if there is one.
    ShiftTraffic {
        /// Who gets it.
        to: String,
        /// Who keeps the rest.
        from: Option<String>,
        /// How much.
        share: u16,
    },
    /// What has traffic and did not complete is what serves from now on, and the one to go back to. The primary deployment,
    /// of which nothing was started, goes into the target groups beside it.
    StandIn {
        /// The deployment.
        deployment: String,
    },
    /// All test traffic goes to `to`.
    ShiftTestTraffic {
        /// Who gets it.
        to: String,
    },
    /// The deployment reached its goal.
    CompleteDeployment {
        /// The deployment.
        deployment: String,
    },
    /// The deployment failed.
    FailDeployment {
        /// The deployment.
        deployment: String,
        /// Why.
        cause: FailCause,
        /// The service is to go back. Where there is somewhere to go, a [`Decision::RollBack`] follows.
        rollback: bool,
    },
    /// Make `to` the primary deployment [`Deployment::again`]; `from` becomes active and failed.
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
    /// Forget that protected tasks were in the way.
    Unprotected,
    /// Forget that zones were uneven.
    Evened,
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
    /// Another one was started in an emptier zone.
    Rebalancing,
}

/// What is announced without anything being done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// `has reached a steady state.`
    Steady,
    /// `was unable to stop or start tasks during a deployment because of the service deployment configuration.`
    Stuck,
    /// `was unable to scale in due to (reason N tasks under protection)`
    Protected {
        /// How many are in the way.
        tasks: usize,
    },
    /// `is not AZ balanced with …`: zones and their tasks, the fullest first.
    Uneven(Vec<(String, usize)>),
    /// `is AZ balanced with …`
    Even(Vec<(String, usize)>),
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
    pub(crate) fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }
}

/// What to do for `service` at `now`.
pub fn decide(service: &ServiceState, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let judged: Vec<Judged> =
        service.tasks.iter().map(|task| Judged { task, verdict: verdict(service, task, now) }).collect();

    // What is booked now counts now: the breaker must not lag a round behind.
    let mut booked = service.deployments.clone();
    book(service, &judged, &mut booked, &mut plan, now);
    if service.strategy == Strategy::External {
        external::keep_all(service, &judged, &booked, &mut plan, now);
        return plan;
    }
    let Some(primary) = booked.iter_mut().find(|deployment| deployment.status == DeploymentStatus::Primary) else {
        return plan;
    };
    monitor::watch_alarms(service, primary, &mut plan);
    let primary = primary.clone();
    if monitor::fail(service, &primary, &mut plan, now) {
        // The next round sees the service with its new primary.
        return plan;
    }
    match &service.strategy {
        Strategy::Shifting(shifting) if primary.rollout != RolloutState::Completed => {
            shifting::advance(service, shifting, &judged, &booked, &primary, &mut plan, now);
        }
        Strategy::Rolling { bake } => rolling::advance(service, *bake, &judged, &booked, &primary, &mut plan, now),
        _ => rolling::advance(service, std::time::Duration::ZERO, &judged, &booked, &primary, &mut plan, now),
    }
    plan
}

/// Whether failures of its tasks count: they do for what is kept up, and not for what is on its way out.
fn is_kept(service: &ServiceState, deployment: &str) -> bool {
    match service.strategy {
        Strategy::External => true,
        Strategy::Rolling { .. } => service.primary().is_some_and(|primary| primary.id == deployment),
        Strategy::Shifting(_) => {
            let is = |found: Option<&Deployment>| found.is_some_and(|found| found.id == deployment);
            is(service.primary()) || is(service.serving())
        }
    }
}

/// Books first healths, failed checks and ends; finds the next instant of interest.
fn book(service: &ServiceState, judged: &[Judged], booked: &mut [Deployment], plan: &mut Plan, now: Timestamp) {
    let reset = service.circuit_breaker.is_none_or(|breaker| breaker.reset_on_healthy_task);
    for Judged { task, verdict } in judged {
        let deployment =
            booked.iter_mut().find(|found| found.id == task.deployment).filter(|found| is_kept(service, &found.id));
        match *verdict {
            Verdict::Healthy if !task.marks.was_healthy => {
                plan.decisions.push(Decision::MarkHealthy { task: task.id.clone() });
                if let Some(deployment) = deployment {
                    deployment.count_success(reset);
                }
            }
            Verdict::Unhealthy(cause) if !task.marks.was_unhealthy => {
                let deployment = deployment.filter(|found| found.rollout == RolloutState::InProgress);
                let failure = deployment.is_some();
                plan.decisions.push(Decision::MarkUnhealthy { task: task.id.clone(), cause, failure });
                if let Some(deployment) = deployment {
                    deployment.count_failure(true, &service.timing, now);
                }
            }
            Verdict::Starting(Some(at)) | Verdict::Excused(at) => plan.wake(at),
            Verdict::Gone if !task.marks.end_seen && (task.ended_by_itself || task.last == TaskStatus::Stopped) => {
                // A task whose failed check was booked is not booked again when it ends.
                let counts = task.ended_by_itself && !task.marks.was_healthy && !task.marks.was_unhealthy;
                let deployment = deployment.filter(|_| counts);
                plan.decisions.push(Decision::MarkEnded { task: task.id.clone(), failure: deployment.is_some() });
                if let Some(deployment) = deployment {
                    deployment.count_failure(task.running_since.is_some(), &service.timing, now);
                }
            }
            _ => {}
        }
    }
}

/// Whether what was announced at `since` is to be announced again.
pub(crate) fn is_due(service: &ServiceState, since: Option<Timestamp>, now: Timestamp) -> bool {
    since.is_none_or(|at| now.since(at) >= service.timing.repeat)
}

/// Announces that protected tasks are in the way, or forgets it.
pub(crate) fn tell_of_protection(service: &ServiceState, moved: Moved, plan: &mut Plan, now: Timestamp) {
    if moved.protected > 0 {
        if is_due(service, service.protected_since, now) {
            plan.decisions.push(Decision::Announce(Event::Protected { tasks: moved.protected }));
        }
    } else if service.protected_since.is_some() {
        plan.decisions.push(Decision::Unprotected);
    }
}

/// Announces the steady state, or forgets it.
pub(crate) fn tell_of_steadiness(service: &ServiceState, settled: bool, plan: &mut Plan, now: Timestamp) {
    if !settled {
        if service.steady_since.is_some() {
            plan.decisions.push(Decision::Unsteady);
        }
        return;
    }
    let due = is_due(service, service.steady_since, now);
    if due {
        plan.decisions.push(Decision::Announce(Event::Steady));
    }
    plan.wake(if due { now } else { service.steady_since.unwrap_or(now) }.plus(service.timing.repeat));
}
