//! A region to call, and the network that its rows compile to.

use gateway::{Context, Principal};
use model::ec2;
use netplan::{Ground, NetworkState};
use store::Store;
use types::{AccountId, ApiError, Scope, Timestamp};
use vpc::api::Ec2;
use vpc::intent::PublicPool;

/// When every call arrives.
pub(crate) const NOW: Timestamp = Timestamp(1_800_000_000_000);

/// One account's region.
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) scope: Scope,
    pub(crate) ground: Ground,
    service: Ec2,
    pub(crate) handlers: ec2::Handlers<Ec2, Context>,
}

/// A handler of the API.
pub(crate) type Handler<I, O> = fn(&Ec2, &mut Context, I) -> Result<O, ApiError>;

impl World {
    pub(crate) fn new() -> Self {
        let ground = Ground {
            instance: "0123abcd".to_owned(),
            pool: "198.18.0.0/20".parse().expect("the pool is a block"),
            ipv6: true,
            outbound: false,
        };
        Self::of(Store::in_memory([vpc::tables(), iam::tables(), observe::tables()].concat()), ground)
    }

    /// The region of this store, on this ground.
    pub(crate) fn of(store: Store, ground: Ground) -> Self {
        Self {
            store,
            scope: Scope::default(),
            service: Ec2 { pool: PublicPool::new(&ground), ground: ground.clone() },
            ground,
            handlers: vpc::api::handlers(),
        }
    }

    /// The host's kernel speaks no IPv6.
    pub(crate) fn without_ipv6(&mut self) {
        self.service.ground.ipv6 = false;
    }

    /// The same store as another account in another region sees it.
    pub(crate) fn seen_from(&self, account: &str, region: &str) -> Self {
        let scope = Scope::new(account.parse().expect("an account"), region.parse().expect("a region"));
        let service = self.service.clone();
        let (store, ground) = (self.store.clone(), self.ground.clone());
        Self { store, scope, service, ground, handlers: vpc::api::handlers() }
    }

    /// What a call answers, committed where it succeeds.
    pub(crate) fn call<I, O>(&self, handler: Handler<I, O>, input: I) -> Result<O, ApiError> {
        let principal = Principal::root(&AccountId::default(), "test");
        let mut cx = Context::new(self.store.clone(), self.scope.clone(), principal, NOW);
        let answer = handler(&self.service, &mut cx, input)?;
        if let Some(tx) = cx.take_tx() {
            tx.commit().wait_blocking().expect("the memory store commits");
        }
        Ok(answer)
    }

    /// What a call that must succeed answers.
    pub(crate) fn ok<I, O>(&self, handler: Handler<I, O>, input: I) -> O {
        self.call(handler, input).unwrap_or_else(|error| panic!("{}: {}", error.code, error.message))
    }

    /// The code of the error that a call must answer.
    pub(crate) fn refused<I, O>(&self, handler: Handler<I, O>, input: I) -> String {
        self.call(handler, input).err().map_or_else(|| "success".to_owned(), |error| error.code)
    }

    /// The network that the kernel is to hold.
    pub(crate) fn network(&self) -> NetworkState {
        vpc::controller::network_state(&self.store.view(), &self.ground)
    }

    /// A VPC of that block, by id.
    pub(crate) fn vpc(&self, block: &str) -> String {
        let input = ec2::CreateVpcRequest { cidr_block: Some(block.to_owned()), ..Default::default() };
        self.ok(self.handlers.create_vpc, input).vpc.and_then(|vpc| vpc.vpc_id).expect("a VPC has an id")
    }

    /// A subnet, by id.
    pub(crate) fn subnet(&self, vpc: &str, block: &str) -> String {
        let input = ec2::CreateSubnetRequest {
            vpc_id: vpc.to_owned(),
            cidr_block: Some(block.to_owned()),
            ..Default::default()
        };
        self.ok(self.handlers.create_subnet, input)
            .subnet
            .and_then(|subnet| subnet.subnet_id)
            .expect("a subnet has an id")
    }

    /// A security group, by id.
    pub(crate) fn group(&self, vpc: &str, name: &str) -> String {
        let input = ec2::CreateSecurityGroupRequest {
            vpc_id: Some(vpc.to_owned()),
            group_name: name.to_owned(),
            description: name.to_owned(),
            ..Default::default()
        };
        self.ok(self.handlers.create_security_group, input).group_id.expect("a group has an id")
    }

    /// A user's own interface, by id.
    pub(crate) fn interface(&self, subnet: &str) -> String {
        let input = ec2::CreateNetworkInterfaceRequest { subnet_id: subnet.to_owned(), ..Default::default() };
        let made = self.ok(self.handlers.create_network_interface, input).network_interface;
        made.and_then(|interface| interface.network_interface_id).expect("an interface has an id")
    }

    /// An interface that a task runs on, by id.
    pub(crate) fn task_interface(&self, subnet: &str, netns: &str) -> String {
        self.service_interface(subnet, netns, "amazon-ecs")
    }

    /// An interface that a service made and attached, by id.
    pub(crate) fn service_interface(&self, subnet: &str, netns: &str, requester: &str) -> String {
        let new = vpc::intent::NewInterface {
            subnet: types::id::SubnetId::parse(subnet).expect("a subnet's id"),
            groups: Vec::new(),
            description: String::new(),
            kind: vpc::rows::InterfaceType::Interface,
            requester: Some(requester.to_owned()),
            attach: Some((requester.to_owned(), Some(netns.to_owned()))),
            private_ip: None,
            public_ip: false,
            ipv6: vpc::intent::Ipv6Addresses::AsSubnetSays,
            tags: vpc::rows::Tags::new(),
        };
        let mut tx = self.store.begin();
        let made = vpc::intent::create_interface(&mut tx, &self.scope, &self.service.pool, NOW, new);
        let id = made.expect("the subnet has a free address").id.to_string();
        tx.commit().wait_blocking().expect("the memory store commits");
        id
    }
}
