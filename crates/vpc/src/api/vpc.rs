//! VPCs and their attributes, and what a region has before anybody uses it.

use super::describe::{self, Kind, Selection, Values, maybe, one};
use super::{Ec2, begin, dhcp_options, refuse, subnet, tags, vpc_cidr};
use crate::query;
use crate::rows::{
    AclEntry, AclTraffic, DhcpOptions, EgressOnlyInternetGateway, InternetGateway, NatGateway, NatGatewayState,
    NetworkAcl, NetworkInterface, Peer, PeeringState, RegionDefaults, Route, RouteTable, Rule, SecurityGroup, Subnet,
    Tags, Target, Vpc, VpcEndpoint,
};
use crate::texts;
use gateway::Context;
use ipnet::Ipv4Net;
use model::ec2;
use std::net::Ipv4Addr;
use store::Tx;
use types::id::{
    DhcpOptionsId, InternetGatewayId, NetworkAclId, RouteTableAssociationId, RouteTableId, SecurityGroupId,
    SecurityGroupRuleId, VpcCidrAssociationId, VpcId,
};
use types::{ApiError, Scope};
use wire::Unit;

/// The sizes that a VPC may have. Source: VPC user guide, "VPC CIDR blocks".
const SIZES: std::ops::RangeInclusive<u8> = 16..=28;

/// What no VPC may have a part of: this network, loopback, link-local, multicast and what is reserved. Source: RFC 6890.
const UNUSABLE: [Ipv4Net; 5] = [
    Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 8),
    Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16),
    Ipv4Net::new_assert(Ipv4Addr::new(224, 0, 0, 0), 4),
    Ipv4Net::new_assert(Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// Whether a VPC may have the block.
pub(crate) fn is_usable(block: Ipv4Net) -> bool {
    SIZES.contains(&block.prefix_len()) && !UNUSABLE.iter().any(|range| range.contains(&block))
}

/// The block of a default VPC.
const DEFAULT_BLOCK: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(172, 31, 0, 0), 16);

/// Gives the region its default DHCP options and default VPC when it is used for the first time.
pub(crate) fn ensure_region(cx: &mut Context) {
    let scope = cx.scope.clone();
    if cx.view().contains::<RegionDefaults>(&scope, RegionDefaults::ID) {
        return;
    }
    let tx = cx.tx();
    // Another call may have been first between the look and the transaction.
    if tx.contains::<RegionDefaults>(&scope, RegionDefaults::ID) {
        return;
    }
    // A store from before there were other sets holds the default one alone.
    let standing = tx.scan::<DhcpOptions>(&scope).next().map(|options| options.id.clone());
    if let Some(standing) = standing {
        tx.put(&scope, RegionDefaults { id: RegionDefaults::ID.to_owned(), dhcp_options: standing });
        return;
    }
    make_default(tx, &scope);
}

/// The DHCP options that new VPCs get.
fn default_dhcp_options(tx: &mut Tx, scope: &Scope) -> DhcpOptionsId {
    let standing = tx.get::<RegionDefaults>(scope, RegionDefaults::ID).map(|defaults| defaults.dhcp_options.clone());
    if let Some(standing) = standing.filter(|id| tx.contains::<DhcpOptions>(scope, id.as_str())) {
        return standing;
    }
    let id = tx.put(scope, dhcp_options::regions_own(&scope.region)).id.clone();
    tx.put(scope, RegionDefaults { id: RegionDefaults::ID.to_owned(), dhcp_options: id.clone() });
    id
}

/// Makes the default VPC with its internet gateway and a subnet in each zone.
fn make_default(tx: &mut Tx, scope: &Scope) -> Vpc {
    let block = DEFAULT_BLOCK;
    let vpc = make(tx, scope, block, "default", true, Tags::new());
    let gateway = InternetGateway { id: InternetGatewayId::generate(), vpc: Some(vpc.id.clone()), tags: Tags::new() };
    let everywhere =
        Route { destination: Ok(Ipv4Net::default().into()), target: Target::InternetGateway(gateway.id.clone()) };
    tx.put(scope, gateway);
    tx.update::<RouteTable>(scope, vpc.main_route_table.as_str(), |table| table.routes.push(everywhere));
    let blocks = block.subnets(subnet::DEFAULT_SIZE).into_iter().flatten();
    for (zone, block) in scope.region.zones().into_iter().zip(blocks) {
        tx.put(scope, subnet::default_row(&vpc, block, zone));
    }
    vpc
}

/// All IPv4 addresses.
pub(crate) const EVERYWHERE: &str = "0.0.0.0/0";
/// All IPv6 addresses.
pub(crate) const EVERYWHERE_IPV6: &str = "::/0";

