//! Network interfaces.

use super::describe::{self, Kind, Selection, Values, maybe, one};
use super::{Ec2, begin, interface_ipv6, refuse, subnet, tags};
use crate::intent::{self, NewInterface, Secondary};
use crate::names;
use crate::query;
use crate::rows::{Address, InterfaceType, NetworkInterface, SecurityGroup, Subnet, Vpc};
use crate::texts;
use gateway::Context;
use model::ec2;
use std::net::Ipv4Addr;
use std::sync::Arc;
use store::View;
use types::id::SecurityGroupId;
use types::{ApiError, Scope};
use wire::Unit;

pub(crate) fn create(
    service: &Ec2,
    cx: &mut Context,
    input: ec2::CreateNetworkInterfaceRequest,
) -> Result<ec2::CreateNetworkInterfaceResult, ApiError> {
    refuse(input.enable_primary_ipv6 == Some(true), "primary IPv6 addresses")?;
    refuse(
        input.ipv4_prefixes.is_some()
            || input.ipv4_prefix_count.is_some()
            || input.ipv6_prefixes.is_some()
            || input.ipv6_prefix_count.is_some(),
        "prefixes of interfaces",
    )?;
    refuse(input.interface_type.as_deref().is_some_and(|kind| kind != "interface"), "interfaces of other types")?;
    refuse(input.connection_tracking_specification.is_some(), "connection tracking timeouts")?;
    let (private_ip, secondary) = private_ips(
        input.private_ip_address.as_deref(),
        input.private_ip_addresses.unwrap_or_default(),
        input.secondary_private_ip_address_count,
    )?;
    let listed = input.ipv6_addresses.unwrap_or_default();
    let ipv6 = interface_ipv6::wanted(
        listed.into_iter().filter_map(|one| one.ipv6_address).collect(),
        input.ipv6_address_count,
    )?;
    let tags = tags::at_creation(input.tag_specifications, "network-interface")?;
    begin(cx, input.dry_run)?;
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let subnet = tx.get::<Subnet>(&scope, &input.subnet_id).ok_or_else(|| texts::subnet_not_found(&input.subnet_id))?;
    let groups = group_ids(input.groups.unwrap_or_default())?;
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
            ipv6,
            tags,
        },
    )?;
    intent::assign_private_ips(tx, &scope, &interface.id, secondary, false)?;
    let interface = row(tx, &scope, interface.id.as_str())?;
    let mut shown = show(tx, &scope, &interface);
    shown.status = Some("pending".to_owned());
    Ok(ec2::CreateNetworkInterfaceResult { network_interface: Some(shown), client_token: input.client_token })
}

fn group_ids(given: Vec<String>) -> Result<Vec<SecurityGroupId>, ApiError> {
    given.iter().map(|id| SecurityGroupId::parse(id).ok_or_else(|| texts::no_group(id))).collect()
}

fn address(text: &str) -> Result<Ipv4Addr, ApiError> {
    text.parse().map_err(|_| texts::invalid_value(text, "privateIpAddress", "Not an IPv4 address."))
}

/// The primary address that a new interface is to have, and its secondary ones.
pub(crate) fn private_ips(
    primary: Option<&str>,
    listed: Vec<ec2::PrivateIpAddressSpecification>,
    count: Option<i32>,
) -> Result<(Option<Ipv4Addr>, Secondary), ApiError> {
    let mut primary = primary.map(address).transpose()?;
    if let Some(count) = count.filter(|count| *count != 0) {
        if !listed.is_empty() {
            return Err(texts::invalid_combination(
                "The parameters secondaryPrivateIpAddressCount and privateIpAddresses cannot be used together.",
            ));
        }
        let count = usize::try_from(count)
            .map_err(|_| texts::invalid_value(count, "secondaryPrivateIpAddressCount", "Must be a positive number."))?;
        return Ok((primary, Secondary::Count(count)));
    }
    if listed.iter().filter(|one| one.primary == Some(true)).count() + usize::from(primary.is_some()) > 1 {
        return Err(texts::invalid_combination("Only one primary private IP address can be specified."));
    }
    let mut secondary = Vec::new();
    for one in listed {
        let ip = address(one.private_ip_address.as_deref().ok_or_else(|| texts::missing("privateIpAddress"))?)?;
        if one.primary == Some(true) { primary = Some(ip) } else { secondary.push(ip) }
    }
    Ok((primary, Secondary::Chosen(secondary)))
}

