//! The runtime that runs real containers: the daemon's side of launcher and shims.
//!
//! It keeps no state of its own that matters: what a task is and how it ended is known by its shim and by the files that the shim writes, from which
//! [`Native::open`] learns of the tasks of an earlier daemon. Blocking work is done on tokio's threads for that.

mod adopt;
mod session;
mod task;

pub use adopt::SERVER_STOPPED;

use crate::cgroup::{Cgroups, Group};
use crate::container::Order;
use crate::launcher::Launcher;
use crate::layers::LayerStore;
use crate::paths::{Paths, make_private, remove_all};
use crate::protocol::{Refusal, Report, Request};
use crate::storage::{self, Templates};
use crate::unpack::UnpackLimits;
use crate::volume::open_kept;
use crate::{
    ContainerState, ContainerStatus, ContainerUsage, ExecOutcome, ExecSpec, ImageSnapshot, KeptVolume, LayerSource,
    LogChunk, MountSource, PrepareError, Runtime, RuntimeError, Session, SessionSpec, StartError, StartWhen,
    StorageUsage, TaskEvent, TaskId, TaskSpec, TaskStatus, log,
};
use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use task::Task;
use tokio::sync::broadcast;
use types::Clock;

/// Events that a slow receiver may be behind.
const EVENTS: usize = 4096;
/// A shim that has not said a word after this long will not.
const START_TIMEOUT: Duration = Duration::from_mins(1);
/// A shim that was told to end and has not after this long is killed.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a start waits for containers to be made, which takes milliseconds. What takes longer copies much, or hangs: the caller
/// learns of it by events, and may stop it meanwhile.
const MAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// What containers have at most to end by themselves when the server is stopped; someone waits at a prompt for it.
const LEAVE_GRACE: Duration = Duration::from_secs(2);

/// What a native runtime needs.
pub struct NativeConfig {
    /// Where sockets and states are, gone with a restart of the machine: `/run/windtunnel/<instance>`. Short, as sockets' paths must be.
    pub run_dir: PathBuf,
    /// Where layers, containers' files and logs are. Of a file system that overlayfs can write to.
    pub data_dir: PathBuf,
    /// Names the control groups; different for each data directory on the host.
    pub instance: String,
    /// The binary whose subcommand [`crate::launcher::SUBCOMMAND`] calls [`crate::launcher::main`].
    pub program: OsString,
    /// Where layers' blobs come from.
    pub layers: Arc<dyn LayerSource>,
    /// For waiting.
    pub clock: Arc<dyn Clock>,
}

/// Real containers. Clones are the same runtime.
#[derive(Clone)]
pub struct Native(Arc<Inner>);

struct Inner {
    paths: Paths,
    instance: String,
    program: OsString,
    cgroups: Cgroups,
    layers: LayerStore,
    templates: Templates,
    launcher: Mutex<Option<Launcher>>,
    tasks: Mutex<BTreeMap<TaskId, Arc<Task>>>,
    events: broadcast::Sender<TaskEvent>,
    clock: Arc<dyn Clock>,
}

impl Native {
    /// Opens the runtime: adopts the tasks that run, learns how others ended meanwhile, and removes what a crash left of tasks that never began. Starts the launcher.
    pub async fn open(config: NativeConfig) -> io::Result<Self> {
        let paths = Paths { run: config.run_dir, data: config.data_dir };
        let (events, _) = broadcast::channel(EVENTS);
        let (instance, source, prepared) = (config.instance.clone(), config.layers, paths.clone());
        let opened = blocking(move || {
            make_private(&prepared.run_tasks())?;
            make_private(&prepared.data_tasks())?;
            let layers = LayerStore::open(&prepared.data, source, UnpackLimits::default())?;
            Ok((Cgroups::discover(&instance)?, layers))
        });
        let (cgroups, layers) = opened.await?;
        let native = Self(Arc::new(Inner {
            paths,
            instance: config.instance,
            program: config.program,
            cgroups,
            layers,
            templates: Templates::default(),
            launcher: Mutex::default(),
            tasks: Mutex::default(),
            events,
            clock: config.clock,
        }));
        native.adopt_all().await?;
        native.with_launcher(|_| Ok(()))?;
        Ok(native)
    }

