//! Client tokens of creations.

use super::row;
use serde::{Deserialize, Serialize};
use types::Timestamp;

/// A creation that came with a client token, so that a repetition makes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientToken {
    /// `CreateVpcEndpoint/<token>`.
    pub id: String,
    /// The SHA-256 of what was asked, to tell a repetition from another request.
    pub request: String,
    /// What was answered.
    pub answer: String,
    /// When.
    pub at: Timestamp,
}

row!(ClientToken, "vpc.client_token", id);
