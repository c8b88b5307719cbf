//! Flow logs: made for VPCs, subnets and interfaces, into CloudWatch Logs.
//!
//! Whether records can be delivered is found out when there are some, and shown then: on AWS, too, a log group or a role
//! that is not there is no error here.

use super::describe::{self, Kind, Selection, Values, one};
use super::{Ec2, begin, refuse, tags};
use crate::flow_logs::PRINCIPAL;
use crate::rows::{FlowLog, NetworkInterface, Subnet, Vpc};
use crate::texts;
use flowlog::{Format, FormatError};
use gateway::Context;
use model::ec2;
use store::View;
use types::arn::Arn;
use types::id::FlowLogId;
use types::{ApiError, Scope};

/// How many resources a request may name. Source: EC2 API reference, CreateFlowLogs.
const MAX_RESOURCES: usize = 300;
/// How long a record's time may be, and what it is if nobody says. Source: EC2 API reference, CreateFlowLogs.
const INTERVALS: [i32; 2] = [60, 600];
const DEFAULT_INTERVAL: i32 = 600;
const CLOUD_WATCH_LOGS: &str = "cloud-watch-logs";

/// The log group that a request names.
fn log_group(scope: &Scope, name: Option<String>, arn: Option<&str>) -> Result<String, ApiError> {
    match (name.filter(|name| !name.is_empty()), arn.filter(|arn| !arn.is_empty())) {
        (Some(_), Some(_)) => Err(texts::one_flow_log_destination()),
        (Some(name), None) => Ok(name),
        (None, None) => Err(texts::flow_log_needs("LogDestination", "LogGroupName", "not provided")),
        (None, Some(text)) => {
            let wrong = || texts::bad_flow_log("Log Destination");
            let arn: Arn = text.parse().map_err(|_| wrong())?;
            let name = arn.resource.strip_prefix("log-group:").ok_or_else(wrong)?;
            let name = name.strip_suffix(":*").unwrap_or(name);
            if arn.service != "logs" || name.is_empty() || name.contains(':') {
                return Err(wrong());
            }
            let home = arn.account == scope.account.as_str() && arn.region == scope.region.as_str();
            refuse(!home, "log groups of other accounts and regions as destinations of flow logs")?;
            Ok(name.to_owned())
        }
    }
}

fn format(text: Option<&str>) -> Result<String, ApiError> {
    let Some(text) = text else { return Ok(Format::default().text()) };
    match Format::parse(text) {
        Ok(format) => Ok(format.text()),
        Err(FormatError::Empty) => Err(texts::bad_flow_log("Format")),
        Err(FormatError::Unknown(field)) => Err(texts::unknown_flow_log_field(&field)),
        Err(FormatError::NotHere(field)) => Err(ApiError::not_implemented(format!("the field {field} of flow logs"))),
    }
}

/// The error for a resource that is not there.
fn find(view: &View, scope: &Scope, kind: &str, id: &str) -> Result<(), ApiError> {
    let (found, error): (bool, fn(&str) -> ApiError) = match kind {
        "VPC" => (view.contains::<Vpc>(scope, id), texts::vpc_not_found),
        "Subnet" => (view.contains::<Subnet>(scope, id), texts::subnet_not_found),
        _ => (view.contains::<NetworkInterface>(scope, id), texts::interface_not_found),
    };
    if found { Ok(()) } else { Err(error(id)) }
}

fn unsuccessful(id: &str, error: &ApiError) -> ec2::UnsuccessfulItem {
    let error = ec2::UnsuccessfulItemError { code: Some(error.code.clone()), message: Some(error.message.clone()) };
    ec2::UnsuccessfulItem { resource_id: Some(id.to_owned()), error: Some(error) }
}

