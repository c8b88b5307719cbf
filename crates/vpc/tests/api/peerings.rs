//! VPC peering connections: their life, who may do what, and the routes and rules that need them.

use crate::world::World;
use model::ec2;

const OTHER: &str = "210987654321";

fn ask(world: &World, vpc: &str, peer: &str, owner: Option<&str>) -> ec2::VpcPeeringConnection {
    let input = ec2::CreateVpcPeeringConnectionRequest {
        vpc_id: vpc.to_owned(),
        peer_vpc_id: Some(peer.to_owned()),
        peer_owner_id: owner.map(str::to_owned),
        ..Default::default()
    };
    world.ok(world.handlers.create_vpc_peering_connection, input).vpc_peering_connection.expect("a connection is told")
}

fn id_of(connection: &ec2::VpcPeeringConnection) -> String {
    connection.vpc_peering_connection_id.clone().expect("a connection has an id")
}

fn accept(id: &str) -> ec2::AcceptVpcPeeringConnectionRequest {
    ec2::AcceptVpcPeeringConnectionRequest { vpc_peering_connection_id: id.to_owned(), ..Default::default() }
}

fn delete(id: &str) -> ec2::DeleteVpcPeeringConnectionRequest {
    ec2::DeleteVpcPeeringConnectionRequest { vpc_peering_connection_id: id.to_owned(), ..Default::default() }
}

fn told(world: &World, id: &str) -> ec2::VpcPeeringConnection {
    let input = ec2::DescribeVpcPeeringConnectionsRequest {
        vpc_peering_connection_ids: Some(vec![id.to_owned()]),
        ..Default::default()
    };
    let found = world.ok(world.handlers.describe_vpc_peering_connections, input).vpc_peering_connections;
    found.unwrap_or_default().pop().expect("the connection is told")
}

fn status(connection: &ec2::VpcPeeringConnection) -> (String, String) {
    let status = connection.status.clone().expect("a connection has a status");
    (status.code.unwrap_or_default(), status.message.unwrap_or_default())
}

fn words(code: &str, message: &str) -> (String, String) {
    (code.to_owned(), message.to_owned())
}

/// Two VPCs of one account, and a connection that both agreed to.
fn connected(world: &World) -> (String, String, String) {
    let (ours, theirs) = (world.vpc("10.1.0.0/16"), world.vpc("10.2.0.0/16"));
    let id = id_of(&ask(world, &ours, &theirs, None));
    world.ok(world.handlers.accept_vpc_peering_connection, accept(&id));
    (ours, theirs, id)
}

#[test]
fn a_connection_is_asked_for_accepted_and_ended() {
    let world = World::new();
    let (ours, theirs) = (world.vpc("10.1.0.0/16"), world.vpc("10.2.0.0/16"));
    let asked = ask(&world, &ours, &theirs, None);
    assert_eq!(status(&asked), words("initiating-request", "Initiating Request to 123456789012"));
    let id = id_of(&asked);
    let pending = told(&world, &id);
    assert_eq!(status(&pending), words("pending-acceptance", "Pending Acceptance by 123456789012"));
    assert!(pending.expiration_time.is_some() && pending.accepter_vpc_info.unwrap().cidr_block.is_none());
    assert_eq!(id_of(&ask(&world, &ours, &theirs, None)), id, "expected one request however often it is made");

    let accepted = world.ok(world.handlers.accept_vpc_peering_connection, accept(&id)).vpc_peering_connection.unwrap();
    assert_eq!(status(&accepted), words("provisioning", "Provisioning"));
    let active = told(&world, &id);
    assert_eq!(status(&active), words("active", "Active"));
    let accepter = active.accepter_vpc_info.unwrap();
    assert_eq!(accepter.cidr_block.as_deref(), Some("10.2.0.0/16"));
    assert_eq!(accepter.peering_options.unwrap().allow_dns_resolution_from_remote_vpc, Some(false));

    let create = world.handlers.create_vpc_peering_connection;
    let back = ec2::CreateVpcPeeringConnectionRequest {
        vpc_id: theirs.clone(),
        peer_vpc_id: Some(ours.clone()),
        ..Default::default()
    };
    assert_eq!(world.refused(create, back), "VpcPeeringConnectionAlreadyExists");
    let gone = |vpc: &str| ec2::DeleteVpcRequest { vpc_id: vpc.to_owned(), ..Default::default() };
    assert_eq!(world.refused(world.handlers.delete_vpc, gone(&ours)), "DependencyViolation");

    world.ok(world.handlers.delete_vpc_peering_connection, delete(&id));
    assert_eq!(status(&told(&world, &id)), words("deleted", "Deleted by 123456789012"));
    let error = world.call(world.handlers.delete_vpc_peering_connection, delete(&id)).unwrap_err();
    assert_eq!(
        (error.code.as_str(), error.message),
        (
            "InvalidStateTransition",
            format!("Invalid state transition for {id}, attempted to transition from deleted to deleting")
        )
    );
    world.ok(world.handlers.delete_vpc, gone(&ours));
}

