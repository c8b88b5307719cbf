//! Lets what was reported of an instance's health take effect when its time has come, and forgets old operations.

use crate::intent;
use crate::rows::{Instance, Operation};
use async_trait::async_trait;
use controller::{Controller, Failure, Key, Next};
use std::sync::Arc;
use std::time::Duration;
use store::{Change, Op, Row, Store, View};
use types::{Clock, Scope};

/// How long an operation can be asked about.
const OPERATIONS_KEPT: Duration = Duration::from_hours(24);

/// The controller. Its key is a table's name and a row's id.
pub struct Keeper {
    store: Store,
    clock: Arc<dyn Clock>,
}

impl Keeper {
    /// The keeper of `store`'s instances and operations.
    pub fn new(store: Store, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }
}

fn key(scope: &Scope, table: &str, id: &str) -> Key {
    Key::new(scope, format!("{table}|{id}"))
}

#[async_trait]
impl Controller for Keeper {
    fn name(&self) -> &'static str {
        "servicediscovery-keeper"
    }

    fn tables(&self) -> &'static [&'static str] {
        &[Instance::TABLE, Operation::TABLE]
    }

    fn keys(&self, _: &View, change: &Change) -> Vec<Key> {
        if change.op == Op::Delete { Vec::new() } else { vec![key(&change.scope, change.table, &change.id)] }
    }

    fn all_keys(&self, view: &View) -> Vec<Key> {
        let reported = view.scan_all::<Instance>().filter(|(_, row)| row.reported.is_some());
        let instances = reported.map(|(scope, row)| key(scope, Instance::TABLE, &row.id()));
        let operations = view.scan_all::<Operation>().map(|(scope, row)| key(scope, Operation::TABLE, &row.id));
        instances.chain(operations).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Failure> {
        let (now, view) = (self.clock.now(), self.store.view());
        let Some((table, id)) = key.id.split_once('|') else { return Ok(Next::Done) };
        let due = if table == Operation::TABLE {
            view.get::<Operation>(&key.scope, id).map(|row| row.at.plus(OPERATIONS_KEPT))
        } else {
            view.get::<Instance>(&key.scope, id).and_then(|row| row.reported).map(|(_, due)| due)
        };
        let Some(due) = due else { return Ok(Next::Done) };
        if now < due {
            return Ok(Next::After(due.since(now)));
        }
        let ticket = {
            let mut tx = self.store.begin();
            if table == Operation::TABLE {
                tx.delete::<Operation>(&key.scope, id);
            } else if let Some(row) = tx.get::<Instance>(&key.scope, id)
                && let Some((health, due)) = row.reported
                && due <= now
            {
                intent::set_health(&mut tx, &key.scope, &row.service, &row.id, health);
            }
            tx.commit()
        };
        ticket.await?;
        Ok(Next::Done)
    }
}
