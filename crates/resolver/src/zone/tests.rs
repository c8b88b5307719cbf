//! Answers over rows: one VPC with what it may have, and another beside it.

use super::*;
use crate::zone::Kind::{A, Other, Ptr};
use elb::rows::{LoadBalancer, LoadBalancerState, Node};
use std::collections::BTreeMap;
use store::{Store, Tx};
use types::Timestamp;
use types::id::{NetworkAclAssociationId, NetworkAclId, RouteTableId, SecurityGroupId, SubnetId};
use types::id::{VpcCidrAssociationId, VpcEndpointId, VpcId, VpcPeeringConnectionId};
use vpc::intent::{NewInterface, PublicPool, create_interface};
use vpc::rows::{InterfaceType, PeeringSide, Subnet, Tags, VpcEndpoint};

struct World {
    store: Store,
    scope: Scope,
    ground: Ground,
    vpc: VpcId,
    subnets: Vec<SubnetId>,
}

impl World {
    /// A VPC 10.0.0.0/16 with a subnet in each of two zones.
    fn new() -> Self {
        let store = Store::in_memory([vpc::tables(), elb::tables(), discovery::tables()].concat());
        let ground = Ground {
            instance: "0badcafe".to_owned(),
            pool: "198.18.0.0/20".parse().unwrap(),
            ipv6: true,
            outbound: false,
        };
        let mut world = Self { store, scope: Scope::default(), ground, vpc: VpcId::generate(), subnets: Vec::new() };
        let id = world.vpc.clone();
        world.subnets = ["10.0.0.0/24", "10.0.1.0/24"].map(|_| SubnetId::generate()).to_vec();
        world.add_vpc(&id, "10.0.0.0/16");
        let rows = [("10.0.0.0/24", "us-east-1a"), ("10.0.1.0/24", "us-east-1b")];
        for (subnet, (cidr, zone)) in world.subnets.clone().into_iter().zip(rows) {
            world.add_subnet(&id, &subnet, cidr, zone);
        }
        world
    }

    fn write<T>(&self, change: impl FnOnce(&mut Tx) -> T) -> T {
        let mut tx = self.store.begin();
        let made = change(&mut tx);
        tx.commit().wait_blocking().unwrap();
        made
    }

    fn add_vpc(&self, id: &VpcId, cidr: &str) {
        let row = Vpc {
            id: id.clone(),
            cidr: cidr.parse().unwrap(),
            cidr_association: VpcCidrAssociationId::generate(),
            secondary: Vec::new(),
            ipv6: Vec::new(),
            instance_tenancy: "default".to_owned(),
            is_default: false,
            dns_support: true,
            dns_hostnames: true,
            usage_metrics: false,
            dhcp_options: None,
            main_route_table: RouteTableId::generate(),
            default_network_acl: NetworkAclId::generate(),
            default_security_group: SecurityGroupId::generate(),
            tags: Tags::new(),
        };
        self.write(|tx| tx.put(&self.scope, row));
    }

    fn add_subnet(&self, vpc: &VpcId, id: &SubnetId, cidr: &str, zone: &str) {
        let row = Subnet {
            id: id.clone(),
            vpc: vpc.clone(),
            cidr: cidr.parse().unwrap(),
            zone: zone.to_owned(),
            default_for_zone: false,
            ipv6: None,
            assign_ipv6_on_creation: false,
            map_public_ip_on_launch: false,
            hostname_type: "ip-name".to_owned(),
            resource_name_dns_a_record: false,
            resource_name_dns_aaaa_record: false,
            network_acl: NetworkAclId::generate(),
            network_acl_association: NetworkAclAssociationId::generate(),
            tags: Tags::new(),
        };
        self.write(|tx| tx.put(&self.scope, row));
    }

    fn interface(&self, subnet: &SubnetId, kind: InterfaceType, public_ip: bool) -> Arc<NetworkInterface> {
        let new = NewInterface {
            subnet: subnet.clone(),
            groups: Vec::new(),
            description: String::new(),
            kind,
            requester: None,
            attach: None,
            private_ip: None,
            public_ip,
            ipv6: vpc::intent::Ipv6Addresses::AsSubnetSays,
            tags: Tags::new(),
        };
        let pool = PublicPool::new(&self.ground);
        self.write(|tx| create_interface(tx, &self.scope, &pool, Timestamp(0), new).unwrap())
    }

