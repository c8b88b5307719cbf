//! A small network, by its rows.

#![allow(dead_code, reason = "each test file uses a part")]

use explain::{Answer, Error, Question};
use netplan::Ground;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use store::{Row, Store, TableDef};
use types::id::{
    AttachmentId, EniId, ImageId, InstanceId, NetworkAclAssociationId, NetworkAclId, ReservationId, RouteTableId,
    SecurityGroupId, SecurityGroupRuleId, SubnetCidrAssociationId, SubnetId, VpcCidrAssociationId, VpcId,
};
use types::{Scope, Timestamp};
use vpc::rows::{
    AclEntry, AclTraffic, Attachment, Instance, InstanceState, InterfaceState, InterfaceType, MetadataOptions,
    NetworkAcl, NetworkInterface, Peer, RouteTable, Rule, SecurityGroup, Subnet, Tags, Vpc,
};

pub(crate) fn id<T>(parse: fn(&str) -> Option<T>, prefix: &str, n: u8) -> T {
    parse(&format!("{prefix}{n:08x}")).unwrap()
}

pub(crate) fn vpc_id() -> VpcId {
    id(VpcId::parse, "vpc-", 1)
}

pub(crate) fn named(name: &str) -> Tags {
    BTreeMap::from([("Name".to_owned(), name.to_owned())])
}

/// A VPC with the interfaces `web` in its first subnet and `db` in its second, each with a group of its own that lets
/// everything out and nothing in.
pub(crate) struct World(pub(crate) Store);

impl World {
    pub(crate) fn new() -> Self {
        let tables: Vec<TableDef> = [vpc::tables(), ecs::tables(), elb::tables(), discovery::tables()].concat();
        let world = Self(Store::in_memory(tables));
        let (acl, table) = (id(NetworkAclId::parse, "acl-", 1), id(RouteTableId::parse, "rtb-", 1));
        world.put(Vpc {
            id: vpc_id(),
            cidr: "10.0.0.0/16".parse().unwrap(),
            cidr_association: id(VpcCidrAssociationId::parse, "vpc-cidr-assoc-", 1),
            secondary: Vec::new(),
            ipv6: Vec::new(),
            instance_tenancy: "default".to_owned(),
            is_default: false,
            dns_support: true,
            dns_hostnames: false,
            usage_metrics: false,
            dhcp_options: None,
            main_route_table: table.clone(),
            default_network_acl: acl.clone(),
            default_security_group: id(SecurityGroupId::parse, "sg-", 9),
            tags: named("shop"),
        });
        world.put(RouteTable {
            id: table,
            vpc: vpc_id(),
            main_association: None,
            routes: Vec::new(),
            associations: Vec::new(),
            tags: Tags::new(),
        });
        let entry = |egress| AclEntry {
            number: 100,
            egress,
            allow: true,
            protocol: "-1".to_owned(),
            traffic: AclTraffic::All,
            cidr: "0.0.0.0/0".to_owned(),
        };
        world.put(NetworkAcl {
            id: acl.clone(),
            vpc: vpc_id(),
            is_default: true,
            entries: vec![entry(false), entry(true)],
            tags: Tags::new(),
        });
        for (n, name) in [(1, "web"), (2, "db")] {
            world.put(Subnet {
                id: id(SubnetId::parse, "subnet-", n),
                vpc: vpc_id(),
                cidr: format!("10.0.{n}.0/24").parse().unwrap(),
                zone: "us-east-1a".to_owned(),
                default_for_zone: false,
                ipv6: None,
                assign_ipv6_on_creation: false,
                map_public_ip_on_launch: false,
                hostname_type: "ip-name".to_owned(),
                resource_name_dns_a_record: false,
                resource_name_dns_aaaa_record: false,
                network_acl: acl.clone(),
                network_acl_association: id(NetworkAclAssociationId::parse, "aclassoc-", n),
                tags: named(&format!("{name}-subnet")),
            });
            world.put(group(n, name, vec![rule(n, true, "-1", -1, Peer::Ipv4("0.0.0.0/0".to_owned()))]));
            world.put(interface(n, name));
        }
        world
    }

