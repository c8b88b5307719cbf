//! What a walk tells of a connection: its stations in order, who refuses, and changes that help.

#![allow(clippy::unwrap_used, reason = "a test")]

use netplan::walk::{Content, Fix, Origin, Reason, Station, Walk, walk, walk_from_any_port};
use netplan::{
    AclEntry, Attachment, Destination, Ground, GroupRule, InterfaceAddress, InternetGateway, MacAddress, NatGateway,
    NetworkAcl, NetworkInterface, NetworkState, Peer, PortRange, RouteEntry, RouteTable, RouteTarget, SecurityGroup,
    Subnet, Traffic, Vpc, VpcPeering,
};
use std::net::{IpAddr, Ipv4Addr};
use types::id::{
    EniId, InternetGatewayId, NatGatewayId, NetworkAclId, RouteTableId, SecurityGroupId, SubnetId, VpcId,
    VpcPeeringConnectionId,
};

fn id<T>(parse: fn(&str) -> Option<T>, prefix: &str, n: u8) -> T {
    parse(&format!("{prefix}{n:08x}")).unwrap()
}

fn route(block: &str, target: RouteTarget) -> RouteEntry {
    RouteEntry { destination: Destination::Cidr(block.parse().unwrap()), target }
}

fn everything() -> AclEntry {
    AclEntry { number: 100, allow: true, traffic: Traffic::All, cidr: "0.0.0.0/0".parse().unwrap() }
}

/// VPCs 10.1.0.0/16 and 10.2.0.0/16, peered, with an interface each that is open to all; each has an internet gateway.
fn peered() -> NetworkState {
    let ground =
        Ground { instance: "00000000".to_owned(), pool: "198.18.0.0/20".parse().unwrap(), ipv6: true, outbound: false };
    let mut state = NetworkState::new(ground);
    let anyone = || GroupRule { traffic: Traffic::All, peer: Peer::Cidr("0.0.0.0/0".parse().unwrap()) };
    let connection = id(VpcPeeringConnectionId::parse, "pcx-", 1);
    for n in 1..=2 {
        let vpc = id(VpcId::parse, "vpc-", n);
        let (acl, table) = (id(NetworkAclId::parse, "acl-", n), id(RouteTableId::parse, "rtb-", n));
        let group = id(SecurityGroupId::parse, "sg-", n);
        state.vpcs.push(Vpc {
            id: vpc.clone(),
            cidrs: vec![format!("10.{n}.0.0/16").parse().unwrap()],
            dns_support: true,
        });
        state.subnets.push(Subnet {
            id: id(SubnetId::parse, "subnet-", n),
            vpc: vpc.clone(),
            cidr: format!("10.{n}.0.0/24").parse().unwrap(),
            ipv6: None,
            zone: "us-east-1a".to_owned(),
            route_table: table.clone(),
            network_acl: acl.clone(),
        });
        let open = vec![everything()];
        state.network_acls.push(NetworkAcl { id: acl, vpc: vpc.clone(), ingress: open.clone(), egress: open });
        let beyond = route(&format!("10.{}.0.0/16", 3 - n), RouteTarget::Peering(connection.clone()));
        state.route_tables.push(RouteTable { id: table, vpc: vpc.clone(), routes: vec![beyond] });
        let rules = vec![anyone()];
        let own = SecurityGroup { id: group.clone(), vpc: vpc.clone(), ingress: rules.clone(), egress: rules };
        state.security_groups.push(own.into());
        let interface = NetworkInterface {
            id: id(EniId::parse, "eni-", n),
            subnet: id(SubnetId::parse, "subnet-", n),
            mac: MacAddress([2, 0, 0, 0, 0, n]),
            addresses: vec![InterfaceAddress { private: address(n), public: None }],
            groups: vec![group],
            source_dest_check: true,
            attachment: Some(Attachment { netns: format!("n{n}"), device_index: 0 }),
        };
        state.network_interfaces.push(interface.into());
        state.internet_gateways.push(InternetGateway { id: id(InternetGatewayId::parse, "igw-", n), vpc });
    }
    let vpcs = [id(VpcId::parse, "vpc-", 1), id(VpcId::parse, "vpc-", 2)];
    state.peerings.push(VpcPeering { id: connection, vpcs });
    state
}

