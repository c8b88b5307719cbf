//! What an analysis finds: the walk between the ends of a path.

use super::components;
use crate::api::instance;
use crate::controller::network_state;
use crate::rows::{InternetGateway, NetworkInsightsPath, NetworkInterface, VpcEndpoint};
use crate::texts;
use crate::{instances, query};
use model::ec2;
use netplan::walk::{Content, EPHEMERAL, Origin, Station, Walk, walk};
use netplan::{Ground, NetworkState, PortRange, Traffic};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use store::View;
use types::{ApiError, Scope};

/// How many ports are tried on each side where any will do: what rules begin and end with.
const PORTS: usize = 24;

/// An end of a path.
pub(super) enum End {
    Interface(Arc<NetworkInterface>),
    InternetGateway(Arc<InternetGateway>),
    Endpoint(Arc<VpcEndpoint>),
}

impl End {
    /// The resource of that id or ARN.
    pub(super) fn find(view: &View, scope: &Scope, named: &str) -> Result<Self, ApiError> {
        let id = if named.starts_with("arn:") { named.rsplit('/').next().unwrap_or(named) } else { named };
        let unknown = |what: &str| ApiError::not_implemented(format_args!("network insights paths from or to {what}"));
        if id.starts_with("eni-") {
            view.get(scope, id).map(Self::Interface).ok_or_else(|| texts::interface_not_found(id))
        } else if id.starts_with("igw-") {
            view.get(scope, id).map(Self::InternetGateway).ok_or_else(|| texts::internet_gateway_not_found(id))
        } else if id.starts_with("vpce-svc-") {
            Err(unknown("VPC endpoint services"))
        } else if id.starts_with("vpce-") {
            view.get(scope, id).map(Self::Endpoint).ok_or_else(|| texts::endpoint_not_found(id))
        } else if id.starts_with("pcx-") {
            Err(unknown("VPC peering connections"))
        } else if id.starts_with("tgw-") || id.starts_with("vgw-") {
            Err(unknown("transit and virtual private gateways"))
        } else if id.starts_with("i-") {
            // By its primary interface.
            instance::find_live(view, scope, id)?;
            let first = instances::interfaces(view, scope, id).into_iter().next();
            first.map(Self::Interface).ok_or_else(|| texts::instance_is_over(id))
        } else {
            Err(texts::invalid_value(id, "resource", "It is not the ID of a source or destination."))
        }
    }

    pub(super) fn id(&self) -> &str {
        match self {
            Self::Interface(row) => row.id.as_str(),
            Self::InternetGateway(row) => row.id.as_str(),
            Self::Endpoint(row) => row.id.as_str(),
        }
    }

    /// The interface that it is or has.
    fn interface(&self, view: &View, scope: &Scope) -> Option<Arc<NetworkInterface>> {
        match self {
            Self::Interface(row) => Some(row.clone()),
            Self::InternetGateway(_) => None,
            Self::Endpoint(row) => query::interface(view, scope, row.interfaces.first()?.1.as_str()),
        }
    }
}

