//! What other services may read of load balancers.

use crate::rows::{Listener, LoadBalancer, Rule, Target, TargetGroup, TargetState};
use routing::TargetHealth;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use store::{Row, View};
use types::Scope;
use vpc::rows::InstanceState;

/// The tables in which a change of a target's health, or of its group's being attached, shows. The id of a changed row of
/// the first two is a target group's ARN or begins with one.
pub const TABLES: &[&str] = &[Target::TABLE, TargetGroup::TABLE];

/// The target group of that ARN.
pub fn target_group(view: &View, scope: &Scope, arn: &str) -> Option<Arc<TargetGroup>> {
    view.get(scope, arn)
}

/// The load balancer of that ARN.
pub fn load_balancer(view: &View, scope: &Scope, arn: &str) -> Option<Arc<LoadBalancer>> {
    view.get(scope, arn)
}

/// The ARNs of the load balancers whose listeners or rules forward to the group. AWS allows one.
pub fn load_balancers_of(view: &View, scope: &Scope, group: &str) -> BTreeSet<String> {
    let listeners = view.by_index(&Listener::BY_TARGET_GROUP, scope, group).map(|row| row.load_balancer.clone());
    let rules = view.by_index(&Rule::BY_TARGET_GROUP, scope, group).map(|row| row.load_balancer.clone());
    listeners.chain(rules).collect()
}

/// Whether a listener or a rule forwards to the group.
pub fn is_attached(view: &View, scope: &Scope, group: &str) -> bool {
    view.by_index(&Listener::BY_TARGET_GROUP, scope, group).next().is_some()
        || view.by_index(&Rule::BY_TARGET_GROUP, scope, group).next().is_some()
}

/// The groups that a rule, a default one or another, forwards to, with their weights. `None`: there is no such rule.
pub fn forwards(view: &View, scope: &Scope, rule: &str) -> Option<Vec<(String, u32)>> {
    let actions = match view.get::<Rule>(scope, rule) {
        Some(row) => row.actions.clone(),
        None => view.by_index(&Listener::BY_DEFAULT_RULE, scope, rule).next()?.default_actions.clone(),
    };
    let tuples = actions.iter().filter_map(|action| action.forward_config.as_ref());
    let tuples = tuples.flat_map(|forward| forward.target_groups.iter().flatten());
    let weight = |given: Option<i32>| given.and_then(|weight| u32::try_from(weight).ok()).unwrap_or(1);
    Some(tuples.filter_map(|tuple| Some((tuple.target_group_arn.clone()?, weight(tuple.weight)))).collect())
}

/// The targets of a group, in order of their ids.
pub fn targets<'a>(view: &'a View, scope: &Scope, group: &'a str) -> impl Iterator<Item = &'a Arc<Target>> {
    let first = format!("{group}#");
    view.scan_from::<Target>(scope, &first).take_while(move |row| row.group == group)
}

/// Where a target stands, as `DescribeTargetHealth` tells it. One that is not registered is `unused`, because of
/// `Target.NotRegistered`.
pub fn target_health(view: &View, scope: &Scope, group: &str, target: &str, port: u16) -> TargetHealth {
    match view.get::<Target>(scope, &Target::key(group, target, port)) {
        Some(row) => health_of(view, scope, &row),
        None => TargetHealth::not_registered(),
    }
}

/// Whether a target has nothing to finish any more: it is not there, or only shown as draining.
pub fn has_drained(view: &View, scope: &Scope, group: &str, target: &str, port: u16) -> bool {
    let row = view.get::<Target>(scope, &Target::key(group, target, port));
    row.is_none_or(|row| matches!(row.state, TargetState::Drained { .. }))
}

/// The address of a target: an instance's is the primary one of its primary interface.
pub(crate) fn address_of(view: &View, scope: &Scope, target: &str) -> Option<Ipv4Addr> {
    target.parse().ok().or_else(|| vpc::query::instance_ip(view, scope, target))
}

