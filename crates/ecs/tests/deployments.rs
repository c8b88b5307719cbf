//! Deployments as a user sees them: service deployments, traffic that is shifted, pauses, alarms, stops, protection, task
//! sets. The production controllers, on a simulated clock.

mod fakes;
mod world;

use fakes::{GREEN, GROUP, RULE, SHIFTER, TEST_RULE};
use model::ecs as shape;
use types::Clock;
use world::World;

/// A service of two tasks that shifts traffic, complete and at rest.
async fn shifting(configuration: shape::DeploymentConfiguration) -> World {
    let world = World::new();
    world.cluster();
    world.register("app:1");
    let mut input = World::service_request(2, true);
    shift_traffic(&world, &mut input, configuration);
    world.call(world.handlers.create_service, input).expect("it can be made");
    world.pass(200).await;
    assert_eq!(status(&world), ["SUCCESSFUL"], "{:#?}", world.events());
    world
}

/// Has the request's service shift traffic between two target groups.
fn shift_traffic(
    world: &World,
    input: &mut shape::CreateServiceRequest,
    configuration: shape::DeploymentConfiguration,
) {
    let leads = |weights: [(&str, u32); 2]| weights.map(|(group, weight)| (group.to_owned(), weight)).to_vec();
    world.outside.state().rules.insert(RULE.to_owned(), leads([(GROUP, 1), (GREEN, 0)]));
    world.outside.state().rules.insert(TEST_RULE.to_owned(), leads([(GROUP, 1), (GREEN, 0)]));
    let advanced = shape::AdvancedConfiguration {
        alternate_target_group_arn: Some(GREEN.to_owned()),
        production_listener_rule: Some(RULE.to_owned()),
        test_listener_rule: Some(TEST_RULE.to_owned()),
        role_arn: Some(SHIFTER.to_owned()),
    };
    input.load_balancers.as_mut().expect("it has one")[0].advanced_configuration = Some(advanced);
    let breaker = input.deployment_configuration.take().and_then(|it| it.deployment_circuit_breaker);
    input.deployment_configuration =
        Some(shape::DeploymentConfiguration { deployment_circuit_breaker: breaker, ..configuration });
}

fn blue_green() -> shape::DeploymentConfiguration {
    shape::DeploymentConfiguration {
        strategy: Some("BLUE_GREEN".to_owned()),
        bake_time_in_minutes: Some(1),
        ..Default::default()
    }
}

/// All service deployments, the newest first.
fn deployments(world: &World) -> Vec<shape::ServiceDeployment> {
    let input = shape::ListServiceDeploymentsRequest {
        service: "web".to_owned(),
        cluster: Some("c".to_owned()),
        ..Default::default()
    };
    let listed = world.call(world.handlers.list_service_deployments, input).expect("they can be listed");
    let arns = listed.service_deployments.unwrap_or_default().into_iter().filter_map(|it| it.service_deployment_arn);
    let input = shape::DescribeServiceDeploymentsRequest { service_deployment_arns: arns.collect() };
    let found = world.call(world.handlers.describe_service_deployments, input).expect("they can be described");
    assert_eq!(found.failures.map(|list| list.len()), Some(0));
    found.service_deployments.unwrap_or_default()
}

fn status(world: &World) -> Vec<String> {
    deployments(world).into_iter().filter_map(|it| it.status).collect()
}

fn stage(world: &World) -> String {
    deployments(world)[0].lifecycle_stage.clone().unwrap_or_default()
}

fn weights(world: &World, rule: &str) -> [u32; 2] {
    let state = world.outside.state();
    let of = |group: &str| state.rules[rule].iter().find(|(other, _)| other == group).map_or(0, |it| it.1);
    [of(GROUP), of(GREEN)]
}

async fn until(world: &World, what: &str, done: impl Fn(&World) -> bool) {
    for _ in 0..600 {
        if done(world) {
            return;
        }
        world.pass(1).await;
    }
    panic!("it never came to this: {what}; {:#?} {:#?}", deployments(world), world.events());
}

fn deploy(world: &World, image: &str) -> String {
    let arn = world.register(image);
    world.update(|input| input.task_definition = Some(arn.clone()));
    arn
}

fn stop(world: &World, kind: &str) -> Result<(), types::ApiError> {
    let arn = deployments(world)[0].service_deployment_arn.clone().expect("it has an ARN");
    let input = shape::StopServiceDeploymentRequest { service_deployment_arn: arn, stop_type: Some(kind.to_owned()) };
    world.call(world.handlers.stop_service_deployment, input).map(|_| ())
}

