//! Lifecycle hooks as their users see them: instances wait before they serve and before they end, until somebody says so.

#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, reason = "each test uses a part of the world")]

mod world;

use model::autoscaling as api;
use model::events::{PutRuleRequest, PutTargetsRequest, Target};
use std::time::Duration;
use types::Scope;
use world::World;

const LAUNCHING: &str = "autoscaling:EC2_INSTANCE_LAUNCHING";
const TERMINATING: &str = "autoscaling:EC2_INSTANCE_TERMINATING";

/// Small steps on the way of a story.
impl World {
    fn hook(&self, name: &str, transition: &str, change: impl FnOnce(&mut api::PutLifecycleHookType)) {
        let mut input = api::PutLifecycleHookType {
            lifecycle_hook_name: name.to_owned(),
            auto_scaling_group_name: "nodes".to_owned(),
            lifecycle_transition: Some(transition.to_owned()),
            ..Default::default()
        };
        change(&mut input);
        self.ok(self.handlers.put_lifecycle_hook, input);
    }

    fn complete(&self, hook: &str, instance: &str, result: &str) -> Result<(), String> {
        let input = api::CompleteLifecycleActionType {
            lifecycle_hook_name: hook.to_owned(),
            auto_scaling_group_name: "nodes".to_owned(),
            lifecycle_action_token: None,
            lifecycle_action_result: result.to_owned(),
            instance_id: Some(instance.to_owned()),
        };
        let answer = self.call(&self.service, self.handlers.complete_lifecycle_action, input);
        answer.map(|_| ()).map_err(|error| format!("{}: {}", error.code, error.message))
    }

    fn states(&self) -> Vec<(String, String)> {
        let all = self.group().and_then(|group| group.instances).unwrap_or_default();
        all.into_iter().map(|one| (one.instance_id, one.lifecycle_state)).collect()
    }

    /// The instances in this state.
    fn at(&self, state: &str) -> Vec<String> {
        self.states().into_iter().filter(|one| one.1 == state).map(|one| one.0).collect()
    }

    fn wait(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
        self.settle();
    }

    fn one_instance(&self, change: impl FnOnce(&mut api::CreateAutoScalingGroupType)) {
        self.create(|input| {
            (input.desired_capacity, input.max_size) = (Some(1), 2);
            change(input);
        })
        .unwrap();
        self.settle();
    }
}

#[test]
fn instances_wait_before_they_serve() {
    let world = World::new();
    let hook = api::LifecycleHookSpecification {
        lifecycle_hook_name: "warm".to_owned(),
        lifecycle_transition: LAUNCHING.to_owned(),
        notification_metadata: Some("cache=hot".to_owned()),
        heartbeat_timeout: Some(60),
        ..Default::default()
    };
    world.one_instance(|input| input.lifecycle_hook_specification_list = Some(vec![hook]));
    let waiting = world.at("Pending:Wait");
    assert_eq!((waiting.len(), world.states().len()), (1, 1), "{:?}", world.states());
    assert_eq!(world.activities()[0].status_code, "MidLifecycleAction");
    assert_eq!(
        world.complete("cold", &waiting[0], "CONTINUE").unwrap_err(),
        format!("ValidationError: No active Lifecycle Action found with instance ID {}", waiting[0])
    );
    world.wait(50);
    let beat = api::RecordLifecycleActionHeartbeatType {
        lifecycle_hook_name: "warm".to_owned(),
        auto_scaling_group_name: "nodes".to_owned(),
        instance_id: Some(waiting[0].clone()),
        lifecycle_action_token: None,
    };
    world.ok(world.handlers.record_lifecycle_action_heartbeat, beat.clone());
    world.wait(50);
    assert_eq!(world.at("Pending:Wait"), waiting, "a heartbeat makes it wait for longer");
    world.complete("warm", &waiting[0], "CONTINUE").unwrap();
    world.settle();
    assert_eq!(world.at("InService"), waiting);
    let launch = &world.activities()[0];
    assert_eq!((launch.status_code.as_str(), launch.end_time.is_some()), ("Successful", true));
    let late = world.refused(world.handlers.record_lifecycle_action_heartbeat, beat);
    assert_eq!(late, "ValidationError", "it waits for nothing any more");

    let told = api::DescribeLifecycleHooksType {
        auto_scaling_group_name: "nodes".to_owned(),
        lifecycle_hook_names: Some(vec!["warm".to_owned()]),
    };
    let shown = world.ok(world.handlers.describe_lifecycle_hooks, told).lifecycle_hooks.unwrap();
    assert_eq!((shown[0].heartbeat_timeout, shown[0].global_timeout), (Some(60), Some(6000)));
    assert_eq!((shown[0].default_result.as_deref(), shown.len()), (Some("ABANDON"), 1));
}