    /// An endpoint with an interface in each subnet.
    fn endpoint(&self, service: &str, private_dns: bool) -> VpcEndpoint {
        let interfaces = self
            .subnets
            .iter()
            .map(|subnet| (subnet.clone(), self.interface(subnet, InterfaceType::VpcEndpoint, false).id.clone()));
        let row = VpcEndpoint {
            id: VpcEndpointId::generate(),
            vpc: self.vpc.clone(),
            service: format!("com.amazonaws.us-east-1.{service}"),
            kind: "Interface".to_owned(),
            policy: None,
            interfaces: interfaces.collect(),
            security_groups: Vec::new(),
            private_dns,
            inbound_only: false,
            route_tables: Vec::new(),
            created: Timestamp(0),
            tags: Tags::new(),
        };
        self.write(|tx| tx.put(&self.scope, row.clone()));
        row
    }

    fn load_balancer(&self, name: &str, internal: bool) {
        let nodes = self.subnets.iter().zip(["us-east-1a", "us-east-1b"]).map(|(subnet, zone)| Node {
            subnet: subnet.clone(),
            zone: zone.to_owned(),
            interface: self.interface(subnet, InterfaceType::LoadBalancer, !internal).id.clone(),
        });
        let row = LoadBalancer {
            arn: format!("arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/{name}/1"),
            name: name.to_owned(),
            dns_name: format!("{name}-1234567890.us-east-1.elb.amazonaws.com"),
            internal,
            vpc: self.vpc.clone(),
            security_groups: Vec::new(),
            nodes: nodes.collect(),
            created: Timestamp(0),
            state: LoadBalancerState::Active,
            attributes: BTreeMap::new(),
            tags: BTreeMap::new(),
        };
        self.write(|tx| tx.put(&self.scope, row));
    }

    fn ask_as(&self, vpc: &VpcId, asker: &str, name: &str, kind: Kind, turn: usize) -> Answer {
        let view = self.store.view();
        let zone = Zone::of(&view, &self.scope, vpc.as_str(), &self.ground).unwrap();
        zone.answer(asker.parse::<Ipv4Addr>().unwrap(), name, kind, turn)
    }

    fn ask(&self, name: &str, kind: Kind) -> Answer {
        self.ask_as(&self.vpc, "10.0.0.9", name, kind, 0)
    }

    fn set(&self, change: impl FnOnce(&mut Vpc)) {
        self.write(|tx| tx.update::<Vpc>(&self.scope, self.vpc.as_str(), change));
    }
}

fn at(list: &[&str]) -> Answer {
    Answer::Addresses(list.iter().map(|ip| ip.parse().unwrap()).collect())
}

#[test]
fn hosts_have_names_both_ways_within_the_vpcs_block() {
    let world = World::new();
    assert_eq!(world.ask("ip-10-0-7-5.ec2.internal", A), at(&["10.0.7.5"]));
    assert_eq!(world.ask("IP-10-0-7-5.EC2.Internal.", A), at(&["10.0.7.5"]), "letters' case is nothing");
    assert_eq!(world.ask("5.7.0.10.in-addr.arpa", Ptr), Answer::Name("ip-10-0-7-5.ec2.internal".to_owned()));
    assert_eq!(world.ask("ip-10-0-7-5.ec2.internal", Other), Answer::NoData);
    assert_eq!(world.ask("5.7.0.10.in-addr.arpa", A), Answer::NoData);
    for absent in [
        "ip-10-1-7-5.ec2.internal",
        "ip-10-0-7.ec2.internal",
        "ip-010-0-7-5.ec2.internal",
        "ip-10-0-7-5.eu-west-1.compute.internal",
        "ec2.internal",
        "5.7.1.10.in-addr.arpa",
        "05.7.0.10.in-addr.arpa",
        "7.0.10.in-addr.arpa",
        "example.com",
        "com",
        "",
        ".",
    ] {
        assert_eq!(world.ask(absent, A), Answer::NoSuchName, "{absent}");
    }
}

#[test]
fn hosts_have_names_in_the_vpcs_further_blocks_too() {
    let world = World::new();
    let further = (VpcCidrAssociationId::generate(), "100.64.0.0/20".parse().unwrap());
    assert_eq!(world.ask("ip-100-64-0-5.ec2.internal", A), Answer::NoSuchName);
    world.set(|vpc| vpc.secondary.push(further));
    assert_eq!(world.ask("ip-100-64-0-5.ec2.internal", A), at(&["100.64.0.5"]));
    assert_eq!(world.ask("5.0.64.100.in-addr.arpa", Ptr), Answer::Name("ip-100-64-0-5.ec2.internal".to_owned()));
}