fn row(view: &View, scope: &Scope, id: &str) -> Result<Arc<NetworkInterface>, ApiError> {
    view.get(scope, id).ok_or_else(|| texts::interface_not_found(id))
}

/// The interface, which must be its user's to change. A task's interface is, too: its groups can be changed while it runs.
pub(crate) fn own(view: &View, scope: &Scope, id: &str) -> Result<Arc<NetworkInterface>, ApiError> {
    let interface = row(view, scope, id)?;
    match interface.requester.as_deref() {
        None | Some("amazon-ecs") => Ok(interface),
        Some(_) => Err(texts::auth_failure()),
    }
}

/// `ec2-198-18-0-16.compute-1.amazonaws.com`, where the VPC gives public names.
fn public_name(view: &View, scope: &Scope, interface: &NetworkInterface, ip: Ipv4Addr) -> Option<String> {
    let vpc = view.get::<Vpc>(scope, interface.vpc.as_str())?;
    vpc.dns_hostnames.then(|| names::public_name(&scope.region, ip))
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

fn primary_association(
    view: &View,
    scope: &Scope,
    interface: &NetworkInterface,
) -> Option<ec2::NetworkInterfaceAssociation> {
    association(view, scope, interface, interface.private_ip()?)
}

pub(super) fn shown_groups(
    view: &View,
    scope: &Scope,
    interface: &NetworkInterface,
) -> Option<Vec<ec2::GroupIdentifier>> {
    let groups = interface.groups.iter().map(|id| ec2::GroupIdentifier {
        group_id: Some(id.to_string()),
        group_name: view.get::<SecurityGroup>(scope, id.as_str()).map(|group| group.name.clone()),
    });
    Some(groups.collect())
}

fn shown_attachment(interface: &NetworkInterface) -> Option<ec2::NetworkInterfaceAttachment> {
    interface.attachment.as_ref().map(|attachment| ec2::NetworkInterfaceAttachment {
        attachment_id: Some(attachment.id.to_string()),
        attach_time: Some(attachment.at),
        delete_on_termination: Some(attachment.delete_on_termination),
        device_index: Some(attachment.instance.as_ref().map_or(1, |_| attachment.device_index.into())),
        instance_id: attachment.instance.as_ref().map(ToString::to_string),
        network_card_index: Some(0),
        instance_owner_id: Some(attachment.owner.clone()),
        status: Some("attached".to_owned()),
        ..Default::default()
    })
}

pub(super) fn show(view: &View, scope: &Scope, interface: &NetworkInterface) -> ec2::NetworkInterface {
    let primary = interface.private_ip();
    let names = view.get::<Vpc>(scope, interface.vpc.as_str()).is_some_and(|vpc| vpc.dns_hostnames);
    let name = |ip: Ipv4Addr| names.then(|| names::private_name(&scope.region, ip));
    let private_ips = interface.private_ips.iter().map(|ip| ec2::NetworkInterfacePrivateIpAddress {
        association: association(view, scope, interface, *ip),
        primary: Some(Some(*ip) == primary),
        private_dns_name: name(*ip),
        private_ip_address: Some(ip.to_string()),
    });
    let ipv6 = interface.ipv6.iter().map(|ip| ec2::NetworkInterfaceIpv6Address {
        ipv6_address: Some(ip.to_string()),
        is_primary_ipv6: Some(false),
        ..Default::default()
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
        ipv6_addresses: Some(ipv6.collect()),
        ipv6_address: interface.ipv6.first().map(ToString::to_string),
        association: primary_association(view, scope, interface),
        attachment: shown_attachment(interface),
        groups: shown_groups(view, scope, interface),
        source_dest_check: Some(interface.source_dest_check),
        tag_set: tags::shown(&interface.tags),
        ..Default::default()
    }
}

const KIND: Kind<NetworkInterface> =
    Kind { not_found: texts::interface_not_found, tags: |_, interface| &interface.tags, filter };

/// The names of an interface's groups.
pub(super) fn group_names(view: &View, scope: &Scope, interface: &NetworkInterface) -> Vec<String> {
    let groups = interface.groups.iter().filter_map(|id| view.get::<SecurityGroup>(scope, id.as_str()));
    groups.map(|group| group.name.clone()).collect()
}

fn elastic<'v>(
    view: &'v View,
    scope: &Scope,
    interface: &NetworkInterface,
) -> impl Iterator<Item = &'v Arc<Address>> + use<'v> {
    view.by_index(&Address::BY_INTERFACE, scope, interface.id.as_str())
}

pub(super) fn filter(name: &str) -> Option<Values<NetworkInterface>> {
    Some(match name {
        "addresses.association.public-ip" | "association.public-ip" => {
            Box::new(|view, scope, interface| maybe(query::public_ip(view, scope, interface)))
        }
        "addresses.private-ip-address" => {
            Box::new(|_, _, interface| interface.private_ips.iter().map(ToString::to_string).collect())
        }
        "addresses.primary" => Box::new(|_, _, interface| {
            interface.private_ips.iter().map(|ip| (Some(*ip) == interface.private_ip()).to_string()).collect()
        }),
        "association.allocation-id" => Box::new(|view, scope, interface| {
            elastic(view, scope, interface).map(|address| address.id.to_string()).collect()
        }),
        "association.association-id" => Box::new(|view, scope, interface| {
            elastic(view, scope, interface)
                .filter_map(|address| Some(address.association.as_ref()?.0.to_string()))
                .collect()
        }),
        "attachment.delete-on-termination" => Box::new(|_, _, interface| {
            maybe(interface.attachment.as_ref().map(|attachment| attachment.delete_on_termination))
        }),
        "attachment.attachment-id" => {
            Box::new(|_, _, interface| maybe(interface.attachment.as_ref().map(|attachment| &attachment.id)))
        }
        "attachment.instance-id" => Box::new(|_, _, interface| {
            maybe(interface.attachment.as_ref().and_then(|attachment| attachment.instance.as_ref()))
        }),
        "attachment.device-index" => {
            Box::new(|_, _, interface| maybe(interface.attachment.as_ref().map(|attachment| attachment.device_index)))
        }
        "attachment.instance-owner-id" => {
            Box::new(|_, _, interface| maybe(interface.attachment.as_ref().map(|attachment| &attachment.owner)))
        }
        "attachment.attach-time" => {
            Box::new(|_, _, interface| maybe(interface.attachment.as_ref().map(|attachment| attachment.at.iso8601())))
        }
        "addresses.association.owner-id" => Box::new(|view, scope, interface| {
            let each = interface.private_ips.iter().filter_map(|ip| association(view, scope, interface, *ip));
            each.filter_map(|association| association.ip_owner_id).collect()
        }),
        "association.ip-owner-id" => Box::new(|view, scope, interface| {
            maybe(primary_association(view, scope, interface).and_then(|it| it.ip_owner_id))
        }),
        "association.public-dns-name" => Box::new(|view, scope, interface| {
            maybe(primary_association(view, scope, interface).and_then(|it| it.public_dns_name))
        }),
        "private-dns-name" => Box::new(|view, scope, interface| maybe(show(view, scope, interface).private_dns_name)),
        "attachment.status" => Box::new(|_, _, interface| maybe(interface.attachment.as_ref().map(|_| "attached"))),
        "availability-zone" => Box::new(|_, _, interface| one(&interface.zone)),
        "availability-zone-id" => Box::new(|_, _, interface| one(super::zone_id(&interface.zone))),
        "description" => Box::new(|_, _, interface| one(&interface.description)),
        "group-id" => Box::new(|_, _, interface| interface.groups.iter().map(ToString::to_string).collect()),
        "group-name" => Box::new(group_names),
        "interface-type" => Box::new(|_, _, interface| one(interface.kind.as_str())),
        "ipv6-addresses.ipv6-address" => {
            Box::new(|_, _, interface| interface.ipv6.iter().map(ToString::to_string).collect())
        }
        "mac-address" => Box::new(|_, _, interface| one(interface.mac_text())),
        "network-interface-id" => Box::new(|_, _, interface| one(&interface.id)),
        "owner-id" => Box::new(|_, scope, _| one(&scope.account)),
        "private-ip-address" => Box::new(|_, _, interface| maybe(interface.private_ip())),
        "requester-id" => Box::new(|_, _, interface| maybe(interface.requester.as_ref())),
        "requester-managed" => Box::new(|_, _, interface| one(interface.requester.is_some())),
        "source-dest-check" => Box::new(|_, _, interface| one(interface.source_dest_check)),
        "status" => Box::new(|_, _, interface| one(interface.status())),
        "subnet-id" => Box::new(|_, _, interface| one(&interface.subnet)),
        "vpc-id" => Box::new(|_, _, interface| one(&interface.vpc)),
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
        return Err(texts::interface_to_delete_in_use(id));
    }
    intent::delete_interface(tx, &scope, &interface.id);
    Ok(Unit)
}

pub(crate) fn describe_attribute(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DescribeNetworkInterfaceAttributeRequest,
) -> Result<ec2::DescribeNetworkInterfaceAttributeResult, ApiError> {
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let view = cx.view();
    let interface = row(view, &scope, &input.network_interface_id)?;
    let mut result = ec2::DescribeNetworkInterfaceAttributeResult {
        network_interface_id: Some(input.network_interface_id),
        ..Default::default()
    };
    match input.attribute.as_deref() {
        Some("description") => {
            result.description = Some(ec2::AttributeValue { value: Some(interface.description.clone()) });
        }
        Some("groupSet") => result.groups = shown_groups(view, &scope, &interface),
        Some("sourceDestCheck") => {
            result.source_dest_check = Some(ec2::AttributeBooleanValue { value: Some(interface.source_dest_check) });
        }
        Some("attachment") => result.attachment = shown_attachment(&interface),
        Some("associatePublicIpAddress") => {
            result.associate_public_ip_address = Some(interface.auto_public_ip.is_some());
        }
        Some(other) => return Err(texts::invalid_value(other, "attribute", "Unknown network interface attribute.")),
        None => return Err(texts::no_attributes()),
    }
    Ok(result)
}

pub(crate) fn modify_attribute(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::ModifyNetworkInterfaceAttributeRequest,
) -> Result<Unit, ApiError> {
    refuse(input.ena_srd_specification.is_some(), "ENA Express")?;
    refuse(input.enable_primary_ipv6.is_some(), "primary IPv6 addresses")?;
    refuse(input.connection_tracking_specification.is_some(), "connection tracking timeouts")?;
    refuse(input.associate_public_ip_address.is_some(), "public addresses of standing interfaces")?;
    refuse(input.associated_subnet_ids.is_some(), "further subnets of interfaces")?;
    let given = [
        input.attachment.is_some(),
        input.description.is_some(),
        input.groups.is_some(),
        input.source_dest_check.is_some(),
    ];
    match given.iter().filter(|given| **given).count() {
        0 => return Err(texts::no_attributes()),
        1 => {}
        _ => return Err(texts::invalid_combination("Fields for multiple attribute types specified")),
    }
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let id = input.network_interface_id.as_str();
    let interface = own(tx, &scope, id)?;
    let mut changed = (*interface).clone();
    if let Some(asked) = input.groups {
        let asked = group_ids(asked)?;
        let subnet = tx
            .get::<Subnet>(&scope, interface.subnet.as_str())
            .ok_or_else(|| texts::subnet_not_found(interface.subnet.as_str()))?;
        if asked.is_empty() {
            return Err(texts::missing("SecurityGroupId"));
        }
        changed.groups = intent::groups(tx, &scope, &subnet, asked)?;
    }
    if let Some(description) = input.description {
        changed.description = description.value.unwrap_or_default();
    }
    if let Some(check) = input.source_dest_check.and_then(|check| check.value) {
        changed.source_dest_check = check;
    }
    if let Some(change) = input.attachment {
        refuse(change.ena_queue_count.is_some() || change.default_ena_queue_count.is_some(), "ENA queues")?;
        let asked = change.attachment_id.ok_or_else(|| texts::missing("attachmentId"))?;
        let attachment = changed.attachment.as_mut().filter(|attachment| attachment.id.as_str() == asked);
        let attachment = attachment.ok_or_else(|| texts::attachment_not_found(&asked))?;
        attachment.delete_on_termination = change.delete_on_termination.unwrap_or(attachment.delete_on_termination);
    }
    tx.put(&scope, changed);
    Ok(Unit)
}

pub(crate) fn reset_attribute(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::ResetNetworkInterfaceAttributeRequest,
) -> Result<Unit, ApiError> {
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let interface = own(tx, &scope, &input.network_interface_id)?;
    if input.source_dest_check.is_none() {
        return Err(texts::no_attributes());
    }
    tx.update::<NetworkInterface>(&scope, interface.id.as_str(), |row| row.source_dest_check = true);
    Ok(Unit)
}

pub(crate) fn assign_private_ips(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::AssignPrivateIpAddressesRequest,
) -> Result<ec2::AssignPrivateIpAddressesResult, ApiError> {
    refuse(input.ipv4_prefixes.is_some() || input.ipv4_prefix_count.is_some(), "prefixes of interfaces")?;
    let listed = input.private_ip_addresses.unwrap_or_default();
    let secondary = match input.secondary_private_ip_address_count {
        Some(_) if !listed.is_empty() => {
            return Err(texts::invalid_combination(
                "The parameters secondaryPrivateIpAddressCount and privateIpAddresses cannot be used together.",
            ));
        }
        Some(count) => Secondary::Count(usize::try_from(count).ok().filter(|count| *count > 0).ok_or_else(|| {
            texts::invalid_value(count, "secondaryPrivateIpAddressCount", "Must be a positive number.")
        })?),
        None if listed.is_empty() => return Err(texts::missing("secondaryPrivateIpAddressCount")),
        None => Secondary::Chosen(listed.iter().map(|text| address(text)).collect::<Result<_, _>>()?),
    };
    begin(cx, None)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let interface = own(tx, &scope, &input.network_interface_id)?;
    let take = input.allow_reassignment == Some(true);
    let assigned = intent::assign_private_ips(tx, &scope, &interface.id, secondary, take)?;
    let show = |ip: Ipv4Addr| ec2::AssignedPrivateIpAddress { private_ip_address: Some(ip.to_string()) };
    Ok(ec2::AssignPrivateIpAddressesResult {
        network_interface_id: Some(input.network_interface_id),
        assigned_private_ip_addresses: Some(assigned.into_iter().map(show).collect()),
        assigned_ipv4_prefixes: None,
    })
}

pub(crate) fn unassign_private_ips(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::UnassignPrivateIpAddressesRequest,
) -> Result<Unit, ApiError> {
    refuse(input.ipv4_prefixes.is_some(), "prefixes of interfaces")?;
    let ips: Vec<Ipv4Addr> =
        input.private_ip_addresses.iter().flatten().map(|text| address(text)).collect::<Result<_, _>>()?;
    if ips.is_empty() {
        return Err(texts::missing("privateIpAddress"));
    }
    begin(cx, None)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let interface = own(tx, &scope, &input.network_interface_id)?;
    if !ips.iter().all(|ip| interface.private_ips.iter().skip(1).any(|held| held == ip)) {
        return Err(texts::addresses_not_assigned(&input.network_interface_id));
    }
    intent::unassign_private_ips(tx, &scope, &interface.id, &ips);
    Ok(Unit)
}
