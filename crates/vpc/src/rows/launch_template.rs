//! A launch template with its versions.

use super::{Tags, row};
use model::ec2;
use serde::{Deserialize, Serialize};
use store::Index;
use types::Timestamp;
use types::id::LaunchTemplateId;
use wire::Stored;

/// A launch template.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LaunchTemplate {
    /// Its id.
    pub id: LaunchTemplateId,
    /// Its name, unique in its account and region.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// The version taken where none is named, or `$Default` is.
    pub default_version: i64,
    /// The number of the newest version ever made.
    pub latest_version: i64,
    /// Its versions, in order.
    pub versions: Vec<LaunchTemplateVersion>,
    /// Its tags.
    pub tags: Tags,
}

/// A version, which never changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LaunchTemplateVersion {
    /// From 1.
    pub number: i64,
    /// A description.
    pub description: Option<String>,
    /// When it was made.
    pub created: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// What it says.
    pub data: Stored<ec2::RequestLaunchTemplateData>,
}

impl LaunchTemplate {
    /// Templates by name.
    pub const BY_NAME: Index<Self> = Index::new("name", |template| vec![template.name.clone()]);

    /// The version that a request means: a number, `$Latest`, `$Default`, or nothing.
    pub fn version(&self, named: Option<&str>) -> Option<&LaunchTemplateVersion> {
        let number = match named.unwrap_or_default() {
            "" | "$Default" => self.default_version,
            "$Latest" => self.versions.last()?.number,
            text => text.parse().ok()?,
        };
        self.versions.iter().find(|version| version.number == number)
    }
}

row!(LaunchTemplate, "vpc.launch_template", id, BY_NAME);