#[tokio::test]
async fn a_rolling_deployment_has_a_record_and_a_revision() {
    let world = World::new();
    world.cluster();
    let first = world.register("app:1");
    world.call(world.handlers.create_service, World::service_request(2, true)).expect("it can be made");
    assert_eq!(status(&world), ["PENDING"]);
    world.pass(2).await;
    let open = &deployments(&world)[0];
    assert_eq!(open.status.as_deref(), Some("IN_PROGRESS"));
    let breaker = open.deployment_circuit_breaker.clone().expect("a circuit breaker");
    assert_eq!((breaker.status.as_deref(), breaker.threshold), (Some("MONITORING"), Some(3)));
    world.pass(60).await;
    deploy(&world, "app:2");
    world.pass(90).await;
    let all = deployments(&world);
    assert_eq!(status(&world), ["SUCCESSFUL", "SUCCESSFUL"]);
    let (new, old) = (&all[0], &all[1]);
    let target = |it: &shape::ServiceDeployment| it.target_service_revision.clone().and_then(|it| it.arn);
    assert_eq!(new.source_service_revisions.as_ref().and_then(|it| it[0].arn.clone()), target(old));
    assert!(new.started_at >= new.created_at && new.finished_at > new.started_at);
    let breaker = new.deployment_circuit_breaker.clone().expect("a circuit breaker");
    assert_eq!(breaker.status.as_deref(), Some("MONITORING_COMPLETE"));

    let revision = || {
        let service_revision_arns = vec![target(old).expect("an ARN")];
        let input = shape::DescribeServiceRevisionsRequest { service_revision_arns };
        let revisions = world.call(world.handlers.describe_service_revisions, input).expect("it can be described");
        revisions.service_revisions.expect("one").remove(0)
    };
    let before = revision();
    assert_eq!(before.task_definition.as_ref(), Some(&first), "a revision stays what it was");
    let image = &before.container_images.as_ref().expect("one")[0];
    assert!(image.image.as_deref() == Some("app:1") && image.image_digest.is_some(), "{image:?}");

    let service = world.describe();
    assert_eq!(service.current_service_deployment, new.service_deployment_arn);
    let current = service.current_service_revisions.expect("they are shown");
    assert_eq!((current[0].arn.clone(), current[0].running_task_count), (target(new), Some(2)));
    let digits = service.deployments.expect("one")[0].id.clone().expect("an id").replace("ecs-svc/", "");
    assert!(target(new).expect("an ARN").ends_with(&digits), "a revision has its deployment's digits");
    assert_eq!(stop(&world, "ROLLBACK").expect_err("it is over").code, "ConflictException");
    world.pass(3700).await;
    assert_eq!(world.tasks().len(), 2, "those of the old revision are forgotten");
    assert_eq!(revision().container_images, before.container_images, "what they ran is not");
}

#[tokio::test]
async fn a_failed_rollout_is_recorded_as_gone_back() {
    let world = World::new();
    world.cluster();
    world.register("app:1");
    world.call(world.handlers.create_service, World::service_request(2, true)).expect("it can be made");
    world.pass(60).await;
    deploy(&world, "missing:1");
    world.pass(300).await;
    let all = deployments(&world);
    assert_eq!(status(&world), ["ROLLBACK_SUCCESSFUL", "SUCCESSFUL"]);
    let reason = "Service deployment rolled back because the circuit breaker threshold was exceeded.";
    assert_eq!(all[0].status_reason.as_deref(), Some(reason));
    let rollback = all[0].rollback.clone().expect("it says where it went");
    let before = all[1].target_service_revision.clone().and_then(|it| it.arn);
    assert_eq!((rollback.reason.as_deref(), rollback.service_revision_arn), (Some(reason), before));
    let breaker = all[0].deployment_circuit_breaker.clone().expect("a circuit breaker");
    assert_eq!((breaker.status.as_deref(), breaker.failure_count), (Some("TRIGGERED"), Some(4)));
}

#[tokio::test]
async fn without_anything_before_there_is_no_way_back() {
    for (shifts, told) in [
        (false, "deployment failed: tasks failed to start."),
        (true, "deployment failed: Service deployment failed because the circuit breaker threshold was exceeded."),
    ] {
        let world = World::new();
        world.cluster();
        world.register("missing:1");
        let mut input = World::service_request(2, true);
        if shifts {
            shift_traffic(&world, &mut input, blue_green());
        }
        world.call(world.handlers.create_service, input).expect("it can be made");
        world.pass(300).await;
        let all = deployments(&world);
        assert_eq!(status(&world), ["ROLLBACK_FAILED"]);
        let reason = "No rollback candidate was found to run the rollback.";
        assert_eq!(all[0].status_reason.as_deref(), Some(reason));
        assert!(all[0].rollback.is_none() && all[0].finished_at.is_some(), "what did not happen has no reason");
        let events = world.events();
        assert!(events.iter().any(|event| event.ends_with(told)), "{events:#?}");
        assert!(
            !events.iter().any(|event| event.contains("rolling back") || event.contains("rolled back")),
            "{events:#?}"
        );
        let shown = world.describe().deployments.expect("it is shown").remove(0);
        assert_eq!(
            (shown.rollout_state.as_deref(), shown.rollout_state_reason.as_deref()),
            (Some("FAILED"), Some("ECS deployment circuit breaker: tasks failed to start."))
        );
    }
}

