//! Task definitions: families and their revisions.

use super::Tag;
use model::Stored;
use model::ecs as shape;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use store::Row;
use types::Timestamp;

/// A task definition family's counter of revisions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FamilyRow {
    /// The family.
    pub family: String,
    /// The revision given out last; never given out again.
    pub latest: u32,
}

impl Row for FamilyRow {
    const TABLE: &'static str = "ecs-families";

    fn id(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.family)
    }
}

/// A revision of a task definition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DefinitionRow {
    /// The family.
    pub family: String,
    /// The revision.
    pub revision: u32,
    /// ACTIVE, or INACTIVE after DeregisterTaskDefinition.
    pub active: bool,
    /// When DeleteTaskDefinitions was called for it: DELETE_IN_PROGRESS until nobody needs it any more.
    #[serde(default)]
    pub delete_requested_at: Option<Timestamp>,
    /// As DescribeTaskDefinition shows it.
    pub shape: Stored<shape::TaskDefinition>,
    /// Its tags.
    pub tags: Vec<Tag>,
}

impl DefinitionRow {
    /// The key of a revision: zero-padded, so that a scan is in numeric order.
    pub fn key(family: &str, revision: u32) -> String {
        format!("{family}:{revision:010}")
    }

    /// The containers.
    pub fn containers(&self) -> &[shape::ContainerDefinition] {
        self.shape.container_definitions.as_deref().unwrap_or_default()
    }

    /// `status`.
    pub fn status(&self) -> &'static str {
        match (self.active, self.delete_requested_at) {
            (true, _) => "ACTIVE",
            (false, None) => "INACTIVE",
            (false, Some(_)) => "DELETE_IN_PROGRESS",
        }
    }

    /// Its ARN.
    pub fn arn(&self) -> &str {
        self.shape.task_definition_arn.as_deref().unwrap_or_default()
    }
}

impl Row for DefinitionRow {
    const TABLE: &'static str = "ecs-task-definitions";

    fn id(&self) -> Cow<'_, str> {
        Cow::Owned(Self::key(&self.family, self.revision))
    }
}
