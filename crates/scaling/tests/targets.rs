//! Stories of automatic scaling through its handlers, the alarms' evaluator and the scaler, with a store in memory, a fake
//! service and a simulated clock.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use controller::{Controller, Key};
use gateway::{Context, Principal};
use model::application_autoscaling::{
    DeleteScalingPolicyRequest, DeregisterScalableTargetRequest, DescribeScalableTargetsRequest,
    DescribeScalingActivitiesRequest, DescribeScalingPoliciesRequest, DescribeScheduledActionsRequest, Handlers,
    PredefinedMetricSpecification, PutScalingPolicyRequest, PutScalingPolicyResponse, PutScheduledActionRequest,
    RegisterScalableTargetRequest, RegisterScalableTargetResponse, ScalableTargetAction, ScalingActivity,
    StepAdjustment, StepScalingPolicyConfiguration, SuspendedState, TargetTrackingScalingPolicyConfiguration,
};
use model::cloudwatch::PutMetricAlarmInput;
use observe::Observe;
use observe::alarms::{Alarm, Evaluator};
use observe::publish::{Sample, publish};
use scaling::ports::{Capacity, Services};
use scaling::{Scaler, Scaling};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::{Change, Store, Tx, View};
use types::{AccountId, ApiError, Clock, Pace, Scope, SimClock, Timestamp};

/// The start of a minute.
const NOW: Timestamp = Timestamp(1_790_000_040_000);
const RESOURCE: &str = "service/prod/web";
const DIMENSION: &str = "ecs:service:DesiredCount";

/// One service, whose tasks start at once unless they are held back.
#[derive(Default)]
struct Service {
    state: Mutex<(u32, Option<u32>, Vec<String>)>,
}

impl Services for Service {
    fn capacity(&self, _: &View, _: &Scope, resource: &str) -> Option<Capacity> {
        let state = self.state.lock().unwrap();
        (resource == RESOURCE).then(|| Capacity { desired: state.0, running: state.1.unwrap_or(state.0) })
    }

    fn set_desired(&self, _: &mut Tx, _: &Scope, _: &str, count: u32, _: Timestamp) -> Result<(), String> {
        self.state.lock().unwrap().0 = count;
        Ok(())
    }

    fn announce(&self, _: &mut Tx, _: &Scope, _: &str, message: &str, _: Timestamp) {
        self.state.lock().unwrap().2.push(message.to_owned());
    }

    fn tables(&self) -> &'static [&'static str] {
        &[]
    }

    fn resource(&self, _: &View, _: &Change) -> Option<String> {
        None
    }
}

struct World {
    store: Store,
    clock: SimClock,
    service: Arc<Service>,
    scaling: Scaling,
    api: Handlers<Scaling, Context>,
    evaluator: Evaluator,
    scaler: Scaler,
}

impl World {
    fn new(desired: u32) -> Self {
        let store = Store::in_memory([observe::tables(), scaling::tables()].concat());
        let clock = SimClock::new(NOW);
        let service = Arc::new(Service::default());
        service.state.lock().unwrap().0 = desired;
        let arc: Arc<dyn Clock> = Arc::new(clock.clone());
        Self {
            evaluator: Evaluator::new(store.clone(), arc.clone(), Pace::REAL),
            scaler: Scaler::new(store.clone(), arc, Pace::REAL, service.clone()),
            scaling: Scaling { services: service.clone() },
            api: scaling::handlers(),
            store,
            clock,
            service,
        }
    }

    /// A world with a registered target.
    async fn registered(desired: u32, min: i32, max: i32) -> Self {
        let world = Self::new(desired);
        world.register(Some(min), Some(max)).unwrap();
        world.scale().await;
        world
    }

    fn call<S, T>(&self, state: &S, run: impl FnOnce(&S, &mut Context) -> Result<T, ApiError>) -> Result<T, ApiError> {
        let principal = Principal::root(&AccountId::default(), "test");
        let mut cx = Context::new(self.store.clone(), Scope::default(), principal, self.clock.now());
        let outcome = run(state, &mut cx);
        let tx = cx.take_tx();
        if outcome.is_ok()
            && let Some(tx) = tx
        {
            tx.commit().wait_blocking().expect("a store in memory commits");
        }
        outcome
    }

    fn register(&self, min: Option<i32>, max: Option<i32>) -> Result<RegisterScalableTargetResponse, ApiError> {
        self.call(&self.scaling, |s, cx| {
            (self.api.register_scalable_target)(
                s,
                cx,
                RegisterScalableTargetRequest { min_capacity: min, max_capacity: max, ..register() },
            )
        })
    }

