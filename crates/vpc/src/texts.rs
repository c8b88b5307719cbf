//! AWS's words: the errors of this service, each with its code and text.
//!
//! Source: EC2 API reference, "Error codes for the Amazon EC2 API", and answers of the live API.

use std::fmt::Display;
use types::ApiError;

macro_rules! not_found {
    ($($(#[$doc:meta])* $name:ident($id:ident) = $code:literal, $text:literal;)*) => {$(
        $(#[$doc])*
        pub(crate) fn $name($id: &str) -> ApiError {
            ApiError::new($code, format!($text))
        }
    )*};
}

not_found! {
    vpc_block_not_found(id) = "InvalidVpcCidrBlockAssociationID.NotFound", "The vpc CIDR block association ID '{id}' does not exist";
    subnet_block_not_found(id) = "InvalidSubnetCidrBlockAssociationID.NotFound", "The subnet CIDR block association ID '{id}' does not exist";
    vpc_not_found(id) = "InvalidVpcID.NotFound", "The vpc ID '{id}' does not exist";
    subnet_not_found(id) = "InvalidSubnetID.NotFound", "The subnet ID '{id}' does not exist";
    route_table_not_found(id) = "InvalidRouteTableID.NotFound", "The routeTable ID '{id}' does not exist";
    internet_gateway_not_found(id) = "InvalidInternetGatewayID.NotFound", "The internetGateway ID '{id}' does not exist";
    egress_only_gateway_not_found(id) = "InvalidGatewayID.NotFound", "The eigw ID '{id}' does not exist";
    nat_gateway_not_found(id) = "NatGatewayNotFound", "The Nat Gateway {id} was not found";
    allocation_not_found(id) = "InvalidAllocationID.NotFound", "The allocation ID '{id}' does not exist";
    address_not_found(id) = "InvalidAddress.NotFound", "Address '{id}' not found.";
    association_not_found(id) = "InvalidAssociationID.NotFound", "The association ID '{id}' does not exist";
    group_not_found(id) = "InvalidGroup.NotFound", "The security group '{id}' does not exist";
    group_rule_not_found(id) = "InvalidSecurityGroupRuleId.NotFound", "The security group rule ID '{id}' does not exist";
    network_acl_not_found(id) = "InvalidNetworkAclID.NotFound", "The networkAcl ID '{id}' does not exist";
    interface_not_found(id) = "InvalidNetworkInterfaceID.NotFound", "The networkInterface ID '{id}' does not exist";
    attachment_not_found(id) = "InvalidAttachmentID.NotFound", "The attachment ID '{id}' does not exist";
    endpoint_not_found(id) = "InvalidVpcEndpointId.NotFound", "The Vpc Endpoint Id '{id}' does not exist";
    dhcp_options_not_found(id) = "InvalidDhcpOptionID.NotFound", "The dhcpOption ID '{id}' does not exist";
    managed_prefix_list_not_found(id) = "InvalidPrefixListID.NotFound", "The prefix list ID '{id}' does not exist";
    prefix_list_not_found(id) = "InvalidPrefixListId.NotFound", "The prefix list ID '{id}' does not exist";
    peering_not_found(id) = "InvalidVpcPeeringConnectionID.NotFound", "The vpcPeeringConnection ID '{id}' does not exist";
    insights_path_not_found(id) = "InvalidNetworkInsightsPathId.NotFound", "The networkInsightsPath ID '{id}' does not exist";
    insights_analysis_not_found(id) = "InvalidNetworkInsightsAnalysisId.NotFound", "The networkInsightsAnalysis ID '{id}' does not exist";
    instance_not_found(id) = "InvalidInstanceID.NotFound", "The instance ID '{id}' does not exist";
    service_not_found(name) = "InvalidServiceName", "The Vpc Endpoint Service '{name}' does not exist";
}

/// seen
pub(crate) const SUBNETS_OF_GATEWAY: &str =
    "Subnet IDs are only supported for Interface and GatewayLoadBalancer type VPC Endpoints.";
/// seen
pub(crate) const ROUTE_TABLES_OF_INTERFACE: &str = "Route table IDs are only supported for Gateway type VPC Endpoint.";
/// Modelled on the one above.
pub(crate) const GROUPS_OF_GATEWAY: &str = "Security group IDs are only supported for Interface type VPC Endpoint.";
/// Modelled on the one above.
pub(crate) const PRIVATE_DNS_OF_GATEWAY: &str = "Private DNS is only supported for Interface type VPC Endpoint.";

/// seen
pub(crate) const INBOUND_ONLY_OF_GATEWAY: &str =
    "DnsOptions PrivateDnsOnlyForInboundResolverEndpoint is applicable only to Interface VPC Endpoints.";

/// seen
pub(crate) fn gateway_endpoint_needed(vpc: &str) -> ApiError {
    let text = format!(
        "To set PrivateDnsOnlyForInboundResolverEndpoint to true, the VPC {vpc} must have a Gateway endpoint for the service."
    );
    ApiError::new("InvalidParameter", text)
}

/// Modelled on what is seen of internet gateways.
pub(crate) fn route_table_elsewhere(table: &str, vpc: &str) -> ApiError {
    ApiError::new("InvalidParameter", format!("Route table {table} and network {vpc} belong to different networks"))
}

/// Ours.
pub(crate) fn endpoint_without_groups(id: &str) -> ApiError {
    ApiError::new("InvalidParameter", format!("The VPC endpoint {id} must have at least one security group."))
}

/// The first sentence and the code are seen; AWS then names a position.
pub(crate) fn invalid_endpoint_policy(why: &str) -> ApiError {
    ApiError::new("InvalidPolicyDocument", format!("The Policy Document is not valid. {why}"))
}

/// `DryRun` on a request that would have succeeded.
pub(crate) fn dry_run() -> ApiError {
    ApiError::new("DryRunOperation", "Request would have succeeded, but DryRun flag is set.").with_status(412)
}

/// A client token that came with another request before.
pub(crate) fn token_used_otherwise(token: &str) -> ApiError {
    ApiError::new(
        "IdempotentParameterMismatch",
        format!("The client token '{token}' was used before, with other parameters."),
    )
}

/// A path that is still analysed.
pub(crate) fn path_has_analyses(id: &str) -> ApiError {
    ApiError::new(
        "AnalysisExistsForNetworkInsightsPath",
        format!("The network insights path '{id}' has analyses: delete them first."),
    )
}

/// Flow logs that are not there.
pub(crate) fn flow_logs_not_found(ids: &[&str]) -> ApiError {
    ApiError::new(
        "InvalidFlowLogId.NotFound",
        format!("These flow log ids in the input list are not found: [TotalCount: {}] {}", ids.len(), ids.join(", ")),
    )
}

/// A flow log of that resource which says the same to the same place.
pub(crate) fn flow_log_exists() -> ApiError {
    ApiError::new(
        "FlowLogAlreadyExists",
        "Error. There is an existing Flow Log with the same configuration and log destination.",
    )
}

/// A parameter of a flow log that another one asks for.
pub(crate) fn flow_log_needs(parameter: &str, other: &str, state: &str) -> ApiError {
    ApiError::new("InvalidParameter", format!("{parameter} can't be empty if {other} is {state}."))
}

/// A flow log that names its log group twice.
pub(crate) fn one_flow_log_destination() -> ApiError {
    ApiError::new("InvalidParameter", "Please only provide LogGroupName or only provide LogDestination.")
}

/// What a flow log cannot be told.
pub(crate) fn bad_flow_log(parameter: &str) -> ApiError {
    ApiError::new("InvalidParameter", format!("Invalid Flow Log {parameter}"))
}

/// A role that the caller may not hand on.
pub(crate) fn may_not_pass(denial: impl Display) -> ApiError {
    let message = format!("You are not authorized to perform this operation. {denial}");
    ApiError::new("UnauthorizedOperation", message).with_status(403)
}

/// A field that flow logs do not have.
pub(crate) fn unknown_flow_log_field(field: &str) -> ApiError {
    ApiError::new("InvalidParameter", format!("Invalid Flow Log Format: unknown field '{field}'"))
}

/// A filter that the operation does not have.
pub(crate) fn invalid_filter(name: &str) -> ApiError {
    ApiError::new("InvalidParameterValue", format!("The filter '{name}' is invalid"))
}

/// A page token that is not ours.
pub(crate) fn invalid_token(token: &str) -> ApiError {
    ApiError::new("InvalidNextToken", format!("The token '{token}' is invalid"))
}

/// A parameter that must be there.
pub(crate) fn missing(parameter: &str) -> ApiError {
    ApiError::new("MissingParameter", format!("The request must contain the parameter {parameter}"))
}

/// A value that is not of the parameter's kind.
pub(crate) fn invalid_value(value: impl Display, parameter: &str, why: &str) -> ApiError {
    ApiError::new("InvalidParameterValue", format!("Value ({value}) for parameter {parameter} is invalid. {why}"))
}

/// Two parameters that exclude each other, or a set that does not fit together.
pub(crate) fn invalid_combination(text: &str) -> ApiError {
    ApiError::new("InvalidParameterCombination", text)
}

/// What cannot be deleted because something needs it: `vpc`, `subnet`, `internetGateway`, …
pub(crate) fn dependency(kind: &str, id: impl Display) -> ApiError {
    ApiError::new("DependencyViolation", format!("The {kind} '{id}' has dependencies and cannot be deleted."))
}

/// A security group that is still used.
pub(crate) fn group_in_use(id: impl Display) -> ApiError {
    ApiError::new("DependencyViolation", format!("resource {id} has a dependent object"))
}

/// A block that is no CIDR, or whose size a VPC or subnet may not have.
pub(crate) fn bad_cidr(value: &str) -> ApiError {
    invalid_value(value, "cidrBlock", "This is not a valid CIDR block.")
}

/// An IPv6 block that is no CIDR, or whose size a subnet may not have.
pub(crate) fn bad_ipv6_cidr(value: &str) -> ApiError {
    ApiError::new("InvalidParameterValue", format!("invalid value for parameter ipv6-cidr-block: {value}"))
}

/// An attribute that a subnet without an IPv6 block cannot have.
pub(crate) fn subnet_needs_ipv6(attribute: &str, subnet: &str) -> ApiError {
    ApiError::new(
        "InvalidParameterValue",
        format!(
            "Invalid value 'true' for {attribute}. Cannot set {attribute} to true unless the subnet ({subnet}) has an IPv6 CIDR block associated with it."
        ),
    )
}

/// A subnet's IPv6 block that is still needed.
pub(crate) fn subnet_block_in_use(association: &str, why: &str) -> ApiError {
    ApiError::new(
        "InvalidCidrBlock.InUse",
        format!("The subnet IPv6 CIDR block with association ID {association} may not be disassociated, {why}"),
    )
}

/// An interface that is to have IPv6 addresses in a subnet without any.
pub(crate) fn subnet_without_ipv6(subnet: &str) -> ApiError {
    ApiError::new("InvalidParameterValue", format!("The subnet '{subnet}' has no IPv6 CIDR block associated with it."))
}

/// More IPv6 addresses than an interface may have.
pub(crate) fn too_many_ipv6() -> ApiError {
    ApiError::new("Ipv6AddressLimitExceeded", "Number of IPv6 addresses will exceed limit.")
}

/// A second egress-only gateway of a VPC.
pub(crate) fn egress_only_gateway_exists(vpc: impl Display, gateway: impl Display) -> ApiError {
    ApiError::new(
        "GatewayLimitExceeded",
        format!("The VPC '{vpc}' already has the egress-only internet gateway '{gateway}'."),
    )
}

/// A VPC's size.
pub(crate) fn vpc_range(value: &str) -> ApiError {
    ApiError::new("InvalidVpc.Range", format!("The CIDR '{value}' is invalid."))
}

/// A VPC's block over another or over a route.
pub(crate) fn vpc_conflict(cidr: impl Display) -> ApiError {
    ApiError::new("CidrConflict", format!("The CIDR '{cidr}' conflicts with another CIDR or route of the VPC"))
}

/// A VPC's block out of a range that does not go with its primary one.
pub(crate) fn vpc_restricted(cidr: impl Display) -> ApiError {
    ApiError::new(
        "InvalidVpc.Range",
        format!(
            "The CIDR '{cidr}' is restricted. Use a CIDR from the same private address range as the current VPC CIDR, or use a publicly-routable CIDR. For additional restrictions, see https://docs.aws.amazon.com/vpc/latest/userguide/vpc-cidr-blocks.html"
        ),
    )
}

/// More blocks than a VPC may have.
pub(crate) fn too_many_vpc_blocks(vpc: &str, most: usize) -> ApiError {
    ApiError::new(
        "CidrLimitExceeded",
        format!("This network '{vpc}' has met its maximum number of allowed CIDRs: {most}"),
    )
}

/// The primary block cannot be taken away.
pub(crate) fn primary_block_stays(association: &str) -> ApiError {
    ApiError::new(
        "OperationNotPermitted",
        format!(
            "The vpc CIDR block with association ID {association} may not be disassociated. It is the primary IPv4 CIDR block of the VPC"
        ),
    )
}

/// A block in which there are subnets.
pub(crate) fn vpc_block_in_use(vpc: impl Display, cidr: impl Display) -> ApiError {
    ApiError::new("InvalidCidrBlock.InUse", format!("The vpc {vpc} currently has a subnet within CIDR block {cidr}"))
}

/// A second default VPC.
pub(crate) fn default_vpc_exists() -> ApiError {
    ApiError::new("DefaultVpcAlreadyExists", "A Default VPC already exists for this account in this region.")
}

/// What needs a default VPC, where there is none.
pub(crate) fn no_default_vpc() -> ApiError {
    ApiError::new("DefaultVpcDoesNotExist", "No default VPC exists for this account in this region.")
}

/// A second default subnet in a zone.
pub(crate) fn default_subnet_exists(subnet: impl Display, zone: &str) -> ApiError {
    ApiError::new(
        "DefaultSubnetAlreadyExistsInAvailabilityZone",
        format!("'{subnet}' is already the default subnet in {zone}."),
    )
}

/// A tenancy that a VPC cannot be given.
pub(crate) fn unsupported_tenancy(tenancy: &str) -> ApiError {
    ApiError::new("UnsupportedTenancy", format!("The tenancy value {tenancy} is not supported."))
}

/// A subnet outside of its VPC.
pub(crate) fn subnet_range(value: &str) -> ApiError {
    ApiError::new("InvalidSubnet.Range", format!("The CIDR '{value}' is invalid."))
}

/// A route out of the VPC for addresses of the VPC.
pub(crate) fn route_within_vpc(block: impl Display) -> ApiError {
    ApiError::new(
        "InvalidParameterValue",
        format!(
            "The destination CIDR block {block} is equal to or more specific than one of this VPC's CIDR blocks. This route can target only an interface or an instance."
        ),
    )
}

/// A subnet over another.
pub(crate) fn subnet_conflict(value: &str) -> ApiError {
    ApiError::new("InvalidSubnet.Conflict", format!("The CIDR '{value}' conflicts with another subnet"))
}

/// A group of another VPC than the subnet's.
pub(crate) fn group_of_other_vpc(id: &str, subnet: &str) -> ApiError {
    ApiError::new("InvalidParameter", format!("Security group {id} and subnet {subnet} belong to different networks."))
}

/// A subnet that is full. Source: what amazon-vpc-cni-k8s logs of EC2's answers.
pub(crate) fn no_free_address() -> ApiError {
    ApiError::new(
        "InsufficientFreeAddressesInSubnet",
        "The specified subnet does not have enough free addresses to satisfy the request.",
    )
}

/// An address that a subnet's interfaces cannot have.
pub(crate) fn not_in_subnet(ip: impl Display) -> ApiError {
    ApiError::new("InvalidParameterValue", format!("Address {ip} does not fall within the subnet's address range"))
}

/// An address that another interface has.
pub(crate) fn address_in_use(ip: impl Display) -> ApiError {
    ApiError::new("InvalidIPAddress.InUse", format!("Address {ip} is in use."))
}

/// More groups than an interface may have.
pub(crate) fn too_many_groups() -> ApiError {
    ApiError::new(
        "SecurityGroupsPerInterfaceLimitExceeded",
        "The maximum number of security groups per interface has been reached.",
    )
}

/// More private addresses than an interface may have.
pub(crate) fn too_many_private_ips() -> ApiError {
    ApiError::new("PrivateIpAddressLimitExceeded", "Number of private addresses will exceed limit.")
}

/// What belongs to a service, and is not its user's to change.
pub(crate) fn auth_failure() -> ApiError {
    ApiError::new("AuthFailure", "You do not have permission to access the specified resource.").with_status(403)
}

/// A change of nothing.
pub(crate) fn no_attributes() -> ApiError {
    invalid_combination("No attributes specified.")
}

/// Addresses to be taken from an interface that does not have them.
pub(crate) fn addresses_not_assigned(interface: &str) -> ApiError {
    ApiError::new(
        "InvalidParameterValue",
        format!("Some of the specified addresses are not assigned to interface {interface}"),
    )
}

/// More rules than a group may have.
pub(crate) fn too_many_rules() -> ApiError {
    ApiError::new(
        "RulesPerSecurityGroupLimitExceeded",
        "The maximum number of rules per security group has been reached.",
    )
}

/// More groups than a region may have.
pub(crate) fn too_many_security_groups(vpc: impl Display) -> ApiError {
    ApiError::new(
        "SecurityGroupLimitExceeded",
        format!("The maximum number of security groups for VPC '{vpc}' has been reached."),
    )
}

/// One permission twice in a request.
pub(crate) fn same_permission_twice() -> ApiError {
    ApiError::new("InvalidParameterValue", "The same permission must not appear multiple times")
}

/// What a rule's description may not be.
pub(crate) fn bad_rule_description() -> ApiError {
    ApiError::new(
        "InvalidParameterValue",
        "Invalid rule description. Valid descriptions are strings less than 256 characters from the following set:  a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*",
    )
}

/// A revocation of nothing.
pub(crate) fn no_permissions() -> ApiError {
    ApiError::new("MissingParameter", "Either 'ipPermissions' or 'securityGroupRuleIds' should be provided.")
}

/// A rule to be that has no peer, or more than one.
pub(crate) fn one_rule_type() -> ApiError {
    invalid_combination("Exactly one of CidrIpv4, CidrIpv6, PrefixListId and ReferencedGroupId must be specified.")
}

/// A rule that would change from blocks to groups, or the like.
pub(crate) fn rule_type_changed(id: &str) -> ApiError {
    ApiError::new("InvalidParameterValue", format!("You cannot change the type of the security group rule {id}."))
}

/// More entries in a request than one may have.
pub(crate) fn too_many_entries_in_request() -> ApiError {
    ApiError::new("InvalidParameterValue", "The number of entries per request cannot exceeds limit (100).")
}

/// More entries than the prefix list may have.
pub(crate) fn prefix_list_full() -> ApiError {
    ApiError::new("PrefixListMaxEntriesExceeded", "You've reached the maximum number of entries for the prefix list.")
}

/// An entry that stands already.
pub(crate) fn entry_exists(block: impl Display, description: &str) -> ApiError {
    ApiError::new(
        "InvalidPrefixListModification",
        format!("An entry with the CIDR ({block}) and description ({description}) already exists."),
    )
}

/// An entry that does not stand.
pub(crate) fn no_such_entry(block: impl Display) -> ApiError {
    ApiError::new("InvalidPrefixListModification", format!("The entry with the CIDR ({block}) does not exist."))
}

/// A change of entries and of their greatest number in one.
pub(crate) fn entries_and_size_at_once() -> ApiError {
    invalid_combination(
        "You cannot modify the entries and the maximum entries for the prefix list in the same request.",
    )
}

/// A change of another version than the one in force.
pub(crate) fn prefix_list_version() -> ApiError {
    ApiError::new("PrefixListVersionMismatch", "The prefix list has the incorrect version number.")
}

/// A version that the prefix list does not have.
pub(crate) fn no_such_version(version: i64) -> ApiError {
    ApiError::new("InvalidParameterValue", format!("The specified value for version is not valid: {version}."))
}

/// A change of a list of AWS's own.
pub(crate) fn prefix_list_of_aws(id: &str) -> ApiError {
    ApiError::new("UnsupportedOperation", format!("The prefix list '{id}' is managed by AWS."))
}

/// A step that a peering connection cannot take from where it is.
pub(crate) fn peering_transition(id: impl Display, from: &str, to: &str) -> ApiError {
    ApiError::new(
        "InvalidStateTransition",
        format!("Invalid state transition for {id}, attempted to transition from {from} to {to}"),
    )
}

/// A peering connection whose other side is to answer.
pub(crate) fn not_the_accepter(account: impl Display, what: &str, id: impl Display) -> ApiError {
    ApiError::new("OperationNotPermitted", format!("User {account} cannot {what} peering {id}"))
}

/// A peering connection that is to be answered in its accepter's region.
pub(crate) fn accepters_region(here: impl Display, what: &str, id: impl Display, there: impl Display) -> ApiError {
    ApiError::new(
        "OperationNotPermitted",
        format!(
            "Incorrect region ({here}) specified for this request. VPC peering connection {id} must be {what} in region {there}"
        ),
    )
}

/// Options of a peering connection through which nothing passes.
pub(crate) fn peering_not_active(id: impl Display) -> ApiError {
    ApiError::new(
        "OperationNotPermitted",
        format!("Peering {id} is not active. Peering options can be added only to active peerings."),
    )
}

/// A second connection of two VPCs.
pub(crate) fn peering_exists(id: impl Display) -> ApiError {
    ApiError::new(
        "VpcPeeringConnectionAlreadyExists",
        format!("A VPC peering connection already exists between these VPCs: {id}"),
    )
}

/// The pool of public addresses is used up.
pub(crate) fn no_public_address() -> ApiError {
    ApiError::new("InsufficientAddressCapacity", "Not enough available addresses to satisfy your request.")
}
