//! Lists of parameters: all of them described, or those beneath a path with their values.

use super::page::{limit, page};
use super::parameter::described;
use super::parameter_filter::{BY_PATH, DESCRIBE, check, fits, lies_under};
use super::public_parameter;
use crate::rows::Parameter;
use crate::{Secrets, texts};
use gateway::Context;
use model::ssm::{
    DescribeParametersRequest, DescribeParametersResult, GetParametersByPathRequest, GetParametersByPathResult,
    ParameterMetadata, ParameterStringFilter,
};
use std::sync::Arc;
use types::{ApiError, Scope};

pub(super) fn describe(
    _: &Secrets,
    cx: &mut Context,
    input: DescribeParametersRequest,
) -> Result<DescribeParametersResult, ApiError> {
    let old = input.filters.unwrap_or_default();
    let mut filters = input.parameter_filters.unwrap_or_default();
    if !old.is_empty() && !filters.is_empty() {
        return Err(texts::two_kinds_of_filters());
    }
    filters.extend(old.into_iter().map(|filter| ParameterStringFilter {
        // The older form matches names by prefix.
        option: (filter.key == "Name").then(|| "BeginsWith".to_owned()),
        key: filter.key,
        values: Some(filter.values),
    }));
    check(&filters, DESCRIBE)?;
    let scope = cx.scope.clone();
    let found: Vec<Arc<Parameter>> = cx
        .view()
        .scan::<Parameter>(&scope)
        // None is shared between accounts.
        .filter(|parameter| input.shared != Some(true) && filters.iter().all(|filter| fits(parameter, filter)))
        .cloned()
        .collect();
    let size = limit(input.max_results, 50, 50);
    let (found, next_token) = page(found, input.next_token.as_deref(), size).ok_or_else(texts::bad_ssm_token)?;
    let parameters = found.iter().filter_map(|parameter| metadata(&scope, parameter)).collect();
    Ok(DescribeParametersResult { parameters: Some(parameters), next_token })
}

fn metadata(scope: &Scope, parameter: &Parameter) -> Option<ParameterMetadata> {
    let newest = parameter.newest()?;
    Some(ParameterMetadata {
        name: Some(parameter.name.clone()),
        arn: Some(Parameter::arn(scope, &parameter.name)),
        type_: Some(newest.kind.clone()),
        key_id: newest.key_id.clone(),
        last_modified_date: Some(newest.modified),
        last_modified_user: Some(newest.modified_by.clone()),
        description: newest.description.clone(),
        allowed_pattern: newest.allowed_pattern.clone(),
        version: Some(newest.number),
        tier: Some(newest.tier.clone()),
        policies: Some(Vec::new()),
        data_type: Some(newest.data_type.clone()),
    })
}

pub(super) fn get_by_path(
    secrets: &Secrets,
    cx: &mut Context,
    input: GetParametersByPathRequest,
) -> Result<GetParametersByPathResult, ApiError> {
    let filters = input.parameter_filters.unwrap_or_default();
    check(&filters, BY_PATH)?;
    if !input.path.starts_with('/') {
        return Err(texts::path_must_begin_with_slash(&input.path));
    }
    let scope = cx.scope.clone();
    let recursive = input.recursive == Some(true);
    // Nobody's own parameters lie where AWS's do.
    let public = public_parameter::under(&scope, &input.path, recursive);
    if !public.is_empty() {
        if !filters.is_empty() {
            return Err(ApiError::not_implemented("filters of public parameters"));
        }
        let size = limit(input.max_results, 10, 10);
        let (parameters, next_token) =
            page(public, input.next_token.as_deref(), size).ok_or_else(texts::bad_ssm_token)?;
        return Ok(GetParametersByPathResult { parameters: Some(parameters), next_token });
    }
    let found: Vec<Arc<Parameter>> = cx
        .view()
        .scan::<Parameter>(&scope)
        .filter(|parameter| lies_under(&parameter.name, &input.path, recursive))
        .filter(|parameter| filters.iter().all(|filter| fits(parameter, filter)))
        .cloned()
        .collect();
    let size = limit(input.max_results, 10, 10);
    let (found, next_token) = page(found, input.next_token.as_deref(), size).ok_or_else(texts::bad_ssm_token)?;
    let decrypt = input.with_decryption == Some(true);
    let mut parameters = Vec::new();
    for parameter in &found {
        let newest = parameter.newest().ok_or_else(ApiError::internal)?;
        parameters.push(described(secrets, &scope, parameter, newest, decrypt).ok_or_else(ApiError::internal)?);
    }
    Ok(GetParametersByPathResult { parameters: Some(parameters), next_token })
}
