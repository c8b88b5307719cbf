//! The production controllers on a simulated clock, with a simulated runtime and simulated neighbours.

#![allow(dead_code, reason = "each test file uses a part")]

use crate::fakes::{GROUP, Outside, REGISTRY};
use controller::{Limits, Runner};
use ecs::rows::{EventsRow, ServiceRow, TaskRow};
use ecs::{
    ConnectKeeper, Control, DiscoveryHealth, Ecs, HealthChecker, InstanceController, InstanceResources, LogShipper,
    ManagedDraining, ManagedScaling, ServiceController, TaskController, TokenKeeper, WaitingTasks,
};
use gateway::{Context, Principal};
use model::ecs as shape;
use rollout::{DesiredStatus, TaskStatus};
use runtime::Sim;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use types::{AccountId, ApiError, Clock, Pace, Scope, SimClock, Timestamp};

pub(crate) struct World {
    pub(crate) clock: SimClock,
    pub(crate) store: Store,
    pub(crate) sim: Sim,
    pub(crate) outside: Arc<Outside>,
    pub(crate) control: Control,
    pub(crate) runner: Option<Arc<Runner>>,
    pub(crate) pump: Option<tokio::task::JoinHandle<()>>,
    pub(crate) scope: Scope,
    pub(crate) handlers: shape::Handlers<Ecs, Context>,
    pub(crate) ecs: Ecs,
}

impl World {
    pub(crate) fn new() -> Self {
        let clock = SimClock::new(Timestamp(1_800_000_000_000));
        let store = Store::in_memory([ecs::tables(), observe::tables()].concat());
        let sim = Sim::new(Arc::new(clock.clone()));
        let outside = Outside::new(clock.clone());
        let control = Control {
            store: store.clone(),
            clock: Arc::new(clock.clone()),
            pace: Pace::REAL,
            runtime: Arc::new(sim.clone()),
            ports: outside.ports(),
        };
        let ecs = Ecs::new(outside.ports());
        let handlers = ecs::handlers();
        let scope = Scope::default();
        let mut world = Self { clock, store, sim, outside, control, runner: None, pump: None, scope, handlers, ecs };
        world.boot();
        world
    }

    /// New controllers, as after a start of the daemon.
    pub(crate) fn boot(&mut self) {
        let control = &self.control;
        let controllers: Vec<Arc<dyn controller::Controller>> = vec![
            Arc::new(ServiceController::new(control.clone())),
            Arc::new(TaskController::new(control.clone())),
            Arc::new(InstanceController::new(control.clone())),
            Arc::new(InstanceResources::new(control.clone())),
            Arc::new(ManagedScaling::new(control.clone())),
            Arc::new(ManagedDraining::new(control.clone())),
            Arc::new(WaitingTasks::new(control.clone())),
            Arc::new(LogShipper::new(control.clone())),
            Arc::new(HealthChecker::new(control.clone())),
            Arc::new(TokenKeeper::new(control.clone())),
            Arc::new(DiscoveryHealth::new(control.clone())),
            Arc::new(ConnectKeeper::new(control.clone())),
        ];
        let runner = Arc::new(Runner::start(&self.store, control.clock.clone(), controllers, Limits::default()));
        let wake = runner.clone();
        let pump = ecs::pump(control.clone(), move |name, key| {
            wake.wake(name, key);
        });
        self.pump = Some(tokio::spawn(pump));
        self.runner = Some(runner);
    }

    /// Kills the controllers in the middle of whatever they do.
    pub(crate) async fn crash(&mut self) {
        if let Some(pump) = self.pump.take() {
            pump.abort();
            let _ = pump.await;
        }
        if let Some(runner) = self.runner.take().and_then(Arc::into_inner) {
            let _ = runner.shutdown(Duration::ZERO).await;
        }
    }

    pub(crate) fn call<I, O>(
        &self,
        handler: fn(&Ecs, &mut Context, I) -> Result<O, ApiError>,
        input: I,
    ) -> Result<O, ApiError> {
        let principal = Principal::root(&AccountId::default(), "test");
        let mut cx = Context::new(self.store.clone(), self.scope.clone(), principal, self.clock.now());
        let answer = handler(&self.ecs, &mut cx, input)?;
        if let Some(tx) = cx.take_tx() {
            tx.commit().wait_blocking().expect("the memory store commits");
        }
        Ok(answer)
    }

    /// Lets time pass in steps of half a second, with everything settling in between.
    pub(crate) async fn pass(&self, seconds: u64) {
        for _ in 0..seconds * 2 {
            self.settle().await;
            self.clock.advance(Duration::from_millis(500));
        }
        self.settle().await;
    }

    pub(crate) async fn settle(&self) {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        if let Some(runner) = &self.runner {
            runner.idle().await;
        }
    }

    /// As [`World::settle`], but what waits for time to pass goes on waiting.
    pub(crate) async fn settle_but_for_sleepers(&self) {
        let patience = async {
            for _ in 0..400 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            () = self.settle() => {}
            () = patience => {}
        }
    }

    pub(crate) fn cluster(&self) {
        let input = shape::CreateClusterRequest { cluster_name: Some("c".to_owned()), ..Default::default() };
        self.call(self.handlers.create_cluster, input).expect("a cluster can be made");
    }

