//! The operations of CloudWatch Logs and CloudWatch. One file a resource.

mod alarm_history;
mod alarms;
mod events;
mod filter;
mod groups;
mod metric_data;
mod metrics;
mod page;
mod put_alarm;
mod resource_policies;
mod statistics;
mod streams;
mod tags;

use crate::Observe;
use gateway::Context;

pub(crate) fn handlers() -> model::logs::Handlers<Observe, Context> {
    model::logs::Handlers {
        create_log_group: groups::create,
        create_log_stream: streams::create,
        delete_log_group: groups::delete,
        delete_log_stream: streams::delete,
        delete_resource_policy: resource_policies::delete,
        delete_retention_policy: groups::delete_retention,
        describe_log_groups: groups::describe,
        describe_log_streams: streams::describe,
        describe_resource_policies: resource_policies::describe,
        filter_log_events: filter::filter,
        get_log_events: events::get,
        list_tags_for_resource: tags::list,
        put_log_events: events::put,
        put_resource_policy: resource_policies::put,
        put_retention_policy: groups::put_retention,
        tag_resource: tags::tag,
        untag_resource: tags::untag,
    }
}

pub(crate) fn cloudwatch_handlers() -> model::cloudwatch::Handlers<Observe, Context> {
    model::cloudwatch::Handlers {
        delete_alarms: alarms::delete,
        describe_alarm_history: alarm_history::describe,
        describe_alarms: alarms::describe,
        describe_alarms_for_metric: alarms::describe_for_metric,
        disable_alarm_actions: alarms::disable_actions,
        enable_alarm_actions: alarms::enable_actions,
        get_metric_data: metric_data::get,
        get_metric_statistics: statistics::get,
        list_metrics: metrics::list,
        list_tags_for_resource: alarms::list_tags,
        put_metric_alarm: put_alarm::put,
        put_metric_data: metrics::put,
        set_alarm_state: alarms::set_state,
        tag_resource: alarms::tag,
        untag_resource: alarms::untag,
    }
}

/// The store's failure, for the log; the client learns nothing of it.
fn internal(error: store::Error) -> types::ApiError {
    tracing::error!(%error, "the event streams failed");
    types::ApiError::internal()
}
