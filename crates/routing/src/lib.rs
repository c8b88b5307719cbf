//! What a load balancer decides, without any socket: which rule a request meets, which target answers it, and whether a
//! target is healthy.
//!
//! [`config`] is the whole desired state, which the control plane writes and the proxy process is sent. [`table`] compiles a listener's rules
//! once, so that a request's decision does not cost more when there are more rules. [`health`] and [`pick`] are the decisions
//! about targets. [`connect`] is the same for Service Connect. [`status`] is what the proxy process tells back.
//!
//! No I/O, no clock, no tokio: time and randomness are parameters.

pub mod action;
pub mod config;
pub mod connect;
pub mod head;
pub mod health;
pub mod matcher;
pub mod pattern;
pub mod pick;
pub mod status;
pub mod table;

pub use config::ProxyConfig;
pub use head::{Headers, RequestHead};
pub use health::{CheckResult, HealthState, TargetHealth};
pub use status::Status;
pub use table::{Decision, ListenerTable, RoutingTable};
