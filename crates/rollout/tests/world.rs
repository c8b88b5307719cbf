//! A toy world that carries plans out: tasks come up, get healthy, crash and fail checks as a seeded die says. The
//! scheduler's contract is checked around every plan.

#![allow(missing_docs)]

use proptest::prelude::*;
use rollout::{
    CircuitBreaker, Decision, Deployment, DeploymentStatus, DesiredStatus, Event, Marks, Placement, RolloutState,
    ServiceState, TargetHealth, Task, TaskStatus, Threshold, Timing, Verdict, decide, health,
};
use std::time::Duration;
use types::{Pace, Timestamp};

struct World {
    service: ServiceState,
    now: Timestamp,
    serial: u64,
    deploys: u64,
    announced: Vec<Event>,
    completed: Vec<String>,
    /// Deployments whose tasks never come up.
    broken: Vec<String>,
    balanced: bool,
}

impl World {
    fn new(desired: u32, minimum: u32, maximum: u32, balanced: bool) -> Self {
        let place = |n: u32| Placement {
            subnet: format!("subnet-{n}"),
            zone: format!("us-east-1{}", ['a', 'b'][n as usize % 2]),
        };
        Self {
            service: ServiceState {
                desired,
                minimum_healthy_percent: minimum,
                maximum_percent: maximum,
                grace_period: Duration::ZERO,
                circuit_breaker: None,
                places: vec![place(0), place(1)],
                deployments: vec![Deployment::new("d0")],
                last_completed: None,
                tasks: vec![],
                steady_since: None,
                stuck_since: None,
                timing: Timing::at(Pace::REAL),
            },
            now: Timestamp(1_000_000),
            serial: 0,
            deploys: 0,
            announced: vec![],
            completed: vec![],
            broken: vec![],
            balanced,
        }
    }

    fn deploy(&mut self) -> String {
        self.deploys += 1;
        let id = format!("d{}", self.deploys);
        for old in &mut self.service.deployments {
            old.status = DeploymentStatus::Active;
        }
        self.service.deployments.insert(0, Deployment::new(&id));
        id
    }

    fn healthy(&self) -> usize {
        self.service
            .tasks
            .iter()
            .filter(|task| health::verdict(&self.service, task, self.now) == Verdict::Healthy)
            .count()
    }

    fn live(&self) -> usize {
        self.service.tasks.iter().filter(|task| task.is_live()).count()
    }

    fn failed(&self) -> bool {
        self.service.primary().is_some_and(|primary| primary.rollout == RolloutState::Failed)
    }

    /// One round of the controller; the number of decisions carried out.
    fn round(&mut self) -> usize {
        let plan = decide(&self.service, self.now);
        let (healthy, live) = (self.healthy(), self.live());
        let starts = plan.decisions.iter().filter(|d| matches!(d, Decision::StartTask { .. })).count();
        assert!(starts == 0 || live + starts <= self.service.maximum() as usize, "starts above the maximum");
        if self.failed() {
            let stops = plan.decisions.iter().filter(|d| matches!(d, Decision::StopTask { .. })).count();
            let surplus = live.saturating_sub(self.service.desired as usize);
            assert_eq!(starts, 0, "a failed deployment starts nothing");
            assert!(stops <= surplus, "{stops} stops with a failed deployment, where {surplus} are too many");
        }
        for decision in &plan.decisions {
            self.apply(decision);
        }
        let stopped_healthy = healthy.saturating_sub(self.healthy());
        assert!(
            stopped_healthy == 0 || self.healthy() >= self.service.minimum() as usize,
            "stopped below the minimum: {healthy} healthy before, {} after, minimum {}",
            self.healthy(),
            self.service.minimum()
        );
        plan.decisions.len()
    }

    fn deployment(&mut self, id: &str) -> &mut Deployment {
        self.service.deployments.iter_mut().find(|d| d.id == id).expect("a decision names a deployment that exists")
    }

    fn task(&mut self, id: &str) -> &mut Task {
        self.service.tasks.iter_mut().find(|task| task.id == id).expect("a decision names a task that exists")
    }

    fn apply(&mut self, decision: &Decision) {
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
                    marks: Marks::default(),
                });
            }
            Decision::StopTask { task, .. } => self.task(task).desired = DesiredStatus::Stopped,
            Decision::CompleteDeployment { deployment } => {
                self.deployment(deployment).rollout = RolloutState::Completed;
                self.service.last_completed = Some(deployment.clone());
                self.completed.push(deployment.clone());
            }
            Decision::FailDeployment { deployment } => self.deployment(deployment).rollout = RolloutState::Failed,
            Decision::RollBack { from, to } => {
                self.deployment(from).status = DeploymentStatus::Active;
                let target = self.deployment(to);
                (target.status, target.rollout, target.failed_tasks) =
                    (DeploymentStatus::Primary, RolloutState::InProgress, 0);
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
            Decision::Announce(event) => {
                self.announced.push(*event);
                match event {
                    Event::Steady => self.service.steady_since = Some(now),
                    Event::Stuck => self.service.stuck_since = Some(now),
                }
            }
        }
    }

    /// Every task takes a step; `die` decides about those that may fail.
    fn live_on(&mut self, mut die: impl FnMut() -> u8) {
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

    fn settle(&mut self) {
        for _ in 0..600 {
            self.round();
            self.live_on(|| 9);
        }
    }
}