    /// Ends every task and the launcher and removes their control groups: the host is as before. Containers get their stop
    /// signal and [`LEAVE_GRACE`], all at the same time. What the tasks wrote on disk stays until [`Runtime::remove`],
    /// their ends are known to the next [`Native::open`], those of containers that ran with [`SERVER_STOPPED`].
    pub async fn shutdown(&self) {
        let tasks: Vec<_> = self.tasks().values().cloned().collect();
        let mut leaving = tokio::task::JoinSet::new();
        for task in tasks {
            let native = self.clone();
            leaving.spawn(async move {
                let before = task.status();
                task.send(&Request::Leave { most_millis: millis(LEAVE_GRACE) }).await;
                native.await_end(&task).await;
                native.keep_end(&task, &before).await;
            });
        }
        leaving.join_all().await;
        *self.launcher() = None;
        // Groups empty themselves a moment after their last process has ended.
        for attempt in 0u64.. {
            let inner = Arc::clone(&self.0);
            let gone = blocking(move || {
                inner.cgroups.kill(Group::Companions);
                inner.cgroups.kill(Group::Shims);
                inner.cgroups.sweep(|_| false);
                inner.cgroups.remove_instance();
                Ok(inner.cgroups.is_gone())
            });
            match gone.await {
                Ok(false) if attempt < 40 => self.0.clock.sleep(Duration::from_millis(1 + attempt * 5)).await,
                Ok(true) => break,
                _ => {
                    tracing::warn!(instance = self.0.instance, "control groups are left");
                    break;
                }
            }
        }
    }

    /// Removes the unpacked layers that no image in `keep` (diff ids) has. Only while nothing is being started.
    pub async fn prune_layers(&self, keep: HashSet<String>) -> io::Result<usize> {
        let inner = Arc::clone(&self.0);
        blocking(move || inner.layers.prune(&keep)).await
    }

    /// Starts a process that belongs to no task and outlives this one, such as a load balancer. Whether it runs shows where it
    /// is spoken to; whoever wants it to end tells it so there.
    pub fn start_companion(&self, command_line: &[OsString]) -> io::Result<()> {
        self.with_launcher(|launcher| launcher.start_companion(command_line))
    }

