//! Processes of groups, which may rest. Source: EC2 Auto Scaling user guide, "Suspend and resume processes".

use super::find_standing;
use crate::rows::Group;
use crate::{AutoScaling, texts};
use gateway::Context;
use model::autoscaling::ScalingProcessQuery;
use types::ApiError;
use wire::Unit;

const PROCESSES: [&str; 9] = [
    "AZRebalance",
    "AddToLoadBalancer",
    "AlarmNotification",
    "HealthCheck",
    "InstanceRefresh",
    "Launch",
    "ReplaceUnhealthy",
    "ScheduledActions",
    "Terminate",
];

/// The processes meant: all, where none are named.
fn named(given: Option<Vec<String>>) -> Result<Vec<String>, ApiError> {
    let Some(given) = given.filter(|given| !given.is_empty()) else {
        return Ok(PROCESSES.map(str::to_owned).to_vec());
    };
    match given.iter().find(|name| !PROCESSES.contains(&name.as_str())) {
        Some(unknown) => Err(texts::bad_process(unknown)),
        None => Ok(given),
    }
}

pub(super) fn suspend(_: &AutoScaling, cx: &mut Context, input: ScalingProcessQuery) -> Result<Unit, ApiError> {
    let processes = named(input.scaling_processes)?;
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let group = find_standing(tx, &scope, &input.auto_scaling_group_name)?;
    let why = format!("User suspended at {}Z", now.iso8601().get(..19).unwrap_or_default());
    tx.update::<Group>(&scope, &group.name, |group| {
        for process in processes {
            group.suspended.entry(process).or_insert_with(|| why.clone());
        }
    });
    Ok(Unit)
}

pub(super) fn resume(_: &AutoScaling, cx: &mut Context, input: ScalingProcessQuery) -> Result<Unit, ApiError> {
    let processes = named(input.scaling_processes)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let group = find_standing(tx, &scope, &input.auto_scaling_group_name)?;
    tx.update::<Group>(&scope, &group.name, |group| group.suspended.retain(|name, _| !processes.contains(name)));
    Ok(Unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_named_means_all() {
        assert_eq!(named(None).map(|all| all.len()), Ok(9));
        assert!(named(Some(vec!["Nothing".to_owned()])).is_err());
    }
}
