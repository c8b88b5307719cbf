//! AWS's words: the errors of this service, each with its code and text.
//!
//! Source: Elastic Load Balancing API reference (2015-12-01) and answers of the live API.

use std::fmt::Display;
use types::ApiError;

macro_rules! not_found {
    ($($name:ident = $code:literal, $text:literal;)*) => {$(
        pub(crate) fn $name() -> ApiError {
            ApiError::new($code, $text)
        }
    )*};
}

not_found! {
    load_balancer_not_found = "LoadBalancerNotFound", "One or more load balancers not found";
    target_group_not_found = "TargetGroupNotFound", "One or more target groups not found";
    listener_not_found = "ListenerNotFound", "One or more listeners not found";
    rule_not_found = "RuleNotFound", "One or more rules not found";
    invalid_security_group = "InvalidSecurityGroup", "One or more security groups are invalid";
    two_zones = "ValidationError", "At least two subnets in two different Availability Zones must be specified";
    subnets_of_one_vpc = "InvalidConfigurationRequest", "All subnets must belong to the same VPC";
    subnets_of_one_zone = "InvalidConfigurationRequest",
        "A load balancer cannot be attached to multiple subnets in the same Availability Zone";
    certificate_needed = "ValidationError", "A certificate must be specified for HTTPS listeners";
    one_certificate = "ValidationError", "You can only specify one certificate at a time";
    redirect_loop = "InvalidLoadBalancerAction",
        "The redirect configuration is not valid because it creates a loop.";
    interval_above_timeout = "ValidationError", "Health check interval must be greater than the timeout.";
    too_many_tags = "TooManyTags", "The maximum number of tags (50) on a load balancer resource has been reached.";
    too_many_listeners = "TooManyListeners", "The maximum number of listeners has been reached";
    too_many_rules = "TooManyRules", "The maximum number of rules has been reached";
    too_many_values = "ValidationError", "A rule can only have '5' condition values";
    bad_marker = "ValidationError", "The specified marker is not valid";
}

/// `ValidationError`.
pub(crate) fn invalid(text: impl Into<String>) -> ApiError {
    ApiError::new("ValidationError", text)
}

/// An ARN of another kind or of no kind.
pub(crate) fn bad_arn(arn: &str, kind: &str) -> ApiError {
    invalid(format!("'{arn}' is not a valid {kind} ARN"))
}

pub(crate) fn subnet_not_found(id: &str) -> ApiError {
    ApiError::new("SubnetNotFound", format!("The subnet ID '{id}' does not exist"))
}

pub(crate) fn no_internet_gateway(vpc: impl Display) -> ApiError {
    ApiError::new("InvalidSubnet", format!("VPC {vpc} has no internet gateway"))
}

pub(crate) fn few_addresses(subnet: impl Display) -> ApiError {
    ApiError::new(
        "InvalidSubnet",
        format!("Not enough IP space available in {subnet}. ELB requires at least 8 free IP addresses in each subnet."),
    )
}

pub(crate) fn duplicate_load_balancer(name: &str) -> ApiError {
    ApiError::new(
        "DuplicateLoadBalancerName",
        format!("A load balancer with the same name '{name}' exists, but with different settings"),
    )
}

pub(crate) fn duplicate_target_group(name: &str) -> ApiError {
    ApiError::new(
        "DuplicateTargetGroupName",
        format!("A target group with the same name '{name}' exists, but with different settings"),
    )
}

pub(crate) fn duplicate_listener(load_balancer: &str) -> ApiError {
    ApiError::new(
        "DuplicateListener",
        format!("A listener already exists on this port for this load balancer '{load_balancer}'"),
    )
}

pub(crate) fn deletion_protected(arn: &str) -> ApiError {
    ApiError::new(
        "OperationNotPermitted",
        format!("Load balancer '{arn}' cannot be deleted because deletion protection is enabled"),
    )
}

pub(crate) fn group_in_use(arn: &str) -> ApiError {
    ApiError::new("ResourceInUse", format!("Target group '{arn}' is currently in use by a listener or a rule"))
}

pub(crate) fn group_of_other_balancer(arn: &str) -> ApiError {
    ApiError::new(
        "TargetGroupAssociationLimit",
        format!("The following target groups cannot be associated with more than one load balancer: {arn}"),
    )
}

pub(crate) fn group_of_other_vpc(arn: &str) -> ApiError {
    ApiError::new(
        "InvalidConfigurationRequest",
        format!("The target group '{arn}' and the load balancer are in different VPCs"),
    )
}

pub(crate) fn certificate_not_found(arn: &str) -> ApiError {
    ApiError::new("CertificateNotFound", format!("Certificate '{arn}' not found"))
}

pub(crate) fn ssl_policy_not_found(name: &str) -> ApiError {
    ApiError::new("SSLPolicyNotFound", format!("SSL policy '{name}' not found"))
}

pub(crate) fn priority_in_use(priority: impl Display) -> ApiError {
    ApiError::new("PriorityInUse", format!("Priority '{priority}' is currently in use"))
}

pub(crate) fn default_rule(arn: &str, done: &str) -> ApiError {
    ApiError::new("OperationNotPermitted", format!("Default rule '{arn}' cannot be {done}"))
}

pub(crate) fn invalid_action(text: impl Into<String>) -> ApiError {
    ApiError::new("InvalidLoadBalancerAction", text)
}

pub(crate) fn invalid_target(text: impl Into<String>) -> ApiError {
    ApiError::new("InvalidTarget", text)
}

pub(crate) fn duplicate_tag(key: &str) -> ApiError {
    ApiError::new("DuplicateTagKeys", format!("A tag key was specified more than once: '{key}'"))
}

pub(crate) fn unknown_attribute(kind: &str, key: &str) -> ApiError {
    invalid(format!("{kind} attribute key '{key}' is not recognized"))
}

pub(crate) fn bad_attribute(kind: &str, key: &str, value: &str) -> ApiError {
    invalid(format!("{kind} attribute key '{key}' has an invalid value '{value}'"))
}
