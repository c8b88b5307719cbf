//! What was there before: tasks of an earlier daemon, shims that have died, remains of tasks that never began.

use super::{Native, Task, blocking};
use crate::cgroup::Group;
use crate::protocol::ShimState;
use crate::shim::save_state;
use crate::{ContainerState, ContainerStatus, Exit, TaskEvent, TaskEventKind, TaskId, TaskStatus};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use types::Timestamp;

/// The end of containers whose shim died: they were killed with it.
const SHIM_DIED: &str = "the task's supervisor was killed";
/// The end of containers that were running when the machine went down.
const HOST_RESTARTED: &str = "the host was restarted";
/// [`Exit::reason`] of containers that were ended because the server was.
pub const SERVER_STOPPED: &str = "Windtunnel was stopped";

impl Native {
    /// Finds the tasks on disk and connects to the shims that live.
    pub(super) async fn adopt_all(&self) -> io::Result<()> {
        let paths = self.0.paths.clone();
        let found = blocking(move || {
            let mut ids = ids(&paths.run_tasks())?;
            ids.append(&mut self::ids(&paths.data_tasks())?);
            Ok(ids)
        });
        for id in found.await? {
            self.adopt(&id).await?;
        }
        let native = self.clone();
        blocking(move || {
            native.kill_strangers();
            let known: BTreeSet<_> = native.tasks().keys().map(|id| id.as_str().to_owned()).collect();
            native.0.cgroups.sweep(|name| known.contains(name));
            Ok(())
        })
        .await
    }

    async fn adopt(&self, id: &TaskId) -> io::Result<()> {
        let (paths, task) = (self.0.paths.clone(), id.clone());
        let (ended, state) = blocking(move || Ok((read(&paths.ended(&task)), read_state(&paths.state(&task))))).await?;
        if let Some(status) = ended {
            self.know(Task::with_status(status));
            return Ok(());
        }
        let Some(state) = state else {
            return match self.lost(id) {
                Some(status) => {
                    self.know(Task::with_status(status));
                    Ok(())
                }
                // Never reported as started, so that nobody misses it.
                None => self.sweep(id).await,
            };
        };
        let task = self.know(Task::with_status(state.status.clone()));
        if state.is_alive()
            && let Ok(stream) = tokio::net::UnixStream::connect(self.0.paths.control(id)).await
            && task.connect(stream, self.clone()).await.is_ok()
        {
            return Ok(());
        }
        let begun = state.status.containers.iter().any(|c| c.state != ContainerState::Created);
        if !begun {
            self.tasks().remove(id);
            return self.sweep(id).await;
        }
        task.learn(state, self);
        self.shim_gone(&task).await;
        Ok(())
    }

    fn know(&self, task: Task) -> Arc<Task> {
        let task = Arc::new(task);
        self.tasks().insert(task.id.clone(), Arc::clone(&task));
        task
    }

    /// What can be said of a task whose run directory is gone with the machine's last life; nothing if it had not begun.
    fn lost(&self, id: &TaskId) -> Option<TaskStatus> {
        let names = names(&self.0.paths.containers(id)).ok()?;
        let begun = names.iter().any(|name| self.0.paths.logs(id, name).exists());
        let at = self.0.clock.now();
        let state = || ContainerState::Exited(killed(HOST_RESTARTED, None, at));
        let containers = names.into_iter().map(|name| ContainerStatus { name, state: state(), restarts: 0 }).collect();
        (begun && !self.0.paths.run_task(id).exists()).then(|| TaskStatus { task: id.clone(), containers })
    }

    /// Writes down how a task has ended, of which `before` was known when the server began to stop: the run directory is
    /// about to go. What ran then has ended for the server's sake, whatever its exit code.
    pub(super) async fn keep_end(&self, task: &Task, before: &TaskStatus) {
        let mut status = task.status();
        let begun = before.containers.iter().any(|c| c.state != ContainerState::Created);
        if !begun || !status.is_over() {
            return;
        }
        for container in &mut status.containers {
            let over = before.container(&container.name).is_some_and(|c| c.state.is_over());
            if let ContainerState::Exited(exit) = &mut container.state
                && !over
            {
                exit.reason = Some(SERVER_STOPPED.to_owned());
            }
        }
        let path = self.0.paths.ended(&task.id);
        let saved = blocking(move || {
            let fresh = path.with_extension("new");
            fs::write(&fresh, serde_json::to_vec(&status)?)?;
            fs::rename(fresh, path)
        });
        if let Err(error) = saved.await {
            tracing::warn!(%error, task = %task.id, "the end of a task is not written down");
        }
    }

    /// The shim's connection has ended. If it had not finished, neither had its containers: they are killed, and that is written down.
    pub(super) async fn shim_gone(&self, task: &Task) {
        let Some(mut last) = task.shim() else { return };
        let path = self.0.paths.state(&task.id);
        let (file, cgroups, id) = (path.clone(), self.0.cgroups.clone(), task.id.clone());
        let written = blocking(move || {
            let written = read_state(&file);
            let over = written.as_ref().is_some_and(|s| s.status.is_over());
            if !over {
                cgroups.kill(Group::Task(id.as_str()));
            }
            Ok(written)
        });
        if let Ok(Some(written)) = written.await {
            last = written;
        }
        let at = self.0.clock.now();
        for container in &mut last.status.containers {
            let started_at = match &container.state {
                ContainerState::Running { started_at, .. } => Some(*started_at),
                ContainerState::Created => None,
                _ => continue,
            };
            container.state = ContainerState::Exited(killed(SHIM_DIED, started_at, at));
        }
        let state = last.clone();
        let saved = blocking(move || if path.exists() { save_state(&path, &state) } else { Ok(()) });
        if let Err(error) = saved.await {
            tracing::warn!(%error, task = %task.id, "the end of a task is not written down");
        }
        task.learn(last, self);
    }

    pub(super) fn emit(&self, task: &TaskId, container: &str, kind: TaskEventKind) {
        // Nobody listening is fine: the state can be asked for.
        let _ = self.0.events.send(TaskEvent { task: task.clone(), container: container.to_owned(), kind });
    }

    /// Kills what an earlier daemon's launcher made and nobody knows of: itself, and shims that came after their daemon's death.
    fn kill_strangers(&self) {
        let known: BTreeSet<i32> = self.tasks().values().filter_map(|t| t.shim()).map(|s| s.pid).collect();
        for pid in self.0.cgroups.processes(Group::Shims) {
            if !known.contains(&pid) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
    }
}

fn killed(reason: &str, started_at: Option<Timestamp>, at: Timestamp) -> Exit {
    let signal = started_at.map(|_| Signal::SIGKILL as i32);
    Exit { code: 137, signal, oom: false, started_at, at, reason: Some(reason.to_owned()) }
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn read_state(path: &Path) -> Option<ShimState> {
    read(path)
}

fn names(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}

fn ids(directory: &Path) -> io::Result<BTreeSet<TaskId>> {
    Ok(names(directory)?.iter().filter_map(|name| TaskId::parse(name)).collect())
}
