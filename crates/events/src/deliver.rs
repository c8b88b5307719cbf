//! Carries deliveries out: each into a log stream of its own, and once. A resource policy of CloudWatch Logs must allow it.

use crate::rows::Delivery;
use async_trait::async_trait;
use controller::{Controller, Failure, Key, Next};
use observe::{AppendError, LogEvent, access};
use std::sync::Arc;
use store::{Change, Op, Row, Store, View};
use types::{Clock, Scope};

/// The controller. Its key is the delivery's id.
pub struct Deliverer {
    store: Store,
    clock: Arc<dyn Clock>,
}

impl Deliverer {
    /// The deliverer of what is in `store`.
    pub fn new(store: Store, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    async fn write(&self, scope: &Scope, row: &Delivery) -> Result<Result<(), AppendError>, Failure> {
        let now = self.clock.now();
        let (made, ticket) = {
            let mut tx = self.store.begin();
            let made = observe::create_stream(&mut tx, scope, &row.group, &row.id, false, now);
            (made, tx.commit())
        };
        ticket.await?;
        if made.is_err() {
            return Ok(made);
        }
        let events = vec![LogEvent { timestamp: row.at, message: row.message.clone() }];
        // The one batch of its stream: told twice, it is kept once.
        Ok(observe::append(&self.store, scope, (&row.group, &row.id), Some(0), events, now).await)
    }
}

/// EventBridge's own name. Source: EventBridge user guide, "Using resource-based policies".
const SERVICE: &str = "events.amazonaws.com";

#[async_trait]
impl Controller for Deliverer {
    fn name(&self) -> &'static str {
        "events-deliveries"
    }

    fn tables(&self) -> &'static [&'static str] {
        &[Delivery::TABLE]
    }

    fn keys(&self, _: &View, change: &Change) -> Vec<Key> {
        if change.op == Op::Delete { Vec::new() } else { vec![Key::new(&change.scope, change.id.to_string())] }
    }

    fn all_keys(&self, view: &View) -> Vec<Key> {
        view.scan_all::<Delivery>().map(|(scope, row)| Key::new(scope, row.id.as_str())).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Failure> {
        let scope = &key.scope;
        let Some(row) = self.store.view().get::<Delivery>(scope, &key.id) else { return Ok(Next::Done) };
        // Nobody comes back for what fails: AWS does not try again either where a target is gone or not allowed.
        let writer = access::Writer { service: SERVICE, source: &row.rule };
        match access::may_write(&self.store.view(), scope, &writer, (&row.group, &row.id)) {
            Err(denied) => tracing::warn!(group = row.group, %denied, "an event may not be written into its log group"),
            Ok(()) => match self.write(scope, &row).await? {
                Ok(()) => {}
                Err(AppendError::NoSuchGroup | AppendError::NoSuchStream) => {
                    tracing::warn!(group = row.group, "an event's log group is not there");
                }
                Err(error @ AppendError::Store(_)) => return Err(error.into()),
            },
        }
        let ticket = {
            let mut tx = self.store.begin();
            tx.delete::<Delivery>(scope, &key.id);
            tx.commit()
        };
        ticket.await?;
        Ok(Next::Done)
    }
}
