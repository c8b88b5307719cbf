//! A process that is killed while it changes the network: the next one finishes what it was at, and nothing is left.

#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "it starts processes, and waits for them")]

mod lab;

use lab::{Lab, Outcome, entry, from_cidr, from_group, ip, on_a_host, tcp};
use netplan::Traffic;
use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    thread::sleep,
    time::Duration,
};

/// How often it is killed, unless WINDTUNNEL_KILLS says so.
const ROUNDS: u32 = 25;
/// Says to the process that is to be killed which instance it is of.
const INSTANCE: &str = "WINDTUNNEL_KILLED_INSTANCE";

/// A network that differs from its other state by links, groups, entries, routes and a NAT gateway.
fn network(lab: &mut Lab, other: bool) {
    lab.state.network_interfaces.clear();
    lab.state.security_groups.clear();
    lab.state.nat_gateways.clear();
    lab.group(1, vec![from_cidr(tcp(80), "0.0.0.0/0")]);
    lab.group(2, vec![from_group(tcp(3000), 1)]);
    let (public, private) = (lab.public.clone(), lab.private.clone());
    lab.interface(1, &public, "10.0.0.10", &[1]);
    lab.interface(2, &private, "10.0.1.10", &[2]);
    lab.state.network_acls[0].ingress = vec![entry(100, true, Traffic::All, "0.0.0.0/0")];
    if other {
        for n in 3..9 {
            lab.interface(n, &private, &format!("10.0.1.{}", n + 20), &[1, 2]);
        }
        lab.nat(20, &public, "10.0.0.200", Some(lab.public_address(3)));
        lab.interface_mut(1).addresses[0].public = Some(lab.public_address(0));
        lab.state.network_acls[0].ingress.insert(0, entry(90, false, Traffic::Protocol(50), "0.0.0.0/0"));
    }
}

#[test]
#[ignore = "the process that is killed"]
fn changes_the_network_until_it_is_killed() {
    let Ok(instance) = std::env::var(INSTANCE) else { return };
    let mut lab = Lab::of(instance);
    println!("\nready");
    for n in 0..2000 {
        network(&mut lab, n % 2 == 0);
        lab.apply();
    }
}

#[test]
fn the_next_process_finishes_what_a_killed_one_was_at() {
    on_a_host(|| {
        let rounds = std::env::var("WINDTUNNEL_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(ROUNDS);
        let mut lab = Lab::new();
        let instance = lab.instance.clone();
        lab.abandon();
        for round in 0..rounds {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "changes_the_network_until_it_is_killed", "--ignored", "--nocapture"])
                .env(INSTANCE, &instance)
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            assert!(lines.any(|line| line.unwrap() == "ready"), "it begins");
            // Twenty milliseconds are a few changes: by and by each place in one is met.
            sleep(Duration::from_micros(u64::from(round * 7919 % 20_000)));
            child.kill().unwrap();
            child.wait().unwrap();

            lab = Lab::of(instance.clone());
            network(&mut lab, round % 3 == 0);
            lab.apply();
            assert_eq!(lab.fabric().verify().unwrap(), Vec::new(), "round {round}");
            assert!(!lab.fabric().disturbed(), "round {round}");
            let names: Vec<_> = fs::read_dir(lab.fabric().netns_directory()).unwrap().collect();
            let plan = netplan::compile(&lab.state);
            assert_eq!(names.len(), plan.namespaces.len(), "round {round}: no namespace is left over");
            assert_eq!(lab.probe(1, ip("10.0.1.10"), 3000), Outcome::Refused, "round {round}: what may pass does");
            assert_eq!(lab.probe(1, ip("10.0.1.10"), 3001), Outcome::Silent, "round {round}: what may not does not");
            lab.abandon();
        }
        Lab::of(instance).destroy();
    });
}
