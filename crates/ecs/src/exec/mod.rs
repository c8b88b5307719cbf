//! ECS Exec: a process in a running container, talked with over Session Manager's data channel.
//!
//! `ExecuteCommand` ([`crate::api`]) makes an [`Opening`] and gives the client a token for it. The client comes back by WebSocket
//! ([`DataChannels`]), shows the token, and from there on [`talk`] carries what it types to the process and back; [`record`] writes
//! it down where the cluster says so. Whether a task's agent is connected, [`crate::control::agents`] finds out: it
//! needs the task role's leave and a way to Session Manager, as on AWS.
//!
//! What is here is this process's: a session ends with it, and a token that nobody has used.

mod command;
mod door;
mod record;
mod talk;

pub use door::DataChannels;

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use types::{Scope, Timestamp};

/// Where data channels are, before the session's id.
pub(crate) const PATH: &str = "/v1/data-channel/";
/// How long a token waits to be used.
const TOKEN_LASTS: Duration = Duration::from_mins(5);
/// Tokens that wait, and sessions, at a time. Source: Amazon ECS service quotas, "ECS Exec sessions".
const MOST: usize = 1000;

/// A session that a client may begin.
#[derive(Debug, Clone)]
pub(crate) struct Opening {
    pub(crate) session: String,
    pub(crate) token: String,
    pub(crate) scope: Scope,
    pub(crate) cluster: String,
    pub(crate) task: String,
    pub(crate) container: String,
    pub(crate) command: String,
    pub(crate) at: Timestamp,
}

/// What tasks' agents are connected, and the sessions that were promised.
#[derive(Debug, Default)]
pub struct Registry(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    waiting: HashMap<String, Opening>,
    open: usize,
    /// By task, the containers whose agents are connected.
    connected: HashMap<String, HashSet<String>>,
}

impl Registry {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Promises a session; false if there are too many.
    pub(crate) fn promise(&self, opening: Opening) -> bool {
        let mut state = self.state();
        state.waiting.retain(|_, other| opening.at.since(other.at) < TOKEN_LASTS);
        if state.waiting.len() + state.open >= MOST {
            return false;
        }
        state.waiting.insert(opening.session.clone(), opening);
        true
    }

    /// Whether somebody may come for the session.
    pub(crate) fn is_promised(&self, session: &str, now: Timestamp) -> bool {
        self.state().waiting.get(session).is_some_and(|opening| now.since(opening.at) < TOKEN_LASTS)
    }

    /// Begins the session, once, for whoever has its token. It counts until [`Registry::leave`].
    pub(crate) fn begin(&self, session: &str, token: &str, now: Timestamp) -> Option<Opening> {
        let mut state = self.state();
        let opening = state.waiting.get(session)?;
        if !same(opening.token.as_bytes(), token.as_bytes()) || now.since(opening.at) >= TOKEN_LASTS {
            return None;
        }
        let opening = state.waiting.remove(session);
        state.open += 1;
        opening
    }

    /// A session that was begun has ended.
    pub(crate) fn leave(&self) {
        let mut state = self.state();
        state.open = state.open.saturating_sub(1);
    }

    /// Whether the container's agent is connected.
    pub(crate) fn is_connected(&self, task: &str, container: &str) -> bool {
        self.state().connected.get(task).is_some_and(|containers| containers.contains(container))
    }

    /// These containers' agents are connected, and no others of the task.
    pub(crate) fn connected(&self, task: &str, containers: HashSet<String>) {
        let mut state = self.state();
        if containers.is_empty() {
            state.connected.remove(task);
        } else {
            state.connected.insert(task.to_owned(), containers);
        }
    }
}

/// Whether two secrets are the same, in a time that does not tell where they differ.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opening(session: &str, at: i64) -> Opening {
        Opening {
            session: session.to_owned(),
            token: "token".to_owned(),
            scope: Scope::default(),
            cluster: "c".to_owned(),
            task: "t".to_owned(),
            container: "app".to_owned(),
            command: "sh".to_owned(),
            at: Timestamp(at),
        }
    }

    #[test]
    fn a_session_begins_once_for_whoever_has_its_token() {
        let registry = Registry::default();
        assert!(registry.promise(opening("s", 0)) && registry.is_promised("s", Timestamp(0)));
        assert!(registry.begin("s", "toke", Timestamp(0)).is_none());
        assert!(registry.begin("s", "tokem", Timestamp(0)).is_none());
        assert!(registry.begin("s", "token", Timestamp(1)).is_some());
        assert!(registry.begin("s", "token", Timestamp(1)).is_none(), "a token was used twice");
        assert!(registry.promise(opening("late", 0)));
        assert!(registry.begin("late", "token", Timestamp(300_000)).is_none(), "a token does not get old");
        for number in 0..MOST - 1 {
            assert!(registry.promise(opening(&number.to_string(), 300_000)));
        }
        assert!(!registry.promise(opening("more", 300_000)), "promises without end");
        registry.leave();
        assert!(registry.promise(opening("more", 300_000)));
    }
}
