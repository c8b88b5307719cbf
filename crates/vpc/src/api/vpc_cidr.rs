//! The further blocks of VPCs, IPv4 and IPv6.

use super::vpc::{EVERYWHERE, EVERYWHERE_IPV6, allow_all, block, everything, is_usable};
use super::{Ec2, begin, refuse};
use crate::query;
use crate::rows::{NetworkAcl, Peer, PeeringState, RouteTable, SecurityGroup, Subnet, Vpc};
use crate::texts;
use gateway::Context;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use model::ec2;
use netplan::Ground;
use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use store::{Tx, View};
use types::id::VpcCidrAssociationId;
use types::{ApiError, Scope};

/// How many blocks a VPC may have of IPv4, and how many of IPv6. Source: VPC user guide, "Amazon VPC quotas".
const MAX_BLOCKS: usize = 5;

/// The pool of the blocks that Amazon provides.
pub(crate) const AMAZON: &str = "Amazon";

const TEN: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8);
const FIRST_OF_TEN: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 16);
const FIRST_TWO_OF_TEN: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 15);
const TWELVE: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12);
const DEFAULT: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(172, 31, 0, 0), 16);
const SIXTEEN: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16);
const BENCHMARK: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(198, 19, 0, 0), 16);

fn overlap(a: Ipv4Net, b: Ipv4Net) -> bool {
    a.contains(&b) || b.contains(&a)
}

/// Whether a VPC with that primary block may not have `new` as well. Source: VPC user guide, "IPv4 CIDR block association
/// restrictions".
fn restricted(primary: Ipv4Net, new: Ipv4Net) -> bool {
    let ranges: &[Ipv4Net] = if FIRST_TWO_OF_TEN.contains(&primary) {
        &[TWELVE, SIXTEEN, BENCHMARK, FIRST_OF_TEN]
    } else if TEN.contains(&primary) {
        &[TWELVE, SIXTEEN, BENCHMARK]
    } else if TWELVE.contains(&primary) {
        &[TEN, SIXTEEN, BENCHMARK, DEFAULT]
    } else if SIXTEEN.contains(&primary) {
        &[TEN, TWELVE, BENCHMARK]
    } else if BENCHMARK.contains(&primary) {
        &[TEN, TWELVE, SIXTEEN]
    } else {
        &[TEN, TWELVE, SIXTEEN, BENCHMARK]
    };
    ranges.iter().any(|range| overlap(*range, new))
}

/// An association as the API shows it.
pub(crate) fn shown(id: &VpcCidrAssociationId, cidr: Ipv4Net, state: &str) -> ec2::VpcCidrBlockAssociation {
    ec2::VpcCidrBlockAssociation {
        association_id: Some(id.to_string()),
        cidr_block: Some(cidr.to_string()),
        cidr_block_state: Some(ec2::VpcCidrBlockState { state: Some(state.to_owned()), status_message: None }),
    }
}

/// An association of an IPv6 block as the API shows it.
pub(crate) fn shown_ipv6(
    scope: &Scope,
    id: &VpcCidrAssociationId,
    cidr: Ipv6Net,
    state: &str,
) -> ec2::VpcIpv6CidrBlockAssociation {
    ec2::VpcIpv6CidrBlockAssociation {
        association_id: Some(id.to_string()),
        ipv6_cidr_block: Some(cidr.to_string()),
        ipv6_cidr_block_state: Some(ec2::VpcCidrBlockState { state: Some(state.to_owned()), status_message: None }),
        network_border_group: Some(scope.region.to_string()),
        ipv6_pool: Some(AMAZON.to_owned()),
        ipv6_address_attribute: Some("public".to_owned()),
        ip_source: Some("amazon".to_owned()),
    }
}

/// The group of zones that a block is announced from can only be the region here.
pub(crate) fn check_border_group(scope: &Scope, group: Option<&str>) -> Result<(), ApiError> {
    refuse(group.is_some_and(|group| group != scope.region.as_str()), "network border groups other than the region")
}

/// The first block that no VPC has, in any account and region, so that every two VPCs can be peered.
fn free_ipv6(view: &View, ground: &Ground) -> Result<Ipv6Net, ApiError> {
    let taken: HashSet<Ipv6Net> = view.scan_all::<Vpc>().flat_map(|(_, vpc)| vpc.ipv6_cidrs()).collect();
    ground.ipv6_blocks().find(|block| !taken.contains(block)).ok_or_else(texts::no_public_address)
}

