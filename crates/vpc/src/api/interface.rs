//! Network interfaces.

use super::describe::{self, Kind, Selection, maybe, one};
use super::{Ec2, begin, refuse, subnet, tags};
use crate::intent::{self, NewInterface};
use crate::query;
use crate::rows::{Address, InterfaceType, NetworkInterface, SecurityGroup, Subnet, Vpc};
use crate::texts;
use gateway::Context;
use model::ec2;
use std::net::Ipv4Addr;
use store::View;
use types::id::SecurityGroupId;
use types::{ApiError, Region, Scope};
use wire::Unit;

pub(crate) fn create(
    service: &Ec2,
    cx: &mut Context,
    input: ec2::CreateNetworkInterfaceRequest,
) -> Result<ec2::CreateNetworkInterfaceResult, ApiError> {
    refuse(input.ipv6_addresses.is_some() || input.ipv6_address_count.is_some(), "IPv6 addresses of interfaces")?;
    refuse(
        input.ipv4_prefixes.is_some()
            || input.ipv4_prefix_count.is_some()
            || input.ipv6_prefixes.is_some()
            || input.ipv6_prefix_count.is_some(),
        "prefixes of interfaces",
    )?;
    refuse(input.interface_type.as_deref().is_some_and(|kind| kind != "interface"), "interfaces of other types")?;
    refuse(input.connection_tracking_specification.is_some(), "connection tracking timeouts")?;
    refuse(input.secondary_private_ip_address_count.is_some_and(|count| count > 0), "secondary private addresses")?;
    let listed = input.private_ip_addresses.unwrap_or_default();
    refuse(listed.len() > 1, "secondary private addresses")?;
    let wanted = input.private_ip_address.or_else(|| listed.into_iter().next().and_then(|one| one.private_ip_address));
    let private_ip: Option<Ipv4Addr> = match wanted {
        Some(text) => {
            Some(text.parse().map_err(|_| texts::invalid_value(&text, "privateIpAddress", "Not an IPv4 address."))?)
        }
        None => None,
    };
    let tags = tags::at_creation(input.tag_specifications, "network-interface")?;
    begin(cx, input.dry_run)?;
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let subnet = tx.get::<Subnet>(&scope, &input.subnet_id).ok_or_else(|| texts::subnet_not_found(&input.subnet_id))?;
    let groups: Option<Vec<SecurityGroupId>> =
        input.groups.unwrap_or_default().iter().map(|id| SecurityGroupId::parse(id)).collect();
    let groups =
        groups.ok_or_else(|| ApiError::new("InvalidGroupId.Malformed", "Invalid id (expecting \"sg-...\")"))?;
    let interface = intent::create_interface(
        tx,
        &scope,
        &service.pool,
        now,
        NewInterface {
            subnet: subnet.id.clone(),
            groups,
            description: input.description.unwrap_or_default(),
            kind: InterfaceType::Interface,
            requester: None,
            attach: None,
            private_ip,
            public_ip: false,
            tags,
        },
    )?;
    let mut shown = show(tx, &scope, &interface);
    shown.status = Some("pending".to_owned());
    Ok(ec2::CreateNetworkInterfaceResult { network_interface: Some(shown), client_token: input.client_token })
}

/// `ip-10-0-1-4.ec2.internal`.
fn private_name(region: &Region, ip: Ipv4Addr) -> String {
    let dashed = ip.to_string().replace('.', "-");
    if region.as_str() == Region::DEFAULT {
        format!("ip-{dashed}.ec2.internal")
    } else {
        format!("ip-{dashed}.{region}.compute.internal")
    }
}

