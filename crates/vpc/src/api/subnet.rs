//! Subnets.

use super::describe::{self, Kind, Selection, Values, one};
use super::{Ec2, begin, refuse, subnet_cidr, tags, vpc};
use crate::query;
use crate::rows::{NatGateway, NatGatewayState, NetworkInterface, RouteTable, Subnet, Tags, Vpc};
use crate::texts;
use gateway::Context;
use ipnet::Ipv4Net;
use model::ec2;
use std::sync::Arc;
use store::View;
use types::id::{NetworkAclAssociationId, SubnetCidrAssociationId, SubnetId};
use types::{ApiError, Scope};
use wire::Unit;

/// The sizes that a subnet may have. Source: VPC user guide, "Subnet sizing".
const SIZES: std::ops::RangeInclusive<u8> = 16..=28;

/// The size of default subnets.
pub(crate) const DEFAULT_SIZE: u8 = 20;

/// A fresh subnet of `vpc` with AWS's defaults.
pub(crate) fn row(vpc: &Vpc, cidr: Ipv4Net, zone: String, tags: Tags) -> Subnet {
    Subnet {
        id: SubnetId::generate(),
        vpc: vpc.id.clone(),
        cidr,
        ipv6: None,
        assign_ipv6_on_creation: false,
        zone,
        default_for_zone: false,
        map_public_ip_on_launch: false,
        hostname_type: "ip-name".to_owned(),
        resource_name_dns_a_record: false,
        resource_name_dns_aaaa_record: false,
        network_acl: vpc.default_network_acl.clone(),
        network_acl_association: NetworkAclAssociationId::generate(),
        tags,
    }
}

pub(crate) fn create(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::CreateSubnetRequest,
) -> Result<ec2::CreateSubnetResult, ApiError> {
    refuse(input.ipv6_native == Some(true), "subnets of IPv6 alone")?;
    refuse(input.outpost_arn.is_some(), "Outposts")?;
    let sized = input.ipv4_netmask_length.is_some() || input.ipv6_netmask_length.is_some();
    refuse(sized || input.ipv4_ipam_pool_id.is_some() || input.ipv6_ipam_pool_id.is_some(), "IPAM pools")?;
    let tags = tags::at_creation(input.tag_specifications, "subnet")?;
    let text = input.cidr_block.as_deref().ok_or_else(|| texts::missing("cidrBlock"))?;
    let cidr = vpc::block(text)?;
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let zone = zone(&scope, input.availability_zone.as_deref(), input.availability_zone_id.as_deref())?;
    let tx = cx.tx();
    let vpc = tx.get::<Vpc>(&scope, &input.vpc_id).ok_or_else(|| texts::vpc_not_found(&input.vpc_id))?;
    if !SIZES.contains(&cidr.prefix_len()) || !vpc.cidrs().any(|block| block.contains(&cidr)) {
        return Err(texts::subnet_range(text));
    }
    let overlaps = |other: &Arc<Subnet>| other.cidr.contains(&cidr) || cidr.contains(&other.cidr);
    if tx.by_index(&Subnet::BY_VPC, &scope, vpc.id.as_str()).any(overlaps) {
        return Err(texts::subnet_conflict(text));
    }
    let ipv6 = input.ipv6_cidr_block.as_deref().map(|text| subnet_cidr::block(tx, &scope, &vpc, text)).transpose()?;
    let ipv6 = ipv6.map(|cidr| (SubnetCidrAssociationId::generate(), cidr));
    let subnet = tx.put(&scope, Subnet { ipv6, ..row(&vpc, cidr, zone, tags) });
    let mut shown = show(tx, &scope, &subnet);
    let associating = subnet.ipv6.iter().map(|(id, cidr)| subnet_cidr::shown(id, *cidr, "associating"));
    shown.ipv6_cidr_block_association_set = Some(associating.collect());
    Ok(ec2::CreateSubnetResult { subnet: Some(shown) })
}

