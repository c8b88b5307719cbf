//! Interfaces: their attributes, their groups while they carry packets, and their secondary addresses.

use crate::world::World;
use model::ec2;

const BLOCK: &str = "10.0.0.0/16";

fn shown(world: &World, id: &str) -> ec2::NetworkInterface {
    let input = ec2::DescribeNetworkInterfacesRequest {
        network_interface_ids: Some(vec![id.to_owned()]),
        ..Default::default()
    };
    let found = world.ok(world.handlers.describe_network_interfaces, input).network_interfaces.unwrap_or_default();
    found.into_iter().next().expect("the interface is shown")
}

fn addresses(world: &World, id: &str) -> Vec<String> {
    let listed = shown(world, id).private_ip_addresses.unwrap_or_default();
    listed.into_iter().filter_map(|one| one.private_ip_address).collect()
}

fn modify(id: &str) -> ec2::ModifyNetworkInterfaceAttributeRequest {
    ec2::ModifyNetworkInterfaceAttributeRequest { network_interface_id: id.to_owned(), ..Default::default() }
}

fn assign(id: &str, ips: &[&str]) -> ec2::AssignPrivateIpAddressesRequest {
    ec2::AssignPrivateIpAddressesRequest {
        network_interface_id: id.to_owned(),
        private_ip_addresses: Some(ips.iter().map(ToString::to_string).collect()),
        ..Default::default()
    }
}

fn unassign(id: &str, ip: &str) -> ec2::UnassignPrivateIpAddressesRequest {
    ec2::UnassignPrivateIpAddressesRequest {
        network_interface_id: id.to_owned(),
        private_ip_addresses: Some(vec![ip.to_owned()]),
        ..Default::default()
    }
}

#[test]
fn changed_groups_change_the_plan_of_a_running_task() {
    let world = World::new();
    let vpc = world.vpc(BLOCK);
    let subnet = world.subnet(&vpc, "10.0.1.0/24");
    let group = world.group(&vpc, "quarantine");
    let id = world.task_interface(&subnet, "task-1");
    let before = netplan::compile(&world.network());
    world.ok(
        world.handlers.modify_network_interface_attribute,
        ec2::ModifyNetworkInterfaceAttributeRequest { groups: Some(vec![group.clone()]), ..modify(&id) },
    );
    let groups = shown(&world, &id).groups.unwrap_or_default();
    assert_eq!(groups.iter().filter_map(|group| group.group_id.as_ref()).collect::<Vec<_>>(), [&group]);
    assert_eq!(world.network().network_interfaces[0].groups[0].as_str(), group);
    assert_ne!(netplan::compile(&world.network()), before, "the kernel is to hold the new group's rules");
}

#[test]
fn attributes_are_changed_one_at_a_time_and_read_back() {
    let world = World::new();
    let vpc = world.vpc(BLOCK);
    let subnet = world.subnet(&vpc, "10.0.1.0/24");
    let id = world.interface(&subnet);
    let handler = world.handlers.modify_network_interface_attribute;
    let text = |value: &str| Some(ec2::AttributeValue { value: Some(value.to_owned()) });
    let flag = |value| Some(ec2::AttributeBooleanValue { value: Some(value) });
    assert_eq!(world.refused(handler, modify(&id)), "InvalidParameterCombination");
    let both = ec2::ModifyNetworkInterfaceAttributeRequest {
        description: text("x"),
        source_dest_check: flag(false),
        ..modify(&id)
    };
    assert_eq!(world.refused(handler, both), "InvalidParameterCombination");
    world.ok(handler, ec2::ModifyNetworkInterfaceAttributeRequest { description: text("db"), ..modify(&id) });
    world.ok(handler, ec2::ModifyNetworkInterfaceAttributeRequest { source_dest_check: flag(false), ..modify(&id) });
    let read = |attribute: &str| {
        let input = ec2::DescribeNetworkInterfaceAttributeRequest {
            network_interface_id: id.clone(),
            attribute: Some(attribute.to_owned()),
            ..Default::default()
        };
        world.ok(world.handlers.describe_network_interface_attribute, input)
    };
    assert_eq!(read("description").description.and_then(|value| value.value).as_deref(), Some("db"));
    assert_eq!(read("sourceDestCheck").source_dest_check.and_then(|value| value.value), Some(false));
    assert_eq!(read("groupSet").groups.map(|groups| groups.len()), Some(1));
    world.ok(
        world.handlers.reset_network_interface_attribute,
        ec2::ResetNetworkInterfaceAttributeRequest {
            network_interface_id: id.clone(),
            source_dest_check: Some("true".to_owned()),
            ..Default::default()
        },
    );
    assert_eq!(shown(&world, &id).source_dest_check, Some(true));
}