/// What a flow log of `resource` is to be.
fn wanted(scope: &Scope, input: &ec2::CreateFlowLogsRequest) -> Result<FlowLog, ApiError> {
    let kind = input.resource_type.as_str();
    refuse(!matches!(kind, "VPC" | "Subnet" | "NetworkInterface"), &format!("flow logs of the type {kind}"))?;
    refuse(input.deliver_cross_account_role.is_some(), "delivery of flow logs to other accounts")?;
    refuse(input.tag_field_specifications.is_some(), "tags as fields of flow logs")?;
    let destination = input.log_destination_type.as_deref().unwrap_or(CLOUD_WATCH_LOGS);
    refuse(destination != CLOUD_WATCH_LOGS, &format!("delivery of flow logs to {destination}"))?;
    refuse(input.destination_options.is_some(), "destination options of flow logs")?;
    let traffic = input.traffic_type.clone().ok_or_else(|| texts::missing("TrafficType"))?;
    if !matches!(traffic.as_str(), "ACCEPT" | "REJECT" | "ALL") {
        return Err(texts::invalid_value(traffic, "TrafficType", "Expecting ACCEPT, REJECT or ALL."));
    }
    let log_group = log_group(scope, input.log_group_name.clone(), input.log_destination.as_deref())?;
    let role_arn = input.deliver_logs_permission_arn.clone().filter(|arn| !arn.is_empty());
    let role_arn = role_arn
        .ok_or_else(|| texts::flow_log_needs("DeliverLogsPermissionArn", "LogDestinationType", CLOUD_WATCH_LOGS))?;
    let is_role = |arn: Arn| arn.service == "iam" && arn.resource.starts_with("role/");
    if !role_arn.parse().is_ok_and(is_role) {
        return Err(texts::bad_flow_log("Deliver Logs Permission Arn"));
    }
    let interval = input.max_aggregation_interval.unwrap_or(DEFAULT_INTERVAL);
    if !INTERVALS.contains(&interval) {
        return Err(texts::bad_flow_log("Max Aggregation Interval"));
    }
    Ok(FlowLog {
        id: FlowLogId::generate(),
        resource: String::new(),
        traffic,
        log_group,
        destination: input.log_destination.clone().filter(|arn| !arn.is_empty()),
        role_arn,
        format: format(input.log_format.as_deref())?,
        interval,
        client_token: input.client_token.clone().filter(|token| !token.is_empty()),
        error: None,
        created: types::Timestamp::default(),
        tags: tags::at_creation(input.tag_specifications.clone(), "vpc-flow-log")?,
    })
}

/// Whether a repeated request asks for what stands: everything but what has come to be since.
fn same(standing: &FlowLog, wanted: &FlowLog) -> bool {
    let asked = |row: &FlowLog| {
        let destination = (row.log_group.clone(), row.destination.clone(), row.role_arn.clone());
        (row.traffic.clone(), destination, row.format.clone(), row.interval)
    };
    asked(standing) == asked(wanted)
}

pub(crate) fn create(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::CreateFlowLogsRequest,
) -> Result<ec2::CreateFlowLogsResult, ApiError> {
    let wanted = wanted(&cx.scope, &input)?;
    let ids = &input.resource_ids;
    if ids.is_empty() {
        return Err(texts::missing("ResourceId"));
    }
    if ids.len() > MAX_RESOURCES {
        return Err(texts::bad_flow_log("Resource Ids"));
    }
    begin(cx, input.dry_run)?;
    let (scope, principal, now) = (cx.scope.clone(), cx.principal.clone(), cx.now);
    let tx = cx.tx();
    let answer = |flow_log_ids: Vec<String>, unsuccessful| ec2::CreateFlowLogsResult {
        client_token: input.client_token.clone(),
        flow_log_ids: Some(flow_log_ids),
        unsuccessful: Some(unsuccessful),
    };
    if let Err(denial) = iam::query::may_pass(tx, &principal, &wanted.role_arn, PRINCIPAL, now) {
        return Err(texts::may_not_pass(denial));
    }
    if let Some(token) = &wanted.client_token {
        let earlier: Vec<_> =
            tx.scan::<FlowLog>(&scope).filter(|row| row.client_token.as_ref() == Some(token)).cloned().collect();
        if earlier.iter().any(|row| !same(row, &wanted) || !ids.contains(&row.resource)) {
            return Err(texts::token_used_otherwise(token));
        }
        if !earlier.is_empty() {
            return Ok(answer(earlier.iter().map(|row| row.id.to_string()).collect(), Vec::new()));
        }
    }
    let (mut made, mut failed) = (Vec::new(), Vec::new());
    for id in ids {
        if let Err(error) = find(tx, &scope, &input.resource_type, id) {
            failed.push(unsuccessful(id, &error));
            continue;
        }
        let exists = tx
            .scan::<FlowLog>(&scope)
            .any(|row| row.resource == *id && row.traffic == wanted.traffic && row.log_group == wanted.log_group);
        if exists {
            return Err(texts::flow_log_exists());
        }
        let row = FlowLog { id: FlowLogId::generate(), resource: id.clone(), created: now, ..wanted.clone() };
        made.push(tx.put(&scope, row).id.to_string());
    }
    Ok(answer(made, failed))
}

