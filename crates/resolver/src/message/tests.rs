//! Queries as clients write them, and as nobody should.

use super::*;
use domain::rdata::AllRecordData;
use proptest::prelude::*;
use std::net::Ipv4Addr;

type Records = Vec<String>;

fn query(name: &str, kind: Rtype, edns: Option<u16>) -> Vec<u8> {
    let mut builder = MessageBuilder::new_vec();
    builder.header_mut().set_id(0xabcd);
    builder.header_mut().set_rd(true);
    let mut question = builder.question();
    question.push((&name.parse::<Name<Vec<u8>>>().unwrap(), kind)).unwrap();
    let mut additional = question.additional();
    if let Some(size) = edns {
        additional
            .opt(|opt| {
                opt.set_udp_payload_size(size);
                Ok(())
            })
            .unwrap();
    }
    additional.finish()
}

fn read(bytes: &[u8]) -> (Rcode, bool, Records) {
    let message = Message::from_slice(bytes).unwrap();
    let header = message.header();
    assert!(header.qr());
    let answer = message.answer().unwrap();
    let records = answer.limit_to::<AllRecordData<_, _>>().map(|record| record.unwrap());
    let shown = records.map(|record| format!("{} {} {}", record.owner(), record.ttl().as_secs(), record.data()));
    (header.rcode(), header.tc(), shown.collect())
}

fn many(count: u8) -> Answer {
    Answer::Addresses((0..count).map(|n| Ipv4Addr::new(10, 0, 0, n)).collect())
}

#[test]
fn an_answer_keeps_the_question_as_it_was_written() {
    let asked = query("Web.Example.COM", Rtype::A, None);
    let bytes = respond(&asked, Transport::Udp, |name, kind| {
        assert_eq!((name, kind), ("Web.Example.COM", Kind::A));
        many(2)
    })
    .unwrap();
    let (code, truncated, records) = read(&bytes);
    assert_eq!((code, truncated), (Rcode::NOERROR, false));
    assert_eq!(records, ["Web.Example.COM 60 10.0.0.0", "Web.Example.COM 60 10.0.0.1"]);
    let message = Message::from_slice(&bytes).unwrap();
    assert_eq!(message.header().id(), 0xabcd);
    assert!(message.header().rd() && message.header().ra());
    assert!(bytes[12..].starts_with(b"\x03Web\x07Example\x03COM\0"), "to the letter");
}

#[test]
fn an_addresses_name_is_a_pointer() {
    let asked = query("5.1.0.10.in-addr.arpa", Rtype::PTR, None);
    let name = || Answer::Name("ip-10-0-1-5.ec2.internal".to_owned());
    let (_, _, records) = read(&respond(&asked, Transport::Udp, |_, _| name()).unwrap());
    assert_eq!(records, ["5.1.0.10.in-addr.arpa 60 ip-10-0-1-5.ec2.internal."]);
}

#[test]
fn what_is_not_there_is_told_apart_from_what_has_nothing() {
    let asked = query("a.b", Rtype::MX, Some(1232));
    let nothing = respond(&asked, Transport::Udp, |_, kind| {
        assert_eq!(kind, Kind::Other);
        Answer::NoData
    });
    assert_eq!(read(&nothing.unwrap()), (Rcode::NOERROR, false, vec![]));
    let absent = respond(&asked, Transport::Udp, |_, _| Answer::NoSuchName);
    assert_eq!(read(&absent.unwrap()), (Rcode::NXDOMAIN, false, vec![]));
}

#[test]
fn a_response_is_no_longer_than_the_asker_takes_and_whole_over_tcp() {
    for (edns, most) in [(None, 512), (Some(100), 512), (Some(700), 700), (Some(65535), 1232)] {
        let asked = query("a.b", Rtype::A, edns);
        let short = respond(&asked, Transport::Udp, |_, _| many(200)).unwrap();
        assert!(short.len() <= most);
        let (code, truncated, records) = read(&short);
        assert_eq!((code, truncated, records.len()), (Rcode::NOERROR, true, 0));
        assert_eq!(Message::from_slice(&short).unwrap().opt().is_some(), edns.is_some());
        let (_, truncated, records) = read(&respond(&asked, Transport::Tcp, |_, _| many(200)).unwrap());
        assert_eq!((truncated, records.len()), (false, 200));
    }
    // 12 + 9 for the question and 16 for each address: 30 of them are 501 bytes, and one more does not fit.
    let asked = query("a.b", Rtype::A, None);
    let (_, truncated, records) = read(&respond(&asked, Transport::Udp, |_, _| many(30)).unwrap());
    assert_eq!((truncated, records.len()), (false, 30));
    assert!(read(&respond(&asked, Transport::Udp, |_, _| many(31)).unwrap()).1);
}

