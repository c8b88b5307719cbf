//! Real packets are counted by what became of them, and told to those who listen.

#![allow(clippy::unwrap_used, reason = "a test")]

mod lab;

use lab::{Lab, Outcome as Probe, accept, eni, entry, from_cidr, ip, on_a_host, passes, ready, tcp};
use netplan::{
    Family, Traffic, link_name, router_netns,
    verdicts::{FLOWS, GROUP, MISSED, Outcome, Passage, Seen},
    walk::Content,
};
use nix::poll::PollFlags;
use std::net::Ipv4Addr;
use std::time::Duration;

/// A small VPC: 1 in the public subnet; 2 in the private one, which takes port 80; 3 beside it, which takes nothing.
fn lab() -> Lab {
    let mut lab = Lab::new();
    lab.group(1, Vec::new());
    lab.group(2, vec![from_cidr(tcp(80), "0.0.0.0/0")]);
    let (public, private) = (lab.public.clone(), lab.private.clone());
    lab.interface(1, &public, "10.0.0.10", &[1]);
    lab.interface(2, &private, "10.0.1.10", &[2]);
    lab.interface(3, &private, "10.0.1.11", &[1]);
    lab
}

/// What was counted since: interface, outcome, from, to, packets, whether more bytes than headers need.
fn counted(lab: &Lab) -> Vec<(Passage, u64, u64)> {
    let router = router_netns(&lab.vpc);
    let found = FLOWS.iter().flat_map(|(set, key)| lab.fabric().take_counters(&router, set, key).unwrap());
    let missed = lab.fabric().take_counters(&router, MISSED, &[netplan::Field::Link]).unwrap_or_default();
    assert!(missed.is_empty(), "there is room: {missed:?}");
    found
        .filter(|count| count.packets > 0)
        .map(|count| (Passage::read(&count.key).expect("a key of ours"), count.packets, count.bytes))
        .collect()
}

/// How many packets of those there are: of which interface, with which outcome, to which port or from it.
fn packets(counts: &[(Passage, u64, u64)], n: u64, outcome: Outcome, port: u16) -> u64 {
    let link = link_name(&eni(n));
    let fits = |passage: &Passage| {
        passage.link == link
            && passage.outcome == outcome
            && (passage.destination_port == port || passage.source_port == port)
    };
    counts.iter().filter(|(passage, ..)| fits(passage)).map(|(_, packets, _)| packets).sum()
}

#[test]
fn each_side_counts_what_it_let_pass_and_what_it_refused() {
    on_a_host(|| {
        let mut lab = lab();
        lab.state.counted = [eni(1), eni(2), eni(3)].into();
        lab.apply();
        let listener = lab.listen(2, "10.0.1.10", 80);
        let (opened, stream) = lab.begin(1, ip("10.0.1.10"), 80);
        assert_eq!(opened, Probe::Open);
        let (mut near, (mut far, _)) = (stream.unwrap(), accept(&listener));
        assert!(passes(&mut near, &mut far));
        assert_eq!(lab.probe(1, ip("10.0.1.10"), 81), Probe::Silent);

        let counts = counted(&lab);
        for (n, outcome) in [(1, Outcome::Sent), (1, Outcome::Received), (2, Outcome::Sent), (2, Outcome::Received)] {
            assert!(packets(&counts, n, outcome, 80) >= 2, "{n} {outcome:?}: {counts:?}");
        }
        assert_eq!(packets(&counts, 1, Outcome::Sent, 80), packets(&counts, 2, Outcome::Received, 80), "none is lost");
        // What the receiver refuses, the sender was let send.
        assert!(packets(&counts, 1, Outcome::Sent, 81) >= 1 && packets(&counts, 1, Outcome::NotSent, 81) == 0);
        assert!(packets(&counts, 2, Outcome::NotReceived, 81) >= 1 && packets(&counts, 2, Outcome::Received, 81) == 0);
        assert!(counts.iter().all(|(passage, ..)| passage.link != link_name(&eni(3))), "3 had nothing to do with it");

        let (syn, ..) = counts.iter().find(|(passage, ..)| passage.outcome == Outcome::NotReceived).unwrap();
        let expected = (ip("10.0.0.10").into(), ip("10.0.1.10").into(), 6, 81, 2);
        let Passage { source, destination, protocol, destination_port, tcp_flags, .. } = syn;
        assert_eq!((*source, *destination, *protocol, *destination_port, *tcp_flags), expected);
        let (syn, one, bytes) =
            counts.iter().find(|(p, ..)| p.outcome == Outcome::Received && p.tcp_flags == 2).unwrap();
        assert_eq!((*one, *bytes), (1, 60), "{syn:?}: a SYN of Linux is 60 bytes");

        assert!(counted(&lab).is_empty(), "what was taken is not told again");
        assert!(passes(&mut near, &mut far));
        let more = counted(&lab);
        assert!(packets(&more, 2, Outcome::Received, 80) >= 1 && packets(&more, 2, Outcome::NotReceived, 81) <= 1);
        assert!(!lab.fabric().disturbed(), "that the kernel counts is no change by others");
        lab.destroy();
    });
}

