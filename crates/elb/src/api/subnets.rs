//! Where a load balancer stands: its subnets, with a node in each, and its security groups.

use super::{load_balancer, refuse};
use crate::Elb;
use crate::rows::{LoadBalancer, LoadBalancerState, Node};
use crate::texts;
use gateway::Context;
use model::elbv2::{
    AvailabilityZone, SetIpAddressTypeInput, SetIpAddressTypeOutput, SetSecurityGroupsInput, SetSecurityGroupsOutput,
    SetSubnetsInput, SetSubnetsOutput, SubnetMapping,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use store::{Tx, View};
use types::id::{SecurityGroupId, VpcId};
use types::{ApiError, Scope, Timestamp};
use vpc::intent::NewInterface;
use vpc::rows::{InterfaceType, InternetGateway, NetworkInterface, Subnet};

/// How many addresses AWS wants free in each subnet.
const FREE: usize = 8;

/// The subnets that a request names, checked: known, of one VPC, at least two zones, each once.
pub(super) fn chosen(
    view: &View,
    scope: &Scope,
    subnets: Option<Vec<String>>,
    mappings: Option<Vec<SubnetMapping>>,
) -> Result<Vec<Arc<Subnet>>, ApiError> {
    let mappings = mappings.unwrap_or_default();
    let addressed = |mapping: &SubnetMapping| {
        mapping.allocation_id.is_some()
            || mapping.private_i_pv4_address.is_some()
            || mapping.i_pv6_address.is_some()
            || mapping.source_nat_ipv6_prefix.is_some()
    };
    if mappings.iter().any(addressed) {
        return Err(texts::invalid("Addresses cannot be chosen for application load balancers"));
    }
    let mapped: Vec<String> = mappings.into_iter().filter_map(|mapping| mapping.subnet_id).collect();
    let named = match subnets.filter(|subnets| !subnets.is_empty()) {
        Some(_) if !mapped.is_empty() => {
            return Err(texts::invalid("Only one of subnets and subnet mappings can be specified"));
        }
        Some(named) => named,
        None => mapped,
    };
    let mut found: Vec<Arc<Subnet>> = Vec::with_capacity(named.len());
    for id in named.iter().collect::<BTreeSet<_>>() {
        found.push(vpc::query::subnet(view, scope, id).ok_or_else(|| texts::subnet_not_found(id))?);
    }
    if found.windows(2).any(|pair| pair[0].vpc != pair[1].vpc) {
        return Err(texts::subnets_of_one_vpc());
    }
    let zones: BTreeSet<&String> = found.iter().map(|subnet| &subnet.zone).collect();
    if zones.len() < found.len() {
        return Err(texts::subnets_of_one_zone());
    }
    if zones.len() < 2 {
        return Err(texts::two_zones());
    }
    Ok(found)
}

/// The groups that a request names, which must be of the VPC; without any, the VPC's default group.
pub(super) fn groups(
    view: &View,
    scope: &Scope,
    vpc: &VpcId,
    named: Vec<String>,
) -> Result<Vec<SecurityGroupId>, ApiError> {
    if named.is_empty() {
        let vpc = vpc::query::vpc(view, scope, vpc.as_str()).ok_or_else(texts::invalid_security_group)?;
        return Ok(vec![vpc.default_security_group.clone()]);
    }
    if named.len() > vpc::intent::MAX_GROUPS {
        return Err(ApiError::new("InvalidConfigurationRequest", "You can specify at most 5 security groups"));
    }
    let mut groups = Vec::with_capacity(named.len());
    for id in named {
        let group = vpc::query::security_group(view, scope, &id).filter(|group| group.vpc == *vpc);
        let id = group.ok_or_else(texts::invalid_security_group)?.id.clone();
        if !groups.contains(&id) {
            groups.push(id);
        }
    }
    Ok(groups)
}

/// An internet-facing load balancer needs an internet gateway.
pub(super) fn check_gateway(view: &View, scope: &Scope, vpc: &VpcId) -> Result<(), ApiError> {
    match view.by_index(&InternetGateway::BY_VPC, scope, vpc.as_str()).next() {
        Some(_) => Ok(()),
        None => Err(texts::no_internet_gateway(vpc)),
    }
}

/// A node in the subnet: a network interface in a namespace of its own, called after it.
pub(super) fn create_node(
    elb: &Elb,
    tx: &mut Tx,
    scope: &Scope,
    row: &LoadBalancer,
    subnet: &Subnet,
    now: Timestamp,
) -> Result<Node, ApiError> {
    if vpc::query::free_addresses(tx, scope, subnet) < FREE {
        return Err(texts::few_addresses(&subnet.id));
    }
    let interface = vpc::intent::create_interface(
        tx,
        scope,
        &elb.pool,
        now,
        NewInterface {
            subnet: subnet.id.clone(),
            groups: row.security_groups.clone(),
            description: format!("ELB {}", row.path()),
            kind: InterfaceType::LoadBalancer,
            requester: Some("amazon-elb".to_owned()),
            attach: Some(("amazon-elb".to_owned(), None)),
            private_ip: None,
            public_ip: !row.internal,
            ipv6: vpc::intent::Ipv6Addresses::Count(0),
            tags: vpc::rows::Tags::new(),
        },
    )?;
    tx.update::<NetworkInterface>(scope, interface.id.as_str(), |interface| {
        let namespace = namespace(interface.id.as_str());
        if let Some(attachment) = &mut interface.attachment {
            attachment.namespace = Some(namespace);
        }
    });
    Ok(Node { subnet: subnet.id.clone(), zone: subnet.zone.clone(), interface: interface.id.clone() })
}

/// The network namespace of a node.
pub(crate) fn namespace(interface: &str) -> String {
    format!("lb-{interface}")
}

/// The nodes as they are shown.
pub(super) fn zones(nodes: &[Node]) -> Vec<AvailabilityZone> {
    let zone = |node: &Node| AvailabilityZone {
        zone_name: Some(node.zone.clone()),
        subnet_id: Some(node.subnet.to_string()),
        load_balancer_addresses: Some(vec![]),
        ..Default::default()
    };
    nodes.iter().map(zone).collect()
}

pub(super) fn set_subnets(elb: &Elb, cx: &mut Context, input: SetSubnetsInput) -> Result<SetSubnetsOutput, ApiError> {
    refuse(input.ip_address_type.as_deref().is_some_and(|kind| kind != "ipv4"), "load balancers with IPv6 addresses")?;
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let before = load_balancer(tx, &scope, &input.load_balancer_arn)?;
    let subnets = chosen(tx, &scope, input.subnets, input.subnet_mappings)?;
    if subnets.iter().any(|subnet| subnet.vpc != before.vpc) {
        return Err(texts::subnets_of_one_vpc());
    }
    let mut nodes = Vec::with_capacity(subnets.len());
    for subnet in &subnets {
        let kept = before.nodes.iter().find(|node| node.subnet == subnet.id).cloned();
        nodes.push(match kept {
            Some(node) => node,
            None => create_node(elb, tx, &scope, &before, subnet, now)?,
        });
    }
    for node in before.nodes.iter().filter(|node| !nodes.contains(node)) {
        vpc::intent::delete_interface(tx, &scope, &node.interface);
    }
    let shown = zones(&nodes);
    tx.update::<LoadBalancer>(&scope, &before.arn, |row| {
        if row.nodes != nodes {
            row.nodes = nodes;
            row.state = LoadBalancerState::Provisioning;
        }
    });
    Ok(SetSubnetsOutput {
        availability_zones: Some(shown),
        ip_address_type: Some("ipv4".to_owned()),
        ..Default::default()
    })
}

pub(super) fn set_security_groups(
    _: &Elb,
    cx: &mut Context,
    input: SetSecurityGroupsInput,
) -> Result<SetSecurityGroupsOutput, ApiError> {
    refuse(
        input.enforce_security_group_inbound_rules_on_private_link_traffic.is_some(),
        "rules for traffic of PrivateLink",
    )?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let before = load_balancer(tx, &scope, &input.load_balancer_arn)?;
    let groups = groups(tx, &scope, &before.vpc, input.security_groups)?;
    for node in &before.nodes {
        tx.update::<NetworkInterface>(&scope, node.interface.as_str(), |interface| {
            interface.groups.clone_from(&groups);
        });
    }
    let shown = groups.iter().map(ToString::to_string).collect();
    tx.update::<LoadBalancer>(&scope, &before.arn, |row| row.security_groups = groups);
    Ok(SetSecurityGroupsOutput { security_group_ids: Some(shown), ..Default::default() })
}

pub(super) fn set_ip_address_type(
    _: &Elb,
    cx: &mut Context,
    input: SetIpAddressTypeInput,
) -> Result<SetIpAddressTypeOutput, ApiError> {
    let scope = cx.scope.clone();
    load_balancer(cx.view(), &scope, &input.load_balancer_arn)?;
    refuse(input.ip_address_type != "ipv4", "load balancers with IPv6 addresses")?;
    Ok(SetIpAddressTypeOutput { ip_address_type: Some(input.ip_address_type) })
}
