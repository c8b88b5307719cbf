//! Loopback ports: a small process that listens on 127.0.0.1 in the user's network and carries each connection to a load balancer's public
//! address, byte for byte. What comes in this way passes the same security groups, ACLs and tables as what comes from the internet.
//!
//! It outlives the daemon as the proxy does, so that connections stay open. The daemon ([`client`]) sends all ports whole; the
//! process opens and closes what differs, and answers what it could not open.
//!
//! Two threads: the first one stays where the process was started, listens and is spoken to; the second one is where load balancers are reached,
//! connects and copies. For root that is the same network; the server of an ordinary user has one of its own.

pub mod client;
mod process;

pub use process::main;

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The hidden subcommand of the binary that is the keeper of loopback ports.
pub const SUBCOMMAND: &str = "__loopback";

/// Where the keeper of a run directory is spoken to.
pub fn socket_path(run_dir: &Path) -> PathBuf {
    run_dir.join("loopback.sock")
}

/// One port, and where it leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// What it is for: a listener's ARN.
    pub name: String,
    /// The port of 127.0.0.1.
    pub port: u16,
    /// Where connections are carried: to the first that takes them, beginning with another one each time.
    pub to: Vec<SocketAddr>,
}

/// A port that could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// What it was for.
    pub name: String,
    /// Why.
    pub error: String,
}

/// From the daemon.
#[derive(Debug, Serialize, Deserialize)]
enum Command {
    /// Have these ports open and no others. The answer is a list of [`Refused`].
    Apply(Vec<Port>),
    /// End.
    Shutdown,
}
