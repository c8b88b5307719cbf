//! Instances: launched by hand and from templates, on their way through life, and refused in AWS's words.

use crate::world::{NOW, World};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use controller::{Controller, Key};
use model::ec2;
use std::sync::Arc;
use std::time::Duration;
use types::SimClock;
use vpc::instances::Instances;
use vpc::query::RunningInstance;
use vpc::rows::{InterfaceState, NetworkInterface};

fn request(world: &World) -> ec2::RunInstancesRequest {
    ec2::RunInstancesRequest {
        image_id: Some(vpc::images::all(&world.scope.region)[0].id.clone()),
        instance_type: Some("t3.small".to_owned()),
        min_count: 1,
        max_count: 1,
        ..Default::default()
    }
}

fn ids(reservation: ec2::Reservation) -> Vec<String> {
    reservation.instances.unwrap_or_default().into_iter().filter_map(|one| one.instance_id).collect()
}

fn run(world: &World, input: ec2::RunInstancesRequest) -> String {
    ids(world.ok(world.handlers.run_instances, input)).remove(0)
}

fn shown(world: &World, id: &str) -> ec2::Instance {
    let input = ec2::DescribeInstancesRequest { instance_ids: Some(vec![id.to_owned()]), ..Default::default() };
    let found = world.ok(world.handlers.describe_instances, input).reservations.unwrap_or_default();
    let mut all = found.into_iter().flat_map(|one| one.instances.unwrap_or_default());
    all.next().expect("the instance is shown")
}

fn state(world: &World, id: &str) -> String {
    shown(world, id).state.and_then(|state| state.name).expect("an instance has a state")
}

/// What the controllers do until nothing is left to do: the fabric attaches, and instances go on.
fn settle(world: &World, clock: &SimClock) {
    for _ in 0..3 {
        let plan = world.network();
        let held: Vec<_> =
            plan.network_interfaces.iter().filter(|row| row.attachment.is_some()).map(|row| row.id.clone()).collect();
        let mut tx = world.store.begin();
        let all: Vec<_> = tx.scan::<NetworkInterface>(&world.scope).map(|row| row.id.clone()).collect();
        for id in all {
            let state = if held.contains(&id) { InterfaceState::Attached } else { InterfaceState::Pending };
            tx.update::<NetworkInterface>(&world.scope, id.as_str(), |row| row.state = state);
        }
        tx.commit().wait_blocking().expect("the memory store commits");
        let controller = Instances::new(world.store.clone(), Arc::new(clock.clone()));
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        for key in controller.all_keys(&world.store.view()) {
            runtime.block_on(controller.reconcile(&key)).expect("an instance is led on");
        }
    }
}

fn running(world: &World) -> Vec<RunningInstance> {
    vpc::query::running_instances(&world.store.view(), &world.scope)
}

fn one(id: &str) -> Vec<String> {
    vec![id.to_owned()]
}

#[test]
fn an_instance_runs_once_its_interfaces_are_in_the_kernel_and_leaves_nothing() {
    let (world, clock) = (World::new(), SimClock::new(NOW));
    let vpc = world.vpc("10.0.0.0/16");
    let subnet = world.subnet(&vpc, "10.0.1.0/24");
    let group = world.group(&vpc, "nodes");
    let script = "#!/bin/bash\necho ECS_CLUSTER=prod >> /etc/ecs/ecs.config\n";
    let input = ec2::RunInstancesRequest {
        subnet_id: Some(subnet.clone()),
        security_group_ids: Some(vec![group.clone()]),
        user_data: Some(STANDARD.encode(script)),
        ..request(&world)
    };
    let id = run(&world, input);
    assert_eq!(state(&world, &id), "pending");
    assert!(running(&world).is_empty());
    settle(&world, &clock);
    assert_eq!(state(&world, &id), "running");
    let [seen] = &running(&world)[..] else { panic!("expected one running instance") };
    assert_eq!((seen.cpu_units, seen.memory_mib, seen.namespace.as_str()), (2048, 2048, id.as_str()));
    assert_eq!(seen.ecs_config.get("ECS_CLUSTER").map(String::as_str), Some("prod"));
    let plan = world.network();
    let attachment = plan.network_interfaces[0].attachment.as_ref().expect("the interface is in the plan");
    assert_eq!((attachment.netns.as_str(), attachment.device_index), (id.as_str(), 0));
    assert_eq!(
        world.refused(
            world.handlers.delete_subnet,
            ec2::DeleteSubnetRequest { subnet_id: subnet.clone(), ..Default::default() }
        ),
        "DependencyViolation"
    );

    let input = ec2::TerminateInstancesRequest { instance_ids: one(&id), ..Default::default() };
    let change = world.ok(world.handlers.terminate_instances, input).terminating_instances.unwrap_or_default();
    assert_eq!(change[0].current_state.as_ref().and_then(|state| state.code), Some(32));
    assert!(running(&world).is_empty(), "an instance that ends runs nothing from the moment when that is asked for");
    settle(&world, &clock);
    let gone = shown(&world, &id);
    assert_eq!(gone.state.and_then(|state| state.name).as_deref(), Some("terminated"));
    assert_eq!(gone.state_reason.and_then(|reason| reason.code).as_deref(), Some("Client.UserInitiatedShutdown"));
    assert_eq!(gone.private_ip_address, None);
    assert!(world.network().network_interfaces.is_empty());
    world.ok(world.handlers.delete_subnet, ec2::DeleteSubnetRequest { subnet_id: subnet, ..Default::default() });
    clock.advance(Duration::from_hours(2));
    settle(&world, &clock);
    let again = ec2::DescribeInstancesRequest { instance_ids: Some(one(&id)), ..Default::default() };
    assert_eq!(world.refused(world.handlers.describe_instances, again), "InvalidInstanceID.NotFound");
}