/// A default network ACL's own entry for a family's block of all addresses.
pub(crate) fn allow_all(number: i32, egress: bool, everywhere: &str) -> AclEntry {
    let (protocol, cidr) = ("-1".to_owned(), everywhere.to_owned());
    AclEntry { number, egress, allow: true, protocol, traffic: AclTraffic::All, cidr }
}

/// A rule for everything from or to a peer.
pub(crate) fn everything(egress: bool, peer: Peer) -> Rule {
    Rule {
        id: SecurityGroupRuleId::generate(),
        egress,
        protocol: "-1".to_owned(),
        from_port: -1,
        to_port: -1,
        peer,
        description: None,
        tags: Tags::new(),
    }
}

/// Makes a VPC with its main route table, default network ACL and default security group.
fn make(tx: &mut Tx, scope: &Scope, cidr: Ipv4Net, tenancy: &str, is_default: bool, tags: Tags) -> Vpc {
    let vpc = Vpc {
        id: VpcId::generate(),
        cidr,
        cidr_association: VpcCidrAssociationId::generate(),
        secondary: Vec::new(),
        ipv6: Vec::new(),
        instance_tenancy: tenancy.to_owned(),
        is_default,
        dns_support: true,
        dns_hostnames: is_default,
        usage_metrics: false,
        dhcp_options: Some(default_dhcp_options(tx, scope)),
        main_route_table: RouteTableId::generate(),
        default_network_acl: NetworkAclId::generate(),
        default_security_group: SecurityGroupId::generate(),
        tags,
    };
    tx.put(
        scope,
        RouteTable {
            id: vpc.main_route_table.clone(),
            vpc: vpc.id.clone(),
            main_association: Some(RouteTableAssociationId::generate()),
            routes: Vec::new(),
            associations: Vec::new(),
            tags: Tags::new(),
        },
    );
    tx.put(
        scope,
        NetworkAcl {
            id: vpc.default_network_acl.clone(),
            vpc: vpc.id.clone(),
            is_default: true,
            entries: vec![allow_all(100, true, EVERYWHERE), allow_all(100, false, EVERYWHERE)],
            tags: Tags::new(),
        },
    );
    tx.put(
        scope,
        SecurityGroup {
            id: vpc.default_security_group.clone(),
            vpc: vpc.id.clone(),
            name: "default".to_owned(),
            description: "default VPC security group".to_owned(),
            rules: vec![
                everything(false, Peer::Group(vpc.default_security_group.clone())),
                everything(true, Peer::Ipv4(EVERYWHERE.to_owned())),
            ],
            tags: Tags::new(),
        },
    );
    (*tx.put(scope, vpc)).clone()
}

pub(crate) fn create(
    service: &Ec2,
    cx: &mut Context,
    input: ec2::CreateVpcRequest,
) -> Result<ec2::CreateVpcResult, ApiError> {
    refuse(input.ipv6_cidr_block.is_some() || input.ipv6_pool.is_some(), "IPv6 pools of one's own")?;
    let sized = input.ipv4_netmask_length.is_some() || input.ipv6_netmask_length.is_some();
    refuse(sized || input.ipv4_ipam_pool_id.is_some() || input.ipv6_ipam_pool_id.is_some(), "IPAM pools")?;
    refuse(input.vpc_encryption_control.is_some(), "VPC encryption control")?;
    let text = input.cidr_block.as_deref().ok_or_else(|| texts::missing("cidrBlock"))?;
    let cidr = block(text)?;
    if !is_usable(cidr) {
        return Err(texts::vpc_range(text));
    }
    let tenancy = input.instance_tenancy.as_deref().unwrap_or("default");
    refuse(tenancy == "dedicated", "dedicated tenancy")?;
    // AWS's model knows `host` as well, and its documents say that no VPC may have it.
    if tenancy != "default" {
        return Err(texts::invalid_value(tenancy, "instanceTenancy", "Expecting default or dedicated."));
    }
    let tags = tags::at_creation(input.tag_specifications, "vpc")?;
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    vpc_cidr::check_border_group(&scope, input.ipv6_cidr_block_network_border_group.as_deref())?;
    let tx = cx.tx();
    let vpc = make(tx, &scope, cidr, tenancy, false, tags);
    let given = input.amazon_provided_ipv6_cidr_block == Some(true);
    let ipv6 = given.then(|| vpc_cidr::give_ipv6(tx, &scope, &service.ground, &vpc)).transpose()?;
    let mut shown = show(&scope, &vpc);
    shown.state = Some("pending".to_owned());
    shown.ipv6_cidr_block_association_set =
        ipv6.map(|(id, cidr)| vec![vpc_cidr::shown_ipv6(&scope, &id, cidr, "associating")]);
    Ok(ec2::CreateVpcResult { vpc: Some(shown) })
}