/// Gives a VPC an IPv6 block. What its default network ACL and group have not been deprived of, they get for IPv6.
/// Source: VPC user guide, "Default network ACL for a VPC" and "Default security groups for your VPCs".
pub(crate) fn give_ipv6(
    tx: &mut Tx,
    scope: &Scope,
    ground: &Ground,
    vpc: &Vpc,
) -> Result<(VpcCidrAssociationId, Ipv6Net), ApiError> {
    if !ground.ipv6 {
        return Err(ApiError::new(
            "UnsupportedOperation",
            "This machine does not speak IPv6, or uses the block that VPCs would have theirs from.",
        ));
    }
    if vpc.ipv6.len() >= MAX_BLOCKS {
        return Err(texts::too_many_vpc_blocks(vpc.id.as_str(), MAX_BLOCKS));
    }
    let cidr = free_ipv6(tx, ground)?;
    let association = VpcCidrAssociationId::generate();
    let given = (association.clone(), cidr);
    tx.update::<Vpc>(scope, vpc.id.as_str(), |vpc| vpc.ipv6.push(given));
    tx.update::<NetworkAcl>(scope, vpc.default_network_acl.as_str(), |acl| {
        for egress in [true, false] {
            let untouched = acl.entries.iter().filter(|entry| entry.egress == egress);
            if untouched.eq([&allow_all(100, egress, EVERYWHERE)]) {
                acl.entries.push(allow_all(101, egress, EVERYWHERE_IPV6));
            }
        }
    });
    tx.update::<SecurityGroup>(scope, vpc.default_security_group.as_str(), |group| {
        let mut egress = group.rules.iter().filter(|rule| rule.egress);
        let alone = egress.next().is_some_and(|rule| rule.same(&everything(true, Peer::Ipv4(EVERYWHERE.to_owned()))));
        if alone && egress.next().is_none() {
            group.rules.push(everything(true, Peer::Ipv6(EVERYWHERE_IPV6.to_owned())));
        }
    });
    Ok((association, cidr))
}

fn associate_ipv6(service: &Ec2, cx: &mut Context, id: &str) -> Result<ec2::AssociateVpcCidrBlockResult, ApiError> {
    begin(cx, None)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let vpc = tx.get::<Vpc>(&scope, id).ok_or_else(|| texts::vpc_not_found(id))?;
    let (association, cidr) = give_ipv6(tx, &scope, &service.ground, &vpc)?;
    Ok(ec2::AssociateVpcCidrBlockResult {
        ipv6_cidr_block_association: Some(shown_ipv6(&scope, &association, cidr, "associating")),
        vpc_id: Some(id.to_owned()),
        ..Default::default()
    })
}

pub(crate) fn associate(
    service: &Ec2,
    cx: &mut Context,
    input: ec2::AssociateVpcCidrBlockRequest,
) -> Result<ec2::AssociateVpcCidrBlockResult, ApiError> {
    refuse(input.ipv6_cidr_block.is_some() || input.ipv6_pool.is_some(), "IPv6 pools of one's own")?;
    let sized = input.ipv4_netmask_length.is_some() || input.ipv6_netmask_length.is_some();
    refuse(sized || input.ipv4_ipam_pool_id.is_some() || input.ipv6_ipam_pool_id.is_some(), "IPAM pools")?;
    check_border_group(&cx.scope, input.ipv6_cidr_block_network_border_group.as_deref())?;
    if input.amazon_provided_ipv6_cidr_block == Some(true) {
        if input.cidr_block.is_some() {
            return Err(texts::invalid_combination(
                "Only one of cidrBlock and amazonProvidedIpv6CidrBlock may be specified",
            ));
        }
        return associate_ipv6(service, cx, &input.vpc_id);
    }
    let text = input.cidr_block.as_deref().ok_or_else(|| texts::missing("cidrBlock"))?;
    let cidr = block(text)?;
    if !is_usable(cidr) {
        return Err(texts::vpc_range(text));
    }
    begin(cx, None)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let id = &input.vpc_id;
    let vpc = tx.get::<Vpc>(&scope, id).ok_or_else(|| texts::vpc_not_found(id))?;
    if vpc.cidrs().any(|standing| overlap(standing, cidr)) {
        return Err(texts::vpc_conflict(cidr));
    }
    if restricted(vpc.cidr, cidr) {
        return Err(texts::vpc_restricted(cidr));
    }
    let within = |table: &Arc<RouteTable>| {
        table.routes.iter().any(|route| matches!(&route.destination, Ok(block) if IpNet::V4(cidr).contains(block)))
    };
    if tx.by_index(&RouteTable::BY_VPC, &scope, id).any(within) {
        return Err(texts::vpc_conflict(cidr));
    }
    let peers = query::peerings(tx, &scope);
    let beyond = peers.iter().filter(|row| row.state == PeeringState::Active).filter_map(|row| row.beyond(&vpc.id));
    let mut theirs = beyond.filter_map(|side| tx.get::<Vpc>(&side.scope, side.vpc.as_str()));
    if theirs.any(|peer| peer.cidrs().any(|standing| overlap(standing, cidr))) {
        return Err(texts::vpc_conflict(cidr));
    }
    if vpc.cidrs().count() >= MAX_BLOCKS {
        return Err(texts::too_many_vpc_blocks(id, MAX_BLOCKS));
    }
    let association = VpcCidrAssociationId::generate();
    let result = ec2::AssociateVpcCidrBlockResult {
        cidr_block_association: Some(shown(&association, cidr, "associating")),
        vpc_id: Some(id.clone()),
        ..Default::default()
    };
    tx.update::<Vpc>(&scope, id, |vpc| vpc.secondary.push((association, cidr)));
    Ok(result)
}

