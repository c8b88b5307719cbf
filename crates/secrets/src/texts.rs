//! The words of Secrets Manager and of the Parameter Store. Sources: answers of the services as client libraries' issue
//! trackers and test suites quote them, and their API references.

use types::ApiError;

fn not_found(message: impl Into<String>) -> ApiError {
    ApiError::new("ResourceNotFoundException", message)
}

fn invalid_parameter(message: &str) -> ApiError {
    ApiError::new("InvalidParameterException", message)
}

fn invalid_request(message: &str) -> ApiError {
    ApiError::new("InvalidRequestException", message)
}

fn validation(message: impl Into<String>) -> ApiError {
    ApiError::new("ValidationException", message)
}

pub(crate) const NO_SUCH_SECRET: &str = "Secrets Manager can't find the specified secret.";

pub(crate) fn no_such_secret() -> ApiError {
    not_found(NO_SUCH_SECRET)
}

pub(crate) fn no_value_for_label(stage: &str) -> ApiError {
    not_found(format!("Secrets Manager can't find the specified secret value for staging label: {stage}"))
}

pub(crate) fn no_value_for_version(id: &str) -> ApiError {
    not_found(format!("Secrets Manager can't find the specified secret value for VersionId: {id}"))
}

pub(crate) fn stage_is_not_of_version() -> ApiError {
    invalid_request("You provided a VersionStage that is not associated to the provided VersionId.")
}

pub(crate) fn marked_for_deletion() -> ApiError {
    invalid_request("You can't perform this operation on the secret because it was marked for deletion.")
}

pub(crate) fn already_deleted() -> ApiError {
    invalid_request("You tried to perform the operation on a secret that's currently marked deleted.")
}

pub(crate) fn name_is_scheduled_for_deletion() -> ApiError {
    invalid_request("You can't create this secret because a secret with this name is already scheduled for deletion.")
}

pub(crate) fn secret_exists(name: &str) -> ApiError {
    ApiError::new("ResourceExistsException", format!("The operation failed because the secret {name} already exists."))
}

pub(crate) fn token_in_use(token: &str, arn: &str) -> ApiError {
    ApiError::new(
        "ResourceExistsException",
        format!(
            "You can't use ClientRequestToken {token} because that value is already in use for a version of secret {arn}."
        ),
    )
}

pub(crate) fn invalid_secret_name() -> ApiError {
    validation(
        "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!",
    )
}

pub(crate) fn two_values() -> ApiError {
    invalid_parameter("You can't specify both a binary secret value and a string secret value in the same secret.")
}

pub(crate) fn no_value() -> ApiError {
    invalid_request("You must provide either SecretString or SecretBinary.")
}

pub(crate) fn bad_recovery_window() -> ApiError {
    invalid_parameter("The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).")
}

pub(crate) fn force_with_window() -> ApiError {
    invalid_parameter("You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.")
}

pub(crate) fn bad_next_token() -> ApiError {
    ApiError::new("InvalidNextTokenException", "The NextToken value is invalid.")
}

pub(crate) fn too_many_tags() -> ApiError {
    invalid_parameter("The request exceeds the limit of 50 tags per secret.")
}

pub(crate) fn duplicate_tag(key: &str) -> ApiError {
    invalid_parameter(&format!("Duplicate tag keys found: {key}"))
}

// The Parameter Store.

/// AWS gives no text with this code.
pub(crate) fn no_such_parameter() -> ApiError {
    ApiError::new("ParameterNotFound", "")
}

pub(crate) fn no_such_parameter_version(version: &str, name: &str) -> ApiError {
    ApiError::new(
        "ParameterVersionNotFound",
        format!("Systems Manager could not find version {version} of {name}. Verify the version and try again."),
    )
}

pub(crate) fn parameter_exists() -> ApiError {
    ApiError::new(
        "ParameterAlreadyExists",
        "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.",
    )
}

pub(crate) fn tags_with_overwrite() -> ApiError {
    validation(
        "Invalid request: tags and overwrite can't be used together. To create a parameter with tags, please remove \
         overwrite flag. To update tags for an existing parameter, please use AddTagsToResource or RemoveTagsFromResource.",
    )
}

pub(crate) fn parameter_type_needed() -> ApiError {
    validation("A parameter type is required when you create a parameter.")
}