/// Makes the default VPC anew after it has been deleted.
pub(crate) fn create_default(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::CreateDefaultVpcRequest,
) -> Result<ec2::CreateDefaultVpcResult, ApiError> {
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    if tx.scan::<Vpc>(&scope).any(|vpc| vpc.is_default) {
        return Err(texts::default_vpc_exists());
    }
    let vpc = make_default(tx, &scope);
    Ok(ec2::CreateDefaultVpcResult { vpc: Some(ec2::Vpc { state: Some("pending".to_owned()), ..show(&scope, &vpc) }) })
}

/// Tenancy can only be given up, and no VPC here is dedicated.
pub(crate) fn modify_tenancy(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::ModifyVpcTenancyRequest,
) -> Result<ec2::ModifyVpcTenancyResult, ApiError> {
    if input.instance_tenancy != "default" {
        return Err(texts::unsupported_tenancy(&input.instance_tenancy));
    }
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let updated = cx.tx().update::<Vpc>(&scope, &input.vpc_id, |vpc| vpc.instance_tenancy = input.instance_tenancy);
    updated.ok_or_else(|| texts::vpc_not_found(&input.vpc_id))?;
    Ok(ec2::ModifyVpcTenancyResult { return_value: Some(true) })
}

/// An IPv4 block, made canonical as AWS does: `100.68.0.18/18` is `100.68.0.0/18`.
pub(crate) fn block(text: &str) -> Result<Ipv4Net, ApiError> {
    text.parse::<Ipv4Net>().map(|net| net.trunc()).map_err(|_| texts::bad_cidr(text))
}

/// All blocks with their associations, the primary one first.
fn associations(vpc: &Vpc) -> impl Iterator<Item = (&VpcCidrAssociationId, Ipv4Net)> {
    let secondary = vpc.secondary.iter().map(|(id, cidr)| (id, *cidr));
    std::iter::once((&vpc.cidr_association, vpc.cidr)).chain(secondary)
}

fn show(scope: &Scope, vpc: &Vpc) -> ec2::Vpc {
    ec2::Vpc {
        vpc_id: Some(vpc.id.to_string()),
        owner_id: Some(scope.account.to_string()),
        state: Some("available".to_owned()),
        cidr_block: Some(vpc.cidr.to_string()),
        cidr_block_association_set: Some(
            associations(vpc).map(|(id, cidr)| vpc_cidr::shown(id, cidr, "associated")).collect(),
        ),
        ipv6_cidr_block_association_set: Some(
            vpc.ipv6.iter().map(|(id, cidr)| vpc_cidr::shown_ipv6(scope, id, *cidr, "associated")).collect(),
        ),
        dhcp_options_id: Some(vpc.dhcp_options.as_ref().map_or_else(|| "default".to_owned(), ToString::to_string)),
        instance_tenancy: Some(vpc.instance_tenancy.clone()),
        is_default: Some(vpc.is_default),
        tags: tags::shown(&vpc.tags),
        ..ec2::Vpc::default()
    }
}

const KIND: Kind<Vpc> = Kind { not_found: texts::vpc_not_found, tags: |_, vpc| &vpc.tags, filter };

fn filter(name: &str) -> Option<Values<Vpc>> {
    Some(match name {
        "cidr" | "cidrBlock" => Box::new(|_, _, vpc| one(vpc.cidr)),
        "cidr-block-association.cidr-block" => Box::new(|_, _, vpc| vpc.cidrs().map(|cidr| cidr.to_string()).collect()),
        "cidr-block-association.association-id" => {
            Box::new(|_, _, vpc| associations(vpc).map(|(id, _)| id.to_string()).collect())
        }
        "cidr-block-association.state" => Box::new(|_, _, _| one("associated")),
        "dhcp-options-id" => Box::new(|_, _, vpc| maybe(vpc.dhcp_options.as_ref())),
        "ipv6-cidr-block-association.ipv6-cidr-block" => {
            Box::new(|_, _, vpc| vpc.ipv6_cidrs().map(|cidr| cidr.to_string()).collect())
        }
        "ipv6-cidr-block-association.ipv6-pool" => {
            Box::new(|_, _, vpc| vpc.ipv6.iter().map(|_| vpc_cidr::AMAZON.to_owned()).collect())
        }
        "ipv6-cidr-block-association.association-id" => {
            Box::new(|_, _, vpc| vpc.ipv6.iter().map(|(id, _)| id.to_string()).collect())
        }
        "ipv6-cidr-block-association.state" => {
            Box::new(|_, _, vpc| vpc.ipv6.iter().map(|_| "associated".to_owned()).collect())
        }
        "is-default" | "isDefault" => Box::new(|_, _, vpc| one(vpc.is_default)),
        "owner-id" => Box::new(|_, scope, _| one(&scope.account)),
        "state" => Box::new(|_, _, _| one("available")),
        "vpc-id" => Box::new(|_, _, vpc| one(&vpc.id)),
        _ => return None,
    })
}

