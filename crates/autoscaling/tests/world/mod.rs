//! A small account in which groups live: its store, the handlers as users call them, and the controllers.

use autoscaling::AutoScaling;
use autoscaling::control::Groups;
use controller::Controller;
use gateway::{Context, Principal};
use model::autoscaling as api;
use model::ec2;
use netplan::Ground;
use std::sync::Arc;
use store::Store;
use types::{AccountId, ApiError, Pace, Scope, SimClock, Timestamp};
use vpc::intent::PublicPool;
use vpc::rows::{InterfaceState, NetworkInterface};

/// A store with two subnets and a launch template, and what runs on it.
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) clock: SimClock,
    pub(crate) ec2: vpc::api::Ec2,
    pub(crate) elb: elb::Elb,
    pub(crate) service: AutoScaling,
    pub(crate) handlers: api::Handlers<AutoScaling, Context>,
    pub(crate) subnets: Vec<String>,
    pub(crate) vpc: String,
}

impl World {
    pub(crate) fn new() -> Self {
        let ground = Ground {
            instance: "0123abcd".to_owned(),
            pool: "198.18.0.0/20".parse().unwrap(),
            ipv6: true,
            outbound: false,
        };
        let tables = [
            vpc::tables(),
            iam::tables(),
            observe::tables(),
            elb::tables(),
            acm::tables(),
            events::tables(),
            autoscaling::tables(),
        ];
        let pool = PublicPool::new(&ground);
        let mut world = Self {
            store: Store::in_memory(tables.concat()),
            clock: SimClock::new(Timestamp(1_800_000_000_000)),
            elb: elb::Elb { pool: pool.clone() },
            service: AutoScaling { pool: pool.clone(), pace: Pace::REAL },
            ec2: vpc::api::Ec2 { pool, ground },
            handlers: autoscaling::handlers(),
            subnets: Vec::new(),
            vpc: String::new(),
        };
        let calls = vpc::api::handlers();
        let made = world.ec2(
            calls.create_vpc,
            ec2::CreateVpcRequest { cidr_block: Some("10.0.0.0/16".to_owned()), ..Default::default() },
        );
        world.vpc = made.vpc.and_then(|vpc| vpc.vpc_id).unwrap();
        for (block, zone) in [("10.0.1.0/24", "us-east-1a"), ("10.0.2.0/24", "us-east-1b")] {
            let made = world.ec2(
                calls.create_subnet,
                ec2::CreateSubnetRequest {
                    vpc_id: world.vpc.clone(),
                    cidr_block: Some(block.to_owned()),
                    availability_zone: Some(zone.to_owned()),
                    ..Default::default()
                },
            );
            world.subnets.push(made.subnet.and_then(|subnet| subnet.subnet_id).unwrap());
        }
        let data = ec2::RequestLaunchTemplateData {
            image_id: Some(vpc::images::all(&Scope::default().region)[0].id.clone()),
            instance_type: Some("t3.small".to_owned()),
            ..Default::default()
        };
        world.ec2(
            calls.create_launch_template,
            ec2::CreateLaunchTemplateRequest {
                launch_template_name: "nodes".to_owned(),
                launch_template_data: data,
                ..Default::default()
            },
        );
        world
    }

    pub(crate) fn call<S, I, O>(
        &self,
        service: &S,
        handler: fn(&S, &mut Context, I) -> Result<O, ApiError>,
        input: I,
    ) -> Result<O, ApiError> {
        let principal = Principal::root(&AccountId::default(), "test");
        let now = types::Clock::now(&self.clock);
        let mut cx = Context::new(self.store.clone(), Scope::default(), principal, now);
        let answer = handler(service, &mut cx, input)?;
        if let Some(tx) = cx.take_tx() {
            tx.commit().wait_blocking().unwrap();
        }
        Ok(answer)
    }

    pub(crate) fn ec2<I, O>(&self, handler: fn(&vpc::api::Ec2, &mut Context, I) -> Result<O, ApiError>, input: I) -> O {
        self.call(&self.ec2, handler, input).unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) fn ok<I, O>(&self, handler: fn(&AutoScaling, &mut Context, I) -> Result<O, ApiError>, input: I) -> O {
        self.call(&self.service, handler, input).unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) fn refused<I, O>(
        &self,
        handler: fn(&AutoScaling, &mut Context, I) -> Result<O, ApiError>,
        input: I,
    ) -> String {
        self.call(&self.service, handler, input).err().map_or_else(|| "success".to_owned(), |error| error.code)
    }

    pub(crate) fn create(
        &self,
        change: impl FnOnce(&mut api::CreateAutoScalingGroupType),
    ) -> Result<wire::Unit, ApiError> {
        let mut input = api::CreateAutoScalingGroupType {
            auto_scaling_group_name: "nodes".to_owned(),
            min_size: 0,
            max_size: 6,
            desired_capacity: Some(3),
            vpc_zone_identifier: Some(self.subnets.join(",")),
            launch_template: Some(api::LaunchTemplateSpecification {
                launch_template_name: Some("nodes".to_owned()),
                ..Default::default()
            }),
            ..Default::default()
        };
        change(&mut input);
        self.call(&self.service, self.handlers.create_auto_scaling_group, input)
    }

    /// What the controllers do until nothing is left to do.
    pub(crate) fn settle(&self) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let instances = vpc::instances::Instances::new(self.store.clone(), Arc::new(self.clock.clone()));
        let groups =
            Groups::new(self.store.clone(), Arc::new(self.clock.clone()), Pace::REAL, self.service.pool.clone());
        for _ in 0..4 {
            for key in groups.all_keys(&self.store.view()) {
                runtime.block_on(groups.reconcile(&key)).unwrap();
            }
            let plan = vpc::controller::network_state(&self.store.view(), &self.ec2.ground);
            let mut tx = self.store.begin();
            for row in plan.network_interfaces.iter().filter(|row| row.attachment.is_some()) {
                let attached = |row: &mut NetworkInterface| row.state = InterfaceState::Attached;
                tx.update::<NetworkInterface>(&Scope::default(), row.id.as_str(), attached);
            }
            tx.commit().wait_blocking().unwrap();
            for key in instances.all_keys(&self.store.view()) {
                runtime.block_on(instances.reconcile(&key)).unwrap();
            }
        }
    }

    pub(crate) fn group(&self) -> Option<api::AutoScalingGroup> {
        let found = self.ok(self.handlers.describe_auto_scaling_groups, api::AutoScalingGroupNamesType::default());
        found.auto_scaling_groups.into_iter().next()
    }

    /// The instances in service, in order.
    pub(crate) fn instances(&self) -> Vec<api::Instance> {
        let all = self.group().and_then(|group| group.instances).unwrap_or_default();
        all.into_iter().filter(|one| one.lifecycle_state == "InService").collect()
    }

    pub(crate) fn activities(&self) -> Vec<api::Activity> {
        self.ok(self.handlers.describe_scaling_activities, api::DescribeScalingActivitiesType::default()).activities
    }

    pub(crate) fn set_desired(&self, desired: i32) -> String {
        self.refused(
            self.handlers.set_desired_capacity,
            api::SetDesiredCapacityType {
                auto_scaling_group_name: "nodes".to_owned(),
                desired_capacity: desired,
                honor_cooldown: None,
            },
        )
    }

    pub(crate) fn terminate(&self, id: &str) {
        self.ec2(
            vpc::api::handlers().terminate_instances,
            ec2::TerminateInstancesRequest { instance_ids: vec![id.to_owned()], ..Default::default() },
        );
    }
}
