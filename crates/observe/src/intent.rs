//! What other services may ask of alarms. They are the asker's own; the evaluator does the rest.

use crate::alarms::history::{self, Item};
use crate::alarms::row::{Alarm, Draft};
use store::{Store, Tx};
use types::{Scope, Timestamp};

/// Puts alarms, new ones or over those of their names. Waits until their history is kept.
pub fn put_alarms(
    store: &Store,
    tx: &mut Tx,
    scope: &Scope,
    drafts: Vec<Draft>,
    now: Timestamp,
) -> Result<(), store::Error> {
    let mut items = Vec::new();
    for draft in drafts {
        let before = tx.get::<Alarm>(scope, &draft.name);
        let alarm = tx.put(scope, Alarm::put(draft, before.as_deref(), now));
        items.push(Item::put(scope, &alarm, before.is_none()));
    }
    tell(store, scope, now, &items)
}

/// Deletes alarms. Those that are gone are no error.
pub fn delete_alarms(
    store: &Store,
    tx: &mut Tx,
    scope: &Scope,
    names: &[String],
    now: Timestamp,
) -> Result<(), store::Error> {
    let gone = names.iter().filter_map(|name| tx.delete::<Alarm>(scope, name));
    let items: Vec<Item> = gone.map(|alarm| Item::deleted(scope, &alarm)).collect();
    tell(store, scope, now, &items)
}

fn tell(store: &Store, scope: &Scope, now: Timestamp, items: &[Item]) -> Result<(), store::Error> {
    if items.is_empty() {
        return Ok(());
    }
    history::append(store, scope, now, items)?.wait_blocking().map(drop)
}
