//! The port of target groups on the `elb` crate.

use crate::ports::{Target, TargetGroup, TargetState, Targets};
use routing::health::State;
use store::{Tx, View};
use types::{Scope, Timestamp};

/// Target groups as Elastic Load Balancing has them.
pub struct RealTargets;

impl Targets for RealTargets {
    fn group(&self, view: &View, scope: &Scope, arn: &str) -> Option<TargetGroup> {
        let group = elb::query::target_group(view, scope, arn)?;
        Some(TargetGroup {
            target_type: group.target_type.clone(),
            has_load_balancer: elb::query::is_attached(view, scope, arn),
        })
    }

    fn register(&self, tx: &mut Tx, scope: &Scope, group: &str, target: &Target, now: Timestamp) {
        elb::intent::register_target(tx, scope, group, &target.id, target.port, now);
    }

    fn deregister(&self, tx: &mut Tx, scope: &Scope, group: &str, target: &Target, now: Timestamp) {
        elb::intent::deregister_target(tx, scope, group, &target.id, target.port, now);
    }

    fn state(&self, view: &View, scope: &Scope, group: &str, target: &Target) -> TargetState {
        let health = elb::query::target_health(view, scope, group, &target.id, target.port);
        match health.state {
            State::Healthy => TargetState::Registered(rollout::TargetHealth::Healthy),
            State::Unhealthy => {
                TargetState::Registered(rollout::TargetHealth::Unhealthy(health.description.unwrap_or_default()))
            }
            State::Draining if elb::query::has_drained(view, scope, group, &target.id, target.port) => {
                TargetState::Gone
            }
            State::Draining => TargetState::Draining,
            State::Unused if health == routing::TargetHealth::not_registered() => TargetState::Gone,
            State::Initial | State::Unused | State::Unavailable => {
                TargetState::Registered(rollout::TargetHealth::Initial)
            }
        }
    }

    fn forwards(&self, view: &View, scope: &Scope, rule: &str) -> Option<Vec<(String, u32)>> {
        elb::query::forwards(view, scope, rule)
    }

    fn forward(&self, tx: &mut Tx, scope: &Scope, rule: &str, weights: &[(&str, u32)]) {
        elb::intent::forward(tx, scope, rule, weights);
    }

    fn tables(&self) -> &'static [&'static str] {
        elb::query::TABLES
    }
}