#[test]
fn blocks_in_common_fail_the_request() {
    let world = World::new();
    let (ours, theirs) = (world.vpc("10.1.0.0/16"), world.vpc("10.1.128.0/17"));
    let id = id_of(&ask(&world, &ours, &theirs, None));
    let failed = words("failed", "Failed due to incorrect VPC-ID, Account ID, or overlapping CIDR range");
    assert_eq!(status(&told(&world, &id)), failed);
    assert_eq!(world.refused(world.handlers.accept_vpc_peering_connection, accept(&id)), "InvalidStateTransition");
}

#[test]
fn each_account_does_its_own_part() {
    let world = World::new();
    let other = world.seen_from(OTHER, "us-east-1");
    let third = world.seen_from("333333333333", "us-east-1");
    let (ours, theirs) = (world.vpc("10.1.0.0/16"), other.vpc("10.2.0.0/16"));
    let id = id_of(&ask(&world, &ours, &theirs, Some(OTHER)));
    let handler = world.handlers.accept_vpc_peering_connection;
    let error = world.call(handler, accept(&id)).unwrap_err();
    assert_eq!(error.message, format!("User 123456789012 cannot accept peering {id}"));
    assert_eq!(third.refused(handler, accept(&id)), "InvalidVpcPeeringConnectionID.NotFound");
    let abroad = other.seen_from(OTHER, "eu-west-1");
    assert_eq!(abroad.refused(handler, accept(&id)), "InvalidVpcPeeringConnectionID.NotFound");
    assert_eq!(other.refused(world.handlers.delete_vpc_peering_connection, delete(&id)), "InvalidStateTransition");
    other.ok(handler, accept(&id));

    let tag = |value: &str| ec2::CreateTagsRequest {
        resources: vec![id.clone()],
        tags: vec![ec2::Tag { key: Some("Name".to_owned()), value: Some(value.to_owned()) }],
        ..Default::default()
    };
    world.ok(world.handlers.create_tags, tag("ours"));
    other.ok(world.handlers.create_tags, tag("theirs"));
    let name = |world: &World| told(world, &id).tags.unwrap_or_default().pop().and_then(|tag| tag.value);
    assert_eq!((name(&world).as_deref(), name(&other).as_deref()), (Some("ours"), Some("theirs")));

    let options = |requester: bool| {
        let allow = ec2::PeeringConnectionOptionsRequest {
            allow_dns_resolution_from_remote_vpc: Some(true),
            ..Default::default()
        };
        ec2::ModifyVpcPeeringConnectionOptionsRequest {
            vpc_peering_connection_id: id.clone(),
            requester_peering_connection_options: requester.then(|| allow.clone()),
            accepter_peering_connection_options: (!requester).then_some(allow),
            ..Default::default()
        }
    };
    let modify = world.handlers.modify_vpc_peering_connection_options;
    assert_eq!(world.refused(modify, options(false)), "OperationNotPermitted");
    world.ok(modify, options(true));
    let requester = told(&other, &id).requester_vpc_info.unwrap();
    assert_eq!(requester.peering_options.unwrap().allow_dns_resolution_from_remote_vpc, Some(true));
}

