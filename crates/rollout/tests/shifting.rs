//! Blue/green, linear and canary: stories, and any weather.

#![allow(missing_docs)]

mod world;

use proptest::prelude::*;
use rollout::{
    CircuitBreaker, DesiredStatus, FailCause, Hook, HookAction, PauseStatus, RolloutState, Shifting, Stage, Steps,
    StopRequest, Strategy, TaskStatus, Threshold,
};
use std::time::Duration;
use world::World;

const BAKE: Duration = Duration::from_mins(10);

fn world(desired: u32, steps: Steps) -> World {
    let mut world = World::new(desired, 100, 200, true);
    world.service.strategy = Strategy::Shifting(Shifting { steps, bake: BAKE, hooks: vec![], fault: None });
    world
}

fn breaker(rollback: bool) -> Option<CircuitBreaker> {
    Some(CircuitBreaker { rollback, threshold: Threshold::default(), reset_on_healthy_task: true })
}

fn shifting(world: &mut World) -> &mut Shifting {
    match &mut world.service.strategy {
        Strategy::Shifting(shifting) => shifting,
        other => panic!("{other:?}"),
    }
}

#[test]
fn green_comes_up_whole_takes_all_traffic_bakes_and_blue_goes() {
    let mut world = world(3, Steps::AtOnce);
    world.settle();
    assert_eq!(world.completed, ["d0"]);
    assert_eq!(world.shifts, [("d0".to_owned(), 1000)], "the first deployment gets the traffic, too");
    world.stages.clear();
    let green = world.deploy();
    world.until("it has the traffic", |world| world.shifts.len() == 2);
    assert_eq!((world.tasks_of("d0"), world.tasks_of(&green)), ((3, 3), (3, 3)));
    let since = world.now;
    world.until("it completes", |world| world.completed.len() == 2);
    assert!(world.now.since(since) >= BAKE, "both are there for the bake time");
    assert_eq!((world.live(), world.service.deployments.len()), (3, 1));
    let stages: Vec<Stage> = world.stages.iter().map(|(_, stage)| *stage).collect();
    assert_eq!(
        stages,
        [
            Stage::PreScaleUp,
            Stage::ScaleUp,
            Stage::PostScaleUp,
            Stage::TestTrafficShift,
            Stage::PostTestTrafficShift,
            Stage::PreProductionTrafficShift,
            Stage::ProductionTrafficShift,
            Stage::PostProductionTrafficShift,
            Stage::BakeTime,
            Stage::CleanUp
        ]
    );
    world.settle();
    assert_eq!(world.round(), 0, "a settled service has nothing to do");
}

#[test]
fn linear_and_canary_shift_in_steps_with_time_between() {
    let bake = Duration::from_mins(6);
    let cases = [
        (Steps::Linear { step: 300, bake }, vec![300, 600, 900, 1000]),
        (Steps::Canary { share: 50, bake }, vec![50, 1000]),
    ];
    for (steps, shares) in cases {
        let mut world = world(2, steps);
        world.settle();
        world.shifts.clear();
        let green = world.deploy();
        let mut at = vec![];
        while world.completed.len() < 2 {
            let seen = world.shifts.len();
            world.round();
            at.extend((seen..world.shifts.len()).map(|_| world.now));
            world.live_on(|| 9);
        }
        assert_eq!(world.shifts, shares.iter().map(|share| (green.clone(), *share)).collect::<Vec<_>>());
        assert!(at.windows(2).all(|pair| pair[1].since(pair[0]) >= bake), "{at:?}");
        world.settle();
        assert_eq!((world.live(), world.round()), (2, 0));
    }
}

#[test]
fn a_broken_green_trips_the_breaker_and_blue_has_never_lost_a_request() {
    let mut world = world(4, Steps::AtOnce);
    world.service.circuit_breaker = breaker(true);
    world.settle();
    let green = world.deploy();
    world.broken.push(green.clone());
    for _ in 0..300 {
        world.round();
        assert_eq!((world.tasks_of("d0"), world.find("d0").map(|d| d.weight)), ((4, 4), Some(1000)));
        world.live_on(|| 9);
    }
    assert_eq!(world.failures, [FailCause::CircuitBreaker]);
    assert_eq!(world.completed, ["d0", "d0"]);
    assert_eq!((world.live(), world.service.deployments.len(), world.round()), (4, 1, 0));
}

