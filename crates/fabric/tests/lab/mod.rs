//! A small VPC on a host of its own, and probes with real packets.

#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::disallowed_methods, reason = "a probe waits for packets")]

use fabric::{Fabric, FabricConfig, RUN_ROOT};
use ipnet::Ipv4Net;
use netplan::{
    AclEntry, Attachment, Destination, EgressOnlyInternetGateway, GroupRule, InterfaceAddress, InternetGateway,
    MacAddress, NatGateway, NetworkAcl, NetworkInterface, NetworkState, Peer, PortRange, RouteEntry, RouteTable,
    RouteTarget, SecurityGroup, Subnet, Traffic, Vpc,
};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sched::{CloneFlags, unshare},
};
use std::{
    io::{ErrorKind, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::fd::AsFd,
    path::PathBuf,
    sync::Arc,
};
use types::id::{
    EgressOnlyInternetGatewayId, EniId, InternetGatewayId, NatGatewayId, NetworkAclId, RouteTableId, SecurityGroupId,
    SubnetId, VpcId, random_hex,
};

/// Runs a test in a network namespace that stands for the host, or says why not.
pub(crate) fn on_a_host(test: impl FnOnce() + Send) {
    let outcome = std::thread::scope(|scope| {
        scope
            .spawn(|| match unshare(CloneFlags::CLONE_NEWNET) {
                Ok(()) => test(),
                Err(errno) => println!("SKIPPED: no network namespace may be made here ({errno})"),
            })
            .join()
    });
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

/// The parts of the small VPC, and the fabric that holds it.
pub(crate) struct Lab {
    pub(crate) instance: String,
    pub(crate) state: NetworkState,
    fabric: Option<Fabric>,
    pub(crate) vpc: VpcId,
    pub(crate) public: SubnetId,
    pub(crate) private: SubnetId,
    pub(crate) igw: InternetGatewayId,
    pub(crate) public_table: RouteTableId,
    pub(crate) private_table: RouteTableId,
    pub(crate) acl: NetworkAclId,
}

pub(crate) fn id<T>(parse: fn(&str) -> Option<T>, prefix: &str, n: u64) -> T {
    parse(&format!("{prefix}{:017x}", n * 0x0001_0000_0000_0000 + n)).unwrap()
}

pub(crate) fn ip(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

pub(crate) fn net(text: &str) -> Ipv4Net {
    text.parse().unwrap()
}

pub(crate) fn tcp(port: u16) -> Traffic {
    Traffic::Tcp(PortRange { from: port, to: port })
}

pub(crate) fn udp(port: u16) -> Traffic {
    Traffic::Udp(PortRange { from: port, to: port })
}

pub(crate) fn from_cidr(traffic: Traffic, cidr: &str) -> GroupRule {
    GroupRule { traffic, peer: Peer::Cidr(cidr.parse().unwrap()) }
}

pub(crate) fn from_group(traffic: Traffic, group: u64) -> GroupRule {
    GroupRule { traffic, peer: Peer::Group(sg(group)) }
}

pub(crate) fn sg(n: u64) -> SecurityGroupId {
    id(SecurityGroupId::parse, "sg-", n)
}

pub(crate) fn eni(n: u64) -> EniId {
    id(EniId::parse, "eni-", n)
}

fn open(instance: &str) -> Fabric {
    Fabric::open(FabricConfig { instance: instance.to_owned(), run_root: PathBuf::from(RUN_ROOT), outbound: false })
        .unwrap()
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self::of(random_hex(8))
    }

    /// The lab of an instance that may have been there before.
    pub(crate) fn of(instance: String) -> Self {
        let fabric = open(&instance);
        let mut state = NetworkState::new(fabric.ground().clone());
        let vpc = id(VpcId::parse, "vpc-", 1);
        let (public, private) = (id(SubnetId::parse, "subnet-", 1), id(SubnetId::parse, "subnet-", 2));
        let igw = id(InternetGatewayId::parse, "igw-", 1);
        let (public_table, private_table) = (id(RouteTableId::parse, "rtb-", 1), id(RouteTableId::parse, "rtb-", 2));
        let acl = id(NetworkAclId::parse, "acl-", 1);
        state.vpcs.push(Vpc { id: vpc.clone(), cidrs: vec![net("10.0.0.0/16").into()], dns_support: true });
        for (subnet, cidr, table) in
            [(&public, "10.0.0.0/24", &public_table), (&private, "10.0.1.0/24", &private_table)]
        {
            state.subnets.push(Subnet {
                id: subnet.clone(),
                vpc: vpc.clone(),
                cidr: net(cidr),
                ipv6: None,
                zone: "us-east-1a".to_owned(),
                route_table: table.clone(),
                network_acl: acl.clone(),
            });
        }
        state.internet_gateways.push(InternetGateway { id: igw.clone(), vpc: vpc.clone() });
        let to_world = RouteEntry {
            destination: Destination::Cidr("0.0.0.0/0".parse().unwrap()),
            target: RouteTarget::InternetGateway(igw.clone()),
        };
        state.route_tables.push(RouteTable { id: public_table.clone(), vpc: vpc.clone(), routes: vec![to_world] });
        state.route_tables.push(RouteTable { id: private_table.clone(), vpc: vpc.clone(), routes: Vec::new() });
        let all = || vec![entry(100, true, Traffic::All, "0.0.0.0/0")];
        state.network_acls.push(NetworkAcl { id: acl.clone(), vpc: vpc.clone(), ingress: all(), egress: all() });
        Self { instance, state, fabric: Some(fabric), vpc, public, private, igw, public_table, private_table, acl }
    }

    pub(crate) fn fabric(&self) -> &Fabric {
        self.fabric.as_ref().unwrap()
    }

    /// A group that lets everything out.
    pub(crate) fn group(&mut self, n: u64, ingress: Vec<GroupRule>) {
        let egress = vec![from_cidr(Traffic::All, "0.0.0.0/0")];
        let group = SecurityGroup { id: sg(n), vpc: self.vpc.clone(), ingress, egress };
        self.state.security_groups.push(group.into());
    }

    pub(crate) fn group_mut(&mut self, n: u64) -> &mut SecurityGroup {
        Arc::make_mut(self.state.security_groups.iter_mut().find(|group| group.id == sg(n)).unwrap())
    }

    /// An interface in a namespace `n<n>`.
    pub(crate) fn interface(&mut self, n: u64, subnet: &SubnetId, address: &str, groups: &[u64]) {
        let interface = NetworkInterface {
            id: eni(n),
            subnet: subnet.clone(),
            mac: MacAddress([2, 0, 0, 0, 0, n as u8]),
            addresses: vec![InterfaceAddress { private: ip(address).into(), public: None }],
            groups: groups.iter().map(|n| sg(*n)).collect(),
            source_dest_check: true,
            attachment: Some(Attachment { netns: format!("n{n}"), device_index: 0 }),
        };
        self.state.network_interfaces.push(interface.into());
    }

    /// Gives the VPC and its subnets IPv6 blocks, and everybody a way through its ACL.
    pub(crate) fn ipv6(&mut self) {
        let block = self.state.ground.ipv6_blocks().next().unwrap();
        self.state.vpcs[0].cidrs.push(block.into());
        for (subnet, cidr) in self.state.subnets.iter_mut().zip(block.subnets(64).unwrap()) {
            subnet.ipv6 = Some(cidr);
        }
        let NetworkAcl { ingress, egress, .. } = &mut self.state.network_acls[0];
        for entries in [ingress, egress] {
            entries.push(entry(101, true, Traffic::All, "::/0"));
        }
    }

    /// Gives the VPC an egress-only internet gateway.
    pub(crate) fn egress_only(&mut self) -> EgressOnlyInternetGatewayId {
        let gateway = id(EgressOnlyInternetGatewayId::parse, "eigw-", 1);
        let vpc = self.vpc.clone();
        self.state.egress_only_internet_gateways.push(EgressOnlyInternetGateway { id: gateway.clone(), vpc });
        gateway
    }

    /// The nth address of a subnet's IPv6 block.
    pub(crate) fn ipv6_address(&self, subnet: &SubnetId, n: u128) -> IpAddr {
        let subnet = self.state.subnets.iter().find(|s| s.id == *subnet).unwrap();
        let network = u128::from(subnet.ipv6.unwrap().network());
        std::net::Ipv6Addr::from(network + n).into()
    }

    /// Gives an interface an IPv6 address, the nth of its subnet's block.
    pub(crate) fn give_ipv6(&mut self, n: u64) -> IpAddr {
        let subnet = self.interface_mut(n).subnet.clone();
        let private = self.ipv6_address(&subnet, n.into());
        self.interface_mut(n).addresses.push(InterfaceAddress { private, public: None });
        private
    }

    pub(crate) fn interface_mut(&mut self, n: u64) -> &mut NetworkInterface {
        Arc::make_mut(self.state.network_interfaces.iter_mut().find(|interface| interface.id == eni(n)).unwrap())
    }

    /// The pool's nth assignable address.
    pub(crate) fn public_address(&self, n: usize) -> Ipv4Addr {
        self.state.ground.assignable().nth(n).unwrap()
    }

    pub(crate) fn routes_mut(&mut self, table: &RouteTableId) -> &mut Vec<RouteEntry> {
        &mut self.state.route_tables.iter_mut().find(|t| t.id == *table).unwrap().routes
    }

    /// A NAT gateway on interface `n`, which is made.
    pub(crate) fn nat(&mut self, n: u64, subnet: &SubnetId, address: &str, public: Option<Ipv4Addr>) -> NatGatewayId {
        let nat = id(NatGatewayId::parse, "nat-", n);
        self.interface(n, subnet, address, &[]);
        let interface = self.interface_mut(n);
        interface.attachment = None;
        interface.addresses[0].public = public;
        self.state.nat_gateways.push(NatGateway { id: nat.clone(), interface: eni(n) });
        nat
    }

    pub(crate) fn apply(&self) -> usize {
        let plan = netplan::compile(&self.state);
        assert!(plan.omitted.is_empty(), "nothing was to be left out: {:?}", plan.omitted);
        self.fabric().apply(&plan).unwrap_or_else(|e| panic!("the kernel takes the plan: {e}"))
    }

    /// The daemon dies, and comes back.
    pub(crate) fn crash(&mut self) {
        drop(self.fabric.take());
        self.fabric = Some(open(&self.instance));
    }

    /// The daemon dies, and nobody comes back.
    pub(crate) fn abandon(&mut self) {
        drop(self.fabric.take());
    }

    pub(crate) fn destroy(mut self) {
        self.fabric.take().unwrap().destroy().unwrap();
    }

    pub(crate) fn listen(&self, n: u64, address: &str, port: u16) -> TcpListener {
        self.fabric()
            .listen_tcp(&format!("n{n}"), SocketAddr::from((address.parse::<IpAddr>().unwrap(), port)))
            .unwrap()
    }

    /// What becomes of a connection from interface `n`.
    pub(crate) fn probe(&self, n: u64, address: impl Into<IpAddr>, port: u16) -> Outcome {
        self.begin(n, address, port).0
    }

    pub(crate) fn begin(&self, n: u64, address: impl Into<IpAddr>, port: u16) -> (Outcome, Option<TcpStream>) {
        let address = SocketAddr::from((address.into(), port));
        match self.fabric().connect_tcp(&format!("n{n}"), address) {
            Ok(stream) => outcome(stream),
            Err(error) => (Outcome::Failed(error.kind()), None),
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Some(fabric) = self.fabric.take() {
            let _ = fabric.destroy();
        }
    }
}

pub(crate) fn entry(number: u16, allow: bool, traffic: Traffic, cidr: &str) -> AclEntry {
    AclEntry { number, allow, traffic, cidr: cidr.parse().unwrap() }
}

/// What becomes of a connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Open,
    Refused,
    /// Nothing came back: the packet was dropped.
    Silent,
    Failed(ErrorKind),
}

/// A retransmission comes after a second; what is let through answers in less than a millisecond. A slow machine can
/// only make a probe that should be silent pass for the wrong reason, never fail one that should be open.
pub(crate) fn outcome(stream: TcpStream) -> (Outcome, Option<TcpStream>) {
    if ready(&stream, PollFlags::POLLOUT, 400) {
        match stream.take_error().unwrap() {
            None => (Outcome::Open, Some(stream)),
            Some(error) if error.kind() == ErrorKind::ConnectionRefused => (Outcome::Refused, None),
            Some(error) => (Outcome::Failed(error.kind()), None),
        }
    } else {
        (Outcome::Silent, None)
    }
}

pub(crate) fn ready(fd: &impl AsFd, flags: PollFlags, milliseconds: u16) -> bool {
    let mut fds = [PollFd::new(fd.as_fd(), flags)];
    poll(&mut fds, PollTimeout::from(milliseconds)).unwrap() > 0
}

/// Accepts the next connection, and says from whom.
pub(crate) fn accept(listener: &TcpListener) -> (TcpStream, IpAddr) {
    assert!(ready(listener, PollFlags::POLLIN, 5000), "a connection arrives");
    let (stream, from) = listener.accept().unwrap();
    (stream, from.ip())
}

/// Whether bytes go from one end to the other.
pub(crate) fn passes(a: &mut TcpStream, b: &mut TcpStream) -> bool {
    a.write_all(b"x").unwrap();
    ready(b, PollFlags::POLLIN, 2000) && b.read(&mut [0; 1]).is_ok_and(|n| n == 1)
}
