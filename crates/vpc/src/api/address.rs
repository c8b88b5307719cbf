//! Elastic IP addresses.

use super::describe::{self, Kind, Selection, Values, maybe, one};
use super::{Ec2, begin, instance, refuse, tags};
use crate::instances;
use crate::rows::{Address, InstanceState, InternetGateway, NatGateway, NatGatewayState, NetworkInterface};
use crate::texts;
use gateway::Context;
use model::ec2;
use std::net::Ipv4Addr;
use std::sync::Arc;
use store::View;
use types::id::{AllocationId, AssociationId};
use types::{ApiError, Scope};
use wire::Unit;

pub(crate) fn allocate(
    service: &Ec2,
    cx: &mut Context,
    input: ec2::AllocateAddressRequest,
) -> Result<ec2::AllocateAddressResult, ApiError> {
    refuse(input.public_ipv4_pool.as_deref().is_some_and(|pool| pool != "amazon"), "address pools of your own")?;
    refuse(input.customer_owned_ipv4_pool.is_some(), "customer-owned addresses")?;
    refuse(input.ipam_pool_id.is_some(), "IPAM pools")?;
    refuse(input.address.is_some(), "recovering a released address")?;
    refuse(input.domain.as_deref() == Some("standard"), "EC2-Classic")?;
    let tags = tags::at_creation(input.tag_specifications, "elastic-ip")?;
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let public_ip = service.pool.free(tx)?;
    let address = tx.put(&scope, Address { id: AllocationId::generate(), public_ip, association: None, tags });
    Ok(ec2::AllocateAddressResult {
        allocation_id: Some(address.id.to_string()),
        public_ip: Some(public_ip.to_string()),
        domain: Some("vpc".to_owned()),
        public_ipv4_pool: Some("amazon".to_owned()),
        network_border_group: Some(scope.region.to_string()),
        ..Default::default()
    })
}

fn show(view: &View, scope: &Scope, address: &Address) -> ec2::Address {
    let mut shown = ec2::Address {
        allocation_id: Some(address.id.to_string()),
        public_ip: Some(address.public_ip.to_string()),
        domain: Some("vpc".to_owned()),
        public_ipv4_pool: Some("amazon".to_owned()),
        network_border_group: Some(scope.region.to_string()),
        tags: tags::shown(&address.tags),
        ..Default::default()
    };
    if let Some((association, interface, private)) = &address.association {
        shown.instance_id = instance_of(view, scope, address);
        shown.association_id = Some(association.to_string());
        shown.network_interface_id = Some(interface.to_string());
        shown.network_interface_owner_id = Some(scope.account.to_string());
        shown.private_ip_address = Some(private.to_string());
        shown.subnet_id = view.get::<NetworkInterface>(scope, interface.as_str()).map(|of| of.subnet.to_string());
        shown.service_managed = managed(view, scope, address).then(|| "nat".to_owned());
    }
    shown
}

/// The instance whose interface has the address.
fn instance_of(view: &View, scope: &Scope, address: &Address) -> Option<String> {
    let (_, interface, _) = address.association.as_ref()?;
    let row = view.get::<NetworkInterface>(scope, interface.as_str())?;
    Some(row.attachment.as_ref()?.instance.as_ref()?.to_string())
}

/// Whether a NAT gateway holds the address.
fn managed(view: &View, scope: &Scope, address: &Address) -> bool {
    let Some((_, interface, _)) = &address.association else { return false };
    view.scan::<NatGateway>(scope).any(|nat| nat.interface == *interface && nat.state != NatGatewayState::Deleted)
}

const KIND: Kind<Address> = Kind { not_found: texts::allocation_not_found, tags: |_, address| &address.tags, filter };