/// `ec2-198-18-0-16.compute-1.amazonaws.com`, where the VPC gives public names.
fn public_name(view: &View, scope: &Scope, interface: &NetworkInterface, ip: Ipv4Addr) -> Option<String> {
    let vpc = view.get::<Vpc>(scope, interface.vpc.as_str())?;
    let dashed = ip.to_string().replace('.', "-");
    let domain = if scope.region.as_str() == Region::DEFAULT {
        "compute-1".to_owned()
    } else {
        format!("{}.compute", scope.region)
    };
    vpc.dns_hostnames.then(|| format!("ec2-{dashed}.{domain}.amazonaws.com"))
}

fn association(
    view: &View,
    scope: &Scope,
    interface: &NetworkInterface,
    private: Ipv4Addr,
) -> Option<ec2::NetworkInterfaceAssociation> {
    let elastic = view
        .by_index(&Address::BY_INTERFACE, scope, interface.id.as_str())
        .find(|address| address.association.as_ref().is_some_and(|(_, _, ip)| *ip == private));
    let (public, owner) = match elastic {
        Some(address) => (address.public_ip, scope.account.to_string()),
        None if interface.private_ip() == Some(private) => {
            (interface.auto_public_ip?, interface.requester.clone().unwrap_or_else(|| "amazon".to_owned()))
        }
        None => return None,
    };
    Some(ec2::NetworkInterfaceAssociation {
        public_ip: Some(public.to_string()),
        public_dns_name: public_name(view, scope, interface, public),
        ip_owner_id: Some(owner),
        allocation_id: elastic.map(|address| address.id.to_string()),
        association_id: elastic.and_then(|address| address.association.as_ref()).map(|(id, ..)| id.to_string()),
        ..Default::default()
    })
}

fn show(view: &View, scope: &Scope, interface: &NetworkInterface) -> ec2::NetworkInterface {
    let primary = interface.private_ip();
    let names = view.get::<Vpc>(scope, interface.vpc.as_str()).is_some_and(|vpc| vpc.dns_hostnames);
    let name = |ip: Ipv4Addr| names.then(|| private_name(&scope.region, ip));
    let private_ips = interface.private_ips.iter().map(|ip| ec2::NetworkInterfacePrivateIpAddress {
        association: association(view, scope, interface, *ip),
        primary: Some(Some(*ip) == primary),
        private_dns_name: name(*ip),
        private_ip_address: Some(ip.to_string()),
    });
    let groups = interface.groups.iter().map(|id| ec2::GroupIdentifier {
        group_id: Some(id.to_string()),
        group_name: view.get::<SecurityGroup>(scope, id.as_str()).map(|group| group.name.clone()),
    });
    ec2::NetworkInterface {
        network_interface_id: Some(interface.id.to_string()),
        subnet_id: Some(interface.subnet.to_string()),
        vpc_id: Some(interface.vpc.to_string()),
        availability_zone: Some(interface.zone.clone()),
        availability_zone_id: Some(subnet::zone_id(&interface.zone)),
        description: Some(interface.description.clone()),
        owner_id: Some(scope.account.to_string()),
        requester_id: interface.requester.clone(),
        requester_managed: Some(interface.requester.is_some()),
        interface_type: Some(interface.kind.as_str().to_owned()),
        status: Some(interface.status().to_owned()),
        mac_address: Some(interface.mac_text()),
        private_ip_address: primary.map(|ip| ip.to_string()),
        private_dns_name: primary.and_then(name),
        private_ip_addresses: Some(private_ips.collect()),
        ipv6_addresses: Some(Vec::new()),
        association: primary.and_then(|ip| association(view, scope, interface, ip)),
        attachment: interface.attachment.as_ref().map(|attachment| ec2::NetworkInterfaceAttachment {
            attachment_id: Some(attachment.id.to_string()),
            attach_time: Some(attachment.at),
            delete_on_termination: Some(false),
            device_index: Some(1),
            network_card_index: Some(0),
            instance_owner_id: Some(attachment.owner.clone()),
            status: Some("attached".to_owned()),
            ..Default::default()
        }),
        groups: Some(groups.collect()),
        source_dest_check: Some(interface.source_dest_check),
        tag_set: tags::shown(&interface.tags),
        ..Default::default()
    }
}

