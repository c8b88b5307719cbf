//! Security groups, on real packets.

#![allow(clippy::unwrap_used, reason = "a test")]

mod lab;

use lab::{Lab, Outcome, accept, from_cidr, from_group, ip, on_a_host, passes, sg, tcp};
use netplan::Traffic;

/// Two balancers' nodes, a task and a stranger: the task takes port 3000 from members of the balancers' group alone.
fn tiers() -> Lab {
    let mut lab = Lab::new();
    lab.group(1, vec![from_cidr(tcp(80), "0.0.0.0/0")]);
    lab.group(2, vec![from_group(tcp(3000), 1)]);
    lab.group(3, vec![]);
    let (public, private) = (lab.public.clone(), lab.private.clone());
    lab.interface(1, &public, "10.0.0.10", &[1]);
    lab.interface(2, &private, "10.0.1.10", &[2]);
    lab.interface(3, &private, "10.0.1.11", &[3]);
    lab
}

#[test]
fn only_members_of_the_named_group_get_in_and_at_once() {
    on_a_host(|| {
        let mut lab = tiers();
        assert!(lab.apply() > 0);
        let server = lab.listen(2, "10.0.1.10", 3000);
        assert_eq!(lab.probe(1, ip("10.0.1.10"), 3000), Outcome::Open, "a member is let in");
        assert_eq!(accept(&server).1, ip("10.0.0.10"), "the peer's address is the interface's own");
        assert_eq!(lab.probe(1, ip("10.0.1.10"), 3001), Outcome::Silent, "another port is dropped, not refused");
        assert_eq!(lab.probe(3, ip("10.0.1.10"), 3000), Outcome::Silent, "a stranger is dropped, in the subnet too");
        lab.group_mut(2).ingress.push(from_group(tcp(3001), 1));
        lab.apply();
        assert_eq!(lab.probe(1, ip("10.0.1.10"), 3001), Outcome::Refused, "an open port without a listener refuses");

        lab.interface_mut(3).groups.push(sg(1));
        lab.apply();
        assert_eq!(lab.probe(3, ip("10.0.1.10"), 3000), Outcome::Open, "a new member is let in at once");
        lab.interface_mut(3).groups.pop();
        lab.apply();
        assert_eq!(lab.probe(3, ip("10.0.1.10"), 3000), Outcome::Silent, "a former member is not");
        lab.destroy();
    });
}

#[test]
fn a_revoked_rule_ends_new_connections_not_old_ones() {
    on_a_host(|| {
        let mut lab = tiers();
        lab.apply();
        let server = lab.listen(2, "10.0.1.10", 3000);
        let (outcome, client) = lab.begin(1, ip("10.0.1.10"), 3000);
        assert_eq!(outcome, Outcome::Open);
        let (mut client, mut served) = (client.unwrap(), accept(&server).0);
        lab.group_mut(2).ingress.clear();
        lab.apply();
        assert_eq!(lab.probe(1, ip("10.0.1.10"), 3000), Outcome::Silent, "new connections are cut off");
        assert!(passes(&mut client, &mut served) && passes(&mut served, &mut client), "the old one goes on");
        lab.crash();
        lab.apply();
        assert!(passes(&mut client, &mut served), "it goes on over a restart, too");
        assert_eq!(lab.probe(1, ip("10.0.1.10"), 3000), Outcome::Silent);
        lab.destroy();
    });
}

#[test]
fn egress_is_the_senders() {
    on_a_host(|| {
        let mut lab = tiers();
        lab.group_mut(1).egress = vec![from_group(tcp(3000), 2)];
        lab.group_mut(2).ingress.push(from_cidr(Traffic::All, "10.0.0.0/16"));
        lab.apply();
        let _server = lab.listen(2, "10.0.1.10", 3000);
        assert_eq!(lab.probe(1, ip("10.0.1.10"), 3000), Outcome::Open);
        assert_eq!(lab.probe(1, ip("10.0.1.10"), 3001), Outcome::Silent, "the sender's group has no such rule");
        assert_eq!(lab.probe(3, ip("10.0.1.10"), 3001), Outcome::Refused, "another sender's has");
        lab.destroy();
    });
}

#[test]
fn overlapping_rules_of_several_groups_are_a_union() {
    on_a_host(|| {
        let mut lab = tiers();
        let range = |from, to| Traffic::Tcp(netplan::PortRange { from, to });
        lab.group_mut(2).ingress = vec![
            from_cidr(range(1000, 2000), "10.0.0.0/16"),
            from_cidr(range(1500, 2500), "10.0.1.0/24"),
            from_cidr(tcp(1500), "10.0.1.11/32"),
            from_cidr(tcp(1500), "0.0.0.0/0"),
        ];
        lab.group(4, vec![from_cidr(tcp(9), "10.0.0.0/24")]);
        lab.interface_mut(2).groups.push(sg(4));
        lab.apply();
        let expected = [
            (1, 1000, true),
            (1, 2001, false),
            (3, 2001, true),
            (3, 2501, false),
            (1, 1500, true),
            (3, 1500, true),
            (1, 9, true),
            (3, 9, false),
        ];
        for (from, port, open) in expected {
            let outcome = if open { Outcome::Refused } else { Outcome::Silent };
            assert_eq!(lab.probe(from, ip("10.0.1.10"), port), outcome, "from n{from} to port {port}");
        }
        // Changing one rule changes elements that overlap the old ones.
        lab.group_mut(2).ingress[0] = from_cidr(range(900, 2100), "10.0.0.0/8");
        lab.apply();
        assert_eq!(lab.probe(1, ip("10.0.1.10"), 2001), Outcome::Refused);
        assert_eq!(lab.probe(1, ip("10.0.1.10"), 899), Outcome::Silent);
        lab.destroy();
    });
}

#[test]
fn an_interface_without_a_rule_is_closed() {
    on_a_host(|| {
        let mut lab = tiers();
        lab.group_mut(3).egress.clear();
        lab.apply();
        for from in [1, 2] {
            assert_eq!(lab.probe(from, ip("10.0.1.11"), 80), Outcome::Silent);
        }
        assert_eq!(lab.probe(3, ip("10.0.0.10"), 80), Outcome::Silent, "nothing leaves without an egress rule");
        lab.destroy();
    });
}
