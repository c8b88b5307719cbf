//! Tasks on container instances: where they are placed, what moves them, and how their capacity grows and goes. The
//! production controllers on a simulated clock, with a simulated runtime and simulated neighbours.

mod fakes;
mod world;

use ecs::ports::Standing;
use ecs::rows::{ContainerInstanceRow, InstanceStatus};
use fakes::{GROUP, instance};
use model::ecs as shape;
use rollout::TaskStatus;
use runtime::SimScript;
use std::sync::Arc;
use std::time::Duration;
use world::World;

impl World {
    /// Has the instances boot, and their agents look for a cluster.
    async fn launch(&self, zones: &[&str]) {
        for (number, zone) in (1..).zip(zones) {
            let one = instance(number, zone);
            self.outside.state().instances.insert(one.id.clone(), Standing::Ready(Box::new(one)));
        }
        self.look_at_instances().await;
    }

    /// The instances' tables are not in this store, so nothing tells of their changes.
    async fn look_at_instances(&self) {
        for id in self.outside.state().instances.keys() {
            let key = controller::Key::new(&self.scope, id.as_str());
            self.runner.as_ref().expect("it runs").wake("ecs-instances", key);
        }
        self.settle().await;
    }

    /// Registers `web` in host mode, of half a CPU, with this port.
    fn register_for_instances(&self, port: i32) {
        let container = shape::ContainerDefinition {
            name: Some("web".to_owned()),
            image: Some("app:1".to_owned()),
            cpu: Some(512),
            memory: Some(512),
            port_mappings: Some(vec![shape::PortMapping { container_port: Some(port), ..Default::default() }]),
            ..Default::default()
        };
        let input = shape::RegisterTaskDefinitionRequest {
            family: "web".to_owned(),
            network_mode: Some("host".to_owned()),
            container_definitions: vec![container],
            ..Default::default()
        };
        self.call(self.handlers.register_task_definition, input).expect("the definition is valid");
        self.sim.script("app:1", SimScript { on_stop: Some((Duration::ZERO, 0)), ..SimScript::default() });
    }

    fn create_on_instances(&self, change: impl FnOnce(&mut shape::CreateServiceRequest)) {
        let mut input = shape::CreateServiceRequest {
            cluster: Some("c".to_owned()),
            service_name: "web".to_owned(),
            task_definition: Some("web".to_owned()),
            launch_type: Some("EC2".to_owned()),
            ..Default::default()
        };
        change(&mut input);
        self.call(self.handlers.create_service, input).expect("it can be made");
    }

    fn instances(&self) -> Vec<Arc<ContainerInstanceRow>> {
        let mut rows: Vec<_> = self.store.view().scan::<ContainerInstanceRow>(&self.scope).cloned().collect();
        rows.sort_by(|one, other| one.ec2.cmp(&other.ec2));
        rows
    }

    /// How many running tasks each EC2 instance has, in order of their ids.
    fn spread(&self) -> Vec<usize> {
        let running = self.running();
        let on = |row: &Arc<ContainerInstanceRow>| {
            running.iter().filter(|task| task.host.as_ref().is_some_and(|host| host.instance == row.id)).count()
        };
        self.instances().iter().map(on).collect()
    }

    /// An Auto Scaling group without instances.
    fn group(&self, protects_new: bool) {
        let group = ecs::ports::Group {
            name: "nodes".to_owned(),
            arn: "arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:x:autoScalingGroupName/nodes".to_owned(),
            desired: 0,
            bounds: (0, 3),
            protects_new,
            instances: vec![],
            waiting: vec![],
            launches: vec![instance(0, "a").equipment()],
        };
        self.outside.state().groups.insert("nodes".to_owned(), group);
    }

    /// An instance of the group boots.
    fn boot_in_group(&self, number: u32) {
        let protected = self.outside.state().groups["nodes"].protects_new;
        let one = ecs::ports::Ec2Instance { group: Some("nodes".to_owned()), ..instance(number, "a") };
        let mut state = self.outside.state();
        state.groups.get_mut("nodes").expect("it is there").instances.push((one.id.clone(), protected));
        state.instances.insert(one.id.clone(), Standing::Ready(Box::new(one)));
    }

    /// The group is about to end an instance.
    fn end_in_group(&self, ec2: &str) {
        let now = self.control.clock.now();
        let after = |hours| now.plus(Duration::from_hours(hours));
        let mut state = self.outside.state();
        assert!(state.drained.contains("nodes"), "it waits for nobody");
        let group = state.groups.get_mut("nodes").expect("it is there");
        group.instances.retain(|one| one.0 != ec2);
        group.waiting.push(ecs::ports::Waiting { instance: ec2.to_owned(), until: after(1), last: after(48) });
    }

    fn look_at_group(&self) {
        let key = controller::Key::new(&self.scope, "nodes");
        self.runner.as_ref().expect("it runs").wake("ecs-managed-draining", key);
    }

    fn drain(&self, id: &str) {
        let input = shape::UpdateContainerInstancesStateRequest {
            cluster: Some("c".to_owned()),
            container_instances: vec![id.to_owned()],
            status: "DRAINING".to_owned(),
        };
        let answer = self.call(self.handlers.update_container_instances_state, input).expect("it can be drained");
        assert_eq!(answer.failures, Some(vec![]));
    }
}

