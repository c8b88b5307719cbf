//! What all threads of the process share: targets with their health and load, counters, and the configuration in force.
//!
//! The main thread builds a [`Snapshot`] and hands the same one to every worker. Targets live on from one snapshot to the next.

use crate::clock;
use crate::netns::Namespace;
use routing::config::{Attributes, Listener, Node, Protocol, Target, TargetGroup, TargetState};
use routing::status::{LoadBalancerCounters, TIME_BUCKETS, TargetGroupCounters, bucket_of_time};
use routing::{HealthState, ListenerTable};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The configuration in force, compiled.
pub(crate) struct Snapshot {
    pub(crate) endpoints: Vec<Arc<Endpoint>>,
    pub(crate) groups: HashMap<String, Arc<Group>>,
}

/// One listener at one address.
pub(crate) struct Endpoint {
    pub(crate) key: EndpointKey,
    pub(crate) namespace: Arc<Namespace>,
    pub(crate) node: Arc<NodePlace>,
    pub(crate) listener: Arc<ListenerPlan>,
    pub(crate) balancer: Arc<Balancer>,
}

/// Tells endpoints apart across configurations.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct EndpointKey {
    pub(crate) listener: String,
    pub(crate) node: Option<Node>,
    pub(crate) address: SocketAddr,
}

/// A node with its open namespace.
pub(crate) struct NodePlace {
    pub(crate) node: Node,
    pub(crate) namespace: Arc<Namespace>,
}

/// What of a load balancer its requests need.
pub(crate) struct Balancer {
    pub(crate) attributes: Attributes,
    pub(crate) counters: Vec<Arc<BalancerCount>>,
}

/// A listener, compiled.
pub(crate) struct ListenerPlan {
    pub(crate) config: Listener,
    pub(crate) table: ListenerTable,
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
}

impl ListenerPlan {
    pub(crate) fn protocol(&self) -> Protocol {
        self.config.protocol
    }
}

/// A target group with its targets' live state.
pub(crate) struct Group {
    pub(crate) config: TargetGroup,
    pub(crate) targets: Vec<(Target, Arc<TargetLife>)>,
    pub(crate) counters: Vec<Arc<GroupCount>>,
}

/// A target as it lives on from one configuration to the next.
#[derive(Default)]
pub(crate) struct TargetLife {
    /// Requests not yet answered, of all threads.
    pub(crate) in_flight: AtomicU64,
    /// Its deregistration delay is over: what still runs is cut off.
    pub(crate) cut: AtomicBool,
    views: Mutex<HashMap<Node, Arc<NodeView>>>,
}

/// A target's health as one node sees it.
pub(crate) struct NodeView {
    usable: AtomicBool,
    since_ms: AtomicU64,
    state: Mutex<Option<HealthState>>,
}

impl TargetLife {
    /// The view of `node`, made at need.
    pub(crate) fn view(&self, node: &Node) -> Arc<NodeView> {
        let mut views = self.views.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(view) = views.get(node) {
            return Arc::clone(view);
        }
        let view =
            Arc::new(NodeView { usable: AtomicBool::new(false), since_ms: AtomicU64::new(0), state: Mutex::new(None) });
        views.insert(node.clone(), Arc::clone(&view));
        view
    }

    /// Forgets the views of nodes that are gone, and hands over the others' verdicts.
    pub(crate) fn verdicts(&self, nodes: &[&Node]) -> Vec<HealthState> {
        let mut views = self.views.lock().unwrap_or_else(PoisonError::into_inner);
        views.retain(|node, _| nodes.contains(&node));
        views.values().filter_map(|view| view.state()).collect()
    }
}

impl NodeView {
    /// The verdict so far.
    pub(crate) fn state(&self) -> Option<HealthState> {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the verdict.
    pub(crate) fn set(&self, state: HealthState) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = Some(state);
        if state.usable() && !self.usable.swap(true, Ordering::Relaxed) {
            self.since_ms.store(clock::since_epoch().as_millis() as u64, Ordering::Relaxed);
        } else if !state.usable() {
            self.usable.store(false, Ordering::Relaxed);
        }
    }