#[test]
fn a_public_name_is_the_private_address_at_home_and_the_public_one_elsewhere() {
    let world = World::new();
    let other = VpcId::generate();
    world.add_vpc(&other, "10.9.0.0/16");
    let interface = world.interface(&world.subnets[0], InterfaceType::Interface, true);
    let (private, public) = (interface.private_ip().unwrap(), interface.auto_public_ip.unwrap());
    let name = vpc::names::public_name(&world.scope.region, public);
    assert_eq!(name, "ec2-198-18-0-16.compute-1.amazonaws.com");
    assert_eq!(world.ask(&name, A), Answer::Addresses(vec![private]));
    assert_eq!(world.ask_as(&other, "10.9.0.9", &name, A, 0), Answer::Addresses(vec![public]));
    assert_eq!(world.ask("16.0.18.198.in-addr.arpa", Ptr), Answer::Name(name.clone()));
    assert_eq!(world.ask("ec2-198-18-0-17.compute-1.amazonaws.com", A), Answer::NoSuchName, "nobody has it");
    assert_eq!(world.ask("ec2-198-18-0-16.eu-west-1.compute.amazonaws.com", A), Answer::NoSuchName);
    world.set(|vpc| vpc.dns_hostnames = false);
    assert_eq!(world.ask(&name, A), Answer::NoSuchName, "the VPC gives no public names");
}

#[test]
fn a_peer_is_told_the_private_address_where_its_owner_lets_it() {
    let world = World::new();
    let peer = VpcId::generate();
    world.add_vpc(&peer, "10.9.0.0/16");
    let interface = world.interface(&world.subnets[0], InterfaceType::Interface, true);
    let (private, public) = (interface.private_ip().unwrap(), interface.auto_public_ip.unwrap());
    let name = vpc::names::public_name(&world.scope.region, public);
    let ask = || world.ask_as(&peer, "10.9.0.9", &name, A, 0);
    let side = |vpc: &VpcId| PeeringSide {
        scope: world.scope.clone(),
        vpc: vpc.clone(),
        allow_dns: *vpc == world.vpc,
        tags: Tags::new(),
    };
    let mut connection = VpcPeeringConnection {
        id: VpcPeeringConnectionId::generate(),
        requester: side(&peer),
        accepter: side(&world.vpc),
        state: PeeringState::PendingAcceptance,
        created: Timestamp(0),
    };
    let put = |row: &VpcPeeringConnection| world.write(|tx| tx.put(&world.scope, row.clone()));
    put(&connection);
    assert_eq!(ask(), Answer::Addresses(vec![public]), "they are not peers yet");
    connection.state = PeeringState::Active;
    put(&connection);
    assert_eq!(ask(), Answer::Addresses(vec![private]));
    connection.accepter.allow_dns = false;
    connection.requester.allow_dns = true;
    put(&connection);
    assert_eq!(ask(), Answer::Addresses(vec![public]), "the owner does not let it");
}

#[test]
fn another_accounts_load_balancer_has_its_name_here_too() {
    let mut world = World::new();
    let home = world.scope.clone();
    world.scope = Scope::new("210987654321".parse().unwrap(), home.region.clone());
    world.add_vpc(&VpcId::generate(), "10.0.0.0/16");
    for (subnet, cidr) in world.subnets.clone().iter().zip(["10.0.0.0/24", "10.0.1.0/24"]) {
        world.add_subnet(&world.vpc, subnet, cidr, "us-east-1a");
    }
    world.load_balancer("web", false);
    world.scope = home;
    let name = "web-1234567890.us-east-1.elb.amazonaws.com";
    assert_eq!(world.ask(name, A), at(&["198.18.0.16", "198.18.0.17"]));
}

