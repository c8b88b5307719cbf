//! Sets of DHCP options, and which of them a region gives to new VPCs.

use super::{Tags, row};
use serde::{Deserialize, Serialize};
use types::id::DhcpOptionsId;

/// A set of DHCP options.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DhcpOptions {
    /// Its id.
    pub id: DhcpOptionsId,
    /// `domain-name`, `domain-name-servers`, … in AWS's order.
    pub options: Vec<(String, Vec<String>)>,
    /// Its tags.
    pub tags: Tags,
}

impl DhcpOptions {
    /// The values of an option: none if the set lacks it.
    pub fn values(&self, key: &str) -> &[String] {
        self.options.iter().find(|(name, _)| name == key).map_or(&[], |(_, values)| values)
    }
}

row!(DhcpOptions, "vpc.dhcp_options", id);

/// What a region was given when it was first used: one row a region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionDefaults {
    /// Always [`Self::ID`].
    pub id: String,
    /// The DHCP options of new VPCs; another set takes its place when it has been deleted.
    pub dhcp_options: DhcpOptionsId,
}

impl RegionDefaults {
    /// The only row's id.
    pub const ID: &'static str = "defaults";
}

row!(RegionDefaults, "vpc.region_defaults", id);