fn filter(name: &str) -> Option<Values<Address>> {
    Some(match name {
        "allocation-id" => Box::new(|_, _, address| one(&address.id)),
        "association-id" => Box::new(|_, _, address| maybe(address.association.as_ref().map(|(id, ..)| id))),
        "domain" => Box::new(|_, _, _| one("vpc")),
        "instance-id" => Box::new(|view, scope, address| maybe(instance_of(view, scope, address))),
        "network-border-group" => Box::new(|_, scope, _| one(&scope.region)),
        "network-interface-id" => {
            Box::new(|_, _, address| maybe(address.association.as_ref().map(|(_, interface, _)| interface)))
        }
        "network-interface-owner-id" => {
            Box::new(|_, scope, address| maybe(address.association.as_ref().map(|_| &scope.account)))
        }
        "private-ip-address" => {
            Box::new(|_, _, address| maybe(address.association.as_ref().map(|(_, _, private)| private)))
        }
        "public-ip" => Box::new(|_, _, address| one(address.public_ip)),
        _ => return None,
    })
}

fn by_public_ip(view: &View, scope: &Scope, ip: &str) -> Result<Arc<Address>, ApiError> {
    view.by_index(&Address::BY_PUBLIC_IP, scope, ip).next().cloned().ok_or_else(|| texts::address_not_found(ip))
}

pub(crate) fn describe(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DescribeAddressesRequest,
) -> Result<ec2::DescribeAddressesResult, ApiError> {
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let mut ids = input.allocation_ids.unwrap_or_default();
    for ip in input.public_ips.iter().flatten() {
        ids.push(by_public_ip(cx.view(), &scope, ip)?.id.to_string());
    }
    let selection = Selection { ids: Some(ids), filters: input.filters, ..Selection::default() };
    let (rows, _) = describe::rows(cx, &KIND, selection)?;
    let view = cx.view();
    Ok(ec2::DescribeAddressesResult { addresses: Some(rows.iter().map(|row| show(view, &scope, row)).collect()) })
}

pub(crate) fn describe_attribute(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DescribeAddressesAttributeRequest,
) -> Result<ec2::DescribeAddressesAttributeResult, ApiError> {
    begin(cx, input.dry_run)?;
    let (max_results, next_token) = (input.max_results, input.next_token);
    let selection = Selection { ids: input.allocation_ids, filters: None, max_results, next_token };
    let (rows, next_token) = describe::rows(cx, &KIND, selection)?;
    // Reverse DNS cannot be set here, so no address has a record of its own.
    let show = |row: &Arc<Address>| ec2::AddressAttribute {
        public_ip: Some(row.public_ip.to_string()),
        allocation_id: Some(row.id.to_string()),
        ..Default::default()
    };
    Ok(ec2::DescribeAddressesAttributeResult { addresses: Some(rows.iter().map(show).collect()), next_token })
}

