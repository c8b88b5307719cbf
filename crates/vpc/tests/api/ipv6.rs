//! IPv6: blocks of VPCs and subnets, addresses of interfaces, and the ways that lead out.

use crate::world::World;
use model::ec2;

/// A VPC with a block that Amazon provides: its id, and the block.
fn dual_stack(world: &World) -> (String, String) {
    let input = ec2::CreateVpcRequest {
        cidr_block: Some("10.2.0.0/16".to_owned()),
        amazon_provided_ipv6_cidr_block: Some(true),
        ..Default::default()
    };
    let made = world.ok(world.handlers.create_vpc, input).vpc.expect("a VPC is made");
    let state =
        |one: &ec2::VpcIpv6CidrBlockAssociation| one.ipv6_cidr_block_state.clone().and_then(|state| state.state);
    let associations = made.ipv6_cidr_block_association_set.unwrap_or_default();
    assert_eq!(state(&associations[0]).as_deref(), Some("associating"));
    (made.vpc_id.expect("it has an id"), associations[0].ipv6_cidr_block.clone().expect("it has a block"))
}

fn shown_vpc(world: &World, vpc: &str) -> ec2::Vpc {
    let input = ec2::DescribeVpcsRequest { vpc_ids: Some(vec![vpc.to_owned()]), ..Default::default() };
    world.ok(world.handlers.describe_vpcs, input).vpcs.unwrap_or_default().remove(0)
}

/// The nth /64 of a VPC's block.
fn nth(block: &str, n: u8) -> String {
    let (start, _) = block.split_once("00::/56").expect("a block of a VPC");
    format!("{start}{n:02x}::/64")
}

fn subnet(world: &World, vpc: &str, ipv4: &str, ipv6: &str) -> Result<ec2::Subnet, types::ApiError> {
    let input = ec2::CreateSubnetRequest {
        vpc_id: vpc.to_owned(),
        cidr_block: Some(ipv4.to_owned()),
        ipv6_cidr_block: Some(ipv6.to_owned()),
        ..Default::default()
    };
    world.call(world.handlers.create_subnet, input).map(|made| made.subnet.expect("a subnet is made"))
}

fn subnet_id(world: &World, vpc: &str, ipv4: &str, ipv6: &str) -> String {
    subnet(world, vpc, ipv4, ipv6).expect("the blocks are free").subnet_id.expect("a subnet has an id")
}

fn assign_on_creation(subnet: &str, value: bool) -> ec2::ModifySubnetAttributeRequest {
    ec2::ModifySubnetAttributeRequest {
        subnet_id: subnet.to_owned(),
        assign_ipv6_address_on_creation: Some(ec2::AttributeBooleanValue { value: Some(value) }),
        ..Default::default()
    }
}

fn aaaa_records(subnet: &str) -> ec2::ModifySubnetAttributeRequest {
    ec2::ModifySubnetAttributeRequest {
        subnet_id: subnet.to_owned(),
        enable_resource_name_dns_aaaa_record_on_launch: Some(ec2::AttributeBooleanValue { value: Some(true) }),
        ..Default::default()
    }
}

fn interface(subnet: &str) -> ec2::CreateNetworkInterfaceRequest {
    ec2::CreateNetworkInterfaceRequest { subnet_id: subnet.to_owned(), ..Default::default() }
}

fn addresses(world: &World, input: ec2::CreateNetworkInterfaceRequest) -> (String, Vec<String>) {
    let made = world.ok(world.handlers.create_network_interface, input).network_interface.expect("it is made");
    let ips = made.ipv6_addresses.unwrap_or_default().into_iter().filter_map(|one| one.ipv6_address).collect();
    (made.network_interface_id.expect("it has an id"), ips)
}

