//! IPv6 in the kernel: addresses that come and go, who may send, and the two ways out.

#![allow(clippy::unwrap_used, reason = "a test")]

mod lab;

use lab::{Lab, Outcome, accept, from_cidr, from_group, on_a_host, tcp};
use netplan::{Destination, RouteEntry, RouteTarget, Traffic};
use std::net::{IpAddr, SocketAddr};

fn everywhere(target: RouteTarget) -> RouteEntry {
    RouteEntry { destination: Destination::Cidr("::/0".parse().unwrap()), target }
}

/// Two interfaces with IPv6, the first in the public subnet; both let everybody of the other's group in, over IPv6.
fn dual_stack() -> (Lab, IpAddr, IpAddr) {
    let mut lab = Lab::new();
    lab.ipv6();
    for n in [1, 2] {
        lab.group(n, vec![from_group(tcp(80), 3 - n)]);
        lab.group_mut(n).egress.push(from_cidr(Traffic::All, "::/0"));
    }
    let (public, private) = (lab.public.clone(), lab.private.clone());
    lab.interface(1, &public, "10.0.0.10", &[1]);
    lab.interface(2, &private, "10.0.1.10", &[2]);
    let (one, two) = (lab.give_ipv6(1), lab.give_ipv6(2));
    (lab, one, two)
}

fn listen(lab: &Lab, n: u64, address: IpAddr) -> std::net::TcpListener {
    lab.fabric().listen_tcp(&format!("n{n}"), SocketAddr::from((address, 80))).unwrap()
}

#[test]
fn members_of_a_group_meet_over_ipv6_with_the_addresses_that_they_have() {
    on_a_host(|| {
        let (mut lab, one, two) = dual_stack();
        lab.apply();
        let listener = listen(&lab, 2, two);
        let (outcome, _held) = lab.begin(1, two, 80);
        assert_eq!(outcome, Outcome::Open);
        assert_eq!(accept(&listener).1, one);
        // IPv4's rule is no rule for IPv6.
        lab.group_mut(2).ingress = vec![from_cidr(tcp(80), "0.0.0.0/0")];
        lab.apply();
        assert_eq!(lab.probe(1, two, 80), Outcome::Silent);
        assert_eq!(lab.probe(1, lab::ip("10.0.1.10"), 80), Outcome::Refused);
        lab.destroy();
    });
}

#[test]
fn an_address_comes_to_a_standing_interface_and_goes_from_it() {
    on_a_host(|| {
        let (mut lab, _, two) = dual_stack();
        let taken = lab.interface_mut(1).addresses.split_off(1);
        lab.apply();
        assert!(
            matches!(lab.probe(1, two, 80), Outcome::Failed(_)),
            "who has no IPv6 does not get as far as the router"
        );
        lab.interface_mut(1).addresses.extend(taken);
        lab.apply();
        assert_eq!(lab.probe(1, two, 80), Outcome::Refused);
        lab.interface_mut(1).addresses.truncate(1);
        lab.apply();
        assert_eq!(lab.fabric().verify().unwrap(), Vec::new());
        assert!(matches!(lab.probe(1, two, 80), Outcome::Failed(_)));
        // The whole VPC may lose it, and get it back.
        let block = lab.state.vpcs[0].cidrs.pop().unwrap();
        let second = lab.interface_mut(2).addresses.split_off(1);
        lab.apply();
        assert_eq!(lab.fabric().verify().unwrap(), Vec::new());
        lab.state.vpcs[0].cidrs.push(block);
        lab.interface_mut(2).addresses.extend(second);
        lab.give_ipv6(1);
        lab.apply();
        assert_eq!(lab.fabric().verify().unwrap(), Vec::new());
        assert_eq!(lab.probe(1, two, 80), Outcome::Refused);
        lab.destroy();
    });
}

