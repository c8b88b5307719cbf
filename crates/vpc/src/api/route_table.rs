//! Route tables and their associations. Their routes are in [`super::route`].

use super::describe::{self, Kind, Selection, Values, one};
use super::{Ec2, begin, refuse, route, tags};
use crate::rows::{RouteTable, RouteTableAssociation, Subnet, Vpc, VpcEndpoint};
use crate::texts;
use gateway::Context;
use model::ec2;
use std::sync::Arc;
use store::View;
use types::id::{RouteTableAssociationId, RouteTableId};
use types::{ApiError, Scope};
use wire::Unit;

pub(crate) fn create(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::CreateRouteTableRequest,
) -> Result<ec2::CreateRouteTableResult, ApiError> {
    let tags = tags::at_creation(input.tag_specifications, "route-table")?;
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let vpc = tx.get::<Vpc>(&scope, &input.vpc_id).ok_or_else(|| texts::vpc_not_found(&input.vpc_id))?;
    let table = tx.put(
        &scope,
        RouteTable {
            id: RouteTableId::generate(),
            vpc: vpc.id.clone(),
            main_association: None,
            routes: Vec::new(),
            associations: Vec::new(),
            tags,
        },
    );
    Ok(ec2::CreateRouteTableResult { route_table: Some(show(tx, &scope, &table)), client_token: input.client_token })
}

fn associated() -> Option<ec2::RouteTableAssociationState> {
    Some(ec2::RouteTableAssociationState { state: Some("associated".to_owned()), status_message: None })
}

fn show(view: &View, scope: &Scope, table: &RouteTable) -> ec2::RouteTable {
    let main = table.main_association.iter().map(|id| ec2::RouteTableAssociation {
        main: Some(true),
        route_table_association_id: Some(id.to_string()),
        route_table_id: Some(table.id.to_string()),
        association_state: associated(),
        ..Default::default()
    });
    let explicit = table.associations.iter().map(|association| ec2::RouteTableAssociation {
        main: Some(false),
        route_table_association_id: Some(association.id.to_string()),
        route_table_id: Some(table.id.to_string()),
        subnet_id: Some(association.subnet.to_string()),
        association_state: associated(),
        ..Default::default()
    });
    ec2::RouteTable {
        route_table_id: Some(table.id.to_string()),
        vpc_id: Some(table.vpc.to_string()),
        owner_id: Some(scope.account.to_string()),
        associations: Some(main.chain(explicit).collect()),
        propagating_vgws: Some(Vec::new()),
        routes: Some(route::shown(view, scope, table)),
        tags: tags::shown(&table.tags),
    }
}

const KIND: Kind<RouteTable> = Kind { not_found: texts::route_table_not_found, tags: |_, table| &table.tags, filter };

/// What its routes have of something.
fn routes(view: &View, scope: &Scope, table: &RouteTable, of: fn(ec2::Route) -> Option<String>) -> Vec<String> {
    route::shown(view, scope, table).into_iter().filter_map(of).collect()
}

fn filter(name: &str) -> Option<Values<RouteTable>> {
    Some(match name {
        "association.main" => Box::new(|_, _, table| {
            let explicit = table.associations.iter().map(|_| "false".to_owned());
            explicit.chain(table.main_association.iter().map(|_| "true".to_owned())).collect()
        }),
        "association.route-table-association-id" => Box::new(|_, _, table| {
            let explicit = table.associations.iter().map(|association| association.id.to_string());
            explicit.chain(table.main_association.iter().map(ToString::to_string)).collect()
        }),
        "association.route-table-id" | "route-table-id" => Box::new(|_, _, table| one(&table.id)),
        "association.subnet-id" => Box::new(|_, _, table| {
            table.associations.iter().map(|association| association.subnet.to_string()).collect()
        }),
        "owner-id" => Box::new(|_, scope, _| one(&scope.account)),
        "route.destination-cidr-block" => {
            Box::new(|view, scope, table| routes(view, scope, table, |route| route.destination_cidr_block))
        }
        "route.destination-prefix-list-id" => {
            Box::new(|view, scope, table| routes(view, scope, table, |route| route.destination_prefix_list_id))
        }
        "route.destination-ipv6-cidr-block" => {
            Box::new(|view, scope, table| routes(view, scope, table, |route| route.destination_ipv6_cidr_block))
        }
        "route.egress-only-internet-gateway-id" => {
            Box::new(|view, scope, table| routes(view, scope, table, |route| route.egress_only_internet_gateway_id))
        }
        "route.gateway-id" => Box::new(|view, scope, table| routes(view, scope, table, |route| route.gateway_id)),
        "route.nat-gateway-id" => {
            Box::new(|view, scope, table| routes(view, scope, table, |route| route.nat_gateway_id))
        }
        "route.instance-id" => Box::new(|view, scope, table| routes(view, scope, table, |route| route.instance_id)),
        "route.vpc-peering-connection-id" => {
            Box::new(|view, scope, table| routes(view, scope, table, |route| route.vpc_peering_connection_id))
        }
        // There are none of these here.
        "association.gateway-id" | "route.transit-gateway-id" => Box::new(|_, _, _| Vec::new()),
        "route.origin" => Box::new(|view, scope, table| routes(view, scope, table, |route| route.origin)),
        "route.state" => Box::new(|view, scope, table| routes(view, scope, table, |route| route.state)),
        "vpc-id" => Box::new(|_, _, table| one(&table.vpc)),
        _ => return None,
    })
}

