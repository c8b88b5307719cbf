//! rtnetlink: links, addresses, neighbours, routes and routing rules as messages, and back.

use super::{
    expression::octets,
    message::{CREATE, EXCLUSIVE, Message, REPLACE, Received, attributes, text, u16_at, u32_at},
    socket::Socket,
};
use ipnet::IpNet;
use netplan::{Cable, Family, MacAddress, RouteAction, RoutingRule};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::RawFd,
};

pub(crate) const NEW_LINK: u16 = 16;
pub(crate) const DELETE_LINK: u16 = 17;
const GET_LINK: u16 = 18;
const NEW_ADDRESS: u16 = 20;
pub(crate) const DELETE_ADDRESS: u16 = 21;
const GET_ADDRESS: u16 = 22;
pub(crate) const NEW_ROUTE: u16 = 24;
pub(crate) const DELETE_ROUTE: u16 = 25;
const GET_ROUTE: u16 = 26;
const NEW_NEIGHBOUR: u16 = 28;
const DELETE_NEIGHBOUR: u16 = 29;
const GET_NEIGHBOUR: u16 = 30;
pub(crate) const NEW_RULE: u16 = 32;
pub(crate) const DELETE_RULE: u16 = 33;
const GET_RULE: u16 = 34;
pub(crate) const NEW_DEVICE_SETTINGS: u16 = 80;

pub(crate) const INET: u8 = 2;
pub(crate) const INET6: u8 = 10;
pub(crate) const IFF_UP: u32 = 1;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_LINKINFO: u16 = 18;
const IFLA_IFALIAS: u16 = 20;
const IFLA_GROUP: u16 = 27;
/// The group of devices that are to be removed.
const DOOMED: u32 = 0x7774_0001;
const IFLA_AF_SPEC: u16 = 26;
/// IPv4's part of a device: its settings, and which of them says whether the source is held against the way back.
const IFLA_INET_CONF: u16 = 1;
const REVERSE_PATH_FILTER: u16 = 8;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_NUM_TX_QUEUES: u16 = 31;
const IFLA_NUM_RX_QUEUES: u16 = 32;
const NO_PREFIX_ROUTE: u32 = 0x200;
/// Nobody is asked whether an IPv6 address is taken: the plan knows.
const NO_DUPLICATES: u32 = 2;
/// What a route learned of its way, shown as a route of its own.
const CLONED: u32 = 0x200;
const PERMANENT: u16 = 0x80;
/// The mark of routes that we made, not the kernel.
const STATIC: u8 = 4;
const ON_LINK: u32 = 4;
const UNICAST: u8 = 1;
const BLACKHOLE: u8 = 6;
const TO_TABLE: u8 = 1;

/// A device as the kernel has it.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) up: bool,
    pub(crate) mac: Option<MacAddress>,
    pub(crate) mtu: u32,
    pub(crate) alias: Option<String>,
    /// The other end's index, in its own namespace.
    pub(crate) peer: Option<u32>,
    /// Whether it takes IPv4 packets whatever their source.
    pub(crate) any_source: bool,
}

fn link_header(index: u32, flags: u32) -> Vec<u8> {
    let mut fixed = vec![0; 4];
    fixed.extend_from_slice(&index.to_ne_bytes());
    fixed.extend_from_slice(&flags.to_ne_bytes());
    fixed.extend_from_slice(&flags.to_ne_bytes());
    fixed
}

/// Makes a pair: the near end here, the far end in the namespace `far`.
pub(crate) fn add_cable(cable: &Cable, far: RawFd) -> Message {
    // One queue each: more would cost two waits for every processor.
    let common = |message: &mut Message, link: &str, mac: MacAddress| {
        message.put_text(IFLA_IFNAME, link).put(IFLA_ADDRESS, &mac.0).put_u32(IFLA_MTU, cable.mtu);
        message.put_u32(IFLA_NUM_TX_QUEUES, 1).put_u32(IFLA_NUM_RX_QUEUES, 1);
    };
    let mut message = Message::new(NEW_LINK, CREATE | EXCLUSIVE, &link_header(0, 0));
    common(&mut message, &cable.near.link, cable.near.mac);
    message.nest_raw(IFLA_LINKINFO, |info| {
        info.put(1, b"veth");
        info.nest_raw(2, |data| {
            data.nest_raw(1, |peer| {
                peer.raw(&link_header(0, 0));
                common(peer, &cable.far.link, cable.far.mac);
                peer.put(IFLA_NET_NS_FD, &far.to_ne_bytes());
            });
        });
    });
    message
}

