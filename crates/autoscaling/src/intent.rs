//! What other services may ask of groups: another number of instances, and protection ([`crate::waiting`] has hooks). The
//! controller does it after the commit.

use crate::rows::{Activity, Group, GroupInstance, Lifecycle, Status, Transition, Unhealthy};
use crate::{AutoScaling, query, texts, waiting};
use store::Tx;
use types::id::random_uuid;
use types::{ApiError, Scope, Timestamp};
use vpc::instances::{Wish, ask};

/// How many activities are kept of a group; AWS keeps six weeks of them.
const KEPT: usize = 100;

/// Has a group have another number of instances, within its bounds. `cause` begins its activities' causes.
pub fn set_desired(tx: &mut Tx, scope: &Scope, group: &str, desired: u32, cause: String) -> Result<(), ApiError> {
    let row = query::group(tx, scope, group).ok_or_else(|| texts::group_not_found(group))?;
    if desired > row.max {
        return Err(texts::desired_above(i32::try_from(desired).unwrap_or(i32::MAX), row.max));
    }
    if desired < row.min {
        return Err(texts::desired_below(i32::try_from(desired).unwrap_or_default(), row.min));
    }
    tx.update::<Group>(scope, group, |row| {
        if row.desired != desired {
            (row.desired, row.cause, row.failed) = (desired, cause, None);
        }
    });
    Ok(())
}

/// Protects an instance from scale-in, or does so no more. Nothing happens if it is in no group.
pub fn protect(tx: &mut Tx, scope: &Scope, instance: &str, protected: bool) {
    tx.update::<GroupInstance>(scope, instance, |row| row.protected = protected);
}

/// Begins to end an instance of a group: it is no target any more, and terminates, once the group's hooks let it.
pub(crate) fn end(
    tx: &mut Tx,
    scope: &Scope,
    service: &AutoScaling,
    row: &GroupInstance,
    cause: String,
    now: Timestamp,
) -> Activity {
    deregister(tx, scope, row, now);
    finish(tx, scope, row.activity.as_deref(), Status::Cancelled, now);
    let activity = begin(tx, scope, &row.group, texts::terminating(&row.instance), cause, now);
    place(tx, scope, &activity, &row.instance);
    tx.update::<GroupInstance>(scope, &row.instance, |row| {
        (row.lifecycle, row.since) = (Lifecycle::Terminating, now);
        row.activity = Some(activity.id.clone());
    });
    // Nothing waits for what is gone, nor in a group that goes by force.
    let gone = vpc::query::instance(tx, scope, &row.instance).is_none_or(|instance| instance.state.is_over());
    let waits = !gone && query::group(tx, scope, &row.group).is_some_and(|group| !group.deleting);
    if !waits || !waiting::begin(tx, scope, service.pace, (&row.instance, Transition::Terminating), now) {
        terminate(tx, scope, service, &row.instance, now);
    }
    query::activity(tx, scope, &activity.id).map_or(activity, |row| (*row).clone())
}

/// Terminates an instance.
pub(crate) fn terminate(tx: &mut Tx, scope: &Scope, service: &AutoScaling, instance: &str, now: Timestamp) {
    // One that is gone needs no asking; the controller takes its row away.
    let _ = ask(tx, scope, (instance, Wish::Terminate), false, &service.pool, now);
}

/// An activity has come to its end.
pub(crate) fn finish(tx: &mut Tx, scope: &Scope, activity: Option<&str>, status: Status, now: Timestamp) {
    if let Some(id) = activity {
        tx.update::<Activity>(scope, id, |row| (row.status, row.ended) = (status, Some(now)));
    }
}

/// Notes that something is being done to a group.
pub(crate) fn begin(
    tx: &mut Tx,
    scope: &Scope,
    group: &str,
    description: String,
    cause: String,
    now: Timestamp,
) -> Activity {
    let activity = Activity {
        id: random_uuid(),
        group: group.to_owned(),
        description,
        cause,
        started: now,
        ended: None,
        status: Status::InProgress,
        message: None,
        place: None,
    };
    tx.put(scope, activity.clone());
    let surplus: Vec<String> =
        query::activities(tx, scope, group).iter().skip(KEPT).map(|activity| activity.id.clone()).collect();
    for id in surplus {
        tx.delete::<Activity>(scope, &id);
    }
    activity
}

/// Notes where the instance of an activity is.
pub(crate) fn place(tx: &mut Tx, scope: &Scope, activity: &Activity, instance: &str) {
    let row = vpc::query::instance(tx, scope, instance);
    let place = row.map(|row| (row.subnet.to_string(), row.zone.clone()));
    tx.update::<Activity>(scope, &activity.id, |row| row.place = place);
}

/// Makes an instance of a group a target in each of its target groups.
pub(crate) fn register(tx: &mut Tx, scope: &Scope, row: &GroupInstance, group: &Group, now: Timestamp) {
    for arn in &group.target_groups {
        if let Some(target) = elb::query::target_group(tx, scope, arn) {
            elb::intent::register_target(tx, scope, arn, &row.instance, target.port, now);
        }
    }
}

/// The opposite.
pub(crate) fn deregister(tx: &mut Tx, scope: &Scope, row: &GroupInstance, now: Timestamp) {
    let groups = query::group(tx, scope, &row.group).map(|group| group.target_groups.clone()).unwrap_or_default();
    for arn in groups {
        if let Some(target) = elb::query::target_group(tx, scope, &arn) {
            elb::intent::deregister_target(tx, scope, &arn, &row.instance, target.port, now);
        }
    }
}

/// Finds an instance of a group unhealthy, unless it was found so before.
pub(crate) fn find_unhealthy(tx: &mut Tx, scope: &Scope, instance: &str, by: Unhealthy) {
    tx.update::<GroupInstance>(scope, instance, |row| row.unhealthy = row.unhealthy.or(Some(by)));
}