#[test]
fn a_block_brings_the_rules_that_go_with_it() {
    let world = World::new();
    let (vpc, block) = dual_stack(&world);
    let part: ipnet::Ipv6Net = world.ground.ipv6_pool();
    assert!(part.contains(&block.parse::<ipnet::Ipv6Net>().expect("a block")), "{block}");
    let shown = shown_vpc(&world, &vpc);
    let association = shown.ipv6_cidr_block_association_set.unwrap_or_default().remove(0);
    assert_eq!(association.ipv6_cidr_block_state.and_then(|state| state.state).as_deref(), Some("associated"));
    assert_eq!(association.ipv6_pool.as_deref(), Some("Amazon"));
    let of_vpc = || Some(vec![ec2::Filter { name: Some("vpc-id".to_owned()), values: Some(vec![vpc.clone()]) }]);
    let input = ec2::DescribeNetworkAclsRequest { filters: of_vpc(), ..Default::default() };
    let acl = world.ok(world.handlers.describe_network_acls, input).network_acls.unwrap_or_default().remove(0);
    let of_ipv6: Vec<(i32, bool)> = acl
        .entries
        .iter()
        .flatten()
        .filter(|entry| entry.ipv6_cidr_block.as_deref() == Some("::/0"))
        .map(|entry| (entry.rule_number.unwrap_or_default(), entry.egress.unwrap_or_default()))
        .collect();
    assert_eq!(of_ipv6, [(101, true), (32768, true), (101, false), (32768, false)]);
    // New groups and the default one let everything out.
    world.group(&vpc, "web");
    let input = ec2::DescribeSecurityGroupsRequest { filters: of_vpc(), ..Default::default() };
    let groups = world.ok(world.handlers.describe_security_groups, input).security_groups.unwrap_or_default();
    assert_eq!(groups.len(), 2);
    for group in groups {
        let out = group.ip_permissions_egress.unwrap_or_default();
        let ranges: Vec<_> = out.iter().flat_map(|one| one.ipv6_ranges.iter().flatten()).collect();
        assert_eq!(ranges.first().and_then(|range| range.cidr_ipv6.as_deref()), Some("::/0"));
    }
    let input = ec2::DescribeRouteTablesRequest { filters: of_vpc(), ..Default::default() };
    let tables = world.ok(world.handlers.describe_route_tables, input).route_tables.unwrap_or_default();
    let local = tables[0].routes.iter().flatten().find(|route| route.destination_ipv6_cidr_block.is_some());
    let local = local.map(|route| (route.destination_ipv6_cidr_block.clone(), route.gateway_id.clone()));
    assert_eq!(local, Some((Some(block), Some("local".to_owned()))));
}

#[test]
fn a_default_acl_that_was_changed_is_left_as_it_is() {
    let world = World::new();
    let vpc = world.vpc("10.2.0.0/16");
    let of_vpc = Some(vec![ec2::Filter { name: Some("vpc-id".to_owned()), values: Some(vec![vpc.clone()]) }]);
    let describe = ec2::DescribeNetworkAclsRequest { filters: of_vpc, ..Default::default() };
    let acls = world.ok(world.handlers.describe_network_acls, describe.clone()).network_acls.unwrap_or_default();
    assert!(acls[0].entries.iter().flatten().all(|entry| entry.ipv6_cidr_block.is_none()), "the VPC has no IPv6");
    let id = acls[0].network_acl_id.clone().unwrap_or_default();
    let gone = ec2::DeleteNetworkAclEntryRequest { network_acl_id: id, rule_number: 100, egress: false, dry_run: None };
    world.ok(world.handlers.delete_network_acl_entry, gone);
    let associate = ec2::AssociateVpcCidrBlockRequest {
        vpc_id: vpc,
        amazon_provided_ipv6_cidr_block: Some(true),
        ..Default::default()
    };
    world.ok(world.handlers.associate_vpc_cidr_block, associate);
    let acls = world.ok(world.handlers.describe_network_acls, describe).network_acls.unwrap_or_default();
    let new = acls[0].entries.iter().flatten().filter(|entry| entry.rule_number == Some(101));
    assert_eq!(new.filter_map(|entry| entry.egress).collect::<Vec<_>>(), [true]);
}