#[test]
fn a_launch_that_is_given_up_is_ended_and_tried_again() {
    let world = World::new();
    world.one_instance(|input| input.desired_capacity = Some(0));
    world.hook("warm", LAUNCHING, |hook| hook.heartbeat_timeout = Some(30));
    assert_eq!(world.set_desired(1), "success");
    world.settle();
    let first = world.at("Pending:Wait");
    world.complete("warm", &first[0], "ABANDON").unwrap();
    world.settle();
    assert!(!world.states().iter().any(|one| one.0 == first[0]), "it is gone: {:?}", world.states());
    let told = world.activities();
    let launch = told.iter().find(|one| one.description.as_deref().unwrap().starts_with("Launching")).unwrap();
    assert_eq!(launch.status_code, "Cancelled");
    let message = launch.status_message.as_deref().unwrap();
    assert!(message.ends_with("was abandoned: Lifecycle Action Completed with ABANDON Result"), "{message}");
    assert!(told.iter().any(|one| one.cause.contains("in response to a launch failure")), "{told:?}");

    world.wait(5);
    let second = world.at("Pending:Wait");
    assert_eq!(second.len(), 1, "another one in its place");
    world.wait(30);
    let told = world.activities();
    let silent =
        told.iter().filter(|one| one.status_message.as_deref().is_some_and(|text| text.ends_with("Heartbeat Timeout")));
    assert_eq!(silent.count(), 1, "silence is ABANDON by default: {told:?}");

    // A hook that is taken off gives up launches that wait for it, and keeps none after.
    world.wait(10);
    assert_eq!(world.at("Pending:Wait").len(), 1);
    let off = api::DeleteLifecycleHookType {
        lifecycle_hook_name: "warm".to_owned(),
        auto_scaling_group_name: "nodes".to_owned(),
    };
    world.ok(world.handlers.delete_lifecycle_hook, off.clone());
    world.settle();
    world.wait(30);
    assert_eq!(world.at("InService").len(), 1, "{:?}", world.states());
    assert_eq!(world.refused(world.handlers.delete_lifecycle_hook, off), "ValidationError");
}

#[test]
fn instances_wait_before_they_end() {
    let world = World::new();
    world.one_instance(|_| {});
    world.hook("drain", TERMINATING, |hook| hook.heartbeat_timeout = Some(100));
    world.hook("logs", TERMINATING, |hook| {
        (hook.heartbeat_timeout, hook.default_result) = (Some(100), Some("CONTINUE".to_owned()));
    });
    let id = world.at("InService")[0].clone();
    assert_eq!(world.set_desired(0), "success");
    world.settle();
    assert_eq!(world.at("Terminating:Wait"), [id.as_str()]);
    let instance = vpc::query::instance(&world.store.view(), &Scope::default(), &id).unwrap();
    assert!(!instance.state.is_over(), "it runs meanwhile");
    let again = api::TerminateInstanceInAutoScalingGroupType {
        instance_id: Some(id.clone()),
        should_decrement_desired_capacity: false,
        ..Default::default()
    };
    let told = world.call(&world.service, world.handlers.terminate_instance_in_auto_scaling_group, again).unwrap_err();
    let ends = |one: &api::Activity| one.description.as_deref().is_some_and(|text| text.starts_with("Terminating"));
    let under_way = world.activities().into_iter().find(ends).unwrap().activity_id;
    let text = format!("Scaling activity {under_way} is in progress and blocks this action");
    assert_eq!((told.code.as_str(), told.message), ("ScalingActivityInProgress", text), "it is the group's still");
    let delete = |force| api::DeleteAutoScalingGroupType {
        auto_scaling_group_name: "nodes".to_owned(),
        force_delete: Some(force),
    };
    assert_eq!(world.refused(world.handlers.delete_auto_scaling_group, delete(false)), "ScalingActivityInProgress");
    world.complete("logs", &id, "CONTINUE").unwrap();
    world.settle();
    assert_eq!(world.at("Terminating:Wait"), [id.as_str()], "there is another hook");
    assert_eq!(world.set_desired(1), "success");
    world.settle();
    assert_eq!(world.at("InService").len(), 1, "one that is to end counts no more");
    world.wait(100);
    assert!(world.states().iter().all(|one| one.0 != id), "it ends either way: {:?}", world.states());

    // ABANDON waits for nobody else, and a group that goes by force waits for nothing.
    assert_eq!(world.set_desired(2), "success");
    world.settle();
    let all = world.at("InService");
    assert_eq!(world.set_desired(0), "success");
    world.settle();
    assert_eq!(world.at("Terminating:Wait").len(), 2);
    world.complete("drain", &all[0], "ABANDON").unwrap();
    world.settle();
    assert_eq!(world.states().len(), 1);
    assert_eq!(world.refused(world.handlers.delete_auto_scaling_group, delete(true)), "success");
    world.settle();
    assert!(world.group().is_none());
    assert!(vpc::query::running_instances(&world.store.view(), &Scope::default()).is_empty());
}

