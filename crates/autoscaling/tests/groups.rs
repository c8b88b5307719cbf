//! Groups as their users see them: the number of instances that they are to have, whatever becomes of those.

#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, reason = "each test uses a part of the world")]

mod world;

use autoscaling::control::Groups;
use controller::{Controller, Key};
use gateway::{Context, Principal, PrincipalKind};
use model::autoscaling as api;
use model::{ec2, elbv2};
use std::sync::Arc;
use std::time::Duration;
use types::{AccountId, Pace, Scope, Timestamp};
use world::World;
#[test]
fn a_group_has_its_instances_over_its_zones_and_replaces_those_that_end() {
    let world = World::new();
    world
        .create(|input| {
            input.tags = Some(vec![api::Tag {
                key: "Name".to_owned(),
                value: Some("node".to_owned()),
                propagate_at_launch: Some(true),
                ..Default::default()
            }]);
        })
        .unwrap();
    world.settle();
    let first = world.instances();
    let zones: Vec<_> = first.iter().map(|one| one.availability_zone.as_str()).collect();
    assert_eq!(first.len(), 3);
    assert!(zones.contains(&"us-east-1a") && zones.contains(&"us-east-1b"), "{zones:?}");
    let shown = world.ec2(
        vpc::api::handlers().describe_instances,
        ec2::DescribeInstancesRequest {
            filters: Some(vec![ec2::Filter {
                name: Some("tag:aws:autoscaling:groupName".to_owned()),
                values: Some(vec!["nodes".to_owned()]),
            }]),
            ..Default::default()
        },
    );
    let shown: Vec<_> = shown.reservations.unwrap().into_iter().flat_map(|one| one.instances.unwrap()).collect();
    assert_eq!(shown.len(), 3);
    assert!(shown[0].tags.as_ref().unwrap().iter().any(|tag| tag.value.as_deref() == Some("node")));

    world.terminate(&first[0].instance_id);
    world.settle();
    let second = world.instances();
    assert_eq!(second.len(), 3);
    assert!(second.iter().all(|one| one.instance_id != first[0].instance_id));
    let activities = world.activities();
    assert!(activities.iter().all(|activity| activity.status_code == "Successful"), "{activities:?}");
    let ended = activities.iter().find(|activity| activity.description.as_ref().unwrap().starts_with("Terminating"));
    assert!(ended.unwrap().cause.contains("EC2 health check"), "{ended:?}");
}

#[test]
fn the_number_follows_what_is_wanted_and_protection_holds() {
    let world = World::new();
    world.create(|_| ()).unwrap();
    world.settle();
    let all = world.instances();
    let protect = |ids: Vec<String>, on| api::SetInstanceProtectionQuery {
        auto_scaling_group_name: "nodes".to_owned(),
        instance_ids: ids,
        protected_from_scale_in: on,
    };
    let kept: Vec<String> = all.iter().take(2).map(|one| one.instance_id.clone()).collect();
    world.ok(world.handlers.set_instance_protection, protect(kept.clone(), true));
    assert_eq!(world.set_desired(0), "success");
    world.settle();
    let left: Vec<String> = world.instances().into_iter().map(|one| one.instance_id).collect();
    assert_eq!(left, kept, "protected instances stay");
    assert_eq!(world.set_desired(7), "ValidationError");
    assert_eq!(world.set_desired(-1), "ValidationError");
    world.ok(world.handlers.set_instance_protection, protect(kept, false));
    world.settle();
    assert!(world.instances().is_empty());
    assert_eq!(world.set_desired(2), "success");
    world.settle();
    assert_eq!(world.instances().len(), 2);
    let one = world.instances()[0].instance_id.clone();
    let end = |id: &str, decrement| api::TerminateInstanceInAutoScalingGroupType {
        instance_id: Some(id.to_owned()),
        should_decrement_desired_capacity: decrement,
        ..Default::default()
    };
    let handler = world.handlers.terminate_instance_in_auto_scaling_group;
    let ended = world.ok(handler, end(&one, true)).activity.unwrap();
    assert_eq!(ended.status_code, "InProgress");
    let details = ended.details.unwrap();
    assert!(details.contains("us-east-1") && details.contains("subnet-"), "{details}");
    world.settle();
    assert_eq!((world.instances().len(), world.group().unwrap().desired_capacity), (1, 1));
    let one = world.instances()[0].instance_id.clone();
    world.ok(handler, end(&one, false));
    world.settle();
    assert_eq!(world.instances().len(), 1);
    assert_ne!(world.instances()[0].instance_id, one);
    assert_eq!(world.refused(handler, end("i-0123456789abcdef0", false)), "ValidationError");
}

#[test]
fn names_have_no_colon_and_pages_have_records() {
    let world = World::new();
    let named = |name: &str| world.create(|input| input.auto_scaling_group_name = name.to_owned());
    assert_eq!(named("a:b").unwrap_err().code, "ValidationError");
    named("a/b c.{d}").unwrap();
    for (asked, code) in [(0, "ValidationError"), (-1, "ValidationError"), (1, "success"), (1000, "success")] {
        let page = api::DescribeScalingActivitiesType { max_records: Some(asked), ..Default::default() };
        assert_eq!(world.refused(world.handlers.describe_scaling_activities, page), code, "{asked}");
    }
}

