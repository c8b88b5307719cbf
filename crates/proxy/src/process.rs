//! The proxy process: one for all load balancers of an instance. It outlives the daemon, keeps the last configuration, and goes on
//! serving and checking until it is told to end.
//!
//! The main thread has no part in requests: it opens sockets, compiles configurations, checks targets and speaks with the daemon. The workers
//! serve.

use crate::checks::{Checks, TargetKey};
use crate::connect;
use crate::control::{self, Audience, Event};
use crate::netns::Namespace;
use crate::plan::Planner;
use crate::shared::{BalancerCount, EndpointKey, GroupCount, Snapshot};
use crate::worker::{self, Update};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use routing::config::TargetState;
use routing::status::{Command, ListenerFailure};
use routing::{ProxyConfig, Status};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, oneshot};

/// How often what has no event of its own is looked at: counters, listeners that failed, namespaces that are gone.
const TICK: Duration = Duration::from_secs(1);
/// The same while targets drain.
const DRAIN_TICK: Duration = Duration::from_millis(50);

/// `__proxy <run_dir>`: serves until told to end.
pub fn main(run_dir: &Path) -> ExitCode {
    match run(run_dir, None) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the proxy cannot go on");
            ExitCode::FAILURE
        }
    }
}

/// Serves with so many workers, or with one a core.
pub fn run(run_dir: &Path, workers: Option<usize>) -> io::Result<()> {
    // each connection takes two descriptors
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
    let workers = workers.or_else(|| std::thread::available_parallelism().ok().map(usize::from)).unwrap_or(1);
    let senders = (0..workers).map(start_worker).collect::<io::Result<Vec<_>>>()?;
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    let outcome = runtime.block_on(Process::new(senders)?.serve(run_dir));
    let _ = std::fs::remove_file(control::socket_path(run_dir));
    outcome
}

fn start_worker(index: usize) -> io::Result<mpsc::UnboundedSender<Update>> {
    let (send, receive) = mpsc::unbounded_channel();
    let runtime = move || Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    std::thread::Builder::new().name(format!("proxy-{index}")).spawn(move || match runtime() {
        Ok(runtime) => runtime.block_on(worker::run(index, receive)),
        Err(error) => tracing::error!(%error, "a worker cannot start"),
    })?;
    Ok(send)
}

struct Process {
    workers: Vec<mpsc::UnboundedSender<Update>>,
    planner: Planner,
    config: ProxyConfig,
    snapshot: Arc<Snapshot>,
    open: HashMap<EndpointKey, Arc<Namespace>>,
    failures: Vec<ListenerFailure>,
    checks: Checks,
    changed: mpsc::UnboundedReceiver<TargetKey>,
    connect: connect::Handle,
    audience: Audience,
    draining: BTreeMap<TargetKey, u64>,
    counted: Option<Status>,
}

impl Process {
    fn new(workers: Vec<mpsc::UnboundedSender<Update>>) -> io::Result<Self> {
        let (send, changed) = mpsc::unbounded_channel();
        Ok(Self {
            planner: Planner::new(workers.len())?,
            workers,
            config: ProxyConfig::default(),
            snapshot: Arc::new(Snapshot { endpoints: Vec::new(), groups: HashMap::new() }),
            open: HashMap::new(),
            failures: Vec::new(),
            checks: Checks::new(send),
            changed,
            connect: connect::start()?,
            audience: Audience::default(),
            draining: BTreeMap::new(),
            counted: None,
        })
    }

    async fn serve(mut self, run_dir: &Path) -> io::Result<()> {
        let (send, mut events) = mpsc::unbounded_channel();
        tokio::task::spawn_local(control::serve(control::bind(run_dir)?, send));
        let mut full_tick = tokio::time::Instant::now() + TICK;
        loop {
            let wait = if self.draining.is_empty() { TICK } else { DRAIN_TICK };
            tokio::select! {
                event = events.recv() => match event {
                    None | Some(Event::Command(Command::Shutdown)) => return Ok(()),
                    Some(Event::Command(Command::Apply(config))) => self.apply(config).await,
                    Some(Event::Connected(client)) => {
                        let greetings = self.greetings();
                        self.audience.welcome(client, &greetings);
                    }
                },
                Some(key) = self.changed.recv() => self.health_changed(&key),
                () = tokio::time::sleep(wait) => {}
            }
            self.drain().await;
            if tokio::time::Instant::now() >= full_tick {
                full_tick = tokio::time::Instant::now() + TICK;
                self.repair().await;
                self.count();
            }
        }
    }

    /// What a daemon that connects is told.
    fn greetings(&self) -> Vec<Status> {
        let mut all = vec![Status::Hello { pid: std::process::id(), generation: self.config.generation }];
        all.extend(self.checks.reported().iter().map(|((group, target), health)| Status::Health {
            target_group: group.clone(),
            target: *target,
            health: health.clone(),
        }));
        all.extend(self.draining.iter().map(|((group, target), in_flight)| Status::Draining {
            target_group: group.clone(),
            target: *target,
            in_flight: *in_flight,
        }));
        all.extend(self.counted.clone());
        all
    }

