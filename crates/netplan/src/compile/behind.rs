//! Networks behind an attachment's: ECS's bridge mode. What is behind has the host's address outside, and is reached by the
//! host's ports.

use super::{Index, address, attachment_namespace, cable, end, host_route, mac_of, neighbour, short_name};
use crate::{
    Behind, Chain, ChainHook, FabricPlan, Family, Match, PlanParts, Route, RouteAction, Rule, Ruleset,
    index::good_netns_name, ruleset::Action,
};
use ipnet::{IpNet, Ipv4Net};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

/// The host as those behind it know it, as Docker has it by default.
const HOST: Ipv4Addr = Ipv4Addr::new(172, 17, 0, 1);
/// The device of what is behind.
const DEVICE: &str = "eth0";

/// Where those behind a host are.
fn block() -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(172, 17, 0, 0), 16)
}

/// A part for each host that has somebody behind it.
pub(super) fn lay(index: &Index<'_>, plan: &mut PlanParts) {
    let mut hosts: BTreeMap<&str, Vec<&Behind>> = BTreeMap::new();
    let (mut names, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for behind in &index.state.behind {
        let netns = behind.netns.as_str();
        let fits = block().contains(&behind.address) && behind.address != HOST;
        // What two would share, the second goes without: the kernel would refuse it, and everything with it.
        let wrong = if !good_netns_name(netns) || index.has_attached_in(netns) || !names.insert(netns) {
            Some("no good namespace name")
        } else if !index.has_attached_in(&behind.host) {
            Some("nothing is attached to its host")
        } else if !fits || !taken.insert((behind.host.as_str(), behind.address)) {
            Some("its address is not one behind its host, or another's")
        } else {
            None
        };
        match wrong {
            Some(why) => plan.leave_out(format!("{netns}: {why}")),
            None => hosts.entry(&behind.host).or_default().push(behind),
        }
    }
    for (host, behind) in hosts {
        plan.add(&format!("{host}/behind"), lay_host(index, host, &behind));
    }
}

fn lay_host(index: &Index<'_>, host: &str, all: &[&Behind]) -> FabricPlan {
    let mut part = FabricPlan::default();
    let mut arriving = Vec::new();
    let own = index.attached_to(host).filter(|attached| attached.device_index == 0);
    let own: Vec<_> = own.filter_map(|attached| attached.interface.primary(Family::Ipv4)).collect();
    for behind in all {
        let Behind { netns, address: ip, ports, .. } = behind;
        let link = short_name('b', netns);
        let (near, far) = (mac_of(&format!("{netns}/near")), mac_of(&format!("{netns}/far")));
        let namespace = attachment_namespace(&mut part, netns);
        namespace.addresses.insert(address(DEVICE, *ip, block().prefix_len()));
        namespace.neighbours.insert(neighbour(DEVICE, HOST, near));
        namespace.routes.insert(host_route(Route::MAIN, HOST, DEVICE, None));
        let way = RouteAction::Link { link: DEVICE.to_owned(), via: Some(HOST.into()), source: Some((*ip).into()) };
        namespace.routes.insert(Route { table: Route::MAIN, destination: Ipv4Net::default().into(), action: way });
        let router = part.namespaces.entry(host.to_owned()).or_default();
        router.addresses.insert(address(&link, HOST, 32));
        router.neighbours.insert(neighbour(&link, *ip, far));
        router.routes.insert(host_route(Route::MAIN, *ip, &link, None));
        part.cables.insert(format!("{netns}/behind"), cable(end(host, &link, near), end(netns, DEVICE, far)));
        for (port, own) in ports.iter().flat_map(|port| own.iter().map(move |own| (port, own))) {
            let when = vec![
                Match::Destination(IpNet::from(*own)),
                Match::Protocol(port.protocol),
                Match::Port(port.host, port.host),
            ];
            arriving.push(Rule { when, then: Action::DestinationNatTo(*ip, port.own) });
        }
    }
    let leaving = index.attached_to(host).map(|attached| {
        let device = format!("eth{}", attached.device_index);
        Rule { when: vec![Match::To(device), Match::Source(block().into())], then: Action::Masquerade }
    });
    let mut filter = Ruleset::default();
    let mut chain = |name: &str, hook, rules| {
        filter.chains.insert(name.to_owned(), Chain { hook: Some(hook), accept_at_end: true, rules });
    };
    chain("dnat", ChainHook::DestinationNat, arriving);
    chain("snat", ChainHook::SourceNat, leaving.collect());
    part.namespaces.entry(host.to_owned()).or_default().filter = Some(filter);
    part
}