#[test]
fn routes_lead_to_an_active_connection() {
    let world = World::new();
    let (ours, theirs) = (world.vpc("10.1.0.0/16"), world.vpc("10.2.0.0/16"));
    let id = id_of(&ask(&world, &ours, &theirs, None));
    let table = main_table(&world, &ours);
    let route = ec2::CreateRouteRequest {
        route_table_id: table.route_table_id.clone().unwrap_or_default(),
        destination_cidr_block: Some("10.2.0.0/16".to_owned()),
        vpc_peering_connection_id: Some(id.clone()),
        ..Default::default()
    };
    world.ok(world.handlers.create_route, route.clone());
    let state = || {
        let routes = main_table(&world, &ours).routes.unwrap_or_default();
        let route = routes.into_iter().find(|route| route.vpc_peering_connection_id.as_ref() == Some(&id));
        route.and_then(|route| route.state).unwrap_or_default()
    };
    assert_eq!(state(), "blackhole");
    world.ok(world.handlers.accept_vpc_peering_connection, accept(&id));
    assert_eq!(state(), "active");
    world.ok(world.handlers.delete_vpc_peering_connection, delete(&id));
    assert_eq!(state(), "blackhole");

    let third = world.vpc("10.3.0.0/16");
    let other = id_of(&ask(&world, &theirs, &third, None));
    let foreign = ec2::CreateRouteRequest { vpc_peering_connection_id: Some(other), ..route };
    let foreign = ec2::CreateRouteRequest { destination_cidr_block: Some("10.3.0.0/16".to_owned()), ..foreign };
    assert_eq!(world.refused(world.handlers.create_route, foreign), "InvalidParameterValue");
}

fn main_table(world: &World, vpc: &str) -> ec2::RouteTable {
    let filter =
        |name: &str, value: &str| ec2::Filter { name: Some(name.to_owned()), values: Some(vec![value.to_owned()]) };
    let input = ec2::DescribeRouteTablesRequest {
        filters: Some(vec![filter("vpc-id", vpc), filter("association.main", "true")]),
        ..Default::default()
    };
    world.ok(world.handlers.describe_route_tables, input).route_tables.unwrap_or_default().pop().expect("a main table")
}

#[test]
fn rules_refer_to_groups_beyond_a_connection() {
    let world = World::new();
    let (ours, theirs, id) = connected(&world);
    let (group, peer) = (world.group(&ours, "db"), world.group(&theirs, "web"));
    let lonely = world.vpc("10.9.0.0/16");
    let unreachable = world.group(&lonely, "nobody");
    let allow = |from: &str| ec2::AuthorizeSecurityGroupIngressRequest {
        group_id: Some(group.clone()),
        ip_permissions: Some(vec![ec2::IpPermission {
            ip_protocol: Some("tcp".to_owned()),
            from_port: Some(5432),
            to_port: Some(5432),
            user_id_group_pairs: Some(vec![ec2::UserIdGroupPair {
                group_id: Some(from.to_owned()),
                ..Default::default()
            }]),
            ..Default::default()
        }]),
        ..Default::default()
    };
    let authorize = world.handlers.authorize_security_group_ingress;
    assert_eq!(world.refused(authorize, allow(&unreachable)), "InvalidGroup.NotFound");
    let made = world.ok(authorize, allow(&peer)).security_group_rules.unwrap_or_default().pop().expect("a rule");
    let referred = made.referenced_group_info.expect("the rule refers to a group");
    assert_eq!(
        (referred.vpc_id, referred.vpc_peering_connection_id, referred.peering_status),
        (Some(theirs.clone()), Some(id.clone()), Some("active".to_owned()))
    );

    let input = ec2::DescribeSecurityGroupReferencesRequest { group_id: vec![peer.clone()], ..Default::default() };
    let references = world.ok(world.handlers.describe_security_group_references, input).security_group_reference_set;
    let reference = references.unwrap_or_default().pop().expect("the other VPC's rule is told");
    assert_eq!(
        (reference.referencing_vpc_id, reference.vpc_peering_connection_id),
        (Some(ours.clone()), Some(id.clone()))
    );

    let stale = || {
        let input = ec2::DescribeStaleSecurityGroupsRequest { vpc_id: ours.clone(), ..Default::default() };
        world.ok(world.handlers.describe_stale_security_groups, input).stale_security_group_set.unwrap_or_default()
    };
    assert!(stale().is_empty());
    // What another VPC's rules refer to can be deleted: those rules are stale then.
    world.ok(
        world.handlers.delete_security_group,
        ec2::DeleteSecurityGroupRequest { group_id: Some(peer.clone()), ..Default::default() },
    );
    let stale = stale();
    let permission = stale[0].stale_ip_permissions.iter().flatten().next().expect("a stale permission");
    let pair = permission.user_id_group_pairs.iter().flatten().next().expect("a stale group");
    assert_eq!((pair.group_id.as_deref(), pair.vpc_id.as_deref()), (Some(peer.as_str()), Some(theirs.as_str())));
}
