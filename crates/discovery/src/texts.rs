//! The words of Cloud Map. *seen*: copied from answers of the real service in public reports; *modelled*: made in the manner
//! of those; *own*: AWS's wording is not known to us.

use types::ApiError;

/// An `InvalidInput`.
pub(crate) fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidInput", message)
}

/// seen
pub(crate) fn namespace_not_found() -> ApiError {
    ApiError::new("NamespaceNotFound", "Namespace not found")
}

/// modelled
pub(crate) fn service_not_found() -> ApiError {
    ApiError::new("ServiceNotFound", "Service not found")
}

/// modelled
pub(crate) fn instance_not_found() -> ApiError {
    ApiError::new("InstanceNotFound", "Instance not found")
}

/// modelled
pub(crate) fn operation_not_found() -> ApiError {
    ApiError::new("OperationNotFound", "Operation not found")
}

/// modelled
pub(crate) fn resource_not_found() -> ApiError {
    ApiError::new("ResourceNotFoundException", "Resource not found")
}

/// own
pub(crate) fn namespace_exists() -> ApiError {
    ApiError::new("NamespaceAlreadyExists", "A namespace with this name already exists.")
}

/// own
pub(crate) fn service_exists() -> ApiError {
    ApiError::new("ServiceAlreadyExists", "Service already exists.")
}

/// seen
pub(crate) fn service_in_use() -> ApiError {
    ApiError::new(
        "ResourceInUse",
        "Service contains registered instances; delete the instances before deleting the service",
    )
}

/// modelled on the one of services
pub(crate) fn namespace_in_use() -> ApiError {
    ApiError::new("ResourceInUse", "Namespace contains services; delete the services before deleting the namespace")
}

/// own
pub(crate) fn custom_health_not_found() -> ApiError {
    ApiError::new("CustomHealthNotFound", "The service has no custom health check.")
}

/// own
pub(crate) fn too_many_tags() -> ApiError {
    ApiError::new("TooManyTagsException", "A resource can have at most 50 tags.")
}

/// own
pub(crate) fn too_many_attributes() -> ApiError {
    ApiError::new("ServiceAttributesLimitExceededException", "A service can have at most 30 attributes.")
}

/// own
pub(crate) fn attribute_missing(name: &str, record: &str) -> ApiError {
    invalid(format!("The attribute {name} is required for a service with {record} records."))
}

/// own
pub(crate) fn attribute_invalid(name: &str, value: &str) -> ApiError {
    invalid(format!("The value {value:?} of the attribute {name} is not valid."))
}

/// own
pub(crate) fn bad_filter(name: &str, condition: &str) -> ApiError {
    invalid(format!("The condition {condition} is not supported for the filter {name}."))
}

/// own
pub(crate) fn bad_token() -> ApiError {
    invalid("The value of NextToken is not valid.")
}

/// The code of an operation that fails for Route 53's reasons. Source: API reference, `Operation`.
pub(crate) const CANNOT_CREATE_HOSTED_ZONE: &str = "CANNOT_CREATE_HOSTED_ZONE";

/// seen, in Route 53's words
pub(crate) fn conflicting_domain(vpc: &str, region: &str, zone: &str) -> String {
    format!(
        "The VPC {vpc} in region {region} has already been associated with the hosted zone {zone} with the same domain name."
    )
}

/// seen, in Route 53's words
pub(crate) fn no_such_vpc(vpc: &str) -> String {
    format!("The VPC: {vpc} you provided is not authorized to make the association.")
}
