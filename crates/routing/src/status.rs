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
    /// Whether the network only lacks the namespace or the address so far: it is tried again until they are there.
    #[serde(default)]
    pub early: bool,
}

impl ListenerFailure {
    /// The failure of a listener to open its socket.
    pub fn of_socket(listener: String, address: SocketAddr, error: &std::io::Error) -> Self {
        let early = matches!(error.kind(), std::io::ErrorKind::AddrNotAvailable | std::io::ErrorKind::NotFound);
        Self { listener, address, error: error.to_string(), early }
    }
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
    /// How many answers took how long: buckets ([`bucket_of_time`]) and counts, those with none left out.
    #[serde(default)]
    pub response_times: Vec<(u16, u64)>,
}

/// Buckets to an octave: a bucket is an eighth of its times wide at most.
const PER_OCTAVE: u32 = 8;
/// As many buckets as there are; the last one takes all that is longer, from nine hours on.
pub const TIME_BUCKETS: usize = 272;

/// The bucket of a time in microseconds.
pub fn bucket_of_time(us: u64) -> u16 {
    let bucket = match us.checked_ilog2() {
        // Short ones have a bucket each.
        None | Some(0..3) => us,
        Some(octave) => {
            let within = (us >> (octave - 3)) & u64::from(PER_OCTAVE - 1);
            u64::from(PER_OCTAVE) + u64::from((octave - 3) * PER_OCTAVE) + within
        }
    };
    u16::try_from(bucket.min(TIME_BUCKETS as u64 - 1)).unwrap_or(u16::MAX)
}

/// The middle of a bucket's times, in microseconds.
pub fn time_of_bucket(bucket: u16) -> u64 {
    let bucket = u32::from(bucket).min(TIME_BUCKETS as u32 - 1);
    if bucket < PER_OCTAVE {
        return u64::from(bucket);
    }
    let (octave, within) = ((bucket - PER_OCTAVE) / PER_OCTAVE, (bucket - PER_OCTAVE) % PER_OCTAVE);
    let (least, width) = (u64::from(PER_OCTAVE + within) << octave, 1u64 << octave);
    least + width / 2
}

/// What the daemon sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// Serve this from now on.
    Apply(crate::ProxyConfig),
    /// Close everything and exit.
    Shutdown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_tells_its_times_to_a_sixteenth() {
        for us in (0..2000).chain((0..34).flat_map(|octave| [1u64 << octave, (1u64 << octave) * 3 / 2 + 7])) {
            let told = time_of_bucket(bucket_of_time(us));
            assert!(told.abs_diff(us) * 16 <= us, "{us} is told as {told}");
            assert!(bucket_of_time(us) <= bucket_of_time(us + 1), "{us}");
        }
        assert_eq!(usize::from(bucket_of_time(u64::MAX)), TIME_BUCKETS - 1);
        assert!(time_of_bucket(u16::MAX) < u64::MAX);
    }
}
