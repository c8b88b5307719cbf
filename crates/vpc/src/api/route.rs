//! Routes within a route table.

use super::{Ec2, begin, refuse, vpc};
use crate::query;
use crate::rows::{
    InternetGateway, NatGateway, NatGatewayState, NetworkInterface, PeeringState, Route, RouteTable, Target, Vpc,
    VpcEndpoint,
};
use crate::texts;
use gateway::Context;
use ipnet::Ipv4Net;
use model::ec2;
use store::View;
use types::{ApiError, Scope};
use wire::Unit;

/// A table's routes as the API shows them: the local ones first.
pub(crate) fn shown(view: &View, scope: &Scope, table: &RouteTable) -> Vec<ec2::Route> {
    let vpc = view.get::<Vpc>(scope, table.vpc.as_str());
    let local = vpc.iter().flat_map(|vpc| vpc.cidrs()).map(|cidr| ec2::Route {
        destination_cidr_block: Some(cidr.to_string()),
        gateway_id: Some("local".to_owned()),
        origin: Some("CreateRouteTable".to_owned()),
        state: Some("active".to_owned()),
        ..Default::default()
    });
    local.chain(table.routes.iter().map(|route| show(view, scope, table, route))).collect()
}

fn show(view: &View, scope: &Scope, table: &RouteTable, route: &Route) -> ec2::Route {
    let mut shown = ec2::Route {
        origin: Some("CreateRoute".to_owned()),
        state: Some(if leads(view, scope, table, &route.target) { "active" } else { "blackhole" }.to_owned()),
        ..Default::default()
    };
    match &route.destination {
        Ok(block) => shown.destination_cidr_block = Some(block.to_string()),
        Err(list) => shown.destination_prefix_list_id = Some(list.clone()),
    }
    let id = Some(route.target.id().to_owned());
    match &route.target {
        Target::InternetGateway(_) | Target::Endpoint(_) => shown.gateway_id = id,
        Target::NatGateway(_) => shown.nat_gateway_id = id,
        Target::NetworkInterface(_) => shown.network_interface_id = id,
        Target::Peering(_) => shown.vpc_peering_connection_id = id,
    }
    shown
}

/// Whether what a route points at is there and can take its packets; else it is a black hole.
pub(crate) fn leads(view: &View, scope: &Scope, table: &RouteTable, target: &Target) -> bool {
    match target {
        Target::InternetGateway(id) => view
            .get::<InternetGateway>(scope, id.as_str())
            .is_some_and(|gateway| gateway.vpc.as_ref() == Some(&table.vpc)),
        Target::NatGateway(id) => view
            .get::<NatGateway>(scope, id.as_str())
            .is_some_and(|gateway| !matches!(gateway.state, NatGatewayState::Deleted | NatGatewayState::Failed)),
        Target::NetworkInterface(id) => {
            view.get::<NetworkInterface>(scope, id.as_str()).is_some_and(|interface| interface.attachment.is_some())
        }
        Target::Endpoint(id) => view.contains::<VpcEndpoint>(scope, id.as_str()),
        Target::Peering(id) => query::peering(view, scope, id.as_str())
            .is_some_and(|row| row.state == PeeringState::Active && row.beyond(&table.vpc).is_some()),
    }
}

/// What Create and Replace have in common.
struct Wanted {
    destination: Result<Ipv4Net, String>,
    target: Target,
}

impl Wanted {
    /// The destination, which must exist if it is a prefix list.
    fn standing(
        view: &View,
        scope: &Scope,
        cidr: Option<&str>,
        list: Option<&str>,
    ) -> Result<Result<Ipv4Net, String>, ApiError> {
        match Self::destination(cidr, list)? {
            Err(list) if !query::is_prefix_list(view, scope, &list) => Err(texts::prefix_list_not_found(&list)),
            found => Ok(found),
        }
    }

    fn destination(cidr: Option<&str>, list: Option<&str>) -> Result<Result<Ipv4Net, String>, ApiError> {
        match (cidr, list) {
            (Some(text), None) => vpc::block(text).map(Ok),
            (None, Some(list)) => Ok(Err(list.to_owned())),
            (None, None) => Err(texts::missing("destinationCidrBlock")),
            (Some(_), Some(_)) => Err(texts::invalid_combination("You may specify only one destination.")),
        }
    }

