//! The state on disk: one redb file, written in batches of commits, read once at opening.
//!
//! A row's key is `table/account/region/id`, its value JSON. The feed's window, the cursors and the tables' versions
//! are written in the same transaction as the rows, so they always agree.

use crate::Error;
use crate::feed::{Change, Commit, Op, WINDOW};
use crate::view::Schema;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use types::Scope;

const ROWS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("rows");
const VERSIONS: TableDefinition<'_, &str, u32> = TableDefinition::new("versions");
const FEED: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("feed");
const CURSORS: TableDefinition<'_, &str, u64> = TableDefinition::new("cursors");

/// The rows are resident, so the file's pages need little cache.
const CACHE_BYTES: usize = 4 << 20;

/// What one commit, or the opening, writes.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// The commit's number and its encoded changes, unless it is a commit of the opening.
    pub(crate) feed: Option<(u64, Vec<u8>)>,
    /// Keys with their new JSON, or none for a deletion.
    pub(crate) rows: Vec<(String, Option<Vec<u8>>)>,
    pub(crate) cursors: Vec<(String, u64)>,
    pub(crate) versions: Vec<(&'static str, u32)>,
}

/// The file.
pub(crate) struct Disk {
    path: PathBuf,
    /// Unset for a new directory, until the writer creates it: that takes several syncs, which opening does not wait for.
    file: OnceLock<Database>,
    /// Versions of tables that have no rows yet. They go with the first commit, so that opening an empty directory costs no sync.
    unwritten: Mutex<Vec<(&'static str, u32)>>,
}

impl Disk {
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let disk = Self { path: path.to_owned(), file: OnceLock::new(), unwritten: Mutex::default() };
        if path.exists() {
            disk.create()?;
        }
        Ok(disk)
    }

    /// Creates the file if it is not there yet.
    pub(crate) fn create(&self) -> Result<&Database, Error> {
        if let Some(file) = self.file.get() {
            return Ok(file);
        }
        let file = open_or_create(&self.path, CACHE_BYTES)?;
        Ok(self.file.get_or_init(|| file))
    }

    /// Has the tables' versions written with the next commit.
    pub(crate) fn write_later(&self, versions: Vec<(&'static str, u32)>) {
        *self.unwritten.lock().unwrap_or_else(PoisonError::into_inner) = versions;
    }

    /// Makes the records durable, all or none, in order.
    pub(crate) fn write<'a>(&self, records: impl IntoIterator<Item = &'a Record>) -> Result<(), Error> {
        let file = self.create()?;
        self.try_write(file, records).map_err(Error::disk)
    }

    fn try_write<'a>(&self, file: &Database, records: impl IntoIterator<Item = &'a Record>) -> Result<(), redb::Error> {
        let write = file.begin_write()?;
        {
            let unwritten = std::mem::take(&mut *self.unwritten.lock().unwrap_or_else(PoisonError::into_inner));
            write_versions(&write, &unwritten)?;
            let mut rows = write.open_table(ROWS)?;
            let mut feed = write.open_table(FEED)?;
            for record in records {
                for (key, json) in &record.rows {
                    match json {
                        Some(json) => rows.insert(key.as_str(), json.as_slice())?,
                        None => rows.remove(key.as_str())?,
                    };
                }
                if let Some((sequence, changes)) = &record.feed {
                    feed.insert(sequence, changes.as_slice())?;
                    if let Some(gone) = sequence.checked_sub(WINDOW) {
                        feed.remove(gone)?;
                    }
                }
                if !record.cursors.is_empty() {
                    let mut cursors = write.open_table(CURSORS)?;
                    for (name, sequence) in &record.cursors {
                        cursors.insert(name.as_str(), sequence)?;
                    }
                }
                write_versions(&write, &record.versions)?;
            }
        }
        write.commit()?;
        Ok(())
    }

    /// The version of each table as written; empty for a new file.
    pub(crate) fn versions(&self) -> Result<BTreeMap<String, u32>, Error> {
        let mut found = BTreeMap::new();
        self.each(VERSIONS, |table, version| {
            found.insert(table.to_owned(), version);
            Ok(())
        })?;
        Ok(found)
    }

    /// The readers' cursors.
    pub(crate) fn cursors(&self) -> Result<BTreeMap<String, u64>, Error> {
        let mut found = BTreeMap::new();
        self.each(CURSORS, |name, sequence| {
            found.insert(name.to_owned(), sequence);
            Ok(())
        })?;
        Ok(found)
    }

    /// The window of the change feed.
    pub(crate) fn feed(&self, schema: &Schema) -> Result<VecDeque<Arc<Commit>>, Error> {
        let mut found = VecDeque::new();
        self.each(FEED, |sequence, changes| {
            found.push_back(Arc::new(Commit { sequence, changes: decode_changes(changes, schema)? }));
            Ok(())
        })?;
        Ok(found)
    }

    /// Visits all rows, by table and scope in order of key.
    pub(crate) fn rows(&self, mut visit: impl FnMut(&str, &[u8]) -> Result<(), Error>) -> Result<(), Error> {
        self.each(ROWS, |key, json| visit(key, json))
    }

    fn each<K: redb::Key + 'static, V: redb::Value + 'static>(
        &self,
        table: TableDefinition<'_, K, V>,
        mut visit: impl FnMut(K::SelfType<'_>, V::SelfType<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Some(file) = self.file.get() else { return Ok(()) };
        let read = file.begin_read().map_err(Error::disk)?;
        let table = match read.open_table(table) {
            Ok(table) => table,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(()),
            Err(why) => return Err(Error::disk(why)),
        };
        for pair in table.iter().map_err(Error::disk)? {
            let (key, value) = pair.map_err(Error::disk)?;
            visit(key.value(), value.value())?;
        }
        Ok(())
    }
}