#[test]
fn going_back_in_the_bake_time_gives_the_traffic_back_at_once() {
    let mut world = world(2, Steps::Linear { step: 500, bake: BAKE });
    world.settle();
    for share in [500, 1000] {
        world.shifts.clear();
        let green = world.deploy();
        world.until("it has its share", |world| world.shifts.last() == Some(&(green.clone(), share)));
        world.deployment(&green).stop = Some(StopRequest::RollBack);
        world.round();
        world.round();
        assert_eq!(world.shifts.last(), Some(&("d0".to_owned(), 1000)));
        assert_eq!(world.tasks_of(&green).0, 2, "its tasks go later than the traffic");
        world.settle();
        assert_eq!((world.live(), world.service.deployments.len(), world.round()), (2, 1, 0));
    }
}

#[test]
fn without_a_way_back_a_failed_deployment_leaves_both_sides_as_they_are() {
    let mut world = world(2, Steps::AtOnce);
    world.service.circuit_breaker = breaker(false);
    world.settle();
    let green = world.deploy();
    world.until("it has the traffic", |world| world.shifts.len() == 2);
    world.deployment(&green).failed_tasks = 3;
    world.settle();
    assert!(world.failed());
    assert_eq!((world.tasks_of("d0"), world.tasks_of(&green)), ((2, 2), (2, 2)));
    assert_eq!(world.find(&green).map(|d| d.weight), Some(1000), "who has the traffic keeps it");
    assert_eq!(world.round(), 0);
    let next = world.deploy();
    world.settle();
    assert_eq!(world.completed.last(), Some(&next), "the next deployment cleans up");
    assert_eq!((world.live(), world.service.deployments.len()), (2, 1));
    assert!(world.stages.contains(&(next, Stage::Reconcile)));
}

#[test]
fn the_first_deployment_has_nothing_to_go_back_to() {
    let mut world = world(2, Steps::AtOnce);
    world.service.circuit_breaker = breaker(true);
    world.broken.push("d0".to_owned());
    world.settle();
    assert!(world.failed());
    assert_eq!((world.live(), world.round()), (0, 0));
}

#[test]
fn a_pause_waits_for_a_word_and_not_for_ever() {
    let timeout = Duration::from_mins(60);
    for (said, on_timeout, passes) in [
        (Some(PauseStatus::Succeeded), HookAction::RollBack, true),
        (Some(PauseStatus::Failed), HookAction::Continue, false),
        (None, HookAction::RollBack, false),
        (None, HookAction::Continue, true),
    ] {
        let mut world = world(1, Steps::AtOnce);
        world.settle();
        let stages = vec![Stage::PostTestTrafficShift];
        shifting(&mut world).hooks = vec![Hook { stages, timeout, on_timeout }];
        let green = world.deploy();
        world.until("it pauses", |world| world.find(&green).is_some_and(|d| !d.pauses.is_empty()));
        let since = world.now;
        if let Some(said) = said {
            for _ in 0..30 {
                world.round();
                world.live_on(|| 9);
            }
            assert_eq!(world.find(&green).map(|d| d.weight), Some(0), "nothing goes on before the word");
            world.deployment(&green).pauses[0].status = said;
        }
        world.until("it is over", |world| world.completed.len() == 2);
        assert_eq!(world.completed[1] == green, passes, "{said:?}, {on_timeout}");
        let expected = match said {
            _ if passes => vec![],
            Some(_) => vec![FailCause::HookRejected(Stage::PostTestTrafficShift)],
            None => vec![FailCause::HookTimedOut(Stage::PostTestTrafficShift)],
        };
        assert_eq!(world.failures, expected);
        assert!(said.is_some() || world.now.since(since) >= timeout);
    }
}

#[test]
fn linear_pauses_before_each_step() {
    let mut world = world(1, Steps::Linear { step: 500, bake: Duration::ZERO });
    world.settle();
    let hook = Hook {
        stages: vec![Stage::PreProductionTrafficShift],
        timeout: Duration::from_mins(1),
        on_timeout: HookAction::Continue,
    };
    shifting(&mut world).hooks = vec![hook];
    world.stages.clear();
    world.deploy();
    world.until("it completes", |world| world.completed.len() == 2);
    let before = world.stages.iter().filter(|(_, stage)| *stage == Stage::PreProductionTrafficShift).count();
    assert_eq!(before, 2);
}

#[test]
fn wrong_listener_rules_send_it_back() {
    let mut world = world(1, Steps::AtOnce);
    world.settle();
    shifting(&mut world).fault = Some("One or more rules not found".to_owned());
    world.deploy();
    world.settle();
    assert_eq!(world.failures, [FailCause::Network("One or more rules not found".to_owned())]);
    assert_eq!(world.completed, ["d0", "d0"]);
}