#[tokio::test]
async fn a_service_on_instances_is_spread_drained_and_replaced() {
    let world = World::new();
    world.cluster();
    world.launch(&["a", "b"]).await;
    assert_eq!(world.instances().iter().map(|row| row.memory).collect::<Vec<_>>(), [3904, 3904]);
    world.register_for_instances(8080);
    let group = GROUP.replace("web", "instance");
    world.create_on_instances(|input| {
        input.desired_count = Some(3);
        input.load_balancers = Some(vec![shape::LoadBalancer {
            target_group_arn: Some(group.clone()),
            container_name: Some("web".to_owned()),
            container_port: Some(8080),
            ..Default::default()
        }]);
    });
    world.pass(30).await;
    assert_eq!(world.spread(), [1, 1], "the port is taken on both");
    let complaints = || {
        let events = world.events();
        events.into_iter().filter(|text| text.contains("already using a port required by your task")).count()
    };
    assert_eq!(complaints(), 1, "it is said once: {:?}", world.events());
    let target = (group, "i-00000000000000001".to_owned(), 8080);
    assert!(world.outside.state().targets.contains_key(&target), "the target is the instance");
    world.update(|input| input.desired_count = Some(2));
    world.pass(60).await;
    assert!(world.events().last().is_some_and(|text| text.ends_with("has reached a steady state.")));

    // A third instance makes room for what leaves the first.
    world.launch(&["a", "b", "a"]).await;
    let draining = world.instances()[0].id.clone();
    world.drain(&draining);
    world.pass(2).await;
    assert_eq!(world.running().len(), 3, "with 100 percent healthy the replacement comes first");
    world.pass(60).await;
    assert_eq!(world.spread(), [0, 1, 1], "nothing is left on the one that drains");
    let input = shape::DeregisterContainerInstanceRequest {
        cluster: Some("c".to_owned()),
        container_instance: draining.clone(),
        force: None,
    };
    world.call(world.handlers.deregister_container_instance, input).expect("nothing runs there");
    world.look_at_instances().await;
    assert_eq!(world.instances()[0].status, InstanceStatus::Inactive, "its agent does not come back by itself");

    // The second is terminated under its task.
    let lost = world.running().into_iter().find(|row| row.placement.zone == "us-east-1b").expect("one is there");
    world.outside.state().instances.insert("i-00000000000000002".to_owned(), Standing::Gone);
    world.look_at_instances().await;
    world.pass(5).await;
    let lost = world.tasks().into_iter().find(|row| row.id == lost.id).expect("it can be described");
    assert_eq!(lost.last, TaskStatus::Stopped);
    let reason = lost.stop.clone().map(|stop| stop.reason);
    assert_eq!(reason.as_deref(), Some("Host EC2 (instance i-00000000000000002) terminated."));
    assert_eq!(world.instances()[1].status, InstanceStatus::Inactive);
    assert_eq!(world.describe().running_count, Some(1), "the only instance left has the port taken");

    world.launch(&["a", "b", "a", "b"]).await;
    world.pass(60).await;
    assert_eq!(world.running().len(), 2, "a new instance takes what waits: {:?}", world.events());
    assert_eq!(world.describe().deployments.expect("shown")[0].failed_tasks, Some(0));
    let containers = {
        use runtime::Runtime as _;
        world.sim.list().await.expect("the simulated runtime lists").len()
    };
    assert_eq!(containers, 2, "what was lost is gone");
}

