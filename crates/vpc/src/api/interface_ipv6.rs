//! The IPv6 addresses of network interfaces.

use super::interface::own;
use super::{Ec2, begin, refuse};
use crate::intent::{self, Ipv6Addresses};
use crate::texts;
use gateway::Context;
use model::ec2;
use std::net::Ipv6Addr;
use types::ApiError;

fn address(text: &str) -> Result<Ipv6Addr, ApiError> {
    text.parse().map_err(|_| texts::invalid_value(text, "ipv6Addresses", "Not an IPv6 address."))
}

/// The addresses that a request asks for: listed, or so many, or as the subnet says where it says nothing.
pub(crate) fn wanted(listed: Vec<String>, count: Option<i32>) -> Result<Ipv6Addresses, ApiError> {
    match count {
        Some(_) if !listed.is_empty() => Err(texts::invalid_combination(
            "The parameters ipv6AddressCount and ipv6Addresses cannot be used together.",
        )),
        Some(count) => usize::try_from(count)
            .map(Ipv6Addresses::Count)
            .map_err(|_| texts::invalid_value(count, "ipv6AddressCount", "Must be a positive number.")),
        None if listed.is_empty() => Ok(Ipv6Addresses::AsSubnetSays),
        None => Ok(Ipv6Addresses::Chosen(listed.iter().map(|text| address(text)).collect::<Result<_, _>>()?)),
    }
}

pub(crate) fn assign(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::AssignIpv6AddressesRequest,
) -> Result<ec2::AssignIpv6AddressesResult, ApiError> {
    refuse(input.ipv6_prefixes.is_some() || input.ipv6_prefix_count.is_some(), "prefixes of interfaces")?;
    let wanted = match wanted(input.ipv6_addresses.unwrap_or_default(), input.ipv6_address_count)? {
        Ipv6Addresses::AsSubnetSays => return Err(texts::missing("ipv6AddressCount")),
        wanted => wanted,
    };
    begin(cx, None)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let interface = own(tx, &scope, &input.network_interface_id)?;
    let assigned = intent::assign_ipv6(tx, &scope, &interface.id, wanted)?;
    Ok(ec2::AssignIpv6AddressesResult {
        assigned_ipv6_addresses: Some(assigned.iter().map(ToString::to_string).collect()),
        assigned_ipv6_prefixes: None,
        network_interface_id: Some(input.network_interface_id),
    })
}

pub(crate) fn unassign(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::UnassignIpv6AddressesRequest,
) -> Result<ec2::UnassignIpv6AddressesResult, ApiError> {
    refuse(input.ipv6_prefixes.is_some(), "prefixes of interfaces")?;
    let ips: Vec<Ipv6Addr> =
        input.ipv6_addresses.iter().flatten().map(|text| address(text)).collect::<Result<_, _>>()?;
    if ips.is_empty() {
        return Err(texts::missing("ipv6Addresses"));
    }
    begin(cx, None)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let interface = own(tx, &scope, &input.network_interface_id)?;
    if !ips.iter().all(|ip| interface.ipv6.contains(ip)) {
        return Err(texts::addresses_not_assigned(&input.network_interface_id));
    }
    intent::unassign_ipv6(tx, &scope, &interface.id, &ips);
    Ok(ec2::UnassignIpv6AddressesResult {
        network_interface_id: Some(input.network_interface_id),
        unassigned_ipv6_addresses: Some(ips.iter().map(ToString::to_string).collect()),
        unassigned_ipv6_prefixes: None,
    })
}
