//! The further blocks of VPCs.

use super::vpc::{block, is_usable};
use super::{Ec2, begin, refuse};
use crate::query;
use crate::rows::{PeeringState, RouteTable, Subnet, Vpc};
use crate::texts;
use gateway::Context;
use ipnet::Ipv4Net;
use model::ec2;
use std::net::Ipv4Addr;
use std::sync::Arc;
use types::ApiError;
use types::id::VpcCidrAssociationId;

/// How many blocks a VPC may have. Source: VPC user guide, "Amazon VPC quotas".
const MAX_BLOCKS: usize = 5;

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

pub(crate) fn associate(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::AssociateVpcCidrBlockRequest,
) -> Result<ec2::AssociateVpcCidrBlockResult, ApiError> {
    refuse(
        input.amazon_provided_ipv6_cidr_block == Some(true)
            || input.ipv6_cidr_block.is_some()
            || input.ipv6_pool.is_some()
            || input.ipv6_netmask_length.is_some(),
        "IPv6 blocks of VPCs",
    )?;
    refuse(input.ipv4_ipam_pool_id.is_some() || input.ipv6_ipam_pool_id.is_some(), "IPAM pools")?;
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
        table.routes.iter().any(|route| matches!(&route.destination, Ok(block) if cidr.contains(block)))
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