#[tokio::test]
async fn a_group_grows_to_what_waits_and_shrinks_when_it_has_rested() {
    let world = World::new();
    world.cluster();
    world.group(true);
    let provider = |name: &str, protection: &str| shape::CreateCapacityProviderRequest {
        name: name.to_owned(),
        auto_scaling_group_provider: Some(shape::AutoScalingGroupProvider {
            auto_scaling_group_arn: "nodes".to_owned(),
            managed_scaling: Some(shape::ManagedScaling { status: Some("ENABLED".to_owned()), ..Default::default() }),
            managed_termination_protection: Some(protection.to_owned()),
            ..Default::default()
        }),
        ..Default::default()
    };
    let create = |input| world.call(world.handlers.create_capacity_provider, input);
    create(provider("nodes", "ENABLED")).expect("the group is there");
    assert!(create(provider("nodes", "ENABLED")).expect_err("its name").message.contains("already exists"));
    assert!(create(provider("more", "ENABLED")).expect_err("its group").message.contains("already being used"));
    let put = |providers: &[&str]| shape::PutClusterCapacityProvidersRequest {
        cluster: "c".to_owned(),
        capacity_providers: providers.iter().map(ToString::to_string).collect(),
        ..Default::default()
    };
    world.call(world.handlers.put_cluster_capacity_providers, put(&["nodes"])).expect("it exists");
    world.call(world.handlers.put_cluster_capacity_providers, put(&["nodes"])).expect("it is there already");
    let second = |providers: &[&str]| shape::CreateClusterRequest {
        cluster_name: Some("d".to_owned()),
        capacity_providers: Some(providers.iter().map(ToString::to_string).collect()),
        ..Default::default()
    };
    let elsewhere = world.call(world.handlers.create_cluster, second(&["nodes"])).expect_err("it is another's");
    assert_eq!(elsewhere.code, "InvalidParameterException");
    assert!(elsewhere.message.contains("one cluster at a time"), "{}", elsewhere.message);
    world.call(world.handlers.create_cluster, second(&[])).expect("without it");
    let of_second =
        |providers: &[&str]| shape::PutClusterCapacityProvidersRequest { cluster: "d".to_owned(), ..put(providers) };
    let elsewhere = world.call(world.handlers.put_cluster_capacity_providers, of_second(&["nodes"]));
    assert_eq!(elsewhere.expect_err("it is another's").code, "InvalidParameterException");
    let scaling = |status: &str| shape::UpdateCapacityProviderRequest {
        name: "nodes".to_owned(),
        auto_scaling_group_provider: Some(shape::AutoScalingGroupProviderUpdate {
            managed_scaling: Some(shape::ManagedScaling { status: Some(status.to_owned()), ..Default::default() }),
            managed_termination_protection: Some(if status == "ENABLED" { "ENABLED" } else { "DISABLED" }.to_owned()),
            ..Default::default()
        }),
        ..Default::default()
    };
    let update = |status: &str| world.call(world.handlers.update_capacity_provider, scaling(status));
    update("DISABLED").expect("it can be turned off");
    world.call(world.handlers.put_cluster_capacity_providers, of_second(&["nodes"])).expect("nobody scales it");
    assert_eq!(update("ENABLED").expect_err("two clusters have it").code, "InvalidParameterException");
    world.call(world.handlers.put_cluster_capacity_providers, of_second(&[])).expect("nothing uses it there");
    update("ENABLED").expect("one cluster has it");
    world.register_for_instances(8080);
    world.create_on_instances(|input| {
        input.launch_type = None;
        input.desired_count = Some(2);
        input.capacity_provider_strategy = Some(vec![shape::CapacityProviderStrategyItem {
            capacity_provider: "nodes".to_owned(),
            weight: Some(1),
            base: None,
        }]);
    });
    // What the group would do: its instances are as many as it is to have, ended where they are not protected.
    let desired = || world.outside.state().groups["nodes"].desired;
    let protected = || world.outside.state().groups["nodes"].instances.iter().filter(|one| one.1).count();
    let boot = |number: u32| world.boot_in_group(number);
    world.pass(70).await;
    assert_eq!(desired(), 1, "both would fit by size: {:?}", world.events());
    boot(1);
    world.look_at_instances().await;
    world.pass(5).await;
    assert_eq!(world.instances()[0].capacity_provider.as_deref(), Some("nodes"));
    assert_eq!(world.running().len(), 1, "the port is taken");
    world.pass(70).await;
    assert_eq!(desired(), 2, "the other one still waits");
    boot(2);
    world.look_at_instances().await;
    world.pass(70).await;
    assert_eq!((world.running().len(), desired(), protected()), (2, 2, 2), "{:?}", world.events());

    world.update(|input| input.desired_count = Some(0));
    world.pass(600).await;
    assert_eq!((desired(), protected()), (2, 0), "nothing runs there, and patience holds");
    world.pass(600).await;
    assert_eq!(desired(), 0, "there has been too much for fifteen minutes");
    let in_use = world.call(world.handlers.put_cluster_capacity_providers, put(&[])).expect_err("a service needs it");
    assert_eq!(in_use.code, "ResourceInUseException");
}

