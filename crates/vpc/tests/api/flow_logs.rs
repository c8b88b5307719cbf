//! Flow logs: made, repeated, found, refused by name, deleted.

use crate::world::World;
use model::ec2;
use model::ec2::CreateFlowLogsRequest as Request;

const ROLE: &str = "arn:aws:iam::123456789012:role/flow-logs";

fn request(kind: &str, ids: &[&str]) -> ec2::CreateFlowLogsRequest {
    ec2::CreateFlowLogsRequest {
        resource_type: kind.to_owned(),
        resource_ids: ids.iter().map(ToString::to_string).collect(),
        traffic_type: Some("ALL".to_owned()),
        log_group_name: Some("flows".to_owned()),
        deliver_logs_permission_arn: Some(ROLE.to_owned()),
        ..Default::default()
    }
}

fn create(world: &World, input: ec2::CreateFlowLogsRequest) -> ec2::CreateFlowLogsResult {
    world.ok(world.handlers.create_flow_logs, input)
}

fn all(world: &World) -> Vec<ec2::FlowLog> {
    world.ok(world.handlers.describe_flow_logs, ec2::DescribeFlowLogsRequest::default()).flow_logs.unwrap_or_default()
}

#[test]
fn a_flow_log_is_made_for_each_resource_and_shown_with_aws_defaults() {
    let world = World::new();
    let vpc = world.vpc("10.0.0.0/16");
    let subnet = world.subnet(&vpc, "10.0.1.0/24");
    let interface = world.interface(&subnet);
    for (kind, id) in [("VPC", &vpc), ("Subnet", &subnet), ("NetworkInterface", &interface)] {
        let made = create(&world, request(kind, &[id]));
        assert_eq!(made.flow_log_ids.map(|ids| ids.len()), Some(1), "{kind}");
        assert_eq!(made.unsuccessful, Some(Vec::new()), "{kind}");
    }
    let shown = all(&world).into_iter().find(|row| row.resource_id.as_ref() == Some(&vpc)).expect("it is shown");
    assert!(shown.flow_log_id.is_some_and(|id| id.starts_with("fl-")));
    assert_eq!(shown.flow_log_status.as_deref(), Some("ACTIVE"));
    assert_eq!(shown.deliver_logs_status.as_deref(), Some("SUCCESS"));
    assert_eq!(shown.log_destination_type.as_deref(), Some("cloud-watch-logs"));
    assert_eq!((shown.max_aggregation_interval, shown.log_destination), (Some(600), None));
    assert_eq!(shown.log_format, Some(flowlog::Format::default().text()));
}

#[test]
fn traffic_is_of_a_type_that_there_is() {
    let world = World::new();
    let vpc = world.vpc("10.0.0.0/16");
    let input = ec2::CreateFlowLogsRequest { traffic_type: Some("foo".to_owned()), ..request("VPC", &[&vpc]) };
    assert_eq!(world.refused(world.handlers.create_flow_logs, input), "InvalidParameterValue");
}

#[test]
fn what_is_not_there_is_unsuccessful_and_the_rest_is_made() {
    let world = World::new();
    let vpc = world.vpc("10.0.0.0/16");
    let made = create(&world, request("VPC", &["vpc-0123456789abcdef0", &vpc]));
    assert_eq!(made.flow_log_ids.map(|ids| ids.len()), Some(1));
    let failed = made.unsuccessful.unwrap_or_default();
    let codes: Vec<_> = failed.iter().filter_map(|item| item.error.as_ref()?.code.clone()).collect();
    assert_eq!(codes, ["InvalidVpcID.NotFound"]);
    assert_eq!(failed[0].resource_id.as_deref(), Some("vpc-0123456789abcdef0"));
}

#[test]
fn a_second_one_of_the_same_kind_exists_already_and_a_repeated_request_is_the_same_one() {
    let world = World::new();
    let vpc = world.vpc("10.0.0.0/16");
    let with_token = || ec2::CreateFlowLogsRequest { client_token: Some("once".to_owned()), ..request("VPC", &[&vpc]) };
    let first = create(&world, with_token());
    assert_eq!(create(&world, with_token()), first);
    let other = ec2::CreateFlowLogsRequest { max_aggregation_interval: Some(60), ..with_token() };
    assert_eq!(world.refused(world.handlers.create_flow_logs, other), "IdempotentParameterMismatch");
    assert_eq!(world.refused(world.handlers.create_flow_logs, request("VPC", &[&vpc])), "FlowLogAlreadyExists");
    let rejected = ec2::CreateFlowLogsRequest { traffic_type: Some("REJECT".to_owned()), ..request("VPC", &[&vpc]) };
    create(&world, rejected);
    assert_eq!(all(&world).len(), 2);
}

