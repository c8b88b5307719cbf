//! The resolver on real packets: rows, the network controller's kernel, and questions out of an interface's namespace.

#![allow(clippy::unwrap_used, reason = "a test")]

use controller::{Controller, Key, Next, SystemClock};
use domain::base::iana::Rcode;
use domain::base::{Message, MessageBuilder, Name, Rtype};
use domain::rdata::A;
use fabric::{Fabric, FabricConfig, RUN_ROOT};
use nix::sched::{CloneFlags, unshare};
use resolver::Dns;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use store::{Store, Tx};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use types::id::{
    EniId, NetworkAclAssociationId, NetworkAclId, RouteTableId, SecurityGroupId, SubnetId, VpcCidrAssociationId,
    VpcEndpointId, VpcId, random_hex,
};
use types::{Scope, Timestamp};
use vpc::intent::{NewInterface, PublicPool, create_interface, delete_interface};
use vpc::router_sockets::RouterSockets;
use vpc::rows::{
    AclEntry, AclTraffic, InterfaceType, NetworkAcl, RouteTable, SecurityGroup, Subnet, Tags, Vpc, VpcEndpoint,
};

const RESOLVER: &str = "10.0.0.2";
const LINK_LOCAL: &str = "169.254.169.253";
/// An answer takes less than a millisecond; silence is nothing for so long.
const SILENCE: Duration = Duration::from_millis(400);
const PATIENCE: Duration = Duration::from_secs(5);

/// A VPC whose one group lets nothing out and whose one ACL denies all.
struct Lab {
    store: Store,
    scope: Scope,
    fabric: Arc<Fabric>,
    network: vpc::controller::Network,
    resolvers: RouterSockets<Dns>,
    vpc: VpcId,
    subnet: SubnetId,
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
    async fn new() -> Self {
        let store = Store::in_memory([vpc::tables(), elb::tables(), discovery::tables()].concat());
        let config = FabricConfig { instance: random_hex(8), run_root: PathBuf::from(RUN_ROOT), outbound: false };
        let fabric = Arc::new(Fabric::open(config).unwrap());
        let lab = Self {
            scope: Scope::default(),
            network: vpc::controller::Network::new(store.clone(), Arc::new(SystemClock), fabric.clone()),
            resolvers: RouterSockets::new(
                store.clone(),
                fabric.clone(),
                Dns::new(store.clone(), fabric.clone(), Arc::new(SystemClock), None),
            ),
            vpc: VpcId::generate(),
            subnet: SubnetId::generate(),
            store,
            fabric,
        };
        lab.rows().await;
        lab
    }

    async fn write<T>(&self, change: impl FnOnce(&mut Tx) -> T) -> T {
        let (made, ticket) = {
            let mut tx = self.store.begin();
            let made = change(&mut tx);
            (made, tx.commit())
        };
        ticket.await.unwrap();
        made
    }

    async fn rows(&self) {
        let (table, acl, group) = (RouteTableId::generate(), NetworkAclId::generate(), SecurityGroupId::generate());
        let (scope, vpc) = (&self.scope, self.vpc.clone());
        let deny = |egress| AclEntry {
            number: 1,
            egress,
            allow: false,
            protocol: "-1".to_owned(),
            traffic: AclTraffic::All,
            cidr: "0.0.0.0/0".to_owned(),
        };
        self.write(|tx| {
            tx.put(
                scope,
                Vpc {
                    id: vpc.clone(),
                    cidr: "10.0.0.0/16".parse().unwrap(),
                    cidr_association: VpcCidrAssociationId::generate(),
                    secondary: Vec::new(),
                    ipv6: Vec::new(),
                    instance_tenancy: "default".to_owned(),
                    is_default: false,
                    dns_support: true,
                    dns_hostnames: true,
                    usage_metrics: false,
                    dhcp_options: None,
                    main_route_table: table.clone(),
                    default_network_acl: acl.clone(),
                    default_security_group: group.clone(),
                    tags: Tags::new(),
                },
            );
            tx.put(
                scope,
                RouteTable {
                    id: table,
                    vpc: vpc.clone(),
                    main_association: None,
                    routes: Vec::new(),
                    associations: Vec::new(),
                    tags: Tags::new(),
                },
            );
            tx.put(
                scope,
                NetworkAcl {
                    id: acl.clone(),
                    vpc: vpc.clone(),
                    is_default: true,
                    entries: vec![deny(true), deny(false)],
                    tags: Tags::new(),
                },
            );
            tx.put(
                scope,
                SecurityGroup {
                    id: group,
                    vpc: vpc.clone(),
                    name: "default".to_owned(),
                    description: String::new(),
                    rules: Vec::new(),
                    tags: Tags::new(),
                },
            );
            tx.put(
                scope,
                Subnet {
                    id: self.subnet.clone(),
                    vpc,
                    cidr: "10.0.1.0/24".parse().unwrap(),
                    zone: "us-east-1a".to_owned(),
                    default_for_zone: false,
                    ipv6: None,
                    assign_ipv6_on_creation: false,
                    map_public_ip_on_launch: false,
                    hostname_type: "ip-name".to_owned(),
                    resource_name_dns_a_record: false,
                    resource_name_dns_aaaa_record: false,
                    network_acl: acl,
                    network_acl_association: NetworkAclAssociationId::generate(),
                    tags: Tags::new(),
                },
            );
        })
        .await;
    }

