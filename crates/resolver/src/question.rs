//! A question to a name server that is not ours, and what it answers: bytes out, and bytes in that nobody vouches for.

use crate::zone::Answer;
use domain::base::iana::{Class, Rcode};
use domain::base::{Message, MessageBuilder, Name, Rtype};
use domain::rdata::A;

/// A question for the addresses of `name`; none if that is no name.
pub fn ask(id: u16, name: &str) -> Option<Vec<u8>> {
    let name: Name<Vec<u8>> = name.parse().ok()?;
    let mut builder = MessageBuilder::new_vec();
    builder.header_mut().set_id(id);
    builder.header_mut().set_rd(true);
    let mut question = builder.question();
    question.push((&name, Rtype::A)).ok()?;
    Some(question.finish())
}

/// What an answer to `question` says. An alias is followed by whoever answers, so all addresses are the name's.
///
/// The error is in the words of Go's network library. [`None`] where the bytes are no answer to the question.
pub fn read(question: &[u8], answer: &[u8]) -> Option<Result<Answer, &'static str>> {
    let (question, answer) = (Message::from_slice(question).ok()?, Message::from_slice(answer).ok()?);
    let (asked, answered) = (question.sole_question().ok()?, answer.sole_question().ok()?);
    let header = answer.header();
    if !header.qr() || header.id() != question.header().id() || asked != answered {
        return None;
    }
    match header.rcode() {
        Rcode::NOERROR => {}
        Rcode::NXDOMAIN => return Some(Ok(Answer::NoSuchName)),
        _ => return Some(Err("server misbehaving")),
    }
    let records = answer.answer().ok()?.limit_to::<A>();
    // A broken record ends the list; what stands before it holds.
    let records = records.map_while(Result::ok).filter(|record| record.class() == Class::IN);
    let addresses: Vec<_> = records.map(|record| record.data().addr()).collect();
    Some(Ok(if addresses.is_empty() { Answer::NoData } else { Answer::Addresses(addresses) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Transport, respond};
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    fn answered(name: &str, answer: Answer) -> (Vec<u8>, Vec<u8>) {
        let question = ask(7, name).unwrap();
        let answer = respond(&question, Transport::Udp, |_, _| answer).unwrap();
        (question, answer)
    }

    #[test]
    fn what_our_own_server_answers_is_understood() {
        for answer in [
            Answer::Addresses(vec![Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)]),
            Answer::NoData,
            Answer::NoSuchName,
        ] {
            let (question, bytes) = answered("db.example.com", answer.clone());
            assert_eq!(read(&question, &bytes), Some(Ok(answer)));
        }
    }

    #[test]
    fn an_answer_to_something_else_is_none() {
        let (question, bytes) = answered("a.example.com", Answer::NoData);
        assert_eq!(read(&ask(7, "b.example.com").unwrap(), &bytes), None, "another name");
        assert_eq!(read(&ask(8, "a.example.com").unwrap(), &bytes), None, "another id");
        assert_eq!(read(&question, &question), None, "no answer at all");
        assert_eq!(ask(7, &"a".repeat(300)), None, "no name");
    }

    #[test]
    fn a_server_that_fails_is_told_from_one_that_knows() {
        let (question, mut bytes) = answered("a.example.com", Answer::NoData);
        bytes[3] = (bytes[3] & 0xf0) | 2;
        assert_eq!(read(&question, &bytes), Some(Err("server misbehaving")));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let question = ask(7, "a.example.com").unwrap();
            read(&question, &bytes);
            // Those that pass for an answer.
            let (_, mut answer) = answered("a.example.com", Answer::Addresses(vec![Ipv4Addr::LOCALHOST]));
            answer.truncate(31);
            answer.extend(&bytes);
            prop_assert!(read(&question, &answer).is_some());
        }
    }
}
