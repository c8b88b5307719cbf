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

fn failed<T: std::fmt::Debug>(outcome: Result<T, types::ApiError>) -> (String, String) {
    let error = outcome.expect_err("it is refused");
    (error.code, error.message)
}

fn says(code: &str, message: &str) -> (String, String) {
    (code.to_owned(), message.to_owned())
}

#[test]
fn a_route_stays_within_its_vpc_and_the_local_one_as_it_is() {
    let world = World::new();
    let (here, there) = (world.vpc("10.0.0.0/16"), world.vpc("10.1.0.0/16"));
    let foreign = world.interface(&world.subnet(&there, "10.1.0.0/24"));
    let table = main_table(&world, &here).route_table_id.expect("it has an id");
    let create = ec2::CreateRouteRequest {
        route_table_id: table.clone(),
        destination_cidr_block: Some("10.9.0.0/16".to_owned()),
        network_interface_id: Some(foreign.clone()),
        ..Default::default()
    };
    let other = foreign.replace("eni-", "interface-");
    let words = format!("route table {table} and interface {other} belong to different networks");
    assert_eq!(failed(world.call(world.handlers.create_route, create)), says("InvalidParameterValue", &words));
    let replace = ec2::ReplaceRouteRequest {
        route_table_id: table,
        destination_cidr_block: Some("10.0.0.0/16".to_owned()),
        network_interface_id: Some(world.interface(&world.subnet(&here, "10.0.0.0/24"))),
        ..Default::default()
    };
    let (code, text) = failed(world.call(world.handlers.replace_route, replace));
    assert!(code == "NotImplemented" && text.contains("local route"), "{code}: {text}");
}

#[test]
fn a_services_interface_takes_no_elastic_address() {
    let world = World::new();
    let vpc = world.vpc("10.0.0.0/16");
    let interface = world.service_interface(&world.subnet(&vpc, "10.0.0.0/24"), "node", "amazon-elb");
    let address = world.ok(world.handlers.allocate_address, ec2::AllocateAddressRequest::default());
    let associate = ec2::AssociateAddressRequest {
        allocation_id: address.allocation_id,
        network_interface_id: Some(interface),
        ..Default::default()
    };
    let words = "You do not have permission to access the specified resource.";
    assert_eq!(failed(world.call(world.handlers.associate_address, associate)), says("AuthFailure", words));
}

#[test]
fn prefix_lists_have_their_own_names_and_grow_as_their_groups_allow() {
    let world = World::new();
    let create = |name: &str| ec2::CreateManagedPrefixListRequest {
        prefix_list_name: name.to_owned(),
        address_family: "IPv4".to_owned(),
        max_entries: 3,
        ..Default::default()
    };
    let words = "The prefix list name cannot begin with (com.amazonaws., com.amazon., com.aws.).";
    for name in ["com.amazonaws.x", "com.amazon.x", "com.aws.x"] {
        let refused = failed(world.call(world.handlers.create_managed_prefix_list, create(name)));
        assert_eq!(refused, says("InvalidParameterValue", words), "{name}");
    }
    let made = world.ok(world.handlers.create_managed_prefix_list, create("com.amazonaws-x")).prefix_list;
    let list = made.and_then(|list| list.prefix_list_id).expect("it has an id");
    let modify = |max: Option<i32>| ec2::ModifyManagedPrefixListRequest {
        prefix_list_id: list.clone(),
        max_entries: max,
        ..Default::default()
    };
    let entry = |cidr: &str| ec2::AddPrefixListEntry { cidr: cidr.to_owned(), ..Default::default() };
    let both = ec2::ModifyManagedPrefixListRequest {
        add_entries: Some(vec![entry("10.1.0.0/16")]),
        remove_entries: Some(vec![ec2::RemovePrefixListEntry { cidr: "10.1.0.0/16".to_owned() }]),
        ..modify(None)
    };
    let words = "Request cannot contain Cidr 10.1.0.0/16 in both AddPrefixListEntries and RemovePrefixListEntries";
    let refused = failed(world.call(world.handlers.modify_managed_prefix_list, both));
    assert_eq!(refused, says("InvalidParameterValue", words));
    let group = world.group(&world.vpc("10.0.0.0/16"), "web");
    let rule = ec2::IpPermission {
        ip_protocol: Some("-1".to_owned()),
        prefix_list_ids: Some(vec![ec2::PrefixListId { prefix_list_id: Some(list.clone()), ..Default::default() }]),
        ..Default::default()
    };
    let authorize = ec2::AuthorizeSecurityGroupIngressRequest {
        group_id: Some(group.clone()),
        ip_permissions: Some(vec![rule]),
        ..Default::default()
    };
    world.ok(world.handlers.authorize_security_group_ingress, authorize);
    let shown = || {
        let input = ec2::DescribeManagedPrefixListsRequest { prefix_list_ids: strings([&list]), ..Default::default() };
        let mut found = world.ok(world.handlers.describe_managed_prefix_lists, input).prefix_lists.unwrap_or_default();
        let list = found.remove(0);
        (list.state.unwrap_or_default(), list.max_entries, list.state_message.is_some_and(|text| text.contains(&group)))
    };
    for (max, state, size, tells) in
        [(500, "modify-failed", 3, true), (60, "modify-complete", 60, false), (61, "modify-failed", 60, true)]
    {
        world.ok(world.handlers.modify_managed_prefix_list, modify(Some(max)));
        assert_eq!(shown(), (state.to_owned(), Some(size), tells), "{max}");
    }
}

