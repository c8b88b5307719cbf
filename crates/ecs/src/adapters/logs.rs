//! The logs port on the `observe` crate, asked as the execution role.

use super::Reach;
use crate::ports::{LogEvent, Logs, Session};
use crate::rows::LogTarget;
use crate::texts;
use async_trait::async_trait;
use gateway::Origin;
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

fn group_arn(home: &Scope, log: &LogTarget) -> String {
    Arn::new("logs", home, format!("log-group:{}", log.group)).to_string()
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
        let home = home(scope, log);
        let host = format!("logs.{}.amazonaws.com", home.region);
        let origin = self.reach.connect(scope, netns, &host).await;
        let origin = origin.map_err(|_| texts::LOGS_OUT_OF_REACH.to_owned())?;
        let Some(session) = session else {
            let why = "AccessDeniedException: the task has no execution role";
            return Err(texts::log_stream_refused(&types::id::random_uuid(), why));
        };
        let mut made = self.make(&home, log, session, &origin).await;
        if made.is_err() {
            // As often as the reason says.
            self.reach.pause().await;
            made = self.make(&home, log, session, &origin).await;
        }
        made
    }

    async fn append(
        &self,
        scope: &Scope,
        log: &LogTarget,
        (position, events): (u64, Vec<LogEvent>),
        session: Option<&Session>,
        netns: &str,
    ) -> Result<(), String> {
        let home = home(scope, log);
        let (view, now) = (self.reach.view(), self.reach.clock().now());
        let stream = format!("{}:log-stream:{}", group_arn(&home, log), log.stream);
        let origin = (home == *scope).then(|| self.reach.private_origin(scope, netns, "logs")).flatten();
        let may = session.is_some_and(|session| {
            let how = (now, origin.as_ref());
            iam::query::role_may(&view, &session.role_arn, &session.name, "logs:PutLogEvents", &[&stream], how).is_ok()
        });
        if !may {
            return Ok(());
        }
        let event = |event: LogEvent| observe::LogEvent { timestamp: event.at, message: event.message };
        let events = events.into_iter().map(event).collect();
        let place = (log.group.as_str(), log.stream.as_str());
        let appended = observe::append(&self.store, &home, place, Some(position), events, now).await;
        appended.map_err(|error| error.to_string())
    }
}

impl RealLogs {
    /// What the service answers the session that comes from there.
    async fn make(&self, home: &Scope, log: &LogTarget, session: &Session, origin: &Origin) -> Result<(), String> {
        let refused = |why: &str| texts::log_stream_refused(&types::id::random_uuid(), why);
        let now = self.reach.clock().now();
        let group = group_arn(home, log);
        let stream = format!("{group}:log-stream:{}", log.stream);
        let wanted = [("logs:CreateLogStream", stream), ("logs:CreateLogGroup", format!("{group}:*"))];
        for (action, resource) in wanted.iter().take(if log.create_group { 2 } else { 1 }) {
            let view = self.reach.view();
            iam::query::role_may(&view, &session.role_arn, &session.name, action, &[resource], (now, Some(origin)))
                .map_err(|denied| refused(&format!("AccessDeniedException: {denied}")))?;
        }
        let (made, ticket) = {
            let mut tx = self.store.begin();
            let made = observe::create_stream(&mut tx, home, &log.group, &log.stream, log.create_group, now);
            (made, tx.commit())
        };
        ticket.await.map_err(|error| error.to_string())?;
        made.map_err(|error| refused(&error.to_string()))
    }
}