#[test]
fn packets_of_ipv6_are_counted_and_told_of_with_their_own_addresses() {
    on_a_host(|| {
        let mut lab = lab();
        lab.ipv6();
        lab.group_mut(1).egress.push(from_cidr(Traffic::All, "::/0"));
        lab.group_mut(2).ingress.push(from_cidr(tcp(80), "::/0"));
        let (one, two) = (lab.give_ipv6(1), lab.give_ipv6(2));
        lab.state.counted = [eni(1), eni(2)].into();
        lab.state.traced = [lab.vpc.clone()].into();
        lab.apply();
        let mut hears = lab.fabric().listen_verdicts(&router_netns(&lab.vpc), GROUP).unwrap();
        assert_eq!(lab.probe(1, two, 80), Probe::Refused, "nobody listens");
        assert_eq!(lab.probe(1, two, 81), Probe::Silent);
        let counts = counted(&lab);
        assert!(counts.iter().all(|(passage, ..)| passage.source.is_ipv6()), "{counts:?}");
        let (syn, packets, bytes) =
            counts.iter().find(|(p, ..)| p.outcome == Outcome::Received && p.destination_port == 80).unwrap();
        assert_eq!((syn.source, syn.destination, syn.protocol, syn.tcp_flags), (one, two, 6, 2));
        assert_eq!((syn.link.clone(), *packets, *bytes), (link_name(&eni(2)), 1, 80), "a SYN over IPv6 is 80 bytes");
        let (answer, ..) =
            counts.iter().find(|(p, ..)| p.outcome == Outcome::Sent && p.source_port == 80).expect("an answer");
        assert_eq!((answer.source, answer.destination, answer.tcp_flags), (two, one, 4 | 16));
        let refused = counts.iter().find(|(p, ..)| p.outcome == Outcome::NotReceived).expect("a refusal");
        assert_eq!(refused.0.destination_port, 81);
        let told = hears.hear(Duration::from_secs(1)).unwrap();
        let seen: Vec<_> = told.iter().flatten().filter_map(|told| Seen::read(&told.packet)).collect();
        let to = |port| seen.iter().any(|seen| seen.destination == two && port_of(seen) == Some(port));
        assert!(to(80) && to(81), "{seen:?}");
        lab.destroy();
    });
}

fn port_of(seen: &Seen) -> Option<u16> {
    if let Some(Content::Tcp { port, .. }) = seen.content { Some(port) } else { None }
}