#[test]
fn tags_are_told_of_everything_and_each_key_once() {
    let world = World::new();
    let vpc = world.vpc("10.0.0.0/16");
    let tag = |key: &str, value: &str| ec2::Tag { key: Some(key.to_owned()), value: Some(value.to_owned()) };
    let create =
        |tags: Vec<ec2::Tag>| ec2::CreateTagsRequest { resources: vec![vpc.clone()], tags, ..Default::default() };
    for tags in [vec![tag("a", "1"), tag("a", "2")], vec![tag("a\u{1}", "")], vec![tag("a", "\u{0}")]] {
        assert_eq!(world.refused(world.handlers.create_tags, create(tags)), "InvalidParameterValue");
    }
    let template = ec2::CreateLaunchTemplateRequest {
        launch_template_name: "web".to_owned(),
        tag_specifications: Some(vec![ec2::TagSpecification {
            resource_type: Some("launch-template".to_owned()),
            tags: Some(vec![tag("team", "net")]),
        }]),
        ..Default::default()
    };
    world.ok(world.handlers.create_launch_template, template);
    let filter = ec2::Filter { name: Some("resource-type".to_owned()), values: strings(["launch-template"]) };
    let input = ec2::DescribeTagsRequest { filters: Some(vec![filter]), ..Default::default() };
    let found = world.ok(world.handlers.describe_tags, input).tags.unwrap_or_default();
    assert_eq!(found.len(), 1);
}

#[test]
fn what_is_no_id_of_a_group_is_told_so() {
    let world = World::new();
    let input = ec2::DescribeSecurityGroupsRequest { group_ids: strings(["foo"]), ..Default::default() };
    let words = "Invalid id: \"foo\" (expecting \"sg-...\")";
    let refused = failed(world.call(world.handlers.describe_security_groups, input));
    assert_eq!(refused, says("InvalidGroupId.Malformed", words));
}

#[test]
fn a_gateway_endpoint_forgets_a_table_that_goes() {
    let world = World::new();
    let vpc = world.vpc("10.0.0.0/16");
    let input = ec2::CreateRouteTableRequest { vpc_id: vpc.clone(), ..Default::default() };
    let table = world.ok(world.handlers.create_route_table, input).route_table.and_then(|table| table.route_table_id);
    let table = table.expect("it has an id");
    let input = ec2::CreateVpcEndpointRequest {
        vpc_endpoint_type: Some("Gateway".to_owned()),
        vpc_id: vpc,
        service_name: Some("com.amazonaws.us-east-1.s3".to_owned()),
        route_table_ids: strings([&table]),
        ..Default::default()
    };
    world.ok(world.handlers.create_vpc_endpoint, input);
    let delete = ec2::DeleteRouteTableRequest { route_table_id: table, ..Default::default() };
    world.ok(world.handlers.delete_route_table, delete);
    let found = world.ok(world.handlers.describe_vpc_endpoints, ec2::DescribeVpcEndpointsRequest::default());
    assert_eq!(found.vpc_endpoints.unwrap_or_default()[0].route_table_ids, Some(vec![]));
}
