//! A namespace that interfaces are attached in: a task's, a load balancer's node's, a NAT gateway's. Its devices, its way
//! out, and what its VPC's router and the internet's namespace hold for it.

use super::{
    acls, address, attachment_namespace, cable, end, groups, host_route, internet, link_name, mac_of, neighbour,
    router::{OWN, PRIVATE_OF, PUBLIC_OF, SOURCES, UNCHECKED, filter_of, put},
    router_netns, routes, set, speak_ipv6,
};
use crate::{FabricPlan, Family, NetworkInterface, Route, RouteAction, Value, Verdict, ruleset::Range};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};
use types::id::VpcId;

/// The router as an interface's namespace knows it over IPv6: link-local, as on AWS.
const ROUTER_IPV6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// What all interfaces of a subnet have of it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Home {
    pub(super) vpc: VpcId,
    pub(super) block: Ipv4Net,
    /// Its IPv6 block.
    pub(super) ipv6: Option<Ipv6Net>,
    /// Its route table, if that is there.
    pub(super) table: Option<routes::Numbers>,
    /// Which of its ACL's entries have to be looked at.
    pub(super) acl: acls::Laid,
    /// Whether its VPC has an internet gateway.
    pub(super) gateway: bool,
}

/// Everything that an interface's part of the plan is made of. Made for each of them in each plan, so there is nothing in it that
/// takes memory of its own.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Plug {
    pub(super) interface: Arc<NetworkInterface>,
    pub(super) home: Arc<Home>,
    pub(super) device_index: u8,
    pub(super) nat: bool,
    /// What its packets go through, in and out.
    pub(super) groups: groups::Entrance,
    /// Whether somebody is behind its namespace.
    pub(super) forwards: bool,
}

impl Plug {
    fn primary(&self, family: Family) -> Option<IpAddr> {
        self.interface.primary(family)
    }

    /// Whether it may send what is from other addresses than its own.
    fn sends_for_others(&self) -> bool {
        self.nat || !self.interface.source_dest_check
    }
}

/// The part of a namespace in which these are attached.
pub(super) fn part_of(plugs: &[Plug], netns: &str) -> Arc<FabricPlan> {
    let mut part = FabricPlan::default();
    plugs.iter().for_each(|plug| lay(plug, netns, &mut part));
    Arc::new(part)
}

/// Adds an interface to its namespace's part.
fn lay(plug: &Plug, netns: &str, part: &mut FabricPlan) {
    devices(plug, netns, part);
    filter(plug, part);
    if plug.home.gateway {
        let public = plug.interface.addresses.iter().filter_map(|a| a.public);
        internet::lay_addresses(&plug.home.vpc, public, part);
    }
}

/// An interface's two devices, and what its namespace holds.
fn devices(plug: &Plug, netns: &str, part: &mut FabricPlan) {
    let Plug { interface, home, .. } = plug;
    let (router_name, link) = (router_netns(&home.vpc), &link_name(&interface.id));
    let device = format!("eth{}", plug.device_index);
    let gateway = Ipv4Addr::from(u32::from(home.block.network()) + 1);
    let near_mac = mac_of(interface.id.as_str());
    if let Some(own) = plug.primary(Family::Ipv4).filter(|_| plug.nat) {
        internet::lay_nat(part, netns, own, &device);
    }
    let router = part.namespaces.entry(router_name.clone()).or_default();
    for ip in interface.addresses.iter().map(|a| a.private) {
        router.neighbours.insert(neighbour(link, ip, interface.mac));
        router.routes.insert(host_route(Route::MAIN, ip, link, None));
    }
    if plug.sends_for_others() {
        router.any_source.insert(link.clone());
        router.rules.extend(routes::rules_of_sender_for_others(home.table, home.ipv6.is_some(), link));
    }
    let namespace = attachment_namespace(part, netns);
    if plug.forwards {
        set(namespace, "ipv4/ip_forward", "1");
    }
    for ip in interface.addresses.iter().map(|a| a.private) {
        let prefix = if ip.is_ipv4() { home.block.prefix_len() } else { 128 };
        namespace.addresses.insert(address(&device, ip, prefix));
    }
    namespace.neighbours.insert(neighbour(&device, gateway, near_mac));
    namespace.routes.insert(host_route(Route::MAIN, gateway, &device, None));
    let mut way = |everything: IpNet, own: IpNet, gateway: IpAddr, source: IpAddr| {
        // The first device has the way out; another one only its subnet, over the router like everything.
        let destination = if plug.device_index == 0 { everything } else { own.trunc() };
        let action = RouteAction::Link { link: device.clone(), via: Some(gateway), source: Some(source) };
        namespace.routes.insert(Route { table: Route::MAIN, destination, action });
    };
    if let Some(source) = plug.primary(Family::Ipv4) {
        way(Ipv4Net::default().into(), home.block.into(), gateway.into(), source);
    }
    if let Some(source) = plug.primary(Family::Ipv6) {
        let own = home.ipv6.map_or(IpNet::from(source), IpNet::from);
        way(Ipv6Net::default().into(), own, ROUTER_IPV6.into(), source);
        namespace.neighbours.insert(neighbour(&device, ROUTER_IPV6, near_mac));
        speak_ipv6(namespace);
    }
    let (near, far) = (end(&router_name, link, near_mac), end(netns, &device, interface.mac));
    part.cables.insert(interface.id.as_str().to_owned(), cable(near, far));
}

/// An interface's elements in the router's filter.
fn filter(plug: &Plug, part: &mut FabricPlan) {
    let filter = filter_of(part, &plug.home.vpc);
    let link = || Range::Link(link_name(&plug.interface.id));
    if plug.sends_for_others() && plug.home.ipv6.is_some() {
        put(filter, UNCHECKED, vec![link()], Value::None);
    }
    for entry in &plug.interface.addresses {
        let ip = entry.private;
        let alone = |ip: IpAddr| Range::Address(ip, ip);
        match ip {
            IpAddr::V6(_) => {
                put(filter, SOURCES, vec![link(), alone(ip)], Value::None);
                put(filter, OWN, vec![alone(ip)], Value::None);
            }
            IpAddr::V4(private) => {
                if let Some(public) = entry.public {
                    put(filter, PUBLIC_OF, vec![alone(ip)], Value::Address(public));
                    put(filter, PRIVATE_OF, vec![alone(public.into())], Value::Address(private));
                }
            }
        }
    }
    let groups::Entrance { ingress, egress } = &plug.groups;
    // A NAT gateway has no groups.
    for (map, chain, free) in [(groups::INGRESS, ingress, Verdict::Accept), (groups::EGRESS, egress, Verdict::Return)] {
        let verdict = if plug.nat { Some(free) } else { chain.as_deref().map(|chain| Verdict::Jump(chain.to_owned())) };
        if let Some(verdict) = verdict {
            put(filter, map, vec![link()], Value::Verdict(verdict));
        }
    }
    acls::lay_link(&plug.home.acl, &link(), filter);
}