    /// Whether it is given requests.
    pub(crate) fn usable(&self) -> bool {
        self.usable.load(Ordering::Relaxed)
    }

    /// Its share in thousandths while it starts slowly.
    pub(crate) fn share(&self, slow_start_ms: u64) -> u16 {
        if slow_start_ms == 0 {
            return 1000;
        }
        let age = (clock::since_epoch().as_millis() as u64).saturating_sub(self.since_ms.load(Ordering::Relaxed));
        (age.saturating_mul(1000) / slow_start_ms).clamp(10, 1000) as u16
    }
}

/// Whether a target is given requests.
pub(crate) fn is_active(target: &Target) -> bool {
    target.state == TargetState::Active
}

/// One thread's part of a load balancer's counters.
#[derive(Default)]
pub(crate) struct BalancerCount {
    pub(crate) requests: AtomicU64,
    pub(crate) active: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) bytes: AtomicU64,
    own: [AtomicU64; 6],
}

/// One thread's part of a target group's counters.
pub(crate) struct GroupCount {
    pub(crate) requests: AtomicU64,
    codes: [AtomicU64; 6],
    pub(crate) connection_errors: AtomicU64,
    pub(crate) response_time_us: AtomicU64,
    times: Box<[AtomicU64]>,
}

impl Default for GroupCount {
    fn default() -> Self {
        Self {
            requests: AtomicU64::default(),
            codes: Default::default(),
            connection_errors: AtomicU64::default(),
            response_time_us: AtomicU64::default(),
            times: (0..TIME_BUCKETS).map(|_| AtomicU64::default()).collect(),
        }
    }
}

/// Adds to a counter that only its own thread writes.
pub(crate) fn add(counter: &AtomicU64, by: u64) {
    // no other thread writes, so that no locked instruction is needed
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
}

impl BalancerCount {
    pub(crate) fn own_answer(&self, status: u16) {
        if let Some(counter) = self.own.get(usize::from(status / 100)) {
            add(counter, 1);
        }
    }

    /// The sum over all threads.
    pub(crate) fn total(arn: &str, parts: &[Arc<Self>]) -> LoadBalancerCounters {
        let sum = |part: fn(&Self) -> &AtomicU64| parts.iter().map(|one| part(one).load(Ordering::Relaxed)).sum();
        LoadBalancerCounters {
            arn: arn.to_owned(),
            requests: sum(|one| &one.requests),
            active_connections: sum(|one| &one.active),
            new_connections: sum(|one| &one.connections),
            processed_bytes: sum(|one| &one.bytes),
            own_3xx: sum(|one| &one.own[3]),
            own_4xx: sum(|one| &one.own[4]),
            own_5xx: sum(|one| &one.own[5]),
        }
    }
}

impl GroupCount {
    pub(crate) fn answered(&self, status: u16, time_us: u64) {
        if let Some(counter) = self.codes.get(usize::from(status / 100)) {
            add(counter, 1);
        }
        add(&self.response_time_us, time_us);
        if let Some(counter) = self.times.get(usize::from(bucket_of_time(time_us))) {
            add(counter, 1);
        }
    }

    /// The sum over all threads.
    pub(crate) fn total(arn: &str, parts: &[Arc<Self>]) -> TargetGroupCounters {
        let sum = |part: &dyn Fn(&Self) -> u64| parts.iter().map(|one| part(one)).sum();
        let code = |class: usize| sum(&|one: &Self| one.codes[class].load(Ordering::Relaxed));
        TargetGroupCounters {
            arn: arn.to_owned(),
            requests: sum(&|one: &Self| one.requests.load(Ordering::Relaxed)),
            target_codes: [code(1), code(2), code(3), code(4), code(5)],
            connection_errors: sum(&|one: &Self| one.connection_errors.load(Ordering::Relaxed)),
            response_time_us: sum(&|one: &Self| one.response_time_us.load(Ordering::Relaxed)),
            response_times: (0..TIME_BUCKETS)
                .map(|bucket| (bucket as u16, sum(&|one: &Self| one.times[bucket].load(Ordering::Relaxed))))
                .filter(|(_, count)| *count > 0)
                .collect(),
        }
    }
}
