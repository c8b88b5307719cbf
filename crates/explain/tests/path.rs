//! Questions about a small network, and the very answers that a person reads.

#![allow(clippy::unwrap_used, reason = "a test")]

mod world;

use explain::{Answer, Question, text};
use types::Scope;
use types::Timestamp;
use types::id::{InternetGatewayId, NatGatewayId, RouteTableAssociationId, RouteTableId, SecurityGroupId, SubnetId};
use vpc::rows::{
    AclEntry, AclTraffic, Attachment, InterfaceType, InternetGateway, NatGateway, NatGatewayState, NetworkAcl,
    NetworkInterface, Peer, Route, RouteTable, RouteTableAssociation, Tags, Target,
};
use world::{World, ground, group, id, instance, interface, rule, vpc_id};

#[test]
fn a_refusal_names_who_refuses_and_the_rule_that_helps() {
    let world = World::new();
    let refused = world.ask("eni-00000001", "eni-00000002:5432").unwrap();
    assert!(!refused.reachable);
    assert_eq!(
        text::render(&refused, false),
        "\
eni-00000001 (web) → eni-00000002 (db), tcp 5432

  ✓ interface             eni-00000001 (web) in subnet-00000001 (web-subnet)
  ✓ security group, out   sg-00000001 (web) allows all traffic to 0.0.0.0/0
  ✓ network ACL, out      acl-00000001 (default) entry 100 allows all traffic to 0.0.0.0/0
  ✓ route table           rtb-00000001: 10.0.0.0/16 → local
  ✓ network ACL, in       acl-00000001 (default) entry 100 allows all traffic from 0.0.0.0/0
  ✗ security group, in    sg-00000002 (db) has no rule for it

It is refused: no ingress rule of sg-00000002 (db) allows it.
Packet  tcp 10.0.1.10:32768 → 10.0.2.10:5432
Fix     allow tcp 5432 from sg-00000001 (web) in sg-00000002 (db) (ingress)
        aws ec2 authorize-security-group-ingress --group-id sg-00000002 --ip-permissions 'IpProtocol=tcp,FromPort=5432,ToPort=5432,UserIdGroupPairs=[{GroupId=sg-00000001}]'
"
    );
}

#[test]
fn what_passes_is_told_both_ways() {
    let world = World::new();
    let from_web = rule(3, false, "tcp", 5432, Peer::Group(id(SecurityGroupId::parse, "sg-", 1)));
    world.put(group(2, "db", vec![from_web]));
    let passes = world.ask("10.0.1.10", "10.0.2.10:5432").unwrap();
    assert!(passes.reachable);
    assert_eq!(
        text::render(&passes, false),
        "\
eni-00000001 (web) → 10.0.2.10, tcp 5432

  ✓ interface             eni-00000001 (web) in subnet-00000001 (web-subnet)
  ✓ security group, out   sg-00000001 (web) allows all traffic to 0.0.0.0/0
  ✓ network ACL, out      acl-00000001 (default) entry 100 allows all traffic to 0.0.0.0/0
  ✓ route table           rtb-00000001: 10.0.0.0/16 → local
  ✓ network ACL, in       acl-00000001 (default) entry 100 allows all traffic from 0.0.0.0/0
  ✓ security group, in    sg-00000002 (db) allows tcp 5432 from sg-00000001 (web)
  ✓ interface             eni-00000002 (db) in subnet-00000002 (db-subnet)
  and the answer
  ✓ security group, out   sg-00000002 (db) knows the connection
  ✓ network ACL, out      acl-00000001 (default) entry 100 allows all traffic to 0.0.0.0/0
  ✓ route table           rtb-00000001: 10.0.0.0/16 → local
  ✓ network ACL, in       acl-00000001 (default) entry 100 allows all traffic from 0.0.0.0/0
  ✓ security group, in    sg-00000001 (web) knows the connection
  ✓ interface             eni-00000001 (web) in subnet-00000001 (web-subnet)

It passes, and so does the answer.
"
    );
    let painted = text::render(&passes, true);
    assert!(painted.contains("\x1b[32m✓\x1b[0m"), "colours are for terminals: {painted}");
    let again: Answer = serde_json::from_str(&serde_json::to_string(&passes).unwrap()).unwrap();
    assert_eq!(again, passes, "an answer is data");
}