#[test]
fn what_a_group_would_launch_is_known_before_it_does() {
    let world = World::new();
    world.create(|_| ()).unwrap();
    let view = world.store.view();
    let scope = Scope::default();
    let group = autoscaling::query::group(&view, &scope, "nodes").unwrap();
    let launches = autoscaling::query::launches(&view, &scope, &group);
    let subnets: Vec<_> = launches.iter().map(|(subnet, _)| subnet.clone()).collect();
    assert_eq!(subnets, world.subnets, "one in each");
    for (subnet, request) in &launches {
        assert_eq!(request.subnet_id.as_ref(), Some(subnet));
        assert_eq!(request.instance_type.as_deref(), Some("t3.small"), "as the template says");
    }
}

#[test]
fn a_group_goes_with_its_last_instance() {
    let world = World::new();
    world.create(|_| ()).unwrap();
    world.settle();
    let delete = |force| api::DeleteAutoScalingGroupType {
        auto_scaling_group_name: "nodes".to_owned(),
        force_delete: Some(force),
    };
    let handler = world.handlers.delete_auto_scaling_group;
    assert_eq!(world.refused(handler, delete(false)), "ResourceInUse");
    world.ok(handler, delete(true));
    assert_eq!(world.group().unwrap().status.as_deref(), Some("Delete in progress"));
    assert_eq!(world.refused(handler, delete(true)), "ScalingActivityInProgress");
    world.settle();
    assert_eq!(world.group(), None);
    assert!(vpc::query::running_instances(&world.store.view(), &Scope::default()).is_empty());
    assert_eq!(world.refused(handler, delete(true)), "ValidationError");
}

#[test]
fn a_launch_that_fails_is_told_and_tried_again() {
    let world = World::new();
    // A group whose instances ask for more than all that the account may have.
    let template = ec2::CreateLaunchTemplateVersionRequest {
        launch_template_name: Some("nodes".to_owned()),
        source_version: Some("1".to_owned()),
        launch_template_data: ec2::RequestLaunchTemplateData {
            instance_type: Some("m5.8xlarge".to_owned()),
            ..Default::default()
        },
        ..Default::default()
    };
    world.ec2(vpc::api::handlers().create_launch_template_version, template);
    world
        .create(|input| {
            (input.max_size, input.desired_capacity) = (30, Some(20));
            input.launch_template.as_mut().unwrap().version = Some("$Latest".to_owned());
        })
        .unwrap();
    world.settle();
    assert_eq!(world.instances().len(), 16, "512 processors are 16 of these");
    let failed: Vec<_> = world.activities().into_iter().filter(|one| one.status_code == "Failed").collect();
    assert_eq!(failed.len(), 1, "expected one failure before the pause, but: {failed:?}");
    assert!(failed[0].status_message.as_ref().unwrap().contains("vCPU limit"), "{failed:?}");
    world.clock.advance(Duration::from_secs(2));
    world.settle();
    let failed = world.activities().into_iter().filter(|one| one.status_code == "Failed").count();
    assert_eq!(failed, 2, "it is tried again");
    assert_eq!(world.set_desired(16), "success");
    world.settle();
    assert_eq!(world.instances().len(), 16);
}

#[test]
fn processes_rest_and_bad_groups_are_refused() {
    let world = World::new();
    world.create(|_| ()).unwrap();
    let processes = |names: &[&str]| api::ScalingProcessQuery {
        auto_scaling_group_name: "nodes".to_owned(),
        scaling_processes: Some(names.iter().map(ToString::to_string).collect()),
    };
    world.ok(world.handlers.suspend_processes, processes(&["Launch"]));
    world.settle();
    assert!(world.instances().is_empty(), "nothing is launched while launches rest");
    assert_eq!(world.refused(world.handlers.suspend_processes, processes(&["Nothing"])), "ValidationError");
    world.ok(world.handlers.resume_processes, processes(&["Launch"]));
    world.settle();
    assert_eq!(world.instances().len(), 3);
    let code = |change: &dyn Fn(&mut api::CreateAutoScalingGroupType)| {
        let made = world.create(|input| {
            input.auto_scaling_group_name = "other".to_owned();
            change(input);
        });
        made.err().map_or_else(|| "success".to_owned(), |error| error.code)
    };
    assert_eq!(code(&|input| input.auto_scaling_group_name = "nodes".to_owned()), "AlreadyExists");
    assert_eq!(code(&|input| (input.min_size, input.max_size) = (3, 2)), "ValidationError");
    assert_eq!(code(&|input| input.desired_capacity = Some(9)), "ValidationError");
    assert_eq!(code(&|input| input.min_size = -1), "ValidationError");
    assert_eq!(code(&|input| input.max_size = i32::MAX), "ValidationError");
    assert_eq!(code(&|input| input.vpc_zone_identifier = None), "ValidationError");
    assert_eq!(code(&|input| input.vpc_zone_identifier = Some("subnet-1".to_owned())), "ValidationError");
    assert_eq!(code(&|input| input.launch_template = None), "ValidationError");
    assert_eq!(code(&|input| input.launch_configuration_name = Some("old".to_owned())), "NotImplemented");
    assert_eq!(code(&|input| input.health_check_type = Some("PING".to_owned())), "ValidationError");
    assert_eq!(code(&|input| input.target_group_ar_ns = Some(vec!["arn:aws:nothing".to_owned()])), "ValidationError");
}

