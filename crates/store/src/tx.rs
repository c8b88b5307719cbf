//! A write transaction.

use crate::disk::{Record, encode_changes, key};
use crate::feed::{Change, Commit, Op};
use crate::row::Row;
use crate::store::{Inner, Turn};
use crate::table::{AnyTable, Table};
use crate::{Error, Ticket, View};
use std::any::Any;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;
use types::Scope;

/// The one write transaction of the moment. Reads through [`Deref`] see its own writes. Dropping it without [`Tx::commit`] undoes all.
///
/// It is deliberately not `Send`: it cannot be held over an await, where it would keep everyone else from writing.
pub struct Tx {
    store: Arc<Inner>,
    view: View,
    changes: BTreeMap<(usize, Scope, Arc<str>), Pending>,
    cursors: BTreeMap<String, u64>,
    turn: Turn,
    here: PhantomData<*const ()>,
}

struct Pending {
    before: Option<Arc<dyn Any + Send + Sync>>,
    after: Option<Arc<dyn Encode>>,
}

trait Encode: Send + Sync {
    fn encode(&self) -> Result<Vec<u8>, String>;
}

impl<R: Row> Encode for R {
    fn encode(&self) -> Result<Vec<u8>, String> {
        serde_json::to_vec(self).map_err(|why| why.to_string())
    }
}

impl Deref for Tx {
    type Target = View;

    fn deref(&self) -> &View {
        &self.view
    }
}

impl Tx {
    pub(crate) fn new(store: Arc<Inner>, view: View, turn: Turn) -> Self {
        Self { store, view, changes: BTreeMap::new(), cursors: BTreeMap::new(), turn, here: PhantomData }
    }

    /// Creates the row, or replaces the one of its id. Returns the row as shared with the views.
    pub fn put<R: Row>(&mut self, scope: &Scope, row: impl Into<Arc<R>>) -> Arc<R> {
        let row = row.into();
        let id: Arc<str> = row.id().as_ref().into();
        let (place, table) = self.table::<R>();
        let before = table.put(scope, id.clone(), row.clone());
        self.note(
            place,
            scope,
            id,
            before.map(|row| row as Arc<dyn Any + Send + Sync>),
            Some(row.clone() as Arc<dyn Encode>),
        );
        row
    }

    /// Deletes the row of that id and returns it; does nothing if there is none.
    pub fn delete<R: Row>(&mut self, scope: &Scope, id: &str) -> Option<Arc<R>> {
        if !self.view.contains::<R>(scope, id) {
            return None;
        }
        let (place, table) = self.table::<R>();
        let before = table.delete(scope, id)?;
        self.note(place, scope, id.into(), Some(before.clone()), None);
        Some(before)
    }

    /// Replaces the row of that id by what `change` makes of it, if there is one and it comes out different. Returns the row as it then is.
    pub fn update<R: Row + Clone + PartialEq>(
        &mut self,
        scope: &Scope,
        id: &str,
        change: impl FnOnce(&mut R),
    ) -> Option<Arc<R>> {
        let before = self.view.get::<R>(scope, id)?;
        let mut after = R::clone(&before);
        change(&mut after);
        if after == *before { Some(before) } else { Some(self.put(scope, after)) }
    }

    /// Remembers how far the named reader of the change feed got.
    pub fn set_cursor(&mut self, name: &str, sequence: u64) {
        Arc::make_mut(&mut self.view.cursors).insert(name.to_owned(), sequence);
        self.cursors.insert(name.to_owned(), sequence);
    }

    /// Whether nothing was written so far.
    pub fn is_unchanged(&self) -> bool {
        self.changes.is_empty() && self.cursors.is_empty()
    }

    /// Queues the transaction to be made durable and lets the next one begin, which sees this one's rows.
    ///
    /// An unchanged transaction makes no commit; its ticket tells when all that it read is durable.
    pub fn commit(self) -> Ticket {
        let Self { store, mut view, changes: pending, cursors, turn, .. } = self;
        if pending.is_empty() && cursors.is_empty() {
            return store.barrier(&view, turn);
        }
        let sequence = view.sequence + 1;
        let mut changes = Vec::with_capacity(pending.len());
        let mut rows = Vec::new();
        for ((place, scope, id), Pending { before, after }) in pending {
            let table = view.schema.tables[place].name;
            if store.is_durable() {
                let json = after.as_ref().map(|row| row.encode()).transpose();
                match json {
                    Ok(json) => rows.push((key(table, &scope, &id), json)),
                    Err(why) => {
                        let id = format!("{scope}/{id}");
                        return Ticket::answered(Err(Error::Unwritable { table: table.to_owned(), id, why }));
                    }
                }
            }
            let op = if after.is_some() { Op::Put } else { Op::Delete };
            changes.push(Change { table, scope, id, op, before });
        }
        let feed = Some((sequence, if store.is_durable() { encode_changes(&changes) } else { Vec::new() }));
        let record = Record { feed, rows, cursors: cursors.into_iter().collect(), versions: Vec::new() };
        view.sequence = sequence;
        store.submit(view, record, Commit { sequence, changes }, turn)
    }

    fn table<R: Row>(&mut self) -> (usize, &mut Table<R>) {
        let place = self.view.schema.place::<R>();
        let slot: &mut Arc<dyn AnyTable> = &mut Arc::make_mut(&mut self.view.tables)[place];
        if Arc::get_mut(slot).is_none() {
            *slot = slot.share();
        }
        let table = Arc::get_mut(slot).and_then(|table| table.as_any_mut().downcast_mut());
        (place, table.expect("a fresh copy of the table is not shared"))
    }

    fn note(
        &mut self,
        place: usize,
        scope: &Scope,
        id: Arc<str>,
        before: Option<Arc<dyn Any + Send + Sync>>,
        after: Option<Arc<dyn Encode>>,
    ) {
        let pending = self.changes.entry((place, scope.clone(), id)).or_insert(Pending { before, after: None });
        pending.after = after;
    }
}
