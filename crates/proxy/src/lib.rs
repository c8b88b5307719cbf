//! The load balancers' data plane: a process of its own that serves HTTP and HTTPS in the load balancers' nodes, sends
//! requests on to targets over the VPC, and checks the targets' health.
//!
//! It knows Linux and HTTP; of AWS it knows what a client or a target can see. What a request meets is decided by crate `routing`. The daemon sends a
//! whole configuration ([`client`]), the process compiles it and swaps it in between two requests; it survives the daemon.
//!
//! A request's way: [`worker`] accepts → [`h1`] or [`h2`] parses → [`decide`] routes → [`upstream`] chooses a target and connects from the
//! node's network namespace → the same task relays both directions.
//!
//! Service Connect ([`connect`]) has listeners of another kind, in tasks' own networks, and a thread of its own.
//!
//! [`loopback`] is another process, by which hosts that cannot reach public addresses get at load balancers.

mod answer;
mod buffer;
mod checks;
pub mod client;
mod clock;
mod connect;
mod control;
mod deadline;
mod decide;
mod forwarded;
#[doc(hidden)]
pub mod fuzz;
mod h1;
mod h2;
pub mod loopback;
mod netns;
mod plan;
pub mod process;
mod shared;
mod stream;
mod tls;
mod tunnel;
mod upstream;
mod worker;

pub use client::{ProxyHandle, Statuses, argv};
pub use control::socket_path;
