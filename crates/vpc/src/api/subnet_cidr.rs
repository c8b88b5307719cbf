//! The IPv6 blocks of subnets, one each.

use super::{Ec2, begin, refuse};
use crate::rows::{NetworkInterface, Subnet, Vpc};
use crate::texts;
use gateway::Context;
use ipnet::Ipv6Net;
use model::ec2;
use std::sync::Arc;
use store::View;
use types::id::SubnetCidrAssociationId;
use types::{ApiError, Scope};

/// An association as the API shows it.
pub(crate) fn shown(id: &SubnetCidrAssociationId, cidr: Ipv6Net, state: &str) -> ec2::SubnetIpv6CidrBlockAssociation {
    ec2::SubnetIpv6CidrBlockAssociation {
        association_id: Some(id.to_string()),
        ipv6_cidr_block: Some(cidr.to_string()),
        ipv6_cidr_block_state: Some(ec2::SubnetCidrBlockState { state: Some(state.to_owned()), status_message: None }),
        ipv6_address_attribute: Some("public".to_owned()),
        ip_source: Some("amazon".to_owned()),
    }
}

/// The block for a subnet of `vpc`, which must be free. Its size is from /44 to /64 in steps of four. Source: VPC user
/// guide, "Subnet sizing for IPv6".
pub(crate) fn block(view: &View, scope: &Scope, vpc: &Vpc, text: &str) -> Result<Ipv6Net, ApiError> {
    let cidr = text.parse::<Ipv6Net>().map_err(|_| texts::bad_ipv6_cidr(text))?.trunc();
    if !(44..=64).contains(&cidr.prefix_len()) || !cidr.prefix_len().is_multiple_of(4) {
        return Err(texts::bad_ipv6_cidr(text));
    }
    if !vpc.ipv6_cidrs().any(|block| block.contains(&cidr)) {
        return Err(texts::subnet_range(text));
    }
    let overlaps = |other: &Arc<Subnet>| {
        other.ipv6.as_ref().is_some_and(|(_, other)| other.contains(&cidr) || cidr.contains(other))
    };
    if view.by_index(&Subnet::BY_VPC, scope, vpc.id.as_str()).any(overlaps) {
        return Err(texts::subnet_conflict(text));
    }
    Ok(cidr)
}

pub(crate) fn associate(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::AssociateSubnetCidrBlockRequest,
) -> Result<ec2::AssociateSubnetCidrBlockResult, ApiError> {
    refuse(input.ipv6_ipam_pool_id.is_some() || input.ipv6_netmask_length.is_some(), "IPAM pools")?;
    let text = input.ipv6_cidr_block.as_deref().ok_or_else(|| texts::missing("ipv6CidrBlock"))?;
    begin(cx, None)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let id = &input.subnet_id;
    let subnet = tx.get::<Subnet>(&scope, id).ok_or_else(|| texts::subnet_not_found(id))?;
    let vpc = subnet.vpc.as_str();
    let vpc = tx.get::<Vpc>(&scope, vpc).ok_or_else(|| texts::vpc_not_found(vpc))?;
    let cidr = block(tx, &scope, &vpc, text)?;
    if subnet.ipv6.is_some() {
        return Err(texts::too_many_vpc_blocks(id, 1));
    }
    let association = SubnetCidrAssociationId::generate();
    let result = ec2::AssociateSubnetCidrBlockResult {
        ipv6_cidr_block_association: Some(shown(&association, cidr, "associating")),
        subnet_id: Some(id.clone()),
    };
    tx.update::<Subnet>(&scope, id, |subnet| subnet.ipv6 = Some((association, cidr)));
    Ok(result)
}

pub(crate) fn disassociate(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DisassociateSubnetCidrBlockRequest,
) -> Result<ec2::DisassociateSubnetCidrBlockResult, ApiError> {
    begin(cx, None)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let id = input.association_id.as_str();
    let has = |subnet: &&Arc<Subnet>| subnet.ipv6.as_ref().is_some_and(|(of, _)| of.as_str() == id);
    let subnet = tx.scan::<Subnet>(&scope).find(has).cloned().ok_or_else(|| texts::subnet_block_not_found(id))?;
    if subnet.assign_ipv6_on_creation {
        let why = "because its subnet has assign-ipv6-address-on-creation set to true.";
        return Err(texts::subnet_block_in_use(id, why));
    }
    let mut interfaces = tx.by_index(&NetworkInterface::BY_SUBNET, &scope, subnet.id.as_str());
    let used = interfaces.any(|interface| !interface.ipv6.is_empty());
    drop(interfaces);
    if used {
        return Err(texts::subnet_block_in_use(id, "because network interfaces have addresses of it."));
    }
    let gone = subnet.ipv6.as_ref().map(|(of, cidr)| shown(of, *cidr, "disassociating"));
    tx.update::<Subnet>(&scope, subnet.id.as_str(), |subnet| subnet.ipv6 = None);
    Ok(ec2::DisassociateSubnetCidrBlockResult {
        ipv6_cidr_block_association: gone,
        subnet_id: Some(subnet.id.to_string()),
    })
}
