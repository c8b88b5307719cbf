//! AWS's words: errors, and the causes and descriptions of activities.
//! Source: EC2 Auto Scaling API reference, "Common errors"; answers of the service as client libraries' issue trackers and
//! the user guide, "Verify a scaling activity for an Auto Scaling group", quote them.

use crate::waiting::Named;
use types::{ApiError, Timestamp};

fn validation(text: impl Into<String>) -> ApiError {
    ApiError::new("ValidationError", text)
}

pub(crate) fn group_not_found(name: &str) -> ApiError {
    validation(format!("AutoScalingGroup name not found - AutoScalingGroup '{name}' not found"))
}

pub(crate) fn group_exists(name: &str) -> ApiError {
    ApiError::new(
        "AlreadyExists",
        format!("AutoScalingGroup by this name already exists - A group with the name {name} already exists"),
    )
}

/// Ours; the rule is the API reference's.
pub(crate) fn colon_in_name(name: &str) -> ApiError {
    validation(format!("You cannot use a colon (:) in the name of an AutoScalingGroup: '{name}'."))
}

/// As all that breaks a constraint of a model is told.
pub(crate) fn bad_max_records(asked: i32) -> ApiError {
    validation(format!(
        "1 validation error detected: Value '{asked}' at 'maxRecords' failed to satisfy constraint: Member must have value greater than or equal to 1"
    ))
}

pub(crate) fn group_pending_delete(name: &str) -> ApiError {
    ApiError::new("ScalingActivityInProgress", format!("AutoScalingGroup {name} is pending delete."))
}

pub(crate) fn bad_bounds(min: i32, max: i32) -> ApiError {
    validation(format!("Max bound, {max}, must be greater than or equal to min bound, {min}"))
}

pub(crate) fn negative(what: &str) -> ApiError {
    validation(format!("{what} must be a non-negative number."))
}

pub(crate) fn too_large(most: u32) -> ApiError {
    validation(format!("MaxSize must not be greater than {most}."))
}

pub(crate) fn desired_out_of_bounds(desired: i32, min: u32, max: u32) -> ApiError {
    validation(format!("Desired capacity:{desired} must be between the specified min size:{min} and max size:{max}"))
}

pub(crate) fn desired_above(desired: i32, max: u32) -> ApiError {
    validation(format!("New SetDesiredCapacity value {desired} is above max value {max} for the AutoScalingGroup."))
}

pub(crate) fn desired_below(desired: i32, min: u32) -> ApiError {
    validation(format!("New SetDesiredCapacity value {desired} is below min value {min} for the AutoScalingGroup."))
}

pub(crate) fn no_template() -> ApiError {
    validation(
        "Valid requests must contain either LaunchTemplate, LaunchConfigurationName, InstanceId or MixedInstancesPolicy parameter.",
    )
}

pub(crate) fn no_place() -> ApiError {
    validation("At least one Availability Zone or VPC Subnet is required.")
}

pub(crate) fn bad_subnet(id: &str) -> ApiError {
    validation(format!("The subnet ID '{id}' does not exist"))
}

pub(crate) fn bad_zone(zone: &str) -> ApiError {
    validation(format!("Invalid availability zones: [{zone}]"))
}

pub(crate) fn bad_target_group(arn: &str) -> ApiError {
    validation(format!("Provided Target Groups may not be valid. Please ensure they exist and try again. ({arn})"))
}

pub(crate) fn bad_template(error: &ApiError) -> ApiError {
    validation(format!("You must use a valid fully-formed launch template. {}", error.message))
}

/// AWS's words, and who refuses.
pub(crate) fn may_not_pass(template: &str, denial: impl std::fmt::Display) -> ApiError {
    let text = format!("You are not authorized to use launch template: {template}. {denial}");
    ApiError::new("AccessDenied", text).with_status(403)
}

pub(crate) fn bad_value(what: &str, value: &str, expected: &str) -> ApiError {
    validation(format!("Invalid {what}: {value}. Valid values are {expected}."))
}

pub(crate) fn instances_left() -> ApiError {
    ApiError::new(
        "ResourceInUse",
        "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) still in the group.",
    )
}

pub(crate) fn deletion_protected(name: &str, protection: &str) -> ApiError {
    validation(format!("You cannot delete AutoScalingGroup {name}: its deletion protection is {protection}."))
}

pub(crate) fn instance_not_found(id: &str) -> ApiError {
    validation(format!("Instance Id not found - No managed instance found for instance ID: {id}"))
}

/// Seen, of other calls that an activity keeps from an instance.
pub(crate) fn blocked_by(activity: &str) -> ApiError {
    let text = format!("Scaling activity {activity} is in progress and blocks this action");
    ApiError::new("ScalingActivityInProgress", text)
}

pub(crate) fn not_of_group(id: &str, group: &str) -> ApiError {
    validation(format!("The instance {id} is not part of Auto Scaling group {group}."))
}

pub(crate) fn not_in_service(id: &str) -> ApiError {
    validation(format!("The instance {id} is not in InService or EnteringStandby or Standby."))
}

pub(crate) fn below_min(min: u32) -> ApiError {
    validation(format!(
        "Currently, desiredSize equals minSize ({min}). Terminating instance without replacement will violate group's min size constraint. Either set shouldDecrementDesiredCapacity flag to false or lower group's min size."
    ))
}