    /// The target among the given ids, which must exist.
    fn target(
        view: &View,
        scope: &Scope,
        table: &RouteTable,
        gateway: Option<&str>,
        nat: Option<&str>,
        interface: Option<&str>,
        peering: Option<&str>,
    ) -> Result<Target, ApiError> {
        match (gateway, nat, interface, peering) {
            (Some(id), None, None, None) if id.starts_with("vgw-") => {
                Err(ApiError::not_implemented("virtual private gateways"))
            }
            (Some("local"), None, None, None) => {
                Err(ApiError::new("InvalidParameterValue", "local is a valid target only for the VPC's own block"))
            }
            (Some(id), None, None, None) => {
                let gateway =
                    view.get::<InternetGateway>(scope, id).ok_or_else(|| texts::internet_gateway_not_found(id))?;
                if gateway.vpc.as_ref() != Some(&table.vpc) {
                    return Err(ApiError::new(
                        "InvalidParameterValue",
                        format!("route table {} and network gateway {id} belong to different networks", table.id),
                    ));
                }
                Ok(Target::InternetGateway(gateway.id.clone()))
            }
            (None, Some(id), None, None) => {
                let nat = view.get::<NatGateway>(scope, id).filter(|nat| nat.state != NatGatewayState::Deleted);
                let nat = nat.ok_or_else(|| {
                    ApiError::new("InvalidNatGatewayID.NotFound", format!("The natGateway ID '{id}' does not exist"))
                })?;
                if nat.vpc != table.vpc {
                    return Err(ApiError::new(
                        "InvalidParameterValue",
                        format!("route table {} and nat gateway {id} belong to different networks", table.id),
                    ));
                }
                Ok(Target::NatGateway(nat.id.clone()))
            }
            (None, None, Some(id), None) => {
                let interface =
                    view.get::<NetworkInterface>(scope, id).ok_or_else(|| texts::interface_not_found(id))?;
                Ok(Target::NetworkInterface(interface.id.clone()))
            }
            (None, None, None, Some(id)) => {
                let row = query::peering(view, scope, id).ok_or_else(|| texts::peering_not_found(id))?;
                if row.beyond(&table.vpc).is_none() {
                    return Err(ApiError::new(
                        "InvalidParameterValue",
                        format!("route table {} and peering connection {id} belong to different networks", table.id),
                    ));
                }
                if !matches!(row.state, PeeringState::Active | PeeringState::PendingAcceptance) {
                    return Err(texts::peering_transition(id, row.state.code(), "routed"));
                }
                Ok(Target::Peering(row.id.clone()))
            }
            (None, None, None, None) => Err(texts::missing("gatewayId")),
            _ => Err(texts::invalid_combination("You may specify only one target.")),
        }
    }
}

