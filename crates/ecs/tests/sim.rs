//! The production controllers on a simulated clock, with a simulated runtime and simulated neighbours: stories that a
//! user would tell, and crashes at random steps.

mod fakes;
mod world;

use ecs::endpoint::Endpoint;
use ecs::rows::{TaskRow, TokenRow};
use model::ecs as shape;
use rollout::TaskStatus;
use runtime::{SimScript, TaskId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use world::World;

#[tokio::test]
async fn spot_capacity_that_is_taken_back_is_replaced() {
    let world = World::new();
    world.cluster();
    world.register("app:1");
    world.sim.script("app:1", SimScript { on_stop: Some((Duration::ZERO, 0)), ..SimScript::default() });
    let items = |base| {
        vec![
            shape::CapacityProviderStrategyItem {
                capacity_provider: "FARGATE".to_owned(),
                weight: Some(0),
                base: Some(base),
            },
            shape::CapacityProviderStrategyItem {
                capacity_provider: "FARGATE_SPOT".to_owned(),
                weight: Some(1),
                base: None,
            },
        ]
    };
    let input = shape::PutClusterCapacityProvidersRequest {
        cluster: "c".to_owned(),
        capacity_providers: vec!["FARGATE".to_owned(), "FARGATE_SPOT".to_owned()],
        default_capacity_provider_strategy: items(1),
    };
    world.call(world.handlers.put_cluster_capacity_providers, input).expect("both are in every account");
    let input = shape::CreateServiceRequest { launch_type: None, ..World::service_request(3, false) };
    world.call(world.handlers.create_service, input).expect("the default strategy takes it");
    world.pass(60).await;
    let on = |name: &str| {
        let running = world.running().into_iter();
        running.filter(|row| row.capacity_provider.as_deref() == Some(name)).collect::<Vec<_>>()
    };
    assert_eq!((on("FARGATE").len(), on("FARGATE_SPOT").len()), (1, 2));

    let kept = on("FARGATE")[0].id.clone();
    let refusal = ecs::spot::interrupt(&world.control, &kept).await;
    assert_eq!(refusal, Err(ecs::spot::Refusal::NotSpot(kept)));
    let gone = on("FARGATE_SPOT")[0].id.clone();
    let arn = ecs::spot::interrupt(&world.control, &gone).await.expect("it can be interrupted");
    assert_eq!(arn, format!("arn:aws:ecs:us-east-1:123456789012:task/c/{gone}"));
    assert_eq!(ecs::spot::interrupt(&world.control, &arn).await, Err(ecs::spot::Refusal::Stopping(gone.clone())));
    world.pass(2).await;
    let told = world.tasks().into_iter().find(|row| row.id == gone).expect("it can be described");
    assert_eq!(told.last, TaskStatus::Stopped, "nobody waits for its connections");
    let stop = told.stop.clone().expect("it says why");
    assert_eq!((stop.code.as_str(), stop.reason.as_str()), ("SpotInterruption", "Your Spot Task was interrupted."));
    world.pass(60).await;
    assert_eq!((on("FARGATE").len(), on("FARGATE_SPOT").len()), (1, 2), "it is replaced where it was");
    let deployments = world.describe().deployments.expect("they are shown");
    assert_eq!(deployments[0].failed_tasks, Some(0), "an interruption is nobody's failure");
    world.assert_no_leak().await;
}

#[tokio::test]
async fn a_service_comes_up_and_reaches_a_steady_state() {
    let world = World::new();
    world.cluster();
    let arn = world.register("app:1");
    world.sim.script(
        "app:1",
        SimScript { output: vec!["hello".to_owned()], on_stop: Some((Duration::ZERO, 0)), ..SimScript::default() },
    );
    let answer = world.call(world.handlers.create_service, World::service_request(3, false)).expect("it can be made");
    let service = answer.service.expect("it is shown");
    assert_eq!((service.status.as_deref(), service.running_count), (Some("ACTIVE"), Some(0)));
    world.pass(40).await;

    let service = world.describe();
    assert_eq!((service.running_count, service.pending_count), (Some(3), Some(0)), "events: {:#?}", world.events());
    let deployments = service.deployments.expect("deployments are shown");
    assert_eq!(deployments.len(), 1);
    assert_eq!(deployments[0].rollout_state.as_deref(), Some("COMPLETED"));
    assert_eq!(deployments[0].task_definition.as_deref(), Some(arn.as_str()));
    let events = world.events();
    assert!(events[0].starts_with("(service web) has started 3 tasks: (task "), "{events:?}");
    assert_eq!(events.iter().filter(|text| text.contains("registered 1 targets")).count(), 3);
    assert!(events[events.len() - 2].ends_with("deployment completed."), "{events:?}");
    assert_eq!(events.last().map(String::as_str), Some("(service web) has reached a steady state."));

    let task = &world.running()[0];
    let eni = task.eni.as_ref().expect("it has an interface");
    let input = shape::DescribeTasksRequest {
        cluster: Some("c".to_owned()),
        tasks: vec![task.id.clone(), "0".repeat(32)],
        include: None,
    };
    let answer = world.call(world.handlers.describe_tasks, input).expect("tasks can be described");
    let shown = &answer.tasks.expect("one is there")[0];
    assert_eq!(shown.connectivity.as_deref(), Some("CONNECTED"));
    assert_eq!(answer.failures.expect("one is not")[0].reason.as_deref(), Some("MISSING"));
    let stream = format!("web/web/{}", task.id);
    assert_eq!(world.outside.state().logs[&stream], [(0, vec!["hello".to_owned()])], "the output was shipped once");

    let endpoint = Endpoint::new(world.control.clone());
    let credentials = endpoint.answer("vpc-1", eni.ip, &format!("/v2/credentials/{}", task.credentials_id)).await;
    assert!(credentials.status == 200 && credentials.body.contains("role/task"), "{credentials:?}");
    let stranger = std::net::Ipv4Addr::new(10, 9, 9, 9);
    let refused = endpoint.answer("vpc-1", stranger, &format!("/v2/credentials/{}", task.credentials_id)).await;
    assert!(refused.status == 400 && refused.body.contains("InvalidIdInRequest"), "a stranger gets none: {refused:?}");
    let metadata = endpoint.answer("vpc-1", eni.ip, &format!("/v4/{}/task", task.containers[0].runtime_id)).await;
    assert!(metadata.body.contains(&task.id) && metadata.body.contains("\"KnownStatus\":\"RUNNING\""), "{metadata:?}");
    world.assert_no_leak().await;
}

#[tokio::test]
async fn a_crashed_task_is_replaced_and_its_end_recorded() {
    let world = World::new();
    world.cluster();
    world.register("app:1");
    world.call(world.handlers.create_service, World::service_request(2, false)).expect("it can be made");
    world.pass(40).await;
    let victim = world.running()[0].clone();
    world.sim.crash(&TaskId::parse(&victim.id).expect("an id"), "web", 3);
    world.pass(40).await;

    let dead = world.store.view().get::<TaskRow>(&world.scope, &victim.id).expect("kept for an hour");
    assert_eq!(dead.last, TaskStatus::Stopped);
    let stop = dead.stop.as_ref().expect("it has a reason");
    assert_eq!(
        (stop.code.as_str(), stop.reason.as_str()),
        ("EssentialContainerExited", "Essential container in task exited")
    );
    assert_eq!(dead.containers[0].exit_code, Some(3));
    assert_eq!(world.running().len(), 2);
    assert_eq!(world.events().iter().filter(|text| text.ends_with("steady state.")).count(), 2, "steady again");
    world.assert_no_leak().await;
    world.pass(3700).await;
    assert!(world.store.view().get::<TaskRow>(&world.scope, &victim.id).is_none(), "forgotten after an hour");
}

#[tokio::test]
async fn a_stop_of_the_server_is_told_as_that_and_counts_as_nobodys_failure() {
    let mut world = World::new();
    world.cluster();
    world.register("app:1");
    world.call(world.handlers.create_service, World::service_request(2, true)).expect("it can be made");
    world.pass(2).await;
    let before: Vec<_> = world.tasks();
    let young = |row: &Arc<TaskRow>| row.last == TaskStatus::Running && !row.marks.was_healthy;
    assert_eq!(before.iter().filter(|row| young(row)).count(), 2, "they run and are not yet healthy: {before:#?}");
    world.crash().await;
    world.sim.shutdown();
    world.boot();
    world.pass(40).await;

    for old in &before {
        let dead = world.store.view().get::<TaskRow>(&world.scope, &old.id).expect("kept for an hour");
        let stop = dead.stop.as_ref().expect("it has a reason");
        assert_eq!((stop.code.as_str(), stop.reason.as_str()), ("TerminationNotice", "Windtunnel was stopped"));
        assert_eq!((dead.last, dead.containers[0].exit_code), (TaskStatus::Stopped, Some(143)));
    }
    assert_eq!(world.running().len(), 2, "others take their place");
    let deployments = world.describe().deployments.expect("deployments are shown");
    assert_eq!(deployments[0].failed_tasks, Some(0), "no task failed");
    world.assert_no_leak().await;
}

#[tokio::test]
async fn a_new_revision_rolls_without_a_gap() {
    let world = World::new();
    world.cluster();
    world.register("app:1");
    world.call(world.handlers.create_service, World::service_request(3, false)).expect("it can be made");
    world.pass(40).await;
    let second = world.register("app:2");
    world.update(|input| input.task_definition = Some(second.clone()));
    assert_eq!(world.describe().deployments.map(|list| list.len()), Some(2));
    for _ in 0..90 {
        world.pass(1).await;
        assert!(world.running().len() >= 3, "never fewer than the desired count serve");
    }
    let service = world.describe();
    assert_eq!(service.task_definition, Some(second.clone()));
    assert_eq!(service.deployments.map(|list| list.len()), Some(1));
    assert!(world.running().iter().all(|task| task.definition_arn == second));
    let old: Vec<_> = world.tasks().into_iter().filter(|task| task.definition_arn != second).collect();
    assert!(old.iter().all(|task| {
        task.stop
            .as_ref()
            .is_some_and(|stop| stop.reason.starts_with("Scaling activity initiated by (deployment ecs-svc/"))
    }));
    world.assert_no_leak().await;

    world.update(|input| input.desired_count = Some(1));
    world.pass(40).await;
    assert_eq!(world.describe().running_count, Some(1));
    let input =
        shape::DeleteServiceRequest { cluster: Some("c".to_owned()), service: "web".to_owned(), force: Some(true) };
    world.call(world.handlers.delete_service, input).expect("it can be deleted");
    assert_eq!(world.describe().status.as_deref(), Some("DRAINING"));
    world.pass(40).await;
    assert_eq!(world.describe().status.as_deref(), Some("INACTIVE"));
    world.assert_no_leak().await;
    let input = shape::DeleteClusterRequest { cluster: "c".to_owned() };
    let deleted = world.call(world.handlers.delete_cluster, input).expect("an empty cluster can be deleted");
    assert_eq!(deleted.cluster.and_then(|cluster| cluster.status).as_deref(), Some("INACTIVE"));
}

#[tokio::test]
async fn a_broken_image_trips_the_breaker_and_rolls_back() {
    let world = World::new();
    world.cluster();
    let first = world.register("app:1");
    world.call(world.handlers.create_service, World::service_request(2, true)).expect("it can be made");
    world.pass(40).await;
    world.register("missing:1");
    world.update(|input| input.task_definition = Some("web".to_owned()));
    world.pass(240).await;
    let service = world.describe();
    assert_eq!(service.task_definition, Some(first), "{:#?}", world.events());
    assert_eq!(service.running_count, Some(2));
    let failed = world.tasks().into_iter().find(|task| task.ended_by_itself).expect("a task failed");
    let stop = failed.stop.as_ref().expect("it has a reason");
    assert_eq!(stop.code.as_str(), "TaskFailedToStart");
    assert!(stop.reason.starts_with("CannotPullContainerError: pull image manifest has been retried 1 time(s)"));
    let events = world.events();
    let at = |needle: &str| events.iter().position(|text| text.contains(needle));
    let (placed, fell, back) = (
        at("was unable to place a task. Reason: CannotPull"),
        at("deployment failed: tasks failed to start."),
        at("rolling back to deployment"),
    );
    assert!(placed.is_some() && placed < fell && fell < back, "{events:#?}");
    world.assert_no_leak().await;
}

#[tokio::test]
async fn a_task_run_once_ends_with_its_program() {
    let world = World::new();
    world.cluster();
    world.register("job:1");
    world.sim.script("job:1", SimScript { exits: Some((Duration::from_secs(4), 0)), ..SimScript::default() });
    let input = shape::RunTaskRequest {
        cluster: Some("c".to_owned()),
        task_definition: "web".to_owned(),
        launch_type: Some("FARGATE".to_owned()),
        network_configuration: World::network(),
        client_token: Some("once".to_owned()),
        ..Default::default()
    };
    let answer = world.call(world.handlers.run_task, input.clone()).expect("it can be run");
    let again = world.call(world.handlers.run_task, input.clone()).expect("a repetition is answered");
    let arn = |answer: &shape::RunTaskResponse| answer.tasks.as_ref().map(|tasks| tasks[0].task_arn.clone());
    assert_eq!(arn(&answer), arn(&again), "the token starts it once");
    let without = shape::RunTaskRequest { network_configuration: None, client_token: None, ..input };
    let refused = world.call(world.handlers.run_task, without).expect_err("Fargate needs a network");
    assert_eq!(refused.message, "Network Configuration must be provided when networkMode 'awsvpc' is specified.");
    let mut seen = Vec::new();
    for _ in 0..30 {
        world.settle().await;
        let last = world.tasks()[0].last;
        if seen.last() != Some(&last) {
            seen.push(last);
        }
        world.clock.advance(Duration::from_millis(500));
    }
    assert_eq!(world.tasks().len(), 1);
    assert_eq!(seen, [TaskStatus::Provisioning, TaskStatus::Running, TaskStatus::Stopped], "settled stations");
    assert_eq!(world.tasks()[0].containers[0].exit_code, Some(0));
    assert_eq!(world.tasks()[0].group, "family:web");
}

#[tokio::test]
async fn a_client_token_is_forgotten_after_a_day_or_with_its_tasks() {
    let world = World::new();
    world.cluster();
    world.register("job:1");
    let run = |token: &str| {
        let input = shape::RunTaskRequest {
            cluster: Some("c".to_owned()),
            task_definition: "web".to_owned(),
            launch_type: Some("FARGATE".to_owned()),
            network_configuration: World::network(),
            client_token: Some(token.to_owned()),
            ..Default::default()
        };
        let tasks = world.call(world.handlers.run_task, input).expect("it can be run").tasks.expect("tasks");
        tasks[0].task_arn.clone().expect("an ARN")
    };
    let tokens = || world.store.view().scan_all::<TokenRow>().map(|(_, row)| row.token.clone()).collect::<Vec<_>>();
    // One that ends, and is shown for an hour; and one that runs on.
    world.sim.script("job:1", SimScript { exits: Some((Duration::from_secs(4), 0)), ..SimScript::default() });
    run("brief");
    world.pass(15).await;
    world.sim.script("job:1", SimScript::default());
    let first = run("long");
    world.pass(15).await;
    assert_eq!(tokens(), ["c/brief", "c/long"]);
    for _ in 0..3 {
        world.clock.advance(Duration::from_hours(1));
        world.settle().await;
    }
    assert_eq!(tokens(), ["c/long"], "the brief task is forgotten, and its token with it");
    assert_eq!(run("long"), first, "within a day it is a repetition");
    for _ in 0..21 {
        world.clock.advance(Duration::from_hours(1));
        world.settle().await;
    }
    assert!(tokens().is_empty(), "after a day nothing is kept");
    assert_ne!(run("long"), first, "and the token starts another task");
}

#[tokio::test]
async fn crashes_at_any_step_lose_and_leak_nothing() {
    for seed in 1..=25u64 {
        let mut die = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut roll = move |sides: u64| {
            die = die.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (die >> 33) % sides
        };
        let mut world = World::new();
        world.cluster();
        world.register("app:1");
        let script = SimScript {
            output: vec!["one".to_owned(), "two".to_owned()],
            on_stop: Some((Duration::from_secs(1), 0)),
            ..SimScript::default()
        };
        world.sim.script("app:1", script.clone());
        world.sim.script("app:2", script);
        world.call(world.handlers.create_service, World::service_request(3, true)).expect("it can be made");
        for round in 0..40 {
            match roll(8) {
                0 if round > 10 => {
                    let image = if roll(2) == 0 { "app:2" } else { "app:1" };
                    world.register(image);
                    world.update(|input| input.task_definition = Some("web".to_owned()));
                }
                1 => world.update(|input| input.desired_count = Some(1 + i32::try_from(roll(4)).unwrap_or(0))),
                2 => {
                    if let Some(task) = world.running().first() {
                        world.sim.crash(&TaskId::parse(&task.id).expect("an id"), "web", 1);
                    }
                }
                _ => {}
            }
            // A few steps, then death wherever that is.
            for _ in 0..roll(60) {
                tokio::task::yield_now().await;
            }
            world.crash().await;
            world.clock.advance(Duration::from_millis(500 * (1 + roll(4))));
            world.boot();
        }
        world.update(|input| {
            input.desired_count = Some(3);
            input.force_new_deployment = Some(true);
        });
        world.pass(240).await;
        let service = world.describe();
        assert_eq!(
            (service.running_count, service.deployments.map(|list| list.len())),
            (Some(3), Some(1)),
            "seed {seed}: {:#?}",
            world.events()
        );
        world.assert_no_leak().await;
        for (stream, pieces) in &world.outside.state().logs {
            let mut positions = BTreeMap::new();
            for (position, lines) in pieces {
                assert!(positions.insert(position, lines).is_none(), "seed {seed}: {stream} got a piece twice");
            }
        }
        world.crash().await;
    }
}
