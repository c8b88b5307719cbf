//! Values that AWS does not take, and that must not be kept as if it did.

use crate::world::World;
use model::ec2;

fn strings<const N: usize>(values: [&str; N]) -> Option<Vec<String>> {
    Some(values.map(str::to_owned).to_vec())
}

fn main_table(world: &World, vpc: &str) -> ec2::RouteTable {
    let filter = ec2::Filter { name: Some("vpc-id".to_owned()), values: strings([vpc]) };
    let input = ec2::DescribeRouteTablesRequest { filters: Some(vec![filter]), ..Default::default() };
    world.ok(world.handlers.describe_route_tables, input).route_tables.unwrap_or_default().remove(0)
}

#[test]
fn the_route_of_a_gateway_endpoint_goes_only_with_it() {
    let world = World::new();
    let vpc = world.vpc("10.0.0.0/16");
    let table = main_table(&world, &vpc).route_table_id.expect("it has an id");
    let input = ec2::CreateVpcEndpointRequest {
        vpc_endpoint_type: Some("Gateway".to_owned()),
        vpc_id: vpc.clone(),
        service_name: Some("com.amazonaws.us-east-1.s3".to_owned()),
        route_table_ids: strings([&table]),
        ..Default::default()
    };
    let endpoint = world.ok(world.handlers.create_vpc_endpoint, input).vpc_endpoint.and_then(|it| it.vpc_endpoint_id);
    let lists = || -> Vec<String> {
        let routes = main_table(&world, &vpc).routes.unwrap_or_default();
        routes.into_iter().filter_map(|route| route.destination_prefix_list_id).collect()
    };
    let before = lists();
    let [list] = &before[..] else { panic!("expected the endpoint's route, but: {before:?}") };
    let delete = ec2::DeleteRouteRequest {
        route_table_id: table.clone(),
        destination_prefix_list_id: Some(list.clone()),
        ..Default::default()
    };
    assert_eq!(world.refused(world.handlers.delete_route, delete), "InvalidParameterValue");
    assert_eq!(lists(), before);
    let delete =
        ec2::DeleteVpcEndpointsRequest { vpc_endpoint_ids: endpoint.into_iter().collect(), ..Default::default() };
    world.ok(world.handlers.delete_vpc_endpoints, delete);
    assert_eq!(lists(), Vec::<String>::new());
}

#[test]
fn an_address_needs_an_internet_gateway() {
    let world = World::new();
    let vpc = world.vpc("10.0.0.0/16");
    let interface = world.interface(&world.subnet(&vpc, "10.0.1.0/24"));
    let address = world.ok(world.handlers.allocate_address, ec2::AllocateAddressRequest::default());
    let associate = || ec2::AssociateAddressRequest {
        allocation_id: address.allocation_id.clone(),
        network_interface_id: Some(interface.clone()),
        ..Default::default()
    };
    let error = world.call(world.handlers.associate_address, associate()).expect_err("it is refused");
    assert_eq!(error.code, "Gateway.NotAttached");
    assert_eq!(error.message, format!("Network {vpc} is not attached to any internet gateway"));
    let gateway = world.ok(world.handlers.create_internet_gateway, ec2::CreateInternetGatewayRequest::default());
    let internet_gateway_id = gateway.internet_gateway.and_then(|row| row.internet_gateway_id).expect("it has an id");
    let attach = ec2::AttachInternetGatewayRequest { internet_gateway_id, vpc_id: vpc, ..Default::default() };
    world.ok(world.handlers.attach_internet_gateway, attach);
    world.ok(world.handlers.associate_address, associate());
}

#[test]
fn entries_of_acls_allow_or_deny_and_know_what_icmp_has() {
    let world = World::new();
    let vpc = world.vpc("10.0.0.0/16");
    let acl =
        world.ok(world.handlers.create_network_acl, ec2::CreateNetworkAclRequest { vpc_id: vpc, ..Default::default() });
    let acl = acl.network_acl.and_then(|acl| acl.network_acl_id).expect("it has an id");
    let entry = |number: i32, action: &str, kind: i32, code: i32| ec2::CreateNetworkAclEntryRequest {
        network_acl_id: acl.clone(),
        rule_number: number,
        protocol: "icmp".to_owned(),
        rule_action: action.to_owned(),
        cidr_block: Some("0.0.0.0/0".to_owned()),
        icmp_type_code: Some(ec2::IcmpTypeCode { type_: Some(kind), code: Some(code) }),
        ..Default::default()
    };
    for (action, kind, code) in [("foo", 8, 0), ("", 8, 0), ("Allow", 8, 0), ("deny", 300, 0), ("deny", 8, -7)] {
        let refused = world.refused(world.handlers.create_network_acl_entry, entry(100, action, kind, code));
        assert_eq!(refused, "InvalidParameterValue", "{action} {kind} {code}");
    }
    world.ok(world.handlers.create_network_acl_entry, entry(100, "allow", -1, -1));
    world.ok(world.handlers.create_network_acl_entry, entry(101, "deny", 255, 255));
}