/// Brings a device up, with an alias.
pub(crate) fn bring_up(link: &str, alias: Option<&str>) -> Message {
    let mut message = Message::new(NEW_LINK, 0, &link_header(0, IFF_UP));
    message.put_text(IFLA_IFNAME, link);
    if let Some(alias) = alias {
        message.put(IFLA_IFALIAS, alias.as_bytes());
    }
    message
}

/// Has a device hold the source of what comes in against the way back to it, or take whatever comes.
pub(crate) fn check_source(link: &str, check: bool) -> Message {
    let mut message = Message::new(NEW_LINK, 0, &link_header(0, 0));
    message.put_text(IFLA_IFNAME, link);
    message.nest_raw(IFLA_AF_SPEC, |families| {
        families.nest_raw(INET.into(), |ipv4| {
            ipv4.nest_raw(IFLA_INET_CONF, |settings| {
                settings.put_u32(REVERSE_PATH_FILTER, u32::from(check));
            });
        });
    });
    message
}

/// Whether what a device tells of its families says that it takes IPv4 packets whatever their source.
fn takes_any_source(families: &[u8]) -> bool {
    let within = |bytes, wanted| attributes(bytes).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    let settings = within(families, INET.into()).and_then(|ipv4| within(ipv4, IFLA_INET_CONF));
    settings.and_then(|settings| u32_at(settings, (usize::from(REVERSE_PATH_FILTER) - 1) * 4)) == Some(0)
}

/// Removes a device, and the other end with it.
pub(crate) fn remove_link(link: &str) -> Message {
    let mut message = Message::new(DELETE_LINK, 0, &link_header(0, 0));
    message.put_text(IFLA_IFNAME, link);
    message
}

/// Marks a device as one of many to be removed.
pub(crate) fn doom(link: &str) -> Message {
    let mut message = Message::new(NEW_LINK, 0, &link_header(0, 0));
    message.put_text(IFLA_IFNAME, link).put_u32(IFLA_GROUP, DOOMED);
    message
}

/// Removes all marked devices. The kernel waits once for all of them, not 20 ms for each.
pub(crate) fn remove_doomed() -> Message {
    let mut message = Message::new(DELETE_LINK, 0, &link_header(0, 0));
    message.put_u32(IFLA_GROUP, DOOMED);
    message
}

/// Every device here.
pub(crate) fn links(socket: &mut Socket) -> io::Result<Vec<Link>> {
    let mut found = Vec::new();
    socket.dump(GET_LINK, &link_header(0, 0), |message| found.extend(read_link(&message)))?;
    Ok(found)
}

/// The number of the device of this name.
pub(crate) fn link_index(socket: &mut Socket, name: &str) -> io::Result<u32> {
    let mut request = Message::new(GET_LINK, 0, &link_header(0, 0));
    request.put_text(IFLA_IFNAME, name);
    let mut index = None;
    socket.get(request, |message| index = u32_at(message.body, 4))?;
    index.ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))
}

fn read_link(message: &Received<'_>) -> Option<Link> {
    let up = u32_at(message.body, 8)? & IFF_UP != 0;
    let mut link = Link {
        index: u32_at(message.body, 4)?,
        name: String::new(),
        up,
        mac: None,
        mtu: 0,
        alias: None,
        peer: None,
        any_source: false,
    };
    for (kind, value) in attributes(message.body.get(16..)?) {
        match kind {
            IFLA_IFNAME => link.name = text(value),
            IFLA_ADDRESS => link.mac = value.try_into().ok().map(MacAddress),
            IFLA_MTU => link.mtu = u32_at(value, 0)?,
            IFLA_LINK => link.peer = u32_at(value, 0),
            IFLA_IFALIAS => link.alias = Some(text(value)),
            IFLA_AF_SPEC => link.any_source = takes_any_source(value),
            _ => {}
        }
    }
    Some(link)
}

fn address(value: &[u8]) -> Option<IpAddr> {
    let ipv4 = <[u8; 4]>::try_from(value).ok().map(|octets| Ipv4Addr::from(octets).into());
    ipv4.or_else(|| <[u8; 16]>::try_from(value).ok().map(|octets| Ipv6Addr::from(octets).into()))
}

fn number(family: Family) -> u8 {
    if family == Family::Ipv4 { INET } else { INET6 }
}

fn family(number: u8) -> Option<Family> {
    match number {
        INET => Some(Family::Ipv4),
        INET6 => Some(Family::Ipv6),
        _ => None,
    }
}

