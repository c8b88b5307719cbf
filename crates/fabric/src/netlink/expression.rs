//! A rule's conditions and effect as nf_tables expressions: small programs over registers.

use super::message::Message;
use ipnet::IpNet;
use netplan::{Action, Family, Match, Selector, Set, Value, ValueKind, Verdict};
use std::net::IpAddr;

const LIST_ELEMENT: u16 = 1;
const VERDICT_REGISTER: u32 = 0;
/// To make a set's element, or have it live on.
const UPDATE: u32 = 1;
/// The first of sixteen registers of four bytes.
const FIRST: u32 = 8;
/// Where a map's value goes, well after any key.
const RESULT: u32 = 20;
/// The value and the verdict in a data attribute.
const VALUE: u16 = 1;
const VERDICT: u16 = 2;

const META_MARK: u32 = 3;
const META_FROM: u32 = 6;
const META_TO: u32 = 7;
const META_FAMILY: u32 = 15;
const META_PROTOCOL: u32 = 16;
const NETWORK: u32 = 1;
const TRANSPORT: u32 = 2;
const IPV4: u8 = 2;
const IPV6: u8 = 10;
const CT_STATE: u32 = 0;
const CT_DIRECTION: u32 = 1;
const CT_REPLY: u8 = 1;
const CT_MARK: u32 = 3;
/// How two values are compared.
const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;
const CT_INVALID: u32 = 1;
const CT_KNOWN: u32 = 2 | 4;
const CT_NEW: u32 = 8;
/// FIN, SYN, RST and ACK in the fourteenth byte of a TCP header.
const TCP_FLAGS: u8 = 0x17;
/// How much of a packet those who listen get: headers, whatever their options.
const SNAP: u32 = 128;

/// A device's name as the kernel compares it.
pub(crate) fn padded_name(name: &str) -> [u8; 16] {
    let mut padded = [0; 16];
    for (to, from) in padded.iter_mut().zip(name.bytes().take(15)) {
        *to = from;
    }
    padded
}

/// A verdict as data.
pub(crate) fn put_verdict(message: &mut Message, verdict: &Verdict) {
    message.nest(VERDICT, |data| {
        let code: i32 = match verdict {
            Verdict::Drop => 0,
            Verdict::Accept => 1,
            Verdict::Jump(_) => -3,
            Verdict::Return => -5,
        };
        data.put_be32(1, code as u32);
        if let Verdict::Jump(chain) = verdict {
            data.put_text(2, chain);
        }
    });
}

/// A map's value as data.
pub(crate) fn put_value(message: &mut Message, value: &Value) {
    match value {
        Value::None => {}
        Value::Verdict(verdict) => put_verdict(message, verdict),
        Value::Address(ip) => {
            message.put(VALUE, &ip.octets());
        }
    }
}

fn expression(list: &mut Message, name: &str, content: impl FnOnce(&mut Message)) {
    list.nest(LIST_ELEMENT, |element| {
        element.put_text(1, name);
        element.nest(2, content);
    });
}

fn data(message: &mut Message, kind: u16, bytes: &[u8]) {
    message.nest(kind, |data| {
        data.put(VALUE, bytes);
    });
}

fn meta(list: &mut Message, key: u32, register: u32) {
    expression(list, "meta", |e| {
        e.put_be32(2, key).put_be32(1, register);
    });
}

fn payload(list: &mut Message, base: u32, offset: u32, len: u32, register: u32) {
    expression(list, "payload", |e| {
        e.put_be32(1, register).put_be32(2, base).put_be32(3, offset).put_be32(4, len);
    });
}

fn equals(list: &mut Message, bytes: &[u8]) {
    compare(list, EQUAL, bytes);
}

fn compare(list: &mut Message, how: u32, bytes: &[u8]) {
    expression(list, "cmp", |e| {
        e.put_be32(1, FIRST).put_be32(2, how);
        data(e, 3, bytes);
    });
}

fn and(list: &mut Message, mask: &[u8], register: u32) {
    expression(list, "bitwise", |e| {
        e.put_be32(1, register).put_be32(2, register).put_be32(3, mask.len() as u32);
        data(e, 4, mask);
        data(e, 5, &vec![0; mask.len()]);
    });
}