#[test]
fn only_protocols_with_ports_show_them() {
    let world = World::new();
    let group = world.group(&world.vpc("10.0.0.0/16"), "tunnels");
    for (protocol, ports) in [("50", (0, 0)), ("tcp", (80, 80)), ("icmp", (8, 0))] {
        let permission = ec2::IpPermission {
            ip_protocol: Some(protocol.to_owned()),
            from_port: Some(ports.0),
            to_port: Some(ports.1),
            ip_ranges: Some(vec![ec2::IpRange { cidr_ip: Some("10.0.0.0/8".to_owned()), ..Default::default() }]),
            ..Default::default()
        };
        let input = ec2::AuthorizeSecurityGroupIngressRequest {
            group_id: Some(group.clone()),
            ip_permissions: Some(vec![permission]),
            ..Default::default()
        };
        world.ok(world.handlers.authorize_security_group_ingress, input);
    }
    let input = ec2::DescribeSecurityGroupsRequest { group_ids: strings([&group]), ..Default::default() };
    let found = world.ok(world.handlers.describe_security_groups, input).security_groups.unwrap_or_default().remove(0);
    let mut shown: Vec<_> = found
        .ip_permissions
        .into_iter()
        .flatten()
        .map(|it| (it.ip_protocol.unwrap_or_default(), it.from_port, it.to_port))
        .collect();
    shown.sort_unstable();
    let expected = [("50", None, None), ("icmp", Some(8), Some(0)), ("tcp", Some(80), Some(80))];
    assert_eq!(shown, expected.map(|(protocol, from, to)| (protocol.to_owned(), from, to)));
}

#[test]
fn a_vpc_has_a_tenancy_that_there_is_and_a_subnet_changes_in_one_thing_at_a_time() {
    let world = World::new();
    let input = ec2::CreateVpcRequest {
        cidr_block: Some("10.0.0.0/16".to_owned()),
        instance_tenancy: Some("foo".to_owned()),
        ..Default::default()
    };
    assert_eq!(world.refused(world.handlers.create_vpc, input), "InvalidParameterValue");
    let subnet_id = world.subnet(&world.vpc("10.0.0.0/16"), "10.0.1.0/24");
    let yes = || Some(ec2::AttributeBooleanValue { value: Some(true) });
    let nothing = ec2::ModifySubnetAttributeRequest { subnet_id, ..Default::default() };
    assert_eq!(world.refused(world.handlers.modify_subnet_attribute, nothing.clone()), "MissingParameter");
    let one = ec2::ModifySubnetAttributeRequest { map_public_ip_on_launch: yes(), ..nothing };
    let two = ec2::ModifySubnetAttributeRequest { enable_resource_name_dns_a_record_on_launch: yes(), ..one.clone() };
    assert_eq!(world.refused(world.handlers.modify_subnet_attribute, two), "InvalidParameterCombination");
    world.ok(world.handlers.modify_subnet_attribute, one);
}

#[test]
fn a_misspelt_filter_is_refused_whatever_else_is_asked() {
    let world = World::new();
    world.group(&world.vpc("10.0.0.0/16"), "empty");
    let filter = |name: &str, value: &str| ec2::Filter { name: Some(name.to_owned()), values: strings([value]) };
    let asked =
        |filters: Vec<ec2::Filter>| ec2::DescribeSecurityGroupsRequest { filters: Some(filters), ..Default::default() };
    for filters in [
        // No group has such a rule.
        vec![filter("ip-permission.form-port", "80")],
        vec![filter("egress.ip-permission.form-port", "80")],
        // No group has this name.
        vec![filter("group-name", "nobody"), filter("group-nmae", "empty")],
    ] {
        let refused = world.refused(world.handlers.describe_security_groups, asked(filters));
        assert_eq!(refused, "InvalidParameterValue");
    }
    let none = world.ok(world.handlers.describe_security_groups, asked(vec![filter("ip-permission.from-port", "80")]));
    assert_eq!(none.security_groups.unwrap_or_default().len(), 0);
}

