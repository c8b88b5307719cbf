//! Managed prefix lists: versions, limits, and rules and routes that refer to them.

use crate::world::World;
use model::ec2;

fn create(max: i32, blocks: &[&str]) -> ec2::CreateManagedPrefixListRequest {
    let entry = |block: &&str| ec2::AddPrefixListEntry { cidr: (*block).to_owned(), description: Some("d".to_owned()) };
    ec2::CreateManagedPrefixListRequest {
        prefix_list_name: "offices".to_owned(),
        address_family: "IPv4".to_owned(),
        max_entries: max,
        entries: Some(blocks.iter().map(entry).collect()),
        ..Default::default()
    }
}

fn made(world: &World, max: i32, blocks: &[&str]) -> String {
    let list = world.ok(world.handlers.create_managed_prefix_list, create(max, blocks)).prefix_list;
    list.and_then(|list| list.prefix_list_id).expect("a list has an id")
}

fn change(id: &str, version: i64, add: &[&str], remove: &[&str]) -> ec2::ModifyManagedPrefixListRequest {
    let added = |block: &&str| ec2::AddPrefixListEntry { cidr: (*block).to_owned(), description: None };
    let removed = |block: &&str| ec2::RemovePrefixListEntry { cidr: (*block).to_owned() };
    ec2::ModifyManagedPrefixListRequest {
        prefix_list_id: id.to_owned(),
        current_version: Some(version),
        add_entries: Some(add.iter().map(added).collect()),
        remove_entries: Some(remove.iter().map(removed).collect()),
        ..Default::default()
    }
}

fn blocks(world: &World, id: &str, version: Option<i64>) -> Vec<String> {
    let input = ec2::GetManagedPrefixListEntriesRequest {
        prefix_list_id: id.to_owned(),
        target_version: version,
        ..Default::default()
    };
    let entries = world.ok(world.handlers.get_managed_prefix_list_entries, input).entries.unwrap_or_default();
    entries.into_iter().filter_map(|entry| entry.cidr).collect()
}

fn shown(world: &World, id: &str) -> ec2::ManagedPrefixList {
    let input =
        ec2::DescribeManagedPrefixListsRequest { prefix_list_ids: Some(vec![id.to_owned()]), ..Default::default() };
    let lists = world.ok(world.handlers.describe_managed_prefix_lists, input).prefix_lists.unwrap_or_default();
    lists.into_iter().next().expect("the list is shown")
}

#[test]
fn each_change_of_entries_is_a_version_and_can_be_restored() {
    let world = World::new();
    let id = made(&world, 3, &["10.1.0.0/16", "10.2.0.0/16"]);
    let handler = world.handlers.modify_managed_prefix_list;
    world.ok(handler, change(&id, 1, &["10.3.0.0/16"], &["10.1.0.0/16"]));
    assert_eq!(blocks(&world, &id, None), ["10.2.0.0/16", "10.3.0.0/16"]);
    assert_eq!(blocks(&world, &id, Some(1)), ["10.1.0.0/16", "10.2.0.0/16"]);
    assert_eq!((shown(&world, &id).version, shown(&world, &id).state.as_deref()), (Some(2), Some("modify-complete")));
    assert_eq!(world.refused(handler, change(&id, 1, &["10.9.0.0/16"], &[])), "PrefixListVersionMismatch");
    let restore = |previous_version| ec2::RestoreManagedPrefixListVersionRequest {
        prefix_list_id: id.clone(),
        previous_version,
        current_version: 2,
        ..Default::default()
    };
    assert_eq!(world.refused(world.handlers.restore_managed_prefix_list_version, restore(7)), "InvalidParameterValue");
    world.ok(world.handlers.restore_managed_prefix_list_version, restore(1));
    assert_eq!(blocks(&world, &id, None), ["10.1.0.0/16", "10.2.0.0/16"]);
    assert_eq!(shown(&world, &id).version, Some(3));
}

