//! What other services may read of groups.

use crate::control;
use crate::rows::{Activity, Group, GroupInstance, Hook};
use model::ec2::RunInstancesRequest;
use std::sync::Arc;
use store::{Row, View};
use types::Scope;

/// The tables in which a change of a group or of its instances shows.
pub const TABLES: [&str; 2] = [Group::TABLE, GroupInstance::TABLE];

/// What a group would ask of EC2 for its next instance in each of its subnets; nothing where its template cannot be launched.
pub fn launches(view: &View, scope: &Scope, group: &Group) -> Vec<(String, RunInstancesRequest)> {
    let ask = |subnet: &String| Some((subnet.clone(), control::request(view, scope, group, subnet).ok()?.0));
    group.subnets.iter().filter_map(ask).collect()
}

/// The group of that name.
pub fn group(view: &View, scope: &Scope, name: &str) -> Option<Arc<Group>> {
    view.get(scope, name)
}

/// The group of that ARN.
pub fn group_by_arn(view: &View, scope: &Scope, arn: &str) -> Option<Arc<Group>> {
    let name = arn.rsplit_once(":autoScalingGroupName/").map(|(_, name)| name)?;
    group(view, scope, name).filter(|group| group.arn(scope) == arn)
}

/// The instances in a group, those that end included, in order of id.
pub fn instances(view: &View, scope: &Scope, group: &str) -> Vec<Arc<GroupInstance>> {
    view.by_index(&GroupInstance::BY_GROUP, scope, group).cloned().collect()
}

/// The instance, if it is in a group.
pub fn instance(view: &View, scope: &Scope, id: &str) -> Option<Arc<GroupInstance>> {
    view.get(scope, id)
}

/// A group's lifecycle hooks, by name.
pub fn hooks(view: &View, scope: &Scope, group: &str) -> Vec<Arc<Hook>> {
    view.by_index(&Hook::BY_GROUP, scope, group).cloned().collect()
}

/// The lifecycle hook of that name of a group.
pub fn hook(view: &View, scope: &Scope, group: &str, name: &str) -> Option<Arc<Hook>> {
    view.get(scope, &Hook::key(group, name))
}

/// The activity of that id.
pub(crate) fn activity(view: &View, scope: &Scope, id: &str) -> Option<Arc<Activity>> {
    view.get(scope, id)
}

/// A group's activities, the newest first.
pub(crate) fn activities(view: &View, scope: &Scope, group: &str) -> Vec<Arc<Activity>> {
    let mut found: Vec<_> = view.by_index(&Activity::BY_GROUP, scope, group).cloned().collect();
    found.sort_by(|a, b| (b.started, &b.id).cmp(&(a.started, &a.id)));
    found
}
