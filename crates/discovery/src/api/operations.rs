//! Operations: GetOperation, ListOperations.

use super::{fits, page};
use crate::rows::Operation;
use crate::{Discovery, texts};
use gateway::Context;
use model::servicediscovery::{
    GetOperationRequest, GetOperationResponse, ListOperationsRequest, ListOperationsResponse, Operation as Shape,
    OperationFilter, OperationSummary,
};
use types::{ApiError, Scope};

pub(super) fn get(
    _: &Discovery,
    cx: &mut Context,
    input: GetOperationRequest,
) -> Result<GetOperationResponse, ApiError> {
    let scope = cx.scope.clone();
    let row = cx.view().get::<Operation>(&scope, &input.operation_id).ok_or_else(texts::operation_not_found)?;
    Ok(GetOperationResponse { operation: Some(shape(&scope, &row)) })
}

fn shape(scope: &Scope, row: &Operation) -> Shape {
    Shape {
        id: Some(row.id.clone()),
        owner_account: Some(scope.account.to_string()),
        type_: Some(row.kind.clone()),
        status: Some(row.status().to_owned()),
        error_code: row.failure.as_ref().map(|(code, _)| code.clone()),
        error_message: row.failure.as_ref().map(|(_, message)| message.clone()),
        create_date: Some(row.at),
        update_date: Some(row.at),
        targets: Some(row.targets.clone()),
    }
}

pub(super) fn list(
    _: &Discovery,
    cx: &mut Context,
    input: ListOperationsRequest,
) -> Result<ListOperationsResponse, ApiError> {
    let scope = cx.scope.clone();
    let filters = input.filters.unwrap_or_default();
    let mut found = Vec::new();
    for row in cx.view().scan::<Operation>(&scope) {
        let mut wanted = true;
        for filter in &filters {
            wanted &= passes(row, filter)?;
        }
        if wanted {
            let summary = OperationSummary { id: Some(row.id.clone()), status: Some(row.status().to_owned()) };
            found.push((row.id.clone(), summary));
        }
    }
    let (operations, next_token) = page::page(found, input.next_token.as_deref(), input.max_results)?;
    Ok(ListOperationsResponse { operations: Some(operations), next_token })
}

fn passes(row: &Operation, filter: &OperationFilter) -> Result<bool, ApiError> {
    let (name, condition, values) = (filter.name.as_str(), filter.condition.as_deref(), &filter.values);
    let target = |kind: &str| row.targets.get(kind).map_or("", String::as_str);
    match name {
        "NAMESPACE_ID" => fits((name, condition), values, &["EQ"], target("NAMESPACE")),
        "SERVICE_ID" => fits((name, condition), values, &["EQ"], target("SERVICE")),
        "STATUS" => fits((name, condition), values, &["EQ", "IN"], row.status()),
        "TYPE" => fits((name, condition), values, &["EQ", "IN"], &row.kind),
        _ => {
            let bound = |at: usize| values.get(at).and_then(|text| text.parse::<f64>().ok());
            match (condition, bound(0), bound(1)) {
                (Some("BETWEEN"), Some(from), Some(to)) => Ok((from..=to).contains(&row.at.seconds())),
                (Some("BETWEEN"), ..) => Err(texts::invalid("UPDATE_DATE takes a start date and an end date.")),
                (other, ..) => Err(texts::bad_filter(name, other.unwrap_or("EQ"))),
            }
        }
    }
}
