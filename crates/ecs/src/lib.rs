//! Amazon ECS: clusters, task definitions, tasks and services on Fargate.
//!
//! A request's handler ([`handlers`]) checks it in AWS's words and writes intent. Two controllers turn intent into
//! effect: [`ServiceController`] keeps each service's tasks as [`rollout::decide`] says, writing task rows; [`TaskController`],
//! the agent, takes each task from PROVISIONING to STOPPED through the ports ([`Ports`]) and the [`runtime::Runtime`].
//! [`LogShipper`] moves the containers' output to their log streams, [`HealthChecker`] runs their health checks, and
//! [`endpoint`] answers the applications' questions for credentials and metadata, and [`DataChannels`] carries the sessions of ECS Exec.
//!
//! What this is not: it knows nothing of the kernel, and reaches other services only through its ports; [`rollout`] holds
//! the decisions. Every step of a controller is idempotent: whatever is killed, the rows tell where to go on.

pub mod adapters;
mod api;
mod connect;
mod control;
pub mod endpoint;
mod endpoints;
mod exec;
mod launch;
mod logging;
pub mod names;
mod placing;
pub mod ports;
pub mod rows;
pub mod scaled;
mod spec;
pub mod spot;
pub mod texts;
mod volumes;

pub use api::handlers;
pub use control::agents::ExecAgents;
pub use control::connect::{ConnectKeeper, Sidecars};
pub use control::definitions::DefinitionKeeper;
pub use control::discovery::DiscoveryHealth;
pub use control::health::HealthChecker;
pub use control::instance_resources::InstanceResources;
pub use control::instances::InstanceController;
pub use control::logs::LogShipper;
pub use control::managed_draining::ManagedDraining;
pub use control::managed_scaling::ManagedScaling;
pub use control::meter::Meter;
pub use control::service::ServiceController;
pub use control::service_events::ServiceEvents;
pub use control::state_events::{StateEvents, Told};
pub use control::task::TaskController;
pub use control::tokens::TokenKeeper;
pub use control::waiting::WaitingTasks;
pub use control::{Control, pump};
pub use exec::{DataChannels, Registry as ExecRegistry};
pub use ports::Ports;
pub use rows::tables;

use std::sync::Arc;

/// The service's state: what its handlers need besides the store.
#[derive(Clone)]
pub struct Ecs {
    ports: Ports,
    exec: Arc<ExecRegistry>,
}

impl Ecs {
    /// The service, with its view of the others.
    pub fn new(ports: Ports) -> Self {
        Self { ports, exec: Arc::default() }
    }

    /// What it knows of sessions of ECS Exec.
    pub fn exec(&self) -> Arc<ExecRegistry> {
        self.exec.clone()
    }
}