    /// The limits of tasks that nothing enforces on this host: `cpu`, `memory`, `pids`, `ephemeralStorage`.
    pub fn unenforced_limits(&self) -> Vec<&'static str> {
        let mut all = self.0.cgroups.unenforced();
        all.extend((!storage::possible()).then_some(storage::LIMIT));
        all
    }

    /// The launcher's process.
    pub fn launcher_pid(&self) -> Option<u32> {
        self.launcher().as_ref().map(Launcher::pid)
    }

    fn tasks(&self) -> std::sync::MutexGuard<'_, BTreeMap<TaskId, Arc<Task>>> {
        self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn launcher(&self) -> std::sync::MutexGuard<'_, Option<Launcher>> {
        self.0.launcher.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn task(&self, id: &TaskId) -> Result<Arc<Task>, RuntimeError> {
        self.tasks().get(id).cloned().ok_or_else(|| RuntimeError::NoTask(id.clone()))
    }

    /// Uses the launcher; one that has died is replaced once.
    fn with_launcher<T>(&self, act: impl Fn(&Launcher) -> io::Result<T>) -> io::Result<T> {
        let mut slot = self.launcher();
        let spawn = || Launcher::spawn(&self.0.program, &self.0.instance);
        let launcher = match slot.take() {
            Some(launcher) => launcher,
            None => spawn()?,
        };
        match act(&launcher) {
            Ok(done) => {
                *slot = Some(launcher);
                Ok(done)
            }
            Err(error) => {
                tracing::warn!(%error, "the launcher does not answer; starting another");
                drop(launcher);
                act(slot.insert(spawn()?))
            }
        }
    }

    async fn launch(&self, task: &Arc<Task>, mut spec: TaskSpec) -> Result<TaskStatus, StartError> {
        let images: Vec<_> = spec.containers.iter().map(|c| c.image.clone()).collect();
        for image in &images {
            self.prepare(image).await?;
        }
        let host = |e: io::Error| StartError::Host(e.to_string());
        self.kept_volumes(&spec).await?;
        spec.storage_bytes = spec.storage_bytes.filter(|_| storage::possible());
        let at_once = spec.containers.iter().filter(|c| c.start == StartWhen::Now).map(|c| c.name.clone());
        let at_once: Vec<_> = at_once.collect();
        let paths_of = |image: &ImageSnapshot| image.layers.iter().map(|l| self.0.layers.path(l)).collect();
        let order = Order {
            paths: self.0.paths.clone(),
            cgroups: self.0.cgroups.clone(),
            layers: images.iter().map(paths_of).collect(),
            spec,
        };
        let native = self.clone();
        let connection = blocking(move || {
            let id = &order.spec.id;
            make_private(&native.0.paths.run_task(id))?;
            for container in &order.spec.containers {
                make_private(&native.0.paths.container(id, &container.name))?;
            }
            if let Some(bytes) = order.spec.storage_bytes {
                make_private(&native.0.paths.storage(id))?;
                let made = native.0.templates.copy_to(&native.0.paths.storage_image(id), bytes);
                made.map_err(|e| io::Error::other(format!("making the task's storage: {e}")))?;
            }
            let bytes = serde_json::to_vec(&order)?;
            native.with_launcher(|launcher| launcher.launch(&bytes))
        });
        let connection = connection.await.map_err(host)?;
        let connection = tokio::net::UnixStream::from_std(connection).map_err(host)?;
        let first = tokio::select! {
            first = task.connect(connection, self.clone()) => first,
            () = self.0.clock.sleep(START_TIMEOUT) => Err("the task's shim does not answer".to_owned()),
        };
        first.map_err(StartError::Host)?;
        tokio::select! {
            () = task.begun(&at_once) => {}
            () = self.0.clock.sleep(MAKE_TIMEOUT) => {}
        }
        Ok(task.status())
    }

    /// Looks for the volumes that outlive tasks before anything is made: a container could only say that it did not start.
    async fn kept_volumes(&self, spec: &TaskSpec) -> Result<(), StartError> {
        let mounts = spec.containers.iter().flat_map(|container| &container.mounts);
        let kept = mounts.filter_map(|mount| match &mount.source {
            MountSource::Kept(volume) => Some(volume.clone()),
            _ => None,
        });
        for volume in kept {
            let paths = self.0.paths.clone();
            let KeptVolume { store, path, .. } = volume.clone();
            match blocking(move || open_kept(&paths, &volume)).await {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(StartError::NoVolume { store, path });
                }
                Err(error) => return Err(StartError::Host(format!("the volume {path:?} in {store}: {error}"))),
            }
        }
        Ok(())
    }

    /// Waits until the shim has gone; one that does not go is killed with all that it holds.
    async fn await_end(&self, task: &Task) {
        let gone = tokio::select! {
            () = task.gone() => true,
            () = self.0.clock.sleep(END_TIMEOUT) => false,
        };
        if !gone {
            tracing::warn!(task = %task.id, "the shim does not end; killing it");
            task.kill_shim();
            self.0.cgroups.kill(Group::Task(task.id.as_str()));
            task.gone().await;
        }
    }

    /// Removes all that is named after the task.
    async fn sweep(&self, id: &TaskId) -> io::Result<()> {
        // Groups empty themselves a moment after their last process was killed.
        for attempt in 0u64.. {
            let (inner, task) = (Arc::clone(&self.0), id.clone());
            let removed = blocking(move || {
                let group = Group::Task(task.as_str());
                inner.cgroups.kill(group);
                inner.cgroups.remove(group)
            });
            match removed.await {
                Ok(()) => break,
                Err(error) if attempt == 40 => return Err(error),
                Err(_) => self.0.clock.sleep(Duration::from_millis(1 + attempt * 5)).await,
            }
        }
        let (inner, task) = (Arc::clone(&self.0), id.clone());
        blocking(move || {
            remove_all(&inner.paths.data_task(&task))?;
            remove_all(&inner.paths.run_task(&task))
        })
        .await
    }
}