#[test]
fn datagrams_and_pings_are_counted_with_what_they_have_of_ports() {
    on_a_host(|| {
        let mut lab = lab();
        let ping = from_cidr(Traffic::Icmp { kind: Some(8), code: None }, "0.0.0.0/0");
        lab.group_mut(2).ingress.push(ping);
        lab.state.counted = [eni(2)].into();
        lab.apply();
        let socket = lab.fabric().udp_socket("n1", (ip("10.0.0.10"), 5353).into()).unwrap();
        for _ in 0..3 {
            socket.send_to(&[0; 100], (ip("10.0.1.10"), 53)).unwrap();
        }
        let pings = fabric::ping::ping_socket(&lab.fabric().netns_path("n1"), Family::Ipv4).unwrap();
        pings.send_to(&fabric::ping::echo_request(7, Family::Ipv4), (ip("10.0.1.10"), 0)).unwrap();
        // The datagrams went before it.
        assert!(ready(&pings, PollFlags::POLLIN, 2000), "a ping is answered");
        let counts = counted(&lab);
        let of = |protocol: u8, outcome| counts.iter().find(|(p, ..)| (p.protocol, p.outcome) == (protocol, outcome));
        let (datagrams, packets, bytes) = of(17, Outcome::NotReceived).expect("nobody takes datagrams");
        assert_eq!((datagrams.source_port, datagrams.destination_port, datagrams.tcp_flags), (5353, 53, 0));
        assert_eq!((*packets, *bytes), (3, 3 * 128));
        for outcome in [Outcome::Received, Outcome::Sent] {
            let (ping, packets, _) = of(1, outcome).expect("a ping is answered");
            assert_eq!((ping.source_port, ping.destination_port, *packets), (0, 0, 1), "{ping:?}");
        }
        lab.destroy();
    });
}

#[test]
fn an_answer_that_an_acl_refuses_was_not_sent() {
    on_a_host(|| {
        let mut lab = lab();
        lab.state.network_acls[0].egress =
            vec![entry(10, false, tcp_ports_of_answers(), "10.0.0.0/24"), entry(100, true, Traffic::All, "0.0.0.0/0")];
        lab.state.counted = [eni(1), eni(2)].into();
        lab.apply();
        let _listener = lab.listen(2, "10.0.1.10", 80);
        assert_eq!(lab.probe(1, ip("10.0.1.10"), 80), Probe::Silent);
        let counts = counted(&lab);
        assert!(packets(&counts, 1, Outcome::Sent, 80) >= 1 && packets(&counts, 2, Outcome::Received, 80) >= 1);
        assert!(packets(&counts, 2, Outcome::NotSent, 80) >= 1, "{counts:?}");
        assert_eq!(packets(&counts, 1, Outcome::Received, 80), 0);
        lab.destroy();
    });
}

fn tcp_ports_of_answers() -> Traffic {
    Traffic::Tcp(netplan::PortRange { from: 1024, to: u16::MAX })
}

#[test]
fn what_the_sender_may_not_send_the_receiver_has_not_seen() {
    on_a_host(|| {
        let mut lab = lab();
        lab.group_mut(1).egress = vec![from_cidr(tcp(80), "0.0.0.0/0")];
        // The receiver's side would refuse it, too.
        lab.state.network_acls[0].ingress = vec![entry(100, true, tcp(80), "0.0.0.0/0")];
        lab.state.counted = [eni(1), eni(2)].into();
        lab.apply();
        assert_eq!(lab.probe(1, ip("10.0.1.10"), 81), Probe::Silent);
        let counts = counted(&lab);
        assert!(packets(&counts, 1, Outcome::NotSent, 81) >= 1, "{counts:?}");
        assert!(counts.iter().all(|(passage, ..)| passage.link == link_name(&eni(1))), "{counts:?}");
        lab.destroy();
    });
}

#[test]
fn the_resolver_and_false_sources_are_not_counted() {
    on_a_host(|| {
        let mut lab = lab();
        lab.state.counted = [eni(1), eni(2), eni(3)].into();
        lab.apply();
        for address in [ip("10.0.0.2"), ip("169.254.169.254"), ip("169.254.169.253"), ip("10.0.0.1")] {
            let _ = lab.probe(1, address, 53);
        }
        assert_eq!(counted(&lab), []);
        lab.destroy();
    });
}

