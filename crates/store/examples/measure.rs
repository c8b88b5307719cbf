//! Prints what `docs/store.md` reports of the store: `cargo run --release -p store --example measure -- DIRECTORY` (an empty one).

#![allow(clippy::disallowed_methods, reason = "a measurement reads the clock")]

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use store::{Index, Row, Store, TableDef};
use types::{Scope, Timestamp};

#[derive(Serialize, Deserialize)]
struct Task {
    id: String,
    service: String,
    text: String,
}

impl Row for Task {
    const TABLE: &'static str = "task";

    fn id(&self) -> Cow<'_, str> {
        (&self.id).into()
    }

    fn indexes() -> &'static [Index<Self>] {
        const BY_SERVICE: Index<Task> = Index::new("service", |task| vec![task.service.clone()]);
        &[BY_SERVICE]
    }
}

fn task(number: u64) -> Task {
    let id = format!("{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    Task { id, service: format!("service-{}", number % 1000), text: "y".repeat(440) }
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn commits_per_second(store: &Store, writers: u64, time: Duration) -> f64 {
    let (done, start) = (AtomicU64::new(0), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..writers {
            scope.spawn(|| {
                while start.elapsed() < time {
                    let mut tx = store.begin();
                    tx.put(&Scope::default(), task(done.fetch_add(1, Ordering::Relaxed)));
                    tx.commit().wait_blocking().expect("commits");
                }
            });
        }
    });
    done.into_inner() as f64 / start.elapsed().as_secs_f64()
}

fn main() {
    let directory = PathBuf::from(std::env::args().nth(1).expect("a directory"));
    let open = |what: &str| {
        let start = Instant::now();
        let store = Store::open(&directory, vec![TableDef::of::<Task>()]).expect("opens");
        println!("{what}: {:.1} ms, resident {} MiB", start.elapsed().as_secs_f64() * 1e3, resident_mib());
        store
    };
    let store = open("open");
    for writers in [1, 64] {
        let rate = commits_per_second(&store, writers, Duration::from_secs(3));
        println!("durable commits, {writers} writers: {rate:.0}/s");
    }
    let mut tx = store.begin();
    for number in 0..100_000 {
        tx.put(&Scope::default(), task(number));
    }
    tx.commit().wait_blocking().expect("commits");
    println!("rows: {}, resident {} MiB", store.view().count::<Task>(), resident_mib());
    let (view, start) = (store.view(), Instant::now());
    let found = (0..100_000).filter(|number| view.get::<Task>(&Scope::default(), &task(*number).id).is_some()).count();
    println!("get: {:.2} µs, key made included ({found} found)", start.elapsed().as_secs_f64() * 10.0);
    let start = Instant::now();
    let bytes: usize = view.scan::<Task>(&Scope::default()).map(|task| task.text.len()).sum();
    println!("scan: {:.0} ns a row ({bytes} bytes)", start.elapsed().as_nanos() as f64 / view.count::<Task>() as f64);
    drop((view, store));
    let store = open("open again");
    let (streams, start) = (store.streams().expect("opens"), Instant::now());
    let mut last = None;
    for batch in 0..1000 {
        let records = (0..1000).map(|at| (Timestamp(batch * 1000 + at), vec![b'x'; 120])).collect();
        last = Some(streams.append(&format!("group:stream-{}", batch % 10), records));
    }
    last.expect("appended").wait_blocking().expect("durable");
    let rate = 1e6 / start.elapsed().as_secs_f64();
    println!("events appended: {rate:.0}/s, resident {} MiB", resident_mib());
}
