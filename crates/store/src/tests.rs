use crate::{Error, Feed, Index, News, Op, Row, Store, TableDef, TooOld, feed};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::future::Future;
use std::task::{Context, Poll, Waker};
use types::Scope;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Subnet {
    id: String,
    vpc: String,
}

const BY_VPC: Index<Subnet> = Index::new("vpc", |subnet| vec![subnet.vpc.clone()]);

impl Row for Subnet {
    const TABLE: &'static str = "subnet";

    fn id(&self) -> Cow<'_, str> {
        (&self.id).into()
    }

    fn indexes() -> &'static [Index<Self>] {
        &[BY_VPC]
    }
}

/// The next version of [`Subnet`], with the VPC renamed.
#[derive(Debug, Serialize, Deserialize)]
struct Subnet2 {
    id: String,
    vpc_id: String,
}

impl Row for Subnet2 {
    const TABLE: &'static str = "subnet";
    const VERSION: u32 = 2;

    fn id(&self) -> Cow<'_, str> {
        (&self.id).into()
    }

    fn migrate(_: u32, mut raw: Value) -> Result<Value, String> {
        raw["vpc_id"] = raw["vpc"].take();
        if raw["vpc_id"] == json!("unmovable") { Err("cannot move".to_owned()) } else { Ok(raw) }
    }
}

/// A row that JSON cannot hold.
#[derive(Debug, Serialize, Deserialize)]
struct Odd(std::collections::BTreeMap<Vec<u8>, u8>);

impl Row for Odd {
    const TABLE: &'static str = "odd";

    fn id(&self) -> Cow<'_, str> {
        "odd".into()
    }
}

fn tables() -> Vec<TableDef> {
    vec![TableDef::of::<Subnet>(), TableDef::of::<Odd>()]
}

fn subnet(id: &str, vpc: &str) -> Subnet {
    Subnet { id: id.to_owned(), vpc: vpc.to_owned() }
}

fn put(store: &Store, id: &str, vpc: &str) -> u64 {
    let mut tx = store.begin();
    tx.put(&Scope::default(), subnet(id, vpc));
    tx.commit().wait_blocking().expect("commits")
}

fn ids<'a>(rows: impl Iterator<Item = &'a std::sync::Arc<Subnet>>) -> Vec<&'a str> {
    rows.map(|row| row.id.as_str()).collect()
}

fn heard(feed: &mut Feed) -> Option<u64> {
    match feed.try_next()? {
        News::Commit(commit) => Some(commit.sequence),
        other => panic!("expected a commit, not {other:?}"),
    }
}

#[test]
fn a_transaction_sees_its_own_writes_and_nobody_else_does_before_the_commit() {
    let store = Store::in_memory(tables());
    let scope = Scope::default();
    let mut tx = store.begin();
    tx.put(&scope, subnet("b", "v1"));
    tx.put(&scope, subnet("a", "v1"));
    assert_eq!(ids(tx.scan(&scope)), ["a", "b"]);
    assert_eq!(ids(store.view().scan(&scope)), [""; 0]);
    let old = store.view();
    assert_eq!(tx.commit().wait_blocking().expect("commits"), 1);
    assert_eq!(ids(store.view().scan(&scope)), ["a", "b"]);
    assert_eq!(old.count::<Subnet>(), 0, "a snapshot changed");
    let mut dropped = store.begin();
    dropped.delete::<Subnet>(&scope, "a");
    drop(dropped);
    assert_eq!(store.begin().count::<Subnet>(), 2, "a dropped transaction left a trace");
}

#[test]
fn scans_page_in_order_of_id_and_keep_scopes_apart() {
    let store = Store::in_memory(tables());
    let (here, there) = (Scope::default(), Scope::global(types::AccountId::default()));
    let mut tx = store.begin();
    for id in ["c", "a", "d", "b/2"] {
        tx.put(&here, subnet(id, "v"));
    }
    tx.put(&there, subnet("x", "v"));
    assert_eq!(ids(tx.scan_after(&here, "a")), ["b/2", "c", "d"]);
    assert_eq!(ids(tx.scan_from(&here, "c")), ["c", "d"]);
    assert_eq!(ids(tx.scan_from(&here, "bb")), ["c", "d"]);
    assert_eq!(tx.scan_all::<Subnet>().count(), 5);
    assert_eq!(ids(tx.by_index(&BY_VPC, &there, "v")), ["x"]);
}

