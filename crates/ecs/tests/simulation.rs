//! The production core and the production controllers through random lives: a seed decides what users do, what breaks, and
//! at which step the daemon dies. After each step the invariants hold, and when the weather calms down the service comes to rest.
//!
//! `cargo xtask sim --seeds N` runs N seeds, `--seed N` the one seed again, exactly as it was.

mod fakes;
mod world;

use ecs::rows::{ServiceDeploymentRow, ServiceRow, TaskRow};
use fakes::{GREEN, GROUP, RULE, SHIFTER};
use model::ecs as shape;
use rollout::{DesiredStatus, RolloutState, TaskStatus};
use runtime::{SimScript, TaskId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use types::Clock;
use world::World;

/// How many seeds the gate's tests run.
const SEEDS: u64 = 300;
/// How many things happen in a life.
const ROUNDS: u64 = 24;

/// A die that a seed decides.
struct Die(u64);

impl Die {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn number(&mut self, sides: u64) -> i32 {
        i32::try_from(self.roll(sides)).unwrap_or_default()
    }
}

/// Says how to see it again when a life fails.
struct Replay(u64);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}: see it again with `cargo xtask sim --seed {}`", self.0, self.0);
        }
    }
}

struct Life {
    world: World,
    die: Die,
    seen: BTreeMap<String, Arc<TaskRow>>,
    /// Tasks that others than the scheduler ended since the last look.
    struck: usize,
    /// How often the daemon died.
    daemons: u64,
    /// Whether each step is told.
    told: bool,
    /// Whether a load balancer says who is healthy; else time does.
    balanced: bool,
}