#[test]
fn a_load_balancer_is_its_nodes_in_turn() {
    let world = World::new();
    world.load_balancer("web", false);
    world.load_balancer("internal-db", true);
    let name = "web-1234567890.us-east-1.elb.amazonaws.com";
    assert_eq!(world.ask(name, A), at(&["198.18.0.16", "198.18.0.17"]), "everybody gets the public addresses");
    assert_eq!(world.ask_as(&world.vpc, "10.0.0.9", name, A, 1), at(&["198.18.0.17", "198.18.0.16"]));
    assert_eq!(world.ask(&format!("dualstack.{name}"), A), at(&["198.18.0.16", "198.18.0.17"]));
    assert_eq!(world.ask(name, Other), Answer::NoData);
    let inner = "internal-db-1234567890.us-east-1.elb.amazonaws.com";
    assert_eq!(world.ask(inner, A), at(&["10.0.0.5", "10.0.1.5"]));
    assert_eq!(world.ask("api-1234567890.us-east-1.elb.amazonaws.com", A), Answer::NoSuchName);
    assert_eq!(world.ask("web-1234567890.eu-west-1.elb.amazonaws.com", A), Answer::NoSuchName);
}

#[test]
fn a_service_is_an_endpoint_with_private_dns_or_else_its_public_address() {
    let world = World::new();
    let (public, gateway) = (at(&["198.18.0.2"]), at(&["198.18.0.3"]));
    let names = ["api.ecr.us-east-1.amazonaws.com", "123456789012.dkr.ecr.us-east-1.amazonaws.com"];
    for name in names {
        assert_eq!(world.ask(name, A), public, "{name}");
    }
    assert_eq!(world.ask("s3.us-east-1.amazonaws.com", A), gateway);
    assert_eq!(world.ask("bucket.s3.us-east-1.amazonaws.com", A), gateway);
    assert_eq!(world.ask("logs.us-east-1.amazonaws.com", Other), Answer::NoData);
    assert_eq!(world.ask("nothing.us-east-1.amazonaws.com", A), Answer::NoSuchName);

    world.endpoint("ecr.api", true);
    let dkr = world.endpoint("ecr.dkr", false);
    assert_eq!(world.ask(names[0], A), at(&["10.0.0.4", "10.0.1.4"]));
    assert_eq!(world.ask(names[1], A), public, "its endpoint has no private DNS");
    assert_eq!(world.ask("api.ecr.eu-west-1.amazonaws.com", A), public, "another region's is not behind it");
    world.write(|tx| tx.update::<VpcEndpoint>(&world.scope, dkr.id.as_str(), |row| row.private_dns = true));
    assert_eq!(world.ask(names[1], A), at(&["10.0.0.5", "10.0.1.5"]));
    let other = VpcId::generate();
    world.add_vpc(&other, "10.9.0.0/16");
    assert_eq!(world.ask_as(&other, "10.9.0.9", names[0], A, 0), public, "another VPC's is nobody else's");
    world.set(|vpc| vpc.dns_hostnames = false);
    assert_eq!(world.ask(names[0], A), public, "private DNS needs both attributes");
}

#[test]
fn the_askers_own_zone_comes_first() {
    let world = World::new();
    world.endpoint("logs", true);
    let (one, two) = (&world.subnets[0], &world.subnets[1]);
    let a = world.interface(one, InterfaceType::Interface, false).private_ip().unwrap().to_string();
    let b = world.interface(two, InterfaceType::Interface, false).private_ip().unwrap().to_string();
    for turn in 0..3 {
        let ask = |asker: &str| world.ask_as(&world.vpc, asker, "logs.us-east-1.amazonaws.com", A, turn);
        assert_eq!(ask(&a), at(&["10.0.0.4", "10.0.1.4"]));
        assert_eq!(ask(&b), at(&["10.0.1.4", "10.0.0.4"]));
    }
}

#[test]
fn an_endpoint_has_names_of_its_own_everywhere() {
    let world = World::new();
    let endpoint = world.endpoint("logs", false);
    let other = VpcId::generate();
    world.add_vpc(&other, "10.9.0.0/16");
    let name = |zone| vpc::names::endpoint_name(&world.scope.region, &endpoint, zone);
    assert_eq!(world.ask(&name(None), A), at(&["10.0.0.4", "10.0.1.4"]));
    assert_eq!(world.ask_as(&other, "10.9.0.9", &name(None), A, 1), at(&["10.0.1.4", "10.0.0.4"]));
    assert_eq!(world.ask(&name(Some("us-east-1b")), A), at(&["10.0.1.4"]));
    assert_eq!(world.ask(&name(Some("us-east-1c")), A), Answer::NoSuchName);
    assert_eq!(world.ask(&name(None).replace("logs", "ssm"), A), Answer::NoSuchName);
    assert_eq!(world.ask("vpce-1.logs.us-east-1.vpce.amazonaws.com", A), Answer::NoSuchName);
    assert_eq!(world.ask("logs.us-east-1.vpce.amazonaws.com", A), Answer::NoSuchName);
}

