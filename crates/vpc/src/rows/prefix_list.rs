//! A managed prefix list with the versions that it has had.

use super::{Tags, row};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use types::id::PrefixListId;

/// A prefix list of the account's own. Those of AWS are not rows: [`crate::query::prefix_lists`] tells them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagedPrefixList {
    /// Its id.
    pub id: PrefixListId,
    /// Its name.
    pub name: String,
    /// Whether its blocks are IPv6.
    pub ipv6: bool,
    /// How many entries it may have; as many rules it counts where a rule or route refers to it.
    pub max_entries: i32,
    /// Its newest versions by number, never none; the last one is in force.
    pub versions: BTreeMap<i64, Vec<PrefixListEntry>>,
    /// What was done to it last.
    pub state: PrefixListState,
    /// Its tags.
    pub tags: Tags,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrefixListEntry {
    /// The block, canonical.
    pub block: IpNet,
    /// Its description.
    pub description: String,
}

/// What was done to a prefix list last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PrefixListState {
    /// It was made.
    Created,
    /// It was modified.
    Modified,
    /// It was to be larger, for which these groups have no room.
    ModifyFailed(Vec<String>),
    /// An earlier version was restored.
    Restored,
}

impl ManagedPrefixList {
    /// How many versions are kept.
    pub const VERSIONS: usize = 100;

    /// The number of the version in force.
    pub fn version(&self) -> i64 {
        self.versions.keys().next_back().copied().unwrap_or(1)
    }

    /// The entries in force.
    pub fn entries(&self) -> &[PrefixListEntry] {
        self.versions.values().next_back().map_or(&[], Vec::as_slice)
    }

    /// Puts another version in force.
    pub fn advance(&mut self, entries: Vec<PrefixListEntry>) {
        self.versions.insert(self.version() + 1, entries);
        while self.versions.len() > Self::VERSIONS {
            self.versions.pop_first();
        }
    }
}

row!(ManagedPrefixList, "vpc.prefix_list", id);