#[test]
fn a_new_service_gets_steady_and_stays_silent() {
    let mut world = World::new(3, 100, 200, true);
    world.settle();
    assert_eq!((world.live(), world.healthy()), (3, 3));
    assert_eq!(world.completed, ["d0"]);
    assert_eq!(world.announced, [Event::Steady], "600 rounds of 10 s are less than the 6 h after which it repeats");
    assert_eq!(world.round(), 0, "a steady service has nothing to do");
    let zones = world.service.tasks.iter().filter(|task| task.placement.zone == "us-east-1a").count();
    assert!((1..=2).contains(&zones), "three tasks over two zones");
}

#[test]
fn without_checks_a_task_counts_after_forty_seconds() {
    let mut world = World::new(1, 100, 200, false);
    while world.service.tasks.first().is_none_or(|task| task.running_since.is_none()) {
        world.round();
        world.live_on(|| 9);
    }
    let since = world.service.tasks[0].running_since.expect("it runs");
    world.now = since.plus(Duration::from_millis(39_999));
    assert_eq!(decide(&world.service, world.now).wake_at, Some(since.plus(Duration::from_secs(40))));
    assert!(world.completed.is_empty());
    world.now = since.plus(Duration::from_secs(40));
    world.round();
    assert_eq!(world.completed, ["d0"]);
}

#[test]
fn the_breaker_trips_at_its_threshold_and_goes_back() {
    let mut world = World::new(4, 100, 200, true);
    let threshold = Threshold::default();
    world.service.circuit_breaker = Some(CircuitBreaker { rollback: true, threshold, reset_on_healthy_task: true });
    world.settle();
    let bad = world.deploy();
    world.broken.push(bad.clone());
    let mut most = 0;
    for _ in 0..200 {
        world.round();
        most = most.max(world.service.deployments.iter().find(|d| d.id == bad).map_or(0, |d| d.failed_tasks));
        assert!(world.healthy() >= 4, "the old tasks serve all the while");
        world.live_on(|| 9);
    }
    assert_eq!(most, 4, "four tasks were started at once, and all four failed at once");
    assert_eq!(world.completed, ["d0", "d0"], "the rollback completes the old deployment again");
    assert_eq!(world.service.deployments.len(), 1);
    assert_eq!((world.live(), world.healthy()), (4, 4));
}

#[test]
fn without_a_target_the_failed_deployment_stays_and_starts_nothing() {
    let mut world = World::new(2, 100, 200, true);
    let threshold = Threshold::default();
    world.service.circuit_breaker = Some(CircuitBreaker { rollback: true, threshold, reset_on_healthy_task: true });
    world.broken.push("d0".to_owned());
    world.settle();
    assert_eq!(world.service.deployments[0].rollout, RolloutState::Failed);
    assert_eq!(world.live(), 0);
    assert!(world.serial <= 4, "{} starts for a threshold of 3", world.serial);
}

#[test]
fn a_failed_deployment_still_scales_in() {
    let mut world = World::new(5, 100, 120, true);
    world.service.circuit_breaker =
        Some(CircuitBreaker { rollback: false, threshold: Threshold::default(), reset_on_healthy_task: true });
    world.settle();
    let bad = world.deploy();
    world.broken.push(bad);
    world.settle();
    assert!(world.failed());
    assert_eq!((world.live(), world.healthy()), (5, 5), "the old tasks serve on");
    for (desired, kept) in [(1, 1), (3, 1), (0, 0)] {
        world.service.desired = desired;
        world.settle();
        assert_eq!((world.live(), world.healthy()), (kept, kept), "{desired} wanted of a failed deployment");
        assert_eq!(world.round(), 0, "it rests");
    }
    world.service.desired = 2;
    world.deploy();
    world.settle();
    assert_eq!((world.live(), world.healthy(), world.service.deployments.len()), (2, 2, 1));
}

#[test]
fn the_last_failure_may_be_booked_when_all_is_calm() {
    let mut world = World::new(5, 29, 200, true);
    world.service.circuit_breaker =
        Some(CircuitBreaker { rollback: false, threshold: Threshold::default(), reset_on_healthy_task: true });
    world.settle();
    let bad = world.deploy();
    // Two failures of the three that trip the breaker are booked. The third task has ended, but nobody has looked yet.
    world.deployment(&bad).failed_tasks = 2;
    let mut ended = world.service.tasks[0].clone();
    (ended.id, ended.deployment, ended.marks) = ("ended".to_owned(), bad, Marks::default());
    (ended.last, ended.desired, ended.ended_by_itself) = (TaskStatus::Deactivating, DesiredStatus::Stopped, true);
    world.service.tasks.push(ended);
    world.service.desired = 1;
    assert!(!world.failed());
    world.round();
    assert!(world.failed(), "the round that books the third failure trips the breaker");
    world.settle();
    assert_eq!((world.live(), world.healthy()), (1, 1), "of five old tasks the service wants one");
    world.deploy();
    world.settle();
    assert_eq!((world.live(), world.healthy(), world.service.deployments.len()), (1, 1, 1));
}

