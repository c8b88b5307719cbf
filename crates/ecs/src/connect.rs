//! Service Connect, decided from rows alone: which aliases a task knows and at which addresses, what its `/etc/hosts` says, and what
//! the proxy does in its network.
//!
//! An alias has an address out of 127.255.0.0/16, which is each network's own. The proxy cannot listen at the alias's port there, as a
//! container that listens at that port of all addresses could not then: it listens at another, to which the kernel leads.

use crate::rows::{AliasRow, ConnectRow, ConnectServiceRow, TaskConnectRow, TaskRow};
use rollout::TaskStatus;
use routing::connect::{Destination, InsteadOf, Listener, Protocol, Sidecar};
use runtime::HostEntry;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;

/// Addresses of aliases are counted from here. Source: the ECS agent's configuration of Service Connect.
const ALIASES: u32 = u32::from_be_bytes([127, 255, 0, 0]);
/// As many names as there are addresses.
const MOST_NAMES: u32 = 65_000;
/// Where the proxy listens, above the ports that the kernel gives to connections: behind aliases, and for containers' ports.
const BEHIND: u16 = 61_001;
const ARRIVING: u16 = 62_001;
/// `idleTimeoutSeconds` and `perRequestTimeoutSeconds` where nobody says. Source: API reference, `TimeoutConfiguration`.
pub(crate) const IDLE: u32 = 300;
pub(crate) const IDLE_TCP: u32 = 3600;
pub(crate) const REQUEST: u32 = 15;

/// The aliases of some endpoints, each name with an address of its own.
pub(crate) fn aliases<'a>(endpoints: impl Iterator<Item = &'a ConnectServiceRow>) -> Vec<AliasRow> {
    let mut all: Vec<_> = endpoints.collect();
    all.sort_by(|a, b| (&a.alias, a.alias_port, &a.arn).cmp(&(&b.alias, b.alias_port, &b.arn)));
    all.dedup_by(|b, a| (&a.alias, a.alias_port) == (&b.alias, b.alias_port));
    let (mut rows, mut names) = (Vec::<AliasRow>::with_capacity(all.len()), 0_u32);
    for endpoint in all {
        let behind = match rows.last() {
            Some(last) if last.name == endpoint.alias => last.behind.saturating_add(1),
            _ => {
                names += 1;
                BEHIND
            }
        };
        if names > MOST_NAMES || behind >= ARRIVING {
            continue;
        }
        rows.push(AliasRow {
            name: endpoint.alias.clone(),
            port: endpoint.alias_port,
            address: Ipv4Addr::from(ALIASES + names),
            behind,
            arn: endpoint.arn.clone(),
            protocol: endpoint.protocol,
            idle_seconds: endpoint.idle_seconds,
            request_seconds: endpoint.request_seconds,
        });
    }
    rows
}

/// What a new task of a deployment has.
pub(crate) fn of_task(row: &ConnectRow, task: &str) -> TaskConnectRow {
    TaskConnectRow {
        container: format!("ecs-service-connect-{}", types::id::random_hex(6)),
        uuid: types::id::random_uuid(),
        runtime_id: format!("{task}-{}", types::id::random_digits(10)),
        attachment_id: types::id::random_uuid(),
        services: row.services.clone(),
        aliases: row.aliases.clone(),
        serving_since: None,
    }
}

/// What a container's `/etc/hosts` has for it.
pub(crate) fn hosts(row: &TaskRow) -> Vec<HostEntry> {
    let mut entries: Vec<HostEntry> = Vec::new();
    for alias in row.connect.iter().flat_map(|connect| &connect.aliases) {
        let address = IpAddr::V4(alias.address);
        if entries.last().is_none_or(|last| last.address != address) {
            entries.push(HostEntry { address, names: vec![alias.name.clone()] });
        }
    }
    entries
}

