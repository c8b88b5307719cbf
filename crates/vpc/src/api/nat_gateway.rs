//! NAT gateways.

use super::describe::{self, Kind, Selection, Values, maybe, one};
use super::{Ec2, begin, refuse, tags};
use crate::intent::{self, Ipv6Addresses, NewInterface};
use crate::rows::{Address, InterfaceType, InternetGateway, NatGateway, NatGatewayState, Subnet, Tags};
use crate::texts;
use gateway::Context;
use model::ec2;
use types::ApiError;
use types::id::{AssociationId, NatGatewayId};

pub(crate) fn create(
    ec2_: &Ec2,
    cx: &mut Context,
    input: ec2::CreateNatGatewayRequest,
) -> Result<ec2::CreateNatGatewayResult, ApiError> {
    refuse(input.connectivity_type.as_deref() == Some("private"), "private NAT gateways")?;
    refuse(input.availability_mode.as_deref() == Some("regional"), "regional NAT gateways")?;
    refuse(
        input.secondary_allocation_ids.is_some()
            || input.secondary_private_ip_addresses.is_some()
            || input.secondary_private_ip_address_count.is_some(),
        "secondary addresses of NAT gateways",
    )?;
    let tags = tags::at_creation(input.tag_specifications, "natgateway")?;
    let subnet_id = input.subnet_id.ok_or_else(|| texts::missing("SubnetId"))?;
    let allocation = input.allocation_id.ok_or_else(|| texts::missing("AllocationId"))?;
    let private_ip = match &input.private_ip_address {
        Some(text) => {
            Some(text.parse().map_err(|_| texts::invalid_value(text, "privateIpAddress", "Not an IPv4 address."))?)
        }
        None => None,
    };
    begin(cx, input.dry_run)?;
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let subnet = tx
        .get::<Subnet>(&scope, &subnet_id)
        .ok_or_else(|| ApiError::new("InvalidSubnet", format!("The subnet ID '{subnet_id}' does not exist")))?;
    let address = tx.get::<Address>(&scope, &allocation).ok_or_else(|| texts::allocation_not_found(&allocation))?;
    let id = NatGatewayId::generate();
    let interface = intent::create_interface(
        tx,
        &scope,
        &ec2_.pool,
        now,
        NewInterface {
            subnet: subnet.id.clone(),
            groups: Vec::new(),
            description: format!("Interface for NAT Gateway {id}"),
            kind: InterfaceType::NatGateway,
            requester: Some("amazon-nat".to_owned()),
            attach: Some(("amazon-aws".to_owned(), None)),
            private_ip,
            public_ip: false,
            ipv6: Ipv6Addresses::Count(0),
            tags: Tags::new(),
        },
    )?;
    // AWS finds these two out later, and shows the gateway as failed.
    let failure = if address.association.is_some() {
        Some(("Resource.AlreadyAssociated", format!("Elastic IP address [{allocation}] is already associated")))
    } else if tx.by_index(&InternetGateway::BY_VPC, &scope, subnet.vpc.as_str()).next().is_none() {
        Some(("Gateway.NotAttached", format!("Network {} has no Internet gateway attached", subnet.vpc)))
    } else {
        None
    };
    let private_ip = interface.private_ip().unwrap_or(std::net::Ipv4Addr::UNSPECIFIED);
    let mut gateway = NatGateway {
        id,
        vpc: subnet.vpc.clone(),
        subnet: subnet.id.clone(),
        connectivity: "public".to_owned(),
        interface: interface.id.clone(),
        private_ip,
        address: None,
        state: NatGatewayState::Pending,
        failure: None,
        created: now,
        deleted: None,
        tags,
    };
    if let Some((code, text)) = failure {
        gateway.state = NatGatewayState::Failed;
        gateway.failure = Some((code.to_owned(), text));
        intent::delete_interface(tx, &scope, &interface.id);
    } else {
        let association = AssociationId::generate();
        gateway.address = Some((allocation.clone(), association.to_string(), address.public_ip));
        tx.update::<Address>(&scope, &allocation, |address| {
            address.association = Some((association, interface.id.clone(), private_ip));
        });
    }
    let gateway = tx.put(&scope, gateway);
    let mut shown = show(&gateway);
    shown.state = Some("pending".to_owned());
    Ok(ec2::CreateNatGatewayResult { client_token: input.client_token, nat_gateway: Some(shown) })
}

