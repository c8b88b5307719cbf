//! A namespace that interfaces are attached in: a task's, a load balancer's node's, a NAT gateway's. Its devices, its way
//! out, and what its VPC's router and the internet's namespace hold for it.

use super::{
    Attached, acls, address, attachment_namespace, cable, end, groups, host_route, internet, mac_of, neighbour,
    router::{MARKS, PRIVATE_OF, PUBLIC_OF, SOURCES, UNCHECKED, filter_of, put},
    router_netns,
};
use crate::{FabricPlan, NetworkInterface, Route, RouteAction, Subnet, Value, Verdict, ruleset::Range};
use ipnet::Ipv4Net;
use std::{borrow::Cow, net::Ipv4Addr};

/// Everything that an interface's part of the plan is made of.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Plug<'a> {
    pub(super) interface: Cow<'a, NetworkInterface>,
    pub(super) subnet: Cow<'a, Subnet>,
    pub(super) netns: Cow<'a, str>,
    pub(super) device_index: u8,
    pub(super) link: Cow<'a, str>,
    pub(super) nat: bool,
    /// The mark of its route table.
    pub(super) mark: Option<u32>,
    /// What its packets go through, in and out.
    pub(super) groups: groups::Entrance,
    /// Which of its subnet's entries have to be looked at.
    pub(super) acl: acls::Laid,
    /// Whether its VPC has an internet gateway.
    pub(super) gateway: bool,
}

impl<'a> Plug<'a> {
    pub(super) fn of(attached: &'a Attached<'_>) -> Self {
        Self {
            interface: Cow::Borrowed(attached.interface),
            subnet: Cow::Borrowed(attached.subnet),
            netns: Cow::Borrowed(attached.netns),
            device_index: attached.device_index,
            link: Cow::Borrowed(&attached.link),
            nat: attached.nat,
            mark: None,
            groups: groups::Entrance::default(),
            acl: acls::Laid::default(),
            gateway: false,
        }
    }

    pub(super) fn into_owned(self) -> Plug<'static> {
        Plug {
            interface: Cow::Owned(self.interface.into_owned()),
            subnet: Cow::Owned(self.subnet.into_owned()),
            netns: Cow::Owned(self.netns.into_owned()),
            link: Cow::Owned(self.link.into_owned()),
            ..self
        }
    }

    fn primary(&self) -> Option<Ipv4Addr> {
        self.interface.addresses.first().map(|a| a.private)
    }
}

/// Adds an interface to its namespace's part.
pub(super) fn lay(plug: &Plug<'_>, part: &mut FabricPlan) {
    devices(plug, part);
    filter(plug, part);
    if plug.gateway {
        let public = plug.interface.addresses.iter().filter_map(|a| a.public);
        internet::lay_addresses(&plug.subnet.vpc, public, part);
    }
}

/// An interface's two devices, and what its namespace holds.
fn devices(plug: &Plug<'_>, part: &mut FabricPlan) {
    let Plug { interface, subnet, netns, link, .. } = plug;
    let router_name = router_netns(&subnet.vpc);
    let device = format!("eth{}", plug.device_index);
    let gateway = Ipv4Addr::from(u32::from(subnet.cidr.network()) + 1);
    let near_mac = mac_of(interface.id.as_str());
    if let Some(own) = plug.primary().filter(|_| plug.nat) {
        internet::lay_nat(part, netns, own, &device);
    }
    let router = part.namespaces.entry(router_name.clone()).or_default();
    for ip in interface.addresses.iter().map(|a| a.private) {
        router.neighbours.insert(neighbour(link, ip, interface.mac));
        router.routes.insert(host_route(Route::MAIN, ip, link, None));
    }
    let namespace = attachment_namespace(part, netns);
    for ip in interface.addresses.iter().map(|a| a.private) {
        namespace.addresses.insert(address(&device, ip, subnet.cidr.prefix_len()));
    }
    namespace.neighbours.insert(neighbour(&device, gateway, near_mac));
    namespace.routes.insert(host_route(Route::MAIN, gateway, &device, None));
    // The first device has the way out; another one only its subnet, over the router like everything.
    let reach = if plug.device_index == 0 { Ipv4Net::default() } else { subnet.cidr.trunc() };
    namespace.routes.insert(Route {
        table: Route::MAIN,
        destination: reach,
        action: RouteAction::Link { link: device.clone(), via: Some(gateway), source: plug.primary() },
    });
    let (near, far) = (end(&router_name, link, near_mac), end(netns, &device, interface.mac));
    part.cables.insert(interface.id.as_str().to_owned(), cable(near, far));
}

/// An interface's elements in the router's filter.
fn filter(plug: &Plug<'_>, part: &mut FabricPlan) {
    let filter = filter_of(part, &plug.subnet.vpc);
    let link = || Range::Link(plug.link.clone().into_owned());
    if let Some(mark) = plug.mark {
        put(filter, MARKS, vec![link()], Value::Mark(mark));
    }
    if plug.nat || !plug.interface.source_dest_check {
        put(filter, UNCHECKED, vec![link()], Value::None);
    }
    for entry in &plug.interface.addresses {
        let private = entry.private;
        put(filter, SOURCES, vec![link(), Range::Address(private, private)], Value::None);
        if let Some(public) = entry.public {
            put(filter, PUBLIC_OF, vec![Range::Address(private, private)], Value::Address(public));
            put(filter, PRIVATE_OF, vec![Range::Address(public, public)], Value::Address(private));
        }
    }
    let groups::Entrance { ingress, egress } = &plug.groups;
    let through = |chain: &Option<String>| match chain {
        _ if plug.nat => Some(Verdict::Accept),
        chain => chain.clone().map(Verdict::Jump),
    };
    for (map, chain) in [(groups::INGRESS, ingress), (groups::EGRESS, egress)] {
        if let Some(verdict) = through(chain) {
            put(filter, map, vec![link()], Value::Verdict(verdict));
        }
    }
    acls::lay_link(&plug.acl, &link(), filter);
}