/// Makes the default VPC's default subnet in a zone that has none.
pub(crate) fn create_default(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::CreateDefaultSubnetRequest,
) -> Result<ec2::CreateDefaultSubnetResult, ApiError> {
    refuse(input.ipv6_native == Some(true), "subnets of IPv6 alone")?;
    let (name, id) = (input.availability_zone.as_deref(), input.availability_zone_id.as_deref());
    if name.or(id).is_none() {
        return Err(texts::missing("AvailabilityZone"));
    }
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let zone = zone(&scope, name, id)?;
    let tx = cx.tx();
    let vpc = tx.scan::<Vpc>(&scope).find(|vpc| vpc.is_default).cloned().ok_or_else(texts::no_default_vpc)?;
    let standing: Vec<Arc<Subnet>> = tx.by_index(&Subnet::BY_VPC, &scope, vpc.id.as_str()).cloned().collect();
    if let Some(subnet) = standing.iter().find(|subnet| subnet.default_for_zone && subnet.zone == zone) {
        return Err(texts::default_subnet_exists(&subnet.id, &zone));
    }
    let free =
        |block: &Ipv4Net| !standing.iter().any(|other| other.cidr.contains(block) || block.contains(&other.cidr));
    let cidr = vpc.cidr.subnets(DEFAULT_SIZE).into_iter().flatten().find(free);
    let cidr = cidr.ok_or_else(|| texts::subnet_conflict(&vpc.cidr.to_string()))?;
    let subnet = tx.put(&scope, default_row(&vpc, cidr, zone));
    Ok(ec2::CreateDefaultSubnetResult { subnet: Some(show(tx, &scope, &subnet)) })
}

/// A zone's default subnet: its interfaces get public addresses.
pub(crate) fn default_row(vpc: &Vpc, cidr: Ipv4Net, zone: String) -> Subnet {
    Subnet { default_for_zone: true, map_public_ip_on_launch: true, ..row(vpc, cidr, zone, Tags::new()) }
}

fn zone(scope: &Scope, name: Option<&str>, id: Option<&str>) -> Result<String, ApiError> {
    let zones = scope.region.zones();
    let found = match (name, id) {
        (Some(name), _) => zones.iter().find(|zone| *zone == name),
        (None, Some(id)) => zones.iter().find(|zone| zone_id(zone) == id),
        (None, None) => zones.first(),
    };
    found.cloned().ok_or_else(|| {
        let listed = zones.join(", ");
        texts::invalid_value(
            name.or(id).unwrap_or_default(),
            "availabilityZone",
            &format!("Subnets can currently only be created in the following availability zones: {listed}."),
        )
    })
}

/// A zone's id: `us-east-1a` is `use1-az1`.
pub(crate) fn zone_id(zone: &str) -> String {
    let Some(letter) = zone.chars().last() else { return String::new() };
    let region = &zone[..zone.len() - letter.len_utf8()];
    let mut short: String = String::new();
    for (at, part) in region.split('-').enumerate() {
        match (at, part) {
            // `southeast` is `se`, `northeast` is `ne`, `central` is `c`, and so on.
            (1, part) if part.len() > 5 && (part.starts_with("north") || part.starts_with("south")) => {
                short.push_str(&part[..1]);
                short.push_str(&part[5..6]);
            }
            (1, part) => short.push_str(part.get(..1).unwrap_or(part)),
            (_, part) => short.push_str(part),
        }
    }
    let number = u32::from(letter).saturating_sub(u32::from('a')) + 1;
    format!("{short}-az{number}")
}

fn show(view: &View, scope: &Scope, subnet: &Subnet) -> ec2::Subnet {
    ec2::Subnet {
        subnet_id: Some(subnet.id.to_string()),
        subnet_arn: Some(types::arn::Arn::new("ec2", scope, format!("subnet/{}", subnet.id)).to_string()),
        vpc_id: Some(subnet.vpc.to_string()),
        owner_id: Some(scope.account.to_string()),
        state: Some("available".to_owned()),
        cidr_block: Some(subnet.cidr.to_string()),
        available_ip_address_count: i32::try_from(query::free_addresses(view, scope, subnet)).ok(),
        availability_zone: Some(subnet.zone.clone()),
        availability_zone_id: Some(zone_id(&subnet.zone)),
        default_for_az: Some(subnet.default_for_zone),
        map_public_ip_on_launch: Some(subnet.map_public_ip_on_launch),
        map_customer_owned_ip_on_launch: Some(false),
        assign_ipv6_address_on_creation: Some(subnet.assign_ipv6_on_creation),
        ipv6_cidr_block_association_set: Some(
            subnet.ipv6.iter().map(|(id, cidr)| subnet_cidr::shown(id, *cidr, "associated")).collect(),
        ),
        enable_dns64: Some(false),
        ipv6_native: Some(false),
        private_dns_name_options_on_launch: Some(ec2::PrivateDnsNameOptionsOnLaunch {
            hostname_type: Some(subnet.hostname_type.clone()),
            enable_resource_name_dns_a_record: Some(subnet.resource_name_dns_a_record),
            enable_resource_name_dns_aaaa_record: Some(subnet.resource_name_dns_aaaa_record),
        }),
        tags: tags::shown(&subnet.tags),
        ..ec2::Subnet::default()
    }
}

