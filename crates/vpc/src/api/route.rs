//! Routes within a route table.

use super::{Ec2, begin, instance, refuse, vpc};
use crate::instances;
use crate::query;
use crate::rows::{
    EgressOnlyInternetGateway, InternetGateway, NatGateway, NatGatewayState, NetworkInterface, PeeringState, Route,
    RouteTable, Target, Vpc, VpcEndpoint,
};
use crate::texts;
use gateway::Context;
use ipnet::{IpNet, Ipv6Net};
use model::ec2;
use store::View;
use types::{ApiError, Scope};
use wire::Unit;

/// A table's routes as the API shows them: the local ones first.
pub(crate) fn shown(view: &View, scope: &Scope, table: &RouteTable) -> Vec<ec2::Route> {
    let vpc = view.get::<Vpc>(scope, table.vpc.as_str());
    let local = vpc.iter().flat_map(|vpc| own_blocks(vpc)).map(|block| ec2::Route {
        gateway_id: Some("local".to_owned()),
        origin: Some("CreateRouteTable".to_owned()),
        state: Some("active".to_owned()),
        ..to(&Ok(block))
    });
    local.chain(table.routes.iter().map(|route| show(view, scope, table, route))).collect()
}

/// A VPC's own blocks, to each of which every table has a route.
fn own_blocks(vpc: &Vpc) -> impl Iterator<Item = IpNet> + '_ {
    vpc.cidrs().map(IpNet::V4).chain(vpc.ipv6_cidrs().map(IpNet::V6))
}

/// A route to there, as far as that goes.
fn to(destination: &Result<IpNet, String>) -> ec2::Route {
    let mut shown = ec2::Route::default();
    match destination {
        Ok(IpNet::V4(block)) => shown.destination_cidr_block = Some(block.to_string()),
        Ok(IpNet::V6(block)) => shown.destination_ipv6_cidr_block = Some(block.to_string()),
        Err(list) => shown.destination_prefix_list_id = Some(list.clone()),
    }
    shown
}

fn show(view: &View, scope: &Scope, table: &RouteTable, route: &Route) -> ec2::Route {
    let mut shown = ec2::Route {
        origin: Some("CreateRoute".to_owned()),
        state: Some(if leads(view, scope, table, &route.target) { "active" } else { "blackhole" }.to_owned()),
        ..to(&route.destination)
    };
    let id = Some(route.target.id().to_owned());
    match &route.target {
        Target::InternetGateway(_) | Target::Endpoint(_) => shown.gateway_id = id,
        Target::EgressOnlyInternetGateway(_) => shown.egress_only_internet_gateway_id = id,
        Target::NatGateway(_) => shown.nat_gateway_id = id,
        Target::NetworkInterface(interface) => {
            let attachment = query::interface(view, scope, interface.as_str()).and_then(|row| row.attachment.clone());
            let instance = attachment.and_then(|attachment| attachment.instance);
            shown.instance_owner_id = instance.as_ref().map(|_| scope.account.to_string());
            shown.instance_id = instance.map(|id| id.to_string());
            shown.network_interface_id = id;
        }
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
        Target::EgressOnlyInternetGateway(id) => {
            view.get::<EgressOnlyInternetGateway>(scope, id.as_str()).is_some_and(|gateway| gateway.vpc == table.vpc)
        }
        Target::NatGateway(id) => view
            .get::<NatGateway>(scope, id.as_str())
            .is_some_and(|gateway| !matches!(gateway.state, NatGatewayState::Deleted | NatGatewayState::Failed)),
        Target::NetworkInterface(id) => view
            .get::<NetworkInterface>(scope, id.as_str())
            .filter(|interface| interface.vpc == table.vpc)
            .is_some_and(|interface| interface.attachment.as_ref().is_some_and(|attachment| !attachment.rests())),
        Target::Endpoint(id) => view.contains::<VpcEndpoint>(scope, id.as_str()),
        Target::Peering(id) => query::peering(view, scope, id.as_str())
            .is_some_and(|row| row.state == PeeringState::Active && row.beyond(&table.vpc).is_some()),
    }
}

/// What Create and Replace have in common.
struct Wanted {
    destination: Result<IpNet, String>,
    target: Target,
}

/// The destination that a request names, in one of three ways.
struct Named<'r> {
    ipv4: Option<&'r str>,
    ipv6: Option<&'r str>,
    list: Option<&'r str>,
}

macro_rules! named {
    ($input:ident) => {
        Named {
            ipv4: $input.destination_cidr_block.as_deref(),
            ipv6: $input.destination_ipv6_cidr_block.as_deref(),
            list: $input.destination_prefix_list_id.as_deref(),
        }
    };
}