fn not_here(ipv6: Option<&String>, others: [(Option<&String>, &'static str); 7]) -> Result<(), ApiError> {
    refuse(ipv6.is_some(), "IPv6 routes")?;
    others.into_iter().try_for_each(|(given, what)| refuse(given.is_some(), what))
}

macro_rules! not_here {
    ($input:ident) => {
        not_here(
            $input.destination_ipv6_cidr_block.as_ref(),
            [
                ($input.egress_only_internet_gateway_id.as_ref(), "egress-only internet gateways"),
                ($input.instance_id.as_ref(), "routes to instances"),
                ($input.transit_gateway_id.as_ref(), "transit gateways"),
                ($input.local_gateway_id.as_ref(), "local gateways"),
                ($input.carrier_gateway_id.as_ref(), "carrier gateways"),
                ($input.vpc_endpoint_id.as_ref(), "gateway load balancer endpoints"),
                ($input.core_network_arn.as_ref(), "core networks"),
            ],
        )
    };
}

macro_rules! wanted {
    ($tx:expr, $scope:expr, $table:expr, $input:ident) => {
        Wanted {
            destination: Wanted::standing(
                $tx,
                $scope,
                $input.destination_cidr_block.as_deref(),
                $input.destination_prefix_list_id.as_deref(),
            )?,
            target: Wanted::target(
                $tx,
                $scope,
                $table,
                $input.gateway_id.as_deref(),
                $input.nat_gateway_id.as_deref(),
                $input.network_interface_id.as_deref(),
                $input.vpc_peering_connection_id.as_deref(),
            )?,
        }
    };
}

pub(crate) fn create(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::CreateRouteRequest,
) -> Result<ec2::CreateRouteResult, ApiError> {
    not_here!(input)?;
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let id = &input.route_table_id;
    let table = tx.get::<RouteTable>(&scope, id).ok_or_else(|| texts::route_table_not_found(id))?;
    let Wanted { destination, target } = wanted!(tx, &scope, &table, input);
    if let Ok(block) = &destination
        && let Some(vpc) = tx.get::<Vpc>(&scope, table.vpc.as_str())
        && vpc.cidrs().any(|cidr| cidr == *block)
    {
        return Err(already_exists(block));
    }
    if let Some(standing) = table.routes.iter().find(|route| route.destination == destination) {
        if standing.target == target {
            return Ok(ec2::CreateRouteResult { return_: Some(true) });
        }
        return Err(match &destination {
            Ok(block) => already_exists(block),
            Err(list) => already_exists(list),
        });
    }
    tx.update::<RouteTable>(&scope, id, |table| table.routes.push(Route { destination, target }));
    Ok(ec2::CreateRouteResult { return_: Some(true) })
}

fn already_exists(destination: impl std::fmt::Display) -> ApiError {
    ApiError::new("RouteAlreadyExists", format!("The route identified by {destination} already exists."))
}

fn no_route(destination: &Result<Ipv4Net, String>, table: &str) -> ApiError {
    let named = match destination {
        Ok(block) => block.to_string(),
        Err(list) => list.clone(),
    };
    ApiError::new(
        "InvalidRoute.NotFound",
        format!("no route with destination-cidr-block {named} in route table {table}"),
    )
}

pub(crate) fn replace(_: &Ec2, cx: &mut Context, input: ec2::ReplaceRouteRequest) -> Result<Unit, ApiError> {
    not_here!(input)?;
    refuse(input.local_target == Some(true), "replacing the local route's target")?;
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let id = &input.route_table_id;
    let table = tx.get::<RouteTable>(&scope, id).ok_or_else(|| texts::route_table_not_found(id))?;
    let Wanted { destination, target } = wanted!(tx, &scope, &table, input);
    if !table.routes.iter().any(|route| route.destination == destination) {
        return Err(no_route(&destination, id));
    }
    tx.update::<RouteTable>(&scope, id, |table| {
        table
            .routes
            .iter_mut()
            .filter(|route| route.destination == destination)
            .for_each(|route| route.target = target.clone());
    });
    Ok(Unit)
}

pub(crate) fn delete(_: &Ec2, cx: &mut Context, input: ec2::DeleteRouteRequest) -> Result<Unit, ApiError> {
    refuse(input.destination_ipv6_cidr_block.is_some(), "IPv6 routes")?;
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let id = &input.route_table_id;
    let table = tx.get::<RouteTable>(&scope, id).ok_or_else(|| texts::route_table_not_found(id))?;
    let destination =
        Wanted::destination(input.destination_cidr_block.as_deref(), input.destination_prefix_list_id.as_deref())?;
    if let (Ok(block), Some(vpc)) = (&destination, tx.get::<Vpc>(&scope, table.vpc.as_str()))
        && vpc.cidrs().any(|cidr| cidr == *block)
    {
        return Err(ApiError::new(
            "InvalidParameterValue",
            format!("cannot remove local route {block} in route table {id}"),
        ));
    }
    if !table.routes.iter().any(|route| route.destination == destination) {
        return Err(no_route(&destination, id));
    }
    tx.update::<RouteTable>(&scope, id, |table| table.routes.retain(|route| route.destination != destination));
    Ok(Unit)
}
