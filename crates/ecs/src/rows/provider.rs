//! Capacity providers of Auto Scaling groups.

use super::Tag;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use store::Row;
use types::Timestamp;

/// A capacity provider of an Auto Scaling group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderRow {
    /// Its name.
    pub name: String,
    /// The group's name.
    pub group: String,
    /// The group's ARN.
    pub group_arn: String,
    /// `managedScaling`.
    pub scaling: ScalingRow,
    /// `managedTerminationProtection` is `ENABLED`.
    pub protects: bool,
    /// `managedDraining` is `ENABLED`.
    #[serde(default)]
    pub drains: bool,
    /// Whether it was changed since it was made.
    pub updated: bool,
    /// When the group's size was last looked at.
    pub looked: Option<Timestamp>,
    /// Since when there is more than is needed.
    pub idle_since: Option<Timestamp>,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// `managedScaling`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScalingRow {
    /// `status` is `ENABLED`.
    pub enabled: bool,
    /// `targetCapacity`, in percent.
    pub target: u32,
    /// `minimumScalingStepSize`.
    pub least: u32,
    /// `maximumScalingStepSize`.
    pub most: u32,
    /// `instanceWarmupPeriod`, in seconds.
    pub warmup: u32,
}

impl Row for ProviderRow {
    const TABLE: &'static str = "ecs-capacity-providers";

    fn id(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.name)
    }
}
