//! Controllers: each drives a part of the world towards what the store says is wanted, one key at a time.
//!
//! The change feed tells which rows changed; a [`Controller`] says which of its keys that touches; its [`Runner`] calls
//! [`Controller::reconcile`] for them: never two at once for the same key, again if the key was touched meanwhile, again later if it
//! failed. Nothing is kept of what is to be done: at the start, and after falling behind the feed, all keys are gone through.
//!
//! What happens in a reconciliation is the services' business. Only what a reconciliation reads when it runs counts, not what woke it.

mod queue;
mod runner;
mod system_clock;

pub use runner::{Limits, Runner, Unfinished};
pub use system_clock::SystemClock;

use async_trait::async_trait;
use std::fmt;
use std::time::Duration;
use store::{Change, View};
use types::Scope;

/// What a controller works on at a time, such as one service or one load balancer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The owner's account and region.
    pub scope: Scope,
    /// The id; often that of a row.
    pub id: String,
}

impl Key {
    /// The key of `id` in `scope`.
    pub fn new(scope: &Scope, id: impl Into<String>) -> Self {
        Self { scope: scope.clone(), id: id.into() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.scope, self.id)
    }
}

/// What comes after a successful reconciliation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing, until something changes.
    Done,
    /// Another one after this time, or sooner if something changes.
    After(Duration),
}

/// Why a reconciliation failed. It is logged and the key retried with growing pauses.
#[derive(Debug)]
pub struct Failure(String);

impl Failure {
    /// A failure for the reason given.
    pub fn new(why: impl fmt::Display) -> Self {
        Self(why.to_string())
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(why: E) -> Self {
        Self::new(why)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A part of the product that drives the world towards the store.
#[async_trait]
pub trait Controller: Send + Sync + 'static {
    /// Its name, unique among the controllers of a runner.
    fn name(&self) -> &'static str;

    /// The tables whose changes concern it.
    fn tables(&self) -> &'static [&'static str];

    /// The keys that a change of one of these tables touches. `view` is of after the change, and perhaps of after later ones;
    /// of a deleted row, [`Change::before`] tells what it was.
    fn keys(&self, view: &View, change: &Change) -> Vec<Key>;

    /// All keys that there are to look after, those of leftovers to be removed included.
    fn all_keys(&self, view: &View) -> Vec<Key>;

    /// Brings the world closer to what the store wants of `key`. It must be idempotent, and may be dropped at any await.
    ///
    /// Write only what changed: a write of its own rows wakes it again, and one that writes each time never rests.
    async fn reconcile(&self, key: &Key) -> Result<Next, Failure>;
}

#[cfg(test)]
mod tests;