/// The ids of targets, one of which a request names.
struct Targets<'r> {
    gateway: Option<&'r str>,
    egress_only: Option<&'r str>,
    nat: Option<&'r str>,
    interface: Option<&'r str>,
    instance: Option<&'r str>,
    peering: Option<&'r str>,
}

impl Wanted {
    /// The destination, which must exist if it is a prefix list.
    fn standing(view: &View, scope: &Scope, named: &Named<'_>) -> Result<Result<IpNet, String>, ApiError> {
        match Self::destination(named)? {
            Err(list) if !query::is_prefix_list(view, scope, &list) => Err(texts::prefix_list_not_found(&list)),
            found => Ok(found),
        }
    }

    fn destination(named: &Named<'_>) -> Result<Result<IpNet, String>, ApiError> {
        match (named.ipv4, named.ipv6, named.list) {
            (Some(text), None, None) => vpc::block(text).map(|block| Ok(block.into())),
            (None, Some(text), None) => {
                let block = text.parse::<Ipv6Net>().map_err(|_| texts::bad_cidr(text))?;
                Ok(Ok(block.trunc().into()))
            }
            (None, None, Some(list)) => Ok(Err(list.to_owned())),
            (None, None, None) => Err(texts::missing("destinationCidrBlock")),
            _ => Err(texts::invalid_combination("You may specify only one destination.")),
        }
    }