#[tokio::test]
async fn a_group_does_not_grow_for_tasks_that_fit_none_of_its_instances() {
    let world = World::new();
    world.cluster();
    world.group(false);
    let provider = shape::CreateCapacityProviderRequest {
        name: "nodes".to_owned(),
        auto_scaling_group_provider: Some(shape::AutoScalingGroupProvider {
            auto_scaling_group_arn: "nodes".to_owned(),
            managed_scaling: Some(shape::ManagedScaling { status: Some("ENABLED".to_owned()), ..Default::default() }),
            ..Default::default()
        }),
        ..Default::default()
    };
    world.call(world.handlers.create_capacity_provider, provider).expect("the group is there");
    let put = shape::PutClusterCapacityProvidersRequest {
        cluster: "c".to_owned(),
        capacity_providers: vec!["nodes".to_owned()],
        ..Default::default()
    };
    world.call(world.handlers.put_cluster_capacity_providers, put).expect("it exists");
    let strategy = vec![shape::CapacityProviderStrategyItem {
        capacity_provider: "nodes".to_owned(),
        weight: Some(1),
        ..Default::default()
    }];
    let define = |family: &str, cpu: i32, memory: i32, port: i32| {
        let container = shape::ContainerDefinition {
            name: Some("web".to_owned()),
            image: Some("app:1".to_owned()),
            cpu: Some(cpu),
            memory: Some(memory),
            port_mappings: Some(vec![shape::PortMapping { container_port: Some(port), ..Default::default() }]),
            ..Default::default()
        };
        let input = shape::RegisterTaskDefinitionRequest {
            family: family.to_owned(),
            network_mode: Some("host".to_owned()),
            container_definitions: vec![container],
            ..Default::default()
        };
        world.call(world.handlers.register_task_definition, input).expect("the definition is valid");
    };
    define("fast", 4096, 128, 8080);
    define("large", 128, 4000, 8080);
    define("ssh", 128, 128, 22);
    let constraint = shape::PlacementConstraint {
        type_: Some("memberOf".to_owned()),
        expression: Some("attribute:nosuch == x".to_owned()),
    };
    for family in ["fast", "large", "ssh"] {
        world.create_on_instances(|input| {
            (input.service_name, input.task_definition) = (family.to_owned(), Some(family.to_owned()));
            (input.launch_type, input.desired_count) = (None, Some(1));
            input.capacity_provider_strategy = Some(strategy.clone());
        });
        let run = shape::RunTaskRequest {
            cluster: Some("c".to_owned()),
            task_definition: family.to_owned(),
            capacity_provider_strategy: Some(strategy.clone()),
            ..Default::default()
        };
        let told = world.call(world.handlers.run_task, run).expect("it waits");
        assert_eq!(told.tasks.expect("tasks")[0].last_status.as_deref(), Some("PROVISIONING"));
    }
    world.register_for_instances(8080);
    world.create_on_instances(|input| {
        (input.service_name, input.launch_type, input.desired_count) = ("nowhere".to_owned(), None, Some(1));
        input.capacity_provider_strategy = Some(strategy.clone());
        input.placement_constraints = Some(vec![constraint.clone()]);
    });
    let desired = || world.outside.state().groups["nodes"].desired;
    world.pass(300).await;
    assert_eq!(desired(), 0, "none of them fits an instance of the group");

    // What fits one makes it grow, by what it needs itself; the others do not, with an instance there to look at.
    world.create_on_instances(|input| {
        (input.launch_type, input.desired_count) = (None, Some(1));
        input.capacity_provider_strategy = Some(strategy.clone());
        let expression = Some("attribute:stack == prod".to_owned());
        input.placement_constraints = Some(vec![shape::PlacementConstraint { expression, ..constraint.clone() }]);
    });
    world.pass(70).await;
    assert_eq!(desired(), 1);
    world.boot_in_group(1);
    world.look_at_instances().await;
    world.pass(300).await;
    assert_eq!((world.running().len(), desired()), (1, 1), "{:?}", world.events());
}

#[tokio::test]
async fn a_standalone_task_waits_for_an_instance_of_its_provider() {
    let world = World::new();
    world.cluster();
    world.group(false);
    let provider = shape::CreateCapacityProviderRequest {
        name: "nodes".to_owned(),
        auto_scaling_group_provider: Some(shape::AutoScalingGroupProvider {
            auto_scaling_group_arn: "nodes".to_owned(),
            managed_scaling: Some(shape::ManagedScaling { status: Some("ENABLED".to_owned()), ..Default::default() }),
            ..Default::default()
        }),
        ..Default::default()
    };
    world.call(world.handlers.create_capacity_provider, provider).expect("the group is there");
    let put = shape::PutClusterCapacityProvidersRequest {
        cluster: "c".to_owned(),
        capacity_providers: vec!["nodes".to_owned()],
        ..Default::default()
    };
    world.call(world.handlers.put_cluster_capacity_providers, put).expect("it exists");
    world.register_for_instances(8080);
    let item = shape::CapacityProviderStrategyItem { capacity_provider: "nodes".to_owned(), ..Default::default() };
    let run = |change: &dyn Fn(&mut shape::RunTaskRequest)| {
        let mut input = shape::RunTaskRequest {
            cluster: Some("c".to_owned()),
            task_definition: "web".to_owned(),
            capacity_provider_strategy: Some(vec![shape::CapacityProviderStrategyItem {
                weight: Some(1),
                ..item.clone()
            }]),
            ..Default::default()
        };
        change(&mut input);
        world.call(world.handlers.run_task, input)
    };
    let told = run(&|input| input.count = Some(2)).expect("they wait");
    let tasks = told.tasks.expect("tasks");
    assert_eq!((tasks.len(), told.failures), (2, Some(vec![])));
    for task in &tasks {
        assert_eq!(task.last_status.as_deref(), Some("PROVISIONING"));
        assert_eq!((task.launch_type.as_deref(), task.capacity_provider_name.as_deref()), (Some("EC2"), Some("nodes")));
        assert_eq!((&task.container_instance_arn, &task.availability_zone), (&None, &None));
    }
    let desired = || world.outside.state().groups["nodes"].desired;
    let boot = |number: u32| world.boot_in_group(number);
    // Longer than a network interface may take, which is another matter.
    world.pass(300).await;
    assert_eq!(desired(), 1, "both would fit by size");
    boot(1);
    world.look_at_instances().await;
    world.pass(5).await;
    assert_eq!(world.running().len(), 1, "the port is taken");
    world.pass(70).await;
    assert_eq!(desired(), 2, "the other one still waits");

    // One that is stopped waits no more, and what nobody can make room for fails at once.
    let waiting = world.tasks().into_iter().find(|row| row.waits.is_some()).expect("one waits");
    let stop = shape::StopTaskRequest { cluster: Some("c".to_owned()), task: waiting.id.clone(), ..Default::default() };
    world.call(world.handlers.stop_task, stop).expect("it is there");
    world.pass(5).await;
    let stopped = world.tasks().into_iter().find(|row| row.id == waiting.id).expect("it can be described");
    assert_eq!((stopped.last, stopped.host.is_some()), (TaskStatus::Stopped, false));
    let nowhere = shape::PlacementConstraint {
        type_: Some("memberOf".to_owned()),
        expression: Some("attribute:ecs.availability-zone == nowhere".to_owned()),
    };
    let refused = run(&|input| input.placement_constraints = Some(vec![nowhere.clone()])).expect("it is answered");
    assert_eq!((refused.tasks.map(|tasks| tasks.len()), refused.failures.map(|list| list.len())), (Some(0), Some(1)));

    // Room that another task leaves is as good as a new instance, and nobody waits for ever.
    run(&|input| input.count = Some(2)).expect("they wait");
    let first = world.running().remove(0).id.clone();
    let stop = shape::StopTaskRequest { cluster: Some("c".to_owned()), task: first.clone(), ..Default::default() };
    world.call(world.handlers.stop_task, stop).expect("it runs");
    world.pass(10).await;
    assert_eq!(world.running().len(), 1);
    assert_ne!(world.running()[0].id, first);
    world.outside.state().groups.get_mut("nodes").expect("it is there").bounds = (0, 1);
    world.pass(1000).await;
    let late: Vec<_> = world.tasks().into_iter().filter(|row| row.waits.is_some() && row.id != waiting.id).collect();
    assert_eq!(late.len(), 1);
    let stop = late[0].stop.clone().expect("it has stopped");
    assert_eq!((late[0].last, stop.code), (TaskStatus::Stopped, rollout::StopCode::TaskFailedToStart));
    assert!(stop.reason.contains("capacity provider nodes"), "{}", stop.reason);
}