#[test]
fn a_foreign_ipv6_source_is_dropped() {
    on_a_host(|| {
        let (mut lab, _, two) = dual_stack();
        lab.group_mut(2).ingress = vec![from_cidr(tcp(80), "::/0")];
        // The sender gives itself an address of its subnet that nobody gave it.
        lab.apply();
        let stranger = lab.ipv6_address(&lab.public.clone(), 0xbad);
        let plan = {
            let mut state = lab.state.clone();
            let interface = state.network_interfaces.iter_mut().find(|i| i.id == lab::eni(1)).unwrap();
            std::sync::Arc::make_mut(interface).addresses[1].private = stranger;
            state
        };
        // Its namespace has the stranger's address, the router's filter still knows the old one.
        let mut mixed = netplan::compile(&lab.state);
        let other = netplan::compile(&plan);
        mixed.namespaces.insert("n1".to_owned(), other.namespaces["n1"].clone());
        lab.fabric().apply(&mixed).unwrap();
        assert_eq!(lab.probe(1, two, 80), Outcome::Silent);
        lab.destroy();
    });
}

#[test]
fn the_internet_gateway_goes_both_ways_and_the_egress_only_one_out_alone() {
    on_a_host(|| {
        let (mut lab, one, two) = dual_stack();
        for n in [1, 2] {
            lab.group_mut(n).ingress = vec![from_cidr(tcp(80), "::/0")];
        }
        let (igw, eigw) = (lab.igw.clone(), lab.egress_only());
        let (public, private) = (lab.public_table.clone(), lab.private_table.clone());
        lab.routes_mut(&public).push(everywhere(RouteTarget::InternetGateway(igw)));
        lab.routes_mut(&private).push(everywhere(RouteTarget::EgressOnlyInternetGateway(eigw)));
        lab.apply();
        let (listener_one, _listener_two) = (listen(&lab, 1, one), listen(&lab, 2, two));
        let from_host = |address: IpAddr| {
            let address = SocketAddr::from((address, 80));
            let host = std::path::Path::new("/proc/thread-self/ns/net");
            lab::outcome(fabric::netns::connect_tcp(host, address).unwrap()).0
        };
        assert_eq!(from_host(one), Outcome::Open);
        assert_eq!(accept(&listener_one).1, IpAddr::V6(lab.state.ground.host_address_ipv6()));
        assert_eq!(from_host(two), Outcome::Silent, "the answer would leave by the egress-only gateway");
        let outside = IpAddr::V6(lab.state.ground.service_address_ipv6());
        let service = lab.fabric().listen_tcp(netplan::INTERNET, SocketAddr::from((outside, 443))).unwrap();
        for (n, own) in [(1, one), (2, two)] {
            let (outcome, _held) = lab.begin(n, outside, 443);
            assert_eq!(outcome, Outcome::Open);
            assert_eq!(accept(&service).1, own, "nobody translates IPv6");
        }
        // Without an internet gateway nobody comes in, and the egress-only one still leads out.
        lab.state.internet_gateways.clear();
        lab.fabric().apply(&netplan::compile(&lab.state)).unwrap();
        assert_eq!(from_host(one), Outcome::Silent);
        assert_eq!(from_host(two), Outcome::Silent);
        let (outcome, _held) = lab.begin(2, outside, 443);
        assert_eq!(outcome, Outcome::Open);
        lab.destroy();
    });
}

#[test]
fn a_host_that_gives_its_devices_no_ipv6_reaches_vpcs_all_the_same() {
    on_a_host(|| {
        std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").unwrap();
        let (mut lab, one, _) = dual_stack();
        lab.group_mut(1).ingress = vec![from_cidr(tcp(80), "::/0")];
        let (igw, public) = (lab.igw.clone(), lab.public_table.clone());
        lab.routes_mut(&public).push(everywhere(RouteTarget::InternetGateway(igw)));
        lab.apply();
        let host = std::path::Path::new("/proc/thread-self/ns/net");
        let begun = fabric::netns::connect_tcp(host, SocketAddr::from((one, 80))).unwrap();
        assert_eq!(lab::outcome(begun).0, Outcome::Refused);
        assert_eq!(lab.fabric().verify().unwrap(), Vec::new());
        lab.destroy();
    });
}

#[test]
fn the_resolver_is_asked_over_ipv6_whatever_the_groups_say() {
    on_a_host(|| {
        let (mut lab, ..) = dual_stack();
        lab.group_mut(1).egress.clear();
        lab.apply();
        let resolver: IpAddr = "fd00:ec2::253".parse().unwrap();
        assert_eq!(lab.probe(1, resolver, 53), Outcome::Refused);
        lab.state.vpcs[0].dns_support = false;
        lab.apply();
        assert_eq!(lab.probe(1, resolver, 53), Outcome::Silent);
        lab.destroy();
    });
}
