//! The words of EventBridge. *seen*: copied from answers of the real service in public reports; *own*: AWS's wording is not
//! known to us.

use types::ApiError;

fn validation(message: impl Into<String>) -> ApiError {
    ApiError::new("ValidationException", message)
}

/// seen
pub(crate) fn rule_not_found(rule: &str) -> ApiError {
    ApiError::new("ResourceNotFoundException", format!("Rule {rule} does not exist on EventBus default."))
}

/// seen
pub(crate) fn bus_not_found(bus: &str) -> ApiError {
    ApiError::new("ResourceNotFoundException", format!("Event bus {bus} does not exist."))
}

/// seen
pub(crate) fn pattern_invalid(reason: &str) -> ApiError {
    ApiError::new("InvalidEventPatternException", format!("Event pattern is not valid. Reason: {reason}"))
}

/// seen
pub(crate) fn pattern_or_schedule() -> ApiError {
    validation("Parameter(s) EventPattern or ScheduleExpression must be specified.")
}

/// seen
pub(crate) fn rule_has_targets() -> ApiError {
    validation("Rule can't be deleted since it has targets.")
}

/// seen
pub(crate) fn limit_exceeded() -> ApiError {
    ApiError::new("LimitExceededException", "The requested resource exceeds the maximum number allowed.")
}

/// seen
pub(crate) fn event_invalid(reason: &str) -> ApiError {
    validation(format!("Parameter Event is not valid. Reason: {reason}"))
}

/// seen
pub(crate) fn target_arn_invalid(arn: &str) -> ApiError {
    validation(format!("Parameter {arn} is not valid. Reason: Provided Arn is not in correct format."))
}

/// own
pub(crate) fn input_of_log_group(target: &str) -> ApiError {
    validation(format!("Input and InputPath are not supported for target {target}, which is a log group."))
}

/// seen: of a template for a log group that is a text
pub(crate) fn input_not_json(target: &str) -> ApiError {
    validation(format!("Input for target {target} is not a valid JSON text."))
}

/// own
pub(crate) fn template_invalid(target: &str, reason: &str) -> ApiError {
    validation(format!("Invalid InputTemplate for target {target} : {reason}"))
}

/// seen
pub(crate) fn entries_too_large() -> ApiError {
    validation("Total size of the entries in the request is over the limit.")
}

/// own
pub(crate) fn bad_token() -> ApiError {
    validation("Parameter NextToken is not valid.")
}

/// own
pub(crate) fn resource_not_found(arn: &str) -> ApiError {
    ApiError::new("ResourceNotFoundException", format!("The resource {arn} does not exist."))
}
