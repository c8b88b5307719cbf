//! What others take away behind our back is noticed and comes back.

#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "it plays those who do not ask")]

mod lab;

use lab::{Lab, Outcome, from_cidr, from_group, ip, on_a_host, tcp};
use std::{process::Command, thread::sleep, time::Duration};

/// Two that may speak: the interface 1 to the interface 2, on port 3000 alone.
fn two() -> Lab {
    let mut lab = Lab::new();
    lab.group(1, vec![from_cidr(tcp(80), "0.0.0.0/0")]);
    lab.group(2, vec![from_group(tcp(3000), 1)]);
    let (public, private) = (lab.public.clone(), lab.private.clone());
    lab.interface(1, &public, "10.0.0.10", &[1]);
    lab.interface(2, &private, "10.0.1.10", &[2]);
    lab.interface_mut(1).addresses[0].public = Some(lab.public_address(0));
    lab.ipv6();
    lab.give_ipv6(1);
    lab.give_ipv6(2);
    lab.apply();
    lab
}

/// Runs a command in a namespace of the lab's, or on its host.
fn run(lab: &Lab, netns: Option<&str>, command: &str) {
    let mut words = command.split_whitespace();
    let mut process = match netns {
        Some(name) => {
            let mut process = Command::new("nsenter");
            process.arg(format!("--net={}", lab.fabric().netns_path(name).display())).arg(words.next().unwrap());
            process
        }
        None => Command::new(words.next().unwrap()),
    };
    let out = process.args(words).output().unwrap();
    assert!(out.status.success(), "{command}: {}", String::from_utf8_lossy(&out.stderr));
}

/// Asserts that the disturbance is noticed, and that all is as it was after the next apply.
fn put_right(lab: &Lab, what: &str) {
    // The kernel may tell a moment later.
    let noticed = (0..200).any(|_| {
        sleep(Duration::from_millis(5));
        lab.fabric().disturbed()
    });
    assert!(noticed, "{what}: it is noticed");
    assert!(lab.apply() > 0, "{what}: there was something to do");
    assert!(!lab.fabric().disturbed(), "{what}: what we do is no disturbance");
    assert_eq!(lab.fabric().verify().unwrap(), Vec::new(), "{what}");
    assert_eq!(lab.probe(1, ip("10.0.1.10"), 3000), Outcome::Refused, "{what}: what may pass does");
    assert_eq!(lab.probe(1, ip("10.0.1.10"), 3001), Outcome::Silent, "{what}: what may not does not");
}

#[test]
fn what_we_do_ourselves_is_no_disturbance() {
    on_a_host(|| {
        let mut lab = two();
        assert!(!lab.fabric().disturbed());
        let private = lab.private.clone();
        lab.interface(3, &private, "10.0.1.30", &[1]);
        lab.apply();
        assert!(!lab.fabric().disturbed());
        lab.state.network_interfaces.pop();
        lab.apply();
        assert!(!lab.fabric().disturbed());
        lab.destroy();
    });
}

#[test]
fn links_routes_rules_and_addresses_come_back() {
    on_a_host(|| {
        let lab = two();
        let router = netplan::router_netns(&lab.vpc);
        let link = netplan::link_name(&lab::eni(2));
        run(&lab, Some(&router), &format!("ip link del {link}"));
        put_right(&lab, "a link that is gone");
        run(&lab, Some("n2"), "ip link del eth0");
        put_right(&lab, "a link that is gone at its other end");
        run(&lab, Some(&router), &format!("ip link set {link} down"));
        put_right(&lab, "a link that is down");
        run(&lab, Some(&router), "ip route del 10.0.1.10");
        put_right(&lab, "a route that is gone");
        run(&lab, Some(&router), "ip rule del priority 200");
        put_right(&lab, "a routing rule that is gone");
        let ipv6 = lab.ipv6_address(&lab.private, 2);
        run(&lab, Some(&router), &format!("ip -6 route del {ipv6}"));
        put_right(&lab, "an IPv6 route that is gone");
        run(&lab, Some(&router), "ip -6 rule del priority 200");
        put_right(&lab, "a routing rule for IPv6 that is gone");
        run(&lab, Some(&router), "ip addr flush dev lo");
        put_right(&lab, "addresses that are gone");
        let host_link = format!("wt-{}", lab.instance);
        run(&lab, None, &format!("ip link del {host_link}"));
        put_right(&lab, "the host's link that is gone");
        run(&lab, None, &format!("ip route flush dev {host_link}"));
        put_right(&lab, "the host's routes that are gone");
        lab.destroy();
    });
}

#[test]
fn filters_come_back() {
    on_a_host(|| {
        let lab = two();
        let router = netplan::router_netns(&lab.vpc);
        run(&lab, Some(&router), "nft delete table inet windtunnel");
        put_right(&lab, "a table that is gone");
        run(&lab, Some(&router), "nft insert rule inet windtunnel forward drop");
        put_right(&lab, "a rule that is not ours");
        run(&lab, Some(&router), "nft flush chain inet windtunnel sender");
        put_right(&lab, "a chain that is empty");
        lab.destroy();
    });
}

#[test]
fn namespaces_come_back() {
    on_a_host(|| {
        let lab = two();
        for name in [netplan::router_netns(&lab.vpc), netplan::INTERNET.to_owned(), "n2".to_owned()] {
            let path = lab.fabric().netns_path(&name);
            run(&lab, None, &format!("umount -l {}", path.display()));
            std::fs::remove_file(&path).unwrap();
            put_right(&lab, &format!("the namespace {name} that is gone"));
        }
        lab.destroy();
    });
}

#[test]
fn a_check_of_sources_comes_back() {
    on_a_host(|| {
        let lab = two();
        let router = netplan::router_netns(&lab.vpc);
        let setting = format!("/proc/sys/net/ipv4/conf/{}/rp_filter", netplan::link_name(&lab::eni(1)));
        let write = || std::fs::write(&setting, "0");
        fabric::netns::within(&lab.fabric().netns_path(&router), write).unwrap();
        put_right(&lab, "a device that takes any source");
        let read = fabric::netns::within(&lab.fabric().netns_path(&router), || std::fs::read_to_string(&setting));
        assert_eq!(read.unwrap().trim(), "1");
        lab.destroy();
    });
}