#[test]
fn a_green_that_breaks_in_the_bake_time_is_not_made_the_one_that_serves() {
    for rollback in [true, false] {
        let mut world = world(2, Steps::AtOnce);
        world.service.circuit_breaker = rollback.then(|| breaker(true)).flatten();
        world.settle();
        let green = world.deploy();
        world.until("it bakes", |world| world.find(&green).is_some_and(|d| d.stage == Some(Stage::BakeTime)));
        world.broken.push(green.clone());
        for task in world.service.tasks.iter_mut().filter(|task| task.deployment == green) {
            (task.desired, task.last, task.ended_by_itself) = (DesiredStatus::Stopped, TaskStatus::Stopped, true);
        }
        for _ in 0..200 {
            world.round();
            world.live_on(|| 9);
            assert_eq!(world.tasks_of("d0"), (2, 2), "there is a way back");
        }
        if rollback {
            assert_eq!(world.failures, [FailCause::CircuitBreaker]);
            assert_eq!(world.find("d0").map(|d| d.weight), Some(1000));
        } else {
            assert_eq!(world.find(&green).and_then(|d| d.stage), Some(Stage::BakeTime), "it is not whole");
            world.deployment(&green).stop = Some(StopRequest::RollBack);
            world.settle();
            assert_eq!(world.completed.last().map(String::as_str), Some("d0"));
        }
    }
}

#[test]
fn a_stage_lasts_a_day_at_most() {
    let mut world = world(1, Steps::AtOnce);
    world.settle();
    let green = world.deploy();
    world.broken.push(green.clone());
    world.until("it scales up", |world| world.find(&green).is_some_and(|d| d.stage == Some(Stage::ScaleUp)));
    let since = world.find(&green).map(|d| d.stage_since).unwrap_or_default();
    for _ in 0..9000 {
        world.round();
        if !world.failures.is_empty() {
            break;
        }
        world.live_on(|| 9);
    }
    assert_eq!(world.failures, [FailCause::StageTimedOut(Stage::ScaleUp)]);
    assert!(world.now.since(since) >= Duration::from_hours(24));
    world.settle();
    assert_eq!((world.completed.last().map(String::as_str), world.live()), (Some("d0"), 1));
}

#[test]
fn what_serves_keeps_the_traffic_until_the_one_before_can_take_it() {
    for rolling in [false, true] {
        let mut world = world(2, Steps::AtOnce);
        world.settle();
        let green = world.deploy();
        world.until("it bakes", |world| world.find(&green).is_some_and(|d| d.stage == Some(Stage::BakeTime)));
        // The tasks that served before are gone, and the next ones take a while.
        for task in world.service.tasks.iter_mut().filter(|task| task.deployment == "d0") {
            (task.desired, task.last, task.ended_by_itself) = (DesiredStatus::Stopped, TaskStatus::Stopped, true);
        }
        if rolling {
            world.service.strategy = Strategy::Rolling { bake: Duration::ZERO };
        }
        let next = world.deploy();
        let mut shifted = false;
        for _ in 0..100 {
            world.round();
            let holder = world.service.deployments.iter().find(|d| d.weight == 1000).map(|d| d.id.clone());
            shifted |= holder.as_ref() != Some(&green);
            if !shifted {
                assert_eq!(world.tasks_of(&green), (2, 2), "it serves");
            }
            assert!(world.healthy() >= 2, "somebody serves");
            world.live_on(|| 9);
        }
        assert!(shifted);
        world.settle();
        assert_eq!((world.completed.last(), world.live()), (Some(&next), 2));
        assert!(world.find(&next).is_some_and(|d| d.tested || rolling), "the test traffic came along");
    }
}

#[test]
fn what_serves_stands_in_for_one_that_never_comes_back() {
    for (steps, share) in [(Steps::AtOnce, 1000), (Steps::Linear { step: 600, bake: BAKE }, 600)] {
        let mut world = world(2, steps);
        world.settle();
        let green = world.deploy();
        world.until("it has traffic", |world| world.find(&green).is_some_and(|d| d.weight == share));
        world.broken.push("d0".to_owned());
        for task in world.service.tasks.iter_mut().filter(|task| task.deployment == "d0") {
            (task.desired, task.last, task.ended_by_itself) = (DesiredStatus::Stopped, TaskStatus::Stopped, true);
        }
        let next = world.deploy();
        for _ in 0..200 {
            world.round();
            assert!(world.healthy() >= 2, "somebody serves");
            world.live_on(|| 9);
        }
        world.settle();
        assert_eq!((world.completed.last(), world.live()), (Some(&next), 2));
        assert!(world.shifts.iter().skip(1).all(|(to, _)| to != "d0"), "{:?}", world.shifts);
    }
}

