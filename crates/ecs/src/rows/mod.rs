//! What ECS keeps in the store.
//!
//! Intent and observation stand side by side in a row: API handlers write the intent (`desired`, `deployments`), the
//! controllers write what they saw. The ids, which double as keys, are AWS's names:
//!
//! | row | id |
//! |---|---|
//! | [`ClusterRow`] | cluster name |
//! | [`ProviderRow`] | capacity provider name |
//! | [`FamilyRow`] | family |
//! | [`DefinitionRow`] | `family:0000000001` |
//! | [`ServiceRow`], [`EventsRow`], [`ImagesRow`] | `cluster/service` |
//! | [`ServiceDeploymentRow`], [`ServiceRevisionRow`] | `cluster/service/id` |
//! | [`TaskRow`] | 32 hexadecimal digits |
//! | [`ShippedRow`] | `task/container` |
//! | [`ContainerInstanceRow`] | 32 hexadecimal digits |

mod account_setting;
mod cluster;
mod connect;
mod definition;
mod deployment;
mod images;
mod instance;
mod provider;
mod registry;
mod service;
mod task;
mod told;

pub use account_setting::AccountSettingRow;
pub use cluster::ClusterRow;
pub use connect::{AliasRow, ConnectRow, ConnectServiceRow, MadeEndpointRow, TaskConnectRow};
pub use definition::{DefinitionRow, FamilyRow};
pub use deployment::{
    ControllerType, MonitorStatus, RollbackRow, ServiceDeploymentRow, ServiceDeploymentStatus, ServiceRevisionRow,
    ShiftRow, TaskSetRow,
};
pub use images::{ImagesRow, pinned};
pub use instance::{
    BindingRow, ContainerInstanceRow, HostRow, INSTANCES_BY_CLUSTER, INSTANCES_BY_EC2, INSTANCES_BY_NAMESPACE,
    InstanceStatus, NetworkMode, PlacementRow, WaitRow,
};
pub use provider::{ProviderRow, ScalingRow};
pub use registry::RegistryRow;
pub use service::{
    DeploymentRow, Event, EventsRow, SERVICES_BY_CLUSTER, SERVICES_BY_TARGET_GROUP, ServiceRow, ServiceStatus,
    TargetRow,
};
pub use task::{
    ContainerRow, EniRow, Health, LogTarget, ShippedRow, Stop, TASKS_BY_CLUSTER, TASKS_BY_CREDENTIALS, TASKS_BY_ENI,
    TASKS_BY_INSTANCE, TASKS_BY_SERVICE, TOKEN_LASTS, TaskRow, TokenRow, WAITING_TASKS,
};
pub use told::ToldRow;

use rollout::Placement;
use serde::{Deserialize, Serialize};
use store::TableDef;

/// The tables of this crate, to be registered when the store opens.
pub fn tables() -> Vec<TableDef> {
    vec![
        TableDef::of::<AccountSettingRow>(),
        TableDef::of::<ClusterRow>(),
        TableDef::of::<ProviderRow>(),
        TableDef::of::<FamilyRow>(),
        TableDef::of::<DefinitionRow>(),
        TableDef::of::<ServiceRow>(),
        TableDef::of::<EventsRow>(),
        TableDef::of::<ServiceDeploymentRow>(),
        TableDef::of::<ServiceRevisionRow>(),
        TableDef::of::<TaskRow>(),
        TableDef::of::<ShippedRow>(),
        TableDef::of::<TokenRow>(),
        TableDef::of::<ToldRow>(),
        TableDef::of::<ImagesRow>(),
        TableDef::of::<ContainerInstanceRow>(),
    ]
}

/// A tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// Where tasks get their network interfaces.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NetworkRow {
    /// Subnets with their zones.
    pub places: Vec<Placement>,
    /// Security groups; filled with the VPC's default group if none were named.
    pub security_groups: Vec<String>,
    /// The groups were named by the user, so they are shown.
    pub groups_named: bool,
    /// `assignPublicIp` is ENABLED.
    pub assign_public_ip: bool,
}