    /// The target among the given ids, which must exist.
    fn target(
        view: &View,
        scope: &Scope,
        table: &RouteTable,
        destination: &Result<IpNet, String>,
        targets: &Targets<'_>,
    ) -> Result<Target, ApiError> {
        let Targets { gateway, egress_only, nat, interface, instance, peering } = targets;
        if let Some(id) = instance {
            if gateway.or(*nat).or(*interface).or(*peering).or(*egress_only).is_some() {
                return Err(texts::invalid_combination("You may specify only one target."));
            }
            return instance_target(view, scope, table, id);
        }
        if let Some(id) = egress_only {
            if gateway.or(*nat).or(*interface).or(*peering).is_some() {
                return Err(texts::invalid_combination("You may specify only one target."));
            }
            return egress_only_target(view, scope, table, destination, id);
        }
        match (*gateway, *nat, *interface, *peering) {
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
            (None, Some(_), None, None) if matches!(destination, Ok(IpNet::V6(_))) => {
                Err(ApiError::not_implemented("NAT64 of NAT gateways"))
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
                interface_target(table, &interface)
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

/// What is meant for the VPC itself cannot be led out of it.
fn stays_within(
    view: &View,
    scope: &Scope,
    table: &RouteTable,
    destination: &Result<IpNet, String>,
    target: &Target,
) -> Result<(), ApiError> {
    let out = matches!(target, Target::InternetGateway(_) | Target::EgressOnlyInternetGateway(_) | Target::Peering(_));
    match (destination, view.get::<Vpc>(scope, table.vpc.as_str())) {
        (Ok(block), Some(vpc)) if out && own_blocks(&vpc).any(|own| own.contains(block) && own != *block) => {
            Err(texts::route_within_vpc(block))
        }
        _ => Ok(()),
    }
}

/// The one interface of an instance.
fn instance_target(view: &View, scope: &Scope, table: &RouteTable, id: &str) -> Result<Target, ApiError> {
    instance::find_live(view, scope, id)?;
    match &instances::interfaces(view, scope, id)[..] {
        [only] => interface_target(table, only),
        [] => Err(texts::instance_is_over(id)),
        _ => Err(texts::several_interfaces(id)),
    }
}

/// An interface, which must be in the table's VPC.
fn interface_target(table: &RouteTable, interface: &NetworkInterface) -> Result<Target, ApiError> {
    if interface.vpc != table.vpc {
        return Err(texts::route_elsewhere(table.id.as_str(), interface.id.as_str()));
    }
    Ok(Target::NetworkInterface(interface.id.clone()))
}

fn egress_only_target(
    view: &View,
    scope: &Scope,
    table: &RouteTable,
    destination: &Result<IpNet, String>,
    id: &str,
) -> Result<Target, ApiError> {
    let gateway =
        view.get::<EgressOnlyInternetGateway>(scope, id).ok_or_else(|| texts::egress_only_gateway_not_found(id))?;
    if gateway.vpc != table.vpc {
        return Err(ApiError::new(
            "InvalidParameterValue",
            format!("route table {} and egress-only internet gateway {id} belong to different networks", table.id),
        ));
    }
    if matches!(destination, Ok(IpNet::V4(_))) {
        return Err(ApiError::new(
            "InvalidParameterValue",
            format!("Egress-only internet gateway {id} can only be the target of routes for IPv6 traffic."),
        ));
    }
    Ok(Target::EgressOnlyInternetGateway(gateway.id.clone()))
}

fn not_here(others: [(Option<&String>, &'static str); 5]) -> Result<(), ApiError> {
    others.into_iter().try_for_each(|(given, what)| refuse(given.is_some(), what))
}

macro_rules! not_here {
    ($input:ident) => {
        not_here([
            ($input.transit_gateway_id.as_ref(), "transit gateways"),
            ($input.local_gateway_id.as_ref(), "local gateways"),
            ($input.carrier_gateway_id.as_ref(), "carrier gateways"),
            ($input.vpc_endpoint_id.as_ref(), "gateway load balancer endpoints"),
            ($input.core_network_arn.as_ref(), "core networks"),
        ])
    };
}

macro_rules! wanted {
    ($tx:expr, $scope:expr, $table:expr, $input:ident) => {{
        let destination = Wanted::standing($tx, $scope, &named!($input))?;
        let targets = Targets {
            gateway: $input.gateway_id.as_deref(),
            egress_only: $input.egress_only_internet_gateway_id.as_deref(),
            nat: $input.nat_gateway_id.as_deref(),
            interface: $input.network_interface_id.as_deref(),
            instance: $input.instance_id.as_deref(),
            peering: $input.vpc_peering_connection_id.as_deref(),
        };
        let target = Wanted::target($tx, $scope, $table, &destination, &targets)?;
        stays_within($tx, $scope, $table, &destination, &target)?;
        Wanted { destination, target }
    }};
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
        && own_blocks(&vpc).any(|own| own == *block)
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

/// An endpoint's routes come and go with it, and with its list of tables. The text is not verified against AWS.
fn check_not_endpoints(table: &RouteTable, destination: &Result<IpNet, String>, verb: &str) -> Result<(), ApiError> {
    let mut standing = table.routes.iter().filter(|route| route.destination == *destination);
    match (standing.any(|route| matches!(route.target, Target::Endpoint(_))), destination) {
        (true, Err(list)) => Err(ApiError::new(
            "InvalidParameterValue",
            format!("cannot {verb} VPC endpoint route {list} in route table {}", table.id),
        )),
        _ => Ok(()),
    }
}

fn no_route(destination: &Result<IpNet, String>, table: &str) -> ApiError {
    let (kind, named) = match destination {
        Ok(IpNet::V4(block)) => ("destination-cidr-block", block.to_string()),
        Ok(IpNet::V6(block)) => ("destination-ipv6-cidr-block", block.to_string()),
        Err(list) => ("destination-prefix-list-id", list.clone()),
    };
    ApiError::new("InvalidRoute.NotFound", format!("no route with {kind} {named} in route table {table}"))
}

pub(crate) fn replace(_: &Ec2, cx: &mut Context, input: ec2::ReplaceRouteRequest) -> Result<Unit, ApiError> {
    not_here!(input)?;
    refuse(input.local_target == Some(true), "replacing the local route's target")?;
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let id = &input.route_table_id;
    let table = tx.get::<RouteTable>(&scope, id).ok_or_else(|| texts::route_table_not_found(id))?;
    let vpc = tx.get::<Vpc>(&scope, table.vpc.as_str());
    let is_local = |block: &IpNet| vpc.as_ref().is_some_and(|vpc| own_blocks(vpc).any(|own| own == *block));
    let named = Wanted::destination(&named!(input))?;
    refuse(named.as_ref().is_ok_and(is_local), "replacing the local route's target")?;
    let Wanted { destination, target } = wanted!(tx, &scope, &table, input);
    if !table.routes.iter().any(|route| route.destination == destination) {
        return Err(no_route(&destination, id));
    }
    check_not_endpoints(&table, &destination, "replace")?;
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
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let id = &input.route_table_id;
    let table = tx.get::<RouteTable>(&scope, id).ok_or_else(|| texts::route_table_not_found(id))?;
    let destination = Wanted::destination(&named!(input))?;
    if let (Ok(block), Some(vpc)) = (&destination, tx.get::<Vpc>(&scope, table.vpc.as_str()))
        && own_blocks(&vpc).any(|own| own == *block)
    {
        return Err(ApiError::new(
            "InvalidParameterValue",
            format!("cannot remove local route {block} in route table {id}"),
        ));
    }
    if !table.routes.iter().any(|route| route.destination == destination) {
        return Err(no_route(&destination, id));
    }
    check_not_endpoints(&table, &destination, "remove")?;
    tx.update::<RouteTable>(&scope, id, |table| table.routes.retain(|route| route.destination != destination));
    Ok(Unit)
}