/// Goes on with packets of a family only: addresses stand elsewhere in those of the other.
fn family(list: &mut Message, family: Family) {
    meta(list, META_FAMILY, FIRST);
    equals(list, &[if family == Family::Ipv4 { IPV4 } else { IPV6 }]);
}

/// Where an address stands in a packet's header, and how long it is.
fn address_at(family: Family, source: bool) -> (u32, u32) {
    match (family, source) {
        (Family::Ipv4, true) => (12, 4),
        (Family::Ipv4, false) => (16, 4),
        (Family::Ipv6, true) => (8, 16),
        (Family::Ipv6, false) => (24, 16),
    }
}

/// An address's bytes.
pub(crate) fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// Loads a packet's parts one after the other, as a set's key has them. Addresses are of one family, as the packet must be.
fn load(list: &mut Message, selectors: &[Selector]) {
    let of_family = selectors.iter().find_map(|selector| match selector {
        Selector::Source(family) | Selector::Destination(family) => Some(*family),
        _ => None,
    });
    if let Some(of_family) = of_family {
        family(list, of_family);
    }
    let mut register = FIRST;
    for selector in selectors {
        let width = match selector {
            Selector::From => {
                meta(list, META_FROM, register);
                4
            }
            Selector::To => {
                meta(list, META_TO, register);
                4
            }
            Selector::Source(family) | Selector::Destination(family) => {
                let (offset, len) = address_at(*family, matches!(selector, Selector::Source(_)));
                payload(list, NETWORK, offset, len, register);
                len / 4
            }
            Selector::Protocol => {
                meta(list, META_PROTOCOL, register);
                1
            }
            Selector::Port => {
                payload(list, TRANSPORT, 2, 2, register);
                1
            }
            Selector::Ports => {
                payload(list, TRANSPORT, 0, 4, register);
                1
            }
            Selector::TcpFlags => {
                payload(list, TRANSPORT, 13, 1, register);
                and(list, &[TCP_FLAGS], register);
                1
            }
            Selector::Byte(number) => {
                expression(list, "immediate", |e| {
                    e.put_be32(1, register);
                    data(e, 2, &[*number]);
                });
                1
            }
        };
        register += width;
    }
}

/// Looks a packet's parts up.
fn lookup(list: &mut Message, selectors: &[Selector], set: &str, result: Option<u32>) {
    load(list, selectors);
    expression(list, "lookup", |e| {
        e.put_text(1, set).put_be32(2, FIRST);
        if let Some(result) = result {
            e.put_be32(3, result);
        }
    });
}

fn block(list: &mut Message, source: bool, block: IpNet) {
    let of_family = Family::of_block(&block);
    family(list, of_family);
    if block.prefix_len() == 0 {
        return;
    }
    let (offset, len) = address_at(of_family, source);
    payload(list, NETWORK, offset, len, FIRST);
    if block.prefix_len() < block.max_prefix_len() {
        and(list, &octets(block.netmask()), FIRST);
    }
    equals(list, &octets(block.network()));
}

fn connection(list: &mut Message, key: u32) {
    expression(list, "ct", |e| {
        e.put_be32(2, key).put_be32(1, FIRST);
    });
}

fn connection_state(list: &mut Message, bits: u32) {
    connection(list, CT_STATE);
    and(list, &bits.to_ne_bytes(), FIRST);
    compare(list, NOT_EQUAL, &[0; 4]);
}