#[test]
fn every_vpc_has_a_block_of_its_own_and_gives_it_back() {
    let world = World::new();
    let away = world.seen_from("210987654321", "eu-west-1");
    let blocks = [dual_stack(&world), dual_stack(&away), dual_stack(&world)];
    let distinct: std::collections::BTreeSet<&String> = blocks.iter().map(|(_, block)| block).collect();
    assert_eq!(distinct.len(), 3);
    let (vpc, block) = &blocks[0];
    let subnet_id = subnet_id(&world, vpc, "10.2.1.0/24", &nth(block, 1));
    let association = shown_vpc(&world, vpc).ipv6_cidr_block_association_set.unwrap_or_default().remove(0);
    let association_id = association.association_id.unwrap_or_default();
    let disassociate = || ec2::DisassociateVpcCidrBlockRequest { association_id: association_id.clone() };
    let handler = world.handlers.disassociate_vpc_cidr_block;
    assert_eq!(world.refused(handler, disassociate()), "InvalidCidrBlock.InUse");
    let input = ec2::DescribeSubnetsRequest { subnet_ids: Some(vec![subnet_id.clone()]), ..Default::default() };
    let shown = world.ok(world.handlers.describe_subnets, input).subnets.unwrap_or_default().remove(0);
    let of_subnet = shown.ipv6_cidr_block_association_set.unwrap_or_default().remove(0);
    let of_subnet = of_subnet.association_id.unwrap_or_default();
    let disassociate_subnet = || ec2::DisassociateSubnetCidrBlockRequest { association_id: of_subnet.clone() };
    world.ok(world.handlers.modify_subnet_attribute, assign_on_creation(&subnet_id, true));
    let subnet_handler = world.handlers.disassociate_subnet_cidr_block;
    assert_eq!(world.refused(subnet_handler, disassociate_subnet()), "InvalidCidrBlock.InUse");
    let (id, ips) = addresses(&world, interface(&subnet_id));
    world.ok(world.handlers.modify_subnet_attribute, assign_on_creation(&subnet_id, false));
    assert_eq!(world.refused(subnet_handler, disassociate_subnet()), "InvalidCidrBlock.InUse");
    let unassign =
        ec2::UnassignIpv6AddressesRequest { network_interface_id: id, ipv6_addresses: Some(ips), ipv6_prefixes: None };
    world.ok(world.handlers.unassign_ipv6_addresses, unassign);
    world.ok(subnet_handler, disassociate_subnet());
    assert_eq!(world.refused(subnet_handler, disassociate_subnet()), "InvalidSubnetCidrBlockAssociationID.NotFound");
    world.ok(handler, disassociate());
    assert_eq!(world.refused(handler, disassociate()), "InvalidVpcCidrBlockAssociationID.NotFound");
    assert_eq!(&dual_stack(&world).1, block, "what was given back is given again");
}

#[test]
fn blocks_of_subnets_lie_in_the_vpc_and_apart() {
    let world = World::new();
    let (vpc, block) = dual_stack(&world);
    subnet_id(&world, &vpc, "10.2.1.0/24", &nth(&block, 1));
    let wide = block.replace("/56", "/60");
    for (ipv6, expected) in [
        (nth(&block, 1), "InvalidSubnet.Conflict"),
        (wide, "InvalidSubnet.Conflict"),
        (nth(&block, 2).replace("/64", "/65"), "InvalidParameterValue"),
        ("fd00::/64".to_owned(), "InvalidSubnet.Range"),
        ("fd00::/64/64".to_owned(), "InvalidParameterValue"),
        ("10.2.3.0/24".to_owned(), "InvalidParameterValue"),
        (nth(&block, 2), "success"),
    ] {
        let outcome = subnet(&world, &vpc, "10.2.2.0/24", &ipv6);
        assert_eq!(outcome.map_or_else(|error| error.code, |_| "success".to_owned()), expected, "{ipv6}");
    }
    let plain = world.subnet(&vpc, "10.2.3.0/24");
    let input = || ec2::AssociateSubnetCidrBlockRequest {
        subnet_id: plain.clone(),
        ipv6_cidr_block: Some(nth(&block, 3)),
        ..Default::default()
    };
    for needs_block in [assign_on_creation(&plain, true), aaaa_records(&plain)] {
        assert_eq!(world.refused(world.handlers.modify_subnet_attribute, needs_block), "InvalidParameterValue");
    }
    world.ok(world.handlers.associate_subnet_cidr_block, input());
    world.ok(world.handlers.modify_subnet_attribute, assign_on_creation(&plain, true));
    world.ok(world.handlers.modify_subnet_attribute, aaaa_records(&plain));
    let found = ec2::DescribeSubnetsRequest {
        filters: Some(vec![ec2::Filter {
            name: Some("ipv6-cidr-block-association.ipv6-cidr-block".to_owned()),
            values: Some(vec![nth(&block, 3)]),
        }]),
        ..Default::default()
    };
    let found = world.ok(world.handlers.describe_subnets, found).subnets.unwrap_or_default();
    assert_eq!(found.first().and_then(|subnet| subnet.assign_ipv6_address_on_creation), Some(true));
    let names = found.first().and_then(|subnet| subnet.private_dns_name_options_on_launch.clone());
    assert_eq!(names.and_then(|names| names.enable_resource_name_dns_aaaa_record), Some(true));
    let further = ec2::AssociateSubnetCidrBlockRequest { ipv6_cidr_block: Some(nth(&block, 4)), ..input() };
    assert_eq!(world.refused(world.handlers.associate_subnet_cidr_block, further), "CidrLimitExceeded");
}