#[test]
fn one_change_after_the_other_is_told_until_it_passes() {
    let world = World::new();
    let deny = |egress| AclEntry {
        number: 1,
        egress,
        allow: false,
        protocol: "6".to_owned(),
        traffic: AclTraffic::Ports(1024, 65535),
        cidr: "10.0.2.0/24".to_owned(),
    };
    let acl = world.0.view().get::<NetworkAcl>(&Scope::default(), "acl-00000001").unwrap();
    let entries = [vec![deny(false), deny(true)], acl.entries.clone()].concat();
    world.put(NetworkAcl { entries, ..(*acl).clone() });
    let answer = world.ask("eni-00000001", "eni-00000002:5432").unwrap();
    let told: Vec<&str> = answer.ways[0].changes.iter().map(|change| change.text.as_str()).collect();
    assert_eq!(
        told,
        [
            "delete egress entry 1 of acl-00000001",
            "allow tcp 5432 from sg-00000001 in sg-00000002 (ingress)",
            "delete ingress entry 1 of acl-00000001",
        ],
        "nothing comes before the first entry"
    );
    assert!(answer.ways[0].then_passes, "and that is all");
}

#[test]
fn a_way_to_aws_is_asked_for_by_name() {
    let world = World::new();
    let answer = world.ask("eni-00000001", "api.ecr.us-east-1.amazonaws.com").unwrap();
    assert_eq!((answer.port, answer.reachable), (Some(443), false));
    let refusal = answer.ways[0].walk.refusal.as_ref().unwrap();
    assert_eq!(refusal.reason.to_string(), "rtb-00000001 has no route for it");
}

#[test]
fn a_nat_gateway_that_is_its_own_way_out_is_led_out_by_a_table_of_its_subnets_own() {
    let world = World::new();
    let (nat, gateway) = (id(NatGatewayId::parse, "nat-", 1), id(InternetGatewayId::parse, "igw-", 1));
    let row = interface(2, "nat");
    let address = ("eipalloc-00000001".to_owned(), "eipassoc-00000001".to_owned(), [198, 18, 1, 1].into());
    world.put(NatGateway {
        id: nat.clone(),
        vpc: vpc_id(),
        subnet: row.subnet.clone(),
        connectivity: "public".to_owned(),
        interface: row.id.clone(),
        private_ip: row.private_ips[0],
        address: Some(address),
        state: NatGatewayState::Available,
        failure: None,
        created: Timestamp(0),
        deleted: None,
        tags: Tags::new(),
    });
    let public = Some([198, 18, 1, 1].into());
    world.put(NetworkInterface { kind: InterfaceType::NatGateway, groups: Vec::new(), auto_public_ip: public, ..row });
    world.put(InternetGateway { id: gateway.clone(), vpc: Some(vpc_id()), tags: Tags::new() });
    let everywhere = |target| Route { destination: Ok("0.0.0.0/0".parse().unwrap()), target };
    let table = |n, target, associations| RouteTable {
        id: id(RouteTableId::parse, "rtb-", n),
        vpc: vpc_id(),
        main_association: None,
        routes: vec![everywhere(target)],
        associations,
        tags: Tags::new(),
    };
    world.put(table(1, Target::NatGateway(nat.clone()), Vec::new()));
    let told = || text::render(&world.ask("eni-00000001", "198.18.0.1:443").unwrap(), false);
    let without = told();
    assert!(
        without.contains(
            "Fix     create a route table that sends 0.0.0.0/0 to the VPC's internet gateway, and associate \
             subnet-00000002 (db-subnet) with it"
        ),
        "{without}"
    );
    world.put(table(3, Target::InternetGateway(gateway), Vec::new()));
    let by_main = told();
    assert!(
        by_main.contains("aws ec2 associate-route-table --subnet-id subnet-00000002 --route-table-id rtb-00000003\n"),
        "{by_main}"
    );
    assert!(!by_main.contains("Ask again"), "{by_main}");
    let association = RouteTableAssociation {
        id: id(RouteTableAssociationId::parse, "rtbassoc-", 2),
        subnet: id(SubnetId::parse, "subnet-", 2),
    };
    world.put(table(4, Target::NatGateway(nat), vec![association]));
    let by_its_own = told();
    assert!(
        by_its_own.contains(
            "aws ec2 replace-route-table-association --association-id rtbassoc-00000002 --route-table-id rtb-00000003\n"
        ),
        "{by_its_own}"
    );
}

