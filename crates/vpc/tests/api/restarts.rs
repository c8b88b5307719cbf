//! Any sequence of calls, then a restart: the same plan, and a host that has all of it already.

use crate::world::World;
use fabric::{Fabric, FabricConfig};
use model::ec2;
use netplan::Planner;
use nix::sched::{CloneFlags, unshare};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use store::Store;

/// What was made so far, by ids, for later calls to use.
#[derive(Default)]
struct Made {
    vpcs: Vec<String>,
    subnets: Vec<(String, String)>,
    groups: Vec<String>,
    tables: Vec<String>,
    gateways: Vec<String>,
    nats: Vec<String>,
    interfaces: Vec<String>,
    peerings: Vec<String>,
    egress_only: Vec<String>,
    count: usize,
}

fn pick<T: Clone>(from: &[T], n: u8) -> Option<T> {
    if from.is_empty() { None } else { from.get(usize::from(n) % from.len()).cloned() }
}

/// A call, chosen by `what`, with arguments chosen by the others. What AWS would refuse is refused here, and changes
/// nothing. `None`: there is nothing yet to call it with.
fn call(world: &World, made: &mut Made, [what, a, b, c]: [u8; 4]) -> Option<()> {
    let api = &world.handlers;
    made.count += 1;
    let port = i32::from(c % 8) + 3000;
    let permission = |peer: Option<String>| ec2::IpPermission {
        ip_protocol: Some("tcp".to_owned()),
        from_port: Some(port),
        to_port: Some(port + i32::from(b % 3)),
        ip_ranges: peer
            .is_none()
            .then(|| vec![ec2::IpRange { cidr_ip: Some(format!("10.{}.0.0/16", c % 4)), ..Default::default() }]),
        user_id_group_pairs: peer.map(|id| vec![ec2::UserIdGroupPair { group_id: Some(id), ..Default::default() }]),
        ..Default::default()
    };
    match what % 24 {
        0 if made.vpcs.len() < 3 => made.vpcs.push(world.vpc(&format!("10.{}.0.0/16", made.vpcs.len()))),
        0 | 1 => {
            let at = usize::from(a) % made.vpcs.len().max(1);
            let vpc = made.vpcs.get(at)?.clone();
            let input = ec2::CreateSubnetRequest {
                vpc_id: vpc.clone(),
                cidr_block: Some(format!("10.{at}.{}.0/24", b % 6)),
                ..Default::default()
            };
            let subnet = world.call(api.create_subnet, input).ok()?.subnet?.subnet_id?;
            made.subnets.push((subnet, vpc));
        }
        2 => made.groups.push(world.group(&pick(&made.vpcs, a)?, &format!("group-{}", made.count))),
        3 | 4 => {
            let peer = if c % 2 == 0 { pick(&made.groups, b) } else { None };
            let input = ec2::AuthorizeSecurityGroupIngressRequest {
                group_id: Some(pick(&made.groups, a)?),
                ip_permissions: Some(vec![permission(peer)]),
                ..Default::default()
            };
            world.call(api.authorize_security_group_ingress, input).ok()?;
        }
        5 => {
            let input = ec2::RevokeSecurityGroupEgressRequest {
                group_id: pick(&made.groups, a)?,
                ip_permissions: Some(vec![ec2::IpPermission {
                    ip_protocol: Some("-1".to_owned()),
                    ip_ranges: Some(vec![ec2::IpRange { cidr_ip: Some("0.0.0.0/0".to_owned()), ..Default::default() }]),
                    ..Default::default()
                }]),
                ..Default::default()
            };
            world.call(api.revoke_security_group_egress, input).ok()?;
        }
        6 => {
            let gateway = world.ok(api.create_internet_gateway, ec2::CreateInternetGatewayRequest::default());
            let id = gateway.internet_gateway?.internet_gateway_id?;
            made.gateways.push(id.clone());
            let input = ec2::AttachInternetGatewayRequest {
                internet_gateway_id: id,
                vpc_id: pick(&made.vpcs, a)?,
                ..Default::default()
            };
            world.call(api.attach_internet_gateway, input).ok()?;
        }
        7 => {
            let input = ec2::CreateRouteTableRequest { vpc_id: pick(&made.vpcs, a)?, ..Default::default() };
            made.tables.push(world.call(api.create_route_table, input).ok()?.route_table?.route_table_id?);
        }
        8 => {
            let input = ec2::AssociateRouteTableRequest {
                route_table_id: pick(&made.tables, a)?,
                subnet_id: Some(pick(&made.subnets, b)?.0),
                ..Default::default()
            };
            world.call(api.associate_route_table, input).ok()?;
        }
        9 | 10 => {
            let mut input = ec2::CreateRouteRequest {
                route_table_id: pick(&made.tables, a)?,
                destination_cidr_block: Some(if c % 2 == 0 {
                    "0.0.0.0/0".into()
                } else {
                    format!("10.{}.0.0/16", c % 5)
                }),
                ..Default::default()
            };
            match c % 3 {
                0 => input.gateway_id = Some(pick(&made.gateways, b)?),
                1 => input.nat_gateway_id = Some(pick(&made.nats, b)?),
                _ => input.vpc_peering_connection_id = Some(pick(&made.peerings, b)?),
            }
            world.call(api.create_route, input).ok()?;
        }
        11 => {
            let allocation = world.ok(api.allocate_address, ec2::AllocateAddressRequest::default()).allocation_id;
            let input = ec2::CreateNatGatewayRequest {
                subnet_id: Some(pick(&made.subnets, a)?.0),
                allocation_id: allocation,
                ..Default::default()
            };
            made.nats.push(world.call(api.create_nat_gateway, input).ok()?.nat_gateway?.nat_gateway_id?);
        }
        12 | 13 => {
            let (subnet, _) = pick(&made.subnets, a)?;
            let id = world.task_interface(&subnet, &format!("task-{}", made.count));
            made.interfaces.push(id);
        }
        14 => {
            let input = ec2::ModifyNetworkInterfaceAttributeRequest {
                network_interface_id: pick(&made.interfaces, a)?,
                groups: Some(vec![pick(&made.groups, b)?]),
                ..Default::default()
            };
            world.call(api.modify_network_interface_attribute, input).ok()?;
        }
        15 => {
            let id = types::id::EniId::parse(&made.interfaces.pop()?)?;
            let mut tx = world.store.begin();
            vpc::intent::delete_interface(&mut tx, &world.scope, &id);
            tx.commit().wait_blocking().ok()?;
        }
        16 => {
            let input = ec2::CreateVpcPeeringConnectionRequest {
                vpc_id: pick(&made.vpcs, a)?,
                peer_vpc_id: Some(pick(&made.vpcs, b)?),
                ..Default::default()
            };
            let id = world.call(api.create_vpc_peering_connection, input).ok()?.vpc_peering_connection?;
            let id = id.vpc_peering_connection_id?;
            made.peerings.push(id.clone());
            let input = ec2::AcceptVpcPeeringConnectionRequest { vpc_peering_connection_id: id, ..Default::default() };
            world.call(api.accept_vpc_peering_connection, input).ok()?;
        }
        17 | 18 => ipv6_of_network(world, made, a, b)?,
        19 | 20 => ipv6_of_interface(world, made, a, c)?,
        21 => {
            let vpc_id = pick(&made.vpcs, a)?;
            let input = ec2::CreateEgressOnlyInternetGatewayRequest { vpc_id, ..Default::default() };
            let gateway = world.call(api.create_egress_only_internet_gateway, input).ok()?;
            let id = gateway.egress_only_internet_gateway?.egress_only_internet_gateway_id?;
            made.egress_only.push(id);
        }
        22 => {
            let mut input = ec2::CreateRouteRequest {
                route_table_id: pick(&made.tables, a)?,
                destination_ipv6_cidr_block: Some("::/0".to_owned()),
                ..Default::default()
            };
            if c % 2 == 0 {
                input.gateway_id = Some(pick(&made.gateways, b)?);
            } else {
                input.egress_only_internet_gateway_id = Some(pick(&made.egress_only, b)?);
            }
            world.call(api.create_route, input).ok()?;
        }
        _ => {
            let (_, vpc) = pick(&made.subnets, a)?;
            let found = world.ok(api.describe_network_acls, ec2::DescribeNetworkAclsRequest::default());
            let acl = found.network_acls?.into_iter().find(|acl| acl.vpc_id.as_deref() == Some(&vpc))?;
            let input = ec2::CreateNetworkAclEntryRequest {
                network_acl_id: acl.network_acl_id?,
                rule_number: i32::from(c % 90) + 1,
                protocol: "6".to_owned(),
                port_range: Some(ec2::PortRange { from: Some(port), to: Some(port) }),
                rule_action: if b % 2 == 0 { "allow" } else { "deny" }.to_owned(),
                egress: a % 2 == 0,
                cidr_block: Some("10.0.0.0/8".to_owned()),
                ..Default::default()
            };
            world.call(api.create_network_acl_entry, input).ok()?;
        }
    }
    Some(())
}

