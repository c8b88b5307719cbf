//! VPC peering connections: asked for by one side, answered by the other, ended by either.

use super::describe::{self, Kind, Selection, Values, one};
use super::{Ec2, begin, refuse, tags};
use crate::query;
use crate::rows::{PeeringSide, PeeringState, Tags, Vpc, VpcPeeringConnection};
use crate::texts;
use gateway::Context;
use model::ec2;
use std::sync::Arc;
use store::{Tx, View};
use types::id::{VpcId, VpcPeeringConnectionId};
use types::{AccountId, ApiError, Region, Scope};

/// The connection of that id, if `scope` is one of its sides and is still told of it.
fn find(view: &View, cx: &Context, id: &str) -> Result<VpcPeeringConnection, ApiError> {
    let found =
        query::peering(view, &cx.scope, id).filter(|row| row.visible(&cx.scope, cx.now)).map(|row| row.at(cx.now));
    found.ok_or_else(|| texts::peering_not_found(id))
}

/// The tags that `scope` gave it.
pub(crate) fn tags_of<'a>(scope: &Scope, row: &'a VpcPeeringConnection) -> &'a Tags {
    row.side(scope).map_or(&row.requester.tags, |side| &side.tags)
}

/// Changes the tags that `scope` gave a connection. False if there is none.
pub(crate) fn change_tags(tx: &mut Tx, scope: &Scope, id: &str, change: &mut dyn FnMut(&mut Tags)) -> bool {
    let Some(found) = query::peering(tx, scope, id) else { return false };
    let updated = tx.update::<VpcPeeringConnection>(&found.requester.scope, id, |row| {
        let side = if row.requester.scope == *scope { &mut row.requester } else { &mut row.accepter };
        change(&mut side.tags);
    });
    updated.is_some()
}

/// Whether the blocks of two VPCs have addresses in common. One that is not there has none that fit.
fn fit(view: &View, a: &PeeringSide, b: &PeeringSide) -> bool {
    let vpc = |side: &PeeringSide| view.get::<Vpc>(&side.scope, side.vpc.as_str());
    let (Some(a), Some(b)) = (vpc(a), vpc(b)) else { return false };
    !a.cidrs().any(|ours| b.cidrs().any(|theirs| ours.contains(&theirs) || theirs.contains(&ours)))
}

/// Options that only ClassicLink and multipath have.
fn dns_option(options: Option<ec2::PeeringConnectionOptionsRequest>) -> Result<Option<bool>, ApiError> {
    let Some(options) = options else { return Ok(None) };
    let classic = options.allow_egress_from_local_classic_link_to_remote_vpc == Some(true)
        || options.allow_egress_from_local_vpc_to_remote_classic_link == Some(true);
    refuse(classic, "ClassicLink")?;
    refuse(
        options.allow_multipath_resilience.is_some() || options.multipath_resilience_mode.is_some(),
        "multipath resilience of VPC peering",
    )?;
    Ok(options.allow_dns_resolution_from_remote_vpc)
}

