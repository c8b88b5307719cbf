//! What was said in a session, in a log stream of its own that is named by the session: in the log group of the container
//! (`DEFAULT`), in one that the cluster names (`OVERRIDE`), or nowhere.
//!
//! The task role writes it, as the agent does; where it may not, or there is no such group, the session goes on without.

use super::Opening;
use crate::control::Control;
use crate::ports::{LogEvent, Session};
use crate::rows::{ClusterRow, LogTarget, TaskRow};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use types::Scope;

/// A line, or a piece of one, and what is kept before it is handed over.
const MOST: usize = 64 << 10;
/// Pieces of output that may wait to be written down.
const WAITING: usize = 64;

/// A record in the making.
pub(super) struct Record {
    pieces: mpsc::Sender<Vec<u8>>,
    writer: JoinHandle<()>,
}

impl Record {
    /// The record of a session, if there is to be one.
    pub(super) fn begin(control: &Control, opening: &Opening) -> Option<Self> {
        let view = control.store.view();
        let scope = &opening.scope;
        let row = view.get::<TaskRow>(scope, &opening.task)?;
        let cluster = view.get::<ClusterRow>(scope, &opening.cluster)?;
        let own = row.containers.iter().find(|container| container.name == opening.container)?.log.clone();
        let target = target(scope, &cluster, own, &opening.session)?;
        let role = row.task_role.as_deref()?;
        let session = control.ports.roles.assume(&view, scope, role, &row.id).ok()?;
        let (pieces, mut waiting) = mpsc::channel::<Vec<u8>>(WAITING);
        let mut writer = Writer {
            control: control.clone(),
            scope: scope.clone(),
            target,
            session,
            netns: row.netns(),
            position: 0,
            held: Vec::new(),
        };
        let writer = tokio::spawn(async move {
            let made = writer.make_stream().await;
            while let Some(piece) = waiting.recv().await {
                if made {
                    writer.take(&piece).await;
                }
            }
            if made {
                writer.hand_over(true).await;
            }
        });
        Some(Self { pieces, writer })
    }

    /// Adds to it.
    pub(super) async fn write(&self, bytes: Vec<u8>) {
        let _ = self.pieces.send(bytes).await;
    }

    /// Completes it.
    pub(super) async fn finish(self) {
        drop(self.pieces);
        let _ = self.writer.await;
    }
}

/// Where a session of the cluster is written down; `own` is where the container's output goes.
fn target(scope: &Scope, cluster: &ClusterRow, own: Option<LogTarget>, session: &str) -> Option<LogTarget> {
    let configuration =
        cluster.configuration.as_ref().and_then(|stored| stored.0.execute_command_configuration.as_ref());
    let named = configuration.and_then(|configuration| configuration.log_configuration.as_ref());
    let (region, group) = match configuration.and_then(|configuration| configuration.logging.as_deref()) {
        Some("NONE") => return None,
        Some("OVERRIDE") => (scope.region.to_string(), named?.cloud_watch_log_group_name.clone()?),
        _ => own.map(|own| (own.region, own.group))?,
    };
    Some(LogTarget { region, group, stream: session.to_owned(), create_group: false, event_start: None })
}

struct Writer {
    control: Control,
    scope: Scope,
    target: LogTarget,
    session: Session,
    netns: String,
    position: u64,
    held: Vec<u8>,
}

impl Writer {
    async fn make_stream(&self) -> bool {
        let logs = &self.control.ports.logs;
        let made = logs.create_stream(&self.scope, &self.target, Some(&self.session), &self.netns).await;
        if let Err(why) = &made {
            tracing::warn!(group = self.target.group, why, "a session of ECS Exec is not written down");
        }
        made.is_ok()
    }

    async fn take(&mut self, piece: &[u8]) {
        self.held.extend_from_slice(piece);
        if self.held.len() >= MOST {
            self.hand_over(false).await;
        }
    }

    /// Hands over the lines that are complete, and at the end what is left.
    async fn hand_over(&mut self, all: bool) {
        let end = match self.held.iter().rposition(|byte| *byte == b'\n') {
            Some(last) if !all => last + 1,
            // A line without an end is handed over in pieces.
            _ => self.held.len(),
        };
        let rest = self.held.split_off(end);
        let lines = std::mem::replace(&mut self.held, rest);
        let at = self.control.clock.now();
        let text = String::from_utf8_lossy(&lines);
        let lines = text.lines().map(|line| line.trim_end_matches('\r')).filter(|line| !line.is_empty());
        let events: Vec<_> = lines.map(|line| LogEvent { at, message: line.to_owned() }).collect();
        if events.is_empty() {
            return;
        }
        self.position += 1;
        let logs = &self.control.ports.logs;
        let batch = (self.position, events);
        let written = logs.append(&self.scope, &self.target, batch, Some(&self.session), &self.netns).await;
        if let Err(why) = written {
            tracing::warn!(group = self.target.group, why, "a part of a session of ECS Exec is not written down");
        }
    }
}
