//! A service's own attributes.

use super::service;
use crate::rows::Service;
use crate::{Discovery, texts};
use gateway::Context;
use model::servicediscovery::{
    DeleteServiceAttributesRequest, DeleteServiceAttributesResponse, GetServiceAttributesRequest,
    GetServiceAttributesResponse, ServiceAttributes, UpdateServiceAttributesRequest, UpdateServiceAttributesResponse,
};
use types::ApiError;

/// As many as a service has. Source: API reference, `ServiceAttributes`.
const MOST: usize = 30;

pub(super) fn get(
    _: &Discovery,
    cx: &mut Context,
    input: GetServiceAttributesRequest,
) -> Result<GetServiceAttributesResponse, ApiError> {
    let scope = cx.scope.clone();
    let row = service(cx.view(), &scope, &input.service_id)?;
    let attributes = ServiceAttributes {
        service_arn: Some(row.arn(&scope)),
        resource_owner: Some(scope.account.to_string()),
        attributes: Some(row.attributes.clone()),
    };
    Ok(GetServiceAttributesResponse { service_attributes: Some(attributes) })
}

pub(super) fn update(
    _: &Discovery,
    cx: &mut Context,
    input: UpdateServiceAttributesRequest,
) -> Result<UpdateServiceAttributesResponse, ApiError> {
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let mut row = Service::clone(&*service(tx, &scope, &input.service_id)?);
    row.attributes.extend(input.attributes);
    if row.attributes.len() > MOST {
        return Err(texts::too_many_attributes());
    }
    tx.put(&scope, row);
    Ok(UpdateServiceAttributesResponse {})
}

pub(super) fn delete(
    _: &Discovery,
    cx: &mut Context,
    input: DeleteServiceAttributesRequest,
) -> Result<DeleteServiceAttributesResponse, ApiError> {
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let mut row = Service::clone(&*service(tx, &scope, &input.service_id)?);
    row.attributes.retain(|key, _| !input.attributes.contains(key));
    tx.put(&scope, row);
    Ok(DeleteServiceAttributesResponse {})
}
