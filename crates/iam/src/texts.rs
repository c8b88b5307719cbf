//! IAM's and STS's words. Sources: answers of the services as client libraries' issue trackers and test suites quote
//! them, and the IAM User Guide, "Troubleshoot IAM".

use types::ApiError;

fn no_such_entity(message: String) -> ApiError {
    ApiError::new("NoSuchEntity", message).with_status(404)
}

fn conflict(message: &str) -> ApiError {
    ApiError::new("DeleteConflict", message).with_status(409)
}

fn exists(message: String) -> ApiError {
    ApiError::new("EntityAlreadyExists", message).with_status(409)
}

fn limit(message: String) -> ApiError {
    ApiError::new("LimitExceeded", message).with_status(409)
}

/// `kind` is `role`, `user`, `role policy` or `user policy`.
pub(crate) fn cannot_be_found(kind: &str, name: &str) -> ApiError {
    no_such_entity(format!("The {kind} with name {name} cannot be found."))
}

pub(crate) fn access_key_cannot_be_found(id: &str) -> ApiError {
    no_such_entity(format!("The Access Key with id {id} cannot be found."))
}

pub(crate) fn policy_not_found(arn: &str) -> ApiError {
    no_such_entity(format!("Policy {arn} was not found."))
}

pub(crate) fn policy_not_attachable(arn: &str) -> ApiError {
    no_such_entity(format!("Policy {arn} does not exist or is not attachable."))
}

pub(crate) fn boundary_not_found(arn: &str) -> ApiError {
    no_such_entity(format!("Scope ARN: {arn} does not exist or is not attachable."))
}

pub(crate) fn policy_version_not_found(arn: &str, version: &str) -> ApiError {
    no_such_entity(format!("Policy {arn} version {version} does not exist or is not attachable."))
}

pub(crate) fn instance_profile_not_found(name: &str) -> ApiError {
    no_such_entity(format!("Instance Profile {name} cannot be found."))
}

pub(crate) fn instance_profile_exists(name: &str) -> ApiError {
    exists(format!("Instance Profile {name} already exists."))
}

/// A profile that still holds a role, or a role that a profile still holds: AWS has the same words for both.
pub(crate) fn must_remove_roles() -> ApiError {
    conflict("Cannot delete entity, must remove roles from instance profile first.")
}

/// `kind` is `Role` or `User`.
pub(crate) fn already_exists(kind: &str, name: &str) -> ApiError {
    exists(format!("{kind} with name {name} already exists."))
}

pub(crate) fn policy_already_exists(name: &str) -> ApiError {
    exists(format!("A policy called {name} already exists. Duplicate names are not allowed."))
}

pub(crate) fn must_detach_policies() -> ApiError {
    conflict("Cannot delete entity, must detach all policies first.")
}

pub(crate) fn must_delete_policies() -> ApiError {
    conflict("Cannot delete entity, must delete policies first.")
}

pub(crate) fn must_delete_access_keys() -> ApiError {
    conflict("Cannot delete entity, must delete access keys first.")
}

pub(crate) fn policy_is_attached() -> ApiError {
    conflict("Cannot delete a policy attached to entities.")
}

pub(crate) fn quota(name: &str, value: usize) -> ApiError {
    limit(format!("Cannot exceed quota for {name}: {value}"))
}

/// `kind` is `role` or `user`.
pub(crate) fn inline_too_large(kind: &str, name: &str, bytes: usize) -> ApiError {
    limit(format!("Maximum policy size of {bytes} bytes exceeded for {kind} {name}"))
}

pub(crate) fn malformed_policy(why: impl Into<String>) -> ApiError {
    ApiError::new("MalformedPolicyDocument", why)
}

pub(crate) fn invalid_principal(kind: &str, value: &str) -> ApiError {
    malformed_policy(format!("Invalid principal in policy: \"{}\":\"{value}\"", kind.to_uppercase()))
}

pub(crate) fn invalid_arn(arn: &str) -> ApiError {
    ApiError::new("InvalidInput", format!("ARN {arn} is not valid."))
}

pub(crate) fn invalid_marker(marker: &str) -> ApiError {
    ApiError::new("ValidationError", format!("Invalid Marker: {marker}"))
}

pub(crate) fn duplicate_tags() -> ApiError {
    ApiError::new("InvalidInput", "Duplicate tag keys found. Please note that Tag keys are case insensitive.")
}

pub(crate) fn user_name_needed() -> ApiError {
    ApiError::new("ValidationError", "Must specify userName when calling with non-User credentials")
}

pub(crate) fn aws_policy_is_read_only() -> ApiError {
    ApiError::new("AccessDenied", "Cannot modify or delete an AWS managed policy.").with_status(403)
}

pub(crate) fn invalid_token() -> ApiError {
    ApiError::new("InvalidClientTokenId", "The security token included in the request is invalid.").with_status(403)
}

/// The denial in the form of the service whose action it is.
pub(crate) fn denied(prefix: &str, text: &str) -> ApiError {
    match prefix {
        "ec2" => {
            let message = format!("You are not authorized to perform this operation. {text}");
            ApiError::new("UnauthorizedOperation", message).with_status(403)
        }
        "autoscaling" | "iam" | "sts" | "elasticloadbalancing" | "cloudwatch" => {
            ApiError::new("AccessDenied", text).with_status(403)
        }
        _ => ApiError::new("AccessDeniedException", text),
    }
}

pub(crate) fn duration_exceeds_role_maximum() -> ApiError {
    ApiError::new("ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
}

pub(crate) fn duration_exceeds_chaining() -> ApiError {
    ApiError::new(
        "ValidationError",
        "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining",
    )
}
