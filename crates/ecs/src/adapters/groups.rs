//! The port of Auto Scaling groups on the `autoscaling` crate.

use crate::ports::{Equipment, Group, Groups, HEARTBEAT, Waiting};
use autoscaling::rows::{Hook, Lifecycle, Outcome, Transition};
use autoscaling::waiting::{self, Named};
use autoscaling::{intent, query};
use model::ec2::RunInstancesRequest;
use store::{Tx, View};
use types::{Pace, Scope, Timestamp};
use vpc::{images, instance_types, user_data};

/// The hook by which instances wait for ECS. Source: ECS developer guide, "Safely stop Amazon ECS workloads running on EC2
/// instances".
const HOOK: &str = "ecs-managed-draining-termination-hook";

/// Auto Scaling's groups.
pub struct RealGroups;

/// An instance that a group would launch.
fn equipment(view: &View, scope: &Scope, (subnet, request): &(String, RunInstancesRequest)) -> Option<Equipment> {
    let kind = instance_types::find(request.instance_type.as_deref()?)?;
    let subnet = vpc::query::subnet(view, scope, subnet)?;
    Some(Equipment {
        kind: kind.name.clone(),
        image: image(scope, request.image_id.as_deref()?)?,
        agent_version: vpc::query::AGENT_VERSION.to_owned(),
        zone: subnet.zone.clone(),
        subnet: subnet.id.to_string(),
        vpc: subnet.vpc.to_string(),
        cpu: kind.vcpus * 1024,
        memory: u32::try_from(kind.memory_mib).unwrap_or(u32::MAX),
        interfaces: u32::try_from(kind.interfaces.saturating_sub(1)).unwrap_or(u32::MAX),
        config: request.user_data.as_deref().map(user_data::ecs_config).unwrap_or_default(),
    })
}

/// The image that a template names, itself or by a public parameter.
fn image(scope: &Scope, id: &str) -> Option<String> {
    let Some(name) = id.strip_prefix("resolve:ssm:") else { return Some(id.to_owned()) };
    images::parameters(&scope.region).into_iter().find(|row| row.name == name).map(|row| row.value)
}

impl Groups for RealGroups {
    fn group(&self, view: &View, scope: &Scope, reference: &str) -> Option<Group> {
        let row = query::group(view, scope, reference).or_else(|| query::group_by_arn(view, scope, reference))?;
        let instances = query::instances(view, scope, &row.name);
        let alive = instances.iter().filter(|one| !one.lifecycle.is_ending());
        let waiting = instances.iter().filter(|one| one.lifecycle == Lifecycle::TerminatingWait).filter_map(|one| {
            let action = one.actions.iter().find(|action| action.hook == HOOK && action.result.is_none())?;
            Some(Waiting { instance: one.instance.clone(), until: action.until, last: action.last })
        });
        Some(Group {
            arn: row.arn(scope),
            desired: row.desired,
            bounds: (row.min, row.max),
            protects_new: row.protect_new,
            instances: alive.map(|one| (one.instance.clone(), one.protected)).collect(),
            waiting: waiting.collect(),
            launches: query::launches(view, scope, &row).iter().filter_map(|one| equipment(view, scope, one)).collect(),
            name: row.name.clone(),
        })
    }

    fn set_desired(&self, tx: &mut Tx, scope: &Scope, group: &str, desired: u32, cause: String) {
        if let Err(error) = intent::set_desired(tx, scope, group, desired, cause) {
            tracing::warn!(group, %error, "a capacity provider's group cannot have that many instances");
        }
    }

    fn protect(&self, tx: &mut Tx, scope: &Scope, instance: &str, protected: bool) {
        intent::protect(tx, scope, instance, protected);
    }

    fn drain(&self, tx: &mut Tx, scope: &Scope, group: &str, on: bool) -> Result<(), String> {
        if !on {
            waiting::remove(tx, scope, group, HOOK);
            return Ok(());
        }
        let hook = Hook {
            group: group.to_owned(),
            name: HOOK.to_owned(),
            transition: Transition::Terminating,
            heartbeat: HEARTBEAT,
            default: Outcome::Continue,
            metadata: None,
        };
        waiting::put(tx, scope, hook).map_err(|error| error.message)
    }

    fn hold(&self, tx: &mut Tx, scope: &Scope, group: &str, instance: &str, pace: Pace, now: Timestamp) {
        // What does not wait any more needs nothing.
        let _ = waiting::heartbeat(tx, scope, (group, HOOK), Named::Instance(instance), pace, now);
    }

    fn let_go(&self, tx: &mut Tx, scope: &Scope, group: &str, instance: &str, now: Timestamp) {
        let _ = waiting::complete(tx, scope, (group, HOOK), Named::Instance(instance), Outcome::Continue, now);
    }

    fn tables(&self) -> &'static [&'static str] {
        &query::TABLES
    }
}
