//! Clusters.

use super::Tag;
use model::Stored;
use model::ecs as shape;
use rollout::StrategyItem;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use store::Row;
use types::Timestamp;

/// A cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClusterRow {
    /// Its name.
    pub name: String,
    /// Deleted clusters stay `INACTIVE` for a while.
    pub active: bool,
    /// `settings`.
    pub settings: Vec<(String, String)>,
    /// `configuration`.
    pub configuration: Option<Stored<shape::ClusterConfiguration>>,
    /// `capacityProviders`.
    pub capacity_providers: Vec<String>,
    /// `defaultCapacityProviderStrategy`.
    pub default_strategy: Vec<StrategyItem>,
    /// `serviceConnectDefaults.namespace`.
    pub service_connect_namespace: Option<String>,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was deleted.
    pub deleted_at: Option<Timestamp>,
}

impl ClusterRow {
    /// A cluster of which nothing is said but its name.
    pub fn new(name: &str, now: Timestamp) -> Self {
        Self {
            name: name.to_owned(),
            active: true,
            // Container Insights is off unless the account says otherwise.
            settings: vec![("containerInsights".to_owned(), "disabled".to_owned())],
            configuration: None,
            capacity_providers: vec![],
            default_strategy: vec![],
            service_connect_namespace: None,
            tags: vec![],
            created_at: now,
            deleted_at: None,
        }
    }
}

impl Row for ClusterRow {
    const TABLE: &'static str = "ecs-clusters";

    fn id(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.name)
    }
}
