//! The port of Auto Scaling groups on the `autoscaling` crate.

use crate::ports::{Group, Groups};
use autoscaling::{intent, query};
use store::{Tx, View};
use types::Scope;

/// Auto Scaling's groups.
pub struct RealGroups;

impl Groups for RealGroups {
    fn group(&self, view: &View, scope: &Scope, reference: &str) -> Option<Group> {
        let row = query::group(view, scope, reference).or_else(|| query::group_by_arn(view, scope, reference))?;
        let instances = query::instances(view, scope, &row.name);
        let alive = instances.iter().filter(|one| one.lifecycle != autoscaling::rows::Lifecycle::Terminating);
        Some(Group {
            arn: row.arn(scope),
            desired: row.desired,
            bounds: (row.min, row.max),
            protects_new: row.protect_new,
            instances: alive.map(|one| (one.instance.clone(), one.protected)).collect(),
            size: query::instance_type(view, scope, &row)
                .map(|kind| (kind.vcpus * 1024, u32::try_from(kind.memory_mib).unwrap_or(u32::MAX))),
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

    fn tables(&self) -> &'static [&'static str] {
        &query::TABLES
    }
}
