//! A toy world that carries plans out: tasks come up, get healthy, crash and fail checks as a seeded die says. The
//! scheduler's contract is checked around every plan.

#![allow(dead_code, reason = "each test file uses a part")]

use rollout::{
    ALL_TRAFFIC, Decision, Deployment, DeploymentStatus, DesiredStatus, Event, FailCause, Marks, Pause, PauseStatus,
    Placement, RolloutState, ServiceState, Stage, StopReason, Strategy, TargetHealth, Task, TaskStatus, Timing,
    Verdict, decide, health,
};
use std::collections::BTreeMap;
use std::time::Duration;
use types::{Pace, Timestamp};

pub(crate) struct World {
    pub(crate) service: ServiceState,
    pub(crate) now: Timestamp,
    pub(crate) serial: u64,
    deploys: u64,
    pub(crate) announced: Vec<Event>,
    pub(crate) completed: Vec<String>,
    /// Why deployments failed.
    pub(crate) failures: Vec<FailCause>,
    /// Every share of production traffic that was given, and to whom.
    pub(crate) shifts: Vec<(String, u16)>,
    /// The stages that were entered, in order.
    pub(crate) stages: Vec<(String, Stage)>,
    /// Deployments whose tasks never come up.
    pub(crate) broken: Vec<String>,
    balanced: bool,
}

impl World {
    pub(crate) fn new(desired: u32, minimum: u32, maximum: u32, balanced: bool) -> Self {
        Self {
            service: ServiceState {
                strategy: Strategy::Rolling { bake: Duration::ZERO },
                desired,
                minimum_healthy_percent: minimum,
                maximum_percent: maximum,
                grace_period: Duration::ZERO,
                circuit_breaker: None,
                alarms: None,
                places: BTreeMap::from([("d0".to_owned(), places())]),
                rebalance: false,
                deployments: vec![Deployment::new("d0")],
                last_completed: None,
                tasks: vec![],
                steady_since: None,
                stuck_since: None,
                uneven_since: None,
                protected_since: None,
                timing: Timing::at(Pace::REAL),
            },
            now: Timestamp(1_000_000),
            serial: 0,
            deploys: 0,
            announced: vec![],
            completed: vec![],
            failures: vec![],
            shifts: vec![],
            stages: vec![],
            broken: vec![],
            balanced,
        }
    }

    pub(crate) fn deploy(&mut self) -> String {
        self.deploys += 1;
        let id = format!("d{}", self.deploys);
        let serving = rollout::serving(&self.service.deployments, self.service.last_completed.as_deref(), "");
        let alternate = serving.is_some_and(|serving| serving.alternate);
        let shifting = matches!(self.service.strategy, Strategy::Shifting(_));
        for old in &mut self.service.deployments {
            old.status = DeploymentStatus::Active;
        }
        let new = Deployment { alternate: alternate != shifting, ..Deployment::new(&id) };
        self.service.deployments.insert(0, new);
        self.service.places.insert(id.clone(), places());
        id
    }

    pub(crate) fn find(&self, id: &str) -> Option<&Deployment> {
        self.service.deployments.iter().find(|deployment| deployment.id == id)
    }

    /// Its live tasks, and how many of them are healthy.
    pub(crate) fn tasks_of(&self, id: &str) -> (usize, usize) {
        let own = self.service.tasks.iter().filter(|task| task.is_live() && task.deployment == id);
        let healthy =
            own.clone().filter(|task| health::verdict(&self.service, task, self.now) == Verdict::Healthy).count();
        (own.count(), healthy)
    }