#[test]
fn a_rolling_deployment_takes_over_from_half_a_shift() {
    let mut world = world(2, Steps::Linear { step: 400, bake: BAKE });
    world.settle();
    let green = world.deploy();
    world.until("it has a part", |world| world.find(&green).is_some_and(|d| d.weight == 400));
    world.service.strategy = Strategy::Rolling { bake: Duration::ZERO };
    let next = world.deploy();
    world.settle();
    assert_eq!(world.completed.last(), Some(&next));
    assert_eq!(world.shifts.last(), Some(&(next, 1000)), "the traffic comes back before tasks go");
    assert_eq!((world.live(), world.healthy(), world.service.deployments.len()), (2, 2, 1));
}

#[test]
fn task_sets_are_kept_at_their_parts() {
    let mut world = World::new(3, 100, 200, true);
    world.service.strategy = Strategy::External;
    world.deployment("d0").scale = Some(10_000);
    let other = world.deploy();
    world.deployment(&other).scale = Some(4_000);
    world.settle();
    assert_eq!((world.tasks_of("d0"), world.tasks_of(&other)), ((3, 3), (2, 2)), "1.2 is two tasks");
    world.deployment("d0").status = rollout::DeploymentStatus::Inactive;
    world.settle();
    assert_eq!((world.live(), world.service.deployments.len()), (2, 1));
    assert_eq!(world.round(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_weather_ends_in_calm(
        desired in 0u32..8,
        minimum in 0u32..=100,
        maximum in 100u32..=200,
        way in 0u8..4,
        rollback: Option<bool>,
        hooked: bool,
        dice in prop::collection::vec(0u8..24, 1..400),
        steps in prop::collection::vec(0u8..24, 10..160),
    ) {
        let bake = Duration::from_secs(60);
        let strategy = |way: u8| match way {
            0 => Strategy::Rolling { bake },
            n => Strategy::Shifting(Shifting {
                steps: [Steps::AtOnce, Steps::Linear { step: 210, bake }, Steps::Canary { share: 51, bake }][n as usize - 1],
                bake,
                hooks: if hooked {
                    let stages = vec![Stage::PostScaleUp, Stage::PreProductionTrafficShift];
                    vec![Hook { stages, timeout: Duration::from_secs(90), on_timeout: HookAction::Continue }]
                } else { vec![] },
                fault: None,
            }),
        };
        let mut world = World::new(desired, minimum, maximum, true);
        world.service.strategy = strategy(way);
        world.service.circuit_breaker = rollback.and_then(breaker);
        let mut dice = dice.into_iter().cycle();
        for step in steps {
            match step {
                0 => { world.deploy(); }
                1 => world.service.desired = u32::from(dice.next().unwrap_or(3)) / 3,
                // The strategy of a deployment is fixed when it begins; so another one begins with another.
                2 => { world.service.strategy = strategy(dice.next().unwrap_or(0) % 4); world.deploy(); }
                3 => if let Some(id) = world.service.primary().map(|p| p.id.clone()) {
                    world.deployment(&id).stop = Some(StopRequest::RollBack);
                },
                4 => if let Some(id) = world.service.primary().map(|p| p.id.clone()) {
                    for pause in &mut world.deployment(&id).pauses {
                        pause.status = PauseStatus::Failed;
                    }
                },
                _ => {}
            }
            for _ in 0..4 { world.round(); }
            world.live_on(|| dice.next().unwrap_or(9));
        }
        world.round();
        if world.service.desired > 0 && world.service.maximum() <= world.service.minimum() {
            world.service.maximum_percent = 200;
        }
        world.settle();
        if world.failed() {
            prop_assert_eq!(world.round(), 0, "a failed deployment has nothing to do");
            world.deploy();
            world.settle();
        }
        let desired = world.service.desired as usize;
        prop_assert_eq!((world.live(), world.healthy()), (desired, desired));
        prop_assert_eq!(world.service.deployments.len(), 1);
        prop_assert_eq!(world.service.deployments[0].rollout, RolloutState::Completed);
        prop_assert_eq!(world.round(), 0, "a settled service has nothing to do");
    }
}
