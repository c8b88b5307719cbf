//! The ports plugged into the real services: thin, one file a service.

mod alarms;
mod fetch;
mod groups;
mod images;
mod instances;
mod link_local;
mod logs;
mod lookup;
mod messages;
mod namespaces;
mod network;
mod reach;
mod registries;
mod roles;
mod secrets;
mod targets;

pub use alarms::RealAlarms;
pub use groups::RealGroups;
pub use images::RealImages;
pub use instances::RealInstances;
pub use link_local::LinkLocal;
pub use logs::RealLogs;
pub use messages::RealMessages;
pub use namespaces::{RealNamespaces, RealProxy};
pub use network::RealNetwork;
pub use reach::Reach;
pub use registries::RealRegistries;
pub use roles::RealRoles;
pub use secrets::RealSecrets;
pub use targets::RealTargets;