pub(crate) fn describe(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DescribeRouteTablesRequest,
) -> Result<ec2::DescribeRouteTablesResult, ApiError> {
    begin(cx, input.dry_run)?;
    let (max_results, next_token) = (input.max_results, input.next_token);
    let selection = Selection { ids: input.route_table_ids, filters: input.filters, max_results, next_token };
    let (rows, next_token) = describe::rows(cx, &KIND, selection)?;
    let scope = cx.scope.clone();
    let view = cx.view();
    Ok(ec2::DescribeRouteTablesResult {
        route_tables: Some(rows.iter().map(|row| show(view, &scope, row)).collect()),
        next_token,
    })
}

pub(crate) fn delete(_: &Ec2, cx: &mut Context, input: ec2::DeleteRouteTableRequest) -> Result<Unit, ApiError> {
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let id = &input.route_table_id;
    let table = tx.get::<RouteTable>(&scope, id).ok_or_else(|| texts::route_table_not_found(id))?;
    if table.main_association.is_some() || !table.associations.is_empty() {
        return Err(texts::dependency("routeTable", id));
    }
    // Gateway endpoints that had a route there know it no more.
    let of_endpoints: Vec<_> =
        tx.scan::<VpcEndpoint>(&scope).filter(|row| row.route_tables.contains(&table.id)).cloned().collect();
    for endpoint in of_endpoints {
        tx.update::<VpcEndpoint>(&scope, endpoint.id.as_str(), |row| row.route_tables.retain(|at| *at != table.id));
    }
    tx.delete::<RouteTable>(&scope, id);
    Ok(Unit)
}

pub(crate) fn associate(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::AssociateRouteTableRequest,
) -> Result<ec2::AssociateRouteTableResult, ApiError> {
    refuse(input.gateway_id.is_some(), "route tables of gateways")?;
    let subnet_id = input.subnet_id.ok_or_else(|| texts::missing("subnetId"))?;
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let id = &input.route_table_id;
    let table = tx.get::<RouteTable>(&scope, id).ok_or_else(|| texts::route_table_not_found(id))?;
    let subnet = tx.get::<Subnet>(&scope, &subnet_id).ok_or_else(|| texts::subnet_not_found(&subnet_id))?;
    if subnet.vpc != table.vpc {
        return Err(ApiError::new(
            "InvalidParameterValue",
            format!("Route table {id} and subnet {subnet_id} belong to different networks"),
        ));
    }
    if let Some(other) = tx.by_index(&RouteTable::BY_SUBNET, &scope, &subnet_id).next() {
        let held = other.associations.iter().find(|association| association.subnet == subnet.id);
        if other.id == table.id {
            // AWS answers the association that stands.
            return Ok(ec2::AssociateRouteTableResult {
                association_id: held.map(|association| association.id.to_string()),
                association_state: associated(),
            });
        }
        return Err(ApiError::new(
            "Resource.AlreadyAssociated",
            format!("the specified association for route table {id} conflicts with an existing association"),
        ));
    }
    let association = RouteTableAssociation { id: RouteTableAssociationId::generate(), subnet: subnet.id.clone() };
    let association_id = Some(association.id.to_string());
    tx.update::<RouteTable>(&scope, id, |table| table.associations.push(association));
    Ok(ec2::AssociateRouteTableResult { association_id, association_state: associated() })
}

fn by_association(view: &View, scope: &Scope, id: &str) -> Result<Arc<RouteTable>, ApiError> {
    view.by_index(&RouteTable::BY_ASSOCIATION, scope, id)
        .next()
        .cloned()
        .ok_or_else(|| texts::association_not_found(id))
}

pub(crate) fn disassociate(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DisassociateRouteTableRequest,
) -> Result<Unit, ApiError> {
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let table = by_association(tx, &scope, &input.association_id)?;
    if table.main_association.as_ref().is_some_and(|main| main.as_str() == input.association_id) {
        return Err(ApiError::new(
            "InvalidParameterValue",
            format!("cannot disassociate the main route table association {}", input.association_id),
        ));
    }
    tx.update::<RouteTable>(&scope, table.id.as_str(), |table| {
        table.associations.retain(|association| association.id.as_str() != input.association_id);
    });
    Ok(Unit)
}

pub(crate) fn replace_association(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::ReplaceRouteTableAssociationRequest,
) -> Result<ec2::ReplaceRouteTableAssociationResult, ApiError> {
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let old = by_association(tx, &scope, &input.association_id)?;
    let id = &input.route_table_id;
    let new = tx.get::<RouteTable>(&scope, id).ok_or_else(|| texts::route_table_not_found(id))?;
    if new.vpc != old.vpc {
        return Err(ApiError::new("InvalidParameterValue", format!("Route table {id} belongs to a different network")));
    }
    let fresh = RouteTableAssociationId::generate();
    let new_association_id = Some(fresh.to_string());
    let subnet = old.associations.iter().find(|association| association.id.as_str() == input.association_id);
    if let Some(association) = subnet {
        let subnet = association.subnet.clone();
        tx.update::<RouteTable>(&scope, old.id.as_str(), |table| table.associations.retain(|of| of.subnet != subnet));
        tx.update::<RouteTable>(&scope, id, |table| {
            table.associations.push(RouteTableAssociation { id: fresh, subnet });
        });
    } else {
        // The main association moves: the new table becomes the VPC's main one.
        tx.update::<RouteTable>(&scope, old.id.as_str(), |table| table.main_association = None);
        tx.update::<RouteTable>(&scope, id, |table| table.main_association = Some(fresh));
        tx.update::<Vpc>(&scope, new.vpc.as_str(), |vpc| vpc.main_route_table = new.id.clone());
    }
    Ok(ec2::ReplaceRouteTableAssociationResult { new_association_id, association_state: associated() })
}