pub(crate) fn create(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::CreateVpcPeeringConnectionRequest,
) -> Result<ec2::CreateVpcPeeringConnectionResult, ApiError> {
    refuse(input.requester_peering_connection_options.is_some(), "options of VPC peering at its creation")?;
    let peer = input.peer_vpc_id.as_deref().ok_or_else(|| texts::missing("peerVpcId"))?;
    let account = match input.peer_owner_id.as_deref() {
        Some(owner) => owner
            .parse::<AccountId>()
            .map_err(|_| texts::invalid_value(owner, "peerOwnerId", "It is not an account ID."))?,
        None => cx.scope.account.clone(),
    };
    let region = match input.peer_region.as_deref() {
        Some(region) => {
            region.parse::<Region>().map_err(|_| texts::invalid_value(region, "peerRegion", "It is not a region."))?
        }
        None => cx.scope.region.clone(),
    };
    let tags = tags::at_creation(input.tag_specifications, "vpc-peering-connection")?;
    begin(cx, input.dry_run)?;
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let vpc = tx.get::<Vpc>(&scope, &input.vpc_id).ok_or_else(|| texts::vpc_not_found(&input.vpc_id))?;
    let peers = Scope::new(account, region);
    let peer_id = VpcId::parse(peer).ok_or_else(|| texts::vpc_not_found(peer))?;
    if peers == scope && !tx.contains::<Vpc>(&scope, peer) {
        return Err(texts::vpc_not_found(peer));
    }
    let side = |scope: Scope, vpc: VpcId, tags| PeeringSide { scope, vpc, allow_dns: false, tags };
    let requester = side(scope.clone(), vpc.id.clone(), tags);
    let accepter = side(peers, peer_id, Tags::new());
    let standing = query::peerings(tx, &scope).into_iter().map(|row| row.at(now)).find(|row| {
        let same = row.beyond(&vpc.id).is_some_and(|other| other.vpc == accepter.vpc);
        same && matches!(row.state, PeeringState::PendingAcceptance | PeeringState::Active)
    });
    if let Some(standing) = standing {
        // To ask once more is no other request.
        if standing.requester.vpc == vpc.id && standing.state == PeeringState::PendingAcceptance {
            let shown = show(tx, &standing);
            return Ok(ec2::CreateVpcPeeringConnectionResult { vpc_peering_connection: Some(shown) });
        }
        return Err(texts::peering_exists(&standing.id));
    }
    let state = if fit(tx, &requester, &accepter) { PeeringState::PendingAcceptance } else { PeeringState::Failed };
    let id = VpcPeeringConnectionId::generate();
    let row = tx.put(&scope, VpcPeeringConnection { id, requester, accepter, state, created: now });
    let mut shown = show(tx, &row);
    shown.status = Some(status("initiating-request", format!("Initiating Request to {}", row.accepter.scope.account)));
    Ok(ec2::CreateVpcPeeringConnectionResult { vpc_peering_connection: Some(shown) })
}

fn status(code: &str, message: String) -> ec2::VpcPeeringConnectionStateReason {
    ec2::VpcPeeringConnectionStateReason { code: Some(code.to_owned()), message: Some(message) }
}

fn show(view: &View, row: &VpcPeeringConnection) -> ec2::VpcPeeringConnection {
    let message = match &row.state {
        PeeringState::Failed => "Failed due to incorrect VPC-ID, Account ID, or overlapping CIDR range".to_owned(),
        PeeringState::PendingAcceptance => format!("Pending Acceptance by {}", row.accepter.scope.account),
        PeeringState::Active => "Active".to_owned(),
        PeeringState::Rejected(_) => "Inactive".to_owned(),
        PeeringState::Expired => "Expired".to_owned(),
        PeeringState::Deleted(by, _) => format!("Deleted by {by}"),
    };
    let active = row.state == PeeringState::Active;
    let info = |side: &PeeringSide, blocks: bool| {
        let vpc = view.get::<Vpc>(&side.scope, side.vpc.as_str()).filter(|_| blocks);
        let block = |cidr: ipnet::Ipv4Net| ec2::CidrBlock { cidr_block: Some(cidr.to_string()) };
        let block_ipv6 = |cidr: ipnet::Ipv6Net| ec2::Ipv6CidrBlock { ipv6_cidr_block: Some(cidr.to_string()) };
        ec2::VpcPeeringConnectionVpcInfo {
            cidr_block: vpc.as_ref().map(|vpc| vpc.cidr.to_string()),
            cidr_block_set: vpc.as_ref().map(|vpc| vpc.cidrs().map(block).collect()),
            ipv6_cidr_block_set: vpc.as_ref().map(|vpc| vpc.ipv6_cidrs().map(block_ipv6).collect()),
            owner_id: Some(side.scope.account.to_string()),
            peering_options: active.then(|| ec2::VpcPeeringConnectionOptionsDescription {
                allow_dns_resolution_from_remote_vpc: Some(side.allow_dns),
                allow_egress_from_local_classic_link_to_remote_vpc: Some(false),
                allow_egress_from_local_vpc_to_remote_classic_link: Some(false),
                ..Default::default()
            }),
            vpc_id: Some(side.vpc.to_string()),
            region: Some(side.scope.region.to_string()),
        }
    };
    let pending = matches!(row.state, PeeringState::PendingAcceptance | PeeringState::Expired);
    ec2::VpcPeeringConnection {
        // The accepter's blocks are told once it has agreed.
        accepter_vpc_info: Some(info(&row.accepter, active)),
        requester_vpc_info: Some(info(&row.requester, true)),
        expiration_time: pending.then(|| row.created.plus(VpcPeeringConnection::EXPIRES)),
        status: Some(status(row.state.code(), message)),
        vpc_peering_connection_id: Some(row.id.to_string()),
        ..Default::default()
    }
}

