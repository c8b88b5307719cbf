//! The rolling strategy: stories, and any weather.

#![allow(missing_docs)]

mod world;

use proptest::prelude::*;
use rollout::{
    AlarmWatch, CircuitBreaker, Decision, DesiredStatus, Event, FailCause, Marks, RolloutState, StopRequest, Strategy,
    TargetHealth, TaskStatus, Threshold, decide,
};
use std::time::Duration;
use world::World;

#[test]
fn scaling_in_takes_what_does_not_run_before_what_has_just_come_up() {
    for minimum in [0, 50, 100] {
        let mut world = World::new(4, minimum, 200, false);
        world.round();
        // Those of one zone come up, later ones than those of the other, which hang.
        let up: Vec<String> =
            world.service.tasks.iter().filter(|it| it.placement.zone.ends_with('a')).map(|it| it.id.clone()).collect();
        assert_eq!(up.len(), 2);
        let later = world.now.plus(Duration::from_secs(1));
        for id in &up {
            let task = world.task(id);
            (task.last, task.running_since, task.created_at) = (TaskStatus::Running, Some(later), later);
        }
        world.now = later;
        world.service.desired = 2;
        world.round();
        let left: Vec<&String> = world.service.tasks.iter().filter(|it| it.is_live()).map(|it| &it.id).collect();
        assert_eq!(left, up.iter().collect::<Vec<_>>(), "at a minimum of {minimum} %");
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
fn what_runs_stays_until_its_replacements_are_healthy() {
    for (maximum, most) in [(200, 4), (150, 3)] {
        let mut world = World::new(2, 100, maximum, false);
        world.service.circuit_breaker =
            Some(CircuitBreaker { rollback: true, threshold: Threshold::default(), reset_on_healthy_task: true });
        let running =
            |world: &World| world.service.tasks.iter().filter(|t| t.is_live() && t.running_since.is_some()).count();
        world.until("both run", |world| running(world) == 2);
        assert_eq!(world.healthy(), 0, "forty seconds have not passed");
        let bad = world.deploy();
        world.broken.push(bad);
        for _ in 0..40 {
            world.round();
            assert_eq!(running(&world), 2, "a revision that cannot start costs none of the tasks that run");
            assert!(world.live() <= most);
            world.live_on(|| 9);
        }
        assert!(world.failed(), "there is nothing to go back to");
        world.deploy();
        world.settle();
        assert_eq!((world.live(), world.healthy(), world.service.deployments.len()), (2, 2, 1));
    }
}

#[test]
fn what_does_not_run_yet_goes_at_once() {
    let mut world = World::new(3, 100, 200, false);
    world.round();
    let new = world.deploy();
    world.round();
    assert_eq!((world.live(), world.tasks_of(&new).0), (3, 3));
}

#[test]
fn sick_ones_make_room_one_by_one() {
    let mut world = World::new(4, 50, 100, true);
    world.settle();
    let sicken = |world: &mut World| {
        let sick = |task: &&mut rollout::Task| task.deployment == "d0";
        let all = world.service.tasks.iter_mut().filter(sick);
        all.for_each(|task| task.targets = vec![TargetHealth::Unhealthy("x".to_owned())]);
    };
    sicken(&mut world);
    let new = world.deploy();
    let mut least = 4;
    for _ in 0..60 {
        sicken(&mut world);
        world.round();
        least = least.min(world.live());
        world.live_on(|| 9);
    }
    assert_eq!((world.live(), world.healthy(), world.tasks_of(&new)), (4, 4, (4, 4)));
    assert!(least >= 1, "they did not all go at once");
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

#[test]
fn a_bake_time_comes_before_the_end_and_a_broken_bake_starts_no_new_one() {
    let mut world = World::new(2, 100, 200, true);
    world.service.strategy = Strategy::Rolling { bake: Duration::from_mins(10) };
    world.until("it bakes", |world| world.find("d0").is_some_and(|d| d.settled_since.is_some()));
    let since = world.now;
    assert!(world.completed.is_empty());
    world.until("it completes", |world| !world.completed.is_empty());
    assert!(world.now.since(since) >= Duration::from_mins(10) && world.now.since(since) < Duration::from_mins(11));
}

#[test]
fn alarms_send_a_deployment_back_unless_they_rang_before() {
    for rings_before in [false, true] {
        let mut world = World::new(2, 100, 200, true);
        world.settle();
        let alarms = |names: &[&str]| {
            let alarming = names.iter().map(|name| (*name).to_owned()).collect();
            Some(AlarmWatch { rollback: true, alarming })
        };
        world.service.alarms = alarms(if rings_before { &["5xx"] } else { &[] });
        let new = world.deploy();
        world.round();
        assert_eq!(world.find(&new).and_then(|d| d.watches_alarms), Some(!rings_before));
        world.service.alarms = alarms(&["5xx"]);
        world.settle();
        if rings_before {
            assert!(world.failures.is_empty(), "an alarm that rang when it began is nobody's fault");
            assert_eq!(world.completed, ["d0".to_owned(), new]);
        } else {
            assert_eq!(world.failures, [FailCause::Alarms(vec!["5xx".to_owned()])]);
            assert_eq!(world.completed, ["d0", "d0"], "it goes back, and what it goes back to is not watched");
        }
    }
}

#[test]
fn a_stop_goes_back_or_leaves_all_as_it_is() {
    for request in [StopRequest::RollBack, StopRequest::Abort] {
        let mut world = World::new(2, 100, 200, true);
        world.settle();
        let new = world.deploy();
        world.round();
        world.deployment(&new).stop = Some(request);
        world.settle();
        assert_eq!(world.failures, [FailCause::Stopped(request)]);
        let back = request == StopRequest::RollBack;
        assert_eq!(world.completed.len(), if back { 2 } else { 1 });
        assert_eq!(world.failed(), !back);
        assert_eq!(world.healthy(), 2);
    }
}

#[test]
fn protected_tasks_stay_until_their_protection_ends() {
    let mut world = World::new(3, 100, 200, true);
    world.settle();
    let until = world.now.plus(Duration::from_mins(100));
    for task in &mut world.service.tasks[..2] {
        task.protected_until = Some(until);
    }
    world.service.desired = 1;
    for _ in 0..50 {
        world.round();
        world.live_on(|| 9);
    }
    assert_eq!(world.live(), 2, "one may go, two are protected");
    assert_eq!(world.announced.last(), Some(&Event::Protected { tasks: 2 }), "they are in the way");
    let told = world.announced.len();
    assert_eq!(decide(&world.service, world.now).wake_at, Some(until));
    world.settle();
    assert_eq!(world.live(), 1, "when the protection has ended it goes");
    assert_eq!(world.announced[told..], [Event::Steady]);
    let sick = Some(world.now.plus(Duration::from_hours(40)));
    world.service.tasks[0].protected_until = sick;
    world.service.tasks[0].targets = vec![TargetHealth::Unhealthy("x".to_owned())];
    let id = world.service.tasks[0].id.clone();
    for _ in 0..30 {
        world.round();
        world.live_on(|| 9);
        if let Some(task) = world.service.tasks.iter_mut().find(|task| task.id == id && task.is_live()) {
            task.targets = vec![TargetHealth::Unhealthy("x".to_owned())];
        }
    }
    assert!(!world.service.tasks.iter().any(|task| task.id == id && task.is_live()), "a sick one is replaced");
}

#[test]
fn uneven_zones_are_evened_out_one_by_one() {
    let mut world = World::new(6, 100, 200, true);
    world.settle();
    for task in &mut world.service.tasks {
        task.placement.zone = "us-east-1a".to_owned();
    }
    world.settle();
    let in_a = |world: &World| world.service.tasks.iter().filter(|task| task.placement.zone.ends_with('a')).count();
    assert_eq!(in_a(&world), 6, "nothing moves without being asked to");
    world.service.rebalance = true;
    let told = world.announced.len();
    for _ in 0..200 {
        world.round();
        assert!(world.live() <= 7 && world.healthy() >= 6, "one at a time, started first");
        world.live_on(|| 9);
    }
    assert_eq!((world.live(), in_a(&world)), (6, 3));
    let pair = |a: usize, b: usize| vec![("us-east-1a".to_owned(), a), ("us-east-1b".to_owned(), b)];
    assert_eq!(world.announced[told], Event::Uneven(pair(6, 0)));
    assert!(world.announced[told..].contains(&Event::Even(pair(3, 3))));
    assert_eq!(world.round(), 0);
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
        rebalance: bool,
        dice in prop::collection::vec(0u8..20, 1..400),
        steps in prop::collection::vec(0u8..12, 10..120),
    ) {
        let mut world = World::new(desired, minimum, maximum, balanced);
        world.service.circuit_breaker = breaker.map(|rollback| CircuitBreaker {
            rollback, threshold: Threshold::default(), reset_on_healthy_task: true,
        });
        world.service.rebalance = rebalance;
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
