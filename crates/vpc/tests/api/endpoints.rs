//! VPC endpoints and the services that they lead to.

use crate::world::{NOW, World};
use controller::Controller;
use model::ec2;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use types::SimClock;
use vpc::client_tokens::TokenKeeper;
use vpc::rows::ClientToken;

const S3: &str = "com.amazonaws.us-east-1.s3";
const LOGS: &str = "com.amazonaws.us-east-1.logs";

fn strings<const N: usize>(values: [&str; N]) -> Option<Vec<String>> {
    Some(values.map(str::to_owned).to_vec())
}

fn of_type(kind: &str, vpc: &str, service: &str) -> ec2::CreateVpcEndpointRequest {
    ec2::CreateVpcEndpointRequest {
        vpc_endpoint_type: Some(kind.to_owned()),
        vpc_id: vpc.to_owned(),
        service_name: Some(service.to_owned()),
        private_dns_enabled: Some(false),
        ..Default::default()
    }
}

impl World {
    fn endpoint(&self, input: ec2::CreateVpcEndpointRequest) -> ec2::VpcEndpoint {
        self.ok(self.handlers.create_vpc_endpoint, input).vpc_endpoint.expect("an endpoint is shown")
    }

    fn described(&self, id: &str) -> ec2::VpcEndpoint {
        let input = ec2::DescribeVpcEndpointsRequest { vpc_endpoint_ids: strings([id]), ..Default::default() };
        let found = self.ok(self.handlers.describe_vpc_endpoints, input).vpc_endpoints;
        found.into_iter().flatten().next().expect("the endpoint is there")
    }

    fn main_table(&self, vpc: &str) -> String {
        let filter = ec2::Filter { name: Some("vpc-id".to_owned()), values: strings([vpc]) };
        let input = ec2::DescribeRouteTablesRequest { filters: Some(vec![filter]), ..Default::default() };
        let tables = self.ok(self.handlers.describe_route_tables, input).route_tables;
        tables.into_iter().flatten().next().and_then(|table| table.route_table_id).expect("a VPC has a main table")
    }
}

fn change(id: &str) -> ec2::ModifyVpcEndpointRequest {
    ec2::ModifyVpcEndpointRequest { vpc_endpoint_id: id.to_owned(), ..Default::default() }
}

