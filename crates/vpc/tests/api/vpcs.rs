//! VPCs: their further blocks, and the default ones.

use crate::world::World;
use model::ec2;

fn associate(vpc: &str, block: &str) -> ec2::AssociateVpcCidrBlockRequest {
    ec2::AssociateVpcCidrBlockRequest {
        vpc_id: vpc.to_owned(),
        cidr_block: Some(block.to_owned()),
        ..Default::default()
    }
}

fn added(world: &World, vpc: &str, block: &str) -> String {
    let answer = world.ok(world.handlers.associate_vpc_cidr_block, associate(vpc, block));
    answer.cidr_block_association.and_then(|made| made.association_id).expect("an association has an id")
}

fn disassociate(id: &str) -> ec2::DisassociateVpcCidrBlockRequest {
    ec2::DisassociateVpcCidrBlockRequest { association_id: id.to_owned() }
}

fn shown(world: &World, filter: &str, value: &str) -> Vec<ec2::Vpc> {
    let filter = ec2::Filter { name: Some(filter.to_owned()), values: Some(vec![value.to_owned()]) };
    let input = ec2::DescribeVpcsRequest { filters: Some(vec![filter]), ..Default::default() };
    world.ok(world.handlers.describe_vpcs, input).vpcs.unwrap_or_default()
}

#[test]
fn blocks_that_no_network_may_have_are_refused() {
    let world = World::new();
    let vpc = world.vpc("10.2.0.0/16");
    for block in ["127.0.0.0/16", "0.0.0.0/16", "224.0.0.0/16", "169.254.0.0/16", "255.255.0.0/16", "10.0.0.0/8"] {
        let input = ec2::CreateVpcRequest { cidr_block: Some(block.to_owned()), ..Default::default() };
        assert_eq!(world.refused(world.handlers.create_vpc, input), "InvalidVpc.Range", "{block}");
        let further = associate(&vpc, block);
        assert_eq!(world.refused(world.handlers.associate_vpc_cidr_block, further), "InvalidVpc.Range", "{block}");
    }
}

#[test]
fn a_further_block_has_subnets_and_stands_in_the_plan() {
    let world = World::new();
    let vpc = world.vpc("10.2.0.0/16");
    let id = added(&world, &vpc, "100.64.0.0/16");
    let found = shown(&world, "cidr-block-association.association-id", &id);
    let [found] = &found[..] else { panic!("one VPC has that association") };
    let blocks: Vec<_> =
        found.cidr_block_association_set.iter().flatten().filter_map(|one| one.cidr_block.as_deref()).collect();
    assert_eq!(blocks, ["10.2.0.0/16", "100.64.0.0/16"]);
    let subnet = world.subnet(&vpc, "100.64.1.0/24");
    world.task_interface(&subnet, "task-1");
    assert_eq!(world.network().vpcs[0].cidrs.len(), 2);
    assert!(netplan::compile(&world.network()).omitted.is_empty());
    let handler = world.handlers.disassociate_vpc_cidr_block;
    assert_eq!(world.refused(handler, disassociate(&id)), "InvalidCidrBlock.InUse");
    let primary = found.cidr_block_association_set.iter().flatten().next().and_then(|one| one.association_id.clone());
    assert_eq!(world.refused(handler, disassociate(&primary.unwrap_or_default())), "OperationNotPermitted");
    let other = added(&world, &vpc, "10.3.0.0/16");
    world.ok(handler, disassociate(&other));
    assert_eq!(world.refused(handler, disassociate(&other)), "InvalidVpcCidrBlockAssociationID.NotFound");
}

#[test]
fn each_block_has_a_local_route() {
    let world = World::new();
    let vpc = world.vpc("10.2.0.0/16");
    added(&world, &vpc, "10.3.0.0/16");
    let filter = ec2::Filter { name: Some("vpc-id".to_owned()), values: Some(vec![vpc]) };
    let input = ec2::DescribeRouteTablesRequest { filters: Some(vec![filter]), ..Default::default() };
    let tables = world.ok(world.handlers.describe_route_tables, input).route_tables.unwrap_or_default();
    let local = tables[0].routes.iter().flatten().filter(|route| route.gateway_id.as_deref() == Some("local"));
    assert_eq!(local.count(), 2);
}

