//! One task as the daemon knows it: the connection to its shim, the state that was last heard, questions that wait for an answer.

use super::Native;
use crate::protocol::{MAX_LINE, Report, Request, ShimState};
use crate::{ContainerState, ContainerStatus, RuntimeError, TaskEventKind, TaskId, TaskSpec, TaskStatus};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{oneshot, watch};

pub(super) struct Task {
    pub(super) id: TaskId,
    heard: Mutex<Heard>,
    writer: tokio::sync::Mutex<Option<OwnedWriteHalf>>,
    /// Whether a shim is there.
    connected: watch::Sender<bool>,
    /// Tells that there is something new in the status.
    learnt: watch::Sender<()>,
}

struct Heard {
    status: TaskStatus,
    shim: Option<ShimState>,
    questions: HashMap<u64, oneshot::Sender<Report>>,
    next_number: u64,
    /// Containers whose new output has been told and not been read.
    logs_told: HashSet<String>,
}

impl Task {
    /// A task that is about to be started.
    pub(super) fn new(id: TaskId, spec: &TaskSpec) -> Self {
        let state = ContainerState::Created;
        let created = |name: &String| ContainerStatus { name: name.clone(), state: state.clone(), restarts: 0 };
        let containers = spec.containers.iter().map(|c| created(&c.name)).collect();
        Self::with_status(TaskStatus { task: id, containers })
    }

    /// A task without a shim, of which this is known.
    pub(super) fn with_status(status: TaskStatus) -> Self {
        let heard = Heard {
            shim: None,
            questions: HashMap::new(),
            next_number: 1,
            logs_told: HashSet::new(),
            status: status.clone(),
        };
        Self {
            id: status.task,
            heard: Mutex::new(heard),
            writer: tokio::sync::Mutex::new(None),
            connected: watch::Sender::new(false),
            learnt: watch::Sender::new(()),
        }
    }

    pub(super) fn status(&self) -> TaskStatus {
        self.heard().status.clone()
    }

    pub(super) fn require(&self, container: &str) -> Result<(), RuntimeError> {
        let missing = || RuntimeError::NoContainer { task: self.id.clone(), container: container.to_owned() };
        self.heard().status.container(container).map(|_| ()).ok_or_else(missing)
    }

    /// From now on new output of the container is told again.
    pub(super) fn expect_log(&self, container: &str) {
        self.heard().logs_told.remove(container);
    }

    /// Talks to the shim from here on. Returns its first word: the state that it begins with.
    pub(super) async fn connect(self: &Arc<Self>, stream: UnixStream, native: Native) -> Result<TaskStatus, String> {
        let (reader, writer) = stream.into_split();
        let mut reader = BufReader::new(reader);
        let state = match next(&mut reader).await {
            Some(Report::State(state)) => state,
            Some(Report::Fatal(reason)) => return Err(reason),
            _ => return Err("the task's shim has died".to_owned()),
        };
        *self.writer.lock().await = Some(writer);
        let status = state.status.clone();
        self.learn(state, &native);
        self.connected.send_replace(true);
        let task = Arc::clone(self);
        tokio::spawn(async move {
            while let Some(report) = next(&mut reader).await {
                task.take(report, &native);
            }
            *task.writer.lock().await = None;
            native.shim_gone(&task).await;
            task.heard().questions.clear();
            task.connected.send_replace(false);
        });
        Ok(status)
    }

    /// Says it to the shim, if there is one.
    pub(super) async fn send(&self, request: &Request) {
        let Ok(mut line) = serde_json::to_vec(request) else { return };
        line.push(b'\n');
        let mut writer = self.writer.lock().await;
        if let Some(stream) = writer.as_mut()
            && stream.write_all(&line).await.is_err()
        {
            *writer = None;
        }
    }

    /// Asks the shim and waits for the answer.
    pub(super) async fn ask(&self, request: impl FnOnce(u64) -> Request) -> Result<Report, RuntimeError> {
        let (answer, question) = oneshot::channel();
        let number = {
            let mut heard = self.heard();
            let number = heard.next_number;
            heard.next_number += 1;
            heard.questions.insert(number, answer);
            number
        };
        let gone = || RuntimeError::Host("the task has ended".to_owned());
        if !*self.connected.borrow() {
            self.heard().questions.remove(&number);
            return Err(gone());
        }
        self.send(&request(number)).await;
        question.await.map_err(|_| gone())
    }

    /// Ends when there is no shim.
    pub(super) async fn gone(&self) {
        // The sender lives as long as this does, so that waiting cannot fail.
        let _ = self.connected.subscribe().wait_for(|connected| !connected).await;
    }

    /// Ends when none of these containers is still to begin.
    pub(super) async fn begun(&self, containers: &[String]) {
        let mut learnt = self.learnt.subscribe();
        loop {
            let status = self.status();
            let begun = |name: &String| status.container(name).is_none_or(|c| c.state != ContainerState::Created);
            if containers.iter().all(begun) || learnt.changed().await.is_err() {
                return;
            }
        }
    }

    pub(super) fn kill_shim(&self) {
        let shim = self.heard().shim.clone();
        if let Some(shim) = shim.filter(ShimState::is_alive) {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(shim.pid), nix::sys::signal::Signal::SIGKILL);
        }
    }

    /// Replaces what is known and tells what has changed.
    pub(super) fn learn(&self, state: ShimState, native: &Native) {
        let mut heard = self.heard();
        let before = std::mem::replace(&mut heard.status, state.status.clone());
        for container in &state.status.containers {
            let known = before.container(&container.name).map(|c| &c.state);
            if known == Some(&container.state) {
                continue;
            }
            let started = match (&container.state, known) {
                // Both happened since the last word: the start is told as well.
                (ContainerState::Exited(exit), Some(ContainerState::Created)) => {
                    exit.started_at.map(|at| TaskEventKind::Started { pid: 0, at })
                }
                _ => None,
            };
            let kind = match &container.state {
                ContainerState::Created => None,
                ContainerState::Running { pid, started_at } => {
                    Some(TaskEventKind::Started { pid: *pid, at: *started_at })
                }
                ContainerState::Failed { reason, at } => {
                    Some(TaskEventKind::Failed { reason: reason.clone(), at: *at })
                }
                ContainerState::Exited(exit) => Some(TaskEventKind::Exited(exit.clone())),
            };
            for kind in started.into_iter().chain(kind) {
                native.emit(&self.id, &container.name, kind);
            }
        }
        heard.shim = Some(state);
        self.learnt.send_replace(());
    }

    /// What the shim last said of itself.
    pub(super) fn shim(&self) -> Option<ShimState> {
        self.heard().shim.clone()
    }

    fn take(&self, report: Report, native: &Native) {
        match report {
            Report::State(state) => self.learn(state, native),
            Report::Log(container) => {
                if self.heard().logs_told.insert(container.clone()) {
                    native.emit(&self.id, &container, TaskEventKind::LogAvailable);
                }
            }
            Report::Started { number, .. } | Report::Executed { number, .. } | Report::Storage { number, .. } => {
                let question = self.heard().questions.remove(&number);
                // The one who asked may have given up.
                let _ = question.map(|question| question.send(report));
            }
            Report::Fatal(reason) => tracing::warn!(task = %self.id, reason, "the task's shim fails"),
        }
    }

    fn heard(&self) -> std::sync::MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The next report; none once the shim has gone or talks nonsense.
async fn next(reader: &mut BufReader<OwnedReadHalf>) -> Option<Report> {
    let mut line = Vec::new();
    reader.take(MAX_LINE as u64).read_until(b'\n', &mut line).await.ok()?;
    serde_json::from_slice(&line).ok()
}
