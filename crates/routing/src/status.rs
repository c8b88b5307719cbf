//! What the proxy process tells the daemon, over its control socket.

use crate::health::TargetHealth;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// One message. A daemon that connects is first sent [`Status::Hello`], then the health of every target, then changes as they come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Status {
    /// The first message on each connection.
    Hello {
        /// The proxy's process id.
        pid: u32,
        /// The generation that it serves; 0 before the first configuration.
        generation: u64,
    },
    /// A configuration is in force: each request that begins after this message meets it.
    Applied {
        /// Which one.
        generation: u64,
        /// The listeners that could not be opened; they are tried again.
        failures: Vec<ListenerFailure>,
    },
    /// A target's health, as it now is.
    Health {
        /// The target group's ARN.
        target_group: String,
        /// The target.
        target: SocketAddr,
        /// Its health.
        health: TargetHealth,
    },
    /// What still runs on a draining target. Sent when the number changes, at most about once a second, and at once when it reaches 0.
    Draining {
        /// The target group's ARN.
        target_group: String,
        /// The target.
        target: SocketAddr,
        /// Requests not yet answered.
        in_flight: u64,
    },
    /// What was counted since the process began; sent about once a second while anything changes.
    Counters {
        /// By load balancer.
        load_balancers: Vec<LoadBalancerCounters>,
        /// By target group.
        target_groups: Vec<TargetGroupCounters>,
    },
}

/// A listener that could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerFailure {
    /// The listener's ARN.
    pub listener: String,
    /// Where it should have listened.
    pub address: SocketAddr,
    /// What the kernel said, or what is wrong with a certificate.
    pub error: String,
}

/// Totals of one load balancer since the process began, named as their CloudWatch metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadBalancerCounters {
    /// Its ARN.
    pub arn: String,
    /// `RequestCount`.
    pub requests: u64,
    /// `ActiveConnectionCount`, now.
    pub active_connections: u64,
    /// `NewConnectionCount`.
    pub new_connections: u64,
    /// `ProcessedBytes`: bodies of requests and answers.
    pub processed_bytes: u64,
    /// `HTTPCode_ELB_3XX_Count`, `4XX` and `5XX`: answers of its own.
    pub own_3xx: u64,
    /// See `own_3xx`.
    pub own_4xx: u64,
    /// See `own_3xx`.
    pub own_5xx: u64,
}

/// Totals of one target group since the process began, named as their CloudWatch metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetGroupCounters {
    /// Its ARN.
    pub arn: String,
    /// `RequestCount` of the group; `RequestCountPerTarget` follows from it.
    pub requests: u64,
    /// `HTTPCode_Target_2XX_Count` and so on; index 0 is 1xx.
    pub target_codes: [u64; 5],
    /// `TargetConnectionErrorCount`.
    pub connection_errors: u64,
    /// The sum of `TargetResponseTime` in microseconds, over `requests` that a target answered.
    pub response_time_us: u64,
}

/// What the daemon sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// Serve this from now on.
    Apply(crate::ProxyConfig),
    /// Close everything and exit.
    Shutdown,
}
