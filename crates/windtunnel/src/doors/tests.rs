//! Doors in a kernel's namespaces.

use super::*;
use controller::SystemClock;
use fabric::{FabricConfig, RUN_ROOT};
use gateway::{Context, Principal};
use model::ec2;
use nix::sched::{CloneFlags, unshare};
use std::path::PathBuf;
use tokio::time::timeout;
use types::id::{SubnetId, VpcEndpointId, random_hex};
use types::{AccountId, ApiError, Timestamp};
use vault::Vault;
use vpc::api::Ec2;
use vpc::intent::{NewInterface, PublicPool, create_interface, delete_interface};
use vpc::rows::{InterfaceType, Tags};

const PATIENCE: Duration = Duration::from_secs(5);

/// A VPC whose main route table leads to Amazon S3.
struct Lab {
    store: Store,
    fabric: Arc<Fabric>,
    network: vpc::controller::Network,
    doors: Doors,
    ec2: Ec2,
}

/// Runs a test in a network namespace that stands for the host, or says why not.
fn on_a_host(test: impl AsyncFnOnce() + Send) {
    let outcome = std::thread::scope(|scope| {
        let run = || match unshare(CloneFlags::CLONE_NEWNET) {
            Ok(()) => tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test()),
            Err(errno) => println!("SKIPPED: no network namespace may be made here ({errno})"),
        };
        scope.spawn(run).join()
    });
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

impl Lab {
    fn new() -> Self {
        let store = Store::in_memory([vpc::tables(), iam::tables()].concat());
        let config = FabricConfig { instance: random_hex(8), run_root: PathBuf::from(RUN_ROOT), outbound: false };
        let (fabric, clock) = (Arc::new(Fabric::open(config).unwrap()), Arc::new(SystemClock));
        let identity = Arc::new(iam::Iam { account: AccountId::default(), vault: Vault::ephemeral() });
        let gateway = Gateway::new(store.clone(), clock.clone(), identity, Vec::new(), Vec::new(), |_, _, _, _| None);
        Self {
            network: vpc::controller::Network::new(store.clone(), clock, fabric.clone()),
            doors: Doors::new(store.clone(), fabric.clone(), gateway),
            ec2: Ec2 { pool: PublicPool::new(fabric.ground()), ground: fabric.ground().clone() },
            store,
            fabric,
        }
    }

    async fn call<I, O>(&self, handler: fn(&Ec2, &mut Context, I) -> Result<O, ApiError>, input: I) -> O {
        let principal = Principal::root(&AccountId::default(), "test");
        let (answer, ticket) = {
            let mut cx = Context::new(self.store.clone(), Scope::default(), principal, Timestamp(0));
            let answer = handler(&self.ec2, &mut cx, input).unwrap();
            (answer, cx.take_tx().expect("the call writes").commit())
        };
        ticket.await.unwrap();
        answer
    }

    /// The subnet, and the gateway endpoint.
    async fn rows(&self) -> (SubnetId, VpcEndpointId) {
        let api = vpc::api::handlers();
        let input = ec2::CreateVpcRequest { cidr_block: Some("10.0.0.0/16".to_owned()), ..Default::default() };
        let vpc = self.call(api.create_vpc, input).await.vpc.and_then(|vpc| vpc.vpc_id).unwrap();
        let table = vpc::query::vpc(&self.store.view(), &Scope::default(), &vpc).unwrap().main_route_table.clone();
        let input = ec2::CreateSubnetRequest {
            vpc_id: vpc.clone(),
            cidr_block: Some("10.0.1.0/24".to_owned()),
            ..Default::default()
        };
        let subnet = self.call(api.create_subnet, input).await.subnet.and_then(|subnet| subnet.subnet_id).unwrap();
        let input = ec2::CreateVpcEndpointRequest {
            vpc_id: vpc,
            service_name: Some("com.amazonaws.us-east-1.s3".to_owned()),
            route_table_ids: Some(vec![table.to_string()]),
            ..Default::default()
        };
        let endpoint = self.call(api.create_vpc_endpoint, input).await.vpc_endpoint;
        let endpoint = endpoint.and_then(|endpoint| endpoint.vpc_endpoint_id).unwrap();
        (SubnetId::parse(&subnet).unwrap(), VpcEndpointId::parse(&endpoint).unwrap())
    }

    async fn write<T>(&self, change: impl FnOnce(&mut store::Tx) -> T) -> T {
        let (made, ticket) = {
            let mut tx = self.store.begin();
            let made = change(&mut tx);
            (made, tx.commit())
        };
        ticket.await.unwrap();
        made
    }

    /// An interface in the namespace `task`, attached.
    async fn attach(&self, subnet: &SubnetId) -> types::id::EniId {
        let new = NewInterface {
            subnet: subnet.clone(),
            groups: Vec::new(),
            description: String::new(),
            kind: InterfaceType::Interface,
            requester: None,
            attach: Some(("amazon-ecs".to_owned(), Some("task".to_owned()))),
            private_ip: None,
            public_ip: false,
            ipv6: vpc::intent::Ipv6Addresses::Count(0),
            tags: Tags::new(),
        };
        let make = |tx: &mut _| create_interface(tx, &Scope::default(), &self.ec2.pool, Timestamp(0), new).unwrap();
        let id = self.write(make).await.id.clone();
        self.apply().await;
        id
    }

    async fn apply(&self) {
        self.network.reconcile(&Key::new(&Scope::default(), "network")).await.unwrap();
    }

    async fn settle(&self) {
        let key = Key::new(&Scope::default(), "doors");
        timeout(PATIENCE, async {
            while self.doors.reconcile(&key).await.unwrap() != Next::Done {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .unwrap();
    }

    /// Whether the task is let in where Amazon S3 answers.
    async fn is_let_in(&self) -> bool {
        let address = SocketAddr::from((self.fabric.ground().gateway_endpoint_address(), 443));
        let stream = tokio::net::TcpStream::from_std(self.fabric.connect_tcp("task", address).unwrap()).unwrap();
        timeout(PATIENCE, stream.writable()).await.is_ok() && stream.take_error().unwrap().is_none()
    }
}

#[test]
fn a_door_follows_a_namespace_that_went_and_came_unseen() {
    on_a_host(async || {
        let lab = Lab::new();
        let (subnet, endpoint) = lab.rows().await;
        let interface = lab.attach(&subnet).await;
        lab.settle().await;
        assert!(lab.is_let_in().await, "expected the endpoint's door to be open");
        let first = lab.fabric.netns_identity(endpoint.as_str());
        lab.write(|tx| delete_interface(tx, &Scope::default(), &interface)).await;
        lab.apply().await;
        assert_eq!(lab.fabric.netns_identity(endpoint.as_str()), None, "the endpoint's namespace goes with its VPC");
        lab.attach(&subnet).await;
        assert_ne!(lab.fabric.netns_identity(endpoint.as_str()), first);
        lab.settle().await;
        assert!(lab.is_let_in().await, "expected a door in the new namespace");
        drop(lab.doors);
        lab.fabric.destroy().unwrap();
    });
}
