//! What people call the things that a way passes: names of groups, `Name` tags, and whose an interface is.

use ecs::rows::{TASKS_BY_ENI, TaskRow};
use elb::rows::LoadBalancer;
use netplan::walk::{Fix, GroupDecision, Station, Walk};
use netplan::{Peer, RouteTarget};
use std::collections::{BTreeMap, BTreeSet};
use store::{Row, View};
use types::Scope;
use vpc::rows::{
    EgressOnlyInternetGateway, InterfaceType, InternetGateway, NatGateway, NetworkAcl, NetworkInterface, RouteTable,
    SecurityGroup, Subnet, Tags, Vpc, VpcEndpoint, VpcPeeringConnection,
};

/// Whose an interface is: `task 0123abcd of service web`.
pub(crate) fn owner(view: &View, scope: &Scope, interface: &NetworkInterface) -> String {
    if let Some(task) = view.by_index(&TASKS_BY_ENI, scope, interface.id.as_str()).next() {
        return task_title(task);
    }
    let is_node = |row: &&std::sync::Arc<LoadBalancer>| row.nodes.iter().any(|node| node.interface == interface.id);
    match interface.kind {
        InterfaceType::LoadBalancer => match view.scan::<LoadBalancer>(scope).find(is_node) {
            Some(balancer) => format!("load balancer {} in {}", balancer.name, interface.zone),
            None => "load balancer".to_owned(),
        },
        InterfaceType::VpcEndpoint => {
            let endpoints = view.by_index(&VpcEndpoint::BY_VPC, scope, interface.vpc.as_str());
            let mut endpoints = endpoints.filter(|row| row.interfaces.iter().any(|(_, eni)| *eni == interface.id));
            endpoints.next().map_or_else(|| "endpoint".to_owned(), |row| format!("endpoint of {}", row.service))
        }
        InterfaceType::NatGateway => "NAT gateway".to_owned(),
        InterfaceType::Interface => plain(interface.tags.get("Name").unwrap_or(&interface.description)),
    }
}

/// `task 0123abcd of service web`.
pub(crate) fn task_title(task: &TaskRow) -> String {
    let short = task.id.get(..8).unwrap_or(&task.id);
    match &task.service {
        Some(service) => format!("task {short} of service {service}"),
        None => format!("task {short} of {}", task.family),
    }
}

/// The names of all that the walks pass and the changes speak of, by id. What has no name is not in it.
pub(crate) fn of<'w>(
    view: &View,
    walks: impl Iterator<Item = &'w Walk>,
    fixes: impl Iterator<Item = &'w Fix>,
) -> BTreeMap<String, String> {
    let mut ids = Vec::new();
    for walk in walks {
        walk.request.iter().chain(&walk.reply).for_each(|hop| station(&hop.station, &mut ids));
    }
    fixes.for_each(|change| fix(change, &mut ids));
    let ids: BTreeSet<String> = ids.into_iter().collect();
    ids.into_iter().filter_map(|id| name(view, &id).map(|name| (id, name))).collect()
}

fn station(station: &Station, ids: &mut Vec<String>) {
    let mut put = |id: &dyn ToString| ids.push(id.to_string());
    match station {
        Station::Interface { interface, subnet } => {
            put(interface);
            subnet.iter().for_each(|subnet| put(subnet));
        }
        Station::SecurityGroups { interface, groups, decision, .. } => {
            put(interface);
            groups.iter().for_each(|group| put(group));
            if let GroupDecision::Rule { rule, .. } = decision {
                peer(&rule.peer, ids);
            }
        }
        Station::NetworkAcl { subnet, acl, .. } => {
            put(subnet);
            put(acl);
        }
        Station::RouteTable { subnet, table, .. } => {
            put(subnet);
            put(table);
        }
        Station::InternetGateway { gateway, vpc, .. } => {
            put(gateway);
            put(vpc);
        }
        Station::EgressOnlyInternetGateway { gateway, vpc } => {
            put(gateway);
            put(vpc);
        }
        Station::NatGateway { nat_gateway, .. } => put(nat_gateway),
        Station::Peering { connection, vpc } => {
            put(connection);
            put(vpc);
        }
        Station::GatewayEndpoint { endpoint } => put(endpoint),
        Station::LocalService { vpc } => put(vpc),
        Station::Outside => {}
    }
}

