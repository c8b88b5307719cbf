//! Opening a data directory: lock, check the tables, migrate, load.

use crate::disk::{Disk, Record, parse_key};
use crate::feed::Window;
use crate::lock::Lock;
use crate::table::AnyTable;
use crate::view::{Schema, View};
use crate::{Error, TableDef};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// An opened directory.
pub(crate) struct Opened {
    pub(crate) lock: Lock,
    pub(crate) disk: Disk,
    pub(crate) view: View,
    pub(crate) window: Window,
}

pub(crate) fn open(directory: &Path, tables: Vec<TableDef>) -> Result<Opened, Error> {
    let schema = Arc::new(Schema::new(tables));
    std::fs::create_dir_all(directory).map_err(|why| Error::disk(format_args!("{}: {why}", directory.display())))?;
    let lock = Lock::take(directory)?;
    let disk = Disk::open(&directory.join("state.redb"))?;
    let versions = disk.versions()?;
    let mut view = View::empty(schema.clone());
    let mut record = load_rows(&disk, &mut view, &versions)?;
    view.cursors = Arc::new(disk.cursors()?);
    let feed = disk.feed(&schema)?;
    view.sequence = feed.back().map_or(0, |commit| commit.sequence);
    let window = Window::new(view.sequence, feed);
    let changed = |table: &&TableDef| versions.get(table.name) != Some(&table.version);
    record.versions = schema.tables.iter().filter(changed).map(|table| (table.name, table.version)).collect();
    if record.rows.is_empty() {
        disk.write_later(record.versions);
    } else {
        disk.write([&record])?;
    }
    Ok(Opened { lock, disk, view, window })
}

/// Loads all rows into `view`. Returns the rows that had to be migrated, to be written.
fn load_rows(disk: &Disk, view: &mut View, versions: &BTreeMap<String, u32>) -> Result<Record, Error> {
    let schema = view.schema.clone();
    let tables = Arc::make_mut(&mut view.tables);
    let mut record = Record::default();
    let mut unknown = BTreeSet::new();
    disk.rows(|key, json| {
        let unreadable =
            |table: &str, why: String| Error::Unreadable { table: table.to_owned(), id: key.to_owned(), why };
        let (name, scope, id) = parse_key(key).ok_or_else(|| unreadable("?", "malformed key".to_owned()))?;
        let Some(place) = schema.named(name) else {
            unknown.insert(name.to_owned());
            return Ok(());
        };
        let def = &schema.tables[place];
        let version = versions.get(name).copied().unwrap_or(def.version);
        if version > def.version {
            return Err(Error::TooNew { table: name.to_owned(), disk: version, code: def.version });
        }
        let migrated = (version < def.version).then(|| migrate(def, version, json)).transpose();
        let migrated = migrated.map_err(|why| unreadable(name, why))?;
        let table: &mut dyn AnyTable = Arc::get_mut(&mut tables[place]).expect("nobody else has the view yet");
        let found = table.load(&scope, migrated.as_deref().unwrap_or(json)).map_err(|why| unreadable(name, why))?;
        if *found != *id {
            return Err(unreadable(name, format!("the row calls itself {found}")));
        }
        if migrated.is_some() {
            record.rows.push((key.to_owned(), migrated));
        }
        Ok(())
    })?;
    if unknown.is_empty() { Ok(record) } else { Err(Error::UnknownTables { names: unknown.into_iter().collect() }) }
}

fn migrate(def: &TableDef, from: u32, json: &[u8]) -> Result<Vec<u8>, String> {
    let mut value = serde_json::from_slice(json).map_err(|why| why.to_string())?;
    for version in from..def.version {
        value = (def.migrate)(version, value).map_err(|why| format!("migration from version {version}: {why}"))?;
    }
    serde_json::to_vec(&value).map_err(|why| why.to_string())
}