#[test]
fn interfaces_have_the_addresses_that_were_asked_for() {
    let world = World::new();
    let (vpc, block) = dual_stack(&world);
    let of_subnet = nth(&block, 1);
    let start = of_subnet.trim_end_matches("/64").to_owned();
    let subnet = subnet_id(&world, &vpc, "10.2.1.0/24", &of_subnet);
    assert_eq!(addresses(&world, interface(&subnet)).1, Vec::<String>::new());
    world.ok(world.handlers.modify_subnet_attribute, assign_on_creation(&subnet, true));
    let (first, given) = addresses(&world, interface(&subnet));
    assert_eq!(given, [format!("{start}4")], "AWS keeps the first four");
    let chosen = |ip: &str| ec2::CreateNetworkInterfaceRequest {
        ipv6_addresses: Some(vec![ec2::InstanceIpv6Address {
            ipv6_address: Some(ip.to_owned()),
            is_primary_ipv6: None,
        }]),
        ..interface(&subnet)
    };
    assert_eq!(addresses(&world, chosen(&format!("{start}beef"))).1, [format!("{start}beef")]);
    for (ip, expected) in [
        (format!("{start}beef"), "InvalidIPAddress.InUse"),
        (format!("{start}3"), "InvalidParameterValue"),
        (format!("{start}ffff:ffff:ffff:ffff").replace("::", ":"), "InvalidParameterValue"),
        ("fd00::9".to_owned(), "InvalidParameterValue"),
        ("10.2.1.9".to_owned(), "InvalidParameterValue"),
    ] {
        assert_eq!(world.refused(world.handlers.create_network_interface, chosen(&ip)), expected, "{ip}");
    }
    let assign = |count| ec2::AssignIpv6AddressesRequest {
        network_interface_id: first.clone(),
        ipv6_address_count: Some(count),
        ..Default::default()
    };
    let answer = world.ok(world.handlers.assign_ipv6_addresses, assign(2));
    assert_eq!(answer.assigned_ipv6_addresses.unwrap_or_default(), [format!("{start}5"), format!("{start}6")]);
    assert_eq!(world.refused(world.handlers.assign_ipv6_addresses, assign(48)), "Ipv6AddressLimitExceeded");
    assert_eq!(world.refused(world.handlers.assign_ipv6_addresses, assign(i32::MAX)), "Ipv6AddressLimitExceeded");
    assert_eq!(world.refused(world.handlers.assign_ipv6_addresses, assign(-1)), "InvalidParameterValue");
    let filter =
        ec2::Filter { name: Some("ipv6-addresses.ipv6-address".to_owned()), values: Some(vec![format!("{start}6")]) };
    let input = ec2::DescribeNetworkInterfacesRequest { filters: Some(vec![filter]), ..Default::default() };
    let found = world.ok(world.handlers.describe_network_interfaces, input).network_interfaces.unwrap_or_default();
    assert_eq!(found.first().and_then(|found| found.ipv6_address.as_deref()), Some(format!("{start}4").as_str()));
    let plain = world.subnet(&vpc, "10.2.9.0/24");
    let without = ec2::CreateNetworkInterfaceRequest { ipv6_address_count: Some(1), ..interface(&plain) };
    assert_eq!(world.refused(world.handlers.create_network_interface, without), "InvalidParameterValue");
}