    /// Rounds and life until `done`.
    pub(crate) fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        for _ in 0..3000 {
            if done(self) {
                return;
            }
            self.round();
            self.live_on(|| 9);
        }
        panic!("it never came to this: {what}; {:#?}", self.service.deployments);
    }

    pub(crate) fn healthy(&self) -> usize {
        self.service
            .tasks
            .iter()
            .filter(|task| health::verdict(&self.service, task, self.now) == Verdict::Healthy)
            .count()
    }

    pub(crate) fn live(&self) -> usize {
        self.service.tasks.iter().filter(|task| task.is_live()).count()
    }

    pub(crate) fn failed(&self) -> bool {
        self.service.primary().is_some_and(|primary| primary.rollout == RolloutState::Failed)
    }

    /// One round of the controller; the number of decisions carried out.
    pub(crate) fn round(&mut self) -> usize {
        let plan = decide(&self.service, self.now);
        let before = self.service.clone();
        self.check_starts(&plan.decisions);
        if self.failed() && !matches!(self.service.strategy, Strategy::Shifting(_)) {
            let starts = plan.decisions.iter().filter(|d| matches!(d, Decision::StartTask { .. })).count();
            let stops = plan.decisions.iter().filter(|d| matches!(d, Decision::StopTask { .. })).count();
            let surplus = self.live().saturating_sub(self.service.desired as usize);
            assert_eq!(starts, 0, "a failed deployment starts nothing");
            assert!(stops <= surplus, "{stops} stops with a failed deployment, where {surplus} are too many");
        }
        for decision in &plan.decisions {
            self.apply(decision);
        }
        self.check_stops(&before);
        plan.decisions.len()
    }

    /// Nothing is started above the maximum. Where traffic is shifted, each side has one of its own.
    fn check_starts(&self, decisions: &[Decision]) {
        let starts = |of: Option<&str>| {
            let of_it = |d: &&Decision| matches!(d, Decision::StartTask { deployment, .. } if of.is_none_or(|id| id == deployment));
            decisions.iter().filter(of_it).count()
        };
        if matches!(self.service.strategy, Strategy::Rolling { .. }) {
            let starts = starts(None);
            let most = self.service.maximum() as usize;
            assert!(starts == 0 || self.live() + starts <= most, "starts above the maximum");
            return;
        }
        for deployment in &self.service.deployments {
            let (starts, live) = (starts(Some(&deployment.id)), self.tasks_of(&deployment.id).0);
            let wanted = deployment.share_of(self.service.desired) * self.service.maximum_percent / 100;
            assert!(starts == 0 || live + starts <= wanted as usize, "starts above the maximum of {}", deployment.id);
        }
    }

    /// Nothing serves less than the minimum because of us.
    fn check_stops(&self, before: &ServiceState) {
        let healthy = |service: &ServiceState, of: Option<&str>| {
            let own = service.tasks.iter().filter(|task| of.is_none_or(|id| task.deployment == id));
            own.filter(|task| health::verdict(service, task, self.now) == Verdict::Healthy).count()
        };
        let minimum = self.service.minimum() as usize;
        match &self.service.strategy {
            Strategy::External => {}
            Strategy::Rolling { .. } => {
                let (was, is) = (healthy(before, None), healthy(&self.service, None));
                assert!(
                    was <= is || is >= minimum,
                    "stopped below the minimum: {was} before, {is} after, of {minimum}"
                );
                let primary = self.service.primary().map_or("", |primary| &primary.id);
                let serving = |service: &ServiceState| {
                    let serves = |task: &&Task| match health::verdict(service, task, self.now) {
                        Verdict::Healthy => true,
                        Verdict::Starting(_) | Verdict::Excused(_) => {
                            task.last == TaskStatus::Running && task.deployment != primary
                        }
                        Verdict::Unhealthy(_) | Verdict::Gone => false,
                    };
                    service.tasks.iter().filter(serves).count()
                };
                let (was, is) = (serving(before), serving(&self.service));
                assert!(
                    was <= is || is >= minimum,
                    "running ones were given up: {was} before, {is} after, of {minimum}"
                );
            }
            Strategy::Shifting(_) => {
                let served = before.deployments.iter().filter(|deployment| deployment.weight > 0);
                for side in served.filter(|side| self.find(&side.id).is_some_and(|side| side.weight > 0)) {
                    let (was, is) = (healthy(before, Some(&side.id)), healthy(&self.service, Some(&side.id)));
                    // An unfinished one that is replaced by the next never was what serves.
                    let home = self.service.last_completed.as_ref() == Some(&side.id)
                        || side.id == before.primary().map_or("", |p| &p.id);
                    assert!(
                        was <= is || is >= minimum || !home,
                        "{} has traffic and was stopped below the minimum: {was} before, {is} after",
                        side.id
                    );
                }
            }
        }
    }

    pub(crate) fn deployment(&mut self, id: &str) -> &mut Deployment {
        self.service.deployments.iter_mut().find(|d| d.id == id).expect("a decision names a deployment that exists")
    }

    pub(crate) fn task(&mut self, id: &str) -> &mut Task {
        self.service.tasks.iter_mut().find(|task| task.id == id).expect("a decision names a task that exists")
    }

    pub(crate) fn apply(&mut self, decision: &Decision) {
        let (now, timing) = (self.now, self.service.timing);
        match decision {
            Decision::MarkHealthy { task } => {
                let task = self.task(task);
                assert!(!task.marks.was_healthy, "booked as healthy twice");
                task.marks.was_healthy = true;
                let id = task.deployment.clone();
                self.deployment(&id).count_success(true);
            }
            Decision::MarkUnhealthy { task, failure, .. } => {
                let task = self.task(task);
                task.marks.was_unhealthy = true;
                let id = task.deployment.clone();
                if *failure {
                    self.deployment(&id).count_failure(true, &timing, now);
                }
            }
            Decision::MarkEnded { task, failure } => {
                let task = self.task(task);
                assert!(!task.marks.end_seen, "an end was booked twice");
                task.marks.end_seen = true;
                let (id, ran) = (task.deployment.clone(), task.running_since.is_some());
                if *failure {
                    self.deployment(&id).count_failure(ran, &timing, now);
                }
            }
            Decision::StartTask { deployment, placement, .. } => {
                self.serial += 1;
                let targets = if self.balanced { vec![TargetHealth::Initial] } else { vec![] };
                self.service.tasks.push(Task {
                    id: format!("t{}", self.serial),
                    deployment: deployment.clone(),
                    placement: placement.clone(),
                    last: TaskStatus::Provisioning,
                    desired: DesiredStatus::Running,
                    created_at: now,
                    running_since: None,
                    containers: None,
                    targets,
                    ended_by_itself: false,
                    protected_until: None,
                    marks: Marks::default(),
                });
            }
            Decision::StopTask { task, reason } => {
                let task = self.task(task);
                let protected = task.protected_until.is_some_and(|until| now < until);
                assert!(!protected || matches!(reason, StopReason::Unhealthy(_)), "a protected task was stopped");
                task.desired = DesiredStatus::Stopped;
            }
            Decision::WatchAlarms { deployment, watch } => self.deployment(deployment).watches_alarms = Some(*watch),
            Decision::BeginBake { deployment } => self.deployment(deployment).settled_since = Some(now),
            Decision::EnterStage { deployment, stage } => {
                self.deployment(deployment).enter(*stage, now);
                self.stages.push((deployment.clone(), *stage));
                if *stage == Stage::CleanUp {
                    self.service.last_completed = Some(deployment.clone());
                }
            }
            Decision::BeginPause { deployment, stage, hook, expires_at, on_timeout } => {
                let id = format!("ecs-pause-{hook}");
                let (stage, hook, expires_at, on_timeout) = (*stage, *hook, *expires_at, *on_timeout);
                let pause = Pause { id, hook, stage, expires_at, on_timeout, status: PauseStatus::Awaiting };
                self.deployment(deployment).pauses.push(pause);
            }
            Decision::EndPause { deployment, pause } => {
                let pauses = &mut self.deployment(deployment).pauses;
                pauses.iter_mut().filter(|open| open.id == *pause).for_each(|p| p.status = PauseStatus::TimedOut);
            }
            Decision::ShiftTraffic { to, from, share } => {
                let ready = self.tasks_of(to).1 >= self.service.desired as usize;
                // What serves gets back what was shifted away from it, as it is.
                let serves = self.service.serving().is_some_and(|serving| serving.id == *to);
                let back = serves || self.find(to).is_some_and(|to| to.goes_back);
                let shifts = matches!(self.service.strategy, Strategy::Shifting(_));
                assert!(ready || back || !shifts, "traffic goes to {to}, which is not all healthy");
                for deployment in &mut self.service.deployments {
                    deployment.weight = match &deployment.id {
                        id if id == to => *share,
                        id if Some(id) == from.as_ref() => ALL_TRAFFIC - share,
                        _ => 0,
                    };
                }
                self.deployment(to).shifted_at = Some(now);
                self.shifts.push((to.clone(), *share));
            }
            Decision::StandIn { deployment } => {
                let beside = self.deployment(deployment).alternate;
                let primary = self.service.primary().map(|primary| primary.id.clone()).expect("there is one");
                assert_eq!(self.tasks_of(&primary).0, 0, "its tasks would be in the wrong target groups");
                self.deployment(&primary).alternate = !beside;
                self.service.last_completed = Some(deployment.clone());
            }
            Decision::ShiftTestTraffic { to } => {
                self.service.deployments.iter_mut().for_each(|deployment| deployment.tested = deployment.id == *to);
            }
            Decision::CompleteDeployment { deployment } => {
                self.deployment(deployment).rollout = RolloutState::Completed;
                self.service.last_completed = Some(deployment.clone());
                self.completed.push(deployment.clone());
            }
            Decision::FailDeployment { deployment, cause, .. } => {
                self.deployment(deployment).rollout = RolloutState::Failed;
                self.failures.push(cause.clone());
            }
            Decision::RollBack { from, to } => {
                self.deployment(from).status = DeploymentStatus::Active;
                let target = self.deployment(to);
                *target = target.again(now);
            }
            Decision::RemoveDeployment { deployment } => {
                assert!(
                    !self.service.tasks.iter().any(|t| t.deployment == *deployment && t.is_live()),
                    "removed with live tasks"
                );
                self.service.deployments.retain(|d| d.id != *deployment);
            }
            Decision::Unsteady => self.service.steady_since = None,
            Decision::Unstuck => self.service.stuck_since = None,
            Decision::Unprotected => self.service.protected_since = None,
            Decision::Evened => self.service.uneven_since = None,
            Decision::Announce(event) => {
                self.announced.push(event.clone());
                match event {
                    Event::Steady => self.service.steady_since = Some(now),
                    Event::Stuck => self.service.stuck_since = Some(now),
                    Event::Protected { .. } => self.service.protected_since = Some(now),
                    Event::Uneven(_) => self.service.uneven_since = Some(now),
                    Event::Even(_) => self.service.uneven_since = None,
                }
            }
        }
    }

    /// Every task takes a step; `die` decides about those that may fail.
    pub(crate) fn live_on(&mut self, mut die: impl FnMut() -> u8) {
        self.now = self.now.plus(Duration::from_secs(10));
        for task in &mut self.service.tasks {
            let wanted = task.desired == DesiredStatus::Running;
            if !wanted && task.last < TaskStatus::Deactivating {
                task.last = task.last.stop_from();
                continue;
            }
            task.last = match task.last {
                TaskStatus::Provisioning => TaskStatus::Pending,
                TaskStatus::Pending if self.broken.contains(&task.deployment) || die() == 0 => {
                    task.desired = DesiredStatus::Stopped;
                    task.ended_by_itself = true;
                    TaskStatus::Stopped
                }
                TaskStatus::Pending => TaskStatus::Activating,
                TaskStatus::Activating => {
                    task.running_since = Some(self.now);
                    TaskStatus::Running
                }
                TaskStatus::Running => {
                    match die() {
                        1 => {
                            task.desired = DesiredStatus::Stopped;
                            task.ended_by_itself = true;
                        }
                        2 => task.targets.iter_mut().for_each(|t| *t = TargetHealth::Unhealthy("x".to_owned())),
                        _ => task.targets.iter_mut().for_each(|t| *t = TargetHealth::Healthy),
                    }
                    if task.ended_by_itself { TaskStatus::Deactivating } else { TaskStatus::Running }
                }
                TaskStatus::Deactivating => TaskStatus::Stopping,
                TaskStatus::Stopping => TaskStatus::Deprovisioning,
                TaskStatus::Deprovisioning | TaskStatus::Stopped => TaskStatus::Stopped,
            };
        }
        self.service.tasks.retain(|task| task.last != TaskStatus::Stopped || !task.marks.end_seen);
    }

    pub(crate) fn settle(&mut self) {
        for _ in 0..600 {
            self.round();
            self.live_on(|| 9);
        }
    }
}

/// Two subnets in two zones.
fn places() -> Vec<Placement> {
    let place = |n: u32, zone: &str| Placement { subnet: format!("subnet-{n}"), zone: format!("us-east-1{zone}") };
    vec![place(0, "a"), place(1, "b")]
}