/// The analysis of a path, as AWS shows it, without its ids.
pub(super) fn analyse(
    view: &View,
    scope: &Scope,
    ground: &Ground,
    path: &NetworkInsightsPath,
) -> ec2::NetworkInsightsAnalysis {
    let failed = |text: String| ec2::NetworkInsightsAnalysis {
        status: Some("failed".to_owned()),
        status_message: Some(text),
        ..ec2::NetworkInsightsAnalysis::default()
    };
    // What was there when the path was made may be gone.
    let (source, destination) = match (
        End::find(view, scope, &path.source),
        path.destination.as_ref().map(|id| End::find(view, scope, id)).transpose(),
    ) {
        (Ok(source), Ok(destination)) => (source, destination),
        (Err(error), _) | (_, Err(error)) => return failed(error.message),
    };
    let of_ipv6 = [path.source_ip, path.destination_ip].iter().flatten().any(IpAddr::is_ipv6);
    let (host, service): (IpAddr, IpAddr) = if of_ipv6 {
        (ground.host_address_ipv6().into(), ground.service_address_ipv6().into())
    } else {
        (ground.host_address().into(), ground.service_address().into())
    };
    let origin = match source.interface(view, scope) {
        Some(interface) => Origin::Interface(interface.id.clone()),
        None => Origin::Outside(path.source_ip.unwrap_or(host)),
    };
    let from_outside = matches!(origin, Origin::Outside(_));
    let interface = destination.as_ref().and_then(|end| end.interface(view, scope));
    // The address that was asked for, else the first of the family that was spoken of.
    let private = interface
        .as_ref()
        .and_then(|row| path.destination_ip.or_else(|| row.addresses().find(|ip| ip.is_ipv6() == of_ipv6)));
    let to = match (&destination, &interface, private) {
        (_, Some(interface), Some(IpAddr::V4(private))) if from_outside => {
            match query::public_ip(view, scope, interface) {
                Some(public) => public.into(),
                None => return components::no_public_address(scope, source.id(), interface, private),
            }
        }
        (_, Some(_), Some(private)) => private,
        (Some(End::InternetGateway(_)) | None, ..) => path.destination_ip.unwrap_or(service),
        (Some(End::Endpoint(_) | End::Interface(_)), ..) => ground.gateway_endpoint_address().into(),
    };
    let state = network_state(view, ground);
    let found = best(&state, &origin, to, path);
    let through = [Some(&source), destination.as_ref()].into_iter().flatten().all(|end| passes_through(&found, end));
    components::shown(view, scope, &state, &found, through)
}

/// Whether a gateway that is an end is on the way.
fn passes_through(found: &Walk, end: &End) -> bool {
    let there = |wanted: &dyn Fn(&Station) -> bool| found.request.iter().any(|hop| wanted(&hop.station));
    match end {
        End::Interface(_) => true,
        End::InternetGateway(row) => {
            there(&|station| matches!(station, Station::InternetGateway { gateway, .. } if *gateway == row.id))
        }
        End::Endpoint(row) => {
            row.kind == "Interface"
                || there(&|station| matches!(station, Station::GatewayEndpoint { endpoint } if *endpoint == row.id))
        }
    }
}

/// The way of a packet that passes if any does: the ports that the path leaves open may be any.
fn best(state: &NetworkState, origin: &Origin, to: IpAddr, path: &NetworkInsightsPath) -> Walk {
    let go = |source_port: u16, port: u16| {
        let content = if path.protocol == "udp" {
            Content::Udp { source_port, port }
        } else {
            Content::Tcp { source_port, port }
        };
        walk(state, origin, to, content)
    };
    let bounds = bounds(state);
    let ports = match path.destination_port {
        Some(port) => vec![port],
        None => std::iter::once(80).chain(bounds.iter().copied().filter(|port| *port > 0)).take(PORTS).collect(),
    };
    let own: Vec<u16> = std::iter::once(EPHEMERAL.from)
        .chain(bounds.iter().copied().filter(|port| (EPHEMERAL.from..=EPHEMERAL.to).contains(port)))
        .take(PORTS)
        .collect();
    let first = go(own[0], ports[0]);
    if first.passes() {
        return first;
    }
    let others = ports.iter().flat_map(|port| own.iter().map(move |own| (*own, *port))).skip(1);
    others.map(|(own, port)| go(own, port)).find(Walk::passes).unwrap_or(first)
}

/// The first and last ports of all rules: between two neighbours nothing changes.
fn bounds(state: &NetworkState) -> BTreeSet<u16> {
    let rules = state.security_groups.iter().flat_map(|group| group.ingress.iter().chain(&group.egress));
    let entries = state.network_acls.iter().flat_map(|acl| acl.ingress.iter().chain(&acl.egress));
    let traffic = rules.map(|rule| rule.traffic).chain(entries.map(|entry| entry.traffic));
    let ranges = traffic.filter_map(|traffic| match traffic {
        Traffic::Tcp(range) | Traffic::Udp(range) => Some(range),
        _ => None,
    });
    ranges.flat_map(|PortRange { from, to }| [from, to, to.saturating_add(1)]).collect()
}
