//! The containers of one task: who starts when, who stops when, and what is said where one cannot start.

mod fakes;

use controller::{Limits, Runner};
use ecs::rows::{ContainerRow, TaskRow};
use ecs::{Control, DefinitionKeeper, Ecs, HealthChecker, LogShipper, TaskController};
use fakes::Outside;
use gateway::{Context, Principal};
use model::ecs as shape;
use rollout::TaskStatus;
use runtime::{Sim, SimScript};
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use types::{AccountId, ApiError, Clock, Pace, Scope, SimClock, Timestamp};

struct World {
    clock: SimClock,
    store: Store,
    sim: Sim,
    runner: Arc<Runner>,
    pump: tokio::task::JoinHandle<()>,
    handlers: shape::Handlers<Ecs, Context>,
    ecs: Ecs,
}

impl World {
    fn new() -> Self {
        let clock = SimClock::new(Timestamp(1_800_000_000_000));
        let store = Store::in_memory(ecs::tables());
        let sim = Sim::new(Arc::new(clock.clone()));
        let ports = Outside::new(clock.clone()).ports();
        let control = Control {
            store: store.clone(),
            clock: Arc::new(clock.clone()),
            pace: Pace::REAL,
            runtime: Arc::new(sim.clone()),
            ports: ports.clone(),
        };
        let controllers: Vec<Arc<dyn controller::Controller>> = vec![
            Arc::new(TaskController::new(control.clone())),
            Arc::new(LogShipper::new(control.clone())),
            Arc::new(HealthChecker::new(control.clone())),
            Arc::new(DefinitionKeeper::new(control.clone())),
        ];
        let runner = Arc::new(Runner::start(&store, control.clock.clone(), controllers, Limits::default()));
        let wake = runner.clone();
        let pump = tokio::spawn(ecs::pump(control, move |name, key| {
            wake.wake(name, key);
        }));
        let world = Self { clock, store, sim, runner, pump, handlers: ecs::handlers(), ecs: Ecs::new(ports) };
        let input = shape::CreateClusterRequest { cluster_name: Some("c".to_owned()), ..Default::default() };
        world.call(world.handlers.create_cluster, input).expect("a cluster can be made");
        world
    }

    fn call<I, O>(&self, handler: fn(&Ecs, &mut Context, I) -> Result<O, ApiError>, input: I) -> Result<O, ApiError> {
        let principal = Principal::root(&AccountId::default(), "test");
        let mut cx = Context::new(self.store.clone(), Scope::default(), principal, self.clock.now());
        let answer = handler(&self.ecs, &mut cx, input)?;
        if let Some(tx) = cx.take_tx() {
            tx.commit().wait_blocking().expect("the memory store commits");
        }
        Ok(answer)
    }

    /// Lets half seconds pass, with everything settling in between.
    async fn pass(&self, halves: u64) {
        for _ in 0..halves {
            self.settle().await;
            self.clock.advance(Duration::from_millis(500));
        }
        self.settle().await;
    }

    async fn settle(&self) {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        self.runner.idle().await;
    }

    /// Registers a task of these containers and starts one.
    fn run(&self, containers: Vec<shape::ContainerDefinition>) {
        let input = shape::RegisterTaskDefinitionRequest {
            family: "web".to_owned(),
            network_mode: Some("awsvpc".to_owned()),
            requires_compatibilities: Some(vec!["FARGATE".to_owned()]),
            cpu: Some("256".to_owned()),
            memory: Some("512".to_owned()),
            container_definitions: containers,
            ..Default::default()
        };
        self.call(self.handlers.register_task_definition, input).expect("the definition is valid");
        let vpc = shape::AwsVpcConfiguration { subnets: vec!["subnet-a".to_owned()], ..Default::default() };
        let input = shape::RunTaskRequest {
            cluster: Some("c".to_owned()),
            task_definition: "web".to_owned(),
            launch_type: Some("FARGATE".to_owned()),
            network_configuration: Some(shape::NetworkConfiguration { awsvpc_configuration: Some(vpc) }),
            ..Default::default()
        };
        self.call(self.handlers.run_task, input).expect("it can be run");
    }

    fn stop(&self) {
        let input =
            shape::StopTaskRequest { cluster: Some("c".to_owned()), task: self.task().id.clone(), reason: None };
        self.call(self.handlers.stop_task, input).expect("it can be stopped");
    }

