//! Records into log streams, as the flow log's role.

use super::watches::Batch;
use crate::rows::FlowLog;
use observe::{AppendError, LogEvent};
use std::fmt;
use store::{Store, View};
use types::arn::Arn;
use types::{Scope, Timestamp};

/// Who assumes the roles of flow logs. Source: VPC user guide, "IAM role for publishing flow logs to CloudWatch Logs".
pub(crate) const PRINCIPAL: &str = "vpc-flow-logs.amazonaws.com";
const SESSION: &str = "vpc-flow-logs";

/// Why records cannot be delivered.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The role may not, or is not there.
    Access(String),
    /// Something here went wrong.
    Failed(String),
}

impl Refusal {
    /// AWS's words. Source: EC2 API reference, FlowLog, `deliverLogsErrorMessage`.
    pub(super) fn as_aws(&self) -> &'static str {
        match self {
            Self::Access(_) => "Access error",
            Self::Failed(_) => "Unknown error",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Access(why) | Self::Failed(why) => f.write_str(why),
        }
    }
}

/// Appends the lines to their stream, which is made if it is not there, and its group as well.
pub(super) async fn deliver(store: &Store, log: &FlowLog, batch: Batch, now: Timestamp) -> Result<(), Refusal> {
    let Batch { scope, stream, lines, .. } = batch;
    let make = may(&store.view(), &scope, log, &stream, now)?;
    if make {
        let (made, ticket) = {
            let mut tx = store.begin();
            let made = observe::create_stream(&mut tx, &scope, &log.log_group, &stream, true, now);
            (made, tx.commit())
        };
        ticket.wait().await.map_err(|error| Refusal::Failed(error.to_string()))?;
        made.map_err(refusal)?;
    }
    let events = lines.into_iter().map(|(timestamp, message)| LogEvent { timestamp, message }).collect();
    observe::append(store, &scope, (&log.log_group, &stream), None, events, now).await.map_err(refusal)
}

fn refusal(error: AppendError) -> Refusal {
    Refusal::Failed(error.to_string())
}

/// Whether the role may do all that it takes; if so, whether the stream is to be made.
fn may(view: &View, scope: &Scope, log: &FlowLog, stream: &str, now: Timestamp) -> Result<bool, Refusal> {
    let role = &log.role_arn;
    iam::query::trusts_service(view, role, PRINCIPAL, now).map_err(|refusal| Refusal::Access(refusal.to_string()))?;
    let group = Arn::new("logs", scope, format!("log-group:{}", log.log_group)).to_string();
    let stream_arn = format!("{group}:log-stream:{stream}");
    let mut wanted = vec![("logs:PutLogEvents", stream_arn.clone())];
    let there = observe::query::stream(view, scope, &log.log_group, stream).is_some();
    if !there {
        wanted.push(("logs:CreateLogStream", stream_arn));
    }
    if observe::query::group(view, scope, &log.log_group).is_none() {
        wanted.push(("logs:CreateLogGroup", format!("{group}:*")));
    }
    for (action, resource) in &wanted {
        iam::query::role_may(view, role, SESSION, action, &[resource], (now, None))
            .map_err(|denied| Refusal::Access(denied.to_string()))?;
    }
    Ok(!there)
}