#[test]
fn who_may_not_pass_a_role_makes_no_group_that_would() {
    let world = World::new();
    let directory = tempfile::tempdir().unwrap();
    let iam = iam::Iam { account: AccountId::default(), vault: vault::Vault::open(directory.path()).unwrap() };
    let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
    let role = model::iam::CreateRoleRequest {
        role_name: "node".to_owned(),
        assume_role_policy_document: trust.to_owned(),
        ..Default::default()
    };
    world.call(&iam, iam::handlers().create_role, role).unwrap();
    let profile =
        model::iam::CreateInstanceProfileRequest { instance_profile_name: "nodes".to_owned(), ..Default::default() };
    world.call(&iam, iam::handlers().create_instance_profile, profile).unwrap();
    let both = model::iam::AddRoleToInstanceProfileRequest {
        instance_profile_name: "nodes".to_owned(),
        role_name: "node".to_owned(),
    };
    world.call(&iam, iam::handlers().add_role_to_instance_profile, both).unwrap();
    let template = ec2::CreateLaunchTemplateVersionRequest {
        launch_template_name: Some("nodes".to_owned()),
        source_version: Some("1".to_owned()),
        launch_template_data: ec2::RequestLaunchTemplateData {
            iam_instance_profile: Some(ec2::LaunchTemplateIamInstanceProfileSpecificationRequest {
                name: Some("nodes".to_owned()),
                ..Default::default()
            }),
            ..Default::default()
        },
        ..Default::default()
    };
    world.ec2(vpc::api::handlers().create_launch_template_version, template);
    let template = |version: &str| api::LaunchTemplateSpecification {
        launch_template_name: Some("nodes".to_owned()),
        version: Some(version.to_owned()),
        ..Default::default()
    };
    let nobody = Principal {
        kind: PrincipalKind::User,
        account: AccountId::default(),
        arn: "arn:aws:iam::123456789012:user/nobody".to_owned(),
        user_id: "AIDANOBODY".to_owned(),
        access_key: "AKIANOBODY".to_owned(),
    };
    let as_nobody = |version: &str| {
        let mut cx = Context::new(world.store.clone(), Scope::default(), nobody.clone(), Timestamp(0));
        let input = api::CreateAutoScalingGroupType {
            auto_scaling_group_name: format!("of-{version}"),
            max_size: 1,
            vpc_zone_identifier: Some(world.subnets.join(",")),
            launch_template: Some(template(version)),
            ..Default::default()
        };
        let made = (world.handlers.create_auto_scaling_group)(&world.service, &mut cx, input);
        made.err().map_or_else(|| "success".to_owned(), |error| error.code)
    };
    assert_eq!(as_nobody("1"), "success", "without a role there is nothing to pass");
    assert_eq!(as_nobody("2"), "AccessDenied");
    world.create(|input| input.launch_template = Some(template("2"))).expect("root may");
}

#[test]
fn instances_are_targets_while_they_serve() {
    let world = World::new();
    let group = elbv2::CreateTargetGroupInput {
        name: "nodes".to_owned(),
        protocol: Some("HTTP".to_owned()),
        port: Some(80),
        vpc_id: Some(world.vpc.clone()),
        target_type: Some("instance".to_owned()),
        ..Default::default()
    };
    let made = world.call(&world.elb, elb::handlers().create_target_group, group).unwrap();
    let arn = made.target_groups.unwrap()[0].target_group_arn.clone().unwrap();
    world
        .create(|input| (input.target_group_ar_ns, input.desired_capacity) = (Some(vec![arn.clone()]), Some(1)))
        .unwrap();
    world.settle();
    let targets = || {
        let view = world.store.view();
        elb::query::targets(&view, &Scope::default(), &arn).map(|row| row.target.clone()).collect::<Vec<_>>()
    };
    let id = world.instances()[0].instance_id.clone();
    assert_eq!(targets(), std::slice::from_ref(&id));
    assert_eq!(world.set_desired(0), "success");
    world.settle();
    assert!(targets().is_empty(), "{:?}", targets());
    let groups =
        Groups::new(world.store.clone(), Arc::new(world.clock.clone()), Pace::REAL, world.service.pool.clone());
    assert_eq!(groups.all_keys(&world.store.view()), [Key::new(&Scope::default(), "nodes")]);
}