    fn task(&self) -> Arc<TaskRow> {
        self.store.view().scan::<TaskRow>(&Scope::default()).next().expect("there is a task").clone()
    }

    fn container(&self, name: &str) -> ContainerRow {
        self.task().containers.iter().find(|container| container.name == name).expect("it is there").clone()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

/// A container whose image is named after it, and who waits for these.
fn container(name: &str, essential: bool, depends_on: &[(&str, &str)]) -> shape::ContainerDefinition {
    let dependency = |(other, condition): &(&str, &str)| shape::ContainerDependency {
        container_name: (*other).to_owned(),
        condition: (*condition).to_owned(),
    };
    shape::ContainerDefinition {
        name: Some(name.to_owned()),
        image: Some(format!("{name}:1")),
        essential: Some(essential),
        depends_on: Some(depends_on.iter().map(dependency).collect()),
        ..Default::default()
    }
}

fn ends(seconds: u64, code: i32) -> SimScript {
    SimScript { exits: Some((Duration::from_secs(seconds), code)), ..SimScript::default() }
}

#[tokio::test]
async fn containers_start_one_after_the_other_and_stop_the_other_way_round() {
    let world = World::new();
    world.sim.script("migrate:1", ends(3, 0));
    for name in ["db:1", "app:1", "edge:1"] {
        let script = SimScript { on_stop: Some((Duration::from_secs(2), 0)), ..SimScript::default() };
        world.sim.script(name, script);
    }
    let check = shape::HealthCheck { command: vec!["CMD".to_owned(), "ok".to_owned()], ..Default::default() };
    let db = shape::ContainerDefinition {
        health_check: Some(shape::HealthCheck { interval: Some(5), ..check }),
        ..container("db", true, &[])
    };
    world.run(vec![
        container("edge", true, &[("app", "START")]),
        container("app", true, &[("db", "HEALTHY"), ("migrate", "SUCCESS")]),
        container("migrate", false, &[("db", "START")]),
        db,
    ]);
    world.pass(4).await;
    assert_eq!(world.task().last, TaskStatus::Activating, "some wait: {:?}", world.task().containers);
    world.pass(14).await;
    assert_eq!(world.task().last, TaskStatus::Running);
    let started = |name| world.container(name).started_at.expect("it started").0;
    assert!(started("migrate") >= started("db") && started("app") >= started("migrate") + 3000);
    assert!(started("app") >= started("db") + 5000, "the first check comes after an interval");
    assert!(started("edge") >= started("app"));
    world.stop();
    world.pass(16).await;
    assert_eq!(world.task().last, TaskStatus::Stopped);
    let ended = |name| world.container(name).finished_at.expect("it ended").0;
    assert!(ended("app") >= ended("edge") + 2000, "the app is stopped once the edge has ended");
    assert!(ended("db") >= ended("app") + 2000, "the database is stopped last");
}

#[tokio::test]
async fn a_task_whose_container_can_never_start_fails_and_says_why() {
    let world = World::new();
    world.sim.script("migrate:1", ends(1, 3));
    world.run(vec![container("app", true, &[("migrate", "SUCCESS")]), container("migrate", false, &[])]);
    world.pass(10).await;
    let task = world.task();
    let stop = task.stop.clone().expect("it failed");
    assert_eq!((stop.code.as_str(), stop.reason.as_str()), ("TaskFailedToStart", "Task failed to start"));
    let app = world.container("app");
    assert_eq!(
        app.reason.as_deref(),
        Some(
            "CannotStartContainerError: dependency graph: failed to resolve container ordering dependency \
             [migrate(migrate:1) (STOPPED->RUNNING) - Exit: 3] for target [app(app:1) (NONE->RUNNING)] as dependency did \
             not exit successfully."
        )
    );
    assert_eq!((app.exit_code, app.started_at, task.last), (Some(143), None, TaskStatus::Stopped));
}

#[tokio::test]
async fn one_that_may_fail_does_not_hold_up_the_others() {
    let world = World::new();
    let slow = shape::ContainerDefinition { start_timeout: Some(10), ..container("slow", false, &[]) };
    world.run(vec![container("app", true, &[]), container("after", false, &[("slow", "COMPLETE")]), slow]);
    world.pass(10).await;
    assert_eq!(world.task().last, TaskStatus::Activating);
    world.pass(14).await;
    assert_eq!(world.task().last, TaskStatus::Running, "{:?}", world.task().containers);
    let after = world.container("after");
    assert!(after.reason.is_some_and(|reason| reason.ends_with("has timed out.")), "its dependency had its time");
    assert_eq!((after.exit_code, after.last), (Some(143), TaskStatus::Stopped));
}

#[tokio::test]
async fn a_container_with_a_restart_policy_outlives_its_crashes() {
    let world = World::new();
    world.sim.script("app:1", ends(90, 1));
    let policy =
        shape::ContainerRestartPolicy { enabled: true, ignored_exit_codes: None, restart_attempt_period: Some(60) };
    let app = shape::ContainerDefinition { restart_policy: Some(policy), ..container("app", true, &[]) };
    world.run(vec![app]);
    world.pass(10).await;
    let first = world.container("app").started_at;
    world.pass(200).await;
    let app = world.container("app");
    assert_eq!((world.task().last, app.restarts, app.last), (TaskStatus::Running, 1, TaskStatus::Running));
    assert!(app.started_at > first && app.exit_code.is_none(), "it runs anew: {app:?}");
    let id = runtime::TaskId::parse(&world.task().id).expect("an id");
    world.pass(1).await;
    world.sim.crash(&id, "app", 2);
    world.pass(10).await;
    assert_eq!(world.task().last, TaskStatus::Stopped, "it had not run for its attempt period");
    assert_eq!(world.container("app").exit_code, Some(2));
}

#[tokio::test]
async fn a_definition_is_deleted_when_its_last_task_has_ended() {
    let world = World::new();
    world.run(vec![container("app", true, &[])]);
    world.pass(10).await;
    let name = || "web:1".to_owned();
    let delete = || {
        let input = shape::DeleteTaskDefinitionsRequest { task_definitions: vec![name(), "web:7".to_owned()] };
        let answer = world.call(world.handlers.delete_task_definitions, input).expect("it is answered");
        let reasons = answer.failures.unwrap_or_default().into_iter().filter_map(|failure| failure.reason);
        (answer.task_definitions.unwrap_or_default(), reasons.collect::<Vec<_>>())
    };
    let listed = |status: &str| {
        let input = shape::ListTaskDefinitionsRequest { status: Some(status.to_owned()), ..Default::default() };
        let answer = world.call(world.handlers.list_task_definitions, input).expect("it is answered");
        answer.task_definition_arns.unwrap_or_default().len()
    };
    let families = || {
        let input = shape::ListTaskDefinitionFamiliesRequest { status: Some("ALL".to_owned()), ..Default::default() };
        let answer = world.call(world.handlers.list_task_definition_families, input).expect("it is answered");
        answer.families.unwrap_or_default().len()
    };
    let absent =
        "The specified task definition does not exist. Specify a valid account, family, revision and try again.";
    let active = "The specified task definition is still in ACTIVE status. Please deregister the target and try again.";
    assert_eq!(delete(), (vec![], vec![active.to_owned(), absent.to_owned()]));
    let input = shape::DeregisterTaskDefinitionRequest { task_definition: name() };
    world.call(world.handlers.deregister_task_definition, input).expect("it is active");
    assert_eq!((listed("INACTIVE"), listed("DELETE_IN_PROGRESS")), (1, 0));
    let (deleted, failures) = delete();
    assert_eq!(deleted[0].status.as_deref(), Some("DELETE_IN_PROGRESS"));
    assert!(deleted[0].delete_requested_at.is_some() && failures == [absent]);
    assert_eq!((listed("INACTIVE"), listed("DELETE_IN_PROGRESS")), (0, 1));
    world.pass(300).await;
    assert_eq!((listed("DELETE_IN_PROGRESS"), families()), (1, 1), "its task still runs");
    world.stop();
    world.pass(300).await;
    assert_eq!((listed("DELETE_IN_PROGRESS"), families()), (0, 0));
    let input = shape::DescribeTaskDefinitionRequest { task_definition: name(), include: None };
    let gone = world.call(world.handlers.describe_task_definition, input).expect_err("it is gone");
    assert_eq!(gone.message, "Unable to describe task definition.");
    world.run(vec![container("app", true, &[])]);
    assert_eq!(world.store.view().scan::<TaskRow>(&Scope::default()).map(|row| row.revision).max(), Some(2));
}
