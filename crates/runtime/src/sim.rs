//! A runtime that plays scripts. It touches nothing and takes no time but its clock's.
//!
//! Each image has a script by its digest: how long a start takes, what the container prints, when and how it ends by itself, whether it heeds
//! its stop signal. Not here: dependencies between containers, files, networks.

use crate::{
    ContainerState, ContainerStatus, ContainerUsage, ExecOutcome, ExecSpec, Exit, ImageSnapshot, LogChunk, LogRecord,
    LogStream, PrepareError, Runtime, RuntimeError, SERVER_STOPPED, Session, SessionSpec, StartError, StartWhen,
    StorageUsage, TaskEvent, TaskEventKind, TaskId, TaskSpec, TaskStatus,
};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::broadcast;
use types::{Clock, Timestamp};

/// What containers of an image do.
#[derive(Debug, Clone, Default)]
pub struct SimScript {
    /// The image cannot be unpacked, for this reason.
    pub prepare_failure: Option<String>,
    /// From the request to the running container.
    pub start_delay: Duration,
    /// It cannot be started, for this reason.
    pub start_failure: Option<String>,
    /// It ends by itself after this long, with this exit code.
    pub exits: Option<(Duration, i32)>,
    /// It heeds the stop signal after this long with this exit code; without, it is killed when the grace is over.
    pub on_stop: Option<(Duration, i32)>,
    /// It prints these lines at its start.
    pub output: Vec<String>,
    /// What a process executed in it exits with.
    pub exec_code: i32,
}

/// The simulated runtime. Clones are the same one.
#[derive(Clone)]
pub struct Sim(Arc<Inner>);

struct Inner {
    clock: Arc<dyn Clock>,
    events: broadcast::Sender<TaskEvent>,
    world: Mutex<World>,
}

#[derive(Default)]
struct World {
    scripts: HashMap<String, SimScript>,
    tasks: BTreeMap<TaskId, Task>,
}

struct Task {
    spec: TaskSpec,
    containers: Vec<Container>,
}

struct Container {
    state: ContainerState,
    logs: Vec<LogRecord>,
    /// Grows with each start, so that an end planned for an earlier run is void.
    run: u64,
    stopping: bool,
    restarts: u32,
}