fn show_to(view: &View, scope: &Scope, row: &VpcPeeringConnection) -> ec2::VpcPeeringConnection {
    ec2::VpcPeeringConnection { tags: tags::shown(tags_of(scope, row)), ..show(view, row) }
}

/// The connection that `cx`'s account is to answer, which waits for its answer.
fn to_answer(cx: &mut Context, id: &str, answer: [&str; 3]) -> Result<VpcPeeringConnection, ApiError> {
    let [verb, done, next] = answer;
    let row = find(&cx.view().clone(), cx, id)?;
    let accepter = &row.accepter.scope;
    if accepter.account != cx.scope.account {
        return Err(texts::not_the_accepter(&cx.scope.account, verb, id));
    }
    if accepter.region != cx.scope.region {
        return Err(texts::accepters_region(&cx.scope.region, done, id, &accepter.region));
    }
    if row.state != PeeringState::PendingAcceptance {
        return Err(texts::peering_transition(id, row.state.code(), next));
    }
    Ok(row)
}

fn set_state(tx: &mut Tx, row: &VpcPeeringConnection, state: PeeringState) {
    tx.update::<VpcPeeringConnection>(&row.requester.scope, row.id.as_str(), |row| row.state = state);
}

pub(crate) fn accept(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::AcceptVpcPeeringConnectionRequest,
) -> Result<ec2::AcceptVpcPeeringConnectionResult, ApiError> {
    begin(cx, input.dry_run)?;
    let mut row = to_answer(cx, &input.vpc_peering_connection_id, ["accept", "accepted", "provisioning"])?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    // Blocks may have been added since the request.
    row.state = if fit(tx, &row.requester, &row.accepter) { PeeringState::Active } else { PeeringState::Failed };
    set_state(tx, &row, row.state.clone());
    let mut shown = show_to(tx, &scope, &row);
    if row.state == PeeringState::Active {
        shown.status = Some(status("provisioning", "Provisioning".to_owned()));
    }
    Ok(ec2::AcceptVpcPeeringConnectionResult { vpc_peering_connection: Some(shown) })
}

pub(crate) fn reject(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::RejectVpcPeeringConnectionRequest,
) -> Result<ec2::RejectVpcPeeringConnectionResult, ApiError> {
    begin(cx, input.dry_run)?;
    let row = to_answer(cx, &input.vpc_peering_connection_id, ["reject", "rejected", "rejected"])?;
    let now = cx.now;
    set_state(cx.tx(), &row, PeeringState::Rejected(now));
    Ok(ec2::RejectVpcPeeringConnectionResult { return_: Some(true) })
}

pub(crate) fn delete(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DeleteVpcPeeringConnectionRequest,
) -> Result<ec2::DeleteVpcPeeringConnectionResult, ApiError> {
    begin(cx, input.dry_run)?;
    let id = &input.vpc_peering_connection_id;
    let row = find(&cx.view().clone(), cx, id)?;
    let may = match row.state {
        PeeringState::Active => true,
        // What has not been accepted is its requester's.
        PeeringState::PendingAcceptance | PeeringState::Failed => row.requester.scope == cx.scope,
        _ => false,
    };
    if !may {
        return Err(texts::peering_transition(id, row.state.code(), "deleting"));
    }
    let (account, now) = (cx.scope.account.clone(), cx.now);
    set_state(cx.tx(), &row, PeeringState::Deleted(account, now));
    Ok(ec2::DeleteVpcPeeringConnectionResult { return_: Some(true) })
}

const KIND: Kind<VpcPeeringConnection> = Kind { not_found: texts::peering_not_found, tags: tags_of, filter };