    /// An interface in the namespace `task`.
    async fn attach(&self) -> EniId {
        let new = NewInterface {
            subnet: self.subnet.clone(),
            groups: Vec::new(),
            description: String::new(),
            kind: InterfaceType::Interface,
            requester: None,
            attach: Some(("amazon-ecs".to_owned(), Some("task".to_owned()))),
            private_ip: Some(Ipv4Addr::new(10, 0, 1, 10)),
            public_ip: false,
            ipv6: vpc::intent::Ipv6Addresses::AsSubnetSays,
            tags: Tags::new(),
        };
        let pool = PublicPool::new(self.fabric.ground());
        let made = self.write(|tx| create_interface(tx, &self.scope, &pool, Timestamp(0), new).unwrap()).await;
        made.id.clone()
    }

    async fn set(&self, change: impl FnOnce(&mut Vpc)) {
        self.write(|tx| tx.update::<Vpc>(&self.scope, self.vpc.as_str(), change)).await;
    }

    /// What the runner does: the network first, whose writes wake the resolvers.
    async fn settle(&self) {
        self.network.reconcile(&Key::new(&self.scope, "network")).await.unwrap();
        let key = Key::new(&self.scope, self.vpc.as_str());
        timeout(PATIENCE, async {
            while self.resolvers.reconcile(&key).await.unwrap() != Next::Done {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .unwrap();
    }

    async fn udp(&self, server: &str, name: &str) -> Option<(Rcode, Vec<Ipv4Addr>)> {
        self.datagram(server, &query(name)).await.map(|answer| read(&answer))
    }

    async fn tcp(&self, server: &str, queries: &[&str]) -> Option<Vec<(Rcode, Vec<Ipv4Addr>)>> {
        let address = SocketAddr::from((server.parse::<Ipv4Addr>().unwrap(), 53));
        let stream = self.fabric.connect_tcp("task", address).unwrap();
        let mut stream = tokio::net::TcpStream::from_std(stream).unwrap();
        timeout(SILENCE, stream.writable()).await.ok()?.unwrap();
        assert!(stream.take_error().unwrap().is_none(), "silence rather than a refusal");
        let mut answers = Vec::new();
        for name in queries {
            let query = query(name);
            stream.write_u16(query.len() as u16).await.unwrap();
            stream.write_all(&query).await.unwrap();
            let mut answer = vec![0; usize::from(timeout(PATIENCE, stream.read_u16()).await.unwrap().unwrap())];
            stream.read_exact(&mut answer).await.unwrap();
            answers.push(read(&answer));
        }
        Some(answers)
    }

    /// An endpoint for CloudWatch Logs, with private DNS and `count` interfaces.
    async fn endpoint(&self, count: usize) {
        let pool = PublicPool::new(self.fabric.ground());
        let new = |_| NewInterface {
            subnet: self.subnet.clone(),
            groups: Vec::new(),
            description: String::new(),
            kind: InterfaceType::VpcEndpoint,
            requester: None,
            attach: None,
            private_ip: None,
            public_ip: false,
            ipv6: vpc::intent::Ipv6Addresses::AsSubnetSays,
            tags: Tags::new(),
        };
        self.write(|tx| {
            let mut make = |new| create_interface(tx, &self.scope, &pool, Timestamp(0), new).unwrap().id.clone();
            let interfaces = (0..count).map(new).map(|new| (self.subnet.clone(), make(new))).collect();
            let row = VpcEndpoint {
                id: VpcEndpointId::generate(),
                vpc: self.vpc.clone(),
                service: "com.amazonaws.us-east-1.logs".to_owned(),
                kind: "Interface".to_owned(),
                policy: None,
                interfaces,
                security_groups: Vec::new(),
                private_dns: true,
                inbound_only: false,
                route_tables: Vec::new(),
                created: Timestamp(0),
                tags: Tags::new(),
            };
            tx.put(&self.scope, row);
        })
        .await;
    }

    /// What comes back for any bytes over UDP, if something does.
    async fn datagram(&self, server: &str, bytes: &[u8]) -> Option<Vec<u8>> {
        let socket = self.fabric.udp_socket("task", SocketAddr::from(([10, 0, 1, 10], 0))).unwrap();
        let socket = tokio::net::UdpSocket::from_std(socket).unwrap();
        socket.connect((server, 53)).await.unwrap();
        socket.send(bytes).await.unwrap();
        let mut answer = vec![0; 1500];
        let length = timeout(SILENCE, socket.recv(&mut answer)).await.ok()?.expect("silence rather than a refusal");
        answer.truncate(length);
        Some(answer)
    }

    fn end(self) {
        drop(self.resolvers);
        self.fabric.destroy().unwrap();
    }
}

fn query(name: &str) -> Vec<u8> {
    let mut question = MessageBuilder::new_vec().question();
    question.push((&name.parse::<Name<Vec<u8>>>().unwrap(), Rtype::A)).unwrap();
    question.finish()
}

fn read(bytes: &[u8]) -> (Rcode, Vec<Ipv4Addr>) {
    let message = Message::from_slice(bytes).unwrap();
    let records = message.answer().unwrap().limit_to::<A>();
    (message.header().rcode(), records.map(|record| record.unwrap().data().addr()).collect())
}

#[test]
fn whoever_is_in_the_vpc_is_answered_whatever_groups_and_acls_say() {
    on_a_host(async || {
        let lab = Lab::new().await;
        lab.attach().await;
        lab.settle().await;
        let host = "ip-10-0-1-10.ec2.internal";
        let found = (Rcode::NOERROR, vec![Ipv4Addr::new(10, 0, 1, 10)]);
        let service = (Rcode::NOERROR, vec![lab.fabric.service_address()]);
        for server in [RESOLVER, LINK_LOCAL] {
            assert_eq!(lab.udp(server, host).await.as_ref(), Some(&found), "{server}");
            assert_eq!(lab.udp(server, "example.com").await, Some((Rcode::NXDOMAIN, vec![])));
            let many = [host, "logs.us-east-1.amazonaws.com"];
            assert_eq!(lab.tcp(server, &many).await, Some(vec![found.clone(), service.clone()]), "{server}");
        }
        // Noise is met with silence, and harms nobody.
        let socket = lab.fabric.udp_socket("task", SocketAddr::from(([10, 0, 1, 10], 0))).unwrap();
        for length in [0, 1, 11, 12, 600, 5000] {
            socket.send_to(&vec![0xff; length], (RESOLVER, 53)).unwrap();
        }
        assert_eq!(lab.udp(RESOLVER, host).await, Some(found));
        lab.end();
    });
}

#[test]
fn what_is_too_long_for_a_datagram_is_told_over_tcp() {
    on_a_host(async || {
        let lab = Lab::new().await;
        lab.attach().await;
        lab.endpoint(60).await;
        lab.settle().await;
        let name = "logs.us-east-1.amazonaws.com";
        let bytes = lab.datagram(RESOLVER, &query(name)).await.unwrap();
        let truncated = Message::from_slice(&bytes).unwrap().header().tc();
        assert!(truncated && bytes.len() <= 512, "{} bytes", bytes.len());
        assert_eq!(read(&bytes), (Rcode::NOERROR, vec![]));
        let answers = lab.tcp(RESOLVER, &[name]).await.unwrap();
        assert_eq!(answers[0].1.len(), 60);
        // Who takes more gets more.
        let mut question = MessageBuilder::new_vec().question();
        question.push((&name.parse::<Name<Vec<u8>>>().unwrap(), Rtype::A)).unwrap();
        let mut additional = question.additional();
        let larger = additional.opt(|opt| {
            opt.set_udp_payload_size(4096);
            Ok(())
        });
        larger.unwrap();
        let bytes = lab.datagram(RESOLVER, &additional.finish()).await.unwrap();
        assert!((512..=1232).contains(&bytes.len()), "{} bytes", bytes.len());
        assert_eq!(read(&bytes).1.len(), 60);
        lab.end();
    });
}

#[test]
fn without_dns_support_there_is_silence() {
    on_a_host(async || {
        let lab = Lab::new().await;
        lab.attach().await;
        lab.set(|vpc| vpc.dns_support = false).await;
        lab.settle().await;
        let name = "ip-10-0-1-10.ec2.internal";
        for server in [RESOLVER, LINK_LOCAL] {
            assert_eq!(lab.udp(server, name).await, None, "{server}");
            assert_eq!(lab.tcp(server, &[name]).await, None, "{server}");
        }
        lab.set(|vpc| vpc.dns_support = true).await;
        lab.settle().await;
        assert!(lab.udp(RESOLVER, name).await.is_some(), "it is turned on");
        lab.set(|vpc| vpc.dns_support = false).await;
        lab.settle().await;
        assert_eq!(lab.udp(RESOLVER, name).await, None, "and off again");
        lab.end();
    });
}

#[test]
fn sockets_follow_a_router_that_is_made_anew() {
    on_a_host(async || {
        let lab = Lab::new().await;
        let router = netplan::router_netns(&lab.vpc);
        let name = "ip-10-0-1-10.ec2.internal";
        let first = lab.attach().await;
        lab.settle().await;
        assert!(lab.udp(RESOLVER, name).await.is_some());
        // Gone and back before anybody looked.
        lab.write(|tx| delete_interface(tx, &lab.scope, &first)).await;
        lab.network.reconcile(&Key::new(&lab.scope, "network")).await.unwrap();
        assert_eq!(lab.fabric.netns_identity(&router), None, "nothing is attached any more");
        let second = lab.attach().await;
        lab.settle().await;
        assert!(lab.udp(RESOLVER, name).await.is_some(), "the new router has sockets of its own");
        lab.write(|tx| delete_interface(tx, &lab.scope, &second)).await;
        lab.settle().await;
        lab.end();
    });
}