    /// Registers `web` with this image.
    pub(crate) fn register(&self, image: &str) -> String {
        let log = shape::LogConfiguration {
            log_driver: "awslogs".to_owned(),
            options: Some(
                [("awslogs-group", "/ecs/web"), ("awslogs-region", "us-east-1"), ("awslogs-stream-prefix", "web")]
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .into(),
            ),
            secret_options: None,
        };
        let port = shape::PortMapping { container_port: Some(3000), ..Default::default() };
        let container = shape::ContainerDefinition {
            name: Some("web".to_owned()),
            image: Some(image.to_owned()),
            port_mappings: Some(vec![port]),
            log_configuration: Some(log),
            ..Default::default()
        };
        let input = shape::RegisterTaskDefinitionRequest {
            family: "web".to_owned(),
            network_mode: Some("awsvpc".to_owned()),
            requires_compatibilities: Some(vec!["FARGATE".to_owned()]),
            cpu: Some("256".to_owned()),
            memory: Some("512".to_owned()),
            execution_role_arn: Some("arn:aws:iam::123456789012:role/exec".to_owned()),
            task_role_arn: Some("arn:aws:iam::123456789012:role/task".to_owned()),
            container_definitions: vec![container],
            ..Default::default()
        };
        let answer = self.call(self.handlers.register_task_definition, input).expect("the definition is valid");
        answer.task_definition.and_then(|it| it.task_definition_arn).expect("it has an ARN")
    }

    pub(crate) fn network() -> Option<shape::NetworkConfiguration> {
        let vpc = shape::AwsVpcConfiguration {
            subnets: vec!["subnet-a".to_owned(), "subnet-b".to_owned()],
            security_groups: Some(vec!["sg-1".to_owned()]),
            assign_public_ip: None,
        };
        Some(shape::NetworkConfiguration { awsvpc_configuration: Some(vpc) })
    }

    pub(crate) fn service_request(desired: i32, breaker: bool) -> shape::CreateServiceRequest {
        let balancer = shape::LoadBalancer {
            target_group_arn: Some(GROUP.to_owned()),
            container_name: Some("web".to_owned()),
            container_port: Some(3000),
            ..Default::default()
        };
        let registry = shape::ServiceRegistry { registry_arn: Some(REGISTRY.to_owned()), ..Default::default() };
        let breaker =
            breaker.then(|| shape::DeploymentCircuitBreaker { enable: true, rollback: true, ..Default::default() });
        shape::CreateServiceRequest {
            cluster: Some("c".to_owned()),
            service_name: "web".to_owned(),
            task_definition: Some("web".to_owned()),
            desired_count: Some(desired),
            launch_type: Some("FARGATE".to_owned()),
            network_configuration: Self::network(),
            load_balancers: Some(vec![balancer]),
            service_registries: Some(vec![registry]),
            deployment_configuration: Some(shape::DeploymentConfiguration {
                deployment_circuit_breaker: breaker,
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut shape::UpdateServiceRequest)) {
        let mut input = shape::UpdateServiceRequest {
            cluster: Some("c".to_owned()),
            service: "web".to_owned(),
            ..Default::default()
        };
        change(&mut input);
        self.call(self.handlers.update_service, input).expect("the service can be updated");
    }

    pub(crate) fn describe(&self) -> shape::Service {
        let input = shape::DescribeServicesRequest {
            cluster: Some("c".to_owned()),
            services: vec!["web".to_owned()],
            include: None,
        };
        let answer = self.call(self.handlers.describe_services, input).expect("services can be described");
        answer.services.unwrap_or_default().pop().expect("the service is there")
    }

    /// The events, oldest first.
    pub(crate) fn events(&self) -> Vec<String> {
        let row = self.store.view().get::<EventsRow>(&self.scope, &ServiceRow::key("c", "web"));
        row.map(|row| row.events.iter().rev().map(|event| event.message.clone()).collect()).unwrap_or_default()
    }

    pub(crate) fn tasks(&self) -> Vec<Arc<TaskRow>> {
        self.store.view().scan::<TaskRow>(&self.scope).cloned().collect()
    }

    pub(crate) fn running(&self) -> Vec<Arc<TaskRow>> {
        let running = |row: &Arc<TaskRow>| row.last == TaskStatus::Running && row.desired == DesiredStatus::Running;
        self.tasks().into_iter().filter(running).collect()
    }

    /// Nothing outside belongs to a task that has stopped.
    pub(crate) async fn assert_no_leak(&self) {
        use runtime::Runtime as _;
        let alive: Vec<_> = self.tasks().into_iter().filter(|row| row.last != TaskStatus::Stopped).collect();
        let enis = self.outside.state().enis.len();
        assert_eq!(enis, alive.len(), "each living task has its network interface, and nobody else one");
        let containers = self.sim.list().await.expect("the simulated runtime lists").len();
        assert_eq!(containers, alive.len(), "each living task is in the runtime, and nobody else");
        let targets: usize = alive.iter().map(|row| row.targets.len()).sum();
        assert_eq!(self.outside.targets_left(), targets, "each living task is a target, and nobody else");
        assert_eq!(self.outside.state().told.len(), alive.len(), "each living task is discovered, and nobody else");
    }
}
