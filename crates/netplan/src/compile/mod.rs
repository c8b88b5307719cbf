//! [`compile`]: from the state to the plan.
//!
//! A VPC is a namespace that routes, each interface a pair of virtual Ethernet devices whose near end is in it. The
//! near end's name carries the interface's id, and every filter and policy is keyed by that name. Next hops are
//! permanent neighbours, so nobody asks for hardware addresses and nobody can answer falsely.

mod acls;
mod beyond;
mod groups;
mod internet;
mod router;
mod routes;

use crate::{
    Address, Cable, End, FabricPlan, MacAddress, Namespace, Neighbour, NetworkState, Place, Route, RouteAction,
    index::{Attached, Index},
};
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;
use types::id::{EniId, VpcId};

/// The largest packet within a VPC, as on AWS.
const MTU: u32 = 9001;
/// The router's device towards the internet namespace.
const IGW: &str = "igw";

/// The plan for `state`. What cannot be planned is left out, and named in [`FabricPlan::omitted`].
pub fn compile(state: &NetworkState) -> FabricPlan {
    let mut plan = FabricPlan::default();
    let index = Index::new(state);
    plan.omitted.clone_from(&index.omitted);
    internet::lay(&index, &mut plan);
    for vpc in &state.vpcs {
        router::lay(&index, vpc, &mut plan);
    }
    beyond::lay_peerings(&index, &mut plan);
    beyond::lay_endpoints(&index, &mut plan);
    for name in &state.namespaces {
        attachment_namespace(&mut plan, name);
    }
    debug_assert!(plan.cables.values().all(|cable| cable.near.link.len() < 16 && cable.far.link.len() < 16));
    plan
}

/// The name of the namespace that routes for a VPC.
pub fn router_netns(vpc: &VpcId) -> String {
    vpc.as_str().to_owned()
}

/// The router's device for an interface. It fits into the kernel's fifteen letters.
pub fn link_name(interface: &EniId) -> String {
    short_name('e', interface.as_str())
}

fn short_name(kind: char, id: &str) -> String {
    let digits = hex_digits(id);
    format!("{kind}{}", digits.get(..14).unwrap_or(digits))
}

/// An id's part after its prefix.
fn hex_digits(id: &str) -> &str {
    id.rsplit('-').next().unwrap_or(id)
}

/// FNV-1a: stable across versions and machines, which the names and numbers in the kernel need.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

/// A hardware address of our own making, the same for the same text.
fn mac_of(text: &str) -> MacAddress {
    let mut bytes = [0x0e; 6];
    bytes[1..].copy_from_slice(&hash(text).to_be_bytes()[..5]);
    MacAddress(bytes)
}

/// The namespace of a task, a load balancer's node or a NAT gateway.
fn attachment_namespace<'p>(plan: &'p mut FabricPlan, name: &str) -> &'p mut Namespace {
    plan.namespaces.entry(name.to_owned()).or_insert_with(|| {
        let mut namespace = Namespace::default();
        // The loopback keeps its ::1; Ethernet devices made from now on have no IPv6.
        set(&mut namespace, "ipv6/conf/default/disable_ipv6", "1");
        set(&mut namespace, "ipv4/conf/default/promote_secondaries", "1");
        // A new namespace takes this over from the host, where container engines turn it on.
        set(&mut namespace, "ipv4/ip_forward", "0");
        namespace
    })
}

/// The settings of a namespace that forwards.
fn forwarding(namespace: &mut Namespace) {
    set(namespace, "ipv4/ip_forward", "1");
    for which in ["all", "default"] {
        // The kernel takes the stricter of `all` and the device's own, hence both.
        set(namespace, &format!("ipv4/conf/{which}/rp_filter"), "0");
        set(namespace, &format!("ipv4/conf/{which}/send_redirects"), "0");
        set(namespace, &format!("ipv4/conf/{which}/accept_redirects"), "0");
        set(namespace, &format!("ipv6/conf/{which}/disable_ipv6"), "1");
    }
}

fn set(namespace: &mut Namespace, path: &str, value: &str) {
    namespace.settings.insert(path.to_owned(), value.to_owned());
}

fn end(namespace: &str, link: &str, mac: MacAddress) -> End {
    End { place: Place::Namespace(namespace.to_owned()), link: link.to_owned(), mac }
}

fn cable(near: End, far: End) -> Cable {
    Cable { near, far, mtu: MTU }
}

fn host_route(table: u32, ip: Ipv4Addr, link: &str, via: Option<Ipv4Addr>) -> Route {
    let action = RouteAction::Link { link: link.to_owned(), via, source: None };
    Route { table, destination: Ipv4Net::from(ip), action }
}

fn address(link: &str, ip: Ipv4Addr, prefix: u8) -> Address {
    Address { link: link.to_owned(), ip, prefix }
}

fn neighbour(link: &str, ip: Ipv4Addr, mac: MacAddress) -> Neighbour {
    Neighbour { link: link.to_owned(), ip, mac }
}