#[test]
fn indexes_follow_puts_and_deletes() {
    let store = Store::in_memory(tables());
    let scope = Scope::default();
    let mut tx = store.begin();
    tx.put(&scope, subnet("a", "v1"));
    tx.put(&scope, subnet("b", "v1"));
    tx.put(&scope, subnet("a", "v2"));
    assert_eq!(ids(tx.by_index(&BY_VPC, &scope, "v1")), ["b"]);
    assert_eq!(ids(tx.by_index(&BY_VPC, &scope, "v2")), ["a"]);
    tx.delete::<Subnet>(&scope, "b");
    assert_eq!(ids(tx.by_index(&BY_VPC, &scope, "v1")), [""; 0]);
    let same = tx.update::<Subnet>(&scope, "a", |row| row.vpc = "v3".to_owned()).expect("exists");
    assert_eq!(same.vpc, "v3");
    assert_eq!(ids(tx.by_index(&BY_VPC, &scope, "v3")), ["a"]);
}

#[test]
fn the_feed_tells_each_key_once_a_commit_with_the_row_as_it_was() {
    let store = Store::in_memory(tables());
    let scope = Scope::default();
    put(&store, "a", "v1");
    let mut feed = store.subscribe();
    let mut tx = store.begin();
    tx.put(&scope, subnet("a", "v2"));
    tx.delete::<Subnet>(&scope, "a");
    tx.commit().wait_blocking().expect("commits");
    let Some(News::Commit(commit)) = feed.try_next() else { panic!("no news of the commit") };
    assert_eq!(commit.changes.len(), 1);
    assert_eq!(commit.changes[0].op, Op::Delete);
    assert_eq!(commit.changes[0].before::<Subnet>().expect("there was one").vpc, "v1");
    assert!(feed.try_next().is_none());
    drop(store);
    let next = std::pin::pin!(feed.next()).poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(next, Poll::Ready(News::Closed)), "a closed store's feed goes on: {next:?}");
}

#[test]
fn who_falls_behind_the_window_is_told_to_resync() {
    let store = Store::in_memory(tables());
    let mut slow = store.subscribe();
    for _ in 0..=feed::WINDOW {
        put(&store, "a", "v");
    }
    let newest = feed::WINDOW + 1;
    assert_eq!(store.changes_since(0).expect_err("out of the window"), TooOld { newest });
    assert_eq!(store.changes_since(1).expect("within").len() as u64, feed::WINDOW);
    assert!(matches!(slow.try_next(), Some(News::Lagged { newest: told }) if told == newest));
    put(&store, "a", "v");
    assert_eq!(heard(&mut slow), Some(newest + 1), "after a resync it goes on");
}

#[test]
fn rows_cursors_and_feed_outlive_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let scope = Scope::default();
    let store = Store::open(directory.path(), tables()).expect("opens");
    put(&store, "a/1", "v1");
    put(&store, "b", "v1");
    let mut tx = store.begin();
    tx.delete::<Subnet>(&scope, "b");
    tx.set_cursor("reader", 2);
    assert_eq!(tx.commit().wait_blocking().expect("commits"), 3);
    drop(store);
    let store = Store::open(directory.path(), tables()).expect("opens again");
    assert_eq!(store.view().sequence(), 3);
    assert_eq!(store.view().cursor("reader"), Some(2));
    assert_eq!(ids(store.view().by_index(&BY_VPC, &scope, "v1")), ["a/1"]);
    let changes = store.changes_since(1).expect("in the window");
    let told: Vec<_> = changes.iter().map(|c| (c.sequence, &*c.changes[0].id, c.changes[0].op)).collect();
    assert_eq!(told, [(2, "b", Op::Put), (3, "b", Op::Delete)]);
    assert_eq!(put(&store, "c", "v"), 4, "numbers go on");
}