pub(crate) fn disassociate(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DisassociateVpcCidrBlockRequest,
) -> Result<ec2::DisassociateVpcCidrBlockResult, ApiError> {
    begin(cx, None)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let id = input.association_id.as_str();
    if tx.scan::<Vpc>(&scope).any(|vpc| vpc.cidr_association.as_str() == id) {
        return Err(texts::primary_block_stays(id));
    }
    if let Some((vpc, cidr)) = of_ipv6(tx, &scope, id) {
        return disassociate_ipv6(tx, &scope, &vpc, id, cidr);
    }
    let found = tx.scan::<Vpc>(&scope).find_map(|vpc| {
        let (association, cidr) = vpc.secondary.iter().find(|(association, _)| association.as_str() == id)?;
        Some((vpc.id.clone(), association.clone(), *cidr))
    });
    let (vpc, association, cidr) = found.ok_or_else(|| texts::vpc_block_not_found(id))?;
    if tx.by_index(&Subnet::BY_VPC, &scope, vpc.as_str()).any(|subnet| cidr.contains(&subnet.cidr)) {
        return Err(texts::vpc_block_in_use(&vpc, cidr));
    }
    tx.update::<Vpc>(&scope, vpc.as_str(), |vpc| vpc.secondary.retain(|(of, _)| *of != association));
    Ok(ec2::DisassociateVpcCidrBlockResult {
        cidr_block_association: Some(shown(&association, cidr, "disassociating")),
        vpc_id: Some(vpc.to_string()),
        ..Default::default()
    })
}

/// The VPC that has an IPv6 block by that association, and the block.
fn of_ipv6(view: &View, scope: &Scope, id: &str) -> Option<(Arc<Vpc>, Ipv6Net)> {
    view.scan::<Vpc>(scope).find_map(|vpc| {
        let (_, cidr) = vpc.ipv6.iter().find(|(association, _)| association.as_str() == id)?;
        Some((vpc.clone(), *cidr))
    })
}

fn disassociate_ipv6(
    tx: &mut Tx,
    scope: &Scope,
    vpc: &Vpc,
    id: &str,
    cidr: Ipv6Net,
) -> Result<ec2::DisassociateVpcCidrBlockResult, ApiError> {
    let inside = |subnet: &Arc<Subnet>| subnet.ipv6.as_ref().is_some_and(|(_, block)| cidr.contains(block));
    if tx.by_index(&Subnet::BY_VPC, scope, vpc.id.as_str()).any(inside) {
        return Err(texts::vpc_block_in_use(&vpc.id, cidr));
    }
    let association = vpc.ipv6.iter().find(|(of, _)| of.as_str() == id);
    let shown = association.map(|(of, cidr)| shown_ipv6(scope, of, *cidr, "disassociating"));
    tx.update::<Vpc>(scope, vpc.id.as_str(), |vpc| vpc.ipv6.retain(|(of, _)| of.as_str() != id));
    Ok(ec2::DisassociateVpcCidrBlockResult {
        ipv6_cidr_block_association: shown,
        vpc_id: Some(vpc.id.to_string()),
        ..Default::default()
    })
}
