//! DNS: what anybody in a VPC sends to its resolver, and what a name server of a user's own answers to the agent.

use resolver::message::{LONGEST_QUERY, Transport, respond};
use resolver::question;
use resolver::{Answer, Kind};
use std::net::Ipv4Addr;

/// What is sent over UDP at most.
const LONGEST_DATAGRAM: usize = 1232;

/// Something for every name: many addresses, few, a name, nothing.
fn decide(name: &str, kind: Kind) -> Answer {
    let addresses = |count: u8| Answer::Addresses((0..count).map(|n| Ipv4Addr::new(10, 0, 0, n)).collect());
    match (name.len() % 4, kind) {
        (_, Kind::Ptr) => Answer::Name(name.to_owned()),
        (0, _) => Answer::NoSuchName,
        (1, _) => Answer::NoData,
        (2, _) => addresses(2),
        _ => addresses(200),
    }
}

/// Any bytes get a response that fits, or none; and no response gets one.
pub fn dns(data: &[u8]) {
    for (transport, most) in [(Transport::Udp, LONGEST_DATAGRAM), (Transport::Tcp, usize::from(u16::MAX))] {
        let Some(response) = respond(data, transport, decide) else { continue };
        assert!(data.len() <= LONGEST_QUERY && response.len() <= most, "{transport:?}: {} bytes", response.len());
        assert!(response.len() >= 12 && response[..2] == data[..2] && response[2] & 0x80 != 0, "a response to this");
        assert_eq!(respond(&response, transport, decide), None, "two resolvers answer each other");
    }
    let Some(query) = question::ask(0xabcd, "db.example.com") else { panic!("a name can be asked for") };
    let _ = question::read(&query, data);
    // With a head that passes for an answer's.
    let mut answer = respond(&query, Transport::Tcp, |_, _| Answer::NoData).expect("a question has an answer");
    answer[6..8].copy_from_slice(&[0, 9]);
    answer.extend_from_slice(data);
    assert!(question::read(&query, &answer).is_some(), "an answer to the question");
}
