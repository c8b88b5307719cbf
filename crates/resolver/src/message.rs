//! DNS messages: the bytes of a query to the bytes of the response, whatever the bytes.
//!
//! What comes in is never trusted: a query that cannot be read gets an error of twelve bytes or nothing, a response is
//! no answer to anything, and over UDP no response is longer than the asker said it takes, nor than fits into a packet.

use crate::zone::{Answer, Kind, Record, TTL};
use discovery::zone::Data;
use domain::base::iana::{Class, Opcode, OptRcode, Rcode};
use domain::base::message_builder::{AnswerBuilder, PushError};
use domain::base::{Message, MessageBuilder, Name, Rtype, StaticCompressor};
use domain::rdata::{A, Aaaa, Cname, Ptr, Srv};

/// The longest query that is looked at. A question takes 271 bytes at most; the rest is room for options.
pub const LONGEST_QUERY: usize = 4096;
/// What every asker takes over UDP. Source: RFC 1035, 4.2.1.
const SMALLEST: u16 = 512;
/// What is sent over UDP at most, however much the asker takes. Source: DNS flag day 2020.
const LARGEST: u16 = 1232;
/// How long our OPT record is: options are neither understood nor sent.
const OPT_LENGTH: usize = 11;

/// How a message travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// A response that is too long comes without its records, and says so; the asker comes again over TCP.
    Udp,
    /// Up to 64 KiB.
    Tcp,
}

type Target = StaticCompressor<Vec<u8>>;

/// The response to a query, if it deserves one; `decide` says what a name has.
pub fn respond(query: &[u8], transport: Transport, decide: impl FnOnce(&str, Kind) -> Answer) -> Option<Vec<u8>> {
    if query.len() > LONGEST_QUERY {
        return None;
    }
    let query = Message::from_slice(query).ok()?;
    // Two resolvers must not answer each other's answers for ever.
    if query.header().qr() {
        return None;
    }
    let mut reply = Reply { query, edns: query.opt().map(|opt| opt.udp_payload_size()), transport };
    if query.header().opcode() != Opcode::QUERY {
        reply.edns = None;
        return reply.error(Rcode::NOTIMP);
    }
    let Ok(question) = query.sole_question() else {
        reply.edns = None;
        return reply.error(Rcode::FORMERR);
    };
    if query.opt().is_some_and(|opt| opt.version() != 0) {
        return reply.records(Rcode::NOERROR, OptRcode::BADVERS, |_| Ok(()));
    }
    let foreign = !matches!(question.qclass(), Class::IN | Class::ANY);
    if foreign || matches!(question.qtype(), Rtype::AXFR | Rtype::IXFR) {
        return reply.records(Rcode::REFUSED, OptRcode::REFUSED, |_| Ok(()));
    }
    let name = question.qname().to_string();
    let kind = match question.qtype() {
        Rtype::PTR => Kind::Ptr,
        // Whoever asks for anything gets what there is. Source: RFC 8482.
        Rtype::ANY if name.to_ascii_lowercase().ends_with(".arpa") => Kind::Ptr,
        Rtype::A | Rtype::ANY => Kind::A,
        Rtype::AAAA => Kind::Aaaa,
        Rtype::SRV => Kind::Srv,
        Rtype::CNAME => Kind::Cname,
        _ => Kind::Other,
    };
    let owner = question.qname();
    match decide(&name, kind) {
        Answer::Addresses(addresses) => reply
            .found(|records| addresses.iter().try_for_each(|ip| records.push((owner, Class::IN, TTL, A::new(*ip))))),
        Answer::Name(found) => match found.parse::<Name<Vec<u8>>>() {
            Ok(found) => reply.found(|records| records.push((owner, Class::IN, TTL, Ptr::new(&found)))),
            Err(_) => reply.records(Rcode::SERVFAIL, OptRcode::SERVFAIL, |_| Ok(())),
        },
        Answer::Records(found) => {
            let Ok(asked) = name.parse::<Name<Vec<u8>>>() else {
                return reply.records(Rcode::SERVFAIL, OptRcode::SERVFAIL, |_| Ok(()));
            };
            reply.found(|records| found.iter().try_for_each(|record| push(records, &asked, record)))
        }
        Answer::NoData => reply.found(|_| Ok(())),
        Answer::Unavailable => reply.records(Rcode::SERVFAIL, OptRcode::SERVFAIL, |_| Ok(())),
        Answer::NoSuchName => reply.records(Rcode::NXDOMAIN, OptRcode::NXDOMAIN, |_| Ok(())),
    }
}