pub(crate) fn describe(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DescribeVpcsRequest,
) -> Result<ec2::DescribeVpcsResult, ApiError> {
    begin(cx, input.dry_run)?;
    let (max_results, next_token) = (input.max_results, input.next_token);
    let selection = Selection { ids: input.vpc_ids, filters: input.filters, max_results, next_token };
    let (rows, next_token) = describe::rows(cx, &KIND, selection)?;
    Ok(ec2::DescribeVpcsResult { vpcs: Some(rows.iter().map(|vpc| show(&cx.scope, vpc)).collect()), next_token })
}

pub(crate) fn delete(_: &Ec2, cx: &mut Context, input: ec2::DeleteVpcRequest) -> Result<Unit, ApiError> {
    begin(cx, input.dry_run)?;
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let id = &input.vpc_id;
    let vpc = tx.get::<Vpc>(&scope, id).ok_or_else(|| texts::vpc_not_found(id))?;
    let used = tx.by_index(&Subnet::BY_VPC, &scope, id).next().is_some()
        || tx.by_index(&InternetGateway::BY_VPC, &scope, id).next().is_some()
        || tx.by_index(&EgressOnlyInternetGateway::BY_VPC, &scope, id).next().is_some()
        || tx.by_index(&NetworkInterface::BY_VPC, &scope, id).next().is_some()
        || tx.by_index(&VpcEndpoint::BY_VPC, &scope, id).next().is_some()
        || tx.by_index(&NatGateway::BY_VPC, &scope, id).any(|nat| nat.state != NatGatewayState::Deleted)
        || tx.by_index(&RouteTable::BY_VPC, &scope, id).any(|table| table.id != vpc.main_route_table)
        || tx.by_index(&NetworkAcl::BY_VPC, &scope, id).any(|acl| !acl.is_default)
        || tx.by_index(&SecurityGroup::BY_VPC, &scope, id).any(|group| group.id != vpc.default_security_group);
    let peered = query::peerings(tx, &scope).iter().any(|row| {
        let standing = matches!(row.at(now).state, PeeringState::Active | PeeringState::PendingAcceptance);
        standing && row.beyond(&vpc.id).is_some()
    });
    if used || peered {
        return Err(texts::dependency("vpc", id));
    }
    tx.delete::<RouteTable>(&scope, vpc.main_route_table.as_str());
    tx.delete::<NetworkAcl>(&scope, vpc.default_network_acl.as_str());
    tx.delete::<SecurityGroup>(&scope, vpc.default_security_group.as_str());
    tx.delete::<Vpc>(&scope, id);
    Ok(Unit)
}

pub(crate) fn describe_attribute(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DescribeVpcAttributeRequest,
) -> Result<ec2::DescribeVpcAttributeResult, ApiError> {
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let vpc = cx.view().get::<Vpc>(&scope, &input.vpc_id).ok_or_else(|| texts::vpc_not_found(&input.vpc_id))?;
    let mut result = ec2::DescribeVpcAttributeResult { vpc_id: Some(input.vpc_id), ..Default::default() };
    let value = |value| Some(ec2::AttributeBooleanValue { value: Some(value) });
    match input.attribute.as_str() {
        "enableDnsSupport" => result.enable_dns_support = value(vpc.dns_support),
        "enableDnsHostnames" => result.enable_dns_hostnames = value(vpc.dns_hostnames),
        "enableNetworkAddressUsageMetrics" => result.enable_network_address_usage_metrics = value(vpc.usage_metrics),
        other => return Err(texts::invalid_value(other, "attribute", "Unknown VPC attribute.")),
    }
    Ok(result)
}

pub(crate) fn modify_attribute(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::ModifyVpcAttributeRequest,
) -> Result<Unit, ApiError> {
    begin(cx, None)?;
    let given = |value: Option<ec2::AttributeBooleanValue>| value.and_then(|value| value.value);
    let (support, hostnames, metrics) = (
        given(input.enable_dns_support),
        given(input.enable_dns_hostnames),
        given(input.enable_network_address_usage_metrics),
    );
    if [support, hostnames, metrics].iter().flatten().count() != 1 {
        return Err(texts::invalid_combination("Exactly one attribute must be specified"));
    }
    let scope = cx.scope.clone();
    let updated = cx.tx().update::<Vpc>(&scope, &input.vpc_id, |vpc| {
        vpc.dns_support = support.unwrap_or(vpc.dns_support);
        vpc.dns_hostnames = hostnames.unwrap_or(vpc.dns_hostnames);
        vpc.usage_metrics = metrics.unwrap_or(vpc.usage_metrics);
    });
    updated.map(|_| Unit).ok_or_else(|| texts::vpc_not_found(&input.vpc_id))
}
