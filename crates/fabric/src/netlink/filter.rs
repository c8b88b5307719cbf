//! nf_tables: a filter's changes as one batch, which the kernel takes whole or not at all.

use super::{
    expression::{is_map, octets, padded_name, put_action, put_match, put_value},
    message::{APPEND, CREATE, DUMP, Message, Received, attributes, text, u16_be, u64_be},
    socket::Socket,
};
use netplan::{Chain, ChainHook, Element, Family, Field, FilterChange, Range, Rule, Set, Value, ValueKind};
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr},
    time::Duration,
};

/// The table's name.
const TABLE: &str = "windtunnel";
const FAMILY_INET: u8 = 1;
const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEW_TABLE: u16 = 0;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const DELETE_CHAIN: u16 = 5;
const NEW_RULE: u16 = 6;
const DELETE_RULE: u16 = 8;
const NEW_SET: u16 = 9;
const DELETE_SET: u16 = 11;
const NEW_ELEMENT: u16 = 12;
const DELETE_ELEMENT: u16 = 14;
const GET_GENERATION: u16 = 16;
const TAKE_ELEMENTS: u16 = 33;
const LIST_ELEMENT: u16 = 1;
/// A list of elements is one attribute, whose length is sixteen bits.
const LIST_LIMIT: usize = 48 << 10;
const FLAG_INTERVAL: u32 = 4;
const FLAG_MAP: u32 = 8;
const FLAG_TIMEOUT: u32 = 0x10;
const FLAG_BY_RULES: u32 = 0x20;
const FLAG_CONCATENATION: u32 = 0x80;
const INTERVAL_END: u32 = 1;
/// The type of data that is a verdict.
const DATA_VERDICT: u32 = 0xffff_ff00;

/// The batch for `changes`.
pub(crate) fn batch(changes: &[FilterChange]) -> Vec<Message> {
    let mut batch = vec![edge(BATCH_BEGIN)];
    let mut sets = 0;
    for change in changes {
        match change {
            FilterChange::Reset => {
                // Deleting what is not there would be refused, so it is made first.
                batch.extend([table(NEW_TABLE), table(DELETE_TABLE), table(NEW_TABLE)]);
            }
            FilterChange::Remove => batch.extend([table(NEW_TABLE), table(DELETE_TABLE)]),
            FilterChange::AddSet(name, set) => {
                sets += 1;
                batch.push(new_set(name, set, sets));
            }
            FilterChange::AddChain(name, chain) => batch.push(new_chain(name, chain)),
            FilterChange::ReplaceRules(chain, rules) => {
                batch.push(in_chain(DELETE_RULE, 0, chain));
                batch.extend(rules.iter().map(|rule| new_rule(chain, rule)));
            }
            FilterChange::RemoveElements(name, set) => elements(DELETE_ELEMENT, name, set, &mut batch),
            FilterChange::AddElements(name, set) => elements(NEW_ELEMENT, name, set, &mut batch),
            FilterChange::RemoveChain(name) => {
                let mut message = message(DELETE_CHAIN, 0);
                message.put_text(1, TABLE).put_text(3, name);
                batch.push(message);
            }
            FilterChange::RemoveSet(name) => {
                let mut message = message(DELETE_SET, 0);
                message.put_text(1, TABLE).put_text(2, name);
                batch.push(message);
            }
        }
    }
    batch.push(edge(BATCH_END));
    batch
}

/// Asks for the number of the filter of the socket's namespace, which changes whenever the filter does.
pub(crate) fn generation(socket: &mut Socket) -> io::Result<Option<u32>> {
    let mut generation = None;
    socket.get(message(GET_GENERATION, 0), |answer| {
        let mut found = attributes(answer.body.get(4..).unwrap_or_default()).filter(|(kind, _)| *kind == 1);
        generation = found.find_map(|(_, value)| value.try_into().ok().map(u32::from_be_bytes));
    })?;
    Ok(generation)
}

fn edge(kind: u16) -> Message {
    let [high, low] = SUBSYSTEM.to_be_bytes();
    Message::new(kind, 0, &[0, 0, high, low])
}

fn message(kind: u16, flags: u16) -> Message {
    Message::new(SUBSYSTEM << 8 | kind, flags, &[FAMILY_INET, 0, 0, 0])
}

fn table(kind: u16) -> Message {
    let mut message = message(kind, if kind == NEW_TABLE { CREATE } else { 0 });
    message.put_text(1, TABLE);
    message
}