fn peer(peer: &Peer, ids: &mut Vec<String>) {
    if let Peer::Group(id) = peer {
        ids.push(id.to_string());
    }
}

fn fix(fix: &Fix, ids: &mut Vec<String>) {
    match fix {
        Fix::AllowInGroup { group, rule, .. } => {
            ids.push(group.to_string());
            peer(&rule.peer, ids);
        }
        Fix::AllowInAcl { acl, .. } | Fix::DeleteAclEntry { acl, .. } => ids.push(acl.to_string()),
        Fix::AddRoute { table, route } | Fix::ReplaceRoute { table, route } => {
            ids.push(table.to_string());
            match &route.target {
                RouteTarget::InternetGateway(id) => ids.push(id.to_string()),
                RouteTarget::EgressOnlyInternetGateway(id) => ids.push(id.to_string()),
                RouteTarget::NatGateway(id) => ids.push(id.to_string()),
                RouteTarget::Peering(id) => ids.push(id.to_string()),
                _ => {}
            }
        }
        Fix::DeleteRoute { table, .. } => ids.push(table.to_string()),
        Fix::AssociateRouteTable { subnet, table } => ids.extend([subnet.to_string(), table.to_string()]),
        Fix::AttachInternetGateway { vpc } => ids.push(vpc.to_string()),
        Fix::GivePublicAddress { interface, .. } => ids.push(interface.to_string()),
    }
}

fn name(view: &View, id: &str) -> Option<String> {
    let name = match id.split_once('-')?.0 {
        "eni" => {
            let (scope, row) = find::<NetworkInterface>(view, id)?;
            Some(owner(view, scope, row))
        }
        "sg" => find::<SecurityGroup>(view, id).map(|(_, row)| row.name.clone()),
        "acl" => match find::<NetworkAcl>(view, id)?.1 {
            acl if acl.is_default && !acl.tags.contains_key("Name") => Some("default".to_owned()),
            acl => acl.tags.get("Name").cloned(),
        },
        "subnet" => tag::<Subnet>(view, id, |row| &row.tags),
        "vpc" => tag::<Vpc>(view, id, |row| &row.tags),
        "rtb" => tag::<RouteTable>(view, id, |row| &row.tags),
        "igw" => tag::<InternetGateway>(view, id, |row| &row.tags),
        "eigw" => tag::<EgressOnlyInternetGateway>(view, id, |row| &row.tags),
        "nat" => tag::<NatGateway>(view, id, |row| &row.tags),
        "vpce" => find::<VpcEndpoint>(view, id).map(|(_, row)| row.service.clone()),
        "pcx" => find::<VpcPeeringConnection>(view, id).and_then(|(_, row)| row.requester.tags.get("Name").cloned()),
        _ => None,
    };
    name.map(|name| plain(&name)).filter(|name| !name.is_empty())
}

/// A name as a terminal can show it: it may be anybody's, and have anything in it.
fn plain(name: &str) -> String {
    name.replace(char::is_control, "?")
}

/// The row of that id, whoever's it is: ids are unique.
pub(crate) fn find<'v, R: Row>(view: &'v View, id: &str) -> Option<(&'v Scope, &'v std::sync::Arc<R>)> {
    view.scan_all::<R>().find(|(_, row)| row.id() == id)
}

fn tag<R: Row>(view: &View, id: &str, tags: fn(&R) -> &Tags) -> Option<String> {
    tags(find::<R>(view, id)?.1).get("Name").cloned()
}
