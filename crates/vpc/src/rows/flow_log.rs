//! A flow log: whose packets are recorded, and where.

use super::{Tags, row};
use serde::{Deserialize, Serialize};
use types::Timestamp;
use types::id::FlowLogId;

/// A flow log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowLog {
    /// Its id.
    pub id: FlowLogId,
    /// The id of the VPC, subnet or interface.
    pub resource: String,
    /// `ACCEPT`, `REJECT` or `ALL`.
    pub traffic: String,
    /// The log group's name.
    pub log_group: String,
    /// The log group's ARN, where it was named so.
    pub destination: Option<String>,
    /// The role as which it writes.
    pub role_arn: String,
    /// Its lines' fields, as `flowlog::Format` writes them.
    pub format: String,
    /// How many seconds a record may span.
    pub interval: i32,
    /// What makes a repeated request the same one.
    pub client_token: Option<String>,
    /// Why records cannot be delivered: AWS's few words; none if they can.
    pub error: Option<String>,
    /// When it was made.
    pub created: Timestamp,
    /// Its tags.
    pub tags: Tags,
}

row!(FlowLog, "vpc.flow_log", id);