pub(crate) fn cooling_down() -> ApiError {
    ApiError::new(
        "ScalingActivityInProgress",
        "Scaling activity is in progress: the group's cooldown period has not passed yet.",
    )
}

pub(crate) fn bad_process(name: &str) -> ApiError {
    validation(format!("The process type(s) {name} are invalid."))
}

pub(crate) fn bad_tag(text: impl Into<String>) -> ApiError {
    validation(text)
}

pub(crate) fn invalid_filter(name: &str) -> ApiError {
    validation(format!("Filter type {name} is not correct. Allowed Filter types are: [tag-key, tag-value, tag:<key>]"))
}

/// The words up to the name are AWS's.
pub(crate) fn hook_not_found(name: &str, group: &str) -> ApiError {
    validation(format!("No Lifecycle Hook found with name {name} for AutoScalingGroup {group}"))
}

pub(crate) fn too_many_hooks(most: usize) -> ApiError {
    ApiError::new("LimitExceeded", format!("An AutoScalingGroup can have at most {most} lifecycle hooks."))
}

pub(crate) fn no_transition() -> ApiError {
    validation("LifecycleTransition is required for a new lifecycle hook.")
}

pub(crate) fn bad_heartbeat() -> ApiError {
    validation("HeartbeatTimeout must be between 30 and 7200 seconds.")
}

pub(crate) fn no_action(named: Named<'_>) -> ApiError {
    validation(match named {
        Named::Token(token) => format!("No active Lifecycle Action found with token {token}"),
        Named::Instance(id) => format!("No active Lifecycle Action found with instance ID {id}"),
    })
}

pub(crate) fn action_not_named() -> ApiError {
    validation("Either LifecycleActionToken or InstanceId must be specified.")
}

pub(crate) fn activities_left() -> ApiError {
    ApiError::new(
        "ScalingActivityInProgress",
        "You cannot delete an AutoScalingGroup while there are scaling activities in progress for that group.",
    )
}

pub(crate) fn bad_token() -> ApiError {
    ApiError::new("InvalidNextToken", "The NextToken value is not valid.")
}

/// `2026-01-15T20:41:09Z`.
fn at(now: Timestamp) -> String {
    format!("{}Z", now.iso8601().get(..19).unwrap_or_default())
}

pub(crate) fn created(now: Timestamp, desired: u32) -> String {
    format!(
        "At {} a user request created an AutoScalingGroup changing the desired capacity from 0 to {desired}.",
        at(now)
    )
}

pub(crate) fn updated(now: Timestamp, (min, max, desired): (u32, u32, u32), before: u32) -> String {
    format!(
        "At {} a user request update of AutoScalingGroup constraints to min: {min}, max: {max}, desired: {desired} changing the desired capacity from {before} to {desired}.",
        at(now)
    )
}

pub(crate) fn set_desired(now: Timestamp, before: u32, desired: u32) -> String {
    format!(
        "At {} a user request explicitly set group desired capacity changing the desired capacity from {before} to {desired}.",
        at(now)
    )
}

pub(crate) fn launching(instance: Option<&str>) -> String {
    match instance {
        Some(id) => format!("Launching a new EC2 instance: {id}"),
        None => "Launching a new EC2 instance".to_owned(),
    }
}

pub(crate) fn terminating(instance: &str) -> String {
    format!("Terminating EC2 instance: {instance}")
}

pub(crate) fn growing(cause: &str, now: Timestamp, (from, to): (usize, usize)) -> String {
    format!(
        "{cause}  At {} an instance was started in response to a difference between desired and actual capacity, increasing the capacity from {from} to {to}.",
        at(now)
    )
}

pub(crate) fn shrinking(cause: &str, now: Timestamp, (from, to): (usize, usize), instance: &str) -> String {
    let at = at(now);
    format!(
        "{cause}  At {at} an instance was taken out of service in response to a difference between desired and actual capacity, shrinking the capacity from {from} to {to}.  At {at} instance {instance} was selected for termination."
    )
}

pub(crate) fn unhealthy(now: Timestamp, by: crate::rows::Unhealthy) -> String {
    use crate::rows::Unhealthy;
    let why = match by {
        Unhealthy::Ec2 => "an EC2 health check indicating it has been terminated or stopped",
        Unhealthy::Elb => "an ELB system health check failure",
        Unhealthy::User => "a user health-check",
    };
    format!("At {} an instance was taken out of service in response to {why}.", at(now))
}

pub(crate) fn launch_failed(now: Timestamp) -> String {
    format!("At {} an instance was taken out of service in response to a launch failure.", at(now))
}

/// The message of a launch that a hook gave up.
pub(crate) fn abandoned(token: &str, timed_out: bool) -> String {
    let why = if timed_out { "Heartbeat Timeout" } else { "Lifecycle Action Completed with ABANDON Result" };
    format!(
        "Instance failed to complete user's Lifecycle Action: Lifecycle Action with token {token} was abandoned: {why}"
    )
}

pub(crate) fn taken_out(now: Timestamp, instance: &str, shrunk: Option<(u32, u32)>) -> String {
    let shrunk = shrunk.map(|(from, to)| format!(", shrinking the capacity from {from} to {to}")).unwrap_or_default();
    format!("At {} instance {instance} was taken out of service in response to a user request{shrunk}.", at(now))
}