    fn put(&self, input: PutScalingPolicyRequest) -> Result<PutScalingPolicyResponse, ApiError> {
        self.call(&self.scaling, |s, cx| (self.api.put_scaling_policy)(s, cx, input))
    }

    fn activities(&self) -> Vec<ScalingActivity> {
        let input = DescribeScalingActivitiesRequest { service_namespace: "ecs".to_owned(), ..Default::default() };
        let answer = self.call(&self.scaling, |s, cx| (self.api.describe_scaling_activities)(s, cx, input));
        answer.unwrap().scaling_activities.unwrap()
    }

    fn alarms(&self) -> Vec<Arc<Alarm>> {
        self.store.view().scan::<Alarm>(&Scope::default()).cloned().collect()
    }

    fn desired(&self) -> u32 {
        self.service.state.lock().unwrap().0
    }

    async fn scale(&self) {
        self.scaler.reconcile(&Key::new(&Scope::default(), RESOURCE)).await.unwrap();
    }

    /// A minute in which the service's tasks were so busy; what it leads to.
    async fn minute(&self, cpu: f64) -> u32 {
        let begun = self.clock.now().0.div_euclid(60_000) * 60_000;
        self.clock.advance(Duration::from_millis(u64::try_from(begun + 60_000 - self.clock.now().0).unwrap()));
        let sample = Sample {
            namespace: "AWS/ECS",
            name: "CPUUtilization",
            dimensions: vec![("ClusterName", "prod".to_owned()), ("ServiceName", "web".to_owned())],
            at: Timestamp(begun),
            unit: "Percent",
            values: vec![(cpu, 1.0)],
            sum: None,
        };
        publish(&self.store, &[(Scope::default(), sample)]).await.unwrap();
        self.clock.advance(Duration::from_secs(20));
        for alarm in self.alarms() {
            self.evaluator.reconcile(&Key::new(&Scope::default(), &alarm.name)).await.unwrap();
        }
        self.scale().await;
        // And again, as a change of a row would have it.
        self.scale().await;
        self.desired()
    }
}

fn register() -> RegisterScalableTargetRequest {
    RegisterScalableTargetRequest {
        service_namespace: "ecs".to_owned(),
        resource_id: RESOURCE.to_owned(),
        scalable_dimension: DIMENSION.to_owned(),
        ..Default::default()
    }
}

fn cpu70() -> PutScalingPolicyRequest {
    PutScalingPolicyRequest {
        policy_name: "cpu70".to_owned(),
        service_namespace: "ecs".to_owned(),
        resource_id: RESOURCE.to_owned(),
        scalable_dimension: DIMENSION.to_owned(),
        policy_type: Some("TargetTrackingScaling".to_owned()),
        target_tracking_scaling_policy_configuration: Some(TargetTrackingScalingPolicyConfiguration {
            target_value: 70.0,
            predefined_metric_specification: Some(PredefinedMetricSpecification {
                predefined_metric_type: "ECSServiceAverageCPUUtilization".to_owned(),
                resource_label: None,
            }),
            scale_out_cooldown: Some(60),
            scale_in_cooldown: Some(300),
            ..Default::default()
        }),
        ..Default::default()
    }
}

#[tokio::test]
async fn target_tracking_scales_a_service_out_and_in_and_tells_why() {
    let world = World::registered(2, 2, 20).await;
    assert!(world.activities().is_empty(), "the service was within its bounds");
    let answer = world.put(cpu70()).unwrap();
    let alarms = world.alarms();
    assert_eq!((answer.alarms.unwrap().len(), alarms.len()), (2, 2));
    let high = alarms.iter().find(|alarm| alarm.name.contains("-AlarmHigh-")).unwrap();
    assert!(high.name.starts_with("TargetTracking-service/prod/web-AlarmHigh-"), "{}", high.name);
    assert_eq!(
        high.description.clone().unwrap(),
        format!("DO NOT EDIT OR DELETE. For TargetTrackingScaling policy {}.", answer.policy_arn)
    );
    assert!(high.actions.alarm[0].starts_with(&format!("{}:createdBy/", answer.policy_arn)));

    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.push(world.minute(95.0).await);
    }
    assert_eq!(seen, [2, 2, 3, 5, 7], "ceil(n * 95 / 70) from the third minute on");
    let newest = &world.activities()[0];
    assert_eq!(newest.description, "Setting desired count to 7.");
    assert_eq!(newest.cause, format!("monitor alarm {} in state ALARM triggered policy cpu70", high.name));
    assert_eq!(newest.status_code, "Successful");
    assert_eq!(
        newest.status_message.as_deref(),
        Some("Successfully set desired count to 7. Change successfully fulfilled by ecs.")
    );
    let events = world.service.state.lock().unwrap().2.clone();
    assert!(events[0].starts_with("Message: Successfully set desired count to 3. Change"), "{events:?}");

    let mut seen = Vec::new();
    for _ in 0..16 {
        seen.push(world.minute(20.0).await);
    }
    assert_eq!(seen[..14], [7; 14], "the low alarm needs fifteen minutes");
    assert_eq!(seen[14], 2, "ceil(7 * 20 / 70)");
    assert_eq!(world.activities()[0].cause.split(' ').nth(2).map(|name| name.contains("-AlarmLow-")), Some(true));
}