#[test]
fn entries_are_checked_and_limited() {
    let world = World::new();
    let handler = world.handlers.create_managed_prefix_list;
    assert_eq!(world.refused(handler, create(1, &["10.1.0.0/16", "10.2.0.0/16"])), "PrefixListMaxEntriesExceeded");
    assert_eq!(world.refused(handler, create(2, &["10.1.0.0/16", "10.1.0.0/16"])), "InvalidPrefixListModification");
    assert_eq!(world.refused(handler, create(2, &["2001:db8::/32"])), "InvalidParameterValue");
    assert_eq!(world.refused(handler, create(0, &[])), "InvalidParameterValue");
    let id = made(&world, 2, &["10.1.0.0/16"]);
    let handler = world.handlers.modify_managed_prefix_list;
    assert_eq!(world.refused(handler, change(&id, 1, &["10.1.0.0/16"], &[])), "InvalidPrefixListModification");
    assert_eq!(world.refused(handler, change(&id, 1, &[], &["10.7.0.0/16"])), "InvalidPrefixListModification");
    let both = ec2::ModifyManagedPrefixListRequest { max_entries: Some(9), ..change(&id, 1, &["10.5.0.0/16"], &[]) };
    assert_eq!(world.refused(handler, both), "InvalidParameterCombination");
}

#[test]
fn aws_lists_are_told_and_cannot_be_changed() {
    let world = World::new();
    let name = ec2::Filter {
        name: Some("prefix-list-name".to_owned()),
        values: Some(vec!["com.amazonaws.us-east-1.s3".to_owned()]),
    };
    let input = ec2::DescribeManagedPrefixListsRequest { filters: Some(vec![name]), ..Default::default() };
    let lists = world.ok(world.handlers.describe_managed_prefix_lists, input).prefix_lists.unwrap_or_default();
    let [list] = &lists[..] else { panic!("one list has that name") };
    assert_eq!((list.owner_id.as_deref(), list.version), (Some("AWS"), None));
    let id = list.prefix_list_id.clone().unwrap_or_default();
    assert_eq!(blocks(&world, &id, None).len(), 1);
    let input = ec2::DeleteManagedPrefixListRequest { prefix_list_id: id, ..Default::default() };
    assert_eq!(world.refused(world.handlers.delete_managed_prefix_list, input), "UnsupportedOperation");
}

#[test]
fn cloudfronts_list_is_there_weighs_and_lets_nobody_in() {
    let world = World::new();
    let group = world.group(&world.vpc("10.0.0.0/16"), "origin");
    let rule = |port: i32, list: Option<&str>| ec2::IpPermission {
        ip_protocol: Some("tcp".to_owned()),
        from_port: Some(port),
        to_port: Some(port),
        prefix_list_ids: list
            .map(|id| vec![ec2::PrefixListId { prefix_list_id: Some(id.to_owned()), ..Default::default() }]),
        ip_ranges: list
            .is_none()
            .then(|| vec![ec2::IpRange { cidr_ip: Some("10.0.0.0/8".to_owned()), ..Default::default() }]),
        ..Default::default()
    };
    let authorize = |rules: Vec<ec2::IpPermission>| ec2::AuthorizeSecurityGroupIngressRequest {
        group_id: Some(group.clone()),
        ip_permissions: Some(rules),
        ..Default::default()
    };
    let handler = world.handlers.authorize_security_group_ingress;
    let mut rules: Vec<_> = (1..=5).map(|port| rule(port, None)).collect();
    rules.push(rule(80, Some("pl-3b927c52")));
    world.ok(handler, authorize(rules));
    assert_eq!(world.refused(handler, authorize(vec![rule(6, None)])), "RulesPerSecurityGroupLimitExceeded");
    assert_eq!(blocks(&world, "pl-3b927c52", None).len(), 0);
    assert_eq!(world.network().prefix_lists["pl-3b927c52"], vec![]);
}

