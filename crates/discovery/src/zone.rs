//! What a name means in the private zones of a VPC: a function from the rows, with no I/O and no state.
//! Source: API reference, `DnsRecord`, `DnsConfig`.

use crate::query;
use crate::rows::{Instance, Namespace, Service};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use store::View;
use types::Scope;

/// As many instances as one answer tells of. Source: API reference, `DnsConfig`, `MULTIVALUE`.
const MOST: usize = 8;

/// A type of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Hosts and ports.
    Srv,
    /// Another name.
    Cname,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// An address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// A port of a host, with priority and weight 1.
    Srv {
        /// The port.
        port: u16,
        /// The host.
        target: String,
    },
    /// Another name, whose addresses are this one's.
    Cname(String),
    /// What a load balancer's name has, which is told under this name.
    Alias(String),
}

/// What a name has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// These records, which hold for so many seconds.
    Records(u32, Vec<Data>),
    /// Nothing of that type.
    NoData,
    /// There is no such name in the zone.
    NoSuchName,
}

/// What `name` (small letters, no dot at the end) has in the VPC's private zones. None if it is in none of them.
///
/// The zone whose domain is longest answers alone, as on AWS. Of several instances each `turn` begins with another one.
pub fn lookup(view: &View, scope: &Scope, vpc: &str, (name, kind): (&str, Kind), turn: usize) -> Option<Found> {
    let within = |row: &&Arc<Namespace>| name == row.name.to_ascii_lowercase() || below(name, row).is_some();
    let zones = view.by_index(&Namespace::BY_VPC, scope, vpc).filter(within);
    let namespace = zones.max_by_key(|row| row.name.len())?;
    let Some(label) = below(name, namespace) else {
        // The domain itself: a service called "." has records there, and the zone's own are there anyway.
        let own = query::service_named(view, scope, namespace, ".");
        let found = own.map(|service| of_service(view, scope, namespace, &service, kind, turn));
        return Some(found.filter(|found| *found != Found::NoSuchName).unwrap_or(Found::NoData));
    };
    if let Some(service) = query::service_named(view, scope, namespace, label) {
        return Some(of_service(view, scope, namespace, &service, kind, turn));
    }
    if let Some(found) = of_instance(view, scope, namespace, label, kind) {
        return Some(found);
    }
    let services = view.by_index(&Service::BY_NAMESPACE, scope, &namespace.id);
    let stands = |row: &Arc<Service>| has_records(view, scope, row);
    let above = services.filter(|row| row.name.to_ascii_lowercase().ends_with(&format!(".{label}"))).any(stands);
    Some(if above { Found::NoData } else { Found::NoSuchName })
}

/// What stands in front of a namespace's domain.
fn below<'n>(name: &'n str, namespace: &Namespace) -> Option<&'n str> {
    name.strip_suffix(&namespace.name.to_ascii_lowercase())?.strip_suffix('.').filter(|label| !label.is_empty())
}

fn has_records(view: &View, scope: &Scope, service: &Service) -> bool {
    service.dns.is_some() && !query::instances(view, scope, &service.id).is_empty()
}

fn of_service(view: &View, scope: &Scope, namespace: &Namespace, service: &Service, kind: Kind, turn: usize) -> Found {
    if !has_records(view, scope, service) {
        return Found::NoSuchName;
    }
    let mut instances = query::in_service(view, scope, service);
    if let Some(by) = turn.checked_rem(instances.len()) {
        instances.rotate_left(by);
    }
    instances.truncate(if service.is_weighted() { 1 } else { MOST });
    let cname = service.ttl("CNAME");
    let ttl = match kind {
        Kind::A => service.ttl("A").or(cname),
        Kind::Aaaa => service.ttl("AAAA").or(cname),
        Kind::Srv => service.ttl("SRV").or(cname),
        Kind::Cname => cname,
    };
    let Some(ttl) = ttl else { return Found::NoData };
    let data = |instance: &Arc<Instance>| {
        if cname.is_some() {
            return instance.attributes.get("AWS_INSTANCE_CNAME").cloned().map(Data::Cname);
        }
        if kind == Kind::Srv {
            let port = instance.attributes.get("AWS_INSTANCE_PORT")?.parse().ok()?;
            let target = format!("{}.{}", instance.id, domain(namespace, service));
            return Some(Data::Srv { port, target });
        }
        match instance.attributes.get("AWS_ALIAS_DNS_NAME") {
            Some(name) => Some(Data::Alias(name.clone())),
            None => address(instance, kind),
        }
    };
    records(ttl, instances.iter().filter_map(data).collect())
}

fn domain(namespace: &Namespace, service: &Service) -> String {
    if service.name == "." { namespace.name.clone() } else { format!("{}.{}", service.name, namespace.name) }
}

/// `<instance>.<service>`: the host that an SRV record names.
fn of_instance(view: &View, scope: &Scope, namespace: &Namespace, label: &str, kind: Kind) -> Option<Found> {
    let services = view.by_index(&Service::BY_NAMESPACE, scope, &namespace.id);
    for service in services {
        let Some(ttl) = service.ttl("SRV") else { continue };
        let host = match service.name.as_str() {
            "." => Some(label),
            name => label.strip_suffix(&name.to_ascii_lowercase()).and_then(|rest| rest.strip_suffix('.')),
        };
        let Some(host) = host else { continue };
        let instances = query::instances(view, scope, &service.id);
        if let Some(instance) = instances.iter().find(|row| row.id.eq_ignore_ascii_case(host)) {
            return Some(records(ttl, address(instance, kind).into_iter().collect()));
        }
    }
    None
}

fn address(instance: &Instance, kind: Kind) -> Option<Data> {
    match kind {
        Kind::A => instance.attributes.get("AWS_INSTANCE_IPV4")?.parse().ok().map(Data::A),
        Kind::Aaaa => instance.attributes.get("AWS_INSTANCE_IPV6")?.parse().ok().map(Data::Aaaa),
        Kind::Srv | Kind::Cname => None,
    }
}

fn records(ttl: u32, data: Vec<Data>) -> Found {
    if data.is_empty() { Found::NoData } else { Found::Records(ttl, data) }
}
