//! Services read: DescribeServices, ListServices.

use super::clusters::missing;
use super::{cluster, includes, paging, shapes};
use crate::rows::{EventsRow, SERVICES_BY_CLUSTER, ServiceRow, ServiceStatus, TASKS_BY_SERVICE, TaskRow};
use crate::{Ecs, names, texts};
use gateway::Context;
use model::ecs::{
    DescribeServicesRequest, DescribeServicesResponse, ListServicesRequest, ListServicesResponse, Service, ServiceEvent,
};
use store::View;
use types::{ApiError, Scope};

pub(super) fn describe(
    _: &Ecs,
    cx: &mut Context,
    input: DescribeServicesRequest,
) -> Result<DescribeServicesResponse, ApiError> {
    let scope = cx.scope.clone();
    let view = cx.view();
    let cluster = cluster(view, &scope, input.cluster.as_deref())?;
    if input.services.is_empty() {
        return Err(texts::invalid(texts::SERVICES_EMPTY));
    }
    if input.services.len() > 10 {
        return Err(texts::invalid("Services cannot have more than 10 elements"));
    }
    let with_tags = includes(input.include.as_ref(), "TAGS");
    let (mut services, mut failures) = (Vec::with_capacity(input.services.len()), Vec::new());
    for reference in &input.services {
        let name = names::in_cluster(&scope, reference, "service", &cluster.name)?;
        match view.get::<ServiceRow>(&scope, &ServiceRow::key(&cluster.name, &name)) {
            Some(row) => services.push(shape(view, &scope, &row, with_tags)),
            None => failures.push(missing(names::service_arn(&scope, &cluster.name, &name))),
        }
    }
    Ok(DescribeServicesResponse { services: Some(services), failures: Some(failures) })
}

/// The service as it stands in `view`.
pub(super) fn shape(view: &View, scope: &Scope, row: &ServiceRow, with_tags: bool) -> Service {
    let key = ServiceRow::key(&row.cluster, &row.name);
    let tasks: Vec<&TaskRow> = view.by_index(&TASKS_BY_SERVICE, scope, &key).map(AsRef::as_ref).collect();
    let event = |event: &crate::rows::Event| ServiceEvent {
        id: Some(event.id.clone()),
        created_at: Some(event.at),
        message: Some(event.message.clone()),
    };
    let events = view.get::<EventsRow>(scope, &key).map(|row| row.events.iter().map(event).collect());
    shapes::service(scope, row, &tasks, events.unwrap_or_default(), with_tags)
}

pub(super) fn list(_: &Ecs, cx: &mut Context, input: ListServicesRequest) -> Result<ListServicesResponse, ApiError> {
    let scope = cx.scope.clone();
    let view = cx.view();
    let cluster = cluster(view, &scope, input.cluster.as_deref())?;
    let rows = view.by_index(&SERVICES_BY_CLUSTER, &scope, &cluster.name);
    let wanted = rows.filter(|row| {
        row.status != ServiceStatus::Inactive
            && input.launch_type.as_deref().is_none_or(|launch| row.launch_type.as_deref() == Some(launch))
            && input.scheduling_strategy.as_deref().is_none_or(|it| (it == "DAEMON") == row.placement.daemon)
    });
    let items = wanted.map(|row| (row.name.clone(), names::service_arn(&scope, &row.cluster, &row.name)));
    let (arns, next_token) = paging::page(items, input.next_token.as_deref(), input.max_results, 10)?;
    Ok(ListServicesResponse { service_arns: Some(arns), next_token })
}