#[test]
fn an_egress_only_gateway_is_its_vpcs_and_the_target_of_ipv6_routes() {
    let world = World::new();
    let (vpc, block) = dual_stack(&world);
    let create =
        |vpc: &str| ec2::CreateEgressOnlyInternetGatewayRequest { vpc_id: vpc.to_owned(), ..Default::default() };
    let handler = world.handlers.create_egress_only_internet_gateway;
    let made = world.ok(handler, create(&vpc)).egress_only_internet_gateway.expect("it is made");
    let gateway = made.egress_only_internet_gateway_id.expect("it has an id");
    assert_eq!(world.refused(handler, create(&vpc)), "GatewayLimitExceeded");
    let table = ec2::CreateRouteTableRequest { vpc_id: vpc.clone(), ..Default::default() };
    let table = world.ok(world.handlers.create_route_table, table).route_table.and_then(|table| table.route_table_id);
    let table = table.expect("a table has an id");
    let route = |ipv4: Option<&str>, ipv6: Option<&str>| ec2::CreateRouteRequest {
        route_table_id: table.clone(),
        destination_cidr_block: ipv4.map(str::to_owned),
        destination_ipv6_cidr_block: ipv6.map(str::to_owned),
        egress_only_internet_gateway_id: Some(gateway.clone()),
        ..Default::default()
    };
    let creates = world.handlers.create_route;
    assert_eq!(world.refused(creates, route(Some("0.0.0.0/0"), None)), "InvalidParameterValue");
    assert_eq!(world.refused(creates, route(Some("0.0.0.0/0"), Some("::/0"))), "InvalidParameterCombination");
    assert_eq!(world.refused(creates, route(None, Some(&block))), "RouteAlreadyExists");
    world.ok(creates, route(None, Some("::/0")));
    let state = || {
        let input =
            ec2::DescribeRouteTablesRequest { route_table_ids: Some(vec![table.clone()]), ..Default::default() };
        let tables = world.ok(world.handlers.describe_route_tables, input).route_tables.unwrap_or_default();
        let routes = tables[0].routes.clone().unwrap_or_default();
        let found = routes.into_iter().find(|route| route.egress_only_internet_gateway_id.is_some());
        found.and_then(|route| route.state).unwrap_or_default()
    };
    assert_eq!(state(), "active");
    assert_eq!(
        world.refused(world.handlers.delete_vpc, ec2::DeleteVpcRequest { vpc_id: vpc, dry_run: None }),
        "DependencyViolation"
    );
    let delete = || ec2::DeleteEgressOnlyInternetGatewayRequest {
        egress_only_internet_gateway_id: gateway.clone(),
        dry_run: None,
    };
    world.ok(world.handlers.delete_egress_only_internet_gateway, delete());
    assert_eq!(state(), "blackhole");
    assert_eq!(
        world.refused(world.handlers.delete_egress_only_internet_gateway, delete()),
        "InvalidGatewayID.NotFound"
    );
    let gone = ec2::DeleteRouteRequest {
        route_table_id: table.clone(),
        destination_ipv6_cidr_block: Some("::/0".to_owned()),
        ..Default::default()
    };
    world.ok(world.handlers.delete_route, gone);
    assert_eq!(state(), "");
}

#[test]
fn a_machine_without_ipv6_says_so() {
    let mut world = World::new();
    world.without_ipv6();
    let input = ec2::CreateVpcRequest {
        cidr_block: Some("10.2.0.0/16".to_owned()),
        amazon_provided_ipv6_cidr_block: Some(true),
        ..Default::default()
    };
    assert_eq!(world.refused(world.handlers.create_vpc, input), "UnsupportedOperation");
}
