//! What the kernel holds of ours, as a plan: where a daemon starts from after a crash.
//!
//! Packet filters are not read back: a plan's filter replaces the one in the kernel whole, in one transaction, and
//! connections go on meanwhile. Devices are known by their alias; one without its other end is removed here.

use crate::{
    Error,
    kernel::{Kernel, read_alias, remove_mount},
    netlink::route::{self, Link},
};
use netplan::{Address, Cable, End, FabricPlan, INTERNET, Namespace, Neighbour, Place, Route, RouteAction};
use nix::sys::statfs::{NSFS_MAGIC, statfs};
use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    net::IpAddr,
};

/// What the names of routers begin with.
const VPC: &str = "vpc-";

/// A device that has an alias.
struct FoundEnd {
    end: End,
    index: u32,
    peer: Option<u32>,
    mtu: u32,
}

/// Reads everything of this instance; `host_link` is its device in the host's namespace.
pub(crate) fn observe(kernel: &mut Kernel, host_link: &str) -> Result<FabricPlan, Error> {
    let mut plan = FabricPlan::default();
    let mut ends: BTreeMap<String, [Option<FoundEnd>; 2]> = BTreeMap::new();
    let mut strays = Vec::new();
    let mut places = vec![Place::Host];
    for name in namespaces(kernel)? {
        places.push(Place::Namespace(name));
    }
    for place in places {
        let all = links(kernel, &place)?;
        let ours: HashMap<u32, String> = all
            .iter()
            .filter(|link| is_ours(&place, link, host_link))
            .map(|link| (link.index, link.name.clone()))
            .collect();
        // Elsewhere the devices are as the namespace has them, and a plan says nothing of it.
        let is_vpc = matches!(&place, Place::Namespace(name) if name.starts_with(VPC));
        let takes_any = |link: &&Link| is_vpc && link.any_source && link.name != "lo" && ours.contains_key(&link.index);
        let any_source = all.iter().filter(takes_any).map(|link| link.name.clone()).collect();
        for link in all.into_iter().filter(|link| ours.contains_key(&link.index) && link.name != "lo") {
            match (&link.alias, link.mac) {
                // One that somebody took down is made anew.
                (Some(alias), Some(mac)) if link.up => {
                    let (name, far) = read_alias(alias);
                    let end = End { place: place.clone(), link: link.name.clone(), mac };
                    let found = FoundEnd { end, index: link.index, peer: link.peer, mtu: link.mtu };
                    let slot = &mut ends.entry(name.to_owned()).or_default()[usize::from(far)];
                    if slot.replace(found).is_some() {
                        strays.push((place.clone(), link.name));
                    }
                }
                _ => strays.push((place.clone(), link.name)),
            }
        }
        let mut content = content(kernel, &place, &ours)?;
        content.any_source = any_source;
        match place {
            Place::Host => plan.host = content,
            Place::Namespace(name) => {
                plan.namespaces.insert(name, content);
            }
        }
    }
    for (name, pair) in ends {
        match pair {
            [Some(near), Some(far)] if near.peer == Some(far.index) && far.peer == Some(near.index) => {
                plan.cables.insert(name, Cable { near: near.end, far: far.end, mtu: near.mtu });
            }
            pair => strays.extend(pair.into_iter().flatten().map(|found| (found.end.place, found.end.link))),
        }
    }
    for (place, link) in strays {
        tracing::warn!(%place, link, "removing a device that is of no link");
        kernel.remove_stray(&place, &link)?;
        let content = match &place {
            Place::Host => Some(&mut plan.host),
            Place::Namespace(name) => plan.namespaces.get_mut(name),
        };
        content.into_iter().for_each(|content| forget_device(content, &link));
    }
    Ok(plan)
}

/// What is on a device goes with it.
fn forget_device(content: &mut Namespace, link: &str) {
    content.any_source.remove(link);
    content.addresses.retain(|address| address.link != link);
    content.neighbours.retain(|neighbour| neighbour.link != link);
    content.routes.retain(|route| !matches!(&route.action, RouteAction::Link { link: on, .. } if on == link));
}

/// The namespaces' names. A file that is no namespace is what a crash or a restart of the host left, and goes.
fn namespaces(kernel: &Kernel) -> Result<Vec<String>, Error> {
    let directory = kernel.directory().to_owned();
    let mut names = Vec::new();
    let entries = fs::read_dir(&directory).map_err(|e| Error::file(&directory, e))?;
    for entry in entries {
        let path = entry.map_err(|e| Error::file(&directory, e))?.path();
        let is_namespace = statfs(&path).is_ok_and(|s| s.filesystem_type() == NSFS_MAGIC);
        match path.file_name().and_then(|name| name.to_str()) {
            Some(name) if is_namespace => names.push(name.to_owned()),
            _ => remove_mount(&path)?,
        }
    }
    Ok(names)
}

/// In an attachment's namespace only what has our alias is ours: a container may make devices of its own.
fn is_ours(place: &Place, link: &Link, host_link: &str) -> bool {
    match place {
        Place::Host => link.name == host_link,
        Place::Namespace(name) => {
            let router = name == INTERNET || name.starts_with(VPC);
            link.name == "lo" || router && link.peer.is_some() || link.alias.is_some()
        }
    }
}

fn links(kernel: &mut Kernel, place: &Place) -> Result<Vec<Link>, Error> {
    reading(place, route::links(kernel.route(place)?))
}

fn reading<T>(place: &Place, result: io::Result<T>) -> Result<T, Error> {
    result.map_err(|e| Error::kernel("reading links and routes", place, e))
}

fn content(kernel: &mut Kernel, place: &Place, ours: &HashMap<u32, String>) -> Result<Namespace, Error> {
    let socket = kernel.route(place)?;
    let mut content = Namespace::default();
    for (index, ip, prefix) in reading(place, route::addresses(socket))? {
        // Link-local addresses are the kernel's own.
        let own = ip.is_loopback() || matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        if let Some(link) = ours.get(&index).filter(|_| !own) {
            content.addresses.insert(Address { link: link.clone(), ip, prefix });
        }
    }
    for (index, ip, mac) in reading(place, route::neighbours(socket))? {
        if let Some(link) = ours.get(&index) {
            content.neighbours.insert(Neighbour { link: link.clone(), ip, mac });
        }
    }
    for found in reading(place, route::routes(socket))? {
        let action = if found.blackhole {
            RouteAction::Blackhole
        } else {
            let Some(link) = found.index.and_then(|index| ours.get(&index)) else { continue };
            RouteAction::Link { link: link.clone(), via: found.via, source: found.source }
        };
        // The host's own blackholes are not ours, whatever they are marked with.
        if found.ours && (*place != Place::Host || !found.blackhole) {
            content.routes.insert(Route { table: found.table, destination: found.destination, action });
        }
    }
    if *place != Place::Host {
        content.rules.extend(reading(place, route::rules(socket))?);
    }
    Ok(content)
}
