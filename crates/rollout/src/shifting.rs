//! BLUE_GREEN, LINEAR and CANARY: the green deployment comes up whole beside the blue one, gets the test traffic, then the
//! production traffic in the strategy's steps; both bake; then the blue one goes.
//!
//! One stage is entered a plan. Until [`Stage::CleanUp`] the blue side is kept as it is, so going back means giving it
//! the traffic again, at once. A failed deployment without a way back keeps both sides where they are.

use crate::decide::{Decision, Plan, tell_of_protection, tell_of_steadiness};
use crate::fleet::{Fleet, Judged, Moved, keep, stop_all};
use crate::state::{ALL_TRAFFIC, Deployment, RolloutState, ServiceState};
use crate::strategy::{HookAction, PauseStatus, Shifting, Stage};
use types::Timestamp;

/// What all steps of a plan share.
struct Side<'a> {
    service: &'a ServiceState,
    judged: &'a [Judged<'a>],
    now: Timestamp,
}

impl Side<'_> {
    fn fleet(&self, deployment: &Deployment) -> Fleet<'_> {
        Fleet::of_one(self.judged, &deployment.id)
    }

    fn keep(&self, deployment: &Deployment, plan: &mut Plan) -> Moved {
        keep(self.service, &self.fleet(deployment), deployment, self.service.desired, plan, self.now)
    }

    /// It can take the traffic from those that have it: it serves as many as must be, or no fewer than they do.
    fn can_take_from(&self, deployment: &Deployment, others: &[&Deployment]) -> bool {
        let healthy = |deployment: &Deployment| self.fleet(deployment).healthy.len();
        let own = healthy(deployment);
        own >= self.service.minimum() as usize || own >= others.iter().map(|other| healthy(other)).sum()
    }

    /// Which of those that have traffic serves from now on in place of `blue`, which cannot take it from them. None while
    /// there is hope that it soon can, and those that could stand in have failed or are not whole.
    fn stand_in<'d>(&self, blue: &Deployment, strays: &[&'d Deployment]) -> Option<&'d Deployment> {
        let healthy = |deployment: &Deployment| self.fleet(deployment).healthy.len();
        let best = strays.iter().filter(|stray| stray.weight > 0).max_by_key(|stray| healthy(stray))?;
        let whole = best.rollout != RolloutState::Failed && healthy(best) >= self.service.minimum() as usize;
        let timing = &self.service.timing;
        let hopeless = blue.rollout == RolloutState::Failed
            || timing.is_impaired(blue.start_failures)
            || timing.is_impaired(blue.failed_tasks);
        (whole || hopeless && healthy(best) > healthy(blue)).then_some(best)
    }

    /// All that it should have is healthy.
    fn is_ready(&self, deployment: &Deployment) -> bool {
        self.fleet(deployment).healthy.len() >= self.service.desired as usize
    }

    fn stop(&self, deployments: &[&Deployment], plan: &mut Plan) -> Moved {
        deployments
            .iter()
            .fold(Moved::default(), |moved, deployment| moved.and(stop_all(&self.fleet(deployment), plan, self.now)))
    }

    fn are_gone(&self, deployments: &[&Deployment]) -> bool {
        deployments.iter().all(|deployment| self.fleet(deployment).is_gone())
    }
}

/// What to do for a service whose primary deployment is on its way.
pub(crate) fn advance(
    service: &ServiceState,
    shifting: &Shifting,
    judged: &[Judged],
    booked: &[Deployment],
    green: &Deployment,
    plan: &mut Plan,
    now: Timestamp,
) {
    let side = Side { service, judged, now };
    tell_of_steadiness(service, false, plan, now);
    if service.uneven_since.is_some() {
        plan.decisions.push(Decision::Evened);
    }
    if service.stuck_since.is_some() {
        plan.decisions.push(Decision::Unstuck);
    }
    let others: Vec<&Deployment> = booked.iter().filter(|other| other.id != green.id).collect();
    if green.goes_back {
        let moved = go_back(&side, green, &others, plan);
        tell_of_protection(service, moved, plan, now);
        return;
    }
    let serving = service.serving().map_or("", |blue| &blue.id);
    let blue = others.iter().copied().find(|other| other.id == serving);
    let strays: Vec<&Deployment> = others.iter().copied().filter(|other| other.id != serving).collect();
    let mut moved = Moved::default();
    if let Some(blue) = blue {
        moved = moved.and(side.keep(blue, plan));
    }
    if green.stage.is_some_and(|stage| stage >= Stage::ScaleUp) {
        moved = moved.and(side.keep(green, plan));
    }
    if green.rollout == RolloutState::InProgress {
        moved = moved.and(step(&side, shifting, green, blue, &strays, plan));
    }
    tell_of_protection(service, moved, plan, now);
}

