//! A snapshot of all tables as of one commit.

use crate::row::{Index, Row, TableDef};
use crate::table::{AnyTable, Table};
use std::any::TypeId;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use types::Scope;

/// The tables that were registered, and where each stands in a view.
pub(crate) struct Schema {
    pub(crate) tables: Vec<TableDef>,
    places: HashMap<TypeId, usize>,
}

impl Schema {
    pub(crate) fn new(tables: Vec<TableDef>) -> Self {
        let places: HashMap<_, _> = tables.iter().enumerate().map(|(place, table)| ((table.row)(), place)).collect();
        let names: std::collections::BTreeSet<_> = tables.iter().map(|table| table.name).collect();
        assert!(names.len() == tables.len() && places.len() == tables.len(), "a table is registered twice");
        assert!(
            names.iter().all(|name| !name.is_empty() && !name.contains('/')),
            "a table's name is empty or has a slash"
        );
        Self { tables, places }
    }

    pub(crate) fn place<R: Row>(&self) -> usize {
        let place = self.places.get(&TypeId::of::<R>());
        *place.unwrap_or_else(|| panic!("table {} was not registered when the store was opened", R::TABLE))
    }

    pub(crate) fn named(&self, name: &str) -> Option<usize> {
        self.tables.iter().position(|table| table.name == name)
    }
}

/// All rows as of one commit. Free to take and to clone; holds no lock; never changes.
///
/// Asking for a row type that was not registered at opening is a fault of the wiring and panics.
#[derive(Clone)]
pub struct View {
    pub(crate) schema: Arc<Schema>,
    pub(crate) tables: Arc<Vec<Arc<dyn AnyTable>>>,
    pub(crate) cursors: Arc<BTreeMap<String, u64>>,
    pub(crate) sequence: u64,
}

impl View {
    pub(crate) fn empty(schema: Arc<Schema>) -> Self {
        let tables = Arc::new(schema.tables.iter().map(|table| (table.empty)()).collect());
        Self { schema, tables, cursors: Arc::default(), sequence: 0 }
    }

    /// The number of the last commit that this view contains; 0 before the first. In a transaction: of the commit it builds upon.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The row of that id.
    pub fn get<R: Row>(&self, scope: &Scope, id: &str) -> Option<Arc<R>> {
        self.table::<R>().get(scope, id).cloned()
    }

    /// Whether there is a row of that id.
    pub fn contains<R: Row>(&self, scope: &Scope, id: &str) -> bool {
        self.table::<R>().get(scope, id).is_some()
    }

    /// The scope's rows in order of id.
    pub fn scan<R: Row>(&self, scope: &Scope) -> impl Iterator<Item = &Arc<R>> + use<'_, R> {
        self.table::<R>().scan(scope, Bound::Unbounded)
    }

    /// The scope's rows in order of id, from the first whose id is not less than `id`.
    pub fn scan_from<R: Row>(&self, scope: &Scope, id: &str) -> impl Iterator<Item = &Arc<R>> + use<'_, R> {
        self.table::<R>().scan(scope, Bound::Included(id.into()))
    }

    /// The scope's rows in order of id, from the first whose id is greater than `id`: the page after the one that ended with `id`.
    pub fn scan_after<R: Row>(&self, scope: &Scope, id: &str) -> impl Iterator<Item = &Arc<R>> + use<'_, R> {
        self.table::<R>().scan(scope, Bound::Excluded(id.into()))
    }

    /// The rows of all scopes, in order of scope and id.
    pub fn scan_all<R: Row>(&self) -> impl Iterator<Item = (&Scope, &Arc<R>)> {
        self.table::<R>().scan_all()
    }

    /// The scope's rows that `index` files under `value`, in order of id.
    ///
    /// # Panics
    /// Where `R::indexes()` does not declare the index.
    pub fn by_index<R: Row>(
        &self,
        index: &Index<R>,
        scope: &Scope,
        value: &str,
    ) -> impl Iterator<Item = &Arc<R>> + use<'_, R> {
        self.table::<R>().by_index(index, scope, value)
    }

    /// How many rows the table has over all scopes.
    pub fn count<R: Row>(&self) -> usize {
        self.tables[self.schema.place::<R>()].len()
    }

    /// Where the named reader of the change feed got to, as last set by [`crate::Tx::set_cursor`].
    pub fn cursor(&self, name: &str) -> Option<u64> {
        self.cursors.get(name).copied()
    }

    fn table<R: Row>(&self) -> &Table<R> {
        let table = self.tables[self.schema.place::<R>()].as_any().downcast_ref();
        table.expect("a table stands at the place of its row type")
    }
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "View({})", self.sequence)
    }
}
