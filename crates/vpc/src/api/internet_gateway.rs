//! Internet gateways.

use super::describe::{self, Kind, Selection, Values, maybe, one};
use super::{Ec2, begin, tags};
use crate::query;
use crate::rows::{InternetGateway, NetworkInterface, Vpc};
use crate::texts;
use gateway::Context;
use model::ec2;
use types::id::InternetGatewayId;
use types::{ApiError, Scope};
use wire::Unit;

pub(crate) fn create(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::CreateInternetGatewayRequest,
) -> Result<ec2::CreateInternetGatewayResult, ApiError> {
    let tags = tags::at_creation(input.tag_specifications, "internet-gateway")?;
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let gateway = cx.tx().put(&scope, InternetGateway { id: InternetGatewayId::generate(), vpc: None, tags });
    Ok(ec2::CreateInternetGatewayResult { internet_gateway: Some(show(&scope, &gateway)) })
}

fn show(scope: &Scope, gateway: &InternetGateway) -> ec2::InternetGateway {
    let attachment = |vpc: &types::id::VpcId| ec2::InternetGatewayAttachment {
        state: Some("available".to_owned()),
        vpc_id: Some(vpc.to_string()),
    };
    ec2::InternetGateway {
        internet_gateway_id: Some(gateway.id.to_string()),
        owner_id: Some(scope.account.to_string()),
        attachments: Some(gateway.vpc.iter().map(attachment).collect()),
        tags: tags::shown(&gateway.tags),
    }
}

pub(crate) fn attach(_: &Ec2, cx: &mut Context, input: ec2::AttachInternetGatewayRequest) -> Result<Unit, ApiError> {
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let id = &input.internet_gateway_id;
    let gateway = tx.get::<InternetGateway>(&scope, id).ok_or_else(|| texts::internet_gateway_not_found(id))?;
    let vpc = tx.get::<Vpc>(&scope, &input.vpc_id).ok_or_else(|| texts::vpc_not_found(&input.vpc_id))?;
    if gateway.vpc.is_some() {
        return Err(ApiError::new(
            "Resource.AlreadyAssociated",
            format!("resource {id} is already attached to network {}", maybe(gateway.vpc.as_ref()).concat()),
        ));
    }
    if tx.by_index(&InternetGateway::BY_VPC, &scope, vpc.id.as_str()).next().is_some() {
        return Err(ApiError::new(
            "InvalidParameterValue",
            format!("Network {} already has an internet gateway attached", vpc.id),
        ));
    }
    tx.update::<InternetGateway>(&scope, id, |gateway| gateway.vpc = Some(vpc.id.clone()));
    Ok(Unit)
}

pub(crate) fn detach(_: &Ec2, cx: &mut Context, input: ec2::DetachInternetGatewayRequest) -> Result<Unit, ApiError> {
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let id = &input.internet_gateway_id;
    let gateway = tx.get::<InternetGateway>(&scope, id).ok_or_else(|| texts::internet_gateway_not_found(id))?;
    if gateway.vpc.as_ref().is_none_or(|vpc| vpc.as_str() != input.vpc_id) {
        return Err(ApiError::new(
            "Gateway.NotAttached",
            format!("resource {id} is not attached to network {}", input.vpc_id),
        ));
    }
    // Public addresses in use keep the gateway.
    let mapped = tx
        .by_index(&NetworkInterface::BY_VPC, &scope, &input.vpc_id)
        .any(|interface| query::public_ip(tx, &scope, interface).is_some());
    if mapped {
        return Err(ApiError::new(
            "DependencyViolation",
            format!(
                "Network {} has some mapped public address(es). Please unmap those public address(es) before detaching the gateway.",
                input.vpc_id
            ),
        ));
    }
    tx.update::<InternetGateway>(&scope, id, |gateway| gateway.vpc = None);
    Ok(Unit)
}

pub(crate) fn delete(_: &Ec2, cx: &mut Context, input: ec2::DeleteInternetGatewayRequest) -> Result<Unit, ApiError> {
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let id = &input.internet_gateway_id;
    let gateway = tx.get::<InternetGateway>(&scope, id).ok_or_else(|| texts::internet_gateway_not_found(id))?;
    if gateway.vpc.is_some() {
        return Err(texts::dependency("internetGateway", id));
    }
    tx.delete::<InternetGateway>(&scope, id);
    Ok(Unit)
}

const KIND: Kind<InternetGateway> =
    Kind { not_found: texts::internet_gateway_not_found, tags: |_, gateway| &gateway.tags, filter };

fn filter(name: &str) -> Option<Values<InternetGateway>> {
    Some(match name {
        "attachment.state" => Box::new(|_, _, gateway| gateway.vpc.iter().map(|_| "available".to_owned()).collect()),
        "attachment.vpc-id" => Box::new(|_, _, gateway| maybe(gateway.vpc.as_ref())),
        "internet-gateway-id" => Box::new(|_, _, gateway| one(&gateway.id)),
        "owner-id" => Box::new(|_, scope, _| one(&scope.account)),
        _ => return None,
    })
}

pub(crate) fn describe(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DescribeInternetGatewaysRequest,
) -> Result<ec2::DescribeInternetGatewaysResult, ApiError> {
    begin(cx, input.dry_run)?;
    let (max_results, next_token) = (input.max_results, input.next_token);
    let selection = Selection { ids: input.internet_gateway_ids, filters: input.filters, max_results, next_token };
    let (rows, next_token) = describe::rows(cx, &KIND, selection)?;
    let shown = rows.iter().map(|row| show(&cx.scope, row)).collect();
    Ok(ec2::DescribeInternetGatewaysResult { internet_gateways: Some(shown), next_token })
}
