//! Whose addresses an interface may send from, and which route table what it sends takes.

#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "it plays what runs in a task")]

mod lab;

use lab::{Lab, Outcome, accept, eni, from_cidr, ip, on_a_host, passes};
use netplan::{Destination, RouteEntry, RouteTarget, Traffic};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, setsockopt, socket, sockopt::IpTransparent,
};
use std::{
    net::{IpAddr, SocketAddr, SocketAddrV4, UdpSocket},
    os::fd::AsRawFd,
};

const PORT: u16 = 5000;

/// Interfaces 1 and 2 in the private subnet, 3 in the public one; everybody may speak to everybody.
fn three() -> Lab {
    let mut lab = Lab::new();
    lab.group(1, vec![from_cidr(Traffic::All, "0.0.0.0/0")]);
    let (public, private) = (lab.public.clone(), lab.private.clone());
    lab.interface(1, &private, "10.0.1.10", &[1]);
    lab.interface(2, &private, "10.0.1.11", &[1]);
    lab.interface(3, &public, "10.0.0.10", &[1]);
    lab
}

fn leads(cidr: &str, to: u64) -> RouteEntry {
    let target = RouteTarget::NetworkInterface(eni(to));
    RouteEntry { destination: Destination::Cidr(cidr.parse().unwrap()), target }
}

/// Has the namespace of the interface `n` carry on what is not its own.
fn forwards(lab: &Lab, n: u64) {
    let forwarding = fabric::netns::within(&lab.fabric().netns_path(&format!("n{n}")), || {
        ["ipv4", "ipv6"]
            .iter()
            .try_for_each(|family| std::fs::write(format!("/proc/sys/net/{family}/conf/all/forwarding"), "1"))
    });
    forwarding.unwrap();
}

/// What listens in the namespace of the interface `n` at an address that may be another's.
fn at(lab: &Lab, n: u64, address: &str, port: u16) -> UdpSocket {
    fabric::netns::within(&lab.fabric().netns_path(&format!("n{n}")), || {
        let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_NONBLOCK, None)?;
        setsockopt(&socket, IpTransparent, &true)?;
        bind(socket.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(ip(address), port)))?;
        Ok(UdpSocket::from(socket))
    })
    .unwrap()
}

/// An address outside of the VPC, which routes lead to.
const OUTSIDE: &str = "192.0.2.7";

/// Has the namespace of the interface `n` take [`OUTSIDE`] as its own, and listen there.
fn outside_at(lab: &Lab, n: u64) -> UdpSocket {
    let added = fabric::netns::within(&lab.fabric().netns_path(&format!("n{n}")), || {
        std::process::Command::new("ip").args(["address", "add", OUTSIDE, "dev", "lo"]).status()
    });
    assert!(added.unwrap().success());
    at(lab, n, OUTSIDE, PORT)
}

/// Whether what the interface `n` sends from `source` comes to `receiver`, who is at `to`.
fn comes(lab: &Lab, n: u64, source: &str, to: &str, receiver: &UdpSocket) -> bool {
    let sent = at(lab, n, source, 0).send_to(b"x", SocketAddr::from((ip(to), PORT)));
    // No route in the sender's own namespace would be the test's mistake.
    sent.unwrap();
    lab::ready(receiver, nix::poll::PollFlags::POLLIN, 300) && receiver.recv(&mut [0; 8]).is_ok()
}

#[test]
fn only_its_own_addresses_are_an_interfaces_source() {
    on_a_host(|| {
        let lab = three();
        lab.apply();
        let receiver = at(&lab, 2, "10.0.1.11", PORT);
        assert!(comes(&lab, 1, "10.0.1.10", "10.0.1.11", &receiver), "its own address passes");
        for (source, whose) in [
            ("10.0.1.12", "nobody's"),
            ("10.0.0.10", "that of an interface in another subnet"),
            ("10.0.1.11", "the receiver's"),
            ("169.254.169.254", "the router's"),
            ("192.0.2.1", "the internet's"),
        ] {
            assert!(!comes(&lab, 1, source, "10.0.1.11", &receiver), "{whose} does not");
        }
        lab.destroy();
    });
}

#[test]
fn a_route_to_an_interface_lets_only_that_one_send_for_others() {
    on_a_host(|| {
        let mut lab = three();
        let table = lab.private_table.clone();
        lab.interface_mut(3).source_dest_check = false;
        lab.routes_mut(&table).push(leads("0.0.0.0/0", 3));
        lab.apply();
        let receiver = at(&lab, 2, "10.0.1.11", PORT);
        assert!(!comes(&lab, 1, "192.0.2.1", "10.0.1.11", &receiver));
        assert!(comes(&lab, 3, "192.0.2.1", "10.0.1.11", &receiver));
        lab.destroy();
    });
}