impl Life {
    fn begin(seed: u64) -> Self {
        types::id::draw_from(seed);
        let mut die = Die(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        die.roll(2);
        let world = World::new();
        world.cluster();
        world.register("app:1");
        let script = |slow: u64| SimScript {
            start_delay: Duration::from_secs(slow),
            on_stop: Some((Duration::from_secs(1), 0)),
            ..SimScript::default()
        };
        world.sim.script("app:1", script(0));
        world.sim.script("slow:1", script(15));
        world.sim.script("crash:1", SimScript { exits: Some((Duration::from_secs(2), 1)), ..script(0) });
        let leads = vec![(GROUP.to_owned(), 1), (GREEN.to_owned(), 0)];
        world.outside.state().rules.insert(RULE.to_owned(), leads);
        let mut life = Self {
            world,
            die,
            seen: BTreeMap::new(),
            struck: 0,
            daemons: 0,
            told: given("WINDTUNNEL_SIM_SEED").is_some(),
            balanced: true,
        };
        life.balanced = life.die.roll(4) > 0;
        let breaker = life.die.roll(3) > 0;
        let mut input = World::service_request(1 + life.die.number(4), breaker);
        if life.balanced {
            input.load_balancers.as_mut().expect("one")[0].advanced_configuration =
                Some(shape::AdvancedConfiguration {
                    alternate_target_group_arn: Some(GREEN.to_owned()),
                    production_listener_rule: Some(RULE.to_owned()),
                    test_listener_rule: None,
                    role_arn: Some(SHIFTER.to_owned()),
                });
        } else {
            (input.load_balancers, input.health_check_grace_period_seconds) = (None, None);
        }
        let configuration = life.configuration();
        let breaker = input.deployment_configuration.take().and_then(|it| it.deployment_circuit_breaker);
        input.deployment_configuration =
            Some(shape::DeploymentConfiguration { deployment_circuit_breaker: breaker, ..configuration });
        life.world.call(life.world.handlers.create_service, input).expect("it can be made");
        life
    }

    /// Some strategy with short times.
    fn configuration(&mut self) -> shape::DeploymentConfiguration {
        let strategies: &[&str] =
            if self.balanced { &["ROLLING", "ROLLING", "BLUE_GREEN", "LINEAR", "CANARY"] } else { &["ROLLING"] };
        let strategy = strategies[self.die.roll(strategies.len() as u64) as usize];
        let bake = Some(self.die.number(2));
        let hook = shape::DeploymentLifecycleHook {
            target_type: Some("PAUSE".to_owned()),
            lifecycle_stages: Some(vec!["POST_SCALE_UP".to_owned(), "PRE_PRODUCTION_TRAFFIC_SHIFT".to_owned()]),
            timeout_configuration: Some(shape::DeploymentLifecycleHookTimeoutConfiguration {
                timeout_in_minutes: Some(1),
                action: Some("CONTINUE".to_owned()),
            }),
            ..Default::default()
        };
        let hooked = strategy != "ROLLING" && self.die.roll(4) == 0;
        shape::DeploymentConfiguration {
            strategy: Some(strategy.to_owned()),
            bake_time_in_minutes: Some(if strategy == "ROLLING" { 0 } else { self.die.number(2) }),
            minimum_healthy_percent: Some([0, 50, 100][self.die.roll(3) as usize]),
            maximum_percent: Some([150, 200][self.die.roll(2) as usize]),
            lifecycle_hooks: Some(if hooked { vec![hook] } else { vec![] }),
            linear_configuration: (strategy == "LINEAR")
                .then_some(shape::LinearConfiguration { step_percent: Some(40.0), step_bake_time_in_minutes: bake }),
            canary_configuration: (strategy == "CANARY")
                .then_some(shape::CanaryConfiguration { canary_percent: Some(5.5), canary_bake_time_in_minutes: bake }),
            ..Default::default()
        }
    }

    fn deploy(&mut self, image: &str) {
        self.world.register(image);
        self.world.update(|input| input.task_definition = Some("web".to_owned()));
    }

    /// One of the running tasks.
    fn somebody(&mut self) -> Option<Arc<TaskRow>> {
        let running = self.world.running();
        let at = self.die.roll(running.len().max(1) as u64) as usize;
        running.get(at).cloned()
    }

    /// Something that users or the world do.
    fn happen(&mut self) {
        match self.die.roll(16) {
            0 | 1 => {
                let image = ["app:1", "app:1", "slow:1", "crash:1", "missing:1"][self.die.roll(5) as usize];
                self.deploy(image);
            }
            2 | 3 => {
                let desired = self.die.number(6);
                self.world.update(|input| input.desired_count = Some(desired));
            }
            4 | 5 => {
                if let Some(task) = self.somebody() {
                    self.world.sim.crash(&TaskId::parse(&task.id).expect("an id"), "web", 1);
                    self.struck += 1;
                }
            }
            6 => {
                let lost = &mut self.world.outside.state().lost;
                if !lost.remove("subnet-b") {
                    lost.insert("subnet-b".to_owned());
                }
            }
            7 | 8 => {
                if let Some(ip) = self.somebody().and_then(|task| Some(task.eni.as_ref()?.ip.to_string())) {
                    let sick = &mut self.world.outside.state().sick;
                    let was = sick.len();
                    sick.retain(|other| *other != ip);
                    if sick.len() == was {
                        sick.push(ip);
                    }
                }
            }
            9 => {
                let mut state = self.world.outside.state();
                state.registry_is_down = !state.registry_is_down;
            }
            10 => self.stop_deployment(),
            11 => {
                let configuration = self.configuration();
                self.world.update(|input| {
                    input.deployment_configuration = Some(configuration);
                    input.force_new_deployment = Some(true);
                });
            }
            12 => {
                if let Some(task) = self.somebody() {
                    let input = shape::UpdateTaskProtectionRequest {
                        cluster: "c".to_owned(),
                        tasks: vec![task.id.clone()],
                        protection_enabled: true,
                        expires_in_minutes: Some(1 + self.die.number(3)),
                    };
                    self.world.call(self.world.handlers.update_task_protection, input).expect("it can be protected");
                }
            }
            13 => {
                if let Some(task) = self.somebody() {
                    let input = shape::StopTaskRequest {
                        cluster: Some("c".to_owned()),
                        task: task.id.clone(),
                        ..Default::default()
                    };
                    self.world.call(self.world.handlers.stop_task, input).expect("it can be stopped");
                    self.struck += 1;
                }
            }
            _ => {}
        }
    }

    fn stop_deployment(&mut self) {
        let key = ServiceRow::key("c", "web");
        let row = self.world.store.view().get::<ServiceRow>(&self.world.scope, &key).expect("the service is there");
        let id = row.service_deployment.clone().expect("it has one");
        let kind = if self.die.roll(4) == 0 { "ABORT" } else { "ROLLBACK" };
        let input = shape::StopServiceDeploymentRequest {
            service_deployment_arn: ecs::names::service_deployment_arn(&self.world.scope, "c", "web", &id),
            stop_type: Some(kind.to_owned()),
        };
        // One that is over cannot be stopped, and says so.
        let _ = self.world.call(self.world.handlers.stop_service_deployment, input);
    }

    /// Time passes; now and then the daemon dies at some step.
    async fn live_on(&mut self) {
        for _ in 0..=self.die.roll(3) {
            if self.die.roll(5) == 0 {
                for _ in 0..self.die.roll(60) {
                    tokio::task::yield_now().await;
                }
                self.world.crash().await;
                self.world.boot();
                self.daemons += 1;
            }
            self.world.settle_but_for_sleepers().await;
            self.check();
            self.world.clock.advance(Duration::from_millis(500 * (1 + self.die.roll(40))));
        }
        self.world.settle_but_for_sleepers().await;
        self.check();
    }

    fn service(&self) -> Arc<ServiceRow> {
        let key = ServiceRow::key("c", "web");
        self.world.store.view().get::<ServiceRow>(&self.world.scope, &key).expect("the service is there")
    }

    /// Whether the task counts as healthy, now or when it was stopped: the balancer says so, or it has run for long enough.
    fn is_healthy(&self, task: &TaskRow) -> bool {
        if task.targets.is_empty() {
            let now = self.world.clock.now();
            return task.started_at.is_some_and(|started| now.since(started) >= Duration::from_secs(40));
        }
        let ip = task.eni.as_ref().map(|eni| eni.ip.to_string());
        let (now, state) = (self.world.clock.now(), self.world.outside.state());
        ip.is_some_and(|ip| {
            !state.sick.contains(&ip) && task.targets.iter().all(|target| state.was_healthy(&target.group, &ip, now))
        })
    }

    /// A task in a line, for who reads of a failure.
    fn shown(&self, row: &TaskRow) -> String {
        let (id, by, reason) = (&row.id[..6], &row.started_by, row.stop.as_ref().map(|stop| &stop.reason));
        let healthy = if self.is_healthy(row) { "healthy" } else { "not healthy" };
        format!(
            "{id} of {by:?}: {:?}, wanted {:?}, {healthy}, stopping {:?} {reason:?}",
            row.last, row.desired, row.stopping_at
        )
    }

    /// Says in a line where the service stands, for who replays a seed.
    fn tell(&self) {
        let service = self.service();
        let of = |it: &ecs::rows::DeploymentRow| {
            let (state, tail) = (&it.state, &it.state.id[it.state.id.len() - 4..]);
            let strategy = it.configuration.as_ref().and_then(|it| it.strategy.clone()).unwrap_or_default();
            let running = self.world.running().iter().filter(|row| row.started_by.as_ref() == Some(&state.id)).count();
            format!(
                "{tail} {strategy} {:?} {:?} weight {} running {running}{}",
                state.rollout,
                state.stage,
                state.weight,
                if state.goes_back { " goes back" } else { "" }
            )
        };
        let deployments: Vec<_> = service.deployments.iter().map(of).collect();
        let rule = self.world.outside.state().rules[RULE].iter().map(|(_, weight)| *weight).collect::<Vec<_>>();
        println!(
            "{} wants {} {rule:?} completed {:?} {deployments:#?}",
            self.world.clock.now().0,
            service.desired,
            service.last_completed
        );
    }

    fn check(&mut self) {
        if self.told {
            self.tell();
        }
        let (service, now) = (self.service(), self.world.clock.now());
        let tasks: BTreeMap<String, Arc<TaskRow>> =
            self.world.tasks().into_iter().map(|row| (row.id.clone(), row)).collect();
        let is_live = |row: &TaskRow| row.desired == DesiredStatus::Running && row.last <= TaskStatus::Running;
        let of = |row: &TaskRow, id: &str| row.started_by.as_deref() == Some(id);
        let shifts = |row: &ServiceRow| {
            let primary = row.primary().and_then(|primary| primary.configuration.as_ref());
            primary.is_some_and(|it| it.strategy.as_deref() != Some("ROLLING"))
        };
        let percent = |percent: u32| service.desired * percent;
        let (least, most) =
            (percent(service.minimum_healthy_percent).div_ceil(100), percent(service.maximum_percent) / 100);

        // Nothing was started above the maximum.
        let new: Vec<&Arc<TaskRow>> = tasks.values().filter(|row| !self.seen.contains_key(&row.id)).collect();
        for row in &new {
            let side =
                |other: &&Arc<TaskRow>| is_live(other) && (!shifts(&service) || other.started_by == row.started_by);
            let live = tasks.values().filter(side).count();
            assert!(live <= most as usize, "{live} tasks where {most} are the maximum: {:#?}", self.world.events());
        }

        // Nothing that served was stopped below the minimum, but by others.
        let exited = |row: &&Arc<TaskRow>| {
            row.stopping_at == Some(now) && row.stop.as_ref().is_some_and(|stop| stop.reason.starts_with("Essential"))
        };
        // A task that ends at the very instant of a decision may have been counted on.
        let struck = std::mem::take(&mut self.struck) + tasks.values().filter(exited).count();
        let scaled: Vec<&Arc<TaskRow>> = tasks
            .values()
            .filter(|row| row.stopping_at == Some(now) && self.seen.get(&row.id).is_some_and(|seen| is_live(seen)))
            .filter(|row| row.stop.as_ref().is_some_and(|stop| stop.reason.starts_with("Scaling activity")))
            .filter(|row| self.is_healthy(row))
            .collect();
        for row in &scaled {
            let deployment = service.deployments.iter().find(|it| of(row, &it.state.id));
            let has_traffic = deployment.is_some_and(|it| it.state.weight > 0);
            if shifts(&service) && !has_traffic {
                continue;
            }
            let serves = |other: &&Arc<TaskRow>| {
                is_live(other) && (!shifts(&service) || other.started_by == row.started_by) && self.is_healthy(other)
            };
            let healthy = tasks.values().filter(serves).count();
            let first = service.last_completed.is_none();
            assert!(
                healthy + struck >= least as usize || (shifts(&service) && first),
                "{healthy} healthy tasks left, of {least}, and {} was stopped: {:#?} {:#?}",
                row.id,
                tasks.values().map(|row| self.shown(row)).collect::<Vec<_>>(),
                self.world.events()
            );
        }
        // Nothing that ran was given up for what is not healthy yet.
        let primary = service.primary().map_or("", |primary| &primary.state.id);
        let ran = |row: &TaskRow| self.seen.get(&row.id).is_some_and(|seen| seen.last == TaskStatus::Running);
        let outdated = tasks.values().filter(|row| row.stopping_at == Some(now) && ran(row) && !of(row, primary));
        for row in outdated.filter(|_| !shifts(&service)) {
            if row.stop.as_ref().is_none_or(|stop| !stop.reason.starts_with("Scaling activity")) {
                continue;
            }
            let runs = |other: &&Arc<TaskRow>| {
                is_live(other) && other.last == TaskStatus::Running && (!of(other, primary) || self.is_healthy(other))
            };
            let running = tasks.values().filter(runs).count();
            assert!(
                running + struck >= least as usize,
                "{running} running tasks left, of {least}, and {} was stopped: {:#?} {:#?}",
                row.id,
                tasks.values().map(|row| self.shown(row)).collect::<Vec<_>>(),
                self.world.events()
            );
        }
        // A protected task is not scaled away.
        for row in &scaled {
            assert!(row.protected_until.is_none_or(|until| until <= now), "a protected task was stopped");
        }

        // The breaker trips exactly at its threshold.
        if let (Some(breaker), Some(primary)) = (service.circuit_breaker, service.primary())
            && primary.state.rollout == RolloutState::InProgress
            && primary.state.stage != Some(rollout::Stage::CleanUp)
        {
            let (failed, trips) = (primary.state.failed_tasks, breaker.trips_at(service.desired));
            assert!(failed < trips, "{failed} tasks failed, and the breaker trips at {trips}");
        }

        // What is outside belongs to a task that has not ended.
        let state = self.world.outside.state();
        let mut addresses = BTreeSet::new();
        for (netns, interface) in &state.enis {
            let owner = netns.strip_prefix("task-").and_then(|id| tasks.get(id));
            assert!(owner.is_some_and(|row| row.last != TaskStatus::Stopped), "{netns} has an interface and no task");
            assert!(addresses.insert(interface.row.ip), "two interfaces have one address");
        }
        drop(state);
        self.seen = tasks;
    }

    /// Nothing breaks any more: the service comes to rest, and nothing is left over.
    async fn calm(&mut self) {
        {
            let mut state = self.world.outside.state();
            state.lost.clear();
            state.sick.clear();
            state.registry_is_down = false;
        }
        self.world.update(|input| {
            input.desired_count = Some(3);
            input.deployment_configuration =
                Some(shape::DeploymentConfiguration { maximum_percent: Some(200), ..Default::default() });
        });
        self.deploy("app:1");
        // What broke before this deployment began may still end tasks, but not for long.
        let mut rest = 0;
        for _ in 0..400 {
            self.world.settle_but_for_sleepers().await;
            self.check();
            self.world.clock.advance(Duration::from_secs(5));
            let row = self.service();
            let calm = row.steady_since.is_some() && row.deployments.len() == 1 && row.uneven_since.is_none();
            rest = if calm { rest + 1 } else { 0 };
            if rest > 10 {
                break;
            }
        }
        self.world.settle_but_for_sleepers().await;
        let service = self.service();
        let told = || format!("{:#?} {:#?}", service.deployments, self.world.events());
        let deployment = service.primary().expect("it has one");
        assert_eq!(service.deployments.len(), 1, "{}", told());
        assert_eq!(deployment.state.rollout, RolloutState::Completed, "{}", told());
        let running = self.world.running();
        assert_eq!(running.len(), 3, "{}", told());
        let mut zones = BTreeMap::<&str, i32>::from([("us-east-1a", 0), ("us-east-1b", 0)]);
        for task in &running {
            *zones.entry(&task.placement.zone).or_default() += 1;
        }
        assert!(zones.values().max() <= zones.values().min().map(|least| least + 1).as_ref(), "{zones:?} {}", told());
        let id = service.service_deployment.clone().expect("it has one");
        let key = ServiceDeploymentRow::key("c", "web", &id);
        let record = self.world.store.view().get::<ServiceDeploymentRow>(&self.world.scope, &key).expect("its record");
        assert!(record.status.is_over(), "{record:#?}");
        if deployment.state.weight > 0 {
            let leads: Vec<String> = self.world.outside.state().rules[RULE]
                .iter()
                .filter(|(_, weight)| *weight > 0)
                .map(|(group, _)| group.clone())
                .collect();
            assert_eq!(leads, [deployment.targets[0].group.clone()], "all traffic goes where the tasks are");
        }
        self.world.assert_no_leak().await;
    }
}

/// A whole life: what was told of it, and how often the daemon died.
async fn live(seed: u64) -> (Vec<String>, u64) {
    let _replay = Replay(seed);
    let mut life = Life::begin(seed);
    for _ in 0..ROUNDS {
        life.happen();
        life.live_on().await;
    }
    life.calm().await;
    let told = life.world.events();
    life.world.crash().await;
    (told, life.daemons)
}

fn given(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[tokio::test]
async fn any_life_keeps_the_invariants_and_comes_to_rest() {
    if let Some(seed) = given("WINDTUNNEL_SIM_SEED") {
        println!("{:#?}", live(seed).await.0);
        return;
    }
    let seeds = given("WINDTUNNEL_SIM_SEEDS").unwrap_or(SEEDS);
    let first = given("WINDTUNNEL_SIM_FIRST").unwrap_or(1);
    let mut deaths = 0;
    for seed in first..first + seeds {
        deaths += live(seed).await.1;
        if seed % 1000 == 0 {
            println!("{seed} lives");
        }
    }
    assert!(deaths >= seeds, "expected the daemon to die in most lives, not {deaths} times in {seeds}");
}

#[tokio::test]
async fn a_seed_replays_exactly() {
    for seed in [3, 17] {
        assert_eq!(live(seed).await, live(seed).await, "seed {seed}");
    }
}

/// Services of a hundred tasks each come to rest in one process; time a task and commits, in all.
async fn many(services: usize) -> (Duration, u64) {
    const TASKS: usize = 100;
    types::id::draw_from(1);
    let world = World::new();
    world.cluster();
    world.register("app:1");
    #[allow(clippy::disallowed_methods, reason = "it is the machine's time that is measured")]
    let begun = std::time::Instant::now();
    for number in 0..services {
        let mut input = World::service_request(100, true);
        (input.service_name, input.load_balancers, input.service_registries) = (format!("s{number}"), None, None);
        world.call(world.handlers.create_service, input).expect("it can be made");
    }
    let rests = |world: &World| {
        let view = world.store.view();
        view.scan::<ServiceRow>(&world.scope).filter(|row| row.steady_since.is_some()).count()
    };
    let mut waited = 0;
    while rests(&world) < services {
        world.settle().await;
        world.clock.advance(Duration::from_secs(5));
        waited += 1;
        assert!(waited < 200, "{} of {services} services rest", rests(&world));
    }
    let (took, tasks) = (begun.elapsed(), services * TASKS);
    assert_eq!(world.running().len(), tasks);
    let commits = world.store.view().sequence();
    let memory = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let memory = memory.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default().to_owned();
    println!(
        "{tasks} tasks in {services} services rest after {took:?}: {:.0} commits a second, {:?} a task, {memory}",
        commits as f64 / took.as_secs_f64(),
        took / u32::try_from(tasks).unwrap_or(1)
    );
    // One task more or less costs its service, and not the cluster.
    let victim = world.running()[tasks / 2].clone();
    let before = world.store.view().sequence();
    #[allow(clippy::disallowed_methods, reason = "it is the machine's time that is measured")]
    let begun = std::time::Instant::now();
    world.sim.crash(&TaskId::parse(&victim.id).expect("an id"), "web", 1);
    for _ in 0..3 {
        world.settle().await;
        world.clock.advance(Duration::from_secs(2));
    }
    let (spent, writes) = (begun.elapsed(), world.store.view().sequence() - before);
    println!("  a crash among them costs {spent:?} and {writes} commits");
    (took / u32::try_from(tasks).unwrap_or(1), writes)
}

/// `cargo xtask sim --scale`
#[tokio::test]
#[ignore = "takes minutes"]
async fn a_hundred_thousand_tasks_come_to_rest() {
    let services = given("WINDTUNNEL_SIM_SERVICES").unwrap_or(1000) as usize;
    let (small, few) = many(services.div_ceil(50)).await;
    let (large, many) = many(services).await;
    assert!(large < small * 4, "a task costs {large:?} in a large cluster, and {small:?} in a small one");
    assert!(many <= few * 2, "a crash costs {many} commits in a large cluster, and {few} in a small one");
}
