//! Egress-only internet gateways: a VPC's way out over IPv6, for connections that begin inside.

use super::describe::{self, Kind, Selection};
use super::{Ec2, begin, tags};
use crate::rows::{EgressOnlyInternetGateway, Vpc};
use crate::texts;
use gateway::Context;
use model::ec2;
use types::ApiError;
use types::id::EgressOnlyInternetGatewayId;

pub(crate) fn create(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::CreateEgressOnlyInternetGatewayRequest,
) -> Result<ec2::CreateEgressOnlyInternetGatewayResult, ApiError> {
    let tags = tags::at_creation(input.tag_specifications, "egress-only-internet-gateway")?;
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let vpc = tx.get::<Vpc>(&scope, &input.vpc_id).ok_or_else(|| texts::vpc_not_found(&input.vpc_id))?;
    let standing = tx.by_index(&EgressOnlyInternetGateway::BY_VPC, &scope, vpc.id.as_str()).next().cloned();
    let gateway = match standing {
        // To ask once more is no other request.
        Some(standing) if input.client_token.is_some() && standing.client_token == input.client_token => standing,
        Some(standing) => return Err(texts::egress_only_gateway_exists(&vpc.id, &standing.id)),
        None => {
            let (id, client_token) = (EgressOnlyInternetGatewayId::generate(), input.client_token.clone());
            tx.put(&scope, EgressOnlyInternetGateway { id, vpc: vpc.id.clone(), client_token, tags })
        }
    };
    Ok(ec2::CreateEgressOnlyInternetGatewayResult {
        client_token: input.client_token,
        egress_only_internet_gateway: Some(show(&gateway)),
    })
}

fn show(gateway: &EgressOnlyInternetGateway) -> ec2::EgressOnlyInternetGateway {
    let attachment =
        ec2::InternetGatewayAttachment { state: Some("attached".to_owned()), vpc_id: Some(gateway.vpc.to_string()) };
    ec2::EgressOnlyInternetGateway {
        egress_only_internet_gateway_id: Some(gateway.id.to_string()),
        attachments: Some(vec![attachment]),
        tags: tags::shown(&gateway.tags),
    }
}

/// Routes that lead to it become black holes.
pub(crate) fn delete(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DeleteEgressOnlyInternetGatewayRequest,
) -> Result<ec2::DeleteEgressOnlyInternetGatewayResult, ApiError> {
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let id = &input.egress_only_internet_gateway_id;
    if !tx.contains::<EgressOnlyInternetGateway>(&scope, id) {
        return Err(texts::egress_only_gateway_not_found(id));
    }
    tx.delete::<EgressOnlyInternetGateway>(&scope, id);
    Ok(ec2::DeleteEgressOnlyInternetGatewayResult { return_code: Some(true) })
}

/// They are filtered by tags alone.
const KIND: Kind<EgressOnlyInternetGateway> =
    Kind { not_found: texts::egress_only_gateway_not_found, tags: |_, gateway| &gateway.tags, filter: |_| None };

pub(crate) fn describe(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DescribeEgressOnlyInternetGatewaysRequest,
) -> Result<ec2::DescribeEgressOnlyInternetGatewaysResult, ApiError> {
    begin(cx, input.dry_run)?;
    let ids = input.egress_only_internet_gateway_ids;
    let (max_results, next_token) = (input.max_results, input.next_token);
    let selection = Selection { ids, filters: input.filters, max_results, next_token };
    let (rows, next_token) = describe::rows(cx, &KIND, selection)?;
    let shown = rows.iter().map(|row| show(row)).collect();
    Ok(ec2::DescribeEgressOnlyInternetGatewaysResult { egress_only_internet_gateways: Some(shown), next_token })
}