#[test]
fn what_is_no_question_is_refused() {
    let never = |_: &str, _: Kind| -> Answer { panic!("nothing was asked") };
    let code = |bytes: &[u8]| respond(bytes, Transport::Udp, never).map(|answer| read(&answer).0);
    let asked = query("a.b", Rtype::A, None);
    assert_eq!(code(&asked[..11]), None, "no header");
    assert_eq!(code(&asked[..14]), Some(Rcode::FORMERR), "half a question");
    let mut other = asked.clone();
    other[2] |= 0x80;
    assert_eq!(code(&other), None, "a response");
    let mut other = asked.clone();
    other[2] |= 0x28;
    assert_eq!(code(&other), Some(Rcode::NOTIMP), "an update");
    let mut other = asked.clone();
    other[5] = 2;
    assert_eq!(code(&other), Some(Rcode::FORMERR), "two questions");
    let mut other = asked.clone();
    *other.last_mut().unwrap() = 3;
    assert_eq!(code(&other), Some(Rcode::REFUSED), "chaos");
    assert_eq!(code(&query("a.b", Rtype::AXFR, None)), Some(Rcode::REFUSED));
    // The version is the second byte of the OPT record's TTL.
    let mut other = query("a.b", Rtype::A, Some(1232));
    let at = other.len() - 5;
    other[at] = 1;
    let answer = respond(&other, Transport::Udp, never).unwrap();
    let message = Message::from_slice(&answer).unwrap();
    assert_eq!(message.opt_rcode(), OptRcode::BADVERS);
}

/// Bytes that begin as a query does, so that they come further than noise would.
fn nearly_a_query() -> impl Strategy<Value = Vec<u8>> {
    let names = prop_oneof![
        Just(query("web-1.us-east-1.elb.amazonaws.com", Rtype::A, Some(4096))),
        Just(query("5.1.0.10.in-addr.arpa", Rtype::PTR, None)),
        Just(query(&format!("{0}.{0}.{0}", "x".repeat(63)), Rtype::ANY, Some(0))),
    ];
    let changes = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8);
    (names, changes, proptest::collection::vec(any::<u8>(), 0..64)).prop_map(|(mut bytes, changes, tail)| {
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.extend(tail);
        bytes
    })
}

proptest! {
    #[test]
    fn every_query_has_a_bounded_response(
        bytes in prop_oneof![nearly_a_query(), proptest::collection::vec(any::<u8>(), 0..600)],
        count in any::<u8>(),
    ) {
        for transport in [Transport::Udp, Transport::Tcp] {
            let Some(answer) = respond(&bytes, transport, |_, _| many(count)) else { continue };
            prop_assert!(transport == Transport::Tcp || answer.len() <= 1232);
            prop_assert_eq!(&answer[..2], &bytes[..2], "it has the query's number");
            prop_assert!(answer[2] & 0x80 != 0, "it is a response");
            prop_assert_eq!(respond(&answer, transport, |_, _| many(1)), None, "which nobody answers");
            prop_assert!(read(&answer).2.len() <= usize::from(count));
        }
    }
}

#[test]
fn records_of_a_private_zone_have_their_own_ttl_and_owner() {
    let ip = Data::A(Ipv4Addr::new(10, 0, 0, 9));
    let records = vec![
        Record { owner: None, ttl: 10, data: Data::Cname("web.corp.local".to_owned()) },
        Record { owner: Some("web.corp.local".to_owned()), ttl: 20, data: ip },
        Record { owner: None, ttl: 30, data: Data::Srv { port: 80, target: "i.web.corp.local".to_owned() } },
        Record { owner: None, ttl: 30, data: Data::Cname("no..name".to_owned()) },
    ];
    let bytes = respond(&query("a.local", Rtype::SRV, None), Transport::Udp, |_, kind| {
        assert_eq!(kind, Kind::Srv);
        Answer::Records(records)
    });
    let (code, _, records) = read(&bytes.unwrap());
    assert_eq!(code, Rcode::NOERROR);
    let expected = ["a.local 10 web.corp.local.", "web.corp.local 20 10.0.0.9", "a.local 30 1 1 80 i.web.corp.local"];
    assert_eq!(records, expected, "what is no name is left out");
}