impl Sim {
    /// An empty world on `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let (events, _) = broadcast::channel(4096);
        Self(Arc::new(Inner { clock, events, world: Mutex::default() }))
    }

    /// What containers of the image with this digest do from now on. An image without a script runs until stopped and then exits with 0.
    pub fn script(&self, image_digest: impl Into<String>, script: SimScript) {
        self.world().scripts.insert(image_digest.into(), script);
    }

    /// Ends a running container from outside, as a crash of its program would.
    pub fn crash(&self, task: &TaskId, container: &str, code: i32) {
        self.end(task, container, None, code, None, None);
    }

    /// Ends all that runs, as a stop of the server does. The tasks stay to be asked for.
    pub fn shutdown(&self) {
        let tasks: Vec<_> = self.world().tasks.values().map(Task::status).collect();
        for status in tasks {
            for container in &status.containers {
                self.end(&status.task, &container.name, None, 143, Some(15), Some(SERVER_STOPPED));
            }
        }
    }

    fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.0.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn emit(&self, task: &TaskId, container: &str, kind: TaskEventKind) {
        // Nobody listening is fine: the state can be asked for.
        let _ = self.0.events.send(TaskEvent { task: task.clone(), container: container.to_owned(), kind });
    }

    async fn run(&self, task: &TaskId, name: &str) -> Result<ContainerStatus, RuntimeError> {
        let script = {
            let mut world = self.world();
            let (index, digest) = {
                let entry = world.tasks.get(task).ok_or_else(|| RuntimeError::NoTask(task.clone()))?;
                let index = entry.index(name)?;
                (index, entry.spec.containers[index].image.digest.clone())
            };
            let script = world.scripts.get(&digest).cloned().unwrap_or_else(SimScript::obedient);
            let entry = world.tasks.get_mut(task).ok_or_else(|| RuntimeError::NoTask(task.clone()))?;
            let container = &mut entry.containers[index];
            if matches!(container.state, ContainerState::Running { .. }) {
                return Err(RuntimeError::WrongState { container: name.to_owned(), state: "running" });
            }
            container.run += 1;
            container.stopping = false;
            script
        };
        if !script.start_delay.is_zero() {
            self.0.clock.sleep(script.start_delay).await;
        }
        let now = self.0.clock.now();
        let (run, state, kind) = {
            let mut world = self.world();
            let entry = world.tasks.get_mut(task).ok_or_else(|| RuntimeError::NoTask(task.clone()))?;
            let index = entry.index(name)?;
            let container = &mut entry.containers[index];
            let kind = if let Some(reason) = &script.start_failure {
                container.state = ContainerState::Failed { reason: reason.clone(), at: now };
                TaskEventKind::Failed { reason: reason.clone(), at: now }
            } else {
                let pid = 1000 + u32::try_from(index).unwrap_or_default();
                container.state = ContainerState::Running { pid, started_at: now };
                let from = container.logs.len() as u64 + 1;
                container.logs.extend(script.output.iter().zip(from..).map(|(line, next)| LogRecord {
                    at: now,
                    stream: LogStream::Stdout,
                    partial: false,
                    line: line.clone().into_bytes(),
                    next,
                }));
                TaskEventKind::Started { pid, at: now }
            };
            (container.run, container.state.clone(), kind)
        };
        let failed = matches!(kind, TaskEventKind::Failed { .. });
        self.emit(task, name, kind);
        if !script.output.is_empty() && !failed {
            self.emit(task, name, TaskEventKind::LogAvailable);
        }
        if let (false, Some((after, code))) = (failed, script.exits) {
            self.end_later(task, name, run, after, code, None);
        }
        Ok(ContainerStatus { name: name.to_owned(), state, restarts: 0 })
    }

    fn end_later(&self, task: &TaskId, name: &str, run: u64, after: Duration, code: i32, signal: Option<i32>) {
        let (sim, task, name) = (self.clone(), task.clone(), name.to_owned());
        let sleep = self.0.clock.sleep(after);
        tokio::spawn(async move {
            sleep.await;
            sim.end(&task, &name, Some(run), code, signal, None);
        });
    }

    fn end(&self, task: &TaskId, name: &str, run: Option<u64>, code: i32, signal: Option<i32>, reason: Option<&str>) {
        let at = self.0.clock.now();
        let (exit, again) = {
            let mut world = self.world();
            let Some(entry) = world.tasks.get_mut(task) else { return };
            let Ok(index) = entry.index(name) else { return };
            let restart = entry.spec.containers[index].restart.clone();
            let container = &mut entry.containers[index];
            let ContainerState::Running { started_at, .. } = container.state else { return };
            if run.is_some_and(|run| run != container.run) {
                return;
            }
            let exit =
                Exit { code, signal, oom: false, started_at: Some(started_at), at, reason: reason.map(str::to_owned) };
            let ran = at.since(started_at);
            let again =
                !container.stopping && reason.is_none() && restart.is_some_and(|restart| restart.applies(code, ran));
            container.restarts += u32::from(again);
            container.state = ContainerState::Exited(exit.clone());
            (exit, again)
        };
        if again {
            let (sim, task, name) = (self.clone(), task.clone(), name.to_owned());
            // Boxed, as a start plans the next end.
            let start: std::pin::Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move {
                let _ = sim.run(&task, &name).await;
            });
            tokio::spawn(start);
        } else {
            self.emit(task, name, TaskEventKind::Exited(exit));
        }
    }
}

impl SimScript {
    fn obedient() -> Self {
        Self { on_stop: Some((Duration::ZERO, 0)), ..Self::default() }
    }
}

impl Task {
    fn index(&self, name: &str) -> Result<usize, RuntimeError> {
        let missing = || RuntimeError::NoContainer { task: self.spec.id.clone(), container: name.to_owned() };
        self.spec.containers.iter().position(|c| c.name == name).ok_or_else(missing)
    }

    fn status(&self) -> TaskStatus {
        let pairs = self.spec.containers.iter().zip(&self.containers);
        let of = |(s, c): (&crate::ContainerSpec, &Container)| ContainerStatus {
            name: s.name.clone(),
            state: c.state.clone(),
            restarts: c.restarts,
        };
        let containers = pairs.map(of).collect();
        TaskStatus { task: self.spec.id.clone(), containers }
    }
}

#[async_trait::async_trait]
impl Runtime for Sim {
    async fn prepare(&self, image: &ImageSnapshot) -> Result<(), PrepareError> {
        match self.world().scripts.get(&image.digest).and_then(|s| s.prepare_failure.clone()) {
            Some(reason) => Err(PrepareError::Corrupt { digest: image.digest.clone(), reason }),
            None => Ok(()),
        }
    }