#[test]
fn a_policy_is_shown_as_it_was_written_and_must_be_one() {
    let world = World::new();
    let vpc = world.vpc("10.0.0.0/16");
    let policy = r#"{ "Statement": [{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"*"}] }"#;
    let with = |policy: &str| ec2::CreateVpcEndpointRequest {
        policy_document: Some(policy.to_owned()),
        ..of_type("Gateway", &vpc, S3)
    };
    for bad in ["", "{}", "no JSON", r#"{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#] {
        assert_eq!(world.refused(world.handlers.create_vpc_endpoint, with(bad)), "InvalidPolicyDocument", "{bad}");
    }
    assert_eq!(
        world.refused(world.handlers.create_vpc_endpoint, with(&format!("{policy}{}", " ".repeat(20_480)))),
        "InvalidPolicyDocument"
    );
    let id = world.endpoint(with(policy)).vpc_endpoint_id.expect("it has an id");
    assert_eq!(world.described(&id).policy_document.as_deref(), Some(policy));
    let reset = ec2::ModifyVpcEndpointRequest { reset_policy: Some(true), ..change(&id) };
    world.ok(world.handlers.modify_vpc_endpoint, reset);
    assert!(world.described(&id).policy_document.is_some_and(|text| text.contains(r#""Action":"*""#)));
    let broken = ec2::ModifyVpcEndpointRequest { policy_document: Some("{".to_owned()), ..change(&id) };
    assert_eq!(world.refused(world.handlers.modify_vpc_endpoint, broken), "InvalidPolicyDocument");
}

#[test]
fn what_is_for_another_type_of_endpoint_is_refused() {
    let world = World::new();
    let (vpc, other) = (world.vpc("10.0.0.0/16"), world.vpc("10.1.0.0/16"));
    let (subnet, table, foreign) =
        (world.subnet(&vpc, "10.0.0.0/24"), world.main_table(&vpc), world.main_table(&other));
    let group = world.group(&vpc, "doors");
    let gateway = of_type("Gateway", &vpc, S3);
    let interface = of_type("Interface", &vpc, LOGS);
    let tables = |id: &str| strings([id]);
    for input in [
        ec2::CreateVpcEndpointRequest { subnet_ids: strings([&subnet]), ..gateway.clone() },
        ec2::CreateVpcEndpointRequest { security_group_ids: strings([&group]), ..gateway.clone() },
        ec2::CreateVpcEndpointRequest { private_dns_enabled: Some(true), ..gateway.clone() },
        ec2::CreateVpcEndpointRequest { route_table_ids: tables(&foreign), ..gateway.clone() },
        ec2::CreateVpcEndpointRequest { route_table_ids: tables(&table), ..interface.clone() },
    ] {
        let shown = format!("{input:?}");
        assert_eq!(world.refused(world.handlers.create_vpc_endpoint, input), "InvalidParameter", "{shown}");
    }
    let input = ec2::CreateVpcEndpointRequest { subnet_ids: strings([&subnet]), ..interface };
    let id = world.endpoint(input).vpc_endpoint_id.expect("it has an id");
    let last = world.described(&id).groups.into_iter().flatten().filter_map(|group| group.group_id).collect();
    for input in [
        ec2::ModifyVpcEndpointRequest { add_route_table_ids: tables(&table), ..change(&id) },
        ec2::ModifyVpcEndpointRequest { remove_security_group_ids: Some(last), ..change(&id) },
    ] {
        let shown = format!("{input:?}");
        assert_eq!(world.refused(world.handlers.modify_vpc_endpoint, input), "InvalidParameter", "{shown}");
    }
    let input = ec2::ModifyVpcEndpointRequest { remove_subnet_ids: strings(["subnet-0"]), ..change(&id) };
    assert_eq!(world.refused(world.handlers.modify_vpc_endpoint, input), "InvalidSubnetID.NotFound");
}

#[test]
fn private_dns_of_s3_is_for_others_than_the_vpc_unless_it_is_told() {
    let world = World::new();
    let vpc = world.vpc("10.0.0.0/16");
    for attribute in [true, false] {
        let on = Some(ec2::AttributeBooleanValue { value: Some(true) });
        let input = ec2::ModifyVpcAttributeRequest {
            vpc_id: vpc.clone(),
            enable_dns_support: on.clone().filter(|_| attribute),
            enable_dns_hostnames: on.filter(|_| !attribute),
            ..Default::default()
        };
        world.ok(world.handlers.modify_vpc_attribute, input);
    }
    let with = |inbound: Option<bool>| ec2::CreateVpcEndpointRequest {
        private_dns_enabled: Some(true),
        dns_options: inbound.map(|inbound| ec2::DnsOptionsSpecification {
            private_dns_only_for_inbound_resolver_endpoint: Some(inbound),
            ..Default::default()
        }),
        ..of_type("Interface", &vpc, S3)
    };
    let found = |vpc: &str| {
        let view = world.store.view();
        let row = vpc::query::vpc(&view, &world.scope, vpc).expect("the VPC is there");
        vpc::query::private_dns_endpoint(&view, &world.scope, &row, "s3").map(|row| row.id.to_string())
    };
    for needs_gateway in [with(None), with(Some(true))] {
        assert_eq!(world.refused(world.handlers.create_vpc_endpoint, needs_gateway), "InvalidParameter");
    }
    let own = world.endpoint(with(Some(false)));
    let id = own.vpc_endpoint_id.expect("it has an id");
    assert_eq!(found(&vpc).as_ref(), Some(&id));
    let names: Vec<_> = own.dns_entries.into_iter().flatten().filter_map(|entry| entry.dns_name).collect();
    assert!(names[0].starts_with("*.vpce-") && names.contains(&"*.s3.us-east-1.amazonaws.com".to_owned()), "{names:?}");
    let options = |inbound| ec2::ModifyVpcEndpointRequest {
        dns_options: Some(ec2::DnsOptionsSpecification {
            private_dns_only_for_inbound_resolver_endpoint: Some(inbound),
            ..Default::default()
        }),
        ..change(&id)
    };
    assert_eq!(world.refused(world.handlers.modify_vpc_endpoint, options(true)), "InvalidParameter");
    let gateway = world.endpoint(of_type("Gateway", &vpc, S3)).vpc_endpoint_id.expect("it has an id");
    world.ok(world.handlers.modify_vpc_endpoint, options(true));
    assert_eq!(found(&vpc), None, "the VPC itself goes by the gateway endpoint");
    let input = ec2::ModifyVpcEndpointRequest { vpc_endpoint_id: gateway, ..options(true) };
    assert_eq!(world.refused(world.handlers.modify_vpc_endpoint, input), "InvalidParameter");
}

#[test]
fn an_endpoint_is_changed_in_place_and_goes_without_a_trace() {
    let world = World::new();
    let vpc = world.vpc("10.0.0.0/16");
    let (subnet, table) = (world.subnet(&vpc, "10.0.0.0/24"), world.main_table(&vpc));
    let group = world.group(&vpc, "doors");
    let gateway = world.endpoint(of_type("Gateway", &vpc, S3)).vpc_endpoint_id.expect("it has an id");
    let interface = world.endpoint(of_type("Interface", &vpc, LOGS)).vpc_endpoint_id.expect("it has an id");
    let routes = || {
        let input = ec2::DescribeRouteTablesRequest { route_table_ids: strings([&table]), ..Default::default() };
        let found = world.ok(world.handlers.describe_route_tables, input).route_tables.into_iter().flatten();
        found
            .flat_map(|table| table.routes.unwrap_or_default())
            .filter_map(|route| route.gateway_id)
            .collect::<Vec<_>>()
    };
    let add = ec2::ModifyVpcEndpointRequest { add_route_table_ids: strings([&table]), ..change(&gateway) };
    world.ok(world.handlers.modify_vpc_endpoint, add.clone());
    assert_eq!(routes(), ["local", gateway.as_str()]);
    assert_eq!(world.refused(world.handlers.modify_vpc_endpoint, add), "RouteAlreadyExists");
    let add = ec2::ModifyVpcEndpointRequest {
        add_subnet_ids: strings([&subnet]),
        add_security_group_ids: strings([&group, &group]),
        ..change(&interface)
    };
    world.ok(world.handlers.modify_vpc_endpoint, add);
    let shown = world.described(&interface);
    let groups: Vec<_> = shown.groups.iter().flatten().filter_map(|group| group.group_id.clone()).collect();
    assert_eq!((groups.len(), groups.contains(&group)), (2, true), "{groups:?}");
    let made = shown.network_interface_ids.unwrap_or_default();
    assert_eq!(made.len(), 1);
    let input = ec2::DeleteVpcEndpointsRequest {
        vpc_endpoint_ids: strings([&gateway, &interface, "vpce-0"]).expect("some"),
        ..Default::default()
    };
    let failed = world.ok(world.handlers.delete_vpc_endpoints, input).unsuccessful.unwrap_or_default();
    let failed: Vec<_> = failed.into_iter().filter_map(|item| item.resource_id).collect();
    assert_eq!(failed, ["vpce-0"]);
    assert_eq!(routes(), ["local"]);
    assert_eq!(world.network().gateway_endpoints.len(), 0);
    let input = ec2::DescribeNetworkInterfacesRequest { network_interface_ids: Some(made), ..Default::default() };
    assert_eq!(world.refused(world.handlers.describe_network_interfaces, input), "InvalidNetworkInterfaceID.NotFound");
}

#[test]
fn services_are_listed_by_name_type_and_page() {
    let world = World::new();
    let ask =
        |input: ec2::DescribeVpcEndpointServicesRequest| world.ok(world.handlers.describe_vpc_endpoint_services, input);
    let all = ask(ec2::DescribeVpcEndpointServicesRequest::default());
    let names = all.service_names.clone().unwrap_or_default();
    assert!(names.is_sorted() && names.contains(&S3.to_owned()) && names.contains(&LOGS.to_owned()), "{names:?}");
    let details = all.service_details.unwrap_or_default();
    let ids: BTreeSet<_> = details.iter().map(|service| service.service_id.clone()).collect();
    assert_eq!((ids.len(), details.len()), (names.len() + 1, names.len() + 1), "S3 has two types of endpoints");
    let (mut seen, mut token) = (Vec::new(), None);
    loop {
        let input =
            ec2::DescribeVpcEndpointServicesRequest { max_results: Some(4), next_token: token, ..Default::default() };
        let page = ask(input);
        seen.extend(page.service_details.into_iter().flatten().filter_map(|service| service.service_name));
        token = page.next_token;
        if token.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), details.len());
    seen.dedup();
    assert_eq!(seen, names);
    let filter = ec2::Filter { name: Some("service-type".to_owned()), values: strings(["Gateway"]) };
    let gateways = ask(ec2::DescribeVpcEndpointServicesRequest { filters: Some(vec![filter]), ..Default::default() });
    assert_eq!(gateways.service_names, strings(["com.amazonaws.us-east-1.dynamodb", S3]));
    let of = |name: &str| {
        let input = ec2::DescribeVpcEndpointServicesRequest { service_names: strings([name]), ..Default::default() };
        ask(input).service_details.unwrap_or_default().remove(0)
    };
    let (logs, dynamodb) = (of(LOGS), of("com.amazonaws.us-east-1.dynamodb"));
    assert_eq!(logs.private_dns_name.as_deref(), Some("logs.us-east-1.amazonaws.com"));
    assert_eq!(logs.base_endpoint_dns_names, strings(["logs.us-east-1.vpce.amazonaws.com"]));
    assert_eq!(
        (dynamodb.private_dns_name, dynamodb.base_endpoint_dns_names),
        (None, strings(["dynamodb.us-east-1.amazonaws.com"]))
    );
    let unknown = ec2::DescribeVpcEndpointServicesRequest {
        service_names: strings([S3, "com.amazonaws.us-east-1.nothing"]),
        ..Default::default()
    };
    assert_eq!(world.refused(world.handlers.describe_vpc_endpoint_services, unknown), "InvalidServiceName");
}

#[test]
fn prefix_lists_are_those_of_gateway_endpoints_and_cloudfronts() {
    let world = World::new();
    let ask = |input: ec2::DescribePrefixListsRequest| world.ok(world.handlers.describe_prefix_lists, input);
    let first = ask(ec2::DescribePrefixListsRequest { max_results: Some(2), ..Default::default() });
    assert!(first.next_token.is_some());
    let second = ask(ec2::DescribePrefixListsRequest {
        max_results: Some(1),
        next_token: first.next_token,
        ..Default::default()
    });
    let names = [first.prefix_lists, second.prefix_lists].into_iter().flatten().flatten();
    let names: BTreeSet<_> = names.filter_map(|list| list.prefix_list_name).collect();
    let cloudfront = "com.amazonaws.global.cloudfront.origin-facing";
    assert_eq!(names.into_iter().collect::<Vec<_>>(), [cloudfront, "com.amazonaws.us-east-1.dynamodb", S3]);
    assert_eq!(second.next_token, None);
    let unknown = ec2::DescribePrefixListsRequest { prefix_list_ids: strings(["pl-0"]), ..Default::default() };
    assert_eq!(world.refused(world.handlers.describe_prefix_lists, unknown), "InvalidPrefixListId.NotFound");
}

#[tokio::test]
async fn a_creation_with_its_client_token_is_done_once_a_day() {
    let world = World::new();
    let vpc = world.vpc("10.0.0.0/16");
    let with = |token: &str, tables: Option<Vec<String>>| ec2::CreateVpcEndpointRequest {
        client_token: Some(token.to_owned()),
        route_table_ids: tables,
        ..of_type("Gateway", &vpc, S3)
    };
    let first = world.endpoint(with("once", None));
    assert_eq!(world.endpoint(with("once", None)), first, "a repetition makes nothing");
    assert_ne!(world.endpoint(with("twice", None)).vpc_endpoint_id, first.vpc_endpoint_id);
    let other = with("once", Some(vec![world.main_table(&vpc)]));
    assert_eq!(world.refused(world.handlers.create_vpc_endpoint, other), "IdempotentParameterMismatch");
    let long = with(&"x".repeat(65), None);
    assert_eq!(world.refused(world.handlers.create_vpc_endpoint, long), "InvalidParameterValue");
    // The same token of another operation is another one.
    let table = ec2::CreateRouteTableRequest {
        vpc_id: vpc.clone(),
        client_token: Some("once".to_owned()),
        ..Default::default()
    };
    let made = [(); 2].map(|()| world.ok(world.handlers.create_route_table, table.clone()).route_table);
    assert_eq!(made[0], made[1]);

    let clock = SimClock::new(NOW);
    let keeper = TokenKeeper::new(world.store.clone(), Arc::new(clock.clone()));
    let kept = || world.store.view().scan_all::<ClientToken>().count();
    for (hours, left) in [(23, 3), (1, 0)] {
        clock.advance(Duration::from_hours(hours));
        for key in keeper.all_keys(&world.store.view()) {
            keeper.reconcile(&key).await.expect("it can be kept");
        }
        assert_eq!(kept(), left);
    }
    assert_ne!(world.endpoint(with("once", None)).vpc_endpoint_id, first.vpc_endpoint_id);
}