fn new_chain(name: &str, chain: &Chain) -> Message {
    let mut message = message(NEW_CHAIN, CREATE);
    message.put_text(1, TABLE).put_text(3, name);
    if let Some(hook) = chain.hook {
        let (number, priority, kind) = match hook {
            ChainHook::Prerouting => (0, -150, "filter"),
            ChainHook::Forward(priority) => (2, priority, "filter"),
            ChainHook::Input => (1, 0, "filter"),
            ChainHook::DestinationNat => (0, -100, "nat"),
            ChainHook::OwnDestinationNat => (3, -100, "nat"),
            ChainHook::SourceNat => (4, 100, "nat"),
        };
        message.nest(4, |hook| {
            hook.put_be32(1, number).put_be32(2, priority as u32);
        });
        message.put_be32(5, u32::from(chain.accept_at_end));
        message.put_text(7, kind);
    }
    message
}

fn in_chain(kind: u16, flags: u16, chain: &str) -> Message {
    let mut message = message(kind, flags);
    message.put_text(1, TABLE).put_text(2, chain);
    message
}

fn new_rule(chain: &str, rule: &Rule) -> Message {
    let mut message = in_chain(NEW_RULE, CREATE | APPEND, chain);
    message.nest(4, |list| {
        for condition in &rule.when {
            put_match(list, condition);
        }
        put_action(list, &rule.then);
    });
    message
}

/// A field's length, and the number of its type for those who print the filter.
fn field(field: Field) -> (u32, u32) {
    match field {
        Field::Link => (16, 41),
        Field::Address(Family::Ipv4) => (4, 7),
        Field::Address(Family::Ipv6) => (16, 8),
        Field::Protocol => (1, 12),
        Field::Port => (2, 13),
        Field::Ports => (4, 4),
        Field::Byte => (1, 4),
    }
}

fn new_set(name: &str, set: &Set, id: u32) -> Message {
    let concatenated = set.interval && set.key.len() > 1;
    let mut flags = 0;
    if set.interval {
        flags |= FLAG_INTERVAL;
    }
    if concatenated {
        flags |= FLAG_CONCATENATION;
    }
    if is_map(set) {
        flags |= FLAG_MAP;
    }
    if set.value == ValueKind::Count {
        flags |= FLAG_TIMEOUT | FLAG_BY_RULES;
    }
    let single = set.key.len() == 1;
    let width = |len: u32| if single { len } else { len.next_multiple_of(4) };
    let key_len: u32 = set.key.iter().map(|f| width(field(*f).0)).sum();
    let key_type = set.key.iter().fold(0, |kind, f| kind << 6 | field(*f).1);
    let mut message = message(NEW_SET, CREATE);
    message.put_text(1, TABLE).put_text(2, name).put_be32(3, flags).put_be32(4, key_type).put_be32(5, key_len);
    match set.value {
        ValueKind::None => {}
        ValueKind::Count => {
            message.nest(9, |description| {
                description.put_be32(1, ValueKind::COUNT_MOST);
            });
            message.put(11, &(ValueKind::COUNT_LIFE.as_millis() as u64).to_be_bytes());
        }
        ValueKind::Verdict => {
            message.put_be32(6, DATA_VERDICT);
        }
        ValueKind::Address => {
            message.put_be32(6, 7).put_be32(7, 4);
        }
    }
    if concatenated {
        message.nest(9, |description| {
            description.nest(2, |fields| {
                for f in &set.key {
                    fields.nest(LIST_ELEMENT, |one| {
                        one.put_be32(1, field(*f).0);
                    });
                }
            });
        });
    }
    message.put_be32(10, id);
    message
}