#[async_trait::async_trait]
impl Runtime for Native {
    async fn prepare(&self, image: &ImageSnapshot) -> Result<(), PrepareError> {
        for layer in image.layers.clone() {
            let (inner, digest) = (Arc::clone(&self.0), layer.digest.clone());
            let done = tokio::task::spawn_blocking(move || inner.layers.ensure(&layer)).await;
            done.unwrap_or_else(|e| Err(PrepareError::Host { digest, source: io::Error::other(e) }))?;
        }
        Ok(())
    }

    async fn start(&self, spec: TaskSpec) -> Result<TaskStatus, StartError> {
        spec.validate()?;
        let id = spec.id.clone();
        let task = Arc::new(Task::new(id.clone(), &spec));
        {
            let mut tasks = self.tasks();
            if tasks.contains_key(&id) {
                return Err(StartError::AlreadyExists(id));
            }
            tasks.insert(id.clone(), Arc::clone(&task));
        }
        // On a task of its own: a caller that gives up must not leave half a task behind.
        let native = self.clone();
        let started = tokio::spawn(async move {
            let started = native.launch(&task, spec).await;
            if started.is_err() {
                task.kill_shim();
                if let Err(error) = native.sweep(&task.id).await {
                    tracing::warn!(%error, task = %task.id, "a task that failed to start is not removed as a whole");
                }
                native.tasks().remove(&task.id);
            }
            started
        });
        started.await.map_err(|e| StartError::Host(e.to_string()))?
    }

    async fn start_container(&self, id: &TaskId, container: &str) -> Result<ContainerStatus, RuntimeError> {
        let task = self.task(id)?;
        let name = container.to_owned();
        let request = |number| Request::Start { number, container: name.clone() };
        let answer = tokio::select! {
            answer = task.ask(request) => answer?,
            () = self.0.clock.sleep(MAKE_TIMEOUT) => {
                return task.status().container(container).cloned().ok_or_else(|| RuntimeError::NoContainer {
                    task: id.clone(),
                    container: container.to_owned(),
                });
            }
        };
        match answer {
            Report::Started { result: Ok(state), .. } => Ok(ContainerStatus { name, state, restarts: 0 }),
            Report::Started { result: Err(refusal), .. } => Err(refused(&task, container, refusal)),
            other => Err(RuntimeError::Host(format!("an unexpected answer: {other:?}"))),
        }
    }

    async fn stop_container(&self, id: &TaskId, name: &str, grace: Option<Duration>) -> Result<(), RuntimeError> {
        let task = self.task(id)?;
        task.require(name)?;
        task.send(&Request::Stop { container: Some(name.to_owned()), grace_millis: grace.map(millis) }).await;
        Ok(())
    }

    async fn stop(&self, id: &TaskId, grace: Option<Duration>) -> Result<(), RuntimeError> {
        self.task(id)?.send(&Request::Stop { container: None, grace_millis: grace.map(millis) }).await;
        Ok(())
    }

    async fn kill(&self, id: &TaskId) -> Result<(), RuntimeError> {
        self.task(id)?.send(&Request::Kill).await;
        Ok(())
    }

    async fn exec(&self, id: &TaskId, container: &str, spec: ExecSpec) -> Result<ExecOutcome, RuntimeError> {
        let task = self.task(id)?;
        let name = container.to_owned();
        let request = |number| Request::Execute { number, container: name.clone(), spec: spec.clone() };
        match task.ask(request).await? {
            Report::Executed { result: Ok(outcome), .. } => Ok(outcome),
            Report::Executed { result: Err(refusal), .. } => Err(refused(&task, container, refusal)),
            other => Err(RuntimeError::Host(format!("an unexpected answer: {other:?}"))),
        }
    }