#[test]
fn with_a_failed_deployment_its_own_tasks_go_before_the_old_ones() {
    let mut world = World::new(4, 50, 100, true);
    world.settle();
    let new = world.deploy();
    let of_new = |world: &World| world.service.tasks.iter().filter(|t| t.is_live() && t.deployment == new).count();
    while of_new(&world) < 2 {
        world.round();
        world.live_on(|| 9);
    }
    world.deployment(&new).rollout = RolloutState::Failed;
    world.settle();
    assert_eq!((world.healthy(), of_new(&world)), (4, 2), "what is wanted stays as it is");
    world.service.desired = 3;
    world.settle();
    assert_eq!((world.healthy(), of_new(&world)), (3, 1));
}

#[test]
fn starts_that_fail_are_throttled() {
    let mut world = World::new(1, 100, 200, true);
    world.broken.push("d0".to_owned());
    world.settle(); // 6000 s
    assert!((9..=16).contains(&world.serial), "{} starts; 10, 20, 40 … 900 s apart", world.serial);
}

#[test]
fn stuck_configurations_are_announced_once() {
    for (desired, minimum, maximum) in [(3, 100, 125), (2, 75, 100)] {
        let mut world = World::new(desired, minimum, maximum, true);
        world.settle();
        world.deploy();
        for _ in 0..100 {
            world.round();
            world.live_on(|| 9);
        }
        let stuck = world.announced.iter().filter(|event| **event == Event::Stuck).count();
        assert_eq!((stuck, world.completed.len()), (1, 1), "{desired} tasks, {minimum}..{maximum} %");
    }
}

#[test]
fn an_unhealthy_task_is_replaced_before_it_is_stopped() {
    let mut world = World::new(2, 100, 200, true);
    world.settle();
    world.service.tasks[0].targets = vec![TargetHealth::Unhealthy("Request timed out".to_owned())];
    let sick = world.service.tasks[0].id.clone();
    let plan = decide(&world.service, world.now);
    assert!(plan.decisions.iter().any(|d| matches!(d, Decision::StartTask { replaces_unhealthy: true, .. })));
    assert!(!plan.decisions.iter().any(|d| matches!(d, Decision::StopTask { .. })), "start first");
    for _ in 0..20 {
        world.round();
        let keep = sick.clone();
        world.live_on(|| 9);
        if let Some(task) = world.service.tasks.iter_mut().find(|task| task.id == keep && task.is_live()) {
            task.targets = vec![TargetHealth::Unhealthy("Request timed out".to_owned())];
        }
    }
    assert_eq!((world.live(), world.healthy()), (2, 2));
    assert!(!world.service.tasks.iter().any(|task| task.id == sick && task.is_live()));
}

#[test]
fn scaling_in_keeps_the_zones_even() {
    let mut world = World::new(6, 100, 200, true);
    world.settle();
    world.service.desired = 2;
    world.settle();
    let zones: std::collections::BTreeSet<_> =
        world.service.tasks.iter().map(|task| task.placement.zone.clone()).collect();
    assert_eq!((world.live(), zones.len()), (2, 2));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_weather_ends_in_calm(
        desired in 0u32..12,
        minimum in 0u32..=100,
        maximum in 100u32..=200,
        balanced: bool,
        breaker: Option<bool>,
        dice in prop::collection::vec(0u8..20, 1..400),
        steps in prop::collection::vec(0u8..12, 10..120),
    ) {
        let mut world = World::new(desired, minimum, maximum, balanced);
        world.service.circuit_breaker = breaker.map(|rollback| CircuitBreaker {
            rollback, threshold: Threshold::default(), reset_on_healthy_task: true,
        });
        let mut dice = dice.into_iter().cycle();
        for step in steps {
            match step {
                0 => { world.deploy(); }
                1 => world.service.desired = u32::from(dice.next().unwrap_or(3)) / 2,
                _ => {}
            }
            for _ in 0..3 { world.round(); }
            world.live_on(|| dice.next().unwrap_or(9));
        }
        // Calm: nothing fails any more. What failed last is booked in this round, and may be what trips the breaker.
        world.round();
        // Without room for one more task than the minimum it is legitimately stuck until the user makes some.
        if world.service.desired > 0 && world.service.maximum() <= world.service.minimum() {
            world.service.maximum_percent = 200;
        }
        let desired = world.service.desired as usize;
        // A failed deployment rests until the user deploys anew.
        if world.failed() {
            world.settle();
            prop_assert!(world.failed(), "only a new deployment ends it");
            prop_assert!(world.live() <= desired, "{} tasks where {} are wanted", world.live(), desired);
            prop_assert_eq!(world.round(), 0, "a failed deployment has nothing to do");
            world.deploy();
        }
        world.settle();
        prop_assert_eq!((world.live(), world.healthy()), (desired, desired));
        prop_assert_eq!(world.service.deployments.len(), 1);
        prop_assert_eq!(world.round(), 0, "a settled service has nothing to do");
    }
}