/// Each of these operations with a misspelt filter, in a region that has nothing to filter.
#[test]
fn a_misspelt_filter_is_told_where_there_is_nothing() {
    let world = World::new();
    let misspelt = || Some(vec![ec2::Filter { name: Some("vpcid".to_owned()), values: strings(["vpc-0"]) }]);
    macro_rules! told {
        ($($operation:ident($input:ident { $filters:ident })),+ $(,)?) => {
            $(
                let input = ec2::$input { $filters: misspelt(), ..Default::default() };
                let error = world.call(world.handlers.$operation, input).expect_err(stringify!($operation));
                let told = (error.code.as_str(), error.message.as_str());
                assert_eq!(told, ("InvalidParameterValue", "The filter 'vpcid' is invalid"), stringify!($operation));
            )+
        };
    }
    told!(
        describe_addresses(DescribeAddressesRequest { filters }),
        describe_availability_zones(DescribeAvailabilityZonesRequest { filters }),
        describe_dhcp_options(DescribeDhcpOptionsRequest { filters }),
        describe_egress_only_internet_gateways(DescribeEgressOnlyInternetGatewaysRequest { filters }),
        describe_flow_logs(DescribeFlowLogsRequest { filter }),
        describe_instance_status(DescribeInstanceStatusRequest { filters }),
        describe_instances(DescribeInstancesRequest { filters }),
        describe_internet_gateways(DescribeInternetGatewaysRequest { filters }),
        describe_launch_templates(DescribeLaunchTemplatesRequest { filters }),
        describe_managed_prefix_lists(DescribeManagedPrefixListsRequest { filters }),
        describe_nat_gateways(DescribeNatGatewaysRequest { filter }),
        describe_network_acls(DescribeNetworkAclsRequest { filters }),
        describe_network_insights_analyses(DescribeNetworkInsightsAnalysesRequest { filters }),
        describe_network_insights_paths(DescribeNetworkInsightsPathsRequest { filters }),
        describe_network_interfaces(DescribeNetworkInterfacesRequest { filters }),
        describe_route_tables(DescribeRouteTablesRequest { filters }),
        describe_security_group_rules(DescribeSecurityGroupRulesRequest { filters }),
        describe_security_groups(DescribeSecurityGroupsRequest { filters }),
        describe_subnets(DescribeSubnetsRequest { filters }),
        describe_tags(DescribeTagsRequest { filters }),
        describe_vpc_endpoints(DescribeVpcEndpointsRequest { filters }),
        describe_vpc_peering_connections(DescribeVpcPeeringConnectionsRequest { filters }),
        describe_vpcs(DescribeVpcsRequest { filters }),
    );
}

#[test]
fn tables_acls_and_groups_are_found_by_what_their_rules_say() {
    let world = World::new();
    let vpc = world.vpc("10.0.0.0/16");
    let by = |name: &str, value: &str| {
        Some(vec![
            ec2::Filter { name: Some(name.to_owned()), values: strings([value]) },
            ec2::Filter { name: Some("vpc-id".to_owned()), values: strings([&vpc]) },
        ])
    };
    let acls = |name: &str, value: &str| {
        let input = ec2::DescribeNetworkAclsRequest { filters: by(name, value), ..Default::default() };
        world.ok(world.handlers.describe_network_acls, input).network_acls.unwrap_or_default()
    };
    let acl = acls("default", "true").remove(0).network_acl_id.expect("it has an id");
    world.ok(
        world.handlers.create_network_acl_entry,
        ec2::CreateNetworkAclEntryRequest {
            network_acl_id: acl.clone(),
            rule_number: 50,
            protocol: "6".to_owned(),
            rule_action: "deny".to_owned(),
            egress: false,
            cidr_block: Some("10.9.0.0/16".to_owned()),
            port_range: Some(ec2::PortRange { from: Some(22), to: Some(23) }),
            ..Default::default()
        },
    );
    world.ok(
        world.handlers.create_network_acl_entry,
        ec2::CreateNetworkAclEntryRequest {
            network_acl_id: acl,
            rule_number: 60,
            protocol: "1".to_owned(),
            rule_action: "deny".to_owned(),
            egress: false,
            cidr_block: Some("10.9.0.0/16".to_owned()),
            icmp_type_code: Some(ec2::IcmpTypeCode { type_: Some(8), code: Some(-1) }),
            ..Default::default()
        },
    );
    for (name, value, expected) in [
        ("entry.port-range.from", "22", 1),
        ("entry.port-range.to", "23", 1),
        ("entry.port-range.to", "22", 0),
        ("entry.icmp.type", "8", 1),
        ("entry.icmp.code", "-1", 1),
        ("entry.protocol", "tcp", 1),
        ("entry.protocol", "6", 1),
        ("entry.protocol", "udp", 0),
    ] {
        assert_eq!(acls(name, value).len(), expected, "{name}={value}");
    }
    let groups = |name: &str, value: &str| {
        let input = ec2::DescribeSecurityGroupsRequest { filters: by(name, value), ..Default::default() };
        world.ok(world.handlers.describe_security_groups, input).security_groups.unwrap_or_default().len()
    };
    // The default group lets its own members in.
    assert_eq!((groups("ip-permission.group-name", "default"), groups("ip-permission.group-name", "other")), (1, 0));
    assert_eq!((groups("ip-permission.user-id", "123456789012"), groups("egress.ip-permission.user-id", "*")), (1, 0));
    let tables = |name: &str, value: &str| {
        let input = ec2::DescribeRouteTablesRequest { filters: by(name, value), ..Default::default() };
        world.ok(world.handlers.describe_route_tables, input).route_tables.unwrap_or_default().len()
    };
    assert_eq!((tables("route.gateway-id", "local"), tables("route.vpc-peering-connection-id", "*")), (1, 0));
}