const KIND: Kind<Subnet> = Kind { not_found: texts::subnet_not_found, tags: |_, subnet| &subnet.tags, filter };

fn filter(name: &str) -> Option<Values<Subnet>> {
    Some(match name {
        "availability-zone" | "availabilityZone" => Box::new(|_, _, subnet| one(&subnet.zone)),
        "availability-zone-id" => Box::new(|_, _, subnet| one(zone_id(&subnet.zone))),
        "available-ip-address-count" => Box::new(|view, scope, subnet| one(query::free_addresses(view, scope, subnet))),
        "cidr-block" | "cidr" | "cidrBlock" => Box::new(|_, _, subnet| one(subnet.cidr)),
        "default-for-az" | "defaultForAz" => Box::new(|_, _, subnet| one(subnet.default_for_zone)),
        "enable-dns64" | "ipv6-native" => Box::new(|_, _, _| one(false)),
        "ipv6-cidr-block-association.ipv6-cidr-block" => {
            Box::new(|_, _, subnet| subnet.ipv6.iter().map(|(_, cidr)| cidr.to_string()).collect())
        }
        "ipv6-cidr-block-association.association-id" => {
            Box::new(|_, _, subnet| subnet.ipv6.iter().map(|(id, _)| id.to_string()).collect())
        }
        "ipv6-cidr-block-association.state" => {
            Box::new(|_, _, subnet| subnet.ipv6.iter().map(|_| "associated".to_owned()).collect())
        }
        "private-dns-name-options-on-launch.hostname-type" => Box::new(|_, _, subnet| one(&subnet.hostname_type)),
        "private-dns-name-options-on-launch.enable-resource-name-dns-a-record" => {
            Box::new(|_, _, subnet| one(subnet.resource_name_dns_a_record))
        }
        "private-dns-name-options-on-launch.enable-resource-name-dns-aaaa-record" => {
            Box::new(|_, _, subnet| one(subnet.resource_name_dns_aaaa_record))
        }
        "map-public-ip-on-launch" => Box::new(|_, _, subnet| one(subnet.map_public_ip_on_launch)),
        "owner-id" => Box::new(|_, scope, _| one(&scope.account)),
        "state" => Box::new(|_, _, _| one("available")),
        "subnet-arn" => {
            Box::new(|_, scope, subnet| one(types::arn::Arn::new("ec2", scope, format!("subnet/{}", subnet.id))))
        }
        "subnet-id" => Box::new(|_, _, subnet| one(&subnet.id)),
        "vpc-id" => Box::new(|_, _, subnet| one(&subnet.vpc)),
        _ => return None,
    })
}

pub(crate) fn describe(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DescribeSubnetsRequest,
) -> Result<ec2::DescribeSubnetsResult, ApiError> {
    begin(cx, input.dry_run)?;
    let (max_results, next_token) = (input.max_results, input.next_token);
    let selection = Selection { ids: input.subnet_ids, filters: input.filters, max_results, next_token };
    let (rows, next_token) = describe::rows(cx, &KIND, selection)?;
    let scope = cx.scope.clone();
    let view = cx.view();
    Ok(ec2::DescribeSubnetsResult {
        subnets: Some(rows.iter().map(|row| show(view, &scope, row)).collect()),
        next_token,
    })
}

pub(crate) fn delete(_: &Ec2, cx: &mut Context, input: ec2::DeleteSubnetRequest) -> Result<Unit, ApiError> {
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let id = &input.subnet_id;
    let subnet = tx.get::<Subnet>(&scope, id).ok_or_else(|| texts::subnet_not_found(id))?;
    let used = tx.by_index(&NetworkInterface::BY_SUBNET, &scope, id).next().is_some()
        || tx
            .by_index(&NatGateway::BY_VPC, &scope, subnet.vpc.as_str())
            .any(|nat| nat.subnet == subnet.id && nat.state != NatGatewayState::Deleted);
    if used {
        return Err(texts::dependency("subnet", id));
    }
    let table = tx.by_index(&RouteTable::BY_SUBNET, &scope, id).next().map(|table| table.id.clone());
    if let Some(table) = table {
        tx.update::<RouteTable>(&scope, table.as_str(), |table| table.associations.retain(|of| of.subnet != subnet.id));
    }
    tx.delete::<Subnet>(&scope, id);
    Ok(Unit)
}

