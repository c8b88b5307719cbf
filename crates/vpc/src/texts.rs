//! AWS's words: the errors of this service, each with its code and text.
//!
//! Source: EC2 API reference, "Error codes for the Amazon EC2 API", and answers of the live API.

use crate::images::Image;
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
    launch_template_id_not_found(id) = "InvalidLaunchTemplateId.NotFound", "The specified launch template, with template ID {id}, does not exist.";
    launch_template_name_not_found(name) = "InvalidLaunchTemplateName.NotFoundException", "The specified launch template, with template name {name}, does not exist.";
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

/// A name that AWS keeps for its own lists.
pub(crate) fn reserved_prefix_list_name(reserved: &str) -> ApiError {
    let text = format!("The prefix list name cannot begin with ({reserved}).");
    ApiError::new("InvalidParameterValue", text)
}

/// An entry that is to come and to go at once.
pub(crate) fn entry_added_and_removed(cidr: &str) -> ApiError {
    let text = format!("Request cannot contain Cidr {cidr} in both AddPrefixListEntries and RemovePrefixListEntries");
    ApiError::new("InvalidParameterValue", text)
}

/// Why a prefix list could not be made larger. The text is not verified against AWS.
pub(crate) fn no_room_for_prefix_list(groups: &[String]) -> String {
    format!("The following VPC Security Group resources do not have sufficient capacity [{}]", groups.join(", "))
}

/// A route's interface is another VPC's. AWS names it so, not by its id.
pub(crate) fn route_elsewhere(table: &str, interface: &str) -> ApiError {
    let interface = interface.strip_prefix("eni-").unwrap_or(interface);
    let text = format!("route table {table} and interface interface-{interface} belong to different networks");
    ApiError::new("InvalidParameterValue", text)
}

/// An id that is none of a security group.
pub(crate) fn malformed_group_id(id: &str) -> ApiError {
    ApiError::new("InvalidGroupId.Malformed", format!("Invalid id: \"{id}\" (expecting \"sg-...\")"))
}

