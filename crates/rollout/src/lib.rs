//! The decisions of ECS: what a service should do next, where a task goes, what a Fargate task may ask for, and in which
//! order a task lives.
//!
//! Everything here is a synchronous function of its arguments: no I/O, no clock, no randomness. [`decide`] takes the
//! observed [`ServiceState`] and the present instant and answers a [`Plan`]; who carries the plan out (the service
//! controller in production, a toy world in the tests) has no choice left.
//!
//! What this is not: it knows no API shapes, no store and no words of AWS; `ecs::texts` turns decisions into text.

mod balance;
pub mod breaker;
pub mod capacity;
mod decide;
mod external;
pub mod fargate;
mod fleet;
pub mod health;
pub mod lifecycle;
mod monitor;
pub mod placement;
pub mod reservation;
mod rolling;
mod shifting;
mod state;
mod strategy;

pub use breaker::{CircuitBreaker, Threshold};
pub use capacity::StrategyItem;
pub use decide::{Decision, Event, Plan, StopReason, decide};
pub use health::{ContainerHealth, TargetHealth, Verdict};
pub use lifecycle::{DesiredStatus, StopCode, TaskStatus};
pub use monitor::{AlarmWatch, FailCause, StopRequest};
pub use state::{
    ALL_TRAFFIC, Deployment, DeploymentStatus, Marks, Placement, RolloutState, ServiceState, Task, Timing, serving,
};
pub use strategy::{Hook, HookAction, Pause, PauseStatus, Shifting, Stage, Steps, Strategy};