#[tokio::test]
async fn a_deployment_is_stopped_or_given_up_or_replaced() {
    for (kind, ends) in [("ROLLBACK", "ROLLBACK_SUCCESSFUL"), ("ABORT", "STOPPED")] {
        let world = World::new();
        world.cluster();
        let first = world.register("app:1");
        world.call(world.handlers.create_service, World::service_request(2, false)).expect("it can be made");
        world.pass(60).await;
        deploy(&world, "app:2");
        world.pass(2).await;
        stop(&world, kind).expect("it can be stopped");
        assert_eq!(status(&world)[0], if kind == "ABORT" { "STOP_REQUESTED" } else { "ROLLBACK_REQUESTED" });
        stop(&world, kind).expect("asked twice is asked once");
        world.pass(90).await;
        assert_eq!(status(&world)[0], ends, "{:#?}", world.events());
        let back = world.describe().task_definition == Some(first);
        assert_eq!(back, kind == "ROLLBACK");
        assert!(world.running().len() >= 2);
        deploy(&world, "app:3");
        deploy(&world, "app:4");
        world.pass(120).await;
        assert_eq!(status(&world)[..2], ["SUCCESSFUL", "STOPPED"], "the newer one replaced the one under way");
        assert!(deployments(&world).iter().all(|it| it.finished_at.is_some()), "all are over");
        assert_eq!(world.running().len(), 2);
        world.assert_no_leak().await;
    }
}

#[tokio::test]
async fn a_replaced_deployment_is_shown_as_long_as_it_has_tasks() {
    let world = World::new();
    world.cluster();
    let first = world.register("app:1");
    world.call(world.handlers.create_service, World::service_request(2, false)).expect("it can be made");
    world.pass(60).await;
    deploy(&world, "app:2");
    let third = deploy(&world, "app:3");
    let shown = || {
        let service = world.describe();
        let deployments = service.deployments.unwrap_or_default();
        assert_eq!(service.current_service_revisions.map(|list| list.len()), Some(deployments.len()));
        deployments.into_iter().filter_map(|it| Some((it.task_definition?, it.status?))).collect::<Vec<_>>()
    };
    let (old, new) = ((first, "ACTIVE".to_owned()), (third, "PRIMARY".to_owned()));
    assert_eq!(shown(), [new.clone(), old], "the one between them never had any");
    world.update(|input| input.desired_count = Some(0));
    world.pass(60).await;
    assert_eq!(shown(), [new], "the newest one is always shown");
}

#[tokio::test]
async fn blue_green_moves_the_rules_and_bakes_and_cleans_up() {
    let world = shifting(blue_green()).await;
    assert_eq!(weights(&world, RULE), [0, 100], "the first deployment is green to what the rule served");
    let shown = world.describe();
    let entry = &shown.load_balancers.expect("one")[0];
    assert_eq!(entry.target_group_arn.as_deref(), Some(GROUP), "the entry stays as it was given");
    assert!(entry.advanced_configuration.is_some());

    deploy(&world, "app:2");
    until(&world, "green is up", |world| world.running().len() == 4).await;
    assert_eq!(weights(&world, RULE), [0, 100], "no traffic before all are healthy");
    until(&world, "it bakes", |world| stage(world) == "BAKE_TIME").await;
    assert_eq!((weights(&world, RULE), weights(&world, TEST_RULE)), ([100, 0], [100, 0]));
    let open = deployments(&world).remove(0);
    let weight = |it: Option<&shape::ServiceRevisionSummary>| it.and_then(|it| it.requested_production_traffic_weight);
    assert_eq!(weight(open.target_service_revision.as_ref()), Some(100.0));
    assert_eq!(weight(open.source_service_revisions.as_ref().map(|it| &it[0])), Some(0.0));
    assert_eq!(world.running().len(), 4, "blue stays for the bake time");
    until(&world, "it is done", |world| status(world)[0] == "SUCCESSFUL").await;
    world.pass(20).await;
    assert_eq!(world.running().len(), 2);
    let new = world.running();
    assert!(new.iter().all(|task| task.targets[0].group == GROUP), "its tasks are in the group that was free");
    assert!(world.events().iter().any(|event| event.ends_with("deployment completed.")));
    assert_eq!(world.describe().deployments.map(|list| list.len()), Some(1));
    world.assert_no_leak().await;

    deploy(&world, "app:3");
    until(&world, "it has the traffic", |world| stage(world) == "BAKE_TIME").await;
    assert_eq!(weights(&world, RULE), [0, 100]);
    stop(&world, "ROLLBACK").expect("it can be stopped");
    world.pass(2).await;
    assert_eq!(weights(&world, RULE), [100, 0], "the traffic goes back at once");
    until(&world, "it went back", |world| status(world)[0] == "ROLLBACK_SUCCESSFUL").await;
    world.pass(30).await;
    assert_eq!(world.running().len(), 2);
    world.assert_no_leak().await;
}