/// Gives a VPC an IPv6 block, or one of its subnets a part of it.
fn ipv6_of_network(world: &World, made: &Made, a: u8, b: u8) -> Option<()> {
    let api = &world.handlers;
    let (subnet, vpc) = pick(&made.subnets, a)?;
    let input = ec2::DescribeVpcsRequest { vpc_ids: Some(vec![vpc.clone()]), ..Default::default() };
    let vpc_row = world.ok(api.describe_vpcs, input).vpcs?.pop()?;
    let Some(block) = vpc_row.ipv6_cidr_block_association_set?.pop().and_then(|block| block.ipv6_cidr_block) else {
        let input = ec2::AssociateVpcCidrBlockRequest {
            vpc_id: vpc,
            amazon_provided_ipv6_cidr_block: Some(true),
            ..Default::default()
        };
        return world.call(api.associate_vpc_cidr_block, input).ok().map(|_| ());
    };
    let part = block.replace("00::/56", &format!("{:02x}::/64", b % 8));
    let input = ec2::AssociateSubnetCidrBlockRequest {
        subnet_id: subnet.clone(),
        ipv6_cidr_block: Some(part),
        ..Default::default()
    };
    world.call(api.associate_subnet_cidr_block, input).ok()?;
    let input = ec2::ModifySubnetAttributeRequest {
        subnet_id: subnet,
        assign_ipv6_address_on_creation: Some(ec2::AttributeBooleanValue { value: Some(b.is_multiple_of(2)) }),
        ..Default::default()
    };
    world.call(api.modify_subnet_attribute, input).ok().map(|_| ())
}

