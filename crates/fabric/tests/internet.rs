//! Internet gateways, public addresses, NAT gateways, route tables and network ACLs, on real packets.

#![allow(clippy::unwrap_used, reason = "a test")]

mod lab;

use lab::{Lab, Outcome, accept, entry, from_cidr, ip, on_a_host, outcome, tcp};
use netplan::{Destination, INTERNET, RouteEntry, RouteTarget, Traffic};
use std::net::{IpAddr, SocketAddr};

/// A connection from the host.
fn from_host(address: impl Into<IpAddr>, port: u16) -> Outcome {
    let stream =
        fabric::netns::connect_tcp("/proc/thread-self/ns/net".as_ref(), SocketAddr::from((address.into(), port)));
    match stream {
        Ok(stream) => outcome(stream).0,
        Err(error) => Outcome::Failed(error.kind()),
    }
}

fn open_to_all(lab: &mut Lab) {
    lab.group(1, vec![from_cidr(Traffic::All, "0.0.0.0/0")]);
}

fn everything_to(target: RouteTarget) -> RouteEntry {
    RouteEntry { destination: Destination::Cidr("0.0.0.0/0".parse().unwrap()), target }
}

#[test]
fn the_host_reaches_a_public_address_behind_a_gateway_and_a_route() {
    on_a_host(|| {
        let mut lab = Lab::new();
        open_to_all(&mut lab);
        let public = lab.public.clone();
        lab.interface(1, &public, "10.0.0.10", &[1]);
        lab.apply();
        let (eip, other) = (lab.public_address(0), lab.public_address(1));
        let server = lab.listen(1, "10.0.0.10", 80);
        assert_ne!(from_host(ip("10.0.0.10"), 80), Outcome::Open, "a private address is none of the host's");
        assert_eq!(from_host(eip, 80), Outcome::Silent, "nobody has the public address yet");

        lab.interface_mut(1).addresses[0].public = Some(eip);
        lab.apply();
        assert_eq!(from_host(eip, 80), Outcome::Open);
        assert_eq!(accept(&server).1, lab.state.ground.host_address());
        assert_eq!(from_host(eip, 81), Outcome::Refused);
        assert_eq!(from_host(other, 80), Outcome::Silent);

        // The group speaks of the host's address, which is not the VPC's.
        lab.group_mut(1).ingress = vec![from_cidr(tcp(80), "10.0.0.0/16")];
        lab.apply();
        assert_eq!(from_host(eip, 80), Outcome::Silent, "the group lets only the VPC in");
        lab.group_mut(1).ingress = vec![from_cidr(tcp(80), "0.0.0.0/0")];
        let table = lab.public_table.clone();
        let routes = std::mem::take(lab.routes_mut(&table));
        lab.apply();
        assert_eq!(from_host(eip, 80), Outcome::Silent, "no route back, no connection");
        *lab.routes_mut(&table) = routes;
        lab.apply();
        assert_eq!(from_host(eip, 80), Outcome::Open);
        lab.routes_mut(&table).clear();
        lab.state.internet_gateways.clear();
        lab.apply();
        assert_eq!(from_host(eip, 80), Outcome::Silent, "no gateway, no connection");
        lab.destroy();
    });
}

