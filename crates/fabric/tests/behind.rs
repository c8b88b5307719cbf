//! Behind an attachment's network: what is there gets out with its host's address, and is reached by its host's ports.

#![allow(clippy::unwrap_used, reason = "a test")]

mod lab;

use lab::{Lab, Outcome, from_cidr, ip, on_a_host, outcome, tcp};
use netplan::{Behind, ForwardedPort};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

fn behind(name: &str, last: u8, ports: &[(u16, u16)]) -> Behind {
    Behind {
        netns: name.to_owned(),
        host: "n1".to_owned(),
        address: Ipv4Addr::new(172, 17, 0, last),
        ports: ports.iter().map(|&(host, own)| ForwardedPort { protocol: 6, host, own }).collect(),
    }
}

#[test]
fn what_is_behind_a_host_is_reached_by_its_ports_and_gets_out() {
    on_a_host(|| {
        let mut lab = Lab::new();
        let (public, private) = (lab.public.clone(), lab.private.clone());
        lab.group(1, vec![from_cidr(tcp(49_153), "10.0.0.0/16")]);
        lab.group(2, vec![from_cidr(tcp(80), "10.0.0.10/32")]);
        lab.interface(1, &public, "10.0.0.10", &[1]);
        lab.interface(2, &private, "10.0.1.20", &[2]);
        lab.apply();
        lab.state.behind.push(behind("task-0a", 2, &[(49_153, 80), (49_154, 81)]));
        lab.state.behind.push(behind("task-0b", 3, &[]));
        lab.apply();
        let listen = |lab: &Lab, netns: &str, port: u16| -> TcpListener {
            lab.fabric().listen_tcp(netns, SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))).unwrap()
        };
        let connect = |lab: &Lab, netns: &str, to: &str, port: u16| match lab
            .fabric()
            .connect_tcp(netns, SocketAddr::from((ip(to), port)))
        {
            Ok(stream) => outcome(stream).0,
            Err(error) => Outcome::Failed(error.kind()),
        };
        let at_80 = listen(&lab, "task-0a", 80);
        let at_81 = listen(&lab, "task-0a", 81);
        let peer = listen(&lab, "n2", 80);

        assert_eq!(connect(&lab, "n2", "10.0.0.10", 49_153), Outcome::Open, "the host's port leads there");
        assert_eq!(lab::accept(&at_80).1, ip("10.0.1.20"), "and shows who asks");
        assert_eq!(connect(&lab, "n2", "10.0.0.10", 49_154), Outcome::Silent, "its group does not let that in");
        assert_eq!(connect(&lab, "task-0a", "10.0.1.20", 80), Outcome::Open, "it gets out");
        assert_eq!(lab::accept(&peer).1, ip("10.0.0.10"), "with its host's address");
        assert_eq!(connect(&lab, "task-0b", "10.0.0.10", 49_153), Outcome::Open, "and comes back by its host's");
        assert_eq!(connect(&lab, "task-0b", "172.17.0.2", 81), Outcome::Open, "neighbours reach each other");
        assert_ne!(connect(&lab, "n2", "172.17.0.2", 81), Outcome::Open, "nobody else knows what is behind");
        lab::accept(&at_81);

        // Another port, and what the kernel holds is the plan, also for a daemon that comes back.
        lab.state.behind[0] = behind("task-0a", 2, &[(49_153, 81)]);
        lab.apply();
        assert_eq!(connect(&lab, "n2", "10.0.0.10", 49_153), Outcome::Open);
        lab::accept(&at_81);
        assert_eq!(lab.fabric().verify().unwrap(), vec![]);
        lab.crash();
        lab.apply();
        assert_eq!(lab.fabric().verify().unwrap(), vec![], "it finds everything");
        assert_eq!(connect(&lab, "n2", "10.0.0.10", 49_153), Outcome::Open);
        lab.state.behind.clear();
        lab.apply();
        assert_eq!(lab.fabric().verify().unwrap(), vec![], "and nothing is left");
        assert!(!lab.fabric().netns_path("task-0a").exists());
        assert_eq!(connect(&lab, "n2", "10.0.0.10", 49_153), Outcome::Refused, "the host itself is asked again");
    });
}
