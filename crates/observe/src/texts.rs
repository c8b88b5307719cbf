//! The words of CloudWatch Logs and CloudWatch. Sources: answers of the services as client libraries' issue trackers and
//! test suites quote them, and their API references.

use types::ApiError;

pub(crate) fn invalid_parameter(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidParameterException", message)
}

pub(crate) const NO_SUCH_GROUP: &str = "The specified log group does not exist.";
pub(crate) const NO_SUCH_STREAM: &str = "The specified log stream does not exist.";

pub(crate) fn no_such_group() -> ApiError {
    ApiError::new("ResourceNotFoundException", NO_SUCH_GROUP)
}

pub(crate) fn no_such_stream() -> ApiError {
    ApiError::new("ResourceNotFoundException", NO_SUCH_STREAM)
}

pub(crate) fn no_such_resource() -> ApiError {
    ApiError::new("ResourceNotFoundException", "The specified resource does not exist.")
}

pub(crate) fn group_exists() -> ApiError {
    ApiError::new("ResourceAlreadyExistsException", "The specified log group already exists")
}

pub(crate) fn stream_exists() -> ApiError {
    ApiError::new("ResourceAlreadyExistsException", "The specified log stream already exists")
}

pub(crate) fn group_is_protected() -> ApiError {
    ApiError::new("OperationAbortedException", "The log group is protected from deletion.")
}

pub(crate) fn bad_retention(days: i32, valid: &[i32]) -> ApiError {
    let valid: Vec<String> = valid.iter().map(i32::to_string).collect();
    invalid_parameter(format!(
        "1 validation error detected: Value '{days}' at 'retentionInDays' failed to satisfy constraint: Member must satisfy \
         enum value set: [{}]",
        valid.join(", ")
    ))
}

pub(crate) fn not_chronological() -> ApiError {
    invalid_parameter("Log events in a single PutLogEvents request must be in chronological order.")
}

pub(crate) fn spans_too_long() -> ApiError {
    invalid_parameter("The batch of log events in a single PutLogEvents request cannot span more than 24 hours.")
}

pub(crate) fn upload_too_large(bytes: usize, limit: usize) -> ApiError {
    invalid_parameter(format!("Upload too large: {bytes} bytes exceeds limit of {limit}"))
}

pub(crate) fn bad_next_token() -> ApiError {
    invalid_parameter("The specified nextToken is invalid.")
}

pub(crate) fn name_and_identifier() -> ApiError {
    invalid_parameter("LogGroup name and LogGroup ARN are mutually exclusive parameters.")
}

pub(crate) fn name_or_identifier_needed() -> ApiError {
    invalid_parameter("Either LogGroupName or LogGroupIdentifier must be specified.")
}

pub(crate) fn prefix_and_pattern() -> ApiError {
    invalid_parameter("LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.")
}

pub(crate) fn names_and_prefix() -> ApiError {
    invalid_parameter("logStreamNamePrefix and logStreamNames are mutually exclusive parameters.")
}

pub(crate) fn prefix_with_last_event_time() -> ApiError {
    invalid_parameter("Cannot order by LastEventTime with a logStreamNamePrefix.")
}

pub(crate) fn bad_filter_pattern() -> ApiError {
    invalid_parameter("Invalid filter pattern")
}

pub(crate) fn too_many_tags() -> ApiError {
    ApiError::new("TooManyTagsException", "A resource can have no more than 50 tags.")
}

/// own
pub(crate) fn needed(parameter: &str) -> ApiError {
    invalid_parameter(format!("{parameter} is a required parameter."))
}

pub(crate) fn policy_too_long(most: usize) -> ApiError {
    invalid_parameter(format!("Policy document length breaking Cloudwatch Logs Constraints, either < 1 or > {most}"))
}

pub(crate) fn no_such_policy(name: &str) -> ApiError {
    ApiError::new("ResourceNotFoundException", format!("Policy with name [{name}] does not exist."))
}

pub(crate) fn limit_exceeded() -> ApiError {
    ApiError::new("LimitExceededException", "Resource limit exceeded.")
}

// CloudWatch.

pub(crate) fn invalid_value(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidParameterValue", message)
}

pub(crate) fn invalid_combination(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidParameterCombination", message)
}

pub(crate) fn validation(message: impl Into<String>) -> ApiError {
    ApiError::new("ValidationError", message)
}

pub(crate) fn bad_metrics_token() -> ApiError {
    ApiError::new("InvalidNextToken", "Request parameter NextToken is invalid")
}

pub(crate) fn missing_parameter(name: &str) -> ApiError {
    ApiError::new("MissingParameter", format!("The parameter {name} is required."))
}

pub(crate) fn exclusive(one: &str, other: &str) -> ApiError {
    invalid_combination(format!("The parameters {one} and {other} are mutually exclusive and you have specified both."))
}

pub(crate) fn not_supported(parameter: &str, value: &str) -> ApiError {
    invalid_value(format!("The value {value} for parameter {parameter} is not supported."))
}

pub(crate) fn too_many_datapoints(asked: i64, most: i64) -> ApiError {
    invalid_combination(format!(
        "You have requested up to {} datapoints, which exceeds the limit of {}. You may reduce the datapoints requested \
         by increasing Period, or decreasing the time range.",
        grouped(asked),
        grouped(most)
    ))
}

/// `1,440`.
fn grouped(number: i64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

pub(crate) fn no_such_alarm() -> ApiError {
    ApiError::new("ResourceNotFound", "The named resource does not exist.").with_status(404)
}

pub(crate) fn no_such_metric_resource() -> ApiError {
    ApiError::new("ResourceNotFoundException", "The named resource does not exist.").with_status(404)
}

pub(crate) fn bad_reason_data() -> ApiError {
    ApiError::new("InvalidFormat", "Data was not syntactically valid JSON.")
}