/// The lower or the upper end of an element's key.
fn key(element: &Element, upper: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    for range in element {
        match range {
            Range::Link(name) => bytes.extend_from_slice(&padded_name(name)),
            Range::Address(from, to) => bytes.extend(octets(if upper { *to } else { *from })),
            Range::Protocol(from, to) | Range::Byte(from, to) => bytes.push(if upper { *to } else { *from }),
            Range::Ports(from, to) => bytes.extend([from.to_be_bytes(), to.to_be_bytes()].concat()),
            Range::Port(from, to) => bytes.extend_from_slice(&(if upper { to } else { from }).to_be_bytes()),
        }
        if element.len() > 1 {
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
    }
    bytes
}

/// What follows a key; none after the last.
fn after(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    for byte in bytes.iter_mut().rev() {
        let (next, overflow) = byte.overflowing_add(1);
        *byte = next;
        if !overflow {
            return Some(bytes);
        }
    }
    None
}

fn elements(kind: u16, name: &str, set: &Set, batch: &mut Vec<Message>) {
    let mut all = set.elements.iter().peekable();
    while all.peek().is_some() {
        let mut message = message(kind, if kind == NEW_ELEMENT { CREATE } else { 0 });
        message.put_text(1, TABLE).put_text(2, name);
        message.nest(3, |list| {
            while list.len() < LIST_LIMIT {
                let Some((element, value)) = all.next() else { break };
                put_element(list, set, element, value);
            }
        });
        batch.push(message);
    }
}

fn put_element(list: &mut Message, set: &Set, element: &Element, value: &Value) {
    let put_key = |message: &mut Message, kind: u16, bytes: &[u8]| {
        message.nest(kind, |data| {
            data.put(1, bytes);
        });
    };
    list.nest(LIST_ELEMENT, |one| {
        put_key(one, 1, &key(element, false));
        if set.interval && element.len() > 1 {
            put_key(one, 10, &key(element, true));
        }
        if *value != Value::None {
            one.nest(2, |data| put_value(data, value));
        }
    });
    // A set of plain intervals has an element for where each ends.
    if set.interval
        && element.len() == 1
        && let Some(end) = after(key(element, true))
    {
        list.nest(LIST_ELEMENT, |one| {
            put_key(one, 1, &end);
            one.put_be32(3, INTERVAL_END);
        });
    }
}

/// A counter of a set, and what it counted since it was last taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// Its key.
    pub key: Element,
    /// Packets.
    pub packets: u64,
    /// Bytes of packets.
    pub bytes: u64,
    /// How long ago the last packet was.
    pub idle: Duration,
}

/// The question for all counters of a set, which sets them to zero as it reads them. Since Linux 6.5.
pub(crate) fn take_counters(set: &str) -> Message {
    let mut message = message(TAKE_ELEMENTS, DUMP);
    message.put_text(1, TABLE).put_text(2, set);
    message
}

/// The counters in an answer to it, whose keys are made of `fields`.
pub(crate) fn counters(answer: &Received<'_>, fields: &[Field]) -> Vec<Counted> {
    let lists = attributes(answer.body.get(4..).unwrap_or_default()).filter(|(kind, _)| *kind == 3);
    lists.flat_map(|(_, list)| attributes(list)).filter_map(|(_, element)| counter(element, fields)).collect()
}

fn counter(element: &[u8], fields: &[Field]) -> Option<Counted> {
    let within = |bytes, kind| attributes(bytes).find(|(found, _)| *found == kind).map(|(_, value)| value);
    let left = Duration::from_millis(u64_be(within(element, 5)?)?);
    let counts = within(within(element, 7)?, 2)?;
    Some(Counted {
        key: read_key(within(within(element, 1)?, 1)?, fields)?,
        packets: u64_be(within(counts, 2)?)?,
        bytes: u64_be(within(counts, 1)?)?,
        idle: ValueKind::COUNT_LIFE.saturating_sub(left),
    })
}

fn read_key(mut bytes: &[u8], fields: &[Field]) -> Option<Element> {
    let mut element = Vec::with_capacity(fields.len());
    for part in fields {
        let len = field(*part).0 as usize;
        let value = bytes.get(..len)?;
        element.push(match part {
            Field::Link => Range::Link(text(value)),
            Field::Address(family) => {
                let address = match family {
                    Family::Ipv4 => Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?).into(),
                    Family::Ipv6 => Ipv6Addr::from(<[u8; 16]>::try_from(value).ok()?).into(),
                };
                Range::Address(address, address)
            }
            Field::Protocol => Range::Protocol(value[0], value[0]),
            Field::Byte => Range::Byte(value[0], value[0]),
            Field::Port => {
                let port = u16_be(value)?;
                Range::Port(port, port)
            }
            Field::Ports => Range::Ports(u16_be(&value[..2])?, u16_be(&value[2..])?),
        });
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(element)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_written() {
        let (ipv4, ipv6) = (Field::Address(Family::Ipv4), Field::Address(Family::Ipv6));
        let fields = [Field::Byte, Field::Link, ipv4, ipv6, Field::Port, Field::Ports, Field::Protocol];
        let address = |text: &str| Range::Address(text.parse().unwrap(), text.parse().unwrap());
        let element = vec![
            Range::Byte(3, 3),
            Range::Link("e0123456789abcd".to_owned()),
            address("10.0.0.1"),
            address("3fff:120::1"),
            Range::Port(443, 443),
            Range::Ports(40_000, 443),
            Range::Protocol(6, 6),
        ];
        assert_eq!(read_key(&key(&element, false), &fields), Some(element));
        assert_eq!(read_key(&[0; 7], &fields), None, "a key that is cut short is none");
    }

    #[test]
    fn a_counter_without_its_parts_is_none() {
        assert_eq!(counter(&[], &[Field::Byte]), None);
        assert_eq!(counter(&[8, 0, 5, 0, 1, 2, 3, 4], &[Field::Byte]), None);
    }
}