#[test]
fn a_stopped_instance_keeps_its_private_address_and_loses_its_public_one() {
    let (world, clock) = (World::new(), SimClock::new(NOW));
    let id = run(&world, request(&world));
    settle(&world, &clock);
    let before = shown(&world, &id);
    assert!(before.public_ip_address.is_some(), "default subnets give public addresses");
    world.ok(world.handlers.stop_instances, ec2::StopInstancesRequest { instance_ids: one(&id), ..Default::default() });
    let busy = ec2::ModifyInstanceAttributeRequest {
        instance_id: id.clone(),
        instance_type: Some(ec2::AttributeValue { value: Some("t3.large".to_owned()) }),
        ..Default::default()
    };
    assert_eq!(world.refused(world.handlers.modify_instance_attribute, busy.clone()), "IncorrectInstanceState");
    settle(&world, &clock);
    let stopped = shown(&world, &id);
    assert_eq!(state(&world, &id), "stopped");
    assert_eq!(stopped.private_ip_address, before.private_ip_address);
    assert_eq!(stopped.public_ip_address, None);
    assert!(world.network().network_interfaces.is_empty(), "the kernel holds nothing of it");
    world.ok(world.handlers.modify_instance_attribute, busy);
    let again = ec2::StartInstancesRequest { instance_ids: one(&id), ..Default::default() };
    world.ok(world.handlers.start_instances, again);
    settle(&world, &clock);
    let started = shown(&world, &id);
    assert_eq!((state(&world, &id).as_str(), started.instance_type.as_deref()), ("running", Some("t3.large")));
    assert_eq!(started.private_ip_address, before.private_ip_address);
    assert!(started.public_ip_address.is_some());
}

