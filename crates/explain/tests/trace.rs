//! Verdicts as they are told: whose packets, and by which rule.

#![allow(clippy::unwrap_used, reason = "a test")]

mod world;

use explain::Error;
use explain::trace::{Action, Told, Verdict, Wanted};
use netplan::verdicts::{Outcome, Seen};
use netplan::walk::Content;
use std::net::{IpAddr, Ipv4Addr};
use types::Timestamp;
use types::id::{EniId, NetworkAclId, SecurityGroupId};
use vpc::rows::{AclEntry, AclTraffic, NetworkAcl, Peer, Tags};
use world::{World, ground, group, id, rule, vpc_id};

const WEB: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 1, 10));
const DB: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 2, 10));

const ECHO: Content = Content::Icmpv6 { kind: 128, code: 0 };

fn link(n: u8) -> String {
    netplan::link_name(&id(EniId::parse, "eni-", n))
}

fn tcp(source: (IpAddr, u16), destination: (IpAddr, u16), begins: bool) -> Seen {
    let content = Some(Content::Tcp { source_port: source.1, port: destination.1 });
    Seen { source: source.0, destination: destination.0, protocol: 6, content, begins }
}

impl World {
    fn told(&self, outcome: Outcome, (from, to): (&str, &str), seen: Seen) -> Verdict {
        let view = self.0.view();
        let state = vpc::controller::network_state(&view, &ground());
        let at = Timestamp(1_800_000_000_123);
        Verdict::of(&Told { at, vpc: &vpc_id(), outcome, from: Some(from), to: Some(to), seen }, &view, &state)
    }

    /// A new connection from the web to the database.
    fn asks(&self, outcome: Outcome) -> Verdict {
        self.told(outcome, (&link(1), &link(2)), tcp((WEB, 40_000), (DB, 5432), true))
    }
}

#[test]
fn a_refusal_is_told_with_the_rule_that_is_missing() {
    let verdict = World::new().asks(Outcome::NotReceived);
    assert_eq!(
        verdict.line(false),
        "08:00:00.123 REJECT tcp 10.0.1.10:40000 (web) → 10.0.2.10:5432 (db)  \
         security group, in: sg-00000002 (db) has no rule for it"
    );
    assert_eq!((verdict.action, verdict.explained), (Action::Reject, true));
    assert_eq!(verdict.decided_by, ["sg-00000002"]);
    assert!(verdict.line(true).contains("\x1b[31mREJECT\x1b[0m"));
}

#[test]
fn a_connection_is_told_with_the_rule_that_lets_it_in() {
    let world = World::new();
    let from_web = rule(3, false, "tcp", 5432, Peer::Group(id(SecurityGroupId::parse, "sg-", 1)));
    world.put(group(2, "db", vec![from_web]));
    let verdict = world.asks(Outcome::Received);
    let expected = "security group, in: sg-00000002 (db) allows tcp 5432 from sg-00000001 (web)";
    assert_eq!((verdict.action, verdict.rule.as_deref()), (Action::Accept, Some(expected)));
}

#[test]
fn a_packet_of_ipv6_is_told_with_its_own_rules() {
    let world = World::dual_stack();
    let (web, db) = ("3fff:120:0:101::a".parse().unwrap(), "3fff:120:0:102::a".parse().unwrap());
    let asks = |outcome| world.told(outcome, (&link(1), &link(2)), tcp((web, 40_000), (db, 5432), true));
    assert_eq!(
        asks(Outcome::NotSent).line(false),
        "08:00:00.123 REJECT tcp [3fff:120:0:101::a]:40000 (web) → [3fff:120:0:102::a]:5432 (db)  \
         security group, out: sg-00000001 (web) has no rule for it",
        "0.0.0.0/0 is no IPv6"
    );
    world.put(group(1, "web", vec![rule(1, true, "-1", -1, Peer::Ipv6("::/0".to_owned()))]));
    world.put(group(2, "db", vec![rule(3, false, "tcp", 5432, Peer::Ipv6("3fff:120:0:101::/64".to_owned()))]));
    let expected = "security group, in: sg-00000002 (db) allows tcp 5432 from 3fff:120:0:101::/64";
    assert_eq!(asks(Outcome::Received).rule.as_deref(), Some(expected));
    let ping = Seen { source: web, destination: db, protocol: 58, content: Some(ECHO), begins: true };
    let refused = world.told(Outcome::NotReceived, (&link(1), &link(2)), ping);
    assert!(refused.line(false).contains("REJECT icmpv6 3fff:120:0:101::a (web)"), "{refused:?}");
    assert_eq!(refused.decided_by, ["sg-00000002"]);
}