#[test]
fn a_log_group_is_named_by_its_arn_too() {
    let world = World::new();
    let vpc = world.vpc("10.0.0.0/16");
    let by_arn = |arn: &str| ec2::CreateFlowLogsRequest {
        log_group_name: None,
        log_destination: Some(arn.to_owned()),
        ..request("VPC", &[&vpc])
    };
    let arn = "arn:aws:logs:us-east-1:123456789012:log-group:flows";
    create(&world, by_arn(&format!("{arn}:*")));
    let shown = all(&world).remove(0);
    assert_eq!(shown.log_group_name.as_deref(), Some("flows"));
    assert_eq!(shown.log_destination, Some(format!("{arn}:*")));
    for (wrong, code) in [
        ("flows", "InvalidParameter"),
        ("arn:aws:s3:::bucket", "InvalidParameter"),
        ("arn:aws:logs:us-east-1:123456789012:log-group:", "InvalidParameter"),
        ("arn:aws:logs:eu-west-1:123456789012:log-group:flows", "NotImplemented"),
    ] {
        assert_eq!(world.refused(world.handlers.create_flow_logs, by_arn(wrong)), code, "{wrong}");
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let world = World::new();
    let vpc = world.vpc("10.0.0.0/16");
    let base = || request("VPC", &[&vpc]);
    let some = |text: &str| Some(text.to_owned());
    for (what, input, code) in [
        ("no traffic type", Request { traffic_type: None, ..base() }, "MissingParameter"),
        ("no resources", Request { resource_ids: Vec::new(), ..base() }, "MissingParameter"),
        ("no log group", Request { log_group_name: None, ..base() }, "InvalidParameter"),
        ("no role", Request { deliver_logs_permission_arn: None, ..base() }, "InvalidParameter"),
        ("a role's name", Request { deliver_logs_permission_arn: some("flow-logs"), ..base() }, "InvalidParameter"),
        ("an interval", Request { max_aggregation_interval: Some(30), ..base() }, "InvalidParameter"),
        ("two destinations", Request { log_destination: some("arn:aws:s3:::b"), ..base() }, "InvalidParameter"),
        ("no fields", Request { log_format: some(" "), ..base() }, "InvalidParameter"),
        ("a wrong field", Request { log_format: some("${colour}"), ..base() }, "InvalidParameter"),
        ("a field not here", Request { log_format: some("${traffic-path}"), ..base() }, "NotImplemented"),
        ("S3", Request { log_destination_type: some("s3"), ..base() }, "NotImplemented"),
        ("Firehose", Request { log_destination_type: some("kinesis-data-firehose"), ..base() }, "NotImplemented"),
        ("a transit gateway", Request { resource_type: "TransitGateway".to_owned(), ..base() }, "NotImplemented"),
        ("another account", Request { deliver_cross_account_role: some(ROLE), ..base() }, "NotImplemented"),
        ("a dry run", Request { dry_run: Some(true), ..base() }, "DryRunOperation"),
    ] {
        assert_eq!(world.refused(world.handlers.create_flow_logs, input), code, "{what}");
    }
    assert!(all(&world).is_empty(), "nothing was made");
}

#[test]
fn they_are_found_by_filter_page_and_tag_and_deleted_once() {
    let world = World::new();
    let vpcs = ["10.0.0.0/16", "10.1.0.0/16", "10.2.0.0/16"].map(|block| world.vpc(block));
    let tagged = ec2::CreateFlowLogsRequest {
        tag_specifications: Some(vec![ec2::TagSpecification {
            resource_type: Some("vpc-flow-log".to_owned()),
            tags: Some(vec![ec2::Tag { key: Some("team".to_owned()), value: Some("net".to_owned()) }]),
        }]),
        ..request("VPC", &[&vpcs[0], &vpcs[1], &vpcs[2]])
    };
    let ids = create(&world, tagged).flow_log_ids.expect("three were made");
    let by = |name: &str, value: &str| {
        let filter = ec2::Filter { name: Some(name.to_owned()), values: Some(vec![value.to_owned()]) };
        ec2::DescribeFlowLogsRequest { filter: Some(vec![filter]), ..Default::default() }
    };
    let count = |input| world.ok(world.handlers.describe_flow_logs, input).flow_logs.unwrap_or_default().len();
    for (name, value, expected) in [
        ("resource-id", vpcs[1].as_str(), 1),
        ("flow-log-id", ids[0].as_str(), 1),
        ("traffic-type", "ALL", 3),
        ("traffic-type", "REJECT", 0),
        ("log-group-name", "fl*", 3),
        ("log-destination-type", "cloud-watch-logs", 3),
        ("deliver-log-status", "FAILED", 0),
        ("tag:team", "net", 3),
    ] {
        assert_eq!(count(by(name, value)), expected, "{name}={value}");
    }
    assert_eq!(world.refused(world.handlers.describe_flow_logs, by("colour", "red")), "InvalidParameterValue");
    let page = |next_token| ec2::DescribeFlowLogsRequest { max_results: Some(2), next_token, ..Default::default() };
    let first = world.ok(world.handlers.describe_flow_logs, page(None));
    assert_eq!(first.flow_logs.map(|rows| rows.len()), Some(2));
    assert_eq!(count(page(first.next_token)), 1);
    let named =
        |id: &str| ec2::DescribeFlowLogsRequest { flow_log_ids: Some(vec![id.to_owned()]), ..Default::default() };
    assert_eq!((count(named(&ids[0])), count(named("fl-0123456789abcdef0"))), (1, 0));

    let tags = ec2::DescribeTagsRequest::default();
    let tags = world.ok(world.handlers.describe_tags, tags).tags.unwrap_or_default();
    assert!(tags.iter().any(|tag| tag.resource_type.as_deref() == Some("vpc-flow-log")));

    let delete = || ec2::DeleteFlowLogsRequest { flow_log_ids: ids.clone(), ..Default::default() };
    assert_eq!(world.ok(world.handlers.delete_flow_logs, delete()).unsuccessful, Some(Vec::new()));
    let again = world.ok(world.handlers.delete_flow_logs, delete()).unsuccessful.unwrap_or_default();
    let codes: Vec<_> = again.iter().filter_map(|item| item.error.as_ref()?.code.as_deref()).collect();
    assert_eq!(codes, ["InvalidFlowLogId.NotFound"; 3]);
}