#[tokio::test]
async fn an_activity_waits_for_the_service_and_is_overridden_by_a_later_one() {
    let world = World::registered(2, 2, 20).await;
    world.put(cpu70()).unwrap();
    world.service.state.lock().unwrap().1 = Some(2);
    for _ in 0..3 {
        world.minute(100.0).await;
    }
    let waiting = &world.activities()[0];
    assert_eq!((waiting.status_code.as_str(), waiting.end_time), ("InProgress", None));
    assert_eq!(
        waiting.status_message.as_deref(),
        Some("Successfully set desired count to 3. Waiting for change to be fulfilled by ecs.")
    );
    world.minute(100.0).await;
    let codes: Vec<String> = world.activities().into_iter().map(|activity| activity.status_code).collect();
    assert_eq!(codes, ["InProgress", "Overridden"]);
}

#[tokio::test]
async fn bounds_that_are_set_are_kept_at_once() {
    let world = World::registered(1, 2, 4).await;
    assert_eq!(world.desired(), 2);
    assert_eq!(world.activities()[0].cause, "minimum capacity was set to 2");
    // What others ask for afterwards is theirs.
    world.service.state.lock().unwrap().0 = 9;
    world.scale().await;
    assert_eq!(world.desired(), 9);
    world.register(None, Some(5)).unwrap();
    world.scale().await;
    assert_eq!((world.desired(), world.activities()[0].cause.as_str()), (5, "maximum capacity was set to 5"));
}

#[tokio::test]
async fn steps_follow_alarms_of_users() {
    let world = World::registered(4, 1, 10).await;
    let answer = world
        .put(PutScalingPolicyRequest {
            policy_name: "steps".to_owned(),
            policy_type: None,
            target_tracking_scaling_policy_configuration: None,
            step_scaling_policy_configuration: Some(StepScalingPolicyConfiguration {
                adjustment_type: Some("ChangeInCapacity".to_owned()),
                step_adjustments: Some(vec![
                    StepAdjustment {
                        metric_interval_lower_bound: Some(0.0),
                        metric_interval_upper_bound: Some(20.0),
                        scaling_adjustment: 1,
                    },
                    StepAdjustment {
                        metric_interval_lower_bound: Some(20.0),
                        metric_interval_upper_bound: None,
                        scaling_adjustment: 3,
                    },
                ]),
                cooldown: Some(180),
                ..Default::default()
            }),
            ..cpu70()
        })
        .unwrap();
    let metrics = observe::cloudwatch_handlers();
    let alarm = PutMetricAlarmInput {
        alarm_name: "busy".to_owned(),
        namespace: Some("AWS/ECS".to_owned()),
        metric_name: Some("CPUUtilization".to_owned()),
        dimensions: Some(
            [("ClusterName", "prod"), ("ServiceName", "web")]
                .map(|(name, value)| model::cloudwatch::Dimension { name: name.to_owned(), value: value.to_owned() })
                .to_vec(),
        ),
        statistic: Some("Average".to_owned()),
        period: Some(60),
        evaluation_periods: Some(1),
        threshold: Some(60.0),
        comparison_operator: Some("GreaterThanThreshold".to_owned()),
        alarm_actions: Some(vec![answer.policy_arn]),
        ..Default::default()
    };
    world.call(&Observe, |o, cx| (metrics.put_metric_alarm)(o, cx, alarm)).unwrap();
    let mut seen = Vec::new();
    for cpu in [65.0, 65.0, 85.0, 65.0, 50.0] {
        seen.push(world.minute(cpu).await);
    }
    // Within the cooldown of the first step, from 4 to 5, another one of its size is nothing, and one of three makes 7.
    assert_eq!(seen, [5, 5, 7, 7, 7]);
    let input = DescribeScalingPoliciesRequest { service_namespace: "ecs".to_owned(), ..Default::default() };
    let policies = world.call(&world.scaling, |s, cx| (world.api.describe_scaling_policies)(s, cx, input)).unwrap();
    assert_eq!(policies.scaling_policies.unwrap()[0].alarms.as_ref().unwrap()[0].alarm_name, "busy");
}

