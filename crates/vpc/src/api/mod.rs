//! Requests to rows. One file a resource; [`describe`] and [`tags`] are what all of them share.

mod address;
mod describe;
mod dhcp_options;
mod egress_only_internet_gateway;
mod endpoint;
mod endpoint_service;
mod flow_log;
mod image;
mod insights;
mod instance;
mod instance_attribute;
mod instance_type;
mod interface;
mod interface_attachment;
mod interface_ipv6;
mod internet_gateway;
mod launch_template;
mod nat_gateway;
mod network_acl;
mod peering;
mod prefix_list;
mod region;
mod route;
mod route_table;
mod rule;
mod rule_change;
mod security_group;
mod subnet;
mod subnet_cidr;
mod tags;
mod vpc;
mod vpc_cidr;

pub(crate) use interface::private_ips as wanted_private_ips;
pub(crate) use interface_ipv6::wanted as wanted_ipv6;
pub(crate) use route::leads;
pub(crate) use subnet::zone_id;
pub(crate) use tags::of_kinds as tags_of_kinds;

use crate::intent::PublicPool;
use crate::texts;
use gateway::Context;
use model::ec2;
use types::ApiError;

/// What the handlers need besides the context.
#[derive(Debug, Clone)]
pub struct Ec2 {
    /// Where public addresses come from.
    pub pool: PublicPool,
    /// Where the network stands on the host.
    pub ground: netplan::Ground,
}

/// A handler whose request may have a client token.
macro_rules! once {
    ($action:literal, $handler:path) => {
        |service, cx, input| {
            // A dry run uses no token up.
            let token = input.client_token.clone().filter(|_| input.dry_run != Some(true));
            crate::client_tokens::once(service, cx, input, ($action, token), $handler)
        }
    };
}