    async fn start(&self, spec: TaskSpec) -> Result<TaskStatus, StartError> {
        spec.validate()?;
        for container in &spec.containers {
            self.prepare(&container.image).await?;
        }
        let task = spec.id.clone();
        let now: Vec<String> =
            spec.containers.iter().filter(|c| c.start == StartWhen::Now).map(|c| c.name.clone()).collect();
        {
            let mut world = self.world();
            if world.tasks.contains_key(&task) {
                return Err(StartError::AlreadyExists(task));
            }
            let fresh = |_| Container {
                state: ContainerState::Created,
                logs: Vec::new(),
                run: 0,
                stopping: false,
                restarts: 0,
            };
            let containers = spec.containers.iter().map(fresh).collect();
            world.tasks.insert(task.clone(), Task { spec, containers });
        }
        for name in now {
            self.run(&task, &name).await.map_err(|e| StartError::Host(e.to_string()))?;
        }
        self.status(&task).await.map_err(|e| StartError::Host(e.to_string()))
    }

    async fn start_container(&self, task: &TaskId, container: &str) -> Result<ContainerStatus, RuntimeError> {
        self.run(task, container).await
    }

    async fn stop_container(&self, task: &TaskId, name: &str, grace: Option<Duration>) -> Result<(), RuntimeError> {
        let at = self.0.clock.now();
        let (run, grace, script) = {
            let mut world = self.world();
            let scripts = world.scripts.clone();
            let entry = world.tasks.get_mut(task).ok_or_else(|| RuntimeError::NoTask(task.clone()))?;
            let index = entry.index(name)?;
            let spec = &entry.spec.containers[index];
            let script = scripts.get(&spec.image.digest).cloned().unwrap_or_else(SimScript::obedient);
            let grace = grace.unwrap_or(spec.stop_timeout);
            let container = &mut entry.containers[index];
            if matches!(container.state, ContainerState::Created) {
                container.state = ContainerState::Exited(never_started(at));
                drop(world);
                self.emit(task, name, TaskEventKind::Exited(never_started(at)));
                return Ok(());
            }
            if container.state.is_over() || std::mem::replace(&mut container.stopping, true) {
                return Ok(());
            }
            (container.run, grace, script)
        };
        match script.on_stop {
            Some((after, code)) if after < grace => self.end_later(task, name, run, after, code, None),
            _ => self.end_later(task, name, run, grace, 137, Some(9)),
        }
        Ok(())
    }

    async fn stop(&self, task: &TaskId, grace: Option<Duration>) -> Result<(), RuntimeError> {
        for container in self.status(task).await?.containers {
            self.stop_container(task, &container.name, grace).await?;
        }
        Ok(())
    }

    async fn kill(&self, task: &TaskId) -> Result<(), RuntimeError> {
        for container in self.status(task).await?.containers {
            match container.state {
                ContainerState::Running { .. } => self.end(task, &container.name, None, 137, Some(9), None),
                ContainerState::Created => self.stop_container(task, &container.name, None).await?,
                _ => {}
            }
        }
        Ok(())
    }

    async fn exec(&self, task: &TaskId, name: &str, _: ExecSpec) -> Result<ExecOutcome, RuntimeError> {
        let world = self.world();
        let entry = world.tasks.get(task).ok_or_else(|| RuntimeError::NoTask(task.clone()))?;
        let index = entry.index(name)?;
        match &entry.containers[index].state {
            ContainerState::Running { .. } => {
                let digest = &entry.spec.containers[index].image.digest;
                let code = world.scripts.get(digest).map_or(0, |s| s.exec_code);
                Ok(ExecOutcome { code: Some(code), output: Vec::new() })
            }
            other => Err(RuntimeError::WrongState { container: name.to_owned(), state: other.word() }),
        }
    }

    /// The process prints its command line, reads nothing, and ends.
    async fn open(&self, task: &TaskId, name: &str, spec: SessionSpec) -> Result<Session, RuntimeError> {
        let timeout = Duration::ZERO;
        let outcome = self.exec(task, name, ExecSpec { argv: spec.argv.clone(), timeout }).await?;
        let printed = format!("{}\n", spec.argv.join(" "));
        let played = Session::played(printed.as_bytes(), outcome.code.unwrap_or(0));
        played.map_err(|e| RuntimeError::host("opening the session", e))
    }

    async fn status(&self, task: &TaskId) -> Result<TaskStatus, RuntimeError> {
        self.world().tasks.get(task).map(Task::status).ok_or_else(|| RuntimeError::NoTask(task.clone()))
    }