#[tokio::test]
async fn what_came_without_a_shift_has_no_weight_of_test_traffic() {
    let rolling = shape::DeploymentConfiguration { strategy: Some("ROLLING".to_owned()), ..Default::default() };
    let world = shifting(rolling).await;
    let weights_of =
        |it: &shape::ServiceRevisionSummary| (it.requested_production_traffic_weight, it.requested_test_traffic_weight);
    let first = deployments(&world).remove(0);
    assert_eq!(first.target_service_revision.as_ref().map(weights_of), Some((None, None)));
    world.update(|input| input.deployment_configuration = Some(blue_green()));
    deploy(&world, "app:2");
    until(&world, "it bakes", |world| stage(world) == "BAKE_TIME").await;
    let told = |world: &World| {
        let newest = deployments(world).remove(0);
        let blue = newest.source_service_revisions.expect("one").iter().map(weights_of).collect::<Vec<_>>();
        (blue, newest.target_service_revision.as_ref().map(weights_of).expect("one"))
    };
    assert_eq!(told(&world), (vec![(Some(0.0), None)], (Some(100.0), Some(100.0))));
    until(&world, "it is done", |world| status(world)[0] == "SUCCESSFUL").await;
    world.pass(30).await;
    assert_eq!(told(&world), (vec![(Some(0.0), None)], (Some(100.0), Some(100.0))), "blue is gone");
    let rolling = shape::DeploymentConfiguration { strategy: Some("ROLLING".to_owned()), ..Default::default() };
    world.update(|input| input.deployment_configuration = Some(rolling.clone()));
    deploy(&world, "app:3");
    world.pass(2).await;
    assert_eq!(told(&world), (vec![(None, None)], (None, None)), "nothing is shifted");
}

#[tokio::test]
async fn a_canary_gets_its_part_first() {
    let configuration = shape::DeploymentConfiguration {
        strategy: Some("CANARY".to_owned()),
        canary_configuration: Some(shape::CanaryConfiguration {
            canary_percent: Some(2.5),
            canary_bake_time_in_minutes: Some(2),
        }),
        ..Default::default()
    };
    let world = shifting(configuration).await;
    deploy(&world, "app:2");
    until(&world, "the canary", |world| weights(world, RULE) == [25, 975]).await;
    world.pass(110).await;
    assert_eq!(weights(&world, RULE), [25, 975]);
    until(&world, "the rest", |world| weights(world, RULE) == [100, 0]).await;
    until(&world, "the end", |world| status(world)[0] == "SUCCESSFUL").await;
}

#[tokio::test]
async fn a_broken_green_never_gets_a_request() {
    let world = shifting(blue_green()).await;
    deploy(&world, "missing:1");
    for _ in 0..120 {
        world.pass(1).await;
        assert_eq!((weights(&world, RULE), world.running().len()), ([0, 100], 2));
    }
    until(&world, "it went back", |world| status(world)[0] == "ROLLBACK_SUCCESSFUL").await;
    let events = world.events();
    let told = "deployment failed: Service deployment rolled back because the circuit breaker threshold was exceeded.";
    assert!(events.iter().any(|event| event.ends_with(told)), "{events:#?}");
}