/// No security group of this id.
pub(crate) fn no_group(id: &str) -> ApiError {
    if id.starts_with("sg-") { group_not_found(id) } else { malformed_group_id(id) }
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

/// One of the five that AWS keeps of each subnet.
pub(crate) fn reserved_address(ip: impl Display) -> ApiError {
    ApiError::new("InvalidParameterValue", format!("Address {ip} is in subnet's reserved address range"))
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

/// An id that no instance can have.
pub(crate) fn malformed_instance(id: &str) -> ApiError {
    ApiError::new("InvalidInstanceID.Malformed", format!("Invalid id: \"{id}\""))
}

/// An id that no image can have.
pub(crate) fn malformed_image(id: &str) -> ApiError {
    ApiError::new("InvalidAMIID.Malformed", format!("Invalid id: \"{id}\" (expecting \"ami-...\")"))
}

/// An image that is not here. The second sentence is ours: it says which are.
pub(crate) fn image_not_found(id: &str, here: &[Image]) -> ApiError {
    let here: Vec<String> = here.iter().map(|image| format!("{} ({})", image.id, image.name)).collect();
    ApiError::new(
        "InvalidAMIID.NotFound",
        format!("The image id '[{id}]' does not exist. The images here are ECS-optimized ones: {}", here.join(", ")),
    )
}

/// A type of instances that is not known.
pub(crate) fn unknown_instance_type(name: &str) -> ApiError {
    ApiError::new("InvalidParameterValue", format!("Invalid value '{name}' for InstanceType."))
}

/// Types of instances that are to be described and are not known.
pub(crate) fn instance_types_not_found(names: &[&str]) -> ApiError {
    ApiError::new(
        "InvalidInstanceType",
        format!("The following supplied instance types do not exist: [{}]", names.join(", ")),
    )
}

/// An image for other processors than the type's.
pub(crate) fn other_architecture(of_type: &str, of_image: &str) -> ApiError {
    ApiError::new(
        "InvalidParameterValue",
        format!(
            "The architecture '{of_type}' of the specified instance type does not match the architecture '{of_image}' of the specified AMI. Specify an instance type and an AMI that have matching architectures, and try again. You can use 'describe-instance-types' or 'describe-images' to discover the architecture of the instance type or AMI."
        ),
    )
}

/// seen
pub(crate) fn user_data_not_base64() -> ApiError {
    ApiError::new("InvalidParameterValue", "Invalid BASE64 encoding of user data.")
}

/// seen
pub(crate) fn template_user_data_not_base64() -> ApiError {
    ApiError::new("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data.")
}

/// seen
pub(crate) fn user_data_too_long(most: usize) -> ApiError {
    ApiError::new("InvalidParameterValue", format!("User data is limited to {most} bytes"))
}

/// The instance that is to be in another zone than its subnet. Not verified against AWS.
pub(crate) fn zone_of_other_subnet(zone: &str, subnet: &str) -> ApiError {
    invalid_value(zone, "availabilityZone", &format!("The subnet '{subnet}' is in another availability zone."))
}

/// seen
pub(crate) fn interfaces_and(what: &str) -> ApiError {
    invalid_combination(&format!(
        "Network interfaces and an instance-level {what} may not be specified on the same request"
    ))
}

/// seen
pub(crate) fn public_address_of_several() -> ApiError {
    invalid_combination(
        "The associatePublicIPAddress parameter cannot be specified when launching with multiple network interfaces.",
    )
}

/// An instance for which no subnet is named, where there is no default VPC.
pub(crate) fn no_default_vpc_for_instances() -> ApiError {
    ApiError::new(
        "VPCIdNotSpecified",
        "No default VPC for this user. GroupName is only supported for EC2-Classic and default VPC.",
    )
}

/// The same where the default VPC has no default subnet there.
pub(crate) fn no_default_subnet(zone: Option<&str>) -> ApiError {
    let place = zone.map(|zone| format!(" in availability zone '{zone}'")).unwrap_or_default();
    ApiError::new("MissingInput", format!("No default subnet for this user{place}"))
}

/// How many instances are to be launched.
pub(crate) fn bad_count(count: i32) -> ApiError {
    invalid_value(count, "minCount", "It must be at least 1.")
}

/// More processors than an account may have in a region.
pub(crate) fn vcpu_quota(most: u32) -> ApiError {
    ApiError::new(
        "VcpuLimitExceeded",
        format!(
            "You have requested more vCPU capacity than your current vCPU limit of {most} allows for the instance bucket that the specified instance type belongs to. Please visit http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit."
        ),
    )
}

/// More interfaces than an instance type may have.
pub(crate) fn too_many_interfaces(count: usize, kind: &str) -> ApiError {
    ApiError::new("AttachmentLimitExceeded", format!("Interface count {count} exceeds the limit for {kind}"))
}

/// An interface that is attached already.
pub(crate) fn interface_in_use(id: &str) -> ApiError {
    ApiError::new("InvalidNetworkInterface.InUse", format!("Interface: [{id}] in use."))
}

/// The same where it is to be deleted.
pub(crate) fn interface_to_delete_in_use(id: &str) -> ApiError {
    ApiError::new("InvalidNetworkInterface.InUse", format!("Network interface '{id}' is currently in use."))
}

/// An interface of another zone or VPC than the instance's.
pub(crate) fn interface_elsewhere() -> ApiError {
    ApiError::new(
        "InvalidParameterCombination",
        "You may not attach a network interface to an instance if they are not in the same availability zone and VPC",
    )
}

/// A place of an instance's that has an interface. Not verified against AWS.
pub(crate) fn device_in_use(instance: &str, device: u8) -> ApiError {
    ApiError::new(
        "InvalidParameterValue",
        format!("Instance '{instance}' already has an interface attached at device index '{device}'."),
    )
}

/// seen
pub(crate) fn primary_stays() -> ApiError {
    ApiError::new(
        "OperationNotPermitted",
        "The network interface at device index 0 and networkCard index 0 cannot be detached.",
    )
}

/// What a service attached.
pub(crate) fn not_yours_to_detach(kind: &str) -> ApiError {
    ApiError::new("OperationNotPermitted", format!("You are not allowed to manage '{kind}' attachments."))
}

/// seen
pub(crate) fn termination_disabled(id: &str) -> ApiError {
    ApiError::new(
        "OperationNotPermitted",
        format!(
            "The instance '{id}' may not be terminated. Modify its 'disableApiTermination' instance attribute and try again."
        ),
    )
}

/// seen
pub(crate) fn stop_disabled(id: &str) -> ApiError {
    ApiError::new(
        "OperationNotPermitted",
        format!(
            "The instance '{id}' may not be stopped. Modify its 'disableApiStop' instance attribute and try again."
        ),
    )
}

/// seen
pub(crate) fn not_in_state_for(id: &str, what: &str) -> ApiError {
    ApiError::new(
        "IncorrectInstanceState",
        format!("The instance '{id}' is not in a state from which it can be {what}."),
    )
}

/// seen
pub(crate) fn not_running(id: &str) -> ApiError {
    ApiError::new("IncorrectInstanceState", format!("The instance '{id}' is not in the 'running' state."))
}

/// seen
pub(crate) fn not_stopped(id: &str) -> ApiError {
    ApiError::new("IncorrectInstanceState", format!("The instance '{id}' is not in the 'stopped' state."))
}

/// What a terminated instance cannot be asked for.
pub(crate) fn instance_is_over(id: &str) -> ApiError {
    ApiError::new("IncorrectInstanceState", format!("The instance '{id}' is not in a valid state for this operation."))
}

/// The reason of a state that a user asked for: code and message.
pub(crate) fn user_initiated() -> (String, String) {
    let code = "Client.UserInitiatedShutdown";
    (code.to_owned(), format!("{code}: User initiated shutdown"))
}

/// A launch template's name that is taken.
pub(crate) fn launch_template_exists() -> ApiError {
    ApiError::new("InvalidLaunchTemplateName.AlreadyExistsException", "Launch template name already in use.")
}

/// seen
pub(crate) fn bad_launch_template_name() -> ApiError {
    ApiError::new(
        "InvalidLaunchTemplateName.MalformedException",
        "Launch template name must be between 3 and 128 characters, and may contain letters, numbers, and the following characters: - ( ) . / _",
    )
}

/// seen
pub(crate) fn one_launch_template_name() -> ApiError {
    invalid_combination("You cannot specify both launch template name and ID.")
}

/// seen
pub(crate) fn launch_template_version_not_found(id: &str, version: &str) -> ApiError {
    ApiError::new(
        "InvalidLaunchTemplateId.VersionNotFound",
        format!("Could not find the specified version {version} for the launch template with ID {id}."),
    )
}

/// More versions than a launch template may have.
pub(crate) fn too_many_versions() -> ApiError {
    ApiError::new("VersionLimitExceeded", "The limit of versions of the launch template has been reached.")
}

/// The default version is no longer default before it goes.
pub(crate) fn default_version_stays(version: i64) -> String {
    format!("Cannot delete default version {version} of the launch template.")
}

/// An instance with several interfaces, one of which must be named. Source: EC2 API reference, AssociateAddress.
pub(crate) fn several_interfaces(id: &str) -> ApiError {
    ApiError::new(
        "InvalidInstanceID",
        format!(
            "There are multiple interfaces attached to instance '{id}'. Please specify an interface ID for the operation instead."
        ),
    )
}
