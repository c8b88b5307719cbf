//! The words of Application Auto Scaling. Sources: answers and activities of live accounts as users and AWS's documentation
//! quote them; those marked `unverified` are ours.

use crate::rows::{DIMENSION, NAMESPACE};
use types::{ApiError, Scope};

pub(crate) fn validation(message: impl Into<String>) -> ApiError {
    ApiError::new("ValidationException", message)
}

fn not_found(message: impl Into<String>) -> ApiError {
    ApiError::new("ObjectNotFoundException", message)
}

pub(crate) fn unsupported() -> ApiError {
    validation("Unsupported service namespace, resource type or scalable dimension")
}

pub(crate) fn no_such_service(resource: &str) -> ApiError {
    validation(format!("ECS service doesn't exist: {resource}"))
}

pub(crate) fn max_below_min() -> ApiError {
    validation("Maximum capacity cannot be less than minimum capacity")
}

/// Unverified.
pub(crate) fn capacity_needed() -> ApiError {
    validation("Both minimum capacity and maximum capacity must be provided to register a scalable target")
}

/// Unverified.
pub(crate) fn negative_capacity(which: &str) -> ApiError {
    validation(format!("{which} capacity cannot be less than 0"))
}

pub(crate) fn action_needs_capacity() -> ApiError {
    validation("At least one of minimum capacity and maximum capacity should be provided")
}

fn whole(resource: &str) -> String {
    format!("service namespace: {NAMESPACE}, resource ID: {resource}, scalable dimension: {DIMENSION}")
}

pub(crate) fn no_target_found(resource: &str) -> ApiError {
    not_found(format!("No scalable target found for {}", whole(resource)))
}

pub(crate) fn no_target_registered(resource: &str) -> ApiError {
    not_found(format!("No scalable target registered for {}", whole(resource)))
}

pub(crate) fn no_policy(resource: &str, name: &str) -> ApiError {
    not_found(format!("No scaling policy found for {}, policy name: {name}", whole(resource)))
}

pub(crate) fn no_scheduled_action(resource: &str, name: &str) -> ApiError {
    not_found(format!("No scheduled action found for {}, scheduled action name: {name}", whole(resource)))
}

pub(crate) fn same_metric() -> ApiError {
    validation("Only one TargetTrackingScaling policy for a given metric specification is allowed.")
}

pub(crate) fn bad_token() -> ApiError {
    ApiError::new("InvalidNextTokenException", "The next token supplied was invalid.")
}

pub(crate) fn no_such_resource() -> ApiError {
    ApiError::new("ResourceNotFoundException", "The specified resource doesn't exist.")
}

pub(crate) fn too_many_tags() -> ApiError {
    ApiError::new("TooManyTagsException", "A resource can have no more than 50 tags.")
}

/// The role that acts for the account: of ECS it is always this one.
pub(crate) fn role_arn(scope: &Scope) -> String {
    format!(
        "arn:aws:iam::{}:role/aws-service-role/ecs.application-autoscaling.amazonaws.com/\
         AWSServiceRoleForApplicationAutoScaling_ECSService",
        scope.account
    )
}

pub(crate) fn policy_arn(scope: &Scope, uuid: &str, resource: &str, name: &str) -> String {
    format!(
        "arn:aws:autoscaling:{}:{}:scalingPolicy:{uuid}:resource/{NAMESPACE}/{resource}:policyName/{name}",
        scope.region, scope.account
    )
}

pub(crate) fn scheduled_arn(scope: &Scope, uuid: &str, resource: &str, name: &str) -> String {
    format!(
        "arn:aws:autoscaling:{}:{}:scheduledAction:{uuid}:resource/{NAMESPACE}/{resource}:scheduledActionName/{name}",
        scope.region, scope.account
    )
}

pub(crate) fn target_arn(scope: &Scope, id: &str) -> String {
    format!("arn:aws:application-autoscaling:{}:{}:scalable-target/{id}", scope.region, scope.account)
}

pub(crate) fn alarm_description(policy_arn: &str) -> String {
    format!("DO NOT EDIT OR DELETE. For TargetTrackingScaling policy {policy_arn}.")
}

pub(crate) fn setting(count: u32) -> String {
    format!("Setting desired count to {count}.")
}

pub(crate) fn waiting(count: u32) -> String {
    format!("Successfully set desired count to {count}. Waiting for change to be fulfilled by ecs.")
}

pub(crate) fn fulfilled(count: u32) -> String {
    format!("Successfully set desired count to {count}. Change successfully fulfilled by ecs.")
}

pub(crate) fn failed(count: u32, reason: &str) -> String {
    format!("Failed to set desired count to {count}. Reason: {reason}")
}

/// The event of an ECS service.
pub(crate) fn event(message: &str, cause: &str) -> String {
    format!("Message: {message} Cause: {cause}")
}

pub(crate) fn alarm_cause(alarm: &str, policy: &str) -> String {
    format!("monitor alarm {alarm} in state ALARM triggered policy {policy}")
}

pub(crate) fn min_cause(min: u32) -> String {
    format!("minimum capacity was set to {min}")
}

pub(crate) fn max_cause(max: u32) -> String {
    format!("maximum capacity was set to {max}")
}

pub(crate) fn scheduled_cause(name: &str) -> String {
    format!("scheduled action name {name} was triggered")
}

/// `min capacity to 5 and max capacity to 10`.
pub(crate) fn bounds(min: Option<u32>, max: Option<u32>) -> String {
    let parts = [min.map(|min| format!("min capacity to {min}")), max.map(|max| format!("max capacity to {max}"))];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_are_those_of_live_accounts() {
        let scope = Scope::default();
        assert_eq!(
            policy_arn(&scope, "u", "service/c/s", "cpu"),
            "arn:aws:autoscaling:us-east-1:123456789012:scalingPolicy:u:resource/ecs/service/c/s:policyName/cpu"
        );
        assert!(role_arn(&scope).ends_with("amazonaws.com/AWSServiceRoleForApplicationAutoScaling_ECSService"));
        assert_eq!(bounds(Some(5), Some(10)), "min capacity to 5 and max capacity to 10");
        assert_eq!(bounds(None, Some(10)), "max capacity to 10");
        assert_eq!(
            no_target_registered("service/c/s").message,
            "No scalable target registered for service namespace: ecs, resource ID: service/c/s, scalable dimension: \
             ecs:service:DesiredCount"
        );
    }
}