pub(crate) fn modify_attribute(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::ModifySubnetAttributeRequest,
) -> Result<Unit, ApiError> {
    let given = |value: &Option<ec2::AttributeBooleanValue>| value.as_ref().and_then(|value| value.value);
    let on = |value: &Option<ec2::AttributeBooleanValue>| given(value) == Some(true);
    refuse(on(&input.enable_dns64), "DNS64")?;
    refuse(
        on(&input.map_customer_owned_ip_on_launch) || input.customer_owned_ipv4_pool.is_some(),
        "customer-owned addresses",
    )?;
    refuse(
        input.enable_lni_at_device_index.is_some() || on(&input.disable_lni_at_device_index),
        "local network interfaces",
    )?;
    begin(cx, None)?;
    let named = [
        input.assign_ipv6_address_on_creation.is_some(),
        input.map_public_ip_on_launch.is_some(),
        input.map_customer_owned_ip_on_launch.is_some(),
        input.enable_dns64.is_some(),
        input.private_dns_hostname_type_on_launch.is_some(),
        input.enable_resource_name_dns_a_record_on_launch.is_some(),
        input.enable_resource_name_dns_aaaa_record_on_launch.is_some(),
        input.disable_lni_at_device_index.is_some(),
    ];
    match named.iter().filter(|named| **named).count() {
        0 => return Err(texts::missing("attribute")),
        1 => {}
        _ => return Err(texts::invalid_combination("You can only modify one attribute of a subnet at a time.")),
    }
    if let Some(kind) = &input.private_dns_hostname_type_on_launch
        && !matches!(kind.as_str(), "ip-name" | "resource-name")
    {
        return Err(texts::invalid_value(
            kind,
            "PrivateDnsHostnameTypeOnLaunch",
            "Expecting ip-name or resource-name.",
        ));
    }
    let (public, a_record) =
        (given(&input.map_public_ip_on_launch), given(&input.enable_resource_name_dns_a_record_on_launch));
    let hostname_type = input.private_dns_hostname_type_on_launch;
    let assign = given(&input.assign_ipv6_address_on_creation);
    let aaaa_record = given(&input.enable_resource_name_dns_aaaa_record_on_launch);
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let id = &input.subnet_id;
    let subnet = tx.get::<Subnet>(&scope, id).ok_or_else(|| texts::subnet_not_found(id))?;
    if assign == Some(true) && subnet.ipv6.is_none() {
        return Err(texts::subnet_needs_ipv6("assign-ipv6-address-on-creation", id));
    }
    if aaaa_record == Some(true) && subnet.ipv6.is_none() {
        return Err(texts::subnet_needs_ipv6("enable-resource-name-dns-aaaa-record-on-launch", id));
    }
    tx.update::<Subnet>(&scope, id, |subnet| {
        subnet.resource_name_dns_aaaa_record = aaaa_record.unwrap_or(subnet.resource_name_dns_aaaa_record);
        subnet.assign_ipv6_on_creation = assign.unwrap_or(subnet.assign_ipv6_on_creation);
        subnet.map_public_ip_on_launch = public.unwrap_or(subnet.map_public_ip_on_launch);
        subnet.resource_name_dns_a_record = a_record.unwrap_or(subnet.resource_name_dns_a_record);
        if let Some(kind) = hostname_type {
            subnet.hostname_type = kind;
        }
    });
    Ok(Unit)
}

#[cfg(test)]
mod tests {
    use super::zone_id;

    #[test]
    fn zone_ids_are_short() {
        assert_eq!(zone_id("us-east-1a"), "use1-az1");
        assert_eq!(zone_id("eu-central-1c"), "euc1-az3");
        assert_eq!(zone_id("ap-southeast-2b"), "apse2-az2");
        assert_eq!(zone_id("ap-northeast-1a"), "apne1-az1");
        assert_eq!(zone_id(""), "");
    }
}
