//! Paths whose reachability is asked for, and the analyses of them.

use super::{Tags, row};
use model::Stored;
use model::ec2;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use store::Index;
use types::Timestamp;
use types::id::{NetworkInsightsAnalysisId, NetworkInsightsPathId};

/// A path, as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkInsightsPath {
    /// Its id.
    pub id: NetworkInsightsPathId,
    /// The id of what packets start at.
    pub source: String,
    /// The address that they start with, if not the source's first.
    pub source_ip: Option<IpAddr>,
    /// The id of where they should arrive.
    pub destination: Option<String>,
    /// The address there, if not the destination's first.
    pub destination_ip: Option<IpAddr>,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// The port there; none is any.
    pub destination_port: Option<u16>,
    /// What makes a repeated request the same one.
    pub client_token: String,
    /// When it was made.
    pub created: Timestamp,
    /// Its tags.
    pub tags: Tags,
}

row!(NetworkInsightsPath, "vpc.network_insights_path", id);

/// An analysis: what the network was like when it was started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetworkInsightsAnalysis {
    /// Its id.
    pub id: NetworkInsightsAnalysisId,
    /// The path.
    pub path: NetworkInsightsPathId,
    /// What makes a repeated request the same one.
    pub client_token: String,
    /// When it was started.
    pub started: Timestamp,
    /// What it found: whether there is a way, its components, and explanations.
    pub found: Stored<ec2::NetworkInsightsAnalysis>,
    /// Its tags.
    pub tags: Tags,
}

impl NetworkInsightsAnalysis {
    /// Analyses by path.
    pub const BY_PATH: Index<Self> = Index::new("path", |analysis| vec![analysis.path.to_string()]);
}

row!(NetworkInsightsAnalysis, "vpc.network_insights_analysis", id, BY_PATH);