/// A condition.
pub(crate) fn put_match(list: &mut Message, condition: &Match) {
    match condition {
        Match::Established => connection_state(list, CT_KNOWN),
        Match::Invalid => connection_state(list, CT_INVALID),
        Match::New => connection_state(list, CT_NEW),
        Match::Answers => {
            connection(list, CT_DIRECTION);
            equals(list, &[CT_REPLY]);
        }
        Match::NotRemembered(mark) => {
            connection(list, CT_MARK);
            compare(list, NOT_EQUAL, &mark.to_ne_bytes());
        }
        Match::Marked(mark) => {
            meta(list, META_MARK, FIRST);
            equals(list, &mark.to_ne_bytes());
        }
        Match::From(link) => {
            meta(list, META_FROM, FIRST);
            equals(list, &padded_name(link));
        }
        Match::To(link) => {
            meta(list, META_TO, FIRST);
            equals(list, &padded_name(link));
        }
        Match::Source(cidr) => block(list, true, *cidr),
        Match::Destination(cidr) => block(list, false, *cidr),
        Match::Protocol(number) => {
            meta(list, META_PROTOCOL, FIRST);
            equals(list, &[*number]);
        }
        Match::Port(from, to) => {
            payload(list, TRANSPORT, 2, 2, FIRST);
            if from == to {
                equals(list, &from.to_be_bytes());
            } else {
                expression(list, "range", |e| {
                    e.put_be32(1, FIRST).put_be32(2, 0);
                    data(e, 3, &from.to_be_bytes());
                    data(e, 4, &to.to_be_bytes());
                });
            }
        }
        Match::IcmpType(kind) => {
            payload(list, TRANSPORT, 0, 1, FIRST);
            equals(list, &[*kind]);
        }
        Match::IcmpCode(code) => {
            payload(list, TRANSPORT, 1, 1, FIRST);
            equals(list, &[*code]);
        }
        Match::In(selectors, set) => lookup(list, selectors, set, None),
        // A map is asked for its value, which is then not looked at.
        Match::InMap(selectors, map) => lookup(list, selectors, map, Some(RESULT)),
    }
}

/// An effect.
pub(crate) fn put_action(list: &mut Message, action: &Action) {
    match action {
        Action::Verdict(verdict) => immediate(list, verdict),
        Action::VerdictOf(selectors, map) => lookup(list, selectors, map, Some(VERDICT_REGISTER)),
        Action::Mark(mark) => {
            expression(list, "immediate", |e| {
                e.put_be32(1, FIRST);
                data(e, 2, &mark.to_ne_bytes());
            });
            expression(list, "meta", |e| {
                e.put_be32(2, META_MARK).put_be32(3, FIRST);
            });
            immediate(list, &Verdict::Return);
        }
        Action::SourceNat(selectors, map) => translate(list, 0, selectors, map),
        Action::DestinationNat(selectors, map) => translate(list, 1, selectors, map),
        Action::DestinationNatTo(ip, port) => {
            for (register, bytes) in [(FIRST, &ip.octets()[..]), (FIRST + 1, &port.to_be_bytes()[..])] {
                expression(list, "immediate", |e| {
                    e.put_be32(1, register);
                    data(e, 2, bytes);
                });
            }
            expression(list, "nat", |e| {
                e.put_be32(1, 1).put_be32(2, u32::from(IPV4)).put_be32(3, FIRST).put_be32(4, FIRST);
                e.put_be32(5, FIRST + 1).put_be32(6, FIRST + 1);
            });
        }
        Action::Masquerade => expression(list, "masq", |_| {}),
        Action::Count(selectors, set) => {
            load(list, selectors);
            expression(list, "dynset", |e| {
                e.put_text(1, set).put_be32(3, UPDATE).put_be32(4, FIRST);
                e.nest(7, |counter| {
                    counter.put_text(1, "counter").nest(2, |_| {});
                });
            });
            // Where the set has no room, the rule ends before this.
            immediate(list, &Verdict::Return);
        }
        Action::Log(group, name) => expression(list, "log", |e| {
            // Each message at once: those who listen want to see what happens while it does.
            e.put(1, &group.to_be_bytes()).put_text(2, name).put_be32(3, SNAP).put(4, &1u16.to_be_bytes());
        }),
        Action::Remember(mark) => {
            expression(list, "immediate", |e| {
                e.put_be32(1, FIRST);
                data(e, 2, &mark.to_ne_bytes());
            });
            expression(list, "ct", |e| {
                e.put_be32(2, CT_MARK).put_be32(4, FIRST);
            });
        }
    }
}

fn immediate(list: &mut Message, verdict: &Verdict) {
    expression(list, "immediate", |e| {
        e.put_be32(1, VERDICT_REGISTER);
        e.nest(2, |data| put_verdict(data, verdict));
    });
}

fn translate(list: &mut Message, kind: u32, selectors: &[Selector], map: &str) {
    lookup(list, selectors, map, Some(RESULT));
    expression(list, "nat", |e| {
        e.put_be32(1, kind).put_be32(2, u32::from(IPV4)).put_be32(3, RESULT).put_be32(4, RESULT);
    });
}

/// Whether a set's elements have values that fit into a register.
pub(crate) fn is_map(set: &Set) -> bool {
    !matches!(set.value, ValueKind::None | ValueKind::Count)
}