#[test]
fn the_service_address_is_reached_with_a_public_address_or_through_nat() {
    on_a_host(|| {
        let mut lab = Lab::new();
        open_to_all(&mut lab);
        let (public, private) = (lab.public.clone(), lab.private.clone());
        lab.interface(1, &public, "10.0.0.10", &[1]);
        lab.interface(2, &public, "10.0.0.11", &[1]);
        lab.interface(3, &private, "10.0.1.10", &[1]);
        let eip = lab.public_address(0);
        lab.interface_mut(1).addresses[0].public = Some(eip);
        lab.apply();
        let service = lab.fabric().service_address();
        let server = lab.fabric().listen_service(443).unwrap();
        assert_eq!(lab.probe(1, service, 443), Outcome::Open);
        assert_eq!(accept(&server).1, eip, "it comes from the public address");
        assert_eq!(lab.probe(2, service, 443), Outcome::Silent, "no public address");
        assert_eq!(lab.probe(3, service, 443), Outcome::Silent, "no route");
        assert_eq!(from_host(service, 443), Outcome::Open, "the host has the service, too");
        accept(&server);

        let (nat_eip, table) = (lab.public_address(5), lab.private_table.clone());
        let nat = lab.nat(9, &public, "10.0.0.200", Some(nat_eip));
        lab.routes_mut(&table).push(everything_to(RouteTarget::NatGateway(nat)));
        lab.apply();
        assert_eq!(lab.probe(3, service, 443), Outcome::Open, "the NAT gateway is the way out");
        assert_eq!(accept(&server).1, nat_eip, "its address is the NAT gateway's");
        assert_eq!(from_host(nat_eip, 443), Outcome::Silent, "nothing comes in by it");

        // Where the gateway stands in a private subnet, it has no way out itself.
        lab.interface_mut(9).subnet = private;
        lab.interface_mut(9).addresses[0].private = ip("10.0.1.200").into();
        lab.apply();
        assert_eq!(lab.probe(3, service, 443), Outcome::Silent);
        lab.destroy();
    });
}

#[test]
fn an_answer_does_not_leave_by_a_nat_gateway_that_did_not_see_the_question() {
    on_a_host(|| {
        let mut lab = Lab::new();
        open_to_all(&mut lab);
        let (public, private) = (lab.public.clone(), lab.private.clone());
        let (nat_eip, eip, table) = (lab.public_address(5), lab.public_address(0), lab.private_table.clone());
        let nat = lab.nat(9, &public, "10.0.0.200", Some(nat_eip));
        lab.routes_mut(&table).push(everything_to(RouteTarget::NatGateway(nat)));
        lab.interface(1, &private, "10.0.1.10", &[1]);
        lab.interface_mut(1).addresses[0].public = Some(eip);
        lab.interface(2, &public, "10.0.0.10", &[1]);
        lab.interface_mut(2).addresses[0].public = Some(lab.public_address(1));
        lab.apply();
        assert_eq!(from_host(eip, 80), Outcome::Silent, "a public address in a private subnet is no way in");
        assert_eq!(lab.probe(2, eip, 80), Outcome::Silent, "not for those in the VPC either");
        assert_eq!(lab.probe(1, lab.fabric().service_address(), 80), Outcome::Refused, "the way out is the gateway");
        lab.destroy();
    });
}

#[test]
fn public_addresses_meet_outside() {
    on_a_host(|| {
        let mut lab = Lab::new();
        open_to_all(&mut lab);
        let public = lab.public.clone();
        lab.interface(1, &public, "10.0.0.10", &[1]);
        lab.interface(2, &public, "10.0.0.11", &[1]);
        let (one, two) = (lab.public_address(0), lab.public_address(1));
        lab.interface_mut(1).addresses[0].public = Some(one);
        lab.interface_mut(2).addresses[0].public = Some(two);
        lab.apply();
        let server = lab.listen(2, "10.0.0.11", 80);
        assert_eq!(lab.probe(1, two, 80), Outcome::Open);
        assert_eq!(accept(&server).1, one);
        lab.destroy();
    });
}