pub(crate) fn reserved_name(name: &str) -> ApiError {
    ApiError::new("AccessDeniedException", format!("No access to reserved parameter name: {name}."))
}

pub(crate) fn reserved_prefix(is_path: bool) -> ApiError {
    validation(if is_path {
        "Parameter name: can't be prefixed with \"ssm\" (case-insensitive). If formed as a path, it can consist of \
         sub-paths divided by slash symbol; each sub-path can be formed as a mix of letters, numbers and the following 3 \
         symbols .-_"
    } else {
        "Parameter name: can't be prefixed with \"aws\" or \"ssm\" (case-insensitive)."
    })
}

pub(crate) fn not_fully_qualified() -> ApiError {
    validation("Parameter name must be a fully qualified name.")
}

pub(crate) fn bad_parameter_name() -> ApiError {
    validation(
        "Invalid parameter name. Please use correct syntax for referencing a version/label  <name>:<version/label>",
    )
}

pub(crate) fn too_deep() -> ApiError {
    ApiError::new(
        "HierarchyLevelLimitExceededException",
        "A hierarchy can have a maximum of 15 levels. For more information, see Requirements and constraints for \
         parameter names in the AWS Systems Manager User Guide.",
    )
}

pub(crate) fn bad_data_type(given: &str) -> ApiError {
    validation(format!("The following data type is not supported: {given} (Data type names are all lowercase.)"))
}

pub(crate) fn standard_tier_is_small() -> ApiError {
    validation(
        "Standard tier parameters support a maximum parameter value of 4096 characters. To create a larger parameter \
         value, upgrade the parameter to use the advanced-parameter tier. For more information, see \
         https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html",
    )
}

pub(crate) fn advanced_tier_is_small() -> ApiError {
    validation("Advanced tier parameters support a maximum parameter value of 8192 characters.")
}

pub(crate) fn tier_cannot_shrink() -> ApiError {
    validation(
        "This parameter uses the advanced-parameter tier. You can't downgrade a parameter from the advanced-parameter tier \
         to the standard-parameter tier. If necessary, you can delete the advanced parameter and recreate it as a standard \
         parameter.",
    )
}

pub(crate) fn bad_pattern() -> ApiError {
    ApiError::new("InvalidAllowedPatternException", "The request does not meet the regular expression requirement.")
}

pub(crate) fn pattern_mismatch(pattern: &str) -> ApiError {
    ApiError::new(
        "ParameterPatternMismatchException",
        format!("Parameter value, cannot be validated against allowedPattern: {pattern}"),
    )
}

pub(crate) fn path_must_begin_with_slash(given: &str) -> ApiError {
    validation(format!(
        "The parameter doesn't meet the parameter name requirements. The parameter name must begin with a forward slash \
         \"/\". It can't be prefixed with \"aws\" or \"ssm\" (case-insensitive). It must use only letters, numbers, or the \
         following symbols: . (period), - (hyphen), _ (underscore). Special characters are not allowed. All sub-paths, if \
         specified, must use the forward slash symbol \"/\". Valid example: /get/parameters2-/by1./path0_. Given: {given}"
    ))
}

pub(crate) fn bad_filter_key(key: &str, valid: &str) -> ApiError {
    ApiError::new(
        "InvalidFilterKey",
        format!("The following filter key is not valid: {key}. Valid filter keys include: [{valid}]."),
    )
}

pub(crate) fn bad_filter_option(option: &str, valid: &str) -> ApiError {
    ApiError::new(
        "InvalidFilterOption",
        format!("The following filter option is not valid: {option}. Valid options include: [{valid}]."),
    )
}

pub(crate) fn two_kinds_of_filters() -> ApiError {
    validation("You can use either Filters or ParameterFilters in a single request.")
}

pub(crate) fn bad_ssm_token() -> ApiError {
    ApiError::new("InvalidNextToken", "The specified token is not valid.")
}

pub(crate) fn bad_resource_type() -> ApiError {
    ApiError::new("InvalidResourceType", "Invalid Resource Type")
}

pub(crate) fn bad_resource_id() -> ApiError {
    ApiError::new("InvalidResourceId", "Invalid Resource Id")
}

pub(crate) fn too_many_parameter_tags() -> ApiError {
    ApiError::new("TooManyTagsError", "The resource may not have more than 50 tags.")
}