const KIND: Kind<NetworkInterface> =
    Kind { not_found: texts::interface_not_found, tags: |interface| &interface.tags, filter };

fn filter(view: &View, scope: &Scope, interface: &NetworkInterface, name: &str) -> Option<Vec<String>> {
    let attachment = interface.attachment.as_ref();
    let elastic = || view.by_index(&Address::BY_INTERFACE, scope, interface.id.as_str());
    let ips = || interface.private_ips.iter().map(ToString::to_string).collect();
    Some(match name {
        "addresses.association.public-ip" | "association.public-ip" => maybe(query::public_ip(view, scope, interface)),
        "addresses.private-ip-address" => ips(),
        "addresses.primary" => {
            interface.private_ips.iter().map(|ip| (Some(*ip) == interface.private_ip()).to_string()).collect()
        }
        "association.allocation-id" => elastic().map(|address| address.id.to_string()).collect(),
        "association.association-id" => {
            elastic().filter_map(|address| Some(address.association.as_ref()?.0.to_string())).collect()
        }
        "attachment.attachment-id" => maybe(attachment.map(|attachment| &attachment.id)),
        "attachment.instance-id" => Vec::new(),
        "attachment.instance-owner-id" => maybe(attachment.map(|attachment| &attachment.owner)),
        "attachment.status" => maybe(attachment.map(|_| "attached")),
        "availability-zone" => one(&interface.zone),
        "description" => one(&interface.description),
        "group-id" => interface.groups.iter().map(ToString::to_string).collect(),
        "group-name" => interface
            .groups
            .iter()
            .filter_map(|id| view.get::<SecurityGroup>(scope, id.as_str()))
            .map(|group| group.name.clone())
            .collect(),
        "interface-type" => one(interface.kind.as_str()),
        "mac-address" => one(interface.mac_text()),
        "network-interface-id" => one(&interface.id),
        "owner-id" => one(&scope.account),
        "private-ip-address" => maybe(interface.private_ip()),
        "requester-id" => maybe(interface.requester.as_ref()),
        "requester-managed" => one(interface.requester.is_some()),
        "source-dest-check" => one(interface.source_dest_check),
        "status" => one(interface.status()),
        "subnet-id" => one(&interface.subnet),
        "vpc-id" => one(&interface.vpc),
        _ => return None,
    })
}

pub(crate) fn describe(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DescribeNetworkInterfacesRequest,
) -> Result<ec2::DescribeNetworkInterfacesResult, ApiError> {
    begin(cx, input.dry_run)?;
    let (max_results, next_token) = (input.max_results, input.next_token);
    let selection = Selection { ids: input.network_interface_ids, filters: input.filters, max_results, next_token };
    let (rows, next_token) = describe::rows(cx, &KIND, selection)?;
    let scope = cx.scope.clone();
    let view = cx.view();
    let shown = rows.iter().map(|row| show(view, &scope, row)).collect();
    Ok(ec2::DescribeNetworkInterfacesResult { network_interfaces: Some(shown), next_token })
}

pub(crate) fn delete(_: &Ec2, cx: &mut Context, input: ec2::DeleteNetworkInterfaceRequest) -> Result<Unit, ApiError> {
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let id = &input.network_interface_id;
    let interface = tx.get::<NetworkInterface>(&scope, id).ok_or_else(|| texts::interface_not_found(id))?;
    if interface.requester.is_some() {
        return Err(ApiError::new(
            "OperationNotPermitted",
            format!("You are not allowed to manage '{}' attachments.", interface.kind.as_str()),
        ));
    }
    if interface.attachment.is_some() {
        return Err(ApiError::new(
            "InvalidNetworkInterface.InUse",
            format!("Network interface '{id}' is currently in use."),
        ));
    }
    intent::delete_interface(tx, &scope, &interface.id);
    Ok(Unit)
}