#[test]
fn groups_of_another_vpc_and_interfaces_of_services_are_refused() {
    let world = World::new();
    let vpc = world.vpc(BLOCK);
    let subnet = world.subnet(&vpc, "10.0.1.0/24");
    let strange = world.group(&world.vpc("10.9.0.0/16"), "strange");
    let handler = world.handlers.modify_network_interface_attribute;
    let with =
        |id: &str| ec2::ModifyNetworkInterfaceAttributeRequest { groups: Some(vec![strange.clone()]), ..modify(id) };
    assert_eq!(world.refused(handler, with(&world.interface(&subnet))), "InvalidParameter");
    let node = world.service_interface(&subnet, "node", "amazon-elb");
    assert_eq!(world.refused(handler, with(&node)), "AuthFailure");
}

#[test]
fn deletion_with_the_attachment_is_kept() {
    let world = World::new();
    let subnet = world.subnet(&world.vpc(BLOCK), "10.0.1.0/24");
    let id = world.task_interface(&subnet, "task-1");
    let attachment = shown(&world, &id).attachment.expect("a task's interface is attached");
    let change = |attachment_id: &str| ec2::ModifyNetworkInterfaceAttributeRequest {
        attachment: Some(ec2::NetworkInterfaceAttachmentChanges {
            attachment_id: Some(attachment_id.to_owned()),
            delete_on_termination: Some(true),
            ..Default::default()
        }),
        ..modify(&id)
    };
    let handler = world.handlers.modify_network_interface_attribute;
    assert_eq!(world.refused(handler, change("eni-attach-00000000")), "InvalidAttachmentID.NotFound");
    world.ok(handler, change(&attachment.attachment_id.unwrap_or_default()));
    let attachment = shown(&world, &id).attachment.expect("it still is");
    assert_eq!(attachment.delete_on_termination, Some(true));
}

#[test]
fn secondary_addresses_are_on_the_interface_in_the_plan() {
    let world = World::new();
    let subnet = world.subnet(&world.vpc(BLOCK), "10.0.1.0/24");
    let id = world.task_interface(&subnet, "task-1");
    let answer = world.ok(world.handlers.assign_private_ip_addresses, assign(&id, &["10.0.1.50"]));
    assert_eq!(answer.assigned_private_ip_addresses.map(|ips| ips.len()), Some(1));
    let input = ec2::AssignPrivateIpAddressesRequest {
        network_interface_id: id.clone(),
        secondary_private_ip_address_count: Some(2),
        ..Default::default()
    };
    world.ok(world.handlers.assign_private_ip_addresses, input);
    assert_eq!(addresses(&world, &id), ["10.0.1.4", "10.0.1.50", "10.0.1.5", "10.0.1.6"]);
    let plan = netplan::compile(&world.network());
    let held: Vec<String> = plan.namespaces["task-1"].addresses.iter().map(|address| format!("{address:?}")).collect();
    assert!(held.iter().any(|address| address.contains("10.0.1.50")), "{held:?}");
    world.ok(world.handlers.unassign_private_ip_addresses, unassign(&id, "10.0.1.50"));
    assert_eq!(addresses(&world, &id), ["10.0.1.4", "10.0.1.5", "10.0.1.6"]);
    let handler = world.handlers.unassign_private_ip_addresses;
    assert_eq!(world.refused(handler, unassign(&id, "10.0.1.50")), "InvalidParameterValue");
    assert_eq!(world.refused(handler, unassign(&id, "10.0.1.4")), "InvalidParameterValue", "the primary one stays");
}

