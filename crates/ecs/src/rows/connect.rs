//! Service Connect: what of it a service, a deployment and a task have.

use model::Stored;
use model::ecs as shape;
use routing::connect::Protocol;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use types::Timestamp;

/// `serviceConnectConfiguration`, enabled and checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConnectRow {
    /// As it is shown.
    pub configuration: Stored<shape::ServiceConnectConfiguration>,
    /// The namespace's ARN.
    pub namespace: String,
    /// Its name.
    pub namespace_name: String,
    /// What others may call.
    pub services: Vec<ConnectServiceRow>,
    /// Whom its tasks may call: the aliases of the namespace when the deployment began.
    #[serde(default)]
    pub aliases: Vec<AliasRow>,
}

/// An entry of `services`: an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectServiceRow {
    /// `discoveryName`, or else the port's name.
    pub discovery_name: String,
    /// The ARN of the service in Cloud Map; empty before it is made.
    pub arn: String,
    /// The port of the container that has it.
    pub container_port: u16,
    /// The port that others come to, where it is another: `ingressPortOverride`.
    pub ingress: Option<u16>,
    /// `appProtocol` of the port.
    pub protocol: Protocol,
    /// `clientAliases`: how clients call it.
    pub alias: String,
    /// And at which port.
    pub alias_port: u16,
    /// `idleTimeoutSeconds`, or its default.
    pub idle_seconds: u32,
    /// `perRequestTimeoutSeconds`, or its default.
    pub request_seconds: u32,
}

impl ConnectServiceRow {
    /// The port that is told to Cloud Map.
    pub fn told_port(&self) -> u16 {
        self.ingress.unwrap_or(self.container_port)
    }
}

/// An alias that a task's containers may call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasRow {
    /// The name, which is in `/etc/hosts`.
    pub name: String,
    /// The port.
    pub port: u16,
    /// What the name stands for in the task's network.
    pub address: Ipv4Addr,
    /// Where the proxy listens there, whatever the port is.
    pub behind: u16,
    /// The ARN of the endpoint's service in Cloud Map.
    pub arn: String,
    /// What is spoken.
    pub protocol: Protocol,
    /// As the endpoint's.
    pub idle_seconds: u32,
    /// As the endpoint's.
    pub request_seconds: u32,
}

/// What of Service Connect a task has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskConnectRow {
    /// The name of the container that stands for the proxy.
    pub container: String,
    /// The UUID in its ARN.
    pub uuid: String,
    /// Its `runtimeId`.
    pub runtime_id: String,
    /// The id of the attachment, a UUID.
    pub attachment_id: String,
    /// What others may call.
    pub services: Vec<ConnectServiceRow>,
    /// Whom its containers may call.
    pub aliases: Vec<AliasRow>,
    /// Since when the proxy serves it.
    pub serving_since: Option<Timestamp>,
}

/// A service in Cloud Map that was made for a service here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeEndpointRow {
    /// Its ARN.
    pub arn: String,
}