    /// Puts a configuration in force.
    async fn apply(&mut self, config: ProxyConfig) {
        self.config = config;
        self.install().await;
        let generation = self.config.generation;
        self.audience.tell(&Status::Applied { generation, failures: self.failures.clone() });
        tracing::debug!(generation, failures = self.failures.len(), "configuration in force");
    }

    async fn install(&mut self) {
        let (mut snapshot, mut failures) = self.planner.compile(&self.config);
        let mut opened: Vec<Vec<(EndpointKey, std::net::TcpListener)>> =
            self.workers.iter().map(|_| Vec::new()).collect();
        let mut open = HashMap::new();
        snapshot.endpoints.retain(|endpoint| {
            let key = &endpoint.key;
            let same = self.open.get(key).is_some_and(|have| Arc::ptr_eq(have, &endpoint.namespace));
            if !same {
                let sockets: io::Result<Vec<_>> =
                    self.workers.iter().map(|_| endpoint.namespace.listen(key.address)).collect();
                match sockets {
                    Ok(sockets) => {
                        opened.iter_mut().zip(sockets).for_each(|(to, socket)| to.push((key.clone(), socket)));
                    }
                    Err(error) => {
                        failures.push(ListenerFailure::of_socket(key.listener.clone(), key.address, &error));
                        return false;
                    }
                }
            }
            open.insert(key.clone(), Arc::clone(&endpoint.namespace));
            true
        });
        failures.extend(self.connect.apply(&self.config.mesh).await);
        self.open = open;
        self.failures = failures;
        self.snapshot = Arc::new(snapshot);
        // verdicts of new targets exist before a worker asks for them
        let changed = self.checks.sync(&self.snapshot);
        self.send_to_workers(opened).await;
        for key in changed {
            self.tell_health(&key);
        }
        self.track_draining();
    }

    async fn send_to_workers(&mut self, opened: Vec<Vec<(EndpointKey, std::net::TcpListener)>>) {
        let mut waiting = Vec::with_capacity(self.workers.len());
        for (worker, opened) in self.workers.iter().zip(opened) {
            let (applied, told) = oneshot::channel();
            let snapshot = Arc::clone(&self.snapshot);
            if worker.send(Update { snapshot, opened, applied }).is_ok() {
                waiting.push(told);
            }
        }
        for told in waiting {
            let _ = told.await;
        }
    }

    fn health_changed(&mut self, key: &TargetKey) {
        if self.checks.report(&self.snapshot, key).is_some() {
            self.tell_health(key);
        }
    }

    fn tell_health(&mut self, key: &TargetKey) {
        if let Some(health) = self.checks.reported().get(key) {
            let (target_group, target) = key.clone();
            self.audience.tell(&Status::Health { target_group, target, health: health.clone() });
        }
    }

    /// Notes which targets drain; a new one is told of at once.
    fn track_draining(&mut self) {
        let mut now = BTreeMap::new();
        for group in self.snapshot.groups.values() {
            for (target, life) in &group.targets {
                if let TargetState::Draining { .. } = target.state {
                    let key = (group.config.arn.clone(), target.id());
                    let in_flight = life.in_flight.load(Ordering::Relaxed);
                    if self.draining.get(&key) != Some(&in_flight) {
                        self.audience.tell(&Status::Draining { target_group: key.0.clone(), target: key.1, in_flight });
                    }
                    now.insert(key, in_flight);
                }
            }
        }
        self.draining = now;
    }

    /// Tells how draining goes on, and cuts off what has had its time.
    async fn drain(&mut self) {
        if self.draining.is_empty() {
            return;
        }
        self.track_draining();
        let now = crate::clock::since_epoch().as_millis() as i64;
        let mut cut = false;
        for group in self.snapshot.groups.values() {
            let delay = i64::try_from(group.config.attributes.deregistration_delay_ms).unwrap_or(i64::MAX);
            for (target, life) in &group.targets {
                if let TargetState::Draining { since } = target.state
                    && now >= since.millis().saturating_add(delay)
                {
                    cut |= !life.cut.swap(true, Ordering::Relaxed);
                }
            }
        }
        if cut {
            let none = self.workers.iter().map(|_| Vec::new()).collect();
            self.send_to_workers(none).await;
        }
    }

    /// Opens what could not be opened, and closes what has lost its namespace.
    async fn repair(&mut self) {
        let current = self.open.values().all(|namespace| namespace.is_current());
        if self.failures.is_empty() && current && self.connect.is_current().await {
            return;
        }
        let before = self.failures.clone();
        self.install().await;
        if self.failures != before {
            let generation = self.config.generation;
            self.audience.tell(&Status::Applied { generation, failures: self.failures.clone() });
        }
    }

    fn count(&mut self) {
        let mut load_balancers: Vec<_> =
            self.planner.balancers().map(|(arn, parts)| BalancerCount::total(arn, parts)).collect();
        let mut target_groups: Vec<_> =
            self.planner.group_counters().map(|(arn, parts)| GroupCount::total(arn, parts)).collect();
        load_balancers.sort_by(|a, b| a.arn.cmp(&b.arn));
        target_groups.sort_by(|a, b| a.arn.cmp(&b.arn));
        let now = Some(Status::Counters { load_balancers, target_groups });
        if now != self.counted {
            self.counted = now;
            if let Some(status) = &self.counted {
                self.audience.tell(status);
            }
        }
    }
}