#[tokio::test]
async fn scheduled_actions_set_the_bounds_when_due() {
    let world = World::registered(2, 1, 4).await;
    let put = |name: &str, schedule: &str, min, max| {
        let input = PutScheduledActionRequest {
            service_namespace: "ecs".to_owned(),
            scheduled_action_name: name.to_owned(),
            resource_id: RESOURCE.to_owned(),
            scalable_dimension: DIMENSION.to_owned(),
            schedule: Some(schedule.to_owned()),
            scalable_target_action: Some(ScalableTargetAction { min_capacity: min, max_capacity: max }),
            ..Default::default()
        };
        world.call(&world.scaling, |s, cx| (world.api.put_scheduled_action)(s, cx, input))
    };
    assert_eq!(put("x", "cron(nonsense)", Some(1), None).unwrap_err().code, "ValidationException");
    assert_eq!(
        put("x", "rate(1 hour)", None, None).unwrap_err().message,
        "At least one of minimum capacity and maximum capacity should be provided"
    );
    put("morning", "rate(1 hour)", Some(6), Some(8)).unwrap();
    world.clock.advance(Duration::from_secs(3599));
    world.scale().await;
    assert_eq!(world.desired(), 2);
    world.clock.advance(Duration::from_secs(1));
    world.scale().await;
    assert_eq!(world.desired(), 6);
    let activities = world.activities();
    assert_eq!(activities[0].cause, "minimum capacity was set to 6");
    assert_eq!(activities[1].description, "Setting min capacity to 6 and max capacity to 8");
    assert_eq!(activities[1].cause, "scheduled action name morning was triggered");
    world.scale().await;
    assert_eq!(world.activities().len(), 2, "an action ran twice");
    // One that would turn the bounds round fails and says so, and suspended ones do nothing.
    put("wrong", "at(2026-09-21T16:00:00)", Some(9), None).unwrap();
    world.clock.advance(Duration::from_secs(3 * 3600));
    world.scale().await;
    assert!(world.activities().iter().any(|activity| activity.status_code == "Failed"));
    let suspended = SuspendedState { scheduled_scaling_suspended: Some(true), ..Default::default() };
    let input = RegisterScalableTargetRequest { suspended_state: Some(suspended), ..register() };
    world.call(&world.scaling, |s, cx| (world.api.register_scalable_target)(s, cx, input)).unwrap();
    let before = world.activities().len();
    world.clock.advance(Duration::from_secs(2 * 3600));
    world.scale().await;
    assert_eq!(world.activities().len(), before);
}