#[test]
fn instance_metadata_answers_instances_alone() {
    let world = World::new();
    let refused = world.ask("eni-00000001", "169.254.169.254:80").unwrap();
    assert!(!refused.reachable);
    let told = text::render(&refused, false);
    assert!(told.contains("✗ local service         does not answer it in vpc-00000001 (shop)"), "{told}");
    let why = "It is refused: instance metadata answers instances alone, and eni-00000001 (web) is no instance's.";
    assert!(told.contains(why), "{told}");
    assert!(told.contains("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"), "{told}");
    assert!(world.ask("eni-00000001", "169.254.170.2:80").unwrap().reachable, "a task's own are for all");
    let instance = instance();
    let row = interface(1, "web");
    let attachment = row.attachment.clone().map(|at| Attachment { instance: Some(instance.id.clone()), ..at });
    world.put(instance);
    world.put(NetworkInterface { attachment, ..row });
    assert!(world.ask("eni-00000001", "169.254.169.254:80").unwrap().reachable, "this one is an instance's");
}

#[test]
fn private_addresses_are_not_reached_from_outside() {
    let world = World::new();
    let answer = world.ask("internet", "eni-00000002:5432").unwrap();
    let told = text::render(&answer, false);
    assert!(told.contains("10.0.2.10 is a VPC's own address"), "{told}");
    assert!(told.contains("Fix     reach it through a load balancer"), "{told}");
    let answer = world.ask("internet", "203.0.113.9:443").unwrap();
    assert!(text::render(&answer, false).contains("nobody has 203.0.113.9 here"));
}

#[test]
fn a_path_over_ipv6_is_told_with_its_own_addresses_and_commands() {
    let world = World::dual_stack();
    let refused = world.ask("eni-00000001", "[3fff:120:0:102::a]:5432").unwrap();
    let told = text::render(&refused, false);
    assert!(told.contains("no egress rule of sg-00000001 (web) allows it"), "0.0.0.0/0 is not IPv6: {told}");
    assert!(told.contains("tcp [3fff:120:0:101::a]:32768 → [3fff:120:0:102::a]:5432"), "{told}");
    let everywhere = Peer::Ipv6("::/0".to_owned());
    world.put(group(1, "web", vec![rule(1, true, "-1", -1, everywhere.clone())]));
    world.put(group(2, "db", vec![rule(3, false, "tcp", 5432, everywhere)]));
    let passes = world.ask("3fff:120:0:101::a", "[3fff:120:0:102::a]:5432").unwrap();
    assert!(passes.reachable, "{}", text::render(&passes, false));
    // An address without a port is pinged, with a message of its family.
    let ping = world.ask("eni-00000001", "3fff:120:0:102::a").unwrap();
    let change = &ping.ways[0].changes[0];
    assert!(change.text.contains("allow icmpv6 128/0"), "{change:?}");
    let outside = world.ask("internet", "[3fff:120:0:102::a]:5432").unwrap();
    let told = text::render(&outside, false);
    assert!(told.contains("no internet gateway leads into vpc-"), "{told}");
    assert!(told.contains("aws ec2 attach-internet-gateway"), "{told}");
    let out = world.ask("eni-00000001", "[3fff:120::1]:443").unwrap();
    assert!(text::render(&out, false).contains("rtb-00000001 has no route for it"));
    // Whoever has no IPv6 address cannot use one.
    world.put(NetworkInterface { ipv6: Vec::new(), ..interface(1, "web") });
    let told = text::render(&world.ask("eni-00000001", "[3fff:120:0:102::a]:5432").unwrap(), false);
    assert!(told.contains("eni-00000001 (web) has no IPv6 address"), "{told}");
}

