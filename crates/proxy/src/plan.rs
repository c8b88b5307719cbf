//! From a configuration to a snapshot: namespaces opened, rules compiled, targets carried over from the last one.

use crate::netns::Namespace;
use crate::shared::{
    Balancer, BalancerCount, Endpoint, EndpointKey, Group, GroupCount, ListenerPlan, NodePlace, Snapshot, TargetLife,
};
use crate::tls;
use routing::config::{Action, Certificate, Listener, Node, Protocol, ProtocolVersion, TargetState};
use routing::status::ListenerFailure;
use routing::{ListenerTable, ProxyConfig};
use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What lives on from one configuration to the next.
pub(crate) struct Planner {
    workers: usize,
    namespaces: HashMap<Node, Arc<NodePlace>>,
    own: Arc<Namespace>,
    tls: HashMap<String, (TlsKey, Arc<rustls::ServerConfig>)>,
    targets: HashMap<(String, SocketAddr), Arc<TargetLife>>,
    balancers: HashMap<String, Vec<Arc<BalancerCount>>>,
    groups: HashMap<String, Vec<Arc<GroupCount>>>,
}

type TlsKey = (Vec<Certificate>, Option<String>, bool);

impl Planner {
    /// For so many workers.
    pub(crate) fn new(workers: usize) -> std::io::Result<Self> {
        Ok(Self {
            workers,
            namespaces: HashMap::new(),
            own: Arc::new(Namespace::open(None)?),
            tls: HashMap::new(),
            targets: HashMap::new(),
            balancers: HashMap::new(),
            groups: HashMap::new(),
        })
    }

    /// Compiles a configuration. What cannot be opened is told, and left out.
    pub(crate) fn compile(&mut self, config: &ProxyConfig) -> (Snapshot, Vec<ListenerFailure>) {
        let mut failures = Vec::new();
        let mut endpoints = Vec::new();
        let nodes: BTreeSet<&Node> = config.load_balancers.iter().flat_map(|lb| &lb.nodes).collect();
        self.namespaces.retain(|node, place| nodes.contains(node) && place.namespace.is_current());
        for lb in &config.load_balancers {
            let counters = self.balancers.entry(lb.arn.clone()).or_insert_with(|| parts(self.workers));
            let balancer = Arc::new(Balancer { attributes: lb.attributes.clone(), counters: counters.clone() });
            let mut places = Vec::new();
            for node in &lb.nodes {
                match self.place(node) {
                    Ok(place) => places.push(place),
                    Err(error) => failures.extend(lb.listeners.iter().map(|listener| {
                        let address = SocketAddr::new(node.address, listener.port);
                        ListenerFailure::of_socket(listener.arn.clone(), address, &error)
                    })),
                }
            }
            for listener in &lb.listeners {
                let plan = match self.listener(listener, lb.attributes.http2) {
                    Ok(plan) => Arc::new(plan),
                    Err(error) => {
                        failures.extend(lb.nodes.iter().map(|node| ListenerFailure {
                            listener: listener.arn.clone(),
                            address: SocketAddr::new(node.address, listener.port),
                            error: error.clone(),
                            early: false,
                        }));
                        continue;
                    }
                };
                let mut endpoint = |node: Option<Node>, address, namespace: &Arc<Namespace>, place: &Arc<NodePlace>| {
                    endpoints.push(Arc::new(Endpoint {
                        key: EndpointKey { listener: listener.arn.clone(), node, address },
                        namespace: Arc::clone(namespace),
                        node: Arc::clone(place),
                        listener: Arc::clone(&plan),
                        balancer: Arc::clone(&balancer),
                    }));
                };
                for place in &places {
                    let address = SocketAddr::new(place.node.address, listener.port);
                    endpoint(Some(place.node.clone()), address, &place.namespace, place);
                }
                if let Some(first) = places.first() {
                    for address in &listener.also_at {
                        endpoint(None, *address, &self.own, first);
                    }
                }
            }
        }
        let live: BTreeSet<&str> =
            config.load_balancers.iter().flat_map(|lb| &lb.listeners).map(|listener| listener.arn.as_str()).collect();
        self.tls.retain(|arn, _| live.contains(arn.as_str()));
        let groups = self.groups(config, &mut failures);
        (Snapshot { endpoints, groups }, failures)
    }