/// The id of a target that checks have at that address: the address itself, or the instance's that has it.
pub(crate) fn target_at(view: &View, scope: &Scope, group: &str, address: SocketAddr) -> String {
    let (ip, port) = (address.ip().to_string(), address.port());
    let by_address = Target::key(group, &ip, port);
    if view.contains::<Target>(scope, &by_address) {
        return by_address;
    }
    let at = |row: &&Arc<Target>| {
        row.port == port && address_of(view, scope, &row.target).is_some_and(|found| address.ip() == found)
    };
    targets(view, scope, group).find(at).map_or(by_address, |row| Target::key(group, &row.target, port))
}

/// The state of the instance that a target is, if it is one and does not run.
fn resting(view: &View, scope: &Scope, target: &str) -> Option<&'static str> {
    let row = vpc::query::instance(view, scope, target)?;
    (row.state != InstanceState::Running).then(|| row.state.as_str())
}

/// Whether a target is an instance that is over.
pub(crate) fn is_over(view: &View, scope: &Scope, target: &str) -> bool {
    target.starts_with("i-") && vpc::query::instance(view, scope, target).is_none_or(|row| row.state.is_over())
}

/// Where a target that is registered or drains stands.
pub fn health_of(view: &View, scope: &Scope, target: &Target) -> TargetHealth {
    if let TargetState::Draining { .. } | TargetState::Drained { .. } = target.state {
        TargetHealth::draining()
    } else if let Some(state) = resting(view, scope, &target.target) {
        TargetHealth::not_running(state)
    } else if is_attached(view, scope, &target.group) {
        target.health.clone()
    } else {
        TargetHealth::not_in_use()
    }
}

/// The addresses of a load balancer's nodes, for the resolver inside its VPC (private) and for everybody else
/// (public, where it is internet-facing). Empty where the DNS name is no load balancer's.
pub fn addresses(view: &View, scope: &Scope, dns_name: &str, public: bool) -> Vec<Ipv4Addr> {
    let name = dns_name.trim_end_matches('.').to_ascii_lowercase();
    let Some(row) = view.by_index(&LoadBalancer::BY_DNS_NAME, scope, &name).next() else { return vec![] };
    let interfaces = row.nodes.iter().filter_map(|node| vpc::query::interface(view, scope, node.interface.as_str()));
    let address = |interface: Arc<vpc::rows::NetworkInterface>| {
        if public && !row.internal { vpc::query::public_ip(view, scope, &interface) } else { interface.private_ip() }
    };
    interfaces.filter_map(address).collect()
}

/// How the user's machine reaches a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// The listener's ARN.
    pub listener: String,
    /// Its load balancer's name.
    pub load_balancer: String,
    /// Its load balancer's DNS name.
    pub dns_name: String,
    /// `HTTP` or `HTTPS`.
    pub protocol: String,
    /// Its port.
    pub port: u16,
    /// Its port of 127.0.0.1, if it has one.
    pub loopback_port: Option<u16>,
}

impl Reach {
    /// Its URL on this machine.
    pub fn url(&self) -> Option<String> {
        let scheme = self.protocol.to_ascii_lowercase();
        self.loopback_port.map(|port| format!("{scheme}://127.0.0.1:{port}/"))
    }
}

/// How the user's machine reaches the listeners of all internet-facing load balancers, in order of their names and ports.
pub fn reaches(view: &View) -> Vec<Reach> {
    let mut all = Vec::new();
    for (scope, balancer) in view.scan_all::<LoadBalancer>().filter(|(_, row)| !row.internal) {
        for listener in view.by_index(&Listener::BY_LOAD_BALANCER, scope, &balancer.arn) {
            all.push(Reach {
                listener: listener.arn.clone(),
                load_balancer: balancer.name.clone(),
                dns_name: balancer.dns_name.clone(),
                protocol: listener.protocol.clone(),
                port: listener.port,
                loopback_port: listener.loopback_port,
            });
        }
    }
    all.sort_by(|a, b| (&a.load_balancer, a.port, &a.listener).cmp(&(&b.load_balancer, b.port, &b.listener)));
    all
}