/// The handlers of the EC2 API.
pub fn handlers() -> ec2::Handlers<Ec2, Context> {
    ec2::Handlers {
        accept_vpc_peering_connection: peering::accept,
        allocate_address: address::allocate,
        associate_address: address::associate,
        associate_dhcp_options: dhcp_options::associate,
        associate_route_table: route_table::associate,
        assign_ipv6_addresses: interface_ipv6::assign,
        assign_private_ip_addresses: interface::assign_private_ips,
        associate_subnet_cidr_block: subnet_cidr::associate,
        associate_vpc_cidr_block: vpc_cidr::associate,
        attach_internet_gateway: internet_gateway::attach,
        attach_network_interface: interface_attachment::attach,
        authorize_security_group_egress: rule::authorize_egress,
        authorize_security_group_ingress: rule::authorize_ingress,
        create_default_subnet: subnet::create_default,
        create_default_vpc: vpc::create_default,
        create_dhcp_options: dhcp_options::create,
        create_egress_only_internet_gateway: egress_only_internet_gateway::create,
        create_flow_logs: flow_log::create,
        create_internet_gateway: internet_gateway::create,
        create_launch_template: once!("CreateLaunchTemplate", launch_template::create),
        create_launch_template_version: once!("CreateLaunchTemplateVersion", launch_template::create_version),
        create_managed_prefix_list: once!("CreateManagedPrefixList", prefix_list::create),
        create_nat_gateway: once!("CreateNatGateway", nat_gateway::create),
        create_network_acl: once!("CreateNetworkAcl", network_acl::create),
        create_network_acl_entry: network_acl::create_entry,
        create_network_insights_path: insights::create_path,
        create_network_interface: once!("CreateNetworkInterface", interface::create),
        create_route: route::create,
        create_route_table: once!("CreateRouteTable", route_table::create),
        create_security_group: security_group::create,
        create_subnet: subnet::create,
        create_tags: tags::create,
        create_vpc: vpc::create,
        create_vpc_endpoint: once!("CreateVpcEndpoint", endpoint::create),
        create_vpc_peering_connection: peering::create,
        delete_dhcp_options: dhcp_options::delete,
        delete_egress_only_internet_gateway: egress_only_internet_gateway::delete,
        delete_flow_logs: flow_log::delete,
        delete_internet_gateway: internet_gateway::delete,
        delete_launch_template: launch_template::delete,
        delete_launch_template_versions: launch_template::delete_versions,
        delete_managed_prefix_list: prefix_list::delete,
        delete_nat_gateway: nat_gateway::delete,
        delete_network_acl: network_acl::delete,
        delete_network_acl_entry: network_acl::delete_entry,
        delete_network_insights_analysis: insights::delete_analysis,
        delete_network_insights_path: insights::delete_path,
        delete_network_interface: interface::delete,
        delete_route: route::delete,
        delete_route_table: route_table::delete,
        delete_security_group: security_group::delete,
        delete_subnet: subnet::delete,
        delete_tags: tags::delete,
        delete_vpc: vpc::delete,
        delete_vpc_endpoints: endpoint::delete,
        delete_vpc_peering_connection: peering::delete,
        describe_account_attributes: region::account_attributes,
        describe_addresses: address::describe,
        describe_addresses_attribute: address::describe_attribute,
        describe_availability_zones: region::availability_zones,
        describe_dhcp_options: dhcp_options::describe,
        describe_egress_only_internet_gateways: egress_only_internet_gateway::describe,
        describe_flow_logs: flow_log::describe,
        describe_images: image::describe,
        describe_instance_attribute: instance_attribute::describe,
        describe_instance_credit_specifications: instance_attribute::describe_credits,
        describe_instance_status: instance::describe_status,
        describe_instance_type_offerings: instance_type::describe_offerings,
        describe_instance_types: instance_type::describe,
        describe_instances: instance::describe,
        describe_internet_gateways: internet_gateway::describe,
        describe_launch_template_versions: launch_template::describe_versions,
        describe_launch_templates: launch_template::describe,
        describe_managed_prefix_lists: prefix_list::describe,
        describe_nat_gateways: nat_gateway::describe,
        describe_network_acls: network_acl::describe,
        describe_network_insights_analyses: insights::describe_analyses,
        describe_network_insights_paths: insights::describe_paths,
        describe_network_interface_attribute: interface::describe_attribute,
        describe_network_interfaces: interface::describe,
        describe_prefix_lists: endpoint_service::describe_prefix_lists,
        describe_regions: region::regions,
        describe_route_tables: route_table::describe,
        describe_security_group_references: security_group::references,
        describe_security_group_rules: rule::describe,
        describe_security_groups: security_group::describe,
        describe_stale_security_groups: security_group::stale,
        describe_subnets: subnet::describe,
        describe_tags: tags::describe,
        describe_vpc_attribute: vpc::describe_attribute,
        describe_vpc_endpoint_services: endpoint_service::describe_services,
        describe_vpc_endpoints: endpoint::describe,
        describe_vpc_peering_connections: peering::describe,
        describe_vpcs: vpc::describe,
        detach_internet_gateway: internet_gateway::detach,
        detach_network_interface: interface_attachment::detach,
        disassociate_address: address::disassociate,
        disassociate_route_table: route_table::disassociate,
        disassociate_subnet_cidr_block: subnet_cidr::disassociate,
        disassociate_vpc_cidr_block: vpc_cidr::disassociate,
        get_managed_prefix_list_associations: prefix_list::associations,
        get_managed_prefix_list_entries: prefix_list::entries,
        get_security_groups_for_vpc: security_group::for_vpc,
        modify_instance_attribute: instance_attribute::modify,
        modify_instance_metadata_options: instance_attribute::modify_metadata,
        modify_launch_template: launch_template::modify,
        modify_managed_prefix_list: prefix_list::modify,
        modify_network_interface_attribute: interface::modify_attribute,
        modify_security_group_rules: rule_change::modify,
        modify_subnet_attribute: subnet::modify_attribute,
        modify_vpc_attribute: vpc::modify_attribute,
        modify_vpc_endpoint: endpoint::modify,
        modify_vpc_peering_connection_options: peering::modify_options,
        modify_vpc_tenancy: vpc::modify_tenancy,
        reboot_instances: instance::reboot,
        reject_vpc_peering_connection: peering::reject,
        release_address: address::release,
        replace_network_acl_association: network_acl::replace_association,
        replace_network_acl_entry: network_acl::replace_entry,
        replace_route: route::replace,
        replace_route_table_association: route_table::replace_association,
        reset_network_interface_attribute: interface::reset_attribute,
        restore_managed_prefix_list_version: prefix_list::restore_version,
        revoke_security_group_egress: rule::revoke_egress,
        revoke_security_group_ingress: rule::revoke_ingress,
        run_instances: once!("RunInstances", instance::run),
        start_instances: instance::start,
        start_network_insights_analysis: insights::start,
        stop_instances: instance::stop,
        terminate_instances: instance::terminate,
        unassign_ipv6_addresses: interface_ipv6::unassign,
        unassign_private_ip_addresses: interface::unassign_private_ips,
        update_security_group_rule_descriptions_egress: rule_change::describe_egress,
        update_security_group_rule_descriptions_ingress: rule_change::describe_ingress,
    }
}

/// What every handler does first: a region that nobody has used gets its default VPC, and a dry run ends here.
fn begin(cx: &mut Context, dry_run: Option<bool>) -> Result<(), ApiError> {
    vpc::ensure_region(cx);
    if dry_run == Some(true) { Err(texts::dry_run()) } else { Ok(()) }
}

/// Refuses a parameter that is given and not implemented.
fn refuse(given: bool, what: &str) -> Result<(), ApiError> {
    if given { Err(ApiError::not_implemented(what)) } else { Ok(()) }
}