#[test]
fn a_second_interface_is_attached_up_to_the_types_limit_and_survives() {
    let (world, clock) = (World::new(), SimClock::new(NOW));
    let vpc = world.vpc("10.0.0.0/16");
    let subnet = world.subnet(&vpc, "10.0.1.0/24");
    let id = run(
        &world,
        ec2::RunInstancesRequest {
            subnet_id: Some(subnet.clone()),
            instance_type: Some("t3.micro".to_owned()),
            ..request(&world)
        },
    );
    let attach = |interface: &str, device| ec2::AttachNetworkInterfaceRequest {
        network_interface_id: interface.to_owned(),
        instance_id: id.clone(),
        device_index: device,
        ..Default::default()
    };
    let (second, third) = (world.interface(&subnet), world.interface(&subnet));
    let handler = world.handlers.attach_network_interface;
    assert_eq!(world.refused(handler, attach(&second, 0)), "InvalidParameterValue");
    let attachment = world.ok(handler, attach(&second, 1)).attachment_id.expect("an attachment has an id");
    assert_eq!(world.refused(handler, attach(&second, 1)), "InvalidNetworkInterface.InUse");
    assert_eq!(world.refused(handler, attach(&third, 1)), "AttachmentLimitExceeded");
    settle(&world, &clock);
    let devices: Vec<_> = world
        .network()
        .network_interfaces
        .iter()
        .filter_map(|row| row.attachment.as_ref().map(|at| (at.netns.clone(), at.device_index)))
        .collect();
    assert!(devices.contains(&(id.clone(), 0)) && devices.contains(&(id.clone(), 1)), "{devices:?}");
    let plan = netplan::compile(&world.network());
    let names: Vec<_> = plan.cables.values().map(|cable| cable.far.link.clone()).collect();
    assert!(names.iter().any(|name| name == "eth1"), "expected a second device in {names:?}");
    let detach = |id: &str| ec2::DetachNetworkInterfaceRequest { attachment_id: id.to_owned(), ..Default::default() };
    let primary = shown(&world, &id).network_interfaces.unwrap_or_default()[0].attachment.clone();
    let primary = primary.and_then(|at| at.attachment_id).expect("the primary interface is attached");
    assert_eq!(world.refused(world.handlers.detach_network_interface, detach(&primary)), "OperationNotPermitted");
    world.ok(world.handlers.detach_network_interface, detach(&attachment));
    world.ok(handler, attach(&third, 1));
    world.ok(
        world.handlers.terminate_instances,
        ec2::TerminateInstancesRequest { instance_ids: one(&id), ..Default::default() },
    );
    settle(&world, &clock);
    let all = world.ok(world.handlers.describe_network_interfaces, ec2::DescribeNetworkInterfacesRequest::default());
    let left: Vec<_> = all.network_interfaces.unwrap_or_default().into_iter().map(|row| row.status).collect();
    assert_eq!(left, [Some("available".to_owned()), Some("available".to_owned())]);
}

#[test]
fn a_template_says_what_the_request_does_not() {
    let world = World::new();
    let tags = |kind: &str, key: &str, value: &str| ec2::LaunchTemplateTagSpecificationRequest {
        resource_type: Some(kind.to_owned()),
        tags: Some(vec![ec2::Tag { key: Some(key.to_owned()), value: Some(value.to_owned()) }]),
    };
    let data = ec2::RequestLaunchTemplateData {
        image_id: request(&world).image_id,
        instance_type: Some("m5.large".to_owned()),
        tag_specifications: Some(vec![tags("instance", "Name", "node"), tags("network-interface", "of", "node")]),
        metadata_options: Some(ec2::LaunchTemplateInstanceMetadataOptionsRequest {
            http_tokens: Some("optional".to_owned()),
            ..Default::default()
        }),
        ..Default::default()
    };
    let input = ec2::CreateLaunchTemplateRequest {
        launch_template_name: "nodes".to_owned(),
        launch_template_data: data.clone(),
        ..Default::default()
    };
    let made = world.ok(world.handlers.create_launch_template, input.clone()).launch_template.expect("it is shown");
    assert_eq!(
        world.refused(world.handlers.create_launch_template, input),
        "InvalidLaunchTemplateName.AlreadyExistsException"
    );
    let second = ec2::CreateLaunchTemplateVersionRequest {
        launch_template_id: made.launch_template_id.clone(),
        source_version: Some("1".to_owned()),
        launch_template_data: ec2::RequestLaunchTemplateData {
            instance_type: Some("c5.xlarge".to_owned()),
            ..Default::default()
        },
        ..Default::default()
    };
    let second = world.ok(world.handlers.create_launch_template_version, second).launch_template_version;
    let second = second.and_then(|version| version.launch_template_data).expect("it is shown");
    assert_eq!((second.instance_type.as_deref(), &second.image_id), (Some("c5.xlarge"), &data.image_id));
    let of = |version: &str| ec2::RunInstancesRequest {
        min_count: 1,
        max_count: 1,
        launch_template: Some(ec2::LaunchTemplateSpecification {
            launch_template_name: Some("nodes".to_owned()),
            version: Some(version.to_owned()),
            ..Default::default()
        }),
        ..Default::default()
    };
    let first = shown(&world, &run(&world, of("$Default")));
    assert_eq!(first.instance_type.as_deref(), Some("m5.large"));
    assert_eq!(first.metadata_options.and_then(|options| options.http_tokens).as_deref(), Some("optional"));
    assert_eq!(first.tags.unwrap_or_default()[0].value.as_deref(), Some("node"));
    let latest = shown(&world, &run(&world, of("$Latest")));
    assert_eq!(latest.instance_type.as_deref(), Some("c5.xlarge"));
    let own =
        shown(&world, &run(&world, ec2::RunInstancesRequest { instance_type: Some("t3.nano".to_owned()), ..of("2") }));
    assert_eq!(own.instance_type.as_deref(), Some("t3.nano"));
    assert_eq!(world.refused(world.handlers.run_instances, of("9")), "InvalidLaunchTemplateId.VersionNotFound");
    let versions = ec2::DescribeLaunchTemplateVersionsRequest {
        launch_template_name: Some("nodes".to_owned()),
        ..Default::default()
    };
    let versions = world.ok(world.handlers.describe_launch_template_versions, versions);
    let numbers: Vec<_> =
        versions.launch_template_versions.unwrap_or_default().iter().map(|version| version.version_number).collect();
    assert_eq!(numbers, [Some(2), Some(1)]);
    let gone = ec2::DeleteLaunchTemplateVersionsRequest {
        launch_template_name: Some("nodes".to_owned()),
        versions: vec!["1".to_owned(), "2".to_owned(), "x".to_owned()],
        ..Default::default()
    };
    let gone = world.ok(world.handlers.delete_launch_template_versions, gone);
    assert_eq!(gone.successfully_deleted_launch_template_versions.map(|all| all.len()), Some(1));
    assert_eq!(gone.unsuccessfully_deleted_launch_template_versions.map(|all| all.len()), Some(2));
}