fn address(n: u8) -> IpAddr {
    Ipv4Addr::new(10, n, 0, 10).into()
}

fn asks(state: &NetworkState) -> Walk {
    walk(state, &origin(), address(2), Content::Tcp { source_port: 40_000, port: 80 })
}

fn origin() -> Origin {
    Origin::Interface(id(EniId::parse, "eni-", 1))
}

/// The kinds of the stations, as they are written down.
fn stations(walk: &Walk) -> Vec<String> {
    let kind = |station: &Station| serde_json::to_value(station).unwrap()["kind"].as_str().unwrap().to_owned();
    walk.request.iter().chain(&walk.reply).map(|hop| kind(&hop.station)).collect()
}

#[test]
fn a_packet_and_its_answer_pass_every_station_in_order() {
    let found = asks(&peered());
    assert!(found.passes());
    let there = ["interface", "securityGroups", "networkAcl", "routeTable", "peering", "networkAcl", "securityGroups"];
    let back = ["securityGroups", "networkAcl", "routeTable", "peering", "networkAcl", "securityGroups", "interface"];
    assert_eq!(stations(&found), [&there[..], &["interface"], &back].concat());
    let again: Walk = serde_json::from_str(&serde_json::to_string(&found).unwrap()).unwrap();
    assert_eq!(again, found, "a walk is data");
}

#[test]
fn an_answer_that_leaves_another_way_is_led_back_by_a_route_of_its_own() {
    let mut state = peered();
    let gateway = RouteTarget::InternetGateway(id(InternetGatewayId::parse, "igw-", 2));
    // More specific than the route back.
    state.route_tables[1].routes.push(route("10.1.0.0/24", gateway));
    let found = asks(&state);
    let refusal = found.refusal.unwrap();
    assert!(matches!(refusal.reason, Reason::AnotherWay { .. }), "{refusal:?}");
    let wanted = route("10.1.0.10/32", RouteTarget::Peering(id(VpcPeeringConnectionId::parse, "pcx-", 1)));
    let fix = refusal.fix.unwrap();
    assert_eq!(fix, Fix::AddRoute { table: id(RouteTableId::parse, "rtb-", 2), route: wanted });
    assert!(asks(&fix.apply(&state).unwrap()).passes(), "it is enough");
}