/// Asks for all of something in both families.
fn dump(socket: &mut Socket, kind: u16, length: usize, mut take: impl FnMut(Received<'_>)) -> io::Result<()> {
    for family in Family::ALL {
        let mut fixed = vec![0; length];
        fixed[0] = number(family);
        match socket.dump(kind, &fixed, &mut take) {
            // A kernel without IPv6 has nothing of it.
            Err(error) if family == Family::Ipv6 && error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {}
            other => other?,
        }
    }
    Ok(())
}

/// An address on a device.
pub(crate) fn change_address(add: bool, index: u32, ip: IpAddr, prefix: u8) -> Message {
    let mut fixed = vec![number(Family::of(ip)), prefix, 0, 0];
    fixed.extend_from_slice(&index.to_ne_bytes());
    let (kind, flags) = if add { (NEW_ADDRESS, CREATE | REPLACE) } else { (DELETE_ADDRESS, 0) };
    let mut message = Message::new(kind, flags, &fixed);
    let flags = NO_PREFIX_ROUTE | if ip.is_ipv6() { NO_DUPLICATES } else { 0 };
    message.put(2, &octets(ip)).put(1, &octets(ip)).put_u32(8, flags);
    message
}

/// Whether packets to an address are taken in here.
pub(crate) fn is_local(socket: &mut Socket, ip: IpAddr) -> bool {
    const LOCAL: u8 = 2;
    let bits = if ip.is_ipv6() { 128 } else { 32 };
    let mut request = Message::new(GET_ROUTE, 0, &[number(Family::of(ip)), bits, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    request.put(1, &octets(ip));
    let mut kind = None;
    // No route at all is an error.
    let _ = socket.get(request, |message| kind = message.body.get(7).copied());
    kind == Some(LOCAL)
}

/// Every address here: the device's number, the address, its prefix.
pub(crate) fn addresses(socket: &mut Socket) -> io::Result<Vec<(u32, IpAddr, u8)>> {
    let mut found = Vec::new();
    dump(socket, GET_ADDRESS, 8, |message| {
        let body = message.body;
        // IPv6 tells the device's own address as that of its peer, if there is none.
        let of_kind = |wanted: u16| attributes(body.get(8..).unwrap_or_default()).find(|(kind, _)| *kind == wanted);
        let local = of_kind(2).or_else(|| of_kind(1)).and_then(|(_, value)| address(value));
        if let (Some(index), Some(prefix), Some(ip)) = (u32_at(body, 4), body.get(1), local) {
            found.push((index, ip, *prefix));
        }
    })?;
    Ok(found)
}

/// A permanent neighbour.
pub(crate) fn change_neighbour(add: bool, index: u32, ip: IpAddr, mac: MacAddress) -> Message {
    let mut fixed = vec![number(Family::of(ip)), 0, 0, 0];
    fixed.extend_from_slice(&index.to_ne_bytes());
    fixed.extend_from_slice(&PERMANENT.to_ne_bytes());
    fixed.extend_from_slice(&[0, 0]);
    let (kind, flags) = if add { (NEW_NEIGHBOUR, CREATE | REPLACE) } else { (DELETE_NEIGHBOUR, 0) };
    let mut message = Message::new(kind, flags, &fixed);
    message.put(1, &octets(ip));
    if add {
        message.put(2, &mac.0);
    }
    message
}

/// Every permanent neighbour here.
pub(crate) fn neighbours(socket: &mut Socket) -> io::Result<Vec<(u32, IpAddr, MacAddress)>> {
    let mut found = Vec::new();
    dump(socket, GET_NEIGHBOUR, 12, |message| {
        let (mut ip, mut mac) = (None, None);
        for (kind, value) in attributes(message.body.get(12..).unwrap_or_default()) {
            match kind {
                1 => ip = address(value),
                2 => mac = <[u8; 6]>::try_from(value).ok().map(MacAddress),
                _ => {}
            }
        }
        let permanent = u16_at(message.body, 8).is_some_and(|state| state & PERMANENT != 0);
        if let (true, Some(index), Some(ip), Some(mac)) = (permanent, u32_at(message.body, 4), ip, mac) {
            found.push((index, ip, mac));
        }
    })?;
    Ok(found)
}

/// A route; `index` is its device's.
pub(crate) fn change_route(add: bool, table: u32, to: IpNet, action: &RouteAction, index: Option<u32>) -> Message {
    let (via, source) = match action {
        RouteAction::Link { via, source, .. } => (*via, *source),
        RouteAction::Blackhole => (None, None),
    };
    let kind = if index.is_some() { UNICAST } else { BLACKHOLE };
    // A destination on the device itself has link scope; everything else is universal.
    let scope = if index.is_some() && via.is_none() { 253 } else { 0 };
    let family = number(Family::of_block(&to));
    let mut fixed = vec![family, to.prefix_len(), 0, 0, u8::try_from(table).unwrap_or(0), STATIC, scope, kind];
    fixed.extend_from_slice(&(if via.is_some() { ON_LINK } else { 0 }).to_ne_bytes());
    let (message_kind, flags) = if add { (NEW_ROUTE, CREATE | REPLACE) } else { (DELETE_ROUTE, 0) };
    let mut message = Message::new(message_kind, flags, &fixed);
    message.put_u32(15, table);
    if to.prefix_len() > 0 {
        message.put(1, &octets(to.network()));
    }
    if let Some(index) = index {
        message.put_u32(4, index);
    }
    if let Some(via) = via {
        message.put(5, &octets(via));
    }
    if let Some(source) = source.filter(|_| add) {
        message.put(7, &octets(source));
    }
    message
}

/// A route as the kernel has it.
#[derive(Debug)]
pub(crate) struct FoundRoute {
    pub(crate) table: u32,
    pub(crate) destination: IpNet,
    pub(crate) blackhole: bool,
    pub(crate) index: Option<u32>,
    pub(crate) via: Option<IpAddr>,
    pub(crate) source: Option<IpAddr>,
    /// Whether it is marked as one of ours.
    pub(crate) ours: bool,
}

/// Every route here that is to a device or to nowhere.
pub(crate) fn routes(socket: &mut Socket) -> io::Result<Vec<FoundRoute>> {
    let mut found = Vec::new();
    dump(socket, GET_ROUTE, 12, |message| found.extend(read_route(&message)))?;
    Ok(found)
}

fn read_route(message: &Received<'_>) -> Option<FoundRoute> {
    let body = message.body;
    let kind = *body.get(7)?;
    let cloned = u32_at(body, 8)? & CLONED != 0;
    if kind != UNICAST && kind != BLACKHOLE || cloned {
        return None;
    }
    let everywhere: IpAddr = match family(*body.first()?)? {
        Family::Ipv4 => Ipv4Addr::UNSPECIFIED.into(),
        Family::Ipv6 => Ipv6Addr::UNSPECIFIED.into(),
    };
    let (mut to, mut table) = (everywhere, u32::from(*body.get(4)?));
    let (mut index, mut via, mut source) = (None, None, None);
    for (attribute, value) in attributes(body.get(12..)?) {
        match attribute {
            1 => to = address(value)?,
            4 => index = u32_at(value, 0),
            5 => via = address(value),
            7 => source = address(value),
            15 => table = u32_at(value, 0)?,
            _ => {}
        }
    }
    let destination = IpNet::new(to, *body.get(1)?).ok()?;
    let ours = *body.get(5)? == STATIC;
    Some(FoundRoute { table, destination, blackhole: kind == BLACKHOLE, index, via, source, ours })
}

/// A routing rule.
pub(crate) fn change_rule(add: bool, rule: &RoutingRule) -> Message {
    let action = if rule.table.is_some() { TO_TABLE } else { BLACKHOLE };
    let source_length = rule.source.map_or(0, |block| block.prefix_len());
    let fixed = [number(rule.family), 0, source_length, 0, 0, 0, 0, action, 0, 0, 0, 0];
    let (kind, flags) = if add { (NEW_RULE, CREATE | EXCLUSIVE) } else { (DELETE_RULE, 0) };
    let mut message = Message::new(kind, flags, &fixed);
    message.put_u32(6, rule.priority);
    if let Some(table) = rule.table {
        message.put_u32(15, table);
    }
    if let Some(block) = rule.source {
        message.put(2, &octets(block.network()));
    }
    if let Some(link) = &rule.from {
        message.put_text(3, link);
    }
    if let Some(mark) = rule.mark {
        message.put_u32(10, mark);
    }
    message
}

/// Every routing rule here but the three that the kernel starts with.
pub(crate) fn rules(socket: &mut Socket) -> io::Result<Vec<RoutingRule>> {
    let mut found = Vec::new();
    dump(socket, GET_RULE, 12, |message| {
        let body = message.body;
        let Some(family) = body.first().copied().and_then(family) else { return };
        let source_length = body.get(2).copied().unwrap_or_default();
        let (mut priority, mut table) = (0, body.get(4).copied().map(u32::from));
        let (mut source, mut from, mut mark) = (None, None, None);
        for (kind, value) in attributes(body.get(12..).unwrap_or_default()) {
            match kind {
                2 => source = address(value).and_then(|ip| IpNet::new(ip, source_length).ok()),
                3 => from = Some(text(value)),
                6 => priority = u32_at(value, 0).unwrap_or(0),
                10 => mark = u32_at(value, 0).filter(|mark| *mark != 0),
                15 => table = u32_at(value, 0),
                _ => {}
            }
        }
        if body.get(7) != Some(&TO_TABLE) {
            table = None;
        }
        if !matches!(priority, 0 | 32766 | 32767) {
            found.push(RoutingRule { family, priority, source, from, mark, table });
        }
    })?;
    Ok(found)
}
