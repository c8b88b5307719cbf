//! Interfaces and groups that come and go, many times: nothing is left of them. Alone in its binary, for it counts what the
//! process holds.

#![allow(clippy::unwrap_used, reason = "a test")]

mod lab;

use lab::{Lab, from_cidr, from_group, on_a_host, tcp};

/// How many, unless WINDTUNNEL_CYCLES says so.
const ROUNDS: u64 = 200;

#[test]
fn many_comings_and_goings_leave_nothing() {
    on_a_host(|| {
        let rounds = std::env::var("WINDTUNNEL_CYCLES").ok().and_then(|n| n.parse().ok()).unwrap_or(ROUNDS);
        let mut lab = Lab::new();
        lab.group(1, vec![from_cidr(tcp(80), "0.0.0.0/0")]);
        lab.group(2, vec![from_group(tcp(3000), 1)]);
        let public = lab.public.clone();
        lab.interface(1, &public, "10.0.0.10", &[1]);
        lab.apply();
        let held = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let instance = lab.instance.clone();
        let mounts = || {
            let all = std::fs::read_to_string("/proc/thread-self/mounts").unwrap();
            all.lines().filter(|line| line.contains(&instance)).count()
        };
        let before = (held(), mounts());
        for n in 0..rounds {
            let private = lab.private.clone();
            lab.interface(1000 + n, &private, "10.0.1.30", &[1, 2]);
            lab.group(1000 + n, vec![from_group(tcp(1), 1)]);
            lab.interface_mut(1).groups.push(lab::sg(1000 + n));
            lab.apply();
            lab.state.network_interfaces.pop();
            lab.state.security_groups.pop();
            lab.interface_mut(1).groups.pop();
            lab.apply();
        }
        assert_eq!((held(), mounts()), before);
        assert!(!lab.fabric().disturbed());
        assert_eq!(lab.fabric().verify().unwrap(), Vec::new());
        lab.destroy();
    });
}