#[test]
fn a_nat_gateway_that_is_its_own_way_out_gets_a_table_that_leads_out() {
    let mut state = peered();
    let (subnet, nat) = (id(SubnetId::parse, "subnet-", 3), id(NatGatewayId::parse, "nat-", 1));
    let (shared, public) = (id(RouteTableId::parse, "rtb-", 1), id(RouteTableId::parse, "rtb-", 3));
    state.subnets.push(Subnet { id: subnet.clone(), cidr: "10.1.3.0/24".parse().unwrap(), ..state.subnets[0].clone() });
    let outside = InterfaceAddress { private: [10, 1, 3, 10].into(), public: Some([198, 18, 1, 1].into()) };
    let interface = NetworkInterface {
        id: id(EniId::parse, "eni-", 3),
        subnet: subnet.clone(),
        mac: MacAddress([2, 0, 0, 0, 0, 3]),
        addresses: vec![outside],
        groups: Vec::new(),
        source_dest_check: false,
        attachment: None,
    };
    state.nat_gateways.push(NatGateway { id: nat.clone(), interface: interface.id.clone() });
    state.network_interfaces.push(interface.into());
    state.route_tables[0].routes.push(route("0.0.0.0/0", RouteTarget::NatGateway(nat.clone())));
    let out = |state: &NetworkState| {
        let host = state.ground.host_address().into();
        walk(state, &origin(), host, Content::Tcp { source_port: 40_000, port: 443 })
    };
    let refusal = out(&state).refusal.unwrap();
    assert_eq!(refusal.reason, Reason::NatGatewayLoop { nat_gateway: nat, subnet: subnet.clone() });
    assert_eq!(refusal.fix, None, "no table leads out, and the shared one is the sender's way");
    let gateway = RouteTarget::InternetGateway(id(InternetGatewayId::parse, "igw-", 1));
    let routes = vec![route("0.0.0.0/0", gateway)];
    state.route_tables.push(RouteTable { id: public.clone(), vpc: state.vpcs[0].id.clone(), routes });
    let fix = out(&state).refusal.unwrap().fix.unwrap();
    assert_eq!(fix, Fix::AssociateRouteTable { subnet: subnet.clone(), table: public });
    let fixed = fix.apply(&state).unwrap();
    assert!(out(&fixed).passes(), "it is enough");
    assert_eq!(fixed.subnets[0].route_table, shared, "the sender's table stays");
    // A NAT gateway in the sender's own subnet: another table would take the sender's way too.
    let own = &mut state.network_interfaces[2];
    std::sync::Arc::make_mut(own).subnet = id(SubnetId::parse, "subnet-", 1);
    let refusal = out(&state).refusal.unwrap();
    assert!(matches!(refusal.reason, Reason::NatGatewayLoop { .. }), "{refusal:?}");
    assert_eq!(refusal.fix, None);
}

#[test]
fn the_real_internet_is_where_something_leads_and_no_neighbour_is() {
    let mut state = peered();
    let gateway = RouteTarget::InternetGateway(id(InternetGatewayId::parse, "igw-", 1));
    state.route_tables[0].routes.push(route("0.0.0.0/0", gateway));
    let mut interface = (*state.network_interfaces[0]).clone();
    interface.addresses[0].public = Some("198.18.0.20".parse().unwrap());
    state.network_interfaces[0] = interface.into();
    let asks = |state: &NetworkState, to: [u8; 4]| {
        walk(state, &origin(), Ipv4Addr::from(to).into(), Content::Tcp { source_port: 40_000, port: 443 })
    };
    assert!(matches!(asks(&state, [1, 1, 1, 1]).refusal.unwrap().reason, Reason::NobodyOutside { .. }));
    state.ground.outbound = true;
    let found = asks(&state, [1, 1, 1, 1]);
    assert!(found.passes(), "{found:?}");
    for neighbour in [[192, 168, 1, 1], [172, 16, 0, 1], [169, 254, 1, 1], [198, 19, 0, 1], [127, 0, 0, 1]] {
        let found = asks(&state, neighbour);
        assert!(matches!(found.refusal.as_ref().unwrap().reason, Reason::NobodyOutside { .. }), "{found:?}");
    }
}

#[test]
fn some_ports_of_the_senders_are_not_let_back() {
    let mut state = peered();
    let half = PortRange { from: 32_768, to: 48_000 };
    state.network_acls[0].ingress[0].traffic = Traffic::Tcp(half);
    let any = |state: &NetworkState| {
        walk_from_any_port(state, &origin(), address(2), |source_port| Content::Tcp { source_port, port: 80 })
    };
    let refused = any(&state);
    assert!(!refused.reply.is_empty(), "the answer is refused: {refused:?}");
    let Some(Fix::AllowInAcl { entry, .. }) = refused.refusal.and_then(|refusal| refusal.fix) else {
        panic!("an entry lets it pass");
    };
    assert_eq!(entry.traffic, Traffic::Tcp(PortRange { from: 1024, to: 65_535 }), "answers go to any high port");
    state.network_acls[0].ingress[0].traffic = Traffic::Tcp(PortRange { from: 1024, to: 65_535 });
    assert!(any(&state).passes());
}