#[tokio::test]
async fn what_cannot_be_is_refused_in_awss_words() {
    let world = World::new(2);
    let error = |outcome: Result<RegisterScalableTargetResponse, ApiError>| {
        let error = outcome.unwrap_err();
        format!("{}: {}", error.code, error.message)
    };
    assert_eq!(
        world.put(cpu70()).unwrap_err().message,
        "No scalable target registered for service namespace: ecs, resource ID: service/prod/web, scalable dimension: \
         ecs:service:DesiredCount"
    );
    assert_eq!(
        error(world.register(Some(9), Some(3))),
        "ValidationException: Maximum capacity cannot be less than minimum capacity"
    );
    assert!(error(world.register(Some(1), None)).starts_with("ValidationException"));
    assert!(error(world.register(Some(-1), Some(3))).starts_with("ValidationException"));
    let with = |change: &dyn Fn(&mut RegisterScalableTargetRequest)| {
        let mut input = RegisterScalableTargetRequest { min_capacity: Some(1), max_capacity: Some(2), ..register() };
        change(&mut input);
        error(world.call(&world.scaling, |s, cx| (world.api.register_scalable_target)(s, cx, input)))
    };
    assert_eq!(
        with(&|input| input.resource_id = "service/prod/other".to_owned()),
        "ValidationException: ECS service doesn't exist: service/prod/other"
    );
    let unsupported = "ValidationException: Unsupported service namespace, resource type or scalable dimension";
    for resource in ["service/web", "table/x", "service/a/b/c", "service/prod/w#b", ""] {
        assert_eq!(with(&|input| input.resource_id = resource.to_owned()), unsupported, "{resource}");
    }
    assert!(with(&|input| input.service_namespace = "dynamodb".to_owned()).starts_with("NotImplemented"));

    world.register(Some(1), Some(4)).unwrap();
    world.put(cpu70()).unwrap();
    let again = PutScalingPolicyRequest { policy_name: "another".to_owned(), ..cpu70() };
    assert_eq!(
        world.put(again).unwrap_err().message,
        "Only one TargetTrackingScaling policy for a given metric specification is allowed."
    );
    let change = |change: &dyn Fn(&mut TargetTrackingScalingPolicyConfiguration)| {
        let mut input = PutScalingPolicyRequest { policy_name: "p".to_owned(), ..cpu70() };
        change(input.target_tracking_scaling_policy_configuration.as_mut().unwrap());
        world.put(input).unwrap_err().code
    };
    assert_eq!(change(&|policy| policy.target_value = 0.0), "ValidationException");
    assert_eq!(change(&|policy| policy.target_value = f64::NAN), "ValidationException");
    assert_eq!(change(&|policy| policy.scale_in_cooldown = Some(-1)), "ValidationException");
    assert_eq!(change(&|policy| policy.predefined_metric_specification = None), "ValidationException");
    let metric =
        |kind: &str| PredefinedMetricSpecification { predefined_metric_type: kind.to_owned(), resource_label: None };
    for (kind, code) in [
        ("ALBRequestCountPerTarget", "ValidationException"),
        ("DynamoDBReadCapacityUtilization", "ValidationException"),
        ("ECSServiceAverageCPUUtilizationHighResolution", "NotImplemented"),
    ] {
        assert_eq!(change(&|policy| policy.predefined_metric_specification = Some(metric(kind))), code, "{kind}");
    }
    assert_eq!(world.alarms().len(), 2, "a refused policy left alarms");
}

#[tokio::test]
async fn nothing_is_left_of_what_is_deleted() {
    let world = World::registered(2, 1, 4).await;
    world.put(cpu70()).unwrap();
    // Put again without scaling in, it keeps one alarm, by its name.
    let names: Vec<String> = world.alarms().iter().map(|alarm| alarm.name.clone()).collect();
    let mut input = cpu70();
    if let Some(policy) = &mut input.target_tracking_scaling_policy_configuration {
        policy.disable_scale_in = Some(true);
    }
    world.put(input).unwrap();
    assert_eq!(world.alarms().iter().map(|alarm| alarm.name.clone()).collect::<Vec<_>>(), names[..1]);
    let delete = |input| world.call(&world.scaling, |s, cx| (world.api.delete_scaling_policy)(s, cx, input));
    let input = DeleteScalingPolicyRequest {
        policy_name: "cpu70".to_owned(),
        service_namespace: "ecs".to_owned(),
        resource_id: RESOURCE.to_owned(),
        scalable_dimension: DIMENSION.to_owned(),
    };
    delete(input).unwrap();
    assert!(world.alarms().is_empty());
    world.put(cpu70()).unwrap();
    let input = DeregisterScalableTargetRequest {
        service_namespace: "ecs".to_owned(),
        resource_id: RESOURCE.to_owned(),
        scalable_dimension: DIMENSION.to_owned(),
    };
    let deregister =
        || world.call(&world.scaling, |s, cx| (world.api.deregister_scalable_target)(s, cx, input.clone()));
    deregister().unwrap();
    assert!(world.alarms().is_empty(), "alarms outlive their target");
    assert_eq!(
        deregister().unwrap_err().message,
        "No scalable target found for service namespace: ecs, resource ID: service/prod/web, scalable dimension: \
         ecs:service:DesiredCount"
    );
    let input = DescribeScalableTargetsRequest { service_namespace: "ecs".to_owned(), ..Default::default() };
    let targets = world.call(&world.scaling, |s, cx| (world.api.describe_scalable_targets)(s, cx, input)).unwrap();
    assert!(targets.scalable_targets.unwrap().is_empty());
    let input = DescribeScheduledActionsRequest { service_namespace: "ecs".to_owned(), ..Default::default() };
    let scheduled = world.call(&world.scaling, |s, cx| (world.api.describe_scheduled_actions)(s, cx, input)).unwrap();
    assert!(scheduled.scheduled_actions.unwrap().is_empty());
}