    async fn list(&self) -> Result<Vec<TaskStatus>, RuntimeError> {
        Ok(self.world().tasks.values().map(Task::status).collect())
    }

    async fn remove(&self, task: &TaskId) -> Result<(), RuntimeError> {
        self.world().tasks.remove(task);
        Ok(())
    }

    fn watch(&self) -> broadcast::Receiver<TaskEvent> {
        self.0.events.subscribe()
    }

    async fn read_logs(&self, task: &TaskId, name: &str, offset: u64, max: usize) -> Result<LogChunk, RuntimeError> {
        let world = self.world();
        let entry = world.tasks.get(task).ok_or_else(|| RuntimeError::NoTask(task.clone()))?;
        let container = &entry.containers[entry.index(name)?];
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(container.logs.len());
        let mut room = max.max(1);
        let fits = |record: &&LogRecord| {
            let had_room = room > 0;
            room = room.saturating_sub(record.line.len().max(1));
            had_room
        };
        let records: Vec<_> = container.logs[from..].iter().take_while(fits).cloned().collect();
        let next = (from + records.len()) as u64;
        let ended = container.state.is_over() && next == container.logs.len() as u64;
        Ok(LogChunk { records, next, ended })
    }

    async fn release_logs(&self, _: &TaskId, _: &str, _: u64) -> Result<(), RuntimeError> {
        Ok(())
    }

    async fn usage(&self, task: &TaskId) -> Result<Vec<ContainerUsage>, RuntimeError> {
        let running = |c: &ContainerStatus| matches!(c.state, ContainerState::Running { .. });
        let containers = self.status(task).await?.containers.into_iter().filter(running);
        Ok(containers.map(|c| ContainerUsage { name: c.name, ..ContainerUsage::default() }).collect())
    }

    async fn storage(&self, task: &TaskId) -> Result<Option<StorageUsage>, RuntimeError> {
        self.status(task).await.map(|_| None)
    }
}

/// [`Exit::reason`] of a container that was stopped before it began.
pub const NEVER_STARTED: &str = "stopped before it was started";

/// The end of a container that was stopped before it began.
pub(crate) fn never_started(at: Timestamp) -> Exit {
    let reason = Some(NEVER_STARTED.to_owned());
    Exit { code: 137, signal: None, oom: false, started_at: None, at, reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ContainerSpec, ImageConfig, LayerRef, Limits, Network};
    use types::SimClock;

    fn spec(digest: &str) -> TaskSpec {
        let layer = LayerRef { digest: "sha256:0".into(), diff_id: "sha256:0".into() };
        let image = ImageSnapshot { digest: digest.into(), layers: vec![layer], config: ImageConfig::default() };
        TaskSpec {
            id: TaskId::generate(),
            network: Network::Isolated,
            shared_processes: false,
            shared_ipc: false,
            limits: Limits::default(),
            storage_bytes: None,
            containers: vec![ContainerSpec::new("app", image)],
        }
    }

    async fn settle() {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_container_that_ignores_its_stop_signal_is_killed_when_the_grace_is_over() {
        let clock = SimClock::default();
        let sim = Sim::new(Arc::new(clock.clone()));
        sim.script("deaf", SimScript::default());
        let spec = spec("deaf");
        let id = spec.id.clone();
        sim.start(spec).await.unwrap();
        sim.stop(&id, Some(Duration::from_secs(10))).await.unwrap();
        clock.advance(Duration::from_millis(9_999));
        settle().await;
        assert!(!sim.status(&id).await.unwrap().is_over(), "killed before its grace was over");
        clock.advance(Duration::from_millis(1));
        settle().await;
        let status = sim.status(&id).await.unwrap();
        let ContainerState::Exited(exit) = &status.containers[0].state else { panic!("still runs: {status:?}") };
        assert_eq!((exit.code, exit.signal, exit.at), (137, Some(9), Timestamp(10_000)));
    }

    #[tokio::test]
    async fn a_scripted_exit_comes_as_an_event() {
        let clock = SimClock::default();
        let sim = Sim::new(Arc::new(clock.clone()));
        sim.script("short", SimScript { exits: Some((Duration::from_secs(1), 3)), ..SimScript::default() });
        let mut events = sim.watch();
        sim.start(spec("short")).await.unwrap();
        assert!(matches!(events.try_recv().unwrap().kind, TaskEventKind::Started { .. }));
        clock.advance(Duration::from_secs(1));
        settle().await;
        assert!(matches!(events.try_recv().unwrap().kind, TaskEventKind::Exited(Exit { code: 3, .. })));
    }
}