#[tokio::test]
async fn a_pause_waits_for_the_word() {
    let hook = shape::DeploymentLifecycleHook {
        target_type: Some("PAUSE".to_owned()),
        lifecycle_stages: Some(vec!["POST_TEST_TRAFFIC_SHIFT".to_owned()]),
        ..Default::default()
    };
    let world = shifting(blue_green()).await;
    world.update(|input| {
        input.deployment_configuration =
            Some(shape::DeploymentConfiguration { lifecycle_hooks: Some(vec![hook.clone()]), ..Default::default() });
    });
    for action in ["CONTINUE", "ROLLBACK"] {
        let before = weights(&world, RULE);
        deploy(&world, action);
        until(&world, "it pauses", |world| deployments(world)[0].lifecycle_hook_details.is_some()).await;
        world.pass(60).await;
        let open = deployments(&world).remove(0);
        let pause = &open.lifecycle_hook_details.expect("a pause")[0];
        assert_eq!(
            (pause.status.as_deref(), pause.timeout_action.as_deref()),
            (Some("AWAITING_ACTION"), Some("ROLLBACK"))
        );
        assert_eq!(open.lifecycle_stage.as_deref(), Some("POST_TEST_TRAFFIC_SHIFT"));
        assert_eq!((weights(&world, RULE), weights(&world, TEST_RULE)), (before, [before[1], before[0]]));
        let id = pause.hook_id.clone().expect("an id");
        assert!(id.starts_with("ecs-pause-") && id.len() == 53, "{id}");
        let say = |hook_id: &str| {
            let input = shape::ContinueServiceDeploymentRequest {
                service_deployment_arn: open.service_deployment_arn.clone().expect("an ARN"),
                hook_id: hook_id.to_owned(),
                action: Some(action.to_owned()),
            };
            world.call(world.handlers.continue_service_deployment, input).map(|_| ()).map_err(|error| error.message)
        };
        let format = "Invalid hookId: hookId must follow the format: ecs-{hookType}-{id}";
        assert_eq!(say("nonsense"), Err(format.to_owned()));
        let unknown = "Provided hookId is either completed, unavailable, or not associated with the given Resource ARN";
        assert_eq!(say("ecs-pause-other"), Err(unknown.to_owned()));
        say(&id).expect("it goes on");
        assert_eq!(say(&id), Err(unknown.to_owned()), "once");
        let ends = if action == "CONTINUE" { "SUCCESSFUL" } else { "ROLLBACK_SUCCESSFUL" };
        until(&world, ends, |world| status(world)[0] == ends).await;
        let over = say(&id).expect_err("it is over");
        assert_eq!(over, "Continuing a service deployment is not allowed for service deployment in terminal states.");
        let closed = deployments(&world).remove(0).lifecycle_hook_details.expect("it is still told")[0].clone();
        assert_eq!(closed.status.as_deref(), Some(if action == "CONTINUE" { "SUCCEEDED" } else { "FAILED" }));
    }
}

#[tokio::test]
async fn a_pause_ends_with_its_deployment() {
    let hook = shape::DeploymentLifecycleHook {
        target_type: Some("PAUSE".to_owned()),
        lifecycle_stages: Some(vec!["POST_TEST_TRAFFIC_SHIFT".to_owned()]),
        ..Default::default()
    };
    let pauses = |world: &World, at: usize| {
        let told = deployments(world).remove(at).lifecycle_hook_details.unwrap_or_default();
        told.into_iter().filter_map(|pause| pause.status).collect::<Vec<_>>()
    };
    for ends in ["ROLLBACK_SUCCESSFUL", "STOPPED", "replaced"] {
        let world = shifting(blue_green()).await;
        world.update(|input| {
            input.deployment_configuration =
                Some(shape::DeploymentConfiguration { lifecycle_hooks: Some(vec![hook.clone()]), ..blue_green() });
        });
        deploy(&world, "app:2");
        until(&world, "it pauses", |world| pauses(world, 0) == ["AWAITING_ACTION"]).await;
        let at = usize::from(ends == "replaced");
        match ends {
            "ROLLBACK_SUCCESSFUL" => stop(&world, "ROLLBACK").expect("it can be stopped"),
            "STOPPED" => stop(&world, "ABORT").expect("it can be stopped"),
            _ => drop(deploy(&world, "app:3")),
        }
        let over = if ends == "replaced" { "STOPPED" } else { ends };
        until(&world, over, |world| status(world)[at] == over).await;
        world.pass(30).await;
        assert_eq!(pauses(&world, at), ["FAILED"], "{ends}");
    }
}