#[test]
fn an_endpoint_without_interfaces_has_a_name_and_no_address() {
    let mut world = World::new();
    world.subnets.clear();
    world.endpoint("logs", true);
    assert_eq!(world.ask("logs.us-east-1.amazonaws.com", A), Answer::NoData);
}

#[test]
fn without_dns_support_there_is_nobody_to_answer() {
    let world = World::new();
    world.set(|vpc| vpc.dns_support = false);
    let view = world.store.view();
    assert!(!Zone::of(&view, &world.scope, world.vpc.as_str(), &world.ground).unwrap().answers());
    assert!(Zone::of(&view, &world.scope, "vpc-0", &world.ground).is_none());
}

#[test]
fn private_zones_come_first_and_need_dns_names() {
    use discovery::rows::{Health, Namespace, PrivateZone, Service};
    use model::servicediscovery::{DnsConfig, DnsRecord};
    let world = World::new();
    let zone = PrivateZone { vpc: world.vpc.to_string(), hosted_zone: "Z1".to_owned(), soa_ttl: 15 };
    let namespace = Namespace {
        id: "ns-1".to_owned(),
        name: "corp.local".to_owned(),
        zone: Some(zone),
        description: None,
        created: Timestamp(0),
        creator_request: None,
        operation: String::new(),
        tags: BTreeMap::new(),
    };
    let service = |id: &str, kind: &str| Service {
        id: id.to_owned(),
        namespace: "ns-1".to_owned(),
        name: id.to_owned(),
        description: None,
        dns: Some(model::Stored(DnsConfig {
            namespace_id: None,
            routing_policy: Some("WEIGHTED".to_owned()),
            dns_records: vec![DnsRecord { type_: kind.to_owned(), ttl: 10 }],
        })),
        custom_health: false,
        attributes: BTreeMap::new(),
        revision: 1,
        created: Timestamp(0),
        creator_request: None,
        tags: BTreeMap::new(),
    };
    world.write(|tx| {
        tx.put(&world.scope, namespace);
        for (id, kind, key, value) in [
            ("web", "A", "AWS_INSTANCE_IPV4", "10.0.0.9"),
            ("alias", "CNAME", "AWS_INSTANCE_CNAME", "web.corp.local"),
            ("host", "A", "AWS_ALIAS_DNS_NAME", "ip-10-0-0-7.ec2.internal"),
        ] {
            tx.put(&world.scope, service(id, kind));
            let attributes = [(key.to_owned(), value.to_owned())].into();
            discovery::intent::register(tx, &world.scope, id, ("i", attributes), Health::Healthy, Timestamp(0))
                .unwrap();
        }
    });
    let ip = |text: &str| Data::A(text.parse().unwrap());
    let record = |owner: Option<&str>, ttl, data| Record { owner: owner.map(str::to_owned), ttl, data };
    let of = |name: &str, kind| world.ask(name, kind);
    assert_eq!(of("WEB.corp.local.", A), Answer::Records(vec![record(None, 10, ip("10.0.0.9"))]));
    assert_eq!(of("web.corp.local", Kind::Aaaa), Answer::NoData);
    assert_eq!(of("web.corp.local", Other), Answer::NoData);
    assert_eq!(of("no.corp.local", A), Answer::NoSuchName);
    let private = |name: &str| {
        let view = world.store.view();
        Zone::of(&view, &world.scope, world.vpc.as_str(), &world.ground).unwrap().is_private(name)
    };
    assert!(private("no.CORP.local.") && !private("example.com"), "nobody else is asked for what is in a zone");
    let alias = record(None, 10, Data::Cname("web.corp.local".to_owned()));
    let found = vec![alias.clone(), record(Some("web.corp.local"), 10, ip("10.0.0.9"))];
    assert_eq!(of("alias.corp.local", A), Answer::Records(found));
    assert_eq!(of("alias.corp.local", Kind::Cname), Answer::Records(vec![alias]));
    assert_eq!(of("host.corp.local", A), Answer::Records(vec![record(None, TTL, ip("10.0.0.7"))]));
    world.set(|vpc| vpc.dns_hostnames = false);
    assert_eq!(of("web.corp.local", A), Answer::NoSuchName, "without DNS names there are no private zones");
}