    /// The world with IPv6: 3fff:120:0:100::/56, and everybody's second address.
    pub(crate) fn dual_stack() -> Self {
        let world = Self::new();
        let (view, scope) = (world.0.view(), Scope::default());
        let vpc = view.get::<Vpc>(&scope, vpc_id().as_str()).unwrap();
        let block = (id(VpcCidrAssociationId::parse, "vpc-cidr-assoc-", 2), "3fff:120:0:100::/56".parse().unwrap());
        world.put(Vpc { ipv6: vec![block], ..(*vpc).clone() });
        for n in 1..=2 {
            let subnet = view.get::<Subnet>(&scope, id(SubnetId::parse, "subnet-", n).as_str()).unwrap();
            let association = id(SubnetCidrAssociationId::parse, "subnet-cidr-assoc-", n);
            let ipv6 = Some((association, format!("3fff:120:0:10{n}::/64").parse().unwrap()));
            world.put(Subnet { ipv6, ..(*subnet).clone() });
            let interface = view.get::<NetworkInterface>(&scope, id(EniId::parse, "eni-", n).as_str()).unwrap();
            let ipv6 = vec![format!("3fff:120:0:10{n}::a").parse().unwrap()];
            world.put(NetworkInterface { ipv6, ..(*interface).clone() });
        }
        let acl = view.get::<NetworkAcl>(&scope, "acl-00000001").unwrap();
        let open = |egress| AclEntry { number: 101, egress, cidr: "::/0".to_owned(), ..acl.entries[0].clone() };
        let entries = [acl.entries.clone(), vec![open(true), open(false)]].concat();
        world.put(NetworkAcl { entries, ..(*acl).clone() });
        world
    }

    pub(crate) fn put<R: Row>(&self, row: R) {
        let mut tx = self.0.begin();
        tx.put(&Scope::default(), row);
        tx.commit().wait_blocking().unwrap();
    }

    pub(crate) fn ask(&self, from: &str, to: &str) -> Result<Answer, Error> {
        Answer::to(&Question::parse(from, to, None)?, &self.0.view(), &ground())
    }
}

/// Where it would stand.
pub(crate) fn ground() -> Ground {
    Ground { instance: "0123abcd".to_owned(), pool: "198.18.0.0/20".parse().unwrap(), ipv6: true, outbound: false }
}

pub(crate) fn group(n: u8, name: &str, rules: Vec<Rule>) -> SecurityGroup {
    SecurityGroup {
        id: id(SecurityGroupId::parse, "sg-", n),
        vpc: vpc_id(),
        name: name.to_owned(),
        description: name.to_owned(),
        rules,
        tags: Tags::new(),
    }
}

pub(crate) fn rule(n: u8, egress: bool, protocol: &str, port: i32, peer: Peer) -> Rule {
    Rule {
        id: id(SecurityGroupRuleId::parse, "sgr-", n),
        egress,
        protocol: protocol.to_owned(),
        from_port: port,
        to_port: port,
        peer,
        description: None,
        tags: Tags::new(),
    }
}

pub(crate) fn interface(n: u8, name: &str) -> NetworkInterface {
    NetworkInterface {
        id: id(EniId::parse, "eni-", n),
        vpc: vpc_id(),
        subnet: id(SubnetId::parse, "subnet-", n),
        zone: "us-east-1a".to_owned(),
        description: String::new(),
        kind: InterfaceType::Interface,
        mac: [2, 0, 0, 0, 0, n],
        private_ips: vec![Ipv4Addr::new(10, 0, n, 10)],
        ipv6: Vec::new(),
        auto_public_ip: None,
        groups: vec![id(SecurityGroupId::parse, "sg-", n)],
        source_dest_check: true,
        requester: None,
        attachment: Some(Attachment {
            id: id(AttachmentId::parse, "eni-attach-", n),
            owner: "123456789012".to_owned(),
            namespace: Some(name.to_owned()),
            at: Timestamp(0),
            delete_on_termination: false,
            instance: None,
            device_index: 0,
        }),
        state: InterfaceState::Attached,
        created: Timestamp(0),
        tags: named(name),
    }
}

/// An instance in the first subnet.
pub(crate) fn instance() -> Instance {
    Instance {
        id: id(InstanceId::parse, "i-", 1),
        reservation: id(ReservationId::parse, "r-", 1),
        requester: None,
        image: id(ImageId::parse, "ami-", 1),
        kind: "t3.small".to_owned(),
        vpc: vpc_id(),
        subnet: id(SubnetId::parse, "subnet-", 1),
        zone: "us-east-1a".to_owned(),
        state: InstanceState::Running,
        since: Timestamp(0),
        reason: None,
        launched: Timestamp(0),
        booted: Timestamp(0),
        launch_index: 0,
        client_token: None,
        profile: None,
        user_data: None,
        metadata: MetadataOptions { enabled: true, tokens_required: true, hop_limit: 1, tags: false },
        disable_api_termination: false,
        disable_api_stop: false,
        shutdown_behavior: "stop".to_owned(),
        monitoring: false,
        cpu_credits: None,
        ebs_optimized: false,
        public_ip: false,
        tags: Tags::new(),
    }
}