/// What the proxy does in a task's network, from when that stands until the task's containers have ended.
pub(crate) fn sidecar(row: &TaskRow, netns: PathBuf) -> Option<Sidecar> {
    let stands = row.last >= TaskStatus::Pending && row.last < TaskStatus::Deprovisioning;
    let (connect, eni) = (row.connect.as_ref()?, row.eni.as_ref().filter(|_| stands)?);
    let seconds = |seconds: u32| u64::from(seconds) * 1000;
    let outgoing = connect.aliases.iter().map(|alias| Listener {
        address: SocketAddrV4::new(alias.address, alias.behind),
        instead_of: Some(InsteadOf::Leaving(SocketAddrV4::new(alias.address, alias.port))),
        protocol: alias.protocol,
        to: Destination::Endpoint(alias.arn.clone()),
        idle_ms: seconds(alias.idle_seconds),
        request_ms: seconds(alias.request_seconds),
    });
    let incoming = connect.services.iter().zip(ARRIVING..).map(|(service, at)| {
        let (address, instead_of) = match service.ingress {
            Some(port) => (SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port), None),
            None => (SocketAddrV4::new(eni.ip, at), Some(InsteadOf::Arriving(service.container_port))),
        };
        Listener {
            address,
            instead_of,
            protocol: service.protocol,
            to: Destination::Application(service.container_port),
            idle_ms: seconds(service.idle_seconds),
            // Whoever asks gives up when it is time.
            request_ms: 0,
        }
    });
    Some(Sidecar { task: row.id.clone(), netns, listeners: outgoing.chain(incoming).collect() })
}

/// What an `appProtocol` means.
pub(crate) fn protocol(text: Option<&str>) -> Protocol {
    match text {
        Some("http") => Protocol::Http,
        Some("http2" | "grpc") => Protocol::Http2,
        _ => Protocol::Tcp,
    }
}

/// Whether a text can be a `discoveryName`. Source: API reference, `ServiceConnectService`.
pub(crate) fn is_discovery_name(text: &str) -> bool {
    is_name(text, 64, |byte| matches!(byte, b'_' | b'-'))
}

/// Whether a text can be a `dnsName`. Source: API reference, `ServiceConnectClientAlias`.
pub(crate) fn is_dns_name(text: &str) -> bool {
    is_name(text, 127, |byte| matches!(byte, b'_' | b'-' | b'.'))
}

fn is_name(text: &str, longest: usize, mark: fn(u8) -> bool) -> bool {
    let fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || mark(byte);
    (1..=longest).contains(&text.len()) && !text.starts_with('-') && text.bytes().all(fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(alias: &str, port: u16) -> ConnectServiceRow {
        ConnectServiceRow {
            discovery_name: alias.to_owned(),
            arn: format!("arn:{alias}:{port}"),
            container_port: 3000,
            ingress: None,
            protocol: Protocol::Http,
            alias: alias.to_owned(),
            alias_port: port,
            idle_seconds: IDLE,
            request_seconds: REQUEST,
        }
    }

    #[test]
    fn each_name_has_an_address_and_each_port_a_listener() {
        let all = [endpoint("web", 80), endpoint("api", 8080), endpoint("api", 80), endpoint("api", 80)];
        let told: Vec<_> = aliases(all.iter())
            .iter()
            .map(|row| format!("{}:{} {}:{}", row.name, row.port, row.address, row.behind))
            .collect();
        assert_eq!(told, ["api:80 127.255.0.1:61001", "api:8080 127.255.0.1:61002", "web:80 127.255.0.2:61001"]);
        assert_eq!(aliases([].into_iter()), []);
        let many: Vec<_> = (0..300).map(|at| endpoint(&format!("n{at:03}"), 80)).collect();
        let rows = aliases(many.iter());
        assert_eq!((rows[255].address, rows.len()), (Ipv4Addr::new(127, 255, 1, 0), 300), "there is room beyond a /24");
    }

    #[test]
    fn names_are_lowercase_and_do_not_begin_with_a_hyphen() {
        assert!(is_discovery_name("my_api-2") && is_dns_name("my-api.internal.corp"));
        for wrong in ["", "-a", "A", "a b", "a/b", "ä"] {
            assert!(!is_discovery_name(wrong) && !is_dns_name(wrong), "{wrong:?}");
        }
        assert!(!is_discovery_name("a.b") && !is_discovery_name(&"a".repeat(65)) && !is_dns_name(&"a".repeat(128)));
    }

    #[test]
    fn protocols_are_those_of_port_mappings() {
        let spoken = [Some("http"), Some("http2"), Some("grpc"), None].map(protocol);
        assert_eq!(spoken, [Protocol::Http, Protocol::Http2, Protocol::Http2, Protocol::Tcp]);
    }
}
