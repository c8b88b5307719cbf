//! Service Connect: the listeners that stand in tasks' own networks, and where they lead, as plain data; and what is decided of each
//! connection and request: whose turn it is, and who is left alone for a while because too much failed there.
//!
//! A sidecar is what a task's network has of it. Its listeners take connections in another's place: those of the task's containers to
//! an alias, which go on to the tasks of an endpoint, and those that arrive for a container's port, which go on to the container.

use serde::{Deserialize, Serialize};
use std::net::{SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::time::Duration;

/// All sidecars, and all endpoints that they lead to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mesh {
    /// One for each task.
    pub sidecars: Vec<Sidecar>,
    /// The endpoints, each once.
    pub endpoints: Vec<Endpoint>,
}

/// The listeners in a task's network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sidecar {
    /// The task's id.
    pub task: String,
    /// The task's network namespace, in which it listens and from which it connects.
    pub netns: PathBuf,
    /// Its listeners.
    pub listeners: Vec<Listener>,
}

/// A listener of a sidecar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// Where it listens.
    pub address: SocketAddrV4,
    /// Whose connections it is given besides.
    pub instead_of: Option<InsteadOf>,
    /// What is spoken.
    pub protocol: Protocol,
    /// Where it leads.
    pub to: Destination,
    /// A connection on which nothing happens for so long is ended; 0 is never.
    pub idle_ms: u64,
    /// A request that is not answered whole within so long is given up; 0 is never.
    pub request_ms: u64,
}

/// Connections that are led to a listener, though they are for somebody else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum InsteadOf {
    /// Those that the task's own processes make to this address.
    Leaving(SocketAddrV4),
    /// Those that arrive at this port by the task's interface.
    Arriving(u16),
}

/// Where a listener leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Destination {
    /// To the tasks of an endpoint.
    Endpoint(String),
    /// To the task's own application, at this port of its loopback device.
    Application(u16),
}

/// What is spoken at a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Protocol {
    /// Nothing that is known: connections are passed on.
    #[default]
    Tcp,
    /// HTTP/1.1: requests are passed on, each by itself.
    Http,
    /// HTTP/2 without TLS, of which gRPC is a use.
    Http2,
}

/// An endpoint: where tasks of a service are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The ARN of its service in Cloud Map.
    pub arn: String,
    /// Its tasks.
    pub targets: Vec<SocketAddr>,
}

/// How often a connection or a request is tried once more. Source: developer guide, "Service Connect components".
pub const RETRIES: usize = 2;
/// So many failures in a row leave a target alone for a while.
pub const FAILURES: u32 = 5;
/// For so long, once more for each time that it has happened.
pub const LEFT_ALONE: Duration = Duration::from_secs(30);
/// A target that was left alone often is asked again after this at the latest.
pub const LONGEST: Duration = Duration::from_mins(5);

/// What a sidecar remembers of a target. Times are of any clock that only goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    failures: u32,
    times: u32,
    until: Option<Duration>,
}

impl Standing {
    /// After a success or a failure.
    #[must_use]
    pub fn after(self, success: bool, now: Duration) -> Self {
        if success {
            // What once was left alone and works has its past forgiven one by one.
            return Self { failures: 0, times: self.times.saturating_sub(1), until: self.until.filter(|at| now < *at) };
        }
        let failures = self.failures.saturating_add(1);
        if failures < FAILURES {
            return Self { failures, ..self };
        }
        let times = self.times.saturating_add(1);
        let pause = LEFT_ALONE.saturating_mul(times).min(LONGEST);
        Self { failures: 0, times, until: Some(now.saturating_add(pause)) }
    }

    /// Whether it is left alone.
    pub fn is_left_alone(self, now: Duration) -> bool {
        self.until.is_some_and(|until| now < until)
    }
}

/// Whose turn it is among `count` targets: in turn, of those not `tried` yet, leaving `alone` whom it may. If more than half are left
/// alone, it is the network rather than they, and nobody is.
pub fn pick(count: usize, turn: usize, tried: impl Fn(usize) -> bool, alone: impl Fn(usize) -> bool) -> Option<usize> {
    let ill = (0..count).filter(|at| alone(*at)).count();
    let heeds = ill * 2 <= count;
    let around = || (0..count).map(|step| (turn % count).wrapping_add(step) % count).filter(|at| !tried(*at));
    around().find(|at| !(heeds && alone(*at))).or_else(|| around().next())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Duration = Duration::from_secs(100);

    #[test]
    fn five_failures_in_a_row_leave_a_target_alone_and_longer_each_time() {
        let fail = |mut standing: Standing, times, now| {
            for _ in 0..times {
                standing = standing.after(false, now);
            }
            standing
        };
        let four = fail(Standing::default(), 4, NOW);
        assert!(!four.is_left_alone(NOW), "four are not five");
        assert!(!four.after(true, NOW).after(false, NOW).is_left_alone(NOW), "a success begins the count anew");
        let five = fail(Standing::default(), 5, NOW);
        assert!(five.is_left_alone(NOW + Duration::from_secs(29)));
        assert!(!five.is_left_alone(NOW + Duration::from_secs(30)));
        let later = NOW + Duration::from_secs(40);
        assert!(
            fail(five, 5, later).is_left_alone(later + Duration::from_secs(59)),
            "the second time for twice as long"
        );
        assert!(!fail(five.after(true, later), 5, later).is_left_alone(later + Duration::from_secs(31)), "forgiven");
        let often = (0..40).fold(Standing::default(), |standing, _| fail(standing, 5, NOW));
        assert!(!often.is_left_alone(NOW + LONGEST), "nobody is given up for good");
    }

    #[test]
    fn targets_take_turns_but_for_those_left_alone_and_tried() {
        let turns = |alone: &[usize], tried: &[usize]| -> Vec<Option<usize>> {
            (0..4).map(|turn| pick(3, turn, |at| tried.contains(&at), |at| alone.contains(&at))).collect()
        };
        assert_eq!(turns(&[], &[]), [Some(0), Some(1), Some(2), Some(0)]);
        assert_eq!(turns(&[1], &[]), [Some(0), Some(2), Some(2), Some(0)]);
        assert_eq!(turns(&[1], &[0, 2]), [Some(1); 4], "better one that failed than none");
        assert_eq!(turns(&[0, 1], &[]), [Some(0), Some(1), Some(2), Some(0)], "most are ill: nobody is left alone");
        assert_eq!(turns(&[], &[0, 1, 2]), [None; 4]);
        assert_eq!(pick(0, 3, |_| false, |_| false), None);
    }

    proptest! {
        #[test]
        fn whoever_is_not_tried_is_found(tried in proptest::collection::vec(any::<bool>(), 0..8), alone in any::<u8>(), turn: usize) {
            let found = pick(tried.len(), turn, |at| tried[at], |at| alone >> at & 1 == 1);
            prop_assert_eq!(found.is_none(), tried.iter().all(|tried| *tried));
            prop_assert!(found.is_none_or(|at| !tried[at]));
        }
    }
}