#[test]
fn names_do_nothing_to_a_terminal() {
    let world = World::new();
    world.put(group(2, "\u{1b}[2Jdb\n", Vec::new()));
    let told = text::render(&world.ask("eni-00000001", "eni-00000002:5432").unwrap(), false);
    assert!(told.contains("sg-00000002 (?[2Jdb?)") && !told.contains('\u{1b}'), "{told}");
}

#[test]
fn what_never_enters_the_network_has_no_path() {
    let world = World::dual_stack();
    for (address, what) in [
        ("127.0.0.1", "is the sender's own"),
        ("127.9.9.9", "is the sender's own"),
        ("::1", "is the sender's own"),
        ("224.0.0.251", "is a multicast address"),
        ("ff02::1", "is a multicast address"),
        ("0.0.0.0", "is no host's"),
        ("0.1.2.3", "is no host's"),
        ("::", "is no host's"),
        ("255.255.255.255", "is the broadcast address"),
    ] {
        let refused = world.ask("eni-00000001", address).unwrap_err().to_string();
        assert_eq!(refused, format!("{address} {what}: no packet to it enters the network"));
        let refused = world.ask(address, "eni-00000002:80").unwrap_err().to_string();
        assert_eq!(refused, format!("{address} {what}: no packet to it enters the network"));
    }
    let with_port = world.ask("eni-00000001", "[::1]:80").unwrap_err().to_string();
    assert!(with_port.contains("::1 is the sender's own"), "{with_port}");
    let mapped = world.ask("eni-00000001", "::ffff:127.0.0.1").unwrap_err().to_string();
    assert!(mapped.contains("127.0.0.1 is the sender's own"), "{mapped}");
}

#[test]
fn what_cannot_be_answered_says_what_to_do_next() {
    let world = World::new();
    let told = |from: &str, to: &str| world.ask(from, to).unwrap_err().to_string();
    assert!(told("nobody", "10.0.2.10").contains("aws ecs list-tasks"), "{}", told("nobody", "10.0.2.10"));
    assert!(told("sg-00000001", "10.0.2.10").contains("A path goes between interfaces"));
    assert!(told("eni-0000000f", "10.0.2.10").contains("describe-network-interfaces"));
    assert!(told("10.0.9.9", "10.0.2.10").contains("no interface with 10.0.9.9"));
    assert!(
        told("eni-00000001", "nothing.us-east-1.amazonaws.com").contains("Only AWS's names and the VPC's own exist")
    );
    assert!(told("internet", "api.ecr.us-east-1.amazonaws.com").contains("from outside, name an address"));
    assert!(told("eni-00000001", "internet").contains("where a path may start"));
    assert!(told("eni-00000001", "eni-00000001:80").contains("one and the same"));
    assert!(told("eni-00000001", "eni-00000002:99999").contains("from 1 to 65535"));
    world.put(NetworkInterface { private_ips: Vec::new(), ..interface(3, "new") });
    assert!(told("eni-00000003", "eni-00000002:80").contains("has no address yet"));
    let udp = Question::parse("eni-00000001", "eni-00000002", Some("udp")).unwrap();
    let refused = Answer::to(&udp, &world.0.view(), &ground()).unwrap_err().to_string();
    assert!(refused.contains("eni-00000002:<port>"), "{refused}");
}