#[test]
fn what_no_rule_says_any_more_is_told_so() {
    let world = World::new();
    let passed = world.asks(Outcome::Received);
    assert!(!passed.explained && passed.line(false).ends_with("no rule lets it through any more"), "{passed:?}");
    let refused = world.asks(Outcome::NotSent);
    assert!(!refused.explained && refused.line(false).contains("rules have changed since"), "{refused:?}");
}

#[test]
fn an_answer_that_an_acl_refuses_is_explained_as_an_answer() {
    let world = World::new();
    let from_web = rule(3, false, "tcp", 5432, Peer::Group(id(SecurityGroupId::parse, "sg-", 1)));
    world.put(group(2, "db", vec![from_web]));
    let entry = |number, egress, allow, ports: Option<(i32, i32)>| AclEntry {
        number,
        egress,
        allow,
        protocol: if ports.is_some() { "6" } else { "-1" }.to_owned(),
        traffic: ports.map_or(AclTraffic::All, |(from, to)| AclTraffic::Ports(from, to)),
        cidr: "0.0.0.0/0".to_owned(),
    };
    world.put(NetworkAcl {
        id: id(NetworkAclId::parse, "acl-", 1),
        vpc: vpc_id(),
        is_default: true,
        entries: vec![
            entry(90, true, false, Some((1024, 5000))),
            entry(95, true, false, Some((6000, 65_535))),
            entry(100, false, true, None),
            entry(100, true, true, None),
        ],
        tags: Tags::new(),
    });
    let answer = tcp((DB, 5432), (WEB, 40_000), false);
    let verdict = world.told(Outcome::NotSent, (&link(2), &link(1)), answer);
    let expected = "network ACL, out: acl-00000001 (default) entry 95 denies tcp 6000-65535 to 0.0.0.0/0";
    assert_eq!(verdict.rule.as_deref(), Some(expected));
    assert_eq!(verdict.from.interface, Some(id(EniId::parse, "eni-", 2)));
}

#[test]
fn only_what_is_wanted_is_shown() {
    let world = World::new();
    let view = world.0.view();
    let lens = |who: Option<&str>, vpc: Option<&str>, rejected| {
        Wanted { who: who.map(Into::into), vpc: vpc.map(Into::into), rejected }.lens(&view)
    };
    let (refused, passed) = (world.asks(Outcome::NotReceived), world.asks(Outcome::Received));
    for (who, vpc, rejected, expected) in [
        (None, None, false, (true, true)),
        (None, None, true, (true, false)),
        (Some("eni-00000001"), None, false, (true, true)),
        (Some("10.0.2.10"), None, true, (true, false)),
        (Some("10.0.9.9"), None, false, (false, false)),
        (None, Some("vpc-00000001"), false, (true, true)),
    ] {
        let lens = lens(who, vpc, rejected).unwrap();
        assert_eq!((lens.shows(&refused), lens.shows(&passed)), expected, "{who:?} {vpc:?} {rejected}");
    }
    assert_eq!(lens(Some("eni-00000001"), None, false).unwrap().vpc, Some(vpc_id()), "no other VPC is watched");
    assert!(matches!(lens(None, Some("vpc-00000009"), false), Err(Error::NotFound { .. })));
    assert!(matches!(lens(Some("eni-00000009"), None, false), Err(Error::NotFound { .. })));
    assert!(matches!(lens(Some("internet"), None, false), Err(Error::Unfit(_))));
}