#[test]
fn the_check_ends_and_begins_while_connections_stand() {
    on_a_host(|| {
        let mut lab = three();
        lab.apply();
        let listener = lab.listen(2, "10.0.1.11", 80);
        let (_, stream) = lab.begin(1, ip("10.0.1.11"), 80);
        let (mut near, (mut far, _)) = (stream.unwrap(), accept(&listener));
        let receiver = at(&lab, 2, "10.0.1.11", PORT);
        for check in [false, true, false] {
            lab.interface_mut(1).source_dest_check = check;
            assert!(lab.apply() > 0);
            assert_eq!(comes(&lab, 1, "192.0.2.1", "10.0.1.11", &receiver), !check);
            assert!(!comes(&lab, 3, "192.0.2.1", "10.0.1.11", &receiver), "the others' sources are still checked");
            assert!(passes(&mut near, &mut far), "the connection stands");
            lab.crash();
            lab.apply();
            assert_eq!(lab.fabric().verify().unwrap(), Vec::new());
            assert_eq!(comes(&lab, 1, "192.0.2.1", "10.0.1.11", &receiver), !check, "after a crash it is as before");
            assert!(passes(&mut near, &mut far));
        }
        lab.destroy();
    });
}

#[test]
fn answers_may_take_another_way_than_the_question() {
    on_a_host(|| {
        let mut lab = three();
        let (public, table) = (lab.public.clone(), lab.private_table.clone());
        lab.interface(4, &public, "10.0.0.20", &[1]);
        lab.interface_mut(4).source_dest_check = false;
        // What the private subnet sends to the public one goes to an appliance, and what comes from there does not.
        lab.routes_mut(&table).push(leads("10.0.0.0/24", 4));
        lab.apply();
        let receiver = at(&lab, 1, "10.0.1.10", PORT);
        assert!(comes(&lab, 3, "10.0.0.10", "10.0.1.10", &receiver));
        assert!(!comes(&lab, 3, "10.0.1.11", "10.0.1.10", &receiver));
        lab.destroy();
    });
}

#[test]
fn what_is_sent_for_others_takes_the_senders_own_route_table() {
    on_a_host(|| {
        let mut lab = three();
        let subnet = lab.public.clone();
        lab.interface(4, &subnet, "10.0.0.20", &[1]);
        for n in 2..=4 {
            lab.interface_mut(n).source_dest_check = false;
        }
        let (public, private) = (lab.public_table.clone(), lab.private_table.clone());
        // The public subnet's table leads to the interface 2, the private one's to nobody who listens.
        lab.routes_mut(&public).insert(0, leads("192.0.2.0/24", 2));
        lab.routes_mut(&private).push(leads("192.0.2.0/24", 4));
        lab.apply();
        let receiver = outside_at(&lab, 2);
        assert!(comes(&lab, 3, "10.0.0.10", OUTSIDE, &receiver), "its own address");
        assert!(comes(&lab, 3, "10.0.1.10", OUTSIDE, &receiver), "an address of the private subnet");
        assert!(comes(&lab, 3, "203.0.113.9", OUTSIDE, &receiver), "an address of nowhere");
        assert_eq!(lab.probe(1, ip(OUTSIDE), PORT), Outcome::Silent, "the private subnet's own go elsewhere");
        lab.destroy();
    });
}

#[test]
fn an_appliance_carries_on_what_a_route_led_to_it() {
    on_a_host(|| {
        let mut lab = three();
        let everything = vec![from_cidr(Traffic::All, "0.0.0.0/0"), from_cidr(Traffic::All, "::/0")];
        let group = lab.group_mut(1);
        (group.ingress, group.egress) = (everything.clone(), everything);
        lab.ipv6();
        let (public, table) = (lab.public.clone(), lab.private_table.clone());
        lab.interface(4, &public, "10.0.0.20", &[1]);
        lab.interface_mut(4).source_dest_check = false;
        let addresses: Vec<IpAddr> = (1..=4).map(|n| lab.give_ipv6(n)).collect();
        // What the private subnet sends to the public one goes to an appliance there, whose own table has no such route.
        for cidr in ["10.0.0.0/24".to_owned(), lab.state.subnets[0].ipv6.unwrap().to_string()] {
            lab.routes_mut(&table).push(leads(&cidr, 4));
        }
        lab.apply();
        let targets = [IpAddr::V4(ip("10.0.0.10")), addresses[2]];
        let _listeners = targets.map(|to| lab.fabric().listen_tcp("n3", SocketAddr::from((to, 80))).unwrap());
        for to in targets {
            assert_eq!(lab.probe(1, to, 80), Outcome::Silent, "{to}: the appliance does not forward yet");
        }
        forwards(&lab, 4);
        for to in targets {
            assert_eq!(lab.probe(1, to, 80), Outcome::Open, "{to}");
        }
        lab.destroy();
    });
}

#[test]
fn what_is_sent_for_others_takes_no_other_subnets_way() {
    on_a_host(|| {
        let mut lab = three();
        let subnet = lab.public.clone();
        lab.interface(4, &subnet, "10.0.0.20", &[1]);
        for n in [1, 4] {
            lab.interface_mut(n).source_dest_check = false;
        }
        let public = lab.public_table.clone();
        lab.routes_mut(&public).insert(0, leads("192.0.2.0/24", 4));
        lab.apply();
        let receiver = outside_at(&lab, 4);
        assert!(comes(&lab, 3, "10.0.0.10", OUTSIDE, &receiver), "the public subnet has the way");
        assert!(!comes(&lab, 1, "10.0.0.10", OUTSIDE, &receiver), "the private one has none, whatever it says it is");
        lab.destroy();
    });
}