/// One step of the way.
fn step(
    side: &Side,
    shifting: &Shifting,
    green: &Deployment,
    blue: Option<&Deployment>,
    strays: &[&Deployment],
    plan: &mut Plan,
) -> Moved {
    let enter = |plan: &mut Plan, stage: Stage| {
        plan.decisions.push(Decision::EnterStage { deployment: green.id.clone(), stage });
        Moved::default()
    };
    let Some(stage) = green.stage else {
        return enter(plan, if strays.is_empty() { Stage::PreScaleUp } else { Stage::Reconcile });
    };
    match stage {
        Stage::Reconcile => return reconcile(side, green, blue, strays, plan),
        Stage::ScaleUp if side.is_ready(green) => return enter(plan, Stage::PostScaleUp),
        Stage::TestTrafficShift if green.tested => return enter(plan, Stage::PostTestTrafficShift),
        Stage::TestTrafficShift if side.is_ready(green) => {
            plan.decisions.push(Decision::ShiftTestTraffic { to: green.id.clone() });
        }
        Stage::ScaleUp | Stage::TestTrafficShift => {}
        Stage::ProductionTrafficShift => shift(side, shifting, green, blue, plan),
        Stage::BakeTime => {
            let ends = green.stage_since.plus(shifting.bake);
            if side.now < ends {
                plan.wake(ends);
            } else if side.is_ready(green) {
                // From here there is no way back, so it has to be whole.
                return enter(plan, Stage::CleanUp);
            }
        }
        // The green one is the last that completed by now, and all others have had their day.
        Stage::CleanUp => return clean_up(side, green, strays, plan),
        Stage::PreScaleUp
        | Stage::PostScaleUp
        | Stage::PostTestTrafficShift
        | Stage::PreProductionTrafficShift
        | Stage::PostProductionTrafficShift => {
            if is_past_hooks(shifting, green, stage, plan, side.now) {
                return enter(
                    plan,
                    match stage {
                        Stage::PreScaleUp => Stage::ScaleUp,
                        Stage::PostScaleUp => Stage::TestTrafficShift,
                        Stage::PostTestTrafficShift => Stage::PreProductionTrafficShift,
                        Stage::PreProductionTrafficShift => Stage::ProductionTrafficShift,
                        _ => Stage::BakeTime,
                    },
                );
            }
        }
    }
    Moved::default()
}

/// Gets rid of what earlier deployments left on their way: the serving one takes all traffic, once it can, and the others go.
fn reconcile(
    side: &Side,
    green: &Deployment,
    blue: Option<&Deployment>,
    strays: &[&Deployment],
    plan: &mut Plan,
) -> Moved {
    if let Some(blue) = blue {
        let (away, tested) = (strays.iter().any(|it| it.weight > 0), strays.iter().any(|it| it.tested));
        if away && !side.can_take_from(blue, strays) {
            if let Some(stray) = side.stand_in(blue, strays) {
                plan.decisions.push(Decision::StandIn { deployment: stray.id.clone() });
            }
            return Moved::default();
        }
        if away {
            plan.decisions.push(Decision::ShiftTraffic { to: blue.id.clone(), from: None, share: ALL_TRAFFIC });
        }
        if tested {
            plan.decisions.push(Decision::ShiftTestTraffic { to: blue.id.clone() });
        }
        if away || tested {
            return Moved::default();
        }
    }
    if !side.are_gone(strays) {
        return side.stop(strays, plan);
    }
    for stray in strays {
        plan.decisions.push(Decision::RemoveDeployment { deployment: stray.id.clone() });
    }
    plan.decisions.push(Decision::EnterStage { deployment: green.id.clone(), stage: Stage::PreScaleUp });
    Moved::default()
}