#[test]
fn event_bridge_is_told_of_actions() {
    let world = World::new();
    let rules = events::handlers();
    let rule = PutRuleRequest {
        name: "hooks".to_owned(),
        event_pattern: Some(r#"{"source":["aws.autoscaling"]}"#.to_owned()),
        ..Default::default()
    };
    world.call(&events::Events, rules.put_rule, rule).unwrap();
    let arn = "arn:aws:logs:us-east-1:123456789012:log-group:/aws/events/hooks".to_owned();
    let target = Target { id: "logs".to_owned(), arn, ..Default::default() };
    let targets = PutTargetsRequest { rule: "hooks".to_owned(), targets: vec![target], ..Default::default() };
    world.call(&events::Events, rules.put_targets, targets).unwrap();
    world.one_instance(|_| {});
    world.hook("drain", TERMINATING, |hook| hook.notification_metadata = Some("why".to_owned()));
    assert_eq!(world.set_desired(0), "success");
    world.settle();
    let view = world.store.view();
    let told: Vec<_> = view.scan::<events::rows::Delivery>(&Scope::default()).map(|row| row.message.clone()).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    let event: serde_json::Value = serde_json::from_str(&told[0]).unwrap();
    assert_eq!(event["detail-type"], "EC2 Instance-terminate Lifecycle Action");
    let detail = &event["detail"];
    assert_eq!((&detail["Origin"], &detail["Destination"]), (&"AutoScalingGroup".into(), &"EC2".into()));
    assert_eq!(detail["NotificationMetadata"], "why");
    let token = detail["LifecycleActionToken"].as_str().unwrap();
    let input = api::CompleteLifecycleActionType {
        lifecycle_hook_name: "drain".to_owned(),
        auto_scaling_group_name: "nodes".to_owned(),
        lifecycle_action_token: Some(token.to_owned()),
        lifecycle_action_result: "CONTINUE".to_owned(),
        instance_id: None,
    };
    world.ok(world.handlers.complete_lifecycle_action, input);
    world.settle();
    assert!(world.states().is_empty());
}

#[test]
fn bad_hooks_are_refused() {
    let world = World::new();
    world.one_instance(|input| input.desired_capacity = Some(0));
    let refused = |change: &dyn Fn(&mut api::PutLifecycleHookType)| {
        let mut input = api::PutLifecycleHookType {
            lifecycle_hook_name: "hook".to_owned(),
            auto_scaling_group_name: "nodes".to_owned(),
            lifecycle_transition: Some(LAUNCHING.to_owned()),
            ..Default::default()
        };
        change(&mut input);
        world.refused(world.handlers.put_lifecycle_hook, input)
    };
    assert_eq!(refused(&|input| input.lifecycle_transition = None), "ValidationError");
    assert_eq!(refused(&|input| input.lifecycle_transition = Some("later".to_owned())), "ValidationError");
    assert_eq!(refused(&|input| input.heartbeat_timeout = Some(29)), "ValidationError");
    assert_eq!(refused(&|input| input.heartbeat_timeout = Some(7201)), "ValidationError");
    assert_eq!(refused(&|input| input.default_result = Some("RETRY".to_owned())), "ValidationError");
    assert_eq!(refused(&|input| input.auto_scaling_group_name = "none".to_owned()), "ValidationError");
    let topic = "arn:aws:sns:us-east-1:123456789012:topic";
    assert_eq!(refused(&|input| input.notification_target_arn = Some(topic.to_owned())), "NotImplemented");
    assert_eq!(refused(&|input| input.notification_target_arn = Some(String::new())), "success");
    assert_eq!(refused(&|input| (input.lifecycle_transition, input.heartbeat_timeout) = (None, Some(30))), "success");
    for number in 1..50 {
        assert_eq!(refused(&|input| input.lifecycle_hook_name = format!("hook-{number}")), "success");
    }
    assert_eq!(refused(&|input| input.lifecycle_hook_name = "one-more".to_owned()), "LimitExceeded");
    assert_eq!(refused(&|input| input.default_result = Some("CONTINUE".to_owned())), "success", "it is there");
    let unnamed = api::CompleteLifecycleActionType {
        lifecycle_hook_name: "hook".to_owned(),
        auto_scaling_group_name: "nodes".to_owned(),
        lifecycle_action_result: "CONTINUE".to_owned(),
        ..Default::default()
    };
    assert_eq!(world.refused(world.handlers.complete_lifecycle_action, unnamed), "ValidationError");
}
