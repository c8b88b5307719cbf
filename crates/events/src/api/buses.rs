//! The default event bus.

use super::{BUS, bus_arn, check_bus};
use crate::Events;
use gateway::Context;
use model::events::{
    DescribeEventBusRequest, DescribeEventBusResponse, EventBus, ListEventBusesRequest, ListEventBusesResponse,
};
use types::ApiError;

pub(super) fn describe(
    _: &Events,
    cx: &mut Context,
    input: DescribeEventBusRequest,
) -> Result<DescribeEventBusResponse, ApiError> {
    check_bus(&cx.scope, input.name.as_deref())?;
    let arn = Some(bus_arn(&cx.scope));
    Ok(DescribeEventBusResponse { name: Some(BUS.to_owned()), arn, ..Default::default() })
}

pub(super) fn list(
    _: &Events,
    cx: &mut Context,
    input: ListEventBusesRequest,
) -> Result<ListEventBusesResponse, ApiError> {
    let bus = EventBus { name: Some(BUS.to_owned()), arn: Some(bus_arn(&cx.scope)), ..Default::default() };
    let wanted = input.name_prefix.is_none_or(|prefix| BUS.starts_with(&prefix)) && input.next_token.is_none();
    Ok(ListEventBusesResponse { event_buses: Some(if wanted { vec![bus] } else { vec![] }), next_token: None })
}
