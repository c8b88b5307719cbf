//! What a table's rows must be: serialisable, named, versioned, and indexed as they declare.

use crate::table::{AnyTable, Table};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::any::TypeId;
use std::borrow::Cow;
use std::sync::Arc;

/// A row of the table [`Row::TABLE`]. Its key is the scope that it is put under and its [`Row::id`].
pub trait Row: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The table's name on disk and in the change feed; never reuse or rename one. It must not contain `/`.
    const TABLE: &'static str;

    /// The version of the row's JSON. Raise it with an incompatible change and extend [`Row::migrate`];
    /// a new optional field with `#[serde(default)]` needs neither.
    const VERSION: u32 = 1;

    /// The id, unique within table and scope. It may hold any character.
    fn id(&self) -> Cow<'_, str>;

    /// The secondary indexes to keep.
    fn indexes() -> &'static [Index<Self>]
    where
        Self: Sized,
    {
        &[]
    }

    /// Turns the JSON of version `from` into that of version `from + 1`; called once for each version to cross.
    fn migrate(from: u32, raw: Value) -> Result<Value, String> {
        let _ = raw;
        Err(format!("no migration from version {from}"))
    }
}

/// A secondary index: maps a row to the values under which it is found, none, one or many.
///
/// ```
/// # use store::Index;
/// # struct Subnet { vpc: String }
/// const BY_VPC: Index<Subnet> = Index::new("vpc", |subnet| vec![subnet.vpc.clone()]);
/// ```
pub struct Index<R> {
    /// Its name, unique within the table. Indexes are not on disk, so it may change freely.
    pub(crate) name: &'static str,
    pub(crate) values: fn(&R) -> Vec<String>,
}

impl<R> Index<R> {
    /// An index called `name` over what `values` returns.
    pub const fn new(name: &'static str, values: fn(&R) -> Vec<String>) -> Self {
        Self { name, values }
    }
}

/// A table to be registered when the store opens.
#[derive(Clone, Copy)]
pub struct TableDef {
    pub(crate) name: &'static str,
    pub(crate) version: u32,
    pub(crate) row: fn() -> TypeId,
    pub(crate) empty: fn() -> Arc<dyn AnyTable>,
    pub(crate) migrate: fn(u32, Value) -> Result<Value, String>,
}

impl TableDef {
    /// The table of `R`.
    pub const fn of<R: Row>() -> Self {
        Self {
            name: R::TABLE,
            version: R::VERSION,
            row: TypeId::of::<R>,
            empty: || Arc::new(Table::<R>::default()),
            migrate: R::migrate,
        }
    }
}

impl std::fmt::Debug for TableDef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TableDef({} v{})", self.name, self.version)
    }
}
