//! Reachability Analyzer: paths and analyses, in AWS's codes.

use crate::world::World;
use model::ec2;

fn path(source: &str, destination: &str, port: i32) -> ec2::CreateNetworkInsightsPathRequest {
    ec2::CreateNetworkInsightsPathRequest {
        source: source.to_owned(),
        destination: Some(destination.to_owned()),
        protocol: "tcp".to_owned(),
        destination_port: Some(port),
        client_token: format!("{source}/{destination}/{port}"),
        ..Default::default()
    }
}

fn made(world: &World, input: ec2::CreateNetworkInsightsPathRequest) -> String {
    let answer = world.ok(world.handlers.create_network_insights_path, input);
    answer.network_insights_path.and_then(|path| path.network_insights_path_id).expect("a path has an id")
}

/// Starts an analysis of a path, and gives it as it is described afterwards.
fn analysed(world: &World, path: &str, token: &str) -> ec2::NetworkInsightsAnalysis {
    let input = ec2::StartNetworkInsightsAnalysisRequest {
        network_insights_path_id: path.to_owned(),
        client_token: token.to_owned(),
        ..Default::default()
    };
    let started = world.ok(world.handlers.start_network_insights_analysis, input).network_insights_analysis;
    let started = started.expect("an analysis is shown");
    let input = ec2::DescribeNetworkInsightsAnalysesRequest {
        network_insights_analysis_ids: started.network_insights_analysis_id.clone().map(|id| vec![id]),
        ..Default::default()
    };
    let described = world.ok(world.handlers.describe_network_insights_analyses, input).network_insights_analyses;
    let described = described.and_then(|found| found.into_iter().next()).expect("it is described");
    assert_eq!(described, started, "it is done when it has been started");
    assert_eq!(described.status.as_deref(), Some("succeeded"));
    described
}

/// The ids of components, by what they begin with.
fn kinds(components: Option<&Vec<ec2::PathComponent>>) -> Vec<String> {
    let ids = components.into_iter().flatten().filter_map(|found| found.component.as_ref()?.id.as_deref());
    ids.map(|id| id.split('-').next().unwrap_or_default().to_owned()).collect()
}

fn code(analysis: &ec2::NetworkInsightsAnalysis) -> Option<&str> {
    analysis.explanations.as_ref()?.first()?.explanation_code.as_deref()
}