#[test]
fn acls_are_stateless_and_only_at_the_subnets_edge() {
    on_a_host(|| {
        let mut lab = Lab::new();
        open_to_all(&mut lab);
        let (public, private) = (lab.public.clone(), lab.private.clone());
        lab.interface(1, &public, "10.0.0.10", &[1]);
        lab.interface(2, &private, "10.0.1.10", &[1]);
        lab.interface(3, &private, "10.0.1.11", &[1]);
        let private_acl = lab::id(types::id::NetworkAclId::parse, "acl-", 2);
        lab.state.subnets[1].network_acl = private_acl.clone();
        lab.state.network_acls.push(netplan::NetworkAcl {
            id: private_acl,
            vpc: lab.vpc.clone(),
            ingress: vec![
                entry(200, true, tcp(80), "10.0.0.0/24"),
                entry(100, false, tcp(80), "10.0.0.99/32"),
                entry(300, true, tcp(81), "0.0.0.0/0"),
            ],
            egress: vec![],
        });
        lab.apply();
        let acl = |lab: &mut Lab, change: &dyn Fn(&mut netplan::NetworkAcl)| {
            change(&mut lab.state.network_acls[1]);
            lab.apply();
        };
        assert_eq!(lab.probe(3, ip("10.0.1.10"), 80), Outcome::Refused, "within the subnet the ACL has no say");
        assert_eq!(lab.probe(1, ip("10.0.1.10"), 80), Outcome::Silent, "the reply is not allowed out");
        let replies = Traffic::Tcp(netplan::PortRange { from: 1024, to: 65535 });
        acl(&mut lab, &|acl| acl.egress = vec![entry(100, true, replies, "10.0.0.0/16")]);
        assert_eq!(lab.probe(1, ip("10.0.1.10"), 80), Outcome::Refused, "now it is");
        assert_eq!(lab.probe(1, ip("10.0.1.10"), 82), Outcome::Silent, "what no entry matches is dropped");
        acl(&mut lab, &|acl| acl.ingress.push(entry(50, false, Traffic::All, "10.0.0.10/32")));
        assert_eq!(lab.probe(1, ip("10.0.1.10"), 80), Outcome::Silent, "the lower number comes first");
        lab.destroy();
    });
}

#[test]
fn a_detour_over_another_subnet_crosses_the_edge() {
    on_a_host(|| {
        let mut lab = Lab::new();
        open_to_all(&mut lab);
        let (public, private, table) = (lab.public.clone(), lab.private.clone(), lab.private_table.clone());
        lab.interface(1, &private, "10.0.1.10", &[1]);
        lab.interface(2, &private, "10.0.1.11", &[1]);
        let nat = lab.nat(9, &public, "10.0.0.200", None);
        let closed = lab::id(types::id::NetworkAclId::parse, "acl-", 2);
        let mut acl = lab.state.network_acls[0].clone();
        acl.id.clone_from(&closed);
        acl.egress.insert(0, entry(50, false, tcp(80), "10.0.1.11/32"));
        lab.state.network_acls.push(acl);
        lab.state.subnets[1].network_acl = closed;
        lab.apply();
        assert_eq!(lab.probe(1, ip("10.0.1.11"), 80), Outcome::Refused, "within the subnet the ACL has no say");
        let through = RouteEntry {
            destination: Destination::Cidr("10.0.1.11/32".parse().unwrap()),
            target: RouteTarget::NatGateway(nat),
        };
        lab.routes_mut(&table).push(through);
        lab.apply();
        assert_eq!(lab.probe(1, ip("10.0.1.11"), 81), Outcome::Refused, "the detour is a way");
        assert_eq!(lab.probe(1, ip("10.0.1.11"), 80), Outcome::Silent, "the packet leaves the subnet");
        lab.destroy();
    });
}