#[test]
fn rules_and_routes_follow_the_list_into_the_plan() {
    let world = World::new();
    let vpc = world.vpc("10.0.0.0/16");
    let subnet = world.subnet(&vpc, "10.0.1.0/24");
    let group = world.group(&vpc, "web");
    let task = world.task_interface(&subnet, "task-1");
    world.ok(
        world.handlers.modify_network_interface_attribute,
        ec2::ModifyNetworkInterfaceAttributeRequest {
            network_interface_id: task.clone(),
            groups: Some(vec![group.clone()]),
            ..Default::default()
        },
    );
    let id = made(&world, 5, &["10.0.7.0/24"]);
    let listed = |id: &str| ec2::AuthorizeSecurityGroupIngressRequest {
        group_id: Some(group.clone()),
        ip_permissions: Some(vec![ec2::IpPermission {
            ip_protocol: Some("-1".to_owned()),
            prefix_list_ids: Some(vec![ec2::PrefixListId { prefix_list_id: Some(id.to_owned()), description: None }]),
            ..Default::default()
        }]),
        ..Default::default()
    };
    world.ok(world.handlers.authorize_security_group_ingress, listed(&id));
    let table = ec2::CreateRouteTableRequest { vpc_id: vpc.clone(), ..Default::default() };
    let table = world.ok(world.handlers.create_route_table, table).route_table.and_then(|table| table.route_table_id);
    let route = |id: &str| ec2::CreateRouteRequest {
        route_table_id: table.clone().unwrap_or_default(),
        destination_prefix_list_id: Some(id.to_owned()),
        network_interface_id: Some(task.clone()),
        ..Default::default()
    };
    world.ok(world.handlers.create_route, route(&id));
    assert_eq!(world.refused(world.handlers.create_route, route("pl-00000000")), "InvalidPrefixListId.NotFound");
    let before = netplan::compile(&world.network());
    world.ok(world.handlers.modify_managed_prefix_list, change(&id, 1, &["10.0.8.0/24"], &[]));
    assert_eq!(world.network().prefix_lists[&id].len(), 2);
    assert_ne!(netplan::compile(&world.network()), before, "the kernel is to let the new block in");
    let input = ec2::GetManagedPrefixListAssociationsRequest { prefix_list_id: id.clone(), ..Default::default() };
    let found = world.ok(world.handlers.get_managed_prefix_list_associations, input).prefix_list_associations;
    let ids: Vec<_> = found.unwrap_or_default().into_iter().filter_map(|one| one.resource_id).collect();
    assert_eq!(ids, [table.clone().unwrap_or_default(), group.clone()]);
    let delete = ec2::DeleteManagedPrefixListRequest { prefix_list_id: id, ..Default::default() };
    assert_eq!(world.refused(world.handlers.delete_managed_prefix_list, delete), "DependencyViolation");
    let big = made(&world, 56, &[]);
    assert_eq!(
        world.refused(world.handlers.authorize_security_group_ingress, listed(&big)),
        "RulesPerSecurityGroupLimitExceeded",
        "a list counts as the entries that it may have"
    );
}

#[test]
fn lists_are_tagged_like_other_resources() {
    let world = World::new();
    let id = made(&world, 1, &[]);
    let tag = ec2::Tag { key: Some("team".to_owned()), value: Some("net".to_owned()) };
    let input = ec2::CreateTagsRequest { resources: vec![id.clone()], tags: vec![tag], ..Default::default() };
    world.ok(world.handlers.create_tags, input);
    let tags = world.ok(world.handlers.describe_tags, ec2::DescribeTagsRequest::default()).tags.unwrap_or_default();
    assert_eq!(tags.iter().map(|tag| tag.resource_type.as_deref()).collect::<Vec<_>>(), [Some("prefix-list")]);
    assert_eq!(shown(&world, &id).tags.map(|tags| tags.len()), Some(1));
}