fn show(gateway: &NatGateway) -> ec2::NatGateway {
    let status = match gateway.state {
        NatGatewayState::Available => "succeeded",
        NatGatewayState::Pending => "associating",
        NatGatewayState::Deleting | NatGatewayState::Deleted => "disassociating",
        NatGatewayState::Failed => "failed",
    };
    let (code, message) = gateway.failure.clone().unzip();
    ec2::NatGateway {
        nat_gateway_id: Some(gateway.id.to_string()),
        vpc_id: Some(gateway.vpc.to_string()),
        subnet_id: Some(gateway.subnet.to_string()),
        state: Some(gateway.state.as_str().to_owned()),
        connectivity_type: Some(gateway.connectivity.clone()),
        availability_mode: Some("zonal".to_owned()),
        create_time: Some(gateway.created),
        delete_time: gateway.deleted,
        failure_code: code,
        failure_message: message,
        nat_gateway_addresses: Some(vec![ec2::NatGatewayAddress {
            allocation_id: gateway.address.as_ref().map(|(allocation, ..)| allocation.clone()),
            association_id: gateway.address.as_ref().map(|(_, association, _)| association.clone()),
            public_ip: gateway.address.as_ref().map(|(_, _, ip)| ip.to_string()),
            network_interface_id: Some(gateway.interface.to_string()),
            private_ip: Some(gateway.private_ip.to_string()),
            is_primary: Some(true),
            status: Some(status.to_owned()),
            ..Default::default()
        }]),
        tags: tags::shown(&gateway.tags),
        ..Default::default()
    }
}

const KIND: Kind<NatGateway> =
    Kind { not_found: texts::nat_gateway_not_found, tags: |_, gateway| &gateway.tags, filter };

fn filter(name: &str) -> Option<Values<NatGateway>> {
    Some(match name {
        "nat-gateway-id" => Box::new(|_, _, gateway| one(&gateway.id)),
        "state" => Box::new(|_, _, gateway| one(gateway.state.as_str())),
        "subnet-id" => Box::new(|_, _, gateway| one(&gateway.subnet)),
        "vpc-id" => Box::new(|_, _, gateway| one(&gateway.vpc)),
        "connectivity-type" => Box::new(|_, _, gateway| one(&gateway.connectivity)),
        "network-interface-id" => Box::new(|_, _, gateway| maybe(Some(&gateway.interface))),
        _ => return None,
    })
}

pub(crate) fn describe(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DescribeNatGatewaysRequest,
) -> Result<ec2::DescribeNatGatewaysResult, ApiError> {
    begin(cx, input.dry_run)?;
    let (max_results, next_token) = (input.max_results, input.next_token);
    let selection = Selection { ids: input.nat_gateway_ids, filters: input.filter, max_results, next_token };
    let (rows, next_token) = describe::rows(cx, &KIND, selection)?;
    Ok(ec2::DescribeNatGatewaysResult { nat_gateways: Some(rows.iter().map(|row| show(row)).collect()), next_token })
}

pub(crate) fn delete(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DeleteNatGatewayRequest,
) -> Result<ec2::DeleteNatGatewayResult, ApiError> {
    begin(cx, input.dry_run)?;
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let id = &input.nat_gateway_id;
    let gateway = tx.get::<NatGateway>(&scope, id).ok_or_else(|| texts::nat_gateway_not_found(id))?;
    if gateway.state != NatGatewayState::Deleted {
        // The controller makes it `deleted` once the fabric has let go of the interface.
        intent::delete_interface(tx, &scope, &gateway.interface);
        tx.update::<NatGateway>(&scope, id, |gateway| {
            gateway.state = NatGatewayState::Deleting;
            gateway.deleted = Some(now);
        });
    }
    Ok(ec2::DeleteNatGatewayResult { nat_gateway_id: Some(input.nat_gateway_id) })
}