    async fn open(&self, id: &TaskId, container: &str, spec: SessionSpec) -> Result<Session, RuntimeError> {
        let task = self.task(id)?;
        task.require(container)?;
        let socket = self.0.paths.sessions(id);
        let opened = session::open(socket, container.to_owned(), spec).await;
        opened.map_err(|e| RuntimeError::host("opening the session", e))?.map_err(|r| refused(&task, container, r))
    }

    async fn status(&self, id: &TaskId) -> Result<TaskStatus, RuntimeError> {
        Ok(self.task(id)?.status())
    }

    async fn list(&self) -> Result<Vec<TaskStatus>, RuntimeError> {
        Ok(self.tasks().values().map(|task| task.status()).collect())
    }

    async fn remove(&self, id: &TaskId) -> Result<(), RuntimeError> {
        let Ok(task) = self.task(id) else { return Ok(()) };
        let native = self.clone();
        let removed = tokio::spawn(async move {
            task.send(&Request::End).await;
            native.await_end(&task).await;
            native.sweep(&task.id).await?;
            native.tasks().remove(&task.id);
            io::Result::Ok(())
        });
        removed.await.map_err(io::Error::other).flatten().map_err(|e| RuntimeError::host("removing the task", e))
    }

    fn watch(&self) -> broadcast::Receiver<TaskEvent> {
        self.0.events.subscribe()
    }

    async fn read_logs(&self, id: &TaskId, name: &str, offset: u64, max: usize) -> Result<LogChunk, RuntimeError> {
        let task = self.task(id)?;
        task.require(name)?;
        // Before reading: what comes meanwhile is told again.
        task.expect_log(name);
        // Before reading as well: the shim writes the last line first and the end after it.
        let over = task.status().container(name).is_some_and(|c| c.state.is_over());
        let directory = self.0.paths.logs(id, name);
        let chunk = blocking(move || log::read(&directory, offset, max)).await;
        let mut chunk = chunk.map_err(|e| RuntimeError::host("reading the log", e))?;
        chunk.ended = over && chunk.records.is_empty();
        Ok(chunk)
    }

    async fn release_logs(&self, id: &TaskId, name: &str, offset: u64) -> Result<(), RuntimeError> {
        self.task(id)?.require(name)?;
        let directory = self.0.paths.logs(id, name);
        let released = blocking(move || log::release(&directory, offset)).await;
        released.map_err(|e| RuntimeError::host("releasing the log", e))
    }

    async fn usage(&self, id: &TaskId) -> Result<Vec<ContainerUsage>, RuntimeError> {
        let (status, inner) = (self.task(id)?.status(), Arc::clone(&self.0));
        let used = blocking(move || {
            let running = status.containers.iter().filter(|c| matches!(c.state, ContainerState::Running { .. }));
            let of =
                |c: &ContainerStatus| inner.cgroups.usage(Group::Container(status.task.as_str(), &c.name), &c.name);
            Ok(running.map(of).collect())
        });
        used.await.map_err(|e| RuntimeError::host("reading usage", e))
    }

    async fn storage(&self, id: &TaskId) -> Result<Option<StorageUsage>, RuntimeError> {
        match self.task(id)?.ask(|number| Request::Storage { number }).await? {
            Report::Storage { result: Ok(usage), .. } => Ok(usage),
            Report::Storage { result: Err(Refusal::Failed(why)), .. } => Err(RuntimeError::Host(why)),
            other => Err(RuntimeError::Host(format!("an unexpected answer: {other:?}"))),
        }
    }
}

fn refused(task: &Task, container: &str, refusal: Refusal) -> RuntimeError {
    let container = container.to_owned();
    match refusal {
        Refusal::NoContainer => RuntimeError::NoContainer { task: task.id.clone(), container },
        Refusal::WrongState(_) => {
            let state = task.status().container(&container).map_or("gone", |c| c.state.word());
            RuntimeError::WrongState { container, state }
        }
        Refusal::Failed(why) => RuntimeError::Host(why),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Runs what waits for the disk or the kernel where waiting is allowed.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