#[tokio::test]
async fn wrong_rules_and_roles_are_told_and_gone_back_from() {
    let world = shifting(blue_green()).await;
    let cases: [(Vec<(String, u32)>, &str); 2] = [
        (
            vec![(GROUP.to_owned(), 1), (GREEN.to_owned(), 1)],
            "should have exactly one target group serving traffic but found 2",
        ),
        (vec![("other".to_owned(), 1)], "is forwarding traffic to unexpected target group other"),
    ];
    for (leads, told) in cases {
        world.outside.state().rules.insert(RULE.to_owned(), leads);
        deploy(&world, "app:2");
        world.pass(30).await;
        assert_eq!(status(&world)[0], "ROLLBACK_SUCCESSFUL");
        let reason = deployments(&world)[0].status_reason.clone().unwrap_or_default();
        assert!(reason.starts_with("Service deployment rolled back because of invalid networking configuration. "));
        assert!(reason.contains(told), "{reason}");
    }
    world.outside.state().rules.remove(RULE);
    deploy(&world, "app:3");
    world.pass(30).await;
    let reason = deployments(&world)[0].status_reason.clone().unwrap_or_default();
    assert!(reason.ends_with("One or more rules not found"), "{reason}");
    assert_eq!(world.running().len(), 2);
}

#[tokio::test]
async fn an_alarm_sends_a_rolling_deployment_back_while_it_bakes() {
    let world = World::new();
    world.cluster();
    let first = world.register("app:1");
    world.outside.state().alarms.insert("5xx".to_owned(), false);
    let mut input = World::service_request(2, false);
    input.deployment_configuration = Some(shape::DeploymentConfiguration {
        alarms: Some(shape::DeploymentAlarms { alarm_names: vec!["5xx".to_owned()], enable: true, rollback: true }),
        ..Default::default()
    });
    world.call(world.handlers.create_service, input).expect("it can be made");
    world.pass(300).await;
    assert_eq!(status(&world), ["SUCCESSFUL"]);
    deploy(&world, "app:2");
    until(&world, "it bakes", |world| stage(world) == "BAKE_TIME").await;
    world.pass(120).await;
    assert_eq!(status(&world)[0], "IN_PROGRESS", "three minutes, as long as the alarm looks back");
    world.outside.state().alarms.insert("5xx".to_owned(), true);
    world.pass(120).await;
    let over = deployments(&world).remove(0);
    assert_eq!(over.status.as_deref(), Some("ROLLBACK_SUCCESSFUL"), "{:#?}", world.events());
    let alarms = over.alarms.expect("they are told");
    assert_eq!(
        (alarms.status.as_deref(), alarms.triggered_alarm_names),
        (Some("TRIGGERED"), Some(vec!["5xx".to_owned()]))
    );
    assert_eq!(world.describe().task_definition, Some(first));
}

#[tokio::test]
async fn protected_tasks_are_left_alone() {
    let world = World::new();
    world.cluster();
    world.register("app:1");
    world.call(world.handlers.create_service, World::service_request(3, false)).expect("it can be made");
    world.pass(40).await;
    let keep: Vec<String> = world.running()[..2].iter().map(|task| task.id.clone()).collect();
    let protect = |tasks: Vec<String>, minutes: Option<i32>, on: bool| {
        let input = shape::UpdateTaskProtectionRequest {
            cluster: "c".to_owned(),
            tasks,
            protection_enabled: on,
            expires_in_minutes: minutes,
        };
        world.call(world.handlers.update_task_protection, input)
    };
    assert!(protect(keep.clone(), Some(2881), true).is_err());
    let answer = protect([keep.clone(), vec!["0".repeat(32)]].concat(), Some(10), true).expect("it can be protected");
    assert_eq!(answer.protected_tasks.map(|list| list.len()), Some(2));
    assert_eq!(answer.failures.map(|list| list.len()), Some(1));
    world.update(|input| input.desired_count = Some(1));
    world.pass(60).await;
    let left: Vec<String> = world.running().iter().map(|task| task.id.clone()).collect();
    assert_eq!(left, keep);
    let told = "was unable to scale in due to (reason 2 tasks under protection)";
    assert_eq!(world.events().iter().filter(|event| event.ends_with(told)).count(), 1, "{:#?}", world.events());
    let input = shape::GetTaskProtectionRequest { cluster: "c".to_owned(), tasks: None };
    let shown = world.call(world.handlers.get_task_protection, input).expect("it is told").protected_tasks;
    assert!(shown.expect("two").iter().all(|task| task.protection_enabled == Some(true)
        && task.expiration_date.is_some_and(|until| until > world.clock.now())));
    protect(vec![keep[0].clone()], None, false).expect("it can be ended");
    world.pass(30).await;
    assert_eq!(world.running().len(), 1);
    world.assert_no_leak().await;
}

