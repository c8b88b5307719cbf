//! Lifecycle hooks and actions as rows: put on a group and taken off, begun, kept alive and completed.
//!
//! [`crate::hooks`] says what comes of them; the controller of groups does it after the commit.

use crate::hooks::{global_timeout, is_active};
use crate::rows::{Action, Activity, Group, GroupInstance, Hook, Lifecycle, Outcome, Status, Transition};
use crate::{query, texts};
use events::Event;
use serde_json::json;
use std::time::Duration;
use store::Tx;
use types::id::random_uuid;
use types::{ApiError, Pace, Scope, Timestamp};

/// The source of events. Source: EC2 Auto Scaling user guide, "Amazon EC2 Auto Scaling event reference".
const SOURCE: &str = "aws.autoscaling";

/// How many hooks a group has at most.
const MOST_HOOKS: usize = 50;

/// Puts a hook on a group, or changes it there. Instances that wait already do so as they began.
pub fn put(tx: &mut Tx, scope: &Scope, hook: Hook) -> Result<(), ApiError> {
    let known = query::hooks(tx, scope, &hook.group);
    if known.len() >= MOST_HOOKS && known.iter().all(|row| row.name != hook.name) {
        return Err(texts::too_many_hooks(MOST_HOOKS));
    }
    tx.put(scope, hook);
    Ok(())
}

/// Takes a hook off a group. What waits for it is completed: launches are given up, and terminations go on. Returns whether there was one.
pub fn remove(tx: &mut Tx, scope: &Scope, group: &str, name: &str) -> bool {
    let Some(hook) = query::hook(tx, scope, group, name) else { return false };
    tx.delete::<Hook>(scope, &Hook::key(group, name));
    let result = match hook.transition {
        Transition::Launching => Outcome::Abandon,
        Transition::Terminating => Outcome::Continue,
    };
    for row in query::instances(tx, scope, group) {
        tx.update::<GroupInstance>(scope, &row.instance, |row| {
            for action in row.actions.iter_mut().filter(|action| action.hook == name) {
                action.result = action.result.or(Some(result));
            }
        });
    }
    true
}

/// Has an instance wait for the group's hooks on a transition. Returns whether there are any.
pub(crate) fn begin(
    tx: &mut Tx,
    scope: &Scope,
    pace: Pace,
    (instance, transition): (&str, Transition),
    now: Timestamp,
) -> bool {
    let Some(row) = query::instance(tx, scope, instance) else { return false };
    let Some(group) = query::group(tx, scope, &row.group) else { return false };
    let after = |seconds: u32| now.plus(pace.scale(Duration::from_secs(seconds.into())));
    let hooks = query::hooks(tx, scope, &row.group).into_iter().filter(|hook| hook.transition == transition);
    let mut actions = Vec::new();
    for hook in hooks {
        let action = Action {
            hook: hook.name.clone(),
            token: random_uuid(),
            heartbeat: hook.heartbeat,
            default: hook.default,
            until: after(hook.heartbeat),
            last: after(global_timeout(hook.heartbeat)),
            result: None,
        };
        events::publish(tx, scope, &event(scope, &group, &hook, &action, instance, now), now);
        actions.push(action);
    }
    if actions.is_empty() {
        return false;
    }
    tx.update::<GroupInstance>(scope, instance, |row| {
        row.lifecycle = match transition {
            Transition::Launching => Lifecycle::PendingWait,
            Transition::Terminating => Lifecycle::TerminatingWait,
        };
        (row.since, row.actions) = (now, actions);
    });
    if let Some(activity) = query::instance(tx, scope, instance).and_then(|row| row.activity.clone()) {
        tx.update::<Activity>(scope, &activity, |row| row.status = Status::MidLifecycleAction);
    }
    true
}

/// What EventBridge is told of an action that begins.
fn event(scope: &Scope, group: &Group, hook: &Hook, action: &Action, instance: &str, now: Timestamp) -> Event {
    let (kind, from, to) = match hook.transition {
        Transition::Launching => ("launch", "EC2", "AutoScalingGroup"),
        Transition::Terminating => ("terminate", "AutoScalingGroup", "EC2"),
    };
    let mut detail = json!({
        "LifecycleActionToken": action.token,
        "AutoScalingGroupName": group.name,
        "LifecycleHookName": hook.name,
        "EC2InstanceId": instance,
        "LifecycleTransition": hook.transition.as_str(),
        "Origin": from,
        "Destination": to,
    });
    if let Some(metadata) = &hook.metadata {
        detail["NotificationMetadata"] = metadata.as_str().into();
    }
    Event {
        source: SOURCE.to_owned(),
        detail_type: format!("EC2 Instance-{kind} Lifecycle Action"),
        resources: vec![group.arn(scope)],
        at: now,
        detail,
    }
}

/// What names an action of a group's hook.
#[derive(Debug, Clone, Copy)]
pub enum Named<'a> {
    /// Its token.
    Token(&'a str),
    /// The instance that waits.
    Instance(&'a str),
}

/// Tells the result of an action.
pub fn complete(
    tx: &mut Tx,
    scope: &Scope,
    (group, hook): (&str, &str),
    named: Named<'_>,
    result: Outcome,
    now: Timestamp,
) -> Result<(), ApiError> {
    change(tx, scope, (group, hook), named, now, |action| action.result = Some(result))
}

/// Has an action be waited for as long again as its hook says.
pub fn heartbeat(
    tx: &mut Tx,
    scope: &Scope,
    (group, hook): (&str, &str),
    named: Named<'_>,
    pace: Pace,
    now: Timestamp,
) -> Result<(), ApiError> {
    change(tx, scope, (group, hook), named, now, |action| {
        let until = now.plus(pace.scale(Duration::from_secs(action.heartbeat.into())));
        action.until = until.min(action.last).max(action.until);
    })
}

fn change(
    tx: &mut Tx,
    scope: &Scope,
    (group, hook): (&str, &str),
    named: Named<'_>,
    now: Timestamp,
    change: impl FnOnce(&mut Action),
) -> Result<(), ApiError> {
    let found = query::instances(tx, scope, group).into_iter().find_map(|row| {
        let place = row.actions.iter().position(|action| {
            let meant = match named {
                Named::Token(token) => action.token == token,
                Named::Instance(id) => row.instance == id,
            };
            meant && action.hook == hook && is_active(action, now)
        });
        Some((row.instance.clone(), place?))
    });
    let (instance, place) = found.ok_or_else(|| texts::no_action(named))?;
    tx.update::<GroupInstance>(scope, &instance, |row| {
        if let Some(action) = row.actions.get_mut(place) {
            change(action);
        }
    });
    Ok(())
}