#[test]
fn local_services_answer_whatever_the_groups_say_and_know_the_caller() {
    on_a_host(|| {
        let mut lab = Lab::new();
        lab.group(1, vec![]);
        lab.group_mut(1).egress.clear();
        let private = lab.private.clone();
        lab.interface(1, &private, "10.0.1.10", &[1]);
        lab.apply();
        let router = netplan::router_netns(&lab.vpc);
        for address in ["169.254.170.2", "169.254.169.254", "10.0.0.2"] {
            let server = lab.fabric().listen_tcp(&router, SocketAddr::from((ip(address), 80))).unwrap();
            assert_eq!(lab.probe(1, ip(address), 80), Outcome::Open, "{address}");
            assert_eq!(accept(&server).1, ip("10.0.1.10"));
        }
        let resolver = lab.fabric().udp_socket(&router, SocketAddr::from((ip("169.254.169.253"), 53))).unwrap();
        let client = lab.fabric().udp_socket("n1", SocketAddr::from((ip("10.0.1.10"), 0))).unwrap();
        client.send_to(b"?", (ip("169.254.169.253"), 53)).unwrap();
        assert!(lab::ready(&resolver, nix::poll::PollFlags::POLLIN, 5000));
        let (_, from) = resolver.recv_from(&mut [0; 8]).unwrap();
        resolver.send_to(b"!", from).unwrap();
        assert!(lab::ready(&client, nix::poll::PollFlags::POLLIN, 5000), "the answer comes back");
        lab.destroy();
    });
}

#[test]
fn a_route_to_an_interface_more_specific_than_the_vpc_wins() {
    on_a_host(|| {
        let mut lab = Lab::new();
        open_to_all(&mut lab);
        let (public, private) = (lab.public.clone(), lab.private.clone());
        lab.interface(1, &private, "10.0.1.10", &[1]);
        lab.interface(2, &public, "10.0.0.10", &[1]);
        lab.interface(3, &public, "10.0.0.20", &[1]);
        lab.interface_mut(3).source_dest_check = false;
        lab.apply();
        assert_eq!(lab.probe(1, ip("10.0.0.10"), 80), Outcome::Refused);
        let table = lab.private_table.clone();
        lab.routes_mut(&table).push(RouteEntry {
            destination: Destination::Cidr("10.0.0.0/24".parse().unwrap()),
            target: RouteTarget::NetworkInterface(lab::eni(3)),
        });
        lab.apply();
        assert_eq!(lab.probe(1, ip("10.0.0.10"), 80), Outcome::Silent, "the appliance does not forward");
        lab.routes_mut(&table).clear();
        lab.apply();
        assert_eq!(lab.probe(1, ip("10.0.0.10"), 80), Outcome::Refused);
        lab.destroy();
    });
}

#[test]
fn two_vpcs_of_the_same_block_do_not_meet() {
    on_a_host(|| {
        let mut lab = Lab::new();
        open_to_all(&mut lab);
        let public = lab.public.clone();
        lab.interface(1, &public, "10.0.0.10", &[1]);
        let mut other = netplan::NetworkState::new(lab.state.ground.clone());
        other.clone_from(&lab.state);
        let vpc = lab::id(types::id::VpcId::parse, "vpc-", 2);
        let subnet = lab::id(types::id::SubnetId::parse, "subnet-", 9);
        lab.state.vpcs.push(netplan::Vpc { id: vpc.clone(), cidrs: other.vpcs[0].cidrs.clone(), dns_support: true });
        let mut twin = other.subnets[0].clone();
        (twin.id, twin.vpc, twin.route_table) = (subnet.clone(), vpc.clone(), lab.private_table.clone());
        lab.state.subnets.push(twin);
        let mut group = netplan::SecurityGroup::clone(&other.security_groups[0]);
        (group.id, group.vpc) = (lab::sg(7), vpc);
        lab.state.security_groups.push(group.into());
        lab.interface(2, &subnet, "10.0.0.11", &[7]);
        lab.apply();
        let _here = lab.listen(1, "10.0.0.10", 80);
        assert_eq!(lab.probe(2, ip("10.0.0.10"), 80), Outcome::Silent);
        lab.destroy();
    });
}

#[test]
fn the_internet_namespace_does_not_lead_into_the_world() {
    on_a_host(|| {
        let lab = Lab::new();
        lab.apply();
        let begun = lab.fabric().connect_tcp(INTERNET, SocketAddr::from(([192, 0, 2, 1], 80)));
        assert!(begun.map_or(true, |stream| outcome(stream).0 == Outcome::Silent));
        lab.destroy();
    });
}