#[test]
fn watching_begins_and_ends_without_a_connection_lost() {
    on_a_host(|| {
        let mut lab = lab();
        lab.apply();
        let listener = lab.listen(2, "10.0.1.10", 80);
        let (_, stream) = lab.begin(1, ip("10.0.1.10"), 80);
        let (mut near, (mut far, _)) = (stream.unwrap(), accept(&listener));
        for round in 0..3 {
            lab.state.counted = [eni(2)].into();
            lab.state.traced = [lab.vpc.clone()].into();
            assert!(lab.apply() > 0, "round {round}");
            assert_eq!(lab.apply(), 0, "what counts by itself is no difference");
            assert!(passes(&mut near, &mut far));
            assert!(packets(&counted(&lab), 2, Outcome::Received, 80) >= 1, "round {round}");
            lab.state.counted.clear();
            lab.state.traced.clear();
            assert!(lab.apply() > 0, "round {round}");
            // An acknowledgement may have come after the last look.
            counted(&lab);
            assert!(passes(&mut near, &mut far));
            assert_eq!(counted(&lab), [], "nobody counts any more");
        }
        lab.destroy();
    });
}

#[test]
fn what_was_counted_outlives_its_router() {
    on_a_host(|| {
        let mut lab = lab();
        lab.state.counted = [eni(1), eni(2)].into();
        lab.apply();
        assert_eq!(lab.probe(1, ip("10.0.1.10"), 81), Probe::Silent);
        // Nobody is counted any more, and then nobody is there.
        lab.state.counted.clear();
        lab.apply();
        let mut empty = netplan::NetworkState::new(lab.state.ground.clone());
        std::mem::swap(&mut lab.state, &mut empty);
        lab.apply();
        let counts = counted(&lab);
        assert!(packets(&counts, 2, Outcome::NotReceived, 81) >= 1, "{counts:?}");
        let router = router_netns(&lab.vpc);
        let again = lab.fabric().take_counters(&router, FLOWS[0].0, FLOWS[0].1);
        assert!(again.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound), "it is told once");
        std::mem::swap(&mut lab.state, &mut empty);
        lab.state.counted = [eni(1)].into();
        lab.apply();
        assert_eq!(lab.probe(1, ip("10.0.1.10"), 81), Probe::Silent);
        std::mem::swap(&mut lab.state, &mut empty);
        lab.apply();
        assert!(packets(&counted(&lab), 1, Outcome::Sent, 81) >= 1, "a router that goes tells what it has, too");
        lab.destroy();
    });
}

#[test]
fn those_who_listen_are_told_of_connections_and_refusals() {
    on_a_host(|| {
        let mut lab = lab();
        lab.state.traced = [lab.vpc.clone()].into();
        lab.apply();
        let mut hears = lab.fabric().listen_verdicts(&router_netns(&lab.vpc), GROUP).unwrap();
        let again = lab.fabric().listen_verdicts(&router_netns(&lab.vpc), GROUP);
        assert!(again.is_err(), "there is one listener");
        let _listener = lab.listen(2, "10.0.1.10", 80);
        assert_eq!(lab.probe(1, ip("10.0.1.10"), 80), Probe::Open);
        assert_eq!(lab.probe(1, ip("10.0.1.10"), 81), Probe::Silent);
        let mut told = Vec::new();
        loop {
            let heard = hears.hear(Duration::from_secs(1)).unwrap();
            if heard.is_empty() {
                break;
            }
            told.extend(heard.into_iter().map(|told| told.expect("nothing is lost")));
        }
        let of = |name: &str, port: u16| {
            let told =
                told.iter().find(|told| told.name == name && told.packet.get(22..24) == Some(&port.to_be_bytes()[..]));
            told.unwrap_or_else(|| panic!("{name} {port}: {told:?}"))
        };
        for told in [of("received", 80), of("not_received", 81)] {
            assert_eq!(told.from.as_deref(), Some(link_name(&eni(1)).as_str()));
            assert_eq!(told.to.as_deref(), Some(link_name(&eni(2)).as_str()));
            let address = |at: usize| Ipv4Addr::from(<[u8; 4]>::try_from(&told.packet[at..at + 4]).unwrap());
            assert_eq!((address(12), address(16)), (ip("10.0.0.10"), ip("10.0.1.10")));
        }
        assert!(told.iter().filter(|told| told.name == "received").count() == 1, "a connection is told of once");
        lab.destroy();
    });
}