fn show(row: &FlowLog) -> ec2::FlowLog {
    ec2::FlowLog {
        creation_time: Some(row.created),
        deliver_logs_error_message: row.error.clone(),
        deliver_logs_permission_arn: Some(row.role_arn.clone()),
        deliver_logs_status: Some(status(row).to_owned()),
        flow_log_id: Some(row.id.to_string()),
        flow_log_status: Some("ACTIVE".to_owned()),
        log_group_name: Some(row.log_group.clone()),
        resource_id: Some(row.resource.clone()),
        traffic_type: Some(row.traffic.clone()),
        log_destination_type: Some(CLOUD_WATCH_LOGS.to_owned()),
        log_destination: row.destination.clone(),
        log_format: Some(row.format.clone()),
        max_aggregation_interval: Some(row.interval),
        tags: tags::shown(&row.tags),
        ..ec2::FlowLog::default()
    }
}

fn status(row: &FlowLog) -> &'static str {
    if row.error.is_some() { "FAILED" } else { "SUCCESS" }
}

const KIND: Kind<FlowLog> =
    Kind { not_found: |id| texts::flow_logs_not_found(&[id]), tags: |_, row| &row.tags, filter };

fn filter(name: &str) -> Option<Values<FlowLog>> {
    Some(match name {
        "deliver-log-status" => Box::new(|_, _, row| one(status(row))),
        "log-destination-type" => Box::new(|_, _, _| one(CLOUD_WATCH_LOGS)),
        "flow-log-id" => Box::new(|_, _, row| one(&row.id)),
        "log-group-name" => Box::new(|_, _, row| one(&row.log_group)),
        "resource-id" => Box::new(|_, _, row| one(&row.resource)),
        "traffic-type" => Box::new(|_, _, row| one(&row.traffic)),
        _ => return None,
    })
}

pub(crate) fn describe(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DescribeFlowLogsRequest,
) -> Result<ec2::DescribeFlowLogsResult, ApiError> {
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let view = cx.view();
    // An id that is not there is no error, only nothing.
    let ids = input.flow_log_ids.filter(|ids| !ids.is_empty());
    let found = view
        .scan::<FlowLog>(&scope)
        .filter(|row| ids.as_ref().is_none_or(|ids| ids.iter().any(|id| *id == row.id.as_str())));
    let found = found.cloned().collect();
    let (max_results, next_token) = (input.max_results, input.next_token);
    let selection = Selection { ids: None, filters: input.filter, max_results, next_token };
    let (rows, next_token) = describe::of(view, &scope, &KIND, found, selection)?;
    Ok(ec2::DescribeFlowLogsResult { flow_logs: Some(rows.iter().map(|row| show(row)).collect()), next_token })
}

pub(crate) fn delete(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DeleteFlowLogsRequest,
) -> Result<ec2::DeleteFlowLogsResult, ApiError> {
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let mut failed = Vec::new();
    for id in &input.flow_log_ids {
        if tx.delete::<FlowLog>(&scope, id).is_none() {
            failed.push(unsuccessful(id, &texts::flow_logs_not_found(&[id.as_str()])));
        }
    }
    Ok(ec2::DeleteFlowLogsResult { unsuccessful: Some(failed) })
}