/// Opens a redb file. A new one is made under another name first and its directory synced, so that no crash leaves half a file,
/// nor a durable commit in a file whose name is not durable.
pub(crate) fn open_or_create(path: &Path, cache_bytes: usize) -> Result<Database, Error> {
    let mut builder = Database::builder();
    builder.set_cache_size(cache_bytes);
    if path.exists() {
        return builder.open(path).map_err(Error::disk);
    }
    let fresh = path.with_extension("new");
    let failed = |why: std::io::Error| Error::disk(format_args!("{}: {why}", fresh.display()));
    if fresh.exists() {
        std::fs::remove_file(&fresh).map_err(failed)?;
    }
    let file = builder.create(&fresh).map_err(Error::disk)?;
    std::fs::rename(&fresh, path).map_err(failed)?;
    let directory = path.parent().map_or_else(|| std::fs::File::open("."), std::fs::File::open);
    directory.and_then(|directory| directory.sync_all()).map_err(failed)?;
    Ok(file)
}

fn write_versions(write: &redb::WriteTransaction, versions: &[(&'static str, u32)]) -> Result<(), redb::Error> {
    if versions.is_empty() {
        return Ok(());
    }
    let mut table = write.open_table(VERSIONS)?;
    for (name, version) in versions {
        table.insert(*name, version)?;
    }
    Ok(())
}

/// The key of a row on disk.
pub(crate) fn key(table: &str, scope: &Scope, id: &str) -> String {
    format!("{table}/{}/{}/{id}", scope.account.as_str(), scope.region.as_str())
}

/// Table, scope and id of a key.
pub(crate) fn parse_key(key: &str) -> Option<(&str, Scope, &str)> {
    let mut parts = key.splitn(4, '/');
    let (table, account, region, id) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let account = account.parse().ok()?;
    let scope = if region.is_empty() { Scope::global(account) } else { Scope::new(account, region.parse().ok()?) };
    Some((table, scope, id))
}

/// The changes of a commit as the feed keeps them: keys and what happened, not the rows.
pub(crate) fn encode_changes(changes: &[Change]) -> Vec<u8> {
    let mut text = Vec::new();
    for change in changes {
        let key = key(change.table, &change.scope, &change.id);
        text.push(if change.op == Op::Put { b'+' } else { b'-' });
        text.extend_from_slice(&u32::try_from(key.len()).unwrap_or(u32::MAX).to_le_bytes());
        text.extend_from_slice(key.as_bytes());
    }
    text
}

fn decode_changes(mut text: &[u8], schema: &Schema) -> Result<Vec<Change>, Error> {
    let mut changes = Vec::new();
    while let [op, rest @ ..] = text {
        let part = rest.split_first_chunk::<4>().and_then(|(length, rest)| {
            let (key, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            Some((parse_key(std::str::from_utf8(key).ok()?)?, rest))
        });
        let Some(((table, scope, id), rest)) = part else {
            return Err(Error::disk("the change feed is malformed"));
        };
        text = rest;
        // A table that lost its last row may have been retired since.
        let Some(place) = schema.named(table) else { continue };
        let op = if *op == b'+' { Op::Put } else { Op::Delete };
        changes.push(Change { table: schema.tables[place].name, scope, id: id.into(), op, before: None });
    }
    Ok(changes)
}
