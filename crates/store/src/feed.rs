//! The change feed: what each commit changed, in order, within a bounded window.
//!
//! Subscribers hold a position only, never a queue, so a slow one costs no memory. One that falls behind the window is told so
//! and must look at all rows again (resync).

use serde::{Deserialize, Serialize};
use std::any::Any;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::Notify;
use types::Scope;

/// How many commits the feed remembers, in memory and on disk.
pub(crate) const WINDOW: u64 = 2048;

/// One durable commit, as subscribers see it.
#[derive(Debug, Clone)]
pub struct Commit {
    /// Its number; commits are numbered from 1 without gaps.
    pub sequence: u64,
    /// What it changed: each key at most once, in order of table, scope and id.
    pub changes: Vec<Change>,
}

/// The change of one row.
#[derive(Clone)]
pub struct Change {
    /// The row's table.
    pub table: &'static str,
    /// The row's scope.
    pub scope: Scope,
    /// The row's id.
    pub id: Arc<str>,
    /// What happened.
    pub op: Op,
    pub(crate) before: Option<Arc<dyn Any + Send + Sync>>,
}

/// What happened to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// It was created or replaced.
    Put,
    /// It was deleted.
    Delete,
}

impl Change {
    /// The row as it was before the commit. None for a new row, for another row type, and for commits of before the last restart.
    pub fn before<R: crate::Row>(&self) -> Option<Arc<R>> {
        self.before.clone()?.downcast().ok()
    }
}

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {} {} {}", self.op, self.table, self.scope, self.id)
    }
}

/// The changes asked for are older than the window; look at all rows instead, and go on from `newest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the change feed no longer reaches back to there; its newest commit is {newest}")]
pub struct TooOld {
    /// The newest commit.
    pub newest: u64,
}

/// What a subscriber hears.
#[derive(Debug, Clone)]
pub enum News {
    /// The next commit.
    Commit(Arc<Commit>),
    /// The subscriber fell behind the window. It continues after `newest`: look at all rows of a view taken from now on.
    Lagged {
        /// The last commit that was skipped.
        newest: u64,
    },
    /// The store is closed; nothing follows.
    Closed,
}

/// The window of remembered commits, and the bell that tells of new ones.
///
/// The bell wakes subscribers in the order in which they began to wait, so that a simulation repeats exactly.
pub(crate) struct Window {
    commits: RwLock<VecDeque<Arc<Commit>>>,
    newest: AtomicU64,
    bell: Arc<Notify>,
}

impl Window {
    pub(crate) fn new(newest: u64, commits: VecDeque<Arc<Commit>>) -> Self {
        Self { commits: RwLock::new(commits), newest: AtomicU64::new(newest), bell: Arc::default() }
    }

    /// Remembers durable commits, in order, and wakes the subscribers.
    pub(crate) fn publish(&self, fresh: impl IntoIterator<Item = Arc<Commit>>) {
        let mut newest = None;
        {
            let mut commits = self.commits.write().unwrap_or_else(PoisonError::into_inner);
            for commit in fresh {
                newest = Some(commit.sequence);
                commits.push_back(commit);
            }
            while commits.len() as u64 > WINDOW {
                commits.pop_front();
            }
        }
        if let Some(newest) = newest {
            self.newest.store(newest, Ordering::Release);
            self.bell.notify_waiters();
        }
    }

    /// The remembered commits after `sequence`, oldest first.
    pub(crate) fn since(&self, sequence: u64) -> Result<Vec<Arc<Commit>>, TooOld> {
        let commits = self.commits.read().unwrap_or_else(PoisonError::into_inner);
        let newest = commits.back().map_or_else(|| self.newest.load(Ordering::Acquire), |commit| commit.sequence);
        if sequence >= newest {
            return Ok(Vec::new());
        }
        let oldest = commits.front().map_or(newest + 1, |commit| commit.sequence);
        if sequence + 1 < oldest {
            return Err(TooOld { newest });
        }
        Ok(commits.iter().skip((sequence + 1 - oldest) as usize).cloned().collect())
    }

    fn after(&self, sequence: u64) -> Option<News> {
        let commits = self.commits.read().unwrap_or_else(PoisonError::into_inner);
        let (oldest, newest) = (commits.front()?.sequence, commits.back()?.sequence);
        if sequence >= newest {
            None
        } else if sequence + 1 < oldest {
            Some(News::Lagged { newest })
        } else {
            commits.get((sequence + 1 - oldest) as usize).cloned().map(News::Commit)
        }
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        self.bell.notify_waiters();
    }
}

/// A subscription to the change feed. Needs no particular async runtime.
pub struct Feed {
    window: std::sync::Weak<Window>,
    bell: Arc<Notify>,
    seen: u64,
}

impl Feed {
    pub(crate) fn new(window: &Arc<Window>, seen: u64) -> Self {
        Self { window: Arc::downgrade(window), bell: window.bell.clone(), seen }
    }

    /// The number of the last commit that was heard.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// The next news; waits for it. Safe to cancel: nothing is lost.
    pub async fn next(&mut self) -> News {
        let bell = self.bell.clone();
        loop {
            let mut rings = std::pin::pin!(bell.notified());
            // From here on no ring is missed.
            rings.as_mut().enable();
            if let Some(news) = self.try_next() {
                return news;
            }
            if self.window.strong_count() == 0 {
                return News::Closed;
            }
            rings.await;
        }
    }

    /// The next news, if there is any.
    pub fn try_next(&mut self) -> Option<News> {
        let news = self.window.upgrade()?.after(self.seen)?;
        match &news {
            News::Commit(commit) => self.seen = commit.sequence,
            News::Lagged { newest } => self.seen = *newest,
            News::Closed => {}
        }
        Some(news)
    }
}
