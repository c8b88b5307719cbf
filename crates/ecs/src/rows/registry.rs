//! Where a service's tasks are told of: a service of Cloud Map.

use serde::{Deserialize, Serialize};

/// An entry of `serviceRegistries`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryRow {
    /// `registryArn`.
    pub arn: String,
    /// `containerName`.
    pub container: Option<String>,
    /// `containerPort`.
    pub container_port: Option<u16>,
    /// `port`.
    pub port: Option<u16>,
}

impl RegistryRow {
    /// The port that is told, if one is.
    pub fn told_port(&self) -> Option<u16> {
        self.port.or(self.container_port)
    }
}