/// Gives an interface an IPv6 address, or takes all from it.
fn ipv6_of_interface(world: &World, made: &Made, a: u8, c: u8) -> Option<()> {
    let api = &world.handlers;
    let id = pick(&made.interfaces, a)?;
    if !c.is_multiple_of(3) {
        let input = ec2::AssignIpv6AddressesRequest {
            network_interface_id: id,
            ipv6_address_count: Some(1),
            ..Default::default()
        };
        return world.call(api.assign_ipv6_addresses, input).ok().map(|_| ());
    }
    let input =
        ec2::DescribeNetworkInterfacesRequest { network_interface_ids: Some(vec![id.clone()]), ..Default::default() };
    let row = world.ok(api.describe_network_interfaces, input).network_interfaces?.pop()?;
    let held = row.ipv6_addresses?.into_iter().filter_map(|one| one.ipv6_address);
    let input = ec2::UnassignIpv6AddressesRequest {
        network_interface_id: id,
        ipv6_addresses: Some(held.collect()),
        ipv6_prefixes: None,
    };
    world.call(api.unassign_ipv6_addresses, input).ok().map(|_| ())
}

/// Calls, each followed by an apply; then everything of ours is closed and opened again.
fn restarted(calls: &[[u8; 4]]) -> Result<(), TestCaseError> {
    let folder = tempfile::tempdir().expect("a folder");
    let config = || FabricConfig {
        instance: format!("{:08x}", std::process::id()),
        run_root: folder.path().join("run"),
        outbound: false,
    };
    let open = || {
        let fabric = Fabric::open(config()).expect("the host has room");
        let store = Store::open(&folder.path().join("store"), vpc::tables()).expect("the store opens");
        let world = World::of(store, fabric.ground().clone());
        (fabric, world)
    };
    std::fs::create_dir_all(folder.path().join("run")).expect("a folder");
    let (fabric, world) = open();
    let (mut made, mut planner) = (Made::default(), Planner::default());
    for one in calls {
        // Many a call finds nothing to be called with.
        let _ = call(&world, &mut made, *one);
        fabric.apply(planner.plan(&world.network())).map_err(|error| TestCaseError::fail(error.to_string()))?;
    }
    let plan = planner.plan(&world.network()).whole();
    drop((fabric, world));

    let (fabric, world) = open();
    let again = netplan::compile(&world.network());
    let outcome = fabric.apply(&again);
    let verified = fabric.verify();
    fabric.destroy().expect("it goes");
    prop_assert_eq!(&again, &plan, "the plan is the same");
    // Filters and settings are written anew, for they are not read back; nothing else has to be done.
    let written = |namespace: &netplan::Namespace| namespace.settings.len() + usize::from(namespace.filter.is_some());
    let steps = outcome.map_err(|error| TestCaseError::fail(error.to_string()))?;
    prop_assert_eq!(steps, again.namespaces.values().map(written).sum::<usize>(), "the host had it all");
    prop_assert_eq!(verified.expect("the kernel is read"), Vec::new());
    Ok(())
}

#[test]
fn a_restart_changes_neither_the_plan_nor_the_host() {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(12);
    let work = || {
        if let Err(errno) = unshare(CloneFlags::CLONE_NEWNET) {
            println!("SKIPPED: no network namespace may be made here ({errno})");
            return;
        }
        let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
        let calls = proptest::collection::vec(any::<[u8; 4]>(), 20..90);
        runner.run(&calls, |calls| restarted(&calls)).unwrap_or_else(|error| panic!("{error}"));
    };
    std::thread::scope(|scope| scope.spawn(work).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}