#[tokio::test]
async fn zones_are_evened_out_again() {
    let world = World::new();
    world.cluster();
    world.register("app:1");
    world.call(world.handlers.create_service, World::service_request(4, false)).expect("it can be made");
    world.pass(40).await;
    // All tasks of one zone are told to stop while the service may have but two.
    world.update(|input| input.availability_zone_rebalancing = Some("DISABLED".to_owned()));
    world.update(|input| input.desired_count = Some(2));
    world.pass(40).await;
    let mut tx = world.store.begin();
    for task in world.running() {
        tx.update::<ecs::rows::TaskRow>(&world.scope, &task.id, |row| row.placement.zone = "us-east-1a".to_owned());
    }
    tx.commit().await.expect("the memory store commits");
    world.update(|input| input.availability_zone_rebalancing = Some("ENABLED".to_owned()));
    world.pass(60).await;
    let zones: std::collections::BTreeSet<String> =
        world.running().iter().map(|it| it.placement.zone.clone()).collect();
    assert_eq!((world.running().len(), zones.len()), (2, 2), "{:#?}", world.events());
    let events = world.events();
    let at = |needle: &str| events.iter().position(|event| event.contains(needle));
    let told = [
        at("is not AZ balanced with 2 tasks in us-east-1a, 0 tasks in us-east-1b. AZ Rebalancing in progress."),
        at("has started 1 tasks in us-east-1b to AZ Rebalance: (task "),
        at("has stopped 1 running tasks in us-east-1a due to AZ rebalancing: (task "),
        at("is AZ balanced with 1 tasks in us-east-1a, 1 tasks in us-east-1b."),
    ];
    assert!(told.iter().all(Option::is_some) && told.is_sorted(), "{told:?} {events:#?}");
}

#[tokio::test]
async fn task_sets_are_somebody_elses_to_move() {
    let world = World::new();
    world.cluster();
    world.register("app:1");
    let mut input = World::service_request(3, false);
    input.deployment_controller = Some(shape::DeploymentController { type_: "EXTERNAL".to_owned() });
    let refused = world.call(world.handlers.create_service, input.clone()).expect_err("that is a task set's");
    assert!(refused.message.contains("taskDefinition"), "{}", refused.message);
    (input.task_definition, input.network_configuration, input.load_balancers) = (None, None, None);
    (input.launch_type, input.deployment_configuration, input.service_registries) = (None, None, None);
    world.call(world.handlers.create_service, input).expect("it can be made");
    let make = |percent: f64| {
        let input = shape::CreateTaskSetRequest {
            service: "web".to_owned(),
            cluster: "c".to_owned(),
            task_definition: "web".to_owned(),
            launch_type: Some("FARGATE".to_owned()),
            network_configuration: World::network(),
            load_balancers: World::service_request(1, false).load_balancers,
            service_registries: World::service_request(1, false).service_registries,
            scale: Some(shape::Scale { value: Some(percent), unit: None }),
            ..Default::default()
        };
        let made = world.call(world.handlers.create_task_set, input).expect("it can be made");
        made.task_set.and_then(|set| set.id).expect("an id")
    };
    let (blue, green) = (make(100.0), make(40.0));
    world.pass(60).await;
    let sets = || {
        let input =
            shape::DescribeTaskSetsRequest { cluster: "c".to_owned(), service: "web".to_owned(), ..Default::default() };
        let answer = world.call(world.handlers.describe_task_sets, input).expect("they can be described");
        let row = |set: shape::TaskSet| (set.id, set.status, set.running_count, set.stability_status);
        answer.task_sets.unwrap_or_default().into_iter().map(row).collect::<Vec<_>>()
    };
    let is = |id: &str, status: &str, running: i32| {
        (Some(id.to_owned()), Some(status.to_owned()), Some(running), Some("STEADY_STATE".to_owned()))
    };
    assert_eq!(sets(), [is(&green, "ACTIVE", 2), is(&blue, "ACTIVE", 3)], "1.2 are two");
    let input = shape::UpdateServicePrimaryTaskSetRequest {
        cluster: "c".to_owned(),
        service: "web".to_owned(),
        primary_task_set: green.clone(),
    };
    world.call(world.handlers.update_service_primary_task_set, input).expect("it can be made the primary one");
    let input = shape::UpdateTaskSetRequest {
        cluster: "c".to_owned(),
        service: "web".to_owned(),
        task_set: green.clone(),
        scale: shape::Scale { value: Some(100.0), unit: Some("PERCENT".to_owned()) },
    };
    world.call(world.handlers.update_task_set, input).expect("it can be scaled");
    let delete = |force: bool| {
        let input = shape::DeleteTaskSetRequest {
            cluster: "c".to_owned(),
            service: "web".to_owned(),
            task_set: blue.clone(),
            force: Some(force),
        };
        world.call(world.handlers.delete_task_set, input)
    };
    assert!(delete(false).is_err());
    delete(true).expect("it can be deleted by force");
    world.pass(60).await;
    assert_eq!(sets(), [is(&green, "PRIMARY", 3)]);
    let shown = world.describe();
    assert_eq!(shown.task_sets.map(|list| list.len()), Some(1));
    assert_eq!(shown.deployments.map(|list| list.len()), Some(0));
    world.assert_no_leak().await;
    let input =
        shape::DeleteServiceRequest { cluster: Some("c".to_owned()), service: "web".to_owned(), force: Some(true) };
    world.call(world.handlers.delete_service, input).expect("it can be deleted");
    world.pass(60).await;
    assert_eq!(world.describe().status.as_deref(), Some("INACTIVE"));
    world.assert_no_leak().await;
}