#[test]
fn secondary_addresses_in_use_move_only_if_allowed() {
    let world = World::new();
    let subnet = world.subnet(&world.vpc(BLOCK), "10.0.1.0/24");
    let (one, other) = (world.interface(&subnet), world.interface(&subnet));
    let handler = world.handlers.assign_private_ip_addresses;
    world.ok(handler, assign(&one, &["10.0.1.50"]));
    assert_eq!(world.refused(handler, assign(&other, &["10.0.1.50"])), "InvalidIPAddress.InUse");
    let take =
        |ip: &str| ec2::AssignPrivateIpAddressesRequest { allow_reassignment: Some(true), ..assign(&other, &[ip]) };
    world.ok(handler, take("10.0.1.50"));
    assert_eq!(addresses(&world, &one), ["10.0.1.4"]);
    assert_eq!(world.refused(handler, take("10.0.1.4")), "InvalidIPAddress.InUse", "a primary address does not move");
    let many = ec2::AssignPrivateIpAddressesRequest {
        network_interface_id: one,
        secondary_private_ip_address_count: Some(50),
        ..Default::default()
    };
    assert_eq!(world.refused(handler, many), "PrivateIpAddressLimitExceeded");
}

#[test]
fn interfaces_are_made_with_chosen_or_counted_addresses() {
    let world = World::new();
    let subnet = world.subnet(&world.vpc(BLOCK), "10.0.1.0/24");
    let ip = |text: &str, primary| ec2::PrivateIpAddressSpecification {
        primary: Some(primary),
        private_ip_address: Some(text.to_owned()),
    };
    let make = |listed: Option<Vec<_>>, count| {
        let input = ec2::CreateNetworkInterfaceRequest {
            subnet_id: subnet.clone(),
            private_ip_addresses: listed,
            secondary_private_ip_address_count: count,
            ..Default::default()
        };
        let made = world.call(world.handlers.create_network_interface, input).map_err(|error| error.code)?;
        Ok::<_, String>(made.network_interface.and_then(|made| made.network_interface_id).unwrap_or_default())
    };
    let chosen = make(Some(vec![ip("10.0.1.21", false), ip("10.0.1.20", true)]), None).expect("both are free");
    assert_eq!(addresses(&world, &chosen), ["10.0.1.20", "10.0.1.21"]);
    let counted = make(None, Some(2)).expect("there are free ones");
    assert_eq!(addresses(&world, &counted), ["10.0.1.4", "10.0.1.5", "10.0.1.6"]);
    let two = make(Some(vec![ip("10.0.1.30", true), ip("10.0.1.31", true)]), None);
    assert_eq!(two, Err("InvalidParameterCombination".to_owned()));
    assert_eq!(make(Some(vec![ip("10.0.1.30", true)]), Some(1)), Err("InvalidParameterCombination".to_owned()));
}

#[test]
fn a_subnet_gives_all_its_addresses_but_five_and_takes_them_back() {
    let world = World::new();
    let vpc = world.vpc(BLOCK);
    let subnet = world.subnet(&vpc, "10.0.1.0/28");
    let create = || ec2::CreateNetworkInterfaceRequest { subnet_id: subnet.clone(), ..Default::default() };
    let made: Vec<String> = (0..11).map(|_| world.interface(&subnet)).collect();
    let error = world.call(world.handlers.create_network_interface, create()).expect_err("it is full");
    assert_eq!(error.code, "InsufficientFreeAddressesInSubnet");
    assert_eq!(error.message, "The specified subnet does not have enough free addresses to satisfy the request.");
    let input = ec2::DeleteNetworkInterfaceRequest { network_interface_id: made[4].clone(), ..Default::default() };
    let freed = addresses(&world, &made[4]);
    world.ok(world.handlers.delete_network_interface, input);
    let again = world.interface(&subnet);
    assert_eq!(addresses(&world, &again), freed, "the only free one");
}