#[tokio::test]
async fn an_instance_that_its_group_ends_is_drained_first() {
    let mut world = World::new();
    world.cluster();
    world.group(false);
    let provider = shape::CreateCapacityProviderRequest {
        name: "nodes".to_owned(),
        auto_scaling_group_provider: Some(shape::AutoScalingGroupProvider {
            auto_scaling_group_arn: "nodes".to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let made = world.call(world.handlers.create_capacity_provider, provider).expect("the group is there");
    let made = made.capacity_provider.and_then(|made| made.auto_scaling_group_provider).expect("it is shown");
    assert_eq!(made.managed_draining.as_deref(), Some("ENABLED"), "unasked");
    let put = shape::PutClusterCapacityProvidersRequest {
        cluster: "c".to_owned(),
        capacity_providers: vec!["nodes".to_owned()],
        ..Default::default()
    };
    world.call(world.handlers.put_cluster_capacity_providers, put).expect("it exists");
    world.boot_in_group(1);
    world.boot_in_group(2);
    world.look_at_instances().await;
    world.register_for_instances(8080);
    world.create_on_instances(|input| {
        input.launch_type = None;
        input.desired_count = Some(1);
        input.capacity_provider_strategy = Some(vec![shape::CapacityProviderStrategyItem {
            capacity_provider: "nodes".to_owned(),
            weight: Some(1),
            base: None,
        }]);
    });
    let agent = shape::ContainerDefinition {
        name: Some("agent".to_owned()),
        image: Some("app:1".to_owned()),
        memory: Some(128),
        ..Default::default()
    };
    let definition = |family: &str, container: shape::ContainerDefinition| shape::RegisterTaskDefinitionRequest {
        family: family.to_owned(),
        network_mode: Some("host".to_owned()),
        container_definitions: vec![container],
        ..Default::default()
    };
    world.call(world.handlers.register_task_definition, definition("agent", agent.clone())).expect("it is valid");
    world.create_on_instances(|input| {
        (input.service_name, input.task_definition) = ("agent".to_owned(), Some("agent".to_owned()));
        input.scheduling_strategy = Some("DAEMON".to_owned());
    });
    world.pass(60).await;
    assert_eq!(world.running().len(), 3, "{:?}", world.events());
    let of = |world: &World, service: Option<&str>, host: &str| {
        let running = world.running().into_iter();
        let on = running.filter(|task| task.host.as_ref().is_some_and(|row| row.instance == host));
        on.filter(|task| task.service.as_deref() == service).count()
    };
    let web = |world: &World| {
        world.running().into_iter().filter(|task| task.service.as_deref() == Some("web")).collect::<Vec<_>>()
    };
    let ending = web(&world)[0].host.clone().expect("it is on an instance").instance;
    let job = shape::StartTaskRequest {
        cluster: Some("c".to_owned()),
        container_instances: vec![ending.clone()],
        task_definition: "agent".to_owned(),
        ..Default::default()
    };
    let started = world.call(world.handlers.start_task, job).expect("there is room");
    let job = started.tasks.and_then(|tasks| tasks[0].task_arn.clone()).expect("it starts");
    world.pass(5).await;
    assert_eq!(of(&world, None, &ending), 1);

    // The group ends that instance: the service moves without a gap, the job is waited for, and the daemon with it.
    let row = world.instances().into_iter().find(|row| row.id == ending).expect("it is there");
    world.end_in_group(&row.ec2);
    world.look_at_group();
    let waits = |world: &World| world.outside.state().groups["nodes"].waiting.clone();
    let first = waits(&world)[0].until;
    for step in 0..120 {
        world.pass(1).await;
        assert!(!web(&world).is_empty(), "the service has a gap after {step} s: {:?}", world.events());
        if step == 30 {
            world.crash().await;
            world.boot();
        }
    }
    let status = |world: &World| {
        world.instances().into_iter().find(|row| row.id == ending).map(|row| row.status).expect("it can be described")
    };
    assert_eq!(status(&world), InstanceStatus::Draining);
    assert_eq!((web(&world).len(), of(&world, Some("web"), &ending)), (1, 0), "it has moved");
    assert_eq!((of(&world, None, &ending), of(&world, Some("agent"), &ending)), (1, 1));
    world.pass(1900).await;
    assert!(waits(&world)[0].until > first, "the group hears that the job is still there");

    let stop = shape::StopTaskRequest { cluster: Some("c".to_owned()), task: job, ..Default::default() };
    world.call(world.handlers.stop_task, stop).expect("it runs");
    world.pass(10).await;
    assert_eq!(of(&world, Some("agent"), &ending), 0, "the daemon goes last");
    assert_eq!(waits(&world), [], "nothing is left there, so it may end");
    world.look_at_instances().await;
    world.pass(5).await;
    assert_eq!((status(&world), world.running().len()), (InstanceStatus::Inactive, 2));

    // Whoever wants that no more waits for nothing.
    let other = world.instances().into_iter().find(|row| row.id != ending).expect("one is left");
    world.end_in_group(&other.ec2);
    let update = shape::UpdateCapacityProviderRequest {
        name: "nodes".to_owned(),
        auto_scaling_group_provider: Some(shape::AutoScalingGroupProviderUpdate {
            managed_draining: Some("DISABLED".to_owned()),
            ..Default::default()
        }),
        ..Default::default()
    };
    world.call(world.handlers.update_capacity_provider, update).expect("it can be turned off");
    assert_eq!((waits(&world), world.outside.state().drained.len()), (vec![], 0));
}

#[tokio::test]
async fn managed_draining_is_on_only_where_its_hook_is() {
    let world = World::new();
    world.group(false);
    let full = |is: bool| {
        let mut state = world.outside.state();
        state.full = is.then(|| "nodes".to_owned()).into_iter().collect();
    };
    let create = |drains: &str| {
        let provider = shape::CreateCapacityProviderRequest {
            name: "nodes".to_owned(),
            auto_scaling_group_provider: Some(shape::AutoScalingGroupProvider {
                auto_scaling_group_arn: "nodes".to_owned(),
                managed_draining: Some(drains.to_owned()),
                ..Default::default()
            }),
            ..Default::default()
        };
        world.call(world.handlers.create_capacity_provider, provider)
    };
    let update = |drains: &str| {
        let update = shape::UpdateCapacityProviderRequest {
            name: "nodes".to_owned(),
            auto_scaling_group_provider: Some(shape::AutoScalingGroupProviderUpdate {
                managed_draining: Some(drains.to_owned()),
                ..Default::default()
            }),
            ..Default::default()
        };
        world.call(world.handlers.update_capacity_provider, update)
    };
    let hooked = || world.outside.state().drained.contains("nodes");
    full(true);
    let refused = create("ENABLED").expect_err("there is no room for the hook");
    assert_eq!(refused.code, "ClientException");
    assert!(refused.message.ends_with("Auto Scaling group: it has too many."), "{}", refused.message);
    create("DISABLED").expect("that needs no hook, and nothing was left of the other");
    assert_eq!(update("ENABLED").expect_err("there is still no room").code, "ClientException");
    full(false);
    update("ENABLED").expect("there is");
    assert!(hooked());
    // Somebody takes the hook off by hand.
    world.outside.state().drained.clear();
    update("ENABLED").expect("it is put again");
    assert!(hooked());
}

#[tokio::test]
async fn tasks_in_bridge_mode_have_ports_and_addresses_of_their_own() {
    let world = World::new();
    world.cluster();
    world.launch(&["a"]).await;
    let register = |ports: &[i32]| {
        let mapping = |port: &i32| shape::PortMapping { container_port: Some(*port), ..Default::default() };
        let container = shape::ContainerDefinition {
            name: Some("web".to_owned()),
            image: Some("app:1".to_owned()),
            memory: Some(256),
            port_mappings: Some(ports.iter().map(mapping).collect()),
            ..Default::default()
        };
        let input = shape::RegisterTaskDefinitionRequest {
            family: "web".to_owned(),
            network_mode: Some("bridge".to_owned()),
            container_definitions: vec![container],
            ..Default::default()
        };
        world.call(world.handlers.register_task_definition, input).expect("the definition is valid");
    };
    let run = || {
        let input = shape::RunTaskRequest {
            cluster: Some("c".to_owned()),
            task_definition: "web".to_owned(),
            launch_type: Some("EC2".to_owned()),
            count: Some(3),
            ..Default::default()
        };
        world.call(world.handlers.run_task, input)
    };
    world.sim.script("app:1", SimScript { on_stop: Some((Duration::ZERO, 0)), ..SimScript::default() });
    register(&[80, 80]);
    let twice = run().expect_err("they share one network");
    assert_eq!(twice.code, "NotImplemented");
    register(&[80]);
    run().expect("there is room");
    world.pass(5).await;
    let mut behind: Vec<_> = {
        let state = world.outside.state();
        let of =
            |host: &ecs::rows::HostRow| (host.behind.expect("in bridge mode").to_string(), host.bindings[0].host_port);
        state.behind.values().map(of).collect()
    };
    behind.sort();
    let expected = [("172.17.0.2", 49_153), ("172.17.0.3", 49_154), ("172.17.0.4", 49_155)];
    assert_eq!(behind, expected.map(|(ip, port)| (ip.to_owned(), port)));
    assert_eq!(world.running().len(), 3);
    for task in world.running() {
        let input = shape::StopTaskRequest { cluster: Some("c".to_owned()), task: task.id.clone(), reason: None };
        world.call(world.handlers.stop_task, input).expect("it runs");
    }
    world.pass(10).await;
    assert!(world.running().is_empty());
    assert!(world.outside.state().behind.is_empty(), "no network outlives its task");
}

#[tokio::test]
async fn a_daemon_is_on_every_instance_that_takes_tasks() {
    let world = World::new();
    world.cluster();
    world.launch(&["a", "b"]).await;
    world.register_for_instances(8080);
    world.create_on_instances(|input| {
        input.scheduling_strategy = Some("DAEMON".to_owned());
        input.placement_constraints = Some(vec![shape::PlacementConstraint {
            type_: Some("memberOf".to_owned()),
            expression: Some("attribute:stack == prod".to_owned()),
        }]);
    });
    world.pass(60).await;
    assert_eq!((world.spread(), world.describe().desired_count), (vec![1, 1], Some(2)));
    world.launch(&["a", "b", "a"]).await;
    world.pass(10).await;
    assert_eq!(world.spread(), [1, 1, 1], "a new instance gets one");
    world.update(|input| input.force_new_deployment = Some(true));
    world.pass(120).await;
    assert_eq!(world.spread(), [1, 1, 1], "the port is free when the new one comes: {:?}", world.events());
    assert_eq!(world.describe().deployments.map(|list| list.len()), Some(1));
    world.drain(&world.instances()[2].id);
    world.pass(60).await;
    assert_eq!((world.spread(), world.describe().desired_count), (vec![1, 1, 0], Some(2)));
}

#[tokio::test]
async fn what_cannot_be_placed_is_told_instance_by_instance() {
    let world = World::new();
    world.cluster();
    world.register_for_instances(8080);
    let run = |change: &dyn Fn(&mut shape::RunTaskRequest)| {
        let mut input = shape::RunTaskRequest {
            cluster: Some("c".to_owned()),
            task_definition: "web".to_owned(),
            launch_type: Some("EC2".to_owned()),
            ..Default::default()
        };
        change(&mut input);
        world.call(world.handlers.run_task, input)
    };
    let refused = run(&|_| {}).expect_err("there are no instances");
    assert_eq!(refused.message, "No Container Instances were found in your cluster.");
    world.launch(&["a", "b"]).await;
    let answer = run(&|input| input.count = Some(3)).expect("two fit");
    let reasons = |failures: Option<Vec<shape::Failure>>| {
        failures.unwrap_or_default().into_iter().filter_map(|failure| failure.reason).collect::<Vec<_>>()
    };
    let tasks = answer.tasks.expect("they are shown");
    assert_eq!((tasks.len(), reasons(answer.failures)), (2, vec!["RESOURCE:PORTS".to_owned(); 2]));
    assert_eq!(tasks[0].launch_type.as_deref(), Some("EC2"));
    assert!(tasks[0].container_instance_arn.as_ref().is_some_and(|arn| arn.contains(":container-instance/c/")));
    world.pass(2).await;
    let stop = shape::StopTaskRequest {
        cluster: Some("c".to_owned()),
        task: tasks[1].task_arn.clone().expect("it has one"),
        reason: None,
    };
    world.call(world.handlers.stop_task, stop).expect("it stops");
    world.pass(2).await;
    let constrained = |expression: &str| {
        let constraint =
            shape::PlacementConstraint { type_: Some("memberOf".to_owned()), expression: Some(expression.to_owned()) };
        run(&|input| input.placement_constraints = Some(vec![constraint.clone()]))
    };
    let answer = constrained("attribute:stack == dev").expect("it is answered");
    let unsatisfied = "MemberOf placement constraint unsatisfied.".to_owned();
    assert_eq!(reasons(answer.failures), [unsatisfied.clone(), unsatisfied]);
    assert_eq!(constrained("stack == dev").expect_err("it is no expression").code, "InvalidParameterException");

    // What is started by name goes where it is said, or is told why not.
    let ids: Vec<String> = world.instances().iter().map(|row| row.id.clone()).collect();
    let input = shape::StartTaskRequest {
        cluster: Some("c".to_owned()),
        container_instances: vec![ids[0].clone(), ids[1].clone(), "0".repeat(32)],
        task_definition: "web".to_owned(),
        ..Default::default()
    };
    let answer = world.call(world.handlers.start_task, input).expect("it is answered");
    assert_eq!(answer.tasks.map(|tasks| tasks.len()), Some(1));
    assert_eq!(reasons(answer.failures), ["RESOURCE:PORTS", "MISSING"].map(str::to_owned));

    // The instances themselves: attributes, filters, what remains.
    let attribute = |name: &str, value: Option<&str>| shape::Attribute {
        name: name.to_owned(),
        value: value.map(str::to_owned),
        target_type: Some("container-instance".to_owned()),
        target_id: Some(ids[0].clone()),
    };
    let put = |attribute: shape::Attribute| {
        let input = shape::PutAttributesRequest { cluster: Some("c".to_owned()), attributes: vec![attribute] };
        world.call(world.handlers.put_attributes, input)
    };
    put(attribute("colour", Some("blue"))).expect("it can be put");
    assert!(put(attribute("ecs.instance-type", Some("x"))).is_err(), "that is the agent's");
    assert!(put(attribute("a b", None)).is_err() && put(attribute("a", Some(" x"))).is_err());
    let list = |filter: &str| {
        let input = shape::ListContainerInstancesRequest {
            cluster: Some("c".to_owned()),
            filter: Some(filter.to_owned()),
            ..Default::default()
        };
        world
            .call(world.handlers.list_container_instances, input)
            .map(|answer| answer.container_instance_arns.unwrap_or_default().len())
    };
    assert_eq!(list("attribute:colour == blue"), Ok(1));
    assert_eq!(list("task:group == family:web and runningTasksCount > 0"), Ok(2));
    assert_eq!(list("agentVersion < 1.0.0"), Ok(0));
    assert_eq!(list("colour == blue").expect_err("it is no expression").code, "InvalidParameterException");
    let input = shape::ListAttributesRequest {
        cluster: Some("c".to_owned()),
        target_type: "container-instance".to_owned(),
        attribute_name: Some("colour".to_owned()),
        ..Default::default()
    };
    let listed = world.call(world.handlers.list_attributes, input).expect("they can be listed");
    assert_eq!(listed.attributes.map(|list| list.len()), Some(1));
    let input = shape::DescribeContainerInstancesRequest {
        cluster: Some("c".to_owned()),
        container_instances: vec![ids[0].clone()],
        include: None,
    };
    let health = shape::DescribeContainerInstancesRequest {
        include: Some(vec!["TAGS".to_owned(), "CONTAINER_INSTANCE_HEALTH".to_owned()]),
        ..input.clone()
    };
    let refused = world.call(world.handlers.describe_container_instances, health).expect_err("nobody checks it");
    assert_eq!(refused.code, "NotImplemented");
    let shown = world.call(world.handlers.describe_container_instances, input).expect("it is there");
    let shown = shown.container_instances.expect("it is shown").remove(0);
    let remaining: Vec<Option<i32>> =
        shown.remaining_resources.expect("shown").iter().map(|resource| resource.integer_value).collect();
    assert_eq!(remaining[..2], [Some(1536), Some(3392)]);
    let input = shape::DeleteClusterRequest { cluster: "c".to_owned() };
    let refused = world.call(world.handlers.delete_cluster, input).expect_err("it has tasks and instances");
    assert_eq!(refused.code, "ClusterContainsTasksException");
    let force = |force| shape::DeregisterContainerInstanceRequest {
        cluster: Some("c".to_owned()),
        container_instance: ids[0].clone(),
        force,
    };
    assert_eq!(
        world.call(world.handlers.deregister_container_instance, force(None)).expect_err("it is busy").message,
        "Found running tasks on the instance."
    );
    world.call(world.handlers.deregister_container_instance, force(Some(true))).expect("it is forced");
    world.pass(5).await;
    let gone: Vec<_> = world.tasks().into_iter().filter_map(|row| row.stop.clone()).map(|stop| stop.reason).collect();
    assert!(gone.contains(&"Container instance deregistration forced by user".to_owned()), "{gone:?}");
}

#[tokio::test]
async fn an_instances_version_grows_with_what_comes_and_goes_there() {
    let world = World::new();
    world.cluster();
    world.launch(&["a"]).await;
    world.register_for_instances(8080);
    let version = || world.instances()[0].version;
    let registered = version();
    let input = shape::RunTaskRequest {
        cluster: Some("c".to_owned()),
        task_definition: "web".to_owned(),
        launch_type: Some("EC2".to_owned()),
        ..Default::default()
    };
    let task = world.call(world.handlers.run_task, input).expect("it fits").tasks.expect("it is shown").remove(0);
    world.pass(60).await;
    assert_eq!(version(), registered + 1, "it took of the instance, and runs on without taking more");
    let stop = shape::StopTaskRequest {
        cluster: Some("c".to_owned()),
        task: task.task_arn.expect("it has one"),
        ..Default::default()
    };
    world.call(world.handlers.stop_task, stop).expect("it stops");
    world.pass(60).await;
    assert_eq!(version(), registered + 2, "and gave it back");
}