#[test]
fn a_way_is_shown_by_its_components_both_ways() {
    let world = World::new();
    let vpc = world.vpc("10.0.0.0/16");
    let (a, b) = (world.subnet(&vpc, "10.0.1.0/24"), world.subnet(&vpc, "10.0.2.0/24"));
    let (a, b) = (world.task_interface(&a, "a"), world.task_interface(&b, "b"));
    let found = analysed(&world, &made(&world, path(&a, &b, 443)), "1");
    assert_eq!(found.network_path_found, Some(true));
    assert_eq!(kinds(found.forward_path_components.as_ref()), ["eni", "sg", "acl", "rtb", "acl", "sg", "eni"]);
    assert_eq!(kinds(found.return_path_components.as_ref()), ["sg", "acl", "rtb", "acl", "sg", "eni"]);
    let forward = found.forward_path_components.unwrap_or_default();
    let header = forward[0].outbound_header.clone().expect("the first component sends");
    assert_eq!(header.destination_addresses, Some(vec!["10.0.2.4/32".to_owned()]));
    assert_eq!(forward[3].route_table_route.as_ref().and_then(|route| route.gateway_id.as_deref()), Some("local"));
    let numbers: Vec<_> = forward.iter().filter_map(|component| component.sequence_number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn a_way_over_ipv6_is_asked_for_by_its_address() {
    let world = World::new();
    let associate = |vpc: &str| ec2::AssociateVpcCidrBlockRequest {
        vpc_id: vpc.to_owned(),
        amazon_provided_ipv6_cidr_block: Some(true),
        ..Default::default()
    };
    let vpc = world.vpc("10.0.0.0/16");
    world.ok(world.handlers.associate_vpc_cidr_block, associate(&vpc));
    let subnet = world.subnet(&vpc, "10.0.1.0/24");
    let block = world.ground.ipv6_blocks().next().expect("the first block is the first VPC's");
    let part = block.subnets(64).ok().and_then(|mut parts| parts.next()).expect("it has parts");
    let input = ec2::AssociateSubnetCidrBlockRequest {
        subnet_id: subnet.clone(),
        ipv6_cidr_block: Some(part.to_string()),
        ..Default::default()
    };
    world.ok(world.handlers.associate_subnet_cidr_block, input);
    let [a, b] = ["a", "b"].map(|name| world.task_interface(&subnet, name));
    let to = |ip: &str| ec2::CreateNetworkInsightsPathRequest {
        destination_ip: Some(ip.to_owned()),
        client_token: ip.to_owned(),
        ..path(&a, &b, 443)
    };
    let addresses: Vec<String> = [&a, &b]
        .map(|id| {
            let input = ec2::AssignIpv6AddressesRequest {
                network_interface_id: id.clone(),
                ipv6_address_count: Some(1),
                ..Default::default()
            };
            world.ok(world.handlers.assign_ipv6_addresses, input).assigned_ipv6_addresses.unwrap_or_default().remove(0)
        })
        .to_vec();
    // The default group lets its own members in and everything out, over IPv6 as well.
    let found = analysed(&world, &made(&world, to(&addresses[1])), "1");
    assert_eq!(found.network_path_found, Some(true), "{:?}", found.explanations);
    let header = found.forward_path_components.unwrap_or_default().remove(0).outbound_header.expect("it sends");
    assert_eq!(header.source_addresses, Some(vec![format!("{}/128", addresses[0])]));
    assert_eq!(header.destination_addresses, Some(vec![format!("{}/128", addresses[1])]));
    let outside = ec2::CreateNetworkInsightsPathRequest { destination: None, ..to("2001:db8::1") };
    assert_eq!(code(&analysed(&world, &made(&world, outside), "2")), Some("NO_ROUTE_TO_DESTINATION"));
    assert_eq!(world.refused(world.handlers.create_network_insights_path, to("3fff:::1")), "InvalidParameterValue");
}

#[test]
fn what_stops_packets_has_awss_codes() {
    let world = World::new();
    let vpc = world.vpc("10.0.0.0/16");
    let subnet = world.subnet(&vpc, "10.0.1.0/24");
    let (a, b) = (world.task_interface(&subnet, "a"), world.task_interface(&subnet, "b"));
    let closed = world.group(&vpc, "closed");
    let change = ec2::ModifyNetworkInterfaceAttributeRequest {
        network_interface_id: b.clone(),
        groups: Some(vec![closed.clone()]),
        ..Default::default()
    };
    world.ok(world.handlers.modify_network_interface_attribute, change);
    let to_b = made(&world, path(&a, &b, 443));
    let found = analysed(&world, &to_b, "1");
    assert_eq!((found.network_path_found, code(&found)), (Some(false), Some("ENI_SG_RULES_MISMATCH")));
    let explanation = found.explanations.unwrap_or_default().remove(0);
    assert_eq!(explanation.direction.as_deref(), Some("ingress"));
    let groups: Vec<_> = explanation.security_groups.unwrap_or_default().into_iter().filter_map(|sg| sg.id).collect();
    assert_eq!(groups, [closed]);
    assert!(found.forward_path_components.is_none(), "there is no way to show");

    // Out of the VPC: first there is no route, then no public address.
    let gateway = world.ok(world.handlers.create_internet_gateway, ec2::CreateInternetGatewayRequest::default());
    let gateway = gateway.internet_gateway.and_then(|row| row.internet_gateway_id).expect("it has an id");
    let attach = ec2::AttachInternetGatewayRequest {
        internet_gateway_id: gateway.clone(),
        vpc_id: vpc.clone(),
        ..Default::default()
    };
    world.ok(world.handlers.attach_internet_gateway, attach);
    let out = made(&world, path(&a, &gateway, 443));
    let found = analysed(&world, &out, "2");
    assert_eq!(code(&found), Some("NO_ROUTE_TO_DESTINATION"));
    let table = found.explanations.unwrap_or_default().remove(0).route_table.and_then(|table| table.id);
    let route = ec2::CreateRouteRequest {
        route_table_id: table.expect("the table is named"),
        destination_cidr_block: Some("0.0.0.0/0".to_owned()),
        gateway_id: Some(gateway.clone()),
        ..Default::default()
    };
    world.ok(world.handlers.create_route, route);
    assert_eq!(code(&analysed(&world, &out, "3")), Some("IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS"));
    let within = made(&world, path(&gateway, &a, 443));
    assert_eq!(code(&analysed(&world, &within, "4")), Some("IGW_PRIVATE_IP_ASSOCIATION_FOR_INGRESS"));

    // Any port will do where none is named; an analysis keeps what it found.
    let any = ec2::CreateNetworkInsightsPathRequest {
        destination_port: None,
        client_token: "any".to_owned(),
        ..path(&a, &b, 1)
    };
    let any = made(&world, any);
    let rule = ec2::AuthorizeSecurityGroupIngressRequest {
        group_id: world_group_of(&world, &b),
        ip_protocol: Some("tcp".to_owned()),
        from_port: Some(8443),
        to_port: Some(8443),
        cidr_ip: Some("10.0.0.0/8".to_owned()),
        ..Default::default()
    };
    world.ok(world.handlers.authorize_security_group_ingress, rule);
    let found = analysed(&world, &any, "5");
    assert_eq!(found.network_path_found, Some(true));
    let first = analysed(&world, &to_b, "1");
    assert_eq!(code(&first), Some("ENI_SG_RULES_MISMATCH"), "the token's analysis is the one of then");
}

fn world_group_of(world: &World, interface: &str) -> Option<String> {
    let view = world.store.view();
    let row = view.get::<vpc::rows::NetworkInterface>(&world.scope, interface).expect("the interface is there");
    row.groups.first().map(ToString::to_string)
}

#[test]
fn paths_are_kept_filtered_tagged_and_deleted_after_their_analyses() {
    let world = World::new();
    let vpc = world.vpc("10.0.0.0/16");
    let subnet = world.subnet(&vpc, "10.0.1.0/24");
    let (a, b) = (world.task_interface(&subnet, "a"), world.task_interface(&subnet, "b"));
    let id = made(&world, path(&a, &b, 80));
    assert_eq!(made(&world, path(&a, &b, 80)), id, "the same token is the same path");
    let other =
        ec2::CreateNetworkInsightsPathRequest { client_token: path(&a, &b, 80).client_token, ..path(&b, &a, 80) };
    let handlers = &world.handlers;
    assert_eq!(world.refused(handlers.create_network_insights_path, other), "IdempotentParameterMismatch");

    let tag = ec2::Tag { key: Some("Name".to_owned()), value: Some("web".to_owned()) };
    let tags = ec2::CreateTagsRequest { resources: vec![id.clone()], tags: vec![tag], ..Default::default() };
    world.ok(handlers.create_tags, tags);
    let described = |name: &str, value: &str| {
        let filter = ec2::Filter { name: Some(name.to_owned()), values: Some(vec![value.to_owned()]) };
        let input = ec2::DescribeNetworkInsightsPathsRequest { filters: Some(vec![filter]), ..Default::default() };
        world.ok(handlers.describe_network_insights_paths, input).network_insights_paths.unwrap_or_default()
    };
    assert_eq!(described("source", &b), []);
    let found = described("tag:Name", "web");
    let arn = found[0].destination_arn.as_deref().unwrap_or_default();
    assert_eq!(arn, format!("arn:aws:ec2:us-east-1:123456789012:network-interface/{b}"));

    let analysis = analysed(&world, &id, "1").network_insights_analysis_id.expect("it has an id");
    let delete = |id: &str| ec2::DeleteNetworkInsightsPathRequest {
        network_insights_path_id: id.to_owned(),
        ..Default::default()
    };
    assert_eq!(
        world.refused(handlers.delete_network_insights_path, delete(&id)),
        "AnalysisExistsForNetworkInsightsPath"
    );
    let gone =
        ec2::DeleteNetworkInsightsAnalysisRequest { network_insights_analysis_id: analysis, ..Default::default() };
    world.ok(handlers.delete_network_insights_analysis, gone.clone());
    assert_eq!(
        world.refused(handlers.delete_network_insights_analysis, gone),
        "InvalidNetworkInsightsAnalysisId.NotFound"
    );
    world.ok(handlers.delete_network_insights_path, delete(&id));
    assert_eq!(
        world.refused(handlers.delete_network_insights_path, delete(&id)),
        "InvalidNetworkInsightsPathId.NotFound"
    );
}

#[test]
fn ends_that_are_not_there_are_refused_by_name() {
    let world = World::new();
    let vpc = world.vpc("10.0.0.0/16");
    let subnet = world.subnet(&vpc, "10.0.1.0/24");
    let a = world.task_interface(&subnet, "a");
    let refused = |source: &str, destination: &str| {
        world.refused(world.handlers.create_network_insights_path, path(source, destination, 80))
    };
    assert_eq!(refused("eni-00000000000000000", &a), "InvalidNetworkInterfaceID.NotFound");
    assert_eq!(refused(&a, "i-00000000000000000"), "InvalidInstanceID.NotFound");
    assert_eq!(refused(&a, "tgw-00000000000000000"), "NotImplemented");
    assert_eq!(refused(&a, "nonsense"), "InvalidParameterValue");
    let nowhere = ec2::CreateNetworkInsightsPathRequest { destination: None, ..path(&a, "", 80) };
    assert_eq!(world.refused(world.handlers.create_network_insights_path, nowhere), "MissingParameter");
    let address = ec2::CreateNetworkInsightsPathRequest {
        destination: None,
        destination_ip: Some("10.0.1.200".to_owned()),
        ..path(&a, "", 80)
    };
    let found = analysed(&world, &made(&world, address), "1");
    assert_eq!(code(&found), Some("NO_POSSIBLE_DESTINATION"));
}