#[test]
fn what_cannot_be_launched_is_refused_in_awss_words() {
    let world = World::new();
    let handler = world.handlers.run_instances;
    let with = |change: &dyn Fn(&mut ec2::RunInstancesRequest)| {
        let mut input = request(&world);
        change(&mut input);
        world.refused(handler, input)
    };
    let text = |value: &str| Some(value.to_owned());
    assert_eq!(with(&|input| input.image_id = None), "MissingParameter");
    assert_eq!(with(&|input| input.image_id = text("ami-nonsense")), "InvalidAMIID.Malformed");
    assert_eq!(with(&|input| input.image_id = text("ami-0123456789abcdef0")), "InvalidAMIID.NotFound");
    assert_eq!(with(&|input| input.instance_type = text("t9.huge")), "InvalidParameterValue");
    assert_eq!(with(&|input| input.instance_type = None), "InvalidParameterValue");
    let other = if cfg!(target_arch = "aarch64") { "t3.small" } else { "t4g.small" };
    assert_eq!(with(&|input| input.instance_type = text(other)), "InvalidParameterValue");
    assert_eq!(with(&|input| input.subnet_id = text("subnet-0123456789abcdef0")), "InvalidSubnetID.NotFound");
    assert_eq!(
        with(&|input| input.security_group_ids = Some(vec!["sg-0123456789abcdef0".to_owned()])),
        "InvalidGroup.NotFound"
    );
    assert_eq!(with(&|input| input.key_name = text("mine")), "NotImplemented");
    assert_eq!(with(&|input| input.user_data = text("%%%")), "InvalidParameterValue");
    assert_eq!(with(&|input| input.user_data = Some(STANDARD.encode(vec![b'x'; 16_385]))), "InvalidParameterValue");
    assert_eq!(with(&|input| input.min_count = 0), "InvalidParameterValue");
    assert_eq!(with(&|input| input.min_count = 2), "InvalidParameterValue");
    assert_eq!(with(&|input| (input.min_count, input.max_count) = (i32::MAX, i32::MAX)), "VcpuLimitExceeded");
    assert_eq!(with(&|input| (input.min_count, input.max_count) = (-1, -1)), "InvalidParameterValue");
    let profile = Some(ec2::IamInstanceProfileSpecification { name: text("none"), arn: None });
    assert_eq!(with(&|input| input.iam_instance_profile = profile.clone()), "InvalidParameterValue");
    let spec = |device, subnet: Option<&str>| ec2::InstanceNetworkInterfaceSpecification {
        device_index: Some(device),
        subnet_id: subnet.map(str::to_owned),
        ..Default::default()
    };
    assert_eq!(with(&|input| input.network_interfaces = Some(vec![spec(1, None)])), "InvalidParameterCombination");
    assert_eq!(
        with(&|input| input.network_interfaces = Some(vec![spec(0, None), spec(0, None)])),
        "InvalidParameterCombination"
    );
    assert_eq!(
        with(&|input| input.network_interfaces = Some(vec![spec(0, None), spec(7, None)])),
        "InvalidParameterValue"
    );
    assert_eq!(with(&|input| input.dry_run = Some(true)), "DryRunOperation");
    let all = world.ok(world.handlers.describe_instances, ec2::DescribeInstancesRequest::default());
    assert_eq!(all.reservations.map(|all| all.len()), Some(0), "nothing may be left of what was refused");
    let bad = ec2::TerminateInstancesRequest { instance_ids: one("i-xyz"), ..Default::default() };
    assert_eq!(world.refused(world.handlers.terminate_instances, bad), "InvalidInstanceID.Malformed");
}

