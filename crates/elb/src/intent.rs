//! What other services may ask of target groups and rules. The controller makes the proxy obey after the commit.

use crate::query;
use crate::rows::{Listener, Rule, Target, TargetGroup, TargetState};
use model::Stored;
use model::elbv2::{Action, TargetGroupTuple};
use routing::TargetHealth;
use std::net::Ipv4Addr;
use store::Tx;
use types::{Scope, Timestamp};

/// Adds a target, or takes one that drains back. Nothing happens if it is registered, or if there is no such group.
pub fn register_target(tx: &mut Tx, scope: &Scope, group: &str, target: &str, port: u16, now: Timestamp) {
    let Some(row) = tx.get::<TargetGroup>(scope, group) else { return };
    let present = tx.get::<Target>(scope, &Target::key(group, target, port));
    if present.is_some_and(|present| present.state == TargetState::Registered) {
        return;
    }
    let zone = query::address_of(tx, scope, target).and_then(|ip: Ipv4Addr| zone_of(tx, scope, &row, ip));
    tx.put(
        scope,
        Target {
            group: group.to_owned(),
            target: target.to_owned(),
            port,
            zone,
            state: TargetState::Registered,
            health: TargetHealth::registering(),
            registered: now,
        },
    );
}

/// Begins to take a target out: it drains while its group is attached to a load balancer, and is gone at once otherwise.
/// Nothing happens if it is not there or drains already.
pub fn deregister_target(tx: &mut Tx, scope: &Scope, group: &str, target: &str, port: u16, now: Timestamp) {
    let key = Target::key(group, target, port);
    if query::is_attached(tx, scope, group) {
        tx.update::<Target>(scope, &key, |row| {
            if row.state == TargetState::Registered {
                row.state = TargetState::Draining { since: now };
            }
        });
    } else {
        tx.delete::<Target>(scope, &key);
    }
}

/// Has a rule, a default one or another, forward to these groups with these weights. Stickiness stays as it is. Nothing
/// happens if there is no such rule.
pub fn forward(tx: &mut Tx, scope: &Scope, rule: &str, weights: &[(&str, u32)]) {
    let change = |actions: &mut Vec<Stored<Action>>| {
        for action in actions.iter_mut().filter(|action| action.type_ == "forward") {
            let config = action.0.forward_config.get_or_insert_default();
            let tuple = |(group, weight): &(&str, u32)| TargetGroupTuple {
                target_group_arn: Some((*group).to_owned()),
                weight: Some(i32::try_from(*weight).unwrap_or(i32::MAX)),
            };
            config.target_groups = Some(weights.iter().map(tuple).collect());
            action.0.target_group_arn = None;
        }
    };
    if tx.contains::<Rule>(scope, rule) {
        tx.update::<Rule>(scope, rule, |row| change(&mut row.actions));
        return;
    }
    let listener = tx.by_index(&Listener::BY_DEFAULT_RULE, scope, rule).next().map(|row| row.arn.clone());
    if let Some(listener) = listener {
        tx.update::<Listener>(scope, &listener, |row| change(&mut row.default_actions));
    }
}

/// The zone of an address in the group's VPC.
fn zone_of(tx: &Tx, scope: &Scope, group: &TargetGroup, ip: Ipv4Addr) -> Option<String> {
    let mut subnets = tx.by_index(&vpc::rows::Subnet::BY_VPC, scope, group.vpc.as_str());
    subnets.find(|subnet| subnet.cidr.contains(&ip)).map(|subnet| subnet.zone.clone())
}