/// Shifts the next part of the production traffic, and looks at it for a while.
fn shift(side: &Side, shifting: &Shifting, green: &Deployment, blue: Option<&Deployment>, plan: &mut Plan) {
    let Some(at) = green.shifted_at else {
        if side.is_ready(green) {
            // With nobody to keep the rest, there is no rest.
            let share = blue.map_or(ALL_TRAFFIC, |_| shifting.steps.after(green.weight));
            let from = blue.map(|blue| blue.id.clone());
            plan.decisions.push(Decision::ShiftTraffic { to: green.id.clone(), from, share });
        }
        return;
    };
    let ends = at.plus(shifting.steps.bake_at(green.weight));
    if side.now < ends {
        plan.wake(ends);
        return;
    }
    let all = green.weight >= ALL_TRAFFIC;
    let stage = if all { Stage::PostProductionTrafficShift } else { Stage::PreProductionTrafficShift };
    plan.decisions.push(Decision::EnterStage { deployment: green.id.clone(), stage });
}

/// The blue side goes, as long as the green one serves.
fn clean_up(side: &Side, green: &Deployment, blue: &[&Deployment], plan: &mut Plan) -> Moved {
    if !side.are_gone(blue) {
        let serves = side.fleet(green).healthy.len() >= side.service.minimum() as usize;
        return if serves { side.stop(blue, plan) } else { Moved::default() };
    }
    if side.is_ready(green) {
        for blue in blue {
            plan.decisions.push(Decision::RemoveDeployment { deployment: blue.id.clone() });
        }
        plan.decisions.push(Decision::CompleteDeployment { deployment: green.id.clone() });
    }
    Moved::default()
}

/// Goes back: the traffic at once, then the failed side goes.
fn go_back(side: &Side, home: &Deployment, others: &[&Deployment], plan: &mut Plan) -> Moved {
    let traffic_is_away = others.iter().any(|other| other.weight > 0 || other.tested);
    // What was stopped before it failed is as good as what comes, unless hardly anything of that is left.
    let moved = side.keep(home, plan);
    if traffic_is_away {
        if side.can_take_from(home, others) {
            let to = home.id.clone();
            plan.decisions.push(Decision::ShiftTraffic { to: to.clone(), from: None, share: ALL_TRAFFIC });
            plan.decisions.push(Decision::ShiftTestTraffic { to });
        }
        return moved;
    }
    if !side.is_ready(home) || home.rollout != RolloutState::InProgress {
        return moved;
    }
    if !side.are_gone(others) {
        if home.stage != Some(Stage::CleanUp) {
            plan.decisions.push(Decision::EnterStage { deployment: home.id.clone(), stage: Stage::CleanUp });
        }
        return moved.and(side.stop(others, plan));
    }
    for other in others {
        plan.decisions.push(Decision::RemoveDeployment { deployment: other.id.clone() });
    }
    plan.decisions.push(Decision::CompleteDeployment { deployment: home.id.clone() });
    moved
}

/// Whether all hooks of the stage have let the deployment pass. Those that have not been reached begin to wait.
fn is_past_hooks(shifting: &Shifting, green: &Deployment, stage: Stage, plan: &mut Plan, now: Timestamp) -> bool {
    let mut past = true;
    for (index, hook) in shifting.hooks.iter().enumerate().filter(|(_, hook)| hook.stages.contains(&stage)) {
        let Some(pause) = green.pauses.iter().find(|pause| pause.hook == index) else {
            let expires_at = now.plus(hook.timeout);
            plan.decisions.push(Decision::BeginPause {
                deployment: green.id.clone(),
                stage,
                hook: index,
                expires_at,
                on_timeout: hook.on_timeout,
            });
            plan.wake(expires_at);
            past = false;
            continue;
        };
        if pause.status == PauseStatus::Awaiting {
            if now >= pause.expires_at && pause.on_timeout == HookAction::Continue {
                plan.decisions.push(Decision::EndPause { deployment: green.id.clone(), pause: pause.id.clone() });
            } else {
                plan.wake(pause.expires_at);
                past = false;
            }
        }
    }
    past
}