#[test]
fn protection_and_tokens_hold() {
    let world = World::new();
    let input = ec2::RunInstancesRequest {
        client_token: Some("once".to_owned()),
        disable_api_termination: Some(true),
        min_count: 2,
        max_count: 2,
        ..request(&world)
    };
    let first = ids(world.ok(world.handlers.run_instances, input.clone()));
    assert_eq!(first, ids(world.ok(world.handlers.run_instances, input.clone())));
    let other = ec2::RunInstancesRequest { max_count: 3, ..input };
    assert_eq!(world.refused(world.handlers.run_instances, other), "IdempotentParameterMismatch");
    let end = ec2::TerminateInstancesRequest { instance_ids: first.clone(), ..Default::default() };
    assert_eq!(world.refused(world.handlers.terminate_instances, end.clone()), "OperationNotPermitted");
    for id in &first {
        let free = ec2::ModifyInstanceAttributeRequest {
            instance_id: id.clone(),
            attribute: Some("disableApiTermination".to_owned()),
            value: Some("false".to_owned()),
            ..Default::default()
        };
        world.ok(world.handlers.modify_instance_attribute, free);
    }
    world.ok(world.handlers.terminate_instances, end);
}

#[test]
fn an_address_and_a_route_lead_to_an_instance() {
    let (world, clock) = (World::new(), SimClock::new(NOW));
    let id = run(&world, request(&world));
    settle(&world, &clock);
    let address = world.ok(world.handlers.allocate_address, ec2::AllocateAddressRequest::default());
    let input = ec2::AssociateAddressRequest {
        allocation_id: address.allocation_id,
        instance_id: Some(id.clone()),
        ..Default::default()
    };
    world.ok(world.handlers.associate_address, input);
    assert_eq!(shown(&world, &id).public_ip_address, address.public_ip);
    let filter = ec2::Filter { name: Some("instance-id".to_owned()), values: Some(one(&id)) };
    let input = ec2::DescribeAddressesRequest { filters: Some(vec![filter]), ..Default::default() };
    assert_eq!(world.ok(world.handlers.describe_addresses, input).addresses.map(|all| all.len()), Some(1));
    let vpc = shown(&world, &id).vpc_id.expect("a live instance has a VPC");
    let table =
        world.ok(world.handlers.create_route_table, ec2::CreateRouteTableRequest { vpc_id: vpc, ..Default::default() });
    let table = table.route_table.and_then(|table| table.route_table_id).expect("a table has an id");
    let route = ec2::CreateRouteRequest {
        route_table_id: table.clone(),
        destination_cidr_block: Some("192.168.0.0/16".to_owned()),
        instance_id: Some(id.clone()),
        ..Default::default()
    };
    world.ok(world.handlers.create_route, route);
    let input = ec2::DescribeRouteTablesRequest { route_table_ids: Some(vec![table]), ..Default::default() };
    let state = |world: &World| {
        let tables = world.ok(world.handlers.describe_route_tables, input.clone()).route_tables.unwrap_or_default();
        let routes = tables[0].routes.clone().unwrap_or_default();
        let route = routes.into_iter().find(|route| route.network_interface_id.is_some()).expect("the route is shown");
        (route.instance_id, route.state)
    };
    assert_eq!(state(&world), (Some(id.clone()), Some("active".to_owned())));
    world.ok(world.handlers.stop_instances, ec2::StopInstancesRequest { instance_ids: one(&id), ..Default::default() });
    settle(&world, &clock);
    assert_eq!(state(&world), (Some(id), Some("blackhole".to_owned())));
}

#[test]
fn keys_are_those_of_instances() {
    let world = World::new();
    let id = run(&world, request(&world));
    let controller = Instances::new(world.store.clone(), Arc::new(SimClock::new(NOW)));
    assert_eq!(controller.all_keys(&world.store.view()), [Key::new(&world.scope, id)]);
}
