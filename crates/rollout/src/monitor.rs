//! What makes a deployment fail: the circuit breaker, alarms, hooks, a wrong network, time, the user.
//! Source: developer guide, "How CloudWatch alarms detect Amazon ECS deployment failures", "Stopping Amazon ECS service
//! deployments", "Troubleshooting Amazon ECS blue/green deployments".
//!
//! The first that trips wins; each says for itself whether the service goes back.

use crate::decide::{Decision, Plan};
use crate::state::{Deployment, RolloutState, ServiceState};
use crate::strategy::{HookAction, PauseStatus, Stage, Strategy};
use serde::{Deserialize, Serialize};
use types::Timestamp;

/// The deployment alarms, as they are now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmWatch {
    /// Go back to the last deployment that completed.
    pub rollback: bool,
    /// The names of those in ALARM.
    pub alarming: Vec<String>,
}

/// What `StopServiceDeployment` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopRequest {
    /// Leave all as it stands.
    Abort,
    /// Go back.
    RollBack,
}

/// Why a deployment failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailCause {
    /// Too many tasks failed.
    CircuitBreaker,
    /// These alarms went off.
    Alarms(Vec<String>),
    /// Somebody said at a pause to go back.
    HookRejected(Stage),
    /// Nobody said anything at a pause.
    HookTimedOut(Stage),
    /// A stage took too long.
    StageTimedOut(Stage),
    /// The listener rules are not as they must be.
    Network(String),
    /// The user stopped it.
    Stopped(StopRequest),
}

/// Decides once for a deployment whether alarms are watched: not where one is in ALARM when it begins.
pub(crate) fn watch_alarms(service: &ServiceState, primary: &mut Deployment, plan: &mut Plan) {
    let Some(alarms) = &service.alarms else { return };
    if primary.watches_alarms.is_some() || primary.rollout != RolloutState::InProgress {
        return;
    }
    // What is gone back to has been found good before, and the alarm that sent us back still rings.
    let watch = alarms.alarming.is_empty() && !primary.goes_back;
    primary.watches_alarms = Some(watch);
    plan.decisions.push(Decision::WatchAlarms { deployment: primary.id.clone(), watch });
}

/// Fails the primary deployment if anything says so, and goes back where that is asked for and there is somewhere to go.
pub(crate) fn fail(service: &ServiceState, primary: &Deployment, plan: &mut Plan, now: Timestamp) -> bool {
    if primary.rollout != RolloutState::InProgress || primary.stage == Some(Stage::CleanUp) && !primary.goes_back {
        return false;
    }
    let Some((cause, rollback)) = cause(service, primary, plan, now) else { return false };
    plan.decisions.push(Decision::FailDeployment { deployment: primary.id.clone(), cause, rollback });
    let there = |id: &String| *id != primary.id && service.deployments.iter().any(|deployment| deployment.id == *id);
    if let Some(to) = service.last_completed.as_ref().filter(|to| rollback && there(to)) {
        plan.decisions.push(Decision::RollBack { from: primary.id.clone(), to: to.clone() });
    }
    true
}

fn cause(service: &ServiceState, primary: &Deployment, plan: &mut Plan, now: Timestamp) -> Option<(FailCause, bool)> {
    if let Some(request) = primary.stop {
        return Some((FailCause::Stopped(request), request == StopRequest::RollBack));
    }
    if let Some(breaker) = &service.circuit_breaker
        && primary.failed_tasks >= breaker.trips_at(service.desired)
    {
        return Some((FailCause::CircuitBreaker, breaker.rollback));
    }
    if let Some(alarms) = &service.alarms
        && primary.watches_alarms == Some(true)
        && !alarms.alarming.is_empty()
    {
        return Some((FailCause::Alarms(alarms.alarming.clone()), alarms.rollback));
    }
    for pause in &primary.pauses {
        if pause.status == PauseStatus::Failed {
            return Some((FailCause::HookRejected(pause.stage), true));
        }
        let over = pause.status == PauseStatus::Awaiting && now >= pause.expires_at;
        if over && pause.on_timeout == HookAction::RollBack {
            plan.decisions.push(Decision::EndPause { deployment: primary.id.clone(), pause: pause.id.clone() });
            return Some((FailCause::HookTimedOut(pause.stage), true));
        }
    }
    let Strategy::Shifting(shifting) = &service.strategy else { return None };
    if primary.goes_back {
        return None;
    }
    if let Some(fault) = &shifting.fault {
        return Some((FailCause::Network(fault.clone()), true));
    }
    let (stage, ends) = last_instant(service, primary)?;
    if now >= ends {
        return Some((FailCause::StageTimedOut(stage), true));
    }
    plan.wake(ends);
    None
}

/// Until when the stage of a deployment may last. Those in which hooks are waited for end with the hooks, and there is no way
/// back from the last. Source: developer guide, "Amazon ECS blue/green service deployments workflow".
fn last_instant(service: &ServiceState, primary: &Deployment) -> Option<(Stage, Timestamp)> {
    let stage = primary.stage.filter(|stage| !stage.may_pause() && *stage != Stage::CleanUp)?;
    let Strategy::Shifting(shifting) = &service.strategy else { return None };
    let bake = match stage {
        Stage::BakeTime => shifting.bake,
        // A step of traffic that was shifted is looked at for its own time.
        Stage::ProductionTrafficShift if primary.shifted_at.is_some() => return None,
        _ => std::time::Duration::ZERO,
    };
    Some((stage, primary.stage_since.plus(service.timing.stage.max(bake))))
}