fn entry(input: &mut shape::CreateServiceRequest) -> &mut Option<shape::AdvancedConfiguration> {
    &mut input.load_balancers.as_mut().expect("one")[0].advanced_configuration
}

fn configuration(input: &mut shape::CreateServiceRequest) -> &mut shape::DeploymentConfiguration {
    input.deployment_configuration.as_mut().expect("one")
}

#[test]
fn what_is_not_valid_is_refused_in_awss_words() {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(async {
        let world = World::new();
        world.cluster();
        world.register("app:1");
        let advanced = || shape::AdvancedConfiguration {
            alternate_target_group_arn: Some(GREEN.to_owned()),
            production_listener_rule: Some(RULE.to_owned()),
            test_listener_rule: Some(TEST_RULE.to_owned()),
            role_arn: Some(SHIFTER.to_owned()),
        };
        let refused = |change: &dyn Fn(&mut shape::CreateServiceRequest)| {
            let mut input = World::service_request(1, false);
            input.load_balancers.as_mut().expect("one")[0].advanced_configuration = Some(advanced());
            input.deployment_configuration = Some(blue_green());
            change(&mut input);
            world.call(world.handlers.create_service, input).expect_err("it must be refused").message
        };
        assert_eq!(
            refused(&|input| *entry(input) = None),
            "advancedConfiguration field is required for all loadBalancers when using a non-ROLLING deployment strategy"
        );
        let listener = "arn:aws:elasticloadbalancing:us-east-1:123456789012:listener/app/web/1/2";
        assert_eq!(
            refused(&|input| entry(input).as_mut().expect("one").production_listener_rule = Some(listener.to_owned())),
            format!("productionListenerRule has an invalid ARN format. Must be RuleArn for ALB or ListenerArn for NLB. Got: {listener}")
        );
        assert_eq!(
            refused(&|input| entry(input).as_mut().expect("one").test_listener_rule = Some(RULE.to_owned())),
            format!("The following rules cannot be used as both production and test listener rules: {RULE}")
        );
        assert_eq!(
            refused(&|input| entry(input).as_mut().expect("one").alternate_target_group_arn = Some(GROUP.to_owned())),
            format!("Duplicate targetGroupArn found: {GROUP}")
        );
        world.outside.state().rules.insert(RULE.to_owned(), vec![(GROUP.to_owned(), 1)]);
        assert_eq!(
            refused(&|input| entry(input).as_mut().expect("one").test_listener_rule = None),
            "For Application LoadBalancer, testListenerRule is required when productionListenerRule is not associated with both targetGroup and alternateTargetGroup"
        );
        let hook = |kind: Option<&str>, stage: &str| shape::DeploymentLifecycleHook {
            target_type: kind.map(str::to_owned),
            lifecycle_stages: Some(vec![stage.to_owned()]),
            ..Default::default()
        };
        assert_eq!(
            refused(&|input| configuration(input).lifecycle_hooks = Some(vec![hook(Some("PAUSE"), "TEST_TRAFFIC_SHIFT")])),
            "Invalid lifecycle stage provided for Pause Hook"
        );
        let lambda = refused(&|input| configuration(input).lifecycle_hooks = Some(vec![hook(None, "POST_SCALE_UP")]));
        assert!(lambda.contains("AWS Lambda"), "{lambda}");
        let linear = |percent: f64| {
            refused(&|input| {
                *configuration(input) = shape::DeploymentConfiguration {
                    strategy: Some("LINEAR".to_owned()),
                    linear_configuration: Some(shape::LinearConfiguration {
                        step_percent: Some(percent),
                        step_bake_time_in_minutes: None,
                    }),
                    ..Default::default()
                };
            })
        };
        for wrong in [2.9, 100.1, 3.05, f64::NAN] {
            assert_eq!(linear(wrong), "stepPercent should be a multiple of 0.1 from 3.0 to 100.0.");
        }
    });
}
