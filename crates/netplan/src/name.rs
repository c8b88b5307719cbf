//! The names of a plan's parts, each hashed once: all of them are looked up for each change of a network.

use foldhash::fast::FixedState;
use std::{
    cmp::Ordering,
    hash::{BuildHasher, Hash, Hasher},
    ops::Deref,
    sync::Arc,
};

/// A part's name.
#[derive(Debug, Clone, Eq)]
pub(crate) struct Name {
    text: Arc<str>,
    hash: u64,
    first: u64,
}

impl Name {
    /// A number of what stands before the first `/`: the same for the same, and nearly always another one for another.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }
}

fn hash(text: &str) -> u64 {
    FixedState::with_seed(0).hash_one(text)
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        let first = text.split_once('/').map_or(text, |(first, _)| first);
        Self { text: text.into(), hash: hash(text), first: hash(first) }
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.text, &other.text) || self.hash == other.hash && self.text == other.text
    }
}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