/// Adds a record of a private zone. One whose names are none is passed over: nobody could ask for them.
fn push(records: &mut AnswerBuilder<Target>, asked: &Name<Vec<u8>>, record: &Record) -> Result<(), PushError> {
    let name = |text: &str| text.parse::<Name<Vec<u8>>>().ok();
    let owner = match &record.owner {
        Some(owner) => name(owner),
        None => Some(asked.clone()),
    };
    let Some(owner) = owner else { return Ok(()) };
    match &record.data {
        Data::A(ip) => records.push((owner, Class::IN, record.ttl, A::new(*ip))),
        Data::Aaaa(ip) => records.push((owner, Class::IN, record.ttl, Aaaa::new(*ip))),
        Data::Srv { port, target } => match name(target) {
            Some(target) => records.push((owner, Class::IN, record.ttl, Srv::new(1, 1, *port, target))),
            None => Ok(()),
        },
        Data::Cname(target) => match name(target) {
            Some(target) => records.push((owner, Class::IN, record.ttl, Cname::new(target))),
            None => Ok(()),
        },
        Data::Alias(_) => Ok(()),
    }
}

/// A response in the making.
struct Reply<'q> {
    query: &'q Message<[u8]>,
    /// How much the asker takes over UDP, if it speaks EDNS.
    edns: Option<u16>,
    transport: Transport,
}

impl Reply<'_> {
    /// The header alone.
    fn error(&self, code: Rcode) -> Option<Vec<u8>> {
        let mut builder = MessageBuilder::new_vec();
        let (header, asked) = (builder.header_mut(), self.query.header());
        header.set_id(asked.id());
        header.set_qr(true);
        header.set_opcode(asked.opcode());
        header.set_rd(asked.rd());
        header.set_rcode(code);
        Some(builder.finish())
    }

    fn found(&self, fill: impl FnOnce(&mut AnswerBuilder<Target>) -> Result<(), PushError>) -> Option<Vec<u8>> {
        self.records(Rcode::NOERROR, OptRcode::NOERROR, fill)
    }

    /// The question again, and the records.
    fn records(
        &self,
        code: Rcode,
        extended: OptRcode,
        fill: impl FnOnce(&mut AnswerBuilder<Target>) -> Result<(), PushError>,
    ) -> Option<Vec<u8>> {
        let mut builder = MessageBuilder::from_target(StaticCompressor::new(Vec::new())).ok()?;
        // The limit is the first length that is too long.
        builder.set_push_limit(self.room() - self.edns.map_or(0, |_| OPT_LENGTH) + 1);
        let mut records = builder.start_answer(self.query, code).ok()?;
        records.header_mut().set_ra(true);
        if fill(&mut records).is_err() {
            records = records.tc_rewind_into();
        }
        let mut additional = records.additional();
        additional.clear_push_limit();
        if self.edns.is_some() {
            let pushed = additional.opt(|opt| {
                opt.set_udp_payload_size(LARGEST);
                opt.set_rcode(extended);
                Ok(())
            });
            pushed.ok()?;
        }
        let bytes = additional.finish().into_target();
        debug_assert!(bytes.len() <= self.room(), "a response fits where it goes");
        Some(bytes)
    }

    fn room(&self) -> usize {
        match self.transport {
            Transport::Udp => usize::from(self.edns.unwrap_or(SMALLEST).clamp(SMALLEST, LARGEST)),
            Transport::Tcp => usize::from(u16::MAX),
        }
    }
}

#[cfg(test)]
mod tests;