fn filter(name: &str) -> Option<Values<VpcPeeringConnection>> {
    if let Some(name) = name.strip_prefix("accepter-vpc-info.") {
        return side_filter(name, |row| &row.accepter, |shown| shown.accepter_vpc_info);
    }
    if let Some(name) = name.strip_prefix("requester-vpc-info.") {
        return side_filter(name, |row| &row.requester, |shown| shown.requester_vpc_info);
    }
    Some(match name {
        "expiration-time" => Box::new(|view, _, row| {
            show(view, row).expiration_time.map(types::Timestamp::iso8601).into_iter().collect()
        }),
        "status-code" => Box::new(|_, _, row| one(row.state.code())),
        "status-message" => {
            Box::new(|view, _, row| show(view, row).status.and_then(|status| status.message).into_iter().collect())
        }
        "vpc-peering-connection-id" => Box::new(|_, _, row| one(&row.id)),
        _ => return None,
    })
}

/// A filter of one of the two VPCs.
fn side_filter(
    name: &str,
    side: fn(&VpcPeeringConnection) -> &PeeringSide,
    info: fn(ec2::VpcPeeringConnection) -> Option<ec2::VpcPeeringConnectionVpcInfo>,
) -> Option<Values<VpcPeeringConnection>> {
    Some(match name {
        "cidr-block" => {
            Box::new(move |view, _, row| info(show(view, row)).and_then(|info| info.cidr_block).into_iter().collect())
        }
        "owner-id" => Box::new(move |_, _, row| one(&side(row).scope.account)),
        "vpc-id" => Box::new(move |_, _, row| one(&side(row).vpc)),
        _ => return None,
    })
}

pub(crate) fn describe(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DescribeVpcPeeringConnectionsRequest,
) -> Result<ec2::DescribeVpcPeeringConnectionsResult, ApiError> {
    begin(cx, input.dry_run)?;
    let (scope, now) = (cx.scope.clone(), cx.now);
    let view = cx.view().clone();
    let ids = input.vpc_peering_connection_ids.unwrap_or_default();
    let found = if ids.is_empty() {
        query::peerings(&view, &scope)
            .iter()
            .filter(|row| row.visible(&scope, now))
            .map(|row| Arc::new(row.at(now)))
            .collect()
    } else {
        ids.iter().map(|id| find(&view, cx, id).map(Arc::new)).collect::<Result<_, _>>()?
    };
    let (max_results, next_token) = (input.max_results, input.next_token);
    let selection = Selection { ids: None, filters: input.filters, max_results, next_token };
    let (rows, next_token) = describe::of(&view, &scope, &KIND, found, selection)?;
    let shown = rows.iter().map(|row| show_to(&view, &scope, row)).collect();
    Ok(ec2::DescribeVpcPeeringConnectionsResult { vpc_peering_connections: Some(shown), next_token })
}

pub(crate) fn modify_options(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::ModifyVpcPeeringConnectionOptionsRequest,
) -> Result<ec2::ModifyVpcPeeringConnectionOptionsResult, ApiError> {
    let requester = dns_option(input.requester_peering_connection_options)?;
    let accepter = dns_option(input.accepter_peering_connection_options)?;
    if requester.is_none() && accepter.is_none() {
        return Err(texts::invalid_combination("No peering connection options specified."));
    }
    begin(cx, input.dry_run)?;
    let id = &input.vpc_peering_connection_id;
    let row = find(&cx.view().clone(), cx, id)?;
    if row.state != PeeringState::Active {
        return Err(texts::peering_not_active(id));
    }
    // Each side has its own options to set.
    for (given, side, word) in [(requester, &row.requester, "requester"), (accepter, &row.accepter, "accepter")] {
        if given.is_some() && side.scope != cx.scope {
            return Err(ApiError::new(
                "OperationNotPermitted",
                format!("User {} cannot modify the {word} peering options of {id}", cx.scope.account),
            ));
        }
    }
    cx.tx().update::<VpcPeeringConnection>(&row.requester.scope, id, |row| {
        row.requester.allow_dns = requester.unwrap_or(row.requester.allow_dns);
        row.accepter.allow_dns = accepter.unwrap_or(row.accepter.allow_dns);
    });
    let shown = |allow: Option<bool>| {
        allow.map(|allow| ec2::PeeringConnectionOptions {
            allow_dns_resolution_from_remote_vpc: Some(allow),
            ..Default::default()
        })
    };
    Ok(ec2::ModifyVpcPeeringConnectionOptionsResult {
        requester_peering_connection_options: shown(requester),
        accepter_peering_connection_options: shown(accepter),
    })
}
