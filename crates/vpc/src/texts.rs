//! AWS's words: the errors of this service, each with its code and text.
//!
//! Source: EC2 API reference, "Error codes for the Amazon EC2 API", and answers of the live API.

use types::ApiError;

/// `InvalidSubnetID.NotFound`.
pub(crate) fn subnet_not_found(id: &str) -> ApiError {
    ApiError::new("InvalidSubnetID.NotFound", format!("The subnet ID '{id}' does not exist"))
}

/// `InvalidGroup.NotFound`.
pub(crate) fn group_not_found(id: &str) -> ApiError {
    ApiError::new("InvalidGroup.NotFound", format!("The security group '{id}' does not exist"))
}

/// A group of another VPC than the subnet's.
pub(crate) fn group_of_other_vpc(id: &str, subnet: &str) -> ApiError {
    ApiError::new(
        "InvalidParameter",
        format!("Security group {id} and subnet {subnet} belong to different networks."),
    )
}

/// A subnet that is full.
pub(crate) fn no_free_address(subnet: &str) -> ApiError {
    ApiError::new(
        "InsufficientFreeAddressesInSubnet",
        format!("The specified subnet does not have enough free addresses to satisfy the request. Subnet: {subnet}"),
    )
}

/// More groups than an interface may have.
pub(crate) fn too_many_groups() -> ApiError {
    ApiError::new("SecurityGroupsPerInterfaceLimitExceeded", "You have exceeded the maximum number of security groups allowed per network interface.")
}

/// The pool of public addresses is used up.
pub(crate) fn no_public_address() -> ApiError {
    ApiError::new("InsufficientAddressCapacity", "Not enough available addresses to satisfy your request.")
}
