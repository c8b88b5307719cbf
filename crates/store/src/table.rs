//! One table in memory: for each scope a persistent ordered map from id to row, and one more for each index.
//!
//! Cloning a table shares all of it; a change copies the path to the row alone.

use crate::row::{Index, Row};
use rpds::RedBlackTreeMapSync;
use std::any::Any;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use types::Scope;

type Rows<R> = RedBlackTreeMapSync<Arc<str>, Arc<R>>;

/// The rows of `R`, of all scopes.
pub(crate) struct Table<R> {
    scopes: BTreeMap<Scope, Shelf<R>>,
}

/// The rows of one scope, and their indexes in the order of `R::indexes()`.
struct Shelf<R> {
    rows: Rows<R>,
    indexes: Vec<RedBlackTreeMapSync<Arc<str>, Rows<R>>>,
}

impl<R> Default for Table<R> {
    fn default() -> Self {
        Self { scopes: BTreeMap::new() }
    }
}

impl<R> Clone for Table<R> {
    fn clone(&self) -> Self {
        Self { scopes: self.scopes.clone() }
    }
}

impl<R> Clone for Shelf<R> {
    fn clone(&self) -> Self {
        Self { rows: self.rows.clone(), indexes: self.indexes.clone() }
    }
}

impl<R: Row> Table<R> {
    pub(crate) fn get(&self, scope: &Scope, id: &str) -> Option<&Arc<R>> {
        self.scopes.get(scope)?.rows.get(id)
    }

    pub(crate) fn scan(&self, scope: &Scope, from: Bound<Arc<str>>) -> impl Iterator<Item = &Arc<R>> + use<'_, R> {
        let shelf = self.scopes.get(scope);
        let range = (from, Bound::Unbounded);
        shelf.into_iter().flat_map(move |shelf| shelf.rows.range(range.clone()).map(|(_, row)| row))
    }

    pub(crate) fn scan_all(&self) -> impl Iterator<Item = (&Scope, &Arc<R>)> {
        self.scopes.iter().flat_map(|(scope, shelf)| shelf.rows.values().map(move |row| (scope, row)))
    }

    pub(crate) fn by_index(
        &self,
        index: &Index<R>,
        scope: &Scope,
        value: &str,
    ) -> impl Iterator<Item = &Arc<R>> + use<'_, R> {
        let place = R::indexes().iter().position(|declared| declared.name == index.name);
        assert!(place.is_some(), "index {} is not declared by table {}", index.name, R::TABLE);
        let rows = place.and_then(|place| self.scopes.get(scope)?.indexes[place].get(value));
        rows.into_iter().flat_map(|rows| rows.values())
    }

    pub(crate) fn put(&mut self, scope: &Scope, id: Arc<str>, row: Arc<R>) -> Option<Arc<R>> {
        if !self.scopes.contains_key(scope) {
            let indexes = R::indexes().iter().map(|_| RedBlackTreeMapSync::new_sync()).collect();
            self.scopes.insert(scope.clone(), Shelf { rows: Rows::new_sync(), indexes });
        }
        let shelf = self.scopes.get_mut(scope)?;
        let before = shelf.rows.get(&*id).cloned();
        if let Some(before) = &before {
            shelf.unindex(&id, before);
        }
        for (index, kept) in R::indexes().iter().zip(&mut shelf.indexes) {
            for value in (index.values)(&row) {
                match kept.get_mut(value.as_str()) {
                    Some(rows) => rows.insert_mut(id.clone(), row.clone()),
                    None => kept.insert_mut(value.into(), Rows::new_sync().insert(id.clone(), row.clone())),
                }
            }
        }
        shelf.rows.insert_mut(id, row);
        before
    }

    pub(crate) fn delete(&mut self, scope: &Scope, id: &str) -> Option<Arc<R>> {
        let shelf = self.scopes.get_mut(scope)?;
        let before = shelf.rows.get(id).cloned()?;
        shelf.unindex(id, &before);
        shelf.rows.remove_mut(id);
        if shelf.rows.is_empty() {
            self.scopes.remove(scope);
        }
        Some(before)
    }
}

impl<R: Row> Shelf<R> {
    fn unindex(&mut self, id: &str, row: &R) {
        for (index, kept) in R::indexes().iter().zip(&mut self.indexes) {
            for value in (index.values)(row) {
                let emptied = kept.get_mut(value.as_str()).is_some_and(|rows| {
                    rows.remove_mut(id);
                    rows.is_empty()
                });
                if emptied {
                    kept.remove_mut(value.as_str());
                }
            }
        }
    }
}

/// A table whose row type is not known to the holder.
pub(crate) trait AnyTable: Send + Sync {
    fn as_any(&self) -> &dyn Any;
    fn as_any_mut(&mut self) -> &mut dyn Any;
    fn share(&self) -> Arc<dyn AnyTable>;
    /// Adds the row of that JSON and returns its id.
    fn load(&mut self, scope: &Scope, json: &[u8]) -> Result<Arc<str>, String>;
    fn len(&self) -> usize;
}

impl<R: Row> AnyTable for Table<R> {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn share(&self) -> Arc<dyn AnyTable> {
        Arc::new(self.clone())
    }

    fn load(&mut self, scope: &Scope, json: &[u8]) -> Result<Arc<str>, String> {
        let row: R = serde_json::from_slice(json).map_err(|why| why.to_string())?;
        let id: Arc<str> = row.id().as_ref().into();
        self.put(scope, id.clone(), Arc::new(row));
        Ok(id)
    }

    fn len(&self) -> usize {
        self.scopes.values().map(|shelf| shelf.rows.size()).sum()
    }
}