#[test]
fn a_dropped_store_has_written_what_was_queued() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Store::open(directory.path(), tables()).expect("opens");
    let mut tickets = Vec::new();
    for id in 0..100 {
        let mut tx = store.begin();
        assert_eq!(tx.count::<Subnet>(), id, "a transaction does not see the ones before it");
        tx.put(&Scope::default(), subnet(&id.to_string(), "v"));
        tickets.push(tx.commit());
    }
    let barrier = store.begin().commit();
    drop(store);
    assert_eq!(barrier.wait_blocking().expect("durable"), 100);
    for (number, ticket) in tickets.into_iter().enumerate() {
        assert_eq!(ticket.wait_blocking().expect("durable"), number as u64 + 1);
    }
    let store = Store::open(directory.path(), tables()).expect("opens again");
    assert_eq!(store.view().count::<Subnet>(), 100);
}

#[test]
fn a_second_daemon_is_told_who_holds_the_directory() {
    let directory = tempfile::tempdir().expect("a directory");
    let _store = Store::open(directory.path(), tables()).expect("opens");
    let refused = Store::open(directory.path(), tables()).expect_err("a second one opened it");
    let told = refused.to_string();
    assert!(told.contains(&format!("pid {}", std::process::id())), "{told}");
}

#[test]
fn tables_of_a_newer_build_are_refused_by_name() {
    let directory = tempfile::tempdir().expect("a directory");
    put(&Store::open(directory.path(), tables()).expect("opens"), "a", "v");
    let refused = Store::open(directory.path(), vec![TableDef::of::<Odd>()]).expect_err("rows would be lost");
    assert!(matches!(&refused, Error::UnknownTables { names } if *names == ["subnet"]), "{refused}");
    drop(Store::open(directory.path(), vec![TableDef::of::<Subnet2>()]).expect("migrates"));
    let refused = Store::open(directory.path(), tables()).expect_err("an older build opened newer rows");
    assert!(matches!(refused, Error::TooNew { disk: 2, code: 1, .. }), "{refused}");
}

#[test]
fn rows_are_migrated_once_and_a_failing_migration_changes_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Store::open(directory.path(), tables()).expect("opens");
    put(&store, "a", "v");
    put(&store, "b", "unmovable");
    drop(store);
    let newer = vec![TableDef::of::<Subnet2>()];
    let refused = Store::open(directory.path(), newer.clone()).expect_err("a row cannot be migrated");
    assert!(refused.to_string().contains("cannot move"), "{refused}");
    let store = Store::open(directory.path(), tables()).expect("the old build still opens it");
    put(&store, "b", "v");
    drop(store);
    let row = |store: &Store| store.view().get::<Subnet2>(&Scope::default(), "a").expect("kept").vpc_id.clone();
    assert_eq!(row(&Store::open(directory.path(), newer.clone()).expect("migrates")), "v");
    assert_eq!(row(&Store::open(directory.path(), newer).expect("opens without migrating")), "v");
}

#[test]
fn a_row_that_cannot_be_written_fails_its_transaction_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Store::open(directory.path(), tables()).expect("opens");
    let mut tx = store.begin();
    tx.put(&Scope::default(), subnet("a", "v"));
    tx.put(&Scope::default(), Odd([(vec![1], 1)].into()));
    let refused = tx.commit().wait_blocking().expect_err("JSON has no such keys");
    assert!(matches!(refused, Error::Unwritable { .. }), "{refused}");
    assert_eq!(put(&store, "b", "v"), 1);
    assert_eq!(ids(store.view().scan(&Scope::default())), ["b"]);
}

#[test]
#[should_panic(expected = "a second transaction within a first")]
fn a_thread_that_would_wait_for_itself_is_told() {
    let store = Store::in_memory(tables());
    let _first = store.begin();
    let _second = store.begin();
}