    fn place(&mut self, node: &Node) -> std::io::Result<Arc<NodePlace>> {
        if let Some(place) = self.namespaces.get(node) {
            return Ok(Arc::clone(place));
        }
        let namespace = Arc::new(Namespace::open(node.netns.as_deref())?);
        let place = Arc::new(NodePlace { node: node.clone(), namespace });
        self.namespaces.insert(node.clone(), Arc::clone(&place));
        Ok(place)
    }

    fn listener(&mut self, listener: &Listener, http2: bool) -> Result<ListenerPlan, String> {
        let tls = if listener.protocol == Protocol::Https {
            let key = (listener.certificates.clone(), listener.ssl_policy.clone(), http2);
            let config = match self.tls.get(&listener.arn) {
                // the same settings keep their session tickets
                Some((have, config)) if *have == key => Arc::clone(config),
                _ => tls::server(listener, http2)?,
            };
            self.tls.insert(listener.arn.clone(), (key, Arc::clone(&config)));
            Some(config)
        } else {
            None
        };
        let mut config = listener.clone();
        // the keys are in the TLS settings, and nowhere else from here on
        config.certificates.clear();
        Ok(ListenerPlan { table: ListenerTable::compile(listener), config, tls })
    }

    fn groups(&mut self, config: &ProxyConfig, failures: &mut Vec<ListenerFailure>) -> HashMap<String, Arc<Group>> {
        let mut groups = HashMap::new();
        let mut kept = HashMap::new();
        for group in &config.target_groups {
            if group.protocol_version != ProtocolVersion::Http1 {
                failures.push(ListenerFailure {
                    listener: group.arn.clone(),
                    address: SocketAddr::from(([0, 0, 0, 0], 0)),
                    error: "targets are spoken to with HTTP/1.1 only".to_owned(),
                    early: false,
                });
                continue;
            }
            let mut targets = Vec::with_capacity(group.targets.len());
            for target in &group.targets {
                let key = (group.arn.clone(), target.id());
                let life = self.targets.get(&key).cloned().unwrap_or_default();
                if target.state == TargetState::Active {
                    life.cut.store(false, Ordering::Relaxed);
                }
                kept.insert(key, Arc::clone(&life));
                targets.push((target.clone(), life));
            }
            let counters = self.groups.entry(group.arn.clone()).or_insert_with(|| parts(self.workers)).clone();
            groups.insert(group.arn.clone(), Arc::new(Group { config: group.clone(), targets, counters }));
        }
        self.targets = kept;
        self.groups.retain(|arn, _| groups.contains_key(arn));
        groups
    }

    /// The totals of all load balancers.
    pub(crate) fn balancers(&self) -> impl Iterator<Item = (&String, &Vec<Arc<BalancerCount>>)> {
        self.balancers.iter()
    }

    /// The totals of all target groups.
    pub(crate) fn group_counters(&self) -> impl Iterator<Item = (&String, &Vec<Arc<GroupCount>>)> {
        self.groups.iter()
    }
}

fn parts<T: Default>(workers: usize) -> Vec<Arc<T>> {
    (0..workers).map(|_| Arc::new(T::default())).collect()
}

/// The target groups that a listener's rules forward to.
pub(crate) fn groups_of(listener: &Listener) -> BTreeSet<&str> {
    let actions = listener.rules.iter().map(|rule| &rule.action).chain([&listener.default_action]);
    actions
        .filter_map(|action| if let Action::Forward(forward) = action { Some(&forward.groups) } else { None })
        .flatten()
        .map(|group| group.target_group.as_str())
        .collect()
}