#[test]
fn blocks_that_do_not_go_together_are_refused() {
    let world = World::new();
    let handler = world.handlers.associate_vpc_cidr_block;
    for (primary, new, expected) in [
        ("10.2.0.0/16", "10.2.1.0/24", "CidrConflict"),
        ("10.2.0.0/16", "172.16.0.0/16", "InvalidVpc.Range"),
        ("10.2.0.0/16", "198.19.0.0/16", "InvalidVpc.Range"),
        ("10.1.0.0/16", "10.0.0.0/16", "InvalidVpc.Range"),
        ("172.16.0.0/16", "172.31.0.0/16", "InvalidVpc.Range"),
        ("192.168.0.0/16", "10.0.0.0/16", "InvalidVpc.Range"),
        ("100.64.0.0/16", "10.0.0.0/16", "InvalidVpc.Range"),
        ("10.2.0.0/16", "10.3.0.0/15", "InvalidVpc.Range"),
        ("10.2.0.0/16", "10.300.0.0/16", "InvalidParameterValue"),
        ("10.2.0.0/16", "100.64.0.0/16", "success"),
        ("10.2.0.0/16", "203.0.112.0/20", "success"),
    ] {
        assert_eq!(world.refused(handler, associate(&world.vpc(primary), new)), expected, "{primary} with {new}");
    }
    let vpc = world.vpc("10.2.0.0/16");
    for block in ["10.3.0.0/16", "10.4.0.0/16", "10.5.0.0/16", "10.6.0.0/16"] {
        added(&world, &vpc, block);
    }
    assert_eq!(world.refused(handler, associate(&vpc, "10.7.0.0/16")), "CidrLimitExceeded");
}

/// Deletes the default VPC with all that it came with, and tells its subnets' number.
fn delete_default(world: &World) -> usize {
    let vpc = shown(world, "is-default", "true").remove(0).vpc_id.unwrap_or_default();
    let filter = || {
        let name = Some("vpc-id".to_owned());
        Some(vec![ec2::Filter { name, values: Some(vec![vpc.clone()]) }])
    };
    let input = ec2::DescribeSubnetsRequest { filters: filter(), ..Default::default() };
    let subnets = world.ok(world.handlers.describe_subnets, input).subnets.unwrap_or_default();
    for subnet in &subnets {
        let subnet_id = subnet.subnet_id.clone().unwrap_or_default();
        world.ok(world.handlers.delete_subnet, ec2::DeleteSubnetRequest { subnet_id, ..Default::default() });
    }
    // One that an earlier default VPC came with may still be there.
    let attached = ec2::Filter { name: Some("attachment.vpc-id".to_owned()), values: Some(vec![vpc.clone()]) };
    let input = ec2::DescribeInternetGatewaysRequest { filters: Some(vec![attached]), ..Default::default() };
    let gateways = world.ok(world.handlers.describe_internet_gateways, input).internet_gateways.unwrap_or_default();
    let internet_gateway_id = gateways[0].internet_gateway_id.clone().unwrap_or_default();
    let input = ec2::DetachInternetGatewayRequest { internet_gateway_id, vpc_id: vpc.clone(), ..Default::default() };
    world.ok(world.handlers.detach_internet_gateway, input);
    world.ok(world.handlers.delete_vpc, ec2::DeleteVpcRequest { vpc_id: vpc, ..Default::default() });
    subnets.len()
}

#[test]
fn the_default_vpc_can_be_deleted_and_made_anew() {
    let world = World::new();
    let input = ec2::CreateDefaultVpcRequest::default;
    assert_eq!(world.refused(world.handlers.create_default_vpc, input()), "DefaultVpcAlreadyExists");
    let zones = delete_default(&world);
    assert!(shown(&world, "is-default", "true").is_empty(), "it does not come back by itself");
    world.ok(world.handlers.create_default_vpc, input());
    let vpc = shown(&world, "is-default", "true").remove(0);
    assert_eq!(vpc.cidr_block.as_deref(), Some("172.31.0.0/16"));
    assert_eq!(delete_default(&world), zones);
}

#[test]
fn a_zone_has_one_default_subnet() {
    let world = World::new();
    let input =
        || ec2::CreateDefaultSubnetRequest { availability_zone: Some("us-east-1a".to_owned()), ..Default::default() };
    let handler = world.handlers.create_default_subnet;
    assert_eq!(world.refused(handler, input()), "DefaultSubnetAlreadyExistsInAvailabilityZone");
    let filter =
        ec2::Filter { name: Some("availability-zone".to_owned()), values: Some(vec!["us-east-1a".to_owned()]) };
    let all = ec2::DescribeSubnetsRequest { filters: Some(vec![filter]), ..Default::default() };
    let subnets = world.ok(world.handlers.describe_subnets, all).subnets.unwrap_or_default();
    let subnet_id = subnets[0].subnet_id.clone().unwrap_or_default();
    world.ok(world.handlers.delete_subnet, ec2::DeleteSubnetRequest { subnet_id, ..Default::default() });
    let made = world.ok(handler, input()).subnet.expect("the subnet is shown");
    assert_eq!((made.default_for_az, made.cidr_block), (Some(true), subnets[0].cidr_block.clone()));
}
