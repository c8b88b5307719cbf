//! The logs port on the `observe` crate, asked as the execution role.

use super::Reach;
use crate::ports::{LogEvent, Logs, Session};
use crate::rows::LogTarget;
use crate::texts;
use async_trait::async_trait;
use store::Store;
use types::Scope;
use types::arn::Arn;

/// CloudWatch Logs, as the awslogs driver uses it.
pub struct RealLogs {
    store: Store,
    reach: Reach,
}

impl RealLogs {
    /// The port on the logs in `store`.
    pub fn new(store: Store, reach: Reach) -> Self {
        Self { store, reach }
    }
}

/// Where the log group lies: in the region that the log configuration names.
fn home(scope: &Scope, log: &LogTarget) -> Scope {
    log.region.parse().map_or_else(|_| scope.clone(), |region| Scope::new(scope.account.clone(), region))
}

#[async_trait]
impl Logs for RealLogs {
    async fn create_stream(
        &self,
        scope: &Scope,
        log: &LogTarget,
        session: Option<&Session>,
        netns: &str,
    ) -> Result<(), String> {
        let refused = |why: &str| texts::log_stream_refused(&types::id::random_uuid(), why);
        let home = home(scope, log);
        let host = format!("logs.{}.amazonaws.com", home.region);
        if self.reach.connect(scope, netns, &host).await.is_err() {
            return Err(texts::LOGS_OUT_OF_REACH.to_owned());
        }
        let Some(session) = session else {
            return Err(refused("AccessDeniedException: the task has no execution role"));
        };
        let now = self.reach.clock().now();
        let group = Arn::new("logs", &home, format!("log-group:{}", log.group)).to_string();
        let stream = format!("{group}:log-stream:{}", log.stream);
        let wanted = [("logs:CreateLogStream", stream), ("logs:CreateLogGroup", format!("{group}:*"))];
        for (action, resource) in wanted.iter().take(if log.create_group { 2 } else { 1 }) {
            let view = self.reach.view();
            iam::query::role_may(&view, &session.role_arn, &session.name, action, &[resource], now)
                .map_err(|denied| refused(&format!("AccessDeniedException: {denied}")))?;
        }
        let (made, ticket) = {
            let mut tx = self.store.begin();
            let made = observe::create_stream(&mut tx, &home, &log.group, &log.stream, log.create_group, now);
            (made, tx.commit())
        };
        ticket.await.map_err(|error| error.to_string())?;
        made.map_err(|error| refused(&error.to_string()))
    }

    async fn append(
        &self,
        store: &Store,
        scope: &Scope,
        log: &LogTarget,
        position: u64,
        events: Vec<LogEvent>,
    ) -> Result<(), String> {
        let event = |event: LogEvent| observe::LogEvent { timestamp: event.at, message: event.message };
        let events = events.into_iter().map(event).collect();
        let now = self.reach.clock().now();
        let place = (log.group.as_str(), log.stream.as_str());
        let appended = observe::append(store, &home(scope, log), place, Some(position), events, now).await;
        appended.map_err(|error| error.to_string())
    }
}
