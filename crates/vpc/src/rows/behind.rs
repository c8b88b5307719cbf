//! Networks behind instances': what runs in ECS's bridge mode.

use super::row;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// A network behind another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Behind {
    /// Its network namespace.
    pub netns: String,
    /// The namespace that it is behind: an instance's.
    pub host: String,
    /// Its address there.
    pub address: Ipv4Addr,
    /// Protocol, the host's port, and the port that it leads to.
    pub ports: Vec<(u8, u16, u16)>,
    /// The kernel has it.
    pub attached: bool,
}

row!(Behind, "vpc.behind", netns);
