//! Service Connect: what a service offers to its namespace, and what its tasks find there.

use model::Stored;
use model::ecs as shape;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// `serviceConnectConfiguration` of a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConnectRow {
    /// As it is shown.
    pub configuration: Stored<shape::ServiceConnectConfiguration>,
    /// The id of its namespace.
    pub namespace: String,
    /// What it offers; nothing if it is a client only.
    pub offers: Vec<OfferRow>,
}

/// A port that others find under a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferRow {
    /// `discoveryName`.
    pub discovery_name: String,
    /// The ARN of its service of Cloud Map.
    pub registry: String,
    /// The container's name.
    pub container: String,
    /// The container's port.
    pub port: u16,
    /// The names and ports that clients use.
    pub aliases: Vec<(String, u16)>,
    /// It speaks HTTP; if not, its connections are relayed as they are.
    pub http: bool,
    /// How long a request over HTTP may take, or a connection otherwise be silent, in milliseconds.
    pub patience_ms: u64,
}

/// A name that a task's containers know, and what the proxy beside the task does for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointRow {
    /// The name.
    pub name: String,
    /// What it means there, out of 127.255.0.0/16.
    pub address: Ipv4Addr,
    /// The port that clients connect to.
    pub port: u16,
    /// The port that the proxy listens on, to which the other one leads: the application may have that for itself.
    pub listens: u16,
    /// The ARN of the service of Cloud Map whose instances it leads to.
    pub registry: String,
    /// It speaks HTTP.
    pub http: bool,
    /// See [`OfferRow::patience_ms`].
    pub patience_ms: u64,
}