pub(crate) fn associate(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::AssociateAddressRequest,
) -> Result<ec2::AssociateAddressResult, ApiError> {
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let address = match (&input.allocation_id, &input.public_ip) {
        (Some(id), _) => tx.get::<Address>(&scope, id).ok_or_else(|| texts::allocation_not_found(id))?,
        (None, Some(ip)) => by_public_ip(tx, &scope, ip)?,
        (None, None) => return Err(texts::missing("AllocationId")),
    };
    let id = match (input.network_interface_id, &input.instance_id) {
        (Some(id), _) => id,
        (None, Some(id)) => interface_of(tx, &scope, id)?,
        (None, None) => return Err(texts::missing("NetworkInterfaceId")),
    };
    let interface = tx.get::<NetworkInterface>(&scope, &id).ok_or_else(|| texts::interface_not_found(&id))?;
    // A service's interface is not the user's to change: a NAT gateway would send as somebody else.
    if interface.requester.is_some() {
        return Err(texts::auth_failure());
    }
    if tx.by_index(&InternetGateway::BY_VPC, &scope, interface.vpc.as_str()).next().is_none() {
        return Err(ApiError::new(
            "Gateway.NotAttached",
            format!("Network {} is not attached to any internet gateway", interface.vpc),
        ));
    }
    let private: Ipv4Addr = match &input.private_ip_address {
        Some(text) => text
            .parse()
            .ok()
            .filter(|ip| interface.private_ips.contains(ip))
            .ok_or_else(|| texts::invalid_value(text, "privateIpAddress", "The interface has no such address."))?,
        None => interface.private_ip().ok_or_else(|| texts::interface_not_found(&id))?,
    };
    let allowed = input.allow_reassociation.unwrap_or(true);
    let taken = address.association.as_ref().is_some_and(|(_, held, ip)| *held != interface.id || *ip != private);
    if taken && (!allowed || managed(tx, &scope, &address)) {
        return Err(ApiError::new(
            "Resource.AlreadyAssociated",
            format!(
                "resource {} is already associated with associate-id {}",
                address.id,
                maybe(address.association.as_ref().map(|(id, ..)| id)).concat()
            ),
        ));
    }
    // The interface's address lets go of the public address that it had.
    let before: Vec<Arc<Address>> = tx.by_index(&Address::BY_INTERFACE, &scope, &id).cloned().collect();
    for other in before.iter().filter(|other| other.association.as_ref().is_some_and(|(_, _, ip)| *ip == private)) {
        tx.update::<Address>(&scope, other.id.as_str(), |other| other.association = None);
    }
    let association = AssociationId::generate();
    let association_id = Some(association.to_string());
    tx.update::<Address>(&scope, address.id.as_str(), |address| {
        address.association = Some((association, interface.id.clone(), private));
    });
    Ok(ec2::AssociateAddressResult { association_id })
}

/// The one interface of an instance.
fn interface_of(view: &View, scope: &Scope, id: &str) -> Result<String, ApiError> {
    let row = instance::find(view, scope, id)?;
    if !matches!(row.state, InstanceState::Running | InstanceState::Stopped | InstanceState::Stopping) {
        return Err(ApiError::new(
            "InvalidInstanceID",
            format!("The pending instance '{id}' is not in a valid state for this operation."),
        ));
    }
    match &instances::interfaces(view, scope, id)[..] {
        [only] => Ok(only.id.to_string()),
        [] => Err(texts::instance_is_over(id)),
        _ => Err(texts::several_interfaces(id)),
    }
}

pub(crate) fn disassociate(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DisassociateAddressRequest,
) -> Result<Unit, ApiError> {
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let address = match (&input.association_id, &input.public_ip) {
        (Some(id), _) => {
            let held = |address: &&Arc<Address>| address.association.as_ref().is_some_and(|(of, ..)| of.as_str() == id);
            tx.scan::<Address>(&scope).find(held).cloned().ok_or_else(|| texts::association_not_found(id))?
        }
        (None, Some(ip)) => by_public_ip(tx, &scope, ip)?,
        (None, None) => return Err(texts::missing("AssociationId")),
    };
    if managed(tx, &scope, &address) {
        return Err(texts::auth_failure());
    }
    tx.update::<Address>(&scope, address.id.as_str(), |address| address.association = None);
    Ok(Unit)
}

pub(crate) fn release(_: &Ec2, cx: &mut Context, input: ec2::ReleaseAddressRequest) -> Result<Unit, ApiError> {
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let address = match (&input.allocation_id, &input.public_ip) {
        (Some(id), _) => tx.get::<Address>(&scope, id).ok_or_else(|| texts::allocation_not_found(id))?,
        (None, Some(ip)) => by_public_ip(tx, &scope, ip)?,
        (None, None) => return Err(texts::missing("AllocationId")),
    };
    if managed(tx, &scope, &address) {
        return Err(texts::auth_failure());
    }
    if address.association.is_some() {
        return Err(ApiError::new("InvalidIPAddress.InUse", format!("Address {} is in use.", address.public_ip)));
    }
    tx.delete::<Address>(&scope, address.id.as_str());
    Ok(Unit)
}
